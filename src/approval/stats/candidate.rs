//! Which calls a rule might stop asking about: those that many people, many times, on many days, all said yes to.
//!
//! What is found here is only a candidate. Whether a clause for it does what it should, and nothing else, is found out
//! with the calls on record (`audit::hindsight`); without that nothing is proposed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::Counted;
use crate::approval::review::State;
use crate::approval::terms::Terms;
use crate::call::{Action, SqlFacts};
use crate::policy::exempt::{Exemption, Touches};

/// Approvals of calls of one shape, each by somebody who took the time to look, that make a candidate.
pub const ENOUGH: u64 = 50;
/// People who each gave at least [`EACH`] of them.
pub const REVIEWERS: u64 = 3;
/// Approvals that one person must have given to count as one who decides.
pub const EACH: u64 = 5;
/// Days (UTC) on which such calls were asked about.
pub const DAYS: u64 = 7;
/// Most people who may have sent them: a clause names each.
pub const SENDERS: usize = 20;
/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// Calls of one shape that a rule asked about, and that were always approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which calls.
    pub exemption: Exemption,
    /// How often they were approved, not counting decisions that nobody can have read for.
    pub approved: u64,
    /// By how many people who did so again and again.
    pub reviewers: u64,
    /// On how many days.
    pub days: u64,
    /// The most rows that one of them was measured to change, where that was measured.
    pub most_rows: Option<u64>,
}

/// A request's shape: what a clause could say of it.
type Key = (String, String, String);

/// Finds the best candidate of a rule, or says why there is none. `None` where the rule asked about nothing that comes
/// near.
pub(super) fn of_rule(id: &str, asked: &[&Counted]) -> Result<Option<Candidate>, &'static str> {
    let mut groups: BTreeMap<Key, Vec<(&Counted, Touches)>> = BTreeMap::new();
    let mut undoable = false;
    for one in asked {
        if one.is_broken {
            return Err("somebody had to go round it: that needs people, not a clause");
        }
        if one.risky.contains(id) {
            return Err("it is marked @risk: such calls are always asked about");
        }
        let Some(resource) = one.row.resource.clone() else {
            continue;
        };
        match touches(one) {
            Some(touches) => {
                let key = (one.row.tool.clone(), resource, shape(&touches));
                groups.entry(key).or_default().push((one, touches));
            }
            None => undoable = true,
        }
    }
    let mut best: Option<Candidate> = None;
    let mut near = undoable.then_some(
        "it asks about what cannot be taken back, was not measured, or is no statement and no inspection: never proposed",
    );
    for ((tool, resource, _), all) in groups {
        match judge(&tool, &resource, &all) {
            Ok(found) if best.as_ref().is_none_or(|best| best.approved < found.approved) => {
                best = Some(found)
            }
            Ok(_) => {}
            Err(why) => near = why.or(near),
        }
    }
    match (best, near) {
        (Some(best), _) => Ok(Some(best)),
        (None, Some(why)) => Err(why),
        (None, None) => Ok(None),
    }
}

/// Whether calls of one shape were always approved, by enough people who looked. The error is empty where there were
/// few of them.
fn judge(tool: &str, resource: &str, all: &[(&Counted, Touches)]) -> Result<Candidate, Option<&'static str>> {
    let (_, touches) = all.first().ok_or(None)?;
    let yes: Vec<&Counted> = all
        .iter()
        .map(|(one, _)| *one)
        .filter(|one| one.was_read_and_approved())
        .collect();
    let approved = yes.len() as u64;
    if approved < ENOUGH {
        return Err(None);
    }
    if all
        .iter()
        .any(|(one, _)| one.state == State::Refused || one.decisions.iter().any(|by| !by.approves))
    {
        return Err(Some("somebody refused such a call"));
    }
    let mut by_person: HashMap<(&str, &str), u64> = HashMap::new();
    for by in yes.iter().flat_map(|one| &one.decisions) {
        *by_person.entry((&by.issuer, &by.subject)).or_default() += 1;
    }
    let reviewers = by_person.values().filter(|count| **count >= EACH).count() as u64;
    if reviewers < REVIEWERS {
        return Err(Some("too few people decide: that they always agree says little"));
    }
    let days: BTreeSet<u64> = yes.iter().map(|one| one.row.created_at / DAY).collect();
    if (days.len() as u64) < DAYS {
        return Err(Some("all of it was within a few days"));
    }
    let people: BTreeSet<String> = yes
        .iter()
        .map(|one| format!("{}#{}", one.row.issuer, one.row.subject))
        .collect();
    if people.len() > SENDERS {
        return Err(Some("too many people send such calls to name each of them"));
    }
    Ok(Candidate {
        exemption: Exemption {
            tool: tool.to_owned(),
            resource: resource.to_owned(),
            people,
            agents: yes.iter().map(|one| one.row.client_id.clone()).collect(),
            touches: touches.clone(),
        },
        approved,
        reviewers,
        days: days.len() as u64,
        most_rows: yes.iter().filter_map(|one| rows(one.counts.as_ref()?)).max(),
    })
}

