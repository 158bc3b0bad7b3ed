//! Clients known by a document at their own id (draft-ietf-oauth-client-id-metadata-document): nothing to prepare,
//! and what is verified is the host it lies on.
//!
//! A stranger names the address, so the fetch goes to public addresses alone, as looked up by us
//! ([`Reach`]), over TLS, without redirects and proxies, and is bounded in size, time and number.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::Client;
use serde_json::Value;
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::Documents;
use super::redirect::{self, Redirect};
use crate::clock::World;
use crate::identity::fetch::{Fetch, FetchError, Fetched, install_tls_provider};
use crate::identity::jose::strict_json;
use crate::identity::reach::Reach;
use crate::identity::recent::Recent;
use crate::identity::spec::is_loopback;

/// The longest id that is looked up, in bytes.
const ID_BYTES: usize = 1024;
/// The largest document, in bytes.
const BODY_BYTES: usize = 16 * 1024;
const CONNECT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(5);
/// How long a document is believed: as its server says, between these; the last without a word from it.
const LEAST: u64 = 60;
const MOST: u64 = 24 * 3600;
const UNSAID: u64 = 300;
/// How long a failure is.
const FAILED: u64 = 30;
/// Half of the documents remembered.
const HALF: usize = 256;
/// Fetches at once, for all clients.
const AT_ONCE: usize = 16;
/// The longest name of a client, in characters.
pub(super) const NAME: usize = 80;

/// What a document says, as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// What it calls itself.
    pub(super) name: String,
    /// Where it lies: host, and port where it is not the usual one.
    pub(super) host: String,
    pub(super) redirects: Vec<Redirect>,
}

