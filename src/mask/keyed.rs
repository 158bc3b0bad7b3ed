//! `password = …`, `"api_key": "…"`, `--token …`: values that are secret because of the name in front.
//!
//! The pattern finds the name and the separator; the value is read by hand, because what ends a value
//! depends on how it is quoted. A value is judged with its surroundings: `password: String,` is code,
//! `password: hunter2` is not.

use std::ops::Range;

use super::checks::{bytes, entropy, has_both_cases, is_placeholder};
use super::detectors::Candidate;

/// How much of a value is looked at, in bytes: names may follow each other without end, and each has a
/// value. A longer one is judged by its beginning and hidden to its end.
const JUDGED: usize = 512;

/// Longest stretch in front of a name, in bytes, that can be blanks and the name's own beginning.
const LEAD: usize = 128;

/// Names that hold a password.
pub(super) const PASSWORD: &str = r#"(?i)(?:pass(?:word|wd|phrase|code|wort)|\bpwd|_pwd|\bpass|_pass)(?:[_-]?(?:value|hash|plain|base64|[0-9]{1,3}|old|new|prod|dev|test|live|admin|root|db|user))?\\{0,3}["'\x60\]]{0,2}\s{0,4}(?:=>|:=|={1,3}|:|>)\s{0,8}"#;

/// Names that hold a secret.
pub(super) const SECRET: &str = r#"(?i)secret(?:[_-]?(?:access[_-]?)?(?:key(?:[_-]?base)?|value|token|hash|plain|base64|[0-9]{1,3}|prod|dev|test|live))?\\{0,3}["'\x60\]]{0,2}\s{0,4}(?:=>|:=|={1,3}|:|>)\s{0,8}"#;

/// Names that often hold a token, and often something else: the value must look random.
pub(super) const TOKEN: &str = r#"(?i)(?:(?:api|access|auth|private|signing|encryption|master|service|account|shared|storage|app|consumer|client|webhook|deploy|license|subscription|secret)[_.-]?key|[a-z]{0,20}[_-]?token|credentials?|_auth)\\{0,3}["'\x60\]]{0,2}\s{0,4}(?:=>|:=|={1,3}|:|>)\s{0,8}"#;

/// How a value stands in its line.
struct Value {
    range: Range<usize>,
    quoted: bool,
    /// No space between separator and value.
    tight: bool,
    /// The separator's last character.
    separator: u8,
    /// The name is the first thing on the line (`export` aside).
    leads: bool,
}

/// Names that say "password" or "secret": nearly every value counts.
pub(super) fn lenient(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let Some(value) = value_after(line, found) else {
        return;
    };
    let text = bytes(line, &value.range);
    let name = bytes(line, &found.whole).to_ascii_lowercase();
    let path = name.starts_with(b"pwd") && text.starts_with(b"/");
    let phrase = name.starts_with(b"passphrase");
    if text.len() < 3 || path || is_placeholder(text) {
        return;
    }
    let secret = if value.quoted {
        phrase || !is_prose(text)
    } else {
        bare_is_secret(line, &value, text)
    };
    if secret {
        out.push(whole(line, &value));
    }
}

/// Names that say "key" or "token": the value must look random.
pub(super) fn strict(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let Some(value) = value_after(line, found) else {
        return;
    };
    let name = bytes(line, &found.whole).to_ascii_lowercase();
    let paging = [
        &b"next"[..],
        b"page",
        b"sync",
        b"continuation",
        b"cancellation",
        b"progress",
        b"sep",
    ]
    .iter()
    .any(|start| name.starts_with(start));
    let text = bytes(line, &value.range);
    let digits = text.iter().any(u8::is_ascii_digit);
    let letters = text.iter().any(u8::is_ascii_alphabetic);
    let random = (text.len() >= 8 && digits && letters && entropy(text) >= 2.75)
        || (text.len() >= 24 && has_both_cases(text) && entropy(text) >= 3.8);
    if random && !paging && !is_placeholder(text) && !is_prose(text) && !is_code(text) {
        out.push(whole(line, &value));
    }
}

/// `--password value`: what follows on a command line.
pub(super) fn flag(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let Some(value) = value_after(line, found) else {
        return;
    };
    let text = bytes(line, &value.range);
    if text.len() >= 3
        && !is_placeholder(text)
        && !text.starts_with(b"-")
        && !is_code(text)
        && (value.quoted || !is_word(text))
    {
        out.push(whole(line, &value));
    }
}

/// `IDENTIFIED BY '…'`, `PASSWORD '…'`.
pub(super) fn sql(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let quote = found.whole.end.saturating_sub(1);
    if let Some(range) = quoted(line, quote)
        && range.len() >= 3
        && !is_placeholder(bytes(line, &range))
        && !is_prose(bytes(line, &range))
    {
        out.push(range);
    }
}

