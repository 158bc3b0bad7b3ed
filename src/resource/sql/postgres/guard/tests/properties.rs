//! What holds for every statement: none ends the process, none is written so that it cannot be verified.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::tree::{Node, Tree};
use super::super::{Mode, shapes};
use super::outside::same_outside;
use super::world::{cases, change, query};
use crate::call::{Code, Refusal};

const READS: &str = include_str!("../../../../../../tests/it/postgres/data/reads.sql");
const LEAKS: &str = include_str!("../../../../../../tests/it/postgres/data/leaks.sql");
const CHANGES: &str = include_str!("../../../../../../tests/it/postgres/data/changes.sql");

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
        Ok(sql) if mode == Mode::Query => same_outside(statement, &sql),
        Ok(_) => {}
        Err(refusal) => assert_ne!(refusal.code, Code::Internal, "{statement}\n{refusal:?}"),
    }
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "id",
        "email",
        "c.email",
        "name",
        "1",
        "'x'",
        "$1",
        "c",
        "c.*",
        "NULL",
        "customers.id",
        "count(*)",
        "ssn",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let shapes = select(vec![
            "lower(#)",
            "(# || #)",
            "(# = #)",
            "(# AND #)",
            "coalesce(#, #)",
            "#::text",
            "(SELECT # FROM @)",
            "EXISTS (SELECT # FROM @ WHERE #)",
            "# IN (SELECT # FROM @)",
            "CASE WHEN # THEN # ELSE # END",
            "ARRAY[#, #]",
            "row_to_json(#)",
            "(#).email",
            "sum(#) OVER (PARTITION BY # ORDER BY #)",
            "# IS NULL",
            "xmlelement(name a, #)",
            "max(#) FILTER (WHERE #)",
            "(# COLLATE \"C\")",
            "# AT TIME ZONE 'UTC'",
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
        "public.customers AS c",
        "ONLY customers c",
        "ONLY (customers) AS c(a, b)",
        "customers * c",
        "orders c",
        "crm.orders",
        "departments",
        "generate_series(1, 3) c",
        "\"Mixed Case\" c",
        "t",
        "customer_overview c",
        "(TABLE customers) c",
        "(VALUES (1, 2)) c(id, email)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        let shapes = select(vec![
            "@ JOIN @ USING (id)",
            "@ NATURAL JOIN @",
            "@ LEFT JOIN @ ON true",
            "(@ CROSS JOIN @) AS c",
            "@, @",
            "(SELECT * FROM @, @) c",
            "LATERAL (SELECT c FROM @ UNION ALL TABLE departments) x, @",
        ]);
        (shapes, inner.clone(), inner)
            .prop_map(|(shape, one, other)| shape.replacen('@', &one, 1).replacen('@', &other, 1))
    })
}

