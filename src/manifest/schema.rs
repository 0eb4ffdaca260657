//! The JSON Schema of a manifest file, made of the same table as the parser.

use serde_json::{Map, Value, json};

use crate::{ids::FleetName, ids::TenantKey};

use super::{
    read::Read,
    sections::{Home, Operator, SharedFields, TenantFields, Vault, described},
    words::VersionOne,
};

/// The JSON Schema (draft 2020-12) of one file of a manifest. It knows the fields and the forms of
/// their values; the rules between fields only the parser knows.
pub fn json_schema() -> Value {
    let mut fields = Map::new();
    let mut add = |name: &str, schema: Value, about: &str| {
        fields.insert(name.to_owned(), described(schema, about));
    };
    add("version", VersionOne::schema(), "The version of this format.");
    add(
        "fleet",
        FleetName::schema(),
        "Names this set of customers; part of every app's key, so it cannot change later.",
    );
    add("home", Home::schema(), "The provider's directory.");
    add(
        "vault",
        Vault::schema(),
        "Where secrets and tokens are kept: a folder of encrypted files, or an Azure Key Vault.",
    );
    add("operator", Operator::schema(), "How the operator works in customers' directories.");
    add(
        "defaults",
        json!({ "$ref": "#/$defs/tenant" }),
        "What holds for all tenants unless they say otherwise: lists replace, maps merge.",
    );
    add(
        "sharedApps",
        keyed(SharedFields::schema()),
        "Apps that many tenants use, each under its key.",
    );
    add(
        "tenants",
        keyed(json!({ "$ref": "#/$defs/tenant" })),
        "The customers, each under its key.",
    );
    let header = ["fleet", "home", "vault"];
    let elsewhere: Vec<_> = ["fleet", "home", "vault", "operator", "defaults", "sharedApps"]
        .iter()
        .map(|name| json!({ "required": [name] }))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tenantry manifest",
        "type": "object",
        "required": ["version"],
        "additionalProperties": false,
        "properties": fields,
        // One file has the header, the others only tenants.
        "anyOf": [{ "required": header }, { "not": { "anyOf": elsewhere } }],
        "$defs": { "tenant": TenantFields::schema() },
    })
}

fn keyed(schema: Value) -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": {
            "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$",
            "maxLength": TenantKey::LONGEST,
        },
        "additionalProperties": schema,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_says_what_it_is() {
        fn walk(schema: &Value, path: &str) {
            let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return };
            for (name, field) in fields {
                let about = field.get("description").and_then(Value::as_str).unwrap_or_default();
                assert!(about.len() > 5, "{path}.{name} has no description");
                walk(field, &format!("{path}.{name}"));
            }
        }
        let schema = json_schema();
        walk(&schema, "manifest");
        walk(&schema["$defs"]["tenant"], "tenant");
    }
}
