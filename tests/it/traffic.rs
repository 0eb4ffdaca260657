//! Law 9: the traffic, both ways, is what Microsoft's own description of Graph allows.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write,
};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::stage::{self, CONTOSO, GRAPH, MANIFEST, READ_INCIDENTS, Stage, WOODGROVE};

/// The part of Microsoft Graph that is described, ready to judge.
struct Slice {
    document: Value,
    compiled: RefCell<HashMap<String, Validator>>,
}

/// A path of the description with the operation on it.
struct Described<'s> {
    template: &'s str,
    method: String,
    path_item: &'s Map<String, Value>,
    operation: &'s Value,
}

impl Slice {
    /// The description, or nothing where it is not beside this repository, which is said aloud.
    fn open() -> Option<Self> {
        let Some(path) = stage::shared("graph-slice.openapi.json") else {
            // Not `eprintln!`, which a passing test keeps to itself.
            let _ = writeln!(
                std::io::stderr(),
                "skipped: ../shared/graph-slice.openapi.json is not here"
            );
            return None;
        };
        let document = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        Some(Self { document, compiled: RefCell::default() })
    }

    /// Every way in which an exchange is not what is described.
    fn faults(&self, exchange: &Value) -> Vec<String> {
        let (asked, answered) = (&exchange["request"], &exchange["response"]);
        let path = asked["path"].as_str().unwrap();
        let Some(found) = self.find(asked["method"].as_str().unwrap(), path) else {
            return vec!["no such path and method in the description".to_owned()];
        };
        let mut faults = self.parameters(&found, asked);
        let place = format!("{} {}", found.method, found.template);
        let schema = found
            .operation
            .pointer("/requestBody/content/application~1json/schema")
            .filter(|_| answered["status"].as_u64().unwrap() < 400);
        match (schema, &asked["body"]) {
            (Some(schema), body) => {
                faults.extend(self.judge(&format!("{place} request"), schema, body));
                let kind = asked["headers"]["content-type"].as_str().unwrap_or_default();
                if !kind.starts_with("application/json") {
                    faults.push(format!("request content-type `{kind}`"));
                }
            }
            (None, Value::Null) => {}
            (None, _) if found.operation.get("requestBody").is_none() => {
                faults.push("request: a body where none is described".to_owned());
            }
            (None, _) => {}
        }
        faults.extend(self.answer(&found, &place, answered));
        faults
    }

    fn answer(&self, found: &Described<'_>, place: &str, answered: &Value) -> Vec<String> {
        let status = answered["status"].as_u64().unwrap();
        let responses = &found.operation["responses"];
        let described = match (responses.get(status.to_string()), status) {
            (Some(described), _) => described,
            (None, 400..) => &responses["default"],
            (None, _) => return vec![format!("response: status {status} is not described")],
        };
        let described = self.resolve(described);
        match (described.pointer("/content/application~1json/schema"), &of_v1(&answered["body"])) {
            (Some(schema), body) => self.judge(&format!("{place} response {status}"), schema, body),
            (None, Value::Null) => Vec::new(),
            (None, _) => vec![format!("response {status}: a body where none is described")],
        }
    }

    fn resolve<'s>(&'s self, value: &'s Value) -> &'s Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(link) => self.document.pointer(link.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    fn find(&self, method: &str, path: &str) -> Option<Described<'_>> {
        let path = decode(path);
        // Only policies are read in beta, which is described by what it shares with `v1.0`.
        let beta = path.strip_prefix("/beta").filter(|path| path.starts_with("/policies/"));
        let path = path.strip_prefix("/v1.0").or(beta)?;
        let method = method.to_ascii_lowercase();
        let paths = self.document["paths"].as_object().unwrap();
        let fitting = |exact: bool| {
            paths.iter().find_map(|(template, item)| {
                let fits = template.contains('{') != exact && fits(template, path);
                let item = item.as_object()?;
                let operation = item.get(&method).filter(|_| fits)?;
                Some(Described { template, method: method.clone(), path_item: item, operation })
            })
        };
        fitting(true).or_else(|| fitting(false))
    }

