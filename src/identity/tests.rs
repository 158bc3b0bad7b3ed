//! The traps, one test each, with keys in memory. The same traps against a certified provider are
//! in `tests/it/identity`.

mod demo;
mod desk;
mod refusals;
mod rotation;
mod signatures;
mod specs;
mod services;
