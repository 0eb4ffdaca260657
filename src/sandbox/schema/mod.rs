//! What Graph's resources are made of: names, types, what may be written, what may be
//! asked for. Written in our own words from the reference pages of each resource
//! (<https://learn.microsoft.com/en-us/graph/api/overview>), read in 2026.

mod application;
mod check;
mod defaults;
mod redirect;
mod refusal;
mod tables;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use application::{check_application, check_password_credential};
pub use check::Write;
pub(in crate::sandbox) use check::is_guid;
pub use defaults::{application_defaults, merge_patch, service_principal_defaults};
pub use refusal::{Detail, Refusal};
pub use tables::{
    ALERT, APP_MANAGEMENT_POLICY, APP_MANAGEMENT_POLICY_BETA, APP_ROLE_ASSIGNMENT, APPLICATION,
    DEFENDER_INCIDENT, DELEGATED_ADMIN_RELATIONSHIP, DIRECTORY_OBJECT, DOMAIN, INCIDENT,
    OAUTH2_PERMISSION_GRANT, ORGANIZATION, PASSWORD_CREDENTIAL, SERVICE_PRINCIPAL,
    TENANT_APP_MANAGEMENT_POLICY, TENANT_APP_MANAGEMENT_POLICY_BETA, USER,
};

/// A kind of thing that Graph serves.
#[derive(Debug)]
pub struct Entity {
    /// The type's name after `microsoft.graph.`, such as `application`.
    pub name: &'static str,
    /// The name in the directory's error texts, such as `Application`.
    pub resource: &'static str,
    /// The service behind Graph's gateway: services differ in what they answer.
    pub service: Service,
    /// Properties of the resource, in the order in which Graph lists them.
    pub properties: &'static [Property],
    /// Links to other resources, which `$expand` can follow.
    pub navigations: &'static [Navigation],
    /// How many items a page holds.
    pub pages: Pages,
    /// The kinds that a listing of this kind may hold; each item names its own in
    /// `@odata.type`.
    pub derived: &'static [&'static Entity],
}

/// The service that answers for a kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Entra ID's objects with an index beside the store: advanced queries exist.
    Directory,
    /// Entra ID's settings: domains, policies, organization; hardly any query options.
    Settings,
    /// Microsoft Defender: every operator works without a special header.
    Security,
    /// What partners have with customers: as Defender's, without `$skip`.
    Partner,
}

/// Page sizes, in items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// Without `$top`.
    pub default: usize,
    /// The greatest `$top`.
    pub max: usize,
}

/// A link from a resource to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Navigation {
    /// Its name, such as `owners`.
    pub name: &'static str,
    /// May a creation name its targets (`owners@odata.bind`)?
    pub bind: Bind,
}

/// May a creation name the targets of a link?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// Yes, as a list of addresses.
    OnCreate,
    /// No: by a request of its own.
    Never,
}

/// One property.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its name as Graph spells it.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// May it be null?
    pub nulls: Nulls,
    /// When may a client set it?
    pub writing: Writing,
    /// Which filters work on it.
    pub filter: Filter,
    /// May `$orderby` name it?
    pub sort: Support,
    /// Is it in an answer without `$select`?
    pub shown: Shown,
}

/// What a property holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text, at most so many UTF-16 units where a limit is known.
    Text(Option<usize>),
    /// Text that must be one of these words.
    Word(&'static [&'static str]),
    /// One of the members of an enumeration; unlike [`Kind::Word`] its type has a name.
    Enum(&'static [&'static str]),
    /// A GUID in its hyphenated form.
    Guid,
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int,
    /// A moment in ISO 8601 with a zone.
    DateTime,
    /// An ISO 8601 duration such as `P180D`.
    Duration,
    /// Bytes in base64.
    Binary,
    /// An object with members of its own.
    Complex(&'static Complex),
    /// An object with members that no table knows.
    Open,
    /// A list.
    List(&'static Kind),
}

/// An object without an identity.
#[derive(Debug)]
pub struct Complex {
    /// The type's name after `microsoft.graph.`.
    pub name: &'static str,
    /// Its members.
    pub properties: &'static [Property],
}

/// May a property be null?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// Yes.
    Allowed,
    /// No.
    Refused,
    /// No, and a creation must name it.
    Required,
}

/// When may a client set a property?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Always.
    Always,
    /// When the resource is made, never after.
    OnCreate,
    /// Never: the service keeps it.
    Never,
}

