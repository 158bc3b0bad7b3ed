//! The facade in front of a certified provider: in a real browser, and as the real server with clients that nobody
//! here wrote.

mod browser;
mod canaille;
mod chromium;
mod claude;
mod gate;
mod sdk;
pub(crate) mod served;
