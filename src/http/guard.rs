//! A pipeline that cannot write.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::{
    Context, Method, Request,
    policies::{Policy, PolicyResult},
};

use super::answer::Refusal;
use crate::failure::{Cause, Failure};

/// Whether a pipeline may change anything at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// `GET` and nothing else.
    ReadOnly,
    /// Every method.
    ReadWrite,
}

/// Refuses every method but `GET`, before a token is asked for and before anything is sent.
///
/// It sits beneath everything that reads, so that `plan` and `status` cannot write even by mistake.
#[derive(Debug)]
pub(crate) struct ReadOnly;

#[async_trait]
impl Policy for ReadOnly {
    async fn send(
        &self,
        ctx: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let method = request.method();
        if method != Method::Get {
            let path = request.url().path();
            return Err(Refusal::from(Failure::new(
                Cause::Guard,
                format!("{method} {path} was not sent: this command only reads"),
            ))
            .into());
        }
        next[0].send(ctx, request, &next[1..]).await
    }
}
