//! Columns that are shown as tokens: exactly f(value), by nobody's hand but ours.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::pool::Pool;
use super::super::query::{self, Order};
use super::super::{Expected, facts};
use super::attempts::ATTEMPTS;
use super::fixture::{self, LIMITS, Shop, Still, Twin, list, request};
use crate::call::{Action, Code, Probe};
use crate::resource::sql::{MaskStyle, TokenKey, TokenScope};

fn key() -> TokenKey {
    TokenKey::new([9; 32])
}

/// The shop with tokens in place of e-mail addresses.
pub(super) fn shop(values: Twin, scope: TokenScope) -> Shop {
    changed(values, |spec| {
        spec.classes.insert("email".to_owned(), MaskStyle::Token(scope));
        spec.tokens = Some(key());
    })
}

fn changed(values: Twin, change: impl FnOnce(&mut super::super::Spec)) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture::file(&folder, values);
    let mut spec = fixture::spec(path);
    change(&mut spec);
    Shop {
        pool: Pool::open(spec, Arc::new(Still::default())).unwrap(),
        _folder: folder,
    }
}

/// What a statement gives in a session.
fn within(pool: &Pool, session: &str, sql: &str) -> Vec<Vec<Value>> {
    let (checked, version) = query::inspect(pool, sql, &fixture::stop()).unwrap();
    let facts = facts(pool, Action::SqlRead, version, Some(&checked));
    let order = Order {
        request: request(sql),
        limits: LIMITS,
        reveal: BTreeSet::new(),
        session: session.to_owned(),
        expected: Expected::of(&facts).unwrap(),
    };
    query::run(pool, &order, &fixture::stop()).unwrap().rows.rows
}

