//! What analysts ask: the rows are those that the owner of the tables is given, and the indexes too.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::Value;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{Column, ConnectOptions, Row, TypeInfo, ValueRef};

use super::twins::{chance, reads, twin};
use super::{Stand, mysql};
use crate::support::until;

const ANALYST: &str = include_str!("data/analyst.sql");

/// Ordinary statements, by the tables they name: those of `analyst.sql` have classified columns.
pub(super) fn statements() -> Vec<&'static str> {
    let analyst = ANALYST.lines().filter(|line| !line.starts_with("--"));
    reads().into_iter().chain(analyst).collect()
}

/// The owner's own connection, where texts mean what they mean to the guard.
async fn owner(stand: &Stand) -> MySqlConnection {
    let options = MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(stand.spec.url.port().unwrap())
        .username("root")
        .password(mysql::PASSWORD)
        .database("shop")
        .pipes_as_concat(false)
        .ssl_mode(MySqlSslMode::Disabled);
    let mut conn = options.connect().await.unwrap();
    let mode = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'";
    sqlx::raw_sql(mode).execute(&mut conn).await.unwrap();
    conn
}

/// A cell as the server itself writes it, with the type that the column has; but a real number from its bits, since the
/// server writes some with fewer digits. The two rows are the same one, as text and as it is.
fn direct(row: &MySqlRow, bits: &MySqlRow, at: usize) -> String {
    let kind = row.column(at).type_info().name().to_lowercase();
    if row.try_get_raw(at).unwrap().is_null() {
        return format!("{kind} NULL");
    }
    let bytes: &[u8] = row.try_get_unchecked(at).unwrap();
    let text = match kind.as_str() {
        "double" => format!("{:?}", bits.try_get_unchecked::<f64, _>(at).unwrap()),
        _ if !<str as sqlx::Type<sqlx::MySql>>::compatible(row.column(at).type_info())
            && kind.contains("binary") =>
        {
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            serde_json::json!({ "base64": encoded, "bytes": bytes.len() }).to_string()
        }
        _ => String::from_utf8(bytes.to_vec()).unwrap(),
    };
    format!("{kind} {text}")
}

/// A column's name: an expression that was given none has the one of how it is written.
fn named(name: &str) -> String {
    name.replace(' ', "").replace("0x1F", "X'1F'")
}

