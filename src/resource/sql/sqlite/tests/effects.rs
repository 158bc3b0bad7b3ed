//! What a change does is what was measured: whatever does it, and whoever else writes meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::super::change::{self, Order};
use super::super::pool::Pool;
use super::super::{ColumnsDefault, Database, MaskStyle, Spec};
use super::fixture::{LIMITS, stop};
use super::writing::{dump, execute, inspect, measure, order, run};
use crate::call::{Bound, Code, Effect, LastLook, Limits, Probe, Refusal};
use crate::clock::System;

/// A database of its own; removed with the last of us.
struct Made {
    folder: TempDir,
    pool: Arc<Pool>,
}

impl Made {
    /// `masked` columns are classified, all others shown.
    fn new(sql: &str, masked: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let spec = Spec {
            name: "shop".to_owned(),
            path,
            columns: masked
                .iter()
                .map(|column| ((*column).to_owned(), "email".to_owned()))
                .collect(),
            columns_default: ColumnsDefault::Show,
            classes: BTreeMap::from([("email".to_owned(), MaskStyle::Constant)]),
            tokens: None,
            limits: LIMITS,
        };
        let pool = Arc::new(Pool::open(spec, Arc::new(System::new())).unwrap());
        Self { folder, pool }
    }

    fn conn(&self) -> Connection {
        Connection::open(&self.pool.spec().path).unwrap()
    }

    fn database(&self) -> Database {
        Database {
            pool: Arc::clone(&self.pool),
            running: Arc::new(Semaphore::new(2)),
        }
    }

    fn order(&self, statement: &str) -> Order {
        order(
            &inspect(&self.pool, statement).unwrap(),
            execute(statement, Value::Null),
        )
    }

    /// Measured, made, and the same.
    #[track_caller]
    fn does(&self, statement: &str, counts: Value) {
        let before = dump(&self.pool);
        let measured = measure(&self.pool, statement).unwrap();
        assert_eq!(dump(&self.pool), before, "{statement}: measuring left something");
        assert_eq!(measured.counts()["rows"], counts, "{statement}");
        let (made, _) = run(&self.pool, statement).unwrap();
        assert_eq!(made, unsampled(measured), "{statement}");
    }

    #[track_caller]
    fn cannot(&self, statement: &str) {
        let before = dump(&self.pool);
        let measured = measure(&self.pool, statement).unwrap_err();
        assert_eq!(measured.code, Code::LimitExceeded, "{statement}: {measured:?}");
        let made = run(&self.pool, statement).unwrap_err();
        assert_eq!(made.code, Code::StatementRefused, "{statement}: {made:?}");
        assert_eq!(dump(&self.pool), before, "{statement}");
    }
}

fn unsampled(effect: Effect) -> Effect {
    Effect {
        sample: Vec::new(),
        ..effect
    }
}

