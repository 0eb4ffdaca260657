//! All words: text for people, JSON for machines, progress, files.

pub mod adopt;
mod advice;
pub mod apply;
pub mod ci;
pub mod consent;
pub mod doctor;
pub mod error;
pub mod explain;
pub mod failed;
pub mod file;
pub mod forecast;
pub mod foreign;
pub mod html;
pub mod incidents;
pub mod json;
pub mod letter;
pub mod offboard;
mod orphans;
pub mod pages;
pub mod paper;
pub mod plan;
pub mod progress;
pub mod ran;
pub mod schema;
pub mod siem;
pub mod status;
pub mod tokens;
