//! The transport against real sockets and pipes, with a door that the test holds.

pub(super) mod annex;
mod client;
mod confirm;
mod credentials;
pub(super) mod door;
mod ends;
mod eras;
mod life;
mod limits;
mod people;
mod sessions;
mod stdio;
mod strangers;
mod tasks;
pub(super) mod world;
