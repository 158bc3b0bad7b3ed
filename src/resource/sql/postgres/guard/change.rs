//! Changes.

/// What changes are made of, beside what queries are made of.
pub(super) const SHAPES: &[(&str, &[&str])] = &[];
