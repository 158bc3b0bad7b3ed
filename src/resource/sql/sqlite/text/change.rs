//! A statement that changes something, as text: which table it names, where, and what it gives back.
//!
//! Only the place of the target's name and the words of RETURNING are taken from here; everything
//! else is asked of the engine. A reading that is wrong can therefore refuse a statement or mask too
//! much, but never lets one through: the engine's authorizer sees the statement that runs.

use std::collections::BTreeSet;
use std::ops::Range;

use super::super::masks;
use super::{Reader, Refusal, Token, refused};

/// What a data change does to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Verb {
    Insert,
    Update,
    Delete,
}

/// A data change, read.
#[derive(Debug)]
pub(in super::super) struct Change {
    pub(in super::super) verb: Verb,
    /// `insert`, `upsert`, `replace`, `update` or `delete`.
    pub(in super::super) kind: &'static str,
    /// Whether it says REPLACE: rows that are in its way go.
    pub(in super::super) replaces: bool,
    /// The table it names.
    pub(in super::super) target: String,
    /// Where its name stands.
    place: Range<usize>,
    /// The list of columns an INSERT names, lower case.
    pub(in super::super) columns: Option<BTreeSet<String>>,
    /// Every word of its own WHERE, lower case.
    pub(in super::super) restricts_by: Option<BTreeSet<String>>,
    /// What stands after RETURNING.
    returning: Option<Range<usize>>,
    /// Every word, name and text, lower case: whatever a name could be taken from.
    pub(in super::super) spelled: BTreeSet<String>,
}

/// A token and where it stands.
struct At<'t> {
    token: Token<'t>,
    range: Range<usize>,
    depth: i64,
}

impl At<'_> {
    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(it) if it.eq_ignore_ascii_case(word))
    }

    fn is_symbol(&self, symbol: char) -> bool {
        self.token == Token::Symbol(symbol)
    }

    /// The name it may be, as written.
    fn name(&self) -> Option<&str> {
        match &self.token {
            Token::Word(word) => Some(word),
            Token::Name(name) | Token::Text(name) => Some(name),
            Token::Literal | Token::Symbol(_) => None,
        }
    }
}

fn tokens(text: &str) -> Result<Vec<At<'_>>, Refusal> {
    let mut reader = Reader::new(text);
    let mut tokens = Vec::new();
    let mut depth = 0;
    while let Some(token) = reader.next()? {
        let (from, to) = (text.len() - reader.began, text.len() - reader.rest.len());
        depth -= i64::from(token == Token::Symbol(')'));
        tokens.push(At {
            range: from..to,
            depth,
            token,
        });
        depth += i64::from(tokens.last().is_some_and(|at| at.is_symbol('(')));
    }
    Ok(tokens)
}

/// Reads a statement whose first word is WITH, INSERT, REPLACE, UPDATE or DELETE.
///
/// # Errors
/// `statement_refused` when the target is not a plain table's name where it must be.
pub(in super::super) fn read(text: &str) -> Result<Change, Refusal> {
    let tokens = tokens(text)?;
    let (verb, replaces, at) = verb(&tokens)?;
    let target = tokens
        .get(at)
        .and_then(|token| Some((token, token.name()?.to_owned())));
    let (target, name) = target.ok_or_else(not_understood)?;
    if tokens.get(at + 1).is_some_and(|token| token.is_symbol('.')) {
        return Err(refused(
            "The table is named with a schema.",
            "Write the table's name alone.",
        ));
    }
    let rest = tokens.get(at + 1..).unwrap_or_default();
    if rest
        .first()
        .is_some_and(|token| token.is_word("indexed") || token.is_word("not"))
    {
        return Err(refused(
            "INDEXED BY and NOT INDEXED are not available.",
            "Leave them out; the engine finds an index itself.",
        ));
    }
    let upsert = verb == Verb::Insert
        && rest.windows(2).any(|two| {
            two.iter().all(|at| at.depth == 0)
                && matches!(two, [on, conflict] if on.is_word("on") && conflict.is_word("conflict"))
        });
    Ok(Change {
        verb,
        kind: match verb {
            Verb::Insert if replaces => "replace",
            Verb::Insert if upsert => "upsert",
            Verb::Insert => "insert",
            Verb::Update => "update",
            Verb::Delete => "delete",
        },
        replaces,
        target: name,
        place: target.range.clone(),
        columns: (verb == Verb::Insert).then(|| listed(rest)).flatten(),
        restricts_by: (verb != Verb::Insert).then(|| restriction(rest)).flatten(),
        returning: returning(rest),
        spelled: tokens
            .iter()
            .filter_map(At::name)
            .map(str::to_ascii_lowercase)
            .collect(),
    })
}

