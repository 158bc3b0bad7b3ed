//! Columns that are shown as tokens, which the server makes.

use std::sync::Arc;

use serde_json::{Value, json};
use tollgate::clock::System;
use tollgate::resource::sql::postgres::{Database, Spec};
use tollgate::resource::sql::{MaskStyle, TokenScope};

use super::twins::{self, cases, twin_with};
use super::{PASSWORD, Stand, code, spec, with};

fn tokens(scope: TokenScope) -> impl Fn(&mut Spec) {
    move |spec| {
        spec.classes.insert("email".to_owned(), MaskStyle::Token(scope));
        spec.columns
            .insert("customers.email".to_owned(), "email".to_owned());
    }
}

/// What `tollgate db grants` prints.
async fn grants(stand: &Stand, change: impl Fn(&mut Spec)) -> String {
    let mut spec = spec(&stand.server);
    change(&mut spec);
    let database = Database::new(spec, Arc::new(System::new())).unwrap();
    database.report().await.unwrap().grants()
}

/// The shop with tokens in place of e-mail addresses.
pub(super) async fn shop(script: &str, scope: TokenScope) -> Stand {
    let stand = Stand::with(script, tokens(scope)).await;
    let script = grants(&stand, tokens(scope)).await;
    stand.sql(&script);
    stand
}

fn texts(rows: &Value) -> Vec<String> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

const MORE: &str = "CREATE TABLE leads (id int PRIMARY KEY, email text); GRANT SELECT ON leads TO reader;
    INSERT INTO leads VALUES (1, 'two@shop.example'), (2, 'TWO@shop.example'), (3, NULL), (4, 'two@shop.example'), (5, repeat('x', 1048577))";

async fn leads(scope: TokenScope) -> Stand {
    let change = |spec: &mut Spec| {
        tokens(scope)(spec);
        spec.columns.insert("leads.id".to_owned(), "public".to_owned());
        spec.columns.insert("leads.email".to_owned(), "email".to_owned());
    };
    let stand = Stand::with(MORE, change).await;
    let script = grants(&stand, change).await;
    stand.sql(&script);
    stand
}

#[tokio::test]
async fn equal_values_join_and_group_and_a_shown_token_finds_its_rows() {
    let stand = leads(TokenScope::Deployment).await;
    let shown = texts(&stand.rows("SELECT email FROM customers ORDER BY id").await);
    let form = regex::Regex::new("^tok_[0-9a-f]{32}$").unwrap();
    assert!(shown.iter().all(|token| form.is_match(token)), "{shown:?}");
    assert!(shown[0] != shown[1] && shown[1] != shown[2]);
    for (statement, rows) in [
        (
            "SELECT c.id, l.id FROM customers c JOIN leads l ON l.email = c.email ORDER BY 2",
            json!([[2, 1], [2, 4]]),
        ),
        (
            "SELECT count(*)::int, count(email)::int, count(DISTINCT email)::int FROM leads",
            json!([[5, 4, 3]]),
        ),
        (
            "SELECT count(*)::int AS n FROM leads WHERE email IS NOT NULL GROUP BY email ORDER BY n",
            json!([[1], [1], [2]]),
        ),
        ("SELECT id FROM leads WHERE email IS NULL", json!([[3]])),
        ("SELECT email FROM leads WHERE id = 5", json!([["***"]])),
        ("SELECT id FROM leads WHERE email = 'two@shop.example'", json!([])),
        (
            "SELECT l.id FROM leads l WHERE EXISTS (SELECT FROM customers c WHERE c.email = l.email AND c.id = 2) ORDER BY 1",
            json!([[1], [4]]),
        ),
    ] {
        assert_eq!(stand.rows(statement).await, rows, "{statement}");
    }
    let found = stand
        .ask(with(
            "SELECT id FROM customers WHERE email = $1",
            json!([shown[1]]),
        ))
        .await;
    assert_eq!(found["data"]["rows"], json!([[2]]), "{found}");
    assert!(found["masked"].to_string().contains("customers.email"), "{found}");
    let schema = stand.schema(Some("customers")).await;
    assert!(schema.to_string().contains("\"masked\":\"token\""), "{schema}");
    // The construction is HMAC-SHA256: the same by another's hand.
    let by_hand = stand.sql(
        "SELECT 'tok_' || substr(encode(sha256(outer_pad || sha256(inner_pad || '\\x00'::bytea || 'email'::bytea || '\\x00'::bytea
            || 'one@shop.example'::bytea)), 'hex'), 1, 32) FROM tollgate.token_key",
    );
    assert_eq!(shown[0], by_hand);
}

