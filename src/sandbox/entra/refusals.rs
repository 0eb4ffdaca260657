//! Why a sign-in or a grant does not do: each refusal in Microsoft's words
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>).

use jiff::{Span, Timestamp};
use serde_json::json;

use super::{
    codes::{Account, Factor},
    errors::Aadsts,
};
use crate::sandbox::{
    clock::plus,
    random,
    world::{
        World,
        apps::App,
        directory::{Directory, SignInPolicy, User},
        people,
    },
};

/// How many days a refresh token lives without being used.
pub(super) const INACTIVE_DAYS: i64 = 90;

/// Whether the user's account and the grant itself still stand, wherever they are used.
pub(super) fn alive(
    world: &World,
    account: &Account,
    issued: Timestamp,
    since: Timestamp,
    now: Timestamp,
) -> Result<(), Aadsts> {
    let Some((_, user)) = world.account(&account.name) else {
        return Err(Aadsts::invalid_grant(
            50_034,
            format!(
                "The user account {} does not exist in the {} directory. To sign into this application, \
                 the account must be added to the directory.",
                account.name, account.home
            ),
        ));
    };
    if user.disabled {
        return Err(disabled());
    }
    let precise = "%Y-%m-%dT%H:%M:%S.%7fZ";
    let from = user.sessions_valid_from.as_deref().and_then(|t| t.parse::<Timestamp>().ok());
    if let Some(from) = from
        && since < from
    {
        return Err(Aadsts::invalid_grant(
            50_173,
            format!(
                "The provided grant has expired due to it being revoked, a fresh auth token is needed. The \
                 user might have changed or reset their password. The grant was issued on '{}' and the \
                 TokensValidFrom date (before which tokens are not valid) for this user is '{}'.",
                since.strftime(precise),
                from.strftime(precise)
            ),
        )
        .because("bad_token"));
    }
    if plus(issued, Span::new().days(INACTIVE_DAYS)).is_none_or(|end| end <= now) {
        return Err(Aadsts::invalid_grant(
            700_082,
            format!(
                "The refresh token has expired due to inactivity. The token was issued on {} and was \
                 inactive for 90.00:00:00.",
                issued.strftime(precise)
            ),
        ));
    }
    Ok(())
}

/// 50057.
pub(super) fn disabled() -> Aadsts {
    Aadsts::invalid_grant(50_057, "The user account is disabled.")
}

/// 7000112: an app that is disabled, at its owner or in this directory.
pub(super) fn enabled(directory: &Directory, app: &App) -> Result<(), Aadsts> {
    let principal = directory.principals.by_app_id(app.app_id());
    let here = |name: &str| principal.is_some_and(|p| p[name] == true);
    let barred = principal.is_some_and(|p| p["accountEnabled"] == false);
    if !(app.is_disabled() || here("isDisabled") || barred) {
        return Ok(());
    }
    Err(Aadsts::new(
        400,
        "unauthorized_client",
        7_000_112,
        format!("Application '{}'({}) is disabled.", app.app_id(), app.name()),
    ))
}

/// Whether `principal`, a user or a service principal, is assigned to an app of the directory. One
/// that the directory does not know, or that asks for no assignment, lets everybody in
/// (<https://learn.microsoft.com/en-us/entra/identity/enterprise-apps/what-is-access-management>).
pub(super) fn lets_in(directory: &Directory, app: &str, principal: &str) -> bool {
    let Some(target) = directory.principal_by_app_id(app) else {
        return true;
    };
    target["appRoleAssignmentRequired"] != true
        || directory
            .assignments
            .iter()
            .any(|a| a["principalId"] == principal && a["resourceId"] == target["id"])
}

