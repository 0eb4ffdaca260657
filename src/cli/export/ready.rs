//! Which tenants can be handed over, and why the others cannot.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::super::{
    context::{Context, vault_trouble},
    handout::{self, Asker, Kept},
    keeping::person,
};
use crate::{
    ids::{AppKey, ClientId, TenantId, TenantKey},
    manifest::{Credential, Layout, Manifest, Tenant},
    plan::Scope,
    report::{
        error::Trouble,
        siem::{Handover, Held, Ready, Siem, Values},
    },
    secret::Secret,
    vault::{CredentialRecord, Damage, Record, Records, Vault, VaultError},
};

/// A tenant of which everything is known but the values.
struct Known<'a> {
    tenant: &'a Tenant,
    record: &'a Record,
    directory: TenantId,
    client: ClientId,
    secret: &'a CredentialRecord,
    refresh_token: Option<&'a CredentialRecord>,
}

/// Values by what they are looked up with; why there is none, where there is none.
type Taken<K> = BTreeMap<K, Result<Secret<String>, String>>;

/// Everything that is written, and the tenants whose incidents nobody has read yet.
pub(super) struct Gathered<'a> {
    pub(super) handover: Handover<'a>,
    pub(super) never_read: Vec<TenantKey>,
}

/// Takes what is known of the tenants out of the vault; values too, where they are written.
pub(super) async fn gather<'a>(
    context: &'a Context,
    vault: &Vault,
    chosen: &Scope,
    siem: Siem,
    values: Values,
) -> Result<Gathered<'a>, Trouble> {
    let now = Timestamp::now();
    let (records, damages) = vault
        .survey()
        .await
        .map_err(|error| vault_trouble("the vault's records cannot be read", &error))?;
    let manifest = &context.manifest;
    let mut left_out = Vec::new();
    let mut known = Vec::new();
    for tenant in chosen.tenants.iter().filter_map(|key| manifest.tenants.get(key)) {
        let found = siem
            .takes(tenant.connector, &context.cloud)
            .and_then(|()| look(manifest, tenant, &records, &damages, now));
        match found {
            Ok(one) => known.push(one),
            Err(why) => left_out.push((tenant.key.clone(), why)),
        }
    }
    let (mut secrets, mut tokens) = (BTreeMap::new(), BTreeMap::new());
    if values == Values::Written && !known.is_empty() {
        // Said once, not for every tenant.
        vault
            .unlock()
            .await
            .map_err(|why| vault_trouble("nothing was exported", &VaultError::Key(why)))?;
        (secrets, tokens) = take(context, vault, &known, siem, now).await?;
    }
    let mut tenants = Vec::new();
    let mut never_read = Vec::new();
    for one in known {
        let Known { tenant, record, directory, client, secret, refresh_token } = one;
        let value = |taken: Option<&Result<Secret<String>, String>>| match (values, taken) {
            (Values::Referred, _) => Ok(None),
            (Values::Written, Some(Ok(value))) => Ok(Some(value.clone())),
            (Values::Written, Some(Err(why))) => Err(why.clone()),
            (Values::Written, None) => Err("its value was not taken".to_owned()),
        };
        let held = |credential: &CredentialRecord, value| Held {
            nonce: credential.nonce.clone(),
            key_id: credential.key_id,
            ends: credential.end,
            value,
        };
        let values = value(secrets.get(&record.app)).and_then(|secret| {
            let token = match refresh_token {
                Some(_) => value(tokens.get(&tenant.key))?,
                None => None,
            };
            Ok((secret, token))
        });
        let (secret_value, token_value) = match values {
            Ok(values) => values,
            Err(why) => {
                left_out.push((tenant.key.clone(), why));
                continue;
            }
        };
        if record.tenants.get(&tenant.key).is_none_or(|seen| seen.last_good.is_none()) {
            never_read.push(tenant.key.clone());
        }
        tenants.push(Ready {
            key: tenant.key.clone(),
            name: tenant.name.clone(),
            tenant: directory,
            connector: tenant.connector,
            app: record.app.clone(),
            home: record.directory,
            client,
            shared: tenant.layout == Layout::Shared,
            secret: held(secret, secret_value),
            refresh_token: refresh_token.map(|token| held(token, token_value)),
        });
    }
    left_out.sort();
    let handover = Handover {
        fleet: &manifest.fleet,
        cloud: &context.cloud,
        sandbox: context.is_sandbox(),
        asked: chosen.tenants.len(),
        tenants,
        left_out,
        values,
    };
    Ok(Gathered { handover, never_read })
}

