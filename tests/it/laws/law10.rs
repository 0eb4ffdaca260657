//! Cut anywhere between the people's answers and the last proof: one more run ends where a run ends
//! to which nothing happened, and no refresh token is lost that Entra ID would still take.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};
use tenantry::sandbox::{Opened, Options};

use super::cutting::Cut;
use crate::{
    people::{paste, states, tenant},
    support::{Kept, Run, Running, Stage, directory_mut, kill, list, stages},
};

/// One tenant of each connector.
const MANIFEST: &str = "\
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  displayName: '{name} SIEM MSSP Connector'
  redirectUris: ['https://siem.acme-soc.example/{key}']
tenants:
  contoso: {name: Contoso, domain: contoso.example, connector: graph-security}
  fabrikam: {name: Fabrikam, domain: fabrikam.example, connector: defender-xdr}
  wingtip: {name: Wingtip, domain: wingtip.example, connector: mssp-siem, signInAs: soc-reader@acme-soc.example}
";
const KEYS: [&str; 3] = ["contoso", "fabrikam", "wingtip"];
/// The one whose analyst signs in.
const DELEGATED: &str = "wingtip";
const WINGTIP: &str = "6f1c0f5e-0000-4000-8000-000000000008";

/// What is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// `consent wingtip --paste`: the code, the first tokens.
    SignIn,
    /// `status`, the refresh token rotated by it.
    Proof,
    /// `tokens refresh`.
    Refresh,
}

/// A stage that can begin again: all registered, all administrators have consented, and the analyst
/// has signed in unless that is what is cut.
struct Theatre {
    stage: Stage,
    phase: Phase,
    world: Value,
    vault: Kept,
    /// The process under way.
    process: AtomicU32,
}

impl Theatre {
    fn open(phase: Phase) -> Self {
        let stage = Stage::with(MANIFEST, Options::default());
        stage.change_world(|world| {
            for directory in world["directories"].as_array_mut().unwrap() {
                directory["people"] = json!({});
            }
            directory_mut(world, WINGTIP)["users"] = json!([{
                "id": "6f1c0f5e-2222-4000-8000-000000000001",
                "userPrincipalName": "soc-reader_acme-soc.example#EXT#@wingtip.example",
                "displayName": "SOC reader", "roles": ["Security Reader"],
                "guestOf": "6f1c0f5e-0000-4000-8000-000000000100",
                "mail": "soc-reader@acme-soc.example",
            }]);
        });
        stage.apply().expect(0);
        stage.send_links();
        if phase != Phase::SignIn {
            stage.sign_in(DELEGATED).expect(0);
        }
        stage.status();
        let (world, vault) = (stage.sandbox.world(), stage.keep_vault());
        Self { stage, phase, world, vault, process: AtomicU32::new(0) }
    }

    fn begin_again(&self) {
        self.stage.put_vault(&self.vault);
        self.stage.sandbox.put_world(&self.world).unwrap();
        self.stage.sandbox.clear_faults();
        self.stage.sandbox.clear_requests();
    }

    /// The phase once, as it comes.
    fn run(&self, more: &[(&str, String)]) -> Run {
        let arguments: &[&str] = match self.phase {
            Phase::SignIn => &["consent", DELEGATED, "--paste", "--parallelism", "1"],
            Phase::Proof => &["status", "--parallelism", "1"],
            Phase::Refresh => &["tokens", "refresh", "--parallelism", "1"],
        };
        let mut command = self.stage.command(arguments);
        command.envs(more.iter().map(|(name, value)| (*name, value.as_str())));
        match self.phase {
            Phase::SignIn => {
                paste(command, &self.process, |link| match self.stage.sandbox.open(link) {
                    Opened::Landed(address) => address,
                    Opened::Shown(_) | Opened::Nobody => String::new(),
                })
            }
            Phase::Proof | Phase::Refresh => {
                let running = Running::start(command);
                self.process.store(running.id(), Ordering::Release);
                running.wait()
            }
        }
    }

