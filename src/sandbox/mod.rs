//! Microsoft in a box: Graph, Entra ID, Defender and Key Vault on loopback, stricter than the real ones.
//!
//! Nothing here imports from the rooms of the client, so that a mistake made there cannot
//! be made here too. One listener speaks https and tells the services apart by path, or by the
//! public host that a client names; a second one serves pages to people over plain http. All
//! state is one [`world`] behind one lock; with a folder, every change is in a journal there
//! before its answer goes out.

mod certificate;
mod clock;
mod control;
mod defender;
mod engine;
mod entra;
mod faults;
mod files;
mod graph;
mod http;
mod key_vault;
pub mod odata;
mod operation;
mod pages;
mod people;
mod pipeline;
mod random;
mod requests;
mod routing;
pub mod schema;
mod server;
#[cfg(test)]
mod tests;
mod throttle;
mod tls;
mod world;

use std::{
    collections::HashSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use engine::State;
use entra::jwt::Signer;
use faults::Faults;
use key_vault::values::Values;
use pipeline::{Settle, Shared};
use requests::RequestLog;
use throttle::Throttle;
use world::{World, form::Loaded, journal::Journal, seed};

pub use clock::wait;
pub use people::Opened;
pub use random::secret_hash;

/// How a sandbox starts.
#[derive(Debug, Default)]
pub struct Options {
    /// The port of the https listener on 127.0.0.1; 0 takes any.
    pub port: u16,
    /// The folder that keeps `ca.pem`, `env`, `cloud.yaml`, `requests.jsonl` and the world;
    /// nothing keeps all in memory.
    pub dir: Option<PathBuf>,
    /// Where a world begins that the folder does not keep yet; nothing means the built-in seed.
    pub world: Option<Value>,
    /// How long every request takes at least.
    pub latency: Duration,
    /// Whether Microsoft's limits hold.
    pub throttling: Throttling,
    /// How long fresh objects, credentials and secrets stay unseen.
    pub lag: Duration,
    /// Misbehaviour from the start, as `POST /_sandbox/faults` takes it.
    pub faults: Vec<Value>,
    /// Whether requests and answers are kept whole, in memory only.
    pub recording: Recording,
}

/// Whether Microsoft's limits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Throttling {
    /// As many requests as one likes.
    #[default]
    Off,
    /// The limits of Microsoft Graph for identity and access.
    On,
}

/// Whether requests and answers are kept whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    /// Only one line a request, without bodies.
    #[default]
    Off,
    /// Headers and bodies too; they hold secrets, so they never leave memory.
    On,
}

/// Why a sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port belongs to another program.
    #[error(
        "port {0} on 127.0.0.1 is taken by another program; choose another with --port, or 0 for any"
    )]
    PortTaken(u16),
    /// Another sandbox works in the folder.
    #[error("another sandbox is running in {}", .0.display())]
    DirBusy(PathBuf),
    /// The folder, or what it keeps, cannot be used.
    #[error("the sandbox's folder {}: {source}", .dir.display())]
    Dir {
        /// The folder.
        dir: PathBuf,
        /// What went wrong there.
        source: io::Error,
    },
    /// A seed that is no world.
    #[error("the world cannot be used: {0}")]
    World(String),
    /// Faults that are none.
    #[error("the faults cannot be used: {0}")]
    Faults(String),
    /// The system refused something else.
    #[error("the sandbox cannot start: {0}")]
    Io(#[from] io::Error),
}

/// Whose credentials the sandbox hands out: an app in the home directory.
#[derive(Clone, PartialEq, Eq)]
pub struct Operator {
    /// The home directory.
    pub tenant_id: String,
    /// The client id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant_id, client_id, client_secret: _ } = self;
        f.debug_struct("Operator")
            .field("tenant_id", tenant_id)
            .field("client_id", client_id)
            .finish_non_exhaustive()
    }
}

/// A directory that must be there: see [`Sandbox::ensure_directories`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDirectory {
    /// Its tenant id; without one it is derived from the domain, always the same.
    pub id: Option<String>,
    /// Its domain.
    pub domain: Option<String>,
    /// Its display name.
    pub name: String,
    /// Whether it is the provider's own: then the operator's app is made there.
    pub home: bool,
    /// Sign-in names of users that it must have.
    pub users: Vec<String>,
}

