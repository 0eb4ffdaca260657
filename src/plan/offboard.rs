//! What is removed with a customer, in which order, and what stands in the way: pure.
//!
//! It is its own plan, for an apply never removes: `offboard KEY` alone does. The order makes a cut
//! anywhere harmless: what stays with customers is named first, credentials go before the app that
//! would show them, and the vault's record last, for by it the rest is found again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

mod find;

pub(super) use self::find::named;
use self::find::{Place, credentials, find};
use super::{
    Permit, Refused, Seen, Summary, adopt,
    diagnostic::{Code, Diagnostic},
    federated, marks, saved,
    step::{Change, Foreign, Target},
};
use crate::{
    ids::{
        AppKey, Application, ClientId, FederatedCredential, FleetName, KeyId, ObjectId,
        ServicePrincipal, TenantId, TenantKey, VaultId,
    },
    inventory::{FoundApp, Inventory},
    manifest::Manifest,
    vault::{CredentialRecord, Leftover, Record},
};

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An app, with all the tenants that it has.
    App(AppKey),
    /// One of the tenants of an app that others share.
    Tenant {
        /// Which one.
        tenant: TenantKey,
        /// Whose app.
        app: AppKey,
    },
}

impl Subject {
    /// By the manifest, else by what the vault remembers, else an app of that key.
    pub fn of(manifest: &Manifest, seen: &Seen, key: &TenantKey) -> Self {
        let own = AppKey::from(key);
        let shared = |app: &AppKey| Self::Tenant { tenant: key.clone(), app: app.clone() };
        if let Some(tenant) = manifest.tenants.get(key).filter(|tenant| tenant.app != own) {
            return shared(&tenant.app);
        }
        if manifest.apps.contains_key(&own) || seen.records.contains_key(&own) {
            return Self::App(own);
        }
        let user = seen.records.values().find(|record| record.tenants.contains_key(key));
        user.map_or(Self::App(own), |record| shared(&record.app))
    }

    /// The app that it is about.
    pub fn app(&self) -> &AppKey {
        match self {
            Self::App(app) | Self::Tenant { app, .. } => app,
        }
    }

    /// What was typed.
    pub fn key(&self) -> &str {
        match self {
            Self::App(app) => app.as_str(),
            Self::Tenant { tenant, .. } => tenant.as_str(),
        }
    }
}

/// Whether a customer's directory has our enterprise application, as it was asked before anything
/// was removed: afterwards nobody can ask as the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// It has.
    There(Option<ObjectId<ServicePrincipal>>),
    /// It says that it knows no such app.
    Absent,
    /// Nobody could tell, and why.
    Unknown(String),
}

/// What the operator said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// The app stays, for the customer or whoever comes after us.
    pub keep_app: bool,
    /// The vault that made its credentials is lost for good.
    pub vault_lost: bool,
}

/// All that is known before planning, beside what every plan knows.
#[derive(Debug)]
pub struct Known<'a> {
    /// What the key stands for.
    pub subject: &'a Subject,
    /// What the customers' directories said.
    pub sightings: &'a BTreeMap<TenantKey, Sighting>,
    /// What was named already.
    pub leftovers: &'a [Leftover],
    /// Whether the vault keeps something of it that was deleted.
    pub buried: bool,
    /// What the operator said.
    pub wish: Wish,
}

/// One thing that is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Removal {
    /// Removes a secret of ours.
    RemoveSecret {
        /// Which.
        key_id: KeyId,
    },
    /// Removes a certificate of ours.
    RemoveCertificate {
        /// Which.
        key_id: KeyId,
    },
    /// Takes away that the app trusts an issuer, as one of ours said.
    RemoveFederated {
        /// Which.
        id: ObjectId<FederatedCredential>,
        /// By what it was recognised.
        name: String,
    },
    /// Takes our marks off an app that stays.
    RemoveMarks {
        /// Which app.
        object_id: ObjectId<Application>,
        /// `tags`
        tags: Change<BTreeSet<String>>,
    },
    /// Deletes the app; it lies in the bin for 30 days.
    DeleteApplication {
        /// Which.
        object_id: ObjectId<Application>,
    },
    /// Removes the vault's record of the app, with every value.
    RemoveRecord,
    /// Removes what the vault has of one tenant of an app that others share.
    ForgetTenant {
        /// Which tenant.
        tenant: TenantKey,
    },
}

