//! The people's side over real sockets: who gets in, what decides, and what never does.

mod agents;
mod api;
mod browser;
mod callbacks;
mod demo;
mod desk;
mod grants;
mod known;
mod keys;
mod peer;
mod place;
mod security_keys;
mod signing;
mod mail;
mod teams;
mod slack_links;
pub(crate) mod whole;