#[test]
fn cascades_are_followed_to_the_end_and_deferred_keys_are_checked() {
    let made = Made::new(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n);
         CREATE TABLE b (id INTEGER PRIMARY KEY, a REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE TABLE c (id INTEGER PRIMARY KEY, b REFERENCES b ON DELETE CASCADE);
         CREATE TABLE d (id INTEGER PRIMARY KEY, c REFERENCES c ON DELETE SET NULL);
         CREATE TABLE later (id INTEGER PRIMARY KEY, a REFERENCES a DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE keeps (id INTEGER PRIMARY KEY, d REFERENCES d ON DELETE RESTRICT);
         INSERT INTO a VALUES (1, 0), (2, 0), (3, 0); INSERT INTO b VALUES (10, 1), (11, 1), (12, 2);
         INSERT INTO c VALUES (20, 10), (21, 10), (22, 11); INSERT INTO d VALUES (30, 20), (31, 22), (32, NULL);
         INSERT INTO later VALUES (1, 3); INSERT INTO keeps VALUES (1, 30);",
        &[],
    );
    made.cannot("DELETE FROM a WHERE id = 3");
    made.cannot("INSERT INTO later (a) VALUES (99)");
    made.cannot("DELETE FROM d WHERE id = 30");
    made.does(
        "UPDATE a SET id = 5 WHERE id = 2",
        json!({"a": {"deleted": 1, "inserted": 1}, "b": {"updated": 1}}),
    );
    made.does(
        "DELETE FROM a WHERE id = 1",
        json!({"a": {"deleted": 1}, "b": {"deleted": 2}, "c": {"deleted": 3}, "d": {"updated": 2}}),
    );
}

#[test]
fn triggers_are_counted_with_all_they_set_off() {
    let made = Made::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER);
         CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
         CREATE TABLE sums (k TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
         INSERT INTO sums VALUES ('t', 0);
         CREATE TRIGGER ti AFTER INSERT ON t BEGIN INSERT INTO log (what) VALUES ('i' || new.n); END;
         CREATE TRIGGER td BEFORE DELETE ON t BEGIN INSERT INTO log (what) VALUES ('d' || old.n); END;
         CREATE TRIGGER li AFTER INSERT ON log BEGIN UPDATE sums SET n = n + 1 WHERE k = 't'; END;
         CREATE TRIGGER tu AFTER UPDATE OF n ON t WHEN new.n < 3 BEGIN UPDATE t SET n = new.n + 1 WHERE id = new.id + 1; END;
         CREATE TRIGGER no BEFORE INSERT ON t WHEN new.n = 13 BEGIN SELECT raise(ABORT, 'secret words'); END;
         CREATE TRIGGER ign BEFORE INSERT ON t WHEN new.n = 14 BEGIN SELECT raise(IGNORE); END;
         CREATE TRIGGER rb BEFORE INSERT ON t WHEN new.n = 15 BEGIN SELECT raise(ROLLBACK, 'x'); END;
         INSERT INTO t VALUES (1, 0), (2, 0), (3, 0), (4, 9);",
        &[],
    );
    made.does(
        "INSERT INTO t (n) VALUES (7), (8)",
        json!({"t": {"inserted": 2}, "log": {"inserted": 2}, "sums": {"updated": 1}}),
    );
    made.does("UPDATE t SET n = 1 WHERE id = 1", json!({"t": {"updated": 2}}));
    made.does(
        "DELETE FROM t WHERE n = 9",
        json!({"t": {"deleted": 1}, "log": {"inserted": 1}, "sums": {"updated": 1}}),
    );
    made.does("INSERT INTO t (n) VALUES (14)", json!({}));
    made.cannot("INSERT INTO t (n) VALUES (1), (13)");
    made.cannot("INSERT INTO t (n) VALUES (1), (15)");
    let told = format!(
        "{:?}",
        run(&made.pool, "INSERT INTO t (n) VALUES (13)").unwrap_err()
    );
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn rows_that_a_conflict_clause_deletes_are_counted_and_so_are_generated_columns() {
    let made = Made::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v TEXT UNIQUE, n INT, twice INT AS (n * 2) STORED,
           thrice INT AS (n * 3), CHECK (n < 100));
         INSERT INTO t (id, u, v, n) VALUES (1, 'a', 'x', 1), (2, 'b', 'y', 2), (3, 'c', 'z', 3);",
        &[],
    );
    made.cannot("UPDATE t SET n = 100 WHERE id = 1");
    made.cannot("INSERT INTO t (u) VALUES ('a')");
    made.does(
        "UPDATE t SET n = 5 WHERE thrice = 3",
        json!({"t": {"updated": 1}}),
    );
    made.does(
        "INSERT OR REPLACE INTO t (id, u, v, n) VALUES (9, 'a', 'y', 7)",
        json!({"t": {"deleted": 2, "inserted": 1}}),
    );
    made.does(
        "UPDATE OR REPLACE t SET u = 'c' WHERE id = 9",
        json!({"t": {"deleted": 1, "updated": 1}}),
    );
    made.does(
        "INSERT INTO t (u, n) VALUES ('c', 1), ('d', 2) ON CONFLICT (u) DO UPDATE SET n = t.n + excluded.n",
        json!({"t": {"inserted": 1, "updated": 1}}),
    );
    made.does("UPDATE OR IGNORE t SET u = 'c'", json!({}));
}

/// Keys that are not what they look like: rows without one, and rows under an alias of nothing.
#[test]
fn rows_whose_key_is_null_are_counted_one_by_one() {
    let made = Made::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY DESC, n INT, rowid TEXT);
         INSERT INTO t (id, n) VALUES (NULL, 1), (NULL, 2), (NULL, 3), (7, 4);
         CREATE TABLE u (id TEXT PRIMARY KEY, n INT);
         INSERT INTO u VALUES (NULL, 1), (NULL, 2);",
        &[],
    );
    let approved = measure(&made.pool, "UPDATE t SET n = 10 WHERE id IS NULL AND n < 2").unwrap();
    let other = measure(&made.pool, "UPDATE t SET n = 10 WHERE id IS NULL AND n = 3").unwrap();
    assert!(!other.is_within(&approved, Bound::Keys));
    made.does(
        "UPDATE t SET n = n + 10 WHERE id IS NULL",
        json!({"t": {"updated": 3}}),
    );
    made.does("UPDATE u SET n = n + 10", json!({"u": {"updated": 2}}));
    made.does("INSERT INTO t (n) VALUES (5)", json!({"t": {"inserted": 1}}));
    made.does("DELETE FROM t WHERE id IS NULL", json!({"t": {"deleted": 4}}));
}