#[tokio::test]
async fn an_index_of_tokens_is_used_and_a_key_that_is_there_stays() {
    let stand = shop(
        "INSERT INTO customers SELECT n, 'c', 'mail' || n || '@shop.example', 'Oslo', NULL FROM generate_series(10, 5000) n",
        TokenScope::Deployment,
    )
    .await;
    let script = grants(&stand, tokens(TokenScope::Deployment)).await;
    let remark = script
        .lines()
        .find(|line| line.starts_with("-- CREATE INDEX"))
        .unwrap();
    let index = remark.trim_start_matches("-- ").split(';').next().unwrap();
    stand.sql(index);
    stand.sql("ANALYZE customers");
    let token = stand.rows("SELECT email FROM customers WHERE id = 4000").await[0][0]
        .as_str()
        .unwrap()
        .to_owned();
    let statement = format!("SELECT id FROM customers WHERE email = '{token}'");
    assert_eq!(stand.rows(&statement).await, json!([[4000]]));
    let log = stand.server.log();
    let sent = log
        .lines()
        .rev()
        .find(|line| line.contains("DECLARE tollgate"))
        .unwrap();
    let sent = sent.split_once(" FOR ").unwrap().1;
    let plan = stand.sql(&format!("EXPLAIN {sent}"));
    assert!(plan.contains("Index Scan") && plan.contains("_token_"), "{plan}");
    // Run once more, and by another version's hand: the tokens are the same.
    stand.sql(&script);
    assert_eq!(stand.rows(&statement).await, json!([[4000]]));
    assert_eq!(stand.sql("SELECT count(*) FROM tollgate.token_key"), "1");
}

#[tokio::test]
async fn what_two_sessions_saw_cannot_be_put_together() {
    let mut stand = leads(TokenScope::Session).await;
    let all = "SELECT email FROM customers ORDER BY id";
    let one = texts(&stand.rows(all).await);
    assert_eq!(one, texts(&stand.rows(all).await));
    let joined = "SELECT c.id, l.id FROM customers c JOIN leads l ON l.email = c.email ORDER BY 2";
    assert_eq!(stand.rows(joined).await, json!([[2, 1], [2, 4]]));
    stand.session = "another".to_owned();
    let other = texts(&stand.rows(all).await);
    assert!(
        one.iter().all(|token| !other.contains(token)),
        "{one:?} {other:?}"
    );
    assert_eq!(stand.rows(joined).await, json!([[2, 1], [2, 4]]));
    // Without a session there is none.
    let said = stand.server.sql_as(
        ("reader", PASSWORD),
        "shop",
        "SELECT tollgate.session_token('email', 'x')",
    );
    assert!(said.unwrap_err().contains("not within a session"));
}

