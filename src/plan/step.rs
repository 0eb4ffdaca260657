//! What a plan is made of: steps, the edits in them, and the words for why.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    ids::{
        Application, ClientId, FederatedCredential, KeyId, Nonce, ObjectId, UniqueName, VaultId,
    },
    lifetime::Lifetime,
    registration::{Audience, Federated, Links, Permission, RedirectUri, Registration},
};

/// One property from what it is to what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// As found.
    pub from: T,
    /// As wanted; for collections the whole new set, foreign members kept in it.
    pub to: T,
}

/// A unique name that is given to an app without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Nothing.
    pub from: (),
    /// The name.
    pub to: UniqueName,
}

/// One property that a patch changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "property", rename_all = "camelCase")]
pub enum Edit {
    /// `displayName`
    DisplayName(Change<String>),
    /// `signInAudience`; `from` is absent where the directory holds a word we do not know.
    Audience(Change<Option<Audience>>),
    /// `web.redirectUris`
    RedirectUris(Change<BTreeSet<RedirectUri>>),
    /// `requiredResourceAccess`
    Permissions(Change<BTreeSet<Permission>>),
    /// `info`
    Links(Change<Links>),
    /// `tags`
    Tags(Change<BTreeSet<String>>),
    /// `uniqueName`, which can be given once to an app that has none.
    UniqueName(Named),
}

/// Why a secret or a certificate is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretReason {
    /// The app has none that this vault holds.
    First,
    /// The one it has is inside its renewal window.
    Renewal,
    /// The one it had has expired.
    Expired,
    /// Its value was lost on the way into the vault.
    ValueLost,
    /// The vault holds one that the directory no longer knows.
    RemovedOutside,
    /// Somebody asked for it.
    Asked,
}

/// Why a secret or a certificate is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovalReason {
    /// It is ours, and nobody holds its value.
    ValueLost,
    /// Its successor has taken its place, and the overlap is over.
    Retired,
    /// It has ended.
    Expired,
    /// Somebody asked that nothing older than this run be left.
    Revoked,
    /// It is not ours, and somebody asked that it be removed all the same.
    Foreign,
    /// The manifest names it no more.
    Unwanted,
}

impl RemovalReason {
    /// Whether it takes away what is of no use to anybody, so that nobody has to wonder at many.
    pub const fn is_cleaning(self) -> bool {
        match self {
            Self::ValueLost | Self::Retired | Self::Expired | Self::Revoked => true,
            Self::Foreign | Self::Unwanted => false,
        }
    }
}

/// A policy that makes a secret live shorter than the manifest asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cap {
    /// The policy's display name.
    pub policy: String,
    /// The policy's id.
    pub policy_id: String,
    /// What the manifest asks for.
    #[serde(serialize_with = "as_text")]
    pub wanted: Lifetime,
}

fn as_text<S: serde::Serializer>(lifetime: &Lifetime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(lifetime)
}

/// One call that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Step {
    /// Takes a deleted app of ours out of the bin.
    RestoreApplication {
        /// Which.
        object_id: ObjectId<Application>,
    },
    /// Creates the app, by an upsert on its unique name.
    CreateApplication {
        /// The name that makes it an upsert.
        unique_name: UniqueName,
        /// What it shall be.
        registration: Registration,
    },
    /// Changes properties of the app.
    PatchApplication {
        /// Which.
        object_id: ObjectId<Application>,
        /// Never empty.
        edits: Vec<Edit>,
    },
    /// Removes a secret, and its value from the vault where that holds one.
    RemoveSecret {
        /// Which.
        key_id: KeyId,
        /// By what it was recognised; a foreign one by nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<Nonce>,
        /// What its maker called it, where it is not ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        display_name: Option<String>,
        /// Why.
        reason: RemovalReason,
    },
    /// Makes a secret and puts its value into the vault.
    AddSecret {
        /// How long it shall live, the shorter of manifest and policy.
        #[serde(serialize_with = "as_text")]
        lifetime: Lifetime,
        /// Why now.
        reason: SecretReason,
        /// The policy that shortens it, if one does.
        #[serde(skip_serializing_if = "Option::is_none")]
        capped_by: Option<Cap>,
    },
    /// Removes a certificate, and its key from the vault where that holds one.
    RemoveCertificate {
        /// Which.
        key_id: KeyId,
        /// By what it was recognised; a foreign one by nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<Nonce>,
        /// What its maker called it, where it is not ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        display_name: Option<String>,
        /// Why.
        reason: RemovalReason,
    },
    /// Makes a certificate, tells the app of it, and puts its key into the vault.
    AddCertificate {
        /// How long it shall live, the shorter of manifest and policy.
        #[serde(serialize_with = "as_text")]
        lifetime: Lifetime,
        /// Why now.
        reason: SecretReason,
        /// The policy that shortens it, if one does.
        #[serde(skip_serializing_if = "Option::is_none")]
        capped_by: Option<Cap>,
    },
    /// Lets somebody's tokens stand in for a secret.
    AddFederated {
        /// What it will be called.
        name: String,
        /// Whose tokens.
        trusts: Federated,
    },
    /// Lets other tokens stand in than until now.
    UpdateFederated {
        /// Which credential.
        id: ObjectId<FederatedCredential>,
        /// What it is called.
        name: String,
        /// Whose tokens, and whose until now.
        change: Change<Federated>,
    },
    /// Takes a trust away.
    RemoveFederated {
        /// Which credential.
        id: ObjectId<FederatedCredential>,
        /// What it is called.
        name: String,
        /// Whose tokens were taken.
        trusted: Federated,
        /// Why.
        reason: RemovalReason,
    },
    /// Makes somebody an owner of the app.
    AddOwner {
        /// The object id of a user or of a service principal.
        owner: Uuid,
    },
}

