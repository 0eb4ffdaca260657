//! Never falsely green, never falsely red: over generated worlds, what `status` says is what the
//! world is, and the portal's list is what the records say.

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::{Value, json};
use tenantry::sandbox::Options;

use crate::{
    people::tenant,
    support::{Stage, directory_mut, list},
};

/// How many worlds are looked at; each is one apply and some commands more.
const WORLDS: u32 = 12;

/// The provider's directory in the sandbox's seed.
const HOME: &str = "6f1c0f5e-0000-4000-8000-000000000100";

/// A customer as the world has it.
#[derive(Debug, Clone)]
struct Customer {
    connector: &'static str,
    administrator: &'static str,
    analyst: &'static str,
    defender: &'static str,
    /// What happens after everybody has answered.
    later: Later,
    portal: Said,
}

/// What happens to a customer behind our back.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Later {
    Nothing,
    /// The enterprise application is switched off.
    SwitchedOff,
    /// All that was granted is taken back.
    Withdrawn,
    /// The analyst's sessions are revoked.
    Revoked,
    /// A policy blocks the sign-in.
    Blocked,
    /// The app is deleted for good, and the next apply makes a new one.
    Remade,
    /// The API answers what nobody can read.
    Garbled,
}

/// What somebody said of the portal step, where anybody did.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    Nothing,
    Authorized,
    PageMissing,
    Refused,
    Withdrawn,
}

fn customer() -> impl Strategy<Value = Customer> {
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    (
        word(&["graph-security", "defender-xdr", "mssp-siem", "mssp-siem"]),
        word(&["accepts", "accepts", "accepts", "declines", "absent"]),
        word(&["signs-in", "signs-in", "absent"]),
        word(&["provisioned", "provisioned", "not-provisioned"]),
        prop::sample::select(vec![
            Later::Nothing,
            Later::Nothing,
            Later::SwitchedOff,
            Later::Withdrawn,
            Later::Revoked,
            Later::Blocked,
            Later::Remade,
            Later::Garbled,
        ]),
        prop::sample::select(vec![
            Said::Nothing,
            Said::Authorized,
            Said::PageMissing,
            Said::Refused,
            Said::Withdrawn,
        ]),
    )
        .prop_map(|(connector, administrator, analyst, defender, later, portal)| Customer {
            connector,
            administrator,
            analyst,
            defender,
            later,
            portal,
        })
}

impl Customer {
    fn delegated(&self) -> bool {
        self.connector == "mssp-siem"
    }

    fn consented(&self) -> bool {
        self.administrator == "accepts"
    }

    fn signed_in(&self) -> bool {
        self.delegated() && self.consented() && self.analyst == "signs-in"
    }

    /// Whether incidents can be read, by what happened to this customer.
    fn reads(&self) -> bool {
        let by_user = |hurts: bool| !self.delegated() || !hurts;
        self.consented()
            && (!self.delegated() || self.signed_in())
            && self.defender == "provisioned"
            && !matches!(self.later, Later::SwitchedOff | Later::Withdrawn | Later::Remade)
            && by_user(matches!(self.later, Later::Revoked | Later::Blocked))
    }

    /// What was said of one app says nothing of its successor.
    fn needs_portal(&self) -> bool {
        let said = matches!(self.portal, Said::Authorized | Said::PageMissing);
        self.delegated() && (!said || self.later == Later::Remade)
    }

    /// Nobody can know whether incidents can be read: what would say so cannot be understood.
    fn unknowable(&self) -> bool {
        self.reads() && self.later == Later::Garbled
    }
}

fn manifest(customers: &[Customer]) -> String {
    let mut text = "\
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  redirectUris: ['https://siem.acme-soc.example/{key}']
tenants:
"
    .to_owned();
    for (i, customer) in customers.iter().enumerate() {
        text.push_str(&format!(
            "  c{i}: {{name: Customer {i}, domain: c{i}.example, connector: {}, signInAs: {}}}\n",
            customer.connector,
            reader(i)
        ));
    }
    text
}

