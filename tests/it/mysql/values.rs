//! Every type arrives as what it is.

use serde_json::{Value, json};

use super::{SHOP, Stand, code, with};
use crate::support::mysql::is_mysql;

/// A column's type, a value as SQL, and how it arrives.
fn kinds() -> Vec<(&'static str, &'static str, Value)> {
    let mut all = vec![
        ("tinyint", "-128", json!(-128)),
        ("tinyint(1)", "1", json!(1)),
        ("tinyint(1) unsigned", "200", json!(200)),
        ("smallint unsigned", "65535", json!(65535)),
        ("mediumint", "-8388608", json!(-8_388_608)),
        ("mediumint unsigned", "16777215", json!(16_777_215)),
        ("int", "-2147483648", json!(-2_147_483_648_i64)),
        ("int unsigned zerofill", "7", json!(7)),
        ("bigint", "9007199254740992", json!(9_007_199_254_740_992_i64)),
        ("bigint", "-9007199254740993", json!("-9007199254740993")),
        (
            "bigint unsigned",
            "18446744073709551615",
            json!("18446744073709551615"),
        ),
        (
            "decimal(65,30)",
            "12345678901234567890123456789012345.123456789012345678901234567890",
            json!("12345678901234567890123456789012345.123456789012345678901234567890"),
        ),
        ("decimal(10,2)", "1.50", json!("1.50")),
        ("float", "0.1", json!(0.1)),
        ("double", "1e300", json!(1e300)),
        ("date", "'2026-02-03'", json!("2026-02-03")),
        ("date", "'0000-00-00'", json!("0000-00-00")),
        ("date", "'2026-00-00'", json!("2026-00-00")),
        ("datetime", "'0000-00-00 00:00:00'", json!("0000-00-00 00:00:00")),
        (
            "datetime(6)",
            "'2026-02-03 04:05:06.000700'",
            json!("2026-02-03 04:05:06.000700"),
        ),
        ("datetime", "'9999-12-31 23:59:59'", json!("9999-12-31 23:59:59")),
        (
            "timestamp null",
            "'2026-02-03 04:05:06'",
            json!("2026-02-03 04:05:06"),
        ),
        ("time", "'-838:59:59'", json!("-838:59:59")),
        ("time(3)", "'25:00:00.5'", json!("25:00:00.500000")),
        ("time", "'00:00:00'", json!("00:00:00")),
        ("year", "2026", json!(2026)),
        ("bit(10)", "b'1000000001'", json!(513)),
        (
            "bit(64)",
            "b'1111111111111111111111111111111111111111111111111111111111111111'",
            json!("18446744073709551615"),
        ),
        ("char(5)", "'é'", json!("é")),
        ("varchar(20) character set latin1", "'é'", json!("é")),
        ("varchar(20) collate utf8mb4_bin", "'🐬'", json!("🐬")),
        ("text", "''", json!("")),
        ("longtext", "'a\\nb\\0c'", json!("a\nb\u{0}c")),
        ("varbinary(10)", "x'00ff'", json!({"base64": "AP8=", "bytes": 2})),
        ("blob", "x''", json!({"base64": "", "bytes": 0})),
        ("enum('a','b')", "'b'", json!("b")),
        ("set('a','b')", "'a,b'", json!("a,b")),
        ("json", "'{\"a\": [1, 2]}'", json!("{\"a\": [1, 2]}")),
        (
            "point",
            "POINT(1, 2)",
            json!({"base64": "AAAAAAEBAAAAAAAAAAAA8D8AAAAAAAAAQA==", "bytes": 25}),
        ),
        (
            "uuid",
            "'00000000-0000-4000-8000-000000000001'",
            json!("00000000-0000-4000-8000-000000000001"),
        ),
        ("inet6", "'::1'", json!("::1")),
        ("int", "NULL", json!(null)),
        ("text", "NULL", json!(null)),
        ("date", "NULL", json!(null)),
    ];
    if is_mysql() {
        let bytes = json!({"base64": "AACAPwAAAEA=", "bytes": 8});
        all.push(("vector(2)", "STRING_TO_VECTOR('[1,2]')", bytes));
    }
    all
}

#[tokio::test]
async fn every_type_arrives_without_loss() {
    let kinds = kinds();
    let columns: Vec<String> = kinds
        .iter()
        .enumerate()
        .map(|(at, (kind, ..))| format!("c{at} {kind}"))
        .collect();
    let values: Vec<&str> = kinds.iter().map(|(_, value, _)| *value).collect();
    let script = format!(
        "SET sql_mode = ''; SET time_zone = '+00:00'; CREATE TABLE kinds ({}); INSERT INTO kinds VALUES ({})",
        columns.join(", "),
        values.join(", ")
    );
    let stand = Stand::with(&script, |spec| {
        for at in 0..kinds.len() {
            spec.columns.insert(format!("kinds.c{at}"), "public".to_owned());
        }
    })
    .await;
    let row = stand.rows("SELECT * FROM kinds").await[0].clone();
    for (at, (kind, value, arrives)) in kinds.iter().enumerate() {
        assert_eq!(row[at], *arrives, "{kind} {value}");
    }
    let names = stand
        .query("SELECT id, city AS id, id FROM customers WHERE id = 1")
        .await;
    assert_eq!(names["data"]["columns"], json!(["id", "id", "id"]), "{names}");
    assert_eq!(names["data"]["rows"], json!([[1, "Oslo", 1]]));
    let none = stand
        .query("SELECT id, city AS town FROM customers WHERE id = 99")
        .await;
    assert_eq!(
        none["data"],
        json!({"columns": ["id", "town"], "types": ["int", "varchar"], "rows": [], "row_count": 0})
    );
}

#[tokio::test]
async fn parameters_are_values_and_nothing_else() {
    let stand = Stand::made(&[SHOP], |_| {}).await;
    for (statement, parameters, rows) in [
        (
            "SELECT id FROM customers WHERE city = ?",
            json!(["Oslo"]),
            json!([[1]]),
        ),
        (
            "SELECT id FROM customers WHERE city = ?",
            json!(["' OR 1 = 1 -- "]),
            json!([]),
        ),
        (
            "SELECT id FROM orders WHERE cents > ? AND cents < ?",
            json!([500, 800.5]),
            json!([[11]]),
        ),
        (
            "SELECT id FROM orders WHERE cents <=> ?",
            json!([null]),
            json!([]),
        ),
        (
            "SELECT id FROM orders ORDER BY id LIMIT ?",
            json!([1]),
            json!([[10]]),
        ),
        (
            "SELECT id FROM orders WHERE cents < ? ORDER BY id",
            json!([18_446_744_073_709_551_615_u64]),
            json!([[10], [11], [12]]),
        ),
        (
            "SELECT id FROM orders WHERE (cents = 500) = ?",
            json!([true]),
            json!([[10]]),
        ),
    ] {
        let answer = stand.ask(with(statement, parameters)).await;
        assert_eq!(answer["data"]["rows"], rows, "{statement}: {answer}");
    }
    for parameters in [json!([]), json!([1, 2]), json!([[1]]), json!([{"a": 1}])] {
        let answer = stand
            .ask(with("SELECT id FROM orders WHERE id = ?", parameters))
            .await;
        assert_eq!(code(&answer), "invalid_arguments", "{answer}");
    }
}
