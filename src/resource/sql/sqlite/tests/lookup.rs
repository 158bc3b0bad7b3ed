//! Values that are looked up: compared as their tokens, and nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::query::{self, Order};
use super::super::{Expected, facts, lookup};
use super::fixture::{self, LIMITS, Shop, Twin, request};
use super::tokens::shop;
use crate::call::request::{Lookup, SqlQuery};
use crate::call::{Action, Code, Refusal};
use crate::resource::sql::TokenScope;

fn looking(statement: &str, column: &str, value: &str) -> SqlQuery {
    SqlQuery {
        lookup: Some(Lookup {
            column: column.to_owned(),
            value: value.to_owned(),
        }),
        ..request(statement)
    }
}

/// As the path does, in a session.
fn ask(
    shop: &Shop,
    asked: SqlQuery,
    session: &str,
    reveal: &BTreeSet<String>,
) -> Result<Vec<Vec<Value>>, Refusal> {
    let pool = &shop.pool;
    let (checked, version) = query::inspect(pool, &asked.statement, &fixture::stop())?;
    lookup::fits(&asked, &checked.classified, pool.spec())?;
    let facts = facts(pool, Action::SqlRead, version, Some(&checked));
    let order = Order {
        request: lookup::bound(asked, &facts.classified, reveal, session, pool.spec())?,
        limits: LIMITS,
        reveal: reveal.clone(),
        session: session.to_owned(),
        expected: Expected::of(&facts).unwrap(),
    };
    query::run(pool, &order, &fixture::stop()).map(|answer| answer.rows.rows)
}

/// The address of customer 1, read past every lock.
fn address(shop: &Shop) -> String {
    let conn = rusqlite::Connection::open(&shop.pool.spec().path).unwrap();
    let sql = "SELECT email FROM customers WHERE id = 1";
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_known_value_finds_its_rows_in_either_scope() {
    for (scope, session) in [(TokenScope::Deployment, ""), (TokenScope::Session, "one")] {
        let shop = shop(Twin::First, scope);
        let known = address(&shop);
        let statement = "SELECT id FROM customers WHERE email = :lookup ORDER BY id";
        for (value, rows) in [(known.as_str(), json!([[1]])), ("nobody@shop.example", json!([]))] {
            for reveal in [BTreeSet::new(), BTreeSet::from(["customers.email".to_owned()])] {
                let found = ask(
                    &shop,
                    looking(statement, "customers.email", value),
                    session,
                    &reveal,
                );
                assert_eq!(json!(found.unwrap()), rows);
            }
        }
        let quoted = "SELECT id FROM customers c WHERE (c.\"EMAIL\" = $lookup) AND id < 9";
        let found = ask(
            &shop,
            looking(quoted, "customers.email", &known),
            session,
            &BTreeSet::new(),
        );
        assert_eq!(json!(found.unwrap()), json!([[1]]));
    }
}

#[test]
fn its_token_is_never_shown_or_ordered() {
    let shop = shop(Twin::First, TokenScope::Deployment);
    let known = address(&shop);
    for statement in [
        "SELECT :lookup FROM customers",
        "SELECT @lookup FROM customers WHERE email = :lookup",
        "SELECT id FROM customers WHERE email = :lookup < 'tok_8'",
        "SELECT id FROM customers WHERE email = :lookup || ''",
        "SELECT id FROM customers WHERE email <= :lookup",
        "SELECT id FROM customers WHERE email == :lookup",
        "SELECT id FROM customers WHERE email != :lookup",
        "SELECT id FROM customers WHERE email IN (:lookup)",
        "SELECT id FROM customers WHERE email LIKE :lookup",
        "SELECT id FROM customers WHERE id = :lookup",
        "SELECT id FROM customers WHERE :lookup = email",
        "SELECT id FROM customers WHERE email = :lookup -> 1",
        "SELECT id FROM customers WHERE email = /* email = */ -- \n (:lookup)",
        "SELECT id FROM customers WHERE 'email = :lookup' = email",
        "SELECT id FROM customers",
    ] {
        let asked = looking(statement, "customers.email", &known);
        let refusal = ask(&shop, asked, "", &BTreeSet::new()).expect_err(statement);
        assert_eq!(refusal.code, Code::StatementRefused, "{statement}");
        assert!(!format!("{refusal:?}").contains(&known), "{refusal:?}");
    }
    for column in ["customers.name", "customers.id", "email", ""] {
        let asked = looking("SELECT id FROM customers WHERE email = :lookup", column, &known);
        let refusal = ask(&shop, asked, "", &BTreeSet::new()).expect_err(column);
        assert_eq!(refusal.code, Code::StatementRefused, "{column}");
    }
}
