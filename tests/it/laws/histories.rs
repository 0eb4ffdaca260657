//! Random histories: whatever is done to a fleet and in whatever order, each app of the manifest is
//! there once and has a secret that works and is in the vault, nothing of ours is on it that the
//! vault does not know once a run has ended well, and what is not ours is as it was.
//!
//! A few in every run of the tests; `scripts/histories` plays as many as one likes.

mod cast;
mod theatre;
mod told;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed, TestRunner},
};

use crate::support::{VaultKind, kind};

/// How many histories are played where nobody says how many.
const FEW: u64 = 10;
/// The seed of the first one where nobody says another; each one after it has the next.
const FIRST: u64 = 20_261_128;
/// How often a history that failed is played again to make it shorter.
const SHORTENED: u32 = 60;

/// An app of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum App {
    /// Of one customer, in the provider's directory.
    Contoso,
    /// The same; the seed has it in the bin, and a policy of its own.
    Tailspin,
    /// Of two customers, in the provider's directory.
    SiemEu,
    /// In its customer's own directory, and granted there by us.
    Northwind,
}

/// A customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tenant {
    Contoso,
    Tailspin,
    Woodgrove,
    Lucerne,
    Northwind,
}

/// A run of the binary.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Work {
    Apply,
    Rotate(Tenant),
    /// `rotate --now --revoke-old`.
    Revoke(Tenant),
}

/// When a killed run is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    /// At the n-th request, which has no effect.
    Before(u64),
    /// At the n-th request, which has its effect and no answer.
    After(u64),
    /// At the n-th write of the vault.
    Write(u64),
}

/// Which secrets of ours somebody removes at Microsoft.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Which {
    Youngest,
    All,
}

/// The default policy of the provider's directory.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Policy {
    None,
    /// Secrets live for so many days at most.
    Days(u16),
    /// There are no new secrets.
    NoSecrets,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Run(Work),
    Killed(Work, At),
    /// Two operators at once.
    Both(Work, Work),
    /// Two runs, one after the other, while nothing that is new is seen or accepted yet.
    Early(Work, Work),
    /// Days go by.
    Later(u16),
    /// Somebody adds a secret of theirs.
    AddForeign(App),
    /// Somebody removes secrets of ours.
    RemoveOurs(App, Which),
    /// Somebody deletes the app; it lies in the bin for 30 days.
    Delete(App),
    Set(Policy),
    /// The tenant leaves the manifest, or comes back into it.
    Moves(Tenant),
    /// The customer's administrator consents, and the analyst signs in where one reads.
    Consents(Tenant),
}

/// How Contoso is read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reader {
    /// By the app itself.
    App,
    /// By an analyst who signs in to it: `mssp-siem`.
    Analyst,
}

/// What happens to one fleet; the first apply is not told.
#[derive(Debug, Clone)]
struct History {
    vault: VaultKind,
    acts: Vec<Act>,
    reader: Reader,
}

impl App {
    const ALL: [Self; 4] = [Self::Contoso, Self::Tailspin, Self::SiemEu, Self::Northwind];
}

impl Tenant {
    const ALL: [Self; 5] =
        [Self::Contoso, Self::Tailspin, Self::Woodgrove, Self::Lucerne, Self::Northwind];
}

fn app() -> impl Strategy<Value = App> {
    select(App::ALL.as_slice())
}

fn tenant() -> impl Strategy<Value = Tenant> {
    select(Tenant::ALL.as_slice())
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        4 => Just(Work::Apply),
        2 => tenant().prop_map(Work::Rotate),
        1 => tenant().prop_map(Work::Revoke),
    ]
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        2 => (1..=36_u64).prop_map(At::Before),
        3 => (1..=36_u64).prop_map(At::After),
        2 => (1..=12_u64).prop_map(At::Write),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    // Within and beyond an overlap, the bin's days, the renewal window, a whole life.
    let days = select(&[1, 6, 8, 20, 31, 100, 340, 400][..]);
    let policy = select(&[Policy::None, Policy::Days(90), Policy::Days(20), Policy::NoSecrets][..]);
    prop_oneof![
        5 => work().prop_map(Act::Run),
        5 => (work(), at()).prop_map(|(work, at)| Act::Killed(work, at)),
        2 => (work(), work()).prop_map(|(one, other)| Act::Both(one, other)),
        2 => (work(), work()).prop_map(|(one, next)| Act::Early(one, next)),
        5 => days.prop_map(Act::Later),
        2 => app().prop_map(Act::AddForeign),
        2 => (app(), select(&[Which::Youngest, Which::All][..]))
            .prop_map(|(app, which)| Act::RemoveOurs(app, which)),
        2 => app().prop_map(Act::Delete),
        2 => policy.prop_map(Act::Set),
        2 => tenant().prop_map(Act::Moves),
        3 => tenant().prop_map(Act::Consents),
    ]
}

fn history() -> impl Strategy<Value = History> {
    // A key vault is slower, its claims wait for whole seconds: one fleet in eight is in one.
    let vault = prop_oneof![7 => Just(kind()), 1 => Just(VaultKind::KeyVault)];
    // Drawn last, so that what a seed played before is played again.
    let reader = select(&[Reader::App, Reader::Analyst][..]);
    (vault, prop::collection::vec(act(), 3..=14), reader)
        .prop_map(|(vault, acts, reader)| History { vault, acts, reader })
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
}

/// Plays the history of a seed; where it fails, says the shortest that fails too.
fn play(seed: u64) -> Result<(), String> {
    let config = Config {
        cases: 1,
        max_shrink_iters: SHORTENED,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&history(), |history| {
            told::tell(&history);
            Ok(())
        })
        .map_err(|failure| format!("scripts/histories 1 {seed}\n{failure}"))
}

#[test]
fn whatever_happens_each_app_keeps_a_secret_that_works() {
    let many = number("TENANTRY_HISTORIES").unwrap_or(FEW);
    let first = number("TENANTRY_HISTORIES_SEED").unwrap_or(FIRST);
    let started = Instant::now();
    let (next, failed) = (AtomicU64::new(0), Mutex::<Vec<String>>::default());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= many {
                        break;
                    }
                    if let Err(why) = play(first + nth) {
                        failed.lock().unwrap().push(why);
                    }
                    if (nth + 1) % 100 == 0 {
                        println!("{} of {many}, {} s", nth + 1, started.elapsed().as_secs());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let seconds = started.elapsed().as_secs();
    println!("{many} histories from seed {first}: {} failed, {seconds} s", failed.len());
    assert!(failed.is_empty(), "{} of {many}\n{}", failed.len(), failed.join("\n\n"));
}
