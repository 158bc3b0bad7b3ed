//! Allowances on a clock that moves only when told to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;

/// A clock that moves only when told to.
#[derive(Debug, Default)]
struct Fixed(std::sync::atomic::AtomicU64);

impl Fixed {
    fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(by, std::sync::atomic::Ordering::Relaxed);
    }
}

impl World for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

fn desk() -> (Arc<Fixed>, Attempts) {
    let world = Arc::new(Fixed::default());
    (Arc::clone(&world), Attempts::new(world))
}

fn four(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, last))
}

fn six(network: u16, subnet: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, network, subnet, 0, 0, 0, host))
}

/// How many of `times` were allowed.
fn taken(attempts: &Attempts, kind: Kind, from: IpAddr, times: u32) -> u32 {
    let allowed = (0..times).filter(|_| attempts.take(kind, from).is_ok());
    u32::try_from(allowed.count()).unwrap()
}

#[test]
fn an_address_has_an_allowance_that_comes_back_and_others_have_their_own() {
    let (world, attempts) = desk();
    assert_eq!(taken(&attempts, Kind::Credential, four(1), 1000), 100);
    assert_eq!(attempts.take(Kind::Credential, four(1)), Err(TooMany(1)));
    assert_eq!(taken(&attempts, Kind::Credential, four(2), 1000), 100);
    assert_eq!(taken(&attempts, Kind::Page, four(1), 1000), 120, "another kind");
    world.advance(Duration::from_secs(1));
    assert_eq!(taken(&attempts, Kind::Credential, four(1), 1000), 5);
    world.advance(Duration::from_hours(1));
    assert_eq!(
        taken(&attempts, Kind::Credential, four(1), 1000),
        100,
        "never more than full"
    );
}

#[test]
fn the_wait_that_is_told_is_long_enough_and_no_refusal_makes_it_longer() {
    let (world, attempts) = desk();
    assert_eq!(taken(&attempts, Kind::Register, four(1), 1000), 20);
    let Err(TooMany(seconds)) = attempts.take(Kind::Register, four(1)) else {
        panic!("allowed");
    };
    assert_eq!(taken(&attempts, Kind::Register, four(1), 10_000), 0);
    world.advance(Duration::from_secs(seconds));
    assert_eq!(attempts.take(Kind::Register, four(1)), Ok(()));
}

#[test]
fn what_is_given_back_was_never_taken_and_a_no_costs_more_but_no_debt() {
    let (world, attempts) = desk();
    for _ in 0..10_000 {
        attempts.take(Kind::Credential, four(1)).unwrap();
        attempts.give_back(Kind::Credential, four(1));
    }
    attempts.give_back(Kind::Credential, four(1)); // once too often makes no more than full
    assert_eq!(taken(&attempts, Kind::Credential, four(1), 1000), 100);
    for _ in 0..60 {
        attempts.take(Kind::Token, four(1)).unwrap();
        attempts.failed(Kind::Token, four(1));
    }
    assert!(attempts.take(Kind::Token, four(1)).is_err(), "300 / 5");
    for _ in 0..10_000 {
        attempts.failed(Kind::Token, four(1));
    }
    world.advance(Duration::from_millis(100));
    assert_eq!(
        attempts.take(Kind::Token, four(1)),
        Ok(()),
        "an attack that ended is over"
    );
}

#[test]
fn one_host_has_one_allowance_however_its_address_is_written() {
    let (_, attempts) = desk();
    let mapped = IpAddr::V6(Ipv4Addr::new(198, 51, 100, 1).to_ipv6_mapped());
    assert_eq!(taken(&attempts, Kind::Page, four(1), 60), 60);
    assert_eq!(taken(&attempts, Kind::Page, mapped, 1000), 60);
    let hosts: u32 = (0..1000)
        .map(|host| taken(&attempts, Kind::Page, six(1, 1, host), 1))
        .sum();
    assert_eq!(hosts, 120, "one /64");
    let subnets: u32 = (0..100)
        .map(|subnet| taken(&attempts, Kind::Page, six(2, subnet, 1), 1000))
        .sum();
    assert_eq!(subnets, 16 * 120, "one /48");
    assert_eq!(taken(&attempts, Kind::Page, six(3, 1, 1), 1000), 120);
}

#[test]
fn a_name_is_locked_for_the_address_that_guesses_and_for_nobody_else() {
    let (world, attempts) = desk();
    let wrong = |from| attempts.guess(Kind::Password, from, "ana").map(drop);
    for _ in 0..5 {
        wrong(four(1)).unwrap();
    }
    let Err(TooMany(seconds)) = wrong(four(1)) else {
        panic!("allowed");
    };
    let victim = attempts.guess(Kind::Password, four(2), "ana").unwrap();
    assert_eq!(victim.delay(), Duration::ZERO);
    victim.right();
    assert!(
        attempts.guess(Kind::Password, four(1), "bob").is_ok(),
        "another name"
    );
    world.advance(Duration::from_secs(seconds));
    let right = attempts.guess(Kind::Password, four(1), "ana").unwrap();
    right.right();
    for _ in 0..5 {
        wrong(four(1)).unwrap(); // forgiven: as many as at the beginning
    }
    assert!(wrong(four(1)).is_err());
}

