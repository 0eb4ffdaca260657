//! The manifest: what is accepted, what is refused, and where.

mod accepted;
mod corpus;
mod hostile;
mod properties;
mod shown;

use std::path::{Path, PathBuf};

use tenantry::manifest::{self, Manifest, Mistakes, Source};

/// The shortest header; ends before `tenants`.
const HEADER: &str = "version: 1
fleet: acme-soc
home: {tenant: acme-soc.example}
vault: {path: .tenantry/vault}
defaults: {connector: graph-security}
";

/// The demo's path.
fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/demo.yaml")
}

/// Reads one file's text.
fn parse(text: &str) -> Result<Manifest, Mistakes> {
    parse_files(&[("customers.yaml", text)])
}

/// Reads several files' texts.
fn parse_files(files: &[(&str, &str)]) -> Result<Manifest, Mistakes> {
    let bytes = |(name, text): &(&str, &str)| (PathBuf::from(name), text.as_bytes().to_vec());
    manifest::parse(files.iter().map(bytes).collect())
}

#[test]
fn the_demo_loads_and_has_every_layout_and_connector_of_the_provider() {
    let manifest = manifest::load(&[Source::from(demo())]).map_err(|e| e.to_string()).unwrap();
    assert_eq!((manifest.tenants.len(), manifest.apps.len()), (14, 12));
    assert_eq!(manifest.notices, []);
}
