//! Values in and out, reveal, source masks, and what policy is told.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::schema;
use super::fixture::{self, LIMITS, Twin, ask, list, refusal, request, rows, shop};
use crate::call::request::{Parameters, SqlQuery, SqlSchema};
use crate::call::{Code, Refusal};

#[test]
fn every_type_is_rendered_without_loss() {
    let shop = shop(Twin::First);
    let all: Vec<Value> = rows(&shop.pool, "SELECT v FROM mixed ORDER BY id")
        .into_iter()
        .flatten()
        .collect();
    let expected = json!([
        null, 7, "9007199254740993", "-9223372036854775808", 1.5, "Infinity", "-Infinity", "text",
        {"base64": "AP8Q", "bytes": 3}, {"base64": "/0H+", "bytes": 3}, "", {"base64": "", "bytes": 0}
    ]);
    assert_eq!(Value::Array(all), expected);
    let edges = rows(
        &shop.pool,
        "SELECT 9007199254740992, -9007199254740992, 9007199254740993, 0.1, 1e300, 'a' || char(0) || 'b'",
    );
    assert_eq!(
        edges,
        [json!([
            9_007_199_254_740_992_i64,
            -9_007_199_254_740_992_i64,
            "9007199254740993",
            0.1,
            1e300,
            "a\0b"
        ])
        .as_array()
        .unwrap()
        .clone()]
    );
}

fn with(sql: &str, parameters: Option<Parameters>) -> SqlQuery {
    SqlQuery {
        lookup: None,
        parameters,
        ..request(sql)
    }
}

fn named(values: Value) -> Option<Parameters> {
    Some(Parameters::Named(values.as_object().unwrap().clone()))
}

#[test]
fn parameters_are_bound_by_place_and_by_name() {
    let shop = shop(Twin::First);
    let given = |sql: &str, parameters| {
        ask(&shop.pool, with(sql, parameters), &[], LIMITS)
            .unwrap()
            .1
            .rows
            .rows
    };
    assert_eq!(
        given("SELECT ?, ?2, ?", list(json!([1, "x'; DROP TABLE t", null]))),
        [[json!(1), json!("x'; DROP TABLE t"), Value::Null]]
    );
    assert_eq!(
        given(
            "SELECT :a, @b, $c, :a",
            named(json!({"a": true, "b": 1.5, "c": false}))
        ),
        [[json!(1), json!(1.5), json!(0), json!(1)]]
    );
    assert_eq!(
        given("SELECT :a", named(json!({":a": "with its colon"}))),
        [[json!("with its colon")]]
    );
    assert_eq!(
        given("SELECT name FROM customers WHERE id = ?1", list(json!([3]))),
        [[json!("Customer 2")]]
    );
    assert_eq!(
        given("SELECT typeof(?1)", list(json!([9_223_372_036_854_775_807_i64]))),
        [[json!("integer")]]
    );
    assert_eq!(
        given(
            "SELECT count(*) FROM customers WHERE email = ?",
            list(json!(["alpha001@private.example"]))
        ),
        [[json!(0)]]
    );
}

#[test]
fn parameters_that_do_not_fit_are_named() {
    let shop = shop(Twin::First);
    let wrong = |sql: &str, parameters| -> Refusal {
        ask(&shop.pool, with(sql, parameters), &[], LIMITS).unwrap_err()
    };
    for (sql, parameters, names) in [
        ("SELECT ?", None, "?"),
        ("SELECT :who", None, ":who"),
        ("SELECT ?, ?", list(json!([1])), "2"),
        ("SELECT ?", list(json!([1, 2])), "value 2"),
        ("SELECT 1", list(json!([1])), "value 1"),
        ("SELECT :a", named(json!({"b": 1})), ":a"),
        ("SELECT :a", named(json!({"a": 1, "other": 2})), "other"),
        ("SELECT 1", named(json!({"a": 1})), "`a`"),
        ("SELECT :a", list(json!([1])), ":a"),
        ("SELECT ?", named(json!({"a": 1})), "Placeholder 1"),
        ("SELECT :a", named(json!({"a": [1, 2]})), "`a`"),
        ("SELECT ?", list(json!([{"x": 1}])), "parameters[0]"),
        (
            "SELECT ?",
            list(json!([18_446_744_073_709_551_615_u64])),
            "parameters[0]",
        ),
    ] {
        let refusal = wrong(sql, parameters);
        assert_eq!(refusal.code, Code::InvalidArguments, "{sql}");
        let told = format!("{} {}", refusal.message, refusal.suggestion);
        assert!(told.contains(names), "{sql}: {told}");
    }
}

