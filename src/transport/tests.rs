//! The transport against real sockets, with a door that the test holds.

pub(super) mod world;
