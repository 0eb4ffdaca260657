//! Applications, service principals and what both are made of.
//!
//! <https://learn.microsoft.com/en-us/graph/api/resources/application>,
//! <https://learn.microsoft.com/en-us/graph/api/resources/serviceprincipal>.

use super::super::{Bind, Complex, Entity, Filter, Kind, Navigation, Service, Support};
use super::{DIRECTORY_PAGES, GUIDS, TEXT, TEXTS, id, list, property};

const MAX_DESCRIPTION: usize = 1024;
const AUDIENCES: &[&str] = &[
    "AzureADMyOrg",
    "AzureADMultipleOrgs",
    "AzureADandPersonalMicrosoftAccount",
    "PersonalMicrosoftAccount",
];

/// An app registration.
pub static APPLICATION: Entity = Entity {
    name: "application",
    resource: "Application",
    service: Service::Directory,
    pages: DIRECTORY_PAGES,
    derived: &[],
    properties: &[
        id(Filter::EQUAL),
        property("deletedDateTime", Kind::DateTime)
            .read_only()
            .filter(Filter::ORDER)
            .sort(Support::Advanced),
        property("appId", TEXT).read_only().filter(Filter::EQUAL),
        property("applicationTemplateId", TEXT).read_only().filter(Filter::EQUAL),
        property("disabledByMicrosoftStatus", TEXT).read_only().filter(Filter::EQUAL),
        property("createdByAppId", TEXT).read_only(),
        property("createdDateTime", Kind::DateTime)
            .read_only()
            .filter(Filter::ORDER)
            .sort(Support::Advanced),
        property("displayName", Kind::Text(Some(256)))
            .required()
            .filter(Filter::TEXT)
            .sort(Support::Advanced),
        property("description", Kind::Text(Some(MAX_DESCRIPTION))).filter(Filter::TEXT),
        property("groupMembershipClaims", TEXT),
        list("identifierUris", TEXTS).filter(Filter::TEXT.counted()),
        property("isDeviceOnlyAuthSupported", Kind::Bool),
        property("isDisabled", Kind::Bool),
        property("isFallbackPublicClient", Kind::Bool),
        property("nativeAuthenticationApisEnabled", Kind::Word(&["none", "all"])),
        property("notes", TEXT),
        property("oauth2RequirePostResponse", Kind::Bool).not_null().on_select(),
        property("publisherDomain", TEXT).read_only().filter(Filter::TEXT),
        property("serviceManagementReference", TEXT),
        property("signInAudience", Kind::Word(AUDIENCES)).filter(Filter::EQUAL),
        list("tags", TEXTS).filter(Filter::TEXT.counted()),
        property("tokenEncryptionKeyId", Kind::Guid),
        property("uniqueName", TEXT).on_create().filter(Filter::EQUAL),
        property("samlMetadataUrl", TEXT),
        property("defaultRedirectUri", TEXT),
        property("certification", Kind::Complex(&CERTIFICATION)).read_only(),
        property("optionalClaims", Kind::Complex(&OPTIONAL_CLAIMS)),
        property("requestSignatureVerification", Kind::Complex(&REQUEST_SIGNATURE_VERIFICATION)),
        property(
            "servicePrincipalLockConfiguration",
            Kind::Complex(&SERVICE_PRINCIPAL_LOCK_CONFIGURATION),
        ),
        property("authenticationBehaviors", Kind::Complex(&AUTHENTICATION_BEHAVIORS)).on_select(),
        list("addIns", Kind::List(&Kind::Complex(&ADD_IN))),
        property("api", Kind::Complex(&API_APPLICATION)),
        list("appRoles", Kind::List(&Kind::Complex(&APP_ROLE))).filter(Filter::NONE.counted()),
        property("info", Kind::Complex(&INFORMATIONAL_URL)),
        list("keyCredentials", Kind::List(&Kind::Complex(&KEY_CREDENTIAL)))
            .filter(Filter::NONE.counted()),
        list("managerApplications", GUIDS).on_select(),
        property("parentalControlSettings", Kind::Complex(&PARENTAL_CONTROL_SETTINGS)),
        list("passwordCredentials", Kind::List(&Kind::Complex(&PASSWORD_CREDENTIAL)))
            .filter(Filter::NONE.counted()),
        property("publicClient", Kind::Complex(&PUBLIC_CLIENT_APPLICATION)),
        list("requiredResourceAccess", Kind::List(&Kind::Complex(&REQUIRED_RESOURCE_ACCESS)))
            .filter(Filter::NONE.counted()),
        property("verifiedPublisher", Kind::Complex(&VERIFIED_PUBLISHER)).read_only(),
        property("web", Kind::Complex(&WEB_APPLICATION)),
        property("spa", Kind::Complex(&SPA_APPLICATION)),
    ],
    navigations: &[
        Navigation { name: "owners", bind: Bind::OnCreate },
        Navigation { name: "appManagementPolicies", bind: Bind::Never },
        Navigation { name: "createdOnBehalfOf", bind: Bind::Never },
        Navigation { name: "extensionProperties", bind: Bind::Never },
        Navigation { name: "federatedIdentityCredentials", bind: Bind::Never },
        Navigation { name: "homeRealmDiscoveryPolicies", bind: Bind::Never },
        Navigation { name: "tokenIssuancePolicies", bind: Bind::Never },
        Navigation { name: "tokenLifetimePolicies", bind: Bind::Never },
    ],
};

