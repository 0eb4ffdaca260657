//! What is planned for one app.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    AppPlan, Seen, adopt, bin, compare,
    diagnostic::{Code, Diagnostic},
    federated,
    foreign::{self, Theirs},
    index::{Index, Ours},
    kinds, marks,
    pin::{directory_unknown, lives_elsewhere, pin},
    policies, retire, secrets,
    step::{Foreign, ForeignSecret, Step, Target},
    unseen::unseen,
};
use crate::{
    connector::known_permission,
    failure::{Cause, Failure},
    ids::{PermissionId, TenantId, UniqueName, VaultId},
    inventory::{Binned, FoundApp, Inventory, Sight},
    manifest::{App, Layout, Manifest, NamedPermission},
    registration::{Permission, Registration},
    vault::{CredentialKind, CredentialRecord, Deleted},
};

/// The most owners of an app
/// (<https://learn.microsoft.com/en-us/entra/identity/users/directory-service-limits-restrictions>).
const MOST_OWNERS: usize = 100;

pub(super) fn plan(
    manifest: &Manifest,
    wanted: &App,
    index: &Index<'_>,
    seen: &Seen,
    now: Timestamp,
) -> AppPlan {
    let mut plan = AppPlan {
        key: wanted.key.clone(),
        display_name: wanted.display_name.clone(),
        layout: wanted.layout,
        connector: wanted.connector,
        directory: seen.directory(wanted),
        target: Target::Unknown,
        steps: Vec::new(),
        pins: BTreeMap::new(),
        diagnostics: Vec::new(),
        foreign: Foreign::default(),
    };
    let Some(directory) = plan.directory else {
        plan.diagnostics.extend(wanted.tenants.iter().filter_map(|key| {
            let why = seen.directories.get(key)?.as_ref().err()?;
            Some(directory_unknown(key, &why.line(), why.hint.as_deref()))
        }));
        return plan;
    };
    let inventory = match seen.inventories.get(&directory) {
        Some(Ok(inventory)) => inventory,
        Some(Err(why)) => {
            plan.diagnostics.push(unreadable(wanted, why));
            return plan;
        }
        None => {
            let why = Failure::new(Cause::Guard, "it was not read");
            plan.diagnostics.push(unreadable(wanted, &why));
            return plan;
        }
    };
    match wanted.layout {
        // What the operator may not see of its own directory is said once for all apps.
        Layout::PerTenant | Layout::Shared => {}
        Layout::InTenant => plan.diagnostics.extend(unseen(inventory)),
    }
    if wanted.connector.needs().legacy {
        plan.diagnostics.push(Diagnostic::new(
            Code::LegacyConnector,
            format!(
                "connector {} is Microsoft's legacy way of reading incidents",
                wanted.connector
            ),
        ));
    }
    if wanted.layout == Layout::Shared && wanted.tenants.len() > 1 {
        plan.diagnostics.push(Diagnostic::new(
            Code::BlastRadius,
            format!("shared app: one leaked secret opens {} customers", wanted.tenants.len()),
        ));
    }

    let found = index.ours(directory, &wanted.key);
    let adopted = match seen.wish.adopt {
        Some(client) => match adopt::judge(wanted, inventory, found, seen, client) {
            Ok(app) => Some(app),
            Err(refused) => {
                plan.target = Target::Absent;
                plan.diagnostics.push(refused);
                return plan;
            }
        },
        None => None,
    };
    let nothing = BTreeSet::new();
    let state = match (found, adopted) {
        ([Ours { app, pinned, tagged }], None) => State::Found { app, pinned, tagged: *tagged },
        ([Ours { app, pinned, .. }], Some(_)) => State::Found { app, pinned, tagged: true },
        ([], Some(app)) => State::Found { app, pinned: &nothing, tagged: true },
        ([], None) => match bin::of(manifest, wanted, inventory, now) {
            Some(binned) => State::InBin(binned),
            None => State::Absent,
        },
        ([_, _, ..], _) => {
            plan.diagnostics.push(Diagnostic::new(
                Code::ConflictingMarks,
                format!("{} apps are marked as {}", found.len(), wanted.key),
            ));
            return plan;
        }
    };
    plan.target = state.target();
    if let Some(elsewhere) = lives_elsewhere(wanted, directory, seen) {
        plan.diagnostics.push(elsewhere);
        return plan;
    }
    if !pin(&mut plan, manifest, wanted, &state, seen) {
        return plan;
    }
    let Some(registration) = registration(&mut plan, manifest, wanted, inventory) else {
        return plan;
    };
    difference(&mut plan, manifest, wanted, index, (inventory, seen), &state, &registration);
    if let Some(app) = adopted {
        adopt::name(&mut plan, manifest, app, inventory);
    }
    let owners = owners(&mut plan, wanted, inventory, &state);
    credentials(&mut plan, wanted, inventory, &state, seen, now);
    // Last: it takes rights of its own, and nothing waits for it.
    if !plan.diagnostics.iter().any(|d| d.code.is_guard()) {
        plan.steps.extend(owners);
    }
    obstacles(&mut plan, inventory, &state, now);
    plan
}

