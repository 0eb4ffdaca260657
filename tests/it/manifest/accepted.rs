//! What is accepted, and what it comes to.

use tenantry::{
    connector::{Connector, PortalAuthorization},
    manifest::{Credential, Layout, Manifest, VaultLocation, select::Selection},
    registration::Audience,
};

use super::{HEADER, parse, parse_files};

fn read(text: &str) -> Manifest {
    parse(text).unwrap_or_else(|mistakes| panic!("{}\n{text}", mistakes.render(false, 100)))
}

fn uris(manifest: &Manifest, app: &str) -> Vec<String> {
    let app = &manifest.apps[&app.parse().unwrap()];
    app.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect()
}

#[test]
fn a_tenant_stands_over_defaults_lists_replace_and_maps_merge() {
    let manifest = read(
        r#"
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example}
vault: {path: keys}
defaults:
  connector: graph-security
  name: "Customer {key}"
  domain: "{key}.example"
  displayName: "{name} ({domain})"
  labels: {region: eu, tier: gold}
  redirectUris: ["https://{domain}/SiemMsspConnector", "https://{key}.acme-soc.example"]
  secret: {lifetime: 6mo, overlap: 3d}
  info: {privacy: "https://{domain}/privacy", terms: https://acme-soc.example/terms}
tenants:
  contoso:
  fabrikam:
    name: Fabrikam {GmbH}
    domain: Fabrikam.Example
    labels: {tier: silver}
    redirectUris: [https://fabrikam.example/x]
    secret: {lifetime: 1y}
    info: {terms: https://fabrikam.example/terms}
"#,
    );
    let contoso = &manifest.tenants[&"contoso".parse().unwrap()];
    assert_eq!(contoso.name, "Customer contoso");
    assert_eq!(contoso.domain.as_deref(), Some("contoso.example"));
    assert_eq!(
        uris(&manifest, "contoso"),
        ["https://contoso.acme-soc.example/", "https://contoso.example/SiemMsspConnector"]
    );

    let fabrikam = &manifest.tenants[&"fabrikam".parse().unwrap()];
    let app = &manifest.apps[&fabrikam.app];
    // A name's own braces are no placeholders, neither here nor where the name is filled in.
    assert_eq!(app.display_name, "Fabrikam {GmbH} (fabrikam.example)");
    assert_eq!(uris(&manifest, "fabrikam"), ["https://fabrikam.example/x"]);
    let labels: Vec<_> = fabrikam.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["region=eu", "tier=silver"]);
    assert_eq!(app.secret.lifetime.to_string(), "1 year");
    assert_eq!(app.secret.overlap.to_string(), "3 days");
    assert_eq!(app.secret.renew_before.to_string(), "30 days");
    assert_eq!(app.links.privacy.as_deref(), Some("https://fabrikam.example/privacy"));
    assert_eq!(app.links.terms.as_deref(), Some("https://fabrikam.example/terms"));
    assert_eq!(app.credential, Credential::Secret);
    assert_eq!(app.tenants, std::slice::from_ref(&fabrikam.key));
}

#[test]
fn a_connector_brings_its_permissions_its_portal_rule_and_its_loopback_page() {
    let manifest = read(&format!(
        "{HEADER}tenants:
  a: {{domain: a.example, connector: mssp-siem, signInAs: 'reader@{{domain}}'}}
  b: {{domain: b.example, portalAuthorization: required}}
  c: {{domain: c.example, connector: defender-xdr, consent: {{strategy: browser}}, permissions: [{{resource: Microsoft Threat Protection, application: [Incident.Read.All]}}]}}
  d: {{domain: d.example, consent: {{redirectUri: 'https://acme-soc.example/{{key}}'}}}}
"
    ));
    let tenant = |key: &str| &manifest.tenants[&key.parse().unwrap()];
    let permissions = |key: &str| -> Vec<_> {
        let app = &manifest.apps[&tenant(key).app];
        app.permissions.iter().map(|p| p.name.clone()).collect()
    };
    assert_eq!(tenant("a").portal, PortalAuthorization::Required);
    assert_eq!(tenant("a").sign_in_as.as_deref(), Some("reader@a.example"));
    assert_eq!(permissions("a"), ["SecurityIncident.Read.All", "offline_access"]);
    assert_eq!(uris(&manifest, "a"), ["http://localhost/tenantry"]);
    assert_eq!(tenant("b").portal, PortalAuthorization::Required);
    assert_eq!(tenant("b").connector, Connector::GraphSecurity);
    assert_eq!(permissions("c"), ["Incident.Read.All"]);
    assert_eq!(uris(&manifest, "c"), ["http://localhost/tenantry"]);
    assert_eq!(tenant("d").portal, PortalAuthorization::NotNeeded);
    assert_eq!(uris(&manifest, "d"), ["https://acme-soc.example/d"]);
}

#[test]
fn a_shared_app_takes_defaults_but_for_redirect_uris_and_what_its_tenants_need_for_consent() {
    let manifest = read(
        r#"
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example}
vault: {path: keys}
defaults:
  connector: mssp-siem
  signInAs: reader@acme-soc.example
  redirectUris: ["https://{domain}/x"]
  secret: {lifetime: 90d}
sharedApps:
  siem: {redirectUris: ["https://siem.acme-soc.example/{key}"]}
  spare: {connector: defender-xdr, name: Spare}
tenants:
  a: {domain: a.example, app: siem}
  b: {domain: b.example, app: siem, consent: {redirectUri: "https://acme-soc.example/{key}"}}
  c: {domain: c.example, app: spare, consent: {strategy: browser}}
  d: {domain: d.example}
"#,
    );
    let siem = &manifest.apps[&"siem".parse().unwrap()];
    assert_eq!(siem.display_name, "siem SIEM MSSP Connector");
    assert_eq!((siem.layout, siem.audience), (Layout::Shared, Audience::MultipleOrgs));
    assert_eq!(siem.secret.lifetime.to_string(), "90 days");
    assert_eq!(siem.tenants.iter().map(|key| key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        uris(&manifest, "siem"),
        [
            "http://localhost/tenantry",
            "https://acme-soc.example/b",
            "https://siem.acme-soc.example/siem"
        ]
    );
    assert_eq!(uris(&manifest, "spare"), ["http://localhost/tenantry"]);
    let c = &manifest.tenants[&"c".parse().unwrap()];
    assert_eq!((c.connector, c.layout), (Connector::DefenderXdr, Layout::Shared));
    // The analyst of `defaults` is nobody to a connector without a user.
    assert_eq!(c.sign_in_as, None);
    assert_eq!(manifest.apps.len(), 3);
}

#[test]
fn the_layout_decides_the_audience_and_the_own_directory_may_be_a_customer() {
    let header = HEADER.replace("acme-soc.example}", "ACME-SOC.example}");
    let manifest = read(&format!(
        "{header}tenants:
  own: {{domain: acme-soc.Example}}
  own-said: {{domain: acme-soc.example, connector: defender-xdr, audience: AzureADMyOrg}}
  theirs: {{domain: t.example, layout: in-tenant}}
  ours: {{domain: o.example}}
  anybody: {{domain: p.example, audience: AzureADandPersonalMicrosoftAccount}}
"
    ));
    let audience = |key: &str| manifest.apps[&key.parse().unwrap()].audience;
    assert_eq!(audience("own"), Audience::MyOrg);
    assert_eq!(audience("own-said"), Audience::MyOrg);
    assert_eq!(audience("theirs"), Audience::MyOrg);
    assert_eq!(audience("ours"), Audience::MultipleOrgs);
    assert_eq!(audience("anybody"), Audience::MultipleOrgsAndPersonal);
}

#[test]
fn the_same_customer_may_stand_twice_with_different_connectors() {
    let manifest = read(&format!(
        "{HEADER}tenants:
  a: {{domain: a.example}}
  a-xdr: {{domain: a.example, connector: defender-xdr}}
  a-id: {{id: 6f1c0f5e-0000-4000-8000-000000000001}}
"
    ));
    assert_eq!(manifest.tenants.len(), 3);
}

#[test]
fn federated_issuers_have_presets() {
    let manifest = read(&format!(
        "{HEADER}tenants:
  a:
    domain: a.example
    credential: federated
    federated:
      - {{githubActions: {{repository: acme/soc, environment: production}}}}
      - {{githubActions: {{repository: acme/soc, branch: main}}, audience: x}}
      - {{azurePipelines: {{organization: acme, organizationId: 6f1c0f5e-0000-4000-8000-000000000009, project: soc, serviceConnection: entra}}}}
      - {{issuer: 'https://issuer.example', subject: 'pod-{{key}}'}}
"
    ));
    let Credential::Federated(issuers) = &manifest.apps[&"a".parse().unwrap()].credential else {
        panic!("not federated");
    };
    let issuers: Vec<_> =
        issuers.iter().map(|i| format!("{} {} {}", i.issuer, i.subject, i.audience)).collect();
    assert_eq!(
        issuers,
        [
            "https://token.actions.githubusercontent.com repo:acme/soc:environment:production api://AzureADTokenExchange",
            "https://token.actions.githubusercontent.com repo:acme/soc:ref:refs/heads/main x",
            "https://vstoken.dev.azure.com/6f1c0f5e-0000-4000-8000-000000000009 sc://acme/soc/entra api://AzureADTokenExchange",
            "https://issuer.example pod-a api://AzureADTokenExchange",
        ]
    );
}

#[test]
fn what_yaml_calls_a_number_or_a_truth_value_is_the_text_that_stands_there() {
    let manifest = read(&format!(
        "{HEADER}tenants:
  365:
    name: 0x1F
    domain: a.example
    labels: {{a: no, b: 1.10, c: true, on: yes, d: '', e: 2026-11-23, f: 1e3, g: 007}}
"
    ));
    let tenant = &manifest.tenants[&"365".parse().unwrap()];
    assert_eq!(tenant.name, "0x1F");
    let labels: Vec<_> = tenant.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        labels,
        ["a=no", "b=1.10", "c=true", "d=", "e=2026-11-23", "f=1e3", "g=007", "on=yes"]
    );
}

