//! Attempts to get at classified values. Each runs on twin databases that differ only in those
//! values: what is answered (or refused), and what policy and journal see of it, must be the same,
//! byte by byte, and must hold no planted value.

use super::attempts::{ATTEMPTS, Attempt};
use super::fixture::{self, Twin};

#[test]
fn no_attempt_tells_the_twins_apart_or_shows_a_planted_value() {
    let [first, second, uniform] = [Twin::First, Twin::Second, Twin::Uniform].map(fixture::shop);
    let planted = fixture::planted();
    let mut wrong = Vec::new();
    for attempt in ATTEMPTS {
        let Attempt {
            family,
            answered,
            sql,
        } = attempt;
        let (was, a) = fixture::outcome(&first.pool, sql);
        let (_, b) = fixture::outcome(&second.pool, sql);
        let (_, c) = fixture::outcome(&uniform.pool, sql);
        if a != b || a != c {
            wrong.push(format!(
                "[{family}] {sql}\n   first:   {a}\n   second:  {b}\n   uniform: {c}"
            ));
        }
        if let Some(value) = planted
            .iter()
            .find(|value| a.contains(*value) && !sql.contains(*value))
        {
            wrong.push(format!("[{family}] {sql}\n   shows {value}: {a}"));
        }
        if was != *answered {
            wrong.push(format!(
                "[{family}] {sql}\n   answered: {was}, expected {answered}: {a}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn there_are_at_least_120_attempts_and_no_two_are_the_same() {
    let unlike: std::collections::BTreeSet<&str> = ATTEMPTS.iter().map(|attempt| attempt.sql).collect();
    assert_eq!(unlike.len(), ATTEMPTS.len());
    assert!(ATTEMPTS.len() >= 120, "{}", ATTEMPTS.len());
}

/// The corpus must be able to find something: without masks the same attempts tell the twins apart.
#[test]
fn the_twins_differ_in_every_classified_column_when_read_directly() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |folder, twin| rusqlite::Connection::open(fixture::file(folder, twin)).unwrap();
    let (a, b) = (open(&first, Twin::First), open(&second, Twin::Second));
    for column in [
        "customers.email",
        "customers.ssn",
        "customers.card",
        "customers.work",
        "customers.phone",
        "customers.notes",
        "orders.email",
        "staff.staff_no",
        "badges.badge",
        "contacts.email",
        "contacts.handle",
        "contacts.stored",
    ] {
        let (table, _) = column.split_once('.').unwrap();
        let sql = format!("SELECT group_concat(c) FROM (SELECT {column} AS c FROM {table} ORDER BY 1)");
        let read =
            |conn: &rusqlite::Connection| conn.query_row(&sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_ne!(read(&a), read(&b), "{column}");
    }
}
