//! The rules of applications that no table of single properties can say.
//!
//! <https://learn.microsoft.com/en-us/entra/identity-platform/supported-accounts-validation>,
//! <https://learn.microsoft.com/en-us/entra/identity/users/directory-service-limits-restrictions>.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::check::length;
use super::redirect::{self, Audience, Platform};
use super::{PASSWORD_CREDENTIAL, Refusal, Write};

const RESOURCE: &str = "Application";
/// Entries of all lists together.
const MAX_ENTRIES: usize = 1200;
const MAX_APIS: usize = 50;

impl Audience {
    /// By the `signInAudience` of an application or of a body that may lack it.
    fn of(application: &Map<String, Value>) -> Self {
        match application.get("signInAudience").and_then(Value::as_str) {
            Some("AzureADandPersonalMicrosoftAccount" | "PersonalMicrosoftAccount") => {
                Audience::Personal
            }
            _ => Audience::Organizations,
        }
    }

    fn most_name_characters(self) -> usize {
        match self {
            Audience::Organizations => 120,
            Audience::Personal => 90,
        }
    }

    fn most_identifier_uri_characters(self) -> usize {
        match self {
            Audience::Organizations => 255,
            Audience::Personal => 120,
        }
    }

    fn most_permissions(self) -> usize {
        match self {
            Audience::Organizations => 400,
            Audience::Personal => 200,
        }
    }

    fn most_permissions_of_one_api(self) -> usize {
        match self {
            Audience::Organizations => 400,
            Audience::Personal => 30,
        }
    }
}

/// Checks the rules across properties of a whole application: redirect URIs, lengths and
/// counts by audience, permissions, the size of it all. For use after a merge, when a body
/// alone does not show the audience.
///
/// # Errors
/// 400 `Request_BadRequest`, as Graph words it.
pub fn check_application(application: &Map<String, Value>) -> Result<(), Refusal> {
    let audience = Audience::of(application);
    check_display_name(application, audience)?;
    check_redirect_uris(application, audience)?;
    check_identifier_uris(application, audience)?;
    check_permissions(application, audience)?;
    check_token_version(application, audience)?;
    check_size(application)
}

/// The rules about secrets in the body of an application or a service principal.
pub(super) fn check_secrets(
    body: &Map<String, Value>,
    write: Write,
    resource: &str,
) -> Result<(), Refusal> {
    let Some(secrets) = body.get("passwordCredentials").and_then(Value::as_array) else {
        return Ok(());
    };
    match write {
        // Observed with a chosen secretText (ansible-collections/azure #1372); a PATCH can
        // set no secret either (application-upsert).
        Write::Upsert | Write::Update => return Err(made_by_actions()),
        Write::Create => {}
    }
    for secret in secrets.iter().filter_map(Value::as_object) {
        check_secret(secret, resource)?;
    }
    match Audience::of(body) {
        Audience::Personal if secrets.len() > 2 => Err(Refusal::invalid_value(
            "passwordCredentials",
            resource,
            "At most 2 secrets while personal accounts can sign in.",
        )),
        Audience::Personal | Audience::Organizations => Ok(()),
    }
}

/// Checks a secret that is asked for: the `passwordCredential` of `addPassword`.
///
/// # Errors
/// 400: unknown members and wrong types, a `secretText` of the client's choice, an end
/// before the start.
pub fn check_password_credential(
    credential: &Map<String, Value>,
    resource: &str,
) -> Result<(), Refusal> {
    PASSWORD_CREDENTIAL.check(credential, resource)?;
    check_secret(credential, resource)
}

fn check_secret(secret: &Map<String, Value>, resource: &str) -> Result<(), Refusal> {
    if secret.get("secretText").is_some_and(|text| !text.is_null()) {
        return Err(made_by_actions());
    }
    let moment = |name: &str| secret.get(name)?.as_str()?.parse::<jiff::Timestamp>().ok();
    match (moment("startDateTime"), moment("endDateTime")) {
        (Some(start), Some(end)) if end <= start => Err(Refusal::invalid_value(
            "passwordCredentials",
            resource,
            "The credential ends before it starts.",
        )),
        _ => Ok(()),
    }
}

fn made_by_actions() -> Refusal {
    Refusal::bad_request("New password credentials must be generated using service actions.")
}

fn check_display_name(application: &Map<String, Value>, audience: Audience) -> Result<(), Refusal> {
    let limit = audience.most_name_characters();
    match application.get("displayName").and_then(Value::as_str) {
        Some(name) if length(name) > limit => Err(Refusal::invalid_value(
            "displayName",
            RESOURCE,
            format!("'displayName' is longer than {limit} characters."),
        )),
        Some(_) | None => Ok(()),
    }
}

