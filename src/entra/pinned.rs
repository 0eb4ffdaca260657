//! A credential for one directory and no other.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    time::{Duration, OffsetDateTime},
};
use tokio::sync::Mutex;

use super::claims::Claims;
use crate::{
    failure::{Cause, Failure},
    http::Refusal,
    ids::TenantId,
};

/// Wraps a credential: checks the directory of each token, and keeps tokens, because the command
/// line tools start a process for every one.
pub(super) struct Pinned {
    inner: Arc<dyn TokenCredential>,
    directory: TenantId,
    tokens: Mutex<BTreeMap<String, AccessToken>>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Pinned {
    pub(super) fn new(inner: Arc<dyn TokenCredential>, directory: TenantId) -> Self {
        Self { inner, directory, tokens: Mutex::default() }
    }
}

#[async_trait]
impl TokenCredential for Pinned {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let key = scopes.join(" ");
        // Held across the request: whoever else needs the same token waits for this one.
        let mut tokens = self.tokens.lock().await;
        let soon = OffsetDateTime::now_utc() + Duration::minutes(5);
        if let Some(token) = tokens.get(&key).filter(|token| token.expires_on > soon) {
            return Ok(token.clone());
        }
        let token = self.inner.get_token(scopes, options).await?;
        let found = Claims::read(token.token.secret()).tid.map(TenantId::from_uuid);
        if let Some(found) = found.filter(|found| *found != self.directory) {
            return Err(Refusal::from(
                Failure::new(
                    Cause::SignIn,
                    format!("signed in to directory {found}, but {} is meant", self.directory),
                )
                .hint("Nothing was read or changed. Sign in to the right directory, or correct `home.tenant`."),
            )
            .into());
        }
        tokens.insert(key, token.clone());
        Ok(token)
    }
}
