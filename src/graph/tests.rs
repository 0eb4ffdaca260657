//! Reader, Writer and the reading of a directory, against a server that says what it is told.

mod relationships;

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    connector::GRAPH,
    entra::Operator,
    failure::Cause,
    http::{
        Network,
        testing::{Heard, Reply, Server},
    },
    ids::{
        AppKey, ClientId, CredentialName, FleetName, KeyId, Nonce, ObjectId, TenantId, UniqueName,
        VaultId,
    },
    inventory::Sight,
    plan::Permit,
    registration::{Audience, Registration},
    secret::Secret,
};

const HOME: &str = "6f1c0f5e-0000-4000-8000-000000000001";
const APP: &str = "0b6d0000-0000-4000-8000-00000000000a";
const CLIENT: &str = "0b6d0000-0000-4000-8000-00000000000c";

/// A server that gives everyone a token and answers Graph's requests by `graph`, which gets the
/// request and how many of Graph's came before it.
async fn serve(graph: impl Fn(&Heard, usize) -> Reply + Send + Sync + 'static) -> Server {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Server::start(move |heard, _| {
        if heard.target.ends_with("/oauth2/v2.0/token") {
            Reply::json(
                200,
                json!({"access_token": "canary-token", "expires_in": 3599, "token_type": "Bearer"}),
            )
        } else {
            graph(heard, count.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
        }
    })
    .await
}

fn home() -> TenantId {
    HOME.parse().unwrap()
}

fn operator(network: &Network, server: &Server) -> Operator {
    let secret = Secret::new("canary-operator".to_owned());
    Operator::sandbox(network, &server.cloud(), CLIENT.parse().unwrap(), secret)
}

fn reader(server: &Server) -> Reader {
    let (network, _) = server.network(Duration::from_secs(5));
    Reader::new(&network, &server.cloud(), home(), &operator(&network, server)).unwrap()
}

fn writer(server: &Server) -> Writer {
    let (network, _) = server.network(Duration::from_secs(5));
    let operator = operator(&network, server);
    Writer::new(&network, &server.cloud(), home(), &operator, Permit::for_tests()).unwrap()
}

fn app(n: u32, key: Option<&str>) -> Value {
    json!({
        "id": format!("0b6d0000-0000-4000-8000-0000{n:08x}"),
        "appId": format!("0c6d0000-0000-4000-8000-0000{n:08x}"),
        "displayName": format!("App {n}"),
        "uniqueName": key.map(|key| format!("tenantry-fleet--{key}")),
        "tags": key.map(|key| json!(["tenantry:fleet=fleet", format!("tenantry:app={key}")])),
        "passwordCredentials": null,
    })
}

fn list(apps: &[Value]) -> Reply {
    Reply::json(200, json!({"value": apps})).with("date", "Mon, 23 Nov 2026 12:00:00 GMT")
}

/// The requests to Graph, as a person would write them.
fn asked(server: &Server) -> Vec<String> {
    let of_graph = |target: &str| ["/v1.0/", "/beta/"].iter().any(|v| target.starts_with(v));
    let graph = server.heard().into_iter().filter(|heard| of_graph(&heard.target));
    graph
        .map(|heard| {
            let url = server.base.join(&heard.target).unwrap();
            let query: Vec<_> = url
                .query_pairs()
                .filter(|(name, _)| name != "$select")
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let mark = if query.is_empty() { "" } else { "?" };
            format!("{} {}{mark}{}", heard.method, url.path(), query.join("&"))
        })
        .collect()
}

fn fleet() -> FleetName {
    "fleet".parse().unwrap()
}

fn keys(keys: &[&str]) -> BTreeSet<AppKey> {
    keys.iter().map(|key| key.parse().unwrap()).collect()
}

async fn look(
    server: &Server,
    expected: &BTreeSet<AppKey>,
    known: &[Known],
) -> Result<crate::inventory::Inventory, crate::failure::Failure> {
    let resources = [GRAPH].into();
    let missing = |_: &[_], _, missing| missing == Missing::Some;
    read_directory(
        &reader(server),
        &Ask {
            fleet: &fleet(),
            expected,
            known,
            breadth: Breadth::AsNeeded,
            policies: Want::If(&missing),
            catalogues: (&resources, Want::No),
        },
    )
    .await
}

