//! Asking people, in words: the pages they see, and the lines beside the terminal's bar.

use super::{
    pages::{self, ConsentRow, ConsentView, RowKind},
    paper::{Ink, Paper, clean, word},
};
use crate::{
    consent::{Ended, RowState, RowView, Screen, Taken, What},
    failure::Failure,
    ids::{FleetName, TenantKey},
    plan::manual::ManualKind,
};

/// A page as a whole document.
pub fn page(fleet: &FleetName, sandbox: bool, screen: &Screen<'_>) -> String {
    match screen {
        Screen::List { rows, ends_at, token } => pages::consent_list(&ConsentView {
            fleet: fleet.clone(),
            sandbox,
            rows: rows.iter().map(|(view, start)| row(view, start)).collect(),
            ends_at: *ends_at,
            token: (*token).to_owned(),
        }),
        Screen::Taken(Taken::Granted { tenant, kind }) => pages::consent_done(
            "Done",
            &match kind {
                ManualKind::AdminConsent => {
                    format!(
                        "Consent for {tenant} is given and shown by a token. You can close this page."
                    )
                }
                ManualKind::SignIn | ManualKind::PortalAuthorization | ManualKind::Removal => {
                    format!("You are signed in for {tenant}. You can close this page.")
                }
            },
        ),
        Screen::Taken(Taken::Refused { tenant, kind: _, why }) => {
            pages::consent_done("It came to nothing", &format!("{tenant}: {}", sentence(why)))
        }
        Screen::NotTaken(why) => {
            pages::consent_done("This is not an answer", &format!("{why}. Nothing was changed."))
        }
        Screen::NotAsked(why) => pages::consent_done("Nobody is asked for that", &sentence(why)),
        Screen::Nothing => pages::consent_done(
            "Nothing here",
            "This page is opened with the whole address that tenantry printed.",
        ),
    }
}

fn row(view: &RowView, start: &str) -> ConsentRow {
    let RowView { ask, state } = view;
    ConsentRow {
        key: ask.tenant.clone(),
        name: ask.name.clone(),
        what: match &ask.what {
            What::AdminConsent { .. } => RowKind::AdminConsent,
            What::SignIn(_) => RowKind::SignIn,
        },
        who: ask.who.clone(),
        state: match state {
            RowState::Open => pages::RowState::Open,
            RowState::Started => pages::RowState::Started,
            RowState::Granted => pages::RowState::Granted,
            RowState::Refused(why) => pages::RowState::Refused(sentence(why)),
        },
        start: start.to_owned(),
    }
}

/// What went wrong and what to do, in one line.
fn sentence(why: &Failure) -> String {
    let line = why.line();
    let line = line.trim_end_matches('.');
    match &why.hint {
        Some(hint) => {
            let mut hint = hint.trim_end_matches('.').chars();
            let first: String = hint.next().into_iter().flat_map(char::to_uppercase).collect();
            format!("{line}. {first}{}.", hint.as_str())
        }
        None => format!("{line}."),
    }
}

/// What came of an answer, for the terminal.
pub fn taken(taken: &Taken) -> String {
    let mut paper = Paper::new(100);
    match taken {
        Taken::Granted { tenant, kind } => {
            let what = match kind {
                ManualKind::AdminConsent => "consent is given",
                ManualKind::SignIn | ManualKind::PortalAuthorization | ManualKind::Removal => {
                    "the analyst is signed in"
                }
            };
            paper.say(0, Some(word(Ink::Good, "✓")), &format!("{tenant}: {what}"));
        }
        Taken::Refused { tenant, kind, why } => {
            let what = match kind {
                ManualKind::AdminConsent => "no consent",
                ManualKind::SignIn | ManualKind::PortalAuthorization | ManualKind::Removal => {
                    "no sign-in"
                }
            };
            let line = format!("{tenant}: {what}: {}", clean(&why.line()));
            paper.say(0, Some(word(Ink::Bad, "×")), &line);
            if let Some(hint) = &why.hint {
                paper.say(2, Some(word(Ink::Bold, "Do:")), hint);
            }
        }
    }
    paper.into_text()
}

/// How to reach the page.
pub fn address(address: &str, people: usize) -> String {
    let mut paper = Paper::new(100);
    let steps = super::plan::count(people, "step");
    paper.line(0, &[word(Ink::Plain, format!("{steps} for people, on this machine's own page:"))]);
    paper.line(2, &[word(Ink::Plain, address)]);
    paper.into_text()
}

