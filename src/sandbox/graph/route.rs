//! Which operation an address and a method name.

use hyper::Method;

use super::path::{Key, Part, Version, parts};
use crate::sandbox::{
    odata::Shape,
    operation::Operation::{self, *},
    schema::Refusal,
};

/// Where a request goes.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Route {
    /// Graph's version.
    pub(in crate::sandbox) version: Version,
    /// The keys in the path, in order.
    pub(in crate::sandbox) keys: Vec<Key>,
    /// What the address names.
    pub(in crate::sandbox) shape: Shape,
    /// The type after `deletedItems`, where there is one.
    pub(in crate::sandbox) cast: Option<String>,
    /// Why there is no such operation.
    pub(in crate::sandbox) refusal: Option<Refusal>,
}

/// Finds the operation; an address that Graph does not know is one too, with its refusal.
pub(in crate::sandbox) fn route(method: &Method, path: &str) -> (Operation, Route) {
    let mut route = Route {
        version: Version::V1,
        keys: Vec::new(),
        shape: Shape::Single,
        cast: None,
        refusal: None,
    };
    match find(method, path, &mut route) {
        Ok(operation) => (operation, route),
        Err(refusal) => {
            route.refusal = Some(refusal);
            (UnknownGraph, route)
        }
    }
}

fn find(method: &Method, path: &str, route: &mut Route) -> Result<Operation, Refusal> {
    let (version, mut parts) = parts(path)?;
    route.version = version;
    if parts.last() == Some(&Part::Name("$count".to_owned())) {
        parts.pop();
        route.shape = Shape::Count;
    }
    let mut names = Vec::new();
    for part in &parts {
        match part {
            Part::Name(name) => names.push(name.as_str()),
            Part::Key(key) => {
                names.push("*");
                route.keys.push(key.clone());
            }
        }
    }
    if let ["directory", "deleteditems", cast, ..] = names.as_slice()
        && *cast != "*"
    {
        route.cast = Some((*cast).to_owned());
        names[2] = "cast";
    }
    let table = methods(&names, route.keys.first());
    if table.is_empty() {
        let last = names.iter().rev().find(|n| **n != "*").unwrap_or(&"");
        return Err(Refusal::malformed(format!("Resource not found for the segment '{last}'.")));
    }
    let operation = table.iter().find(|(m, _)| m == method).map(|(_, o)| *o).ok_or_else(|| {
        Refusal::new(
            405,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        )
    })?;
    match (route.shape, lists(operation)) {
        (Shape::Count, true) => {}
        (Shape::Count, false) => {
            return Err(Refusal::malformed("Resource not found for the segment '$count'."));
        }
        (Shape::Collection | Shape::Single, true) => route.shape = Shape::Collection,
        (Shape::Collection | Shape::Single, false) => route.shape = Shape::Single,
    }
    Ok(operation)
}

