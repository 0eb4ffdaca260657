//! Who can sign in: accounts, guests, administrators, directory roles.

use super::{
    World,
    directory::{Directory, Guests, User},
};
use crate::sandbox::random::derived_guid;

/// Directory roles and the ids of their templates, which tokens carry in `wids`
/// (<https://learn.microsoft.com/en-us/entra/identity/role-based-access-control/permissions-reference>).
const ROLES: &[(&str, &str)] = &[
    (GLOBAL_ADMINISTRATOR, "62e90394-69f5-4237-9190-012177145e10"),
    ("Privileged Role Administrator", "e8611ab8-c189-46e8-94e1-60213ab1f814"),
    ("Application Administrator", "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"),
    ("Cloud Application Administrator", "158c047a-c907-4556-b7ef-446551a6b5f7"),
    ("Security Administrator", "194ae4cb-b126-40b2-bd5b-6091b380977d"),
    ("Security Operator", "5f2222b1-57c3-48ba-8ad5-d4759f1fde6f"),
    ("Security Reader", "5d6b6bb7-de71-4623-b4af-96380a352509"),
    ("Global Reader", "f2ef992c-3afb-46b9-b7cf-a126ee74c451"),
    ("User Administrator", "fe930be7-5e62-47db-91af-98c3a49a38b1"),
    ("Directory Readers", "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"),
];

const GLOBAL_ADMINISTRATOR: &str = "Global Administrator";

/// Roles whose holders may consent for everyone, application permissions of Graph included.
const CONSENT_TO_ALL: &[&str] = &[GLOBAL_ADMINISTRATOR, "Privileged Role Administrator"];
/// Roles whose holders may consent for everyone to all but application permissions of Graph.
const CONSENT: &[&str] = &["Application Administrator", "Cloud Application Administrator"];
/// Roles whose holders may read incidents in Defender.
const READ_INCIDENTS: &[&str] = &[
    GLOBAL_ADMINISTRATOR,
    "Security Administrator",
    "Security Operator",
    "Security Reader",
    "Global Reader",
];

/// The default role of a member.
const MEMBER: &str = "b79fbf4d-3ef9-4689-8143-76b194e85509";
/// The default role of a guest.
const GUEST: &str = "10dae51f-b6af-4016-8d66-8c2a99b929b3";
/// The default role of a guest where guests are restricted.
const RESTRICTED_GUEST: &str = "2af84b1e-32c8-42b7-82bc-daa82404023b";

/// The id of a directory role's template.
pub(in crate::sandbox) fn role_id(name: &str) -> Option<&'static str> {
    ROLES.iter().find(|(n, _)| *n == name).map(|(_, id)| *id)
}

/// What a user of a directory carries in `wids`: a default role, and the roles that it holds.
pub(in crate::sandbox) fn wids(directory: &Directory, user: &User) -> Vec<&'static str> {
    let default = match (&user.guest_of, directory.meta.sign_in.guests) {
        (None, _) | (Some(_), Guests::Member) => MEMBER,
        (Some(_), Guests::Limited) => GUEST,
        (Some(_), Guests::Restricted) => RESTRICTED_GUEST,
    };
    let mut ids: Vec<&str> = user.roles.iter().filter_map(|r| role_id(r)).collect();
    ids.push(default);
    ids
}

/// Whether these `wids` let a user read incidents.
pub(in crate::sandbox) fn reads_incidents<'a>(mut wids: impl Iterator<Item = &'a str>) -> bool {
    wids.any(|id| READ_INCIDENTS.iter().any(|r| role_id(r) == Some(id)))
}

/// What a user may consent to for the whole directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Power {
    /// Everything.
    All,
    /// Everything but application permissions of Microsoft Graph.
    NoGraphRoles,
    /// Nothing.
    None,
}

impl Power {
    /// That of a user (<https://learn.microsoft.com/en-us/entra/identity/enterprise-apps/grant-admin-consent#prerequisites>).
    pub(in crate::sandbox) fn of(user: &User) -> Self {
        let holds = |roles: &[&str]| user.roles.iter().any(|r| roles.contains(&r.as_str()));
        if holds(CONSENT_TO_ALL) {
            Self::All
        } else if holds(CONSENT) {
            Self::NoGraphRoles
        } else {
            Self::None
        }
    }
}

/// The name that a user types to sign in: a guest's is that of its account at home.
pub(in crate::sandbox) fn signs_in_with(user: &User) -> &str {
    user.mail.as_deref().filter(|_| user.guest_of.is_some()).unwrap_or(&user.user_principal_name)
}

/// How a guest's name is written in the directory that invited it.
pub(in crate::sandbox) fn guest_name(upn: &str, domain: &str) -> String {
    format!("{}#EXT#@{domain}", upn.replace('@', "_"))
}

/// The Global Administrator of a directory: one of its users, or one that stands for all of those
/// that a world leaves out.
pub(in crate::sandbox) fn administrator(directory: &Directory) -> User {
    let found = directory
        .meta
        .users
        .iter()
        .find(|u| u.guest_of.is_none() && u.roles.iter().any(|r| r == GLOBAL_ADMINISTRATOR));
    found.cloned().unwrap_or_else(|| User {
        id: derived_guid(&["administrator", &directory.meta.id]),
        user_principal_name: format!("admin@{}", directory.default_domain()),
        display_name: format!("{} administrator", directory.meta.name),
        roles: vec![GLOBAL_ADMINISTRATOR.to_owned()],
        guest_of: None,
        mail: None,
        disabled: false,
        sessions_valid_from: None,
    })
}

/// Everyone whose account lives in a directory.
pub(in crate::sandbox) fn accounts(directory: &Directory) -> Vec<User> {
    let administrator = administrator(directory);
    let others: Vec<User> = directory
        .meta
        .users
        .iter()
        .filter(|u| u.guest_of.is_none() && u.id != administrator.id)
        .cloned()
        .collect();
    std::iter::once(administrator).chain(others).collect()
}

impl World {
    /// The account behind a sign-in name: the directory where it lives, and the user there.
    pub(in crate::sandbox) fn account(&self, name: &str) -> Option<(String, User)> {
        let domain = name.rsplit_once('@').map(|(_, domain)| domain)?;
        let of = |directory: &Directory| {
            accounts(directory)
                .into_iter()
                .find(|u| u.user_principal_name.eq_ignore_ascii_case(name))
                .map(|u| (directory.meta.id.clone(), u))
        };
        let by_domain = self.resolve(domain).and_then(|id| self.directory(&id)).and_then(of);
        // A provider's directory may know people of domains that no directory verified.
        by_domain.or_else(|| self.directories().filter(|d| d.meta.home).find_map(of))
    }

    /// An account as a directory knows it: its own user, or a guest; nothing where it is neither.
    pub(in crate::sandbox) fn member(&self, tenant: &str, home: &str, user: &User) -> Option<User> {
        if tenant == home {
            return Some(user.clone());
        }
        self.directory(tenant)?
            .meta
            .users
            .iter()
            .find(|u| {
                u.guest_of.as_deref() == Some(home)
                    && signs_in_with(u).eq_ignore_ascii_case(&user.user_principal_name)
            })
            .cloned()
    }
}
