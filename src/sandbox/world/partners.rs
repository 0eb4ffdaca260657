//! Delegated admin relationships: what a provider's directory has with customers
//! (<https://learn.microsoft.com/en-us/graph/api/resources/delegatedadminrelationship>).

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use jiff::{Span, Timestamp};
use serde_json::{Map, Value, json};

use crate::sandbox::{
    clock::{graph_time, plus},
    schema::{DELEGATED_ADMIN_RELATIONSHIP, is_guid},
};

/// Checks the relationships of a directory, and completes what may be left out.
///
/// # Errors
/// In words, the first thing that is wrong.
pub(in crate::sandbox) fn check(relationships: &mut [Value]) -> Result<(), String> {
    let mut taken = BTreeSet::new();
    for (i, relationship) in relationships.iter_mut().enumerate() {
        let place = |why: String| format!("delegatedAdminRelationships[{i}]: {why}");
        let members =
            relationship.as_object_mut().ok_or_else(|| place("must be an object".to_owned()))?;
        complete(members);
        check_one(members).map_err(place)?;
        for name in ["id", "displayName"] {
            let text = members[name].as_str().unwrap_or_default().to_lowercase();
            if !taken.insert((name, text)) {
                return Err(place(format!("another one has the same `{name}`")));
            }
        }
    }
    Ok(())
}

fn complete(members: &mut Map<String, Value>) {
    for (name, value) in [
        ("customer", Value::Null),
        ("accessDetails", json!({"unifiedRoles": []})),
        ("autoExtendDuration", json!("PT0S")),
        ("activatedDateTime", Value::Null),
        ("endDateTime", Value::Null),
    ] {
        members.entry(name).or_insert(value);
    }
    let created = members.get("createdDateTime").cloned().unwrap_or_default();
    members.entry("lastModifiedDateTime").or_insert(created);
}

fn check_one(members: &Map<String, Value>) -> Result<(), String> {
    DELEGATED_ADMIN_RELATIONSHIP.check_whole(members)?;
    let text = |name: &str| members[name].as_str().unwrap_or_default();
    if text("id").is_empty() || text("id").contains(['/', '(', ')']) {
        return Err(format!("`{}` is no id", text("id")));
    }
    if text("displayName").trim().is_empty() {
        return Err("`displayName` is empty".to_owned());
    }
    if !lasts_a_day_to_two_years(text("duration")) {
        return Err(format!("`duration` {} is not between P1D and P2Y", text("duration")));
    }
    if !["P0D", "PT0S", "P180D"].contains(&text("autoExtendDuration")) {
        return Err("`autoExtendDuration` must be P0D, PT0S or P180D".to_owned());
    }
    let roles = members["accessDetails"]["unifiedRoles"].as_array().into_iter().flatten();
    let ids = roles
        .map(|role| ("roleDefinitionId", &role["roleDefinitionId"]))
        .chain(members["customer"].as_object().map(|customer| ("tenantId", &customer["tenantId"])));
    for (name, id) in ids {
        if !id.as_str().is_some_and(is_guid) {
            return Err(format!("`{name}` {id} is no GUID"));
        }
    }
    let status = text("status");
    let (customer, activated, ends) = (
        members["customer"].is_object(),
        members["activatedDateTime"].is_string(),
        members["endDateTime"].is_string(),
    );
    match status {
        "created" | "approvalPending" | "approved" | "activating" if activated || ends => {
            Err(format!("one that is {status} was not activated yet and has no end"))
        }
        "active" | "expiring" | "expired" if !(activated && ends) => {
            Err(format!("one that is {status} has an `activatedDateTime` and an `endDateTime`"))
        }
        // Nobody has approved it yet: it may be open to whoever gets the link.
        "created" | "approvalPending" => Ok(()),
        _ if !customer => Err(format!("one that is {status} has a `customer`")),
        _ => Ok(()),
    }
}

fn lasts_a_day_to_two_years(duration: &str) -> bool {
    // Any day that no leap year is near to.
    let from = Timestamp::from_second(1_767_225_600).unwrap_or_default();
    let after = |span: Span| plus(from, span);
    let end = duration.parse().ok().and_then(after);
    end >= after(Span::new().days(1)) && end <= after(Span::new().years(2)) && end.is_some()
}

