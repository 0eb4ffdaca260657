//! (Manifest, what was seen) → [`Plan`] → [`Approved`]: pure; all order and all safety.
//!
//! The planner decides everything. It knows no clock, network or disk: the time is the server's,
//! told by the inventory.

mod adopt;
mod app;
mod bin;
mod compare;
pub mod diagnostic;
pub mod federated;
pub mod forecast;
pub mod foreign;
pub mod grant;
mod guard;
mod index;
pub mod kinds;
pub mod manual;
pub mod marks;
pub mod offboard;
mod permit;
mod pin;
mod policies;
pub mod remembered;
mod retire;
mod saved;
pub mod secrets;
mod seen;
pub mod step;
mod tenant;
mod unseen;
mod wish;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::{
    diagnostic::{Code, Diagnostic, Severity},
    forecast::Due,
    grant::Grant,
    manual::Manual,
    step::{Edit, Foreign, RemovalReason, Step, Target},
};
pub use self::{
    permit::Permit,
    saved::{NotAPlan, SavedPlan},
    seen::{Resolved, Seen},
    wish::{Fate, Percent, Rotate, Wish},
};
use crate::{
    cloud::Cloud,
    connector::Connector,
    ids::{AppKey, ClientId, FleetName, ResourceId, TenantId, TenantKey, VaultId},
    manifest::{App, Layout, Manifest},
    shard::Shard,
};

/// Which part of the manifest a run is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The tenants.
    pub tenants: BTreeSet<TenantKey>,
    /// Their apps.
    pub apps: BTreeSet<AppKey>,
    /// The part of the fleet that this job has, where others have the rest.
    pub shard: Option<Shard>,
}

impl Scope {
    /// All of a manifest.
    pub fn all(manifest: &Manifest) -> Self {
        Self {
            tenants: manifest.tenants.keys().cloned().collect(),
            apps: manifest.apps.keys().cloned().collect(),
            shard: None,
        }
    }

    /// Some tenants of it, and the apps they use.
    pub fn of(manifest: &Manifest, tenants: BTreeSet<TenantKey>) -> Self {
        let apps = tenants
            .iter()
            .filter_map(|key| manifest.tenants.get(key))
            .map(|tenant| tenant.app.clone())
            .collect();
        Self { tenants, apps, shard: None }
    }

    /// What of it is in a part of the fleet.
    #[must_use]
    pub fn within(mut self, manifest: &Manifest, shard: Shard) -> Self {
        self.apps.retain(|app| shard.holds(app));
        self.tenants
            .retain(|key| manifest.tenants.get(key).is_some_and(|tenant| shard.holds(&tenant.app)));
        self.shard = Some(shard);
        self
    }
}

/// What is planned for one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPlan {
    /// Its key.
    pub key: AppKey,
    /// What it is called.
    pub display_name: String,
    /// Where it lives.
    pub layout: Layout,
    /// What it reads with.
    pub connector: Connector,
    /// The directory it lives in, where that is known.
    pub directory: Option<TenantId>,
    /// What it is now.
    pub target: Target,
    /// In the order in which they must happen.
    pub steps: Vec<Step>,
    /// The directories that it is pinned to by this run, for the vault's record.
    pub pins: BTreeMap<TenantKey, TenantId>,
    /// What the planner saw.
    pub diagnostics: Vec<Diagnostic>,
    /// What others put on it.
    pub foreign: Foreign,
}

impl AppPlan {
    /// Whether something stands in the way of what the manifest wants.
    pub fn is_blocked(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// What the plan's last line counts it as.
    pub fn outcome(&self) -> Outcome {
        match self.target {
            Target::Unknown => Outcome::Unreadable,
            _ if self.steps.is_empty() && self.is_blocked() => Outcome::Blocked,
            _ if self.steps.is_empty() => Outcome::Unchanged,
            Target::Absent | Target::Deleted { .. } => Outcome::Add,
            Target::Existing { .. } => Outcome::Change,
        }
    }
}

/// What the plan's last line counts an app as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It will be created or restored.
    Add,
    /// It will be changed.
    Change,
    /// It is as the manifest says.
    Unchanged,
    /// Its directory could not be read.
    Unreadable,
    /// Something stands in the way.
    Blocked,
}

/// What is planned for one tenant: what is granted in its directory, and what people must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPlan {
    /// Its key.
    pub key: TenantKey,
    /// What people call it.
    pub name: String,
    /// Its directory, where that is known.
    pub directory: Option<TenantId>,
    /// The app it uses.
    pub app: AppKey,
    /// What the operator grants to that app there, in order, once the app's own steps are done.
    pub steps: Vec<Grant>,
    /// Steps for people, in order.
    pub manual: Vec<Manual>,
    /// What the planner saw.
    pub diagnostics: Vec<Diagnostic>,
}

