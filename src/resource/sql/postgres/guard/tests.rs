//! The guard's tables of cases.

mod changes;
mod masks;
mod properties;
mod queries;
mod world;
