//! The steps that only people can take.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use serde::Serialize;
use url::Url;

use crate::{
    cloud::Cloud,
    ids::{ClientId, TenantId},
    links,
    manifest::Tenant,
};

/// What kind of step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManualKind {
    /// The customer's administrator accepts what the app asks for.
    AdminConsent,
    /// The analyst signs in once.
    SignIn,
    /// Someone authorizes the app in the Defender portal.
    PortalAuthorization,
    /// The administrator of a customer that was offboarded removes our enterprise application.
    Removal,
}

/// A step that only a person can take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manual {
    /// What kind.
    pub kind: ManualKind,
    /// Who can take it.
    pub who: String,
    /// Where; absent until the app exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Url>,
    /// What to paste there, in order.
    pub values: BTreeMap<Cow<'static, str>, String>,
    /// Since when it has been waited for, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Whose turn it is where only the customer can act.
pub fn administrator(tenant: &str) -> String {
    format!("an administrator of {tenant}")
}

/// The administrator's consent.
pub fn admin_consent(
    cloud: &Cloud,
    tenant: &Tenant,
    directory: Option<TenantId>,
    client: Option<ClientId>,
) -> Manual {
    let landing = tenant.consent.redirect_uri.as_ref();
    Manual {
        kind: ManualKind::AdminConsent,
        who: administrator(&tenant.name),
        link: directory
            .zip(client)
            .map(|(directory, client)| links::admin_consent(cloud, directory, client, landing)),
        values: BTreeMap::new(),
        since: None,
    }
}

/// The analyst's sign-in.
pub fn sign_in(tenant: &Tenant) -> Manual {
    Manual {
        kind: ManualKind::SignIn,
        who: format!("analyst {}", tenant.sign_in_as.as_deref().unwrap_or("(not named)")),
        link: None,
        values: BTreeMap::new(),
        since: None,
    }
}

/// The click in the Defender portal.
pub fn portal_authorization(
    cloud: &Cloud,
    tenant: &Tenant,
    directory: Option<TenantId>,
    client: Option<ClientId>,
    home: TenantId,
) -> Manual {
    let mut values = BTreeMap::new();
    if let Some(client) = client {
        values.insert("application id".into(), client.to_string());
    }
    values.insert("tenant id (yours)".into(), home.to_string());
    Manual {
        kind: ManualKind::PortalAuthorization,
        who: format!(
            "someone with \"Manage portal system settings\" in {}'s Defender",
            tenant.name
        ),
        link: directory.and_then(|directory| links::defender_portal(cloud, directory)),
        values,
        since: None,
    }
}
