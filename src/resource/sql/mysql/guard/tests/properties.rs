//! What holds for every statement: none ends the process, none is written so that it cannot be verified, and what
//! is sent is what was written but for the names of relations.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::Mode;
use super::super::lexer::{Kind, Token, scan};
use super::world::{cases, change, query};
use crate::call::{Code, Refusal};

const READS: &str = include_str!("../../../../../../tests/it/mysql/data/reads.sql");
const BYPASS: &str = include_str!("../../../../../../tests/it/mysql/data/bypass.sql");
const CHANGES: &str = include_str!("../../../../../../tests/it/mysql/data/changes.sql");

fn check(mode: Mode, statement: &str) -> Result<String, Refusal> {
    let checked = if mode == Mode::Query {
        query(statement)
    } else {
        change(statement)
    };
    checked.map(|checked| checked.sql)
}

/// It is taken, or refused in words for the agent; it is never our own fault.
fn holds(mode: Mode, statement: &str) {
    match check(mode, statement) {
        Ok(sql) => same_outside_names(statement, &sql),
        Err(refusal) => assert_ne!(refusal.code, Code::Internal, "{statement}\n{refusal:?}"),
    }
}

/// A token without what may differ: case of words, two spellings of one operator.
fn shape(token: &Token<'_>) -> (u8, String) {
    match token.kind {
        Kind::Word => (0, token.text.to_uppercase()),
        Kind::Quoted => (1, token.text.to_string()),
        Kind::Text => (2, token.text.to_string()),
        Kind::Operator => (3, token.text.replace("!=", "<>")),
        _ => (4, token.text.to_uppercase()),
    }
}

fn words(text: &str) -> Vec<Token<'_>> {
    let tokens = scan(text, &[]).unwrap().into_iter();
    tokens
        .filter(|token| !token.is_word("AS") && !token.is_word("INTO") && !token.is(";"))
        .collect()
}

/// Every name of a relation in what was sent stands where the statement has that name, and all else is the same.
fn same_outside_names(statement: &str, sql: &str) {
    let (ours, sent) = (words(statement), words(sql));
    let (mut at, mut to) = (0, 0);
    while to < sent.len() {
        let place = sent[to].kind == Kind::Quoted && ["shop", "shop_masked"].contains(&&*sent[to].text);
        if place && sent.get(to + 1).is_some_and(|dot| dot.is(".")) {
            let dotted = ours.get(at + 1).is_some_and(|dot| dot.is("."));
            at += if dotted && ours[at].text == "shop" { 2 } else { 0 };
            assert_eq!(ours[at].text, sent[to + 2].text, "{statement}\n{sql}");
            (at, to) = (at + 1, to + 3);
        } else if sent[to].kind == Kind::Quoted && sent[to].text.starts_with("with") {
            let name = &ours[at].text;
            let added = sent
                .get(to + 1)
                .is_some_and(|alias| alias.kind == Kind::Quoted && alias.text == *name);
            let written = ours.get(at + 1).is_some_and(|alias| alias.text == *name);
            (at, to) = (at + 1, to + 1 + usize::from(added && !written));
        } else {
            assert_eq!(shape(&ours[at]), shape(&sent[to]), "{statement}\n{sql}");
            (at, to) = (at + 1, to + 1);
        }
    }
    assert_eq!(at, ours.len(), "{statement}\n{sql}");
}

fn leaves() -> Vec<&'static str> {
    vec![
        "id",
        "email",
        "c.email",
        "name",
        "1",
        "'x'",
        "\"it's \\\\ \"",
        "?",
        "NULL",
        "customers.id",
        "count(*)",
        "ssn",
        "-2.5",
        "0x41",
        "`id`",
        "shop.customers.email",
        "'\\'; DROP TABLE customers; -- '",
        "TRUE",
    ]
}

fn expression() -> impl Strategy<Value = String> {
    select(leaves())
        .prop_map(str::to_owned)
        .prop_recursive(4, 24, 3, |inner| {
            let shapes = select(vec![
                "lower(#)",
                "concat (#, #)",
                "(# = #)",
                "(# AND #)",
                "coalesce(#, #)",
                "CAST(# AS CHAR)",
                "(SELECT # FROM @)",
                "EXISTS (SELECT # FROM @ WHERE #)",
                "# IN (SELECT # FROM @)",
                "CASE WHEN # THEN # ELSE # END",
                "(# != #)",
                "NOT #",
                "- #",
                "sum(#) OVER (PARTITION BY # ORDER BY #)",
                "# IS NULL",
                "# BETWEEN # AND #",
                "group_concat(DISTINCT # ORDER BY # SEPARATOR ',')",
                "(# COLLATE utf8mb4_bin)",
                "# LIKE #",
                "json_extract(#, '$.a')",
                "# + INTERVAL # DAY",
                "extract(YEAR FROM #)",
                "substring(# FROM 2 FOR 3)",
                "trim(LEADING # FROM #)",
                "# <=> #",
                "# DIV #",
                "if(#, #, #)",
            ]);
            (shapes, prop::collection::vec(inner, 3), item()).prop_map(|(shape, inner, item)| {
                let mut inner = inner.into_iter();
                let mut text = String::new();
                for c in shape.chars() {
                    match c {
                        '#' => text.push_str(&inner.next().unwrap_or_default()),
                        '@' => text.push_str(&item),
                        c => text.push(c),
                    }
                }
                text
            })
        })
}