/// Why a client is not known by its document; in words for the person who meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentFault {
    #[error("its client_id is not the address of a document: {0}")]
    Id(&'static str),
    #[error("this server does not accept clients from its host (client_document_hosts)")]
    Host,
    #[error("its client_id leads to an address that this server does not go to")]
    Reach,
    #[error("its document could not be fetched; try again in a minute")]
    Fetch,
    #[error("its document cannot be used: {0}")]
    Document(&'static str),
    #[error("too many documents are being fetched; try again in a minute")]
    Busy,
}

/// The documents met so far.
#[derive(Debug)]
pub(super) struct Library {
    which: Documents,
    fetch: Arc<dyn Fetch>,
    world: Arc<dyn World>,
    shelves: Mutex<Recent<String, Arc<Shelf>>>,
    at_once: Semaphore,
}

/// One document's place. Whoever holds the lock fetches; who waits for it reads what was found.
#[derive(Debug, Default)]
struct Shelf(tokio::sync::Mutex<Option<Found>>);

#[derive(Debug)]
struct Found {
    what: Result<Arc<Document>, DocumentFault>,
    /// Monotonic.
    until: Duration,
}

impl Library {
    pub(super) fn new(which: Documents, fetch: Arc<dyn Fetch>, world: Arc<dyn World>) -> Self {
        Self {
            which,
            fetch,
            world,
            shelves: Mutex::new(Recent::new(HALF)),
            at_once: Semaphore::new(AT_ONCE),
        }
    }

    /// The document of this id, fetched if need be.
    pub(super) async fn get(&self, id: &str) -> Result<Arc<Document>, DocumentFault> {
        let url = self.address(id)?;
        let shelf = {
            let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
            match shelves.get(&id.to_owned()) {
                Some(shelf) => Arc::clone(shelf),
                None => {
                    let shelf = Arc::<Shelf>::default();
                    shelves.put(id.to_owned(), Arc::clone(&shelf));
                    shelf
                }
            }
        };
        let mut found = shelf.0.lock().await;
        if let Some(found) = &*found
            && self.world.monotonic() < found.until
        {
            return found.what.clone();
        }
        let _turn = self.at_once.try_acquire().map_err(|_| DocumentFault::Busy)?;
        let (what, seconds) = match self.fetched(id, &url).await {
            Ok((document, seconds)) => (Ok(Arc::new(document)), seconds),
            Err(fault) => (Err(fault), FAILED),
        };
        *found = Some(Found {
            what: what.clone(),
            until: self.world.monotonic() + Duration::from_secs(seconds),
        });
        what
    }

    /// Whether this id may be looked up at all, without asking anybody.
    fn address(&self, id: &str) -> Result<Url, DocumentFault> {
        let url = address(id, self.which.allow_private)?;
        let host = url.host_str().unwrap_or_default();
        let allowed = self.which.hosts.as_ref().is_none_or(|hosts| hosts.contains(host));
        if !allowed {
            return Err(DocumentFault::Host);
        }
        match Reach::of(&url, self.which.allow_private) {
            Some(Reach::Public | Reach::Any) => Ok(url),
            _ => Err(DocumentFault::Reach),
        }
    }

    async fn fetched(&self, id: &str, url: &Url) -> Result<(Document, u64), DocumentFault> {
        let answer = self.fetch.get(url).await.map_err(|error| {
            tracing::debug!(host = url.host_str(), %error, "a client's document was not fetched");
            DocumentFault::Fetch
        })?;
        if answer.status != 200 {
            tracing::debug!(
                host = url.host_str(),
                status = answer.status,
                "a client's document was not fetched"
            );
            return Err(DocumentFault::Fetch);
        }
        let document = read(id, url, &answer.body).map_err(DocumentFault::Document)?;
        Ok((document, fresh_for(answer.cache_control.as_deref())))
    }
}

/// An id that may be a document's address: written as every reader of URLs would write it, so that what is
/// compared is what is fetched.
pub(super) fn address(id: &str, allow_private: bool) -> Result<Url, DocumentFault> {
    let wrong = DocumentFault::Id;
    if id.len() > ID_BYTES {
        return Err(wrong("it is too long"));
    }
    let url = Url::parse(id).map_err(|_| wrong("it is not a URL"))?;
    let plain_http = url.scheme() == "http" && allow_private && is_loopback(&url);
    if url.scheme() != "https" && !plain_http {
        return Err(wrong("it is not https"));
    }
    if url.as_str() != id {
        return Err(wrong("it is not written in normal form"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a user name or a fragment"));
    }
    if url.path() == "/" {
        return Err(wrong("it has no path"));
    }
    Ok(url)
}

/// Reads a document strictly: one that could be understood in two ways is not understood.
pub(super) fn read(id: &str, url: &Url, body: &[u8]) -> Result<Document, &'static str> {
    if body.len() > BODY_BYTES {
        return Err("it is too long");
    }
    let Ok(Value::Object(fields)) = strict_json(body) else {
        return Err("it is not a JSON object without repeated names");
    };
    if fields.get("client_id").and_then(Value::as_str) != Some(id) {
        return Err("its client_id is not the address it lies at");
    }
    if fields.contains_key("client_secret") || fields.contains_key("client_secret_expires_at") {
        return Err("it has a client_secret");
    }
    match fields.get("token_endpoint_auth_method") {
        None => {}
        Some(Value::String(method)) if method == "none" => {}
        Some(_) => return Err("its token_endpoint_auth_method is not \"none\""),
    }
    let lists = |name: &str, word: &str| match fields.get(name) {
        None => true,
        Some(Value::Array(list)) => list.iter().any(|one| one == word),
        Some(_) => false,
    };
    if !lists("grant_types", "authorization_code") || !lists("response_types", "code") {
        return Err("it does not use the authorization code grant");
    }
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let host = url.host().map(|host: Host<&str>| format!("{host}{port}"));
    let host = host.unwrap_or_default();
    let redirects = redirects(fields.get("redirect_uris"))?;
    Ok(Document {
        name: name(fields.get("client_name")).unwrap_or_else(|| host.clone()),
        host,
        redirects,
    })
}

/// What a client calls itself, cut to what fits on a page.
pub(super) fn name(said: Option<&Value>) -> Option<String> {
    let said = said?.as_str()?.trim();
    let name: String = said.chars().take(NAME).collect();
    (!name.is_empty()).then_some(name)
}

/// The redirect URIs a client registers. Ones we never send anybody to are passed over.
pub(super) fn redirects(said: Option<&Value>) -> Result<Vec<Redirect>, &'static str> {
    let Some(Value::Array(list)) = said else {
        return Err("it has no list of redirect_uris");
    };
    if list.len() > redirect::MOST {
        return Err("it has too many redirect_uris");
    }
    let texts = list
        .iter()
        .map(|one| one.as_str().ok_or("a redirect URI is not text"));
    let texts: Vec<&str> = texts.collect::<Result<_, _>>()?;
    let redirects: Vec<Redirect> = texts.into_iter().filter_map(Redirect::parse).collect();
    if redirects.is_empty() {
        return Err("none of its redirect_uris is https, loopback or a program's own scheme");
    }
    Ok(redirects)
}

/// How long a document is believed, in seconds (RFC 9111 5.2.2, as far as it matters here).
pub(super) fn fresh_for(cache_control: Option<&str>) -> u64 {
    let Some(said) = cache_control else { return UNSAID };
    let mut seconds = UNSAID;
    for directive in said.split(',') {
        let directive = directive.trim().to_ascii_lowercase();
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return LEAST;
        }
        if let Some(age) = directive.strip_prefix("max-age=") {
            seconds = age.trim_matches('"').parse().unwrap_or(LEAST);
        }
    }
    seconds.clamp(LEAST, MOST)
}

