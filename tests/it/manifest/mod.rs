//! The manifest: what is accepted, what is refused, and where.

mod corpus;

use std::path::Path;

use tenantry::manifest::{self, Source};

#[test]
fn the_demo_loads() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/demo.yaml");
    let manifest = manifest::load(&[Source::from(demo)]).map_err(|e| e.to_string()).unwrap();
    assert_eq!((manifest.tenants.len(), manifest.apps.len()), (14, 12));
    assert_eq!(manifest.notices, []);
}
