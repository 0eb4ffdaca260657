//! What stands in the names and tags of a key vault's secrets: pure, from record to tags and back.
//!
//! | secret | its value | its tags |
//! |---|---|---|
//! | `tenantry-<fleet>` | words | which vault it is, whose |
//! | `tenantry-<fleet>--<app>` | the app's client secret or certificate, a version each | the app's record, without its tenants |
//! | `tenantry-<fleet>--<app>--<digest>` | a tenant's refresh token, a version each | what is remembered of the tenant |
//! | `tenantry-<fleet>---lease-<id>` | words | who writes just now |
//! | `tenantry-<fleet>---audit` | a line of the audit, a version each | |
//! | `tenantry-<fleet>---left-<digest>` | words | what offboarding left with a customer |
//!
//! Tags, because listing secrets gives them to an identity that may read no value (the role Key Vault
//! Reader), and all of them in one listing of 25 a page. A secret takes 15 tags of 256 characters
//! (<https://learn.microsoft.com/en-us/azure/key-vault/secrets/about-secrets#secret-tags>), and those
//! of its newest version are the ones that count; so a value and what is said of it are written in
//! one request.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    ids::{AppKey, FleetName, Nonce, TenantKey, VaultId},
    secret::Secret,
    vault::{
        credential::CredentialRecord, leftover::Leftover, record::Record, seal::Label,
        tenant::TenantRecord,
    },
};

/// The tags of one secret.
pub(super) type Tags = HashMap<String, String>;

/// Which vault a secret is part of; behind it, where a value is kept, the digest that binds the two.
const VAULT: &str = "tenantry-vault";
/// Whose the vault is; on the first secret only.
const FLEET: &str = "tenantry-fleet";
/// The format of it all; on the first secret only.
const FORMAT: (&str, &str) = ("tenantry-format", "1");
/// Stands before a digest.
const DIGEST: &str = "sha256:";
/// Whose value the newest version has; absent where it has none.
const LABEL: &str = "label";
/// What is told piece by piece: `record-01`, `record-02`, …
const PIECE: &str = "record-";

/// The longest that one tag may be.
const LONGEST: usize = 256;
/// How many tags are left for the pieces, of 15.
const PIECES: usize = 13;
/// The longest text that fits into the tags of one secret.
pub(super) const MOST: usize = PIECES * LONGEST;

/// The names of a fleet's secrets. A key holds single hyphens only, so that two and three of them
/// tell the parts of a name apart.
#[derive(Debug, Clone)]
pub(super) struct Names {
    head: String,
}

/// What a secret is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// The one that says which vault it is.
    Head,
    /// An app's.
    App(AppKey),
    /// A tenant's, of this app; which tenant, its tags say.
    Tenant(AppKey),
    /// A writer's claim.
    Lease,
    /// The audit.
    Audit,
    /// What is left with a customer; its tags say what.
    Leftover,
}

impl Names {
    pub(super) fn of(fleet: &FleetName) -> Self {
        Self { head: format!("tenantry-{fleet}") }
    }

    pub(super) fn head(&self) -> &str {
        &self.head
    }

    pub(super) fn app(&self, app: &AppKey) -> String {
        format!("{}--{app}", self.head)
    }

    /// Two keys would be longer than a name may be (127 characters), so the tenant's is digested.
    pub(super) fn tenant(&self, app: &AppKey, tenant: &TenantKey) -> String {
        format!("{}--{app}--{}", self.head, short(tenant.as_str()))
    }

    /// One for each enterprise application that is left somewhere.
    pub(super) fn leftover(&self, leftover: &Leftover) -> String {
        let Leftover { directory, client_id, .. } = leftover;
        format!("{}---left-{}", self.head, short(&format!("{client_id} {directory}")))
    }

    pub(super) fn lease(&self, id: &str) -> String {
        format!("{}---lease-{id}", self.head)
    }

    pub(super) fn audit(&self) -> String {
        format!("{}---audit", self.head)
    }

    /// What a secret is; nothing where it is not this fleet's.
    pub(super) fn read(&self, name: &str) -> Option<Name> {
        let rest = name.strip_prefix(self.head.as_str())?;
        if rest.is_empty() {
            return Some(Name::Head);
        }
        let rest = rest.strip_prefix("--")?;
        if rest == "-audit" {
            return Some(Name::Audit);
        }
        if rest.starts_with("-lease-") {
            return Some(Name::Lease);
        }
        if rest.starts_with("-left-") {
            return Some(Name::Leftover);
        }
        match rest.split_once("--") {
            None => Some(Name::App(rest.parse().ok()?)),
            Some((app, _)) => Some(Name::Tenant(app.parse().ok()?)),
        }
    }
}

/// The beginning of a text's digest.
fn short(text: &str) -> String {
    Sha256::digest(text).iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// What is remembered of one tenant, with its refresh token's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TenantPart {
    pub(super) tenant: TenantKey,
    pub(super) record: TenantRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<CredentialRecord>,
}

impl TenantPart {
    pub(super) fn of(record: &Record, tenant: &TenantKey) -> Option<Self> {
        Some(Self {
            tenant: tenant.clone(),
            record: record.tenants.get(tenant)?.clone(),
            token: record.refresh_token(tenant).cloned(),
        })
    }
}