impl Removal {
    /// The stable word, in JSON and in events.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RemoveSecret { .. } => "remove-secret",
            Self::RemoveCertificate { .. } => "remove-certificate",
            Self::RemoveFederated { .. } => "remove-federated",
            Self::RemoveMarks { .. } => "remove-marks",
            Self::DeleteApplication { .. } => "delete-application",
            Self::RemoveRecord => "remove-record",
            Self::ForgetTenant { .. } => "forget-tenant",
        }
    }
}

/// What is removed with a customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Offboarding {
    /// The fleet.
    pub fleet: FleetName,
    /// The provider's directory.
    pub home: TenantId,
    /// The vault that its values lie in.
    pub vault: VaultId,
    /// What the key stands for.
    pub subject: Subject,
    /// What the app is called, where that is known.
    pub display_name: Option<String>,
    /// The directory in which the app lives.
    pub directory: TenantId,
    /// What the app is before.
    pub target: Target,
    /// When it was deleted, where it lies in the bin already.
    pub deleted: Option<Timestamp>,
    /// Whether the app stays.
    pub keep_app: bool,
    /// In the order in which they must happen.
    pub steps: Vec<Removal>,
    /// The tenants whose refresh tokens are dropped.
    pub tokens: Vec<TenantKey>,
    /// What stays with customers, to be named before the first step.
    pub leftovers: Vec<Leftover>,
    /// What others put on the app.
    pub foreign: Foreign,
    /// What the planner saw.
    pub diagnostics: Vec<Diagnostic>,
}

/// An offboarding that may be carried out. Only [`Offboarding::approve`] makes one.
#[derive(Debug, Clone)]
pub struct ApprovedOffboarding {
    offboarding: Offboarding,
    permit: Permit,
}

impl ApprovedOffboarding {
    /// What is removed.
    pub fn offboarding(&self) -> &Offboarding {
        &self.offboarding
    }

    /// What a writer asks for.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }
}

impl Offboarding {
    /// Everything that stops it.
    pub fn guards(&self) -> Vec<(Option<AppKey>, Diagnostic)> {
        let guards = self.diagnostics.iter().filter(|d| d.code.is_guard());
        guards.map(|d| (Some(self.subject.app().clone()), d.clone())).collect()
    }

    /// Whether nothing is left to be removed or named.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Counts, as those of a plan.
    pub fn summary(&self) -> Summary {
        let remove = usize::from(!self.is_empty());
        Summary { remove, manual: self.leftovers.len(), ..Summary::default() }
    }

    /// A fingerprint of what it would do.
    pub fn checksum(&self) -> String {
        let written = |step| serde_json::to_value(step).expect("a step is plain data");
        let steps = self.steps.iter().map(written).collect();
        let deeds = BTreeMap::from([(self.subject.app(), steps)]);
        let deeds = saved::Deeds { apps: deeds, tenants: BTreeMap::new() };
        saved::fingerprint(&self.fleet, (self.home, self.vault), None, &deeds)
    }

    /// The only way to an [`ApprovedOffboarding`].
    ///
    /// # Errors
    /// A guard refused. Nothing was changed.
    pub fn approve(self) -> Result<ApprovedOffboarding, Refused> {
        let guards = self.guards();
        if guards.is_empty() {
            Ok(ApprovedOffboarding { offboarding: self, permit: Permit::granted() })
        } else {
            Err(Refused::Guards(guards))
        }
    }
}

/// What an offboarding of this key is. Its directory must have been read: `inventory` is it.
pub fn offboard(
    manifest: &Manifest,
    seen: &Seen,
    inventory: &Inventory,
    known: &Known<'_>,
    now: Timestamp,
) -> Offboarding {
    let subject = known.subject;
    let record = seen.records.get(subject.app());
    let mut plan = Offboarding {
        fleet: manifest.fleet.clone(),
        home: seen.home,
        vault: seen.vault,
        subject: subject.clone(),
        display_name: manifest.apps.get(subject.app()).map(|app| app.display_name.clone()),
        directory: inventory.directory,
        target: Target::Absent,
        deleted: None,
        keep_app: known.wish.keep_app,
        steps: Vec::new(),
        tokens: Vec::new(),
        leftovers: Vec::new(),
        foreign: Foreign::default(),
        diagnostics: Vec::new(),
    };
    let place = find(&mut plan, manifest, record, inventory);
    if let Some(app) = place.app() {
        plan.display_name = Some(app.registration.display_name.clone());
    }
    plan.target = place.target();
    if !plan.guards().is_empty() {
        return plan;
    }
    match subject {
        Subject::App(app) => {
            in_use(&mut plan, manifest, app);
            of_app(&mut plan, seen, record, &place, known);
        }
        Subject::Tenant { tenant, .. } => of_tenant(&mut plan, record, tenant, known),
    }
    if !plan.guards().is_empty() {
        plan.steps.clear();
        return plan;
    }
    leftovers(&mut plan, manifest, record, &place, known, now);
    still_wanted(&mut plan, manifest);
    plan
}

