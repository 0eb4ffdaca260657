//! The world as JSON: out, and in with everything checked.

use serde_json::{Map, Value, json};

use super::{
    Change, Kind, OperatorRef, World,
    apps::App,
    directory::{Directory, Meta},
    partners, people,
    vaults::{KeyVault, hash_values},
};
use crate::sandbox::{
    clock::{Clock, graph_time},
    random, schema,
};

/// What a world file said besides the world itself.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Loaded {
    /// Secrets that stood in it in clear: only memory holds them from here on.
    pub(in crate::sandbox) secrets: Vec<String>,
    /// Values of key vaults that stood in it in clear.
    pub(in crate::sandbox) values: Vec<String>,
}

const TABLES: [(&str, Kind); 5] = [
    ("applications", Kind::Application),
    ("servicePrincipals", Kind::Principal),
    ("oauth2PermissionGrants", Kind::Grant),
    ("appRoleAssignments", Kind::Assignment),
    ("refreshTokens", Kind::RefreshToken),
];

fn application_type(value: &Value) -> bool {
    value["@odata.type"] != "#microsoft.graph.servicePrincipal"
}

impl World {
    /// The world as JSON.
    pub(in crate::sandbox) fn to_json(&self) -> Value {
        let directories: Vec<Value> = self.directories.values().map(directory_json).collect();
        json!({
            "formatVersion": 1,
            "clockAheadMs": self.clock.ahead,
            "operator": self.operator.as_ref().map(|o| json!({"tenantId": o.tenant, "clientId": o.client})),
            "directories": directories,
            "keyVaults": self.key_vaults().values().collect::<Vec<_>>(),
        })
    }

    /// A world from JSON.
    ///
    /// # Errors
    /// In words: where, and what is wrong.
    pub(in crate::sandbox) fn from_json(value: &Value) -> Result<(Self, Loaded), String> {
        let mut world = Self::default();
        let mut loaded = Loaded::default();
        let root = value.as_object().ok_or("a world must be an object")?;
        for key in root.keys() {
            if !["formatVersion", "clockAheadMs", "operator", "directories", "keyVaults"]
                .contains(&key.as_str())
            {
                return Err(format!("a world has no member `{key}`"));
            }
        }
        if value["formatVersion"] != 1 {
            return Err("formatVersion must be 1".to_owned());
        }
        world.clock = Clock { ahead: value["clockAheadMs"].as_i64().unwrap_or(0) };
        let directories = value["directories"].as_array().ok_or("directories must be a list")?;
        for (i, directory) in directories.iter().enumerate() {
            world
                .load_directory(directory, &mut loaded)
                .map_err(|e| format!("directories[{i}]: {e}"))?;
        }
        let vaults = match root.get("keyVaults") {
            None => &Vec::new(),
            Some(Value::Array(vaults)) => vaults,
            Some(_) => return Err("keyVaults must be a list".to_owned()),
        };
        for (i, vault) in vaults.iter().enumerate() {
            let mut vault = vault.clone();
            let values = hash_values(&mut vault, random::secret_hash);
            loaded.values.extend(values.into_values());
            let vault = serde_json::from_value::<KeyVault>(vault)
                .map_err(|e| e.to_string())
                .and_then(KeyVault::checked)
                .map_err(|e| format!("keyVaults[{i}]: {e}"))?;
            world.put_key_vault(vault);
        }
        if let Some(operator) = root.get("operator").filter(|o| !o.is_null()) {
            let text = |name: &str| {
                operator[name]
                    .as_str()
                    .map(str::to_ascii_lowercase)
                    .ok_or_else(|| format!("operator.{name} must be an id"))
            };
            world.operator =
                Some(OperatorRef { tenant: text("tenantId")?, client: text("clientId")? });
        }
        world.changes.clear();
        Ok((world, loaded))
    }

    fn load_directory(&mut self, value: &Value, loaded: &mut Loaded) -> Result<(), String> {
        let mut object = value.as_object().ok_or("must be an object")?.clone();
        let mut tables = Vec::new();
        for (name, kind) in TABLES {
            match object.remove(name) {
                None => {}
                Some(Value::Array(list)) => {
                    tables.extend(list.into_iter().map(|v| (name, kind, v)))
                }
                Some(_) => return Err(format!("{name} must be a list")),
            }
        }
        match object.remove("deletedItems") {
            None => {}
            Some(Value::Array(list)) => tables.extend(list.into_iter().map(|v| {
                let kind = if application_type(&v) {
                    Kind::DeletedApplication
                } else {
                    Kind::DeletedPrincipal
                };
                ("deletedItems", kind, v)
            })),
            Some(_) => return Err("deletedItems must be a list".to_owned()),
        }
        let tenant = self.load_meta(Value::Object(object))?;
        for (name, kind, mut item) in tables {
            let id = item["id"]
                .as_str()
                .ok_or_else(|| format!("{name}: an entry has no id"))?
                .to_ascii_lowercase();
            if let Kind::Application | Kind::DeletedApplication = kind {
                complete_application(&mut item, loaded);
            }
            if let Kind::DeletedApplication | Kind::DeletedPrincipal = kind
                && item["deletedDateTime"].is_null()
            {
                // A seed cannot know when it is read, and the bin forgets after thirty days.
                let yesterday = self.now().saturating_sub(jiff::SignedDuration::from_hours(24));
                item["deletedDateTime"] = yesterday.map_or(Value::Null, |t| graph_time(t).into());
            }
            self.put(&tenant, kind, &id, Some(&item)).map_err(|e| format!("{name} `{id}`: {e}"))?;
        }
        Ok(())
    }