#[test]
fn the_same_number_of_other_rows_is_another_effect() {
    let made = Made::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT); INSERT INTO t VALUES (1, 'old'), (2, 'new'), (3, 'new');
         CREATE TABLE archive (id INTEGER PRIMARY KEY, of INT, at TEXT DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE copy (id INTEGER PRIMARY KEY, of INT);",
        &[],
    );
    for statement in [
        "DELETE FROM t WHERE state = 'old'",
        "INSERT INTO copy (of) SELECT id FROM t WHERE state = 'old'",
    ] {
        let approved = measure(&made.pool, statement).unwrap();
        made.conn()
            .execute_batch("UPDATE t SET state = iif(id = 2, 'old', 'new')")
            .unwrap();
        let before = dump(&made.pool);
        let mut seen = None;
        let refused = change::run(&made.pool, &made.order(statement), &stop(), &mut |effect| {
            seen = Some(effect.clone());
            Err(Refusal::new(Code::ApprovalExpired, "not that", "ask again"))
        });
        assert_eq!(refused.unwrap_err().code, Code::ApprovalExpired);
        let seen = seen.unwrap();
        assert_eq!(seen.counts(), approved.counts());
        assert!(!seen.is_within(&approved, Bound::Keys), "{statement}");
        assert!(seen.is_within(&approved, Bound::Count));
        assert_eq!(dump(&made.pool), before);
        made.conn()
            .execute_batch("UPDATE t SET state = iif(id = 1, 'old', 'new')")
            .unwrap();
    }
    // A row more of the same key space moves the next key: the same new row is still the same.
    let statement = "INSERT INTO copy (of) VALUES (7)";
    let approved = measure(&made.pool, statement).unwrap();
    made.conn()
        .execute_batch("INSERT INTO copy (of) VALUES (1)")
        .unwrap();
    assert!(
        run(&made.pool, statement)
            .unwrap()
            .0
            .is_within(&approved, Bound::Keys)
    );
    // A clock in a default does not make every execution another one.
    let statement = "INSERT INTO archive (of) VALUES (7)";
    let mut approved = measure(&made.pool, statement).unwrap();
    approved.sample.clear();
    assert_eq!(run(&made.pool, statement).unwrap().0, approved);
}

/// What a row becomes may come from another row, which may be another one when the change is made.
#[test]
fn the_same_rows_with_other_values_are_another_effect() {
    let made = Made::new(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, role TEXT, seen INT);
         CREATE TABLE wishes (id INTEGER PRIMARY KEY, role TEXT);
         INSERT INTO users VALUES (1, 'none', 0), (2, 'none', 0); INSERT INTO wishes VALUES (1, 'reader');",
        &[],
    );
    for statement in [
        "UPDATE users SET role = (SELECT role FROM wishes WHERE wishes.id = users.id) WHERE id = 1",
        "UPDATE users SET role = w.role FROM wishes w WHERE w.id = users.id",
        "UPDATE users SET id = (SELECT length(role) FROM wishes) + 100 WHERE id = 1",
        "REPLACE INTO users SELECT id, role, 0 FROM wishes",
        "UPDATE OR REPLACE users SET role = (SELECT role FROM wishes WHERE wishes.id = users.id) WHERE id = 1",
        "INSERT INTO users (id, role) SELECT id, role FROM wishes WHERE 1 ON CONFLICT (id) DO UPDATE SET role = excluded.role",
    ] {
        let approved = measure(&made.pool, statement).unwrap();
        made.conn()
            .execute("UPDATE wishes SET role = 'owner'", [])
            .unwrap();
        let other = measure(&made.pool, statement).unwrap();
        assert_eq!(approved.counts(), other.counts(), "{statement}");
        assert!(!other.is_within(&approved, Bound::Keys), "{statement}");
        assert!(other.is_within(&approved, Bound::Count), "{statement}");
        made.conn()
            .execute("UPDATE wishes SET role = 'reader'", [])
            .unwrap();
    }
    // Somebody else's change of another column is none of ours.
    let statement = "UPDATE users SET role = 'reader' WHERE id = 1";
    let approved = measure(&made.pool, statement).unwrap();
    made.conn().execute("UPDATE users SET seen = 9", []).unwrap();
    assert!(
        measure(&made.pool, statement)
            .unwrap()
            .is_within(&approved, Bound::Keys)
    );
    // A value that is another one each time is told by the statement alone.
    let statement = "UPDATE users SET seen = strftime('%s', 'now') WHERE id = 1";
    let approved = measure(&made.pool, statement).unwrap();
    assert!(
        measure(&made.pool, statement)
            .unwrap()
            .is_within(&approved, Bound::Keys)
    );
}