    fn cut(&self, cut: Cut) -> Run {
        cut.script(&self.stage);
        match cut {
            Cut::KilledBefore(_) | Cut::KilledAfter(_) => self.killed(),
            Cut::Before(_) | Cut::After(_) => self.run(&[]),
            Cut::AtWrite(k) => self.run(&[("TENANTRY_DIE_AT_VAULT_WRITE", k.to_string())]),
        }
    }

    /// Runs the phase, and kills it when the request has come that gets no answer.
    fn killed(&self) -> Run {
        thread::scope(|scope| {
            let running = scope.spawn(|| self.run(&[]));
            let faulted = || self.stage.asked().iter().any(|request| request["fault"].is_string());
            while !faulted() && !running.is_finished() {
                thread::sleep(std::time::Duration::from_millis(2));
            }
            if !running.is_finished() {
                kill(self.process.load(Ordering::Acquire));
            }
            running.join().unwrap()
        })
    }

    /// What a person does after a run that was cut: looks, and lets the analyst sign in where it is
    /// said that he must.
    fn heal(&self) -> Value {
        let status = self.stage.status();
        if list(&status["summary"], "needSignIn").iter().any(|key| key == DELEGATED) {
            assert_eq!(self.phase, Phase::SignIn, "a refresh token was lost: {status:#}");
            self.stage.sign_in(DELEGATED).expect(0);
        }
        self.stage.status()
    }
}

fn told(status: &Value) -> Vec<(Value, Vec<(String, String)>)> {
    KEYS.iter()
        .map(|key| {
            let tenant = tenant(status, key);
            (tenant["overall"].clone(), states(tenant))
        })
        .collect()
}

fn all(phase: Phase, cuts: impl FnOnce(usize) -> Vec<Cut>) {
    let first = Theatre::open(phase);
    first.begin_again();
    first.run(&[]).expect(0);
    let requests = first.stage.asked().len();
    assert!(requests > 0, "nothing is asked that could be cut");
    let clean = told(&first.heal());
    assert_eq!(clean[0].0, "reading");
    assert_eq!(clean[1].0, "reading");
    assert_eq!(clean[2].0, "action-due", "the portal step is left: {clean:?}");
    let cuts = cuts(requests);
    let (next, failed) = (AtomicUsize::new(0), Mutex::<Vec<String>>::default());
    thread::scope(|scope| {
        for first in [Some(first)].into_iter().chain((1..stages()).map(|_| None)) {
            let (next, failed, cuts, clean) = (&next, &failed, &cuts, &clean);
            scope.spawn(move || {
                let theatre = first.unwrap_or_else(|| Theatre::open(phase));
                while let Some(cut) = cuts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        theatre.begin_again();
                        theatre.cut(*cut);
                        theatre.stage.sandbox.clear_faults();
                        theatre.stage.outlive_claims();
                        assert_eq!(told(&theatre.heal()), *clean);
                        theatre.stage.run(&["tokens", "refresh"]).expect(0);
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

fn every_way(requests: usize) -> Vec<Cut> {
    let ways = [Cut::Before, Cut::After, Cut::KilledBefore, Cut::KilledAfter];
    let requests = (1..=requests).flat_map(|k| ways.map(|way| way(k)));
    // More writes than there are: a run that dies at none of them must end well as any other.
    requests.chain((1..=8).map(Cut::AtWrite)).collect()
}

#[test]
fn a_sign_in_that_is_cut_anywhere_is_healed() {
    all(Phase::SignIn, every_way);
}

#[test]
fn a_proof_that_is_cut_anywhere_loses_no_refresh_token() {
    all(Phase::Proof, every_way);
}

#[test]
fn a_refresh_that_is_cut_anywhere_loses_no_refresh_token() {
    all(Phase::Refresh, every_way);
}