/// Is a property in an answer that no `$select` narrowed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Yes.
    Always,
    /// Only when asked for by name.
    OnSelect,
}

/// Does a query work?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Never.
    Never,
    /// Always.
    Always,
    /// Only as an advanced query (`ConsistencyLevel: eventual` and `$count=true`).
    Advanced,
}

/// Which filters work on a property. `in` goes with `eq`; `ne` and `not` go with `eq` too,
/// as advanced queries (<https://learn.microsoft.com/en-us/graph/aad-advanced-queries>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// `eq`, `in`.
    pub equal: Support,
    /// `ge`, `gt`, `le`, `lt`.
    pub order: Support,
    /// `startsWith`.
    pub starts: Support,
    /// `endsWith`.
    pub ends: Support,
    /// `/$count`, for lists.
    pub count: Support,
}

impl Filter {
    /// No filter at all.
    pub const NONE: Self = Self {
        equal: Support::Never,
        order: Support::Never,
        starts: Support::Never,
        ends: Support::Never,
        count: Support::Never,
    };
    /// `eq` and what goes with it.
    pub const EQUAL: Self = Self { equal: Support::Always, ..Self::NONE };
    /// `eq` and the comparisons.
    pub const ORDER: Self = Self { order: Support::Always, ..Self::EQUAL };
    /// `eq`, the comparisons and `startsWith`.
    pub const TEXT: Self = Self { starts: Support::Always, ..Self::ORDER };
    /// The same as [`Filter::TEXT`], all of it as advanced queries only.
    pub const ADVANCED: Self = Self {
        equal: Support::Advanced,
        order: Support::Advanced,
        starts: Support::Advanced,
        ends: Support::Never,
        count: Support::Never,
    };

    /// The same, and `endsWith` as an advanced query.
    pub const fn ends(mut self) -> Self {
        self.ends = Support::Advanced;
        self
    }

    /// The same, and `/$count` as an advanced query.
    pub const fn counted(mut self) -> Self {
        self.count = Support::Advanced;
        self
    }
}

impl Entity {
    /// The property of this name, also of derived kinds. Graph does not look at the case of
    /// names in queries.
    pub fn property(&self, name: &str) -> Option<&'static Property> {
        find(self.properties, name)
            .or_else(|| self.derived.iter().find_map(|kind| find(kind.properties, name)))
    }

    /// The kind of an item, by its `@odata.type`; this kind where it names none.
    pub fn kind_of<'a>(&'a self, item: &Map<String, Value>) -> &'a Entity {
        let named = item.get("@odata.type").and_then(Value::as_str).unwrap_or_default();
        let named = named.trim_start_matches("#microsoft.graph.");
        self.derived.iter().copied().find(|kind| kind.name == named).unwrap_or(self)
    }

    /// The link of this name, in any case.
    pub fn navigation(&self, name: &str) -> Option<&'static Navigation> {
        self.navigations.iter().find(|link| link.name.eq_ignore_ascii_case(name))
    }

    /// The type's full name, such as `microsoft.graph.application`.
    pub fn type_name(&self) -> String {
        format!("microsoft.graph.{}", self.name)
    }
}

impl Complex {
    /// The member of this name, in any case.
    pub fn property(&self, name: &str) -> Option<&'static Property> {
        find(self.properties, name)
    }
}

fn find(properties: &'static [Property], name: &str) -> Option<&'static Property> {
    properties.iter().find(|property| property.name.eq_ignore_ascii_case(name))
}

impl Kind {
    /// The name of the type in OData's error texts, such as `Edm.String`.
    pub fn edm(&self) -> String {
        match self {
            Kind::Text(_) | Kind::Word(_) => "Edm.String".into(),
            Kind::Enum(_) => "Edm.Enum".into(),
            Kind::Guid => "Edm.Guid".into(),
            Kind::Bool => "Edm.Boolean".into(),
            Kind::Int => "Edm.Int32".into(),
            Kind::DateTime => "Edm.DateTimeOffset".into(),
            Kind::Duration => "Edm.Duration".into(),
            Kind::Binary => "Edm.Binary".into(),
            Kind::Complex(complex) => format!("microsoft.graph.{}", complex.name),
            Kind::Open => "Edm.Untyped".into(),
            Kind::List(element) => format!("Collection({})", element.edm()),
        }
    }
}
