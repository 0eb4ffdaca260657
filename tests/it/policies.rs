//! App management policies of the directory in which the apps live: read before the plan, obeyed by
//! it, enforced by the box, and named where they could only be met.

use serde_json::{Value, json};

use crate::stage::{HOME, ONE, Ran, Stage, directory, directory_mut};

const POLICY: &str = "8f2c0000-0000-4000-8000-000000000001";
const CREATED_LATER: &str = "2040-01-01T00:00:00Z";

/// The home's default policy, with these restrictions on applications.
fn set_default(stage: &Stage, restrictions: &Value) {
    stage.change_world(|world| {
        directory_mut(world, HOME)["policies"]["default"] = json!({
            "id": POLICY, "displayName": "House rules", "description": null, "isEnabled": true,
            "applicationRestrictions": restrictions,
            "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
        });
    });
}

fn secrets(entries: &Value) -> Value {
    json!({"passwordCredentials": entries, "keyCredentials": []})
}

fn redirects(rules: &Value) -> Value {
    json!({"passwordCredentials": [], "keyCredentials": [], "redirectUris": rules})
}

/// The only app's codes in `plan --json`, and its kinds of steps.
fn planned(stage: &Stage) -> (Vec<String>, Vec<String>) {
    let plan = stage.run(&["plan", "--json"]).exits(0).json();
    let words = |list: &str, member: &str| -> Vec<String> {
        let list = plan["apps"][0][list].as_array().unwrap().iter();
        list.map(|one| one[member].as_str().unwrap().to_owned()).collect()
    };
    (words("diagnostics", "code"), words("steps", "kind"))
}

/// How many apps of this fleet the home holds.
fn apps(stage: &Stage) -> usize {
    let world = stage.sandbox.world();
    let all = directory(&world, HOME)["applications"].as_array().unwrap().clone();
    all.iter()
        .filter(|app| {
            app["tags"].as_array().is_some_and(|t| t.contains(&json!("tenantry:fleet=acme-soc")))
        })
        .count()
}

/// Lets the operator carry the custom security attribute that exempts.
fn exempt_operator(stage: &Stage) {
    let client = stage.sandbox.operator().client_id;
    stage.change_world(|world| {
        let home = directory_mut(world, HOME);
        for principal in home["servicePrincipals"].as_array_mut().unwrap() {
            if principal["appId"] == client.as_str() {
                principal["customSecurityAttributes"] = json!({"Policies": {"Exempt": "apps"}});
            }
        }
    });
}

fn exemption() -> Value {
    json!({"customSecurityAttributes": [{
        "@odata.type": "#microsoft.graph.customSecurityAttributeStringValueExemption",
        "id": "Policies_Exempt", "operator": "equals", "value": "apps"}]})
}

trait Says {
    fn says(self, words: &str) -> Self;
}

impl Says for Ran {
    #[track_caller]
    fn says(self, words: &str) -> Self {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = format!("{} {}", one_line(&self.stdout), one_line(&self.stderr));
        assert!(said.contains(words), "`{words}` is not in\n{said}");
        self
    }
}

#[test]
fn a_redirect_uri_that_the_policy_forbids_is_an_obstacle_before_anything_is_made() {
    let stage = Stage::with_vault(ONE);
    for rules in [
        json!({"uriWithoutAllowedDomain": {"state": "enabled", "allowedDomains": ["fabrikam.example"]}}),
        json!({"uriWithBlockedDomain": {"state": "enabled", "web": {"blockedDomains": ["CONTOSO.example"]}}}),
        json!({"uriWithoutAllowedScheme": {"allowedSchemes": ["urn"]}}),
        json!({"uriWithBlockedScheme": {"state": "enabled", "blockedSchemes": ["https"], "exemptFormats": ["https://elsewhere.example/*"]}}),
    ] {
        set_default(&stage, &redirects(&rules));
        let (codes, steps) = planned(&stage);
        assert!(
            codes.contains(&"redirect-uri-forbidden-by-policy".to_owned()),
            "{rules}: {codes:?}"
        );
        assert_eq!(steps, Vec::<String>::new(), "{rules}");
        stage.run(&["apply", "--yes"]).exits(1).says("policy \"House rules\"").says(POLICY);
        assert_eq!(apps(&stage), 0, "{rules}");
    }
    // None of these concerns this app.
    for rules in [
        json!({"uriWithoutAllowedDomain": {"state": "enabled", "allowedDomains": [], "web": {"allowedDomains": ["contoso.example"]}}}),
        json!({"uriWithBlockedDomain": {"state": "disabled", "blockedDomains": ["contoso.example"]}}),
        json!({"uriWithBlockedDomain": {"state": "enabled", "blockedDomains": ["contoso.example"],
                                        "restrictForAppsCreatedAfterDateTime": CREATED_LATER}}),
        json!({"uriWithBlockedScheme": {"state": "enabled", "spa": {"blockedSchemes": ["https"]}}}),
        json!({"uriWithBlockedScheme": {"state": "enabled", "blockedSchemes": ["https"], "exemptFormats": ["https://contoso.example/*"]}}),
        json!({"uriWithWildcard": {"state": "enabled"}}),
    ] {
        set_default(&stage, &redirects(&rules));
        let (codes, steps) = planned(&stage);
        assert!(!codes.iter().any(|code| code.ends_with("by-policy")), "{rules}: {codes:?}");
        assert_eq!(steps, ["create-application", "add-secret"], "{rules}");
    }
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(apps(&stage), 1);
}

