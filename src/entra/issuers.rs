//! Tokens that somebody else issues to this process, to be shown for an app that trusts them:
//! a Kubernetes or other workload's file, a GitHub Actions job's, an Azure Pipelines job's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
};

use azure_core::http::{Context, Method, Request};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::recipe::Surroundings;
use crate::{
    failure::{Cause, Failure},
    http::{Access, Network, Service, Trust},
    registration::Federated,
    secret::Secret,
    text::one_line,
};

/// A token is not shown any more when it has only this long to live.
const SOON: SignedDuration = SignedDuration::from_secs(60);
/// How much is shown of what a token names.
const NAMED: usize = 200;
/// The longest token file that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// The issuers that give this process a token. Cheap to clone; each token is asked for once while
/// it lives.
#[derive(Clone)]
pub struct Issuers(Arc<Inner>);

struct Inner {
    network: Network,
    sources: Vec<Source>,
    given: Mutex<BTreeMap<(usize, String), Given>>,
}

/// Where a token comes from.
enum Source {
    /// A file that someone else keeps fresh
    /// (<https://learn.microsoft.com/en-us/azure/aks/workload-identity-overview>).
    File(PathBuf),
    /// A job of GitHub Actions, which asks for the audience it wants
    /// (<https://docs.github.com/en/actions/reference/security/oidc>).
    Github { address: Url, job: Secret<String> },
    /// A job of Azure Pipelines with a service connection
    /// (<https://learn.microsoft.com/en-us/rest/api/azure/devops/distributedtask/oidctoken/create>).
    Pipelines { address: Url, job: Secret<String> },
}

/// A token that was given, and what it says of itself.
#[derive(Clone)]
struct Given {
    token: Secret<String>,
    issuer: String,
    subject: String,
    audiences: BTreeSet<String>,
    ends: Timestamp,
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.sources.iter().map(Source::word).collect();
        f.debug_tuple("Issuers").field(&words).finish()
    }
}

impl Issuers {
    /// Those that this process finds around it. Nobody is asked yet; in the sandbox, which takes
    /// nothing from the environment, there is none.
    pub fn of_this_process(network: &Network) -> Self {
        Self::around(network, &Surroundings::of_this_process())
    }

    pub(super) fn around(network: &Network, around: &Surroundings) -> Self {
        let sources = match network.trust() {
            Trust::Sandbox { .. } => Vec::new(),
            Trust::System => Source::ALL.iter().filter_map(|find| find(around)).collect(),
        };
        Self(Arc::new(Inner { network: network.clone(), sources, given: Mutex::default() }))
    }

    /// A token that an app which trusts these may show.
    ///
    /// # Errors
    /// In words, why there is none: what is here, and why it does not do.
    pub async fn token_for(&self, trusted: &[Federated]) -> Result<Secret<String>, String> {
        if self.0.sources.is_empty() {
            return Err("no issuer gives a token here".to_owned());
        }
        let mut given = self.0.given.lock().await;
        let mut why_not = Vec::new();
        for (number, source) in self.0.sources.iter().enumerate() {
            let audiences: BTreeSet<&str> = match source {
                Source::Github { .. } => trusted.iter().map(|one| one.audience.as_str()).collect(),
                // These say themselves for whom they are.
                Source::File(_) | Source::Pipelines { .. } => BTreeSet::from([""]),
            };
            for audience in audiences {
                let key = (number, audience.to_owned());
                let fresh = |given: &&Given| given.ends > Timestamp::now() + SOON;
                let token = match given.get(&key).filter(fresh) {
                    Some(token) => token.clone(),
                    None => match source.ask(&self.0.network, audience).await {
                        Ok(token) => {
                            given.insert(key, token.clone());
                            token
                        }
                        Err(failure) => {
                            why_not.push(format!("{}: {}", source.word(), failure.message));
                            continue;
                        }
                    },
                };
                if trusted.iter().any(|one| token.is_of(one)) {
                    return Ok(token.token);
                }
                why_not.push(format!(
                    "{}: its token is of {} by {}, whom the app does not trust",
                    source.word(),
                    one_line(&token.subject, NAMED),
                    one_line(&token.issuer, NAMED)
                ));
            }
        }
        why_not.dedup();
        Err(why_not.join("; "))
    }
}

