//! A store, a provider that rotates its refresh tokens, a clock that moves when told to, and as many
//! processes as a test wants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, broadcast};
use url::Url;

use crate::call::{Hash, Principal, hex};
use crate::clock::{Timestamp, World};
use crate::identity::facade::{Times, prefix};
use crate::identity::provider::{Again, Provider, Question, SignInError, SignedIn, Upstream};
use crate::identity::seal::Seal;
use crate::identity::sessions::*;
use crate::identity::{GroupMap, OwnTokens, Reason, Scopes};
use crate::secret::Secret;
use crate::store::rows::Rows;
use crate::store::sign_ins::CodeRow;
use crate::store::testing;

pub(in crate::identity) const START: u64 = 1_800_000_000_000;
pub(in crate::identity) const RESOURCE: &str = "https://gate.example.com/mcp";
pub(in crate::identity) const REDIRECT: &str = "http://127.0.0.1:4711/callback";
pub(in crate::identity) const CLIENT: &str = "agent-1";
pub(in crate::identity) const VERIFIER: &str = "v0123456789012345678901234567890123456789012";
pub(in crate::identity) const TIMES: Times = Times {
    access: Duration::from_secs(900),
    idle: Duration::from_secs(14 * 24 * 3600),
    session: Duration::from_secs(30 * 24 * 3600),
    recheck: Duration::from_secs(600),
    unchecked: Duration::from_secs(3600),
};

/// Everybody's clock, and bytes that never repeat.
#[derive(Debug, Default)]
pub(in crate::identity) struct Clock {
    seconds: AtomicU64,
    random: AtomicU64,
}

impl Clock {
    pub(in crate::identity) fn advance(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(START + self.seconds.load(Ordering::SeqCst) * 1000)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn random(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let hash = Hash::of(&self.random.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&hash.0[..chunk.len()]);
        }
    }
}

/// How the provider behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::identity) enum Mood {
    Stands,
    Away,
    Gone,
    CannotAsk,
}

/// A provider whose refresh tokens work once; reuse takes everything back, as RFC 9700 says.
#[derive(Debug)]
pub(in crate::identity) struct Corp {
    state: Mutex<State>,
    /// Whoever asks takes one of these before the answer leaves.
    pub(in crate::identity) wire: Semaphore,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    groups: Option<BTreeSet<String>>,
    /// subject → its one good refresh token; none after reuse.
    good: BTreeMap<String, Option<String>>,
    issued: u64,
    asked: u64,
    forgotten: Vec<String>,
}

impl Corp {
    pub(in crate::identity) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                mood: Mood::Stands,
                groups: None,
                good: BTreeMap::new(),
                issued: 0,
                asked: 0,
                forgotten: Vec::new(),
            }),
            wire: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    pub(in crate::identity) fn mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub(in crate::identity) fn says_groups(&self, groups: &[&str]) {
        self.state.lock().unwrap().groups = Some(set(groups));
    }

    pub(in crate::identity) fn asked(&self) -> u64 {
        self.state.lock().unwrap().asked
    }

    pub(in crate::identity) fn forgotten(&self) -> Vec<String> {
        self.state.lock().unwrap().forgotten.clone()
    }

    /// Whether reuse was seen.
    pub(in crate::identity) fn saw_reuse(&self, subject: &str) -> bool {
        self.state.lock().unwrap().good.get(subject) == Some(&None)
    }

    fn next(state: &mut State, subject: &str) -> Upstream {
        state.issued += 1;
        let token = format!("upstream-{}", state.issued);
        state.good.insert(subject.to_owned(), Some(token.clone()));
        let mut upstream = Upstream::default();
        upstream.refresh = Some(token);
        upstream
    }

    /// Somebody signs in.
    pub(in crate::identity) fn sign_in(&self, subject: &str) -> Upstream {
        Self::next(&mut self.state.lock().unwrap(), subject)
    }
}

impl Provider for Corp {
    fn name(&self) -> &str {
        "corp"
    }

    fn begin<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Result<Url, SignInError>> {
        Box::pin(std::future::ready(Err(SignInError::NoWay)))
    }

    fn finish<'a>(
        &'a self,
        _: &'a Question,
        _: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<SignedIn, SignInError>> {
        Box::pin(std::future::ready(Err(SignInError::NoWay)))
    }

    fn again<'a>(
        &'a self,
        subject: &'a str,
        upstream: &'a Upstream,
    ) -> BoxFuture<'a, Result<Again, SignInError>> {
        Box::pin(async move {
            let answer = {
                let mut state = self.state.lock().unwrap();
                state.asked += 1;
                match state.mood {
                    Mood::Away => return Err(SignInError::Provider("unreachable".to_owned())),
                    Mood::Gone => Again::Gone,
                    Mood::CannotAsk => Again::CannotAsk,
                    Mood::Stands => {
                        let good = state.good.get(subject).cloned().flatten();
                        if good.is_some() && good == upstream.refresh {
                            Again::Stands {
                                claimed: state.groups.clone(),
                                upstream: Self::next(&mut state, subject),
                            }
                        } else {
                            state.good.insert(subject.to_owned(), None);
                            Again::Gone
                        }
                    }
                }
            };
            // The provider has done it; the answer is still on its way.
            self.wire.acquire().await.unwrap().forget();
            Ok(answer)
        })
    }

    fn forget<'a>(&'a self, upstream: &'a Upstream) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let token = upstream.refresh.clone().unwrap_or_default();
            self.state.lock().unwrap().forgotten.push(token);
        })
    }
}

pub(in crate::identity) fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(in crate::identity) fn seal(key: &str) -> Arc<Seal> {
    Arc::new(Seal::new(vec![Secret::new(key.repeat(32))]).unwrap())
}

