//! The second look: that the library lost and added nothing, and that what is printed reads nothing but relations
//! of the catalogue under their full names.
//!
//! It does not know how the walk went: it looks at tokens, and at the tree of the print as it is serialised.

use std::cell::Cell;

use sqlparser::ast::Statement;

use super::form::Form;
use super::lexer::{self, Kind, Token};
use super::text;
use super::walk::Walk;
use super::{Mode, broken, grammar, refusals};
use crate::call::Refusal;

/// What a tree is printed as, as tokens.
fn print(tree: &Statement) -> Result<Vec<Token>, Refusal> {
    let text = tree.to_string();
    lexer::scan(&text, &[]).map_err(|_| broken("what was printed has other words"))
}

/// One token, for comparing: strings by their place, words without case.
fn shape(token: &Token, strings: &mut usize) -> Option<String> {
    Some(match token.kind {
        // The library writes it where it may be left out.
        Kind::Word if token.is_word("AS") => return None,
        Kind::Word => token.text.to_uppercase(),
        Kind::Quoted => text::quoted(&token.text),
        Kind::Text => {
            *strings += 1;
            format!("'s{}'", *strings - 1)
        }
        Kind::Number => format!("#{}", token.text.to_uppercase()),
        Kind::Hex => format!("X'{}'", token.text.to_uppercase()),
        Kind::Bits => format!("B'{}'", token.text),
        Kind::Parameter(_) => "?".to_owned(),
        Kind::Operator => match token.text.as_str() {
            "!=" => "<>".to_owned(),
            other => other.to_owned(),
        },
    })
}

/// Whether the tree's print has the words of the statement, all of them, in their order.
///
/// # Errors
/// `statement_refused`: the library reads something there differently.
pub(super) fn nothing_lost(tokens: &[Token], tree: &Statement) -> Result<(), Refusal> {
    let printed = print(tree)?;
    let (mut written, mut again) = (0, 0);
    let mut ours = tokens.iter().filter_map(|token| shape(token, &mut written));
    let mut theirs = printed.iter().filter_map(|token| match token.kind {
        Kind::Text => {
            again += 1;
            // Its place as the library has it.
            Some(format!("'{}'", token.text))
        }
        _ => shape(token, &mut 0),
    });
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return Ok(()),
            (Some(one), Some(other)) if one == other => {}
            (one, other) => {
                let near = one.or(other).unwrap_or_default();
                let near = if near.starts_with('\'') {
                    "a string".to_owned()
                } else {
                    format!("`{near}`")
                };
                return Err(refusals::plainer(&format!(
                    "The way in which the statement uses {near}"
                )));
            }
        }
    }
}

/// The rewritten tree as tokens.
///
/// # Errors
/// `internal` when its print is read as anything else, or reads what it must not.
pub(super) fn printed(tree: &Statement, walk: &Walk<'_>) -> Result<Vec<Token>, Refusal> {
    let text = tree.to_string();
    let again = grammar::parse(&text).map_err(|_| unprinted())?;
    if again != *tree {
        return Err(broken("what was printed is read as something else"));
    }
    let tokens = lexer::scan(&text, &[]).map_err(|_| broken("what was printed has other words"))?;
    let seal = Seal {
        walk,
        targets: Cell::new(0),
    };
    let form = Form::of(&again).map_err(|_| broken("a tree without a form"))?;
    seal.tree(&form)?;
    seal.words(&tokens)?;
    Ok(tokens)
}

/// What a print may read.
struct Seal<'w, 'c> {
    walk: &'w Walk<'c>,
    /// How many tables of the tree are the changed one.
    targets: Cell<usize>,
}

impl Seal<'_, '_> {
    /// Every table of the tree, wherever it is.
    fn tree(&self, form: &Form) -> Result<(), Refusal> {
        match form {
            Form::Items(items) => items.iter().try_for_each(|item| self.tree(item)),
            Form::Fields(fields) => {
                for (field, inner) in fields {
                    match (*field, inner) {
                        ("Table", Form::Fields(_)) => self.table(inner.get("name"))?,
                        ("relation", Form::Fields(factor)) => {
                            let known = ["Table", "Derived", "NestedJoin", "JsonTable"];
                            if factor.iter().any(|(kind, _)| !known.contains(kind)) {
                                return Err(broken("a source of another kind"));
                            }
                        }
                        ("into" | "for_clause", Form::Fields(_)) => {
                            return Err(broken("a clause that writes"));
                        }
                        ("locks" | "pipe_operators", Form::Items(items)) if !items.is_empty() => {
                            return Err(broken("a clause that locks"));
                        }
                        _ => {}
                    }
                    self.tree(inner)?;
                }
                Ok(())
            }
            Form::Plain | Form::Text(_) => Ok(()),
        }
    }