#[tokio::test]
async fn the_key_is_nowhere_and_nobody_calls_the_function() {
    let stand = leads(TokenScope::Deployment).await;
    let pads = stand
        .sql("SELECT encode(inner_pad, 'hex') || '|' || encode(outer_pad, 'hex') FROM tollgate.token_key");
    let (inner, outer) = pads.split_once('|').unwrap();
    let key: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(inner.get(2 * at..2 * at + 2).unwrap(), 16).unwrap() ^ 0x36)
        .collect();
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!key.starts_with("000000") && key != "0".repeat(64));
    let mut heard = stand.query("SELECT email FROM customers").await.to_string();
    heard += &stand.sql("EXPLAIN (VERBOSE, ANALYZE) SELECT tollgate.token('email', email) FROM customers");
    heard += &stand.sql("SELECT string_agg(query, ';') FROM pg_stat_activity");
    for statement in [
        "SELECT tollgate.token('email', 'one@shop.example')",
        "SELECT \"tollgate\".\"token\"('email'::text, 'one@shop.example'::text)",
        "SELECT token('email', 'one@shop.example')",
        "SELECT shop.tollgate.token('email', 'one@shop.example')",
        "SELECT TollGate . Token ( 'email' , 'one@shop.example' )",
        "SELECT U&\"t\\006fllgate\".token('email', 'one@shop.example')",
        "SELECT * FROM tollgate.token('email', 'one@shop.example')",
        "SELECT * FROM ROWS FROM (tollgate.token('email', 'one@shop.example'))",
        "SELECT c.id FROM customers c, LATERAL tollgate.token('email', c.city)",
        "SELECT tollgate.token(class => 'email', value => 'one@shop.example')",
        "SELECT tollgate.token(VARIADIC ARRAY['email', 'one@shop.example'])",
        "SELECT ('email', 'one@shop.example').token",
        "SELECT 'email'.token",
        "SELECT count(*) FILTER (WHERE tollgate.token('email', city) = email) FROM customers",
        "SELECT tollgate.session_token('email', 'one@shop.example')",
        "SELECT * FROM tollgate.token_key",
        "TABLE tollgate.token_key",
        "SELECT inner_pad FROM token_key",
        "SELECT current_setting('tollgate.session')",
        "SELECT set_config('tollgate.session', repeat('0', 64), false)",
        "SHOW tollgate.session",
        "SET tollgate.session = 'x'",
        "SELECT prosrc FROM pg_proc WHERE proname = 'token'",
        "SELECT pg_get_functiondef('tollgate.token(text,text)'::regprocedure)",
        "SELECT query_to_xml('SELECT tollgate.token(''email'', ''a'')', true, true, '')",
        "SELECT * FROM customers WHERE email = tollgate.token('email', 'one@shop.example')",
        "WITH tollgate AS (SELECT 1) SELECT tollgate.token('email', 'a') FROM tollgate",
        "SELECT 'tollgate.token'::regproc('email', 'a')",
        "EXPLAIN SELECT email FROM customers",
    ] {
        let answer = stand.query(statement).await;
        assert_eq!(answer["status"], "refused", "{statement}: {answer}");
        assert_ne!(code(&answer), "internal", "{statement}: {answer}");
        heard += &answer.to_string();
    }
    // The role itself, past us, may have tokens made and cannot have the key.
    let direct = |script: &str| stand.server.sql_as(("reader", PASSWORD), "shop", script);
    for script in [
        "SELECT * FROM tollgate.token_key",
        "COPY tollgate.token_key TO STDOUT",
        "UPDATE tollgate.token_key SET inner_pad = outer_pad",
        "CREATE FUNCTION tollgate.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
        "ALTER FUNCTION tollgate.token(text, text) SECURITY INVOKER",
    ] {
        let said = direct(script).unwrap_err();
        assert!(
            said.contains("permission denied") || said.contains("must be owner"),
            "{script}: {said}"
        );
        heard += &said;
    }
    heard += &stand.server.log();
    for secret in [inner, outer, &key] {
        assert!(!heard.contains(secret) && !heard.contains(secret.get(..24).unwrap()));
    }
}

