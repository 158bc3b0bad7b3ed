//! Private keys between markers, over many lines, also when one of the markers is missing.
//!
//! The markers themselves stay (they are no secret, and code that mentions them must be readable);
//! what they enclose is hidden: from a BEGIN until the first line that cannot be part of a key, and
//! backwards from an END without a BEGIN. Where a text is known to be a part of a longer one, lines of
//! base64 that touch the cut edge are hidden as well, because the marker may lie beyond the cut.

use std::collections::VecDeque;
use std::ops::Range;

use super::detectors::Candidate;

/// `-----BEGIN … PRIVATE KEY-----` (RFC 7468), OpenSSH, PGP blocks, SSH2.
pub(super) const BEGIN: &str =
    r"(?:-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 [A-Z ]{0,20}PRIVATE KEY ----)";

/// The same with END.
pub(super) const END: &str =
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|---- END SSH2 [A-Z ]{0,20}PRIVATE KEY ----)";

/// Most bytes of base64 lines that are remembered while nobody knows yet what they belong to. The
/// largest keys in use are below 16 KiB.
const REMEMBERED: usize = 64 * 1024;

/// A full line of a PEM body is 64 characters (70 in OpenSSH, 76 in MIME); nothing else is full.
const FULL: usize = 60;

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

/// The part of a key on the line of its BEGIN: real or escaped line feeds between base64.
pub(super) fn after_begin(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let rest = line.get(found.whole.end..).unwrap_or_default();
    let length = rest
        .iter()
        .position(|byte| !body_or_escape(*byte))
        .unwrap_or(rest.len());
    let inside = rest.get(..length).unwrap_or_default();
    let length = inside.trim_ascii_end().len();
    if longest_run(inside) >= 16 {
        out.push(found.whole.end..found.whole.end + length);
    }
}

/// The part of a key on the line of its END.
pub(super) fn before_end(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let before = line.get(..found.whole.start).unwrap_or_default();
    let length = before
        .iter()
        .rev()
        .take_while(|byte| body_or_escape(**byte))
        .count();
    let inside = before.get(before.len() - length..).unwrap_or_default();
    if longest_run(inside) >= 8 {
        out.push(found.whole.start - length..found.whole.start);
    }
}

fn body_or_escape(byte: u8) -> bool {
    is_base64(byte) || b" \t\r\\".contains(&byte)
}

fn longest_run(text: &[u8]) -> usize {
    text.split(|byte| !is_base64(*byte))
        .map(<[u8]>::len)
        .max()
        .unwrap_or_default()
}

/// Which edges of a text are cuts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Edges {
    /// Something may come before the text.
    pub start: bool,
    /// Something may come after it.
    pub end: bool,
    /// The text may end in the middle of a line.
    pub cut: bool,
}

/// What to do with a range of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    pub range: Range<usize>,
    /// Whether the range continues a key whose mask is already shown: it vanishes.
    pub continues: bool,
}

/// A line of base64 nobody knows the meaning of yet.
#[derive(Debug)]
struct Held {
    /// With its line feed.
    whole: Range<usize>,
    /// Where its line feed begins, or the end of the text.
    text_end: usize,
}

