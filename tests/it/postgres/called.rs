//! One call, one statement: the server's log names the call that the journal names, and nobody says two things at once.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::request::{SqlQuery, SqlSchema};
use tollgate::call::{CallId, Evidence, Request};

use super::changes::execute;
use super::{Nothing, Stand, asked, code, query, with};
use crate::policy::permit;

#[tokio::test]
async fn whatever_is_sent_for_a_call_is_under_its_id_in_the_servers_log() {
    let stand = Stand::defining("CREATE TABLE notes (id int, word text)", |_| {}).await;
    stand.sql("GRANT INSERT, UPDATE, DELETE ON orders TO reader; GRANT SELECT (ctid, xmin, xmax, tableoid) ON orders TO reader");
    let never = CancellationToken::new();
    let mut ids = Vec::new();
    let update = || execute("UPDATE orders SET cents = 4242 WHERE id = 10", None);
    for (number, request, words, is_measured) in [
        (
            1,
            Request::SqlQuery(query("SELECT 41 + id FROM orders")),
            "41 + id",
            false,
        ),
        // Two calls of the same text by the same person are two.
        (
            2,
            Request::SqlQuery(query("SELECT 41 + id FROM orders")),
            "41 + id",
            false,
        ),
        (3, update(), "4242", true),
        (4, update(), "4242", false),
        (
            5,
            execute("ALTER TABLE notes ADD COLUMN extra int", None),
            "extra",
            true,
        ),
    ] {
        let (mut invocation, arrival) = asked(&["analyst"], request, &never);
        let id = CallId::new(number, &[7; 10]);
        invocation.call_id = id.clone();
        let before = stand.server.log().len();
        let facts = stand.resources.inspect(&invocation, &never).await.unwrap();
        let rules = stand.policies.current();
        if is_measured {
            let permit = permit(rules.decide_measure(&arrival, &invocation, &facts));
            let measured = stand.resources.measure(permit, &invocation, &facts, &never).await;
            measured.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        }
        let permit = permit(rules.decide(&arrival, &invocation, &facts, &Evidence::default()));
        let ran = stand
            .resources
            .run(permit, &invocation, &facts, None, &Nothing, &never)
            .await;
        ran.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let log = stand.server.log();
        let said = log
            .get(before..)
            .unwrap_or_default()
            .lines()
            .filter(|line| line.contains(words));
        let said: Vec<&str> = said.collect();
        let named = format!("[tollgate{id}]");
        assert!(said.len() > usize::from(is_measured && number == 3), "{said:?}");
        assert!(
            said.iter().all(|line| line.starts_with(&named)),
            "{named}: {said:?}"
        );
        assert!(!ids.contains(&named));
        ids.push(named);
    }
}

#[tokio::test]
async fn two_statements_in_any_argument_are_refused() {
    let stand = Stand::changing("", |_| {}).await;
    stand.sql("GRANT SELECT (ctid, xmin, xmax, tableoid) ON orders TO reader");
    let second = "DELETE FROM public.orders WHERE true";
    let never = CancellationToken::new();
    let mut requests = Vec::new();
    for joint in [
        "; ",
        ";",
        " ;\n",
        "; --\n",
        ";/**/",
        "$$;$$ ; ",
        "\\; ",
        "; COMMIT; ",
    ] {
        for first in [
            "SELECT 1",
            "SELECT id FROM orders",
            "DELETE FROM orders WHERE id = 10",
            "COMMENT ON TABLE orders IS 'x'",
        ] {
            let text = format!("{first}{joint}{second}");
            requests.push(Request::SqlQuery(query(&text)));
            requests.push(execute(&text, None));
        }
    }
    // As the first of two with parameters, which PostgreSQL's protocol takes for one statement alone.
    requests.push(Request::SqlQuery(with(
        &format!("SELECT $1::int; {second}"),
        json!([1]),
    )));
    for request in requests {
        let said = format!("{request:?}");
        let answer = stand.call(&["analyst"], request, &never).await;
        assert_eq!(code(&answer), "statement_refused", "{said}: {answer}");
    }
    // Where a value is said, two statements are a value, or none of its type; as a name they are no name.
    let values = [
        Request::SqlQuery(with("SELECT $1::text", json!([format!("x'; {second}; --")]))),
        Request::SqlQuery(with("SELECT $1::int", json!([format!("1; {second}")]))),
        Request::SqlQuery(with(
            "SELECT :name::text",
            json!({"name": format!("x; {second}")}),
        )),
        Request::SqlQuery(with("SELECT :name::text", json!({format!("name; {second}"): 1}))),
        Request::SqlQuery(SqlQuery {
            cursor: Some(format!("0; {second}")),
            ..query("SELECT id FROM orders")
        }),
        Request::SqlSchema(SqlSchema {
            resource: "shop".to_owned(),
            table: Some(format!("orders; {second}")),
        }),
        execute(
            "UPDATE orders SET cents = $1 WHERE id = 10",
            Some(json!([format!("1; {second}")])),
        ),
    ];
    for (at, request) in values.into_iter().enumerate() {
        let said = format!("{request:?}");
        let answer = stand.call(&["analyst"], request, &never).await;
        assert_eq!(answer["status"] == "ok", [0, 2].contains(&at), "{said}: {answer}");
    }
    assert_eq!(stand.sql("SELECT count(*) FROM orders"), "3");
}
