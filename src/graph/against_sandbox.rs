//! Reader, Writer, tokens and probes against the sandbox, which is stricter than Microsoft.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::{
    cloud::Cloud,
    connector::{GRAPH, known_permission},
    entra::{Api, AppToken, ClientProof, Operator, SecretAge, app_token, discover},
    failure::{Cause, Failure},
    http::{Network, NetworkOptions, Trust},
    ids::{AppKey, CredentialName, FleetName, Nonce, TenantId, UniqueName, VaultId},
    inventory::{FoundApp, Sight},
    plan::Permit,
    registration::{Audience, Links, Permission, PermissionKind, RedirectUri, Registration},
    sandbox::{Options, Sandbox},
    secret::Secret,
};

struct Scene {
    sandbox: Sandbox,
    network: Network,
    cloud: Cloud,
    operator: Operator,
    home: TenantId,
}

impl Scene {
    async fn set(options: Options) -> Self {
        Self::limited(options, Duration::from_secs(30)).await
    }

    async fn limited(options: Options, call_limit: Duration) -> Self {
        crate::http::install_tls();
        let sandbox = Sandbox::start(options).await.unwrap();
        let network = Network::new(NetworkOptions {
            trust: Trust::Sandbox { ca_pem: sandbox.ca_pem().to_owned() },
            call_limit,
            ..NetworkOptions::default()
        })
        .unwrap();
        let cloud = Cloud::from_file_text(&sandbox.cloud_yaml()).unwrap();
        let crate::sandbox::Operator { tenant_id, client_id, client_secret } = sandbox.operator();
        let secret = Secret::new(client_secret);
        let operator = Operator::sandbox(&network, &cloud, client_id.parse().unwrap(), secret);
        Self { home: tenant_id.parse().unwrap(), sandbox, network, cloud, operator }
    }

    fn reader(&self) -> Reader {
        Reader::new(&self.network, &self.cloud, self.home, &self.operator).unwrap()
    }

    fn writer(&self) -> Writer {
        let permit = Permit::for_tests();
        Writer::new(&self.network, &self.cloud, self.home, &self.operator, permit).unwrap()
    }

    async fn create(&self, key: &str) -> FoundApp {
        match self.writer().upsert(&name(key), &wanted(key)).await.unwrap() {
            Upserted::Created(app) => *app,
            other => panic!("{other:?}"),
        }
    }

    async fn token(&self, app: &FoundApp, secret: &Secret<String>) -> Result<AppToken, Failure> {
        let scope = self.cloud.graph_scope();
        let api = Api { id: crate::connector::GRAPH, scope: &scope };
        let (net, cloud, client) = (&self.network, &self.cloud, app.client_id);
        let proof = ClientProof::Secret(secret.clone());
        app_token(net, cloud, self.home, client, &proof, api, SecretAge::Fresh).await
    }
}

fn fleet() -> FleetName {
    "test-fleet".parse().unwrap()
}

fn name(key: &str) -> UniqueName {
    UniqueName::of(&fleet(), &key.parse().unwrap())
}

fn wanted(key: &str) -> Registration {
    let id = known_permission(GRAPH, PermissionKind::Application, "SecurityIncident.Read.All");
    Registration {
        display_name: format!("{key} SIEM MSSP Connector"),
        audience: Some(Audience::MultipleOrgs),
        redirect_uris: [RedirectUri::new("https://contoso.example/SiemMsspConnector")].into(),
        permissions: [Permission {
            resource: GRAPH,
            kind: PermissionKind::Application,
            id: id.unwrap(),
        }]
        .into(),
        links: Links { support: Some("https://acme.example/help".to_owned()), ..Links::default() },
        tags: ["tenantry:fleet=test-fleet".to_owned(), format!("tenantry:app={key}")].into(),
    }
}

fn credential() -> CredentialName {
    CredentialName { vault: VaultId::from_uuid(uuid::Uuid::new_v4()), nonce: Nonce::fresh() }
}

fn in_a_year(writer: &Writer) -> Timestamp {
    writer.server_time().unwrap() + jiff::SignedDuration::from_hours(24 * 365)
}

