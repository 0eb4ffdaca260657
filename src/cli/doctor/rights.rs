//! Which rights a manifest needs, which of them the operator holds, and how to get the others.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::failed;
use crate::{
    connector::GRAPH,
    entra::{Identity, IdentityKind},
    failure::{Cause, Failure},
    manifest::{ConsentStrategy, Layout, Manifest},
    plan::Scope,
    registration::PermissionKind,
    report::doctor::{Check, Health},
};

/// A right on Microsoft Graph that this manifest needs in the provider's directory, with what it is
/// for (<https://learn.microsoft.com/en-us/graph/permissions-reference>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Right {
    name: &'static str,
    /// The id of the app role, where Microsoft writes it down.
    id: Option<&'static str>,
    why: &'static str,
    /// Greater rights that hold it.
    within: &'static [&'static str],
}

/// <https://learn.microsoft.com/en-us/graph/api/application-upsert>
const OWN_APPS: Right = Right {
    name: "Application.ReadWrite.OwnedBy",
    id: Some("18a4783c-866b-4cc7-a460-3d5e5662c884"),
    why: "create apps, and change those that it made or owns",
    within: &["Application.ReadWrite.All"],
};
/// The same where a person acts: for people there is no lesser one.
const ALL_APPS: Right = Right {
    name: "Application.ReadWrite.All",
    id: Some("1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9"),
    why: "create and change apps, as far as the person may",
    within: &["Directory.AccessAsUser.All"],
};
/// <https://learn.microsoft.com/en-us/graph/api/application-post-owners>
const OTHERS_AS_OWNERS: Right = Right {
    name: "Application.ReadWrite.All",
    id: Some("1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9"),
    why: "add the owners that the manifest names",
    within: &[],
};
const WHO_IS_WHO: Right = Right {
    name: "Directory.Read.All",
    id: Some("7ab1d382-f21e-4acd-a863-ba3e13f7da61"),
    why: "add the owners that the manifest names",
    within: &["Directory.ReadWrite.All", "Directory.AccessAsUser.All"],
};
/// <https://learn.microsoft.com/en-us/graph/api/directory-deleteditems-list>
const READ_APPS: Right = Right {
    name: "Application.Read.All",
    id: Some("9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30"),
    why: "see the fleet, twins and the bin",
    within: &[
        "Application.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
        "Directory.AccessAsUser.All",
    ],
};
/// <https://learn.microsoft.com/en-us/graph/api/tenantappmanagementpolicy-get>
const READ_POLICIES: Right = Right {
    name: "Policy.Read.ApplicationConfiguration",
    id: None,
    why: "see app management policies before the plan",
    within: &[
        "Policy.Read.All",
        "Policy.ReadWrite.ApplicationConfiguration",
        "Directory.AccessAsUser.All",
    ],
};

/// What no plan needs and `init --from-contracts` does: holding it is not too much.
const OF_INIT: [&str; 3] = [
    "CrossTenantInformation.ReadBasic.All",
    "DelegatedAdminRelationship.Read.All",
    "Organization.Read.All",
];

/// What every token of a person carries.
const OF_EVERYBODY: [&str; 5] = ["openid", "profile", "email", "offline_access", "User.Read"];

/// How a reading that needs a right went.
pub(super) type Answer = Result<String, Failure>;

/// What is known of the operator's rights.
pub(super) struct Held<'a> {
    pub(super) identity: &'a Identity,
    /// Readings that show a right, by its name.
    pub(super) answers: BTreeMap<&'static str, Answer>,
}

/// The rights, for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rights {
    /// The least that the manifest needs in the provider's directory.
    pub(super) least: BTreeSet<&'static str>,
    /// Those of them that are missing.
    pub(super) missing: BTreeSet<&'static str>,
    /// The least in each customer's directory, where the operator acts there.
    pub(super) in_customers: BTreeSet<&'static str>,
    /// What the operator holds beyond all of these.
    pub(super) more: BTreeSet<String>,
}

fn needed(manifest: &Manifest, scope: &Scope, kind: IdentityKind) -> Vec<Right> {
    let mut apps = scope.apps.iter().filter_map(|key| manifest.apps.get(key));
    let names_owners = apps.any(|app| !app.owners.is_empty());
    let mut rights = Vec::new();
    match (kind, names_owners) {
        (_, true) => rights.extend([OTHERS_AS_OWNERS, WHO_IS_WHO]),
        (IdentityKind::App, false) => rights.extend([OWN_APPS, READ_APPS]),
        (IdentityKind::Person, false) => rights.push(ALL_APPS),
    }
    rights.push(READ_POLICIES);
    rights
}

