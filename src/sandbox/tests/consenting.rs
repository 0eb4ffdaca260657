//! People on the pages: consent, sign-in, and what becomes of codes.

use serde_json::{Value, json};

use super::{
    story::{
        CONTOSO, GRAPH, READER, REDIRECT, Story, VERIFIER, claims, landed, pair, refusal, shown,
    },
    support::Reply,
};
use crate::sandbox::Opened;

#[tokio::test]
async fn consent_and_sign_in_end_in_a_token_that_reads_incidents() {
    let mut s = Story::new().await;
    let at = landed(&s.f.sandbox.open(&s.consent_link()));
    assert!(at.starts_with(&format!("{REDIRECT}?")), "{at}");
    assert_eq!(pair(&at, "tenant").as_deref(), Some(CONTOSO));
    assert_eq!(pair(&at, "state").as_deref(), Some("s3cr3t-state"));
    let world = s.f.sandbox.world();
    // Once more changes nothing.
    s.consent();
    assert_eq!(s.f.sandbox.world()["directories"], world["directories"]);

    let reply = s.redeem(CONTOSO, &s.code(), &[]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        reply.body["scope"],
        "https://graph.microsoft.com/SecurityIncident.Read.All openid profile"
    );
    let claims_ = claims(&reply.body["access_token"]);
    assert_eq!(claims_["tid"], CONTOSO);
    assert_eq!(claims_["unique_name"], READER);
    assert_eq!(claims_["scp"], "SecurityIncident.Read.All openid profile");
    assert!(claims_.get("upn").is_none() && claims_.get("roles").is_none());
    assert!(claims_["idp"].as_str().unwrap().starts_with("https://sts.windows.net/"));
    assert_eq!(
        claims_["wids"],
        json!(["5d6b6bb7-de71-4623-b4af-96380a352509", "10dae51f-b6af-4016-8d66-8c2a99b929b3"])
    );
    let id = claims(&reply.body["id_token"]);
    assert_eq!(id["preferred_username"], READER);
    s.f.set_token(reply.body["access_token"].as_str().unwrap());
    assert_eq!(s.f.get("/security/incidents?$top=1").await.status, 200);
    assert_eq!(s.f.get("/applications").await.status, 403);

    // No role at Defender, no incidents, whatever the scope.
    s.change("Contoso", |d| d["users"][0]["roles"] = json!([]));
    let reply = s.redeem(CONTOSO, &s.code(), &[]).await;
    s.f.set_token(reply.body["access_token"].as_str().unwrap());
    assert_eq!(s.f.get("/security/incidents?$top=1").await.status, 403);
}

#[tokio::test]
async fn an_older_version_gives_a_refresh_token_without_being_asked() {
    let s = Story::new().await;
    s.consent();
    let link = s.link(
        &format!("{CONTOSO}/oauth2/authorize"),
        &[
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("resource", "https://graph.microsoft.com"),
            ("login_hint", READER),
        ],
    );
    let code = pair(&landed(&s.f.sandbox.open(&link)), "code").unwrap();
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "authorization_code"),
            ("client_id", &s.client),
            ("client_secret", &s.secret),
            ("code", &code),
            ("redirect_uri", REDIRECT),
        ])
        .finish();
    let request =
        s.f.client
            .post(format!("{}/{CONTOSO}/oauth2/token", s.f.sandbox.base_url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body["refresh_token"].is_string() && reply.body["expires_in"].is_string());
    assert_eq!(reply.body["scope"], "SecurityIncident.Read.All openid");
}

