//! `tenantry init --from-contracts`: a manifest from the contracts that a provider already has.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;

use super::{
    Common,
    context::{Boxed, banner, choose_operator, chosen_cloud, directory, home, network},
    init::{self, InitArgs, InitError},
    offline::{init_trouble, say_started},
    output,
};
use crate::{
    cloud::{Cloud, CloudName},
    failure::{Cause, Failure},
    graph::{Domains, NoCustomer, Reader, Relationships, default_domains},
    ids::TenantId,
    manifest::{Contract, DirectoryName, NotTaken, of_contracts},
    report::{error::Trouble, paper::clean, plan::count, progress::Progress},
    verdict::Verdict,
};

/// Where a pipeline or a shell says which directory is the operator's.
const TENANT_VARIABLE: &str = "AZURE_TENANT_ID";
/// What a right is asked for with.
const GRANT: &str = "on Microsoft Graph, with an administrator's consent";

/// What was read.
struct Found {
    contracts: Vec<Contract>,
    others: Vec<NotTaken>,
    domains: Domains,
    now: Timestamp,
}

pub(super) async fn init(args: InitArgs, common: Common) -> Result<Verdict, Trouble> {
    let fleet = init::fleet(&args).map_err(init_trouble)?;
    init::nothing_in_the_way(&args).map_err(init_trouble)?;
    let named = named(&args, &common)?;
    let progress = Progress::new(!common.quiet && !common.json);
    let boxed = if common.sandbox {
        let homes: Vec<_> = named.iter().map(|tenant| home(tenant, &fleet, Vec::new())).collect();
        let folder = args.path.parent().unwrap_or(Path::new(""));
        Some(Boxed::start(&common, folder, &homes, &progress).await?)
    } else {
        None
    };
    let made = make(&args, &common, &progress, boxed.as_ref(), named).await;
    if let Some(boxed) = boxed {
        boxed.server.stop().await;
    }
    let (text, customers) = made?;
    let started = init::put(&args, text).map_err(init_trouble)?;
    say_started(started, Some((customers, "your delegated admin relationships")));
    Ok(Verdict::Done)
}