#[test]
fn a_sample_shows_rows_before_and_after_with_masks() {
    let made = Made::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, email TEXT, n INT, long TEXT);
         INSERT INTO p VALUES (1, 'ann@example.com', 1, 'x'), (2, 'bob@example.com', 2, hex(zeroblob(400)));",
        &["p.email"],
    );
    let effect = measure(&made.pool, "UPDATE p SET n = n + 10, email = 'eve@example.com'").unwrap();
    assert!(effect.irreversible);
    let told = serde_json::to_string(&effect).unwrap();
    assert!(!told.contains("example.com"), "{told}");
    assert_eq!(effect.sample.len(), 2);
    let one = effect
        .sample
        .iter()
        .find(|row| row.key == json!({"id": 1}))
        .unwrap();
    assert_eq!(one.before.as_ref().unwrap()["n"], json!(1));
    assert_eq!(one.after.as_ref().unwrap()["n"], json!(11));
    assert_eq!(one.after.as_ref().unwrap()["email"], json!("***"));
    let two = effect
        .sample
        .iter()
        .find(|row| row.key == json!({"id": 2}))
        .unwrap();
    assert_eq!(two.after.as_ref().unwrap()["long"], json!("(800 bytes)"));
    let gone = measure(&made.pool, "DELETE FROM p WHERE id = 1").unwrap();
    assert!(!gone.irreversible);
    assert_eq!(gone.sample[0].before.as_ref().unwrap()["n"], json!(1));
    assert_eq!(gone.sample[0].after, None);
}

#[test]
fn what_has_no_restriction_is_irreversible() {
    let made = Made::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 1), (2, 2);",
        &[],
    );
    for (statement, where_, irreversible) in [
        ("DELETE FROM t", false, true),
        ("DELETE FROM t WHERE 1", true, true),
        ("DELETE FROM t WHERE 1 = 1 OR 'id' = 'n'", true, true),
        ("UPDATE t SET n = 1", false, true),
        ("UPDATE t SET n = 1 WHERE true RETURNING id", true, true),
        ("DELETE FROM t WHERE id = 1", true, false),
        ("WITH x AS (SELECT 1 WHERE 1) DELETE FROM t", false, true),
        ("INSERT INTO t (n) VALUES (1)", false, false),
        ("DROP TABLE t", false, true),
        ("ALTER TABLE t DROP COLUMN n", false, true),
        ("ALTER TABLE t ADD COLUMN m", false, false),
        ("CREATE INDEX i ON t (n)", false, false),
    ] {
        let sql = inspect(&made.pool, statement).unwrap().sql.unwrap();
        assert_eq!(
            (sql.has_where, sql.irreversible),
            (where_, irreversible),
            "{statement}"
        );
    }
}

/// A few small views, each naming the one before many times, would be copied out by every connection that is
/// opened later.
#[test]
fn views_of_views_do_not_grow_without_end() {
    let made = Made::new("CREATE TABLE t (id INTEGER PRIMARY KEY)", &[]);
    made.does("CREATE VIEW v0 AS SELECT id AS a FROM t", json!({}));
    let mut refused = None;
    for at in 1..12 {
        let before = at - 1;
        let statement = format!("CREATE VIEW v{at} AS SELECT x.a FROM v{before} x, v{before} y");
        match run(&made.pool, &statement) {
            Ok(_) => {}
            Err(refusal) => {
                assert_eq!(refusal.code, Code::StatementRefused, "{refusal:?}");
                refused = Some(at);
                break;
            }
        }
    }
    assert!(refused.is_some_and(|at| (3..8).contains(&at)), "{refused:?}");
    let many = vec!["v1"; 60].join(", ");
    assert!(
        inspect(
            &made.pool,
            &format!("CREATE VIEW w AS SELECT 1 AS one FROM {many}")
        )
        .is_err()
    );
    made.does("CREATE VIEW w AS SELECT 1 AS one FROM v1, v2", json!({}));
}

#[test]
fn schema_changes_are_measured_and_made_and_the_next_query_sees_masks() {
    let made = Made::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, n INT); CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);
         CREATE VIEW v AS SELECT n FROM p; INSERT INTO p VALUES (1, 1), (2, 2); INSERT INTO c VALUES (1, 1), (2, 2), (3, NULL);",
        &[],
    );
    for (statement, schema, rows) in [
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)",
            json!({"t": "create table"}),
            json!({}),
        ),
        ("CREATE INDEX i ON p (n)", json!({"i": "create index"}), json!({})),
        (
            "CREATE VIEW w AS SELECT id FROM p",
            json!({"w": "create view"}),
            json!({}),
        ),
        (
            "ALTER TABLE t ADD COLUMN b INT DEFAULT 1",
            json!({"t": "alter table"}),
            json!({}),
        ),
        (
            "ALTER TABLE p RENAME COLUMN n TO m",
            json!({"p": "alter table", "i": "alter index", "v": "alter view"}),
            json!({}),
        ),
        (
            "ALTER TABLE t DROP COLUMN b",
            json!({"t": "alter table"}),
            json!({}),
        ),
        (
            "ALTER TABLE t RENAME TO u",
            json!({"t": "drop table", "u": "create table"}),
            json!({}),
        ),
        ("DROP INDEX i", json!({"i": "drop index"}), json!({})),
        ("DROP VIEW v", json!({"v": "drop view"}), json!({})),
        ("DROP VIEW w", json!({"w": "drop view"}), json!({})),
        (
            "DROP TABLE p",
            json!({"p": "drop table"}),
            json!({"p": {"deleted": 2}, "c": {"deleted": 2}}),
        ),
    ] {
        let before = dump(&made.pool);
        let measured =
            measure(&made.pool, statement).unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        assert_eq!(dump(&made.pool), before, "{statement}");
        assert_eq!(json!(measured.schema), schema, "{statement}");
        assert_eq!(measured.counts()["rows"], rows, "{statement}");
        let (done, _) = run(&made.pool, statement).unwrap();
        assert_eq!(done, measured, "{statement}");
    }
    assert!(super::fixture::rows(&made.pool, "SELECT * FROM u").is_empty());
}

