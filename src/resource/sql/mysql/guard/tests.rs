//! The guard's tables of cases.

mod queries;
mod world;
