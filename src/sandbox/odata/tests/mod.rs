//! Every rule of the query options, each with what it refuses and what it lets pass.

mod against_naive;
mod filters;
mod listing;
mod options;
mod robust;

use serde_json::{Value, json};

use super::*;
use crate::sandbox::schema;

/// `$count=true` and the header.
const ADVANCED: &str = "&$count=true";

fn query(raw: &str, eventual: bool) -> Result<Query, Refusal> {
    Query::parse(Some(raw), eventual, &schema::APPLICATION, Shape::Collection)
}

/// The code and message of a refusal with status 400.
fn why(outcome: Result<Query, Refusal>) -> String {
    let refusal = outcome.expect_err("refused");
    assert_eq!(refusal.status, 400, "{refusal}");
    format!("{}: {}", refusal.code, refusal.message)
}

fn filter(text: &str) -> Result<Query, Refusal> {
    query(&format!("$filter={}", encode(text)), false)
}

fn advanced(text: &str) -> Result<Query, Refusal> {
    query(&format!("$filter={}{ADVANCED}", encode(text)), true)
}

/// Percent-encodes everything that is not a letter or digit.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn apps() -> Vec<Value> {
    vec![
        json!({"id": "1", "appId": "aaaaaaaa-0000-0000-0000-000000000001", "displayName": "Contoso SIEM",
            "description": null, "uniqueName": "contoso", "tags": ["fleet:one", "Managed"], "identifierUris": [],
            "createdDateTime": "2026-01-01T00:00:00Z", "signInAudience": "AzureADMyOrg",
            "web": {"homePageUrl": "https://contoso.com", "redirectUris": ["https://contoso.com/cb"], "logoutUrl": null},
            "requiredResourceAccess": [{"resourceAppId": "00000003-0000-0000-c000-000000000000", "resourceAccess": []}]}),
        json!({"id": "2", "appId": "aaaaaaaa-0000-0000-0000-000000000002", "displayName": "contoso portal",
            "description": "Old one", "uniqueName": null, "tags": [], "identifierUris": ["api://two"],
            "createdDateTime": "2026-02-01T12:00:00.5Z", "signInAudience": "AzureADMultipleOrgs",
            "web": {"homePageUrl": null, "redirectUris": [], "logoutUrl": null}, "requiredResourceAccess": []}),
        json!({"id": "3", "appId": "aaaaaaaa-0000-0000-0000-000000000003", "displayName": "O'Brien & Söhne",
            "description": "old two", "uniqueName": "obrien", "tags": ["fleet:two"], "identifierUris": ["api://three", "https://three"],
            "createdDateTime": "2026-03-01T00:00:00Z", "signInAudience": "AzureADMyOrg",
            "web": {"homePageUrl": null, "redirectUris": ["https://three/cb", "https://three/x"], "logoutUrl": null}, "requiredResourceAccess": []}),
    ]
}

/// The ids of what a query lets through, in order.
fn ids(query: &Query) -> String {
    let apps = apps();
    let page = query.page(apps.iter());
    page.items.iter().filter_map(|item| item["id"].as_str()).collect::<Vec<_>>().join(" ")
}
