//! When a credential of ours has had its day: the same for every kind of it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::step::RemovalReason;
use crate::{
    ids::{KeyId, Nonce},
    lifetime::Lifetime,
    manifest::Credential,
    vault::{CredentialKind, CredentialRecord, CredentialState, Federation, Record},
};

/// What takes the place of the credentials that retire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Successor {
    /// One of them that is settled, of whatever kind.
    Credential,
    /// Somebody else's tokens, which were accepted.
    Tokens,
}

impl Successor {
    /// What it is for an app that shall sign in so.
    pub(super) const fn of(wanted: &Credential, record: &Record) -> Self {
        match (wanted, record.federated) {
            (Credential::Federated(_), Federation::Settled) => Self::Tokens,
            (Credential::Federated(_), Federation::Untried)
            | (Credential::Secret | Credential::Certificate, _) => Self::Credential,
        }
    }
}

/// A credential that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) kind: CredentialKind,
    pub(super) key_id: KeyId,
    pub(super) nonce: Nonce,
    pub(super) reason: RemovalReason,
}

/// What took the place of the others: a credential, or tokens, of which no record tells more.
#[derive(Debug, Clone, Copy)]
enum Heir<'a> {
    Credential(&'a CredentialRecord),
    Tokens,
}

impl<'a> Heir<'a> {
    const fn credential(self) -> Option<&'a CredentialRecord> {
        match self {
            Self::Credential(one) => Some(one),
            Self::Tokens => None,
        }
    }
}

/// When the users of a credential were given something to change to. Whoever changed from it to a
/// successor that somebody has removed since may be back at it, and needs the time to change to the
/// heir.
fn followed_since(
    credentials: &[&CredentialRecord],
    is_there: impl Fn(&CredentialRecord) -> bool,
    old: &CredentialRecord,
    heir: Heir<'_>,
) -> Timestamp {
    let Some(heir) = heir.credential() else { return old.since.unwrap_or_else(|| old.born()) };
    let from = heir.since.unwrap_or_else(|| heir.born());
    let between = |one: &&CredentialRecord| {
        old.born() < one.born() && one.born() < heir.born() && one.state.has_value()
    };
    let kept = credentials.iter().copied().filter(between).any(is_there);
    old.since.map_or(from, |since| if kept { since } else { since.max(from) })
}

/// Until when a credential stays beside what took its place: `overlap`, yet never longer than a
/// third of either's real life, which a policy may have made short; tokens have no life of their own.
/// `since` is when its users were given something to change to.
fn overlap_ends(
    overlap: Lifetime,
    old: &CredentialRecord,
    heir: Heir<'_>,
    since: Timestamp,
) -> Timestamp {
    let whole = overlap.after(since).duration_since(since);
    let third = |one: &CredentialRecord| Some(one.end?.duration_since(one.start?) / 3);
    let lives = [third(old), heir.credential().and_then(third)];
    let stays = lives.into_iter().flatten().fold(whole, Ord::min);
    since.checked_add(stays).unwrap_or(Timestamp::MAX)
}

/// The one that takes the place of others. While the youngest is not settled, it has no right to
/// send anybody away.
fn heir<'a>(
    credentials: &[&'a CredentialRecord],
    is_there: impl Fn(&CredentialRecord) -> bool,
    successor: Successor,
    now: Timestamp,
) -> Option<Heir<'a>> {
    let settled =
        |one: &&CredentialRecord| one.is_settled() && !one.has_ended(now) && is_there(one);
    match successor {
        Successor::Credential => {
            let settled = credentials.iter().copied().filter(settled);
            settled.max_by_key(|one| one.born()).map(Heir::Credential)
        }
        Successor::Tokens => Some(Heir::Tokens),
    }
}

/// Whether a settled credential has stood in the place of somebody else's tokens for the overlap.
pub(super) fn tokens_are_over(
    credentials: &[&CredentialRecord],
    is_there: impl Fn(&CredentialRecord) -> bool,
    overlap: Lifetime,
    now: Timestamp,
) -> bool {
    let heir = heir(credentials, is_there, Successor::Credential, now).and_then(Heir::credential);
    heir.is_some_and(|heir| overlap.after(heir.since.unwrap_or_else(|| heir.born())) <= now)
}

/// One that still opens the app beside its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) kind: CredentialKind,
    /// Since when it has a successor.
    pub(super) since: Timestamp,
    /// The first run at or after this removes it.
    pub(super) until: Timestamp,
}

/// Those that were replaced and are not removed yet: whoever was given one must be given its
/// successor before that.
pub(super) fn leaving(
    credentials: &[&CredentialRecord],
    is_there: impl Fn(&CredentialRecord) -> bool,
    successor: Successor,
    overlap: Lifetime,
    now: Timestamp,
) -> Vec<Leaving> {
    let Some(heir) = heir(credentials, &is_there, successor, now) else { return Vec::new() };
    let retires = |one: &&&CredentialRecord| {
        heir.credential().is_none_or(|heir| one.nonce != heir.nonce)
            && one.state == CredentialState::Retiring
            && !one.has_ended(now)
            && is_there(one)
    };
    let leaves = |one: &&CredentialRecord| {
        let since = followed_since(credentials, &is_there, one, heir);
        let until = overlap_ends(overlap, one, heir, since);
        Leaving { kind: one.kind, since, until: one.end.map_or(until, |end| end.min(until)) }
    };
    credentials.iter().filter(retires).map(leaves).collect()
}

