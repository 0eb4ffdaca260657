//! Lists that move while they are read, services that answer for somebody else, outputs that were
//! cut.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use super::*;
use crate::{
    connector::Connector,
    entra::Issuers,
    http::testing::{Reply, Server},
    ids::Nonce,
    prove::{Held, Shows, Wallet},
    secret::Secret,
    vault::{Keeping, KeySource, NewVault, Vault},
};

const DIRECTORY: &str = "6f1c0f5e-0000-4000-8000-000000000001";

fn reader() -> Reader {
    Reader {
        who: Held {
            tenant: "contoso".parse().unwrap(),
            directory: DIRECTORY.parse().unwrap(),
            app: "contoso".parse().unwrap(),
            client: "6f1c0f5e-0002-4000-8000-000000000001".parse().unwrap(),
            shows: Shows::Kept {
                kind: crate::vault::CredentialKind::Secret,
                nonce: Nonce::fresh(),
                age: crate::entra::SecretAge::Settled,
            },
            sign_in_as: None,
            scopes: BTreeSet::new(),
        },
        connector: Connector::GraphSecurity,
        last_good: None,
    }
}

/// A vault that is never asked.
async fn vault() -> Vault {
    let root = tempfile::tempdir().unwrap();
    let keeping =
        Keeping::folder(root.path().join("vault"), KeySource::folder(root.path().join("keys")));
    let fleet = "acme-soc".parse().unwrap();
    Vault::init(&keeping, &fleet, NewVault::default()).await.unwrap().0
}

fn token() -> AppToken {
    AppToken {
        directory: DIRECTORY.parse().unwrap(),
        roles: BTreeSet::new(),
        scopes: BTreeSet::new(),
        expires: Timestamp::now() + Duration::from_secs(3600),
        bearer: Secret::new("canary-token".to_owned()),
    }
}

/// Reads a list once; `serve` gives the page at a `$skip`. What was handed out comes back as text.
async fn read_once(
    serve: impl Fn(usize) -> Value + Send + Sync + 'static,
) -> (Result<Round, Failure>, String) {
    let server = Server::start(move |heard, _| {
        let (_, skip) = heard.target.split_once("$skip=").unwrap_or(("", "0"));
        Reply::json(200, serve(skip.parse().unwrap()))
    })
    .await;
    let (network, _) = server.network(Duration::from_secs(5));
    let (vault, issuers) = (vault().await, Issuers::of_this_process(&network));
    let reading = Reading {
        network: &network,
        cloud: &server.cloud(),
        wallet: Wallet { vault: &vault, issuers: &issuers },
        keeper: Keeper::Nobody("nobody".to_owned()),
        parallelism: 1,
        stop: &Stop::never(),
        query: &IncidentQuery::default(),
        since: None,
        on_wait: &|_, _| {},
    };
    let out = Written::default();
    let delivery = Delivery::new(out.clone(), None);
    let (reader, pace) = (reader(), Pace::default());
    let mut tour =
        Tour { reading: &reading, reader: &reader, pace: &pace, refresh: None, handed: 0 };
    let ended = tour.round(&delivery, None, &mut Some(token()), &mut None).await;
    let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    (ended, text)
}

/// The same, of pages that are given by their ids and by whether there are more.
async fn round(
    serve: impl Fn(usize) -> (Vec<usize>, bool) + Send + Sync + 'static,
) -> (Result<Round, Failure>, Vec<u64>) {
    let (ended, text) = read_once(move |skip| {
        let (ids, more) = serve(skip);
        let value: Vec<_> = ids
            .iter()
            .map(|id| json!({"id": id.to_string(), "lastUpdateDateTime": "2026-11-01T00:00:00Z"}))
            .collect();
        let mut page = json!({"value": value});
        if more {
            page["@odata.nextLink"] = json!("https://elsewhere.example/");
        }
        page
    })
    .await;
    let id = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["id"].as_str().unwrap().parse().unwrap()
    };
    (ended, text.lines().map(id).collect())
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A page of a list of so many, where the service shows at most ten.
fn ten(list: &[usize], skip: usize) -> (Vec<usize>, bool) {
    let page: Vec<usize> = list.iter().skip(skip).take(10).copied().collect();
    let more = skip + page.len() < list.len();
    (page, more)
}

