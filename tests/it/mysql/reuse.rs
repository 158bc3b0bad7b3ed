//! Connections are used again, and nothing of one call is on one that another has; looks at the catalogue are shared.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;

use super::{Stand, code, query};
use crate::support::mysql;

/// Views that leave something on the connection, and one that tells what it finds there. What a function of the
/// database's own leaves, and what one of the server's own does.
const LEAVING: &str = "
CREATE TABLE shade (n int); INSERT INTO shade VALUES (1);
CREATE FUNCTION leave_variable() RETURNS int NO SQL RETURN @left := 7;
CREATE FUNCTION leave_id() RETURNS bigint NO SQL RETURN LAST_INSERT_ID(77);
CREATE FUNCTION leave_lock() RETURNS int NO SQL RETURN GET_LOCK('left', 0);
CREATE FUNCTION see_variable() RETURNS int NO SQL RETURN @left;
CREATE FUNCTION see_lock() RETURNS int NO SQL RETURN IS_USED_LOCK('left') <=> CONNECTION_ID();
CREATE FUNCTION see_other() RETURNS int NO SQL RETURN IS_USED_LOCK('other') <=> CONNECTION_ID();
CREATE FUNCTION see_shade() RETURNS int READS SQL DATA RETURN (SELECT COUNT(*) FROM shade);
DELIMITER //
CREATE FUNCTION leave_warning() RETURNS int NO SQL BEGIN
  SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'left'; RETURN 1;
END//
CREATE FUNCTION leave_shade() RETURNS int MODIFIES SQL DATA BEGIN
  CREATE TEMPORARY TABLE IF NOT EXISTS shade (n int); RETURN 1;
END//
CREATE FUNCTION leave_setting() RETURNS int NO SQL BEGIN
  SET SESSION sql_select_limit = 1; RETURN 1;
END//
CREATE FUNCTION see_warnings() RETURNS int NO SQL BEGIN
  DECLARE many int; GET DIAGNOSTICS many = NUMBER; RETURN many;
END//
DELIMITER ;
CREATE VIEW leaving AS SELECT leave_variable() AS v, leave_id() AS i, leave_lock() AS l, leave_warning() AS w;
CREATE VIEW shading AS SELECT leave_shade() AS s;
CREATE VIEW setting AS SELECT leave_setting() AS s;
CREATE VIEW counting AS SELECT LAST_INSERT_ID(78) AS i;
CREATE VIEW locking AS SELECT GET_LOCK('other', 0) AS l;
CREATE VIEW seen AS SELECT see_variable() AS v, see_lock() AS l, see_other() AS o, see_shade() AS s, see_warnings() AS w;
CREATE VIEW id AS SELECT LAST_INSERT_ID() AS i;
CREATE USER IF NOT EXISTS 'tollgate_views'@'localhost' ACCOUNT LOCK;
";

const COLUMNS: [&str; 14] = [
    "leaving.v",
    "leaving.i",
    "leaving.l",
    "leaving.w",
    "shading.s",
    "setting.s",
    "counting.i",
    "locking.l",
    "seen.v",
    "seen.l",
    "seen.o",
    "seen.s",
    "seen.w",
    "id.i",
];

async fn stand() -> Stand {
    let functions = [
        "leave_variable",
        "leave_id",
        "leave_lock",
        "leave_warning",
        "leave_shade",
        "leave_setting",
        "see_variable",
        "see_lock",
        "see_other",
        "see_shade",
        "see_warnings",
    ];
    let grants = functions
        .map(|name| format!("GRANT EXECUTE ON FUNCTION shop.{name} TO 'tollgate_views'@'localhost';"));
    Stand::with(&format!("{LEAVING}{}", grants.concat()), |spec| {
        for column in COLUMNS {
            spec.columns.insert(column.to_owned(), "public".to_owned());
        }
    })
    .await
}

/// The connections on which statements of agents were run, in their order, with the statements.
fn run(stand: &Stand) -> Vec<(String, String)> {
    let calls = regex::Regex::new(r"(?m)(\d+) Execute\s/\* tollgate [a-z0-9]+ \*/ (.*)$").unwrap();
    let log = stand.server.log();
    let found = calls.captures_iter(&log);
    found
        .map(|found| (found[1].to_owned(), found[2].to_owned()))
        .collect()
}

