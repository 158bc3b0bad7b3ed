//! Finds and replaces: one automaton for all keywords, then each row's pattern on the lines that need it.
//!
//! No row matches across a line feed, so lines are independent of each other (keys over several lines
//! are followed by [`pem`](super::pem)). A line of more than [`SEGMENT`] bytes is looked at in windows
//! that overlap by twice [`CONTEXT`], at offsets counted from the line's start: what is found does not
//! depend on how the text arrived. A match that is still going on at the end of a window is hidden up to
//! the end of its line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, Input, Match, MatchKind};
use regex::bytes::Regex;

use super::detectors::{Candidate, DETECTORS};
use super::encoded;
use super::pem::{Edges, Hidden, Lines};

/// Longest line that is looked at in one piece, in bytes.
pub(super) const SEGMENT: usize = 64 * 1024;

/// How far a window reaches beyond its segment, in bytes: longest secret that is surely found whole.
pub(super) const CONTEXT: usize = 16 * 1024;

/// Shorter texts cannot hold anything a row looks for.
pub(super) const SHORTEST: usize = 6;

/// Nor can shorter ones, or ones without a digit, hold anything that a row without keywords looks for.
pub(super) const SHORTEST_NUMBER: usize = 13;

/// A set of rows; there are fewer than 128.
type Rows = u128;

/// What is hidden and why. `rule` counts the rows from 1; 0 continues a key that is already masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
    pub rule: u16,
}

/// Marks a range that vanishes without a mask of its own.
pub(super) const CONTINUES: u16 = 0;
/// The first row, which also names what [`pem`](super::pem) finds.
pub(super) const PRIVATE_KEY: u16 = 1;

/// The id of a span's rule.
pub(super) fn id(rule: u16) -> &'static str {
    usize::from(rule)
        .checked_sub(1)
        .and_then(|row| DETECTORS.get(row))
        .map_or("private-key", |row| row.id)
}

/// Reused between texts, so that a cell in which nothing is found costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub spans: Vec<Span>,
    ranges: Vec<Range<usize>>,
    hidden: Vec<Hidden>,
    /// Bytes that patterns and checks were asked to look at: what tests count instead of time.
    pub work: u64,
}

/// The compiled table.
#[derive(Debug)]
pub(super) struct Engine {
    /// A table of all transitions, a few hundred kilobytes: every cell of every answer goes through it.
    prefilter: Option<DFA>,
    /// Which rows want a keyword, by the automaton's pattern number.
    owners: Vec<Rows>,
    /// Compiled when first needed; `None` if that fails, and then the line is hidden.
    patterns: Vec<OnceLock<Option<Regex>>>,
    everywhere: Rows,
}

impl Engine {
    pub(super) fn new() -> Self {
        let mut keywords: BTreeMap<String, Rows> = BTreeMap::new();
        let mut everywhere = 0;
        for (row, detector) in DETECTORS.iter().enumerate() {
            let bit = 1 << row;
            if detector.keywords.is_empty() {
                everywhere |= bit;
            }
            for keyword in detector.keywords {
                *keywords.entry(keyword.to_ascii_lowercase()).or_default() |= bit;
            }
        }
        Self {
            prefilter: DFA::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .build(keywords.keys())
                .ok(),
            owners: keywords.into_values().collect(),
            patterns: DETECTORS.iter().map(|_| OnceLock::new()).collect(),
            everywhere,
        }
    }

