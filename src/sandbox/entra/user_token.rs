//! Tokens on behalf of a user: authorization codes and refresh tokens redeemed
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow>,
//! <https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens>).

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    client::{self, Claimed},
    codes::{Account, CODE_LIFETIME, Challenge, Code, Factor, Use, opaque},
    errors::Aadsts,
    grants::{self, OPENID},
    redirect::Platform,
    refusals::{self, INACTIVE_DAYS, alive, disabled, malformed, not_consented, policy, stranger},
    scopes::{self, Names, Offline, Wanted},
    token::{self, Endpoint, Form, LIFETIME},
};
use crate::sandbox::{
    engine::{Context, State},
    http::Request,
    random,
    world::{
        World,
        apps::App,
        directory::{Directory, User},
        first_party, people,
    },
};

/// A sign-in that was proved: who, for whom, how and when.
struct SignedIn<'a> {
    directory: &'a Directory,
    app: &'a App,
    account: Account,
    user: User,
    wanted: Wanted,
    factor: Factor,
    since: Timestamp,
    nonce: Option<String>,
}

/// `grant_type=authorization_code`
pub(super) fn redeem(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    form: &Form,
    (tenant, endpoint): (&str, Endpoint),
    now: Timestamp,
) -> Result<Value, Aadsts> {
    let claimed = client::claimed(request, form)?;
    let value = form.get("code").ok_or_else(|| Aadsts::missing("code"))?.to_owned();
    let code = state.codes.get(&value).cloned();
    let directory =
        directory(&state.world, tenant, &claimed, code.as_ref().map(|c| c.tenant.as_str()))?;
    let app = known(&state.world, directory, &claimed)?;
    let code = code.ok_or_else(malformed)?;
    if code.platform == Platform::Web
        && let Some(origin) = request.header("origin")
    {
        return Err(Aadsts::invalid_request(
            9_002_326,
            format!(
                "Cross-origin token redemption is permitted only for the 'Single-Page Application' \
                 client-type. Request origin: '{origin}'."
            ),
        ));
    }
    match code.platform {
        Platform::Web => client::proved(state, app, &claimed, now)?,
        Platform::SinglePage if request.header("origin").is_none() => {
            return Err(Aadsts::invalid_request(
                9_002_327,
                "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via \
                 cross-origin requests.",
            ));
        }
        Platform::SinglePage | Platform::PublicClient => {}
    }
    bound(&code, &claimed, form, directory, now)?;
    let mut wanted = wanted(form, endpoint, directory, request, context, code.wanted.clone())?;
    // Whether a refresh token was asked for, the link said; a page cannot ask for one more.
    wanted.offline = code.wanted.offline;
    let user = user(&state.world, directory, app, &code.account)?;
    let signed_in = SignedIn {
        directory,
        app,
        account: code.account.clone(),
        user,
        wanted,
        factor: code.factor,
        since: code.issued,
        nonce: code.nonce.clone(),
    };
    // Asked for, and consented to; the older version asks nobody.
    let lasting = signed_in.wanted.offline == Offline::Access
        && (code.wanted.endpoint == Endpoint::V1
            || grants::scopes(directory, app.app_id(), first_party::GRAPH, &signed_in.user.id)
                .iter()
                .any(|s| s == "offline_access"));
    let refresh = match (lasting, code.platform) {
        (true, Platform::Web) => Renewal::Give,
        (true, Platform::SinglePage | Platform::PublicClient) | (false, _) => Renewal::Withhold,
    };
    let (body, kept) = tokens(context, request, &signed_in, endpoint, refresh, now)?;
    state.codes.redeem(&value);
    keep(state, kept, now);
    Ok(body)
}