#[test]
fn names_may_hold_any_character_that_can_be_seen() {
    for name in [
        "Bücher & Söhne",
        "株式会社葛\u{e0100}",
        "🦀\u{fe0f} Crab",
        "O'Neil \"X\"",
        "e\u{301}",
        "نمی\u{200c}خواهم",
        "ක්\u{200d}ෂ",
    ] {
        let quoted = name.replace('"', "\\\"");
        let manifest =
            read(&format!("{HEADER}tenants:\n  a: {{domain: a.example, name: \"{quoted}\"}}\n"));
        let tenant = &manifest.tenants[&"a".parse().unwrap()];
        assert_eq!(tenant.name, name);
        assert!(manifest.apps[&tenant.app].display_name.starts_with(&tenant.name));
    }
}

#[test]
fn every_way_of_writing_yaml_comes_to_the_same() {
    let block = format!(
        "{HEADER}tenants:\n  a:\n    domain: a.example\n    name: A B\n    labels:\n      x: y\n  b:\n    domain: b.example\n"
    );
    let flow = format!(
        "---\n{HEADER}tenants: {{a: {{domain: a.example, 'name': \"A B\", labels: {{x: y}}}},\n b: {{\"domain\": 'b.example'}}}}\n...\n"
    );
    let odd = format!(
        "%YAML 1.2\n---\n{HEADER}tenants:\n   ? a\n   : domain: a.example   # where\n     name: >-\n       A\n       B\n     # and\n     labels:\n                x:   y\n\n   \"b\": \n      domain:\n        b.example\n"
    );
    let texts = [
        block.clone(),
        format!("\u{feff}{block}"),
        block.replace('\n', "\r\n"),
        block.replace("\n", "\n# comment\n\n"),
        block.trim_end().to_owned(),
        flow,
        odd,
    ];
    for text in texts {
        let manifest = read(&text);
        let a = &manifest.tenants[&"a".parse().unwrap()];
        assert_eq!(a.name, "A B", "{text}");
        assert_eq!(a.labels["x"], "y");
        assert_eq!(manifest.tenants.len(), 2);
    }
}

