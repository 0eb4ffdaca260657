//! Incidents, page by page.
//!
//! Graph: <https://learn.microsoft.com/en-us/graph/api/security-list-incidents>; the Defender XDR
//! API: <https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents>.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Listed, id, list};
use crate::{
    cloud::Cloud,
    connector::Probe,
    entra::AppToken,
    failure::{Cause, Failure},
    http::Network,
};

/// How grave an incident is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Informational.
    Informational,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}

/// How far the work on an incident is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Open.
    Active,
    /// Somebody works on it.
    InProgress,
    /// Closed.
    Resolved,
    /// Merged into another.
    Redirected,
    /// An expert of Microsoft's waits for the customer.
    AwaitingAction,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Standing {
    const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::InProgress => "inProgress",
            Self::Resolved => "resolved",
            Self::Redirected => "redirected",
            Self::AwaitingAction => "awaitingAction",
        }
    }
}

/// Which incidents are wanted; of an empty set, all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentQuery {
    /// These severities.
    pub severity: BTreeSet<Severity>,
    /// These standings.
    pub status: BTreeSet<Standing>,
    /// With their alerts. The Defender XDR API always sends them.
    pub alerts: bool,
}

/// One incident, as the service sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its id in its tenant.
    pub id: String,
    /// When it last changed, in the service's own words; together with the id it names one state
    /// of the incident.
    pub updated: String,
    /// All of it.
    pub all: Map<String, Value>,
}

impl Incident {
    /// The directory that it says it is of; the Defender XDR API does not say.
    pub fn tenant(&self) -> Option<&str> {
        self.all.get("tenantId").and_then(Value::as_str)
    }
}

/// What one request gave.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentPage {
    /// The incidents; also those that the service could not leave out.
    pub incidents: Vec<Incident>,
    /// Whether another page may follow.
    pub more: bool,
    /// The server's clock.
    pub at: Option<Timestamp>,
}

/// The names of one API.
struct Dialect {
    updated: &'static str,
    created: &'static str,
    /// The most incidents that a page may hold.
    most: usize,
    /// Whether `severity` can be filtered on, whether the order can be chosen, and whether alerts
    /// must be asked for: Graph can and must, the other cannot and need not.
    graph: bool,
}

const fn dialect(probe: Probe) -> Dialect {
    match probe {
        Probe::GraphIncidents => Dialect {
            updated: "lastUpdateDateTime",
            created: "createdDateTime",
            most: 50,
            graph: true,
        },
        Probe::DefenderIncidents => {
            Dialect { updated: "lastUpdateTime", created: "createdTime", most: 100, graph: false }
        }
    }
}

impl IncidentQuery {
    /// Whether this is one of those wanted, by its own words. The services are asked for the same,
    /// but one of them cannot filter by severity.
    pub fn wants(&self, incident: &Incident) -> bool {
        let says = |name: &str, word: &str| {
            incident
                .all
                .get(name)
                .and_then(Value::as_str)
                .is_some_and(|text| text.eq_ignore_ascii_case(word))
        };
        let Self { severity, status, alerts: _ } = self;
        (severity.is_empty() || severity.iter().any(|one| says("severity", one.word())))
            && (status.is_empty() || status.iter().any(|one| says("status", one.word())))
    }

