//! A partner's delegated admin relationships, and what Graph tells of other directories.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Fixture, Reply};

const LIST: &str = "/tenantRelationships/delegatedAdminRelationships";
const PARTNER: &str = "8777b240-c6f0-4469-9e98-a3205431b836";
const CONTOSO: &str = "6f1c0f5e-0000-4000-8000-000000000001";

fn of<'r>(reply: &'r Reply, name: &str) -> Vec<&'r str> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let list = reply.body["value"].as_array().unwrap();
    list.iter().map(|item| item[name].as_str().unwrap()).collect()
}

/// Replaces the relationships of the operator's directory.
fn put(f: &Fixture, relationships: &Value) -> Result<(), String> {
    let mut world = f.sandbox.world();
    let directories = world["directories"].as_array_mut().unwrap();
    let home = directories.iter_mut().find(|d| d["home"] == true).unwrap();
    home["delegatedAdminRelationships"] = relationships.clone();
    f.sandbox.put_world(&world)
}

fn relationship(n: usize) -> Value {
    json!({
        "id": format!("6f1c0f5e-0006-4000-8000-{n:012}-{PARTNER}"),
        "displayName": format!("Relationship {n}"), "duration": "P730D", "status": "active",
        "customer": {"tenantId": format!("6f1c0f5e-0000-4000-8000-{n:012}"), "displayName": "Some"},
        "createdDateTime": "2026-01-01T00:00:00Z", "activatedDateTime": "2026-01-02T00:00:00Z",
        "endDateTime": "2099-01-02T00:00:00Z",
    })
}

#[tokio::test]
async fn the_seed_has_relationships_of_every_age() {
    let f = Fixture::new().await;
    let all = f.get(LIST).await;
    let states = of(&all, "status");
    assert_eq!(states.len(), 9);
    for state in ["active", "approvalPending", "created", "expired", "terminated"] {
        assert!(states.contains(&state), "{state}: {states:?}");
    }
    let first = &all.body["value"][0];
    assert_eq!(first["@odata.type"], "#microsoft.graph.delegatedAdminRelationship");
    assert!(first["@odata.etag"].as_str().unwrap().starts_with("W/"));
    let members: Vec<&String> =
        first.as_object().unwrap().keys().filter(|k| !k.starts_with('@')).collect();
    assert_eq!(members.len(), 11, "{members:?}");
    for name in ["createdDateTime", "activatedDateTime", "endDateTime", "lastModifiedDateTime"] {
        let time = first[name].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{name} {time}");
    }
    assert!(first["endDateTime"].as_str() > first["activatedDateTime"].as_str());

    let one = f.get(&format!("{LIST}/{}", first["id"].as_str().unwrap())).await;
    assert_eq!(one.status, 200);
    assert_eq!(one.body["customer"], first["customer"]);
    assert!(one.body["@odata.context"].as_str().unwrap().ends_with("/$entity"));
    assert_eq!(
        f.get(&format!("{LIST}/{CONTOSO}-{PARTNER}")).await.code(),
        "Request_ResourceNotFound"
    );
}

#[tokio::test]
async fn beta_answers_as_well_and_no_other_method_does() {
    let f = Fixture::new().await;
    let ask = |method: Method, version: &str, path: &str| {
        let url = f.request(method, "").build().unwrap();
        let token = url.headers()["authorization"].to_str().unwrap().to_owned();
        let url = format!("{}/{version}{path}", f.sandbox.base_url());
        (f.client.clone(), url, token)
    };
    let (client, url, token) = ask(Method::GET, "beta", LIST);
    let beta = client.get(url).header("authorization", token).send().await.unwrap();
    assert_eq!(of(&Reply::of(beta).await, "id").len(), 9);
    for method in [Method::POST, Method::PATCH, Method::DELETE] {
        assert_eq!(f.send(method.clone(), LIST, &json!({})).await.status, 405, "{method}");
    }
    assert_eq!(f.get(&format!("{LIST}/x/accessAssignments")).await.code(), "BadRequest");
}

#[tokio::test]
async fn who_lacks_the_right_is_refused() {
    let f = Fixture::new().await;
    let mut world = f.sandbox.world();
    for directory in world["directories"].as_array_mut().unwrap() {
        directory["appRoleAssignments"] = json!([]);
    }
    f.sandbox.put_world(&world).unwrap();
    // A token keeps what it carried when it was made; a new one has nothing.
    assert_eq!(f.get(LIST).await.status, 200);
    let mut f = f;
    f.sign_in().await;
    let find =
        format!("/tenantRelationships/findTenantInformationByTenantId(tenantId='{CONTOSO}')");
    let one = format!("{LIST}/{CONTOSO}-{PARTNER}");
    for path in [LIST, &one, &find] {
        let refused = f.get(path).await;
        assert_eq!(
            (refused.status, refused.code()),
            (403, "Authorization_RequestDenied"),
            "{path}"
        );
    }
    f.grant_operator(&["DelegatedAdminRelationship.ReadWrite.All"]).await;
    assert_eq!(f.get(LIST).await.status, 200);
    assert_eq!(f.get(&find).await.status, 403);
    f.grant_operator(&["CrossTenantInformation.ReadBasic.All"]).await;
    assert_eq!(f.get(&find).await.body["defaultDomainName"], "contoso.example");
}