    /// Masks a whole text; `None` when nothing is hidden. Adds to `counts` by rule id.
    pub(super) fn mask(
        &self,
        text: &str,
        edges: Edges,
        scratch: &mut Scratch,
        counts: &mut BTreeMap<&'static str, u64>,
    ) -> Option<String> {
        scratch.spans.clear();
        self.scan(text.as_bytes(), edges, true, scratch);
        if scratch.spans.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(text.len());
        let mut spans = std::mem::take(&mut scratch.spans);
        unite(&mut spans);
        let mut at = 0;
        for span in &spans {
            let (start, end) = (floor(text, span.start.max(at)), ceiling(text, span.end));
            out.push_str(text.get(at..start).unwrap_or_default());
            show(&mut out, span.rule, counts);
            at = end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        spans.clear();
        scratch.spans = spans;
        Some(out)
    }

    /// What [`Self::mask`] would replace, with the rule of each: in order, apart.
    pub(super) fn hidden(&self, text: &str, edges: Edges) -> Vec<(Range<usize>, &'static str)> {
        let mut scratch = Scratch::default();
        self.scan(text.as_bytes(), edges, true, &mut scratch);
        unite(&mut scratch.spans);
        let mut at = 0;
        let mut hidden = Vec::with_capacity(scratch.spans.len());
        for span in &scratch.spans {
            let (start, end) = (floor(text, span.start.max(at)), ceiling(text, span.end));
            hidden.push((start..end, id(span.rule)));
            at = end;
        }
        hidden
    }

    /// The rule of the first thing found, without looking into encodings.
    pub(super) fn first_hit(&self, text: &[u8]) -> Option<u16> {
        let mut scratch = Scratch::default();
        self.scan(text, Edges::default(), false, &mut scratch);
        scratch
            .spans
            .iter()
            .min_by_key(|span| (span.start, span.rule))
            .map(|span| span.rule.max(PRIVATE_KEY))
    }

    /// Adds the spans of a whole text, unsorted.
    pub(super) fn scan(&self, text: &[u8], edges: Edges, decode: bool, scratch: &mut Scratch) {
        if text.len() < SHORTEST {
            return;
        }
        let mut markers = edges.start || edges.end;
        let mut unit = 0;
        if text.len() > SEGMENT {
            let mut at = 0;
            while at < text.len() {
                let end = line_end(text, at);
                if end - at > SEGMENT {
                    markers |= self.unit(text, unit..at, decode, scratch);
                    for window in windows(end - at) {
                        markers |= self.window(text, at, end, &window, decode, scratch);
                    }
                    unit = end;
                }
                at = end;
            }
        }
        markers |= self.unit(text, unit..text.len(), decode, scratch);
        if markers {
            keys(text, edges, scratch);
        }
        if edges.cut {
            scratch.spans.extend(cut_token(text));
        }
    }

    /// One window of the long line `start..end`. What it finds at its far edge is hidden to the line's end.
    pub(super) fn window(
        &self,
        text: &[u8],
        start: usize,
        end: usize,
        window: &Range<usize>,
        decode: bool,
        scratch: &mut Scratch,
    ) -> bool {
        let first = scratch.spans.len();
        let range = start + window.start..(start + window.end).min(end);
        let edge = range.end;
        let markers = self.unit(text, range, decode, scratch);
        if edge < end {
            for span in scratch
                .spans
                .iter_mut()
                .skip(first)
                .filter(|span| span.end >= edge)
            {
                span.end = end;
            }
        }
        markers
    }

    /// Looks at whole lines, or at one window of a line. Says whether markers of private keys are there.
    pub(super) fn unit(&self, text: &[u8], range: Range<usize>, decode: bool, scratch: &mut Scratch) -> bool {
        let (base, Some(unit)) = (range.start, text.get(range)) else {
            return false;
        };
        if unit.is_empty() {
            return false;
        }
        let mut all: Rows = 0;
        scratch.work += unit.len() as u64;
        match &self.prefilter {
            Some(prefilter) if !holds_keyword(prefilter, unit) => {} // nearly every cell
            prefilter => {
                let hits = prefilter.as_ref();
                match hits.and_then(|hits| hits.try_find_overlapping_iter(Input::new(unit)).ok()) {
                    Some(hits) => all = self.lines(unit, base, hits, scratch),
                    None => {
                        all = Rows::MAX;
                        self.rows(unit, base, &(0..unit.len()), Rows::MAX, scratch);
                    }
                }
            }
        }
        if unit.len() >= SHORTEST_NUMBER && unit.iter().any(u8::is_ascii_digit) {
            self.rows(unit, base, &(0..unit.len()), self.everywhere, scratch);
        }
        if decode && unit.len() >= encoded::SHORTEST {
            encoded::find(self, unit, base, scratch);
        }
        all & 0b11 != 0
    }

    /// Looks for what wants a keyword on the lines that have it. Gives the rows that do.
    fn lines(
        &self,
        unit: &[u8],
        base: usize,
        hits: impl Iterator<Item = Match>,
        scratch: &mut Scratch,
    ) -> Rows {
        let mut all: Rows = 0;
        let mut wanted: Rows = 0;
        let mut line = 0..0;
        for hit in hits {
            if hit.end() > line.end {
                self.rows(unit, base, &line, wanted, scratch);
                wanted = 0;
                line = line_start(unit, hit.start())..line_end(unit, hit.start());
            }
            wanted |= self
                .owners
                .get(hit.pattern().as_usize())
                .copied()
                .unwrap_or(Rows::MAX);
            all |= wanted;
        }
        self.rows(unit, base, &line, wanted, scratch);
        all
    }

    fn rows(&self, unit: &[u8], base: usize, line: &Range<usize>, wanted: Rows, scratch: &mut Scratch) {
        let mut left = wanted;
        while left != 0 {
            let row = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(text) = unit.get(line.clone()) else {
                return;
            };
            self.row(row, text, base + line.start, scratch);
        }
    }

    fn row(&self, row: usize, line: &[u8], base: usize, scratch: &mut Scratch) {
        let (Some(detector), Some(cell)) = (DETECTORS.get(row), self.patterns.get(row)) else {
            return;
        };
        let rule = u16::try_from(row + 1).unwrap_or(u16::MAX);
        let Some(pattern) = cell.get_or_init(|| compile(detector.pattern)) else {
            scratch.spans.push(Span {
                start: base,
                end: base + line.len(),
                rule,
            });
            return;
        };
        let mut at = 0;
        scratch.work += line.len() as u64;
        while let Some(whole) = pattern.find_at(line, at) {
            let whole = whole.range();
            let secret = match pattern.captures_len() {
                1 => whole.clone(),
                _ => pattern
                    .captures_at(line, whole.start)
                    .and_then(|groups| groups.get(1))
                    .map_or(whole.clone(), |group| group.range()),
            };
            scratch.ranges.clear();
            scratch.work += whole.len() as u64;
            at = whole.end.max(at + 1);
            (detector.check)(line, &Candidate { whole, secret }, &mut scratch.ranges);
            for range in scratch.ranges.drain(..) {
                at = at.max(range.end);
                scratch.work += range.len() as u64;
                scratch.spans.push(Span {
                    start: base + range.start,
                    end: base + range.end,
                    rule,
                });
            }
            if at > line.len() {
                break;
            }
        }
    }
}

/// Whether a keyword is anywhere. The automaton's own search sets up more than a cell takes to look through.
fn holds_keyword(prefilter: &DFA, unit: &[u8]) -> bool {
    let Ok(mut state) = prefilter.start_state(Anchored::No) else {
        return true; // what cannot be said is looked into
    };
    unit.iter().any(|byte| {
        state = prefilter.next_state(Anchored::No, state, *byte);
        prefilter.is_match(state)
    })
}

/// Patterns are bytes: a class may match a part of a character, and the span is widened afterwards.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    regex::bytes::RegexBuilder::new(pattern)
        .unicode(false)
        .build()
        .ok()
}

