//! "Would this user, through this agent, be allowed to do that?": the same judgement as a call's,
//! with the reasons in the open. For people; agents get a refusal instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use cedar_policy::Effect;
use serde::Serialize;

use super::request::Asking;
use super::rules::{Finding, Question};
use super::schema::{self, Detail, Presence};
use super::{CandidateDifference, Obligation, ObligationKind, RuleSet};
use crate::call::{
    Action, Agent, ApprovalId, Approved, Approver, Bound, ClassifiedColumn, Evidence, FileFacts, Hash,
    Limits, Scope, Session, ShellFacts, SqlFacts, Transport, User,
};

/// A call that nobody made.
#[derive(Debug, Clone)]
pub struct Supposed {
    /// Who would ask.
    pub user: User,
    /// Through which program.
    pub agent: Agent,
    /// In which stretch of work.
    pub session: Session,
    /// How it would come.
    pub transport: Transport,
    /// What their credential is good for at most.
    pub scope: Scope,
    /// With which tool.
    pub tool: String,
    /// To do what.
    pub action: Action,
    /// What the tool promises, where it may be something else: both must be allowed.
    pub promised: Option<Action>,
    /// On what; `None` is `list_resources`.
    pub resource: Option<String>,
    /// What the statement would touch. Where the action needs one and there is none, an empty
    /// statement of the usual kind is assumed, and [`Explanation::assumed`] says so.
    pub sql: Option<SqlFacts>,
    /// Which file. Where the action needs one and there is none, the root is assumed.
    pub file: Option<FileFacts>,
    /// Which programs. Where the action needs some and there are none, an inspection is assumed.
    pub shell: Option<ShellFacts>,
    /// Classified columns it would touch.
    pub classified: BTreeSet<ClassifiedColumn>,
    /// The one of them that a value would be looked up in.
    pub lookup: Option<ClassifiedColumn>,
    /// What has been done for obligations.
    pub evidence: Evidence,
}

/// The hash of an action that is only supposed: nothing is bound by it.
const SUPPOSED_ACTION: Hash = Hash([0; 32]);

impl Supposed {
    /// A verified agent over HTTP in a fresh session, nothing classified, no evidence, the usual tool.
    #[must_use]
    pub fn new(user: User, action: Action, resource: Option<String>) -> Self {
        let tool = usual_tool(action, resource.is_some()).to_owned();
        Self {
            user,
            agent: Agent {
                client_id: "some-agent".to_owned(),
                verified: true,
                claimed_name: "some-agent".to_owned(),
                claimed_version: String::new(),
            },
            session: Session {
                id: "some-session".to_owned(),
                labels: BTreeSet::new(),
            },
            transport: Transport::Http,
            scope: Scope::default(),
            tool,
            action,
            promised: None,
            resource,
            sql: None,
            file: None,
            shell: None,
            classified: BTreeSet::new(),
            lookup: None,
            evidence: Evidence::default(),
        }
    }

    /// Supplies what the action must carry; says what was assumed.
    fn complete(&mut self) -> Vec<String> {
        let needs = |detail| schema::presence(self.action, detail) == Presence::Required;
        let (sql, file) = (needs(Detail::Sql), needs(Detail::File));
        let mut assumed = Vec::new();
        if sql && self.sql.is_none() {
            let kind = match self.action {
                Action::SqlWrite => "update",
                Action::SqlDdl => "ddl",
                _ => "select",
            };
            assumed.push(format!("a statement of kind `{kind}` that touches nothing"));
            self.sql = Some(SqlFacts {
                kind: kind.to_owned(),
                ..SqlFacts::default()
            });
        }
        if file && self.file.is_none() {
            assumed.push("the root folder on `refs/heads/main`".to_owned());
            self.file = Some(FileFacts {
                path: String::new(),
                reference: "refs/heads/main".to_owned(),
            });
        }
        if needs(Detail::Shell) && self.shell.is_none() {
            assumed.push("an inspection that starts nothing in particular".to_owned());
            self.shell = Some(ShellFacts {
                kind: "inspection".to_owned(),
                ..ShellFacts::default()
            });
        }
        assumed
    }

    pub(super) fn question(&self) -> Question<'_> {
        Question {
            asking: Asking {
                user: &self.user,
                agent: &self.agent,
                session: &self.session,
                scope: &self.scope,
                transport: self.transport,
                tool: &self.tool,
                sql: self.sql.as_ref(),
                file: self.file.as_ref(),
                shell: self.shell.as_ref(),
                acr: None,
            },
            actions: [
                Some(self.action),
                self.promised,
                self.lookup.as_ref().map(|_| Action::Lookup),
            ]
            .into_iter()
            .flatten()
            .collect(),
            resource: self.resource.as_deref(),
            classified: &self.classified,
            lookup: self.lookup.as_ref(),
            evidence: &self.evidence,
            action_sha256: SUPPOSED_ACTION,
        }
    }
}

/// The built-in tool that does an action.
fn usual_tool(action: Action, on_something: bool) -> &'static str {
    match action {
        Action::Describe if on_something => "sql_schema",
        Action::Describe => "list_resources",
        Action::SqlRead => "sql_query",
        Action::SqlWrite | Action::SqlDdl => "sql_execute",
        Action::GitHistory => "git_log",
        other => other.as_str(),
    }
}

