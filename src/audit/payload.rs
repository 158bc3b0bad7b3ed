//! What was offered, kept beside the log so that it can be erased without breaking a proof.
//!
//! The record holds SHA-256(salt ‖ bytes). The salt lies with the bytes and goes with them: after an
//! erasure nobody can confirm a guess of what was offered.

use std::io::{BufWriter, Error, Read, Result, Write};
use std::sync::Arc;

use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::beside::{self, Beside};
use crate::call::{Hash, canonical};
use crate::clock::World;
use crate::mask::Masked;
use crate::packed::{self, Packing, Part, Unpacked};

/// No answer is larger; a stored one that inflates beyond this is not ours.
const INFLATED_MAX: u64 = 256 * 1024 * 1024;

const BUFFER: usize = 8 * 1024;
/// What is compressed next was hashed just now, and is still near.
const NEAR: usize = 32 * 1024;
/// So much of a large text is compressed at once.
const PIECE: usize = 128 * 1024;

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
fn keep(answer: &Masked, out: &mut impl Packing) -> Result<()> {
    out.write_all(b"{")?;
    if let Some(recording) = answer.recording() {
        out.write_all(b"\"recording\":")?;
        canonical::text(recording, out)?;
        out.write_all(b",")?;
    }
    out.write_all(b"\"structured\":")?;
    answer.pack(out)?;
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

/// Hashes and counts.
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

/// Hashes, counts and compresses what is written to it, in one go.
struct Sink<'a> {
    hashed: &'a mut Hashed,
    encoder: &'a mut ZlibEncoder<Vec<u8>>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        for piece in bytes.chunks(NEAR) {
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
    packed::whole(|encoder| {
        let mut buffer = BufWriter::with_capacity(BUFFER, Sink { hashed, encoder });
        keep(answer, &mut Unpacked(&mut buffer))?;
        buffer.flush()
    })
}

/// Hashes a large answer while it is compressed, in pieces, but for those that were compressed while it was made.
fn at_once(answer: &Masked, hashed: &mut Hashed) -> Result<Vec<u8>> {
    let mut press = Press {
        hashed,
        beside: Beside::new(|piece: Vec<u8>, _| packed::part(&piece)),
        piece: Vec::new(),
        pieces: 0,
        known: Vec::new(),
        is_known: false,
    };
    keep(answer, &mut press)?;
    press.end()
}

/// Hashes and counts what is written to it, and has it compressed.
struct Press<'a> {
    hashed: &'a mut Hashed,
    beside: Beside<Vec<u8>, Result<Part>>,
    /// What is to be compressed next.
    piece: Vec<u8>,
    /// How many have been put before it.
    pieces: usize,
    /// Parts that are compressed, each with how many pieces were put before it.
    known: Vec<(usize, Arc<Part>)>,
    is_known: bool,
}

impl Press<'_> {
    /// What is to be compressed is put, and compressed here where it cannot be beside this.
    fn put(&mut self) {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.hashed.of(&piece);
        self.beside.put(piece);
        self.pieces += 1;
        while !self.beside.has_room() && self.beside.help() {}
    }

    fn end(mut self) -> Result<Vec<u8>> {
        self.put();
        let pieces = self.beside.end();
        let pieces = pieces.ok_or_else(|| Error::other("a piece of an answer could not be compressed"))?;
        let (mut parts, mut known) = (Vec::new(), self.known.into_iter().peekable());
        for (number, piece) in pieces.into_iter().enumerate() {
            while let Some((_, part)) = known.next_if(|(before, _)| *before <= number) {
                parts.push(part);
            }
            parts.push(Arc::new(piece?));
        }
        let bytes: u64 = parts.iter().map(|part| part.bytes()).sum();
        match bytes == self.hashed.bytes as u64 {
            true => Ok(packed::joined(&parts)),
            false => Err(Error::other(
                "what was compressed of an answer is not what was hashed",
            )),
        }
    }
}

