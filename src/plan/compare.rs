//! The difference between the registration that is wanted and the one that was found.

use std::collections::BTreeSet;

use super::step::{Change, Edit, Foreign};
use crate::registration::{Links, Registration};

use super::marks;

/// The edits that bring `found` to `wanted`. What others added is kept: it stands in `to`.
pub(super) fn edits(wanted: &Registration, found: &Registration) -> Vec<Edit> {
    // Taken apart without `..`: a new property must be thought of here.
    let Registration { display_name, audience, redirect_uris, permissions, links, tags } = wanted;
    let mut edits = Vec::new();
    if *display_name != found.display_name {
        edits.push(Edit::DisplayName(Change {
            from: found.display_name.clone(),
            to: display_name.clone(),
        }));
    }
    if *audience != found.audience {
        edits.push(Edit::Audience(Change { from: found.audience, to: *audience }));
    }
    edits.extend(grown(redirect_uris, &found.redirect_uris).map(Edit::RedirectUris));
    // Permissions are declared as a whole: one that the manifest does not name would be asked of
    // every administrator who consents, so it is not kept.
    if *permissions != found.permissions {
        edits.push(Edit::Permissions(Change {
            from: found.permissions.clone(),
            to: permissions.clone(),
        }));
    }
    let merged = Links {
        marketing: links.marketing.clone().or_else(|| found.links.marketing.clone()),
        privacy: links.privacy.clone().or_else(|| found.links.privacy.clone()),
        support: links.support.clone().or_else(|| found.links.support.clone()),
        terms: links.terms.clone().or_else(|| found.links.terms.clone()),
    };
    if merged != found.links {
        edits.push(Edit::Links(Change { from: found.links.clone(), to: merged }));
    }
    edits.extend(grown(tags, &found.tags).map(Edit::Tags));
    edits
}

/// A change that adds what is wanted and missing, and takes nothing away.
fn grown<T: Ord + Clone>(wanted: &BTreeSet<T>, found: &BTreeSet<T>) -> Option<Change<BTreeSet<T>>> {
    if wanted.is_subset(found) {
        return None;
    }
    Some(Change { from: found.clone(), to: found.union(wanted).cloned().collect() })
}

/// The redirect URIs and tags that others put there.
pub(super) fn foreign(wanted: &Registration, found: &Registration) -> Foreign {
    Foreign {
        redirect_uris: found.redirect_uris.difference(&wanted.redirect_uris).cloned().collect(),
        tags: found
            .tags
            .difference(&wanted.tags)
            .filter(|tag| !marks::is_mark(tag))
            .cloned()
            .collect(),
        secrets: Vec::new(),
        certificates: Vec::new(),
        federated: Vec::new(),
        owners: BTreeSet::new(),
    }
}
