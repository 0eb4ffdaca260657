//! tenantry onboards customer tenants to Microsoft Defender for a managed security provider.
//!
//! The rooms, in the order in which data flows through them.

pub mod cli;
pub mod cloud;
pub mod connector;
pub mod failure;
pub mod ids;
pub mod inventory;
pub mod lifetime;
pub mod manifest;
pub mod registration;
pub mod secret;
