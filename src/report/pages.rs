//! The pages that people see while they consent: the list on loopback, the page a browser ends
//! on, and the static page that the customer's administrator lands on.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    html::{Document, Script, document},
    paper::clean,
    plan::count,
};
use crate::ids::{FleetName, TenantKey};

/// Headers that go with every page from loopback, for what a page cannot say of itself: nobody
/// frames it, nothing guesses its type, its address goes to no other origin, nothing keeps it.
pub const HEADERS: [(&str, &str); 5] = [
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    // Not `no-referrer`: forms would be sent with `Origin: null`, and the list checks origins.
    ("referrer-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Which person's step a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// The customer's administrator consents.
    AdminConsent,
    /// The analyst signs in.
    SignIn,
}

/// How far a row has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowState {
    /// Nobody has begun.
    Open,
    /// Somebody was sent to Microsoft's page and has not come back.
    Started,
    /// Done, and proved by a token.
    Granted,
    /// It came to nothing: why, in one sentence.
    Refused(String),
}

/// A tenant whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRow {
    /// Its key.
    pub key: TenantKey,
    /// What people call it.
    pub name: String,
    /// Which step.
    pub what: RowKind,
    /// Who takes it.
    pub who: String,
    /// How far it is.
    pub state: RowState,
    /// Where the row's form is posted to, with the view's token in the field `token`; the answer
    /// is a redirect to Microsoft's page.
    pub start: String,
}

/// The list as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentView {
    /// The fleet.
    pub fleet: FleetName,
    /// Whether all this is played in the sandbox.
    pub sandbox: bool,
    /// Who is waited for, in the order of the manifest.
    pub rows: Vec<ConsentRow>,
    /// When nobody is waited for any more.
    pub ends_at: Timestamp,
    /// What a form must bring along, so that no other site can drive the page.
    pub token: String,
}

impl ConsentView {
    fn left(&self) -> usize {
        let open = |row: &&ConsentRow| match row.state {
            RowState::Open | RowState::Started => true,
            RowState::Granted | RowState::Refused(_) => false,
        };
        self.rows.iter().filter(open).count()
    }
}

/// The list of tenants whose turn it is, a button each.
///
/// It lives by asking `state` (beside its own address, with the same query) every two seconds: any
/// text; where it differs from the last one, the page is fetched again and its list replaced. So
/// that answer may say as little as a counter. Without JavaScript the page loads itself again.
pub fn consent_list(view: &ConsentView) -> String {
    let left = view.left();
    let body = html! {
        main id="list" data-left=(left) {
            @if view.sandbox {
                p.sandbox {
                    "sandbox: Microsoft in a box. Nothing here is real, and each button opens a page \
                     of the sandbox."
                }
            }
            h1 { "Consent for " (view.fleet) }
            p role="status" {
                @if left == 0 {
                    "Nobody is waited for any more. You can close this page."
                } @else {
                    (count(left, "step")) " left. This page waits until "
                    (view.ends_at.strftime("%H:%M")) " UTC and changes by itself."
                }
            }
            p.soft {
                "Each button opens Microsoft's page in a new tab. Sign in there as the person named \
                 beside it, in that customer's directory, and come back here."
            }
            ul.rows {
                @for row in &view.rows { (consent_row(row, &view.token)) }
            }
        }
        p.soft hidden id="gone" role="status" {
            "tenantry does not answer any more: the command has ended, or its time is over. Its own \
             last lines say what came of it. You can close this page."
        }
    };
    document(Document {
        title: &format!("Consent · {}", view.fleet),
        class: "page",
        style: include_str!("pages/list.css"),
        script: Script::Asking(include_str!("pages/list.js")),
        head: html! {
            @if left > 0 { noscript { meta http-equiv="refresh" content="3"; } }
        },
        body,
    })
}

fn consent_row(row: &ConsentRow, token: &str) -> Markup {
    let ConsentRow { key, name, what, who, state, start } = row;
    let step = match what {
        RowKind::AdminConsent => "consents",
        RowKind::SignIn => "signs in, to read this customer's incidents",
    };
    let (class, mark, word) = match state {
        RowState::Open => ("wait", "○", "open"),
        RowState::Started => ("wait", "◔", "started: waiting for Microsoft's answer"),
        RowState::Granted => ("good", "✓", "done"),
        RowState::Refused(_) => ("bad", "✗", "refused"),
    };
    let button = match state {
        RowState::Open => Some("Open Microsoft's page"),
        RowState::Started => Some("Open it again"),
        RowState::Refused(_) => Some("Try again"),
        RowState::Granted => None,
    };
    // A tenant may be on the list twice: its administrator, then its analyst.
    let id = match what {
        RowKind::AdminConsent => key.to_string(),
        RowKind::SignIn => format!("{key}-sign-in"),
    };
    html! {
        li id={ "row-" (id) } data-state=(word) {
            div {
                strong { (clean(name)) } " " code.soft { (key) }
                br;
                (clean(who)) " " (step)
                br;
                span class=(class) { span.mark aria-hidden="true" { (mark) } " " (word) }
                @if let RowState::Refused(why) = state { ": " (clean(why)) }
            }
            @if let Some(words) = button {
                form method="post" action=(start) target="_blank" rel="noopener" {
                    input type="hidden" name="token" value=(token);
                    button id={ "start-" (id) } { (words) span.away { " for " (clean(name)) } }
                }
            }
        }
    }
}

