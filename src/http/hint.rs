//! What to do about the codes that people meet.
//!
//! Codes: <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>,
//! <https://learn.microsoft.com/en-us/graph/errors>.

use crate::failure::{Cause, Failure};

/// How a token for a person was asked for: one code means different things for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    /// With the code of a sign-in that just took place.
    Code,
    /// With a refresh token that was kept.
    RefreshToken,
}

/// Advice for a token request of a person, where the grant makes it another than [`for_code`]'s.
pub(crate) fn hint_for_grant(grant: Grant, failure: &Failure) -> Option<&'static str> {
    let code = failure.code.as_deref().unwrap_or_default();
    match grant {
        Grant::Code => for_sign_in(code, failure),
        Grant::RefreshToken => for_refresh(code),
    }
}

fn for_sign_in(code: &str, failure: &Failure) -> Option<&'static str> {
    Some(match (code, failure.cause) {
        ("AADSTS70008", _) => {
            "The sign-in's code came too late: it lives about a minute. Sign in again, and paste the \
             address at once where it is pasted."
        }
        ("AADSTS54005", _) => {
            "The sign-in's code was redeemed already; each is good for one use. Sign in again. If \
             nobody of yours redeemed it, somebody else did: revoke the user's sessions first."
        }
        ("AADSTS50148" | "AADSTS501481", _) => {
            "The code belongs to another sign-in than this run's (its proof key differs): start anew, \
             and use only the link of the same run."
        }
        ("AADSTS500112" | "AADSTS50011", _) => {
            "The code was asked for with another redirect URI than it was redeemed with: start anew, \
             and use only the link of the same run."
        }
        ("AADSTS700005", _) => {
            "The person signed in to another directory than this tenant's: open this tenant's own \
             link, with an account that is known there."
        }
        ("AADSTS9002313" | "AADSTS900144" | "AADSTS90014", _) => {
            "The code is not whole: paste the whole address that the browser ended on."
        }
        ("AADSTS7000215", _) => {
            "The app's secret in the vault is not taken, so the code was not looked at. A secret made \
             moments ago may need up to a minute; else `tenantry apply` makes a new one. Then sign in \
             again."
        }
        ("AADSTS700027", _) => {
            "The app's certificate in the vault is not taken, so the code was not looked at. One made \
             moments ago may need up to a minute; else `tenantry apply` makes a new one. Then sign in \
             again."
        }
        ("AADSTS7000222", _) => {
            "The app's secret has expired, so the code was not looked at: `tenantry apply` makes a \
             new one. Then sign in again."
        }
        (_, Cause::NoAnswer | Cause::Garbled | Cause::Service) => {
            "The code may be spent by this, and a code is good for one use: sign in again."
        }
        _ => return None,
    })
}

fn for_refresh(code: &str) -> Option<&'static str> {
    Some(match code {
        "AADSTS700005" | "AADSTS700011" => {
            "The refresh token belongs to another app or directory: the person has to sign in again."
        }
        "AADSTS7000215" => {
            "The app's secret in the vault is not taken, so the refresh token was not looked at. A \
             secret made moments ago may need up to a minute; else `tenantry apply` makes a new one."
        }
        "AADSTS700027" => {
            "The app's certificate in the vault is not taken, so the refresh token was not looked at. \
             One made moments ago may need up to a minute; else `tenantry apply` makes a new one."
        }
        "AADSTS7000222" => {
            "The app's secret has expired, so the refresh token was not looked at: `tenantry apply` \
             makes a new one."
        }
        _ => return None,
    })
}

/// Advice for a code that a page of Microsoft's sent back.
pub(crate) fn hint_for_code(code: &str) -> Option<&'static str> {
    for_code(Some(code), Cause::Refused, "")
}

/// Advice where an app management policy refused: which one, whose it is, what it forbids, and what
/// to do. Its id stands in Graph's own words; of restrictions whose code nobody has written down,
/// these words are all that tells.
pub(super) fn for_policy(code: Option<&str>, message: &str) -> Option<String> {
    let code = code.unwrap_or_default();
    let named = message.split_once("assigned policy '").and_then(|(_, rest)| rest.split_once('\''));
    if named.is_none() && !code.ends_with("AsPerAppPolicy") {
        return None;
    }
    let policy = named.map_or_else(
        || "An app management policy".to_owned(),
        |(id, _)| format!("The app management policy {id}"),
    );
    let (forbids, way_out) = match code {
        "CredentialInvalidLifetimeAsPerAppPolicy" => (
            "allows only credentials that live shorter",
            "run again, so that the plan reads its limit, or set `secret.lifetime` below it",
        ),
        "CredentialTypeNotAllowedAsPerAppPolicy" => (
            "forbids new credentials of this kind",
            "its administrator can exempt the app (a new exemption takes minutes to act), or use a \
             credential that it allows",
        ),
        "SignInAudienceNotAllowedAsPerAppPolicy" => (
            "forbids apps for other directories",
            "its administrator can exempt the app, or choose `layout: in-tenant`",
        ),
        _ if message.to_ascii_lowercase().contains("redirect") => (
            "forbids this redirect URI",
            "its administrator can exempt the app, or choose other `redirectUris`",
        ),
        _ => ("forbids this", "its administrator can exempt the app"),
    };
    Some(format!(
        "{policy} {forbids}. It is of the directory in which the app lives: {way_out}. With \
         Policy.Read.ApplicationConfiguration the plan says so beforehand."
    ))
}

