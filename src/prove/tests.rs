//! Proofs against a server that says what it is told, with a vault of its own.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    connector::{Connector, DEFENDER_ENDPOINT, GRAPH, THREAT_PROTECTION},
    entra::{Issuers, SecretAge},
    http::testing::{Heard, Reply, Server},
    ids::{ClientId, TenantId},
    secret::Secret,
    status::Rotation,
    vault::{
        CredentialState, Keeping, KeySource, NewRefreshToken, NewVault,
        testing::{created, credential, fleet, seconds},
    },
};

const OLD: &str = "canary-refresh-old";
const NEW: &str = "canary-refresh-new";
const ANALYST: &str = "soc-reader@acme-soc.example";

/// A vault with one shared app, and its secret.
struct Place {
    _root: tempfile::TempDir,
    vault: Vault,
    who: Held,
}

async fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let location =
        Keeping::folder(root.path().join("vault"), KeySource::folder(root.path().join("keys")));
    let (vault, _) = Vault::init(&location, &fleet(), NewVault::default()).await.unwrap();
    let mut record = created("shared");
    record.credentials = vec![credential(CredentialState::Stored)];
    let nonce = record.credentials[0].nonce.clone();
    let hand = vault.try_lock("test").await.unwrap().unwrap();
    hand.store_value(&record, &nonce, &Secret::new("canary-secret".into())).await.unwrap();
    let who = Held {
        tenant: "contoso".parse().unwrap(),
        directory: TenantId::from_uuid(Uuid::from_u128(1)),
        app: record.app.clone(),
        client: record.client_id.unwrap(),
        shows: Shows::Kept {
            kind: crate::vault::CredentialKind::Secret,
            nonce,
            age: SecretAge::Settled,
        },
        sign_in_as: Some(ANALYST.to_owned()),
        scopes: ["SecurityIncident.Read.All".to_owned(), "offline_access".to_owned()].into(),
    };
    Place { _root: root, vault, who }
}

impl Place {
    async fn signed_in(self) -> Self {
        let new = NewRefreshToken {
            tenant: self.who.tenant.clone(),
            directory: self.who.directory,
            user: ANALYST.to_owned(),
            object: None,
            allowed_roles: BTreeSet::new(),
            value: Secret::new(OLD.into()),
            at: seconds(0),
        };
        let hand = self.vault.try_lock("test").await.unwrap().unwrap();
        hand.keep_refresh_token(&self.who.app, new).await.unwrap();
        self
    }

    async fn held(&self) -> Option<String> {
        let record = self.vault.record(&self.who.app).await.unwrap().unwrap();
        let nonce = record.refresh_token(&self.who.tenant)?.nonce.clone();
        Some(self.vault.value(&self.who.app, &nonce).await.unwrap().expose().clone())
    }

    fn question(&self, connector: Connector, apis: &[(ResourceId, &[&str])]) -> Question {
        let apis = apis
            .iter()
            .map(|(api, roles)| (*api, roles.iter().map(|role| (*role).to_owned()).collect()))
            .collect();
        Question { who: self.who.clone(), needs: connector.needs(), apis }
    }
}

#[derive(Clone, Copy)]
enum Hand {
    Free,
    Busy,
}

async fn run(
    place: &Place,
    server: &Server,
    hand: Hand,
    fresh: &BTreeMap<TenantKey, UserToken>,
    questions: Vec<Question>,
) -> Proofs {
    let (network, _) = server.network(std::time::Duration::from_secs(5));
    let cloud = server.cloud();
    let writer = place.vault.try_lock("test").await.unwrap().unwrap();
    let keeper = match hand {
        Hand::Free => Keeper::Writer(&writer),
        Hand::Busy => Keeper::Nobody("another run writes".to_owned()),
    };
    let issuers = Issuers::of_this_process(&network);
    let asking = Asking {
        network: &network,
        cloud: &cloud,
        wallet: Wallet { vault: &place.vault, issuers: &issuers },
        keeper,
        fresh,
        parallelism: 4,
        stop: &Stop::never(),
        on_tenant: &|_| {},
    };
    prove(&asking, questions).await
}