/// A policy that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyNote {
    /// Its id.
    pub id: String,
    /// `permit`, `forbid` or `obligation`.
    pub effect: &'static str,
    /// Where it is written.
    pub file: PathBuf,
    /// On which line it begins.
    pub line: usize,
    /// Its `@explain`.
    pub explain: Option<String>,
    /// What it asks for.
    pub asks: Option<ObligationKind>,
}

/// What the policies say of a supposed call, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The question in one line.
    pub question: String,
    /// `permit`, `ask` or `deny`.
    pub verdict: &'static str,
    /// The policies that decide.
    pub decided_by: Vec<PolicyNote>,
    /// Policies whose scope matches and whose conditions do not: why not these.
    pub did_not_apply: Vec<PolicyNote>,
    /// Obligations that count as met.
    pub satisfied: BTreeSet<String>,
    /// The bounds of the permit.
    pub limits: Option<Limits>,
    /// Classified columns that would be shown.
    pub revealed: BTreeSet<String>,
    /// Classified columns that would be masked, and the policies that forbid showing them.
    pub masked: BTreeMap<String, BTreeSet<String>>,
    /// What `list_resources` would name.
    pub resources: BTreeSet<String>,
    /// What an agent would read of a denial.
    pub agent_reads: Option<String>,
    /// What only the operator may read of a denial.
    pub detail: Option<String>,
    /// What the question left open.
    pub assumed: Vec<String>,
    /// What the candidate set would say, when it differs.
    pub candidate: Option<CandidateDifference>,
    /// Digest of the set that was asked.
    pub digest: Hash,
}

impl RuleSet {
    /// Judges a supposed call exactly as a real one, and says which policies decide it.
    #[must_use]
    pub fn explain(&self, mut supposed: Supposed) -> Explanation {
        let assumed = supposed.complete();
        let question = supposed.question();
        let judged = match (supposed.action, question.resource) {
            (Action::Approve, Some(resource)) => {
                self.active
                    .judge_approve(question.asking.user, resource, question.asking.acr)
            }
            _ => self.active.judge(&question),
        };
        let candidate = self.difference(&judged, &question);
        let matching = match &supposed.resource {
            Some(resource) => self.active.in_scope(&supposed.user, supposed.action, resource),
            None => BTreeSet::new(),
        };
        let mut explanation = Explanation {
            question: one_line(&supposed),
            verdict: judged.finding.word(),
            decided_by: self.notes(&judged.ids),
            did_not_apply: self.notes(&matching.difference(&judged.ids).cloned().collect()),
            satisfied: judged.satisfied,
            limits: None,
            revealed: BTreeSet::new(),
            masked: BTreeMap::new(),
            resources: BTreeSet::new(),
            agent_reads: None,
            detail: None,
            assumed,
            candidate,
            digest: self.digest(),
        };
        match judged.finding {
            Finding::Permit {
                limits,
                reveal,
                resources,
            } => {
                explanation.limits = Some(limits);
                explanation.revealed = reveal;
                explanation.masked = judged.masked;
                explanation.resources = resources;
            }
            Finding::Ask(obligations) => self.once_met(&mut explanation, supposed, &obligations),
            Finding::Deny(refusal) => {
                explanation.agent_reads = Some(format!("{} {}", refusal.message, refusal.suggestion));
                explanation.detail = refusal.detail;
            }
        }
        explanation
    }

    /// What would be permitted once the obligations are met (as far as evidence can meet them).
    fn once_met(&self, explanation: &mut Explanation, mut supposed: Supposed, obligations: &[Obligation]) {
        for obligation in obligations {
            meet(&mut supposed.evidence, &obligation.id, &obligation.kind);
        }
        let judged = self.active.judge(&supposed.question());
        if let Finding::Permit { limits, reveal, .. } = judged.finding {
            explanation.limits = Some(limits);
            explanation.revealed = reveal;
            explanation.masked = judged.masked;
            explanation
                .did_not_apply
                .retain(|note| !judged.ids.contains(&note.id));
        }
    }

    /// Every policy of the set, in the order of their ids.
    #[must_use]
    pub fn all(&self) -> Vec<PolicyNote> {
        self.notes(&self.ids().map(str::to_owned).collect())
    }

    fn notes(&self, ids: &BTreeSet<String>) -> Vec<PolicyNote> {
        ids.iter()
            .filter_map(|id| Some((id, self.active.loaded.rules.get(id)?)))
            .map(|(id, rule)| PolicyNote {
                id: id.clone(),
                effect: match (rule.effect, &rule.obligation) {
                    (Effect::Permit, _) => "permit",
                    (Effect::Forbid, None) => "forbid",
                    (Effect::Forbid, Some(_)) => "obligation",
                },
                file: rule.file.clone(),
                line: rule.line,
                explain: rule.explain.clone(),
                asks: rule.obligation.clone(),
            })
            .collect()
    }
}

