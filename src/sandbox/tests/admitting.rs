//! Who is let in: assignment, apps that are disabled, scopes that no API has, and who gets a token
//! that lasts.

use serde_json::{Value, json};

use super::{
    story::{CONTOSO, GRAPH, READER, REDIRECT, Story, claims, landed, pair, refusal, shown},
    support::Reply,
};

const INCIDENTS: &str = "https://graph.microsoft.com/SecurityIncident.Read.All";

impl Story {
    fn open_and_read(&self, link: &str) -> String {
        let text = shown(&self.f.sandbox.open(link));
        text.split(':').next().unwrap().to_owned()
    }

    fn told(&self, link: &str) -> (String, String) {
        let at = landed(&self.f.sandbox.open(link));
        let description = pair(&at, "error_description").unwrap_or_else(|| panic!("{at}"));
        (pair(&at, "error").unwrap(), description.split(':').next().unwrap().to_owned())
    }

    fn contoso(&self) -> Value {
        let world = self.f.sandbox.world();
        let all = world["directories"].as_array().unwrap();
        all.iter().find(|d| d["name"] == "Contoso").unwrap().clone()
    }

    async fn app_only(&self, scope: &str) -> Reply {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.client.as_str()),
            ("client_secret", self.secret.as_str()),
            ("scope", scope),
        ];
        self.f.token_request(CONTOSO, &form).await
    }
}

#[tokio::test]
async fn only_assigned_users_come_in_where_assignment_is_required() {
    let s = Story::new().await;
    let token = s.refresh_token().await;
    let code = s.code();
    s.change("Contoso", |d| d["servicePrincipals"][0]["appRoleAssignmentRequired"] = json!(true));
    let refused = (400, "invalid_grant", 50_105, None);
    assert_eq!(s.open_and_read(&s.sign_in_link(&[])), "AADSTS50105");
    assert_eq!(refusal(&s.redeem(CONTOSO, &code, &[]).await), refused);
    assert_eq!(refusal(&s.refresh(CONTOSO, &token).await), refused);
    // Not for the app itself, and not for the administrator who consents.
    assert_eq!(s.app_only("https://graph.microsoft.com/.default").await.status, 200);
    s.consent();

    let contoso = s.contoso();
    let assign = |world: &mut Value, resource: &Value, id: &str| {
        world["appRoleAssignments"].as_array_mut().unwrap().push(json!({
            "id": id, "principalId": contoso["users"][0]["id"], "principalType": "User",
            "resourceId": resource, "appRoleId": "00000000-0000-0000-0000-000000000000"}));
    };
    s.change("Contoso", |d| assign(d, &contoso["servicePrincipals"][0]["id"], "of-the-client"));
    assert_eq!(s.redeem(CONTOSO, &code, &[]).await.status, 200);
    assert_eq!(s.refresh(CONTOSO, &token).await.status, 200);
    assert!(pair(&landed(&s.f.sandbox.open(&s.sign_in_link(&[]))), "code").is_some());

    // An assigned user's own consent does not do: here the grants are gone.
    s.change("Contoso", |d| d["oauth2PermissionGrants"] = json!([]));
    let own = s.sign_in_link(&[("scope", "openid https://graph.microsoft.com/User.Read")]);
    assert_eq!(s.open_and_read(&own), "AADSTS90094");
    s.change("Contoso", |d| d["servicePrincipals"][0]["appRoleAssignmentRequired"] = json!(false));
    assert!(pair(&landed(&s.f.sandbox.open(&own)), "code").is_some());
}

