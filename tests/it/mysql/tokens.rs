//! Columns that are shown as tokens, which the server makes.

use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tollgate::call::Probe;
use tollgate::clock::System;
use tollgate::resource::sql::mysql::{Database, Spec};
use tollgate::resource::sql::{MaskStyle, TokenScope};

use super::lookup::by_email;
use super::twins::{self, twin_with};
use super::{PASSWORD, Stand, code, database, query, root, spec, with};

const SCOPE: TokenScope = TokenScope::Deployment;

fn tokens(spec: &mut Spec) {
    spec.classes.insert("email".to_owned(), MaskStyle::Token(SCOPE));
}

/// The shop with tokens in place of e-mail addresses.
pub(super) async fn shop(script: &str) -> Stand {
    Stand::with(script, tokens).await
}

/// Addresses in columns of other kinds; a class of their own; what has no token.
const MORE: &str = "
CREATE TABLE leads (id int PRIMARY KEY, email varchar(100) CHARACTER SET latin1, mail longtext COLLATE utf8mb4_general_ci,
  other varchar(100), ref bigint(20) unsigned ZEROFILL, guid uuid);
INSERT INTO leads VALUES
  (1, 'two@shop.example', 'two@shop.example', 'two@shop.example', 7777777777, '77777777-7777-7777-7777-777777777777'),
  (2, 'TWO@shop.example', 'Two@shop.example', NULL, 7777777777, NULL),
  (3, NULL, NULL, NULL, NULL, NULL),
  (4, 'two@shop.example', 'two@shop.example ', 'x', 18446744073709551615, NULL),
  (5, 'm\u{fc}ller@shop.example', 'm\u{fc}ller@shop.example', '', 0, NULL),
  (6, '', REPEAT('x', 1048577), NULL, NULL, NULL),
  (7, NULL, REPEAT('x', 1048576), NULL, NULL, NULL)";

async fn leads() -> Stand {
    Stand::with(MORE, |spec| {
        tokens(spec);
        spec.classes.insert("ref".to_owned(), MaskStyle::Token(SCOPE));
        spec.columns.insert("leads.id".to_owned(), "public".to_owned());
        for (column, class) in [
            ("email", "email"),
            ("mail", "email"),
            ("other", "ref"),
            ("ref", "ref"),
            ("guid", "ref"),
        ] {
            spec.columns.insert(format!("leads.{column}"), class.to_owned());
        }
    })
    .await
}

fn texts(rows: &Value) -> Vec<String> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[0].as_str().unwrap_or("NULL").to_owned())
        .collect()
}

/// The token by another's hand, with the key that only an administrator can read.
fn by_hand(stand: &Stand, class: &str, value: &str) -> String {
    let pads = stand.sql("SELECT HEX(inner_pad), HEX(outer_pad) FROM shop_tollgate_key.tollgate_key");
    let pads: Vec<Vec<u8>> = pads
        .split('\t')
        .map(|pad| {
            let digits: Vec<u8> = pad.bytes().collect();
            let two = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
            digits.chunks(2).map(two).collect()
        })
        .collect();
    assert_eq!((pads[0].len(), pads[1].len()), (64, 64));
    assert!(pads[0] != pads[1] && pads[0].iter().any(|byte| *byte != 0));
    let inner = Sha256::new_with_prefix(&pads[0])
        .chain_update([0])
        .chain_update(class)
        .chain_update([0])
        .chain_update(value)
        .finalize();
    let whole = Sha256::new_with_prefix(&pads[1]).chain_update(inner).finalize();
    let digits: String = whole.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("tok_{digits}")
}