/// Each listing and each reading of an app shows whom it trusts.
const LISTING: &str = "GET /v1.0/applications?$filter=tags/any(t:t eq 'tenantry:fleet=fleet')\
                       &$top=999&$expand=federatedIdentityCredentials";

#[tokio::test]
async fn where_nothing_is_missing_one_listing_is_all() {
    let server = serve(|_, _| list(&[app(1, Some("a")), app(2, Some("b"))])).await;
    let known = [Known {
        client_id: "0c6d0000-0000-4000-8000-000000000001".parse().unwrap(),
        object_id: None,
    }];
    let found = look(&server, &keys(&["a", "b"]), &known).await.unwrap();
    assert_eq!(asked(&server), [LISTING]);
    assert_eq!((found.apps.len(), found.requests), (2, 1));
    assert!(found.read_at.to_string().starts_with("2026-11-23T12:00:0"));
    assert_eq!((&found.others, &found.policies), (&Sight::NotLooked, &Sight::NotLooked));
    assert_eq!(found.catalogues[&GRAPH], Sight::NotLooked);
}

#[tokio::test]
async fn where_something_is_missing_everything_the_bin_and_policies_are_read_and_what_may_not_be_is_hidden()
 {
    let server = serve(|heard, _| {
        let path = heard.target.split('?').next().unwrap();
        let denied = json!({"error": {"code": "Authorization_RequestDenied", "message": "no"}});
        match path {
            "/v1.0/applications" if heard.target.contains("filter") => list(&[app(1, Some("a"))]),
            "/v1.0/applications" => list(&[app(1, Some("a")), app(9, None)]),
            _ if path.starts_with("/v1.0/applications/") => Reply::json(200, app(7, None)),
            _ => Reply::json(403, denied),
        }
    })
    .await;
    let known = [Known {
        client_id: "0c6d0000-0000-4000-8000-000000000007".parse().unwrap(),
        object_id: Some("0b6d0000-0000-4000-8000-000000000007".parse().unwrap()),
    }];
    let found = look(&server, &keys(&["a", "b"]), &known).await.unwrap();
    let mut asked = asked(&server);
    asked[1..4].sort();
    assert_eq!(
        asked,
        [
            LISTING,
            "GET /beta/policies/defaultAppManagementPolicy",
            "GET /v1.0/applications?$top=999",
            "GET /v1.0/directory/deletedItems/microsoft.graph.application?$top=999",
            "GET /v1.0/applications/0b6d0000-0000-4000-8000-000000000007\
             ?$expand=federatedIdentityCredentials",
        ]
    );
    assert_eq!((found.apps.len(), found.requests), (2, 5));
    assert_eq!(found.others.seen().unwrap().len(), 2);
    for hidden in
        [matches!(found.bin, Sight::Hidden(_)), matches!(found.policies, Sight::Hidden(_))]
    {
        assert!(hidden);
    }
}

#[tokio::test]
async fn what_the_vault_knows_and_the_bin_shows_is_not_asked_for_again() {
    let server = serve(|heard, _| match heard.target.contains("deletedItems") {
        true => list(&[app(7, Some("a"))]),
        false => list(&[]),
    })
    .await;
    let known = [Known {
        client_id: "0c6d0000-0000-4000-8000-000000000007".parse().unwrap(),
        object_id: None,
    }];
    let found = read_directory(
        &reader(&server),
        &Ask {
            fleet: &fleet(),
            expected: &keys(&["a"]),
            known: &known,
            breadth: Breadth::AsNeeded,
            policies: Want::No,
            catalogues: (&BTreeSet::new(), Want::Yes),
        },
    )
    .await
    .unwrap();
    assert_eq!(found.requests, 3);
    assert_eq!(found.bin.seen().unwrap().len(), 1);
    assert!(found.apps.is_empty());
}

#[tokio::test]
async fn a_listing_is_read_to_its_end_and_an_app_that_two_pages_show_counts_once() {
    let server = serve(|heard, before| {
        let next = format!(
            "https://{}/v1.0/applications?$skiptoken={before}",
            heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap()
        );
        match before {
            0 => Reply::json(200, json!({"value": [app(1, Some("a"))], "@odata.nextLink": next})),
            1 => Reply::json(200, json!({"value": null, "@odata.nextLink": next})),
            _ => list(&[app(1, Some("a")), app(2, Some("b"))]),
        }
    })
    .await;
    let found = look(&server, &keys(&["a", "b"]), &[]).await.unwrap();
    assert_eq!((found.apps.len(), found.requests), (2, 3));
    assert_eq!(asked(&server)[1], "GET /v1.0/applications?$skiptoken=0");
}