#[test]
fn success_over_classified_values_is_an_oracle() {
    let schema = "CREATE TABLE p (id INTEGER PRIMARY KEY, email TEXT UNIQUE, ssn TEXT, n INT CHECK (n < length(ssn)), m INT);
         CREATE UNIQUE INDEX one_ssn ON p (n) WHERE ssn > '5';
         CREATE INDEX by_json ON p (json_extract(ssn, m));
         CREATE TABLE r (id INTEGER PRIMARY KEY, mail TEXT REFERENCES p (email), p INT REFERENCES p);
         CREATE TABLE g (id INTEGER PRIMARY KEY, s TEXT, j TEXT AS (json(s)), k INT);
         CREATE TABLE w (k TEXT PRIMARY KEY, n INT) WITHOUT ROWID;
         CREATE TABLE tr (id INTEGER PRIMARY KEY, n INT);
         CREATE TRIGGER peeks AFTER UPDATE ON tr WHEN EXISTS (SELECT 1 FROM p WHERE email = new.n)
           BEGIN SELECT raise(ABORT, 'x'); END;
         CREATE TABLE plain (id INTEGER PRIMARY KEY, s TEXT, n INT UNIQUE);
         CREATE TABLE a (id INTEGER PRIMARY KEY, n INT UNIQUE);
         CREATE TABLE ac (id INTEGER PRIMARY KEY, n INT UNIQUE ON CONFLICT REPLACE);
         CREATE TABLE b (id INTEGER PRIMARY KEY, a INT REFERENCES a, ac INT REFERENCES ac);
         CREATE TABLE h (id INTEGER PRIMARY KEY, n INT, m INT);
         CREATE TABLE hc (id INTEGER PRIMARY KEY, n INT, m INT CHECK (m IS NOT rowid));";
    let made = Made::new(
        schema,
        &[
            "p.email", "p.ssn", "g.s", "w.k", "plain.s", "h.id", "hc.id", "b.a", "b.ac",
        ],
    );
    for (statement, probe) in [
        ("UPDATE p SET email = 'x' WHERE id = 1", Probe::Oracle),
        ("INSERT INTO p (email) VALUES ('x')", Probe::Oracle),
        ("INSERT OR IGNORE INTO p (email) VALUES ('x')", Probe::Oracle),
        (
            "INSERT INTO p (email) VALUES ('x') ON CONFLICT DO NOTHING",
            Probe::Oracle,
        ),
        (
            "INSERT OR REPLACE INTO p VALUES (1, 'x', 'y', 1, 1)",
            Probe::Oracle,
        ),
        ("UPDATE OR IGNORE p SET email = 'x' WHERE id = 1", Probe::Oracle),
        ("UPDATE p SET n = 5 WHERE id = 1", Probe::Oracle),
        ("UPDATE p SET m = '$.a' WHERE id = 1", Probe::Oracle),
        ("INSERT INTO p (n) VALUES (1)", Probe::Oracle),
        ("INSERT INTO p (ssn) VALUES ('x')", Probe::Measurable),
        ("INSERT INTO r (mail) VALUES ('x')", Probe::Oracle),
        ("UPDATE r SET mail = 'x' WHERE id = 1", Probe::Oracle),
        ("INSERT INTO r (p) VALUES (1)", Probe::Measurable),
        ("DELETE FROM p WHERE id = 1", Probe::Oracle),
        ("UPDATE g SET k = 1 WHERE id = 1", Probe::Oracle),
        ("INSERT INTO w VALUES ('x', 1)", Probe::Oracle),
        ("UPDATE w SET k = 'x' WHERE n = 1", Probe::Oracle),
        ("UPDATE w SET n = 2 WHERE n = 1", Probe::Measurable),
        ("UPDATE tr SET n = 'x' WHERE id = 1", Probe::Oracle),
        ("DELETE FROM tr WHERE id = 1", Probe::Measurable),
        ("UPDATE plain SET s = 'x', n = 1 WHERE id = 1", Probe::Measurable),
        ("CREATE UNIQUE INDEX i ON p (email)", Probe::Oracle),
        ("CREATE INDEX i ON plain (n) WHERE s = 'x'", Probe::Oracle),
        ("CREATE UNIQUE INDEX i ON tr (n)", Probe::Measurable),
        ("ALTER TABLE p ADD COLUMN z CHECK (email <> 'x')", Probe::Oracle),
        ("DROP TABLE p", Probe::Oracle),
        // A row that is in the way goes, if nothing masked refers to it.
        ("UPDATE OR REPLACE a SET n = 2 WHERE id = 1", Probe::Oracle),
        ("INSERT OR REPLACE INTO a (n) VALUES (2)", Probe::Oracle),
        ("UPDATE a SET n = 2 WHERE id = 1", Probe::Measurable),
        ("INSERT INTO a (n) VALUES (2)", Probe::Measurable),
        ("UPDATE ac SET n = 2 WHERE id = 1", Probe::Oracle),
        ("INSERT INTO ac (n) VALUES (2)", Probe::Oracle),
        // The rowid is another name of a masked key, also where nobody spells the key's own.
        ("CREATE UNIQUE INDEX i ON h (n) WHERE rowid < 5", Probe::Oracle),
        ("CREATE INDEX i ON h (n) WHERE abs(h.OID) > 1", Probe::Oracle),
        ("CREATE UNIQUE INDEX i ON h (n) WHERE m < 5", Probe::Measurable),
        (
            "CREATE UNIQUE INDEX i ON tr (n) WHERE rowid < 5",
            Probe::Measurable,
        ),
        ("INSERT INTO h (n) VALUES (5)", Probe::Measurable),
        ("UPDATE hc SET m = 5 WHERE n = 1", Probe::Oracle),
        ("UPDATE hc SET n = 5 WHERE m = 1", Probe::Measurable),
        ("INSERT INTO hc (m) VALUES (5)", Probe::Oracle),
    ] {
        let facts =
            inspect(&made.pool, statement).unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        assert_eq!(facts.probe, probe, "{statement}");
    }
}