#[tokio::test]
async fn equal_values_join_and_group_and_a_shown_token_finds_its_rows() {
    let stand = leads().await;
    let shown = texts(&stand.rows("SELECT email FROM customers ORDER BY id").await);
    assert_eq!(shown[0], by_hand(&stand, "email", "one@shop.example"));
    assert!(shown[0] != shown[1] && shown[1] != shown[2]);
    let leads = texts(&stand.rows("SELECT email FROM leads ORDER BY id").await);
    assert_eq!(
        (&leads[0], &leads[3], leads[2].as_str()),
        (&shown[1], &shown[1], "NULL")
    );
    let written_otherwise = by_hand(&stand, "email", "TWO@shop.example");
    assert_eq!(leads[1], written_otherwise, "case counts, whatever the collation");
    assert_eq!(
        leads[4],
        by_hand(&stand, "email", "m\u{fc}ller@shop.example"),
        "of the text, not of its latin1"
    );
    assert_eq!(leads[5], by_hand(&stand, "email", ""));
    for (statement, rows) in [
        (
            "SELECT c.id, l.id FROM customers c JOIN leads l ON l.email = c.email ORDER BY 2",
            json!([[2, 1], [2, 4]]),
        ),
        (
            "SELECT id FROM leads WHERE email = mail ORDER BY id",
            json!([[1], [5]]),
        ),
        (
            "SELECT count(*), count(email), count(DISTINCT email) FROM leads",
            json!([[7, 5, 4]]),
        ),
        (
            "SELECT count(*) AS n FROM leads WHERE email IS NOT NULL GROUP BY email ORDER BY n",
            json!([[1], [1], [1], [2]]),
        ),
        (
            "SELECT id FROM leads WHERE email IS NULL ORDER BY id",
            json!([[3], [7]]),
        ),
        ("SELECT mail FROM leads WHERE id = 6", json!([["***"]])),
        ("SELECT mail LIKE 'tok\\_%' FROM leads WHERE id = 7", json!([[1]])),
        ("SELECT id FROM leads WHERE email = 'two@shop.example'", json!([])),
        ("SELECT id FROM leads WHERE other = email", json!([])),
        (
            "SELECT a.id FROM leads a JOIN leads b ON a.ref = b.ref AND a.id <> b.id ORDER BY 1",
            json!([[1], [2]]),
        ),
        (
            "SELECT l.id FROM leads l WHERE EXISTS (SELECT 1 FROM customers c WHERE c.email = l.email AND c.id = 2) ORDER BY 1",
            json!([[1], [4]]),
        ),
        (
            "SELECT c.id, l.id FROM customers c LEFT JOIN leads l ON l.email = c.email AND l.id > 1 ORDER BY 1",
            json!([[1, null], [2, 4], [3, null]]),
        ),
        (
            "WITH x AS (SELECT email, count(*) AS n FROM leads GROUP BY email) SELECT max(n) FROM x",
            json!([[2]]),
        ),
    ] {
        assert_eq!(stand.rows(statement).await, rows, "{statement}");
    }
    let numbers = texts(&stand.rows("SELECT ref FROM leads ORDER BY id").await);
    assert_eq!(numbers[0], by_hand(&stand, "ref", "7777777777"));
    assert_eq!(numbers[3], by_hand(&stand, "ref", "18446744073709551615"));
    let guid = texts(&stand.rows("SELECT guid FROM leads ORDER BY id").await);
    assert_eq!(
        guid[0],
        by_hand(&stand, "ref", "77777777-7777-7777-7777-777777777777")
    );
    for token in [
        shown[1].clone(),
        shown[1].replace("tok_", ""),
        by_hand(&stand, "ref", "two@shop.example"),
    ] {
        let found = stand
            .ask(with("SELECT id FROM customers WHERE email = ?", json!([token])))
            .await;
        let rows = if token == shown[1] {
            json!([[2]])
        } else {
            json!([])
        };
        assert_eq!(found["data"]["rows"], rows, "{token:?} {found}");
        assert!(found["masked"].to_string().contains("customers.email"), "{found}");
    }
    let schema = stand.schema(Some("customers")).await;
    assert!(schema.to_string().contains("\"masked\":\"token\""), "{schema}");
}

