use std::{io::Write, process::Command};

use serde_json::Value;
use uuid::{Uuid, uuid};

use super::*;
use crate::cloud::CloudName;

/// A name that tries to leave every format that it is written into.
const HOSTILE: &str =
    "x\n[evil://x]\nindex = stolen\r\nFIELDS\nrm -rf /; --> <evil/> ' \" ` $(id) \\";
/// A value that does the same; Microsoft's have letters, digits and `~._-`.
const VALUE: &str = "a'b\"c`d$(id)\\e&f<g>h\nFIELDS\nexit 9 ]]> -- %s";

/// An id that is always the same for the same word.
fn of(word: &str) -> Uuid {
    let mut bytes = [0x40; 16];
    bytes.iter_mut().zip(word.bytes()).for_each(|(byte, letter)| *byte = letter);
    Uuid::from_bytes(bytes)
}

fn held(value: &str) -> Held {
    Held {
        nonce: Nonce::fresh(),
        key_id: Some(KeyId::from_uuid(Uuid::new_v4())),
        ends: Some(Timestamp::from_second(1_827_000_000).unwrap()),
        value: Some(Secret::new(value.to_owned())),
    }
}

fn ready(key: &str, app: &str, connector: Connector) -> Ready {
    let own = key == app;
    Ready {
        key: key.parse().unwrap(),
        name: HOSTILE.to_owned(),
        tenant: TenantId::from_uuid(of(key)),
        connector,
        app: app.parse().unwrap(),
        home: TenantId::from_uuid(uuid!("91c20000-0000-4000-8000-000000000001")),
        client: ClientId::from_uuid(of(app)),
        shared: !own,
        secret: held(VALUE),
        refresh_token: connector.needs().delegated.then(|| held(&format!("refresh {VALUE}"))),
    }
}

fn handover<'a>(fleet: &'a FleetName, cloud: &'a Cloud, tenants: Vec<Ready>) -> Handover<'a> {
    Handover {
        fleet,
        cloud,
        sandbox: true,
        asked: tenants.len(),
        tenants,
        left_out: vec![("gone".parse().unwrap(), HOSTILE.to_owned())],
        values: Values::Written,
    }
}

fn fleet() -> FleetName {
    "acme-soc".parse().unwrap()
}

fn text(siem: Siem, handover: &Handover<'_>) -> String {
    siem.joined(&siem.write(handover)).to_string()
}

/// What a shell prints that runs this.
#[track_caller]
fn shell(script: &str, path: Option<&std::path::Path>) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    let mut command = Command::new("sh");
    if let Some(path) = path {
        let rest = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{rest}", path.display()));
    }
    let ran = command
        .arg(file.path())
        .env("SPLUNK_TOKEN", "the-admins-token")
        .env("SPLUNK_URL", "https://splunk.example:8089/")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "", "{script}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn a_shell_reads_back_what_was_written_and_runs_none_of_it() {
    let (fleet, cloud) = (fleet(), Cloud::built_in(CloudName::GccHigh));
    let both = vec![
        ready("contoso", "contoso", Connector::GraphSecurity),
        ready("3-com", "3-com", Connector::MsspSiem),
    ];
    let ids = both.iter().map(|t| (t.tenant, t.client)).collect::<Vec<_>>();
    let several = text(Siem::Env, &handover(&fleet, &cloud, both));
    let read = |names: &[&str], script: &str| {
        let shown: String =
            names.iter().map(|name| format!("\nprintf '%s|' \"${name}\"")).collect();
        shell(&format!("set -eu\n{script}{shown}"), None)
    };
    let names =
        ["CONTOSO_AZURE_TENANT_ID", "CONTOSO_AZURE_CLIENT_ID", "CONTOSO_AZURE_CLIENT_SECRET"];
    assert_eq!(read(&names, &several), format!("{}|{}|{VALUE}|", ids[0].0, ids[0].1));
    let names = ["_3_COM_AZURE_TENANT_ID", "_3_COM_AZURE_REFRESH_TOKEN"];
    assert_eq!(read(&names, &several), format!("{}|refresh {VALUE}|", ids[1].0));
    assert!(!several.contains("CONTOSO_AZURE_REFRESH_TOKEN"), "only who signed in has one");

    let one = vec![ready("contoso", "contoso", Connector::GraphSecurity)];
    let one = text(Siem::Env, &handover(&fleet, &cloud, one));
    let names = ["AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"];
    assert_eq!(read(&names, &one), format!("{VALUE}|https://login.microsoftonline.us/|"));
}