#[test]
fn measuring_leaves_every_byte_of_the_file_and_no_journal() {
    for mode in ["DELETE", "WAL"] {
        let made = Made::new(
            &format!("PRAGMA journal_mode = {mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB);
              WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT i, zeroblob(900) FROM n;"),
            &[],
        );
        let bytes = || std::fs::read(&made.pool.spec().path).unwrap();
        let before = bytes();
        let effect = measure(&made.pool, "UPDATE t SET b = printf('%901d', id)").unwrap();
        assert_eq!(effect.rows["t"].updated.count, 3000);
        assert!(bytes() == before, "{mode}: the file changed");
        let left: Vec<_> = std::fs::read_dir(made.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(
            !left
                .iter()
                .any(|name| name.to_string_lossy().ends_with("-journal")),
            "{left:?}"
        );
    }
}

#[test]
fn too_many_rows_are_neither_measured_nor_changed() {
    let made = Made::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) INSERT INTO t SELECT i, i FROM n;",
        &[],
    );
    let before = dump(&made.pool);
    for statement in ["DELETE FROM t", "UPDATE t SET n = n + 1"] {
        let tried = measure(&made.pool, statement).unwrap_err();
        // The same words as for a constraint.
        let other = measure(&made.pool, "INSERT INTO t VALUES (1, 1)").unwrap_err();
        assert_eq!(
            (tried.code, &tried.message, &tried.suggestion),
            (other.code, &other.message, &other.suggestion)
        );
        assert_eq!(run(&made.pool, statement).unwrap_err().code, Code::LimitExceeded);
    }
    assert_eq!(dump(&made.pool), before);
    made.does(
        "DELETE FROM t WHERE id <= 10000",
        json!({"t": {"deleted": 10000}}),
    );
}

/// What it says.
type Says<'a> = Box<dyn Fn(&Effect) -> Result<(), Refusal> + Send + Sync + 'a>;

/// A last look that says what it is told to.
struct Judge<'a> {
    says: Says<'a>,
    /// Never comes back.
    hangs: bool,
    reached: &'a tokio::sync::Notify,
}