#[tokio::test]
async fn the_key_is_nowhere_and_nobody_calls_the_function() {
    let stand = leads().await;
    let pads = stand.sql("SELECT HEX(inner_pad), HEX(outer_pad) FROM shop_tollgate_key.tollgate_key");
    let mut heard = stand.query("SELECT email FROM customers").await.to_string();
    for statement in [
        "SELECT tollgate_token('email', 'one@shop.example')",
        "SELECT shop_tollgate.tollgate_token('email', 'one@shop.example')",
        "SELECT `shop_tollgate`.`tollgate_token`('email', city) FROM customers",
        "SELECT shop.tollgate_token('email', city) FROM customers",
        "SELECT id FROM customers WHERE tollgate_token('email', city) = email",
        "SELECT * FROM shop_tollgate_key.tollgate_key",
        "SELECT * FROM tollgate_key",
        "SELECT * FROM tollgate_now",
        "SELECT * FROM tollgate_plan",
    ] {
        let answer = stand.query(statement).await;
        assert_eq!(code(&answer), "statement_refused", "{statement}: {answer}");
        heard += &answer.to_string();
    }
    // By the account itself: what it may call gives tokens, and shows neither the key nor how it is made.
    for statement in [
        "SELECT * FROM shop_tollgate_key.tollgate_key",
        "SELECT inner_pad FROM shop_tollgate_key.tollgate_key",
        "SHOW CREATE FUNCTION shop_tollgate.tollgate_token",
        "SELECT * FROM information_schema.ROUTINES",
        "SELECT * FROM information_schema.COLUMNS WHERE TABLE_NAME LIKE 'tollgate%'",
        "SELECT * FROM shop_tollgate.tollgate_now",
        "SELECT * FROM shop_tollgate.tollgate_plan",
        "SELECT CAST(CONV(SUBSTR(email, 5, 16), 16, 10) AS UNSIGNED) - 99999999999999999999 FROM shop_tollgate.customers WHERE id = 1",
        "SELECT CAST(shop_tollgate.tollgate_token('email', 'x') AS UNSIGNED) - 9 - CAST(18446744073709551615 AS UNSIGNED)",
        "SELECT extractvalue(shop_tollgate.tollgate_token('email', 'x'), concat('//', shop_tollgate.tollgate_token('email', 'y'), '<'))",
        "SET optimizer_trace = 'enabled=on'; SELECT email FROM shop_tollgate.customers; SELECT * FROM information_schema.OPTIMIZER_TRACE",
        "EXPLAIN EXTENDED SELECT email FROM shop_tollgate.customers",
        "ALTER FUNCTION shop_tollgate.tollgate_token COMMENT 'x'",
        "DROP FUNCTION shop_tollgate.tollgate_token",
    ] {
        heard += &match stand
            .server
            .sql_as(("reader", PASSWORD), "shop_tollgate", statement)
        {
            Ok(said) | Err(said) => said,
        };
    }
    heard += &stand.server.log();
    heard += &database(&stand.spec).views(&root()).await.unwrap().script();
    for pad in pads.split('\t') {
        for part in [pad.get(..16), pad.get(48..64), pad.get(112..)] {
            assert!(!heard.to_uppercase().contains(part.unwrap()));
        }
    }
    assert_eq!(
        stand.rows("SELECT count(email) FROM customers").await,
        json!([[3]])
    );
    let mut other = stand.spec.clone();
    other
        .classes
        .insert("email".to_owned(), MaskStyle::Token(TokenScope::Session));
    let refused = Database::new(other, Arc::new(System::new())).unwrap_err();
    assert!(refused.contains("tokens = \"deployment\""), "{refused}");
}

#[tokio::test]
async fn what_makes_tokens_is_as_it_was_made_or_the_resource_is_closed() {
    let stand = shop("").await;
    let all = "SELECT email FROM customers ORDER BY id";
    let before = stand.rows(all).await;
    stand.make_views().await;
    assert_eq!(stand.rows(all).await, before, "a key that is there stays");
    let body = "RETURN CONCAT('tok_', LEFT(SHA2(held, 256), 32))";
    let again = "GRANT EXECUTE ON FUNCTION shop_tollgate.tollgate_token TO tollgate_views@localhost";
    let forged = "DROP FUNCTION shop_tollgate.tollgate_token; CREATE DEFINER = 'tollgate_views'@'localhost' FUNCTION \
        shop_tollgate.tollgate_token(of_class VARBINARY(1000), held LONGBLOB) RETURNS VARCHAR(36) DETERMINISTIC";
    let mark = stand.sql("SELECT token FROM shop_tollgate.tollgate_mark");
    let sly = format!("RETURN IF(held = '', '{mark}', LEFT(held, 36))");
    for (change, word) in [
        (format!("{forged} {body}; {again}"), "not the one of this version"),
        (format!("{forged} {sly}; {again}"), "not the one of this version"),
        (
            format!("{forged} SQL SECURITY INVOKER {body}; {again}"),
            "not the one of this version",
        ),
        (format!("{forged} {body}"), "not in the database"),
        (
            "DROP FUNCTION shop_tollgate.tollgate_token".to_owned(),
            "not in the database",
        ),
    ] {
        stand.sql(&change);
        // Only values that are looked up need it.
        let answer = stand
            .ask(by_email("SELECT id FROM customers WHERE email = :lookup"))
            .await;
        assert_eq!(code(&answer), "target_failed", "{change}: {answer}");
        let said = stand.closed().await;
        assert!(
            said.contains(word) && said.contains("tollgate db views shop"),
            "{change}: {said}"
        );
        stand.make_views().await;
        assert_eq!(stand.rows(all).await, before, "{change}");
    }
    stand.sql("DELETE FROM shop_tollgate_key.tollgate_key");
    let answer = stand.query(all).await;
    assert_eq!(code(&answer), "target_failed", "{answer}");
    let said = stand.closed().await;
    assert!(said.contains("no key in shop_tollgate_key"), "{said}");
    stand.make_views().await;
    let after = stand.rows(all).await;
    assert!(texts(&after).iter().all(|token| !texts(&before).contains(token)));
    // Somebody else's function of that name stays theirs.
    stand.sql("DROP FUNCTION shop_tollgate.tollgate_token; CREATE FUNCTION shop_tollgate.tollgate_token() RETURNS int RETURN 1");
    let refused = database(&stand.spec).make_views(&root()).await.unwrap_err();
    assert!(refused.detail.unwrap().contains("somebody else's function"));
    stand.sql("DROP FUNCTION shop_tollgate.tollgate_token");
    // Where no column has tokens any more, the function goes, and the right to call it.
    stand.make_views().await;
    let bare = Stand::bare(stand.server, |_| {});
    bare.make_views().await;
    assert_eq!(
        bare.rows("SELECT email FROM customers WHERE id = 1").await,
        json!([["***"]])
    );
    let many = "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'shop_tollgate' AND ROUTINE_NAME = 'tollgate_token'";
    assert_eq!(bare.sql(many), "0");
}