#[test]
fn right_guesses_cost_nothing_and_guesses_under_way_count() {
    let (_, attempts) = desk();
    for _ in 0..1000 {
        attempts.guess(Kind::Password, four(1), "ana").unwrap().right();
    }
    let under_way: Vec<_> = (0..6)
        .map(|_| attempts.guess(Kind::Password, four(1), "ana"))
        .collect();
    assert_eq!(under_way.iter().filter(|guess| guess.is_ok()).count(), 5);
}

#[test]
fn guesses_from_everywhere_make_a_name_slow_and_do_not_lock_it() {
    let (world, attempts) = desk();
    for host in 0..250 {
        for _ in 0..5 {
            let _wrong = attempts.guess(Kind::Password, four(host), "ana");
        }
    }
    let victim = attempts.guess(Kind::Password, four(251), "ana").unwrap();
    assert!(victim.delay() > Duration::ZERO && victim.delay() <= SLOWEST);
    drop(victim);
    let other = attempts.guess(Kind::Password, four(252), "bob").unwrap();
    assert_eq!(other.delay(), Duration::ZERO);
    world.advance(Duration::from_mins(1));
    let later = attempts.guess(Kind::Password, four(253), "ana").unwrap();
    assert_eq!(later.delay(), Duration::ZERO);
}

#[test]
fn memory_is_bounded() {
    let (_, attempts) = desk();
    for network in 0..200 {
        for subnet in 0..500 {
            let _taken = attempts.take(Kind::Document, six(network, subnet, 0));
        }
    }
    assert!(attempts.lock().len() <= 2 * HALF);
}

#[test]
fn only_a_proxy_of_ours_is_believed_and_only_its_own_words() {
    let ours: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
    let proxies = Proxies::new(&ours);
    let of = |peer: &str, values: &[&str]| {
        let peer = peer.parse().unwrap();
        proxies.client(peer, values.iter().copied()).to_string()
    };
    let cases: &[(&str, &[&str], &str)] = &[
        ("203.0.113.9", &["1.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", &["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", &["9.9.9.9", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", &["9.9.9.9, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", &["10.0.0.2,10.0.0.1"], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3.4:443"], "1.2.3.4"),
        ("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", &["1.2.3.4, unknown"], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3.4,"], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3.4, rubbish, 10.0.0.2"], "10.0.0.1"),
        ("10.0.0.1", &[""], "10.0.0.1"),
    ];
    for (peer, values, expected) in cases {
        assert_eq!(of(peer, values), *expected, "{peer} {values:?}");
    }
}

proptest! {
    /// Whatever a sender writes before it, the address our proxy saw is the one that counts.
    #[test]
    fn a_senders_own_words_do_not_change_who_they_are(words in "\\PC{0,40}", seen in any::<[u8; 4]>()) {
        let seen = IpAddr::from(seen);
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        prop_assume!(seen != proxy);
        let list = format!("{words}, {seen}");
        let proxies = Proxies::new(&[proxy]);
        prop_assert_eq!(proxies.client(proxy, std::iter::once(list.as_str())), seen);
        let alone = proxies.client(proxy, std::iter::once(words.as_str()));
        prop_assert!(alone == proxy || words.contains(&alone.to_string()) || words.contains(':') || words.contains('.'));
    }

    /// No run of attempts gets more than the allowance and what came back meanwhile.
    #[test]
    fn no_sequence_gets_more_than_its_rate(steps in proptest::collection::vec((0_u64..5_000, 0_u32..50), 1..60)) {
        let (world, attempts) = desk();
        let (mut passed, mut allowed) = (0, 0_u64);
        for (milliseconds, times) in steps {
            world.advance(Duration::from_millis(milliseconds));
            passed += milliseconds;
            allowed += u64::from(taken(&attempts, Kind::Credential, four(1), times));
            prop_assert!(allowed <= 100 + passed / 200);
        }
    }
}

/// Whoever tries at every process has no more than whoever tries at one, and no debt is forgiven when one comes or goes.
#[test]
fn an_allowance_is_one_over_all_processes() {
    let (world, here) = desk();
    let there = Attempts::new(world.clone());
    for attempts in [&here, &there] {
        attempts.shared_by(2);
    }
    for kind in [Kind::UserCode, Kind::Password, Kind::Credential, Kind::Page] {
        let most = kind.by_address().most;
        let all = taken(&here, kind, four(1), 1000) + taken(&there, kind, four(1), 1000);
        assert_eq!(all, most, "{kind:?}");
        world.advance(kind.by_address().every * 2);
        let all = taken(&here, kind, four(1), 1000) + taken(&there, kind, four(1), 1000);
        assert_eq!(all, 2, "{kind:?}: one each comes back in the time of two");
    }
    let guesses = |attempts: &Attempts| {
        let guesses = (0..100).filter(|_| attempts.guess(Kind::UserCode, four(7), "ann").is_ok());
        guesses.count()
    };
    assert_eq!(guesses(&here) + guesses(&there), 4, "of five");
    here.shared_by(1);
    assert_eq!(guesses(&here), 0, "its debt stays");
    here.shared_by(u32::MAX);
    assert_eq!(taken(&here, Kind::UserCode, four(9), 1000), 1, "one at least");
}
