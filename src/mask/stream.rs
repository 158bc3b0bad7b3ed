//! Masks a text that arrives in pieces. The result is the same however the text is cut.
//!
//! Held back: the line that is not complete, and lines of base64 that a later END may turn out to be a
//! key. Both are bounded: of a line longer than [`SEGMENT`] only the overlap of two windows is kept, and
//! of base64 what [`pem`](super::pem) remembers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::engine::{self, CONTEXT, Engine, SEGMENT, Scratch, Span};
use super::pem::{Edges, Hidden, Lines};

/// Masks one text in pieces. Push, push, finish.
#[derive(Debug)]
pub struct StreamMasker {
    engine: Arc<Engine>,
    /// What has not left yet.
    buffer: String,
    /// Offset of the buffer's first byte in the whole text.
    base: usize,
    /// Offset up to which lines were given to `lines`.
    fed: usize,
    /// Start of a line longer than [`SEGMENT`] and the number of its next window.
    long: Option<(usize, usize)>,
    lines: Lines,
    /// Spans found and not applied yet, at offsets in the whole text.
    spans: Vec<Span>,
    /// A mask is shown up to here.
    covered: usize,
    scratch: Scratch,
    hidden: Vec<Hidden>,
    partial: Vec<u8>,
    counts: BTreeMap<&'static str, u64>,
}

impl StreamMasker {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            buffer: String::new(),
            base: 0,
            fed: 0,
            long: None,
            lines: Lines::new(Edges::default()),
            spans: Vec::new(),
            covered: 0,
            scratch: Scratch::default(),
            hidden: Vec::new(),
            partial: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Takes the next piece; gives what may leave now (perhaps nothing).
    pub fn push(&mut self, chunk: &str) -> String {
        self.buffer.push_str(chunk);
        let mut out = String::new();
        self.advance(false, &mut out);
        out
    }

    /// Takes the next bytes. Characters may be cut; what is not UTF-8 becomes U+FFFD.
    pub fn push_bytes(&mut self, chunk: &[u8]) -> String {
        self.partial.extend_from_slice(chunk);
        let bytes = std::mem::take(&mut self.partial);
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(piece) = chunks.next() {
            text.push_str(piece.valid());
            let invalid = piece.invalid();
            let cut = chunks.peek().is_none()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if cut {
                self.partial.extend_from_slice(invalid);
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.push(&text)
    }

    /// The text is over: gives the rest, and how often each rule hid something.
    #[must_use]
    pub fn finish(mut self) -> (String, BTreeMap<&'static str, u64>) {
        if !self.partial.is_empty() {
            self.buffer.push(char::REPLACEMENT_CHARACTER);
        }
        let mut out = String::new();
        self.advance(true, &mut out);
        (out, self.counts)
    }

    /// Bytes held back now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes the patterns were asked to look at so far: the measure of work, in place of time.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.scratch.work
    }

    fn end(&self) -> usize {
        self.base + self.buffer.len()
    }

    fn advance(&mut self, over: bool, out: &mut String) {
        loop {
            let bytes = self.buffer.as_bytes();
            let searched = self.fed - self.base;
            let feed = bytes.get(searched..).and_then(|rest| memchr::memchr(b'\n', rest));
            let line_end = feed.map(|feed| self.fed + feed + 1);
            let stop = line_end.unwrap_or(self.end());
            let start = self.long.map_or(self.fed, |(start, _)| start);
            let complete = line_end.is_some() || over;
            if self.long.is_some() || stop - start > SEGMENT {
                if !self.long_line(start, stop, complete, out) {
                    return;
                }
            } else if complete && stop > self.fed {
                let line = bytes.get(searched..stop - self.base).unwrap_or_default();
                self.lines.line(self.fed, line, &mut self.hidden);
                self.fed = stop;
            } else {
                break;
            }
        }
        if over {
            self.lines.finish(&mut self.hidden);
        }
        let settled = if over { self.fed } else { self.lines.settled() };
        self.release(settled, out);
    }

    /// Looks at complete lines up to an offset and lets them go.
    fn release(&mut self, to: usize, out: &mut String) {
        if to > self.base {
            let length = to - self.base;
            self.scratch.spans.clear();
            self.engine
                .unit(self.buffer.as_bytes(), 0..length, true, &mut self.scratch);
            let base = self.base;
            self.spans
                .extend(self.scratch.spans.drain(..).map(|span| shifted(span, base)));
            self.write(to, out);
        }
    }

    /// Goes on with a line that is too long; `false` when more text is needed first.
    fn long_line(&mut self, start: usize, stop: usize, complete: bool, out: &mut String) -> bool {
        if self.long.is_none() {
            self.lines.long(start, &mut self.hidden);
            self.release(start, out);
        }
        let (_, mut index) = self.long.unwrap_or((start, 0));
        while index * SEGMENT < stop - start {
            let window = engine::window(index, stop - start);
            let whole = (index + 1) * SEGMENT + CONTEXT;
            if !complete && stop - start <= whole {
                break;
            }
            self.scratch.spans.clear();
            let (from, to) = (start + window.start - self.base, start + window.end - self.base);
            self.engine
                .unit(self.buffer.as_bytes(), from..to, true, &mut self.scratch);
            let edge = start + window.end;
            let base = self.base;
            let open = edge < stop || !complete;
            self.spans.extend(self.scratch.spans.drain(..).map(|span| {
                let mut span = shifted(span, base);
                if open && span.end >= edge {
                    span.end = usize::MAX;
                }
                span
            }));
            index += 1;
            self.long = Some((start, index));
            if stop - start > index * SEGMENT {
                self.write(start + index * SEGMENT - CONTEXT, out);
            }
        }
        self.long = Some((start, index));
        self.fed = stop;
        if complete {
            for span in self.spans.iter_mut().filter(|span| span.end == usize::MAX) {
                span.end = stop;
            }
            if self.covered == usize::MAX {
                self.covered = stop;
            }
            self.write(stop, out);
            self.lines.long(stop, &mut self.hidden);
            self.long = None;
        }
        complete
    }

    /// Applies the spans that begin before `to` and lets the text before `to` go.
    fn write(&mut self, to: usize, out: &mut String) {
        let to = self.base + engine::floor(&self.buffer, to - self.base);
        self.spans.extend(self.hidden.drain(..).map(engine::span));
        let (mut now, later): (Vec<Span>, Vec<Span>) = self.spans.drain(..).partition(|span| span.start < to);
        self.spans = later;
        engine::unite(&mut now);
        let mut at = self.base;
        for span in now {
            if span.start >= self.covered {
                let start = self.floor(span.start.max(at));
                out.push_str(self.slice(at.max(self.covered), start));
                engine::show(out, span.rule, &mut self.counts);
                at = start;
            }
            self.covered = self.covered.max(self.ceiling(span.end));
        }
        out.push_str(self.slice(at.max(self.covered), to));
        self.buffer.drain(..to - self.base);
        self.base = to;
    }

    fn slice(&self, from: usize, to: usize) -> &str {
        if from >= to {
            return "";
        }
        self.buffer
            .get(from - self.base..to - self.base)
            .unwrap_or_default()
    }

    fn floor(&self, at: usize) -> usize {
        self.base + engine::floor(&self.buffer, at - self.base)
    }

    fn ceiling(&self, at: usize) -> usize {
        if at >= self.end() {
            return at;
        }
        let mut at = at;
        while !self.buffer.is_char_boundary(at - self.base) {
            at += 1;
        }
        at
    }
}

fn shifted(mut span: Span, base: usize) -> Span {
    span.start += base;
    span.end += base;
    span
}
