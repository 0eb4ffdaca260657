//! One directory (a tenant): its people, its apps, and what its administrators granted.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{apps::Apps, first_party};

/// Whether the customer's administrator consents when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum Administrator {
    /// Accepts what is asked.
    #[default]
    Accepts,
    /// Refuses.
    Declines,
    /// Never opens the link.
    Absent,
}

/// Whether the analyst signs in when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum Analyst {
    /// Signs in.
    #[default]
    SignsIn,
    /// Never opens the link.
    Absent,
}

/// Whether someone clicked "Authorize application"; no API tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum Portal {
    /// Clicked.
    Done,
    /// Not yet.
    #[default]
    NotDone,
}

/// Whether Defender has ever been opened in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum Defender {
    /// Its APIs answer.
    #[default]
    Provisioned,
    /// Its APIs say "Account is not provisioned."
    NotProvisioned,
}

/// What the customer's administrator gave the operator's own app in this directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum OperatorThere {
    /// It is not known here: its tokens are refused (7000229).
    #[default]
    Unknown,
    /// It may make apps of its own here, and look at others; it may grant nothing.
    OwnApps,
    /// All that it asks for: it may make apps known here, and grant them what they ask for.
    Everything,
}

/// The people of a customer, and what they have done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::sandbox) struct People {
    /// Gives or refuses admin consent.
    pub(in crate::sandbox) administrator: Administrator,
    /// Signs in for delegated connectors.
    pub(in crate::sandbox) analyst: Analyst,
    /// The portal step.
    pub(in crate::sandbox) portal: Portal,
    /// The product behind the APIs.
    pub(in crate::sandbox) defender: Defender,
    /// What the operator may do here.
    #[serde(skip_serializing_if = "is_unknown")]
    pub(in crate::sandbox) operator: OperatorThere,
    /// Who signs in where the analyst is asked, when it is somebody else: a sign-in name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) signs_in_as: Option<String>,
}

fn is_unknown(operator: &OperatorThere) -> bool {
    *operator == OperatorThere::Unknown
}

/// What a directory demands of sign-ins: its Conditional Access, as far as tokens feel it
/// (<https://learn.microsoft.com/en-us/entra/identity/conditional-access/overview>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum SignInPolicy {
    /// Nothing.
    #[default]
    None,
    /// A second factor: people give it on the page; a refresh token from before dies (50076).
    Mfa,
    /// Nobody signs in, and no refresh token works (53003).
    Block,
    /// Only from the places where people sit: they sign in, a refresh from elsewhere dies (53003).
    Location,
}

/// What guests may see: decides the default role of their tokens
/// (<https://learn.microsoft.com/en-us/entra/identity/users/users-restrict-guest-permissions>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum Guests {
    /// As much as members.
    Member,
    /// Less, as Microsoft sets it.
    #[default]
    Limited,
    /// Only themselves.
    Restricted,
}

/// The sign-in knobs of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::sandbox) struct SignIn {
    /// What is demanded.
    pub(in crate::sandbox) policy: SignInPolicy,
    /// How long a sign-in lasts at most, an ISO 8601 duration; later refreshes die (70043).
    pub(in crate::sandbox) frequency: Option<String>,
    /// What guests may see.
    pub(in crate::sandbox) guests: Guests,
}

/// A user of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sandbox) struct User {
    /// Object id.
    pub(in crate::sandbox) id: String,
    /// Sign-in name.
    pub(in crate::sandbox) user_principal_name: String,
    /// Display name.
    pub(in crate::sandbox) display_name: String,
    /// Directory roles by name, such as `Security Reader`.
    #[serde(default)]
    pub(in crate::sandbox) roles: Vec<String>,
    /// For a guest (B2B): the directory where the account lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) guest_of: Option<String>,
    /// For a guest: the name with which the account signs in at home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) mail: Option<String>,
    /// Whether sign-in is blocked (50057).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::sandbox) disabled: bool,
    /// Refresh tokens of sign-ins before this time are revoked (50173). A guest's are revoked at
    /// home only: this is looked at where the account lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) sessions_valid_from: Option<String>,
}