/// What an application is in one directory.
pub static SERVICE_PRINCIPAL: Entity = Entity {
    name: "servicePrincipal",
    resource: "ServicePrincipal",
    service: Service::Directory,
    pages: DIRECTORY_PAGES,
    derived: &[],
    properties: &[
        id(Filter::EQUAL),
        property("deletedDateTime", Kind::DateTime)
            .read_only()
            .filter(Filter::ORDER)
            .sort(Support::Advanced),
        property("accountEnabled", Kind::Bool).filter(Filter::EQUAL),
        list("alternativeNames", TEXTS).filter(Filter::TEXT),
        property("appDisplayName", TEXT).read_only(),
        property("appDescription", TEXT).read_only(),
        property("appId", TEXT).required().on_create().filter(Filter::EQUAL),
        property("applicationTemplateId", TEXT).read_only().filter(Filter::EQUAL),
        property("appOwnerOrganizationId", Kind::Guid).read_only().filter(Filter::ORDER),
        property("appRoleAssignmentRequired", Kind::Bool).not_null().filter(Filter::EQUAL),
        property("createdByAppId", TEXT).read_only(),
        property("description", Kind::Text(Some(MAX_DESCRIPTION))).filter(Filter::TEXT),
        property("disabledByMicrosoftStatus", TEXT).read_only().filter(Filter::EQUAL),
        property("displayName", Kind::Text(Some(256))).filter(Filter::TEXT).sort(Support::Advanced),
        property("homepage", TEXT).filter(Filter::TEXT),
        property("isDisabled", Kind::Bool),
        property("loginUrl", TEXT),
        property("logoutUrl", TEXT),
        property("notes", Kind::Text(Some(MAX_DESCRIPTION))),
        list("notificationEmailAddresses", TEXTS),
        property("preferredSingleSignOnMode", TEXT),
        property("preferredTokenSigningKeyThumbprint", TEXT),
        list("replyUrls", TEXTS),
        list("servicePrincipalNames", TEXTS).filter(Filter::TEXT),
        property("servicePrincipalType", TEXT).read_only().filter(Filter::EQUAL),
        property("signInAudience", TEXT).read_only().filter(Filter::EQUAL),
        list("tags", TEXTS).filter(Filter::TEXT.counted()),
        property("tokenEncryptionKeyId", Kind::Guid),
        property("samlSingleSignOnSettings", Kind::Complex(&SAML_SINGLE_SIGN_ON_SETTINGS)),
        property("customSecurityAttributes", Kind::Open).on_select(),
        list("addIns", Kind::List(&Kind::Complex(&ADD_IN))).read_only(),
        list("appRoles", Kind::List(&Kind::Complex(&APP_ROLE))).read_only(),
        property("info", Kind::Complex(&INFORMATIONAL_URL)).read_only(),
        list("keyCredentials", Kind::List(&Kind::Complex(&KEY_CREDENTIAL))),
        list("oauth2PermissionScopes", Kind::List(&Kind::Complex(&PERMISSION_SCOPE))).read_only(),
        list("passwordCredentials", Kind::List(&Kind::Complex(&PASSWORD_CREDENTIAL))),
        list(
            "resourceSpecificApplicationPermissions",
            Kind::List(&Kind::Complex(&RESOURCE_SPECIFIC_PERMISSION)),
        )
        .read_only(),
        property("verifiedPublisher", Kind::Complex(&VERIFIED_PUBLISHER)).read_only(),
    ],
    navigations: &[
        Navigation { name: "owners", bind: Bind::OnCreate },
        Navigation { name: "appManagementPolicies", bind: Bind::Never },
        Navigation { name: "appRoleAssignedTo", bind: Bind::Never },
        Navigation { name: "appRoleAssignments", bind: Bind::Never },
        Navigation { name: "claimsMappingPolicies", bind: Bind::Never },
        Navigation { name: "createdObjects", bind: Bind::Never },
        Navigation { name: "delegatedPermissionClassifications", bind: Bind::Never },
        Navigation { name: "endpoints", bind: Bind::Never },
        Navigation { name: "federatedIdentityCredentials", bind: Bind::Never },
        Navigation { name: "homeRealmDiscoveryPolicies", bind: Bind::Never },
        Navigation { name: "memberOf", bind: Bind::Never },
        Navigation { name: "oauth2PermissionGrants", bind: Bind::Never },
        Navigation { name: "ownedObjects", bind: Bind::Never },
        Navigation { name: "tokenIssuancePolicies", bind: Bind::Never },
        Navigation { name: "tokenLifetimePolicies", bind: Bind::Never },
        Navigation { name: "transitiveMemberOf", bind: Bind::Never },
    ],
};

