//! What an app shows to get a token: one shape for every kind of credential, and for every grant
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>).

use crate::secret::Secret;

/// Says that an assertion is a JWT (RFC 7523, 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What an app shows to get a token.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// Its client secret.
    Secret(Secret<String>),
    /// A token of an issuer that it trusts, good for some minutes.
    Issued(Secret<String>),
}

impl ClientProof {
    /// The members that it is in the form of a token request.
    pub(super) fn shown(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Secret(secret) => vec![("client_secret", secret.expose())],
            Self::Issued(token) => {
                vec![("client_assertion_type", JWT_BEARER), ("client_assertion", token.expose())]
            }
        }
    }
}
