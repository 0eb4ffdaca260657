//! Asks the services what works: a token in each customer's directory, then one call.
//!
//! A proof never changes anything at Microsoft: a token request leaves nothing behind, and the call
//! is a `GET`.

use std::{collections::BTreeMap, sync::Arc, sync::Mutex};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::{
    cloud::Cloud,
    connector::{Needs, Probe},
    defender,
    entra::{self, SecretAge},
    failure::{Cause, Failure},
    http::Network,
    ids::{AppKey, ClientId, Nonce, TenantId, TenantKey},
    manifest::Manifest,
    plan::{Plan, Seen, secrets},
    registration::PermissionKind,
    secret::Secret,
    status::{AccessProof, Proofs, TokenProof},
    stop::Stop,
    vault::Vault,
};

/// Entra may not know a secret for about a minute after it was made.
const FRESH_FOR: SignedDuration = SignedDuration::from_mins(1);

/// One tenant to ask about.
#[derive(Debug, Clone)]
pub struct Question {
    tenant: TenantKey,
    directory: TenantId,
    client: ClientId,
    app: AppKey,
    nonce: Nonce,
    age: SecretAge,
    needs: &'static Needs,
    roles: Vec<String>,
}

impl Question {
    /// The tenant, its app, and the secret that is asked with.
    pub fn credential(&self) -> (TenantKey, AppKey, Nonce) {
        (self.tenant.clone(), self.app.clone(), self.nonce.clone())
    }
}

/// The questions that can be asked: of every tenant whose app exists and has a live secret here.
pub fn questions(manifest: &Manifest, plan: &Plan, seen: &Seen, now: Timestamp) -> Vec<Question> {
    let mut questions = Vec::new();
    for planned in plan.tenants.values() {
        let question = (|| {
            let tenant = manifest.tenants.get(&planned.key)?;
            let app = manifest.apps.get(&tenant.app)?;
            let app_plan = plan.apps.get(&tenant.app)?;
            let client = app_plan.target.client_id()?;
            let inventory = seen.inventories.get(&app_plan.directory?)?.as_ref().ok()?;
            let found = inventory.apps.iter().find(|found| found.client_id == client)?;
            let record = seen.records.get(&tenant.app)?;
            let live = secrets::newest_live(&found.secrets, Some(record), now)?;
            let fresh = live.start.is_some_and(|start| now.duration_since(start) < FRESH_FOR);
            let needs = tenant.connector.needs();
            Some(Question {
                tenant: planned.key.clone(),
                directory: planned.directory?,
                client,
                app: tenant.app.clone(),
                nonce: live.nonce.clone(),
                age: if fresh { SecretAge::Fresh } else { SecretAge::Settled },
                needs,
                roles: app
                    .permissions
                    .iter()
                    .filter(|p| p.kind == PermissionKind::Application)
                    .filter(|p| needs.judges(p.resource))
                    .map(|p| p.name.clone())
                    .collect(),
            })
        })();
        questions.extend(question);
    }
    questions
}

/// What asking needs.
pub struct Asking<'a> {
    /// The way out.
    pub network: &'a Network,
    /// The cloud.
    pub cloud: &'a Cloud,
    /// Where the secrets are.
    pub vault: &'a Vault,
    /// How many tenants at once.
    pub parallelism: usize,
    /// Whether we were told to stop.
    pub stop: &'a Stop,
    /// Called when a tenant has been asked.
    pub on_tenant: &'a (dyn Fn(&TenantKey) + Sync),
}

/// Asks them all, side by side; one tenant's trouble stays its own.
pub async fn prove(asking: &Asking<'_>, questions: Vec<Question>) -> Proofs {
    let proofs: Mutex<Proofs> = Mutex::default();
    let lock = || proofs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let values = values(asking.vault, &questions).await;
    let all =
        stream::iter(&questions).for_each_concurrent(asking.parallelism.max(1), |question| async {
            if asking.stop.requested().is_some() {
                return;
            }
            let (token, access) = match &values[&(question.app.clone(), question.nonce.clone())] {
                Ok(value) => ask(asking, question, value).await,
                Err(why) => (TokenProof::NoKey(why.clone()), None),
            };
            lock().tokens.insert(question.tenant.clone(), token);
            if let Some(access) = access {
                lock().access.insert(question.tenant.clone(), access);
            }
            (asking.on_tenant)(&question.tenant);
        });
    tokio::select! {
        () = all => {}
        _ = asking.stop.told() => {}
    }
    proofs.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

type Values = BTreeMap<(AppKey, Nonce), Result<Arc<Secret<String>>, String>>;

/// Each secret once, however many tenants share its app.
async fn values(vault: &Vault, questions: &[Question]) -> Values {
    let mut values = Values::new();
    for question in questions {
        let key = (question.app.clone(), question.nonce.clone());
        if let std::collections::btree_map::Entry::Vacant(free) = values.entry(key) {
            let value = vault.value(&question.app, &question.nonce).await;
            free.insert(value.map(Arc::new).map_err(|error| error.to_string()));
        }
    }
    values
}

async fn ask(
    asking: &Asking<'_>,
    question: &Question,
    value: &Secret<String>,
) -> (TokenProof, Option<AccessProof>) {
    let Asking { network, cloud, .. } = asking;
    let scope = match question.needs.probe {
        Probe::GraphIncidents => Some(cloud.graph_scope()),
        Probe::DefenderIncidents => cloud.defender_scope(),
    };
    let Some(scope) = scope else {
        let why = Failure::new(Cause::Refused, "this cloud has no Defender API");
        return (TokenProof::Refused(why), None);
    };
    let Question { directory, client, age, .. } = question;
    let token =
        match entra::app_token(network, cloud, *directory, *client, value, &scope, *age).await {
            Ok(token) => token,
            Err(failure) => return (TokenProof::Refused(failure), None),
        };
    // A delegated connector reads with the analyst's token, never with the app's own.
    let enough =
        !question.needs.delegated && question.roles.iter().all(|role| token.roles.contains(role));
    let access = if enough {
        Some(match defender::newest_incident(network, cloud, question.needs.probe, &token).await {
            Ok(newest) => AccessProof::Read { any: newest.any, newest: newest.created },
            Err(failure) => AccessProof::Refused(failure),
        })
    } else {
        None
    };
    let api = question.needs.permissions.first().map(|(api, ..)| *api);
    let roles = api.map(|api| (api, token.roles)).into_iter().collect();
    (TokenProof::Granted { roles, refused: BTreeMap::new() }, access)
}
