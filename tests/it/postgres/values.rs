//! What comes out is what is in; what goes in is what was sent.

use serde_json::{Value, json};

use super::{Stand, code, with};

/// Each an expression and what it is in an answer.
fn table() -> Vec<(&'static str, Value)> {
    vec![
        ("NULL::int", json!(null)),
        ("true", json!(true)),
        ("false", json!(false)),
        ("(-32768)::int2", json!(-32768)),
        ("2147483647::int4", json!(2_147_483_647_i64)),
        ("9007199254740992::int8", json!(9_007_199_254_740_992_i64)),
        ("9007199254740993::int8", json!("9007199254740993")),
        ("(-9223372036854775808)::int8", json!("-9223372036854775808")),
        ("4294967295::oid", json!(4_294_967_295_i64)),
        ("12.500::numeric", json!("12.500")),
        (
            "123456789012345678901234567890.123456789::numeric",
            json!("123456789012345678901234567890.123456789"),
        ),
        ("'NaN'::numeric", json!("NaN")),
        ("'-Infinity'::numeric", json!("-Infinity")),
        ("0.1::float4", json!(0.1)),
        ("0.1::float8 + 0.2::float8", json!(0.30000000000000004)),
        ("1e300::float8", json!(1e300)),
        ("'Infinity'::float8", json!("Infinity")),
        ("'NaN'::float4", json!("NaN")),
        ("'ø \"quoted\" \\ back'::text", json!("ø \"quoted\" \\ back")),
        ("'ab'::char(4)", json!("ab  ")),
        ("'abc'::varchar(2)", json!("ab")),
        ("'a_name'::name", json!("a_name")),
        ("''::text", json!("")),
        ("'\\x00ff10'::bytea", json!({"base64": "AP8Q", "bytes": 3})),
        ("''::bytea", json!({"base64": "", "bytes": 0})),
        ("'2026-11-22'::date", json!("2026-11-22")),
        ("'infinity'::date", json!("infinity")),
        ("'0044-03-15 BC'::date", json!("0044-03-15 BC")),
        ("'23:59:59.123456'::time", json!("23:59:59.123456")),
        ("'12:00:00+05:30'::timetz", json!("12:00:00+05:30")),
        (
            "'2026-11-22 10:00:00.5'::timestamp",
            json!("2026-11-22 10:00:00.5"),
        ),
        (
            "'2026-11-22 10:00:00+02'::timestamptz",
            json!("2026-11-22 08:00:00+00"),
        ),
        ("'-infinity'::timestamptz", json!("-infinity")),
        (
            "'1 year 2 months -3 days 04:05:06.7'::interval",
            json!("1 year 2 mons -3 days +04:05:06.7"),
        ),
        (
            "'123e4567-e89b-12d3-a456-426614174000'::uuid",
            json!("123e4567-e89b-12d3-a456-426614174000"),
        ),
        (
            "'{\"b\":1,  \"a\":[1.50]}'::json",
            json!("{\"b\":1,  \"a\":[1.50]}"),
        ),
        (
            "'{\"b\":1,  \"a\":[1.50]}'::jsonb",
            json!("{\"a\": [1.50], \"b\": 1}"),
        ),
        ("ARRAY[1,NULL,3]", json!([1, null, 3])),
        ("ARRAY[[1,2],[3,4]]", json!([[1, 2], [3, 4]])),
        (
            "ARRAY['a,b','NULL',NULL,'q\"']",
            json!(["a,b", "NULL", null, "q\""]),
        ),
        ("ARRAY[9007199254740993]::int8[]", json!(["9007199254740993"])),
        ("'{}'::int[]", json!([])),
        ("'[0:1]={1,2}'::int[]", json!("[0:1]={1,2}")),
        ("ARRAY['\\x01'::bytea]", json!([{"base64": "AQ==", "bytes": 1}])),
        ("int4range(1, 5)", json!("[1,5)")),
        ("'empty'::tsrange", json!("empty")),
        (
            "int4multirange(int4range(1, 3), int4range(7, 9))",
            json!("{[1,3),[7,9)}"),
        ),
        ("B'10110'", json!("10110")),
        ("B'101'::varbit(5)", json!("101")),
        ("'10.1.0.0/16'::cidr", json!("10.1.0.0/16")),
        ("'08:00:2b:01:02:03'::macaddr", json!("08:00:2b:01:02:03")),
        ("'fat & rat'::tsquery", json!("'fat' & 'rat'")),
        ("'a fat cat'::tsvector", json!("'a' 'cat' 'fat'")),
        ("'<a>b</a>'::xml", json!("<a>b</a>")),
        ("'(1,2)'::point", json!("(1,2)")),
        ("'((0,0),(1,1))'::box", json!("(1,1),(0,0)")),
        ("'16/B374D848'::pg_lsn", json!("16/B374D848")),
        ("'12.34'::money", json!("$12.34")),
        ("'sad'::mood", json!("sad")),
        ("ARRAY['sad','ok']::mood[]", json!(["sad", "ok"])),
        ("7::positive", json!(7)),
        ("ROW(1, 'a', NULL)", json!("(1,a,)")),
    ]
}

