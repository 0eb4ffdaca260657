//! The letters: whoever can mend it is asked, and nobody is asked for what may be our own fault.

use serde_json::{Value, json};

use crate::stage::{CONTOSO, ONE, Stage};

/// What `explain` says of contoso while its incidents are answered so; the second is whose turn it is.
fn refused(stage: &Stage, act: &Value) -> (String, String) {
    let faults = json!([{"operation": "incident.list", "times": 9, "do": act}]);
    stage.sandbox.add_faults(&faults).unwrap();
    let status = stage.run(&["status", "--json"]).exits(0).json();
    let access = &status["tenants"][0]["facets"]["access"];
    assert_eq!(access["state"], "failed", "{access:#}");
    let who = access["nextStep"]["who"].as_str().unwrap_or_default().to_owned();
    let explained = stage.run(&["explain", "contoso"]).exits(0).stdout;
    stage.sandbox.clear_faults();
    (explained, who)
}

fn forbidden(code: &str, message: &str) -> Value {
    json!({"status": 403, "body": {"error": {"code": code, "message": message}}})
}

#[test]
fn a_customer_is_written_to_only_for_what_the_customer_alone_can_mend() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    let letter = "We cannot read the incidents of";

    let (text, who) = refused(
        &stage,
        &forbidden("Forbidden", "Unauthorized request - Account is not provisioned."),
    );
    assert!(text.contains(letter) && text.contains("opens"), "{text}");
    assert!(who.starts_with("an administrator of "), "{who}");

    // A call that we may have made wrongly, and one that is refused for a right of the operator's.
    let ours = [
        json!({"status": 400, "body": {"error": {
            "code": "BadRequest",
            "message": "Unauthorized request - Account is not provisioned.",
        }}}),
        forbidden("Authorization_RequestDenied", "Insufficient privileges."),
    ];
    for act in ours {
        let (text, who) = refused(&stage, &act);
        assert!(!text.contains(letter), "{text}");
        assert!(who.is_empty() || who.starts_with("the operator or "), "{who}");
    }
}
