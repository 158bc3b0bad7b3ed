//! Opening, and a database that changes while it is in use.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;

use super::super::link::Key;
use super::super::pool::Pool;
use super::super::query::{self, Order};
use super::super::{ColumnsDefault, Database, Expected, Spec, facts};
use super::fixture::{self, LIMITS, Still, Twin, ask, request, rows, shop};
use crate::call::{Action, Code};
use crate::resource::sql::MaskStyle;

fn open(spec: Spec) -> Result<Database, String> {
    Database::open(spec, Arc::new(Still::default()))
}

fn change(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn what_cannot_be_opened_is_said_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let good = fixture::spec(fixture::file(&folder, Twin::First));
    let mut missing = good.clone();
    missing.path = folder.path().join("nothing.db");
    assert!(open(missing).unwrap_err().contains("nothing.db"));
    assert!(!folder.path().join("nothing.db").exists());
    let mut directory = good.clone();
    directory.path = folder.path().to_owned();
    assert!(open(directory).unwrap_err().contains("not a file"));
    let text = folder.path().join("text.db");
    std::fs::write(
        &text,
        "not a database, but long enough to be read as the header of one".repeat(30),
    )
    .unwrap();
    let mut other = good.clone();
    other.path = text;
    assert!(open(other).unwrap_err().contains("cannot read"));
    for (column, class, told) in [
        ("customers.emial", "email", "customers.emial"),
        ("costumers.email", "email", "costumers.email"),
        ("search.body", "public", "search.body"),
        ("search_content.c0", "public", "search_content.c0"),
        ("qualified.email", "public", "qualified.email"),
        ("sqlite_sequence.seq", "public", "sqlite_sequence.seq"),
        ("customers.notes", "secret", "secret"),
        ("Customers.Email", "email", "twice"),
    ] {
        let mut spec = good.clone();
        spec.columns.insert(column.to_owned(), class.to_owned());
        let error = open(spec).unwrap_err();
        assert!(
            error.contains("`shop`") && error.contains(told),
            "{column}: {error}"
        );
    }
}

#[test]
fn a_path_may_hold_any_character_and_options_in_it_are_only_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a?mode=rwc&x=#1 %41;'ü.db");
    std::fs::rename(fixture::file(&folder, Twin::First), &path).unwrap();
    let pool = Pool::open(fixture::spec(path), Arc::new(Still::default())).unwrap();
    assert_eq!(rows(&pool, "SELECT count(*) FROM customers"), [[json!(40)]]);
}

#[test]
fn a_schema_change_between_inspection_and_run_is_noticed_and_the_next_call_sees_it() {
    let shop = shop(Twin::First);
    let path = shop.pool.spec().path.clone();
    let sql = "SELECT * FROM tree WHERE id = 1";
    let (checked, version) = query::inspect(&shop.pool, sql, &fixture::stop()).unwrap();
    let seen = facts(&shop.pool, Action::SqlRead, version, Some(&checked));
    change(
        &path,
        "ALTER TABLE tree ADD COLUMN secret TEXT DEFAULT 'hidden away'",
    );
    let order = Order {
        request: request(sql),
        limits: LIMITS,
        reveal: Default::default(),
        session: String::new(),
        expected: Expected::of(&seen).unwrap(),
    };
    let refusal = query::run(&shop.pool, &order, &fixture::stop()).unwrap_err();
    assert_eq!((refusal.code, refusal.retry), (Code::TargetFailed, true));
    assert_eq!(
        rows(&shop.pool, sql),
        [[json!(1), json!(null), json!("root"), json!("***")]]
    );
    change(
        &path,
        "CREATE TABLE later (x TEXT); INSERT INTO later VALUES ('new and unlisted'); DROP VIEW spender_mail",
    );
    assert_eq!(rows(&shop.pool, "SELECT x FROM later"), [[json!("***")]]);
    assert_eq!(
        fixture::refusal(&shop.pool, "SELECT * FROM spender_mail").code,
        Code::StatementRefused
    );
}

