//! The world: everything that the sandbox remembers.
//!
//! As JSON (a seed, `GET`/`PUT /_sandbox/world`, and the snapshot in the folder):
//!
//! ```json
//! {
//!   "formatVersion": 1,
//!   "clockAheadMs": 0,
//!   "operator": {"tenantId": "…", "clientId": "…"},
//!   "directories": [{
//!     "id": "…", "name": "Contoso", "domains": ["contoso.example"], "home": false,
//!     "region": "EU", "subRegion": "GCC", "createdDateTime": "…", "size": "small", "quota": 300000,
//!     "people": {"administrator": "accepts|declines|absent", "analyst": "signs-in|absent",
//!                "portal": "done|not-done", "defender": "provisioned|not-provisioned",
//!                "operator": "unknown|own-apps|everything", "signsInAs": "someone-else@contoso.example"},
//!     "signIn": {"policy": "none|mfa|block|location", "frequency": "P1D", "guests": "member|limited|restricted"},
//!     "users": [{"id": "…", "userPrincipalName": "…", "displayName": "…", "roles": ["Security Reader"],
//!                "guestOf": "…", "mail": "…", "disabled": false, "sessionsValidFrom": "…"}],
//!     "firstParty": ["00000003-0000-0000-c000-000000000000"],
//!     "policies": {"default": null, "custom": []},
//!     "delegatedAdminRelationships": [{"id": "…", "displayName": "…", "status": "active", "duration": "P730D",
//!        "customer": {"tenantId": "…", "displayName": "…"}, "createdDateTime": "…", "activatedDateTime": "…",
//!        "endDateTime": "…", "autoExtendDuration": "P180D"}],
//!     "incidents": [], "alerts": [],
//!     "applications": [{"…as Graph shows it…": 0, "owners": ["…"], "appManagementPolicies": ["…"],
//!        "federatedIdentityCredentials": [{"issuer": "…", "subject": "…", "audiences": ["…"]}],
//!        "passwordCredentials": [{"keyId": "…", "secretHash": "sha256:…"}]}],
//!     "deletedItems": [{"@odata.type": "#microsoft.graph.application", "deletedDateTime": "…"}],
//!     "servicePrincipals": [], "oauth2PermissionGrants": [], "appRoleAssignments": [],
//!     "refreshTokens": [{"id": "sha256:…", "…": "what it was issued for"}]
//!   }],
//!   "keyVaults": [{"name": "acme-soc", "directory": "…", "location": "westeurope",
//!     "assignments": [{"principalId": "…", "role": "Key Vault Secrets Officer"}],
//!     "secrets": {"name": {"name": "name", "versions": [{"id": "…", "valueHash": "sha256:…", "…": 0}]}},
//!     "deletedSecrets": {"name": {"secret": {"…": 0}, "deleted": 1795000000}}
//!   }]
//! }
//! ```
//!
//! Only `id`, `name` and `domains` of a directory are needed. A password credential may be given
//! with `secretText` instead of `secretHash`; the value is hashed and forgotten at once. A version of a
//! key vault's secret may be given with `value` instead of `valueHash`; it is kept apart. What an
//! application leaves out gets Graph's defaults. Directory roles are named as Microsoft names them
//! (`world::people` knows which); a directory without a Global Administrator has one all the same,
//! `admin@` its default domain. `guestOf` and `mail` make a user a guest: the account of that
//! sign-in name in that directory.

pub(super) mod apps;
pub(super) mod directory;
pub(super) mod first_party;
pub(super) mod form;
pub(super) mod journal;
pub(super) mod partners;
pub(super) mod people;
pub(super) mod seed;
pub(super) mod vaults;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use jiff::Timestamp;
use serde_json::Value;

use super::clock::{Clock, plus};
use apps::App;
use directory::Directory;

/// A kind of thing that the journal names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A directory without its tables.
    Directory,
    /// A live application.
    Application,
    /// A soft-deleted application.
    DeletedApplication,
    /// A live service principal.
    Principal,
    /// A soft-deleted service principal.
    DeletedPrincipal,
    /// An oauth2PermissionGrant.
    Grant,
    /// An appRoleAssignment.
    Assignment,
    /// A refresh token, as its hash.
    RefreshToken,
    /// A key vault as it is first; its `tenant` is its name.
    KeyVault,
    /// A secret of a key vault.
    VaultSecret,
}

