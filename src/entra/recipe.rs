//! What each way to sign in needs, where it is looked for, and the credential made of it.

use std::{env, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core::{
    credentials::{Secret as AzureSecret, TokenCredential},
    http::{ClientMethodOptions, Context, Method, Request},
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential,
    AzureDeveloperCliCredentialOptions, AzurePipelinesCredential, AzurePipelinesCredentialOptions,
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use serde::Deserialize;
use url::Url;

use super::operator::{AuthMode, Way};
use crate::{
    cloud::{Cloud, CloudName},
    failure::{Cause, Failure},
    http::{Access, Calls, Network, Refusal, Service},
    ids::TenantId,
    secret::Secret,
};

/// Where prerequisites are looked for; a value, so that tests need not change the process.
pub(super) struct Surroundings {
    /// An environment variable.
    pub(super) variable: Box<dyn Fn(&str) -> Option<String> + Send + Sync>,
    /// Whether a program can be started by its name.
    pub(super) program: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// The address of Azure's instance metadata service.
    pub(super) metadata: (std::net::Ipv4Addr, u16),
}

impl Surroundings {
    pub(super) fn of_this_process() -> Self {
        Self {
            variable: Box::new(|name| env::var(name).ok()),
            program: Box::new(on_path),
            // <https://learn.microsoft.com/en-us/azure/virtual-machines/instance-metadata-service>
            metadata: (std::net::Ipv4Addr::new(169, 254, 169, 254), 80),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.trim().is_empty())
    }

    /// The first of these variables that is set.
    fn need(&self, names: &[&str]) -> Result<String, String> {
        names
            .iter()
            .find_map(|name| self.get(name))
            .ok_or_else(|| format!("{} is not set", names[0]))
    }
}

fn on_path(name: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| {
        env::split_paths(&path).any(|folder| {
            ["", ".cmd", ".exe"].iter().any(|end| folder.join(format!("{name}{end}")).is_file())
        })
    })
}

/// All that is needed to sign in to any directory in one way.
#[derive(Clone)]
pub(super) enum Recipe {
    /// A client secret.
    Secret { client: String, secret: Secret<String> },
    /// A token in a file that someone else keeps fresh.
    File { client: String, path: PathBuf },
    /// A job of Azure Pipelines.
    Pipelines { client: String, connection: String, job: Secret<String> },
    /// A job of GitHub Actions.
    Github { client: String, issuer: Url, job: Secret<String> },
    /// A managed identity, the machine's own or one assigned by client id.
    Managed { client: Option<String> },
    /// `az`
    AzureCli,
    /// `azd`
    AzureDeveloperCli,
}

impl Recipe {
    /// Looks for what a way needs; says in a few words what is missing.
    pub(super) async fn find(
        way: Way,
        mode: AuthMode,
        around: &Surroundings,
    ) -> Result<Self, String> {
        let client = || around.need(&["AZURE_CLIENT_ID"]);
        match way {
            Way::Sandbox => Err("only with --sandbox".to_owned()),
            Way::Environment => {
                let client = client()?;
                let secret = around.need(&["AZURE_CLIENT_SECRET"]).map_err(|why| {
                    if around.get("AZURE_CLIENT_CERTIFICATE_PATH").is_some() {
                        format!("{why}, and a certificate is not taken")
                    } else {
                        why
                    }
                })?;
                Ok(Self::Secret { client, secret: Secret::new(secret) })
            }
            Way::WorkloadIdentity => {
                let path = around.need(&["AZURE_FEDERATED_TOKEN_FILE"])?;
                Ok(Self::File { client: client()?, path: path.into() })
            }
            Way::AzurePipelines => {
                around.need(&["SYSTEM_OIDCREQUESTURI"])?;
                let job = around.need(&["SYSTEM_ACCESSTOKEN"])?;
                let connection = around.need(&[
                    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
                    "AZURE_SERVICE_CONNECTION_ID",
                ])?;
                let client = around.need(&["AZURESUBSCRIPTION_CLIENT_ID", "AZURE_CLIENT_ID"])?;
                Ok(Self::Pipelines { client, connection, job: Secret::new(job) })
            }
            Way::GithubOidc => {
                let issuer = around.need(&["ACTIONS_ID_TOKEN_REQUEST_URL"])?;
                let job = around.need(&["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])?;
                let issuer = Url::parse(&issuer)
                    .map_err(|_| "ACTIONS_ID_TOKEN_REQUEST_URL is not a URL".to_owned())?;
                Ok(Self::Github { client: client()?, issuer, job: Secret::new(job) })
            }
            Way::ManagedIdentity => {
                let told = around.get("IDENTITY_ENDPOINT").or(around.get("MSI_ENDPOINT"));
                // Who names this way has no need of proof that it is there.
                if told.is_none() && mode == AuthMode::Auto && !answers(around.metadata).await {
                    return Err("this is not a machine of Azure's".to_owned());
                }
                Ok(Self::Managed { client: around.get("AZURE_CLIENT_ID") })
            }
            Way::AzureCli => Self::tool("az", Self::AzureCli, around),
            Way::AzureDeveloperCli => Self::tool("azd", Self::AzureDeveloperCli, around),
        }
    }

    fn tool(name: &str, recipe: Self, around: &Surroundings) -> Result<Self, String> {
        if (around.program)(name) { Ok(recipe) } else { Err(format!("`{name}` is not installed")) }
    }

    /// The credential for one directory.
    pub(super) fn credential(
        &self,
        network: &Network,
        cloud: &Cloud,
        directory: TenantId,
    ) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let tenant = directory.to_string();
        let client_options = network.client_options(Service::Token, Some(directory), &cloud.login);
        let assertion = ClientAssertionCredentialOptions { client_options: client_options.clone() };
        Ok(match self {
            Self::Secret { client, secret } => ClientSecretCredential::new(
                &tenant,
                client.clone(),
                AzureSecret::new(secret.expose().clone()),
                Some(ClientSecretCredentialOptions { client_options }),
            )?,
            Self::File { client, path } => {
                WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                    credential_options: assertion,
                    client_id: Some(client.clone()),
                    tenant_id: Some(tenant),
                    token_file_path: Some(path.clone()),
                }))?
            }
            Self::Pipelines { client, connection, job } => AzurePipelinesCredential::new(
                tenant,
                client.clone(),
                connection,
                AzureSecret::new(job.expose().clone()),
                Some(AzurePipelinesCredentialOptions { credential_options: assertion }),
            )?,
            Self::Github { client, issuer, job } => {
                let job = JobToken {
                    calls: network.calls(Service::Token, None, Access::ReadOnly, None),
                    issuer: with_audience(issuer, cloud),
                    job: job.clone(),
                };
                ClientAssertionCredential::new(tenant, client.clone(), job, Some(assertion))?
            }
            Self::Managed { client } => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client.clone().map(UserAssignedId::ClientId),
                    client_options,
                }))?
            }
            Self::AzureCli => AzureCliCredential::new(Some(AzureCliCredentialOptions {
                tenant_id: Some(tenant),
                ..AzureCliCredentialOptions::default()
            }))?,
            Self::AzureDeveloperCli => {
                AzureDeveloperCliCredential::new(Some(AzureDeveloperCliCredentialOptions {
                    tenant_id: Some(tenant),
                    ..AzureDeveloperCliCredentialOptions::default()
                }))?
            }
        })
    }
}

