//! Microsoft Graph: from a request to an answer, over one world.
//!
//! <https://learn.microsoft.com/en-us/graph/api/overview>; what the directory refuses and how is
//! written from the reference of each resource and from
//! <https://learn.microsoft.com/en-us/graph/errors>.

mod applications;
mod assignments;
pub(super) mod batch;
mod bin;
mod call;
pub(super) mod caller;
mod federated;
mod grants;
mod keys;
mod organization;
mod owners;
mod passwords;
pub(super) mod path;
mod policies;
mod policy_rules;
pub(super) mod principals;
mod redirect_rules;
mod relationships;
pub(super) mod route;
mod security;
mod write;

use serde_json::json;

use super::{
    engine::{Context, State},
    http::{Request, Response},
    operation::Operation,
    random,
    schema::Refusal,
    throttle,
    world::first_party,
};
use call::Call;
use route::Route;

/// Answers a request to Graph; its address was found before.
pub(super) fn answer(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    operation: Operation,
    route: &Route,
) -> Response {
    let request_id = random::guid();
    let now = state.world.now();
    let units = throttle::units(operation, request);
    let result = admitted(state, context, request, operation, route, units);
    let (response, limits) = match result {
        Ok((response, limits)) => (response, limits),
        Err((refusal, limits)) => (
            refused(&refusal, request, &request_id, &now.strftime("%Y-%m-%dT%H:%M:%S").to_string()),
            limits,
        ),
    };
    let mut response =
        finish(response, request, &request_id).with("x-ms-resource-unit", units.to_string());
    for (name, value) in limits {
        response = response.with(name, value);
    }
    response
}

