//! The proof that a plan was approved; without one nothing can be written.

/// Only [`super::Plan::approve`] makes one, and a Graph writer cannot be had without it.
#[derive(Debug, Clone)]
pub struct Permit(());

impl Permit {
    pub(super) fn granted() -> Self {
        Self(())
    }

    /// For tests of the writer itself, which have no plan.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::granted()
    }
}
