//! The rules of the facets, one by one, and the two laws over anything that can be met.

mod ended;
mod laws;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    Facet, FacetName, Occasion, Proofs, RefreshProof, Rotation, State, Status, TenantStatus,
    TokenProof, WaitingFor, status,
};
use crate::{
    cloud::{Cloud, CloudName},
    failure::{Cause, Failure},
    ids::{ClientId, ObjectId, ResourceId, TenantId, TenantKey, VaultId},
    manifest::{self, Manifest},
    plan::{
        AppPlan, Plan, Resolved, Seen, TenantPlan,
        manual::admin_consent,
        remembered::consent_since,
        step::{Foreign, Target},
    },
    vault::{
        CredentialKind, CredentialRecord, CredentialState, FacetMemory, Record, TenantRecord,
        testing::{record, seconds},
    },
};

const MANIFEST: &str = r#"
version: 1
fleet: acme-soc
home: {tenant: 91c20000-0000-4000-8000-000000000001}
vault: {path: vault}
defaults: {connector: graph-security, redirectUris: ["https://{domain}/x"], signInAs: reader@acme.example}
tenants:
  app: {id: 6f1c0f5e-0000-4000-8000-000000000001, name: App, domain: a.example}
  two:
    id: 6f1c0f5e-0000-4000-8000-000000000002
    name: Two
    domain: b.example
    portalAuthorization: required
    permissions:
      - {resource: Microsoft Graph, application: [SecurityIncident.Read.All]}
      - {resource: Microsoft Threat Protection, application: [Incident.Read.All]}
  siem:
    id: 6f1c0f5e-0000-4000-8000-000000000003
    name: Siem
    domain: c.example
    connector: mssp-siem
"#;

fn manifest() -> Manifest {
    manifest::parse(vec![("t.yaml".into(), MANIFEST.as_bytes().to_vec())]).unwrap()
}

fn client() -> ClientId {
    ClientId::from_uuid(Uuid::from_u128(7))
}

/// A world in which all is registered and stored, and nothing has been tried.
struct World {
    manifest: Manifest,
    plan: Plan,
    seen: Seen,
    proofs: Proofs,
    as_of: Timestamp,
}

impl World {
    fn new() -> Self {
        let manifest = manifest();
        let home = TenantId::from_uuid(Uuid::from_u128(9));
        let mut plan = Plan {
            fleet: manifest.fleet.clone(),
            home,
            vault: VaultId::from_uuid(Uuid::from_u128(1)),
            apps: BTreeMap::new(),
            tenants: BTreeMap::new(),
            orphans: Vec::new(),
            diagnostics: Vec::new(),
            partial: false,
            shard: None,
            ahead: None,
        };
        let mut seen = Seen {
            home,
            directories: BTreeMap::new(),
            inventories: BTreeMap::new(),
            records: BTreeMap::new(),
            deleted: BTreeMap::new(),
            vault: VaultId::from_uuid(Uuid::from_u128(1)),
            wish: crate::plan::Wish::default(),
        };
        let cloud = Cloud::built_in(CloudName::Global);
        for tenant in manifest.tenants.values() {
            let app = &manifest.apps[&tenant.app];
            let id = tenant.id.unwrap();
            plan.apps.insert(
                app.key.clone(),
                AppPlan {
                    key: app.key.clone(),
                    display_name: app.display_name.clone(),
                    layout: app.layout,
                    connector: app.connector,
                    directory: Some(home),
                    target: Target::Existing {
                        object_id: ObjectId::from_uuid(Uuid::from_u128(8)),
                        client_id: client(),
                    },
                    steps: Vec::new(),
                    pins: BTreeMap::new(),
                    diagnostics: Vec::new(),
                    foreign: Foreign::default(),
                },
            );
            plan.tenants.insert(
                tenant.key.clone(),
                TenantPlan {
                    key: tenant.key.clone(),
                    name: tenant.name.clone(),
                    directory: Some(id),
                    app: app.key.clone(),
                    steps: Vec::new(),
                    manual: vec![admin_consent(&cloud, tenant, Some(id), Some(client()))],
                    diagnostics: Vec::new(),
                },
            );
            seen.directories.insert(tenant.key.clone(), Ok(Resolved { id, stale: None }));
            let mut record = record(app.key.as_str());
            record.client_id = Some(client());
            record.credentials.push(CredentialRecord {
                state: CredentialState::Stored,
                start: Some(seconds(0)),
                end: Some(seconds(365 * 86_400)),
                ..CredentialRecord::intended(
                    crate::ids::Nonce::fresh(),
                    CredentialKind::Secret,
                    seconds(0),
                )
            });
            record.tenants.insert(tenant.key.clone(), TenantRecord::pinned(id));
            seen.records.insert(app.key.clone(), record);
        }
        Self { manifest, plan, seen, proofs: Proofs::default(), as_of: now() }
    }

