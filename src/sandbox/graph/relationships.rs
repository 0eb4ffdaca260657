//! A partner's delegated admin relationships with customers, to be read
//! (<https://learn.microsoft.com/en-us/graph/api/tenantrelationship-list-delegatedadminrelationships>).

use serde_json::Value;

use super::call::{Call, not_found};
use crate::sandbox::{
    http::Response,
    odata::Shape,
    schema::{DELEGATED_ADMIN_RELATIONSHIP, Refusal},
    world::partners,
};

/// `GET /tenantRelationships/delegatedAdminRelationships`, and one of them by its id.
pub(super) fn serve(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&[
        "DelegatedAdminRelationship.Read.All",
        "DelegatedAdminRelationship.ReadWrite.All",
    ])?;
    let query = call.query(&DELEGATED_ADMIN_RELATIONSHIP)?;
    let context = "tenantRelationships/delegatedAdminRelationships";
    let (now, stored) = (call.now(), &call.directory()?.meta.delegated_admin_relationships);
    if call.route.shape != Shape::Single {
        let items: Vec<Value> = stored.iter().map(|item| partners::at(item, now)).collect();
        return Ok(call.many(&query, context, items.iter()));
    }
    let key = call.key(0)?.text();
    let named = |item: &&Value| item["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(key));
    let item = stored.iter().find(named).ok_or_else(|| not_found(key))?;
    Ok(call.one(&query, context, &partners::at(item, now)))
}
