//! Until when each caller's newest token is good, and the opaque ones, to ask about them again.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::recent::Recent;
use crate::call::Principal;

/// Half of the callers remembered. One that is forgotten does not stand: they call again.
const HALF: usize = 16_384;

/// Half of the opaque tokens kept: of at most 4 KiB each.
const TOKENS_HALF: usize = 2_048;

/// Issuer, subject, client, session.
type Key = (String, String, String, String);

/// What the newest token of a caller is.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// In seconds since the epoch.
    expires: u64,
    /// Its issuer was asked, so it may take the token back before.
    opaque: bool,
}

/// By caller. Shows no token.
pub(super) struct Standing {
    known: Mutex<Recent<Key, Known>>,
    /// Opaque tokens, in memory alone.
    tokens: Mutex<Recent<Key, Token>>,
}

/// A token, erased when nobody needs it any more.
pub(super) type Token = Arc<Zeroizing<String>>;

/// Whether an issuer can be asked whether a caller still stands.
pub(super) enum Again {
    /// Their token says all there is.
    Needless,
    /// About this token.
    Ask(Token),
    /// It would have to be, but the token is not kept any more.
    Forgotten,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            known: Mutex::new(Recent::new(HALF)),
            tokens: Mutex::new(Recent::new(TOKENS_HALF)),
        }
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

impl Standing {
    /// The caller was admitted by a token that expires then. An older token does not shorten it: the
    /// newer one is in their hands. `opaque` is the token itself when only its issuer knows what it is.
    pub(super) fn note(&self, principal: &Principal, expires: u64, opaque: Option<&str>) {
        let key = key(principal);
        if let Some(token) = opaque {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            let same = |kept: &mut Token| kept.as_str() == token;
            if !tokens.get(&key).is_some_and(same) {
                tokens.put(key.clone(), Arc::new(Zeroizing::new(token.to_owned())));
            }
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(&key).map_or(0, |known| known.expires);
        let noted = Known {
            expires: expires.max(before),
            opaque: opaque.is_some(),
        };
        known.put(key, noted);
    }

    /// Whether the issuer of the caller's newest token can be asked about it.
    pub(super) fn again(&self, principal: &Principal) -> Again {
        let key = key(principal);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&key) {
            Some(known) if !known.opaque => return Again::Needless,
            None => return Again::Forgotten,
            Some(_) => {}
        }
        drop(known);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(&key).cloned();
        token.map_or(Again::Forgotten, Again::Ask)
    }

    /// Until when the caller's newest token is good.
    pub(super) fn until(&self, principal: &Principal) -> Option<u64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key(principal)).map(|known| known.expires)
    }
}

fn key(principal: &Principal) -> Key {
    (
        principal.user.issuer.clone(),
        principal.user.subject.clone(),
        principal.agent.client_id.clone(),
        principal.session.id.clone(),
    )
}
