//! Credential → [`Principal`]: who asks.
//!
//! Over HTTP Tollgate is a resource server (RFC 6750, RFC 9068, RFC 9728): the organisation's own
//! issuers sign the tokens, this stage checks them and passes them on to nobody. On stdio the
//! principal is the operating-system user. What is checked, and why, is in `docs/identity.md`.

mod claims;
mod discovery;
pub mod doctor;
pub mod ends;
pub mod facade;
mod fetch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod groups;
mod introspection;
pub mod issuer;
mod jose;
mod jwks;
mod keys;
mod last_page;
mod local;
pub mod login;
mod reading;
pub mod people;
pub mod provider;
pub(crate) mod reach;
mod rejection;
pub mod saml;
mod scopes;
pub mod seal;
pub mod security_keys;
pub mod services;
mod session;
pub mod sessions;
mod spec;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};

pub use fetch::{Fetch, FetchError, Fetched, Form, HttpFetch, install_tls_provider};
pub use groups::{GroupMap, GroupsFault};
pub use jose::{Algorithm, UnknownAlgorithm};
pub use local::LocalUser;
pub use rejection::{Reason, Rejection};
pub use scopes::Scopes;
pub use spec::{
    CALLBACK, DEMO, IdentitySpec, IssuerSpec, LOCAL, OTHERWISE_CHECKED, Opaque, SERVICE, SpecError, shared,
};

use crate::call::refusal::Code;
use crate::call::{Hash, Principal, Refusal, Scope, Session, UserKind};
use crate::clock::World;
use crate::recent;
use claims::Admitted;
use ends::Ends;
use introspection::Introspector;
use keys::KeyRing;
use people::People;
use reading::Reading;
use recent::Recent;
use rejection::{Signpost, Tally};
use session::Sessions;
use standing::{Again, Standing};

/// A verified token is not verified again for this long: the bound on how long a key or a group
/// taken away keeps working after the issuer's own bounds.
const VERIFIED_FOR: Duration = Duration::from_secs(30);
/// The longest token of our own, in bytes.
const OWN_BYTES: usize = 256;
/// The random part of each, in characters of base64url: 32 bytes.
const TOKEN_BYTES: usize = 43;
/// Half of the verified tokens remembered.
const VERIFIED_HALF: usize = 2_048;

/// The bearer token a request carried, if any. Its `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct Bearer<'a>(pub Option<&'a str>);

impl<'a> Bearer<'a> {
    /// Reads an `Authorization` header (RFC 6750 §2.1). Another scheme, and an empty token, is no token.
    #[must_use]
    pub fn from_authorization(header: Option<&'a str>) -> Self {
        let token = header.and_then(|header| {
            let (scheme, token) = header.trim().split_once(' ')?;
            let token = token.trim_start();
            (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
        });
        Self(token)
    }
}

impl fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer({} bytes)", self.0.map_or(0, str::len))
    }
}

/// Tokens of our own (of the facade, of services): opaque, told apart by how they begin, and known only
/// to whoever issued them.
pub trait OwnTokens: Send + Sync + fmt::Debug {
    /// How they begin; nobody else's do.
    fn prefix(&self) -> &'static str;

    /// Whose it is. The answer may be a few seconds old.
    fn admit<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Principal, Reason>>;

    /// Whether this very token was found good a moment ago: cheap, and no promise that it still is. It is
    /// not held up by what others try from the same address.
    fn knows(&self, _token: &str) -> bool {
        false
    }

    /// Whether a principal they admitted some time ago still stands: `None` when it is not theirs.
    fn stands<'a>(&'a self, principal: &'a Principal) -> BoxFuture<'a, Option<bool>>;
}

/// Verifies credentials.
#[derive(Debug)]
pub struct Identity {
    /// By `iss`, compared character for character.
    rings: HashMap<String, Arc<KeyRing>>,
    groups: GroupMap,
    resource: String,
    facade: Option<String>,
    /// What clients are told to ask for.
    asked: String,
    /// What the scopes of a token are worth.
    scopes: Scopes,
    /// The issuer of tokens that are no JWT.
    introspector: Option<Arc<Introspector>>,
    signpost: Arc<Signpost>,
    /// By SHA-256 of the token: the token itself is not kept.
    verified: Mutex<Recent<Hash, Verified>>,
    sessions: Sessions,
    standing: Standing,
    people: Arc<People>,
    reading: Reading,
    local: OnceLock<Principal>,
    own: Vec<Arc<dyn OwnTokens>>,
    tally: Tally,
    ends: Ends,
    world: Arc<dyn World>,
}