/// The owners that are wanted and missing. Others are kept and shown; the operator owns what it
/// made, whether the manifest says so or not.
fn owners(plan: &mut AppPlan, wanted: &App, inventory: &Inventory, state: &State<'_>) -> Vec<Step> {
    let none = BTreeSet::new();
    let held = match state {
        State::Absent => &none,
        // They are read once it is restored.
        State::InBin(_) => return Vec::new(),
        State::Found { app, .. } => match &app.owners {
            Some(owners) if !wanted.owners.is_empty() => owners,
            Some(_) | None => return Vec::new(),
        },
    };
    let others = held.difference(&wanted.owners).filter(|one| Some(**one) != inventory.operator);
    plan.foreign.owners = others.copied().collect();
    let missing: Vec<_> = wanted.owners.difference(held).copied().collect();
    if held.len() + missing.len() > MOST_OWNERS {
        plan.diagnostics.push(
            Diagnostic::new(
                Code::TooManyOwners,
                format!(
                    "with the {} that it has and the {} that it lacks the app would have more than \
                     {MOST_OWNERS} owners",
                    held.len(),
                    missing.len()
                ),
            )
            .hint("take owners away who left, or name fewer in `owners`"),
        );
        return Vec::new();
    }
    missing.into_iter().map(|owner| Step::AddOwner { owner }).collect()
}

/// What of ours the directory holds under a key.
pub(super) enum State<'a> {
    Absent,
    Found { app: &'a FoundApp, pinned: &'a BTreeSet<TenantId>, tagged: bool },
    InBin(&'a Binned),
}

impl<'a> State<'a> {
    fn app(&self) -> Option<&'a FoundApp> {
        match self {
            Self::Absent => None,
            Self::Found { app, .. } => Some(app),
            Self::InBin(binned) => Some(&binned.app),
        }
    }

    fn target(&self) -> Target {
        match self {
            Self::Absent => Target::Absent,
            Self::Found { app, .. } => {
                Target::Existing { object_id: app.object_id, client_id: app.client_id }
            }
            Self::InBin(Binned { app, .. }) => {
                Target::Deleted { object_id: app.object_id, client_id: app.client_id }
            }
        }
    }
}

fn unreadable(wanted: &App, why: &Failure) -> Diagnostic {
    let whose = match wanted.layout {
        Layout::PerTenant | Layout::Shared => "the provider's directory",
        Layout::InTenant => "the customer's directory",
    };
    let said = why.line();
    Diagnostic::new(Code::Unreadable, format!("{whose} could not be read: {said}"))
        .hint("tenantry doctor shows the operator's identity and rights")
}

/// The id of a permission: the directory's own list is the judge where it was read.
pub(super) fn permission_id(
    inventory: &Inventory,
    NamedPermission { resource, kind, name }: &NamedPermission,
) -> Option<PermissionId> {
    match inventory.catalogues.get(resource) {
        Some(Sight::Seen(catalogue)) => catalogue.get(&(*kind, name.clone())).copied(),
        Some(Sight::Hidden(_) | Sight::NotLooked) | None => {
            known_permission(*resource, *kind, name)
        }
    }
}

/// The registration that is wanted, its permissions turned into ids; nothing where one of them
/// has none.
fn registration(
    plan: &mut AppPlan,
    manifest: &Manifest,
    wanted: &App,
    inventory: &Inventory,
) -> Option<Registration> {
    let mut permissions = BTreeSet::new();
    let mut unknown = Vec::new();
    let mut unjudged = BTreeSet::new();
    for named in &wanted.permissions {
        if let Some(Sight::Hidden(_)) = inventory.catalogues.get(&named.resource) {
            unjudged.insert(named.resource);
        }
        match permission_id(inventory, named) {
            Some(id) => {
                permissions.insert(Permission { resource: named.resource, kind: named.kind, id });
            }
            None => unknown.push(named.name.as_str()),
        }
    }
    for resource in unjudged {
        plan.diagnostics.push(Diagnostic::new(
            Code::PermissionsUnjudged,
            format!("API {resource} could not be read here, so its permissions are taken from tenantry's own table"),
        ));
    }
    if !unknown.is_empty() {
        plan.diagnostics.push(
            Diagnostic::new(
                Code::UnknownPermission,
                format!("no such permission on that API: {}", unknown.join(", ")),
            )
            .hint("names are case-sensitive; an application permission is not a delegated one"),
        );
        return None;
    }
    let mut tags = BTreeSet::from([marks::fleet_tag(&manifest.fleet), marks::app_tag(&wanted.key)]);
    if wanted.layout == Layout::PerTenant {
        tags.extend(plan.pins.values().map(|id| marks::tenant_tag(*id)));
    }
    Some(Registration {
        display_name: wanted.display_name.clone(),
        audience: Some(wanted.audience),
        redirect_uris: wanted.redirect_uris.clone(),
        permissions,
        links: wanted.links.clone(),
        tags,
    })
}

