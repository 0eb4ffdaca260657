//! The desk and its page, over plain sockets: what another site, a stranger or a second answer can
//! do to it.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use url::Url;
use uuid::uuid;

use super::*;
use crate::{
    cloud::{Cloud, CloudName},
    entra::{Issuers, SecretAge},
    event::{Event, Events},
    failure::Failure,
    http::{Network, NetworkOptions},
    ids::{Nonce, TenantId},
    stop::Stop,
    vault::{Keeping, KeySource, TenantRecord, Vault, testing},
};

const DIRECTORY: TenantId = TenantId::from_uuid(uuid!("6f1c0f5e-0000-4000-8000-000000000001"));

/// A desk with one administrator and one analyst to ask, and what it leans on.
struct Scene {
    desk: Arc<Desk>,
    vault: Arc<crate::vault::VaultWriter>,
    heard: tokio::sync::mpsc::UnboundedReceiver<crate::event::Stamped>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeySource::folder(folder.path().join("keys"));
        let location = Keeping::folder(folder.path().join("vault"), keys);
        let vault = Vault::open_or_init(&location, &testing::fleet()).await.unwrap();
        let vault = Arc::new(vault.lock("consent", |_| {}).await.unwrap());
        let mut record = testing::created("contoso");
        let tenant: TenantKey = "contoso".parse().unwrap();
        record.tenants.insert(tenant.clone(), TenantRecord::pinned(DIRECTORY));
        vault.write_record(&record).await.unwrap();
        let reader = Reader {
            user: "soc-reader@acme-soc.example".to_owned(),
            scopes: ["offline_access".to_owned()].into(),
        };
        let shown_by = ShownBy {
            api: crate::connector::GRAPH,
            scope: "https://graph.microsoft.com/.default".to_owned(),
            roles: BTreeSet::new(),
        };
        let ask = |what| Ask {
            tenant: tenant.clone(),
            name: "Contoso <b>".to_owned(),
            who: "somebody".to_owned(),
            app: record.app.clone(),
            app_name: "Contoso SIEM".to_owned(),
            directory: DIRECTORY,
            client: record.client_id.unwrap(),
            shows: Shows::Kept {
                kind: crate::vault::CredentialKind::Secret,
                nonce: Nonce::fresh(),
                age: SecretAge::Settled,
            },
            what,
        };
        let (events, heard) = Events::channel();
        let network = Network::new(NetworkOptions::default()).unwrap();
        let office = Office {
            issuers: Issuers::of_this_process(&network),
            network,
            cloud: Cloud::built_in(CloudName::Global),
            vault: vault.clone(),
            who: "a test".to_owned(),
            events,
            privileged: Privileged::Refused,
        };
        let asks = vec![
            ask(What::AdminConsent { landing: None, then: None, shown_by }),
            ask(What::SignIn(reader)),
        ];
        Self { desk: Arc::new(Desk::new(office, asks)), vault, heard, _folder: folder }
    }

    /// The `state` of a new link to that question.
    fn state(&self, number: usize) -> String {
        let page = Url::parse("http://localhost:1/tenantry").unwrap();
        state_of(self.desk.link(number, Some(&page)).unwrap().as_str())
    }

    async fn take(&self, query: &str) -> Result<Taken, Unreadable> {
        self.desk.take(&format!("/tenantry?{query}")).await.map(|(_, taken)| taken)
    }
}

fn state_of(link: &str) -> String {
    let link = Url::parse(link).unwrap();
    let (_, state) = link.query_pairs().find(|(name, _)| name == "state").unwrap();
    state.into_owned()
}

