//! Rows, bytes, seconds, memory, cancelling.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::pool::Pool;
use super::super::query::{self, Order};
use super::super::{CONNECTIONS, Database, Expected, Spec, facts};
use super::fixture::{self, LIMITS, Still, Twin, ask, list, refusal, request, rows, shop};
use crate::call::{Action, CallId, Code, Hash, Invocation, Limits, Request};
use crate::clock::{Timestamp, World};

const ENDLESS: &str =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";

#[test]
fn rows_are_cut_and_cursors_go_on_until_each_row_was_given_once() {
    let shop = shop(Twin::First);
    let sql = "SELECT id FROM customers ORDER BY id";
    let limits = Limits { rows: 7, ..LIMITS };
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let mut next = request(sql);
        next.cursor = cursor;
        let (_, answer) = ask(&shop.pool, next, &[], limits).unwrap();
        assert!(answer.rows.row_count <= 7);
        assert_eq!(answer.truncated, answer.next_cursor.is_some());
        seen.extend(answer.rows.rows.iter().map(|row| row[0].as_i64().unwrap()));
        cursor = answer.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=40).collect::<Vec<i64>>());
}

#[test]
fn the_smaller_of_limit_and_permit_counts_and_an_exact_fit_is_not_cut() {
    let shop = shop(Twin::First);
    let given = |limit, rows| {
        let mut wanted = request("SELECT sku FROM products ORDER BY sku");
        wanted.limit = limit;
        let (_, answer) = ask(&shop.pool, wanted, &[], Limits { rows, ..LIMITS }).unwrap();
        (answer.rows.row_count, answer.truncated)
    };
    assert_eq!(given(Some(2), 10), (2, true));
    assert_eq!(given(Some(10), 1), (1, true));
    assert_eq!(given(Some(3), 10), (3, false));
    assert_eq!(given(None, 3), (3, false));
    let mut none = request("SELECT 1");
    none.limit = Some(0);
    assert_eq!(
        ask(&shop.pool, none, &[], LIMITS).unwrap_err().code,
        Code::InvalidArguments
    );
}

#[test]
fn a_cursor_belongs_to_its_statement_and_parameters() {
    let shop = shop(Twin::First);
    let small = Limits { rows: 2, ..LIMITS };
    let sql = "SELECT id FROM customers WHERE id > ? ORDER BY id";
    let with = |sql: &str, after: i64, cursor: Option<String>| {
        let mut wanted = request(sql);
        wanted.parameters = list(json!([after]));
        wanted.cursor = cursor;
        ask(&shop.pool, wanted, &[], small)
    };
    let cursor = with(sql, 5, None).unwrap().1.next_cursor;
    assert_eq!(
        with(sql, 5, cursor.clone()).unwrap().1.rows.rows,
        [[json!(8)], [json!(9)]]
    );
    assert!(with(sql, 6, cursor.clone()).is_err());
    assert!(with("SELECT id FROM customers WHERE id > ?", 5, cursor).is_err());
    for bad in ["", "2", "x.y", "-1.0000", "99999999999999999999.0"] {
        let refusal = with(sql, 5, Some(bad.to_owned())).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidArguments, "{bad}");
    }
    let past = format!(
        "1000.{}",
        with(sql, 5, None)
            .unwrap()
            .1
            .next_cursor
            .unwrap()
            .split_once('.')
            .unwrap()
            .1
    );
    assert!(with(sql, 5, Some(past)).unwrap().1.rows.rows.is_empty());
}

#[test]
fn bytes_are_cut_before_a_value_is_copied() {
    let shop = shop(Twin::First);
    let limits = Limits { bytes: 400, ..LIMITS };
    let (_, answer) = ask(
        &shop.pool,
        request("SELECT id, name, profile FROM customers ORDER BY id"),
        &[],
        limits,
    )
    .unwrap();
    assert!(answer.truncated && answer.rows.row_count > 0);
    assert!(serde_json::to_string(&answer.rows.rows).unwrap().len() <= 400);
    let wide = ask(&shop.pool, request("SELECT printf('%0500d', 1)"), &[], limits).unwrap_err();
    assert_eq!(wide.code, Code::LimitExceeded);
    assert!(wide.message.contains("400"), "{}", wide.message);
    let quotes = ask(
        &shop.pool,
        request("SELECT replace(printf('%0390d', 0), '0', '\"')"),
        &[],
        limits,
    )
    .unwrap_err();
    assert_eq!(quotes.code, Code::LimitExceeded); // counted as they travel, escaped
}

