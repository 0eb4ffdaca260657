//! Grants what an approved plan says, in each customer's directory; decides nothing.
//!
//! Tenants run side by side, the steps of one tenant in order, after its app's own steps. Each is
//! safe to take again: what is there already is as good as what was just made, so a cut anywhere
//! leaves nothing that the next run does not find.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::Hands;
use crate::{
    event::{Event, Events},
    failure::{Cause, Failure},
    graph::{ObjectAge, Writer},
    ids::{AppKey, ClientId, ObjectId, ResourceId, ServicePrincipal, TenantId, TenantKey},
    inventory::{FoundPrincipal, Principals},
    plan::{
        Approved, TenantPlan,
        grant::{Grant, Whose},
    },
    stop::PATIENCE,
    vault::{AuditEntry, VaultError},
};

/// An app that something is to be granted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grantee {
    /// Its client id.
    pub client: ClientId,
    /// Whether this run made it.
    pub age: ObjectAge,
}

/// How the grants of one tenant ended, and what its directory holds then.
#[derive(Debug, Clone, PartialEq)]
pub struct Granted {
    /// Its directory.
    pub directory: TenantId,
    /// The app.
    pub client: ClientId,
    /// The app's service principal there, where there is one.
    pub principal: Option<FoundPrincipal>,
    /// Those of the APIs.
    pub apis: BTreeMap<ResourceId, ObjectId<ServicePrincipal>>,
    /// How many steps were done.
    pub done: usize,
    /// Whether all were.
    pub end: GrantEnd,
}

/// Whether all grants of a tenant were made.
#[derive(Debug, Clone, PartialEq)]
pub enum GrantEnd {
    /// They were.
    Done,
    /// One failed.
    Failed(Failure),
    /// The run was told to stop.
    Interrupted,
}

/// Grants for every tenant of the plan that has such steps and whose app is there. `found` is what
/// was read of their directories.
pub async fn grant(
    approved: &Approved,
    apps: &BTreeMap<AppKey, Grantee>,
    found: &BTreeMap<TenantId, Principals>,
    hands: &Hands<'_>,
) -> BTreeMap<TenantKey, Granted> {
    let ended: Mutex<BTreeMap<TenantKey, Granted>> = Mutex::default();
    let tenants: Vec<_> = approved
        .plan()
        .tenants
        .values()
        .filter(|tenant| !tenant.steps.is_empty())
        .filter_map(|tenant| {
            let Some(grantee) = apps.get(&tenant.app) else {
                skip(tenant, 0, "an earlier step failed", hands.events);
                return None;
            };
            let directory = tenant.directory?;
            let principals = found.get(&directory).cloned().unwrap_or_default();
            let work = Work {
                tenant,
                grantee: *grantee,
                age: grantee.age,
                principal: principals.apps.get(&grantee.client).cloned(),
                apis: principals.apis,
            };
            Some((directory, work))
        })
        .collect();
    let begun: BTreeMap<TenantKey, Granted> = tenants
        .iter()
        .map(|(directory, work)| {
            let granted = work.clone().ended(*directory, 0, GrantEnd::Interrupted);
            (work.tenant.key.clone(), granted)
        })
        .collect();
    let note = |key: TenantKey, granted: Granted| {
        ended.lock().unwrap_or_else(PoisonError::into_inner).insert(key, granted);
    };
    let note = &note;
    let all = stream::iter(tenants).for_each_concurrent(
        hands.parallelism.max(1),
        |(directory, work)| async move {
            let key = work.tenant.key.clone();
            note(key, run(directory, work, hands).await);
        },
    );
    tokio::select! {
        () = all => {}
        () = async { hands.stop.told().await; tokio::time::sleep(PATIENCE).await } => {}
    }
    let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (key, granted) in begun {
        ended.entry(key).or_insert(granted);
    }
    ended
}

/// What is known of a tenant while its steps run.
#[derive(Clone)]
struct Work<'a> {
    tenant: &'a TenantPlan,
    grantee: Grantee,
    /// Of the app's service principal.
    age: ObjectAge,
    principal: Option<FoundPrincipal>,
    apis: BTreeMap<ResourceId, ObjectId<ServicePrincipal>>,
}

