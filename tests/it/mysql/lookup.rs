//! Values that are looked up: compared as their tokens, and nothing else.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;
use tollgate::call::request::{Lookup, Parameters, SqlQuery};

use super::tokens::shop;
use super::{Stand, code, query};

fn looking(statement: &str, column: &str, value: &str) -> SqlQuery {
    SqlQuery {
        lookup: Some(Lookup {
            column: column.to_owned(),
            value: value.to_owned(),
        }),
        ..query(statement)
    }
}

pub(super) fn by_email(statement: &str) -> SqlQuery {
    looking(statement, "customers.email", "two@shop.example")
}

async fn ids(stand: &Stand, asked: SqlQuery) -> Value {
    let answer = stand.ask(asked).await;
    assert_eq!(answer["status"], "ok", "{answer}");
    assert!(!answer.to_string().contains("two@shop.example"), "{answer}");
    answer["data"]["rows"].clone()
}

#[tokio::test]
async fn a_known_value_finds_its_rows() {
    let stand = shop("").await;
    let found = ids(&stand, by_email("SELECT id FROM customers WHERE email = :lookup")).await;
    assert_eq!(found, json!([[2]]));
    let joined = "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id AND c.Email = :lookup";
    assert_eq!(ids(&stand, by_email(joined)).await, json!([[12]]));
    for value in [
        "four@shop.example",
        "TWO@shop.example",
        "",
        "two@shop.example ",
        "two@shop.example\n",
    ] {
        let none = looking(
            "SELECT id FROM customers WHERE email = :lookup",
            "customers.email",
            value,
        );
        assert_eq!(ids(&stand, none).await, json!([]), "{value}");
    }
    let mut named = by_email(
        "SELECT id FROM customers WHERE id > :least AND (email = :lookup OR id = :most) ORDER BY id",
    );
    let values = json!({ "least": 1, "most": 3 });
    named.parameters = Some(Parameters::Named(values.as_object().unwrap().clone()));
    assert_eq!(ids(&stand, named).await, json!([[2], [3]]));
    let negated = by_email("SELECT id FROM customers WHERE NOT email = :lookup ORDER BY id");
    assert_eq!(ids(&stand, negated).await, json!([[1], [3]]));
    // The mask is in the database: also who may see the class asks by its token.
    let raw = Request::SqlQuery(by_email("SELECT id FROM customers WHERE email = :lookup"));
    let answer = stand.call(&["dba"], raw, &CancellationToken::new()).await;
    assert_eq!(answer["data"]["rows"], json!([[2]]), "{answer}");
}

#[tokio::test]
async fn its_token_is_never_shown_or_ordered() {
    let stand = shop("").await;
    for statement in [
        "SELECT :lookup AS token FROM customers",
        "SELECT id FROM customers WHERE email = :lookup AND :lookup < 'tok_8'",
        "SELECT id FROM customers WHERE email < :lookup",
        "SELECT id FROM customers WHERE email <> :lookup",
        "SELECT id FROM customers WHERE email <=> :lookup",
        "SELECT id FROM customers WHERE :lookup = email",
        "SELECT id FROM customers WHERE email LIKE :lookup",
        "SELECT id FROM customers WHERE email RLIKE :lookup",
        "SELECT id FROM customers WHERE email IN (:lookup)",
        "SELECT id FROM customers WHERE email BETWEEN 'tok_' AND :lookup",
        "SELECT id FROM customers WHERE email = ANY (SELECT :lookup)",
        "SELECT id FROM customers WHERE email = CONCAT(:lookup, '')",
        "SELECT id FROM customers WHERE email = (:lookup)",
        "SELECT id FROM customers WHERE email = :lookup COLLATE utf8mb4_general_ci",
        "SELECT id FROM customers WHERE email = :lookup + 1",
        "SELECT id FROM customers WHERE city = :lookup",
        "SELECT id FROM customers WHERE LEFT(email, 5) = :lookup",
        "SELECT id FROM customers WHERE (email, id) = (:lookup, 2)",
        "SELECT max(email) FROM customers GROUP BY :lookup",
        "SELECT COALESCE(NULLIF(email = :lookup, 1), :lookup) FROM customers",
        "SELECT id FROM customers ORDER BY :lookup",
        "SELECT GROUP_CONCAT(id SEPARATOR ',') FROM customers WHERE email = :lookup AND MATCH (city) AGAINST (:lookup)",
        "WITH x AS (SELECT :lookup AS email FROM customers) SELECT email FROM x WHERE email = :lookup",
        "SELECT id FROM customers LIMIT :lookup",
        "SELECT id FROM customers",
    ] {
        let answer = stand.ask(by_email(statement)).await;
        let refused = ["statement_refused", "invalid_arguments"].contains(&code(&answer).as_str());
        assert!(refused, "{statement}: {answer}");
        assert!(!answer.to_string().contains("two@shop"), "{answer}");
    }
    let fine = "SELECT id FROM customers WHERE email = :lookup";
    for (column, statement) in [
        ("customers.city", fine),
        ("email", fine),
        ("orders.id", fine),
        ("", fine),
        ("customers.email", "SELECT id FROM orders WHERE id = :lookup"),
    ] {
        let asked = looking(statement, column, "two@shop.example");
        assert_eq!(code(&stand.ask(asked).await), "statement_refused", "{column}");
    }
    for parameters in [json!(["x"]), json!({ "lookup": "x" })] {
        let mut asked = by_email(fine);
        asked.parameters = Some(match parameters {
            Value::Array(values) => Parameters::Positional(values),
            Value::Object(values) => Parameters::Named(values),
            other => panic!("{other}"),
        });
        assert_eq!(code(&stand.ask(asked).await), "invalid_arguments");
    }
}

/// Without the right to have a token made nothing is compared with the value itself.
#[tokio::test]
async fn without_the_function_nothing_is_looked_up() {
    let stand = shop("").await;
    stand.sql("REVOKE EXECUTE ON FUNCTION shop_tollgate.tollgate_token FROM reader");
    let answer = stand
        .ask(by_email("SELECT id FROM customers WHERE email = :lookup"))
        .await;
    assert_eq!(code(&answer), "target_failed", "{answer}");
    assert_eq!(
        stand.rows("SELECT count(email) FROM customers").await,
        json!([[3]])
    );
}