impl Step {
    /// Whether it does what another step says and no more: the same, or the same secret or
    /// certificate that a policy makes live shorter.
    pub fn is_at_most(&self, planned: &Self) -> bool {
        if let (
            Self::AddSecret { lifetime: _, reason, capped_by: Some(cap) },
            Self::AddSecret { lifetime, reason: planned, capped_by: None },
        )
        | (
            Self::AddCertificate { lifetime: _, reason, capped_by: Some(cap) },
            Self::AddCertificate { lifetime, reason: planned, capped_by: None },
        ) = (self, planned)
        {
            return reason == planned && cap.wanted == *lifetime;
        }
        self == planned
    }

    /// The stable word for a kind of step, in JSON and in events.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RestoreApplication { .. } => "restore-application",
            Self::CreateApplication { .. } => "create-application",
            Self::PatchApplication { .. } => "patch-application",
            Self::RemoveSecret { .. } => "remove-secret",
            Self::AddSecret { .. } => "add-secret",
            Self::RemoveCertificate { .. } => "remove-certificate",
            Self::AddCertificate { .. } => "add-certificate",
            Self::AddFederated { .. } => "add-federated",
            Self::UpdateFederated { .. } => "update-federated",
            Self::RemoveFederated { .. } => "remove-federated",
            Self::AddOwner { .. } => "add-owner",
        }
    }
}

/// What the app is before the plan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Absent,
    /// In the directory.
    Existing {
        /// Its object id there.
        object_id: ObjectId<Application>,
        /// Its client id.
        client_id: ClientId,
    },
    /// In the bin.
    Deleted {
        /// Its object id, kept when it is restored.
        object_id: ObjectId<Application>,
        /// Its client id.
        client_id: ClientId,
    },
    /// Not known: its directory could not be read.
    Unknown,
}

impl Target {
    /// The client id, where there is one already.
    pub const fn client_id(self) -> Option<ClientId> {
        match self {
            Self::Existing { client_id, .. } | Self::Deleted { client_id, .. } => Some(client_id),
            Self::Absent | Self::Unknown => None,
        }
    }
}

/// What others put on an app of ours: kept, and shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Foreign {
    /// Redirect URIs that the manifest does not declare.
    pub redirect_uris: BTreeSet<RedirectUri>,
    /// Tags that are not ours.
    pub tags: BTreeSet<String>,
    /// Secrets that this vault did not make.
    pub secrets: Vec<ForeignSecret>,
    /// Certificates that this vault did not make; counted where the others are listed.
    #[serde(serialize_with = "as_count")]
    pub certificates: Vec<ForeignSecret>,
    /// Federated credentials that tenantry did not make.
    pub federated: Vec<ForeignFederated>,
    /// Owners that the manifest does not name, the operator apart; empty where it names none.
    pub owners: BTreeSet<Uuid>,
}

impl Foreign {
    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        let Self { redirect_uris, tags, secrets, certificates, federated, owners } = self;
        redirect_uris.is_empty()
            && tags.is_empty()
            && secrets.is_empty()
            && certificates.is_empty()
            && federated.is_empty()
            && owners.is_empty()
    }
}

fn as_count<T, S: serde::Serializer>(all: &[T], to: S) -> Result<S::Ok, S::Error> {
    all.len().serialize(to)
}

/// A federated credential that tenantry did not make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForeignFederated {
    /// Which.
    pub id: ObjectId<FederatedCredential>,
    /// What its maker called it.
    pub name: String,
    /// Whose tokens it takes.
    pub issuer: String,
    /// For which subject.
    pub subject: String,
}

/// A secret or a certificate that this vault did not make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForeignSecret {
    /// Which.
    pub key_id: KeyId,
    /// What its maker called it.
    pub display_name: Option<String>,
    /// When it ends.
    pub ends: Option<Timestamp>,
    /// The other tenantry vault that made it, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_vault: Option<VaultId>,
}