    /// The query of one page, percent-encoded.
    fn text(&self, since: Option<Timestamp>, skip: usize, dialect: &Dialect) -> String {
        let Self { severity, status, alerts } = self;
        let either = |name: &str, words: Vec<&str>| match words.as_slice() {
            [] => None,
            words => {
                let each: Vec<_> = words.iter().map(|w| format!("{name} eq '{w}'")).collect();
                Some(format!("({})", each.join(" or ")))
            }
        };
        let mut filters: Vec<String> = Vec::new();
        filters.extend(since.map(|since| format!("{} ge {since}", dialect.updated)));
        if dialect.graph {
            filters.extend(either("severity", severity.iter().map(|one| one.word()).collect()));
            filters.extend(either("status", status.iter().map(|one| one.word()).collect()));
        }
        let mut pairs = vec![("$top", dialect.most.to_string())];
        if !filters.is_empty() {
            pairs.push(("$filter", filters.join(" and ")));
        }
        if dialect.graph {
            // It never changes, so that what is updated meanwhile does not move.
            pairs.push(("$orderby", format!("{} asc", dialect.created)));
        }
        if dialect.graph && *alerts {
            pairs.push(("$expand", "alerts".to_owned()));
        }
        if skip > 0 {
            pairs.push(("$skip", skip.to_string()));
        }
        let mut text = String::new();
        for (name, value) in pairs {
            if !text.is_empty() {
                text.push('&');
            }
            let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            text.push_str(&format!("{name}={}", value.replace('+', "%20")));
        }
        text
    }
}

/// Asks for the incidents of a tenant that changed since a moment, after leaving out so many.
///
/// # Errors
/// As [`super::newest_incident`].
pub async fn incidents(
    network: &Network,
    cloud: &Cloud,
    probe: Probe,
    token: &AppToken,
    query: &IncidentQuery,
    since: Option<Timestamp>,
    skip: usize,
) -> Result<IncidentPage, Failure> {
    let dialect = dialect(probe);
    let text = query.text(since, skip, &dialect);
    let Listed { value, more, at } = list(network, cloud, probe, token, &text).await?;
    // Only Graph sends a link to the next page; a full page of the other may be the last.
    let more = more || value.len() >= dialect.most;
    let incidents = value
        .into_iter()
        .map(|value| {
            let id = id(&value).unwrap_or_default();
            let Value::Object(all) = value else { return None };
            let updated = all.get(dialect.updated)?.as_str()?.to_owned();
            Some(Incident { id, updated, all })
        })
        .collect::<Option<_>>()
        .ok_or_else(|| {
            let why = format!("an incident came without {}", dialect.updated);
            Failure::new(Cause::Garbled, why)
        })?;
    Ok(IncidentPage { incidents, more, at })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn incident(all: Value) -> Incident {
        let Value::Object(all) = all else { panic!("no object") };
        Incident { id: "1".to_owned(), updated: String::new(), all }
    }

    #[test]
    fn each_api_is_asked_in_its_own_words() {
        let query = IncidentQuery {
            severity: [Severity::High, Severity::Medium].into(),
            status: [Standing::InProgress].into(),
            alerts: true,
        };
        let since = Some("2026-11-01T10:00:00Z".parse().unwrap());
        assert_eq!(
            query.text(since, 49, &dialect(Probe::GraphIncidents)),
            "$top=50&$filter=lastUpdateDateTime%20ge%202026-11-01T10%3A00%3A00Z%20and%20\
             %28severity%20eq%20%27medium%27%20or%20severity%20eq%20%27high%27%29%20and%20\
             %28status%20eq%20%27inProgress%27%29&$orderby=createdDateTime%20asc&$expand=alerts\
             &$skip=49"
        );
        assert_eq!(
            query.text(since, 0, &dialect(Probe::DefenderIncidents)),
            "$top=100&$filter=lastUpdateTime%20ge%202026-11-01T10%3A00%3A00Z"
        );
    }

    #[test]
    fn what_a_service_could_not_leave_out_is_left_out_here() {
        let query = IncidentQuery {
            severity: [Severity::High].into(),
            status: [Standing::Active, Standing::InProgress].into(),
            alerts: false,
        };
        for (severity, status, wanted) in [
            ("high", "active", true),
            ("High", "InProgress", true),
            ("medium", "active", false),
            ("high", "resolved", false),
        ] {
            let one = incident(json!({"severity": severity, "status": status}));
            assert_eq!(query.wants(&one), wanted, "{severity} {status}");
            assert!(IncidentQuery::default().wants(&one));
        }
        assert!(!query.wants(&incident(json!({"status": "active"}))));
    }
}
