//! A stage for the laws: a sandbox in the test's process, a fleet in a folder, the real binary.
//!
//! Whether something worked is asked of the sandbox's world and its request log, never of the
//! program that did it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tenantry::sandbox::{Options, Sandbox, secret_hash};
use tokio::runtime::Runtime;

use crate::stage::in_key_vault;

/// How long any command may take before the test says that it hangs.
const HANGS: Duration = Duration::from_secs(120);

/// How many seconds a claim on a key vault that nobody renews stands in the way of others.
const CLAIM_LIVES: i64 = 120;

/// Where the sandboxes of all tests run.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// One sandbox, one fleet, one operator's home.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    /// The fleet's name, as the manifest has it.
    pub(crate) fleet: String,
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its exit code; nothing where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command under way.
pub(crate) struct Running {
    child: Child,
    stdout: thread::JoinHandle<String>,
    stderr: thread::JoinHandle<String>,
    line: String,
}

/// What the laws' fleets keep their values in. All of them hold in both; the folder is quicker, so
/// that the key vault is asked for by `TENANTRY_LAWS_VAULT=key-vault`, as CI does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VaultKind {
    Folder,
    KeyVault,
}

pub(crate) fn kind() -> VaultKind {
    match std::env::var("TENANTRY_LAWS_VAULT").as_deref() {
        Err(_) | Ok("folder") => VaultKind::Folder,
        Ok("key-vault") => VaultKind::KeyVault,
        Ok(other) => panic!("TENANTRY_LAWS_VAULT is {other}"),
    }
}

/// How many stages of a law work side by side: a run on a key vault mostly waits.
pub(crate) fn stages() -> usize {
    match kind() {
        VaultKind::Folder => 3,
        VaultKind::KeyVault => 8,
    }
}

/// A vault that was put aside.
pub(crate) enum Kept {
    Folder(TempDir),
    KeyVaults(Value),
}

impl Stage {
    /// A stage whose world is the sandbox's own, with a vault.
    pub(crate) fn new(manifest: &str) -> Self {
        Self::with(manifest, Options::default())
    }

    /// The same over a sandbox that is started otherwise.
    pub(crate) fn with(manifest: &str, options: Options) -> Self {
        let stage = Self::without_vault(manifest, options);
        stage.init_vault();
        stage
    }

