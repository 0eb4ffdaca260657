//! Carries out approved steps and says what happens; decides nothing.
//!
//! Apps run side by side, the steps within one app in order. The order of writes to the vault is
//! what makes a cut anywhere harmless: the app's record and the secret's nonce are in the vault
//! before the first request that could leave something behind, and the value is in the vault, read
//! back, before a step counts as done.

mod granting;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

pub use self::granting::{GrantEnd, Granted, Grantee, grant};
use crate::{
    entra::make_certificate,
    event::{Event, Events},
    failure::{Cause, Failure},
    graph::{NewKey, ObjectAge, Patch, Upserted, Writer, Writers},
    ids::{AppKey, ClientId, CredentialName, KeyId, Nonce, UniqueName},
    inventory::{FoundApp, FoundFederated, FoundSecret},
    lifetime::Lifetime,
    plan::{
        AppPlan, Approved, federated, kinds,
        secrets::is_there,
        step::{Edit, Step},
    },
    registration::Registration,
    stop::{PATIENCE, Stop},
    vault::{
        AuditEntry, CredentialKind, CredentialRecord, CredentialState, Federation, Record,
        TenantRecord, VaultError, VaultWriter,
    },
};

/// A secret ends this much before its full life is over, so that a server whose clock is a little
/// ahead of its own answers never finds it longer than a policy allows.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// What carrying out needs.
pub struct Hands<'a> {
    /// Write to the directories in which the apps live.
    pub writers: &'a Writers,
    /// The vault, locked.
    pub vault: &'a VaultWriter,
    /// Who the operator is, for the audit.
    pub who: &'a str,
    /// What was run, for the audit: `apply`, `adopt`, `consent`, `rotate`.
    pub verb: &'static str,
    /// Where events go.
    pub events: &'a Events,
    /// Whether we were told to stop.
    pub stop: &'a Stop,
    /// How many apps at once.
    pub parallelism: usize,
    /// Called when an app is over, whatever its end.
    pub on_app: &'a (dyn Fn(&AppKey) + Sync),
}

/// How one app ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// Every step is done; what the directory answered, for the report.
    Done(FoundApp),
    /// It is not what the plan took it for: to be read and planned again. An upsert answered
    /// "exists", or a restored app may now meet policies that nobody could see while it was
    /// deleted.
    PlanAgain {
        /// How many steps were done.
        done: usize,
    },
    /// A step failed.
    Failed {
        /// What kind of step.
        step: &'static str,
        /// Why.
        failure: Failure,
        /// How many steps were done before it.
        done: usize,
        /// The app as these left it, where there is one.
        found: Option<FoundApp>,
    },
    /// The run was told to stop; steps may be left.
    Interrupted {
        /// How many steps were done.
        done: usize,
        /// The app as these left it, where there is one.
        found: Option<FoundApp>,
    },
}

/// Carries out every app of the plan that has steps.
pub async fn apply(
    approved: &Approved,
    found: &BTreeMap<AppKey, FoundApp>,
    hands: &Hands<'_>,
) -> BTreeMap<AppKey, Ended> {
    let plan = approved.plan();
    let ended: Mutex<BTreeMap<AppKey, Ended>> = Mutex::default();
    let note = |key: &AppKey, end: Ended| {
        (hands.on_app)(key);
        ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(key.clone(), end);
    };
    let apps: Vec<&AppPlan> = plan.apps.values().filter(|app| !app.steps.is_empty()).collect();
    let all = stream::iter(&apps).for_each_concurrent(hands.parallelism.max(1), |app| async {
        let end = run(app, &plan.fleet, found.get(&app.key), hands).await;
        note(&app.key, end);
    });
    tokio::select! {
        () = all => {}
        // Whatever is still in flight then has an unknown effect: the next run finds out.
        () = async { hands.stop.told().await; tokio::time::sleep(PATIENCE).await } => {}
    }
    let mut ended = ended.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for app in apps {
        ended
            .entry(app.key.clone())
            .or_insert(Ended::Interrupted { done: 0, found: found.get(&app.key).cloned() });
    }
    ended
}

/// What is known of the app while its steps run.
struct Course<'a> {
    app: &'a AppPlan,
    writer: Arc<Writer>,
    record: Record,
    found: Option<FoundApp>,
    age: ObjectAge,
    /// The nonce of the secret that this run makes, once it is in the vault.
    intent: Option<Nonce>,
}