#[test]
fn facts_that_do_not_fit_the_statement_are_not_run() {
    let shop = shop(Twin::First);
    let (seen, _) = ask(&shop.pool, request("SELECT id FROM tree"), &[], LIMITS).unwrap();
    let order = Order {
        request: request("SELECT id FROM customers"),
        limits: LIMITS,
        reveal: Default::default(),
        session: String::new(),
        expected: Expected::of(&seen).unwrap(),
    };
    assert_eq!(
        query::run(&shop.pool, &order, &fixture::stop()).unwrap_err().code,
        Code::TargetFailed
    );
}

#[test]
fn another_file_under_the_same_path_is_noticed() {
    let shop = shop(Twin::First);
    let path = shop.pool.spec().path.clone();
    assert_eq!(rows(&shop.pool, "SELECT count(*) FROM tree"), [[json!(5)]]);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = fixture::file(&elsewhere, Twin::First);
    change(&other, "DELETE FROM tree WHERE id > 2");
    std::fs::copy(&other, path.with_extension("new")).unwrap();
    std::fs::rename(path.with_extension("new"), &path).unwrap();
    assert_eq!(rows(&shop.pool, "SELECT count(*) FROM tree"), [[json!(2)]]);
    std::fs::remove_file(&path).unwrap();
    let gone = fixture::refusal(&shop.pool, "SELECT count(*) FROM tree");
    assert_eq!(gone.code, Code::TargetFailed);
    assert!(!gone.message.contains("shop data"));
}

fn shows_by_default(path: std::path::PathBuf) -> Spec {
    Spec {
        columns_default: ColumnsDefault::Show,
        columns: [("contacts.email", "email"), ("customers.ssn", "email")]
            .map(|(column, class)| (column.to_owned(), class.to_owned()))
            .into(),
        classes: [("email".to_owned(), MaskStyle::Constant)].into(),
        ..fixture::spec(path)
    }
}

#[test]
fn where_unlisted_columns_are_shown_those_made_of_masked_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture::file(&folder, Twin::First);
    let pool = Pool::open(shows_by_default(path.clone()), Arc::new(Still::default())).unwrap();
    let row = rows(
        &pool,
        "SELECT email, handle, stored, city FROM contacts WHERE id = 1",
    );
    assert_eq!(row, [[json!("***"), json!("***"), json!("***"), json!("city1")]]);
    assert_eq!(
        rows(&pool, "SELECT phone, ssn FROM customers WHERE id = 1"),
        [[json!("+49170010000"), json!("***")]]
    );
    // A renamed column would now be an unlisted one, and be shown.
    change(&path, "DROP VIEW circular_a; DROP VIEW circular_b; DROP VIEW over_search; DROP VIEW by_secret;
        DROP VIEW qualified; DROP INDEX high_ssn; DROP TRIGGER on_order; ALTER TABLE customers RENAME COLUMN ssn TO social");
    let refusal = fixture::refusal(&pool, "SELECT social FROM customers");
    assert_eq!(refusal.code, Code::TargetFailed);
    assert!(refusal.detail.unwrap().contains("customers.ssn"));
}

#[test]
fn a_listed_generated_column_is_what_its_class_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = fixture::spec(fixture::file(&folder, Twin::First));
    spec.columns
        .insert("contacts.handle".to_owned(), "public".to_owned());
    let pool = Pool::open(spec, Arc::new(Still::default())).unwrap();
    let row = rows(&pool, "SELECT handle, email, stored FROM contacts WHERE id = 1");
    assert_eq!(row, [[json!("alpha001"), json!("***"), json!("***")]]);
}

