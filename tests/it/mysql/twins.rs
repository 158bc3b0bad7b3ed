//! Two databases that differ only in classified values, and every attempt to tell them apart.

use std::collections::BTreeMap;

use serde_json::json;
use tollgate::resource::sql::MaskStyle;
use tollgate::resource::sql::mysql::Spec;

use super::Stand;
use crate::support::twins::spelled;

const SCHEMA: &str = include_str!("data/schema.sql");
const LEAKS: &str = include_str!("data/leaks.sql");
const READS: &str = include_str!("data/reads.sql");
const BYPASS: &str = include_str!("data/bypass.sql");

/// What classified values of either twin have in them, and nothing else has.
pub(super) const MARKS: &[&str] = &["alpha", "bravo", "7777", "8888"];

/// Rows that are the same but for what is classified; of partial masks what they show is the same too. Also in which order
/// classified values are is another one in each: neither rows nor groups may come in it.
fn data(first: bool) -> String {
    let (mark, digits, consent, more) = match first {
        true => ("alpha", "7777", 1, 0),
        false => ("bravo", "8888", 0, 50_000),
    };
    let mut sql = String::from(
        "INSERT INTO departments VALUES (1, 'one', 1000), (2, 'two', 5000.5);
         INSERT INTO categories VALUES (1, NULL, 'root'), (2, 1, 'leaf');
         INSERT INTO articles VALUES (1, 'a fine thing', 'body of it');",
    );
    for n in 1..=4 {
        let k = if first { n } else { 5 - n };
        sql += &format!(
            "INSERT INTO employees VALUES ({n}, NULLIF({n} - 1, 0), 1, 'employee {n}', 'clerk', {pay}, '2020-01-0{n}',
                '19{age}-01-0{n}', '{digits}-badge-{k}');
             INSERT INTO customers VALUES ({n}, 'customer {n}', 'NO', 'Oslo', 'new', '2026-01-0{n}', '[\"a\"]', '{mark}{k}@mail.example',
                '{digits}-{k}', '{digits}-1234-000{n}', '{digits}{k}', {income}, '{{\"k\": \"{mark}\"}}', {consent});
             INSERT INTO orders VALUES ({n}, {n}, 'paid', {n}0.5, 'NOK', '2026-02-0{n}', NULL, '{mark}{k}@mail.example');
             INSERT INTO products VALUES ({n}, 'sku{n}', 'product {n}', 'cat', {n}.25, '{{\"a\": 1}}', 'a fine thing');
             INSERT INTO order_items VALUES ({n}, {n}, {n}, {n}.5, 0.5);
             INSERT INTO events VALUES ({n}, {n}, 'view', '2026-02-01', '{{\"x\": 1}}', {n}, '10.0.0.1');
             INSERT INTO `Mixed Case` VALUES ({n}, '{mark}', 'x');",
            pay = 1000 * k + more,
            income = 900 * (5 - k) + more,
            age = if first { 60 + n } else { 99 - n },
        );
    }
    sql
}

/// `table.column` and the class that its comment in the schema gives it.
fn columns() -> BTreeMap<String, String> {
    let mut columns = BTreeMap::new();
    for line in SCHEMA
        .lines()
        .filter_map(|line| line.strip_prefix("CREATE TABLE "))
    {
        let (table, body) = line.split_once(" (").unwrap();
        for column in body.trim_end_matches(");").split(", ") {
            let name = column.trim_start_matches('`').split(['`', ' ']).next().unwrap();
            let class = column
                .split_once("/* ")
                .map_or("public", |(_, class)| class.trim_end_matches(" */"));
            // What is split at its commas and is no column: an index, the rest of a type.
            let plain =
                !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name != "FULLTEXT";
            if plain && !(table == "articles" && column.ends_with(')') && !column.contains('(')) {
                columns.insert(format!("{}.{name}", table.replace('`', "")), class.to_owned());
            }
        }
    }
    for (column, class) in [
        ("id", "public"),
        ("name", "public"),
        ("email", "email"),
        ("orders", "public"),
    ] {
        columns.insert(format!("customer_overview.{column}"), class.to_owned());
    }
    columns
}

pub(super) async fn twin(first: bool) -> Stand {
    twin_with(first, |_| {}).await
}

pub(super) async fn twin_with(first: bool, change: impl FnOnce(&mut Spec)) -> Stand {
    Stand::made(&[SCHEMA, &data(first)], |spec| {
        spec.columns = columns();
        let style = |class: &str| match class {
            "card" => MaskStyle::Last4,
            "phone" => MaskStyle::Null,
            _ => MaskStyle::Constant,
        };
        let classes = spec.columns.values().filter(|class| *class != "public");
        spec.classes = classes.map(|class| (class.clone(), style(class))).collect();
        change(spec);
    })
    .await
}

pub(super) fn leaks() -> Vec<&'static str> {
    LEAKS.lines().filter(|line| !line.starts_with("--")).collect()
}

/// What analysts ask; what only MySQL has, this server does not.
pub(super) fn reads() -> Vec<&'static str> {
    let lines = READS.lines().filter(|line| !line.starts_with("--"));
    let pairs = lines.filter_map(|line| line.split_once(": "));
    pairs
        .filter(|(expected, statement)| *expected != "mysql" && !statement.contains('?'))
        .map(|(_, statement)| statement)
        .collect()
}

