//! The policies against a server that misbehaves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    http::{Context, Method, Request},
    time::OffsetDateTime,
};
use serde_json::json;
use url::Url;

use super::{
    Access, Bearer, Calls, Lag, Network, Notice, Service, Tries,
    testing::{Reply, Server},
};
use crate::failure::{Cause, Failure};

const LONG: Duration = Duration::from_secs(30);
const TOKEN: &str = "canary-bearer";

#[derive(Debug)]
struct Always;

#[async_trait::async_trait]
impl TokenCredential for Always {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let end = OffsetDateTime::now_utc() + azure_core::time::Duration::hours(1);
        Ok(AccessToken::new(TOKEN, end))
    }
}

fn graph(network: &Network, access: Access) -> Calls {
    let bearer = Bearer { credential: Arc::new(Always), scope: "s".to_owned() };
    network.calls(Service::Graph, None, access, Some(bearer))
}

async fn ask(
    calls: &Calls,
    base: &Url,
    method: Method,
    context: &Context<'_>,
) -> Result<u16, Failure> {
    let mut request = Request::new(base.join("/v1.0/things?secret=canary-query").unwrap(), method);
    if matches!(method, Method::Post | Method::Patch) {
        request.set_body(r#"{"body":"canary-body"}"#);
    }
    calls.send(context, request).await.map(|answer| u16::from(answer.status()))
}

/// One call of each method, where the first answer is `first` and all later ones are good.
async fn tries(first: Reply) -> [(usize, bool); 4] {
    let mut found = [(0, false); 4];
    let methods = [Method::Get, Method::Patch, Method::Post, Method::Delete];
    for (found, method) in found.iter_mut().zip(methods) {
        let first = first.clone();
        let server = Server::start(move |_, before| match before {
            0 => first.clone(),
            _ => Reply::json(200, json!({})),
        })
        .await;
        let (network, _) = server.network(LONG);
        let calls = graph(&network, Access::ReadWrite);
        let ended = ask(&calls, &server.base, method, &Context::new()).await;
        let heard = server.heard();
        assert!(heard.iter().all(|h| h.body == heard[0].body), "the body changed: {heard:?}");
        if matches!(method, Method::Post | Method::Patch) {
            assert!(heard[0].body.contains("canary-body"));
        }
        *found = (heard.len(), ended.is_ok());
    }
    found
}

#[tokio::test]
async fn a_call_is_repeated_only_where_its_method_and_the_answer_allow_it() {
    const ALL: [(usize, bool); 4] = [(2, true); 4];
    const HARMLESS: [(usize, bool); 4] = [(2, true), (2, true), (1, false), (2, true)];
    const NONE: [(usize, bool); 4] = [(1, false); 4];
    let error = |status| Reply::json(status, json!({"error": {"code": "X", "message": "y"}}));
    for (first, wanted) in [
        (error(429).with("retry-after", "0"), ALL),
        (error(429), ALL),
        (error(503).with("retry-after", "0"), ALL),
        (error(503), HARMLESS),
        (error(500), HARMLESS),
        (error(504), HARMLESS),
        (error(424), HARMLESS),
        (Reply::Cut, HARMLESS),
        (Reply::Short, HARMLESS),
        (Reply::Answer(200, Vec::new(), "<html>".to_owned()), HARMLESS),
        (error(501), NONE),
        (error(403), NONE),
        (error(404), NONE),
        (error(409), NONE),
        (
            Reply::json(
                409,
                json!({"error": {"code": "Directory_ConcurrencyViolation", "message": "w"}}),
            ),
            ALL,
        ),
    ] {
        assert_eq!(tries(first.clone()).await, wanted, "{first:?}");
    }
}

#[tokio::test]
async fn a_wait_longer_than_the_call_may_take_ends_it_at_once_and_shuts_the_directory() {
    let server = Server::start(|_, _| {
        Reply::json(429, json!({"error": {"code": "TooManyRequests", "message": "slow down"}}))
            .with("retry-after", "3600")
            .with("request-id", "5f0c")
    })
    .await;
    let (network, _) = server.network(Duration::from_secs(2));
    let calls = graph(&network, Access::ReadOnly);
    let begun = Instant::now();
    let failure = ask(&calls, &server.base, Method::Get, &Context::new()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!((failure.cause, failure.status), (Cause::Throttled, Some(429)));
    assert_eq!(failure.request_id.as_deref(), Some("5f0c"));
    assert!(failure.message.contains("3600 s"), "{failure}");
    let next = ask(&calls, &server.base, Method::Get, &Context::new()).await.unwrap_err();
    assert_eq!((next.cause, next.status), (Cause::Throttled, None));
    assert!(next.message.contains("150 s") || next.message.contains("149 s"), "{next}");
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn when_one_call_is_told_to_wait_all_of_that_directory_wait() {
    let server = Server::start(|_, before| match before {
        0 => Reply::json(429, json!({"error": {"code": "TooManyRequests", "message": "w"}}))
            .with("retry-after", "1"),
        _ => Reply::json(200, json!({})),
    })
    .await;
    let (network, notices) = server.network(LONG);
    let calls = graph(&network, Access::ReadOnly);
    let context = Context::new();
    let begun = Instant::now();
    let first = ask(&calls, &server.base, Method::Get, &context);
    let second = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // Another pipeline to the same directory.
        ask(&graph(&network, Access::ReadWrite), &server.base, Method::Get, &context).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_ok());
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.heard().len(), 3);
    let notices = notices.lock().unwrap();
    let throttled: Vec<_> =
        notices.iter().filter(|n| matches!(n, Notice::Throttled { .. })).collect();
    assert_eq!(throttled.len(), 1, "{notices:?}");
}

#[tokio::test]
async fn repeats_are_bounded_in_number_and_by_the_budget() {
    let server = Server::start(|_, _| Reply::json(500, json!({}))).await;
    let (network, notices) = server.network(LONG);
    let calls = graph(&network, Access::ReadOnly);
    for _ in 0..40 {
        let failure = ask(&calls, &server.base, Method::Get, &Context::new()).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Service);
    }
    // 40 calls, 20 repeats to begin with, and one more for five calls.
    let heard = server.heard().len();
    assert!((60..=68).contains(&heard), "{heard}");
    assert_eq!(network.counters().graph_reads as usize, heard);
    let most = notices
        .lock()
        .unwrap()
        .iter()
        .filter_map(|n| match n {
            Notice::Retrying { attempt, .. } => Some(*attempt),
            Notice::Throttled { .. } | Notice::Traffic { .. } => None,
        })
        .max();
    assert_eq!(most, Some(6));
}