/// What a clause could say of a request, where one may say anything of it: of statements whose effect was measured and
/// can be taken back, of queries, and of commands that only look.
fn touches(one: &Counted) -> Option<Touches> {
    let facts = &one.facts;
    let word = facts.pointer("/action").and_then(Value::as_str)?;
    let action = [Action::SqlRead, Action::SqlWrite, Action::ShellRun];
    let action = action.into_iter().find(|action| action.as_str() == word)?;
    let is = |pointer: &str| facts.pointer(pointer).and_then(Value::as_bool);
    let names = |pointer: &str| -> Option<BTreeSet<String>> {
        let all = facts.pointer(pointer)?.as_array()?.iter();
        all.map(|name| name.as_str().map(str::to_owned)).collect()
    };
    if action == Action::ShellRun {
        let looks = facts
            .pointer("/shell/kind")
            .is_some_and(|kind| kind == "inspection");
        let harmless = looks && is("/shell/network") == Some(false) && is("/shell/change") == Some(false);
        return harmless
            .then(|| names("/shell/programs").map(Touches::Inspection))
            .flatten();
    }
    if action == Action::SqlWrite {
        let counts = one.counts.as_ref()?;
        let keeps = counts.get("irreversible").and_then(Value::as_bool) == Some(false);
        let no_schema = counts
            .get("schema")
            .and_then(Value::as_object)
            .is_some_and(serde_json::Map::is_empty);
        if !keeps || !no_schema {
            return None;
        }
    }
    let sql = SqlFacts {
        kind: facts.pointer("/sql/kind").and_then(Value::as_str)?.to_owned(),
        tables: names("/sql/tables")?,
        columns: names("/sql/columns")?,
        functions: names("/sql/functions")?,
        has_where: is("/sql/has_where")?,
        irreversible: is("/sql/irreversible")?,
        template: None,
    };
    (!sql.irreversible).then_some(Touches::Sql(action, sql))
}

fn shape(touches: &Touches) -> String {
    match touches {
        Touches::Sql(action, sql) => format!(
            "{} {} {:?} {:?} {:?} {}",
            action.as_str(),
            sql.kind,
            sql.tables,
            sql.columns,
            sql.functions,
            sql.has_where
        ),
        Touches::Inspection(programs) => format!("{programs:?}"),
    }
}

fn rows(counts: &Value) -> Option<u64> {
    let tables = counts.get("rows")?.as_object()?.values();
    let kinds = tables
        .filter_map(Value::as_object)
        .flat_map(|kinds| kinds.values());
    Some(kinds.filter_map(Value::as_u64).fold(0, u64::saturating_add))
}

impl Counted {
    /// Whether enough people approved it, and none of them so fast that they cannot have read it.
    fn was_read_and_approved(&self) -> bool {
        let yes = self.decisions.iter().filter(|one| one.approves);
        self.is_approved()
            && !self.decisions.is_empty()
            && yes
                .clone()
                .all(|one| one.at.saturating_sub(self.row.created_at) >= super::HASTY)
    }
}

/// What a request's terms say, as far as it is counted.
pub(super) fn risky(terms: &Terms) -> BTreeSet<String> {
    let risky = terms.asks.iter().filter(|one| one.high_risk);
    risky.map(|one| one.id.clone()).collect()
}
