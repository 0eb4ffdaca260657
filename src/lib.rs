//! tenantry onboards customer tenants to Microsoft Defender for a managed security provider.
//!
//! The rooms, in the order in which data flows through them: `manifest` says what is wanted,
//! `graph` reads what there is into `inventory`, `vault` knows what Graph never tells twice;
//! `plan` compares and decides, `apply` and `offboard` obey, `consent` asks people, `prove` asks what works,
//! `status` puts it together, `incidents` reads, `report` has the words, `cli` the verbs, and `sandbox` plays Microsoft.

pub mod apply;
pub mod cli;
pub mod cloud;
pub mod connector;
pub mod consent;
pub mod defender;
pub mod entra;
pub mod event;
pub mod failure;
pub mod graph;
pub mod http;
pub mod ids;
pub mod incidents;
pub mod inventory;
pub mod lifetime;
pub mod links;
pub mod manifest;
pub mod offboard;
pub mod plan;
pub mod prove;
pub mod registration;
pub mod report;
pub mod sandbox;
pub mod secret;
pub mod shard;
pub mod status;
pub mod stop;
pub mod text;
pub mod vault;
pub mod verdict;
