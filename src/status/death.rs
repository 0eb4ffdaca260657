//! Why a refresh token is of no use any more: each way of dying told apart, with its cure.

use super::WaitingFor;
use crate::failure::Failure;

/// A way in which a refresh token dies, or seems to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Nobody used it for 90 days.
    Idle,
    /// It was used, and has ended all the same.
    Expired,
    /// The customer's policy wants people to sign in more often.
    SignInFrequency,
    /// Someone revoked it, or reset the user's password.
    Revoked,
    /// The customer wants a second factor by now.
    MfaNeeded,
    /// A Conditional Access policy of the customer refuses: place, device, risk.
    Blocked,
    /// The customer's consent is not there any more.
    NotConsented,
    /// It belongs to another app than the one that uses it.
    WrongClient,
    /// The app's secret is not taken.
    WrongSecret,
    /// The app's secret has ended.
    SecretEnded,
    /// The user's account is switched off.
    UserDisabled,
    /// The user's password has ended.
    PasswordExpired,
    /// The app was switched off in the customer's directory.
    AppDisabled,
    /// The user is not of the customer's directory (any more).
    NotAUser,
    /// The app lets only assigned users in, and this one is not.
    NotAssigned,
    /// The provider's own network or directory lets nobody go to that directory.
    RestrictedHere,
    /// The customer's directory lets nobody of the provider's in.
    RestrictedThere,
    /// The directory is not there.
    NoDirectory,
    /// It was refused for another reason.
    Other,
    /// Nobody answered, or not in a way that tells: it may well live.
    Unanswered,
}

/// What a failed refresh says of the refresh token. Codes:
/// <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes> and
/// <https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens>.
pub fn refresh_death(failure: &Failure) -> Death {
    let number = failure.code.as_deref().and_then(|code| code.strip_prefix("AADSTS"));
    match number {
        Some("700082") => Death::Idle,
        Some("70008" | "700084") => Death::Expired,
        Some("70043") => Death::SignInFrequency,
        Some("50173") => Death::Revoked,
        Some("50074" | "50076" | "50079") => Death::MfaNeeded,
        Some("53000" | "53001" | "53002" | "53003" | "530032" | "530033" | "530034" | "530035") => {
            Death::Blocked
        }
        Some("65001" | "7000229" | "700016") => Death::NotConsented,
        Some("7000112" | "70001") => Death::AppDisabled,
        Some("50020" | "50034" | "51004") => Death::NotAUser,
        Some("50105") => Death::NotAssigned,
        Some("500021" | "500022" | "500212") => Death::RestrictedHere,
        Some("500213") => Death::RestrictedThere,
        Some("90002") => Death::NoDirectory,
        Some("700005" | "700011" | "70002") => Death::WrongClient,
        Some(
            "7000215" | "7000218" | "70021" | "700211" | "700212" | "700213" | "700024" | "700027",
        ) => Death::WrongSecret,
        Some("7000222") => Death::SecretEnded,
        Some("50057") => Death::UserDisabled,
        Some("50055") => Death::PasswordExpired,
        Some(_) | None if failure.cause.is_an_answer() => Death::Other,
        Some(_) | None => Death::Unanswered,
    }
}

