//! An analyst's hour with Claude Code on PostgreSQL: questions about public columns, joins on masked ones, and
//! between them attempts of the leak families. Two of it, over databases that differ only in classified values.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use tollgate::clock::System;
use tollgate::resource::sql::postgres::{Database, Spec};
use tollgate::resource::sql::{MaskStyle, TokenScope};

use super::agent::{Model, ask_claude, tool_results};
use crate::postgres::twins::{ANALYST, CHANCE, LEAKS, cases, data, is_ordered, shows, spec_of};
use crate::support::postgres::Postgres;
use crate::support::site::{ANALYSTS, Site};

const TOOL: &str = "mcp__tollgate__sql_query";

/// Who signed in, by a name that is classified and shown as a token: equal names are equal tokens, nothing else is told.
const TOKENS: &str = "
CREATE TABLE members (id int4 PRIMARY KEY, login text UNIQUE);
CREATE TABLE visits (id int4 PRIMARY KEY, login text, page text);
INSERT INTO visits SELECT n, CASE WHEN n % 7 > 0 THEN MARK || n % 4 END, 'page ' || n % 3 FROM generate_series(1, 40) n;
INSERT INTO members SELECT n, MARK || n FROM generate_series(1, 4) n;
GRANT SELECT ON members, visits TO reader";

/// Joins and groups by what is masked: what they give is what the tables themselves give.
const JOINS: [&str; 10] = [
    "SELECT m.id, v.id FROM members m JOIN visits v ON v.login = m.login ORDER BY 1, 2",
    "SELECT m.id, count(*) FROM members m JOIN visits v USING (login) GROUP BY m.id ORDER BY 1",
    "SELECT m.id, count(v.id) FROM members m LEFT JOIN visits v ON v.login = m.login GROUP BY m.id ORDER BY 1",
    "SELECT id FROM visits WHERE login IN (SELECT login FROM members WHERE id = 2) ORDER BY id",
    "SELECT m.id FROM members m WHERE NOT EXISTS (SELECT FROM visits v WHERE v.login = m.login) ORDER BY 1",
    "SELECT count(DISTINCT login) FROM visits",
    "SELECT count(*) FROM visits WHERE login IS NULL",
    "SELECT page, count(DISTINCT login) FROM visits GROUP BY page ORDER BY page",
    "WITH seen AS (SELECT login, min(id) AS first FROM visits GROUP BY login) SELECT m.id, s.first FROM members m JOIN seen s USING (login) ORDER BY 1",
    "SELECT a.id, b.id FROM visits a JOIN visits b ON a.login = b.login AND a.id < b.id ORDER BY 1, 2 LIMIT 20",
];

/// What is asked, in turn, and what must come of it.
static HOUR: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
    let steady = |statement: &&str| !CHANCE.iter().any(|word| statement.contains(word));
    let questions = ANALYST
        .lines()
        .filter(|line| !line.starts_with("--") && !line.contains("$1"));
    let questions = questions.filter(steady).step_by(3).map(|line| ("ok", line));
    let attempts = cases(LEAKS)
        .into_iter()
        .filter(|(_, statement)| steady(statement));
    let joins = JOINS.into_iter().map(|statement| ("joined", statement));
    joins.chain(questions).chain(attempts.step_by(6)).collect()
});

/// The next statement of the hour, after as many as have been answered.
fn next(asked: &Value) -> Option<(&'static str, Value)> {
    let (_, statement) = HOUR.get(tool_results(asked).len())?;
    Some((TOOL, json!({ "resource": "warehouse", "statement": statement })))
}

/// One of the twins, with tokens for logins.
async fn warehouse(first: bool) -> (Postgres, Spec) {
    let server = Postgres::start().await;
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", "CREATE ROLE reader LOGIN PASSWORD 'reader-of-the-tests'");
    let mark = if first { "'alpha'" } else { "'bravo'" };
    for script in [
        crate::postgres::twins::SCHEMA,
        &data(first),
        &TOKENS.replace("MARK", mark),
        "GRANT USAGE ON SCHEMA crm TO reader;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA crm TO reader",
    ] {
        server.sql("shop", script);
    }
    let mut spec = spec_of(&server);
    for column in ["members.id", "visits.id", "visits.page"] {
        spec.columns.insert(column.to_owned(), "public".to_owned());
    }
    for column in ["members.login", "visits.login"] {
        spec.columns.insert(column.to_owned(), "login".to_owned());
    }
    let token = MaskStyle::Token(TokenScope::Deployment);
    spec.classes.insert("login".to_owned(), token);
    let database = Database::new(spec.clone(), Arc::new(System::new())).unwrap();
    server.sql("shop", &database.report().await.unwrap().grants());
    (server, spec)
}