/// What is to be removed of an app's credentials, and why. `is_there` tells what the directory
/// has; `revoked` are those of which nothing shall be left once a younger one is in use. What was
/// removed at Microsoft meanwhile is named all the same: the vault holds it still.
pub(super) fn due(
    credentials: &[&CredentialRecord],
    is_there: impl Fn(&CredentialRecord) -> bool,
    successor: Successor,
    overlap: Lifetime,
    revoked: Option<&BTreeSet<Nonce>>,
    now: Timestamp,
) -> Vec<Gone> {
    let heir = heir(credentials, &is_there, successor, now);
    let reason = |one: &CredentialRecord| {
        if !one.state.has_value() {
            return None;
        }
        if one.has_ended(now) {
            return Some(RemovalReason::Expired);
        }
        let heir = heir?;
        let by = heir.credential();
        if by.is_some_and(|by| by.nonce == one.nonce) {
            return None;
        }
        let is_old = |nonce| revoked.is_some_and(|old| old.contains(nonce));
        if is_old(&one.nonce) && by.is_none_or(|by| !is_old(&by.nonce)) {
            return Some(RemovalReason::Revoked);
        }
        let retires = one.state == CredentialState::Retiring;
        let ends = || {
            let since = followed_since(credentials, &is_there, one, heir);
            overlap_ends(overlap, one, heir, since)
        };
        (retires && ends() <= now).then_some(RemovalReason::Retired)
    };
    credentials
        .iter()
        .copied()
        .filter_map(|one| {
            let (key_id, nonce, reason) = (one.key_id?, one.nonce.clone(), reason(one)?);
            Some(Gone { kind: one.kind, key_id, nonce, reason })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Span};

    use super::*;

    const YEAR: i64 = 365;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_hours(24 * day)
    }

    fn secret(state: CredentialState, start: i64, end: i64) -> CredentialRecord {
        CredentialRecord {
            state,
            key_id: Some(KeyId::from_uuid(uuid::Uuid::new_v4())),
            start: Some(day(start)),
            end: Some(day(end)),
            ..CredentialRecord::intended(Nonce::fresh(), CredentialKind::Secret, day(start))
        }
    }

    fn retiring(start: i64, end: i64, since: i64) -> CredentialRecord {
        CredentialRecord {
            since: Some(day(since)),
            ..secret(CredentialState::Retiring, start, end)
        }
    }

    /// Why each is to be removed on a day, in the order given.
    fn why(all: &[&CredentialRecord], overlap: i32, today: i64) -> Vec<Option<RemovalReason>> {
        why_revoking(all, overlap, today, None)
    }

    fn why_revoking(
        all: &[&CredentialRecord],
        overlap: i32,
        today: i64,
        revoked: Option<&BTreeSet<Nonce>>,
    ) -> Vec<Option<RemovalReason>> {
        let overlap = Lifetime::new(Span::new().days(overlap));
        let due = due(all, |_| true, Successor::Credential, overlap, revoked, day(today));
        all.iter()
            .map(|one| due.iter().find(|gone| gone.nonce == one.nonce).map(|gone| gone.reason))
            .collect()
    }

    #[test]
    fn a_retiring_one_stays_for_the_overlap_and_goes_then() {
        let old = retiring(0, YEAR, 340);
        let heir = secret(CredentialState::Proved, 340, 340 + YEAR);
        assert_eq!(why(&[&old, &heir], 7, 346), [None, None]);
        assert_eq!(why(&[&old, &heir], 7, 347), [Some(RemovalReason::Retired), None]);
    }

    #[test]
    fn a_retiring_one_is_told_with_its_day_and_only_while_it_is_there() {
        let old = retiring(0, YEAR, 340);
        let heir = secret(CredentialState::Proved, 340, 340 + YEAR);
        let overlap = Lifetime::new(Span::new().days(7));
        let both = [&old, &heir];
        let leaving = |all: &[&CredentialRecord], gone: Option<&Nonce>, today| {
            let is_there = |one: &CredentialRecord| Some(&one.nonce) != gone;
            leaving(all, is_there, Successor::Credential, overlap, day(today))
        };
        let told = leaving(&both, None, 341);
        let kind = CredentialKind::Secret;
        assert_eq!(told, [Leaving { kind, since: day(340), until: day(347) }]);
        assert_eq!(why(&both, 7, 347), [Some(RemovalReason::Retired), None]);
        assert_eq!(leaving(&both, Some(&old.nonce), 341), []);
        assert_eq!(leaving(&both, None, YEAR), []);
        // Without a successor that is settled nobody is told to change over.
        let untried = secret(CredentialState::Stored, 340, 340 + YEAR);
        assert_eq!(leaving(&[&old, &untried], None, 341), []);
    }

    #[test]
    fn it_never_goes_while_no_successor_is_settled() {
        let old = retiring(0, YEAR, 10);
        let untried = secret(CredentialState::Stored, 10, 10 + YEAR);
        assert_eq!(why(&[&old, &untried], 7, 100), [None, None]);
        assert_eq!(why(&[&old], 7, 100), [None]);
        let counted = CredentialRecord { since: Some(day(10)), ..untried };
        assert_eq!(why(&[&old, &counted], 7, 100), [Some(RemovalReason::Retired), None]);
        // One that the directory does not have keeps nobody's door open.
        let due = due(
            &[&old, &counted],
            |one| one.nonce == old.nonce,
            Successor::Credential,
            Lifetime::new(Span::new().days(7)),
            None,
            day(100),
        );
        assert_eq!(due, []);
    }

    #[test]
    fn it_waits_for_a_later_heir_only_where_no_earlier_one_is_there() {
        let old = retiring(0, YEAR, 10);
        let between = retiring(10, YEAR, 16);
        let heir = CredentialRecord {
            since: Some(day(16)),
            ..secret(CredentialState::Proved, 16, 16 + YEAR)
        };
        let gone = Some(RemovalReason::Retired);
        assert_eq!(why(&[&old, &between, &heir], 7, 17), [gone, None, None]);
        // Somebody removed the one between at Microsoft.
        let overlap = Lifetime::new(Span::new().days(7));
        let without = |today| {
            let all = [&old, &between, &heir];
            let is_there = |one: &CredentialRecord| one.nonce != between.nonce;
            let due = due(&all, is_there, Successor::Credential, overlap, None, day(today));
            due.into_iter().any(|gone| gone.nonce == old.nonce)
        };
        assert!(!without(17) && !without(22));
        assert!(without(23));
    }

    #[test]
    fn the_overlap_is_never_longer_than_a_third_of_either_life() {
        let old = retiring(0, 30, 21);
        let heir = secret(CredentialState::Proved, 21, 51);
        assert_eq!(why(&[&old, &heir], 60, 30), [Some(RemovalReason::Expired), None]);
        let long = retiring(0, YEAR, 21);
        assert_eq!(why(&[&long, &heir], 60, 30), [None, None]);
        assert_eq!(why(&[&long, &heir], 60, 31), [Some(RemovalReason::Retired), None]);
    }

    #[test]
    fn one_that_has_ended_goes_at_once_and_what_stands_never_does() {
        let ended = secret(CredentialState::Stored, 0, 30);
        let other = secret(CredentialState::Proved, 0, YEAR);
        let heir = secret(CredentialState::Proved, 10, YEAR);
        assert_eq!(
            why(&[&ended, &other, &heir], 0, 30),
            [Some(RemovalReason::Expired), None, None]
        );
        let intended = CredentialRecord { key_id: None, ..secret(CredentialState::Intended, 0, 9) };
        assert_eq!(why(&[&intended], 0, 30), [None]);
    }

    #[test]
    fn what_is_revoked_goes_once_a_younger_one_is_settled() {
        let old = secret(CredentialState::Proved, 0, YEAR);
        let older = retiring(0, YEAR, 1);
        let revoked = BTreeSet::from([old.nonce.clone(), older.nonce.clone()]);
        let untried = secret(CredentialState::Stored, 5, YEAR);
        let all = [&old, &older, &untried];
        assert_eq!(why_revoking(&all, 60, 5, Some(&revoked)), [None, None, None]);
        let heir = CredentialRecord { state: CredentialState::Proved, ..untried };
        let gone = Some(RemovalReason::Revoked);
        let all = [&old, &older, &heir];
        assert_eq!(why_revoking(&all, 60, 5, Some(&revoked)), [gone, gone, None]);
        assert_eq!(why(&all, 60, 5), [None, None, None]);
    }

    #[test]
    fn a_certificate_sends_a_secret_away_and_tokens_send_both() {
        let week = Lifetime::new(Span::new().days(7));
        let old = retiring(0, YEAR, 10);
        let certificate = CredentialRecord {
            kind: CredentialKind::Certificate,
            ..secret(CredentialState::Proved, 10, 10 + YEAR)
        };
        let all = [&old, &certificate];
        assert_eq!(why(&all, 7, 16), [None, None]);
        assert_eq!(why(&all, 7, 17), [Some(RemovalReason::Retired), None]);
        let by_tokens = |all: &[&CredentialRecord], today| {
            let gone = due(all, |_| true, Successor::Tokens, week, None, day(today));
            gone.into_iter().map(|gone| (gone.kind, gone.reason)).collect::<Vec<_>>()
        };
        // What stands was not told to retire: the tokens were accepted, and nothing more.
        assert_eq!(by_tokens(&all, 17), [(CredentialKind::Secret, RemovalReason::Retired)]);
        let gone = CredentialRecord {
            state: CredentialState::Retiring,
            since: Some(day(20)),
            ..certificate
        };
        assert_eq!(by_tokens(&[&gone], 26), []);
        assert_eq!(
            by_tokens(&[&gone], 27),
            [(CredentialKind::Certificate, RemovalReason::Retired)]
        );
    }
}
