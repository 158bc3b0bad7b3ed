//! What we read of the grammar's answer is what the library itself reads of it.

use proptest::prelude::*;

use super::super::tree::{Node, Tree};
use super::super::{derived, grammar, json, shapes, text};
use super::properties::statement;
use super::world::cases;

const DATA: [&str; 4] = [
    include_str!("../../../../../../tests/it/postgres/data/reads.sql"),
    include_str!("../../../../../../tests/it/postgres/data/leaks.sql"),
    include_str!("../../../../../../tests/it/postgres/data/changes.sql"),
    include_str!("../../../../../../tests/it/postgres/data/bypass.sql"),
];

/// Through the types that `pg_query` derives from its schema, by their names.
fn by_the_library(statement: &str) -> Option<Tree> {
    derived::of(&pg_query::parse(statement, 0).ok()?.protobuf)
}

fn by_us(statement: &str) -> Option<Tree> {
    grammar::parse(statement, json::read).ok()?.map(Tree::Node)
}

/// With the fields of every node in the order of their names: the library has its own.
fn sorted(tree: &Tree) -> Tree {
    match tree {
        Tree::List(items) => Tree::List(items.iter().map(sorted).collect()),
        Tree::Node(node) => {
            let mut fields: Vec<_> = node
                .fields
                .iter()
                .map(|(name, value)| (*name, sorted(value)))
                .collect();
            fields.sort_by_key(|(name, _)| *name);
            Tree::Node(Node {
                kind: node.kind,
                fields,
            })
        }
        other => other.clone(),
    }
}

fn statement_of(tree: &Tree) -> Tree {
    let raw = tree
        .node()
        .and_then(|node| node.list("stmts").first())
        .and_then(Tree::node);
    raw.map_or(Tree::Nothing, |raw| raw.get("stmt").clone())
}

fn agree(statement: &str) {
    let (ours, theirs) = text::deep(|| Ok((by_us(statement), by_the_library(statement)))).unwrap();
    let (Some(ours), Some(theirs)) = (&ours, &theirs) else {
        return assert_eq!(ours.is_some(), theirs.is_some(), "{statement}");
    };
    let (ours, theirs) = (statement_of(ours), statement_of(theirs));
    match (shapes::listed(&ours), shapes::listed(&theirs)) {
        (Ok(()), Ok(())) => assert_eq!(sorted(&ours), sorted(&theirs), "{statement}"),
        (one, other) => {
            let named = |found: Result<(), shapes::Unlisted>| found.map_err(|one| (one.kind, one.field));
            assert_eq!(named(one), named(other), "{statement}");
        }
    }
}

#[test]
fn every_statement_of_the_tests_is_read_as_the_library_reads_it() {
    let statements = DATA.into_iter().flat_map(cases);
    assert!(statements.map(|(_, statement)| agree(statement)).count() > 700);
    for rare in RARE {
        agree(rare);
    }
}

/// Forms that the tables of cases have once or never.
const RARE: [&str; 14] = [
    "SELECT -2147483648, 9223372036854775807, 1e400, B'01', X'1f', E'\\n\\u00e9', U&'d\\0061t', ''",
    "SELECT xmlserialize(DOCUMENT x AS text INDENT), xmlpi(name a, 'b'), xmlexists('/a' PASSING x) FROM t",
    "SELECT JSON_OBJECT('a': 1 ABSENT ON NULL WITH UNIQUE KEYS RETURNING jsonb), JSON_ARRAY(SELECT 1 FORMAT JSON)",
    "SELECT * FROM JSON_TABLE(j, '$[*]' AS p PASSING 1 AS x COLUMNS (n FOR ORDINALITY, a int PATH '$.a' DEFAULT 1 \
     ON EMPTY, b text EXISTS, NESTED PATH '$.c' COLUMNS (d int)) ERROR ON ERROR) AS t",
    "SELECT JSON_VALUE(j, '$.a' RETURNING int DEFAULT 0 ON ERROR), JSON_QUERY(j, '$' WITH WRAPPER OMIT QUOTES), \
     j IS JSON OBJECT WITH UNIQUE KEYS, JSON_SERIALIZE(j), JSON_SCALAR(1), JSON('{}')",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT n + 1 FROM t) SEARCH DEPTH FIRST BY n SET o CYCLE n SET c TO 1 \
     DEFAULT 0 USING p SELECT * FROM t",
    "SELECT sum(x) FILTER (WHERE y) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM t WINDOW w \
     AS (PARTITION BY a ORDER BY b USING < NULLS LAST)",
    "SELECT DISTINCT ON (a) a[1:2][3], (b).c.*, ROW(1, 2) IS DISTINCT FROM NULL, x COLLATE \"C\" FROM ONLY t AS q(a, b)",
    "SELECT * FROM ROWS FROM (f(1), g(2) AS (a int, b text)) WITH ORDINALITY, t TABLESAMPLE system(1) REPEATABLE (2)",
    "SELECT GROUPING(a) FROM t GROUP BY DISTINCT GROUPING SETS (ROLLUP (a), CUBE (b), ()) FETCH FIRST 1 ROW WITH TIES",
    "INSERT INTO t AS u (a[1], b.c) OVERRIDING USER VALUE VALUES (DEFAULT, $1) ON CONFLICT (lower(a) COLLATE \"C\") \
     WHERE a > 1 DO UPDATE SET (a, b) = ROW (1, DEFAULT) WHERE excluded.a IS NOT TRUE RETURNING *",
    "SELECT a INTO b FROM c FOR NO KEY UPDATE OF c SKIP LOCKED",
    "UPDATE ONLY t * SET a = DEFAULT FROM u WHERE CURRENT OF c RETURNING WITH (OLD AS o) o.a",
    "CREATE TABLE t AS SELECT 1; SELECT 2",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_generated_statement_is_read_as_the_library_reads_it(text in statement()) {
        agree(&text);
    }

    #[test]
    fn an_answer_that_is_damaged_is_none_or_is_read(
        text in statement(), at in any::<prop::sample::Index>(), put in any::<u8>(), cut in any::<prop::sample::Index>()
    ) {
        let read = text::deep(|| Ok(grammar::parse(&text, |bytes| {
            let mut damaged = bytes.to_vec();
            if !damaged.is_empty() {
                let at = at.index(damaged.len());
                damaged[at] = put;
            }
            let cut = cut.index(bytes.len() + 1);
            (json::read(&damaged).is_some(), json::read(&bytes[..cut]).is_some())
        })));
        prop_assert!(read.is_ok());
    }
}
