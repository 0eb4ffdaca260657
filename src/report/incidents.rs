//! Words about reading incidents: whose are missing, and how many there were.

use std::{collections::BTreeMap, time::Duration};

use super::{paper::clean, tokens};
use crate::{
    defender::Denial,
    failure::Failure,
    ids::{TenantId, TenantKey},
    incidents::{Outcome, Told},
    prove::{Missing, Reader, Unready},
    status::command,
};

/// What is said while a directory's calls are held back.
pub fn waiting(directory: TenantId, wait: Duration) -> String {
    format!("{directory}: {} s until it may be asked again\n", wait.as_secs().max(1))
}

/// How reading all tenants went.
#[derive(Debug)]
pub struct Report {
    incidents: usize,
    read: usize,
    /// The run was told to stop before their end.
    interrupted: usize,
    failed: BTreeMap<TenantKey, String>,
    /// They are being onboarded.
    not_yet: BTreeMap<TenantKey, String>,
}

impl Report {
    /// Puts it together.
    pub fn of(
        readers: &[Reader],
        unready: &BTreeMap<TenantKey, Unready>,
        told: BTreeMap<TenantKey, Told>,
    ) -> Self {
        let mut report = Self {
            incidents: 0,
            read: 0,
            interrupted: 0,
            failed: BTreeMap::new(),
            not_yet: BTreeMap::new(),
        };
        let once_good = |last_good: Option<_>| last_good.is_some();
        for (tenant, Unready { missing, last_good }) in unready {
            let why = lacks(*missing).to_owned();
            let to = if once_good(*last_good) { &mut report.failed } else { &mut report.not_yet };
            to.insert(tenant.clone(), why);
        }
        for (tenant, Told { outcome, handed, refresh }) in told {
            report.incidents += handed;
            let failure = match outcome {
                Outcome::Read => {
                    report.read += 1;
                    continue;
                }
                Outcome::Interrupted => {
                    report.interrupted += 1;
                    continue;
                }
                Outcome::Failed(failure) => failure,
            };
            let known = readers.iter().find(|reader| reader.who.tenant == tenant);
            let good = once_good(known.and_then(|reader| reader.last_good));
            let why = refresh
                .as_ref()
                .and_then(|proof| tokens::trouble(&tenant, proof))
                .unwrap_or_else(|| words(&failure));
            // Whose people have not done their part yet fails nothing.
            let to = if !good && answer(&failure).is_some() {
                &mut report.not_yet
            } else {
                &mut report.failed
            };
            to.insert(tenant, why);
        }
        report
    }

    /// Whether incidents are missing that should be there.
    pub fn any_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// A line for each tenant whose incidents are missing; `place` leads to this fleet.
    pub fn failures(&self, place: &str) -> String {
        let mut text = String::new();
        for (tenant, why) in &self.failed {
            let explain = command(place, "explain", tenant.as_str());
            text.push_str(&format!("error: {tenant}: {}\n  {explain}\n", clean(why)));
        }
        text
    }

    /// A line for each tenant that is not ready, and one that counts.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for (tenant, why) in &self.not_yet {
            text.push_str(&format!("{tenant}: not ready: {}\n", clean(why)));
        }
        let Self { incidents, read, interrupted, failed, not_yet } = self;
        let many = |count: usize, one: &str, more: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {more}"),
        };
        text.push_str(&format!(
            "{} of {}",
            many(*incidents, "incident", "incidents"),
            many(*read, "tenant", "tenants"),
        ));
        for (count, words) in [
            (failed.len(), "FAILED"),
            (*interrupted, "not read to the end"),
            (not_yet.len(), "not ready"),
        ] {
            if count > 0 {
                text.push_str(&format!(" · {count} {words}"));
            }
        }
        text.push('\n');
        text
    }
}

/// What a tenant says that is still being onboarded: no consent, no permission, no Defender.
/// Silence and refusals of the secret are none of these.
fn answer(failure: &Failure) -> Option<&'static str> {
    let code = failure.code.as_deref().unwrap_or_default();
    if matches!(code, "AADSTS7000229" | "AADSTS700016" | "AADSTS65001") {
        return Some("its administrator has not consented");
    }
    Some(match Denial::of(failure)? {
        Denial::PermissionMissing => "what its administrator consented to lacks a permission",
        Denial::NotProvisioned => "Defender is not provisioned there",
    })
}

fn words(failure: &Failure) -> String {
    match answer(failure) {
        None => failure.line(),
        Some(words) => {
            let code = failure.code.as_deref().unwrap_or("no code");
            let request = failure.request_id.as_deref().unwrap_or("unknown");
            format!("{words} ({code}, request {request})")
        }
    }
}

fn lacks(missing: Missing) -> &'static str {
    match missing {
        Missing::App => "its app has not been created",
        Missing::Secret => "the vault holds no live secret of its app",
        Missing::Directory => "its directory is not known yet",
        Missing::SignIn => "its analyst has not signed in",
    }
}