/// The methods of an address; none where Graph knows no such address.
fn methods(names: &[&str], key: Option<&Key>) -> Vec<(Method, Operation)> {
    let (get, post, patch, delete) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
    match names {
        ["applications"] => vec![(get, ListApplications), (post, CreateApplication)],
        ["applications", "*"] => {
            let upsert = matches!(key, Some(Key::Alternate(name, _)) if name == "uniqueName");
            vec![
                (get, GetApplication),
                (patch, if upsert { UpsertApplication } else { UpdateApplication }),
                (delete, DeleteApplication),
            ]
        }
        ["applications", "*", "addpassword"] => vec![(post, AddPassword)],
        ["applications", "*", "removepassword"] => vec![(post, RemovePassword)],
        ["applications", "*", "owners"] => vec![(get, ListOwners)],
        ["applications", "*", "owners", "$ref"] => vec![(get, ListOwners), (post, AddOwner)],
        ["applications", "*", "owners", "*", "$ref"] => vec![(delete, RemoveOwner)],
        ["applications", "*", "federatedidentitycredentials"] => {
            vec![(get, ListFederated), (post, AddFederated)]
        }
        ["applications", "*", "federatedidentitycredentials", "*"] => {
            vec![(get, GetFederated), (patch, UpdateFederated), (delete, RemoveFederated)]
        }
        ["applications", "*", "appmanagementpolicies"] => vec![(get, ListApplicationPolicies)],
        ["applications", "*", "appmanagementpolicies", "$ref"] => {
            vec![(get, ListApplicationPolicies), (post, AssignPolicy)]
        }
        ["applications", "*", "appmanagementpolicies", "*", "$ref"] => {
            vec![(delete, UnassignPolicy)]
        }

        ["directory", "deleteditems", "cast"] => vec![(get, ListDeletedItems)],
        ["directory", "deleteditems", "*"] => {
            vec![(get, GetDeletedItem), (delete, PurgeDeletedItem)]
        }
        ["directory", "deleteditems", "*", "application" | "serviceprincipal"] => {
            vec![(get, GetDeletedItem)]
        }
        ["directory", "deleteditems", "*", "restore"] => vec![(post, RestoreDeletedItem)],

        ["serviceprincipals"] => vec![(get, ListServicePrincipals), (post, CreateServicePrincipal)],
        ["serviceprincipals", "*"] => vec![
            (get, GetServicePrincipal),
            (patch, UpdateServicePrincipal),
            (delete, DeleteServicePrincipal),
        ],
        ["serviceprincipals", "*", "owners"] => vec![(get, ListServicePrincipalOwners)],
        ["serviceprincipals", "*", "oauth2permissiongrants"] => {
            vec![(get, ListServicePrincipalGrants)]
        }
        ["serviceprincipals", "*", "approleassignments"] => {
            vec![(get, ListAppRoleAssignments), (post, CreateAppRoleAssignment)]
        }
        ["serviceprincipals", "*", "approleassignedto"] => {
            vec![(get, ListAppRoleAssignedTo), (post, CreateAppRoleAssignment)]
        }
        ["serviceprincipals", "*", "approleassignments" | "approleassignedto", "*"] => {
            vec![(get, GetAppRoleAssignment), (delete, DeleteAppRoleAssignment)]
        }

        ["oauth2permissiongrants"] => vec![(get, ListGrants), (post, CreateGrant)],
        ["oauth2permissiongrants", "*"] => {
            vec![(get, GetGrant), (patch, UpdateGrant), (delete, DeleteGrant)]
        }

        ["organization"] => vec![(get, ListOrganizations)],
        ["organization", "*"] => vec![(get, GetOrganization)],
        ["domains"] => vec![(get, ListDomains)],
        ["domains", "*"] => vec![(get, GetDomain)],
        ["users"] => vec![(get, ListUsers)],
        ["users", "*"] => vec![(get, GetUser)],
        ["directoryobjects", "*"] => vec![(get, GetDirectoryObject)],

        ["policies", "defaultappmanagementpolicy"] => {
            vec![(get, GetDefaultPolicy), (patch, UpdateDefaultPolicy)]
        }
        ["policies", "appmanagementpolicies"] => vec![(get, ListPolicies), (post, CreatePolicy)],
        ["policies", "appmanagementpolicies", "*"] => {
            vec![(get, GetPolicy), (patch, UpdatePolicy), (delete, DeletePolicy)]
        }
        ["policies", "appmanagementpolicies", "*", "appliesto"] => vec![(get, ListPolicyTargets)],

        ["tenantrelationships", "findtenantinformationbytenantid", "*"] => {
            vec![(get, FindTenantById)]
        }
        ["tenantrelationships", "findtenantinformationbydomainname", "*"] => {
            vec![(get, FindTenantByDomain)]
        }

        ["tenantrelationships", "delegatedadminrelationships"] => vec![(get, ListRelationships)],
        ["tenantrelationships", "delegatedadminrelationships", "*"] => {
            vec![(get, GetRelationship)]
        }

        ["security", "incidents"] => vec![(get, ListIncidents)],
        ["security", "incidents", "*"] => vec![(get, GetIncident)],
        ["security", "alerts_v2"] => vec![(get, ListAlerts)],
        ["security", "alerts_v2", "*"] => vec![(get, GetAlert)],

        ["$batch"] => vec![(post, Batch)],
        _ => Vec::new(),
    }
}

fn lists(operation: Operation) -> bool {
    matches!(
        operation,
        ListApplications
            | ListOwners
            | ListFederated
            | ListApplicationPolicies
            | ListDeletedItems
            | ListServicePrincipals
            | ListServicePrincipalOwners
            | ListServicePrincipalGrants
            | ListAppRoleAssignments
            | ListAppRoleAssignedTo
            | ListGrants
            | ListOrganizations
            | ListDomains
            | ListUsers
            | ListPolicies
            | ListPolicyTargets
            | ListRelationships
            | ListIncidents
            | ListAlerts
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_find_their_operations() {
        for (method, path, operation) in [
            ("GET", "/v1.0/applications", ListApplications),
            ("GET", "/v1.0/applications/$count", ListApplications),
            ("PATCH", "/v1.0/applications(uniqueName='x')", UpsertApplication),
            ("PATCH", "/beta/applications(appId='x')", UpdateApplication),
            ("POST", "/v1.0/applications/1/microsoft.graph.addPassword", AddPassword),
            ("POST", "/v1.0/directory/deletedItems/1/restore", RestoreDeletedItem),
            ("GET", "/v1.0/directory/deletedItems/microsoft.graph.application", ListDeletedItems),
            ("DELETE", "/v1.0/applications/1/owners/2/$ref", RemoveOwner),
            ("POST", "/v1.0/$batch", Batch),
        ] {
            let method: Method = method.parse().unwrap();
            let (found, route) = route(&method, path);
            assert_eq!(found, operation, "{path} {:?}", route.refusal);
        }
    }

    #[test]
    fn other_addresses_and_methods_are_refused() {
        for (method, path, status) in [
            ("PUT", "/v1.0/applications", 405),
            ("HEAD", "/v1.0/applications", 405),
            ("GET", "/v1.0/applicationz", 400),
            ("GET", "/v1.0", 400),
            ("GET", "/v1.0/applications/1/$count", 400),
            ("POST", "/v1.0/applications/1/addPasswords", 400),
        ] {
            let method: Method = method.parse().unwrap();
            let (found, route) = route(&method, path);
            assert_eq!(found, UnknownGraph);
            assert_eq!(route.refusal.unwrap().status, status, "{path}");
        }
    }
}
