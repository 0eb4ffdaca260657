//! A plan that somebody signed off: read back, and held against the plan of now. What is carried
//! out is always the plan of now; the saved one only says what it must be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Plan, Scope};
use crate::{
    ids::{AppKey, FleetName, TenantId, TenantKey, VaultId},
    manifest::Manifest,
    shard::Shard,
};

/// The version of the document that this build reads.
const FORMAT_VERSION: u32 = 1;
/// The kinds of steps that are named of an app, where more of them moved.
const MOST_NAMED: usize = 10;

/// What is done to each app, and granted for each tenant.
pub(super) struct Deeds<'a> {
    pub(super) apps: BTreeMap<&'a AppKey, Vec<Value>>,
    pub(super) tenants: BTreeMap<&'a TenantKey, Vec<Value>>,
}

/// Steps, with the directory in which they are taken as one more thing that must stay as it was
/// signed off: a domain may lead to another one by then. Nothing where there are no steps.
pub(super) fn there(mut steps: Vec<Value>, directory: Option<TenantId>) -> Vec<Value> {
    if !steps.is_empty() {
        steps.push(json!({ "kind": IN_DIRECTORY, "directory": directory }));
    }
    steps
}

/// How the directory stands among what is compared.
const IN_DIRECTORY: &str = "its directory";

/// Those with a step, each step's members in one order.
fn sorted<'a, K>(steps: &BTreeMap<&'a K, Vec<Value>>) -> Vec<(&'a K, Vec<Value>)> {
    let mut sorted = Vec::new();
    for (key, steps) in steps.iter().filter(|(_, steps)| !steps.is_empty()) {
        let mut steps = steps.clone();
        steps.iter_mut().for_each(Value::sort_all_objects);
        sorted.push((*key, steps));
    }
    sorted
}

/// A fingerprint of deeds: the same for the same steps on the same apps and tenants. The order in
/// which an object's members are written is no part of it, so that a file may be formatted anew.
pub(super) fn fingerprint(
    fleet: &FleetName,
    (home, vault): (TenantId, VaultId),
    shard: Option<Shard>,
    deeds: &Deeds<'_>,
) -> String {
    #[derive(Serialize)]
    struct Whole<'a> {
        fleet: &'a FleetName,
        home: TenantId,
        vault: VaultId,
        #[serde(skip_serializing_if = "Option::is_none")]
        shard: Option<Shard>,
        apps: Vec<(&'a AppKey, Vec<Value>)>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tenants: Vec<(&'a TenantKey, Vec<Value>)>,
    }
    let Deeds { apps, tenants } = deeds;
    let whole = Whole { fleet, home, vault, shard, apps: sorted(apps), tenants: sorted(tenants) };
    let text = serde_json::to_vec(&whole).expect("steps are plain data with text keys");
    Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A plan as a file holds it: what `plan --json` and `plan --out` write.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedPlan {
    fleet: FleetName,
    home: TenantId,
    vault: VaultId,
    sandbox: bool,
    /// Whether lost vaults' secrets were to be made anew.
    pub reissue: bool,
    /// Whether foreign secrets were to go.
    pub remove_foreign: bool,
    partial: bool,
    shard: Option<Shard>,
    tenants: BTreeMap<TenantKey, Vec<Value>>,
    checksum: String,
    apps: BTreeMap<AppKey, Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    format_version: u32,
    fleet: FleetName,
    home: TenantId,
    vault: VaultId,
    sandbox: bool,
    reissue: bool,
    #[serde(default)]
    remove_foreign: bool,
    partial: bool,
    #[serde(default)]
    shard: Option<Shard>,
    checksum: String,
    apps: Vec<SavedApp>,
    tenants: Vec<SavedTenant>,
}

#[derive(Deserialize)]
struct SavedApp {
    key: AppKey,
    #[serde(default)]
    directory: Option<TenantId>,
    steps: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedTenant {
    key: TenantKey,
    #[serde(default)]
    tenant_id: Option<TenantId>,
    #[serde(default)]
    steps: Vec<Value>,
}

/// Why a file is no plan that can be held against another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAPlan {
    /// It is something else, and how it shows.
    Foreign(String),
    /// It was changed after it was written: its steps are not those of its checksum.
    Altered,
}

