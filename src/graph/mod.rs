//! The only room that speaks Microsoft Graph.
//!
//! `graph-rs-sdk` spells the requests; our pipeline sends them; [`wire`] reads the answers. A
//! [`Reader`] has no method that writes and a pipeline that could not; a [`Writer`] cannot be made
//! without the [`crate::plan::Permit`] of an approved plan.

#[cfg(test)]
mod against_sandbox;
mod policies;
mod principals;
mod publisher;
mod read;
mod reader;
mod relationships;
mod remove;
mod request;
#[cfg(test)]
mod tests;
mod wire;
mod writer;
mod writers;

pub use self::{
    principals::Asked,
    publisher::Publisher,
    read::{Ask, Breadth, Known, Missing, Want, read_directory},
    reader::{Organization, Owners, Page, Reader},
    relationships::{Customer, Domains, NoCustomer, Relationships, default_domains},
    remove::InBin,
    writer::{IssuedSecret, NewKey, ObjectAge, Patch, Removed, Upserted, Writer},
    writers::Writers,
};
