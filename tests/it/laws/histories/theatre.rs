//! The stage of a history: one fleet with every layout, the real binary, and the hands of others.

use std::{sync::atomic::AtomicU32, time::Duration};

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tenantry::sandbox::{Opened, secret_hash};

use super::{App, At, Policy, Reader, Tenant, Which, Work, cast::manifest};
use crate::{
    people::paste,
    stage::{HOME, Stage, directory, directory_mut, list},
    support::{Run, Running, VaultKind, record_in_key_vault, until},
};

/// Begins the unique name of every app of the fleet.
const OURS: &str = "tenantry-acme-soc--";

/// How long a deleted app can be restored.
const BIN: SignedDuration = SignedDuration::from_hours(24 * 30);

/// What the world shows of an app.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Every app of this key, in whatever directory.
    pub(super) live: Vec<Value>,
    /// The same in the bins.
    pub(super) binned: Vec<Value>,
    /// Whether what the vault hands out opens the app, and wherever a customer has let it in; else
    /// why not.
    pub(super) opens: Result<(), String>,
}

/// A secret that somebody added.
struct Foreign {
    client: Value,
    secret: Value,
}

/// One fleet, and what has become of it.
pub(super) struct Theatre {
    stage: Stage,
    vault: VaultKind,
    reader: Reader,
    /// The tenants that are in the manifest.
    tenants: Vec<Tenant>,
    pub(super) policy: Policy,
    foreign: Vec<Foreign>,
    /// The apps of the world that are not the fleet's.
    others: Value,
    /// What the vault hands out for each app, as far as runs of ours have changed it.
    values: [Option<String>; 4],
    /// What the last runs of ours said.
    said: String,
}

impl Theatre {
    pub(super) fn open(vault: VaultKind, reader: Reader) -> Self {
        let stage = Stage::new(&manifest(vault, reader, &Tenant::ALL));
        stage.run(&["vault", "init"]).exits(0);
        let others = others(&stage.sandbox.world());
        Self {
            stage,
            vault,
            reader,
            tenants: Tenant::ALL.to_vec(),
            policy: Policy::None,
            foreign: Vec::new(),
            others,
            values: [const { None }; 4],
            said: String::new(),
        }
    }

    /// Whether a tenant is in the manifest.
    pub(super) fn has(&self, tenant: Tenant) -> bool {
        self.tenants.contains(&tenant)
    }

    /// Whether a tenant of the manifest uses the app.
    pub(super) fn wants(&self, app: App) -> bool {
        self.tenants.iter().any(|tenant| tenant.app() == app)
    }

    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// From now on nobody sees or accepts what is new.
    pub(super) fn slow_down(&self) {
        // A world that is put has no young things: whatever is there stays in sight.
        self.stage.change_world(|_| {});
        self.stage.sandbox.set_lag(Duration::from_secs(3_600));
    }

    /// All is seen and accepted, as soon as it is there.
    pub(super) fn catch_up(&self) {
        self.stage.sandbox.set_lag(Duration::ZERO);
    }

    pub(super) fn advance(&self, duration: &str) {
        self.stage.sandbox.advance(duration).unwrap();
    }

    // What we do.

    pub(super) fn run(&mut self, work: Work) -> Option<i32> {
        let run = Running::start(self.stage.command(&work.arguments())).wait();
        self.over(&[run])[0]
    }

    pub(super) fn both(&mut self, one: Work, other: Work) -> [Option<i32>; 2] {
        let runs = [one, other].map(|work| Running::start(self.stage.command(&work.arguments())));
        let runs = runs.map(Running::wait);
        self.over(&runs).try_into().unwrap()
    }

