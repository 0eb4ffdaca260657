//! A stage: a sandbox as a server, a folder with a manifest and a vault, and the real binary
//! between them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tenantry::sandbox::{Options, Recording, Sandbox};
use tokio::runtime::Runtime;

/// Microsoft Graph's client id, the same everywhere.
pub(crate) const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
/// `SecurityIncident.Read.All`, the application permission on Graph.
pub(crate) const READ_INCIDENTS: &str = "45cc0394-e837-488b-a098-1918f48d186c";
/// `SecurityAlert.Read.All`, the other one that `graph-security` needs.
pub(crate) const READ_ALERTS: &str = "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5";

/// The directories of the built-in seed that tests use.
pub(crate) const HOME: &str = "6f1c0f5e-0000-4000-8000-000000000100";
pub(crate) const CONTOSO: &str = "6f1c0f5e-0000-4000-8000-000000000001";
pub(crate) const WOODGROVE: &str = "6f1c0f5e-0000-4000-8000-000000000011";
/// Customers who have let the operator in: as far as it asks, or to make apps and grant nothing.
pub(crate) const FOURTHCOFFEE: &str = "6f1c0f5e-0000-4000-8000-000000000014";
pub(crate) const NORTHWIND: &str = "6f1c0f5e-0000-4000-8000-000000000007";
pub(crate) const WINGTIP: &str = "6f1c0f5e-0000-4000-8000-000000000008";
pub(crate) const HUMONGOUS: &str = "6f1c0f5e-0000-4000-8000-000000000013";
pub(crate) const PROSEWARE: &str = "6f1c0f5e-0000-4000-8000-000000000010";

/// A manifest with both provider-side layouts and all three connectors; its apps are `adatum`,
/// `contoso`, `siem-eu` and `tailspin`, whose app lies in the bin of the seed.
pub(crate) const MANIFEST: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  displayName: "{name} SIEM MSSP Connector"
  redirectUris: ["https://{domain}/SiemMsspConnector"]
  secret: {lifetime: 1y, renewBefore: 30d, overlap: 7d}
  signInAs: soc-reader@acme-soc.example
sharedApps:
  siem-eu: {name: Acme SOC EU, redirectUris: ["https://siem.acme-soc.example/eu"]}
tenants:
  contoso: {name: Contoso, domain: contoso.example}
  tailspin: {name: Tailspin Toys, domain: tailspin.example, connector: mssp-siem}
  adatum: {name: Adatum, domain: adatum.example, connector: defender-xdr}
  woodgrove: {name: Woodgrove Bank, domain: woodgrove.example, app: siem-eu}
  lucerne: {name: Lucerne Publishing, domain: lucerne.example, app: siem-eu}
"#;

/// The manifest with one tenant and one app, `contoso`.
pub(crate) const ONE: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults: {connector: graph-security, redirectUris: ["https://{domain}/SiemMsspConnector"]}
tenants:
  contoso: {name: Contoso, domain: contoso.example}
"#;

/// How a run of the binary ended.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) arguments: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The process's arguments as the system showed them while it ran.
    pub(crate) seen_as: BTreeSet<Vec<u8>>,
}

impl Ran {
    /// Asserts the exit code, showing all there was where it is another.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "tenantry {}\n--- stdout\n{}\n--- stderr\n{}",
            self.arguments, self.stdout, self.stderr
        );
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("tenantry {}: {e}\n{}", self.arguments, self.stdout))
    }

    /// Standard output as one JSON document a line.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let line = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|e| panic!("tenantry {}: {e}\n{line}", self.arguments))
        };
        self.stdout.lines().map(line).collect()
    }

    /// The number before a word in the last paragraph of standard output; 0 where it is not there.
    pub(crate) fn counted(&self, word: &str) -> u64 {
        let text = self.stdout.trim_end();
        let last = text.rsplit("\n\n").next().unwrap_or_default().replace('\n', " ");
        let Some(at) = last.find(&format!(" {word}")) else { return 0 };
        let number: String = last[..at].chars().rev().take_while(char::is_ascii_digit).collect();
        number.chars().rev().collect::<String>().parse().unwrap_or(0)
    }
}