#[test]
fn what_is_there_goes_on_and_only_what_is_new_is_held_back() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    set_default(
        &stage,
        &redirects(
            &json!({"uriWithBlockedDomain": {"state": "enabled", "blockedDomains": ["contoso.example"]}}),
        ),
    );
    // Its redirect URI is there already.
    let (codes, steps) = planned(&stage);
    assert!(!codes.contains(&"redirect-uri-forbidden-by-policy".to_owned()), "{codes:?}");
    assert_eq!(steps, Vec::<String>::new());
    // Somebody takes it away and renames the app: the name is mended, the URI cannot be.
    stage.change_world(|world| {
        for app in directory_mut(world, HOME)["applications"].as_array_mut().unwrap() {
            if app["tags"].as_array().is_some_and(|t| t.contains(&json!("tenantry:app=contoso"))) {
                app["web"]["redirectUris"] = json!([]);
                app["displayName"] = json!("Renamed by hand");
            }
        }
    });
    let (codes, steps) = planned(&stage);
    assert!(codes.contains(&"redirect-uri-forbidden-by-policy".to_owned()), "{codes:?}");
    assert_eq!(steps, ["patch-application"]);
    stage.run(&["apply", "--yes"]).exits(4);
    let app = stage.app("contoso");
    assert_eq!(app["displayName"], "Contoso SIEM MSSP Connector");
    assert_eq!(app["web"]["redirectUris"], json!([]));
}

#[test]
fn the_policy_of_the_apps_own_counts_instead_of_the_directorys() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    set_default(
        &stage,
        &secrets(&json!([{"restrictionType": "passwordAddition", "state": "enabled"}])),
    );
    let own = "8f2c0000-0000-4000-8000-000000000002";
    stage.change_world(|world| {
        let home = directory_mut(world, HOME);
        home["policies"]["custom"] = json!([{
            "id": own, "displayName": "Ours alone", "description": null, "isEnabled": true,
            "restrictions": {"keyCredentials": [], "passwordCredentials": [
                {"restrictionType": "customPasswordAddition", "state": "enabled"},
                {"restrictionType": "symmetricKeyAddition", "state": "enabled"},
                {"restrictionType": "passwordLifetime", "state": "enabled", "maxLifetime": "P60D"}]},
        }]);
        for app in home["applications"].as_array_mut().unwrap() {
            if app["tags"].as_array().is_some_and(|t| t.contains(&json!("tenantry:app=contoso"))) {
                app["appManagementPolicies"] = json!([own]);
                app["passwordCredentials"] = json!([]);
            }
        }
    });
    // A directory may not show for a while what it has just made: nothing is missing until then.
    stage.sandbox.advance("PT10M").unwrap();
    let (codes, steps) = planned(&stage);
    assert!(codes.contains(&"secret-shortened-by-policy".to_owned()), "{codes:?}");
    assert_eq!(steps, ["add-secret"]);
    stage
        .run(&["apply", "--yes"])
        .exits(0)
        .says("60 days instead of 1 year: policy \"Ours alone\" caps it");
}

