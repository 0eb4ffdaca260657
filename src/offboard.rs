//! Carries out an offboarding, and proves each thing gone by asking; decides nothing.
//!
//! The audit has its line, and what stays with customers is named in the vault, before anything is
//! removed. The vault's values go last, when Entra ID has refused one of them: until then a run that
//! was cut finds all it needs to go on.
//!
//! There is no call that ends a refresh token. OAuth's revocation is not offered by Entra ID (no
//! `revocation_endpoint` in its discovery document), and `revokeSignInSessions` would end every
//! session of the person, in all their apps
//! (<https://learn.microsoft.com/en-us/graph/api/user-revokesigninsessions>): that is not ours to do.
//! What makes a confidential client's refresh token useless is that nobody can show the client's
//! credential any more.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cloud::Cloud,
    connector::GRAPH,
    entra::{self, Api, ClientProof, Operator, SecretAge},
    event::{Event, Events},
    failure::{Cause, Failure},
    graph::{ObjectAge, Patch, Reader, Writer},
    http::Network,
    ids::{AppKey, Application, ClientId, KeyId, ObjectId, TenantId, TenantKey},
    plan::{
        offboard::{ApprovedOffboarding, Offboarding, Removal, Sighting, Subject},
        step::Target,
    },
    stop::Stop,
    vault::{
        AuditEntry, CredentialKind, CredentialRecord, Leftover, Vault, VaultError, VaultWriter,
    },
};

pub use crate::{inventory::BIN_KEEPS, vault::Erased};

/// How long a directory may show what was deleted, and Entra ID take what was removed.
const LAGS: Duration = Duration::from_secs(60);
/// How often it is asked again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A credential of the app, to ask with.
#[derive(Debug, Clone, Copy)]
pub struct Witness<'a> {
    /// The app.
    pub client: ClientId,
    /// What it shows.
    pub proof: &'a ClientProof,
}

/// Where questions go.
#[derive(Debug, Clone, Copy)]
pub struct Ways<'a> {
    /// The way out.
    pub network: &'a Network,
    /// The cloud.
    pub cloud: &'a Cloud,
    /// Who asks where an app cannot.
    pub operator: &'a Operator,
}

/// Asks every customer's directory whether it has our enterprise application: as the app, where a
/// credential of it is at hand, else as the operator, who is a stranger in most of them.
pub async fn look(
    ways: Ways<'_>,
    client: ClientId,
    proof: Option<&ClientProof>,
    customers: &BTreeMap<TenantKey, TenantId>,
    parallelism: usize,
) -> BTreeMap<TenantKey, Sighting> {
    stream::iter(customers)
        .map(async |(tenant, directory)| {
            let found = look_into(ways, *directory, client, proof).await;
            (tenant.clone(), found)
        })
        .buffer_unordered(parallelism.max(1))
        .collect()
        .await
}

/// Asks one directory: as the app, where a credential of it is at hand, else as the operator.
async fn look_into(
    ways: Ways<'_>,
    directory: TenantId,
    client: ClientId,
    proof: Option<&ClientProof>,
) -> Sighting {
    let as_app = match proof {
        Some(proof) => sighting(ways, directory, Witness { client, proof }).await,
        None => Sighting::Unknown("no credential of the app is at hand".to_owned()),
    };
    match as_app {
        Sighting::There(_) | Sighting::Absent => as_app,
        Sighting::Unknown(why) => match sight(ways, directory, client).await {
            Sighting::Unknown(_) => Sighting::Unknown(why),
            seen => seen,
        },
    }
}

/// Asks as the app: a token is given wherever it has a service principal.
async fn sighting(ways: Ways<'_>, directory: TenantId, witness: Witness<'_>) -> Sighting {
    match token(ways, directory, witness).await {
        Ok(principal) => Sighting::There(principal.map(ObjectId::from_uuid)),
        Err(failure) => match failure.code.as_deref() {
            // The directory has no service principal of it, or never heard of it.
            Some("AADSTS7000229" | "AADSTS700016") => Sighting::Absent,
            Some(_) | None => Sighting::Unknown(failure.line()),
        },
    }
}

/// Asks as the operator, who may look into few customers' directories.
pub async fn sight(ways: Ways<'_>, directory: TenantId, client: ClientId) -> Sighting {
    let Ways { network, cloud, operator } = ways;
    let found = match Reader::new(network, cloud, directory, operator) {
        Ok(reader) => reader.enterprise_application(client).await,
        Err(failure) => Err(failure),
    };
    match found {
        Ok(Some(principal)) => Sighting::There(Some(principal)),
        Ok(None) => Sighting::Absent,
        // The code says it to whoever may look it up; most operators are strangers in most directories.
        Err(failure) => Sighting::Unknown(failure.code.clone().unwrap_or_else(|| failure.line())),
    }
}

