//! Masks do not cost an index: the plan of what is sent reaches public columns as the plan of what was asked does.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Stand;
use super::twins::{cases, twin};

const READS: &str = include_str!("data/reads.sql");
const ANALYST: &str = include_str!("data/analyst.sql");

/// Relations and the indexes by which a plan reaches them.
fn indexes(plan: &Value, into: &mut BTreeSet<String>) {
    match plan {
        Value::Object(node) => {
            if let Some(index) = node.get("Index Name") {
                into.insert(index.as_str().unwrap_or_default().to_owned());
            }
            node.values().for_each(|value| indexes(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| indexes(value, into)),
        _ => {}
    }
}

/// Between what two statements of a script print.
const MARK: &str = "-- next --";

impl Stand {
    /// The indexes of each plan: with tables this small only a planner that may not scan takes them.
    fn planned(&self, statements: &[String]) -> Vec<BTreeSet<String>> {
        let mut plans = Vec::new();
        for some in statements.chunks(40) {
            let mut script = String::from(
                "SET search_path = public, crm; SET timezone = 'UTC'; SET enable_seqscan = off; SET enable_sort = off",
            );
            for statement in some {
                script += &format!("; EXPLAIN (FORMAT JSON, COSTS OFF) {statement}; SELECT '{MARK}'");
            }
            for plan in self.sql(&script).split_terminator(MARK) {
                let mut found = BTreeSet::new();
                indexes(&serde_json::from_str(plan).unwrap(), &mut found);
                plans.push(found);
            }
        }
        assert_eq!(plans.len(), statements.len());
        plans
    }

    /// The text that the server was sent last.
    fn sent(&self) -> String {
        let log = self.server.log();
        let declared = log.lines().rfind(|line| line.contains(": DECLARE ")).unwrap();
        declared.split_once(" FOR ").unwrap().1.to_owned()
    }
}

/// The same from two minds: a mask is a value, so what reads it needs no index of the masked column.
#[tokio::test]
async fn what_is_sent_keeps_the_indexes_of_what_was_asked() {
    let stand = twin(true).await;
    stand.sql(
        "CREATE INDEX by_customer ON orders (customer_id); CREATE INDEX by_day ON orders (created_at);
         CREATE INDEX by_country ON customers (country, id); CREATE INDEX by_name ON customers (name);
         CREATE INDEX of_events ON events (customer_id, at); CREATE INDEX of_items ON order_items (order_id);
         CREATE INDEX by_words ON products USING gin (search); CREATE INDEX by_manager ON employees (manager_id);
         ANALYZE",
    );
    let analyst = ANALYST.lines().filter(|line| !line.starts_with("--"));
    let ok = cases(READS).into_iter().filter(|(expected, _)| *expected == "ok");
    let statements = ok.map(|(_, statement)| statement).chain(analyst);
    let (mut asked, mut sent) = (Vec::new(), Vec::new());
    for statement in statements.filter(|statement| !statement.contains("$1")) {
        // What is refused is counted where answers are compared.
        if stand.query(statement).await["status"] == "ok" {
            asked.push(statement.to_owned());
            sent.push(stand.sent());
        }
    }
    let (by_hand, by_us) = (stand.planned(&asked), stand.planned(&sent));
    let compared = asked.len();
    let by_index = by_hand.iter().filter(|plan| !plan.is_empty()).count();
    let pairs = asked.iter().zip(by_hand.iter().zip(&by_us));
    // Since PostgreSQL 18 columns of a subquery that are grouped into several sets are sorted, by whatever index they come.
    let sets = regex::Regex::new(r"(?i)\b(rollup|cube|grouping sets)\b").unwrap();
    let sorts = stand.sql("SELECT current_setting('server_version_num')::int >= 180000") == "t";
    let pairs = pairs.filter(|(statement, _)| !(sorts && sets.is_match(statement)));
    let lost = pairs.filter(|(_, (by_hand, by_us))| !by_hand.is_subset(by_us));
    let lost: Vec<String> = lost.map(|one| format!("{one:?}")).collect();
    assert!(
        compared > 200 && by_index > 100,
        "{compared}, {by_index} by an index"
    );
    assert!(
        lost.is_empty(),
        "{} of {compared}:\n{}",
        lost.len(),
        lost.join("\n")
    );
}

/// Of a large table one row is reached by one index, however the statement names it, and nothing is read twice.
#[tokio::test]
async fn a_masked_table_is_searched_by_its_index_and_never_as_a_whole() {
    let stand = Stand::new(
        "INSERT INTO customers SELECT n, 'customer ' || n, n || '@shop.example', 'city ' || n % 50, '1990-01-01'
         FROM generate_series(10, 20000) n; CREATE INDEX by_city ON customers (city); ANALYZE",
    )
    .await;
    for (statement, index) in [
        ("SELECT * FROM customers WHERE id = 77", "customers_pkey"),
        ("SELECT id, email FROM customers WHERE city = 'city 7'", "by_city"),
        (
            "SELECT c.email FROM customers c JOIN orders o ON o.customer_id = c.id",
            "customers_pkey",
        ),
        ("SELECT max(id) FROM customers", "customers_pkey"),
        (
            "SELECT id, name, email FROM customers ORDER BY id LIMIT 5",
            "customers_pkey",
        ),
        (
            "WITH c AS (SELECT * FROM customers) SELECT city FROM c WHERE id = 9",
            "customers_pkey",
        ),
    ] {
        assert_eq!(stand.query(statement).await["status"], "ok", "{statement}");
        let explain = format!("EXPLAIN (FORMAT JSON) {}", stand.sent());
        let plan: Value = serde_json::from_str(&stand.sql(&explain)).unwrap();
        let mut found = BTreeSet::new();
        indexes(&plan, &mut found);
        assert!(found.contains(index), "{statement}: {plan}");
        let whole = plan
            .to_string()
            .contains("\"Seq Scan\",\"Parallel Aware\":false,\"Relation Name\":\"customers\"");
        assert!(!whole, "{statement}: {plan}");
    }
}

/// An index of a public column and a masked one finds rows, and does not tell in which order the masked values are.
#[tokio::test]
async fn no_index_gives_rows_in_the_order_of_a_masked_column() {
    let twin = async |email: &str| {
        let script = format!(
            "INSERT INTO customers SELECT n, repeat('name ', 60), {email} || '@shop.example', 'city ' || n % 50, '1990-01-01'
             FROM generate_series(10, 20000) n; CREATE INDEX by_both ON customers (city, email);
             CREATE INDEX covers ON customers (email) INCLUDE (id); CREATE VIEW places AS SELECT id, city FROM customers; ANALYZE"
        );
        let stand = Stand::with(&script, |spec| {
            for column in ["places.id", "places.city"] {
                spec.columns.insert(column.to_owned(), "public".to_owned());
            }
        })
        .await;
        stand.sql("VACUUM customers");
        stand
    };
    let (one, other) = tokio::join!(
        twin("lpad(n::text, 9, '0')"),
        twin("lpad((50000 - n)::text, 9, '0')")
    );
    for statement in [
        "SELECT id FROM customers WHERE city = 'city 7' LIMIT 5",
        "SELECT id, email FROM customers WHERE city IN ('city 8', 'city 9') LIMIT 7",
        "SELECT array_agg(id) FROM (SELECT id FROM customers WHERE city = 'city 7' LIMIT 20) q",
        "SELECT id, row_number() OVER () FROM customers WHERE city = 'city 7' LIMIT 5",
        "SELECT id FROM customers WHERE city LIKE 'city%' LIMIT 5",
        "SELECT o.id, c.id FROM orders o JOIN customers c ON c.city = 'city 7' LIMIT 9",
        "SELECT DISTINCT ON (city) city, id FROM customers WHERE city = 'city 7'",
        "SELECT id FROM places WHERE city = 'city 7' LIMIT 5",
        "SELECT id FROM customers LIMIT 5",
    ] {
        let (here, there) = (one.query(statement).await, other.query(statement).await);
        assert_eq!(here["status"], "ok", "{statement}: {here}");
        assert_eq!(here, there, "{statement}");
    }
    // Found by the index all the same.
    assert_eq!(
        one.query("SELECT id FROM customers WHERE city = 'city 7'").await["status"],
        "ok"
    );
    let explain = format!(
        "SET enable_indexscan = off; SET enable_indexonlyscan = off; EXPLAIN {}",
        one.sent()
    );
    let plan = one.sql(&explain);
    assert!(plan.contains("Bitmap Index Scan on by_both"), "{plan}");
}

/// Which rows a LIMIT inside a change takes is the same whatever the masked values are.
#[tokio::test]
async fn no_index_gives_a_change_rows_in_the_order_of_a_masked_column() {
    let twin = async |email: &str| {
        let script = format!(
            "INSERT INTO customers SELECT n, repeat('name ', 60), {email} || '@shop.example', 'city ' || n % 2000, '1990-01-01'
             FROM generate_series(10, 20000) n; CREATE INDEX by_both ON customers (city, email);
             CREATE TABLE picked (id int PRIMARY KEY); ANALYZE"
        );
        let public = |spec: &mut super::Spec| {
            spec.columns.insert("picked.id".to_owned(), "public".to_owned());
        };
        let stand = Stand::changing(&script, public).await;
        stand.sql("VACUUM customers");
        stand
    };
    let (one, other) = tokio::join!(
        twin("lpad(n::text, 9, '0')"),
        twin("lpad((50000 - n)::text, 9, '0')")
    );
    let script = "EXPLAIN SELECT id FROM customers WHERE city = 'city 7' LIMIT 3";
    let plan = one.sql(script);
    assert!(
        plan.contains("Index Scan using by_both"),
        "as the server would: {plan}"
    );
    let change = "INSERT INTO picked SELECT id FROM customers WHERE city = 'city 7' LIMIT 3";
    for stand in [&one, &other] {
        assert_eq!(stand.change(change).await["status"], "ok");
    }
    let picked = "SELECT id FROM picked ORDER BY id";
    assert_eq!(one.rows(picked).await.as_array().unwrap().len(), 3);
    assert_eq!(one.rows(picked).await, other.rows(picked).await);
}