#[tokio::test]
async fn short_pages_are_followed_to_the_end_and_their_links_are_not() {
    let (ended, ids) = round(|skip| ten(&(0..35).collect::<Vec<_>>(), skip)).await;
    assert!(matches!(ended, Ok(Round::Whole)));
    assert_eq!(ids, (0..35).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_slid_away_between_two_pages_is_noticed_and_what_slid_in_is_no_harm() {
    // The first incident leaves the list after the first page: without the overlap, 10 would be
    // lost.
    let (ended, _) = round(|skip| {
        let first = usize::from(skip > 0);
        ten(&(first..35).collect::<Vec<_>>(), skip)
    })
    .await;
    assert!(matches!(ended, Ok(Round::Moved)));
    let (ended, _) = round(|skip| if skip == 0 { ten(&[1; 12], 0) } else { (vec![], false) }).await;
    assert!(matches!(ended, Ok(Round::Moved)), "it has shrunk");
    let (ended, ids) = round(|skip| {
        let list: Vec<usize> = match skip {
            0 => (1..35).collect(),
            _ => (0..35).collect(),
        };
        ten(&list, skip)
    })
    .await;
    assert!(matches!(ended, Ok(Round::Whole)));
    assert_eq!(ids, (1..35).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_service_that_never_ends_is_left() {
    let (ended, ids) = round(|_| ((0..10).collect(), true)).await;
    assert_eq!(ended.err().unwrap().cause, Cause::Garbled);
    assert_eq!(ids.len(), 10);
}

#[tokio::test]
async fn another_directorys_incidents_are_nobodys() {
    let incident = json!({"id": "1", "lastUpdateDateTime": "2026-11-01T00:00:00Z",
                          "tenantId": "6f1c0f5e-0000-4000-8000-000000000002"});
    let (ended, text) = read_once(move |_| json!({"value": [incident.clone()]})).await;
    assert_eq!(ended.err().unwrap().cause, Cause::Garbled);
    assert_eq!(text, "");
}

#[test]
fn what_a_service_calls_like_our_own_words_does_not_replace_them() {
    let Value::Object(all) = json!({"tenantKey": "fabrikam", "connector": "x", "id": "7"}) else {
        unreachable!("it is an object")
    };
    let incident = Incident { id: "7".to_owned(), updated: String::new(), all };
    assert_eq!(
        line(&reader(), &incident),
        format!(
            "{{\"tenantKey\":\"contoso\",\"tenantId\":\"{DIRECTORY}\",\
                 \"connector\":\"graph-security\",\"id\":\"7\"}}\n"
        )
    );
}

#[test]
fn a_checkpoint_is_one_runs_at_a_time_and_a_torn_last_line_is_as_if_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seen");
    let subject = Subject { fleet: "acme-soc".parse().unwrap(), query: IncidentQuery::default() };
    let open = || Checkpoint::open(&path, &subject, Output::default);
    let (key, directory) = ("contoso".parse().unwrap(), DIRECTORY.parse().unwrap());
    let mut first = open().unwrap();
    assert!(matches!(open(), Err(CheckpointError::Busy { .. })));
    first.handed(&key, directory, "1", "2026-11-01T00:00:00Z").unwrap();
    assert!(matches!(open(), Err(CheckpointError::Busy { .. })));
    drop(first);
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"line\":\"handed\",\"tenant\":\"cont");
    std::fs::write(&path, text).unwrap();
    let mut second = open().unwrap();
    assert!(second.has(&key, directory, "1", "2026-11-01T00:00:00Z"));
    assert!(!second.has(&key, directory, "1", "2026-11-02T00:00:00Z"));
    let elsewhere = "6f1c0f5e-0000-4000-8000-000000000002".parse().unwrap();
    assert!(!second.has(&key, elsewhere, "1", "2026-11-01T00:00:00Z"));
    // Read to its end, what is older than the overlap is behind it.
    second.through(&key, directory, "2026-11-03T00:00:00Z".parse().unwrap()).unwrap();
    assert!(!second.has(&key, directory, "1", "2026-11-01T00:00:00Z"));
    assert_eq!(second.since(&key, directory), Some("2026-11-02T23:50:00Z".parse().unwrap()));
    assert_eq!(second.since(&key, elsewhere), None);
    second.end().unwrap();
    assert_eq!(
        open().unwrap().since(&key, directory),
        Some("2026-11-02T23:50:00Z".parse().unwrap())
    );
}
