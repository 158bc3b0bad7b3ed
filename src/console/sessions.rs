//! Browsers that are signed in: a random cookie, its hash here, a quarter of an hour.
//!
//! Held by this process alone: a restart signs everybody out, which costs them a sign-in and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::call::Hash;
use crate::clock::World;
use crate::identity::people::Person;

/// How long a session lasts, whatever happens in it.
pub(super) const LIFE: Duration = Duration::from_mins(15);
/// Most sessions at once: each belongs to somebody whom an issuer vouched for.
const MOST: usize = 4_096;

/// The open sessions.
pub(super) struct Sessions {
    open: Mutex<HashMap<Hash, Session>>,
    /// Makes form tokens. As old as this process.
    key: [u8; 32],
    world: Arc<dyn World>,
}

struct Session {
    person: Person,
    /// Monotonic.
    until: Duration,
}

/// Somebody's session, as found by their cookie.
#[derive(Debug, Clone)]
pub(super) struct Seated {
    pub(super) person: Person,
    /// Of the cookie's value.
    pub(super) hash: Hash,
}

impl Sessions {
    pub(super) fn new(world: Arc<dyn World>) -> Self {
        let mut key = [0; 32];
        world.random(&mut key);
        Self {
            open: Mutex::default(),
            key,
            world,
        }
    }

    /// Opens a session; gives the cookie's value, which is not kept.
    pub(super) fn open(&self, person: Person) -> String {
        let mut random = [0; 32];
        self.world.random(&mut random);
        let cookie = URL_SAFE_NO_PAD.encode(random);
        let now = self.world.monotonic();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| now < session.until);
        if open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, session)| session.until);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                open.remove(&oldest);
            }
        }
        let session = Session {
            person,
            until: now + LIFE,
        };
        open.insert(Hash::of(cookie.as_bytes()), session);
        cookie
    }

    /// Who sends this cookie.
    pub(super) fn find(&self, cookie: &str) -> Option<Seated> {
        let hash = Hash::of(cookie.as_bytes());
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get(&hash)?;
        (self.world.monotonic() < session.until).then(|| Seated {
            person: session.person.clone(),
            hash,
        })
    }

    /// Whether a session is still open.
    pub(super) fn stands(&self, seated: &Seated) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get(&seated.hash);
        session.is_some_and(|session| self.world.monotonic() < session.until)
    }

    /// Ends a session.
    pub(super) fn close(&self, cookie: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&Hash::of(cookie.as_bytes()));
    }

    /// The token of one form: for this session, and for exactly what the form is about.
    pub(super) fn token(&self, seated: &Seated, about: &[&str]) -> String {
        self.code(seated, about)
            .map(|code| URL_SAFE_NO_PAD.encode(code.finalize().into_bytes()))
            .unwrap_or_default()
    }

    /// Whether a token is this form's; in constant time.
    pub(super) fn is_token(&self, seated: &Seated, about: &[&str], token: &str) -> bool {
        let sent = URL_SAFE_NO_PAD.decode(token).ok();
        let code = self.code(seated, about);
        sent.zip(code)
            .is_some_and(|(sent, code)| code.verify_slice(&sent).is_ok())
    }

    fn code(&self, seated: &Seated, about: &[&str]) -> Option<Hmac<Sha256>> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        code.update(&seated.hash.0);
        for part in about {
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part.as_bytes());
        }
        Some(code)
    }
}