impl Source {
    /// How each is looked for.
    const ALL: [fn(&Surroundings) -> Option<Self>; 3] = [
        |around| around.get("AZURE_FEDERATED_TOKEN_FILE").map(|path| Self::File(path.into())),
        |around| {
            let mut address = around.get("ACTIONS_ID_TOKEN_REQUEST_URL")?.parse::<Url>().ok()?;
            // An address whose query is empty still takes a pair.
            address.set_fragment(None);
            let job = Secret::new(around.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?);
            Some(Self::Github { address, job })
        },
        |around| {
            let mut address = around.get("SYSTEM_OIDCREQUESTURI")?.parse::<Url>().ok()?;
            let connection = around
                .get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")
                .or(around.get("AZURE_SERVICE_CONNECTION_ID"))?;
            address
                .query_pairs_mut()
                .append_pair("api-version", "7.1")
                .append_pair("serviceConnectionId", &connection);
            let job = Secret::new(around.get("SYSTEM_ACCESSTOKEN")?);
            Some(Self::Pipelines { address, job })
        },
    ];

    const fn word(&self) -> &'static str {
        match self {
            Self::File(_) => "AZURE_FEDERATED_TOKEN_FILE",
            Self::Github { .. } => "GitHub Actions",
            Self::Pipelines { .. } => "Azure Pipelines",
        }
    }

    async fn ask(&self, network: &Network, audience: &str) -> Result<Given, Failure> {
        let token = match self {
            Self::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || read(&path))
                    .await
                    .unwrap_or_else(|_| Err("it could not be read".to_owned()))
                    .map_err(|why| Failure::new(Cause::Guard, why))?
            }
            Self::Github { address, job } => {
                #[derive(Deserialize)]
                struct Answer {
                    value: Secret<String>,
                }
                let mut address = address.clone();
                address.query_pairs_mut().append_pair("audience", audience);
                let Answer { value } = asked(network, address, Method::Get, job).await?;
                value
            }
            Self::Pipelines { address, job } => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Answer {
                    oidc_token: Secret<String>,
                }
                let Answer { oidc_token } =
                    asked(network, address.clone(), Method::Post, job).await?;
                oidc_token
            }
        };
        Given::read(token).ok_or_else(|| {
            Failure::new(Cause::Garbled, "what it gives is no token that names its issuer")
        })
    }
}

