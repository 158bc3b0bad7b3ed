//! The facade in front of a certified provider, in a real browser.

mod browser;
mod chromium;
mod control;
mod ends;
mod gate;
mod leaks;
mod stand;