#[tokio::test]
async fn an_app_and_its_secret_come_into_being_with_two_requests_and_are_found_again() {
    let scene = Scene::set(Options::default()).await;
    let writer = scene.writer();
    let Upserted::Created(app) = writer.upsert(&name("a"), &wanted("a")).await.unwrap() else {
        panic!("not created")
    };
    assert_eq!(app.registration, wanted("a"));
    assert_eq!(app.unique_name, Some(name("a")));
    let (credential, end) = (credential(), in_a_year(&writer));
    let issued =
        writer.add_secret(app.object_id, &credential, end, ObjectAge::JustMade).await.unwrap();
    assert_eq!(issued.end.as_second(), end.as_second());
    assert_eq!(scene.network.counters().graph_writes, 2);
    assert_eq!(scene.network.counters().total(), 3);

    let page = scene.reader().fleet_apps(&fleet()).await.unwrap();
    assert_eq!(page.items.len(), 1);
    let found = &page.items[0];
    assert_eq!(found.registration, wanted("a"));
    assert_eq!((found.object_id, found.client_id), (app.object_id, app.client_id));
    assert_eq!(found.secrets.len(), 1);
    assert_eq!(found.secrets[0].key_id, issued.key_id);
    assert_eq!(found.secrets[0].display_name, Some(credential.to_string()));
    assert_eq!(writer.upsert(&name("a"), &wanted("a")).await, Ok(Upserted::Existed));

    // An app has no service principal at home: the secret is neither good nor bad yet.
    let refused = scene.token(&app, &issued.value).await.unwrap_err();
    assert_eq!(refused.code.as_deref(), Some("AADSTS7000229"));
    assert_eq!(refused.cause, Cause::Refused);

    let removed = writer.remove_secret(app.object_id, issued.key_id).await;
    assert_eq!(removed, Ok(Removed::Now));
    let found = scene.reader().app(app.object_id).await.unwrap().unwrap();
    assert!(found.secrets.is_empty());
}

#[tokio::test]
async fn every_property_can_be_changed_and_reads_back() {
    let scene = Scene::set(Options::default()).await;
    let app = scene.create("a").await;
    let patch = Patch {
        display_name: Some("New".to_owned()),
        audience: Some(Audience::MyOrg),
        redirect_uris: Some([RedirectUri::new("https://x.example/y")].into()),
        permissions: Some(BTreeSet::new()),
        links: Some(Links::default()),
        tags: Some(["other".to_owned()].into()),
        unique_name: None,
    };
    scene.writer().patch(app.object_id, &patch, ObjectAge::Settled).await.unwrap();
    let found = scene.reader().app_by_client_id(app.client_id).await.unwrap().unwrap();
    let Patch { display_name, audience, redirect_uris, permissions, links, tags, unique_name } =
        patch;
    assert_eq!(unique_name, None);
    let changed = Registration {
        display_name: display_name.unwrap(),
        audience,
        redirect_uris: redirect_uris.unwrap(),
        permissions: permissions.unwrap(),
        links: links.unwrap(),
        tags: tags.unwrap(),
    };
    assert_eq!(found.registration, changed);
    assert_eq!(scene.reader().app_by_unique_name(&name("a")).await.unwrap(), Some(found));
}

#[tokio::test]
async fn what_was_just_made_is_waited_for() {
    let lag = Duration::from_millis(1500);
    let scene = Scene::set(Options { lag, ..Options::default() }).await;
    let app = scene.create("a").await;
    let writer = scene.writer();
    // Its clock is known from the first answer only.
    let end = Timestamp::now() + jiff::SignedDuration::from_hours(24 * 30);
    let (id, credential) = (app.object_id, credential());
    let impatient = writer.add_secret(id, &credential, end, ObjectAge::Settled).await.unwrap_err();
    assert_eq!(impatient.cause, Cause::NotFound);
    let issued = writer.add_secret(id, &credential, end, ObjectAge::JustMade).await.unwrap();
    assert_eq!(writer.remove_secret(id, issued.key_id).await, Ok(Removed::Now));

    // Tagged, listed late; the vault's knowledge of it bridges the gap.
    let second = scene.create("b").await;
    let known = [Known { client_id: second.client_id, object_id: Some(second.object_id) }];
    let expected: BTreeSet<AppKey> = ["b".parse().unwrap()].into();
    let read = async || {
        read_directory(
            &scene.reader(),
            &Ask {
                fleet: &fleet(),
                expected: &expected,
                known: &known,
                breadth: Breadth::AsNeeded,
                policies: Want::No,
                catalogues: (&BTreeSet::new(), Want::No),
            },
        )
        .await
        .unwrap()
    };
    assert!(read().await.apps.iter().all(|app| app.object_id != second.object_id));
    tokio::time::sleep(lag * 2).await;
    assert!(read().await.apps.iter().any(|app| app.object_id == second.object_id));
}

