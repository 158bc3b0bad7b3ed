//! An issuer's published keys (JWK Set, RFC 7517), reduced to those a signature may be checked with.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::jose::{Algorithm, strict_json};

/// The most keys one issuer may publish.
const KEYS: usize = 100;
/// The shortest RSA modulus accepted, in bits (RFC 7518 §3.3), and the longest.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// What kind of key, which decides the algorithms it may be used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A public key. Its `Debug` shows no key material.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) decoding: DecodingKey,
    kind: Kind,
    /// The one algorithm the issuer says it is for.
    algorithm: Option<Algorithm>,
}

impl Key {
    /// Whether this key may check this algorithm: the key's type decides, never the token alone.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        let by_kind = match self.kind {
            Kind::Rsa => matches!(
                algorithm,
                A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512
            ),
            Kind::P256 => algorithm == A::ES256,
            Kind::P384 => algorithm == A::ES384,
            Kind::Ed25519 => algorithm == A::EdDSA,
        };
        by_kind && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// `None` for whatever is not a sound public signature key: symmetric keys, keys for encryption,
    /// unknown types and curves, weak keys, and private keys (published, they are no secret any more).
    fn read(jwk: &Value) -> Option<Self> {
        let text = |name| jwk.get(name).and_then(Value::as_str);
        if jwk.get("d").is_some() || text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations
                .as_array()?
                .iter()
                .any(|operation| operation == "verify")
        {
            return None;
        }
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(name.as_str()?.parse().ok()?),
        };
        let bytes = |name| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let point = |width: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == width && y.len() == width).then_some(())?;
            DecodingKey::from_ec_components(text("x")?, text("y")?).ok()
        };
        let (kind, decoding) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                sound_rsa(&modulus, &exponent).then_some(())?;
                (
                    Kind::Rsa,
                    DecodingKey::from_rsa_raw_components(&modulus, &exponent),
                )
            }
            ("EC", Some("P-256")) => (Kind::P256, point(32)?),
            ("EC", Some("P-384")) => (Kind::P384, point(48)?),
            ("OKP", Some("Ed25519")) => {
                let raw: [u8; 32] = bytes("x")?.try_into().ok()?; // jsonwebtoken panics on a shorter one
                let key = ed25519_dalek::VerifyingKey::from_bytes(&raw).ok()?;
                (!key.is_weak()).then_some(())?;
                (Kind::Ed25519, DecodingKey::from_ed_der(&raw))
            }
            _ => return None,
        };
        Some(Self {
            decoding,
            kind,
            algorithm,
        })
    }
}

/// A modulus of a sound length and an odd exponent above 1.
fn sound_rsa(modulus: &[u8], exponent: &[u8]) -> bool {
    let first = modulus.iter().position(|byte| *byte != 0);
    let bits = first.map_or(0, |zeros| {
        let top = modulus.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
        (modulus.len() - zeros) * 8 - top
    });
    let odd = exponent.last().is_some_and(|byte| byte & 1 == 1);
    let one = exponent.iter().map(|byte| u32::from(*byte)).sum::<u32>() == 1 && exponent.last() == Some(&1);
    RSA_BITS.contains(&bits) && odd && !one && exponent.len() <= 4
}

/// The usable keys of one issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    by_id: HashMap<String, Arc<Key>>,
    /// The only key, when the set has exactly one: a token may then leave `kid` out.
    only: Option<Arc<Key>>,
}

impl KeySet {
    /// Reads a JWK Set. Unusable keys are passed over; of keys that share an id none is kept,
    /// because which one was meant cannot be known.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document = strict_json(bytes).map_err(|error| format!("the key set is not JSON: {error}"))?;
        let list = document.get("keys").and_then(Value::as_array);
        let list = list.ok_or("the key set has no list `keys`")?;
        if list.len() > KEYS {
            return Err(format!("the key set has more than {KEYS} keys"));
        }
        let mut named: HashMap<&str, Vec<Arc<Key>>> = HashMap::new();
        let mut all = Vec::new();
        for jwk in list {
            let Some(key) = Key::read(jwk).map(Arc::new) else {
                continue;
            };
            if let Some(id) = jwk.get("kid").and_then(Value::as_str) {
                named.entry(id).or_default().push(Arc::clone(&key));
            }
            all.push(key);
        }
        let single = |(id, keys): (&str, Vec<Arc<Key>>)| match <[Arc<Key>; 1]>::try_from(keys) {
            Ok([key]) => Some((id.to_owned(), key)),
            Err(_) => None,
        };
        Ok(Self {
            by_id: named.into_iter().filter_map(single).collect(),
            only: <[Arc<Key>; 1]>::try_from(all).ok().map(|[key]| key),
        })
    }

    /// The key of this id, if it fits the algorithm. The id is compared, never interpreted.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<Key>> {
        let key = match id {
            Some(id) => self.by_id.get(id),
            None => self.only.as_ref(),
        };
        key.filter(|key| key.fits(algorithm)).cloned()
    }

    /// How many keys can be named.
    pub(super) fn len(&self) -> usize {
        self.by_id.len().max(usize::from(self.only.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::sound_rsa;

    #[test]
    fn weak_rsa_keys_are_unusable() {
        let modulus = |bits: usize| {
            let mut bytes = vec![0xff; bits.div_ceil(8)];
            bytes[0] = 0xff >> (bytes.len() * 8 - bits);
            bytes
        };
        let e = [1, 0, 1];
        for bits in [2048, 3072, 4096] {
            assert!(sound_rsa(&modulus(bits), &e), "{bits}");
            assert!(
                sound_rsa(&[vec![0, 0], modulus(bits)].concat(), &e),
                "{bits} after zeros"
            );
        }
        for bits in [8, 512, 1024, 2047, 4097, 16_384] {
            assert!(!sound_rsa(&modulus(bits), &e), "{bits}");
        }
        assert!(!sound_rsa(&[0; 256], &e));
        assert!(!sound_rsa(&[], &e));
        for exponent in [&[][..], &[1], &[0, 0, 1], &[2], &[1, 0, 0], &[1, 0, 0, 0, 1]] {
            assert!(!sound_rsa(&modulus(2048), exponent), "{exponent:?}");
        }
        assert!(sound_rsa(&modulus(2048), &[3]));
    }
}