#[derive(Debug)]
struct Verified {
    admitted: Arc<Admitted>,
    /// Monotonic.
    until: Duration,
}

impl Identity {
    /// Checks the specification and starts without talking to any issuer: keys are fetched when the
    /// first token comes (see [`Identity::probe`]). `admit` needs a tokio runtime.
    ///
    /// # Errors
    /// What is wrong with the specification, in words for whoever wrote it.
    pub fn new(spec: IdentitySpec, fetch: Arc<dyn Fetch>, world: Arc<dyn World>) -> Result<Self, SpecError> {
        spec.check()?;
        let asked = asked(&spec);
        let ask = |issuer: &IssuerSpec| Introspector::new(issuer, &fetch, &world);
        let introspector = spec.issuers.iter().find_map(ask).map(Arc::new);
        let resource = spec::secure(&spec.resource).map_err(|why| SpecError(why.to_owned()))?;
        let rings = spec.issuers.into_iter().map(|issuer| {
            let key = issuer.url.clone();
            (
                key,
                Arc::new(KeyRing::new(issuer, Arc::clone(&fetch), Arc::clone(&world))),
            )
        });
        let rings: HashMap<String, Arc<KeyRing>> = rings.collect();
        let people = Arc::new(People::new(&rings, &spec.groups, &fetch, &world));
        Ok(Self {
            rings,
            groups: spec.groups,
            signpost: Arc::new(Signpost {
                metadata_url: spec::metadata_url(&resource).into(),
                scope: asked.clone(),
            }),
            resource: spec.resource,
            facade: spec.facade,
            asked,
            scopes: Scopes::default(),
            introspector,
            verified: Mutex::new(Recent::new(VERIFIED_HALF)),
            sessions: Sessions::new(Arc::clone(&world)),
            standing: Standing::default(),
            people,
            reading: Reading::new(),
            local: OnceLock::new(),
            own: spec.own,
            tally: Tally::default(),
            ends: Ends::default(),
            world,
        })
    }