/// The length of a masked value must not be seen either: neither as an error nor as a cut answer.
#[test]
fn a_masked_value_larger_than_any_limit_changes_nothing() {
    let (small, large) = (shop(Twin::First), shop(Twin::First));
    for (shop, bytes) in [(&small, 1), (&large, 6 << 20)] {
        let sql =
            "UPDATE customers SET notes = printf('%0*d', ?1, 7), phone = printf('%0*d', ?1, 8) WHERE id = 5";
        Connection::open(&shop.pool.spec().path)
            .unwrap()
            .execute(sql, [bytes])
            .unwrap();
    }
    for sql in [
        "SELECT * FROM customers ORDER BY id",
        "SELECT id, profile FROM customers WHERE notes <> 'x'",
        "SELECT id, length(notes), length(phone) FROM customers ORDER BY notes, phone",
        "SELECT group_concat(notes), count(DISTINCT notes) FROM customers",
        "SELECT DISTINCT country, notes FROM customers",
        "SELECT a.id FROM customers a JOIN customers b USING (notes) LIMIT 20",
    ] {
        assert_eq!(
            fixture::outcome(&small.pool, sql),
            fixture::outcome(&large.pool, sql),
            "{sql}"
        );
    }
}

#[test]
fn many_at_once_get_what_each_may_see() {
    let shop = shop(Twin::First);
    let pool = &shop.pool;
    std::thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || {
                for round in 0..20 {
                    let sql = format!("SELECT id, email FROM customers WHERE id = {}", round + 1);
                    let reveal: &[&str] = if worker % 2 == 0 {
                        &["customers.email"]
                    } else {
                        &[]
                    };
                    let (_, answer) = ask(pool, request(&sql), reveal, LIMITS).unwrap();
                    let email = if worker % 2 == 0 {
                        format!("alpha{round:03}@private.example")
                    } else {
                        "***".into()
                    };
                    assert_eq!(answer.rows.rows, [[json!(round + 1), json!(email)]]);
                }
            });
        }
    });
}

#[test]
fn a_writer_at_work_is_waited_for_or_reported_and_never_blocked() {
    let shop = shop(Twin::First);
    let writer = Connection::open(&shop.pool.spec().path).unwrap();
    writer
        .execute_batch("BEGIN EXCLUSIVE; UPDATE tree SET label = 'x'")
        .unwrap();
    let refusal = fixture::refusal(&shop.pool, "SELECT * FROM tree");
    assert_eq!((refusal.code, refusal.retry), (Code::TargetFailed, true));
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(
        rows(&shop.pool, "SELECT label FROM tree WHERE id = 1"),
        [[json!("x")]]
    );
    writer.execute_batch("UPDATE tree SET label = 'y'").unwrap();
}

#[test]
fn a_wal_database_is_read_while_it_is_written() {
    let shop = shop(Twin::First);
    let writer = Connection::open(&shop.pool.spec().path).unwrap();
    writer
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    writer
        .execute_batch("BEGIN IMMEDIATE; UPDATE tree SET label = 'x' WHERE id = 1")
        .unwrap();
    assert_eq!(
        rows(&shop.pool, "SELECT label FROM tree WHERE id = 1"),
        [[json!("root")]]
    );
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(
        rows(&shop.pool, "SELECT label FROM tree WHERE id = 1"),
        [[json!("x")]]
    );
}

#[test]
fn idle_connections_are_few_however_many_things_are_revealed() {
    let shop = shop(Twin::First);
    let columns = [
        "customers.email",
        "customers.ssn",
        "customers.card",
        "customers.work",
        "customers.phone",
    ];
    for n in 0_usize..32 {
        let reveal: Vec<&str> = (0..5)
            .filter(|bit| n >> bit & 1 == 1)
            .map(|bit| columns[bit])
            .collect();
        ask(
            &shop.pool,
            request("SELECT email FROM customers LIMIT 1"),
            &reveal,
            LIMITS,
        )
        .unwrap();
    }
    assert!(shop.pool.idle() <= 8);
    assert!(shop.pool.lease(&Key::default()).is_ok());
}
