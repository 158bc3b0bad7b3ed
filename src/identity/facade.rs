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

mod redirect;
mod documents;
mod clients;
mod register;
mod metadata;
mod pages;
mod authorize;
mod consent;
mod callback;
mod token;
mod revoke;
mod device;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod logged_out;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use url::Url;
use zeroize::Zeroizing;

use super::fetch::Fetch;
use super::provider::Provider;
use super::seal::Seal;
use crate::clock::World;
use crate::store::StoreError;
use crate::store::rows::Rows;

pub use documents::DocumentFetch;
pub use token::{DEVICE_GRANT, Exchange};

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
    /// All of them: what begins so is shown to nobody else.
    pub const ALL: [&str; 5] = [ACCESS, REFRESH, CODE, DEVICE, KEY];
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
    /// Followed by the issuer's name: where SAML responses are posted. With `/metadata` after it, what the
    /// provider is to be told of us.
    pub const SAML: &str = "/oauth/saml/";
    /// Behind that and the name: our metadata, for the provider.
    pub const ABOUT_US: &str = "/metadata";
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

/// A form has at most so many fields, and a query so many bytes.
const FIELDS: usize = 64;
const QUERY_BYTES: usize = 16 * 1024;

/// The authorization server. Cheap to share behind an [`Arc`]; everything it knows is in the store.
#[derive(Debug)]
pub struct Facade {
    spec: FacadeSpec,
    rows: Rows,
    providers: Vec<Arc<dyn Provider>>,
    seal: Arc<Seal>,
    documents: Option<documents::Library>,
    world: Arc<dyn World>,
}

/// One request, as far as any endpoint needs it.
struct Asked<'a> {
    method: &'a Method,
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

/// Whole answers: there is nothing here to stream.
type Answer = Response<Vec<u8>>;

impl Facade {
    /// `documents` fetches client documents (see [`DocumentFetch`]); without [`FacadeSpec::documents`] it is
    /// never asked. The providers' names are their paths here, so they are distinct.
    #[must_use]
    pub fn new(
        spec: FacadeSpec,
        rows: Rows,
        providers: Vec<Arc<dyn Provider>>,
        seal: Arc<Seal>,
        documents: Arc<dyn Fetch>,
        world: Arc<dyn World>,
    ) -> Self {
        let known = spec.documents.clone();
        let library = known.map(|known| documents::Library::new(known, documents, Arc::clone(&world)));
        Self {
            spec,
            rows,
            providers,
            seal,
            documents: library,
            world,
        }
    }

    /// Whether a path is answered here: all of them but those that no browser comes to (tokens, devices).
    #[must_use]
    pub fn serves(&self, path: &str) -> bool {
        let named = |prefix: &str| path.strip_prefix(prefix).is_some_and(|name| !name.is_empty());
        match path {
            path::AUTHORIZE | path::CONSENT => true,
            path::REGISTER => self.spec.registration,
            _ => path::SERVER_METADATA.contains(&path) || named(path::CALLBACK) || named(path::SAML),
        }
    }

    /// One request to one answer. Never fails: what went wrong is in the answer, in words for whoever asked, and
    /// nothing secret is in any of them. How often an address may ask is the business of whoever listens.
    pub async fn answer(&self, request: Request<Vec<u8>>, _from: IpAddr) -> Response<Vec<u8>> {
        let asked = Asked {
            method: request.method(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            headers: request.headers(),
            body: request.body(),
        };
        match asked.path {
            _ if asked.query.len() > QUERY_BYTES => pages::problem(
                StatusCode::URI_TOO_LONG,
                "This address is too long",
                "The program sent more than a sign-in needs. Begin again in the program.",
            ),
            path if path::SERVER_METADATA.contains(&path) => self.metadata(&asked),
            path::AUTHORIZE => self.authorize(&asked).await,
            path::CONSENT => self.consent(&asked).await,
            path::REGISTER if self.spec.registration => self.register(&asked).await,
            path => match (path.strip_prefix(path::CALLBACK), path.strip_prefix(path::SAML)) {
                (Some(issuer), _) => self.callback(&asked, issuer).await,
                (_, Some(issuer)) => self.saml(&asked, issuer).await,
                _ => pages::not_found(),
            },
        }
    }

    /// Removes what has expired: sign-ins, codes an hour after their end (until then a second use of one is
    /// noticed), and clients that registered themselves and were not used for a day.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prune(&self) -> Result<(), StoreError> {
        let mut tx = self.rows.write().await?;
        tx.prune_sign_ins(self.world.now().0).await?;
        tx.commit().await
    }

    /// A fresh secret of ours: how it begins, and 43 characters of 256 unpredictable bits.
    fn fresh(&self, prefix: &str) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; 32]);
        self.world.random(&mut *bytes);
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 43));
        text.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        text
    }

    fn provider(&self, name: &str) -> Option<&Arc<dyn Provider>> {
        self.providers.iter().find(|provider| provider.name() == name)
    }

    /// An endpoint's address.
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.spec.url)
    }

    /// Browsers keep `Secure` cookies for TLS; on loopback there is none.
    fn is_secure(&self) -> bool {
        self.spec.url.starts_with("https://")
    }
}

/// Fields of a query or a form, decoded, each name at most once (RFC 6749 3.1).
struct Fields(Vec<(String, String)>);

/// Which field is there twice; `None` when there are too many of them.
#[derive(Debug, PartialEq, Eq)]
struct Repeated(Option<String>);

impl Fields {
    /// # Errors
    /// A name that comes twice. The fields are given all the same: whoever asked may have to be answered.
    fn parse(encoded: &[u8]) -> (Self, Option<Repeated>) {
        let mut fields = Vec::new();
        for (name, value) in url::form_urlencoded::parse(encoded).into_owned() {
            if fields.len() == FIELDS {
                return (Self(fields), Some(Repeated(None)));
            }
            fields.push((name, value));
        }
        let mut seen = BTreeSet::new();
        let twice = fields.iter().find(|(name, _)| !seen.insert(name.as_str()));
        let twice = twice.map(|(name, _)| Repeated(Some(name.clone())));
        (Self(fields), twice)
    }

    /// The field, if it is there exactly once. An empty one is none (RFC 6749 3.1).
    fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(one, _)| one == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) if !value.is_empty() => Some(value),
            _ => None,
        }
    }
}

/// The value of a cookie; of two with one name none, because it is open which is ours.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(http::header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(one, _)| *one == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}
