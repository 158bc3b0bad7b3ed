//! The states against a model of them (proptest-state-machine): whatever happens in whatever order, the
//! row is where the model is, and nothing runs that it did not allow.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::runtime::Runtime;

use super::bench::*;
use crate::approval::review::{Choice, State, Wish};
use crate::approval::*;
use crate::call::Pending;
use crate::policy::Grantable;

/// Who may turn up: (subject, groups, whether they count).
const PEOPLE: [(&str, &[&str], bool); 5] = [
    ("dan", &["dba"], true),
    ("eve", &["dba"], true),
    ("both", &["dba", "security"], true),
    ("asker", &["dba", "security"], false),
    ("olga", &["ops"], false),
];
const DECIDE: u64 = 1800;
const EXECUTE: u64 = 600;
const RESULT: u64 = 900;
/// What those who approve for a while say: seconds and uses.
const FOR: (u64, u32) = (1200, 2);

/// Two of the dba, who may approve it for a while.
fn two() -> Ask {
    let mut ask = asks(&[(2, "dba")]);
    ask.obligations[0].grantable = Some(Grantable {
        seconds: 1800,
        uses: 20,
        rows: None,
    });
    ask
}

#[derive(Debug, Clone)]
enum Step {
    /// The call is sent (again).
    Send,
    Approve(usize),
    /// And the same call for a while.
    ApproveFor(usize),
    Refuse(usize),
    Withdraw(usize),
    /// The executor comes to its last look: with an effect inside the one that was measured when the call
    /// was first sent (row 1 of 1 and 2), or with another one (row 3).
    Spend(bool),
    /// Its outcome is on record.
    Answer,
    /// It goes away.
    Vanish,
    Pass(u64),
    Tick,
    /// The process dies and another one starts.
    Restart,
}

#[derive(Debug, Clone)]
struct Request {
    number: u32,
    state: State,
    decided: BTreeSet<usize>,
    approved: BTreeSet<usize>,
    deadline: u64,
    settled_at: Option<u64>,
    /// Which effect people see: the first one measured, or the other one.
    first: bool,
    /// Of those who approved, who did it for a while.
    wished: BTreeSet<usize>,
    /// The grant it falls under.
    under: Option<usize>,
}

/// Given by these people, for calls that change no more than the approved one.
#[derive(Debug, Clone)]
struct Grant {
    people: BTreeSet<usize>,
    first: bool,
    ends: u64,
    left: u32,
}

#[derive(Debug, Clone, Default)]
struct Model {
    now: u64,
    request: Option<Request>,
    made: u32,
    /// The request that the executor holds evidence of.
    held: Option<u32>,
    running: bool,
    runs: u32,
    grants: Vec<Grant>,
}

impl Model {
    fn stands(&self, grant: usize) -> bool {
        let grant = &self.grants[grant];
        grant.left > 0 && grant.ends > self.now
    }

    /// The oldest grant for the call as it is sent.
    fn granted(&self) -> Option<usize> {
        (0..self.grants.len()).find(|one| self.stands(*one) && self.grants[*one].first)
    }

    /// A new request, or one that is granted already.
    fn begin(&mut self) {
        let Some(grant) = self.granted() else {
            return self.open(true);
        };
        self.open(true);
        let people = self.grants[grant].people.clone();
        let deadline = self.now + EXECUTE;
        let request = self.request.as_mut().unwrap();
        request.state = State::Granted;
        request.deadline = deadline;
        request.decided.clone_from(&people);
        request.approved = people;
        request.under = Some(grant);
        self.held = Some(request.number);
    }

    fn open(&mut self, first: bool) {
        self.made += 1;
        self.request = Some(Request {
            number: self.made,
            state: State::Pending,
            decided: BTreeSet::new(),
            approved: BTreeSet::new(),
            deadline: self.now + DECIDE,
            settled_at: None,
            first,
            wished: BTreeSet::new(),
            under: None,
        });
    }

    fn expire(&mut self) {
        let now = self.now;
        if let Some(request) = &mut self.request
            && matches!(request.state, State::Pending | State::Granted)
            && request.deadline <= now
        {
            request.end(State::Expired, now);
        }
    }

    fn send(&mut self) {
        let now = self.now;
        match &self.request {
            Some(request) => match request.state {
                State::Pending => {}
                State::Granted => self.held = Some(request.number),
                State::Spent | State::Refused | State::Unknown
                    if request.settled_at.is_none_or(|at| now < at + RESULT) =>
                {
                    let answered = request.state == State::Spent && request.settled_at.is_some();
                    if answered && self.granted().is_some() {
                        self.begin();
                    }
                }
                _ => self.begin(),
            },
            None => self.begin(),
        }
    }

