//! Tokens of the apps as themselves, each asked for once in a run.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use crate::{
    cloud::Cloud,
    connector::{GRAPH, THREAT_PROTECTION},
    entra::{self, Api, AppToken, ClientProof, SecretAge},
    failure::{Cause, Failure},
    http::Network,
    ids::{ClientId, ResourceId, TenantId},
};

/// Which app asks in which directory for which API.
type Asked = (ClientId, TenantId, ResourceId);
type Answer = Arc<OnceCell<Result<AppToken, Failure>>>;

/// What was asked for so far. It lives for one round of proofs and no longer: a token that was
/// given before somebody consented does not come to carry what they consented to.
pub(super) struct AppTokens<'a> {
    network: &'a Network,
    cloud: &'a Cloud,
    answers: Mutex<BTreeMap<Asked, Answer>>,
}

/// What an app shows to get a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) client: ClientId,
    pub(super) proof: &'a ClientProof,
    pub(super) age: SecretAge,
}

impl<'a> AppTokens<'a> {
    pub(super) fn new(network: &'a Network, cloud: &'a Cloud) -> Self {
        Self { network, cloud, answers: Mutex::default() }
    }

    /// The token of an app for an API in a directory. Whoever asks for the same meanwhile, or
    /// later, gets the same answer.
    pub(super) async fn token(
        &self,
        shown: Shown<'_>,
        directory: TenantId,
        api: ResourceId,
    ) -> Result<AppToken, Failure> {
        let Shown { client, proof, age } = shown;
        let Some(scope) = scope(self.cloud, api) else {
            return Err(Failure::new(Cause::Refused, "this cloud has no Defender API"));
        };
        let answer = Arc::clone(
            self.answers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry((client, directory, api))
                .or_default(),
        );
        answer
            .get_or_init(|| {
                let api = Api { id: api, scope: &scope };
                entra::app_token(self.network, self.cloud, directory, client, proof, api, age)
            })
            .await
            .clone()
    }
}

/// The scope that asks for an API's token. An API is also known by its id, where we know no address
/// of it (<https://learn.microsoft.com/en-us/entra/identity-platform/scopes-oidc>).
pub(super) fn scope(cloud: &Cloud, api: ResourceId) -> Option<String> {
    if api == GRAPH {
        Some(cloud.graph_scope())
    } else if api == THREAT_PROTECTION {
        cloud.defender_scope()
    } else {
        Some(format!("{api}/.default"))
    }
}
