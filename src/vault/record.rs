//! What the vault knows of one app besides its values: the clear header of its file.
//!
//! Pure data and pure questions about it. Graph is the judge of what exists; a record holds only
//! what Graph never tells twice, and what makes our own things recognisable.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{
        AppKey, Application, ClientId, CredentialName, Nonce, ObjectId, TenantId, TenantKey,
        UniqueName, VaultId,
    },
    vault::{
        credential::{CredentialKind, CredentialRecord, CredentialState, NewRefreshToken},
        tenant::{TenantRecord, TenantSeen},
    },
};

/// How long a request that nobody waits for any more could still have its effect, with room.
const UNDER_WAY: SignedDuration = SignedDuration::from_hours(24);

/// Every record of a vault.
pub type Records = BTreeMap<AppKey, Record>;

/// One app as the vault remembers it. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Its key; also the name of its file.
    pub app: AppKey,
    /// The directory it lives in.
    pub directory: TenantId,
    /// The alternate key it is created under.
    pub unique_name: UniqueName,
    /// Its client id; absent until the upsert has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// Its object id in [`Record::directory`]; absent until the upsert has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<ObjectId<Application>>,
    /// Whether somebody else's tokens took the place of what it signed in with before.
    #[serde(default, skip_serializing_if = "Federation::is_untried")]
    pub federated: Federation,
    /// Every credential that we made or meant to make and have not removed.
    pub credentials: Vec<CredentialRecord>,
    /// The tenants that use it.
    pub tenants: BTreeMap<TenantKey, TenantRecord>,
}

/// Whether somebody else's tokens, which an app trusts by federated credentials of ours, took the place
/// of what it signed in with before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Federation {
    /// They were accepted, and it did: what was there before retires.
    Settled,
    /// Nothing is known of it, or nothing was there before. What earlier versions wrote here, of whether
    /// such credentials may exist, every reading shows now.
    #[default]
    #[serde(other)]
    Untried,
}

impl Federation {
    const fn is_untried(&self) -> bool {
        matches!(self, Self::Untried)
    }
}

/// Why a record and what is asked of it do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// Two credentials have one nonce.
    #[error("the nonce {0} stands there twice")]
    NonceTwice(Nonce),
    /// A value is held or to be held, but whose it is cannot be said yet.
    #[error("a value is there before the app has a client id")]
    ValueWithoutClientId,
    /// The state says that there is a value, and there is none.
    #[error("the credential {0} is said to have a value, and none is there")]
    ValueMissing(Nonce),
    /// A value is there that no credential, or one that is only intended, speaks for.
    #[error("a value is there for {0}, of which the header says that it has none")]
    ValueUnclaimed(Nonce),
    /// The values held belong to another app or directory than the record now names.
    #[error("the values held belong to another client id or directory than the one named")]
    ValuesOfAnother,
    /// A refresh token must name its tenant and its user, and a secret neither.
    #[error("the credential {0} does not name whom its kind must name, or names too many")]
    Owner(Nonce),
    /// A refresh token names a tenant that the record does not know.
    #[error("the refresh token {nonce} is of tenant {tenant}, which is not known")]
    StrangeTenant {
        /// The token.
        nonce: Nonce,
        /// Whose it is said to be.
        tenant: TenantKey,
    },
    /// A tenant has two refresh tokens.
    #[error("tenant {0} has two refresh tokens")]
    TokenTwice(TenantKey),
    /// A tenant's key stands for another directory than it did.
    #[error("tenant {tenant} is pinned to directory {pinned}, not {seen}")]
    Repinned {
        /// The key.
        tenant: TenantKey,
        /// The directory it was pinned to.
        pinned: TenantId,
        /// The directory it is said to be now.
        seen: TenantId,
    },
}

impl Record {
    /// An app that is about to be created.
    pub fn new(app: AppKey, directory: TenantId, unique_name: UniqueName) -> Self {
        Self {
            app,
            directory,
            unique_name,
            client_id: None,
            object_id: None,
            federated: Federation::Untried,
            credentials: Vec::new(),
            tenants: BTreeMap::new(),
        }
    }

    /// The credential of this nonce.
    pub fn credential(&self, nonce: &Nonce) -> Option<&CredentialRecord> {
        self.credentials.iter().find(|credential| credential.nonce == *nonce)
    }