impl Death {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Idle,
        Self::Expired,
        Self::SignInFrequency,
        Self::Revoked,
        Self::MfaNeeded,
        Self::Blocked,
        Self::NotConsented,
        Self::WrongClient,
        Self::WrongSecret,
        Self::SecretEnded,
        Self::UserDisabled,
        Self::PasswordExpired,
        Self::AppDisabled,
        Self::NotAUser,
        Self::NotAssigned,
        Self::RestrictedHere,
        Self::RestrictedThere,
        Self::NoDirectory,
        Self::Other,
        Self::Unanswered,
    ];

    /// What has happened, in words.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Idle => "it was not used for 90 days",
            Self::Expired => "it has ended",
            Self::SignInFrequency => "the customer's sign-in frequency policy has ended it",
            Self::Revoked => "it was revoked: by an administrator, or by a reset of the password",
            Self::MfaNeeded => "the customer asks for a second factor that it was not given with",
            Self::Blocked => {
                "a Conditional Access policy of the customer blocks it (place, device or risk)"
            }
            Self::NotConsented => "the customer's consent is not there (any more)",
            Self::WrongClient => "it belongs to another app, or another directory",
            Self::WrongSecret => "the app's secret was not taken, so it was not looked at",
            Self::SecretEnded => "the app's secret has ended, so it was not looked at",
            Self::UserDisabled => "the analyst's account is disabled",
            Self::PasswordExpired => "the analyst's password has expired",
            Self::AppDisabled => "the app was switched off in the customer's directory",
            Self::NotAUser => "the analyst is no user of the customer's directory (any more)",
            Self::NotAssigned => "the app lets only assigned users in, and the analyst is not one",
            Self::RestrictedHere => {
                "your own network or directory lets nobody sign in to the customer's directory"
            }
            Self::RestrictedThere => {
                "the customer's cross-tenant access settings let nobody of yours in"
            }
            Self::NoDirectory => "there is no such directory (any more) in this cloud",
            Self::Other => "it was refused",
            Self::Unanswered => "there was no answer that tells",
        }
    }

    /// What helps, said to the person of [`Death::waiting_for`].
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Idle => {
                "sign in once more; `tenantry tokens refresh` at least every 30 days keeps it alive"
            }
            Self::Expired | Self::Revoked | Self::WrongClient => "sign in once more",
            Self::SignInFrequency => {
                "sign in once more; it lasts only if the customer exempts the analyst from the \
                 sign-in frequency policy"
            }
            Self::MfaNeeded => "sign in once more, with the second factor",
            Self::Blocked => {
                "let the analyst in where tenantry runs: change or exempt in the Conditional Access \
                 policy that the sign-in logs name; then the analyst signs in once more"
            }
            Self::NotConsented => "open the link and accept what the app asks for",
            Self::WrongSecret => {
                "look at the app's credentials in Entra ID: the one in the vault is not taken"
            }
            Self::SecretEnded => "tenantry apply makes its successor",
            Self::UserDisabled => {
                "enable the analyst's account, or name another one in `signInAs`; then sign in once more"
            }
            Self::PasswordExpired => "change the password, then sign in once more",
            Self::AppDisabled => {
                "switch the app on again: Entra ID › Enterprise applications › its name › Properties \
                 › Enabled for users to sign in"
            }
            Self::NotAUser => {
                "invite the analyst as a guest (again), with the role Security Reader; then the \
                 analyst signs in once more"
            }
            Self::NotAssigned => {
                "assign the analyst: Entra ID › Enterprise applications › its name › Users and \
                 groups; then the analyst signs in once more"
            }
            Self::RestrictedHere => {
                "let your administrators allow that directory: in the network's tenant restrictions, \
                 or in your directory's cross-tenant access settings (outbound)"
            }
            Self::RestrictedThere => {
                "allow the analyst's organisation: Entra ID › External Identities › Cross-tenant \
                 access settings (inbound)"
            }
            Self::NoDirectory => {
                "check the tenant's id and `home.cloud`; where the customer's directory is gone, take \
                 the tenant from the manifest"
            }
            Self::Other => "sign in once more; where that ends the same way, the code tells why",
            Self::Unanswered => "run it again",
        }
    }

    /// Whether the customer's consent is what helps.
    pub const fn is_cured_by_consent(self) -> bool {
        matches!(self, Self::NotConsented)
    }

    /// Whose turn it is; nobody's where the refresh token may well live.
    pub const fn waiting_for(self) -> Option<WaitingFor> {
        match self {
            Self::Idle
            | Self::Expired
            | Self::SignInFrequency
            | Self::Revoked
            | Self::MfaNeeded
            | Self::WrongClient
            | Self::PasswordExpired
            | Self::Other => Some(WaitingFor::Analyst),
            Self::Blocked
            | Self::NotConsented
            | Self::AppDisabled
            | Self::NotAUser
            | Self::NotAssigned
            | Self::RestrictedThere => Some(WaitingFor::CustomerAdmin),
            Self::WrongSecret
            | Self::SecretEnded
            | Self::UserDisabled
            | Self::RestrictedHere
            | Self::NoDirectory => Some(WaitingFor::Operator),
            Self::Unanswered => None,
        }
    }
}
