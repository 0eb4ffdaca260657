//! Where people come: the authorize endpoint and both admin-consent endpoints
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow>,
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-admin-consent>).
//!
//! A visit is read from its address each time; the forms carry a ticket of it, good once.

use hyper::Method;

use super::{
    codes::{Account, Challenge, Code, Factor, Use, Visit},
    errors::Aadsts,
    grants::{self, For, Kind, NoSuchService, OPENID, Permission},
    redirect::{self, Platform},
    scopes::{self, Names, Offline, Wanted},
    token::{self, Endpoint},
    user_token,
};
use crate::sandbox::{
    engine::{Context, State},
    http::{Request, Response, form_pairs},
    pages::login::{self, Asked, Choice, Reach},
    random,
    world::{
        apps::App,
        directory::{SignInPolicy, User},
        first_party,
        people::{self, Power},
    },
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
enum Mode {
    Query,
    Fragment,
    FormPost,
}

/// A link that was read and found in order.
struct Asking {
    app: App,
    /// The directory; nothing for `common` and `organizations`: the account's own.
    tenant: Option<String>,
    purpose: Purpose,
    endpoint: Endpoint,
    redirect: String,
    sent_redirect: Option<String>,
    platform: Platform,
    mode: Mode,
    state: Option<String>,
    scope: Option<String>,
    wanted: Option<Wanted>,
    challenge: Option<Challenge>,
    nonce: Option<String>,
    prompt: Option<String>,
    hint: String,
    link: String,
}

/// Why a link leads nowhere.
enum Refused {
    /// People see it on the page.
    Page(Aadsts),
    /// The app is told.
    Redirect(Box<Asking>, Aadsts),
}

/// Answers a visit.
pub(in crate::sandbox) fn answer(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    tenant: &str,
    purpose: Purpose,
    endpoint: Endpoint,
) -> Response {
    let asking = match read(state, context, request, tenant, purpose, endpoint) {
        Ok(asking) => asking,
        Err(Refused::Page(refusal)) => return on_page(state, &refusal),
        Err(Refused::Redirect(asking, refusal)) => return tell(state, &asking, &refusal),
    };
    if request.method != Method::POST {
        if asking.prompt.as_deref() == Some("none") {
            let refusal = Aadsts::new(
                400,
                "login_required",
                50_058,
                "A silent sign-in request was sent but no user is signed in.",
            );
            return tell(state, &asking, &refusal);
        }
        return sign_in(state, &asking);
    }
    if !request.same_origin() {
        return login::trouble("The form is another page's.");
    }
    go_on(state, request, &asking)
}

fn on_page(state: &State, refusal: &Aadsts) -> Response {
    let text = refusal.description(state.world.now(), &random::guid(), &random::guid());
    login::trouble(&text)
}

fn read(
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
    let open = match (purpose, endpoint, name.as_str()) {
        (Purpose::Authorize, _, "common" | "organizations") => true,
        (Purpose::AdminConsent, Endpoint::V1, "common") => true,
        (Purpose::AdminConsent, Endpoint::V2, "organizations") => true,
        _ => false,
    };
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

/// The page where an account is chosen: the provider's people, and the directory's own.
fn sign_in(state: &mut State, asking: &Asking) -> Response {
    let mut choices = Vec::new();
    for directory in state.world.directories() {
        if directory.meta.home || asking.tenant.as_ref() == Some(&directory.meta.id) {
            choices.extend(people::accounts(directory).into_iter().map(|u| Choice {
                name: u.user_principal_name,
                who: format!("{}, {}", u.display_name, directory.meta.name),
            }));
        }
    }
    let visit = state.codes.begin(Visit { link: asking.link.clone(), account: None });
    login::sign_in(asking.app.name(), &asking.link, &visit, &choices, &asking.hint)
}

fn go_on(state: &mut State, request: &Request, asking: &Asking) -> Response {
    let pairs = form_pairs(&request.body);
    let get = |name: &str| {
        pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    };
    let Some(visit) = state.codes.resume(get("visit").unwrap_or_default(), &asking.link) else {
        return on_page(
            state,
            &Aadsts::invalid_request(90_025, "The request has timed out. Begin again at the link."),
        );
    };
    if get("action") == Some("cancel") {
        return cancelled(state, asking);
    }
    let before = visit.account.clone();
    let account = match (before.clone(), get("account").or_else(|| get("login"))) {
        (Some(account), _) => account,
        (None, None) => return sign_in(state, asking),
        (None, Some(name)) => match state.world.account(name) {
            Some((home, user)) => Account { home, name: user.user_principal_name },
            None => {
                let directory = asking.tenant.as_ref().and_then(|t| state.world.directory(t));
                let refusal = Aadsts::invalid_grant(
                    50_034,
                    format!(
                        "The user account {name} does not exist in the {} directory. To sign into this \
                         application, the account must be added to the directory.",
                        directory.map_or("", |d| d.meta.name.as_str())
                    ),
                );
                return on_page(state, &refusal);
            }
        },
    };
    let tenant = asking.tenant.clone().unwrap_or_else(|| account.home.clone());
    let user = match admitted(state, asking, &tenant, &account) {
        Ok(user) => user,
        // Seen on the second version of the admin's link: the app is told who came
        // (<https://github.com/MicrosoftDocs/azure-docs/issues/114009>).
        Err(refusal)
            if refusal.code == 50_020
                && (asking.purpose, asking.endpoint) == (Purpose::AdminConsent, Endpoint::V2) =>
        {
            return tell(state, asking, &Aadsts { error: "access_denied", ..refusal });
        }
        Err(refusal) => return on_page(state, &refusal),
    };
    let permissions = needed(state, asking, &tenant, &user);
    let asks = match asking.purpose {
        Purpose::AdminConsent => true,
        Purpose::Authorize => !permissions.is_empty(),
    };
    if !asks {
        return code(state, asking, &tenant, account);
    }
    let power = Power::of(&user);
    let may = permitted(asking.purpose, power, &permissions);
    let whole = match asking.purpose {
        Purpose::AdminConsent => Reach::Everyone,
        Purpose::Authorize if power == Power::None => Reach::Oneself,
        Purpose::Authorize => Reach::Choice,
    };
    let accepted = before.is_some() && get("action") == Some("accept") && may;
    if accepted {
        let everyone = match whole {
            Reach::Everyone => true,
            Reach::Choice => get("organization") == Some("yes"),
            Reach::Oneself => false,
        };
        let whom = if everyone { For::Everyone } else { For::User(&user.id) };
        let client = asking.app.app_id().to_owned();
        if let Err(NoSuchService { api }) =
            grants::consent(&mut state.world, &tenant, &client, &permissions, whom)
        {
            let directory = state.world.directory(&tenant).map_or("", |d| d.meta.name.as_str());
            let refusal = Aadsts::new(
                400,
                "invalid_client",
                650_052,
                format!(
                    "The app needs access to a service ('{api}') that your organization '{directory}' has not \
                     subscribed to or enabled. Contact your IT Admin to review the configuration of your \
                     service subscriptions."
                ),
            );
            return on_page(state, &refusal);
        }
        return match asking.purpose {
            Purpose::Authorize => code(state, asking, &tenant, account),
            Purpose::AdminConsent => granted(asking, &tenant),
        };
    }
    let name = account.name.clone();
    let ticket = state.codes.begin(Visit { link: asking.link.clone(), account: Some(account) });
    if !may {
        return login::need_approval(asking.app.name(), &asking.link, &ticket);
    }
    let directory = state.world.directory(&tenant).map_or("", |d| d.meta.name.as_str());
    let asked = Asked {
        app: asking.app.name(),
        publisher: asking.app.graph["verifiedPublisher"]["displayName"].as_str(),
        account: &name,
        directory,
        permissions: &permissions,
        reach: whole,
    };
    login::consent(&asked, &asking.link, &ticket)
}

/// The account as the directory knows it, where it may come in.
fn admitted(
    state: &State,
    asking: &Asking,
    tenant: &str,
    account: &Account,
) -> Result<User, Aadsts> {
    let directory = state
        .world
        .directory(tenant)
        .ok_or_else(|| Aadsts::unknown_tenant("invalid_request", tenant))?;
    let (home, at_home) = state
        .world
        .account(&account.name)
        .ok_or_else(|| Aadsts::invalid_grant(50_034, "The user account does not exist."))?;
    let app = &asking.app;
    let user = state
        .world
        .member(tenant, &home, &at_home)
        .ok_or_else(|| user_token::stranger(directory, account, app.app_id(), app.name()))?;
    if at_home.disabled || user.disabled {
        return Err(user_token::disabled());
    }
    let principal = directory.principals.by_app_id(app.app_id());
    if principal.is_some_and(|p| p["accountEnabled"] == false) {
        return Err(Aadsts::new(
            400,
            "unauthorized_client",
            7_000_112,
            format!("Application '{}'({}) is disabled.", app.app_id(), app.name()),
        ));
    }
    match directory.meta.sign_in.policy {
        SignInPolicy::Block => Err(user_token::blocked(directory)),
        SignInPolicy::None | SignInPolicy::Mfa | SignInPolicy::Location => Ok(user),
    }
}

/// What has to be consented to.
fn needed(state: &State, asking: &Asking, tenant: &str, user: &User) -> Vec<Permission> {
    let Some(directory) = state.world.directory(tenant) else {
        return Vec::new();
    };
    let world = &state.world;
    let named = |wanted: &Wanted| -> Vec<Permission> {
        let mut names: Vec<(&str, &str)> = match &wanted.names {
            Names::Default => Vec::new(),
            Names::Listed(names) => {
                names.iter().map(|n| (wanted.resource.as_str(), n.as_str())).collect()
            }
        };
        if wanted.endpoint == Endpoint::V2 && wanted.offline == Offline::Access {
            names.push((first_party::GRAPH, "offline_access"));
        }
        names.extend(wanted.openid.iter().map(|o| (first_party::GRAPH, o.as_str())));
        names.into_iter().filter_map(|(api, n)| grants::scope(world, directory, api, n)).collect()
    };
    let everything = || grants::registered(world, directory, &asking.app, None);
    match (asking.purpose, &asking.wanted) {
        (Purpose::AdminConsent, None) => everything(),
        (Purpose::AdminConsent, Some(wanted)) => {
            let mut all = match wanted.names {
                Names::Default => everything(),
                Names::Listed(_) => Vec::new(),
            };
            all.extend(named(wanted));
            all
        }
        (Purpose::Authorize, None) => Vec::new(),
        (Purpose::Authorize, Some(wanted)) => {
            let client = asking.app.app_id();
            let held = |p: &Permission| {
                let scopes = grants::scopes(directory, client, &p.resource, &user.id);
                scopes.contains(&p.value)
                    || (OPENID.contains(&p.value.as_str()) && !scopes.is_empty())
            };
            let mut all = named(wanted);
            if wanted.names == Names::Default {
                let none = grants::scopes(directory, client, &wanted.resource, &user.id).is_empty();
                if none {
                    all.extend(everything().into_iter().filter(|p| p.kind != Kind::Application));
                }
            }
            let again = asking.prompt.as_deref() == Some("consent");
            all.retain(|p| again || !held(p));
            all
        }
    }
}

/// Whether a user of that power may consent to all of these.
fn permitted(purpose: Purpose, power: Power, permissions: &[Permission]) -> bool {
    let graph_role =
        |p: &Permission| p.kind == Kind::Application && p.resource == first_party::GRAPH;
    match (power, purpose) {
        (Power::All, _) => true,
        (Power::NoGraphRoles, _) => !permissions.iter().any(graph_role),
        (Power::None, Purpose::AdminConsent) => false,
        (Power::None, Purpose::Authorize) => permissions.iter().all(|p| p.kind == Kind::UserScope),
    }
}

fn code(state: &mut State, asking: &Asking, tenant: &str, account: Account) -> Response {
    let Some(wanted) = asking.wanted.clone() else {
        return login::trouble("Nothing was asked for.");
    };
    let factor = match state.world.directory(tenant).map(|d| d.meta.sign_in.policy) {
        Some(SignInPolicy::Mfa) => Factor::Two,
        Some(SignInPolicy::None | SignInPolicy::Block | SignInPolicy::Location) | None => {
            Factor::One
        }
    };
    let value = state.codes.issue(Code {
        tenant: tenant.to_owned(),
        client: asking.app.app_id().to_owned(),
        redirect: asking.sent_redirect.clone(),
        platform: asking.platform,
        account,
        wanted,
        challenge: asking.challenge.clone(),
        nonce: asking.nonce.clone(),
        issued: state.world.now(),
        factor,
        use_: Use::Fresh,
    });
    state.issued.push(value.clone());
    let mut pairs = vec![("code".to_owned(), value)];
    pairs.extend(asking.state.clone().map(|s| ("state".to_owned(), s)));
    pairs.push(("session_state".to_owned(), random::guid()));
    carry(asking, &pairs)
}

/// An administrator accepted.
fn granted(asking: &Asking, tenant: &str) -> Response {
    let mut pairs = vec![
        ("admin_consent".to_owned(), "True".to_owned()),
        ("tenant".to_owned(), tenant.to_owned()),
    ];
    pairs.extend(asking.state.clone().map(|s| ("state".to_owned(), s)));
    if asking.endpoint == Endpoint::V2 {
        pairs.extend(asking.scope.clone().map(|s| ("scope".to_owned(), s)));
    }
    carry(asking, &pairs)
}

fn cancelled(state: &State, asking: &Asking) -> Response {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut pairs = match (asking.purpose, asking.endpoint) {
        (Purpose::Authorize, _) => {
            vec![pair("error", "access_denied"), pair("error_subcode", "cancel")]
        }
        (Purpose::AdminConsent, Endpoint::V1) => vec![
            pair("error", "permission_denied"),
            pair("error_description", "The admin canceled the request"),
        ],
        // As documented; `access_denied` was seen too
        // (<https://github.com/MicrosoftDocs/azure-docs/issues/114009>).
        (Purpose::AdminConsent, Endpoint::V2) => {
            let refusal = Aadsts::new(
                400,
                "consent_required",
                65_004,
                "User declined to consent to access the app.",
            );
            return tell(state, asking, &refusal);
        }
    };
    pairs.extend(asking.state.clone().map(|s| pair("state", &s)));
    carry(asking, &pairs)
}

/// Tells the app of a refusal.
fn tell(state: &State, asking: &Asking, refusal: &Aadsts) -> Response {
    let text = refusal.description(state.world.now(), &random::guid(), &random::guid());
    let mut pairs = Vec::new();
    if (asking.purpose, asking.endpoint) == (Purpose::AdminConsent, Endpoint::V2) {
        pairs.push(("admin_consent".to_owned(), "True".to_owned()));
    }
    pairs.push(("error".to_owned(), refusal.error.to_owned()));
    pairs.push(("error_description".to_owned(), text));
    let code = refusal.code;
    pairs.push((
        "error_uri".to_owned(),
        format!("https://login.microsoftonline.com/error?code={code}"),
    ));
    pairs.extend(asking.state.clone().map(|s| ("state".to_owned(), s)));
    carry(asking, &pairs)
}

fn carry(asking: &Asking, pairs: &[(String, String)]) -> Response {
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    // An address without a path is answered with one.
    let mut base = asking.redirect.clone();
    if let Some((_, rest)) = base.split_once("://")
        && !rest.contains(['/', '?'])
    {
        base.push('/');
    }
    let location = match asking.mode {
        Mode::FormPost => return login::post_back(&base, pairs),
        Mode::Query if base.contains('?') => format!("{base}&{encoded}"),
        Mode::Query => format!("{base}?{encoded}"),
        Mode::Fragment => format!("{base}#{encoded}"),
    };
    Response::empty(302).with("location", location).with("cache-control", "no-store")
}