#[tokio::test]
async fn an_api_may_ask_for_assignment_too() {
    let s = Story::new().await;
    let api = json!({"displayName": "Own API", "identifierUris": ["api://own"],
        "api": {"oauth2PermissionScopes": [{"id": "6f1c0f5e-7777-4000-8000-000000000001",
            "value": "read", "type": "User", "isEnabled": true, "adminConsentDisplayName": "r",
            "adminConsentDescription": "r", "userConsentDisplayName": "r", "userConsentDescription": "r"}]}});
    let made = s.f.upsert("own-api", &api).await;
    assert_eq!(made.status, 201, "{made:?}");
    let api = made.body["appId"].as_str().unwrap().to_owned();
    let principal = "6f1c0f5e-7777-4000-8000-000000000002";
    s.consent();
    let scopes = made.body["api"]["oauth2PermissionScopes"].clone();
    s.change("Contoso", |d| {
        d["servicePrincipals"].as_array_mut().unwrap().push(json!({
            "id": principal, "appId": api, "displayName": "Own API", "accountEnabled": true,
            "appRoleAssignmentRequired": true, "servicePrincipalNames": [api, "api://own"],
            "oauth2PermissionScopes": scopes}));
    });
    let reply = s.app_only("api://own/.default").await;
    assert_eq!(refusal(&reply), (400, "invalid_grant", 501_051, None));
    let link = s.sign_in_link(&[("scope", "api://own/read")]);
    assert_eq!(s.open_and_read(&link), "AADSTS50105");
    let contoso = s.contoso();
    s.change("Contoso", |d| {
        for (i, who) in [&contoso["users"][0]["id"], &contoso["servicePrincipals"][0]["id"]]
            .into_iter()
            .enumerate()
        {
            d["appRoleAssignments"].as_array_mut().unwrap().push(json!({
                "id": format!("assigned-{i}"), "principalId": who, "resourceId": principal,
                "appRoleId": "00000000-0000-0000-0000-000000000000"}));
        }
    });
    assert_eq!(s.app_only("api://own/.default").await.status, 200);
    assert!(pair(&landed(&s.f.sandbox.open(&link)), "code").is_some());
}

/// An assignment of a user is made as Graph makes it.
#[tokio::test]
async fn users_are_assigned_through_graph() {
    let mut s = Story::new().await;
    s.f.grant_operator(&["AppRoleAssignment.ReadWrite.All", "Application.ReadWrite.All"]).await;
    let made = s.f.post("/servicePrincipals", &json!({"appId": s.client})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.body["id"].as_str().unwrap().to_owned();
    let world = s.f.sandbox.world();
    let home = world["directories"].as_array().unwrap().iter().find(|d| d["home"] == true);
    let user = home.unwrap()["users"][0]["id"].clone();
    let path = format!("/servicePrincipals/{id}/appRoleAssignedTo");
    let body = |role: &str| json!({"principalId": user, "resourceId": id, "appRoleId": role});
    let reply = s.f.post(&path, &body("00000000-0000-0000-0000-000000000000")).await;
    assert_eq!((reply.status, &reply.body["principalType"]), (201, &json!("User")), "{reply:?}");
    assert!(reply.body["principalDisplayName"].is_string());
    // A role of applications is none for people.
    let graph = s.f.get(&format!("/servicePrincipals(appId='{GRAPH}')")).await;
    let graph = graph.body["id"].as_str().unwrap().to_owned();
    let role = json!({"principalId": user, "resourceId": graph,
        "appRoleId": "45cc0394-e837-488b-a098-1918f48d186c"});
    let reply = s.f.post(&format!("/servicePrincipals/{graph}/appRoleAssignedTo"), &role).await;
    assert_eq!(reply.status, 400, "{reply:?}");
}

#[tokio::test]
async fn a_disabled_app_gets_no_token_of_any_kind() {
    let s = Story::new().await;
    let token = s.refresh_token().await;
    let code = s.code();
    let before = s.f.sandbox.world();
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 3] = [
        ("Acme SOC", |d| app(d)["isDisabled"] = json!(true)),
        ("Acme SOC", |d| {
            app(d)["disabledByMicrosoftStatus"] =
                json!("DisabledDueToViolationOfServicesAgreement");
        }),
        ("Contoso", |d| d["servicePrincipals"][0]["accountEnabled"] = json!(false)),
    ];
    let refused = (400, "unauthorized_client", 7_000_112, None);
    for (directory, change) in changes {
        s.f.sandbox.put_world(&before).unwrap();
        s.change(directory, change);
        assert_eq!(s.open_and_read(&s.sign_in_link(&[])), "AADSTS7000112");
        assert_eq!(s.open_and_read(&s.consent_link()), "AADSTS7000112");
        assert_eq!(refusal(&s.redeem(CONTOSO, &code, &[]).await), refused);
        assert_eq!(refusal(&s.refresh(CONTOSO, &token).await), refused);
        assert_eq!(refusal(&s.app_only("https://graph.microsoft.com/.default").await), refused);
    }
    s.f.sandbox.put_world(&before).unwrap();
    let patch = |disabled: bool| json!({"isDisabled": disabled});
    let path = format!("/applications/{}", s.object);
    assert_eq!(s.f.patch(&path, &patch(true)).await.status, 204);
    assert_eq!(refusal(&s.refresh(CONTOSO, &token).await), refused);
    assert_eq!(s.f.patch(&path, &patch(false)).await.status, 204);
    assert_eq!(s.refresh(CONTOSO, &token).await.status, 200);
}

