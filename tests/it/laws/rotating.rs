//! A rotation that is cut anywhere: what the vault hands out opens the app at every moment, no app
//! has a third secret of ours, and one more run leaves exactly those that should be there.

use serde_json::Value;
use tenantry::sandbox::{Opened, secret_hash};

use super::cutting::{Cut, Cutting, Scene, all, at_writes, requests};
use crate::{
    stage::CONTOSO,
    support::{Stage, list, ours, record},
};

/// Two apps: one customer has consented, the other has not.
const FLEET: &str = "\
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  redirectUris: ['https://siem.acme-soc.example/{key}']
  secret: {lifetime: 1y, renewBefore: 30d, overlap: 7d}
tenants:
  contoso: {name: Contoso, id: 6f1c0f5e-0000-4000-8000-000000000001}
  fabrikam: {name: Fabrikam, id: 6f1c0f5e-0000-4000-8000-000000000002}
";
const KEYS: [&str; 2] = ["contoso", "fabrikam"];

const APPLY: [&str; 4] = ["apply", "--yes", "--parallelism", "1"];
const ROTATE: [&str; 5] = ["rotate", "--all", "--yes", "--parallelism", "1"];
const REVOKE: [&str; 7] =
    ["rotate", "--all", "--now", "--revoke-old", "--yes", "--parallelism", "1"];

/// Which run is cut, and by which it is gone on with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    /// `rotate`, and the next `apply`.
    RotateThenApply,
    /// `rotate`, and the same again.
    RotateAgain,
    /// `rotate` of what has leaked, and the same again.
    Revoke,
    /// `apply` in the weeks before a secret's end, and the same again.
    Renewal,
}

/// The hashes of an app's secrets of ours, the oldest first.
fn hashes(app: &Value) -> Vec<String> {
    let mut ours = ours(app);
    ours.sort_by_key(|secret| secret["startDateTime"].to_string());
    ours.iter().map(|secret| secret["secretHash"].as_str().unwrap().to_owned()).collect()
}

/// What the vault hands out.
fn used(stage: &Stage, key: &str) -> String {
    secret_hash(&stage.reveal(key))
}

/// Whether Entra ID gave a token in contoso's directory since the log was cleared.
fn was_accepted(stage: &Stage) -> bool {
    stage.asked().iter().any(|request| {
        request["operation"] == "login.token"
            && request["status"] == 200
            && request["path"].as_str().unwrap().contains(CONTOSO)
    })
}

/// The app of a key in a world in which it was never deleted.
fn app<'w>(stage: &Stage, world: &'w Value, key: &str) -> &'w Value {
    let name = stage.unique_name(key);
    let mut apps = list(crate::support::home(world), "applications").iter();
    apps.find(|app| app["uniqueName"] == *name).unwrap()
}

/// Each living secret of ours is one that the vault knows, and what it hands out is one of them.
#[track_caller]
fn all_are_known(stage: &Stage, key: &str) -> Vec<String> {
    let app = stage.app(key);
    let known = record(stage, key);
    for secret in ours(&app) {
        let id = secret["keyId"].as_str().unwrap();
        assert!(known.contains(id), "{key}: the vault does not know {secret}");
    }
    let living = hashes(&app);
    assert!(living.contains(&used(stage, key)), "{key}: what is handed out opens nothing");
    living
}

impl Turn {
    /// What must be so of an app right after the cut: its secrets, and whether the new one took over.
    fn left(self, cutting: &Cutting<'_>, key: &str) -> (Vec<String>, bool) {
        let Cutting { stage, before, clean: _ } = cutting;
        let old = hashes(app(stage, before, key)).remove(0);
        let living = hashes(&stage.app(key));
        assert!(living.len() <= 2, "{key}: {living:?}");
        let used = used(stage, key);
        assert!(living.contains(&used), "{key}: what is handed out opens nothing");
        let (changed, gone) = (used != old, !living.contains(&old));
        assert!(!gone || (changed && self == Self::Revoke), "{key}: the old one is gone");
        assert!(
            key != "contoso" || !changed || was_accepted(stage),
            "{key}: the new one is in use and nobody has accepted it"
        );
        (living, changed)
    }