#[tokio::test]
async fn each_way_to_spoil_a_code_is_told_apart() {
    let s = Story::new().await;
    s.consent();
    let grant = "invalid_grant";
    type Said = (u16, &'static str, u64, Option<&'static str>);
    let cases: &[(&str, &[(&str, &str)], Said)] = &[
        (
            CONTOSO,
            &[("code_verifier", "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong")],
            (400, grant, 501_481, None),
        ),
        (CONTOSO, &[("code_verifier", "")], (400, grant, 50_148, None)),
        (CONTOSO, &[("redirect_uri", "http://localhost:9/tenantry")], (400, grant, 500_112, None)),
        (CONTOSO, &[("redirect_uri", "")], (400, "invalid_request", 900_144, None)),
        (CONTOSO, &[("client_secret", "wrong")], (401, "invalid_client", 7_000_215, None)),
        (CONTOSO, &[("client_secret", "")], (401, "invalid_client", 7_000_218, None)),
        ("acme-soc.example", &[], (400, grant, 65_001, Some("consent_required"))),
        (CONTOSO, &[("code", "1.Anonsense")], (400, grant, 9_002_313, None)),
        (CONTOSO, &[("code", "")], (400, "invalid_request", 900_144, None)),
        (
            CONTOSO,
            &[("resource", "https://graph.microsoft.com")],
            (400, "invalid_request", 901_002, None),
        ),
        (
            CONTOSO,
            &[("scope", "https://graph.microsoft.com/User.Read")],
            (400, grant, 65_001, Some("consent_required")),
        ),
    ];
    for (tenant, changes, expected) in cases {
        let reply = s.redeem(tenant, &s.code(), changes).await;
        assert_eq!(refusal(&reply), *expected, "{changes:?} {reply:?}");
    }
    // Known at home too: then it is the code that is another directory's.
    s.change("Acme SOC", |d| {
        let client = s.client.clone();
        d["servicePrincipals"].as_array_mut().unwrap().push(json!({
            "id": "6f1c0f5e-9999-4000-8000-000000000009", "appId": client, "displayName": "One",
            "accountEnabled": true}));
    });
    let reply = s.redeem("acme-soc.example", &s.code(), &[]).await;
    assert_eq!(refusal(&reply), (400, grant, 700_005, None));

    // A page may not redeem what is a server's.
    let code = s.code();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "authorization_code"),
            ("client_id", &s.client),
            ("client_secret", &s.secret),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ])
        .finish();
    let request =
        s.f.client
            .post(format!("{}/{CONTOSO}/oauth2/v2.0/token", s.f.sandbox.base_url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", "https://evil.example")
            .body(form);
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert_eq!(refusal(&reply).2, 9_002_326);

    // What was refused is still good; once taken it is not.
    assert_eq!(s.redeem(CONTOSO, &code, &[]).await.status, 200);
    assert_eq!(refusal(&s.redeem(CONTOSO, &code, &[]).await), (400, grant, 54_005, None));
    let late = s.code();
    s.f.sandbox.advance("PT61S").unwrap();
    assert_eq!(refusal(&s.redeem(CONTOSO, &late, &[]).await), (400, grant, 70_008, None));
    // Nobody asks for a refresh token: none comes.
    let scope = "https://graph.microsoft.com/SecurityIncident.Read.All";
    let link = s.sign_in_link(&[("scope", scope)]);
    let code = pair(&landed(&s.f.sandbox.open(&link)), "code").unwrap();
    let reply = s.redeem(CONTOSO, &code, &[]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.get("refresh_token").is_none() && reply.body.get("id_token").is_none());
}

#[tokio::test]
async fn what_is_wrong_with_a_link_stays_on_the_page_or_goes_to_the_app() {
    let s = Story::new().await;
    let open = |link: &str| s.f.sandbox.open(link);
    let says = |link: &str, code: &str| {
        let text = shown(&open(link));
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{code}: {text}");
    };
    for redirect in [
        "http://localhost:4711/Tenantry",
        "http://127.0.0.1:4711/tenantry",
        "https://a.example:8443/x",
        "https://evil.example/",
    ] {
        says(&s.sign_in_link(&[("redirect_uri", redirect)]), "50011");
    }
    says(&s.sign_in_link(&[("login_hint", "nobody@acme-soc.example")]), "50034");
    says(&s.sign_in_link(&[("login_hint", "night@fabrikam.example")]), "50034");
    says(&s.sign_in_link(&[("login_hint", "admin@fabrikam.example")]), "50020");
    says(&s.sign_in_link(&[]).replace(&s.client, "6f1c0f5e-9999-4000-8000-000000000001"), "700016");
    says(&s.sign_in_link(&[]).replace(CONTOSO, "nope.example"), "90002");
    let told = |more: &[(&str, &str)], error: &str, code: &str| {
        let at = landed(&open(&s.sign_in_link(more)));
        assert_eq!(pair(&at, "error").as_deref(), Some(error), "{at}");
        assert!(
            pair(&at, "error_description").unwrap().starts_with(&format!("AADSTS{code}: ")),
            "{at}"
        );
        assert_eq!(pair(&at, "state").as_deref(), Some("s3cr3t-state"));
        assert!(pair(&at, "code").is_none());
    };
    told(&[("response_type", "token")], "unsupported_response_type", "700054");
    told(&[("response_type", "")], "invalid_request", "900144");
    told(&[("response_mode", "pigeon")], "invalid_request", "70007");
    told(&[("prompt", "loudly")], "invalid_request", "90023");
    told(&[("prompt", "none")], "login_required", "50058");
    told(&[("scope", "")], "invalid_request", "900144");
    told(&[("scope", "https://graph.microsoft.com/.default User.Read")], "invalid_scope", "70011");
    told(
        &[("scope", "https://api.security.microsoft.com/Incident.Read User.Read")],
        "invalid_request",
        "28000",
    );
    told(&[("code_challenge", "short")], "invalid_request", "501491");
    told(&[("code_challenge_method", "S512")], "invalid_request", "501492");

    // Nobody consented: an analyst may not.
    assert!(shown(&open(&s.sign_in_link(&[]))).contains("AADSTS90094"));
    s.consent();
    assert!(pair(&landed(&open(&s.sign_in_link(&[]))), "code").is_some());
    let fragment = landed(&open(&s.sign_in_link(&[("response_mode", "fragment")])));
    assert!(fragment.contains("#code="), "{fragment}");

    // A single-tenant app elsewhere.
    let own =
        s.f.upsert(
            "own",
            &json!({"displayName": "Own", "signInAudience": "AzureADMyOrg",
        "web": {"redirectUris": ["http://localhost/tenantry"]}}),
        )
        .await;
    let own = own.body["appId"].as_str().unwrap();
    says(&s.sign_in_link(&[]).replace(&s.client, own), "700016");
    says(&s.sign_in_link(&[]).replace(&s.client, own).replace(CONTOSO, "common"), "50194");
    s.change("Contoso", |d| {
        d["servicePrincipals"].as_array_mut().unwrap().push(json!({
            "id": "6f1c0f5e-9999-4000-8000-000000000009", "appId": own, "accountEnabled": true}));
    });
    says(&s.sign_in_link(&[]).replace(&s.client, own), "650059");

    // Who really comes is the world's business.
    s.change("Contoso", |d| d["people"]["signsInAs"] = json!("admin@contoso.example"));
    let code = pair(&landed(&open(&s.sign_in_link(&[]))), "code").unwrap();
    let reply = s.redeem(CONTOSO, &code, &[]).await;
    assert_eq!(claims(&reply.body["access_token"])["upn"], "admin@contoso.example");
    s.change("Contoso", |d| d["people"] = json!({"analyst": "absent"}));
    assert_eq!(open(&s.sign_in_link(&[])), Opened::Nobody);
}

#[tokio::test]
async fn admin_consent_has_its_quirks() {
    let s = Story::new().await;
    let open = |link: &str| s.f.sandbox.open(link);
    let v2 = |scope: &str, tenant: &str| {
        let mut pairs = vec![("redirect_uri", REDIRECT), ("state", "s")];
        if !scope.is_empty() {
            pairs.push(("scope", scope));
        }
        s.link(&format!("{tenant}/v2.0/adminconsent"), &pairs)
    };
    let default = "https://graph.microsoft.com/.default";
    s.change("Contoso", |d| d["people"]["administrator"] = json!("declines"));
    let at = landed(&open(&s.consent_link()));
    assert!(
        at.contains(
            "error=permission_denied&error_description=The+admin+canceled+the+request&state="
        ),
        "{at}"
    );
    let at = landed(&open(&v2(default, CONTOSO)));
    assert_eq!(pair(&at, "admin_consent").as_deref(), Some("True"));
    assert_eq!(pair(&at, "error").as_deref(), Some("consent_required"));
    assert!(pair(&at, "error_description").unwrap().starts_with("AADSTS65004"));
    s.change("Contoso", |d| d["people"]["administrator"] = json!("absent"));
    assert_eq!(open(&s.consent_link()), Opened::Nobody);
    s.change("Contoso", |d| d["people"]["administrator"] = json!("accepts"));
    assert!(landed(&open(&v2("", CONTOSO))).contains("error=invalid_request"));
    assert!(shown(&open(&v2(default, "common"))).starts_with("AADSTS90013"));
    assert!(
        shown(&open(&s.consent_link().replace(CONTOSO, "organizations")))
            .starts_with("AADSTS90013")
    );
    let world = s.f.sandbox.world();
    let of = |world: &Value, name: &str| {
        let all = world["directories"].as_array().unwrap();
        all.iter().find(|d| d["name"] == name).unwrap().clone()
    };
    assert_eq!(of(&world, "Contoso")["servicePrincipals"], json!([]));

    // A dynamic scope grants that scope; no app role.
    let at = landed(&open(&v2("https://graph.microsoft.com/SecurityIncident.Read.All", CONTOSO)));
    assert!(pair(&at, "scope").is_some() && pair(&at, "error").is_none());
    let contoso = of(&s.f.sandbox.world(), "Contoso");
    assert_eq!(contoso["oauth2PermissionGrants"][0]["scope"], "SecurityIncident.Read.All");
    assert_eq!(contoso["oauth2PermissionGrants"][0]["consentType"], "AllPrincipals");
    assert_eq!(contoso["appRoleAssignments"], json!([]));
    assert_eq!(
        contoso["servicePrincipals"][0]["appOwnerOrganizationId"],
        s.f.operator.tenant_id.as_str()
    );
    landed(&open(&v2(default, CONTOSO)));
    let contoso = of(&s.f.sandbox.world(), "Contoso");
    assert_eq!(contoso["appRoleAssignments"].as_array().unwrap().len(), 1);
    assert_eq!(contoso["oauth2PermissionGrants"].as_array().unwrap().len(), 1);

    // Without redirect_uri a registered one is used; `common` ends in the administrator's own.
    let bare = s.link("common/adminconsent", &[]);
    let at = landed(&open(&bare));
    assert!(at.starts_with("http://localhost/tenantry?"), "{at}");
    assert_eq!(pair(&at, "tenant"), Some(s.f.operator.tenant_id.clone()));

    // An API that the customer has no subscription for.
    s.change("Globex", |d| d["firstParty"] = json!([GRAPH]));
    let body = json!({"requiredResourceAccess": [{"resourceAppId": "8ee8fdad-f234-4243-8f3b-15c294843740",
        "resourceAccess": [{"id": "a9790345-4595-42e4-971a-ccdc79f19b7c", "type": "Role"}]}]});
    assert_eq!(s.f.patch(&format!("/applications/{}", s.object), &body).await.status, 204);
    let globex = s.link("globex.example/adminconsent", &[]);
    assert!(shown(&open(&globex)).starts_with("AADSTS650052"));
    assert_eq!(of(&s.f.sandbox.world(), "Globex")["servicePrincipals"], json!([]));
}

#[tokio::test]
async fn a_browser_meets_pages_that_escape_and_forms_that_work_once() {
    let s = Story::new().await;
    let get = async |address: &str| s.f.client.get(address).send().await.unwrap();
    let post = async |address: &str, body: &str, origin: Option<&str>| {
        let mut request =
            s.f.client
                .post(address)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body.to_owned());
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.send().await.unwrap()
    };
    let visit = |page: &str| {
        page.split_once("name=\"visit\" value=\"").unwrap().1.split('"').next().unwrap().to_owned()
    };
    let link = s.consent_link();
    let page = get(&link).await.text().await.unwrap();
    assert!(page.contains("One &lt;b&gt;") && !page.contains("One <b>"), "{page}");
    assert!(page.contains("id=\"sign-in\"") && page.contains("admin@contoso.example"));
    let first = visit(&page);
    let form = format!("visit={first}&account=admin%40contoso.example&action=sign-in");
    let foreign = post(&link, &form, Some("https://evil.example")).await;
    assert_eq!(foreign.status(), 400);
    let page = post(&link, &form, Some(&s.f.sandbox.pages_url())).await.text().await.unwrap();
    assert!(page.contains("id=\"accept\"") && page.contains("unverified"), "{page}");
    assert!(page.contains("Read all security incidents") && page.contains("Contoso"));
    assert_eq!(post(&link, &form, None).await.status(), 400);
    // A ticket is good for its own link only, and nobody accepts without signing in.
    let fresh = visit(&get(&link).await.text().await.unwrap());
    let other = s.consent_link().replace("s3cr3t-state", "other");
    assert_eq!(post(&other, &format!("visit={fresh}&action=accept"), None).await.status(), 400);
    let page =
        post(&link, &format!("visit={fresh}&action=accept"), None).await.text().await.unwrap();
    assert!(page.contains("id=\"sign-in\""));
    let second = visit(
        &post(
            &link,
            &format!("visit={}&login=admin%40contoso.example&action=sign-in", visit(&page)),
            None,
        )
        .await
        .text()
        .await
        .unwrap(),
    );
    let end = post(&link, &format!("visit={second}&action=accept"), None).await;
    assert_eq!(end.status(), 302);
    assert!(end.headers()["location"].to_str().unwrap().contains("admin_consent=True"));

    // The same over https.
    let https = link.replace(&s.f.sandbox.pages_url(), &s.f.sandbox.base_url());
    assert_eq!(get(&https).await.status(), 200);

    // The portal: ids are looked at, and only the world changes.
    let portal = format!("{}/?tid={CONTOSO}", s.f.sandbox.pages_url());
    assert!(get(&portal).await.text().await.unwrap().contains("id=\"authorize\""));
    let state = || s.f.sandbox.world()["directories"][0]["people"]["portal"].clone();
    post(&portal, "application=x&tenant=y", None).await;
    assert_eq!(state(), "not-done");
    let good = format!("application={}&tenant={}", s.client, s.f.operator.tenant_id);
    assert_eq!(post(&portal, &good, Some("https://evil.example")).await.status(), 403);
    assert_eq!(state(), "not-done");
    post(&portal, &good, None).await;
    assert_eq!(state(), "done");
    let index = get(&s.f.sandbox.pages_url()).await.text().await.unwrap();
    assert!(index.contains("Contoso") && index.contains(READER));
}

#[tokio::test]
async fn people_are_reached_over_the_wire_and_faults_reach_them_by_name() {
    let s = Story::new().await;
    s.f.sandbox
        .add_faults(&json!([
            {"operation": "*", "do": "cut-before"},
            {"operation": "login.adminConsent", "do": "cut-before"}]))
        .unwrap();
    assert!(shown(&s.f.sandbox.open(&s.consent_link())).contains("could not reach"));
    assert_eq!(s.f.sandbox.unused_faults().len(), 1);
    s.f.sandbox.clear_faults();
    let request =
        s.f.client
            .post(format!("{}/_sandbox/people", s.f.sandbox.base_url()))
            .body(json!({"open": s.consent_link()}).to_string());
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert!(reply.body["landed"].as_str().unwrap().contains("admin_consent=True"), "{reply:?}");
}