/// Whether anybody listens there; asked quickly, since almost everywhere nobody does.
async fn answers(address: (std::net::Ipv4Addr, u16)) -> bool {
    let connect = tokio::net::TcpStream::connect(address);
    matches!(tokio::time::timeout(Duration::from_millis(400), connect).await, Ok(Ok(_)))
}

/// GitHub's token for this job, as a client assertion
/// (<https://docs.github.com/en/actions/reference/security/oidc>).
struct JobToken {
    calls: Calls,
    issuer: Url,
    job: Secret<String>,
}

impl std::fmt::Debug for JobToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JobToken")
    }
}

/// The audience that Entra ID expects of somebody else's token, cloud by cloud
/// (<https://learn.microsoft.com/en-us/graph/api/resources/federatedidentitycredential>).
fn with_audience(issuer: &Url, cloud: &Cloud) -> Url {
    let audience = match cloud.name {
        Some(CloudName::GccHigh | CloudName::Dod) => "api://AzureADTokenExchangeUSGov",
        Some(CloudName::China) => "api://AzureADTokenExchangeChina",
        Some(CloudName::Global | CloudName::Gcc) | None => "api://AzureADTokenExchange",
    };
    let mut url = issuer.clone();
    url.query_pairs_mut().append_pair("audience", audience);
    url
}

