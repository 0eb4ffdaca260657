//! The sandbox over real https, as other people's clients see it.

mod applications;
mod support;
