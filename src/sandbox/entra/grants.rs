//! What was consented to in a directory, and what consenting makes there
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/permissions-consent-overview>).

use serde_json::{Value, json};

use crate::sandbox::{
    clock::graph_time,
    graph::principals,
    random,
    world::{
        World,
        apps::App,
        directory::{Defender, Directory},
        first_party,
    },
};

/// One permission of one API, as a registration or a link names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct Permission {
    /// The client id of the API.
    pub(in crate::sandbox) resource: String,
    /// The API's display name.
    pub(in crate::sandbox) api: String,
    /// The id of the role or scope.
    pub(in crate::sandbox) id: String,
    /// Its name, such as `SecurityIncident.Read.All`.
    pub(in crate::sandbox) value: String,
    /// Of the app itself, or on behalf of a user.
    pub(in crate::sandbox) kind: Kind,
}

/// Whose permission it is, and who may consent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Kind {
    /// An app role: administrators only.
    Application,
    /// A delegated scope that only administrators consent to.
    AdminScope,
    /// A delegated scope that a user may consent to.
    UserScope,
}

/// Scopes of OpenID Connect: every consent to Microsoft Graph includes them.
pub(super) const OPENID: &[&str] = &["openid", "profile", "email"];

/// The API of that client id as a directory knows it; first-party APIs are described even where
/// the directory does not have them.
fn describe(world: &World, directory: &Directory, resource: &str) -> Option<Value> {
    directory
        .principal_by_app_id(resource)
        .or_else(|| first_party::by_app_id(resource).map(|f| f.principal(&directory.meta.id)))
        .or_else(|| {
            let (home, _) = world.client(resource)?;
            world.directory(home)?.principal_by_app_id(resource)
        })
}

/// A delegated scope of an API by its name.
pub(super) fn scope(
    world: &World,
    directory: &Directory,
    resource: &str,
    name: &str,
) -> Option<Permission> {
    let api = describe(world, directory, resource)?;
    let found = api["oauth2PermissionScopes"]
        .as_array()?
        .iter()
        .find(|s| s["value"].as_str().is_some_and(|v| v.eq_ignore_ascii_case(name)))?;
    Some(permission(resource, &api, found, scope_kind(found)))
}

fn scope_kind(scope: &Value) -> Kind {
    if scope["type"] == "Admin" { Kind::AdminScope } else { Kind::UserScope }
}

fn permission(resource: &str, api: &Value, found: &Value, kind: Kind) -> Permission {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Permission {
        resource: resource.to_owned(),
        api: text(&api["displayName"]),
        id: text(&found["id"]),
        value: text(&found["value"]),
        kind,
    }
}

/// Everything in an app's `requiredResourceAccess`; with a resource, only what it asks of that.
pub(super) fn registered(
    world: &World,
    directory: &Directory,
    app: &App,
    only: Option<&str>,
) -> Vec<Permission> {
    let mut all = Vec::new();
    for entry in app.graph["requiredResourceAccess"].as_array().into_iter().flatten() {
        let resource = entry["resourceAppId"].as_str().unwrap_or_default().to_ascii_lowercase();
        if only.is_some_and(|o| o != resource) {
            continue;
        }
        let Some(api) = describe(world, directory, &resource) else {
            continue;
        };
        for access in entry["resourceAccess"].as_array().into_iter().flatten() {
            let (list, role) = if access["type"] == "Role" {
                ("appRoles", true)
            } else {
                ("oauth2PermissionScopes", false)
            };
            let same = |v: &&Value| {
                v["id"]
                    .as_str()
                    .zip(access["id"].as_str())
                    .is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
            };
            if let Some(found) = api[list].as_array().into_iter().flatten().find(same) {
                let kind = if role { Kind::Application } else { scope_kind(found) };
                all.push(permission(&resource, &api, found, kind));
            }
        }
    }
    all
}

/// The scopes that an app holds on an API for a user: granted for everyone, or by that user.
pub(super) fn scopes(
    directory: &Directory,
    client: &str,
    resource: &str,
    user: &str,
) -> Vec<String> {
    let id = |app: &str| {
        directory.principal_by_app_id(app).and_then(|p| p["id"].as_str().map(str::to_owned))
    };
    let (Some(client), Some(resource)) = (id(client), id(resource)) else {
        return Vec::new();
    };
    let mut all: Vec<String> = directory
        .grants
        .iter()
        .filter(|g| g["clientId"] == client.as_str() && g["resourceId"] == resource.as_str())
        .filter(|g| g["consentType"] == "AllPrincipals" || g["principalId"] == user)
        .filter_map(|g| g["scope"].as_str())
        .flat_map(str::split_ascii_whitespace)
        .map(str::to_owned)
        .collect();
    all.sort();
    all.dedup();
    all
}