#[tokio::test]
async fn next_links_do_not_lead_away_or_in_circles() {
    let stranger = serve(|_, _| list(&[])).await;
    let foreign = stranger.base.join("/v1.0/applications?$skiptoken=1").unwrap().to_string();
    for link in [
        foreign.as_str(),
        "http://{host}/v1.0/applications?$skiptoken=1",
        "https://{host}/v1.0/servicePrincipals?$skiptoken=1",
        "https://{host}@evil.example/v1.0/applications",
        "/v1.0/applications?$skiptoken=1",
        "same",
    ] {
        let link = link.to_owned();
        let server = serve(move |heard, _| {
            let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            let link = match link.as_str() {
                "same" => format!("https://{host}{}", heard.target),
                link => link.replace("{host}", host),
            };
            Reply::json(200, json!({"value": [], "@odata.nextLink": link}))
        })
        .await;
        let failure = reader(&server).fleet_apps(&fleet()).await.unwrap_err();
        assert!(matches!(failure.cause, Cause::Guard | Cause::Garbled), "{failure}");
        assert_eq!(asked(&server).len(), 1);
    }
    assert!(stranger.heard().is_empty());

    let endless = serve(|heard, before| {
        let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let next = format!("https://{host}/v1.0/applications?$skiptoken={before}");
        Reply::json(200, json!({"value": [], "@odata.nextLink": next}))
    })
    .await;
    let failure = reader(&endless).fleet_apps(&fleet()).await.unwrap_err();
    assert_eq!((failure.cause, asked(&endless).len()), (Cause::Garbled, 400));
}

#[tokio::test]
async fn names_are_addressed_by_key_and_what_is_not_there_is_nothing() {
    let server = serve(|_, before| match before {
        0 => Reply::json(200, app(1, Some("a"))),
        _ => {
            Reply::json(404, json!({"error": {"code": "Request_ResourceNotFound", "message": "x"}}))
        }
    })
    .await;
    let reader = reader(&server);
    let name = UniqueName::of(&fleet(), &"a".parse().unwrap());
    assert!(reader.app_by_unique_name(&name).await.unwrap().is_some());
    let hostile = UniqueName::found("x')/../../evil?y#z");
    assert_eq!(reader.app_by_unique_name(&hostile).await, Ok(None));
    let client: ClientId = CLIENT.parse().unwrap();
    assert_eq!(reader.app_by_client_id(client).await, Ok(None));
    assert_eq!(
        asked(&server),
        [
            "(uniqueName='tenantry-fleet--a')".to_owned(),
            "(uniqueName='x%27%27%29%2F%2E%2E%2F%2E%2E%2Fevil%3Fy%23z')".replace("%2E", "."),
            format!("(appId='{CLIENT}')"),
        ]
        .map(|key| { format!("GET /v1.0/applications{key}?$expand=federatedIdentityCredentials") })
    );
}

#[tokio::test]
async fn a_catalogue_holds_what_an_app_can_be_granted() {
    let role = |value: &str, enabled: bool, types: &[&str]| json!({"id": APP, "value": value, "isEnabled": enabled, "allowedMemberTypes": types});
    let principal = json!({
        "appRoles": [
            role("Good", true, &["Application"]),
            role("Off", false, &["Application"]),
            role("People", true, &["User"]),
        ],
        "oauth2PermissionScopes": [{"id": APP, "value": "Scope", "isEnabled": true}, {"id": APP, "value": null}],
    });
    let server = serve(move |_, _| Reply::json(200, principal.clone())).await;
    let catalogue = reader(&server).catalogue(GRAPH).await.unwrap();
    let names: Vec<_> = catalogue.keys().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["Good", "Scope"]);
    assert_eq!(
        asked(&server),
        ["GET /v1.0/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')"]
    );
}

