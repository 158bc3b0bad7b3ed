//! Text compressed in parts, each by itself, that make one zlib stream when they are put behind one another.

use std::cell::Cell;
use std::fmt;
use std::io::{Result, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::ZlibEncoder;

thread_local! {
    /// Setting up a compressor costs several times what compressing a small answer does. One is some hundred kilobytes,
    /// and goes with its thread, which a pool lets go when there is nothing to do.
    static ENCODER: Cell<Option<ZlibEncoder<Vec<u8>>>> = const { Cell::new(None) };
}

/// A part that was compressed apart.
pub(crate) struct Part {
    /// With the header and without the mark of the end: one whole of bytes (RFC 1951, 3.2.4, as an empty block of them ends
    /// it).
    blocks: Vec<u8>,
    /// The mark, which is the same for all.
    mark: Vec<u8>,
    checksum: u32,
    /// How much text it is.
    bytes: u64,
}

impl Part {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("bytes", &self.bytes)
            .field("packed", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

/// Somebody who is written to, and may be told that what comes was compressed already.
pub(crate) trait Packing: Write {
    /// What is written until the next call of this is what `part` is of, or of no part.
    fn known(&mut self, part: Option<&Arc<Part>>);
}

/// Somebody who is told in vain.
pub(crate) struct Unpacked<'w, W>(pub(crate) &'w mut W);

impl<W: Write> Write for Unpacked<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Packing for Unpacked<'_, W> {
    fn known(&mut self, _: Option<&Arc<Part>>) {}
}

/// The header that a stream begins with, in bytes, and the checksum that it ends with (RFC 1950, 2.2).
const HEADER: usize = 2;
const CHECKSUM: usize = 4;
/// With the mark before the checksum, at most.
const END: usize = 16;

/// Compresses all of what `write` writes; the whole is a stream.
///
/// # Errors
/// Those of `write`.
pub(crate) fn whole(write: impl FnOnce(&mut ZlibEncoder<Vec<u8>>) -> Result<()>) -> Result<Vec<u8>> {
    let mut encoder = ENCODER.take().unwrap_or_else(encoder);
    write(&mut encoder)?;
    let data = encoder.reset(Vec::new())?;
    ENCODER.set(Some(encoder));
    Ok(data)
}

fn encoder() -> ZlibEncoder<Vec<u8>> {
    ZlibEncoder::new(Vec::new(), Compression::fast())
}

/// Compresses a part.
///
/// # Errors
/// There are none that a text could cause.
pub(crate) fn part(text: &[u8]) -> Result<Part> {
    let mut length = 0;
    let mut blocks = whole(|encoder| {
        encoder.write_all(text)?;
        encoder.flush()?; // to a whole byte
        length = encoder.get_ref().len();
        Ok(())
    })?;
    let mut mark = blocks.split_off(length);
    let checksum = mark.split_off(mark.len().saturating_sub(CHECKSUM));
    Ok(Part {
        blocks,
        mark,
        checksum: u32::from_be_bytes(checksum.last_chunk().copied().unwrap_or_default()),
        bytes: text.len() as u64,
    })
}

/// One stream of all parts: blocks of the one do not look back into another.
pub(crate) fn joined(parts: &[Arc<Part>]) -> Vec<u8> {
    let sum = |each: fn(&Part) -> usize| parts.iter().map(|part| each(part)).sum::<usize>();
    let mut stream = Vec::with_capacity(sum(|part| part.blocks.len()) + END);
    let mut checksum = None;
    for part in parts {
        let (skipped, so_far) = match checksum {
            None => (0, part.checksum),
            Some(before) => (HEADER, adler(before, part.checksum, part.bytes)),
        };
        stream.extend_from_slice(part.blocks.get(skipped..).unwrap_or_default());
        checksum = Some(so_far);
    }
    if let (Some(last), Some(checksum)) = (parts.last(), checksum) {
        stream.extend_from_slice(&last.mark);
        stream.extend_from_slice(&checksum.to_be_bytes());
    }
    stream
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;
    use proptest::prelude::*;

    use super::*;

    /// The stream of parts, and what is read from it: the decoder compares the checksum.
    fn through(parts: &[&[u8]]) -> Vec<u8> {
        let each: Vec<_> = parts.iter().map(|one| Arc::new(part(one).unwrap())).collect();
        let stream = joined(&each);
        let (mut read, mut decoder) = (Vec::new(), ZlibDecoder::new(&*stream));
        decoder.read_to_end(&mut read).unwrap();
        assert_eq!(decoder.total_in(), stream.len() as u64, "and nothing behind it");
        read
    }

    proptest! {
        #[test]
        fn parts_are_one_stream(parts in prop::collection::vec(any::<Vec<u8>>(), 1..5), times in 1..2_000_usize) {
            let parts: Vec<_> = parts.iter().map(|part| part.repeat(times)).collect();
            let each: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(through(&each), parts.concat());
        }
    }

    #[test]
    fn parts_may_be_empty_or_beyond_every_modulus() {
        for (first, second) in [(0, 0), (0, 70_000), (70_000, 0), (300_000, 65_521), (1, 200_000)] {
            let (first, second) = (vec![0xff; first], vec![0xfe; second]);
            assert_eq!(through(&[&first, &second]), [first, second].concat());
        }
    }
}
