//! Whole answers are tested inside `src/mask.rs`: only the crate can open a target's answer.
