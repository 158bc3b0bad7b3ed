//! An OpenID Connect provider, of which we are a relying party: the authorization code flow with PKCE
//! (OpenID Connect Core 3.1, RFC 7636, RFC 9700), and asking again.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::Url;

use super::discovery::{Endpoints, Known, wrong};
use super::id_token::{self, Vouched};
use super::party::{Denied, Party, Tokens};
use super::userinfo::{self, Said, Whom};
use super::{Again, LoggedOut, Provider, Question, SignInError, SignedIn, Upstream, logout};
use crate::clock::World;
use crate::identity::claims::LEEWAY;
use crate::identity::fetch::Fetch;
use crate::identity::groups::{self, GroupsFault};
use crate::identity::keys::KeyRing;
use crate::identity::rejection::Reason;
use crate::identity::spec::{IssuerSpec, SpecError};
use crate::secret::Secret;

/// How long somebody may take to sign in, in seconds: what `auth_time` is allowed beside `max_age`. Who
/// knows when the sign-in began checks more exactly.
const WITHIN: u64 = 600;

/// How long an access token is used whose lifetime is not said, in seconds.
const ACCESS: u64 = 3600;

/// A client of ours, as it is registered at the issuer.
#[derive(Debug, Clone)]
pub struct OidcClient {
    /// Its `client_id`.
    pub id: String,
    /// Its secret; `None` for a public client.
    pub secret: Option<Secret>,
    /// The scopes to ask for; `openid` is asked for in any case. A refresh token usually needs
    /// `offline_access`.
    pub scopes: Vec<String>,
    /// Authentication context classes to ask for, unless the question names its own.
    pub acr_values: Vec<String>,
}

/// One client at one issuer.
pub struct Oidc {
    ring: Arc<KeyRing>,
    client: OidcClient,
    known: Mutex<Known>,
    fetch: Arc<dyn Fetch>,
    world: Arc<dyn World>,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oidc")
            .field("issuer", &self.ring.issuer().name)
            .field("client", &self.client.id)
            .finish_non_exhaustive()
    }
}

impl Oidc {
    /// A client at this issuer. Talks to nobody yet. `issuer` says whose ID tokens are believed (`url`,
    /// `algorithms`, `jwks_uri`, `max_lifetime_seconds`) and where the groups are.
    ///
    /// # Errors
    /// What is wrong with the issuer, in words for whoever configured it.
    pub fn new(
        issuer: IssuerSpec,
        client: OidcClient,
        fetch: Arc<dyn Fetch>,
        world: Arc<dyn World>,
    ) -> Result<Self, SpecError> {
        issuer.check()?;
        if client.id.is_empty() {
            return Err(SpecError(format!("issuer `{}`: client_id is empty", issuer.name)));
        }
        let ring = KeyRing::new(issuer, Arc::clone(&fetch), Arc::clone(&world));
        Ok(Self::on(Arc::new(ring), client, fetch, world))
    }

    /// The same with keys that are already there.
    pub(in crate::identity) fn on(
        ring: Arc<KeyRing>,
        client: OidcClient,
        fetch: Arc<dyn Fetch>,
        world: Arc<dyn World>,
    ) -> Self {
        Self {
            ring,
            client,
            known: Mutex::default(),
            fetch,
            world,
        }
    }

    pub(in crate::identity) fn issuer(&self) -> &IssuerSpec {
        self.ring.issuer()
    }

    pub(in crate::identity) fn client(&self) -> &OidcClient {
        &self.client
    }

    /// Looks up where people sign in, for `tollgate check` and `doctor`, which say themselves what they find.
    ///
    /// # Errors
    /// Why they cannot.
    pub async fn probe(&self) -> Result<(), SignInError> {
        self.found().await.map(|_| ())
    }