#[async_trait]
impl ClientAssertion for JobToken {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            value: String,
        }
        let mut request = Request::new(self.issuer.clone(), Method::Get);
        request.insert_header("authorization", format!("Bearer {}", self.job.expose()));
        let answer = self.calls.send(&Context::new(), request).await.map_err(Refusal::from)?;
        let Answer { value } = serde_json::from_slice(answer.body().as_ref()).map_err(|_| {
            Refusal::from(Failure::new(Cause::SignIn, "GitHub answered without a token"))
        })?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(
        variables: &'static [(&'static str, &'static str)],
        tools: &'static [&str],
    ) -> Surroundings {
        Surroundings {
            variable: Box::new(|name| {
                variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
            }),
            program: Box::new(|name| tools.contains(&name)),
            // The discard port of this machine: nobody listens.
            metadata: (std::net::Ipv4Addr::LOCALHOST, 9),
        }
    }

    async fn first(around: &Surroundings) -> Option<Way> {
        for way in Way::AUTO {
            if Recipe::find(way, AuthMode::Auto, around).await.is_ok() {
                return Some(way);
            }
        }
        None
    }

    #[tokio::test]
    async fn auto_takes_the_first_way_whose_prerequisites_are_there() {
        const ID: (&str, &str) = ("AZURE_CLIENT_ID", "id");
        const FILE: (&str, &str) = ("AZURE_FEDERATED_TOKEN_FILE", "/token");
        const JOB: (&str, &str) = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "job");
        const URL: (&str, &str) = ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.example/x");
        for (around, wanted) in [
            (around(&[], &[]), None),
            (around(&[], &["az", "azd"]), Some(Way::AzureCli)),
            (around(&[], &["azd"]), Some(Way::AzureDeveloperCli)),
            (around(&[ID], &["az"]), Some(Way::AzureCli)),
            (around(&[("IDENTITY_ENDPOINT", "http://x")], &["az"]), Some(Way::ManagedIdentity)),
            (around(&[ID, JOB, URL], &["az"]), Some(Way::GithubOidc)),
            (around(&[ID, JOB, URL, FILE], &[]), Some(Way::WorkloadIdentity)),
            (around(&[ID, FILE, ("AZURE_CLIENT_SECRET", "s")], &[]), Some(Way::Environment)),
            (around(&[ID, ("AZURE_CLIENT_SECRET", " ")], &[]), None),
            (
                around(
                    &[
                        ("SYSTEM_OIDCREQUESTURI", "https://dev.azure.example"),
                        ("SYSTEM_ACCESSTOKEN", "t"),
                        ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "c"),
                        ("AZURESUBSCRIPTION_CLIENT_ID", "i"),
                    ],
                    &["az"],
                ),
                Some(Way::AzurePipelines),
            ),
        ] {
            assert_eq!(first(&around).await, wanted);
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_named_and_no_value_is() {
        let around = around(&[("AZURE_CLIENT_SECRET", "hunter2")], &[]);
        let why = Recipe::find(Way::Environment, AuthMode::Environment, &around).await;
        let why = why.err().unwrap();
        assert!(why.contains("AZURE_CLIENT_ID") && !why.contains("hunter2"), "{why}");
    }
}
