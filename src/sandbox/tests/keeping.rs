//! What a folder keeps, and the control of a world.

use std::fs;

use serde_json::{Value, json};

use super::support::{Fixture, Reply};
use crate::sandbox::{NewDirectory, Options, Recording, Sandbox, StartError, random};

fn options(dir: &tempfile::TempDir) -> Options {
    Options { dir: Some(dir.path().to_owned()), ..Options::default() }
}

#[tokio::test]
async fn a_killed_sandbox_loses_nothing_that_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut f = Fixture::with(options(&dir)).await;
    f.sandbox.advance("P2D").unwrap();
    f.sign_in().await;
    let one = f.upsert("one", &json!({"displayName": "One"})).await;
    let two = f.upsert("two", &json!({"displayName": "Two"})).await;
    let id = two.body["id"].as_str().unwrap();
    let secret = f.post(&format!("/applications/{id}/addPassword"), &json!({})).await;
    let gone = f.delete(&format!("/applications/{}", one.body["id"].as_str().unwrap())).await;
    assert_eq!((secret.status, gone.status), (200, 204));
    let world = f.sandbox.world();
    // What the disk holds at this moment is what a kill would leave.
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let again = Fixture::with(options(&copy)).await;
    assert_eq!(again.sandbox.world(), world);
    assert_eq!(again.operator, f.operator);
    assert_eq!(again.sandbox.ca_pem(), f.sandbox.ca_pem());
    let value = secret.body["secretText"].as_str().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains(value), "{}", path.display());
        let is_env = path.file_name().is_some_and(|n| n == "env");
        assert_eq!(text.contains(&f.operator.client_secret), is_env, "{}", path.display());
    }
}

#[tokio::test]
async fn a_stopped_sandbox_goes_on_where_it_was_and_a_folder_has_one() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::with(options(&dir)).await;
    f.upsert("one", &json!({"displayName": "One"})).await;
    let world = f.sandbox.world();
    let busy = Sandbox::start(options(&dir)).await.unwrap_err();
    assert!(matches!(busy, StartError::DirBusy(_)), "{busy}");
    f.sandbox.stop().await;
    assert_eq!(fs::read(dir.path().join("world.journal")).unwrap(), b"");
    let again = Fixture::with(options(&dir)).await;
    assert_eq!(again.sandbox.world(), world);
    let yaml = fs::read_to_string(dir.path().join("cloud.yaml")).unwrap();
    assert_eq!(yaml, again.sandbox.cloud_yaml());
    assert!(yaml.contains(&format!("graph: {}", again.sandbox.base_url())));
    let lines = fs::read_to_string(dir.path().join("requests.jsonl")).unwrap();
    assert!(lines.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()));
    assert!(lines.contains("application.upsert"));
}

#[tokio::test]
async fn a_taken_port_and_wrong_options_are_told_apart() {
    let f = Fixture::new().await;
    let port: u16 = f.sandbox.base_url().rsplit(':').next().unwrap().parse().unwrap();
    let taken = Sandbox::start(Options { port, ..Options::default() }).await.unwrap_err();
    assert!(matches!(taken, StartError::PortTaken(p) if p == port));
    let world = Sandbox::start(Options { world: Some(json!([])), ..Options::default() }).await;
    assert!(matches!(world, Err(StartError::World(_))));
    let faults = vec![json!({"operation": "no"})];
    let faults = Sandbox::start(Options { faults, ..Options::default() }).await;
    assert!(matches!(faults, Err(StartError::Faults(_))));
}