#[tokio::test]
async fn nothing_of_a_call_is_on_the_connection_of_another() {
    let stand = stand().await;
    let seen = "SELECT v, l, o, s, w FROM seen";
    let clean = json!([[null, 0, 0, 1, 0]]);
    for round in 0..4 {
        for leaves in [
            "SELECT v, i, l FROM leaving",
            "SELECT w FROM leaving",
            "SELECT s FROM setting",
            "SELECT i FROM counting",
            "SELECT l FROM locking",
        ] {
            stand.rows(leaves).await;
            assert_eq!(
                stand.rows("SELECT id FROM orders ORDER BY id").await,
                json!([[10], [11], [12]])
            );
            assert_eq!(stand.rows(seen).await, clean, "{round}: {leaves}");
            assert_eq!(stand.rows("SELECT i FROM id").await, json!([[0]]), "{leaves}");
            assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
        }
    }
    // A table of its own is nothing that a transaction can make which only reads.
    let answer = stand.query("SELECT s FROM shading").await;
    assert_eq!(code(&answer), "wrong_tool", "{answer}");
    assert_eq!(stand.rows(seen).await, clean);
    // Where something was left, nothing was run any more.
    let run = run(&stand);
    for (at, (connection, statement)) in run.iter().enumerate() {
        let left = ["leaving", "shading", "setting", "counting", "locking", "seen"];
        if left.iter().any(|view| statement.contains(&format!("`{view}`"))) {
            let mut later = run[at + 1..].iter();
            assert!(
                later.all(|(other, _)| other != connection),
                "{statement}: {run:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_that_only_read_is_used_again_and_a_failed_one_is_not() {
    let stand = stand().await;
    for _ in 0..20 {
        assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
    }
    let many = run(&stand);
    let mut connections: Vec<&String> = many.iter().map(|(connection, _)| connection).collect();
    connections.sort();
    connections.dedup();
    assert!(connections.len() < many.len(), "{many:?}");
    let fails = stand
        .query("SELECT id, (SELECT customer_id FROM orders) AS one FROM customers")
        .await;
    assert_ne!(fails["status"], "ok", "{fails}");
    for _ in 0..20 {
        assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
    }
    let all = run(&stand);
    let (failed, later) = all[many.len()..].split_first().unwrap();
    assert!(failed.1.contains("customer_id"), "{failed:?}");
    assert!(
        later.iter().all(|(connection, _)| *connection != failed.0),
        "{all:?}"
    );
}

/// Numbers by chance are not those that follow from what another call had.
#[tokio::test]
async fn chance_begins_anew_on_every_connection() {
    let stand = stand().await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(stand.rows("SELECT RAND()").await.to_string());
    }
    let log = stand.server.log();
    let seeds = regex::Regex::new(r"SET rand_seed1 = (\d+), rand_seed2 = (\d+)").unwrap();
    let mut seeds: Vec<&str> = seeds.find_iter(&log).map(|found| found.as_str()).collect();
    let many = seeds.len();
    seeds.sort_unstable();
    seeds.dedup();
    assert!(many > 1 && seeds.len() == many, "{seeds:?}");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20);
}

#[tokio::test]
async fn calls_that_come_at_once_share_their_looks() {
    let stand = Stand::new("").await;
    let looks = || stand.server.log().matches("SHOW GRANTS;").count();
    assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
    let before = looks();
    let calls = (0..40).map(|_| stand.query("SELECT count(*) FROM orders"));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer["data"]["rows"], json!([[3]]), "{answer}");
    }
    let made = looks() - before;
    // All come before any look has ended: one that is under way, and one that is for all the others; each a glance and,
    // where that is not enough, a close look before and after another.
    // MySQL is asked for all of it once more after the statements, as many of which run at once as there are connections.
    let most = if mysql::is_mysql() { 42 } else { 16 };
    assert!(
        (1..=most).contains(&made),
        "{made} for 40 inspections and 40 statements"
    );
}