/// The steps that make the registration what it should be.
fn difference(
    plan: &mut AppPlan,
    manifest: &Manifest,
    wanted: &App,
    index: &Index<'_>,
    (inventory, seen): (&Inventory, &Seen),
    state: &State<'_>,
    registration: &Registration,
) {
    match state {
        State::Absent => {
            if let Some(handed_over) = adopt::in_the_way(manifest, wanted, inventory) {
                plan.diagnostics.push(handed_over);
                return;
            }
            adopt::twins(plan, inventory, wanted);
            let renamed = plan.pins.values().find_map(|customer| {
                index.renamed_from(manifest, wanted.layout, inventory.directory, *customer)
            });
            if let Some(old) = renamed {
                plan.diagnostics.push(
                    Diagnostic::new(
                        Code::RenamedKey,
                        format!("this customer already has an app of ours under the key {old}, which the manifest no longer names"),
                    )
                    .hint(format!("call the tenant {old} again, or offboard {old} first")),
                );
                return;
            }
            plan.steps.push(Step::CreateApplication {
                unique_name: UniqueName::of(&manifest.fleet, &wanted.key),
                registration: registration.clone(),
            });
        }
        State::Found { app, tagged, .. } => {
            if !tagged {
                plan.diagnostics.push(Diagnostic::new(
                    Code::TagsStripped,
                    "somebody took our tags off this app; they will be put back",
                ));
            }
            patch(plan, registration, app);
        }
        State::InBin(binned) => {
            let when = binned
                .deleted
                .map_or_else(String::new, |at| format!(" on {}", at.strftime("%Y-%m-%d")));
            plan.diagnostics.push(Diagnostic::new(
                Code::InTheBin,
                format!("it was deleted{when} and will be restored; policies that name it show only then"),
            ));
            plan.diagnostics.extend(bin::offboarded(seen, wanted, binned));
            plan.steps.push(Step::RestoreApplication { object_id: binned.app.object_id });
            patch(plan, registration, &binned.app);
        }
    }
}

fn patch(plan: &mut AppPlan, registration: &Registration, app: &FoundApp) {
    let edits = compare::edits(registration, &app.registration);
    if !edits.is_empty() {
        plan.steps.push(Step::PatchApplication { object_id: app.object_id, edits });
    }
    plan.foreign = compare::foreign(registration, &app.registration);
}