    /// Kills a run; one that is over by then has an exit code.
    pub(super) fn killed(&mut self, work: Work, at: At) -> Option<i32> {
        let sandbox = &self.stage.sandbox;
        let mut command = self.stage.command(&work.arguments());
        sandbox.clear_requests();
        let hangs = |nth: u64, act: &str| {
            sandbox.add_faults(&json!([{"operation": "*", "nth": nth, "do": act}])).unwrap();
        };
        match at {
            At::Before(nth) => hangs(nth, "no-answer"),
            At::After(nth) => hangs(nth, "no-answer-after"),
            At::Write(nth) => {
                command.env("TENANTRY_DIE_AT_VAULT_WRITE", nth.to_string());
            }
        }
        let mut running = Running::start(command);
        // An entry names its fault when the effect, if any, is over.
        let faulted = || sandbox.requests().iter().any(|request| request["fault"].is_string());
        until("the run is over, or hangs", || running.is_over() || faulted());
        let run = running.kill();
        sandbox.clear_faults();
        let code = self.over(&[run])[0];
        if code.is_none() {
            self.forget_claims();
        }
        code
    }

    fn over(&mut self, runs: &[Run]) -> Vec<Option<i32>> {
        self.said = runs.iter().map(|run| format!("{}\n{}", run.stdout, run.stderr)).collect();
        runs.iter().map(|run| run.code).collect()
    }

    /// A killed writer's claim on a key vault dies in two minutes: here they are over.
    fn forget_claims(&self) {
        if self.vault == VaultKind::Folder {
            return;
        }
        self.stage.change_world(|world| {
            let secrets = world["keyVaults"][0]["secrets"].as_object_mut().unwrap();
            secrets.retain(|name, _| !name.contains("---lease-"));
        });
    }

    /// Asks the vault for its values: only runs of ours change them.
    pub(super) fn read_vault(&mut self) {
        let asked = App::ALL.map(|app| Running::start(self.stage.command(&["reveal", app.key()])));
        self.values = asked.map(|running| {
            let Run { code, stdout, stderr: _ } = running.wait();
            (code == Some(0)).then(|| stdout.trim_end().to_owned())
        });
    }

    /// With everybody in the manifest nothing is left to do.
    pub(super) fn nothing_is_planned(&self) {
        self.stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    }

    // What others do.

