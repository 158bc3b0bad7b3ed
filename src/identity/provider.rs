//! Where people prove who they are: an identity provider, of which we are an ordinary relying party.
//!
//! One seam for OpenID Connect and SAML, used by the facade (for agents) and by the people's side. What
//! a provider gives is a [`SignedIn`]; its own tokens go no further than [`Upstream`], which is sealed
//! before it is stored and is only ever sent back to the provider that issued it.

mod discovery;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod id_token;
mod logout;
mod oidc;
mod party;
mod userinfo;
mod wire;

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::groups::GroupsFault;
use super::rejection::Reason;

pub(super) use discovery::Endpoints;
pub(super) use id_token::Vouched;
pub use oidc::{Oidc, OidcClient};
pub(super) use party::Party;

/// One sign-in: what is asked, and what the answer must repeat.
#[derive(Clone)]
pub struct Question {
    /// Where the provider sends the browser back to; of this provider alone, which is one defence against
    /// mix-up (RFC 9700 4.4.2).
    pub redirect_uri: String,
    /// Repeated in the answer; unpredictable.
    pub state: Zeroizing<String>,
    /// Repeated in the ID token (SAML: the id of the request, in `InResponseTo`).
    pub nonce: Zeroizing<String>,
    /// PKCE (RFC 7636), 43 characters; of no use to SAML.
    pub verifier: Zeroizing<String>,
    /// How old the person's last interactive proof may be, in seconds; 0 asks them again in any case,
    /// `None` leaves it to the provider.
    pub max_age: Option<u64>,
    /// Authentication context classes to ask for (`acr_values`), best first. The answer says which was met.
    pub acr_values: Vec<String>,
}

/// Somebody has signed in. `Debug` shows no token.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The provider's configured name.
    pub issuer: String,
    /// Who, there; never an e-mail address.
    pub subject: String,
    /// The groups as the provider writes them, already known to be complete. [`super::GroupMap`] turns
    /// them into local ones whenever they are used.
    pub claimed: BTreeSet<String>,
    /// When the person last proved themselves interactively, in seconds since the epoch, if that was said.
    pub auth_time: Option<u64>,
    /// The authentication context class that was met.
    pub acr: Option<String>,
    /// The provider's name for its session.
    pub sid: Option<String>,
    /// What is needed to ask again.
    pub upstream: Upstream,
}

/// What a provider gave us for asking it again. Wiped when dropped; shows nothing.
#[derive(Clone, Default, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Upstream {
    /// Its refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    /// Its access token, for the userinfo endpoint; kept only where there is no refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// When that ends, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_until: Option<u64>,
}

impl Upstream {
    /// Whether there is nothing to ask with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.refresh.is_none() && self.access.is_none()
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("refresh", &self.refresh.is_some())
            .field("access", &self.access.is_some())
            .finish_non_exhaustive()
    }
}

/// What a provider says of somebody who signed in some time ago.
#[derive(Debug, Clone)]
pub enum Again {
    /// They are still there.
    Stands {
        /// Their groups now; `None` where the provider does not say them on this way.
        claimed: Option<BTreeSet<String>>,
        /// What to ask with next time. A refresh token that was used may be dead: store this before
        /// anything else.
        upstream: Upstream,
    },
    /// They are not, or what we ask with was taken back: the session ends.
    Gone,
    /// There is nothing to ask with: the session lives its configured time and no longer.
    CannotAsk,
}

/// Whose sessions a provider ended by itself (OpenID Connect Back-Channel Logout 1.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOut {
    /// All sessions of this person …
    pub subject: Option<String>,
    /// … or the ones of this session of the provider.
    pub sid: Option<String>,
    /// The logout token's own name: it counts once.
    pub jti: String,
    /// Until when it could come again, in seconds since the epoch.
    pub until: u64,
}

/// Why nobody was signed in. Its words may be shown: they hold nothing secret, and of what a provider says
/// only its OAuth error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// No provider of that name has a client for this side.
    #[error("people of this issuer do not sign in here: it has no client for this side")]
    NoWay,
    /// Begun elsewhere, too long ago, twice, or not at all.
    #[error("this sign-in was not begun in this browser, or too long ago; begin again")]
    NotBegunHere,
    /// The provider's own word (RFC 6749 4.1.2.1).
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// The answer is by another issuer (RFC 9207).
    #[error("the answer does not come from the identity provider that was asked")]
    OtherIssuer,
    /// For the operator: a document or an answer that cannot be used.
    #[error("the identity provider cannot be used: {0}")]
    Provider(String),
    /// What it vouched with is not acceptable.
    #[error("what the identity provider sent is not accepted: {0}")]
    Token(Reason),
    /// The groups cannot be known.
    #[error("{0}")]
    Groups(GroupsFault),
    /// `auth_time` is older than what was asked for.
    #[error("the identity provider did not ask you again (auth_time is too old)")]
    NotFresh,
}

/// One client of ours at one provider.
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// The issuer's configured name.
    fn name(&self) -> &str;

    /// Whether the answer comes as a form that the provider's page posts (SAML), not as a query.
    fn posts(&self) -> bool {
        false
    }

    /// Where the browser goes.
    fn begin<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Url, SignInError>>;

    /// Checks what the browser brought back: decoded fields of the query (OpenID Connect) or the form (SAML).
    /// The caller has checked that this browser began it, and that it is the first answer.
    fn finish<'a>(
        &'a self,
        question: &'a Question,
        fields: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<SignedIn, SignInError>>;

    /// Asks whether somebody is still there. An error is no answer: ask again soon, and trust nobody
    /// longer than the bound.
    fn again<'a>(
        &'a self,
        subject: &'a str,
        upstream: &'a Upstream,
    ) -> BoxFuture<'a, Result<Again, SignInError>>;

    /// Checks a logout token. Unless somebody implements it, there are none.
    fn logged_out<'a>(&'a self, _token: &'a str) -> BoxFuture<'a, Result<LoggedOut, Reason>> {
        Box::pin(std::future::ready(Err(Reason::NotALogoutToken)))
    }

    /// Takes back what we ask with, when a session ends (RFC 7009). Best effort.
    fn forget<'a>(&'a self, _upstream: &'a Upstream) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
    /// What the provider is to be told of us, where there is such a document (SAML metadata).
    fn metadata(&self) -> Option<String> {
        None
    }
}
