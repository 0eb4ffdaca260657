//! `tenantry adopt KEY`

use std::collections::BTreeSet;

use clap::Args;

use super::{
    Common,
    apply::{Job, Signed, carry},
    context::Context,
    status::FailOn,
    work::WITH_YES,
};
use crate::{
    ids::{AppKey, ClientId, TenantKey},
    plan::{Scope, Wish},
    report::{error::Trouble, plan::Extent},
    verdict::Verdict,
};

/// Take over an app that exists already, by its client id
///
/// Shows what would change, property by property, and what of others stays; after a yes the app gets
/// our tags, our unique name where it has none, what the manifest says, and a secret of ours beside
/// those that are there. Its own redirect URIs, tags and credentials are kept. What carries another
/// fleet's or another key's marks is refused. From then on it is as if tenantry had made it: the next
/// plan is empty.
#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    /// The key of the app: a tenant's, or a shared app's
    #[arg(value_name = "KEY")]
    key: TenantKey,
    /// The application (client) id of the app to take over
    #[arg(long, value_name = "ID")]
    app_id: ClientId,
    /// Fail where this is left: pending, expiring, not-reading; may be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
}

pub(super) async fn run(args: AdoptArgs, mut common: Common) -> Result<Verdict, Trouble> {
    let AdoptArgs { key, app_id, fail_on } = args;
    if common.shard.is_some() {
        return Err(Trouble::new(Verdict::Usage, "--shard has nothing to do with one app"));
    }
    // The key says which one.
    common.tenant.clear();
    common.label.clear();
    let mut context = Context::open(common).await?;
    let app = AppKey::from(&key);
    let Some(wanted) = context.manifest.apps.get(&app) else {
        let shared = context.manifest.tenants.get(&key).map(|tenant| tenant.app.clone());
        let trouble = Trouble::new(Verdict::Usage, format!("the manifest has no app {key}"));
        return Err(match shared {
            Some(shared) => trouble.next(format!("{key} uses the shared app {shared}: adopt that")),
            None => trouble.next("write the tenant into the manifest first: adopt makes it so"),
        });
    };
    let tenants = wanted.tenants.iter().cloned().collect();
    context.scope = Scope { tenants, apps: BTreeSet::from([app]), shard: None };
    if let Ok(identity) = context.operator().await?.identity(home(&context).await?).await
        && identity.client_id == Some(app_id)
    {
        return Err(Trouble::new(
            Verdict::Guarded,
            format!(
                "{app_id} is the app that this very operator signs in with; nothing was changed"
            ),
        )
        .next("no customer's app may be the operator's own"));
    }
    let wish = Wish { adopt: Some(app_id), ..Wish::default() };
    let rest = format!("{key} --app-id {app_id}");
    let again = crate::status::command(&context.common.place(), "adopt", &rest);
    let (verb, signed, extent, instead) = ("adopt", Signed::Nothing, Extent::Full, WITH_YES);
    let job = Job { verb, wish, signed, extent, fail_on, again, instead };
    carry(context, job).await
}

async fn home(context: &Context) -> Result<crate::ids::TenantId, Trouble> {
    let named = &context.manifest.home.tenant;
    let doing = format!("the provider's directory {named} could not be looked up");
    context.home().await.map_err(|failure| Trouble::of(doing, &failure))
}