    /// What one more run leaves of an app.
    fn healed(self, cutting: &Cutting<'_>, key: &str, cut: &(Vec<String>, bool)) {
        let Cutting { stage, before, clean: _ } = cutting;
        let old = hashes(app(stage, before, key)).remove(0);
        let living = all_are_known(stage, key);
        let newest = living.last().unwrap();
        assert_eq!(used(stage, key), *newest, "{key}: the youngest is not the one in use");
        let (was_living, changed) = cut;
        match self {
            // What was not made, or was lost, is not made by a run that nobody asked for it.
            Self::RotateThenApply => assert!(living.len() <= was_living.len(), "{key}"),
            // Whoever asks again of one that is in use already asks for one more.
            Self::RotateAgain => assert_eq!(living.len(), 2 + usize::from(*changed), "{key}"),
            Self::Revoke => assert_eq!((living.len(), *newest == old), (1, false), "{key}"),
            Self::Renewal => assert_eq!(living.len(), 2, "{key}"),
        }
        assert!(self == Self::Revoke || living[0] == old, "{key}: the old one had its overlap");
    }
}

impl Scene for Turn {
    fn open(self) -> Stage {
        let stage = Stage::new(FLEET);
        stage.run(&APPLY).expect(0);
        let tenant = stage.tenant("contoso");
        let link = tenant["facets"]["consent"]["nextStep"]["link"].as_str().unwrap().to_owned();
        assert!(matches!(stage.sandbox.open(&link), Opened::Landed(_)));
        stage.run(&APPLY).expect(0);
        let time = match self {
            Self::RotateThenApply | Self::RotateAgain | Self::Revoke => "PT10M",
            Self::Renewal => "P340D",
        };
        stage.sandbox.advance(time).unwrap();
        stage
    }

    fn run(self) -> &'static [&'static str] {
        match self {
            Self::RotateThenApply | Self::RotateAgain => &ROTATE,
            Self::Revoke => &REVOKE,
            Self::Renewal => &APPLY,
        }
    }

    fn judge(self, cutting: &Cutting<'_>) {
        let stage = cutting.stage;
        let cut = KEYS.map(|key| self.left(cutting, key));
        let again: &[&str] = match self {
            Self::RotateThenApply | Self::Renewal => &APPLY,
            Self::RotateAgain => &ROTATE,
            Self::Revoke => &REVOKE,
        };
        stage.run(again).expect(0);
        for (key, cut) in KEYS.iter().zip(&cut) {
            self.healed(cutting, key, cut);
        }
        // When the overlap is over there is one, and it is the one in use.
        let youngest = KEYS.map(|key| used(stage, key));
        stage.sandbox.advance("P8D").unwrap();
        stage.run(&APPLY).expect(0);
        for (key, youngest) in KEYS.iter().zip(youngest) {
            stage.holds(key);
            assert_eq!(used(stage, key), youngest, "{key}");
        }
    }
}

fn everywhere(turn: Turn, cut: impl Fn(usize) -> Vec<Cut>) {
    let requests = requests(turn);
    assert!(requests > 6, "{requests} requests");
    let writes = at_writes(turn, 3 * KEYS.len() + 1);
    all(turn, (1..=requests).flat_map(cut).chain(writes).collect());
}

fn killed(k: usize) -> Vec<Cut> {
    vec![Cut::KilledAfter(k)]
}

#[test]
fn a_rotation_that_is_cut_anywhere_is_no_harm_to_the_next_apply() {
    let cuts = |k| vec![Cut::Before(k), Cut::After(k), Cut::KilledBefore(k), Cut::KilledAfter(k)];
    everywhere(Turn::RotateThenApply, cuts);
}

#[test]
fn a_rotation_that_is_cut_anywhere_is_gone_on_with_and_not_begun_anew() {
    everywhere(Turn::RotateAgain, killed);
}

#[test]
fn a_leaked_secret_is_gone_however_often_its_removal_was_cut() {
    everywhere(Turn::Revoke, killed);
}

#[test]
fn a_renewal_that_is_cut_anywhere_is_made_whole_by_the_next_apply() {
    everywhere(Turn::Renewal, killed);
}
