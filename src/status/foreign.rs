//! What others put on our apps, of every app once: seen, and nobody's illness.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{AppKey, TenantKey},
    manifest::Manifest,
    plan::{Plan, foreign::Theirs},
};

/// A credential of others on an app of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Foreign {
    /// The app that it opens.
    pub app: AppKey,
    /// The tenants that are read with that app.
    pub tenants: Vec<TenantKey>,
    /// What it is.
    #[serde(flatten)]
    pub credential: Theirs,
}

/// Every one in a plan.
pub(super) fn of(manifest: &Manifest, plan: &Plan) -> Vec<Foreign> {
    let on = |app: &AppKey| manifest.apps.get(app).map(|app| app.tenants.clone());
    plan.apps
        .values()
        .flat_map(|app| Theirs::on(&app.foreign).into_iter().map(move |one| (&app.key, one)))
        .map(|(app, credential)| {
            let tenants = on(app).unwrap_or_default();
            Foreign { app: app.clone(), tenants, credential }
        })
        .collect()
}
