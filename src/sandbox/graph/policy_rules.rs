//! What app-management policies forbid
//! (<https://learn.microsoft.com/en-us/graph/api/resources/applicationauthenticationmethodpolicy>).
//!
//! Policies stop what is added; what is there goes on.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{Span, Timestamp};
use serde_json::{Map, Value};

use crate::sandbox::{
    certificate::Certificate,
    clock::plus,
    schema::Refusal,
    world::{apps::App, directory::Directory},
};

/// Who asks for something, in which directory, of an application with which policies of its own.
pub(super) struct Asked<'a> {
    pub(super) directory: &'a Directory,
    /// The object id of the caller.
    pub(super) actor: &'a str,
    /// Ids of the policies that are assigned to the application.
    pub(super) assigned: &'a [String],
}

impl Asked<'_> {
    /// Whether a restriction is in force for an application and this caller.
    pub(super) fn holds(&self, restriction: &Value, app: &Map<String, Value>) -> bool {
        in_force(restriction, created(app)) && !self.is_exempt(restriction)
    }

    /// Whether the caller carries a custom security attribute that exempts it
    /// (<https://learn.microsoft.com/en-us/graph/api/resources/customsecurityattributestringvalueexemption>):
    /// `Set_Name` is the id of the attribute `Name` of the set `Set`.
    fn is_exempt(&self, restriction: &Value) -> bool {
        let actor = self.directory.principal(self.actor).unwrap_or_default();
        let exemptions = restriction["excludeActors"]["customSecurityAttributes"].as_array();
        exemptions.into_iter().flatten().any(|exemption| {
            let id = exemption["id"].as_str().unwrap_or_default();
            actor["customSecurityAttributes"].as_object().into_iter().flatten().any(
                |(set, attributes)| {
                    attributes.as_object().into_iter().flatten().any(|(name, value)| {
                        format!("{set}_{name}") == id && *value == exemption["value"]
                    })
                },
            )
        })
    }
}

/// The policy that counts for an application: its own, where it has an enabled one, instead of
/// the directory's default. With its id and its restrictions.
pub(super) fn effective<'d>(asked: &Asked<'d>) -> Option<(&'d str, &'d Value)> {
    let Asked { directory, actor: _, assigned } = *asked;
    let policies = &directory.meta.policies;
    let own = policies
        .custom
        .iter()
        .find(|p| p["isEnabled"] != false && assigned.iter().any(|id| p["id"] == *id.as_str()));
    if let Some(own) = own {
        return Some((own["id"].as_str().unwrap_or_default(), &own["restrictions"]));
    }
    let default = &policies.default;
    (default["isEnabled"] == true)
        .then(|| (default["id"].as_str().unwrap_or_default(), &default["applicationRestrictions"]))
}

/// Whether a restriction is in force for an application made at `created`.
fn in_force(restriction: &Value, created: Option<Timestamp>) -> bool {
    if restriction["state"] == "disabled" {
        return false;
    }
    let after = restriction["restrictForAppsCreatedAfterDateTime"]
        .as_str()
        .and_then(|t| t.parse::<Timestamp>().ok());
    match (after, created) {
        (Some(after), Some(created)) => created > after,
        // A new application is newer than any date that lies behind.
        (Some(_) | None, None) | (None, Some(_)) => true,
    }
}

fn created(members: &Map<String, Value>) -> Option<Timestamp> {
    members.get("createdDateTime")?.as_str()?.parse().ok()
}

fn list<'v>(restrictions: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    restrictions[name].as_array().into_iter().flatten()
}

