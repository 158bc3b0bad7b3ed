//! Twin databases that differ only in classified values, and ways to ask them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::super::pool::Pool;
use super::super::query::{self, Answer, Order};
use super::super::{ColumnsDefault, Expected, Facts, Limits, MaskStyle, Spec, facts};
use crate::call::request::{Parameters, SqlQuery};
use crate::call::{Action, Hash, Refusal};
use crate::clock::{Timestamp, World};

/// A clock that stands still, or goes on by `step` each time it is read; unpredictable only to
/// those who cannot count.
#[derive(Debug, Default)]
pub(in super::super) struct Still {
    drawn: AtomicU64,
    reads: AtomicU64,
    step: Duration,
}

impl Still {
    /// A clock that goes on by `step` each time it is read.
    pub(in super::super) fn stepping(step: Duration) -> Self {
        Self {
            step,
            ..Self::default()
        }
    }
}

impl World for Still {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        self.step * u32::try_from(reads).unwrap()
    }

    fn random(&self, buffer: &mut [u8]) {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let hash = Hash::of(&drawn.to_le_bytes());
        for (to, from) in buffer.iter_mut().zip(hash.0) {
            *to = from;
        }
    }
}

/// Which of the twins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Twin {
    First,
    Second,
    /// As unlike as can be: no value, or the same one everywhere, so that statistics and plans differ too.
    Uniform,
}

/// A database on disk, opened.
pub(in super::super) struct Shop {
    /// Removed with the last of us.
    pub(in super::super) _folder: TempDir,
    pub(in super::super) pool: Pool,
}

pub(in super::super) const LIMITS: Limits = Limits {
    rows: 1_000,
    bytes: 1 << 20,
    seconds: 30,
};

/// Classified values of customer `n`. The twins agree in nothing but what a partial mask shows, and
/// their values sort in opposite orders.
struct Secrets {
    email: Option<String>,
    ssn: String,
    card: String,
    work: String,
    phone: String,
    notes: String,
    staff: u32,
    badge: String,
}

fn secrets(twin: Twin, n: u32) -> Secrets {
    match twin {
        Twin::First => Secrets {
            email: Some(format!("alpha{n:03}@private.example")),
            ssn: format!("{}-11-{}", 101 + n, 4001 + n),
            card: format!("4111-7{n:03}-0000-{}", 7000 + n),
            work: format!("first{n:03}@dept{}.example.org", n % 3),
            phone: format!("+491700{}", 10_000 + n),
            notes: format!("allergic-{n:03}"),
            staff: 510_000 + n,
            badge: format!("BADGE-A{n:03}"),
        },
        Twin::Second => Secrets {
            email: Some(format!("omega{:03}@secret.example", 999 - n)),
            ssn: format!("{}-99-{}", 899 - n, 9001 - n),
            card: format!("5500-3{:03}-1111-{}", 999 - n, 7000 + n),
            work: format!("second{:03}@dept{}.example.org", 999 - n, n % 3),
            phone: format!("+336001{}", 90_000 - n),
            notes: format!("divorced-{:03}", 999 - n),
            staff: 730_000 - n * 13,
            badge: format!("BADGE-Z{:03}", 999 - n),
        },
        Twin::Uniform => Secrets {
            email: None,
            ssn: "9".to_owned(),
            card: format!("0000-0000-0000-{}", 7000 + n),
            work: format!("x@dept{}.example.org", n % 3),
            phone: String::new(),
            notes: String::new(),
            staff: (n * 7919) % 1009,
            badge: format!("{:03}", (n * 37) % 101),
        },
    }
}

const CUSTOMERS: u32 = 40;

