//! How often a stranger may try: by address, and for guesses by address and name.
//!
//! Every allowance is a token bucket on the monotonic clock, kept as the one time at which it is full
//! again (the generic cell rate algorithm, ITU-T I.371): no timers, and a fixed size however much is tried.
//! An attempt is paid for before the work is done and given back when it turned out to be right, so that
//! many at once get no further than one after another.
//!
//! What is counted where follows from who suffers:
//! - An address pays for what it sends. IPv6 counts by /64, which is what one host has, and sixteen of
//!   those by /48. An allowance comes back in seconds: whoever shares an address with an attacker waits,
//!   and is never locked out for longer than the attack lasts.
//! - A wrong guess counts for (address, name), so that nobody can lock out a victim from elsewhere. Guesses
//!   at one name from everywhere only become slow.

mod proxies;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::call::Hash;
use crate::clock::World;
use crate::recent::Recent;

pub use proxies::Proxies;

/// Half of the allowances remembered. One that is forgotten is full again: whoever has this many networks
/// is not held by counting addresses.
const HALF: usize = 16_384;
/// How many /64 of a /48 together have the allowance of so many addresses.
const WIDE: u32 = 16;
/// The longest that a guess has to wait because of what others guess at the same name.
const SLOWEST: Duration = Duration::from_secs(2);
/// Processes that are counted at most.
const MOST_PROCESSES: u32 = 1_000;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A public document.
    Document,
    /// A page on the way through a sign-in; may make us ask somebody else.
    Page,
    /// Tokens: exchanged, taken back, begun for a device.
    Token,
    /// A client that registers itself.
    Register,
    /// Somebody tells us that a session is over.
    Notice,
    /// A bearer token that is not known to be good.
    Credential,
    /// A code that a person types.
    UserCode,
    /// A name and its secret.
    Password,
}

/// An allowance: how many at once, and the time in which one comes back.
#[derive(Debug, Clone, Copy)]
struct Rate {
    most: u32,
    every: Duration,
}

const fn rate(most: u32, milliseconds: u64) -> Rate {
    Rate {
        most,
        every: Duration::from_millis(milliseconds),
    }
}

impl Kind {
    /// Of one address.
    fn by_address(self) -> Rate {
        match self {
            Self::Document => rate(600, 20),
            Self::Page => rate(120, 500),
            Self::Token => rate(300, 100),
            Self::Register => rate(20, 30_000),
            Self::Notice => rate(1_000, 20),
            Self::Credential => rate(100, 200),
            Self::UserCode => rate(10, 12_000),
            Self::Password => rate(30, 2_000),
        }
    }

    /// Of one address at one name.
    fn by_name(self) -> Rate {
        rate(5, 12_000)
    }

    /// At one name, from everywhere: beyond it guesses become slow.
    fn ceiling(self) -> Rate {
        rate(100, 500)
    }

    /// What an answer that says no costs, more than one that says yes.
    fn surcharge(self) -> u32 {
        match self {
            Self::Document | Self::Register => 0,
            Self::Notice => 19,
            _ => 4,
        }
    }
}

/// Too many attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; try again in {0} seconds")]
pub struct TooMany(
    /// Seconds until another attempt can succeed, at least one: `Retry-After` (RFC 9110 section 10.2.3).
    pub u64,
);

/// The attempts of everybody. Shared by whatever listens.
#[derive(Debug)]
pub struct Attempts {
    /// When the allowance is full again (monotonic).
    full_at: Mutex<Recent<Key, Duration>>,
    world: Arc<dyn World>,
    /// How many processes have a part of each allowance.
    processes: AtomicU32,
}

type Key = (Kind, Who);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    /// As [`place`] gives it.
    Address(IpAddr),
    Network(Ipv6Addr),
    /// Of address and name.
    Both(Hash),
    Name(Hash),
}

/// One guess under way. Dropped, it was wrong.
#[derive(Debug)]
#[must_use]
pub struct Guess<'a> {
    attempts: &'a Attempts,
    paid: Vec<(Key, Rate)>,
    own: Key,
    delay: Duration,
}

impl Guess<'_> {
    /// How long to wait before looking whether it is right, because of what others guess at the same name.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// It was right: it costs nothing, and earlier wrong ones of this address at this name are forgiven.
    pub fn right(self) {
        let mut full_at = self.attempts.lock();
        for (key, rate) in &self.paid {
            give_back(&mut full_at, key, *rate);
        }
        full_at.remove(&self.own);
    }
}

impl Attempts {
    /// Nothing was tried yet.
    #[must_use]
    pub fn new(world: Arc<dyn World>) -> Self {
        Self {
            full_at: Mutex::new(Recent::new(HALF)),
            world,
            processes: AtomicU32::new(1),
        }
    }