#[test]
fn a_ban_leaves_a_way_for_an_app_that_cannot_be_exempted_yet() {
    let stage = Stage::with_vault(ONE);
    let ban = secrets(&json!([{"restrictionType": "passwordAddition", "state": "enabled"}]));
    set_default(&stage, &ban);
    let ran = stage.run(&["apply", "--yes"]).exits(1);
    let hint = "write `credential: federated` or `credential: certificate` in the manifest";
    let last = ran.stdout.rsplit("exit 1: ").next().unwrap().to_owned();
    assert!(last.len() < ran.stdout.len(), "{}", ran.stdout);
    let ran = ran.says(hint);
    assert!(!ran.stdout.contains("ask for an exemption for this app"), "{}", ran.stdout);
    let last = last.split_whitespace().collect::<Vec<_>>().join(" ");
    let want = format!("contoso: policy \"House rules\" ({POLICY}) forbids new client secrets");
    assert!(last.contains(&want), "{last}");
    assert_eq!(apps(&stage), 0);
}

#[test]
fn doctor_names_what_the_policies_will_not_let_a_run_make() {
    let stage = Stage::with_vault(ONE);
    let examine = |code: i32| -> Vec<Value> {
        let document = stage.run(&["doctor", "--json"]).exits(code).json();
        let checks = document["checks"].as_array().unwrap().iter();
        checks.filter(|check| check["about"] == "policies").cloned().collect()
    };
    assert_eq!(examine(0), Vec::<Value>::new());
    let most = |life: &str| {
        secrets(&json!([{"restrictionType": "passwordLifetime", "state": "enabled",
                         "maxLifetime": life}]))
    };
    set_default(&stage, &most("P60D"));
    let told = examine(0);
    assert!(told.len() == 1 && told[0]["health"] == "noted", "{told:#?}");
    let ban = secrets(&json!([{"restrictionType": "passwordAddition", "state": "enabled"}]));
    for rules in [ban, most("PT4M")] {
        set_default(&stage, &rules);
        let told = examine(1);
        assert!(told.len() == 1 && told[0]["health"] == "missing", "{told:#?}");
        let found = told[0]["found"].as_str().unwrap();
        assert!(found.contains(POLICY) && found.ends_with("(contoso)"), "{found}");
    }
    let screen = stage.run(&["doctor"]).exits(1).stdout;
    assert!(!screen.contains("Nothing is missing"), "{screen}");
}

#[test]
fn a_secret_that_may_not_live_for_a_day_is_not_made() {
    let most = |life: &str| {
        secrets(&json!([{"restrictionType": "passwordLifetime", "state": "enabled",
                         "maxLifetime": life}]))
    };
    let stage = Stage::with_vault(ONE);
    for life in ["P0D", "PT4M", "PT23H"] {
        set_default(&stage, &most(life));
        let (codes, steps) = planned(&stage);
        assert!(codes.contains(&"secret-forbidden-by-policy".to_owned()), "{life}: {codes:?}");
        assert_eq!(steps, Vec::<String>::new(), "{life}");
        stage.run(&["apply", "--yes"]).exits(1).says("live less than a day").says(POLICY);
        assert_eq!(apps(&stage), 0, "{life}");
    }
    set_default(&stage, &most("PT24H"));
    let (codes, steps) = planned(&stage);
    assert!(codes.contains(&"secret-shortened-by-policy".to_owned()), "{codes:?}");
    assert_eq!(steps, ["create-application", "add-secret"]);

    // One that is there goes on, and is not renewed.
    set_default(&stage, &most("P1Y"));
    stage.run(&["apply", "--yes"]).exits(0);
    let before = stage.app("contoso");
    stage.sandbox.advance("P340D").unwrap();
    set_default(&stage, &most("PT23H"));
    let (codes, steps) = planned(&stage);
    assert!(codes.contains(&"secret-forbidden-by-policy".to_owned()), "{codes:?}");
    assert_eq!(steps, Vec::<String>::new());
    stage.run(&["apply", "--yes"]).exits(1).says("maxLifetime");
    assert_eq!(stage.app("contoso"), before);
}

#[test]
fn under_a_ban_a_leaked_one_is_not_said_to_go() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    let before = stage.app("contoso");
    set_default(
        &stage,
        &secrets(&json!([{"restrictionType": "passwordAddition", "state": "enabled"}])),
    );
    let ran = stage
        .run(&["rotate", "contoso", "--now", "--revoke-old", "--yes"])
        .exits(1)
        .says("forbids new client secrets")
        .says("Until then what leaked goes on opening the app");
    for word in ["this same run", "fill the SIEM"] {
        assert!(!ran.stdout.contains(word), "{}", ran.stdout);
    }
    assert_eq!(stage.app("contoso"), before);
    // Whoever does not say that it leaked is not advised to lock anybody out.
    let ran = stage.run(&["rotate", "contoso", "--yes"]).exits(1);
    assert!(!ran.stdout.contains("locked out"), "{}", ran.stdout);
}