/// A client secret: what `addPassword` takes and what a registration lists.
pub static PASSWORD_CREDENTIAL: Complex = Complex {
    name: "passwordCredential",
    properties: &[
        property("customKeyIdentifier", Kind::Binary),
        property("displayName", TEXT),
        property("endDateTime", Kind::DateTime),
        property("hint", TEXT).read_only(),
        property("keyId", Kind::Guid),
        // Not read-only in this table: its refusal has words of its own.
        property("secretText", TEXT),
        property("startDateTime", Kind::DateTime),
    ],
};

static KEY_CREDENTIAL: Complex = Complex {
    name: "keyCredential",
    properties: &[
        property("customKeyIdentifier", Kind::Binary),
        property("displayName", TEXT),
        property("endDateTime", Kind::DateTime),
        property("key", Kind::Binary),
        property("keyId", Kind::Guid),
        property("startDateTime", Kind::DateTime),
        property("type", TEXT),
        property("usage", TEXT),
    ],
};

static REQUIRED_RESOURCE_ACCESS: Complex = Complex {
    name: "requiredResourceAccess",
    properties: &[
        property("resourceAppId", TEXT).required().filter(Filter::ADVANCED),
        list("resourceAccess", Kind::List(&Kind::Complex(&RESOURCE_ACCESS))),
    ],
};

static RESOURCE_ACCESS: Complex = Complex {
    name: "resourceAccess",
    properties: &[
        property("id", Kind::Guid).required(),
        property("type", Kind::Word(&["Role", "Scope"])).required(),
    ],
};

static WEB_APPLICATION: Complex = Complex {
    name: "webApplication",
    properties: &[
        property("homePageUrl", TEXT).filter(Filter::ADVANCED),
        property("logoutUrl", Kind::Text(Some(255))),
        list("redirectUris", TEXTS).filter(Filter::ADVANCED.counted()),
        property("implicitGrantSettings", Kind::Complex(&IMPLICIT_GRANT_SETTINGS)),
        list("redirectUriSettings", Kind::List(&Kind::Complex(&REDIRECT_URI_SETTINGS))),
    ],
};

static IMPLICIT_GRANT_SETTINGS: Complex = Complex {
    name: "implicitGrantSettings",
    properties: &[
        property("enableAccessTokenIssuance", Kind::Bool),
        property("enableIdTokenIssuance", Kind::Bool),
    ],
};

static REDIRECT_URI_SETTINGS: Complex = Complex {
    name: "redirectUriSettings",
    properties: &[property("uri", TEXT), property("index", Kind::Int)],
};

static SPA_APPLICATION: Complex =
    Complex { name: "spaApplication", properties: &[list("redirectUris", TEXTS)] };

static PUBLIC_CLIENT_APPLICATION: Complex =
    Complex { name: "publicClientApplication", properties: &[list("redirectUris", TEXTS)] };

static API_APPLICATION: Complex = Complex {
    name: "apiApplication",
    properties: &[
        property("acceptMappedClaims", Kind::Bool),
        list("knownClientApplications", GUIDS),
        property("requestedAccessTokenVersion", Kind::Int),
        list("oauth2PermissionScopes", Kind::List(&Kind::Complex(&PERMISSION_SCOPE))),
        list("preAuthorizedApplications", Kind::List(&Kind::Complex(&PRE_AUTHORIZED_APPLICATION))),
    ],
};

static PERMISSION_SCOPE: Complex = Complex {
    name: "permissionScope",
    properties: &[
        property("adminConsentDescription", TEXT),
        property("adminConsentDisplayName", TEXT),
        property("id", Kind::Guid).required(),
        property("isEnabled", Kind::Bool).not_null(),
        property("origin", TEXT).read_only(),
        property("type", Kind::Word(&["User", "Admin"])),
        property("userConsentDescription", TEXT),
        property("userConsentDisplayName", TEXT),
        property("value", TEXT),
    ],
};