impl fmt::Display for NotAPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(why) => write!(f, "it is no plan of tenantry's: {why}"),
            Self::Altered => f.write_str(
                "it was changed after it was written: its steps are not those of its checksum",
            ),
        }
    }
}

impl SavedPlan {
    /// Reads the document.
    ///
    /// # Errors
    /// It is no such document, or its steps are not those of its checksum.
    pub fn parse(text: &str) -> Result<Self, NotAPlan> {
        let foreign = |why: String| NotAPlan::Foreign(why);
        let document: Document =
            serde_json::from_str(text).map_err(|error| foreign(error.to_string()))?;
        let Document {
            format_version,
            fleet,
            home,
            vault,
            sandbox,
            reissue,
            remove_foreign,
            partial,
            shard,
            checksum,
            apps: listed,
            tenants,
        } = document;
        if format_version != FORMAT_VERSION {
            return Err(foreign(format!(
                "its format is {format_version}, this build reads {FORMAT_VERSION}"
            )));
        }
        let many = listed.len();
        let apps: BTreeMap<_, _> =
            listed.into_iter().map(|app| (app.key, there(app.steps, app.directory))).collect();
        if apps.len() != many {
            return Err(foreign("it names an app twice".to_owned()));
        }
        // Another shard's apps are another job's to lock.
        if let Some(key) = apps.keys().find(|key| shard.is_some_and(|shard| !shard.holds(key))) {
            return Err(foreign(format!("app {key} is not of the shard that it names")));
        }
        let tenants: BTreeMap<_, _> =
            tenants.into_iter().map(|one| (one.key, there(one.steps, one.tenant_id))).collect();
        let deeds = Deeds {
            apps: apps.iter().map(|(key, steps)| (key, steps.clone())).collect(),
            tenants: tenants.iter().map(|(key, steps)| (key, steps.clone())).collect(),
        };
        if fingerprint(&fleet, (home, vault), shard, &deeds) != checksum {
            return Err(NotAPlan::Altered);
        }
        Ok(Self {
            fleet,
            home,
            vault,
            sandbox,
            reissue,
            remove_foreign,
            partial,
            shard,
            tenants,
            checksum,
            apps,
        })
    }

    /// The checksum.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// The part of the manifest that it is about.
    pub fn scope(&self, manifest: &Manifest) -> Scope {
        if !self.partial {
            return Scope::all(manifest);
        }
        let mut scope = Scope::of(manifest, self.tenants.keys().cloned().collect());
        // Of a shard also the shared apps that nobody uses yet.
        scope.apps.extend(self.apps.keys().cloned());
        scope.shard = self.shard;
        scope
    }

    /// What is not as it was when it was saved, a line each; nothing where the plan of now does the
    /// very same.
    pub fn moved(&self, now: &Plan, sandbox: bool) -> Vec<String> {
        let mut moved = Vec::new();
        if self.sandbox != sandbox {
            let of = |sandbox| if sandbox { "the sandbox" } else { "Microsoft" };
            moved.push(format!("it was made against {}, not {}", of(self.sandbox), of(sandbox)));
        }
        if self.fleet != now.fleet {
            moved.push(format!("it is of the fleet {}, this one is {}", self.fleet, now.fleet));
        }
        if self.home != now.home {
            moved.push(format!("its home is the directory {}, now {}", self.home, now.home));
        }
        if self.vault != now.vault {
            moved.push(format!("its vault is {}, now {}", self.vault, now.vault));
        }
        for tenant in self.tenants.keys().filter(|key| !now.tenants.contains_key(*key)) {
            moved.push(format!("tenant {tenant} is not in the manifest any more"));
        }
        let Deeds { apps, tenants } = now.deeds();
        moved.extend(moves(&self.apps, &apps));
        moved.extend(moves(&self.tenants, &tenants));
        if moved.is_empty() && self.checksum != now.checksum() {
            moved.push("its checksum differs".to_owned());
        }
        moved
    }
}

/// How the steps of each moved, those of one kind of thing.
fn moves<K: Ord + fmt::Display>(
    was: &BTreeMap<K, Vec<Value>>,
    is: &BTreeMap<&K, Vec<Value>>,
) -> Vec<String> {
    let none = Vec::new();
    let keys: BTreeSet<&K> = was.keys().chain(is.keys().copied()).collect();
    keys.into_iter()
        .flat_map(|key| {
            let (was, is) = (was.get(key).unwrap_or(&none), is.get(key).unwrap_or(&none));
            difference(was, is).into_iter().map(move |what| format!("{key}: {what}"))
        })
        .collect()
}

