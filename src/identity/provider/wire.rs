//! How `openidconnect` reaches out: through [`Fetch`], whose bounds stay, and which follows no redirect.

use futures::future::BoxFuture;
use openidconnect::http::{Method, Response, header};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::identity::fetch::{Fetch, Form};
use crate::identity::jose::strict_json;

/// The one HTTP client of `openidconnect` here. What comes back is one JSON object in which no name is
/// repeated, or an error.
pub(super) struct Wire<'a> {
    pub(super) fetch: &'a dyn Fetch,
    /// Sent in place of the crate's own `Authorization`, which writes a space in a way that not every server reads.
    pub(super) basic: Option<Zeroizing<String>>,
}

/// Why there is no answer. Holds nothing of what was sent, and of what came back the status alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The request cannot be sent as it is.
    #[error("a request to it cannot be sent")]
    Unsendable,
    /// [`Fetch`] says why.
    #[error("{0}")]
    Unreachable(String),
    /// Neither an answer nor an OAuth error (RFC 6749 5.1, 5.2).
    #[error("its token endpoint answered HTTP {0}")]
    Status(u16),
    /// Neither an answer nor an OAuth error.
    #[error("its token endpoint did not answer with one JSON object")]
    NotJson,
}

impl<'c> AsyncHttpClient<'c> for Wire<'_> {
    type Error = WireError;
    type Future = BoxFuture<'c, Result<HttpResponse, WireError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl Wire<'_> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, WireError> {
        if request.method() != Method::POST {
            return Err(WireError::Unsendable); // nothing else is asked through here
        }
        let address = Url::parse(&request.uri().to_string()).map_err(|_| WireError::Unsendable)?;
        let authorization = request
            .headers()
            .get(header::AUTHORIZATION)
            .map(|value| value.to_str().map_err(|_| WireError::Unsendable))
            .transpose()?;
        let sent: Vec<_> = url::form_urlencoded::parse(request.body()).collect();
        let fields: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (&**name, &**value)).collect();
        let ours = self.basic.as_ref().map(|value| value.as_str());
        let form = Form {
            fields: &fields,
            authorization: authorization.map(|theirs| ours.unwrap_or(theirs)),
        };
        let answer = self.fetch.post(&address, form).await;
        let answer = answer.map_err(|error| WireError::Unreachable(error.to_string()))?;
        // RFC 6749 5.2: an error is 400, or 401 for the client; some providers say 403.
        if !matches!(answer.status, 200 | 400 | 401 | 403) {
            return Err(WireError::Status(answer.status));
        }
        match strict_json(&answer.body) {
            Ok(Value::Object(_)) => {}
            _ if answer.status == 200 => return Err(WireError::NotJson),
            _ => return Err(WireError::Status(answer.status)),
        }
        let response = Response::builder().status(answer.status).body(answer.body);
        response.map_err(|_| WireError::NotJson)
    }
}