    /// From here on so many processes serve, this one included: each has its part of every allowance, so that
    /// whoever tries at all of them has no more than whoever tries at one. Nothing is asked of anybody for an attempt.
    pub fn shared_by(&self, processes: u32) {
        let processes = processes.clamp(1, MOST_PROCESSES);
        self.processes.store(processes, Ordering::Relaxed);
    }

    /// This process's part of an allowance: at least one at once. As a time it is as long as the whole, so that debts
    /// stay what they are when the number of processes changes.
    fn part(&self, rate: Rate) -> Rate {
        let most = rate.most.max(1);
        let processes = self.processes.load(Ordering::Relaxed).min(most);
        let part = (most / processes).max(1);
        Rate {
            most: part,
            every: rate.every * most / part,
        }
    }

    /// What an attempt from there counts for, each by this process's part.
    fn addresses(&self, kind: Kind, from: IpAddr) -> Vec<(Key, Rate)> {
        let all = addresses(kind, from).into_iter();
        all.map(|(key, rate)| (key, self.part(rate))).collect()
    }

    /// One attempt from this address.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was counted then.
    pub fn take(&self, kind: Kind, from: IpAddr) -> Result<(), TooMany> {
        self.pay(&self.addresses(kind, from))
    }

    /// The attempt was a good one, and good ones of its kind cost nothing; or nobody could say what it was.
    pub fn give_back(&self, kind: Kind, from: IpAddr) {
        let mut full_at = self.lock();
        for (key, rate) in self.addresses(kind, from) {
            give_back(&mut full_at, &key, rate);
        }
    }

    /// The attempt was answered with no, which costs more. Debt ends where the allowance is empty.
    pub fn failed(&self, kind: Kind, from: IpAddr) {
        let now = self.world.monotonic();
        let mut full_at = self.lock();
        for (key, rate) in self.addresses(kind, from) {
            let before = full_at.get(&key).copied().unwrap_or(now).max(now);
            let empty = now + rate.every * rate.most;
            full_at.put(key, (before + rate.every * kind.surcharge()).min(empty));
        }
    }

    /// One guess at a secret of `name`, from this address; the name may be anything.
    ///
    /// # Errors
    /// [`TooMany`]; the guess must not be looked at then.
    pub fn guess(&self, kind: Kind, from: IpAddr, name: &str) -> Result<Guess<'_>, TooMany> {
        let named = Hash::of(name.as_bytes());
        let both = Hash::of_json(&serde_json::json!([place(from), name]));
        let own = (kind, Who::Both(both));
        let mut paid = self.addresses(kind, from);
        paid.push((own, self.part(kind.by_name())));
        self.pay(&paid)?;
        let ceiling = (kind, Who::Name(named));
        let rate = self.part(kind.ceiling());
        let delay = self.slow(ceiling, rate);
        paid.push((ceiling, rate));
        Ok(Guess {
            attempts: self,
            paid,
            own,
            delay,
        })
    }

    /// Takes one of each, or none.
    fn pay(&self, asked: &[(Key, Rate)]) -> Result<(), TooMany> {
        let now = self.world.monotonic();
        let mut full_at = self.lock();
        let mut after = Vec::with_capacity(asked.len());
        for (key, rate) in asked {
            let before = full_at.get(key).copied().unwrap_or(now).max(now);
            let then = before + rate.every;
            let empty = now + rate.every * rate.most;
            if then > empty {
                let wait = then.saturating_sub(empty);
                return Err(TooMany(wait.as_secs().saturating_add(1)));
            }
            after.push((*key, then));
        }
        for (key, then) in after {
            full_at.put(key, then);
        }
        Ok(())
    }

    /// Counts one, and says how long it has to wait for it.
    fn slow(&self, key: Key, rate: Rate) -> Duration {
        let now = self.world.monotonic();
        let mut full_at = self.lock();
        let before = full_at.get(&key).copied().unwrap_or(now).max(now);
        let empty = now + rate.every * rate.most;
        let then = (before + rate.every).min(empty + SLOWEST);
        full_at.put(key, then);
        then.saturating_sub(empty)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recent<Key, Duration>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn give_back(full_at: &mut Recent<Key, Duration>, key: &Key, rate: Rate) {
    if let Some(at) = full_at.get(key) {
        *at = at.saturating_sub(rate.every);
    }
}

/// What an attempt from there counts for.
fn addresses(kind: Kind, from: IpAddr) -> Vec<(Key, Rate)> {
    let near = kind.by_address();
    let place = place(from);
    let mut asked = vec![((kind, Who::Address(place)), near)];
    if let IpAddr::V6(address) = place {
        let [a, b, c, ..] = address.segments();
        let network = Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0);
        let wide = Rate {
            most: near.most.saturating_mul(WIDE),
            every: near.every / WIDE,
        };
        asked.push(((kind, Who::Network(network)), wide));
    }
    asked
}

/// The address that counts: IPv4 as it is, however it is written, and the /64 of an IPv6 address.
#[must_use]
pub fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests;