type Limits = Vec<(&'static str, String)>;

fn admitted(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    operation: Operation,
    route: &Route,
    units: u32,
) -> Result<(Response, Limits), (Refusal, Limits)> {
    let bare = |refusal| (refusal, Limits::new());
    let caller =
        caller::authenticate(&state.world, context, request, first_party::GRAPH).map_err(bare)?;
    let limits = match &mut state.throttle {
        None => Limits::new(),
        Some(throttle) => throttle
            .admit(&state.world, &caller, operation, units)
            .map_err(|refused| (refused.refusal, refused.headers))?,
    };
    if let Some(refusal) = &route.refusal {
        return Err((refusal.clone(), limits));
    }
    let tenant = caller.tenant.clone();
    state.world.expire_bin(&tenant);
    let mut call = Call { state, request, route, caller };
    match dispatch(&mut call, operation) {
        Ok(response) => Ok((response, limits)),
        Err(refusal) => Err((refusal, limits)),
    }
}

fn dispatch(call: &mut Call<'_>, operation: Operation) -> Result<Response, Refusal> {
    use Operation as O;
    match operation {
        O::ListApplications => applications::list(call),
        O::GetApplication => applications::get(call),
        O::CreateApplication => write::create(call),
        O::UpsertApplication => write::upsert(call),
        O::UpdateApplication => write::update(call),
        O::DeleteApplication => write::delete(call),
        O::AddPassword => passwords::add(call),
        O::RemovePassword => passwords::remove(call),
        O::ListOwners => owners::list(call),
        O::AddOwner => owners::add(call),
        O::RemoveOwner => owners::remove(call),
        O::ListFederated => federated::list(call),
        O::GetFederated => federated::get(call),
        O::AddFederated => federated::add(call),
        O::UpdateFederated => federated::update(call),
        O::RemoveFederated => federated::remove(call),
        O::ListApplicationPolicies => policies::list_of_application(call),
        O::AssignPolicy => policies::assign(call),
        O::UnassignPolicy => policies::unassign(call),
        O::ListDeletedItems => bin::list(call),
        O::GetDeletedItem => bin::get(call),
        O::RestoreDeletedItem => bin::restore(call),
        O::PurgeDeletedItem => bin::purge(call),
        O::ListServicePrincipals => principals::list(call),
        O::GetServicePrincipal => principals::get(call),
        O::CreateServicePrincipal => principals::create(call),
        O::UpdateServicePrincipal => principals::update(call),
        O::DeleteServicePrincipal => principals::delete(call),
        O::ListServicePrincipalOwners => principals::owners(call),
        O::ListServicePrincipalGrants => grants::list_of_principal(call),
        O::ListAppRoleAssignments => assignments::list(call),
        O::ListAppRoleAssignedTo => assignments::list_assigned_to(call),
        O::GetAppRoleAssignment => assignments::get(call),
        O::CreateAppRoleAssignment => assignments::create(call),
        O::DeleteAppRoleAssignment => assignments::delete(call),
        O::ListGrants => grants::list(call),
        O::GetGrant => grants::get(call),
        O::CreateGrant => grants::create(call),
        O::UpdateGrant => grants::update(call),
        O::DeleteGrant => grants::delete(call),
        O::ListOrganizations | O::GetOrganization => organization::organization(call),
        O::ListDomains | O::GetDomain => organization::domains(call),
        O::ListUsers | O::GetUser => organization::users(call),
        O::GetDirectoryObject => owners::directory_object(call),
        O::GetDefaultPolicy => policies::get_default(call),
        O::UpdateDefaultPolicy => policies::update_default(call),
        O::ListPolicies => policies::list(call),
        O::GetPolicy => policies::get(call),
        O::CreatePolicy => policies::create(call),
        O::UpdatePolicy => policies::update(call),
        O::DeletePolicy => policies::delete(call),
        O::ListPolicyTargets => policies::targets(call),
        O::FindTenantById | O::FindTenantByDomain => organization::find_tenant(call, operation),
        O::ListRelationships | O::GetRelationship => relationships::serve(call),
        O::ListIncidents | O::GetIncident => security::incidents(call),
        O::ListAlerts | O::GetAlert => security::alerts(call),
        // The engine takes a batch apart before it comes here; the others are not Graph's.
        O::Batch
        | O::UnknownGraph
        | O::Token
        | O::OpenidConfiguration
        | O::InstanceDiscovery
        | O::SigningKeys
        | O::Authorize
        | O::AdminConsent
        | O::LoginPage
        | O::ListDefenderIncidents
        | O::GetDefenderIncident
        | O::UnknownDefender
        | O::SetSecret
        | O::GetSecret
        | O::UpdateSecret
        | O::DeleteSecret
        | O::ListSecrets
        | O::ListSecretVersions
        | O::ListDeletedSecrets
        | O::GetDeletedSecret
        | O::RecoverSecret
        | O::PurgeSecret
        | O::BackupSecret
        | O::RestoreSecret
        | O::UnknownVault
        | O::ArmMetadata
        | O::ArmSubscriptions
        | O::ArmTenants
        | O::Page
        | O::Control => Err(Refusal::malformed("Resource not found for the segment.")),
    }
}

/// The error document of a refusal.
pub(super) fn refused(
    refusal: &Refusal,
    request: &Request,
    request_id: &str,
    date: &str,
) -> Response {
    let client = client_request_id(request).unwrap_or_else(|| request_id.to_owned());
    let response = Response::json(refusal.status, &refusal.to_body(date, request_id, &client));
    if refusal.status == 401 {
        return response.with(
            "www-authenticate",
            format!(
                "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", client_id=\"{}\"",
                request.origin(),
                first_party::GRAPH
            ),
        );
    }
    response
}

/// The headers that every answer of Graph has.
pub(super) fn finish(response: Response, request: &Request, request_id: &str) -> Response {
    let client = client_request_id(request).unwrap_or_else(|| request_id.to_owned());
    response
        .with("request-id", request_id)
        .with("client-request-id", client)
        .with(
            "x-ms-ags-diagnostic",
            json!({"ServerInfo": {"DataCenter": "Sandbox", "Slice": "E", "Ring": "5", "ScaleUnit": "000", "RoleInstance": "SANDBOX"}})
                .to_string(),
        )
        .with("strict-transport-security", "max-age=31536000")
}

/// The client's own id of its request, where it is short and printable.
fn client_request_id(request: &Request) -> Option<String> {
    request
        .header("client-request-id")
        .filter(|id| id.len() <= 128 && !id.is_empty())
        .map(str::to_owned)
}