    /// From now on scopes bound what tokens are good for.
    #[must_use]
    pub fn scoped(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// With the place where those who keep sessions of our own tell their ends.
    #[must_use]
    pub fn with_ends(mut self, ends: Ends) -> Self {
        self.ends = ends;
        self
    }

    /// Where the end of a session is told.
    #[must_use]
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The ids of sessions that end from now on, of whatever kind. See [`Ends::listen`].
    #[must_use]
    pub fn ended(&self) -> tokio::sync::broadcast::Receiver<Arc<str>> {
        self.ends.listen()
    }

    /// Whether the session of a principal is one of ours and does not stand. Asks the store.
    pub async fn has_fallen(&self, principal: &Principal) -> bool {
        for own in &self.own {
            if let Some(stands) = own.stands(principal).await {
                return !stands;
            }
        }
        false
    }

    /// Forgets what a session has read from: it has ended, and nothing is decided in it any more.
    pub fn forget(&self, session: &str) {
        self.reading.forget(session);
    }

    /// Adds to a principal what its session has read from so far.
    pub fn recall(&self, principal: &mut Principal) {
        self.reading.recall(&mut principal.session);
    }

    /// Notes that a session is about to read from something with these labels. Noted before it
    /// reads, so that no later call is decided without it. `false`, and nothing noted, when another
    /// call has read since `session` was recalled: recall it and decide again, or two calls sent at
    /// once would each be decided without the other.
    #[must_use]
    pub fn has_read(&self, session: &Session, labels: &BTreeSet<String>) -> bool {
        self.reading.note(session, labels)
    }

    /// Whether the caller still stands, some time after they were admitted: the newest token this
    /// caller was admitted by has not expired, and its issuer is still configured. When that was asked
    /// what the token is, it is asked again, unless it said so less than 30 seconds ago. The user of
    /// stdio stands as long as the process.
    ///
    /// # Errors
    /// `not_permitted`, to be retried with a fresh credential.
    pub async fn stands(&self, principal: &Principal) -> Result<(), Refusal> {
        for own in &self.own {
            match own.stands(principal).await {
                Some(true) => return Ok(()),
                Some(false) => return Err(fallen()),
                None => {}
            }
        }
        if principal.user.issuer == LOCAL {
            return Ok(());
        }
        let issuer = &principal.user.issuer;
        let configured = self.rings.values().any(|ring| ring.issuer().name == *issuer);
        let until = self.standing.until(principal);
        if !configured || until.is_none_or(|expires| self.world.now().seconds() >= expires) {
            return Err(fallen());
        }
        match self.standing.again(principal) {
            Again::Needless => Ok(()),
            Again::Forgotten => Err(fallen()),
            Again::Ask(token) => self.asked_again(principal, &token).await,
        }
    }

    /// Whether an opaque token still makes the same principal.
    async fn asked_again(&self, principal: &Principal, token: &str) -> Result<(), Refusal> {
        match self.verified(token).await {
            Ok(admitted) => {
                // What was decided for other groups or scopes is not decided.
                let tools = self.scopes.tools(admitted.scopes.iter().map(String::as_str));
                let same = admitted.user == principal.user
                    && admitted.agent.client_id == principal.agent.client_id
                    && tools == principal.scope.tools;
                same.then_some(()).ok_or_else(fallen)
            }
            Err((Reason::Unavailable | Reason::KeysUnavailable, _)) => Err(unchecked()),
            Err(_) => Err(fallen()),
        }
    }

    /// People on the control side, with keys and groups of their own issuers.
    #[must_use]
    pub fn people(&self) -> Arc<People> {
        Arc::clone(&self.people)
    }

    /// Verifies a bearer token. The agent's `claimed_name` stays empty: the protocol says it, not the token.
    ///
    /// # Errors
    /// Why not. Counted and logged without the token or anything from it.
    #[tracing::instrument(level = "debug", skip_all, name = "identity")]
    pub async fn admit(&self, bearer: Bearer<'_>) -> Result<Principal, Rejection> {
        let own = bearer.0.and_then(|token| {
            let mine = self.own.iter().find(|own| token.starts_with(own.prefix()));
            mine.map(|own| (own, token))
        });
        if let Some((own, token)) = own {
            let admitted = match token.len() {
                0..=OWN_BYTES => own.admit(token).await,
                _ => Err(Reason::Oversized),
            };
            return admitted.map_err(|reason| self.reject(reason, None));
        }
        let admitted = match bearer.0 {
            None => Err((Reason::Missing, None)),
            Some(token) => self.verified(token).await,
        };
        let admitted = admitted.map_err(|(reason, issuer)| self.reject(reason, issuer))?;
        let principal = Principal {
            user: admitted.user.clone(),
            agent: admitted.agent.clone(),
            session: Session {
                id: self.sessions.of(&admitted),
                labels: BTreeSet::new(),
            },
            scope: Scope {
                tools: self.scopes.tools(admitted.scopes.iter().map(String::as_str)),
                resources: None,
            },
        };
        let opaque = bearer.0.filter(|_| admitted.opaque);
        self.standing.note(&principal, admitted.expires, opaque);
        Ok(principal)
    }

    /// Whether this very token was found good a moment ago: cheap, and no promise that it still is.
    #[must_use]
    pub fn knows(&self, bearer: Bearer<'_>) -> bool {
        let Some(token) = bearer.0.filter(|token| token.len() <= jose::TOKEN_BYTES) else {
            return false;
        };
        match self.own.iter().find(|own| token.starts_with(own.prefix())) {
            Some(own) => token.len() <= OWN_BYTES && own.knows(token),
            None => self.remembered(&Hash::of(token.as_bytes())).is_some(),
        }
    }

    async fn verified(&self, token: &str) -> Result<Arc<Admitted>, (Reason, Option<&IssuerSpec>)> {
        if token.len() > jose::TOKEN_BYTES {
            return Err((Reason::Oversized, None)); // before it is even hashed
        }
        if facade::prefix::ALL.iter().any(|prefix| token.starts_with(prefix)) {
            return Err((Reason::Ended, None)); // ours, or meant to look so: nobody else is shown it
        }
        let hash = Hash::of(token.as_bytes());
        if let Some(admitted) = self.remembered(&hash) {
            return Ok(admitted);
        }
        let admitted = match (jose::Compact::parse(token), &self.introspector) {
            (Ok(token), _) => self.signed(&token).await,
            (Err(Reason::Opaque), Some(introspector)) => {
                let admitted = self.asked(token, hash, introspector).await;
                admitted.map_err(|reason| (reason, Some(introspector.issuer())))
            }
            (Err(reason), _) => Err((reason, None)),
        };
        let admitted = Arc::new(admitted?);
        let verified = Verified {
            admitted: Arc::clone(&admitted),
            until: self.world.monotonic() + VERIFIED_FOR,
        };
        let mut memory = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        memory.put(hash, verified);
        Ok(admitted)
    }

    /// A token whose signature says whose it is. The issuer is found by `iss` before anything else is
    /// believed, and only its own keys and rules are used from there on.
    async fn signed(&self, token: &jose::Compact<'_>) -> Result<Admitted, (Reason, Option<&IssuerSpec>)> {
        let ring = match token.claims.get("iss") {
            Some(Value::String(issuer)) => {
                let ring = self.rings.get(issuer).filter(|ring| ring.issuer().bearer);
                ring.ok_or((Reason::Issuer, None))?
            }
            _ => return Err((Reason::Claim("iss"), None)),
        };
        let admitted = self.check(token, ring).await;
        admitted.map_err(|reason| (reason, Some(ring.issuer())))
    }

    /// A token that only its issuer can tell anything about.
    async fn asked(
        &self,
        token: &str,
        hash: Hash,
        introspector: &Arc<Introspector>,
    ) -> Result<Admitted, Reason> {
        let answer = introspector.ask(token, hash).await?;
        let now = self.world.now().seconds();
        let mut admitted = claims::check(&answer, introspector.issuer(), &self.groups, now)?;
        admitted.opaque = true;
        Ok(admitted)
    }

    fn remembered(&self, hash: &Hash) -> Option<Arc<Admitted>> {
        let mut memory = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let known = memory.get(hash)?;
        if self.world.monotonic() < known.until && self.world.now().seconds() < known.admitted.expires {
            return Some(Arc::clone(&known.admitted));
        }
        memory.remove(hash);
        None
    }

    async fn check(&self, token: &jose::Compact<'_>, ring: &Arc<KeyRing>) -> Result<Admitted, Reason> {
        let issuer = ring.issuer();
        ring.check(token).await?;
        let now = self.world.now().seconds();
        claims::signed(&token.header, &token.claims, issuer, &self.groups, now)
    }

    fn reject(&self, reason: Reason, issuer: Option<&IssuerSpec>) -> Rejection {
        self.tally.count(reason);
        let name = issuer.map_or("", |issuer| issuer.name.as_str());
        match reason {
            // Only a token the issuer vouches for comes this far, and only the operator can help.
            Reason::Groups(_) | Reason::Subject => {
                tracing::warn!(issuer = name, %reason, "login refused");
            }
            _ => tracing::debug!(issuer = name, %reason, "credential not accepted"),
        }
        let needed = issuer.filter(|_| reason == Reason::Scope);
        let needed = needed.map(|issuer| {
            let all = issuer.required_scopes.iter().chain(self.scopes.names());
            scopes::worth_asking(all.map(String::as_str)).into()
        });
        Rejection::new(reason, Arc::clone(&self.signpost), needed)
    }

    /// What a caller has to ask for before a call may be made that takes these tools: the refusal to
    /// send instead. `None` when no other token of theirs could help: nothing is missing, no scope opens
    /// the tools, or they hold a key and not a token.
    ///
    /// It says that the tools are there: ask only for tools the caller may know of.
    #[must_use]
    pub fn step_up<'a>(
        &self,
        principal: &Principal,
        tools: impl IntoIterator<Item = &'a str>,
    ) -> Option<Rejection> {
        if !self.can_step_up(principal) {
            return None;
        }
        let needed = self.scopes.to_ask(tools, &principal.scope)?;
        self.tally.count(Reason::Scope);
        let needed = scopes::worth_asking(needed);
        Some(Rejection::new(
            Reason::Scope,
            Arc::clone(&self.signpost),
            Some(needed.into()),
        ))
    }

