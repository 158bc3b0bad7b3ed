//! The token endpoint (OAuth 2.1 section 3.2), for clients that have no secret: what they hold proves
//! that the code or the token is theirs, and every token is bound to the client it was issued to.

use std::net::IpAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use super::device::Guesses;
use super::fields::{BadForm, Fields};
use super::{FacadeSpec, path, prefix};
use crate::call::Hash;
use crate::clock::World;
use crate::identity::sessions::{Issued, Proof, Redeem, Refresh, Refused, Sessions, is_well_formed};
use crate::store::StoreError;
use crate::store::rows::Rows;
use crate::store::sessions::DeviceRow;

/// RFC 8628 section 3.4.
pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The longest client id, in bytes: it may be the address of a document.
pub(super) const CLIENT_BYTES: usize = 2048;

/// A client, as far as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What it calls itself.
    pub name: String,
    /// Whether somebody other than the client vouches for its id.
    pub verified: bool,
}

/// The other half of the facade, as far as devices need it.
pub trait Front: Send + Sync + std::fmt::Debug {
    /// The client of that id; `None` when it is not known.
    fn named<'a>(&'a self, client_id: &'a str) -> BoxFuture<'a, Option<Named>>;

    /// Begins a sign-in for a device. Gives the page to go to: the one that asks for consent. `None` when the
    /// client is not known any more.
    fn begin_for<'a>(&'a self, device: &'a DeviceRow) -> BoxFuture<'a, Result<Option<String>, StoreError>>;
}

/// The half of the facade that is not a browser's: tokens, revocation, devices.
#[derive(Debug)]
pub struct Exchange {
    pub(super) sessions: Sessions,
    pub(super) rows: Rows,
    pub(super) spec: Arc<FacadeSpec>,
    pub(super) front: Arc<dyn Front>,
    pub(super) guesses: Guesses,
    pub(super) world: Arc<dyn World>,
}

/// An error of RFC 6749 section 5.2 and its relatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) description: &'static str,
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
}

impl From<BadForm> for Fault {
    fn from(form: BadForm) -> Self {
        Self::new("invalid_request", form.0)
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
            Refused::Target => Self::new("invalid_target", "The tokens are for another resource."),
            Refused::Unavailable => Self::UNAVAILABLE,
        }
    }
}

impl Exchange {
    /// Over the sessions and rows of one store.
    #[must_use]
    pub fn new(
        sessions: Sessions,
        rows: Rows,
        spec: Arc<FacadeSpec>,
        front: Arc<dyn Front>,
        world: Arc<dyn World>,
    ) -> Self {
        Self {
            sessions,
            rows,
            spec,
            front,
            guesses: Guesses::new(Arc::clone(&world)),
            world,
        }
    }

    /// Whether a path is answered here.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        [
            path::TOKEN,
            path::REVOKE,
            path::DEVICE_AUTHORIZATION,
            path::DEVICE,
        ]
        .contains(&path)
    }

    /// Answers a request to one of these paths.
    pub async fn answer(&self, request: Request<Vec<u8>>, from: IpAddr) -> Response<Vec<u8>> {
        let path = request.uri().path().to_owned();
        if path == path::DEVICE {
            return self.device_page(&request, from).await;
        }
        if request.method() != Method::POST {
            return only("POST");
        }
        let (headers, body) = (request.headers(), request.body());
        let answered = match path.as_str() {
            path::TOKEN => self.token(headers, body).await,
            path::REVOKE => self.revoke(headers, body).await,
            path::DEVICE_AUTHORIZATION => self.authorize_device(headers, body).await,
            _ => Err(Fault {
                status: StatusCode::NOT_FOUND,
                ..Fault::new("invalid_request", "There is nothing here.")
            }),
        };
        answered.map_or_else(
            |fault| refusal(fault, headers),
            |answer| json_of(StatusCode::OK, &answer),
        )
    }

    async fn token(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, Fault> {
        let fields = client_form(headers, body)?;
        let client_id = client_id(&fields)?;
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
                    resource: fields.get("resource"),
                };
                self.sessions.redeem(&redeem).await?
            }
            "refresh_token" => {
                let refresh = Refresh {
                    token: need("refresh_token", "refresh_token is missing")?,
                    client_id,
                    scope: fields.get("scope"),
                    resource: fields.get("resource"),
                };
                self.sessions.refresh(&refresh).await?
            }
            DEVICE_GRANT => {
                let device = need("device_code", "device_code is missing")?;
                self.poll(device, client_id, fields.get("resource")).await?
            }
            _ => {
                return Err(Fault::new(
                    "unsupported_grant_type",
                    "Use authorization_code, refresh_token or the device grant.",
                ));
            }
        };
        Ok(answer(&issued))
    }
}

fn answer(issued: &Issued) -> Value {
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
pub(super) fn client_form(headers: &HeaderMap, body: &[u8]) -> Result<Fields, Fault> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(Fault::client(
            "Clients have no secret here: send client_id in the form and no Authorization header.",
        ));
    }
    let fields = Fields::of_body(headers, body)?;
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

fn refusal(fault: Fault, headers: &HeaderMap) -> Response<Vec<u8>> {
    let body = json!({"error": fault.error, "error_description": fault.description});
    let mut response = json_of(fault.status, &body);
    // RFC 6749 section 5.2: in the scheme that was tried.
    if fault.status == StatusCode::UNAUTHORIZED && headers.contains_key(header::AUTHORIZATION) {
        let scheme = HeaderValue::from_static("Basic realm=\"clients have no secret here\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    if fault.status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
    }
    response
}

fn json_of(status: StatusCode, value: &Value) -> Response<Vec<u8>> {
    let body = match value {
        Value::Null => Vec::new(),
        value => value.to_string().into_bytes(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// 405.
pub(super) fn only(allowed: &'static str) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}
