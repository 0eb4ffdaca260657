//! `incidents`: every incident of every reading tenant once, however a run is cut.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    asking::asked,
    stage::{CONTOSO, Ran, Stage, WOODGROVE, directory, directory_mut},
};

const ADATUM: &str = "6f1c0f5e-0000-4000-8000-000000000006";
const TAILSPIN: &str = "6f1c0f5e-0000-4000-8000-000000000003";
const LUCERNE: &str = "6f1c0f5e-0000-4000-8000-000000000012";

/// All connectors; a shared app; one tenant that nobody consented to.
const MANIFEST: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  redirectUris: ["https://{domain}/SiemMsspConnector"]
  consent: {strategy: browser}
sharedApps:
  siem-eu: {name: Acme SOC EU, redirectUris: ["https://siem.acme-soc.example/eu"]}
tenants:
  contoso: {name: Contoso, domain: contoso.example}
  tailspin: {name: Tailspin Toys, domain: tailspin.example, connector: mssp-siem, signInAs: soc-reader@acme-soc.example}
  adatum: {name: Adatum, domain: adatum.example, connector: defender-xdr}
  woodgrove: {name: Woodgrove Bank, domain: woodgrove.example, app: siem-eu}
  lucerne: {name: Lucerne Publishing, domain: lucerne.example, app: siem-eu}
"#;

/// A fleet that has incidents: contoso over four pages of Graph, adatum over three of the Defender
/// XDR API.
fn fleet() -> Stage {
    let stage = Stage::with_vault(MANIFEST);
    stage.change_world(|world| {
        for (tenant, first, count) in [(CONTOSO, 100_000, 160), (ADATUM, 200_000, 230)] {
            let directory = directory_mut(world, tenant);
            directory["people"] = json!({});
            directory["incidents"] =
                (0..count).map(|n| incident(first + n, "2026-11-01T10:00:00Z")).collect();
        }
        directory_mut(world, LUCERNE)["people"] = json!({"administrator": "absent"});
    });
    stage.run(&["apply", "--yes"]).exits(0);
    let asked =
        asked(&stage, &["consent", "--paste", "contoso", "tailspin", "adatum", "woodgrove"]);
    asked.ran.exits(0);
    stage
}

fn incident(id: u32, updated: &str) -> Value {
    let severity = ["informational", "low", "medium", "high"][id as usize % 4];
    json!({"id": id.to_string(), "displayName": format!("Incident {id}"),
           "createdDateTime": "2026-10-30T08:00:00Z", "lastUpdateDateTime": updated,
           "severity": severity, "status": if id.is_multiple_of(3) { "resolved" } else { "active" },
           "classification": "unknown", "determination": "unknown", "assignedTo": null,
           "redirectIncidentId": null, "customTags": [], "systemTags": [], "comments": [],
           "description": null, "summary": null})
}

/// How often each state of an incident was handed out, by tenant key and id.
fn handed(lines: &[Value]) -> BTreeMap<(String, String), usize> {
    let mut all = BTreeMap::new();
    for line in lines {
        let id = match (&line["id"], &line["incidentId"]) {
            (Value::String(id), Value::Null) => id.clone(),
            (Value::Null, Value::Number(id)) => id.to_string(),
            other => panic!("{other:?}"),
        };
        *all.entry((line["tenantKey"].as_str().unwrap().to_owned(), id)).or_default() += 1;
    }
    all
}

/// What the world holds of the tenants that can be read, each once.
fn in_the_world(stage: &Stage) -> BTreeMap<(String, String), usize> {
    let world = stage.sandbox.world();
    [("contoso", CONTOSO), ("tailspin", TAILSPIN), ("adatum", ADATUM), ("woodgrove", WOODGROVE)]
        .into_iter()
        .flat_map(|(key, id)| {
            let incidents = directory(&world, id)["incidents"].as_array().unwrap().clone();
            let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
            incidents.into_iter().map(move |one| ((key.to_owned(), id(&one)), 1))
        })
        .collect()
}

fn of(ran: &Ran) -> BTreeMap<(String, String), usize> {
    handed(&ran.lines())
}