/// Every text or number that must never be in an answer, for either twin.
pub(in super::super) fn planted() -> Vec<String> {
    let mut all = Vec::new();
    for twin in [Twin::First, Twin::Second] {
        for n in 0..CUSTOMERS {
            let s = secrets(twin, n);
            let head = s.work.split('@').next().unwrap().to_owned();
            let card = s.card.rsplit_once('-').unwrap().0.to_owned();
            let badge = s.badge.to_lowercase();
            all.extend(s.email);
            all.extend([
                s.ssn,
                card,
                head,
                s.phone,
                s.notes,
                s.staff.to_string(),
                s.badge,
                badge,
            ]);
        }
    }
    all.extend(
        [
            "@private.example",
            "@secret.example",
            "4111-",
            "5500-",
            "alpha",
            "omega",
        ]
        .map(str::to_owned),
    );
    all
}

const SCHEMA: &str = "
CREATE TABLE customers (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE, ssn TEXT NOT NULL, card TEXT, work TEXT,
  phone TEXT, notes TEXT, country TEXT COLLATE NOCASE, signup TEXT, balance REAL, profile TEXT
);
CREATE INDEX by_country_and_email ON customers (country, email);
CREATE INDEX by_ssn ON customers (ssn);
CREATE INDEX by_lower_email ON customers (lower(email));
CREATE INDEX high_ssn ON customers (signup) WHERE ssn > '5';
CREATE TABLE orders (
  id INTEGER PRIMARY KEY AUTOINCREMENT, customer_id INTEGER REFERENCES customers(id), status TEXT,
  amount INTEGER, email TEXT, placed TEXT
);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE TABLE products (sku TEXT PRIMARY KEY, title TEXT, price REAL, tags TEXT);
CREATE TABLE order_items (
  order_id INTEGER, sku TEXT REFERENCES products, quantity INTEGER, PRIMARY KEY (order_id, sku)
) WITHOUT ROWID;
CREATE TABLE staff (staff_no INTEGER PRIMARY KEY, team TEXT, grade INTEGER);
CREATE TABLE badges (badge TEXT PRIMARY KEY, floor INTEGER, wing TEXT) WITHOUT ROWID;
CREATE TABLE contacts (
  id INTEGER PRIMARY KEY, email TEXT, city TEXT,
  handle TEXT GENERATED ALWAYS AS (substr(email, 1, 8)) VIRTUAL,
  stored TEXT GENERATED ALWAYS AS (upper(email)) STORED
);
CREATE TABLE \"odd name; --\" (\"a b\" INTEGER, \"secret \"\"x\"\"\" TEXT);
CREATE TABLE mixed (id INTEGER PRIMARY KEY, v BLOB);
CREATE TABLE tree (id INTEGER PRIMARY KEY, parent INTEGER, label TEXT);
CREATE VIEW customer_mail AS SELECT id, name, email FROM customers;
CREATE VIEW mail_domains AS SELECT id, substr(email, instr(email, '@') + 1) AS host FROM customers;
CREATE VIEW spenders (customer, total) AS
  SELECT c.id, sum(o.amount) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id;
CREATE VIEW spender_mail AS SELECT s.total, m.email FROM spenders s JOIN customer_mail m ON m.id = s.customer;
CREATE VIEW by_secret AS SELECT id, name FROM customers ORDER BY ssn;
CREATE VIEW with_cte AS WITH customers AS (SELECT email AS e FROM customer_mail) SELECT e FROM customers;
CREATE VIEW [listed view] AS SELECT id, country AS land, name AS who FROM customers;
CREATE VIEW qualified AS SELECT email FROM main.customers;
CREATE VIEW randomised AS SELECT id, randomblob(4) AS r FROM customers;
CREATE VIEW over_catalogue AS SELECT name, sql FROM sqlite_schema;
CREATE VIEW over_search AS SELECT body FROM search;
CREATE VIEW circular_a AS SELECT * FROM circular_b;
CREATE VIEW circular_b AS SELECT * FROM circular_a;
CREATE VIRTUAL TABLE search USING fts5(body);
CREATE VIRTUAL TABLE words USING fts5vocab('search', 'row');
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
CREATE TRIGGER on_order AFTER UPDATE ON orders BEGIN UPDATE customers SET notes = notes; END;
";

