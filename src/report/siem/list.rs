//! One document for programs: ids, addresses, and where the values lie; the values themselves only
//! where they were asked for.

use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Handover, Held, Ready, Values, bare};
use crate::{
    connector::Connector,
    ids::{AppKey, ClientId, FleetName, KeyId, Nonce, TenantId, TenantKey},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    format_version: u32,
    fleet: &'a FleetName,
    sandbox: bool,
    tenants: Vec<Tenant<'a>>,
    left_out: Vec<LeftOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tenant<'a> {
    key: &'a TenantKey,
    name: &'a str,
    tenant_id: TenantId,
    client_id: ClientId,
    connector: Connector,
    endpoints: Endpoints,
    vault: InVault<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoints {
    token: String,
    scope: Option<String>,
    incidents: Option<String>,
}

/// Where the values lie.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InVault<'a> {
    app: &'a AppKey,
    client_secret: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Reference<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    nonce: &'a Nonce,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    ends: Option<Timestamp>,
}

#[derive(Serialize)]
struct LeftOut<'a> {
    key: &'a TenantKey,
    why: &'a str,
}

pub(super) fn write(handover: &Handover<'_>) -> Zeroizing<String> {
    let list = List {
        format_version: 1,
        fleet: handover.fleet,
        sandbox: handover.sandbox,
        tenants: handover.tenants.iter().map(|ready| tenant(handover, ready)).collect(),
        left_out: handover.left_out.iter().map(|(key, why)| LeftOut { key, why }).collect(),
    };
    let mut text = Zeroizing::new(serde_json::to_string_pretty(&list).expect("it is plain text"));
    text.push('\n');
    text
}

fn tenant<'a>(handover: &Handover<'_>, ready: &'a Ready) -> Tenant<'a> {
    let Ready {
        key,
        name,
        tenant,
        connector,
        app,
        home: _,
        client,
        shared: _,
        secret,
        refresh_token,
    } = ready;
    let written = |held: &'a Held| match handover.values {
        Values::Written => Some(held.exposed()),
        Values::Referred => None,
    };
    Tenant {
        key,
        name,
        tenant_id: *tenant,
        client_id: *client,
        connector: *connector,
        endpoints: Endpoints {
            token: format!("{}/{tenant}/oauth2/v2.0/token", bare(&handover.cloud.login)),
            scope: handover.scope(*connector),
            incidents: handover.incidents(*connector),
        },
        vault: InVault {
            app,
            client_secret: reference(secret),
            refresh_token: refresh_token.as_ref().map(reference),
        },
        client_secret: written(secret),
        refresh_token: refresh_token.as_ref().and_then(written),
    }
}

fn reference(held: &Held) -> Reference<'_> {
    let Held { nonce, key_id, ends, value: _ } = held;
    Reference { nonce, key_id: *key_id, ends: *ends }
}
