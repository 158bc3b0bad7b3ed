//! Secrets behind one layer of base64 or hexadecimal.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::bytes::Regex;

use super::engine::{Engine, Scratch, Span, compile};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD_ANY: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const URL_SAFE_ANY: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

/// Shortest token that is decoded, in characters.
pub(super) const SHORTEST: usize = 24;

/// Adds a span for every token that decodes to text in which something would be hidden. Decoded text is
/// not decoded again, and a token is looked at once: the work is bounded by the length of the text.
pub(super) fn find(engine: &Engine, unit: &[u8], base: usize, scratch: &mut Scratch) {
    static TOKEN: OnceLock<Option<Regex>> = OnceLock::new();
    let Some(token) = TOKEN.get_or_init(|| compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")) else {
        // A row of the table would hide the line; here there is no line, so all is hidden.
        scratch.spans.push(Span {
            start: base,
            end: base + unit.len(),
            rule: u16::MAX,
        });
        return;
    };
    for found in token.find_iter(unit) {
        scratch.work += found.len() as u64;
        if let Some(rule) = hit(engine, found.as_bytes()) {
            scratch.spans.push(Span {
                start: base + found.start(),
                end: base + found.end(),
                rule,
            });
        }
    }
}

/// The rule that hides what a token decodes to.
fn hit(engine: &Engine, token: &[u8]) -> Option<u16> {
    let hex = token.len().is_multiple_of(2) && token.iter().all(u8::is_ascii_hexdigit);
    let text = hex
        .then(|| unhex(token))
        .flatten()
        .and_then(printable)
        .or_else(|| base64_text(token))?;
    engine.first_hit(text.as_bytes())
}

/// The rule that hides a whole base64 value, whatever its length (a blob).
pub(super) fn blob(engine: &Engine, value: &str) -> Option<u16> {
    engine.first_hit(base64_text(value.as_bytes())?.as_bytes())
}

fn base64_text(token: &[u8]) -> Option<String> {
    let url_safe = token.iter().any(|byte| b"-_".contains(byte));
    let decoder = if url_safe { &URL_SAFE_ANY } else { &STANDARD_ANY };
    // The first bytes say whether it is text at all, which nearly nothing is.
    let head = decoder
        .decode(token.get(..SHORTEST.min(token.len() / 4 * 4))?)
        .ok()?;
    if head.iter().any(|byte| *byte < 0x20 && !b"\t\r\n".contains(byte)) {
        return None;
    }
    decoder.decode(token).ok().and_then(printable)
}

fn printable(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

fn unhex(token: &[u8]) -> Option<Vec<u8>> {
    token
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
