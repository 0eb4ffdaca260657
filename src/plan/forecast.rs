//! What ends, and when it is to be renewed: the days ahead, judged from what the vault and the
//! directory know.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    AppPlan, Plan, Seen, kinds,
    retire::{self, Successor},
    secrets,
    step::{Foreign, ForeignSecret},
};
use crate::{
    ids::{AppKey, TenantKey},
    inventory::{FoundApp, FoundSecret},
    manifest::{App, Credential, Manifest},
    vault::{CredentialKind, CredentialRecord, Record},
};

/// So long before its end a refresh token is told to be used: a third of its life, as with secrets.
pub const REFRESH_DUE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DueKind {
    /// A client secret of ours.
    ClientSecret,
    /// A certificate of ours.
    Certificate,
    /// A refresh token that a sign-in left: it ends when nobody uses it for 90 days.
    RefreshToken,
    /// A client secret that others put on an app of ours.
    ForeignSecret,
    /// A certificate that others put on an app of ours.
    ForeignCertificate,
    /// A client secret of ours that its successor has replaced: a later run removes it.
    RetiringSecret,
}

impl DueKind {
    /// Every kind, for the schema.
    pub const ALL: [Self; 6] = [
        Self::ClientSecret,
        Self::Certificate,
        Self::RefreshToken,
        Self::ForeignSecret,
        Self::ForeignCertificate,
        Self::RetiringSecret,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecret => "client-secret",
            Self::Certificate => "certificate",
            Self::RefreshToken => "refresh-token",
            Self::ForeignSecret => "foreign-secret",
            Self::ForeignCertificate => "foreign-certificate",
            Self::RetiringSecret => "retiring-secret",
        }
    }

    /// Whether it is ours to renew.
    pub const fn is_ours(self) -> bool {
        match self {
            Self::ClientSecret | Self::Certificate | Self::RefreshToken => true,
            Self::ForeignSecret | Self::ForeignCertificate | Self::RetiringSecret => false,
        }
    }
}

/// How it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cure {
    /// By the next apply after its window opens.
    Apply,
    /// By using it.
    RefreshTokens,
    /// It has ended: the person signs in once more.
    Consent,
    /// By whoever made it: it is not ours.
    NotOurs,
    /// By giving its successor to whoever uses it.
    Export,
    /// By giving the certificate that is its successor to whoever uses it.
    Reveal,
    /// By whoever uses it: the app takes somebody else's tokens in its place.
    SignInOtherwise,
}

/// Something that has to be renewed by a day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    /// When it ends; the first in the order.
    pub ends: Timestamp,
    /// The app that it is of.
    pub app: AppKey,
    /// What it is.
    pub kind: DueKind,
    /// The tenants that are read with it.
    pub tenants: Vec<TenantKey>,
    /// Whose it is, or what its maker called it.
    pub name: Option<String>,
    /// From when on it can be renewed.
    pub from: Timestamp,
    /// How.
    pub cure: Cure,
}

/// All that has to be renewed at or before `as_of`, the first end first. `checked_at` is when it
/// was looked at: what has ended by then needs another cure. `refresh_ends` says when each tenant's
/// refresh token ends.
pub fn forecast(
    manifest: &Manifest,
    plan: &Plan,
    seen: &Seen,
    refresh_ends: &BTreeMap<TenantKey, Timestamp>,
    checked_at: Timestamp,
    as_of: Timestamp,
) -> Vec<Due> {
    let mut all = Vec::new();
    for planned in plan.apps.values() {
        let Some(app) = manifest.apps.get(&planned.key) else { continue };
        let view = View {
            app,
            planned,
            record: seen.records.get(&app.key).filter(|record| {
                record.client_id.is_some() && record.client_id == planned.target.client_id()
            }),
            found: seen.app(planned),
            checked_at,
        };
        all.extend(view.secret());
        all.extend(view.retiring());
        all.extend(view.foreign());
        let users = app.tenants.iter().filter(|key| plan.tenants.contains_key(*key));
        all.extend(users.filter_map(|key| view.refresh_token(key, *refresh_ends.get(key)?)));
    }
    all.retain(|due| due.from <= as_of);
    all.sort();
    all
}

/// The refresh tokens that the vault holds, and when each ends unless it is used.
pub(super) fn held_refresh_tokens(seen: &Seen) -> BTreeMap<TenantKey, Timestamp> {
    let of = |record: &Record| -> Vec<(TenantKey, Timestamp)> {
        let tenants = record.tenants.keys();
        tenants.filter_map(|key| Some((key.clone(), record.refresh_token(key)?.end?))).collect()
    };
    seen.records.values().flat_map(of).collect()
}

