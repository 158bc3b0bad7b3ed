//! The guard's tables of cases.

mod changes;
mod outside;
mod properties;
mod queries;
mod world;
