//! The whole story, clicked through: the real binary at a terminal, its page on loopback, the
//! sandbox's pages for Microsoft's, and people who press buttons.

use serde_json::{Value, json};
use tenantry::sandbox::NewDirectory;
use url::Url;

use super::{
    driver::{Browser, JavaScript},
    terminal::Terminal,
};
use crate::stage::{CONTOSO, HOME, Stage, directory, directory_mut};

const FABRIKAM: &str = "6f1c0f5e-0000-4000-8000-000000000002";
const GLOBEX: &str = "6f1c0f5e-0000-4000-8000-000000000004";

const READER: &str = "soc-reader@acme-soc.example";

const MANIFEST: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  redirectUris: ["https://{domain}/SiemMsspConnector"]
  signInAs: soc-reader@acme-soc.example
  consent: {strategy: browser}
tenants:
  contoso: {name: Contoso, domain: contoso.example}
  fabrikam: {name: Fabrikam, domain: fabrikam.example, connector: mssp-siem}
"#;

/// A fleet whose apps are registered, and whose people have not been asked; both customers invited
/// the analyst.
fn registered() -> Stage {
    let stage = Stage::with_vault(MANIFEST);
    let invited = [(CONTOSO, "Contoso"), (FABRIKAM, "Fabrikam")].map(|(id, name)| NewDirectory {
        id: Some(id.to_owned()),
        domain: None,
        name: name.to_owned(),
        home: false,
        users: vec![READER.to_owned()],
    });
    stage.sandbox.ensure_directories(&invited).unwrap();
    stage.run(&["apply", "--yes"]).exits(0);
    stage
}

/// `tenantry consent` at a terminal, without a display: the page's address is printed only.
fn consent(stage: &Stage, arguments: &[&str]) -> Terminal {
    let arguments = [&["consent", "--wait", "50s"], arguments].concat();
    Terminal::start(&stage.command(&arguments))
}

/// Presses a row's button, and looks at the tab that opens.
fn begin(browser: &Browser, row: &str) {
    browser.click(&format!("#start-{row}"));
    browser.see_the_new_tab();
    browser.until_there("#sign-in");
}

fn sign_in(browser: &Browser, who: &str) {
    browser.click(&format!("input[name=account][value='{who}']"));
    browser.click("#sign-in");
}

#[test]
fn people_answer_on_the_list_until_nobody_is_left() {
    let Some(browser) = Browser::start(JavaScript::On) else { return };
    let stage = registered();
    let terminal = consent(&stage, &[]);
    browser.open(&terminal.address());
    browser.until_said("#row-contoso", "open");

    // Not in the page's text, so only the same element has it.
    browser.run("document.getElementById('row-fabrikam').marked = true;");
    begin(&browser, "contoso");
    browser.picture("story-sign-in");
    sign_in(&browser, "admin@contoso.example");
    browser.until_there("#accept");
    browser.picture("story-consent");
    let asked = browser.text("main");
    for words in ["Contoso", "SecurityIncident.Read.All", "unverified", "without a signed-in user"]
    {
        assert!(asked.contains(words), "{words} is missing in\n{asked}");
    }
    browser.click("#accept");
    browser.until_said("h1", "Done");
    browser.picture("story-done");
    browser.close_the_tab();
    // The list changes by itself.
    browser.until_said("#row-contoso", "done");
    let marked = "return document.getElementById('row-fabrikam').marked === true;";
    assert_eq!(browser.run(marked), json!(true), "nobody took away what may just be pressed");

    begin(&browser, "fabrikam");
    sign_in(&browser, "admin@fabrikam.example");
    browser.until_there("#accept");
    browser.click("#accept");
    browser.until_said("h1", "Done");
    browser.close_the_tab();
    // Now it is the analyst's turn, as the one whom the manifest names.
    browser.until_said("#row-fabrikam-sign-in", "soc-reader@acme-soc.example signs in");
    browser.picture("story-list");
    begin(&browser, "fabrikam-sign-in");
    let chosen = "return document.querySelector('input[name=account]:checked').value;";
    assert_eq!(browser.run(chosen), json!(READER));
    browser.click("#sign-in");
    browser.until_said("h1", "Done");
    let address = browser.address();
    assert!(!address.contains("code=") && !address.contains("state="), "no code stays: {address}");
    browser.close_the_tab();
    browser.until_said("#list", "Nobody is waited for any more");

    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("contoso: consent is given"), "{screen}");
    assert!(screen.contains("fabrikam: the analyst is signed in"), "{screen}");
    assert_eq!(states(&stage), json!({"contoso": "reading", "fabrikam": "action-due"}));
}

