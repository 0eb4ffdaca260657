//! Who signed in, and with what power.

use std::{collections::BTreeSet, fmt};

use uuid::{Uuid, uuid};

use super::claims::Claims;

/// Who a token says that signed in. Not verified here: it came from the token endpoint itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Every name the token has for them: `upn`, `unique_name`, `preferred_username`. Never `email`: the
    /// customer can set it to anybody's.
    pub names: BTreeSet<String>,
    /// The object id in the directory of the token.
    pub object: Option<Uuid>,
    /// Directory roles, by the ids of their templates (`wids`).
    pub roles: BTreeSet<Uuid>,
}

/// A role in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectoryRole(Uuid);

impl DirectoryRole {
    /// The id of its template.
    pub const fn id(self) -> Uuid {
        self.0
    }
}

/// Roles that a reader of incidents may have, and those that everybody has
/// (<https://learn.microsoft.com/en-us/entra/identity/role-based-access-control/permissions-reference>).
const HARMLESS: [Uuid; 6] = [
    // Security Reader
    uuid!("5d6b6bb7-de71-4623-b4af-96380a352509"),
    // Global Reader
    uuid!("f2ef992c-3afb-46b9-b7cf-a126ee74c451"),
    // Security Operator
    uuid!("5f2222b1-57c3-48ba-8ad5-d4759f1fde6f"),
    // User, Guest User, Restricted Guest User: in every token
    uuid!("b79fbf4d-3ef9-4689-8143-76b194e85509"),
    uuid!("10dae51f-b6af-4016-8d66-8c2a99b929b3"),
    uuid!("2af84b1e-32c8-42b7-82bc-daa82404023b"),
];

/// Names of the roles that people are most likely to sign in with by mistake (same page).
const NAMES: [(Uuid, &str); 12] = [
    (uuid!("62e90394-69f5-4237-9190-012177145e10"), "Global Administrator"),
    (uuid!("194ae4cb-b126-40b2-bd5b-6091b380977d"), "Security Administrator"),
    (uuid!("e8611ab8-c189-46e8-94e1-60213ab1f814"), "Privileged Role Administrator"),
    (uuid!("7be44c8a-adaf-4e2a-84d6-ab2649e08a13"), "Privileged Authentication Administrator"),
    (uuid!("9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"), "Application Administrator"),
    (uuid!("158c047a-c907-4556-b7ef-446551a6b5f7"), "Cloud Application Administrator"),
    (uuid!("b1be1c3e-b65d-4f19-8427-f6fa0d97feb9"), "Conditional Access Administrator"),
    (uuid!("fe930be7-5e62-47db-91af-98c3a49a38b1"), "User Administrator"),
    (uuid!("29232cdf-9323-42fd-ade2-1d097af3e4de"), "Exchange Administrator"),
    (uuid!("f28a1f50-f6e7-4571-818b-6a12f2af6b6c"), "SharePoint Administrator"),
    (uuid!("3a2c62db-5318-420d-8d74-23affee5d9d5"), "Intune Administrator"),
    (uuid!("729827e3-9c14-49f7-bb1b-9608f156bbb8"), "Helpdesk Administrator"),
];

impl fmt::Display for DirectoryRole {
    /// `Global Administrator`, or the id where the name is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(id, _)| *id == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "role {}", self.0),
        }
    }
}

impl User {
    /// Reads it from an access token's claims, and from those of the id token beside it.
    pub(super) fn of(claims: &Claims, about: Option<&Claims>) -> Self {
        let names = [Some(claims), about]
            .into_iter()
            .flatten()
            .flat_map(|claims| [&claims.upn, &claims.unique_name, &claims.preferred_username])
            .flatten()
            .filter(|name| !name.is_empty())
            .cloned()
            .collect();
        let roles = [Some(claims), about].into_iter().flatten().flat_map(|c| &c.wids);
        Self { names, object: claims.oid, roles: roles.copied().collect() }
    }

    /// Whether this is who signs in under that name: as such, or as a guest, whose name in another
    /// directory is `name_domain#EXT#@…`
    /// (<https://learn.microsoft.com/en-us/entra/external-id/user-properties>).
    pub fn is(&self, sign_in_name: &str) -> bool {
        let wanted = sign_in_name.to_lowercase();
        let as_guest = wanted.replace('@', "_");
        self.names.iter().map(|name| name.to_lowercase()).any(|name| {
            let guest = name.split_once("#ext#").map(|(guest, _)| guest);
            name == wanted || guest == Some(as_guest.as_str())
        })
    }

    /// The name to show: the one that looks most like an address.
    pub fn name(&self) -> Option<&str> {
        let plain = self.names.iter().find(|name| name.contains('@') && !name.contains("#EXT#"));
        plain.or(self.names.first()).map(String::as_str)
    }

    /// Roles beyond what reading incidents needs: a refresh token with them is worth stealing.
    pub fn excess(&self) -> Vec<DirectoryRole> {
        self.roles
            .iter()
            .filter(|role| !HARMLESS.contains(role))
            .copied()
            .map(DirectoryRole)
            .collect()
    }

    /// The same by the ids of their templates, without those that somebody allowed.
    pub fn excess_beyond(&self, allowed: &BTreeSet<Uuid>) -> Vec<DirectoryRole> {
        let mut excess = self.excess();
        excess.retain(|DirectoryRole(id)| !allowed.contains(id));
        excess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> User {
        User { names: names.iter().map(|name| (*name).to_owned()).collect(), ..User::default() }
    }

    #[test]
    fn people_are_known_by_their_name_here_and_as_guests() {
        let reader = "soc-reader@acme-soc.example";
        for same in [
            "soc-reader@acme-soc.example",
            "SOC-Reader@ACME-soc.example",
            "soc-reader_acme-soc.example#EXT#@contoso.onmicrosoft.com",
            "Soc-Reader_acme-soc.example#ext#@contoso.onmicrosoft.com",
        ] {
            assert!(named(&["x@y.example", same]).is(reader), "{same}");
        }
        for other in [
            "",
            "soc-reader",
            "soc-reader@acme-soc.example.evil.example",
            "xsoc-reader@acme-soc.example",
            "soc-reader_acme-soc.example@contoso.example",
            "soc-reader_acme-soc.example.evil#EXT#@contoso.onmicrosoft.com",
            "x#EXT#soc-reader_acme-soc.example#EXT#@contoso.onmicrosoft.com",
        ] {
            assert!(!named(&[other]).is(reader), "{other}");
        }
        assert!(!named(&[]).is(reader));
        assert_eq!(
            named(&["a_b.example#EXT#@c.example", "z@b.example"]).name(),
            Some("z@b.example")
        );
    }

    #[test]
    fn what_a_reader_may_be_is_no_excess_and_the_rest_is_named() {
        let mut user = User { roles: HARMLESS.into(), ..User::default() };
        assert_eq!(user.excess(), []);
        user.roles.insert(uuid!("62e90394-69f5-4237-9190-012177145e10"));
        user.roles.insert(uuid!("00000000-0000-4000-8000-000000000009"));
        let mut words: Vec<_> = user.excess().iter().map(ToString::to_string).collect();
        words.sort();
        assert_eq!(words, ["Global Administrator", "role 00000000-0000-4000-8000-000000000009"]);
    }
}
