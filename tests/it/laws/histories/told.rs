//! A history told act by act, and what must hold after each.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use serde_json::Value;

use super::{
    Act, App, History, Policy, Tenant, Work,
    theatre::{Seen, Theatre},
};

/// Plays a history to its end.
///
/// # Panics
/// Where the law does not hold: says after which act, and what.
pub(super) fn tell(history: &History) {
    let mut theatre = Theatre::open(history.vault, history.reader);
    let first = Act::Run(Work::Apply);
    for (nth, act) in [first].iter().chain(&history.acts).enumerate() {
        said_of(&format!("act {nth}, {act:?}"), || step(&mut theatre, *act));
    }
    said_of("the end", || the_end(&mut theatre));
}

/// A panic within says of what.
fn said_of(what: &str, play: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(play)) {
        let why = panic.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        match why {
            Some(why) => panic!("{what}: {why}"),
            None => resume_unwind(panic),
        }
    }
}

fn step(theatre: &mut Theatre, act: Act) {
    // What others do happens some time after what we did: a directory may not show a young
    // credential, so nobody could tell that one is missing.
    let later = |theatre: &Theatre| theatre.advance("PT10M");
    match act {
        Act::Run(work) => ours(theatre, &[work], |theatre| vec![theatre.run(work)]),
        Act::Killed(work, at) => ours(theatre, &[work], |theatre| vec![theatre.killed(work, at)]),
        Act::Both(one, other) => {
            ours(theatre, &[one, other], |theatre| theatre.both(one, other).into());
        }
        Act::Early(one, next) => {
            theatre.slow_down();
            for work in [one, next] {
                // How it ends is a question of what is new; what was good stays so, meanwhile and
                // after.
                ours(theatre, &[work], |theatre| {
                    theatre.run(work);
                    vec![None]
                });
            }
            theatre.catch_up();
            ours(theatre, &[], |_| Vec::new());
        }
        Act::Later(days) => theatre.advance(&format!("P{days}D")),
        Act::AddForeign(app) => {
            later(theatre);
            theatre.add_foreign(app);
        }
        Act::RemoveOurs(app, which) => {
            later(theatre);
            theatre.remove_ours(app, which);
            later(theatre);
        }
        Act::Delete(app) => {
            later(theatre);
            theatre.delete(app);
            later(theatre);
        }
        Act::Set(policy) => theatre.set(policy),
        Act::Moves(tenant) => theatre.moves(tenant),
        Act::Consents(tenant) => ours(theatre, &[], |theatre| {
            theatre.consents(tenant);
            Vec::new()
        }),
    }
}

/// What must hold before, while and after runs of ours: `play` gives their exit codes, nothing for
/// one that was killed.
fn ours(
    theatre: &mut Theatre,
    works: &[Work],
    play: impl FnOnce(&mut Theatre) -> Vec<Option<i32>>,
) {
    let before = App::ALL.map(|app| theatre.see(app));
    let codes = play(theatre);
    theatre.read_vault();
    let after = App::ALL.map(|app| theatre.see(app));
    for ((app, before), after) in App::ALL.into_iter().zip(&before).zip(&after) {
        kept(theatre, app, before, after);
    }
    theatre.foreign_is_untouched();
    for (work, code) in works.iter().zip(codes) {
        match code {
            Some(0) => ended_well(theatre, *work),
            Some(code) => assert!(
                may_fail(theatre, *work, &before),
                "{work:?} ended with {code}\n{}",
                theatre.said()
            ),
            None => {}
        }
    }
}

/// What no run of ours may do, whether it ends or is killed.
fn kept(theatre: &Theatre, app: App, before: &Seen, after: &Seen) {
    let all = |seen: &Seen| -> Vec<Value> {
        let all = seen.live.iter().chain(&seen.binned);
        all.map(|app| app["appId"].clone()).collect()
    };
    let (was, is) = (all(before), all(after));
    assert!(is.len() <= 1, "{app:?} is there more than once: {is:?}");
    assert!(was.is_empty() || was == is, "{app:?} was {was:?} and is {is:?}");
    assert!(after.live.len() >= before.live.len(), "{app:?} was deleted");
    if !theatre.wants(app) {
        assert_eq!(before.live, after.live, "{app:?} is not in the manifest");
        assert_eq!(before.binned, after.binned, "{app:?} is not in the manifest");
    }
    if before.opens.is_ok() {
        assert_eq!(after.opens, Ok(()), "{app:?} had a secret that works\n{}", theatre.said());
    }
}

/// Whether there is a reason for a run not to end well.
fn may_fail(theatre: &Theatre, work: Work, before: &[Seen; 4]) -> bool {
    let there = |tenant: Tenant| {
        let (_, seen) = App::ALL.iter().zip(before).find(|(app, _)| **app == tenant.app()).unwrap();
        theatre.has(tenant) && !seen.live.is_empty()
    };
    theatre.policy == Policy::NoSecrets
        || match work {
            Work::Apply => false,
            Work::Rotate(tenant) | Work::Revoke(tenant) => !there(tenant),
        }
}

/// What a run that ended well has left of the apps that it was about.
fn ended_well(theatre: &Theatre, work: Work) {
    let about = |app: &App| match work {
        Work::Apply => theatre.wants(*app),
        Work::Rotate(tenant) | Work::Revoke(tenant) => tenant.app() == *app,
    };
    for app in App::ALL.into_iter().filter(about) {
        let Seen { live, binned, opens } = theatre.see(app);
        assert_eq!((live.len(), binned.len()), (1, 0), "{app:?}\n{}", theatre.said());
        assert_eq!(opens, Ok(()), "{app:?} after {work:?}\n{}", theatre.said());
        theatre.all_is_known(app, &live[0]);
    }
}

/// With nobody in the way and everybody in the manifest, one apply makes all whole; another removes
/// what only waited for a successor, and a third has nothing to do.
fn the_end(theatre: &mut Theatre) {
    theatre.set(Policy::None);
    theatre.everybody_comes_back();
    theatre.advance("PT10M");
    for _ in 0..2 {
        ours(theatre, &[Work::Apply], |theatre| vec![theatre.run(Work::Apply)]);
    }
    theatre.nothing_is_planned();
}
