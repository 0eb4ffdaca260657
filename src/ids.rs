//! A type for each thing that can be named, so that one id can never stand where another belongs.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct NotAnId {
    /// What was written.
    pub text: String,
    /// What should have been written, in words.
    pub wanted: &'static str,
}

macro_rules! guid_id {
    ($(#[$doc:meta])* $name:ident, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a GUID that is known to be this kind of id.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The GUID itself.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                // Only the hyphenated form: it is what Microsoft prints and what a person can compare.
                Uuid::try_parse(text)
                    .ok()
                    .filter(|_| text.len() == 36)
                    .map(Self)
                    .ok_or_else(|| NotAnId { text: text.to_owned(), wanted: $wanted })
            }
        }
    };
}

guid_id!(
    /// A directory (Entra tenant): the provider's home or a customer's.
    TenantId,
    "a tenant id (a GUID)"
);
guid_id!(
    /// An application's client id (`appId`), the same in every directory.
    ClientId,
    "a client id (a GUID)"
);
guid_id!(
    /// A credential on an application (`keyId`).
    KeyId,
    "a key id (a GUID)"
);
guid_id!(
    /// An API that permissions are asked of, by its `appId` (Graph, Microsoft Threat Protection, …).
    ResourceId,
    "a resource's application id (a GUID)"
);
guid_id!(
    /// An app role or a delegated scope of an API.
    PermissionId,
    "a permission id (a GUID)"
);
guid_id!(
    /// A vault; part of the display name of every credential that tenantry makes.
    VaultId,
    "a vault id (a GUID)"
);

/// Marker: an application object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Application {}
/// Marker: a federated identity credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FederatedCredential {}
/// Marker: a service principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServicePrincipal {}

/// The object id of a directory object of kind `K`; means nothing outside its directory.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectId<K>(Uuid, #[serde(skip)] PhantomData<K>);

impl<K> ObjectId<K> {
    /// Wraps a GUID that is known to be the object id of a `K`.
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id, PhantomData)
    }

    /// The GUID itself.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

// Written out, not derived: a derive would ask the same of the marker `K`.
impl<K> Clone for ObjectId<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for ObjectId<K> {}
impl<K> PartialEq for ObjectId<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for ObjectId<K> {}
impl<K> PartialOrd for ObjectId<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for ObjectId<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> std::hash::Hash for ObjectId<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K> fmt::Display for ObjectId<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<K> fmt::Debug for ObjectId<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({})", self.0)
    }
}
impl<K> FromStr for ObjectId<K> {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text)
            .ok()
            .filter(|_| text.len() == 36)
            .map(Self::from_uuid)
            .ok_or_else(|| NotAnId { text: text.to_owned(), wanted: "an object id (a GUID)" })
    }
}

/// Whether a text is `[a-z0-9]+(-[a-z0-9]+)*` of at most `longest` characters.
fn is_key(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

macro_rules! key_id {
    ($(#[$doc:meta])* $name:ident, $longest:literal, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The most characters a key of this kind may have.
            pub const LONGEST: usize = $longest;

            /// The key as written in the manifest.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if is_key(text, $longest) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NotAnId { text: text.to_owned(), wanted: $wanted })
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
                String::deserialize(de)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

key_id!(
    /// The name of a set of customers; part of every remote key.
    FleetName,
    40,
    "a fleet name (at most 40 of a-z, 0-9 and single hyphens between them)"
);
key_id!(
    /// A tenant's key in the manifest.
    TenantKey,
    64,
    "a key (at most 64 of a-z, 0-9 and single hyphens between them)"
);
key_id!(
    /// An app's key: a shared app's own, or the key of the tenant it belongs to.
    AppKey,
    64,
    "a key (at most 64 of a-z, 0-9 and single hyphens between them)"
);

impl From<&TenantKey> for AppKey {
    /// A per-tenant app has its tenant's key.
    fn from(key: &TenantKey) -> Self {
        Self(key.0.clone())
    }
}

/// The alternate key under which an app is created, so that creating is an upsert:
/// `tenantry-<fleet>--<key>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UniqueName(String);

impl UniqueName {
    /// The name of this fleet's app.
    pub fn of(fleet: &FleetName, app: &AppKey) -> Self {
        Self(format!("tenantry-{fleet}--{app}"))
    }

    /// A name as a directory told it.
    pub fn found(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UniqueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for UniqueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UniqueName({})", self.0)
    }
}

/// What makes one credential of ours recognisable before anything is known of it but its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Nonce(String);

impl Nonce {
    /// A fresh one: 16 hexadecimal digits, random.
    pub fn fresh() -> Self {
        let (high, _) = Uuid::new_v4().as_u64_pair();
        // The version digit sits in the upper half; the mixed half keeps all 64 bits random enough
        // for a name that only has to differ from its siblings on one app.
        let (_, low) = Uuid::new_v4().as_u64_pair();
        Self(format!("{:016x}", high.rotate_left(32) ^ low))
    }

    /// The nonce as it stands in a credential's display name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({})", self.0)
    }
}

impl FromStr for Nonce {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnId { text: text.to_owned(), wanted: "a nonce (16 hexadecimal digits)" })
        }
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        String::deserialize(de)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The display name of a credential that tenantry made: `tenantry <vault id> <nonce>`.
/// Any other display name is foreign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialName {
    /// The vault that holds, or was to hold, the value.
    pub vault: VaultId,
    /// Which of that vault's credentials.
    pub nonce: Nonce,
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenantry {} {}", self.vault, self.nonce)
    }
}

impl FromStr for CredentialName {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let foreign =
            || NotAnId { text: text.to_owned(), wanted: "the name of a credential tenantry made" };
        let mut words = text.split(' ');
        let (Some("tenantry"), Some(vault), Some(nonce), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(foreign());
        };
        Ok(Self {
            vault: vault.parse().map_err(|_| foreign())?,
            nonce: nonce.parse().map_err(|_| foreign())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_the_manifest_promises() {
        for good in ["a", "contoso", "contoso-2", "0-0"] {
            assert!(good.parse::<TenantKey>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "a_b", "é", &"a".repeat(65)] {
            assert!(bad.parse::<TenantKey>().is_err(), "{bad}");
        }
        assert!("a".repeat(41).parse::<FleetName>().is_err());
    }

    #[test]
    fn a_credential_name_reads_back_and_others_are_foreign() {
        let name =
            CredentialName { vault: VaultId::from_uuid(Uuid::new_v4()), nonce: Nonce::fresh() };
        assert_eq!(name.to_string().parse::<CredentialName>().unwrap(), name);
        for foreign in ["", "tenantry", "SIEM key", "tenantry x y", "tenantry  "] {
            assert!(foreign.parse::<CredentialName>().is_err(), "{foreign}");
        }
    }
}
