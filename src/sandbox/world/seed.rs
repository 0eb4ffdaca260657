//! Where a world begins: the built-in seed, the operator, and directories that a manifest names.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    OperatorRef, World,
    apps::App,
    directory::{Directory, Meta, OperatorThere},
    first_party, people,
    vaults::{Assignment, KeyVault},
};
use crate::sandbox::{
    clock::{graph_time, plus},
    graph::principals,
    random, schema,
};

/// What the operator's app may do; least privilege for the whole job, and for finding customers
/// first.
const OPERATOR_ROLES: &[&str] = &[
    "Application.ReadWrite.OwnedBy",
    "Application.Read.All",
    "Policy.Read.ApplicationConfiguration",
    "Organization.Read.All",
    "DelegatedAdminRelationship.Read.All",
    "CrossTenantInformation.ReadBasic.All",
];

/// When the operator's app was made.
const CREATED: &str = "2023-01-10T09:00:00Z";

/// What the operator's app asks customers for: all that it takes to make apps in their directories,
/// to make apps of the provider known there, and to grant both what they ask for.
const CUSTOMER_ROLES: &[&str] = &[
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "Policy.Read.ApplicationConfiguration",
];
/// What a customer gives that wants to grant by itself.
const OWN_APPS_ROLES: &[&str] = &[
    "Application.ReadWrite.OwnedBy",
    "Application.Read.All",
    "Policy.Read.ApplicationConfiguration",
];

/// The seed that is part of the program, whose incidents are as old as they say on whichever day it
/// begins.
pub(in crate::sandbox) fn built_in() -> Value {
    let mut seed: Value =
        serde_json::from_str(include_str!("seed.json")).expect("the seed is part of the program");
    date(&mut seed, Timestamp::now());
    seed
}

/// The operator's wishes as its registration names them, for the consent page.
fn asked_of_customers() -> Value {
    let Some(graph_api) = first_party::by_app_id(first_party::GRAPH) else { return json!([]) };
    let roles = CUSTOMER_ROLES.iter().filter_map(|role| graph_api.role_id(role));
    let access: Vec<_> = roles.map(|id| json!({"id": id, "type": "Role"})).collect();
    json!([{"resourceAppId": graph_api.app_id, "resourceAccess": access}])
}