    /// Whether a caller's token is bounded by scopes and another one could do more. A key of a service is
    /// what it was made for.
    #[must_use]
    pub fn can_step_up(&self, principal: &Principal) -> bool {
        let issuer = &principal.user.issuer;
        let is_key = principal.user.kind == UserKind::Service
            && !self.rings.values().any(|ring| ring.issuer().name == *issuer);
        principal.scope.tools.is_some() && !is_key && !self.scopes.is_empty()
    }

    /// The principal of stdio: the operating-system user of this process. Its session is the
    /// process, so the answer is the same every time.
    #[must_use]
    pub fn local(&self) -> Principal {
        let first = || {
            let session = session::fresh_id(self.world.as_ref());
            LocalUser::current().principal(&self.groups, &session)
        };
        self.local.get_or_init(first).clone()
    }

    /// The protected resource metadata (RFC 9728 §2), to be served where
    /// [`Identity::metadata_paths`] says.
    #[must_use]
    pub fn protected_resource_metadata(&self) -> Value {
        let bearers = self.rings.iter().filter(|(_, ring)| ring.issuer().bearer);
        let mut issuers: Vec<_> = bearers.map(|(url, _)| url).collect();
        issuers.sort();
        issuers.splice(0..0, &self.facade); // ours first: a client that reads only one finds it
        let mut document = json!({
            "resource": self.resource,
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
            "resource_name": "Tollgate",
        });
        let clients = self.rings.values().filter_map(|ring| {
            let issuer = ring.issuer();
            let client = issuer.login_client.as_deref().filter(|_| issuer.bearer)?;
            Some((issuer.url.as_str(), client))
        });
        let clients: BTreeMap<&str, &str> = clients.collect();
        if let (false, Some(fields)) = (clients.is_empty(), document.as_object_mut()) {
            fields.insert(login::CLIENTS.to_owned(), json!(clients));
        }
        if !self.asked.is_empty()
            && let Some(fields) = document.as_object_mut()
        {
            let scopes: Vec<&str> = self.asked.split(' ').collect();
            fields.insert("scopes_supported".to_owned(), json!(scopes));
        }
        document
    }