async fn token(
    ways: Ways<'_>,
    directory: TenantId,
    witness: Witness<'_>,
) -> Result<Option<uuid::Uuid>, Failure> {
    let Ways { network, cloud, .. } = ways;
    let Witness { client, proof } = witness;
    let scope = cloud.graph_scope();
    let api = Api { id: GRAPH, scope: &scope };
    let token =
        entra::app_token(network, cloud, directory, client, proof, api, SecretAge::Settled).await?;
    Ok(token.object())
}

/// What carrying out needs.
pub struct Hands<'a> {
    /// Where questions go.
    pub ways: Ways<'a>,
    /// Writes to the directory in which the app lives.
    pub writer: &'a Writer,
    /// The vault, locked.
    pub vault: &'a VaultWriter,
    /// Who the operator is, for the audit.
    pub who: &'a str,
    /// Where events go.
    pub events: &'a Events,
    /// Whether we were told to stop.
    pub stop: &'a Stop,
    /// What is asked with, to see it refused.
    pub witness: Option<Witness<'a>>,
    /// Where it is asked: a directory that took it before, or the app's own.
    pub asked_in: TenantId,
}

/// What was proved gone, and by what.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Proof {
    /// The directory shows the app no more.
    AppGone {
        /// Which.
        object_id: ObjectId<Application>,
        /// When it was deleted, where the bin says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        deleted: Option<Timestamp>,
        /// Until when it can be restored, by the server's clock.
        #[serde(skip_serializing_if = "Option::is_none")]
        restorable_until: Option<Timestamp>,
        /// Whether the bin was read.
        bin: Bin,
    },
    /// Our marks are off an app that stays.
    MarksGone {
        /// Which.
        object_id: ObjectId<Application>,
    },
    /// Credentials of ours are on the app no more.
    CredentialsGone {
        /// Which.
        key_ids: Vec<KeyId>,
    },
    /// Entra ID refused a secret that was removed.
    SecretRefused {
        /// In which directory.
        directory: TenantId,
        /// `AADSTS7000215`, …
        code: String,
    },
    /// Entra ID did not come to look at the secret.
    SecretUnproved {
        /// `AADSTS7000229`, …
        code: String,
    },
    /// No secret was at hand to be shown.
    SecretNotShown,
    /// The vault has nothing of it.
    RecordGone {
        /// What became of it.
        erased: Erased,
    },
}

/// What the bin said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bin {
    /// It holds the app.
    Holds,
    /// It does not: nobody can restore it.
    Lacks,
    /// It may not be read by this operator.
    Hidden,
}

/// How an offboarding ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ended {
    /// How many steps were done.
    pub done: usize,
    /// What was proved.
    pub proofs: Vec<Proof>,
    /// The step that failed, and why.
    pub failed: Option<(&'static str, Failure)>,
    /// Whether it was told to stop before its end.
    pub interrupted: bool,
}

/// Carries it out, step by step, until one fails.
pub async fn offboard(approved: &ApprovedOffboarding, hands: &Hands<'_>) -> Ended {
    let plan = approved.offboarding();
    let mut course = Course { plan, hands, ended: Ended::default(), refused: false };
    if let Err(failure) = course.begin().await {
        let first = plan.steps.first().map_or("remove-record", Removal::kind);
        course.fail(first, failure, 0);
        return course.ended;
    }
    for (done, step) in plan.steps.iter().enumerate() {
        if hands.stop.requested().is_some() {
            course.skip(done, "interrupted");
            course.ended.interrupted = true;
            return course.ended;
        }
        let app = plan.subject.app().clone();
        hands.events.say(Event::StepStarted { app, tenant: None, step: step.kind() });
        if let Err(failure) = course.take(step).await {
            course.fail(step.kind(), failure, done + 1);
            return course.ended;
        }
        course.ended.done += 1;
    }
    course.ended
}

struct Course<'a> {
    plan: &'a Offboarding,
    hands: &'a Hands<'a>,
    ended: Ended,
    /// Whether the secret was seen refused.
    refused: bool,
}

