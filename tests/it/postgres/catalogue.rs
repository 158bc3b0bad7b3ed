//! What exists for an agent, whose class is whose, and that a change of it is seen by the next call.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;

use super::{Stand, code, query};

/// The names of the tables there are for an agent.
fn tables(schema: &Value) -> Vec<&str> {
    let tables = schema["data"]["tables"].as_array().unwrap().iter();
    tables.map(|table| table["name"].as_str().unwrap()).collect()
}

/// What the schema says that a column looks like.
async fn masked(stand: &Stand, table: &str, column: &str) -> Option<String> {
    let schema = stand.schema(Some(table)).await;
    let columns = schema["data"]["tables"][0]["columns"].as_array();
    let mut columns = columns.unwrap_or_else(|| panic!("{table}: {schema}")).iter();
    let found = columns.find(|one| one["name"] == column).unwrap();
    found["masked"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn every_change_of_the_catalogue_is_seen_by_the_next_call() {
    let stand = Stand::new("").await;
    let orders = "SELECT * FROM orders WHERE id = 10";
    assert_eq!(stand.rows(orders).await, json!([[10, 1, 500]]));
    stand.sql("ALTER TABLE orders ADD COLUMN note text NOT NULL DEFAULT 'kept to oneself'");
    assert_eq!(
        stand.rows(orders).await,
        json!([[10, 1, 500, "***"]]),
        "a new column is masked"
    );
    stand.sql("ALTER TABLE orders RENAME COLUMN note TO remark");
    assert_eq!(
        stand.rows("SELECT remark FROM orders LIMIT 1").await,
        json!([["***"]])
    );
    stand.sql("ALTER TABLE orders DROP COLUMN remark");
    assert_eq!(stand.rows(orders).await, json!([[10, 1, 500]]));
    // What is listed is gone: nothing is shown until configuration and database fit again.
    stand.sql("ALTER TABLE customers RENAME COLUMN city TO town");
    let closed = stand.query(orders).await;
    assert_eq!(code(&closed), "target_failed", "{closed}");
    assert!(
        closed["detail"].as_str().unwrap().contains("customers.city"),
        "{closed}"
    );
    assert!(
        !closed["refusal"].to_string().contains("city"),
        "for the operator alone: {closed}"
    );
    assert_eq!(code(&stand.schema(None).await), "target_failed");
    stand.sql("ALTER TABLE customers RENAME COLUMN town TO city");
    assert_eq!(stand.rows(orders).await, json!([[10, 1, 500]]));

    stand.sql("CREATE TABLE extra (a int); INSERT INTO extra VALUES (7)");
    assert_eq!(
        stand.refused("SELECT a FROM extra").await.0,
        "statement_refused",
        "not granted"
    );
    stand.sql("GRANT SELECT ON extra TO reader");
    assert_eq!(stand.rows("SELECT a FROM extra").await, json!([[null]]));
    assert_eq!(
        tables(&stand.schema(None).await),
        ["customers", "extra", "orders"]
    );
    stand.sql("REVOKE SELECT ON extra FROM reader");
    assert_eq!(tables(&stand.schema(None).await), ["customers", "orders"]);
    stand.sql("DROP TABLE extra");
    // A table with the name of one that is there, but first in the path, is another table.
    stand.sql("CREATE FUNCTION own(int) RETURNS int LANGUAGE sql AS 'SELECT 1'");
    assert_eq!(
        stand.refused("SELECT own(1)").await.0,
        "statement_refused",
        "nobody listed it"
    );

    // Between inspection and run: refused, and right the next time.
    let request = Request::SqlQuery(query(orders));
    let cancel = CancellationToken::new();
    let between = || drop(stand.sql("ALTER TABLE orders ADD COLUMN late int"));
    let caught = stand.call_with(&["analyst"], request, &cancel, between).await;
    assert_eq!(code(&caught), "target_failed", "{caught}");
    assert_eq!(caught["refusal"]["retry"], json!(true), "{caught}");
    assert_eq!(stand.rows(orders).await, json!([[10, 1, 500, null]]));
}

#[tokio::test]
async fn views_partitions_and_children_have_the_classes_of_what_they_are_made_of() {
    let stand = Stand::new(
        "CREATE VIEW people AS SELECT id, email AS contact, upper(name) AS caps FROM customers;
         CREATE VIEW totals AS SELECT customer_id, sum(cents) AS cents FROM orders GROUP BY 1;
         CREATE VIEW over_people AS SELECT contact FROM people;
         CREATE MATERIALIZED VIEW kept AS SELECT email FROM customers;
         CREATE VIEW samples AS SELECT most_common_vals::text AS v FROM pg_stats;
         CREATE VIEW raw AS SELECT query_to_xml('SELECT email FROM public.customers', true, true, '')::text AS x;
         CREATE FUNCTION mails() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT email FROM public.customers';
         CREATE VIEW called AS SELECT mails AS m FROM mails();
         CREATE TABLE events (day date NOT NULL, mail text) PARTITION BY RANGE (day);
         CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         CREATE TABLE base (a int, mail text);
         CREATE TABLE child (b int) INHERITS (base);
         INSERT INTO events VALUES ('2026-05-05', 'part@shop.example');
         INSERT INTO child VALUES (1, 'child@shop.example', 2);
         ANALYZE customers",
    )
    .await;
    for (table, column, style) in [
        ("people", "id", Some("constant")),
        ("people", "contact", Some("constant")),
        ("people", "caps", Some("constant")),
        ("over_people", "contact", Some("constant")),
        ("kept", "email", Some("constant")),
        ("samples", "v", Some("constant")),
        ("raw", "x", Some("constant")),
        ("called", "m", Some("constant")),
        ("totals", "cents", None),
        ("events_2026", "mail", Some("constant")),
    ] {
        assert_eq!(
            masked(&stand, table, column).await.as_deref(),
            style,
            "{table}.{column}"
        );
    }
    for table in [
        "people",
        "over_people",
        "kept",
        "samples",
        "raw",
        "called",
        "events",
        "events_2026",
        "base",
        "child",
    ] {
        let rows = stand.rows(&format!("SELECT * FROM {table}")).await.to_string();
        assert!(
            !rows.contains("shop.example") && !rows.contains("CUSTOMER"),
            "{table}: {rows}"
        );
    }
    assert_eq!(
        stand.rows("SELECT cents FROM totals WHERE customer_id = 1").await,
        json!([[1200]])
    );
}

#[tokio::test]
async fn a_listed_class_reaches_partitions_children_and_parents() {
    let stand = Stand::with(
        "CREATE TABLE events (day date NOT NULL, mail text, kind text) PARTITION BY RANGE (day);
         CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         CREATE SCHEMA apart;
         CREATE TABLE apart.late PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
         CREATE VIEW beside AS SELECT mail FROM apart.late;
         INSERT INTO events VALUES ('2027-05-05', 'late@shop.example', 'visit');
         INSERT INTO events VALUES ('2026-05-05', 'part@shop.example', 'visit')",
        |spec| {
            spec.columns_default = tollgate::resource::sql::ColumnsDefault::Show;
            spec.columns
                .insert("events_2026.mail".to_owned(), "email".to_owned());
            spec.columns
                .insert("public.events.kind".to_owned(), "public".to_owned());
            spec.columns
                .insert("customers.name".to_owned(), "tail".to_owned());
        },
    )
    .await;
    assert_eq!(
        stand.rows("SELECT * FROM beside").await,
        json!([["***"]]),
        "kin elsewhere"
    );
    for table in ["events", "events_2026"] {
        let row = stand
            .rows(&format!(
                "SELECT mail, kind FROM {table} WHERE day < '2027-01-01'"
            ))
            .await;
        assert_eq!(row, json!([["***", "visit"]]), "{table}");
    }
    assert_eq!(
        stand.rows("SELECT name FROM customers WHERE id = 1").await,
        json!([["*** One"]])
    );
    let schema = stand.schema(Some("orders")).await;
    let columns = &schema["data"]["tables"][0]["columns"];
    assert_eq!(
        columns[0],
        json!({"name": "id", "type": "integer", "primary_key": true})
    );
    assert_eq!(columns[1]["references"], "customers.id");
    assert_eq!(code(&stand.schema(Some("nothing")).await), "not_found");
}

#[tokio::test]
async fn a_role_that_can_do_more_is_refused_until_it_cannot() {
    let stand = Stand::new("CREATE ROLE strong SUPERUSER").await;
    let probe = "SELECT id FROM orders WHERE id = 10";
    for (give, take, word) in [
        (
            "ALTER ROLE reader SUPERUSER",
            "ALTER ROLE reader NOSUPERUSER",
            "superuser",
        ),
        (
            "ALTER ROLE reader BYPASSRLS",
            "ALTER ROLE reader NOBYPASSRLS",
            "BYPASSRLS",
        ),
        (
            "ALTER ROLE reader CREATEROLE",
            "ALTER ROLE reader NOCREATEROLE",
            "CREATEROLE",
        ),
        (
            "ALTER ROLE reader REPLICATION",
            "ALTER ROLE reader NOREPLICATION",
            "REPLICATION",
        ),
        (
            "GRANT pg_read_all_data TO reader",
            "REVOKE pg_read_all_data FROM reader",
            "pg_read_all_data",
        ),
        (
            "GRANT pg_execute_server_program TO reader",
            "REVOKE pg_execute_server_program FROM reader",
            "pg_execute_server_program",
        ),
        ("GRANT strong TO reader", "REVOKE strong FROM reader", "strong"),
        (
            "ALTER TABLE orders OWNER TO reader",
            "ALTER TABLE orders OWNER TO postgres",
            "owns",
        ),
    ] {
        assert_eq!(stand.rows(probe).await, json!([[10]]), "{give}");
        stand.sql(give);
        let refused = stand.query(probe).await;
        assert_eq!(code(&refused), "target_failed", "{give}: {refused}");
        assert!(
            refused["detail"].as_str().unwrap().contains(word),
            "{give}: {refused}"
        );
        stand.sql(take);
        stand.sql("GRANT SELECT ON orders TO reader");
    }
    assert_eq!(stand.rows(probe).await, json!([[10]]));
}

#[tokio::test]
async fn what_the_server_makes_of_a_classified_column_is_classified() {
    let stand = Stand::with(
        "ALTER TABLE customers ADD COLUMN domain text GENERATED ALWAYS AS (split_part(email, '@', 2)) STORED,
            ADD COLUMN place text GENERATED ALWAYS AS (upper(city)) STORED,
            ADD COLUMN initial text GENERATED ALWAYS AS (left(email, 1)) STORED;
         CREATE VIEW domains AS SELECT domain FROM customers",
        |spec| {
            spec.columns_default = tollgate::resource::sql::ColumnsDefault::Show;
            spec.columns
                .insert("customers.initial".to_owned(), "public".to_owned());
        },
    )
    .await;
    let all = "SELECT domain, place, initial, name FROM customers WHERE id = 1";
    assert_eq!(
        stand.rows(all).await,
        json!([["***", "OSLO", "o", "Customer One"]]),
        "what nobody listed is shown, unless it is made of what may not be"
    );
    assert_eq!(
        stand.rows("SELECT domain FROM domains LIMIT 1").await,
        json!([["***"]])
    );
    // One that is made whenever it is read, where the server has such.
    let kind = stand.sql(
        "SELECT CASE WHEN current_setting('server_version_num')::int >= 180000 THEN 'VIRTUAL' ELSE 'STORED' END",
    );
    stand.sql(&format!(
        "ALTER TABLE customers ADD COLUMN loud text GENERATED ALWAYS AS (upper(email)) {kind}; GRANT SELECT ON customers TO reader"
    ));
    assert_eq!(
        stand.rows("SELECT loud, name FROM customers WHERE id = 1").await,
        json!([["***", "Customer One"]])
    );
}