/// The app-management policies of a directory, as Graph shows them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::sandbox) struct Policies {
    /// The tenant's default; null when it was never configured.
    pub(in crate::sandbox) default: Value,
    /// Those that can be assigned to an app.
    pub(in crate::sandbox) custom: Vec<Value>,
}

/// How large a directory is: decides its throttling limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::sandbox) enum Size {
    /// Fewer than 50 users.
    #[default]
    Small,
    /// 50 to 500 users.
    Medium,
    /// More than 500 users.
    Large,
}

/// What a directory is, without its tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sandbox) struct Meta {
    /// Tenant id.
    pub(in crate::sandbox) id: String,
    /// Display name.
    pub(in crate::sandbox) name: String,
    /// Verified domains, the default one first.
    pub(in crate::sandbox) domains: Vec<String>,
    /// Whether it is the provider's.
    #[serde(default)]
    pub(in crate::sandbox) home: bool,
    /// `tenant_region_scope` of discovery.
    #[serde(default = "europe")]
    pub(in crate::sandbox) region: String,
    /// `tenant_region_sub_scope` of discovery (`GCC`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) sub_region: Option<String>,
    /// When it was made.
    #[serde(default = "long_ago")]
    pub(in crate::sandbox) created_date_time: String,
    /// For throttling.
    #[serde(default)]
    pub(in crate::sandbox) size: Size,
    /// The greatest number of applications, deleted ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) quota: Option<usize>,
    /// Its people.
    #[serde(default)]
    pub(in crate::sandbox) people: People,
    /// What it demands of sign-ins.
    #[serde(default)]
    pub(in crate::sandbox) sign_in: SignIn,
    /// Its users.
    #[serde(default)]
    pub(in crate::sandbox) users: Vec<User>,
    /// Client ids of Microsoft's APIs that have a service principal here.
    #[serde(default = "all_first_parties")]
    pub(in crate::sandbox) first_party: Vec<String>,
    /// Its app-management policies.
    #[serde(default)]
    pub(in crate::sandbox) policies: Policies,
    /// What it has with customers where it is a partner's, as Graph shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::sandbox) delegated_admin_relationships: Vec<Value>,
    /// Defender incidents, as Graph shows them.
    #[serde(default)]
    pub(in crate::sandbox) incidents: Vec<Value>,
    /// Defender alerts, as Graph shows them.
    #[serde(default)]
    pub(in crate::sandbox) alerts: Vec<Value>,
}

fn europe() -> String {
    "EU".to_owned()
}

fn long_ago() -> String {
    "2021-03-01T08:00:00Z".to_owned()
}

fn all_first_parties() -> Vec<String> {
    first_party::ALL.iter().map(|f| f.app_id.to_owned()).collect()
}

/// One directory with its tables.
#[derive(Debug)]
pub(in crate::sandbox) struct Directory {
    /// What it is.
    pub(in crate::sandbox) meta: Meta,
    /// Live applications.
    pub(in crate::sandbox) apps: Apps,
    /// Soft-deleted applications.
    pub(in crate::sandbox) deleted_apps: Apps,
    /// Service principals of apps that are not Microsoft's.
    pub(in crate::sandbox) principals: Principals,
    /// Soft-deleted service principals.
    pub(in crate::sandbox) deleted_principals: Principals,
    /// oauth2PermissionGrants.
    pub(in crate::sandbox) grants: Table,
    /// appRoleAssignments.
    pub(in crate::sandbox) assignments: Table,
    /// Refresh tokens issued here, by their hashes.
    pub(in crate::sandbox) refresh_tokens: Table,
}

impl Directory {
    /// A directory with nothing in it.
    pub(in crate::sandbox) fn new(meta: Meta) -> Self {
        Self {
            meta,
            apps: Apps::default(),
            deleted_apps: Apps::default(),
            principals: Principals::default(),
            deleted_principals: Principals::default(),
            grants: Table::default(),
            assignments: Table::default(),
            refresh_tokens: Table::default(),
        }
    }

