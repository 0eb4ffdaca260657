//! Words about refresh tokens: what became of them, and why one is of no use any more.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{json::FORMAT_VERSION, paper::clean};
use crate::{
    failure::{Cause, Failure},
    ids::{FleetName, TenantKey},
    status::{Death, RefreshProof, Rotation, refresh_death},
};

/// Why a tenant's refresh token is of no use, and what helps; nothing where it worked.
pub fn trouble(tenant: &TenantKey, proof: &RefreshProof) -> Option<String> {
    let Row { key: _, result, user: _, cause, cure, failure } = row(tenant, proof);
    if matches!(result, Fate::Refreshed | Fate::NotKept) {
        return None;
    }
    let mut text = cause?;
    if let Some(failure) = failure {
        text.push_str(&format!(" ({})", failure.line()));
    }
    if let Some(cure) = cure {
        text.push_str(&format!("; {cure}"));
    }
    Some(text)
}

/// What a run says on stderr of the refresh tokens that it used on the way; nothing where it used
/// none.
pub fn rotated(refreshes: &BTreeMap<TenantKey, RefreshProof>) -> Option<String> {
    let (mut kept, mut not_kept, mut why_not) = (0, 0, None);
    for proof in refreshes.values() {
        if let RefreshProof::Refreshed { rotation, .. } = proof {
            match rotation {
                Rotation::Kept => kept += 1,
                Rotation::NotKept(why) => {
                    not_kept += 1;
                    why_not.get_or_insert(why);
                }
                Rotation::None => {}
            }
        }
    }
    let mut text = String::new();
    if kept > 0 {
        text.push_str(&format!("{}, and the new kept in the vault\n", used(kept)));
    }
    if let Some(why) = why_not {
        let why = clean(why);
        text.push_str(&format!(
            "{}, and the new not kept: {why}; the old still work\n",
            used(not_kept)
        ));
    }
    (!text.is_empty()).then_some(text)
}

fn used(count: usize) -> String {
    match count {
        1 => "1 refresh token was used".to_owned(),
        more => format!("{more} refresh tokens were used"),
    }
}

/// How one tenant's refresh token fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It works, and the new one is kept.
    Refreshed,
    /// It works, and no new one came, or it could not be kept: the old one stays.
    NotKept,
    /// It is of no use any more, or was not taken.
    Failed,
    /// Nobody answered, or this machine cannot read it: it may well live.
    Unknown,
}

/// `tokens refresh --json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    format_version: u32,
    fleet: FleetName,
    sandbox: bool,
    tenants: Vec<Row>,
    summary: Summary,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key: TenantKey,
    result: Fate,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// What helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

/// How many fared how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// In the vault: tokens tried.
    pub held: usize,
    /// They work, and live on.
    pub refreshed: usize,
    /// They work, and no new one was kept.
    pub not_kept: usize,
    /// They do not work.
    pub failed: usize,
    /// Nobody can tell.
    pub unknown: usize,
    /// Not tried, because the run was told to stop.
    pub not_tried: usize,
}

impl Document {
    /// Puts it together; `held` is how many there are to be tried, `sandbox` whether it was against
    /// the sandbox.
    pub fn of(
        fleet: &FleetName,
        sandbox: bool,
        held: usize,
        proofs: &BTreeMap<TenantKey, RefreshProof>,
    ) -> Self {
        let tenants: Vec<Row> = proofs.iter().map(|(key, proof)| row(key, proof)).collect();
        let count = |fate| tenants.iter().filter(|row| row.result == fate).count();
        let summary = Summary {
            held,
            refreshed: count(Fate::Refreshed),
            not_kept: count(Fate::NotKept),
            failed: count(Fate::Failed),
            unknown: count(Fate::Unknown),
            not_tried: held.saturating_sub(tenants.len()),
        };
        Self { format_version: FORMAT_VERSION, fleet: fleet.clone(), sandbox, tenants, summary }
    }

    /// How many fared how.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// As JSON.
    pub fn json(&self) -> serde_json::Value {
        super::json::value(self)
    }

