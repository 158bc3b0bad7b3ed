//! The masks are in the database: whatever the account sends, it sees no more.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;

use super::{PASSWORD, SHOP, Stand, database, query, root, server};
use crate::support::mysql::is_mysql;

/// Every type that a mask may have to stand for, each with a value that must not be seen.
const KINDS: &str = "CREATE TABLE kinds (id int PRIMARY KEY,
    a varchar(50) CHARACTER SET latin1, b text, c char(20) COLLATE utf8mb4_bin, d int, e bigint unsigned, f decimal(20,5), g double,
    h date, i datetime(6), j timestamp NULL, k time, l year, m bit(10), n blob, o varbinary(20), p json, q enum('x','alpha7777'),
    r set('x','alpha7777'), s point, t uuid, u inet6, v float, w binary(8));
  INSERT INTO kinds VALUES (1, 'alpha7777', 'alpha7777', 'alpha7777', 7777, 7777777777, 7777.7, 7777.7, '1977-07-07',
    '1977-07-07 07:07:07', '1977-07-07 07:07:07', '77:07:07', 1977, b'1001', 'alpha7777', 'alpha7777', '{\"a\": \"alpha7777 \"}', 'alpha7777',
    'alpha7777', POINT(7, 7), '77777777-7777-7777-7777-777777777777', '7777::7', 7777.5, 'alpha777')";

#[tokio::test]
async fn every_type_has_a_mask_that_shows_nothing() {
    for class in ["email", "none", "tail", "domain"] {
        let stand = Stand::made(&[KINDS], |spec| {
            spec.columns.clear();
            spec.columns.insert("kinds.id".to_owned(), "public".to_owned());
            for column in 'a'..='w' {
                spec.columns.insert(format!("kinds.{column}"), class.to_owned());
            }
        })
        .await;
        let seen = stand.server.sql(
            "shop_tollgate",
            "SELECT * FROM kinds; SELECT HEX(n), HEX(w), l + 0, d + 0 FROM kinds",
        );
        let values = stand.server.sql(
            "shop_tollgate",
            "SELECT ISNULL(a), ISNULL(d), ISNULL(h), ISNULL(q), ISNULL(s) FROM kinds",
        );
        let partial = seen.replace("***7777", ""); // what `tail` promises of texts and numbers
        assert!(
            !partial.contains("77") && !partial.contains("alpha"),
            "{class}: {seen}"
        );
        let nulls = match class {
            "none" => "1\t1\t1\t1\t1",
            "tail" => "0\t0\t1\t0\t1",
            _ => "0\t1\t1\t0\t1",
        };
        assert_eq!(values, nulls, "{class}");
    }
}

