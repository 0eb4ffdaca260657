//! What to do about the codes that people meet.
//!
//! Codes: <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>,
//! <https://learn.microsoft.com/en-us/graph/errors>.

use crate::failure::Cause;

/// Advice for a code, where there is any that holds whatever the call was about.
pub(super) fn for_code(code: Option<&str>, cause: Cause, message: &str) -> Option<&'static str> {
    let advice = match code.unwrap_or_default() {
        "Authorization_RequestDenied" => {
            "The operator lacks a right, or holds Application.ReadWrite.OwnedBy and does not own \
             this app: make it an owner, or grant Application.ReadWrite.All. `tenantry doctor` \
             shows all rights."
        }
        "CredentialInvalidLifetimeAsPerAppPolicy" => {
            "An app management policy of this directory allows only shorter secrets; run again, \
             so that the plan reads the policy, or set `secret.lifetime` below its limit."
        }
        "CredentialTypeNotAllowedAsPerAppPolicy" => {
            "An app management policy of this directory forbids new client secrets; its \
             administrator can exempt the app, and a new exemption takes minutes to act."
        }
        "SignInAudienceNotAllowedAsPerAppPolicy" => {
            "An app management policy of this directory forbids apps for other directories; its \
             administrator can exempt the app, or choose `layout: in-tenant`."
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
        "AADSTS700082" | "AADSTS70008" | "AADSTS50173" | "AADSTS70043" => {
            "The sign-in has lapsed or was revoked: the person has to sign in again."
        }
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
