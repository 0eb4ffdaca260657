//! What the operator may not see of a directory.

use super::diagnostic::{Code, Diagnostic};
use crate::inventory::{Inventory, Policies, Told};

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