/// An app's record without what its tenants' secrets say.
pub(super) fn app_part(record: &Record) -> Record {
    let mut part = record.clone();
    part.tenants.clear();
    part.credentials.retain(|credential| credential.kind.is_of_app());
    part
}

/// The tags of the secret that says which vault it is.
pub(super) fn of_head(vault: VaultId, fleet: &FleetName) -> Tags {
    [(VAULT, vault.to_string()), (FLEET, fleet.to_string()), (FORMAT.0, FORMAT.1.to_owned())]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Which vault it is, and whose.
pub(super) fn head(tags: &Tags) -> Result<(VaultId, String), String> {
    let get = |name: &str| tags.get(name).ok_or_else(|| format!("its tag {name} is gone"));
    if get(FORMAT.0)? != FORMAT.1 {
        return Err(format!("a newer tenantry wrote it (format {})", get(FORMAT.0)?));
    }
    let id = get(VAULT)?.parse().map_err(|_| format!("its tag {VAULT} is no id"))?;
    Ok((id, get(FLEET)?.clone()))
}

/// The value of a version, as the tags beside it tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    /// Whose it is.
    pub(super) label: String,
    /// What it is recognised by; nothing in what was written before values were bound.
    digest: Option<String>,
}

impl Bound {
    /// Binds a value to the vault and to whose it is.
    ///
    /// A digest beside a value would tell a short one to whoever tries them all. These have
    /// more than 200 bits of chance, of Microsoft or of this machine: nobody finds one by its digest.
    pub(super) fn to(vault: VaultId, label: String, value: &Secret<String>) -> Self {
        let mut digest = Sha256::new();
        // Neither an id nor JSON on one line holds a line break.
        for part in [vault.to_string().as_str(), "\n", &label, "\n", value.expose()] {
            digest.update(part);
        }
        let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { label, digest: Some(digest) }
    }

    /// What tags say; nothing where they tell of no value.
    pub(super) fn read(tags: &Tags) -> Option<Self> {
        let digest = tags.get(VAULT).and_then(|tag| tag.split_once(' '));
        let digest = digest.map(|(_, digest)| digest.trim_start_matches(DIGEST).to_owned());
        Some(Self { label: tags.get(LABEL)?.clone(), digest })
    }

    /// Whether it is bound at all.
    pub(super) fn is_bound(&self) -> bool {
        self.digest.is_some()
    }

    /// Whether a value is the one that the tags were written with, as far as they say.
    pub(super) fn is(&self, vault: VaultId, value: &Secret<String>) -> bool {
        !self.is_bound() || *self == Self::to(vault, self.label.clone(), value)
    }
}

/// Whether tags are of this vault.
pub(super) fn is_of(vault: VaultId, tags: &Tags) -> bool {
    vault_of(tags).is_some_and(|found| found.parse() == Ok(vault))
}

fn vault_of(tags: &Tags) -> Option<&str> {
    let tag = tags.get(VAULT)?;
    Some(tag.split_once(' ').map_or(tag.as_str(), |(vault, _)| vault))
}

/// The tags of a secret of an app or a tenant.
///
/// # Errors
/// How long the text is, where it is longer than [`MOST`].
pub(super) fn write<T: Serialize>(
    vault: VaultId,
    part: &T,
    value: Option<&Bound>,
) -> Result<Tags, usize> {
    let text = ascii(&serde_json::to_string(part).expect("a record is plain text and numbers"));
    if text.len() > MOST {
        return Err(text.len());
    }
    let digest = value.and_then(|value| value.digest.as_ref());
    let digest = digest.map_or_else(String::new, |digest| format!(" {DIGEST}{digest}"));
    let mut tags = Tags::from([(VAULT.to_owned(), format!("{vault}{digest}"))]);
    tags.extend(value.map(|value| (LABEL.to_owned(), value.label.clone())));
    let mut rest = text.as_str();
    let mut number = 1;
    while !rest.is_empty() {
        let (piece, next) = rest.split_at(LONGEST.min(rest.len()));
        tags.insert(format!("{PIECE}{number:02}"), piece.to_owned());
        (rest, number) = (next, number + 1);
    }
    Ok(tags)
}

/// The same, read; with what is said of the newest version's value.
///
/// # Errors
/// In words, what is wrong with it.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    vault: VaultId,
    tags: &Tags,
) -> Result<(T, Option<Bound>), String> {
    match vault_of(tags) {
        Some(found) if found.parse() == Ok(vault) => {}
        Some(found) => {
            return Err(format!("it belongs to another vault ({found}), not to {vault}"));
        }
        None => return Err("its tags are not those of a vault".to_owned()),
    }
    let pieces: BTreeMap<&str, &str> = tags
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(PIECE)?, value.as_str())))
        .collect();
    let text: String = pieces.into_values().collect();
    let part =
        serde_json::from_str(&text).map_err(|error| format!("its tags cannot be read: {error}"))?;
    Ok((part, Bound::read(tags)))
}