/// The directory that the command line or the environment names. A sandbox has an operator of its
/// own, and nothing of the environment enters it.
fn named(args: &InitArgs, common: &Common) -> Result<Option<DirectoryName>, Trouble> {
    let of_environment =
        || std::env::var(TENANT_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let (name, place) = match &args.home {
        Some(home) => (Some(home.clone()), "--home"),
        None if common.sandbox => (None, ""),
        None => (of_environment(), TENANT_VARIABLE),
    };
    let Some(name) = name else {
        return if common.sandbox {
            Ok(None)
        } else {
            Err(Trouble::new(Verdict::Usage, "whose contracts? No directory is named").next(
                format!(
                    "give --home with your own directory's GUID or domain, or set {TENANT_VARIABLE}"
                ),
            ))
        };
    };
    match name.trim().parse() {
        Ok(directory) => Ok(Some(directory)),
        Err(why) => Err(init_trouble(InitError::Usage(format!("{place}: {why}")))),
    }
}

/// Reads the contracts and makes a manifest of them; says aloud what did not get into it.
async fn make(
    args: &InitArgs,
    common: &Common,
    progress: &Progress,
    boxed: Option<&Boxed>,
    named: Option<DirectoryName>,
) -> Result<(String, usize), Trouble> {
    let cloud = match boxed {
        Some(boxed) => boxed.cloud()?,
        None => chosen_cloud(common.cloud.as_deref(), None)?,
    };
    let waits = progress.clone();
    let quiet = common.quiet;
    let network = network(common, boxed, progress, move |_, seconds| {
        if !quiet {
            waits.say(&format!("throttled: waiting {seconds} s\n"));
        }
    })?;
    banner(progress, boxed, &cloud);
    let name = match (named, boxed) {
        (Some(name), _) => name,
        (None, boxed) => operator_of(boxed)?,
    };
    let doing = format!("the directory {name} cannot be found");
    let tenant =
        directory(&network, &cloud, &name).await.map_err(|failure| Trouble::of(doing, &failure))?;
    let operator = choose_operator(&network, &cloud, boxed, common).await?;
    let reader = Reader::new(&network, &cloud, tenant, &operator)
        .map_err(|failure| Trouble::of("the operator cannot sign in", &failure))?;
    let found = read(&reader, common).await?;
    if found.contracts.is_empty() {
        return Err(nobody(&name, &found.others));
    }
    let fleet = init::fleet(args).map_err(init_trouble)?;
    let (home, cloud) = (name.to_string(), name_of(&cloud));
    let Found { contracts, others, domains: _, now } = &found;
    let text = of_contracts(&fleet, &home, cloud, *now, contracts, others).map_err(|why| {
        let trouble = Trouble::new(
            Verdict::InvalidManifest,
            format!("a manifest of {} would be wrong", count(contracts.len(), "customer")),
        );
        why.iter().take(20).fold(trouble, |trouble, line| trouble.why(line))
    })?;
    if !common.quiet {
        for line in found.notices() {
            output::tell(&format!("{}\n", clean(&line)));
        }
    }
    Ok((text, found.contracts.len()))
}

/// A custom cloud has no name that a manifest could say: it is named at every command.
fn name_of(cloud: &Cloud) -> CloudName {
    cloud.name.unwrap_or(CloudName::Global)
}

fn operator_of(boxed: Option<&Boxed>) -> Result<DirectoryName, Trouble> {
    let tenant = boxed.map(|boxed| boxed.server.operator().tenant_id).unwrap_or_default();
    tenant
        .parse()
        .map_err(|_| Trouble::new(Verdict::Failed, "the sandbox's operator has no directory"))
}

async fn read(reader: &Reader, common: &Common) -> Result<Found, Trouble> {
    let doing = "your delegated admin relationships cannot be read";
    let Relationships { active, others } = reader
        .relationships()
        .await
        .map_err(|failure| may_not(doing, &failure, "DelegatedAdminRelationship.Read.All"))?;
    let tenants: Vec<TenantId> = active.iter().map(|customer| customer.tenant).collect();
    let domains = default_domains(reader, &tenants, usize::from(common.parallelism))
        .await
        .map_err(|failure| Trouble::of("the customers' domains cannot be looked up", &failure))?;
    let contracts = active
        .into_iter()
        .map(|customer| Contract {
            tenant: customer.tenant,
            name: customer.name,
            domain: domains.known.get(&customer.tenant).cloned(),
            ends: customer.ends,
        })
        .collect();
    let others = others
        .into_iter()
        .map(|NoCustomer { tenant, name, status }| NotTaken { tenant, name, status })
        .collect();
    let now = reader.server_time().unwrap_or_else(Timestamp::now);
    Ok(Found { contracts, others, domains, now })
}

/// A refusal, with the right that it takes.
fn may_not(doing: &str, failure: &Failure, right: &str) -> Trouble {
    let trouble = Trouble::of(doing, failure);
    if failure.cause == Cause::Privilege {
        trouble.next(format!(
            "grant the operator {right} {GRANT}; what signs in people, such as Azure CLI, may not \
             carry it, an app of your own does"
        ))
    } else {
        trouble
    }
}

/// There is nobody to make a manifest of.
fn nobody(home: &DirectoryName, others: &[NotTaken]) -> Trouble {
    let trouble = Trouble::new(
        Verdict::Failed,
        format!("{home} has no active delegated admin relationship; nothing was written"),
    )
    .next(
        "is it the right directory? Customers without such a contract: init --from customers.csv",
    );
    if others.is_empty() {
        trouble
    } else {
        trouble.why(format!("not active: {}", by_status(others)))
    }
}

/// `2 approvalPending, 1 expired`
fn by_status(others: &[NotTaken]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for other in others {
        *counts.entry(other.status.as_str()).or_default() += 1;
    }
    let words: Vec<String> =
        counts.into_iter().map(|(status, n)| format!("{n} {}", clean(status))).collect();
    words.join(", ")
}

/// The first names of some, and how many more there are.
fn names(list: &[&Contract]) -> String {
    let mut words: Vec<String> =
        list.iter().take(5).map(|contract| contract.shown_name()).collect();
    if list.len() > words.len() {
        words.push(format!("{} more", list.len() - words.len()));
    }
    words.join(", ")
}

impl Found {
    /// What whoever reads the manifest should know, a line each.
    fn notices(&self) -> Vec<String> {
        let Self { contracts, others, domains, now } = self;
        let mut lines = Vec::new();
        if !others.is_empty() {
            lines.push(format!(
                "not taken, for the relationship is not active: {} (named at the end of the manifest)",
                by_status(others)
            ));
        }
        let soon: Vec<&Contract> =
            contracts.iter().filter(|contract| contract.ends_soon(*now).is_some()).collect();
        if !soon.is_empty() {
            lines.push(format!("relationships that end within 60 days: {}", names(&soon)));
        }
        if let Some(refused) = &domains.refused {
            lines.push(format!("domains were not looked up: {}", refused.line()));
            lines.push(format!(
                "they are left out, and redirectUris with them: write them in, or grant the operator \
                 CrossTenantInformation.ReadBasic.All {GRANT}, and make the manifest again"
            ));
            return lines;
        }
        let without: Vec<&Contract> =
            contracts.iter().filter(|contract| contract.sound_domain().is_none()).collect();
        if !without.is_empty() {
            lines.push(format!(
                "no domain is known, so no redirectUris either: {}",
                names(&without)
            ));
        }
        lines
    }
}