    /// A service principal by object id, Microsoft's included.
    pub(in crate::sandbox) fn principal(&self, id: &str) -> Option<Value> {
        if let Some(own) = self.principals.table.get(id) {
            return Some(own.clone());
        }
        self.first_parties()
            .find(|f| f.object_id(&self.meta.id) == id)
            .map(|f| f.principal(&self.meta.id))
    }

    /// A service principal by client id, Microsoft's included.
    pub(in crate::sandbox) fn principal_by_app_id(&self, app_id: &str) -> Option<Value> {
        if let Some(own) = self.principals.by_app_id(app_id) {
            return Some(own.clone());
        }
        self.first_parties().find(|f| f.app_id == app_id).map(|f| f.principal(&self.meta.id))
    }

    /// Microsoft's APIs that have a service principal here.
    pub(in crate::sandbox) fn first_parties(
        &self,
    ) -> impl Iterator<Item = &'static first_party::FirstParty> {
        self.meta.first_party.iter().filter_map(|id| first_party::by_app_id(id))
    }

    /// The app roles that a principal holds on a resource, by their values.
    pub(in crate::sandbox) fn roles_of(&self, principal: &str, resource: &Value) -> Vec<String> {
        let resource_id = resource["id"].as_str().unwrap_or_default();
        let mut roles: Vec<String> = self
            .assignments
            .iter()
            .filter(|a| a["principalId"] == principal && a["resourceId"] == resource_id)
            .filter_map(|a| {
                resource["appRoles"]
                    .as_array()?
                    .iter()
                    .find(|r| r["id"] == a["appRoleId"])?["value"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        roles.sort();
        roles.dedup();
        roles
    }

    /// The default domain.
    pub(in crate::sandbox) fn default_domain(&self) -> &str {
        self.meta.domains.first().map_or("", String::as_str)
    }
}

/// Objects by id, in the order in which they came.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Table {
    by_id: HashMap<String, (u64, Value)>,
    order: BTreeMap<u64, String>,
    next: u64,
}

impl Table {
    /// By id.
    pub(in crate::sandbox) fn get(&self, id: &str) -> Option<&Value> {
        self.by_id.get(id).map(|(_, v)| v)
    }

    /// All, oldest first.
    pub(in crate::sandbox) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.order.values().filter_map(|id| self.by_id.get(id).map(|(_, v)| v))
    }

    /// Adds one, or replaces the one of that id at its place.
    pub(in crate::sandbox) fn insert(&mut self, id: &str, value: Value) {
        let seq = match self.by_id.get(id) {
            Some((seq, _)) => *seq,
            None => {
                self.next += 1;
                self.next
            }
        };
        self.order.insert(seq, id.to_owned());
        self.by_id.insert(id.to_owned(), (seq, value));
    }

    /// Takes one out.
    pub(in crate::sandbox) fn remove(&mut self, id: &str) -> Option<Value> {
        let (seq, value) = self.by_id.remove(id)?;
        self.order.remove(&seq);
        Some(value)
    }
}

/// Service principals, found by id or client id.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Principals {
    /// By object id.
    pub(in crate::sandbox) table: Table,
    /// When each was made in this process: what refers to one lags after its creation.
    pub(in crate::sandbox) born: HashMap<String, Instant>,
    by_app_id: HashMap<String, String>,
}

impl Principals {
    /// By client id.
    pub(in crate::sandbox) fn by_app_id(&self, app_id: &str) -> Option<&Value> {
        self.table.get(self.by_app_id.get(app_id)?)
    }

    /// Adds or replaces one.
    pub(in crate::sandbox) fn insert(&mut self, id: &str, value: Value) {
        if let Some(app_id) = value["appId"].as_str() {
            self.by_app_id.insert(app_id.to_owned(), id.to_owned());
        }
        self.table.insert(id, value);
    }

    /// Takes one out.
    pub(in crate::sandbox) fn remove(&mut self, id: &str) -> Option<Value> {
        let value = self.table.remove(id)?;
        if let Some(app_id) = value["appId"].as_str()
            && self.by_app_id.get(app_id).is_some_and(|i| i == id)
        {
            self.by_app_id.remove(app_id);
        }
        Some(value)
    }
}