fn world_of(stage: &Stage, customers: &[Customer]) {
    stage.change_world(|world| {
        for (i, customer) in customers.iter().enumerate() {
            world["directories"].as_array_mut().unwrap().push(json!({
                "id": directory(i),
                "name": format!("Customer {i}"),
                "domains": [format!("c{i}.example")],
                "people": {
                    "administrator": customer.administrator,
                    "analyst": customer.analyst,
                    "defender": customer.defender,
                },
                "users": [{
                    "id": format!("6f1c0f5e-2222-4000-8000-0000000000{i:02}"),
                    "userPrincipalName": format!("reader{i}_acme-soc.example#EXT#@c{i}.example"),
                    "displayName": "SOC reader",
                    "roles": ["Security Reader"],
                    "guestOf": HOME,
                    "mail": reader(i),
                }],
            }));
            // Each customer has an analyst of its own, so that one's troubles are not another's.
            directory_mut(world, HOME)["users"].as_array_mut().unwrap().push(json!({
                "id": format!("6f1c0f5e-3333-4000-8000-0000000000{i:02}"),
                "userPrincipalName": reader(i),
                "displayName": "SOC reader",
            }));
        }
    });
}

/// Whom it befalls.
fn of(customers: &[Customer], later: Later) -> impl Iterator<Item = usize> {
    customers.iter().enumerate().filter(move |(_, c)| c.later == later).map(|(i, _)| i)
}

fn key(i: usize) -> String {
    format!("c{i}")
}

fn directory(i: usize) -> String {
    format!("6f1c0f5e-1111-4000-8000-0000000000{i:02}")
}

fn reader(i: usize) -> String {
    format!("reader{i}@acme-soc.example")
}

/// What happens later, in the world.
fn befall(stage: &Stage, customers: &[Customer]) {
    stage.change_world(|world| {
        for directory in world["directories"].as_array_mut().unwrap() {
            let Some(i) = directory["name"].as_str().and_then(|n| n.strip_prefix("Customer "))
            else {
                continue;
            };
            let customer = &customers[i.parse::<usize>().unwrap()];
            match customer.later {
                Later::Nothing => {}
                Later::SwitchedOff => {
                    for principal in directory["servicePrincipals"].as_array_mut().unwrap() {
                        principal["accountEnabled"] = json!(false);
                    }
                }
                Later::Withdrawn => {
                    directory["oauth2PermissionGrants"] = json!([]);
                    directory["appRoleAssignments"] = json!([]);
                }
                // A guest's sessions are revoked at home, apps are deleted there: below.
                Later::Revoked | Later::Remade | Later::Garbled => {}
                Later::Blocked => directory["signIn"] = json!({"policy": "block"}),
            }
        }
        for user in directory_mut(world, HOME)["users"].as_array_mut().unwrap() {
            let whose = customers
                .iter()
                .enumerate()
                .find(|(i, _)| user["userPrincipalName"] == *reader(*i));
            if whose.is_some_and(|(_, customer)| customer.later == Later::Revoked) {
                user["sessionsValidFrom"] = json!("2090-01-01T00:00:00Z");
            }
        }
        let remade: Vec<_> =
            of(customers, Later::Remade).map(|i| stage.unique_name(&key(i))).collect();
        let applications = directory_mut(world, HOME)["applications"].as_array_mut().unwrap();
        applications.retain(|app| !remade.iter().any(|name| app["uniqueName"] == **name));
    });
    for i in of(customers, Later::Remade) {
        stage.run(&["apply", "--yes", "--tenant", &key(i)]).expect(0);
    }
    for i in of(customers, Later::Garbled) {
        for operation in ["incident.list", "defender.listIncidents"] {
            stage.fault(json!({"operation": operation, "match": {"tenant": directory(i)},
                               "do": "garbage", "times": 99}));
        }
    }
}

fn attest(stage: &Stage, customers: &[Customer]) {
    for (i, customer) in customers.iter().enumerate().filter(|(_, c)| c.delegated()) {
        let key = format!("c{i}");
        let by = |outcome: &str| {
            stage.run(&["attest", &key, "--by", "Kim", "--outcome", outcome]).expect(0);
        };
        match customer.portal {
            Said::Nothing => {}
            Said::Authorized => by("authorized"),
            Said::PageMissing => by("page-missing"),
            Said::Refused => by("refused"),
            Said::Withdrawn => {
                by("authorized");
                stage.run(&["attest", &key, "--withdraw"]).expect(0);
            }
        }
    }
}

