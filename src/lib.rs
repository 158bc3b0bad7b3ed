//! Tollgate: typed, authorised, masked, approved and recorded tool calls for coding agents.
//!
//! Start with [`gate`]: it is the path of a call. The modules below are declared in the order in
//! which a call meets them; a stage imports only from stages above it (`tests/it/tidy.rs`).

pub mod clock;
pub mod ownership;
pub mod secret;
pub(crate) mod beside;
pub(crate) mod packed;

pub mod call;
pub mod store;

pub(crate) mod recent;
pub mod attempts;
pub mod identity;
pub mod tool;
pub mod policy;
pub mod approval;
pub mod resource;
pub mod mask;
pub mod audit;
pub mod seats;
pub mod lookups;
pub mod meter;
pub mod gate;
pub mod transport;
pub mod console;

pub mod config;
pub mod telemetry;
pub mod app;
pub mod demo;
pub mod cli;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
