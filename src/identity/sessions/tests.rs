//! Sessions over a real store, with a provider and a clock of their own.

pub(in crate::identity) mod bench;
mod families;
mod life;
mod model;
mod replicas;