#[tokio::test]
async fn partial_masks_show_exactly_what_they_promise() {
    let stand = Stand::made(
        &["CREATE TABLE t (id int PRIMARY KEY, a varchar(500), b varchar(500), n bigint);
           INSERT INTO t VALUES (1, 'x@y@mail.example', '1234567', 1234567), (2, 'nothing', '12345678', 12345678), (3, NULL, NULL, NULL),
             (4, 'full\u{ff20}width.example', 'äöüßäöüß', -9999999), (5, '', '', 0), (6, CONCAT(REPEAT('a', 320), '@b.example'), REPEAT('9', 400), 9)"],
        |spec| {
            spec.columns.clear();
            for (column, class) in [("id", "public"), ("a", "domain"), ("b", "tail"), ("n", "tail")] {
                spec.columns.insert(format!("t.{column}"), class.to_owned());
            }
        },
    )
    .await;
    let seen = stand
        .server
        .sql("shop_tollgate", "SELECT a, b, n FROM t ORDER BY id");
    assert_eq!(
        seen.lines().collect::<Vec<_>>(),
        [
            "***@mail.example\t***\t***",
            "***\t***5678\t***5678",
            "***\t***\t***",
            "***\t***äöüß\t***9999",
            "***\t***\t***",
            "***\t***9999\t***",
        ]
    );
}

#[tokio::test]
async fn the_account_sees_the_views_and_nothing_behind_them() {
    let stand = Stand::new("").await;
    let as_reader = |script: &str| stand.server.sql_as(("reader", PASSWORD), "shop_tollgate", script);
    assert_eq!(
        as_reader("SELECT * FROM customers WHERE id = 1").unwrap(),
        "1\t***\t***\tOslo\tNULL"
    );
    for statement in [
        "SELECT email FROM shop.customers",
        "SELECT * FROM mysql.user",
        "INSERT INTO orders VALUES (1, 1, 1)",
        "DELETE FROM tollgate_plan",
        "CREATE TABLE x (a int)",
        "EXPLAIN SELECT id FROM customers WHERE email = 'one@shop.example'",
        "ANALYZE SELECT id FROM customers",
        "SELECT LOAD_FILE('/etc/passwd') FROM shop.customers",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
    ] {
        assert!(as_reader(statement).is_err(), "{statement}");
    }
    // The views are merged into what reads them, so that keys are used.
    let plan = stand.server.sql(
        "shop_tollgate",
        "EXPLAIN SELECT c.city FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.id = 12",
    );
    assert_eq!(
        plan.matches("const").count(),
        4,
        "one row of each, by its key: {plan}"
    );
    assert!(!plan.contains("DERIVED"), "{plan}");
    // Nobody signs in as the account that the views belong to.
    let definer = stand.server.sql_as(("tollgate_views", ""), "shop", "SELECT 1");
    assert!(definer.is_err());
}

#[tokio::test]
async fn what_is_not_as_the_configuration_asks_is_closed_with_what_to_do() {
    let stand = Stand::bare(server(&[SHOP], &[]).await, |_| {});
    let said = stand.closed().await;
    assert!(
        said.contains("not in the database shop_tollgate") && said.contains("tollgate db views shop --apply"),
        "{said}"
    );
    stand.make_views().await;
    let ok = async || stand.rows("SELECT id FROM orders WHERE id = 10").await == json!([[10]]);
    assert!(ok().await);
    for (change, word, undo) in [
        (
            "ALTER TABLE customers ADD COLUMN iban text",
            "customers has other columns",
            "ALTER TABLE customers DROP COLUMN iban",
        ),
        (
            "CREATE TABLE more (a int)",
            "more has no masking view",
            "DROP TABLE more",
        ),
        (
            "ALTER TABLE customers MODIFY city varchar(60)",
            "customers has other columns",
            "ALTER TABLE customers MODIFY city varchar(50)",
        ),
        (
            "CREATE OR REPLACE VIEW shop_tollgate.orders AS SELECT * FROM shop.orders",
            "orders is not the one that was made",
            "",
        ),
        (
            "DROP VIEW shop_tollgate.orders",
            "orders is not the one that was made",
            "",
        ),
        ("DROP VIEW shop_tollgate.tollgate_now", "not in the database", ""),
        (
            "DROP TABLE shop_tollgate.tollgate_plan",
            "not in the database",
            "",
        ),
        (
            "UPDATE shop_tollgate.tollgate_plan SET plan = 'x'",
            "cannot be read",
            "",
        ),
        (
            "GRANT SELECT (id) ON shop.orders TO reader",
            "GRANT",
            "REVOKE SELECT (id) ON shop.orders FROM reader",
        ),
        (
            "GRANT SELECT ON shop.* TO reader",
            "SELECT on `shop`.*",
            "REVOKE SELECT ON shop.* FROM reader",
        ),
        (
            "GRANT FILE ON *.* TO reader",
            "FILE on *.*",
            "REVOKE FILE ON *.* FROM reader",
        ),
        (
            "GRANT INSERT ON shop_tollgate.* TO reader",
            "INSERT",
            "REVOKE INSERT ON shop_tollgate.* FROM reader",
        ),
        (
            "CREATE ROLE boss; GRANT SELECT ON shop.* TO boss; GRANT boss TO reader",
            "no plain grant",
            "REVOKE boss FROM reader",
        ),
        (
            "GRANT SELECT ON shop.* TO PUBLIC",
            "shop",
            "REVOKE SELECT ON shop.* FROM PUBLIC",
        ),
    ] {
        if is_mysql() && change.contains("PUBLIC") {
            continue; // it has no such role
        }
        stand.sql(change);
        let said = stand.closed().await;
        let word = word.replace("GRANT", "SELECT (`id`) on `shop`.`orders`");
        assert!(said.contains(&word), "{change}: {said}");
        match undo {
            "" => stand.make_views().await,
            undo => {
                stand.sql(undo);
            }
        }
        assert!(
            ok().await,
            "{change}: {}",
            stand.query("SELECT id FROM orders WHERE id = 10").await
        );
    }
}

#[tokio::test]
async fn another_class_asks_for_other_views_and_what_is_not_wanted_goes() {
    let stand = Stand::new("CREATE TABLE old (a int)").await;
    let other = Stand {
        spec: {
            let mut spec = stand.spec.clone();
            spec.columns
                .insert("customers.email".to_owned(), "domain".to_owned());
            spec
        },
        ..stand
    };
    let stand = Stand::bare(other.server, |spec| *spec = other.spec.clone());
    assert!(stand.closed().await.contains("customers has other classes"));
    stand.sql("DROP TABLE old");
    stand.make_views().await;
    assert_eq!(
        stand.rows("SELECT email FROM customers WHERE id = 1").await,
        json!([["***@shop.example"]])
    );
    let views = "SELECT group_concat(table_name ORDER BY 1) FROM information_schema.views WHERE table_schema = 'shop_tollgate'";
    assert_eq!(
        stand.sql(views),
        "customers,orders,tollgate_kinds,tollgate_made,tollgate_now"
    );
    // Again: the same script, and nothing is closed by it.
    let one = database(&stand.spec).views(&root()).await.unwrap().script();
    stand.make_views().await;
    let other = database(&stand.spec).views(&root()).await.unwrap().script();
    assert_eq!(one, other);
    assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
    // A class that policies reveal stays masked: the mask is in the database.
    let never = CancellationToken::new();
    let request = Request::SqlQuery(query("SELECT email FROM customers WHERE id = 1"));
    let seen = stand.call(&["dba"], request, &never).await;
    assert_eq!(seen["data"]["rows"], json!([["***@shop.example"]]), "{seen}");
}

#[tokio::test]
async fn odd_names_are_names_in_every_statement() {
    let odd = "CREATE TABLE `a``b; DROP TABLE \"x\"` (`i d` int PRIMARY KEY, `it's \\\\ \"q\"` text, `select` text);
        INSERT INTO `a``b; DROP TABLE \"x\"` VALUES (1, 'alpha', 'alpha')";
    let stand = Stand::made(&[SHOP, odd], |_| {}).await;
    let seen = stand.server.sql_as(
        ("reader", PASSWORD),
        "shop_tollgate",
        "SELECT * FROM `a``b; DROP TABLE \"x\"`",
    );
    assert_eq!(seen.unwrap(), "NULL\t***\t***");
    assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
}
