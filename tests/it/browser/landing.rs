//! The page that `export --format consent-page` writes, as an administrator lands on it.

use serde_json::json;

use super::driver::{Browser, JavaScript};
use crate::stage::{ONE, Stage};

fn page(stage: &Stage) -> String {
    stage.run(&["export", "contoso", "--format", "consent-page", "--out", "thanks.html"]).exits(0);
    assert!(stage.sandbox.requests().is_empty(), "nobody is contacted");
    format!("file://{}", stage.path("thanks.html").display())
}

#[test]
fn the_landing_page_tells_thanks_from_declined() {
    let Some(browser) = Browser::start(JavaScript::On) else { return };
    let stage = Stage::new(ONE);
    let page = page(&stage);
    for (query, title) in [
        ("?admin_consent=True&tenant=x&state=s", "✓ Thank you: accepted"),
        // Version 2 says admin_consent=True with an error too; the error is what counts.
        ("?admin_consent=True&error=consent_required", "✗ Not accepted"),
        ("?error=permission_denied&error_description=The+admin+canceled", "✗ Not accepted"),
        ("", "Thank you for your time"),
    ] {
        browser.open(&format!("{page}{query}"));
        assert_eq!(browser.text("h1:not([hidden] h1)"), title, "{query}");
        assert!(browser.text("main").contains("acme-soc.example"), "{query}");
    }
    browser.picture("landing");
    browser.open(&format!("{page}?error=<img+src=x+onerror='window.pwned=1'>"));
    assert!(!browser.text("body").contains("img"), "nothing of the address is shown");
    assert_eq!(browser.run("return window.pwned === undefined;"), json!(true));
}

#[test]
fn the_landing_page_is_sensible_without_javascript() {
    let Some(browser) = Browser::start(JavaScript::Off) else { return };
    let stage = Stage::new(ONE);
    browser.open(&format!("{}?error=access_denied", page(&stage)));
    let seen = browser.text("body");
    assert!(seen.contains("If you accepted, nothing is left for you to do."), "{seen}");
    assert!(!seen.contains("accepted the request"), "{seen}");
}

#[test]
fn a_key_that_nobody_has_exports_nothing() {
    let stage = Stage::new(ONE);
    let ran = stage.run(&["export", "contosso", "--format", "consent-page"]).exits(64);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("no tenant of the manifest answers to contosso"), "{}", ran.stderr);
}