#[test]
fn a_policy_that_shows_only_when_an_app_is_restored_is_named_at_the_end() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    let own = "8f2c0000-0000-4000-8000-000000000002";
    let id = stage.app("contoso")["id"].as_str().unwrap().to_owned();
    stage.change_world(|world| {
        let home = directory_mut(world, HOME);
        home["policies"]["custom"] = json!([{
            "id": own, "displayName": "Ours alone", "description": null, "isEnabled": true,
            "restrictions": {"keyCredentials": [], "passwordCredentials": [
                {"restrictionType": "passwordLifetime", "state": "enabled", "maxLifetime": "P60D"}]},
        }]);
        for app in home["applications"].as_array_mut().unwrap() {
            if app["id"] == id.as_str() {
                app["appManagementPolicies"] = json!([own]);
                app["passwordCredentials"] = json!([]);
            }
        }
    });
    stage.sandbox.advance("PT10M").unwrap();
    let token = stage.operator_token();
    stage.call(reqwest::Method::DELETE, &format!("/applications/{id}"), &token, None);
    let ran = stage.run(&["apply", "--yes"]).exits(0);
    let end = ran.stdout.split("Done: ").nth(1).unwrap();
    let end = end.split_whitespace().collect::<Vec<_>>().join(" ");
    let want = format!("60 days instead of 1 year: policy \"Ours alone\" ({own}) caps it");
    assert!(end.contains(&want), "{}", ran.stdout);
}

#[test]
fn a_ban_with_exemptions_is_tried_and_told_apart_by_the_attempt() {
    let ban = secrets(&json!([
        {"restrictionType": "passwordAddition", "state": "enabled", "excludeActors": exemption()}]));
    let stage = Stage::with_vault(ONE);
    set_default(&stage, &ban);
    let (codes, steps) = planned(&stage);
    assert!(codes.contains(&"policy-may-forbid".to_owned()), "{codes:?}");
    assert_eq!(steps, ["create-application", "add-secret"]);
    // Nobody exempted this operator.
    stage
        .run(&["apply", "--yes"])
        .exits(4)
        .says("CredentialTypeNotAllowedAsPerAppPolicy")
        .says(POLICY);
    exempt_operator(&stage);
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(stage.app("contoso")["passwordCredentials"].as_array().unwrap().len(), 1);
}

#[test]
fn a_policy_that_may_not_be_read_is_unknown_and_its_refusal_is_named() {
    let audience = json!({"passwordCredentials": [], "keyCredentials": [],
                          "audiences": {"azureAdMultipleOrgs": {"state": "enabled"}}});
    let domain = json!({"uriWithBlockedDomain": {"state": "enabled", "blockedDomains": ["contoso.example"]}});
    let lifetime =
        json!([{"restrictionType": "passwordLifetime", "state": "enabled", "maxLifetime": "P30D"}]);
    for (restrictions, code, says) in [
        (secrets(&lifetime), 4, "allows only credentials that live shorter"),
        (
            secrets(&json!([{"restrictionType": "passwordAddition"}])),
            4,
            "forbids new credentials of this kind",
        ),
        (audience, 1, "forbids apps for other directories"),
        (redirects(&domain), 1, "forbids this redirect URI"),
    ] {
        let stage = Stage::with_vault(ONE);
        set_default(&stage, &restrictions);
        stage.without(&["Policy.Read.ApplicationConfiguration"]);
        stage.run(&["plan"]).exits(0).says("so they are unknown");
        stage
            .run(&["apply", "--yes"])
            .exits(code)
            .says(&format!("The app management policy {POLICY} {says}"))
            .says("It is of the directory in which the app lives");
    }
}

#[test]
fn where_beta_does_not_answer_credentials_are_still_obeyed_and_the_rest_is_unknown() {
    let stage = Stage::with_vault(ONE);
    set_default(
        &stage,
        &secrets(
            &json!([{"restrictionType": "passwordLifetime", "state": "enabled", "maxLifetime": "P90D"}]),
        ),
    );
    stage
        .sandbox
        .add_faults(&json!([{"operation": "policy.getDefault", "do": {"status": 404}}]))
        .unwrap();
    stage
        .run(&["plan"])
        .exits(0)
        .says("90 days instead of 1 year")
        .says("of audiences and redirect URIs could not be read");
    assert_eq!(stage.sandbox.unused_faults(), Vec::<Value>::new());
}