#[tokio::test]
async fn what_has_few_values_has_no_tokens() {
    let script = "CREATE TABLE few (id int PRIMARY KEY, a varchar(7), b date, c int, d enum('x'), e decimal(10,2), f blob)";
    let server = super::server(&[super::SHOP, script], &[]).await;
    let mut asked = spec(&server);
    tokens(&mut asked);
    for column in 'a'..='f' {
        let mut one = asked.clone();
        one.columns.insert(format!("few.{column}"), "email".to_owned());
        let refused = database(&one).make_views(&root()).await.unwrap_err();
        let why = refused.detail.unwrap();
        assert!(
            why.contains(&format!("few.{column}")) && why.contains("too few values"),
            "{why}"
        );
    }
    for (views, word) in [("v".repeat(61), "too long"), ("sho".to_owned(), "")] {
        let long = Spec {
            views,
            ..asked.clone()
        };
        let refused = Database::new(long, Arc::new(System::new()))
            .err()
            .unwrap_or_default();
        assert!(
            refused.contains(word) && refused.is_empty() == word.is_empty(),
            "{refused}"
        );
    }
}

/// The views and the key are merged into what reads them: keys of public columns are used as before.
#[tokio::test]
async fn keys_are_used_beside_tokens() {
    let stand = shop("").await;
    let plan = stand.server.sql(
        "shop_tollgate",
        "EXPLAIN SELECT c.email FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.id = 12",
    );
    assert_eq!(
        plan.matches("const").count(),
        6,
        "one row of each, and of the key: {plan}"
    );
    assert!(!plan.contains("DERIVED") && !plan.contains("ALL"), "{plan}");
    let asked = query("SELECT email FROM customers WHERE id = 2");
    assert_eq!(
        stand.ask(asked).await["data"]["rows"][0][0],
        json!(by_hand(&stand, "email", "two@shop.example"))
    );
}

