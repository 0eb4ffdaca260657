//! The options themselves, `$select`, `$expand`, prices.

use super::*;

fn on(raw: &str, entity: &'static Entity, shape: Shape) -> Result<Query, Refusal> {
    Query::parse(Some(raw), false, entity, shape)
}

#[test]
fn names_and_values_are_decoded() {
    for raw in [
        "$filter=displayName%20eq%20'Contoso%20SIEM'",
        "%24filter=displayName+eq+'Contoso+SIEM'",
        "filter=displayName eq 'Contoso SIEM'",
        "$Filter=displayName eq %27Contoso SIEM%27",
        "api-version=1.0&$filter=displayName eq 'Contoso SIEM'&&x",
    ] {
        assert_eq!(ids(&query(raw, false).unwrap()), "1", "{raw}");
    }
    assert_eq!(
        ids(&query("$filter=createdDateTime gt 2026-02-01T13:00:00.5%2B01:00", false).unwrap()),
        "3"
    );
    assert_eq!(
        ids(&query("$filter=displayName eq 'O''Brien %26 S%C3%B6hne'", false).unwrap()),
        "3"
    );
    for raw in ["$filter=%", "$filter=%2", "$filter=%zz", "$filter=%FF", "%FF=1", "$filter=%+1"] {
        assert!(why(query(raw, false)).starts_with("BadRequest: "), "{raw}");
    }
}

#[test]
fn options_are_known_and_given_once() {
    assert_eq!(
        why(query("$nothing=1", false)),
        "BadRequest: The query parameter '$nothing' is not supported."
    );
    assert_eq!(
        why(query("%24skipToken2=1", false)),
        "BadRequest: The query parameter '$skipToken2' is not supported."
    );
    assert_eq!(
        why(query("$top=1&$top=2", false)),
        "BadRequest: Query option '$top' was specified more than once, but it must be specified at most once."
    );
    assert!(why(query("$top=1&%24top=1", false)).contains("more than once"));
    assert!(why(query("$top=1&top=1", false)).contains("more than once"));
    query("nothing=1&nothing=2", false).unwrap();
    query("$format=json", false).unwrap();
    assert!(why(query("$format=xml", false)).contains("MIME type"));
    assert_eq!(
        why(query("$skip=1", false)),
        "Request_BadRequest: '$skip' is not supported by the service."
    );
    let refusal = query(&"x".repeat(16 * 1024 + 1), false).unwrap_err();
    assert_eq!(refusal.status, 414);
    query(&"x".repeat(16 * 1024), false).unwrap();
    Query::parse(None, false, &schema::APPLICATION, Shape::Single).unwrap();
}

#[test]
fn a_page_has_1_to_999_items() {
    for top in ["1", "999"] {
        query(&format!("$top={top}"), false).unwrap();
    }
    for top in ["0", "1000", "-1", "100000000000"] {
        assert_eq!(
            why(query(&format!("$top={top}"), false)),
            format!(
                "Request_UnsupportedQuery: Invalid page size specified: '{top}'. Must be between 1 and 999 inclusive."
            )
        );
    }
    for top in ["", "x", "1.5", "99999999999999999999"] {
        assert!(
            why(query(&format!("$top={top}"), false))
                .starts_with(&format!("BadRequest: Invalid value '{top}' for $top"))
        );
    }
    let incidents = |raw: &str| on(raw, &schema::INCIDENT, Shape::Collection);
    incidents("$top=50").unwrap();
    assert_eq!(
        why(incidents("$top=51")),
        "BadRequest: The limit of '50' for Top query has been exceeded. The value from the incoming request is '51'."
    );
    assert!(why(incidents("$top=0")).contains("non-negative"));
    assert!(why(incidents("$skip=x")).contains("$skip"));
}

#[test]
fn count_is_counted_with_the_header_only() {
    let apps = apps();
    let count = |raw: &str, eventual| query(raw, eventual).unwrap().page(apps.iter()).count;
    assert_eq!(count("$count=true", true), Some(3));
    assert_eq!(count("$count=TRUE&$top=1", true), Some(3));
    assert_eq!(count("$count=true", false), None);
    assert_eq!(count("$count=false", true), None);
    assert_eq!(count("", true), None);
    assert!(why(query("$count=1", false)).contains("Invalid value '1' for $count"));
}

