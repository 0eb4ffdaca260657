//! Cut anywhere: whatever request or write of the vault an apply is cut at, one more apply makes
//! it whole.
//!
//! How many requests and writes there are is counted in a run that nothing happens to.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};
use tenantry::sandbox::Options;

use super::{ELSEWHERE, ELSEWHERE_KEYS, KEYS, MANIFEST, lose_value};
use crate::support::{Kept, Run, Stage, VaultKind, kind, list, normal, until};

/// How many stages work side by side.
const STAGES: usize = 3;

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

/// How one apply is cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The k-th request's connection is cut before its effect.
    Before(usize),
    /// The k-th request's connection is cut after its effect.
    After(usize),
    /// The process is killed when the k-th request has come and has had no effect.
    KilledBefore(usize),
    /// The process is killed when the k-th request has had its effect and no answer.
    KilledAfter(usize),
    /// The process dies at the k-th write of the vault.
    AtWrite(usize),
}

/// A stage that can begin again.
struct Theatre {
    stage: Stage,
    world: Value,
    vault: Kept,
}

impl Theatre {
    fn open(start: Start) -> Self {
        let stage = Stage::with(start.manifest(), Options::default());
        if start == Start::Drifted {
            stage.run(&APPLY).expect(0);
            stage.change_app("contoso", |app| app["displayName"] = json!("Renamed by hand"));
            lose_value(&stage, "fabrikam");
            stage.change_app("siem-eu", |app| app["passwordCredentials"] = json!([]));
            // A young credential may be missing from an answer only because it is young.
            stage.sandbox.advance("PT10M").unwrap();
        }
        let (world, vault) = (stage.sandbox.world(), stage.keep_vault());
        Self { stage, world, vault }
    }

    fn begin_again(&self) {
        self.stage.put_vault(&self.vault);
        self.stage.sandbox.put_world(&self.world).unwrap();
        self.stage.sandbox.clear_faults();
        self.stage.sandbox.clear_requests();
    }

    /// One apply that is cut.
    fn cut(&self, cut: Cut) -> Run {
        let stage = &self.stage;
        let scripted = |nth: usize, act: &str| {
            stage.fault(json!({"operation": "*", "nth": nth, "do": act}));
        };
        match cut {
            Cut::Before(k) => scripted(k, "cut-before"),
            Cut::After(k) => scripted(k, "cut-after"),
            Cut::KilledBefore(k) => scripted(k, "no-answer"),
            Cut::KilledAfter(k) => scripted(k, "no-answer-after"),
            Cut::AtWrite(_) => {}
        }
        match cut {
            Cut::Before(_) | Cut::After(_) => stage.run(&APPLY),
            Cut::KilledBefore(_) | Cut::KilledAfter(_) => {
                let mut running = stage.start(&APPLY);
                until("the request at which the process is killed", || {
                    assert!(!running.is_over(), "{cut:?}: it ended before it could be killed");
                    // An entry names its fault when the effect, if any, is over.
                    stage.asked().iter().any(|request| request["fault"].is_string())
                });
                running.kill()
            }
            Cut::AtWrite(k) => {
                let mut command = stage.command(&APPLY);
                command.env("TENANTRY_DIE_AT_VAULT_WRITE", k.to_string());
                crate::support::Running::start(command).wait()
            }
        }
    }
}

/// Both connections cut and processes killed leave some way to tell that they did.
fn was_cut(cut: Cut, run: &Run) {
    let wanted: &[Option<i32>] = match cut {
        // What may be repeated was, and what may not has failed.
        Cut::Before(_) | Cut::After(_) => &[Some(0), Some(1), Some(4)],
        Cut::KilledBefore(_) | Cut::KilledAfter(_) | Cut::AtWrite(_) => &[None],
    };
    let Run { code, stdout, stderr } = run;
    assert!(wanted.contains(code), "{cut:?}: {code:?}\n{stdout}\n{stderr}");
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

fn all(start: Start, cuts: Vec<Cut>) {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Vec<String>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..STAGES {
            scope.spawn(|| {
                let theatre = Theatre::open(start);
                theatre.stage.run(&APPLY).expect(0);
                let clean = theatre.stage.sandbox.world();
                while let Some(cut) = cuts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        theatre.begin_again();
                        let run = theatre.cut(*cut);
                        was_cut(*cut, &run);
                        theatre.stage.all_faults_fired();
                        theatre.stage.run(&APPLY).expect(0);
                        whole(start, &theatre.stage, &clean);
                    }));
                    if let Err(panic) = tried {
                        let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                        failed.lock().unwrap().push(format!("{cut:?}: {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {}\n{}", failed.len(), cuts.len(), failed.join("\n\n"));
}

/// How many requests a run makes to which nothing happens.
fn requests(start: Start) -> usize {
    let theatre = Theatre::open(start);
    theatre.begin_again();
    theatre.stage.run(&APPLY).expect(0);
    theatre.stage.asked().len()
}

/// How many writes of the vault it makes: found by dying later and later, until a run lives.
fn writes(start: Start) -> usize {
    let theatre = Theatre::open(start);
    let lives = |k: usize| {
        theatre.begin_again();
        theatre.cut(Cut::AtWrite(k)).code == Some(0)
    };
    let mut dies = 1;
    while !lives(dies * 2) {
        dies *= 2;
    }
    let mut lived = dies * 2;
    while lived - dies > 1 {
        let middle = dies.midpoint(lived);
        if lives(middle) {
            lived = middle;
        } else {
            dies = middle;
        }
    }
    dies
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
    let writes = writes(Start::Fresh);
    assert!(writes > 3 * KEYS.len(), "an app is written down at least three times: {writes}");
    all(Start::Fresh, (1..=writes).map(Cut::AtWrite).collect());
}

#[test]
fn a_repair_that_is_cut_anywhere_is_healed() {
    let requests = requests(Start::Drifted);
    let cuts = (1..=requests).flat_map(|k| [Cut::After(k), Cut::KilledAfter(k)]);
    all(Start::Drifted, cuts.chain((1..=writes(Start::Drifted)).map(Cut::AtWrite)).collect());
}

#[test]
fn what_is_made_and_granted_in_customers_directories_is_healed_wherever_it_is_cut() {
    let start = Start::Elsewhere;
    let cuts = (1..=requests(start)).flat_map(|k| [Cut::After(k), Cut::KilledAfter(k)]);
    all(start, cuts.chain((1..=writes(start)).map(Cut::AtWrite)).collect());
}
