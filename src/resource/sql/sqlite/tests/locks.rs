//! Each lock alone: what it holds when the other one, or the random names, are taken away.

use std::collections::BTreeSet;

use super::super::guard::Mode;
use super::super::link::{Key, Link};
use super::super::watch::{MEMORY, Watch};
use super::super::{bytecode, check, engine};
use super::fixture::{self, Shop, Twin};
use crate::call::Refusal;

fn link(shop: &Shop) -> Link {
    shop.pool.lease(&Key::default()).unwrap()
}

fn check(shop: &Shop, link: &mut Link, sql: &str) -> Result<(), Refusal> {
    let watch = Watch::new(&shop.pool.world, &fixture::stop(), 30, MEMORY);
    check::check(link, sql, &watch).map(drop)
}

fn program(link: &Link, sql: &str) -> Result<(), String> {
    link.guard.enter(Mode::Ours); // everything may be named
    let verified = bytecode::verify(&link.conn, sql, &link.catalog, &BTreeSet::new());
    verified.map(drop).map_err(|unfit| format!("{unfit:?}"))
}

/// The trap: the authorizer's accessor is a CTE's name too. Even who knew the file's random name could
/// not read through it.
#[test]
fn knowing_the_random_schema_name_does_not_help_against_the_authorizer() {
    let shop = fixture::shop(Twin::First);
    let mut link = link(&shop);
    let schema = link.schema.clone();
    for sql in [
        format!("SELECT email FROM {schema}.customers"),
        format!("SELECT id FROM {schema}.customers"),
        format!(
            "WITH customers AS MATERIALIZED (SELECT * FROM {schema}.customers) SELECT ssn FROM customers"
        ),
        format!("WITH v AS (SELECT email FROM {schema}.customers) SELECT * FROM v"),
        format!("SELECT sql FROM {schema}.sqlite_schema"),
        format!("SELECT sample FROM {schema}.sqlite_stat4"),
        format!("SELECT count(*) FROM {schema}.search_content"),
        format!("SELECT * FROM {schema}.qualified"),
    ] {
        let refusal = check(&shop, &mut link, &sql).expect_err(&sql);
        assert!(!refusal.message.contains(&schema), "{}", refusal.message);
    }
}

/// The trap: columns joined by name are not asked about. The program shows them.
#[test]
fn the_program_is_refused_when_it_takes_a_masked_column_however_it_was_named() {
    let shop = fixture::shop(Twin::First);
    let mut link = link(&shop);
    let schema = link.schema.clone();
    let unasked = format!("SELECT count(*) FROM {schema}.customers a JOIN {schema}.orders b USING (email)");
    assert!(check(&shop, &mut link, &unasked).is_err());
    for sql in [
        unasked,
        format!("SELECT email FROM {schema}.customers"),
        format!("SELECT count(*) FROM {schema}.customers WHERE ssn > '5'"),
        format!("SELECT id FROM {schema}.customers WHERE lower(email) = 'x'"),
        format!("SELECT staff_no FROM {schema}.staff"),
        format!("SELECT grade FROM {schema}.staff WHERE staff_no = 510003"),
        format!("SELECT grade FROM {schema}.staff WHERE staff_no > 510003"),
        format!("SELECT floor FROM {schema}.badges WHERE badge > 'BADGE-M'"),
        format!("SELECT count(*) FROM {schema}.customers WHERE country = 'de' AND email > 'm'"),
        format!("SELECT badge FROM {schema}.badges"),
        format!("SELECT handle FROM {schema}.contacts"),
        format!("SELECT stored FROM {schema}.contacts"),
        format!("SELECT * FROM {schema}.customers NATURAL JOIN {schema}.contacts"),
        format!("SELECT sql FROM {schema}.sqlite_schema"),
        format!("SELECT count(*) FROM {schema}.sqlite_stat4"),
        format!("SELECT count(*) FROM {schema}.search_content"),
        format!("SELECT * FROM {schema}.search"),
        format!("SELECT * FROM {schema}.boxes"),
        "SELECT * FROM sqlite_temp_schema".to_owned(),
        "SELECT * FROM sqlite_schema".to_owned(),
        "SELECT * FROM dbstat".to_owned(),
        "SELECT * FROM pragma_table_info('customers')".to_owned(),
        format!("DELETE FROM {schema}.customers"),
        format!("INSERT INTO {schema}.tree VALUES (9, 9, '')"),
        format!("UPDATE {schema}.tree SET label = ''"),
        "CREATE TEMP TABLE x (y)".to_owned(),
        "ATTACH ':memory:' AS m".to_owned(),
        "VACUUM".to_owned(),
        "PRAGMA user_version = 3".to_owned(),
    ] {
        assert!(program(&link, &sql).is_err(), "{sql}");
    }
    let public = format!("SELECT id, name FROM {schema}.customers WHERE id = 3");
    program(&link, &public).unwrap();
}

#[test]
fn the_file_cannot_be_written_even_without_the_locks() {
    let shop = fixture::shop(Twin::First);
    let link = link(&shop);
    link.guard.enter(Mode::Ours);
    link.conn.execute_batch("PRAGMA query_only = OFF").unwrap();
    let error = link
        .conn
        .execute(&format!("DELETE FROM {}.tree", link.schema), [])
        .unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ReadOnly));
}

