//! What the operator grants to an app in a customer's directory, by Graph: the steps of strategy
//! `grant`, and an in-tenant app's own service principal.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

use super::{
    AppPlan, Seen,
    app::permission_id,
    diagnostic::{Code, Diagnostic},
    marks,
    step::{Change, Step},
};
use crate::{
    connector::GRAPH,
    failure::{Cause, Failure},
    ids::{FleetName, PermissionId, ResourceId, TenantId},
    inventory::{FoundPrincipal, Inventory, Principals, Rights, Sight},
    manifest::{App, ConsentStrategy, Layout, NamedPermission, Tenant},
    registration::PermissionKind,
};

/// With this tag the portal lists a service principal under enterprise applications
/// (<https://learn.microsoft.com/en-us/graph/api/resources/serviceprincipal>, `tags`).
const LISTED: &str = "WindowsAzureActiveDirectoryIntegratedApp";

/// Whose service principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The app's own; which client id that is, the app's steps may have to find out first.
    App,
    /// An API's: this directory does not have it yet.
    Api(ResourceId),
}

impl Serialize for Whose {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::App => to.serialize_str("app"),
            Self::Api(api) => to.collect_str(api),
        }
    }
}

/// One call that grants something in a customer's directory
/// (<https://learn.microsoft.com/en-us/graph/permissions-grant-via-msgraph>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Grant {
    /// Makes an app known there.
    CreateServicePrincipal {
        /// Whose.
        of: Whose,
        /// What it is found by; empty for an API's.
        tags: BTreeSet<String>,
    },
    /// Gives the app a permission of its own.
    GrantAppRole {
        /// Of which API.
        resource: ResourceId,
        /// Which one.
        role: PermissionId,
        /// Its name.
        name: String,
    },
    /// Lets the app act for everyone of the directory who signs in to it.
    GrantScopes {
        /// Of which API.
        resource: ResourceId,
        /// What was granted before, kept, and what is then.
        scopes: Change<BTreeSet<String>>,
    },
}

impl Grant {
    /// The stable word for a kind of step, in JSON and in events.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CreateServicePrincipal { .. } => "create-service-principal",
            Self::GrantAppRole { .. } => "grant-app-role",
            Self::GrantScopes { .. } => "grant-scopes",
        }
    }
}

/// What is to be granted for one tenant.
#[derive(Debug, Default)]
pub(super) struct Grants {
    pub(super) steps: Vec<Grant>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Whether, once these steps are done, nobody's consent is missing.
    pub(super) whole: bool,
}

impl Grants {
    /// The operator cannot do it, or not all of it.
    fn left_to_the_link(mut self, why: String, hint: String) -> Self {
        self.whole = false;
        self.diagnostics.push(Diagnostic::new(Code::MayNotGrant, why).hint(hint));
        self
    }
}

/// What a part of a grant needs, and whether the operator has it.
struct Needed<'a> {
    rights: &'a Rights,
    missing: BTreeSet<&'static str>,
}

impl Needed<'_> {
    /// Whether one of these rights is held, as far as is known; the first of them is asked for.
    fn allows(&mut self, enough: &[&'static str]) -> bool {
        let allowed = match self.rights {
            Rights::Exactly(held) => enough.iter().any(|right| held.contains(*right)),
            Rights::Unknown => true,
        };
        if !allowed {
            self.missing.extend(enough.first());
        }
        allowed
    }
}

const OWN_APPS: &str = "Application.ReadWrite.OwnedBy";
const ALL_APPS: &str = "Application.ReadWrite.All";
const READ_APPS: &str = "Application.Read.All";
const ROLES: &str = "AppRoleAssignment.ReadWrite.All";
const SCOPES: &str = "DelegatedPermissionGrant.ReadWrite.All";

