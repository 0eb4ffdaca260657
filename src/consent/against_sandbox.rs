//! The desk against the sandbox's Entra ID and its people.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::{
    cloud::Cloud,
    connector::{GRAPH, known_permission},
    entra::{Issuers, Operator, SecretAge},
    event::Events,
    graph::{ObjectAge, Upserted, Writer},
    http::{Network, NetworkOptions, Trust},
    ids::{CredentialName, FleetName, Nonce, UniqueName},
    manifest::LOOPBACK_PAGE,
    plan::Permit,
    registration::{Audience, Links, Permission, PermissionKind, Registration},
    sandbox::{NewDirectory, Opened, Options, Sandbox},
    secret::Secret,
    vault::{
        CredentialKind, CredentialRecord, CredentialState, Keeping, KeySource, Record,
        TenantRecord, Vault, VaultWriter,
    },
};

const CONTOSO: &str = "6f1c0f5e-0000-4000-8000-000000000001";
const READER: &str = "soc-reader@acme-soc.example";

/// A registered app with its secret in a vault, and a desk that asks Contoso's people.
struct Scene {
    sandbox: Sandbox,
    desk: Desk,
    vault: Arc<VaultWriter>,
    page: Url,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// `people` is put over Contoso's people; `analyst` over the analyst's account there.
    async fn set(people: Value, analyst: Value, privileged: Privileged) -> Self {
        Self::showing(people, analyst, privileged, &[]).await
    }