/// A relationship as it is at this time: an active one whose end has come is extended or expired.
pub(in crate::sandbox) fn at(relationship: &Value, now: Timestamp) -> Value {
    let mut item = relationship.clone();
    let end = item["endDateTime"].as_str().and_then(|end| end.parse::<Timestamp>().ok());
    if let Some(mut end) = end.filter(|_| item["status"] == "active") {
        let extension = match item["autoExtendDuration"].as_str() {
            Some("P180D") => Some(Span::new().days(180)),
            Some(_) | None => None,
        };
        while end <= now {
            match extension.and_then(|extension| plus(end, extension)) {
                Some(later) => end = later,
                None => {
                    item["status"] = "expired".into();
                    item["lastModifiedDateTime"] = graph_time(end).into();
                    break;
                }
            }
        }
        item["endDateTime"] = graph_time(end).into();
    }
    let mut hasher = DefaultHasher::new();
    item.to_string().hash(&mut hasher);
    item["@odata.type"] = "#microsoft.graph.delegatedAdminRelationship".into();
    item["@odata.etag"] = format!("W/\"{:016x}\"", hasher.finish()).into();
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relationship() -> Value {
        json!({
            "id": "5d027261-d21f-4aa9-b7db-7fa1f56fb163-8777b240-c6f0-4469-9e98-a3205431b836",
            "displayName": "Contoso relationship", "duration": "P730D",
            "customer": {"tenantId": "6f1c0f5e-0000-4000-8000-000000000001", "displayName": "Contoso"},
            "status": "active", "createdDateTime": "2026-01-01T00:00:00Z",
            "activatedDateTime": "2026-01-02T00:00:00Z", "endDateTime": "2028-01-02T00:00:00Z",
        })
    }

    #[test]
    fn what_may_be_left_out_is_completed_and_the_rest_is_checked() {
        let mut good = [relationship()];
        check(&mut good).unwrap();
        assert_eq!(good[0]["autoExtendDuration"], "PT0S");
        assert_eq!(good[0]["lastModifiedDateTime"], "2026-01-01T00:00:00Z");
        for (name, value, word) in [
            ("status", json!("sleeping"), "sleeping"),
            ("status", json!("unknownFutureValue"), "unknownFutureValue"),
            ("status", json!("approvalPending"), "not activated"),
            ("duration", json!("P731D"), "P2Y"),
            ("duration", json!("PT1H"), "P1D"),
            ("duration", json!("two years"), "duration"),
            ("duration", Value::Null, "duration"),
            ("autoExtendDuration", json!("P90D"), "P180D"),
            ("customer", json!({"tenantId": "contoso"}), "tenantId"),
            ("customer", json!({"displayName": "Contoso"}), "customer"),
            ("customer", Value::Null, "customer"),
            ("endDateTime", Value::Null, "endDateTime"),
            ("endDateTime", json!("-P3D"), "endDateTime"),
            ("displayName", json!("x".repeat(51)), "displayName"),
            ("displayName", json!(" "), "displayName"),
            ("id", json!("a/b"), "a/b"),
            ("colour", json!("red"), "colour"),
            (
                "accessDetails",
                json!({"unifiedRoles": [{"roleDefinitionId": "x"}]}),
                "roleDefinitionId",
            ),
            ("createdDateTime", Value::Null, "createdDateTime"),
        ] {
            let mut bad = relationship();
            bad[name] = value.clone();
            let why = check(&mut [bad]).unwrap_err();
            assert!(why.contains(word), "{name} {value}: {why}");
        }
        let mut open = relationship();
        for name in ["customer", "activatedDateTime", "endDateTime"] {
            open[name] = Value::Null;
        }
        open["status"] = "created".into();
        check(&mut [open]).unwrap();
        let why = check(&mut [relationship(), relationship()]).unwrap_err();
        assert!(why.contains("[1]") && why.contains("same `id`"), "{why}");
        assert!(check(&mut [json!("x")]).is_err());
    }

    #[test]
    fn time_ends_or_extends_what_is_active() {
        let now = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut list = [relationship()];
        check(&mut list).unwrap();
        let [mut item] = list;
        assert_eq!(at(&item, now("2028-01-01T23:59:59Z"))["status"], "active");
        let over = at(&item, now("2028-01-02T00:00:00Z"));
        assert_eq!(
            (&over["status"], &over["endDateTime"]),
            (&json!("expired"), &item["endDateTime"])
        );
        item["autoExtendDuration"] = "P180D".into();
        let extended = at(&item, now("2028-07-01T00:00:00Z"));
        assert_eq!(extended["status"], "active");
        assert_eq!(extended["endDateTime"], "2028-12-27T00:00:00Z");
        assert_ne!(extended["@odata.etag"], at(&item, now("2028-01-01T00:00:00Z"))["@odata.etag"]);
    }
}
