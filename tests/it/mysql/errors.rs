//! What goes wrong is told without a value.

use super::{Stand, code, query};

/// Statements that fail on what is stored, with a word of what is said.
const FAILING: &[(&str, &str)] = &[
    ("SELECT (SELECT city FROM customers)", "more than one row"),
    ("SELECT cents * 9223372036854775807 FROM orders", "out of range"),
    ("SELECT EXP(cents) FROM orders", "out of range"),
];

/// Statements with a mistake, and what must be said of it.
const WRONG: &[(&str, &str)] = &[
    ("SELECT emial FROM customers", "column"),
    ("SELECT * FROM custmers", "custmers"),
    ("SELECT id FROM", ""),
    (
        "SELECT id FROM orders o JOIN customers c ON c.id = o.customer_id",
        "",
    ),
    ("SELECT id FROM orders WHERE sum(cents) > 1", ""),
    ("SELECT id FROM orders UNION SELECT id, city FROM customers", ""),
];

#[tokio::test]
async fn errors_name_the_mistake_and_carry_no_value() {
    let stand = Stand::new("").await;
    let values = ["Oslo", "Bergen", "shop.example", "Customer One", "1990", "500"];
    for (statement, word) in FAILING {
        let (code, said) = stand.refused(statement).await;
        assert_eq!(code, "statement_refused", "{statement}: {said}");
        assert!(said.contains(word), "{statement}: {said}");
        for value in values {
            assert!(!said.contains(value), "{statement}: {said}");
        }
    }
    for (statement, word) in WRONG {
        let (code, said) = stand.refused(statement).await;
        assert_eq!(code, "statement_refused", "{statement}: {said}");
        assert!(said.contains(word), "{statement}: {said}");
        assert!(!said.contains("shop_tollgate"), "{statement}: {said}");
    }
    for statement in [
        "DELETE FROM orders",
        "INSERT INTO orders VALUES (1, 1, 1)",
        "SELECT 1; DROP TABLE orders",
        "SET sql_mode = 'ANSI_QUOTES'",
        "SELECT SLEEP(100)",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE orders",
        "SELECT * FROM mysql.user",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM shop_tollgate.tollgate_plan",
        "SELECT * FROM tollgate_plan",
    ] {
        let refusal = stand.ask(query(statement)).await;
        let refused = ["statement_refused", "wrong_tool"].contains(&code(&refusal).as_str());
        assert!(refused, "{statement}: {refusal}");
    }
    assert_eq!(stand.sql("SELECT count(*) FROM orders"), "3");
    let log = stand.server.log();
    assert!(
        !log.contains("SLEEP") && !log.contains("DELETE FROM orders") && !log.contains("LOAD DATA"),
        "refused before it is sent"
    );
}
