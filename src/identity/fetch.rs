//! The one way identity reaches out: a bounded GET or POST. A trait, so that tests count and fail fetches.

use std::sync::OnceLock;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::{Client, ClientBuilder};
use url::Url;

use super::spec::is_loopback;

/// The largest document we read from an issuer, in bytes.
const BODY_BYTES: usize = 512 * 1024;
const CONNECT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(5);

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// The `Cache-Control` header.
    pub cache_control: Option<String>,
    /// The body, at most 512 KiB.
    pub body: Vec<u8>,
}

/// Why there is no answer; for the operator alone.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// A bounded GET of a JSON document, following no redirect.
pub trait Fetch: Send + Sync + std::fmt::Debug {
    /// Gets `url`. A status other than 200 is an answer, not an error.
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Fetched, FetchError>>;

    /// Gets `url` with this `Authorization` header; the same bounds. Nothing of what is sent is in an error.
    /// Unless somebody implements it, nothing is sent.
    fn get_as<'a>(
        &'a self,
        url: &'a Url,
        _authorization: &'a str,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move { Err(FetchError(format!("{url}: nothing is sent from here"))) })
    }

    /// Posts `form` to `url`, with an `Authorization` header where one is given; the same bounds. Nothing
    /// of what is sent is in an error. Unless somebody implements it, nothing is sent.
    fn post<'a>(&'a self, url: &'a Url, _form: Form<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move { Err(FetchError(format!("{url}: nothing is sent from here"))) })
    }
}

/// What is posted.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    /// Names and values, to be encoded as `application/x-www-form-urlencoded`.
    pub fields: &'a [(&'a str, &'a str)],
    /// The value of `Authorization`.
    pub authorization: Option<&'a str>,
}

/// [`Fetch`] over HTTP: TLS by rustls with the system's roots; plain HTTP to loopback alone, and
/// that never through a proxy. Connecting takes at most 3 s, the whole at most 5 s.
///
/// The clients are built when first used: reading the system's roots takes longer than all the rest
/// of a start, and the demo never needs them.
#[derive(Debug, Default)]
pub struct HttpFetch {
    tls: OnceLock<Result<Client, FetchError>>,
    loopback: OnceLock<Result<Client, FetchError>>,
}

impl HttpFetch {
    /// Builds nothing yet; a certificate store that cannot be read is an error of the first fetch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn client(&self, url: &Url) -> Result<&Client, FetchError> {
        let client = match url.scheme() {
            "https" => self.tls.get_or_init(|| built(bounded_client().https_only(true))),
            "http" if is_loopback(url) => self
                .loopback
                .get_or_init(|| built(bounded_client().no_proxy().tls_certs_only([]))),
            _ => {
                return Err(FetchError(format!(
                    "{url}: only https, or http to loopback, is fetched"
                )));
            }
        };
        client.as_ref().map_err(Clone::clone)
    }

    async fn bounded(
        &self,
        url: &Url,
        form: Option<Form<'_>>,
        authorization: Option<&str>,
    ) -> Result<Fetched, FetchError> {
        let client = self.client(url)?;
        let mut request = match form {
            None => client.get(url.clone()),
            Some(form) => client
                .post(url.clone())
                .header("content-type", "application/x-www-form-urlencoded")
                .body(
                    url::form_urlencoded::Serializer::new(String::new())
                        .extend_pairs(form.fields)
                        .finish(),
                ),
        };
        request = request.header("accept", "application/json");
        if let Some(authorization) = authorization {
            let mut value = reqwest::header::HeaderValue::from_str(authorization)
                .map_err(|_| FetchError("our credentials there cannot be sent in a header".to_owned()))?;
            value.set_sensitive(true);
            request = request.header("authorization", value);
        }
        let mut answer = request.send().await.map_err(|error| chain(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| chain(&error))? {
            if body.len() + chunk.len() > BODY_BYTES {
                return Err(FetchError(format!(
                    "{url}: the answer is longer than {BODY_BYTES} bytes"
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

fn bounded_client() -> ClientBuilder {
    install_tls_provider();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .pool_max_idle_per_host(1)
        .tcp_nodelay(true)
        .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
}

fn built(builder: ClientBuilder) -> Result<Client, FetchError> {
    builder.build().map_err(|error| chain(&error))
}

impl Fetch for HttpFetch {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(self.bounded(url, None, None))
    }

    fn get_as<'a>(
        &'a self,
        url: &'a Url,
        authorization: &'a str,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(self.bounded(url, None, Some(authorization)))
    }

    fn post<'a>(&'a self, url: &'a Url, form: Form<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(self.bounded(url, Some(form), form.authorization))
    }
}

/// Makes `ring` the process's TLS provider, unless one was chosen already. reqwest is built without
/// one, so that no second provider comes in by accident.
pub fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// reqwest's own text stops at "error sending request"; the cause is in the chain.
fn chain(error: &dyn std::error::Error) -> FetchError {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    FetchError(text)
}