fn app(directory: &mut Value) -> &mut Value {
    let all = directory["applications"].as_array_mut().unwrap();
    all.iter_mut().find(|a| a["uniqueName"] == "one").unwrap()
}

#[tokio::test]
async fn a_scope_that_the_api_lacks_is_refused_by_name() {
    let s = Story::new().await;
    let unknown = ("invalid_client".to_owned(), "AADSTS650053".to_owned());
    let scope = "https://graph.microsoft.com/No.Such.Scope";
    assert_eq!(s.told(&s.sign_in_link(&[("scope", scope)])), unknown);
    let consent = |scope: &str| {
        let path = format!("{CONTOSO}/v2.0/adminconsent");
        s.link(&path, &[("redirect_uri", REDIRECT), ("scope", scope)])
    };
    assert_eq!(s.told(&consent(&format!("{INCIDENTS} {scope}"))), unknown);
    // An app role by its name is no scope: it comes with `/.default` only.
    assert_eq!(
        s.told(&consent("https://graph.microsoft.com/Application.ReadWrite.OwnedBy")),
        unknown
    );
    assert_eq!(s.contoso()["servicePrincipals"], json!([]), "nothing is half granted");
    assert!(landed(&s.f.sandbox.open(&consent(INCIDENTS))).contains("admin_consent=True"));
}

#[tokio::test]
async fn only_who_asked_and_was_allowed_gets_a_token_that_lasts() {
    let s = Story::new().await;
    s.consent();
    let lasts = |reply: &Reply| {
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body.get("refresh_token").is_some()
    };
    let code_for = |scope: &str| {
        let link = s.sign_in_link(&[("scope", scope)]);
        pair(&landed(&s.f.sandbox.open(&link)), "code").unwrap()
    };
    let with = format!("{INCIDENTS} offline_access");
    assert!(lasts(&s.redeem(CONTOSO, &code_for(&with), &[]).await));
    // What the link asked for counts, and not what is asked for with the code.
    assert!(lasts(&s.redeem(CONTOSO, &code_for(&with), &[("scope", INCIDENTS)]).await));
    let late = s.redeem(CONTOSO, &code_for(INCIDENTS), &[("scope", &with)]).await;
    assert!(!lasts(&late));
    assert_eq!(claims(&late.body["access_token"])["unique_name"], READER);
    // The customer took it back in the meantime.
    let code = code_for(&with);
    s.change("Contoso", |d| {
        d["oauth2PermissionGrants"][0]["scope"] = json!("SecurityIncident.Read.All");
    });
    assert!(!lasts(&s.redeem(CONTOSO, &code, &[]).await));
}
