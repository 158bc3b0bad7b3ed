//! What programs write: made text, made harmless, masked, and only then cut, so that no cut and no boundary
//! between two reads leaves half a secret that nobody recognises.

use std::collections::BTreeMap;

use crate::call::{ScreenStream, is_unseen};

/// One of the two streams.
#[derive(Debug)]
pub(super) struct Channel {
    text: Text,
    screen: Box<dyn ScreenStream>,
    kept: Ends,
    /// Bytes the programs wrote.
    bytes: u64,
}

/// What is left of a stream when it is over.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) text: String,
    pub(super) bytes: u64,
    pub(super) is_cut: bool,
    /// Rule → how often it hid something.
    pub(super) masks: BTreeMap<&'static str, u64>,
}

impl Channel {
    /// `keep`: bytes of the beginning, and of the end, that are kept.
    pub(super) fn new(screen: Box<dyn ScreenStream>, keep: usize) -> Self {
        Self {
            text: Text::default(),
            screen,
            kept: Ends::new(keep),
            bytes: 0,
        }
    }

    /// Takes what was written; gives what may be seen of it now.
    pub(super) fn push(&mut self, written: &[u8]) -> String {
        self.bytes = self.bytes.saturating_add(written.len() as u64);
        let text = self.text.push(written);
        let seen = self.screen.push(&text);
        self.kept.push(&seen);
        seen
    }

    /// The stream is over: the last of what may be seen, and what is kept.
    pub(super) fn finish(mut self) -> (String, Kept) {
        let rest = self.text.finish();
        let mut seen = self.screen.push(&rest);
        let (last, masks) = self.screen.finish();
        seen.push_str(&last);
        self.kept.push(&seen);
        let (text, is_cut) = self.kept.finish();
        let kept = Kept {
            text,
            bytes: self.bytes,
            is_cut,
            masks,
        };
        (seen, kept)
    }
}

/// Bytes → text without anything that acts on a terminal or cannot be seen.
#[derive(Debug, Default)]
struct Text {
    /// The beginning of a character whose rest has not come yet.
    partial: Vec<u8>,
    /// A carriage return that may be half of a line's end.
    returned: bool,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for c in chunk.valid().chars() {
                self.put(c, &mut text);
            }
            let invalid = chunk.invalid();
            let unfinished = chunks.peek().is_none()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if unfinished {
                self.partial = invalid.to_vec();
            } else if !invalid.is_empty() {
                self.put(char::REPLACEMENT_CHARACTER, &mut text);
            }
        }
        text
    }

    fn finish(&mut self) -> String {
        let mut text = String::new();
        if !std::mem::take(&mut self.partial).is_empty() {
            self.put(char::REPLACEMENT_CHARACTER, &mut text);
        }
        if std::mem::take(&mut self.returned) {
            text.push('␍');
        }
        text
    }

    fn put(&mut self, c: char, text: &mut String) {
        if std::mem::take(&mut self.returned) && c != '\n' {
            text.push('␍');
        }
        match c {
            '\r' => self.returned = true,
            '\n' | '\t' => text.push(c),
            // The pictures of the control characters (Unicode block 2400) say what was there.
            '\0'..='\u{1f}' => text.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => text.push('␡'),
            _ if c.is_control() || is_unseen(c) => text.push_str(&format!("<U+{:04X}>", u32::from(c))),
            _ => text.push(c),
        }
    }
}

/// The beginning and the end of a text of any length.
#[derive(Debug)]
struct Ends {
    keep: usize,
    head: String,
    tail: String,
    total: usize,
}

impl Ends {
    fn new(keep: usize) -> Self {
        Self {
            keep,
            head: String::new(),
            tail: String::new(),
            total: 0,
        }
    }

    fn push(&mut self, text: &str) {
        self.total = self.total.saturating_add(text.len());
        let room = if self.tail.is_empty() {
            self.keep.saturating_sub(self.head.len())
        } else {
            0
        };
        let (head, tail) = text.split_at_checked(floor(text, room)).unwrap_or(("", text));
        self.head.push_str(head);
        self.tail.push_str(tail);
        if self.tail.len() > 2 * self.keep {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let start = ceiling(&self.tail, self.tail.len().saturating_sub(self.keep));
        self.tail.drain(..start);
    }

    /// The text, and whether something is left out. Cuts are at lines where there are lines.
    fn finish(mut self) -> (String, bool) {
        if self.head.len() + self.tail.len() == self.total && self.tail.len() <= self.keep {
            self.head.push_str(&self.tail);
            return (self.head, false);
        }
        self.trim();
        if let Some(end) = self.head.rfind('\n') {
            self.head.truncate(end + 1);
        }
        if let Some(end) = self.tail.find('\n') {
            self.tail.drain(..=end);
        }
        let missing = self.total.saturating_sub(self.head.len() + self.tail.len());
        let gap = if self.head.is_empty() || self.head.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let text = format!("{}{gap}[{missing} bytes left out]\n{}", self.head, self.tail);
        (text, true)
    }
}

/// The last edge of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The first edge of a character at or after `at`.
fn ceiling(text: &str, at: usize) -> usize {
    (at..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Open;

    impl ScreenStream for Open {
        fn push(&mut self, text: &str) -> String {
            text.to_owned()
        }
        fn finish(self: Box<Self>) -> (String, BTreeMap<&'static str, u64>) {
            (String::new(), BTreeMap::new())
        }
    }

    fn kept(pieces: &[&[u8]], keep: usize) -> Kept {
        let mut channel = Channel::new(Box::new(Open), keep);
        for piece in pieces {
            channel.push(piece);
        }
        channel.finish().1
    }

    #[test]
    fn what_acts_on_a_terminal_is_shown_instead_and_characters_are_put_together() {
        let whole = "ä\x1b[31m\r\nb\rc\u{7f}\u{85}\u{202e}\0\t€";
        let shown = "ä␛[31m\nb␍c␡<U+0085><U+202E>␀\t€";
        assert_eq!(kept(&[whole.as_bytes()], 1000).text, shown);
        let bytes: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
        assert_eq!(kept(&bytes, 1000).text, shown);
        assert_eq!(
            kept(&[b"a\xff\xe2\x82", b"b\r"], 1000).text,
            "a\u{fffd}\u{fffd}b␍"
        );
    }

    #[test]
    fn the_middle_of_a_long_text_is_left_out_at_lines() {
        let lines: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        let kept = kept(&[lines.as_bytes()], 100);
        assert!(kept.is_cut);
        assert_eq!(kept.bytes, lines.len() as u64);
        let said = kept.text.lines().find(|line| line.starts_with('[')).unwrap();
        let missing: usize = said
            .trim_matches(|c: char| !c.is_ascii_digit())
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let others: usize = kept
            .text
            .lines()
            .filter(|line| *line != said)
            .map(|line| line.len() + 1)
            .sum();
        assert_eq!(missing + others, lines.len());
        assert!(kept.text.starts_with("line 0\n") && kept.text.ends_with("line 999\n"));
    }

    #[test]
    fn one_endless_line_is_cut_between_characters_and_exactly_what_fits_is_whole() {
        let long = "ü".repeat(10_000);
        let cut = kept(&[long.as_bytes()], 101);
        assert!(cut.is_cut && cut.text.len() < 300, "{}", cut.text);
        let fits = "é".repeat(100);
        let whole = kept(&[fits.as_bytes()], 100);
        assert_eq!((whole.text, whole.is_cut), (fits, false));
    }
}
