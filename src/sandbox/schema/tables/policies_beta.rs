//! App-management policies as Graph's beta has them: with audiences and redirect URIs.
//!
//! <https://learn.microsoft.com/en-us/graph/api/resources/redirecturiconfiguration?view=graph-rest-beta>,
//! `…/audiencesconfiguration`.

use super::super::{Bind, Complex, Entity, Filter, Kind, Navigation, Property, Service};
use super::policies::{
    ACTOR_EXEMPTIONS, IDENTIFIER_URI_CONFIGURATION, KEY_CONFIGURATION, PASSWORD_CONFIGURATION,
    SERVICE_PRINCIPAL_CONFIGURATION, STATES,
};
use super::{DIRECTORY_PAGES, TEXT, TEXTS, id, list, property};

/// The tenant's default policy.
pub static TENANT_APP_MANAGEMENT_POLICY_BETA: Entity = Entity {
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

/// A policy for named applications.
pub static APP_MANAGEMENT_POLICY_BETA: Entity = Entity {
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

static PASSWORD: Kind = Kind::Complex(&PASSWORD_CONFIGURATION);
static KEY: Kind = Kind::Complex(&KEY_CONFIGURATION);
const PASSWORDS: Property = list("passwordCredentials", Kind::List(&PASSWORD));
const KEYS: Property = list("keyCredentials", Kind::List(&KEY));
const IDENTIFIERS: Property =
    property("identifierUris", Kind::Complex(&IDENTIFIER_URI_CONFIGURATION));
const AUDIENCES: Property = property("audiences", Kind::Complex(&AUDIENCES_CONFIGURATION));
const REDIRECTS: Property = property("redirectUris", Kind::Complex(&REDIRECT_URI_CONFIGURATION));

static APPLICATION_CONFIGURATION: Complex = Complex {
    name: "appManagementApplicationConfiguration",
    properties: &[PASSWORDS, KEYS, IDENTIFIERS, AUDIENCES, REDIRECTS],
};

static CUSTOM_CONFIGURATION: Complex = Complex {
    name: "customAppManagementConfiguration",
    properties: &[
        PASSWORDS,
        KEYS,
        property("applicationRestrictions", Kind::Complex(&CUSTOM_APPLICATION_CONFIGURATION)),
    ],
};

static CUSTOM_APPLICATION_CONFIGURATION: Complex = Complex {
    name: "customAppManagementApplicationConfiguration",
    properties: &[IDENTIFIERS, AUDIENCES, REDIRECTS],
};

const STATE: Property = property("state", Kind::Enum(STATES)).not_null();
const CREATED_AFTER: Property = property("restrictForAppsCreatedAfterDateTime", Kind::DateTime);
const SET_BY_MICROSOFT: Property = property("isStateSetByMicrosoft", Kind::Bool).not_null();
const EXCLUDE_ACTORS: Property = property("excludeActors", Kind::Complex(&ACTOR_EXEMPTIONS));

static AUDIENCES_CONFIGURATION: Complex = Complex {
    name: "audiencesConfiguration",
    properties: &[
        property("azureAdMultipleOrgs", Kind::Complex(&AUDIENCE_RESTRICTION)),
        property("personalMicrosoftAccount", Kind::Complex(&AUDIENCE_RESTRICTION)),
    ],
};

static AUDIENCE_RESTRICTION: Complex = Complex {
    name: "audienceRestriction",
    properties: &[STATE, CREATED_AFTER, SET_BY_MICROSOFT, EXCLUDE_ACTORS],
};

static REDIRECT_URI_CONFIGURATION: Complex = Complex {
    name: "redirectUriConfiguration",
    properties: &[
        property("uriWithoutAllowedScheme", Kind::Complex(&ALLOWED_SCHEMES)),
        property("uriWithBlockedScheme", Kind::Complex(&BLOCKED_SCHEMES)),
        property("uriWithoutAllowedDomain", Kind::Complex(&ALLOWED_DOMAINS)),
        property("uriWithBlockedDomain", Kind::Complex(&BLOCKED_DOMAINS)),
        property("uriWithWildcard", Kind::Complex(&WILDCARDS)),
    ],
};

/// A rule that holds for every platform, and more of it for single ones.
macro_rules! rule {
    ($rule:ident = $name:literal, $platform:ident = $platform_name:literal, [$($list:literal),+]) => {
        static $platform: Complex =
            Complex { name: $platform_name, properties: &[$(list($list, TEXTS)),+] };

        static $rule: Complex = Complex {
            name: $name,
            properties: &[
                STATE,
                CREATED_AFTER,
                SET_BY_MICROSOFT,
                EXCLUDE_ACTORS,
                $(list($list, TEXTS),)+
                property("web", Kind::Complex(&$platform)),
                property("spa", Kind::Complex(&$platform)),
                property("publicClient", Kind::Complex(&$platform)),
            ],
        };
    };
}

rule!(
    ALLOWED_SCHEMES = "redirectUriAllowedSchemeConfiguration",
    PLATFORM_ALLOWED_SCHEMES = "redirectUriPlatformAllowedSchemeConfiguration",
    ["allowedSchemes"]
);
rule!(
    BLOCKED_SCHEMES = "redirectUriBlockedSchemeConfiguration",
    PLATFORM_BLOCKED_SCHEMES = "redirectUriPlatformBlockedSchemeConfiguration",
    ["blockedSchemes", "exemptFormats"]
);
rule!(
    ALLOWED_DOMAINS = "redirectUriAllowedDomainConfiguration",
    PLATFORM_ALLOWED_DOMAINS = "redirectUriPlatformAllowedDomainConfiguration",
    ["allowedDomains"]
);
rule!(
    BLOCKED_DOMAINS = "redirectUriBlockedDomainConfiguration",
    PLATFORM_BLOCKED_DOMAINS = "redirectUriPlatformBlockedDomainConfiguration",
    ["blockedDomains"]
);

static WILDCARDS: Complex = Complex {
    name: "redirectUriWildcardConfiguration",
    properties: &[
        STATE,
        CREATED_AFTER,
        SET_BY_MICROSOFT,
        EXCLUDE_ACTORS,
        property("excludeFormats", Kind::Complex(&WILDCARD_FORMATS)),
    ],
};

static WILDCARD_FORMATS: Complex = Complex {
    name: "redirectUriWildcardExcludeFormats",
    properties: &[
        property("excludeWildcardsInPath", Kind::Bool),
        list("excludeWildcardsInPathWithDomains", TEXTS),
    ],
};
