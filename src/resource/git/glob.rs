//! Glob patterns as regular expressions over raw path bytes.
//!
//! Two dialects share one translator. *gitignore* (gitignore(5)): no braces, case folded by the
//! caller. *Search*: `{a,b}` alternates. The usual crates are not used for hiding: `globset` takes a
//! name that ends in `.` to have no file name, so a basename pattern would not hide it, and `ignore`
//! reads `{a,b}` as alternates where git reads letters.

use regex::bytes::{RegexSet, RegexSetBuilder};

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1000;
/// Bound on a compiled set, in bytes.
const MAX_COMPILED: usize = 8 << 20;

/// One glob as the body of a regular expression; the caller anchors it.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn body(pattern: &str, braces: bool) -> Result<String, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("is longer than {MAX_PATTERN} bytes"));
    }
    let mut translator = Translator {
        rest: pattern.chars().collect(),
        out: String::new(),
        open_braces: 0,
        braces,
    };
    translator.rest.reverse();
    translator.run()?;
    Ok(translator.out)
}

/// Compiles several anchored expressions into one set.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn set(expressions: &[String]) -> Result<RegexSet, String> {
    RegexSetBuilder::new(expressions)
        .unicode(true)
        .dot_matches_new_line(true)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| error.to_string())
}

struct Translator {
    rest: Vec<char>, // reversed: the next character is the last
    out: String,
    open_braces: usize,
    braces: bool,
}

/// One character of a name, whatever its encoding, except a slash.
const ONE: &str = "(?:[^/]|(?-u:[^/]))";
/// Any run of bytes without a slash.
const SEGMENT: &str = "(?-u:[^/]*)";
/// Any number of whole folders.
const FOLDERS: &str = "(?:(?s-u:.*)/)?";

impl Translator {
    fn run(&mut self) -> Result<(), String> {
        let mut at_start = true; // of a path component
        while let Some(character) = self.rest.pop() {
            match character {
                '\\' => {
                    let Some(next) = self.rest.pop() else {
                        return Err("ends in a lone backslash".to_owned());
                    };
                    self.literal(next);
                }
                '*' if self.next_is('*') => self.stars(at_start),
                '*' => self.out.push_str(SEGMENT),
                '?' => self.out.push_str(ONE),
                '[' => self.class()?,
                '{' if self.braces => {
                    self.open_braces += 1;
                    self.out.push_str("(?:");
                }
                '}' if self.braces && self.open_braces > 0 => {
                    self.open_braces -= 1;
                    self.out.push(')');
                }
                ',' if self.open_braces > 0 => self.out.push('|'),
                other => self.literal(other),
            }
            at_start = character == '/';
        }
        match self.open_braces {
            0 => Ok(()),
            _ => Err("has an unclosed `{`".to_owned()),
        }
    }

    /// Two or more stars: whole folders when they fill a component, else as one star.
    fn stars(&mut self, at_start: bool) {
        while self.next_is('*') {
            self.rest.pop();
        }
        match (at_start, self.rest.last()) {
            (true, Some('/')) => {
                self.rest.pop();
                self.out.push_str(FOLDERS);
                // what follows is again at the start of a component
                if self.next_is('*') {
                    self.rest.pop();
                    match self.next_is('*') {
                        true => self.stars(true),
                        false => self.out.push_str(SEGMENT),
                    }
                }
            }
            (true, None) => self.out.push_str("(?s-u:.+)"),
            _ => self.out.push_str(SEGMENT),
        }
    }

    fn class(&mut self) -> Result<(), String> {
        let negated = matches!(self.rest.last(), Some('!' | '^'));
        if negated {
            self.rest.pop();
        }
        let mut set = String::new();
        let mut first = true;
        loop {
            let Some(character) = self.rest.pop() else {
                return Err("has an unclosed `[`".to_owned());
            };
            match character {
                ']' if !first => break,
                '[' if self.next_is(':') => set.push_str(&self.named_class()?),
                '\\' => {
                    let Some(next) = self.rest.pop() else {
                        return Err("has an unclosed `[`".to_owned());
                    };
                    self.range(&mut set, next)?;
                }
                other => self.range(&mut set, other)?,
            }
            first = false;
        }
        if negated {
            // A byte that is no character is in no listed set, so a negated class takes it.
            self.out.push_str(&format!("(?:[^/{set}]|(?-u:[\\x80-\\xff]))"));
        } else {
            self.out.push_str(&format!("(?:[{set}&&[^/]])"));
        }
        Ok(())
    }

    fn range(&mut self, set: &mut String, from: char) -> Result<(), String> {
        push_escaped(set, from);
        let is_range = self.next_is('-')
            && self
                .rest
                .len()
                .checked_sub(2)
                .and_then(|at| self.rest.get(at))
                .is_some_and(|to| *to != ']');
        if !is_range {
            return Ok(());
        }
        self.rest.pop();
        let to = match self.rest.pop() {
            Some('\\') => self.rest.pop(),
            other => other,
        };
        let Some(to) = to.filter(|to| *to >= from) else {
            return Err("has a range that runs backwards".to_owned());
        };
        set.push('-');
        push_escaped(set, to);
        Ok(())
    }

    fn named_class(&mut self) -> Result<String, String> {
        self.rest.pop();
        let mut name = String::new();
        while let Some(character) = self.rest.pop() {
            if character == ':' && self.next_is(']') {
                self.rest.pop();
                let known = [
                    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
                    "upper", "xdigit",
                ];
                return match known.contains(&name.as_str()) {
                    true => Ok(format!("[:{name}:]")),
                    false => Err(format!("has an unknown class `[:{name}:]`")),
                };
            }
            name.push(character);
        }
        Err("has an unclosed `[:`".to_owned())
    }

    fn next_is(&self, wanted: char) -> bool {
        self.rest.last() == Some(&wanted)
    }

    fn literal(&mut self, character: char) {
        push_escaped(&mut self.out, character);
    }
}

fn push_escaped(out: &mut String, character: char) {
    out.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
}