    /// Checks an ID token of this client that came some other way than from a sign-in here.
    pub(in crate::identity) async fn vouched(&self, token: &str) -> Result<Vouched, Reason> {
        let now = self.world.now().seconds();
        let vouched = id_token::check(&self.ring, &self.client.id, token, None, now).await?;
        vouched.meets(&self.client.acr_values)?;
        Ok(vouched)
    }

    async fn place(&self) -> Result<Arc<Endpoints>, SignInError> {
        let issuer = &self.ring.issuer().name;
        let found = self.found().await;
        found.inspect_err(|error| tracing::warn!(issuer, %error, "people cannot sign in"))
    }

    async fn found(&self) -> Result<Arc<Endpoints>, SignInError> {
        let mut known = self.known.lock().await;
        let (fetch, world) = (self.fetch.as_ref(), self.world.as_ref());
        known.get(fetch, &self.ring.issuer().url, world).await
    }

    /// Tells the operator, who alone can help.
    fn tell(&self, error: &SignInError) {
        let issuer = &self.ring.issuer().name;
        tracing::warn!(issuer, %error, "a code cannot be redeemed: compare client_id and secret with the issuer's");
    }

    fn party<'a>(&'a self, place: &'a Endpoints) -> Party<'a> {
        Party {
            place,
            id: &self.client.id,
            secret: self.client.secret.as_ref(),
            scopes: &self.client.scopes,
        }
    }

    fn classes<'a>(&'a self, question: &'a Question) -> &'a [String] {
        if question.acr_values.is_empty() {
            &self.client.acr_values
        } else {
            &question.acr_values
        }
    }

    async fn begun(&self, question: &Question) -> Result<Url, SignInError> {
        let place = self.place().await?;
        let mut question = question.clone();
        question.acr_values = self.classes(&question).to_vec();
        self.party(&place).ask(&question)
    }

    async fn finished(
        &self,
        question: &Question,
        fields: &[(String, String)],
    ) -> Result<SignedIn, SignInError> {
        let place = self.place().await?;
        let code = place.code(fields, question)?;
        let party = self.party(&place);
        let tokens = party.redeem(self.fetch.as_ref(), question, &code).await;
        let tokens = tokens.inspect_err(|error| self.tell(error))?;
        let token = tokens.id.as_ref();
        let token = token.ok_or_else(|| wrong("its token endpoint sent no ID token"))?;
        let vouched = self.checked(token, &tokens).await?;
        vouched.repeats(&question.nonce).map_err(SignInError::Token)?;
        vouched
            .meets(self.classes(question))
            .map_err(SignInError::Token)?;
        if let Some(max_age) = question.max_age {
            let signed_in = vouched.auth_time;
            let signed_in = signed_in.ok_or(SignInError::Token(Reason::Claim("auth_time")))?;
            let allowed = max_age.saturating_add(WITHIN).saturating_add(LEEWAY);
            if signed_in.saturating_add(allowed) < self.world.now().seconds() {
                return Err(SignInError::NotFresh);
            }
        }
        let access = tokens.access.as_ref().map(|token| token.as_str());
        let claimed = self.groups(&place, &vouched, access).await?;
        Ok(SignedIn {
            issuer: self.ring.issuer().name.clone(),
            claimed,
            auth_time: vouched.auth_time,
            upstream: self.upstream(&place, tokens),
            subject: vouched.subject,
            acr: vouched.acr,
            sid: vouched.sid,
        })
    }

    async fn checked(&self, token: &str, tokens: &Tokens) -> Result<Vouched, SignInError> {
        let now = self.world.now().seconds();
        let access = tokens.access.as_ref().map(|token| token.as_str());
        let checked = id_token::check(&self.ring, &self.client.id, token, access, now).await;
        checked.map_err(SignInError::Token)
    }