pub(in crate::identity) async fn rows(folder: &Path) -> Rows {
    Rows::new(testing::open(&folder.join("store.db")).await)
}

/// One process.
pub(in crate::identity) struct Bench {
    pub(in crate::identity) sessions: Sessions,
    pub(in crate::identity) rows: Rows,
    pub(in crate::identity) corp: Arc<Corp>,
    pub(in crate::identity) clock: Arc<Clock>,
    pub(in crate::identity) told: Mutex<broadcast::Receiver<Arc<str>>>,
    folder: Arc<tempfile::TempDir>,
}

impl Bench {
    pub(in crate::identity) async fn new() -> Self {
        Self::with(TIMES).await
    }

    pub(in crate::identity) async fn with(times: Times) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start(folder, Corp::new(), Arc::default(), times, "k").await
    }

    /// Another process on the same store.
    pub(in crate::identity) async fn replica(&self) -> Self {
        self.replica_with_key("k").await
    }

    pub(in crate::identity) async fn replica_with_key(&self, key: &str) -> Self {
        let (folder, corp, clock) = (self.folder.clone(), self.corp.clone(), self.clock.clone());
        Self::start(folder, corp, clock, TIMES, key).await
    }

    async fn start(
        folder: Arc<tempfile::TempDir>,
        corp: Arc<Corp>,
        clock: Arc<Clock>,
        times: Times,
        key: &str,
    ) -> Self {
        let rows = rows(folder.path()).await;
        let ended = crate::identity::ends::Ends::default();
        let told = ended.listen();
        let scopes = BTreeMap::from([
            ("read".to_owned(), set(&["sql_query"])),
            ("write".to_owned(), set(&["sql_execute"])),
        ]);
        let parts = Parts {
            rows: rows.clone(),
            seal: seal(key),
            providers: vec![corp.clone()],
            groups: GroupMap::parse([("analyst", vec!["corp:analysts"]), ("dba", vec!["corp:dbas"])])
                .unwrap(),
            scopes: Scopes::new(&scopes, ["sql_execute", "sql_query"]).unwrap(),
            resource: RESOURCE.to_owned(),
            times,
            ended,
            world: clock.clone(),
        };
        Self {
            sessions: Sessions::start(parts).await.unwrap(),
            rows,
            corp,
            clock,
            told: Mutex::new(told),
            folder,
        }
    }

    pub(in crate::identity) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A sign-in leaves a code; its text.
    pub(in crate::identity) async fn code(&self, subject: &str) -> String {
        let upstream = self.corp.sign_in(subject);
        self.code_with(subject, &upstream, |_| ()).await
    }

    pub(in crate::identity) async fn code_with(
        &self,
        subject: &str,
        upstream: &Upstream,
        change: impl FnOnce(&mut CodeRow),
    ) -> String {
        let text = fresh(prefix::CODE, self.clock.as_ref()).to_string();
        let hash = Hash::of(text.as_bytes());
        let now = self.clock.now().0;
        let mut row = CodeRow {
            hash: hash.0,
            client_id: CLIENT.to_owned(),
            client_name: "Agent".to_owned(),
            verified: true,
            redirect_uri: Some(REDIRECT.to_owned()),
            challenge: Some(URL_SAFE_NO_PAD.encode(Hash::of(VERIFIER.as_bytes()).0)),
            resource: RESOURCE.to_owned(),
            scope: "read write".to_owned(),
            issuer: "corp".to_owned(),
            subject: subject.to_owned(),
            claimed: r#"["analysts","unmapped"]"#.to_owned(),
            auth_time: Some(now / 1000),
            provider_sid: Some(format!("sid-{subject}")),
            sealed: seal_upstream(&seal("k"), &hex(&hash.0), upstream, self.clock.as_ref()),
            created_at: now,
            expires_at: now + 60_000,
        };
        change(&mut row);
        let mut tx = self.rows.write().await.unwrap();
        tx.add_code(&row).await.unwrap();
        tx.commit().await.unwrap();
        text
    }

    pub(in crate::identity) async fn redeem(&self, code: &str) -> Result<Issued, Refused> {
        let redeem = Redeem {
            code: Hash::of(code.as_bytes()),
            client_id: CLIENT,
            proof: Proof::Began {
                verifier: VERIFIER,
                redirect_uri: REDIRECT,
            },
            resource: Some(RESOURCE),
        };
        self.sessions.redeem(&redeem).await
    }

    /// Somebody signs in, and their client has its first tokens.
    pub(in crate::identity) async fn open(&self, subject: &str) -> Issued {
        self.redeem(&self.code(subject).await).await.unwrap()
    }

    pub(in crate::identity) async fn refresh(&self, token: &str) -> Result<Issued, Refused> {
        let refresh = Refresh {
            token,
            client_id: CLIENT,
            scope: None,
            resource: Some(RESOURCE),
        };
        self.sessions.refresh(&refresh).await
    }

    pub(in crate::identity) async fn admit(&self, token: &str) -> Result<Principal, Reason> {
        self.sessions.admit(token).await
    }

    /// Ids that were told as ended since this was last asked.
    pub(in crate::identity) fn told(&self) -> Vec<String> {
        let mut told = self.told.lock().unwrap();
        std::iter::from_fn(|| told.try_recv().ok().map(|id| id.to_string())).collect()
    }

    pub(in crate::identity) async fn session(&self, id: &str) -> crate::store::sessions::SessionRow {
        let mut tx = self.rows.read().await.unwrap();
        let session = tx.session(id).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        session
    }

    /// Waits until something that goes on by itself has happened.
    pub(in crate::identity) async fn until(&self, what: &str, happened: impl AsyncFn() -> bool) {
        for _ in 0..1_000 {
            if happened().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never happened: {what}");
    }
}
