//! `file_search`: lines that match, in every text file that exists for the agent.

use std::fmt::Write as _;

use regex::bytes::{Regex, RegexBuilder};

use super::cursor::{Cursor, Place};
use super::objects::Kind;
use super::path::show;
use super::read::{Content, content};
use super::walk::{Found, Walk};
use super::{Scene, glob, invalid};
use crate::call::answer::{FileMatch, FileMatches};
use crate::call::request::FileSearch;
use crate::call::{Conceal, Fragment, MaskCounts, RawOutput, Refusal, Request};

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1000;
/// Bound on a compiled pattern, and on its lazy automaton, in bytes.
const MAX_COMPILED: usize = 1 << 20;
/// Files above this are passed over: generated or data, and slow for everybody.
pub(super) const MAX_SEARCHED_FILE: u64 = 4 << 20;
/// Bytes looked through in one call; the answer then says where to go on.
const MAX_SCANNED: u64 = 256 << 20;
/// A matching line is cut at this many bytes.
const MAX_LINE: usize = 1000;
/// Of a long line, this much is kept before the match.
const CONTEXT: usize = 200;
/// How many lines are looked at between two looks at the clock.
const LINES_PER_CHECK: u64 = 4096;
/// What a match costs besides its texts, in bytes of the answer.
const MATCH_BYTES: u64 = 128;

/// Searches.
///
/// # Errors
/// `invalid_arguments` for a pattern, glob or cursor that cannot be used, and what reading objects
/// can say.
pub(super) fn answer(
    scene: &Scene<'_>,
    search: &FileSearch,
    conceal: &dyn Conceal,
) -> Result<RawOutput, Refusal> {
    let request = Request::FileSearch(search.clone());
    let folder = scene.found()?;
    let place = match &search.cursor {
        Some(cursor) => Some(Cursor::read(cursor, &request, scene.commit)?),
        None => None,
    };
    let mut hunt = Hunt {
        scene,
        conceal,
        request: &request,
        pattern: Pattern::new(search)?,
        paths: search.glob.as_deref().map(path_filter).transpose()?,
        most: scene.most(search.limit)?,
        matches: Vec::new(),
        fragments: Vec::new(),
        masks: MaskCounts::default(),
        bytes: 0,
        scanned: 0,
        searched: 0,
        skipped: 0,
    };
    let mut walk = scene.view.walk(&folder, true)?;
    let next = hunt.run(&mut walk, place)?;
    let matches = FileMatches {
        commit: scene.commit.to_owned(),
        reference: scene.reference.to_owned(),
        matches: hunt.matches,
        files_searched: hunt.searched,
        files_skipped: hunt.skipped,
    };
    let mut raw = scene.output(matches, hunt.fragments, next)?;
    raw.source_masks = hunt.masks;
    Ok(raw)
}

/// Only paths that match: as in gitignore, a glob without a slash matches a name at any depth.
fn path_filter(pattern: &str) -> Result<Regex, Refusal> {
    let refuse = |why: String| {
        invalid(
            format!("`glob` {why}: `{pattern}`"),
            "Write for example *.rs, src/**/*.rs or *.{ts,tsx}.",
        )
    };
    if pattern.is_empty() {
        return Err(refuse("is empty".to_owned()));
    }
    let body = glob::body(pattern.strip_prefix('/').unwrap_or(pattern), true).map_err(refuse)?;
    let anywhere = if pattern.contains('/') {
        ""
    } else {
        "(?:(?s-u:.*)/)?"
    };
    RegexBuilder::new(&format!("^{anywhere}(?:{body})$"))
        .dot_matches_new_line(true)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|_| refuse("is too complicated".to_owned()))
}

struct Pattern {
    regex: Regex,
    /// Whether a file that does not match as a whole cannot have a line that does.
    whole_first: bool,
    /// Whether a line that does not match as it is cannot match without what is hidden in it.
    line_first: bool,
}