#[test]
fn a_section_whose_fields_are_all_commented_out_is_not_there() {
    let text = format!("{HEADER}sharedApps:\noperator:\ntenants:\n")
        .replace("{connector: graph-security}", "");
    let manifest = read(&text);
    assert!(manifest.tenants.is_empty());
    let said: Vec<_> = manifest.notices.iter().map(|n| n.what.as_str()).collect();
    assert_eq!(said, ["the manifest names no tenant, there is nothing to do yet"]);
}

#[test]
fn what_is_allowed_and_odd_is_said() {
    let manifest = read(
        "version: 1
fleet: acme-soc
home: {tenant: acme-soc.example}
vault: {path: keys}
defaults: {connector: graph-security, displayName: Same, redirectUris: ['https://{domain}/x']}
sharedApps: {unused: {displayName: Unused, redirectUris: ['https://acme-soc.example']}}
tenants:
  a: {domain: a.example, signInAs: reader@acme-soc.example}
  b: {domain: b.example, redirectUris: []}
  c: {domain: c.example, permissions: [{resource: Microsoft Graph, application: [SecurityIncident.Read.Al]}]}
",
    );
    let said: Vec<_> =
        manifest.notices.iter().map(|n| format!("{}: {}", n.place.path, n.what)).collect();
    assert_eq!(said.len(), 6, "{said:#?}");
    for (path, part) in [
        ("sharedApps.unused", "no tenant uses"),
        ("tenants.a", "3 apps have the same display name"),
        ("tenants.a.signInAs", "does nothing here"),
        ("tenants.b", "no redirect URI"),
        (
            "tenants.c.permissions",
            "reads with the application permission `SecurityIncident.Read.All`",
        ),
        ("tenants.c.permissions[0].application[0]", "did you mean `SecurityIncident.Read.All`?"),
    ] {
        assert!(said.iter().any(|s| s.starts_with(path) && s.contains(part)), "{part}: {said:#?}");
    }
}