#[test]
fn every_incident_comes_once_with_whose_it_is_and_filters_hold_for_both_apis() {
    let stage = fleet();
    let all = stage.run(&["incidents"]).exits(0);
    assert_eq!(of(&all), in_the_world(&stage));
    assert!(all.stderr.contains("lucerne: not ready: its administrator has not consented"));
    assert!(all.stderr.ends_with("4 tenants · 1 not ready\n"), "{}", all.stderr);
    for line in all.lines() {
        let key = line["tenantKey"].as_str().unwrap();
        let (tenant, connector) = match key {
            "contoso" => (CONTOSO, "graph-security"),
            "tailspin" => (TAILSPIN, "mssp-siem"),
            "adatum" => (ADATUM, "defender-xdr"),
            "woodgrove" => (WOODGROVE, "graph-security"),
            other => panic!("{other}"),
        };
        assert_eq!((&line["tenantId"], &line["connector"]), (&json!(tenant), &json!(connector)));
    }
    // Two tenants in full, by what they are.
    let chosen = stage
        .run(&[
            "incidents",
            "--tenant",
            "contoso",
            "--tenant",
            "adatum",
            "--severity",
            "high,medium",
            "--status",
            "resolved",
        ])
        .exits(0);
    let wanted = |(_, id): &(String, String)| {
        id.parse::<u32>().is_ok_and(|id| id >= 100_000 && id % 4 >= 2 && id % 3 == 0)
    };
    let expected: BTreeMap<_, _> =
        in_the_world(&stage).into_iter().filter(|(one, _)| wanted(one)).collect();
    assert!(expected.len() > 50);
    assert_eq!(of(&chosen), expected);
    let late = stage.run(&["incidents", "--since", "2026-11-01T10:00:01Z"]).exits(0);
    assert!(of(&late).keys().all(|(key, _)| key == "tailspin" || key == "woodgrove"));
    assert_eq!(
        of(&stage.run(&["incidents", "--since", "2026-11-01", "--tenant", "adatum"])).len(),
        230
    );
    let alerts = stage.run(&["incidents", "--alerts", "--tenant", "woodgrove"]).exits(0);
    assert!(alerts.lines().iter().all(|line| line["alerts"].is_array()));
    assert_eq!(stage.run(&["incidents", "--since", "yesterday"]).code, 64);
}

#[test]
fn a_checkpoint_gives_what_is_new_or_changed_and_belongs_to_one_question() {
    let stage = fleet();
    let run = || stage.run(&["incidents", "--checkpoint", "seen"]).exits(0);
    assert_eq!(of(&run()), in_the_world(&stage));
    assert_eq!(run().stdout, "");
    stage.change_world(|world| {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let contoso = directory_mut(world, CONTOSO)["incidents"].as_array_mut().unwrap();
        contoso[7]["lastUpdateDateTime"] = json!(now);
        contoso.push(incident(300_000, &now));
        // Seen by the service only now, though it changed some minutes ago.
        let late = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(5);
        let late = late.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        directory_mut(world, ADATUM)["incidents"]
            .as_array_mut()
            .unwrap()
            .push(incident(300_001, &late));
    });
    let mut keys: Vec<_> = of(&run()).into_keys().map(|(_, id)| id).collect();
    keys.sort();
    assert_eq!(keys, ["100007", "300000", "300001"]);
    assert_eq!(run().stdout, "");
    // What is remembered does not grow with what was ever seen.
    assert!(std::fs::read_to_string(stage.path("seen")).unwrap().lines().count() < 30);

    let other = stage.run(&["incidents", "--checkpoint", "seen", "--severity", "high"]).exits(64);
    assert!(other.stderr.contains("other filters"), "{}", other.stderr);
    std::fs::write(stage.path("foreign"), "my diary\n").unwrap();
    stage.run(&["incidents", "--checkpoint", "foreign"]).exits(64);
    assert_eq!(std::fs::read_to_string(stage.path("foreign")).unwrap(), "my diary\n");
    assert_eq!(run().stdout, "");
}

/// Runs with output to a file until it is killed or ends; whether it ended.
fn run_into(stage: &Stage, name: &str, die_at: Option<usize>) -> bool {
    let out = OpenOptions::new().create(true).append(true).open(stage.path(name)).unwrap();
    let mut command = stage.command(&["incidents", "--checkpoint", "seen"]);
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    if let Some(line) = die_at {
        command.env("TENANTRY_DIE_AT_INCIDENT", line.to_string());
    }
    command.status().unwrap().success()
}