/// Fetches client documents: see the head of this module.
#[derive(Debug)]
pub struct DocumentFetch {
    allow_private: bool,
    whole: Duration,
    client: OnceLock<Result<Client, FetchError>>,
}

impl DocumentFetch {
    /// `allow_private`: whether addresses inside may be asked, because the operator said so; then also by
    /// plain HTTP on loopback.
    #[must_use]
    pub fn new(allow_private: bool) -> Self {
        Self {
            allow_private,
            whole: WHOLE,
            client: OnceLock::new(),
        }
    }

    /// The client resolves names by [`Reach`]; an address written out is checked before it is asked.
    fn client(&self, url: &Url) -> Result<&Client, FetchError> {
        let reach = match Reach::of(url, self.allow_private) {
            Some(reach @ (Reach::Public | Reach::Any)) => reach,
            _ => return Err(FetchError("the address is out of reach".to_owned())),
        };
        let plain = self.allow_private && url.scheme() == "http" && is_loopback(url);
        if url.scheme() != "https" && !plain {
            return Err(FetchError("only https is fetched".to_owned()));
        }
        let built = self.client.get_or_init(|| {
            install_tls_provider();
            Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy() // it would look the name up once more, without us
                .dns_resolver(reach)
                .connect_timeout(CONNECT)
                .timeout(self.whole)
                .pool_max_idle_per_host(0)
                .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| FetchError(error.to_string()))
        });
        built.as_ref().map_err(Clone::clone)
    }

    async fn bounded(&self, url: &Url) -> Result<Fetched, FetchError> {
        let client = self.client(url)?;
        let failed = |error: reqwest::Error| FetchError(error.without_url().to_string());
        let request = client.get(url.clone()).header("accept", "application/json");
        let mut answer = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > BODY_BYTES {
                return Err(FetchError(format!(
                    "the document is longer than {BODY_BYTES} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        let cache_control = answer.headers().get("cache-control");
        Ok(Fetched {
            status: answer.status().as_u16(),
            cache_control: cache_control
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            body,
        })
    }
}

impl Fetch for DocumentFetch {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(self.bounded(url))
    }
}

#[cfg(test)]
#[path = "tests/documents.rs"]
mod tests;
