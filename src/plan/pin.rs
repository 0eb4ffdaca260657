//! Whose app it is: the directories that it was pinned to, held against those that are meant now.

use std::collections::BTreeSet;

use super::{
    AppPlan, Seen,
    app::State,
    diagnostic::{Code, Diagnostic},
    marks::{self, Marked},
};
use crate::{
    ids::{TenantId, TenantKey},
    inventory::Binned,
    manifest::{App, Layout, Manifest},
};

/// The vault's app lives in another directory than the manifest now says: making it anew here would
/// throw away what still opens the old one.
pub(super) fn lives_elsewhere(
    wanted: &App,
    directory: TenantId,
    seen: &Seen,
) -> Option<Diagnostic> {
    let record = seen.records.get(&wanted.key)?;
    record.client_id.filter(|_| record.directory != directory).map(|client| {
        Diagnostic::new(
            Code::DirectoryChanged,
            format!(
                "its app {client} lives in directory {}, and the manifest wants it in {directory}",
                record.directory
            ),
        )
        .hint(
            "offboard it first, or give the new one a key of its own; `layout` says where it lives",
        )
    })
}

/// Pins the app to its customers' directories; false where it must not go on.
pub(super) fn pin(
    plan: &mut AppPlan,
    manifest: &Manifest,
    wanted: &App,
    state: &State<'_>,
    seen: &Seen,
) -> bool {
    let record = seen.records.get(&wanted.key);
    let tagged = match state {
        State::Found { pinned, .. } => (*pinned).clone(),
        State::InBin(binned) => match marks::read(&manifest.fleet, &binned.app) {
            Marked::Ours { pinned, .. } => pinned,
            // It is looked at again once it is restored.
            Marked::Not | Marked::Conflicting(_) => BTreeSet::new(),
        },
        State::Absent => BTreeSet::new(),
    };
    for key in &wanted.tenants {
        let recorded = record.and_then(|record| record.tenants.get(key)).map(|tenant| tenant.id);
        match seen.directories.get(key) {
            Some(Ok(resolved)) => {
                let differs = recorded
                    .into_iter()
                    .chain(tagged.iter().copied().filter(|_| wanted.layout == Layout::PerTenant))
                    .find(|pinned| *pinned != resolved.id);
                match differs {
                    None => {
                        plan.pins.insert(key.clone(), resolved.id);
                    }
                    Some(pinned) if wanted.layout != Layout::Shared => {
                        let changed = changed(key, pinned, resolved.id);
                        plan.diagnostics.push(match state {
                            State::InBin(binned) if record.is_none() => {
                                changed.hint(in_bin_of(binned))
                            }
                            State::InBin(_) | State::Found { .. } | State::Absent => changed,
                        });
                        return false;
                    }
                    // A shared app serves its other customers; this one's row says it.
                    Some(_) => {}
                }
            }
            Some(Err(why)) if wanted.layout != Layout::Shared => {
                plan.diagnostics.push(directory_unknown(key, &why.line(), why.hint.as_deref()));
                return false;
            }
            Some(Err(_)) | None => {}
        }
    }
    true
}

/// What to do about a deleted app that is pinned to another directory, and that nothing but the bin
/// knows any more.
fn in_bin_of(binned: &Binned) -> String {
    format!(
        "its app {} lies in the bin and would be restored. If the customer really moved: delete that \
         one for good (Entra ID › App registrations › Deleted applications), or give the new \
         directory a key of its own. If not: correct `id` or `domain` in the manifest",
        binned.app.client_id
    )
}

pub(super) fn changed(key: &TenantKey, pinned: TenantId, now: TenantId) -> Diagnostic {
    Diagnostic::new(
        Code::DirectoryChanged,
        format!("{key} was pinned to directory {pinned}, and is {now} now"),
    )
    .hint(
        "if the customer really moved: offboard the old one first. If not: correct `id` or \
         `domain` in the manifest",
    )
}

pub(super) fn directory_unknown(key: &TenantKey, why: &str, hint: Option<&str>) -> Diagnostic {
    let diagnostic =
        Diagnostic::new(Code::DirectoryUnknown, format!("{key}'s directory is not known: {why}"));
    diagnostic.hint(hint.unwrap_or("correct `domain`, or write the directory's `id`"))
}