impl Pattern {
    fn new(search: &FileSearch) -> Result<Self, Refusal> {
        let pattern = search.pattern.as_str();
        if pattern.is_empty() {
            return Err(invalid("`pattern` is empty", "Write what to look for."));
        }
        if pattern.len() > MAX_PATTERN {
            return Err(invalid(
                format!("`pattern` is longer than {MAX_PATTERN} bytes"),
                "Look for a shorter part of it.",
            ));
        }
        let is_regex = search.regex.unwrap_or(false);
        if !is_regex && pattern.contains(['\n', '\r']) {
            return Err(invalid(
                "`pattern` has a line break",
                "Lines are searched one by one: look for one line of it.",
            ));
        }
        let source = if is_regex {
            pattern.to_owned()
        } else {
            regex::escape(pattern)
        };
        let regex = RegexBuilder::new(&source)
            .multi_line(true)
            .crlf(true)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => invalid(
                    "`pattern` is too complicated",
                    "Use smaller counts, or a simpler pattern and read the lines.",
                ),
                other => invalid(
                    format!("`pattern` is not a regular expression: {other}"),
                    "Leave `regex` out to look for the text as it stands.",
                ),
            })?;
        // Stands for what is hidden in a line: a byte that is no character, which no pattern matches.
        // Patterns on bytes could, so they are refused.
        if regex::Regex::new(&source).is_err_and(|error| !matches!(error, regex::Error::CompiledTooBig(_))) {
            return Err(invalid(
                "`pattern` is about bytes, not characters",
                "Leave (?-u) out.",
            ));
        }
        // Anchors of the whole text and switched flags mean something else line by line.
        let special = ["\\A", "\\z"].iter().any(|anchor| pattern.contains(anchor))
            || pattern.replace("(?:", "").contains("(?");
        // A mask has other neighbours than what it hides: only word boundaries look at them.
        let boundary = ["\\b", "\\B", "\\<", "\\>"]
            .iter()
            .any(|anchor| pattern.contains(anchor));
        Ok(Self {
            regex,
            whole_first: !(is_regex && (special || boundary)),
            line_first: !(is_regex && boundary),
        })
    }
}

/// Replaces each hidden range of a line: such a byte is in no UTF-8 text.
const VEIL: u8 = 0xff;

