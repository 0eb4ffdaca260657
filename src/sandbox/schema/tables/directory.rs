//! People, grants, domains and the organization itself.
//!
//! <https://learn.microsoft.com/en-us/graph/api/resources/user>, `…/organization`, `…/domain`,
//! `…/oauth2permissiongrant`, `…/approleassignment`, `…/directoryobject`.

use super::super::{Bind, Complex, Entity, Filter, Kind, Navigation, Service, Support};
use super::{APPLICATION, DIRECTORY_PAGES, SERVICE_PRINCIPAL, TEXT, TEXTS, id, list, property};

/// A person's account. Only the properties that the sandbox's people have.
pub static USER: Entity = Entity {
    name: "user",
    resource: "User",
    service: Service::Directory,
    pages: DIRECTORY_PAGES,
    derived: &[],
    properties: &[
        list("businessPhones", TEXTS),
        property("displayName", TEXT).required().filter(Filter::TEXT).sort(Support::Always),
        property("givenName", TEXT).filter(Filter::TEXT),
        property("jobTitle", TEXT).filter(Filter::TEXT),
        property("mail", TEXT).filter(Filter::TEXT.ends()),
        property("mobilePhone", TEXT).filter(Filter::ADVANCED),
        property("officeLocation", TEXT).filter(Filter::ADVANCED),
        property("preferredLanguage", TEXT).filter(Filter::ADVANCED),
        property("surname", TEXT).filter(Filter::TEXT),
        property("userPrincipalName", TEXT)
            .required()
            .filter(Filter::TEXT.ends())
            .sort(Support::Always),
        id(Filter::EQUAL),
        property("accountEnabled", Kind::Bool).filter(Filter::EQUAL).on_select(),
        property("createdDateTime", Kind::DateTime)
            .read_only()
            .filter(Filter::ORDER)
            .sort(Support::Advanced)
            .on_select(),
        property("mailNickname", TEXT).filter(Filter::TEXT).on_select(),
        property("userType", TEXT).filter(Filter::EQUAL).on_select(),
    ],
    navigations: &[
        Navigation { name: "memberOf", bind: Bind::Never },
        Navigation { name: "ownedObjects", bind: Bind::Never },
    ],
};

/// Anything in the directory, where Graph does not say which kind: owners of an application,
/// things in the bin.
pub static DIRECTORY_OBJECT: Entity = Entity {
    name: "directoryObject",
    resource: "DirectoryObject",
    service: Service::Directory,
    pages: DIRECTORY_PAGES,
    derived: &[&USER, &SERVICE_PRINCIPAL, &APPLICATION],
    properties: &[
        id(Filter::EQUAL),
        property("deletedDateTime", Kind::DateTime).read_only().filter(Filter::ORDER),
    ],
    navigations: &[],
};

/// Consent to delegated permissions.
pub static OAUTH2_PERMISSION_GRANT: Entity = Entity {
    name: "oAuth2PermissionGrant",
    resource: "OAuth2PermissionGrant",
    service: Service::Directory,
    pages: DIRECTORY_PAGES,
    derived: &[],
    properties: &[
        property("clientId", TEXT).required().on_create().filter(Filter::EQUAL),
        property("consentType", Kind::Word(&["AllPrincipals", "Principal"]))
            .required()
            .on_create()
            .filter(Filter::EQUAL),
        id(Filter::EQUAL),
        property("principalId", TEXT).on_create().filter(Filter::EQUAL),
        property("resourceId", TEXT).required().on_create().filter(Filter::EQUAL),
        property("scope", TEXT),
    ],
    navigations: &[],
};

/// An application permission (an app role) that a service principal holds.
pub static APP_ROLE_ASSIGNMENT: Entity = Entity {
    name: "appRoleAssignment",
    resource: "AppRoleAssignment",
    service: Service::Directory,
    pages: DIRECTORY_PAGES,
    derived: &[],
    properties: &[
        id(Filter::EQUAL),
        property("deletedDateTime", Kind::DateTime).read_only(),
        property("appRoleId", Kind::Guid).required().on_create(),
        property("createdDateTime", Kind::DateTime).read_only(),
        property("principalDisplayName", TEXT)
            .read_only()
            .filter(Filter { starts: Support::Always, ..Filter::EQUAL }),
        property("principalId", Kind::Guid).required().on_create().filter(Filter::EQUAL),
        property("principalType", TEXT).read_only(),
        property("resourceDisplayName", TEXT).read_only(),
        property("resourceId", Kind::Guid).required().on_create().filter(Filter::EQUAL),
    ],
    navigations: &[],
};

