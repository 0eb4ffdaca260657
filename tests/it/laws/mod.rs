//! The laws of the specification, each by the real binary against a world that nobody can fool.

mod cutting;
mod histories;
mod law1;
mod law10;
mod law11;
mod law2;
mod law3;
mod law4;
mod law5;
mod law6;
mod rotating;

use serde_json::json;

use crate::support::{Stage, ours};

/// An app of its own resolved by domain, one of a directory by id, a deleted one to be restored,
/// and a shared one.
pub(crate) const MANIFEST: &str = "\
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  displayName: '{name} SIEM MSSP Connector'
  redirectUris: ['https://siem.acme-soc.example/{key}']
sharedApps:
  siem-eu: {name: Acme SOC EU}
tenants:
  contoso: {name: Contoso, domain: contoso.example}
  fabrikam: {name: Fabrikam, id: 6f1c0f5e-0000-4000-8000-000000000002, connector: defender-xdr}
  tailspin: {name: Tailspin Toys, id: 6f1c0f5e-0000-4000-8000-000000000003}
  woodgrove: {name: Woodgrove Bank, id: 6f1c0f5e-0000-4000-8000-000000000011, app: siem-eu}
";
pub(crate) const KEYS: [&str; 4] = ["contoso", "fabrikam", "tailspin", "siem-eu"];

/// Apps in their customers' own directories, one of each connector, and an app of the provider's
/// that is granted what it asks for in two customers' directories.
pub(crate) const ELSEWHERE: &str = "\
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  layout: in-tenant
  displayName: '{name} SIEM MSSP Connector'
  redirectUris: ['https://siem.acme-soc.example/{key}']
  signInAs: soc-reader@acme-soc.example
  consent: {strategy: grant}
sharedApps:
  siem-eu: {name: Acme SOC EU, connector: defender-xdr}
tenants:
  northwind: {name: Northwind Traders, domain: northwind.example}
  wingtip: {name: Wingtip Toys, domain: wingtip.example, connector: mssp-siem}
  fourthcoffee: {name: Fourth Coffee, domain: fourthcoffee.example, app: siem-eu}
  humongous: {name: Humongous Insurance, domain: humongous.example, app: siem-eu}
";
pub(crate) const ELSEWHERE_KEYS: [&str; 3] = ["northwind", "wingtip", "siem-eu"];

/// Only a secret whose value nobody holds, made by a run that was cut, in the place of the one that
/// the vault holds.
pub(crate) fn lose_value(stage: &Stage, key: &str) {
    stage.change_app(key, |app| app["passwordCredentials"] = json!([]));
    // A young credential may be missing from an answer only because it is young.
    stage.sandbox.advance("PT10M").unwrap();
    stage.fault(json!({"operation": "application.addPassword", "do": "cut-after"}));
    stage.run(&["apply", "--yes", "--tenant", key]).expect(1);
    stage.all_faults_fired();
    stage.sandbox.clear_faults();
    assert_eq!(ours(&stage.app(key)).len(), 1, "{key}");
}
