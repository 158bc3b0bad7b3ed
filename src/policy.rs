//! Principal + Invocation + Facts → Permit | Ask | Deny.
//!
//! Cedar decides; this module gives it a strict vocabulary ([`schema`]), refuses policies that
//! could fail open ([`load`], [`obligation`], [`names`]), evaluates only those that could apply
//! ([`slice`]) and turns the outcome into a [`Verdict`]. Anything that cannot be evaluated is a
//! denial. See docs/policy.md for how policies are written.

mod files;
mod names;
mod obligation;
mod choices;
pub mod quorum;
mod refusing;
mod request;
mod rules;
pub mod cases;
pub mod explain;
pub mod exempt;
pub mod load;
pub mod schema;
mod slice;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use cedar_policy::Effect;
use serde::Serialize;

use crate::call::{
    Action, Arrival, Bound, ClassifiedColumn, Code, Evidence, Facts, Hash, Invocation, Limits, Principal,
    Refusal, ResourceCard, User, Visible,
};
use cases::TestReport;
pub use choices::{Escalation, Grantable};
pub use load::{Fault, LoadError};
use request::Asking;
use rules::{Finding, Judged, Question, Rules};

/// The class of a column that configuration does not list.
pub(crate) const UNLISTED: &str = "unlisted";

/// What configuration knows: the names a policy may use, and the server's own limits. A name that
/// is not in here is a typing mistake, and a policy with one does not load.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The configured resources, with their labels.
    pub resources: Vec<ResourceCard>,
    /// The local group names of `[groups]`.
    pub groups: BTreeSet<String>,
    /// The classes of `[classes]` and of the columns.
    pub classes: BTreeSet<String>,
    /// The names of the catalogue's tools.
    pub tools: BTreeSet<String>,
    /// `[limits]`: upper bounds of every permit.
    pub limits: Limits,
}

/// The loaded policies; swapped as a whole on reload.
#[derive(Debug)]
pub struct Policies {
    dir: PathBuf,
    candidate: Option<PathBuf>,
    scene: Arc<Scene>,
    current: ArcSwap<RuleSet>,
    /// One reload at a time.
    reloading: Mutex<()>,
}

impl Policies {
    /// Reads, checks and indexes `dir` (every `*.cedar` in it) for a configuration, and beside it a
    /// candidate folder whose decisions are compared but never enforced.
    ///
    /// Decision tests are not run here; see [`RuleSet::run_tests`] and [`Policies::reload`].
    ///
    /// # Errors
    /// Every fault in `dir`. A faulty candidate is reported in [`LoadReport::candidate`] instead:
    /// it must not keep the active set from loading.
    pub fn load(dir: &Path, scene: Scene, candidate: Option<&Path>) -> Result<Self, LoadError> {
        let scene = Arc::new(scene);
        let set = RuleSet::load(dir, &scene, candidate)?;
        Ok(Self {
            dir: dir.to_owned(),
            candidate: candidate.map(Path::to_owned),
            scene,
            current: ArcSwap::from_pointee(set),
            reloading: Mutex::new(()),
        })
    }

    /// The set in force now.
    #[must_use]
    pub fn current(&self) -> Arc<RuleSet> {
        self.current.load_full()
    }

    /// Loads the folder again, runs its decision tests, and puts the new set in force. Calls that
    /// are under way finish with the set they began with.
    ///
    /// # Errors
    /// Every fault found, or every decision test that failed; the old set stays in force.
    pub fn reload(&self) -> Result<ReloadReport, LoadError> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let set = RuleSet::load(&self.dir, &self.scene, self.candidate.as_deref())?;
        let tests = set.run_tests();
        if !tests.passed() {
            return Err(LoadError {
                faults: tests.faults(),
            });
        }
        let before = self.current().digest();
        let report = ReloadReport {
            before,
            load: set.report().clone(),
            tests,
        };
        self.current.store(Arc::new(set));
        Ok(report)
    }
}

/// What was loaded, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Digest of the set in force.
    pub digest: Hash,
    /// Files read.
    pub files: usize,
    /// Policies that permit.
    pub permits: usize,
    /// Policies that forbid, obligations included.
    pub forbids: usize,
    /// Obligations.
    pub obligations: usize,
    /// What is legal and probably not meant.
    pub warnings: Vec<String>,
    /// The candidate set, when a folder for one is configured.
    pub candidate: Option<CandidateReport>,
}

