//! What each connector needs, as data.
//!
//! Ids of permissions: <https://learn.microsoft.com/en-us/graph/permissions-reference> and
//! merill/microsoft-info on GitHub (2026-08). They are stable, yet the directory's own
//! `servicePrincipals(appId=…)` is the judge wherever it is read.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

use crate::{
    ids::{PermissionId, ResourceId},
    registration::PermissionKind,
};

/// Microsoft Graph.
pub const GRAPH: ResourceId = ResourceId::from_uuid(uuid!("00000003-0000-0000-c000-000000000000"));
/// Microsoft Threat Protection, the API behind `api.security.microsoft.com`.
pub const THREAT_PROTECTION: ResourceId =
    ResourceId::from_uuid(uuid!("8ee8fdad-f234-4243-8f3b-15c294843740"));
/// WindowsDefenderATP, the API behind `api.securitycenter.microsoft.com`.
pub const DEFENDER_ENDPOINT: ResourceId =
    ResourceId::from_uuid(uuid!("fc780465-2017-40d4-a0c5-307022471b92"));

/// APIs that a manifest may call by name.
pub const RESOURCES: [(&str, ResourceId); 3] = [
    ("Microsoft Graph", GRAPH),
    ("Microsoft Threat Protection", THREAT_PROTECTION),
    ("WindowsDefenderATP", DEFENDER_ENDPOINT),
];

/// An API's name, or its id where it has none here.
pub fn api_name(resource: ResourceId) -> String {
    RESOURCES
        .iter()
        .find(|(_, id)| *id == resource)
        .map_or_else(|| resource.to_string(), |(name, _)| (*name).to_owned())
}

/// Whether a scope only steers the sign-in: such are asked for like permissions, permit nothing, and
/// a token need not name them
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/scopes-oidc>).
pub fn steers_the_sign_in(scope: &str) -> bool {
    matches!(scope, "offline_access" | "openid" | "profile" | "email")
}

/// A way for a SIEM to read a customer's incidents.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Connector {
    /// The article's SIEM method on today's endpoints: a reader's refresh token, and a click in
    /// the Defender portal. Microsoft calls it legacy.
    MsspSiem,
    /// Microsoft Graph's security API with permissions of the app itself.
    GraphSecurity,
    /// The Defender XDR API with permissions of the app itself.
    DefenderXdr,
}

/// Whether someone has to authorize the app in the Defender portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PortalAuthorization {
    /// Settings › Endpoints › APIs › SIEM › MSSP › Authorize application.
    Required,
    /// Entra's consent is all there is.
    NotNeeded,
}

/// The call that proves that incidents can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// `GET /v1.0/security/incidents?$top=1` on Microsoft Graph.
    GraphIncidents,
    /// `GET /api/incidents?$top=1` on the Defender XDR API.
    DefenderIncidents,
}

/// What a connector needs.
#[derive(Debug)]
pub struct Needs {
    /// The word in a manifest.
    pub name: &'static str,
    /// Permissions by name.
    pub permissions: &'static [(ResourceId, PermissionKind, &'static str)],
    /// Whether the portal step belongs to it.
    pub portal: PortalAuthorization,
    /// Whether a user signs in once and a refresh token is kept.
    pub delegated: bool,
    /// Whether Microsoft calls it legacy.
    pub legacy: bool,
    /// How `access` is proved.
    pub probe: Probe,
}

impl Needs {
    /// Whether the token that proves this connector is one of that API: it says nothing of others.
    pub fn judges(&self, resource: ResourceId) -> bool {
        self.permissions.first().is_some_and(|(first, ..)| *first == resource)
    }
}

const MSSP_SIEM: Needs = Needs {
    name: "mssp-siem",
    permissions: &[
        (GRAPH, PermissionKind::Delegated, "SecurityIncident.Read.All"),
        (GRAPH, PermissionKind::Delegated, "offline_access"),
    ],
    portal: PortalAuthorization::Required,
    delegated: true,
    legacy: true,
    probe: Probe::GraphIncidents,
};

const GRAPH_SECURITY: Needs = Needs {
    name: "graph-security",
    permissions: &[
        (GRAPH, PermissionKind::Application, "SecurityIncident.Read.All"),
        (GRAPH, PermissionKind::Application, "SecurityAlert.Read.All"),
    ],
    portal: PortalAuthorization::NotNeeded,
    delegated: false,
    legacy: false,
    probe: Probe::GraphIncidents,
};

const DEFENDER_XDR: Needs = Needs {
    name: "defender-xdr",
    permissions: &[(THREAT_PROTECTION, PermissionKind::Application, "Incident.Read.All")],
    portal: PortalAuthorization::NotNeeded,
    delegated: false,
    legacy: false,
    probe: Probe::DefenderIncidents,
};

impl Connector {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MsspSiem, Self::GraphSecurity, Self::DefenderXdr];

    /// What it needs.
    pub const fn needs(self) -> &'static Needs {
        match self {
            Self::MsspSiem => &MSSP_SIEM,
            Self::GraphSecurity => &GRAPH_SECURITY,
            Self::DefenderXdr => &DEFENDER_XDR,
        }
    }
}

impl fmt::Display for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.needs().name)
    }
}

impl FromStr for Connector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|c| c.needs().name == text)
            .ok_or_else(|| format!("no connector is named `{text}`"))
    }
}

