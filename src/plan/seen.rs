//! All that was read before planning.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{AppPlan, Wish};
use crate::{
    failure::Failure,
    ids::{AppKey, TenantId, TenantKey, VaultId},
    inventory::{FoundApp, Inventories},
    manifest::{App, Layout},
    vault::{Deleted, Records},
};

/// A directory that a tenant's name resolved to.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Which one.
    pub id: TenantId,
    /// What went wrong, where the id is the pinned one because asking again failed.
    pub stale: Option<Failure>,
}

/// All that was read before planning.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The provider's directory.
    pub home: TenantId,
    /// Each tenant's directory, or why it is not known.
    pub directories: BTreeMap<TenantKey, Result<Resolved, Failure>>,
    /// What the directories hold.
    pub inventories: Inventories,
    /// What the vault knows.
    pub records: Records,
    /// What the vault's bin holds of apps that it has no record of.
    pub deleted: BTreeMap<AppKey, Deleted>,
    /// Which vault that is.
    pub vault: VaultId,
    /// What the operator said.
    pub wish: Wish,
}

impl Seen {
    /// The day ahead that was asked about; else what the clock says.
    pub fn now(&self, fallback: Timestamp) -> Timestamp {
        let clock = self.clock(fallback);
        self.wish.as_of.map_or(clock, |as_of| as_of.max(clock))
    }

    /// The server's clock where the provider's directory was read, else another directory's;
    /// `fallback` where none was.
    pub fn clock(&self, fallback: Timestamp) -> Timestamp {
        let read_at = |directory| Some(self.inventories.get(directory)?.as_ref().ok()?.read_at);
        read_at(&self.home)
            .or_else(|| self.inventories.keys().filter_map(read_at).max())
            .unwrap_or(fallback)
    }

    /// The app of a plan, as its directory holds it.
    pub fn app(&self, planned: &AppPlan) -> Option<&FoundApp> {
        let client = planned.target.client_id()?;
        let inventory = self.inventories.get(&planned.directory?)?.as_ref().ok()?;
        inventory.apps.iter().find(|found| found.client_id == client)
    }

    /// The directory in which an app lives; nothing where its customer's is not known.
    pub fn directory(&self, app: &App) -> Option<TenantId> {
        match app.layout {
            Layout::PerTenant | Layout::Shared => Some(self.home),
            Layout::InTenant => app.tenants.iter().find_map(|key| {
                self.directories.get(key)?.as_ref().ok().map(|resolved| resolved.id)
            }),
        }
    }
}