/// An app that others use stays.
fn in_use(plan: &mut Offboarding, manifest: &Manifest, app: &AppKey) {
    let users: Vec<&str> = manifest
        .tenants
        .values()
        .filter(|tenant| tenant.app == *app && AppKey::from(&tenant.key) != *app)
        .map(|tenant| tenant.key.as_str())
        .collect();
    if !users.is_empty() {
        plan.diagnostics.push(
            Diagnostic::new(
                Code::AppInUse,
                format!("tenants of the manifest use this app: {}", users.join(", ")),
            )
            .hint("offboard them and take them out of the manifest first"),
        );
    }
}

fn of_app(
    plan: &mut Offboarding,
    seen: &Seen,
    record: Option<&Record>,
    place: &Place<'_>,
    known: &Known<'_>,
) {
    let Wish { keep_app, vault_lost } = known.wish;
    let handed_over = match place {
        Place::Named(glimpse) => Some(glimpse.client_id),
        Place::Found { app, tagged: false, .. } if record.is_none() => Some(app.client_id),
        Place::Nowhere | Place::Found { .. } | Place::InBin(_) => None,
    };
    if let Some(client) = handed_over {
        if !keep_app {
            plan.diagnostics.push(adopt::handed_over(plan.subject.app(), client));
        }
        return;
    }
    if let Place::Found { app, .. } = place {
        credentials(plan, record, app, seen.vault, vault_lost);
        trusts(plan, app);
        if keep_app {
            let from = &app.registration.tags;
            let to: BTreeSet<String> =
                from.iter().filter(|tag| !marks::is_mark(tag)).cloned().collect();
            if to != *from {
                let tags = Change { from: from.clone(), to };
                plan.steps.push(Removal::RemoveMarks { object_id: app.object_id, tags });
            }
        } else {
            plan.steps.push(Removal::DeleteApplication { object_id: app.object_id });
            // The URIs, tags and owners of others open nothing.
            let Foreign { secrets, certificates, federated, redirect_uris: _, tags: _, owners: _ } =
                &plan.foreign;
            let others = secrets.len() + certificates.len() + federated.len();
            if others > 0 {
                plan.diagnostics.push(
                    Diagnostic::new(
                        Code::GoesWithApp,
                        format!(
                            "{others} of its credentials are not ours, and go with it: whoever made \
                             them can sign in no more"
                        ),
                    )
                    .hint("--keep-app leaves the app and them"),
                );
            }
        }
    }
    if record.is_some() || known.buried {
        plan.steps.push(Removal::RemoveRecord);
    }
    let held = record.into_iter().flat_map(|record| {
        record.tenants.keys().filter(|tenant| record.refresh_token(tenant).is_some())
    });
    plan.tokens.extend(held.cloned());
}

/// The issuers that the app trusts: ours by their names, the others foreign.
fn trusts(plan: &mut Offboarding, app: &FoundApp) {
    for one in app.federated.iter().flatten() {
        if federated::is_ours(&one.name) {
            plan.steps.push(Removal::RemoveFederated { id: one.id, name: one.name.clone() });
        } else {
            plan.foreign.federated.push(federated::foreign(one));
        }
    }
}

fn of_tenant(
    plan: &mut Offboarding,
    record: Option<&Record>,
    tenant: &TenantKey,
    known: &Known<'_>,
) {
    let holds = record.is_some_and(|record| record.tenants.contains_key(tenant));
    if holds || known.buried {
        plan.steps.push(Removal::ForgetTenant { tenant: tenant.clone() });
    }
    if record.is_some_and(|record| record.refresh_token(tenant).is_some()) {
        plan.tokens.push(tenant.clone());
        plan.diagnostics.push(
            Diagnostic::new(
                Code::TokenOutlives,
                "the refresh token is dropped here, but Entra ID has no call that ends one app's \
                 token alone: a copy of it, with a secret of this app, would work for up to 90 days",
            )
            .hint(
                "it ends at once when the customer removes the enterprise application, or revokes \
                 the analyst's sessions, all of them",
            ),
        );
    }
}

