//! Microsoft's own APIs, as each directory holds them: service principals with fixed ids of
//! permissions.
//!
//! The ids are Microsoft's, from <https://learn.microsoft.com/en-us/graph/permissions-reference>
//! and the lists at <https://github.com/merill/microsoft-info>; where none was found, one that is
//! ours stands in, derived from the name. Clients look ids up in the service principal.

use serde_json::{Value, json};

use crate::sandbox::random::derived_guid;

/// Microsoft Graph.
pub(in crate::sandbox) const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
/// Microsoft Threat Protection: the Defender XDR API.
pub(in crate::sandbox) const THREAT_PROTECTION: &str = "8ee8fdad-f234-4243-8f3b-15c294843740";
/// WindowsDefenderATP: the Defender for Endpoint API.
pub(in crate::sandbox) const DEFENDER_ATP: &str = "fc780465-2017-40d4-a0c5-307022471b92";
/// Azure Resource Manager ("Windows Azure Service Management API").
pub(in crate::sandbox) const ARM: &str = "797f4846-ba00-4fd7-ba43-dac1f8f63013";
/// Azure Key Vault.
pub(in crate::sandbox) const KEY_VAULT: &str = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093";
/// The directory that owns Microsoft's apps.
const MICROSOFT: &str = "f8cdef31-a31e-4b4a-93e4-5f571e91255a";

/// One permission: its name, the app role's id, the delegated scope's id (empty where it has none).
type Permission = (&'static str, &'static str, &'static str);

/// One API of Microsoft's.
pub(in crate::sandbox) struct FirstParty {
    /// Its client id.
    pub(in crate::sandbox) app_id: &'static str,
    /// Its display name.
    pub(in crate::sandbox) name: &'static str,
    /// The names under which tokens for it are asked, without a trailing slash.
    pub(in crate::sandbox) names: &'static [&'static str],
    permissions: &'static [Permission],
}

/// An id that no source gave: the sandbox derives one.
const OURS: &str = "?";