    /// The same, to be changed.
    pub fn credential_mut(&mut self, nonce: &Nonce) -> Option<&mut CredentialRecord> {
        self.credentials.iter_mut().find(|credential| credential.nonce == *nonce)
    }

    /// The credentials of a kind.
    pub fn of_kind(&self, kind: CredentialKind) -> impl Iterator<Item = &CredentialRecord> {
        self.credentials.iter().filter(move |credential| credential.kind == kind)
    }

    /// The app's own credentials, of whatever kind: all that plans and directories are held against,
    /// and all but what people's sign-ins left.
    pub fn own(&self) -> impl Iterator<Item = &CredentialRecord> {
        self.credentials.iter().filter(|credential| credential.kind.is_of_app())
    }

    /// The same, to be changed.
    pub fn own_mut(&mut self) -> impl Iterator<Item = &mut CredentialRecord> {
        self.credentials.iter_mut().filter(|credential| credential.kind.is_of_app())
    }

    /// The refresh token that is held for a tenant. Whether it still lives, only Entra ID knows.
    pub fn refresh_token(&self, tenant: &TenantKey) -> Option<&CredentialRecord> {
        self.credentials.iter().find(|credential| {
            credential.kind == CredentialKind::RefreshToken
                && credential.tenant.as_ref() == Some(tenant)
        })
    }

    /// The credential of a kind to use or to hand out, of those that have not ended: see
    /// [`CredentialRecord::preference`].
    pub fn current(&self, kind: CredentialKind, now: Timestamp) -> Option<&CredentialRecord> {
        preferred(self.of_kind(kind), now)
    }

    /// The credential that the app signs in with, of whatever kind: after the manifest asks for
    /// another kind, the old one until the new one is accepted.
    pub fn in_use(&self, now: Timestamp) -> Option<&CredentialRecord> {
        preferred(self.own(), now)
    }

    /// Forgets intents that never became a credential in the directory, once it is sure that they
    /// never will: whatever could still have been under way has arrived by then. One of which `made`
    /// knows a credential stays: by it alone that one is known as ours, until it is removed there.
    pub fn forget_intents(&mut self, made: impl Fn(&Nonce) -> bool, now: Timestamp) {
        self.credentials.retain(|credential| {
            credential.state != CredentialState::Intended
                || now.duration_since(credential.intended_at) < UNDER_WAY
                || made(&credential.nonce)
        });
    }

    /// What takes over becomes what the app signs in with, and all else retires: the credential of
    /// that name, or where it has none somebody else's tokens. `accepted` says whether a token
    /// request took it.
    pub fn succeed(&mut self, heir: Option<&Nonce>, accepted: bool, at: Timestamp) {
        if heir.is_none() {
            self.federated = Federation::Settled;
        }
        for credential in self.own_mut().filter(|credential| credential.state.stands()) {
            if Some(&credential.nonce) != heir {
                credential.state = CredentialState::Retiring;
            } else if accepted {
                credential.state = CredentialState::Proved;
            }
            credential.since = Some(at);
        }
    }

    /// A tenant of the app, pinned to its directory now if it was not before.
    pub(super) fn pin(
        &mut self,
        tenant: &TenantKey,
        id: TenantId,
    ) -> Result<&mut TenantRecord, Contradiction> {
        let known = self.tenants.entry(tenant.clone()).or_insert_with(|| TenantRecord::pinned(id));
        if known.id == id {
            Ok(known)
        } else {
            Err(Contradiction::Repinned { tenant: tenant.clone(), pinned: known.id, seen: id })
        }
    }

    /// Puts a new refresh token in the place of the tenant's old one; gives back their names.
    pub(super) fn exchange_token(
        &mut self,
        new: NewRefreshToken,
    ) -> Result<(Nonce, Option<Nonce>), Contradiction> {
        let NewRefreshToken { tenant, directory, user, object, allowed_roles, value: _, at } = new;
        self.pin(&tenant, directory)?;
        let gone = self.forget_token(&tenant);
        let token = CredentialRecord {
            object,
            allowed_roles,
            ..CredentialRecord::refresh_token(tenant, user, at)
        };
        let nonce = token.nonce.clone();
        self.credentials.push(token);
        Ok((nonce, gone))
    }

