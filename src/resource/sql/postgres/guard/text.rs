//! A statement as text: what is refused before the grammar reads it, its tokens, and its tree.
//!
//! The grammar is C that follows its own stack, so length, depth and number of tokens are bounded before
//! it is asked for more than tokens.

use pg_query::protobuf::{KeywordKind, Token};

use super::grammar::{self, Fails};
use super::tree::{Node, Tree};
use super::{json, refused};
use crate::call::{Literal, LiteralKind, Refusal, Template};

/// Longest statement, in bytes.
pub(super) const MAX_STATEMENT: usize = 100_000;
/// Longest text that is sent, in bytes: what masks add is bounded too.
pub(super) const MAX_SENT: usize = 1_000_000;
/// How deep brackets may be.
const MAX_DEPTH: usize = 200;
/// How many tokens a statement may have.
const MAX_TOKENS: usize = 20_000;
/// What a statement is split for when it has too many tokens or brackets.
const SPLIT: &str = "Split it; bind lists as one array parameter: WHERE id = ANY($1).";

/// One token, by bytes of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lexeme {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) token: Token,
    /// Whether it is a word of the language, which may also be a name.
    pub(super) keyword: bool,
}

/// A text and its tokens.
#[derive(Debug)]
pub(super) struct Tokens<'t> {
    pub(super) text: &'t str,
    /// Without comments.
    pub(super) tokens: Vec<Lexeme>,
    /// Comments: start and end.
    pub(super) comments: Vec<(usize, usize)>,
}

impl<'t> Tokens<'t> {
    /// The text of a token.
    pub(super) fn of(&self, lexeme: Lexeme) -> &'t str {
        self.text.get(lexeme.start..lexeme.end).unwrap_or("")
    }

    /// The index of the token that begins at a byte.
    pub(super) fn at(&self, start: usize) -> Option<usize> {
        self.tokens
            .binary_search_by_key(&start, |lexeme| lexeme.start)
            .ok()
    }

    /// The kind of the token at an index; `Nul` beyond either end.
    pub(super) fn kind(&self, index: Option<usize>) -> Token {
        let found = index.and_then(|index| self.tokens.get(index));
        found.map_or(Token::Nul, |lexeme| lexeme.token)
    }
}

/// The tokens of a statement that may be parsed.
///
/// # Errors
/// `statement_refused` for an empty, oversized, deep or unclosed text, for more than one statement, and for
/// characters that are invisible or change direction outside a string literal.
pub(super) fn read(text: &str) -> Result<Tokens<'_>, Refusal> {
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
    let tokens = scan(text)?;
    visible(&tokens)?;
    shallow(&tokens)?;
    one(&tokens)?;
    Ok(tokens)
}

fn scan(text: &str) -> Result<Tokens<'_>, Refusal> {
    // Of a text without tokens the library makes a slice of nothing, from a null pointer.
    if text.chars().all(|c| c.is_ascii_whitespace() || c == '\x0b') {
        return Err(nothing());
    }
    let scanned = pg_query::scan_tokens(text).map_err(|error| unreadable(&error))?;
    let (mut tokens, mut comments) = (Vec::with_capacity(scanned.len()), Vec::new());
    for scanned in &scanned {
        let start = usize::try_from(scanned.start).unwrap_or(text.len());
        let end = usize::try_from(scanned.end).unwrap_or(text.len());
        // A token this library does not know is none it can vouch for.
        let token = Token::try_from(scanned.token).unwrap_or(Token::Nul);
        match token {
            Token::SqlComment | Token::CComment => comments.push((start, end)),
            Token::Uescape => {
                return Err(refused(
                    "UESCAPE is not available.",
                    "Use \\ as the escape character, or write the name or text itself.",
                ));
            }
            Token::Nul => return Err(refused("The statement contains an unknown token.", "Remove it.")),
            token => tokens.push(Lexeme {
                start,
                end,
                token,
                keyword: scanned.keyword_kind != KeywordKind::NoKeyword as i32,
            }),
        }
    }
    Ok(Tokens {
        text,
        tokens,
        comments,
    })
}

/// The statement with its literals numbered. The grammar is over kinds of tokens, so another literal of the same kind
/// in the same place makes the same parse tree. `None` for what cannot be read: nothing is free then.
pub(in super::super) fn template(text: &str) -> Option<Template> {
    let tokens = read(text).ok()?;
    let mut out = Template::default();
    for lexeme in &tokens.tokens {
        let raw = text.get(lexeme.start..lexeme.end)?;
        let kind = match lexeme.token {
            Token::Sconst => Some(LiteralKind::Text),
            Token::Iconst => Some(LiteralKind::Integer),
            Token::Fconst => Some(LiteralKind::Decimal),
            _ => None,
        };
        match kind {
            Some(kind) => {
                let text = raw.to_owned();
                out.literals.push(Literal { kind, text });
                out.text.push_str("\u{ab}literal\u{bb}");
            }
            None if raw.contains('\u{ab}') => return None, // a name that could pass for a numbered place
            None => out.text.push_str(raw),
        }
        out.text.push(' ');
    }
    Some(out)
}

