//! The sandbox over real https, as other people's clients see it.

mod admitting;
mod applications;
mod assertions;
mod consenting;
mod keeping;
mod key_vault;
mod misbehaviour;
mod neighbours;
mod reading;
mod refreshing;
mod refusals;
mod relationships;
mod story;
mod support;
mod tokens;
