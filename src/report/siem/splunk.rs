//! The Splunk Add-on for Microsoft Security (`Splunk_TA_MS_Security`,
//! <https://splunkbase.splunk.com/app/6207>): an account an app, an input a tenant.
//!
//! Splunk encrypts an account's password when it is created through its own REST interface, so the
//! accounts are a script; the inputs hold nothing secret and are a file.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Document, Handover, Ready, comment, one};
use crate::{
    cloud::{Cloud, CloudName},
    connector::Connector,
    ids::{AppKey, FleetName},
};

/// The add-on's word for where a connector reads in a cloud. A custom cloud stands in for the global
/// one.
pub(super) fn environment(connector: Connector, cloud: &Cloud) -> Result<&'static str, String> {
    let cloud = cloud.name.unwrap_or(CloudName::Global);
    let none = || Err(format!("Splunk's add-on cannot read {connector} in the cloud {cloud}"));
    match (connector, cloud) {
        (Connector::MsspSiem, _) => {
            Err("Splunk's add-on has no field for a refresh token, and mssp-siem reads with one; \
                 graph-security reads the same incidents"
                .to_owned())
        }
        // The add-on's own source: commercial and GCC use the same endpoint of Graph.
        (Connector::GraphSecurity, CloudName::Global | CloudName::Gcc) => {
            Ok("commercial-graph-api")
        }
        (Connector::GraphSecurity, CloudName::GccHigh) => Ok("gcc-high-graph-api"),
        // It knows no host dod-graph.microsoft.us.
        (Connector::GraphSecurity, CloudName::Dod | CloudName::China) => none(),
        (Connector::DefenderXdr, CloudName::Global) => Ok("commercial"),
        (Connector::DefenderXdr, CloudName::Gcc) => Ok("gcc"),
        // Both sign in at login.microsoftonline.us and read api-gov.security.microsoft.us.
        (Connector::DefenderXdr, CloudName::GccHigh | CloudName::Dod) => Ok("gcc-high"),
        (Connector::DefenderXdr, CloudName::China) => none(),
    }
}

/// The name of an account or input. The add-on's own page takes letters, digits and underscores
/// only; no key holds an underscore, so no two names become one.
fn named(fleet: &FleetName, key: &str) -> String {
    format!("tenantry_{fleet}__{key}").replace('-', "_")
}

fn account(fleet: &FleetName, app: &AppKey) -> String {
    named(fleet, app.as_str())
}

pub(super) fn write(handover: &Handover<'_>) -> Vec<Document> {
    vec![one("create-accounts.sh", accounts(handover)), one("inputs.conf", inputs(handover))]
}

/// The script's part that is the same for all.
const SCRIPT: &str = r#"#
# Creates one account for each app in the Splunk Add-on for Microsoft Security, or gives an account
# that is there already the secret below. Splunk stores it encrypted. Run it again whenever secrets
# were renewed.
#
#   SPLUNK_URL    Splunk's management port; https://localhost:8089 where it is not set
#   SPLUNK_TOKEN  an authentication token of someone who may administer the add-on
#                 (Settings > Tokens)
#   CURL_CA_BUNDLE  the CA of that port's certificate, where the system does not know it
#
# Values reach curl by its standard input, so that none is seen among the arguments of a process.
# This file holds them: keep it as it is (mode 0600), and delete it afterwards.
set -eu

: "${SPLUNK_URL:=https://localhost:8089}"
: "${SPLUNK_TOKEN:?an authentication token of Splunk is needed}"
accounts="${SPLUNK_URL%/}/servicesNS/nobody/Splunk_TA_MS_Security/Splunk_TA_MS_Security_account"
failed=0

# Posts to the address $1 what stands on standard input as settings of curl; prints the status.
post() {
    {
        printf 'header = "Authorization: Bearer %s"\n' "$SPLUNK_TOKEN"
        cat
    } | curl --silent --show-error --proto '=https' --output /dev/null \
        --write-out '%{http_code}' --config - "$1"
}

# Creates the account $1 with the fields on standard input, or changes it where it exists.
account() {
    fields=$(cat)
    done_as=created
    status=$(printf 'data-urlencode = "name=%s"\n%s\n' "$1" "$fields" | post "$accounts") || :
    if [ "$status" = 409 ]; then
        done_as=updated
        status=$(printf '%s\n' "$fields" | post "$accounts/$1") || :
    fi
    case "$status" in
        200 | 201) echo "$1 $done_as" ;;
        *) echo "$1 NOT $done_as: Splunk answered $status" >&2; failed=1 ;;
    esac
}

"#;

fn accounts(handover: &Handover<'_>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::from("#!/bin/sh\n"));
    for line in handover.heading() {
        text.push_str(&format!("# {line}\n"));
    }
    text.push_str(SCRIPT);
    let mut apps: BTreeMap<&AppKey, Vec<&Ready>> = BTreeMap::new();
    for tenant in &handover.tenants {
        apps.entry(&tenant.app).or_default().push(tenant);
    }
    for (app, tenants) in apps {
        let first = tenants[0];
        // An input without a directory of its own would read the account's: the home of a shared
        // app reads nobody, another customer's would.
        let directory = if first.shared { first.home } else { first.tenant };
        let names: Vec<_> = tenants.iter().map(|tenant| comment(&tenant.name)).collect();
        text.push_str(&format!("# {}\n", names.join(", ")));
        if let Some(ends) = first.secret.ends {
            text.push_str(&format!("# The secret ends on {ends:.0}.\n"));
        }
        text.push_str(&format!("account {} <<'FIELDS'\n", account(handover.fleet, app)));
        field(&mut text, "username", &first.client.to_string());
        field(&mut text, "password", first.secret.exposed());
        field(&mut text, "tenant_id", &directory.to_string());
        text.push_str("FIELDS\n\n");
    }
    text.push_str("exit \"$failed\"\n");
    text
}

/// A field as a setting of curl, quoted as <https://curl.se/docs/manpage.html#-K> says. Each stays
/// one line, so that none can end what the shell reads.
fn field(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("data-urlencode = \"{name}="));
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            _ => text.push(c),
        }
    }
    text.push_str("\"\n");
}

fn inputs(handover: &Handover<'_>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for line in handover.heading() {
        text.push_str(&format!("# {line}\n"));
    }
    text.push_str(
        "#\n\
         # For etc/apps/Splunk_TA_MS_Security/local/inputs.conf of the one instance that collects,\n\
         # after create-accounts.sh: an input without its account only logs errors.\n\
         # Choose the index. start_date = 2026-01-01T00:00:00Z in an input collects from then on.\n",
    );
    for tenant in &handover.tenants {
        let Ready { key, name, tenant: directory, connector, app, .. } = tenant;
        let environment = environment(*connector, handover.cloud)
            .expect("tenants that the add-on cannot read were left out");
        text.push_str(&format!(
            "\n# {}\n\
             [microsoft_365_defender_endpoint_incidents://{}]\n\
             azure_app_account = {}\n\
             tenant_id = {directory}\n\
             environment = {environment}\n\
             interval = 300\n\
             index = default\n\
             disabled = 0\n",
            comment(name),
            named(handover.fleet, key.as_str()),
            account(handover.fleet, app),
        ));
    }
    text
}
