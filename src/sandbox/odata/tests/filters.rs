//! `$filter` and `$search`.

use super::*;

fn matching(text: &str) -> String {
    ids(&advanced(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}")))
}

fn plainly(text: &str) -> String {
    ids(&filter(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}")))
}

#[test]
fn filters_that_need_no_header() {
    let cases = [
        ("displayName eq 'Contoso SIEM'", "1"),
        ("displayname EQ 'CONTOSO siem'", "1"),
        ("displayName eq 'O''Brien & SÖHNE'", "3"),
        ("displayName in ('contoso portal', 'contoso siem')", "1 2"),
        ("startsWith(displayName,'CONTOSO')", "1 2"),
        ("startswith( displayName , 'o''b' )", "3"),
        ("displayName ge 'contoso siem'", "1 3"),
        ("displayName gt 'contoso siem'", "3"),
        ("displayName le 'contoso portal'", "2"),
        ("displayName lt 'contoso portal'", ""),
        ("description eq 'OLD ONE'", "2"),
        ("id eq '2'", "2"),
        ("appId eq 'AAAAAAAA-0000-0000-0000-000000000003'", "3"),
        ("uniqueName eq 'contoso'", "1"),
        ("tags/any(t:t eq 'FLEET:ONE')", "1"),
        ("tags/any(t:startsWith(t,'fleet:'))", "1 3"),
        ("tags/any(t: t eq 'fleet:one' or t eq 'fleet:two')", "1 3"),
        ("identifierUris/any(x:x eq 'api://two')", "2"),
        ("signInAudience eq 'AzureADMyOrg' and startsWith(displayName,'c')", "1"),
        ("id eq '1' or id eq '2' and id eq '3'", "1"),
        ("(id eq '1' or id eq '2') and id eq '2'", "2"),
        ("createdDateTime ge 2026-02-01T12:00:00.5Z", "2 3"),
        ("createdDateTime gt 2026-02-01T13:00:00.5+01:00", "3"),
        ("createdDateTime lt 2026-02-01", "1"),
        ("createdDateTime eq 2026-03-01T00:00:00Z", "3"),
    ];
    for (text, wanted) in cases {
        assert_eq!(plainly(text), wanted, "{text}");
    }
}

#[test]
fn filters_that_need_the_header() {
    let cases = [
        (
            "displayName ne 'contoso siem'",
            "2 3",
            "Operator 'ne' is not supported because the required parameters might be missing.",
        ),
        ("not(displayName eq 'contoso siem')", "2 3", "Operator 'not' is not supported"),
        ("NOT startsWith(displayName,'contoso')", "3", "Operator 'not' is not supported"),
        ("not tags/any(t:t eq 'fleet:one')", "2 3", "Operator 'not' is not supported"),
        ("not (not (id eq '1'))", "1", "Operator 'not' is not supported"),
        ("description ne 'old one'", "1 3", "Operator 'ne' is not supported"),
        (
            "description eq null",
            "1",
            "Unsupported or invalid query filter clause specified for property 'description' of resource 'Application'.",
        ),
        ("description ne null", "2 3", "Operator 'ne' is not supported"),
        ("tags/$count eq 0", "2", "Unsupported Query."),
        ("tags/$count ne 0", "1 3", "Unsupported Query."),
        ("identifierUris/$count eq 1", "2", "Unsupported Query."),
        (
            "web/redirectUris/any(u:startsWith(u,'https://three/'))",
            "3",
            "property 'redirectUris' of resource 'Application'",
        ),
        ("web/redirectUris/$count ne 0", "1 3", "Unsupported Query."),
        ("web/homePageUrl eq 'https://contoso.com'", "1", "property 'homePageUrl'"),
        (
            "requiredResourceAccess/any(r:r/resourceAppId eq '00000003-0000-0000-c000-000000000000')",
            "1",
            "property 'resourceAppId'",
        ),
    ];
    for (text, wanted, refusal) in cases {
        assert_eq!(matching(text), wanted, "{text}");
        let said = why(filter(text));
        assert!(
            said.starts_with("Request_UnsupportedQuery: ") && said.contains(refusal),
            "{text}: {said}"
        );
        // The header alone and the option alone are not enough.
        let raw = format!("$filter={}", encode(text));
        assert!(query(&raw, true).is_err(), "{text}");
        assert!(query(&format!("{raw}{ADVANCED}"), false).is_err(), "{text}");
        assert!(query(&format!("{raw}&$count=false"), true).is_err(), "{text}");
    }
}

#[test]
fn ends_with_needs_the_header_and_an_index() {
    let users = |text: &str, advanced: bool| {
        let raw = format!("$filter={}{}", encode(text), if advanced { ADVANCED } else { "" });
        Query::parse(Some(&raw), advanced, &schema::USER, Shape::Collection)
    };
    assert_eq!(
        why(users("endsWith(mail,'@contoso.com')", false)),
        "Request_UnsupportedQuery: Operator 'endsWith' is not supported because the required parameters might be missing. Try adding $count=true query parameter and ConsistencyLevel:eventual header. Refer to https://aka.ms/graph-docs/advanced-queries for more information"
    );
    let query = users("endsWith(mail,'@CONTOSO.com')", true).unwrap();
    assert!(query.matches(&json!({"mail": "ann@contoso.com"})));
    assert!(!query.matches(&json!({"mail": "ann@contoso.org"})));
    assert!(!query.matches(&json!({"mail": null})));
    assert!(
        why(users("endsWith(displayName,'x')", true))
            .contains("property 'displayName' of resource 'User'")
    );
}

#[test]
fn types_must_fit() {
    assert_eq!(
        why(filter("displayName eq 5")),
        "BadRequest: Invalid filter clause: A binary operator with incompatible types was detected. Found operand types 'Edm.String' and 'Edm.Int32' for operator kind 'Equal'."
    );
    let cases = [
        ("id eq aaaaaaaa-0000-0000-0000-000000000001", "'Edm.String' and 'Edm.Guid'"),
        (
            "createdDateTime ge '2026-01-01T00:00:00Z'",
            "'Edm.DateTimeOffset' and 'Edm.String' for operator kind 'GreaterThanOrEqual'",
        ),
        ("displayName eq true", "'Edm.String' and 'Edm.Boolean'"),
        ("displayName lt 1.5", "'Edm.String' and 'Edm.Double' for operator kind 'LessThan'"),
        ("displayName in ('a', 5000000000)", "'Edm.String' and 'Edm.Int64'"),
        ("tags/any(t:t eq 5)", "'Edm.String' and 'Edm.Int32'"),
        (
            "startsWith(createdDateTime,'x')",
            "No function signature for the function with name 'startswith'",
        ),
        ("startsWith(displayName,5)", "No function signature"),
    ];
    for (text, part) in cases {
        let said = why(filter(text));
        assert!(
            said.starts_with("BadRequest: Invalid filter clause") && said.contains(part),
            "{text}: {said}"
        );
    }
    let principal = |text: &str| {
        Query::parse(
            Some(&format!("$filter={}", encode(text))),
            false,
            &schema::SERVICE_PRINCIPAL,
            Shape::Collection,
        )
    };
    let guid = principal("appOwnerOrganizationId eq F0000000-0000-0000-0000-00000000000A").unwrap();
    assert!(
        guid.matches(&json!({"appOwnerOrganizationId": "f0000000-0000-0000-0000-00000000000a"}))
    );
    assert!(
        why(principal("appOwnerOrganizationId eq 'f0000000-0000-0000-0000-00000000000a'"))
            .contains("'Edm.Guid' and 'Edm.String'")
    );
    let flag = principal("accountEnabled eq true").unwrap();
    assert!(
        flag.matches(&json!({"accountEnabled": true}))
            && !flag.matches(&json!({"accountEnabled": false}))
    );
    assert!(why(principal("accountEnabled eq 'true'")).contains("'Edm.Boolean' and 'Edm.String'"));
}

#[test]
fn properties_must_be_known_and_indexed() {
    assert_eq!(
        why(filter("nothing eq 'x'")),
        "Request_UnsupportedQuery: Property 'nothing' does not exist as a declared property or extension property."
    );
    for text in [
        "notes eq 'x'",
        "startsWith(notes,'x')",
        "isFallbackPublicClient eq true",
        "web/redirectUris/any(u:u eq 'x') or notes eq 'x'",
    ] {
        assert_eq!(
            why(advanced(text)),
            "Request_UnsupportedQuery: The request uses a filter property that is not indexed.",
            "{text}"
        );
    }
    for (text, name) in [
        ("signInAudience ge 'A'", "signInAudience"),
        ("startsWith(appId,'a')", "appId"),
        ("tags eq 'x'", "tags"),
        ("web eq null", "web"),
        ("tags/any(t:t ne 'x')", "tags"),
    ] {
        assert_eq!(
            why(advanced(text)),
            format!(
                "Request_UnsupportedQuery: Unsupported or invalid query filter clause specified for property '{name}' of resource 'Application'."
            ),
            "{text}"
        );
    }
    for (text, part) in [
        ("web/nothing eq 'x'", "'nothing' on type 'microsoft.graph.webApplication'"),
        ("displayName/x eq 'x'", "not a single value"),
        ("tags/x eq 'x'", "not a single value"),
        ("displayName/any(t:t eq 'x')", "following a collection"),
        ("displayName/$count eq 0", "must follow a collection"),
        ("tags/any(t:displayName eq 'x')", "in the scope"),
        ("tags/any(t:x eq 'x')", "in the scope"),
        ("nothing(displayName,'x')", "An unknown function with name 'nothing'"),
    ] {
        let said = why(advanced(text));
        assert!(
            said.starts_with("BadRequest: Invalid filter clause") && said.contains(part),
            "{text}: {said}"
        );
    }
    for text in [
        "contains(displayName,'x')",
        "tags/all(t:t eq 'x')",
        "tags/any()",
        "tags/$count eq 2",
        "tags/$count gt 0",
    ] {
        assert_eq!(why(advanced(text)), "Request_UnsupportedQuery: Unsupported Query.", "{text}");
    }
}

#[test]
fn what_is_no_filter_is_refused() {
    for text in [
        "",
        " ",
        "displayName",
        "displayName eq",
        "displayName eq 'x",
        "displayName 'x'",
        "'x' eq displayName",
        "displayName eq 'x' and",
        "(displayName eq 'x'",
        "displayName eq 'x')",
        "()",
        "displayName eq 'x' displayName eq 'y'",
        "displayName eq displayName",
        "displayName eq (",
        "displayName in 'x'",
        "displayName in ()",
        "displayName in ('x'",
        "displayName in ('x',)",
        "startsWith(displayName)",
        "startsWith(displayName,'x'",
        "startsWith(,'x')",
        "startsWith('x','y')",
        "startsWith(tags/any(t:t eq 'x'),'x')",
        "tags/any(t eq 'x')",
        "tags/any(t:)",
        "tags/any(t:t eq 'x'",
        "tags/",
        "/tags",
        "tags//any(t:t eq 'x')",
        "not",
        "not displayName eq 'x'",
        "not displayName in ('x')",
        "displayName eq \"x\"",
        "displayName eq x",
        "displayName & 'x'",
        "createdDateTime ge 2026-13-01",
        "createdDateTime ge 2026-01-01T00:00:00",
        "createdDateTime eq 12abc",
        "createdDateTime eq -",
        "createdDateTime eq .",
        "displayName == 'x'",
        "displayName eq 'x'\u{0}",
        "ä eq 'x'",
    ] {
        let said = why(advanced(text));
        assert!(said.starts_with("BadRequest: Invalid filter clause: "), "{text}: {said}");
    }
    // A keyword in the place of a name is a name that nobody knows.
    for text in ["eq 'x'", "and displayName eq 'x'"] {
        assert!(why(filter(text)).contains("does not exist as a declared property"), "{text}");
    }
    assert!(
        why(filter("id eq 00000003-0000-0000-c000-000000000000x"))
            .contains("Unrecognized '00000003-0000-0000-c000-000000000000x' literal")
    );
    assert!(why(filter("displayName eq 'x' foo")).contains("Syntax error at position 19 in"));
    assert!(why(filter("displayName eq #")).contains("character '#' is not valid at position 15"));
    assert!(
        why(filter("displayName eq 'x")).contains("unterminated string literal at position 15")
    );
}

#[test]
fn filters_are_bounded() {
    let nested = |n: usize| format!("{}id eq '1'{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(plainly(&nested(24)), "1");
    assert!(why(filter(&nested(25))).contains("Recursion depth exceeded"));
    assert!(why(filter(&"(".repeat(4000))).contains("Recursion depth exceeded"));
    assert!(why(advanced(&"not ".repeat(1500))).contains("Recursion depth exceeded"));
    let or = |n: usize| vec!["id eq '1'"; n].join(" or ");
    assert_eq!(plainly(&or(15)), "1");
    assert_eq!(
        why(filter(&or(16))),
        "Request_UnsupportedQuery: Too many child clauses specified in search filter expression containing 'OR' operators: 16. Max allowed: 15."
    );
    let list = |n: usize| format!("id in ({})", vec!["'1'"; n].join(","));
    assert_eq!(plainly(&list(15)), "1");
    assert!(why(filter(&list(16))).contains("OR' operators: 16"));
    let long = |n: usize| format!("displayName eq '{}'", "x".repeat(n - 17));
    assert_eq!(plainly(&long(8192)), "");
    assert!(why(query(&format!("$filter={}", long(8193)), false)).contains("too long"));
}

#[test]
fn defender_filters_without_ceremony() {
    let incidents =
        |raw: &str| Query::parse(Some(raw), false, &schema::INCIDENT, Shape::Collection);
    let item = json!({"id": "1", "status": "active", "severity": "high", "assignedTo": null, "lastUpdateDateTime": "2026-01-02T00:00:00Z"});
    for (text, wanted) in [
        ("status eq 'Active'", true),
        ("status ne 'resolved' and severity eq 'high'", true),
        ("not(status eq 'active')", false),
        ("lastUpdateDateTime gt 2026-01-01T00:00:00Z", true),
        ("assignedTo eq null", true),
    ] {
        assert_eq!(
            incidents(&format!("$filter={}", encode(text))).unwrap().matches(&item),
            wanted,
            "{text}"
        );
    }
    assert!(
        why(incidents("$filter=status eq 'open'"))
            .contains("The string 'open' is not a valid enumeration type constant.")
    );
    assert!(why(incidents("$filter=nothing eq 'x'")).contains(
        "Could not find a property named 'nothing' on type 'microsoft.graph.security.incident'"
    ));
    assert!(why(incidents("$search=\"displayName:x\"")).contains("'$search' is not supported"));
    let page = incidents("$count=true&$orderby=lastUpdateDateTime desc&$skip=1")
        .unwrap()
        .page([&item, &item].into_iter());
    assert_eq!((page.count, page.items.len()), (Some(2), 1));
}

#[test]
fn search_needs_the_header_and_finds_words() {
    let search = |text: &str, eventual: bool| query(&format!("$search={}", encode(text)), eventual);
    assert_eq!(
        why(search("\"displayName:contoso\"", false)),
        "Request_UnsupportedQuery: Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'"
    );
    for (text, wanted) in [
        ("\"displayName:CONTOSO\"", "1 2"),
        ("\"displayName:por cont\"", "2"),
        ("\"displayName:ontoso\"", ""),
        ("\"displayName:brien\"", "3"),
        ("\"displayName:contoso\" AND \"description:old\"", "2"),
        ("\"displayName:siem\" OR \"description:two\"", "1 3"),
        ("\"displayName:siem\" OR (\"description:old\" AND \"displayName:portal\")", "1 2"),
        ("\"tags:fleet:\"", "1 3"),
        ("\"tags:leet\"", ""),
    ] {
        assert_eq!(ids(&search(text, true).unwrap()), wanted, "{text}");
    }
    for text in ["\"contoso\"", "\"nothing:x\"", "\"notes:x\"", "\"displayName:\""] {
        assert_eq!(
            why(search(text, true)),
            "Request_UnsupportedQuery: Unsupported Query.",
            "{text}"
        );
    }
    for text in [
        "",
        "displayName:x",
        "\"displayName:x",
        "(\"displayName:x\"",
        "\"displayName:x\" AND",
        "\"displayName:x\")",
        "\"displayName:x\\",
    ] {
        assert!(why(search(text, true)).starts_with("BadRequest: "), "{text}");
    }
    assert!(why(search(&"(".repeat(1000), true)).contains("Recursion depth"));
}

#[test]
fn hints_name_what_every_match_meets() {
    use EqualityHint::{AppId, DisplayName, Tag, UniqueName};
    for (text, hint) in [
        ("tags/any(t:t eq 'Fleet')", Some(Tag("fleet".into()))),
        ("appId eq 'ABC'", Some(AppId("abc".into()))),
        ("displayName eq 'Söhne Ö'", Some(DisplayName("söhne ö".into()))),
        ("uniqueName eq 'x' and displayName eq 'y'", Some(UniqueName("x".into()))),
        (
            "signInAudience eq 'x' and (startsWith(displayName,'x') and appId eq 'y')",
            Some(AppId("y".into())),
        ),
        ("appId eq 'x' or appId eq 'y'", None),
        ("not(appId eq 'x')", None),
        ("appId ne 'x'", None),
        ("displayName ge 'x'", None),
        ("displayName eq null", None),
        ("appId in ('x','y')", None),
        ("startsWith(displayName,'x')", None),
        ("identifierUris/any(t:t eq 'x')", None),
        ("tags/any(t:startsWith(t,'x'))", None),
        ("tags/any(t:t eq 'x' or t eq 'y')", None),
    ] {
        assert_eq!(advanced(text).unwrap().filter_hint(), hint, "{text}");
    }
    assert_eq!(query("", false).unwrap().filter_hint(), None);
}
