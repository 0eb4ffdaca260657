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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// Counts how often it is asked; its tokens live for the minutes it is given.
    #[derive(Debug)]
    struct Tool(AtomicI64, i64);

    #[async_trait]
    impl TokenCredential for Tool {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let end = OffsetDateTime::now_utc() + Duration::minutes(self.1);
            Ok(AccessToken::new("opaque", end))
        }
    }

    async fn asked(minutes: i64) -> i64 {
        let tool = Arc::new(Tool(AtomicI64::new(0), minutes));
        let inner: Arc<dyn TokenCredential> = Arc::clone(&tool) as _;
        let pinned = Pinned::new(inner, TenantId::from_uuid(uuid::Uuid::nil()));
        for scope in ["a", "a", "b", "b", "a"] {
            pinned.get_token(&[scope], None).await.unwrap();
        }
        tool.0.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn a_tool_is_started_once_for_each_scope_until_its_token_is_about_to_end() {
        assert_eq!(asked(60).await, 2);
        assert_eq!(asked(4).await, 5);
    }
}
