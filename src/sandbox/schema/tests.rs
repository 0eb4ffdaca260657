//! Every rule of the schema, each with what it refuses and what it lets pass.

use serde_json::{Map, Value, json};

use super::*;

fn body(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn create(value: Value) -> Result<(), Refusal> {
    APPLICATION.check_write(&body(value), Write::Create)
}

fn update(value: Value) -> Result<(), Refusal> {
    APPLICATION.check_write(&body(value), Write::Update)
}

fn why(outcome: Result<(), Refusal>) -> String {
    let refusal = outcome.expect_err("refused");
    assert_eq!(refusal.status, 400);
    let details: Vec<_> = refusal.details.iter().map(|detail| detail.message.as_str()).collect();
    format!("{}: {} {}", refusal.code, refusal.message, details.join(" ")).trim_end().to_owned()
}

/// A creation with a display name and these members.
fn with(members: Value) -> Value {
    let mut all = body(json!({"displayName": "x"}));
    all.extend(body(members));
    Value::Object(all)
}

const GUID: &str = "00000003-0000-0000-c000-000000000000";

#[test]
fn a_whole_registration_passes() {
    create(json!({
        "@odata.type": "#microsoft.graph.application",
        "displayName": "Contoso SIEM",
        "uniqueName": "contoso",
        "signInAudience": "AzureADMultipleOrgs",
        "description": null,
        "tags": ["a", "b"],
        "owners@odata.bind": ["https://graph.microsoft.com/v1.0/directoryObjects/1"],
        "web": {"redirectUris": ["https://contoso.com/cb"], "implicitGrantSettings": {"enableIdTokenIssuance": true}},
        "api": {"requestedAccessTokenVersion": 2},
        "requiredResourceAccess": [{"resourceAppId": GUID, "resourceAccess": [{"id": GUID, "type": "Role"}]}],
        "passwordCredentials": [{"displayName": "one", "endDateTime": "2027-01-01T00:00:00.1234567Z"}],
    }))
    .unwrap();
}

#[test]
fn unknown_members_are_refused_in_the_words_of_open_and_closed_types() {
    assert_eq!(
        why(create(with(json!({"redirectUris": []})))),
        "Request_BadRequest: Property 'redirectUris' does not exist as a declared property or extension property."
    );
    assert_eq!(
        why(update(json!({"web": {"redirectUri": []}}))),
        "BadRequest: The property 'redirectUri' does not exist on type 'microsoft.graph.webApplication'. Make sure to only use property names that are defined by the type or mark the type as open type."
    );
    assert!(why(update(json!({"DisplayName": "x"}))).contains("'DisplayName' does not exist"));
    let policy = TENANT_APP_MANAGEMENT_POLICY.check_write(&body(json!({"x": 1})), Write::Update);
    assert!(why(policy).contains("on type 'microsoft.graph.tenantAppManagementPolicy'"));
}

#[test]
fn wrong_types_are_refused() {
    let cases = [
        (
            json!({"displayName": 5}),
            "Cannot convert a primitive value to the expected type 'Edm.String'",
        ),
        (
            json!({"displayName": ["x"]}),
            "'StartArray' node was found when reading from the JSON reader. A 'PrimitiveValue' node",
        ),
        (json!({"displayName": {}}), "'StartObject' node was found"),
        (json!({"tags": "x"}), "A 'StartArray' node was expected"),
        (json!({"tags": [1]}), "expected type 'Edm.String'"),
        (
            json!({"tags": [null]}),
            "'Collection(Edm.String)[Nullable=False]' does not allow null values",
        ),
        (json!({"tags": null}), "does not allow null values"),
        (json!({"web": []}), "A 'StartObject' node was expected"),
        (json!({"web": {"redirectUris": {}}}), "A 'StartArray' node was expected"),
        (
            json!({"isFallbackPublicClient": "true"}),
            "Cannot convert the literal 'true' to the expected type 'Edm.Boolean'",
        ),
        (json!({"api": {"requestedAccessTokenVersion": "2"}}), "expected type 'Edm.Int32'"),
        (
            json!({"api": {"requestedAccessTokenVersion": 4_294_967_296_u64}}),
            "expected type 'Edm.Int32'",
        ),
        (json!({"api": {"requestedAccessTokenVersion": 1.5}}), "expected type 'Edm.Int32'"),
        (
            json!({"tokenEncryptionKeyId": "abc"}),
            "the literal 'abc' to the expected type 'Edm.Guid'",
        ),
        (json!({"api": {"knownClientApplications": ["abc"]}}), "expected type 'Edm.Guid'"),
        (json!({"requiredResourceAccess": [[]]}), "A 'StartObject' node was expected"),
        (json!({"keyCredentials": [{"key": "%%"}]}), "expected type 'Edm.Binary'"),
    ];
    for (value, text) in cases {
        let said = why(update(value.clone()));
        assert!(said.starts_with("BadRequest: ") && said.contains(text), "{value}: {said}");
    }
    let date = json!({"passwordCredentials": [{"endDateTime": "2027-01-01"}]});
    assert!(why(create(with(date))).contains("expected type 'Edm.DateTimeOffset'"));
    let duration =
        json!({"applicationRestrictions": {"passwordCredentials": [{"maxLifetime": "180d"}]}});
    let refused = TENANT_APP_MANAGEMENT_POLICY.check_write(&body(duration), Write::Update);
    assert!(why(refused).contains("expected type 'Edm.Duration'"));
    let duration = json!({"applicationRestrictions": {"passwordCredentials": [
        {"restrictionType": "passwordLifetime", "state": "enabled", "maxLifetime": "P180D",
         "restrictForAppsCreatedAfterDateTime": "2019-10-19T10:37:00Z",
         "excludeActors": {"customSecurityAttributes": []}}]}});
    TENANT_APP_MANAGEMENT_POLICY.check_write(&body(duration), Write::Update).unwrap();
}

#[test]
fn read_only_properties_are_refused() {
    for name in ["id", "appId", "createdDateTime", "publisherDomain", "deletedDateTime"] {
        let refusal = why(create(with(json!({name: "x"}))));
        assert_eq!(
            refusal,
            format!("Request_BadRequest: Property '{name}' is read-only and cannot be set.")
        );
    }
    assert!(why(update(json!({"info": {"logoUrl": "x"}}))).contains("'logoUrl' is read-only"));
    // What was read is sent back whole.
    update(json!({"info": {"logoUrl": null, "supportUrl": "https://contoso.com"}})).unwrap();
}

#[test]
fn some_properties_are_set_once() {
    create(with(json!({"uniqueName": "x"}))).unwrap();
    assert!(why(update(json!({"uniqueName": "x"}))).contains("'uniqueName' is read-only"));
    let sp = body(json!({"appId": GUID}));
    SERVICE_PRINCIPAL.check_write(&sp, Write::Create).unwrap();
    assert!(
        why(SERVICE_PRINCIPAL.check_write(&sp, Write::Update)).contains("'appId' is read-only")
    );
}

#[test]
fn a_creation_names_what_is_required() {
    assert_eq!(
        why(create(json!({}))),
        "Request_BadRequest: A value is required for property 'displayName' of resource 'Application'. A value is required."
    );
    assert!(why(create(json!({"displayName": null}))).contains("A value is required"));
    assert!(
        why(create(json!({"displayName": ""})))
            .contains("Invalid value specified for property 'displayName'")
    );
    let upsert = APPLICATION.check_write(&body(json!({"notes": "x"})), Write::Upsert);
    assert!(why(upsert).contains("A value is required for property 'displayName'"));
    update(json!({})).unwrap();
    assert!(why(update(json!({"displayName": null}))).contains("A value is required"));
    let grant = body(json!({"clientId": "1", "consentType": "AllPrincipals"}));
    let refused = OAUTH2_PERMISSION_GRANT.check_write(&grant, Write::Create);
    assert!(why(refused).contains("'resourceId' of resource 'OAuth2PermissionGrant'"));
    let access = json!({"requiredResourceAccess": [{"resourceAppId": GUID, "resourceAccess": [{"id": GUID}]}]});
    assert!(why(update(access)).contains("A value is required for 'type'"));
}

#[test]
fn words_are_checked() {
    assert_eq!(
        why(update(json!({"signInAudience": "AzureAdMyOrg"}))),
        "Request_BadRequest: Invalid value specified for property 'signInAudience' of resource 'Application'. 'AzureAdMyOrg' is none of: AzureADMyOrg, AzureADMultipleOrgs, AzureADandPersonalMicrosoftAccount, PersonalMicrosoftAccount."
    );
    let access = json!({"requiredResourceAccess": [{"resourceAppId": GUID, "resourceAccess": [{"id": GUID, "type": "role"}]}]});
    assert!(why(update(access)).contains("property 'requiredResourceAccess'"));
    let incident = INCIDENT.check_write(&body(json!({"status": "done"})), Write::Update);
    assert_eq!(why(incident), "BadRequest: Requested value 'done' was not found.");
    INCIDENT.check_write(&body(json!({"status": "resolved"})), Write::Update).unwrap();
}

#[test]
fn annotations_are_let_pass_where_graph_lets_them() {
    update(json!({"@odata.context": "x", "tags@odata.type": "#Collection(String)", "tags": []}))
        .unwrap();
    update(json!({"web": {"@odata.type": "#microsoft.graph.webApplication"}})).unwrap();
    assert!(
        why(update(json!({"@odata.type": "#microsoft.graph.user"})))
            .contains("'microsoft.graph.user'")
    );
    assert!(why(update(json!({"web": {"@odata.type": "x"}}))).contains("'x'"));
    assert!(
        why(update(json!({"web": {"nothing@odata.type": "x"}}))).contains("does not exist on type")
    );
    assert!(why(update(json!({"nothing@odata.type": "x"}))).contains("does not exist"));
    assert!(why(update(json!({"tags@contoso.note": "x"}))).contains("does not exist"));
}

#[test]
fn owners_are_bound_while_creating_only() {
    let bind = |targets: Value| with(json!({"owners@odata.bind": targets}));
    let address = "https://graph.microsoft.com/v1.0/directoryObjects/1";
    create(bind(json!(vec![address; 20]))).unwrap();
    assert!(why(create(bind(json!(vec![address; 21])))).contains("At most 20"));
    assert!(why(create(bind(json!(["directoryObjects/1"])))).contains("is not the address"));
    assert!(why(create(bind(json!(address)))).contains("A 'StartArray' node was expected"));
    assert!(why(update(json!({"owners@odata.bind": [address]}))).contains("'owners' is read-only"));
    let other = with(json!({"appManagementPolicies@odata.bind": [address]}));
    assert!(why(create(other)).contains("read-only"));
    assert!(
        why(create(with(json!({"friends@odata.bind": [address]}))))
            .contains("'friends' does not exist")
    );
    assert!(why(create(with(json!({"owners": []})))).contains("has requests of its own"));
}

#[test]
fn names_are_measured_by_audience() {
    let named = |length: usize, audience: &str| json!({"displayName": "ü".repeat(length), "signInAudience": audience});
    create(named(120, "AzureADMultipleOrgs")).unwrap();
    assert!(why(create(named(121, "AzureADMultipleOrgs"))).contains("longer than 120"));
    create(named(90, "PersonalMicrosoftAccount")).unwrap();
    assert!(
        why(create(named(91, "AzureADandPersonalMicrosoftAccount"))).contains("longer than 90")
    );
    assert!(why(create(json!({"displayName": "😀".repeat(61)}))).contains("longer than 120"));
    update(json!({"description": "x".repeat(1024)})).unwrap();
    assert!(why(update(json!({"description": "x".repeat(1025)}))).contains("longer than 1024"));
}

#[test]
fn an_update_is_judged_by_the_whole() {
    let change = json!({"displayName": "x".repeat(100)});
    update(change.clone()).unwrap();
    let mut current = application_defaults();
    current.insert("signInAudience".into(), json!("PersonalMicrosoftAccount"));
    let merged = merge_patch(&current, &body(change));
    assert!(why(check_application(&merged)).contains("longer than 90"));
}

#[test]
fn secrets_are_made_by_actions() {
    let said =
        "Request_BadRequest: New password credentials must be generated using service actions.";
    let chosen = json!({"passwordCredentials": [{"displayName": "x", "secretText": "s3cret"}]});
    assert_eq!(why(create(with(chosen))), said);
    create(with(json!({"passwordCredentials": [{"displayName": "x", "secretText": null}]})))
        .unwrap();
    let asked = json!({"passwordCredentials": [{"displayName": "x"}]});
    create(with(asked.clone())).unwrap();
    assert_eq!(why(update(asked.clone())), said);
    assert_eq!(why(APPLICATION.check_write(&body(with(asked)), Write::Upsert)), said);
    assert_eq!(why(update(json!({"passwordCredentials": []}))), said);
    let backwards = json!({"passwordCredentials": [{"startDateTime": "2027-01-01T00:00:00Z", "endDateTime": "2026-01-01T00:00:00Z"}]});
    assert!(why(create(with(backwards))).contains("ends before it starts"));
    assert!(
        why(create(with(json!({"passwordCredentials": [{"hint": "abc"}]}))))
            .contains("'hint' is read-only")
    );
    let personal = |n: usize| {
        with(
            json!({"signInAudience": "PersonalMicrosoftAccount", "passwordCredentials": vec![json!({}); n]}),
        )
    };
    create(personal(2)).unwrap();
    assert!(why(create(personal(3))).contains("At most 2 secrets"));
    let sp = body(json!({"appId": GUID, "passwordCredentials": [{"secretText": "x"}]}));
    assert_eq!(why(SERVICE_PRINCIPAL.check_write(&sp, Write::Create)), said);
}

#[test]
fn a_secret_that_is_asked_for_is_checked_alone() {
    let check = |value: Value| check_password_credential(&body(value), "Application");
    check(json!({"displayName": "x", "endDateTime": "2027-01-01T00:00:00Z"})).unwrap();
    check(json!({})).unwrap();
    assert!(why(check(json!({"secretText": "x"}))).contains("service actions"));
    assert!(
        why(check(json!({"name": "x"}))).contains("on type 'microsoft.graph.passwordCredential'")
    );
    assert!(
        why(check(json!({"endDateTime": "2027-01-01T00:00:00"}))).contains("Edm.DateTimeOffset")
    );
    assert!(why(check(json!({"endDateTime": 5}))).contains("Edm.DateTimeOffset"));
}

#[test]
fn permissions_are_counted_and_told_apart() {
    let id = |n: usize| format!("{n:08x}-0000-0000-0000-000000000000");
    let access =
        |permissions: Vec<Value>| json!({"resourceAppId": GUID, "resourceAccess": permissions});
    let permission = |n: usize| json!({"id": id(n), "type": "Role"});
    let api = |n: usize| json!({"resourceAppId": id(n), "resourceAccess": []});
    let with_apis = |apis: Vec<Value>| update(json!({"requiredResourceAccess": apis}));
    with_apis((0..50).map(api).collect()).unwrap();
    assert!(why(with_apis((0..51).map(api).collect())).contains("At most 50 APIs"));
    assert!(why(with_apis(vec![api(1), api(1)])).contains("is there twice"));
    let upper =
        json!({"resourceAppId": "ABCDEF00-0000-0000-0000-000000000000", "resourceAccess": []});
    let lower =
        json!({"resourceAppId": "abcdef00-0000-0000-0000-000000000000", "resourceAccess": []});
    assert!(why(with_apis(vec![upper, lower])).contains("is there twice"));
    assert!(
        why(with_apis(vec![json!({"resourceAppId": "graph", "resourceAccess": []})]))
            .contains("is not a GUID")
    );
    with_apis(vec![access((0..400).map(permission).collect())]).unwrap();
    assert!(
        why(with_apis(vec![access((0..401).map(permission).collect())])).contains("At most 400")
    );
    assert!(
        why(with_apis(vec![access(vec![permission(1), permission(1)])])).contains("permission")
    );
    with_apis(vec![access(vec![permission(1), json!({"id": id(1), "type": "Scope"})])]).unwrap();
    let personal = |n: usize| {
        update(
            json!({"signInAudience": "PersonalMicrosoftAccount", "requiredResourceAccess": [access((0..n).map(permission).collect())]}),
        )
    };
    personal(30).unwrap();
    assert!(why(personal(31)).contains("At most 30 permissions of one API"));
}

#[test]
fn an_application_has_a_size() {
    let tags = |n: usize| json!({"tags": (0..n).map(|i| i.to_string()).collect::<Vec<_>>()});
    update(tags(1200)).unwrap();
    assert!(why(update(tags(1201))).contains("The size of the object has exceeded its limit."));
}

#[test]
fn identifier_uris_are_absolute_and_bounded() {
    let uris = |uris: Value| update(json!({"identifierUris": uris}));
    uris(json!(["api://abc", "https://contoso.com/x", "urn:contoso"])).unwrap();
    assert!(why(uris(json!(["contoso"]))).contains("is not an absolute URI"));
    assert!(why(uris(json!(["api://a", "api://a"]))).contains("is there twice"));
    assert!(why(uris(json!([format!("api://{}", "a".repeat(250))]))).contains("longer than 255"));
    let personal = json!({"signInAudience": "PersonalMicrosoftAccount", "identifierUris": [format!("api://{}", "a".repeat(115))]});
    assert!(why(update(personal)).contains("longer than 120"));
}

#[test]
fn personal_accounts_get_tokens_of_version_2() {
    update(json!({"api": {"requestedAccessTokenVersion": 1}})).unwrap();
    assert!(
        why(update(json!({"api": {"requestedAccessTokenVersion": 3}})))
            .contains("Property api.requestedAccessTokenVersion is invalid.")
    );
    let personal = json!({"signInAudience": "PersonalMicrosoftAccount", "api": {"requestedAccessTokenVersion": 1}});
    assert!(why(update(personal)).contains("requestedAccessTokenVersion is invalid"));
}

#[test]
fn defaults_are_what_the_tables_say() {
    for (entity, defaults) in
        [(&APPLICATION, application_defaults()), (&SERVICE_PRINCIPAL, service_principal_defaults())]
    {
        for (name, value) in &defaults {
            let property = entity.property(name).unwrap_or_else(|| panic!("{name} is unknown"));
            assert_eq!(property.name, name);
            assert!(!value.is_null() || property.nulls == Nulls::Allowed, "{name} is null");
        }
        let given = [
            "id",
            "appId",
            "displayName",
            "createdDateTime",
            "publisherDomain",
            "appDisplayName",
            "appOwnerOrganizationId",
            "signInAudience",
        ];
        for property in entity.properties.iter().filter(|p| p.shown == Shown::Always) {
            assert!(
                defaults.contains_key(property.name) || given.contains(&property.name),
                "{} has no default",
                property.name
            );
        }
    }
    let mut application = application_defaults();
    application.retain(|name, _| {
        APPLICATION.property(name).is_some_and(|property| property.writing != Writing::Never)
            && name != "passwordCredentials"
    });
    application.insert("displayName".into(), json!("x"));
    APPLICATION.check_write(&application, Write::Create).unwrap();
}

#[test]
fn a_patch_merges_objects_and_replaces_lists() {
    let current = body(json!({
        "displayName": "a", "tags": ["x", "y"],
        "web": {"redirectUris": ["https://a"], "homePageUrl": "https://a", "implicitGrantSettings": {"enableIdTokenIssuance": true, "enableAccessTokenIssuance": true}},
        "api": {"requestedAccessTokenVersion": 2, "knownClientApplications": []},
        "optionalClaims": null,
    }));
    let change = body(json!({
        "@odata.type": "#microsoft.graph.application", "owners@odata.bind": [],
        "tags": ["z"],
        "web": {"@odata.type": "x", "redirectUris": ["https://b"], "implicitGrantSettings": {"enableIdTokenIssuance": false}},
        "optionalClaims": {"@odata.type": "x", "idToken": [{"@odata.type": "x", "name": "email"}]},
        "api": null,
    }));
    assert_eq!(
        Value::Object(merge_patch(&current, &change)),
        json!({
            "displayName": "a", "tags": ["z"],
            "web": {"redirectUris": ["https://b"], "homePageUrl": "https://a", "implicitGrantSettings": {"enableIdTokenIssuance": false, "enableAccessTokenIssuance": true}},
            "api": {"requestedAccessTokenVersion": null, "knownClientApplications": []},
            "optionalClaims": {"idToken": [{"name": "email"}]},
        })
    );
}

#[test]
fn a_null_empties_an_object() {
    let current = body(json!({"web": {"redirectUris": ["u"], "homePageUrl": "h",
        "implicitGrantSettings": {"enableIdTokenIssuance": true}}}));
    let merged = merge_patch(&current, &body(json!({"web": null})));
    assert_eq!(
        merged["web"],
        json!({"redirectUris": [], "homePageUrl": null, "implicitGrantSettings": {"enableIdTokenIssuance": false}})
    );
}

#[test]
fn kinds_of_directory_objects_are_told_by_their_annotation() {
    let user = body(json!({"@odata.type": "#microsoft.graph.user"}));
    assert_eq!(DIRECTORY_OBJECT.kind_of(&user).name, "user");
    assert_eq!(DIRECTORY_OBJECT.kind_of(&body(json!({}))).name, "directoryObject");
    assert!(DIRECTORY_OBJECT.property("userPrincipalName").is_some());
    assert!(DIRECTORY_OBJECT.property("nothing").is_none());
}

#[test]
fn no_table_names_a_property_twice() {
    for entity in [
        &APPLICATION,
        &SERVICE_PRINCIPAL,
        &USER,
        &DIRECTORY_OBJECT,
        &ORGANIZATION,
        &DOMAIN,
        &OAUTH2_PERMISSION_GRANT,
        &APP_ROLE_ASSIGNMENT,
        &TENANT_APP_MANAGEMENT_POLICY,
        &APP_MANAGEMENT_POLICY,
        &TENANT_APP_MANAGEMENT_POLICY_BETA,
        &APP_MANAGEMENT_POLICY_BETA,
        &INCIDENT,
        &ALERT,
    ] {
        for (place, property) in entity.properties.iter().enumerate() {
            let first = entity.properties.iter().position(|other| other.name == property.name);
            assert_eq!(first, Some(place), "{}.{}", entity.name, property.name);
        }
    }
}

#[test]
fn redirect_uris_are_checked_on_every_platform_and_counted_together() {
    for platform in ["web", "spa", "publicClient"] {
        let said = why(update(json!({platform: {"redirectUris": ["http://contoso.com"]}})));
        assert!(
            said.contains(&format!("property '{platform}' of resource 'Application'")),
            "{said}"
        );
    }
    assert!(
        why(update(json!({"web": {"redirectUris": ["https://a/x", "https://a/x"]}})))
            .contains("is there twice")
    );
    update(json!({"web": {"redirectUris": ["https://a/x", "https://a/X"]}})).unwrap();
    let split =
        json!({"web": {"redirectUris": ["https://a/x"]}, "spa": {"redirectUris": ["https://a/x"]}});
    assert!(why(update(split)).contains("is there twice"));
    let uris =
        |from: usize, to: usize| (from..to).map(|n| format!("https://a/{n}")).collect::<Vec<_>>();
    let spread = |to: usize| json!({"web": {"redirectUris": uris(0, 200)}, "spa": {"redirectUris": uris(200, to)}});
    update(spread(256)).unwrap();
    assert!(
        why(update(spread(257)))
            .contains("One or more properties contains invalid values. At most 256")
    );
    let personal = |n: usize| json!({"signInAudience": "PersonalMicrosoftAccount", "web": {"redirectUris": uris(0, n)}});
    update(personal(100)).unwrap();
    assert!(why(update(personal(101))).contains("At most 100"));
}
