//! What has gone wrong elsewhere cannot go wrong here: each known incident, with the tests that show
//! it or the reason why it cannot be shown yet; and the tests that need the whole path.

mod attacks;
mod ledger;
mod names;
mod open;
mod path;
mod separation;