/// The windows of a line of `length` bytes, relative to its start.
pub(super) fn windows(length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length.div_ceil(SEGMENT)).map(move |index| window(index, length))
}

/// The window number `index` of a line of at least (or exactly) `length` bytes.
pub(super) fn window(index: usize, length: usize) -> Range<usize> {
    (index * SEGMENT).saturating_sub(CONTEXT)..((index + 1) * SEGMENT + CONTEXT).min(length)
}

fn keys(text: &[u8], edges: Edges, scratch: &mut Scratch) {
    let mut lines = Lines::new(edges);
    let mut hidden = std::mem::take(&mut scratch.hidden);
    let mut at = 0;
    while at < text.len() {
        let end = line_end(text, at);
        if end - at > SEGMENT {
            lines.long(end, &mut hidden);
        } else {
            lines.line(at, text.get(at..end).unwrap_or_default(), &mut hidden);
        }
        at = end;
    }
    lines.finish(&mut hidden);
    scratch.spans.extend(hidden.drain(..).map(span));
    scratch.hidden = hidden;
}

/// What the key follower hides, as a span.
pub(super) fn span(hidden: Hidden) -> Span {
    Span {
        start: hidden.range.start,
        end: hidden.range.end,
        rule: if hidden.continues { CONTINUES } else { PRIVATE_KEY },
    }
}

