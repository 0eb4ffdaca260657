//! What a partner has with its customers.
//!
//! <https://learn.microsoft.com/en-us/graph/api/resources/delegatedadminrelationship>. The reference
//! names `$filter` without saying what may be filtered: here that is what partners' own tools are
//! known to ask (`status eq`, `customer/tenantId eq`, `not startsWith(displayName, …)`), and nothing
//! else. `$expand` is not among the options of the listing.

use super::super::{Complex, Entity, Filter, Kind, Pages, Service, Support};
use super::{TEXT, id, list, property};

/// The admin rights that a customer granted to a partner, for a time.
pub static DELEGATED_ADMIN_RELATIONSHIP: Entity = Entity {
    name: "delegatedAdminRelationship",
    resource: "DelegatedAdminRelationship",
    service: Service::Partner,
    // The greatest `$top`; the reference does not say what comes without:
    // <https://learn.microsoft.com/en-us/graph/api/tenantrelationship-list-delegatedadminrelationships>.
    pages: Pages { default: 300, max: 300 },
    derived: &[],
    properties: &[
        id(Filter::NONE),
        property("displayName", Kind::Text(Some(50)))
            .not_null()
            .filter(Filter { starts: Support::Always, ..Filter::EQUAL }),
        property("duration", Kind::Duration).not_null(),
        property("customer", Kind::Complex(&CUSTOMER)),
        property("accessDetails", Kind::Complex(&ACCESS_DETAILS)).not_null(),
        property("status", Kind::Enum(STATES))
            .not_null()
            .read_only()
            .filter(Filter::EQUAL)
            .sort(Support::Always),
        property("autoExtendDuration", Kind::Duration).not_null(),
        property("createdDateTime", Kind::DateTime).not_null().read_only(),
        property("lastModifiedDateTime", Kind::DateTime).not_null().read_only(),
        property("activatedDateTime", Kind::DateTime).read_only(),
        property("endDateTime", Kind::DateTime).read_only(),
    ],
    navigations: &[],
};

const STATES: &[&str] = &[
    "activating",
    "active",
    "approvalPending",
    "approved",
    "created",
    "expired",
    "expiring",
    "terminated",
    "terminating",
    "terminationRequested",
];

static CUSTOMER: Complex = Complex {
    name: "delegatedAdminRelationshipCustomerParticipant",
    properties: &[
        property("tenantId", TEXT).required().filter(Filter::EQUAL),
        property("displayName", TEXT),
    ],
};

static ACCESS_DETAILS: Complex = Complex {
    name: "delegatedAdminAccessDetails",
    properties: &[list("unifiedRoles", Kind::List(&Kind::Complex(&UNIFIED_ROLE)))],
};

static UNIFIED_ROLE: Complex =
    Complex { name: "unifiedRole", properties: &[property("roleDefinitionId", TEXT).required()] };