static PRE_AUTHORIZED_APPLICATION: Complex = Complex {
    name: "preAuthorizedApplication",
    properties: &[property("appId", TEXT).required(), list("delegatedPermissionIds", TEXTS)],
};

static APP_ROLE: Complex = Complex {
    name: "appRole",
    properties: &[
        list("allowedMemberTypes", TEXTS),
        property("description", TEXT),
        property("displayName", TEXT),
        property("id", Kind::Guid).required(),
        property("isEnabled", Kind::Bool).not_null(),
        property("origin", TEXT).read_only(),
        property("value", TEXT),
    ],
};

static INFORMATIONAL_URL: Complex = Complex {
    name: "informationalUrl",
    properties: &[
        property("logoUrl", TEXT).read_only(),
        property("marketingUrl", TEXT),
        property("privacyStatementUrl", TEXT),
        property("supportUrl", TEXT),
        property("termsOfServiceUrl", TEXT),
    ],
};

static PARENTAL_CONTROL_SETTINGS: Complex = Complex {
    name: "parentalControlSettings",
    properties: &[
        list("countriesBlockedForMinors", TEXTS),
        property(
            "legalAgeGroupRule",
            Kind::Word(&[
                "Allow",
                "RequireConsentForPrivacyServices",
                "RequireConsentForMinors",
                "RequireConsentForKids",
                "BlockMinors",
            ]),
        ),
    ],
};

static OPTIONAL_CLAIMS: Complex = Complex {
    name: "optionalClaims",
    properties: &[
        list("accessToken", Kind::List(&Kind::Complex(&OPTIONAL_CLAIM))),
        list("idToken", Kind::List(&Kind::Complex(&OPTIONAL_CLAIM))),
        list("saml2Token", Kind::List(&Kind::Complex(&OPTIONAL_CLAIM))),
    ],
};

static OPTIONAL_CLAIM: Complex = Complex {
    name: "optionalClaim",
    properties: &[
        list("additionalProperties", TEXTS),
        property("essential", Kind::Bool).not_null(),
        property("name", TEXT).required(),
        property("source", TEXT),
    ],
};

static SERVICE_PRINCIPAL_LOCK_CONFIGURATION: Complex = Complex {
    name: "servicePrincipalLockConfiguration",
    properties: &[
        property("isEnabled", Kind::Bool).not_null(),
        property("allProperties", Kind::Bool),
        property("credentialsWithUsageVerify", Kind::Bool),
        property("credentialsWithUsageSign", Kind::Bool),
        property("tokenEncryptionKeyId", Kind::Bool),
    ],
};

static AUTHENTICATION_BEHAVIORS: Complex = Complex {
    name: "authenticationBehaviors",
    properties: &[
        property("blockAzureADGraphAccess", Kind::Bool),
        property("removeUnverifiedEmailClaim", Kind::Bool),
        property("requireClientServicePrincipal", Kind::Bool),
    ],
};

static REQUEST_SIGNATURE_VERIFICATION: Complex = Complex {
    name: "requestSignatureVerification",
    properties: &[
        property("isSignedRequestRequired", Kind::Bool).not_null(),
        property("allowedWeakAlgorithms", Kind::Word(&["rsaSha1"])),
    ],
};

static ADD_IN: Complex = Complex {
    name: "addIn",
    properties: &[
        property("id", Kind::Guid),
        property("type", TEXT).required(),
        list("properties", Kind::List(&Kind::Complex(&KEY_VALUE))),
    ],
};

static KEY_VALUE: Complex =
    Complex { name: "keyValue", properties: &[property("key", TEXT), property("value", TEXT)] };

static CERTIFICATION: Complex = Complex {
    name: "certification",
    properties: &[
        property("certificationDetailsUrl", TEXT),
        property("certificationExpirationDateTime", Kind::DateTime),
        property("isCertifiedByMicrosoft", Kind::Bool),
        property("isPublisherAttested", Kind::Bool),
        property("lastCertificationDateTime", Kind::DateTime),
    ],
};

static VERIFIED_PUBLISHER: Complex = Complex {
    name: "verifiedPublisher",
    properties: &[
        property("displayName", TEXT),
        property("verifiedPublisherId", TEXT),
        property("addedDateTime", Kind::DateTime),
    ],
};

static SAML_SINGLE_SIGN_ON_SETTINGS: Complex =
    Complex { name: "samlSingleSignOnSettings", properties: &[property("relayState", TEXT)] };

static RESOURCE_SPECIFIC_PERMISSION: Complex = Complex {
    name: "resourceSpecificPermission",
    properties: &[
        property("description", TEXT),
        property("displayName", TEXT),
        property("id", Kind::Guid).required(),
        property("isEnabled", Kind::Bool).not_null(),
        property("value", TEXT),
    ],
};