/// Refuses a secret that must not be added, or would live too long.
///
/// # Errors
/// `CredentialTypeNotAllowedAsPerAppPolicy`, `CredentialInvalidLifetimeAsPerAppPolicy`.
pub(super) fn password(
    asked: &Asked<'_>,
    app: &App,
    start: Timestamp,
    end: Timestamp,
) -> Result<(), Refusal> {
    let Some((id, restrictions)) = effective(asked) else {
        return Ok(());
    };
    let mut shortest: Option<Timestamp> = None;
    for restriction in list(restrictions, "passwordCredentials") {
        if !asked.holds(restriction, app.members()) {
            continue;
        }
        match restriction["restrictionType"].as_str() {
            Some("passwordAddition") => return Err(type_not_allowed(id)),
            Some("passwordLifetime") => {
                let limit = restriction["maxLifetime"]
                    .as_str()
                    .and_then(|d| d.parse::<Span>().ok())
                    .and_then(|span| plus(start, span));
                shortest = match (shortest, limit) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            // Secrets that the client chooses and symmetric keys: nothing of the kind is added here.
            Some(_) | None => {}
        }
    }
    if shortest.is_some_and(|limit| end > limit) {
        return Err(lifetime(id));
    }
    Ok(())
}

fn is_self_issued(key: &Value) -> bool {
    key["key"]
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok())
        .and_then(|der| Certificate::read(&der))
        .is_some_and(|certificate| certificate.self_issued)
}

fn type_not_allowed(id: &str) -> Refusal {
    let text = format!("Credential type not allowed as per assigned policy '{id}'.");
    Refusal::new(400, "CredentialTypeNotAllowedAsPerAppPolicy", text)
}

fn lifetime(id: &str) -> Refusal {
    let text =
        format!("Credential lifetime exceeds the max value allowed as per assigned policy '{id}'.");
    Refusal::new(400, "CredentialInvalidLifetimeAsPerAppPolicy", text.clone()).with_detail(
        "InvalidKeyEndDate",
        text,
        "EndDate",
    )
}

/// Refuses key credentials that are new and must not be added, or live too long.
///
/// # Errors
/// As [`password`].
pub(super) fn keys(
    asked: &Asked<'_>,
    app: &Map<String, Value>,
    old: &[Value],
) -> Result<(), Refusal> {
    let Some((id, restrictions)) = effective(asked) else {
        return Ok(());
    };
    let fresh = app
        .get("keyCredentials")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|key| !old.iter().any(|o| o["keyId"] == key["keyId"]));
    for key in fresh {
        let symmetric = key["type"] == "Symmetric";
        let (place, addition, life) = if symmetric {
            ("passwordCredentials", "symmetricKeyAddition", "symmetricKeyLifetime")
        } else {
            ("keyCredentials", "", "asymmetricKeyLifetime")
        };
        for restriction in list(restrictions, place) {
            if !asked.holds(restriction, app) {
                continue;
            }
            let kind = restriction["restrictionType"].as_str().unwrap_or_default();
            if !addition.is_empty() && kind == addition {
                return Err(type_not_allowed(id));
            }
            // Which words Microsoft has for it, no page says; nor does the sandbox keep authorities,
            // so that only what names no issuer but itself is known to be of none of them.
            if !symmetric && kind == "trustedCertificateAuthority" && is_self_issued(key) {
                return Err(type_not_allowed(id));
            }
            if kind == life {
                let time =
                    |name: &str| key[name].as_str().and_then(|t| t.parse::<Timestamp>().ok());
                let limit = restriction["maxLifetime"]
                    .as_str()
                    .and_then(|d| d.parse::<Span>().ok())
                    .zip(time("startDateTime"))
                    .and_then(|(span, start)| plus(start, span));
                if limit.zip(time("endDateTime")).is_some_and(|(limit, end)| end > limit) {
                    return Err(lifetime(id));
                }
            }
        }
    }
    Ok(())
}

