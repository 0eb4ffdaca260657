//! What an app shows to get a token: one shape for every kind of credential, and for every grant
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>).

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::certificate::SigningKey;
use crate::{
    cloud::Cloud,
    failure::Failure,
    http::{Access, Network, Service},
    ids::{ClientId, TenantId},
    secret::Secret,
};

/// Says that an assertion is a JWT (RFC 7523, 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far our clock may be from theirs before that is what an assertion was refused for.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

/// What an app shows to get a token.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// Its client secret.
    Secret(Secret<String>),
    /// The key of its certificate: each request shows an assertion of its own.
    Certificate(Arc<SigningKey>),
    /// A token of an issuer that it trusts, good for some minutes.
    Issued(Secret<String>),
}

impl ClientProof {
    /// What the vault kept of a certificate and its key.
    ///
    /// # Errors
    /// It is none; of its content nothing is said.
    pub fn certificate(kept: &Secret<String>) -> Result<Self, String> {
        Ok(Self::Certificate(Arc::new(SigningKey::read(kept)?)))
    }
}

/// Who shows what, where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Showing<'a> {
    pub(super) network: &'a Network,
    pub(super) cloud: &'a Cloud,
    pub(super) directory: TenantId,
    pub(super) client: ClientId,
    pub(super) proof: &'a ClientProof,
}

/// What is shown: a secret, or an assertion.
pub(super) enum Shown {
    Secret(Secret<String>),
    Assertion(Secret<String>),
}

impl Shown {
    /// The members that it is in the form of a token request.
    pub(super) fn members(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Secret(secret) => vec![("client_secret", secret.expose())],
            Self::Assertion(token) => {
                vec![("client_assertion_type", JWT_BEARER), ("client_assertion", token.expose())]
            }
        }
    }
}

impl Showing<'_> {
    /// The token endpoint that is asked.
    pub(super) fn endpoint(&self) -> Url {
        let mut url = self.cloud.login.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([&self.directory.to_string(), "oauth2", "v2.0", "token"]);
        }
        url
    }

    /// What the directory's clock says, where it has answered before.
    fn told(&self) -> Option<Timestamp> {
        let Self { network, directory, .. } = self;
        network.calls(Service::Token, Some(*directory), Access::ReadOnly, None).server_time()
    }

    /// The moment of now, by the directory's clock where it has told it.
    pub(super) fn moment(&self) -> Timestamp {
        self.told().unwrap_or_else(Timestamp::now)
    }

    /// What is shown at a moment.
    pub(super) fn at(&self, now: Timestamp) -> Shown {
        match self.proof {
            ClientProof::Secret(secret) => Shown::Secret(secret.clone()),
            ClientProof::Certificate(key) => {
                Shown::Assertion(key.assertion(self.client, &self.endpoint(), now))
            }
            ClientProof::Issued(token) => Shown::Assertion(token.clone()),
        }
    }

    /// What to show once more where an assertion of ours was refused for its times: the answer told
    /// the directory's clock, and ours was wrong.
    pub(super) fn again(&self, refused: &Failure, began: Timestamp) -> Option<Shown> {
        let for_its_times = refused.code.as_deref() == Some("AADSTS700024");
        let signed = matches!(self.proof, ClientProof::Certificate(_));
        let told = self.told().filter(|_| for_its_times && signed)?;
        (told.duration_since(began).abs() > CLOCKS).then(|| self.at(told))
    }
}
