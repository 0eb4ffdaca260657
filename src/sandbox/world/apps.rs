//! Applications and the indexes that keep ten thousand of them quick.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde_json::{Map, Value, json};

use crate::sandbox::odata::fold;

/// One application, live or deleted.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct App {
    /// What Graph shows of it, an object; values of secrets are never in it.
    pub(in crate::sandbox) graph: Value,
    /// Object ids of its owners.
    pub(in crate::sandbox) owners: Vec<String>,
    /// Ids of the app-management policies assigned to it.
    pub(in crate::sandbox) policies: Vec<String>,
    /// Hashes of its secrets by key id.
    pub(in crate::sandbox) hashes: BTreeMap<String, String>,
    /// Federated identity credentials: `{issuer, subject, audiences}`.
    pub(in crate::sandbox) federated: Vec<Value>,
    /// When it was made in this process: what lags after a creation looks here.
    pub(in crate::sandbox) born: Option<Instant>,
    /// When each credential was made in this process.
    pub(in crate::sandbox) fresh_keys: BTreeMap<String, Instant>,
    /// Its place in listings.
    seq: u64,
}

impl App {
    /// A new application from what Graph shows of it.
    pub(in crate::sandbox) fn new(graph: Map<String, Value>) -> Self {
        Self {
            graph: Value::Object(graph),
            owners: Vec::new(),
            policies: Vec::new(),
            hashes: BTreeMap::new(),
            federated: Vec::new(),
            born: None,
            fresh_keys: BTreeMap::new(),
            seq: 0,
        }
    }

    /// An application as a world file holds it: Graph's members, and `owners`,
    /// `appManagementPolicies`, `federatedIdentityCredentials`, and each password credential's
    /// `secretHash`.
    ///
    /// # Errors
    /// In words, when a member has the wrong shape or `id` or `appId` is missing.
    pub(in crate::sandbox) fn from_world(value: &Value) -> Result<Self, String> {
        let mut graph = value.as_object().ok_or("an application must be an object")?.clone();
        let owners = ids(graph.remove("owners"), "owners")?;
        let policies = ids(graph.remove("appManagementPolicies"), "appManagementPolicies")?;
        let federated = match graph.remove("federatedIdentityCredentials") {
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => return Err("federatedIdentityCredentials must be a list".to_owned()),
        };
        let mut hashes = BTreeMap::new();
        if let Some(credentials) = graph.get_mut("passwordCredentials") {
            let credentials =
                credentials.as_array_mut().ok_or("passwordCredentials must be a list")?;
            for credential in credentials {
                let credential =
                    credential.as_object_mut().ok_or("a password credential must be an object")?;
                let key = credential
                    .get("keyId")
                    .and_then(Value::as_str)
                    .ok_or("a password credential needs a keyId")?
                    .to_owned();
                if let Some(Value::String(hash)) = credential.remove("secretHash") {
                    hashes.insert(key, hash);
                }
                credential.insert("secretText".to_owned(), Value::Null);
            }
        }
        let mut app = Self::new(graph);
        if app.id().is_empty() || app.app_id().is_empty() {
            return Err("an application needs id and appId".to_owned());
        }
        app.owners = owners;
        app.policies = policies;
        app.federated = federated;
        app.hashes = hashes;
        Ok(app)
    }

    /// The same, to a world file.
    pub(in crate::sandbox) fn to_world(&self) -> Value {
        let mut graph = self.members().clone();
        if let Some(Value::Array(credentials)) = graph.get_mut("passwordCredentials") {
            for credential in credentials {
                let hash = credential["keyId"].as_str().and_then(|k| self.hashes.get(k)).cloned();
                if let (Some(credential), Some(hash)) = (credential.as_object_mut(), hash) {
                    credential.insert("secretHash".to_owned(), Value::String(hash));
                }
            }
        }
        graph.insert("owners".to_owned(), json!(self.owners));
        if !self.policies.is_empty() {
            graph.insert("appManagementPolicies".to_owned(), json!(self.policies));
        }
        if !self.federated.is_empty() {
            graph.insert(
                "federatedIdentityCredentials".to_owned(),
                Value::Array(self.federated.clone()),
            );
        }
        Value::Object(graph)
    }

    /// Graph's members of it.
    pub(in crate::sandbox) fn members(&self) -> &Map<String, Value> {
        match &self.graph {
            Value::Object(members) => members,
            _ => unreachable!("an application is made from an object"),
        }
    }

    fn text(&self, name: &str) -> &str {
        self.graph[name].as_str().unwrap_or("")
    }

    /// Its object id.
    pub(in crate::sandbox) fn id(&self) -> &str {
        self.text("id")
    }

    /// Its client id.
    pub(in crate::sandbox) fn app_id(&self) -> &str {
        self.text("appId")
    }

    /// Its display name.
    pub(in crate::sandbox) fn name(&self) -> &str {
        self.text("displayName")
    }

    /// Its audience.
    pub(in crate::sandbox) fn audience(&self) -> &str {
        self.text("signInAudience")
    }

    /// Whether nobody gets a token with it any more: its owner deactivated it, or Microsoft did
    /// (<https://learn.microsoft.com/en-us/entra/identity/enterprise-apps/deactivate-application-portal>).
    pub(in crate::sandbox) fn is_disabled(&self) -> bool {
        self.graph["isDisabled"] == true
            || self.text("disabledByMicrosoftStatus").starts_with("DisabledDueTo")
    }