/// The steps that give the app a credential that lives and is held.
fn credentials(
    plan: &mut AppPlan,
    wanted: &App,
    inventory: &Inventory,
    state: &State<'_>,
    seen: &Seen,
    now: Timestamp,
) {
    let record = seen.records.get(&wanted.key);
    // What a vault holds of an app that is gone opens nothing.
    let of_this_app = record.filter(|record| {
        plan.target.client_id().is_some_and(|client| record.client_id == Some(client))
            || record.client_id.is_none()
    });
    if seen.wish.rotate.is_some() {
        // Whoever asks for new secrets asks for nothing else.
        plan.steps.clear();
        if !matches!(state, State::Found { .. }) {
            return;
        }
    }
    let (rule, wish) = (&wanted.secret, &seen.wish);
    let mut decided =
        secrets::decide(state.app(), of_this_app, &wanted.credential, seen.vault, rule, wish, now);
    plan.foreign.secrets = std::mem::take(&mut decided.foreign_secrets);
    plan.foreign.certificates = std::mem::take(&mut decided.foreign_certificates);
    plan.diagnostics.extend(kinds::left_behind(&wanted.credential, state.app(), of_this_app, now));

    let is_kept = kinds::kept(&wanted.credential).is_some();
    // What can be recovered is not made anew, whatever was wished.
    let found_here = matches!(state, State::Found { .. });
    if is_kept
        && found_here
        && record.is_none()
        && let Some(deleted) = seen.deleted.get(&wanted.key)
    {
        plan.steps.clear();
        plan.diagnostics.push(in_vaults_bin(deleted));
        return;
    }
    // What no vault holds, no vault can have lost.
    if is_kept && !seen.wish.reissue && seen.wish.adopt.is_none() {
        let guard = if found_here && record.is_none() {
            Some(Diagnostic::new(
                Code::VaultLost,
                "the app carries our mark, but this vault has no file for it",
            ))
        } else {
            decided.only_another_vault.map(|other| {
                Diagnostic::new(
                    Code::OtherVault,
                    format!(
                        "all credentials of ours on the app were made by another vault, {other}"
                    ),
                )
            })
        };
        if let Some(guard) = guard {
            plan.steps.clear();
            plan.diagnostics.push(guard.hint(
                "bring the right vault (vault.path or vault.keyVault, or the pipeline's cache). Only \
                 if it is lost for good: --reissue makes new secrets",
            ));
            return;
        }
    }
    // A copy that has fallen behind makes no secret, and lets none go.
    let behind = is_kept && seen.wish.adopt.is_none() && decided.are_due;
    let code = if behind { Code::VaultBehind } else { Code::AnotherCopy };
    if let Some(told) = decided.another_copy(code) {
        plan.diagnostics.push(told);
        for (kind, one) in std::mem::take(&mut decided.of_another_copy) {
            match kind {
                CredentialKind::Certificate => plan.foreign.certificates.push(one),
                CredentialKind::Secret | CredentialKind::RefreshToken => {
                    plan.foreign.secrets.push(one);
                }
            }
        }
        if behind {
            plan.steps.clear();
            return;
        }
    }
    let created = state.app().and_then(|app| app.created).unwrap_or(now);
    let object = state.app().map(|app| app.object_id);
    secrets::obey(&mut decided, &inventory.policies, object, created, now);
    let removed: Vec<_> = decided.steps.iter().filter_map(kinds::removed_by).collect();
    let stays = |foreign: &ForeignSecret| !removed.iter().any(|(key, _)| *key == foreign.key_id);
    plan.foreign.secrets.retain(stays);
    plan.foreign.certificates.retain(stays);
    plan.steps.append(&mut decided.steps);
    plan.diagnostics.append(&mut decided.diagnostics);
    let trusts = state.app().and_then(|app| app.federated.as_deref()).unwrap_or_default();
    let are_over = of_this_app.is_some_and(|record| {
        let there = |held: &CredentialRecord| secrets::is_there(held, state.app(), now);
        let all: Vec<_> = record.own().collect();
        retire::tokens_are_over(&all, there, wanted.secret.overlap, now)
    });
    federated::trust(plan, &wanted.credential, trusts, &seen.wish, are_over);
    plan.diagnostics.extend(kept(&plan.foreign, seen.vault));
}

fn in_vaults_bin(deleted: &Deleted) -> Diagnostic {
    let Deleted { vault, secret, until } = deleted;
    let until = until.map_or_else(String::new, |at| format!(" until {}", at.strftime("%Y-%m-%d")));
    let summary =
        format!("its secret {secret} was deleted, and lies in the bin of key vault {vault}{until}");
    Diagnostic::new(Code::InVaultBin, summary).hint(format!(
        "recover it: `{}`; only where it is to be made anew, purge it first (az keyvault secret \
         purge), then --reissue",
        deleted.recover()
    ))
}

/// What is not ours in an app. What another copy of this vault made was told already.
fn kept(foreign: &Foreign, vault: VaultId) -> Option<Diagnostic> {
    let Foreign { redirect_uris, tags, secrets: _, certificates: _, federated: _, owners } =
        foreign;
    let counts =
        [(redirect_uris.len(), "redirect URI"), (tags.len(), "tag"), (owners.len(), "owner")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
    // What can sign in is named: somebody must be able to tell whose it is.
    let mut credentials = Theirs::on(foreign);
    credentials.retain(|theirs| theirs.other_vault != Some(vault));
    let credentials = (!credentials.is_empty()).then(|| foreign::named(&credentials));
    let kept: Vec<_> = counts.chain(credentials).collect();
    (!kept.is_empty()).then(|| {
        Diagnostic::new(Code::ForeignKept, format!("kept, though not ours: {}", kept.join(", ")))
    })
}

/// Takes back what cannot work as a whole, so that nothing is left half-done.
fn obstacles(plan: &mut AppPlan, inventory: &Inventory, state: &State<'_>, now: Timestamp) {
    let created = state.app().and_then(|app| app.created).unwrap_or(now);
    policies::judge(plan, &inventory.policies, state.app().map(|app| app.object_id), created);
    policies::give_way(plan, matches!(state, State::Found { .. }));
    let forbidden = |code: Code| plan.diagnostics.iter().any(|d| d.code == code);
    if [Code::RenamedKey, Code::HandedOver].into_iter().any(forbidden) {
        plan.steps.clear();
    }
}
