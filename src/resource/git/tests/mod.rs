//! Tests of the adapter against repositories made here, mostly hostile ones.

mod concealing;
mod hiding;
mod hostile;
mod incidents;
mod listing;
mod reading;
mod redirection;
mod refs;
mod searching;
mod support;
mod units;
