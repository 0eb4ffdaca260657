//! The directory itself: organization, domains, users, and other directories by name.

use serde_json::{Value, json};

use super::{
    call::{Call, not_found},
    owners,
};
use crate::sandbox::{
    http::Response,
    odata::Shape,
    operation::Operation,
    schema::{DOMAIN, Entity, ORGANIZATION, Refusal, USER},
    world::directory::Directory,
};

/// One of `items` where the path has a key, else all of them.
fn serve(
    call: &Call<'_>,
    entity: &'static Entity,
    context: &str,
    items: &[Value],
    same: impl Fn(&Value, &str) -> bool,
) -> Result<Response, Refusal> {
    let query = call.query(entity)?;
    if call.route.shape != Shape::Single {
        return Ok(call.many(&query, context, items.iter()));
    }
    let key = call.key(0)?.text();
    let item = items.iter().find(|i| same(i, key)).ok_or_else(|| not_found(key))?;
    Ok(call.one(&query, context, item))
}

fn by_id(item: &Value, key: &str) -> bool {
    item["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(key))
}

/// `GET /organization`
pub(super) fn organization(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&["Organization.Read.All", "Directory.Read.All"])?;
    let item = organization_json(call.directory()?);
    serve(call, &ORGANIZATION, "organization", &[item], by_id)
}

fn organization_json(directory: &Directory) -> Value {
    let meta = &directory.meta;
    let domains: Vec<Value> = meta
        .domains
        .iter()
        .enumerate()
        .map(|(i, name)| {
            json!({"capabilities": "Email, OfficeCommunicationsOnline", "isDefault": i == 0,
                   "isInitial": i + 1 == meta.domains.len(), "name": name, "type": "Managed"})
        })
        .collect();
    json!({
        "id": meta.id,
        "deletedDateTime": null,
        "businessPhones": [],
        "city": null,
        "country": null,
        "countryLetterCode": "DE",
        "createdDateTime": meta.created_date_time,
        "defaultUsageLocation": null,
        "displayName": meta.name,
        "marketingNotificationEmails": [],
        "onPremisesLastSyncDateTime": null,
        "onPremisesSyncEnabled": null,
        "partnerTenantType": null,
        "postalCode": null,
        "preferredLanguage": "en",
        "securityComplianceNotificationMails": [],
        "securityComplianceNotificationPhones": [],
        "state": null,
        "street": null,
        "technicalNotificationMails": [],
        "tenantType": "AAD",
        "privacyProfile": null,
        "assignedPlans": [],
        "provisionedPlans": [],
        "verifiedDomains": domains,
    })
}

/// `GET /domains`
pub(super) fn domains(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&["Domain.Read.All", "Directory.Read.All"])?;
    let meta = &call.directory()?.meta;
    let items: Vec<Value> = meta
        .domains
        .iter()
        .enumerate()
        .map(|(i, name)| {
            json!({
                "authenticationType": "Managed",
                "availabilityStatus": null,
                "id": name,
                "isAdminManaged": true,
                "isDefault": i == 0,
                "isInitial": i + 1 == meta.domains.len(),
                "isRoot": true,
                "isVerified": true,
                "manufacturer": null,
                "model": null,
                "passwordNotificationWindowInDays": null,
                "passwordValidityPeriodInDays": null,
                "supportedServices": ["Email"],
                "state": null,
            })
        })
        .collect();
    serve(call, &DOMAIN, "domains", &items, by_id)
}

/// `GET /users`
pub(super) fn users(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&["User.Read.All", "Directory.Read.All"])?;
    let items: Vec<Value> = call.directory()?.meta.users.iter().map(owners::user).collect();
    serve(call, &USER, "users", &items, |item, key| {
        by_id(item, key)
            || item["userPrincipalName"].as_str().is_some_and(|upn| upn.eq_ignore_ascii_case(key))
    })
}

/// `GET /tenantRelationships/findTenantInformationBy…`
pub(super) fn find_tenant(call: &mut Call<'_>, by: Operation) -> Result<Response, Refusal> {
    call.require(&["CrossTenantInformation.ReadBasic.All"])?;
    let key = call.key(0)?;
    let wanted = match by {
        Operation::FindTenantById => "tenantId",
        _ => "domainName",
    };
    let value = match key {
        super::path::Key::Alternate(name, value) if name == wanted => value,
        super::path::Key::Alternate(_, _) | super::path::Key::Id(_) => {
            return Err(Refusal::malformed(format!(
                "The function needs the parameter '{wanted}'."
            )));
        }
    };
    let found = call
        .state
        .world
        .resolve(value)
        .and_then(|id| call.state.world.directory(&id))
        .filter(|d| by != Operation::FindTenantById || d.meta.id.eq_ignore_ascii_case(value))
        .ok_or_else(|| not_found(value))?;
    let item = json!({
        "tenantId": found.meta.id,
        "federationBrandName": null,
        "displayName": found.meta.name,
        "defaultDomainName": found.default_domain(),
    });
    Ok(call.whole(200, "microsoft.graph.tenantInformation", item))
}
