//! Doctor's rows of customers' directories: who the operator is there, and what it may do.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::context::Context;
use crate::{
    entra::{self, Identity, IdentityKind, Operator},
    failure::Failure,
    ids::{ClientId, TenantId},
    links,
    manifest::{ConsentStrategy, Layout, OperatorCustomers, Tenant},
    plan::grant,
    report::doctor::{Check, Health},
};

/// A row for each customer's directory in which the operator has something to do. `own` is the
/// operator's own client id, where it is an app.
pub(super) async fn checks(
    context: &Context,
    operator: &Operator,
    own: Option<ClientId>,
) -> Vec<Check> {
    let chosen = context.scope.tenants.iter().filter_map(|key| context.manifest.tenants.get(key));
    let needed: Vec<&Tenant> = chosen
        .filter(|tenant| {
            tenant.layout == Layout::InTenant || tenant.consent.strategy == ConsentStrategy::Grant
        })
        .collect();
    stream::iter(needed)
        .map(|tenant| row(context, operator, own, tenant))
        .buffered(usize::from(context.common.parallelism))
        .collect()
        .await
}

async fn row(
    context: &Context,
    operator: &Operator,
    own: Option<ClientId>,
    tenant: &Tenant,
) -> Check {
    let about = format!("{}'s directory", tenant.key);
    let missing = |found: String, remedy: Option<String>| Check {
        about: about.clone(),
        health: Health::Missing,
        found,
        remedy,
    };
    let directory = match directory(context, tenant).await {
        Ok(directory) => directory,
        Err(why) => return missing(why.line(), why.hint),
    };
    let identity = match operator.identity(directory).await {
        Ok(identity) => identity,
        Err(why) => {
            return missing(
                format!("the operator cannot sign in: {}", why.line()),
                Some(way_in(context, tenant, directory, own)),
            );
        }
    };
    let Some(app) = context.manifest.apps.get(&tenant.app) else {
        return missing("its app is not in the manifest".to_owned(), None);
    };
    let Identity { kind, roles, .. } = &identity;
    let (mut have, mut lack) = (Vec::new(), BTreeMap::new());
    for (what, enough) in grant::rights(tenant, app) {
        match enough.iter().find(|right| roles.contains(**right)) {
            Some(_) => have.push(what),
            None => {
                lack.insert(what, enough.first().copied().unwrap_or_default());
            }
        }
    }
    match kind {
        IdentityKind::Person => Check {
            about,
            health: Health::Noted,
            found: format!("{identity}; a person's rights show only when they are used"),
            remedy: None,
        },
        IdentityKind::App if lack.is_empty() => Check {
            about,
            health: Health::Works,
            found: format!("{identity}: can {}", have.join(", ")),
            remedy: None,
        },
        IdentityKind::App => {
            let rights: Vec<_> = lack.values().copied().collect();
            let lacks: Vec<_> = lack.keys().copied().collect();
            let can =
                if have.is_empty() { String::new() } else { format!("can {}; ", have.join(", ")) };
            missing(
                format!("{identity}: {can}cannot {}", lacks.join(", ")),
                Some(format!(
                    "let an administrator of {} grant it {} on Microsoft Graph there",
                    tenant.name,
                    rights.join(", ")
                )),
            )
        }
    }
}

async fn directory(context: &Context, tenant: &Tenant) -> Result<TenantId, Failure> {
    match (tenant.id, &tenant.domain) {
        (Some(id), _) => Ok(id),
        (None, Some(domain)) => {
            Ok(entra::discover(&context.network, &context.cloud, domain).await?.tenant)
        }
        (None, None) => {
            Err(Failure::new(crate::failure::Cause::Guard, "it has neither an id nor a domain"))
        }
    }
}

/// How the operator gets into a directory that does not know it.
fn way_in(
    context: &Context,
    tenant: &Tenant,
    directory: TenantId,
    own: Option<ClientId>,
) -> String {
    match (context.manifest.operator, own) {
        (OperatorCustomers::Cli, _) => format!("az login --tenant {directory}"),
        (OperatorCustomers::App, Some(client)) => format!(
            "an administrator of {} opens {} and accepts what the operator's app asks for",
            tenant.name,
            links::admin_consent(&context.cloud, directory, client, None)
        ),
        (OperatorCustomers::App, None) => {
            "sign in as an app that this customer has consented to, or set operator.customers: cli"
                .to_owned()
        }
    }
}
