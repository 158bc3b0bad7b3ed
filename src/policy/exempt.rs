//! "What if that rule did not ask about these calls?": one `when` added to one `@approval` policy, as a diff for a
//! person to adopt, and the set that would come of it, to judge calls of the past with.
//!
//! Nothing here changes what is in force. The clause is checked like everything in a policy file, because it goes
//! through the same loader, and it is compared with the policy before: one condition more, and nothing else.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::str::FromStr as _;
use std::sync::Arc;

use cedar_policy::{Policy, PolicySet};
use serde::Serialize;
use serde_json::Value;

use super::explain::Supposed;
use super::files;
use super::rules::{Finding, Rules};
use super::{ObligationKind, RuleSet};
use crate::call::{Action, SqlFacts};

/// Lines around a change in a diff.
const AROUND: usize = 3;

/// The calls that a rule need not ask about: every part holds at once, so each makes it narrower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// With this tool.
    pub tool: String,
    /// On this resource.
    pub resource: String,
    /// By one of these, `<issuer>#<subject>`.
    pub people: BTreeSet<String>,
    /// Through one of these programs (their client ids), vouched for.
    pub agents: BTreeSet<String>,
    /// What the call touches at most.
    pub touches: Touches,
}

/// What a call touches at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touches {
    /// A statement of that kind, which names none but these tables, columns and functions; never one that cannot be
    /// taken back.
    Sql(Action, SqlFacts),
    /// A command that only looks, of these programs alone.
    Inspection(BTreeSet<String>),
}

/// The set with the exemption in it.
#[derive(Debug)]
pub struct Exempted {
    /// The change, in unified form; paths are relative to the folder of policies.
    pub diff: String,
    /// The whole set as it would be.
    pub rules: RuleSet,
}

/// What a set says of a call, as far as it matters for who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stance {
    /// `permit`, `ask` or `deny`.
    pub verdict: &'static str,
    /// The policies for which people are asked.
    pub people: BTreeSet<String>,
    /// The other obligations.
    pub others: BTreeSet<String>,
    /// The policies that permit or deny it.
    pub ids: BTreeSet<String>,
}

impl Exemption {
    /// The clause, in Cedar, one condition a line.
    fn clause(&self) -> String {
        let mut all = Vec::new();
        let action = match &self.touches {
            Touches::Sql(action, _) => *action,
            Touches::Inspection(_) => Action::ShellRun,
        };
        all.push(format!("action == Tollgate::Action::{}", quoted(action.as_str())));
        all.push(format!(
            "resource == Tollgate::Resource::{}",
            quoted(&self.resource)
        ));
        let people = self
            .people
            .iter()
            .map(|id| format!("Tollgate::User::{}", quoted(id)));
        all.push(format!(
            "[{}].contains(principal)",
            people.collect::<Vec<_>>().join(", ")
        ));
        all.push(format!("context.tool == {}", quoted(&self.tool)));
        all.push("context.agent.verified".to_owned());
        all.push(format!("{}.contains(context.agent.client_id)", set(&self.agents)));
        match &self.touches {
            Touches::Sql(_, sql) => {
                all.push(format!("context.sql.kind == {}", quoted(&sql.kind)));
                all.push(inside(&sql.tables, "context.sql.tables"));
                all.push(inside(&sql.columns, "context.sql.columns"));
                all.push(inside(&sql.functions, "context.sql.functions"));
                if sql.has_where {
                    all.push("context.sql.has_where".to_owned());
                }
                all.push("!context.sql.irreversible".to_owned());
            }
            Touches::Inspection(programs) => {
                all.push("context.shell.kind == \"inspection\"".to_owned());
                all.push(inside(programs, "context.shell.programs"));
                all.push("!context.shell.network".to_owned());
                all.push("!context.shell.change".to_owned());
            }
        }
        format!("when {{ !(\n  {}\n) }}\n", all.join(" &&\n  "))
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_default())
}

fn set(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!("[{}]", names.join(", "))
}

/// An empty set has no type in strict Cedar, so it is said in other words.
fn inside(names: &BTreeSet<String>, field: &str) -> String {
    if names.is_empty() {
        format!("{field}.isEmpty()")
    } else {
        format!("{}.containsAll({field})", set(names))
    }
}

