//! A statement as text: what is refused before the engine reads it, and the few things the engine
//! does not tell.
//!
//! The engine is the authority on what a statement means. This reader follows the same token rules
//! (<https://sqlite.org/lang_expr.html>, `tokenize.c`) so that characters nobody can see are refused
//! outside literals, and so that error texts can be built from the agent's own words.

pub(super) mod change;
mod compared;
mod expansion;
mod template;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use compared::compared;
pub(super) use template::template;

use crate::call::{Code, Refusal};

/// Longest statement, in bytes.
pub(super) const MAX_STATEMENT: usize = 100_000;

/// How deep brackets may be, and how many SELECTs there may be. The engine follows subqueries with its
/// own stack, which it does not bound: some thousands of levels would end the process.
pub(super) const MAX_DEPTH: i64 = 200;
/// See [`MAX_DEPTH`].
pub(super) const MAX_SELECTS: usize = 400;

/// How many subqueries a statement's common table expressions may come to, each counted as often as it
/// is named: the engine copies a body for every mention while it prepares, where no watch can end it.
pub(super) const MAX_EXPANDED: u64 = 1_000;

/// The same for a view that an agent makes: every statement that names it is multiplied by this, and every
/// connection prepares it once.
pub(super) const MAX_VIEW: u64 = 50;

/// What the text shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// The first word, lower case.
    pub(super) first: String,
    /// Whether every SELECT at the outermost level has a WHERE.
    pub(super) has_where: bool,
    /// Whether columns may be joined by name (`USING`, `NATURAL`): the engine does not report those.
    pub(super) joins_by_name: bool,
    /// Every word and quoted name, lower case → as written.
    pub(super) words: BTreeMap<String, String>,
    /// Strings where a table may stand, in lower case: there they are names.
    pub(super) quoted: BTreeSet<String>,
}

/// Refuses a statement with our own words.
pub(super) fn refused(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::StatementRefused, message, suggestion)
}

/// Reads a statement's tokens.
///
/// # Errors
/// `statement_refused` for an empty, oversized or unclosed text, for more than one statement, and
/// for characters that are invisible or change direction outside a string literal.
pub(super) fn read(text: &str) -> Result<Shape, Refusal> {
    if text.len() > MAX_STATEMENT {
        return Err(refused(
            format!(
                "The statement has {} bytes; at most {MAX_STATEMENT} are read.",
                text.len()
            ),
            "Send a shorter statement; bind long values as parameters.",
        ));
    }
    if text.contains('\0') {
        return Err(refused(
            "The statement contains a NUL character.",
            "Remove it; bind such values as parameters.",
        ));
    }
    let mut reader = Reader::new(text);
    let mut counts = Counts::default();
    let mut shape = Shape::default();
    let mut ended = false;
    while let Some(token) = reader.next()? {
        if counts.depth > MAX_DEPTH || counts.all_selects > MAX_SELECTS {
            return Err(refused(
                format!(
                    "The statement is nested deeper than {MAX_DEPTH} or has more than {MAX_SELECTS} SELECTs."
                ),
                "Split it; bind lists as one JSON parameter and read them with json_each(?1).",
            ));
        }
        if ended && token != Token::Symbol(';') {
            return Err(refused(
                "There is more than one statement.",
                "Send one SELECT per call.",
            ));
        }
        ended |= token == Token::Symbol(';');
        counts.take(&token, &mut shape);
    }
    if shape.first.is_empty() {
        return Err(refused("There is no statement.", "Send one SELECT."));
    }
    if expansion::of(text)? > MAX_EXPANDED {
        return Err(refused(
            format!(
                "Its common table expressions come to more than {MAX_EXPANDED} subqueries, each counted as often as it is named."
            ),
            "Name each of them fewer times, or split the statement.",
        ));
    }
    shape.has_where = counts.selects > 0 && counts.wheres >= counts.selects;
    Ok(shape)
}

/// Refuses a new view that comes to more than [`MAX_VIEW`] subqueries. `others`: (name, text).
///
/// # Errors
/// `statement_refused`.
pub(super) fn view_is_small<'t>(
    name: &str,
    text: &'t str,
    others: impl Iterator<Item = (&'t str, &'t str)>,
) -> Result<(), Refusal> {
    let lower = name.to_ascii_lowercase();
    let mut views: BTreeMap<String, &str> = others
        .map(|(name, text)| (name.to_ascii_lowercase(), text))
        .collect();
    views.insert(lower.clone(), text);
    if expansion::of_view(&lower, &views) <= MAX_VIEW {
        return Ok(());
    }
    Err(refused(
        format!("The view comes to more than {MAX_VIEW} subqueries, with those of the views it names."),
        "Name tables in place of views, or each view fewer times.",
    ))
}

#[derive(Debug, Default)]
struct Counts {
    depth: i64,
    /// At any depth.
    all_selects: usize,
    selects: usize,
    wheres: usize,
    /// Whether a table may come next.
    table_next: bool,
}