/// The enterprise applications that stay with customers.
fn leftovers(
    plan: &mut Offboarding,
    manifest: &Manifest,
    record: Option<&Record>,
    place: &Place<'_>,
    known: &Known<'_>,
    now: Timestamp,
) {
    // Handed over, it goes on being used.
    if plan.keep_app {
        return;
    }
    let client = plan.target.client_id().or_else(|| record.and_then(|record| record.client_id));
    let Some(client_id) = client else { return };
    let mut customers: BTreeMap<TenantKey, TenantId> = match (&plan.subject, record) {
        (Subject::App(_), Some(record)) => {
            record.tenants.iter().map(|(key, tenant)| (key.clone(), tenant.id)).collect()
        }
        (Subject::App(app), None) => match place {
            // A vault that knows nothing: the app itself says whose it is.
            Place::Found { pinned, .. } => {
                let key = app.as_str().parse::<TenantKey>().ok();
                key.zip(pinned.first().copied()).into_iter().collect()
            }
            Place::Nowhere | Place::Named(_) | Place::InBin(_) => BTreeMap::new(),
        },
        (Subject::Tenant { tenant, .. }, Some(record)) => {
            let known = record.tenants.get(tenant).map(|known| (tenant.clone(), known.id));
            known.into_iter().collect()
        }
        (Subject::Tenant { .. }, None) => BTreeMap::new(),
    };
    // In the directory in which an app lives its service principal goes with it.
    customers.retain(|_, directory| *directory != plan.directory);
    let app_name = plan.display_name.clone().unwrap_or_default();
    for (tenant, directory) in customers {
        let name = manifest.tenants.get(&tenant).map_or(tenant.as_str(), |known| &known.name);
        let mut leftover = Leftover {
            name: name.to_owned(),
            app: plan.subject.app().clone(),
            directory,
            client_id,
            app_name: app_name.clone(),
            since: now,
            principal: None,
            seen: None,
            tenant: tenant.clone(),
        };
        let before = known.leftovers.iter().find(|known| known.is(&leftover));
        if let Some(before) = before {
            leftover = before.clone();
        }
        match known.sightings.get(&tenant) {
            Some(Sighting::There(principal)) => {
                leftover.principal = principal.or(leftover.principal);
                leftover.seen = leftover.seen.or(Some(now));
            }
            // Where the app itself is gone, no directory knows it, whatever is left there.
            Some(Sighting::Absent) if matches!(place, Place::Found { .. }) => continue,
            Some(Sighting::Absent | Sighting::Unknown(_)) | None => {}
        }
        plan.leftovers.push(leftover);
    }
}

fn still_wanted(plan: &mut Offboarding, manifest: &Manifest) {
    let (wanted, what) = match &plan.subject {
        Subject::App(app) => (manifest.apps.contains_key(app), "the app"),
        Subject::Tenant { tenant, .. } => (manifest.tenants.contains_key(tenant), "the tenant"),
    };
    if !wanted {
        return;
    }
    let then = match (&plan.subject, plan.keep_app) {
        (Subject::App(_), false) => {
            "the next apply would restore it from the bin, and give it a new secret"
        }
        (Subject::App(_), true) => {
            "the next plan would refuse it (exit 7), for its unique name stays ours"
        }
        (Subject::Tenant { .. }, _) => "the next apply would take it up again",
    };
    plan.diagnostics.push(
        Diagnostic::new(
            Code::StillInManifest,
            format!("the manifest still names {what} {}: {then}", plan.subject.key()),
        )
        .hint("take it out of the manifest"),
    );
}

/// The client id and the credential that shows whether what was removed is refused: the newest one
/// of which the vault holds the value.
pub fn witness(record: Option<&Record>) -> Option<(ClientId, &CredentialRecord)> {
    let record = record?;
    let newest = record
        .own()
        .filter(|held| held.state.has_value())
        .max_by_key(|held| (held.start, held.intended_at))?;
    Some((record.client_id?, newest))
}