/// For whom a consent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For<'a> {
    /// For every user: an administrator's consent.
    Everyone,
    /// For one user, by object id.
    User(&'a str),
}

/// An API that the directory neither has nor can get (650052).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoSuchService {
    /// The API's display name.
    pub(super) api: String,
}

/// Makes a consent: the app's service principal, those of the APIs, grants and assignments. What
/// is there already stays; nothing is made when one API cannot be had.
///
/// # Errors
/// When the directory lacks an API and has no subscription for it.
pub(super) fn consent(
    world: &mut World,
    tenant: &str,
    client: &str,
    permissions: &[Permission],
    whom: For<'_>,
) -> Result<(), NoSuchService> {
    let Some(directory) = world.directory(tenant) else {
        return Ok(());
    };
    let mut missing: Vec<String> = Vec::new();
    for permission in permissions {
        if directory.principal_by_app_id(&permission.resource).is_some()
            || missing.contains(&permission.resource)
        {
            continue;
        }
        let defender = [first_party::THREAT_PROTECTION, first_party::DEFENDER_ATP];
        let refused = defender.contains(&permission.resource.as_str())
            && directory.meta.people.defender == Defender::NotProvisioned;
        if refused || first_party::by_app_id(&permission.resource).is_none() {
            return Err(NoSuchService { api: permission.api.clone() });
        }
        missing.push(permission.resource.clone());
    }
    let principal =
        directory.principals.by_app_id(client).and_then(|p| p["id"].as_str()).map(str::to_owned);
    let made = match (&principal, world.client(client)) {
        (None, Some((home, app))) => Some(principals::of_application(app, home, None)),
        (None, None) => return Ok(()),
        (Some(_), _) => None,
    };
    if !missing.is_empty() {
        world.change_meta(tenant, |m| m.first_party.extend(missing));
    }
    let principal = match (principal, made) {
        (Some(id), _) => id,
        (None, Some((id, value))) => {
            world.put_principal(tenant, &id, value);
            id
        }
        (None, None) => return Ok(()),
    };
    for permission in permissions {
        match permission.kind {
            Kind::Application => assign(world, tenant, &principal, permission),
            Kind::AdminScope | Kind::UserScope => {
                grant(world, tenant, &principal, permission, whom)
            }
        }
    }
    Ok(())
}

fn assign(world: &mut World, tenant: &str, principal: &str, permission: &Permission) {
    let Some(directory) = world.directory(tenant) else {
        return;
    };
    let Some(resource) = directory.principal_by_app_id(&permission.resource) else {
        return;
    };
    let twice = directory.assignments.iter().any(|a| {
        a["principalId"] == principal
            && a["resourceId"] == resource["id"]
            && a["appRoleId"] == permission.id.as_str()
    });
    if twice {
        return;
    }
    let name = directory.principal(principal).map(|p| p["displayName"].clone());
    let id = random::guid().replace('-', "");
    let value = json!({
        "id": id, "deletedDateTime": null, "appRoleId": permission.id,
        "createdDateTime": graph_time(world.now()), "principalDisplayName": name,
        "principalId": principal, "principalType": "ServicePrincipal",
        "resourceDisplayName": resource["displayName"], "resourceId": resource["id"],
    });
    world.put_assignment(tenant, &id, value);
}

fn grant(world: &mut World, tenant: &str, principal: &str, permission: &Permission, whom: For<'_>) {
    let Some(directory) = world.directory(tenant) else {
        return;
    };
    let Some(resource) = directory.principal_by_app_id(&permission.resource) else {
        return;
    };
    let (consent, user) = match whom {
        For::Everyone => ("AllPrincipals", Value::Null),
        For::User(id) => ("Principal", json!(id)),
    };
    let there = directory.grants.iter().find(|g| {
        g["clientId"] == principal && g["resourceId"] == resource["id"] && g["principalId"] == user
    });
    let mut value = there.cloned().unwrap_or_else(|| {
        json!({"clientId": principal, "consentType": consent, "id": random::guid().replace('-', ""),
               "principalId": user, "resourceId": resource["id"], "scope": ""})
    });
    let scope = value["scope"].as_str().unwrap_or_default();
    if scope.split_ascii_whitespace().any(|s| s == permission.value) {
        return;
    }
    value["scope"] = json!(format!("{scope} {}", permission.value).trim());
    let id = value["id"].as_str().unwrap_or_default().to_owned();
    world.put_grant(tenant, &id, value);
}
