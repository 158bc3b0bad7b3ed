//! The plain part of the shell's language, read letter by letter: words, two kinds of quotes, the backslash
//! and four operators (POSIX.1-2024, XCU 2.2 and 2.3). Everything else a shell knows is refused here, so that
//! what comes after never meets nesting, expansion or a second line.

use crate::call::{Refusal, is_unseen};

use super::refusing;

/// The most programs in a line.
pub(super) const PROGRAMS: usize = 32;
/// The longest line, in bytes.
pub(super) const BYTES: usize = 16 * 1024;

/// What joins two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    Pipe,
    And,
    Or,
    Then,
}

/// One program's words and what stood before it; the first stands after [`Joint::Then`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) after: Joint,
    pub(super) words: Vec<String>,
}

/// Whether a reader would take this letter for something else than it is, or for nothing: what is not seen,
/// and every blank but the space.
pub(super) fn is_treacherous(c: char) -> bool {
    is_unseen(c) || (c.is_whitespace() && c != ' ') || matches!(c, '\u{2800}' | '\u{fffd}')
}

/// A line → its programs' words, quotes and backslashes taken away.
///
/// # Errors
/// `invalid_arguments`, naming the first thing that is not plain.
pub(super) fn split(line: &str) -> Result<Vec<Words>, Refusal> {
    if line.len() > BYTES {
        return Err(refusing::too_much("The line", BYTES, "bytes"));
    }
    if let Some(c) = line.chars().find(|c| is_treacherous(*c) && *c != '\t') {
        return Err(refusing::unreadable("The line", c));
    }
    let mut reader = Reader {
        left: line.chars().peekable(),
        word: None,
        before: None,
        done: Vec::new(),
        open: Words {
            after: Joint::Then,
            words: Vec::new(),
        },
    };
    reader.run()?;
    Ok(reader.done)
}

struct Reader<'a> {
    left: std::iter::Peekable<std::str::Chars<'a>>,
    /// The word being read; `Some("")` after an empty pair of quotes.
    word: Option<String>,
    /// The unquoted letter just before, within the word.
    before: Option<char>,
    done: Vec<Words>,
    open: Words,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), Refusal> {
        while let Some(c) = self.left.next() {
            match c {
                ' ' | '\t' => self.end_word(),
                '\'' => self.single()?,
                '"' => self.double()?,
                '\\' => self.escape()?,
                '|' | '&' | ';' => self.operator(c)?,
                '!' if self.is_lone() && !self.open.words.is_empty() => self.push(c),
                _ if let Some(what) = self.meaning(c) => return Err(refusing::not_plain(c, what)),
                _ => self.push(c),
            }
        }
        self.end_word();
        let ends_with_then = self.open.after == Joint::Then && !self.done.is_empty();
        if !(self.open.words.is_empty() && ends_with_then) {
            self.end_program(Joint::Then)?;
        }
        Ok(())
    }

    /// What a shell would do with an unquoted letter here, if not take it as it is.
    fn meaning(&self, c: char) -> Option<&'static str> {
        let starts = self.word.is_none();
        match c {
            '$' | '`' => Some("an expansion"),
            '<' | '>' => Some("a redirection"),
            '(' | ')' => Some("a subshell or a function"),
            '{' | '}' => Some("a brace expansion or a group"),
            '*' | '?' | '[' => Some("a file name pattern"),
            '~' if starts || matches!(self.before, Some('=' | ':')) => Some("a home folder"),
            // Also after quotes and an escaped blank, where not every reader sees the middle of a word.
            '#' if self.before.is_none() => Some("a comment"),
            '!' => Some("a negation or the history"),
            _ => None,
        }
    }

    /// Whether the letter just taken is a word of its own.
    fn is_lone(&mut self) -> bool {
        self.word.is_none() && matches!(self.left.peek(), None | Some(' ' | '\t'))
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
        self.before = Some(c);
    }

    /// A letter that quotes protect.
    fn push_quoted(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
        self.before = None;
    }

    fn single(&mut self) -> Result<(), Refusal> {
        self.word.get_or_insert_default();
        self.before = None;
        loop {
            match self.left.next() {
                None => return Err(refusing::unterminated("'")),
                Some('\'') => return Ok(()),
                Some(c) => self.push_quoted(c),
            }
        }
    }

    fn double(&mut self) -> Result<(), Refusal> {
        self.word.get_or_insert_default();
        self.before = None;
        loop {
            match self.left.next() {
                None => return Err(refusing::unterminated("\"")),
                Some('"') => return Ok(()),
                Some(c @ ('$' | '`')) => return Err(refusing::not_plain(c, "an expansion")),
                Some('\\') => match self.left.peek().copied() {
                    Some(c @ ('"' | '\\' | '$' | '`')) => {
                        self.left.next();
                        self.push_quoted(c);
                    }
                    _ => self.push_quoted('\\'),
                },
                Some(c) => self.push_quoted(c),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Refusal> {
        match self.left.next() {
            None => Err(refusing::unterminated("\\")),
            Some(c) => {
                self.push_quoted(c);
                Ok(())
            }
        }
    }

    fn operator(&mut self, first: char) -> Result<(), Refusal> {
        let mut text = String::from(first);
        while let Some(c @ ('|' | '&' | ';')) = self.left.peek().copied() {
            text.push(c);
            self.left.next();
        }
        let joint = match text.as_str() {
            "|" => Joint::Pipe,
            "&&" => Joint::And,
            "||" => Joint::Or,
            ";" => Joint::Then,
            _ => return Err(refusing::not_a_joint(&text)),
        };
        self.end_word();
        self.end_program(joint)
    }

    fn end_word(&mut self) {
        self.before = None;
        self.open.words.extend(self.word.take());
    }

    fn end_program(&mut self, next: Joint) -> Result<(), Refusal> {
        if self.open.words.is_empty() {
            return Err(refusing::no_program());
        }
        if self.done.len() == PROGRAMS {
            return Err(refusing::too_much("The line", PROGRAMS, "programs"));
        }
        let open = Words {
            after: next,
            words: Vec::new(),
        };
        self.done.push(std::mem::replace(&mut self.open, open));
        Ok(())
    }
}
