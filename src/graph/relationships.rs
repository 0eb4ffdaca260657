//! What a provider has with its customers, and what Graph tells of their directories.
//!
//! <https://learn.microsoft.com/en-us/graph/api/tenantrelationship-list-delegatedadminrelationships>,
//! <https://learn.microsoft.com/en-us/graph/api/tenantrelationship-findtenantinformationbytenantid>.

use std::collections::{BTreeMap, BTreeSet};

use azure_core::http::Context;
use futures::{StreamExt, stream};
use graph_rs_sdk::ODataQuery;
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    reader::{Reader, absent},
    request::{at, keyed},
    wire,
};
use crate::{
    failure::{Cause, Failure},
    ids::TenantId,
};

/// The largest page of relationships that Graph gives.
const TOP: &str = "300";
const SELECT: [&str; 6] =
    ["id", "displayName", "customer", "status", "autoExtendDuration", "endDateTime"];

/// The relationships of a directory, each customer once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relationships {
    /// Those with an active relationship.
    pub active: Vec<Customer>,
    /// Those without, and relationships that nobody accepted yet.
    pub others: Vec<NoCustomer>,
}

/// A customer with an active relationship.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Its directory.
    pub tenant: TenantId,
    /// Its display name.
    pub name: String,
    /// When the last of its active relationships ends; nothing where one is extended by itself.
    pub ends: Option<Timestamp>,
}

/// A relationship that is not active.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoCustomer {
    /// The customer's directory, where there is one.
    pub tenant: Option<TenantId>,
    /// The customer's name, or the relationship's where it names no customer.
    pub name: String,
    /// Microsoft's word: `approvalPending`, `expired`, `terminated`, …
    pub status: String,
}

/// The default domains of directories.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Domains {
    /// Those that Graph tells.
    pub known: BTreeMap<TenantId, String>,
    /// Why none was looked up: the operator may not.
    pub refused: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    display_name: Option<String>,
    customer: Option<Participant>,
    status: Option<String>,
    auto_extend_duration: Option<String>,
    #[serde(default, deserialize_with = "wire::time")]
    end_date_time: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Participant {
    tenant_id: Option<String>,
    display_name: Option<String>,
}

impl Reader {
    /// The directory's delegated admin relationships, all pages.
    ///
    /// # Errors
    /// As every call; [`Cause::Privilege`] without `DelegatedAdminRelationship.Read.All`.
    pub async fn relationships(&self) -> Result<Relationships, Failure> {
        let list = self.graph.spell().contracts().list_contract();
        let list = at(list, "tenantRelationships/delegatedAdminRelationships");
        Ok(Relationships::of(self.graph.list(list.select(&SELECT).top(TOP).build()).await?))
    }

    /// The default domain of any directory; nothing where there is no such directory, or it has
    /// none that it shows.
    ///
    /// # Errors
    /// As every call; [`Cause::Privilege`] without `CrossTenantInformation.ReadBasic.All`.
    pub async fn default_domain(&self, tenant: TenantId) -> Result<Option<String>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Information {
            tenant_id: String,
            default_domain_name: Option<String>,
        }
        let path = keyed(
            "tenantRelationships/findTenantInformationByTenantId",
            "tenantId",
            &tenant.to_string(),
        );
        let get = at(self.graph.spell().contracts().list_contract(), &path);
        let found = self.graph.one::<Information>(get.build(), &Context::new()).await;
        let Some(Information { tenant_id, default_domain_name }) = absent(found)? else {
            return Ok(None);
        };
        if tenant_id.parse() == Ok(tenant) {
            Ok(default_domain_name)
        } else {
            Err(Failure::new(Cause::Garbled, "Graph tells of another directory than was asked for"))
        }
    }
}

/// Looks the default domains of directories up, so many side by side. Where the operator may not,
/// one request finds that out.
///
/// # Errors
/// As every call, but for a missing right and for what concerns one directory alone.
pub async fn default_domains(
    reader: &Reader,
    tenants: &[TenantId],
    at_once: usize,
) -> Result<Domains, Failure> {
    let mut domains = Domains::default();
    let Some((first, rest)) = tenants.split_first() else { return Ok(domains) };
    let answer = reader.default_domain(*first).await;
    domains.take(*first, answer)?;
    let mut answers = stream::iter(rest)
        .map(|tenant| async move { (*tenant, reader.default_domain(*tenant).await) })
        .buffer_unordered(at_once.max(1));
    while domains.refused.is_none()
        && let Some((tenant, answer)) = answers.next().await
    {
        domains.take(tenant, answer)?;
    }
    Ok(domains)
}

impl Domains {
    fn take(
        &mut self,
        tenant: TenantId,
        answer: Result<Option<String>, Failure>,
    ) -> Result<(), Failure> {
        match answer {
            Ok(Some(domain)) => {
                self.known.insert(tenant, domain);
            }
            Ok(None) => {}
            Err(failure) => match failure.cause {
                Cause::Privilege => self.refused = Some(failure),
                Cause::Refused | Cause::NotFound | Cause::Garbled => {}
                Cause::SignIn
                | Cause::Throttled
                | Cause::Service
                | Cause::Unreachable
                | Cause::NoAnswer
                | Cause::Guard
                | Cause::Interrupted => return Err(failure),
            },
        }
        Ok(())
    }
}

impl Relationships {
    fn of(all: Vec<Relationship>) -> Self {
        let mut active: BTreeMap<TenantId, Customer> = BTreeMap::new();
        let mut others = BTreeSet::new();
        for relationship in all {
            let Relationship {
                display_name,
                customer,
                status,
                auto_extend_duration,
                end_date_time,
            } = relationship;
            let (id, name) = customer.map_or((None, None), |c| (c.tenant_id, c.display_name));
            let tenant = id.and_then(|id| id.parse::<TenantId>().ok());
            let name = name.filter(|name| !name.trim().is_empty());
            let status = status.unwrap_or_default();
            let (Some(tenant), "active") = (tenant, status.as_str()) else {
                let name = name.or(display_name).unwrap_or_default();
                others.insert(NoCustomer { tenant, name, status });
                continue;
            };
            let extends =
                auto_extend_duration.is_some_and(|d| !["P0D", "PT0S", ""].contains(&d.as_str()));
            let ends = end_date_time.filter(|_| !extends);
            active
                .entry(tenant)
                .and_modify(|known| {
                    // The one that lasts longest counts.
                    known.ends = known.ends.zip(ends).map(|(one, other)| one.max(other));
                    if known.name.is_empty() {
                        known.name = name.clone().unwrap_or_default();
                    }
                })
                .or_insert_with(|| Customer {
                    tenant,
                    name: name.clone().unwrap_or_default(),
                    ends,
                });
        }
        // Who has an active one is a customer, whatever went before.
        others.retain(|other| other.tenant.is_none_or(|tenant| !active.contains_key(&tenant)));
        Self { active: active.into_values().collect(), others: others.into_iter().collect() }
    }
}