pub(super) fn statement() -> impl Strategy<Value = String> {
    let heads = select(vec![
        "",
        "WITH t AS (SELECT * FROM customers) ",
        "WITH RECURSIVE t AS (TABLE t) ",
        "WITH customers AS (TABLE customers), t AS MATERIALIZED (TABLE customers) ",
    ]);
    let tails = select(vec![
        "",
        " GROUP BY 1",
        " ORDER BY email",
        " LIMIT 3",
        " UNION TABLE customers",
        " -- end",
    ]);
    (heads, expression(), item(), expression(), tails).prop_map(|(head, shown, from, filter, tail)| {
        format!("{head}SELECT {shown} FROM {from} WHERE {filter}{tail}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_for_a_generated_statement_is_verified(text in statement()) {
        holds(Mode::Query, &text);
    }

    #[test]
    fn what_is_written_for_a_generated_change_is_verified(
        filter in expression(), from in item(), value in expression()
    ) {
        holds(Mode::Change, &format!("UPDATE customers SET name = {value} FROM {from} WHERE {filter} RETURNING *"));
        holds(Mode::Change, &format!("INSERT INTO departments (id, name) SELECT id, {value} FROM {from}"));
        holds(Mode::Change, &format!("DELETE FROM ONLY orders o USING {from} WHERE {filter} RETURNING o.*, id"));
    }

    #[test]
    fn no_text_is_our_fault(text in any::<String>()) {
        holds(Mode::Query, &text);
        holds(Mode::Change, &text);
    }

    #[test]
    fn no_statement_with_a_slip_is_our_fault(
        which in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(), put in select(vec!["", "(", ")", "'", "\"", ".", "*", ";", " ONLY ", "$1", "::", "[", "/*"])
    ) {
        let all: Vec<&str> = [READS, LEAKS, CHANGES].into_iter().flat_map(cases).map(|(_, text)| text).collect();
        let text: Vec<char> = which.get(&all).chars().collect();
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
        format!("SELECT {}1{}", "(".repeat(150), ")".repeat(150)),
        format!("SELECT {}1", "- ".repeat(15_000)),
        format!("SELECT {}true", "NOT ".repeat(15_000)),
        format!("SELECT 1{}", " + 1".repeat(9_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(5_000)),
        format!(
            "SELECT 1 FROM departments a{}",
            " CROSS JOIN departments a".repeat(4_000)
        ),
        format!("SELECT 1{}", "::int".repeat(9_000)),
        format!("SELECT {}1{}", "ARRAY[".repeat(180), "]".repeat(180)),
        format!("SELECT {}1 END", "CASE WHEN true THEN 1 ELSE ".repeat(2_000)),
        format!("SELECT {}1{}", "(SELECT ".repeat(199), ")".repeat(199)),
        format!("SELECT {}1", "1,".repeat(9_000)),
        format!("SELECT 1 WHERE 1 = 1{}", " AND 1 = 1".repeat(4_000)),
        format!("SELECT {}", "/*".repeat(40_000)),
        format!("SELECT '{}'", "x".repeat(99_000)),
        "(".repeat(99_999),
        "x".repeat(100_001),
    ];
    let depths = [4, 8, 12, 15, 16, 20, 25, 30, 40, 60, 90];
    let middle = depths.into_iter().flat_map(|n| {
        [
            ("(SELECT ", ")"),
            ("CASE WHEN true THEN ", " END"),
            ("ARRAY[", "]"),
            ("abs(", ")"),
            ("(1 + ", ")"),
        ]
        .map(|(open, close)| format!("SELECT {}1{}", open.repeat(n), close.repeat(n)))
        .into_iter()
        .chain([format!(
            "SELECT * FROM {}departments{}",
            "(SELECT * FROM ".repeat(n),
            ") a".repeat(n)
        )])
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

#[test]
fn a_node_or_a_field_that_nobody_listed_is_refused() {
    let node = |kind, fields| Tree::Node(Node { kind, fields });
    assert!(shapes::listed(&node("NodeOfTomorrow", vec![])).is_err());
    let inner = node("SelectStmt", vec![("field_of_tomorrow", Tree::Flag(true))]);
    assert!(shapes::listed(&inner).is_err());
    assert!(shapes::listed(&node("List", vec![("items", Tree::List(vec![inner]))])).is_err());
    assert!(shapes::listed(&node("ColumnRef", vec![("location", Tree::Number(7))])).is_ok());
}

#[test]
fn places_of_what_was_sent_lead_back_to_the_statement() {
    let statement = "SELECT 'ä', /* é */ lower(nosuch) FROM crm.orders o WHERE wrong = 1";
    let checked = query(statement).unwrap();
    let place = |text: &str, word: &str| text.split(word).next().unwrap().chars().count() + 1;
    for word in ["'ä'", "lower", "nosuch", "o WHERE", "wrong"] {
        assert_eq!(
            checked.places.at(place(&checked.sql, word)),
            Some(place(statement, word)),
            "{word}"
        );
    }
    assert_eq!(checked.places.at(place(&checked.sql, "***")), None);
    assert_eq!(checked.places.at(0), None);
    assert_eq!(checked.places.at(100_000), None);
}