#[tokio::test]
async fn the_rest_of_a_policys_apps_is_fetched_and_only_from_there() {
    let server = serve(|heard, _| {
        let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let path = heard.target.split('?').next().unwrap();
        match path {
            "/beta/policies/defaultAppManagementPolicy" => {
                Reply::json(200, json!({"id": "0", "isEnabled": false}))
            }
            "/beta/policies/appManagementPolicies" => Reply::json(200, json!({"value": [{
                "id": "p", "isEnabled": true, "appliesTo": [{"id": APP}],
                "appliesTo@odata.nextLink": format!("https://{host}/beta/policies/appManagementPolicies/p/appliesTo?$skiptoken=1"),
            }]})),
            _ => Reply::json(200, json!({"value": [{"id": CLIENT}]})),
        }
    })
    .await;
    let policies = reader(&server).policies().await.unwrap();
    assert_eq!(policies.default, None);
    assert_eq!(policies.custom[0].1.len(), 2);
    assert_eq!(asked(&server)[1], "GET /beta/policies/appManagementPolicies?$expand=appliesTo");
}

fn wanted() -> Registration {
    Registration {
        display_name: "Contoso".to_owned(),
        audience: Some(Audience::MultipleOrgs),
        redirect_uris: BTreeSet::new(),
        permissions: BTreeSet::new(),
        links: Default::default(),
        tags: ["tenantry:fleet=fleet".to_owned()].into(),
    }
}

#[tokio::test]
async fn an_upsert_says_whether_it_created_and_whether_it_can_be_sure() {
    let name = UniqueName::of(&fleet(), &"a".parse().unwrap());
    let gone = || Reply::Answer(204, Vec::new(), String::new());
    let server = serve(move |_, before| match before {
        0 => Reply::json(201, app(1, Some("a"))),
        1 => gone(),
        2 => Reply::Cut,
        3 => gone(),
        _ => Reply::json(
            400,
            json!({"error": {"code": "Request_BadRequest", "message":
                "Another object with the same value for property uniqueName already exists."}}),
        ),
    })
    .await;
    let writer = writer(&server);
    assert!(matches!(writer.upsert(&name, &wanted()).await, Ok(Upserted::Created(_))));
    assert_eq!(writer.upsert(&name, &wanted()).await, Ok(Upserted::Existed));
    assert_eq!(writer.upsert(&name, &wanted()).await, Ok(Upserted::ExistedAfterRepeat));
    let failure = writer.upsert(&name, &wanted()).await.unwrap_err();
    assert!(failure.hint.unwrap().contains("deleted"));
    for heard in server.heard().iter().filter(|heard| heard.target.starts_with("/v1.0")) {
        assert_eq!(heard.method, "PATCH");
        assert_eq!(heard.target, "/v1.0/applications(uniqueName='tenantry-fleet--a')");
        assert!(heard.head.contains("prefer: create-if-missing"), "{}", heard.head);
        assert!(heard.head.contains("content-type: application/json"), "{}", heard.head);
        assert_eq!(heard.head.matches("authorization").count(), 1);
        let body: Value = serde_json::from_str(&heard.body).unwrap();
        assert_eq!(
            body,
            json!({"displayName": "Contoso", "signInAudience": "AzureADMultipleOrgs",
                "web": {"redirectUris": []}, "requiredResourceAccess": [], "tags": ["tenantry:fleet=fleet"]})
        );
    }
}

