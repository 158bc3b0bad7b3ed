//! Where providers say that somebody has logged out there (OpenID Connect Back-Channel Logout 1.0).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, Response, StatusCode, header};

use super::{Fields, path};
use crate::call::Hash;
use crate::identity::provider::{LoggedOut, Provider};
use crate::identity::sessions::{Sessions, Why};
use crate::recent::Recent;
use crate::store::StoreError;

/// Half of the logout tokens remembered: a token that comes again ends nothing new, so forgetting one
/// costs a look into the store.
const SEEN_HALF: usize = 1_024;

/// The endpoint of every provider.
#[derive(Debug)]
pub struct Notices {
    providers: Vec<Arc<dyn Provider>>,
    sessions: Sessions,
    /// By issuer and `jti`.
    seen: Mutex<Recent<Hash, ()>>,
}

impl Notices {
    /// For sessions of these providers.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn Provider>>, sessions: Sessions) -> Self {
        Self {
            providers,
            sessions,
            seen: Mutex::new(Recent::new(SEEN_HALF)),
        }
    }

    /// Whether a path is answered here.
    #[must_use]
    pub fn serves(&self, asked: &str) -> bool {
        self.provider(asked).is_some()
    }

    fn provider(&self, asked: &str) -> Option<&Arc<dyn Provider>> {
        let name = asked.strip_prefix(path::LOGGED_OUT)?;
        self.providers.iter().find(|provider| provider.name() == name)
    }

    /// Answers as section 2.8 says: 200 when the sessions have ended, 400 when the token is no good, and 503
    /// when it cannot be done now, so that it comes again.
    pub async fn answer(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let Some(provider) = self.provider(request.uri().path()) else {
            return status(StatusCode::NOT_FOUND);
        };
        if request.method() != Method::POST {
            let mut answer = status(StatusCode::METHOD_NOT_ALLOWED);
            let allowed = header::HeaderValue::from_static("POST");
            answer.headers_mut().insert(header::ALLOW, allowed);
            return answer;
        }
        let (fields, repeated) = Fields::parse(request.body());
        let (Some(token), None) = (fields.get("logout_token"), repeated) else {
            return status(StatusCode::BAD_REQUEST);
        };
        let told = match provider.logged_out(token).await {
            Ok(told) => told,
            Err(reason) => {
                tracing::warn!(issuer = provider.name(), %reason, "a logout token was not accepted");
                return status(StatusCode::BAD_REQUEST);
            }
        };
        match self.end(provider.name(), &told).await {
            Ok(ended) => {
                tracing::info!(issuer = provider.name(), ended, "a provider ended sessions");
                status(StatusCode::OK)
            }
            Err(error) => {
                tracing::error!(issuer = provider.name(), %error, "sessions could not be ended");
                status(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    async fn end(&self, issuer: &str, told: &LoggedOut) -> Result<usize, StoreError> {
        let name = Hash::of_json(&serde_json::json!([issuer, told.jti]));
        if self.seen().get(&name).is_some() {
            return Ok(0);
        }
        let ended = match (&told.sid, &told.subject) {
            (Some(sid), _) => self.sessions.end_provider_sid(issuer, sid).await?,
            (None, Some(subject)) => self.sessions.end_person(issuer, subject, Why::Provider).await?,
            (None, None) => 0,
        };
        // Only now: what could not be done has to come again.
        self.seen().put(name, ());
        Ok(ended)
    }

    fn seen(&self) -> MutexGuard<'_, Recent<Hash, ()>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(status: StatusCode) -> Response<Vec<u8>> {
    let mut answer = Response::new(Vec::new());
    *answer.status_mut() = status;
    answer
}