#[track_caller]
fn refused(taken: Result<Taken, Unreadable>) -> Failure {
    match taken {
        Ok(Taken::Refused { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_counts_once_and_only_for_what_was_asked() {
    let mut scene = Scene::new().await;
    let first = scene.state(0);
    let second = scene.state(0);
    assert_ne!(first, second);
    let no = |state: &str| format!("error=access_denied&error_subcode=cancel&state={state}");
    assert_eq!(scene.take(&no("made-up")).await, Err(Unreadable::NotAsked));
    assert_eq!(scene.take(&no(&first[..42])).await, Err(Unreadable::NotAsked));
    assert_eq!(scene.desk.view()[0].state, RowState::Started);
    let why = refused(scene.take(&no(&first)).await);
    assert_eq!(why.code.as_deref(), Some("access_denied"));
    assert_eq!(scene.take(&no(&first)).await, Err(Unreadable::Again));
    // The refusal is remembered, for this very app.
    let record = scene.vault.record(&"contoso".parse().unwrap()).await.unwrap().unwrap();
    let denied = record.tenants[&"contoso".parse().unwrap()].consent_denied.clone().unwrap();
    assert_eq!(Some(denied.client_id), record.client_id);
    match scene.heard.recv().await.unwrap().event {
        Event::ConsentDenied { kind, code, .. } => {
            assert_eq!((kind, code.as_deref()), (ManualKind::AdminConsent, Some("access_denied")));
        }
        other => panic!("{other:?}"),
    }
    // A code is no administrator's answer, and consent is no analyst's.
    let why = refused(scene.take(&format!("code=secret-code&state={second}")).await);
    assert!(why.message.contains("another kind"), "{why:?}");
    let analyst = scene.state(1);
    let why = refused(scene.take(&format!("admin_consent=True&state={analyst}")).await);
    assert!(why.message.contains("another kind"), "{why:?}");
}

#[tokio::test]
async fn an_answer_of_another_directory_stores_nothing_and_says_what_was_left_there() {
    let scene = Scene::new().await;
    let state = scene.state(0);
    let other = "80aa0000-0000-4000-8000-000000000009";
    let before = scene.vault.record(&"contoso".parse().unwrap()).await.unwrap();
    let why =
        refused(scene.take(&format!("admin_consent=True&tenant={other}&state={state}")).await);
    let client = before.as_ref().unwrap().client_id.unwrap().to_string();
    let hint = why.hint.unwrap();
    assert!(why.message.contains(other) && why.message.contains("Contoso"), "{}", why.message);
    assert!(hint.contains(&client) && hint.contains("enterprise application"), "{hint}");
    assert_eq!(scene.vault.record(&"contoso".parse().unwrap()).await.unwrap(), before);
}

#[tokio::test]
async fn only_the_newest_few_links_can_still_be_answered() {
    let scene = Scene::new().await;
    let first = scene.state(0);
    for _ in 0..8 {
        scene.state(0);
    }
    let query = format!("error=access_denied&state={first}");
    assert_eq!(scene.take(&query).await, Err(Unreadable::NotAsked));
}

/// A page that is served, and its address.
struct Served {
    scene: Scene,
    port: u16,
    path: String,
    ticket: String,
    ended: JoinHandle<Ended>,
}

impl Served {
    async fn new(wait: Duration) -> Self {
        let scene = Scene::new().await;
        let page = Page::open().await.unwrap();
        let address = Url::parse(&page.address()).unwrap();
        let ticket = Url::parse(&page.ticket()).unwrap().path().to_owned();
        let look = Look {
            draw: Box::new(|screen| match screen {
                Screen::List { rows, .. } => format!("list of {}", rows.len()),
                Screen::Taken(taken) => format!("taken {taken:?}"),
                Screen::NotTaken(why) => format!("not taken {why:?}"),
                Screen::NotAsked(_) => "not asked".to_owned(),
                Screen::Nothing => "nothing".to_owned(),
            }),
            headers: &[("cache-control", "no-store")],
        };
        let desk = scene.desk.clone();
        let ended = tokio::spawn(async move { page.run(desk, look, wait, &Stop::never()).await });
        let (port, path) = (address.port().unwrap(), address.path().to_owned());
        Self { scene, port, path, ticket, ended }
    }

    /// Sends a request as it is written, `Host` apart; gives back the whole answer.
    async fn send(&self, line: &str, headers: &str, body: &str) -> String {
        self.send_as(&format!("localhost:{}", self.port), line, headers, body).await
    }

    async fn send_as(&self, host: &str, line: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let length = body.len();
        let text = format!(
            "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn token(&self) -> &str {
        self.path.trim_matches('/')
    }

    fn ours(&self) -> String {
        format!(
            "origin: http://localhost:{}\r\nsec-fetch-site: same-origin\r\n\
             content-type: application/x-www-form-urlencoded\r\n",
            self.port
        )
    }

    async fn start(&self, number: usize) -> String {
        let form = format!("token={}", self.token());
        let line = format!("POST {}start/{number}", self.path);
        self.send(&line, &self.ours(), &form).await
    }
}

#[track_caller]
fn status(answer: &str, wanted: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {wanted} ")), "wanted {wanted}: {answer}");
}

fn location(answer: &str) -> String {
    let line = answer.lines().find_map(|line| line.strip_prefix("location: "));
    line.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn the_page_is_for_its_own_address_and_its_own_forms_alone() {
    let page = Served::new(Duration::from_secs(60)).await;
    let list = format!("GET {}", page.path);
    let answer = page.send(&list, "", "").await;
    status(&answer, 200);
    assert!(answer.contains("list of 2") && answer.contains("cache-control: no-store"));
    assert!(answer.contains("x-frame-options: DENY"), "{answer}");
    assert!(!answer.to_lowercase().contains("access-control"), "{answer}");

    // Another name for this machine, as DNS rebinding would have it.
    for host in ["evil.example", &format!("127.0.0.1:{}", page.port), "localhost"] {
        let answer = page.send_as(host, &list, "", "").await;
        status(&answer, 403);
        assert!(!answer.contains("list of"), "{host}: {answer}");
    }
    // A guessed address.
    for path in ["/", "/x/", "/x/state", "/open/x", &page.path[..20]] {
        status(&page.send(&format!("GET {path}"), "", "").await, 404);
    }
    // Other sites' forms, and forms without the token; none begins anything.
    let (good, form) = (page.ours(), format!("token={}", page.token()));
    let start = format!("POST {}start/0", page.path);
    let foreign = good.replace("localhost", "evil.localhost");
    let other = good.replace("same-origin", "cross-site");
    for (headers, body) in [
        ("", form.as_str()),
        (&foreign, &form),
        (&other, &form),
        ("origin: null\r\n", &form),
        (&good, ""),
        (&good, "token=x"),
        (&good, &format!("{form}&{form}")),
    ] {
        status(&page.send(&start, headers, body).await, 403);
    }
    let large = format!("{form}&x={}", "x".repeat(4096));
    status(&page.send(&start, &good, &large).await, 400);
    status(&page.send(&format!("GET {}start/0", page.path), "", "").await, 405);
    status(&page.send(&format!("DELETE {}", page.path), "", "").await, 405);
    status(&page.send(&format!("POST {}start/9", page.path), &good, &form).await, 409);
    assert!(page.scene.desk.view().iter().all(|row| row.state == RowState::Open));

    let answer = page.start(0).await;
    status(&answer, 303);
    let link = location(&answer);
    assert!(
        link.starts_with(&format!("https://login.microsoftonline.com/{DIRECTORY}/adminconsent?"))
    );
    let back = format!("redirect_uri=http%3A%2F%2Flocalhost%3A{}%2Ftenantry", page.port);
    assert!(link.contains(&back), "{link}");
    assert_eq!(page.scene.desk.view()[0].state, RowState::Started);
}

#[tokio::test]
async fn a_browser_is_started_with_an_address_that_leads_in_once() {
    let page = Served::new(Duration::from_secs(60)).await;
    assert!(!page.ticket.contains(page.token()));
    let line = format!("GET {}", page.ticket);
    let answer = page.send(&line, "", "").await;
    status(&answer, 303);
    assert_eq!(location(&answer), page.path);
    status(&page.send(&line, "", "").await, 404);
}

#[tokio::test]
async fn answers_move_the_page_and_the_last_one_ends_it() {
    let page = Served::new(Duration::from_secs(60)).await;
    let asks = format!("GET {}state", page.path);
    let before = page.send(&asks, "", "").await;
    let mut states = Vec::new();
    for number in [0, 1] {
        states.push(state_of(&location(&page.start(number).await)));
    }
    assert_ne!(before, page.send(&asks, "", "").await);
    let hostile = "%3Cscript%3E%0D%0Aset-cookie%3A+x%3D1";
    let query = |state: &str| {
        format!("GET /tenantry?error=access_denied&error_description={hostile}&state={state}")
    };
    // A stranger's answer changes nothing and is told nothing.
    let answer = page.send(&query("x"), "", "").await;
    status(&answer, 400);
    assert!(!answer.contains("script") && !answer.contains(page.token()), "{answer}");
    // A browser comes from Microsoft's page: another site, and no fetch of ours.
    let answer = page.send(&query(&states[0]), "sec-fetch-site: cross-site\r\n", "").await;
    status(&answer, 303);
    assert!(!answer.contains("set-cookie"), "{answer}");
    assert_eq!(location(&answer), format!("{}done/0", page.path));
    status(&page.send(&query(&states[0]), "", "").await, 400);
    let answer = page.send(&format!("GET {}done/0", page.path), "", "").await;
    status(&answer, 200);
    assert!(answer.contains("taken Refused"), "{answer}");
    assert!(!page.ended.is_finished());
    status(&page.send(&query(&states[1]), "", "").await, 303);
    status(&page.send(&format!("GET {}", page.path), "", "").await, 200);
    let Served { scene, port, ended, .. } = page;
    assert_eq!(ended.await.unwrap(), Ended::Answered);
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "nobody listens any more");
    assert!(scene.desk.is_done());
}

#[tokio::test]
async fn waiting_ends_with_its_time_and_an_answer_that_is_out_stays_out() {
    let page = Served::new(Duration::from_millis(50)).await;
    page.start(0).await;
    assert_eq!(page.ended.await.unwrap(), Ended::TimeOver);
    assert_eq!(page.scene.desk.view()[0].state, RowState::Started);
}

#[tokio::test]
async fn an_address_that_is_too_long_is_refused() {
    let page = Served::new(Duration::from_secs(60)).await;
    let line = format!("GET /tenantry?state={}", "a".repeat(3 * LONGEST));
    let answer = page.send(&line, "", "").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    status(&page.send(&format!("GET {}", page.path), "", "").await, 200);
}
