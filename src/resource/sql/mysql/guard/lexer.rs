//! The tokens of a statement, by the server's own rules.

use std::borrow::Cow;

use super::refused;
use crate::call::Refusal;

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a word of the language.
    Word,
    /// A name in backticks, without these.
    Quoted,
    /// A string, as its value.
    Text,
    Number,
    /// Digits of a hexadecimal literal.
    Hex,
    /// Digits of a bit literal.
    Bits,
    /// A parameter: which, from 0.
    Parameter(usize),
    Operator,
}

/// One token. Most of them are parts of the text that they were read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: Cow<'t, str>,
}

impl<'t> Token<'t> {
    fn new(kind: Kind, text: impl Into<Cow<'t, str>>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    /// Whether it is this word, which is in upper case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this operator or bracket.
    pub(super) fn is(&self, operator: &str) -> bool {
        self.kind == Kind::Operator && self.text == operator
    }
}

/// A reader of tokens.
struct Scan<'t> {
    text: &'t str,
    at: usize,
    named: &'t [String],
    used: Vec<bool>,
    tokens: Vec<Token<'t>>,
    parameters: usize,
}

/// All tokens of a text.
///
/// # Errors
/// `statement_refused`.
pub(super) fn scan<'t>(text: &'t str, named: &'t [String]) -> Result<Vec<Token<'t>>, Refusal> {
    let mut scan = Scan {
        text,
        at: 0,
        named,
        used: vec![false; named.len()],
        tokens: Vec::with_capacity(text.len() / 4),
        parameters: 0,
    };
    while let Some(c) = scan.peek() {
        scan.token(c)?;
    }
    match named.iter().zip(&scan.used).find(|(_, used)| !**used) {
        Some((name, _)) => Err(refused(
            format!("The parameter `{name}` is not used."),
            "Leave it out, or name it in the statement as :name.",
        )),
        None => Ok(scan.tokens),
    }
}

