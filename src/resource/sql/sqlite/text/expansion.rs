//! How large common table expressions become when each mention is replaced by its body.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reader, Refusal, Token};

/// A name and what of the text is its body, by numbers of tokens.
struct Definition {
    name: String,
    at: usize,
    from: usize,
    to: usize,
}

/// Subqueries after replacement, never fewer than the engine makes. Every mention of a defined name
/// counts wherever it stands, except as the qualifier of a column.
pub(super) fn of(text: &str) -> Result<u64, Refusal> {
    let mut reader = Reader::new(text);
    let mut tokens = Vec::new();
    while let Some(token) = reader.next()? {
        tokens.push(token);
    }
    let definitions = definitions(&tokens);
    if definitions.is_empty() {
        return Ok(0);
    }
    let names: BTreeSet<&str> = definitions.iter().map(|one| one.name.as_str()).collect();
    // Which names the text between two tokens mentions, in the innermost body or outside of all.
    let mut mentions: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for (at, token) in tokens.iter().enumerate() {
        let qualifies = tokens.get(at + 1) == Some(&Token::Symbol('.'));
        let defines = definitions.iter().any(|one| one.at == at);
        let Some(name) = name(token).filter(|_| !qualifies && !defines) else {
            continue;
        };
        let Some(name) = names.get(name.as_str()).copied() else {
            continue;
        };
        let around = definitions.iter().filter(|one| (one.from..one.to).contains(&at));
        let inside = around.max_by_key(|one| one.from).map(|one| one.name.as_str());
        mentions.entry(inside).or_default().push(name);
    }
    let mut known = BTreeMap::new();
    Ok(weigh(None, &mentions, &mut known, 0))
}

/// One, and the weight of all that is mentioned there.
fn weigh<'t>(
    name: Option<&'t str>,
    mentions: &BTreeMap<Option<&'t str>, Vec<&'t str>>,
    known: &mut BTreeMap<&'t str, u64>,
    depth: usize,
) -> u64 {
    // A name inside its own definition is a recursion, which the engine does not copy.
    if let Some(weight) = name.and_then(|name| known.get(name)) {
        return *weight;
    }
    if depth > super::MAX_SELECTS {
        return u64::MAX;
    }
    if let Some(name) = name {
        known.insert(name, 1);
    }
    let mut weight: u64 = 1;
    for mentioned in mentions.get(&name).into_iter().flatten() {
        weight = weight.saturating_add(weigh(Some(mentioned), mentions, known, depth + 1));
    }
    if let Some(name) = name {
        known.insert(name, weight);
    }
    weight
}

/// `name AS (`, `name(…) AS (`, and either with MATERIALIZED.
fn definitions(tokens: &[Token<'_>]) -> Vec<Definition> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let is_word = |at: usize, word: &str| matches!(tokens.get(at), Some(Token::Word(here)) if here.eq_ignore_ascii_case(word));
        if !is_word(at, "as") {
            continue;
        }
        let mut open = at + 1;
        while is_word(open, "not") || is_word(open, "materialized") {
            open += 1;
        }
        if tokens.get(open) != Some(&Token::Symbol('(')) {
            continue;
        }
        let mut before = at.checked_sub(1);
        if before.and_then(|at| tokens.get(at)) == Some(&Token::Symbol(')')) {
            before = opening(tokens, at - 1).and_then(|open| open.checked_sub(1));
        }
        if let Some((at, name)) = before.and_then(|at| Some((at, name(tokens.get(at)?)?))) {
            let to = closing(tokens, open);
            found.push(Definition {
                name,
                at,
                from: open,
                to,
            });
        }
    }
    found
}

fn name(token: &Token<'_>) -> Option<String> {
    match token {
        Token::Word(word) => Some(word.to_ascii_lowercase()),
        Token::Name(name) | Token::Text(name) => Some(name.to_ascii_lowercase()),
        Token::Literal | Token::Symbol(_) => None,
    }
}

/// The bracket that closes the one at `open`, or the end.
fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') if depth <= 1 => return at,
            Token::Symbol(')') => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The bracket that opens what the one at `close` closes.
fn opening(tokens: &[Token<'_>], close: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().take(close + 1).rev() {
        match token {
            Token::Symbol(')') => depth += 1,
            Token::Symbol('(') if depth <= 1 => return Some(at),
            Token::Symbol('(') => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn mentions_multiply() {
        for (sql, weight) in [
            ("SELECT 1", 0),
            ("WITH a AS (SELECT 1) SELECT * FROM a", 2),
            (
                "WITH a(x) AS NOT MATERIALIZED (SELECT 1) SELECT a.x FROM \"A\", 'a', [a]",
                4,
            ),
            (
                "WITH a AS (SELECT 1), b AS (SELECT 1 FROM a, a), c AS (SELECT 1 FROM b, b) SELECT 1 FROM c, c",
                15,
            ),
            (
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT * FROM n",
                3,
            ),
        ] {
            assert_eq!(of(sql).unwrap(), weight, "{sql}");
        }
    }
}