#[tokio::test]
async fn a_server_that_hangs_costs_no_more_than_the_limit() {
    let server = Server::start(|_, _| Reply::Hang).await;
    let (network, _) = server.network(Duration::from_millis(600));
    let calls = graph(&network, Access::ReadWrite);
    for (method, most) in [(Method::Post, 1), (Method::Get, 2)] {
        let (begun, before) = (Instant::now(), server.heard().len());
        let failure = ask(&calls, &server.base, method, &Context::new()).await.unwrap_err();
        assert_eq!(failure.cause, Cause::NoAnswer);
        let took = begun.elapsed();
        assert!((550..1500).contains(&took.as_millis()), "{took:?}");
        assert_eq!(server.heard().len() - before, most);
    }
}

#[tokio::test]
async fn what_this_run_just_made_may_be_missing_for_a_while() {
    let missing = || {
        Reply::json(
            404,
            json!({"error": {"code": "Request_ResourceNotFound", "message": "Resource 'x' does not exist"}}),
        )
    };
    let server = Server::start(move |_, before| match before % 4 {
        3 => Reply::json(200, json!({})),
        _ => missing(),
    })
    .await;
    let (network, _) = server.network(LONG);
    let calls = graph(&network, Access::ReadWrite);
    let (lag, tries) = (Context::new().with_value(Lag::NewObject), Tries::default());
    let lag = lag.with_value(tries.clone());
    ask(&calls, &server.base, Method::Post, &lag).await.unwrap();
    assert_eq!((server.heard().len(), tries.count()), (4, 4));
    let failure = ask(&calls, &server.base, Method::Post, &Context::new()).await.unwrap_err();
    assert_eq!((failure.cause, server.heard().len()), (Cause::NotFound, 5));
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_no_answer_and_from_no_trust() {
    let server = Server::start(|_, _| Reply::Cut).await;
    let (network, _) = server.network(LONG);
    let calls = graph(&network, Access::ReadWrite);
    let cut = ask(&calls, &server.base, Method::Post, &Context::new()).await.unwrap_err();
    assert_eq!(cut.cause, Cause::NoAnswer);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Url::parse(&format!("https://{nobody}")).unwrap();
    let refused = ask(&calls, &nobody, Method::Post, &Context::new()).await.unwrap_err();
    assert_eq!(refused.cause, Cause::Unreachable);
    assert!(refused.message.contains("refused"), "{refused}");

    let stranger = Server::start(|_, _| Reply::json(200, json!({}))).await;
    let distrusted = ask(&calls, &stranger.base, Method::Get, &Context::new()).await.unwrap_err();
    assert_eq!(distrusted.cause, Cause::Unreachable);
    assert!(distrusted.message.contains("certificate"), "{distrusted}");
    assert!(stranger.heard().is_empty());
}

#[tokio::test]
async fn a_reader_sends_nothing_but_get() {
    let server = Server::start(|_, _| Reply::json(200, json!({}))).await;
    let (network, _) = server.network(LONG);
    let calls = graph(&network, Access::ReadOnly);
    for method in [Method::Post, Method::Patch, Method::Put, Method::Delete, Method::Head] {
        let failure = ask(&calls, &server.base, method, &Context::new()).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Guard, "{method}");
    }
    assert!(server.heard().is_empty());
    assert_eq!(network.counters().total(), 0);
    assert!(ask(&calls, &server.base, Method::Get, &Context::new()).await.is_ok());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::start(|_, _| Reply::json(200, json!({}))).await;
    let there = elsewhere.base.to_string();
    let server = Server::start(move |_, _| {
        Reply::json(307, json!({"error": {"code": "X", "message": "go there"}}))
            .with("location", &there)
    })
    .await;
    let (network, _) = server.network(LONG);
    let calls = graph(&network, Access::ReadOnly);
    let failure = ask(&calls, &server.base, Method::Get, &Context::new()).await.unwrap_err();
    assert_eq!((failure.cause, failure.status), (Cause::Garbled, Some(307)));
    assert!(failure.message.contains("never followed"), "{failure}");
    assert_eq!((server.heard().len(), elsewhere.heard().len()), (1, 0));
}