    /// A line for each that did not go well, and one that counts.
    pub fn text(&self) -> String {
        let Summary { held, refreshed, not_kept, failed, unknown, not_tried } = self.summary;
        if held == 0 {
            return "no refresh token is held: nothing to keep alive\n".to_owned();
        }
        let mut text = String::new();
        for Row { key, result, user: _, cause, cure, failure } in &self.tenants {
            if *result == Fate::Refreshed {
                continue;
            }
            let cause = cause.as_deref().unwrap_or("no reason was given");
            text.push_str(&format!("{key}: {}", clean(cause)));
            if let Some(failure) = failure {
                text.push_str(&format!(" ({})", clean(&failure.line())));
            }
            if let Some(cure) = cure {
                text.push_str(&format!("; {cure}"));
            }
            text.push('\n');
        }
        let what = if held == 1 { "refresh token" } else { "refresh tokens" };
        text.push_str(&format!("{held} {what}: {refreshed} refreshed"));
        for (count, words) in [
            (not_kept, "works, new one not kept"),
            (failed, "FAILED"),
            (unknown, "unknown"),
            (not_tried, "not tried"),
        ] {
            if count > 0 {
                text.push_str(&format!(" · {count} {words}"));
            }
        }
        text.push('\n');
        text
    }
}

fn row(key: &TenantKey, proof: &RefreshProof) -> Row {
    let bare = |result| Row {
        key: key.clone(),
        result,
        user: None,
        cause: None,
        cure: None,
        failure: None,
    };
    match proof {
        RefreshProof::Refreshed { user, scopes: _, rotation } => {
            let user = user.clone();
            match rotation {
                Rotation::Kept => Row { user, ..bare(Fate::Refreshed) },
                Rotation::NotKept(why) => Row {
                    user,
                    cause: Some(format!("it works, and the new one was not kept: {why}")),
                    ..bare(Fate::NotKept)
                },
                Rotation::None => Row {
                    user,
                    cause: Some("it works, and the answer held no new one".to_owned()),
                    ..bare(Fate::NotKept)
                },
            }
        }
        // We did not even ask: our own words say why.
        RefreshProof::Refused(failure) if failure.cause == Cause::Guard => Row {
            cause: Some(failure.message.clone()),
            cure: failure.hint.clone(),
            ..bare(Fate::Failed)
        },
        RefreshProof::Refused(failure) => {
            let death = refresh_death(failure);
            let result = match death {
                Death::Unanswered => Fate::Unknown,
                Death::Idle
                | Death::Expired
                | Death::SignInFrequency
                | Death::Revoked
                | Death::MfaNeeded
                | Death::Blocked
                | Death::NotConsented
                | Death::WrongClient
                | Death::WrongSecret
                | Death::SecretEnded
                | Death::UserDisabled
                | Death::AppDisabled
                | Death::NotAUser
                | Death::NotAssigned
                | Death::RestrictedHere
                | Death::RestrictedThere
                | Death::NoDirectory
                | Death::PasswordExpired
                | Death::Other => Fate::Failed,
            };
            Row {
                cause: Some(death.cause().to_owned()),
                cure: Some(death.cure().to_owned()),
                failure: Some(failure.clone()),
                ..bare(result)
            }
        }
        RefreshProof::NoKey(why) => {
            Row { cause: Some(format!("it cannot be read here: {why}")), ..bare(Fate::Unknown) }
        }
        RefreshProof::TooPowerful { user, roles, scopes: _ } => Row {
            user: user.clone(),
            cause: Some(format!(
                "whoever it is of holds more power there than reading takes: {}",
                roles.join(", ")
            )),
            cure: Some(
                "let the customer take that role away, or a user sign in who has only Security Reader"
                    .to_owned(),
            ),
            ..bare(Fate::Failed)
        },
        RefreshProof::WrongUser { found } => Row {
            cause: Some(format!("it is of {found}, not of the user that `signInAs` names")),
            cure: Some("let the right user sign in: tenantry consent".to_owned()),
            ..bare(Fate::Failed)
        },
    }
}
