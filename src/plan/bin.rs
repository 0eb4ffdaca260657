//! The app that lies in the bin: which it is, and whether it lies there as offboarding leaves one.

use jiff::Timestamp;

use super::{
    Seen,
    diagnostic::{Code, Diagnostic},
};
use crate::{
    ids::UniqueName,
    inventory::{BIN_KEEPS, Binned, Inventory},
    manifest::{App, Manifest},
    vault::{Ownership, recognise},
};

/// The app's own predecessor, as long as the bin keeps it.
pub(super) fn of<'a>(
    manifest: &Manifest,
    wanted: &App,
    inventory: &'a Inventory,
    now: Timestamp,
) -> Option<&'a Binned> {
    let name = UniqueName::of(&manifest.fleet, &wanted.key);
    // The bin may hold several generations; only one of them can hold the name.
    inventory.bin.seen()?.iter().find(|binned| {
        // By a day ahead it may have been emptied.
        let kept = binned.deleted.and_then(|deleted| deleted.checked_add(BIN_KEEPS).ok());
        binned.app.unique_name.as_ref() == Some(&name) && kept.is_none_or(|until| until > now)
    })
}

/// That it lies there as offboarding leaves it, though the manifest names it: not a word in the
/// vault, and no credential of ours.
pub(super) fn offboarded(seen: &Seen, wanted: &App, binned: &Binned) -> Option<Diagnostic> {
    let offboarded = !seen.records.contains_key(&wanted.key)
        && !seen.deleted.contains_key(&wanted.key)
        && binned.app.secrets.iter().chain(&binned.app.certificates).all(|one| {
            let name = one.display_name.as_deref();
            matches!(recognise(name, seen.vault, None), Ownership::Foreign)
        });
    let key = &wanted.key;
    offboarded.then(|| {
        Diagnostic::new(
            Code::StillInManifest,
            format!(
                "nothing of {key} is left in the vault, as after an offboard, and the manifest still \
                 names it: apply onboards it again"
            ),
        )
        .hint("take it out of the manifest, unless it shall come back")
    })
}