    fn record(&mut self, key: &str) -> &mut Record {
        self.seen.records.get_mut(&key.parse().unwrap()).unwrap()
    }

    fn tenant(&mut self, key: &str) -> &mut TenantRecord {
        let tenant: TenantKey = key.parse().unwrap();
        self.record(key).tenants.get_mut(&tenant).unwrap()
    }

    fn token(&mut self, key: &str, proof: TokenProof) {
        self.proofs.tokens.insert(key.parse().unwrap(), proof);
    }

    fn refresh(&mut self, proof: RefreshProof) {
        self.proofs.refreshes.insert("siem".parse().unwrap(), proof);
    }

    fn holds_refresh_token(&mut self, days_left: i64) {
        let end = now() + SignedDuration::from_hours(days_left * 24);
        self.record("siem").credentials.push(CredentialRecord {
            state: CredentialState::Stored,
            start: Some(seconds(0)),
            end: Some(end),
            tenant: Some("siem".parse().unwrap()),
            user: Some("reader@acme.example".to_owned()),
            ..CredentialRecord::intended(
                crate::ids::Nonce::fresh(),
                CredentialKind::RefreshToken,
                seconds(0),
            )
        });
    }

    fn status(&self) -> Status {
        let cloud = Cloud::built_in(CloudName::Global);
        let place = "--sandbox".to_owned();
        let occasion = Occasion { checked_at: now(), as_of: self.as_of, place };
        status(&self.manifest, &cloud, &self.plan, &self.seen, &self.proofs, &occasion)
    }

    fn of(&self, key: &str) -> TenantStatus {
        self.status().tenants.into_iter().find(|tenant| tenant.key.as_str() == key).unwrap()
    }

    /// As after a run that saw a facet so.
    fn remembers(&mut self, key: &str, name: FacetName, state: &str, who: Option<&str>) {
        let (state, waiting_for) = (state.to_owned(), who.map(str::to_owned));
        let memory = FacetMemory { state, waiting_for, since: seconds(1) };
        self.tenant(key).facets.insert(name.as_str().to_owned(), memory);
        // The plan knows of it, and asks nobody for what was given.
        let tenant: TenantKey = key.parse().unwrap();
        if consent_since(self.seen.records.get(&tenant.as_str().parse().unwrap()), &tenant)
            .is_some()
        {
            self.plan.tenants.get_mut(&tenant).unwrap().manual.clear();
        }
    }

    #[track_caller]
    fn is(&self, key: &str, name: FacetName, state: State, who: Option<WaitingFor>) -> Facet {
        let facet = self.of(key).facet(name).clone();
        let found = (facet.state, facet.waiting_for);
        assert_eq!(found, (state, who), "{key} {}: {facet:?}", name.as_str());
        facet
    }
}

fn now() -> Timestamp {
    seconds(60)
}

fn failure(code: &str) -> Failure {
    Failure { code: Some(code.to_owned()), ..Failure::new(Cause::Refused, "no") }
}

fn silence() -> Failure {
    Failure::new(Cause::NoAnswer, "nobody answered")
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn granted(roles: &[(ResourceId, &[&str])], refused: &[(ResourceId, Failure)]) -> TokenProof {
    TokenProof::Granted {
        roles: roles.iter().map(|(api, roles)| (*api, names(roles))).collect(),
        refused: refused.iter().cloned().collect(),
    }
}

fn refreshed(scopes: &[&str], rotation: Rotation) -> RefreshProof {
    let user = Some("reader@acme.example".to_owned());
    RefreshProof::Refreshed { user, scopes: names(scopes), rotation }
}

const READ: &str = "SecurityIncident.Read.All";
const ALERTS: &str = "SecurityAlert.Read.All";
const XDR: &str = "Incident.Read.All";
