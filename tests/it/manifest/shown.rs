//! What a person, an editor and a program are shown.

use serde_json::{Value, json};
use tenantry::manifest::{self, starter};

use super::{HEADER, demo, parse};

#[test]
fn a_person_sees_the_line_the_place_and_the_way_out() {
    let text = "version: 1
fleet: acme-soc
home: {tenant: acme-soc.example}
vault: {path: .tenantry/vault}
tenants:
  contoso:
    domain: contoso.example
    connector: graph-security
    redirectUrl: https://contoso.example/x
  fabrikam:
    domain: fabrikam.example
    connector: graph-security
    audience: AzureADMyOrg
";
    let mistakes = parse(text).unwrap_err();
    assert_eq!(
        mistakes.render(false, 80),
        "error: 2 mistakes in customers.yaml, nothing was contacted

  × unknown field `redirectUrl` in tenants.contoso
   ╭─[customers.yaml:9:5]
 9 │     redirectUrl: https://contoso.example/x
   ·     ─────┬─────
   ·          ╰── did you mean `redirectUris` (a list)?
   ╰────
  × tenants.fabrikam.audience: an app in your own directory with audience
  │ AzureADMyOrg cannot work in a customer's tenant
    ╭─[customers.yaml:13:15]
 13 │     audience: AzureADMyOrg
    ·               ──────┬─────
    ·                     ╰── sign-in there would end in AADSTS700016 or 650059
    ╰────
  help: leave `audience` out (AzureADMultipleOrgs), or `layout: in-tenant`;
        only if the tenant is your own directory AzureADMyOrg is right: name
        it as `home` does
"
    );
    assert_eq!(
        mistakes.to_json(),
        json!({
            "formatVersion": 1,
            "valid": false,
            "mistakes": [
                {
                    "file": "customers.yaml",
                    "line": 9,
                    "column": 5,
                    "path": "tenants.contoso.redirectUrl",
                    "what": "unknown field `redirectUrl` in tenants.contoso",
                    "label": "did you mean `redirectUris` (a list)?",
                    "hint": null,
                },
                {
                    "file": "customers.yaml",
                    "line": 13,
                    "column": 15,
                    "path": "tenants.fabrikam.audience",
                    "what": "an app in your own directory with audience AzureADMyOrg cannot work in a customer's tenant",
                    "label": "sign-in there would end in AADSTS700016 or 650059",
                    "hint": "leave `audience` out (AzureADMultipleOrgs), or `layout: in-tenant`; only if the tenant is your own directory AzureADMyOrg is right: name it as `home` does",
                },
            ],
            "more": false,
        })
    );
}

#[test]
fn colour_only_repeats_what_is_said() {
    let mistakes = parse(&format!("{HEADER}tenants: {{a: {{domian: x}}}}\n")).unwrap_err();
    let mut plain = String::new();
    let mut escape = false;
    for c in mistakes.render(true, 80).chars() {
        match (escape, c) {
            (false, '\u{1b}') => escape = true,
            (true, 'm') => escape = false,
            (false, c) => plain.push(c),
            (true, _) => {}
        }
    }
    assert_eq!(plain, mistakes.render(false, 80));
}

#[test]
fn nothing_from_the_file_steers_the_terminal() {
    let text = format!("{HEADER}tenants:\n  \"a\u{202e}b\": {{\"\\e[31m\": 1, 'x\u{2066}': 2}}\n");
    let mistakes = parse(&text).unwrap_err();
    let shown = mistakes.render(false, 80);
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{2066}']), "{shown:?}");
    assert!(!mistakes.to_json().to_string().contains("\\u001b[31m`"));
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn the_schema_takes_what_the_parser_takes() {
    let schema = jsonschema::draft202012::new(&manifest::json_schema()).unwrap();
    let demo = std::fs::read_to_string(demo()).unwrap();
    let starter = starter(&"my-soc".parse().unwrap(), "my-soc.example").unwrap();
    let more =
        "version: 1\ntenants: {a: {domain: a.example, name: 365, labels: {x: no, y: 1.5}}}\n";
    let everything = format!(
        "{HEADER}operator: {{customers: cli}}
sharedApps:
tenants:
  a:
    id: 6f1c0f5e-0000-4000-8000-000000000001
    layout: in-tenant
    audience: AzureADMyOrg
    permissions: [{{resource: Microsoft Graph, application: [User.Read.All]}}]
    info: {{privacy: 'https://a.example'}}
    portalAuthorization: not-needed
    consent: {{strategy: grant, redirectUri: 'https://a.example/c'}}
    credential: federated
    federated: [{{githubActions: {{repository: a/b, branch: main}}}}]
    secret: {{lifetime: 1y6mo}}
    owners: [6f1c0f5e-0000-4000-8000-000000000001]
"
    );
    assert!(parse(&everything).is_ok());
    for text in [demo.as_str(), &starter, more, &everything] {
        let value = yaml(text);
        let errors: Vec<_> = schema.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

#[test]
fn the_schema_and_the_parser_refuse_the_same_fields_and_forms() {
    let schema = jsonschema::draft202012::new(&manifest::json_schema()).unwrap();
    let tenant =
        |fields: &str| format!("{HEADER}tenants: {{a: {{domain: a.example, {fields}}}}}\n");
    for text in [
        tenant("redirectUrl: x"),
        tenant("redirectUris: x"),
        tenant("secret: {lifetime: 12h}"),
        tenant("secret: {lifetim: 1y}"),
        tenant("connector: x"),
        tenant("layout: x"),
        tenant("audience: x"),
        tenant("id: x"),
        tenant("owners: [x]"),
        tenant("permissions: [{resource: x, application: [y]}]"),
        tenant("permissions: [{resource: Microsoft Graph, application: ['a b']}]"),
        tenant("portalAuthorization: maybe"),
        tenant("consent: {strategy: x}"),
        tenant("credential: x"),
        tenant("labels: {a: [b]}"),
        tenant("name: ''"),
        format!("{HEADER}layout: shared\n"),
        format!("{HEADER}tenants: {{A_B: {{domain: a.example}}}}\n"),
        format!("{HEADER}tenants: [a]\n"),
        HEADER.replace("version: 1", "version: 2"),
        HEADER.replace("version: 1\n", ""),
        HEADER.replace("fleet: acme-soc\n", ""),
        HEADER.replace("fleet: acme-soc", "fleet: Acme"),
        HEADER.replace("{tenant: acme-soc.example}", "{tenant: acme-soc.example, login: x}"),
        HEADER.replace("{tenant: acme-soc.example}", "{tenant: acme-soc.example, cloud: x}"),
        HEADER.replace("{tenant: acme-soc.example}", "{tenant: x}"),
    ] {
        assert!(parse(&text).is_err(), "the parser takes\n{text}");
        assert!(!schema.is_valid(&yaml(&text)), "the schema takes\n{text}");
    }
}
