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
    let defining: BTreeSet<usize> = definitions.iter().map(|one| one.at).collect();
    let around = innermost(&definitions, tokens.len());
    // Which names the text between two tokens mentions, in the innermost body or outside of all.
    let mut mentions: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for (at, token) in tokens.iter().enumerate() {
        let qualifies = tokens.get(at + 1) == Some(&Token::Symbol('.'));
        let Some(name) = name(token).filter(|_| !qualifies && !defining.contains(&at)) else {
            continue;
        };
        let Some(name) = names.get(name.as_str()).copied() else {
            continue;
        };
        let inside = around.get(at).copied().flatten();
        mentions.entry(inside).or_default().push(name);
    }
    let mut known = BTreeMap::new();
    Ok(weigh(None, &mentions, &mut known, 0))
}

/// In whose body each token stands. Brackets nest less deep than
/// [`MAX_DEPTH`](super::MAX_DEPTH), so this takes no more than that many looks at each.
fn innermost(definitions: &[Definition], tokens: usize) -> Vec<Option<&str>> {
    let mut around = vec![None; tokens];
    let mut outermost_first: Vec<&Definition> = definitions.iter().collect();
    outermost_first.sort_by_key(|one| one.from);
    for one in outermost_first {
        let inside = around.iter_mut().take(one.to).skip(one.from);
        inside.for_each(|name| *name = Some(one.name.as_str()));
    }
    around
}

/// Subqueries that a view comes to, never fewer than the engine makes: its own, and those of the views it
/// mentions as often as it mentions them. `views`: lower-case name → text, the view itself among them. A text
/// that cannot be read counts as endless.
pub(super) fn of_view(view: &str, views: &BTreeMap<String, &str>) -> u64 {
    let mut known = BTreeMap::new();
    weigh_view(view, views, &mut known)
}

fn weigh_view<'v>(view: &str, views: &'v BTreeMap<String, &str>, known: &mut BTreeMap<&'v str, u64>) -> u64 {
    let Some((view, text)) = views.get_key_value(view) else {
        return 0;
    };
    if let Some(weight) = known.get(view.as_str()) {
        return *weight;
    }
    if known.len() > super::MAX_SELECTS {
        return u64::MAX; // deeper than this may follow it
    }
    known.insert(view, 0); // a circle, which the engine refuses
    let (Ok(copies), Ok(names)) = (of(text), names(text)) else {
        return u64::MAX;
    };
    let inside = names.iter().fold(0_u64, |sum, name| {
        let weight = match name.as_str() {
            "select" | "values" => 1,
            name if name == view => 0,
            name => weigh_view(name, views, known),
        };
        sum.saturating_add(weight)
    });
    let weight = inside.saturating_mul(copies.max(1));
    known.insert(view, weight);
    weight
}

/// Every word and name, lower case.
fn names(text: &str) -> Result<Vec<String>, Refusal> {
    let mut reader = Reader::new(text);
    let mut names = Vec::new();
    while let Some(token) = reader.next()? {
        names.extend(name(&token));
    }
    Ok(names)
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
    use std::collections::BTreeMap;

    use super::{of, of_view};

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

    #[test]
    fn views_multiply_too() {
        let views: BTreeMap<String, &str> = [
            ("a", "CREATE VIEW a AS SELECT 1 AS x"),
            ("b", "CREATE VIEW b AS SELECT 1 FROM a JOIN A"),
            (
                "c",
                "CREATE VIEW c AS WITH t AS (SELECT * FROM b) SELECT 1 FROM t, t, \"b\"",
            ),
            ("d", "CREATE VIEW d AS SELECT 1 FROM e"),
            ("e", "CREATE VIEW e AS SELECT 1 FROM d"),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .into();
        let weight = |view| of_view(view, &views);
        assert_eq!((weight("a"), weight("b"), weight("nothing")), (1, 3, 0));
        assert_eq!(weight("c"), (2 + 3 + 3) * 3);
        assert_eq!(weight("d"), 2);
    }

    #[test]
    fn many_names_take_no_longer_than_few() {
        let many: Vec<String> = (0..8_000).map(|at| format!("a{at} as(b)")).collect();
        let text = format!("WITH {} SELECT 1", many.join(","));
        assert_eq!(of(&text).unwrap(), 1);
    }
}
