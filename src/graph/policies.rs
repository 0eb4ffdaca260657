//! App management policies: what Graph sends of them, and what of it concerns us. Audiences and
//! redirect URIs stand in its beta alone.
//!
//! <https://learn.microsoft.com/en-us/graph/api/resources/tenantappmanagementpolicy>,
//! <https://learn.microsoft.com/en-us/graph/api/resources/appmanagementpolicy>.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::{
    ids::{Application, ObjectId},
    inventory::{Policy, RedirectRule, Restriction, RestrictionKind},
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
    password_credentials: Option<Vec<Entry>>,
    key_credentials: Option<Vec<Entry>>,
    audiences: Option<Audiences>,
    redirect_uris: Option<Redirects>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomRestrictions {
    password_credentials: Option<Vec<Entry>>,
    key_credentials: Option<Vec<Entry>>,
    application_restrictions: Option<Restrictions>,
}

/// A restriction of one kind of credential.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    restriction_type: Option<String>,
    max_lifetime: Option<String>,
    #[serde(flatten)]
    reach: Reach,
}

/// Whom a restriction concerns, if it is in force at all.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reach {
    state: Option<String>,
    #[serde(default, deserialize_with = "since")]
    restrict_for_apps_created_after_date_time: Option<Timestamp>,
    exclude_actors: Option<Exemptions>,
}

/// <https://learn.microsoft.com/en-us/graph/api/resources/appmanagementpolicyactorexemptions>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exemptions {
    custom_security_attributes: Option<Vec<Exemption>>,
}

#[derive(Deserialize)]
struct Exemption {
    id: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audiences {
    azure_ad_multiple_orgs: Option<Reach>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Redirects {
    uri_without_allowed_scheme: Option<Redirect>,
    uri_with_blocked_scheme: Option<Redirect>,
    uri_without_allowed_domain: Option<Redirect>,
    uri_with_blocked_domain: Option<Redirect>,
}

/// One rule about redirect URIs, whichever; ours are all of the platform `web`.
#[derive(Deserialize)]
struct Redirect {
    #[serde(flatten)]
    lists: Lists,
    web: Option<Lists>,
    #[serde(flatten)]
    reach: Reach,
}

#[derive(Deserialize, std::default::Default)]
#[serde(rename_all = "camelCase")]
struct Lists {
    allowed_schemes: Option<Vec<String>>,
    blocked_schemes: Option<Vec<String>>,
    exempt_formats: Option<Vec<String>>,
    allowed_domains: Option<Vec<String>>,
    blocked_domains: Option<Vec<String>>,
}

impl Redirect {
    /// What holds for every platform and what holds for ours, together.
    fn restricts(
        self,
        list: fn(&mut Lists) -> &mut Option<Vec<String>>,
        kind: impl FnOnce(BTreeSet<String>, BTreeSet<String>) -> RedirectRule,
    ) -> Option<Restriction> {
        let Self { mut lists, web, reach } = self;
        let mut web = web.unwrap_or_default();
        let mut both = |of: fn(&mut Lists) -> &mut Option<Vec<String>>| {
            let mine = of(&mut lists).take().unwrap_or_default();
            mine.into_iter().chain(of(&mut web).take().unwrap_or_default()).collect()
        };
        let (listed, exempt) = (both(list), both(|lists| &mut lists.exempt_formats));
        reach.restricts(RestrictionKind::RedirectUris(kind(listed, exempt)))
    }
}

impl Redirects {
    fn read(self) -> impl Iterator<Item = Restriction> {
        let Self {
            uri_without_allowed_scheme,
            uri_with_blocked_scheme,
            uri_without_allowed_domain,
            uri_with_blocked_domain,
        } = self;
        let only_schemes = |schemes, _| RedirectRule::OnlySchemes(schemes);
        let not_schemes = |schemes, exempt| RedirectRule::NotSchemes { schemes, exempt };
        let only_domains = |domains, _| RedirectRule::OnlyDomains(domains);
        let not_domains = |domains, _| RedirectRule::NotDomains(domains);
        [
            uri_without_allowed_scheme
                .and_then(|r| r.restricts(|lists| &mut lists.allowed_schemes, only_schemes)),
            uri_with_blocked_scheme
                .and_then(|r| r.restricts(|lists| &mut lists.blocked_schemes, not_schemes)),
            uri_without_allowed_domain
                .and_then(|r| r.restricts(|lists| &mut lists.allowed_domains, only_domains)),
            uri_with_blocked_domain
                .and_then(|r| r.restricts(|lists| &mut lists.blocked_domains, not_domains)),
        ]
        .into_iter()
        .flatten()
    }
}

/// The date from which apps are concerned; the first year stands for all of them.
fn since<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(de)?;
    Ok(text.filter(|text| !text.starts_with("0001-")).and_then(|text| text.parse().ok()))
}

impl Reach {
    /// The restriction, where it is in force. Old entries have no state and are enabled.
    fn restricts(self, kind: RestrictionKind) -> Option<Restriction> {
        let Self { state, restrict_for_apps_created_after_date_time, exclude_actors } = self;
        let exemptions = exclude_actors.and_then(|actors| actors.custom_security_attributes);
        state.is_none_or(|state| state == "enabled").then(|| Restriction {
            kind,
            apps_created_after: restrict_for_apps_created_after_date_time,
            exempt: exemptions.unwrap_or_default().into_iter().map(Exemption::words).collect(),
        })
    }
}

impl Exemption {
    fn words(self) -> String {
        let Self { id, value } = self;
        match (id, value) {
            (Some(id), Some(value)) => format!("{id} = {value}"),
            (Some(name), None) | (None, Some(name)) => name,
            (None, None) => "an attribute without a name".to_owned(),
        }
    }
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
            key_credentials,
            application_restrictions,
        }) = restrictions
        {
            read =
                Restrictions { password_credentials, key_credentials, ..Restrictions::default() }
                    .read();
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
        let Self { password_credentials, key_credentials, audiences, redirect_uris } = self;
        let passwords = password_credentials.unwrap_or_default().into_iter();
        let keys = key_credentials.unwrap_or_default().into_iter();
        let mut read: Vec<Restriction> = passwords
            .filter_map(Entry::of_passwords)
            .chain(keys.filter_map(Entry::of_keys))
            .collect();
        let multiple = audiences.and_then(|audiences| audiences.azure_ad_multiple_orgs);
        read.extend(multiple.and_then(|reach| reach.restricts(RestrictionKind::NoMultipleOrgs)));
        read.extend(redirect_uris.into_iter().flat_map(Redirects::read));
        read
    }
}