#[test]
fn the_count_segment_needs_the_header() {
    let count =
        |raw: &str, eventual| Query::parse(Some(raw), eventual, &schema::APPLICATION, Shape::Count);
    assert_eq!(why(count("", false)), "Request_BadRequest: $count is not currently supported.");
    let apps = apps();
    assert_eq!(count("", true).unwrap().count(apps.iter()), 3);
    assert_eq!(count("$filter=displayName ne 'contoso siem'", true).unwrap().count(apps.iter()), 2);
    assert!(on("", &schema::ORGANIZATION, Shape::Count).is_err());
}

#[test]
fn one_resource_takes_select_and_expand_only() {
    let single = |raw: &str| Query::parse(Some(raw), true, &schema::APPLICATION, Shape::Single);
    for raw in [
        "$filter=id eq '1'",
        "$top=1",
        "$orderby=displayName",
        "$count=true",
        "$search=\"displayName:x\"",
        "$skiptoken=x",
        "$skip=1",
    ] {
        assert!(why(single(raw)).contains("can be applied only on collections"), "{raw}");
    }
    single("$select=id&$expand=owners&x=y").unwrap();
}

#[test]
fn select_keeps_what_it_names() {
    let app = json!({"@odata.context": "c", "id": "1", "appId": "a", "displayName": "x", "tags": [], "_hidden": 1,
        "extension_abc_x": 1, "owners": [1], "oauth2RequirePostResponse": false,
        "web": {"homePageUrl": null, "redirectUris": ["u"], "logoutUrl": null}});
    let shown = |raw: &str| on(raw, &schema::APPLICATION, Shape::Single).unwrap().project(&app);
    assert_eq!(
        shown(""),
        json!({"@odata.context": "c", "id": "1", "appId": "a", "displayName": "x", "tags": [], "extension_abc_x": 1,
            "web": {"homePageUrl": null, "redirectUris": ["u"], "logoutUrl": null}})
    );
    assert_eq!(shown("$select=*"), shown(""));
    assert_eq!(shown("$select=displayName"), json!({"@odata.context": "c", "displayName": "x"}));
    assert_eq!(
        shown("$select=DISPLAYNAME, id"),
        json!({"@odata.context": "c", "displayName": "x", "id": "1"})
    );
    assert_eq!(
        shown("$select=oauth2RequirePostResponse"),
        json!({"@odata.context": "c", "oauth2RequirePostResponse": false})
    );
    assert_eq!(
        shown("$select=web/redirectUris"),
        json!({"@odata.context": "c", "web": {"redirectUris": ["u"]}})
    );
    assert_eq!(
        shown("$select=web/redirectUris,web/logoutUrl")["web"],
        json!({"redirectUris": ["u"], "logoutUrl": null})
    );
    for raw in ["$select=web,web/redirectUris", "$select=web/redirectUris,web"] {
        assert_eq!(shown(raw)["web"], app["web"], "{raw}");
    }
    assert_eq!(
        shown("$select=id&$expand=owners"),
        json!({"@odata.context": "c", "id": "1", "owners": [1]})
    );
    assert_eq!(shown("$expand=owners")["owners"], json!([1]));
    assert_eq!(on("", &schema::APPLICATION, Shape::Single).unwrap().project(&json!(5)), json!(5));
}

#[test]
fn select_refuses_what_it_does_not_know() {
    let select = |names: &str| query(&format!("$select={names}"), false);
    assert_eq!(
        why(select("id,nothing")),
        "BadRequest: Parsing OData Select and Expand failed: Could not find a property named 'nothing' on type 'microsoft.graph.application'."
    );
    assert!(
        why(select("web/nothing")).contains("'nothing' on type 'microsoft.graph.webApplication'")
    );
    assert!(why(select("id/x")).contains("Parsing OData Select and Expand failed"));
    for names in ["", "id,", "a b", "owners($select=id)"] {
        assert!(why(select(names)).contains("is not valid in a $select"), "{names}");
    }
    assert_eq!(why(select("owners")), "Request_BadRequest: Invalid $select properties.");
    assert!(
        why(on("$select=appliesTo", &schema::APP_MANAGEMENT_POLICY, Shape::Collection))
            .contains("Could not find")
    );
}