impl LastLook for Judge<'_> {
    fn look<'b>(&'b self, effect: Option<&'b Effect>) -> BoxFuture<'b, Result<(), Refusal>> {
        Box::pin(async move {
            self.reached.notify_one();
            if self.hangs {
                std::future::pending::<()>().await;
            }
            (self.says)(effect.unwrap())
        })
    }

    fn progress<'b>(&'b self, _: &'b str) -> BoxFuture<'b, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn nothing_stays_of_a_change_that_is_refused_cancelled_or_dropped_at_the_last_look() {
    let made = Made::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1);",
        &[],
    );
    let statement = "UPDATE t SET n = 2 WHERE id = 1";
    let database = made.database();
    let before = dump(&made.pool);
    let reached = tokio::sync::Notify::new();
    let cancel = CancellationToken::new();
    let told = cancel.clone();
    let judge = |says: Says<'static>, hangs| Judge {
        says,
        hangs,
        reached: &reached,
    };
    let no = judge(
        Box::new(|_| Err(Refusal::new(Code::ApprovalDenied, "no", "no"))),
        false,
    );
    let refused = database
        .make(made.order(statement), &no, &CancellationToken::new())
        .await;
    assert_eq!(refused.unwrap_err().code, Code::ApprovalDenied);
    let cancels = judge(
        Box::new(move |_| {
            told.cancel();
            Ok(())
        }),
        false,
    );
    let refused = database.make(made.order(statement), &cancels, &cancel).await;
    assert_eq!(refused.unwrap_err().code, Code::Cancelled);
    let hangs = judge(Box::new(|_| Ok(())), true);
    reached.notified().await; // of the ones before
    {
        let never = CancellationToken::new();
        let making = database.make(made.order(statement), &hangs, &never);
        tokio::select! {
            _ = making => panic!("it did not wait"),
            () = reached.notified() => {}
        }
    }
    // Its lock goes with it; the engine waits for that.
    let other = made.conn();
    other.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
    assert_eq!(dump(&made.pool), before);
    let yes = judge(Box::new(|_| Ok(())), false);
    let output = database
        .make(made.order(statement), &yes, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(
        output.effect.unwrap().counts()["rows"],
        json!({"t": {"updated": 1}})
    );
    assert_ne!(dump(&made.pool), before);
}

#[test]
fn a_file_that_others_hold_is_a_refusal_that_may_be_repeated() {
    let made = Made::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1);",
        &[],
    );
    let statement = "UPDATE t SET n = 2 WHERE id = 1";
    let order = || Order {
        limits: Limits { seconds: 1, ..LIMITS },
        ..made.order(statement)
    };
    let (first, second) = (order(), order());
    let writer = made.conn();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = change::run(&made.pool, &first, &stop(), &mut |_| panic!("asked")).unwrap_err();
    assert_eq!((busy.code, busy.retry), (Code::TargetFailed, true));
    writer.execute_batch("ROLLBACK; BEGIN; SELECT * FROM t").unwrap();
    let busy = change::run(&made.pool, &second, &stop(), &mut |_| Ok(())).unwrap_err();
    assert_eq!((busy.code, busy.retry), (Code::TargetFailed, true));
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(
        writer
            .query_row("SELECT n FROM t", [], |row| row.get::<_, i64>(0))
            .unwrap(),
        1
    );
    run(&made.pool, statement).unwrap();
}

#[test]
fn what_was_inspected_must_still_be_so() {
    let made = Made::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1);",
        &[],
    );
    let order = made.order("UPDATE t SET n = 2 WHERE id = 1");
    made.conn()
        .execute_batch("CREATE TRIGGER x AFTER UPDATE ON t BEGIN DELETE FROM t; END")
        .unwrap();
    let before = dump(&made.pool);
    for refused in [
        change::measure(&made.pool, &order, &stop()).map(drop),
        change::run(&made.pool, &order, &stop(), &mut |_| panic!("asked")).map(drop),
    ] {
        let refusal = refused.unwrap_err();
        assert_eq!((refusal.code, refusal.retry), (Code::TargetFailed, true));
    }
    assert_eq!(dump(&made.pool), before);
}

const RANDOM: &str = "
CREATE TABLE a (id INTEGER PRIMARY KEY, x INT, y TEXT UNIQUE);
CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT, a INT REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE, v INT);
CREATE TABLE w (k TEXT COLLATE NOCASE, n INT, s TEXT, PRIMARY KEY (k, n)) WITHOUT ROWID;
CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
CREATE TABLE bare (x, y);
CREATE TRIGGER b_gone AFTER DELETE ON b BEGIN INSERT INTO log (what) VALUES ('gone ' || old.id); END;
CREATE TRIGGER a_up AFTER UPDATE OF x ON a WHEN new.x > 4 BEGIN UPDATE w SET s = 'up' WHERE n = new.x; DELETE FROM bare WHERE x = old.x; END;
CREATE TRIGGER w_new AFTER INSERT ON w BEGIN INSERT OR REPLACE INTO a VALUES (new.n, new.n, new.k); END;
";

