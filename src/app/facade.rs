//! The facade from the configuration: providers, sessions, and what is served of them.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use http::{Request, Response};
use serde_json::json;

use super::identity::{facade_url, provider_spec, resolved, saml, scopes};
use crate::call::User;
use crate::clock::{Timestamp, World};
use crate::config::{self, Config, Mode};
use crate::console::agents::{SessionCard, SessionDesk, Unavailable};
use crate::gate::Gate;
use crate::identity::ends::Ends;
use crate::identity::facade::logged_out::Notices;
use crate::identity::facade::{DocumentFetch, Documents, Exchange, Facade, FacadeSpec, KnownClient, Times};
use crate::identity::provider::{Oidc, OidcClient, Provider};
use crate::identity::seal::Seal;
use crate::identity::services::Services;
use crate::identity::sessions::{self, Parts, Sessions, Why};
use crate::identity::{GroupMap, HttpFetch, Identity};
use crate::store::StoreError;
use crate::store::rows::Rows;
use crate::tool::Tools;
use crate::transport::http::annex::Annex;

/// The authorization server: both halves of it, and where providers tell of people who left.
pub(super) struct Server {
    exchange: Exchange,
    notices: Notices,
    /// The sessions it opens.
    pub(super) sessions: Sessions,
}

impl Server {
    /// What it needs every second.
    pub(super) async fn watch(&self) -> Result<(), StoreError> {
        self.sessions.watch().await
    }

    /// What it needs every hour.
    pub(super) async fn prune(&self) -> Result<(), StoreError> {
        self.exchange.prune().await
    }
}

impl Annex for Server {
    fn serves(&self, path: &str) -> bool {
        self.exchange.serves(path) || self.notices.serves(path)
    }

    fn answer<'a>(&'a self, request: Request<Vec<u8>>, from: IpAddr) -> BoxFuture<'a, Response<Vec<u8>>> {
        Box::pin(async move {
            let path = request.uri().path();
            if self.notices.serves(path) {
                self.notices.answer(request).await
            } else {
                self.exchange.answer(request, from).await
            }
        })
    }
}

/// The identity stage, and the authorization server where an issuer's mode needs one and `serves` says that
/// there is somebody to serve.
///
/// # Errors
/// What is wrong with an issuer, a provider, a secret or the store.
pub(super) async fn identity(
    config: &Config,
    tools: &Tools,
    serves: bool,
    world: &Arc<dyn World>,
) -> Result<(Identity, Arc<Services>, Option<Arc<Server>>)> {
    if serves {
        readable(config, world)?; // before the store: a start that is refused leaves nothing behind
    }
    let services = super::keys::services(config, world).await?;
    let mut spec = super::identity::spec(config)?;
    let ends = Ends::default();
    let server = if serves {
        server(config, tools, &spec.groups, &ends, world).await?
    } else {
        None
    };
    spec.own.push(services.clone());
    if let Some(server) = &server {
        spec.own.push(Arc::new(server.sessions.clone()));
    }
    let identity = Identity::new(spec, Arc::new(HttpFetch::new()), world.clone())?
        .scoped(scopes(config, tools)?)
        .with_ends(ends);
    Ok((identity, services, server))
}

async fn server(
    config: &Config,
    tools: &Tools,
    groups: &GroupMap,
    ends: &Ends,
    world: &Arc<dyn World>,
) -> Result<Option<Arc<Server>>> {
    let Some(facade) = config.facade.as_ref().filter(|_| is_needed(config)) else {
        return Ok(None);
    };
    let seal = Arc::new(seal(facade)?);
    let mut providers = oidc(config, world)?;
    providers.extend(saml(config, world)?);
    let rows = Rows::new(super::store::open(config).await?);
    let spec = spec(config, facade);
    let sessions = Sessions::start(Parts {
        rows: rows.clone(),
        seal: seal.clone(),
        providers: providers.clone(),
        groups: groups.clone(),
        scopes: scopes(config, tools)?,
        resource: spec.resource.clone(),
        times: spec.times,
        ended: ends.clone(),
        world: world.clone(),
    })
    .await?;
    let allow_private = spec
        .documents
        .as_ref()
        .is_some_and(|documents| documents.allow_private);
    let front = Facade::new(
        spec,
        rows,
        providers.clone(),
        seal,
        Arc::new(DocumentFetch::new(allow_private)),
        world.clone(),
    );
    Ok(Some(Arc::new(Server {
        exchange: Exchange::new(front, sessions.clone()),
        notices: Notices::new(providers, sessions.clone()),
        sessions,
    })))
}

fn seal(facade: &config::Facade) -> Result<Seal> {
    let keys = facade.keys.iter().map(resolved).collect::<Result<Vec<_>>>();
    Seal::new(keys.context("[facade] key")?).context("[facade] key")
}