impl Held {
    /// What to hide of it. The first line of a key is replaced and keeps its line feed; the following
    /// ones vanish with theirs.
    fn hidden(self, continues: bool) -> Hidden {
        let end = if continues { self.whole.end } else { self.text_end };
        Hidden {
            range: self.whole.start..end,
            continues,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    /// After a private BEGIN; whether a mask has been shown for this key.
    Key {
        shown: bool,
    },
    /// After a BEGIN of something public: its lines are nobody's secret, unless the END of a key comes before its own.
    Public,
}

/// Follows a text line by line.
#[derive(Debug)]
pub(super) struct Lines {
    place: Place,
    edges: Edges,
    /// Base64 lines seen outside of markers: may turn out to be the end of a key.
    run: VecDeque<Held>,
    run_bytes: usize,
    /// The run reaches back to the start of the text.
    from_start: bool,
    /// Short lines at the end of the run.
    short: usize,
    /// Whether a full line with the look of random bytes is in the run.
    full: bool,
    /// A mask is already shown for the run.
    shown: bool,
    /// Offset after the last line.
    seen: usize,
}

impl Lines {
    pub(super) fn new(edges: Edges) -> Self {
        Self {
            place: Place::Outside,
            edges,
            run: VecDeque::new(),
            run_bytes: 0,
            from_start: false,
            short: 0,
            full: false,
            shown: false,
            seen: 0,
        }
    }

    /// Up to which offset nothing more can change.
    pub(super) fn settled(&self) -> usize {
        self.run.front().map_or(self.seen, |first| first.whole.start)
    }

    /// Takes the next line: its offset, its bytes with the line feed if it has one.
    pub(super) fn line(&mut self, at: usize, line: &[u8], out: &mut Vec<Hidden>) {
        let whole = at..at + line.len();
        self.seen = whole.end;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        match marker(text) {
            Some(Marker::PrivateBegin) => {
                self.close(false, out);
                self.place = Place::Key { shown: false };
            }
            Some(Marker::PrivateEnd) => {
                let begun = matches!(self.place, Place::Key { .. });
                self.close(!begun, out);
                self.place = Place::Outside;
            }
            Some(Marker::PublicBegin) => {
                self.close(false, out);
                self.place = Place::Public;
            }
            Some(Marker::PublicEnd) => {
                self.drop_run();
                self.place = Place::Outside;
            }
            None => self.plain(whole, text, out),
        }
    }

    /// A stretch that is too long for a line of a key.
    pub(super) fn long(&mut self, end: usize, out: &mut Vec<Hidden>) {
        self.close(false, out);
        self.place = Place::Outside;
        self.seen = end;
    }

    /// The text is over.
    pub(super) fn finish(&mut self, out: &mut Vec<Hidden>) {
        let cut = self.edges.end && self.full && self.place != Place::Public;
        self.close(cut, out);
    }

    fn plain(&mut self, whole: Range<usize>, text: &[u8], out: &mut Vec<Hidden>) {
        let core = core(text);
        let held = Held {
            text_end: whole.start + text.len(),
            whole,
        };
        match self.place {
            Place::Key { shown } => {
                let masked = memchr::memmem::find(text, b"[masked:").is_some();
                let run = longest_run(text);
                let body = !masked && run >= 16 && text.len() <= run + 24;
                if body || (shown && !core.is_empty() && core.iter().all(|byte| is_base64(*byte))) {
                    out.push(held.hidden(shown));
                    self.place = Place::Key { shown: true };
                } else if !is_header(core) {
                    self.place = Place::Outside;
                    self.outside(held, core, out);
                }
            }
            Place::Public => {
                if !core.iter().all(|byte| is_base64(*byte)) && !is_header(core) {
                    self.place = Place::Outside;
                }
                self.outside(held, core, out);
            }
            Place::Outside => self.outside(held, core, out),
        }
    }

    fn outside(&mut self, held: Held, core: &[u8], out: &mut Vec<Hidden>) {
        let pure = !core.is_empty() && core.iter().all(|byte| is_base64(*byte));
        let full = pure && core.len() >= FULL;
        let first = held.whole.start == 0;
        let last = pure && !full && !self.run.is_empty() && self.short < 2;
        if !(full && self.short == 0 || first && pure || last) {
            self.close(false, out);
            if !full {
                return;
            }
        }
        if self.run.is_empty() {
            self.from_start = first;
        }
        self.short += usize::from(!full && !first);
        self.full |= full && looks_random(core);
        self.run_bytes += held.whole.len();
        self.run.push_back(held);
        while self.run_bytes > REMEMBERED {
            let Some(oldest) = self.run.pop_front() else { break };
            self.run_bytes -= oldest.whole.len();
            if self.from_start && self.edges.start && self.full {
                out.push(oldest.hidden(self.shown));
                self.shown = true;
            }
        }
    }

    /// The run is over. It was a key if an END says so, or if it reaches a cut edge of the text.
    fn close(&mut self, key: bool, out: &mut Vec<Hidden>) {
        let cut = self.edges.start && self.from_start && self.full;
        if key || cut {
            // The first lines of a very long run may have gone already, with their mask.
            let mut continues = self.shown;
            for held in self.run.drain(..) {
                out.push(held.hidden(continues));
                continues = true;
            }
        }
        self.drop_run();
    }

    fn drop_run(&mut self) {
        self.run.clear();
        self.run_bytes = 0;
        self.short = 0;
        self.full = false;
        self.shown = false;
        self.from_start = false;
    }
}

enum Marker {
    PrivateBegin,
    PrivateEnd,
    PublicBegin,
    PublicEnd,
}

/// The last marker of a line.
fn marker(text: &[u8]) -> Option<Marker> {
    let dash = memchr::memchr2(b'-', b'P', text)?;
    let text = text.get(dash..)?;
    if text.starts_with(b"Private-Lines: ") {
        return Some(Marker::PrivateBegin); // PuTTY
    }
    let begin = last(text, b"-- BEGIN ").max(last(text, b"--BEGIN "));
    let end = last(text, b"-- END ").max(last(text, b"--END "));
    let at = begin.max(end)?;
    let label = text.get(at..at + 64.min(text.len() - at))?;
    let private = last(label, b"PRIVATE KEY").is_some();
    Some(match (begin > end, private) {
        (true, true) => Marker::PrivateBegin,
        (true, false) => Marker::PublicBegin,
        (false, true) => Marker::PrivateEnd,
        (false, false) => Marker::PublicEnd,
    })
}

fn last(text: &[u8], word: &[u8]) -> Option<usize> {
    memchr::memmem::rfind(text, word)
}

/// A line without what diffs, quotes, comments and string literals put around it.
fn core(text: &[u8]) -> &[u8] {
    let around = |byte: u8| byte.is_ascii_whitespace() || b"\"'`,;>#*|-".contains(&byte);
    let mut text = text;
    loop {
        let before = text.len();
        while let [first, rest @ ..] = text
            && around(*first)
        {
            text = rest;
        }
        while let [rest @ .., last] = text
            && (around(*last) || *last == b'\\')
        {
            text = rest;
        }
        for ending in [&b"\\n"[..], b"\\r", b"\" +", b"' +"] {
            text = text.strip_suffix(ending).unwrap_or(text);
        }
        if text.len() == before {
            return text;
        }
    }
}

/// Blank, or `Name: value` (RFC 1421 headers, PGP armour headers).
fn is_header(core: &[u8]) -> bool {
    let name = core
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-')
        .count();
    core.is_empty() || (name > 0 && core.get(name..name + 2) == Some(b": "))
}

fn looks_random(core: &[u8]) -> bool {
    super::checks::has_both_cases(core)
        && core.iter().any(u8::is_ascii_digit)
        && super::checks::entropy(core) >= 4.0
}