/// What the operator needs in customers' directories: to enter an app of the provider's there takes
/// more than to make one of the customer's own
/// (<https://learn.microsoft.com/en-us/graph/permissions-grant-via-msgraph>,
/// <https://learn.microsoft.com/en-us/graph/api/serviceprincipal-post-serviceprincipals>).
fn in_customers(manifest: &Manifest, scope: &Scope) -> BTreeSet<&'static str> {
    let mut rights = BTreeSet::new();
    for tenant in scope.tenants.iter().filter_map(|key| manifest.tenants.get(key)) {
        let Some(app) = manifest.apps.get(&tenant.app) else { continue };
        let own = tenant.layout == Layout::InTenant;
        if own {
            rights.extend([OWN_APPS.name, READ_APPS.name, READ_POLICIES.name]);
        }
        match tenant.consent.strategy {
            ConsentStrategy::Link | ConsentStrategy::Browser => continue,
            ConsentStrategy::Grant => {}
        }
        if !own {
            rights.insert(ALL_APPS.name);
        }
        for permission in &app.permissions {
            rights.insert(match permission.kind {
                PermissionKind::Application => "AppRoleAssignment.ReadWrite.All",
                PermissionKind::Delegated => "DelegatedPermissionGrant.ReadWrite.All",
            });
        }
    }
    rights
}

/// Holds what the operator may against what the manifest needs.
pub(super) fn judge(manifest: &Manifest, scope: &Scope, held: &Held<'_>) -> (Rights, Vec<Check>) {
    let Held { identity, answers } = held;
    let carried: BTreeSet<&str> =
        identity.roles.iter().chain(&identity.scopes).map(String::as_str).collect();
    let needed = needed(manifest, scope, identity.kind);
    let mut checks = Vec::new();
    let mut missing = BTreeSet::new();
    for right in &needed {
        let Right { name, id: _, why, within } = right;
        let by = carried.get(name).or_else(|| within.iter().find_map(|one| carried.get(one)));
        let about = format!("{name}, to {why}");
        let check = match (by, answers.get(name)) {
            // The call is the judge; the token only says what was meant.
            (_, Some(Ok(seen))) => works(&about, seen),
            (_, Some(Err(failure))) if failure.cause == Cause::Privilege => {
                lacking(&about, failure.line(), identity, right)
            }
            // It failed for another reason: what that is, not a right that may be there.
            (_, Some(Err(failure))) => {
                checks.push(failed(&about, failure, "run it again later"));
                continue;
            }
            (Some(by), None) if by == name => works(&about, "in the token"),
            (Some(by), None) => works(&about, &format!("in the token, within {by}")),
            (None, None) if carried.is_empty() => Check {
                about,
                health: Health::Unknown,
                found: "the token does not say, and no reading shows it".to_owned(),
                remedy: Some(way_to(identity, right)),
            },
            (None, None) => lacking(&about, "not in the token".to_owned(), identity, right),
        };
        if check.health == Health::Missing {
            missing.insert(*name);
        }
        checks.push(check);
    }
    let least: BTreeSet<_> = needed.iter().map(|right| right.name).collect();
    let in_customers = in_customers(manifest, scope);
    let more = beyond(identity, &least.union(&in_customers).copied().collect());
    let listed =
        |names: &BTreeSet<&'static str>| names.iter().copied().collect::<Vec<_>>().join(", ");
    checks.push(noted("least rights for this manifest", listed(&least)));
    if !in_customers.is_empty() {
        checks.push(noted("least rights in customers' directories", listed(&in_customers)));
    }
    if !more.is_empty() {
        let names: Vec<_> = more.iter().map(String::as_str).collect();
        checks.push(Check {
            remedy: Some(
                "take away what nothing else needs: a leaked credential of the operator can do all \
                 of it"
                    .to_owned(),
            ),
            ..noted("more than this manifest needs", names.join(", "))
        });
    }
    (Rights { least, missing, in_customers, more }, checks)
}

/// What is held and nothing here needs. A person's tool asks for what it likes: what counts for
/// people are their roles.
fn beyond(identity: &Identity, needed: &BTreeSet<&'static str>) -> BTreeSet<String> {
    match identity.kind {
        IdentityKind::Person => BTreeSet::new(),
        IdentityKind::App => identity
            .roles
            .iter()
            .filter(|role| {
                let name = role.as_str();
                !needed.contains(name) && !OF_EVERYBODY.contains(&name) && !OF_INIT.contains(&name)
            })
            .cloned()
            .collect(),
    }
}

fn works(about: &str, found: &str) -> Check {
    Check { about: about.to_owned(), health: Health::Works, found: found.to_owned(), remedy: None }
}

fn noted(about: &str, found: String) -> Check {
    Check { about: about.to_owned(), health: Health::Noted, found, remedy: None }
}

fn lacking(about: &str, found: String, identity: &Identity, right: &Right) -> Check {
    Check {
        about: about.to_owned(),
        health: Health::Missing,
        found,
        remedy: Some(way_to(identity, right)),
    }
}

