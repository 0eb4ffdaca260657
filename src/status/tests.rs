//! The rules of the facets, one by one.
