//! `tenantry reveal KEY`: prints a value of the vault, on purpose.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::handout::{self, Asker, Kept, Why};
use crate::{
    cli::Format,
    ids::{AppKey, TenantKey},
    vault::{CredentialRecord, Record, Records, Severity, Vault, VaultError},
};

/// Arguments of `reveal`.
#[derive(Debug, clap::Args)]
pub(super) struct RevealArgs {
    /// A tenant's key, or a shared app's
    #[arg(value_name = "KEY")]
    pub(super) key: String,

    /// What to print
    #[arg(long, value_enum, default_value_t = Field::Secret)]
    pub(super) field: Field,
}

/// What can be revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Field {
    /// The client secret to use now: the proved one that ends last
    Secret,
    /// The certificate to use now and its key, as PEM
    Certificate,
    /// The app's client id
    ClientId,
    /// The tenant's directory
    TenantId,
    /// The directory that the app lives in
    DirectoryId,
    /// The app's object id in that directory
    ObjectId,
    /// The key id of the client secret, or of the certificate
    KeyId,
    /// The refresh token that the tenant's analyst left by signing in
    RefreshToken,
}

/// Why nothing was revealed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RevealError {
    /// The vault did not give it.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The vault has never heard of it.
    #[error("the vault knows no tenant and no app of the key {key}")]
    NoSuchKey {
        /// What was asked for.
        key: String,
    },
    /// It is known, and there is no such value.
    #[error("nothing to reveal of {key}: {why}")]
    Nothing {
        /// What was asked for.
        key: String,
        /// Why there is none.
        why: Why,
    },
    /// The line could not be written; the value was not shown.
    #[error("not revealed, because it cannot be noted down: {0}")]
    NotAudited(#[source] VaultError),
    /// It could not be printed; the audit says that it was.
    #[error("the value could not be printed: {0}")]
    Output(#[source] io::Error),
}

impl From<Kept> for RevealError {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Vault(error) => Self::Vault(error),
            Kept::NotAudited(error) => Self::NotAudited(error),
        }
    }
}

impl RevealError {
    /// How it ends the run.
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::Vault(error) | Self::NotAudited(error) => error.severity(),
            Self::NoSuchKey { .. } => Severity::Usage,
            Self::Nothing { .. } | Self::Output(_) => Severity::Failed,
        }
    }

    /// What to do next, where we know it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Vault(error) | Self::NotAudited(error) => error.hint(),
            Self::NoSuchKey { .. } => {
                Some("tenantry status lists all tenants; apply creates what is missing")
            }
            Self::Nothing { why, .. } => why.hint(),
            Self::Output(_) => None,
        }
    }
}

/// What a key stands for.
struct Named<'a> {
    tenant: Option<&'a TenantKey>,
    record: &'a Record,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Revealed<'a> {
    format_version: u32,
    app: &'a AppKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a TenantKey>,
    field: Field,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<Timestamp>,
}

/// Prints one value of the vault to `out`. A secret is printed only after the audit has a line that
/// says who asked for it.
///
/// # Errors
/// See [`RevealError`]; but for [`RevealError::Output`], nothing was printed.
pub(super) async fn run(
    args: &RevealArgs,
    vault: &Vault,
    who: &str,
    now: Timestamp,
    format: Format,
    out: &mut impl Write,
) -> Result<(), RevealError> {
    let RevealArgs { key, field } = args;
    let (records, damages) = vault.survey().await?;
    let named = find(&records, key).ok_or_else(|| {
        if damages.is_empty() {
            RevealError::NoSuchKey { key: key.clone() }
        } else {
            // It may stand in one of these.
            VaultError::Damaged(damages).into()
        }
    })?;
    let nothing = |why| RevealError::Nothing { key: key.clone(), why };
    let Named { tenant, record } = named;
    let asker = Asker { who, verb: "reveal", now };

    let (value, ends) = match field {
        Field::Secret => {
            let credential = handout::secret(record, now).map_err(nothing)?;
            (noted(vault, &asker, &named, credential).await?, credential.end)
        }
        Field::Certificate => {
            let credential = handout::certificate(record, now).map_err(nothing)?;
            (noted(vault, &asker, &named, credential).await?, credential.end)
        }
        Field::RefreshToken => {
            let tenant = tenant.ok_or_else(|| nothing(Why::NotATenant))?;
            let held = record.refresh_token(tenant).ok_or_else(|| nothing(Why::NotSignedIn))?;
            (noted(vault, &asker, &named, held).await?, held.end)
        }
        Field::KeyId => {
            let credential = handout::secret(record, now)
                .or_else(|why| handout::certificate(record, now).map_err(|_| why))
                .map_err(nothing)?;
            (known(credential.key_id, Why::Unknown).map_err(nothing)?, credential.end)
        }
        Field::ClientId => (known(record.client_id, Why::NotCreated).map_err(nothing)?, None),
        Field::ObjectId => (known(record.object_id, Why::NotCreated).map_err(nothing)?, None),
        Field::DirectoryId => (Zeroizing::new(record.directory.to_string()), None),
        Field::TenantId => {
            let id = tenant.and_then(|tenant| record.tenants.get(tenant)).map(|tenant| tenant.id);
            (known(id, Why::NotATenant).map_err(nothing)?, None)
        }
    };
    let mut text = match format {
        Format::Text => value,
        Format::Json => {
            let revealed = Revealed {
                format_version: 1,
                app: &record.app,
                tenant,
                field: *field,
                value: &value,
                ends,
            };
            Zeroizing::new(serde_json::to_string(&revealed).expect("it is plain text"))
        }
    };
    // A PEM ends its last line itself.
    if !text.ends_with('\n') {
        text.push('\n');
    }
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(RevealError::Output)
}

