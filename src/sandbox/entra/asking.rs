//! What a person's link asks for, read and checked
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow>,
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-admin-consent>).

use super::{
    codes::Challenge,
    errors::Aadsts,
    redirect::{self, Platform},
    scopes::{self, Wanted},
    token::{self, Endpoint},
};
use crate::sandbox::{
    engine::{Context, State},
    http::{Request, form_pairs},
    world::apps::App,
};

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Purpose {
    /// A code for an app.
    Authorize,
    /// Consent for the whole directory.
    AdminConsent,
}

/// How an answer is carried to the redirect URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Query,
    Fragment,
    FormPost,
}

/// A link that was read and found in order.
pub(super) struct Asking {
    pub(super) app: App,
    /// The directory; nothing for `common` and `organizations`: the account's own.
    pub(super) tenant: Option<String>,
    pub(super) purpose: Purpose,
    pub(super) endpoint: Endpoint,
    pub(super) redirect: String,
    pub(super) sent_redirect: Option<String>,
    pub(super) platform: Platform,
    pub(super) mode: Mode,
    pub(super) state: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) wanted: Option<Wanted>,
    pub(super) challenge: Option<Challenge>,
    pub(super) nonce: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) hint: String,
    pub(super) link: String,
}

/// Why a link leads nowhere.
pub(super) enum Refused {
    /// People see it on the page.
    Page(Aadsts),
    /// The app is told.
    Redirect(Box<Asking>, Aadsts),
}