    /// Forgets a tenant's refresh token, if there is one; gives back its name.
    pub(super) fn forget_token(&mut self, tenant: &TenantKey) -> Option<Nonce> {
        let gone = self.refresh_token(tenant)?.nonce.clone();
        self.credentials.retain(|credential| credential.nonce != gone);
        Some(gone)
    }

    /// The names of the credentials of which the vault holds the values.
    pub(super) fn held(&self) -> BTreeSet<Nonce> {
        let held = self.credentials.iter().filter(|credential| credential.state.has_value());
        held.map(|credential| credential.nonce.clone()).collect()
    }

    /// Remembers what a run saw of a tenant; `since` stays where nothing changed.
    ///
    /// # Errors
    /// The tenant is pinned to another directory; nothing is remembered then.
    pub fn remember(&mut self, seen: &TenantSeen, at: Timestamp) -> Result<(), Contradiction> {
        self.pin(&seen.tenant, seen.id)?.remember(seen, at);
        Ok(())
    }

    /// Whether the record and the nonces of the values beside it agree.
    pub(super) fn check<'a>(
        &self,
        values: impl Iterator<Item = &'a Nonce>,
    ) -> Result<(), Contradiction> {
        let values: BTreeSet<&Nonce> = values.collect();
        let mut known = BTreeSet::new();
        let mut signed_in = BTreeSet::new();
        for credential in &self.credentials {
            match (credential.kind, &credential.tenant, &credential.user) {
                (CredentialKind::Secret | CredentialKind::Certificate, None, None) => {}
                (CredentialKind::RefreshToken, Some(tenant), Some(_)) => {
                    if !self.tenants.contains_key(tenant) {
                        return Err(Contradiction::StrangeTenant {
                            nonce: credential.nonce.clone(),
                            tenant: tenant.clone(),
                        });
                    }
                    if !signed_in.insert(tenant) {
                        return Err(Contradiction::TokenTwice(tenant.clone()));
                    }
                }
                (
                    CredentialKind::Secret
                    | CredentialKind::Certificate
                    | CredentialKind::RefreshToken,
                    _,
                    _,
                ) => {
                    return Err(Contradiction::Owner(credential.nonce.clone()));
                }
            }
            if !known.insert(&credential.nonce) {
                return Err(Contradiction::NonceTwice(credential.nonce.clone()));
            }
            match (credential.state.has_value(), values.contains(&credential.nonce)) {
                (true, true) | (false, false) => {}
                (true, false) => {
                    return Err(Contradiction::ValueMissing(credential.nonce.clone()));
                }
                (false, true) => {
                    return Err(Contradiction::ValueUnclaimed(credential.nonce.clone()));
                }
            }
        }
        if let Some(stray) = values.iter().find(|nonce| !known.contains(**nonce)) {
            return Err(Contradiction::ValueUnclaimed((*stray).clone()));
        }
        if self.client_id.is_none() && !values.is_empty() {
            return Err(Contradiction::ValueWithoutClientId);
        }
        Ok(())
    }
}

/// The one to use of several.
pub fn preferred<'a>(
    credentials: impl Iterator<Item = &'a CredentialRecord>,
    now: Timestamp,
) -> Option<&'a CredentialRecord> {
    credentials
        .filter_map(|credential| Some((credential.preference(now)?, credential)))
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, credential)| credential)
}

/// Whose a credential found in a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// Ours, and its value is in this vault.
    OursStored {
        /// Its nonce.
        nonce: Nonce,
    },
    /// Ours, intended by this vault, and its value was lost on the way: to be removed and replaced.
    OursIntended {
        /// Its nonce.
        nonce: Nonce,
    },
    /// It carries this vault's id and a nonce that this vault does not know: another copy of the
    /// vault made it, which may be the one that is in use, or a file was lost.
    OursUnknown {
        /// Its nonce.
        nonce: Nonce,
    },
    /// Made by tenantry with another vault.
    OtherVault(VaultId),
    /// Somebody else's: shown, never touched.
    Foreign,
}