impl Kind {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Directory, "directory"),
        (Self::Application, "application"),
        (Self::DeletedApplication, "deletedApplication"),
        (Self::Principal, "servicePrincipal"),
        (Self::DeletedPrincipal, "deletedServicePrincipal"),
        (Self::Grant, "oauth2PermissionGrant"),
        (Self::Assignment, "appRoleAssignment"),
        (Self::RefreshToken, "refreshToken"),
        (Self::KeyVault, "keyVault"),
        (Self::VaultSecret, "keyVaultSecret"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(k, _)| *k == self).map_or("", |(_, w)| w)
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, w)| *w == word).map(|(k, _)| *k)
    }
}

/// Something that changed and is not in the journal yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    tenant: String,
    kind: Kind,
    id: String,
}

/// Whose credentials the sandbox hands to its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OperatorRef {
    /// The home directory.
    pub(super) tenant: String,
    /// The client id of the operator's app there.
    pub(super) client: String,
}

/// Everything that the sandbox remembers.
#[derive(Debug, Default)]
pub(super) struct World {
    clock: Clock,
    clock_changed: bool,
    /// The operator, where the world has one.
    pub(super) operator: Option<OperatorRef>,
    directories: BTreeMap<String, Directory>,
    domains: HashMap<String, String>,
    clients: HashMap<String, String>,
    key_vaults: BTreeMap<String, vaults::KeyVault>,
    changes: BTreeSet<Change>,
}

/// How long a deleted object can be restored.
const BIN_DAYS: i64 = 30;

impl World {
    /// The sandbox's now.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock forward; see [`Clock::advance`].
    ///
    /// # Errors
    /// In words.
    pub(super) fn advance(&mut self, duration: &str) -> Result<(), String> {
        self.clock.advance(duration)?;
        self.clock_changed = true;
        Ok(())
    }

