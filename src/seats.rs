//! How many calls may be under way: in all, and per person.
//!
//! There is no queue. A call that finds no seat is refused at once with `overloaded`, so that a burst
//! costs its sender a retry and everybody else nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::call::refusal::Code;
use crate::call::{Principal, Refusal};

/// The seats.
#[derive(Debug)]
pub struct Seats {
    total: usize,
    per_person: usize,
    /// How many processes have a part of a person's seats.
    processes: AtomicUsize,
    taken: Arc<Mutex<Taken>>,
}

/// Who sits. Its size is bounded by the number of seats: a person without a seat is not in it.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    people: HashMap<Person, usize>,
}

/// Issuer and subject: limits count per person, whatever agents and sessions they use.
type Person = (String, String);

/// One taken seat; free again when dropped.
#[derive(Debug)]
pub struct Seat {
    taken: Arc<Mutex<Taken>>,
    person: Person,
}

impl Seats {
    /// `total` calls in all and `per_person` calls of one (issuer, subject) at the same time. Zero
    /// refuses every call.
    #[must_use]
    pub fn new(total: usize, per_person: usize) -> Self {
        Self {
            total,
            per_person,
            processes: AtomicUsize::new(1),
            taken: Arc::default(),
        }
    }

    /// From here on so many processes serve, this one included: each has its part of a person's seats, at least one. The
    /// seats in all are each process's own: they are for what it can carry.
    pub fn shared_by(&self, processes: u32) {
        let processes = usize::try_from(processes).unwrap_or(usize::MAX).max(1);
        self.processes.store(processes, Ordering::Relaxed);
    }

    /// Seats of one person here.
    fn each(&self) -> usize {
        let part = self.per_person / self.processes.load(Ordering::Relaxed).max(1);
        part.max(1).min(self.per_person)
    }

    /// Seats taken now, and seats there are.
    #[must_use]
    pub fn taken(&self) -> (usize, usize) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (taken.all, self.total)
    }

    /// Takes a seat, or refuses at once.
    ///
    /// # Errors
    /// `overloaded`, to be retried. The words differ for "you" and "everybody", because the way out does.
    #[tracing::instrument(level = "debug", skip_all, name = "seat")]
    pub fn take(&self, principal: &Principal) -> Result<Seat, Refusal> {
        let person = (principal.user.issuer.clone(), principal.user.subject.clone());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = taken.people.get(&person).copied().unwrap_or(0);
        if mine >= self.each() {
            return Err(overloaded(
                format!("You already have {mine} calls under way, which is the most one person may have."),
                "Wait until one of your calls has answered, then send this one again.",
            ));
        }
        if taken.all >= self.total {
            return Err(overloaded(
                "Tollgate is handling as many calls as it can.".to_owned(),
                "Send the same call again in a few seconds.",
            ));
        }
        taken.all += 1;
        *taken.people.entry(person.clone()).or_default() += 1;
        Ok(Seat {
            taken: Arc::clone(&self.taken),
            person,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        let left = taken
            .people
            .get(&self.person)
            .map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            taken.people.remove(&self.person);
        } else {
            taken.people.insert(self.person.clone(), left);
        }
    }
}

fn overloaded(message: String, suggestion: &str) -> Refusal {
    Refusal::new(Code::Overloaded, message, suggestion).retry()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::call::{Agent, Scope, Session, User, UserKind};

    fn person(issuer: &str, subject: &str, client: &str) -> Principal {
        Principal {
            user: User {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
                kind: UserKind::Person,
                groups: BTreeSet::new(),
            },
            agent: Agent {
                client_id: client.to_owned(),
                verified: true,
                claimed_name: String::new(),
                claimed_version: String::new(),
            },
            session: Session {
                id: client.to_owned(),
                labels: BTreeSet::new(),
            },
            scope: Scope::default(),
        }
    }

    #[test]
    fn a_person_is_bounded_over_all_agents_and_sessions_and_others_are_not() {
        let seats = Seats::new(10, 2);
        let _one = seats.take(&person("corp", "ann", "cli")).unwrap();
        let _two = seats.take(&person("corp", "ann", "editor")).unwrap();
        let refusal = seats.take(&person("corp", "ann", "third")).unwrap_err();
        assert_eq!(refusal.code, Code::Overloaded);
        assert!(refusal.retry);
        assert!(seats.take(&person("corp", "bob", "cli")).is_ok());
        assert!(
            seats.take(&person("other", "ann", "cli")).is_ok(),
            "another issuer's ann is another person"
        );
    }

    #[test]
    fn the_total_binds_everybody_and_a_dropped_seat_is_free_again() {
        let seats = Seats::new(2, 2);
        let one = seats.take(&person("corp", "ann", "cli")).unwrap();
        let _two = seats.take(&person("corp", "bob", "cli")).unwrap();
        assert_eq!(
            seats.take(&person("corp", "cas", "cli")).unwrap_err().code,
            Code::Overloaded
        );
        drop(one);
        assert!(seats.take(&person("corp", "cas", "cli")).is_ok());
    }

    #[test]
    fn each_process_has_its_part_of_a_persons_seats() {
        let (here, there) = (Seats::new(100, 5), Seats::new(100, 5));
        let ann = person("corp", "ann", "cli");
        let held = here.take(&ann).unwrap();
        for (processes, all) in [(2, 4), (5, 2), (9, 2)] {
            here.shared_by(processes);
            there.shared_by(processes);
            let mut seats = Vec::new();
            for seats_of in [&here, &there] {
                seats.extend(std::iter::from_fn(|| seats_of.take(&ann).ok()));
            }
            assert_eq!(seats.len() + 1, all, "{processes}");
        }
        drop(held);
        here.shared_by(0);
        assert_eq!(
            std::iter::from_fn(|| here.take(&ann).ok())
                .map(std::mem::forget)
                .count(),
            5
        );
        let none = Seats::new(5, 0);
        none.shared_by(3);
        assert!(none.take(&ann).is_err());
    }

    #[test]
    fn nobody_is_remembered_who_holds_no_seat() {
        let seats = Seats::new(1, 1);
        for subject in 0..1000 {
            drop(seats.take(&person("corp", &subject.to_string(), "cli")).unwrap());
        }
        let taken = seats.taken.lock().unwrap();
        assert_eq!((taken.all, taken.people.len()), (0, 0));
    }

    #[test]
    fn no_seats_means_no_calls() {
        assert!(Seats::new(0, 5).take(&person("corp", "ann", "cli")).is_err());
        assert!(Seats::new(5, 0).take(&person("corp", "ann", "cli")).is_err());
    }

    #[test]
    fn a_seat_survives_a_panic_elsewhere() {
        let seats = Seats::new(1, 1);
        let seat = seats.take(&person("corp", "ann", "cli")).unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = seat;
            panic!("a stage fell over");
        }));
        assert!(outcome.is_err());
        assert!(seats.take(&person("corp", "ann", "cli")).is_ok());
    }
}