/// All that the sandbox knows.
pub(in crate::sandbox) const ALL: &[FirstParty] = &[
    FirstParty {
        app_id: GRAPH,
        name: "Microsoft Graph",
        names: &[
            "https://graph.microsoft.com",
            "https://graph.microsoft.us",
            "https://dod-graph.microsoft.us",
            "https://microsoftgraph.chinacloudapi.cn",
        ],
        permissions: &[
            (
                "SecurityIncident.Read.All",
                "45cc0394-e837-488b-a098-1918f48d186c",
                "b9abcc4f-94fc-4457-9141-d20ce80ec952",
            ),
            (
                "SecurityIncident.ReadWrite.All",
                "34bf0e97-1971-4929-b999-9e2442d941d7",
                "128ca929-1a19-45e6-a3b8-435ec44a36ba",
            ),
            (
                "SecurityAlert.Read.All",
                "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5",
                "bc257fb8-46b4-4b15-8713-01e91bfbe4ea",
            ),
            (
                "SecurityAlert.ReadWrite.All",
                "ed4fca05-be46-441f-9803-1873825f8fdb",
                "471f2a7f-2a42-4d45-a2bf-594d0838070d",
            ),
            (
                "SecurityEvents.Read.All",
                "bf394140-e372-4bf9-a898-299cfc7564e5",
                "64733abd-851e-478a-bffb-e47a14b18235",
            ),
            (
                "ThreatHunting.Read.All",
                "dd98c7f5-2d42-42d3-a0e4-633161547251",
                "b152eca8-ea73-4a48-8c98-1a6742673d99",
            ),
            (
                "Application.Read.All",
                "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
                "c79f8feb-a9db-4090-85f9-90d820caa0eb",
            ),
            (
                "Application.ReadWrite.All",
                "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
                "bdfbf15f-ee85-4955-8675-146e8e5296b5",
            ),
            ("Application.ReadWrite.OwnedBy", "18a4783c-866b-4cc7-a460-3d5e5662c884", ""),
            ("AppRegistration.Create", OURS, OURS),
            (
                "AppRoleAssignment.ReadWrite.All",
                "06b708a9-e830-4db3-a914-8e69da51d44f",
                "84bccea3-f856-4a8a-967b-dbe0a3d53a64",
            ),
            (
                "DelegatedPermissionGrant.ReadWrite.All",
                "8e8e4742-1d95-4f68-9d56-6ee75648c72a",
                "41ce6ca6-6826-4807-84f1-1c82854f7ee5",
            ),
            (
                "Policy.Read.All",
                "246dd0d5-5bd0-4def-940b-0421030a5b68",
                "572fea84-0151-49b2-9301-11cb16974376",
            ),
            ("Policy.Read.ApplicationConfiguration", OURS, OURS),
            (
                "Policy.ReadWrite.ApplicationConfiguration",
                "be74164b-cff1-491c-8741-e671cb536e13",
                "b27add92-efb2-4f16-84f5-8108ba77985c",
            ),
            (
                "Directory.Read.All",
                "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
                "06da0dbc-49e2-44d2-8312-53f166ab848a",
            ),
            (
                "Organization.Read.All",
                "498476ce-e0fe-48b0-b801-37ba7e2685c6",
                "4908d5b9-3fb2-4b1e-9336-1888b7937185",
            ),
            (
                "CrossTenantInformation.ReadBasic.All",
                "cac88765-0581-4025-9725-5ebc13f729ee",
                "81594d25-e88e-49cf-ac8c-fecbff49f994",
            ),
            (
                "DelegatedAdminRelationship.Read.All",
                "f6e9e124-4586-492f-adc0-c6f96e4823fd",
                "0c0064ea-477b-4130-82a5-4c2cc4ff68aa",
            ),
            (
                "DelegatedAdminRelationship.ReadWrite.All",
                "cc13eba4-8cd8-44c6-b4d4-f93237adce58",
                "885f682f-a990-4bad-a642-36736a74b0c7",
            ),
            (
                "Domain.Read.All",
                "dbb9058a-0e50-45d7-ae91-66909b5d4664",
                "2f9ee017-59c1-4f1d-9472-bd5529a7b311",
            ),
            (
                "User.Read.All",
                "df021288-bdef-4463-88db-98f22de89214",
                "a154be20-db9c-4678-8ab7-66f6cc099a59",
            ),
            ("User.Read", "", "e1fe6dd8-ba31-4d61-89e7-88639da4683d"),
            ("openid", "", "37f7f235-527c-4136-accd-4a02d197296e"),
            ("offline_access", "", "7427e0e9-2fba-42fe-b0c0-848c9e6a8182"),
            ("profile", "", "14dad69e-099b-42c9-810b-d002981feec1"),
            ("email", "", "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0"),
        ],
    },
    FirstParty {
        app_id: THREAT_PROTECTION,
        name: "Microsoft Threat Protection",
        names: &["https://api.security.microsoft.com"],
        permissions: &[
            ("Incident.Read.All", "a9790345-4595-42e4-971a-ccdc79f19b7c", ""),
            ("Incident.ReadWrite.All", "8d90f441-09cf-4fdc-ab45-e874fa3a28e8", ""),
            ("AdvancedHunting.Read.All", "7734e8e5-8dde-42fc-b5ae-6eafea078693", ""),
            ("CustomDetections.ReadWrite.All", "a7deff90-e2f5-4e4e-83a3-2c74e7002e28", ""),
            ("Incident.Read", "", "12c153a4-4204-4224-aa3c-4626e2f47c2b"),
            ("Incident.ReadWrite", "", "2af415cc-88cf-4146-a0c8-444c3a80d5db"),
            ("AdvancedHunting.Read", "", "15f11de4-5113-4268-a2d1-0bad43d781f9"),
        ],
    },
    FirstParty {
        app_id: DEFENDER_ATP,
        name: "WindowsDefenderATP",
        names: &[
            "https://api.securitycenter.microsoft.com",
            "https://securitycenter.onmicrosoft.com/windowsatpservice",
        ],
        permissions: &[
            ("Alert.Read.All", "71fe6b80-7034-4028-9ed8-0f316df9c3ff", ""),
            ("Alert.ReadWrite.All", "0f7000ec-157b-497f-b70e-ef0b0584f140", ""),
            ("AdvancedQuery.Read.All", "93489bf5-0fbc-4f2d-b901-33f2fe08ff05", ""),
            ("Machine.Read.All", "ea8291d3-4b9a-44b5-bc3a-6cea3026dc79", ""),
        ],
    },
    FirstParty {
        app_id: ARM,
        name: "Windows Azure Service Management API",
        names: &["https://management.azure.com", "https://management.core.windows.net"],
        permissions: &[("user_impersonation", "", "41094075-9dad-400e-a0bd-54e686782033")],
    },
    FirstParty {
        app_id: KEY_VAULT,
        name: "Azure Key Vault",
        names: &[
            "https://vault.azure.net",
            "https://vault.usgovcloudapi.net",
            "https://vault.azure.cn",
        ],
        permissions: &[("user_impersonation", "", "f53da476-18e3-4152-8e01-aec403e6edc0")],
    },
];

