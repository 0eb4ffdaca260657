//! What offboarding left in a customer's directory: named in the vault until it is gone.
//!
//! An app that is deleted at home leaves its enterprise application, and what was granted to it, in
//! the directories of those who consented
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/app-objects-and-service-principals>:
//! each directory has its own service principal). Only the customer's side may remove it, and once
//! our credentials are gone we cannot even ask as the app: what was known is kept here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Records;
use crate::ids::{AppKey, ClientId, ObjectId, ServicePrincipal, TenantId, TenantKey};

/// The enterprise application of an app that was offboarded, in one customer's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Leftover {
    /// Whose directory it is in.
    pub tenant: TenantKey,
    /// What people call them.
    pub name: String,
    /// The app's key.
    pub app: AppKey,
    /// The customer's directory.
    pub directory: TenantId,
    /// The app's client id: what the customer finds it by.
    pub client_id: ClientId,
    /// What the app was called.
    pub app_name: String,
    /// When it was offboarded.
    pub since: Timestamp,
    /// Its object id in the customer's directory, where a token named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<ObjectId<ServicePrincipal>>,
    /// When it was last seen there; nothing where nobody could look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
}

impl Leftover {
    /// Whether both are the same enterprise application.
    pub fn is(&self, other: &Self) -> bool {
        self.client_id == other.client_id && self.directory == other.directory
    }

    /// Whether the app outlived it: others share it, and the vault has its record.
    pub fn outlived_by_app(&self, records: &Records) -> bool {
        let recorded = records.get(&self.app).and_then(|record| record.client_id);
        AppKey::from(&self.tenant) != self.app && recorded == Some(self.client_id)
    }

    /// Whether the customer came back, and is served by the same app: then it is nothing that is left.
    pub fn is_in_use_again(&self, records: &Records) -> bool {
        records.get(&self.app).is_some_and(|record| {
            record.client_id == Some(self.client_id) && record.tenants.contains_key(&self.tenant)
        })
    }

    /// The order in which they are kept and shown.
    pub(super) fn sorted(mut all: Vec<Self>) -> Vec<Self> {
        all.sort_by(|one, other| {
            (&one.tenant, one.since, one.client_id).cmp(&(
                &other.tenant,
                other.since,
                other.client_id,
            ))
        });
        all
    }
}

/// What became of an app's record and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Erased {
    /// Nothing of it is left in the vault.
    Gone,
    /// The key vault keeps what was deleted: it could not be purged.
    Recoverable {
        /// Until when, where the key vault says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
}