    /// From the ID token; where it says nothing of groups, from userinfo; never none by mistake.
    async fn groups(
        &self,
        place: &Endpoints,
        vouched: &Vouched,
        access: Option<&str>,
    ) -> Result<BTreeSet<String>, SignInError> {
        let missing = match self.claimed(&vouched.claims) {
            Err(GroupsFault::Missing) => SignInError::Groups(GroupsFault::Missing),
            said => return said.map_err(SignInError::Groups),
        };
        let (Some(address), Some(access)) = (&place.userinfo, access) else {
            return Err(missing);
        };
        match userinfo::ask(self.fetch.as_ref(), address, access, Whom::Sub(&vouched.sub)).await? {
            Said::Claims(claims) => self.claimed(&claims).map_err(SignInError::Groups),
            Said::Gone => Err(wrong("its userinfo endpoint refused the token it had just given")),
            Said::Nameless => Err(missing), // not by `sub`
        }
    }

    /// Somebody of whom only the subject is known.
    fn whom<'a>(&'a self, subject: &'a str) -> Whom<'a> {
        Whom::Subject(self.ring.issuer(), subject)
    }

    fn claimed(&self, claims: &Map<String, Value>) -> Result<BTreeSet<String>, GroupsFault> {
        let values = groups::claimed(claims, self.ring.issuer())?;
        Ok(values.into_iter().map(str::to_owned).collect())
    }

    fn upstream(&self, place: &Endpoints, tokens: Tokens) -> Upstream {
        if let Some(refresh) = tokens.refresh {
            return Upstream {
                refresh: Some(refresh.to_string()),
                access: None,
                access_until: None,
            };
        }
        if place.userinfo.is_none() {
            return Upstream::default();
        }
        let now = self.world.now().seconds();
        Upstream {
            refresh: None,
            access: tokens.access.map(|token| token.to_string()),
            access_until: Some(now.saturating_add(tokens.expires_in.unwrap_or(ACCESS))),
        }
    }

    async fn asked_again(&self, subject: &str, upstream: &Upstream) -> Result<Again, SignInError> {
        if let Some(refresh) = &upstream.refresh {
            return self.refreshed(subject, refresh).await;
        }
        let now = self.world.now().seconds();
        let ended = upstream.access_until.is_some_and(|until| until <= now);
        let Some(access) = upstream.access.as_ref().filter(|_| !ended) else {
            return Ok(Again::CannotAsk);
        };
        let place = self.place().await?;
        let Some(address) = &place.userinfo else {
            return Ok(Again::CannotAsk);
        };
        match userinfo::ask(self.fetch.as_ref(), address, access, self.whom(subject)).await? {
            Said::Gone => Ok(Again::Gone),
            Said::Nameless => Ok(Again::CannotAsk),
            // Groups that only ID tokens have stay as they were: for as long as the access token lives.
            Said::Claims(claims) if self.claimed(&claims) == Err(GroupsFault::Missing) => Ok(Again::Stands {
                claimed: None,
                upstream: upstream.clone(),
            }),
            Said::Claims(claims) => Ok(self.stands(&claims, upstream.clone())),
        }
    }

