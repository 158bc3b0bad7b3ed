//! Whatever people, programs and thieves do in whatever order, on two processes: every answer is the one of a
//! model that knows nothing of rows, hashes and memory.

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::bench::*;
use crate::identity::sessions::*;

const PEOPLE: [&str; 2] = ["alice", "bob"];
const IDLE: u64 = 14 * 24 * 3600;
const SESSION: u64 = 30 * 24 * 3600;

#[derive(Debug, Clone)]
enum Step {
    SignIn(usize),
    Redeem(prop::sample::Index),
    Refresh(prop::sample::Index),
    Admit(prop::sample::Index),
    RevokeAccess(prop::sample::Index),
    RevokeRefresh(prop::sample::Index),
    End(prop::sample::Index),
    Pass(u64),
}

#[derive(Debug, Clone, Default)]
struct Model {
    now: u64,
    codes: Vec<Code>,
    sessions: Vec<Open>,
    access: Vec<Access>,
    refresh: Vec<Chain>,
    /// What the last step must have come to.
    worked: bool,
}

#[derive(Debug, Clone)]
struct Code {
    until: u64,
    session: Option<usize>,
}

#[derive(Debug, Clone)]
struct Open {
    opened: u64,
    used: u64,
    ended: bool,
    newest: u64,
}

#[derive(Debug, Clone)]
struct Access {
    session: usize,
    until: u64,
    revoked: bool,
}

#[derive(Debug, Clone)]
struct Chain {
    session: usize,
    generation: u64,
    replaced: Option<u64>,
}

impl Model {
    fn lives(&self, session: usize) -> bool {
        let open = &self.sessions[session];
        !open.ended && self.now < open.opened + SESSION && self.now < open.used + IDLE
    }

    fn issue(&mut self, session: usize, generation: u64) {
        let until = (self.now + 900).min(self.sessions[session].opened + SESSION);
        self.access.push(Access {
            session,
            until,
            revoked: false,
        });
        self.refresh.push(Chain {
            session,
            generation,
            replaced: None,
        });
    }

    fn redeem(&mut self, code: usize) -> bool {
        if let Some(session) = self.codes[code].session {
            self.sessions[session].ended = true;
            return false;
        }
        if self.now >= self.codes[code].until {
            return false;
        }
        self.codes[code].session = Some(self.sessions.len());
        let (opened, used) = (self.now, self.now);
        self.sessions.push(Open {
            opened,
            used,
            ended: false,
            newest: 0,
        });
        self.issue(self.sessions.len() - 1, 0);
        true
    }

    fn refresh(&mut self, token: usize) -> bool {
        let Chain {
            session,
            generation,
            replaced,
        } = self.refresh[token];
        if !self.lives(session) {
            return false;
        }
        let newest = self.sessions[session].newest;
        let next = match replaced {
            None => newest + 1,
            Some(at) if generation + 1 == newest && self.now < at + 60 => newest,
            Some(_) => {
                self.sessions[session].ended = true;
                return false;
            }
        };
        let racing = |one: &&Chain| one.session == session && one.generation == newest;
        if next == newest && self.refresh.iter().filter(racing).count() >= 32 {
            self.sessions[session].ended = true;
            return false;
        }
        if next > newest {
            let now = self.now;
            let all = self.refresh.iter_mut();
            all.filter(|one| one.session == session && one.generation == newest)
                .for_each(|one| one.replaced = Some(now));
        }
        self.sessions[session].newest = next;
        self.sessions[session].used = self.now;
        self.issue(session, next);
        // At most one generation can be used later.
        let usable = self
            .refresh
            .iter()
            .filter(|one| one.session == session && one.replaced.is_none());
        assert!(usable.into_iter().all(|one| one.generation == next));
        true
    }