/// The tenant itself.
pub static ORGANIZATION: Entity = Entity {
    name: "organization",
    resource: "Organization",
    service: Service::Settings,
    pages: DIRECTORY_PAGES,
    derived: &[],
    properties: &[
        id(Filter::NONE),
        property("deletedDateTime", Kind::DateTime).read_only(),
        list("businessPhones", TEXTS).read_only(),
        property("city", TEXT).read_only(),
        property("country", TEXT).read_only(),
        property("countryLetterCode", TEXT).read_only(),
        property("createdDateTime", Kind::DateTime).read_only(),
        property("defaultUsageLocation", TEXT).read_only(),
        property("displayName", TEXT).read_only(),
        list("marketingNotificationEmails", TEXTS),
        property(
            "mobileDeviceManagementAuthority",
            Kind::Enum(&["unknown", "intune", "sccm", "office365"]),
        )
        .not_null()
        .read_only(),
        property("onPremisesLastSyncDateTime", Kind::DateTime).read_only(),
        property("onPremisesSyncEnabled", Kind::Bool).read_only(),
        property("partnerTenantType", Kind::Enum(PARTNER_TENANT_TYPES)).read_only(),
        property("postalCode", TEXT).read_only(),
        property("preferredLanguage", TEXT).read_only(),
        list("securityComplianceNotificationMails", TEXTS),
        list("securityComplianceNotificationPhones", TEXTS),
        property("state", TEXT).read_only(),
        property("street", TEXT).read_only(),
        list("technicalNotificationMails", TEXTS),
        property("tenantType", TEXT).read_only(),
        property("privacyProfile", Kind::Complex(&PRIVACY_PROFILE)),
        list("assignedPlans", Kind::List(&Kind::Complex(&ASSIGNED_PLAN))).read_only(),
        list("provisionedPlans", Kind::List(&Kind::Complex(&PROVISIONED_PLAN))).read_only(),
        list("verifiedDomains", Kind::List(&Kind::Complex(&VERIFIED_DOMAIN))).read_only(),
    ],
    navigations: &[],
};

const PARTNER_TENANT_TYPES: &[&str] = &[
    "microsoftSupport",
    "syndicatePartner",
    "breadthPartner",
    "breadthPartnerDelegatedAdmin",
    "resellerPartnerDelegatedAdmin",
    "valueAddedResellerPartnerDelegatedAdmin",
    "unknownFutureValue",
];

/// A domain of the tenant; its id is its name.
pub static DOMAIN: Entity = Entity {
    name: "domain",
    resource: "Domain",
    service: Service::Settings,
    pages: DIRECTORY_PAGES,
    derived: &[],
    properties: &[
        property("authenticationType", TEXT).not_null().read_only(),
        property("availabilityStatus", TEXT).read_only(),
        // The one key that a creation names.
        property("id", TEXT).required().on_create(),
        property("isAdminManaged", Kind::Bool).not_null().read_only(),
        property("isDefault", Kind::Bool).not_null(),
        property("isInitial", Kind::Bool).not_null().read_only(),
        property("isRoot", Kind::Bool).not_null().read_only(),
        property("isVerified", Kind::Bool).not_null().read_only(),
        property("manufacturer", TEXT).read_only(),
        property("model", TEXT).read_only(),
        property("passwordNotificationWindowInDays", Kind::Int),
        property("passwordValidityPeriodInDays", Kind::Int),
        list("supportedServices", TEXTS),
        property("state", Kind::Complex(&DOMAIN_STATE)).read_only(),
    ],
    navigations: &[],
};

static PRIVACY_PROFILE: Complex = Complex {
    name: "privacyProfile",
    properties: &[property("contactEmail", TEXT), property("statementUrl", TEXT)],
};

static ASSIGNED_PLAN: Complex = Complex {
    name: "assignedPlan",
    properties: &[
        property("assignedDateTime", Kind::DateTime),
        property("capabilityStatus", TEXT),
        property("service", TEXT),
        property("servicePlanId", Kind::Guid),
    ],
};

static PROVISIONED_PLAN: Complex = Complex {
    name: "provisionedPlan",
    properties: &[
        property("capabilityStatus", TEXT),
        property("provisioningStatus", TEXT),
        property("service", TEXT),
    ],
};

static VERIFIED_DOMAIN: Complex = Complex {
    name: "verifiedDomain",
    properties: &[
        property("capabilities", TEXT),
        property("isDefault", Kind::Bool),
        property("isInitial", Kind::Bool),
        property("name", TEXT),
        property("type", TEXT),
    ],
};

static DOMAIN_STATE: Complex = Complex {
    name: "domainState",
    properties: &[
        property("lastActionDateTime", Kind::DateTime),
        property("operation", TEXT),
        property("status", TEXT),
    ],
};
