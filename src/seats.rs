//! How many calls may be under way: in all, and per person.
use crate::call::{Principal, Refusal};

/// The seats.
pub struct Seats;

/// One taken seat; free again when dropped.
pub struct Seat;

impl Seats {
    /// Takes a seat, or refuses with `overloaded` at once.
    pub fn take(&self, _principal: &Principal) -> Result<Seat, Refusal> {
        unimplemented!()
    }
}