#[tokio::test]
async fn without_the_right_function_the_resource_is_closed_and_says_what_to_do() {
    let stand = Stand::with("", tokens(TokenScope::Deployment)).await;
    let closed = async |why: &str| {
        let answer = stand.query("SELECT id FROM customers").await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(
            code(&answer) == "target_failed"
                && detail.contains(why)
                && detail.contains("tollgate db grants shop"),
            "{why}: {answer}"
        );
        assert!(
            !answer["refusal"].to_string().contains("token"),
            "for the operator alone: {answer}"
        );
    };
    closed("the function is missing").await;
    let script = grants(&stand, tokens(TokenScope::Deployment)).await;
    for (fault, why) in [
        ("GRANT SELECT ON tollgate.token_key TO reader", "may read or change the key"),
        ("GRANT UPDATE (inner_pad) ON tollgate.token_key TO reader", "may read or change the key"),
        ("REVOKE UPDATE (inner_pad) ON tollgate.token_key FROM reader; GRANT CREATE ON SCHEMA tollgate TO reader", "may make things"),
        ("GRANT EXECUTE ON FUNCTION tollgate.token(text, text) TO PUBLIC", "everybody may call"),
        ("ALTER FUNCTION tollgate.token(text, text) RESET search_path", "not the one of this version"),
        ("ALTER FUNCTION tollgate.token(text, text) SECURITY INVOKER", "not the one of this version"),
        ("CREATE OR REPLACE FUNCTION tollgate.token(class text, value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT
            SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT md5($2)'", "not the one of this version"),
        ("DELETE FROM tollgate.token_key; SELECT 1", "gives no token"),
        ("DROP TABLE tollgate.token_key", "the table of its key is missing"),
        ("DROP FUNCTION tollgate.token(text, text)", "the function is missing"),
    ] {
        stand.sql(&script);
        assert_eq!(stand.query("SELECT id FROM customers").await["status"], "ok", "before {fault}");
        stand.sql(fault);
        // A key that is gone is no change of the catalogue; a new look finds it.
        stand.sql("CREATE TABLE another (a int); DROP TABLE another");
        if why.contains("gives no token") {
            stand.sql("ALTER TABLE orders RENAME COLUMN cents TO c; ALTER TABLE orders RENAME COLUMN c TO cents");
        }
        closed(why).await;
        stand.sql("REVOKE ALL ON SCHEMA tollgate FROM reader; REVOKE ALL ON ALL TABLES IN SCHEMA tollgate FROM reader");
    }
    // By type there are too few values.
    let few = Stand::with("ALTER TABLE customers ADD COLUMN vip boolean", |spec| {
        tokens(TokenScope::Deployment)(spec);
        spec.columns
            .insert("customers.vip".to_owned(), "email".to_owned());
    })
    .await;
    few.sql(&script);
    let answer = few.query("SELECT id FROM customers").await;
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("customers.vip") && detail.contains("too few values"),
        "{answer}"
    );
}

/// A row of one's own with a guess in it would show the guess's token, and so in which other rows it stands.
#[tokio::test]
async fn a_guess_is_not_turned_into_a_token_by_writing_it() {
    let change = |spec: &mut Spec| {
        tokens(TokenScope::Deployment)(spec);
        for (column, class) in [
            ("made.id", "public"),
            ("made.guess", "public"),
            ("made.email", "email"),
            ("customers.name", "public"),
        ] {
            spec.columns.insert(column.to_owned(), class.to_owned());
        }
    };
    let stand = Stand::changing(
        "CREATE TABLE made (id int PRIMARY KEY, guess text, email text GENERATED ALWAYS AS (lower(guess)) STORED); INSERT INTO made VALUES (1, 'x')",
        change,
    )
    .await;
    let script = grants(&stand, change).await;
    stand.sql(&script);
    stand.sql("GRANT INSERT, UPDATE, DELETE ON customers, made TO reader; GRANT SELECT (ctid, xmin, xmax, tableoid) ON customers, orders, made TO reader");
    let before = stand.sql("SELECT array_agg(c ORDER BY id) FROM customers c");
    for statement in [
        "INSERT INTO customers (id, name, email) VALUES (90, 'n', 'two@shop.example')",
        "INSERT INTO customers VALUES (90, 'n', 'two@shop.example', 'Oslo', NULL)",
        "INSERT INTO customers (id, name, email) VALUES (1, 'n', 'x') ON CONFLICT (id) DO UPDATE SET email = 'two@shop.example'",
        "UPDATE customers SET email = 'two@shop.example' WHERE id = 1",
        "INSERT INTO made (id, guess) VALUES (2, 'two@shop.example')",
        "UPDATE made SET guess = 'two@shop.example' WHERE id = 1",
    ] {
        let answer = stand.change(statement).await;
        assert_eq!(code(&answer), "not_permitted", "{statement}: {answer}");
    }
    assert_eq!(
        stand.sql("SELECT array_agg(c ORDER BY id) FROM customers c"),
        before
    );
    let fine = stand
        .change("UPDATE customers SET city = 'Moss' WHERE id = 1")
        .await;
    assert_eq!(fine["status"], "ok", "{fine}");
}

