//! The one integration binary: every test that needs more than its own module.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of a test may fail the test; clippy excuses only the test functions themselves"
)]

mod support;

mod approvals;
mod audit;
mod changes;
mod cli;
mod config;
mod control;
mod demo;
mod docs;
mod effects;
mod facade;
mod faults;
mod git;
mod identity;
mod incidents;
mod login;
mod mask;
mod matrix;
#[cfg(feature = "mysql")]
mod mysql;
mod peers;
mod policy;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "saml")]
mod saml;
mod services;
mod slack;
mod sqlite;
#[cfg(feature = "postgres")]
mod store;
mod tidy;
mod together;
mod tool;
mod transport;