/// Between any two calls of the same statement, which is known by then, and on a connection that is used again.
#[tokio::test]
async fn what_is_made_otherwise_is_seen_by_the_next_call() {
    let stand = Stand::new("").await;
    let statement = "SELECT email FROM customers WHERE id = 1";
    for _ in 0..3 {
        assert_eq!(stand.rows(statement).await, json!([["***"]]));
        stand.sql("CREATE OR REPLACE VIEW shop_tollgate.customers AS SELECT * FROM shop.customers");
        let answer = stand.ask(query(statement)).await;
        assert_eq!(code(&answer), "target_failed", "{answer}");
        assert!(!answer.to_string().contains("one@"), "{answer}");
        assert!(stand.closed().await.contains("is not the one that was made"));
        stand.sql("DROP VIEW shop_tollgate.customers");
        stand.make_views().await;
    }
}

/// Since when a table is as it is, a server keeps by the second, and two tables may change their names. Here it tells
/// nothing at all: what a glance misses is noticed where the statement ran, and then known.
#[tokio::test]
async fn what_a_glance_misses_is_noticed_where_the_statement_ran() {
    if mysql::is_mysql() {
        return; // has no glance
    }
    let stand = super::tokens::shop("").await;
    let blind = "CREATE OR REPLACE DEFINER = 'tollgate_views'@'localhost' SQL SECURITY DEFINER VIEW \
        shop_tollgate.tollgate_kinds AS SELECT 'x' AS table_name, 'BASE TABLE' AS kind, TIMESTAMP '2001-01-01 00:00:00' AS since";
    let statement = "SELECT id, city, name FROM customers WHERE id = 1";
    let token = "SELECT email FROM customers WHERE id = 1";
    let looks = || {
        stand
            .server
            .log()
            .matches("FROM `shop_tollgate`.`tollgate_made`")
            .count()
    };
    let open = async || {
        stand.sql(blind);
        for statement in [statement, statement, token, token] {
            stand.rows(statement).await;
        }
        let before = looks();
        assert_eq!(stand.rows(statement).await, json!([[1, "Oslo", "***"]]));
        assert_eq!(looks(), before, "a glance is all that was made");
    };
    for (asked, change, undo, word) in [
        (
            statement,
            "ALTER TABLE customers CHANGE city name varchar(50), CHANGE name city varchar(100) NOT NULL",
            "ALTER TABLE customers CHANGE name city varchar(50), CHANGE city name varchar(100) NOT NULL",
            "customers has other columns",
        ),
        (
            statement,
            "RENAME TABLE customers TO former; CREATE TABLE customers AS SELECT id, email AS name, name AS email, email AS city, \
             born FROM former",
            "DROP TABLE customers; RENAME TABLE former TO customers",
            "customers has other columns",
        ),
        (
            statement,
            "CREATE OR REPLACE VIEW shop_tollgate.customers AS SELECT id, name, email AS city, email, born FROM shop.customers",
            "DROP VIEW shop_tollgate.customers",
            "is not the one that was made",
        ),
        (
            token,
            "DELETE FROM shop_tollgate_key.tollgate_key",
            "DO 0",
            "no key in shop_tollgate_key",
        ),
        (
            statement,
            "RENAME TABLE customers TO former",
            "RENAME TABLE former TO customers",
            "customers has other columns",
        ),
    ] {
        open().await;
        stand.sql(change);
        let answer = stand.query(asked).await;
        assert_eq!(code(&answer), "target_failed", "{change}: {answer}");
        assert_eq!(answer["refusal"]["retry"], json!(true), "{change}: {answer}");
        assert!(!answer.to_string().contains("one@"), "{change}: {answer}");
        let said = stand.closed().await;
        assert!(said.contains(word), "{change}: {said}");
        stand.sql(undo);
        stand.make_views().await;
    }
    // What looks otherwise at a glance and is the same is learned anew, once.
    open().await;
    stand.sql(&blind.replace("2001-01-01", "2001-01-02"));
    stand.rows(statement).await;
    let before = looks();
    stand.rows(statement).await;
    assert_eq!(looks(), before);
    // Nothing is refused after a glance alone: an error is told after a close look, and so is what does not exist.
    open().await;
    stand.sql("CREATE TABLE added (id int PRIMARY KEY)");
    let said = stand.query("SELECT id FROM added").await;
    assert!(
        said["detail"]
            .to_string()
            .contains("added has no masking view yet"),
        "{said}"
    );
    stand.sql("DROP TABLE added");
    open().await;
    stand.sql("ALTER TABLE orders ADD COLUMN note text");
    let said = stand.query("SELECT note FROM orders").await;
    assert_eq!(said["refusal"]["retry"], json!(true), "{said}");
    assert!(stand.closed().await.contains("orders has other columns"));
}