/// `engine` sets bits that are no public interface: this fails if another engine reads them otherwise.
#[test]
fn the_planner_does_not_scan_an_index_in_place_of_its_table() {
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    conn.execute_batch(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, secret TEXT, filler TEXT); CREATE INDEX i ON t (secret)",
    )
    .unwrap();
    let plan = || {
        let mut statement = conn.prepare("EXPLAIN QUERY PLAN SELECT id FROM t").unwrap();
        statement.query_row([], |row| row.get::<_, String>(3)).unwrap()
    };
    assert!(plan().contains("COVERING INDEX"), "{}", plan());
    engine::plan_without_values(&conn);
    assert!(!plan().contains("INDEX"), "{}", plan());
}

#[test]
fn the_planner_does_not_look_at_samples_or_skip_over_values() {
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    conn.execute_batch(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c TEXT); CREATE INDEX ab ON t (a, b);
         WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5000)
         INSERT INTO t SELECT x, x % 2, x, 'filler' FROM n; ANALYZE",
    )
    .unwrap();
    let plan = || {
        let mut statement = conn
            .prepare("EXPLAIN QUERY PLAN SELECT c FROM t WHERE b = 77")
            .unwrap();
        statement.query_row([], |row| row.get::<_, String>(3)).unwrap()
    };
    assert!(plan().contains("ANY(a)"), "{}", plan());
    engine::plan_without_values(&conn);
    assert!(!plan().contains("INDEX"), "{}", plan());
}

#[test]
fn every_connection_is_set_up_so() {
    use rusqlite::config::DbConfig;
    use rusqlite::limits::Limit;
    let shop = fixture::shop(Twin::First);
    let reveal = Key {
        reveal: ["customers.email".to_owned()].into(),
        unordered: true,
        session: String::new(),
    };
    for key in [Key::default(), reveal] {
        let link = shop.pool.lease(&key).unwrap();
        let on = |setting| link.conn.db_config(setting).unwrap();
        assert!(on(DbConfig::SQLITE_DBCONFIG_DEFENSIVE) && on(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG));
        assert!(
            !on(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA) && !on(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA)
        );
        assert!(!on(DbConfig::SQLITE_DBCONFIG_DQS_DML) && !on(DbConfig::SQLITE_DBCONFIG_DQS_DDL));
        assert_eq!(link.conn.limit(Limit::SQLITE_LIMIT_ATTACHED).unwrap(), 0);
        assert!(link.conn.is_readonly(link.schema.as_str()).unwrap());
        link.guard.enter(Mode::Ours);
        let one = |sql: &str| link.conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((one("PRAGMA query_only"), one("PRAGMA temp_store")), (1, 2));
        let sql = format!("EXPLAIN QUERY PLAN SELECT id FROM {}.customers", link.schema);
        let plan: String = link.conn.query_row(&sql, [], |row| row.get(3)).unwrap();
        assert!(!plan.contains("INDEX"), "{plan}");
    }
}

#[test]
fn rows_come_in_an_order_that_masked_values_have_no_part_in() {
    let shop = fixture::shop(Twin::Second); // where values sort against the ids
    let ids = |sql: &str| -> Vec<i64> {
        let rows = fixture::rows(&shop.pool, sql);
        rows.iter().map(|row| row[0].as_i64().unwrap()).collect()
    };
    for sql in [
        "SELECT id FROM customers",
        "SELECT id FROM customers WHERE country = 'fr'",
        "SELECT floor FROM badges",
        "SELECT grade FROM staff WHERE team = 'team1'",
    ] {
        assert!(ids(sql).is_sorted(), "{sql}: {:?}", ids(sql));
    }
    let first = fixture::rows(
        &shop.pool,
        "SELECT group_concat(id) FROM customers WHERE country = 'at'",
    );
    assert!(first[0][0].as_str().unwrap().starts_with("3,7,11,"), "{first:?}");
}

/// What the engine says of names is passed on only if every word is the agent's or its own.
#[test]
fn names_that_are_not_exposed_and_names_that_are_not_there_look_the_same() {
    let shop = fixture::shop(Twin::First);
    for (there, not_there) in [
        ("search", "sXarch"),
        ("search_data", "sXarch_data"),
        ("boxes_node", "bXxes_node"),
        ("words", "wXrds"),
        ("qualified", "quXlified"),
        ("randomised", "rXndomised"),
        ("circular_a", "cXrcular_a"),
        ("over_search", "oXer_search"),
        ("Search_Content", "sXarch_Content"),
        ("sqlite_stat1", "sqlite_sXat1"),
        ("sqlite_sequence", "sqlite_sXquence"),
    ] {
        for shape in [
            "SELECT * FROM {}",
            "SELECT count(*) FROM {}",
            "SELECT nothing FROM {}",
            "SELECT {}.nothing FROM {}",
            "SELECT 1 FROM customers, {} USING (nothing)",
            "SELECT * FROM {}('x')",
            "SELECT * FROM main.{}",
            "SELECT * FROM temp.{}",
            "SELECT 1 FROM {} INDEXED BY x",
            "INSERT INTO {} VALUES (1)",
            "DROP TABLE {}",
        ] {
            let told = |name: &str| {
                let refusal = fixture::refusal(&shop.pool, &shape.replace("{}", name));
                format!("{:?} {} {}", refusal.code, refusal.message, refusal.suggestion).replace(name, "NAME")
            };
            assert_eq!(told(there), told(not_there), "{shape} {there}");
        }
    }
}