/// Puts a time into the place of each that is told as a span before now, `-P3DT4H`, or after it,
/// `+P20D`.
fn date(value: &mut Value, now: Timestamp) {
    match value {
        Value::String(text) if text.starts_with("-P") || text.starts_with("+P") => {
            if let Some(time) = text.parse().ok().and_then(|span| plus(now, span)) {
                *text = graph_time(time);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| date(item, now)),
        Value::Object(members) => members.values_mut().for_each(|member| date(member, now)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A directory that a manifest names and the seed may lack.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Wanted {
    /// Its tenant id, where it is known.
    pub(in crate::sandbox) id: Option<String>,
    /// Its domain, where it is known.
    pub(in crate::sandbox) domain: Option<String>,
    /// Its display name.
    pub(in crate::sandbox) name: String,
    /// Whether it is the provider's own.
    pub(in crate::sandbox) home: bool,
    /// Sign-in names of users it must have.
    pub(in crate::sandbox) users: Vec<String>,
}

impl World {
    /// Adds what is wanted and missing; what is there stays as it is.
    ///
    /// # Errors
    /// In words, when an id is no GUID, or neither id nor domain is given.
    pub(in crate::sandbox) fn ensure(&mut self, wanted: &Wanted) -> Result<(), String> {
        let id = match &wanted.id {
            Some(id) => Some(
                uuid::Uuid::parse_str(id).map_err(|_| format!("`{id}` is no GUID"))?.to_string(),
            ),
            None => None,
        };
        let domain = wanted.domain.as_ref().map(|d| d.to_ascii_lowercase());
        let known =
            id.as_deref().filter(|id| self.directory(id).is_some()).map(str::to_owned).or_else(
                || match &id {
                    // An id that is not there is a directory of its own, even if its domain is
                    // another's: a manifest may be wrong, and must be told so by discovery.
                    Some(_) => None,
                    None => domain.as_deref().and_then(|d| self.resolve(d)),
                },
            );
        let tenant = match known {
            Some(tenant) => tenant,
            None => self.add_directory(id, domain, wanted)?,
        };
        for upn in &wanted.users {
            self.ensure_user(&tenant, upn);
        }
        if wanted.home && self.operator.as_ref().is_none_or(|o| o.tenant != tenant) {
            self.change_meta(&tenant, |m| m.home = true);
            self.make_operator(&tenant);
        }
        Ok(())
    }

    fn add_directory(
        &mut self,
        id: Option<String>,
        domain: Option<String>,
        wanted: &Wanted,
    ) -> Result<String, String> {
        let id = match (id, &domain) {
            (Some(id), _) => id,
            (None, Some(domain)) => random::derived_guid(&["directory", domain]),
            (None, None) => return Err("a directory needs an id or a domain".to_owned()),
        };
        let domain =
            domain.filter(|d| self.resolve(d).is_none()).unwrap_or_else(|| format!("{id}.example"));
        let meta: Meta = serde_json::from_value(json!({
            "id": id, "name": wanted.name, "domains": [domain], "home": wanted.home,
            // Its people are willing, in this as in all else.
            "people": {"operator": "everything"},
        }))
        .map_err(|e| e.to_string())?;
        self.put_directory(Directory::new(meta));
        if !wanted.home {
            self.admit_operator(&id);
        }
        Ok(id)
    }

    /// An analyst of the provider stands in a customer's directory as a guest (B2B), with the role
    /// of a reader: so Microsoft lets a managed security provider in
    /// (<https://learn.microsoft.com/en-us/defender-endpoint/grant-mssp-access>).
    fn ensure_user(&mut self, tenant: &str, upn: &str) {
        let Some(directory) = self.directory(tenant) else {
            return;
        };
        if directory.meta.users.iter().any(|u| people::signs_in_with(u).eq_ignore_ascii_case(upn)) {
            return;
        }
        let account = self.account(upn).filter(|(home, _)| home != tenant).map(|(home, _)| home);
        let name = match &account {
            None => upn.to_owned(),
            Some(_) => people::guest_name(upn, directory.default_domain()),
        };
        let user = super::directory::User {
            id: random::derived_guid(&["user", tenant, &upn.to_ascii_lowercase()]),
            user_principal_name: name,
            display_name: upn.split('@').next().unwrap_or(upn).to_owned(),
            roles: vec!["Security Reader".to_owned()],
            mail: account.as_ref().map(|_| upn.to_owned()),
            guest_of: account,
            disabled: false,
            sessions_valid_from: None,
        };
        self.change_meta(tenant, |m| m.users.push(user));
    }

    /// Gives the world an operator where it has none: in the first home directory, or else in
    /// the first directory at all.
    pub(in crate::sandbox) fn ensure_operator(&mut self) {
        let good = self.operator.as_ref().is_some_and(|o| {
            self.directory(&o.tenant).is_some_and(|d| d.apps.by_app_id(&o.client).is_some())
        });
        if good {
            return;
        }
        let tenant = self
            .directories()
            .find(|d| d.meta.home)
            .or_else(|| self.directories().next())
            .map(|d| d.meta.id.clone());
        if let Some(tenant) = tenant {
            self.make_operator(&tenant);
        }
    }

    /// Gives a directory its key vault, named after its domain, where it has none.
    fn make_key_vault(&mut self, tenant: &str, operator: &str) {
        if self.key_vaults().values().any(|vault| vault.directory == tenant) {
            return;
        }
        let domain = self.directory(tenant).map_or("", |d| d.default_domain());
        let label: String = domain.split('.').next().unwrap_or_default().chars().take(24).collect();
        let name = if label.len() < 3 || self.key_vaults().contains_key(&label) {
            format!("vault-{}", &tenant[..8])
        } else {
            label
        };
        self.put_key_vault(KeyVault {
            name,
            directory: tenant.to_owned(),
            location: "westeurope".to_owned(),
            assignments: vec![Assignment {
                principal_id: operator.to_owned(),
                role: "Key Vault Secrets Officer".to_owned(),
            }],
            secrets: BTreeMap::new(),
            purge_protection: false,
            deleted_secrets: BTreeMap::new(),
        });
    }

    /// Makes the operator's app, its service principal and its roles in a directory.
    fn make_operator(&mut self, tenant: &str) {
        let (object, client, principal) = (
            random::derived_guid(&["operator", "application", tenant]),
            random::derived_guid(&["operator", "client", tenant]),
            random::derived_guid(&["operator", "servicePrincipal", tenant]),
        );
        self.operator = Some(OperatorRef { tenant: tenant.to_owned(), client: client.clone() });
        self.make_key_vault(tenant, &principal);
        // An operator without a change to a directory must be in the journal too.
        self.change_meta(tenant, |_| {});
        let Some(directory) = self.directory(tenant) else {
            return;
        };
        if directory.apps.by_app_id(&client).is_some() {
            return;
        }
        let mut graph = schema::application_defaults();
        for (name, value) in [
            ("id", json!(object)),
            ("appId", json!(client)),
            ("displayName", json!("Onboarding automation")),
            ("createdDateTime", json!(CREATED)),
            ("publisherDomain", json!(directory.default_domain())),
            ("signInAudience", json!("AzureADMultipleOrgs")),
            ("requiredResourceAccess", asked_of_customers()),
        ] {
            graph.insert(name.to_owned(), value);
        }
        let landing = format!("https://{}/operator", directory.default_domain());
        graph["web"]["redirectUris"] = json!([landing]);
        let binned: Vec<String> =
            directory.deleted_apps.iter().map(|a| a.id().to_owned()).collect();
        self.put_app(tenant, App::new(graph));
        let mut value = Value::Object(schema::service_principal_defaults());
        for (name, member) in [
            ("id", json!(principal)),
            ("appId", json!(client)),
            ("displayName", json!("Onboarding automation")),
            ("appDisplayName", json!("Onboarding automation")),
            ("appOwnerOrganizationId", json!(tenant)),
            ("servicePrincipalNames", json!([client])),
            ("signInAudience", json!("AzureADMultipleOrgs")),
        ] {
            value[name] = member;
        }
        self.put_principal(tenant, &principal, value);
        let customers: Vec<String> =
            self.directories().map(|d| d.meta.id.clone()).filter(|id| id != tenant).collect();
        for customer in customers {
            self.admit_operator(&customer);
        }
        // What lies in the bin of a seed was made by the operator's own earlier runs.
        for id in binned {
            self.own_deleted(tenant, &id, &principal);
        }
        self.empower(tenant, &principal, OPERATOR_ROLES);
    }

    /// Makes the operator's app known in a customer's directory, as far as its people want it there.
    fn admit_operator(&mut self, tenant: &str) {
        let (Some(operator), Some(directory)) = (self.operator.clone(), self.directory(tenant))
        else {
            return;
        };
        let roles = match directory.meta.people.operator {
            OperatorThere::Unknown => return,
            OperatorThere::OwnApps => OWN_APPS_ROLES,
            OperatorThere::Everything => CUSTOMER_ROLES,
        };
        if directory.principals.by_app_id(&operator.client).is_some() {
            return;
        }
        let Some((home, app)) = self.client(&operator.client) else { return };
        let (_, mut value) = principals::of_application(app, home, None);
        let principal = random::derived_guid(&["operator", "servicePrincipal", tenant]);
        value["id"] = json!(principal);
        self.put_principal(tenant, &principal, value);
        self.empower(tenant, &principal, roles);
    }

    /// Gives a service principal of the operator's app roles of Microsoft Graph.
    fn empower(&mut self, tenant: &str, principal: &str, roles: &[&str]) {
        let Some(graph_api) = first_party::by_app_id(first_party::GRAPH) else {
            return;
        };
        // In the order of their ids: so a journal gives them back.
        let mut roles: Vec<(String, String)> = roles
            .iter()
            .filter_map(|role| {
                let id = random::derived_guid(&["assignment", tenant, principal, role]);
                Some((id, graph_api.role_id(role)?))
            })
            .collect();
        roles.sort();
        for (id, role_id) in roles {
            let assignment = json!({
                "id": id, "deletedDateTime": null, "appRoleId": role_id, "createdDateTime": CREATED,
                "principalDisplayName": "Onboarding automation", "principalId": principal,
                "principalType": "ServicePrincipal", "resourceDisplayName": graph_api.name,
                "resourceId": graph_api.object_id(tenant),
            });
            self.put_assignment(tenant, &id, assignment);
        }
    }

    fn own_deleted(&mut self, tenant: &str, id: &str, owner: &str) {
        if let Some(directory) = self.edit(tenant)
            && let Some(mut app) = directory.deleted_apps.get(id).cloned()
            && app.owners.is_empty()
        {
            app.owners.push(owner.to_owned());
            directory.deleted_apps.insert(app);
            self.touch(tenant, super::Kind::DeletedApplication, id);
        }
    }

    /// Makes a secret good for the operator: the one that is offered, or a new one. Nothing when
    /// the world has no operator.
    pub(in crate::sandbox) fn operator_secret(
        &mut self,
        offered: Option<String>,
    ) -> Option<String> {
        let operator = self.operator.clone()?;
        let app = self.directory(&operator.tenant)?.apps.by_app_id(&operator.client)?;
        let id = app.id().to_owned();
        let secret = offered.unwrap_or_else(random::client_secret);
        let hash = random::secret_hash(&secret);
        if app.hashes.values().any(|h| *h == hash) {
            return Some(secret);
        }
        let key = random::guid();
        let now = self.now();
        // A sandbox's clock is moved by years: its operator's secret outlives that.
        let end = super::plus(now, jiff::Span::new().years(100)).unwrap_or(now);
        let credential = json!({
            "customKeyIdentifier": null, "displayName": "sandbox operator", "endDateTime": graph_time(end),
            "hint": secret.chars().take(3).collect::<String>(), "keyId": key, "secretText": null,
            "startDateTime": graph_time(now),
        });
        self.change_app(&operator.tenant, &id, |app| {
            app.passwords_mut().push(credential);
            app.hashes.insert(key, hash);
        });
        Some(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> World {
        let (mut world, _) = World::from_json(&built_in()).unwrap();
        world.ensure_operator();
        world
    }

    #[test]
    fn the_seed_loads_and_its_operator_holds_its_roles() {
        let world = seed();
        let operator = world.operator.clone().unwrap();
        let home = world.directory(&operator.tenant).unwrap();
        assert_eq!(home.default_domain(), "acme-soc.example");
        let graph = home.principal_by_app_id(first_party::GRAPH).unwrap();
        let principal = home.principals.by_app_id(&operator.client).unwrap();
        let roles = home.roles_of(principal["id"].as_str().unwrap(), &graph);
        assert_eq!(roles.len(), OPERATOR_ROLES.len());
        assert!(home.deleted_apps.by_unique_name("tenantry-acme-soc--tailspin").is_some());
        assert_eq!(world.directories().count(), 15);
    }

    #[test]
    fn the_seed_knows_the_analysts_of_the_demo_as_guests() {
        let world = seed();
        for (domain, upn) in [
            ("tailspin.example", "soc-reader@acme-soc.example"),
            ("initech.example", "night-shift@acme-soc.example"),
            ("wingtip.example", "soc-reader@acme-soc.example"),
        ] {
            let tenant = world.resolve(domain).unwrap();
            let (home, account) = world.account(upn).unwrap();
            let guest = world.member(&tenant, &home, &account).expect(domain);
            assert_eq!(guest.user_principal_name, people::guest_name(upn, domain));
            assert_eq!(guest.roles, ["Security Reader"]);
        }
    }

    #[test]
    fn the_world_round_trips() {
        let world = seed();
        let json = world.to_json();
        let (again, _) = World::from_json(&json).unwrap();
        assert_eq!(again.to_json(), json);
    }

    #[test]
    fn an_older_world_and_its_changes_give_the_newer_world() {
        let (mut world, _) = World::from_json(&built_in()).unwrap();
        let (mut older, _) = World::from_json(&world.to_json()).unwrap();
        world.ensure_operator();
        let secret = world.operator_secret(None).unwrap();
        world.advance("P3D").unwrap();
        let entry = world.take_changes().unwrap();
        assert!(!entry.to_string().contains(&secret));
        older.replay(&entry).unwrap();
        assert_eq!(older.to_json(), world.to_json());
        assert!(world.take_changes().is_none());
    }

    #[test]
    fn wanted_directories_are_added_once_and_home_moves() {
        let mut world = seed();
        let mut wanted = Wanted {
            id: None,
            domain: Some("new.example".to_owned()),
            name: "New".to_owned(),
            home: false,
            users: vec!["a@new.example".to_owned()],
        };
        world.ensure(&wanted).unwrap();
        world.ensure(&wanted).unwrap();
        let id = world.resolve("NEW.example").unwrap();
        assert_eq!(id, random::derived_guid(&["directory", "new.example"]));
        assert_eq!(world.directory(&id).unwrap().meta.users.len(), 1);
        assert_eq!(world.directories().count(), 16);
        wanted.home = true;
        world.ensure(&wanted).unwrap();
        assert_eq!(world.operator.clone().unwrap().tenant, id);
        // The seed's own directories are found by domain and stay as they are.
        wanted = Wanted {
            id: None,
            domain: Some("contoso.example".to_owned()),
            name: "Other".to_owned(),
            home: false,
            users: Vec::new(),
        };
        world.ensure(&wanted).unwrap();
        let contoso = world.resolve("contoso.example").unwrap();
        assert_eq!(world.directory(&contoso).unwrap().meta.name, "Contoso");
    }

    #[test]
    fn wrong_worlds_are_refused_with_their_place() {
        for (bad, word) in [
            (json!([]), "object"),
            (json!({"formatVersion": 2, "directories": []}), "formatVersion"),
            (
                json!({"formatVersion": 1, "directories": [{"id": "x", "name": "n", "domains": ["d"]}]}),
                "directories[0]",
            ),
            (json!({"formatVersion": 1, "directories": [], "apps": []}), "apps"),
            (
                json!({"formatVersion": 1, "directories": [{"id": random::guid(), "name": "n", "domains": ["d"], "colour": 1}]}),
                "colour",
            ),
            (
                json!({"formatVersion": 1, "directories": [{"id": random::guid(), "name": "n", "domains": ["d"], "applications": [{"id": "x"}]}]}),
                "appId",
            ),
        ] {
            let error = World::from_json(&bad).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
