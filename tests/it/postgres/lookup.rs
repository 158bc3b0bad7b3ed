//! Values that are looked up: compared as their tokens, and nothing else.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;
use tollgate::call::request::{Lookup, Parameters, SqlQuery};
use tollgate::resource::sql::TokenScope;

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

fn by_email(statement: &str) -> SqlQuery {
    looking(statement, "customers.email", "two@shop.example")
}

async fn ids(stand: &Stand, asked: SqlQuery) -> Value {
    let answer = stand.ask(asked).await;
    assert_eq!(answer["status"], "ok", "{answer}");
    assert!(!answer.to_string().contains("two@shop.example"), "{answer}");
    answer["data"]["rows"].clone()
}

#[tokio::test]
async fn a_known_value_finds_its_rows_in_either_scope() {
    for scope in [TokenScope::Deployment, TokenScope::Session] {
        let stand = shop("", scope).await;
        let found = ids(&stand, by_email("SELECT id FROM customers WHERE email = :lookup")).await;
        assert_eq!(found, json!([[2]]));
        let joined =
            "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id AND c.email = :lookup";
        assert_eq!(ids(&stand, by_email(joined)).await, json!([[12]]));
        for value in ["four@shop.example", "TWO@shop.example", "", "two@shop.example "] {
            let none = looking(
                "SELECT id FROM customers WHERE email = :lookup",
                "customers.email",
                value,
            );
            assert_eq!(ids(&stand, none).await, json!([]), "{value}");
        }
        let mut named =
            by_email("SELECT id FROM customers WHERE id > :least AND (email = :lookup OR id = :most)");
        let values = json!({ "least": 1, "most": 3 });
        named.parameters = Some(Parameters::Named(values.as_object().unwrap().clone()));
        assert_eq!(ids(&stand, named).await, json!([[2], [3]]));
        // Who may see the column compares what it holds.
        let raw = Request::SqlQuery(by_email("SELECT id FROM customers WHERE email = :lookup"));
        let answer = stand.call(&["dba"], raw, &CancellationToken::new()).await;
        assert_eq!(answer["data"]["rows"], json!([[2]]), "{answer}");
    }
}

#[tokio::test]
async fn its_token_is_never_shown_or_ordered() {
    let stand = shop("", TokenScope::Deployment).await;
    for statement in [
        "SELECT :lookup AS token FROM customers",
        "SELECT :lookup::text FROM customers",
        "SELECT id FROM customers WHERE email = :lookup AND :lookup < 'tok_8'",
        "SELECT id FROM customers WHERE email < :lookup",
        "SELECT id FROM customers WHERE email <> :lookup",
        "SELECT id FROM customers WHERE email LIKE :lookup",
        "SELECT id FROM customers WHERE email IN (:lookup)",
        "SELECT id FROM customers WHERE email = ANY (ARRAY[:lookup])",
        "SELECT id FROM customers WHERE email = :lookup || ''",
        "SELECT id FROM customers WHERE name = :lookup",
        "SELECT id FROM customers WHERE substr(email, 1, 5) = substr(:lookup, 1, 5)",
        "SELECT max(email) FROM customers GROUP BY :lookup",
        "SELECT COALESCE(NULLIF(email = :lookup, true)::text, :lookup) FROM customers",
        "SELECT id FROM customers WHERE email = $1 AND 'tok_8' > $1",
        "SELECT id FROM customers",
    ] {
        let answer = stand.ask(by_email(statement)).await;
        assert_eq!(code(&answer), "statement_refused", "{statement}: {answer}");
        assert!(!answer.to_string().contains("two@shop"), "{answer}");
    }
    for (column, refusal) in [
        ("customers.city", "statement_refused"),
        ("email", "statement_refused"),
        ("orders.id", "statement_refused"),
        ("", "statement_refused"),
    ] {
        let asked = looking(
            "SELECT id FROM customers WHERE email = :lookup",
            column,
            "two@shop.example",
        );
        assert_eq!(code(&stand.ask(asked).await), refusal, "{column}");
    }
    for parameters in [json!(["x"]), json!({ "lookup": "x" })] {
        let mut asked = by_email("SELECT id FROM customers WHERE email = :lookup");
        asked.parameters = Some(match parameters {
            Value::Array(values) => Parameters::Positional(values),
            Value::Object(values) => Parameters::Named(values),
            other => panic!("{other}"),
        });
        assert_eq!(code(&stand.ask(asked).await), "invalid_arguments");
    }
    // The value is no part of any statement's text; whether the server logs parameters is its own setting.
    let value = "asked.for@shop.example";
    let asked = looking(
        "SELECT id FROM customers WHERE email = :lookup",
        "customers.email",
        value,
    );
    assert_eq!(ids(&stand, asked).await, json!([]));
    let log = stand.server.log();
    let texts = log
        .lines()
        .filter(|line| !line.to_lowercase().contains("parameters:"));
    assert!(texts.clone().count() > 0 && !texts.clone().any(|line| line.contains(value)));
    let debug = format!("{:?}", by_email("SELECT id FROM customers WHERE email = :lookup"));
    assert!(!debug.contains("two@shop"), "{debug}");
}
