//! People on the control side: who decides, proved by a sign-in of their own.
//!
//! A control credential is an ID token (OpenID Connect Core 2) of the one client that an issuer's
//! `control_audience` names, with an `auth_time`. An access token is never one, whatever its audience;
//! an ID token is never an access token (`claims`). So what an agent holds opens nothing here, and what
//! opens this side is of no use to an agent.

pub mod browser;
mod flow;
pub mod terminal;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::claims::{LEEWAY, audiences, name, seconds, times};
use super::fetch::Fetch;
use super::groups::{self, GroupMap};
use super::jose::{Compact, Header, TOKEN_BYTES};
use super::keys::KeyRing;
use super::rejection::Reason;
use super::{Bearer, Tally};
use crate::call::{User, UserKind};
use crate::clock::{Timestamp, World};
use flow::Known;

pub use flow::SignInError;

/// A person, as their issuer vouches for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who they are, with the groups of this sign-in.
    pub user: User,
    /// When they last proved it interactively (`auth_time`).
    pub signed_in_at: Timestamp,
    /// How: the authentication context class the issuer vouches for (`acr`), where it says.
    pub acr: Option<String>,
}

/// What somebody needs to know to sign in: an issuer and its client for the people's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The issuer's configured name.
    pub issuer: String,
    /// Its URL.
    pub url: String,
    /// The client.
    pub client_id: String,
    /// Whether the client has no secret, so that a program on a person's own machine can use it.
    pub is_public: bool,
}

/// Verifies control credentials and leads people through signing in.
pub struct People {
    clients: Vec<Client>,
    groups: GroupMap,
    fetch: Arc<dyn Fetch>,
    /// Binds sign-ins under way to the browser that began them. As old as this process.
    key: [u8; 32],
    tally: Tally,
    world: Arc<dyn World>,
}

/// Shows who, never the key.
impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("People")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// One issuer's client for the people's side.
#[derive(Debug)]
struct Client {
    ring: Arc<KeyRing>,
    id: String,
    endpoints: Mutex<Known>,
}

impl People {
    pub(super) fn new(
        rings: &HashMap<String, Arc<KeyRing>>,
        groups: &GroupMap,
        fetch: &Arc<dyn Fetch>,
        world: &Arc<dyn World>,
    ) -> Self {
        let mut key = [0; 32];
        world.random(&mut key);
        let client = |ring: &Arc<KeyRing>| {
            let id = ring.issuer().control_audience.clone()?;
            Some(Client {
                ring: Arc::clone(ring),
                id,
                endpoints: Mutex::default(),
            })
        };
        let mut clients: Vec<Client> = rings.values().filter_map(client).collect();
        clients.sort_by(|a, b| a.ring.issuer().name.cmp(&b.ring.issuer().name));
        Self {
            clients,
            groups: groups.clone(),
            fetch: Arc::clone(fetch),
            key,
            tally: Tally::default(),
            world: Arc::clone(world),
        }
    }

    /// The issuers through which people may sign in.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        let way = |client: &Client| {
            let issuer = client.ring.issuer();
            Way {
                issuer: issuer.name.clone(),
                url: issuer.url.clone(),
                client_id: client.id.clone(),
                is_public: issuer.control_credential.is_none(),
            }
        };
        self.clients.iter().map(way).collect()
    }

    /// Verifies a control credential.
    ///
    /// # Errors
    /// Why not. Counted and logged without anything from the token.
    pub async fn admit(&self, bearer: Bearer<'_>) -> Result<Person, Reason> {
        let token = bearer.0.ok_or(Reason::Missing);
        let admitted = match token {
            Ok(token) => self.verify(token, None).await,
            Err(missing) => Err(missing),
        };
        admitted.inspect_err(|reason| {
            self.tally.count(*reason);
            match reason {
                Reason::Groups(_) => tracing::warn!(%reason, "sign-in on the control side refused"),
                _ => tracing::debug!(%reason, "control credential not accepted"),
            }
        })
    }

    /// As [`People::admit`]; with `asked`, the token must also repeat this nonce and be of this client.
    async fn verify(&self, token: &str, asked: Option<(&Client, &str)>) -> Result<Person, Reason> {
        if token.len() > TOKEN_BYTES {
            return Err(Reason::Oversized);
        }
        let token = Compact::parse(token)?;
        let client = match token.claims.get("iss") {
            Some(Value::String(issuer)) => self
                .clients
                .iter()
                .find(|client| client.ring.issuer().url == *issuer)
                .ok_or(Reason::Issuer)?,
            _ => return Err(Reason::Claim("iss")),
        };
        client.ring.check(&token).await?;
        if let Some((expected, nonce)) = asked {
            if !std::ptr::eq(expected, client) {
                return Err(Reason::Issuer);
            }
            let same = token.claims.get("nonce").and_then(Value::as_str) == Some(nonce);
            same.then_some(()).ok_or(Reason::Claim("nonce"))?;
        }
        let now = self.world.now().seconds();
        person(&token.header, &token.claims, client, &self.groups, now)
    }
}

/// OpenID Connect Core 3.1.3.7, once the signature and `iss` are known to be right; stricter where it
/// leaves a choice. `now` is in seconds since the epoch.
fn person(
    header: &Header,
    claims: &Map<String, Value>,
    client: &Client,
    map: &GroupMap,
    now: u64,
) -> Result<Person, Reason> {
    let issuer = client.ring.issuer();
    match header
        .media_type
        .as_deref()
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None | Some("jwt" | "application/jwt") => {}
        _ => return Err(Reason::NotAnIdToken), // at+jwt, logout+jwt and whatever else says what it is
    }
    times(claims, issuer, now)?;
    let audiences = audiences(claims)?;
    if audiences.len() != 1 || !audiences.contains(client.id.as_str()) {
        return Err(Reason::Audience); // 3.1.3.7 items 3 to 5: nobody else is trusted with it
    }
    if name(claims, "azp")?.is_some_and(|party| party != client.id) {
        return Err(Reason::Client);
    }
    id_token_only(claims)?;
    let subject = name(claims, "sub")?.ok_or(Reason::Claim("sub"))?;
    if subject == client.id {
        return Err(Reason::Claim("sub")); // the client itself is no person
    }
    seconds(claims, "iat")?.ok_or(Reason::Claim("iat"))?;
    let signed_in = seconds(claims, "auth_time")?.ok_or(Reason::Claim("auth_time"))?;
    if signed_in > now.saturating_add(LEEWAY) {
        return Err(Reason::NotYetValid);
    }
    let values = groups::claimed(claims, issuer).map_err(Reason::Groups)?;
    Ok(Person {
        user: User {
            issuer: issuer.name.clone(),
            subject: subject.to_owned(),
            kind: UserKind::Person,
            groups: map.local(&issuer.name, values),
        },
        signed_in_at: Timestamp(signed_in.min(now).saturating_mul(1000)),
        acr: name(claims, "acr")?.map(str::to_owned),
    })
}

/// Refuses what the same issuer signs for other ends: access tokens name scopes or a client of their own
/// kind (RFC 9068), logout tokens have `events`, and some issuers say in the claims what a token is.
fn id_token_only(claims: &Map<String, Value>) -> Result<(), Reason> {
    let says = |claim, allowed: &str| claims.get(claim).is_none_or(|kind| kind == allowed);
    let foreign = ["scope", "scp", "client_id", "events", "cnf"];
    if foreign.iter().any(|claim| claims.contains_key(*claim))
        || !says("typ", "ID")
        || !says("token_use", "id")
    {
        return Err(Reason::NotAnIdToken);
    }
    Ok(())
}
