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

/// Whether two tokens are one: words and digits without case, strings by the names of their places.
fn same(one: &Token<'_>, other: &Token<'_>) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Parameter(_), Kind::Parameter(_)) => true,
        (Kind::Operator, Kind::Operator) => operator(one) == operator(other),
        (Kind::Word | Kind::Number | Kind::Hex, kind) => {
            one.kind == *kind && one.text.eq_ignore_ascii_case(&other.text)
        }
        _ => one == other,
    }
}

/// An operator by the way in which the library writes it.
fn operator<'t>(token: &'t Token<'_>) -> &'t str {
    match &*token.text {
        "!=" => "<>",
        other => other,
    }
}

/// A token as it is shown to whoever wrote it.
fn shown(token: &Token<'_>) -> String {
    match token.kind {
        Kind::Text => "a string".to_owned(),
        Kind::Quoted => format!("`{}`", text::quoted(&token.text)),
        Kind::Word => format!("`{}`", token.text.to_uppercase()),
        _ => format!("`{}`", token.text),
    }
}

/// Whether the tree's print has the words of the statement's skeleton, all of them, in their order.
///
/// # Errors
/// `statement_refused`: the library reads something there differently.
pub(super) fn nothing_lost(skeleton: &[Token<'_>], tree: &Statement) -> Result<(), Refusal> {
    let text = tree.to_string();
    let printed = lexer::scan(&text, &[]).map_err(|_| broken("what was printed has other words"))?;
    // The library writes it where it may be left out.
    let counts = |token: &&Token<'_>| !token.is_word("AS");
    let mut ours = skeleton.iter().filter(counts);
    let mut theirs = printed.iter().filter(counts);
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return Ok(()),
            (Some(one), Some(other)) if same(one, other) => {}
            (one, other) => {
                let near = one.or(other).map(shown).unwrap_or_default();
                return Err(refusals::plainer(&format!(
                    "The way in which the statement uses {near}"
                )));
            }
        }
    }
}

/// The print of the rewritten tree as tokens.
///
/// # Errors
/// `internal` when it is read as anything else, or reads what it must not.
pub(super) fn printed<'t>(
    text: &'t str,
    tree: &Statement,
    walk: &Walk<'_>,
) -> Result<Vec<Token<'t>>, Refusal> {
    let tokens = lexer::scan(text, &[]).map_err(|_| broken("what was printed has other words"))?;
    let again = grammar::parse(&tokens).map_err(|_| unprinted())?;
    if again != *tree {
        return Err(broken("what was printed is read as something else"));
    }
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
    fn words(&self, tokens: &[Token<'_>]) -> Result<(), Refusal> {
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

    fn source(&self, behind: &[Token<'_>]) -> Result<(), Refusal> {
        let behind: Vec<&Token<'_>> = behind.iter().take(3).collect();
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
            [common, ..] => common.kind == Kind::Quoted && self.walk.sent.contains(&*common.text),
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
