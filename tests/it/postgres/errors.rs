//! What goes wrong is told without a value.

use serde_json::json;

use super::{Stand, code, query};

/// Statements that fail on what is stored, with a word of what is said.
const FAILING: &[(&str, &str)] = &[
    ("SELECT city::int FROM customers", "form"),
    ("SELECT 1 / (cents - 500) FROM orders", "divided by zero"),
    ("SELECT (cents * 10000000)::int FROM orders", "out of range"),
    ("SELECT (SELECT city FROM customers)", "more than one row"),
    ("SELECT city::date FROM customers", "form"),
    ("SELECT city::json FROM customers", "form"),
    ("SELECT city::uuid FROM customers", "form"),
    ("SELECT city::inet FROM customers", "form"),
    ("SELECT 'x' ~ ('[' || city) FROM customers", "regular expression"),
    ("SELECT sqrt(-cents) FROM orders", "function"),
    ("SELECT email::int FROM customers", "form"),
    ("SELECT name::date FROM customers", "form"),
    ("SELECT complain(city) FROM customers", "refused"),
    ("SELECT complain(email) FROM customers", "refused"),
];

/// Statements with a mistake, and what must be said of it.
const WRONG: &[(&str, &str)] = &[
    ("SELECT emial FROM customers", "emial"),
    ("SELECT id\nFROM orders\nWHERE centz = 1", "line 3, column 7"),
    ("SELECT c.emial\nFROM customers c", "line 1, column 8"),
    ("SELECT * FROM custmers", "custmers"),
    ("SELECT id FROM orders WHERE cents = 'many'", "line 1, column 37"),
    ("SELECT id FROM", "syntax"),
    (
        "SELECT customer_id, cents FROM orders GROUP BY customer_id",
        "GROUP BY",
    ),
    ("SELECT id + city FROM customers", "integer + text"),
    ("SELECT id FROM orders, customers", "ambiguous"),
];

#[tokio::test]
async fn errors_name_the_mistake_and_carry_no_value() {
    let complain = "CREATE FUNCTION complain(t text) RETURNS text LANGUAGE plpgsql STABLE AS
        $$ BEGIN RAISE EXCEPTION 'value %', t USING DETAIL = t, HINT = t, ERRCODE = '22023'; END $$;
        CREATE FUNCTION grumble(t text) RETURNS text LANGUAGE plpgsql STABLE AS
        $$ BEGIN RAISE EXCEPTION 'value %', t; END $$";
    let stand = Stand::with(complain, |spec| {
        spec.functions
            .extend(["public.complain".to_owned(), "public.grumble".to_owned()]);
    })
    .await;
    let values = ["Oslo", "Bergen", "shop.example", "Customer One", "1990-01-01"];
    let failing = FAILING.iter().map(|(statement, word)| (*statement, *word));
    let more = [("SELECT grumble(city) FROM customers", "refused")];
    for (statement, word) in failing.chain(more) {
        let (code, said) = stand.refused(statement).await;
        assert_eq!(code, "statement_refused", "{statement}: {said}");
        let word = if statement.contains("complain") {
            "form"
        } else {
            word
        };
        assert!(said.contains(word), "{statement}: {said}");
        for value in values {
            assert!(!said.contains(value), "{statement}: {said}");
        }
    }
    for (statement, word) in WRONG {
        let (code, said) = stand.refused(statement).await;
        assert_eq!(code, "statement_refused", "{statement}: {said}");
        assert!(said.contains(word), "{statement}: {said}");
    }
    for statement in [
        "DELETE FROM orders",
        "INSERT INTO orders VALUES (1, 1, 1)",
        "WITH x AS (DELETE FROM orders RETURNING id) SELECT * FROM x",
        "SELECT 1; DROP TABLE orders",
        "SET default_transaction_read_only = off",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT pg_sleep(100)",
        "COPY orders TO '/tmp/x'",
        "SELECT * FROM pg_catalog.pg_authid",
        "SELECT * FROM information_schema.tables",
    ] {
        let refusal = stand.ask(query(statement)).await;
        let refused = ["statement_refused", "wrong_tool"].contains(&code(&refusal).as_str());
        assert!(refused, "{statement}: {refusal}");
    }
    assert_eq!(stand.sql("SELECT count(*) FROM orders"), "3");
    let log = stand.server.log();
    assert!(
        !log.contains("pg_sleep") && !log.contains("DELETE FROM orders"),
        "refused before it is sent"
    );
}

/// What a statement runs without naming it: operators and casts that somebody made in the database.
#[tokio::test]
async fn operators_and_casts_of_the_database_are_not_run() {
    let stand = Stand::new(
        "CREATE FUNCTION tell(int, int) RETURNS text LANGUAGE plpgsql STABLE AS
            $$BEGIN RETURN (SELECT min(email) FROM customers); END$$;
         CREATE OPERATOR |#| (LEFTARG = int, RIGHTARG = int, FUNCTION = tell);
         CREATE FUNCTION same(text, int) RETURNS boolean LANGUAGE plpgsql STABLE AS
            $$BEGIN RETURN (SELECT min(email) FROM customers) LIKE 'one%'; END$$;
         CREATE OPERATOR <> (LEFTARG = text, RIGHTARG = int, FUNCTION = same);",
    )
    .await;
    for statement in [
        "SELECT 1 |#| 2",
        "SELECT city <> 1 FROM customers",
        "SELECT city NOT IN (1, 2) FROM customers",
    ] {
        let (code, said) = stand.refused(statement).await;
        assert_eq!(code, "statement_refused", "{statement}: {said}");
    }
    assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
    stand.sql(
        "CREATE FUNCTION words(orders) RETURNS text LANGUAGE plpgsql STABLE AS
            $$BEGIN RETURN (SELECT min(email) FROM customers); END$$;
         CREATE CAST (orders AS text) WITH FUNCTION words(orders)",
    );
    let answer = stand.query("SELECT o::text FROM orders o").await;
    assert_eq!(code(&answer), "target_failed", "{answer}");
    assert!(
        answer["detail"].as_str().unwrap().contains("public.words"),
        "{answer}"
    );
}
