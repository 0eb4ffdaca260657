//! Finding what a key stands for in a directory, and which credentials on it are ours.

use std::collections::BTreeSet;

use super::{Offboarding, Removal};
use crate::{
    ids::{TenantId, UniqueName, VaultId},
    inventory::{Binned, FoundApp, FoundSecret, Glimpse, Inventory, Sight},
    manifest::Manifest,
    plan::{
        diagnostic::{Code, Diagnostic},
        marks::{self, Marked},
        secrets::foreign,
        step::Target,
    },
    vault::{Ownership, Record, recognise},
};

/// Where an app of the key is.
pub(super) enum Place<'a> {
    Nowhere,
    /// Only its unique name still speaks of us.
    Named(&'a Glimpse),
    Found {
        app: &'a FoundApp,
        pinned: BTreeSet<TenantId>,
        tagged: bool,
    },
    InBin(&'a Binned),
}

impl<'a> Place<'a> {
    pub(super) fn app(&self) -> Option<&'a FoundApp> {
        match self {
            Self::Nowhere | Self::Named(_) => None,
            Self::Found { app, .. } => Some(app),
            Self::InBin(binned) => Some(&binned.app),
        }
    }

    pub(super) fn target(&self) -> Target {
        match self {
            Self::Nowhere => Target::Absent,
            Self::Named(Glimpse { object_id, client_id, .. }) => {
                Target::Existing { object_id: *object_id, client_id: *client_id }
            }
            Self::Found { app, .. } => {
                Target::Existing { object_id: app.object_id, client_id: app.client_id }
            }
            Self::InBin(Binned { app, .. }) => {
                Target::Deleted { object_id: app.object_id, client_id: app.client_id }
            }
        }
    }
}

/// The app of the key, by its marks or by the vault's record.
pub(super) fn find<'a>(
    plan: &mut Offboarding,
    manifest: &Manifest,
    record: Option<&Record>,
    inventory: &'a Inventory,
) -> Place<'a> {
    let key = plan.subject.app().clone();
    let name = UniqueName::of(&manifest.fleet, &key);
    let recorded = |app: &FoundApp| {
        record.is_some_and(|record| {
            record.object_id == Some(app.object_id) || record.client_id == Some(app.client_id)
        })
    };
    let mut found = Vec::new();
    for app in &inventory.apps {
        let tags = &app.registration.tags;
        let concerned = recorded(app)
            || app.unique_name.as_ref() == Some(&name)
            || tags.contains(&marks::fleet_tag(&manifest.fleet))
                && tags.contains(&marks::app_tag(&key));
        let why = match marks::read(&manifest.fleet, app) {
            Marked::Ours { key: marked, pinned, tagged } if marked == key => {
                found.push((app, pinned, tagged));
                continue;
            }
            Marked::Ours { key: marked, .. } => {
                format!("the vault knows it as {key}, its marks say {marked}")
            }
            Marked::Not if tags.iter().any(|tag| marks::is_mark(tag)) => {
                format!("the vault knows it as {key}, its marks name another fleet")
            }
            Marked::Not if recorded(app) && bears(app, &name, record) => {
                found.push((app, BTreeSet::new(), false));
                continue;
            }
            Marked::Not => continue,
            Marked::Conflicting(why) => why,
        };
        if concerned {
            let FoundApp { registration, client_id, .. } = app;
            let name = &registration.display_name;
            conflict(plan, format!("app \"{name}\" ({client_id}): {why}"));
        }
    }
    match found.as_slice() {
        [] => match named(inventory, &name) {
            Some(glimpse) => Place::Named(glimpse),
            None => in_bin(plan, &name, recorded, inventory).map_or(Place::Nowhere, Place::InBin),
        },
        [_] => {
            let (app, pinned, tagged) = found.remove(0);
            Place::Found { app, pinned, tagged }
        }
        [(first, ..), (second, ..), ..] => {
            let (one, other) = (first.client_id, second.client_id);
            let many = found.len();
            conflict(plan, format!("{many} apps are marked as {key}: {one}, {other}"));
            Place::Nowhere
        }
    }
}