/// How to get a right: in the portal, and where its id is known by command.
fn way_to(identity: &Identity, right: &Right) -> String {
    let Right { name, id, why: _, within: _ } = right;
    let client = identity.client_id.map_or_else(|| "APP-ID".to_owned(), |id| id.to_string());
    match identity.kind {
        IdentityKind::App => {
            let portal = format!(
                "Entra ID › App registrations › {client} › API permissions › Microsoft Graph › \
                 Application permissions › {name}, then grant admin consent"
            );
            match id {
                Some(id) => format!(
                    "{portal}; or az ad app permission add --id {client} --api {GRAPH} \
                     --api-permissions {id}=Role && az ad app permission admin-consent --id {client}"
                ),
                None => portal,
            }
        }
        IdentityKind::Person => format!(
            "sign in with the role Cloud Application Administrator, or run as an app that holds \
             {name}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(defaults: &str) -> Manifest {
        let text = format!(
            "version: 1\nfleet: f\nhome: {{tenant: acme.example}}\nvault: {{path: v}}\n\
             defaults: {{redirectUris: [\"https://{{domain}}/x\"], signInAs: a@acme.example, {defaults}}}\n\
             tenants:\n  a: {{name: A, domain: a.example, connector: graph-security}}\n  \
             b: {{name: B, domain: b.example, connector: mssp-siem}}\n"
        );
        crate::manifest::parse(vec![("t.yaml".into(), text.into_bytes())]).unwrap()
    }

    fn identity(kind: IdentityKind, held: &[&str]) -> Identity {
        let held: BTreeSet<String> = held.iter().map(|&name| name.to_owned()).collect();
        let (roles, scopes) = match kind {
            IdentityKind::App => (held, BTreeSet::new()),
            IdentityKind::Person => (BTreeSet::new(), held),
        };
        Identity {
            directory: "6f1c0f5e-0000-4000-8000-000000000001".parse().unwrap(),
            kind,
            client_id: None,
            object_id: None,
            name: None,
            roles,
            scopes,
        }
    }

    fn rights(defaults: &str, kind: IdentityKind, held: &[&str]) -> (Rights, Vec<Check>) {
        let manifest = manifest(defaults);
        let identity = identity(kind, held);
        let held = Held { identity: &identity, answers: BTreeMap::new() };
        judge(&manifest, &Scope::all(&manifest), &held)
    }

    #[test]
    fn what_customers_must_grant_depends_on_how_consent_is_given() {
        let (link, _) = rights("connector: graph-security", IdentityKind::App, &[]);
        assert_eq!(link.in_customers, BTreeSet::new());
        let (grant, _) = rights("consent: {strategy: grant}", IdentityKind::App, &[]);
        let wanted = [
            "AppRoleAssignment.ReadWrite.All",
            "Application.ReadWrite.All",
            "DelegatedPermissionGrant.ReadWrite.All",
        ];
        assert_eq!(grant.in_customers, BTreeSet::from(wanted));
        // An app that the operator made there is its own; what is granted to it is granted by us.
        let wanted = [
            "AppRoleAssignment.ReadWrite.All",
            "Application.Read.All",
            "Application.ReadWrite.OwnedBy",
            "DelegatedPermissionGrant.ReadWrite.All",
            "Policy.Read.ApplicationConfiguration",
        ];
        let (theirs, _) = rights("layout: in-tenant", IdentityKind::App, &[]);
        assert_eq!(theirs.in_customers, BTreeSet::from(wanted));
    }

    #[test]
    fn what_customers_directories_need_is_not_too_much() {
        let held =
            ["Application.ReadWrite.OwnedBy", "AppRoleAssignment.ReadWrite.All", "Mail.Read"];
        let (grant, _) = rights("consent: {strategy: grant}", IdentityKind::App, &held);
        assert_eq!(grant.more, BTreeSet::from(["Mail.Read".to_owned()]));
        let (link, _) = rights("connector: graph-security", IdentityKind::App, &held);
        assert!(link.more.contains("AppRoleAssignment.ReadWrite.All"), "{:?}", link.more);
    }

    #[test]
    fn a_greater_right_holds_the_lesser_and_a_silent_token_is_unknown() {
        let of = |kind, held: &[&str]| {
            let (rights, checks) = rights("connector: graph-security", kind, held);
            (rights.missing.len(), checks.iter().filter(|c| c.health == Health::Unknown).count())
        };
        assert_eq!(
            of(IdentityKind::App, &["Application.ReadWrite.All", "Policy.Read.All"]),
            (0, 0)
        );
        assert_eq!(of(IdentityKind::App, &["Application.ReadWrite.OwnedBy"]), (2, 0));
        assert_eq!(of(IdentityKind::App, &[]), (0, 3));
        // Azure CLI's token lets a person do what the person may.
        assert_eq!(of(IdentityKind::Person, &["Directory.AccessAsUser.All"]), (0, 0));
        assert_eq!(of(IdentityKind::Person, &["User.Read"]), (2, 0));
    }

    #[test]
    fn only_an_app_can_hold_too_much() {
        let held = ["Application.ReadWrite.OwnedBy", "Mail.ReadWrite", "Organization.Read.All"];
        let (app, _) = rights("connector: graph-security", IdentityKind::App, &held);
        assert_eq!(app.more, BTreeSet::from(["Mail.ReadWrite".to_owned()]));
        let (person, _) = rights("connector: graph-security", IdentityKind::Person, &held);
        assert_eq!(person.more, BTreeSet::new());
    }
}
