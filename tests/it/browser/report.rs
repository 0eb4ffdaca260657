//! The HTML report of a real status.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::driver::{Browser, JavaScript};
use crate::stage::{CONTOSO, Stage};

/// A name that would run something and break the page's frame, were it not only text.
const HOSTILE: &str = "<img src=x onerror='window.pwned=1'></title></script><b>";

const MANIFEST: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  displayName: "{key} connector"
  redirectUris: ["https://{domain}/SiemMsspConnector"]
  signInAs: soc-reader@acme-soc.example
tenants:
  contoso: {name: Contoso, domain: contoso.example}
  fabrikam: {name: Fabrikam, domain: fabrikam.example}
  tailspin: {name: Tailspin Toys, domain: tailspin.example, connector: mssp-siem}
  initech: {name: Initech, domain: initech.example, connector: mssp-siem}
  globex: {name: Globex, domain: globex.example}
  northwind: {name: "<img src=x onerror='window.pwned=1'></title></script><b>", domain: northwind.example}
"#;

/// A fleet in several states and its report: one tenant reads, one is refused, the others wait.
fn report(stage: &Stage) -> PathBuf {
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    let globex = "6f1c0f5e-0000-4000-8000-000000000004";
    stage.consent(globex, "globex");
    stage.run(&["status", "--report", "report.html"]).exits(0);
    stage.path("report.html")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

const SHOWN: &str = "return document.querySelectorAll('tbody:not([hidden])').length;";

#[test]
fn the_report_is_searched_filtered_and_copied_from() {
    let Some(browser) = Browser::start(JavaScript::On) else { return };
    let stage = Stage::with_vault(MANIFEST);
    browser.open_file(&report(&stage));
    browser.picture("report-wide");

    assert_eq!(number(&browser.run(SHOWN)), 6);
    browser.type_into("#text", "TOYS tailspin");
    assert_eq!(number(&browser.run(SHOWN)), 1);
    assert_eq!(browser.text("#shown"), "1 of 6 shown");
    let items = "return [...document.querySelectorAll('#portal li:not([hidden])')].length;";
    assert_eq!(number(&browser.run(items)), 1, "the lists follow the filter");
    browser.empty("#text");
    browser.type_into("#text", "nobody is called so");
    assert_eq!(browser.text("#none"), "No tenant is like that.");
    browser.empty("#text");
    browser.click("#state option[value=reading]");
    assert_eq!(number(&browser.run(SHOWN)), 1);
    assert!(browser.text("tbody:not([hidden])").starts_with("Contoso"));
    browser.click("#state option[value='']");
    browser.click("#turn option[value=customer-admin]");
    assert_eq!(number(&browser.run(SHOWN)), 4);
    browser.click("#turn option[value='']");

    // A cell leads to its evidence, which is shut away until then.
    let shown = "return document.getElementById('contoso.access').checkVisibility();";
    assert_eq!(browser.run(shown), json!(false));
    browser.click("tbody[data-t=contoso] a[href='#contoso.access']");
    browser.until(shown);
    browser.picture("report-open");

    // What was copied is what a paste brings.
    let wanted = browser.text("#portal li[data-t=initech] dd code");
    browser.click("#portal li[data-t=initech] dd button");
    browser.until("return document.getElementById('said').textContent === 'Copied.';");
    browser.type_into("#text", "\u{e009}v\u{e000}");
    assert_eq!(browser.run("return document.getElementById('text').value;"), json!(wanted));
}

#[test]
fn the_report_reads_on_a_phone_in_the_dark_and_on_paper() {
    let Some(browser) = Browser::start(JavaScript::On) else { return };
    let stage = Stage::with_vault(MANIFEST);
    browser.open_file(&report(&stage));
    enough_contrast(&browser, "light");
    browser.be_seen_on("screen", "dark");
    let paper = browser.run("return getComputedStyle(document.body).backgroundColor;");
    assert_eq!(paper, json!("rgb(13, 17, 23)"));
    enough_contrast(&browser, "dark");
    browser.picture("report-dark");

    browser.be_a_phone();
    for state in ["shut", "open"] {
        let wide = browser.run(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth;",
        );
        assert_eq!(wide, json!(0), "{state}: nothing is wider than the screen");
        browser.picture(&format!("report-phone-{state}"));
        browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; });");
    }
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = false; });");
    browser.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));

    // On paper all is there, though it was shut away, and nothing that only a finger can use.
    browser.be_seen_on("print", "light");
    let printed = "const s = (e) => e.checkVisibility({contentVisibilityAuto: true});
        const cards = [...document.querySelectorAll('.cards > div')];
        return cards.length > 0 && cards.every(s) && !s(document.getElementById('filter'))
          && ![...document.querySelectorAll('button.c')].some(s);";
    browser.until(printed);
    browser.picture("report-print");
    browser.be_seen_on("", "light");
    assert!(browser.print("report") > 0);
}