/// Whether a code may be redeemed by this request.
fn bound(
    code: &Code,
    claimed: &Claimed,
    form: &Form,
    directory: &Directory,
    now: Timestamp,
) -> Result<(), Aadsts> {
    if !code.client.eq_ignore_ascii_case(&claimed.id) {
        return Err(Aadsts::invalid_grant(
            70_000,
            "Provided grant is invalid or malformed. The authorization code was issued to another client.",
        ));
    }
    if code.tenant != directory.meta.id {
        return Err(Aadsts::invalid_grant(
            700_005,
            "The provided authorization code is intended to use against other tenant, thus rejected. OAuth2 \
             Authorization Code must be redeemed against same tenant it was acquired for (/common or \
             /{tenant-ID} as appropriate)",
        ));
    }
    match code.use_ {
        Use::Fresh => {}
        Use::Redeemed => {
            return Err(Aadsts::invalid_grant(
                54_005,
                "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use \
                 an existing refresh token.",
            ));
        }
    }
    if code.issued.duration_until(now) >= CODE_LIFETIME {
        return Err(Aadsts::invalid_grant(
            70_008,
            "The provided authorization code or refresh token has expired due to inactivity. Send a new \
             interactive authorization request for this user and resource.",
        ));
    }
    let sent = form.get("redirect_uri");
    if sent != code.redirect.as_deref() {
        let (Some(sent), Some(asked)) = (sent, &code.redirect) else {
            return Err(Aadsts::missing("redirect_uri"));
        };
        return Err(Aadsts::invalid_grant(
            500_112,
            format!(
                "The reply address '{sent}' does not match the reply address '{asked}' provided when \
                 requesting Authorization code."
            ),
        ));
    }
    let Some(challenge) = &code.challenge else {
        return Ok(());
    };
    let Some(verifier) = form.get("code_verifier") else {
        return Err(Aadsts::invalid_grant(
            50_148,
            "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE.",
        ));
    };
    let good = match challenge {
        Challenge::S256(digest) => {
            *digest == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
        }
        Challenge::Plain(plain) => plain == verifier,
    };
    if good {
        Ok(())
    } else {
        Err(Aadsts::invalid_grant(
            501_481,
            "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
        ))
    }
}

/// `grant_type=refresh_token`
pub(super) fn refresh(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    form: &Form,
    (tenant, endpoint): (&str, Endpoint),
    now: Timestamp,
) -> Result<Value, Aadsts> {
    let claimed = client::claimed(request, form)?;
    let value = form.get("refresh_token").ok_or_else(|| Aadsts::missing("refresh_token"))?;
    let record = state.world.refresh_token(&random::secret_hash(value)).cloned();
    let text =
        |name: &str| record.as_ref().and_then(|r| r[name].as_str()).unwrap_or_default().to_owned();
    let home = text("home");
    let directory =
        directory(&state.world, tenant, &claimed, record.as_ref().map(|_| home.as_str()))?;
    let app = known(&state.world, directory, &claimed)?;
    let Some(record) = &record else {
        return Err(malformed());
    };
    // Of public clients, which have no secret, the sandbox keeps no refresh tokens.
    client::proved(state, app, &claimed, now)?;
    if !text("clientId").eq_ignore_ascii_case(&claimed.id) {
        return Err(Aadsts::invalid_grant(
            70_000,
            "Provided grant is invalid or malformed. The refresh token was issued to another client.",
        )
        .because("client_mismatch"));
    }
    let time = |name: &str| text(name).parse::<Timestamp>().unwrap_or(Timestamp::MIN);
    let (issued, since) = (time("issued"), time("authTime"));
    let factor = if record["factors"] == 2 { Factor::Two } else { Factor::One };
    let account = Account { home, name: text("user") };
    alive(&state.world, &account, issued, since, now)?;
    let user = user(&state.world, directory, app, &account)?;
    policy(directory, factor, since, now)?;
    let before = scopes::read(&text("scope"), Some(directory), request, context.base)?;
    let wanted = wanted(form, endpoint, directory, request, context, before)?;
    let signed_in = SignedIn { directory, app, account, user, wanted, factor, since, nonce: None };
    let (body, kept) = tokens(context, request, &signed_in, endpoint, Renewal::Give, now)?;
    keep(state, kept, now);
    Ok(body)
}

/// Whose directory the path names; `common` means the one that the grant names.
fn directory<'w>(
    world: &'w World,
    tenant: &str,
    claimed: &Claimed,
    granted: Option<&str>,
) -> Result<&'w Directory, Aadsts> {
    let name = tenant.to_ascii_lowercase();
    let multitenant = world
        .client(&claimed.id.to_ascii_lowercase())
        .is_some_and(|(_, app)| app.audience() != "AzureADMyOrg");
    if let ("common" | "organizations", true) = (name.as_str(), multitenant) {
        return granted.and_then(|id| world.directory(id)).ok_or_else(malformed);
    }
    token::directory(world, tenant, &claimed.id)
}

