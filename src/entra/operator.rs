//! Who runs tenantry, as far as Microsoft is concerned: all ways to sign in, by `azure_identity`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use azure_core::credentials::TokenCredential;
use serde::Serialize;
use uuid::Uuid;

use super::{
    claims::Claims,
    pinned::Pinned,
    recipe::{Recipe, Surroundings},
};
use crate::{
    cloud::Cloud,
    failure::{Cause, Failure},
    http::{Network, Trust, failure_of},
    ids::{ClientId, TenantId},
    secret::Secret,
};

/// How the operator signs in (`--auth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum AuthMode {
    /// The first of the others whose prerequisites are there
    #[default]
    Auto,
    /// AZURE_CLIENT_ID and AZURE_CLIENT_SECRET
    Environment,
    /// AZURE_CLIENT_ID and the token in AZURE_FEDERATED_TOKEN_FILE
    WorkloadIdentity,
    /// The service connection of an Azure Pipelines job
    AzurePipelines,
    /// The OIDC token of a GitHub Actions job, for AZURE_CLIENT_ID
    GithubOidc,
    /// The identity of the machine or app service
    ManagedIdentity,
    /// Whoever is signed in to `az`
    AzureCli,
    /// Whoever is signed in to `azd`
    AzureDeveloperCli,
}

/// A way to sign in that was taken, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The sandbox's own operator.
    Sandbox,
    /// A client secret in the environment.
    Environment,
    /// A federated token in a file.
    WorkloadIdentity,
    /// A service connection of Azure Pipelines.
    AzurePipelines,
    /// An OIDC token of GitHub Actions.
    GithubOidc,
    /// A managed identity.
    ManagedIdentity,
    /// Azure CLI.
    AzureCli,
    /// Azure Developer CLI.
    AzureDeveloperCli,
}

impl Way {
    /// The order in which `auto` looks.
    pub const AUTO: [Self; 7] = [
        Self::Environment,
        Self::WorkloadIdentity,
        Self::AzurePipelines,
        Self::GithubOidc,
        Self::ManagedIdentity,
        Self::AzureCli,
        Self::AzureDeveloperCli,
    ];

    /// The word after `--auth`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Environment => "environment",
            Self::WorkloadIdentity => "workload-identity",
            Self::AzurePipelines => "azure-pipelines",
            Self::GithubOidc => "github-oidc",
            Self::ManagedIdentity => "managed-identity",
            Self::AzureCli => "azure-cli",
            Self::AzureDeveloperCli => "azure-developer-cli",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AuthMode {
    /// The ways it allows, in order.
    fn ways(self) -> &'static [Way] {
        match self {
            Self::Auto => &Way::AUTO,
            Self::Environment => &[Way::Environment],
            Self::WorkloadIdentity => &[Way::WorkloadIdentity],
            Self::AzurePipelines => &[Way::AzurePipelines],
            Self::GithubOidc => &[Way::GithubOidc],
            Self::ManagedIdentity => &[Way::ManagedIdentity],
            Self::AzureCli => &[Way::AzureCli],
            Self::AzureDeveloperCli => &[Way::AzureDeveloperCli],
        }
    }
}

/// A way to sign in that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Which.
    pub way: Way,
    /// Why not, in a few words.
    pub why_not: String,
}

/// Who a token says that we are. Read from the token, not verified: only to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The directory that was signed in to.
    pub directory: TenantId,
    /// Whether it is a person.
    pub kind: IdentityKind,
    /// The app that signed in, or the tool through which the person did.
    pub client_id: Option<ClientId>,
    /// The object id of the person or of the app's service principal: what an owner is named by.
    pub object_id: Option<Uuid>,
    /// The person's user name, or the app's display name.
    pub name: Option<String>,
    /// What an app may do (`roles`).
    pub roles: BTreeSet<String>,
    /// What a tool may do for a person (`scp`).
    pub scopes: BTreeSet<String>,
}

impl fmt::Display for Identity {
    /// `Tenantry operator (app 0b6d…, object 5d31…)`: enough to find it in Entra ID.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            IdentityKind::App => "app",
            IdentityKind::Person => "person, through app",
        };
        f.write_str(self.name.as_deref().unwrap_or("nameless"))?;
        let client = self.client_id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        write!(f, " ({kind} {client}")?;
        if let Some(object) = self.object_id {
            write!(f, ", object {object}")?;
        }
        f.write_str(")")
    }
}

/// Whether someone signed in, or something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityKind {
    /// A service principal or a managed identity.
    App,
    /// A person, through a command-line tool.
    Person,
}

/// Who runs tenantry: one way to sign in, for as many directories as are asked for.
#[derive(Clone)]
pub struct Operator(Arc<Inner>);

/// How directories other than the provider's are reached.
#[derive(Clone, Copy)]
enum Customers {
    /// In the same way: the operator's own app is known there.
    AsHome,
    /// By the session of Azure CLI there.
    Cli { home: TenantId },
}

struct Inner {
    network: Network,
    cloud: Cloud,
    way: Way,
    attempts: Vec<Attempt>,
    recipe: Recipe,
    customers: Customers,
    credentials: Mutex<BTreeMap<TenantId, Arc<dyn TokenCredential>>>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("way", &self.0.way).finish_non_exhaustive()
    }
}

impl Operator {
    /// Chooses how to sign in, by what this process finds around it. Nobody is signed in yet.
    ///
    /// # Errors
    /// [`Cause::SignIn`] where what the mode needs is not there, with what is missing.
    pub async fn choose(network: &Network, cloud: &Cloud, mode: AuthMode) -> Result<Self, Failure> {
        Self::choose_from(network, cloud, mode, &Surroundings::of_this_process()).await
    }