/// Whether an app without our tags still bears something that only we put there: the record alone
/// may be of an adoption that never came about.
fn bears(app: &FoundApp, name: &UniqueName, record: Option<&Record>) -> bool {
    let mut credentials = app.secrets.iter().chain(&app.certificates);
    app.unique_name.as_ref() == Some(name) || credentials.any(|one| knows(record, one))
}

/// Whether the vault's record knows a credential by its id in the directory, which nobody can change.
fn knows(record: Option<&Record>, found: &FoundSecret) -> bool {
    record.is_some_and(|record| record.own().any(|held| held.key_id == Some(found.key_id)))
}

/// An app that has our unique name and none of our tags, where every app was looked at.
pub(in crate::plan) fn named<'a>(
    inventory: &'a Inventory,
    name: &UniqueName,
) -> Option<&'a Glimpse> {
    inventory.others.seen()?.iter().find(|app| {
        app.unique_name.as_ref() == Some(name) && !app.tags.iter().any(|tag| marks::is_mark(tag))
    })
}

fn conflict(plan: &mut Offboarding, why: String) {
    plan.diagnostics.push(
        Diagnostic::new(Code::ConflictingMarks, why)
            .hint("take the wrong tag off this app; nothing is removed until then"),
    );
}

fn in_bin<'a>(
    plan: &mut Offboarding,
    name: &UniqueName,
    recorded: impl Fn(&FoundApp) -> bool,
    inventory: &'a Inventory,
) -> Option<&'a Binned> {
    match &inventory.bin {
        Sight::Seen(bin) => {
            let is_it = |binned: &&Binned| {
                binned.app.unique_name.as_ref() == Some(name) || recorded(&binned.app)
            };
            let newest = bin.iter().filter(is_it).max_by_key(|binned| binned.deleted);
            plan.deleted = newest.and_then(|binned| binned.deleted);
            newest
        }
        Sight::Hidden(why) => {
            plan.diagnostics.push(Diagnostic::new(
                Code::BinUnknown,
                format!("deleted apps could not be read, so they are unknown: {}", why.line()),
            ));
            None
        }
        Sight::NotLooked => None,
    }
}

/// Plans to remove the credentials that are ours, by the vault's record or by their names.
pub(super) fn credentials(
    plan: &mut Offboarding,
    record: Option<&Record>,
    app: &FoundApp,
    vault: VaultId,
    vault_lost: bool,
) {
    let mut others = BTreeSet::new();
    let mut is_ours = |found: &FoundSecret| {
        if knows(record, found) {
            return Ok(());
        }
        match recognise(found.display_name.as_deref(), vault, record) {
            Ownership::OursStored { .. }
            | Ownership::OursIntended { .. }
            | Ownership::OursUnknown { .. } => Ok(()),
            Ownership::OtherVault(maker) => {
                others.insert(maker);
                if vault_lost { Ok(()) } else { Err(Some(maker)) }
            }
            Ownership::Foreign => Err(None),
        }
    };
    for secret in &app.secrets {
        match is_ours(secret) {
            Ok(()) => plan.steps.push(Removal::RemoveSecret { key_id: secret.key_id }),
            Err(other_vault) => plan.foreign.secrets.push(foreign(secret, other_vault)),
        }
    }
    for certificate in &app.certificates {
        match is_ours(certificate) {
            Ok(()) => {
                plan.steps.push(Removal::RemoveCertificate { key_id: certificate.key_id });
            }
            Err(other_vault) => plan.foreign.certificates.push(foreign(certificate, other_vault)),
        }
    }
    if let Some(other) = others.first().filter(|_| !vault_lost) {
        plan.diagnostics.push(
            Diagnostic::new(
                Code::OtherVault,
                format!("credentials of ours on the app were made by another vault, {other}"),
            )
            .hint(
                "bring the right vault (vault.path or vault.keyVault, or the pipeline's cache). Only \
                 if it is lost for good: --vault-lost removes them all the same",
            ),
        );
    }
}
