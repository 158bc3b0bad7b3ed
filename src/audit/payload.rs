//! What was offered, kept beside the log so that it can be erased without breaking a proof.
//!
//! The record holds SHA-256(salt ‖ bytes). The salt lies with the bytes and goes with them: after an
//! erasure nobody can confirm a guess of what was offered.

use std::cell::Cell;
use std::io::{BufWriter, Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::call::{Hash, canonical};
use crate::clock::World;
use crate::mask::Masked;

/// No answer is larger; a stored one that inflates beyond this is not ours.
const INFLATED_MAX: u64 = 256 * 1024 * 1024;

/// Large answers are compressed on threads that come and go; their encoders go with them.
const REUSE_BELOW: usize = 64 * 1024;
const BUFFER: usize = 8 * 1024;
/// What is compressed next was hashed just now, and is still near.
const PIECE: usize = 32 * 1024;

thread_local! {
    /// Setting up a compressor costs several times what compressing a small answer does.
    static ENCODER: Cell<Option<ZlibEncoder<Vec<u8>>>> = const { Cell::new(None) };
}

/// An answer, ready to be kept.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: Hash,
    /// Size of the bytes committed to.
    pub(crate) bytes: usize,
    /// zlib-compressed.
    pub(crate) data: Arc<[u8]>,
}

/// What an answer is kept as: canonical JSON of its structured and its text form, and of its recording.
fn keep(answer: &Masked, out: &mut impl Write) -> std::io::Result<()> {
    out.write_all(b"{")?;
    if let Some(recording) = answer.recording() {
        out.write_all(b"\"recording\":")?;
        canonical::text(recording, out)?;
        out.write_all(b",")?;
    }
    out.write_all(b"\"structured\":")?;
    answer.write_canonical(out)?;
    out.write_all(b",\"text\":")?;
    out.write_all(answer.quoted_text().as_bytes())?;
    out.write_all(b"}")
}

/// SHA-256(salt ‖ bytes).
#[must_use]
pub fn commitment(salt: &[u8], bytes: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(bytes);
    Hash(hash.finalize().into())
}

/// Hashes, counts and compresses what is written to it, in one go: an answer may be large.
struct Sink<'a> {
    hash: Sha256,
    bytes: usize,
    encoder: &'a mut ZlibEncoder<Vec<u8>>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for piece in bytes.chunks(PIECE) {
            self.hash.update(piece);
            self.encoder.write_all(piece)?;
        }
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Payload {
    pub(crate) fn new(answer: &Masked, world: &dyn World) -> std::io::Result<Self> {
        let mut salt = [0; 32];
        world.random(&mut salt);
        let mut encoder = ENCODER
            .take()
            .unwrap_or_else(|| ZlibEncoder::new(Vec::new(), Compression::fast()));
        let sink = Sink {
            hash: Sha256::new_with_prefix(salt),
            bytes: 0,
            encoder: &mut encoder,
        };
        let mut buffer = BufWriter::with_capacity(BUFFER, sink);
        keep(answer, &mut buffer)?;
        let Sink { hash, bytes, .. } = buffer.into_inner()?;
        let data = encoder.reset(Vec::new())?.into();
        if bytes <= REUSE_BELOW {
            ENCODER.set(Some(encoder));
        }
        Ok(Self {
            commitment: Hash(hash.finalize().into()),
            bytes,
            data,
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
    /// The recording of a command (asciicast), which was not offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
}

/// Reads the bytes of an answer.
///
/// # Errors
/// When they are not of that form.
pub fn read_offered(bytes: &[u8]) -> std::io::Result<Offered> {
    let mut value: Value = serde_json::from_slice(bytes)?;
    let part = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let (text, recording) = (part("text"), part("recording"));
    match (value.get_mut("structured").map(Value::take), text) {
        (Some(structured), Some(text)) => Ok(Offered {
            structured,
            text,
            recording,
        }),
        _ => Err(std::io::Error::other("not an answer")),
    }
}
