//! Tests.
mod manifest;
mod stage;
mod traffic;
