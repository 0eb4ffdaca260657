//! HTML: one file each, whole in itself. Nothing is fetched, nothing runs but the lines that stand
//! in the file and whose digest the file's own policy names.

mod cards;
mod doctor;
mod document;
mod parts;
mod plan;
mod status;

pub(super) use self::document::{Document, Script, document};
pub(super) use self::plan::screen;
pub use self::{doctor::doctor, plan::plan, status::status};
