//! The access token of the moment, from a login that is kept: read, renewed when it is about to end, and
//! renewed by one process at a time.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Mutex;

use super::cache::{Cache, Lock, Room};
use super::grant::{self, Fault};
use super::{Credential, Login, LoginError, Site, Tokens};
use crate::clock::World;
use crate::identity::fetch::Fetch;
use crate::secret::Secret;

/// A person's login at one server.
#[derive(Debug)]
pub struct Access {
    site: Site,
    cache: Cache,
    fetch: Arc<dyn Fetch>,
    world: Arc<dyn World>,
    /// What was renewed and could not be kept: good for this process alone.
    unkept: Mutex<Option<Tokens>>,
}

/// What became of a logout at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// There was no login.
    None,
    /// The server ended it.
    Ended,
    /// The server could not be told, and why; here it is forgotten.
    Untold(String),
}

impl Access {
    /// The login at a server, whether there is one or not.
    #[must_use]
    pub fn new(site: Site, cache: Cache, fetch: Arc<dyn Fetch>, world: Arc<dyn World>) -> Self {
        Self {
            site,
            cache,
            fetch,
            world,
            unkept: Mutex::default(),
        }
    }

    /// Keeps a new login in the place of the old one, which the server is asked to end.
    ///
    /// # Errors
    /// It cannot be kept; then the server is asked to end the new one.
    pub async fn keep(&self, login: &Login) -> Result<(), LoginError> {
        let kept = self.replace(login).await;
        if kept.is_err() {
            let _ = self.revoke(login).await; // a session that nobody can use or end should not stay open
        }
        kept
    }

    async fn replace(&self, login: &Login) -> Result<(), LoginError> {
        let lock = self.cache.lock(&self.site).await?;
        // One that cannot be read is replaced all the same; one that nobody of us wrote is refused by write.
        let old = lock.read(&self.site).await.ok().flatten();
        let room = lock.room()?;
        lock.write(room, login).await?;
        lock.remember(&self.site);
        if let Some(old) = old
            && let Err(why) = self.revoke(&old).await
        {
            tracing::debug!(%why, "the former login could not be ended at the server");
        }
        Ok(())
    }

    /// Ends the login here, and at the server if it can be told.
    ///
    /// # Errors
    /// It cannot be forgotten here.
    pub async fn end(&self) -> Result<Ending, LoginError> {
        let lock = self.cache.lock(&self.site).await?;
        let login = match lock.read(&self.site).await {
            Ok(None) => {
                lock.remove().await?;
                return Ok(Ending::None);
            }
            Ok(Some(login)) => login,
            // It lives on there, and without the file nothing would lead to it any more.
            Err(locked @ LoginError::Keyring(_)) => return Err(locked),
            Err(unreadable) => {
                lock.remove().await?;
                return Ok(Ending::Untold(unreadable.to_string()));
            }
        };
        let told = self.revoke(&login).await;
        lock.remove().await?;
        Ok(told.map_or_else(Ending::Untold, |()| Ending::Ended))
    }

