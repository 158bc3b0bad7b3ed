//! The traps, one test each, with keys in memory. The same traps against a certified provider are
//! in `tests/it/identity`.

mod demo;
pub(super) mod desk;
mod introspection;
mod issuers;
mod jobs;
mod refusals;
mod relying;
mod rotation;
mod signatures;
mod specs;
mod services;
