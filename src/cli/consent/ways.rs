//! The ways in which people are asked and answer: a page, an address that is pasted, the sandbox's
//! people.

use std::{io::BufRead, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use url::Url;

use super::{super::context::Context, count};
use crate::{
    consent::{Desk, Ended, LONGEST, Look, Page, What},
    failure::Failure,
    manifest::LOOPBACK_PAGE,
    report::{consent as words, error::Trouble, pages, progress::Bar},
    sandbox::{Opened, Sandbox},
};

/// How often a pasted address that is none may be pasted again, in a terminal.
const TRIES: usize = 3;

/// A page on this machine, until everybody has answered or nobody is waited for any more.
pub(super) async fn page(
    context: &Context,
    desk: &Arc<Desk>,
    wait: Duration,
    bar: &Bar,
    later: usize,
) -> Result<(), Trouble> {
    let page = Page::open().await.map_err(|error| {
        Trouble::of("people cannot be asked on a page of this machine", &Failure::from(error))
    })?;
    context.progress.say(&words::address(&page.address(), desk.view().len()));
    if has_display() {
        // Where no browser starts, the address stands above.
        let _ = open::that_detached(page.ticket());
    }
    let (fleet, sandbox) = (context.manifest.fleet.clone(), context.is_sandbox());
    let look = Look {
        draw: Box::new(move |screen| words::page(&fleet, sandbox, screen)),
        headers: &pages::HEADERS,
    };
    let mut changes = desk.changes();
    let watching = async {
        while changes.changed().await.is_ok() {
            count(bar, desk, later);
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = page.run(desk.clone(), look, wait, &context.stop) => ended,
        () = watching => Ended::Stopped,
    };
    for row in 0..desk.view().len() {
        if let Some(taken) = desk.taken(row) {
            context.progress.say(&words::taken(&taken));
        }
    }
    context.progress.say(words::ended(ended));
    Ok(())
}

/// The world's people answer, each handed the link that is for them.
pub(super) async fn played(context: &Context, world: &Sandbox, desk: &Desk, bar: &Bar) {
    let Ok(page) = Url::parse(LOOPBACK_PAGE) else { return };
    let mut asked = 0;
    // Longer as it goes on: an analyst's turn comes after the consent.
    while asked < desk.view().len() && context.stop.requested().is_none() {
        let rows = desk.view();
        let parallelism = usize::from(context.common.parallelism);
        stream::iter(rows.iter().enumerate().skip(asked))
            .for_each_concurrent(parallelism, async |(number, row)| {
                if context.stop.requested().is_some() {
                    return;
                }
                let page = match &row.ask.what {
                    What::AdminConsent { .. } => None,
                    What::SignIn(_) => Some(&page),
                };
                let opened = match desk.link(number, page) {
                    Ok(link) => world.open(link.as_str()),
                    Err(failure) => Opened::Shown(failure.message),
                };
                match opened {
                    Opened::Landed(address) => {
                        if let Err(why) = desk.take(&address).await {
                            desk.shown(number, &why.to_string());
                        }
                    }
                    Opened::Shown(words) => desk.shown(number, &words),
                    Opened::Nobody => {}
                }
                count(bar, desk, 0);
            })
            .await;
        asked = rows.len();
    }
}

/// Whether a browser can show itself: without a display the address alone is printed.
fn has_display() -> bool {
    if cfg!(any(target_os = "macos", target_os = "windows")) {
        return true;
    }
    ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// One question after the other: the link to stderr, the address from stdin.
pub(super) async fn paste(context: &Context, desk: &Desk, wait: Duration) {
    // Registered without a port; nobody listens there, and the address is all that is wanted.
    let Ok(redirect) = Url::parse(LOOPBACK_PAGE) else { return };
    let _unseen = Unseen::begin();
    let mut lines = lines();
    let mut number = 0;
    // Longer as it goes on: an analyst's turn comes after the consent.
    while number < desk.view().len() {
        let link = match desk.link(number, Some(&redirect)) {
            Ok(link) => link,
            Err(failure) => {
                context.progress.say(&format!("{}\n", failure.line()));
                number += 1;
                continue;
            }
        };
        if let Some(view) = desk.view().get(number) {
            context.progress.say(&words::paste(view, link.as_str()));
        }
        let tries = if context.may_ask() { TRIES } else { 1 };
        for _ in 0..tries {
            let line = tokio::select! {
                line = lines.recv() => line,
                () = tokio::time::sleep(wait) => {
                    context.progress.say(words::ended(Ended::TimeOver));
                    return;
                }
                _ = context.stop.told() => {
                    context.progress.say(words::ended(Ended::Stopped));
                    return;
                }
            };
            let Some(line) = line else {
                let command = context.common.command("consent");
                context.progress.say(&words::input_ended(&command));
                return;
            };
            // Not dropped at a signal: a code is good for one use.
            match desk.take(line.trim()).await {
                Ok((_, taken)) => {
                    context.progress.say(&words::taken(&taken));
                    break;
                }
                Err(why) => context.progress.say(&words::not_taken(&why)),
            }
        }
        number += 1;
    }
}

/// What is typed is not shown, for as long as this lives: the address holds a code, and a terminal's
/// scrollback is kept by some.
struct Unseen(Option<rustix::termios::Termios>);

impl Unseen {
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let input = std::io::stdin();
        // What is no terminal shows nothing.
        let Ok(was) = tcgetattr(&input) else { return Self(None) };
        let mut unseen = was.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        // The end of a line is shown, so that one sees that it was taken.
        unseen.local_modes.insert(LocalModes::ECHONL);
        match tcsetattr(&input, OptionalActions::Now, &unseen) {
            Ok(()) => Self(Some(was)),
            Err(_) => Self(None),
        }
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Some(was) = &self.0 {
            let input = std::io::stdin();
            // Where the terminal is gone there is nothing to mend.
            let _ = rustix::termios::tcsetattr(&input, rustix::termios::OptionalActions::Now, was);
        }
    }
}

/// Lines of stdin, bounded. A thread of its own, for the runtime would wait for its end.
fn lines() -> mpsc::Receiver<String> {
    let (to, from) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let mut bounded = std::io::Read::take(&mut input, 2 * LONGEST as u64);
            match bounded.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            if to.blocking_send(line).is_err() {
                break;
            }
        }
    });
    from
}
