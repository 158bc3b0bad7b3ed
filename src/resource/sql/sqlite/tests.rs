//! Tests that need the inside of the adapter. The corpora are tables: `attempts` and `questions`.

mod attempts;
mod bounds;
mod bypass;
mod changes;
mod depth;
mod effects;
mod fixture;
mod locks;
mod lookup;
mod questions;
mod random;
mod same;
mod shapes;
mod tokens;
mod values;
mod writing;
