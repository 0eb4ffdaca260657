//! One test binary: the laws of the house, through the real binary against a started sandbox, and
//! the world asked whether it worked.

mod adopt;
mod architecture;
mod asking;
mod browser;
mod canaries;
mod consenting;
mod contracts;
mod credentials;
mod doctor;
mod exit_codes;
mod export;
mod forecast;
mod golden;
mod grant;
mod in_tenant;
mod incidents;
mod json;
mod key_vault;
mod laws;
mod manifest;
mod offboard;
mod owners;
mod people;
mod pipelines;
mod policies;
mod rotation;
mod runners;
mod scripts;
mod shards;
mod signed;
mod stage;
mod support;
mod terminal;
mod tokens;
mod traffic;