/// Tells whose a credential is by its display name, for the guard before every plan.
pub fn recognise(found_name: Option<&str>, vault: VaultId, record: Option<&Record>) -> Ownership {
    let Some(name) = found_name.and_then(|name| name.parse::<CredentialName>().ok()) else {
        return Ownership::Foreign;
    };
    let CredentialName { vault: maker, nonce } = name;
    if maker != vault {
        return Ownership::OtherVault(maker);
    }
    let secret = record.and_then(|record| {
        record.credentials.iter().find(|known| known.kind.is_of_app() && known.nonce == nonce)
    });
    match secret.map(|known| known.state.has_value()) {
        Some(true) => Ownership::OursStored { nonce },
        Some(false) => Ownership::OursIntended { nonce },
        None => Ownership::OursUnknown { nonce },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::{
        ConsentSeen,
        testing::{record, seconds},
    };

    fn with_end(state: CredentialState, end: i64) -> CredentialRecord {
        CredentialRecord {
            state,
            end: Some(seconds(end)),
            ..CredentialRecord::intended(Nonce::fresh(), CredentialKind::Secret, seconds(0))
        }
    }

    #[test]
    fn the_current_credential_is_a_settled_one_before_one_that_nobody_tried() {
        let mut record = record("contoso");
        let mut current = |credentials: &[&CredentialRecord]| {
            record.credentials = credentials.iter().map(|one| (*one).clone()).collect();
            record.current(CredentialKind::Secret, seconds(100)).map(|one| one.nonce.clone())
        };
        let intended = with_end(CredentialState::Intended, 900);
        let stored = with_end(CredentialState::Stored, 800);
        let proved = with_end(CredentialState::Proved, 200);
        let longer = with_end(CredentialState::Proved, 300);
        let retiring = with_end(CredentialState::Retiring, 700);
        let ended = with_end(CredentialState::Proved, 100);
        assert_eq!(current(&[&intended, &ended]), None);
        assert_eq!(current(&[&retiring, &ended]), Some(retiring.nonce.clone()));
        assert_eq!(current(&[&retiring, &stored]), Some(stored.nonce.clone()));
        assert_eq!(current(&[&proved, &stored, &intended]), Some(proved.nonce.clone()));
        assert_eq!(current(&[&longer, &proved, &stored]), Some(longer.nonce.clone()));
        assert_eq!(current(&[&proved, &longer, &stored]), Some(longer.nonce.clone()));
        // What was made later is the successor, even where a policy lets it end earlier.
        let younger = CredentialRecord { start: Some(seconds(50)), ..proved.clone() };
        assert_eq!(current(&[&longer, &younger]), Some(younger.nonce));
        // Of two that nobody tried, the older one may be known everywhere.
        let late = CredentialRecord { start: Some(seconds(50)), ..with_end(stored.state, 900) };
        assert_eq!(current(&[&late, &stored]), Some(stored.nonce.clone()));
        let counted = CredentialRecord { since: Some(seconds(60)), ..late };
        assert_eq!(current(&[&counted, &stored]), Some(counted.nonce.clone()));
        assert_eq!(current(&[&proved, &counted]), Some(counted.nonce));
    }

    #[test]
    fn a_successor_sends_all_others_into_retirement() {
        let mut record = record("contoso");
        let old = with_end(CredentialState::Proved, 900);
        let lost = with_end(CredentialState::Intended, 900);
        let gone = CredentialRecord {
            since: Some(seconds(1)),
            ..with_end(CredentialState::Retiring, 900)
        };
        let heir = with_end(CredentialState::Stored, 900);
        record.credentials = vec![old, lost, gone, heir.clone()];
        let mut counted = record.clone();
        record.succeed(Some(&heir.nonce), true, seconds(7));
        let states: Vec<_> = record.credentials.iter().map(|one| (one.state, one.since)).collect();
        assert_eq!(
            states,
            [
                (CredentialState::Retiring, Some(seconds(7))),
                (CredentialState::Intended, None),
                (CredentialState::Retiring, Some(seconds(1))),
                (CredentialState::Proved, Some(seconds(7))),
            ]
        );
        counted.succeed(Some(&heir.nonce), false, seconds(7));
        assert_eq!(counted.credentials[3].state, CredentialState::Stored);
        assert!(counted.credentials[3].is_settled());
    }

    #[test]
    fn an_intent_is_forgotten_once_it_is_sure_that_nothing_came_of_it() {
        const DAY: i64 = 24 * 60 * 60;
        let mut record = record("contoso");
        let stored = with_end(CredentialState::Stored, 1);
        let (idle, made) =
            (with_end(CredentialState::Intended, 1), with_end(CredentialState::Intended, 1));
        record.credentials = vec![stored.clone(), idle.clone(), made.clone()];
        let mut left = |now| {
            record.forget_intents(|nonce| *nonce == made.nonce, seconds(now));
            record.credentials.clone()
        };
        assert_eq!(left(DAY - 1), [stored.clone(), idle, made.clone()]);
        assert_eq!(left(DAY), [stored, made.clone()]);
    }

    #[test]
    fn what_earlier_versions_wrote_of_federated_credentials_is_read_and_means_nothing() {
        let record = record("contoso");
        let mut written = serde_json::to_value(&record).unwrap();
        assert!(written.get("federated").is_none());
        for word in ["none", "meant"] {
            written["federated"] = word.into();
            assert_eq!(serde_json::from_value::<Record>(written.clone()).unwrap(), record);
        }
        let settled = Record { federated: Federation::Settled, ..record };
        let read = serde_json::from_value(serde_json::to_value(&settled).unwrap());
        assert_eq!(read.ok(), Some(settled));
    }

    #[test]
    fn each_found_name_is_recognised_for_what_it_is() {
        let vault = VaultId::from_uuid(uuid::Uuid::new_v4());
        let other = VaultId::from_uuid(uuid::Uuid::new_v4());
        let stored = with_end(CredentialState::Stored, 1);
        let intended = with_end(CredentialState::Intended, 1);
        let mut record = record("contoso");
        record.credentials = vec![stored.clone(), intended.clone()];
        let name =
            |vault, nonce: &Nonce| CredentialName { vault, nonce: nonce.clone() }.to_string();
        let whose = |name: &str, record: Option<&Record>| recognise(Some(name), vault, record);

        let nonce = stored.nonce;
        assert_eq!(
            whose(&name(vault, &nonce), Some(&record)),
            Ownership::OursStored { nonce: nonce.clone() }
        );
        assert_eq!(
            whose(&name(vault, &nonce), None),
            Ownership::OursUnknown { nonce: nonce.clone() }
        );
        assert_eq!(whose(&name(other, &nonce), Some(&record)), Ownership::OtherVault(other));
        let nonce = intended.nonce;
        assert_eq!(
            whose(&name(vault, &nonce), Some(&record)),
            Ownership::OursIntended { nonce: nonce.clone() }
        );
        let nonce = Nonce::fresh();
        assert_eq!(
            whose(&name(vault, &nonce), Some(&record)),
            Ownership::OursUnknown { nonce: nonce.clone() }
        );
        assert_eq!(whose("SIEM key", Some(&record)), Ownership::Foreign);
        assert_eq!(recognise(None, vault, Some(&record)), Ownership::Foreign);
    }

    #[test]
    fn since_moves_only_when_a_facet_changes_and_a_pin_never_does() {
        let mut record = record("contoso");
        let mut seen = TenantSeen {
            tenant: "contoso".parse().unwrap(),
            id: TenantId::from_uuid(uuid::Uuid::new_v4()),
            facets: BTreeMap::from([(
                "consent".into(),
                ("waiting".into(), Some("analyst".into())),
            )]),
            last_good: Some(seconds(5)),
            consent: ConsentSeen::NotProved,
        };
        record.remember(&seen, seconds(10)).unwrap();
        seen.last_good = None;
        record.remember(&seen, seconds(20)).unwrap();
        let known = &record.tenants[&seen.tenant];
        assert_eq!(known.facets["consent"].since, seconds(10));
        assert_eq!(known.last_good, Some(seconds(5)));

        seen.facets.insert("consent".into(), ("waiting".into(), Some("customer-admin".into())));
        record.remember(&seen, seconds(30)).unwrap();
        assert_eq!(record.tenants[&seen.tenant].facets["consent"].since, seconds(30));

        let before = record.clone();
        seen.id = TenantId::from_uuid(uuid::Uuid::new_v4());
        assert!(matches!(record.remember(&seen, seconds(40)), Err(Contradiction::Repinned { .. })));
        assert_eq!(record, before);
    }
}
