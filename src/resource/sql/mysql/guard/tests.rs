//! The guard's tables of cases.

mod changes;
mod properties;
mod queries;
mod world;