/// How to answer one question by hand.
pub fn paste(view: &RowView, link: &str) -> String {
    let RowView { ask, state: _ } = view;
    let what = match &ask.what {
        What::AdminConsent { .. } => format!("{}: {} consents", ask.tenant, ask.who),
        What::SignIn(reader) => format!("{}: {} signs in", ask.tenant, reader.user),
    };
    let mut paper = Paper::new(100);
    paper.say(0, None, &format!("{what}. Open this in a browser:"));
    // Not wrapped: it is there to be copied.
    paper.line(2, &[word(Ink::Plain, link)]);
    paper.say(
        0,
        None,
        "The browser ends on an address that begins with http://localhost/tenantry and shows no page. Paste that address here:",
    );
    paper.into_text()
}

/// Why nobody is waited for any more.
pub const fn ended(ended: Ended) -> &'static str {
    match ended {
        Ended::Answered => "",
        Ended::TimeOver => "The time to answer is over; --wait gives more.\n",
        Ended::Stopped => "Told to stop: nobody is waited for any more.\n",
    }
}

/// Who has not answered when waiting ended, and what it may be.
pub fn silent(rows: &[RowView]) -> String {
    let waiting: Vec<&RowView> =
        rows.iter().filter(|row| matches!(row.state, RowState::Open | RowState::Started)).collect();
    let mut paper = Paper::new(100);
    if waiting.is_empty() {
        return paper.into_text();
    }
    paper.line(0, &[word(Ink::Wait, format!("Not answered ({})", waiting.len()))]);
    for row in &waiting {
        let how = match row.state {
            RowState::Started => "began, and did not come back",
            RowState::Open | RowState::Granted | RowState::Refused(_) => "did not begin",
        };
        paper.say(2, None, &format!("{}: {} {how}", row.ask.tenant, row.ask.who));
    }
    if waiting.iter().any(|row| row.state == RowState::Started) {
        paper.say(
            0,
            None,
            "What Microsoft refuses on its own page never comes back here: AADSTS50011 (the redirect URI is not registered yet: apply, or wait a minute), AADSTS700016 (the app is not known in that directory: its administrator consents first).",
        );
    }
    paper.into_text()
}

/// A tenant that was named, where it is nobody's turn.
pub fn nobodys_turn(tenant: &TenantKey) -> String {
    format!("{tenant}: it is nobody's turn to consent or sign in; tenantry explain {tenant}\n")
}

/// Analysts whose turn it is where nobody can be asked.
pub fn sign_in_elsewhere(tenant: &TenantKey, user: &str, command: &str) -> String {
    clean(&format!(
        "{tenant}: {user} signs in: {command} {tenant} (in a terminal, or with --paste)"
    )) + "\n"
}

/// An address that was pasted and is none.
pub fn not_taken(why: &crate::consent::Unreadable) -> String {
    let mut paper = Paper::new(100);
    paper.say(0, Some(word(Ink::Bad, "not taken:")), &format!("{why}; nothing was kept"));
    paper.say(
        2,
        Some(word(Ink::Bold, "Do:")),
        "open the link above, and give the whole address that this very browser ends on",
    );
    paper.into_text()
}

/// Links whose addresses nobody gave, before the input ended.
pub fn input_ended(command: &str) -> String {
    let mut paper = Paper::new(100);
    paper.say(
        0,
        Some(word(Ink::Bad, "no address:")),
        "standard input ended before every link had its address; what is not answered is listed",
    );
    let again = format!(
        "{command} KEY --paste prints a new link, and reads the address that the browser ended on"
    );
    paper.say(2, Some(word(Ink::Bold, "Do:")), &again);
    paper.into_text()
}

/// Tenants whose administrator is asked on a page, where none can be opened.
pub fn no_page(tenants: &[TenantKey]) -> String {
    let keys: Vec<&str> = tenants.iter().map(|key| key.as_str()).collect();
    let mut paper = Paper::new(100);
    paper.say(
        0,
        None,
        &format!(
            "no terminal to ask in: no page opens and nobody is waited for. {} get{} a link to send \
             instead: {}",
            super::plan::count(keys.len(), "tenant"),
            if keys.len() == 1 { "s" } else { "" },
            keys.join(", ")
        ),
    );
    paper.into_text()
}
