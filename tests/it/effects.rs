//! Effects as an organisation has them: the real binary with the demo's configuration and the shipped
//! policies, an agent that asks over HTTP, people who decide over the API. What was approved happens once:
//! counted in the target, and in the journal.

mod ahead;
pub(crate) mod changes;
mod clients;
mod commands;
mod grants;
mod interrupted;
mod otlp;
mod rows;
mod standing;
mod watched;

use rusqlite::Connection;
use serde_json::{Value, json};
use tollgate::config::Config;
use tollgate::store::{Store, Tuning};

use crate::support::agent::Agent;
use crate::support::people::runs;
use crate::support::site::{Site, envelope};

/// Shows every time it happens.
pub(crate) const RAISE: &str = "UPDATE products SET price_cents = price_cents + 100 WHERE id IN (1, 2, 3)";

/// The agent of a database administrator, who may change the shop when another one agrees.
pub(crate) fn dan(site: &Site) -> Agent {
    Agent::new(site, "dan", &["dba"])
}

pub(crate) fn change(statement: &str) -> Value {
    json!({ "resource": "shop", "statement": statement })
}

pub(crate) fn wait(id: &str) -> Value {
    json!({ "approval_id": id })
}

fn code(result: &Value) -> &str {
    envelope(result)["refusal"]["code"].as_str().unwrap_or("none")
}

/// The id of the request that this answer says is waiting.
pub(crate) fn pending(result: &Value) -> String {
    assert_eq!(envelope(result)["status"], "approval_pending", "{result}");
    assert_eq!(result["isError"], json!(false));
    envelope(result)["approval"]["id"].as_str().unwrap().to_owned()
}

/// An answer that says what was changed.
pub(crate) fn changed(result: &Value, rows: u64) {
    assert_eq!(envelope(result)["status"], "ok", "{result}");
    assert_eq!(envelope(result)["data"]["rows_affected"], json!(rows), "{result}");
}

fn shop(site: &Site) -> Connection {
    let shop = Connection::open(site.dir.path().join("shop.db")).unwrap();
    shop.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    shop
}

/// One number out of the shop.
fn number(site: &Site, sql: &str) -> i64 {
    shop(site).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// What [`RAISE`] adds to.
pub(crate) fn prices(site: &Site) -> i64 {
    number(site, "SELECT sum(price_cents) FROM products")
}

/// The results on record of calls of this tool that reached their target.
pub(crate) async fn ran(site: &Site, tool: &str) -> Vec<Value> {
    let mut runs = runs(site).await;
    runs.retain(|result| result["tool"] == json!(tool));
    runs
}

/// What the journal says became of a request, in order.
async fn transitions(site: &Site, id: &str) -> Vec<String> {
    let config = Config::load(&site.config()).unwrap();
    let store = Store::open_existing_at(&config.store.address, &Tuning::default())
        .await
        .unwrap();
    let mut reader = store.reader().await.unwrap();
    let rows = reader.range(0, 10_000).await.unwrap();
    rows.iter()
        .map(|(row, _)| serde_json::from_slice::<Value>(&row.record).unwrap())
        .filter(|record| record["phase"] == "decision" && record["approval"]["id"] == id)
        .map(|record| record["outcome"]["status"].as_str().unwrap().to_owned())
        .collect()
}
