//! What the operator may not see of a directory, and the directories of which nothing was seen.

use std::collections::BTreeMap;

use super::{
    AppPlan, Seen, TenantPlan,
    diagnostic::{Code, Diagnostic},
};
use crate::{
    ids::{AppKey, TenantId, TenantKey},
    inventory::{Inventory, Policies, Told},
};

/// What the operator may not see, said once for the directory.
pub(super) fn unseen(inventory: &Inventory) -> Vec<Diagnostic> {
    use crate::inventory::Sight::{Hidden, Seen};
    let mut unseen = Vec::new();
    if let Hidden(why) = &inventory.policies {
        unseen.push(
            Diagnostic::new(
                Code::PoliciesUnknown,
                format!(
                    "app-management policies could not be read, so they are unknown: {}",
                    why.line()
                ),
            )
            .hint(
                "grant the operator Policy.Read.ApplicationConfiguration to see them in the plan",
            ),
        );
    }
    if let Seen(Policies { told: Told::OfCredentials, .. }) = &inventory.policies {
        unseen.push(Diagnostic::new(
            Code::PoliciesUnknown,
            "what app-management policies say of audiences and redirect URIs could not be read, so \
             it is unknown: Graph tells it in its beta only, which did not answer",
        ));
    }
    if let Hidden(why) = &inventory.bin {
        unseen.push(
            Diagnostic::new(
                Code::BinUnknown,
                format!("deleted apps could not be read, so they are unknown: {}", why.line()),
            )
            .hint("grant the operator Application.Read.All to see them in the plan"),
        );
    }
    if let Hidden(why) = &inventory.others {
        unseen.push(
            Diagnostic::new(
                Code::TwinsUnknown,
                format!("apps without our mark could not be read: {}", why.line()),
            )
            .hint("grant the operator Application.Read.All to see twins in the plan"),
        );
    }
    unseen
}

/// The directories that could not be read and of which no app and no tenant of the plan says so: what
/// carries our marks there and stands in the manifest no more is not known.
pub(super) fn unread(
    seen: &Seen,
    apps: &BTreeMap<AppKey, AppPlan>,
    tenants: &BTreeMap<TenantKey, TenantPlan>,
) -> Vec<Diagnostic> {
    let told = |directory: TenantId| {
        apps.values().any(|app| app.directory == Some(directory))
            || tenants.values().any(|tenant| tenant.directory == Some(directory))
    };
    let unread = seen.inventories.iter().filter(|(directory, _)| !told(**directory));
    unread
        .filter_map(|(directory, inventory)| {
            let why = inventory.as_ref().err()?;
            let which = if *directory == seen.home {
                "the provider's directory".to_owned()
            } else {
                format!("directory {directory}")
            };
            let summary = format!(
                "{which} could not be read, so apps of this fleet that are left there are unknown: {}",
                why.line()
            );
            let diagnostic = Diagnostic::new(Code::OrphansUnknown, summary);
            Some(match &why.hint {
                Some(hint) => diagnostic.hint(hint.clone()),
                None => diagnostic,
            })
        })
        .collect()
}
