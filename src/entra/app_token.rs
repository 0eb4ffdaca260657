//! A token as a customer's app gets it: the proof that a secret is taken and consent was given.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use azure_core::{
    credentials::{AccessToken, Secret as AzureSecret, TokenCredential, TokenRequestOptions},
    http::{ClientMethodOptions, Context},
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions,
};
use jiff::Timestamp;

use super::{
    claims::{Api, Bearer, Claims, Wanted},
    proof::{ClientProof, Showing, Shown},
};
use crate::{
    cloud::Cloud,
    failure::{Cause, Failure},
    http::{Lag, Network, Service, failure_of},
    ids::{ClientId, TenantId},
    secret::Secret,
};

/// A token of an app in one directory, and what it carries.
#[derive(Debug, Clone)]
pub struct AppToken {
    /// The directory it is for; checked against the one that was asked for.
    pub directory: TenantId,
    /// App roles (`roles`). A token without any proves no consent: one is issued as soon as the
    /// app has a service principal
    /// (<https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference>).
    pub roles: BTreeSet<String>,
    /// Delegated scopes (`scp`).
    pub scopes: BTreeSet<String>,
    /// When it ends.
    pub expires: Timestamp,
    /// The token itself.
    pub bearer: Secret<String>,
}

impl AppToken {
    /// The object id of whoever it speaks for in its directory: of the app's service principal, where
    /// it is the app's own (`oid`). To be shown, and relied on by nobody.
    pub fn object(&self) -> Option<uuid::Uuid> {
        Claims::read(self.bearer.expose()).oid
    }
}

/// How old a client secret or a certificate is; Entra ID takes up to a minute to know a new one
/// everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretAge {
    /// Made by this run: AADSTS7000215 (AADSTS700027) is waited out, for at most a minute.
    Fresh,
    /// Made earlier: these mean that it is wrong.
    Settled,
}

/// Asks for a token as the app, by client credentials.
///
/// # Errors
/// Entra ID's refusal with its AADSTS code ([`Cause::Refused`]: the app's secret or consent, not
/// the operator's sign-in), a token of another directory, app or API or one that does not say whose
/// it is ([`Cause::Garbled`]), or the network's.
pub async fn app_token(
    network: &Network,
    cloud: &Cloud,
    directory: TenantId,
    client: ClientId,
    proof: &ClientProof,
    api: Api<'_>,
    age: SecretAge,
) -> Result<AppToken, Failure> {
    let showing = Showing { network, cloud, directory, client, proof };
    let began = showing.moment();
    let token = match ask(&showing, showing.at(began), api, age).await {
        Err(refused) => match showing.again(&refused, began) {
            Some(shown) => ask(&showing, shown, api, age).await,
            None => Err(refused),
        },
        given => given,
    }?;
    let bearer = Secret::new(token.token.secret().to_owned());
    let claims = Claims::read(bearer.expose());
    claims.check(&Wanted { directory, client, api: Some(api), bearer: Bearer::App })?;
    Ok(AppToken {
        directory,
        scopes: claims.scopes(),
        roles: claims.roles,
        expires: Timestamp::from_second(token.expires_on.unix_timestamp())
            .unwrap_or(Timestamp::MAX),
        bearer,
    })
}

async fn ask(
    showing: &Showing<'_>,
    shown: Shown,
    api: Api<'_>,
    age: SecretAge,
) -> Result<AccessToken, Failure> {
    let credential = credential(showing, shown).map_err(|e| not_the_operators(failure_of(&e)))?;
    let context = match age {
        SecretAge::Fresh => Context::new().with_value(Lag::NewSecret),
        SecretAge::Settled => Context::new(),
    };
    let options = TokenRequestOptions { method_options: ClientMethodOptions { context } };
    let token = credential.get_token(&[api.scope], Some(options)).await;
    token.map_err(|e| not_the_operators(failure_of(&e)))
}

fn credential(showing: &Showing<'_>, shown: Shown) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let Showing { network, cloud, directory, client, proof: _ } = *showing;
    let (tenant, client) = (directory.to_string(), client.to_string());
    let client_options = network.client_options(Service::Token, Some(directory), &cloud.login);
    Ok(match shown {
        Shown::Secret(secret) => ClientSecretCredential::new(
            &tenant,
            client,
            AzureSecret::new(secret.expose().clone()),
            Some(ClientSecretCredentialOptions { client_options }),
        )?,
        Shown::Assertion(token) => ClientAssertionCredential::new(
            tenant,
            client,
            Given(token),
            Some(ClientAssertionCredentialOptions { client_options }),
        )?,
    })
}

/// An assertion that is there already.
#[derive(Debug)]
struct Given(Secret<String>);

#[async_trait]
impl ClientAssertion for Given {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose().clone())
    }
}

/// It is the app that was refused, not the operator.
pub(super) fn not_the_operators(mut failure: Failure) -> Failure {
    if failure.cause == Cause::SignIn {
        failure.cause = Cause::Refused;
    }
    failure
}
