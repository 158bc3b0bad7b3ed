//! The facade in front of a certified provider: in a real browser, and as the real server with clients that nobody
//! here wrote.

mod browser;
mod canaille;
pub(crate) mod chromium;
mod claude;
mod console;
mod control;
mod ends;
pub(crate) mod gate;
mod leaks;
mod sdk;
mod security_keys;
pub(crate) mod served;
mod stand;