fn nothing() -> Refusal {
    refused("There is no statement.", "Send one statement.")
}

fn unreadable(error: &pg_query::Error) -> Refusal {
    let said = match error {
        pg_query::Error::Parse(message) | pg_query::Error::Scan(message) => message.as_str(),
        _ => "it is no statement of this grammar",
    };
    refused(
        format!("PostgreSQL's grammar cannot read the statement: {said}."),
        "Send one statement; bind values as parameters: $1, $2 ….",
    )
}

/// Refuses what a reader of the journal could not see, or would see in another order.
fn visible(tokens: &Tokens<'_>) -> Result<(), Refusal> {
    let mut from = 0;
    let mut spans: Vec<(usize, usize)> = Vec::new();
    let literals = tokens.tokens.iter().filter(|lexeme| {
        matches!(
            lexeme.token,
            Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst
        )
    });
    for literal in literals {
        spans.push((from, literal.start));
        from = literal.end;
    }
    spans.push((from, tokens.text.len()));
    for (start, end) in spans {
        let outside = tokens.text.get(start..end).unwrap_or(tokens.text);
        if let Some(c) = outside.chars().find(|c| hidden(*c)) {
            return Err(refused(
                format!(
                    "The statement contains the invisible character U+{:04X} outside a string.",
                    u32::from(c)
                ),
                "Remove it, or put it into a parameter.",
            ));
        }
    }
    Ok(())
}

