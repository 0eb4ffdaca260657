//! What a plan saw and what it means: one stable table of codes.

use serde::Serialize;

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The app, or the tenant, cannot be brought to what the manifest says.
    Error,
    /// It can, but someone should look.
    Warning,
    /// Good to know.
    Notice,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident;)*) => {
        /// What a plan may have to say; the words are stable, for people's scripts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, for the schema and the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How much it matters.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    /// A policy forbids client secrets.
    SecretForbidden = "secret-forbidden-by-policy", Error;
    /// A policy allows only certificates of authorities that it names.
    CertificateForbidden = "certificate-forbidden-by-policy", Error;
    /// A policy makes the certificate live shorter than the manifest asks.
    CertificateShortened = "certificate-shortened-by-policy", Warning;
    /// A policy forbids apps for other directories.
    AudienceForbidden = "audience-forbidden-by-policy", Error;
    /// A policy forbids a redirect URI.
    RedirectForbidden = "redirect-uri-forbidden-by-policy", Error;
    /// A policy forbids something, but exempts some callers, and whether the operator is one is not
    /// known.
    PolicyMayForbid = "policy-may-forbid", Warning;
    /// A policy makes the secret live shorter than the manifest asks.
    SecretShortened = "secret-shortened-by-policy", Warning;
    /// What is there now is removed in this run.
    OldRevoked = "old-secrets-revoked", Warning;
    /// Policies could not be read.
    PoliciesUnknown = "policies-unknown", Notice;
    /// The bin could not be read.
    BinUnknown = "bin-unknown", Notice;
    /// Apps without our mark could not be read.
    TwinsUnknown = "twins-unknown", Notice;
    /// An app of the same display name that is not ours.
    Twin = "same-name-without-our-mark", Warning;
    /// Our tags were taken off an app of ours.
    TagsStripped = "tags-stripped", Warning;
    /// A deleted app of ours is in the bin.
    InTheBin = "in-the-bin", Notice;
    /// Others put something on our app.
    ForeignKept = "foreign-kept", Notice;
    /// The app would have more owners than it may.
    TooManyOwners = "too-many-owners", Error;
    /// The tenant's key changed in the manifest, its directory did not.
    RenamedKey = "renamed-key", Error;
    /// The API in this directory does not offer a permission of that name.
    UnknownPermission = "unknown-permission", Error;
    /// The API has no service principal in this directory, so permission names could not be judged.
    PermissionsUnjudged = "permissions-unjudged", Notice;
    /// The tenant's directory could not be found.
    DirectoryUnknown = "directory-unknown", Error;
    /// The directory is not the one that was pinned when the app was made.
    DirectoryChanged = "directory-changed", Error;
    /// The tenant's domain could not be looked up again; the pinned directory was taken.
    PinnedUnchecked = "pinned-unchecked", Warning;
    /// The tenant belongs to another cloud than the manifest says.
    WrongCloud = "wrong-cloud", Error;
    /// The directory in which the app lives could not be read.
    Unreadable = "unreadable", Error;
    /// Somebody's federated credential has our issuer and subject, with another audience.
    FederatedTaken = "federated-credential-taken", Error;
    /// The app would trust more issuers and subjects than it may.
    TooManyFederated = "too-many-federated-credentials", Error;
    /// Credentials of ours are still on an app that signs in with another kind.
    SecretsLeft = "secrets-left", Warning;
    /// The operator lacks a right to grant in the customer's directory; the link is the way.
    MayNotGrant = "may-not-grant", Warning;
    /// The connector is Microsoft's legacy way.
    LegacyConnector = "legacy-connector", Notice;
    /// One leaked secret opens several customers.
    BlastRadius = "blast-radius", Notice;
    /// The administrator will land on an error page after accepting.
    NoLandingPage = "no-landing-page", Notice;
    /// The customer's sign-in frequency and location policies can end a refresh token.
    TokenMayEnd = "sign-in-policies-may-end-token", Notice;
    /// An app of this fleet that the manifest no longer names.
    Orphaned = "orphaned", Warning;
    /// A directory could not be read in which apps may be left that the manifest no longer names.
    OrphansUnknown = "orphans-unknown", Notice;
    /// The app carries our mark, but this vault knows nothing of it.
    VaultLost = "vault-lost", Error;
    /// The app's record and secret were deleted from the key vault, and can be recovered.
    InVaultBin = "in-the-vaults-bin", Error;
    /// All of the app's credentials of ours were made by another vault.
    OtherVault = "other-vault", Error;
    /// Another copy of this vault made a secret that this one does not know, and secrets are due.
    VaultBehind = "vault-behind", Error;
    /// Another copy of this vault made a secret that this one does not know; it is kept.
    AnotherCopy = "made-by-another-copy", Warning;
    /// Marks on an app contradict each other, or belong to another fleet.
    ConflictingMarks = "conflicting-marks", Error;
    /// More existing apps would be changed than was allowed.
    TooManyChanges = "too-many-changes", Error;
    /// Tenants of the manifest use an app that shall be removed.
    AppInUse = "app-in-use", Error;
    /// An app has our unique name alone: it was handed over.
    HandedOver = "handed-over", Error;
    /// The manifest still names what is removed.
    StillInManifest = "still-in-manifest", Warning;
    /// Credentials of others go with an app that is removed.
    GoesWithApp = "goes-with-the-app", Warning;
    /// A refresh token is dropped, and a copy of it would still work.
    TokenOutlives = "refresh-token-outlives", Warning;
    /// An app cannot become ours.
    CannotAdopt = "cannot-adopt", Error;
    /// An adopted app has a unique name of its own, which stays.
    KeepsUniqueName = "keeps-unique-name", Notice;
    /// A deleted app holds the unique name that an adopted one should have.
    NameInTheBin = "unique-name-in-the-bin", Warning;
}

impl Code {
    /// Whether it stops the whole run: going on could renew hundreds of secrets, or touch what is
    /// not ours.
    pub const fn is_guard(self) -> bool {
        matches!(
            self,
            Self::VaultLost
                | Self::OtherVault
                | Self::VaultBehind
                | Self::InVaultBin
                | Self::ConflictingMarks
                | Self::TooManyChanges
                | Self::AppInUse
                | Self::HandedOver
                | Self::CannotAdopt
        )
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// Something that a plan saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub code: Code,
    /// One sentence.
    pub summary: String,
    /// What to do, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A diagnostic of this code.
    pub fn new(code: Code, summary: impl Into<String>) -> Self {
        Self { severity: code.severity(), code, summary: summary.into(), hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