/// Makes the file. `values` is whose secrets it holds.
pub(in super::super) fn file(folder: &TempDir, values: Twin) -> std::path::PathBuf {
    let path = folder.path().join("shop data.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("BEGIN").unwrap();
    conn.execute_batch(SCHEMA).unwrap();
    let products = "INSERT INTO products VALUES ('p1', 'Lamp', 19.5, '[\"home\",\"light\"]'),
        ('p2', 'Desk', 120.0, '[\"home\"]'), ('p3', 'Pen', 1.25, '[]')";
    conn.execute(products, []).unwrap();
    for n in 0..CUSTOMERS {
        fill(&conn, values, n);
    }
    conn.execute_batch(
        "INSERT INTO mixed VALUES (1, NULL), (2, 7), (3, 9007199254740993), (4, -9223372036854775808), (5, 1.5),
           (6, 9e999), (7, -9e999), (8, 'text'), (9, x'00ff10'), (10, CAST(x'ff41fe' AS TEXT)), (11, ''), (12, x'');
         INSERT INTO tree VALUES (1, NULL, 'root'), (2, 1, 'a'), (3, 1, 'b'), (4, 2, 'aa'), (5, 4, 'aaa');
         COMMIT; ANALYZE",
    )
    .unwrap();
    path
}

fn fill(conn: &Connection, values: Twin, n: u32) {
    let s = secrets(values, n);
    let null_card = n % 10 == 9;
    conn.execute(
        "INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        rusqlite::params![
            n + 1,
            format!("Customer {n}"),
            s.email,
            s.ssn,
            (!null_card).then_some(s.card),
            s.work,
            s.phone,
            s.notes,
            ["de", "FR", "at", "De"][usize::try_from(n % 4).unwrap()],
            format!("2026-{:02}-{:02}", n % 12 + 1, n % 28 + 1),
            f64::from(n) * 10.25,
            json!({"plan": if n.is_multiple_of(2) { "pro" } else { "free" }, "seats": n % 5}).to_string(),
        ],
    )
    .unwrap();
    for k in 0..n % 4 {
        conn.execute(
            "INSERT INTO orders (customer_id, status, amount, email, placed) VALUES (?1, ?2, ?3, ?4, ?5)",
            rusqlite::params![
                n + 1,
                ["paid", "open", "void"][usize::try_from((n + k) % 3).unwrap()],
                n * 7 + k,
                s.email,
                format!("2026-{:02}-03", (n + k) % 12 + 1)
            ],
        )
        .unwrap();
        let order = conn.last_insert_rowid();
        conn.execute(
            "INSERT INTO order_items VALUES (?1, ?2, ?3)",
            (order, format!("p{}", k % 3 + 1), k + 1),
        )
        .unwrap();
    }
    conn.execute(
        "INSERT INTO staff VALUES (?1, ?2, ?3)",
        (s.staff, format!("team{}", n % 3), n),
    )
    .unwrap();
    conn.execute(
        "INSERT INTO badges VALUES (?1, ?2, ?3)",
        (&s.badge, n, format!("wing{}", n % 2)),
    )
    .unwrap();
    conn.execute(
        "INSERT INTO contacts (id, email, city) VALUES (?1, ?2, ?3)",
        (n, &s.email, format!("city{}", n % 5)),
    )
    .unwrap();
    conn.execute("INSERT INTO \"odd name; --\" VALUES (?1, ?2)", (n, &s.notes))
        .unwrap();
    conn.execute("INSERT INTO search VALUES (?1)", [&s.email])
        .unwrap();
    conn.execute("INSERT INTO boxes VALUES (?1, ?2, ?3)", (n + 1, s.staff, s.staff))
        .unwrap();
}