#[tokio::test]
async fn every_type_comes_out_whole_and_goes_in_as_it_is() {
    let stand =
        Stand::new("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
            .await;
    let table = table();
    for (expression, value) in &table {
        let answer = stand.query(&format!("SELECT {expression} AS x")).await;
        assert_eq!(answer["data"]["rows"], json!([[value]]), "{expression}: {answer}");
        assert_eq!(answer["data"]["columns"], json!(["x"]));
    }
    // All at once, names that occur twice and an empty answer.
    let answer = stand
        .query("SELECT 1 AS a, 'x' AS a, id FROM orders WHERE false")
        .await;
    assert_eq!(answer["data"]["columns"], json!(["a", "a", "id"]), "{answer}");
    assert_eq!(
        answer["data"]["types"],
        json!(["int4", "text", "int4"]),
        "{answer}"
    );
    let of = "SELECT now(), 1.5, ARRAY['sad']::mood[], 7::positive, email FROM customers LIMIT 1";
    let typed = stand.query(of).await;
    let types = json!(["timestamptz", "numeric", "mood[]", "int4", "text"]);
    assert_eq!(typed["data"]["types"], types, "{typed}");
    assert_eq!(answer["data"]["row_count"], json!(0));

    for (statement, parameters, row) in [
        ("SELECT $1::int + 1, $2::text", json!([41, "x"]), json!([42, "x"])),
        (
            "SELECT id FROM orders WHERE cents > $1 AND id < $2",
            json!([600, "12"]),
            json!([11]),
        ),
        (
            "SELECT $1::numeric",
            json!(["12345678901234567890.5"]),
            json!(["12345678901234567890.5"]),
        ),
        (
            "SELECT $1::int8",
            json!(["9223372036854775807"]),
            json!(["9223372036854775807"]),
        ),
        (
            "SELECT $1::date - 1",
            json!(["2026-03-01"]),
            json!(["2026-02-28"]),
        ),
        ("SELECT $1::jsonb -> 'a'", json!(["{\"a\": 1}"]), json!(["1"])),
        (
            "SELECT id FROM orders WHERE id = ANY($1) ORDER BY id LIMIT 1",
            json!(["{12,11}"]),
            json!([11]),
        ),
        (
            "SELECT $1::bytea",
            json!(["\\x0102"]),
            json!([{"base64": "AQI=", "bytes": 2}]),
        ),
        (
            "SELECT $1::mood, $2::positive",
            json!(["ok", 5]),
            json!(["ok", 5]),
        ),
        (
            "SELECT $1::bool, $2::float8, $3::int",
            json!([true, 1.5, null]),
            json!([true, 1.5, null]),
        ),
        (
            "SELECT $1",
            json!(["'; DROP TABLE orders; --"]),
            json!(["'; DROP TABLE orders; --"]),
        ),
        ("SELECT $1::interval", json!(["1 day"]), json!(["1 day"])),
        ("SELECT $2::text, $1::text", json!(["a", "b"]), json!(["b", "a"])),
    ] {
        let answer = stand.ask(with(statement, parameters)).await;
        assert_eq!(answer["data"]["rows"], json!([row]), "{statement}: {answer}");
    }
    for (statement, parameters) in [
        ("SELECT $1::int", json!(["4111-secret"])),
        ("SELECT $1::int", json!([5_000_000_000_i64])),
        ("SELECT $1::date", json!(["secret-day"])),
        ("SELECT $1::mood", json!(["secret-mood"])),
        ("SELECT $1::int", json!([])),
        ("SELECT $1::int", json!([1, 2])),
        ("SELECT $1::int", json!([[1]])),
        ("SELECT $1::text", json!(["a\u{0}secret"])),
        ("SELECT $1::regclass", json!(["orders"])),
    ] {
        let answer = stand.ask(with(statement, parameters)).await;
        let refused = ["invalid_arguments", "statement_refused"].contains(&code(&answer).as_str());
        assert!(refused, "{statement}: {answer}");
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
}