/// The client; one without a service principal was never consented to, or is not any more.
fn known<'w>(
    world: &'w World,
    directory: &Directory,
    claimed: &Claimed,
) -> Result<&'w App, Aadsts> {
    match client::known(world, directory, claimed) {
        Ok((app, _)) => Ok(app),
        Err(refusal) if refusal.code == 7_000_229 => {
            let name =
                world.client(&claimed.id.to_ascii_lowercase()).map_or("", |(_, app)| app.name());
            Err(not_consented(&claimed.id, name))
        }
        Err(refusal) => Err(refusal),
    }
}

/// The account as this directory knows it.
fn user(
    world: &World,
    directory: &Directory,
    app: &App,
    account: &Account,
) -> Result<User, Aadsts> {
    let found = world
        .account(&account.name)
        .and_then(|(home, user)| world.member(&directory.meta.id, &home, &user))
        .ok_or_else(|| stranger(directory, account, app.app_id(), app.name()))?;
    if found.disabled { Err(disabled()) } else { Ok(found) }
}

/// What the request asks for; what was asked before where it says nothing.
fn wanted(
    form: &Form,
    endpoint: Endpoint,
    directory: &Directory,
    request: &Request,
    context: &Context<'_>,
    before: Wanted,
) -> Result<Wanted, Aadsts> {
    match endpoint {
        Endpoint::V1 => match form.get("resource") {
            Some(resource) => scopes::of_resource(resource, Some(directory), request, context.base),
            None => Ok(Wanted { offline: Offline::Access, endpoint, ..before }),
        },
        Endpoint::V2 if form.get("resource").is_some() => Err(Aadsts::invalid_request(
            901_002,
            "The 'resource' request parameter is not supported.",
        )),
        Endpoint::V2 => match form.get("scope") {
            Some(scope) => scopes::read(scope, Some(directory), request, context.base),
            None => Ok(before),
        },
    }
}

/// Whether an answer holds a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewal {
    Give,
    Withhold,
}

/// A refresh token to be kept: the directory, its value, and what the world keeps of it.
type Kept = Option<(String, String, Value)>;

/// How long the sandbox remembers a refresh token: well beyond its death of idleness, so that whoever
/// brings a dead one is told what it died of (700082), and no world grows for ever.
const REMEMBERED_DAYS: i64 = INACTIVE_DAYS + 30;

fn keep(state: &mut State, kept: Kept, now: Timestamp) {
    if let Some((tenant, value, record)) = kept {
        if let Ok(long_ago) = now.checked_sub(SignedDuration::from_hours(24 * REMEMBERED_DAYS)) {
            state.world.forget_refresh_tokens(&tenant, &record, long_ago);
        }
        state.world.put_refresh_token(&tenant, &random::secret_hash(&value), record);
        state.issued.push(value);
    }
}