#[test]
fn the_report_says_all_without_javascript() {
    let Some(browser) = Browser::start(JavaScript::Off) else { return };
    let stage = Stage::with_vault(MANIFEST);
    browser.open_file(&report(&stage));
    browser.picture("report-no-javascript");
    assert_eq!(
        browser.run("return document.documentElement.classList.contains('js');"),
        json!(false),
        "JavaScript is off"
    );
    let seen = browser.text("body");
    for text in ["6 tenants:", "Contoso", "Tailspin Toys", "Portal authorization (2)"] {
        assert!(seen.contains(text), "{text} is missing in\n{seen}");
    }
    assert!(!seen.contains("Whose turn"), "no filter that does nothing:\n{seen}");
    assert!(!seen.contains("copy\n"), "no button that does nothing:\n{seen}");
    browser.click("tbody[data-t=contoso] summary");
    let opened = browser.text("tbody[data-t=contoso] .cards");
    assert!(opened.contains("proved"), "{opened}");
    let select =
        browser.run("return getComputedStyle(document.querySelector('#portal .v')).userSelect;");
    assert_eq!(select, json!("all"), "one click takes a value as a whole");
}

#[test]
fn a_hostile_name_is_a_name_and_the_report_asks_nobody() {
    let Some(browser) = Browser::start(JavaScript::On) else { return };
    let stage = Stage::with_vault(MANIFEST);
    let path = report(&stage);
    browser.open_file(&path);
    assert!(browser.text("tbody[data-t=northwind] th").starts_with(HOSTILE));
    assert_eq!(browser.run("return window.pwned === undefined;"), json!(true));
    assert_eq!(browser.run("return document.images.length;"), json!(0));
    let asked = browser.run("return performance.getEntriesByType('resource').map((e) => e.name);");
    assert_eq!(asked, json!([]));
    // The policy holds even if the escaping did not: what is put in runs nothing and loads nothing.
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'window.pwned = 2';
         document.body.append(s);
         document.body.insertAdjacentHTML('beforeend', \"<img src=x onerror='window.pwned=3'>\");",
    );
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(browser.run("return window.pwned === undefined;"), json!(true));
}

/// Every text against what it stands on: 4.5 to 1 (WCAG 2.2, 1.4.3 AA).
#[track_caller]
fn enough_contrast(browser: &Browser, name: &str) {
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; });");
    let poor = browser.run(
        "const parts = (c) => c.match(/[\\d.]+/g).map(Number);
         const light = (c) => { const [r, g, b] = parts(c).slice(0, 3).map((v) => v / 255)
             .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
             return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
         const under = (e) => { for (; e; e = e.parentElement) {
             const c = getComputedStyle(e).backgroundColor;
             if (parts(c)[3] !== 0) return c; } return 'rgb(255, 255, 255)'; };
         const poor = new Set();
         for (const e of document.querySelectorAll('body *')) {
           const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
           if (!own || !e.checkVisibility()) continue;
           const [a, b] = [light(getComputedStyle(e).color), light(under(e))];
           const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
           if (ratio < 4.5) poor.add(`${e.tagName}.${e.className}: ${ratio.toFixed(2)}`);
         }
         document.querySelectorAll('details').forEach((d) => { d.open = false; });
         return [...poor];",
    );
    assert_eq!(poor, json!([]), "{name}");
}
