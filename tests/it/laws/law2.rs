//! Cut anywhere: whatever request or write of the vault an apply is cut at, one more apply makes
//! it whole.
//!
//! How many requests and writes there are is counted in a run that nothing happens to.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tenantry::sandbox::Options;

use super::{
    ELSEWHERE, ELSEWHERE_KEYS, KEYS, MANIFEST,
    cutting::{Cut, Cutting, Scene, all, at_writes, requests},
    lose_value,
};
use crate::support::{Stage, VaultKind, kind, list, normal};

const APPLY: [&str; 4] = ["apply", "--yes", "--parallelism", "1"];

/// What the cut apply finds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    /// No app; one in the bin.
    Fresh,
    /// All apps; one was renamed by hand, one has a secret of ours whose value was lost, one has no
    /// secret any more.
    Drifted,
    /// No app, and all that will be is made in customers' directories or granted there.
    Elsewhere,
}

impl Start {
    fn manifest(self) -> &'static str {
        match self {
            Self::Fresh | Self::Drifted => MANIFEST,
            Self::Elsewhere => ELSEWHERE,
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Fresh | Self::Drifted => &KEYS,
            Self::Elsewhere => &ELSEWHERE_KEYS,
        }
    }
}

impl Scene for Start {
    fn open(self) -> Stage {
        let stage = Stage::with(self.manifest(), Options::default());
        if self == Self::Drifted {
            stage.run(&APPLY).expect(0);
            stage.change_app("contoso", |app| app["displayName"] = json!("Renamed by hand"));
            lose_value(&stage, "fabrikam");
            stage.change_app("siem-eu", |app| app["passwordCredentials"] = json!([]));
            // A young credential may be missing from an answer only because it is young.
            stage.sandbox.advance("PT10M").unwrap();
        }
        stage
    }

    fn run(self) -> &'static [&'static str] {
        &APPLY
    }

    fn judge(self, cutting: &Cutting<'_>) {
        cutting.stage.run(&APPLY).expect(0);
        whole(self, cutting.stage, cutting.clean);
    }
}

/// One app per key, one live secret of ours on each, its value in the vault; and a world like the
/// one that a run leaves to which nothing happened.
fn whole(start: Start, stage: &Stage, clean: &Value) {
    let keys = start.keys();
    for key in keys {
        stage.holds(key);
    }
    let world = stage.sandbox.world();
    assert_eq!(normal(&world)["directories"], normal(clean)["directories"]);
    let apps = list(&world, "directories").iter().flat_map(|one| list(one, "applications"));
    let names: Vec<_> = apps.filter_map(|app| app["uniqueName"].as_str()).collect();
    let different: BTreeSet<_> = names.iter().collect();
    assert_eq!((names.len(), different.len()), (keys.len(), keys.len()));
    // No block of a value that nobody knows of is left in the vault either.
    for key in keys.iter().filter(|_| kind() == VaultKind::Folder) {
        let file = std::fs::read_to_string(stage.vault().join(format!("{key}.age"))).unwrap();
        // The value of a secret that somebody removed at Microsoft is kept, retired.
        let removed = start == Start::Drifted && ["fabrikam", "siem-eu"].contains(key);
        let (values, retired) = (1 + usize::from(removed), usize::from(removed));
        assert_eq!(file.matches("BEGIN AGE").count(), values, "{key}: {file}");
        assert_eq!(file.matches("\"retiring\"").count(), retired, "{key}: {file}");
    }
}

#[test]
fn a_connection_cut_before_any_request_is_healed() {
    all(Start::Fresh, (1..=requests(Start::Fresh)).map(Cut::Before).collect());
}

#[test]
fn a_connection_cut_after_any_request_is_healed() {
    all(Start::Fresh, (1..=requests(Start::Fresh)).map(Cut::After).collect());
}

#[test]
fn a_process_killed_before_any_request_has_its_effect_is_healed() {
    all(Start::Fresh, (1..=requests(Start::Fresh)).map(Cut::KilledBefore).collect());
}

#[test]
fn a_process_killed_after_any_request_had_its_effect_is_healed() {
    all(Start::Fresh, (1..=requests(Start::Fresh)).map(Cut::KilledAfter).collect());
}

#[test]
fn a_process_that_dies_at_any_write_of_the_vault_is_healed() {
    // An app is written down at least three times.
    all(Start::Fresh, at_writes(Start::Fresh, 3 * KEYS.len() + 1));
}

#[test]
fn a_repair_that_is_cut_anywhere_is_healed() {
    let requests = requests(Start::Drifted);
    let cuts = (1..=requests).flat_map(|k| [Cut::After(k), Cut::KilledAfter(k)]);
    all(Start::Drifted, cuts.chain(at_writes(Start::Drifted, 1)).collect());
}

#[test]
fn what_is_made_and_granted_in_customers_directories_is_healed_wherever_it_is_cut() {
    let start = Start::Elsewhere;
    let cuts = (1..=requests(start)).flat_map(|k| [Cut::After(k), Cut::KilledAfter(k)]);
    all(start, cuts.chain(at_writes(start, 1)).collect());
}