/// The API of that client id.
pub(in crate::sandbox) fn by_app_id(app_id: &str) -> Option<&'static FirstParty> {
    ALL.iter().find(|f| f.app_id.eq_ignore_ascii_case(app_id))
}

/// The API that a token is asked for by this name (without a trailing slash).
pub(in crate::sandbox) fn by_resource(name: &str) -> Option<&'static FirstParty> {
    let name = name.strip_prefix("spn:").unwrap_or(name);
    ALL.iter().find(|f| {
        f.app_id.eq_ignore_ascii_case(name) || f.names.iter().any(|n| n.eq_ignore_ascii_case(name))
    })
}

impl FirstParty {
    /// The object id of its service principal in a directory.
    pub(in crate::sandbox) fn object_id(&self, tenant: &str) -> String {
        derived_guid(&["servicePrincipal", tenant, self.app_id])
    }

    /// The id of an app role by its name.
    pub(in crate::sandbox) fn role_id(&self, name: &str) -> Option<String> {
        self.permissions
            .iter()
            .find(|(n, role, _)| *n == name && !role.is_empty())
            .map(|(n, role, _)| real(role, "appRole", n))
    }

    /// Its service principal, as Graph shows it.
    pub(in crate::sandbox) fn principal(&self, tenant: &str) -> Value {
        let roles: Vec<Value> = self
            .permissions
            .iter()
            .filter(|(_, role, _)| !role.is_empty())
            .map(|(name, role, _)| {
                json!({"allowedMemberTypes": ["Application"], "description": name, "displayName": name,
                       "id": real(role, "appRole", name), "isEnabled": true, "origin": "Application", "value": name})
            })
            .collect();
        let scopes: Vec<Value> = self
            .permissions
            .iter()
            .filter(|(_, _, scope)| !scope.is_empty())
            .map(|(name, _, scope)| {
                json!({"adminConsentDescription": name, "adminConsentDisplayName": name,
                       "id": real(scope, "scope", name), "isEnabled": true,
                       "type": if name.contains('.') && name.ends_with(".All") { "Admin" } else { "User" },
                       "userConsentDescription": null, "userConsentDisplayName": null, "value": name})
            })
            .collect();
        let mut names: Vec<String> = vec![self.app_id.to_owned()];
        names.extend(self.names.iter().map(|n| (*n).to_owned()));
        json!({
            "id": self.object_id(tenant),
            "deletedDateTime": null,
            "accountEnabled": true,
            "appDisplayName": self.name,
            "appId": self.app_id,
            "appOwnerOrganizationId": MICROSOFT,
            "appRoleAssignmentRequired": false,
            "displayName": self.name,
            "servicePrincipalNames": names,
            "servicePrincipalType": "Application",
            "signInAudience": "AzureADMultipleOrgs",
            "tags": [],
            "appRoles": roles,
            "oauth2PermissionScopes": scopes,
            "keyCredentials": [],
            "passwordCredentials": [],
            "replyUrls": [],
            "alternativeNames": [],
            "notificationEmailAddresses": [],
            "addIns": [],
        })
    }
}

fn real(id: &str, kind: &str, name: &str) -> String {
    if id == OURS { derived_guid(&["permission", kind, name]) } else { id.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_a_guid_and_none_stands_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for api in ALL {
            for (name, role, scope) in api.permissions {
                for (id, kind) in [(role, "appRole"), (scope, "scope")] {
                    if id.is_empty() {
                        continue;
                    }
                    let id = real(id, kind, name);
                    assert!(uuid::Uuid::parse_str(&id).is_ok(), "{name} {id}");
                    assert!(seen.insert(id.clone()), "{name} {id}");
                }
            }
        }
    }

    #[test]
    fn resources_are_found_by_each_of_their_names() {
        assert_eq!(by_resource("https://GRAPH.microsoft.us").unwrap().app_id, GRAPH);
        assert_eq!(by_resource(THREAT_PROTECTION).unwrap().app_id, THREAT_PROTECTION);
        assert!(by_resource("https://graph.windows.net").is_none());
    }
}
