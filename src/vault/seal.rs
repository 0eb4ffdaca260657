//! One value, sealed with age (<https://age-encryption.org/v1>) and bound to what it belongs to.
//!
//! A block says inside of itself whose value it is, so that a block copied into another app's file,
//! or kept beside another client id, is found out instead of being sent to the wrong tenant.

use std::io::{Read, Write};

use age::{
    Decryptor, Encryptor,
    armor::{ArmoredReader, ArmoredWriter, Format},
    x25519,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    ids::{AppKey, ClientId, Nonce, TenantId},
    secret::Secret,
    vault::{
        credential::{CredentialKind, CredentialRecord},
        record::Record,
    },
};

/// Whose value it is: written into the block, and compared with the header when it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Label {
    app: AppKey,
    client_id: ClientId,
    tenant_id: TenantId,
    nonce: Nonce,
    kind: CredentialKind,
}

impl Label {
    /// What the header says of a credential's value; nothing before the app has a client id, or where a
    /// refresh token's tenant is not known.
    pub(super) fn of(record: &Record, credential: &CredentialRecord) -> Option<Self> {
        let tenant_id = match credential.kind {
            // A secret is an app's, and is valid at the app's own directory.
            CredentialKind::Secret | CredentialKind::Certificate => record.directory,
            // A refresh token is of the directory that gave it.
            CredentialKind::RefreshToken => record.tenants.get(credential.tenant.as_ref()?)?.id,
        };
        Some(Self {
            app: record.app.clone(),
            client_id: record.client_id?,
            tenant_id,
            nonce: credential.nonce.clone(),
            kind: credential.kind,
        })
    }
}

#[derive(Serialize)]
struct Closing<'a> {
    #[serde(flatten)]
    label: &'a Label,
    value: &'a str,
}

#[derive(Deserialize)]
struct Opened {
    #[serde(flatten)]
    label: Label,
    value: String,
}

/// Why a block did not give its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// None of the keys at hand opens it.
    NoMatchingKey,
    /// It is not what a vault writes; the words hold nothing of its content.
    Broken(&'static str),
    /// It belongs to something else than the header says.
    Misplaced(String),
}

/// Seals a value to all recipients, as armored text that ends in a newline.
///
/// # Errors
/// There is no recipient.
pub(super) fn seal(
    recipients: &[x25519::Recipient],
    label: &Label,
    value: &Secret<String>,
) -> Result<String, age::EncryptError> {
    // Enough room from the start: a buffer that grows leaves copies of the value behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(512 + 2 * value.expose().len()));
    serde_json::to_writer(&mut *plain, &Closing { label, value: value.expose() })
        .map_err(std::io::Error::from)?;

    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let mut armored = Vec::with_capacity(1024 + 2 * plain.len());
    let armor = ArmoredWriter::wrap_output(&mut armored, Format::AsciiArmor)?;
    let mut writer = Encryptor::with_recipients(recipients)?.wrap_output(armor)?;
    writer.write_all(&plain)?;
    writer.finish()?.finish()?;
    Ok(String::from_utf8(armored).expect("armor is ASCII"))
}

/// Opens a block and checks that it belongs where it stands.
pub(super) fn open(
    identities: &[x25519::Identity],
    label: &Label,
    armored: &str,
) -> Result<Secret<String>, NotOpened> {
    let identities = identities.iter().map(|identity| identity as &dyn age::Identity);
    let mut reader = Decryptor::new_buffered(ArmoredReader::new(armored.as_bytes()))
        .and_then(|decryptor| decryptor.decrypt(identities))
        .map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => NotOpened::NoMatchingKey,
            _ => NotOpened::Broken("it is not a whole age file"),
        })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(armored.len()));
    reader.read_to_end(&mut plain).map_err(|_| NotOpened::Broken("it is not a whole age file"))?;
    // serde's own words may repeat what stood there: they are dropped.
    let Opened { label: inner, value } = serde_json::from_slice(&plain)
        .map_err(|_| NotOpened::Broken("what it holds is not what a vault writes"))?;
    let value = Secret::new(value);
    if inner == *label { Ok(value) } else { Err(NotOpened::Misplaced(difference(&inner, label))) }
}