/// 50105: a user whom the client or the API asks to be assigned, and who is not.
pub(super) fn assigned(
    directory: &Directory,
    app: &App,
    resource: &str,
    user: &User,
) -> Result<(), Aadsts> {
    let closed = [app.app_id(), resource].into_iter().find(|a| !lets_in(directory, a, &user.id));
    let Some(closed) = closed else {
        return Ok(());
    };
    let name = directory.principal_by_app_id(closed).map(|p| p["displayName"].clone());
    let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    Err(Aadsts::invalid_grant(
        50_105,
        format!(
            "Your administrator has configured the application {name} ('{closed}') to block users unless \
             they are specifically granted ('assigned') access to the application. The signed in user '{}' \
             is blocked because they are not a direct member of a group with access, nor had access \
             directly assigned by an administrator. Please contact your administrator to assign access to \
             this application.",
            people::signs_in_with(user)
        ),
    ))
}

/// 53003: Conditional Access says no, and what a new sign-in would have to satisfy.
pub(super) fn blocked(directory: &Directory) -> Aadsts {
    let policy = random::derived_guid(&["conditionalAccessPolicy", &directory.meta.id]);
    let claims = json!({"access_token": {"capolids": {"essential": true, "values": [policy]}}});
    Aadsts::invalid_grant(
        53_003,
        "Access has been blocked by Conditional Access policies. The access policy does not allow token \
         issuance.",
    )
    .because("message_only")
    .wanting(claims.to_string())
}

/// What the directory demands of a sign-in that was made at `since`.
pub(super) fn policy(
    directory: &Directory,
    factor: Factor,
    since: Timestamp,
    now: Timestamp,
) -> Result<(), Aadsts> {
    match (directory.meta.sign_in.policy, factor) {
        (SignInPolicy::Block | SignInPolicy::Location, _) => return Err(blocked(directory)),
        (SignInPolicy::Mfa, Factor::One) => {
            return Err(Aadsts::invalid_grant(
                50_076,
                "Due to a configuration change made by your administrator, or because you moved to a new \
                 location, you must use multi-factor authentication to access \
                 '00000003-0000-0000-c000-000000000000'.",
            )
            .because("basic_action"));
        }
        (SignInPolicy::Mfa, Factor::Two) | (SignInPolicy::None, _) => {}
    }
    let Some(span) =
        directory.meta.sign_in.frequency.as_deref().and_then(|f| f.parse::<Span>().ok())
    else {
        return Ok(());
    };
    match plus(since, span) {
        Some(end) if end > now => Ok(()),
        end => Err(Aadsts::invalid_grant(
            70_043,
            format!(
                "The refresh token has expired or is invalid due to sign-in frequency checks by conditional \
                 access. The token was issued on {} and the maximum allowed lifetime for this request is {}.",
                since.strftime("%Y-%m-%dT%H:%M:%S.%7fZ"),
                end.map_or(0, |end| end.as_second() - since.as_second())
            ),
        )
        .because("token_expired")),
    }
}

/// 65001.
pub(super) fn not_consented(client: &str, name: &str) -> Aadsts {
    Aadsts::invalid_grant(
        65_001,
        format!(
            "The user or administrator has not consented to use the application with ID '{client}' named \
             '{name}'. Send an interactive authorization request for this user and resource."
        ),
    )
    .because("consent_required")
}

/// 50020: an account that the directory does not know.
pub(super) fn stranger(
    directory: &Directory,
    account: &Account,
    client: &str,
    name: &str,
) -> Aadsts {
    Aadsts::invalid_grant(
        50_020,
        format!(
            "User account '{}' from identity provider 'https://sts.windows.net/{}/' does not exist in tenant \
             '{}' and cannot access the application '{client}'({name}) in that tenant. The account needs to \
             be added as an external user in the tenant first. Sign out and sign in again with a different \
             Azure Active Directory user account.",
            account.name, account.home, directory.meta.name
        ),
    )
}

pub(super) fn malformed() -> Aadsts {
    Aadsts::invalid_grant(9_002_313, "Invalid request. Request is malformed or invalid.")
}