/// A client's answer from the sandbox.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// A sandbox, a folder, and the binary.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: TempDir,
    client: reqwest::Client,
    runtime: Runtime,
}

impl Stage {
    /// A stage with this manifest, before the built-in world.
    pub(crate) fn new(manifest: &str) -> Self {
        Self::with(manifest, Options::default())
    }

    /// A stage with a vault of its own, made by the binary.
    pub(crate) fn with_vault(manifest: &str) -> Self {
        let stage = Self::new(manifest);
        stage.run(&["vault", "init"]).exits(0);
        stage
    }

    /// A stage whose sandbox starts with these options; it keeps its world in the folder and
    /// records its traffic.
    pub(crate) fn with(manifest: &str, options: Options) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.yaml"), manifest).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let options =
            Options { dir: Some(folder.path().join("world")), recording: Recording::On, ..options };
        let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
        let ca = reqwest::Certificate::from_pem(sandbox.ca_pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { sandbox, folder, client, runtime }
    }

    /// A path within the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The binary with the operator's environment and nothing else of ours.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let operator = self.sandbox.operator();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("USER", "dana")
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("AZURE_TENANT_ID", operator.tenant_id)
            .env("AZURE_CLIENT_ID", operator.client_id)
            .env("AZURE_CLIENT_SECRET", operator.client_secret)
            .env("SSL_CERT_FILE", self.path("world").join("ca.pem"))
            .current_dir(self.folder.path())
            .args(arguments)
            .args(["-f", "manifest.yaml", "--cloud", "world/cloud.yaml", "--timeout", "5s"]);
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments), arguments)
    }

    /// Replaces the world by what `change` makes of it.
    pub(crate) fn change_world(&self, change: impl FnOnce(&mut Value)) {
        let mut world = self.sandbox.world();
        change(&mut world);
        self.sandbox.put_world(&world).unwrap();
    }

    /// The app of a key in the provider's directory.
    #[track_caller]
    pub(crate) fn app(&self, key: &str) -> Value {
        self.app_in(HOME, key)
    }

    /// The app of a key in a directory.
    #[track_caller]
    pub(crate) fn app_in(&self, tenant: &str, key: &str) -> Value {
        let world = self.sandbox.world();
        let mark = format!("tenantry:app={key}");
        list(directory(&world, tenant), "applications")
            .iter()
            .find(|app| app["tags"].as_array().is_some_and(|t| t.contains(&json!(mark))))
            .unwrap_or_else(|| panic!("no app is marked {mark}"))
            .clone()
    }

    /// Does what an administrator's consent to a `graph-security` app does: its service principal
    /// in the customer's directory, and both app roles on Graph.
    pub(crate) fn consent(&self, tenant: &str, key: &str) {
        let app = self.app(key);
        let client = app["appId"].as_str().unwrap().to_owned();
        let principal = guid(&["test principal", tenant, &client]);
        self.change_world(|world| {
            let directory = directory_mut(world, tenant);
            push(
                directory,
                "servicePrincipals",
                json!({"id": principal, "appId": client, "displayName": app["displayName"],
                       "appDisplayName": app["displayName"], "appOwnerOrganizationId": HOME,
                       "servicePrincipalType": "Application", "accountEnabled": true,
                       "servicePrincipalNames": [client], "signInAudience": "AzureADMultipleOrgs"}),
            );
            for role in [READ_INCIDENTS, READ_ALERTS] {
                assign(directory, tenant, &principal, GRAPH, role);
            }
        });
    }

    /// Gives the operator an app role of Microsoft Graph.
    pub(crate) fn empower(&self, roles: &[&str]) {
        self.assign_roles(&self.graph_roles(), roles);
    }

    /// The app roles that Microsoft Graph offers.
    fn graph_roles(&self) -> Vec<Value> {
        let path = format!("/servicePrincipals(appId='{GRAPH}')");
        let graph = self.call(Method::GET, &path, &self.operator_token(), None);
        graph.body["appRoles"].as_array().unwrap().clone()
    }

    fn assign_roles(&self, known: &[Value], roles: &[&str]) {
        let client = self.sandbox.operator().client_id;
        self.change_world(|world| {
            let home = directory_mut(world, HOME);
            let principal = principal_of(home, &client);
            for role in roles {
                let id = known
                    .iter()
                    .find(|known| known["value"] == *role)
                    .unwrap_or_else(|| panic!("Graph knows no role {role}"))["id"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                assign(home, HOME, &principal, GRAPH, &id);
            }
        });
    }

    /// Takes these of the seed's app roles from the operator.
    pub(crate) fn without(&self, rights: &[&str]) {
        const SEEDED: [&str; 6] = [
            "Application.ReadWrite.OwnedBy",
            "Application.Read.All",
            "Policy.Read.ApplicationConfiguration",
            "Organization.Read.All",
            "DelegatedAdminRelationship.Read.All",
            "CrossTenantInformation.ReadBasic.All",
        ];
        let kept: Vec<_> = SEEDED.into_iter().filter(|role| !rights.contains(role)).collect();
        // While it still may: the roles' ids are looked up with its own token.
        let known = self.graph_roles();
        self.disempower();
        self.assign_roles(&known, &kept);
    }

    /// Takes all app roles from the operator.
    pub(crate) fn disempower(&self) {
        let client = self.sandbox.operator().client_id;
        self.change_world(|world| {
            let home = directory_mut(world, HOME);
            let principal = principal_of(home, &client);
            home["appRoleAssignments"]
                .as_array_mut()
                .unwrap()
                .retain(|given| given["principalId"] != principal.as_str());
        });
    }

    /// A Graph token of an app by its client secret.
    pub(crate) fn token(&self, tenant: &str, client: &str, secret: &str) -> String {
        let answer = self.ask_token(tenant, client, secret);
        answer.body["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    /// Asks for a Graph token as an app, by its client secret.
    pub(crate) fn ask_token(&self, tenant: &str, client: &str, secret: &str) -> Answer {
        self.ask_for_tokens(
            tenant,
            &[
                ("grant_type", "client_credentials"),
                ("client_id", client),
                ("client_secret", secret),
                ("scope", "https://graph.microsoft.com/.default"),
            ],
        )
    }

    fn ask_for_tokens(&self, tenant: &str, pairs: &[(&str, &str)]) -> Answer {
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = self
            .client
            .post(format!("{}/{tenant}/oauth2/v2.0/token", self.sandbox.base_url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        self.send(request)
    }

    /// Uses a refresh token of an app, as `grant_type=refresh_token`.
    pub(crate) fn refresh(&self, tenant: &str, client: &str, secret: &str, token: &str) -> Answer {
        self.ask_for_tokens(
            tenant,
            &[
                ("grant_type", "refresh_token"),
                ("client_id", client),
                ("client_secret", secret),
                ("refresh_token", token),
            ],
        )
    }

    /// A fresh Graph token of the operator, with the roles that it holds now.
    pub(crate) fn operator_token(&self) -> String {
        let operator = self.sandbox.operator();
        self.token(&operator.tenant_id, &operator.client_id, &operator.client_secret)
    }

    /// A request to Graph v1.0; `path` begins with a slash.
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self
            .client
            .request(method, format!("{}/v1.0{path}", self.sandbox.base_url()))
            .bearer_auth(token);
        if path.contains("$count=true") || path.contains("$search") {
            request = request.header("ConsistencyLevel", "eventual");
        }
        if path.contains("(uniqueName='") {
            request = request.header("Prefer", "create-if-missing");
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.send(request)
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let bytes = response.bytes().await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            Answer { status, body }
        })
    }
}

/// The same fleet, with its vault in the sandbox's key vault.
pub(crate) fn in_key_vault(manifest: &str) -> String {
    manifest.replace("{path: vault}", "{keyVault: 'https://acme-soc.vault.azure.net'}")
}

/// A fleet on a folder, and the same on a key vault.
pub(crate) fn both_vaults(manifest: &str) -> [String; 2] {
    [manifest.to_owned(), in_key_vault(manifest)]
}

/// Runs a command to its end, looking at what the system shows of its arguments meanwhile.
pub(crate) fn finish(mut command: Command, arguments: &[&str]) -> Ran {
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let watch = Watch::over(&child);
    let output = child.wait_with_output().unwrap();
    Ran {
        arguments: arguments.join(" "),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        seen_as: watch.end(),
    }
}

/// Looks at what the system shows of a process's arguments while it runs.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<BTreeSet<Vec<u8>>>,
}

impl Watch {
    pub(crate) fn over(child: &Child) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (path, end) = (format!("/proc/{}/cmdline", child.id()), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !end.load(Ordering::Relaxed) {
                seen.extend(std::fs::read(&path).ok().filter(|bytes| !bytes.is_empty()));
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { over, thread }
    }

    pub(crate) fn end(self) -> BTreeSet<Vec<u8>> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A directory of a world, by its tenant id.
#[track_caller]
pub(crate) fn directory<'w>(world: &'w Value, tenant: &str) -> &'w Value {
    world["directories"].as_array().unwrap().iter().find(|d| d["id"] == tenant).unwrap()
}

/// A table of a directory; one that is not there is empty.
pub(crate) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[][..], Vec::as_slice)
}

