//! One file a verb: its arguments and its run.

pub mod init;
pub mod schema;
pub mod validate;
