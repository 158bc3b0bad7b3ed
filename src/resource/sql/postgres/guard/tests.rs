//! The guard's tables of cases.

mod world;
mod queries;
