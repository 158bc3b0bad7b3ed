//! Rows leave over HTTP as the bytes that are on record, whatever revision a client speaks.

use serde_json::{Value, json};

use crate::support::agent::{Agent, last};
use crate::support::process::assert_on_record;
use crate::support::site::{ANALYSTS, Site, envelope};

const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    SELECT i, i + 0.25 AS real, 'a\"b' || char(10) || char(233, 127) AS text, NULL AS absent, x'00ff' AS bytes,
           'mail a' || i || '@mail.test' AS hidden, '12' AS ambiguous FROM n";

/// The data, and the text without its last line, which names the call.
fn said(result: &Value) -> (Value, String) {
    let text = result["content"][0]["text"].as_str().unwrap();
    let (text, call) = text.rsplit_once('\n').unwrap();
    let id = envelope(result)["call_id"].as_str().unwrap();
    assert_eq!(call, format!("-- call {id}"));
    (envelope(result)["data"].clone(), text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_say_the_same_to_every_revision_and_are_on_record_as_they_left() {
    let mut site = Site::new().await;
    site.set_policies(ANALYSTS);
    site.configure("[limits]\nrows = 5000\nbytes = 8000000\n");
    let server = site.serve().await;
    let agent = Agent::new(&site, "ann", &["analyst"]);
    for statement in [ROWS, "SELECT 1 AS one", "SELECT id FROM customers WHERE id < 0"] {
        let arguments = json!({ "resource": "shop", "statement": statement });
        let newest = agent.call("sql_query", arguments.clone()).await;
        assert_eq!(newest["isError"], json!(false), "{newest}");
        let watched = json!({ "name": "sql_query", "arguments": arguments, "_meta": { "progressToken": 1 } });
        let watched = agent.modern("tools/call", watched, &json!({})).send().await;
        let watched = last(watched.unwrap()).await["result"].clone();
        let session = agent.open(&json!({})).await;
        let older = agent
            .older_call(&session, 7, "sql_query", &arguments)
            .send()
            .await;
        let older = last(older.unwrap()).await["result"].clone();
        assert_eq!(said(&newest), said(&watched));
        assert_eq!(said(&newest), said(&older));
        for answer in [&newest, &watched, &older] {
            assert_on_record(&site, answer).await;
        }
    }
    let rows = agent
        .call("sql_query", json!({ "resource": "shop", "statement": ROWS }))
        .await;
    let data = &envelope(&rows)["data"];
    assert_eq!(data["row_count"], json!(3000));
    assert_eq!(
        data["rows"][1],
        json!([2, 2.25, "a\"b\n\u{e9}\u{7f}", null, {"base64": "AP8=", "bytes": 2}, "mail [masked:email]", "12"])
    );
    server.stop().await;
}
