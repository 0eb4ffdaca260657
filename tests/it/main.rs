//! Tests.
mod manifest;