#[test]
fn names_of_variables_do_not_depend_on_who_is_ready() {
    let (fleet, cloud) = (fleet(), Cloud::built_in(CloudName::Global));
    let one = vec![ready("contoso", "contoso", Connector::GraphSecurity)];
    let handover = Handover { asked: 2, ..handover(&fleet, &cloud, one) };
    let text = text(Siem::Env, &handover);
    assert!(text.contains("export CONTOSO_AZURE_CLIENT_ID="), "{text}");
    assert!(!text.contains("AUTHORITY_HOST"), "{text}");
}

/// The sections of a .conf file, comments left out.
fn sections(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut sections: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        // It would draw the next line into this one.
        assert!(!line.ends_with('\\'), "{line}");
        if line.starts_with('#') {
            continue;
        }
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => sections.push((name.to_owned(), Vec::new())),
            None => {
                let (name, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
                sections.last_mut().unwrap().1.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    sections
}

#[test]
fn splunk_has_an_account_an_app_and_an_input_a_tenant() {
    let (fleet, cloud) = (fleet(), Cloud::built_in(CloudName::Global));
    let tenants = vec![
        ready("adatum", "adatum", Connector::DefenderXdr),
        ready("lucerne", "siem-eu", Connector::GraphSecurity),
        ready("woodgrove", "siem-eu", Connector::GraphSecurity),
    ];
    let lucerne = tenants[1].tenant.to_string();
    let documents = Siem::Splunk.write(&handover(&fleet, &cloud, tenants));
    let names: Vec<_> = documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["create-accounts.sh", "inputs.conf"]);
    assert!(!documents[1].text.contains("exit 9"), "no value in the inputs");
    let sections = sections(&documents[1].text);
    let names: Vec<_> = sections.iter().map(|(name, _)| name.as_str()).collect();
    let kind = "microsoft_365_defender_endpoint_incidents://tenantry_acme_soc__";
    assert_eq!(names, ["adatum", "lucerne", "woodgrove"].map(|key| format!("{kind}{key}")));
    let get = |at: usize, name: &str| {
        let found = sections[at].1.iter().find(|(known, _)| known == name);
        found.unwrap().1.clone()
    };
    assert_eq!(get(0, "environment"), "commercial");
    assert_eq!(get(1, "environment"), "commercial-graph-api");
    assert_eq!(get(1, "tenant_id"), lucerne);
    assert_eq!(get(1, "azure_app_account"), "tenantry_acme_soc__siem_eu");
    assert_eq!(get(1, "azure_app_account"), get(2, "azure_app_account"));
    assert!(sections.iter().all(|(_, fields)| fields.len() == 6), "{sections:?}");
    let script = &documents[0].text;
    assert_eq!(script.matches("\naccount tenantry_").count(), 2, "{}", script.as_str());
}

/// A curl that tells what it was given: first its arguments, then what it read.
const CURL: &str = "#!/bin/sh\nd=$(dirname \"$0\")\nprintf '%s\\n' \"$@\" >>\"$d/arguments\"\n\
                    cat >>\"$d/read\"\nif [ -e \"$d/known\" ]; then\n\
                    case \"$*\" in *_account) printf 409; exit 0;; esac\nfi\nprintf 201\n";

#[test]
fn the_script_gives_splunk_the_secret_and_no_process_list() {
    use std::os::unix::fs::PermissionsExt;
    let (fleet, cloud) = (fleet(), Cloud::built_in(CloudName::Global));
    let tenants = vec![
        ready("contoso", "contoso", Connector::GraphSecurity),
        ready("lucerne", "siem-eu", Connector::GraphSecurity),
    ];
    let (own, home) = (tenants[0].tenant, tenants[1].home);
    let documents = Siem::Splunk.write(&handover(&fleet, &cloud, tenants));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("curl"), CURL).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("curl"), mode).unwrap();
    let said = shell(&documents[0].text, Some(folder.path()));
    let (first, second) = ("tenantry_acme_soc__contoso", "tenantry_acme_soc__siem_eu");
    assert_eq!(said, format!("{first} created\n{second} created\n"));
    let seen = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let arguments = seen("arguments");
    let endpoint = "https://splunk.example:8089/servicesNS/nobody/Splunk_TA_MS_Security/\
                    Splunk_TA_MS_Security_account";
    assert!(arguments.lines().any(|line| line == endpoint), "{arguments}");
    assert!(!arguments.contains("exit 9") && !arguments.contains("admins-token"), "{arguments}");
    let read = seen("read");
    let quoted = VALUE.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    assert_eq!(read.matches(&format!("\ndata-urlencode = \"password={quoted}\"\n")).count(), 2);
    assert_eq!(read.matches("header = \"Authorization: Bearer the-admins-token\"\n").count(), 2);
    // A shared app's account names no customer.
    for directory in [own, home] {
        assert_eq!(read.matches(&format!("tenant_id={directory}\"")).count(), 1, "{read}");
    }
    // What is there already is given the new secret.
    std::fs::write(folder.path().join("known"), "").unwrap();
    std::fs::remove_file(folder.path().join("arguments")).unwrap();
    let said = shell(&documents[0].text, Some(folder.path()));
    assert_eq!(said, format!("{first} updated\n{second} updated\n"));
    assert!(seen("arguments").lines().any(|line| line == format!("{endpoint}/{first}")));
}