pub(in super::super) fn spec(path: std::path::PathBuf) -> Spec {
    let public = "customers.id customers.name customers.country customers.signup customers.balance \
        customers.profile orders.id orders.customer_id orders.status orders.amount orders.placed products.sku \
        products.title products.price products.tags order_items.order_id order_items.sku order_items.quantity \
        staff.team staff.grade badges.floor badges.wing contacts.id contacts.city mixed.id mixed.v tree.id \
        tree.parent tree.label";
    let mut columns: BTreeMap<String, String> = public
        .split_whitespace()
        .map(|c| (c.to_owned(), "public".to_owned()))
        .collect();
    for (column, class) in [
        ("customers.email", "email"),
        ("customers.ssn", "ssn"),
        ("customers.card", "card"),
        ("customers.work", "work"),
        ("customers.phone", "phone"),
        ("orders.email", "email"),
        ("staff.staff_no", "ssn"),
        ("badges.badge", "phone"),
        ("listed view.who", "email"),
        ("odd name; --.a b", "public"),
    ] {
        columns.insert(column.to_owned(), class.to_owned());
    }
    let classes = [
        ("email", MaskStyle::Constant),
        ("ssn", MaskStyle::Constant),
        ("card", MaskStyle::Last4),
        ("work", MaskStyle::Domain),
        ("phone", MaskStyle::Null),
    ];
    Spec {
        name: "shop".to_owned(),
        path,
        columns,
        columns_default: ColumnsDefault::Mask,
        classes: classes.map(|(class, style)| (class.to_owned(), style)).into(),
        tokens: None,
        limits: LIMITS,
    }
}

pub(in super::super) fn shop(values: Twin) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, values);
    let pool = Pool::open(spec(path), Arc::new(Still::default())).unwrap();
    Shop {
        _folder: folder,
        pool,
    }
}

pub(in super::super) fn request(statement: &str) -> SqlQuery {
    SqlQuery {
        lookup: None,
        resource: "shop".to_owned(),
        statement: statement.to_owned(),
        parameters: None,
        limit: None,
        cursor: None,
    }
}

pub(in super::super) fn stop() -> Arc<AtomicBool> {
    Arc::default()
}

/// Inspects and runs, as the path does.
pub(in super::super) fn ask(
    pool: &Pool,
    request: SqlQuery,
    reveal: &[&str],
    limits: Limits,
) -> Result<(Facts, Answer), Refusal> {
    let (checked, version) = query::inspect(pool, &request.statement, &stop())?;
    let facts = facts(pool, Action::SqlRead, version, Some(&checked));
    let order = Order {
        request,
        limits,
        reveal: reveal.iter().map(|c| (*c).to_owned()).collect::<BTreeSet<_>>(),
        session: String::new(),
        expected: Expected::of(&facts)?,
    };
    Ok((facts, query::run(pool, &order, &stop())?))
}

/// All an agent, the policy and the journal get to see of a call, as text.
pub(in super::super) fn outcome(pool: &Pool, statement: &str) -> (bool, String) {
    match ask(pool, request(statement), &[], LIMITS) {
        Ok((facts, answer)) => {
            let shown = json!({
                "rows": answer.rows,
                "truncated": answer.truncated,
                "masks": answer.masks.notes(),
                "sql": facts.sql,
                "classified": facts.classified,
            });
            (true, shown.to_string())
        }
        Err(refusal) => {
            let told = (
                refusal.code,
                refusal.message,
                refusal.suggestion,
                refusal.retry,
                refusal.detail,
            );
            (false, format!("{told:?}"))
        }
    }
}

/// Rows of a statement that must succeed.
pub(in super::super) fn rows(pool: &Pool, statement: &str) -> Vec<Vec<serde_json::Value>> {
    match ask(pool, request(statement), &[], LIMITS) {
        Ok((_, answer)) => answer.rows.rows,
        Err(refusal) => panic!("{statement}: {refusal:?}"),
    }
}

/// A refusal that must come.
pub(in super::super) fn refusal(pool: &Pool, statement: &str) -> Refusal {
    ask(pool, request(statement), &[], LIMITS).expect_err(statement)
}

pub(in super::super) fn list(values: serde_json::Value) -> Option<Parameters> {
    Some(serde_json::from_value(values).unwrap())
}
