//! The guard's tables of cases.

mod changes;
mod queries;
mod world;
