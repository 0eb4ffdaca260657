//! Tests of the whole.
mod architecture;
mod canaries;
mod exit_codes;
mod golden;
mod json;
mod manifest;
mod stage;
mod traffic;
