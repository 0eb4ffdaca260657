//! The incident calls: the proof that a connector can read.

mod incidents;

use std::fmt;

use async_trait::async_trait;
use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    http::{Context, Method, Request},
    time::OffsetDateTime,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

pub use self::incidents::{Incident, IncidentPage, IncidentQuery, Severity, Standing, incidents};
use crate::{
    cloud::Cloud,
    connector::Probe,
    entra::AppToken,
    failure::{Cause, Failure},
    http::{Access, Bearer, Network, Service},
    secret::Secret,
};

/// What one incident call showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// Whether there was any incident.
    pub any: bool,
    /// When the one that was shown was created; the services show the newest first.
    pub created: Option<Timestamp>,
}

/// Why an incident call was refused, where it is one of the two that people can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The token does not carry the permission: consent is missing, or older than the permission.
    PermissionMissing,
    /// The directory has no Defender, or nobody ever opened it.
    NotProvisioned,
}

impl Denial {
    /// Reads it from a failure. Both are 403 with the same code, only the words differ
    /// (<https://learn.microsoft.com/en-us/graph/api/security-list-incidents>).
    pub fn of(failure: &Failure) -> Option<Self> {
        if failure.cause != Cause::Privilege {
            return None;
        }
        let words = failure.message.as_str();
        if words.contains("Account is not provisioned") {
            Some(Self::NotProvisioned)
        } else if words.starts_with("Missing application roles") {
            Some(Self::PermissionMissing)
        } else {
            None
        }
    }
}

/// Asks for one incident, as the app that the token was given to.
///
/// # Errors
/// [`Cause::Privilege`] with the service's words ([`Denial::of`] tells the two usual ones apart),
/// [`Cause::Refused`] in a cloud without a Defender API, and as every call.
pub async fn newest_incident(
    network: &Network,
    cloud: &Cloud,
    probe: Probe,
    token: &AppToken,
) -> Result<Newest, Failure> {
    let Listed { value, more: _, at: _ } = list(network, cloud, probe, token, "$top=1").await?;
    let first = value.first();
    // Graph says `createdDateTime`, Defender `createdTime`.
    let created = first
        .and_then(|incident| incident.get("createdDateTime").or(incident.get("createdTime")))
        .and_then(|created| created.as_str()?.parse().ok());
    Ok(Newest { any: first.is_some(), created })
}

/// A page of incidents as the service sent it.
struct Listed {
    value: Vec<Value>,
    /// Whether the service says that there is more.
    more: bool,
    /// The server's clock.
    at: Option<Timestamp>,
}

/// Asks for incidents, as the app that the token was given to.
async fn list(
    network: &Network,
    cloud: &Cloud,
    probe: Probe,
    token: &AppToken,
    query: &str,
) -> Result<Listed, Failure> {
    let (service, base, path) = match probe {
        Probe::GraphIncidents => {
            (Service::Graph, Some(&cloud.graph), &["v1.0", "security", "incidents"][..])
        }
        Probe::DefenderIncidents => {
            (Service::Defender, cloud.defender.as_ref(), &["api", "incidents"][..])
        }
    };
    let Some(base) = base else {
        return Err(Failure::new(Cause::Refused, "Defender has no API in this cloud"));
    };
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url.set_query(Some(query));
    let bearer = Bearer {
        credential: std::sync::Arc::new(Given::of(token)),
        // The token is there already: nothing is asked for.
        scope: "given".to_owned(),
    };
    let calls = network.calls(service, Some(token.directory), Access::ReadOnly, Some(bearer));
    let mut request = Request::new(url, Method::Get);
    request.insert_header("accept", "application/json");
    let answer = calls.send(&Context::new(), request).await?;
    let page = Some(answer.body().as_ref())
        // 206 and its like are no whole answer.
        .filter(|_| u16::from(answer.status()) == 200)
        .and_then(|body| serde_json::from_slice(body).ok());
    let garbled = || {
        Failure::new(
            Cause::Garbled,
            format!("{service} answered with something else than incidents"),
        )
    };
    let Some(Page { value, error: None, next }) = page else { return Err(garbled()) };
    if !value.iter().all(|incident| id(incident).is_some()) {
        return Err(garbled());
    }
    Ok(Listed { value, more: next.is_some(), at: calls.server_time() })
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Value>,
    error: Option<Value>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

/// The id of an incident of either API: it is what makes it one. Graph says `id`, a text; Defender
/// `incidentId`, a number.
fn id(value: &Value) -> Option<String> {
    let id = value.get("id").or(value.get("incidentId"))?;
    id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()))
}