fn statements() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec!["p", "P", "q", "r", "s"]);
    (0..16_usize, 0..9_i64, 0..9_i64, text).prop_map(|(which, m, n, t)| {
        let or = ["", "OR REPLACE", "OR IGNORE", "OR FAIL"][usize::try_from(n % 4).unwrap()];
        match which {
            0 => format!("INSERT {or} INTO a VALUES ({m}, {n}, '{t}')"),
            1 => format!("INSERT {or} INTO a (x, y) VALUES ({n}, '{t}'), ({m}, '{t}{m}')"),
            2 => format!("UPDATE {or} a SET x = x + {n} WHERE id > {m}"),
            3 => format!("UPDATE {or} a SET id = id + {n} WHERE id >= {m}"),
            4 => format!("DELETE FROM a WHERE id % 3 = {}", m % 3),
            5 => format!("INSERT {or} INTO b (a, v) SELECT id, {n} FROM a WHERE x <= {m}"),
            6 => format!("UPDATE b SET a = {m} WHERE v = {n}"),
            7 => "DELETE FROM b".to_owned(),
            8 => format!("INSERT {or} INTO w VALUES ('{t}', {n}, 'x')"),
            9 => format!("UPDATE {or} w SET k = '{t}' WHERE n >= {m}"),
            10 => format!("INSERT INTO w VALUES ('{t}', {m}, 'y') ON CONFLICT DO UPDATE SET s = s || excluded.s, n = n + {n}"),
            11 => format!("INSERT INTO bare SELECT x, y FROM a WHERE x > {m}"),
            12 => format!("UPDATE bare SET y = (SELECT count(*) FROM w) WHERE x < {n}"),
            13 => format!("DELETE FROM w WHERE k = '{t}' OR n = {n}"),
            14 => format!("INSERT INTO a VALUES ({m}, {n}, '{t}') ON CONFLICT (id) DO UPDATE SET x = excluded.x, y = excluded.y"),
            _ => format!("DELETE FROM bare WHERE x IN (SELECT x FROM a WHERE id < {m})"),
        }
    })
}

/// Key → content of a table, read by nothing of ours.
fn table(conn: &Connection, key: &str, name: &str) -> BTreeMap<String, String> {
    let mut statement = conn.prepare(&format!("SELECT {key}, * FROM {name}")).unwrap();
    let (width, keys) = (statement.column_count(), key.split(',').count());
    let mut rows = statement.raw_query();
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next().unwrap() {
        let cell = |at: usize| format!("{:?}", row.get_ref(at).unwrap());
        let key: Vec<String> = (0..keys).map(cell).collect();
        let content: Vec<String> = (keys..width).map(cell).collect();
        assert!(found.insert(key.join("|"), content.join("|")).is_none());
    }
    found
}

fn tables(pool: &Pool) -> BTreeMap<&'static str, BTreeMap<String, String>> {
    let conn = Connection::open(&pool.spec().path).unwrap();
    let keys = [
        ("a", "id"),
        ("b", "id"),
        ("w", "k, n"),
        ("log", "id"),
        ("bare", "rowid"),
    ];
    keys.into_iter()
        .map(|(name, key)| (name, table(&conn, key, name)))
        .collect()
}

/// Relation → how many rows are inserted, updated, deleted.
fn difference(before: &Tables, after: &Tables) -> Value {
    let mut all = serde_json::Map::new();
    for (name, was) in before {
        let now = &after[name];
        let counts = [
            (
                "inserted",
                now.keys().filter(|key| !was.contains_key(*key)).count(),
            ),
            (
                "updated",
                now.iter()
                    .filter(|(key, row)| was.get(*key).is_some_and(|old| old != *row))
                    .count(),
            ),
            (
                "deleted",
                was.keys().filter(|key| !now.contains_key(*key)).count(),
            ),
        ];
        let counts: serde_json::Map<String, Value> = counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| (word.to_owned(), json!(count)))
            .collect();
        if !counts.is_empty() {
            all.insert((*name).to_owned(), counts.into());
        }
    }
    all.into()
}

type Tables = BTreeMap<&'static str, BTreeMap<String, String>>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_measured_is_what_happens(sequence in prop::collection::vec(statements(), 1..10)) {
        let made = Made::new(RANDOM, &[]);
        for statement in sequence {
            let before = tables(&made.pool);
            let measured = measure(&made.pool, &statement);
            prop_assert_eq!(&tables(&made.pool), &before, "{}: measuring left something", statement);
            match (measured, run(&made.pool, &statement)) {
                (Ok(measured), Ok((done, _))) => {
                    prop_assert_eq!(done.counts()["rows"].clone(), difference(&before, &tables(&made.pool)), "{}", statement);
                    prop_assert_eq!(done, unsampled(measured), "{}", statement);
                }
                (Err(measured), Err(done)) => {
                    prop_assert_eq!((measured.code, done.code), (Code::LimitExceeded, Code::StatementRefused), "{}", statement);
                    prop_assert_eq!(&tables(&made.pool), &before, "{}", statement);
                }
                (measured, done) => prop_assert!(false, "{}: {:?} but {:?}", statement, measured, done.map(|done| done.0)),
            }
        }
    }
}
