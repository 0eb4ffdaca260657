//! What most verbs need: the manifest, the cloud, the way out, the operator, the vault.

use std::{
    collections::BTreeMap,
    fs::File,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::OnceCell;

use super::{Common, output};
use crate::{
    cloud::{Cloud, CloudName},
    entra::{self, Issuers, Operator},
    event::{Event, Events, Stamped},
    failure::Failure,
    http::{Network, NetworkOptions, Notice, Trust},
    ids::{FleetName, TenantId},
    manifest::{
        self, DirectoryName, LoadError, Manifest, OperatorCustomers, Source, VaultLocation,
        select::Selection,
    },
    plan::Scope,
    report::{
        ci,
        error::Trouble,
        file::{self, Kind},
        paper::clean,
        progress::Progress,
    },
    sandbox::{self, NewDirectory, Sandbox},
    stop::Stop,
    vault::{Keeping, KeySource, KeyVaultAccess, Vault, VaultError},
    verdict::Verdict,
};

/// The width of what is printed on stdout; 80 where it is no terminal, so that files and pipes are
/// the same everywhere.
pub(super) fn stdout_width() -> usize {
    width(&console::Term::stdout())
}

/// The width of what is printed on stderr.
pub(super) fn stderr_width() -> usize {
    width(&console::Term::stderr())
}

fn width(terminal: &console::Term) -> usize {
    terminal.size_checked().map_or(80, |(_, columns)| usize::from(columns))
}

/// The sources that `-f` names.
pub(super) fn sources(common: &Common) -> Vec<Source> {
    common.manifest.iter().cloned().map(Source::from).collect()
}

/// Why there is no manifest, as the user sees it.
pub(super) fn no_manifest(common: &Common, error: &LoadError) -> Trouble {
    match error {
        LoadError::Unreadable { error: why, hint, .. } => {
            // A file that is not there was named wrongly, or the folder is the wrong one.
            let verdict = match why.kind() {
                std::io::ErrorKind::NotFound => Verdict::Usage,
                _ => Verdict::Failed,
            };
            let trouble = Trouble::new(verdict, error.to_string());
            match hint {
                Some(hint) => trouble.next(hint),
                None => trouble,
            }
        }
        LoadError::Mistakes(mistakes) => {
            if common.json {
                output::print_json(&mistakes.to_json());
            }
            Trouble::of_manifest(mistakes)
        }
    }
}

/// The part of the manifest that `--tenant` and `--label` choose.
pub(super) fn scope(common: &Common, manifest: &Manifest) -> Result<Scope, Trouble> {
    let selection = Selection::new(&common.tenant, &common.label)
        .map_err(|why| Trouble::new(Verdict::Usage, why))?;
    let within = |scope: Scope| match common.shard {
        Some(shard) => scope.within(manifest, shard),
        None => scope,
    };
    if selection.is_everything() {
        return Ok(within(Scope::all(manifest)));
    }
    let unmatched = selection.unmatched(manifest);
    if !unmatched.is_empty() {
        return Err(Trouble::new(
            Verdict::Usage,
            format!("no tenant of the manifest answers to {}", unmatched.join(", ")),
        )
        .next("the keys are those under `tenants` in the manifest"));
    }
    let tenants = manifest
        .tenants
        .values()
        .filter(|tenant| selection.matches(tenant))
        .map(|tenant| tenant.key.clone())
        .collect();
    Ok(within(Scope::of(manifest, tenants)))
}

/// What most verbs need.
pub(super) struct Context {
    pub(super) common: Common,
    pub(super) manifest: Manifest,
    pub(super) scope: Scope,
    pub(super) cloud: Cloud,
    pub(super) network: Network,
    /// Who issues tokens to this process.
    pub(super) issuers: Issuers,
    pub(super) progress: Progress,
    pub(super) stop: Stop,
    pub(super) events: Events,
    pub(super) heard: tokio::sync::mpsc::UnboundedReceiver<Stamped>,
    /// Chosen once; a key vault and Graph are asked by the same.
    operator: OnceCell<Operator>,
    sandbox: Option<Boxed>,
}

/// The sandbox that a command runs in.
pub(super) struct Boxed {
    pub(super) server: Sandbox,
    folder: PathBuf,
    /// Two commands on one world would each undo what the other did.
    _turn: File,
}

impl Context {
    /// Reads the manifest, then makes ready whatever the command talks to. Nothing is contacted
    /// while the manifest is wrong.
    pub(super) async fn open(common: Common) -> Result<Self, Trouble> {
        if let Some(report) = &common.report {
            Kind::of(report).map_err(|why| Trouble::new(Verdict::Usage, why))?;
        }
        let manifest = manifest::load(&sources(&common)).map_err(|e| no_manifest(&common, &e))?;
        common.ending.of_fleet(&manifest.fleet, common.sandbox);
        common.ending.annotate(ci::of_notices(&manifest));
        let scope = scope(&common, &manifest)?;
        let stop = Stop::listen().map_err(|error| {
            Trouble::new(Verdict::Failed, format!("cannot listen to signals: {error}"))
        })?;
        let progress = Progress::new(!common.quiet && !common.json);
        let boxed = if common.sandbox {
            Some(Boxed::start(&common, &manifest.folder, &directories(&manifest), &progress).await?)
        } else {
            None
        };
        let cloud = match &boxed {
            Some(boxed) => boxed.cloud()?,
            None => chosen_cloud(common.cloud.as_deref(), Some(manifest.home.cloud))?,
        };
        let (events, heard) = Events::channel();
        let throttled = events.clone();
        let network = network(&common, boxed.as_ref(), &progress, move |directory, seconds| {
            throttled.say(Event::Throttled { directory, seconds });
        })?;
        common.ending.of_fleet(&manifest.fleet, boxed.is_some() || cloud.sandbox);
        banner(&progress, boxed.as_ref(), &cloud);
        Ok(Self {
            common,
            manifest,
            scope,
            cloud,
            issuers: Issuers::of_this_process(&network),
            network,
            progress,
            stop,
            events,
            heard,
            operator: OnceCell::new(),
            sandbox: boxed,
        })
    }

    /// Who acts.
    pub(super) async fn operator(&self) -> Result<Operator, Trouble> {
        let choose = || async {
            let Self { network, cloud, common, .. } = self;
            let operator = choose_operator(network, cloud, self.sandbox.as_ref(), common).await?;
            match (self.manifest.operator, &self.sandbox) {
                // A whole command in a sandbox has one operator, who takes nothing from outside.
                (OperatorCustomers::App, _) | (OperatorCustomers::Cli, Some(_)) => Ok(operator),
                (OperatorCustomers::Cli, None) => {
                    let reaching =
                        async { operator.reaching_customers_by_cli(self.home().await?).await };
                    let no_way =
                        |why| Trouble::of("customers' directories cannot be reached", &why);
                    reaching.await.map_err(no_way)
                }
            }
        };
        self.operator.get_or_try_init(choose).await.cloned()
    }

    /// The fleet's vault; made on the way in the sandbox, whose vault is nobody's loss.
    pub(super) async fn vault(&self) -> Result<Vault, Trouble> {
        let keeping = self.keeping().await?;
        let fleet = &self.manifest.fleet;
        let opened = match &self.sandbox {
            Some(_) => Vault::open_or_init(&keeping, fleet).await,
            None => Vault::open(&keeping, fleet).await,
        };
        let vault = opened.map_err(|error| vault_trouble("the vault cannot be opened", &error))?;
        // A passphrase is asked for now, before anything else is on the screen. Without a key a run
        // goes on: it can write, and says of what it cannot read that it is unknown.
        let _ = vault.unlock().await;
        Ok(vault.of_shard(self.scope.shard))
    }

    /// Where the fleet's vault is, and what it takes to get in. A key vault is entered with the
    /// operator's own identity.
    pub(super) async fn keeping(&self) -> Result<Keeping, Trouble> {
        if let Some(boxed) = &self.sandbox {
            // A vault is one fleet's, and several manifests may share this folder.
            let folder = boxed.folder.join("vault").join(self.manifest.fleet.as_str());
            return Ok(Keeping::folder(folder, KeySource::folder(boxed.folder.join("key"))));
        }
        self.keeping_at(&self.manifest.vault).await
    }

    /// The same of any place.
    pub(super) async fn keeping_at(&self, place: &VaultLocation) -> Result<Keeping, Trouble> {
        match place {
            VaultLocation::Folder(path) => Ok(Keeping::folder(path, self.keys())),
            VaultLocation::KeyVault(url) => {
                let no_way =
                    |failure: Failure| Trouble::of("the key vault cannot be asked", &failure);
                let home = self.home().await.map_err(no_way)?;
                let credential = self.operator().await?.credential(home).map_err(no_way)?;
                Ok(Keeping::KeyVault(KeyVaultAccess {
                    network: self.network.clone(),
                    url: self.cloud.key_vault(url),
                    credential,
                    scope: self.cloud.key_vault_scope(),
                    login: self.cloud.login.clone(),
                }))
            }
        }
    }

    /// The provider's own directory.
    pub(super) async fn home(&self) -> Result<TenantId, Failure> {
        directory(&self.network, &self.cloud, &self.manifest.home.tenant).await
    }

    /// The operator's key; a passphrase is asked for only where somebody can be asked.
    fn keys(&self) -> KeySource {
        KeySource::of_operator(self.may_ask().then_some(super::vault::ask_passphrase as _))
    }

    /// Whether the whole command plays in a sandbox of its own.
    pub(super) fn is_boxed(&self) -> bool {
        self.sandbox.is_some()
    }

    /// Whether anything here is the sandbox's.
    pub(super) fn is_sandbox(&self) -> bool {
        self.sandbox.is_some() || self.cloud.sandbox
    }

    /// The world whose people open links, where a whole command plays in one.
    pub(super) fn people(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref().map(|boxed| &boxed.server)
    }

    /// Whether questions may be asked.
    pub(super) fn may_ask(&self) -> bool {
        !self.common.no_input && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Writes the report that was asked for, if one was.
    pub(super) fn report(&self, write: impl FnOnce(Kind) -> String) -> Result<(), Trouble> {
        report(&self.common, write)
    }

    /// Stops the sandbox in an orderly way, where there is one.
    pub(super) async fn close(self) {
        if let Some(boxed) = self.sandbox {
            boxed.server.stop().await;
        }
    }
}

/// Writes the report that was asked for, if one was.
pub(super) fn report(common: &Common, write: impl FnOnce(Kind) -> String) -> Result<(), Trouble> {
    let Some(path) = &common.report else { return Ok(()) };
    let kind = Kind::of(path).map_err(|why| Trouble::new(Verdict::Usage, why))?;
    let text = write(kind);
    let saved = file::save(path, &text).map_err(|error| {
        Trouble::new(Verdict::Failed, format!("the report {} was not written", path.display()))
            .why(error.to_string())
    });
    common.ending.reported(kind, text);
    saved
}

/// A vault's error as the user meets it.
pub(super) fn vault_trouble(doing: &str, error: &VaultError) -> Trouble {
    let verdict = match error.severity() {
        crate::vault::Severity::Guard => Verdict::Guarded,
        crate::vault::Severity::MayNot => Verdict::MayNot,
        crate::vault::Severity::Failed => Verdict::Failed,
        crate::vault::Severity::Usage => Verdict::Usage,
    };
    let trouble = Trouble::new(verdict, doing).why(error.to_string());
    match error.hint() {
        Some(hint) => trouble.next(hint),
        None => trouble,
    }
}

/// Says that nothing here is real, where it is so: always, because whoever takes the sandbox's
/// results for real ones is worse off than with one line too many.
pub(super) fn banner(progress: &Progress, boxed: Option<&Boxed>, cloud: &Cloud) {
    match boxed {
        Some(boxed) => progress.say(&format!(
            "sandbox: Microsoft in a box on {}, nothing leaves this machine\n\n",
            boxed.server.base_url()
        )),
        None if cloud.sandbox => {
            progress.say(&format!("sandbox: Microsoft in a box on {}\n", cloud.graph));
        }
        None => {}
    }
}

/// Who acts.
pub(super) async fn choose_operator(
    network: &Network,
    cloud: &Cloud,
    boxed: Option<&Boxed>,
    common: &Common,
) -> Result<Operator, Trouble> {
    let Some(boxed) = boxed else {
        return Operator::choose(network, cloud, common.auth)
            .await
            .map_err(|failure| Trouble::of("the operator cannot sign in", &failure));
    };
    let operator = boxed.server.operator();
    let client = operator
        .client_id
        .parse()
        .map_err(|_| Trouble::new(Verdict::Failed, "the sandbox's operator has no client id"))?;
    let secret = crate::secret::Secret::new(operator.client_secret);
    Ok(Operator::sandbox(network, cloud, client, secret))
}

/// A directory's id, by its name.
pub(super) async fn directory(
    network: &Network,
    cloud: &Cloud,
    name: &DirectoryName,
) -> Result<TenantId, Failure> {
    match name {
        DirectoryName::Id(id) => Ok(*id),
        DirectoryName::Domain(domain) => Ok(entra::discover(network, cloud, domain).await?.tenant),
    }
}

/// The cloud that `--cloud` names, or the manifest, where there is one: the two must agree.
pub(super) fn chosen_cloud(
    wanted: Option<&str>,
    manifest: Option<CloudName>,
) -> Result<Cloud, Trouble> {
    let Some(wanted) = wanted else {
        return Ok(Cloud::built_in(manifest.unwrap_or(CloudName::Global)));
    };
    if let Ok(name) = wanted.parse::<CloudName>() {
        return match manifest.filter(|said| *said != name) {
            None => Ok(Cloud::built_in(name)),
            Some(said) => Err(Trouble::new(
                Verdict::Usage,
                format!("--cloud {name}, but the manifest says {said}"),
            )
            .next("one of them is wrong: an app of one cloud means nothing in another")),
        };
    }
    let wrong = |why: String| {
        Trouble::new(Verdict::Usage, format!("--cloud {wanted}: {why}")).next(format!(
            "give a cloud's name ({}), or a file with login, graph, defender, portal, vault",
            CloudName::ALL.map(CloudName::as_str).join(", ")
        ))
    };
    let text = std::fs::read_to_string(wanted).map_err(|error| wrong(error.to_string()))?;
    Cloud::from_file_text(&text).map_err(wrong)
}

/// The way out; `throttled` is told when a directory lets us wait, and how many seconds.
pub(super) fn network(
    common: &Common,
    boxed: Option<&Boxed>,
    progress: &Progress,
    throttled: impl Fn(Option<TenantId>, u64) + Send + Sync + 'static,
) -> Result<Network, Trouble> {
    let trust = match boxed {
        Some(boxed) => Trust::Sandbox { ca_pem: boxed.server.ca_pem().to_owned() },
        None => Trust::System,
    };
    let (progress, verbose) = (progress.clone(), common.verbose);
    Network::new(NetworkOptions {
        trust,
        call_limit: common.timeout,
        verbosity: verbose,
        notices: Arc::new(move |notice| match notice {
            Notice::Throttled { directory, wait, service: _ } => {
                throttled(directory, wait.as_secs().max(1));
            }
            Notice::Retrying { service, method, path, why, attempt, wait, directory: _ } => {
                if verbose > 1 {
                    progress.say(&clean_line(&format!(
                        "again   {method} {path} ({service}), try {attempt} in {:.1} s: {why}",
                        wait.as_secs_f32()
                    )));
                }
            }
            Notice::Traffic { service: _, method, host, path, status, request_id, took } => {
                let status = status.map_or_else(|| "no answer".to_owned(), |s| s.to_string());
                let request = request_id.map_or_else(String::new, |id| format!(" request {id}"));
                progress.say(&clean_line(&format!(
                    "{status} {method} {host}{path} {} ms{request}",
                    took.as_millis()
                )));
            }
        }),
    })
    .map_err(|failure| Trouble::of("no secure connections can be made", &failure))
}

fn clean_line(text: &str) -> String {
    format!("{}\n", clean(text))
}

impl Boxed {
    /// Starts it for a manifest in this folder, in a world that has these directories.
    pub(super) async fn start(
        common: &Common,
        manifest_folder: &Path,
        directories: &[NewDirectory],
        progress: &Progress,
    ) -> Result<Self, Trouble> {
        let folder = kept_in(manifest_folder);
        let trouble = |error: String| {
            Trouble::new(Verdict::Failed, "the sandbox did not start").why(error).next(format!(
                "it keeps everything in {}: that folder must be writable",
                folder.display()
            ))
        };
        std::fs::create_dir_all(&folder).map_err(|error| trouble(error.to_string()))?;
        let turn =
            turn(&folder.join("lock"), progress).await.map_err(|e| trouble(e.to_string()))?;
        let world = match &common.world {
            Some(path) => Some(read_world(path).map_err(trouble)?),
            None => None,
        };
        let options = sandbox::Options {
            dir: Some(folder.join("world")),
            world,
            ..sandbox::Options::default()
        };
        let server = Sandbox::start(options).await.map_err(|error| trouble(error.to_string()))?;
        server.ensure_directories(directories).map_err(|error| trouble(error.to_string()))?;
        Ok(Self { server, folder, _turn: turn })
    }

    /// Its endpoints.
    pub(super) fn cloud(&self) -> Result<Cloud, Trouble> {
        Cloud::from_file_text(&self.server.cloud_yaml())
            .map_err(|why| Trouble::new(Verdict::Failed, format!("the sandbox's endpoints: {why}")))
    }
}

/// Where `--sandbox` keeps everything, beside a manifest.
fn kept_in(manifest_folder: &Path) -> PathBuf {
    manifest_folder.join(".tenantry").join("sandbox")
}

/// The same, told from the command line alone: a manifest that is wrong does not hinder a reset.
pub(super) fn sandbox_folder(common: &Common) -> PathBuf {
    let named = common.manifest.first().map_or(Path::new("."), PathBuf::as_path);
    let folder = if named.is_dir() { named } else { named.parent().unwrap_or(named) };
    kept_in(folder)
}

/// A world from a file that the user names.
pub(super) fn read_world(path: &Path) -> Result<serde_json::Value, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Waits until no other command plays in the same box.
async fn turn(path: &Path, progress: &Progress) -> std::io::Result<File> {
    let file = File::create(path)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        if !told {
            progress.say("waiting: another command uses this sandbox\n");
            told = true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// A provider's own directory, for a world that may lack it.
pub(super) fn home(tenant: &DirectoryName, fleet: &FleetName, users: Vec<String>) -> NewDirectory {
    let (id, domain) = match tenant {
        DirectoryName::Id(id) => (Some(id.to_string()), None),
        DirectoryName::Domain(domain) => (None, Some(domain.clone())),
    };
    NewDirectory { id, domain, name: fleet.to_string(), home: true, users }
}

/// The manifest's directories, for a world that may lack them.
fn directories(manifest: &Manifest) -> Vec<NewDirectory> {
    let mut analysts: BTreeMap<String, ()> = BTreeMap::new();
    for tenant in manifest.tenants.values() {
        analysts.extend(tenant.sign_in_as.clone().map(|analyst| (analyst, ())));
    }
    let home = home(&manifest.home.tenant, &manifest.fleet, analysts.into_keys().collect());
    let customers = manifest.tenants.values().map(|tenant| NewDirectory {
        id: tenant.id.map(|id| id.to_string()),
        domain: tenant.domain.clone(),
        name: tenant.name.clone(),
        home: false,
        users: tenant
            .connector
            .needs()
            .delegated
            .then(|| tenant.sign_in_as.clone())
            .flatten()
            .into_iter()
            .collect(),
    });
    std::iter::once(home).chain(customers).collect()
}