#[test]
fn one_file_has_the_header_and_the_others_only_tenants() {
    let header = format!("{HEADER}tenants: {{a: {{domain: a.example}}}}\n");
    let more = "version: 1\ntenants: {b: {domain: b.example}}\n";
    let empty = "version: 1\n";
    let manifest =
        parse_files(&[("more.yaml", more), ("dir/main.yaml", &header), ("c.yaml", empty)]).unwrap();
    assert_eq!(manifest.tenants.len(), 2);
    assert_eq!(manifest.folder.to_str(), Some("dir"));
    assert_eq!(manifest.vault, VaultLocation::Folder("dir/.tenantry/vault".into()));
    let b = &manifest.tenants[&"b".parse().unwrap()];
    assert_eq!(b.place.file.to_str(), Some("more.yaml"));

    let said = |files: &[(&str, &str)]| -> Vec<String> {
        let mistakes = parse_files(files).unwrap_err();
        let line = |m: &tenantry::manifest::Mistake| {
            format!("{}:{} {}", m.place.file.display(), m.place.line, m.sentence())
        };
        mistakes.list().iter().map(line).collect()
    };
    assert_eq!(
        said(&[("a.yaml", more), ("b.yaml", empty)]),
        ["a.yaml:1 no file has `fleet`, `home` and `vault`"]
    );
    assert_eq!(
        said(&[("a.yaml", &header), ("b.yaml", &header)]),
        [
            "b.yaml:2 fleet: fleet, home, vault and defaults stand in `a.yaml` already",
            "b.yaml:6 tenants.a: this tenant is in another file already",
        ]
    );
    // A broken file hides what the others are missing, not what is wrong with them.
    assert_eq!(
        said(&[("a.yaml", "version: [\n"), ("b.yaml", "version: 1\ntenants: {a: {domian: x}}\n")]),
        [
            "a.yaml:2 this is not YAML: while parsing a node, did not find expected node content",
            "b.yaml:2 unknown field `domian` in tenants.a",
        ]
    );
}

#[test]
fn a_selection_takes_any_key_and_every_label() {
    let manifest = read(&format!(
        "{HEADER}sharedApps: {{siem: {{}}}}
tenants:
  contoso-eu: {{domain: a.example, labels: {{region: eu, tier: gold}}}}
  contoso-us: {{domain: b.example, labels: {{region: us, tier: gold}}}}
  fabrikam: {{domain: c.example, app: siem, labels: {{region: eu}}}}
"
    ));
    let select = |tenants: &[&str], labels: &[&str]| {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        Selection::new(&own(tenants), &own(labels)).unwrap()
    };
    let keys = |selection: &Selection| -> Vec<String> {
        let tenants = manifest.tenants.values().filter(|tenant| selection.matches(tenant));
        tenants.map(|tenant| tenant.key.to_string()).collect()
    };
    assert_eq!(keys(&select(&[], &[])).len(), 3);
    assert_eq!(keys(&select(&["contoso-*"], &[])), ["contoso-eu", "contoso-us"]);
    assert_eq!(keys(&select(&["fabrikam", "*-us"], &[])), ["contoso-us", "fabrikam"]);
    assert_eq!(keys(&select(&[], &["region=eu"])), ["contoso-eu", "fabrikam"]);
    assert_eq!(keys(&select(&["contoso-*"], &["region=eu", "tier=gold"])), ["contoso-eu"]);
    let fabrikam = select(&["fabrikam"], &[]);
    assert_eq!(fabrikam.apps(&manifest).iter().map(|a| a.as_str()).collect::<Vec<_>>(), ["siem"]);
    assert_eq!(select(&[], &[]).apps(&manifest).len(), 3);
    assert_eq!(
        select(&["contosso", "fabrikam"], &["region=asia"]).unmatched(&manifest),
        ["--tenant contosso", "--label region=asia"]
    );
    assert!(Selection::new(&["[".to_owned()], &[]).is_err());
    assert!(Selection::new(&[], &["region".to_owned()]).is_err());
}