/// Statements whose answers are other ones each time.
pub(super) fn chance() -> regex::Regex {
    let words = "(?i)rand\\(|now\\(|current_|cur(date|time)|sysdate|localtime|utc_|uuid\\(|unix_timestamp";
    regex::Regex::new(words).unwrap()
}

/// Each statement on both twins: how many of them were answered.
async fn compare(statements: &[&str]) -> usize {
    let (one, other) = tokio::join!(twin(true), twin(false));
    let chance = chance();
    let (mut wrong, mut answered) = (Vec::new(), 0);
    for statement in statements {
        let (here, there) = tokio::join!(one.query(statement), other.query(statement));
        if !chance.is_match(statement) && here != there {
            wrong.push(format!("TOLD {statement}\n    {here}\n    {there}"));
        }
        let said = format!("{here}{there}");
        if MARKS
            .iter()
            .any(|mark| said.contains(mark) && !statement.contains(mark))
        {
            wrong.push(format!("SHOWN {statement}\n    {said}"));
        }
        let code = &here["refusal"]["code"];
        if code == "internal" || code == "target_failed" {
            wrong.push(format!("FAILED {statement}\n    {here}"));
        }
        answered += usize::from(here["status"] == "ok");
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        statements.len(),
        wrong.join("\n")
    );
    answered
}

#[tokio::test]
async fn no_expression_tells_two_databases_apart_that_differ_in_classified_values() {
    let leaks = leaks();
    assert!(leaks.len() >= 200, "{}", leaks.len());
    let (first, _) = leaks.split_at(leaks.len() / 2);
    assert!(compare(first).await > 40);
}

#[tokio::test]
async fn no_statement_tells_two_databases_apart_that_differ_in_classified_values() {
    let leaks = leaks();
    let (_, second) = leaks.split_at(leaks.len() / 2);
    assert!(second.len() >= 100, "{}", second.len());
    assert!(compare(second).await > 20);
}

#[tokio::test]
async fn analysts_are_answered_the_same_over_both() {
    let reads = reads();
    let answered = compare(&reads).await;
    assert!(
        answered * 100 >= reads.len() * 95,
        "{answered} of {}",
        reads.len()
    );
}

/// The statements of the bypass set as they are sent.
fn bypasses() -> Vec<(String, String)> {
    let lines = BYPASS.lines().filter(|line| !line.starts_with("-- "));
    let pairs = lines.filter_map(|line| line.split_once(": "));
    pairs
        .map(|(kind, text)| (kind.to_owned(), spelled(text)))
        .collect()
}

/// What is in every table, whoever may see it.
fn contents(stand: &Stand) -> String {
    let tables = "departments, employees, customers, orders, products, order_items, events, categories, articles, `Mixed Case`";
    let sums = stand.sql(&format!("CHECKSUM TABLE {tables}"));
    let plan = stand.sql("CHECKSUM TABLE shop_tollgate.tollgate_plan");
    let there = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema LIKE 'shop%' UNION ALL SELECT COUNT(*) FROM mysql.global_priv";
    format!("{sums}\n{plan}\n{}", stand.sql(there))
}

#[tokio::test]
async fn what_is_no_read_is_not_run_as_one() {
    let stand = twin(true).await;
    let before = contents(&stand);
    let mut wrong = Vec::new();
    for (kind, statement) in bypasses() {
        let answer = stand.query(&statement).await;
        let said = answer.to_string();
        let code = answer["refusal"]["code"].as_str().unwrap_or("none");
        let shown = MARKS
            .iter()
            .any(|mark| said.contains(mark) && !statement.contains(mark));
        if shown || !["statement_refused", "wrong_tool", "not_found", "limit_exceeded"].contains(&code) {
            wrong.push(format!("{kind} {statement}\n    {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(contents(&stand), before);
    assert_eq!(stand.rows("SELECT count(*) FROM customers").await, json!([[4]]));
}

/// Without the guard: each as it was written, by the account, where its names are those of the views.
#[tokio::test]
async fn the_account_alone_sees_and_changes_nothing() {
    let stand = twin(true).await;
    stand.sql("SET GLOBAL max_statement_time = 0.5");
    let before = contents(&stand);
    let mut wrong = Vec::new();
    let all = bypasses().into_iter().map(|(_, statement)| statement);
    // An account may give itself another password; what follows would be refused for that alone.
    let all = all.filter(|statement| !statement.starts_with("SET PASSWORD"));
    for statement in all.chain(leaks().into_iter().map(str::to_owned)) {
        for place in ["shop_tollgate", "information_schema"] {
            let asked = stand
                .server
                .sql_as(("reader", super::PASSWORD), place, &statement);
            let said = match asked {
                Ok(said) | Err(said) => said,
            };
            if MARKS
                .iter()
                .any(|mark| said.contains(mark) && !statement.contains(mark))
            {
                wrong.push(format!("{statement}\n    {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(contents(&stand), before);
    assert_eq!(stand.rows("SELECT count(*) FROM customers").await, json!([[4]]));
}
