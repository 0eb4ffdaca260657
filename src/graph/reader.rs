//! What can be read of a directory.

use std::collections::BTreeMap;

use azure_core::http::Context;
use graph_rs_sdk::ODataQuery;
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    policies,
    publisher::{Made, Published, Publisher},
    request::{Graph, Version, at, keyed, quoted},
    wire::{APP, App, FEDERATED, GLIMPSE, Owner, OwnersOf},
};
use crate::{
    cloud::Cloud,
    entra::Operator,
    failure::{Cause, Failure},
    http::{Access, Network},
    ids::{
        Application, ClientId, FleetName, ObjectId, PermissionId, ResourceId, TenantId, UniqueName,
    },
    inventory::{Binned, Catalogue, FoundApp, Glimpse, Policies, Told},
    registration::PermissionKind,
};

/// The owners of an app, by their ids alone.
const WITH_OWNERS: &str = "owners($select=id)";
/// The largest page that Graph gives.
const TOP: &str = "999";

/// Something that was read, and when by the server's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What was read.
    pub items: T,
    /// The server's clock; nothing where it sent none.
    pub server_time: Option<Timestamp>,
}

/// What a directory says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub tenant: TenantId,
    /// `displayName`
    pub name: Option<String>,
    /// Its verified domains, the default one first.
    pub domains: Vec<String>,
}

/// Reads one directory. It has no method that writes, and its pipeline refuses every method but
/// `GET`, token requests apart (they have a pipeline of their own).
#[derive(Debug)]
pub struct Reader {
    pub(super) graph: Graph,
    directory: TenantId,
    owners: Owners,
}

/// Whether the owners of apps are read with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// They do not matter.
    Left,
    /// They are.
    Read,
}

/// With an app Graph gives at most this many owners; the rest is behind a request of its own
/// (<https://learn.microsoft.com/en-us/graph/query-parameters#expand>).
const EXPANDED: usize = 20;

impl Reader {
    /// A reader of one directory; nothing is sent yet.
    ///
    /// # Errors
    /// [`Cause::SignIn`] where the operator's credential cannot be made.
    pub fn new(
        network: &Network,
        cloud: &Cloud,
        directory: TenantId,
        operator: &Operator,
    ) -> Result<Self, Failure> {
        let graph = Graph::new(network, cloud, directory, operator, Access::ReadOnly)?;
        Ok(Self { graph, directory, owners: Owners::Left })
    }

    /// The same reader, which reads owners or not. The directory follows one relation a request, and
    /// that is the federated credentials, so owners cost a second listing.
    #[must_use]
    pub fn with(mut self, owners: Owners) -> Self {
        self.owners = owners;
        self
    }

    /// The owners of an app, where not all of them are known yet.
    async fn all_owners(&self, app: &mut FoundApp) -> Result<(), Failure> {
        let known = app.owners.as_ref().is_some_and(|owners| owners.len() < EXPANDED);
        if self.owners == Owners::Read && !known {
            let list = self.graph.spell().applications().list_application();
            let list = at(list, &format!("applications/{}/owners", app.object_id));
            let all: Vec<Owner> = self.graph.list(list.select(&["id"]).top(TOP).build()).await?;
            app.owners = Some(all.into_iter().filter_map(|owner| owner.id).collect());
        }
        Ok(())
    }

    /// Which directory it reads.
    pub fn directory(&self) -> TenantId {
        self.directory
    }

    /// How many requests it has sent to Graph, repeats included.
    pub fn requests(&self) -> u32 {
        self.graph.requests()
    }

    /// The server's clock, to about a second; nothing before its first answer to any reader or
    /// writer of this directory.
    pub fn server_time(&self) -> Option<Timestamp> {
        self.graph.server_time()
    }

    /// Every app that carries the fleet's tag, whole, by one listing of 999 a page
    /// (<https://learn.microsoft.com/en-us/graph/api/application-list>). Federated credentials come in
    /// the same requests, whether any are wanted or not: each opens an app without a secret. A relation
    /// that is asked for is cut at 20 members, and an app has no more of these
    /// (<https://learn.microsoft.com/en-us/graph/query-parameters#expand>,
    /// <https://learn.microsoft.com/en-us/graph/api/resources/application#relationships>).
    ///
    /// # Errors
    /// As every call: see [`Cause`].
    pub async fn fleet_apps(&self, fleet: &FleetName) -> Result<Page<Vec<FoundApp>>, Failure> {
        let filter = format!("tags/any(t:t eq {})", quoted(&format!("tenantry:fleet={fleet}")));
        let list = self.graph.spell().applications().list_application();
        let list = list.filter(&[&filter]).select(&APP).top(TOP);
        let list = list.expand(&[FEDERATED]);
        let apps: Vec<App> = self.graph.list(list.build()).await?;
        let server_time = self.server_time();
        let mut items: Vec<FoundApp> = apps.into_iter().map(App::found).collect();
        if self.owners == Owners::Read {
            let list = self.graph.spell().applications().list_application();
            let list = list.filter(&[&filter]).select(&["id"]).top(TOP).expand(&[WITH_OWNERS]);
            let all: Vec<OwnersOf> = self.graph.list(list.build()).await?;
            let mut of: BTreeMap<_, _> = all.into_iter().map(OwnersOf::found).collect();
            for app in &mut items {
                app.owners = of.remove(&app.object_id);
            }
        }
        for app in &mut items {
            self.all_owners(app).await?;
        }
        Ok(Page { items, server_time })
    }