#[test]
fn a_statement_ends_when_its_seconds_are_over() {
    let folder = tempfile::tempdir().unwrap();
    let world = Still::stepping(Duration::from_millis(1));
    let pool = Pool::open(
        fixture::spec(fixture::file(&folder, Twin::First)),
        Arc::new(world),
    )
    .unwrap();
    let refusal = ask(&pool, request(ENDLESS), &[], Limits { seconds: 2, ..LIMITS }).unwrap_err();
    assert_eq!(refusal.code, Code::LimitExceeded);
    assert!(refusal.message.contains("longer"), "{}", refusal.message);
    rows(&pool, "SELECT 1"); // and the connection is fit for the next one
}

#[test]
fn a_statement_ends_before_it_takes_the_machines_memory() {
    let shop = shop(Twin::First);
    // Half a gigabyte each, were they not ended.
    let rows = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5000)";
    let sorted =
        format!("{rows} SELECT count(*) FROM (SELECT printf('%0100000d', x) s FROM n ORDER BY s LIMIT 4999)");
    let distinct = format!("{rows} SELECT count(DISTINCT printf('%0100000d', x)) FROM n");
    let kept = format!(
        "{rows}, m AS MATERIALIZED (SELECT x, printf('%0100000d', x) s FROM n) SELECT a.s FROM m a, m b"
    );
    for sql in [sorted, distinct, kept] {
        let refusal = refusal(&shop.pool, &sql);
        assert_eq!(refusal.code, Code::LimitExceeded, "{sql}");
        assert!(refusal.message.contains("memory"), "{}", refusal.message);
    }
}

#[test]
fn values_statements_and_plans_are_bounded() {
    let shop = shop(Twin::First);
    let joins = "customers, ".repeat(70) + "customers";
    let deep = format!("SELECT {}1{}", "(1+".repeat(400), ")".repeat(400));
    let compound = "SELECT 1 UNION ALL ".repeat(150) + "SELECT 1";
    let long = format!("SELECT '{}'", "x".repeat(100_000));
    let pattern = format!("SELECT 'x' LIKE '{}'", "%x".repeat(1_000));
    let columns = format!("SELECT {}1", "1,".repeat(3_000));
    for sql in [
        "SELECT replace(printf('%04000d', 1), '0', printf('%04000d', 1))",
        "WITH RECURSIVE n(s) AS (SELECT 'xxxxxxxx' UNION ALL SELECT s || s FROM n) SELECT max(length(s)) FROM n",
        "SELECT group_concat(printf('%0100000d', a.id)) FROM customers a, customers b",
        &deep,
        &compound,
        &long,
        &pattern,
        &columns,
        &format!("SELECT count(*) FROM {joins}"),
    ] {
        let refusal = refusal(&shop.pool, sql);
        let code = refusal.code;
        assert!(
            matches!(code, Code::LimitExceeded | Code::StatementRefused),
            "{code:?} {}",
            refusal.message
        );
    }
}

/// The work is in the preparation here: each level doubles the text the engine has to plan.
#[test]
fn a_statement_that_only_plans_for_ever_ends_too() {
    let folder = tempfile::tempdir().unwrap();
    let world = Arc::new(Still::stepping(Duration::from_millis(1)));
    let spec = fixture::spec(fixture::file(&folder, Twin::First));
    let limits = Limits { seconds: 2, ..LIMITS };
    let pool = Pool::open(Spec { limits, ..spec }, world).unwrap();
    let mut sql = "WITH c0 AS (SELECT id AS x FROM customers)".to_owned();
    for level in 1..40 {
        sql += &format!(
            ", c{level} AS (SELECT a.x FROM c{0} a JOIN c{0} b ON a.x = b.x)",
            level - 1
        );
    }
    let refusal = ask(&pool, request(&(sql + " SELECT count(*) FROM c39")), &[], limits).unwrap_err();
    assert!(
        matches!(refusal.code, Code::LimitExceeded | Code::StatementRefused),
        "{refusal:?}"
    );
}