/// The same of a cell of an answer.
fn governed(kind: &str, cell: &Value) -> String {
    let text = match cell {
        Value::Null => return format!("{kind} NULL"),
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    // A number, but for whole ones of more digits than a double keeps; and nothing else is one.
    let beyond = text
        .trim_start_matches('-')
        .parse::<u64>()
        .is_ok_and(|digits| digits > 1 << 53);
    let number = kind.contains("int") || matches!(kind, "double" | "float" | "year");
    assert_eq!(cell.is_number(), number && !beyond, "{kind}: {cell}");
    format!("{kind} {}", plain(kind, &text))
}

/// Two spellings of one real number are the same number; every other type has one spelling.
fn plain(kind: &str, text: &str) -> String {
    match kind {
        "double" | "float" => format!("{:?}", text.parse::<f64>().unwrap()),
        _ => text.to_owned(),
    }
}

/// Whether rows come in an order that is asked for: an ORDER BY outside of all brackets.
fn is_ordered(statement: &str) -> bool {
    let mut depth = 0;
    statement.char_indices().any(|(at, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0 && statement.as_bytes()[at..].starts_with(b"ORDER BY ")
    })
}

/// Column names and rows, each cell with its type.
type Table = (Vec<String>, Vec<Vec<String>>);

/// In one order where the statement asks for none.
fn sorted(statement: &str, head: Vec<String>, mut rows: Vec<Vec<String>>) -> Table {
    if !is_ordered(statement) {
        rows.sort();
    }
    (head, rows)
}

/// An answer's names and rows.
fn ours(statement: &str, answer: &Value) -> Table {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |name: &str| answer["data"][name].as_array().unwrap();
    let names = list("columns").iter().map(|name| named(&text(name)));
    let kinds: Vec<String> = list("types").iter().map(text).collect();
    let row = |row: &Value| -> Vec<String> {
        let cells = kinds.iter().zip(row.as_array().unwrap());
        cells.map(|(kind, cell)| governed(kind, cell)).collect()
    };
    sorted(statement, names.collect(), list("rows").iter().map(row).collect())
}

/// The names and rows that the owner is given. No row tells its columns: then they are `known`.
async fn theirs(owner: &mut MySqlConnection, statement: &str, known: &[String]) -> Table {
    let text = || sqlx::AssertSqlSafe(statement.to_owned());
    let rows = sqlx::raw_sql(text()).fetch_all(&mut *owner).await.unwrap();
    let bits = sqlx::query(text()).fetch_all(&mut *owner).await.unwrap();
    let columns = |row: &MySqlRow| row.columns().iter().map(|column| named(column.name())).collect();
    let names = rows.first().map_or_else(|| known.to_vec(), columns);
    let cells =
        |(row, bits): (&MySqlRow, &MySqlRow)| (0..row.len()).map(|at| direct(row, bits, at)).collect();
    sorted(statement, names, rows.iter().zip(&bits).map(cells).collect())
}

#[tokio::test]
async fn analysts_get_the_raw_rows_of_public_columns() {
    let stand = twin(true).await;
    let mut owner = owner(&stand).await;
    let (chance, all) = (chance(), statements());
    let (mut refused, mut differs, mut compared, mut masked) = (Vec::new(), Vec::new(), 0, 0);
    for statement in &all {
        let answer = stand.query(statement).await;
        if answer["status"] != "ok" {
            let told = &answer["refusal"];
            assert!(told["message"].is_string() && told["try"].is_string(), "{answer}");
            refused.push(format!("{statement}\n    {answer}"));
            continue;
        }
        let classified = answer["masked"]
            .as_array()
            .is_some_and(|masked| !masked.is_empty());
        if chance.is_match(statement) || classified {
            continue; // another moment, or columns that are to be other ones
        }
        let ours = ours(statement, &answer);
        let mut theirs = theirs(&mut owner, statement, &ours.0).await;
        if mysql::is_mysql() && (statement.contains(" TRUE,") || statement.contains("'a' 'b'")) {
            theirs.0.clone_from(&ours.0); // which calls a column without a name by what was written, to the letter
        }
        compared += 1;
        masked += usize::from(ANALYST.contains(statement));
        if ours != theirs {
            differs.push(format!("{statement}\n    {ours:?}\n    {theirs:?}"));
        }
    }
    assert!(
        differs.is_empty(),
        "{} differ:\n{}",
        differs.len(),
        differs.join("\n")
    );
    assert!(
        compared >= 200 && masked >= 130,
        "{compared}, {masked} of tables with masks"
    );
    let said = refused.join("\n");
    assert!(
        refused.len() <= all.len() / if mysql::is_mysql() { 30 } else { 50 },
        "{} of {}:\n{said}",
        refused.len(),
        all.len()
    );
}

/// So many rows that an index is worth more than a look at all of them.
const MANY: &str = "
INSERT INTO customers (id, name, country, city, status, created_at, tags) SELECT seq, CONCAT('customer ', seq), ELT(seq % 40 + 1, 'NO', 'SE', 'DK', 'FI'),
  CONCAT('city ', seq % 90), 'new', '2026-01-01' + INTERVAL seq HOUR, '[]' FROM seq_10_to_3000;
INSERT INTO orders (id, customer_id, status, total, currency, created_at) SELECT seq, seq % 2900 + 10, 'paid', seq % 70, 'NOK',
  '2026-02-01' + INTERVAL seq HOUR FROM seq_10_to_3000;
INSERT INTO employees (id, manager_id, department_id, name, hired) SELECT seq, seq DIV 9, seq % 300, CONCAT('employee ', seq),
  '2020-01-01' + INTERVAL seq DAY FROM seq_10_to_2000;
INSERT INTO events (id, customer_id, kind, at) SELECT seq, seq % 2900, 'view', '2026-02-01' + INTERVAL seq MINUTE FROM seq_10_to_3000;
INSERT INTO order_items (order_id, product_id, quantity, price) SELECT seq, seq % 9, 1, 2 FROM seq_10_to_3000;
CREATE INDEX by_customer ON orders (customer_id); CREATE INDEX by_day ON orders (created_at);
CREATE INDEX by_city ON customers (city); CREATE INDEX by_name ON customers (name); CREATE INDEX by_time ON customers (created_at);
CREATE INDEX by_manager ON employees (manager_id); CREATE INDEX by_hired ON employees (hired); CREATE INDEX of_events ON events (customer_id, at);
CREATE INDEX of_items ON order_items (order_id);
ANALYZE TABLE customers, orders, employees, events, order_items";

/// Searches that only an index makes short, beside the analysts' own.
const SEARCHES: &[&str] = &[
    "SELECT id, name FROM customers WHERE id = 77",
    "SELECT id FROM customers WHERE city = 'city 7'",
    "SELECT id, status FROM customers WHERE name = 'customer 1234'",
    "SELECT name FROM customers WHERE id IN (11, 12, 13)",
    "SELECT name FROM customers WHERE id BETWEEN 100 AND 110 ORDER BY id",
    "SELECT max(id), min(id) FROM customers",
    "SELECT id, name FROM customers ORDER BY id LIMIT 5",
    "SELECT id FROM customers WHERE created_at < '2026-01-01 14:00:00'",
    "SELECT id FROM customers WHERE name LIKE 'customer 299%'",
    "SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id = 500",
    "SELECT c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = 600",
    "SELECT c.id, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE c.city = 'city 3' GROUP BY c.id",
    "SELECT id FROM orders WHERE customer_id = 321 AND total > 1",
    "SELECT id FROM orders WHERE created_at BETWEEN '2026-02-02' AND '2026-02-03'",
    "SELECT name FROM employees WHERE manager_id = 12",
    "SELECT e.name, m.name FROM employees e JOIN employees m ON m.id = e.manager_id WHERE e.id = 700",
    "SELECT name FROM employees WHERE hired = '2021-05-05'",
    "SELECT e.id FROM customers c JOIN events e ON e.customer_id = c.id WHERE c.id = 44",
    "SELECT i.quantity FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.id = 99",
    "WITH c AS (SELECT id, name FROM customers) SELECT name FROM c WHERE id = 9",
    "SELECT name FROM (SELECT id, name FROM customers) q WHERE q.id = 15",
    "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.id = 17)",
    "SELECT name FROM customers WHERE id = (SELECT customer_id FROM orders WHERE id = 18)",
];

/// The indexes by which a plan reaches its tables.
async fn indexes(owner: &mut MySqlConnection, statement: &str) -> BTreeSet<String> {
    let explain = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("EXPLAIN {statement}")));
    let rows = explain.fetch_all(owner).await.unwrap();
    let key = |row: &MySqlRow| row.try_get_unchecked::<Option<String>, _>("key").unwrap();
    rows.iter().filter_map(key).collect()
}