pub(super) fn read(
    state: &State,
    context: &Context<'_>,
    request: &Request,
    tenant: &str,
    purpose: Purpose,
    endpoint: Endpoint,
) -> Result<Asking, Refused> {
    let page = Refused::Page;
    let query = request.query.clone().unwrap_or_default();
    let pairs = form_pairs(query.as_bytes());
    for (i, (name, _)) in pairs.iter().enumerate() {
        if pairs[..i].iter().any(|(n, _)| n == name) {
            return Err(page(Aadsts::invalid_request(
                9_000_411,
                format!(
                    "The request is not properly formatted. The parameter '{name}' is duplicated."
                ),
            )));
        }
    }
    let get = |name: &str| {
        pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).filter(|v| !v.is_empty())
    };
    let client = get("client_id").ok_or_else(|| page(Aadsts::missing("client_id")))?;
    let name = tenant.to_ascii_lowercase();
    let shared = ["common", "organizations", "consumers"].contains(&name.as_str());
    let found = state.world.client(&client.to_ascii_lowercase());
    let open = matches!(
        (purpose, endpoint, name.as_str()),
        (Purpose::Authorize, _, "common" | "organizations")
            | (Purpose::AdminConsent, Endpoint::V1, "common")
            | (Purpose::AdminConsent, Endpoint::V2, "organizations")
    );
    let directory = if open && found.is_none_or(|(_, app)| app.audience() != "AzureADMyOrg") {
        None
    } else if shared && found.is_some_and(|(_, app)| app.audience() != "AzureADMyOrg") {
        return Err(page(Aadsts::invalid_request(90_013, "Invalid input received from the user.")));
    } else {
        Some(token::directory(&state.world, tenant, &client).map_err(page)?)
    };
    let unknown = || {
        page(Aadsts::new(
            400,
            "unauthorized_client",
            700_016,
            format!(
                "Application with identifier '{client}' was not found in the directory '{}'. This can happen \
                 if the application has not been installed by the administrator of the tenant or consented to \
                 by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
                directory.map_or("Microsoft", |d| d.meta.name.as_str())
            ),
        ))
    };
    let (home, app) = found.ok_or_else(unknown)?;
    if let Some(directory) = directory
        && app.audience() == "AzureADMyOrg"
        && home != directory.meta.id
    {
        if directory.principals.by_app_id(app.app_id()).is_none() {
            return Err(unknown());
        }
        return Err(page(Aadsts::new(
            400,
            "unauthorized_client",
            650_059,
            format!(
                "The application (appId:{client}) is not configured for use in tenant (tenantId: {}). The value \
                 AzureADMyOrg set for application property SignInAudience is limiting its use in the tenant.",
                directory.meta.id
            ),
        )));
    }
    let sent_redirect = get("redirect_uri");
    let (platform, redirect) = redirect::find(app, sent_redirect.as_deref()).map_err(page)?;
    let mut asking = Asking {
        app: app.clone(),
        tenant: directory.map(|d| d.meta.id.clone()),
        purpose,
        endpoint,
        redirect,
        sent_redirect,
        platform,
        mode: Mode::Query,
        state: get("state"),
        scope: get("scope"),
        wanted: None,
        challenge: None,
        nonce: get("nonce"),
        prompt: get("prompt"),
        hint: get("login_hint").unwrap_or_default(),
        link: format!("{}?{query}", request.path),
    };
    let tell = |asking: Asking, refusal: Aadsts| Err(Refused::Redirect(Box::new(asking), refusal));
    if purpose == Purpose::AdminConsent {
        if endpoint == Endpoint::V2 {
            let Some(scope) = asking.scope.clone() else {
                return tell(asking, Aadsts::missing("scope"));
            };
            match scopes::read(&scope, directory, request, context.base) {
                Ok(wanted) => asking.wanted = Some(wanted),
                Err(refusal) => return tell(asking, refusal),
            }
        }
        return Ok(asking);
    }
    asking.mode = match get("response_mode").as_deref() {
        None | Some("query") => Mode::Query,
        Some("fragment") => Mode::Fragment,
        Some("form_post") => Mode::FormPost,
        Some(other) => {
            let refusal = Aadsts::invalid_request(
                70_007,
                format!(
                    "'{other}' is not a supported value of 'response_mode' when requesting a token."
                ),
            );
            return tell(asking, refusal);
        }
    };
    match get("response_type").as_deref() {
        Some("code") => {}
        None => return tell(asking, Aadsts::missing("response_type")),
        Some(other) => {
            let refusal = Aadsts::new(
                400,
                "unsupported_response_type",
                700_054,
                format!("response_type '{other}' is not enabled for the application."),
            );
            return tell(asking, refusal);
        }
    }
    let prompts = ["none", "login", "consent", "select_account", "create"];
    if asking.prompt.as_deref().is_some_and(|p| !prompts.contains(&p)) {
        let refusal = Aadsts::invalid_request(90_023, "Unsupported 'prompt' value.");
        return tell(asking, refusal);
    }
    let wanted = match endpoint {
        Endpoint::V2 if get("resource").is_some() => Err(Aadsts::invalid_request(
            901_002,
            "The 'resource' request parameter is not supported.",
        )),
        Endpoint::V2 => match &asking.scope {
            Some(scope) => scopes::read(scope, directory, request, context.base),
            None => Err(Aadsts::missing("scope")),
        },
        Endpoint::V1 => match get("resource") {
            Some(resource) => scopes::of_resource(&resource, directory, request, context.base),
            None => Err(Aadsts::missing("resource")),
        },
    };
    match wanted {
        Ok(wanted) => asking.wanted = Some(wanted),
        Err(refusal) => return tell(asking, refusal),
    }
    let method = get("code_challenge_method");
    asking.challenge = match (get("code_challenge"), method.as_deref()) {
        (None, None) => None,
        (None, Some(_)) => return tell(asking, Aadsts::missing("code_challenge")),
        (Some(text), method) => {
            let length = (43..=128).contains(&text.len());
            let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c));
            match method {
                Some("S256") if length && plain => Some(Challenge::S256(text)),
                None | Some("plain") if length && plain => Some(Challenge::Plain(text)),
                Some("S256" | "plain") | None => {
                    let refusal = Aadsts::invalid_request(
                        501_491,
                        "Invalid size of Code_Challenge parameter.",
                    );
                    return tell(asking, refusal);
                }
                Some(_) => {
                    let refusal = Aadsts::invalid_request(
                        501_492,
                        "Invalid Code_Challenge_method parameter.",
                    );
                    return tell(asking, refusal);
                }
            }
        }
    };
    Ok(asking)
}