#[test]
fn each_cloud_has_its_own_words_and_what_none_knows_is_said() {
    let word = |connector, cloud| splunk::environment(connector, &Cloud::built_in(cloud)).ok();
    let [graph, xdr] = [Connector::GraphSecurity, Connector::DefenderXdr];
    assert_eq!(word(graph, CloudName::Gcc), Some("commercial-graph-api"));
    assert_eq!(word(graph, CloudName::GccHigh), Some("gcc-high-graph-api"));
    assert_eq!(word(graph, CloudName::Dod), None);
    assert_eq!(word(xdr, CloudName::Gcc), Some("gcc"));
    assert_eq!(word(xdr, CloudName::Dod), Some("gcc-high"));
    assert_eq!(word(xdr, CloudName::China), None);
    let word = |cloud| wazuh::api_type(graph, &Cloud::built_in(cloud)).ok();
    assert_eq!(word(CloudName::Gcc), Some("global"));
    assert_eq!(word(CloudName::GccHigh), Some("gcc-high"));
    assert_eq!(word(CloudName::Dod), Some("dod"));
    assert_eq!(word(CloudName::China), None);
    let global = Cloud::built_in(CloudName::Global);
    for (siem, connector) in [
        (Siem::Splunk, Connector::MsspSiem),
        (Siem::Wazuh, Connector::MsspSiem),
        (Siem::Wazuh, xdr),
        (Siem::Elastic, xdr),
    ] {
        let why = siem.takes(connector, &global).unwrap_err();
        assert!(why.contains("graph-security reads the same incidents"), "{why}");
    }
    assert_eq!(Siem::Elastic.takes(Connector::MsspSiem, &global), Ok(()));
}

/// The elements of a document and their texts; panics where it is not well-formed.
fn elements(xml: &str) -> Vec<(String, String)> {
    let (mut open, mut found, mut rest) = (Vec::<String>::new(), Vec::new(), xml);
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        assert!(!text.contains('>'), "{text}");
        for part in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;", "apos;"];
            assert!(known.iter().any(|name| part.starts_with(name)), "{part}");
        }
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            let end = comment.find("--").unwrap();
            assert!(comment[end..].starts_with("-->"), "{comment}");
            rest = &comment[end + 3..];
            continue;
        }
        let end = rest.find('>').unwrap();
        let tag = &rest[1..end];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            let text =
                [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
                    .iter()
                    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
            found.push((name.to_owned(), text));
        } else {
            assert!(tag.chars().all(|c| c.is_ascii_lowercase() || "-_".contains(c)), "{tag}");
            open.push(tag.to_owned());
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, Vec::<String>::new());
    found
}

#[test]
fn wazuh_has_an_api_auth_a_tenant_and_every_value_comes_back() {
    let (fleet, cloud) = (fleet(), Cloud::built_in(CloudName::Dod));
    let tenants = vec![
        ready("contoso", "contoso", Connector::GraphSecurity),
        ready("lucerne", "siem-eu", Connector::GraphSecurity),
    ];
    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.tenant.to_string()).collect();
    let text = text(Siem::Wazuh, &handover(&fleet, &cloud, tenants));
    let elements = elements(&text);
    let all = |wanted: &str| -> Vec<&str> {
        elements.iter().filter(|(name, _)| name == wanted).map(|(_, text)| text.as_str()).collect()
    };
    assert_eq!(all("secret_value"), [VALUE, VALUE]);
    assert_eq!(all("tenant_id"), ids);
    assert_eq!(all("api_type"), ["dod", "dod"]);
    assert_eq!(all("relationship"), ["incidents", "alerts_v2"]);
    assert_eq!((all("ms-graph").len(), all("evil").len()), (1, 0));
}

