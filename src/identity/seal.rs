//! Seals what must not lie open in the store: a fresh key per text, derived from the configured one.
//!
//! XChaCha-like in effect with what TLS already links: HKDF-SHA256 (RFC 5869) over a random salt gives
//! a key that encrypts one text (ChaCha20-Poly1305, RFC 8439), so no nonce can come twice. What the text
//! belongs to is authenticated with it: a sealed text moved to another row does not open.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::clock::World;
use crate::secret::Secret;

const VERSION: u8 = 1;
const SALT: usize = 32;
/// The fewest bytes a configured key must have.
const KEY_BYTES: usize = 32;

/// Seals and opens.
pub struct Seal {
    /// The first seals; all open, so that a key can be replaced.
    keys: Vec<Secret>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seal({} keys)", self.keys.len())
    }
}

/// The key is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealing key has fewer than {KEY_BYTES} bytes; make one with `openssl rand -base64 32`")]
pub struct WeakKey;

impl Seal {
    /// The first key seals, the others still open what they sealed.
    ///
    /// # Errors
    /// A key of fewer than 32 bytes, or none.
    pub fn new(keys: Vec<Secret>) -> Result<Self, WeakKey> {
        let short = |key: &Secret| key.expose().len() < KEY_BYTES;
        if keys.is_empty() || keys.iter().any(short) {
            return Err(WeakKey);
        }
        Ok(Self { keys })
    }

    /// Seals `text` for `about` (the row it belongs to).
    #[must_use]
    pub fn seal(&self, about: &str, text: &[u8], world: &dyn World) -> Option<Vec<u8>> {
        let mut salt = [0; SALT];
        world.random(&mut salt);
        let key = derived(self.keys.first()?, &salt)?;
        let mut sealed = text.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        key.seal_in_place_append_tag(nonce, Aad::from(about.as_bytes()), &mut sealed)
            .ok()?;
        let mut out = Vec::with_capacity(1 + SALT + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&salt);
        out.append(&mut sealed);
        Some(out)
    }

    /// Opens what was sealed for `about`; `None` for anything else.
    #[must_use]
    pub fn open(&self, about: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = sealed.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (salt, body) = rest.split_at_checked(SALT)?;
        self.keys.iter().find_map(|key| {
            let key = derived(key, salt)?;
            let mut text = Zeroizing::new(body.to_vec());
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let length = key
                .open_in_place(nonce, Aad::from(about.as_bytes()), &mut text)
                .ok()?
                .len();
            text.truncate(length);
            Some(text)
        })
    }
}

fn derived(key: &Secret, salt: &[u8]) -> Option<LessSafeKey> {
    let extracted = Salt::new(HKDF_SHA256, salt).extract(key.expose().as_bytes());
    let expanded = extracted
        .expand(&[b"tollgate sealed v1"], &CHACHA20_POLY1305)
        .ok()?;
    Some(LessSafeKey::new(UnboundKey::from(expanded)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::System;

    fn seal(keys: &[&str]) -> Seal {
        Seal::new(keys.iter().map(|key| Secret::new((*key).to_owned())).collect()).unwrap()
    }

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    #[test]
    fn only_the_right_key_and_row_open_it() {
        let world = System::new();
        let sealed = seal(&[OLD]).seal("session/1", b"refresh", &world).unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"refresh"));
        assert_eq!(*seal(&[NEW, OLD]).open("session/1", &sealed).unwrap(), b"refresh");
        assert!(seal(&[OLD]).open("session/2", &sealed).is_none());
        assert!(seal(&[NEW]).open("session/1", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(seal(&[OLD]).open("session/1", &bent).is_none(), "byte {at}");
            assert!(
                seal(&[OLD]).open("session/1", &sealed[..at]).is_none(),
                "cut at {at}"
            );
        }
        assert_ne!(
            seal(&[OLD]).seal("session/1", b"refresh", &world).unwrap(),
            sealed
        );
    }

    #[test]
    fn a_short_key_is_none() {
        assert_eq!(
            Seal::new(vec![Secret::new("short".to_owned())]).unwrap_err(),
            WeakKey
        );
        assert_eq!(Seal::new(Vec::new()).unwrap_err(), WeakKey);
    }
}
