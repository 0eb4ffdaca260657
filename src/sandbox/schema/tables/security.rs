//! Incidents and alerts of Microsoft Defender.
//!
//! <https://learn.microsoft.com/en-us/graph/api/resources/security-incident>,
//! `…/security-alert`; what may be filtered and sorted: `…/api/security-list-incidents`,
//! `…/api/security-list-alerts_v2`.

use super::super::{
    Bind, Complex, Entity, Filter, Kind, Navigation, Pages, Property, Service, Support,
};
use super::{TEXT, TEXTS, id, list, property};

/// Several alerts that belong together.
pub static INCIDENT: Entity = Entity {
    name: "security.incident",
    resource: "Incident",
    service: Service::Security,
    // Larger pages are refused: <https://learn.microsoft.com/en-us/graph/api/security-list-incidents>.
    pages: Pages { default: 50, max: 50 },
    derived: &[],
    properties: &[
        id(Filter::NONE),
        property("tenantId", TEXT).read_only(),
        status(INCIDENT_STATES),
        property("incidentWebUrl", TEXT).read_only(),
        property("redirectIncidentId", TEXT).read_only(),
        property("displayName", TEXT),
        created(),
        updated(),
        property("lastModifiedBy", TEXT).read_only(),
        property("assignedTo", TEXT).filter(Filter::EQUAL),
        classification(),
        determination(),
        list("customTags", TEXTS),
        property("description", TEXT),
        severity(),
        property("summary", TEXT),
        property("resolvingComment", TEXT),
        property("priorityScore", Kind::Int).read_only(),
        list("systemTags", TEXTS).read_only(),
        list("comments", Kind::List(&Kind::Complex(&COMMENT))).read_only(),
    ],
    navigations: &[Navigation { name: "alerts", bind: Bind::Never }],
};

/// The same as the Defender XDR API shows it: what may be filtered on there
/// (<https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents>). It cannot be sorted.
pub static DEFENDER_INCIDENT: Entity = Entity {
    name: "security.defenderIncident",
    resource: "Incident",
    service: Service::Security,
    pages: Pages { default: 100, max: 100 },
    derived: &[],
    properties: &[
        property("createdTime", Kind::DateTime).filter(Filter::ORDER),
        property("lastUpdateTime", Kind::DateTime).filter(Filter::ORDER),
        property("status", Kind::Enum(&["Active", "InProgress", "Resolved", "Redirected"]))
            .filter(Filter::EQUAL),
        property("assignedTo", TEXT).filter(Filter::EQUAL),
    ],
    navigations: &[],
};

/// One suspicion.
pub static ALERT: Entity = Entity {
    name: "security.alert",
    resource: "Alert",
    service: Service::Security,
    pages: Pages { default: 100, max: 2000 },
    derived: &[],
    properties: &[
        id(Filter::NONE),
        property("providerAlertId", TEXT).read_only(),
        property("incidentId", TEXT).read_only(),
        status(ALERT_STATES),
        severity(),
        classification(),
        determination(),
        property("serviceSource", Kind::Enum(SERVICE_SOURCES))
            .not_null()
            .read_only()
            .filter(Filter::EQUAL),
        property("detectionSource", TEXT).read_only(),
        property("detectorId", TEXT).read_only(),
        property("productName", TEXT).read_only(),
        property("tenantId", TEXT).read_only(),
        property("title", TEXT).read_only(),
        property("description", TEXT).read_only(),
        property("recommendedActions", TEXT).read_only(),
        property("category", TEXT).read_only(),
        list("categories", TEXTS).read_only(),
        property("assignedTo", TEXT).filter(Filter::EQUAL),
        property("alertWebUrl", TEXT).read_only(),
        property("incidentWebUrl", TEXT).read_only(),
        property("actorDisplayName", TEXT).read_only(),
        property("threatDisplayName", TEXT).read_only(),
        property("threatFamilyName", TEXT).read_only(),
        list("mitreTechniques", TEXTS).read_only(),
        created(),
        updated(),
        property("resolvedDateTime", Kind::DateTime).read_only(),
        property("firstActivityDateTime", Kind::DateTime).read_only(),
        property("lastActivityDateTime", Kind::DateTime).read_only(),
        property("alertPolicyId", TEXT).read_only(),
        property("investigationState", TEXT).read_only(),
        property("additionalData", Kind::Open).read_only(),
        property("customDetails", Kind::Open),
        list("comments", Kind::List(&Kind::Complex(&COMMENT))).read_only(),
        list("evidence", Kind::List(&Kind::Open)).read_only(),
        list("systemTags", TEXTS).read_only(),
    ],
    navigations: &[],
};

const fn created() -> Property {
    property("createdDateTime", Kind::DateTime)
        .not_null()
        .read_only()
        .filter(Filter::ORDER)
        .sort(Support::Always)
}

const fn updated() -> Property {
    property("lastUpdateDateTime", Kind::DateTime)
        .not_null()
        .read_only()
        .filter(Filter::ORDER)
        .sort(Support::Always)
}

const fn status(words: &'static [&'static str]) -> Property {
    property("status", Kind::Enum(words)).not_null().filter(Filter::EQUAL).sort(Support::Always)
}

const fn severity() -> Property {
    property("severity", Kind::Enum(SEVERITIES))
        .not_null()
        .filter(Filter::EQUAL)
        .sort(Support::Always)
}

const fn classification() -> Property {
    property("classification", Kind::Enum(CLASSIFICATIONS)).filter(Filter::EQUAL)
}

const fn determination() -> Property {
    property("determination", Kind::Enum(DETERMINATIONS)).filter(Filter::EQUAL)
}

const INCIDENT_STATES: &[&str] =
    &["active", "resolved", "inProgress", "redirected", "unknownFutureValue", "awaitingAction"];
const ALERT_STATES: &[&str] = &["unknown", "new", "inProgress", "resolved", "unknownFutureValue"];
const SEVERITIES: &[&str] =
    &["unknown", "informational", "low", "medium", "high", "unknownFutureValue"];
const CLASSIFICATIONS: &[&str] = &[
    "unknown",
    "falsePositive",
    "truePositive",
    "informationalExpectedActivity",
    "unknownFutureValue",
];
const DETERMINATIONS: &[&str] = &[
    "unknown",
    "apt",
    "malware",
    "securityPersonnel",
    "securityTesting",
    "unwantedSoftware",
    "other",
    "multiStagedAttack",
    "compromisedAccount",
    "phishing",
    "maliciousUserActivity",
    "notMalicious",
    "notEnoughDataToValidate",
    "confirmedActivity",
    "lineOfBusinessApplication",
    "unknownFutureValue",
];
const SERVICE_SOURCES: &[&str] = &[
    "unknown",
    "microsoftDefenderForEndpoint",
    "microsoftDefenderForIdentity",
    "microsoftDefenderForCloudApps",
    "microsoftDefenderForOffice365",
    "microsoft365Defender",
    "azureAdIdentityProtection",
    "microsoftAppGovernance",
    "dataLossPrevention",
    "unknownFutureValue",
    "microsoftDefenderForCloud",
    "microsoftSentinel",
    "microsoftInsiderRiskManagement",
    "microsoftThreatIntelligence",
    "microsoftSecurityForAI",
];

static COMMENT: Complex = Complex {
    name: "security.alertComment",
    properties: &[
        property("comment", TEXT),
        property("createdByDisplayName", TEXT),
        property("createdDateTime", Kind::DateTime).not_null(),
    ],
};