    fn load_meta(&mut self, value: Value) -> Result<String, String> {
        let mut meta: Meta = serde_json::from_value(value).map_err(|e| e.to_string())?;
        meta.id = uuid::Uuid::parse_str(&meta.id)
            .map_err(|_| format!("`{}` is no GUID", meta.id))?
            .to_string();
        if let Some(frequency) = &meta.sign_in.frequency {
            frequency
                .parse::<jiff::Span>()
                .map_err(|_| format!("signIn.frequency `{frequency}` is no ISO 8601 duration"))?;
        }
        for user in &meta.users {
            for role in &user.roles {
                people::role_id(role).ok_or_else(|| format!("no directory role is `{role}`"))?;
            }
            if let Some(from) = &user.sessions_valid_from {
                from.parse::<jiff::Timestamp>()
                    .map_err(|_| format!("sessionsValidFrom `{from}` is no time"))?;
            }
        }
        partners::check(&mut meta.delegated_admin_relationships)?;
        if meta.domains.is_empty() {
            return Err("needs at least one domain".to_owned());
        }
        for domain in &meta.domains {
            if let Some(other) = self.domains.get(&domain.to_ascii_lowercase())
                && *other != meta.id
            {
                return Err(format!("the domain `{domain}` belongs to {other} already"));
            }
        }
        let tenant = meta.id.clone();
        match self.directories.get_mut(&tenant) {
            Some(directory) => {
                self.domains.retain(|_, t| *t != tenant);
                for domain in &meta.domains {
                    self.domains.insert(domain.to_ascii_lowercase(), tenant.clone());
                }
                directory.meta = meta;
            }
            None => self.put_directory(Directory::new(meta)),
        }
        Ok(tenant)
    }

    /// Puts or removes one object, as the journal says.
    ///
    /// # Errors
    /// In words, when the object has the wrong shape or its directory is missing.
    pub(super) fn put(
        &mut self,
        tenant: &str,
        kind: Kind,
        id: &str,
        value: Option<&Value>,
    ) -> Result<(), String> {
        match kind {
            Kind::Directory => {
                return match value {
                    Some(value) => self.load_meta(value.clone()).map(|_| ()),
                    None => Err("a directory is never removed".to_owned()),
                };
            }
            Kind::KeyVault => return self.replay_vault(tenant, None, value),
            Kind::VaultSecret => return self.replay_vault(tenant, Some(id), value),
            Kind::Application
            | Kind::DeletedApplication
            | Kind::Principal
            | Kind::DeletedPrincipal
            | Kind::Grant
            | Kind::Assignment
            | Kind::RefreshToken => {}
        }
        let directory =
            self.directories.get_mut(tenant).ok_or_else(|| format!("no directory {tenant}"))?;
        match kind {
            Kind::Directory | Kind::KeyVault | Kind::VaultSecret => {}
            Kind::Application => {
                if let Some(old) = directory.apps.get(id)
                    && value.is_none()
                {
                    self.clients.remove(old.app_id());
                }
                match value {
                    Some(value) => {
                        let app = App::from_world(value)?;
                        self.clients.insert(app.app_id().to_owned(), tenant.to_owned());
                        directory.apps.insert(app);
                    }
                    None => {
                        directory.apps.remove(id);
                    }
                }
            }
            Kind::DeletedApplication => match value {
                Some(value) => directory.deleted_apps.insert(App::from_world(value)?),
                None => {
                    directory.deleted_apps.remove(id);
                }
            },
            Kind::Principal => match value {
                Some(value) => directory.principals.insert(id, value.clone()),
                None => {
                    directory.principals.remove(id);
                }
            },
            Kind::DeletedPrincipal => match value {
                Some(value) => directory.deleted_principals.insert(id, value.clone()),
                None => {
                    directory.deleted_principals.remove(id);
                }
            },
            Kind::Grant => match value {
                Some(value) => directory.grants.insert(id, value.clone()),
                None => {
                    directory.grants.remove(id);
                }
            },
            Kind::Assignment => match value {
                Some(value) => directory.assignments.insert(id, value.clone()),
                None => {
                    directory.assignments.remove(id);
                }
            },
            Kind::RefreshToken => match value {
                Some(value) => directory.refresh_tokens.insert(id, value.clone()),
                None => {
                    directory.refresh_tokens.remove(id);
                }
            },
        }
        Ok(())
    }