#[test]
fn only_what_is_revealed_is_shown_and_only_the_rest_is_counted_as_masked() {
    let shop = shop(Twin::First);
    let sql = "SELECT email, ssn FROM customers WHERE id < 3 ORDER BY id";
    let (masked_facts, masked) = ask(&shop.pool, request(sql), &[], LIMITS).unwrap();
    assert_eq!(
        masked.rows.rows,
        [[json!("***"), json!("***")], [json!("***"), json!("***")]]
    );
    let notes = |answer: &super::super::query::Answer| -> Vec<(String, String, u64)> {
        answer
            .masks
            .notes()
            .into_iter()
            .map(|note| (note.place, note.rule, note.count))
            .collect()
    };
    let note = |place: &str, rule: &str, count| (place.to_owned(), rule.to_owned(), count);
    assert_eq!(
        notes(&masked),
        [
            note("customers.email", "email", 2),
            note("customers.ssn", "ssn", 2)
        ]
    );
    let (facts, shown) = ask(
        &shop.pool,
        request(sql),
        &["customers.email", "customers.nothing"],
        LIMITS,
    )
    .unwrap();
    assert_eq!(facts, masked_facts);
    assert_eq!(
        shown.rows.rows[0],
        [json!("alpha000@private.example"), json!("***")]
    );
    assert_eq!(notes(&shown), [note("customers.ssn", "ssn", 2)]);
    let through = "SELECT email FROM customer_mail WHERE id = 1";
    let (_, view) = ask(&shop.pool, request(through), &["customers.email"], LIMITS).unwrap();
    assert_eq!(view.rows.rows, [[json!("alpha000@private.example")]]);
    let (_, after) = ask(&shop.pool, request(sql), &[], LIMITS).unwrap();
    assert_eq!(after.rows.rows, masked.rows.rows);
    let found = "SELECT id FROM customers WHERE email = 'alpha003@private.example'";
    let (_, nobody) = ask(&shop.pool, request(found), &[], LIMITS).unwrap();
    assert!(nobody.rows.rows.is_empty());
    assert_eq!(notes(&nobody), [note("customers.email", "email", 1)]);
    let (_, somebody) = ask(&shop.pool, request(found), &["customers.email"], LIMITS).unwrap();
    assert_eq!(somebody.rows.rows, [[json!(4)]]);
}

#[test]
fn each_style_shows_exactly_its_part() {
    let shop = shop(Twin::First);
    let row = rows(
        &shop.pool,
        "SELECT email, ssn, card, work, phone, notes FROM customers WHERE id IN (1, 10) ORDER BY id",
    );
    assert_eq!(
        row[0],
        [
            json!("***"),
            json!("***"),
            json!("***7000"),
            json!("***@dept0.example.org"),
            Value::Null,
            json!("***")
        ]
    );
    assert_eq!(row[1][2], json!("***")); // no card
    let view = rows(&shop.pool, "SELECT who FROM \"listed view\" WHERE id = 1");
    assert_eq!(view, [[json!("***")]]);
}

