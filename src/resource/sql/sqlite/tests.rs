//! Tests that need the inside of the adapter. The corpora are tables: `attempts` and `questions`.

mod attempts;
mod bypass;
mod fixture;
mod questions;
mod same;