/// A running sandbox; dropping it stops it.
pub struct Sandbox {
    shared: Arc<Shared>,
    base: String,
    pages: String,
    ca_pem: String,
    dir: Option<PathBuf>,
    secret: Arc<Mutex<String>>,
    stop: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
    _lock: Option<files::DirLock>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("base", &self.base)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts a sandbox on the current tokio runtime.
    ///
    /// # Errors
    /// When the port is taken, the folder is in use or unusable, or a seed or fault is wrong.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options { port, dir, world, latency, throttling, lag, faults, recording } = options;
        let lock = match &dir {
            Some(dir) => Some(prepare(dir)?),
            None => None,
        };
        let in_dir = |source: io::Error| match &dir {
            Some(dir) => StartError::Dir { dir: dir.clone(), source },
            None => StartError::Io(source),
        };
        let identity = tls::identity(dir.as_deref()).map_err(in_dir)?;
        let signer = signer(dir.as_deref()).map_err(in_dir)?;
        let (mut world, loaded) = load(dir.as_deref(), world)?;
        world.ensure_operator();
        let offered = dir.as_deref().and_then(|d| kept_secret(d, &world));
        let secret = world.operator_secret(offered).unwrap_or_default();
        let mut values = Values::open(dir.as_deref()).map_err(in_dir)?;
        for value in &loaded.values {
            values.keep(value).map_err(in_dir)?;
        }
        let mut issued = loaded.secrets;
        issued.push(secret.clone());
        let mut queue = Faults::default();
        queue.add(&Value::Array(faults)).map_err(StartError::Faults)?;

