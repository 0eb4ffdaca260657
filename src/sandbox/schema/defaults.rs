//! What a new resource has that nobody named, and how a change is put onto an old one.

use serde_json::{Map, Value, json};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        // Only the literals below come here, and each is an object.
        _ => Map::new(),
    }
}

/// An application as Graph shows it after a creation that named nothing
/// (<https://learn.microsoft.com/en-us/graph/api/application-post-applications>).
///
/// Without `id`, `appId`, `createdDateTime`, `publisherDomain` and `displayName`: the world
/// gives those. The example there shows another `signInAudience` than the reference names;
/// this is the reference's.
pub fn application_defaults() -> Map<String, Value> {
    object(json!({
        "deletedDateTime": null,
        "applicationTemplateId": null,
        "disabledByMicrosoftStatus": null,
        "createdByAppId": null,
        "description": null,
        "groupMembershipClaims": null,
        "identifierUris": [],
        "isDeviceOnlyAuthSupported": null,
        "isDisabled": null,
        "isFallbackPublicClient": null,
        "nativeAuthenticationApisEnabled": null,
        "notes": null,
        "serviceManagementReference": null,
        "signInAudience": "AzureADMyOrg",
        "tags": [],
        "tokenEncryptionKeyId": null,
        "uniqueName": null,
        "samlMetadataUrl": null,
        "defaultRedirectUri": null,
        "certification": null,
        "optionalClaims": null,
        "requestSignatureVerification": null,
        "servicePrincipalLockConfiguration": null,
        "addIns": [],
        "api": {
            "acceptMappedClaims": null,
            "knownClientApplications": [],
            "requestedAccessTokenVersion": 2,
            "oauth2PermissionScopes": [],
            "preAuthorizedApplications": [],
        },
        "appRoles": [],
        "info": {
            "logoUrl": null,
            "marketingUrl": null,
            "privacyStatementUrl": null,
            "supportUrl": null,
            "termsOfServiceUrl": null,
        },
        "keyCredentials": [],
        "parentalControlSettings": {"countriesBlockedForMinors": [], "legalAgeGroupRule": "Allow"},
        "passwordCredentials": [],
        "publicClient": {"redirectUris": []},
        "requiredResourceAccess": [],
        "verifiedPublisher": {
            "displayName": null,
            "verifiedPublisherId": null,
            "addedDateTime": null,
        },
        "web": {
            "homePageUrl": null,
            "logoutUrl": null,
            "redirectUris": [],
            "implicitGrantSettings": {
                "enableAccessTokenIssuance": false,
                "enableIdTokenIssuance": false,
            },
            "redirectUriSettings": [],
        },
        "spa": {"redirectUris": []},
    }))
}

/// A service principal as Graph shows it after a creation that named nothing
/// (<https://learn.microsoft.com/en-us/graph/api/serviceprincipal-post-serviceprincipals>).
///
/// Without what is copied from the application and what the world gives.
pub fn service_principal_defaults() -> Map<String, Value> {
    object(json!({
        "deletedDateTime": null,
        "accountEnabled": true,
        "alternativeNames": [],
        "appDescription": null,
        "applicationTemplateId": null,
        "appRoleAssignmentRequired": false,
        "createdByAppId": null,
        "description": null,
        "disabledByMicrosoftStatus": null,
        "homepage": null,
        "isDisabled": null,
        "loginUrl": null,
        "logoutUrl": null,
        "notes": null,
        "notificationEmailAddresses": [],
        "preferredSingleSignOnMode": null,
        "preferredTokenSigningKeyThumbprint": null,
        "replyUrls": [],
        "servicePrincipalNames": [],
        "servicePrincipalType": "Application",
        "tags": [],
        "tokenEncryptionKeyId": null,
        "samlSingleSignOnSettings": null,
        "addIns": [],
        "appRoles": [],
        "info": {
            "logoUrl": null,
            "marketingUrl": null,
            "privacyStatementUrl": null,
            "supportUrl": null,
            "termsOfServiceUrl": null,
        },
        "keyCredentials": [],
        "oauth2PermissionScopes": [],
        "passwordCredentials": [],
        "resourceSpecificApplicationPermissions": [],
        "verifiedPublisher": {
            "displayName": null,
            "verifiedPublisherId": null,
            "addedDateTime": null,
        },
    }))
}

/// Puts a body onto a resource by the rules of `PATCH`: what the body does not name stays,
/// lists are replaced whole, objects are merged member by member. A null in the place of an
/// object empties it. Annotations (`@odata.…`, `owners@odata.bind`) are not kept.
pub fn merge_patch(current: &Map<String, Value>, body: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = current.clone();
    for (name, value) in body {
        if name.contains('@') {
            continue;
        }
        let next = match (merged.get(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(merge_patch(old, new)),
            (Some(old @ Value::Object(_)), Value::Null) => emptied(old),
            (_, new) => without_annotations(new),
        };
        merged.insert(name.clone(), next);
    }
    merged
}

fn emptied(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), emptied(member))).collect()
        }
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Bool(_) => Value::Bool(false),
        Value::Null | Value::Number(_) | Value::String(_) => Value::Null,
    }
}

fn without_annotations(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !name.contains('@'))
            .map(|(name, member)| (name.clone(), without_annotations(member)))
            .collect(),
        Value::Array(items) => items.iter().map(without_annotations).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
