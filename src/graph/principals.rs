//! What our apps are, and may do, in a directory: service principals, app roles and scopes.

use std::collections::{BTreeMap, BTreeSet};

use azure_core::http::Context;
use graph_rs_sdk::ODataQuery;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ObjectAge, Reader, Writer,
    read::sight,
    reader::absent,
    request::{Graph, at, keyed, plain, quoted},
};
use crate::{
    failure::Failure,
    http::Lag,
    ids::{ClientId, ObjectId, PermissionId, ResourceId, ServicePrincipal},
    inventory::{FoundPrincipal, GrantedScopes, Principals, Sight},
    registration::PermissionKind,
};

/// The largest page that Graph gives.
const TOP: &str = "999";
/// The most values that `in` takes
/// (<https://learn.microsoft.com/en-us/graph/filter-query-parameter>).
const MOST_VALUES: usize = 15;
/// What Graph says of an app role that is there already; its code says nothing of it.
const TWICE: &str = "already exists on the object";

/// What a reading of service principals shall find out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Our apps, and which kinds of permissions matter of each.
    pub apps: BTreeMap<ClientId, BTreeSet<PermissionKind>>,
    /// The APIs that they ask for.
    pub apis: BTreeSet<ResourceId>,
}

impl Asked {
    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        let Self { apps, apis } = self;
        apps.is_empty() && apis.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Principal {
    id: Uuid,
    app_id: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Assignment {
    app_role_id: Uuid,
    resource_id: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeGrant {
    id: String,
    consent_type: Option<String>,
    resource_id: Uuid,
    scope: Option<String>,
}

impl Reader {
    /// The service principals of these apps and APIs, and what was granted to the apps: one listing,
    /// and one more for each app and kind of permission that matters
    /// (<https://learn.microsoft.com/en-us/graph/api/serviceprincipal-list>).
    ///
    /// # Errors
    /// As every call; a missing right is [`Sight::Hidden`].
    pub async fn principals(&self, asked: &Asked) -> Result<Sight<Principals>, Failure> {
        sight(self.read_principals(asked).await)
    }

    async fn read_principals(&self, asked: &Asked) -> Result<Principals, Failure> {
        let Asked { apps, apis } = asked;
        let ids: BTreeSet<Uuid> = apps
            .keys()
            .map(ClientId::as_uuid)
            .chain(apis.iter().map(ResourceId::as_uuid))
            .collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let mut by_app: BTreeMap<Uuid, ObjectId<ServicePrincipal>> = BTreeMap::new();
        for some in ids.chunks(MOST_VALUES) {
            let values: Vec<_> = some.iter().map(|id| quoted(&id.to_string())).collect();
            let filter = format!("appId in ({})", values.join(","));
            let list = self.graph.spell().service_principals().list_service_principal();
            let list = list.filter(&[&filter]).select(&["id", "appId"]).top(TOP);
            let found: Vec<Principal> = self.graph.list(list.build()).await?;
            by_app.extend(found.into_iter().map(|one| (one.app_id, ObjectId::from_uuid(one.id))));
        }
        let of_api = |api: &ResourceId| Some((*api, *by_app.get(&api.as_uuid())?));
        let mut principals =
            Principals { apps: BTreeMap::new(), apis: apis.iter().filter_map(of_api).collect() };
        for (client, kinds) in apps {
            let Some(id) = by_app.get(&client.as_uuid()) else { continue };
            let found = granted(&self.graph, *id, kinds, &principals.apis).await?;
            principals.apps.insert(*client, found);
        }
        Ok(principals)
    }
}

/// What was granted to a service principal; of APIs that nobody asked about nothing is said.
async fn granted(
    graph: &Graph,
    id: ObjectId<ServicePrincipal>,
    kinds: &BTreeSet<PermissionKind>,
    apis: &BTreeMap<ResourceId, ObjectId<ServicePrincipal>>,
) -> Result<FoundPrincipal, Failure> {
    let api = |id: Uuid| apis.iter().find(|(_, known)| known.as_uuid() == id).map(|(api, _)| *api);
    let mut found = FoundPrincipal::bare(id);
    for kind in kinds {
        match kind {
            PermissionKind::Application => {
                let path = format!("servicePrincipals/{id}/appRoleAssignments");
                let list = graph.spell().service_principals().list_service_principal();
                let list = at(list, &path).select(&["id", "appRoleId", "resourceId"]).top(TOP);
                let given: Vec<Assignment> = graph.list(list.build()).await?;
                found.roles.extend(given.into_iter().filter_map(|one| {
                    Some((api(one.resource_id)?, PermissionId::from_uuid(one.app_role_id)))
                }));
            }
            PermissionKind::Delegated => {
                let path = format!("servicePrincipals/{id}/oauth2PermissionGrants");
                let list = graph.spell().service_principals().list_service_principal();
                let list = at(list, &path).top(TOP);
                let given: Vec<ScopeGrant> = graph.list(list.build()).await?;
                for ScopeGrant { id, consent_type, resource_id, scope } in given {
                    // What one person granted for themselves is no grant for the directory.
                    let Some(api) = api(resource_id)
                        .filter(|_| consent_type.as_deref() == Some("AllPrincipals"))
                    else {
                        continue;
                    };
                    let words = scope.unwrap_or_default();
                    let scopes = words.split_ascii_whitespace().map(str::to_owned).collect();
                    found.scopes.insert(api, GrantedScopes { id, scopes });
                }
            }
        }
    }
    Ok(found)
}

/// The body of `POST /servicePrincipals`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewPrincipal<'a> {
    app_id: Uuid,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    tags: &'a BTreeSet<String>,
}

/// The body of `POST …/appRoleAssignedTo`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewAssignment {
    principal_id: Uuid,
    resource_id: Uuid,
    app_role_id: Uuid,
}

/// The body of `POST /oauth2PermissionGrants`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewScopeGrant<'a> {
    client_id: Uuid,
    consent_type: &'static str,
    resource_id: Uuid,
    scope: &'a str,
}

