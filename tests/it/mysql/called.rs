//! One call, one statement: the server's log names the call that the journal names, and nobody says two things at once.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;
use tollgate::call::request::{SqlExecute, SqlQuery, SqlSchema};
use tollgate::store::read::RecordFilter;

use super::governed::stand;
use super::{Stand, code, query, with};
use crate::effects::{dan, pending};
use crate::support::process::records;
use crate::support::site::envelope;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_logs_of_a_call_is_under_the_journals_id() {
    let (database, mut all) = stand().await;
    let server = all.serve().await;
    let agent = dan(&all.site);
    let read = json!({"resource": "records", "statement": "SELECT 4141 + id FROM orders /* tollgate x */"});
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = agent.call("sql_query", read.clone()).await;
        assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
        ids.push(envelope(&answer)["call_id"].as_str().unwrap().to_owned());
    }
    let change = json!({"resource": "records", "statement": "UPDATE orders SET cents = 7373 WHERE id = 10"});
    let answer = agent.call("sql_execute", change).await;
    pending(&answer);
    ids.push(envelope(&answer)["call_id"].as_str().unwrap().to_owned());
    let log = database.log();
    for (id, words, least) in [(&ids[0], "4141", 1), (&ids[1], "4141", 1), (&ids[2], "7373", 1)] {
        let named = format!("/* tollgate {id} */ ");
        let of_call = log.lines().filter(|line| line.contains(&named));
        assert!(
            of_call.filter(|line| line.contains(words)).count() >= least,
            "{id}: {log}"
        );
        let kept = records(&all.site, RecordFilter::default()).await;
        assert!(
            kept.iter().any(|record| record.call_id.as_ref() == Some(id)),
            "the journal's id, too"
        );
    }
    let nameless = log
        .lines()
        .filter(|line| (line.contains("4141") || line.contains("7373")) && !line.contains("/* tollgate "));
    assert_eq!(nameless.collect::<Vec<_>>(), [""; 0]);
    assert!(
        !log.contains("tollgate x"),
        "nothing of an agent's stands where the id does"
    );
    drop(server);
}

#[tokio::test]
async fn two_statements_in_any_argument_are_refused() {
    let stand = Stand::new("").await;
    let second = "DELETE FROM shop.orders";
    let never = CancellationToken::new();
    let execute = |statement: &str| {
        Request::SqlExecute(SqlExecute {
            resource: "shop".to_owned(),
            statement: statement.to_owned(),
            parameters: None,
            reason: None,
        })
    };
    for joint in [
        "; ",
        ";",
        " ;\n",
        "; -- \n",
        ";/**/",
        "; COMMIT; ",
        "\n;#\n",
        ";/*!",
        "; DELIMITER // ",
    ] {
        for first in [
            "SELECT 1",
            "SELECT id FROM orders",
            "DELETE FROM orders WHERE id = 10",
        ] {
            let text = format!("{first}{joint}{second}");
            for request in [Request::SqlQuery(query(&text)), execute(&text)] {
                let answer = stand.call(&["analyst"], request, &never).await;
                assert_eq!(code(&answer), "statement_refused", "{text}: {answer}");
            }
        }
    }
    let values = [
        Request::SqlQuery(with(
            "SELECT CAST(? AS CHAR)",
            json!([format!("x'; {second}; -- ")]),
        )),
        Request::SqlQuery(with(
            "SELECT CAST(:name AS CHAR)",
            json!({"name": format!("x; {second}")}),
        )),
        Request::SqlQuery(with(
            "SELECT CAST(:name AS CHAR)",
            json!({format!("name; {second}"): 1}),
        )),
        Request::SqlQuery(SqlQuery {
            cursor: Some(format!("0; {second}")),
            ..query("SELECT id FROM orders")
        }),
        Request::SqlSchema(SqlSchema {
            resource: "shop".to_owned(),
            table: Some(format!("orders; {second}")),
        }),
    ];
    for (at, request) in values.into_iter().enumerate() {
        let said = format!("{request:?}");
        let answer = stand.call(&["analyst"], request, &never).await;
        assert_eq!(answer["status"] == "ok", [0, 1].contains(&at), "{said}: {answer}");
    }
    assert_eq!(stand.sql("SELECT count(*) FROM orders"), "3");
}