/// Refuses an audience that the directory does not allow.
///
/// # Errors
/// `SignInAudienceNotAllowedAsPerAppPolicy`.
pub(super) fn audience(asked: &Asked<'_>, app: &Map<String, Value>) -> Result<(), Refusal> {
    let Some((id, restrictions)) = effective(asked) else {
        return Ok(());
    };
    // A policy of an app's own holds them one level deeper.
    let audiences =
        [&restrictions["audiences"], &restrictions["applicationRestrictions"]["audiences"]];
    let value = app.get("signInAudience").and_then(Value::as_str).unwrap_or_default();
    let banned: &[&str] = match value {
        "AzureADMultipleOrgs" => &["azureAdMultipleOrgs"],
        "AzureADandPersonalMicrosoftAccount" => {
            &["azureAdMultipleOrgs", "personalMicrosoftAccount"]
        }
        "PersonalMicrosoftAccount" => &["personalMicrosoftAccount"],
        _ => &[],
    };
    let refused = audiences
        .iter()
        .any(|a| banned.iter().any(|name| a[*name].is_object() && asked.holds(&a[*name], app)));
    if refused {
        return Err(Refusal::new(
            400,
            "SignInAudienceNotAllowedAsPerAppPolicy",
            format!(
                "SignInAudience value '{value}' not allowed as per assigned policy '{id}'. Set the application to \
                 use single-tenant audience of 'AzureADMyOrg' or other allowed values."
            ),
        ));
    }
    Ok(())
}

/// Refuses identifier URIs that are new and hold neither a verified domain nor an id of ours.
///
/// # Errors
/// 400 `Request_BadRequest`; 400 `HostNameNotOnVerifiedDomain` for an `https` URI of another's
/// domain, whatever the policy.
pub(super) fn identifier_uris(
    asked: &Asked<'_>,
    old: Option<&App>,
    app: &Map<String, Value>,
) -> Result<(), Refusal> {
    let before: Vec<&Value> =
        old.and_then(|o| o.graph["identifierUris"].as_array()).into_iter().flatten().collect();
    let fresh = app
        .get("identifierUris")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|uri| !before.contains(uri))
        .filter_map(Value::as_str);
    let directory = asked.directory;
    let restricted = effective(asked).is_some_and(|(_, restrictions)| {
        let rules = [
            &restrictions["identifierUris"],
            &restrictions["applicationRestrictions"]["identifierUris"],
        ];
        let version_2 = app.get("api").is_some_and(|api| api["requestedAccessTokenVersion"] == 2);
        rules.iter().any(|r| {
            ["nonDefaultUriAddition", "uriAdditionWithoutUniqueTenantIdentifier"]
                .iter()
                .map(|name| &r[*name])
                .any(|rule| {
                    rule.is_object()
                        && asked.holds(rule, app)
                        && !(version_2 && rule["excludeAppsReceivingV2Tokens"] == true)
                })
        })
    });
    for uri in fresh {
        let host = url::Url::parse(uri)
            .ok()
            .and_then(|u| u.host_str().map(str::to_ascii_lowercase))
            .unwrap_or_default();
        let own_domain = directory.meta.domains.iter().any(|domain| {
            let domain = domain.to_ascii_lowercase();
            host == domain || host.ends_with(&format!(".{domain}"))
        });
        let own_id = [app.get("appId").and_then(Value::as_str), Some(directory.meta.id.as_str())]
            .into_iter()
            .flatten()
            .any(|id| uri.to_ascii_lowercase().contains(id));
        if uri.starts_with("https://") && !own_domain {
            return Err(Refusal::new(
                400,
                "HostNameNotOnVerifiedDomain",
                "Values of identifierUris property must use a verified domain of the organization or its subdomain: \
                 'https' URIs of other domains are not allowed.",
            )
            .with_detail("HostNameNotOnVerifiedDomain", uri, "identifierUris"));
        }
        if restricted && !own_domain && !own_id {
            return Err(Refusal::bad_request(format!(
                "Failed to add identifier URI {uri}. All newly added URIs must contain a tenant verified domain, \
                 tenant ID, or app ID, as per the default tenant policy of your organization. See \
                 https://aka.ms/identifier-uri-addition-error for more information on this error."
            )));
        }
    }
    Ok(())
}