fn item() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "customers",
        "customers c",
        "shop.customers AS c",
        "`customers`",
        "orders c",
        "departments",
        "`Mixed Case` c",
        "t",
        "T",
        "customer_overview c",
        "mysql.user",
        "(VALUES (1, 2)) c",
        "JSON_TABLE('[]', '$[*]' COLUMNS (id INT PATH '$')) c",
        "dual",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        let shapes = select(vec![
            "@ JOIN @ USING (id)",
            "@ NATURAL JOIN @",
            "@ LEFT JOIN @ ON true",
            "(@ CROSS JOIN @)",
            "@, @",
            "(SELECT * FROM @, @) c",
            "LATERAL (SELECT email FROM @ UNION ALL SELECT 1) x, @",
            "(@), @",
            "@ STRAIGHT_JOIN @",
        ]);
        (shapes, inner.clone(), inner)
            .prop_map(|(shape, one, other)| shape.replacen('@', &one, 1).replacen('@', &other, 1))
    })
}

pub(super) fn statement() -> impl Strategy<Value = String> {
    let heads = select(vec![
        "",
        "WITH t AS (SELECT * FROM customers) ",
        "WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT 2 FROM t) ",
        "WITH customers AS (SELECT * FROM customers), t (a, b) AS (SELECT 1, 2 FROM customers) ",
    ]);
    let tails = select(vec![
        "",
        " GROUP BY 1 WITH ROLLUP",
        " ORDER BY email",
        " LIMIT 3",
        " UNION SELECT * FROM customers",
        " -- end",
        " # end",
        " LIMIT 1, 2;",
    ]);
    (heads, expression(), item(), expression(), tails).prop_map(|(head, shown, from, filter, tail)| {
        format!("{head}SELECT {shown} FROM {from} WHERE {filter}{tail}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_for_a_generated_statement_is_the_same_outside_of_names(text in statement()) {
        holds(Mode::Query, &text);
    }

    #[test]
    fn what_is_written_for_a_generated_change_is_the_same_outside_of_names(
        filter in expression(), from in item(), value in expression()
    ) {
        holds(Mode::Change, &format!("UPDATE customers c SET name = {value} WHERE {filter}"));
        holds(Mode::Change, &format!("INSERT INTO departments (id, name) SELECT id, {value} FROM {from} WHERE {filter}"));
        holds(Mode::Change, &format!("DELETE FROM shop.departments WHERE {filter}"));
    }

    #[test]
    fn no_text_is_our_fault(text in any::<String>()) {
        holds(Mode::Query, &text);
        holds(Mode::Change, &text);
    }

    #[test]
    fn no_statement_with_a_slip_is_our_fault(
        which in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(), put in select(vec!["", "(", ")", "'", "\"", "`", "\\", ".", "*", ";", " AS ", "?", "--", "#", "/*", "!"])
    ) {
        let all: Vec<&str> = [READS, BYPASS, CHANGES].into_iter().flat_map(cases).map(|(_, text)| text).collect();
        let text: Vec<char> = which.get(&all).chars().collect();
        prop_assume!(!text.is_empty());
        let (one, other) = (from.index(text.len()), to.index(text.len()));
        let (start, end) = (one.min(other), one.max(other).min(one.min(other) + 6));
        let mut slipped: String = text[..start].iter().collect();
        slipped.push_str(put);
        slipped.extend(&text[end..]);
        holds(Mode::Query, &slipped);
        holds(Mode::Change, &slipped);
    }
}

#[test]
fn what_is_deep_or_long_is_refused_or_taken_on_any_stack() {
    let deep = [
        format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT {}1{}", "(".repeat(49), ")".repeat(49)),
        format!("SELECT {}1", "- ".repeat(1_900)),
        format!("SELECT {}true", "NOT ".repeat(1_900)),
        format!("SELECT 1{}", " + 1".repeat(900)),
        format!("SELECT 1{}", " + 1".repeat(9_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(90)),
        format!("SELECT 1{}", " UNION ALL SELECT 1, 2".repeat(5_000)),
        format!(
            "SELECT 1 FROM departments a{}",
            " CROSS JOIN departments".repeat(60)
        ),
        format!("SELECT {}1 END", "CASE WHEN true THEN 1 ELSE ".repeat(2_000)),
        format!("SELECT {}1 END", "CASE WHEN true THEN 1 ELSE ".repeat(60)),
        format!("SELECT {}1{}", "(SELECT ".repeat(48), ")".repeat(48)),
        format!("SELECT {}1", "1,".repeat(9_000)),
        format!("SELECT 1 WHERE 1 = 1{}", " AND 1 = 1".repeat(400)),
        format!("SELECT {}", "/*".repeat(40_000)),
        format!("SELECT '{}'", "x".repeat(99_000)),
        "(".repeat(99_999),
        "x".repeat(100_001),
    ];
    let middle = [4, 8, 16, 24, 32, 40, 48].into_iter().flat_map(|n| {
        [
            ("(SELECT ", ")"),
            ("CASE WHEN true THEN ", " END"),
            ("abs(", ")"),
            ("(1 + ", ")"),
            ("IF(1, 2, ", ")"),
        ]
        .map(|(open, close)| format!("SELECT {}1{}", open.repeat(n), close.repeat(n)))
        .into_iter()
        .chain([
            format!(
                "SELECT * FROM {}departments{}",
                "(SELECT * FROM ".repeat(n),
                ") a".repeat(n)
            ),
            format!("SELECT * FROM {}departments{}", "(".repeat(n), ")".repeat(n)),
            format!(
                "SELECT 1 WHERE {}1{}",
                "EXISTS (SELECT 1 WHERE ".repeat(n),
                ")".repeat(n)
            ),
        ])
    });
    let deep: Vec<String> = deep.into_iter().chain(middle).collect();
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let run = move || {
        for text in &deep {
            if let Err(refusal) = check(Mode::Query, text) {
                assert_ne!(refusal.code, Code::Internal, "{text}\n{refusal:?}");
            }
        }
    };
    small.spawn(run).unwrap().join().unwrap();
}