fn value_after(line: &[u8], found: &Candidate) -> Option<Value> {
    let name = bytes(line, &found.whole);
    let separator = *name.trim_ascii_end().last()?;
    let tight = !name.last()?.is_ascii_whitespace();
    let leads = found.whole.start <= LEAD && {
        let lead = line.get(..found.whole.start)?.trim_ascii();
        let lead = lead.strip_prefix(b"export").unwrap_or(lead);
        let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
        lead.iter().all(name)
    };
    let mut at = found.whole.end;
    if separator == b':' && line.get(at) == Some(&b':') {
        return None; // a path: `Token::new`
    }
    if separator == b'>' && closes_a_tag(line, found.whole.start) {
        return None; // `</password>`: what follows is no value of it
    }
    if line.get(at..).is_some_and(|rest| rest.starts_with(b"-----")) {
        return None; // a marker: hiding it would hide where a key begins or ends
    }
    // Prefixes of string literals (`b"…"`, `r"…"`), and backslashes of a literal inside a literal.
    let opening = line
        .get(at..)?
        .iter()
        .take(3)
        .take_while(|byte| b"brfu\\@".contains(byte))
        .count();
    if line.get(at + opening).is_some_and(|byte| b"\"'`".contains(byte)) {
        at += opening;
        return Some(Value {
            range: quoted(line, at)?,
            quoted: true,
            tight,
            separator,
            leads,
        });
    }
    let ends: &[u8] = if leads && tight && separator == b'=' {
        b"\"'`"
    } else {
        b"\"'`,;&<>|\\)]}"
    };
    let rest = line.get(at..)?;
    let length = bare_length(rest.get(..JUDGED.min(rest.len()))?, ends);
    Some(Value {
        range: at..at + length,
        quoted: false,
        tight,
        separator,
        leads,
    })
}

/// Whether the name that ends in a match from `start` stands behind `</`.
fn closes_a_tag(line: &[u8], start: usize) -> bool {
    let before = line.get(start.saturating_sub(LEAD)..start).unwrap_or_default();
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(byte);
    let kept = before.iter().rposition(|byte| !name(byte)).map_or(0, |at| at + 1);
    before.get(..kept).is_some_and(|before| before.ends_with(b"</"))
}

/// Bytes up to what ends a bare value.
fn bare_length(rest: &[u8], ends: &[u8]) -> usize {
    rest.iter()
        .position(|byte| byte.is_ascii_whitespace() || ends.contains(byte))
        .unwrap_or(rest.len())
}

/// A secret value, to its end if only its beginning was judged.
fn whole(line: &[u8], value: &Value) -> Range<usize> {
    let rest = line.get(value.range.end..).unwrap_or_default();
    if value.quoted || value.range.len() < JUDGED {
        return value.range.clone();
    }
    value.range.start..value.range.end + bare_length(rest, b"\"'`")
}

/// The inside of a quoted value that opens at `at`; without a closing quote, up to the line's end.
fn quoted(line: &[u8], at: usize) -> Option<Range<usize>> {
    let quote = *line.get(at)?;
    // `\"…\"`: a literal inside a literal ends at the next escaped quote.
    let nested = at.checked_sub(1).and_then(|before| line.get(before)) == Some(&b'\\');
    let start = at + 1;
    let mut escaped = false;
    for (offset, byte) in line.get(start..)?.iter().enumerate() {
        if escaped {
            escaped = false;
            if nested && *byte == quote {
                return Some(start..start + offset - 1);
            }
        } else if *byte == b'\\' {
            escaped = true;
        } else if *byte == quote {
            return Some(start..start + offset);
        }
        if offset >= JUDGED * 8 {
            break;
        }
    }
    Some(start..line.len())
}

fn bare_is_secret(line: &[u8], value: &Value, text: &[u8]) -> bool {
    if is_code(text) {
        return false;
    }
    if !is_word(text) {
        return text.len() >= 4;
    }
    // Letters alone: a word of prose, a variable, or a weak password. The surroundings decide.
    let next = line.get(value.range.end);
    let last = next.is_none_or(|byte| *byte == b'\r');
    let snake = text.contains(&b'_');
    match value.separator {
        b'=' if value.tight => value.leads || (!snake && (last || matches!(next, Some(b';' | b'&')))),
        b'=' => value.leads && last && !snake,
        b'>' => matches!(next, Some(b'<')),
        _ => last && !snake && value.leads,
    }
}

/// Letters and underscores only.
fn is_word(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
}

/// Words with spaces between them and nothing that a password would have.
fn is_prose(text: &[u8]) -> bool {
    text.contains(&b' ')
        && text.iter().all(|byte| {
            byte.is_ascii_alphabetic() || byte.is_ascii_whitespace() || b".,:;!?'()-/`{}".contains(byte)
        })
}

/// An expression of a programming language: a call, a path, a type, a reference.
fn is_code(text: &[u8]) -> bool {
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:".contains(byte);
    let bare = text
        .iter()
        .position(|byte| !b"&*!".contains(byte))
        .unwrap_or(text.len());
    let rest = text.get(bare..).unwrap_or_default();
    let head = rest.iter().take_while(|byte| name(byte)).count();
    let after = rest.get(head);
    let identifier = rest
        .first()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    if text.starts_with(b"(") || text.starts_with(b"[") || text.starts_with(b"|") {
        return true;
    }
    let called = matches!(after, Some(b'(' | b'[' | b'{' | b'<'));
    let ended = matches!(after, Some(b'!' | b'?')) && head + 1 == rest.len();
    if identifier && (called || ended) {
        return true;
    }
    let whole = head == rest.len();
    let plain = !rest.iter().any(u8::is_ascii_digit);
    let dotted =
        rest.windows(2).any(|two| two == b"::") || (plain && rest.contains(&b'.') && !rest.ends_with(b"."));
    identifier && whole && (dotted || (bare > 0 && plain))
}