/// What of a line is hidden, by rule.
type HiddenRanges = [(std::ops::Range<usize>, &'static str)];

/// Where a line matches without looking at what is hidden in it, as an offset in the line.
fn visible_match(regex: &Regex, line: &str, hidden: &HiddenRanges) -> Option<usize> {
    if hidden.is_empty() {
        return regex.find(line.as_bytes()).map(|hit| hit.start());
    }
    let (mut veiled, mut at) = (Vec::with_capacity(line.len()), 0);
    for (range, _) in hidden {
        veiled.extend_from_slice(line.get(at..range.start).unwrap_or_default().as_bytes());
        veiled.push(VEIL);
        at = range.end;
    }
    veiled.extend_from_slice(line.get(at..).unwrap_or_default().as_bytes());
    let start = regex.find(&veiled)?.start();
    // Back to the line: each range before the match took one byte.
    let mut moved = start;
    for (range, _) in hidden {
        if range.start < moved {
            moved += range.len() - 1;
        }
    }
    Some(moved)
}

struct Hunt<'a> {
    scene: &'a Scene<'a>,
    conceal: &'a dyn Conceal,
    request: &'a Request,
    pattern: Pattern,
    paths: Option<Regex>,
    most: usize,
    matches: Vec<FileMatch>,
    fragments: Vec<Fragment>,
    masks: MaskCounts,
    bytes: u64,
    scanned: u64,
    searched: u64,
    skipped: u64,
}

/// Whether a file was looked through to its end.
enum Outcome {
    Done,
    /// The answer is full, or the time over; this line was the last one looked at.
    Stopped(u64),
}

impl Hunt<'_> {
    /// Looks through the walk; gives a cursor if there is more.
    fn run(&mut self, walk: &mut Walk<'_>, place: Option<Place>) -> Result<Option<String>, Refusal> {
        // Every call goes on by one entry at least, so that pages come to an end.
        let (mut last, mut went_on) = (None, false);
        if let Some(Place { path, line }) = place {
            walk.resume_after(path.bytes())?;
            if let Some(line) = line
                && let Some(found) = self.scene.view.find(&path)?
                && let Outcome::Stopped(line) = self.file(&found, line)?
            {
                return Ok(Some(self.cursor(&found.path, Some(line))));
            }
            went_on = line.is_some();
            last = Some(path.bytes().to_vec());
        }
        while let Some(found) = walk.next()? {
            self.scene.view.objects.stop.check_cancelled()?;
            let spent =
                self.is_full() || self.scanned >= MAX_SCANNED || self.scene.view.objects.stop.out_of_time();
            if let Some(path) = last.as_ref().filter(|_| spent && went_on) {
                return Ok(Some(self.cursor(path, None)));
            }
            if let Outcome::Stopped(line) = self.file(&found, 0)? {
                return Ok(Some(self.cursor(&found.path, Some(line))));
            }
            last = Some(found.path);
            went_on = true;
        }
        Ok(None)
    }

    fn cursor(&self, path: &[u8], line: Option<u64>) -> String {
        Cursor::at(self.request, self.scene.commit, show(path), line)
    }

    fn is_full(&self) -> bool {
        self.matches.len() >= self.most || self.bytes >= self.scene.limits.bytes
    }

    /// Looks through one file, behind a line.
    fn file(&mut self, found: &Found, behind: u64) -> Result<Outcome, Refusal> {
        let wanted = self
            .paths
            .as_ref()
            .is_none_or(|paths| paths.is_match(&found.path));
        if found.kind != Kind::File || !wanted {
            return Ok(Outcome::Done);
        }
        // Too large, missing from a partial clone, or damaged: one bad object must not end the search
        // of all others.
        let Ok(blob) = self.scene.view.objects.blob(found.id, MAX_SEARCHED_FILE) else {
            self.skipped += 1;
            return Ok(Outcome::Done);
        };
        self.scanned = self
            .scanned
            .saturating_add(u64::try_from(blob.len()).unwrap_or(u64::MAX));
        let Content::Text(text) = content(blob.data()) else {
            self.skipped += 1;
            return Ok(Outcome::Done);
        };
        self.searched += 1;
        if self.pattern.whole_first && !self.pattern.regex.is_match(text.as_bytes()) {
            return Ok(Outcome::Done);
        }
        self.lines(found, text, behind)
    }

    fn lines(&mut self, found: &Found, text: &str, behind: u64) -> Result<Outcome, Refusal> {
        let (mut line, mut offset) = (0_u64, 0_usize);
        for piece in text.split_inclusive('\n') {
            let start = offset;
            offset += piece.len();
            line += 1;
            if line <= behind {
                continue;
            }
            if line % LINES_PER_CHECK == 0 && line > behind + 1 {
                self.scene.view.objects.stop.check_cancelled()?;
                if self.scene.view.objects.stop.out_of_time() {
                    return Ok(Outcome::Stopped(line - 1));
                }
            }
            let content = piece.strip_suffix('\n').unwrap_or(piece);
            let content = content.strip_suffix('\r').unwrap_or(content);
            if self.pattern.line_first && !self.pattern.regex.is_match(content.as_bytes()) {
                continue;
            }
            let hidden = self.conceal.hidden(content);
            let Some(at) = visible_match(&self.pattern.regex, content, &hidden) else {
                continue;
            };
            if self.is_full() {
                return Ok(Outcome::Stopped(line - 1));
            }
            self.hit(found, (line, start), content, at, &hidden);
        }
        Ok(Outcome::Done)
    }

    /// Notes a match, with what is hidden in its line already replaced: a cut may take away what made
    /// a secret known as one.
    fn hit(
        &mut self,
        found: &Found,
        (line, offset): (u64, usize),
        content: &str,
        at: usize,
        hidden: &HiddenRanges,
    ) {
        let from = if content.len() <= MAX_LINE {
            0
        } else {
            content.floor_char_boundary(at.saturating_sub(CONTEXT))
        };
        let to = content.floor_char_boundary((from + MAX_LINE).min(content.len()));
        let (mut text, mut done) = (String::new(), from);
        for (range, rule) in hidden
            .iter()
            .filter(|(range, _)| range.end > from && range.start < to)
        {
            text.push_str(content.get(done..range.start).unwrap_or_default());
            let _ = write!(text, "[masked:{rule}]");
            self.masks.add("matches.text", rule, 1);
            done = range.end;
        }
        text.push_str(content.get(done..to).unwrap_or_default());
        let (path, blob) = (show(&found.path), found.id.to_string());
        let place = |at: usize| u64::try_from(offset + at).unwrap_or(u64::MAX);
        self.fragments.push(Fragment {
            commit: self.scene.commit.to_owned(),
            path: path.clone(),
            blob: blob.clone(),
            bytes: (place(from), place(to)),
            lines: (line, line),
            pointer: format!("/matches/{}/text", self.matches.len()),
        });
        let size = u64::try_from(path.len() + text.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(MATCH_BYTES + size);
        self.matches.push(FileMatch {
            path,
            line,
            text,
            blob,
        });
    }
}