#[test]
fn partial_masks_are_total_over_every_kind_of_value() {
    use super::super::masks;
    use crate::resource::sql::MaskStyle;
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    for (style, value, shown) in [
        (MaskStyle::Last4, "'4111111111111234'", "***1234"),
        (MaskStyle::Last4, "4111111111111234", "***1234"),
        (MaskStyle::Last4, "'1234567'", "***"),
        (MaskStyle::Last4, "'äöüßäöüß'", "***äöüß"),
        (MaskStyle::Last4, "''", "***"),
        (MaskStyle::Last4, "NULL", "***"),
        (MaskStyle::Last4, "x'0102030405060708090a'", "***"),
        (MaskStyle::Last4, "1234567.25", "***"),
        (MaskStyle::Domain, "'a@b.example'", "***@b.example"),
        (MaskStyle::Domain, "'\"a@x\"@b.example'", "***@b.example"),
        (MaskStyle::Domain, "'@'", "***@"),
        (MaskStyle::Domain, "'no address'", "***"),
        (MaskStyle::Domain, "NULL", "***"),
        (MaskStyle::Domain, "17", "***"),
        (MaskStyle::Domain, "x'4061'", "***"),
        (MaskStyle::Domain, "printf('%0400d@x', 1)", "***"),
        (MaskStyle::Domain, "CAST(x'ff40fe' AS TEXT)", "***@\u{fffd}"),
    ] {
        let sql = format!(
            "SELECT {} FROM (SELECT {value} AS c)",
            masks::expression(style, "c")
        );
        let read = |row: &rusqlite::Row<'_>| match row.get_ref(0)? {
            rusqlite::types::ValueRef::Text(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            other => panic!("{other:?}"),
        };
        assert_eq!(conn.query_row(&sql, [], read).unwrap(), shown, "{value}");
    }
}

#[test]
fn policy_is_told_what_a_statement_touches() {
    let shop = shop(Twin::First);
    let touched = |sql: &str| ask(&shop.pool, request(sql), &[], LIMITS).unwrap().0;
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<String>>()
    };
    let facts = touched("SELECT upper(name) FROM Customers WHERE EMAIL LIKE 'x%'");
    let sql = facts.sql.unwrap();
    assert_eq!((sql.kind.as_str(), sql.has_where), ("select", true));
    assert_eq!(sql.tables, set(&["customers"]));
    assert_eq!(sql.columns, set(&["customers.email", "customers.name"]));
    assert_eq!(sql.functions, set(&["like", "upper"]));
    let classified: Vec<&str> = facts.classified.iter().map(|c| c.column.as_str()).collect();
    let all = [
        "customers.card",
        "customers.email",
        "customers.notes",
        "customers.phone",
        "customers.ssn",
        "customers.work",
    ];
    assert_eq!(BTreeSet::from_iter(classified), BTreeSet::from(all));
    let view = touched("SELECT name FROM customer_mail").sql.unwrap();
    assert_eq!(view.tables, set(&["customer_mail", "customers"]));
    assert!(view.columns.contains("customers.email"));
    assert!(
        touched("SELECT id FROM customer_mail")
            .classified
            .iter()
            .any(|c| c.column == "customers.ssn")
    );
    let counted = touched("SELECT count(*) FROM customers");
    assert_eq!(counted.sql.as_ref().unwrap().tables, set(&["customers"]));
    assert!(!counted.classified.is_empty());
    let by_name = touched("SELECT 1 FROM customers JOIN orders USING (email)")
        .sql
        .unwrap();
    assert!(by_name.columns.contains("customers.email") && by_name.columns.contains("orders.email"));
    for (sql, restricts) in [
        ("SELECT 1 FROM tree", false),
        ("SELECT 'where' FROM tree -- where", false),
        ("SELECT count(*) FILTER (WHERE id > 1) FROM tree", false),
        (
            "SELECT id FROM tree WHERE id = 1 UNION SELECT id FROM orders",
            false,
        ),
        (
            "SELECT id FROM tree WHERE id = 1 UNION SELECT id FROM orders WHERE id = 2",
            true,
        ),
        (
            "WITH x AS (SELECT id FROM tree WHERE id = 1) SELECT * FROM x",
            false,
        ),
    ] {
        assert_eq!(touched(sql).sql.unwrap().has_where, restricts, "{sql}");
    }
}

