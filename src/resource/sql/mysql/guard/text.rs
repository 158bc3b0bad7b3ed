//! A statement as text: its tokens by the server's own rules, and what is refused before the grammar reads it.
//!
//! The grammar is a library's, which was not written for one server. So it is given these tokens, and no text: without
//! comments, every string as a short name of ours. Where the library and the server read a text differently, there is nothing
//! left to read differently.
//!
//! It rests on a `sql_mode` without `ANSI_QUOTES`, `PIPES_AS_CONCAT`, `NO_BACKSLASH_ESCAPES`,
//! `HIGH_NOT_PRECEDENCE`, `IGNORE_SPACE` and `ORACLE`, and on a connection in utf8mb4.

use super::lexer::{Kind, Token, scan};
use super::refused;
use crate::call::Refusal;

/// Longest statement, in bytes.
pub(super) const MAX_STATEMENT: usize = 100_000;
/// Longest text that is sent, in bytes.
pub(super) const MAX_SENT: usize = 1_000_000;
/// How deep brackets may be.
const MAX_DEPTH: usize = 50;
/// How many tokens a statement may have.
const MAX_TOKENS: usize = 20_000;
/// How many tokens may follow one another without a comma, over all brackets that are open: a tree of operators
/// is no deeper.
const MAX_RUN: usize = 2_000;
/// How many set operations and joins a statement may have: a comma ends no chain of these.
const MAX_JOINED: usize = 100;
/// What a statement is split for when it has too many tokens or brackets.
const SPLIT: &str = "Split it into several statements, or into common table expressions.";

/// The tokens of a statement that may be parsed.
///
/// `named`: as for [`super::check`].
///
/// # Errors
/// `statement_refused`.
pub(super) fn read<'t>(text: &'t str, named: &'t [String]) -> Result<Vec<Token<'t>>, Refusal> {
    if text.len() > MAX_STATEMENT {
        return Err(refused(
            format!(
                "The statement has {} bytes; at most {MAX_STATEMENT} are read.",
                text.len()
            ),
            "Send a shorter statement; bind long values as parameters.",
        ));
    }
    let mut tokens = scan(text, named)?;
    while tokens.last().is_some_and(|token| token.is(";")) {
        tokens.pop();
    }
    if tokens.is_empty() {
        return Err(refused("There is no statement.", "Send one statement."));
    }
    if tokens.iter().any(|token| token.is(";")) {
        return Err(refused(
            "There is more than one statement.",
            "Send one statement per call.",
        ));
    }
    bounded(&tokens)?;
    Ok(tokens)
}

fn bounded(tokens: &[Token<'_>]) -> Result<(), Refusal> {
    let mut runs = vec![0_usize];
    let (mut run, mut joined) = (0_usize, 0_usize);
    for token in tokens {
        match (&token.kind, &*token.text) {
            (Kind::Operator, "(") => runs.push(0),
            (Kind::Operator, ")") if runs.len() > 1 => run = run.saturating_sub(runs.pop().unwrap_or(0)),
            (Kind::Operator, ",") => {
                if let Some(last) = runs.last_mut() {
                    run = run.saturating_sub(std::mem::take(last));
                }
            }
            _ => {
                run += 1;
                if let Some(last) = runs.last_mut() {
                    *last += 1;
                }
            }
        }
        let joins = ["UNION", "EXCEPT", "INTERSECT", "MINUS", "JOIN", "STRAIGHT_JOIN"];
        joined += usize::from(joins.iter().any(|word| token.is_word(word)));
        if runs.len() > MAX_DEPTH + 1 || run > MAX_RUN || joined > MAX_JOINED {
            return Err(refused("The statement is nested too deeply.", SPLIT));
        }
    }
    if tokens.len() > MAX_TOKENS {
        return Err(refused(
            format!("The statement has more than {MAX_TOKENS} words."),
            SPLIT,
        ));
    }
    Ok(())
}

/// What the library is given: every string by its place among the strings.
pub(super) fn skeleton<'t>(tokens: &[Token<'t>]) -> Vec<Token<'t>> {
    let mut strings = 0_usize;
    let each = tokens.iter().map(|token| match token.kind {
        Kind::Text => {
            strings += 1;
            Token {
                kind: Kind::Text,
                text: format!("s{}", strings - 1).into(),
            }
        }
        _ => token.clone(),
    });
    each.collect()
}

/// Words behind which a bracket stands apart; behind any other, as a function's, it does not: the server knows
/// some of its own functions only so.
const APART: [&str; 24] = [
    "AGAINST",
    "ALL",
    "AND",
    "ANY",
    "AS",
    "BETWEEN",
    "BY",
    "EXCEPT",
    "EXISTS",
    "FROM",
    "HAVING",
    "IN",
    "INTERSECT",
    "JOIN",
    "LIKE",
    "NOT",
    "ON",
    "OR",
    "OVER",
    "SELECT",
    "THEN",
    "UNION",
    "USING",
    "WHERE",
];

/// Tokens as text, by the server's rules; `string` writes strings.
///
/// As near as can be to how people write it: a column without a name of its own is called by the text it is made of.
pub(super) fn written(tokens: &[Token<'_>], mut string: impl FnMut(&Token<'_>) -> String) -> String {
    let mut text = String::with_capacity(tokens.len() * 6);
    let (mut before, mut earlier): (Option<&Token<'_>>, Option<&Token<'_>>) = (None, None);
    for token in tokens {
        if before.is_some_and(|before| !is_glued(earlier, before, token)) {
            text.push(' ');
        }
        (earlier, before) = (before, Some(token));
        match token.kind {
            Kind::Word | Kind::Number | Kind::Operator => text.push_str(&token.text),
            Kind::Quoted => text.push_str(&quoted(&token.text)),
            Kind::Text => text.push_str(&string(token)),
            Kind::Hex => text.push_str(&format!("X'{}'", token.text)),
            Kind::Bits => text.push_str(&format!("B'{}'", token.text)),
            Kind::Parameter(_) => text.push('?'),
        }
    }
    text
}

/// Whether no space stands between two tokens.
fn is_glued(earlier: Option<&Token<'_>>, before: &Token<'_>, token: &Token<'_>) -> bool {
    let closes = |token: &Token<'_>| [",", ")", "."].iter().any(|one| token.is(one));
    let called = before.kind == Kind::Word && !APART.iter().any(|word| before.is_word(word));
    // A sign, which stands behind no operand.
    let operand =
        |token: &Token<'_>| token.kind != Kind::Operator && !token.is_word("SELECT") || token.is(")");
    let signed = before.is("-") && token.kind == Kind::Number && !earlier.is_some_and(operand);
    before.is("(") || before.is(".") || closes(token) || token.is("(") && called || signed
}

/// A name as SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string as SQL.
pub(super) fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}
