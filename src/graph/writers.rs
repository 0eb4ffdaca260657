//! Writers for as many directories as an approved plan reaches.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::Writer;
use crate::{
    cloud::Cloud, entra::Operator, failure::Failure, http::Network, ids::TenantId, plan::Permit,
};

/// A writer for each directory, made when it is first asked for.
pub struct Writers {
    network: Network,
    cloud: Cloud,
    operator: Operator,
    permit: Permit,
    made: Mutex<BTreeMap<TenantId, Arc<Writer>>>,
}

impl Writers {
    /// For the directories of one approved plan; nothing is sent yet.
    pub fn new(network: &Network, cloud: &Cloud, operator: &Operator, permit: Permit) -> Self {
        let (network, cloud, operator) = (network.clone(), cloud.clone(), operator.clone());
        Self { network, cloud, operator, permit, made: Mutex::default() }
    }

    /// The writer for a directory.
    ///
    /// # Errors
    /// [`crate::failure::Cause::SignIn`] where the operator's credential for it cannot be made.
    pub fn to(&self, directory: TenantId) -> Result<Arc<Writer>, Failure> {
        let Self { network, cloud, operator, permit, made } = self;
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = made.get(&directory) {
            return Ok(Arc::clone(writer));
        }
        let writer = Writer::new(network, cloud, directory, operator, permit.clone())?;
        let writer = Arc::new(writer);
        made.insert(directory, Arc::clone(&writer));
        Ok(writer)
    }
}