    /// Every app of the directory, a glimpse of each.
    ///
    /// # Errors
    /// As every call: see [`Cause`].
    pub async fn all_apps(&self) -> Result<Vec<Glimpse>, Failure> {
        let list = self.graph.spell().applications().list_application();
        let apps: Vec<App> = self.graph.list(list.select(&GLIMPSE).top(TOP).build()).await?;
        Ok(apps.into_iter().map(App::glimpse).collect())
    }

    /// Every app in the bin
    /// (<https://learn.microsoft.com/en-us/graph/api/directory-deleteditems-list>).
    ///
    /// # Errors
    /// As every call; [`Cause::Privilege`] for who may only touch their own apps.
    pub async fn bin(&self) -> Result<Vec<Binned>, Failure> {
        let list = self.graph.spell().directory().deleted_items().list_deleted_items();
        let list = list.extend_path(&["microsoft.graph.application"]);
        let mut select = APP.to_vec();
        select.push("deletedDateTime");
        let apps: Vec<App> = self.graph.list(list.select(&select).top(TOP).build()).await?;
        Ok(apps.into_iter().map(App::binned).collect())
    }

    /// One app by its object id; nothing where there is none.
    ///
    /// # Errors
    /// As every call, but for 404.
    pub async fn app(&self, id: ObjectId<Application>) -> Result<Option<FoundApp>, Failure> {
        self.point(format!("applications/{id}")).await
    }

    /// One app by its unique name; nothing where there is none.
    ///
    /// # Errors
    /// As every call, but for 404.
    pub async fn app_by_unique_name(&self, name: &UniqueName) -> Result<Option<FoundApp>, Failure> {
        self.point(keyed("applications", "uniqueName", name.as_str())).await
    }

    /// One app by its client id; nothing where there is none.
    ///
    /// # Errors
    /// As every call, but for 404.
    pub async fn app_by_client_id(&self, id: ClientId) -> Result<Option<FoundApp>, Failure> {
        self.point(keyed("applications", "appId", &id.to_string())).await
    }

    async fn point(&self, path: String) -> Result<Option<FoundApp>, Failure> {
        let get = at(self.graph.spell().applications().list_application(), &path).select(&APP);
        let get = get.expand(&[FEDERATED]);
        let app = absent(self.graph.one::<App>(get.build(), &Context::new()).await)?;
        let mut app = app.map(App::found);
        if let Some(app) = &mut app {
            self.all_owners(app).await?;
        }
        Ok(app)
    }

    /// The app management policies, as far as they concern us. They are read in Graph's beta: what
    /// they say of audiences and redirect URIs is told nowhere else
    /// (<https://learn.microsoft.com/en-us/graph/api/resources/appmanagementapplicationconfiguration?view=graph-rest-beta>),
    /// and all else is the same there. Microsoft promises nothing of a beta, so where it does not
    /// answer, `v1.0` is asked, and tells less.
    ///
    /// # Errors
    /// As every call; [`Cause::Privilege`] without `Policy.Read.ApplicationConfiguration`.
    pub async fn policies(&self) -> Result<Policies, Failure> {
        match self.policies_of(Version::Beta).await {
            Err(failure) => match failure.cause {
                Cause::Refused | Cause::NotFound | Cause::Service | Cause::Garbled => {
                    let told = Told::OfCredentials;
                    Ok(Policies { told, ..self.policies_of(Version::V1).await? })
                }
                Cause::SignIn
                | Cause::Privilege
                | Cause::Throttled
                | Cause::Unreachable
                | Cause::NoAnswer
                | Cause::Guard
                | Cause::Interrupted => Err(failure),
            },
            Ok(policies) => Ok(policies),
        }
    }