impl Course<'_> {
    fn fail(&mut self, step: &'static str, failure: Failure, next: usize) {
        let app = self.plan.subject.app().clone();
        self.hands.events.say(Event::StepFailed {
            app,
            tenant: None,
            step,
            failure: failure.clone(),
        });
        self.skip(next, "an earlier step failed");
        self.ended.failed = Some((step, failure));
    }

    fn skip(&self, from: usize, because: &'static str) {
        for step in self.plan.steps.iter().skip(from) {
            let app = self.plan.subject.app().clone();
            self.hands.events.say(Event::StepSkipped {
                app,
                tenant: None,
                step: step.kind(),
                because,
            });
        }
    }

    /// The audit's first line, and the names of what stays elsewhere.
    async fn begin(&self) -> Result<(), Failure> {
        let vault = self.hands.vault;
        vault.audit(self.entry("begin")).await.map_err(of_vault)?;
        for leftover in &self.plan.leftovers {
            vault.name_leftover(leftover).await.map_err(of_vault)?;
        }
        Ok(())
    }

    fn entry(&self, step: &str) -> AuditEntry {
        let Offboarding { subject, directory, target, .. } = self.plan;
        let mut entry = AuditEntry::new(Timestamp::now(), self.hands.who, "offboard")
            .step(step)
            .app(subject.app())
            .id("directory", directory);
        if let Subject::Tenant { tenant, .. } = subject {
            entry = entry.tenant(tenant);
        }
        match target {
            Target::Existing { object_id, client_id }
            | Target::Deleted { object_id, client_id } => {
                entry.id("clientId", client_id).id("objectId", object_id)
            }
            Target::Absent | Target::Unknown => entry,
        }
    }

    async fn take(&mut self, step: &Removal) -> Result<(), Failure> {
        let Hands { writer, vault, .. } = self.hands;
        let app = self.plan.subject.app();
        let mut key = None;
        match step {
            Removal::RemoveSecret { key_id } => {
                writer.remove_secret(self.object()?, *key_id).await?;
                key = Some(*key_id);
            }
            Removal::RemoveCertificate { key_id } => {
                writer.remove_certificate(self.object()?, *key_id).await?;
                key = Some(*key_id);
            }
            Removal::RemoveFederated { id, .. } => {
                writer.remove_federated(self.object()?, *id).await?;
            }
            Removal::RemoveMarks { object_id, tags } => {
                let patch = Patch { tags: Some(tags.to.clone()), ..Patch::default() };
                writer.patch(*object_id, &patch, ObjectAge::Settled).await?;
                self.look_at(*object_id).await?;
            }
            Removal::DeleteApplication { object_id } => {
                writer.delete(*object_id).await?;
                let proof = self.gone(*object_id).await?;
                self.ended.proofs.push(proof);
            }
            Removal::RemoveRecord => {
                self.see_refused().await?;
                let erased = vault.erase(app).await.map_err(of_vault)?;
                self.ended.proofs.push(Proof::RecordGone { erased });
            }
            Removal::ForgetTenant { tenant } => {
                let erased = vault.forget_tenant(app, tenant).await.map_err(of_vault)?;
                self.ended.proofs.push(Proof::RecordGone { erased });
            }
        }
        let mut entry = self.entry(step.kind());
        if let Some(key) = key {
            entry = entry.id("keyId", key);
        }
        vault.audit(entry).await.map_err(of_vault)?;
        let client_id = self.plan.target.client_id();
        let (app, step) = (app.clone(), step.kind());
        self.hands.events.say(Event::StepDone {
            app,
            tenant: None,
            step,
            client_id,
            key_id: key,
            ends: None,
        });
        Ok(())
    }

    fn object(&self) -> Result<ObjectId<Application>, Failure> {
        match self.plan.target {
            Target::Existing { object_id, .. } => Ok(object_id),
            Target::Absent | Target::Deleted { .. } | Target::Unknown => {
                Err(Failure::new(Cause::Guard, "the app is not there"))
            }
        }
    }

    /// Waits until the directory shows the app no more, and asks the bin until when it is kept.
    async fn gone(&self, object_id: ObjectId<Application>) -> Result<Proof, Failure> {
        let writer = self.hands.writer;
        let started = tokio::time::Instant::now();
        while writer.shows(object_id).await? {
            if started.elapsed() > LAGS {
                return Err(Failure::new(
                    Cause::Refused,
                    "the directory took the deletion, and shows the app still",
                )
                .hint("run it again in some minutes: it goes on where it stopped"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let now = writer.server_time().unwrap_or_else(Timestamp::now);
        let (deleted, bin) = match writer.in_bin(object_id).await {
            Ok(Some(found)) => (found.deleted, Bin::Holds),
            Ok(None) => (None, Bin::Lacks),
            Err(failure) if failure.cause == Cause::Privilege => (None, Bin::Hidden),
            Err(failure) => return Err(failure),
        };
        let restorable_until = match bin {
            Bin::Holds | Bin::Hidden => deleted.unwrap_or(now).checked_add(BIN_KEEPS).ok(),
            Bin::Lacks => None,
        };
        Ok(Proof::AppGone { object_id, deleted, restorable_until, bin })
    }

    /// Reads an app that stays: it has neither our marks nor our credentials.
    async fn look_at(&mut self, object_id: ObjectId<Application>) -> Result<(), Failure> {
        let removed: Vec<KeyId> = self
            .plan
            .steps
            .iter()
            .filter_map(|step| match step {
                Removal::RemoveSecret { key_id } | Removal::RemoveCertificate { key_id } => {
                    Some(*key_id)
                }
                Removal::RemoveFederated { .. }
                | Removal::RemoveMarks { .. }
                | Removal::DeleteApplication { .. }
                | Removal::RemoveRecord
                | Removal::ForgetTenant { .. } => None,
            })
            .collect();
        let started = tokio::time::Instant::now();
        loop {
            let app = self.hands.writer.app(object_id, ObjectAge::Settled).await?;
            let marked = app.registration.tags.iter().any(|tag| crate::plan::marks::is_mark(tag));
            let held = app.secrets.iter().chain(&app.certificates);
            let held = held.map(|one| one.key_id).any(|key| removed.contains(&key));
            if !marked && !held {
                break;
            }
            if started.elapsed() > LAGS {
                return Err(Failure::new(
                    Cause::Refused,
                    "the directory took the change, and shows what was removed still",
                )
                .hint("run it again in some minutes: it goes on where it stopped"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.ended.proofs.push(Proof::MarksGone { object_id });
        if !removed.is_empty() {
            self.ended.proofs.push(Proof::CredentialsGone { key_ids: removed });
        }
        Ok(())
    }

    /// Shows Entra ID a credential that was removed, until it refuses it. The value is the last thing
    /// by which that can be seen, so it stays in the vault until then.
    async fn see_refused(&mut self) -> Result<(), Failure> {
        if self.refused {
            return Ok(());
        }
        let Some(witness) = self.hands.witness else {
            self.ended.proofs.push(Proof::SecretNotShown);
            return Ok(());
        };
        let directory = self.hands.asked_in;
        let started = tokio::time::Instant::now();
        loop {
            match token(self.hands.ways, directory, witness).await {
                Err(failure) => {
                    let proof = match failure.code.as_deref() {
                        // Not its secret, an ended one, not its certificate, or no such app
                        // (<https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>).
                        Some(
                            code @ ("AADSTS7000215" | "AADSTS7000222" | "AADSTS700027"
                            | "AADSTS700016"),
                        ) => Proof::SecretRefused { directory, code: code.to_owned() },
                        // That it has no service principal there, or a disabled one, is said before
                        // its secret is looked at.
                        Some(code @ ("AADSTS7000229" | "AADSTS7000112")) => {
                            Proof::SecretUnproved { code: code.to_owned() }
                        }
                        Some(_) | None => return Err(failure),
                    };
                    self.refused = true;
                    self.ended.proofs.push(proof);
                    return Ok(());
                }
                Ok(_) if started.elapsed() > LAGS => {
                    return Err(Failure::new(
                        Cause::Refused,
                        "Entra ID still takes a credential that was removed; its value stays in \
                         the vault until it does not",
                    )
                    .hint("run it again in some minutes: it goes on where it stopped"));
                }
                Ok(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
}

fn of_vault(error: VaultError) -> Failure {
    let failure = Failure::new(Cause::Refused, format!("the vault: {error}"));
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What a removed credential is seen refused by, where the vault gives its value.
pub async fn shown_by(vault: &Vault, app: &AppKey, held: &CredentialRecord) -> Option<ClientProof> {
    let value = vault.value(app, &held.nonce).await.ok()?;
    match held.kind {
        CredentialKind::Certificate => ClientProof::certificate(&value).ok(),
        CredentialKind::Secret | CredentialKind::RefreshToken => Some(ClientProof::Secret(value)),
    }
}

/// What is left with customers now: what was named, and whether each was seen: as the app where it
/// outlived the customer and `proofs` has one of it, else by the operator. What is seen gone is
/// for the caller to forget.
pub async fn look_again(
    ways: Ways<'_>,
    named: &[Leftover],
    proofs: &BTreeMap<ClientId, ClientProof>,
    parallelism: usize,
) -> Vec<(Leftover, Sighting)> {
    stream::iter(named)
        .map(async |leftover| {
            let Leftover { directory, client_id, .. } = leftover;
            let seen = match proofs.get(client_id) {
                Some(proof) => look_into(ways, *directory, *client_id, Some(proof)).await,
                None => sight(ways, *directory, *client_id).await,
            };
            (leftover.clone(), seen)
        })
        .buffered(parallelism.max(1))
        .collect()
        .await
}