/// Who may make a part of a table may choose its name, and an operator runs what is printed.
#[tokio::test]
async fn a_name_does_not_become_a_statement_of_the_grants() {
    let stand = shop(
        "CREATE TABLE \"x\nGRANT SELECT ON tollgate.token_key TO reader;\n--\" () INHERITS (customers);
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        TokenScope::Deployment,
    )
    .await;
    let script = grants(&stand, tokens(TokenScope::Deployment)).await;
    assert!(
        script.contains("-- CREATE INDEX ON \"public\".\"customers\""),
        "{script}"
    );
    stand.sql(&script);
    let may = stand.sql("SELECT has_table_privilege('reader', 'tollgate.token_key', 'SELECT')");
    assert_eq!(may, "f", "{script}");
    // Nor is anything run that somebody has laid out there beforehand.
    stand.sql(
        "DROP SCHEMA tollgate CASCADE; CREATE ROLE squatter; CREATE SCHEMA tollgate AUTHORIZATION squatter",
    );
    let script = format!(
        "DO $do$ BEGIN EXECUTE $script${}$script$; EXCEPTION WHEN raise_exception THEN NULL; END $do$",
        script.replace("BEGIN;\n", "").replace("COMMIT;\n", "")
    );
    stand.sql(&script);
    assert_eq!(
        stand.sql("SELECT count(*) FROM pg_class WHERE relname = 'token_key'"),
        "0"
    );
}

/// Statements of the leak set and of analysts give, with tokens, what they give where the tokens are the values.
#[tokio::test]
async fn token_columns_answer_exactly_what_the_token_tells() {
    let scoped = |spec: &mut Spec| {
        spec.classes
            .insert("email".to_owned(), MaskStyle::Token(TokenScope::Deployment));
    };
    let masked = twin_with(true, scoped).await;
    let install = {
        let mut own = twins::spec_of(&masked.server);
        scoped(&mut own);
        let database = Database::new(own, Arc::new(System::new())).unwrap();
        database.report().await.unwrap().grants()
    };
    masked.sql(&install);
    // The grants leave what masks never read unread; here both are to differ in nothing but the tokens.
    masked.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA crm TO reader");
    let pads = masked.sql("SELECT encode(inner_pad, 'hex') || ''', ''hex''), decode(''' || encode(outer_pad, 'hex') FROM tollgate.token_key");
    let columns: Vec<String> = twins::columns()
        .into_iter()
        .filter(|(column, class)| class == "email" && !column.contains("customer_overview"))
        .map(|(column, _)| column)
        .collect();
    assert!(columns.len() > 1, "{columns:?}");
    let shown = twin_with(true, |spec| {
        for class in spec.columns.values_mut().filter(|class| *class == "email") {
            *class = "public".to_owned();
        }
    })
    .await;
    shown.sql(&install);
    shown.sql(&format!(
        "UPDATE tollgate.token_key SET (inner_pad, outer_pad) = ROW(decode('{pads}', 'hex'))"
    ));
    for column in &columns {
        let (table, name) = column.rsplit_once('.').unwrap();
        shown.sql(&format!(
            "SET search_path = public, crm; UPDATE {table} SET {name} = tollgate.token('email', {name})"
        ));
    }
    shown.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA crm TO reader");
    let chance = regex::Regex::new(
        "(?i)random|clock_timestamp|timeofday|now\\(|current_|localtime|'today'|'now'|limit|\\$1",
    )
    .unwrap();
    // Of a token anything may be a part; where a statement takes parts of it, runs of digits say nothing.
    let whole = regex::Regex::new("(?i)[0-9a-f]{20,}").unwrap();
    let parts = regex::Regex::new("(?i)[0-9a-f]{4,}").unwrap();
    let (mut wrong, mut same, mut apart) = (Vec::new(), 0, 0);
    for (_, statement) in cases(twins::LEAKS).into_iter().chain(cases(twins::READS)) {
        let (here, there) = (masked.query(statement).await, shown.query(statement).await);
        let said = here.to_string();
        let digits = if statement.contains("email") {
            &parts
        } else {
            &whole
        };
        let beside = digits.replace_all(&said, "");
        if twins::shows(statement, &beside) || code(&here) == "internal" {
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
    assert!(
        wrong.is_empty(),
        "{} of {same} ({apart}):\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(same > 300, "{same} {apart}");
}
