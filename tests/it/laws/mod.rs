//! The laws of the specification, each by the real binary against a world that nobody can fool.
mod law1;
mod law2;