/// The rights of the operator that a tenant's directory asks for, each with its stand-ins: for
/// whoever only wants to know whether they are there.
pub fn rights(wanted: &Tenant, app: &App) -> Vec<(&'static str, &'static [&'static str])> {
    let mut rights: Vec<(&'static str, &'static [&'static str])> = Vec::new();
    let grants = match wanted.consent.strategy {
        ConsentStrategy::Grant => true,
        ConsentStrategy::Link | ConsentStrategy::Browser => false,
    };
    match wanted.layout {
        Layout::InTenant => {
            rights.push(("create and change its app", &[OWN_APPS, ALL_APPS]));
            rights.push(("see apps and what they were granted", &[READ_APPS, ALL_APPS]));
        }
        Layout::PerTenant | Layout::Shared if grants => {
            rights.push(("make the app known", &[ALL_APPS]));
        }
        Layout::PerTenant | Layout::Shared => return rights,
    }
    if grants {
        let asks = |kind| app.permissions.iter().any(|permission| permission.kind == kind);
        let graph_only = app.permissions.iter().all(|permission| permission.resource == GRAPH);
        if asks(PermissionKind::Application) {
            let enough: &[_] = if graph_only { &[ROLES] } else { &[ROLES, ALL_APPS] };
            rights.push(("grant app roles", enough));
        }
        if asks(PermissionKind::Delegated) {
            rights.push(("grant scopes", &[SCOPES]));
        }
    }
    rights
}

/// Decides what is granted for a tenant. Nothing is, unless its strategy says so; the service
/// principal of an app in its own directory belongs to the app.
pub(super) fn plan(
    fleet: &FleetName,
    wanted: &Tenant,
    app: &App,
    app_plan: &AppPlan,
    directory: TenantId,
    seen: &Seen,
) -> Grants {
    let grants = match wanted.consent.strategy {
        ConsentStrategy::Grant => true,
        ConsentStrategy::Link | ConsentStrategy::Browser => false,
    };
    let own = match wanted.layout {
        Layout::InTenant => true,
        Layout::PerTenant | Layout::Shared => false,
    };
    let comes = app_plan.steps.iter().any(|step| matches!(step, Step::CreateApplication { .. }));
    if !(grants || own) || (app_plan.target.client_id().is_none() && !comes) {
        return Grants::default();
    }
    let (inventory, principals) = match look(seen, directory) {
        Ok(seen) => seen,
        // Whoever cannot read an in-tenant app's directory plans nothing there, and its row says so.
        Err(_) if own && app_plan.steps.is_empty() && app_plan.is_blocked() => {
            return Grants::default();
        }
        Err(why) => {
            return Grants::default().left_to_the_link(
                format!("the operator cannot look into this directory: {}", why.line()),
                format!(
                    "an administrator of {} consents by the link, or first to the operator's own \
                     app; tenantry doctor shows what is missing",
                    wanted.name
                ),
            );
        }
    };
    let found = app_plan.target.client_id().and_then(|client| principals.apps.get(&client));
    let mut needed = Needed { rights: &inventory.rights, missing: BTreeSet::new() };
    let mut planned = Grants::default();
    if found.is_none() {
        // Of an app that lives in this very directory its maker may make it.
        let local = app_plan.directory == Some(directory);
        let enough: &[_] = if local { &[OWN_APPS, ALL_APPS] } else { &[ALL_APPS] };
        if !needed.allows(enough) {
            return lacking(planned, wanted, &needed);
        }
        planned
            .steps
            .push(Grant::CreateServicePrincipal { of: Whose::App, tags: tags(fleet, app) });
    }
    if !grants {
        return planned;
    }
    let apis: BTreeSet<ResourceId> = app.permissions.iter().map(|named| named.resource).collect();
    for api in apis {
        let steps = of_api(app, app_plan, api, found, seen);
        if steps.is_empty() {
            continue;
        }
        if !principals.apis.contains_key(&api) {
            if !needed.allows(&[ALL_APPS]) {
                continue;
            }
            let (of, tags) = (Whose::Api(api), BTreeSet::new());
            planned.steps.push(Grant::CreateServicePrincipal { of, tags });
        }
        planned.steps.extend(steps.into_iter().filter(|step| {
            needed.allows(match step {
                Grant::GrantAppRole { resource, .. } if *resource == GRAPH => &[ROLES],
                Grant::GrantAppRole { .. } => &[ROLES, ALL_APPS],
                Grant::GrantScopes { .. } => &[SCOPES],
                Grant::CreateServicePrincipal { .. } => &[ALL_APPS],
            })
        }));
    }
    planned.whole = true;
    lacking(planned, wanted, &needed)
}

/// The directory and its service principals, or why they are not known.
fn look(seen: &Seen, directory: TenantId) -> Result<(&Inventory, &Principals), Failure> {
    let inventory = match seen.inventories.get(&directory) {
        Some(Ok(inventory)) => inventory,
        Some(Err(why)) => return Err(why.clone()),
        None => return Err(Failure::new(Cause::Guard, "it was not read")),
    };
    match &inventory.principals {
        Sight::Seen(principals) => Ok((inventory, principals)),
        Sight::Hidden(why) => Err(why.clone()),
        Sight::NotLooked => Err(Failure::new(Cause::Guard, "its service principals were not read")),
    }
}

/// Says which rights are missing, where some are.
fn lacking(planned: Grants, wanted: &Tenant, needed: &Needed<'_>) -> Grants {
    if needed.missing.is_empty() {
        return planned;
    }
    let rights: Vec<_> = needed.missing.iter().copied().collect();
    let rights = rights.join(", ");
    planned.left_to_the_link(
        format!("the operator may not grant all of it in this directory: it lacks {rights}"),
        format!(
            "let an administrator of {} give the operator {rights} on Microsoft Graph there; until \
             then the link is the way",
            wanted.name
        ),
    )
}

fn tags(fleet: &FleetName, app: &App) -> BTreeSet<String> {
    BTreeSet::from([LISTED.to_owned(), marks::fleet_tag(fleet), marks::app_tag(&app.key)])
}

/// What of one API is asked for and not granted yet.
fn of_api(
    app: &App,
    app_plan: &AppPlan,
    api: ResourceId,
    found: Option<&FoundPrincipal>,
    seen: &Seen,
) -> Vec<Grant> {
    let mut steps = Vec::new();
    let mut scopes = BTreeSet::new();
    let home = app_plan.directory.and_then(|id| seen.inventories.get(&id)?.as_ref().ok());
    for named in app.permissions.iter().filter(|named| named.resource == api) {
        let NamedPermission { resource: _, kind, name } = named;
        match kind {
            PermissionKind::Application => {
                let Some(role) = home.and_then(|home| permission_id(home, named)) else { continue };
                if !found.is_some_and(|found| found.roles.contains(&(api, role))) {
                    steps.push(Grant::GrantAppRole { resource: api, role, name: name.clone() });
                }
            }
            PermissionKind::Delegated => {
                scopes.insert(name.clone());
            }
        }
    }
    let granted = found.and_then(|found| found.scopes.get(&api));
    let from = granted.map(|granted| granted.scopes.clone()).unwrap_or_default();
    if !scopes.is_subset(&from) {
        let to = from.union(&scopes).cloned().collect();
        steps.push(Grant::GrantScopes { resource: api, scopes: Change { from, to } });
    }
    steps
}