/// What status says of each tenant, in one word.
fn states(stage: &Stage) -> Value {
    let status = stage.run(&["status", "--json"]).exits(0).json();
    let tenants = status["tenants"].as_array().unwrap().iter();
    tenants.map(|t| (t["key"].as_str().unwrap().to_owned(), t["overall"].clone())).collect()
}

/// The apps of the provider that a directory knows.
fn known_in(stage: &Stage, tenant: &str) -> Vec<Value> {
    let world = stage.sandbox.world();
    let principals = directory(&world, tenant)["servicePrincipals"].as_array().cloned();
    let mut principals = principals.unwrap_or_default();
    principals.retain(|principal| principal["appOwnerOrganizationId"] == HOME);
    principals.into_iter().map(|principal| principal["appId"].clone()).collect()
}

#[test]
fn a_declined_consent_is_told_and_may_be_tried_again() {
    let Some(browser) = Browser::start(JavaScript::On) else { return };
    let stage = registered();
    let terminal = consent(&stage, &[]);
    browser.open(&terminal.address());
    begin(&browser, "contoso");
    sign_in(&browser, "admin@contoso.example");
    browser.until_there("#accept");
    browser.click("#cancel");
    browser.until_said("h1", "It came to nothing");
    let said = browser.text("main");
    assert!(said.contains("The admin canceled the request"), "{said}");
    browser.picture("story-declined");
    browser.close_the_tab();
    browser.until_said("#row-contoso", "refused: ");
    browser.picture("story-list-declined");
    assert_eq!(known_in(&stage, CONTOSO), Vec::<Value>::new());
    assert!(browser.text("#start-contoso").starts_with("Try again"));

    // Left on the sign-in page, before anybody is known.
    begin(&browser, "fabrikam");
    browser.click("#cancel");
    browser.until_said("h1", "It came to nothing");
    browser.close_the_tab();
    browser.until_said("#list", "Nobody is waited for any more");

    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("contoso: no consent"), "{screen}");
    assert!(screen.contains("The admin canceled the request"), "{screen}");
    // Silence and a no are told apart.
    let status = stage.run(&["status", "--json"]).exits(0).json();
    let consent = &status["tenants"][0]["facets"]["consent"];
    assert!(consent["evidence"]["what"].as_str().unwrap().contains("declined"), "{consent:#}");
}

/// The link that a button leads to, opened in another directory.
fn elsewhere(browser: &Browser, directory: &str) -> String {
    let mut link = Url::parse(&browser.address()).unwrap();
    let path: Vec<_> = link.path_segments().unwrap().skip(1).collect();
    let path = format!("/{directory}/{}", path.join("/"));
    link.set_path(&path);
    link.into()
}