    /// Query parameters and headers that are not described, or not as described.
    fn parameters(&self, found: &Described<'_>, asked: &Value) -> Vec<String> {
        let known: Vec<&Value> =
            [found.path_item.get("parameters"), found.operation.get("parameters")]
                .into_iter()
                .flatten()
                .flat_map(|list| list.as_array().unwrap())
                .map(|parameter| self.resolve(parameter))
                .collect();
        let mut faults = Vec::new();
        let query = asked["query"].as_str().unwrap_or_default();
        for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
            let Some(parameter) = known.iter().find(|p| p["in"] == "query" && p["name"] == *name)
            else {
                faults.push(format!("query: `{name}` is not described"));
                continue;
            };
            let schema = &parameter["schema"];
            let value = match schema["type"].as_str() {
                Some("array") => text.split(',').collect(),
                Some("integer" | "boolean") => {
                    serde_json::from_str(&text).unwrap_or_else(|_| json!(text))
                }
                _ => json!(text),
            };
            faults.extend(self.judge(&format!("query {name} {schema}"), schema, &value));
        }
        for parameter in known.iter().filter(|p| p["in"] == "header") {
            let name = parameter["name"].as_str().unwrap().to_ascii_lowercase();
            if let Some(value) = asked["headers"].get(&name) {
                faults.extend(self.judge(&format!("header {name}"), &parameter["schema"], value));
            }
        }
        faults
    }

    fn judge(&self, place: &str, schema: &Value, instance: &Value) -> Vec<String> {
        let mut compiled = self.compiled.borrow_mut();
        let validator = compiled.entry(place.to_owned()).or_insert_with(|| {
            let whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "components": self.document["components"],
                "allOf": [schema],
            });
            jsonschema::draft202012::options()
                .should_validate_formats(true)
                .build(&whole)
                .unwrap_or_else(|e| panic!("{place}: {e}"))
        });
        validator
            .iter_errors(instance)
            .map(|e| format!("{}: {}: {e}", short(place), e.instance_path()))
            .collect()
    }
}

/// An answer without what only beta tells of policies.
fn of_v1(body: &Value) -> Value {
    let mut body = body.clone();
    let listed = body["value"].as_array().map_or(0, Vec::len);
    let roots = (0..listed).map(|n| format!("/value/{n}")).chain([String::new()]);
    for root in roots.collect::<Vec<_>>() {
        for place in ["/applicationRestrictions", "/restrictions/applicationRestrictions"] {
            if let Some(Value::Object(members)) = body.pointer_mut(&format!("{root}{place}")) {
                members.remove("audiences");
                members.remove("redirectUris");
            }
        }
    }
    body
}

fn short(place: &str) -> String {
    place.chars().take(90).collect()
}

fn decode(path: &str) -> String {
    let pair = format!("x={}", path.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, v)| v.into_owned()).unwrap()
}

/// Whether a path is one of a template's.
fn fits(template: &str, path: &str) -> bool {
    let (wanted, given): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    wanted.len() == given.len()
        && wanted.iter().zip(given).all(|(wanted, given)| {
            match (wanted.find('{'), wanted.rfind('}')) {
                (Some(open), Some(close)) => {
                    let (front, back) = (&wanted[..open], &wanted[close + 1..]);
                    let inner = given
                        .strip_prefix(front)
                        .and_then(|rest| rest.strip_suffix(back))
                        .unwrap_or_default();
                    !inner.is_empty() && !inner.contains(['(', ')'])
                }
                _ => *wanted == given,
            }
        })
}