/// What comes after a step that went well.
enum Next {
    /// The next one.
    Step,
    /// The app is not what the plan saw any more.
    PlanAgain,
}

/// Why a step did not end well.
enum Halt {
    Exists,
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<VaultError> for Halt {
    fn from(error: VaultError) -> Self {
        let failure = Failure::new(Cause::Refused, format!("the vault: {error}"));
        Self::Failed(match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }
}

async fn run(
    app: &AppPlan,
    fleet: &crate::ids::FleetName,
    found: Option<&FoundApp>,
    hands: &Hands<'_>,
) -> Ended {
    let unique_name = UniqueName::of(fleet, &app.key);
    let mut course = match Course::begin(app, unique_name, found, hands).await {
        Ok(course) => course,
        Err(halt) => {
            let step = app.steps.first().map_or("", Step::kind);
            return failed(app, 0, step, halt, found.cloned(), hands);
        }
    };
    for (done, step) in app.steps.iter().enumerate() {
        if hands.stop.requested().is_some() {
            skip(app, done, "interrupted", hands);
            return Ended::Interrupted { done, found: course.found };
        }
        hands.events.say(Event::StepStarted {
            tenant: None,
            app: app.key.clone(),
            step: step.kind(),
        });
        let taken = match course.take(step, hands).await {
            Ok(next) => course.account(step, hands).await.map(|()| next),
            Err(halt) => Err(halt),
        };
        match taken {
            Ok(Next::Step) => {}
            Ok(Next::PlanAgain) => return Ended::PlanAgain { done: done + 1 },
            Err(halt) => return failed(app, done, step.kind(), halt, course.found, hands),
        }
    }
    match course.found {
        Some(found) => Ended::Done(found),
        None => Ended::PlanAgain { done: app.steps.len() },
    }
}

fn failed(
    app: &AppPlan,
    done: usize,
    step: &'static str,
    halt: Halt,
    found: Option<FoundApp>,
    hands: &Hands<'_>,
) -> Ended {
    match halt {
        Halt::Exists => Ended::PlanAgain { done },
        Halt::Failed(failure) => {
            hands.events.say(Event::StepFailed {
                tenant: None,
                app: app.key.clone(),
                step,
                failure: failure.clone(),
            });
            skip(app, done + 1, "an earlier step failed", hands);
            Ended::Failed { step, failure, done, found }
        }
    }
}

/// Whether a record is of an app that is gone.
fn is_of_another(record: &Record, client: ClientId) -> bool {
    record.client_id.is_some_and(|known| known != client)
}

/// Forgets what opened an app that is gone, and what people did for it.
fn forget(record: &mut Record) {
    record.credentials.clear();
    for tenant in record.tenants.values_mut() {
        *tenant = TenantRecord::pinned(tenant.id);
    }
}

/// Whether a secret or a certificate was made under this nonce.
fn is_named(found: &FoundSecret, nonce: &Nonce) -> bool {
    let name = found.display_name.as_deref().and_then(|name| name.parse::<CredentialName>().ok());
    name.is_some_and(|name| name.nonce == *nonce)
}

fn skip(app: &AppPlan, from: usize, because: &'static str, hands: &Hands<'_>) {
    for step in app.steps.iter().skip(from) {
        hands.events.say(Event::StepSkipped {
            tenant: None,
            app: app.key.clone(),
            step: step.kind(),
            because,
        });
    }
}

impl<'a> Course<'a> {
    /// Writes down what is about to happen, before anything happens.
    async fn begin(
        app: &'a AppPlan,
        unique_name: UniqueName,
        found: Option<&FoundApp>,
        hands: &Hands<'_>,
    ) -> Result<Self, Halt> {
        let directory = app.directory.ok_or_else(|| {
            Failure::new(Cause::Guard, "the directory in which the app shall live is not known")
        })?;
        let writer = hands.writers.to(directory)?;
        let known = hands.vault.record(&app.key).await?;
        let mut record =
            known.clone().unwrap_or_else(|| Record::new(app.key.clone(), directory, unique_name));
        let client = app.target.client_id();
        let mut stale = false;
        // An app that no listing shows may be there all the same: only the upsert can tell, and
        // until it has made another one nothing that opens this one is forgotten.
        if let Some(client) = client {
            if is_of_another(&record, client) {
                stale = !record.credentials.is_empty();
                forget(&mut record);
            }
            record.client_id = Some(client);
            record.object_id = found.map(|found| found.object_id);
        }
        for (tenant, id) in &app.pins {
            record.tenants.entry(tenant.clone()).or_insert_with(|| TenantRecord::pinned(*id));
        }
        let now = writer.server_time().unwrap_or_else(Timestamp::now);
        let made = |nonce: &Nonce| {
            let all = found.into_iter().flat_map(|app| app.secrets.iter().chain(&app.certificates));
            all.into_iter().any(|one| is_named(one, nonce))
        };
        record.forget_intents(made, now);
        // What somebody removed at Microsoft is not handed out any more, even where it was proved and
        // its successor is not yet. Its value stays: a listing may be wrong, and nobody tells it twice.
        for credential in record.own_mut() {
            let usable =
                matches!(credential.state, CredentialState::Stored | CredentialState::Proved);
            let shown = found.is_none_or(|app| is_there(credential, Some(app), now));
            if usable && !shown {
                credential.state = CredentialState::Retiring;
                credential.since = Some(now);
            }
        }
        let intent = app.steps.iter().find_map(kinds::made_by).map(|kind| (Nonce::fresh(), kind));
        if let Some((nonce, kind)) = &intent {
            record.credentials.push(CredentialRecord::intended(nonce.clone(), *kind, now));
        }
        let intent = intent.map(|(nonce, _)| nonce);
        if app.steps.iter().any(federated::changes_trust) {
            record.federated = Federation::Untried;
        }
        if stale {
            hands.vault.drop_values(&record).await?;
        } else if known.as_ref() != Some(&record) {
            hands.vault.write_record(&record).await?;
        }
        Ok(Self { app, writer, record, found: found.cloned(), age: ObjectAge::Settled, intent })
    }

    async fn take(&mut self, step: &Step, hands: &Hands<'_>) -> Result<Next, Halt> {
        match step {
            Step::RestoreApplication { object_id } => {
                self.found = Some(self.writer.restore(*object_id).await?);
                return Ok(Next::PlanAgain);
            }
            Step::CreateApplication { unique_name, registration } => {
                self.create(unique_name, registration, hands).await?;
            }
            Step::PatchApplication { object_id, edits } => {
                self.writer.patch(*object_id, &patch(edits), self.age).await?;
                if let Some(found) = &mut self.found {
                    edits.iter().for_each(|edit| edited(found, edit));
                }
            }
            Step::RemoveSecret { key_id, nonce, .. } => {
                self.remove(CredentialKind::Secret, *key_id, nonce.as_ref(), hands).await?;
            }
            Step::AddSecret { lifetime, .. } => self.add_secret(*lifetime, hands).await?,
            Step::RemoveCertificate { key_id, nonce, .. } => {
                self.remove(CredentialKind::Certificate, *key_id, nonce.as_ref(), hands).await?;
            }
            Step::AddCertificate { lifetime, .. } => self.add_certificate(*lifetime, hands).await?,
            Step::AddFederated { name, trusts } => {
                let object = self.object()?;
                let made = self.writer.add_federated(object, name, trusts, self.age).await?;
                self.trusted(|all| all.push(made));
            }
            Step::UpdateFederated { id, name: _, change } => {
                let object = self.object()?;
                self.writer.update_federated(object, *id, &change.to).await?;
                self.trusted(|all| {
                    for one in all.iter_mut().filter(|one| one.id == *id) {
                        one.trusts.clone_from(&change.to);
                    }
                });
            }
            Step::RemoveFederated { id, .. } => {
                let object = self.object()?;
                self.writer.remove_federated(object, *id).await?;
                self.trusted(|all| all.retain(|one| one.id != *id));
            }
            Step::AddOwner { owner } => {
                let object = self.object()?;
                self.writer.add_owner(object, *owner, self.age).await?;
                if let Some(owners) = self.found.as_mut().and_then(|found| found.owners.as_mut()) {
                    owners.insert(*owner);
                }
            }
        }
        Ok(Next::Step)
    }

    /// The directory first: a value that nobody holds any more could not be recognised there. What
    /// somebody removed there before us is only forgotten.
    async fn remove(
        &mut self,
        kind: CredentialKind,
        key_id: KeyId,
        nonce: Option<&Nonce>,
        hands: &Hands<'_>,
    ) -> Result<(), Halt> {
        let object = self.object()?;
        let found = kinds::found(self.found.as_ref(), kind);
        if self.found.is_none() || found.iter().any(|one| one.key_id == key_id) {
            match kind {
                CredentialKind::Certificate => {
                    self.writer.remove_certificate(object, key_id).await?;
                }
                CredentialKind::Secret | CredentialKind::RefreshToken => {
                    self.writer.remove_secret(object, key_id).await?;
                }
            }
        }
        if let Some(found) = &mut self.found {
            found.secrets.retain(|secret| secret.key_id != key_id);
            found.certificates.retain(|certificate| certificate.key_id != key_id);
        }
        if let Some(nonce) = nonce {
            self.record.credentials.retain(|credential| credential.nonce != *nonce);
            hands.vault.drop_values(&self.record).await?;
        }
        Ok(())
    }

    /// Changes what is known of the app's federated credentials.
    fn trusted(&mut self, change: impl FnOnce(&mut Vec<FoundFederated>)) {
        if let Some(found) = &mut self.found {
            change(found.federated.get_or_insert_default());
        }
    }

    async fn create(
        &mut self,
        unique_name: &UniqueName,
        registration: &Registration,
        hands: &Hands<'_>,
    ) -> Result<(), Halt> {
        match self.writer.upsert(unique_name, registration).await? {
            Upserted::Created(found) => {
                let anew = is_of_another(&self.record, found.client_id);
                if anew {
                    let intent =
                        self.intent.as_ref().and_then(|n| self.record.credential(n)).cloned();
                    forget(&mut self.record);
                    self.record.credentials.extend(intent);
                }
                self.record.client_id = Some(found.client_id);
                self.record.object_id = Some(found.object_id);
                if anew {
                    hands.vault.drop_values(&self.record).await?;
                }
                self.found = Some(*found);
                self.age = ObjectAge::JustMade;
                // A secret's value is written with the ids; of an app without one nothing else is.
                if self.intent.is_none() {
                    hands.vault.write_record(&self.record).await?;
                }
                Ok(())
            }
            Upserted::Existed | Upserted::ExistedAfterRepeat => Err(Halt::Exists),
        }
    }

    async fn add_secret(&mut self, lifetime: Lifetime, hands: &Hands<'_>) -> Result<(), Halt> {
        let object = self.object()?;
        let nonce = self
            .intent
            .clone()
            .ok_or_else(|| Failure::new(Cause::Guard, "the vault has no intent for this secret"))?;
        let name = CredentialName { vault: hands.vault.id(), nonce: nonce.clone() };
        let now = self.writer.server_time().unwrap_or_else(Timestamp::now);
        let full = lifetime.after(now);
        let end = full.checked_sub(MARGIN).unwrap_or(full);
        let issued = self.writer.add_secret(object, &name, end, self.age).await?;
        if let Some(credential) = self.record.credential_mut(&nonce) {
            credential.state = CredentialState::Stored;
            credential.key_id = Some(issued.key_id);
            credential.start = issued.start;
            credential.end = Some(issued.end);
        }
        hands.vault.store_value(&self.record, &nonce, &issued.value).await?;
        if let Some(found) = &mut self.found {
            found.secrets.push(FoundSecret {
                key_id: issued.key_id,
                display_name: Some(name.to_string()),
                start: issued.start,
                end: Some(issued.end),
            });
        }
        Ok(())
    }

    /// Makes a certificate here; its key goes from this process's memory into the vault and nowhere
    /// else.
    async fn add_certificate(&mut self, lifetime: Lifetime, hands: &Hands<'_>) -> Result<(), Halt> {
        let object = self.object()?;
        let nonce = self.intent.clone().ok_or_else(|| {
            Failure::new(Cause::Guard, "the vault has no intent for this certificate")
        })?;
        let name = CredentialName { vault: hands.vault.id(), nonce: nonce.clone() };
        let now = self.writer.server_time().unwrap_or_else(Timestamp::now);
        let whole = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        let full = lifetime.after(now);
        let (start, end) = (whole(now), whole(full.checked_sub(MARGIN).unwrap_or(full)));
        let called = name.to_string();
        let made = tokio::task::spawn_blocking(move || make_certificate(&called, start, end))
            .await
            .unwrap_or_else(|_| Err(Failure::new(Cause::Guard, "no certificate was made")))?;
        let key_id = KeyId::from_uuid(uuid::Uuid::new_v4());
        let new = NewKey { key_id, name: &name, start, end, public: &made.public };
        self.writer.add_certificate(object, &new, self.age).await?;
        if let Some(credential) = self.record.credential_mut(&nonce) {
            credential.state = CredentialState::Stored;
            credential.key_id = Some(key_id);
            (credential.start, credential.end) = (Some(start), Some(end));
        }
        hands.vault.store_value(&self.record, &nonce, &made.kept).await?;
        if let Some(found) = &mut self.found {
            let (display_name, start, end) = (Some(name.to_string()), Some(start), Some(end));
            found.certificates.push(FoundSecret { key_id, display_name, start, end });
        }
        Ok(())
    }

    fn object(&self) -> Result<crate::ids::ObjectId<crate::ids::Application>, Failure> {
        self.record
            .object_id
            .ok_or_else(|| Failure::new(Cause::Guard, "the app has no object id yet"))
    }

    /// Writes the audit's line and says that the step is done.
    async fn account(&self, step: &Step, hands: &Hands<'_>) -> Result<(), Halt> {
        let made = kinds::made_by(step)
            .and(self.intent.as_ref())
            .and_then(|nonce| self.record.credential(nonce));
        let removed = kinds::removed_by(step).map(|(key_id, _)| key_id);
        let key_id = removed.or_else(|| made?.key_id);
        let mut entry = AuditEntry::new(Timestamp::now(), hands.who, hands.verb)
            .step(step.kind())
            .app(&self.app.key);
        if let Some(client) = self.record.client_id {
            entry = entry.id("clientId", client);
        }
        if let Some(object) = self.record.object_id {
            entry = entry.id("objectId", object);
        }
        if let Some(key) = key_id {
            entry = entry.id("keyId", key);
        }
        if let Step::AddFederated { name, .. }
        | Step::UpdateFederated { name, .. }
        | Step::RemoveFederated { name, .. } = step
        {
            entry = entry.id("name", name);
        }
        if let Step::AddOwner { owner } = step {
            entry = entry.id("owner", owner);
        }
        hands.vault.audit(entry).await?;
        hands.events.say(Event::StepDone {
            tenant: None,
            app: self.app.key.clone(),
            step: step.kind(),
            client_id: self.record.client_id,
            key_id,
            ends: made.and_then(|made| made.end),
        });
        Ok(())
    }
}

/// What an app is after an edit.
fn edited(found: &mut FoundApp, edit: &Edit) {
    let registration = &mut found.registration;
    match edit {
        Edit::DisplayName(change) => registration.display_name.clone_from(&change.to),
        Edit::Audience(change) => registration.audience = change.to,
        Edit::RedirectUris(change) => registration.redirect_uris.clone_from(&change.to),
        Edit::Permissions(change) => registration.permissions.clone_from(&change.to),
        Edit::Links(change) => registration.links.clone_from(&change.to),
        Edit::Tags(change) => registration.tags.clone_from(&change.to),
        Edit::UniqueName(named) => found.unique_name = Some(named.to.clone()),
    }
}

fn patch(edits: &[Edit]) -> Patch {
    let mut patch = Patch::default();
    for edit in edits {
        match edit {
            Edit::DisplayName(change) => patch.display_name = Some(change.to.clone()),
            Edit::Audience(change) => patch.audience = change.to,
            Edit::RedirectUris(change) => patch.redirect_uris = Some(change.to.clone()),
            Edit::Permissions(change) => patch.permissions = Some(change.to.clone()),
            Edit::Links(change) => patch.links = Some(change.to.clone()),
            Edit::Tags(change) => patch.tags = Some(change.to.clone()),
            Edit::UniqueName(named) => patch.unique_name = Some(named.to.clone()),
        }
    }
    patch
}