    /// Somebody with our rights adds a secret; a policy may forbid it.
    pub(super) fn add_foreign(&mut self, app: App) {
        let Some(object) = self.live(app) else { return };
        let body = json!({"passwordCredential": {"displayName": "helpdesk"}});
        let path = format!("/applications/{}/addPassword", object["id"].as_str().unwrap());
        let answer = self.stage.call(Method::POST, &path, &self.operator(app), Some(&body));
        // Tailspin has a policy of its own.
        if answer.status == 400 && (self.policy != Policy::None || app == App::Tailspin) {
            return;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let now = self.live(app).unwrap();
        let secrets = list(&now, "passwordCredentials");
        let secret = secrets.iter().find(|one| one["keyId"] == answer.body["keyId"]).unwrap();
        self.foreign.push(Foreign { client: now["appId"].clone(), secret: secret.clone() });
    }

    pub(super) fn remove_ours(&self, app: App, which: Which) {
        let Some(object) = self.live(app) else { return };
        let mut ours: Vec<_> = ours(&object).cloned().collect();
        if which == Which::Youngest {
            ours.drain(..ours.len().saturating_sub(1));
        }
        let path = format!("/applications/{}/removePassword", object["id"].as_str().unwrap());
        for secret in ours {
            let body = json!({"keyId": secret["keyId"]});
            let answer = self.stage.call(Method::POST, &path, &self.operator(app), Some(&body));
            assert_eq!(answer.status, 204, "{answer:?}");
        }
    }

    pub(super) fn delete(&self, app: App) {
        let Some(object) = self.live(app) else { return };
        let path = format!("/applications/{}", object["id"].as_str().unwrap());
        let answer = self.stage.call(Method::DELETE, &path, &self.operator(app), None);
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    pub(super) fn set(&mut self, policy: Policy) {
        self.policy = policy;
        let restriction = match policy {
            Policy::None => None,
            Policy::Days(days) => Some(json!({
                "restrictionType": "passwordLifetime", "state": "enabled",
                "maxLifetime": format!("P{days}D"),
                "restrictForAppsCreatedAfterDateTime": "2019-10-19T10:37:00Z",
            })),
            Policy::NoSecrets => {
                Some(json!({"restrictionType": "passwordAddition", "state": "enabled"}))
            }
        };
        let whole = restriction.map(|restriction| {
            json!({
                "id": "8f2c0000-0000-4000-8000-000000000001", "displayName": "House rules",
                "description": null, "isEnabled": true,
                "applicationRestrictions":
                    {"passwordCredentials": [restriction], "keyCredentials": []},
                "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
            })
        });
        self.stage.change_world(|world| {
            directory_mut(world, HOME)["policies"]["default"] = json!(whole);
        });
    }

    /// The last one stays: a manifest has tenants.
    pub(super) fn moves(&mut self, tenant: Tenant) {
        if !self.has(tenant) {
            self.tenants.push(tenant);
        } else if self.tenants.len() > 1 {
            self.tenants.retain(|one| *one != tenant);
        }
        self.write_manifest();
    }

    pub(super) fn everybody_comes_back(&mut self) {
        self.tenants = Tenant::ALL.to_vec();
        self.write_manifest();
    }

    fn write_manifest(&self) {
        let manifest = manifest(self.vault, self.reader, &self.tenants);
        std::fs::write(self.stage.path("manifest.yaml"), manifest).unwrap();
    }

    /// Into an app in its own directory a customer lets nobody: that is granted by us.
    pub(super) fn consents(&self, tenant: Tenant) {
        let Some(app) = self.live(tenant.app()) else { return };
        if tenant == Tenant::Contoso && self.reader == Reader::Analyst {
            return self.signs_in(tenant);
        }
        let lets_in = principal(&self.stage.sandbox.world(), tenant, &app).is_some();
        if tenant.app().directory() == HOME && !lets_in {
            self.stage.consent(tenant.id(), tenant.app().key());
        }
    }

    /// The administrator follows the link, and then the analyst, where they are waited for.
    fn signs_in(&self, tenant: Tenant) {
        let sandbox = &self.stage.sandbox;
        let status = Running::start(self.stage.command(&["status", "--json"])).wait();
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        let mut rows = list(&status, "tenants").iter();
        let row = rows.find(|row| row["key"] == tenant.key());
        if let Some(link) =
            row.and_then(|row| row["facets"]["consent"]["nextStep"]["link"].as_str())
        {
            sandbox.open(link);
        }
        let command = self.stage.command(&["consent", tenant.key(), "--paste"]);
        paste(command, &AtomicU32::new(0), |link| match sandbox.open(link) {
            Opened::Landed(address) => address,
            // No address: that is a sign-in that failed.
            Opened::Shown(_) | Opened::Nobody => String::new(),
        });
    }

    // What the world shows.

    /// The operator's token in an app's directory.
    fn operator(&self, app: App) -> String {
        let operator = self.stage.sandbox.operator();
        self.stage.token(app.directory(), &operator.client_id, &operator.client_secret)
    }

    fn live(&self, app: App) -> Option<Value> {
        apps(&self.stage.sandbox.world(), app, "applications").pop()
    }

    pub(super) fn see(&self, app: App) -> Seen {
        let world = self.stage.sandbox.world();
        let now = now(&world);
        let live = apps(&world, app, "applications");
        let mut binned = apps(&world, app, "deletedItems");
        binned.retain(|app| date(&app["deletedDateTime"]).is_none_or(|at| at + BIN > now));
        let opens = self.opens(&world, app, live.first());
        Seen { live, binned, opens }
    }

    fn opens(&self, world: &Value, app: App, found: Option<&Value>) -> Result<(), String> {
        let found = found.ok_or("there is no app")?;
        let position = App::ALL.iter().position(|one| *one == app).unwrap();
        let value = self.values[position].as_ref().ok_or("the vault hands out nothing")?;
        let now = now(world);
        let is_it = |secret: &&Value| secret["secretHash"] == *secret_hash(value);
        let secret = list(found, "passwordCredentials").iter().find(is_it);
        let secret = secret.ok_or("the app has no such secret as the vault hands out")?;
        if date(&secret["endDateTime"]).is_none_or(|end| end <= now) {
            return Err(format!("what the vault hands out has ended: {secret}"));
        }
        for tenant in Tenant::ALL.into_iter().filter(|tenant| tenant.app() == app) {
            if principal(world, tenant, found).is_none() {
                continue;
            }
            let client = found["appId"].as_str().unwrap();
            let answer = self.stage.ask_token(tenant.id(), client, value);
            if answer.status != 200 {
                return Err(format!("refused in {tenant:?}'s directory: {answer:?}"));
            }
        }
        Ok(())
    }

    /// Every secret of ours on an app is one that the vault knows by its key id.
    pub(super) fn all_is_known(&self, app: App, found: &Value) {
        let known = self.record(app);
        for secret in ours(found) {
            let key = secret["keyId"].as_str().unwrap();
            assert!(known.contains(key), "the vault does not know {secret} of {app:?}: {known}");
        }
    }

    /// What the vault says of an app, in clear.
    fn record(&self, app: App) -> String {
        if self.vault == VaultKind::Folder {
            let file = self.stage.path("vault").join(format!("{}.age", app.key()));
            return std::fs::read_to_string(file).unwrap();
        }
        record_in_key_vault(&self.stage.sandbox.world(), &format!("{OURS}{}", app.key()))
    }

    /// Whatever others put there, on apps of ours or beside them, is as it was.
    pub(super) fn foreign_is_untouched(&self) {
        let world = self.stage.sandbox.world();
        assert_eq!(others(&world), self.others, "apps of others");
        let all: Vec<_> = App::ALL
            .into_iter()
            .flat_map(|app| ["applications", "deletedItems"].map(|bin| apps(&world, app, bin)))
            .flatten()
            .collect();
        for Foreign { client, secret } in &self.foreign {
            // An app that lay in the bin for too long took everything with it.
            let Some(app) = all.iter().find(|app| app["appId"] == *client) else { continue };
            let secrets = list(app, "passwordCredentials");
            assert!(secrets.contains(secret), "{secret} was touched: {secrets:?}\n{}", self.said);
        }
    }
}

fn now(world: &Value) -> Timestamp {
    let ahead = world["clockAheadMs"].as_i64().unwrap();
    Timestamp::now() + SignedDuration::from_millis(ahead)
}

fn date(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The secrets on an app that carry our name, the oldest first.
fn ours(app: &Value) -> impl Iterator<Item = &Value> {
    let mut ours: Vec<_> = list(app, "passwordCredentials").iter().collect();
    ours.retain(|one| one["displayName"].as_str().is_some_and(|n| n.starts_with("tenantry ")));
    ours.sort_by_key(|one| date(&one["startDateTime"]));
    ours.into_iter()
}

fn is_ours(app: &Value) -> bool {
    app["uniqueName"].as_str().is_some_and(|name| name.starts_with(OURS))
        || list(app, "tags").iter().any(|tag| tag == "tenantry:fleet=acme-soc")
}

/// The apps of this key in all directories: those that live, or those in the bins.
fn apps(world: &Value, app: App, table: &str) -> Vec<Value> {
    let (name, mark) = (format!("{OURS}{}", app.key()), format!("tenantry:app={}", app.key()));
    let all = list(world, "directories").iter().flat_map(|one| list(one, table));
    let all = all.filter(|one| is_app(one));
    all.filter(|one| one["uniqueName"] == *name || list(one, "tags").iter().any(|t| *t == *mark))
        .cloned()
        .collect()
}

/// Every directory's apps that are not the fleet's, live and in the bin.
fn others(world: &Value) -> Value {
    let of = |one: &Value, table: &str| -> Vec<Value> {
        let all = list(one, table).iter();
        all.filter(|one| one["appId"].is_string() && !is_ours(one) && is_app(one))
            .cloned()
            .collect()
    };
    let directories = list(world, "directories").iter();
    directories
        .map(|one| json!([one["id"], of(one, "applications"), of(one, "deletedItems")]))
        .collect()
}

fn is_app(one: &Value) -> bool {
    one["@odata.type"] != "#microsoft.graph.servicePrincipal"
}

/// The service principal of an app in a tenant's directory.
fn principal<'w>(world: &'w Value, tenant: Tenant, app: &Value) -> Option<&'w Value> {
    let principals = list(directory(world, tenant.id()), "servicePrincipals");
    principals.iter().find(|one| one["appId"] == app["appId"])
}
