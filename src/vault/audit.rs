//! `audit.jsonl`: who did what, when, to which ids. Lines are only ever added.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{AppKey, TenantKey},
    vault::{disk, error::VaultError},
};

/// One line of the audit. Holds ids, never values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When, by our clock.
    pub at: Timestamp,
    /// The operator's identity, as its token or its system names it.
    pub who: String,
    /// What was run: `apply`, `reveal`, `export splunk`, `attest`, `rotate`, `adopt`, `offboard`.
    pub verb: String,
    /// Which step of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// On which app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppKey>,
    /// For which tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantKey>,
    /// On which ids, each by its name: `clientId`, `objectId`, `keyId`, `nonce`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ids: BTreeMap<String, String>,
}

impl AuditEntry {
    /// Somebody runs something.
    pub fn new(at: Timestamp, who: impl Into<String>, verb: impl Into<String>) -> Self {
        Self {
            at,
            who: who.into(),
            verb: verb.into(),
            step: None,
            app: None,
            tenant: None,
            ids: BTreeMap::new(),
        }
    }

    /// The step of it.
    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.step = Some(step.into());
        self
    }

    /// The app it is about.
    #[must_use]
    pub fn app(mut self, app: &AppKey) -> Self {
        self.app = Some(app.clone());
        self
    }

    /// The tenant it is about.
    #[must_use]
    pub fn tenant(mut self, tenant: &TenantKey) -> Self {
        self.tenant = Some(tenant.clone());
        self
    }

    /// An id it is about.
    #[must_use]
    pub fn id(mut self, name: &str, id: impl ToString) -> Self {
        self.ids.insert(name.to_owned(), id.to_string());
        self
    }
}

/// Appends lines and brings them to the disk; blocks.
pub(super) fn append(folder: &Path, entries: &[AuditEntry]) -> Result<(), VaultError> {
    let path = folder.join("audit.jsonl");
    let mut lines = String::new();
    for entry in entries {
        // JSON escapes line ends: whatever a name holds, an entry stays one line.
        lines.push_str(&serde_json::to_string(entry).expect("an entry is plain text"));
        lines.push('\n');
    }
    disk::append(&path, &lines).map_err(VaultError::disk("write the audit line into", &path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::testing::seconds;

    #[test]
    fn entries_are_added_one_line_each() {
        let folder = tempfile::tempdir().unwrap();
        let entry = AuditEntry::new(seconds(1), "ada\n{\"forged\": 1}", "apply")
            .step("add-secret")
            .app(&"contoso".parse().unwrap())
            .id("nonce", "0123456789abcdef");
        append(folder.path(), std::slice::from_ref(&entry)).unwrap();
        append(folder.path(), &[entry.clone(), entry.clone()]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
        let read: Vec<AuditEntry> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, [entry.clone(), entry.clone(), entry]);
    }
}
