//! Paths inside a commit: raw bytes in git, one spelling towards the agent.
//!
//! A name is shown as it is when it is UTF-8. Bytes that are not, and characters that could spoof a
//! line or a name (controls, line separators, bidirectional and zero-width marks), are shown as
//! `%XX`, upper case; a literal `%` is shown as `%25` only where two hexadecimal digits follow it.
//! Decoding what is shown gives the name back, byte for byte, and only that spelling is accepted, so
//! that policy, record and hiding all see one text per path.

use crate::call::{Code, Refusal};

/// Longest path that is listed, read or searched, in bytes: what an operating system would take.
pub(super) const MAX_PATH: usize = 4096;

/// A validated path: component names joined by `/`, no leading or trailing slash; empty is the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreePath(Vec<u8>);

impl TreePath {
    /// Reads the agent's spelling.
    ///
    /// # Errors
    /// `invalid_arguments` saying what is wrong with the spelling; it knows nothing of what exists.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        if text.len() > MAX_PATH * 3 {
            return Err(invalid(
                "`path` is too long",
                "Name a file as file_list shows it.",
            ));
        }
        let mut raw = Vec::with_capacity(text.len());
        for (position, component) in text.split('/').enumerate() {
            let name = decode(component);
            if let Some(wrong) = fault(&name) {
                return Err(invalid(
                    format!("`path` {wrong}: `{text}`"),
                    "Write it from the repository's root, as src/main.rs, without a leading or trailing slash; \"\" is the root.",
                ));
            }
            if position > 0 {
                raw.push(b'/');
            }
            raw.extend_from_slice(&name);
        }
        let path = Self(raw);
        let shown = path.shown();
        if shown != text {
            return Err(invalid(
                format!("`path` is not written as file_list shows it: `{text}`"),
                format!("Write `{shown}`."),
            ));
        }
        if path.0.len() > MAX_PATH {
            return Err(invalid(
                "`path` is too long",
                "Name a file as file_list shows it.",
            ));
        }
        Ok(path)
    }

    /// The component names, from the root.
    pub(super) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// The bytes, `/`-separated.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The one spelling.
    pub(super) fn shown(&self) -> String {
        show(&self.0)
    }
}

/// Whether a tree entry's name can be part of a path at all. Names that cannot (empty, `.`, `..`,
/// with a slash or NUL inside) exist only in trees made to hurt; they are not offered.
pub(super) fn addressable(name: &[u8]) -> bool {
    fault(name).is_none()
}

fn fault(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        return Some("has an empty component");
    }
    if name == b"." || name == b".." {
        return Some("has a `.` or `..` component");
    }
    if name.contains(&b'/') {
        return Some("has a slash inside a component");
    }
    if name.contains(&0) {
        return Some("has a NUL byte");
    }
    None
}

fn invalid(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidArguments, message, suggestion)
}

/// Bytes of a name or path as text; lossless, see the module.
pub(super) fn show(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut at = 0;
    for chunk in raw.utf8_chunks() {
        for character in chunk.valid().chars() {
            let next = at + character.len_utf8();
            let escape_percent = character == '%' && hexadecimal_pair(raw, next).is_some();
            if escape_percent || deceptive(character) {
                character
                    .encode_utf8(&mut [0; 4])
                    .bytes()
                    .for_each(|byte| push_escaped(&mut out, byte));
            } else {
                out.push(character);
            }
            at = next;
        }
        chunk
            .invalid()
            .iter()
            .for_each(|byte| push_escaped(&mut out, *byte));
        at += chunk.invalid().len();
    }
    out
}

fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match hexadecimal_pair(bytes, at + 1).filter(|_| byte == b'%') {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn hexadecimal_pair(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let high = digit(*bytes.get(at)?)?;
    let low = digit(*bytes.get(at + 1)?)?;
    u8::try_from(high * 16 + low).ok()
}

fn push_escaped(out: &mut String, byte: u8) {
    use std::fmt::Write;
    let _ = write!(out, "%{byte:02X}");
}

/// Characters that change how the text around them looks, or that nobody sees.
fn deceptive(character: char) -> bool {
    character.is_control() || invisible(character) || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Zero-width and direction marks. File systems such as HFS+ ignore some of them in names.
pub(super) fn invisible(character: char) -> bool {
    matches!(
        character,
        '\u{00ad}'
            | '\u{061c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}
