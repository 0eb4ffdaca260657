//! Cutting a run anywhere: at a request, before or after its effect, by its connection or by the
//! death of the process; and at a write of the vault.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use crate::support::{Kept, Run, Running, Stage, VaultKind, kind, stages, until};

/// A run that is cut, and what is asked of what it leaves.
pub(super) trait Scene: Copy + Send + Sync {
    /// A stage on which everything is as the run finds it.
    fn open(self) -> Stage;
    /// The run.
    fn run(self) -> &'static [&'static str];
    /// What is done after the cut, and must be so then.
    fn judge(self, cutting: &Cutting<'_>);
}

/// What a cut has left.
pub(super) struct Cutting<'c> {
    pub(super) stage: &'c Stage,
    /// The world as it was before.
    pub(super) before: &'c Value,
    /// The world that the run leaves to which nothing happens.
    pub(super) clean: &'c Value,
}

/// How one run is cut.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut {
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

impl Cut {
    /// Has the sandbox do its part, if it has one.
    pub(super) fn script(self, stage: &Stage) {
        let scripted = |nth: usize, act: &str| {
            stage.fault(json!({"operation": "*", "nth": nth, "do": act}));
        };
        match self {
            Self::Before(k) => scripted(k, "cut-before"),
            Self::After(k) => scripted(k, "cut-after"),
            Self::KilledBefore(k) => scripted(k, "no-answer"),
            Self::KilledAfter(k) => scripted(k, "no-answer-after"),
            Self::AtWrite(_) => {}
        }
    }
}

/// A stage that can begin again.
struct Theatre {
    stage: Stage,
    world: Value,
    vault: Kept,
    run: &'static [&'static str],
}

impl Theatre {
    fn open(scene: impl Scene) -> Self {
        let stage = scene.open();
        let (world, vault) = (stage.sandbox.world(), stage.keep_vault());
        Self { stage, world, vault, run: scene.run() }
    }

    fn begin_again(&self) {
        self.stage.put_vault(&self.vault);
        self.stage.sandbox.put_world(&self.world).unwrap();
        self.stage.sandbox.clear_faults();
        self.stage.sandbox.clear_requests();
    }

    /// One run that is cut.
    fn cut(&self, cut: Cut) -> Run {
        let stage = &self.stage;
        cut.script(stage);
        match cut {
            Cut::Before(_) | Cut::After(_) => stage.run(self.run),
            Cut::KilledBefore(_) | Cut::KilledAfter(_) => {
                let mut running = stage.start(self.run);
                until("the request at which the process is killed", || {
                    assert!(!running.is_over(), "{cut:?}: it ended before it could be killed");
                    // An entry names its fault when the effect, if any, is over.
                    stage.asked().iter().any(|request| request["fault"].is_string())
                });
                running.kill()
            }
            Cut::AtWrite(k) => {
                let mut command = stage.command(self.run);
                command.env("TENANTRY_DIE_AT_VAULT_WRITE", k.to_string());
                Running::start(command).wait()
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

/// Cuts the run in all these ways, and judges what each left.
pub(super) fn all(scene: impl Scene, cuts: Vec<Cut>) {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Vec<String>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..stages() {
            scope.spawn(|| {
                let theatre = Theatre::open(scene);
                theatre.stage.run(theatre.run).expect(0);
                let clean = theatre.stage.sandbox.world();
                while let Some(cut) = cuts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        theatre.begin_again();
                        let run = theatre.cut(*cut);
                        was_cut(*cut, &run);
                        theatre.stage.all_faults_fired();
                        theatre.stage.outlive_claims();
                        let Theatre { stage, world: before, .. } = &theatre;
                        scene.judge(&Cutting { stage, before, clean: &clean });
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
pub(super) fn requests(scene: impl Scene) -> usize {
    let theatre = Theatre::open(scene);
    theatre.begin_again();
    theatre.stage.run(theatre.run).expect(0);
    theatre.stage.asked().len()
}

/// A cut at every write of the vault, of which a folder's must see as many as `least`. Every write of
/// a key vault is a request, and cut as one.
pub(super) fn at_writes(scene: impl Scene, least: usize) -> Vec<Cut> {
    match kind() {
        VaultKind::KeyVault => Vec::new(),
        VaultKind::Folder => {
            let writes = writes(scene);
            assert!(writes >= least, "{writes} writes where there should be {least}");
            (1..=writes).map(Cut::AtWrite).collect()
        }
    }
}

/// How many writes of the vault it makes: found by dying later and later, until a run lives.
fn writes(scene: impl Scene) -> usize {
    let theatre = Theatre::open(scene);
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