#[test]
fn the_schema_tells_names_and_types_and_nothing_else() {
    let shop = shop(Twin::First);
    let catalog = shop.pool.current_catalog().unwrap();
    let ask = |table: Option<&str>, reveal: &[&str]| {
        let wanted = SqlSchema {
            resource: "shop".to_owned(),
            table: table.map(str::to_owned),
        };
        let reveal = reveal.iter().map(|c| (*c).to_owned()).collect();
        schema::answer(&catalog, &wanted, &reveal, LIMITS)
    };
    let all = ask(None, &[]).unwrap();
    let names: Vec<&str> = all.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "badges",
            "by_secret",
            "contacts",
            "customer_mail",
            "customers",
            "listed view",
            "mail_domains",
            "mixed",
            "odd name; --",
            "order_items",
            "orders",
            "products",
            "spender_mail",
            "spenders",
            "staff",
            "tree",
            "with_cte",
        ]
    );
    let orders = serde_json::to_value(ask(Some("ORDERS"), &[]).unwrap()).unwrap();
    assert_eq!(
        orders["tables"][0]["columns"],
        json!([
            {"name": "id", "type": "INTEGER", "primary_key": true},
            {"name": "customer_id", "type": "INTEGER", "primary_key": false, "references": "customers.id"},
            {"name": "status", "type": "TEXT", "primary_key": false},
            {"name": "amount", "type": "INTEGER", "primary_key": false},
            {"name": "email", "type": "TEXT", "primary_key": false, "masked": "constant"},
            {"name": "placed", "type": "TEXT", "primary_key": false},
        ])
    );
    let items = serde_json::to_value(ask(Some("order_items"), &[]).unwrap()).unwrap();
    assert_eq!(
        items["tables"][0]["columns"][1]["references"],
        json!("products.sku")
    );
    let shown = serde_json::to_value(ask(Some("customers"), &["customers.email"]).unwrap()).unwrap();
    assert_eq!(shown["tables"][0]["columns"][2].get("masked"), None);
    assert_eq!(shown["tables"][0]["columns"][4]["masked"], json!("last4"));
    for unknown in ["nothing", "search", "search_data", "sqlite_master", "qualified"] {
        assert_eq!(
            ask(Some(unknown), &[]).unwrap_err().code,
            Code::NotFound,
            "{unknown}"
        );
    }
}

#[test]
fn refusals_name_the_way_out() {
    let shop = shop(Twin::First);
    for (sql, code, tells) in [
        ("DELETE FROM customers", Code::WrongTool, "only reads"),
        ("SELEC 1", Code::StatementRefused, "near"),
        (
            "SELECT emial FROM customers",
            Code::StatementRefused,
            "no such column: emial",
        ),
        (
            "SELECT * FROM nowhere",
            Code::StatementRefused,
            "no table or view `nowhere`",
        ),
        ("SELECT randomblob(1)", Code::StatementRefused, "`randomblob`"),
        (
            "SELECT id FROM customers JOIN orders",
            Code::StatementRefused,
            "ambiguous column name: id",
        ),
        ("EXPLAIN SELECT 1", Code::StatementRefused, "plan"),
        ("SELECT 1; SELECT 2", Code::StatementRefused, "more than one"),
        ("PRAGMA user_version", Code::StatementRefused, "PRAGMA"),
        (
            "SELECT count(1, 2)",
            Code::StatementRefused,
            "wrong number of arguments",
        ),
    ] {
        let refusal = refusal(&shop.pool, sql);
        assert_eq!(refusal.code, code, "{sql}");
        assert!(refusal.message.contains(tells), "{sql}: {}", refusal.message);
        assert!(!refusal.suggestion.is_empty() && !refusal.retry);
    }
    let _ = fixture::planted();
}