fn hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c'))
        || matches!(c,
            '\u{a0}' | '\u{ad}' | '\u{61c}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{3000}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn shallow(tokens: &Tokens<'_>) -> Result<(), Refusal> {
    let (mut depth, mut deepest) = (0_usize, 0);
    for lexeme in &tokens.tokens {
        match lexeme.token {
            Token::Ascii40 | Token::Ascii91 => depth += 1,
            Token::Ascii41 | Token::Ascii93 => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_DEPTH || tokens.tokens.len() > MAX_TOKENS {
        return Err(refused(
            format!("The statement is nested deeper than {MAX_DEPTH} or has more than {MAX_TOKENS} words."),
            SPLIT,
        ));
    }
    Ok(())
}

fn one(tokens: &Tokens<'_>) -> Result<(), Refusal> {
    let is_end = |lexeme: &Lexeme| lexeme.token == Token::Ascii59;
    let mut rest = tokens.tokens.iter().skip_while(|lexeme| !is_end(lexeme));
    if tokens.tokens.iter().all(is_end) {
        return Err(nothing());
    }
    if rest.any(|lexeme| !is_end(lexeme)) {
        return Err(refused(
            "There is more than one statement.",
            "Send one statement per call.",
        ));
    }
    Ok(())
}

/// Names in place of numbers: `:name` becomes `$n`, n being its place in `names`, from 1.
///
/// # Errors
/// `statement_refused` for a name that is not among them, one that is not used, and for `$1` beside them.
pub(super) fn numbered(tokens: &Tokens<'_>, names: &[String]) -> Result<Vec<Edit>, Refusal> {
    let mut edits = Vec::new();
    if names.is_empty() {
        return Ok(edits);
    }
    let mut used = vec![false; names.len()];
    let mut brackets = 0_usize;
    for (index, lexeme) in tokens.tokens.iter().enumerate() {
        match lexeme.token {
            Token::Ascii91 => brackets += 1,
            Token::Ascii93 => brackets = brackets.saturating_sub(1),
            Token::Param => {
                return Err(refused(
                    format!("`{}` stands beside named parameters.", tokens.of(*lexeme)),
                    "Use names for all parameters, or numbers for all.",
                ));
            }
            _ => {}
        }
        let Some(named) = tokens.tokens.get(index + 1) else {
            continue;
        };
        let is_name = named.keyword || named.token == Token::Ident;
        if lexeme.token != Token::Ascii58 || named.start != lexeme.end || !is_name {
            continue;
        }
        let name = tokens.of(*named);
        match names.iter().position(|known| known == name) {
            Some(at) => {
                if let Some(used) = used.get_mut(at) {
                    *used = true;
                }
                edits.push(Edit::new(lexeme.start, named.end, format!("${}", at + 1)));
            }
            // `a[1:n]` is a slice.
            None if brackets > 0 => {}
            None => {
                return Err(refused(
                    format!("There is no parameter `{name}`."),
                    "Give each :name of the statement in `parameters`.",
                ));
            }
        }
    }
    match names.iter().zip(&used).find(|(_, used)| !**used) {
        Some((name, _)) => Err(refused(
            format!("The parameter `{name}` is not used."),
            "Leave it out, or name it in the statement as :name.",
        )),
        None => Ok(edits),
    }
}

/// A span of a text that becomes another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) text: String,
}

impl Edit {
    /// Bytes `start..end` become `text`.
    pub(super) fn new(start: usize, end: usize, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { start, end, text }
    }
}

/// The one statement of a text.
///
/// # Errors
/// `statement_refused`, with the place of what the grammar cannot read.
pub(super) fn parse(tokens: &Tokens<'_>) -> Result<Tree, Refusal> {
    let parsed = parsed(tokens.text);
    let parsed = parsed.map_err(|error| match error {
        Unparsed::Grammar(said) => syntax(tokens, &said),
        Unparsed::Deep => too_deep(),
    })?;
    let mut statements = statements(parsed);
    match (statements.next(), statements.next()) {
        (Some(statement), None) => Ok(statement),
        _ => Err(refused(
            "There is more than one statement.",
            "Send one statement per call.",
        )),
    }
}

/// Why there is no tree.
#[derive(Debug)]
enum Unparsed {
    Grammar(String),
    Deep,
}

/// Runs what follows a statement as deep as it is on a stack that holds it, once for all of it.
///
/// # Errors
/// What `work` says; `statement_refused` when it ended in a panic.
pub(super) fn deep<T>(work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    crate::resource::sql::deep::deep(work).unwrap_or_else(|| Err(too_deep()))
}

fn too_deep() -> Refusal {
    refused("The statement is nested too deeply.", SPLIT)
}

/// The grammar's answer.
fn parsed(text: &str) -> Result<Node, Unparsed> {
    match grammar::parse(text, json::read) {
        Ok(Some(node)) => Ok(node),
        Err(Fails::Grammar(message)) => Err(Unparsed::Grammar(message)),
        Ok(None) | Err(Fails::Nul) => Err(Unparsed::Deep),
    }
}

/// The statements of an answer, taken out of it: they may be large.
fn statements(parsed: Node) -> impl Iterator<Item = Tree> {
    let raw = match parsed.take("stmts") {
        Tree::List(list) => list,
        _ => Vec::new(),
    };
    raw.into_iter().map(|raw| match raw {
        Tree::Node(raw) => raw.take("stmt"),
        _ => Tree::Nothing,
    })
}

/// A text of ours as a tree.
///
/// # Errors
/// `internal`: the grammar cannot read what we wrote.
pub(super) fn parse_ours(text: &str) -> Result<Tree, Refusal> {
    let broken = |what: &str| Refusal::internal(format!("postgres guard: {what}"));
    match parsed(text) {
        Ok(parsed) => statements(parsed)
            .next()
            .ok_or_else(|| broken("nothing was written")),
        Err(Unparsed::Grammar(_)) => Err(broken("what was written cannot be read")),
        Err(Unparsed::Deep) => Err(too_deep()),
    }
}

/// What the grammar says, and where: it names the token, and the shortest beginning that fails there is
/// where it is.
fn syntax(tokens: &Tokens<'_>, said: &str) -> Refusal {
    let fails = |index: &usize| {
        let end = tokens.tokens.get(*index).map_or(0, |lexeme| lexeme.end);
        let head = tokens.text.get(..end).unwrap_or("");
        match parsed(head) {
            Err(Unparsed::Grammar(message)) => !message.ends_with("at end of input"),
            _ => false,
        }
    };
    let (mut low, mut high) = (0, tokens.tokens.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if fails(&middle) {
            high = middle
        } else {
            low = middle + 1
        }
    }
    let place = tokens.tokens.get(low).filter(|_| said.contains(" at or near "));
    let place = place.map(|lexeme| format!(", {}", place_of(tokens.text, lexeme.start)));
    refused(
        format!(
            "PostgreSQL's grammar cannot read the statement: {said}{}.",
            place.unwrap_or_default()
        ),
        "Send one statement; bind values as parameters: $1, $2 ….",
    )
}

/// Line and character of a byte, from 1.
pub(super) fn place_of(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let character = before.get(start..).unwrap_or("").chars().count() + 1;
    format!("line {line}, character {character}")
}