    async fn policies_of(&self, version: Version) -> Result<Policies, Failure> {
        let policies = self.graph.spell().policies();
        let default = version.of(policies.get_default_app_management_policy());
        let default: policies::Default = self.graph.one(default.build(), &Context::new()).await?;
        let list = policies.list_app_management_policies().expand(&["appliesTo"]);
        let custom: Vec<policies::Custom> = self.graph.list(version.of(list).build()).await?;
        let mut found =
            Policies { told: Told::Whole, default: default.policy(), custom: Vec::new() };
        for mut policy in custom {
            // An expanded relation is cut at some twenty members, with a link to the rest.
            let mut next = policy.more.take();
            while let Some(link) = next {
                let more = self.graph.follow(&link, "/appliesTo").await?;
                let (members, link): (Vec<policies::Member>, _) = more;
                policy.add(members);
                next = link;
            }
            found.custom.extend(policy.policy());
        }
        Ok(found)
    }

    /// How many apps a client has made, those in the bin included
    /// (`createdByAppId`, <https://learn.microsoft.com/en-us/graph/api/resources/application>).
    ///
    /// # Errors
    /// As every call; [`Cause::Privilege`] where it may not see them all.
    pub async fn made_by(&self, client: ClientId) -> Result<usize, Failure> {
        let select = ["id", "createdByAppId"];
        let live = self.graph.spell().applications().list_application().select(&select).top(TOP);
        let bin = self.graph.spell().directory().deleted_items().list_deleted_items();
        let bin = bin.extend_path(&["microsoft.graph.application"]).select(&select).top(TOP);
        let mut all: Vec<Made> = self.graph.list(live.build()).await?;
        all.extend(self.graph.list::<Made>(bin.build()).await?);
        Ok(all.into_iter().filter(|made| made.is_by(client)).count())
    }

    /// Each app of the fleet with its verified publisher.
    ///
    /// # Errors
    /// As every call: see [`Cause`].
    pub async fn publishers(&self, fleet: &FleetName) -> Result<Vec<Publisher>, Failure> {
        let filter = format!("tags/any(t:t eq {})", quoted(&format!("tenantry:fleet={fleet}")));
        let list = self.graph.spell().applications().list_application();
        let list = list.filter(&[&filter]).select(&["displayName", "verifiedPublisher"]).top(TOP);
        let apps: Vec<Published> = self.graph.list(list.build()).await?;
        Ok(apps.into_iter().map(Published::found).collect())
    }

    /// The permissions that an API offers, as its service principal in this directory lists them.
    ///
    /// # Errors
    /// As every call; [`Cause::NotFound`] where the API has no service principal here.
    pub async fn catalogue(&self, resource: ResourceId) -> Result<Catalogue, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Principal {
            app_roles: Option<Vec<Offer>>,
            oauth2_permission_scopes: Option<Vec<Offer>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Offer {
            id: Uuid,
            value: Option<String>,
            is_enabled: Option<bool>,
            allowed_member_types: Option<Vec<String>>,
        }
        let path = keyed("servicePrincipals", "appId", &resource.to_string());
        let get = at(self.graph.spell().service_principals().list_service_principal(), &path)
            .select(&["id", "appId", "appRoles", "oauth2PermissionScopes"]);
        let Principal { app_roles, oauth2_permission_scopes } =
            self.graph.one(get.build(), &Context::new()).await?;
        let mut catalogue = Catalogue::new();
        for (kind, offers) in [
            (PermissionKind::Application, app_roles),
            (PermissionKind::Delegated, oauth2_permission_scopes),
        ] {
            for Offer { id, value, is_enabled, allowed_member_types } in offers.unwrap_or_default()
            {
                // A role may be for people only; a disabled one cannot be granted.
                let for_apps = allowed_member_types.is_none_or(|types| {
                    types.is_empty() || types.iter().any(|t| t == "Application")
                });
                if let (Some(name), true, true) = (value, is_enabled != Some(false), for_apps) {
                    catalogue.insert((kind, name), PermissionId::from_uuid(id));
                }
            }
        }
        Ok(catalogue)
    }

    /// What the directory says of itself.
    ///
    /// # Errors
    /// As every call; [`Cause::Garbled`] where it says nothing.
    pub async fn organization(&self) -> Result<Organization, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            id: Uuid,
            display_name: Option<String>,
            verified_domains: Option<Vec<Domain>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Domain {
            name: Option<String>,
            is_default: Option<bool>,
        }
        let list = self.graph.spell().organizations().list_organization();
        let all: Vec<Wire> =
            self.graph.list(list.select(&["id", "displayName", "verifiedDomains"]).build()).await?;
        let Some(Wire { id, display_name, verified_domains }) = all.into_iter().next() else {
            return Err(Failure::new(Cause::Garbled, "Graph names no organization"));
        };
        let mut domains = verified_domains.unwrap_or_default();
        domains.sort_by_key(|domain| domain.is_default != Some(true));
        Ok(Organization {
            tenant: TenantId::from_uuid(id),
            name: display_name,
            domains: domains.into_iter().filter_map(|domain| domain.name).collect(),
        })
    }
}

/// Nothing, where Graph says that there is nothing.
pub(super) fn absent<T>(read: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.cause == Cause::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}