#[tokio::test]
async fn pages_hold_three_hundred_at_most_and_links_lead_on() {
    let f = Fixture::new().await;
    let many: Vec<Value> = (1..=650).map(relationship).collect();
    put(&f, &json!(many)).unwrap();
    let mut seen = Vec::new();
    let mut path = LIST.to_owned();
    let mut pages = 0;
    loop {
        let page = f.get(&path).await;
        seen.extend(of(&page, "id").into_iter().map(str::to_owned));
        pages += 1;
        let Some(next) = page.body["@odata.nextLink"].as_str() else { break };
        assert!(next.contains("$skiptoken="), "{next}");
        path = next.split_once("/v1.0").unwrap().1.to_owned();
    }
    assert_eq!((pages, seen.len()), (3, 650));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 650);

    let small =
        f.get(&format!("{LIST}?$top=2&$select=id,customer&$filter=status eq 'active'")).await;
    assert_eq!(small.body["value"].as_array().unwrap().len(), 2);
    let members: Vec<&String> = small.body["value"][0].as_object().unwrap().keys().collect();
    assert!(!members.iter().any(|m| *m == "status") && members.iter().any(|m| *m == "customer"));
    let next = small.body["@odata.nextLink"].as_str().unwrap();
    let token = next.split_once("$skiptoken=").unwrap().1;
    let other = f.get(&format!("{LIST}?$filter=status eq 'expired'&$skiptoken={token}")).await;
    assert_eq!(other.code(), "Directory_ExpiredPageToken");
}

#[tokio::test]
async fn what_partners_ask_is_answered_and_all_else_refused() {
    let f = Fixture::new().await;
    let contoso = format!("(status eq 'active') and (customer/tenantId eq '{CONTOSO}')");
    for (query, found) in [
        ("$filter=status eq 'active'", 5),
        ("$filter=status eq 'active' and not startsWith(displayName,'Contoso')", 3),
        (contoso.as_str(), 2),
        ("$filter=status in ('expired','terminated')", 2),
        ("$filter=displayName eq 'Globex security'", 1),
        ("$filter=status eq 'terminating'", 0),
    ] {
        let query =
            if query.starts_with('$') { query.to_owned() } else { format!("$filter={query}") };
        let reply = f.get(&format!("{LIST}?{query}&$count=true")).await;
        assert_eq!(of(&reply, "id").len(), found, "{query}");
        assert_eq!(reply.body["@odata.count"], found, "{query}");
    }
    let sorted = f.get(&format!("{LIST}?$orderby=status desc")).await;
    let states = of(&sorted, "status");
    assert!(states.is_sorted_by(|a, b| a.to_lowercase() >= b.to_lowercase()), "{states:?}");
    for query in [
        "$top=301",
        "$top=0",
        "$top=many",
        "$skip=1",
        "$search=\"displayName:x\"",
        "$expand=accessAssignments",
        "$filter=endDateTime lt 2026-01-01T00:00:00Z",
        "$filter=duration eq 'P730D'",
        "$filter=status eq",
        "$filter=nothing eq 'x'",
        "$orderby=endDateTime",
        "$select=colour",
        "$skiptoken=nonsense",
        "$apply=x",
    ] {
        let reply = f.get(&format!("{LIST}?{query}")).await;
        assert_eq!(reply.status, 400, "{query}: {reply:?}");
    }
}

#[tokio::test]
async fn a_world_with_wrong_relationships_is_refused_and_a_right_one_kept() {
    let f = Fixture::new().await;
    let mut wrong = relationship(1);
    wrong["status"] = json!("asleep");
    let why = put(&f, &json!([relationship(2), wrong])).unwrap_err();
    assert!(why.contains("delegatedAdminRelationships[1]") && why.contains("asleep"), "{why}");
    assert_eq!(of(&f.get(LIST).await, "id").len(), 9, "the old world stays");
    put(&f, &json!([relationship(1)])).unwrap();
    let kept = f.sandbox.world();
    f.sandbox.put_world(&kept).unwrap();
    assert_eq!(of(&f.get(LIST).await, "displayName"), ["Relationship 1"]);
}

#[tokio::test]
async fn time_goes_by_for_relationships_too() {
    let f = Fixture::new().await;
    let active = format!("{LIST}?$filter=status eq 'active'");
    assert_eq!(of(&f.get(&active).await, "id").len(), 5);
    f.sandbox.advance("P30D").unwrap();
    let mut f = f;
    f.sign_in().await;
    let names = f.get(&active).await;
    assert_eq!(
        of(&names, "displayName"),
        ["Contoso security", "Tailspin security", "Woodgrove security"]
    );
}

#[tokio::test]
async fn faults_are_scripted_by_their_names() {
    let f = Fixture::new().await;
    f.sandbox
        .add_faults(&json!([
            {"operation": "delegatedAdminRelationship.list", "do": {"status": 503}},
            {"operation": "delegatedAdminRelationship.get", "do": {"status": 403}},
        ]))
        .unwrap();
    assert_eq!(f.get(LIST).await.status, 503);
    assert_eq!(f.get(&format!("{LIST}/x")).await.status, 403);
    assert_eq!(f.get(LIST).await.status, 200);
    assert_eq!(f.sandbox.unused_faults(), Vec::<Value>::new());
}
