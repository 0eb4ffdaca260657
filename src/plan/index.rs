//! The apps of this fleet in every directory that was read, by what their marks say.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Orphan, Seen,
    diagnostic::{Code, Diagnostic},
    marks::{self, Marked},
};
use crate::{
    ids::{AppKey, TenantId},
    inventory::FoundApp,
    manifest::{App, Layout, Manifest},
};

/// An app of ours in a directory.
pub(super) struct Ours<'a> {
    /// The app.
    pub(super) app: &'a FoundApp,
    /// The directories it is pinned to.
    pub(super) pinned: BTreeSet<TenantId>,
    /// Whether its tags say that it is ours; if not, its unique name or the vault does.
    pub(super) tagged: bool,
}

/// What is ours, by the directory it lives in and its key.
pub(super) struct Index<'a> {
    ours: BTreeMap<(TenantId, AppKey), Vec<Ours<'a>>>,
    conflicts: Vec<Diagnostic>,
    home: TenantId,
}

impl<'a> Index<'a> {
    pub(super) fn of(manifest: &Manifest, seen: &'a Seen) -> Self {
        let mut index = Self { ours: BTreeMap::new(), conflicts: Vec::new(), home: seen.home };
        let recorded: BTreeMap<_, _> = seen
            .records
            .iter()
            .filter_map(|(key, record)| Some((record.object_id?, key)))
            .collect();
        for (directory, inventory) in &seen.inventories {
            let Ok(inventory) = inventory else { continue };
            for app in &inventory.apps {
                index.take(manifest, *directory, app, recorded.get(&app.object_id).copied());
            }
        }
        for ((_, key), apps) in &index.ours {
            if let [first, second, ..] = apps.as_slice() {
                index.conflicts.push(
                    Diagnostic::new(
                        Code::ConflictingMarks,
                        format!(
                            "{} apps are marked as {key}: {}, {}",
                            apps.len(),
                            first.app.client_id,
                            second.app.client_id
                        ),
                    )
                    .hint(
                        "take the tags off the one that is not ours; nothing is changed until then",
                    ),
                );
            }
        }
        index
    }

    fn take(
        &mut self,
        manifest: &Manifest,
        directory: TenantId,
        app: &'a FoundApp,
        recorded: Option<&AppKey>,
    ) {
        let mut put = |key: AppKey, pinned, tagged| {
            let ours = Ours { app, pinned, tagged };
            self.ours.entry((directory, key)).or_default().push(ours);
        };
        match marks::read(&manifest.fleet, app) {
            Marked::Ours { key, pinned, tagged } => put(key, pinned, tagged),
            Marked::Not => {
                // The vault made or adopted it, and somebody took all its marks off.
                if let Some(key) = recorded {
                    put(key.clone(), BTreeSet::new(), false);
                }
            }
            Marked::Conflicting(why) => {
                self.conflicts.push(
                    Diagnostic::new(
                        Code::ConflictingMarks,
                        format!(
                            "app \"{}\" ({}): {why}",
                            app.registration.display_name, app.client_id
                        ),
                    )
                    .hint("take the wrong tag off this app; nothing is changed until then"),
                );
            }
        }
    }

    pub(super) fn conflicts(&self) -> &[Diagnostic] {
        &self.conflicts
    }

    /// What is marked with a key in a directory: one app, unless something is wrong.
    pub(super) fn ours(&self, directory: TenantId, key: &AppKey) -> &[Ours<'a>] {
        self.ours.get(&(directory, key.clone())).map_or(&[], Vec::as_slice)
    }

    /// Whether an app that the manifest wants is there.
    pub(super) fn exists(&self, wanted: &App, seen: &Seen) -> bool {
        seen.directory(wanted)
            .is_some_and(|directory| !self.ours(directory, &wanted.key).is_empty())
    }

    /// What carries our marks in a directory where the manifest names it no more.
    pub(super) fn orphans(&self, manifest: &Manifest, seen: &Seen) -> Vec<Orphan> {
        self.ours
            .iter()
            .filter(|((directory, key), _)| self.is_orphaned(manifest, seen, *directory, key))
            .flat_map(|((directory, key), apps)| {
                apps.iter().map(move |ours| (directory, key, ours))
            })
            .map(|(directory, key, Ours { app, .. })| Orphan {
                key: key.clone(),
                directory: *directory,
                display_name: app.registration.display_name.clone(),
                client_id: app.client_id,
            })
            .collect()
    }

    /// Whether the manifest wants no app of this key there. Where its customer's directory is not
    /// known, it may be this one.
    fn is_orphaned(
        &self,
        manifest: &Manifest,
        seen: &Seen,
        directory: TenantId,
        key: &AppKey,
    ) -> bool {
        match manifest.apps.get(key) {
            None => true,
            Some(wanted) => match wanted.layout {
                Layout::PerTenant | Layout::Shared => directory != self.home,
                Layout::InTenant => {
                    seen.directory(wanted).is_some_and(|wanted| wanted != directory)
                }
            },
        }
    }

    /// The orphan that was made for the same customer: its key was renamed.
    pub(super) fn renamed_from(
        &self,
        manifest: &Manifest,
        layout: Layout,
        directory: TenantId,
        customer: TenantId,
    ) -> Option<&AppKey> {
        self.ours
            .iter()
            .filter(|((place, key), _)| *place == directory && !manifest.apps.contains_key(key))
            .find(|(_, apps)| match layout {
                Layout::PerTenant => apps.iter().any(|ours| ours.pinned.contains(&customer)),
                // Every app of ours in the customer's own directory was made for it.
                Layout::InTenant => true,
                Layout::Shared => false,
            })
            .map(|((_, key), _)| key)
    }
}
