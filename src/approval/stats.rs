//! What the kept requests tell of the rules that ask and of the people who decide: too many questions make people say
//! yes without reading, and a rule that is always answered with yes asks nothing.

pub mod candidate;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use candidate::Candidate;

use super::Approvals;
use super::review::{NotDecided, Reviewer, State, unrecorded};
use super::terms::{Terms, readable, state};
use crate::clock::Timestamp;
use crate::policy::RuleSet;
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, BreakGlassRow, DecidedRow};

/// Most requests that are looked at, newest first.
const LOOKED_AT: u32 = 20_000;
/// A decision made sooner than this after the request was made, nobody has read (milliseconds).
const HASTY: u64 = 2_000;

/// How often and how fast, over the requests that are kept (30 days) and that the reader may see.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    /// RFC 3339 UTC; the oldest request that is counted.
    pub since: Option<String>,
    /// Whether older requests were left out.
    pub cut: bool,
    /// The rules that asked, those that asked most first.
    pub rules: Vec<RuleStats>,
    /// The people who decided, those who decided most first.
    pub people: Vec<PersonStats>,
    /// Requests that went on without the people who were asked.
    pub break_glass: u64,
    /// Those of them that nobody has reviewed.
    pub break_glass_unreviewed: u64,
}

/// One policy with `@approval`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RuleStats {
    /// Its id.
    pub id: String,
    /// Requests that people were asked about.
    pub asked: u64,
    /// Of them: enough people approved.
    pub approved: u64,
    /// Somebody refused.
    pub refused: u64,
    /// Nobody decided in time.
    pub expired: u64,
    /// Withdrawn before they were decided.
    pub cancelled: u64,
    /// Still waiting.
    pub pending: u64,
    /// Calls that ran under a grant, without being asked about.
    pub under_grant: u64,
    /// Decisions sooner than two seconds after the request was made.
    pub hasty: u64,
    /// From the request to the end of asking, in seconds: half of them were faster.
    pub median_seconds: Option<f64>,
    /// Nine of ten were faster.
    pub p90_seconds: Option<f64>,
    /// Approved of all that people decided, 0 to 1.
    pub approve_rate: Option<f64>,
    /// The calls it might stop asking about; a proposal once it has been replayed.
    #[serde(skip)]
    pub candidate: Option<Candidate>,
    /// A narrower rule, for a person to adopt, and what it would have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Value>,
    /// Why nothing is proposed, where much of what it asks about is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_proposed: Option<String>,
}

/// One person.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PersonStats {
    /// `<issuer>#<subject>`.
    pub person: String,
    /// Decisions.
    pub decided: u64,
    /// Approvals among them.
    pub approved: u64,
    /// Sooner than two seconds after the request was made.
    pub hasty: u64,
    /// In seconds after the request was made.
    pub median_seconds: Option<f64>,
    /// In seconds after the request was made.
    pub p90_seconds: Option<f64>,
}

/// How one kept request ended, for counting.
struct Counted {
    row: ApprovalRow,
    state: State,
    rules: Vec<String>,
    decisions: Vec<DecidedRow>,
    /// What the adapter found.
    facts: Value,
    /// What it was measured to do, without keys.
    counts: Option<Value>,
    /// Rules that call it high-risk.
    risky: BTreeSet<String>,
    /// Whether it went on without the people who were asked: that is nobody's approval.
    is_broken: bool,
}

impl Counted {
    /// Whether enough people approved, whatever became of it then.
    fn is_approved(&self) -> bool {
        self.row.granted_at.is_some() && self.state != State::Refused && !self.is_broken
    }

    fn of(
        row: ApprovalRow,
        terms: Terms,
        decisions: Vec<DecidedRow>,
        is_broken: bool,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            state: state(&row)?,
            row,
            risky: candidate::risky(&terms),
            rules: terms.asks.into_iter().map(|one| one.id).collect(),
            decisions,
            facts: terms.facts,
            counts: terms.counts,
            is_broken,
        })
    }

    /// When people were done with it, in milliseconds after it was made.
    fn took(&self) -> Option<u64> {
        let last = self.decisions.iter().map(|one| one.at).max();
        let done = self
            .row
            .granted_at
            .filter(|_| !self.is_broken)
            .or(last.filter(|_| self.state == State::Refused))?;
        Some(done.saturating_sub(self.row.created_at))
    }
}