struct View<'a> {
    app: &'a App,
    planned: &'a AppPlan,
    record: Option<&'a Record>,
    found: Option<&'a FoundApp>,
    checked_at: Timestamp,
}

impl View<'_> {
    fn due(&self, kind: DueKind, from: Timestamp, ends: Timestamp, cure: Cure) -> Due {
        Due {
            ends,
            app: self.app.key.clone(),
            kind,
            tenants: self.app.tenants.clone(),
            name: None,
            from,
            cure,
        }
    }

    /// The secret or certificate that is in use; where none lives any more, the one that ended last.
    fn secret(&self) -> Option<Due> {
        // Of somebody else's token nothing ends.
        kinds::kept(&self.app.credential)?;
        let live = secrets::serving(self.found, self.record, self.checked_at);
        let ended = || {
            let all = self.record.into_iter().flat_map(Record::own);
            all.filter(|held| held.state.has_value()).max_by_key(|held| held.end)
        };
        let CredentialRecord { kind, start, end, .. } = live.or_else(ended)?;
        let (start, end) = (*start).zip(*end)?;
        let from = secrets::renewal_starts(&self.app.secret, start, end);
        let kind = match kind {
            CredentialKind::Certificate => DueKind::Certificate,
            CredentialKind::Secret | CredentialKind::RefreshToken => DueKind::ClientSecret,
        };
        Some(self.due(kind, from, end, Cure::Apply))
    }

    /// What a SIEM may still be filled with, though it has a successor.
    fn retiring(&self) -> Vec<Due> {
        let Some(record) = self.record else { return Vec::new() };
        let all: Vec<_> = record.own().collect();
        let there = |held: &CredentialRecord| secrets::is_there(held, self.found, self.checked_at);
        let successor = Successor::of(&self.app.credential, record);
        let cure = match &self.app.credential {
            Credential::Secret => Cure::Export,
            Credential::Certificate => Cure::Reveal,
            Credential::Federated(_) => Cure::SignInOtherwise,
        };
        retire::leaving(&all, there, successor, self.app.secret.overlap, self.checked_at)
            .into_iter()
            // Nobody is given a certificate but by `reveal`, and nothing ties anybody to it.
            .filter(|one| one.kind == CredentialKind::Secret)
            .map(|one| {
                // The server's clock is known to a second: what the last run did is not to come.
                let from = one.since.min(self.checked_at);
                self.due(DueKind::RetiringSecret, from, one.until, cure)
            })
            .collect()
    }

    fn refresh_token(&self, tenant: &TenantKey, ends: Timestamp) -> Option<Due> {
        let held = self.record?.refresh_token(tenant)?;
        let from = ends.checked_sub(REFRESH_DUE).unwrap_or(ends);
        let cure = if ends <= self.checked_at { Cure::Consent } else { Cure::RefreshTokens };
        Some(Due {
            tenants: vec![tenant.clone()],
            name: held.user.clone(),
            ..self.due(DueKind::RefreshToken, from, ends, cure)
        })
    }

    /// What others put there and still lives, from as long before its end as ours is renewed.
    fn foreign(&self) -> impl Iterator<Item = Due> {
        let Foreign { secrets, certificates, .. } = &self.planned.foreign;
        let of = move |kind, due, theirs: &[ForeignSecret]| -> Vec<Due> {
            let found = kinds::found(self.found, kind).iter();
            let theirs = found.filter(|found| theirs.iter().any(|one| one.key_id == found.key_id));
            theirs.filter_map(|one| self.foreign_due(due, one)).collect()
        };
        let secrets = of(CredentialKind::Secret, DueKind::ForeignSecret, secrets);
        let certificates =
            of(CredentialKind::Certificate, DueKind::ForeignCertificate, certificates);
        secrets.into_iter().chain(certificates)
    }

    fn foreign_due(&self, kind: DueKind, found: &FoundSecret) -> Option<Due> {
        let end = found.end.filter(|end| *end > self.checked_at)?;
        let start = found.start.unwrap_or(self.checked_at);
        let from = secrets::renewal_starts(&self.app.secret, start, end);
        let name = found.display_name.clone();
        Some(Due { name, ..self.due(kind, from, end, Cure::NotOurs) })
    }
}
