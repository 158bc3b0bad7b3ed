//! Why a credential was not accepted: for the client as a challenge, for the operator as a reason.
//!
//! Nothing here can hold a token, a claim or a key, so no log line, error or `Debug` can leak one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::groups::GroupsFault;

/// Why a credential was not accepted. `Display` is for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// No bearer token came.
    #[error("no bearer token was sent")]
    Missing,
    /// Longer than 16 KiB.
    #[error("the token is longer than 16 KiB")]
    Oversized,
    /// Not a signed JWT: an opaque or encrypted token, or garbage.
    #[error(
        "the token is not a signed JWT: let the issuer give JWT access tokens for this audience, or set opaque = true so that it is asked"
    )]
    Opaque,
    /// The issuer says that the token is not active: it expired, was taken back, or never was.
    #[error("the issuer says the token is not active")]
    Inactive,
    /// Header or claims are not a JSON object without repeated names.
    #[error("the token's header or claims are malformed")]
    Malformed,
    /// The header has `crit`.
    #[error("the token's header demands an extension (crit)")]
    Critical,
    /// `alg` is missing, unknown, symmetric, `none`, or not allowed for the issuer.
    #[error("the token's algorithm is not allowed for its issuer")]
    Algorithm,
    /// `typ` is not that of an access token (RFC 9068 §4).
    #[error(
        "the token's typ is not at+jwt; if the issuer cannot set it, allow plain JWT for this issuer (accept_typ_jwt)"
    )]
    Type,
    /// `iss` names no configured issuer.
    #[error("the token's issuer is not configured")]
    Issuer,
    /// The issuer publishes no key of this id that fits the algorithm.
    #[error("the issuer publishes no such key")]
    UnknownKey,
    /// The issuer's keys cannot be had, and those we had are too old.
    #[error("the issuer's keys cannot be fetched")]
    KeysUnavailable,
    /// The signature is not by the issuer's key.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that must be there is not, or has the wrong type.
    #[error("the token's claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// The claim that `subject_claim` names is missing or has the wrong type.
    #[error(
        "the claim that subject_claim names is missing or malformed: let the issuer put it into these tokens, or correct subject_claim"
    )]
    Subject,
    /// `aud` does not contain our audience.
    #[error(
        "the token's aud does not contain the configured audience: compare `audience` with what the issuer writes, character for character"
    )]
    Audience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("the token is not valid yet; compare the clocks")]
    NotYetValid,
    /// Valid for longer than the configured bound.
    #[error("the token lives longer than max_lifetime_seconds allows for its issuer")]
    Lifetime,
    /// An ID token, a logout token or a refresh token.
    #[error("the token is not an access token")]
    NotAnAccessToken,
    /// On the people's side: not an ID token.
    #[error("the token is not an ID token of the client for the people's side")]
    NotAnIdToken,
    /// Not a token by which a provider ends sessions (OpenID Connect Back-Channel Logout 1.0).
    #[error("the token is not a logout token")]
    NotALogoutToken,
    /// It has the form of our own tokens or keys, and is none, or was taken back, or its session has ended.
    #[error("the token is none of ours, or its session has ended")]
    Ended,
    /// It cannot be checked now: the store, or the issuer that would be asked, does not answer.
    #[error("the token cannot be checked now")]
    Unavailable,
    /// The person signed in by a weaker method than is asked for (`acr`).
    #[error("the sign-in did not use a method that is required here (acr)")]
    Weak,
    /// Bound to a key of the sender (`cnf`): useless without the proof we do not check.
    #[error(
        "the token is bound to its sender (DPoP or mTLS), which is not supported: issue plain bearer tokens for this audience"
    )]
    SenderConstrained,
    /// The claims that name the client contradict each other, or the client is not on the list.
    #[error("the token's client is not allowed (client_ids), or its claims name two clients")]
    Client,
    /// A claim that tells the organisation's own from everybody else's is absent or says something else.
    #[error(
        "the token lacks a claim of required_claims, or it has another value: it is of somebody else's job, or required_claims is wrong"
    )]
    Required,
    /// A scope the issuer's tokens must carry is absent.
    #[error("the token lacks a required scope")]
    Scope,
    /// The groups cannot be known.
    #[error("{0}")]
    Groups(GroupsFault),
}