#[tokio::test]
async fn the_sandboxes_network_contacts_this_machine_only() {
    let server = Server::start(|_, _| Reply::json(200, json!({}))).await;
    let (network, _) = server.network(LONG);
    let calls = graph(&network, Access::ReadWrite);
    for far in ["https://graph.microsoft.com", "https://192.0.2.1", "https://localhost.example"] {
        let far = Url::parse(far).unwrap();
        let failure = ask(&calls, &far, Method::Get, &Context::new()).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Guard, "{far}");
    }
}

#[tokio::test]
async fn neither_failures_nor_notices_hold_a_token_a_body_or_a_query() {
    let server = Server::start(|_, before| match before {
        0 => Reply::Cut,
        1 => Reply::Short,
        2 => Reply::Answer(200, Vec::new(), "canary-answer".to_owned()),
        3 => Reply::Answer(500, Vec::new(), "canary-answer".to_owned()),
        _ => Reply::json(400, json!({"error": {"code": "X", "message": "no"}, "canary-answer": 1})),
    })
    .await;
    let (network, notices) = server.network(LONG);
    let calls = graph(&network, Access::ReadWrite);
    let failure = ask(&calls, &server.base, Method::Patch, &Context::new()).await.unwrap_err();
    assert_eq!(server.heard().len(), 5);
    assert!(server.heard()[0].head.contains(TOKEN), "the token is sent");
    let told = format!("{failure} {failure:?} {:?} {calls:?} {network:?}", notices.lock().unwrap());
    assert!(told.contains("/v1.0/things"));
    assert!(!told.contains("canary"), "{told}");
}

#[tokio::test]
async fn the_servers_clock_is_kept() {
    let server = Server::start(|_, _| {
        Reply::json(200, json!({})).with("date", "Mon, 23 Nov 2026 12:00:00 GMT")
    })
    .await;
    let (network, _) = server.network(LONG);
    let calls = graph(&network, Access::ReadOnly);
    assert_eq!(calls.server_time(), None);
    ask(&calls, &server.base, Method::Get, &Context::new()).await.unwrap();
    let shown = calls.server_time().unwrap().to_string();
    assert!(shown.starts_with("2026-11-23T12:00:0"), "{shown}");
    // A writer counts the end of a secret from it before its own first answer.
    assert!(graph(&network, Access::ReadWrite).server_time().is_some());
}
