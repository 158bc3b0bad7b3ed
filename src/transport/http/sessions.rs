//! Sessions of the older protocol era, each bound to the principal that opened it, and few of them.
//!
//! rmcp keeps sessions by id alone. Here an id is worth nothing without the (issuer, subject, client)
//! that opened it: for anybody else the session does not exist. Memory is bounded in all and per
//! person; a person's longest unused session makes room for their newest, and a client whose session
//! is gone gets 404 and opens another, as the protocol tells it to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError,
};
use rmcp::transport::streamable_http_server::session::{ServerSseMessage, SessionId, SessionManager};

use crate::call::Principal;
use crate::clock::World;

/// Who a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    issuer: String,
    subject: String,
    client: String,
}

impl Owner {
    /// The owner a principal is.
    fn of(principal: &Principal) -> Self {
        Self {
            issuer: principal.user.issuer.clone(),
            subject: principal.user.subject.clone(),
            client: principal.agent.client_id.clone(),
        }
    }

    fn same_person(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }
}

/// For whom the current request may open a session, and whether there was no room.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    owner: Owner,
    session: String,
    full: Arc<AtomicBool>,
}

impl Opening {
    /// A request of this principal.
    pub(super) fn new(principal: &Principal) -> Self {
        Self {
            owner: Owner::of(principal),
            session: principal.session.id.clone(),
            full: Arc::default(),
        }
    }

    /// Whether a session was refused for want of room.
    pub(super) fn was_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

tokio::task_local! {
    /// Set by the front around each request, because rmcp opens a session without saying for whom.
    pub(super) static OPENING: Opening;
}

/// Why a session could not be had. The text reaches the log only.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionsError {
    /// rmcp's own.
    #[error(transparent)]
    Local(#[from] LocalSessionManagerError),
    /// A request that did not come through the front.
    #[error("a session without an owner")]
    NoOwner,
    /// Every session of this person is in use, or the server is full.
    #[error("no room for another session")]
    Full,
}

#[derive(Debug)]
struct Held {
    owner: Owner,
    /// The session of the credential that used it last.
    session: String,
    used: Duration,
    in_use: usize,
}

/// The sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    inner: LocalSessionManager,
    held: Mutex<HashMap<SessionId, Held>>,
    world: Arc<dyn World>,
    most: usize,
    most_per_person: usize,
}

/// A session that a request or a stream is using; it makes no room while this lives.
#[derive(Debug)]
pub(super) struct InUse {
    sessions: Arc<Sessions>,
    id: SessionId,
}

impl Sessions {
    /// At most `most` in all and `most_per_person` of one person, each closed after `idle` unused.
    pub(super) fn new(world: Arc<dyn World>, most: usize, most_per_person: usize, idle: Duration) -> Self {
        let mut inner = LocalSessionManager::default();
        inner.session_config.keep_alive = Some(idle);
        Self {
            inner,
            held: Mutex::default(),
            world,
            most,
            most_per_person,
        }
    }

    /// Uses a session, if it exists for this owner. Another's session and none look the same.
    pub(super) fn enter(self: &Arc<Self>, id: &str, principal: &Principal) -> Option<InUse> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, session) = held.get_key_value(id).map(|(id, _)| id.clone()).and_then(|id| {
            let session = held.get_mut(&id)?;
            Some((id, session))
        })?;
        if session.owner != Owner::of(principal) {
            return None;
        }
        session.in_use += 1;
        session.session.clone_from(&principal.session.id);
        session.used = self.world.monotonic();
        Some(InUse {
            sessions: Arc::clone(self),
            id,
        })
    }

    /// Closes what was last used with a credential of this session, which has ended.
    pub(super) async fn close_of(&self, session: &str) {
        let mut gone = Vec::new();
        {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.retain(|id, one| {
                let stays = one.session != session;
                if !stays {
                    gone.push(Arc::clone(id));
                }
                stays
            });
        }
        for id in gone {
            if let Err(error) = self.inner.close_session(&id).await {
                tracing::debug!(%error, "a session was gone already");
            }
        }
    }

    /// Binds a new session to its owner, and says which older one has to go for it.
    fn bind(&self, id: &SessionId, opening: &Opening) -> Result<Option<SessionId>, SessionsError> {
        let owner = &opening.owner;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = held
            .iter()
            .filter(|(_, session)| session.owner.same_person(owner));
        let crowded = mine.clone().count() >= self.most_per_person || held.len() >= self.most;
        let oldest = mine
            .filter(|(_, session)| session.in_use == 0)
            .min_by_key(|(_, session)| session.used)
            .map(|(id, _)| id.clone());
        let gone = match (crowded, oldest) {
            (false, _) => None,
            (true, Some(oldest)) if self.most_per_person > 0 => Some(oldest),
            (true, _) => return Err(SessionsError::Full),
        };
        if let Some(gone) = &gone {
            held.remove(gone);
        }
        held.insert(
            Arc::clone(id),
            Held {
                owner: owner.clone(),
                session: opening.session.clone(),
                used: self.world.monotonic(),
                in_use: 0,
            },
        );
        Ok(gone)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let now = self.sessions.world.monotonic();
        let mut held = self.sessions.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = held.get_mut(&self.id) {
            session.in_use = session.in_use.saturating_sub(1);
            session.used = now;
        }
    }
}

impl SessionManager for Sessions {
    type Error = SessionsError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), SessionsError> {
        let opening = OPENING
            .try_with(Clone::clone)
            .map_err(|_| SessionsError::NoOwner)?;
        let (id, transport) = self.inner.create_session().await?;
        match self.bind(&id, &opening) {
            Ok(None) => Ok((id, transport)),
            Ok(Some(gone)) => {
                self.inner.close_session(&gone).await?;
                Ok((id, transport))
            }
            Err(error) => {
                opening.full.store(true, Ordering::Relaxed);
                self.inner.close_session(&id).await?;
                Err(error)
            }
        }
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, SessionsError> {
        Ok(self.inner.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, SessionsError> {
        Ok(self.inner.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), SessionsError> {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        Ok(self.inner.close_session(id).await?)
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, SessionsError> {
        Ok(self.inner.create_stream(id, message).await?)
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), SessionsError> {
        Ok(self.inner.accept_message(id, message).await?)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, SessionsError> {
        Ok(self.inner.create_standalone_stream(id).await?)
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, SessionsError> {
        Ok(self.inner.resume(id, last_event_id).await?)
    }
}