/// What is known of a tenant, or why it cannot be handed over.
fn look<'a>(
    manifest: &Manifest,
    tenant: &'a Tenant,
    records: &'a Records,
    damages: &[Damage],
    now: Timestamp,
) -> Result<Known<'a>, String> {
    match manifest.apps.get(&tenant.app).map(|app| &app.credential) {
        Some(Credential::Secret) | None => {}
        Some(Credential::Certificate) => {
            return Err(
                "its app signs in with a certificate: it has no secret, and tenantry reveal --field \
                 certificate prints what it has"
                    .to_owned(),
            );
        }
        Some(Credential::Federated(_)) => {
            return Err("its app signs in with somebody else's token: it has no secret".to_owned());
        }
    }
    let Some(record) = records.get(&tenant.app) else {
        return Err(match damages {
            [] => handout::Why::NotCreated.to_string(),
            // It may stand in one of these.
            _ => VaultError::Damaged(damages.to_vec()).to_string(),
        });
    };
    let client = record.client_id.ok_or_else(|| handout::Why::NotCreated.to_string())?;
    let directory = match (tenant.id, record.tenants.get(&tenant.key).map(|pinned| pinned.id)) {
        (Some(named), Some(pinned)) if named != pinned => {
            return Err(format!(
                "the manifest names directory {named}, and the vault knows it as {pinned}"
            ));
        }
        (_, Some(pinned)) => pinned,
        (Some(named), None) => named,
        (None, None) => return Err("its directory is not known yet".to_owned()),
    };
    let secret = handout::secret(record, now).map_err(|why| why.to_string())?;
    let refresh_token = match tenant.connector.needs().delegated {
        false => None,
        true => {
            let held = record
                .refresh_token(&tenant.key)
                .ok_or_else(|| handout::Why::NotSignedIn.to_string())?;
            if let Some(end) = held.end.filter(|end| *end <= now) {
                return Err(format!("its refresh token died unused on {end:.0}"));
            }
            Some(held)
        }
    };
    Ok(Known { tenant, record, directory, client, secret, refresh_token })
}