/// The body of `PATCH /oauth2PermissionGrants/{id}`.
#[derive(Serialize)]
struct WiderScope<'a> {
    scope: &'a str,
}

impl Writer {
    /// Makes an app or an API known in this directory; where it is known already, that is as good
    /// (<https://learn.microsoft.com/en-us/graph/api/serviceprincipal-post-serviceprincipals>). Of
    /// an app that this run made it is waited until the directory finds it.
    ///
    /// # Errors
    /// As every call; with advice where the directory has not subscribed to the API.
    pub async fn create_principal(
        &self,
        app_id: Uuid,
        tags: &BTreeSet<String>,
        age: ObjectAge,
    ) -> Result<ObjectId<ServicePrincipal>, Failure> {
        let body = NewPrincipal { app_id, tags };
        let post = self.graph.spell().service_principals().create_service_principal(&body);
        let context = match age {
            ObjectAge::JustMade => Context::new().with_value(Lag::NewApplication),
            ObjectAge::Settled => Context::new(),
        };
        match self.graph.one::<Principal>(post.build(), &context).await {
            Ok(Principal { id, app_id: _ }) => Ok(ObjectId::from_uuid(id)),
            Err(failure) if failure.status == Some(409) => {
                self.principal(app_id).await?.ok_or(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The service principal of an app or an API, where this directory has one.
    ///
    /// # Errors
    /// As every call, but for 404.
    pub async fn principal(
        &self,
        app_id: Uuid,
    ) -> Result<Option<ObjectId<ServicePrincipal>>, Failure> {
        let path = keyed("servicePrincipals", "appId", &app_id.to_string());
        let get = at(self.graph.spell().service_principals().list_service_principal(), &path)
            .select(&["id", "appId"]);
        let found = absent(self.graph.one::<Principal>(get.build(), &Context::new()).await)?;
        Ok(found.map(|one| ObjectId::from_uuid(one.id)))
    }

    /// Gives an app a permission of its own; where it has it already, that is as good
    /// (<https://learn.microsoft.com/en-us/graph/api/serviceprincipal-post-approleassignedto>).
    ///
    /// # Errors
    /// As every call.
    pub async fn assign_role(
        &self,
        to: ObjectId<ServicePrincipal>,
        resource: ObjectId<ServicePrincipal>,
        role: PermissionId,
        age: ObjectAge,
    ) -> Result<(), Failure> {
        let body = NewAssignment {
            principal_id: to.as_uuid(),
            resource_id: resource.as_uuid(),
            app_role_id: role.as_uuid(),
        };
        let path = format!("servicePrincipals/{resource}/appRoleAssignedTo");
        let post = self.graph.spell().service_principals().create_service_principal(&body);
        match self.graph.send(at(post, &path).build(), &new_principal(age)).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.status == Some(400) && failure.message.contains(TWICE) => {
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Lets an app act with these scopes for everyone of the directory: widens the grant that was
    /// found, or makes one; one that somebody made meanwhile is read and widened
    /// (<https://learn.microsoft.com/en-us/graph/api/oauth2permissiongrant-post>).
    ///
    /// # Errors
    /// As every call.
    pub async fn grant_scopes(
        &self,
        to: ObjectId<ServicePrincipal>,
        (api, resource): (ResourceId, ObjectId<ServicePrincipal>),
        scopes: &BTreeSet<String>,
        known: Option<&GrantedScopes>,
        age: ObjectAge,
    ) -> Result<GrantedScopes, Failure> {
        if let Some(known) = known {
            return self.widen(known, scopes).await;
        }
        let scope = joined(scopes);
        let body = NewScopeGrant {
            client_id: to.as_uuid(),
            consent_type: "AllPrincipals",
            resource_id: resource.as_uuid(),
            scope: &scope,
        };
        let post = self.graph.spell().oauth2_permission_grants();
        let post = post.create_oauth2_permission_grant(&body);
        match self.graph.one::<ScopeGrant>(post.build(), &new_principal(age)).await {
            Ok(ScopeGrant { id, .. }) => Ok(GrantedScopes { id, scopes: scopes.clone() }),
            Err(failure) if failure.status == Some(409) => {
                let kinds = BTreeSet::from([PermissionKind::Delegated]);
                let apis = BTreeMap::from([(api, resource)]);
                let found = granted(&self.graph, to, &kinds, &apis).await?;
                match found.scopes.get(&api) {
                    Some(known) => self.widen(known, scopes).await,
                    None => Err(failure),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    async fn widen(
        &self,
        known: &GrantedScopes,
        scopes: &BTreeSet<String>,
    ) -> Result<GrantedScopes, Failure> {
        let all: BTreeSet<String> = known.scopes.union(scopes).cloned().collect();
        if all != known.scopes {
            let scope = joined(&all);
            let path = format!("oauth2PermissionGrants/{}", plain(&known.id)?);
            let patch = self.graph.spell().oauth2_permission_grant("x");
            let patch = patch.update_oauth2_permission_grant(&WiderScope { scope: &scope });
            self.graph.send(at(patch, &path).build(), &Context::new()).await?;
        }
        Ok(GrantedScopes { id: known.id.clone(), scopes: all })
    }
}

fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn new_principal(age: ObjectAge) -> Context<'static> {
    match age {
        ObjectAge::JustMade => Context::new().with_value(Lag::NewPrincipal),
        ObjectAge::Settled => Context::new(),
    }
}
