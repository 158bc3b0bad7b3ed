//! One issuer's keys over time: discovery, caching, rotation, and what happens when the issuer is away.
//!
//! Each issuer has its own ring, and a token is checked only with the ring of the issuer its `iss`
//! names, so no issuer can vouch for another's users.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, OwnedMutexGuard};
use url::Url;

use super::discovery::Metadata;
use super::fetch::{Fetch, Fetched};
use super::jose::Algorithm;
use super::jwks::{Key, KeySet};
use super::rejection::Reason;
use super::spec::{IssuerSpec, secure};
use crate::clock::World;

/// The least time between two fetches of one issuer's keys, whatever strangers send.
pub(super) const RETRY: Duration = Duration::from_secs(10);
/// Keys are fetched again after this long: what `Cache-Control: max-age` says, between these bounds.
const FRESH_LEAST: Duration = Duration::from_secs(60);
const FRESH_MOST: Duration = Duration::from_secs(3_600);
const FRESH_DEFAULT: Duration = Duration::from_secs(600);
/// When fetching fails, the last good keys serve until they are this old; then every token is refused.
pub(super) const KEPT: Duration = Duration::from_secs(4 * 3_600);

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeyRing {
    issuer: IssuerSpec,
    fetch: Arc<dyn Fetch>,
    world: Arc<dyn World>,
    held: ArcSwap<Held>,
    /// When the last fetch began or ended (monotonic); holding it is the right to fetch.
    last_try: Arc<Mutex<Option<Duration>>>,
}

#[derive(Debug, Default)]
struct Held {
    keys: KeySet,
    /// When they were fetched, and until when they are fresh (monotonic); `None` before the first.
    age: Option<(Duration, Duration)>,
}

impl Held {
    fn fresh(&self, now: Duration) -> bool {
        self.age.is_some_and(|(_, until)| now < until)
    }

    fn usable(&self, now: Duration) -> bool {
        self.age
            .is_some_and(|(fetched, _)| now.saturating_sub(fetched) < KEPT)
    }
}

impl KeyRing {
    pub(super) fn new(issuer: IssuerSpec, fetch: Arc<dyn Fetch>, world: Arc<dyn World>) -> Self {
        Self {
            issuer,
            fetch,
            world,
            held: ArcSwap::default(),
            last_try: Arc::default(),
        }
    }

    /// The issuer these keys belong to.
    pub(super) fn issuer(&self) -> &IssuerSpec {
        &self.issuer
    }

    /// The key of this id. Stale keys are used while one background fetch replaces them; an unknown
    /// id waits for a fetch, unless the last one was less than [`RETRY`] ago.
    pub(super) async fn key(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, Reason> {
        let held = self.held.load_full();
        let now = self.world.monotonic();
        if let Some(key) = held.keys.find(id, algorithm)
            && held.usable(now)
        {
            if !held.fresh(now)
                && let Ok(turn) = Arc::clone(&self.last_try).try_lock_owned()
                && due(*turn, now)
            {
                drop(tokio::spawn(Arc::clone(self).refresh(turn)));
            }
            return Ok(key);
        }
        // A task of its own: callers that give up must not keep the keys from arriving.
        let turn = Arc::clone(&self.last_try).lock_owned().await;
        let _ = tokio::spawn(Arc::clone(self).refresh(turn)).await;
        let held = self.held.load_full();
        if !held.usable(self.world.monotonic()) {
            return Err(Reason::KeysUnavailable);
        }
        held.keys.find(id, algorithm).ok_or(Reason::UnknownKey)
    }

    /// Replaces the keys, unless somebody did, or tried, a moment ago.
    async fn refresh(self: Arc<Self>, mut turn: OwnedMutexGuard<Option<Duration>>) {
        let now = self.world.monotonic();
        if !due(*turn, now) {
            return;
        }
        *turn = Some(now);
        let fetched = self.fetch_keys().await;
        // Counted from the end: those who waited for a slow failure must not each repeat it.
        *turn = Some(self.world.monotonic());
        match fetched {
            Ok((keys, fresh_for)) => {
                tracing::debug!(
                    issuer = self.issuer.name,
                    keys = keys.len(),
                    "issuer keys fetched"
                );
                let age = Some((now, now + fresh_for));
                self.held.store(Arc::new(Held { keys, age }));
            }
            Err(cause) => {
                let serving = self.held.load().usable(now);
                tracing::warn!(
                    issuer = self.issuer.name,
                    cause,
                    serving_last_good_keys = serving,
                    "issuer keys cannot be fetched"
                );
            }
        }
    }

    /// Discovers and fetches the keys now, for `tollgate check`. Returns how many are usable; the
    /// error is for the operator.
    pub(super) async fn probe(&self) -> Result<usize, String> {
        self.fetch_keys().await.map(|(keys, _)| keys.len())
    }

    async fn fetch_keys(&self) -> Result<(KeySet, Duration), String> {
        let address = match &self.issuer.jwks_uri {
            Some(configured) => secure(configured).map_err(str::to_owned)?,
            None => self.discover().await?,
        };
        let answer = self.get(&address).await?;
        if answer.status != 200 {
            return Err(format!("{address} answered HTTP {}", answer.status));
        }
        Ok((
            KeySet::parse(&answer.body)?,
            fresh_for(answer.cache_control.as_deref()),
        ))
    }

    /// The issuer's `jwks_uri`, on its own origin.
    async fn discover(&self) -> Result<Url, String> {
        let metadata = Metadata::read(self.fetch.as_ref(), &self.issuer.url).await?;
        metadata.own("jwks_uri", "jwks_uri")
    }

    /// The key that checks this very token, if its algorithm is one the issuer may use.
    pub(super) async fn check(self: &Arc<Self>, token: &super::jose::Compact<'_>) -> Result<(), Reason> {
        let algorithm = token.header.algorithm;
        if !self.issuer.algorithms.contains(&algorithm) {
            return Err(Reason::Algorithm);
        }
        let key = self.key(token.header.key_id.as_deref(), algorithm).await?;
        token.verify(&key.decoding)
    }

    async fn get(&self, address: &Url) -> Result<Fetched, String> {
        self.fetch.get(address).await.map_err(|error| error.to_string())
    }

    /// Waits for a background fetch, so that tests need no sleeping.
    #[cfg(test)]
    pub(super) async fn settled(&self) {
        drop(self.last_try.lock().await);
    }
}

fn due(last_try: Option<Duration>, now: Duration) -> bool {
    last_try.is_none_or(|last| now.saturating_sub(last) >= RETRY)
}

/// How long the keys are fresh (RFC 9111 §5.2.2), between our bounds.
fn fresh_for(cache_control: Option<&str>) -> Duration {
    let directives = || cache_control.unwrap_or_default().split(',').map(str::trim);
    let forbids = |one: &str| one.eq_ignore_ascii_case("no-store") || one.eq_ignore_ascii_case("no-cache");
    if directives().any(forbids) {
        return FRESH_LEAST;
    }
    let max_age = directives().find_map(|one| {
        let (name, value) = one.split_once('=')?;
        let seconds = value.trim_matches('"').parse().ok()?;
        name.eq_ignore_ascii_case("max-age")
            .then(|| Duration::from_secs(seconds))
    });
    max_age.unwrap_or(FRESH_DEFAULT).clamp(FRESH_LEAST, FRESH_MOST)
}