/// An app of this fleet that the manifest no longer names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// The key in its marks.
    pub key: AppKey,
    /// The directory it lives in.
    pub directory: TenantId,
    /// What it is called.
    pub display_name: String,
    /// Its client id.
    pub client_id: ClientId,
}

/// The difference between manifest and directories, as ordered steps. Data: it prints, compares
/// and serialises, and holds no secret, no closure, no end date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The fleet.
    pub fleet: FleetName,
    /// The provider's directory.
    pub home: TenantId,
    /// The vault that values go into.
    pub vault: VaultId,
    /// Every app in scope.
    pub apps: BTreeMap<AppKey, AppPlan>,
    /// Every tenant in scope.
    pub tenants: BTreeMap<TenantKey, TenantPlan>,
    /// What the manifest no longer names.
    pub orphans: Vec<Orphan>,
    /// What concerns no single app.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether the scope is less than the manifest.
    pub partial: bool,
    /// The part of the fleet that it is of.
    pub shard: Option<Shard>,
    /// What a day ahead shows, where one was asked about.
    pub ahead: Option<Ahead>,
}

/// What a day ahead shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The day.
    pub as_of: Timestamp,
    /// What is to be renewed by then.
    pub due: Vec<Due>,
}

/// What a first, cheap reading leaves to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Apps without our tag, and the bin: something expected was missing.
    pub everything: bool,
    /// App-management policies: a secret or an audience is about to change.
    pub policies: bool,
    /// APIs whose permissions are about to be asked for.
    pub resources: BTreeSet<ResourceId>,
}

impl Needs {
    /// Whether there is nothing more to read.
    pub fn is_empty(&self) -> bool {
        let Self { everything, policies, resources } = self;
        !everything && !policies && resources.is_empty()
    }
}

/// How many apps come, change, stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Created or restored.
    pub add: usize,
    /// Changed.
    pub change: usize,
    /// Removed.
    pub remove: usize,
    /// Tenants in whose directories something is granted.
    pub grant: usize,
    /// As the manifest says.
    pub unchanged: usize,
    /// In a directory that could not be read.
    pub unreadable: usize,
    /// With something in the way.
    pub blocked: usize,
    /// Steps for people.
    pub manual: usize,
}

/// Why a plan was not approved; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Guards, each with the app it concerns.
    Guards(Vec<(Option<AppKey>, Diagnostic)>),
}

/// A plan that may be carried out. Only [`Plan::approve`] makes one.
#[derive(Debug, Clone)]
pub struct Approved {
    plan: Plan,
    permit: Permit,
}

impl Approved {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The same without what these apps' tenants are granted: the apps are planned again first.
    #[must_use]
    pub fn without_grants_of(mut self, apps: &BTreeSet<AppKey>) -> Self {
        for tenant in self.plan.tenants.values_mut().filter(|one| apps.contains(&one.app)) {
            tenant.steps.clear();
        }
        self
    }

    /// What a writer asks for.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }
}

/// Compares what is wanted with what was seen.
pub fn plan(
    manifest: &Manifest,
    scope: &Scope,
    cloud: &Cloud,
    seen: &Seen,
    now: Timestamp,
) -> Plan {
    let index = index::Index::of(manifest, seen);
    let mut diagnostics = index.conflicts().to_vec();
    if let Some(Ok(inventory)) = seen.inventories.get(&seen.home) {
        diagnostics.extend(unseen::unseen(inventory));
    }
    let planned = |wanted: &App| app::plan(manifest, wanted, &index, seen, now);
    let apps: BTreeMap<_, _> = scope
        .apps
        .iter()
        .filter_map(|key| manifest.apps.get(key))
        .map(|wanted| (wanted.key.clone(), planned(wanted)))
        .collect();
    let mut tenants: BTreeMap<_, _> = scope
        .tenants
        .iter()
        .filter_map(|key| manifest.tenants.get(key))
        .map(|wanted| {
            let app = apps.get(&wanted.app);
            (wanted.key.clone(), tenant::plan(manifest, wanted, app, cloud, seen, now))
        })
        .collect();
    if seen.wish.rotate.is_some() {
        // Whoever asks for new secrets grants nothing by the way.
        tenants.values_mut().for_each(|tenant: &mut TenantPlan| tenant.steps.clear());
    }
    diagnostics.extend(unseen::unread(seen, &apps, &tenants));
    let mut plan = Plan {
        fleet: manifest.fleet.clone(),
        home: seen.home,
        vault: seen.vault,
        apps,
        tenants,
        orphans: index
            .orphans(manifest, seen)
            .into_iter()
            .filter(|orphan| scope.shard.is_none_or(|shard| shard.holds(&orphan.key)))
            .collect(),
        diagnostics,
        partial: *scope != Scope::all(manifest),
        shard: scope.shard,
        ahead: None,
    };
    plan.ahead = seen.wish.as_of.map(|as_of| {
        let (clock, held) = (seen.clock(now), forecast::held_refresh_tokens(seen));
        let due = forecast::forecast(manifest, &plan, seen, &held, clock, as_of);
        Ahead { as_of, due }
    });
    if let Some(most) = seen.wish.most_changes {
        let mut fleet = guard::Changed::default();
        for wanted in manifest.apps.values() {
            match plan.apps.get(&wanted.key) {
                Some(app) => fleet.count(app),
                // Other jobs change the other shards' apps at the same time: each counts for all.
                None if scope.shard.is_some() => fleet.count(&planned(wanted)),
                None => fleet.existing += usize::from(index.exists(wanted, seen)),
            }
        }
        plan.diagnostics.extend(fleet.too_many(most));
    }
    plan
}