/// The catalogue is looked at when a call comes; once it is known what a statement's part of it looks like from its
/// transaction, that alone is asked when the statement has run.
#[tokio::test]
async fn what_a_statement_used_is_asked_where_it_ran() {
    let stand = Stand::new("").await;
    let never = CancellationToken::new();
    let statement = "SELECT id, city, email FROM customers WHERE id = 1";
    let asked = |what: &str| stand.server.log().matches(what).count();
    let (all, part) = (
        "FROM `shop_tollgate`.`tollgate_made`",
        "WHERE table_name = 'customers'",
    );
    for (change, undo) in [
        (
            "ALTER TABLE customers CHANGE city email varchar(50), CHANGE email city varchar(100)",
            "ALTER TABLE customers CHANGE email city varchar(50), CHANGE city email varchar(100)",
        ),
        (
            "CREATE OR REPLACE VIEW shop_tollgate.customers AS SELECT * FROM shop.customers",
            "DROP VIEW shop_tollgate.customers",
        ),
        (
            "RENAME TABLE customers TO former; CREATE TABLE customers AS SELECT id, email AS name, name AS email, email AS city, \
             born FROM former",
            "DROP TABLE customers; RENAME TABLE former TO customers",
        ),
    ] {
        let shown = stand.rows(statement).await;
        assert_eq!(shown, json!([[1, "Oslo", "***"]]));
        let before = (asked(all), asked(part));
        assert_eq!(stand.rows(statement).await, shown);
        // When the call came, where a glance was not enough, and once more where it learned what a glance tells.
        assert!(asked(all) <= before.0 + 2, "{change}");
        assert_eq!(asked(part), before.1 + 1, "{change}");
        let changed = || {
            stand.sql(change);
        };
        let request = Request::SqlQuery(query(statement));
        let answer = stand.call_with(&["analyst"], request, &never, changed).await;
        assert_eq!(code(&answer), "target_failed", "{change}: {answer}");
        assert_eq!(answer["refusal"]["retry"], json!(true), "{answer}");
        assert!(!answer.to_string().contains("one@"), "{change}: {answer}");
        stand.sql(undo);
        stand.make_views().await;
    }
}

/// What its digest does not tell of a view is told by its text: one call is refused, and the next one looks at all of it.
#[tokio::test]
async fn a_part_that_looks_otherwise_is_learned_anew() {
    let stand = Stand::new("").await;
    let statement = "SELECT id FROM orders WHERE id = 10";
    for _ in 0..2 {
        assert_eq!(stand.rows(statement).await, json!([[10]]));
    }
    let made = stand.sql("SHOW CREATE VIEW shop_tollgate.orders");
    let made = made.split('\t').nth(1).unwrap();
    let other = made.replacen(
        "CREATE ALGORITHM=MERGE",
        "CREATE OR REPLACE ALGORITHM=UNDEFINED",
        1,
    );
    assert_ne!(other, made);
    let never = CancellationToken::new();
    let changed = || {
        stand.sql(&other);
    };
    let request = Request::SqlQuery(query(statement));
    let answer = stand.call_with(&["analyst"], request, &never, changed).await;
    assert_eq!(answer["refusal"]["retry"], json!(true), "{answer}");
    for _ in 0..2 {
        assert_eq!(stand.rows(statement).await, json!([[10]]));
    }
}

/// Connections that had signed in before stay, so the server is asked.
#[tokio::test]
async fn a_locked_account_is_noticed_at_once() {
    let stand = Stand::new("").await;
    for _ in 0..3 {
        assert_eq!(
            stand.rows("SELECT id FROM orders WHERE id = 10").await,
            json!([[10]])
        );
        stand.sql("ALTER USER reader ACCOUNT LOCK");
        let said = stand.closed().await;
        assert!(said.contains("the account is locked"), "{said}");
        stand.sql("ALTER USER reader ACCOUNT UNLOCK");
    }
}
