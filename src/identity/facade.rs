//! The authorization server that agents' programs talk to (OAuth 2.1), in front of identity providers
//! that know nothing of them.
//!
//! ```text
//! program ──/oauth/authorize──▶ consent (this client, this person) ──▶ provider ──/oauth/callback/<issuer>──▶
//!         ◀── code, iss ── /oauth/token ──▶ opaque tokens of a session, which lives as long as the person does there
//! ```
//!
//! To a program we are the issuer at [`FacadeSpec::url`]; to a provider, one ordinary client. Nothing a
//! provider issues is handed on, and nothing of ours is a credential anywhere else. Everything that
//! must survive a restart or be seen by another replica is in the store, tokens only as SHA-256.

pub mod device;
pub mod fields;
pub mod revoke;
pub mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use url::Url;

/// How our secrets begin, so that a scanner (ours, and everybody's) can tell what was found.
pub mod prefix {
    /// An access token.
    pub const ACCESS: &str = "tga_";
    /// A refresh token.
    pub const REFRESH: &str = "tgr_";
    /// An authorization code.
    pub const CODE: &str = "tgc_";
    /// A device code.
    pub const DEVICE: &str = "tgd_";
    /// An API key of a service.
    pub const KEY: &str = "tgk_";
}

/// Where everything is, below the server's public address.
pub mod path {
    #![expect(missing_docs, reason = "each is the endpoint of that name")]
    pub const SERVER_METADATA: [&str; 2] = [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ];
    pub const AUTHORIZE: &str = "/oauth/authorize";
    pub const CONSENT: &str = "/oauth/consent";
    /// Followed by the issuer's name: each provider has a redirect URI of its own.
    pub const CALLBACK: &str = "/oauth/callback/";
    /// Followed by the issuer's name: where SAML responses are posted.
    pub const SAML: &str = "/oauth/saml/";
    pub const TOKEN: &str = "/oauth/token";
    pub const REVOKE: &str = "/oauth/revoke";
    pub const REGISTER: &str = "/oauth/register";
    pub const DEVICE_AUTHORIZATION: &str = "/oauth/device_authorization";
    /// Where people type the code their terminal shows.
    pub const DEVICE: &str = "/device";
    /// Followed by the issuer's name: OpenID Connect Back-Channel Logout 1.0.
    pub const LOGGED_OUT: &str = "/oauth/logged-out/";
}

/// The client that `tollgate login` is: always there, redirect to `http://127.0.0.1:<any port>/callback`.
pub const CLI: &str = "tollgate-cli";

/// What the facade is told.
#[derive(Debug, Clone)]
pub struct FacadeSpec {
    /// Our issuer identifier (RFC 8414 §2), without a slash at its end.
    pub url: String,
    /// The one resource tokens are for (RFC 8707).
    pub resource: String,
    /// Every scope there is, with the tools that need it. Empty: no scopes.
    pub scopes: BTreeMap<String, BTreeSet<String>>,
    /// How long things live.
    pub times: Times,
    /// Whether clients may register themselves (RFC 7591).
    pub registration: bool,
    /// Clients known by a document at their id.
    pub documents: Option<Documents>,
    /// Clients that are configured.
    pub clients: Vec<KnownClient>,
}

/// How long things live.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// An access token.
    pub access: Duration,
    /// A session that is not used.
    pub idle: Duration,
    /// A session in all.
    pub session: Duration,
    /// The longest a session works after the provider last said that the person is there.
    pub recheck: Duration,
    /// A session where the provider cannot be asked.
    pub unchecked: Duration,
}

/// Which client documents are fetched.
#[derive(Debug, Clone)]
pub struct Documents {
    /// Hosts they may be on, in lower case; `None` is any public one.
    pub hosts: Option<BTreeSet<String>>,
    /// Whether they may be at private addresses.
    pub allow_private: bool,
}

/// A configured client.
#[derive(Debug, Clone)]
pub struct KnownClient {
    /// Its `client_id`.
    pub id: String,
    /// What people are shown.
    pub name: String,
    /// Exact redirect URIs; of a loopback one the port may vary (RFC 8252 §7.3).
    pub redirect_uris: Vec<Url>,
}