/// Whether there is a facade, and its key and the secrets of its clients can be read: what `serve` does not
/// start without. Asks nobody.
///
/// # Errors
/// The first that cannot.
pub(super) fn readable(config: &Config, world: &Arc<dyn World>) -> Result<bool> {
    let Some(facade) = config.facade.as_ref().filter(|_| is_needed(config)) else {
        return Ok(false);
    };
    seal(facade)?;
    oidc(config, world)?;
    Ok(true)
}

fn is_needed(config: &Config) -> bool {
    config.issuers.iter().any(|issuer| issuer.mode.is_facade())
}

fn spec(config: &Config, facade: &config::Facade) -> FacadeSpec {
    FacadeSpec {
        url: facade_url(config),
        resource: config.server.mcp_url(),
        scopes: config.scopes.clone(),
        times: Times {
            access: facade.access,
            idle: facade.idle,
            session: facade.session,
            recheck: facade.recheck,
            unchecked: facade.unchecked,
        },
        registration: facade.registration,
        documents: facade.documents.as_ref().map(|documents| Documents {
            hosts: documents.hosts.clone(),
            allow_private: documents.allow_private,
        }),
        clients: facade
            .clients
            .iter()
            .map(|client| KnownClient {
                id: client.id.clone(),
                name: client.name.clone(),
                redirect_uris: client.redirect_uris.clone(),
            })
            .collect(),
    }
}

/// The providers that speak OpenID Connect.
fn oidc(config: &Config, world: &Arc<dyn World>) -> Result<Vec<Arc<dyn Provider>>> {
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    for issuer in &config.issuers {
        let Mode::Facade(client) = &issuer.mode else {
            continue;
        };
        let secret = client.secret.as_ref().map(resolved).transpose();
        let secret = secret.with_context(|| format!("issuer `{}`: client_secret", issuer.name))?;
        let client = OidcClient {
            id: client.id.clone(),
            secret,
            scopes: client.scopes.clone(),
            acr_values: client.acr.clone(),
        };
        let fetch = Arc::new(HttpFetch::new());
        let provider = Oidc::new(provider_spec(issuer)?, client, fetch, world.clone())?;
        providers.push(Arc::new(provider));
    }
    Ok(providers)
}

/// The sessions in front of people.
pub(super) struct SessionsDesk {
    pub(super) server: Arc<Server>,
    pub(super) gate: Arc<Gate>,
    /// Every configured resource: who may administer all of them is an administrator.
    pub(super) resources: Vec<String>,
}

impl std::fmt::Debug for SessionsDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionsDesk").finish_non_exhaustive()
    }
}

impl SessionDesk for SessionsDesk {
    fn administers(&self, user: &User) -> bool {
        let rules = self.gate.policies.current();
        let may = |name: &String| rules.may_administer(user, name);
        !self.resources.is_empty() && self.resources.iter().all(may)
    }

    fn list<'a>(&'a self, of: Option<&'a User>) -> BoxFuture<'a, Result<Vec<SessionCard>, Unavailable>> {
        Box::pin(async move {
            let person = of.map(|user| (user.issuer.as_str(), user.subject.as_str()));
            let cards = self.server.sessions.list(person).await.map_err(unavailable)?;
            Ok(cards.into_iter().map(card).collect())
        })
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<SessionCard>, Unavailable>> {
        Box::pin(async move {
            let found = self.server.sessions.card(id).await.map_err(unavailable)?;
            Ok(found.map(card))
        })
    }

    /// On record first: an end nobody can account for is worse than a record of one that failed.
    fn end<'a>(&'a self, id: &'a str, by: &'a User) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            let card = self.server.sessions.card(id).await.map_err(unavailable)?;
            let Some(card) = card else { return Ok(()) };
            let own = card.issuer == by.issuer && card.subject == by.subject;
            let record = json!({
                "change": "session_end",
                "by": by.id(),
                "session": {"id": card.id, "user": format!("{}#{}", card.issuer, card.subject), "client_id": card.client_id},
            });
            self.gate.audit.config_change(record).await.map_err(unavailable)?;
            let why = if own { Why::SignedOut } else { Why::Administrator };
            self.server.sessions.end(id, why).await.map_err(unavailable)?;
            Ok(())
        })
    }
}

fn unavailable(error: impl std::fmt::Display) -> Unavailable {
    tracing::error!("sessions: {error}");
    Unavailable
}

fn card(card: sessions::SessionCard) -> SessionCard {
    let time = |at| Timestamp(at).rfc3339();
    SessionCard {
        id: card.id,
        issuer: card.issuer,
        subject: card.subject,
        client_name: card.client_name,
        client_id: card.client_id,
        verified: card.verified,
        created_at: time(card.created_at),
        used_at: time(card.used_at),
        ends_at: time(card.ends_at),
    }
}
