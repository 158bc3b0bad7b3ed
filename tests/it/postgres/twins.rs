//! Two databases that differ only in classified values, and every attempt to tell them apart.

use std::collections::BTreeMap;

use serde_json::json;
use tollgate::resource::sql::MaskStyle;
use tollgate::resource::sql::postgres::Spec;

use super::{Stand, query};
use crate::support::postgres::Postgres;

pub(crate) const SCHEMA: &str = include_str!("data/schema.sql");
pub(crate) const LEAKS: &str = include_str!("data/leaks.sql");
pub(super) const READS: &str = include_str!("data/reads.sql");
pub(crate) const ANALYST: &str = include_str!("data/analyst.sql");

/// What classified values of either twin have in them, and nothing else has.
const MARKS: &[&str] = &["alpha", "bravo", "7777", "8888"];

/// Rows that are the same but for what is classified; of partial masks what they show is the same too. Also in which order
/// classified values are is another one in each: neither rows nor groups may come in it.
pub(crate) fn data(first: bool) -> String {
    let (mark, digits, mood, consent, more) = match first {
        true => ("alpha", "7777", "calm", "true", 0),
        false => ("bravo", "8888", "cross", "false", 50_000),
    };
    let mut sql = String::from(
        "INSERT INTO departments VALUES (1, 'one', 1000), (2, 'two', 5000.5);
         INSERT INTO products SELECT n, 'sku' || n, 'product ' || n, 'cat' || n % 2, n * 1.25, '{\"a\": {\"b\": 1}, \"tags\": [\"x\"]}',
            'a fine thing', to_tsvector('simple', 'a fine thing'), '[2026-01-01,2027-01-01)' FROM generate_series(1, 5) n;
         INSERT INTO order_items SELECT n, n, n, n * 2, 0.5 FROM generate_series(1, 5) n;
         INSERT INTO events SELECT n, n, 'view', '2026-02-01T00:00:00Z'::timestamptz + n * interval '1 hour', '{\"x\": 1}', '1 hour', 'happy', '10.0.0.1'
            FROM generate_series(1, 5) n;
         INSERT INTO categories VALUES (1, NULL, 'root', '{root}'), (2, 1, 'leaf', '{root,leaf}');",
    );
    for n in 1..=4 {
        let k = if first { n } else { 5 - n };
        sql += &format!(
            "INSERT INTO employees VALUES ({n}, NULLIF({n} - 1, 0), 1, 'employee {n}', 'clerk', {pay}, '2020-01-0{n}',
                '19{age}-01-0{n}', '{digits}0000-0000-0000-0000-00000000000{k}');
             INSERT INTO customers VALUES ({n}, 'customer {n}', 'NO', 'Oslo', 'new', '2026-01-0{n}', '{{a,b}}', '{mark}{k}@mail.example',
                '{digits}-{k}', '{digits}-1234-000{n}', '{digits}{k}', {income}, '{{\"k\": \"{mark}\"}}', '{mood}', {consent});
             INSERT INTO orders VALUES ({n}, {n}, 'paid', {n}0.5, 'NOK', '2026-02-0{n}', NULL, '{mark}{k}@mail.example');
             INSERT INTO \"Mixed Case\" VALUES ({n}, '{mark}', 'x');
             INSERT INTO crm.contacts VALUES ({n}, {n}, 'mail', '{mark}', '{mark}{k}@mail.example', '2026-01-0{n}');
             INSERT INTO crm.orders VALUES ({n}, '{mark} {k}');",
            pay = 1000 * k + more,
            income = 900 * (5 - k) + more,
            age = if first { 60 + n } else { 99 - n },
        );
    }
    sql
}

/// `table.column` and the class that its comment in the schema gives it.
pub(super) fn columns() -> BTreeMap<String, String> {
    let mut columns = BTreeMap::new();
    for line in SCHEMA
        .lines()
        .filter_map(|line| line.strip_prefix("CREATE TABLE "))
    {
        let (table, body) = line.split_once(" (").unwrap();
        for column in body.trim_end_matches(");").split(", ") {
            let name = column.trim_start_matches('"').split(['"', ' ']).next().unwrap();
            let class = column
                .split_once("/* ")
                .map_or("public", |(_, class)| class.trim_end_matches(" */"));
            columns.insert(format!("{}.{name}", table.replace('"', "")), class.to_owned());
        }
    }
    for (column, class) in [
        ("id", "public"),
        ("name", "public"),
        ("email", "email"),
        ("orders", "public"),
    ] {
        columns.insert(format!("public.customer_overview.{column}"), class.to_owned());
    }
    columns
}

pub(super) async fn twin(first: bool) -> Stand {
    twin_with(first, |_| {}).await
}

/// The same with another configuration.
pub(super) async fn twin_with(first: bool, change: impl FnOnce(&mut Spec)) -> Stand {
    let data = data(first);
    let scripts = [
        SCHEMA,
        &data,
        "GRANT USAGE ON SCHEMA crm TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA crm TO reader",
    ];
    Stand::made(Postgres::start().await, &scripts, |spec| {
        configure(spec);
        change(spec);
    })
    .await
}

/// The resource over a server with the twins' tables.
pub(crate) fn spec_of(server: &Postgres) -> Spec {
    let mut spec = super::spec(server);
    configure(&mut spec);
    spec
}