/// How loading the candidate set went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateReport {
    /// It runs beside the active set.
    Observing(Hash),
    /// It does not load, so nothing is compared; the active set is not affected.
    Faulty(LoadError),
}

/// What a reload did.
#[derive(Debug, Clone, Serialize)]
pub struct ReloadReport {
    /// Digest of the set that was in force before.
    pub before: Hash,
    /// What is in force now.
    pub load: LoadReport,
    /// Its decision tests, all of which passed.
    pub tests: TestReport,
}

/// One validated, indexed set of policies, with the candidate that is observed beside it.
#[derive(Debug)]
pub struct RuleSet {
    active: Rules,
    candidate: Option<Rules>,
    report: LoadReport,
    dir: PathBuf,
}

impl RuleSet {
    fn load(dir: &Path, scene: &Arc<Scene>, candidate: Option<&Path>) -> Result<Self, LoadError> {
        let active = Rules::load(dir, scene)?;
        let (candidate, observed) = match candidate.map(|dir| Rules::load(dir, scene)) {
            None => (None, None),
            Some(Ok(rules)) => {
                let digest = rules.digest();
                (Some(rules), Some(CandidateReport::Observing(digest)))
            }
            Some(Err(error)) => (None, Some(CandidateReport::Faulty(error))),
        };
        Ok(Self::around(active, Some((candidate, observed)), dir))
    }

    fn around(active: Rules, observed: Option<(Option<Rules>, Option<CandidateReport>)>, dir: &Path) -> Self {
        let (candidate, observed) = observed.unwrap_or_default();
        let permits = active.count(Effect::Permit);
        let mut warnings = Vec::new();
        if permits == 0 {
            warnings.push(format!(
                "{}: no policy permits anything, so every call is refused",
                dir.display()
            ));
        }
        if let Some(CandidateReport::Faulty(error)) = &observed {
            warnings.push(format!(
                "the candidate set does not load and is not observed:\n{error}"
            ));
        }
        let report = LoadReport {
            digest: active.digest(),
            files: active.loaded.files,
            permits,
            forbids: active.count(Effect::Forbid),
            obligations: active
                .loaded
                .rules
                .values()
                .filter(|rule| rule.obligation.is_some())
                .count(),
            warnings,
            candidate: observed,
        };
        Self {
            active,
            candidate,
            report,
            dir: dir.to_owned(),
        }
    }

    /// SHA-256 over the names and bytes of the set's files.
    #[must_use]
    pub fn digest(&self) -> Hash {
        self.active.digest()
    }