impl Reason {
    /// One word for counters and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Oversized => "oversized",
            Self::Opaque => "opaque",
            Self::Inactive => "inactive",
            Self::Malformed => "malformed",
            Self::Critical => "critical",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Issuer => "issuer",
            Self::UnknownKey => "unknown_key",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Signature => "signature",
            Self::Claim(_) => "claim",
            Self::Subject => "subject",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Lifetime => "lifetime",
            Self::NotAnAccessToken => "not_an_access_token",
            Self::NotAnIdToken => "not_an_id_token",
            Self::NotALogoutToken => "not_a_logout_token",
            Self::Ended => "ended",
            Self::Unavailable => "unavailable",
            Self::Weak => "weak",
            Self::SenderConstrained => "sender_constrained",
            Self::Client => "client",
            Self::Required => "required_claims",
            Self::Scope => "scope",
            Self::Groups(_) => "groups",
        }
    }

    /// What the client may read. It helps somebody with a token of their own and says nothing of
    /// what is configured. ASCII without `"` and `\` (RFC 6750 §3).
    fn description(self) -> &'static str {
        match self {
            Self::Missing => "A bearer token is required.",
            Self::Expired => "The token has expired.",
            Self::NotYetValid => "The token is not valid yet.",
            Self::Audience => "The token is for another resource; request one for this resource.",
            Self::Type | Self::NotAnAccessToken => "An access token is required.",
            Self::Weak => "A sign-in by a stronger method is required.",
            Self::Inactive => "The token has expired or was taken back.",
            Self::Ended => "The token has been taken back or its session has ended; sign in again.",
            Self::KeysUnavailable | Self::Unavailable => {
                "The token cannot be checked at the moment; try again later."
            }
            Self::Required => "The token is not of anybody who is accepted here.",
            Self::Scope => "The token lacks a required scope.",
            Self::Groups(_) => {
                "Your group membership cannot be read from the token; tell your operator, whose log has the cause."
            }
            _ => "The token was not accepted.",
        }
    }
}

/// Where the client learns how to get a token; one per server.
#[derive(Debug)]
pub(super) struct Signpost {
    /// The metadata document's address (RFC 9728 §3.1).
    pub(super) metadata_url: String,
    /// Space-separated scopes to ask for.
    pub(super) scope: String,
}

/// Why a credential was not accepted; becomes HTTP [`Rejection::status`] with [`Rejection::challenge`].
#[derive(Debug, Clone)]
pub struct Rejection {
    reason: Reason,
    signpost: Arc<Signpost>,
    /// The scopes that would have been needed, when that is the reason.
    needed: Option<Arc<str>>,
}

impl Rejection {
    pub(super) fn new(reason: Reason, signpost: Arc<Signpost>, needed: Option<Arc<str>>) -> Self {
        Self {
            reason,
            signpost,
            needed,
        }
    }

    /// Why, for logs and counters.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// 401; 403 when only a scope is missing; 503 when we cannot check, so that clients neither
    /// throw a good token away nor ask for another.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.reason {
            Reason::Scope => 403,
            Reason::KeysUnavailable | Reason::Unavailable => 503,
            _ => 401,
        }
    }

    /// What the client may read, for the body of the answer.
    #[must_use]
    pub fn message(&self) -> &'static str {
        self.reason.description()
    }

    /// The `WWW-Authenticate` value (RFC 6750 §3, RFC 9728 §5.1). `error` is there only when a token
    /// was sent and found wrong: not when it could not be checked.
    #[must_use]
    pub fn challenge(&self) -> String {
        let scope = self.needed.as_deref().unwrap_or(&self.signpost.scope);
        let mut value = format!("Bearer resource_metadata=\"{}\"", self.signpost.metadata_url);
        if !scope.is_empty() {
            value.push_str(&format!(", scope=\"{scope}\""));
        }
        let error = match self.reason {
            Reason::Missing | Reason::KeysUnavailable | Reason::Unavailable => return value,
            Reason::Scope => "insufficient_scope", // RFC 6750 §3.1
            _ => "invalid_token",
        };
        value.push_str(&format!(
            ", error=\"{error}\", error_description=\"{}\"",
            self.reason.description()
        ));
        value
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "credential not accepted ({}): {}",
            self.reason.word(),
            self.reason
        )
    }
}

impl std::error::Error for Rejection {}

/// How often each reason occurred since the start. Strangers cause these, so they are counted and
/// never journalled: a journal any stranger can fill is an outage.
#[derive(Debug, Default)]
pub(super) struct Tally([AtomicU64; Tally::WORDS.len()]);

impl Tally {
    const WORDS: [&'static str; 29] = [
        "missing",
        "oversized",
        "opaque",
        "inactive",
        "malformed",
        "critical",
        "algorithm",
        "type",
        "issuer",
        "unknown_key",
        "keys_unavailable",
        "signature",
        "claim",
        "subject",
        "audience",
        "expired",
        "not_yet_valid",
        "lifetime",
        "not_an_access_token",
        "not_an_id_token",
        "not_a_logout_token",
        "ended",
        "unavailable",
        "weak",
        "sender_constrained",
        "client",
        "required_claims",
        "scope",
        "groups",
    ];

    pub(super) fn count(&self, reason: Reason) {
        let slot = Self::WORDS
            .iter()
            .zip(&self.0)
            .find(|(word, _)| **word == reason.word());
        if let Some((_, counter)) = slot {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> BTreeMap<&'static str, u64> {
        let pairs = Self::WORDS.iter().zip(&self.0);
        pairs
            .map(|(word, counter)| (*word, counter.load(Ordering::Relaxed)))
            .collect()
    }
}