/// Every attempt of the leak set answers as it does for a file that holds the tokens themselves, in public.
#[test]
fn token_columns_answer_exactly_what_the_token_tells() {
    let masked = shop(Twin::First, TokenScope::Deployment);
    let shown = {
        let folder = tempfile::tempdir().unwrap();
        let path = fixture::file(&folder, Twin::First);
        let conn = rusqlite::Connection::open(&path).unwrap();
        let key = key();
        let flags = rusqlite::functions::FunctionFlags::SQLITE_UTF8;
        conn.create_scalar_function("tok", 1, flags, move |context| {
            let value = super::super::linear::bytes(context.get_raw(0));
            Ok(value.map(|value| key.token("", "email", &value)))
        })
        .unwrap();
        conn.execute_batch("UPDATE customers SET email = tok(email); UPDATE orders SET email = tok(email)")
            .unwrap();
        drop(conn);
        let mut spec = fixture::spec(path);
        spec.columns
            .insert("customers.email".to_owned(), "public".to_owned());
        spec.columns
            .insert("orders.email".to_owned(), "public".to_owned());
        Shop {
            pool: Pool::open(spec, Arc::new(Still::default())).unwrap(),
            _folder: folder,
        }
    };
    let planted = fixture::planted();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    // Which row comes first is the engine's choice where nobody says, and the two files have other indexes to choose from.
    // A view of which a public column is listed gives its tokens here, and none there.
    let chance = ["LIMIT", "group_concat", "row_number", "listed view"];
    for attempt in ATTEMPTS {
        let sql = attempt.sql;
        let of = |shop: &Shop| {
            let answer = fixture::ask(&shop.pool, request(sql), &[], LIMITS);
            answer.map(|(_, answer)| {
                let mut rows = answer.rows.rows;
                rows.sort_by_key(|row| json!(row).to_string());
                rows
            })
        };
        match (of(&masked), of(&shown)) {
            (Ok(here), Ok(there)) => {
                let said = json!(here).to_string();
                let leaks = planted
                    .iter()
                    .any(|value| said.contains(value) && !sql.contains(value));
                // Views inherit: one over a token column is a view over what is shown.
                if leaks || here != there && !chance.iter().any(|word| sql.contains(word)) {
                    wrong.push(format!("{sql}\n  {said}\n  {}", json!(there)));
                }
                compared += 1;
            }
            (Err(here), Err(there)) if here.code == there.code => compared += 1,
            // An index over an expression is read where its column is public, and that is not offered.
            (Ok(rows), Err(there)) if rows.is_empty() && there.code == Code::StatementRefused => {}
            (here, there) => wrong.push(format!("{sql}\n  {here:?}\n  {there:?}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {compared}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(compared >= 120, "{compared}");
}

#[test]
fn equal_values_join_and_group_and_null_stays_null() {
    let shop = shop(Twin::First, TokenScope::Deployment);
    let raw = tempfile::tempdir().unwrap();
    let conn = rusqlite::Connection::open(fixture::file(&raw, Twin::First)).unwrap();
    for sql in [
        "SELECT count(*), count(email), count(DISTINCT email) FROM customers",
        "SELECT count(*) FROM customers c JOIN orders o ON o.email = c.email",
        "SELECT count(*) FROM (SELECT email FROM customers UNION SELECT email FROM orders)",
        "SELECT sum(n) FROM (SELECT count(*) AS n FROM customers GROUP BY email HAVING count(*) > 1)",
    ] {
        let direct: Vec<Value> = conn
            .query_row(sql, [], |row| {
                let width = row.as_ref().column_count();
                (0..width)
                    .map(|at| Ok(json!(row.get::<_, Option<i64>>(at)?)))
                    .collect()
            })
            .unwrap();
        assert_eq!(fixture::rows(&shop.pool, sql), [direct], "{sql}");
    }
    let tokens = fixture::rows(
        &shop.pool,
        "SELECT email FROM customers WHERE email IS NOT NULL ORDER BY id",
    );
    let token = tokens[0][0].as_str().unwrap().to_owned();
    let direct: String = conn
        .query_row(
            "SELECT email FROM customers WHERE email IS NOT NULL ORDER BY id",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(token, key().token("", "email", direct.as_bytes()));
    // A token that was shown finds its rows, as a parameter and as a text; the value finds nothing.
    let find = |value: &str| {
        let mut asked = request("SELECT count(*) FROM customers WHERE email = ?1");
        asked.parameters = list(json!([value]));
        fixture::ask(&shop.pool, asked, &[], LIMITS).unwrap().1.rows.rows[0][0].clone()
    };
    assert!(find(&token).as_i64() > Some(0));
    assert_eq!(find(&direct), json!(0));
}

#[test]
fn what_two_sessions_saw_cannot_be_put_together() {
    let shop = shop(Twin::First, TokenScope::Session);
    let all = "SELECT email FROM customers WHERE email IS NOT NULL ORDER BY id";
    let (one, other) = (within(&shop.pool, "one", all), within(&shop.pool, "other", all));
    assert_eq!(one, within(&shop.pool, "one", all), "within a session they stay");
    let flat =
        |rows: &[Vec<Value>]| -> BTreeSet<String> { rows.iter().map(|row| row[0].to_string()).collect() };
    assert!(flat(&one).is_disjoint(&flat(&other)));
    assert_eq!(flat(&one).len(), flat(&other).len());
}

/// A row of one's own with a guess in it would show the guess's token, and so in which other rows it stands.
#[test]
fn a_guess_is_not_turned_into_a_token_by_writing_it() {
    let (tokens, constant) = (
        shop(Twin::First, TokenScope::Deployment),
        fixture::shop(Twin::First),
    );
    for (sql, tells) in [
        (
            "INSERT INTO orders (id, customer_id, email) VALUES (900, 1, 'guess')",
            true,
        ),
        ("UPDATE orders SET email = 'guess' WHERE id = 1", true),
        ("UPDATE products SET price = 2 WHERE sku = 'guess'", false),
    ] {
        let probe = |shop: &Shop| super::writing::inspect(&shop.pool, sql).unwrap().probe;
        let before = probe(&constant) == Probe::Oracle; // an index of its own may tell, too
        assert_eq!(probe(&tokens) == Probe::Oracle, tells, "{sql}");
        assert!(!before || tells && sql.starts_with("UPDATE"), "{sql}");
    }
}

#[test]
fn nobody_but_a_mask_calls_the_function() {
    let shop = shop(Twin::First, TokenScope::Deployment);
    let link = shop.pool.lease(&super::super::link::Key::default()).unwrap();
    let rules = link.reading_rules().unwrap();
    let name = rules.token.clone();
    drop(rules);
    shop.pool.give_back(link);
    for sql in [
        "SELECT tollgate_token('email', 'a')".to_owned(),
        "SELECT token('email', 'a')".to_owned(),
        "SELECT name FROM pragma_function_list".to_owned(),
        "SELECT sql FROM sqlite_temp_schema".to_owned(),
        "EXPLAIN SELECT email FROM customers".to_owned(),
        format!(
            "SELECT {}('email', 'a')",
            name.chars().skip(1).collect::<String>()
        ),
    ] {
        let refusal = fixture::refusal(&shop.pool, &sql);
        assert!(
            matches!(refusal.code, Code::StatementRefused | Code::WrongTool),
            "{sql}: {refusal:?}"
        );
        let said = format!("{} {}", refusal.message, refusal.suggestion);
        assert!(name.len() < 32 || !said.contains(&name), "{said}");
    }
    // What an answer, or what policy sees of it, tells of the mask: nothing.
    let (facts, answer) = fixture::ask(&shop.pool, request("SELECT * FROM customers"), &[], LIMITS).unwrap();
    let all = format!("{:?}{:?}", facts, answer.rows);
    assert!(facts.sql.unwrap().functions.is_empty() && !all.contains("tok_tok"));
}

#[test]
fn columns_with_few_values_and_a_missing_key_refuse_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("few.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE t (a BOOLEAN, b TEXT, c INTEGER, d VARCHAR(4), e DATE)")
        .unwrap();
    let open = |column: &str, key: Option<TokenKey>| {
        let mut spec = fixture::spec(path.clone());
        spec.columns = [(format!("t.{column}"), "much".to_owned())].into();
        spec.classes = [("much".to_owned(), MaskStyle::Token(TokenScope::Deployment))].into();
        spec.tokens = key;
        Pool::open(spec, Arc::new(Still::default())).map(drop)
    };
    for column in ["a", "d", "e"] {
        let said = open(column, Some(key())).unwrap_err();
        assert!(
            said.contains(&format!("t.{column}")) && said.contains("too few values"),
            "{said}"
        );
    }
    for column in ["b", "c"] {
        open(column, Some(key())).unwrap();
    }
    assert!(open("b", None).unwrap_err().contains("no key"));
}