/// What the statement does, whether it replaces, and the number of its target's token.
fn verb(tokens: &[At<'_>]) -> Result<(Verb, bool, usize), Refusal> {
    let mut at = after_with(tokens)?;
    let word = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let mut replaces = word(at, "replace");
    let verb = match tokens.get(at) {
        Some(token) if token.is_word("insert") || replaces => Verb::Insert,
        Some(token) if token.is_word("update") => Verb::Update,
        Some(token) if token.is_word("delete") => Verb::Delete,
        _ => return Err(not_understood()),
    };
    at += 1;
    if verb != Verb::Delete && word(at, "or") {
        replaces |= word(at + 1, "replace");
        at += 2;
    }
    let between = match verb {
        Verb::Insert => "into",
        Verb::Delete => "from",
        Verb::Update => return Ok((verb, replaces, at)),
    };
    if word(at, between) {
        Ok((verb, replaces, at + 1))
    } else {
        Err(not_understood())
    }
}

/// The number of the token after a WITH clause: its grammar is followed word by word, because a
/// common table expression may be called `replace`.
fn after_with(tokens: &[At<'_>]) -> Result<usize, Refusal> {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let symbol = |at: usize, symbol: char| tokens.get(at).is_some_and(|token| token.is_symbol(symbol));
    let past = |at: usize| {
        // The bracket that closes the one at `at` has its depth.
        let open = tokens.get(at).filter(|token| token.is_symbol('('))?;
        let inside = tokens.iter().skip(at + 1);
        let close = inside.take_while(|token| !(token.is_symbol(')') && token.depth == open.depth));
        Some(at + 2 + close.count())
    };
    if !is(0, "with") {
        return Ok(0);
    }
    let mut at = 1 + usize::from(is(1, "recursive"));
    loop {
        at += 1; // its name
        if symbol(at, '(') {
            at = past(at).ok_or_else(not_understood)?;
        }
        if !is(at, "as") {
            return Err(not_understood());
        }
        at += 1;
        at += usize::from(is(at, "not"));
        at += usize::from(is(at, "materialized"));
        at = past(at).ok_or_else(not_understood)?;
        if !symbol(at, ',') {
            return Ok(at);
        }
        at += 1;
    }
}

/// The columns between brackets right after the table's name (and its alias).
fn listed(rest: &[At<'_>]) -> Option<BTreeSet<String>> {
    let skip = if rest.first().is_some_and(|at| at.is_word("as")) {
        2
    } else {
        0
    };
    let open = rest.get(skip).filter(|at| at.is_symbol('('))?;
    let inside = rest.iter().skip(skip + 1);
    let names = inside.take_while(|at| !(at.is_symbol(')') && at.depth == open.depth));
    Some(names.filter_map(At::name).map(str::to_ascii_lowercase).collect())
}

fn restriction(rest: &[At<'_>]) -> Option<BTreeSet<String>> {
    let from = rest.iter().rposition(|at| at.depth == 0 && at.is_word("where"))?;
    let words = rest.iter().skip(from + 1);
    let words = words.take_while(|at| !(at.depth == 0 && at.is_word("returning")));
    let names = words.filter_map(|at| match &at.token {
        Token::Word(word) => Some(word.to_ascii_lowercase()),
        Token::Name(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Some(names.collect())
}

fn returning(rest: &[At<'_>]) -> Option<Range<usize>> {
    let from = rest
        .iter()
        .position(|at| at.depth == 0 && at.is_word("returning"))?;
    let inside = rest.iter().skip(from + 1).take_while(|at| !at.is_symbol(';'));
    let inside: Vec<&At<'_>> = inside.collect();
    Some(inside.first()?.range.start..inside.last()?.range.end)
}

impl Change {
    /// The statement with its target named in `schema`, and with what RETURNING would give of `hidden`
    /// columns (lower case) replaced by a mask. `all` are the target's columns, in order.
    ///
    /// # Errors
    /// As [`read`]; the text is the one that was read.
    pub(in super::super) fn rewritten(
        &self,
        text: &str,
        schema: &str,
        all: &[String],
        hidden: &BTreeSet<String>,
    ) -> Result<Rewritten, Refusal> {
        let mut masked = BTreeSet::new();
        let (returning, after) = match &self.returning {
            None => (String::new(), self.place.end..text.len()),
            Some(range) => {
                let inside = text.get(range.clone()).unwrap_or_default();
                let list = masked_list(inside, all, hidden, &mut masked)?;
                (list, self.place.end..range.start)
            }
        };
        let part = |range: Range<usize>| text.get(range).unwrap_or_default();
        let end = self.returning.as_ref().map_or(text.len(), |range| range.end);
        let target = format!("{}.{}", masks::quoted(schema), masks::quoted(&self.target));
        let head = part(0..self.place.start);
        let rest = if self.returning.is_some() {
            part(end..text.len())
        } else {
            ""
        };
        Ok(Rewritten {
            text: format!("{head}{target}{}{returning}{rest}", part(after)),
            masked,
        })
    }
}

/// A statement as the engine gets it.
#[derive(Debug)]
pub(in super::super) struct Rewritten {
    pub(in super::super) text: String,
    /// The hidden columns that RETURNING names, lower case.
    pub(in super::super) masked: BTreeSet<String>,
}

/// The list after RETURNING, in which hidden columns are masks.
fn masked_list(
    inside: &str,
    all: &[String],
    hidden: &BTreeSet<String>,
    masked: &mut BTreeSet<String>,
) -> Result<String, Refusal> {
    let tokens = tokens(inside)?;
    let mask = masks::literal(masks::CONSTANT);
    let items = tokens.split(|at| at.depth == 0 && at.is_symbol(','));
    let mut list = Vec::new();
    for item in items {
        if let [only] = item
            && only.is_symbol('*')
        {
            for column in all {
                let lower = column.to_ascii_lowercase();
                list.push(if hidden.contains(&lower) {
                    masked.insert(lower);
                    format!("{mask} AS {}", masks::quoted(column))
                } else {
                    masks::quoted(column)
                });
            }
            continue;
        }
        list.push(masked_item(inside, item, hidden, masked, &mask));
    }
    Ok(list.join(", "))
}

fn masked_item(
    inside: &str,
    item: &[At<'_>],
    hidden: &BTreeSet<String>,
    masked: &mut BTreeSet<String>,
    mask: &str,
) -> String {
    let (Some(first), Some(last)) = (item.first(), item.last()) else {
        return String::new();
    };
    let mut text = String::new();
    let mut written = first.range.start;
    for (at, token) in item.iter().enumerate() {
        let before = |back: usize| at.checked_sub(back).and_then(|at| item.get(at));
        let is_alias = before(1).is_some_and(|token| token.is_word("as"));
        let is_call = item.get(at + 1).is_some_and(|token| token.is_symbol('('));
        let qualifies = item.get(at + 1).is_some_and(|token| token.is_symbol('.'));
        let name = match &token.token {
            Token::Word(word) => word.to_ascii_lowercase(),
            Token::Name(name) => name.to_ascii_lowercase(),
            _ => continue,
        };
        if is_alias || is_call || qualifies || !hidden.contains(&name) {
            continue;
        }
        let qualified = before(1).is_some_and(|token| token.is_symbol('.'));
        let from = match before(2).filter(|_| qualified) {
            Some(table) => table.range.start,
            None => token.range.start,
        };
        text.push_str(inside.get(written..from).unwrap_or_default());
        text.push_str(mask);
        written = token.range.end;
        masked.insert(name);
    }
    text.push_str(inside.get(written..last.range.end).unwrap_or_default());
    let bare = matches!(item, [_] | [_, _, _]) && text == mask;
    match last.name().filter(|_| bare) {
        Some(name) => format!("{text} AS {}", masks::quoted(name)),
        None => text,
    }
}

fn not_understood() -> Refusal {
    refused(
        "SQLite cannot read the statement as one INSERT, UPDATE, DELETE or REPLACE of a table.",
        "Write INSERT INTO table …, UPDATE table SET …, or DELETE FROM table ….",
    )
}

/// A schema change, read.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Definition {
    /// `create`, `drop` or `alter`.
    pub(in super::super) verb: &'static str,
    /// `table`, `index` or `view`.
    pub(in super::super) object: &'static str,
    /// Its name.
    pub(in super::super) name: String,
    pub(in super::super) unique: bool,
    /// What ALTER TABLE does.
    pub(in super::super) step: Option<Step>,
    /// Every word and name after it, lower case.
    pub(in super::super) words: BTreeSet<String>,
}

/// What ALTER TABLE does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Step {
    RenameTable(String),
    RenameColumn(String, String),
    Add(String),
    Drop(String),
}

/// Reads a statement whose first word is CREATE, DROP or ALTER.
///
/// # Errors
/// `statement_refused` for what is not offered.
pub(in super::super) fn definition(text: &str) -> Result<Definition, Refusal> {
    let tokens = tokens(text)?;
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let verb = ["create", "drop", "alter"].into_iter().find(|verb| is(0, verb));
    let verb = verb.ok_or_else(not_offered)?;
    let unique = verb == "create" && is(1, "unique");
    let mut at = 1 + usize::from(unique);
    let object = ["table", "index", "view"]
        .into_iter()
        .find(|object| is(at, object));
    let object = object.ok_or_else(not_offered)?;
    at += 1;
    if is(at, "if") {
        at += if verb == "create" { 3 } else { 2 };
    }
    let name = tokens
        .get(at)
        .and_then(At::name)
        .ok_or_else(not_offered)?
        .to_owned();
    let rest = tokens.get(at + 1..).unwrap_or_default();
    if rest.first().is_some_and(|token| token.is_symbol('.')) {
        return Err(refused(
            format!("The {object} is named with a schema."),
            "Write its name alone.",
        ));
    }
    let step = if verb == "alter" {
        Some(step(rest).filter(|_| object == "table").ok_or_else(not_offered)?)
    } else {
        None
    };
    Ok(Definition {
        verb,
        object,
        name,
        unique,
        step,
        words: rest
            .iter()
            .filter_map(At::name)
            .map(str::to_ascii_lowercase)
            .collect(),
    })
}

fn step(rest: &[At<'_>]) -> Option<Step> {
    let is = |at: usize, word: &str| rest.get(at).is_some_and(|token| token.is_word(word));
    let name = |at: usize| rest.get(at).and_then(At::name).map(str::to_owned);
    let column = usize::from(is(1, "column"));
    if is(0, "rename") && is(1, "to") {
        name(2).map(Step::RenameTable)
    } else if is(0, "rename") && is(column + 2, "to") {
        Some(Step::RenameColumn(name(column + 1)?, name(column + 3)?))
    } else if is(0, "add") {
        name(column + 1).map(Step::Add)
    } else if is(0, "drop") {
        name(column + 1).map(Step::Drop)
    } else {
        None
    }
}

/// Lower-case names in the CHECK constraints of a stored CREATE TABLE. A text that cannot be read is
/// `None`: it may name anything.
pub(in super::super) fn words_in_checks(sql: &str) -> Option<BTreeSet<String>> {
    let tokens = tokens(sql).ok()?;
    let mut words = BTreeSet::new();
    let mut inside = None;
    for (at, token) in tokens.iter().enumerate() {
        let follows = at.checked_sub(1).and_then(|at| tokens.get(at));
        if inside.is_none() && token.is_symbol('(') && follows.is_some_and(|at| at.is_word("check")) {
            inside = Some(token.depth);
        } else if token.is_symbol(')') && inside == Some(token.depth) {
            inside = None;
        } else if inside.is_some() {
            words.extend(token.name().map(str::to_ascii_lowercase));
        }
    }
    Some(words)
}

/// Every lower-case name in a text of the schema; `None` as above.
pub(in super::super) fn words_of(sql: &str) -> Option<BTreeSet<String>> {
    let tokens = tokens(sql).ok()?;
    Some(
        tokens
            .iter()
            .filter_map(At::name)
            .map(str::to_ascii_lowercase)
            .collect(),
    )
}

fn not_offered() -> Refusal {
    refused(
        "This schema change is not offered.",
        "Use CREATE, DROP or ALTER of a TABLE, or CREATE or DROP of an INDEX or VIEW, in the database itself \
         (no TEMP, no VIRTUAL TABLE, no TRIGGER).",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let hidden = BTreeSet::from(["email".to_owned(), "a b".to_owned()]);
        let all = ["id", "email", "a b"].map(str::to_owned);
        let change = read(text).unwrap();
        change.rewritten(text, "d0", &all, &hidden).unwrap().text
    }

    #[test]
    fn only_the_target_and_what_returning_gives_are_written_anew() {
        for (text, expected) in [
            (
                "UPDATE t SET a = 1 WHERE id = 2;",
                "UPDATE \"d0\".\"t\" SET a = 1 WHERE id = 2;",
            ),
            (
                "/* t */ INSERT OR ABORT INTO [t] (id) SELECT id FROM t -- t",
                "/* t */ INSERT OR ABORT INTO \"d0\".\"t\" (id) SELECT id FROM t -- t",
            ),
            (
                "WITH replace(x) AS NOT MATERIALIZED (SELECT (1)), \"delete\" AS (SELECT 2) DELETE FROM 't' AS q",
                "WITH replace(x) AS NOT MATERIALIZED (SELECT (1)), \"delete\" AS (SELECT 2) DELETE FROM \"d0\".\"t\" AS q",
            ),
            (
                "DELETE FROM t RETURNING *, lower(Email) , id AS email, t.email, \"email\" ;",
                "DELETE FROM \"d0\".\"t\" RETURNING \"id\", '***' AS \"email\", '***' AS \"a b\", lower('***'), \
                 id AS email, '***' AS \"email\", '***' AS \"email\" ;",
            ),
            (
                "UPDATE t SET id = 1 RETURNING [a b] || 'email', email(1), (SELECT x.email FROM y x)",
                "UPDATE \"d0\".\"t\" SET id = 1 RETURNING '***' || 'email', email(1), (SELECT '***' FROM y x)",
            ),
        ] {
            assert_eq!(rewritten(text), expected);
        }
    }

    #[test]
    fn what_is_not_one_change_of_a_plain_table_is_refused() {
        for text in [
            "UPDATE main.t SET a = 1",
            "DELETE t",
            "INSERT t VALUES (1)",
            "WITH x (SELECT 1) DELETE FROM t",
            "WITH x AS SELECT DELETE FROM t",
            "WITH x AS (SELECT 1) SELECT 1",
            "DELETE FROM t NOT INDEXED",
            "UPDATE t INDEXED BY i SET a = 1",
            "UPDATE",
            "INSERT INTO",
            "INSERT INTO (a)",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn schema_changes_are_read_by_their_grammar() {
        let read = |text| definition(text).unwrap();
        let table = read("CREATE TABLE IF NOT EXISTS \"a b\" (id INTEGER)");
        assert_eq!(
            (table.verb, table.object, table.name.as_str()),
            ("create", "table", "a b")
        );
        assert!(read("create unique index i on t (a)").unique);
        let step = |text| read(text).step.unwrap();
        assert_eq!(
            step("ALTER TABLE t RENAME TO u"),
            Step::RenameTable("u".to_owned())
        );
        assert_eq!(
            step("ALTER TABLE t RENAME a TO b"),
            Step::RenameColumn("a".to_owned(), "b".to_owned())
        );
        assert_eq!(
            step("ALTER TABLE t RENAME COLUMN a TO b"),
            Step::RenameColumn("a".to_owned(), "b".to_owned())
        );
        assert_eq!(step("ALTER TABLE t ADD COLUMN c INT"), Step::Add("c".to_owned()));
        assert_eq!(step("ALTER TABLE t DROP c"), Step::Drop("c".to_owned()));
        for text in [
            "CREATE TEMP TABLE t (a)",
            "CREATE TEMPORARY VIEW v AS SELECT 1",
            "CREATE VIRTUAL TABLE t USING fts5(a)",
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END",
            "DROP TRIGGER t",
            "CREATE TABLE temp.t (a)",
            "ALTER VIEW v RENAME TO w",
            "DROP",
        ] {
            assert!(definition(text).is_err(), "{text}");
        }
    }
}
