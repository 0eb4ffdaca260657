//! The list of tenants whose turn it is, as a browser shows it.

use serde_json::json;
use tenantry::report::pages::{ConsentRow, ConsentView, RowKind, RowState, consent_list};

use super::driver::{Browser, JavaScript};

const HOSTILE: &str = "<img src=x onerror='window.pwned=1'></title></script><b>";

fn row(key: &str, name: &str, what: RowKind, state: RowState) -> ConsentRow {
    ConsentRow {
        key: key.parse().unwrap(),
        name: name.to_owned(),
        what,
        who: format!("an administrator of {name}"),
        state,
        start: format!("/start/{key}"),
    }
}

#[test]
fn the_list_shows_every_state_and_runs_nothing_foreign() {
    let Some(browser) = Browser::start(JavaScript::On) else { return };
    let view = ConsentView {
        fleet: "acme-soc".parse().unwrap(),
        sandbox: true,
        rows: vec![
            row("contoso", "Contoso", RowKind::AdminConsent, RowState::Open),
            row("fabrikam", "Fabrikam", RowKind::AdminConsent, RowState::Started),
            row("tailspin", "Tailspin Toys", RowKind::SignIn, RowState::Granted),
            row("evil", HOSTILE, RowKind::SignIn, RowState::Refused(HOSTILE.to_owned())),
        ],
        ends_at: jiff::Timestamp::UNIX_EPOCH,
        token: "drive".to_owned(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.html");
    std::fs::write(&path, consent_list(&view)).unwrap();
    browser.open_file(&path);
    browser.picture("list-wide");
    for (key, word) in [
        ("contoso", "○ open"),
        ("fabrikam", "◔ started"),
        ("tailspin-sign-in", "✓ done"),
        ("evil-sign-in", "✗ refused: <img"),
    ] {
        let seen = browser.text(&format!("#row-{key}"));
        assert!(seen.contains(word), "{seen}");
    }
    // Whole, as a name and in every sentence that has it.
    let evil = browser.text("#row-evil-sign-in");
    assert_eq!(evil.matches(HOSTILE).count(), 4, "{evil}");
    let buttons = browser.run("return [...document.querySelectorAll('form')].length;");
    assert_eq!(buttons, json!(3), "who is done has no button");
    assert_eq!(browser.run("return window.pwned === undefined;"), json!(true));
    browser.be_seen_on("screen", "dark");
    browser.be_a_phone();
    let wide = browser
        .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth;");
    assert_eq!(wide, json!(0));
    browser.picture("list-phone-dark");
    // Nobody answers for `state` here, as after the command has ended: it is said.
    browser.until("return !document.getElementById('gone').hidden;");
}