/// Holds all Graph traffic of a stage against the description, and counts the operations.
fn hold(slice: &Slice, stage: &Stage) -> BTreeMap<String, BTreeSet<u64>> {
    let mut seen: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for exchange in stage.sandbox.traffic() {
        let path = exchange["request"]["path"].as_str().unwrap();
        if !path.starts_with("/v1.0/") && !path.starts_with("/beta/policies/") {
            continue;
        }
        checked += 1;
        let operation = exchange["operation"].as_str().unwrap().to_owned();
        seen.entry(operation).or_default().insert(exchange["response"]["status"].as_u64().unwrap());
        let faults = slice.faults(&exchange);
        if !faults.is_empty() {
            wrong.push(format!(
                "{} {}?{} -> {}\n    {}",
                exchange["request"]["method"].as_str().unwrap(),
                path,
                exchange["request"]["query"].as_str().unwrap_or_default(),
                exchange["response"]["status"],
                faults.join("\n    ")
            ));
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 30, "only {checked} exchanges were held against the description");
    seen
}

/// Everything that this client does to Graph in its life, with the refusals it meets.
fn story() -> Stage {
    let stage = Stage::with_vault(MANIFEST);
    let fault = |faults: Value| stage.sandbox.add_faults(&faults).unwrap();
    // From nothing: the shared app, an app of each connector, one from the bin.
    fault(json!([
        {"operation": "application.upsert", "nth": 2,
         "do": {"status": 429, "headers": {"retry-after": "1"}}},
        {"operation": "application.addPassword", "do": {"status": 404}},
    ]));
    stage.run(&["plan"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.run(&["doctor"]).exits(0);
    // A manifest of who granted rights to the provider: only looked at.
    stage.run(&["init", "--from-contracts", "--stdout"]).exits(0);
    // People on the other side consent, so that incidents can be read.
    stage.consent(CONTOSO, "contoso");
    stage.consent(WOODGROVE, "siem-eu");
    stage.run(&["status"]).exits(0);
    stage.run(&["explain", "contoso"]).exits(0);
    // Someone changes an app by hand, takes a URI away, adds a tag and a permission of their own.
    let token = stage.operator_token();
    let id = stage.app("contoso")["id"].as_str().unwrap().to_owned();
    let drift = json!({"displayName": "Renamed by hand", "web": {"redirectUris": []}});
    let answer = stage.call(Method::PATCH, &format!("/applications/{id}"), &token, Some(&drift));
    assert_eq!(answer.status, 204, "{answer:?}");
    stage.run(&["apply", "--yes"]).exits(0);
    // Inside the renewal window; the first answer is lost, so its value is, and the next run
    // removes that secret and makes another.
    stage.sandbox.advance("P340D").unwrap();
    fault(
        json!([{"operation": "application.addPassword", "match": {"app": id}, "do": "cut-after"}]),
    );
    stage.run(&["apply", "--yes", "--tenant", "contoso"]).exits(1);
    stage.run(&["apply", "--yes"]).exits(0);
    // Refusals: a right is missing, an app is gone, a policy says no.
    let token = stage.operator_token();
    let answer = stage.call(Method::PATCH, &format!("/applications/{id}"), &token, Some(&drift));
    assert_eq!(answer.status, 204, "{answer:?}");
    fault(json!([{"operation": "application.update", "do": {"status": 403}}]));
    stage.run(&["apply", "--yes"]).exits(5);
    fault(json!([{"operation": "application.update", "do": {"status": 400, "body": {"error": {
        "code": "CredentialInvalidLifetimeAsPerAppPolicy",
        "message": "Credential lifetime is longer than the policy allows.",
        "innerError": {"date": "2026-11-23T10:00:00", "request-id": "0b6d0000-0000-4000-8000-000000000000",
                       "client-request-id": "0b6d0000-0000-4000-8000-000000000001"}}}}}]));
    stage.run(&["apply", "--yes"]).exits(1);
    stage.run(&["apply", "--yes"]).exits(0);
    // Deleted by hand: to be brought back.
    let answer = stage.call(Method::DELETE, &format!("/applications/{id}"), &token, None);
    assert_eq!(answer.status, 204, "{answer:?}");
    stage.run(&["plan"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(0);
    // A customer leaves.
    stage.run(&["offboard", "contoso", "--yes"]).exits(0);
    assert_eq!(stage.sandbox.unused_faults(), Vec::<Value>::new());
    stage
}

#[test]
fn what_we_send_and_what_we_get_is_as_described() {
    let Some(slice) = Slice::open() else { return };
    let stage = story();
    let seen = hold(&slice, &stage);
    let statuses = |operation: &str| -> Vec<u64> {
        seen.get(operation).into_iter().flatten().copied().collect()
    };
    for (operation, wanted) in [
        ("application.list", vec![200]),
        ("application.upsert", vec![201, 429]),
        ("application.update", vec![204, 400, 403]),
        ("application.addPassword", vec![200, 404]),
        ("application.removePassword", vec![204]),
        ("application.get", vec![200]),
        ("deletedItem.list", vec![200]),
        ("deletedItem.restore", vec![200]),
        ("application.delete", vec![204]),
        ("deletedItem.get", vec![200]),
        ("policy.getDefault", vec![200]),
        ("policy.list", vec![200]),
        ("servicePrincipal.get", vec![200]),
        ("incident.list", vec![200]),
        ("delegatedAdminRelationship.list", vec![200]),
        ("tenant.findById", vec![200]),
    ] {
        let found = statuses(operation);
        assert!(wanted.iter().all(|w| found.contains(w)), "{operation}: {found:?} of {seen:?}");
    }
}

#[test]
fn what_the_sandbox_answers_to_others_is_as_described() {
    let Some(slice) = Slice::open() else { return };
    let stage = Stage::new(MANIFEST);
    stage.empower(&[
        "Application.ReadWrite.All",
        "Directory.Read.All",
        "AppRoleAssignment.ReadWrite.All",
        "DelegatedPermissionGrant.ReadWrite.All",
        "Policy.ReadWrite.ApplicationConfiguration",
        "Domain.Read.All",
        "CrossTenantInformation.ReadBasic.All",
    ]);
    let token = stage.operator_token();
    let call = |method: Method, path: &str, body: Option<Value>, wanted: u16| -> Value {
        let answer = stage.call(method.clone(), path, &token, body.as_ref());
        assert_eq!(answer.status, wanted, "{method} {path}: {answer:?}");
        answer.body
    };
    let (get, post) = (Method::GET, Method::POST);
    let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();

    // Applications.
    let app = call(
        post.clone(),
        "/applications",
        Some(json!({
            "displayName": "Made by another client", "signInAudience": "AzureADMultipleOrgs",
            "tags": ["x"], "web": {"redirectUris": ["https://other.example/here"]},
            "passwordCredentials": [{"displayName": "at once", "endDateTime": "2027-06-01T00:00:00Z"}],
        })),
        201,
    );
    let (id, client) = (text(&app, "id"), text(&app, "appId"));
    call(get.clone(), &format!("/applications/{id}"), None, 200);
    call(
        get.clone(),
        &format!("/applications(appId='{client}')?$select=id,displayName"),
        None,
        200,
    );
    for query in [
        "",
        "?$top=1",
        "?$filter=displayName eq 'Payroll portal'",
        "?$filter=tags/any(t:t eq 'x')&$count=true",
        "?$filter=startswith(displayName,'P')&$orderby=displayName desc&$count=true&$top=5",
        "?$search=\"displayName:portal\"",
        "?$select=id,appId,tags,passwordCredentials",
        "?$expand=owners",
    ] {
        call(get.clone(), &format!("/applications{query}"), None, 200);
    }
    call(Method::PATCH, &format!("/applications/{id}"), Some(json!({"description": "d"})), 204);
    call(
        Method::PATCH,
        "/applications(uniqueName='by-another')",
        Some(json!({"displayName": "Upserted"})),
        201,
    );
    call(
        Method::PATCH,
        "/applications(uniqueName='by-another')",
        Some(json!({"displayName": "Upserted again"})),
        204,
    );
    let secret = call(
        post.clone(),
        &format!("/applications/{id}/addPassword"),
        Some(json!({"passwordCredential": {"displayName": "s"}})),
        200,
    );
    let key = text(&secret, "keyId");
    let remove = json!({"keyId": key});
    call(post.clone(), &format!("/applications/{id}/removePassword"), Some(remove.clone()), 204);
    call(post.clone(), &format!("/applications/{id}/removePassword"), Some(remove), 400);

    // Service principals, owners, grants, roles.
    let principal = call(post.clone(), "/servicePrincipals", Some(json!({"appId": client})), 201);
    let principal = text(&principal, "id");
    call(post.clone(), "/servicePrincipals", Some(json!({"appId": client})), 409);
    let graph = call(get.clone(), &format!("/servicePrincipals(appId='{GRAPH}')"), None, 200);
    let graph = text(&graph, "id");
    call(get.clone(), &format!("/servicePrincipals/{principal}"), None, 200);
    call(get.clone(), "/servicePrincipals?$top=3&$select=id,appId,displayName", None, 200);
    call(
        Method::PATCH,
        &format!("/servicePrincipals/{principal}"),
        Some(json!({"notes": "n"})),
        204,
    );
    let reference = format!("{}/v1.0/directoryObjects/{principal}", stage.sandbox.base_url());
    call(
        post.clone(),
        &format!("/applications/{id}/owners/$ref"),
        Some(json!({"@odata.id": reference})),
        204,
    );
    call(get.clone(), &format!("/applications/{id}/owners"), None, 200);
    call(Method::DELETE, &format!("/applications/{id}/owners/{principal}/$ref"), None, 204);
    let role = call(
        post.clone(),
        &format!("/servicePrincipals/{graph}/appRoleAssignedTo"),
        Some(json!({"principalId": principal, "resourceId": graph, "appRoleId": READ_INCIDENTS})),
        201,
    );
    let role = text(&role, "id");
    call(
        post.clone(),
        &format!("/servicePrincipals/{graph}/appRoleAssignedTo"),
        Some(json!({"principalId": principal, "resourceId": graph, "appRoleId": READ_INCIDENTS})),
        400,
    );
    call(get.clone(), &format!("/servicePrincipals/{graph}/appRoleAssignedTo"), None, 200);
    call(get.clone(), &format!("/servicePrincipals/{principal}/appRoleAssignments"), None, 200);
    call(
        Method::DELETE,
        &format!("/servicePrincipals/{graph}/appRoleAssignedTo/{role}"),
        None,
        204,
    );
    let grant = json!({"clientId": principal, "consentType": "AllPrincipals", "resourceId": graph,
                       "scope": "User.Read offline_access"});
    let grant_id =
        text(&call(post.clone(), "/oauth2PermissionGrants", Some(grant.clone()), 201), "id");
    call(post.clone(), "/oauth2PermissionGrants", Some(grant), 409);
    call(get.clone(), &format!("/oauth2PermissionGrants/{grant_id}"), None, 200);
    call(get.clone(), "/oauth2PermissionGrants", None, 200);
    call(get.clone(), &format!("/servicePrincipals/{principal}/oauth2PermissionGrants"), None, 200);
    call(
        Method::PATCH,
        &format!("/oauth2PermissionGrants/{grant_id}"),
        Some(json!({"scope": "User.Read"})),
        204,
    );
    call(Method::DELETE, &format!("/oauth2PermissionGrants/{grant_id}"), None, 204);

    // The directory itself, and others.
    call(get.clone(), "/organization", None, 200);
    call(get.clone(), "/domains", None, 200);
    let by = "/tenantRelationships/findTenantInformationBy";
    call(get.clone(), &format!("{by}TenantId(tenantId='{CONTOSO}')"), None, 200);
    call(get.clone(), &format!("{by}DomainName(domainName='contoso.example')"), None, 200);
    call(get.clone(), &format!("{by}DomainName(domainName='nobody.example')"), None, 404);

    let relationships = "/tenantRelationships/delegatedAdminRelationships";
    let filter = format!("$filter=status eq 'active' and customer/tenantId eq '{CONTOSO}'");
    let found = call(get.clone(), &format!("{relationships}?{filter}"), None, 200);
    let one = format!("{relationships}/{}", text(&found["value"][0], "id"));
    call(get.clone(), &one, None, 200);
    for query in ["", "?$top=1", "?$count=true&$select=id,customer", "?$orderby=status desc"] {
        call(get.clone(), &format!("{relationships}{query}"), None, 200);
    }
    call(get.clone(), &format!("{relationships}/nobody"), None, 404);

    // Policies.
    call(get.clone(), "/policies/defaultAppManagementPolicy", None, 200);
    let ban = json!({"isEnabled": true, "applicationRestrictions": {"passwordCredentials": [{
        "restrictionType": "passwordLifetime", "maxLifetime": "P90D", "state": "enabled",
        "restrictForAppsCreatedAfterDateTime": "2019-10-19T10:37:00Z"}]}});
    call(Method::PATCH, "/policies/defaultAppManagementPolicy", Some(ban), 204);
    call(get.clone(), "/policies/defaultAppManagementPolicy", None, 200);
    call(
        post.clone(),
        &format!("/applications/{id}/addPassword"),
        Some(json!({"passwordCredential": {"displayName": "too long",
                                           "endDateTime": "2028-01-01T00:00:00Z"}})),
        400,
    );
    call(get.clone(), "/policies/appManagementPolicies", None, 200);
    let policy = call(
        post.clone(),
        "/policies/appManagementPolicies",
        Some(json!({
        "displayName": "Ours", "description": "d", "isEnabled": true,
        "restrictions": {"passwordCredentials": [], "keyCredentials": []}})),
        201,
    );
    let policy = format!("/policies/appManagementPolicies/{}", text(&policy, "id"));
    call(get.clone(), &policy, None, 200);
    call(Method::PATCH, &policy, Some(json!({"isEnabled": false})), 204);
    call(Method::DELETE, &policy, None, 204);

    // The bin.
    call(Method::DELETE, &format!("/applications/{id}"), None, 204);
    call(get.clone(), &format!("/applications/{id}"), None, 404);
    call(get.clone(), "/directory/deletedItems/microsoft.graph.application", None, 200);
    call(get.clone(), &format!("/directory/deletedItems/{id}"), None, 200);
    call(post.clone(), &format!("/directory/deletedItems/{id}/restore"), None, 200);
    call(Method::DELETE, &format!("/applications/{id}"), None, 204);
    call(Method::DELETE, &format!("/directory/deletedItems/{id}"), None, 204);

    // Several in one, and refusals.
    call(
        post.clone(),
        "/$batch",
        Some(json!({"requests": [
            {"id": "1", "method": "GET", "url": "/organization"},
            {"id": "2", "method": "GET", "url": "/applications/6f1c0f5e-0001-4000-8000-00000000ffff"},
        ]})),
        200,
    );
    call(get.clone(), "/applications?$filter=displayName bogus 'x'", None, 400);
    call(get.clone(), "/security/incidents?$top=1", None, 403);
    let answer = stage.call(get, "/organization", "not.a.token", None);
    assert_eq!(answer.status, 401, "{answer:?}");

    let seen = hold(&slice, &stage);
    assert!(seen.len() > 35, "{} kinds of operations: {seen:?}", seen.len());
}