    /// The same, where the app's own token must carry these roles.
    async fn showing(
        people: Value,
        analyst: Value,
        privileged: Privileged,
        roles: &[&str],
    ) -> Self {
        crate::http::install_tls();
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let users = vec![READER.to_owned()];
        sandbox
            .ensure_directories(&[NewDirectory {
                id: Some(CONTOSO.to_owned()),
                domain: None,
                name: "Contoso".to_owned(),
                home: false,
                users,
            }])
            .unwrap();
        let mut world = sandbox.world();
        for directory in world["directories"].as_array_mut().unwrap() {
            if directory["id"] != CONTOSO {
                continue;
            }
            merge(&mut directory["people"], &people);
            for user in directory["users"].as_array_mut().unwrap() {
                if user["mail"] == READER {
                    merge(user, &analyst);
                }
            }
        }
        sandbox.put_world(&world).unwrap();
        let network = Network::new(NetworkOptions {
            trust: Trust::Sandbox { ca_pem: sandbox.ca_pem().to_owned() },
            call_limit: Duration::from_secs(30),
            ..NetworkOptions::default()
        })
        .unwrap();
        let cloud = Cloud::from_file_text(&sandbox.cloud_yaml()).unwrap();
        let crate::sandbox::Operator { tenant_id, client_id, client_secret } = sandbox.operator();
        let home = tenant_id.parse().unwrap();
        let secret = Secret::new(client_secret);
        let operator = Operator::sandbox(&network, &cloud, client_id.parse().unwrap(), secret);
        let writer = Writer::new(&network, &cloud, home, &operator, Permit::for_tests()).unwrap();

        let fleet: FleetName = "acme-soc".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keys = KeySource::folder(folder.path().join("keys"));
        let location = Keeping::folder(folder.path().join("vault"), keys);
        let vault = Vault::open_or_init(&location, &fleet).await.unwrap();
        let vault = Arc::new(vault.lock("consent", |_| {}).await.unwrap());
        let key: AppKey = "contoso".parse().unwrap();
        let name = UniqueName::of(&fleet, &key);
        let delegated = |name| Permission {
            resource: GRAPH,
            kind: PermissionKind::Delegated,
            id: known_permission(GRAPH, PermissionKind::Delegated, name).unwrap(),
        };
        let wanted = Registration {
            display_name: "Contoso SIEM MSSP Connector".to_owned(),
            audience: Some(Audience::MultipleOrgs),
            redirect_uris: [RedirectUri::new(LOOPBACK_PAGE)].into(),
            permissions: ["SecurityIncident.Read.All", "offline_access"].map(delegated).into(),
            links: Links::default(),
            tags: ["tenantry:fleet=acme-soc".to_owned(), "tenantry:app=contoso".to_owned()].into(),
        };
        let Upserted::Created(app) = writer.upsert(&name, &wanted).await.unwrap() else { panic!() };
        let nonce = Nonce::fresh();
        let credential = CredentialName { vault: vault.id(), nonce: nonce.clone() };
        let end = writer.server_time().unwrap() + jiff::SignedDuration::from_hours(24 * 300);
        let issued =
            writer.add_secret(app.object_id, &credential, end, ObjectAge::JustMade).await.unwrap();
        let now = Timestamp::now();
        let mut record = Record::new(key.clone(), home, name);
        record.client_id = Some(app.client_id);
        record.object_id = Some(app.object_id);
        let tenant: TenantKey = "contoso".parse().unwrap();
        let directory: TenantId = CONTOSO.parse().unwrap();
        record.tenants.insert(tenant.clone(), TenantRecord::pinned(directory));
        record.credentials.push(CredentialRecord {
            state: CredentialState::Stored,
            end: Some(end),
            ..CredentialRecord::intended(nonce.clone(), CredentialKind::Secret, now)
        });
        vault.store_value(&record, &nonce, &issued.value).await.unwrap();

        let (events, _) = Events::channel();
        let reader = Reader {
            user: READER.to_owned(),
            scopes: ["SecurityIncident.Read.All".to_owned(), "offline_access".to_owned()].into(),
        };
        let shown_by = ShownBy {
            api: crate::connector::GRAPH,
            scope: cloud.graph_scope(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        let ask = Ask {
            tenant,
            name: "Contoso".to_owned(),
            who: "an administrator".to_owned(),
            app: key,
            app_name: wanted.display_name,
            directory,
            client: app.client_id,
            shows: Shows::Kept {
                kind: crate::vault::CredentialKind::Secret,
                nonce,
                age: SecretAge::Settled,
            },
            what: What::AdminConsent {
                landing: Some(RedirectUri::new(LOOPBACK_PAGE)),
                then: Some(reader),
                shown_by,
            },
        };
        let office = Office {
            issuers: Issuers::of_this_process(&network),
            network,
            cloud,
            vault: vault.clone(),
            who: "a test".to_owned(),
            events,
            privileged,
        };
        let desk = Desk::new(office, vec![ask]);
        // The port is not compared for localhost: people are sent back to another one.
        let page = Url::parse("http://localhost:4711/tenantry").unwrap();
        Self { sandbox, desk, vault, page, _folder: folder }
    }

    /// Hands the link of a question to whom it is for; the address they ended on.
    fn landed(&self, number: usize) -> String {
        let link = self.desk.link(number, Some(&self.page)).unwrap();
        match self.sandbox.open(link.as_str()) {
            Opened::Landed(address) => address,
            other => panic!("{other:?}"),
        }
    }

    async fn answer(&self, number: usize) -> Taken {
        self.desk.take(&self.landed(number)).await.unwrap().1
    }

    async fn record(&self) -> Record {
        self.vault.record(&"contoso".parse().unwrap()).await.unwrap().unwrap()
    }

    /// Nothing of a sign-in is in the vault.
    async fn holds_no_token(&self) {
        let tenant: TenantKey = "contoso".parse().unwrap();
        assert!(self.record().await.refresh_token(&tenant).is_none());
        assert!(self.desk.tokens().is_empty());
    }
}

fn merge(into: &mut Value, over: &Value) {
    for (name, value) in over.as_object().unwrap() {
        into[name] = value.clone();
    }
}

#[track_caller]
fn refused(taken: Taken) -> crate::failure::Failure {
    match taken {
        Taken::Refused { why, .. } => why,
        Taken::Granted { .. } => panic!("{taken:?}"),
    }
}

#[tokio::test]
async fn the_administrator_accepts_the_reader_signs_in_and_the_token_is_kept() {
    let scene = Scene::set(json!({}), json!({}), Privileged::Refused).await;
    assert!(matches!(scene.answer(0).await, Taken::Granted { .. }));
    assert_eq!(scene.desk.view().len(), 2, "now it is the analyst's turn");
    assert!(!scene.desk.is_done());
    let taken = scene.answer(1).await;
    assert!(matches!(taken, Taken::Granted { .. }), "{taken:?}");
    assert!(scene.desk.is_done());
    let tenant: TenantKey = "contoso".parse().unwrap();
    let record = scene.record().await;
    let held = record.refresh_token(&tenant).unwrap();
    let value = scene.vault.value(&record.app, &held.nonce).await.unwrap();
    let (_, fresh) = scene.desk.tokens().pop().unwrap();
    assert_eq!(value.expose(), fresh.refresh.unwrap().expose());
}

#[tokio::test]
async fn a_refusal_is_remembered_and_an_absent_administrator_is_waited_for() {
    let scene =
        Scene::set(json!({"administrator": "declines"}), json!({}), Privileged::Refused).await;
    refused(scene.answer(0).await);
    assert_eq!(scene.desk.view().len(), 1, "nobody signs in to what was declined");
    let tenant: TenantKey = "contoso".parse().unwrap();
    assert!(scene.record().await.tenants[&tenant].consent_denied.is_some());

    let scene =
        Scene::set(json!({"administrator": "absent"}), json!({}), Privileged::Refused).await;
    let link = scene.desk.link(0, Some(&scene.page)).unwrap();
    assert_eq!(scene.sandbox.open(link.as_str()), Opened::Nobody);
    assert!(!scene.desk.is_done());
}

#[tokio::test]
async fn a_consent_that_nobody_gave_is_not_believed() {
    let scene = Scene::set(json!({}), json!({}), Privileged::Refused).await;
    let link = scene.desk.link(0, Some(&scene.page)).unwrap();
    let (_, state) = link.query_pairs().find(|(name, _)| name == "state").unwrap();
    // The right state and the right tenant, and no administrator was asked.
    let made_up = format!("/tenantry?admin_consent=True&tenant={CONTOSO}&state={state}");
    let why = refused(scene.desk.take(&made_up).await.unwrap().1);
    assert!(why.message.contains("no token shows it"), "{why:?}");
    assert_eq!(scene.desk.view().len(), 1);
}

#[tokio::test]
async fn a_token_without_what_was_asked_for_shows_no_consent() {
    let none = || json!({});
    let roles = &["SecurityIncident.Read.All"];
    let scene = Scene::showing(none(), none(), Privileged::Refused, roles).await;
    // The app becomes known there, and is granted nothing to do by itself.
    let why = refused(scene.answer(0).await);
    assert!(
        why.message.contains("no token shows it") && why.message.contains("lacks SecurityIncident"),
        "{why:?}"
    );
    assert_eq!(scene.desk.view().len(), 1, "nobody is asked to sign in");
}

#[tokio::test]
async fn another_user_leaves_nothing() {
    let people = json!({"signsInAs": "admin@contoso.example"});
    let scene = Scene::set(people, json!({}), Privileged::Allowed).await;
    scene.answer(0).await;
    let why = refused(scene.answer(1).await);
    assert!(
        why.message.contains("admin@contoso.example") && why.message.contains(READER),
        "{why:?}"
    );
    scene.holds_no_token().await;
}

#[tokio::test]
async fn a_powerful_user_leaves_nothing_unless_that_is_allowed() {
    let power = json!({"roles": ["Security Administrator"]});
    let scene = Scene::set(json!({}), power.clone(), Privileged::Refused).await;
    scene.answer(0).await;
    let why = refused(scene.answer(1).await);
    assert!(why.message.contains("Security Administrator"), "{why:?}");
    scene.holds_no_token().await;
    let scene = Scene::set(json!({}), power, Privileged::Allowed).await;
    scene.answer(0).await;
    assert!(matches!(scene.answer(1).await, Taken::Granted { .. }));
}

#[tokio::test]
async fn a_late_answer_is_told_from_others_and_may_be_tried_again() {
    let scene = Scene::set(json!({}), json!({}), Privileged::Refused).await;
    scene.answer(0).await;
    let address = scene.landed(1);
    scene.sandbox.advance("PT15M").unwrap();
    let why = refused(scene.desk.take(&address).await.unwrap().1);
    assert_eq!(why.code.as_deref(), Some("AADSTS70008"), "{why:?}");
    assert!(why.hint.is_some());
    scene.holds_no_token().await;
    assert!(matches!(scene.answer(1).await, Taken::Granted { .. }));
}
