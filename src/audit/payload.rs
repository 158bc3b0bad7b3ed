//! What was offered, kept beside the log so that it can be erased without breaking a proof.
//!
//! The record holds SHA-256(salt ‖ bytes). The salt lies with the bytes and goes with them: after an
//! erasure nobody can confirm a guess of what was offered.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::call::{Hash, canonical};
use crate::clock::World;
use crate::mask::Masked;

/// No answer is larger; a stored one that inflates beyond this is not ours.
const INFLATED_MAX: u64 = 256 * 1024 * 1024;

/// An answer, ready to be kept.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: Hash,
    /// Size of the bytes committed to.
    pub(crate) bytes: usize,
    /// zlib-compressed.
    pub(crate) data: Vec<u8>,
}

/// The bytes an answer is kept as: canonical JSON of its structured and its text form.
pub(crate) fn offered_bytes(answer: &Masked) -> Vec<u8> {
    canonical(&json!({"structured": answer.envelope(), "text": answer.text()}))
}

/// SHA-256(salt ‖ bytes).
#[must_use]
pub fn commitment(salt: &[u8], bytes: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(bytes);
    Hash(hash.finalize().into())
}

impl Payload {
    pub(crate) fn new(answer: &Masked, world: &dyn World) -> std::io::Result<Self> {
        let bytes = offered_bytes(answer);
        let mut salt = [0; 32];
        world.random(&mut salt);
        let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 4 + 64), Compression::fast());
        encoder.write_all(&bytes)?;
        Ok(Self {
            commitment: commitment(&salt, &bytes),
            bytes: bytes.len(),
            data: encoder.finish()?,
            salt,
        })
    }
}

/// The bytes back from the store.
///
/// # Errors
/// When they are not what was stored.
pub fn inflate(data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(data)
        .take(INFLATED_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An answer as the model was offered it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Offered {
    /// The structured content.
    pub structured: Value,
    /// The text form.
    pub text: String,
}

/// Reads the bytes of an answer.
///
/// # Errors
/// When they are not of that form.
pub fn read_offered(bytes: &[u8]) -> std::io::Result<Offered> {
    let mut value: Value = serde_json::from_slice(bytes)?;
    let text = value.get("text").and_then(Value::as_str).map(str::to_owned);
    match (value.get_mut("structured").map(Value::take), text) {
        (Some(structured), Some(text)) => Ok(Offered { structured, text }),
        _ => Err(std::io::Error::other("not an answer")),
    }
}