impl Plan {
    /// Whether nothing would be changed.
    pub fn is_empty(&self) -> bool {
        self.apps.values().all(|app| app.steps.is_empty())
            && self.tenants.values().all(|tenant| tenant.steps.is_empty())
    }

    /// How many steps would be taken.
    pub fn step_count(&self) -> usize {
        self.apps.values().map(|app| app.steps.len()).sum::<usize>()
            + self.tenants.values().map(|tenant| tenant.steps.len()).sum::<usize>()
    }

    /// Counts for the last line.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            manual: self.tenants.values().map(|tenant| tenant.manual.len()).sum(),
            grant: self.tenants.values().filter(|tenant| !tenant.steps.is_empty()).count(),
            ..Summary::default()
        };
        for app in self.apps.values() {
            match app.outcome() {
                Outcome::Add => summary.add += 1,
                Outcome::Change => summary.change += 1,
                Outcome::Unchanged => summary.unchanged += 1,
                Outcome::Unreadable => summary.unreadable += 1,
                Outcome::Blocked => summary.blocked += 1,
            }
        }
        summary
    }

    /// What must still be read before this plan can be trusted with a write.
    pub fn needs(&self, manifest: &Manifest) -> Needs {
        let mut needs = Needs::default();
        for app in self.apps.values() {
            for step in &app.steps {
                match step {
                    Step::CreateApplication { .. } => {
                        needs.everything = true;
                        needs.policies = true;
                        needs.ask_about(manifest, &app.key);
                    }
                    Step::AddSecret { .. } | Step::AddCertificate { .. } => {
                        needs.policies = true;
                    }
                    Step::PatchApplication { edits, .. } => {
                        for edit in edits {
                            match edit {
                                Edit::Audience(_) | Edit::RedirectUris(_) => needs.policies = true,
                                Edit::Permissions(_) => needs.ask_about(manifest, &app.key),
                                Edit::DisplayName(_)
                                | Edit::Links(_)
                                | Edit::Tags(_)
                                | Edit::UniqueName(_) => {}
                            }
                        }
                    }
                    Step::RestoreApplication { .. }
                    | Step::RemoveSecret { .. }
                    | Step::RemoveCertificate { .. }
                    | Step::AddFederated { .. }
                    | Step::UpdateFederated { .. }
                    | Step::RemoveFederated { .. }
                    | Step::AddOwner { .. } => {}
                }
            }
            // A permission that the built-in table does not know is judged by the directory alone.
            if app.diagnostics.iter().any(|d| d.code == Code::UnknownPermission) {
                needs.ask_about(manifest, &app.key);
            }
        }
        needs
    }

    /// Everything that stops the whole run.
    pub fn guards(&self) -> Vec<(Option<AppKey>, Diagnostic)> {
        let of_apps = self
            .apps
            .values()
            .flat_map(|app| app.diagnostics.iter().map(|d| (Some(app.key.clone()), d.clone())));
        let general = self.diagnostics.iter().map(|d| (None, d.clone()));
        of_apps.chain(general).filter(|(_, d)| d.code.is_guard()).collect()
    }

    /// The only way to an [`Approved`].
    ///
    /// # Errors
    /// A guard refused: wrong or lost vault, conflicting marks. Nothing was changed.
    pub fn approve(self) -> Result<Approved, Refused> {
        let guards = self.guards();
        if guards.is_empty() {
            Ok(Approved { plan: self, permit: Permit::granted() })
        } else {
            Err(Refused::Guards(guards))
        }
    }

    /// The same plan for some of its apps: after an upsert that answered "exists", only those are
    /// planned again.
    #[must_use]
    pub fn only(mut self, apps: &BTreeSet<AppKey>) -> Self {
        self.apps.retain(|key, _| apps.contains(key));
        self.tenants.retain(|_, tenant| apps.contains(&tenant.app));
        self
    }

    /// The same plan without a change to any app: what is granted for some tenants is all that is
    /// left of it.
    #[must_use]
    pub fn only_grants(mut self, of: impl Fn(&TenantKey) -> bool) -> Self {
        let there: BTreeSet<AppKey> = self
            .apps
            .values_mut()
            .filter_map(|app| {
                app.steps.clear();
                app.target.client_id().map(|_| app.key.clone())
            })
            .collect();
        for tenant in self.tenants.values_mut() {
            if !there.contains(&tenant.app) || !of(&tenant.key) {
                tenant.steps.clear();
            }
        }
        self
    }

    /// Each app's steps, and each tenant's, as they are written.
    fn deeds(&self) -> saved::Deeds<'_> {
        fn written<S: Serialize>(steps: &[S]) -> Vec<serde_json::Value> {
            let written = |step| serde_json::to_value(step).expect("a step is plain data");
            steps.iter().map(written).collect()
        }
        saved::Deeds {
            apps: self
                .apps
                .values()
                .map(|app| (&app.key, saved::there(written(&app.steps), app.directory)))
                .collect(),
            tenants: self
                .tenants
                .values()
                .map(|one| (&one.key, saved::there(written(&one.steps), one.directory)))
                .collect(),
        }
    }

    /// A fingerprint of what the plan would do: the same for the same steps on the same apps, with the
    /// same vault for what comes of them, whenever and wherever it is made. Times are not part of it.
    pub fn checksum(&self) -> String {
        saved::fingerprint(&self.fleet, (self.home, self.vault), self.shard, &self.deeds())
    }

    /// The apps to which more would be done than a plan says that was signed off. What that one did
    /// already is no more, and neither is a secret that a policy makes shorter: which policies name a
    /// deleted app shows only when it is restored.
    #[must_use]
    pub fn beyond(&self, signed_off: &Self) -> BTreeSet<AppKey> {
        let planned = |key| signed_off.apps.get(key).map_or(&[][..], |app| app.steps.as_slice());
        let granted = |key| signed_off.tenants.get(key).map_or(&[][..], |one| one.steps.as_slice());
        let more = self
            .apps
            .values()
            .filter(|app| {
                app.steps
                    .iter()
                    .any(|step| !planned(&app.key).iter().any(|planned| step.is_at_most(planned)))
            })
            .map(|app| &app.key);
        let more_granted = self
            .tenants
            .values()
            .filter(|one| one.steps.iter().any(|step| !granted(&one.key).contains(step)))
            .map(|one| &one.app);
        more.chain(more_granted).cloned().collect()
    }

    /// What this operator may not see and whoever planned may have seen, a line each: then the two
    /// plans differ for good.
    pub fn unseen_here(&self) -> Vec<String> {
        let unseen = |d: &&Diagnostic| {
            matches!(d.code, Code::PoliciesUnknown | Code::BinUnknown | Code::TwinsUnknown)
        };
        let line = |d: &Diagnostic| {
            format!("{}: whoever plans and whoever applies need the same rights to read", d.summary)
        };
        self.diagnostics.iter().filter(unseen).map(line).collect()
    }

    /// Whether an app would be changed by more than a secret of ours.
    fn changes(app: &AppPlan) -> bool {
        app.steps.iter().any(|step| match step {
            Step::PatchApplication { .. } => true,
            Step::RemoveSecret { reason, .. } | Step::RemoveCertificate { reason, .. } => {
                !reason.is_cleaning()
            }
            Step::RemoveFederated { reason, .. } => *reason == RemovalReason::Foreign,
            Step::RestoreApplication { .. }
            | Step::CreateApplication { .. }
            | Step::AddSecret { .. }
            | Step::AddCertificate { .. }
            | Step::AddFederated { .. }
            | Step::UpdateFederated { .. }
            | Step::AddOwner { .. } => false,
        })
    }
}

impl Needs {
    fn ask_about(&mut self, manifest: &Manifest, app: &AppKey) {
        if let Some(app) = manifest.apps.get(app) {
            self.resources.extend(app.permissions.iter().map(|permission| permission.resource));
        }
    }
}