fn lines_of(stage: &Stage, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(stage.path(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn killed_after_any_line_and_within_one_nothing_is_lost_and_nothing_doubled() {
    let stage = fleet();
    // The torn line of the first run is longer than both lines of the next one in the same file.
    let name_all = |name: &str| {
        stage.change_world(|world| {
            for tenant in [CONTOSO, ADATUM, TAILSPIN, WOODGROVE] {
                for incident in directory_mut(world, tenant)["incidents"].as_array_mut().unwrap() {
                    incident["displayName"] = json!(name);
                }
            }
        });
    };
    name_all(&"long ".repeat(600));
    // In the worst moment: the line is out, the checkpoint does not know.
    for (n, line) in [1, 2, 49, 50, 60].into_iter().enumerate() {
        // Every other run goes on in the same file, as `>>` does.
        let name = format!("out{}", n / 2);
        assert!(!run_into(&stage, &name, Some(line)));
        if n % 2 == 0 {
            // The last line was cut in its middle.
            let file = OpenOptions::new().write(true).open(stage.path(&name)).unwrap();
            file.set_len(file.metadata().unwrap().len() - 40).unwrap();
            name_all("short");
        }
    }
    assert!(run_into(&stage, "out9", None));
    let all: Vec<Value> =
        ["out0", "out1", "out2", "out9"].iter().flat_map(|name| lines_of(&stage, name)).collect();
    assert_eq!(handed(&all), in_the_world(&stage));
}

#[test]
fn a_disk_that_fills_within_a_line_costs_that_line_nothing() {
    let stage = fleet();
    let shell = |limit: &str| {
        let mut command = Command::new("bash");
        let like = stage.command(&["incidents", "--checkpoint", "seen"]);
        let words: Vec<_> = std::iter::once(like.get_program()).chain(like.get_args()).collect();
        // Without the signal the system call fails, as on a full disk.
        let script = format!("trap '' XFSZ; {limit} exec \"$@\" >> out");
        command.arg("-c").arg(script).arg("bash").args(words);
        command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        // What is said goes into a file too, which the same limit may have filled already.
        let said = OpenOptions::new().create(true).append(true).open(stage.path("said")).unwrap();
        said.set_len(4_096).unwrap();
        command.current_dir(stage.folder.path()).stdin(Stdio::null()).stderr(said);
        command.status().unwrap().code()
    };
    // In blocks of 1,024 bytes; a checkpoint takes less than that for so few lines.
    assert_eq!(shell("ulimit -f 1;"), Some(1));
    let torn = std::fs::read(stage.path("out")).unwrap();
    assert!(torn.len() == 1_024 && torn.last() != Some(&b'\n'));
    assert_eq!(shell(""), Some(0));
    assert_eq!(handed(&lines_of(&stage, "out")), in_the_world(&stage));
}

#[test]
fn killed_at_any_time_nothing_is_lost_and_nothing_doubled() {
    let stage = fleet();
    let mut all = Vec::new();
    for n in 0..6_u64 {
        let name = format!("out{n}");
        let out = File::create(stage.path(&name)).unwrap();
        let mut command = stage.command(&["incidents", "--checkpoint", "seen"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).spawn().unwrap();
        // By how much has come: a time would be another one on each machine.
        let target = 1 + n * 9_000;
        while std::fs::metadata(stage.path(&name)).unwrap().len() < target
            && child.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(run_into(&stage, "last", None));
    for name in (0..6).map(|n| format!("out{n}")).chain(["last".to_owned()]) {
        all.extend(lines_of(&stage, &name));
    }
    assert_eq!(handed(&all), in_the_world(&stage));
}

#[test]
fn a_tenant_that_fails_is_named_and_costs_nobody_else() {
    let stage = fleet();
    stage.run(&["status"]).exits(0);
    stage
        .sandbox
        .add_faults(&json!([{"operation": "incident.list", "match": {"tenant": CONTOSO},
            "times": 9, "do": {"status": 403,
            "body": {"error": {"code": "Forbidden", "message": "No\n::error::way"}}}}]))
        .unwrap();
    let ran = stage.run(&["incidents"]).exits(1);
    let keys: Vec<_> = of(&ran).into_keys().map(|(key, _)| key).collect();
    assert!(!keys.contains(&"contoso".to_owned()) && keys.contains(&"adatum".to_owned()));
    assert!(
        ran.stderr.contains("error: contoso: 403 Forbidden: No ::error::way"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("1 FAILED"), "{}", ran.stderr);
    // One that was reading and now is not consented to any more fails, too.
    let quiet = stage.run(&["incidents", "-q", "--tenant", "lucerne"]).exits(0);
    assert!(quiet.stdout.is_empty() && !quiet.stderr.contains("lucerne"), "{}", quiet.stderr);
    stage.change_world(|world| {
        for table in ["servicePrincipals", "appRoleAssignments"] {
            directory_mut(world, WOODGROVE)[table] = json!([]);
        }
    });
    let lost = stage.run(&["incidents", "-q", "--tenant", "woodgrove"]).exits(1);
    assert!(lost.stderr.contains("error: woodgrove: its administrator has not consented"));
}