    fn table(&self, name: Option<&Form>) -> Result<(), Refusal> {
        let Some(Form::Items(parts)) = name else {
            return Err(broken("a table without a name"));
        };
        let mut names = Vec::with_capacity(parts.len());
        for part in parts {
            let ident = part
                .get("Identifier")
                .ok_or_else(|| broken("a table of another name"))?;
            let text = ident.get("value").and_then(Form::text);
            let quoted = ident.get("quote_style").and_then(Form::text) == Some("`");
            names.push((text.unwrap_or(""), quoted));
        }
        match names.as_slice() {
            [(place, true), (name, true)] if self.is_source(place, name) => Ok(()),
            [(place, true), (name, true)] if self.is_target(place, name) && self.targets.get() == 0 => {
                self.targets.set(1);
                Ok(())
            }
            [(common, true)] if self.walk.sent.contains(*common) => Ok(()),
            [(dual, false)] if dual.eq_ignore_ascii_case("dual") => Ok(()),
            _ => Err(broken("a table that was not rewritten")),
        }
    }

    /// A relation where it is read.
    fn is_source(&self, place: &str, name: &str) -> bool {
        let catalog = self.walk.catalog;
        let known = catalog
            .relation(name)
            .is_some_and(|relation| relation.name == name);
        place == catalog.place && known
    }

    /// The table that is changed.
    fn is_target(&self, place: &str, name: &str) -> bool {
        self.walk.target.as_deref() == Some(name) && place == self.walk.catalog.database
    }

    /// What follows FROM and JOIN, word by word.
    fn words(&self, tokens: &[Token]) -> Result<(), Refusal> {
        // Brackets of functions in which FROM names no table.
        let mut brackets = Vec::new();
        let inner = ["EXTRACT", "SUBSTRING", "SUBSTR", "TRIM"];
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| tokens.get(at));
            if token.is("(") {
                brackets.push(before.is_some_and(|before| inner.iter().any(|word| before.is_word(word))));
            } else if token.is(")") {
                brackets.pop();
            }
            let changed = at < 2 && ["INTO", "UPDATE", "FROM"].iter().any(|word| token.is_word(word));
            if changed && self.walk.mode == Mode::Change {
                let behind = tokens.get(at + 1..).unwrap_or_default();
                match behind {
                    [place, _, name, ..] if self.is_target(&place.text, &name.text) => continue,
                    _ => return Err(broken("a change of another table")),
                }
            }
            let joins = ["INTO", "FROM", "JOIN", "STRAIGHT_JOIN"]
                .iter()
                .any(|word| token.is_word(word));
            let of_a_name = before.is_some_and(|before| before.is("."));
            let straight = token.is_word("STRAIGHT_JOIN")
                && before.is_some_and(|before| before.is_word("SELECT") || before.is_word("DISTINCT"));
            if joins && !of_a_name && !straight && brackets.last() != Some(&true) {
                self.source(tokens.get(at + 1..).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    fn source(&self, behind: &[Token]) -> Result<(), Refusal> {
        let behind: Vec<&Token> = behind.iter().take(3).collect();
        let fits = match behind.as_slice() {
            [bracket, ..] if bracket.is("(") => true,
            [word, ..]
                if ["LATERAL", "JSON_TABLE", "DUAL"]
                    .iter()
                    .any(|known| word.is_word(known)) =>
            {
                true
            }
            [place, dot, name] if dot.is(".") && place.kind == Kind::Quoted && name.kind == Kind::Quoted => {
                self.is_source(&place.text, &name.text)
            }
            [common, ..] => common.kind == Kind::Quoted && self.walk.sent.contains(&common.text),
            [] => false,
        };
        if fits {
            Ok(())
        } else {
            Err(broken("a word behind FROM that is no table's full name"))
        }
    }
}

/// Signs that follow each other are other signs when they are printed: `~ ~x`.
fn unprinted() -> Refusal {
    super::refused(
        "The statement cannot be written again as it was read.",
        "Put parentheses around what a sign belongs to.",
    )
}
