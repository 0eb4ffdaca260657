//! A manifest from the contracts that a provider already has: its delegated admin relationships.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    cloud::CloudName,
    ids::{FleetName, TenantId},
    text::one_line,
};

use super::{
    domain::Domain,
    entry::{fields_of, head_of, key_of},
    parse,
    read::Leaf,
    starter::starter_in,
};

/// A contract that ends within this time is marked.
const SOON: SignedDuration = SignedDuration::from_hours(60 * 24);
/// The most characters of a name that are taken: with what the defaults add, an app's display name
/// has no more than 120.
const LONGEST_NAME: usize = 90;
/// The most contracts that are named in comments: a reader gives up on a comment without end.
const MOST_NAMED: usize = 200;
/// A longer domain leaves no room for the path of a redirect URI.
const LONGEST_DOMAIN: usize = 200;

/// A customer with whom a contract is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// The customer's directory.
    pub tenant: TenantId,
    /// Its display name, as the directory has it.
    pub name: String,
    /// Its default domain, where that could be looked up.
    pub domain: Option<String>,
    /// When it ends, where it ends by itself.
    pub ends: Option<Timestamp>,
}

/// A customer with whom no contract is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// The customer's directory, where the contract names one.
    pub tenant: Option<TenantId>,
    /// The customer's name, or that of the contract.
    pub name: String,
    /// What it is instead of active.
    pub status: String,
}

impl Contract {
    /// When it ends, where that is soon.
    pub fn ends_soon(&self, now: Timestamp) -> Option<Timestamp> {
        self.ends.filter(|end| end.duration_since(now) < SOON)
    }

    /// Its name in one line, as the manifest has it; the directory's id where nothing is left of it.
    pub fn shown_name(&self) -> String {
        match plain(&self.name, LONGEST_NAME) {
            name if name.is_empty() => self.tenant.to_string(),
            name => name,
        }
    }

    /// Its domain, where a manifest takes it.
    pub fn sound_domain(&self) -> Option<String> {
        let Domain(domain) = Domain::take(self.domain.clone()?).ok()?;
        (domain.len() <= LONGEST_DOMAIN).then_some(domain)
    }

    fn entry(&self, now: Timestamp, taken: &mut BTreeSet<String>) -> String {
        let (name, domain) = (self.shown_name(), self.sound_domain());
        let of_domain = domain.as_deref().and_then(|domain| domain.split('.').next());
        let mut text = head_of(&key_of([Some(self.name.as_str()), of_domain], taken));
        if let Some(end) = self.ends_soon(now) {
            let verb = if end <= now { "ended" } else { "ends" };
            let day = end.strftime("%Y-%m-%d");
            text.push_str(&format!("    # the delegated admin relationship {verb} on {day}\n"));
        }
        let id = Some(("id", self.tenant.to_string()));
        let domain = domain.map(|domain| ("domain", domain));
        let fields: BTreeMap<_, _> =
            [Some(("name", name)), domain, id].into_iter().flatten().collect();
        text.push_str(&fields_of(&fields));
        text
    }
}

impl NotTaken {
    fn line(&self) -> String {
        let Self { tenant, name, status } = self;
        let id = tenant.map_or_else(|| "no customer yet".to_owned(), |id| id.to_string());
        format!("  #   {} ({id}): {}\n", plain(name, LONGEST_NAME), plain(status, 40))
    }
}

/// A text in one line, without what YAML's readers do not take or take differently.
fn plain(text: &str, most: usize) -> String {
    one_line(&text.replace(['\u{fffe}', '\u{ffff}'], ""), most)
}