fn tokens(
    context: &Context<'_>,
    request: &Request,
    signed_in: &SignedIn<'_>,
    endpoint: Endpoint,
    renewal: Renewal,
    now: Timestamp,
) -> Result<(Value, Kept), Aadsts> {
    let SignedIn { directory, app, account, user, wanted, factor, since, nonce } = signed_in;
    refusals::assigned(directory, app, &wanted.resource, user)?;
    let granted = grants::scopes(directory, app.app_id(), &wanted.resource, &user.id);
    let refused = || not_consented(app.app_id(), app.name());
    let held = |name: &String| granted.iter().any(|g| g.eq_ignore_ascii_case(name));
    match &wanted.names {
        Names::Default if granted.is_empty() => return Err(refused()),
        Names::Listed(names) if granted.is_empty() || !names.iter().all(held) => {
            return Err(refused());
        }
        Names::Default | Names::Listed(_) => {}
    }
    let mut scp: Vec<String> = granted.into_iter().filter(|s| s != "offline_access").collect();
    for name in OPENID.iter().filter(|o| wanted.openid.iter().any(|w| w == *o)) {
        if !scp.iter().any(|s| s == name) {
            scp.push((*name).to_owned());
        }
    }
    let seconds = now.as_second();
    let tenant = &directory.meta.id;
    let guest = user.guest_of.as_deref();
    let name = people::signs_in_with(user);
    let factors = match factor {
        Factor::One => json!(["pwd"]),
        Factor::Two => json!(["pwd", "mfa"]),
    };
    let mut claims = json!({
        "aud": wanted.audience,
        "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": seconds - 300, "nbf": seconds - 300, "exp": seconds + LIFETIME,
        "acct": i32::from(guest.is_some()),
        "acr": "1",
        "aio": STANDARD.encode(random::bytes::<24>()),
        "amr": factors,
        "app_displayname": app.name(),
        "appid": app.app_id(),
        "appidacr": "1",
        "idtyp": "user",
        "ipaddr": "127.0.0.1",
        "name": user.display_name,
        "oid": user.id,
        "rh": ".",
        "scp": scp.join(" "),
        "sub": subject(app, user),
        "tenant_region_scope": directory.meta.region,
        "tid": tenant,
        "unique_name": name,
        "uti": random::guid(),
        "ver": "1.0",
        "wids": people::wids(directory, user),
    });
    // A guest's `upn` is an optional claim (include_externally_authenticated_upn); `idp` and `email`
    // say where the account lives
    // (<https://learn.microsoft.com/en-us/entra/identity-platform/optional-claims-reference>).
    match guest {
        None => claims["upn"] = json!(name),
        Some(home) => {
            claims["idp"] = json!(format!("https://sts.windows.net/{home}/"));
            claims["email"] = json!(name);
        }
    }
    let access_token = context.signer.sign(&claims);
    let mut body = match endpoint {
        Endpoint::V2 => json!({
            "token_type": "Bearer", "scope": said(wanted, &scp), "expires_in": LIFETIME,
            "ext_expires_in": LIFETIME, "access_token": access_token,
        }),
        Endpoint::V1 => json!({
            "token_type": "Bearer", "scope": scp.join(" "), "expires_in": LIFETIME.to_string(),
            "ext_expires_in": LIFETIME.to_string(), "expires_on": (seconds + LIFETIME).to_string(),
            "not_before": (seconds - 300).to_string(), "resource": wanted.audience,
            "access_token": access_token,
        }),
    };
    let kept = match renewal {
        Renewal::Withhold => None,
        Renewal::Give => {
            let value = opaque("0.A");
            body["refresh_token"] = json!(value);
            let record = json!({
                "id": random::secret_hash(&value), "clientId": app.app_id(), "home": account.home,
                "user": account.name, "issued": now.to_string(), "authTime": since.to_string(),
                "factors": match factor { Factor::One => 1, Factor::Two => 2 },
                "scope": asked(wanted),
            });
            Some((tenant.clone(), value, record))
        }
    };
    if wanted.openid.iter().any(|o| o == "openid") {
        let mut id = json!({
            "aud": app.app_id(),
            "iss": format!("{}/{tenant}/v2.0", request.origin()),
            "iat": seconds - 300, "nbf": seconds - 300, "exp": seconds + LIFETIME,
            "name": user.display_name, "oid": user.id, "preferred_username": name,
            "sub": subject(app, user), "tid": tenant, "ver": "2.0",
        });
        if let Some(nonce) = nonce {
            id["nonce"] = json!(nonce);
        }
        if let Some(home) = guest {
            id["idp"] = json!(format!("https://sts.windows.net/{home}/"));
        }
        if wanted.openid.iter().any(|o| o == "email") {
            id["email"] = json!(name);
        }
        body["id_token"] = json!(context.signer.sign(&id));
    }
    Ok((body, kept))
}

/// The user as one app knows it: pairwise.
fn subject(app: &App, user: &User) -> String {
    random::derived_guid(&["subject", app.app_id(), &user.id])
}

/// `scope` of an answer: the API's names in full, OpenID's short; `offline_access` is not said.
fn said(wanted: &Wanted, scp: &[String]) -> String {
    let api = wanted.audience.trim_end_matches('/');
    let mut all: Vec<String> = scp
        .iter()
        .map(|s| if OPENID.contains(&s.as_str()) { s.clone() } else { format!("{api}/{s}") })
        .collect();
    if wanted.names == Names::Default {
        all.push(format!("{api}/.default"));
    }
    all.join(" ")
}

/// What was asked for, as `scope`, for a refresh that asks for nothing.
fn asked(wanted: &Wanted) -> String {
    let api = wanted.audience.trim_end_matches('/');
    let mut all: Vec<String> = match &wanted.names {
        Names::Default => vec![format!("{api}/.default")],
        Names::Listed(names) => names.iter().map(|n| format!("{api}/{n}")).collect(),
    };
    all.extend(wanted.openid.iter().cloned());
    all.push("offline_access".to_owned());
    all.join(" ")
}