    fn spend(&mut self, first: bool) {
        let now = self.now;
        let Some(held) = self.held else { return };
        let under = self.request.as_ref().and_then(|request| request.under);
        let stands = under.is_none_or(|grant| self.stands(grant));
        let Some(request) = self.request.as_mut().filter(|request| request.number == held) else {
            return;
        };
        if request.state != State::Granted {
            return;
        }
        if request.first == first && stands {
            request.state = State::Spent;
            if let Some(grant) = under {
                self.grants[grant].left -= 1;
            }
            self.running = true;
            self.runs += 1;
        } else {
            request.end(State::Cancelled, now);
            self.open(first);
        }
    }

    fn finish(&mut self, state: State) {
        let now = self.now;
        if let Some(request) = self.request.as_mut().filter(|_| self.running) {
            request.end(state, now);
            self.running = false;
        }
    }
}

impl Request {
    fn end(&mut self, state: State, now: u64) {
        self.state = state;
        self.settled_at = Some(now);
    }

    /// Gives whether it is granted now.
    fn decide(&mut self, who: usize, approves: bool, wishes: bool, now: u64) -> bool {
        let counts = PEOPLE[who].2 && !self.decided.contains(&who);
        match self.state {
            State::Pending if counts && approves => {
                self.decided.insert(who);
                self.approved.insert(who);
                if wishes {
                    self.wished.insert(who);
                }
                if self.approved.len() >= 2 {
                    self.state = State::Granted;
                    self.deadline = now + EXECUTE;
                    return true;
                }
            }
            // Also who approved: they may think better of it.
            State::Pending | State::Granted if PEOPLE[who].2 && !approves => self.end(State::Refused, now),
            _ => {}
        }
        false
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let who = 0..PEOPLE.len();
        prop_oneof![
            6 => Just(Step::Send),
            6 => who.clone().prop_map(Step::Approve),
            6 => who.clone().prop_map(Step::ApproveFor),
            1 => who.clone().prop_map(Step::Refuse),
            1 => who.prop_map(Step::Withdraw),
            4 => prop::bool::weighted(0.8).prop_map(Step::Spend),
            2 => Just(Step::Answer),
            1 => Just(Step::Vanish),
            2 => prop::sample::select(vec![1_u64, 599, 600, 899, 1799, 1800]).prop_map(Step::Pass),
            1 => Just(Step::Tick),
            1 => Just(Step::Restart),
        ]
        .boxed()
    }

    fn apply(mut model: Self, step: &Step) -> Self {
        let now = model.now;
        model.expire();
        match step {
            Step::Send => model.send(),
            Step::Approve(who) | Step::ApproveFor(who) | Step::Refuse(who) => {
                let (approves, wishes) = (
                    !matches!(step, Step::Refuse(_)),
                    matches!(step, Step::ApproveFor(_)),
                );
                if let Some(request) = &mut model.request
                    && request.decide(*who, approves, wishes, now)
                    && request.wished == request.approved
                {
                    model.grants.push(Grant {
                        people: request.approved.clone(),
                        first: request.first,
                        ends: now + FOR.0,
                        left: FOR.1,
                    });
                }
            }
            Step::Withdraw(who) => {
                if let Some(request) = &mut model.request
                    && matches!(request.state, State::Pending | State::Granted)
                    && *who != 4
                {
                    request.end(State::Cancelled, now);
                }
            }
            Step::Spend(first) => model.spend(*first),
            Step::Answer => model.finish(State::Spent),
            Step::Vanish => model.finish(State::Unknown),
            Step::Pass(seconds) => model.now += seconds,
            Step::Tick => {}
            Step::Restart => {
                model.finish(State::Unknown);
                model.held = None;
            }
        }
        model
    }
}

/// The real thing.
struct Real {
    runtime: Runtime,
    folder: tempfile::TempDir,
    bench: Bench,
    ids: Vec<ApprovalId>,
    held: Option<(Call, Evidence)>,
    running: Option<Follow>,
    runs: u32,
    started: u64,
}

impl Real {
    fn note(&mut self, pending: &Pending) {
        if !self.ids.contains(&pending.id) {
            self.ids.push(pending.id.clone());
        }
    }