/// Makes a manifest of contracts: a tenant for each that is active, a comment for each that is not.
///
/// # Errors
/// What is wrong, a line each: a `home` that is no directory, or what the cloud does not offer.
pub fn of_contracts(
    fleet: &FleetName,
    home: &str,
    cloud: CloudName,
    now: Timestamp,
    contracts: &[Contract],
    others: &[NotTaken],
) -> Result<String, Vec<String>> {
    let head = starter_in(fleet, home, cloud).map_err(|why| vec![why])?;
    let (head, _) = head.split_once("\ntenants:").unwrap_or((&head, ""));
    let mut text = format!(
        "{head}\n# Who had an active delegated admin relationship on {}.\ntenants:\n",
        now.strftime("%Y-%m-%d")
    );
    // The same contracts give the same file, in whatever order they are told.
    let mut sorted: Vec<&Contract> = contracts.iter().collect();
    sorted.sort_by_cached_key(|contract| (contract.name.to_lowercase(), contract.tenant));
    let mut taken = BTreeSet::new();
    for contract in sorted {
        text.push_str(&contract.entry(now, &mut taken));
    }
    if !others.is_empty() {
        text.push_str("\n  # Not taken, for the relationship is not active:\n");
        let mut lines: Vec<String> = others.iter().map(NotTaken::line).collect();
        lines.sort();
        let more = lines.len().saturating_sub(MOST_NAMED);
        text.extend(lines.into_iter().take(MOST_NAMED));
        if more > 0 {
            text.push_str(&format!("  #   and {more} more\n"));
        }
    }
    match parse(vec![(PathBuf::from("tenantry.yaml"), text.clone().into_bytes())]) {
        Ok(_) => Ok(text),
        Err(mistakes) => Err(mistakes.list().iter().map(|mistake| mistake.sentence()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy as _;

    use super::*;
    use crate::manifest::Manifest;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn contract(n: u8, name: &str, domain: Option<&str>) -> Contract {
        Contract {
            tenant: format!("6f1c0f5e-0000-4000-8000-0000000000{n:02}").parse().unwrap(),
            name: name.to_owned(),
            domain: domain.map(str::to_owned),
            ends: None,
        }
    }

    fn not_taken(name: &str, status: &str) -> NotTaken {
        NotTaken { tenant: None, name: name.to_owned(), status: status.to_owned() }
    }

    fn made(contracts: &[Contract], others: &[NotTaken]) -> (String, Manifest) {
        let fleet = "acme-soc".parse().unwrap();
        let text =
            of_contracts(&fleet, "acme-soc.example", CloudName::Global, now(), contracts, others)
                .unwrap_or_else(|why| panic!("{why:?}"));
        let manifest = parse(vec![(PathBuf::from("t.yaml"), text.clone().into_bytes())]).unwrap();
        (text, manifest)
    }

    fn keys(contracts: &[Contract]) -> Vec<String> {
        made(contracts, &[]).1.tenants.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn contracts_become_a_manifest() {
        let mut soon = contract(2, "Fabrikam", Some("FABRIKAM.onmicrosoft.com"));
        soon.ends = Some("2026-12-14T08:00:00Z".parse().unwrap());
        let mut later = contract(1, "Contoso", None);
        later.ends = Some("2027-12-14T08:00:00Z".parse().unwrap());
        let mut over = contract(3, "Over", None);
        over.ends = Some("2026-11-20T08:00:00Z".parse().unwrap());
        let others = [not_taken("Zeta", "expired"), not_taken("Globex", "approvalPending")];
        let (text, manifest) = made(&[soon, later, over], &others);
        assert_eq!(text.matches("the delegated admin relationship").count(), 2, "{text}");
        assert!(text.contains("relationship ends on 2026-12-14\n    name: \"Fabrikam\""), "{text}");
        assert!(text.contains("relationship ended on 2026-11-20\n"), "{text}");
        assert!(
            text.contains("had an active delegated admin relationship on 2026-11-23."),
            "{text}"
        );
        let (globex, zeta) = (text.find("Globex").unwrap(), text.find("Zeta").unwrap());
        assert!(
            globex < zeta && text.contains("  #   Globex (no customer yet): approvalPending\n")
        );
        let fabrikam = &manifest.tenants[&"fabrikam".parse().unwrap()];
        assert_eq!(fabrikam.domain.as_deref(), Some("fabrikam.onmicrosoft.com"));
        assert_eq!(fabrikam.id.unwrap().to_string(), "6f1c0f5e-0000-4000-8000-000000000002");
        let contoso = &manifest.tenants[&"contoso".parse().unwrap()];
        assert_eq!((contoso.name.as_str(), contoso.domain.as_ref()), ("Contoso", None));
    }

    #[test]
    fn keys_are_made_of_names_and_the_order_of_the_answer_does_not_matter() {
        let list = [
            contract(1, "Acme 24/7 GmbH", Some("x.example")),
            contract(2, "acme 24-7 gmbh", None),
            contract(3, "株式会社", Some("jp.example")),
            contract(4, "株式会社", None),
            contract(5, "No", None),
            contract(6, "1e5", None),
        ];
        let found = keys(&list);
        assert_eq!(found, ["1e5", "acme-24-7-gmbh", "acme-24-7-gmbh-2", "jp", "no", "tenant"]);
        let backwards: Vec<Contract> = list.iter().rev().cloned().collect();
        assert_eq!(made(&backwards, &[]).0, made(&list, &[]).0);
    }

    #[test]
    fn hostile_names_stay_in_their_fields_and_comments() {
        for name in [
            "a\n  evil:\n    name: x",
            "\"}\n",
            "x: y",
            "- x",
            "# x",
            "&a *a !!str |",
            "{domain} {nobody} }",
            "\u{202e}evil\u{2066}",
            "\u{2028}\u{85}\u{feff}\u{0}\u{7f}\u{1b}[2J",
            "\u{fffe}\u{ffff}\u{10ffff}",
            "\r\n\ttab",
            "...\n---\n",
            "",
            " ",
            "null",
        ] {
            let list = [contract(1, name, None)];
            let others = [not_taken(name, name)];
            let (text, manifest) = made(&list, &others);
            assert_eq!(manifest.tenants.len(), 1, "{text}");
            assert_eq!(manifest.tenants.values().next().unwrap().name, list[0].shown_name());
            let steering = text.chars().filter(|c| *c != '\n').any(crate::text::steers);
            assert!(!steering, "{name:?}: {text}");
        }
        let long = [contract(1, &"ü".repeat(5000), Some("a.example"))];
        assert_eq!(made(&long, &[]).1.tenants.len(), 1);
    }

    #[test]
    fn years_of_ended_contracts_leave_a_file_that_can_be_read() {
        let others: Vec<_> =
            (0..5000).map(|n| not_taken(&format!("{n} {}", "語".repeat(90)), "expired")).collect();
        let (text, _) = made(&[contract(1, "A", None)], &others);
        assert!(text.contains("  #   and 4800 more\n"), "{}", text.len());
    }

    #[test]
    fn a_domain_that_is_none_is_left_out() {
        for domain in ["", "not a domain", "a.example/x", "x", "bücher.example", "a\n.example"] {
            let (text, manifest) = made(&[contract(1, "A", Some(domain))], &[]);
            assert!(text.contains("redirectUris: []    # no domain"), "{domain}: {text}");
            assert_eq!(manifest.tenants.values().next().unwrap().domain, None);
        }
        let long = format!("{}.example", vec!["a".repeat(60); 4].join("."));
        assert!(made(&[contract(1, "A", Some(&long))], &[]).0.contains("redirectUris: []    #"));
    }

    #[test]
    fn the_cloud_is_written_and_one_without_defender_is_refused() {
        let fleet = "acme-soc".parse().unwrap();
        let list = [contract(1, "A", None)];
        let made = |cloud, home| of_contracts(&fleet, home, cloud, now(), &list, &[]);
        let text = made(CloudName::GccHigh, "a.example").unwrap();
        let manifest = parse(vec![(PathBuf::from("t.yaml"), text.into_bytes())]).unwrap();
        assert_eq!(manifest.home.cloud, CloudName::GccHigh);
        assert!(!made(CloudName::China, "a.example").unwrap_err().is_empty());
        assert!(made(CloudName::Global, "not a directory").is_err());
    }

    /// Any characters at all, control characters among them.
    fn any_text() -> impl proptest::strategy::Strategy<Value = String> {
        proptest::collection::vec(proptest::char::any(), 0..60)
            .prop_map(|characters| characters.into_iter().collect())
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_customer_is_called_it_is_one_tenant(
            name in any_text(), other in any_text(), status in any_text(), domain in any_text(),
        ) {
            let list = [contract(1, &name, Some(&domain)), contract(2, "B", None)];
            let (_, manifest) = made(&list, &[not_taken(&other, &status)]);
            proptest::prop_assert_eq!(manifest.tenants.len(), 2);
            let ids: BTreeSet<_> = manifest.tenants.values().map(|t| t.id.unwrap()).collect();
            proptest::prop_assert_eq!(ids, list.iter().map(|c| c.tenant).collect());
            let found = manifest.tenants.values().find(|t| t.id == Some(list[0].tenant)).unwrap();
            proptest::prop_assert_eq!(&found.name, &list[0].shown_name());
        }
    }
}