/// What a client was granted in a directory: app roles and scopes, by name and in order; nothing
/// where it is not known there.
pub(crate) fn granted(world: &Value, tenant: &str, client: &str) -> Option<Vec<String>> {
    let directory = directory(world, tenant);
    let principals = list(directory, "servicePrincipals");
    let principal = principals.iter().find(|one| one["appId"] == client)?;
    let roles = list(directory, "appRoleAssignments")
        .iter()
        .filter(|one| one["principalId"] == principal["id"])
        .map(|one| one["appRoleId"].as_str().unwrap().to_owned());
    let scopes = list(directory, "oauth2PermissionGrants")
        .iter()
        .filter(|one| one["clientId"] == principal["id"] && one["consentType"] == "AllPrincipals")
        .map(|one| one["scope"].as_str().unwrap().to_owned());
    let mut all: Vec<_> = roles.chain(scopes).collect();
    all.sort();
    Some(all)
}

/// The same, to be changed.
#[track_caller]
pub(crate) fn directory_mut<'w>(world: &'w mut Value, tenant: &str) -> &'w mut Value {
    world["directories"].as_array_mut().unwrap().iter_mut().find(|d| d["id"] == tenant).unwrap()
}

fn principal_of(directory: &Value, client: &str) -> String {
    directory["servicePrincipals"]
        .as_array()
        .unwrap()
        .iter()
        .find(|principal| principal["appId"] == client)
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn push(directory: &mut Value, table: &str, row: Value) {
    if directory[table].is_null() {
        directory[table] = json!([]);
    }
    directory[table].as_array_mut().unwrap().push(row);
}

fn assign(directory: &mut Value, tenant: &str, principal: &str, resource: &str, role: &str) {
    let resource = principal_id(tenant, resource);
    push(
        directory,
        "appRoleAssignments",
        json!({"id": guid(&["test assignment", principal, role]), "principalId": principal,
               "principalType": "ServicePrincipal", "resourceId": resource, "appRoleId": role}),
    );
}

/// The object id of one of Microsoft's own services: the sandbox derives it from these words.
pub(crate) fn principal_id(tenant: &str, resource: &str) -> String {
    guid(&["servicePrincipal", tenant, resource])
}

/// A GUID that is always the same for the same words, as the sandbox makes them.
fn guid(words: &[&str]) -> String {
    let digest = Sha256::digest(words.join("\u{1f}").as_bytes());
    let mut bytes: [u8; 16] = digest[..16].try_into().unwrap();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// A file beside this repository, in the folder `shared` of any folder above it.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared").join(name))
        .find(|path| path.is_file())
}