impl Counts {
    fn take(&mut self, token: &Token<'_>, shape: &mut Shape) {
        match token {
            Token::Symbol('(') => self.depth += 1,
            Token::Symbol(')') => self.depth -= 1,
            Token::Word(word) => {
                let lower = word.to_ascii_lowercase();
                self.all_selects += usize::from(lower == "select");
                match lower.as_str() {
                    "select" if self.depth == 0 => self.selects += 1,
                    "where" if self.depth == 0 => self.wheres += 1,
                    "using" | "natural" => shape.joins_by_name = true,
                    _ => {}
                }
                if shape.first.is_empty() {
                    shape.first.clone_from(&lower);
                }
                shape.words.insert(lower, (*word).to_owned());
            }
            Token::Name(name) => {
                if shape.first.is_empty() {
                    shape.first.push('"');
                }
                shape.words.insert(name.to_ascii_lowercase(), name.clone());
            }
            Token::Text(_) | Token::Literal | Token::Symbol(_) => {
                if shape.first.is_empty() && *token != Token::Symbol(';') {
                    shape.first.push('?');
                }
                if let (Token::Text(text), true) = (token, self.table_next) {
                    shape.quoted.insert(text.to_ascii_lowercase());
                }
            }
        }
        self.table_next = match token {
            Token::Symbol(symbol) => matches!(symbol, '(' | ',' | '.'),
            Token::Word(word) => word.eq_ignore_ascii_case("from") || word.eq_ignore_ascii_case("join"),
            _ => false,
        };
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A keyword or a bare name.
    Word(&'a str),
    /// A quoted name, without its quotes.
    Name(String),
    /// A string, which in place of a table is a name.
    Text(String),
    /// A number or parameter.
    Literal,
    Symbol(char),
}

struct Reader<'a> {
    rest: &'a str,
    /// How much was left where the last token began.
    began: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            began: text.len(),
        }
    }

    /// The next token; white space and comments are passed over.
    fn next(&mut self) -> Result<Option<Token<'a>>, Refusal> {
        loop {
            let Some(first) = self.rest.chars().next() else {
                return Ok(None);
            };
            if matches!(first, ' ' | '\t' | '\n' | '\r' | '\x0c') {
                self.skip(1);
            } else if self.rest.starts_with("--") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                visible(self.take(end))?;
            } else if self.rest.starts_with("/*") {
                let end = self.rest.get(2..).and_then(|body| body.find("*/"));
                let Some(end) = end else {
                    return Err(unclosed("A comment"));
                };
                visible(self.take(end + 4))?;
            } else {
                self.began = self.rest.len();
                return self.token(first).map(Some);
            }
        }
    }

    fn token(&mut self, first: char) -> Result<Token<'a>, Refusal> {
        match first {
            '\'' => self.quoted('\'').map(Token::Text),
            '"' | '`' => self.quoted(first).and_then(name),
            '[' => self.bracketed().and_then(name),
            '0'..='9' => {
                self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                Ok(Token::Literal)
            }
            '?' | ':' | '@' | '#' | '$' => self.parameter(),
            _ if is_word(first) => {
                let word = self.take_while(is_word);
                visible(word)?;
                Ok(Token::Word(word))
            }
            _ => {
                visible(self.take(first.len_utf8()))?;
                Ok(Token::Symbol(first))
            }
        }
    }

    /// `$name(…)` is one token to the engine, whatever is between the brackets: not readable here.
    fn parameter(&mut self) -> Result<Token<'a>, Refusal> {
        self.skip(1);
        let name = self.take_while(|c| is_word(c) || c == ':');
        visible(name)?;
        if !name.is_empty() && (name.contains("::") || self.rest.starts_with('(')) {
            return Err(refused(
                "A parameter's name is not a plain word.",
                "Use ?1, ?2 … or :name.",
            ));
        }
        Ok(Token::Literal)
    }

    /// A text between two quotes, in which a doubled quote is one.
    fn quoted(&mut self, quote: char) -> Result<String, Refusal> {
        self.skip(1);
        let mut inner = String::new();
        loop {
            let Some(end) = self.rest.find(quote) else {
                return Err(unclosed("A quoted text"));
            };
            inner.push_str(self.take(end));
            self.skip(1);
            if !self.rest.starts_with(quote) {
                return Ok(inner);
            }
            self.skip(1);
            inner.push(quote);
        }
    }

    fn bracketed(&mut self) -> Result<String, Refusal> {
        self.skip(1);
        let Some(end) = self.rest.find(']') else {
            return Err(unclosed("A quoted name"));
        };
        let inner = self.take(end).to_owned();
        self.skip(1);
        Ok(inner)
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (head, tail) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = tail;
        head
    }

    fn skip(&mut self, bytes: usize) {
        self.take(bytes);
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.take(end)
    }
}

fn name<'a>(name: String) -> Result<Token<'a>, Refusal> {
    visible(&name)?;
    Ok(Token::Name(name))
}

fn unclosed(what: &str) -> Refusal {
    refused(
        format!("{what} is not closed."),
        "Close it, or bind the value as a parameter.",
    )
}

/// Letters of a bare name: to SQLite every character beyond ASCII is one.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// Refuses what a reader of the journal could not see, or would see in another order.
fn visible(text: &str) -> Result<(), Refusal> {
    match text.chars().find(|c| hidden(*c)) {
        None => Ok(()),
        Some(c) => Err(refused(
            format!(
                "The statement contains the invisible character U+{:04X} outside a string.",
                u32::from(c)
            ),
            "Remove it, or put it into a parameter.",
        )),
    }
}

fn hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c'))
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What follows the name in a stored `CREATE VIEW name …`, which the engine keeps in this one form.
pub(super) fn after_view_name(sql: &str) -> Option<&str> {
    let mut reader = Reader::new(sql.strip_prefix("CREATE VIEW ")?);
    match reader.next() {
        Ok(Some(Token::Word(_) | Token::Name(_) | Token::Text(_) | Token::Literal)) => Some(reader.rest),
        _ => None,
    }
}
