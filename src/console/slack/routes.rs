//! Where a request is shown, and which on-call group is named there: by the policies that ask and the groups that are
//! asked, later by who is asked because nobody decided. Never everywhere, and nobody is called whom no route names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Spec;
use crate::approval::review::Posting;

/// A channel, and the user group that is called there (`S…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The channel's id.
    pub channel: String,
    /// The user group's id.
    pub group: Option<String>,
}

/// Where requests go that nobody decides: from step to step, one after each `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// How long each step waits.
    pub after: Duration,
    /// The steps of requests whose routes have none of their own.
    pub steps: Vec<Route>,
    /// Group or policy → the steps of its requests.
    pub routes: BTreeMap<String, Vec<Route>>,
}

/// Whether a channel shows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// It is put to this channel because nobody decided, since this time (Unix milliseconds).
    Escalated(u64),
    /// It belongs there from the start.
    Here,
    /// It does not, as far as is known.
    Never,
}

impl Spec {
    /// Every channel of this installation, once.
    pub(super) fn channels(&self) -> BTreeSet<&str> {
        let routed = self.routes.values();
        let escalated = self
            .escalation
            .iter()
            .flat_map(|one| one.steps.iter().chain(one.routes.values().flatten()));
        let all = routed.chain(escalated).map(|route| route.channel.as_str());
        all.chain(std::iter::once(self.channel.as_str())).collect()
    }

    /// The routes of a request: of the policies that ask, the groups that are asked, and those that policy asks by now.
    fn routes<'a>(&'a self, posting: &'a Posting) -> Vec<&'a Route> {
        let mut routes: Vec<&Route> = names(posting).filter_map(|name| self.routes.get(name)).collect();
        let later = posting.escalated_to.iter();
        routes.extend(later.filter_map(|group| self.routes.get(group)));
        routes
    }

    /// Where a request is shown from the start, and where policy's own escalation brought it.
    pub(super) fn places<'a>(&'a self, posting: &'a Posting) -> BTreeSet<&'a str> {
        let mut places: BTreeSet<&str> = self
            .routes(posting)
            .iter()
            .map(|one| one.channel.as_str())
            .collect();
        if !names(posting).any(|name| self.routes.contains_key(name)) {
            places.insert(&self.channel);
        }
        places
    }

    /// The steps of a request, each with when it is due (Unix milliseconds).
    fn steps<'a>(&'a self, posting: &'a Posting) -> Vec<(u64, &'a Route)> {
        let Some(escalation) = &self.escalation else {
            return Vec::new();
        };
        let own: Vec<&Vec<Route>> = names(posting)
            .filter_map(|name| escalation.routes.get(name))
            .collect();
        let all = if own.is_empty() {
            vec![&escalation.steps]
        } else {
            own
        };
        let after = u64::try_from(escalation.after.as_millis()).unwrap_or(u64::MAX);
        let due = |step: usize| {
            let waits = after.saturating_mul(u64::try_from(step + 1).unwrap_or(u64::MAX));
            posting.created_at.0.saturating_add(waits)
        };
        let steps = all.into_iter().flat_map(|steps| steps.iter().enumerate());
        steps.map(|(at, route)| (due(at), route)).collect()
    }

    /// Whether, and since when, a channel shows a request.
    pub(super) fn due(&self, posting: &Posting, channel: &str) -> Due {
        if self.places(posting).contains(channel) {
            return Due::Here;
        }
        let steps = self.steps(posting).into_iter();
        let here = steps.filter(|(_, route)| route.channel == channel);
        here.map(|(at, _)| at).min().map_or(Due::Never, Due::Escalated)
    }

    /// The groups that are called in a channel at `now`.
    pub(super) fn called<'a>(&'a self, posting: &'a Posting, channel: &str, now: u64) -> BTreeSet<&'a str> {
        let steps = self.steps(posting).into_iter();
        let steps = steps.filter(|(at, _)| *at <= now).map(|(_, route)| route);
        let all = self.routes(posting).into_iter().chain(steps);
        let here = all.filter(|route| route.channel == channel);
        here.filter_map(|route| route.group.as_deref()).collect()
    }
}

/// The policies that ask and the groups that are asked.
fn names(posting: &Posting) -> impl Iterator<Item = &str> {
    posting.asks.iter().flat_map(|ask| {
        let groups = ask.seats.iter().map(|(_, group)| group.as_str());
        std::iter::once(ask.policy.as_str()).chain(groups)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Delivery;
    use super::super::card::tests::posting;
    use super::*;
    use crate::secret::Secret;

    fn to(channel: &str, group: Option<&str>) -> Route {
        Route {
            channel: channel.to_owned(),
            group: group.map(str::to_owned),
        }
    }

    fn spec(escalation: Option<Escalation>) -> Spec {
        let secret = || Secret::new("x".to_owned());
        Spec {
            url: "http://127.0.0.1:1/api/".parse().unwrap(),
            bot_token: secret(),
            delivery: Delivery::Http(secret()),
            channel: "C0".to_owned(),
            routes: BTreeMap::from([
                ("dba".to_owned(), to("C1", Some("S1"))),
                ("ops".to_owned(), to("C2", Some("S2"))),
            ]),
            escalation,
            link: Duration::from_secs(3_600),
            control: "http://localhost/".parse().unwrap(),
            acr: BTreeMap::new(),
        }
    }

    #[test]
    fn a_request_goes_to_its_routes_and_those_of_whom_policy_asks_later() {
        let spec = spec(None);
        let mut one = posting();
        assert_eq!(spec.places(&one), BTreeSet::from(["C1"]));
        assert_eq!(spec.called(&one, "C1", 0), BTreeSet::from(["S1"]));
        assert_eq!(
            (spec.due(&one, "C1"), spec.due(&one, "C0")),
            (Due::Here, Due::Never)
        );
        one.escalated_to = vec!["ops".to_owned(), "nobody".to_owned()];
        assert_eq!(spec.places(&one), BTreeSet::from(["C1", "C2"]));
        assert_eq!(spec.called(&one, "C2", 0), BTreeSet::from(["S2"]));
        one.asks.clear();
        one.escalated_to.clear();
        assert_eq!(spec.places(&one), BTreeSet::from(["C0"]));
        assert!(spec.called(&one, "C0", 0).is_empty());
        assert_eq!(spec.channels(), BTreeSet::from(["C0", "C1", "C2"]));
    }

    #[test]
    fn steps_follow_each_other_at_a_distance_and_call_nobody_before() {
        let escalation = Escalation {
            after: Duration::from_secs(10),
            steps: vec![to("C9", None)],
            routes: BTreeMap::from([(
                "dba".to_owned(),
                vec![to("C3", Some("S3")), to("C4", None), to("C1", Some("S4"))],
            )]),
        };
        let spec = spec(Some(escalation));
        let mut one = posting();
        one.created_at = crate::clock::Timestamp(5_000);
        assert_eq!(spec.due(&one, "C3"), Due::Escalated(15_000));
        assert_eq!(spec.due(&one, "C4"), Due::Escalated(25_000));
        assert_eq!(spec.due(&one, "C9"), Due::Never, "its own steps, and no others");
        assert_eq!(spec.due(&one, "C1"), Due::Here);
        assert!(spec.called(&one, "C3", 14_999).is_empty());
        assert_eq!(spec.called(&one, "C3", 15_000), BTreeSet::from(["S3"]));
        one.asks.clear();
        assert_eq!(spec.due(&one, "C9"), Due::Escalated(15_000));
        assert_eq!(spec.due(&one, "C3"), Due::Never);
    }
}
