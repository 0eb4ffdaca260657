//! `tenantry validate`

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use crate::{
    connector::PortalAuthorization,
    manifest::{Layout, LoadError, Manifest, Notice, Source, VaultLocation, load},
};

/// Check the manifest; works offline, contacts nothing.
///
/// Reports every mistake at once, each with its file, line and column, and exits with 65. A
/// manifest that is right is summed up: how many tenants and apps, and what people will have to do.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {}

/// What was found in a manifest that is right.
#[derive(Debug)]
pub(super) struct Checked {
    manifest: Manifest,
}

/// Reads and checks a manifest.
///
/// # Errors
/// A file that cannot be read, or everything that is wrong.
pub(super) fn run(args: &ValidateArgs, sources: &[Source]) -> Result<Checked, LoadError> {
    let ValidateArgs {} = args;
    Ok(Checked { manifest: load(sources)? })
}

impl Checked {
    /// What was checked.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

/// How many tenants need which step of a person.
struct People {
    consents: usize,
    sign_ins: usize,
    portal: usize,
}

impl Checked {
    fn connectors(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for tenant in self.manifest.tenants.values() {
            *counts.entry(tenant.connector.needs().name).or_insert(0) += 1;
        }
        counts
    }

    fn layouts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for app in self.manifest.apps.values() {
            let word = match app.layout {
                Layout::PerTenant => "per-tenant",
                Layout::Shared => "shared",
                Layout::InTenant => "in-tenant",
            };
            *counts.entry(word).or_insert(0) += 1;
        }
        counts
    }

    fn people(&self) -> People {
        let tenants = self.manifest.tenants.values();
        let sign_ins = tenants.clone().filter(|tenant| tenant.sign_in_as.is_some()).count();
        let portal = tenants.clone().filter(|t| t.portal == PortalAuthorization::Required).count();
        People { consents: tenants.count(), sign_ins, portal }
    }

    fn vault(&self) -> String {
        match &self.manifest.vault {
            VaultLocation::Folder(path) => path.display().to_string(),
            VaultLocation::KeyVault(url) => url.to_string(),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Manifest { fleet, home, apps, tenants, notices, .. } = &self.manifest;
        let People { consents, sign_ins, portal } = self.people();
        let mut out = String::new();
        let mut line = |name: &str, text: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{name:<9}{text}");
        };
        line("fleet", format!("{fleet}, home {} (cloud {})", home.tenant, home.cloud));
        line("tenants", counted(tenants.len(), &self.connectors()));
        line("apps", counted(apps.len(), &self.layouts()));
        line(
            "people",
            format!(
                "{consents} admin consent{}, {sign_ins} sign-in{}, {portal} portal authorization{}",
                plural(consents),
                plural(sign_ins),
                plural(portal)
            ),
        );
        line("vault", self.vault());
        for Notice { place, what } in notices {
            let _ = writeln!(out, "notice: {}:{}: {what}", place.file.display(), place.line);
        }
        out.push_str("The manifest is valid; nothing was contacted.\n");
        out
    }

    /// For programs: `{formatVersion, valid, fleet, home, cloud, vault, tenants, apps, connectors,
    /// layouts, people, notices}`.
    pub(super) fn json(&self) -> Value {
        let Manifest { fleet, home, apps, tenants, notices, .. } = &self.manifest;
        let People { consents, sign_ins, portal } = self.people();
        let notices: Vec<_> = notices
            .iter()
            .map(|Notice { place, what }| {
                json!({
                    "file": place.file.to_string_lossy(),
                    "line": place.line,
                    "column": place.column,
                    "path": place.path,
                    "what": what,
                })
            })
            .collect();
        json!({
            "formatVersion": 1,
            "valid": true,
            "fleet": fleet,
            "home": home.tenant.to_string(),
            "cloud": home.cloud,
            "vault": self.vault(),
            "tenants": tenants.len(),
            "apps": apps.len(),
            "connectors": self.connectors(),
            "layouts": self.layouts(),
            "people": { "adminConsent": consents, "signIn": sign_ins, "portalAuthorization": portal },
            "notices": notices,
        })
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// `14: 7 graph-security, 3 mssp-siem`
fn counted(total: usize, parts: &BTreeMap<&'static str, usize>) -> String {
    let parts: Vec<_> = parts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    if parts.is_empty() { total.to_string() } else { format!("{total}: {}", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_demo_is_summed_up() {
        let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/demo.yaml");
        let checked = run(&ValidateArgs {}, &[Source::from(PathBuf::from(demo))]).unwrap();
        let text = checked.text();
        for line in [
            "fleet    acme-soc, home acme-soc.example (cloud global)\n",
            "tenants  14: 4 defender-xdr, 7 graph-security, 3 mssp-siem\n",
            "apps     12: 10 per-tenant, 2 shared\n",
            "people   14 admin consents, 3 sign-ins, 4 portal authorizations\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(checked.json()["people"]["portalAuthorization"], 4);
    }
}
