//! One validated set of policies, and how it judges.

mod approving;
mod bounds;
mod obligations;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy::{Authorizer, Decision as CedarDecision, Effect};

use super::files::Source;
use super::load::{self, Loaded};
use super::request::{self, Asking, Parties, Verbs, What, Who};
use super::slice::Bucket;
use super::{LoadError, Obligation, ObligationKind, Scene, quorum, refusing, schema};
use crate::call::{
    Action, Approver, ClassifiedColumn, Evidence, Hash, Limits, Refusal, ResourceCard, User, UserKind,
    Visible,
};

/// How many principals' catalogues are remembered.
const REMEMBERED: usize = 1024;

/// How often obligations are met in thought before a call is denied. One round is enough for every
/// set that loads, because a condition can look at no other obligation than its own.
const ROUNDS: usize = 3;

/// A set of policies over the resources of one configuration.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) loaded: Loaded,
    scene: Arc<Scene>,
    types: &'static schema::Types,
    verbs: Verbs,
    resources: BTreeMap<String, What>,
    authorizer: Authorizer,
    seen: RwLock<HashMap<SeenKey, Arc<Visible>>>,
}

/// What a catalogue depends on: the groups, and the user where a scope names them.
type SeenKey = (Option<String>, BTreeSet<String>);

/// One question to the set: the verbs that must all be allowed, on what, with which evidence.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) asking: Asking<'a>,
    /// What the tool promises and what the adapter found; usually the same.
    pub(super) actions: BTreeSet<Action>,
    pub(super) resource: Option<&'a str>,
    pub(super) classified: &'a BTreeSet<ClassifiedColumn>,
    /// The column of `Action::Lookup`; without it that action cannot be evaluated.
    pub(super) lookup: Option<&'a ClassifiedColumn>,
    pub(super) evidence: &'a Evidence,
    /// The action as the evidence describes it: an approval counts only for this one.
    pub(super) action_sha256: Hash,
}

/// What the set says, before anything is minted from it.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) finding: Finding,
    /// Determining policies, in id order.
    pub(super) ids: BTreeSet<String>,
    /// Obligations met.
    pub(super) satisfied: BTreeSet<String>,
    /// Classified columns that stay masked, and the policies that forbid showing them.
    pub(super) masked: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
pub(super) enum Finding {
    Permit {
        limits: Limits,
        reveal: BTreeSet<String>,
        resources: BTreeSet<String>,
    },
    Ask(Vec<Obligation>),
    Deny(Refusal),
}

impl Finding {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Permit { .. } => "permit",
            Self::Ask(_) => "ask",
            Self::Deny(_) => "deny",
        }
    }
}

/// What the policies that matched one or more requests came to.
#[derive(Debug, Default)]
struct Tally {
    permits: BTreeSet<String>,
    forbids: BTreeSet<String>,
    /// For some action nothing permits.
    unpermitted: bool,
    /// Something could not be evaluated; for the operator.
    broken: Option<String>,
}

impl Tally {
    fn allows(&self) -> bool {
        self.broken.is_none() && !self.unpermitted && self.forbids.is_empty()
    }

    fn break_with(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }
}

impl Rules {
    pub(super) fn load(dir: &Path, scene: &Arc<Scene>) -> Result<Self, LoadError> {
        Self::with(dir, load::load(dir, scene)?, scene)
    }

    /// The set of these files, which stand in `dir` or would.
    pub(super) fn of(dir: &Path, sources: &[Source], scene: &Arc<Scene>) -> Result<Self, LoadError> {
        Self::with(dir, load::load_sources(dir, sources, scene)?, scene)
    }

    fn with(dir: &Path, loaded: Loaded, scene: &Arc<Scene>) -> Result<Self, LoadError> {
        let (types, resources) = known(&scene.resources).map_err(|message| LoadError {
            faults: vec![load::Fault::new(dir, 0, message, "Correct the [[resource]].")],
        })?;
        Ok(Self {
            loaded,
            scene: Arc::clone(scene),
            types,
            verbs: Verbs::new(types),
            resources,
            authorizer: Authorizer::new(),
            seen: RwLock::default(),
        })
    }