/// A world whose clock is read while a statement runs, and which then does something.
#[derive(Debug)]
struct Trap {
    reads: AtomicU64,
    after: u64,
    stop: Arc<AtomicBool>,
}

impl World for Trap {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        if reads == self.after {
            self.stop.store(true, Ordering::Relaxed);
        }
        Duration::from_millis(reads)
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(u8::try_from(self.reads.fetch_add(1, Ordering::Relaxed) % 256).unwrap());
    }
}

#[test]
fn cancelling_ends_a_running_statement_at_the_next_look() {
    let folder = tempfile::tempdir().unwrap();
    let stop = fixture::stop();
    let trap = Arc::new(Trap {
        reads: AtomicU64::new(0),
        after: 50,
        stop: Arc::clone(&stop),
    });
    let world: Arc<dyn World> = trap.clone();
    let pool = Pool::open(fixture::spec(fixture::file(&folder, Twin::First)), world).unwrap();
    let (checked, version) = query::inspect(&pool, ENDLESS, &fixture::stop()).unwrap();
    let facts = facts(&pool, Action::SqlRead, version, Some(&checked));
    let order = Order {
        request: request(ENDLESS),
        limits: Limits {
            seconds: 600,
            ..LIMITS
        },
        reveal: Default::default(),
        session: String::new(),
        expected: Expected::of(&facts).unwrap(),
    };
    let refusal = query::run(&pool, &order, &stop).unwrap_err();
    assert_eq!(refusal.code, Code::Cancelled);
    assert!(trap.reads.load(Ordering::Relaxed) < 60);
}

fn invocation(sql: &str) -> Invocation {
    Invocation {
        call_id: CallId::new(1, &[7; 10]),
        user: "local#1@host".to_owned(),
        session: "one".to_owned(),
        tool: "sql_query".to_owned(),
        action: Action::SqlRead,
        resource: Some("shop".to_owned()),
        request: Request::SqlQuery(request(sql)),
        arguments: json!({}),
        request_key: Hash::of(b""),
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_already_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spec = fixture::spec(fixture::file(&folder, Twin::First));
    let database = Database::open(spec, Arc::new(Still::default())).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let refusal = database
        .inspect(&invocation("SELECT 1"), &cancel)
        .await
        .unwrap_err();
    assert_eq!(refusal.code, Code::Cancelled);
}

/// Nobody waits any more: the work must end long before its deadline would end it.
#[tokio::test]
async fn a_dropped_call_ends_its_statement() {
    let folder = tempfile::tempdir().unwrap();
    let world = Arc::new(Trap {
        reads: AtomicU64::new(0),
        after: u64::MAX,
        stop: fixture::stop(),
    });
    let spec = fixture::spec(fixture::file(&folder, Twin::First));
    let database = Database::open(spec, world.clone()).unwrap();
    let cancel = CancellationToken::new();
    let endless = invocation(ENDLESS);
    let facts = database.inspect(&endless, &cancel).await.unwrap();
    let limits = Limits {
        seconds: 1_000,
        ..LIMITS
    };
    let expected = Expected::of(&facts).unwrap();
    {
        let call = database.perform(&endless, expected, limits, Default::default(), &cancel);
        let mut call = std::pin::pin!(call);
        assert!(futures::poll!(&mut call).is_pending());
    }
    let all = database
        .running
        .acquire_many(u32::try_from(CONNECTIONS).unwrap())
        .await;
    assert!(all.is_ok());
    assert!(
        world.reads.load(Ordering::Relaxed) < 500_000,
        "it ran until its deadline"
    );
}

#[tokio::test]
async fn a_cancelled_token_ends_a_running_call() {
    let folder = tempfile::tempdir().unwrap();
    let spec = fixture::spec(fixture::file(&folder, Twin::First));
    let database = Database::open(spec, Arc::new(Still::default())).unwrap();
    let cancel = CancellationToken::new();
    let endless = invocation(ENDLESS);
    let facts = database.inspect(&endless, &cancel).await.unwrap();
    let expected = Expected::of(&facts).unwrap();
    let call = database.perform(&endless, expected, LIMITS, Default::default(), &cancel);
    let (answer, ()) = tokio::join!(call, async { cancel.cancel() });
    assert_eq!(answer.unwrap_err().code, Code::Cancelled);
}