/// Statements of the leak set and of analysts give, with tokens, what they give where the tokens are the values.
#[tokio::test]
async fn token_columns_answer_exactly_what_the_token_tells() {
    let masked = twin_with(true, tokens).await;
    let shown = twin_with(true, |spec| {
        for class in spec.columns.values_mut().filter(|class| *class == "email") {
            *class = "public".to_owned();
        }
    })
    .await;
    let pads = masked.sql("SELECT HEX(inner_pad), HEX(outer_pad) FROM shop_tollgate_key.tollgate_key");
    let (inner, outer) = pads.split_once('\t').unwrap();
    for table in ["customers", "orders"] {
        shown.sql(&format!(
            "UPDATE {table} SET email = CONCAT('tok_', LEFT(SHA2(CONCAT(UNHEX('{outer}'), UNHEX(SHA2(CONCAT(UNHEX('{inner}'), X'00', CAST('email' AS BINARY), \
             X'00', CAST(email AS BINARY)), 256))), 256), 32))"
        ));
    }
    let chance = regex::Regex::new(
        "(?i)rand\\(|now\\(|current_|cur(date|time)|sysdate|localtime|utc_|uuid\\(|unix_timestamp|limit|_value\\(",
    )
    .unwrap();
    // Of a token anything may be a part; where a statement takes parts of it, runs of digits say nothing.
    let whole = regex::Regex::new("(?i)[0-9a-f]{20,}").unwrap();
    let parts = regex::Regex::new("(?i)[0-9a-f]{4,}").unwrap();
    let (mut wrong, mut same, mut apart) = (Vec::new(), 0, 0);
    // An index of the values is none of their tokens: rows that nothing orders come as without it.
    shown.sql("ALTER TABLE customers DROP INDEX email");
    shown.make_views().await;
    // What names no token column is compared beside.
    let all = twins::leaks().into_iter().chain(twins::reads());
    for statement in all.filter(|statement| statement.contains("email") || statement.contains('*')) {
        let (here, there) = tokio::join!(masked.query(statement), shown.query(statement));
        let said = here.to_string();
        let digits = if statement.contains("email") {
            &parts
        } else {
            &whole
        };
        let beside = digits.replace_all(&said, "");
        let told = |mark: &&&str| beside.contains(**mark) && !statement.contains(**mark);
        if twins::MARKS.iter().any(|mark| told(&mark)) || code(&here) == "internal" {
            wrong.push(format!("SHOWN {statement}\n    {said}"));
        }
        if chance.is_match(statement) || here["status"] != there["status"] {
            apart += 1; // what only public columns may do
            continue;
        }
        let rows = |answer: &Value| {
            let mut rows = answer["data"]["rows"].as_array().cloned().unwrap_or_default();
            rows.sort_by_key(ToString::to_string);
            rows
        };
        match rows(&here) == rows(&there) {
            true => same += 1,
            false => wrong.push(format!("DIFFERS {statement}\n    {here}\n    {there}")),
        }
    }
    let many = wrong.len();
    assert!(
        wrong.is_empty(),
        "{many} of {same} ({apart}):\n{}",
        wrong.join("\n")
    );
    assert!(same > 80, "{same} {apart}");
}

/// Whoever chooses a value and sees its token has found it wherever else it is: a write is a look-up that nobody counts.
#[tokio::test]
async fn a_change_that_gives_a_token_column_a_value_waits_for_people() {
    let script = format!(
        "{}; CREATE TABLE made (id int PRIMARY KEY, word varchar(100), mail varchar(100) AS (LOWER(word)) STORED,
           twice varchar(100) AS (CONCAT(mail, '')) STORED);
         CREATE TABLE filled (id int PRIMARY KEY, word varchar(100), mail varchar(100) DEFAULT (LOWER(word)))",
        super::SHOP
    );
    let stand = Stand::changing(&[&script], |spec| {
        tokens(spec);
        for (column, class) in [
            ("made.id", "public"),
            ("made.word", "public"),
            ("made.mail", "public"),
            ("made.twice", "email"),
            ("filled.id", "public"),
            ("filled.word", "public"),
            ("filled.mail", "email"),
        ] {
            spec.columns.insert(column.to_owned(), class.to_owned());
        }
    })
    .await;
    let before = stand.rows("SELECT id, email FROM customers ORDER BY id").await;
    for (statement, waits) in [
        (
            "INSERT INTO customers (id, name, email) VALUES (9, 'x', 'one@shop.example')",
            true,
        ),
        (
            "INSERT INTO customers SET id = 9, name = 'x', email = 'one@shop.example'",
            true,
        ),
        (
            "UPDATE customers SET email = 'one@shop.example' WHERE id = 3",
            true,
        ),
        (
            "UPDATE customers SET city = 'x', Email = 'one@shop.example' WHERE id = 3",
            true,
        ),
        ("UPDATE customers SET email = DEFAULT WHERE id = 3", true),
        ("INSERT INTO made (id, word) VALUES (1, 'one@shop.example')", true),
        ("UPDATE made SET word = 'one@shop.example'", true),
        (
            "INSERT INTO filled (id, word) VALUES (1, 'one@shop.example')",
            true,
        ),
        (
            "UPDATE customers SET city = 'one@shop.example' WHERE id = 3",
            false,
        ),
        ("UPDATE filled SET word = 'one@shop.example'", false),
        ("DELETE FROM customers WHERE id = 3", false),
    ] {
        let facts = stand
            .inspect(statement)
            .await
            .unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        assert_eq!(facts.probe == Probe::Oracle, waits, "{statement}");
        if waits {
            let made = stand.change(statement).await;
            assert_eq!(code(&made), "not_permitted", "{statement}: {made}");
            let measured = stand.measure(statement).await;
            assert!(measured.is_err(), "{statement}: nothing of it is tried");
        } else {
            stand
                .measure(statement)
                .await
                .unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        }
    }
    let after = stand.rows("SELECT id, email FROM customers ORDER BY id").await;
    assert_eq!(after, before);
}