/// The first thing in which a block and the header differ, in words.
fn difference(inner: &Label, header: &Label) -> String {
    let Label { app, client_id, tenant_id, nonce, kind } = inner;
    if *app != header.app {
        format!("it belongs to app {app}, not to {}", header.app)
    } else if *client_id != header.client_id {
        format!("it belongs to client id {client_id}, not to {}", header.client_id)
    } else if *tenant_id != header.tenant_id {
        format!("it belongs to directory {tenant_id}, not to {}", header.tenant_id)
    } else if *nonce != header.nonce {
        format!("it belongs to credential {nonce}, not to {}", header.nonce)
    } else {
        format!("it is a {kind:?}, not a {:?}", header.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::testing::full_record;

    fn label(app: &str) -> Label {
        let record = full_record(app);
        Label::of(&record, &record.credentials[0]).unwrap()
    }

    #[test]
    fn a_value_comes_back_for_each_recipient_and_for_nobody_else() {
        let (one, two, three) = (
            x25519::Identity::generate(),
            x25519::Identity::generate(),
            x25519::Identity::generate(),
        );
        let label = label("contoso");
        let value = Secret::new("caf\u{e9} ~\"\\ 0123".to_owned());
        let armored = seal(&[one.to_public(), two.to_public()], &label, &value).unwrap();
        assert!(armored.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
        assert!(armored.ends_with("-----END AGE ENCRYPTED FILE-----\n"));
        for key in [&one, &two] {
            let opened = open(std::slice::from_ref(key), &label, &armored).unwrap();
            assert_eq!(opened.expose(), value.expose());
        }
        assert_eq!(open(&[three], &label, &armored).unwrap_err(), NotOpened::NoMatchingKey);
        assert_eq!(open(&[], &label, &armored).unwrap_err(), NotOpened::NoMatchingKey);
        assert!(seal(&[], &label, &value).is_err());
    }

    #[test]
    fn a_block_in_another_place_is_found_out() {
        let key = x25519::Identity::generate();
        let there = label("contoso");
        let value = Secret::new("hunter2".to_owned());
        let armored = seal(&[key.to_public()], &there, &value).unwrap();
        let fresh = || uuid::Uuid::new_v4();
        let elsewhere = [
            Label { app: "fabrikam".parse().unwrap(), ..there.clone() },
            Label { client_id: ClientId::from_uuid(fresh()), ..there.clone() },
            Label { tenant_id: TenantId::from_uuid(fresh()), ..there.clone() },
            Label { nonce: Nonce::fresh(), ..there.clone() },
        ];
        for label in elsewhere {
            let error = open(std::slice::from_ref(&key), &label, &armored).unwrap_err();
            let NotOpened::Misplaced(words) = error else { panic!("{error:?}") };
            assert!(words.starts_with("it belongs to"), "{words}");
            assert!(!words.contains("hunter2"));
        }
    }

    #[test]
    fn no_prefix_of_a_block_gives_a_value() {
        let key = x25519::Identity::generate();
        let label = label("contoso");
        let value = Secret::new("hunter2".to_owned());
        let armored = seal(&[key.to_public()], &label, &value).unwrap();
        // Its last byte is a newline that armor may do without.
        for end in 0..armored.len() - 1 {
            assert!(open(std::slice::from_ref(&key), &label, &armored[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn no_changed_byte_gives_another_value() {
        let key = x25519::Identity::generate();
        let label = label("contoso");
        let value = Secret::new("hunter2".to_owned());
        let armored = seal(&[key.to_public()], &label, &value).unwrap();
        for at in 0..armored.len() {
            let mut garbled = armored.clone().into_bytes();
            garbled[at] ^= 1;
            let garbled = String::from_utf8(garbled).unwrap();
            if let Ok(opened) = open(std::slice::from_ref(&key), &label, &garbled) {
                assert_eq!(opened.expose(), value.expose(), "changed at {at}");
            }
        }
    }
}
