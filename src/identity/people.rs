//! People on the control side: who decides, proved by a sign-in of their own.
//!
//! A control credential is an ID token (OpenID Connect Core 2) of the one client that an issuer's
//! `control_audience` names, with an `auth_time`. An access token is never one, whatever its audience;
//! an ID token is never an access token (`claims`). So what an agent holds opens nothing here, and what
//! opens this side is of no use to an agent.

pub mod browser;
pub mod terminal;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::fetch::Fetch;
use super::groups::{self, GroupMap};
use super::jose::{Compact, TOKEN_BYTES};
use super::keys::KeyRing;
use super::provider::{Oidc, OidcClient, SignedIn, Vouched};
use super::rejection::Reason;
use super::{Bearer, Tally};
use crate::call::{User, UserKind};
use crate::clock::{Timestamp, World};

pub use super::provider::SignInError;

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
    /// The authentication context classes of which one must be met.
    pub acr_values: Vec<String>,
}

/// Verifies control credentials and leads people through signing in.
pub struct People {
    /// One for each issuer with a client for this side.
    clients: Vec<Oidc>,
    groups: GroupMap,
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
            let client = OidcClient {
                id,
                secret: ring.issuer().control_credential.clone(),
                scopes: Vec::new(),
                acr_values: ring.issuer().control_acr.clone(),
            };
            let (fetch, world) = (Arc::clone(fetch), Arc::clone(world));
            Some(Oidc::on(Arc::clone(ring), client, fetch, world))
        };
        let mut clients: Vec<Oidc> = rings.values().filter_map(client).collect();
        clients.sort_by(|a, b| a.issuer().name.cmp(&b.issuer().name));
        Self {
            clients,
            groups: groups.clone(),
            key,
            tally: Tally::default(),
            world: Arc::clone(world),
        }
    }

    /// The issuers through which people may sign in.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        let way = |oidc: &Oidc| Way {
            issuer: oidc.issuer().name.clone(),
            url: oidc.issuer().url.clone(),
            client_id: oidc.client().id.clone(),
            is_public: oidc.client().secret.is_none(),
            acr_values: oidc.client().acr_values.clone(),
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
            Ok(token) => self.verify(token).await,
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

    async fn verify(&self, token: &str) -> Result<Person, Reason> {
        if token.len() > TOKEN_BYTES {
            return Err(Reason::Oversized);
        }
        let read = Compact::parse(token)?;
        let client = match read.claims.get("iss") {
            Some(Value::String(issuer)) => self
                .clients
                .iter()
                .find(|client| client.issuer().url == *issuer)
                .ok_or(Reason::Issuer)?,
            _ => return Err(Reason::Claim("iss")),
        };
        let vouched = client.vouched(token).await?;
        self.vouched_for(client, vouched)
    }

    /// Whom an ID token is about.
    fn vouched_for(&self, client: &Oidc, vouched: Vouched) -> Result<Person, Reason> {
        let signed_in = vouched.auth_time.ok_or(Reason::Claim("auth_time"))?;
        let values = groups::claimed(&vouched.claims, client.issuer()).map_err(Reason::Groups)?;
        let issuer = &client.issuer().name;
        Ok(Person {
            user: person(issuer, vouched.subject, self.groups.local(issuer, values)),
            signed_in_at: Timestamp(signed_in.saturating_mul(1000)),
            acr: vouched.acr,
        })
    }

    /// Who has signed in here.
    fn signed_in(&self, signed_in: &SignedIn) -> Result<Person, Reason> {
        let at = signed_in.auth_time.ok_or(Reason::Claim("auth_time"))?;
        let claimed = signed_in.claimed.iter().map(String::as_str);
        let groups = self.groups.local(&signed_in.issuer, claimed);
        Ok(Person {
            user: person(&signed_in.issuer, signed_in.subject.clone(), groups),
            signed_in_at: Timestamp(at.saturating_mul(1000)),
            acr: signed_in.acr.clone(),
        })
    }
}

fn person(issuer: &str, subject: String, groups: std::collections::BTreeSet<String>) -> User {
    User {
        issuer: issuer.to_owned(),
        subject,
        kind: UserKind::Person,
        groups,
    }
}