/// The page that a browser lands on when it comes back: a heading and a text, neither believed.
pub fn consent_done(title: &str, text: &str) -> String {
    let title = clean(title);
    document(Document {
        title: &title,
        class: "page",
        style: "",
        script: Script::None,
        head: html! {},
        body: html! { main { h1 { (title) } p { (clean(text)) } } },
    })
}

/// The static page that the customer's administrator lands on after answering Microsoft's question.
/// It proves nothing and stores nothing: it only tells thanks from declined, by the address's
/// `error` and `admin_consent`, in that order (an error comes with `admin_consent=True` too). Nothing
/// else of the address is read, and nothing of it is shown. `provider` is named where given.
pub fn landing(provider: Option<&str>) -> String {
    let provider = provider.map_or_else(|| "your security provider".to_owned(), clean);
    document(Document {
        title: "Consent",
        class: "page",
        style: "",
        script: Script::Lines(include_str!("pages/landing.js")),
        head: html! {},
        body: html! {
            main {
                div data-when="unclear" {
                    h1 { "Thank you for your time" }
                    p {
                        "Your answer to the request of " (provider) " was given on Microsoft's page \
                         and is recorded there. If you accepted, nothing is left for you to do."
                    }
                }
                div data-when="granted" hidden {
                    h1 { span.good { span.mark aria-hidden="true" { "✓" } } " Thank you: accepted" }
                    p {
                        "Microsoft reports that you accepted the request of " (provider)
                        ". They will see it by themselves; nothing is left for you to do."
                    }
                }
                div data-when="declined" hidden {
                    h1 { span.bad { span.mark aria-hidden="true" { "✗" } } " Not accepted" }
                    p {
                        "Microsoft reports that the request of " (provider) " was not accepted. \
                         Nothing was granted. If that was not what you wanted, open the link that \
                         you were sent again, or ask them."
                    }
                }
                p.soft { "You can close this page." }
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</title><script>alert(1)</script>\" onload='x'\u{202e}";

    fn view(state: RowState) -> ConsentView {
        ConsentView {
            fleet: "acme-soc".parse().unwrap(),
            sandbox: true,
            rows: vec![ConsentRow {
                key: "contoso".parse().unwrap(),
                name: HOSTILE.to_owned(),
                what: RowKind::SignIn,
                who: HOSTILE.to_owned(),
                state,
                start: "/start/contoso".to_owned(),
            }],
            ends_at: Timestamp::UNIX_EPOCH,
            token: "drive".to_owned(),
        }
    }

    /// Foreign text is text: no tag, no attribute, nothing that turns the writing direction.
    #[track_caller]
    fn harmless(page: &str) {
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("\" onload"), "{page}");
        assert!(!page.contains('\u{202e}'), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    }

    #[test]
    fn foreign_text_is_only_text_on_every_page() {
        harmless(&consent_list(&view(RowState::Refused(HOSTILE.to_owned()))));
        harmless(&consent_done(HOSTILE, HOSTILE));
        harmless(&landing(Some(HOSTILE)));
    }

    #[test]
    fn a_row_has_a_button_until_it_is_done() {
        let open = consent_list(&view(RowState::Open));
        assert!(open.contains(r#"action="/start/contoso""#), "{open}");
        assert!(open.contains(r#"name="token" value="drive""#), "{open}");
        assert!(open.contains("http-equiv=\"refresh\""), "{open}");
        let done = consent_list(&view(RowState::Granted));
        assert!(!done.contains("<form"), "{done}");
        assert!(!done.contains("http-equiv=\"refresh\""), "{done}");
    }

    #[test]
    fn the_landing_page_names_nobody_whom_it_was_not_given() {
        assert!(landing(None).contains("your security provider"));
        assert!(landing(Some("acme-soc.example")).contains("request of acme-soc.example"));
    }
}