    /// Its alternate key, where it has one.
    pub(in crate::sandbox) fn unique_name(&self) -> Option<&str> {
        self.graph["uniqueName"].as_str()
    }

    /// Its tags.
    pub(in crate::sandbox) fn tags(&self) -> impl Iterator<Item = &str> {
        self.graph
            .get("tags")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }

    /// Its password credentials.
    pub(in crate::sandbox) fn passwords(&self) -> &[Value] {
        self.graph.get("passwordCredentials").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Its password credentials, to change.
    pub(in crate::sandbox) fn passwords_mut(&mut self) -> &mut Vec<Value> {
        let entry = &mut self.graph["passwordCredentials"];
        if !entry.is_array() {
            *entry = Value::Array(Vec::new());
        }
        match entry {
            Value::Array(list) => list,
            _ => unreachable!("made a list above"),
        }
    }
}

fn ids(value: Option<Value>, what: &str) -> Result<Vec<String>, String> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .into_iter()
            .map(|v| match v {
                Value::String(s) => Ok(s.to_ascii_lowercase()),
                _ => Err(format!("{what} must be a list of ids")),
            })
            .collect(),
        Some(_) => Err(format!("{what} must be a list of ids")),
    }
}

/// Applications of one directory, found by id, client id, unique name or tag.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Apps {
    by_id: HashMap<String, App>,
    order: BTreeMap<u64, String>,
    by_app_id: HashMap<String, String>,
    by_unique_name: HashMap<String, String>,
    by_tag: HashMap<String, BTreeMap<u64, String>>,
    next: u64,
}

impl Apps {
    /// By object id (in lower case).
    pub(in crate::sandbox) fn get(&self, id: &str) -> Option<&App> {
        self.by_id.get(id)
    }

    /// By client id (in lower case).
    pub(in crate::sandbox) fn by_app_id(&self, app_id: &str) -> Option<&App> {
        self.by_id.get(self.by_app_id.get(app_id)?)
    }

    /// By unique name; case does not count, as in all texts that the directory compares.
    pub(in crate::sandbox) fn by_unique_name(&self, name: &str) -> Option<&App> {
        self.by_id.get(self.by_unique_name.get(&fold(name))?)
    }

    /// All, oldest first.
    pub(in crate::sandbox) fn iter(&self) -> impl Iterator<Item = &App> {
        self.order.values().filter_map(|id| self.by_id.get(id))
    }

    /// Those with a tag (case does not count), oldest first.
    pub(in crate::sandbox) fn tagged(&self, tag: &str) -> impl Iterator<Item = &App> {
        self.by_tag
            .get(&fold(tag))
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|id| self.by_id.get(id))
    }

    /// How many.
    pub(in crate::sandbox) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Adds one, or replaces the one of the same id at its place.
    pub(in crate::sandbox) fn insert(&mut self, mut app: App) {
        app.seq = match self.remove(app.id()) {
            Some(old) => old.seq,
            None => {
                self.next += 1;
                self.next
            }
        };
        let id = app.id().to_owned();
        self.order.insert(app.seq, id.clone());
        self.by_app_id.insert(app.app_id().to_owned(), id.clone());
        if let Some(name) = app.unique_name() {
            self.by_unique_name.insert(fold(name), id.clone());
        }
        for tag in app.tags() {
            self.by_tag.entry(fold(tag)).or_default().insert(app.seq, id.clone());
        }
        self.by_id.insert(id, app);
    }

    /// Takes one out.
    pub(in crate::sandbox) fn remove(&mut self, id: &str) -> Option<App> {
        let app = self.by_id.remove(id)?;
        self.order.remove(&app.seq);
        self.by_app_id.remove(app.app_id());
        if let Some(name) = app.unique_name() {
            self.by_unique_name.remove(&fold(name));
        }
        for tag in app.tags() {
            if let Some(places) = self.by_tag.get_mut(&fold(tag)) {
                places.remove(&app.seq);
                if places.is_empty() {
                    self.by_tag.remove(&fold(tag));
                }
            }
        }
        Some(app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str, tag: &str) -> App {
        let Value::Object(graph) = json!({"id": id, "appId": format!("c{id}"), "uniqueName": format!("u{id}"),
            "tags": [tag], "passwordCredentials": [{"keyId": "k", "secretText": null}]})
        else {
            unreachable!()
        };
        App::new(graph)
    }

    #[test]
    fn indexes_follow_changes() {
        let mut apps = Apps::default();
        apps.insert(app("1", "red"));
        apps.insert(app("2", "red"));
        apps.insert(app("1", "blue"));
        assert_eq!(apps.len(), 2);
        assert_eq!(apps.tagged("red").map(App::id).collect::<Vec<_>>(), ["2"]);
        assert_eq!(apps.iter().map(App::id).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(apps.by_unique_name("u1").map(App::id), Some("1"));
        apps.remove("1");
        assert!(apps.by_app_id("c1").is_none());
        assert!(apps.by_unique_name("u1").is_none());
        assert_eq!(apps.tagged("blue").count(), 0);
    }

    #[test]
    fn the_worlds_form_round_trips_with_hashes_apart() {
        let mut one = app("1", "t");
        one.hashes.insert("k".to_owned(), "sha256:00".to_owned());
        one.owners.push("o".to_owned());
        let world = one.to_world();
        assert_eq!(world["passwordCredentials"][0]["secretHash"], "sha256:00");
        let back = App::from_world(&world).unwrap();
        assert_eq!(back.hashes, one.hashes);
        assert_eq!(back.owners, one.owners);
        assert_eq!(back.graph, one.graph);
    }
}