    pub(super) async fn choose_from(
        network: &Network,
        cloud: &Cloud,
        mode: AuthMode,
        around: &Surroundings,
    ) -> Result<Self, Failure> {
        if let Trust::Sandbox { .. } = network.trust() {
            return Err(Failure::new(
                Cause::Guard,
                "the sandbox has an operator of its own and takes no other",
            ));
        }
        let mut attempts = Vec::new();
        let mut taken = None;
        for way in mode.ways().iter().copied() {
            let why_not = match taken {
                Some((first, _)) => format!("{first} comes before it"),
                None => match Recipe::find(way, mode, around).await {
                    Ok(recipe) => {
                        taken = Some((way, recipe));
                        continue;
                    }
                    Err(why_not) => why_not,
                },
            };
            attempts.push(Attempt { way, why_not });
        }
        let Some((way, recipe)) = taken else {
            let reasons: Vec<_> =
                attempts.iter().map(|a| format!("{}: {}", a.way, a.why_not)).collect();
            return Err(Failure::new(
                Cause::SignIn,
                format!("no way to sign in was found ({})", reasons.join("; ")),
            )
            .hint(
                "Run `az login`, or set AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; `--auth` names \
                 one way.",
            ));
        };
        Ok(Self::with(network, cloud, way, recipe, attempts))
    }

    /// The sandbox's operator.
    pub fn sandbox(
        network: &Network,
        cloud: &Cloud,
        client: ClientId,
        secret: Secret<String>,
    ) -> Self {
        let recipe = Recipe::Secret { client: client.to_string(), secret };
        Self::with(network, cloud, Way::Sandbox, recipe, Vec::new())
    }

    fn with(
        network: &Network,
        cloud: &Cloud,
        way: Way,
        recipe: Recipe,
        attempts: Vec<Attempt>,
    ) -> Self {
        Self(Arc::new(Inner {
            network: network.clone(),
            cloud: cloud.clone(),
            way,
            attempts,
            recipe,
            customers: Customers::AsHome,
            credentials: Mutex::default(),
        }))
    }

    /// The same operator, who is in customers' directories whoever Azure CLI is signed in as there.
    ///
    /// # Errors
    /// [`Cause::SignIn`] where there is no Azure CLI.
    pub async fn reaching_customers_by_cli(self, home: TenantId) -> Result<Self, Failure> {
        let around = Surroundings::of_this_process();
        // The recipe itself is the same for everybody: only whether there is one is looked for.
        Recipe::find(Way::AzureCli, AuthMode::AzureCli, &around).await.map_err(|why| {
            Failure::new(Cause::SignIn, format!("customers' directories cannot be reached: {why}"))
                .hint(
                    "`operator: {customers: cli}` takes Azure CLI; install it, or leave that out.",
                )
        })?;
        let Inner { network, cloud, way, attempts, recipe, customers: _, credentials: _ } =
            &*self.0;
        Ok(Self(Arc::new(Inner {
            network: network.clone(),
            cloud: cloud.clone(),
            way: *way,
            attempts: attempts.clone(),
            recipe: recipe.clone(),
            customers: Customers::Cli { home },
            credentials: Mutex::default(),
        })))
    }

    /// The way that was taken.
    pub fn way(&self) -> Way {
        self.0.way
    }

    /// The ways that were not taken, and why.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// What signs us in to one directory. A token that turns out to be another directory's is an
    /// error of this credential, so that nothing is ever read or changed in the wrong one.
    ///
    /// # Errors
    /// [`Cause::SignIn`] where the credential cannot even be made.
    pub fn credential(&self, directory: TenantId) -> Result<Arc<dyn TokenCredential>, Failure> {
        let Inner { network, cloud, credentials, recipe, customers, way: _, attempts: _ } =
            &*self.0;
        let recipe = match customers {
            Customers::Cli { home } if *home != directory => &Recipe::AzureCli,
            Customers::Cli { .. } | Customers::AsHome => recipe,
        };
        let mut credentials = credentials.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = credentials.get(&directory) {
            return Ok(Arc::clone(known));
        }
        let inner = recipe.credential(network, cloud, directory).map_err(|e| failure_of(&e))?;
        let pinned: Arc<dyn TokenCredential> = Arc::new(Pinned::new(inner, directory));
        credentials.insert(directory, Arc::clone(&pinned));
        Ok(pinned)
    }

    /// Signs in to a directory and says as whom.
    ///
    /// # Errors
    /// [`Cause::SignIn`] with Entra ID's code, or the network's.
    pub async fn identity(&self, directory: TenantId) -> Result<Identity, Failure> {
        let scope = self.0.cloud.graph_scope();
        let token = self
            .credential(directory)?
            .get_token(&[&scope], None)
            .await
            .map_err(|e| failure_of(&e))?;
        let claims = Claims::read(token.token.secret());
        let scopes = claims.scopes();
        // `idtyp` is optional; a token for a person has scopes, one for an app has none.
        let kind = match claims.idtyp.as_deref() {
            Some("app") => IdentityKind::App,
            Some(_) => IdentityKind::Person,
            None if scopes.is_empty() => IdentityKind::App,
            None => IdentityKind::Person,
        };
        Ok(Identity {
            directory,
            kind,
            client_id: claims.app().map(ClientId::from_uuid),
            object_id: claims.oid,
            name: match kind {
                IdentityKind::App => claims.app_displayname,
                IdentityKind::Person => claims.upn.or(claims.preferred_username).or(claims.name),
            },
            roles: claims.roles,
            scopes,
        })
    }
}
