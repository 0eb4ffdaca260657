//! App-management policies: what a tenant forbids its applications.
//!
//! <https://learn.microsoft.com/en-us/graph/api/resources/tenantappmanagementpolicy>,
//! `…/appmanagementpolicy`.

use super::super::{Bind, Complex, Entity, Filter, Kind, Navigation, Service};
use super::{DIRECTORY_PAGES, TEXT, id, list, property};

/// The tenant's default policy; there is exactly one.
pub static TENANT_APP_MANAGEMENT_POLICY: Entity = Entity {
    name: "tenantAppManagementPolicy",
    resource: "TenantAppManagementPolicy",
    service: Service::Settings,
    pages: DIRECTORY_PAGES,
    derived: &[],
    properties: &[
        id(Filter::NONE),
        property("deletedDateTime", Kind::DateTime).read_only(),
        property("description", TEXT),
        property("displayName", TEXT),
        property("isEnabled", Kind::Bool).not_null(),
        property("applicationRestrictions", Kind::Complex(&APPLICATION_CONFIGURATION)),
        property("servicePrincipalRestrictions", Kind::Complex(&SERVICE_PRINCIPAL_CONFIGURATION)),
    ],
    navigations: &[],
};

/// A policy for named applications, which replaces the default for them.
pub static APP_MANAGEMENT_POLICY: Entity = Entity {
    name: "appManagementPolicy",
    resource: "AppManagementPolicy",
    service: Service::Settings,
    pages: DIRECTORY_PAGES,
    derived: &[],
    properties: &[
        id(Filter::NONE),
        property("deletedDateTime", Kind::DateTime).read_only(),
        property("description", TEXT),
        property("displayName", TEXT).required(),
        property("isEnabled", Kind::Bool).not_null(),
        property("restrictions", Kind::Complex(&CUSTOM_CONFIGURATION)),
    ],
    navigations: &[Navigation { name: "appliesTo", bind: Bind::Never }],
};

pub(super) const STATES: &[&str] = &["enabled", "disabled", "unknownFutureValue"];

static APPLICATION_CONFIGURATION: Complex = Complex {
    name: "appManagementApplicationConfiguration",
    properties: &[
        list("passwordCredentials", Kind::List(&Kind::Complex(&PASSWORD_CONFIGURATION))),
        list("keyCredentials", Kind::List(&Kind::Complex(&KEY_CONFIGURATION))),
        property("identifierUris", Kind::Complex(&IDENTIFIER_URI_CONFIGURATION)),
    ],
};

pub(super) static SERVICE_PRINCIPAL_CONFIGURATION: Complex = Complex {
    name: "appManagementServicePrincipalConfiguration",
    properties: &[
        list("passwordCredentials", Kind::List(&Kind::Complex(&PASSWORD_CONFIGURATION))),
        list("keyCredentials", Kind::List(&Kind::Complex(&KEY_CONFIGURATION))),
    ],
};

static CUSTOM_CONFIGURATION: Complex = Complex {
    name: "customAppManagementConfiguration",
    properties: &[
        list("passwordCredentials", Kind::List(&Kind::Complex(&PASSWORD_CONFIGURATION))),
        list("keyCredentials", Kind::List(&Kind::Complex(&KEY_CONFIGURATION))),
        property("applicationRestrictions", Kind::Complex(&CUSTOM_APPLICATION_CONFIGURATION)),
    ],
};

static CUSTOM_APPLICATION_CONFIGURATION: Complex = Complex {
    name: "customAppManagementApplicationConfiguration",
    properties: &[property("identifierUris", Kind::Complex(&IDENTIFIER_URI_CONFIGURATION))],
};

pub(super) static PASSWORD_CONFIGURATION: Complex = Complex {
    name: "passwordCredentialConfiguration",
    properties: &[
        property(
            "restrictionType",
            Kind::Enum(&[
                "passwordAddition",
                "passwordLifetime",
                "symmetricKeyAddition",
                "symmetricKeyLifetime",
                "customPasswordAddition",
                "unknownFutureValue",
            ]),
        ),
        property("state", Kind::Enum(STATES)).not_null(),
        property("maxLifetime", Kind::Duration),
        property("restrictForAppsCreatedAfterDateTime", Kind::DateTime),
        property("excludeActors", Kind::Complex(&ACTOR_EXEMPTIONS)),
    ],
};

pub(super) static KEY_CONFIGURATION: Complex = Complex {
    name: "keyCredentialConfiguration",
    properties: &[
        property("restrictionType", Kind::Enum(&["asymmetricKeyLifetime", "unknownFutureValue"])),
        property("state", Kind::Enum(STATES)).not_null(),
        property("maxLifetime", Kind::Duration),
        property("restrictForAppsCreatedAfterDateTime", Kind::DateTime),
        property("excludeActors", Kind::Complex(&ACTOR_EXEMPTIONS)),
    ],
};

pub(super) static IDENTIFIER_URI_CONFIGURATION: Complex = Complex {
    name: "identifierUriConfiguration",
    properties: &[
        property("nonDefaultUriAddition", Kind::Complex(&IDENTIFIER_URI_RESTRICTION)),
        property(
            "uriAdditionWithoutUniqueTenantIdentifier",
            Kind::Complex(&IDENTIFIER_URI_RESTRICTION),
        ),
    ],
};

static IDENTIFIER_URI_RESTRICTION: Complex = Complex {
    name: "identifierUriRestriction",
    properties: &[
        property("state", Kind::Enum(STATES)).not_null(),
        property("restrictForAppsCreatedAfterDateTime", Kind::DateTime),
        property("excludeAppsReceivingV2Tokens", Kind::Bool),
        property("excludeSaml", Kind::Bool),
        property("isStateSetByMicrosoft", Kind::Bool).not_null(),
        property("excludeActors", Kind::Complex(&ACTOR_EXEMPTIONS)),
    ],
};

pub(super) static ACTOR_EXEMPTIONS: Complex = Complex {
    name: "appManagementPolicyActorExemptions",
    properties: &[list(
        "customSecurityAttributes",
        Kind::List(&Kind::Complex(&CUSTOM_SECURITY_ATTRIBUTE_EXEMPTION)),
    )],
};

static CUSTOM_SECURITY_ATTRIBUTE_EXEMPTION: Complex = Complex {
    name: "customSecurityAttributeStringValueExemption",
    properties: &[
        property("id", TEXT).not_null(),
        property("operator", Kind::Enum(&["equals", "unknownFutureValue"])).not_null(),
        property("value", TEXT),
    ],
};
