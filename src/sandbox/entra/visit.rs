//! Where people come: the authorize endpoint and both admin-consent endpoints
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow>,
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-admin-consent>).
//!
//! A visit is read from its address each time; the forms carry a ticket of it, good once.

use hyper::Method;

use super::{
    asking::{Asking, Mode, Purpose, Refused, read},
    codes::{Account, Code, Factor, Use, Visit},
    errors::Aadsts,
    grants::{self, For, Kind, NoSuchService, OPENID, Permission},
    refusals,
    scopes::{Names, Offline, Wanted},
    token::Endpoint,
};
use crate::sandbox::{
    engine::{Context, State},
    http::{Request, Response, form_pairs},
    pages::login::{self, Asked, Choice, Reach},
    random,
    world::{
        directory::{SignInPolicy, User},
        first_party,
        people::{self, Power},
    },
};

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
    if let Some(refusal) = unknown_scope(state, asking, &tenant) {
        return tell(state, asking, &refusal);
    }
    let permissions = needed(state, asking, &tenant, &user);
    let asks = match asking.purpose {
        Purpose::AdminConsent => true,
        Purpose::Authorize => !permissions.is_empty(),
    };
    if !asks {
        return code(state, asking, &tenant, account);
    }
    let power = Power::of(&user);
    // Where users have to be assigned, none of them consents for oneself either
    // (<https://learn.microsoft.com/en-us/entra/identity/enterprise-apps/what-is-access-management>).
    let closed = state
        .world
        .directory(&tenant)
        .and_then(|d| d.principals.by_app_id(asking.app.app_id()))
        .is_some_and(|p| p["appRoleAssignmentRequired"] == true);
    let may = permitted(asking.purpose, power, &permissions) && !(closed && power == Power::None);
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
        .ok_or_else(|| refusals::stranger(directory, account, app.app_id(), app.name()))?;
    if at_home.disabled || user.disabled {
        return Err(refusals::disabled());
    }
    refusals::enabled(directory, app)?;
    // Who consents for the directory does not use the app.
    if let (Purpose::Authorize, Some(wanted)) = (asking.purpose, &asking.wanted) {
        refusals::assigned(directory, app, &wanted.resource, &user)?;
    }
    match directory.meta.sign_in.policy {
        SignInPolicy::Block => Err(refusals::blocked(directory)),
        SignInPolicy::None | SignInPolicy::Mfa | SignInPolicy::Location => Ok(user),
    }
}

/// 650053: a scope that the API does not have, an app role by its name among them; those come with
/// `/.default` only (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-admin-consent>).
fn unknown_scope(state: &State, asking: &Asking, tenant: &str) -> Option<Aadsts> {
    let wanted = asking.wanted.as_ref()?;
    let directory = state.world.directory(tenant)?;
    let Names::Listed(names) = &wanted.names else {
        return None;
    };
    let unknown = names
        .iter()
        .find(|name| grants::scope(&state.world, directory, &wanted.resource, name).is_none())?;
    Some(Aadsts::new(
        400,
        "invalid_client",
        650_053,
        format!(
            "The application '{}' asked for scope '{unknown}' that doesn't exist on the resource '{}'. \
             Contact the app vendor.",
            asking.app.name(),
            wanted.resource
        ),
    ))
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
