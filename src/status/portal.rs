//! The click in the Defender portal: what people say of it is all that can be known.

use super::{EvidenceKind, Facet, State, WaitingFor, facets::View};
use crate::{
    connector::PortalAuthorization,
    ids::{ClientId, TenantKey},
    manifest::Manifest,
    plan::manual,
    vault::{AttestedOutcome, Records, TenantRecord},
};

/// The tenants of which nobody has said, for the app that the vault knows, that the portal step was
/// taken or cannot be taken any more. Needs no directory: it equals `needPortalAuthorization` of a
/// status of all tenants.
pub fn portal_left(manifest: &Manifest, records: &Records) -> Vec<TenantKey> {
    manifest
        .tenants
        .values()
        .filter(|tenant| tenant.portal == PortalAuthorization::Required)
        .filter(|tenant| {
            let record = records.get(&tenant.app);
            let remembered = record.and_then(|record| record.tenants.get(&tenant.key));
            !is_settled(remembered, record.and_then(|record| record.client_id))
        })
        .map(|tenant| tenant.key.clone())
        .collect()
}

/// Whether somebody's word settles the step for this app.
fn is_settled(remembered: Option<&TenantRecord>, client: Option<ClientId>) -> bool {
    remembered
        .and_then(|tenant| tenant.attestation.as_ref())
        .filter(|attestation| Some(attestation.client_id) == client)
        .is_some_and(|attestation| match attestation.outcome {
            AttestedOutcome::Authorized | AttestedOutcome::PageMissing => true,
            AttestedOutcome::Refused => false,
        })
}

impl View<'_> {
    pub(super) fn portal(&self) -> Facet {
        use EvidenceKind::{Attested, Observed};
        if self.tenant.portal == PortalAuthorization::NotNeeded {
            return self.facet(State::NotNeeded, Observed, "this connector needs no portal step");
        }
        let client = self.client();
        let said = self.remembered().and_then(|tenant| tenant.attestation.as_ref());
        let next = self.step(
            manual::portal_authorization(
                self.cloud,
                self.tenant,
                self.planned.directory,
                client,
                self.home,
            ),
            "Settings › Endpoints › APIs › SIEM › MSSP › paste both ids › Authorize application",
        );
        let Some(attestation) = said.filter(|said| Some(said.client_id) == client) else {
            let what = match said {
                // Said of an app that is not there any more.
                Some(void) => format!(
                    "what {} said on {} was of another application id and is void; no call can show it",
                    void.by,
                    void.at.strftime("%Y-%m-%d")
                ),
                None => {
                    "nobody has said that the app was authorized in the portal; no call can show it"
                        .to_owned()
                }
            };
            let mut facet = self.waiting(WaitingFor::PortalAdmin, Observed, what);
            facet.next_step = Some(next);
            return facet;
        };
        let ticket =
            attestation.ticket.as_deref().map_or_else(String::new, |ticket| format!(", {ticket}"));
        let by = format!("{} on {}{ticket}", attestation.by, attestation.at.strftime("%Y-%m-%d"));
        let mut facet = match attestation.outcome {
            AttestedOutcome::Authorized => {
                self.facet(State::Ok, Attested, format!("authorized by {by}"))
            }
            AttestedOutcome::PageMissing => self.facet(
                State::NotNeeded,
                Attested,
                format!("the portal has no such page any more: {by}"),
            ),
            AttestedOutcome::Refused => {
                let mut facet = self.facet(State::Failed, Attested, format!("refused: {by}"));
                facet.waiting_for = Some(WaitingFor::PortalAdmin);
                facet.next_step = Some(next);
                facet
            }
        };
        facet.evidence.at = attestation.at;
        facet
    }
}