    /// The login that is kept.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn login(&self) -> Result<Login, LoginError> {
        let login = self.cache.read(&self.site).await?;
        login.ok_or_else(|| LoginError::LoggedOut(self.site.server().to_owned()))
    }

    /// RFC 7009: the refresh token, with which the session ends, else the access token.
    async fn revoke(&self, login: &Login) -> Result<(), String> {
        let endpoint = login.revocation_endpoint.as_ref();
        let endpoint = endpoint.ok_or("it offers no revocation; the login there ends by itself")?;
        let (token, kind) = match &login.tokens.refresh {
            Some(refresh) => (refresh, "refresh_token"),
            None => (&login.tokens.access, "access_token"),
        };
        let fields = [
            ("token", token.expose()),
            ("token_type_hint", kind),
            ("client_id", login.key.client_id.as_str()),
        ];
        let form = crate::identity::fetch::Form {
            fields: &fields,
            authorization: None,
        };
        let answer = self.fetch.post(endpoint, form).await;
        match answer.map_err(|error| error.to_string())?.status {
            200..=299 => Ok(()),
            status => Err(format!("it answered HTTP {status}")),
        }
    }

    async fn current(&self, refused: Option<&Secret>) -> Result<Secret, LoginError> {
        let mut unkept = self.unkept.lock().await;
        let now = self.world.now().seconds();
        let good = |tokens: &Tokens| tokens.lasts(now) && refused != Some(&tokens.access);
        if let Some(tokens) = unkept.as_ref().filter(|tokens| good(tokens)) {
            return Ok(tokens.access.clone());
        }
        let login = self.login().await?;
        if good(&login.tokens) {
            return Ok(login.tokens.access);
        }
        let lock = self.cache.lock(&self.site).await?;
        // Another process may have renewed it while we waited: then its result is ours.
        let mut login = lock
            .read(&self.site)
            .await?
            .ok_or_else(|| LoginError::LoggedOut(self.site.server().to_owned()))?;
        if good(&login.tokens) {
            return Ok(login.tokens.access);
        }
        if let Some(newer) = unkept.take() {
            login.tokens = newer; // the file still has the one before it
        }
        let kept = self.renew(&lock, &mut login, refused).await?;
        if !kept {
            *unkept = Some(login.tokens.clone());
        }
        Ok(login.tokens.access)
    }

    /// Renews a login under its lock. `false` when the result could not be kept.
    async fn renew(
        &self,
        lock: &Lock<'_>,
        login: &mut Login,
        refused: Option<&Secret>,
    ) -> Result<bool, LoginError> {
        let now = self.world.now().seconds();
        // What is left of the old token is better than nothing, unless the server has just refused it.
        let instead = |login: &mut Login, error: LoginError| {
            if login.tokens.expires_at > now && refused != Some(&login.tokens.access) {
                tracing::warn!(%error, "using the rest of the present access token");
                return Ok(true);
            }
            Err(error)
        };
        let ended = || LoginError::Ended(self.site.server().to_owned());
        let Some(refresh) = login.tokens.refresh.clone() else {
            return instead(login, ended());
        };
        let room = match lock.room() {
            Ok(room) => room,
            Err(error) => return instead(login, error),
        };
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", login.key.client_id.as_str()),
            ("refresh_token", refresh.expose()),
            ("resource", login.key.resource.as_str()),
        ];
        match grant::ask(
            self.fetch.as_ref(),
            self.world.as_ref(),
            &login.token_endpoint,
            &fields,
        )
        .await
        {
            Ok(mut tokens) => {
                tokens.refresh = tokens.refresh.or(Some(refresh)); // RFC 6749 section 6: the old one stays
                login.tokens = tokens;
                Ok(kept(lock, room, login).await)
            }
            Err(Fault::Word(word)) if word == "invalid_grant" => {
                lock.give_back(room);
                lock.remove().await?;
                Err(ended())
            }
            Err(Fault::Word(word)) => {
                lock.give_back(room);
                instead(login, LoginError::Refused(word))
            }
            Err(Fault::Away(why)) => {
                lock.give_back(room);
                instead(login, LoginError::Away(why))
            }
        }
    }
}

/// Puts a renewed login on disk. `false` when that failed although there was room: the person is told.
async fn kept(lock: &Lock<'_>, room: Room, login: &Login) -> bool {
    let written = lock.write(room, login).await;
    if let Err(error) = &written {
        tracing::warn!(
            %error,
            "the renewed login could not be kept: the one on disk is good for a short while only. Make room soon, \
             else log in again"
        );
    }
    written.is_ok()
}

impl Credential for Access {
    fn token(&self) -> BoxFuture<'_, Result<Secret, LoginError>> {
        Box::pin(self.current(None))
    }

    fn instead<'a>(&'a self, refused: &'a Secret) -> BoxFuture<'a, Result<Secret, LoginError>> {
        Box::pin(self.current(Some(refused)))
    }
}
