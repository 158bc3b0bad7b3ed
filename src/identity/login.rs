//! Logging in from a person's own machine, for agents that start there: `tollgate login`, `token` and
//! `stdio --server`.
//!
//! ```text
//! server ──RFC 9728──▶ issuer ──RFC 8414──▶ endpoints ──browser (RFC 8252) or device (RFC 8628)──▶ tokens
//!                                            tokens ──cache (0600 file, or the OS keyring)──▶ access tokens
//! ```
//!
//! A login belongs to one server, issuer, client and resource; its refresh token goes to the token endpoint
//! that was found when the person logged in and nowhere else, its access token to that server alone. The
//! tokens are those of an agent: they open nothing on the people's side.

mod access;
mod cache;
mod code;
mod device;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod discover;
mod grant;
#[cfg(feature = "keyring")]
mod keyring;
pub(in crate::identity) mod loopback;
mod runner;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use url::Url;

pub use access::{Access, Ending};
pub use cache::Cache;
pub use device::Prompt;
pub(super) use discover::CLIENTS;
pub use discover::Plan;

use super::fetch::Fetch;
use super::spec::secure;
use crate::clock::World;
use crate::secret::Secret;

/// A token is renewed when less than this many seconds of it are left.
const LEFT: u64 = 60;
/// The longest token that is taken from anywhere, in bytes.
const TOKEN_BYTES: usize = 16 * 1024;

/// Why there is no token. Its words may be shown: they hold nothing secret, and of what a server says only
/// its OAuth error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The address of the server cannot be one.
    #[error("{0}")]
    Address(String),
    /// The server, or its authorization server, says something that cannot be used.
    #[error("{0}")]
    Metadata(String),
    /// No client to log in as.
    #[error(
        "{issuer} does not know this program: give the id of a public client that your administrator registered there, with --client-id"
    )]
    NoClient {
        /// The authorization server.
        issuer: String,
    },
    /// The authorization server's own word (RFC 6749 4.1.2.1, 5.2).
    #[error("the authorization server refused: {0}")]
    Refused(String),
    /// An answer that belongs to no question of ours.
    #[error("the answer belongs to no login that was begun here; begin again")]
    NotBegunHere,
    /// The answer is by another issuer (RFC 9207).
    #[error("the answer does not come from the authorization server that was asked; nothing was sent to it")]
    OtherIssuer,
    /// Nobody answered in time.
    #[error("nobody logged in in time; begin again")]
    TooLate,
    /// Never logged in, or logged out.
    #[error("not logged in at {0}: run `tollgate login --server {0}`")]
    LoggedOut(String),
    /// The session ended: logged out elsewhere, withdrawn, or too old.
    #[error("the login at {0} has ended: run `tollgate login --server {0}`")]
    Ended(String),
    /// The login stands, but there is no usable token now.
    #[error("the login cannot be renewed now: {0}")]
    Away(String),
    /// The folder or file that holds logins cannot be trusted or written.
    #[error("{0}")]
    Cache(String),
    /// The tokens are in the keyring, which does not give them.
    #[error("the login is in your desktop's keyring, which {0}")]
    Keyring(String),
    /// The identity that the environment gives is no use.
    #[error("{0}")]
    Environment(String),
}

impl LoginError {
    /// Whether a person has to log in (again).
    #[must_use]
    pub fn needs_login(&self) -> bool {
        matches!(self, Self::LoggedOut(_) | Self::Ended(_))
    }
}

/// Where access tokens for one server come from.
pub trait Credential: Send + Sync + fmt::Debug {
    /// An access token for the server, good for a while yet as far as is known here.
    fn token(&self) -> BoxFuture<'_, Result<Secret, LoginError>>;

    /// Another one, after the server did not take this.
    fn instead<'a>(&'a self, refused: &'a Secret) -> BoxFuture<'a, Result<Secret, LoginError>>;
}

/// The credential for a server: what the environment gives (a job in continuous integration), else the
/// person's login.
///
/// # Errors
/// The environment gives something that makes no sense.
pub fn credential(
    site: Site,
    cache: Cache,
    fetch: Arc<dyn Fetch>,
    world: Arc<dyn World>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Credential>, LoginError> {
    let given = runner::find(&site, &fetch, &world, variable)?;
    Ok(given.unwrap_or_else(|| Arc::new(Access::new(site, cache, fetch, world))))
}

/// A Tollgate, by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    server: String,
    resource: Url,
}

impl Site {
    /// Reads an address as people write it: `https://gate.example.com`, or with the `/mcp` they gave their
    /// agent. Plain HTTP to this machine alone.
    ///
    /// # Errors
    /// [`LoginError::Address`].
    pub fn parse(text: &str) -> Result<Self, LoginError> {
        let wrong = |why: &str| LoginError::Address(format!("the server's address {why}"));
        let mut url = secure(text.trim()).map_err(wrong)?;
        if url.query().is_some() {
            return Err(wrong("has a query"));
        }
        let path = url.path().trim_end_matches('/');
        let base = path.strip_suffix("/mcp").unwrap_or(path).to_owned();
        url.set_path(&base);
        let server = url.as_str().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/mcp"));
        Ok(Self {
            server,
            resource: url,
        })
    }

    /// The address without a slash at its end.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The MCP endpoint, which is the resource tokens are for (RFC 8707).
    #[must_use]
    pub fn resource(&self) -> &Url {
        &self.resource
    }

    /// Whether it is this machine.
    fn is_local(&self) -> bool {
        super::spec::is_loopback(&self.resource)
    }
}

/// What a login is for; a token of one is never used for another.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Key {
    /// The server's address.
    pub server: String,
    /// The issuer of the tokens.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// What the tokens are for.
    pub resource: String,
}

/// A login.
#[derive(Debug, Clone)]
pub struct Login {
    /// What it is for.
    pub key: Key,
    /// Where it is renewed.
    token_endpoint: Url,
    /// Where it is ended, if that can be done (RFC 7009).
    revocation_endpoint: Option<Url>,
    tokens: Tokens,
}

impl Login {
    /// Its present access token.
    #[must_use]
    pub fn access(&self) -> &Secret {
        &self.tokens.access
    }

    /// When that ends, in seconds since the epoch.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.tokens.expires_at
    }

    /// Whether it can be renewed without the person.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.tokens.refresh.is_some()
    }
}

/// What the token endpoint gave.
#[derive(Debug, Clone)]
struct Tokens {
    access: Secret,
    refresh: Option<Secret>,
    /// Seconds since the epoch.
    expires_at: u64,
}

impl Tokens {
    fn lasts(&self, now: u64) -> bool {
        self.expires_at > now.saturating_add(LEFT)
    }
}