async fn run(directory: TenantId, mut work: Work<'_>, hands: &Hands<'_>) -> Granted {
    let writer = match hands.writers.to(directory) {
        Ok(writer) => writer,
        Err(failure) => return work.failed(directory, 0, failure, hands),
    };
    let steps = &work.tenant.steps;
    for (done, step) in steps.iter().enumerate() {
        if hands.stop.requested().is_some() {
            skip(work.tenant, done, "interrupted", hands.events);
            return work.ended(directory, done, GrantEnd::Interrupted);
        }
        let (tenant, app) = (Some(work.tenant.key.clone()), work.tenant.app.clone());
        hands.events.say(Event::StepStarted { app, tenant, step: step.kind() });
        let taken = match work.take(step, &writer).await {
            Ok(()) => work.account(step, directory, hands).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = taken {
            return work.failed(directory, done, failure, hands);
        }
    }
    let done = steps.len();
    work.ended(directory, done, GrantEnd::Done)
}

fn skip(tenant: &TenantPlan, from: usize, because: &'static str, events: &Events) {
    for step in tenant.steps.iter().skip(from) {
        events.say(Event::StepSkipped {
            app: tenant.app.clone(),
            tenant: Some(tenant.key.clone()),
            step: step.kind(),
            because,
        });
    }
}

impl Work<'_> {
    fn ended(self, directory: TenantId, done: usize, end: GrantEnd) -> Granted {
        let Self { tenant: _, grantee, age: _, principal, apis } = self;
        Granted { directory, client: grantee.client, principal, apis, done, end }
    }

    fn failed(
        self,
        directory: TenantId,
        done: usize,
        failure: Failure,
        hands: &Hands<'_>,
    ) -> Granted {
        let failure = explained(failure, &self.tenant.name);
        let step = self.tenant.steps.get(done).map_or("", Grant::kind);
        hands.events.say(Event::StepFailed {
            app: self.tenant.app.clone(),
            tenant: Some(self.tenant.key.clone()),
            step,
            failure: failure.clone(),
        });
        skip(self.tenant, done + 1, "an earlier step failed", hands.events);
        self.ended(directory, done, GrantEnd::Failed(failure))
    }

    async fn take(&mut self, step: &Grant, writer: &Arc<Writer>) -> Result<(), Failure> {
        match step {
            Grant::CreateServicePrincipal { of: Whose::App, tags } => {
                let client = self.grantee.client.as_uuid();
                let id = writer.create_principal(client, tags, self.grantee.age).await?;
                self.principal = Some(FoundPrincipal::bare(id));
                self.age = ObjectAge::JustMade;
            }
            Grant::CreateServicePrincipal { of: Whose::Api(api), tags } => {
                let made = writer.create_principal(api.as_uuid(), tags, ObjectAge::Settled).await;
                let id = made.map_err(|failure| unsubscribed(failure, *api))?;
                self.apis.insert(*api, id);
                self.age = ObjectAge::JustMade;
            }
            Grant::GrantAppRole { resource, role, name: _ } => {
                let (age, api) = (self.age, self.api(*resource)?);
                let principal = self.principal()?;
                writer.assign_role(principal.object_id, api, *role, age).await?;
                principal.roles.insert((*resource, *role));
            }
            Grant::GrantScopes { resource, scopes } => {
                let (age, api) = (self.age, self.api(*resource)?);
                let principal = self.principal()?;
                let known = principal.scopes.get(resource);
                let granted = writer
                    .grant_scopes(principal.object_id, (*resource, api), &scopes.to, known, age)
                    .await?;
                principal.scopes.insert(*resource, granted);
            }
        }
        Ok(())
    }

    fn principal(&mut self) -> Result<&mut FoundPrincipal, Failure> {
        self.principal
            .as_mut()
            .ok_or_else(|| Failure::new(Cause::Guard, "the app has no service principal there yet"))
    }

    fn api(&self, resource: ResourceId) -> Result<ObjectId<ServicePrincipal>, Failure> {
        let known = self.apis.get(&resource).copied();
        known.ok_or_else(|| {
            Failure::new(Cause::Guard, format!("the API {resource} has no service principal there"))
        })
    }

    /// Writes the audit's line and says that the step is done.
    async fn account(
        &self,
        step: &Grant,
        directory: TenantId,
        hands: &Hands<'_>,
    ) -> Result<(), Failure> {
        let Self { tenant, grantee, .. } = self;
        let mut entry = AuditEntry::new(Timestamp::now(), hands.who, hands.verb)
            .step(step.kind())
            .app(&tenant.app)
            .tenant(&tenant.key)
            .id("clientId", grantee.client)
            .id("tenantId", directory);
        if let Some(principal) = &self.principal {
            entry = entry.id("servicePrincipalId", principal.object_id);
        }
        entry = match step {
            Grant::CreateServicePrincipal { of: Whose::App, .. } => entry,
            Grant::CreateServicePrincipal { of: Whose::Api(api), .. } => entry.id("resource", api),
            Grant::GrantAppRole { resource, role, name: _ } => {
                entry.id("resource", resource).id("appRoleId", role)
            }
            Grant::GrantScopes { resource, .. } => entry.id("resource", resource),
        };
        hands.vault.audit(entry).await.map_err(|error: VaultError| {
            let failure = Failure::new(Cause::Refused, format!("the vault: {error}"));
            match error.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        hands.events.say(Event::StepDone {
            app: tenant.app.clone(),
            tenant: Some(tenant.key.clone()),
            step: step.kind(),
            client_id: Some(grantee.client),
            key_id: None,
            ends: None,
        });
        Ok(())
    }
}

/// What somebody may do where the operator may not.
fn explained(failure: Failure, name: &str) -> Failure {
    match failure.cause {
        Cause::Privilege if failure.status == Some(403) => failure.hint(format!(
            "The operator may not grant in {name}'s directory. An administrator there gives it \
             Application.ReadWrite.All, AppRoleAssignment.ReadWrite.All and \
             DelegatedPermissionGrant.ReadWrite.All on Microsoft Graph, or consents by the link."
        )),
        _ => failure,
    }
}

/// An API that a directory does not have, and cannot get by itself: the link would end in
/// AADSTS650052.
fn unsubscribed(failure: Failure, api: ResourceId) -> Failure {
    if failure.status == Some(400) {
        return failure.hint(format!(
            "This directory has not subscribed to the API {api}, or its administrator has never \
             opened security.microsoft.com; a consent by the link would end in AADSTS650052, too."
        ));
    }
    failure
}
