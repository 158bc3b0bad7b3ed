//! What was offered, kept beside the log so that it can be erased without breaking a proof.
//!
//! The record holds SHA-256(salt ‖ bytes). The salt lies with the bytes and goes with them: after an
//! erasure nobody can confirm a guess of what was offered.

use std::cell::Cell;
use std::io::{BufWriter, Read, Result, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::beside;
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
/// Hashing takes about as long as compressing so much less: whoever hashes compresses only what is behind this part of
/// the text.
const AHEAD: usize = 4;

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
/// This is what stands before the text.
fn keep_structured(answer: &Masked, out: &mut impl Write) -> Result<()> {
    out.write_all(b"{")?;
    if let Some(recording) = answer.recording() {
        out.write_all(b"\"recording\":")?;
        canonical::text(recording, out)?;
        out.write_all(b",")?;
    }
    out.write_all(b"\"structured\":")?;
    answer.write_canonical(out)
}

const TEXT: &[u8] = b",\"text\":";
const END: &[u8] = b"}";

fn keep(answer: &Masked, out: &mut impl Write) -> Result<()> {
    keep_structured(answer, out)?;
    out.write_all(TEXT)?;
    out.write_all(answer.quoted_text().as_bytes())?;
    out.write_all(END)
}

/// SHA-256(salt ‖ bytes).
#[must_use]
pub fn commitment(salt: &[u8], bytes: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(bytes);
    Hash(hash.finalize().into())
}

/// Hashes and counts what is written to it.
struct Hashed {
    hash: Sha256,
    bytes: usize,
}

impl Hashed {
    fn of(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len();
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.of(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Hashes, counts and compresses what is written to it, in one go.
struct Sink<'a> {
    hashed: &'a mut Hashed,
    encoder: &'a mut ZlibEncoder<Vec<u8>>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        for piece in bytes.chunks(PIECE) {
            self.hashed.of(piece);
            self.encoder.write_all(piece)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Payload {
    pub(crate) fn new(answer: &Masked, world: &dyn World) -> Result<Self> {
        let mut salt = [0; 32];
        world.random(&mut salt);
        let mut hashed = Hashed {
            hash: Sha256::new_with_prefix(salt),
            bytes: 0,
        };
        let data = match answer.text_bytes() > beside::WORTH_IT {
            true => at_once(answer, &mut hashed)?,
            false => in_one_go(answer, &mut hashed)?,
        };
        Ok(Self {
            commitment: Hash(hashed.hash.finalize().into()),
            bytes: hashed.bytes,
            data: data.into(),
            salt,
        })
    }
}

/// Hashes and compresses an answer as it is written.
fn in_one_go(answer: &Masked, hashed: &mut Hashed) -> Result<Vec<u8>> {
    let mut encoder = ENCODER.take().unwrap_or_else(encoder);
    let sink = Sink {
        hashed,
        encoder: &mut encoder,
    };
    let mut buffer = BufWriter::with_capacity(BUFFER, sink);
    keep(answer, &mut buffer)?;
    let bytes = buffer.into_inner()?.hashed.bytes;
    let data = encoder.reset(Vec::new())?;
    if bytes <= REUSE_BELOW {
        ENCODER.set(Some(encoder));
    }
    Ok(data)
}

fn encoder() -> ZlibEncoder<Vec<u8>> {
    ZlibEncoder::new(Vec::new(), Compression::fast())
}

/// Hashes a large answer while it is compressed, in two parts.
fn at_once(answer: &Masked, hashed: &mut Hashed) -> Result<Vec<u8>> {
    let text = answer.quoted_text().as_bytes();
    let (ahead, rest) = text.split_at(text.len() / AHEAD);
    let first = || {
        deflated(|out| {
            keep_structured(answer, out)?;
            out.write_all(TEXT)?;
            out.write_all(ahead)
        })
    };
    let (first, second) = beside::both(first, || {
        let mut buffer = BufWriter::with_capacity(BUFFER, hashed);
        keep(answer, &mut buffer)?;
        buffer.flush()?;
        deflated(|out| {
            out.write_all(rest)?;
            out.write_all(END)
        })
    });
    Ok(joined(first?, &second?))
}

/// A part that was compressed apart.
struct Part {
    /// Without the mark of its end: one whole of bytes (RFC 1951, 3.2.4, as an empty block of them ends it).
    blocks: Vec<u8>,
    /// The mark, and the checksum.
    end: Vec<u8>,
    bytes: u64,
}

fn deflated(write: impl FnOnce(&mut BufWriter<&mut Counted>) -> Result<()>) -> Result<Part> {
    let mut counted = Counted {
        encoder: encoder(),
        bytes: 0,
    };
    let mut buffer = BufWriter::with_capacity(BUFFER, &mut counted);
    write(&mut buffer)?;
    buffer.flush()?; // to a whole byte
    drop(buffer);
    let length = counted.encoder.get_ref().len();
    let mut blocks = counted.encoder.finish()?;
    let end = blocks.split_off(length);
    Ok(Part {
        blocks,
        end,
        bytes: counted.bytes,
    })
}

/// Compresses and counts.
struct Counted {
    encoder: ZlibEncoder<Vec<u8>>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = self.encoder.write(bytes)?;
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> Result<()> {
        self.encoder.flush()
    }
}

/// The header that a stream begins with, in bytes, and the checksum that it ends with (RFC 1950, 2.2).
const HEADER: usize = 2;
const CHECKSUM: usize = 4;

/// One stream of two parts: blocks of the one do not look back into the other.
fn joined(first: Part, second: &Part) -> Vec<u8> {
    let mut data = first.blocks;
    data.extend_from_slice(second.blocks.get(HEADER..).unwrap_or_default());
    let (mark, checksum) = second.end.split_at(second.end.len().saturating_sub(CHECKSUM));
    let before = first.end.last_chunk().copied().unwrap_or_default();
    let after = checksum.last_chunk().copied().unwrap_or_default();
    let whole = adler(
        u32::from_be_bytes(before),
        u32::from_be_bytes(after),
        second.bytes,
    );
    data.extend_from_slice(mark);
    data.extend_from_slice(&whole.to_be_bytes());
    data
}

/// The Adler-32 of a whole from those of its parts (RFC 1950, 8.2): the low half is one more than the sum of the bytes, the
/// high half the sum of all low halves on the way, each of which, in the second part, has the sum of the first in it.
fn adler(before: u32, after: u32, bytes: u64) -> u32 {
    const MODULUS: u64 = 65_521;
    let halves = |sum: u32| (u64::from(sum & 0xffff), u64::from(sum >> 16));
    let ((low, high), (low_after, high_after)) = (halves(before), halves(after));
    let sum = low + MODULUS - 1; // of the first part's bytes
    let low = (sum + low_after) % MODULUS;
    let high = (high + high_after + bytes % MODULUS * (sum % MODULUS)) % MODULUS;
    u32::try_from(high << 16 | low).unwrap_or_default() // two halves of 16 bits
}

/// The bytes back from the store.
///
/// # Errors
/// When they are not what was stored.
pub fn inflate(data: &[u8]) -> Result<Vec<u8>> {
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
pub fn read_offered(bytes: &[u8]) -> Result<Offered> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::clock::System;

    /// The stream of two parts, and what is read from it: the decoder compares the checksum.
    fn through(parts: [&[u8]; 2]) -> Vec<u8> {
        let [first, second] = parts.map(|part| deflated(|out| out.write_all(part)).unwrap());
        inflate(&joined(first, &second)).unwrap()
    }

    proptest! {
        #[test]
        fn two_parts_are_one_stream(first: Vec<u8>, second: Vec<u8>, times in 1..2_000_usize) {
            let (first, second) = (first.repeat(times), second.repeat(times));
            prop_assert_eq!(through([&first, &second]), [first, second].concat());
        }
    }

    #[test]
    fn parts_may_be_empty_or_beyond_every_modulus() {
        for (first, second) in [(0, 0), (0, 70_000), (70_000, 0), (300_000, 65_521), (1, 200_000)] {
            let (first, second) = (vec![0xff; first], vec![0xfe; second]);
            assert_eq!(through([&first, &second]), [first, second].concat());
        }
    }

    /// An answer is kept as the same bytes, whichever way.
    #[test]
    fn what_is_kept_at_once_is_what_is_kept_in_one_go() {
        let word = "a word, \"one\" \\ of many\n";
        for times in [0, 1, 400, 6_000, 40_000] {
            let text = word.repeat(times);
            let answer = Masked::for_tests(json!({"data": {"text": text}, "b": 1.0}), text, false);
            let kept = |work: fn(&Masked, &mut Hashed) -> Result<Vec<u8>>| {
                let mut hashed = Hashed {
                    hash: Sha256::new(),
                    bytes: 0,
                };
                let data = work(&answer, &mut hashed).unwrap();
                (inflate(&data).unwrap(), hashed.bytes, hashed.hash.finalize())
            };
            let (whole, bytes, hash) = kept(in_one_go);
            assert_eq!(kept(at_once), (whole.clone(), bytes, hash));
            assert_eq!(whole.len(), bytes);
            let payload = Payload::new(&answer, &System::new()).unwrap();
            assert_eq!(inflate(&payload.data).unwrap(), whole);
            assert_eq!(commitment(&payload.salt, &whole), payload.commitment);
            assert_eq!(payload.bytes, bytes);
        }
    }
}
