//! What app-management policies forbid of redirect URIs
//! (<https://learn.microsoft.com/en-us/graph/api/resources/redirecturiconfiguration?view=graph-rest-beta>).

use serde_json::{Map, Value};
use url::Url;

use super::policy_rules::{Asked, effective};
use crate::sandbox::schema::Refusal;

/// The platforms, each with where its URIs stand and its name in a rule.
const PLATFORMS: [&str; 3] = ["web", "spa", "publicClient"];

/// Refuses redirect URIs that are new and that the policy does not allow.
///
/// # Errors
/// 400. Microsoft writes down neither code nor words of it: these follow those of the audience.
pub(super) fn redirect_uris(
    asked: &Asked<'_>,
    old: Option<&Map<String, Value>>,
    app: &Map<String, Value>,
) -> Result<(), Refusal> {
    let Some((id, restrictions)) = effective(asked) else {
        return Ok(());
    };
    let places =
        [&restrictions["redirectUris"], &restrictions["applicationRestrictions"]["redirectUris"]];
    for platform in PLATFORMS {
        let before: Vec<&str> = old.map(|old| uris(old, platform)).unwrap_or_default();
        for uri in uris(app, platform).into_iter().filter(|uri| !before.contains(uri)) {
            if places.iter().any(|rules| forbids(rules, platform, uri, asked, app)) {
                return Err(Refusal::bad_request(format!(
                    "Redirect URI '{uri}' not allowed as per assigned policy '{id}'."
                ))
                .with_detail("InvalidRedirectUri", uri, "redirectUris"));
            }
        }
    }
    Ok(())
}

fn uris<'a>(app: &'a Map<String, Value>, platform: &str) -> Vec<&'a str> {
    app.get(platform)
        .and_then(|platform| platform["redirectUris"].as_array())
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn forbids(
    rules: &Value,
    platform: &str,
    uri: &str,
    asked: &Asked<'_>,
    app: &Map<String, Value>,
) -> bool {
    // What holds for every platform and what holds for this one, together.
    let listed = |rule: &Value, list: &str| -> Vec<String> {
        [&rule[list], &rule[platform][list]]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_ascii_lowercase)
            .collect()
    };
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    let host = Url::parse(uri)
        .ok()
        .and_then(|url| url.host_str().map(str::to_ascii_lowercase))
        .unwrap_or_default();
    let in_force = |rule: &&Value| rule.is_object() && asked.holds(rule, app);
    let rule = |name: &str| Some(&rules[name]).filter(in_force);
    rule("uriWithoutAllowedScheme").is_some_and(|rule| {
        !listed(rule, "allowedSchemes").iter().any(|one| one == "*" || *one == scheme)
    }) || rule("uriWithBlockedScheme").is_some_and(|rule| {
        listed(rule, "blockedSchemes").contains(&scheme)
            && !listed(rule, "exemptFormats").iter().any(|form| fits(form, uri))
    }) || rule("uriWithoutAllowedDomain")
        .is_some_and(|rule| !listed(rule, "allowedDomains").contains(&host))
        || rule("uriWithBlockedDomain")
            .is_some_and(|rule| listed(rule, "blockedDomains").contains(&host))
        || rule("uriWithWildcard").is_some_and(|rule| {
            let formats = &rule["excludeFormats"];
            let path_is_free = formats["excludeWildcardsInPath"] == false
                && !listed(formats, "excludeWildcardsInPathWithDomains").contains(&host);
            host.contains('*') || uri.contains('*') && !path_is_free
        })
}

/// Whether a URI has a form in which `*` stands for anything.
fn fits(form: &str, uri: &str) -> bool {
    let uri = uri.to_ascii_lowercase();
    match form.split_once('*') {
        Some((front, _)) => uri.starts_with(front),
        None => uri == form,
    }
}
