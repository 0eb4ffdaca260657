//! The marks by which an app is ours: its tags and its unique name.

use std::collections::BTreeSet;

use crate::{
    ids::{AppKey, FleetName, TenantId, UniqueName},
    inventory::FoundApp,
};

const FLEET: &str = "tenantry:fleet=";
const APP: &str = "tenantry:app=";
const TENANT: &str = "tenantry:tenant=";

/// The tag that says which fleet an app belongs to; what a fleet's listing asks for.
pub fn fleet_tag(fleet: &FleetName) -> String {
    format!("{FLEET}{fleet}")
}

/// The tag that says which app of the fleet it is.
pub fn app_tag(app: &AppKey) -> String {
    format!("{APP}{app}")
}

/// The tag that pins a per-tenant app to its customer's directory.
pub fn tenant_tag(tenant: TenantId) -> String {
    format!("{TENANT}{tenant}")
}

/// Whether a tag is one of tenantry's kinds, of whatever fleet.
pub fn is_mark(tag: &str) -> bool {
    [FLEET, APP, TENANT].iter().any(|prefix| tag.starts_with(prefix))
}

/// What an app's marks say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// Nothing: it is not ours.
    Not,
    /// It is this fleet's app of that key.
    Ours {
        /// Its key.
        key: AppKey,
        /// The directories it is pinned to; at most one unless somebody added to it.
        pinned: BTreeSet<TenantId>,
        /// Whether the tags say so; if not, only the unique name still does.
        tagged: bool,
    },
    /// They contradict each other, or name another fleet.
    Conflicting(String),
}

/// Reads the marks of an app.
pub fn read(fleet: &FleetName, app: &FoundApp) -> Marked {
    read_parts(fleet, app.unique_name.as_ref(), app.registration.tags.iter().map(String::as_str))
}

/// Reads marks from a unique name and tags.
pub fn read_parts<'a>(
    fleet: &FleetName,
    unique_name: Option<&UniqueName>,
    tags: impl IntoIterator<Item = &'a str>,
) -> Marked {
    let (mut fleets, mut keys, mut pinned) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for tag in tags {
        if let Some(value) = tag.strip_prefix(FLEET) {
            fleets.insert(value);
        } else if let Some(value) = tag.strip_prefix(APP) {
            keys.insert(value);
        } else if let Some(value) = tag.strip_prefix(TENANT)
            && let Ok(id) = value.parse::<TenantId>()
        {
            pinned.insert(id);
        }
    }
    let named = unique_name.and_then(|name| key_in_name(fleet, name));
    let ours = fleets.contains(fleet.as_str());
    if !ours && named.is_none() {
        return Marked::Not;
    }
    if fleets.len() > usize::from(ours) {
        let others: Vec<_> = fleets.iter().filter(|f| **f != fleet.as_str()).copied().collect();
        return Marked::Conflicting(format!(
            "it is marked as fleet {fleet} and as {}",
            others.join(", ")
        ));
    }
    match (ours, keys.len(), named) {
        (_, 0, Some(key)) => Marked::Ours { key, pinned, tagged: false },
        (true, 0, None) => {
            Marked::Conflicting(format!("it has the tag {FLEET}{fleet} but no tag {APP}…"))
        }
        (_, 1, named) => {
            let tag = keys.first().copied().unwrap_or_default();
            match (tag.parse::<AppKey>(), named) {
                (Err(_), _) => Marked::Conflicting(format!("its tag {APP}{tag} is not a key")),
                (Ok(key), Some(named)) if key != named => Marked::Conflicting(format!(
                    "its tag says app {key}, its unique name says app {named}"
                )),
                (Ok(key), _) => Marked::Ours { key, pinned, tagged: ours },
            }
        }
        _ => Marked::Conflicting(format!(
            "it has several tags {APP}…: {}",
            keys.into_iter().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The key in `tenantry-<fleet>--<key>`. A fleet name holds no double hyphen, so it reads one way.
fn key_in_name(fleet: &FleetName, name: &UniqueName) -> Option<AppKey> {
    name.as_str()
        .strip_prefix("tenantry-")?
        .strip_prefix(fleet.as_str())?
        .strip_prefix("--")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_tags(name: Option<&str>, tags: &[&str]) -> Marked {
        let name = name.map(UniqueName::found);
        read_parts(&"acme".parse().unwrap(), name.as_ref(), tags.iter().copied())
    }

    #[test]
    fn marks_are_read_and_contradictions_seen() {
        let ours = |tagged| Marked::Ours {
            key: "contoso".parse().unwrap(),
            pinned: BTreeSet::new(),
            tagged,
        };
        let both = ["tenantry:fleet=acme", "tenantry:app=contoso"];
        assert_eq!(read_tags(None, &[]), Marked::Not);
        assert_eq!(read_tags(None, &["tenantry:fleet=other", "tenantry:app=x"]), Marked::Not);
        assert_eq!(read_tags(Some("tenantry-acme-soc--contoso"), &[]), Marked::Not);
        assert_eq!(read_tags(None, &both), ours(true));
        assert_eq!(read_tags(Some("tenantry-acme--contoso"), &both), ours(true));
        assert_eq!(read_tags(Some("tenantry-acme--contoso"), &["x"]), ours(false));
        for (name, tags) in [
            (None, &["tenantry:fleet=acme"][..]),
            (None, &["tenantry:fleet=acme", "tenantry:app=a", "tenantry:app=b"]),
            (None, &["tenantry:fleet=acme", "tenantry:fleet=other", "tenantry:app=a"]),
            (Some("tenantry-acme--b"), &["tenantry:fleet=acme", "tenantry:app=a"]),
            (Some("tenantry-acme--a"), &["tenantry:fleet=other", "tenantry:app=a"]),
        ] {
            assert!(matches!(read_tags(name, tags), Marked::Conflicting(_)), "{name:?} {tags:?}");
        }
    }
}
