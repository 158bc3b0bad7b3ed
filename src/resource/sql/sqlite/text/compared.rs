//! A parameter that is compared with a column, and nothing else.

use super::{Reader, Token};
use crate::call::Refusal;

/// Words that may follow `column = :name`. Operators bind tighter than `=` here, so none may: `column = :name < 'x'`
/// would order what is only to be found.
const AFTER: &[&str] = &[
    "and",
    "or",
    "group",
    "order",
    "having",
    "limit",
    "union",
    "intersect",
    "except",
    "window",
    "then",
    "else",
    "end",
    "as",
    "where",
    "join",
    "left",
    "inner",
    "cross",
];

/// What a token is to this question.
enum Part {
    /// A word or a quoted name, lower case.
    Name(String),
    Symbol(char),
    /// The parameter that is asked about, by whichever sign.
    Parameter,
    Other,
}

/// Whether a parameter of that name is there, and stands only as `column = :name`.
///
/// # Errors
/// As [`super::read`].
pub(in crate::resource::sql::sqlite) fn compared(
    text: &str,
    name: &str,
    column: &str,
) -> Result<bool, Refusal> {
    let mut reader = Reader::new(text);
    let mut parts = Vec::new();
    while let Some(token) = reader.next()? {
        let begins = text.len().saturating_sub(reader.began);
        let ends = text.len().saturating_sub(reader.rest.len());
        let written = text.get(begins..ends).unwrap_or_default();
        parts.push(match token {
            Token::Word(word) => Part::Name(word.to_ascii_lowercase()),
            Token::Name(name) => Part::Name(name.to_ascii_lowercase()),
            Token::Symbol(symbol) => Part::Symbol(symbol),
            Token::Literal if written.get(1..) == Some(name) && written.starts_with([':', '@', '$', '#']) => {
                Part::Parameter
            }
            Token::Literal | Token::Text(_) => Part::Other,
        });
    }
    let column = column.to_ascii_lowercase();
    let mut places = parts
        .iter()
        .enumerate()
        .filter(|(_, part)| matches!(part, Part::Parameter))
        .map(|(at, _)| at)
        .peekable();
    let part = |at: usize, back: usize| at.checked_sub(back).and_then(|at| parts.get(at));
    let there = places.peek().is_some();
    Ok(there
        && places.all(|at| {
            matches!(part(at, 1), Some(Part::Symbol('=')))
                && matches!(part(at, 2), Some(Part::Name(name)) if *name == column)
                && match parts.get(at + 1) {
                    None | Some(Part::Symbol(')' | ',' | ';')) => true,
                    Some(Part::Name(word)) => AFTER.contains(&word.as_str()),
                    Some(_) => false,
                }
        }))
}