/// Sorts spans and joins those that overlap; the one that begins first names the whole.
pub(super) fn unite(spans: &mut Vec<Span>) {
    spans.retain(|span| span.end > span.start);
    spans.sort_unstable_by_key(|span| (span.start, span.rule, span.end));
    spans.dedup_by(|next, kept| {
        let joined = next.start < kept.end;
        if joined {
            kept.end = kept.end.max(next.end);
        }
        joined
    });
}

/// The beginning of a token that a cut text ends with: too short for its pattern, too long to show.
fn cut_token(text: &[u8]) -> Option<Span> {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+/=~:".contains(byte);
    let near = text.get(text.len().saturating_sub(CONTEXT)..)?;
    let last = near.iter().rev().take_while(|byte| token(byte)).count();
    let run = near.get(near.len() - last..)?;
    DETECTORS
        .iter()
        .enumerate()
        .flat_map(|(row, detector)| {
            detector
                .keywords
                .iter()
                .map(move |keyword| (row, keyword.as_bytes()))
        })
        // A prefix that says by itself what follows ends in a mark.
        .filter(|(_, keyword)| keyword.len() >= 3 && keyword.last().is_some_and(|last| b"_-.".contains(last)))
        .filter_map(|(row, keyword)| Some((memchr::memmem::find(run, keyword)?, keyword.len(), row)))
        .filter(|(at, length, _)| run.len() - at - length >= 4)
        .min()
        .map(|(at, _, row)| Span {
            start: text.len() - run.len() + at,
            end: text.len(),
            rule: u16::try_from(row + 1).unwrap_or(u16::MAX),
        })
}

/// Writes a mask and counts it.
pub(super) fn show(out: &mut String, rule: u16, counts: &mut BTreeMap<&'static str, u64>) {
    if rule == CONTINUES {
        return;
    }
    let id = id(rule);
    out.push_str("[masked:");
    out.push_str(id);
    out.push(']');
    *counts.entry(id).or_default() += 1;
}

/// The offset after the line feed that ends the line at `at`.
pub(super) fn line_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(text.len(), |feed| at + feed + 1)
}

fn line_start(text: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', text.get(..at).unwrap_or_default()).map_or(0, |feed| feed + 1)
}

pub(super) fn floor(text: &str, mut at: usize) -> usize {
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceiling(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// Masks one text with no known cut edges.
pub(super) fn text<'a>(engine: &Engine, text: &'a str) -> Cow<'a, str> {
    engine
        .mask(
            text,
            Edges::default(),
            &mut Scratch::default(),
            &mut BTreeMap::new(),
        )
        .map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The number of the first row with an id.
pub(super) fn rule(id: &str) -> u16 {
    let row = DETECTORS.iter().position(|row| row.id == id).unwrap_or_default();
    u16::try_from(row + 1).unwrap_or(u16::MAX)
}