/// The token in a file.
fn read(path: &std::path::Path) -> Result<Secret<String>, String> {
    let cannot = |error: std::io::Error| format!("the file cannot be read: {error}");
    if std::fs::metadata(path).map_err(cannot)?.len() > LONGEST {
        return Err("the file is too long for a token".to_owned());
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    Ok(Secret::new(text.trim().to_owned()))
}

/// Asks a runner's own service with the job's token.
async fn asked<T: for<'de> Deserialize<'de>>(
    network: &Network,
    address: Url,
    method: Method,
    job: &Secret<String>,
) -> Result<T, Failure> {
    // A token request changes nothing, whatever its method.
    let calls = network.calls(Service::Token, None, Access::ReadWrite, None);
    let mut request = Request::new(address, method);
    request.insert_header("authorization", format!("Bearer {}", job.expose()));
    request.insert_header("accept", "application/json");
    if method == Method::Post {
        request.insert_header("content-length", "0");
        // Without it a token that is refused is answered with a page to sign in on.
        request.insert_header("x-tfs-fedauthredirect", "Suppress");
    }
    let answer = calls.send(&Context::new(), request).await?;
    serde_json::from_slice(answer.body().as_ref())
        .map_err(|_| Failure::new(Cause::Garbled, "it answered without a token"))
}

impl Given {
    /// What a token says of itself, unverified: its judge is Entra ID.
    fn read(token: Secret<String>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Claims {
            iss: String,
            sub: String,
            aud: Value,
            exp: i64,
        }
        let part = token.expose().split('.').nth(1)?;
        let claims = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
        let Claims { iss, sub, aud, exp } = serde_json::from_slice(&claims).ok()?;
        let audiences = match aud {
            Value::String(one) => BTreeSet::from([one]),
            Value::Array(many) => {
                many.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => BTreeSet::new(),
        };
        let ends = Timestamp::from_second(exp).ok()?;
        Some(Self { token, issuer: iss, subject: sub, audiences, ends })
    }

    /// To the letter, as Entra ID compares them
    /// (<https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation>).
    fn is_of(&self, trusted: &Federated) -> bool {
        let Federated { issuer, subject, audience } = trusted;
        self.issuer == *issuer && self.subject == *subject && self.audiences.contains(audience)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::{
        NetworkOptions,
        testing::{Reply, Server},
    };

    fn jwt(subject: &str, audience: &str, ends: Timestamp) -> String {
        let claims = json!({"iss": "https://issuer.example", "sub": subject, "aud": audience,
                            "exp": ends.as_second()});
        format!("e30.{}.canary-signature", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn trusted(subject: &str, audience: &str) -> Federated {
        Federated {
            issuer: "https://issuer.example".to_owned(),
            subject: subject.to_owned(),
            audience: audience.to_owned(),
        }
    }

    fn around(variables: Vec<(&'static str, String)>) -> Surroundings {
        Surroundings {
            variable: Box::new(move |name| {
                variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone())
            }),
            program: Box::new(|_| false),
            metadata: (std::net::Ipv4Addr::LOCALHOST, 9),
        }
    }

    fn later() -> Timestamp {
        Timestamp::now() + SignedDuration::from_hours(1)
    }

    #[tokio::test]
    async fn a_file_is_shown_to_whom_it_is_for_and_no_one_else() {
        crate::http::install_tls();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, format!("{}\n", jwt("a", "api://x", later()))).unwrap();
        let variables = vec![("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string())];
        let network = Network::new(NetworkOptions::default()).unwrap();
        let issuers = Issuers::around(&network, &around(variables));
        let both = [trusted("b", "api://x"), trusted("a", "api://x")];
        assert!(issuers.token_for(&both).await.is_ok());
        for other in [trusted("b", "api://x"), trusted("a", "api://y"), trusted("A", "api://x")] {
            let why = issuers.token_for(&[other]).await.unwrap_err();
            assert!(why.contains("whom the app does not trust"), "{why}");
            assert!(!why.contains("canary"), "{why}");
        }
        // One that is about to end is read anew.
        std::fs::write(&file, jwt("a", "api://x", Timestamp::now())).unwrap();
        let variables = vec![("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string())];
        let issuers = Issuers::around(&network, &around(variables));
        issuers.token_for(&[trusted("a", "api://x")]).await.unwrap();
        std::fs::write(&file, jwt("b", "api://x", later())).unwrap();
        assert!(issuers.token_for(&[trusted("a", "api://x")]).await.is_err());
        assert!(issuers.token_for(&[trusted("b", "api://x")]).await.is_ok());
        let none = Issuers::around(&network, &around(Vec::new()));
        assert_eq!(none.token_for(&both).await.unwrap_err(), "no issuer gives a token here");
    }

    #[tokio::test]
    async fn runners_are_asked_with_their_jobs_token_for_the_audience_that_is_trusted() {
        let server = Server::start(|heard, _| {
            assert!(heard.head.contains("authorization: bearer canary-job"), "{}", heard.head);
            let (path, query) = heard.target.split_once('?').unwrap();
            if path == "/github" {
                let audience = url::form_urlencoded::parse(query.as_bytes())
                    .find(|(name, _)| name == "audience")
                    .unwrap()
                    .1
                    .into_owned();
                return Reply::json(200, json!({"value": jwt("job", &audience, later())}));
            }
            assert_eq!(heard.method, "POST");
            assert!(query.contains("serviceConnectionId=connection"), "{query}");
            Reply::json(200, json!({"oidcToken": jwt("pipeline", "api://x", later())}))
        })
        .await;
        let (network, _) = server.network(std::time::Duration::from_secs(5));
        let job = || "canary-job".to_owned();
        let base = server.cloud().login;
        let variables = vec![
            ("ACTIONS_ID_TOKEN_REQUEST_URL", base.join("github").unwrap().to_string()),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", job()),
            ("SYSTEM_OIDCREQUESTURI", base.join("pipelines").unwrap().to_string()),
            ("SYSTEM_ACCESSTOKEN", job()),
            ("AZURE_SERVICE_CONNECTION_ID", "connection".to_owned()),
        ];
        let sources = Source::ALL.iter().filter_map(|find| find(&around(variables.clone())));
        let issuers = Issuers(Arc::new(Inner {
            network,
            sources: sources.collect(),
            given: Mutex::default(),
        }));
        assert!(issuers.token_for(&[trusted("job", "api://mine")]).await.is_ok());
        assert!(issuers.token_for(&[trusted("pipeline", "api://x")]).await.is_ok());
        let asked = server.heard().len();
        assert!(issuers.token_for(&[trusted("pipeline", "api://x")]).await.is_ok());
        // The one for GitHub was of another audience and is asked for each anew; both are kept.
        assert_eq!(server.heard().len(), asked);
    }
}
