//! The token endpoint (OAuth 2.1 section 3.2), for clients that have no secret: what they hold proves
//! that the code or the token is theirs, and every token is bound to the client it was issued to.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::device::Guesses;
use super::{Answer, Asked, Facade, Fields, authorize, pages, path, prefix};
use crate::call::Hash;
use crate::identity::sessions::{Issued, Proof, Redeem, Refresh, Refused, Sessions, is_well_formed};
use crate::store::StoreError;

/// RFC 8628 section 3.4.
pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The longest client id, in bytes: it may be the address of a document.
const CLIENT_BYTES: usize = 2048;

/// The whole facade: the half that browsers come to, and behind it tokens, revocation and devices.
pub struct Exchange {
    pub(super) facade: Facade,
    pub(super) sessions: Sessions,
    pub(super) guesses: Guesses,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

/// An error of RFC 6749 section 5.2 and its relatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

impl Fault {
    pub(super) const fn new(error: &'static str, description: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description,
        }
    }

    pub(super) const fn client(description: &'static str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            description,
        }
    }

    /// Nothing is wrong with the request: it may be sent again.
    pub(super) const UNAVAILABLE: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        error: "temporarily_unavailable",
        description: "This cannot be answered at the moment; send it again later.",
    };

    fn answer(self, headers: &HeaderMap) -> Answer {
        let mut answer = pages::error(self.status, self.error, self.description);
        // RFC 6749 section 5.2: in the scheme that was tried.
        if self.status == StatusCode::UNAUTHORIZED && headers.contains_key(header::AUTHORIZATION) {
            let scheme = HeaderValue::from_static("Basic realm=\"clients have no secret here\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = HeaderValue::from_static("10");
            answer.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        answer
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the facade cannot use its store");
        Self::UNAVAILABLE
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        match refused {
            // One description for all: what is wrong with a code is nobody's business but its owner's.
            Refused::Grant => Self::new(
                "invalid_grant",
                "It is not valid, not this client's, expired or used, or its session has ended. Sign in again.",
            ),
            Refused::Scope => Self::new("invalid_scope", "More scopes than were granted."),
            Refused::Target => Self::new(
                "invalid_target",
                "Tokens are for the resource of this server alone.",
            ),
            Refused::Unavailable => Self::UNAVAILABLE,
        }
    }
}

impl Exchange {
    /// `facade` and `sessions` are over the same store.
    #[must_use]
    pub fn new(facade: Facade, sessions: Sessions) -> Self {
        let guesses = Guesses::new(Arc::clone(&facade.world));
        Self {
            facade,
            sessions,
            guesses,
        }
    }

    /// Removes what is over: see [`Facade::prune`] and [`Sessions::prune`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prune(&self) -> Result<(), StoreError> {
        self.facade.prune().await?;
        self.sessions.prune().await
    }

    /// Whether a path is answered here.
    #[must_use]
    pub fn serves(&self, path: &str) -> bool {
        let own = [
            path::TOKEN,
            path::REVOKE,
            path::DEVICE_AUTHORIZATION,
            path::DEVICE,
        ];
        own.contains(&path) || self.facade.serves(path)
    }

    /// One request to one answer; see [`Facade::answer`].
    pub async fn answer(&self, request: Request<Vec<u8>>, from: IpAddr) -> Response<Vec<u8>> {
        let asked = Asked {
            method: request.method(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            headers: request.headers(),
            body: request.body(),
        };
        let answered = match asked.path {
            path::DEVICE => return self.device_page(&asked, from).await,
            path::TOKEN | path::REVOKE | path::DEVICE_AUTHORIZATION if *asked.method != Method::POST => {
                return only_post();
            }
            path::TOKEN => self.token(&asked).await,
            path::DEVICE_AUTHORIZATION => self.authorize_device(&asked).await,
            path::REVOKE => self.revoke(&asked).await.map(|()| json!({})),
            _ => return self.facade.answer(request, from).await,
        };
        answered.map_or_else(
            |fault| fault.answer(asked.headers),
            |answer| pages::json(StatusCode::OK, &answer),
        )
    }

    async fn token(&self, asked: &Asked<'_>) -> Result<Value, Fault> {
        let fields = client_form(asked)?;
        let client_id = client_id(&fields)?;
        let resource = self.resource(&fields)?;
        let need = |name, missing| fields.get(name).ok_or(Fault::new("invalid_request", missing));
        let issued = match need("grant_type", "grant_type is missing")? {
            "authorization_code" => {
                let code = need("code", "code is missing")?;
                let proof = Proof::Began {
                    verifier: need("code_verifier", "code_verifier is missing: PKCE is required")?,
                    redirect_uri: need("redirect_uri", "redirect_uri is missing")?,
                };
                if !is_well_formed(code, prefix::CODE) {
                    return Err(Refused::Grant.into());
                }
                let redeem = Redeem {
                    code: Hash::of(code.as_bytes()),
                    client_id,
                    proof,
                    resource,
                };
                self.sessions.redeem(&redeem).await?
            }
            "refresh_token" => {
                let refresh = Refresh {
                    token: need("refresh_token", "refresh_token is missing")?,
                    client_id,
                    scope: fields.get("scope"),
                    resource,
                };
                self.sessions.refresh(&refresh).await?
            }
            DEVICE_GRANT => {
                let device = need("device_code", "device_code is missing")?;
                self.poll(device, client_id, resource).await?
            }
            _ => {
                return Err(Fault::new(
                    "unsupported_grant_type",
                    "Use authorization_code, refresh_token or the device grant.",
                ));
            }
        };
        Ok(tokens(&issued))
    }

    /// Our resource, if one is named; another is refused before anything is spent.
    pub(super) fn resource(&self, fields: &Fields) -> Result<Option<&str>, Fault> {
        match fields.get("resource") {
            Some(asked) if !self.facade.is_ours(asked) => Err(Refused::Target.into()),
            Some(_) => Ok(Some(self.facade.spec.resource.as_str())),
            None => Ok(None),
        }
    }
}

fn tokens(issued: &Issued) -> Value {
    let mut answer = json!({
        "access_token": issued.access.as_str(),
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "refresh_token": issued.refresh.as_str(),
    });
    if let (false, Some(members)) = (issued.scope.is_empty(), answer.as_object_mut()) {
        members.insert("scope".to_owned(), json!(issued.scope));
    }
    answer
}

/// The form of a client that does not authenticate itself in another way: our clients have no secrets, and
/// one that shows something for a secret has been set up for another server.
pub(super) fn client_form(asked: &Asked<'_>) -> Result<Fields, Fault> {
    if asked.headers.contains_key(header::AUTHORIZATION) {
        return Err(Fault::client(
            "Clients have no secret here: send client_id in the form and no Authorization header.",
        ));
    }
    if !authorize::is_form(asked) {
        return Err(Fault::new(
            "invalid_request",
            "The body must be application/x-www-form-urlencoded.",
        ));
    }
    let (fields, None) = Fields::parse(asked.body) else {
        return Err(Fault::new(
            "invalid_request",
            "A parameter is there twice, or there are too many.",
        ));
    };
    if fields.get("client_assertion").is_some() || fields.get("client_assertion_type").is_some() {
        return Err(Fault::client(
            "Clients have no secret here: send client_id alone.",
        ));
    }
    Ok(fields)
}

pub(super) fn client_id(fields: &Fields) -> Result<&str, Fault> {
    let id = fields.get("client_id").filter(|id| id.len() <= CLIENT_BYTES);
    id.ok_or(Fault::client("client_id is missing."))
}

fn only_post() -> Answer {
    let words = "Send a form with POST.";
    let mut answer = pages::error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", words);
    let allowed = HeaderValue::from_static("POST");
    answer.headers_mut().insert(header::ALLOW, allowed);
    answer
}