    fn admit(&mut self, token: usize) -> bool {
        let Access {
            session,
            until,
            revoked,
        } = self.access[token];
        if revoked || self.now >= until || !self.lives(session) {
            return false;
        }
        if self.now >= self.sessions[session].used + 60 {
            self.sessions[session].used = self.now;
        }
        true
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let any = any::<prop::sample::Index>;
        let passes = prop::sample::select(vec![
            1, 5, 30, 59, 60, 61, 299, 300, 600, 900, 90_000, IDLE, SESSION,
        ]);
        prop_oneof![
            4 => (0..PEOPLE.len()).prop_map(Step::SignIn),
            6 => any().prop_map(Step::Redeem),
            9 => any().prop_map(Step::Refresh),
            6 => any().prop_map(Step::Admit),
            1 => any().prop_map(Step::RevokeAccess),
            1 => any().prop_map(Step::RevokeRefresh),
            1 => any().prop_map(Step::End),
            4 => passes.prop_map(Step::Pass),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        match step {
            Step::Redeem(_) => !state.codes.is_empty(),
            Step::SignIn(_) | Step::Pass(_) => true,
            _ => !state.sessions.is_empty(),
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.worked = match step {
            Step::SignIn(_) => {
                let until = state.now + 60;
                state.codes.push(Code { until, session: None });
                true
            }
            Step::Redeem(code) => state.redeem(code.index(state.codes.len())),
            Step::Refresh(token) => state.refresh(token.index(state.refresh.len())),
            Step::Admit(token) => state.admit(token.index(state.access.len())),
            Step::RevokeAccess(token) => {
                let token = token.index(state.access.len());
                state.access[token].revoked = true;
                true
            }
            Step::RevokeRefresh(token) => {
                let token = token.index(state.refresh.len());
                let session = state.refresh[token].session;
                state.sessions[session].ended = true;
                true
            }
            Step::End(session) => {
                let session = session.index(state.sessions.len());
                state.sessions[session].ended = true;
                true
            }
            Step::Pass(seconds) => {
                state.now += seconds;
                true
            }
        };
        state
    }
}

/// Two processes, and what programs hold: by the numbers the model gives them.
struct Real {
    runtime: tokio::runtime::Runtime,
    processes: [Bench; 2],
    steps: usize,
    codes: Vec<String>,
    issued: Vec<Issued>,
    sessions: Vec<String>,
}

impl Real {
    async fn step(&mut self, step: Step) -> bool {
        let bench = &self.processes[self.steps % 2];
        let issued = match step {
            Step::SignIn(person) => {
                // Each sign-in has a session of its own at the provider.
                let subject = format!("{}-{}", PEOPLE[person], self.codes.len());
                self.codes.push(bench.code(&subject).await);
                return true;
            }
            Step::Redeem(code) => bench.redeem(&self.codes[code.index(self.codes.len())]).await,
            Step::Refresh(token) => {
                let token = &self.issued[token.index(self.issued.len())].refresh;
                bench.refresh(token).await
            }
            Step::Admit(token) => {
                let issued = &self.issued[token.index(self.issued.len())];
                let admitted = bench.admit(&issued.access).await;
                let admitted = admitted.inspect(|principal| assert_eq!(principal.session.id, issued.session));
                return admitted.is_ok();
            }
            Step::RevokeAccess(token) => {
                let token = &self.issued[token.index(self.issued.len())].access;
                return bench.sessions.revoke(token, None).await.is_ok();
            }
            Step::RevokeRefresh(token) => {
                let token = &self.issued[token.index(self.issued.len())].refresh;
                return bench.sessions.revoke(token, None).await.is_ok();
            }
            Step::End(session) => {
                let session = &self.sessions[session.index(self.sessions.len())];
                return bench.sessions.end(session, Why::Administrator).await.is_ok();
            }
            Step::Pass(seconds) => {
                bench.clock.advance(seconds);
                return true;
            }
        };
        assert_ne!(issued.as_ref().err(), Some(&Refused::Unavailable));
        let Ok(issued) = issued else { return false };
        if !self.sessions.contains(&issued.session) {
            self.sessions.push(issued.session.clone());
        }
        self.issued.push(issued);
        true
    }
}

impl StateMachineTest for Real {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let processes = runtime.block_on(async {
            let here = Bench::new().await;
            let there = here.replica().await;
            [here, there]
        });
        Self {
            runtime,
            processes,
            steps: 0,
            codes: Vec::new(),
            issued: Vec::new(),
            sessions: Vec::new(),
        }
    }

    fn apply(mut real: Self, model: &Model, step: Step) -> Self {
        let runtime = std::mem::replace(
            &mut real.runtime,
            tokio::runtime::Builder::new_current_thread().build().unwrap(),
        );
        runtime.block_on(async {
            real.steps += 1;
            assert_eq!(
                real.step(step.clone()).await,
                model.worked,
                "{step:?} at {}",
                model.now
            );
            for bench in &real.processes {
                bench.sessions.watch().await.unwrap();
            }
        });
        real.runtime = runtime;
        real
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tokens_live_and_die_as_families(sequential 1..40 => Real);
}
