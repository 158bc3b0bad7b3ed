//! `sql_execute` along the whole path: policy, the change, its answer, and its record.

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::app::{App, Purpose};
use tollgate::call::{Arrival, CallId, Caller, Confirmation, Transport};
use tollgate::clock::{System, World};
use tollgate::config::Config;
use tollgate::gate::Gate;

use super::support::site::Site;
use super::support::until;

struct Nobody;

impl Caller for Nobody {
    fn confirm<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Confirmation> {
        Box::pin(std::future::ready(Confirmation::Unavailable))
    }
}

const WRITERS: &str = r#"
@id("writers") permit (principal, action in [Tollgate::Action::"describe", Tollgate::Action::"sql_read",
  Tollgate::Action::"sql_write"], resource in Tollgate::Label::"shop");
@id("never-everything") forbid (principal, action == Tollgate::Action::"sql_write", resource)
  when { context.sql.kind == "delete" && !context.sql.has_where };
"#;

async fn call(gate: &Gate, tool: &str, statement: &str) -> Value {
    let mut random = [0; 10];
    System::new().random(&mut random);
    let arrival = Arrival {
        hold: None,
        call_id: CallId::new(1_795_000_000_000, &random),
        principal: gate.identity.local(),
        transport: Transport::Stdio,
        tool: tool.to_owned(),
        arguments: json!({"resource": "shop", "statement": statement})
            .as_object()
            .unwrap()
            .clone(),
        cancel: CancellationToken::new(),
    };
    gate.call(arrival, &Nobody).await.unwrap().envelope().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_made_answered_and_recorded_with_its_counts() {
    let site = Site::new().await;
    site.set_policies(WRITERS);
    let config = Config::load(&site.config()).unwrap();
    let app = App::build(config, Purpose::Stdio).await.unwrap();
    let gate = &app.gate;
    let update = "UPDATE products SET category = 'odd' WHERE id IN (1, 2) RETURNING id";
    let made = call(gate, "sql_execute", update).await;
    assert_eq!(made["status"], "ok", "{made}");
    assert_eq!(made["data"]["rows_affected"], 2);
    assert_eq!(made["data"]["kind"], "update");
    assert_eq!(made["data"]["returned"]["rows"], json!([[1], [2]]));
    let read = call(
        gate,
        "sql_query",
        "SELECT count(*) FROM products WHERE category = 'odd'",
    )
    .await;
    assert_eq!(read["data"]["rows"], json!([[2]]), "{read}");

    let all = call(gate, "sql_execute", "DELETE FROM reviews").await;
    assert_eq!(all["refusal"]["code"], "not_permitted", "{all}");
    let probe = call(
        gate,
        "sql_execute",
        "UPDATE customers SET city = 'x' WHERE email = 'a@example.com'",
    )
    .await;
    assert_eq!(probe["refusal"]["code"], "statement_refused", "{probe}");
    let oracle = call(
        gate,
        "sql_execute",
        "UPDATE customers SET email = 'a@example.com' WHERE id = 1",
    )
    .await;
    assert_eq!(oracle["refusal"]["code"], "not_permitted", "{oracle}");
    let by_query = call(gate, "sql_query", "DELETE FROM reviews WHERE id = 1").await;
    assert_eq!(by_query["refusal"]["code"], "wrong_tool", "{by_query}");

    let store = site.dir.path().join("journal.db");
    let id = made["call_id"].as_str().unwrap().to_owned();
    let record = until("the result is on record", async || {
        let conn = rusqlite::Connection::open(&store).ok()?;
        let record: Vec<u8> = conn
            .query_row(
                "SELECT record FROM journal WHERE call_id = ?1 AND phase = 'result'",
                [&id],
                |row| row.get(0),
            )
            .ok()?;
        serde_json::from_slice::<Value>(&record).ok()
    })
    .await;
    assert_eq!(
        record["effect"],
        json!({"rows": {"products": {"updated": 2}}, "schema": {}, "irreversible": false}),
        "{record}"
    );
}
