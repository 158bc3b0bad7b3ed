//! The facade in front of a certified provider: in a real browser, and as the real server with clients that nobody
//! here wrote.

mod browser;
mod canaille;
mod chromium;
mod claude;
mod control;
mod ends;
mod gate;
mod leaks;
mod sdk;
pub(crate) mod served;
mod stand;