/// Advice for a code, where there is any that holds whatever the call was about.
pub(super) fn for_code(code: Option<&str>, cause: Cause, message: &str) -> Option<&'static str> {
    let advice = match code.unwrap_or_default() {
        "Authorization_RequestDenied" => {
            "The operator lacks a right, or holds Application.ReadWrite.OwnedBy and does not own \
             this app: make it an owner, or grant Application.ReadWrite.All. `tenantry doctor` \
             shows all rights."
        }
        "Directory_QuotaExceeded" => {
            "Deleted apps count for 30 days. Empty the bin, raise the quota, or let an \
             administrator's identity create the apps."
        }
        "InvalidAuthenticationToken" => "Sign in again; `tenantry doctor` shows who is signed in.",
        "AADSTS700016" => {
            "The app is not known in that directory: its administrator has not consented, or the \
             app is for its home directory only, or the directory is the wrong one."
        }
        "AADSTS650059" => {
            "The app is for its home directory only; an app for customers needs the audience \
             AzureADMultipleOrgs, or `layout: in-tenant`."
        }
        "AADSTS7000229" => {
            "The app has no service principal in that directory: its administrator has not \
             consented yet."
        }
        "AADSTS7000215" => {
            "The client secret is wrong: its value is needed, not its id. A secret made moments \
             ago may need up to a minute."
        }
        "AADSTS7000222" => "The client secret has expired: a new one is needed.",
        "AADSTS7000218" => "No client secret was sent: AZURE_CLIENT_SECRET is empty.",
        "AADSTS7000112" | "AADSTS70001" => {
            "The app is disabled in that directory; its administrator can enable it under \
             Enterprise applications."
        }
        "AADSTS90002" => {
            "No directory has that name in this cloud: check the domain or id, and `home.cloud`."
        }
        "AADSTS900023" | "AADSTS900021" | "AADSTS90019" => {
            "A directory is named by its GUID or by one of its verified domains."
        }
        "AADSTS90038" | "AADSTS900382" | "AADSTS900432" => {
            "The directory is in another cloud: set `home.cloud`."
        }
        "AADSTS500011" => {
            "The API that the token is asked for does not exist in that directory: it is not \
             licensed there, or was never used."
        }
        "AADSTS65001" | "AADSTS90094" => "An administrator of that directory has to consent first.",
        "AADSTS53003" | "AADSTS530032" | "AADSTS530034" | "AADSTS530035" | "AADSTS53000"
        | "AADSTS53001" | "AADSTS53002" => {
            "A conditional access policy of that directory blocks this sign-in; its administrator \
             has to except this app or this user."
        }
        "AADSTS50076" | "AADSTS50079" | "AADSTS50074" => {
            "That directory asks for a second factor: a person has to sign in again."
        }
        "AADSTS700082" => {
            "The sign-in has lapsed, for nobody used it for 90 days: the person has to sign in again; \
             `tenantry tokens refresh` keeps it alive."
        }
        "AADSTS70008" | "AADSTS700084" => "The sign-in has ended: the person has to sign in again.",
        "AADSTS50173" => {
            "The sign-in was revoked, by an administrator or by a new password: the person has to \
             sign in again."
        }
        "AADSTS70043" => {
            "A sign-in frequency policy of that directory has ended the sign-in: the person has to \
             sign in again, and will have to again unless the policy excepts this app or this user."
        }
        "AADSTS50020" | "AADSTS50034" | "AADSTS51004" => {
            "That user is not known in the customer's directory: its administrator invites them as a \
             guest, with the role Security Reader."
        }
        "AADSTS50105" => {
            "The app lets only assigned users in: an administrator of that directory assigns this one \
             under Enterprise applications › the app › Users and groups."
        }
        "AADSTS500021" | "AADSTS500022" | "AADSTS500212" => {
            "Your own network or directory lets nobody sign in to that directory: allow it in the \
             network's tenant restrictions, or in the cross-tenant access settings (outbound)."
        }
        "AADSTS500213" => {
            "That directory's cross-tenant access settings let nobody of your organisation in: its \
             administrator can allow it (inbound)."
        }
        "AADSTS650051" => {
            "An enterprise application of that name is in that directory already: its administrator \
             looks for it, the deleted ones included, before accepting again."
        }
        "AADSTS650052" => {
            "That directory has not subscribed to an API that the app asks for: it is not licensed \
             there, or was never used."
        }
        "AADSTS50057" => "The user's account is disabled: enable it, or let another user sign in.",
        "AADSTS50055" => "The user's password has expired: change it, then sign in again.",
        _ if message.starts_with("Missing application roles") => {
            "The token lacks the permission: an administrator of that directory has to consent, \
             again where permissions were added since."
        }
        _ if message.contains("Account is not provisioned") => {
            "Defender is not provisioned in that directory: its administrator opens \
             https://security.microsoft.com once, or the licence is missing."
        }
        _ if cause == Cause::Throttled => {
            "Run the same command again later: what is done stays done."
        }
        _ => return None,
    };
    Some(advice)
}