/// Adds the loosest evidence that covers an obligation: for `@approval`, as many people as it asks for,
/// none of whom exists.
pub(super) fn meet(evidence: &mut Evidence, id: &str, kind: &ObligationKind) {
    evidence.satisfied.insert(id.to_owned());
    match kind {
        ObligationKind::LimitRows(most) => {
            evidence.rows = Some(evidence.rows.map_or(*most, |rows| rows.min(*most)));
        }
        ObligationKind::LimitSeconds(most) => {
            evidence.seconds = Some(evidence.seconds.map_or(*most, |seconds| seconds.min(*most)));
        }
        ObligationKind::Confirm => evidence.self_confirmed = true,
        ObligationKind::Approval(asked) => approve(evidence, asked),
    }
}

fn approve(evidence: &mut Evidence, asked: &[(u32, String)]) {
    let approved = evidence.approved.get_or_insert_with(|| Approved {
        id: ApprovalId("supposed".to_owned()),
        action_sha256: SUPPOSED_ACTION,
        approvers: Vec::new(),
        effect: None,
        bound: Bound::default(),
        grant: None,
        break_glass: None,
    });
    for (count, group) in asked {
        for number in 0..*count {
            approved.approvers.push(Approver {
                issuer: "supposed".to_owned(),
                subject: format!("{group} {number}"),
                groups: BTreeSet::from([group.clone()]),
            });
        }
    }
}

fn one_line(supposed: &Supposed) -> String {
    let groups: Vec<&str> = supposed.user.groups.iter().map(String::as_str).collect();
    format!(
        "{} ({}; groups: {}) through {} ({}): {} with {} on {}",
        supposed.user.id(),
        schema::user_kind(supposed.user.kind),
        if groups.is_empty() {
            "none".to_owned()
        } else {
            groups.join(", ")
        },
        supposed.agent.client_id,
        if supposed.agent.verified {
            "verified"
        } else {
            "not verified"
        },
        supposed.action.as_str(),
        supposed.tool,
        supposed.resource.as_deref().unwrap_or("everything"),
    )
}

impl fmt::Display for ObligationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LimitRows(most) => write!(f, "at most {most} rows"),
            Self::LimitSeconds(most) => write!(f, "at most {most} seconds"),
            Self::Confirm => f.write_str("a confirmation by the same person"),
            Self::Approval(asked) => {
                let parts: Vec<String> = asked
                    .iter()
                    .map(|(count, group)| format!("{count} of group {group}"))
                    .collect();
                write!(f, "approval by {}", parts.join(" and "))
            }
        }
    }
}

impl fmt::Display for PolicyNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<10} {}  {}:{}",
            self.effect,
            self.id,
            self.file.display(),
            self.line
        )?;
        if let Some(asks) = &self.asks {
            write!(f, "\n             asks for {asks}")?;
        }
        if let Some(explain) = &self.explain {
            write!(f, "\n             \"{explain}\"")?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", printable(&self.question))?;
        writeln!(f, "  {}", self.verdict.to_uppercase())?;
        for assumed in &self.assumed {
            writeln!(f, "  assumed: {assumed}")?;
        }
        if self.decided_by.is_empty() && self.verdict == "deny" {
            writeln!(f, "  decided by nothing: no policy permits it")?;
        }
        section(f, "decided by", &self.decided_by)?;
        section(f, "in scope, but the conditions do not hold", &self.did_not_apply)?;
        list(f, "obligations met", &self.satisfied)?;
        if let Some(limits) = self.limits {
            let when = if self.verdict == "ask" {
                "once that is met, bounds"
            } else {
                "bounds"
            };
            writeln!(
                f,
                "  {when}: {} rows, {} bytes, {} seconds",
                limits.rows, limits.bytes, limits.seconds
            )?;
        }
        list(f, "shown although classified", &self.revealed)?;
        for (column, forbidden_by) in &self.masked {
            let by: Vec<&str> = forbidden_by.iter().map(String::as_str).collect();
            let by = if by.is_empty() {
                "no policy reveals it".to_owned()
            } else {
                by.join(", ")
            };
            writeln!(f, "  masked: {} ({by})", printable(column))?;
        }
        list(f, "may be named", &self.resources)?;
        if let Some(words) = &self.agent_reads {
            writeln!(f, "  the agent reads: {}", printable(words))?;
        }
        if let Some(detail) = &self.detail {
            writeln!(f, "  for you only: {}", printable(detail))?;
        }
        if let Some(other) = &self.candidate {
            writeln!(
                f,
                "  the candidate set would say {}: {}",
                other.verdict,
                other.ids.join(", ")
            )?;
        }
        writeln!(f, "  policy set {}", self.digest.hex())
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, notes: &[PolicyNote]) -> fmt::Result {
    if notes.is_empty() {
        return Ok(());
    }
    writeln!(f, "  {title}:")?;
    notes.iter().try_for_each(|note| writeln!(f, "    {note}"))
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, names: &BTreeSet<String>) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    writeln!(f, "  {title}: {}", printable(&names.join(", ")))
}

/// Keeps names from writing to the terminal: what does not show as itself (control characters,
/// direction marks, zero-width ones) is escaped.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}