    async fn apply(&mut self, step: &Step, now: u64) {
        match step {
            Step::Send => {
                let call = self.bench.call("UPDATE 1");
                match self.bench.walk(&call, two(), &effect(&["1", "2"])).await {
                    Ok(evidence) => {
                        let id = evidence.approved.as_ref().unwrap().id.clone();
                        if !self.ids.contains(&id) {
                            self.ids.push(id); // it fell under a grant
                        }
                        self.held = Some((call, evidence));
                    }
                    Err(Unmet::Pending(pending)) => self.note(&pending),
                    Err(Unmet::Refused(_) | Unmet::Answered(_)) => {}
                }
            }
            Step::Approve(who) | Step::ApproveFor(who) | Step::Refuse(who) => {
                let choice = match step {
                    Step::Approve(_) => Choice::Approve,
                    Step::ApproveFor(_) => Choice::ApproveFor(Wish {
                        minutes: u32::try_from(FOR.0 / 60).unwrap(),
                        uses: FOR.1,
                        rows: None,
                        session: false,
                        free: BTreeSet::new(),
                    }),
                    _ => Choice::Refuse("no".to_owned()),
                };
                let (subject, groups, _) = PEOPLE[*who];
                if let Some(id) = self.ids.last() {
                    let _or_not = self.bench.decide(subject, groups, id, choice).await;
                }
            }
            Step::Withdraw(who) => {
                let (subject, groups, _) = PEOPLE[*who];
                if let Some(id) = self.ids.last() {
                    let person = self.bench.reviewer(subject, groups);
                    let _or_not = self
                        .bench
                        .approvals
                        .cancel(&person, &self.bench.rules(), id)
                        .await;
                }
            }
            Step::Spend(first) => self.spend(*first).await,
            Step::Answer => {
                if let Some(running) = self.running.take() {
                    running.settle(true).await;
                }
            }
            Step::Vanish => {
                if let Some(running) = self.running.take() {
                    drop(running);
                    let id = self.ids.last().unwrap();
                    while self.bench.row(id).await.state == "spent" {
                        tokio::task::yield_now().await;
                    }
                }
            }
            Step::Pass(_) => self.bench.at(now),
            Step::Tick => drop(self.bench.approvals.tick().await.unwrap()),
            Step::Restart => {
                std::mem::forget(self.running.take()); // it dies with its process, and says nothing
                self.held = None;
                self.started += 1;
                self.bench = bench(self.folder.path(), self.started).await;
                self.bench.at(now);
                self.bench.approvals.tick().await.unwrap();
            }
        }
    }

    async fn spend(&mut self, first: bool) {
        let Some((call, evidence)) = &self.held else {
            return;
        };
        let measured = effect(if first { &["1"] } else { &["3"] });
        // A call of its own each time, as a second executor with the same evidence would be.
        let again = self.bench.call("UPDATE 1");
        let following = self.bench.approvals.follow(&again.arrival.call_id);
        let subject = Subject::new(&again.arrival, &call.invocation, &call.facts);
        let rules = self.bench.rules();
        match self
            .bench
            .approvals
            .spend(subject, evidence, Some(&measured), &rules)
            .await
        {
            Ok(()) => {
                self.runs += 1;
                self.running = Some(following);
            }
            Err(Unmet::Pending(pending)) => self.note(&pending),
            Err(_) => {}
        }
    }
}

struct Compared;

impl StateMachineTest for Compared {
    type SystemUnderTest = Real;
    type Reference = Model;

    fn init_test(_: &Model) -> Real {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bench = runtime.block_on(bench(folder.path(), 0));
        Real {
            runtime,
            folder,
            bench,
            ids: Vec::new(),
            held: None,
            running: None,
            runs: 0,
            started: 0,
        }
    }

    fn apply(mut real: Real, model: &Model, step: Step) -> Real {
        // The runtime goes out and back in, so that the rest can be borrowed meanwhile.
        let runtime = std::mem::replace(
            &mut real.runtime,
            tokio::runtime::Builder::new_current_thread().build().unwrap(),
        );
        runtime.block_on(real.apply(&step, model.now));
        real.runtime = runtime;
        real
    }

    fn check_invariants(real: &Real, model: &Model) {
        assert_eq!(real.runs, model.runs, "runs");
        assert_eq!(real.ids.len(), model.made as usize, "requests");
        let (Some(id), Some(request)) = (real.ids.last(), &model.request) else {
            return;
        };
        let row = real.runtime.block_on(real.bench.row(id));
        let late = super::super::people::is_over(&row, real.bench.clock.now().0);
        let mut wanted = model.clone();
        wanted.expire();
        let state = if late { "expired" } else { row.state.as_str() };
        assert_eq!(
            state,
            wanted.request.as_ref().map_or("", |one| one.state.as_str())
        );
        let over = request.settled_at.is_some();
        assert!(
            late || (row.sealed.is_none() == over),
            "what is over is erased, and nothing before"
        );
        assert_eq!(row.state == "spent" && row.settled_at.is_none(), model.running);
    }
}

prop_state_machine! {
    #![proptest_config(Config {
        cases: 48,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    })]

    #[test]
    fn rows_go_where_the_model_goes(sequential 1..60 => Compared);
}