impl<'t> Scan<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn follows(&self, text: &str) -> bool {
        self.rest().starts_with(text)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// What fits, from here.
    fn take(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    fn refused(&self, what: &str, way_out: &str) -> Refusal {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let character = before.get(start..).unwrap_or("").chars().count() + 1;
        refused(format!("{what} (line {line}, character {character})."), way_out)
    }

    fn push(&mut self, kind: Kind, text: impl Into<Cow<'t, str>>) {
        self.tokens.push(Token::new(kind, text));
    }

    fn token(&mut self, c: char) -> Result<(), Refusal> {
        match c {
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => {
                self.next();
                Ok(())
            }
            '#' => self.line_comment(),
            '-' if self.is_dash_comment() => self.line_comment(),
            '/' if self.follows("/*") => self.comment(),
            '\'' | '"' => self.string(c),
            '`' => self.name(),
            '?' => self.placeholder(),
            ':' => self.named_parameter(),
            'a'..='z' | 'A'..='Z' | '_' => self.word(),
            '0'..='9' => self.number(),
            '.' if self.rest().chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => self.number(),
            c if hidden(c) => Err(self.hidden(c)),
            c if begins_word(c) => self.word(),
            _ => self.operator(c),
        }
    }

    fn hidden(&self, c: char) -> Refusal {
        self.refused(
            &format!(
                "The statement contains the invisible character U+{:04X} outside a string",
                u32::from(c)
            ),
            "Remove it, or put it into a parameter.",
        )
    }

    /// `--` begins a comment where white space, a control character or the end follows.
    fn is_dash_comment(&self) -> bool {
        let after = self.rest().strip_prefix("--").map(|rest| rest.chars().next());
        after.is_some_and(|next| next.is_none_or(|c| c.is_ascii_whitespace() || c.is_ascii_control()))
    }

    fn line_comment(&mut self) -> Result<(), Refusal> {
        let comment = self.take(|c| c != '\n');
        match comment.chars().find(|c| hidden(*c)) {
            Some(_) => Err(self.refused(
                "A comment contains an invisible character",
                "Leave the comment out.",
            )),
            None => Ok(()),
        }
    }

    /// A comment between `/*` and the next `*/`; the server runs what some of them hold.
    fn comment(&mut self) -> Result<(), Refusal> {
        let inner = self.rest().strip_prefix("/*").unwrap_or("");
        let runs = inner.starts_with(['!', '+']) || inner.starts_with("M!");
        if runs {
            return Err(self.refused(
                "A comment that the server would run or take as a hint is not available",
                "Write what it holds into the statement, or leave it out.",
            ));
        }
        let Some(end) = inner.find("*/") else {
            return Err(self.refused("A comment has no end", "Write */ behind it."));
        };
        if inner
            .get(..end)
            .is_some_and(|comment| comment.contains("/*") || comment.chars().any(hidden))
        {
            return Err(self.refused(
                "A comment holds another, or an invisible character",
                "Leave the comment out.",
            ));
        }
        self.at += end + 4;
        Ok(())
    }

    /// A string, with the escapes the server knows; strings that follow one another are one.
    fn string(&mut self, quote: char) -> Result<(), Refusal> {
        if let Some(before) = self.tokens.last() {
            let text = &before.text;
            let introduces = before.kind == Kind::Word
                && (text.starts_with('_')
                    || ["N", "X", "B"].iter().any(|one| text.eq_ignore_ascii_case(one)));
            if introduces {
                return Err(self.refused(
                    &format!("`{text}` before a string is not available"),
                    "Write the string alone; CONVERT(… USING utf8mb4) gives a text another character set.",
                ));
            }
        }
        let start = self.at;
        self.next();
        let mut value = String::new();
        loop {
            match self.next() {
                None => {
                    self.at = start;
                    return Err(self.refused("A string has no end", "Close it, or bind it as a parameter."));
                }
                Some('\0') => {
                    return Err(self.refused("A string contains a NUL character", "Bind it as a parameter."));
                }
                Some('\\') => self.escape(&mut value)?,
                Some(c) if c == quote => {
                    if self.peek() != Some(quote) {
                        break;
                    }
                    self.next();
                    value.push(quote);
                }
                Some(c) => value.push(c),
            }
        }
        match self.tokens.last_mut() {
            Some(before) if before.kind == Kind::Text => before.text.to_mut().push_str(&value),
            _ => self.push(Kind::Text, value),
        }
        Ok(())
    }

    fn escape(&mut self, value: &mut String) -> Result<(), Refusal> {
        match self.next() {
            None => return Err(self.refused("A string has no end", "Close it, or bind it as a parameter.")),
            Some('0' | '\0') => {
                return Err(self.refused("A string contains a NUL character", "Bind it as a parameter."));
            }
            Some('b') => value.push('\x08'),
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some('t') => value.push('\t'),
            Some('Z') => value.push('\x1a'),
            // For patterns: the backslash stays.
            Some(c @ ('%' | '_')) => value.extend(['\\', c]),
            Some(c) => value.push(c),
        }
        Ok(())
    }

    fn name(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        self.next();
        let name = self.take(|c| c != '`');
        let closed = self.next().is_some();
        let plain = !name.is_empty()
            && !name.contains(|c: char| hidden(c) || c.is_control())
            && self.peek() != Some('`');
        if !(closed && plain) || name.ends_with(' ') {
            self.at = start;
            return Err(self.refused(
                "A name in backticks is empty, has no end, or contains a backtick or an invisible character",
                "Name tables and columns as sql_schema shows them.",
            ));
        }
        self.push(Kind::Quoted, name);
        Ok(())
    }

    fn placeholder(&mut self) -> Result<(), Refusal> {
        if !self.named.is_empty() {
            return Err(self.refused(
                "`?` stands beside named parameters",
                "Use names for all parameters, or ? for all.",
            ));
        }
        self.next();
        self.push(Kind::Parameter(self.parameters), "?");
        self.parameters += 1;
        Ok(())
    }

    fn named_parameter(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        self.next();
        let name = self.take(in_word);
        if name.is_empty() || self.named.is_empty() {
            self.at = start;
            return Err(self.refused(
                "`:` is not available here",
                "Give values for :name as named `parameters`; variables (`:=`) cannot be set.",
            ));
        }
        let Some(number) = self.named.iter().position(|known| known == name) else {
            self.at = start;
            return Err(self.refused(
                &format!("There is no parameter `{name}`"),
                "Give each :name of the statement in `parameters`.",
            ));
        };
        if let Some(used) = self.used.get_mut(number) {
            *used = true;
        }
        self.push(Kind::Parameter(number), "?");
        Ok(())
    }

    fn number(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        let odd = |scan: &mut Self| {
            scan.at = start;
            scan.refused(
                "A number, or a name that begins with a digit, cannot be read",
                "Write numbers as 1, 1.5 or 1e3, hexadecimal ones as 0x1F, and such names in backticks.",
            )
        };
        let behind_name = |token: &Token| matches!(token.kind, Kind::Word | Kind::Quoted);
        let dotted = self.tokens.last().is_some_and(|token| token.is("."));
        if dotted || self.follows(".") && self.tokens.last().is_some_and(behind_name) {
            return Err(odd(self));
        }
        let coded = |scan: &mut Self, fits: fn(char) -> bool| {
            scan.at += 2;
            scan.take(fits)
        };
        let (kind, text) = if self.follows("0x") {
            let digits = coded(self, |c| c.is_ascii_hexdigit());
            let whole: Cow<'t, str> = match digits.len() % 2 {
                0 => digits.into(),
                _ => format!("0{digits}").into(),
            };
            (Kind::Hex, whole)
        } else if self.follows("0b") {
            (Kind::Bits, coded(self, |c| matches!(c, '0' | '1')).into())
        } else {
            self.take(|c| c.is_ascii_digit());
            if self.follows(".") {
                self.next();
                self.take(|c| c.is_ascii_digit());
            }
            let exponent = self.rest().strip_prefix(['e', 'E']);
            let digits = exponent.map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
            if digits.is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit())) {
                self.at += 2;
                self.take(|c| c.is_ascii_digit());
            }
            (Kind::Number, self.text.get(start..self.at).unwrap_or("").into())
        };
        if text.is_empty() || self.peek().is_some_and(|c| in_word(c) || c == '.') {
            return Err(odd(self));
        }
        self.push(kind, text);
        Ok(())
    }

    fn word(&mut self) -> Result<(), Refusal> {
        for (letters, kind) in [("xX", Kind::Hex), ("bB", Kind::Bits)] {
            let quoted = self.rest().as_bytes().get(1) == Some(&b'\'');
            if quoted && self.rest().starts_with(|c| letters.contains(c)) {
                self.at += 2;
                let digits = self.take(|c| {
                    if kind == Kind::Hex {
                        c.is_ascii_hexdigit()
                    } else {
                        matches!(c, '0' | '1')
                    }
                });
                if self.next() != Some('\'') || kind == Kind::Hex && digits.len() % 2 == 1 {
                    return Err(
                        self.refused("A binary literal cannot be read", "Write it as X'1F' or B'01'.")
                    );
                }
                self.push(kind, digits);
                return Ok(());
            }
        }
        let start = self.at;
        let word = self.take(in_word);
        let hidden = |word: &str| word.chars().find(|c| hidden(*c));
        if let Some(c) = Some(word).filter(|word| !word.is_ascii()).and_then(hidden) {
            self.at = start;
            return Err(self.hidden(c));
        }
        self.push(Kind::Word, word);
        Ok(())
    }

    fn operator(&mut self, c: char) -> Result<(), Refusal> {
        const LONG: [&str; 11] = ["<=>", "->>", "<=", ">=", "<>", "!=", "<<", ">>", "&&", "||", "->"];
        let rest = self.rest();
        let begins = matches!(c, '<' | '-' | '>' | '!' | '&' | '|');
        if let Some(long) = LONG.iter().find(|long| begins && rest.starts_with(**long)) {
            self.at += long.len();
            self.push(Kind::Operator, *long);
            return Ok(());
        }
        let ends_comment = self.follows("*/");
        match c {
            '(' | ')' | ',' | '.' | ';' | '+' | '-' | '*' | '/' | '%' | '=' | '<' | '>' | '!' | '~' | '^'
            | '&' | '|'
                if !ends_comment =>
            {
                self.next();
                self.push(Kind::Operator, rest.get(..1).unwrap_or("")); // all of these are ASCII
                Ok(())
            }
            '@' => Err(self.refused(
                "Variables are not available",
                "Bind values as parameters; write what you need into the statement.",
            )),
            _ => Err(self.refused(
                &format!("`{c}` is not available here"),
                "Write names in backticks and strings in single quotes.",
            )),
        }
    }
}

/// What a name may begin with. A `$` may begin a quoted text in newer servers.
fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn in_word(c: char) -> bool {
    begins_word(c) || c.is_ascii_digit() || c == '$'
}

/// What a reader of the journal could not see, or would see in another order.
fn hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0b' | '\x0c'))
        || matches!(c,
            '\u{a0}' | '\u{ad}' | '\u{61c}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{3000}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
