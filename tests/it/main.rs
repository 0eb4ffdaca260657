//! Tests.
mod laws;
mod manifest;
mod support;