#[tokio::test]
async fn the_world_is_read_and_replaced_through_control() {
    let mut f = Fixture::new().await;
    let url = format!("{}/_sandbox/world", f.sandbox.base_url());
    let world = Reply::of(f.client.get(&url).send().await.unwrap()).await;
    let put = f.client.put(&url).body(world.body.to_string()).send().await.unwrap();
    assert_eq!(put.status().as_u16(), 204);
    assert_eq!(f.sandbox.world(), world.body);
    let bad = f.client.put(&url).body("{}").send().await.unwrap();
    assert_eq!(bad.status().as_u16(), 400);
    assert_eq!(f.sandbox.world(), world.body);
    let post = f.client.post(&url).send().await.unwrap();
    assert_eq!(post.status().as_u16(), 405);
    // A world without an operator gets one, and the known secret stays good.
    let small = json!({"formatVersion": 1, "directories": [
        {"id": "6f1c0f5e-0000-4000-8000-000000000777", "name": "Small", "domains": ["small.example"]}]});
    f.sandbox.put_world(&small).unwrap();
    let operator = f.sandbox.operator();
    assert_eq!(operator.tenant_id, "6f1c0f5e-0000-4000-8000-000000000777");
    assert_eq!(operator.client_secret, f.operator.client_secret);
    f.operator = operator;
    f.sign_in().await;
    assert_eq!(f.get("/organization").await.body["value"][0]["displayName"], "Small");
    let clock = format!("{}/_sandbox/clock", f.sandbox.base_url());
    let before = Reply::of(f.client.get(&clock).send().await.unwrap()).await;
    let moved = f.client.post(&clock).body(r#"{"advance":"P340D"}"#).send().await.unwrap();
    let moved = Reply::of(moved).await;
    assert!(moved.body["now"].as_str() > before.body["now"].as_str());
    let bad = f.client.post(&clock).body(r#"{"advance":"-P1D"}"#).send().await.unwrap();
    assert_eq!(bad.status().as_u16(), 400);
}

#[tokio::test]
async fn directories_that_are_wanted_are_made() {
    let f = Fixture::with(Options { recording: Recording::On, ..Options::default() }).await;
    let new = |domain: &str, home: bool| NewDirectory {
        id: None,
        domain: Some(domain.to_owned()),
        name: domain.to_owned(),
        home,
        users: Vec::new(),
    };
    let before = f.sandbox.world();
    f.sandbox
        .ensure_directories(&[new("contoso.example", false), new("acme-soc.example", true)])
        .unwrap();
    assert_eq!(f.sandbox.world(), before);
    f.sandbox.ensure_directories(&[new("own.example", true), new("x.example", false)]).unwrap();
    let operator = f.sandbox.operator();
    assert_eq!(operator.tenant_id, random::derived_guid(&["directory", "own.example"]));
    let reply = f.ask_token("own.example", &operator.client_id, &operator.client_secret).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let traffic = f.sandbox.traffic();
    let last = traffic.last().unwrap();
    assert_eq!(last["operation"], "login.token");
    assert_eq!(last["response"]["body"], reply.body);
    assert!(
        f.sandbox.ensure_directories(&[NewDirectory { domain: None, ..new("", false) }]).is_err()
    );
}

#[tokio::test]
async fn ten_thousand_apps_are_not_the_slow_part() {
    let f = Fixture::new().await;
    let mut world = f.sandbox.world();
    let home = world["directories"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|d| d["home"] == true)
        .unwrap();
    let apps = home["applications"].as_array_mut().unwrap();
    for n in 0..10_000 {
        apps.push(json!({"id": random::guid(), "appId": random::guid(), "displayName": format!("App {n}"),
            "uniqueName": format!("u{n}"), "tags": ["tenantry:fleet=big"], "createdDateTime": "2026-01-01T00:00:00Z"}));
    }
    f.sandbox.put_world(&world).unwrap();
    let started = std::time::Instant::now();
    for n in 0..200 {
        assert_eq!(f.upsert(&format!("new{n}"), &json!({"displayName": "x"})).await.status, 201);
    }
    // Without an index, or with a world written whole for each change, this takes minutes.
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
    let page = f.get("/applications?$filter=tags/any(t:t eq 'tenantry:fleet=big')&$top=999").await;
    assert_eq!(page.body["value"].as_array().unwrap().len(), 999);
}