    pub(crate) fn without_vault(manifest: &str, options: Options) -> Self {
        let folder = TempDir::new().unwrap();
        let sandbox = RUNTIME.block_on(Sandbox::start(options)).unwrap();
        for name in ["fleet", "home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("cloud.yaml"), sandbox.cloud_yaml()).unwrap();
        fs::write(folder.path().join("ca.pem"), sandbox.ca_pem()).unwrap();
        let mut stage = Self { sandbox, fleet: String::new(), folder };
        stage.write_manifest(manifest);
        stage
    }

    pub(crate) fn init_vault(&self) {
        self.run(&["vault", "init"]).expect(0);
    }

    pub(crate) fn write_manifest(&mut self, manifest: &str) {
        let manifest = match kind() {
            VaultKind::Folder => manifest.to_owned(),
            VaultKind::KeyVault => in_key_vault(manifest),
        };
        fs::write(self.manifest(), &manifest).unwrap();
        let fleet = manifest.lines().find_map(|line| line.strip_prefix("fleet: ")).unwrap();
        self.fleet = fleet.split_whitespace().next().unwrap().to_owned();
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.folder.path().join("fleet/tenantry.yaml")
    }

    pub(crate) fn vault(&self) -> PathBuf {
        self.folder.path().join("fleet/vault")
    }

    /// Puts the vault and its key, as they are now, aside.
    pub(crate) fn keep_vault(&self) -> Kept {
        match kind() {
            VaultKind::Folder => {
                let kept = TempDir::new().unwrap();
                copy(&self.vault(), &kept.path().join("vault"));
                Kept::Folder(kept)
            }
            VaultKind::KeyVault => Kept::KeyVaults(self.sandbox.world()["keyVaults"].clone()),
        }
    }

    /// The vault as it was when it was put aside. Keys stay where they are.
    pub(crate) fn put_vault(&self, kept: &Kept) {
        match kept {
            Kept::Folder(kept) => {
                let _ = fs::remove_dir_all(self.vault());
                copy(&kept.path().join("vault"), &self.vault());
            }
            Kept::KeyVaults(vaults) => self.put_key_vaults(vaults.clone()),
        }
    }

    pub(crate) fn lose_vault(&self) {
        match kind() {
            VaultKind::Folder => fs::remove_dir_all(self.vault()).unwrap(),
            VaultKind::KeyVault => {
                let mut vaults = self.sandbox.world()["keyVaults"].clone();
                vaults[0]["secrets"] = json!({});
                self.put_key_vaults(vaults);
            }
        }
    }

    /// Lets as much time pass for the claims of writers that were killed as makes them dead, and for
    /// nothing else: the next run need not wait for them.
    pub(crate) fn outlive_claims(&self) {
        if kind() == VaultKind::Folder {
            return;
        }
        let mut vaults = self.sandbox.world()["keyVaults"].clone();
        let secrets = vaults[0]["secrets"].as_object_mut().unwrap().iter_mut();
        for (_, claim) in secrets.filter(|(name, _)| name.contains("---lease-")) {
            for version in claim["versions"].as_array_mut().into_iter().flatten() {
                for moment in ["created", "updated"] {
                    version[moment] = json!(version[moment].as_i64().unwrap() - CLAIM_LIVES);
                }
            }
        }
        self.put_key_vaults(vaults);
    }

    fn put_key_vaults(&self, vaults: Value) {
        let mut world = self.sandbox.world();
        world["keyVaults"] = vaults;
        self.sandbox.put_world(&world).unwrap();
    }

    /// The binary with everything of the operator's around it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let operator = self.sandbox.operator();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        command
            .current_dir(self.folder.path().join("fleet"))
            .env_clear()
            .env("HOME", self.folder.path().join("home"))
            .env("XDG_CONFIG_HOME", self.folder.path().join("home/config"))
            .env("USER", "tester")
            .env("NO_COLOR", "1")
            .env("AZURE_TENANT_ID", operator.tenant_id)
            .env("AZURE_CLIENT_ID", operator.client_id)
            .env("AZURE_CLIENT_SECRET", operator.client_secret)
            .env("SSL_CERT_FILE", self.folder.path().join("ca.pem"))
            .args(args)
            .arg("--cloud")
            .arg(self.folder.path().join("cloud.yaml"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Running::start(self.command(args)).wait()
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    /// One apply, one app after the other.
    pub(crate) fn apply(&self) -> Run {
        self.run(&["apply", "--yes"])
    }

    pub(crate) fn plan(&self) -> Value {
        let run = self.run(&["plan", "--json"]);
        run.expect(0);
        serde_json::from_str(&run.stdout).unwrap()
    }

    pub(crate) fn reveal(&self, key: &str) -> String {
        let run = self.run(&["reveal", key]);
        run.expect(0);
        run.stdout.trim_end().to_owned()
    }

    /// The arguments of the line by which a run says how to go on, and a yes.
    pub(crate) fn only_these_again<'r>(&self, run: &'r Run) -> Vec<&'r str> {
        let mut lines = run.stdout.lines();
        lines.find(|line| *line == "Only these again:").expect(&run.stdout);
        let mut words = lines.next().unwrap().split_whitespace();
        assert_eq!(words.next(), Some("tenantry"));
        let mut args: Vec<_> = words.collect();
        // The harness names the cloud itself.
        let cloud = args.iter().position(|arg| *arg == "--cloud").unwrap();
        assert_eq!(Path::new(args.remove(cloud + 1)), self.folder.path().join("cloud.yaml"));
        args.remove(cloud);
        args.push("--yes");
        args
    }

    pub(crate) fn fault(&self, fault: Value) {
        self.sandbox.add_faults(&json!([fault])).unwrap();
    }

    /// Every fault that was given has fired.
    pub(crate) fn all_faults_fired(&self) {
        assert_eq!(self.sandbox.unused_faults(), Vec::<Value>::new());
        self.sandbox.clear_faults();
    }

    /// Requests that faults count: all but the sandbox's own control.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.sandbox.requests()
    }

    /// What was asked beside the vault: one in the cloud is asked over the same wire.
    pub(crate) fn asked_beside_the_vault(&self) -> Vec<Value> {
        let mut asked = self.asked();
        asked.retain(|request| {
            let operation = request["operation"].as_str().unwrap_or_default();
            kind() == VaultKind::Folder
                || !["vault.", "login.", "openid."].iter().any(|one| operation.starts_with(one))
        });
        asked
    }

