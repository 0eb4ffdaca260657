//! Listings, links, batches, and the smaller resources.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Fixture, Reply};

#[tokio::test]
async fn a_fleet_is_listed_by_its_tag_in_pages() {
    let f = Fixture::new().await;
    for n in 0..5 {
        let body = json!({"displayName": format!("App {n}"), "tags": ["tenantry:fleet=x", format!("tenantry:app=k{n}")]});
        assert_eq!(f.upsert(&format!("k{n}"), &body).await.status, 201);
    }
    let mut path =
        "/applications?$filter=tags/any(t:t+eq+'tenantry:fleet%3Dx')&%24top=2&$select=id,tags"
            .to_owned();
    let mut seen = Vec::new();
    loop {
        let page = f.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        seen.extend(page.body["value"].as_array().unwrap().iter().map(|a| a["tags"][1].clone()));
        match page.body["@odata.nextLink"].as_str() {
            Some(next) => path = next.split_once("/v1.0").unwrap().1.to_owned(),
            None => break,
        }
    }
    assert_eq!(
        seen,
        [
            "tenantry:app=k0",
            "tenantry:app=k1",
            "tenantry:app=k2",
            "tenantry:app=k3",
            "tenantry:app=k4"
        ]
    );
    let beta = f.client.get(format!("{}/beta/applications/$count", f.sandbox.base_url()));
    assert_eq!(Reply::of(beta.send().await.unwrap()).await.status, 401);
    let counted =
        f.request(Method::GET, "/applications/$count").header("consistencylevel", "eventual");
    assert_eq!(Reply::of(counted.send().await.unwrap()).await.body, json!(10));
    let mine = f.get("/myorganization/applications?$filter=displayName eq 'App 3'").await;
    assert_eq!(mine.body["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn owners_are_the_creator_and_who_is_added() {
    let mut f = Fixture::new().await;
    let app = f.upsert("one", &json!({"displayName": "One"})).await;
    let owners = format!("/applications/{}/owners", app.body["id"].as_str().unwrap());
    let listed = f.get(&owners).await;
    let creator = listed.body["value"][0].clone();
    assert_eq!(creator["@odata.type"], "#microsoft.graph.servicePrincipal");
    assert_eq!(creator["appId"], f.operator.client_id.as_str());
    let user = "6f1c0f5e-0005-4000-8000-000000000001";
    let link =
        json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{user}")});
    // To own it is not enough.
    assert_eq!(f.post(&format!("{owners}/$ref"), &link).await.status, 403);
    f.grant_operator(&["Application.ReadWrite.All", "Directory.Read.All"]).await;
    assert_eq!(f.post(&format!("{owners}/$ref"), &link).await.status, 204);
    let twice = f.post(&format!("{owners}/$ref"), &link).await;
    assert_eq!(
        (twice.status, twice.message()),
        (
            400,
            "One or more added object references already exist for the following modified properties: 'owners'."
        )
    );
    assert_eq!(f.get(&owners).await.body["value"].as_array().unwrap().len(), 2);
    let expanded = f.get("/applications(uniqueName='one')?$expand=owners").await;
    assert_eq!(expanded.body["owners"].as_array().unwrap().len(), 2, "{expanded:?}");
    assert_eq!(f.delete(&format!("{owners}/{user}/$ref")).await.status, 204);
    assert_eq!(f.delete(&format!("{owners}/{user}/$ref")).await.status, 404);
    let bound = json!({"displayName": "Two", "owners@odata.bind": [format!("{}/v1.0/directoryObjects/{user}", f.sandbox.base_url())]});
    let two = f.post("/applications", &bound).await;
    assert_eq!(two.status, 201, "{two:?}");
    let listed = f.get(&format!("/applications/{}/owners", two.body["id"].as_str().unwrap())).await;
    assert_eq!(listed.body["value"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn principals_are_made_once_and_do_not_come_back_with_their_app() {
    let mut f = Fixture::new().await;
    let app = f.upsert("one", &json!({"displayName": "One", "tags": ["a"]})).await;
    let (id, client) = (app.body["id"].as_str().unwrap(), app.body["appId"].as_str().unwrap());
    let made = f.post("/servicePrincipals", &json!({"appId": client})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["appOwnerOrganizationId"], f.operator.tenant_id.as_str());
    assert_eq!(made.body["tags"], json!(["a"]));
    assert!(made.body.get("owners").is_none());
    let twice = f.post("/servicePrincipals", &json!({"appId": client})).await;
    assert_eq!((twice.status, twice.code()), (409, "Request_MultipleObjectsWithSameKeyValue"));
    let by_app = f.get(&format!("/servicePrincipals(appId='{client}')")).await;
    assert_eq!(by_app.body["id"], made.body["id"]);
    assert_eq!(f.delete(&format!("/applications/{id}")).await.status, 204);
    assert_eq!(f.get(&format!("/servicePrincipals(appId='{client}')")).await.status, 404);
    assert_eq!(
        f.post(&format!("/directory/deletedItems/{id}/restore"), &json!({})).await.status,
        200
    );
    assert_eq!(f.get(&format!("/servicePrincipals(appId='{client}')")).await.status, 404);
    let foreign = f
        .post("/servicePrincipals", &json!({"appId": "6f1c0f5e-9999-4000-8000-000000000001"}))
        .await;
    assert_eq!(foreign.status, 403);
    f.grant_operator(&["Application.ReadWrite.All"]).await;
    let foreign = f
        .post("/servicePrincipals", &json!({"appId": "6f1c0f5e-9999-4000-8000-000000000001"}))
        .await;
    assert!(
        foreign.message().ends_with("does not reference a valid application object."),
        "{foreign:?}"
    );
    let graph = f
        .get("/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')?$select=id,appRoles")
        .await;
    let roles = graph.body["appRoles"].as_array().unwrap();
    assert!(roles.iter().any(|r| r["id"] == "45cc0394-e837-488b-a098-1918f48d186c"
        && r["value"] == "SecurityIncident.Read.All"));
}

#[tokio::test]
async fn roles_and_scopes_are_granted_once() {
    let mut f = Fixture::new().await;
    f.grant_operator(&[
        "AppRoleAssignment.ReadWrite.All",
        "DelegatedPermissionGrant.ReadWrite.All",
        "Application.ReadWrite.All",
    ])
    .await;
    let app = f.upsert("one", &json!({"displayName": "One"})).await;
    let client = f.post("/servicePrincipals", &json!({"appId": app.body["appId"]})).await;
    let client = client.body["id"].as_str().unwrap();
    let graph = f.get("/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')").await;
    let graph = graph.body["id"].as_str().unwrap();
    let role = json!({"principalId": client, "resourceId": graph, "appRoleId": "45cc0394-e837-488b-a098-1918f48d186c"});
    let to = format!("/servicePrincipals/{graph}/appRoleAssignedTo");
    let given = f.post(&to, &role).await;
    assert_eq!(given.status, 201, "{given:?}");
    let twice = f.post(&to, &role).await;
    assert_eq!(
        (twice.status, twice.message()),
        (400, "Permission being assigned already exists on the object")
    );
    let listed = f.get(&format!("/servicePrincipals/{client}/appRoleAssignments")).await;
    assert_eq!(listed.body["value"].as_array().unwrap().len(), 1);
    let unknown = json!({"principalId": client, "resourceId": graph, "appRoleId": "6f1c0f5e-9999-4000-8000-000000000001"});
    assert_eq!(f.post(&to, &unknown).await.status, 400);
    let id = given.body["id"].as_str().unwrap();
    assert_eq!(f.delete(&format!("{to}/{id}")).await.status, 204);

    let scope = json!({"clientId": client, "consentType": "AllPrincipals", "resourceId": graph, "scope": "User.Read"});
    let grant = f.post("/oauth2PermissionGrants", &scope).await;
    assert_eq!(grant.status, 201, "{grant:?}");
    let twice = f.post("/oauth2PermissionGrants", &scope).await;
    assert_eq!((twice.status, twice.message()), (409, "Permission entry already exists."));
    let path = format!("/oauth2PermissionGrants/{}", grant.body["id"].as_str().unwrap());
    assert_eq!(f.patch(&path, &json!({"scope": "User.Read offline_access"})).await.status, 204);
    assert_eq!(f.get(&path).await.body["scope"], "User.Read offline_access");
    assert_eq!(f.delete(&path).await.status, 204);
    assert_eq!(f.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_batch_is_many_requests_in_one() {
    let f = Fixture::new().await;
    let batch = json!({"requests": [
        {"id": "1", "method": "POST", "url": "/applications", "headers": {"Content-Type": "application/json"}, "body": {"displayName": "B"}},
        {"id": "2", "method": "GET", "url": "/applications?$filter=displayName eq 'B'", "dependsOn": ["1"]},
        {"id": "3", "method": "GET", "url": "/nothing"},
        {"id": "4", "method": "GET", "url": "/organization", "dependsOn": ["3"]},
    ]});
    let reply = f.post("/$batch", &batch).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let of = |id: &str| {
        reply.body["responses"].as_array().unwrap().iter().find(|r| r["id"] == id).cloned().unwrap()
    };
    assert_eq!(of("1")["status"], 201);
    assert_eq!(of("2")["body"]["value"].as_array().unwrap().len(), 1);
    assert_eq!(of("3")["status"], 400);
    assert_eq!(of("4")["status"], 424);
    let twins = json!({"requests": [{"id": "1", "method": "GET", "url": "/organization"}, {"id": "1", "method": "GET", "url": "/organization"}]});
    assert_eq!(f.post("/$batch", &twins).await.status, 400);
    let many: Vec<Value> = (0..21)
        .map(|n| json!({"id": n.to_string(), "method": "GET", "url": "/organization"}))
        .collect();
    assert_eq!(f.post("/$batch", &json!({"requests": many})).await.status, 400);
    let writes = f.sandbox.requests().iter().filter(|r| r["graphWrite"] == true).count();
    assert_eq!(writes, 1);
}

#[tokio::test]
async fn the_directory_knows_itself_and_others() {
    let mut f = Fixture::new().await;
    let own = f.get("/organization").await;
    assert_eq!(own.body["value"][0]["displayName"], "Acme SOC");
    assert_eq!(own.body["value"][0]["verifiedDomains"][0]["name"], "acme-soc.example");
    f.grant_operator(&["CrossTenantInformation.ReadBasic.All", "Domain.Read.All", "User.Read.All"])
        .await;
    let contoso = f
        .get("/tenantRelationships/findTenantInformationByDomainName(domainName='contoso.example')")
        .await;
    assert_eq!(contoso.body["tenantId"], "6f1c0f5e-0000-4000-8000-000000000001");
    let nobody = f
        .get("/tenantRelationships/findTenantInformationByDomainName(domainName='nope.example')")
        .await;
    assert_eq!(nobody.status, 404);
    assert_eq!(f.get("/domains/acme-soc.example").await.body["isVerified"], true);
    let user = f.get("/users/soc-reader@acme-soc.example").await;
    assert_eq!(user.body["displayName"], "SOC reader");
}