#[test]
fn elastic_has_a_policy_a_tenant_and_an_analysts_token_where_there_is_one() {
    let (fleet, cloud) = (fleet(), Cloud::built_in(CloudName::GccHigh));
    let tenants = vec![
        ready("contoso", "contoso", Connector::GraphSecurity),
        ready("tailspin", "tailspin", Connector::MsspSiem),
    ];
    let id = tenants[1].tenant.to_string();
    let documents = Siem::Elastic.write(&handover(&fleet, &cloud, tenants));
    assert_eq!(documents[1].name, "tailspin.json");
    let read = |at: usize| -> Value { serde_json::from_str(&documents[at].text).unwrap() };
    assert!(documents.iter().all(|document| document.text.lines().count() == 1));
    let (app, analyst) = (read(0), read(1));
    let input = |policy: &Value| policy["inputs"]["m365_defender-httpjson"].clone();
    let vars = &input(&analyst)["vars"];
    assert_eq!(vars["client_secret"], VALUE);
    assert_eq!(vars["tenant_id"], id);
    assert_eq!(vars["login_url"], "https://login.microsoftonline.us");
    let streams = |policy: &Value| input(policy)["streams"].clone();
    let incident = &streams(&analyst)["m365_defender.incident"];
    assert_eq!(incident["vars"]["request_url"], "https://graph.microsoft.us");
    let params = incident["vars"]["oauth_endpoint_params"].as_str().unwrap();
    let params: serde_yaml::Mapping = serde_yaml::from_str(params).unwrap();
    assert_eq!(params["grant_type"], "refresh_token");
    assert_eq!(params["refresh_token"], format!("refresh {VALUE}").as_str());
    // Such an app may not read alerts by themselves, and an app of its own needs no token.
    assert_eq!(streams(&analyst)["m365_defender.alert"], serde_json::json!({"enabled": false}));
    assert_eq!(streams(&app)["m365_defender.alert"]["enabled"], true);
    assert!(!app.to_string().contains("oauth_endpoint_params"));
}

#[test]
fn the_list_tells_values_only_where_they_are_asked_for() {
    let (fleet, cloud) = (fleet(), Cloud::built_in(CloudName::Global));
    let tenants = || {
        vec![
            ready("adatum", "adatum", Connector::DefenderXdr),
            ready("tailspin", "tailspin", Connector::MsspSiem),
        ]
    };
    let mut handover = handover(&fleet, &cloud, tenants());
    let read = |handover: &Handover<'_>| -> Value {
        serde_json::from_str(&text(Siem::Json, handover)).unwrap()
    };
    let list = read(&handover);
    assert_eq!(list["tenants"][1]["refreshToken"], format!("refresh {VALUE}").as_str());
    assert_eq!(list["tenants"][0]["clientSecret"], VALUE);
    assert_eq!(list["tenants"][0]["name"], HOSTILE);
    let endpoints = &list["tenants"][0]["endpoints"];
    assert_eq!(endpoints["incidents"], "https://api.security.microsoft.com/api/incidents");
    assert_eq!(endpoints["scope"], "https://api.security.microsoft.com/.default");
    assert_eq!((&list["sandbox"], &list["leftOut"][0]["key"]), (&true.into(), &"gone".into()));
    handover.values = Values::Referred;
    let list = read(&handover);
    assert!(!list.to_string().contains("exit 9"), "{list}");
    assert!(list["tenants"][1]["vault"]["refreshToken"]["nonce"].is_string(), "{list}");
}

#[test]
fn everything_written_in_the_sandbox_says_so() {
    let (fleet, cloud) = (fleet(), Cloud::built_in(CloudName::Global));
    for siem in [Siem::Splunk, Siem::Elastic, Siem::Wazuh, Siem::Env, Siem::Json] {
        let tenants = vec![ready("contoso", "contoso", Connector::GraphSecurity)];
        for document in siem.write(&handover(&fleet, &cloud, tenants)) {
            assert!(document.text.contains("sandbox"), "{siem:?} {}", document.name);
        }
    }
    assert!(sentinel(80).contains("nothing to fill"));
}