#[tokio::test]
async fn a_secret_is_asked_for_once_and_never_printed() {
    let name =
        CredentialName { vault: VaultId::from_uuid(uuid::Uuid::nil()), nonce: Nonce::fresh() };
    let id: ObjectId<_> = APP.parse().unwrap();
    let server = serve(|_, before| match before {
        0 => Reply::json(200, json!({"keyId": CLIENT, "secretText": "canary-secret", "displayName": "x",
            "startDateTime": "2026-11-23T12:00:00Z", "endDateTime": "2027-11-23T12:00:00Z", "hint": "can"})),
        // What garbles an answer must not end up in the words about it.
        1 => Reply::json(200, json!({"keyId": "canary-secret", "secretText": "canary-secret"})),
        2 => Reply::json(200, json!({"keyId": CLIENT, "secretText": ["canary-secret"]})),
        3 => Reply::json(200, json!({"keyId": CLIENT, "secretText": ""})),
        4 => Reply::Answer(200, Vec::new(), "canary-secret".to_owned()),
        _ => Reply::Cut,
    })
    .await;
    let writer = writer(&server);
    let end = "2027-11-23T12:00:00.987654321Z".parse().unwrap();
    let issued = writer.add_secret(id, &name, end, ObjectAge::Settled).await.unwrap();
    assert_eq!(issued.value.expose(), "canary-secret");
    assert!(!format!("{issued:?}").contains("canary"));
    for cause in [Cause::Garbled, Cause::Garbled, Cause::Garbled, Cause::Garbled, Cause::NoAnswer] {
        let failure = writer.add_secret(id, &name, end, ObjectAge::Settled).await.unwrap_err();
        assert_eq!(failure.cause, cause);
        assert!(!format!("{failure:?} {failure}").contains("canary"), "{failure:?}");
    }
    assert_eq!(asked(&server).len(), 6, "an addPassword was repeated");
    let first = server
        .heard()
        .into_iter()
        .find(|heard| heard.method == "POST" && heard.target.starts_with("/v1.0"))
        .unwrap();
    assert_eq!(first.target, format!("/v1.0/applications/{APP}/addPassword"));
    assert_eq!(
        serde_json::from_str::<Value>(&first.body).unwrap(),
        json!({"passwordCredential": {"displayName": name.to_string(), "endDateTime": "2027-11-23T12:00:00Z"}})
    );
}

#[tokio::test]
async fn a_secret_that_is_not_known_is_asked_for_again_and_then_taken_as_gone() {
    let (id, key): (ObjectId<_>, KeyId) = (APP.parse().unwrap(), CLIENT.parse().unwrap());
    let unknown = || {
        Reply::json(
            400,
            json!({"error": {"code": "Request_BadRequest", "message": "No password credential found with keyId."}}),
        )
    };
    let server = serve(move |_, before| match before {
        0..3 => unknown(),
        3 => Reply::Answer(204, Vec::new(), String::new()),
        _ => Reply::json(
            403,
            json!({"error": {"code": "Authorization_RequestDenied", "message": "no"}}),
        ),
    })
    .await;
    let writer = writer(&server);
    assert_eq!(writer.remove_secret(id, key).await, Ok(Removed::Now));
    assert_eq!(asked(&server).len(), 4);
    assert_eq!(writer.remove_secret(id, key).await.unwrap_err().cause, Cause::Privilege);

    let server = serve(move |_, _| unknown()).await;
    let (network, _) = server.network(Duration::from_secs(1));
    let operator = operator(&network, &server);
    let writer =
        Writer::new(&network, &server.cloud(), home(), &operator, Permit::for_tests()).unwrap();
    assert_eq!(writer.remove_secret(id, key).await, Ok(Removed::WasGone));
    assert!(asked(&server).len() > 3);
}

#[tokio::test]
async fn a_patch_sends_only_what_changes_and_a_restored_app_is_read() {
    let id: ObjectId<_> = APP.parse().unwrap();
    let server = serve(|heard, before| match (heard.method.as_str(), before) {
        ("PATCH", _) => Reply::Answer(204, Vec::new(), String::new()),
        ("POST", _) => Reply::json(200, json!({"id": APP})),
        // Just restored: not to be seen everywhere yet.
        (_, 2) => {
            Reply::json(404, json!({"error": {"code": "Request_ResourceNotFound", "message": "x"}}))
        }
        _ => Reply::json(200, app(1, Some("a"))),
    })
    .await;
    let writer = writer(&server);
    let patch = Patch {
        display_name: Some("New".to_owned()),
        links: Some(Default::default()),
        ..Patch::default()
    };
    writer.patch(id, &patch, ObjectAge::Settled).await.unwrap();
    assert_eq!(writer.restore(id).await.unwrap().registration.display_name, "App 1");
    let graph: Vec<_> =
        server.heard().into_iter().filter(|h| h.target.starts_with("/v1.0")).collect();
    assert_eq!(
        serde_json::from_str::<Value>(&graph[0].body).unwrap(),
        json!({"displayName": "New", "info": {"marketingUrl": null, "privacyStatementUrl": null, "supportUrl": null, "termsOfServiceUrl": null}})
    );
    assert_eq!(graph[1].body, "");
    assert_eq!(asked(&server)[1], format!("POST /v1.0/directory/deletedItems/{APP}/restore"));
    assert_eq!(asked(&server).len(), 4);
}