    /// What was loaded.
    #[must_use]
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// The ids of every policy in the set, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.active.loaded.rules.keys().map(String::as_str)
    }

    /// What exists for a principal: resource × action pairs for which some permit's scope matches
    /// and no unconditional `forbid` does, through tools, and all of it within what the credential is
    /// good for ([`Scope`]). Whatever [`RuleSet::decide`] permits is in here.
    #[must_use]
    pub fn visible(&self, principal: &Principal) -> Arc<Visible> {
        let visible = self.active.visible(&principal.user);
        if principal.scope.is_unbounded() {
            return visible;
        }
        Arc::new(visible.within(&principal.scope))
    }

    /// Decides one call.
    ///
    /// Both what the tool promises (`invocation.action`) and what the adapter found
    /// (`facts.action`) must be allowed. An obligation counts as met only if `evidence` really
    /// covers it. Whatever cannot be evaluated is a denial.
    #[tracing::instrument(level = "debug", skip_all, name = "policy")]
    pub fn decide(
        &self,
        arrival: &Arrival,
        invocation: &Invocation,
        facts: &Facts,
        evidence: &Evidence,
    ) -> Verdict {
        let mut actions = BTreeSet::from([invocation.action, facts.action]);
        actions.extend(invocation.request.lookup().map(|_| Action::Lookup));
        self.verdict(arrival, invocation, facts, evidence, actions)
    }

    /// Decides whether the effect of a call may be measured before people are asked about it. The
    /// permit is for the measurement alone; what obligations ask of the call itself is not asked here.
    pub fn decide_measure(&self, arrival: &Arrival, invocation: &Invocation, facts: &Facts) -> Verdict {
        let actions = BTreeSet::from([Action::Measure]);
        self.verdict(arrival, invocation, facts, &Evidence::default(), actions)
    }

    fn verdict(
        &self,
        arrival: &Arrival,
        invocation: &Invocation,
        facts: &Facts,
        evidence: &Evidence,
        actions: BTreeSet<Action>,
    ) -> Verdict {
        let measures = actions.contains(&Action::Measure);
        let action_sha256 = facts.action_sha256(invocation, evidence.effect());
        let principal = &arrival.principal;
        let question = Question {
            asking: Asking {
                user: &principal.user,
                agent: &principal.agent,
                session: &principal.session,
                scope: &principal.scope,
                transport: arrival.transport,
                tool: &invocation.tool,
                sql: facts.sql.as_ref(),
                file: facts.file.as_ref(),
                shell: facts.shell.as_ref(),
                acr: None,
            },
            actions,
            resource: invocation.resource.as_deref(),
            classified: &facts.classified,
            lookup: looked_up(invocation, facts),
            evidence,
            action_sha256,
        };
        let judged = self.active.judge(&question);
        let decision = Decision {
            digest: self.active.digest(),
            ids: judged.ids.iter().cloned().collect(),
            satisfied: judged.satisfied.clone(),
            self_confirmed: evidence.self_confirmed,
            candidate: self.difference(&judged, &question),
        };
        match judged.finding {
            Finding::Permit {
                limits,
                reveal,
                resources,
            } => Verdict::Permit(Permit {
                action_sha256,
                measures,
                approved: evidence.approved.is_some(),
                limits,
                reveal,
                resources,
                decision,
            }),
            Finding::Ask(obligations) => Verdict::Ask(Ask {
                obligations,
                decision,
            }),
            Finding::Deny(refusal) => Verdict::Deny(Denial { refusal, decision }),
        }
    }

    /// Whether a person may administer a resource: make and take back the keys of services for it. A
    /// service may not.
    #[must_use]
    pub fn may_administer(&self, user: &User, resource: &str) -> bool {
        self.active.may_administer(user, resource)
    }

    /// Whether a person may read the journal of what was done to a resource (action `audit_read`).
    #[must_use]
    pub fn may_audit(&self, user: &User, resource: &str) -> bool {
        self.active.may_audit(user, resource)
    }

    /// The names of the resources that policies are about, in order.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.active.resource_names()
    }

    /// Whether a person may decide about requests that concern a resource (action `approve`). Whether
    /// they are one of those a request asks for is another question: see [`quorum`]. `acr` is the class of
    /// their sign-in; none is the empty word.
    #[must_use]
    pub fn may_approve(&self, user: &User, resource: &str, acr: Option<&str>) -> bool {
        self.active.may_approve(user, resource, acr)
    }

    /// What the candidate would have decided, when it differs: another verdict, other bounds, other
    /// columns shown, other things asked.
    fn difference(&self, judged: &Judged, question: &Question<'_>) -> Option<CandidateDifference> {
        let candidate = self.candidate.as_ref()?;
        let other = candidate.judge(question);
        if same(&judged.finding, &other.finding) {
            return None;
        }
        Some(CandidateDifference {
            digest: candidate.digest(),
            verdict: other.finding.word().to_owned(),
            ids: other.ids.into_iter().collect(),
        })
    }
}

/// The column of the relations touched in which a call looks a value up.
fn looked_up<'f>(invocation: &Invocation, facts: &'f Facts) -> Option<&'f ClassifiedColumn> {
    let lookup = invocation.request.lookup()?;
    facts
        .classified
        .iter()
        .find(|column| column.column == lookup.column)
}

fn same(one: &Finding, other: &Finding) -> bool {
    match (one, other) {
        (
            Finding::Permit {
                limits: l1,
                reveal: v1,
                resources: r1,
            },
            Finding::Permit {
                limits: l2,
                reveal: v2,
                resources: r2,
            },
        ) => l1 == l2 && v1 == v2 && r1 == r2,
        (Finding::Ask(a1), Finding::Ask(a2)) => {
            let kinds = |asked: &[Obligation]| asked.iter().map(|one| one.kind.clone()).collect::<Vec<_>>();
            kinds(a1) == kinds(a2)
        }
        (Finding::Deny(_), Finding::Deny(_)) => true,
        _ => false,
    }
}

/// How it was decided: for the journal.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Digest of the policy set.
    pub digest: Hash,
    /// Determining policies.
    pub ids: Vec<String>,
    /// Ids of the obligations met.
    pub satisfied: BTreeSet<String>,
    /// Whether one of them was met by the caller's own person.
    pub self_confirmed: bool,
    /// What a candidate set would have decided, when it differs.
    pub candidate: Option<CandidateDifference>,
}