/// Takes the values: a secret an app, a refresh token a tenant, each after its line of audit.
async fn take(
    context: &Context,
    vault: &Vault,
    known: &[Known<'_>],
    siem: Siem,
    now: Timestamp,
) -> Result<(Taken<AppKey>, Taken<TenantKey>), Trouble> {
    let who = person();
    let verb = format!("export {}", siem.as_str());
    let asker = Asker { who: &who, verb: &verb, now };
    let mut secrets = BTreeMap::new();
    for one in known {
        // The secret of a shared app is no tenant's.
        let tenant = (one.tenant.layout != Layout::Shared).then_some(&one.tenant.key);
        secrets.insert(&one.record.app, (one.record, tenant, one.secret));
    }
    let tokens = known
        .iter()
        .filter_map(|one| Some((one.record, Some(&one.tenant.key), one.refresh_token?)))
        .collect::<Vec<_>>();
    let of_apps = secrets.len();
    let mut work: Vec<(&Record, Option<&TenantKey>, &CredentialRecord)> =
        secrets.values().copied().collect();
    work.extend(tokens);
    let asker = &asker;
    let taken = work.iter().map(|(record, tenant, credential)| async move {
        handout::hand_out(vault, asker, record, *tenant, credential).await
    });
    let taken = stream::iter(taken).buffered(usize::from(context.common.parallelism));
    let taken: Vec<Result<Secret<String>, Kept>> = taken.collect().await;
    let (mut by_app, mut by_tenant) = (BTreeMap::new(), BTreeMap::new());
    for (place, ((record, tenant, _), value)) in work.iter().zip(taken).enumerate() {
        let value = match value {
            Ok(value) => Ok(value),
            // The audit is one for all: where it cannot be written, nothing is handed out.
            Err(Kept::NotAudited(error)) => {
                return Err(vault_trouble(
                    "nothing was exported, because it cannot be noted down",
                    &error,
                ));
            }
            Err(Kept::Vault(error)) => Err(error.to_string()),
        };
        match tenant {
            Some(tenant) if place >= of_apps => drop(by_tenant.insert((*tenant).clone(), value)),
            _ => drop(by_app.insert(record.app.clone(), value)),
        }
    }
    Ok((by_app, by_tenant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::{
        CredentialKind, CredentialState, TenantRecord,
        testing::{created, credential, seconds},
    };

    const MANIFEST: &str = "version: 1
fleet: acme-soc
home: {tenant: acme-soc.example}
vault: {path: vault}
defaults: {connector: mssp-siem, signInAs: reader@acme-soc.example}
tenants:
  contoso: {name: Contoso, domain: contoso.example}
  pinned: {name: Pinned, id: 6f1c0f5e-0000-4000-8000-000000000001}
";

    fn manifest(text: &str) -> Manifest {
        crate::manifest::parse(vec![("m.yaml".into(), text.as_bytes().to_vec())]).unwrap()
    }

    /// The record of a tenant whose analyst signed in: its token dies at that second.
    fn record(key: &str, dies: i64) -> Record {
        let mut record = created(key);
        let token = CredentialRecord {
            state: CredentialState::Stored,
            end: Some(seconds(dies)),
            tenant: Some(key.parse().unwrap()),
            ..CredentialRecord::intended(
                crate::ids::Nonce::fresh(),
                CredentialKind::RefreshToken,
                seconds(0),
            )
        };
        record.credentials = vec![credential(CredentialState::Proved), token];
        record
    }

    /// Why a tenant is not ready at second 10; nothing where it is.
    fn why(manifest: &Manifest, record: Option<Record>, key: &str) -> Option<String> {
        let records: Records =
            record.map(|record| (record.app.clone(), record)).into_iter().collect();
        let tenant = &manifest.tenants[&key.parse::<TenantKey>().unwrap()];
        look(manifest, tenant, &records, &[], seconds(10)).err()
    }

    #[test]
    fn whoever_lacks_anything_is_told_what() {
        let manifest = manifest(MANIFEST);
        let says = |record: Option<Record>, key: &str, what: &str| {
            let why = why(&manifest, record, key).unwrap_or_default();
            assert!(why.contains(what), "{why}, not {what}");
        };
        let pinned = |dies| record("pinned", dies);
        assert_eq!(why(&manifest, Some(pinned(20)), "pinned"), None);
        says(None, "pinned", "has not been created yet");
        says(Some(Record { client_id: None, ..pinned(20) }), "pinned", "has not been created yet");
        says(Some(pinned(10)), "pinned", "its refresh token died unused on");
        says(Some(record("contoso", 20)), "contoso", "its directory is not known yet");
        let mut ended = pinned(20);
        ended.credentials[0].end = Some(seconds(10));
        says(Some(ended), "pinned", "its client secret ended on");
        let mut unsigned = pinned(20);
        unsigned.credentials.truncate(1);
        says(Some(unsigned), "pinned", "its analyst has not signed in");
        let mut other = pinned(20);
        let elsewhere = TenantRecord::pinned(TenantId::from_uuid(uuid::Uuid::new_v4()));
        other.tenants.insert("pinned".parse().unwrap(), elsewhere);
        says(Some(other), "pinned", "and the vault knows it as");
    }

    #[test]
    fn an_app_without_a_secret_has_none_to_hand_out() {
        let text = MANIFEST.replace("defaults: {", "defaults: {credential: certificate, ");
        let manifest = manifest(&text);
        let why = why(&manifest, Some(record("pinned", 20)), "pinned").unwrap();
        assert!(why.contains("signs in with a certificate"), "{why}");
    }
}