impl RuleSet {
    /// This set with an exemption in the policy `id`.
    ///
    /// # Errors
    /// For the operator: the files on disk are not the ones in force, there is no such `@approval`, it is marked
    /// `@risk`, or the clause does not fit there.
    pub fn exempting(&self, id: &str, exemption: &Exemption) -> Result<Exempted, String> {
        let asks = self.active.loaded.rules.get(id);
        let asks = asks.filter(|rule| matches!(rule.obligation, Some(ObligationKind::Approval(_))));
        let rule = asks.ok_or("the policies in force have no such @approval any more")?;
        if rule.choices.high_risk {
            return Err("it is marked @risk".to_owned());
        }
        let mut sources = files::read_folder(&self.dir, "cedar").map_err(|faults| {
            let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
            all.join("\n")
        })?;
        if super::load::digest(&sources) != self.digest() {
            return Err("the policy files have changed since they were loaded: reload first".to_owned());
        }
        let source = sources
            .iter_mut()
            .find(|source| source.path == rule.file)
            .ok_or("its file is gone")?;
        let amended = amended(&source.text, id, &exemption.clause())?;
        let diff = diff(&source.name, &source.text, &amended);
        source.text = amended;
        let scene = Arc::clone(self.active.shared_scene());
        let active = Rules::of(&self.dir, &sources, &scene)
            .map_err(|error| format!("the rule would not load: {error}"))?;
        Ok(Exempted {
            diff,
            rules: Self::around(active, None, &self.dir),
        })
    }

    /// What this set says of a supposed call, without evidence.
    #[must_use]
    pub fn stance(&self, supposed: &Supposed) -> Stance {
        let judged = self.active.judge(&supposed.question());
        let mut stance = Stance {
            verdict: judged.finding.word(),
            people: BTreeSet::new(),
            others: BTreeSet::new(),
            ids: judged.ids,
        };
        if let Finding::Ask(obligations) = judged.finding {
            stance.ids.clear();
            for one in obligations {
                let kind = match one.kind {
                    ObligationKind::Approval(_) => &mut stance.people,
                    _ => &mut stance.others,
                };
                kind.insert(one.id);
            }
        }
        stance
    }
}

/// The text of a policy file with one condition more before the `unless` of one policy.
fn amended(text: &str, id: &str, clause: &str) -> Result<String, String> {
    const MISFIT: &str = "the clause does not fit into the policy as it is written; write it by hand";
    let before = parsed(text)?;
    let policy = before
        .policies()
        .find(|policy| policy.annotation("id") == Some(id))
        .ok_or("its policy is gone")?;
    let own = policy.to_cedar().ok_or(MISFIT)?;
    let start = text.find(&own).ok_or(MISFIT)?;
    let at = start + own.rfind("unless").ok_or(MISFIT)?;
    let (head, tail) = text.split_at_checked(at).ok_or(MISFIT)?;
    let line = head.rsplit('\n').next().unwrap_or_default();
    let gap = if line.trim().is_empty() { "" } else { "\n" };
    let new = format!("{head}{gap}{clause}{tail}");
    let after = parsed(&new).map_err(|_| MISFIT)?;
    let same = before.policies().count() == after.policies().count()
        && before.policies().all(|old| {
            let id = old.annotation("id");
            let new = after.policies().find(|new| new.annotation("id") == id);
            let (Ok(old), Some(Ok(new))) = (old.to_json(), new.map(Policy::to_json)) else {
                return false;
            };
            old == new || id == policy.annotation("id") && is_one_more(old, new)
        });
    if same { Ok(new) } else { Err(MISFIT.to_owned()) }
}

fn parsed(text: &str) -> Result<PolicySet, String> {
    PolicySet::from_str(text).map_err(|error| format!("the rule cannot be read: {error}"))
}

/// Whether `new` is `old` with one `when` more: whatever the text looks like, that is what it says.
fn is_one_more(mut old: Value, mut new: Value) -> bool {
    let conditions = |policy: &mut Value| match policy.get_mut("conditions").map(Value::take) {
        Some(Value::Array(all)) => all,
        _ => Vec::new(),
    };
    let (before, mut after) = (conditions(&mut old), conditions(&mut new));
    for condition in &before {
        let Some(at) = after.iter().position(|other| other == condition) else {
            return false;
        };
        after.remove(at);
    }
    let more = |left: &Value| left.get("kind").is_some_and(|kind| kind == "when");
    old == new && after.len() == 1 && after.iter().all(more)
}

/// One hunk, because only one place changes.
fn diff(name: &str, old: &str, new: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = before
        .iter()
        .zip(&after)
        .take_while(|(one, other)| one == other)
        .count();
    let rest = before.len().min(after.len()) - same;
    let pairs = before.iter().rev().zip(after.iter().rev()).take(rest);
    let tail = pairs.take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(AROUND);
    let kept = tail.min(AROUND);
    let (gone, come) = (before.len() - tail - same, after.len() - tail - same);
    let around = same - from + kept;
    let mut out = format!(
        "--- a/{name}\n+++ b/{name}\n@@ -{start},{} +{start},{} @@\n",
        around + gone,
        around + come,
        start = from + 1,
    );
    let mut tell = |sign: char, lines: &[&str], skip: usize, count: usize| {
        for line in lines.iter().skip(skip).take(count) {
            let _ = writeln!(out, "{sign}{line}");
        }
    };
    tell(' ', &before, from, same - from);
    tell('-', &before, same, gone);
    tell('+', &after, same, come);
    tell(' ', &before, before.len() - tail, kept);
    out
}

#[cfg(test)]
pub(crate) mod tests;