/// What a candidate policy set would have decided.
#[derive(Debug, Clone, Serialize)]
pub struct CandidateDifference {
    /// Digest of the candidate set.
    pub digest: Hash,
    /// `permit`, `ask` or `deny`.
    pub verdict: String,
    /// Determining policies.
    pub ids: Vec<String>,
}

/// What policy says.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// Go.
    Permit(Permit),
    /// Only if these obligations are met.
    Ask(Ask),
    /// No.
    Deny(Denial),
}

impl Verdict {
    /// The permit, or why there is none. An `Ask` at this point is a denial: evidence did not satisfy.
    ///
    /// # Errors
    /// The denial.
    #[expect(clippy::result_large_err, reason = "made once per call, and handed on whole")]
    pub fn permit(self) -> Result<Permit, Denial> {
        match self {
            Self::Permit(permit) => Ok(permit),
            Self::Deny(denial) => Err(denial),
            Self::Ask(ask) => Err(ask.unmet()),
        }
    }
}

/// The right to one effect. Made here only, consumed by the resource that runs.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    action_sha256: Hash,
    measures: bool,
    approved: bool,
    limits: Limits,
    reveal: BTreeSet<String>,
    resources: BTreeSet<String>,
    decision: Decision,
}

impl Permit {
    /// The one action it is for.
    #[must_use]
    pub fn action_sha256(&self) -> Hash {
        self.action_sha256
    }
    /// Whether it is for measuring the effect (and undoing it), not for having it.
    #[must_use]
    pub fn is_for_measuring(&self) -> bool {
        self.measures
    }
    /// Whether people approved this very action.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        self.approved
    }
    /// Upper bounds.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }
    /// `table.column` that may be shown.
    #[must_use]
    pub fn reveal(&self) -> &BTreeSet<String> {
        &self.reveal
    }
    /// For `list_resources`: what may be named.
    #[must_use]
    pub fn resources(&self) -> &BTreeSet<String> {
        &self.resources
    }
    /// For the journal.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
}

/// Obligations that must be met first.
#[derive(Debug)]
pub struct Ask {
    /// What is asked, in id order.
    pub obligations: Vec<Obligation>,
    /// For the journal.
    pub decision: Decision,
}

impl Ask {
    /// Whether other people have to decide.
    #[must_use]
    pub fn needs_people(&self) -> bool {
        let mut kinds = self.obligations.iter().map(|one| &one.kind);
        kinds.any(|kind| matches!(kind, ObligationKind::Approval(_)))
    }

    /// The denial for obligations that the evidence did not meet.
    fn unmet(self) -> Denial {
        let mut refusal = Refusal::new(
            Code::NotPermitted,
            "What this call depends on was not met.",
            "Send the call again, and answer what is asked.",
        )
        .retry();
        refusal.policies.clone_from(&self.decision.ids);
        Denial {
            refusal,
            decision: self.decision,
        }
    }
}

/// One obligation.
#[derive(Debug, Clone)]
pub struct Obligation {
    /// The policy's id.
    pub id: String,
    /// What it wants.
    pub kind: ObligationKind,
    /// `@bound`: for an approval, how closely the executed effect must keep to the approved one.
    pub bound: Bound,
    /// `@unattended`: for an approval, whether the call may run when its client has left.
    pub unattended: bool,
    /// `@grantable`: for an approval, whether it may be given for a while.
    pub grantable: Option<Grantable>,
    /// `@escalate`: for an approval, who else is asked when.
    pub escalate: Vec<Escalation>,
    /// `@break_glass`: for an approval, whose members may go on with their own request.
    pub break_glass: Option<String>,
    /// `@risk("high")`: for an approval, whether people decide it on its page alone.
    pub high_risk: bool,
    /// `@explain`, if the policy has one.
    pub explain: Option<String>,
}

/// What an obligation wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObligationKind {
    /// At most this many rows.
    LimitRows(u64),
    /// At most this many seconds.
    LimitSeconds(u64),
    /// The same person, interactively.
    Confirm,
    /// Distinct people: (count, group).
    Approval(Vec<(u32, String)>),
}

/// A final no.
#[derive(Debug)]
pub struct Denial {
    /// What the agent may read.
    pub refusal: Refusal,
    /// For the journal.
    pub decision: Decision,
}