/// A tenant of this key, else an app of this key.
fn find<'a>(records: &'a Records, key: &str) -> Option<Named<'a>> {
    let tenant: Option<TenantKey> = key.parse().ok();
    let by_tenant = records.values().find_map(|record| {
        let (tenant, _) = record.tenants.get_key_value(tenant.as_ref()?)?;
        Some(Named { tenant: Some(tenant), record })
    });
    by_tenant.or_else(|| {
        let record = records.get(&key.parse::<AppKey>().ok()?)?;
        Some(Named { tenant: None, record })
    })
}

fn known(id: Option<impl ToString>, why: Why) -> Result<Zeroizing<String>, Why> {
    id.map(|id| Zeroizing::new(id.to_string())).ok_or(why)
}

async fn noted(
    vault: &Vault,
    asker: &Asker<'_>,
    named: &Named<'_>,
    credential: &CredentialRecord,
) -> Result<Zeroizing<String>, RevealError> {
    let Named { tenant, record } = named;
    let value = handout::hand_out(vault, asker, record, *tenant, credential).await?;
    Ok(Zeroizing::new(value.expose().clone()))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{
        secret::Secret,
        vault::{
            AuditEntry, CredentialKind, CredentialState, Keeping, KeySource, NewVault,
            TenantRecord,
            testing::{created, credential, fleet, record, seconds},
        },
    };

    async fn vault(root: &Path) -> Vault {
        let keys = KeySource::folder(root.join("keys"));
        let location = Keeping::folder(root.join("vault"), keys);
        let (vault, _) = Vault::init(&location, &fleet(), NewVault::default()).await.unwrap();
        let writer = vault.try_lock("test").await.unwrap().unwrap();

        let mut full = created("contoso");
        for (state, value) in
            [(CredentialState::Proved, "proved-value"), (CredentialState::Stored, "stored-value")]
        {
            full.credentials.push(credential(state));
            let nonce = full.credentials.last().unwrap().nonce.clone();
            writer.store_value(&full, &nonce, &Secret::new(value.into())).await.unwrap();
        }
        let mut shared = created("shared");
        let tenant = crate::ids::TenantId::from_uuid(uuid::Uuid::new_v4());
        shared.tenants.insert("fabrikam".parse().unwrap(), TenantRecord::pinned(tenant));
        shared.credentials.push(CredentialRecord::intended(
            crate::ids::Nonce::fresh(),
            CredentialKind::Secret,
            seconds(0),
        ));
        writer.write_record(&shared).await.unwrap();
        writer.write_record(&record("bare")).await.unwrap();
        vault.clone()
    }

    async fn reveal(
        vault: &Vault,
        key: &str,
        field: Field,
        format: Format,
    ) -> Result<String, RevealError> {
        let args = RevealArgs { key: key.to_owned(), field };
        let mut out = Vec::new();
        let result = run(&args, vault, "ada", seconds(9), format, &mut out).await;
        let text = String::from_utf8(out).unwrap();
        if result.is_err() {
            assert_eq!(text, "");
        }
        result.map(|()| text)
    }

    #[tokio::test]
    async fn the_proved_secret_is_printed_after_a_line_of_audit() {
        let root = tempfile::tempdir().unwrap();
        let vault = vault(root.path()).await;
        assert_eq!(
            reveal(&vault, "contoso", Field::Secret, Format::Text).await.unwrap(),
            "proved-value\n"
        );
        let audit = fs::read_to_string(root.path().join("vault/audit.jsonl")).unwrap();
        let line: AuditEntry = serde_json::from_str(audit.trim()).unwrap();
        assert_eq!((line.who.as_str(), line.verb.as_str()), ("ada", "reveal"));
        assert!(line.ids.contains_key("clientId") && !audit.contains("proved-value"));

        let json = reveal(&vault, "contoso", Field::Secret, Format::Json).await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["value"], &json["field"]), (&"proved-value".into(), &"secret".into()));
    }

    #[tokio::test]
    async fn a_tenants_refresh_token_is_printed_after_a_line_of_audit() {
        let root = tempfile::tempdir().unwrap();
        let vault = vault(root.path()).await;
        let why = async |key| match reveal(&vault, key, Field::RefreshToken, Format::Text).await {
            Err(RevealError::Nothing { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why("fabrikam").await, Why::NotSignedIn);
        assert_eq!(why("shared").await, Why::NotATenant);
        let app = "shared".parse().unwrap();
        let tenant = "fabrikam".parse().unwrap();
        let new = crate::vault::NewRefreshToken {
            directory: vault.record(&app).await.unwrap().unwrap().tenants[&tenant].id,
            tenant,
            user: "soc-reader@acme-soc.example".into(),
            object: None,
            allowed_roles: std::collections::BTreeSet::new(),
            value: Secret::new("canary-refresh-token".into()),
            at: seconds(3),
        };
        let writer = vault.try_lock("test").await.unwrap().unwrap();
        let nonce = writer.keep_refresh_token(&app, new).await.unwrap();
        assert_eq!(
            reveal(&vault, "fabrikam", Field::RefreshToken, Format::Text).await.unwrap(),
            "canary-refresh-token\n"
        );
        let audit = fs::read_to_string(root.path().join("vault/audit.jsonl")).unwrap();
        let line: AuditEntry = serde_json::from_str(audit.trim()).unwrap();
        assert_eq!(line.step.as_deref(), Some("refresh-token"));
        assert_eq!((&line.ids["nonce"], audit.contains("canary")), (&nonce.to_string(), false));
        fs::remove_file(root.path().join("vault/audit.jsonl")).unwrap();
        fs::create_dir(root.path().join("vault/audit.jsonl")).unwrap();
        let error =
            reveal(&vault, "fabrikam", Field::RefreshToken, Format::Text).await.unwrap_err();
        assert!(matches!(error, RevealError::NotAudited(_)), "{error}");
    }

    #[tokio::test]
    async fn without_a_line_of_audit_nothing_is_shown() {
        let root = tempfile::tempdir().unwrap();
        let vault = vault(root.path()).await;
        fs::create_dir(root.path().join("vault/audit.jsonl")).unwrap();
        let error = reveal(&vault, "contoso", Field::Secret, Format::Text).await.unwrap_err();
        assert!(matches!(error, RevealError::NotAudited(_)), "{error}");
        // What is no secret needs no line.
        assert!(reveal(&vault, "contoso", Field::ClientId, Format::Text).await.is_ok());
    }

    #[tokio::test]
    async fn ids_come_by_tenant_and_what_is_not_there_is_said() {
        let root = tempfile::tempdir().unwrap();
        let vault = vault(root.path()).await;
        let records = vault.records().await.unwrap();
        let shared = &records[&"shared".parse().unwrap()];
        let tenant = &shared.tenants[&"fabrikam".parse().unwrap()];
        let text = Format::Text;
        assert_eq!(
            reveal(&vault, "fabrikam", Field::TenantId, text).await.unwrap(),
            format!("{}\n", tenant.id)
        );
        assert_eq!(
            reveal(&vault, "fabrikam", Field::ClientId, text).await.unwrap(),
            format!("{}\n", shared.client_id.unwrap())
        );
        let why = async |key, field| match reveal(&vault, key, field, text).await.unwrap_err() {
            RevealError::Nothing { why, .. } => why,
            other => panic!("{other}"),
        };
        assert_eq!(why("shared", Field::TenantId).await, Why::NotATenant);
        assert_eq!(why("fabrikam", Field::Secret).await, Why::ValueLost("client secret"));
        assert_eq!(why("bare", Field::Secret).await, Why::NotCreated);
        assert_eq!(why("bare", Field::ClientId).await, Why::NotCreated);
        let error = reveal(&vault, "Nobody!", Field::Secret, text).await.unwrap_err();
        assert!(matches!(error, RevealError::NoSuchKey { .. }));

        // A damaged file hides its own app and no other.
        fs::write(root.path().join("vault/bare.age"), "").unwrap();
        assert!(reveal(&vault, "contoso", Field::Secret, text).await.is_ok());
        let error = reveal(&vault, "bare", Field::ClientId, text).await.unwrap_err();
        assert_eq!(error.severity(), Severity::Guard);
    }
}