/// What the server was sent for the statement that was asked last.
async fn sent(stand: &Stand, after: usize) -> String {
    until("the statement in the server's log", async || {
        let log = stand.server.log();
        let (_, text) = log.get(after..)?.rsplit_once("Execute\t/* tollgate ")?;
        let (_, text) = text.lines().next()?.split_once("*/ ")?;
        Some(text.to_owned())
    })
    .await
}

#[tokio::test]
async fn what_is_sent_keeps_the_indexes_of_what_was_asked() {
    let stand = twin(true).await;
    stand.sql(MANY);
    stand.make_views().await; // they name the indexes they may use
    let mut owner = owner(&stand).await;
    let (mut lost, mut compared, mut by_index) = (Vec::new(), 0, 0);
    let all = statements();
    for statement in SEARCHES.iter().chain(&all) {
        let before = stand.server.log().len();
        let answer = stand.query(statement).await;
        if answer["status"] != "ok" {
            continue; // counted where answers are compared
        }
        let text = sent(&stand, before).await;
        let (by_hand, by_us) = (
            indexes(&mut owner, statement).await,
            indexes(&mut owner, &text).await,
        );
        compared += 1;
        by_index += usize::from(!by_hand.is_empty());
        if !by_hand.is_subset(&by_us) {
            lost.push(format!("{statement}\n    {by_hand:?} {by_us:?}"));
        }
    }
    assert!(
        lost.is_empty(),
        "{} of {compared}:\n{}",
        lost.len(),
        lost.join("\n")
    );
    assert!(
        compared >= 200 && by_index >= 80,
        "{compared}, {by_index} by an index"
    );
}
