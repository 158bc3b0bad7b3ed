//! Identities of jobs in continuous integration: a token in the environment, or one that the runner's own
//! issuer signs for us on request. Nobody logs in for them.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::grant::sendable;
use super::{Credential, LEFT, LoginError, Site};
use crate::clock::World;
use crate::identity::fetch::Fetch;
use crate::identity::jose::strict_json;
use crate::identity::spec::secure;
use crate::secret::Secret;

/// A bearer token, taken as it is.
const TOKEN: &str = "TOLLGATE_TOKEN";
/// Names the variable that holds the job's ID token (GitLab: whatever `id_tokens` calls it).
const ID_TOKEN: &str = "TOLLGATE_ID_TOKEN_ENV";
/// GitHub Actions sets these for jobs with the permission `id-token: write`.
const REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

fn wrong(what: String) -> LoginError {
    LoginError::Environment(what)
}

/// The credential that the environment gives for a server, if it gives one. `variable` reads the
/// environment; an empty variable is none.
///
/// # Errors
/// It is set and makes no sense: then nothing else is tried in its place.
pub(super) fn find(
    site: &Site,
    fetch: &Arc<dyn Fetch>,
    world: &Arc<dyn World>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Arc<dyn Credential>>, LoginError> {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    if let Some(token) = variable(TOKEN) {
        return Ok(Some(Arc::new(Fixed::new(TOKEN, &token)?)));
    }
    if let Some(name) = variable(ID_TOKEN) {
        let token = variable(name.trim())
            .ok_or_else(|| wrong(format!("{ID_TOKEN} names the variable {name}, which is not set")))?;
        return Ok(Some(Arc::new(Fixed::new(name.trim(), &token)?)));
    }
    let (Some(url), Some(token)) = (variable(REQUEST_URL), variable(REQUEST_TOKEN)) else {
        return Ok(None);
    };
    let mut url = secure(url.trim()).map_err(|why| wrong(format!("{REQUEST_URL} {why}")))?;
    url.query_pairs_mut()
        .append_pair("audience", site.resource().as_str());
    let token = sendable(token.trim())
        .ok_or_else(|| wrong(format!("{REQUEST_TOKEN} holds nothing that can be sent")))?;
    Ok(Some(Arc::new(Runner {
        url,
        authorization: Secret::new(format!("Bearer {}", token.expose())),
        fetch: Arc::clone(fetch),
        world: Arc::clone(world),
        last: Mutex::default(),
    })))
}

/// A token that cannot be renewed.
#[derive(Debug)]
pub(super) struct Fixed {
    variable: String,
    token: Secret,
}

impl Fixed {
    /// The token that an environment variable holds.
    ///
    /// # Errors
    /// It cannot stand in a header.
    pub(super) fn new(variable: &str, token: &str) -> Result<Self, LoginError> {
        let token = sendable(token.trim());
        Ok(Self {
            variable: variable.to_owned(),
            token: token.ok_or_else(|| wrong(format!("{variable} holds no bearer token")))?,
        })
    }
}

impl Credential for Fixed {
    fn token(&self) -> BoxFuture<'_, Result<Secret, LoginError>> {
        Box::pin(async { Ok(self.token.clone()) })
    }

    fn instead<'a>(&'a self, _: &'a Secret) -> BoxFuture<'a, Result<Secret, LoginError>> {
        Box::pin(async {
            Err(wrong(format!(
                "the server does not take the token in {}: it is expired, or not for this server",
                self.variable
            )))
        })
    }
}

/// The issuer of a GitHub Actions job.
pub(super) struct Runner {
    url: Url,
    authorization: Secret,
    fetch: Arc<dyn Fetch>,
    world: Arc<dyn World>,
    /// With the second since the epoch at which it ends.
    last: Mutex<Option<(Secret, u64)>>,
}

/// The address tells which job it is; nothing of it is shown.
impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    async fn current(&self, refused: Option<&Secret>) -> Result<Secret, LoginError> {
        let mut last = self.last.lock().await;
        let now = self.world.now().seconds();
        if let Some((token, expires)) = last.as_ref()
            && *expires > now.saturating_add(LEFT)
            && refused != Some(token)
        {
            return Ok(token.clone());
        }
        let away = |why: String| LoginError::Away(format!("the runner gives no ID token: {why}"));
        let answer = self.fetch.get_as(&self.url, self.authorization.expose()).await;
        // The error of a fetch names its address, which is the job's own business.
        let answer = answer.map_err(|_| away("its address cannot be reached".to_owned()))?;
        if answer.status != 200 {
            return Err(away(format!("HTTP {}", answer.status)));
        }
        let body = strict_json(&answer.body).map_err(|_| away("no JSON".to_owned()))?;
        let token = body.get("value").and_then(Value::as_str).and_then(sendable);
        let token = token.ok_or_else(|| away("no token in the answer".to_owned()))?;
        let expires = expiry(token.expose()).unwrap_or(now);
        *last = Some((token.clone(), expires));
        Ok(token)
    }
}

impl Credential for Runner {
    fn token(&self) -> BoxFuture<'_, Result<Secret, LoginError>> {
        Box::pin(self.current(None))
    }

    fn instead<'a>(&'a self, refused: &'a Secret) -> BoxFuture<'a, Result<Secret, LoginError>> {
        Box::pin(self.current(Some(refused)))
    }
}

/// When a signed token says that it ends. Unchecked: only to know when to ask for the next.
fn expiry(token: &str) -> Option<u64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    strict_json(&claims).ok()?.get("exp")?.as_u64()
}
