//! The guard's tables of cases.

mod changes;
mod library;
mod ddl;
mod masks;
mod outside;
mod properties;
mod queries;
mod world;
