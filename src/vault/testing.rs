//! What the tests of this room share.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::{Uuid, uuid};

use crate::{
    ids::{
        AppKey, ClientId, FleetName, KeyId, Nonce, ObjectId, TenantId, TenantKey, UniqueName,
        VaultId,
    },
    vault::{
        credential::{CredentialKind, CredentialRecord, CredentialState},
        record::Record,
        tenant::{Attestation, AttestedOutcome, FacetMemory, TenantRecord},
    },
};

pub(crate) fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seconds).unwrap()
}

pub(crate) fn fleet() -> FleetName {
    "acme-soc".parse().unwrap()
}

pub(crate) fn vault_id() -> VaultId {
    VaultId::from_uuid(uuid!("5f0c2a52-8f5e-4c9c-9a77-3f6f2f7f0001"))
}

/// An app that is about to be created.
pub(crate) fn record(app: &str) -> Record {
    let app: AppKey = app.parse().unwrap();
    let directory = TenantId::from_uuid(uuid!("91c20000-0000-4000-8000-000000000001"));
    let unique_name = UniqueName::of(&fleet(), &app);
    Record::new(app, directory, unique_name)
}

/// An app with ids and nothing else.
pub(crate) fn created(app: &str) -> Record {
    let mut record = record(app);
    record.client_id = Some(ClientId::from_uuid(Uuid::new_v4()));
    record.object_id = Some(ObjectId::from_uuid(Uuid::new_v4()));
    record
}

/// A credential that was asked for and answered.
pub(crate) fn credential(state: CredentialState) -> CredentialRecord {
    CredentialRecord {
        state,
        key_id: Some(KeyId::from_uuid(Uuid::new_v4())),
        start: Some(seconds(1)),
        end: Some(seconds(31_536_000)),
        ..CredentialRecord::intended(Nonce::fresh(), CredentialKind::Secret, seconds(0))
    }
}

/// An app with one of everything; its first two credentials have values.
pub(crate) fn full_record(app: &str) -> Record {
    let mut record = created(app);
    record.credentials = vec![
        credential(CredentialState::Stored),
        credential(CredentialState::Retiring),
        CredentialRecord::intended(Nonce::fresh(), CredentialKind::Secret, seconds(2)),
    ];
    let memory = FacetMemory {
        state: "waiting".into(),
        waiting_for: Some("analyst".into()),
        since: seconds(3),
    };
    let tenant = TenantRecord {
        id: TenantId::from_uuid(Uuid::new_v4()),
        facets: BTreeMap::from([("consent".into(), memory.clone()), ("token".into(), memory)]),
        last_good: Some(seconds(4)),
        attestation: Some(Attestation {
            client_id: record.client_id.unwrap(),
            by: "Ada \"the\" Admin\n".into(),
            ticket: Some("T-1".into()),
            at: seconds(5),
            outcome: AttestedOutcome::PageMissing,
        }),
        consent_denied: None,
    };
    record.tenants.insert(TenantKey::clone(&app.parse().unwrap()), tenant);
    record
}

/// A block that looks sealed.
pub(crate) fn sealed() -> String {
    "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24=\n-----END AGE ENCRYPTED FILE-----\n"
        .to_owned()
}