impl Entry {
    fn of_passwords(self) -> Option<Restriction> {
        let Self { restriction_type, max_lifetime, reach } = self;
        let kind = match restriction_type.as_deref() {
            Some("passwordAddition") => RestrictionKind::NoSecrets,
            Some("passwordLifetime") => {
                RestrictionKind::SecretLifetime(max_lifetime.as_deref().and_then(lifetime)?)
            }
            // Passwords chosen by the caller and symmetric keys are not ours.
            Some(_) | None => return None,
        };
        reach.restricts(kind)
    }

    fn of_keys(self) -> Option<Restriction> {
        let Self { restriction_type, max_lifetime, reach } = self;
        let kind = match restriction_type.as_deref() {
            Some("asymmetricKeyLifetime") => {
                RestrictionKind::CertificateLifetime(max_lifetime.as_deref().and_then(lifetime)?)
            }
            Some("trustedCertificateAuthority") => RestrictionKind::TrustedCertificates,
            Some(_) | None => return None,
        };
        reach.restricts(kind)
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
        let set = r##"{"id":"p","displayName":"P","isEnabled":true,"applicationRestrictions":{
            "passwordCredentials":[
              {"restrictionType":"passwordLifetime","state":"enabled","maxLifetime":"P180D","restrictForAppsCreatedAfterDateTime":"2019-10-19T10:37:00Z"},
              {"restrictionType":"passwordAddition","state":"disabled"},
              {"restrictionType":"passwordAddition","restrictForAppsCreatedAfterDateTime":"0001-01-01T00:00:00Z"},
              {"restrictionType":"customPasswordAddition","state":"enabled"},
              {"restrictionType":"symmetricKeyAddition","state":"enabled"},
              {"restrictionType":"symmetricKeyLifetime","state":"enabled","maxLifetime":"P1D"}],
            "keyCredentials":[
              {"restrictionType":"asymmetricKeyLifetime","state":"enabled","maxLifetime":"P90D","excludeActors":{"customSecurityAttributes":[
                {"@odata.type":"#microsoft.graph.customSecurityAttributeStringValueExemption","id":"Exempt_Apps","operator":"equals","value":"yes"}]}},
              {"restrictionType":"trustedCertificateAuthority","state":"enabled","certificateBasedApplicationConfigurationIds":["a"]},
              {"restrictionType":"asymmetricKeyLifetime","state":"disabled","maxLifetime":"P1D"}],
            "audiences":{"azureAdMultipleOrgs":{"state":"enabled"}},
            "redirectUris":{
              "uriWithoutAllowedScheme":{"state":"enabled","allowedSchemes":["https"],"web":{"allowedSchemes":["http"]},"spa":{"allowedSchemes":["*"]}},
              "uriWithBlockedScheme":{"state":"disabled","blockedSchemes":["https"]},
              "uriWithoutAllowedDomain":{"state":"enabled","restrictForAppsCreatedAfterDateTime":"2026-01-01T00:00:00Z","allowedDomains":["a.example"],"web":null},
              "uriWithBlockedDomain":null,
              "uriWithWildcard":{"state":"enabled","excludeFormats":{"excludeWildcardsInPath":true}}}}}"##;
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
                ("CertificateLifetime(Lifetime(90 days))".to_owned(), false),
                ("TrustedCertificates".to_owned(), false),
                ("NoMultipleOrgs".to_owned(), false),
                (r#"RedirectUris(OnlySchemes({"http", "https"}))"#.to_owned(), false),
                (r#"RedirectUris(OnlyDomains({"a.example"}))"#.to_owned(), true),
            ]
        );
        let exempt: Vec<_> = policy.restrictions.iter().flat_map(|r| &r.exempt).collect();
        assert_eq!(exempt, ["Exempt_Apps = yes"]);
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