#[test]
fn an_answer_of_the_wrong_directory_is_told_and_leaves_nothing_here() {
    let Some(browser) = Browser::start(JavaScript::On) else { return };
    let stage = registered();
    let terminal = consent(&stage, &[]);
    browser.open(&terminal.address());

    // The administrator of another customer got hold of the link.
    begin(&browser, "contoso");
    browser.open(&elsewhere(&browser, GLOBEX));
    sign_in(&browser, "admin@globex.example");
    browser.until_there("#accept");
    browser.click("#accept");
    browser.until_said("h1", "It came to nothing");
    browser.picture("story-wrong-directory");
    let client = stage.app("contoso")["appId"].as_str().unwrap().to_owned();
    let told = [
        format!("directory {GLOBEX} answered for Contoso (contoso, directory {CONTOSO})"),
        "nothing was stored".to_owned(),
        format!(
            "enterprise application \"Contoso SIEM MSSP Connector\" with application id {client}"
        ),
    ];
    let page = browser.text("main");
    for words in &told {
        assert!(page.contains(words), "{words} is missing in\n{page}");
    }
    assert_eq!(known_in(&stage, GLOBEX), [json!(client)], "what was left behind is there");
    assert_eq!(known_in(&stage, CONTOSO), Vec::<Value>::new());
    browser.close_the_tab();
    browser.until_said("#row-contoso", "answered for Contoso");

    // The right one consents for Fabrikam; the analyst's link is opened without its directory.
    begin(&browser, "fabrikam");
    sign_in(&browser, "admin@fabrikam.example");
    browser.until_there("#accept");
    browser.click("#accept");
    browser.until_said("h1", "Done");
    browser.close_the_tab();
    browser.until_there("#start-fabrikam-sign-in");
    begin(&browser, "fabrikam-sign-in");
    browser.open(&elsewhere(&browser, "organizations"));
    sign_in(&browser, "admin@acme-soc.example");
    browser.until_there("#accept");
    browser.picture("story-choice");
    browser.click("#accept");
    browser.until_said("h1", "It came to nothing");
    browser.picture("story-wrong-directory-sign-in");
    let page = browser.text("main");
    for words in ["AADSTS700005", "signed in to another directory than Fabrikam"] {
        assert!(page.contains(words), "{words} is missing in\n{page}");
    }
    browser.close_the_tab();

    let (code, screen) = terminal.end();
    // One step was done, others were refused.
    assert_eq!(code, 4, "{screen}");
    for words in &told {
        assert!(screen.contains(words), "{words} is missing in\n{screen}");
    }
    let status = stage.run(&["status", "--json"]).exits(0).json();
    let summary = &status["summary"];
    assert_eq!(summary["needAdminConsent"], json!(["contoso"]), "{status:#}");
    assert_eq!(summary["needSignIn"], json!(["fabrikam"]), "{status:#}");
    let token = &status["tenants"][1]["facets"]["token"];
    assert_eq!(token["evidence"]["what"], "the vault holds no refresh token");
}

/// The world without one directory's portal.
fn but_the_portal(stage: &Stage, tenant: &str) -> (Value, Value) {
    let mut world = stage.sandbox.world();
    let portal = directory_mut(&mut world, tenant)["people"]["portal"].take();
    (world, portal)
}

/// What status says, without when it looked.
fn timeless(mut status: Value) -> Value {
    match &mut status {
        Value::Object(members) => {
            members.retain(|name, _| name != "at" && name != "asOf" && name != "checkedAt");
            members.values_mut().for_each(|member| *member = timeless(member.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = timeless(item.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    status
}

#[test]
fn the_portal_page_changes_nothing_but_its_own_directorys_portal() {
    let Some(browser) = Browser::start(JavaScript::On) else { return };
    let stage = registered();
    let status = || stage.run(&["status", "--json"]).exits(0).json();
    let before = status();
    let step = &before["tenants"][1]["facets"]["portal"]["nextStep"];
    let world = but_the_portal(&stage, FABRIKAM);
    // The link that status gives is the one that people open, with the values to paste.
    browser.open(step["link"].as_str().unwrap());
    browser.picture("story-portal");
    assert!(browser.text("main").contains("Fabrikam"));
    browser.type_into("input[name=application]", "not an id");
    browser.type_into("input[name=tenant]", HOME);
    browser.click("#authorize");
    browser.until_said("#refused", "Both must be ids");
    assert_eq!(but_the_portal(&stage, FABRIKAM), world);
    browser
        .type_into("input[name=application]", step["values"]["application id"].as_str().unwrap());
    browser.type_into("input[name=tenant]", step["values"]["tenant id (yours)"].as_str().unwrap());
    browser.click("#authorize");
    browser.until_said("#done", "authorized");
    browser.picture("story-portal-done");
    let after = but_the_portal(&stage, FABRIKAM);
    assert_eq!(after.1, json!("done"));
    assert_ne!(world.1, after.1);
    assert_eq!(world.0, after.0, "nothing else changed");
    // No call shows it, so status says what it said.
    assert_eq!(timeless(status()), timeless(before));
}