/// No facet is `ok` without evidence of this run or an attestation.
fn evidenced(status: &Value) -> Result<(), TestCaseError> {
    for tenant in list(status, "tenants") {
        for (name, facet) in tenant["facets"].as_object().unwrap() {
            if facet["state"] != "ok" {
                continue;
            }
            let kind = facet["evidence"]["kind"].as_str().unwrap();
            let allowed: &[&str] = match name.as_str() {
                // The app was read in this run; there is nothing to call.
                "registration" => &["observed", "proved"],
                "portal" => &["attested"],
                _ => &["proved"],
            };
            prop_assert!(allowed.contains(&kind), "{name} of {tenant:#}");
        }
    }
    Ok(())
}

fn holds(customers: &[Customer]) -> Result<(), TestCaseError> {
    let stage = Stage::with(&manifest(customers), Options::default());
    world_of(&stage, customers);
    stage.apply().expect(0);
    stage.send_links();
    for (i, _) in customers.iter().enumerate().filter(|(_, c)| c.signed_in()) {
        stage.sign_in(&format!("c{i}")).expect(0);
    }
    attest(&stage, customers);
    stage.status();
    befall(&stage, customers);
    let status = stage.status();
    evidenced(&status)?;
    for (i, customer) in customers.iter().enumerate() {
        let tenant = tenant(&status, &format!("c{i}"));
        let access = tenant["facets"]["access"]["state"].as_str().unwrap();
        let said_to_read = ["reading", "action-due"].contains(&tenant["overall"].as_str().unwrap());
        let proved = customer.reads() && !customer.unknowable();
        prop_assert_eq!(access == "ok", proved, "{:?} {:#}", customer, tenant);
        prop_assert_eq!(said_to_read, proved, "{:?} {:#}", customer, tenant);
        // What can be known is not called unknown, and what cannot is nothing else.
        let unknown = tenant["overall"] == "unknown";
        prop_assert_eq!(unknown, customer.unknowable(), "{:?} {:#}", customer, tenant);
        let read_before = customer.consented()
            && (!customer.delegated() || customer.signed_in())
            && customer.defender == "provisioned";
        // A new app is onboarded like the first.
        if read_before && !customer.reads() && customer.later != Later::Remade {
            prop_assert_eq!(&tenant["overall"], "not-reading", "{:?} {:#}", customer, tenant);
        }
    }
    let wanted: BTreeSet<String> = customers
        .iter()
        .enumerate()
        .filter(|(_, customer)| customer.needs_portal())
        .map(|(i, _)| key(i))
        .collect();
    let said = |status: &Value| -> BTreeSet<String> {
        let keys = list(&status["summary"], "needPortalAuthorization").iter();
        keys.map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    prop_assert_eq!(said(&status), wanted.clone());
    let pending = stage.run(&["status", "--pending", "portal", "--json"]);
    let pending: Value = serde_json::from_str(&pending.expect(0).stdout).unwrap();
    let listed: BTreeSet<String> = list(&pending, "tenants")
        .iter()
        .map(|tenant| tenant["key"].as_str().unwrap().to_owned())
        .collect();
    prop_assert_eq!(listed, wanted);
    Ok(())
}

#[test]
fn status_is_what_the_world_is() {
    let config = Config {
        cases: WORLDS,
        max_shrink_iters: 20,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(11),
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&prop::collection::vec(customer(), 4..=8), |customers| holds(&customers))
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn what_was_said_of_one_app_says_nothing_of_its_successor() {
    let customer = Customer {
        connector: "mssp-siem",
        administrator: "accepts",
        analyst: "signs-in",
        defender: "provisioned",
        later: Later::Remade,
        portal: Said::Authorized,
    };
    holds(&[customer]).unwrap_or_else(|failure| panic!("{failure}"));
}
