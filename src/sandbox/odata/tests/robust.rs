//! Whatever comes, there is an answer.

use proptest::prelude::*;

use super::*;
use crate::sandbox::schema::Write;

/// Every word that a filter may hold, and some that it may not.
const WORDS: &[&str] = &[
    "(",
    ")",
    ",",
    "/",
    ":",
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "ge",
    "in",
    "any",
    "all",
    "$count",
    "startsWith",
    "endsWith",
    "contains",
    "displayName",
    "tags",
    "web",
    "redirectUris",
    "createdDateTime",
    "t",
    "nothing",
    "'x'",
    "''",
    "'",
    "5",
    "-1",
    "1.5",
    "true",
    "null",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "aaaaaaaa-0000-0000-0000-000000000001",
    "ö",
    "%",
    "-",
];

/// Any JSON of a small size, with names that the tables know.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        Just(json!("https://contoso.com/[::1]:99999#?*")),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "displayName",
            "web",
            "redirectUris",
            "api",
            "requiredResourceAccess",
            "resourceAppId",
            "resourceAccess",
            "id",
            "type",
            "tags",
            "passwordCredentials",
            "secretText",
            "endDateTime",
            "identifierUris",
            "appRoles",
            "owners@odata.bind",
            "@odata.type",
            "@",
            "a@b",
            "signInAudience",
            "info",
            "customKeyIdentifier",
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn answers(raw: &str, item: &Value) {
    for entity in
        [&schema::APPLICATION, &schema::DIRECTORY_OBJECT, &schema::ORGANIZATION, &schema::INCIDENT]
    {
        for (shape, eventual) in [
            (Shape::Collection, true),
            (Shape::Collection, false),
            (Shape::Single, true),
            (Shape::Count, true),
        ] {
            match Query::parse(Some(raw), eventual, entity, shape) {
                Ok(query) => {
                    query.page([item, item].into_iter());
                    query.filter_hint();
                    query.context_suffix();
                    query.cost(1);
                }
                Err(refusal) => assert!((400..500).contains(&refusal.status)),
            }
        }
    }
}

proptest! {
    #[test]
    fn any_query_string_is_answered(raw in ".{0,80}", item in value()) {
        answers(&raw, &item);
    }

    #[test]
    fn any_value_of_any_option_is_answered(
        option in prop::sample::select(vec!["filter", "search", "orderby", "select", "expand", "top", "skip", "count", "skiptoken"]),
        text in ".{0,60}",
        item in value(),
    ) {
        answers(&format!("${option}={}&$count=true", encode(&text)), &item);
    }

    #[test]
    fn any_heap_of_words_is_answered(words in prop::collection::vec(prop::sample::select(WORDS), 0..24), item in value()) {
        answers(&format!("$filter={}&$count=true", encode(&words.join(" "))), &item);
        answers(&format!("$filter={}&$count=true", encode(&words.concat())), &item);
    }

    #[test]
    fn any_body_is_answered(body in prop::collection::vec((".{0,3}", value()), 0..3), other in value()) {
        let mut bodies: Vec<serde_json::Map<String, Value>> = vec![body.into_iter().collect()];
        bodies.extend(other.as_object().cloned());
        for body in &bodies {
            for write in [Write::Create, Write::Upsert, Write::Update] {
                for entity in [&schema::APPLICATION, &schema::SERVICE_PRINCIPAL, &schema::TENANT_APP_MANAGEMENT_POLICY] {
                    if let Err(refusal) = entity.check_write(body, write) {
                        prop_assert_eq!(refusal.status, 400);
                    }
                }
            }
            let _ = schema::check_application(body);
            let _ = schema::check_password_credential(body, "Application");
            let merged = schema::merge_patch(&schema::application_defaults(), body);
            prop_assert!(merged.contains_key("web"));
        }
    }
}
