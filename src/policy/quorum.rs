//! Whether enough of the right people have approved.
//!
//! `@approval("2 dba, 1 security")` asks for three people: nobody counts twice, whatever groups they
//! are in, and whoever asks never counts (incident notes H3, H4, H5). Counting is a matching of seats
//! to people, so that somebody in two groups takes the seat that nobody else can.

use crate::call::{Approver, User};
use crate::identity::SERVICE;

/// Whether `approvers` without `requester` can fill every seat of `asked`, one person to a seat.
#[must_use]
pub fn is_met(asked: &[(u32, String)], approvers: &[Approver], requester: &User) -> bool {
    missing(asked, approvers, requester).is_empty()
}

/// The groups that still miss people, once for each seat that nobody can take. Empty when nothing is
/// asked of anybody is impossible: an `@approval` without a group does not load.
#[must_use]
pub fn missing<'a>(asked: &'a [(u32, String)], approvers: &[Approver], requester: &User) -> Vec<&'a str> {
    let mut people: Vec<&Approver> = Vec::new();
    for approver in approvers {
        let is_requester = approver.issuer == requester.issuer && approver.subject == requester.subject;
        let known = people
            .iter()
            .any(|one| one.issuer == approver.issuer && one.subject == approver.subject);
        // No issuer is called so, and if a row ever says it: a key is nobody's judgement.
        let is_service = approver.issuer == SERVICE;
        if !is_requester && !known && !is_service {
            people.push(approver);
        }
    }
    let seats = asked
        .iter()
        .flat_map(|(count, group)| (0..*count).map(move |_| group.as_str()));
    let mut taken: Vec<Option<&str>> = vec![None; people.len()];
    seats
        .filter(|seat| {
            let mut tried = vec![false; people.len()];
            !seat_one(seat, &people, &mut taken, &mut tried)
        })
        .collect()
}

/// Gives `seat` to somebody, moving others to seats they can take as well (an augmenting path).
fn seat_one<'a>(
    seat: &'a str,
    people: &[&Approver],
    taken: &mut [Option<&'a str>],
    tried: &mut [bool],
) -> bool {
    for (place, person) in people.iter().enumerate() {
        let fresh = tried.get(place).is_some_and(|tried| !tried);
        if !fresh || !person.groups.contains(seat) {
            continue;
        }
        if let Some(tried) = tried.get_mut(place) {
            *tried = true;
        }
        let moved = match taken.get(place).copied().flatten() {
            None => true,
            Some(other) => seat_one(other, people, taken, tried),
        };
        if moved {
            if let Some(place) = taken.get_mut(place) {
                *place = Some(seat);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::UserKind;

    fn person(subject: &str, groups: &[&str]) -> Approver {
        Approver {
            issuer: "corp".to_owned(),
            subject: subject.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        }
    }

    fn asker() -> User {
        User {
            issuer: "corp".to_owned(),
            subject: "asker".to_owned(),
            kind: UserKind::Person,
            groups: ["dba".to_owned(), "security".to_owned()].into(),
        }
    }

    fn asked(seats: &[(u32, &str)]) -> Vec<(u32, String)> {
        seats
            .iter()
            .map(|(count, group)| (*count, (*group).to_owned()))
            .collect()
    }

    #[test]
    fn h4_somebody_in_two_groups_takes_one_seat() {
        let asked = asked(&[(1, "dba"), (1, "security")]);
        let both = person("both", &["dba", "security"]);
        assert_eq!(
            missing(&asked, std::slice::from_ref(&both), &asker()),
            ["security"]
        );
        let twice = [both.clone(), both.clone()];
        assert!(!is_met(&asked, &twice, &asker()));
        // Whoever comes second, the one in both groups moves to the other seat.
        assert!(is_met(&asked, &[both.clone(), person("d", &["dba"])], &asker()));
        assert!(is_met(&asked, &[both, person("s", &["security"])], &asker()));
    }

    #[test]
    fn h3_the_requester_never_counts_whatever_their_groups() {
        let asked = asked(&[(1, "dba")]);
        assert!(!is_met(
            &asked,
            &[person("asker", &["dba", "security"])],
            &asker()
        ));
        assert!(is_met(
            &asked,
            &[person("asker", &["dba"]), person("d", &["dba"])],
            &asker()
        ));
        // The same subject at another issuer is somebody else.
        let mut other = person("asker", &["dba"]);
        other.issuer = "partner".to_owned();
        assert!(is_met(&asked, &[other], &asker()));
    }

    #[test]
    fn h5_more_people_than_asked_for_are_enough() {
        let asked = asked(&[(1, "dba")]);
        let people = [person("a", &["dba"]), person("b", &["dba", "security"])];
        assert!(is_met(&asked, &people, &asker()));
    }

    #[test]
    fn nobody_and_people_of_other_groups_are_not_enough() {
        let asked = asked(&[(2, "dba"), (1, "security")]);
        assert_eq!(missing(&asked, &[], &asker()), ["dba", "dba", "security"]);
        let people = [
            person("a", &["dba"]),
            person("b", &["audit"]),
            person("c", &["dba"]),
        ];
        assert_eq!(missing(&asked, &people, &asker()), ["security"]);
    }
}