    /// The system releases a killed writer's lock on a folder at once. Its claim on a key vault dies
    /// in two minutes: here they are over.
    pub(crate) fn the_killed_one_is_forgotten(&self) {
        if kind() == VaultKind::Folder {
            return;
        }
        let mut vaults = self.sandbox.world()["keyVaults"].clone();
        let secrets = vaults[0]["secrets"].as_object_mut().unwrap();
        // The first claim: whoever waits for it came later.
        let first = secrets
            .iter()
            .filter(|(name, _)| name.contains("---lease-"))
            .min_by_key(|(_, secret)| secret["versions"][0]["created"].as_i64())
            .map(|(name, _)| name.clone());
        secrets.remove(&first.expect("the killed one had a claim"));
        self.put_key_vaults(vaults);
    }

    pub(crate) fn graph_writes(&self) -> Vec<Value> {
        let mut writes = self.asked();
        writes.retain(|request| request["graphWrite"] == true);
        writes
    }

    /// Nothing was sent since the log was cleared that could change anything.
    pub(crate) fn no_graph_write(&self) {
        assert_eq!(self.graph_writes(), Vec::<Value>::new());
    }

    /// The provider's directory.
    pub(crate) fn home(&self) -> Value {
        home(&self.sandbox.world()).clone()
    }

    pub(crate) fn unique_name(&self, key: &str) -> String {
        format!("tenantry-{}--{key}", self.fleet)
    }

    /// The one app of this unique name.
    pub(crate) fn app(&self, key: &str) -> Value {
        let mut apps = self.apps_of(key);
        assert_eq!(apps.len(), 1, "apps of {key}");
        apps.remove(0)
    }

    /// Every app with this unique name, or with the key's tag.
    pub(crate) fn apps_of(&self, key: &str) -> Vec<Value> {
        let (name, tag) = (self.unique_name(key), format!("tenantry:app={key}"));
        let world = self.sandbox.world();
        let directories = list(&world, "directories").iter();
        let both = directories
            .flat_map(|one| list(one, "applications").iter().chain(list(one, "deletedItems")));
        both.filter(|app| {
            app["uniqueName"] == *name || list(app, "tags").iter().any(|t| *t == *tag)
        })
        .cloned()
        .collect()
    }

    /// Changes the world behind everybody's back.
    pub(crate) fn change_world(&self, change: impl FnOnce(&mut Value)) {
        let mut world = self.sandbox.world();
        change(&mut world);
        self.sandbox.put_world(&world).unwrap();
    }

    /// Changes the provider's directory behind everybody's back.
    pub(crate) fn change_home(&self, change: impl FnOnce(&mut Value)) {
        self.change_world(|world| change(home_mut(world)));
    }

    /// Changes one app behind everybody's back.
    pub(crate) fn change_app(&self, key: &str, change: impl FnOnce(&mut Value)) {
        let name = self.unique_name(key);
        self.change_home(|home| {
            let apps = home["applications"].as_array_mut().unwrap();
            change(apps.iter_mut().find(|app| app["uniqueName"] == *name).unwrap());
        });
    }

    /// One app of this key, one live secret of ours on it, and the vault has its value.
    pub(crate) fn holds(&self, key: &str) {
        let app = self.app(key);
        let ours = ours(&app);
        assert_eq!(ours.len(), 1, "secrets of ours on {key}: {app:#}");
        assert_eq!(
            ours[0]["secretHash"],
            *secret_hash(&self.reveal(key)),
            "the vault's value for {key}"
        );
    }
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let line = command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, stdout: drain(stdout), stderr: drain(stderr), line }
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Run {
        self.child.kill().unwrap();
        self.wait()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as a shell does.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn wait(mut self) -> Run {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if started.elapsed() > HANGS {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                break None;
            }
            thread::sleep(Duration::from_millis(3));
        };
        let (stdout, stderr) = (self.stdout.join().unwrap(), self.stderr.join().unwrap());
        let Some(status) = status else {
            panic!("tenantry {} hangs\n{stdout}\n{stderr}", self.line)
        };
        Run { code: status.code(), stdout, stderr }
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        let Self { stdout, stderr, .. } = self;
        assert_eq!(self.code, Some(code), "--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    /// Both streams say it somewhere.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        let Self { stdout, stderr, .. } = self;
        // What is wrapped is put together again.
        let all: Vec<_> = stdout.split_whitespace().chain(stderr.split_whitespace()).collect();
        let all = all.join(" ");
        assert!(all.contains(text), "not said: {text}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }
}

/// SIGKILL to a process that may have ended by itself meanwhile.
pub(crate) fn kill(process: u32) {
    let _ = Command::new("sh").args(["-c", &format!("kill -KILL {process}")]).status();
}

fn drain(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, name): (fs::DirEntry, OsString) = {
            let entry = entry.unwrap();
            let name = entry.file_name();
            (entry, name)
        };
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Waits until something holds; says what did not.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < HANGS, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A member that is a list; one that is not there is an empty one.
pub(crate) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[][..], Vec::as_slice)
}

