//! The tables themselves, one file a family of resources.

mod applications;
mod directory;
mod partners;
mod policies;
mod policies_beta;
mod security;

use super::{Filter, Kind, Nulls, Pages, Property, Shown, Support, Writing};

pub use applications::{APPLICATION, PASSWORD_CREDENTIAL, SERVICE_PRINCIPAL};
pub use directory::{
    APP_ROLE_ASSIGNMENT, DIRECTORY_OBJECT, DOMAIN, OAUTH2_PERMISSION_GRANT, ORGANIZATION, USER,
};
pub use partners::DELEGATED_ADMIN_RELATIONSHIP;
pub use policies::{APP_MANAGEMENT_POLICY, TENANT_APP_MANAGEMENT_POLICY};
pub use policies_beta::{APP_MANAGEMENT_POLICY_BETA, TENANT_APP_MANAGEMENT_POLICY_BETA};
pub use security::{ALERT, DEFENDER_INCIDENT, INCIDENT};

/// Page sizes of the directory: <https://learn.microsoft.com/en-us/graph/paging>.
const DIRECTORY_PAGES: Pages = Pages { default: 100, max: 999 };

const TEXT: Kind = Kind::Text(None);
const TEXTS: Kind = Kind::List(&Kind::Text(None));
const GUIDS: Kind = Kind::List(&Kind::Guid);

/// A property that may be null, is written freely and is never filtered or sorted by.
const fn property(name: &'static str, kind: Kind) -> Property {
    Property {
        name,
        kind,
        nulls: Nulls::Allowed,
        writing: Writing::Always,
        filter: Filter::NONE,
        sort: Support::Never,
        shown: Shown::Always,
    }
}

/// A list: never null.
const fn list(name: &'static str, kind: Kind) -> Property {
    property(name, kind).not_null()
}

/// The key of a resource.
const fn id(filter: Filter) -> Property {
    property("id", TEXT).not_null().read_only().filter(filter)
}

impl Property {
    const fn not_null(mut self) -> Self {
        self.nulls = Nulls::Refused;
        self
    }

    const fn required(mut self) -> Self {
        self.nulls = Nulls::Required;
        self
    }

    const fn read_only(mut self) -> Self {
        self.writing = Writing::Never;
        self
    }

    const fn on_create(mut self) -> Self {
        self.writing = Writing::OnCreate;
        self
    }

    const fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    const fn sort(mut self, sort: Support) -> Self {
        self.sort = sort;
        self
    }

    const fn on_select(mut self) -> Self {
        self.shown = Shown::OnSelect;
        self
    }
}