/// What a configuration says of the database: it goes on after the classes of the site's own.
fn configuration(site: &Site, spec: &Spec) -> String {
    let password = site.dir.path().join("warehouse-password");
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&password)
        .unwrap();
    file.write_all(b"reader-of-the-tests").unwrap();
    let mut text = String::from("login = \"token\"\n");
    let classes: BTreeSet<&String> = spec.columns.values().collect();
    for class in classes {
        if !["public", "login", "email", "phone", "card"].contains(&class.as_str()) {
            writeln!(
                text,
                "{class} = \"{}\"",
                if class == "domain" { "domain" } else { "constant" }
            )
            .unwrap();
        }
    }
    write!(
        text,
        "\n[[resource]]\nname = \"warehouse\"\nkind = \"postgres\"\nurl = \"{}\"\npassword = \"file:{}\"\nlabels = [\"shop\"]\n\
         schemas = [\"public\", \"crm\"]\nfunctions = [\"public.slug\"]\n[resource.columns]\n",
        spec.url,
        password.display()
    )
    .unwrap();
    for (column, class) in &spec.columns {
        writeln!(text, "'{column}' = \"{class}\"").unwrap();
    }
    text
}

/// The hour on one of the twins: what the model has read of each answer, and what else was left behind.
async fn hour(first: bool) -> (Vec<Value>, Postgres) {
    let (server, spec) = warehouse(first).await;
    let mut site = Site::new().await;
    site.set_policies(ANALYSTS);
    site.configure(&configuration(&site, &spec));
    let serving = site.serve().await;
    let (model, base) = Model::start(next).await;
    ask_claude(&site, &base, TOOL).await;
    serving.stop().await;
    let bodies = model.bodies.lock().unwrap().clone();
    let longest = bodies.iter().map(tool_results).max_by_key(Vec::len);
    (longest.expect("nothing was asked"), server)
}

/// What is told of an answer, whoever's call it was: tokens are of one database, and rows come as they lie where no
/// order is asked for.
fn told(statement: &str, result: &Value) -> Value {
    let text = match &result["content"] {
        Value::String(text) => text.clone(),
        blocks => blocks[0]["text"].as_str().unwrap_or_default().to_owned(),
    };
    let token = regex::Regex::new("tok_[0-9a-f]{32}").unwrap();
    let text = token.replace_all(&text, "token");
    let (text, _) = text.split_once("\n-- call ").unwrap_or((&text, "")); // under a refusal, whose text is what is read
    let mut told: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({ "refused": text }));
    if let Some(fields) = told.as_object_mut() {
        fields.retain(|name, _| name != "call_id");
    }
    if let Some(rows) = told.pointer_mut("/data/rows").and_then(Value::as_array_mut)
        && !is_ordered(statement)
    {
        rows.sort_by_key(ToString::to_string);
    }
    told
}

/// The rows of an answer as `psql` prints them, in their order.
fn lines(told: &Value) -> Vec<String> {
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |row: &Value| {
        row.as_array()
            .unwrap()
            .iter()
            .map(cell)
            .collect::<Vec<_>>()
            .join("|")
    };
    told["data"]["rows"].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_s_hour_through_claude_code_tells_what_is_public_and_nothing_else() {
    let ((here, server), (there, _other)) = tokio::join!(hour(true), hour(false));
    assert_eq!((here.len(), there.len()), (HOUR.len(), HOUR.len()));
    assert!(HOUR.len() >= 90, "{}", HOUR.len());
    let mut wrong = Vec::new();
    for ((expected, statement), (one, other)) in HOUR.iter().zip(here.iter().zip(&there)) {
        let (one, other) = (told(statement, one), told(statement, other));
        let said = format!("{one}{other}");
        if one != other {
            wrong.push(format!("TOLD {statement}\n    {one}\n    {other}"));
        }
        if shows(statement, &said) {
            wrong.push(format!("SHOWN {statement}\n    {said}"));
        }
        let as_it_must = match *expected {
            "refused" => one["refused"].is_string(),
            "masked" => true, // whatever is told is the same of both
            _ => one["status"] == "ok",
        };
        if !as_it_must {
            wrong.push(format!("{expected}: {statement}\n    {one}"));
        }
        if *expected == "joined" {
            let mut raw: Vec<String> = server.sql("shop", statement).lines().map(str::to_owned).collect();
            let mut rows = lines(&one);
            if !is_ordered(statement) {
                raw.sort();
                rows.sort();
            }
            assert_eq!(rows, raw, "{statement}");
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        HOUR.len(),
        wrong.join("\n")
    );
}
