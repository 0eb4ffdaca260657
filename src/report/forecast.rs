//! What ends and when, in words: on the screen, in files, for machines.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    file::markdown_text,
    paper::{Ink, Paper, shortened, word},
};
use crate::{
    ids::TenantKey,
    plan::forecast::{Cure, Due, DueKind},
    status::{Status, command},
};

/// What a person calls it.
fn what(due: &Due) -> String {
    let name = due.name.as_deref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    match due.kind {
        DueKind::ClientSecret => "client secret".to_owned(),
        DueKind::Certificate => "certificate".to_owned(),
        DueKind::RefreshToken => match &due.name {
            Some(user) => format!("refresh token of {user}, unless it is used"),
            None => "refresh token, unless it is used".to_owned(),
        },
        DueKind::ForeignSecret => format!("client secret{name}, not ours"),
        DueKind::ForeignCertificate => format!("certificate{name}, not ours"),
        DueKind::RetiringSecret => "old client secret, removed then or by a later run".to_owned(),
    }
}

/// The command that renews it; `place` are the flags that lead to the fleet.
pub(super) fn cure(due: &Due, place: &str) -> Option<String> {
    // Of an app that many use there is but one secret: any of them leads to it.
    let of_one = due.tenants.first().map(|key| format!("--tenant {key}")).unwrap_or_default();
    match due.cure {
        Cure::Apply => Some(command(place, "apply", &of_one)),
        Cure::RefreshTokens => Some(command(place, "tokens refresh", &of_one)),
        Cure::Consent => Some(command(
            place,
            "consent",
            due.tenants.first().map_or_else(String::new, ToString::to_string).as_str(),
        )),
        Cure::NotOurs | Cure::SignInOtherwise => None,
        Cure::Reveal => {
            let one = due.tenants.first().map(TenantKey::as_str).unwrap_or_default();
            Some(command(place, "reveal", &format!("{one} --field certificate")))
        }
        Cure::Export => {
            let keys: Vec<_> = due.tenants.iter().map(TenantKey::as_str).collect();
            Some(export(place, &keys))
        }
    }
}

/// The command that fills a SIEM anew; which one it is only its people know. All of many tenants are
/// chosen by naming none.
pub(super) fn export(place: &str, keys: &[&str]) -> String {
    const NAMED: usize = 5;
    let keys = if keys.len() > NAMED { String::new() } else { format!("{} ", keys.join(" ")) };
    command(place, "export", &format!("{keys}--format FORMAT"))
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Whose it is: the tenant where it is one's alone, else the app.
fn whose(due: &Due) -> &str {
    match due.tenants.as_slice() {
        [one] => one.as_str(),
        [] | [_, _, ..] => due.app.as_str(),
    }
}

/// What to do about it, as words under its day.
fn advice(due: &Due, as_of: Timestamp, place: &str) -> String {
    match (due.kind, cure(due, place)) {
        (DueKind::RetiringSecret, Some(command)) => {
            format!("the SIEM may still hold it: fill it again before: {command}")
        }
        (DueKind::RetiringSecret, None) => {
            "whoever still holds it must sign in before with a token that the app takes".to_owned()
        }
        (_, Some(command)) if due.ends <= as_of => {
            format!("ended by then; from {} on: {command}", day(due.from))
        }
        (_, Some(command)) => format!("from {} on: {command}", day(due.from)),
        (_, None) if due.ends <= as_of => "ended by then; whoever made it renews it".to_owned(),
        (_, None) => "whoever made it renews it".to_owned(),
    }
}

fn title(as_of: Timestamp, n: usize) -> String {
    format!("Ends soon, seen from {} ({n})", day(as_of))
}

/// Writes what is to be renewed by a day, first what ends first.
pub fn write(paper: &mut Paper, due: &[Due], as_of: Timestamp, place: &str) {
    const SHOWN: usize = 20;
    if due.is_empty() {
        return;
    }
    paper.gap();
    paper.line(0, &[word(Ink::Bold, title(as_of, due.len()))]);
    let column = due.iter().map(|one| whose(one).len()).max().unwrap_or(0).clamp(8, 24);
    for one in due.iter().take(SHOWN) {
        let key = shortened(whose(one), column);
        let mark = if one.ends <= as_of && one.kind.is_ours() { Ink::Bad } else { Ink::Wait };
        let words = format!("{key:<column$} {}", what(one));
        paper.say(2, Some(word(mark, day(one.ends))), &words);
        paper.say(13, None, &advice(one, as_of, place));
    }
    if let Some(more) = due.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        paper.line(2, &[word(Ink::Dim, format!("… {more} more (--json and reports list all)"))]);
    }
}

/// Writes until when old secrets of ours stay, for whoever still uses one.
pub fn retiring(paper: &mut Paper, status: &Status) {
    let retiring = status.due.iter().filter(|due| due.kind == DueKind::RetiringSecret);
    for (n, due) in retiring.enumerate() {
        if n == 0 {
            paper.gap();
        }
        let command = cure(due, &status.place);
        let what = match command {
            Some(_) => "fill the SIEM again before",
            None => "whoever still holds it must sign in before with a token that the app takes",
        };
        let line = format!("The old secret is removed on {} or later: {what}.", day(due.ends));
        paper.say(0, Some(word(Ink::Wait, "!")), &line);
        if let Some(command) = command {
            // Not wrapped: it is there to be pasted into a shell.
            paper.line(2, &[word(Ink::Plain, command)]);
        }
    }
}

/// The same as Markdown; nothing where nothing is to be renewed.
pub(super) fn markdown(due: &[Due], as_of: Timestamp, place: &str) -> String {
    if due.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {}\n\n| ends | whose | what | to do |\n", title(as_of, due.len()));
    text.push_str("|---|---|---|---|\n");
    for one in due {
        let [what, advice] =
            [what(one), advice(one, as_of, place)].map(|cell| markdown_text(&cell));
        text.push_str(&format!("| {} | {} | {what} | {advice} |\n", day(one.ends), whose(one)));
    }
    text
}

/// The same as a part of an HTML file.
pub(super) fn markup(due: &[Due], as_of: Timestamp, place: &str) -> maud::Markup {
    maud::html! {
        @if !due.is_empty() {
            section {
                h2 { (title(as_of, due.len())) }
                ul {
                    @for one in due {
                        li {
                            (day(one.ends)) " · " strong { (whose(one)) } " · "
                            (super::paper::clean(&what(one))) ": "
                            (super::paper::clean(&advice(one, as_of, place)))
                        }
                    }
                }
            }
        }
    }
}

/// The same for machines.
pub(super) fn value(due: &[Due], place: &str) -> Value {
    due.iter()
        .map(|one| {
            let mut one_value = super::json::value(one);
            one_value["command"] = json!(cure(one, place));
            one_value
        })
        .collect()
}

/// What ends first for a tenant, as fields: the day, what, the command.
pub(super) fn fields(due: &[Due], tenant: &TenantKey, place: &str) -> [String; 3] {
    due.iter().find(|one| one.tenants.contains(tenant)).map_or_else(Default::default, |one| {
        [day(one.ends), what(one), cure(one, place).unwrap_or_default()]
    })
}
