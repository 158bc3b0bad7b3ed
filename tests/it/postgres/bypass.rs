//! The bypass set on a real server, with the role that `db grants` prints: what is no read is not run as one, and
//! nothing of the tables is another thing afterwards. Then each once more without the guard, to see what the role holds.

use super::rights::limited;
use super::twins::{cases, columns, shows};
use super::{PASSWORD, Stand, code};
use crate::support::twins::spelled;

const BYPASS: &str = include_str!("data/bypass.sql");

/// Of classified values what no number of a process, a moment or a size can be.
const VALUES: [&str; 3] = ["alpha", "7777-", "77770000"];

/// What each statement is, and how it is sent.
fn bypasses() -> Vec<(&'static str, String)> {
    let cases = cases(BYPASS).into_iter();
    cases.map(|(kind, text)| (kind, spelled(text))).collect()
}

/// What is in every table.
fn contents(stand: &Stand) -> String {
    let names = columns();
    let mut tables: Vec<String> = names
        .keys()
        .map(|column| {
            let (table, _) = column.rsplit_once('.').unwrap();
            let (schema, name) = table.split_once('.').unwrap();
            format!("\"{schema}\".\"{name}\"")
        })
        .collect();
    tables.sort();
    tables.dedup();
    let sums = tables.iter().map(|table| {
        format!("SELECT '{table}', count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t")
    });
    stand.sql(&sums.collect::<Vec<_>>().join(" UNION ALL "))
}

/// What else there is that a statement could have made: not the schemas of sessions' own tables, which stay for the next.
fn made(stand: &Stand) -> String {
    stand.sql(
        "SELECT (SELECT count(*) FROM pg_class WHERE relpersistence <> 't'), (SELECT count(*) FROM pg_proc),
           (SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'), (SELECT count(*) FROM pg_trigger),
           (SELECT md5(string_agg(a::text, '|' ORDER BY a::text)) FROM pg_authid a), (SELECT count(*) FROM pg_database),
           (SELECT count(*) FROM pg_db_role_setting), (SELECT count(*) FROM pg_replication_slots),
           (SELECT count(*) FROM pg_policy), (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_extension),
           (SELECT md5(string_agg(relacl::text, '|' ORDER BY oid)) FROM pg_class)",
    )
}

#[tokio::test]
async fn what_is_no_read_is_not_run_as_one_and_the_role_alone_holds_the_tables() {
    let stand = limited().await;
    stand.sql("ALTER ROLE reader SET statement_timeout = '200ms'");
    let (before, others) = (contents(&stand), made(&stand));
    let large = "SELECT count(*) FROM pg_largeobject_metadata";
    let all = bypasses();
    assert!(all.len() >= 300, "{}", all.len());
    let mut wrong = Vec::new();
    for (kind, statement) in &all {
        let answer = stand.query(statement).await;
        let told = &answer["refusal"];
        let refused = ["statement_refused", "wrong_tool", "not_found", "limit_exceeded"]
            .contains(&code(&answer).as_str());
        let way = told["try"].as_str().is_some_and(|way| !way.is_empty());
        if !refused || !way || shows(statement, &answer.to_string()) {
            wrong.push(format!("{kind} {statement}\n    {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(contents(&stand), before);
    assert_eq!(made(&stand), others);
    assert_eq!(stand.sql(large), "0");
    // The role alone: what it could do is done to nothing but its own session, and shows nobody's values.
    let mut passed = Vec::new();
    for (kind, statement) in &all {
        let asked = stand.server.sql_as(("reader", PASSWORD), "shop", statement);
        let (Ok(said) | Err(said)) = &asked;
        let told = VALUES
            .iter()
            .any(|value| said.contains(value) && !statement.contains(value));
        assert!(!told, "{statement}\n    {said}");
        if asked.is_ok() && ["write", "ddl"].contains(kind) {
            passed.push(statement.as_str());
        }
    }
    assert_eq!(contents(&stand), before);
    assert_eq!(made(&stand), others);
    // Its session's own tables, what is not there, and the rights to tables that it made, of which there are none.
    let own = |statement: &&str| {
        let upper = statement.to_uppercase();
        ["TEMP ", "TEMPORARY ", "IF EXISTS ", "ALTER DEFAULT PRIVILEGES "]
            .iter()
            .any(|word| upper.contains(word))
    };
    let more: Vec<&str> = passed.into_iter().filter(|statement| !own(statement)).collect();
    assert!(more.is_empty(), "the role alone may: {more:#?}");
    let rows = "SELECT count(*) FROM customers";
    let asked = stand.server.sql_as(("reader", PASSWORD), "shop", rows);
    assert_eq!(
        asked.unwrap(),
        "4",
        "it was the rights that refused, and not a role that can do nothing"
    );
}