/// Every permission whose id this build knows: resource, name, role id, scope id.
pub const KNOWN_PERMISSIONS: &[(ResourceId, &str, Option<Uuid>, Option<Uuid>)] = &[
    (
        GRAPH,
        "SecurityIncident.Read.All",
        Some(uuid!("45cc0394-e837-488b-a098-1918f48d186c")),
        Some(uuid!("b9abcc4f-94fc-4457-9141-d20ce80ec952")),
    ),
    (
        GRAPH,
        "SecurityIncident.ReadWrite.All",
        Some(uuid!("34bf0e97-1971-4929-b999-9e2442d941d7")),
        Some(uuid!("128ca929-1a19-45e6-a3b8-435ec44a36ba")),
    ),
    (
        GRAPH,
        "SecurityAlert.Read.All",
        Some(uuid!("472e4a4d-bb4a-4026-98d1-0b0d74cb74a5")),
        Some(uuid!("bc257fb8-46b4-4b15-8713-01e91bfbe4ea")),
    ),
    (
        GRAPH,
        "SecurityAlert.ReadWrite.All",
        Some(uuid!("ed4fca05-be46-441f-9803-1873825f8fdb")),
        Some(uuid!("471f2a7f-2a42-4d45-a2bf-594d0838070d")),
    ),
    (
        GRAPH,
        "SecurityEvents.Read.All",
        Some(uuid!("bf394140-e372-4bf9-a898-299cfc7564e5")),
        Some(uuid!("64733abd-851e-478a-bffb-e47a14b18235")),
    ),
    (
        GRAPH,
        "ThreatHunting.Read.All",
        Some(uuid!("dd98c7f5-2d42-42d3-a0e4-633161547251")),
        Some(uuid!("b152eca8-ea73-4a48-8c98-1a6742673d99")),
    ),
    (GRAPH, "User.Read", None, Some(uuid!("e1fe6dd8-ba31-4d61-89e7-88639da4683d"))),
    (GRAPH, "openid", None, Some(uuid!("37f7f235-527c-4136-accd-4a02d197296e"))),
    (GRAPH, "offline_access", None, Some(uuid!("7427e0e9-2fba-42fe-b0c0-848c9e6a8182"))),
    (GRAPH, "profile", None, Some(uuid!("14dad69e-099b-42c9-810b-d002981feec1"))),
    (GRAPH, "email", None, Some(uuid!("64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0"))),
    (
        THREAT_PROTECTION,
        "Incident.Read.All",
        Some(uuid!("a9790345-4595-42e4-971a-ccdc79f19b7c")),
        None,
    ),
    (
        THREAT_PROTECTION,
        "Incident.ReadWrite.All",
        Some(uuid!("8d90f441-09cf-4fdc-ab45-e874fa3a28e8")),
        None,
    ),
    (
        THREAT_PROTECTION,
        "AdvancedHunting.Read.All",
        Some(uuid!("7734e8e5-8dde-42fc-b5ae-6eafea078693")),
        None,
    ),
    (
        THREAT_PROTECTION,
        "CustomDetections.ReadWrite.All",
        Some(uuid!("a7deff90-e2f5-4e4e-83a3-2c74e7002e28")),
        None,
    ),
    (THREAT_PROTECTION, "Incident.Read", None, Some(uuid!("12c153a4-4204-4224-aa3c-4626e2f47c2b"))),
    (
        THREAT_PROTECTION,
        "Incident.ReadWrite",
        None,
        Some(uuid!("2af415cc-88cf-4146-a0c8-444c3a80d5db")),
    ),
    (
        THREAT_PROTECTION,
        "AdvancedHunting.Read",
        None,
        Some(uuid!("15f11de4-5113-4268-a2d1-0bad43d781f9")),
    ),
    (
        DEFENDER_ENDPOINT,
        "Alert.Read.All",
        Some(uuid!("71fe6b80-7034-4028-9ed8-0f316df9c3ff")),
        None,
    ),
    (
        DEFENDER_ENDPOINT,
        "Alert.ReadWrite.All",
        Some(uuid!("0f7000ec-157b-497f-b70e-ef0b0584f140")),
        None,
    ),
    (
        DEFENDER_ENDPOINT,
        "AdvancedQuery.Read.All",
        Some(uuid!("93489bf5-0fbc-4f2d-b901-33f2fe08ff05")),
        None,
    ),
    (
        DEFENDER_ENDPOINT,
        "Machine.Read.All",
        Some(uuid!("ea8291d3-4b9a-44b5-bc3a-6cea3026dc79")),
        None,
    ),
];

/// The id of a permission, where this build knows it.
pub fn known_permission(
    resource: ResourceId,
    kind: PermissionKind,
    name: &str,
) -> Option<PermissionId> {
    KNOWN_PERMISSIONS
        .iter()
        .find(|(r, n, _, _)| *r == resource && *n == name)
        .and_then(|(_, _, role, scope)| match kind {
            PermissionKind::Application => *role,
            PermissionKind::Delegated => *scope,
        })
        .map(PermissionId::from_uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connector_asks_for_permissions_this_build_can_name() {
        for connector in Connector::ALL {
            for (resource, kind, name) in connector.needs().permissions {
                assert!(known_permission(*resource, *kind, name).is_some(), "{connector}: {name}");
            }
            assert_eq!(connector.to_string().parse(), Ok(connector));
        }
    }
}