fn check_redirect_uris(
    application: &Map<String, Value>,
    audience: Audience,
) -> Result<(), Refusal> {
    let platforms =
        [("web", Platform::Web), ("spa", Platform::Spa), ("publicClient", Platform::PublicClient)];
    let mut seen = HashSet::new();
    for (member, platform) in platforms {
        let uris = texts(application.get(member).and_then(|settings| settings.get("redirectUris")));
        for uri in uris {
            redirect::check(uri, platform, audience)
                .map_err(|why| Refusal::invalid_value(member, RESOURCE, why))?;
            if !seen.insert(uri) {
                return Err(Refusal::invalid_value(
                    member,
                    RESOURCE,
                    format!("The redirect URI '{uri}' is there twice."),
                ));
            }
        }
    }
    // The directory's own words for too many of them (openshift/openshift-azure #2234).
    if seen.len() > audience.most_redirect_uris() {
        return Err(Refusal::bad_request("One or more properties contains invalid values.")
            .with_detail(
                "InvalidValue",
                format!("At most {} redirect URIs.", audience.most_redirect_uris()),
                "redirectUris",
            ));
    }
    Ok(())
}

fn check_identifier_uris(
    application: &Map<String, Value>,
    audience: Audience,
) -> Result<(), Refusal> {
    let limit = audience.most_identifier_uri_characters();
    let mut seen = HashSet::new();
    for uri in texts(application.get("identifierUris")) {
        let why = if length(uri) > limit {
            format!("'{uri}' is longer than {limit} characters.")
        } else if !is_absolute(uri) {
            format!("'{uri}' is not an absolute URI.")
        } else if !seen.insert(uri) {
            format!("'{uri}' is there twice.")
        } else {
            continue;
        };
        return Err(Refusal::invalid_value("identifierUris", RESOURCE, why));
    }
    Ok(())
}

fn is_absolute(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            && !uri.contains(char::is_whitespace)
    })
}

fn check_permissions(application: &Map<String, Value>, audience: Audience) -> Result<(), Refusal> {
    let refuse = |why: String| Refusal::invalid_value("requiredResourceAccess", RESOURCE, why);
    let apis = items(application.get("requiredResourceAccess"));
    if apis.len() > MAX_APIS {
        return Err(refuse(format!("At most {MAX_APIS} APIs.")));
    }
    let mut seen_apis = HashSet::new();
    let mut total = 0;
    for api in apis {
        let id = api.get("resourceAppId").and_then(Value::as_str).unwrap_or_default();
        if !super::check::is_guid(id) {
            return Err(refuse(format!("The resourceAppId '{id}' is not a GUID.")));
        }
        if !seen_apis.insert(id.to_ascii_lowercase()) {
            return Err(refuse(format!("The API '{id}' is there twice.")));
        }
        let permissions = items(api.get("resourceAccess"));
        let limit = audience.most_permissions_of_one_api();
        if permissions.len() > limit {
            return Err(refuse(format!("At most {limit} permissions of one API.")));
        }
        total += permissions.len();
        let mut seen = HashSet::new();
        for permission in permissions {
            let id = permission.get("id").and_then(Value::as_str).unwrap_or_default();
            let kind = permission.get("type").and_then(Value::as_str).unwrap_or_default();
            if !seen.insert((id.to_ascii_lowercase(), kind)) {
                return Err(refuse(format!("The permission '{id}' is there twice.")));
            }
        }
    }
    let limit = audience.most_permissions();
    if total > limit {
        return Err(refuse(format!("At most {limit} permissions.")));
    }
    Ok(())
}

fn check_token_version(
    application: &Map<String, Value>,
    audience: Audience,
) -> Result<(), Refusal> {
    let version = application
        .get("api")
        .and_then(|api| api.get("requestedAccessTokenVersion"))
        .and_then(Value::as_i64);
    match (version, audience) {
        (None | Some(2), _) | (Some(1), Audience::Organizations) => Ok(()),
        // Personal accounts get version 2 only (supported-accounts-validation).
        (Some(_), _) => {
            Err(Refusal::bad_request("Property api.requestedAccessTokenVersion is invalid.")
                .with_detail("InvalidValue", "1 or 2; 2 for personal accounts.", "api"))
        }
    }
}

fn check_size(application: &Map<String, Value>) -> Result<(), Refusal> {
    if application.values().map(entries).sum::<usize>() > MAX_ENTRIES {
        // <https://learn.microsoft.com/en-us/entra/identity-platform/reference-app-manifest>
        return Err(Refusal::bad_request(
            "The size of the object has exceeded its limit. Please reduce the number of values and retry your request.",
        ));
    }
    Ok(())
}

/// Entries of all lists in a value; what stands inside a list's entries counts too.
fn entries(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.len() + list.iter().map(entries).sum::<usize>(),
        Value::Object(members) => members.values().map(entries).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    items(value).iter().filter_map(Value::as_str)
}