    /// All directories.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Directory> {
        self.directories.values()
    }

    /// A directory by its tenant id in lower case.
    pub(super) fn directory(&self, tenant: &str) -> Option<&Directory> {
        self.directories.get(tenant)
    }

    /// The tenant id of a directory that is named by id or domain.
    pub(super) fn resolve(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        if self.directories.contains_key(&name) {
            return Some(name);
        }
        self.domains.get(&name).cloned()
    }

    /// The live application of that client id, wherever its home is: `(tenant, application)`.
    pub(super) fn client(&self, app_id: &str) -> Option<(&str, &App)> {
        let tenant = self.clients.get(app_id)?;
        let app = self.directories.get(tenant)?.apps.by_app_id(app_id)?;
        Some((tenant, app))
    }

    fn touch(&mut self, tenant: &str, kind: Kind, id: &str) {
        self.changes.insert(Change { tenant: tenant.to_owned(), kind, id: id.to_owned() });
    }

    fn edit(&mut self, tenant: &str) -> Option<&mut Directory> {
        self.directories.get_mut(tenant)
    }

    /// Changes what a directory is (people, policies, …).
    pub(super) fn change_meta(&mut self, tenant: &str, change: impl FnOnce(&mut directory::Meta)) {
        if let Some(directory) = self.edit(tenant) {
            change(&mut directory.meta);
            self.touch(tenant, Kind::Directory, "");
        }
    }

    /// Adds or replaces a live application.
    pub(super) fn put_app(&mut self, tenant: &str, app: App) {
        let (id, client) = (app.id().to_owned(), app.app_id().to_owned());
        if let Some(directory) = self.edit(tenant) {
            directory.apps.insert(app);
            self.clients.insert(client, tenant.to_owned());
            self.touch(tenant, Kind::Application, &id);
        }
    }

    /// Changes a live application and keeps its indexes; nothing happens when there is none.
    pub(super) fn change_app(&mut self, tenant: &str, id: &str, change: impl FnOnce(&mut App)) {
        let Some(directory) = self.edit(tenant) else {
            return;
        };
        if let Some(mut app) = directory.apps.get(id).cloned() {
            change(&mut app);
            directory.apps.insert(app);
            self.touch(tenant, Kind::Application, id);
        }
    }

    /// Moves a live application into the bin, and the service principal that the same directory
    /// has for it.
    pub(super) fn bin_app(&mut self, tenant: &str, id: &str, at: &str) {
        let Some(directory) = self.edit(tenant) else {
            return;
        };
        let Some(mut app) = directory.apps.remove(id) else {
            return;
        };
        let client = app.app_id().to_owned();
        app.graph["deletedDateTime"] = at.into();
        directory.deleted_apps.insert(app);
        let principal = directory
            .principals
            .by_app_id(&client)
            .and_then(|p| p["id"].as_str())
            .map(str::to_owned);
        self.clients.remove(&client);
        self.touch(tenant, Kind::Application, id);
        self.touch(tenant, Kind::DeletedApplication, id);
        if let Some(principal) = principal {
            self.bin_principal(tenant, &principal, at);
        }
    }

    /// Takes an application out of the bin and makes it live again.
    pub(super) fn restore_app(&mut self, tenant: &str, id: &str) {
        let Some(directory) = self.edit(tenant) else {
            return;
        };
        let Some(mut app) = directory.deleted_apps.remove(id) else {
            return;
        };
        app.graph["deletedDateTime"] = Value::Null;
        self.touch(tenant, Kind::DeletedApplication, id);
        self.put_app(tenant, app);
    }

    /// Removes something from the bin for good.
    pub(super) fn purge(&mut self, tenant: &str, id: &str) {
        if let Some(directory) = self.edit(tenant) {
            directory.deleted_apps.remove(id);
            directory.deleted_principals.remove(id);
            self.touch(tenant, Kind::DeletedApplication, id);
            self.touch(tenant, Kind::DeletedPrincipal, id);
        }
    }

    /// Adds or replaces a service principal.
    pub(super) fn put_principal(&mut self, tenant: &str, id: &str, value: Value) {
        if let Some(directory) = self.edit(tenant) {
            directory.principals.insert(id, value);
            self.touch(tenant, Kind::Principal, id);
        }
    }

    /// Remembers that a service principal was made just now.
    pub(super) fn principal_is_born(&mut self, tenant: &str, id: &str) {
        if let Some(directory) = self.edit(tenant) {
            directory.principals.born.insert(id.to_owned(), Instant::now());
        }
    }

    /// Moves a service principal into the bin; what it was granted is gone for good.
    pub(super) fn bin_principal(&mut self, tenant: &str, id: &str, at: &str) {
        let Some(directory) = self.edit(tenant) else {
            return;
        };
        let Some(mut principal) = directory.principals.remove(id) else {
            return;
        };
        principal["deletedDateTime"] = at.into();
        directory.deleted_principals.insert(id, principal);
        let of = |table: &directory::Table, members: [&str; 2]| -> Vec<String> {
            table
                .iter()
                .filter(|v| members.iter().any(|m| v[*m] == id))
                .filter_map(|v| v["id"].as_str().map(str::to_owned))
                .collect()
        };
        let grants = of(&directory.grants, ["clientId", "resourceId"]);
        let assignments = of(&directory.assignments, ["principalId", "resourceId"]);
        self.touch(tenant, Kind::Principal, id);
        self.touch(tenant, Kind::DeletedPrincipal, id);
        for grant in grants {
            self.remove_grant(tenant, &grant);
        }
        for assignment in assignments {
            self.remove_assignment(tenant, &assignment);
        }
    }

    /// Takes a service principal out of the bin.
    pub(super) fn restore_principal(&mut self, tenant: &str, id: &str) {
        let Some(directory) = self.edit(tenant) else {
            return;
        };
        if let Some(mut principal) = directory.deleted_principals.remove(id) {
            principal["deletedDateTime"] = Value::Null;
            self.touch(tenant, Kind::DeletedPrincipal, id);
            self.put_principal(tenant, id, principal);
        }
    }

    /// Adds or replaces an oauth2PermissionGrant.
    pub(super) fn put_grant(&mut self, tenant: &str, id: &str, value: Value) {
        if let Some(directory) = self.edit(tenant) {
            directory.grants.insert(id, value);
            self.touch(tenant, Kind::Grant, id);
        }
    }

    /// Removes an oauth2PermissionGrant.
    pub(super) fn remove_grant(&mut self, tenant: &str, id: &str) {
        if let Some(directory) = self.edit(tenant) {
            directory.grants.remove(id);
            self.touch(tenant, Kind::Grant, id);
        }
    }

    /// Adds an appRoleAssignment.
    pub(super) fn put_assignment(&mut self, tenant: &str, id: &str, value: Value) {
        if let Some(directory) = self.edit(tenant) {
            directory.assignments.insert(id, value);
            self.touch(tenant, Kind::Assignment, id);
        }
    }

    /// Removes an appRoleAssignment.
    pub(super) fn remove_assignment(&mut self, tenant: &str, id: &str) {
        if let Some(directory) = self.edit(tenant) {
            directory.assignments.remove(id);
            self.touch(tenant, Kind::Assignment, id);
        }
    }

    /// Keeps a refresh token's hash with what is known of it.
    pub(super) fn put_refresh_token(&mut self, tenant: &str, hash: &str, value: Value) {
        if let Some(directory) = self.edit(tenant) {
            directory.refresh_tokens.insert(hash, value);
            self.touch(tenant, Kind::RefreshToken, hash);
        }
    }

    /// Forgets refresh tokens that were issued in a directory to the same app for the same account
    /// before a moment: one that has died of age is of no use to anybody.
    pub(super) fn forget_refresh_tokens(
        &mut self,
        tenant: &str,
        like: &Value,
        issued_before: Timestamp,
    ) {
        const SAME: [&str; 3] = ["clientId", "home", "user"];
        let Some(directory) = self.edit(tenant) else { return };
        let issued = |kept: &Value| kept["issued"].as_str()?.parse::<Timestamp>().ok();
        let old: Vec<String> = directory
            .refresh_tokens
            .iter()
            .filter(|kept| SAME.iter().all(|name| kept[name] == like[name]))
            .filter(|kept| issued(kept).is_some_and(|issued| issued < issued_before))
            .filter_map(|kept| kept["id"].as_str().map(str::to_owned))
            .collect();
        for id in old {
            if let Some(directory) = self.edit(tenant) {
                directory.refresh_tokens.remove(&id);
            }
            self.touch(tenant, Kind::RefreshToken, &id);
        }
    }

    /// A refresh token by its hash, wherever it was issued: it is bound to a user and a client,
    /// not to a directory.
    pub(super) fn refresh_token(&self, hash: &str) -> Option<&Value> {
        self.directories.values().find_map(|d| d.refresh_tokens.get(hash))
    }

    /// Adds a directory; one of the same id is replaced, with what it held.
    pub(super) fn put_directory(&mut self, directory: Directory) {
        let tenant = directory.meta.id.clone();
        self.domains.retain(|_, t| *t != tenant);
        for domain in &directory.meta.domains {
            self.domains.insert(domain.to_ascii_lowercase(), tenant.clone());
        }
        self.directories.insert(tenant.clone(), directory);
        self.touch(&tenant, Kind::Directory, "");
    }

    /// Empties the bin of what has lain there for thirty days.
    pub(super) fn expire_bin(&mut self, tenant: &str) {
        let now = self.now();
        let Some(directory) = self.directories.get(tenant) else {
            return;
        };
        let over = |deleted: Option<&str>| {
            deleted
                .and_then(|d| d.parse::<Timestamp>().ok())
                .and_then(|d| plus(d, jiff::Span::new().days(BIN_DAYS)))
                .is_some_and(|end| end <= now)
        };
        let mut gone: Vec<String> = directory
            .deleted_apps
            .iter()
            .filter(|a| over(a.graph["deletedDateTime"].as_str()))
            .map(|a| a.id().to_owned())
            .collect();
        gone.extend(
            directory
                .deleted_principals
                .table
                .iter()
                .filter(|p| over(p["deletedDateTime"].as_str()))
                .filter_map(|p| p["id"].as_str().map(str::to_owned)),
        );
        for id in gone {
            self.purge(tenant, &id);
        }
    }
}
