//! The facade in front of a certified provider, in a real browser.

mod browser;
pub(crate) mod chromium;
pub(crate) mod gate;
