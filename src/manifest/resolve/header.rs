//! The header: fleet, home, vault, operator.

use std::path::{Path, PathBuf};

use url::Url;

use crate::{
    cloud::CloudName,
    ids::FleetName,
    manifest::{
        Home, OperatorCustomers, VaultLocation,
        mistakes::Wrong,
        read::{At, Cx, FieldName, Section, Shape},
        sections::{self, TenantFields, unknown_endpoint},
        tree::shown,
        words::VersionOne,
    },
};

use super::Top;

/// The top-level fields.
pub(in crate::manifest) const TOP: Section = Section {
    fields: &[
        FieldName { name: "version", shape: Shape::Scalar },
        FieldName { name: "fleet", shape: Shape::Scalar },
        FieldName { name: "home", shape: Shape::Map },
        FieldName { name: "vault", shape: Shape::Map },
        FieldName { name: "operator", shape: Shape::Map },
        FieldName { name: "defaults", shape: Shape::Map },
        FieldName { name: "sharedApps", shape: Shape::Map },
        FieldName { name: "tenants", shape: Shape::Map },
    ],
    unknown: |name, what, fields| {
        if TenantFields::SECTION.fields.iter().any(|field| field.name == name) {
            return Wrong::new(what).label("this stands under `defaults`, or under a tenant");
        }
        unknown_endpoint(name, what, fields)
    },
};

/// Checks a file's version.
pub(super) fn version(cx: &mut Cx<'_>, top: &Top) {
    match top.at("version") {
        Some(at) => {
            cx.section::<VersionOne>(at);
        }
        None => {
            let tree = &cx.trees[top.file];
            let wrong =
                Wrong::new("`version` is missing").help("each file begins with `version: 1`");
            cx.log.missing(tree, 0..0, "version", wrong);
        }
    }
}

/// Reports that no file has a header.
pub(super) fn missing(cx: &mut Cx<'_>, tops: &[Top]) {
    let Some(top) = tops.first() else { return };
    let what = if tops.len() == 1 {
        "`fleet`, `home` and `vault` are missing"
    } else {
        "no file has `fleet`, `home` and `vault`"
    };
    let wrong = Wrong::new(what).help("`tenantry init --stdout` prints a manifest to start from");
    cx.log.at_bytes(&cx.trees[top.file], 0..0, wrong);
}

/// What the header says, where it says it rightly.
#[derive(Debug, Default)]
pub(super) struct Header {
    fleet: Option<FleetName>,
    pub(super) home: Option<Home>,
    vault: Option<VaultLocation>,
    operator: Option<OperatorCustomers>,
    folder: PathBuf,
}

impl Header {
    /// Reads the header from the file that has it.
    pub(super) fn read(cx: &mut Cx<'_>, top: &Top) -> Self {
        let tree = &cx.trees[top.file];
        // A file without a folder in its name, and standard input, start where we are.
        let folder = match tree.file.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        for (field, help) in [
            ("fleet", "fleet: my-soc    # names this set of customers"),
            ("home", "home: {tenant: my-soc.com}    # your own directory"),
            ("vault", "vault: {path: .tenantry/vault}    # where secrets are kept"),
        ] {
            if top.at(field).is_none() {
                let wrong = Wrong::new(format!("`{field}` is missing")).help(help);
                let near = top.header_key().map_or(0..0, |at| tree.span(at.node));
                cx.log.missing(tree, near, field, wrong);
            }
        }
        let fleet = top.at("fleet").and_then(|at| cx.section::<FleetName>(at).value);
        let home = top.at("home").and_then(|at| home(cx, at));
        let vault = top.at("vault").and_then(|at| {
            let cloud = home.as_ref().map(|home| home.cloud);
            vault(cx, at, &folder, cloud)
        });
        let operator = match top.at("operator") {
            None => Some(OperatorCustomers::default()),
            Some(at) => cx.section::<sections::Operator>(at).value.and_then(|operator| {
                match operator.customers.is_given() {
                    true => operator.customers.value,
                    false => Some(OperatorCustomers::default()),
                }
            }),
        };
        Self { fleet, home, vault, operator, folder }
    }

    /// The header, if nothing of it is missing.
    pub(super) fn finish(
        self,
    ) -> Option<(FleetName, Home, VaultLocation, OperatorCustomers, PathBuf)> {
        let Self { fleet, home, vault, operator, folder } = self;
        Some((fleet?, home?, vault?, operator?, folder))
    }
}

