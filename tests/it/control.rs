//! The people's side over real sockets: who gets in, what decides, and what never does.

mod agents;
mod api;
mod browser;
mod keys;
mod peer;
mod place;
mod security_keys;
mod signing;
mod whole;