    /// By the refresh token (OpenID Connect Core 12). Once it was used, the new one must not get lost: it
    /// is handed back also where the provider cannot be asked for the rest.
    async fn refreshed(&self, subject: &str, refresh: &str) -> Result<Again, SignInError> {
        let place = self.place().await?;
        let mut tokens = match self.party(&place).refresh(self.fetch.as_ref(), refresh).await {
            Ok(tokens) => tokens,
            Err(Denied::Gone) => return Ok(Again::Gone),
            Err(Denied::Error(error)) => {
                let issuer = &self.ring.issuer().name;
                tracing::warn!(issuer, %error, "the issuer cannot be asked whether somebody is still there");
                return Err(error);
            }
        };
        let is_new = tokens.refresh.as_ref().is_some_and(|new| new.as_str() != refresh);
        let now = self.newest(&place, &tokens, subject).await;
        if tokens.refresh.is_none() {
            tokens.refresh = Some(refresh.to_owned().into()); // it was not rotated
        }
        let upstream = self.upstream(&place, tokens);
        match now {
            Ok(Newest::Claims(claims)) => Ok(self.stands(&claims, upstream)),
            Ok(Newest::Nothing) => Ok(Again::Stands {
                claimed: None,
                upstream,
            }),
            Ok(Newest::Gone) => Ok(Again::Gone),
            Err(error) if is_new && is_away(&error) => {
                let issuer = &self.ring.issuer().name;
                tracing::warn!(issuer, %error, "the groups of a session stay as they were at its last check");
                Ok(Again::Stands {
                    claimed: None,
                    upstream,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// What a refresh says of the person: its ID token, else userinfo.
    async fn newest(&self, place: &Endpoints, tokens: &Tokens, subject: &str) -> Result<Newest, SignInError> {
        let mut newest = Newest::Nothing;
        let vouched;
        let mut whom = self.whom(subject);
        if let Some(token) = &tokens.id {
            vouched = self.checked(token, tokens).await?;
            if vouched.subject != subject {
                return Err(SignInError::Token(Reason::Claim("sub"))); // 12.2
            }
            let is_silent = self.claimed(&vouched.claims) == Err(GroupsFault::Missing);
            newest = Newest::Claims(vouched.claims);
            if !is_silent {
                return Ok(newest);
            }
            whom = Whom::Sub(&vouched.sub);
        }
        let (Some(address), Some(access)) = (&place.userinfo, &tokens.access) else {
            return Ok(newest);
        };
        Ok(
            match userinfo::ask(self.fetch.as_ref(), address, access, whom).await? {
                Said::Claims(claims) => Newest::Claims(claims),
                Said::Gone => Newest::Gone,
                Said::Nameless => newest,
            },
        )
    }

    /// Somebody who is still there, unless their groups are unknown now: some providers leave the claim out
    /// for somebody who was taken out of all groups, who must not keep the old ones. They have to sign in
    /// again, and are told there what is wrong.
    fn stands(&self, claims: &Map<String, Value>, upstream: Upstream) -> Again {
        match self.claimed(claims) {
            Ok(claimed) => Again::Stands {
                claimed: Some(claimed),
                upstream,
            },
            Err(fault) => {
                let issuer = &self.ring.issuer().name;
                tracing::warn!(issuer, %fault, "a session ends: its groups cannot be known any more");
                Again::Gone
            }
        }
    }
}

/// What a provider says when it is asked again.
enum Newest {
    Claims(Map<String, Value>),
    /// It gives neither an ID token nor userinfo.
    Nothing,
    Gone,
}

/// It could not be asked, which says nothing of the person.
fn is_away(error: &SignInError) -> bool {
    matches!(
        error,
        SignInError::Provider(_) | SignInError::Token(Reason::KeysUnavailable)
    )
}

impl Provider for Oidc {
    fn name(&self) -> &str {
        &self.ring.issuer().name
    }

    fn begin<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Url, SignInError>> {
        Box::pin(self.begun(question))
    }

    fn finish<'a>(
        &'a self,
        question: &'a Question,
        fields: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<SignedIn, SignInError>> {
        Box::pin(self.finished(question, fields))
    }

    fn again<'a>(
        &'a self,
        subject: &'a str,
        upstream: &'a Upstream,
    ) -> BoxFuture<'a, Result<Again, SignInError>> {
        Box::pin(self.asked_again(subject, upstream))
    }

    fn logged_out<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<LoggedOut, Reason>> {
        let now = self.world.now().seconds();
        Box::pin(logout::check(&self.ring, &self.client.id, token, now))
    }

    fn forget<'a>(&'a self, upstream: &'a Upstream) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Ok(place) = self.place().await else {
                return;
            };
            let party = self.party(&place);
            if let Some(token) = &upstream.refresh {
                party.revoke(self.fetch.as_ref(), "refresh_token", token).await;
            }
            if let Some(token) = &upstream.access {
                party.revoke(self.fetch.as_ref(), "access_token", token).await;
            }
        })
    }
}
