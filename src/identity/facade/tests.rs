//! The browser half of the facade, one test for each way past it that is known. The provider is played, the
//! browser is a cookie jar; the real ones are in `tests/it/facade`.

mod attacks;
mod flow;
pub(super) mod place;
mod registration;