    fn current(&self, change: &Change) -> Option<Value> {
        let id = change.id.as_str();
        match change.kind {
            Kind::KeyVault => {
                return serde_json::to_value(self.key_vaults().get(&change.tenant)?).ok();
            }
            Kind::VaultSecret => return self.current_secret(&change.tenant, id),
            Kind::Directory
            | Kind::Application
            | Kind::DeletedApplication
            | Kind::Principal
            | Kind::DeletedPrincipal
            | Kind::Grant
            | Kind::Assignment
            | Kind::RefreshToken => {}
        }
        let directory = self.directories.get(&change.tenant)?;
        match change.kind {
            Kind::KeyVault | Kind::VaultSecret => None,
            Kind::Directory => serde_json::to_value(&directory.meta).ok(),
            Kind::Application => directory.apps.get(id).map(App::to_world),
            Kind::DeletedApplication => directory.deleted_apps.get(id).map(App::to_world),
            Kind::Principal => directory.principals.table.get(id).cloned(),
            Kind::DeletedPrincipal => directory.deleted_principals.table.get(id).cloned(),
            Kind::Grant => directory.grants.get(id).cloned(),
            Kind::Assignment => directory.assignments.get(id).cloned(),
            Kind::RefreshToken => directory.refresh_tokens.get(id).cloned(),
        }
    }

    /// What changed since the last call, as one entry of the journal; nothing when nothing did.
    pub(in crate::sandbox) fn take_changes(&mut self) -> Option<Value> {
        let clock = std::mem::take(&mut self.clock_changed);
        if self.changes.is_empty() && !clock {
            return None;
        }
        let changes = std::mem::take(&mut self.changes);
        let puts: Vec<Value> = changes
            .iter()
            .map(|c| json!([c.tenant, c.kind.word(), c.id, self.current(c)]))
            .collect();
        Some(json!({
            "clockAheadMs": self.clock.ahead,
            "operator": self.operator.as_ref().map(|o| json!([o.tenant, o.client])),
            "puts": puts,
        }))
    }

    /// Takes one entry of the journal.
    ///
    /// # Errors
    /// In words, when it is none.
    pub(in crate::sandbox) fn replay(&mut self, entry: &Value) -> Result<(), String> {
        self.clock = Clock { ahead: entry["clockAheadMs"].as_i64().ok_or("no clock")? };
        if let (Some(tenant), Some(client)) =
            (entry["operator"][0].as_str(), entry["operator"][1].as_str())
        {
            self.operator =
                Some(OperatorRef { tenant: tenant.to_owned(), client: client.to_owned() });
        }
        for put in entry["puts"].as_array().ok_or("no puts")? {
            let text = |i: usize| put[i].as_str().ok_or("a put has the wrong shape");
            let kind = Kind::parse(text(1)?).ok_or("a put of an unknown kind")?;
            let value = Some(&put[3]).filter(|v| !v.is_null());
            self.put(text(0)?, kind, text(2)?, value)?;
        }
        self.changes.clear();
        Ok(())
    }
}

fn directory_json(directory: &Directory) -> Value {
    let Ok(Value::Object(mut object)) = serde_json::to_value(&directory.meta) else {
        unreachable!("a directory's own members are plain data");
    };
    let mut list = |name: &str, values: Vec<Value>| {
        object.insert(name.to_owned(), Value::Array(values));
    };
    list("applications", directory.apps.iter().map(App::to_world).collect());
    let mut deleted: Vec<Value> = directory
        .deleted_apps
        .iter()
        .map(|a| typed(a.to_world(), "#microsoft.graph.application"))
        .collect();
    deleted.extend(
        directory
            .deleted_principals
            .table
            .iter()
            .map(|p| typed(p.clone(), "#microsoft.graph.servicePrincipal")),
    );
    list("deletedItems", deleted);
    list("servicePrincipals", directory.principals.table.iter().cloned().collect());
    list("oauth2PermissionGrants", directory.grants.iter().cloned().collect());
    list("appRoleAssignments", directory.assignments.iter().cloned().collect());
    list("refreshTokens", directory.refresh_tokens.iter().cloned().collect());
    Value::Object(object)
}

fn typed(value: Value, name: &str) -> Value {
    let Value::Object(object) = value else {
        return value;
    };
    let mut out = Map::new();
    out.insert("@odata.type".to_owned(), name.into());
    out.extend(object);
    Value::Object(out)
}

/// Fills in what a world file may leave out of an application, and hashes secrets given in clear.
fn complete_application(item: &mut Value, loaded: &mut Loaded) {
    let Some(object) = item.as_object_mut() else {
        return;
    };
    object.remove("@odata.type");
    let mut whole = schema::application_defaults();
    for (name, value) in std::mem::take(object) {
        whole.insert(name, value);
    }
    *object = whole;
    for name in ["id", "appId"] {
        if let Some(Value::String(id)) = object.get_mut(name) {
            id.make_ascii_lowercase();
        }
    }
    if let Some(Value::Array(credentials)) = object.get_mut("passwordCredentials") {
        for credential in credentials {
            let Some(credential) = credential.as_object_mut() else {
                continue;
            };
            if let Some(Value::String(secret)) = credential.remove("secretText") {
                credential
                    .insert("hint".to_owned(), secret.chars().take(3).collect::<String>().into());
                credential.insert("secretHash".to_owned(), random::secret_hash(&secret).into());
                loaded.secrets.push(secret);
            }
        }
    }
}