pub(crate) fn home(world: &Value) -> &Value {
    list(world, "directories").iter().find(|directory| directory["home"] == true).unwrap()
}

/// A directory of a world, to be changed.
pub(crate) fn directory_mut<'w>(world: &'w mut Value, tenant: &str) -> &'w mut Value {
    let directories = world["directories"].as_array_mut().unwrap();
    directories.iter_mut().find(|directory| directory["id"] == tenant).unwrap()
}

fn home_mut(world: &mut Value) -> &mut Value {
    let directories = world["directories"].as_array_mut().unwrap();
    directories.iter_mut().find(|directory| directory["home"] == true).unwrap()
}

/// What the vault says of an app beside its values.
pub(crate) fn record(stage: &Stage, key: &str) -> String {
    match kind() {
        VaultKind::Folder => fs::read_to_string(stage.vault().join(format!("{key}.age"))).unwrap(),
        VaultKind::KeyVault => record_in_key_vault(&stage.sandbox.world(), &stage.unique_name(key)),
    }
}

/// The same of a world's key vault, where it stands in the tags of the secret of that name.
pub(crate) fn record_in_key_vault(world: &Value, name: &str) -> String {
    let newest = list(&world["keyVaults"][0]["secrets"][name], "versions").last().unwrap();
    let mut pieces: Vec<_> = newest["tags"].as_object().unwrap().iter().collect();
    pieces.retain(|(name, _)| name.starts_with("record-"));
    pieces.sort_by_key(|(name, _)| name.as_str());
    pieces.iter().map(|(_, piece)| piece.as_str().unwrap()).collect()
}

/// The secrets on an app that carry our name.
pub(crate) fn ours(app: &Value) -> Vec<&Value> {
    list(app, "passwordCredentials")
        .iter()
        .filter(|secret| secret["displayName"].as_str().is_some_and(|n| n.starts_with("tenantry ")))
        .collect()
}

/// A world in which what two runs may choose differently is the same: ids, times and values of
/// apps with a unique name, and the order of tables.
pub(crate) fn normal(world: &Value) -> Value {
    let mut world = world.clone();
    let directories = world["directories"].as_array_mut().unwrap();
    for directory in directories {
        for name in ["applications", "deletedItems"] {
            let Some(apps) = directory[name].as_array_mut() else { continue };
            for app in apps.iter_mut() {
                if app["uniqueName"].is_string() {
                    blank(app.as_object_mut().unwrap(), &["id", "appId", "createdDateTime"]);
                }
                let Some(secrets) = app["passwordCredentials"].as_array_mut() else { continue };
                for secret in secrets {
                    if secret["displayName"].as_str().is_some_and(|n| n.starts_with("tenantry ")) {
                        blank(
                            secret.as_object_mut().unwrap(),
                            &[
                                "keyId",
                                "displayName",
                                "hint",
                                "secretHash",
                                "startDateTime",
                                "endDateTime",
                            ],
                        );
                    }
                }
            }
            apps.sort_by_key(Value::to_string);
        }
        same_grants(directory);
    }
    world
}

/// Service principals and what they were granted, by whom they belong to: ids of both are chosen
/// anew in every run.
fn same_grants(directory: &mut Value) {
    let names: BTreeMap<String, Value> = list(directory, "servicePrincipals")
        .iter()
        .map(|one| (one["id"].as_str().unwrap().to_owned(), one["displayName"].clone()))
        .collect();
    let name = |id: &Value| names.get(id.as_str().unwrap_or_default()).unwrap_or(id).clone();
    for (table, whose) in
        [("oauth2PermissionGrants", "clientId"), ("appRoleAssignments", "principalId")]
    {
        let Some(rows) = directory[table].as_array_mut() else { continue };
        for row in rows.iter_mut() {
            row[whose] = name(&row[whose]);
            blank(row.as_object_mut().unwrap(), &["id", "createdDateTime"]);
        }
        rows.sort_by_key(Value::to_string);
    }
    let Some(rows) = directory["servicePrincipals"].as_array_mut() else { return };
    for row in rows.iter_mut() {
        blank(row.as_object_mut().unwrap(), &["id", "appId", "servicePrincipalNames"]);
    }
    rows.sort_by_key(Value::to_string);
}

fn blank(object: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        if let Some(value) = object.get_mut(*name) {
            *value = json!(format!("any {name}"));
        }
    }
}
