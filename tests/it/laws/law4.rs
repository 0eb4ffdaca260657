//! What only looks sends no write to Graph, whatever the world.
//!
//! The guard beneath (every method but GET is refused before anything is sent) is tested by trying
//! in `src/http`.

use std::time::Duration;

use serde_json::json;
use tenantry::sandbox::Options;

use super::MANIFEST;
use crate::support::Stage;

const LOOKS: [&[&str]; 9] = [
    &["plan"],
    &["plan", "--full", "--reissue"],
    &["plan", "--json"],
    &["status"],
    &["status", "--json"],
    &["status", "--pending", "portal"],
    &["explain", "contoso"],
    &["doctor"],
    &["validate"],
];

fn only_looks(stage: &Stage, world: &str) {
    let before = stage.sandbox.world();
    stage.sandbox.clear_requests();
    for look in LOOKS {
        let run = stage.run(look);
        // It may well have something to say against such a world; it must say it in an orderly way.
        assert!(
            matches!(run.code, Some(0 | 1 | 2 | 4 | 5 | 7)),
            "{world}: {look:?}: {:?}\n{}\n{}",
            run.code,
            run.stdout,
            run.stderr
        );
    }
    assert_eq!(stage.graph_writes(), Vec::<serde_json::Value>::new(), "{world}");
    assert_eq!(stage.sandbox.world()["directories"], before["directories"], "{world}");
}

#[test]
fn looking_writes_nothing_whatever_the_world() {
    let stage = Stage::new(MANIFEST);
    only_looks(&stage, "fresh");
    stage.apply().expect(0);
    only_looks(&stage, "applied");

    let whole = stage.sandbox.world();
    stage.change_app("contoso", |app| {
        app["displayName"] = json!("Renamed by hand");
        app["tags"] = json!([]);
        app["passwordCredentials"] = json!([]);
    });
    only_looks(&stage, "drifted");
    stage.change_home(|home| {
        let mut gone = home["applications"].as_array_mut().unwrap().pop().unwrap();
        gone["@odata.type"] = json!("#microsoft.graph.application");
        home["deletedItems"] = json!([gone]);
    });
    only_looks(&stage, "deleted");
    stage.sandbox.put_world(&whole).unwrap();
    stage.sandbox.advance("P345D").unwrap();
    only_looks(&stage, "in the renewal window");
    stage.sandbox.advance("P60D").unwrap();
    only_looks(&stage, "expired");

    stage.sandbox.put_world(&whole).unwrap();
    stage.lose_vault();
    stage.init_vault();
    only_looks(&stage, "with a lost vault");
}

#[test]
fn looking_writes_nothing_while_directories_lag_or_refuse() {
    let lag = Duration::from_secs(3);
    let stage = Stage::with(MANIFEST, Options { lag, ..Options::default() });
    stage.apply().expect(0);
    only_looks(&stage, "lagging");
    for status in [403, 404, 410] {
        let fault = json!({
            "operation": "application.list", "times": 7, "do": {"status": status},
        });
        stage.fault(fault);
        only_looks(&stage, "that may not be read");
        stage.all_faults_fired();
    }
}
