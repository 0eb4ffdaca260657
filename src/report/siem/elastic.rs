//! Elastic's integration `m365_defender` (<https://www.elastic.co/docs/reference/integrations/m365_defender>):
//! a package policy of Fleet for each tenant, as its API takes it.

use std::collections::BTreeMap;

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Document, Handover, Ready, bare};
use crate::{connector::Connector, text::one_line};

/// Whether the integration can read with a connector: it asks Microsoft Graph and nothing else.
pub(super) fn takes(connector: Connector) -> Result<(), String> {
    match connector {
        Connector::GraphSecurity | Connector::MsspSiem => Ok(()),
        Connector::DefenderXdr => {
            Err("Elastic's integration m365_defender reads Microsoft Graph, and \
                                       a defender-xdr app may only read the Defender XDR API; \
                                       graph-security reads the same incidents"
                .to_owned())
        }
    }
}

#[derive(Serialize)]
struct Policy<'a> {
    name: String,
    description: String,
    /// To be filled: the agent that shall read.
    policy_ids: [&'static str; 0],
    package: Package,
    inputs: BTreeMap<&'static str, Input<'a>>,
}

#[derive(Serialize)]
struct Package {
    name: &'static str,
    /// To be filled: the version that is installed.
    version: &'static str,
}

#[derive(Serialize)]
struct Input<'a> {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    vars: Option<Vars<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    streams: BTreeMap<&'static str, Stream<'a>>,
}

#[derive(Serialize)]
struct Vars<'a> {
    login_url: &'a str,
    token_endpoint: &'static str,
    client_id: String,
    client_secret: &'a str,
    tenant_id: String,
}

#[derive(Serialize)]
struct Stream<'a> {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    vars: Option<StreamVars<'a>>,
}

#[derive(Serialize)]
struct StreamVars<'a> {
    request_url: &'a str,
    tags: [String; 3],
    /// A refresh token, where a person signed in: YAML within JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    oauth_endpoint_params: Option<&'a str>,
}

/// One a tenant; each is a line of JSON, so that they can also be read one after the other.
pub(super) fn write(handover: &Handover<'_>) -> Vec<Document> {
    handover.tenants.iter().map(|tenant| policy(handover, tenant)).collect()
}

fn policy(handover: &Handover<'_>, tenant: &Ready) -> Document {
    let Ready { key, name, tenant: directory, connector, client, secret, refresh_token, .. } =
        tenant;
    let refresh = refresh_token.as_ref().map(|token| {
        // A text of JSON is one of YAML too.
        let token = serde_json::to_string(token.exposed()).expect("it is plain text");
        let token = Zeroizing::new(token);
        Zeroizing::new(format!("grant_type: refresh_token\nrefresh_token: {}\n", *token))
    });
    let stream = |what: &str, enabled| Stream {
        enabled,
        vars: enabled.then(|| StreamVars {
            request_url: bare(&handover.cloud.graph),
            tags: [
                "forwarded".to_owned(),
                format!("m365_defender-{what}"),
                format!("tenantry-{}-{key}", handover.fleet),
            ],
            oauth_endpoint_params: refresh.as_ref().map(|text| text.as_str()),
        }),
    };
    // An analyst's app may read incidents, with the alerts in them, and nothing else.
    let alerts = match connector {
        Connector::GraphSecurity => true,
        Connector::MsspSiem | Connector::DefenderXdr => false,
    };
    let reads = Input {
        enabled: true,
        vars: Some(Vars {
            login_url: bare(&handover.cloud.login),
            token_endpoint: "oauth2/v2.0/token",
            client_id: client.to_string(),
            client_secret: secret.exposed(),
            tenant_id: directory.to_string(),
        }),
        streams: BTreeMap::from([
            ("m365_defender.incident", stream("incident", true)),
            ("m365_defender.alert", stream("alert", alerts)),
        ]),
    };
    // The package's other way in, which would ask for an event hub.
    let event_hub = Input { enabled: false, vars: None, streams: BTreeMap::new() };
    let mut description = format!("{}: incidents of {}.", key, one_line(name, 120));
    for line in handover.heading() {
        description.push_str(&format!(" {line}"));
    }
    let policy = Policy {
        name: format!("tenantry-{}-{key}", handover.fleet),
        description,
        policy_ids: [],
        package: Package { name: "m365_defender", version: "" },
        inputs: BTreeMap::from([
            ("m365_defender-httpjson", reads),
            ("m365_defender-azure-eventhub", event_hub),
        ]),
    };
    let mut text = Zeroizing::new(serde_json::to_string(&policy).expect("it is plain text"));
    text.push('\n');
    Document { name: format!("{key}.json"), text }
}