#[tokio::test]
async fn a_deleted_app_is_seen_in_the_bin_blocks_its_name_and_comes_back_whole() {
    let scene = Scene::set(Options::default()).await;
    let app = scene.create("a").await;
    // Nothing of ours deletes; the world is changed from outside.
    let mut world = scene.sandbox.world();
    let home = scene.home.to_string();
    let directory = world["directories"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|d| d["id"] == home.as_str())
        .unwrap();
    let apps = directory["applications"].as_array_mut().unwrap();
    let at = apps.iter().position(|a| a["id"] == app.object_id.to_string().as_str()).unwrap();
    let mut deleted = apps.remove(at);
    deleted["@odata.type"] = json!("#microsoft.graph.application");
    directory["deletedItems"].as_array_mut().unwrap().push(deleted);
    scene.sandbox.put_world(&world).unwrap();

    let blocked = scene.writer().upsert(&name("a"), &wanted("a")).await.unwrap_err();
    assert_eq!((blocked.cause, blocked.status), (Cause::Refused, Some(400)));
    assert!(blocked.hint.unwrap().contains("30 days"));
    let bin = scene.reader().bin().await.unwrap();
    let binned = bin.iter().find(|b| b.app.object_id == app.object_id).unwrap();
    assert_eq!(binned.app.registration, wanted("a"));
    assert!(binned.deleted.is_some());
    let back = scene.writer().restore(app.object_id).await.unwrap();
    assert_eq!((back.client_id, back.registration), (app.client_id, wanted("a")));
    assert_eq!(scene.reader().fleet_apps(&fleet()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn everything_that_can_be_read_is_read_by_least_privilege() {
    let scene = Scene::set(Options::default()).await;
    let reader = scene.reader();
    let before = reader.all_apps().await.unwrap().len();
    scene.create("a").await;
    assert_eq!(reader.all_apps().await.unwrap().len(), before + 1);
    let catalogue = reader.catalogue(GRAPH).await.unwrap();
    let incidents = (PermissionKind::Application, "SecurityIncident.Read.All".to_owned());
    assert_eq!(
        catalogue.get(&incidents).copied(),
        known_permission(GRAPH, PermissionKind::Application, &incidents.1)
    );
    let organization = reader.organization().await.unwrap();
    assert_eq!(organization.tenant, scene.home);
    let found = discover(&scene.network, &scene.cloud, &organization.domains[0]).await.unwrap();
    assert_eq!(found.tenant, scene.home);
    reader.policies().await.unwrap();
    let identity = scene.operator.identity(scene.home).await.unwrap();
    assert!(identity.roles.contains("Application.ReadWrite.OwnedBy"));
    assert!(identity.name.is_some() && identity.object_id.is_some());
    let unknown = discover(&scene.network, &scene.cloud, "nobody.example").await.unwrap_err();
    assert_eq!(unknown.cause, Cause::NotFound);
    assert_eq!(scene.network.counters().graph_writes, 1);
}

#[tokio::test]
async fn policies_are_read_and_a_refusal_by_one_keeps_its_code() {
    let scene = Scene::set(Options::default()).await;
    let mut world = scene.sandbox.world();
    let home = scene.home.to_string();
    for directory in world["directories"].as_array_mut().unwrap() {
        if directory["id"] == home.as_str() {
            directory["policies"] = json!({"custom": [], "default": {
                "id": "00000000-0000-0000-0000-000000000001",
                "displayName": "Short secrets", "description": null, "isEnabled": true,
                "applicationRestrictions": {"keyCredentials": [], "passwordCredentials": [{
                    "restrictionType": "passwordLifetime", "state": "enabled", "maxLifetime": "P30D",
                    "restrictForAppsCreatedAfterDateTime": "2019-10-19T10:37:00Z",
                }]},
                "servicePrincipalRestrictions": {"keyCredentials": [], "passwordCredentials": []},
            }});
        }
    }
    scene.sandbox.put_world(&world).unwrap();
    let policies = scene.reader().policies().await.unwrap();
    let restriction = &policies.default.unwrap().restrictions[0];
    assert_eq!(format!("{:?}", restriction.kind), "SecretLifetime(Lifetime(30 days))");

    let app = scene.create("a").await;
    let end = Timestamp::now() + jiff::SignedDuration::from_hours(24 * 365);
    let refused = scene
        .writer()
        .add_secret(app.object_id, &credential(), end, ObjectAge::JustMade)
        .await
        .unwrap_err();
    assert_eq!(refused.code.as_deref(), Some("CredentialInvalidLifetimeAsPerAppPolicy"));
    assert_eq!(refused.cause, Cause::Refused);
    assert!(refused.hint.is_some() && refused.request_id.is_some());
}

#[tokio::test]
async fn an_upsert_survives_a_cut_on_either_side_and_an_add_password_is_never_repeated() {
    let scene = Scene::set(Options::default()).await;
    let faults = |operation: &str, act: &str| json!([{"operation": operation, "do": act}]);
    scene.sandbox.add_faults(&faults("application.upsert", "cut-before")).unwrap();
    scene.create("a").await;
    scene.sandbox.add_faults(&faults("application.upsert", "cut-after")).unwrap();
    assert_eq!(
        scene.writer().upsert(&name("b"), &wanted("b")).await,
        Ok(Upserted::ExistedAfterRepeat)
    );
    let app = scene.reader().app_by_unique_name(&name("b")).await.unwrap().unwrap();
    assert_eq!(app.registration, wanted("b"));
    let end = Timestamp::now() + jiff::SignedDuration::from_hours(24 * 30);
    for (act, secrets) in [("cut-before", 0), ("cut-after", 1), ("garbage", 2)] {
        scene.sandbox.add_faults(&faults("application.addPassword", act)).unwrap();
        let id = app.object_id;
        let lost = scene
            .writer()
            .add_secret(id, &credential(), end, ObjectAge::JustMade)
            .await
            .unwrap_err();
        assert!(matches!(lost.cause, Cause::NoAnswer | Cause::Garbled), "{act}: {lost}");
        let found = scene.reader().app(id).await.unwrap().unwrap();
        assert_eq!(found.secrets.len(), secrets, "{act}");
    }
    assert!(scene.sandbox.unused_faults().is_empty());
}

#[tokio::test]
async fn reading_never_writes_whatever_it_meets() {
    let scene = Scene::limited(Options::default(), Duration::from_secs(2)).await;
    scene.create("a").await;
    scene.sandbox.clear_requests();
    scene
        .sandbox
        .add_faults(&json!([{"operation": "application.list", "do": {"status": 429, "headers": {"retry-after": "60"}}}]))
        .unwrap();
    let throttled = scene.reader().fleet_apps(&fleet()).await.unwrap_err();
    assert_eq!(throttled.cause, Cause::Throttled);
    // The directory stays shut: the next call is not even sent.
    let before = scene.sandbox.requests().len();
    assert_eq!(scene.reader().all_apps().await.unwrap_err().cause, Cause::Throttled);
    assert_eq!(scene.sandbox.requests().len(), before);
    for request in scene.sandbox.requests() {
        let graph = request["path"].as_str().is_some_and(|path| path.starts_with("/v1.0"));
        assert!(!graph || request["method"] == "GET", "{request}");
    }
}

#[tokio::test]
async fn a_thousand_apps_take_two_pages() {
    let scene = Scene::set(Options::default()).await;
    let mut world = scene.sandbox.world();
    let home = scene.home.to_string();
    let app = scene.create("a").await;
    let sample = {
        let now = scene.sandbox.world();
        let directory = now["directories"]
            .as_array()
            .unwrap()
            .iter()
            .find(|d| d["id"] == home.as_str())
            .unwrap()
            .clone();
        let apps = directory["applications"].as_array().unwrap().clone();
        apps.into_iter().find(|a| a["id"] == app.object_id.to_string().as_str()).unwrap()
    };
    for directory in world["directories"].as_array_mut().unwrap() {
        if directory["id"] == home.as_str() {
            let apps = directory["applications"].as_array_mut().unwrap();
            for n in 0..1000 {
                let mut app = sample.clone();
                app["id"] = json!(uuid::Uuid::from_u128(0x1000 + n).to_string());
                app["appId"] = json!(uuid::Uuid::from_u128(0x2000 + n).to_string());
                app["uniqueName"] = json!(format!("tenantry-test-fleet--a{n}"));
                apps.push(app);
            }
        }
    }
    scene.sandbox.put_world(&world).unwrap();
    let reader = scene.reader();
    let found = reader.fleet_apps(&fleet()).await.unwrap();
    assert_eq!((found.items.len(), reader.requests()), (1000, 2));
    assert!(found.server_time.is_some());
}

#[tokio::test]
async fn who_may_not_see_the_bin_sees_it_hidden() {
    let scene = Scene::set(Options::default()).await;
    let denied = json!([{"operation": "deletedItem.list", "do": {"status": 403, "body":
        {"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges to complete the operation."}}}}]);
    scene.sandbox.add_faults(&denied).unwrap();
    let read = read_directory(
        &scene.reader(),
        &Ask {
            fleet: &fleet(),
            expected: &["a".parse().unwrap()].into(),
            known: &[],
            breadth: Breadth::AsNeeded,
            policies: Want::Yes,
            catalogues: (&[GRAPH].into(), Want::Yes),
        },
    )
    .await
    .unwrap();
    assert!(matches!(&read.bin, Sight::Hidden(why) if why.cause == Cause::Privilege));
    assert!(read.others.seen().is_some() && read.policies.seen().is_some());
    assert!(read.catalogues[&GRAPH].seen().is_some());
    // The listing, everything, the bin, two for policies, one catalogue.
    assert_eq!(read.requests, 6);
}