fn token(client: ClientId, more: &Value) -> Reply {
    let mut claims = json!({ "tid": Uuid::from_u128(1), "appid": client, "oid": Uuid::nil() });
    let all = claims.as_object_mut().unwrap();
    all.extend(more["claims"].as_object().unwrap().clone());
    let jwt = format!("e30.{}.canary", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut body = json!({ "access_token": jwt, "expires_in": 3600, "token_type": "Bearer" });
    if let Some(refresh) = more.get("refresh") {
        body["refresh_token"] = refresh.clone();
    }
    Reply::json(200, body)
}

fn refused(code: u32) -> Reply {
    let words = format!("AADSTS{code}: No. Trace ID: t");
    Reply::json(401, json!({"error": "x", "error_description": words, "error_codes": [code]}))
}

fn incidents() -> Reply {
    Reply::json(200, json!({"value": [{"id": "1", "createdDateTime": "2026-11-01T10:00:00Z"}]}))
}

/// A directory in which the app is known and the analyst signed in as `user`.
async fn analysts(client: ClientId, user: &'static str, rotated: bool) -> Server {
    Server::start(move |heard: &Heard, _| {
        if heard.method == "GET" {
            return incidents();
        }
        if heard.body.contains("grant_type=client_credentials") {
            return token(client, &json!({"claims": {}}));
        }
        let mut more = json!({"claims": {"upn": user, "scp": "SecurityIncident.Read.All profile"}});
        if rotated {
            more["refresh"] = NEW.into();
        }
        token(client, &more)
    })
    .await
}

#[tokio::test]
async fn each_api_is_asked_once_for_all_who_share_the_app_and_judged_for_itself() {
    let place = place().await;
    let client = place.who.client;
    let server = Server::start(move |heard, _| {
        if heard.method == "GET" {
            incidents()
        } else if heard.body.contains("graph.microsoft.com") {
            token(client, &json!({"claims": {"roles": ["SecurityIncident.Read.All"]}}))
        } else if heard.body.contains("api.security.microsoft.com") {
            token(client, &json!({"claims": {"roles": ["Incident.Read.All"]}}))
        } else {
            refused(500_011)
        }
    })
    .await;
    let apis: &[(ResourceId, &[&str])] = &[
        (GRAPH, &["SecurityIncident.Read.All", "SecurityAlert.Read.All"]),
        (THREAT_PROTECTION, &["Incident.Read.All"]),
        (DEFENDER_ENDPOINT, &["Alert.Read.All"]),
    ];
    let first = place.question(Connector::GraphSecurity, apis);
    let mut twin = first.clone();
    twin.who.tenant = "contoso-xdr".parse().unwrap();
    twin.needs = Connector::DefenderXdr.needs();
    let proofs = run(&place, &server, Hand::Free, &BTreeMap::new(), vec![first, twin]).await;
    for proof in proofs.tokens.values() {
        let TokenProof::Granted { roles, refused } = proof else { panic!("{proof:?}") };
        assert!(roles[&GRAPH].contains("SecurityIncident.Read.All"));
        assert!(roles[&THREAT_PROTECTION].contains("Incident.Read.All"));
        assert_eq!(refused[&DEFENDER_ENDPOINT].code.as_deref(), Some("AADSTS500011"));
    }
    // One that lacks a permission may read all the same: the call tells.
    assert_eq!(proofs.access.len(), 2);
    let heard = server.heard();
    assert_eq!(heard.iter().filter(|heard| heard.method == "POST").count(), 3);
    let calls: BTreeSet<_> =
        heard.iter().filter(|h| h.method == "GET").map(|h| &h.target).collect();
    assert_eq!(calls.len(), 2);
    assert!(proofs.refreshes.is_empty());
}

#[tokio::test]
async fn a_token_without_the_permission_reads_nothing_and_a_refusal_is_told_in_the_own_apis_words()
{
    let place = place().await;
    let client = place.who.client;
    let apis: &[(ResourceId, &[&str])] =
        &[(GRAPH, &["SecurityIncident.Read.All"]), (THREAT_PROTECTION, &["Incident.Read.All"])];
    let server = Server::start(move |_, _| token(client, &json!({"claims": {}}))).await;
    let asked = || vec![place.question(Connector::DefenderXdr, apis)];
    let proofs = run(&place, &server, Hand::Free, &BTreeMap::new(), asked()).await;
    assert!(proofs.access.is_empty());
    assert!(server.heard().iter().all(|heard| heard.method == "POST"));

    let server = Server::start(move |heard, _| {
        refused(if heard.body.contains("graph.microsoft") { 7_000_229 } else { 500_011 })
    })
    .await;
    let proofs = run(&place, &server, Hand::Free, &BTreeMap::new(), asked()).await;
    let TokenProof::Refused(failure) = &proofs.tokens[&place.who.tenant] else { panic!() };
    assert_eq!(failure.code.as_deref(), Some("AADSTS500011"));
}

#[tokio::test]
async fn a_refresh_reads_as_the_analyst_and_its_new_token_is_kept_at_once() {
    let graph: &[(ResourceId, &[&str])] = &[(GRAPH, &[])];
    for (hand, rotated, rotation, left) in [
        (Hand::Free, true, Rotation::Kept, NEW),
        (Hand::Busy, true, Rotation::NotKept("another run writes".to_owned()), OLD),
        (Hand::Free, false, Rotation::None, OLD),
    ] {
        let place = place().await.signed_in().await;
        let server = analysts(place.who.client, "SOC-Reader@acme-soc.example", rotated).await;
        let asked = vec![place.question(Connector::MsspSiem, graph)];
        let proofs = run(&place, &server, hand, &BTreeMap::new(), asked).await;
        let RefreshProof::Refreshed { user, scopes, rotation: found } =
            &proofs.refreshes[&place.who.tenant]
        else {
            panic!("{proofs:?}")
        };
        assert_eq!(user.as_deref(), Some("SOC-Reader@acme-soc.example"));
        assert!(scopes.contains("SecurityIncident.Read.All"));
        assert_eq!(*found, rotation);
        assert_eq!(place.held().await.as_deref(), Some(left));
        assert!(matches!(proofs.access[&place.who.tenant], AccessProof::Read { any: true, .. }));
        assert!(matches!(proofs.tokens[&place.who.tenant], TokenProof::Granted { .. }));
        assert!(!format!("{proofs:?}").contains("canary"));
    }
}

#[tokio::test]
async fn a_token_of_another_user_is_neither_used_nor_kept() {
    let place = place().await.signed_in().await;
    let server = analysts(place.who.client, "admin@contoso.example", true).await;
    let asked = vec![place.question(Connector::MsspSiem, &[(GRAPH, &[])])];
    let proofs = run(&place, &server, Hand::Free, &BTreeMap::new(), asked).await;
    let wanted = RefreshProof::WrongUser { found: "admin@contoso.example".to_owned() };
    assert_eq!(proofs.refreshes[&place.who.tenant], wanted);
    assert!(proofs.access.is_empty() && server.heard().iter().all(|heard| heard.method == "POST"));
    assert_eq!(place.held().await.as_deref(), Some(OLD));
}

#[tokio::test]
async fn nothing_held_is_no_refresh_and_a_dead_one_stays_until_someone_signs_in() {
    let nobody = place().await;
    let server = analysts(nobody.who.client, ANALYST, true).await;
    let asked = vec![nobody.question(Connector::MsspSiem, &[(GRAPH, &[])])];
    let proofs = run(&nobody, &server, Hand::Free, &BTreeMap::new(), asked).await;
    assert!(proofs.refreshes.is_empty() && proofs.access.is_empty());
    assert_eq!(server.heard().len(), 1, "the app's own token alone");

    let place = place().await.signed_in().await;
    let client = place.who.client;
    let server = Server::start(move |heard, _| {
        if heard.body.contains("client_credentials") {
            token(client, &json!({"claims": {}}))
        } else {
            refused(700_082)
        }
    })
    .await;
    let asked = vec![place.question(Connector::MsspSiem, &[(GRAPH, &[])])];
    let proofs = run(&place, &server, Hand::Free, &BTreeMap::new(), asked).await;
    let RefreshProof::Refused(failure) = &proofs.refreshes[&place.who.tenant] else { panic!() };
    assert_eq!(failure.code.as_deref(), Some("AADSTS700082"));
    assert_eq!(place.held().await.as_deref(), Some(OLD));
}

#[tokio::test]
async fn every_held_token_is_kept_alive_without_a_call_for_incidents() {
    let place = place().await.signed_in().await;
    let server = analysts(place.who.client, ANALYST, true).await;
    let (network, _) = server.network(std::time::Duration::from_secs(5));
    let cloud = server.cloud();
    let writer = place.vault.try_lock("test").await.unwrap().unwrap();
    let issuers = Issuers::of_this_process(&network);
    let asking = Asking {
        network: &network,
        cloud: &cloud,
        wallet: Wallet { vault: &place.vault, issuers: &issuers },
        keeper: Keeper::Writer(&writer),
        fresh: &BTreeMap::new(),
        parallelism: 4,
        stop: &Stop::never(),
        on_tenant: &|_| {},
    };
    let proofs = refresh(&asking, std::slice::from_ref(&place.who)).await;
    assert!(matches!(
        proofs[&place.who.tenant],
        RefreshProof::Refreshed { rotation: Rotation::Kept, .. }
    ));
    assert_eq!(server.heard().len(), 1);
    assert!(server.heard()[0].body.contains(OLD));
    assert_eq!(place.held().await.as_deref(), Some(NEW));
}

#[tokio::test]
async fn a_token_that_cannot_be_read_or_is_anothers_proves_nothing_and_reads_nothing() {
    let place = place().await;
    let client = place.who.client;
    let apis: &[(ResourceId, &[&str])] = &[(GRAPH, &["SecurityIncident.Read.All"])];
    let role = json!(["SecurityIncident.Read.All"]);
    for claims in [
        json!({"roles": "SecurityIncident.Read.All"}),
        json!({"roles": role, "aud": "https://management.azure.com"}),
        json!({"roles": role, "tid": Uuid::from_u128(2)}),
        json!({"roles": role, "tid": null}),
        json!({"roles": role, "appid": Uuid::from_u128(3)}),
        json!({"roles": role, "idtyp": "user"}),
    ] {
        let more = json!({ "claims": claims });
        let server = Server::start(move |_, _| token(client, &more)).await;
        let asked = vec![place.question(Connector::GraphSecurity, apis)];
        let proofs = run(&place, &server, Hand::Free, &BTreeMap::new(), asked).await;
        let TokenProof::Refused(failure) = &proofs.tokens[&place.who.tenant] else {
            panic!("{claims}: {proofs:?}")
        };
        assert_eq!(failure.cause, Cause::Garbled, "{claims}");
        assert!(proofs.access.is_empty(), "{claims}");
        assert!(server.heard().iter().all(|heard| heard.method == "POST"), "{claims}");
    }
}

#[tokio::test]
async fn a_reader_who_became_powerful_is_not_read_as_unless_that_was_allowed() {
    const ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";
    let as_administrator = async |client| {
        Server::start(move |heard: &Heard, _| {
            if heard.method == "GET" {
                return incidents();
            }
            token(
                client,
                &json!({
                    "claims": {
                        "upn": ANALYST, "scp": "SecurityIncident.Read.All", "wids": [ADMINISTRATOR],
                    },
                    "refresh": NEW,
                }),
            )
        })
        .await
    };
    let place = place().await.signed_in().await;
    let server = as_administrator(place.who.client).await;
    let asked = || vec![place.question(Connector::MsspSiem, &[(GRAPH, &[])])];
    let proofs = run(&place, &server, Hand::Free, &BTreeMap::new(), asked()).await;
    let RefreshProof::TooPowerful { user, roles, .. } = &proofs.refreshes[&place.who.tenant] else {
        panic!("{proofs:?}")
    };
    assert_eq!(
        (user.as_deref(), roles.as_slice()),
        (Some(ANALYST), &["Global Administrator".to_owned()][..])
    );
    assert!(proofs.access.is_empty() && server.heard().iter().all(|heard| heard.method == "POST"));
    assert_eq!(place.held().await.as_deref(), Some(OLD));

    // Allowed once, it stays so over rotations; another role is another question.
    let mut allowed = NewRefreshToken {
        tenant: place.who.tenant.clone(),
        directory: place.who.directory,
        user: ANALYST.to_owned(),
        object: Some(Uuid::nil()),
        allowed_roles: [ADMINISTRATOR.parse().unwrap()].into(),
        value: Secret::new(OLD.into()),
        at: seconds(0),
    };
    let keep = async |new: &NewRefreshToken| {
        let hand = place.vault.try_lock("test").await.unwrap().unwrap();
        hand.keep_refresh_token(&place.who.app, new.clone()).await.unwrap();
    };
    keep(&allowed).await;
    for _ in 0..2 {
        let proofs = run(&place, &server, Hand::Free, &BTreeMap::new(), asked()).await;
        assert!(matches!(proofs.access[&place.who.tenant], AccessProof::Read { .. }), "{proofs:?}");
        assert_eq!(place.held().await.as_deref(), Some(NEW));
    }
    // The same name, and another account.
    allowed.object = Some(Uuid::from_u128(77));
    keep(&allowed).await;
    let proofs = run(&place, &server, Hand::Free, &BTreeMap::new(), asked()).await;
    assert!(
        matches!(&proofs.refreshes[&place.who.tenant], RefreshProof::WrongUser { found } if found.contains("object id")),
        "{proofs:?}"
    );
    assert!(proofs.access.is_empty());
}
