//! Tests.
mod laws;
mod manifest;
mod stage;
mod support;
mod traffic;