/// A token that was asked for elsewhere, as a credential.
struct Given {
    token: Secret<String>,
    expires: OffsetDateTime,
}

impl Given {
    fn of(token: &AppToken) -> Self {
        let expires = OffsetDateTime::from_unix_timestamp(token.expires.as_second());
        Self { token: token.bearer.clone(), expires: expires.unwrap_or(OffsetDateTime::UNIX_EPOCH) }
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenCredential for Given {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new(self.token.expose().clone(), self.expires))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use serde_json::json;

    use super::*;
    use crate::http::testing::{Reply, Server};

    const DIRECTORY: &str = "6f1c0f5e-0000-4000-8000-000000000001";

    fn token() -> AppToken {
        AppToken {
            directory: DIRECTORY.parse().unwrap(),
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            expires: Timestamp::now() + Duration::from_secs(3600),
            bearer: Secret::new("canary-token".to_owned()),
        }
    }

    async fn ask(probe: Probe, reply: Reply) -> (Result<Newest, Failure>, String) {
        let server = Server::start(move |_, _| reply.clone()).await;
        let (network, _) = server.network(Duration::from_secs(5));
        let newest = newest_incident(&network, &server.cloud(), probe, &token()).await;
        let heard = server.heard();
        assert!(heard[0].head.contains("authorization: bearer canary-token"));
        (newest, format!("{} {}", heard[0].method, heard[0].target))
    }

    #[tokio::test]
    async fn both_apis_are_asked_for_one_incident_and_their_times_are_read() {
        let seen = Ok(Newest { any: true, created: Some("2026-11-01T10:00:00Z".parse().unwrap()) });
        let graph = json!({"value": [{"id": "1", "createdDateTime": "2026-11-01T10:00:00Z"}]});
        let (newest, asked) = ask(Probe::GraphIncidents, Reply::json(200, graph)).await;
        assert_eq!((newest, asked.as_str()), (seen.clone(), "GET /v1.0/security/incidents?$top=1"));
        let defender = json!({"value": [{"incidentId": 1, "createdTime": "2026-11-01T10:00:00Z"}]});
        let (newest, asked) = ask(Probe::DefenderIncidents, Reply::json(200, defender)).await;
        assert_eq!((newest, asked.as_str()), (seen, "GET /api/incidents?$top=1"));
        let (none, _) = ask(Probe::GraphIncidents, Reply::json(200, json!({"value": []}))).await;
        assert_eq!(none, Ok(Newest { any: false, created: None }));
    }

    #[tokio::test]
    async fn a_missing_permission_and_a_missing_defender_are_told_apart() {
        let refuse = |words: &str| {
            Reply::json(403, json!({"error": {"code": "Forbidden", "message": words}}))
        };
        for (words, wanted) in [
            (
                "Missing application roles. API required roles: SecurityIncident.Read.All.",
                Some(Denial::PermissionMissing),
            ),
            ("Unauthorized request - Account is not provisioned.", Some(Denial::NotProvisioned)),
            ("Something else.", None),
        ] {
            let (refused, _) = ask(Probe::GraphIncidents, refuse(words)).await;
            let failure = refused.unwrap_err();
            assert_eq!(Denial::of(&failure), wanted);
            assert_eq!(failure.hint.is_some(), wanted.is_some());
            assert!(!format!("{failure:?}").contains("canary"));
        }
    }

    #[tokio::test]
    async fn an_answer_without_a_list_is_no_proof() {
        for (status, body) in [
            (200, json!({"x": 1})),
            (200, json!({"value": [{}]})),
            (200, json!({"value": ["1"]})),
            (200, json!({"value": [{"id": null}]})),
            (200, json!({"value": [], "error": {"code": "x"}})),
            (206, json!({"value": []})),
        ] {
            let (garbled, _) = ask(Probe::GraphIncidents, Reply::json(status, body.clone())).await;
            assert_eq!(garbled.unwrap_err().cause, Cause::Garbled, "{status} {body}");
        }
    }
}
