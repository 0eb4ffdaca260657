//! The key vault against the sandbox.
