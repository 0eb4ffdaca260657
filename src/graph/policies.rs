//! App management policies: what Graph sends of them, and what of it concerns us.
//!
//! <https://learn.microsoft.com/en-us/graph/api/resources/tenantappmanagementpolicy>,
//! <https://learn.microsoft.com/en-us/graph/api/resources/appmanagementpolicy>.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::{
    ids::{Application, ObjectId},
    inventory::{Policy, Restriction, RestrictionKind},
    lifetime::Lifetime,
};

/// The directory's default policy.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Default {
    id: String,
    display_name: Option<String>,
    is_enabled: Option<bool>,
    application_restrictions: Option<Restrictions>,
}

/// A custom policy; its restrictions stand in `restrictions`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Custom {
    id: String,
    display_name: Option<String>,
    is_enabled: Option<bool>,
    restrictions: Option<CustomRestrictions>,
    applies_to: Option<Vec<Member>>,
    /// Where the rest of `appliesTo` is.
    #[serde(rename = "appliesTo@odata.nextLink")]
    pub(super) more: Option<String>,
}

/// An app or service principal that a policy is assigned to.
#[derive(Deserialize)]
pub(super) struct Member {
    id: Option<Uuid>,
}

#[derive(Deserialize, std::default::Default)]
#[serde(rename_all = "camelCase")]
struct Restrictions {
    password_credentials: Option<Vec<Password>>,
    /// Only in beta today; read where it is sent.
    audiences: Option<Audiences>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomRestrictions {
    password_credentials: Option<Vec<Password>>,
    audiences: Option<Audiences>,
    application_restrictions: Option<Restrictions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Password {
    restriction_type: Option<String>,
    state: Option<String>,
    max_lifetime: Option<String>,
    #[serde(default, deserialize_with = "since")]
    restrict_for_apps_created_after_date_time: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audiences {
    azure_ad_multiple_orgs: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audience {
    state: Option<String>,
    #[serde(default, deserialize_with = "since")]
    restrict_for_apps_created_after_date_time: Option<Timestamp>,
}

/// The date from which apps are concerned; the first year stands for all of them.
fn since<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(de)?;
    Ok(text.filter(|text| !text.starts_with("0001-")).and_then(|text| text.parse().ok()))
}

/// Old entries have no state and are enabled.
fn enabled(state: Option<&str>) -> bool {
    state.is_none_or(|state| state == "enabled")
}

impl Default {
    /// The policy, where one was ever set and is in force.
    pub(super) fn policy(self) -> Option<Policy> {
        let Self { id, display_name, is_enabled, application_restrictions } = self;
        (is_enabled == Some(true)).then(|| Policy {
            name: display_name.unwrap_or_else(|| id.clone()),
            id,
            restrictions: application_restrictions.map(Restrictions::read).unwrap_or_default(),
        })
    }
}

impl Custom {
    /// More members, from the next page.
    pub(super) fn add(&mut self, members: Vec<Member>) {
        self.applies_to.get_or_insert_default().extend(members);
    }

    /// The policy, where it is in force, and the apps it is assigned to. An assigned policy
    /// overrides the default even where it restricts nothing.
    pub(super) fn policy(self) -> Option<(Policy, Vec<ObjectId<Application>>)> {
        let Self { id, display_name, is_enabled, restrictions, applies_to, more: _ } = self;
        if is_enabled != Some(true) {
            return None;
        }
        let mut read = Vec::new();
        if let Some(CustomRestrictions {
            password_credentials,
            audiences,
            application_restrictions,
        }) = restrictions
        {
            read = Restrictions { password_credentials, audiences }.read();
            read.extend(application_restrictions.unwrap_or_default().read());
        }
        let policy =
            Policy { name: display_name.unwrap_or_else(|| id.clone()), id, restrictions: read };
        let apps = applies_to.unwrap_or_default().into_iter().filter_map(|member| member.id);
        Some((policy, apps.map(ObjectId::from_uuid).collect()))
    }
}

impl Restrictions {
    fn read(self) -> Vec<Restriction> {
        let Self { password_credentials, audiences } = self;
        let mut read = Vec::new();
        for Password {
            restriction_type,
            state,
            max_lifetime,
            restrict_for_apps_created_after_date_time: apps_created_after,
        } in password_credentials.unwrap_or_default()
        {
            let kind = match restriction_type.as_deref() {
                Some("passwordAddition") => RestrictionKind::NoSecrets,
                Some("passwordLifetime") => match max_lifetime.as_deref().and_then(lifetime) {
                    Some(lifetime) => RestrictionKind::SecretLifetime(lifetime),
                    None => continue,
                },
                // Passwords chosen by the caller and symmetric keys are not ours.
                Some(_) | None => continue,
            };
            if enabled(state.as_deref()) {
                read.push(Restriction { kind, apps_created_after });
            }
        }
        if let Some(Audience { state, restrict_for_apps_created_after_date_time }) =
            audiences.and_then(|audiences| audiences.azure_ad_multiple_orgs)
            && enabled(state.as_deref())
        {
            read.push(Restriction {
                kind: RestrictionKind::NoMultipleOrgs,
                apps_created_after: restrict_for_apps_created_after_date_time,
            });
        }
        read
    }
}

/// An ISO 8601 duration as a calendar span. Hours and less are cut to whole days: a limit may be
/// kept too short, never overstepped.
fn lifetime(text: &str) -> Option<Lifetime> {
    let span: jiff::Span = text.parse().ok()?;
    if span.is_negative() {
        return None;
    }
    let hours = i64::from(span.get_hours()) + span.get_minutes() / 60 + span.get_seconds() / 3600;
    let days = i64::from(span.get_days()) + hours / 24;
    let whole = jiff::Span::new()
        .try_years(span.get_years())
        .and_then(|s| s.try_months(span.get_months()))
        .and_then(|s| s.try_weeks(span.get_weeks()))
        .and_then(|s| s.try_days(days))
        .ok()?;
    Some(Lifetime::new(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_was_never_set_is_none() {
        let unset = r#"{"id":"00000000-0000-0000-0000-000000000000","displayName":"Default app management tenant policy",
            "isEnabled":false,"applicationRestrictions":{"passwordCredentials":[],"keyCredentials":[]}}"#;
        assert_eq!(serde_json::from_str::<Default>(unset).unwrap().policy(), None);
    }

    #[test]
    fn restrictions_in_force_are_read_and_disabled_ones_are_not() {
        let set = r#"{"id":"p","displayName":"P","isEnabled":true,"applicationRestrictions":{
            "passwordCredentials":[
              {"restrictionType":"passwordLifetime","state":"enabled","maxLifetime":"P180D","restrictForAppsCreatedAfterDateTime":"2019-10-19T10:37:00Z"},
              {"restrictionType":"passwordAddition","state":"disabled"},
              {"restrictionType":"passwordAddition","restrictForAppsCreatedAfterDateTime":"0001-01-01T00:00:00Z"},
              {"restrictionType":"symmetricKeyAddition","state":"enabled"}],
            "audiences":{"azureAdMultipleOrgs":{"state":"enabled"}}}}"#;
        let policy = serde_json::from_str::<Default>(set).unwrap().policy().unwrap();
        let found: Vec<_> = policy
            .restrictions
            .iter()
            .map(|r| (format!("{:?}", r.kind), r.apps_created_after.is_some()))
            .collect();
        assert_eq!(
            found,
            [
                ("SecretLifetime(Lifetime(180 days))".to_owned(), true),
                ("NoSecrets".to_owned(), false),
                ("NoMultipleOrgs".to_owned(), false),
            ]
        );
    }

    #[test]
    fn a_custom_policy_names_its_apps() {
        let custom = r#"{"id":"c","isEnabled":true,"appliesTo":[{"id":"0b6d0000-0000-4000-8000-000000000001"},{}],
            "restrictions":{"passwordCredentials":[{"restrictionType":"passwordLifetime","state":"enabled","maxLifetime":"P1Y"}]}}"#;
        let (policy, apps) = serde_json::from_str::<Custom>(custom).unwrap().policy().unwrap();
        assert_eq!((policy.name.as_str(), policy.restrictions.len(), apps.len()), ("c", 1, 1));
    }

    #[test]
    fn durations_become_whole_days_never_more() {
        for (text, wanted) in [
            ("P180D", Some("180 days")),
            ("P1Y6M", Some("1 year 6 months")),
            ("PT36H", Some("1 day")),
            ("P1DT24H", Some("2 days")),
            ("-P1D", None),
            ("soon", None),
        ] {
            assert_eq!(lifetime(text).map(|l| l.to_string()).as_deref(), wanted, "{text}");
        }
    }
}
