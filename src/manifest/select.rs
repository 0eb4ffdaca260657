//! `--tenant <key or glob>` and `--label k=v`.

use std::collections::BTreeSet;

use globset::{Glob, GlobMatcher};

use crate::ids::{AppKey, TenantKey};

use super::{Manifest, Tenant};

/// Which tenants a command is about; all of them unless something was asked for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    tenants: Vec<GlobMatcher>,
    labels: Vec<(String, String)>,
}

impl Selection {
    /// Reads what stood on the command line.
    ///
    /// # Errors
    /// Says, in one line, which argument cannot be read.
    pub fn new(tenants: &[String], labels: &[String]) -> Result<Self, String> {
        let tenants = tenants
            .iter()
            .map(|text| {
                let glob = Glob::new(text)
                    .map_err(|error| format!("--tenant {text}: {}", error.kind()))?;
                Ok(glob.compile_matcher())
            })
            .collect::<Result<_, String>>()?;
        let labels = labels
            .iter()
            .map(|text| {
                let (key, value) = text
                    .split_once('=')
                    .filter(|(key, _)| !key.is_empty())
                    .ok_or_else(|| format!("--label {text}: expected key=value"))?;
                Ok((key.to_owned(), value.to_owned()))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { tenants, labels })
    }

    /// Whether nothing was asked for, so that everything is meant.
    pub fn is_everything(&self) -> bool {
        self.tenants.is_empty() && self.labels.is_empty()
    }

    /// Whether a tenant is meant: any of the keys or globs, and all of the labels.
    pub fn matches(&self, tenant: &Tenant) -> bool {
        (self.tenants.is_empty()
            || self.tenants.iter().any(|glob| glob.is_match(tenant.key.as_str())))
            && self.labels.iter().all(|(key, value)| tenant.labels.get(key) == Some(value))
    }

    /// Whether a key is meant by itself: labels stand in the manifest, and tell nothing of a tenant
    /// that left it.
    pub fn names(&self, key: &TenantKey) -> bool {
        self.labels.is_empty()
            && (self.tenants.is_empty()
                || self.tenants.iter().any(|glob| glob.is_match(key.as_str())))
    }

    /// The apps of the tenants that are meant; with everything, also those without tenants.
    pub fn apps(&self, manifest: &Manifest) -> BTreeSet<AppKey> {
        if self.is_everything() {
            return manifest.apps.keys().cloned().collect();
        }
        let tenants = manifest.tenants.values().filter(|tenant| self.matches(tenant));
        tenants.map(|tenant| tenant.app.clone()).collect()
    }

    /// The keys and globs that no tenant answers to, and the labels that no tenant has: most
    /// likely slips of the keyboard.
    pub fn unmatched(&self, manifest: &Manifest) -> Vec<String> {
        let tenants = || manifest.tenants.values();
        let globs = self
            .tenants
            .iter()
            .filter(|glob| !tenants().any(|tenant| glob.is_match(tenant.key.as_str())))
            .map(|glob| format!("--tenant {}", glob.glob()));
        let labels = self
            .labels
            .iter()
            .filter(|(key, value)| !tenants().any(|tenant| tenant.labels.get(key) == Some(value)))
            .map(|(key, value)| format!("--label {key}={value}"));
        globs.chain(labels).collect()
    }
}