    pub(super) fn digest(&self) -> Hash {
        self.loaded.digest
    }

    /// The resources and actions for which some permit's scope matches and no unconditional forbid
    /// does: conditions are not looked at, so whatever a call may do is in here.
    pub(super) fn visible(&self, user: &User) -> Arc<Visible> {
        let Ok(who) = Who::new(user, self.types) else {
            return Arc::default();
        };
        let named = self.loaded.index.names_principal(who.place().own);
        let key = (named.then(|| user.id()), user.groups.clone());
        if let Some(visible) = self.seen.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(visible);
        }
        let mut visible = Visible::of(
            self.resources
                .iter()
                .map(|(name, what)| (name.clone(), self.actions(&who, what)))
                .filter(|(_, actions)| !actions.is_empty())
                .collect(),
        );
        visible.ahead = self.resources.iter().any(|(name, what)| {
            let actions = visible.resources.get(name);
            let mut slices = self.loaded.index.slices(who.place(), what.place());
            slices.any(|bucket| {
                let mut matching = actions.into_iter().flatten();
                bucket.grantable && matching.any(|action| bucket.actions.has(*action))
            })
        });
        let visible = Arc::new(visible);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(key, Arc::clone(&visible));
        visible
    }

    fn actions(&self, who: &Who, what: &What) -> BTreeSet<Action> {
        let slices: Vec<_> = self.loaded.index.slices(who.place(), what.place()).collect();
        Action::ALL
            .into_iter()
            .filter(|action| schema::is_agents(*action))
            .filter(|action| {
                let mut matching = slices
                    .iter()
                    .filter(|bucket| bucket.actions.has(*action))
                    .peekable();
                matching.peek().is_some()
                    && matching.clone().any(|bucket| bucket.permits)
                    && !matching.any(|bucket| bucket.forbids_always)
            })
            .collect()
    }

    /// Judges one call.
    pub(super) fn judge(&self, question: &Question<'_>) -> Judged {
        with_room(|| self.judge_here(question))
    }

    fn judge_here(&self, question: &Question<'_>) -> Judged {
        let who = match Who::new(question.asking.user, self.types) {
            Ok(who) => who,
            Err(why) => return denied(refusing::not_evaluated(why), BTreeSet::new()),
        };
        if let Some(action) = question
            .actions
            .iter()
            .find(|action| !schema::is_agents(**action) && **action != Action::Lookup)
        {
            let why = format!("`{}` is not for agents", action.as_str());
            return denied(refusing::not_evaluated(why), BTreeSet::new());
        }
        if let Some(refusal) = bounds::outside(question) {
            return denied(refusal, BTreeSet::new());
        }
        match question.resource {
            Some(resource) => self.judge_use(question, &who, resource),
            None => self.judge_list(question, &who),
        }
    }

    fn judge_use(&self, question: &Question<'_>, who: &Who, resource: &str) -> Judged {
        let Some(what) = self.resources.get(resource) else {
            return denied(Refusal::unknown_resource(resource), BTreeSet::new());
        };
        let parties = match self.parties(question, who, what) {
            Ok(parties) => parties,
            Err(why) => return denied(refusing::not_evaluated(why), BTreeSet::new()),
        };
        let met = self.covered(question);
        let tally = self.evaluate(question, &parties, &met);
        if tally.allows() {
            let satisfied = self.relevant(met, question, &parties);
            return self.permit(question, &parties, tally, satisfied);
        }
        match self.askable(question, &parties, &met, tally) {
            Ok(asked) => Judged {
                finding: Finding::Ask(asked.iter().filter_map(|id| self.obligation(id)).collect()),
                ids: asked,
                satisfied: met,
                masked: BTreeMap::new(),
            },
            Err(tally) => {
                let visible = self.visible(question.asking.user);
                let refusal = if visible.has(resource) {
                    self.refusal(question, resource, &tally)
                } else {
                    Refusal::unknown_resource(resource)
                };
                // An obligation is never why something is denied: it could have been met.
                let mut ids = tally.forbids;
                ids.retain(|id| !self.is_obligation(id));
                denied(refusal, ids)
            }
        }
    }

    /// The obligations that stand between a denied call and a permit, if nothing else does: with
    /// all of them met it must be permitted, so that nobody is asked for what would be denied
    /// anyway.
    fn askable(
        &self,
        question: &Question<'_>,
        parties: &Parties<'_>,
        met: &BTreeSet<String>,
        mut tally: Tally,
    ) -> Result<BTreeSet<String>, Tally> {
        let mut asked = BTreeSet::new();
        for _ in 0..ROUNDS {
            let only_obligations =
                !tally.forbids.is_empty() && tally.forbids.iter().all(|id| self.is_obligation(id));
            if tally.broken.is_some() || !only_obligations {
                return Err(tally);
            }
            asked.append(&mut tally.forbids);
            let supposed = met.union(&asked).cloned().collect();
            tally = self.evaluate(question, parties, &supposed);
            if tally.allows() {
                return Ok(asked);
            }
        }
        Err(tally)
    }

    fn permit(
        &self,
        question: &Question<'_>,
        parties: &Parties<'_>,
        tally: Tally,
        satisfied: BTreeSet<String>,
    ) -> Judged {
        let mut ids = tally.permits;
        let mut reveal = BTreeSet::new();
        let mut masked = BTreeMap::new();
        let revealable = self
            .slices(parties)
            .any(|bucket| bucket.permits && bucket.actions.has(Action::Reveal));
        for column in question.classified {
            if !revealable {
                masked.insert(column.column.clone(), BTreeSet::new());
                continue;
            }
            let shown = self.evaluate_one(question, parties, (Action::Reveal, Some(column)), &satisfied);
            if shown.allows() {
                reveal.insert(column.column.clone());
                ids.extend(shown.permits);
            } else {
                if let Some(why) = shown.broken {
                    tracing::warn!(column = column.column, why, "reveal cannot be evaluated: masked");
                }
                masked.insert(column.column.clone(), shown.forbids);
            }
        }
        let mut limits = self.scene.limits;
        limits.rows = limits.rows.min(question.evidence.rows.unwrap_or(u64::MAX));
        limits.seconds = limits.seconds.min(question.evidence.seconds.unwrap_or(u64::MAX));
        Judged {
            finding: Finding::Permit {
                limits,
                reveal,
                resources: BTreeSet::new(),
            },
            ids,
            satisfied,
            masked,
        }
    }

    /// `list_resources`: which of the resources that exist for somebody may be described to them.
    ///
    /// The limits that obligations put on reading are met here by applying them, or else a row
    /// limit on all reading would hide the catalogue; nobody is asked anything to see it.
    fn judge_list(&self, question: &Question<'_>, who: &Who) -> Judged {
        if question.actions.iter().any(|action| *action != Action::Describe) {
            let why = "a call without a resource can only describe".to_owned();
            return denied(refusing::not_evaluated(why), BTreeSet::new());
        }
        let visible = self.visible(question.asking.user).within(question.asking.scope);
        if visible.resources.is_empty() {
            return denied(refusing::nothing_visible(), BTreeSet::new());
        }
        let mut judged = Judged {
            finding: Finding::Ask(Vec::new()),
            ids: BTreeSet::new(),
            satisfied: BTreeSet::new(),
            masked: BTreeMap::new(),
        };
        let mut limits = self.scene.limits;
        let mut resources = BTreeSet::new();
        let met = self.covered(question);
        for name in visible.resources.keys() {
            let Some(what) = self.resources.get(name) else {
                continue;
            };
            let Ok(parties) = self.parties(question, who, what) else {
                continue;
            };
            let mut applied = BTreeSet::new();
            let mut tally = self.evaluate(question, &parties, &met);
            if !tally.allows() && !tally.forbids.is_empty() {
                applied.append(&mut tally.forbids.clone());
                let supposed = met.union(&applied).cloned().collect();
                if applied.iter().all(|id| self.is_limit(id)) {
                    tally = self.evaluate(question, &parties, &supposed);
                }
            }
            if tally.allows() {
                limits = applied.iter().fold(limits, |limits, id| self.lowered(limits, id));
                judged.ids.extend(tally.permits);
                judged.satisfied.append(&mut applied);
                resources.insert(name.clone());
            }
        }
        limits.rows = limits.rows.min(question.evidence.rows.unwrap_or(u64::MAX));
        limits.seconds = limits.seconds.min(question.evidence.seconds.unwrap_or(u64::MAX));
        judged.finding = Finding::Permit {
            limits,
            reveal: BTreeSet::new(),
            resources,
        };
        judged
    }

    fn parties<'a>(
        &self,
        question: &Question<'_>,
        who: &'a Who,
        what: &'a What,
    ) -> Result<Parties<'a>, String> {
        let mut actions = question.actions.clone();
        actions.insert(Action::Reveal);
        Parties::new(who, what, &self.verbs, &actions)
    }

    fn slices<'a>(&'a self, parties: &'a Parties<'_>) -> impl Iterator<Item = &'a Bucket> {
        self.loaded
            .index
            .slices(parties.who.place(), parties.what.place())
    }

    /// Evaluates every action of the question on one resource.
    fn evaluate(
        &self,
        question: &Question<'_>,
        parties: &Parties<'_>,
        satisfied: &BTreeSet<String>,
    ) -> Tally {
        let mut all = Tally {
            unpermitted: question.actions.is_empty(),
            ..Tally::default()
        };
        for action in &question.actions {
            // Of one class a value has one token: what is found in a column could be one of another that is named like it.
            let asked = question.lookup.filter(|_| *action == Action::Lookup);
            let others = question.classified.iter().filter(|other| {
                asked.is_some_and(|asked| other.class == asked.class && other.column != asked.column)
            });
            let columns = std::iter::once(asked).chain(others.map(Some));
            for column in columns {
                let mut one = self.evaluate_one(question, parties, (*action, column), satisfied);
                all.permits.append(&mut one.permits);
                all.forbids.append(&mut one.forbids);
                all.unpermitted |= one.unpermitted;
                if let Some(why) = one.broken {
                    all.break_with(why);
                }
            }
        }
        all
    }

    fn evaluate_one(
        &self,
        question: &Question<'_>,
        parties: &Parties<'_>,
        (action, column): (Action, Option<&ClassifiedColumn>),
        satisfied: &BTreeSet<String>,
    ) -> Tally {
        let mut tally = Tally::default();
        let built = request::request(
            &question.asking,
            parties,
            &self.verbs,
            (action, column),
            satisfied,
            &self.loaded.schema,
        );
        let request = match built {
            Ok(request) => request,
            Err(why) => {
                tally.break_with(why);
                return tally;
            }
        };
        for bucket in self.slices(parties).filter(|bucket| bucket.actions.has(action)) {
            let response = self
                .authorizer
                .is_authorized(&request, &bucket.set, &parties.entities);
            let reasons = response
                .diagnostics()
                .reason()
                .map(|id| AsRef::<str>::as_ref(id).to_owned());
            match response.decision() {
                CedarDecision::Allow => tally.permits.extend(reasons),
                CedarDecision::Deny => tally.forbids.extend(reasons),
            }
            // Cedar skips a policy that errs, so an erring `forbid` would fail open.
            if let Some(error) = response.diagnostics().errors().next() {
                tally.break_with(error.to_string());
            }
        }
        tally.unpermitted = tally.forbids.is_empty() && tally.permits.is_empty();
        tally
    }

    /// The ids in the evidence that it really covers: an applied bound must be at least as tight
    /// as the annotation's, a confirmation must have happened, and the people who approved this very
    /// action, without the one who asks, must be enough.
    fn covered(&self, question: &Question<'_>) -> BTreeSet<String> {
        let evidence = question.evidence;
        let within = |applied: Option<u64>, most: u64| applied.is_some_and(|applied| applied <= most);
        let approved = evidence
            .approved
            .as_ref()
            .filter(|approved| approved.action_sha256 == question.action_sha256);
        evidence
            .satisfied
            .iter()
            .filter(|id| {
                let Some(rule) = self.loaded.rules.get(*id) else {
                    return false;
                };
                match &rule.obligation {
                    Some(ObligationKind::LimitRows(most)) => within(evidence.rows, *most),
                    Some(ObligationKind::LimitSeconds(most)) => within(evidence.seconds, *most),
                    Some(ObligationKind::Confirm) => {
                        // Nobody sits at a service.
                        evidence.self_confirmed && question.asking.user.kind == UserKind::Person
                    }
                    Some(ObligationKind::Approval(asked)) => {
                        let user = question.asking.user;
                        let breaks = |by: &Approver| rule.choices.breaks(by, user);
                        approved.is_some_and(|approved| {
                            quorum::is_met(asked, &approved.approvers, user)
                                || approved.break_glass.as_ref().is_some_and(breaks)
                        })
                    }
                    None => false,
                }
            })
            .cloned()
            .collect()
    }

    /// Of the obligations met, those without which the call would not have been permitted.
    fn relevant(
        &self,
        met: BTreeSet<String>,
        question: &Question<'_>,
        parties: &Parties<'_>,
    ) -> BTreeSet<String> {
        if met.is_empty() {
            return met;
        }
        let bare = self.evaluate(question, parties, &BTreeSet::new());
        met.intersection(&bare.forbids).cloned().collect()
    }

    /// Why not: what was tried, and what the policies that forbid it explain.
    fn refusal(&self, question: &Question<'_>, resource: &str, tally: &Tally) -> Refusal {
        if let Some(why) = &tally.broken {
            return refusing::not_evaluated(why.clone());
        }
        let final_ones = tally.forbids.iter().filter(|id| !self.is_obligation(id));
        let explained: Vec<&str> = final_ones
            .filter_map(|id| self.loaded.rules.get(id)?.explain.as_deref())
            .collect();
        refusing::not_permitted(&question.actions, resource, &explained)
    }

    /// The ids of every policy whose scope matches.
    pub(super) fn in_scope(&self, user: &User, action: Action, resource: &str) -> BTreeSet<String> {
        let (Ok(who), Some(what)) = (Who::new(user, self.types), self.resources.get(resource)) else {
            return BTreeSet::new();
        };
        self.loaded
            .index
            .slices(who.place(), what.place())
            .filter(|bucket| bucket.actions.has(action))
            .flat_map(|bucket| bucket.set.policies())
            .map(|policy| AsRef::<str>::as_ref(policy.id()).to_owned())
            .collect()
    }

    /// The policies of an effect, for reports.
    pub(super) fn count(&self, effect: Effect) -> usize {
        self.loaded
            .rules
            .values()
            .filter(|rule| rule.effect == effect)
            .count()
    }

    pub(super) fn scene(&self) -> &Scene {
        &self.scene
    }

    pub(super) fn shared_scene(&self) -> &Arc<Scene> {
        &self.scene
    }
}

fn known(cards: &[ResourceCard]) -> Result<(&'static schema::Types, BTreeMap<String, What>), String> {
    let types = schema::types().ok_or("the built-in types do not parse")?;
    let resources = cards
        .iter()
        .map(|card| Ok((card.name.clone(), What::new(card, types)?)))
        .collect::<Result<_, String>>()?;
    Ok((types, resources))
}

fn denied(mut refusal: Refusal, ids: BTreeSet<String>) -> Judged {
    refusal.policies = ids.iter().cloned().collect();
    Judged {
        finding: Finding::Deny(refusal),
        ids,
        satisfied: BTreeSet::new(),
        masked: BTreeMap::new(),
    }
}

/// What is left of a stack before policies are evaluated on a larger one, and how large that is.
const ROOM: usize = 512 << 10;
const STACK: usize = 2 << 20;

/// Evaluates with room on the stack: the engine refuses what it could evaluate where little is left, and a call asks deep
/// inside its own work.
fn with_room<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(ROOM, STACK, work)
}