impl Approvals {
    /// Counts the kept requests that this person is asked about or administers.
    ///
    /// # Errors
    /// [`NotDecided::Unrecorded`] when the store cannot be read.
    pub async fn stats(&self, reviewer: &Reviewer, rules: &RuleSet) -> Result<Stats, NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let rows = tx.latest(LOOKED_AT).await.map_err(unrecorded)?;
        let decided = tx.all_decided().await.map_err(unrecorded)?;
        let broken = tx.all_broken_glass(LOOKED_AT).await.map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        let cut = rows.len() >= LOOKED_AT as usize;
        let mut by_request: HashMap<String, Vec<DecidedRow>> = HashMap::new();
        for one in decided {
            by_request.entry(one.approval.clone()).or_default().push(one);
        }
        let mut administered: HashMap<Option<String>, bool> = HashMap::new();
        let mut sees = |resource: &Option<String>| {
            *administered.entry(resource.clone()).or_insert_with(|| {
                rules.may_administer(&reviewer.user, resource.as_deref().unwrap_or_default())
            })
        };
        let went_on: HashSet<&str> = broken.iter().map(|one| one.approval.as_str()).collect();
        let (mut asked, mut granted) = (Vec::new(), BTreeMap::new());
        for row in rows {
            let Some(terms) = readable(Terms::read(&row)).map_err(unrecorded)? else {
                continue;
            };
            if !terms.asks_of(&reviewer.user.groups) && !sees(&row.resource) {
                continue;
            }
            if terms.grant.is_some() {
                for one in terms.asks {
                    *granted.entry(one.id).or_insert(0) += 1;
                }
                continue;
            }
            let decisions = by_request.remove(&row.id).unwrap_or_default();
            let is_broken = went_on.contains(row.id.as_str());
            asked.push(Counted::of(row, terms, decisions, is_broken).map_err(unrecorded)?);
        }
        let is_theirs = |row: &BreakGlassRow| {
            let terms = serde_json::from_str::<Terms>(&row.terms);
            terms.is_ok_and(|terms| terms.asks_of(&reviewer.user.groups))
        };
        let broken = broken.iter().filter(|one| sees(&one.resource) || is_theirs(one));
        let broken: Vec<_> = broken.collect();
        Ok(Stats {
            since: asked
                .iter()
                .map(|one| one.row.created_at)
                .min()
                .map(|at| Timestamp(at).rfc3339()),
            cut,
            rules: of_rules(&asked, &granted),
            people: of_people(&asked),
            break_glass: broken.len() as u64,
            break_glass_unreviewed: broken.iter().filter(|one| one.reviewed_at.is_none()).count() as u64,
        })
    }
}

fn of_rules(asked: &[Counted], granted: &BTreeMap<String, u64>) -> Vec<RuleStats> {
    let mut by_rule: BTreeMap<&str, Vec<&Counted>> = BTreeMap::new();
    for one in asked {
        for rule in &one.rules {
            by_rule.entry(rule).or_default().push(one);
        }
    }
    let mut all: Vec<RuleStats> = by_rule
        .into_iter()
        .map(|(id, asked)| RuleStats {
            under_grant: granted.get(id).copied().unwrap_or_default(),
            ..rule(id, &asked)
        })
        .collect();
    all.sort_by(|one, other| other.asked.cmp(&one.asked).then_with(|| one.id.cmp(&other.id)));
    all
}

fn rule(id: &str, asked: &[&Counted]) -> RuleStats {
    let count = |is: &dyn Fn(&Counted) -> bool| asked.iter().filter(|one| is(one)).count() as u64;
    let approved = count(&Counted::is_approved);
    let refused = count(&|one| one.state == State::Refused);
    let decided = approved + refused;
    let times: Vec<u64> = asked.iter().filter_map(|one| one.took()).collect();
    let hasty = asked.iter().map(|one| hasty(one)).sum();
    let approve_rate = (decided > 0).then(|| ratio(approved, decided));
    let (candidate, not_proposed) = match candidate::of_rule(id, asked) {
        Ok(found) => (found, None),
        Err(why) => (None, (approved >= candidate::ENOUGH).then(|| why.to_owned())),
    };
    RuleStats {
        id: id.to_owned(),
        asked: asked.len() as u64,
        approved,
        refused,
        expired: count(&|one| one.state == State::Expired && one.row.granted_at.is_none()),
        cancelled: count(&|one| one.state == State::Cancelled && one.row.granted_at.is_none()),
        pending: count(&|one| one.state == State::Pending),
        under_grant: 0,
        hasty,
        median_seconds: percentile(times.clone(), 50),
        p90_seconds: percentile(times, 90),
        approve_rate,
        candidate,
        proposal: None,
        not_proposed,
    }
}

fn of_people(asked: &[Counted]) -> Vec<PersonStats> {
    let mut by_person: BTreeMap<String, Vec<(&DecidedRow, u64)>> = BTreeMap::new();
    for one in asked {
        for decision in &one.decisions {
            let person = format!("{}#{}", decision.issuer, decision.subject);
            let took = decision.at.saturating_sub(one.row.created_at);
            by_person.entry(person).or_default().push((decision, took));
        }
    }
    let mut all: Vec<PersonStats> = by_person
        .into_iter()
        .map(|(person, decisions)| {
            let times: Vec<u64> = decisions.iter().map(|(_, took)| *took).collect();
            PersonStats {
                person,
                decided: decisions.len() as u64,
                approved: decisions.iter().filter(|(one, _)| one.approves).count() as u64,
                hasty: times.iter().filter(|took| **took < HASTY).count() as u64,
                median_seconds: percentile(times.clone(), 50),
                p90_seconds: percentile(times, 90),
            }
        })
        .collect();
    all.sort_by(|one, other| {
        other
            .decided
            .cmp(&one.decided)
            .then_with(|| one.person.cmp(&other.person))
    });
    all
}

fn hasty(one: &Counted) -> u64 {
    let created = one.row.created_at;
    let fast = one
        .decisions
        .iter()
        .filter(|decision| decision.at.saturating_sub(created) < HASTY);
    fast.count() as u64
}

/// The nearest rank: the smallest value that `percent` of all do not exceed. In seconds.
fn percentile(mut millis: Vec<u64>, percent: usize) -> Option<f64> {
    millis.sort_unstable();
    let rank = (millis.len() * percent).div_ceil(100).max(1);
    let millis = millis.get(rank - 1)?;
    Some(ratio(*millis, 1_000))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and times of a month are far below 2^52"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert_eq!(percentile(Vec::new(), 50), None);
        assert_eq!(percentile(vec![3_000], 90), Some(3.0));
        assert_eq!(percentile(vec![4_000, 1_000, 2_000, 3_000], 50), Some(2.0));
        assert_eq!(percentile((1..=10).map(|n| n * 1_000).collect(), 90), Some(9.0));
    }
}