fn home(cx: &mut Cx<'_>, at: At) -> Option<Home> {
    let home = cx.section::<sections::Home>(at).value?;
    if !home.tenant.is_given() {
        let wrong = Wrong::new("`tenant` is missing").help("home: {tenant: my-soc.com}");
        cx.wrong(at, wrong);
    }
    let cloud = match home.cloud.is_given() {
        true => home.cloud.value?,
        false => CloudName::Global,
    };
    Some(Home { tenant: home.tenant.value?, cloud, place: cx.tree(at).place(at.node) })
}

fn vault(
    cx: &mut Cx<'_>,
    at: At,
    folder: &Path,
    cloud: Option<CloudName>,
) -> Option<VaultLocation> {
    let vault = cx.section::<sections::Vault>(at).value?;
    match (vault.path.is_given(), vault.key_vault.is_given()) {
        (true, false) => {
            let (at, path) = vault.path.get()?;
            if path.0.starts_with('~') {
                let wrong = Wrong::new("`~` is not expanded here")
                    .label("write the path out, or relative to this file");
                cx.wrong(at, wrong);
                return None;
            }
            Some(VaultLocation::Folder(folder.join(&path.0)))
        }
        (false, true) => {
            let (at, text) = vault.key_vault.get()?;
            match key_vault(&text.0, cloud) {
                Ok(url) => Some(VaultLocation::KeyVault(url)),
                Err(wrong) => {
                    cx.wrong(at, wrong);
                    None
                }
            }
        }
        (true, true) => {
            let wrong = Wrong::new("`path` and `keyVault` exclude each other")
                .label("secrets live in one place");
            cx.wrong(vault.key_vault.at?, wrong);
            None
        }
        (false, false) => {
            let wrong = Wrong::new("names neither `path` nor `keyVault`")
                .help("vault: {path: .tenantry/vault}   or   vault: {keyVault: https://NAME.vault.azure.net}");
            cx.wrong(at, wrong);
            None
        }
    }
}

/// The suffix of Key Vault's hosts
/// (<https://learn.microsoft.com/en-us/azure/key-vault/general/about-keys-secrets-certificates#dns-suffixes-for-object-identifiers>).
const fn vault_suffix(cloud: CloudName) -> &'static str {
    match cloud {
        CloudName::Global | CloudName::Gcc => ".vault.azure.net",
        CloudName::GccHigh | CloudName::Dod => ".vault.usgovcloudapi.net",
        CloudName::China => ".vault.azure.cn",
    }
}

/// A key vault's address, from anywhere but a manifest.
///
/// # Errors
/// In words.
pub fn key_vault_address(text: &str, cloud: Option<CloudName>) -> Result<Url, String> {
    key_vault(text, cloud).map_err(Wrong::into_line)
}

/// A key vault's address must be one of Microsoft's: the operator's token is sent there.
fn key_vault(text: &str, cloud: Option<CloudName>) -> Result<Url, Wrong> {
    let url = Url::parse(text).map_err(|_| {
        Wrong::new(format!("`{}` is not the address of a key vault", shown(text)))
            .label("expected https://NAME.vault.azure.net")
    })?;
    if url.scheme() != "https" {
        return Err(Wrong::new("a key vault's address must be https").label("https://…"));
    }
    let suffix = vault_suffix(cloud.unwrap_or(CloudName::Global));
    let host = url.host_str().unwrap_or_default();
    let plain = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none();
    if !plain {
        return Err(Wrong::new("a key vault's address is its host alone")
            .label(format!("expected https://NAME{suffix}")));
    }
    if cloud.is_some() && host.strip_suffix(suffix).is_none_or(str::is_empty) {
        return Err(Wrong::new("this host is not a key vault of the home's cloud")
            .label(format!("expected https://NAME{suffix}"))
            .help("the operator's token is sent there, so a manifest can only name a key vault of Microsoft's"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_vault_is_a_host_of_the_homes_cloud() {
        let global = Some(CloudName::Global);
        assert!(key_vault("https://acme.vault.azure.net", global).is_ok());
        assert!(key_vault("https://acme.vault.azure.net/", global).is_ok());
        assert!(key_vault("https://acme.vault.usgovcloudapi.net", Some(CloudName::Dod)).is_ok());
        for bad in [
            "acme",
            "http://acme.vault.azure.net",
            "https://acme.vault.azure.net/secrets",
            "https://acme.vault.azure.net:444",
            "https://me@acme.vault.azure.net",
            "https://vault.azure.net",
            "https://.vault.azure.net",
            "https://acme.vault.azure.net.evil.example",
            "https://acme.vault.azure.cn",
        ] {
            assert!(key_vault(bad, global).is_err(), "{bad}");
        }
    }
}