#[test]
fn usual_properties_of_people_are_few_and_owners_keep_their_kind() {
    let user = json!({"@odata.type": "#microsoft.graph.user", "id": "1", "displayName": "Ann", "accountEnabled": true, "userPrincipalName": "ann@x"});
    let usual = json!({"@odata.type": "#microsoft.graph.user", "id": "1", "displayName": "Ann", "userPrincipalName": "ann@x"});
    assert_eq!(on("", &schema::USER, Shape::Collection).unwrap().project(&user), usual);
    assert_eq!(on("", &schema::DIRECTORY_OBJECT, Shape::Collection).unwrap().project(&user), usual);
    let select =
        on("$select=accountEnabled", &schema::DIRECTORY_OBJECT, Shape::Collection).unwrap();
    assert_eq!(
        select.project(&user),
        json!({"@odata.type": "#microsoft.graph.user", "accountEnabled": true})
    );
}

#[test]
fn expand_names_links() {
    let expand = |text: &str| query(&format!("$expand={text}"), false);
    let one = expand("owners($select=id,displayName)").unwrap();
    assert_eq!(
        one.expansions(),
        [Expansion { navigation: "owners", select: vec!["id".into(), "displayName".into()] }]
    );
    assert_eq!(expand("Owners").unwrap().expansions()[0].navigation, "owners");
    let policies =
        on("$expand=appliesTo", &schema::APP_MANAGEMENT_POLICY, Shape::Collection).unwrap();
    assert_eq!(policies.expansions()[0].navigation, "appliesTo");
    assert!(query("", false).unwrap().expansions().is_empty());
    assert!(why(expand("nothing")).contains("Could not find a property named 'nothing'"));
    assert!(why(expand("tags")).contains("Only navigation properties can be expanded"));
    assert!(why(expand("owners($top=1)")).contains("is not supported within $expand"));
    assert!(why(expand("owners($select=id")).contains("unbalanced bracket"));
    assert!(why(expand("owners)")).contains("unbalanced bracket"));
    assert!(why(expand("")).contains("Could not find"));
    assert!(why(expand("owners,appManagementPolicies")).contains("Multiple expands"));
    assert_eq!(expand("owners,owners").unwrap().expansions().len(), 1);
    assert!(why(query("$expand=owners&$count=true", true)).contains("Unsupported Query."));
    query("$expand=owners&$count=true", false).unwrap();
}

#[test]
fn the_context_names_what_is_shown() {
    let suffix = |raw: &str| query(raw, false).unwrap().context_suffix();
    assert_eq!(suffix(""), "");
    assert_eq!(suffix("$select=*"), "");
    assert_eq!(suffix("$select=ID,displayname,id"), "(id,displayName)");
    assert_eq!(suffix("$select=web/redirectUris"), "(web/redirectUris)");
    assert_eq!(suffix("$expand=owners"), "(owners())");
    assert_eq!(suffix("$select=id&$expand=owners($select=id,mail)"), "(id,owners(id,mail))");
}

#[test]
fn prices_follow_the_options() {
    let cost = |raw: &str, base| query(raw, false).unwrap().cost(base);
    assert_eq!(cost("", 2), 2);
    assert_eq!(cost("$select=id", 2), 1);
    assert_eq!(cost("$select=id", 1), 1);
    assert_eq!(cost("$expand=owners", 2), 3);
    assert_eq!(cost("$top=19", 2), 1);
    assert_eq!(cost("$top=20", 2), 2);
    assert_eq!(cost("$top=1&$select=id", 3), 1);
    assert_eq!(cost("$top=1&$select=id", 2), 1);
    assert_eq!(cost("$expand=owners&$select=id&$top=1", 1), 1);
    assert_eq!(cost("$expand=owners", u32::MAX), u32::MAX);
}
