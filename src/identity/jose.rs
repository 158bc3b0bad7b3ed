//! Reads a signed token strictly (JWS compact form, RFC 7515; JWT, RFC 7519; advice of RFC 8725).
//!
//! There is one reader, so what is checked is what is used. Nothing a token's header names is ever
//! followed: `jwk`, `jku`, `x5u` and `x5c` are not read at all.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::rejection::Reason;

/// A token longer than this many bytes is not looked at.
pub(super) const TOKEN_BYTES: usize = 16 * 1024;
/// A key id longer than this many bytes is not looked up.
const KEY_ID_BYTES: usize = 256;

/// A signature algorithm an issuer may use: asymmetric ones only, so that no public key can ever be
/// taken for a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each variant is its own name in RFC 7518 and RFC 8037"
)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    /// Ed25519 alone; also written `Ed25519` (RFC 9864).
    EdDSA,
}

impl Algorithm {
    /// What an issuer may use when the configuration does not say.
    pub const DEFAULT: [Self; 5] = [Self::RS256, Self::PS256, Self::ES256, Self::ES384, Self::EdDSA];

    /// The `alg` value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    fn crypto(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::RS384 => jsonwebtoken::Algorithm::RS384,
            Self::RS512 => jsonwebtoken::Algorithm::RS512,
            Self::PS256 => jsonwebtoken::Algorithm::PS256,
            Self::PS384 => jsonwebtoken::Algorithm::PS384,
            Self::PS512 => jsonwebtoken::Algorithm::PS512,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::ES384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Exact names only; `none` and the HMAC family are unknown here.
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Ok(match name {
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "EdDSA" | "Ed25519" => Self::EdDSA,
            _ => return Err(UnknownAlgorithm),
        })
    }
}

/// Not one of [`Algorithm`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known asymmetric algorithm; use RS256, PS256, ES256, ES384 or EdDSA")]
pub struct UnknownAlgorithm;

/// What the header says that we act on.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) media_type: Option<String>,
}

/// A token taken apart. Nothing in it is believed before [`Compact::verify`].
pub(super) struct Compact<'a> {
    pub(super) header: Header,
    pub(super) claims: Map<String, Value>,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes a token apart; refuses everything that is not exactly header.claims.signature.
    pub(super) fn parse(token: &'a str) -> Result<Self, Reason> {
        if token.len() > TOKEN_BYTES {
            return Err(Reason::Oversized);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Reason::Opaque)?;
        let (header, payload) = signed.split_once('.').ok_or(Reason::Opaque)?;
        if payload.contains('.') {
            return Err(Reason::Opaque); // five parts: an encrypted token
        }
        Ok(Self {
            header: Header::read(&part(header)?)?,
            claims: part(payload)?,
            signed,
            signature,
        })
    }

    /// Whether the signature is by this key under the header's algorithm.
    pub(super) fn verify(&self, key: &jsonwebtoken::DecodingKey) -> Result<(), Reason> {
        let algorithm = self.header.algorithm.crypto();
        match jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm) {
            Ok(true) => Ok(()),
            _ => Err(Reason::Signature),
        }
    }
}

impl Header {
    fn read(header: &Map<String, Value>) -> Result<Self, Reason> {
        if header.contains_key("crit") {
            return Err(Reason::Critical); // RFC 7515 §4.1.11: we understand no extension
        }
        let text = |name| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Reason::Malformed),
        };
        let algorithm = text("alg")?.ok_or(Reason::Algorithm)?;
        let key_id = text("kid")?;
        if key_id.as_ref().is_some_and(|id| id.len() > KEY_ID_BYTES) {
            return Err(Reason::UnknownKey);
        }
        Ok(Self {
            algorithm: algorithm.parse().map_err(|UnknownAlgorithm| Reason::Algorithm)?,
            key_id,
            media_type: text("typ")?,
        })
    }
}

fn part(encoded: &str) -> Result<Map<String, Value>, Reason> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Reason::Opaque)?;
    match strict_json(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Reason::Malformed),
    }
}

/// Parses JSON in which no object says the same name twice: two readers could otherwise see two
/// different values (RFC 8725 §2.6, RFC 8259 §4). Depth is bounded by `serde_json` (128).
///
/// # Errors
/// Not JSON, trailing bytes, or a repeated name.
pub(super) fn strict_json(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if map.insert(name, value).is_some() {
                return Err(de::Error::custom("a name is repeated"));
            }
        }
        Ok(Value::Object(map))
    }
}