    /// The paths of the metadata document: the one RFC 9728 §3.1 gives for our resource, which the
    /// challenge names, and the bare one clients try as well.
    #[must_use]
    pub fn metadata_paths(&self) -> Vec<String> {
        let bare = "/.well-known/oauth-protected-resource".to_owned();
        let url = url::Url::parse(&self.signpost.metadata_url);
        let exact = url.map_or_else(|_| bare.clone(), |url| url.path().to_owned());
        BTreeSet::from([exact, bare]).into_iter().collect()
    }

    /// How often each reason led to a rejection since the start.
    #[must_use]
    pub fn rejections(&self) -> BTreeMap<&'static str, u64> {
        self.tally.read()
    }

    /// Asks the issuer of opaque tokens, if there is one, about a token nobody has: (issuer name, the
    /// endpoint or what failed), for `tollgate check`. Changes nothing.
    pub async fn probe_opaque(&self) -> Option<(String, Result<String, String>)> {
        let introspector = self.introspector.as_ref()?;
        let found = introspector.probe().await.map(String::from);
        Some((introspector.issuer().name.clone(), found))
    }

    /// Asks every issuer for its keys now: (issuer name, usable keys or what failed), for
    /// `tollgate check`. Changes nothing.
    pub async fn probe(&self) -> Vec<(String, Result<usize, String>)> {
        let mut found = Vec::new();
        for ring in self.rings.values() {
            found.push((ring.issuer().name.clone(), ring.probe().await));
        }
        found.sort();
        found
    }
}

/// The scopes a client is told to ask for: all that open a tool, and what the issuers of bearer tokens want
/// in every token. Not the latter where we issue tokens ourselves: our scopes are the only ones there.
fn asked(spec: &IdentitySpec) -> String {
    let bearers = spec
        .issuers
        .iter()
        .filter(|issuer| issuer.bearer && spec.facade.is_none());
    let required = bearers.flat_map(|issuer| &issuer.required_scopes);
    scopes::worth_asking(spec.scopes.iter().chain(required).map(String::as_str))
}

fn fallen() -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        "Your credential has expired or was taken back since this call began.",
        "Get a fresh access token and send the call again.",
    )
    .retry()
}

fn unchecked() -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        "Whether your credential is still good cannot be found out now: its issuer does not answer.",
        "Nothing was changed. Send the call again later.",
    )
    .retry()
}
