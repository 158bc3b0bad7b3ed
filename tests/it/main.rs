//! The one integration binary: every test that needs more than its own module.

mod support;

mod audit;
mod cli;
mod config;
mod faults;
mod git;
mod identity;
mod incidents;
mod mask;
mod matrix;
mod peers;
mod policy;
mod sqlite;
mod tidy;
mod tool;
mod transport;