impl Write for Press<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.is_known {
            self.hashed.of(bytes);
            return Ok(bytes.len());
        }
        let piece = bytes
            .split_at(bytes.len().min(PIECE.saturating_sub(self.piece.len())))
            .0;
        self.piece.extend_from_slice(piece);
        if self.piece.len() >= PIECE {
            self.put();
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Packing for Press<'_> {
    fn known(&mut self, part: Option<&Arc<Part>>) {
        self.is_known = part.is_some();
        if let Some(part) = part {
            if !self.piece.is_empty() {
                self.put();
            }
            self.known.push((self.pieces, Arc::clone(part)));
        }
    }
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
    use serde_json::json;

    use super::*;
    use crate::call::{CallId, RawOutput, Table};
    use crate::clock::System;
    use crate::mask::Mask;

    /// What is kept of an answer, one way.
    fn kept(answer: &Masked, work: fn(&Masked, &mut Hashed) -> Result<Vec<u8>>) -> (Vec<u8>, usize, Hash) {
        let mut hashed = Hashed {
            hash: Sha256::new(),
            bytes: 0,
        };
        let data = work(answer, &mut hashed).unwrap();
        (
            inflate(&data).unwrap(),
            hashed.bytes,
            Hash(hashed.hash.finalize().into()),
        )
    }

    /// An answer is kept as the same bytes, whichever way.
    fn either_way(answer: &Masked) {
        let (whole, bytes, hash) = kept(answer, in_one_go);
        assert_eq!(kept(answer, at_once), (whole.clone(), bytes, hash));
        assert_eq!(whole.len(), bytes);
        let payload = Payload::new(answer, &System::new()).unwrap();
        assert_eq!(inflate(&payload.data).unwrap(), whole);
        assert_eq!(commitment(&payload.salt, &whole), payload.commitment);
        assert_eq!(payload.bytes, bytes);
        assert_eq!(read_offered(&whole).unwrap().text, answer.text());
    }

    #[tokio::test]
    async fn what_is_kept_at_once_is_what_is_kept_in_one_go() {
        let word = "a word, \"one\" \\ of many\n";
        for times in [0, 1, 400, 6_000, 40_000] {
            let text = word.repeat(times);
            either_way(&Masked::for_tests(
                json!({"data": {"text": text}, "b": 1.0}),
                text,
                false,
            ));
        }
    }

    /// Rows that were compressed while they came, and among them some that were not: `masked` is where one is hidden.
    #[test]
    fn what_was_compressed_before_is_kept_as_it_is() {
        let one_helper = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let _inside = one_helper.enter();
        let head = || ["id", "share", "note"].map(str::to_owned).to_vec();
        for masked in [None, Some(0), Some(4_500), Some(8_999)] {
            let mut table = Table::looked_at_by(3, Some(Mask::new().lookahead()));
            for number in 0..9_000 {
                let mut row = table.row();
                row.integer(number);
                row.whole("12");
                match masked == Some(number) {
                    true => row.unescaped("somebody@corp.example"),
                    false => row.unescaped("nothing in particular"),
                }
                assert!(row.keep());
                if number % 100 == 0 {
                    // It is done with all that it was given before.
                    one_helper.block_on(tokio::task::spawn_blocking(|| ())).unwrap();
                }
            }
            let raw = RawOutput::of_table((head(), head()), table);
            let answer = Mask::new().output(&CallId::new(7, &[7; 10]), raw);
            let mut known = Counted::default();
            keep(&answer, &mut known).unwrap();
            assert!(known.0 >= 3, "{} parts were compressed", known.0);
            assert_eq!(answer.text().contains("[masked:email]"), masked.is_some());
            either_way(&answer);
        }
    }

    #[tokio::test]
    async fn rows_without_columns_are_kept_as_they_are() {
        let mut table = Table::looked_at_by(0, Some(Mask::new().lookahead()));
        (0..60_000).for_each(|_| assert!(table.row().keep()));
        let raw = RawOutput::of_table((Vec::new(), Vec::new()), table);
        either_way(&Mask::new().output(&CallId::new(7, &[7; 10]), raw));
    }

    /// How many parts are known.
    #[derive(Default)]
    struct Counted(usize);

    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    impl Packing for Counted {
        fn known(&mut self, part: Option<&Arc<Part>>) {
            self.0 += usize::from(part.is_some());
        }
    }
}