        let listener = server::bind(port).await.map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => StartError::PortTaken(port),
            _ => StartError::Io(e),
        })?;
        let port = listener.local_addr()?.port();
        let base = format!("https://127.0.0.1:{port}");
        let pages_listener = match server::bind(port.wrapping_add(1)).await {
            Ok(listener) => listener,
            Err(_) => server::bind(0).await?,
        };
        let pages = format!("http://127.0.0.1:{}", pages_listener.local_addr()?.port());

        let _ = world.take_changes();
        let journal = match &dir {
            Some(dir) => Some(Journal::begin(dir, &world).map_err(in_dir)?),
            None => None,
        };
        if let Some(dir) = &dir {
            let yaml = files::cloud_yaml(&base, &pages);
            files::write_public(&dir.join("cloud.yaml"), yaml.as_bytes()).map_err(in_dir)?;
            write_env(dir, &world, &secret).map_err(in_dir)?;
        }
        let state = State {
            world,
            journal,
            faults: queue,
            log: RequestLog::open(dir.as_deref()).map_err(in_dir)?,
            throttle: match throttling {
                Throttling::Off => None,
                Throttling::On => Some(Throttle::default()),
            },
            lag,
            issued,
            values,
            codes: entra::codes::Codes::default(),
            traffic: match recording {
                Recording::Off => None,
                Recording::On => Some(Vec::new()),
            },
            busy: HashSet::new(),
        };
        let secret = Arc::new(Mutex::new(secret));
        let after_put = settle(dir.clone(), Arc::clone(&secret));
        let shared = Arc::new(Shared::new(state, signer, base.clone(), latency, after_put));
        let (stop, stopped) = watch::channel(());
        let tasks = vec![
            tokio::spawn(server::serve_api(
                Arc::clone(&shared),
                listener,
                identity.server,
                stopped.clone(),
            )),
            tokio::spawn(server::serve_pages(Arc::clone(&shared), pages_listener, stopped)),
        ];
        Ok(Self {
            shared,
            base,
            pages,
            ca_pem: identity.ca_pem,
            dir,
            secret,
            stop,
            tasks,
            _lock: lock,
        })
    }

    /// `https://127.0.0.1:PORT`: the base of all services.
    pub fn base_url(&self) -> String {
        self.base.clone()
    }

    /// `http://127.0.0.1:PORT`: pages for people.
    pub fn pages_url(&self) -> String {
        self.pages.clone()
    }

    /// The certificate that clients must trust, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What `cloud.yaml` says, for `--cloud`.
    pub fn cloud_yaml(&self) -> String {
        files::cloud_yaml(&self.base, &self.pages)
    }

    /// The operator of the home directory.
    pub fn operator(&self) -> Operator {
        let state = self.shared.lock();
        let operator = state.world.operator.clone();
        let (tenant_id, client_id) =
            operator.map_or_else(Default::default, |o| (o.tenant, o.client));
        Operator {
            tenant_id,
            client_id,
            client_secret: self.secret.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Adds directories that the world lacks: people willing, Defender provisioned, portal not
    /// done. What is there already stays as it is, but for users that are missing.
    ///
    /// # Errors
    /// In words, when one has neither id nor domain, an id is no GUID, or the disk refuses.
    pub fn ensure_directories(&self, directories: &[NewDirectory]) -> Result<(), String> {
        let mut state = self.shared.lock();
        let before = state.world.operator.clone();
        for directory in directories {
            let NewDirectory { id, domain, name, home, users } = directory;
            state.world.ensure(&seed::Wanted {
                id: id.clone(),
                domain: domain.clone(),
                name: name.clone(),
                home: *home,
                users: users.clone(),
            })?;
        }
        if state.world.operator == before {
            return state.keep().map_err(|e| e.to_string());
        }
        (self.shared.after_put)(&mut state).map_err(|e| e.to_string())
    }

    /// The world as JSON, as `GET /_sandbox/world` gives it.
    pub fn world(&self) -> Value {
        self.shared.lock().world.to_json()
    }

    /// Replaces the world, as `PUT /_sandbox/world` does.
    ///
    /// # Errors
    /// In words, when it is none; the old one stays.
    pub fn put_world(&self, world: &Value) -> Result<(), String> {
        control::put_world(&self.shared, world).map(|_| ())
    }

    /// The log of requests, oldest first.
    pub fn requests(&self) -> Vec<Value> {
        self.shared.lock().log.json()
    }

    /// Forgets the log of requests.
    pub fn clear_requests(&self) {
        self.shared.lock().log.clear();
    }

    /// Adds faults, as `POST /_sandbox/faults` takes them.
    ///
    /// # Errors
    /// In words, when one is wrong; none is added then.
    pub fn add_faults(&self, faults: &Value) -> Result<(), String> {
        self.shared.lock().faults.add(faults).map(|_| ())
    }

    /// The faults that did not fire as often as they should.
    pub fn unused_faults(&self) -> Vec<Value> {
        self.shared.lock().faults.unused()
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Moves the sandbox's clock forward by an ISO 8601 duration such as `P340D`.
    ///
    /// # Errors
    /// In words, when it is none.
    pub fn advance(&self, duration: &str) -> Result<(), String> {
        let mut state = self.shared.lock();
        state.world.advance(duration)?;
        state.keep().map_err(|e| e.to_string())
    }

    /// Hands a link to the person it is for: the administrator for links of admin consent, the
    /// analyst (`login_hint`'s user) for those of the authorize endpoint. They meet the same pages
    /// as a browser.
    pub fn open(&self, link: &str) -> Opened {
        people::open(&self.shared, link)
    }

    /// Changes how long fresh things stay unseen.
    pub fn set_lag(&self, lag: Duration) {
        self.shared.lock().lag = lag;
    }

    /// Requests and answers, whole; empty unless [`Recording::On`].
    pub fn traffic(&self) -> Vec<Value> {
        self.shared.lock().traffic.clone().unwrap_or_default()
    }

    /// Every secret value that the sandbox ever issued or was seeded with.
    pub fn issued_secrets(&self) -> Vec<String> {
        self.shared.lock().issued.clone()
    }

    /// Stops: open connections are closed, the world is written whole.
    pub async fn stop(mut self) {
        let _ = self.stop.send(());
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
        // The rest is done by Drop.
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        for task in &self.tasks {
            task.abort();
        }
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        if let Some(mut journal) = state.journal.take() {
            // Where this fails the journal still holds everything.
            let _ = journal.compact(&state.world);
        }
    }
}

fn prepare(dir: &Path) -> Result<files::DirLock, StartError> {
    let in_dir = |source| StartError::Dir { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(in_dir)?;
    files::lock(dir).map_err(in_dir)?.ok_or_else(|| StartError::DirBusy(dir.to_owned()))
}

fn signer(dir: Option<&Path>) -> io::Result<Signer> {
    let Some(path) = dir.map(|d| d.join("token.key")) else {
        return Signer::generate().map(|(signer, _)| signer);
    };
    match fs::read(&path) {
        Ok(document) => Signer::from_pkcs8(&document),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let (signer, document) = Signer::generate()?;
            files::write_private(&path, &document)?;
            Ok(signer)
        }
        Err(e) => Err(e),
    }
}

fn load(dir: Option<&Path>, seed: Option<Value>) -> Result<(World, Loaded), StartError> {
    if let Some(dir) = dir {
        let kept =
            Journal::read(dir).map_err(|source| StartError::Dir { dir: dir.to_owned(), source })?;
        if let Some(kept) = kept {
            return Ok(kept);
        }
    }
    let seed = seed.unwrap_or_else(seed::built_in);
    World::from_json(&seed).map_err(StartError::World)
}

/// The operator's secret that the folder keeps, where it is the same operator's.
fn kept_secret(dir: &Path, world: &World) -> Option<String> {
    let text = fs::read_to_string(dir.join("env")).ok()?;
    let (client, secret) = files::read_env(&text)?;
    let operator = world.operator.as_ref()?;
    (operator.client == client).then_some(secret)
}

fn write_env(dir: &Path, world: &World, secret: &str) -> io::Result<()> {
    let Some(operator) = &world.operator else {
        return Ok(());
    };
    let ca = std::path::absolute(dir.join("ca.pem"))?;
    let text = files::env_file(&operator.tenant, &operator.client, secret, &ca);
    files::write_private(&dir.join("env"), text.as_bytes())
}

/// What follows when the world was replaced or its operator moved: the operator's secret is made
/// good, and everything is written whole.
fn settle(dir: Option<PathBuf>, secret: Arc<Mutex<String>>) -> Settle {
    Box::new(move |state| {
        state.world.ensure_operator();
        let mut secret = secret.lock().unwrap_or_else(PoisonError::into_inner);
        let offered = Some(secret.clone()).filter(|s| !s.is_empty());
        if let Some(good) = state.world.operator_secret(offered) {
            if !state.issued.contains(&good) {
                state.issued.push(good.clone());
            }
            *secret = good;
        }
        let _ = state.world.take_changes();
        if let Some(journal) = &mut state.journal {
            journal.compact(&state.world)?;
        }
        match &dir {
            Some(dir) => write_env(dir, &state.world, &secret),
            None => Ok(()),
        }
    })
}