/// How one app's steps moved.
fn difference(was: &[Value], is: &[Value]) -> Vec<String> {
    if was == is {
        return Vec::new();
    }
    let kind = |step: &Value| step["kind"].as_str().unwrap_or("a step").to_owned();
    // Where all steps came or went, so did what is done in the directory.
    let counts = |step: &&Value| step["kind"] != IN_DIRECTORY || !(was.is_empty() || is.is_empty());
    let gone = was.iter().filter(|step| !is.contains(step)).filter(counts).map(&kind);
    let new: Vec<_> =
        is.iter().filter(|step| !was.contains(step)).filter(counts).map(&kind).collect();
    let mut lines = Vec::new();
    let mut differs = BTreeSet::new();
    for kind in gone {
        if new.contains(&kind) {
            differs.insert(kind.clone());
            lines.push(format!("{kind} is another than was planned"));
        } else {
            lines.push(format!("{kind} is not planned any more"));
        }
    }
    lines.extend(
        new.into_iter().filter(|k| !differs.contains(k)).map(|kind| format!("{kind} is new")),
    );
    if lines.is_empty() {
        lines.push("its steps come in another order".to_owned());
    }
    lines.truncate(MOST_NAMED);
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{
        connector::Connector,
        ids::ObjectId,
        lifetime::Lifetime,
        manifest::Layout,
        plan::{
            AppPlan,
            step::{Foreign, SecretReason, Step, Target},
        },
    };

    fn app(key: &str, steps: Vec<Step>) -> AppPlan {
        AppPlan {
            key: key.parse().unwrap(),
            display_name: key.to_owned(),
            layout: Layout::PerTenant,
            connector: Connector::GraphSecurity,
            directory: None,
            target: Target::Absent,
            steps,
            pins: BTreeMap::new(),
            diagnostics: Vec::new(),
            foreign: Foreign::default(),
        }
    }

    fn plan(apps: Vec<AppPlan>) -> Plan {
        Plan {
            fleet: "acme-soc".parse().unwrap(),
            home: TenantId::from_uuid(Uuid::from_u128(9)),
            vault: VaultId::from_uuid(Uuid::from_u128(8)),
            apps: apps.into_iter().map(|app| (app.key.clone(), app)).collect(),
            tenants: BTreeMap::new(),
            orphans: Vec::new(),
            diagnostics: Vec::new(),
            partial: false,
            shard: None,
            ahead: None,
        }
    }

    fn secret(reason: SecretReason) -> Step {
        Step::AddSecret {
            lifetime: Lifetime::new(jiff::Span::new().years(1)),
            reason,
            capped_by: None,
        }
    }

    fn restore(id: u128) -> Step {
        Step::RestoreApplication { object_id: ObjectId::from_uuid(Uuid::from_u128(id)) }
    }

    fn written(plan: &Plan) -> serde_json::Value {
        let app =
            |app: &AppPlan| json!({"key": app.key, "directory": app.directory, "steps": app.steps});
        let apps: Vec<_> = plan.apps.values().map(app).collect();
        json!({
            "formatVersion": 1, "fleet": plan.fleet, "home": plan.home, "vault": plan.vault, "sandbox": false,
            "reissue": false, "partial": false, "checksum": plan.checksum(), "apps": apps,
            "tenants": [],
        })
    }

    #[test]
    fn what_is_signed_off_is_signed_off_for_a_directory() {
        let at = |directory: u128| {
            let mut plan = plan(vec![app("a", vec![secret(SecretReason::First)])]);
            let directory = TenantId::from_uuid(Uuid::from_u128(directory));
            plan.apps.values_mut().for_each(|app| app.directory = Some(directory));
            plan
        };
        let (signed, moved) = (at(1), at(2));
        assert_ne!(signed.checksum(), moved.checksum());
        let saved = SavedPlan::parse(&written(&signed).to_string()).unwrap();
        assert_eq!(saved.moved(&signed, false), Vec::<String>::new());
        assert_eq!(saved.moved(&moved, false), ["a: its directory is another than was planned"]);
        // Where nothing is done, nothing was signed off.
        let idle = |directory| Plan { apps: BTreeMap::new(), ..at(directory) };
        assert_eq!(idle(1).checksum(), idle(2).checksum());
    }

    #[test]
    fn a_plan_is_found_again_and_each_difference_is_named() {
        let first = plan(vec![
            app("a", vec![restore(1), secret(SecretReason::First)]),
            app("b", vec![secret(SecretReason::Renewal)]),
        ]);
        let saved = SavedPlan::parse(&written(&first).to_string()).unwrap();
        assert_eq!(saved.moved(&first, false), Vec::<String>::new());
        assert_eq!(saved.moved(&first, true).len(), 1);
        for (now, said) in [
            (vec![app("a", vec![restore(1), secret(SecretReason::First)])], "b: add-secret is not"),
            (
                vec![
                    app("a", vec![restore(2), secret(SecretReason::First)]),
                    app("b", vec![secret(SecretReason::Renewal)]),
                ],
                "a: restore-application is another",
            ),
            (
                vec![
                    app("a", vec![secret(SecretReason::First), restore(1)]),
                    app("b", vec![secret(SecretReason::Renewal)]),
                ],
                "a: its steps come in another order",
            ),
            (
                vec![
                    app("a", vec![restore(1), secret(SecretReason::First)]),
                    app("b", vec![secret(SecretReason::Renewal)]),
                    app("c", vec![restore(3)]),
                ],
                "c: restore-application is new",
            ),
        ] {
            let moved = saved.moved(&plan(now), false);
            assert!(moved.len() == 1 && moved[0].starts_with(said), "{said}: {moved:?}");
        }
        // Apps without a step are no deeds.
        let mut idle = first.clone();
        idle.apps.insert("z".parse().unwrap(), app("z", Vec::new()));
        assert_eq!(saved.moved(&idle, false), Vec::<String>::new());
    }

    #[test]
    fn a_file_whose_steps_are_not_its_checksums_is_refused() {
        let first = written(&plan(vec![app("a", vec![restore(1)])]));
        let mut altered = first.clone();
        altered["apps"][0]["steps"][0]["objectId"] = json!(Uuid::from_u128(2));
        assert_eq!(SavedPlan::parse(&altered.to_string()), Err(NotAPlan::Altered));
        let mut twice = first.clone();
        let again = twice["apps"][0].clone();
        twice["apps"].as_array_mut().unwrap().push(again);
        assert!(matches!(SavedPlan::parse(&twice.to_string()), Err(NotAPlan::Foreign(_))));
        let mut formatted = first;
        formatted.sort_all_objects();
        assert!(SavedPlan::parse(&formatted.to_string()).is_ok());
    }

    #[test]
    fn a_plan_is_of_one_vault_and_of_one_shard() {
        let first = plan(vec![app("a", vec![restore(1)])]);
        let saved = SavedPlan::parse(&written(&first).to_string()).unwrap();
        let mut elsewhere = first.clone();
        elsewhere.vault = VaultId::from_uuid(Uuid::from_u128(7));
        let moved = saved.moved(&elsewhere, false);
        assert!(moved.len() == 1 && moved[0].contains("vault"), "{moved:?}");
        assert_ne!(first.checksum(), elsewhere.checksum());
        // A file that says of all apps that they are one shard's.
        let (mine, other) = ("1/2".parse::<Shard>().unwrap(), "2/2".parse::<Shard>().unwrap());
        let (own, strange) =
            if mine.holds(&"a".parse().unwrap()) { (mine, other) } else { (other, mine) };
        let mut sharded = first;
        sharded.shard = Some(strange);
        let mut forged = written(&sharded);
        forged["shard"] = json!(strange);
        assert!(matches!(SavedPlan::parse(&forged.to_string()), Err(NotAPlan::Foreign(_))));
        forged["shard"] = json!(own);
        assert_eq!(SavedPlan::parse(&forged.to_string()), Err(NotAPlan::Altered));
    }

    #[test]
    fn what_is_left_of_a_signed_plan_is_not_beyond_it() {
        let signed = plan(vec![
            app("a", vec![restore(1), secret(SecretReason::First)]),
            app("b", vec![restore(2)]),
        ]);
        let now = plan(vec![
            app("a", vec![secret(SecretReason::First)]),
            app("b", vec![restore(2), secret(SecretReason::First)]),
            app("c", Vec::new()),
        ]);
        assert_eq!(now.beyond(&signed), ["b".parse().unwrap()].into());
    }
}