fn configure(spec: &mut Spec) {
    spec.columns = columns();
    spec.schemas = vec!["public".to_owned(), "crm".to_owned()];
    spec.functions.insert("public.slug".to_owned());
    let style = |class: &str| match class {
        "card" => MaskStyle::Last4,
        "domain" => MaskStyle::Domain,
        "phone" => MaskStyle::Null,
        _ => MaskStyle::Constant,
    };
    let classes = spec.columns.values().filter(|class| *class != "public");
    spec.classes = classes.map(|class| (class.clone(), style(class))).collect();
}

/// Whether an answer has in it what only a classified value has. Digits of a random number may be anything.
pub(crate) fn shows(statement: &str, said: &str) -> bool {
    // The digits of a moment, or of chance, may be those of a mark.
    let chance = CHANCE.iter().any(|word| statement.contains(word));
    let mut marks = MARKS.iter();
    marks.any(|mark| {
        let number = mark.starts_with(|c: char| c.is_ascii_digit());
        said.contains(mark) && !statement.contains(mark) && !(chance && number)
    })
}

/// `expected: statement`, one a line.
pub(crate) fn cases(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with("--"));
    lines.filter_map(|line| line.split_once(": ")).collect()
}

/// Statements whose answers are other ones each time.
pub(super) fn chance() -> regex::Regex {
    let words = "(?i)random|clock_timestamp|timeofday|now\\(|current_|localtime|'today'|'now'";
    regex::Regex::new(words).unwrap()
}

#[tokio::test]
async fn nothing_tells_two_databases_apart_that_differ_in_classified_values() {
    let (one, other) = (twin(true).await, twin(false).await);
    let chance = chance();
    let (mut wrong, mut taken) = (Vec::new(), 0);
    for (expected, statement) in cases(LEAKS).into_iter().chain(cases(READS)) {
        let (here, there) = (one.query(statement).await, other.query(statement).await);
        if !chance.is_match(statement) && here != there {
            wrong.push(format!("TOLD {statement}\n    {here}\n    {there}"));
        }
        let said = format!("{here}{there}");
        if shows(statement, &said) {
            wrong.push(format!("SHOWN {statement}\n    {said}"));
        }
        let code = &here["refusal"]["code"];
        if code == "internal" || code == "target_failed" || (expected == "refused" && *code == json!(null)) {
            wrong.push(format!("{expected} {statement}\n    {here}"));
        }
        taken += 1;
    }
    let leaks = cases(LEAKS).len();
    assert!(leaks >= 300 && taken > 400, "{leaks} of {taken}");
    assert!(
        wrong.is_empty(),
        "{} of {taken}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What no two runs agree on.
pub(crate) const CHANCE: &[&str] = &[
    "now()",
    "random",
    "current_",
    "CURRENT_",
    "clock",
    "LOCALTIME",
    "gen_",
    "localtime",
];

/// Whether the rows of a statement come in an order of its own: an ORDER BY outside of all brackets.
pub(crate) fn is_ordered(statement: &str) -> bool {
    let (mut depth, mut quoted) = (0, false);
    statement.char_indices().any(|(at, c)| {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        let rest = &statement.as_bytes()[at..];
        depth == 0 && !quoted && rest.starts_with(b"ORDER BY ")
    })
}

/// A statement as one line that its rows decide, every value of them as its type writes it: in the order that it asks
/// for, and in whatever order where it asks for none.
fn digest(statement: &str) -> String {
    let order = if is_ordered(statement) {
        ""
    } else {
        " ORDER BY q::text"
    };
    format!("SELECT count(*), md5(string_agg(q::text, '|'{order})) FROM ({statement}) AS q")
}

/// Tables that have classified columns, so that what is sent of them is another text.
const CLASSIFIED: &str = "\\b(customers|orders|employees|contacts|customer_overview)\\b|\"Mixed Case\"";

#[tokio::test]
async fn analysts_get_the_raw_rows_of_public_columns() {
    let stand = twin(true).await;
    let reads = cases(READS);
    let analyst = ANALYST
        .lines()
        .filter(|line| !line.starts_with("--"))
        .map(|line| ("ok", line));
    let all: Vec<_> = reads.into_iter().chain(analyst).collect();
    let classified = regex::Regex::new(CLASSIFIED).unwrap();
    let (mut refused, mut differs, mut compared, mut masked) = (Vec::new(), Vec::new(), 0, 0);
    let plain = all.iter().filter(|(_, statement)| !statement.contains("$1")); // parameters have tests of their own
    for (expected, statement) in plain {
        let answer = stand.query(statement).await;
        if answer["status"] != "ok" {
            refused.push(format!("{expected} {statement}\n    {answer}"));
            continue;
        }
        if *expected != "ok" || CHANCE.iter().any(|word| statement.contains(word)) {
            continue;
        }
        let governed = stand.ask(query(&digest(statement))).await;
        if governed["status"] != "ok" {
            continue; // the statement is not one that may stand in another
        }
        let direct = stand.sql(&format!(
            "SET search_path = public, crm; SET timezone = 'UTC'; {}",
            digest(statement)
        ));
        compared += 1;
        masked += usize::from(classified.is_match(statement));
        let row = &governed["data"]["rows"][0];
        if format!("{}|{}", row[0], row[1].as_str().unwrap_or_default()) != direct {
            differs.push(format!("{statement}\n    {governed} {direct}"));
        }
    }
    assert!(
        differs.is_empty(),
        "{} differ:\n{}",
        differs.len(),
        differs.join("\n")
    );
    assert!(
        compared >= 300 && masked >= 200,
        "{compared}, {masked} of tables with masks"
    );
    let allowed = all.len() / 50; // two in a hundred
    let said = refused.join("\n");
    assert!(
        refused.len() <= allowed,
        "{} of {}:\n{said}",
        refused.len(),
        all.len()
    );
}