/// What a value says of itself, in the tag beside it.
pub(super) fn label(record: &Record, nonce: &Nonce) -> Option<String> {
    let label = Label::of(record, record.credential(nonce)?)?;
    Some(serde_json::to_string(&label).expect("ids are plain text"))
}

/// JSON in characters of one byte: how a service counts others is not written down.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::credential::CredentialKind;
    use crate::vault::testing::{fleet, full_record, vault_id};

    fn longest_key(letter: char) -> String {
        std::iter::repeat_n(letter, 64).collect()
    }

    #[test]
    fn names_are_told_apart_and_never_too_long() {
        let fleet: FleetName = longest_key('f')[..40].parse().unwrap();
        let names = Names::of(&fleet);
        let app: AppKey = longest_key('a').parse().unwrap();
        let tenant: TenantKey = longest_key('t').parse().unwrap();
        for (name, is) in [
            (names.head().to_owned(), Name::Head),
            (names.app(&app), Name::App(app.clone())),
            (names.tenant(&app, &tenant), Name::Tenant(app.clone())),
            (names.lease("0123456789abcdef"), Name::Lease),
            (names.audit(), Name::Audit),
        ] {
            assert!(name.len() <= 127, "{name}");
            assert_eq!(names.read(&name), Some(is), "{name}");
        }
        let (one, two) =
            (Names::of(&"acme".parse().unwrap()), Names::of(&"acme-soc".parse().unwrap()));
        for name in [two.head().to_owned(), two.app(&"x".parse().unwrap()), two.audit()] {
            assert_eq!(one.read(&name), None, "{name}");
        }
        assert_eq!(one.read("somebody-elses"), None);
    }

    #[test]
    fn a_record_goes_into_tags_and_comes_back() {
        let mut record = full_record("contoso");
        let tenant: TenantKey = "contoso".parse().unwrap();
        let known = record.tenants.get_mut(&tenant).unwrap();
        known.attestation.as_mut().unwrap().by = "Zoë 🦀 株式会社".repeat(20);
        let label = label(&record, &record.credentials[0].nonce).unwrap();
        assert!(label.len() <= LONGEST);
        let value = Bound::to(vault_id(), label, &Secret::new("a value".to_owned()));
        let tags = write(vault_id(), &app_part(&record), Some(&value)).unwrap();
        let (app, found): (Record, _) = read(vault_id(), &tags).unwrap();
        assert_eq!((app, found), (app_part(&record), Some(value)));
        let part = TenantPart::of(&record, &tenant).unwrap();
        let tags = write(vault_id(), &part, None).unwrap();
        assert!(tags.len() <= 15 && tags.len() > 4);
        for (name, value) in &tags {
            assert!(value.len() <= LONGEST && value.is_ascii() && name.len() <= LONGEST);
        }
        assert_eq!(read::<TenantPart>(vault_id(), &tags).unwrap(), (part.clone(), None));

        let mut torn = tags.clone();
        torn.remove("record-02");
        assert!(read::<TenantPart>(vault_id(), &torn).is_err());
        let other = VaultId::from_uuid(uuid::Uuid::new_v4());
        assert!(read::<TenantPart>(other, &tags).unwrap_err().contains("another vault"));
        let mut long = part;
        long.record.attestation.as_mut().unwrap().by = "x".repeat(4_000);
        assert!(write(vault_id(), &long, None).unwrap_err() > MOST);
    }

    #[test]
    fn a_value_is_bound_to_its_vault_and_its_label() {
        let value = |text: &str| Secret::new(text.to_owned());
        let bound = Bound::to(vault_id(), "whose".to_owned(), &value("a"));
        assert!(bound.is(vault_id(), &value("a")));
        assert!(!bound.is(vault_id(), &value("b")));
        assert!(!bound.is(VaultId::from_uuid(uuid::Uuid::new_v4()), &value("a")));
        let other = Bound { label: "another's".to_owned(), ..bound };
        assert!(!other.is(vault_id(), &value("a")));
        // What was written before values were bound is read as it was.
        let old = Tags::from([
            (VAULT.to_owned(), vault_id().to_string()),
            (LABEL.to_owned(), "whose".to_owned()),
        ]);
        let old = Bound::read(&old).unwrap();
        assert!(!old.is_bound() && old.is(vault_id(), &value("any")));
    }

    #[test]
    fn the_longest_label_fits_a_tag() {
        let mut record = full_record(&longest_key('a'));
        record.credentials[0].kind = CredentialKind::RefreshToken;
        record.credentials[0].tenant = Some(longest_key('a').parse().unwrap());
        let label = label(&record, &record.credentials[0].nonce).unwrap();
        assert!(label.len() <= LONGEST, "{}", label.len());
    }

    #[test]
    fn the_head_says_which_vault_it_is() {
        let tags = of_head(vault_id(), &fleet());
        assert_eq!(head(&tags), Ok((vault_id(), fleet().to_string())));
        let mut newer = tags.clone();
        newer.insert(FORMAT.0.to_owned(), "2".to_owned());
        assert!(head(&newer).unwrap_err().contains("newer"));
        let mut torn = tags;
        torn.remove(VAULT);
        assert!(head(&torn).is_err());
    }
}
