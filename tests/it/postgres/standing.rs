//! What a database is seen to be before anybody asks: one whose role can do too much is refused from the start, also
//! when its server comes later.

use serde_json::{Value, json};

use super::governed::stand;
use crate::effects::dan;
use crate::support::agent::Agent;
use crate::support::site::envelope;

/// What `list_resources` says of it.
async fn listed(agent: &Agent) -> Value {
    let list = agent.call("list_resources", json!({})).await;
    let all = envelope(&list)["data"]["resources"].as_array().unwrap();
    let found = all.iter().find(|one| one["name"] == "records").unwrap();
    found["unavailable"].clone()
}

/// The code of a query.
async fn asked(agent: &Agent) -> Value {
    let read = json!({"resource": "records", "statement": "SELECT count(*) FROM orders WHERE id = 10"});
    envelope(&agent.call("sql_query", read).await)["refusal"]["code"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_can_too_much_is_refused_at_the_start_and_said_to_be() {
    let (database, mut all) = stand().await;
    database.sql("shop", "ALTER ROLE reader SUPERUSER");
    let served = all.serve().await;
    let agent = dan(&all.site);
    let unavailable = listed(&agent).await; // answered when every resource was looked at
    let said = served.log();
    assert!(
        said.contains("refused at start") && said.contains("the role is a superuser"),
        "{said}"
    );
    assert!(unavailable.is_string(), "before any call has looked");
    assert_eq!(asked(&agent).await, "target_failed");
    database.sql("shop", "ALTER ROLE reader NOSUPERUSER");
    assert_eq!(asked(&agent).await, Value::Null, "it opens by itself");
    assert_eq!(listed(&agent).await, Value::Null);
    database.sql("shop", "ALTER TABLE orders OWNER TO reader");
    assert_eq!(asked(&agent).await, "target_failed", "and closes");
    assert!(listed(&agent).await.is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_later_is_looked_at_by_the_first_call_that_reaches_it() {
    let (mut database, mut all) = stand().await;
    database.stop(false);
    let served = all.serve().await;
    let agent = dan(&all.site);
    let unavailable = listed(&agent).await;
    assert!(served.log().contains("refused at start"), "{}", served.log());
    assert!(
        unavailable.is_string() && asked(&agent).await == "target_failed",
        "{unavailable}"
    );
    database.again().await;
    assert_eq!(asked(&agent).await, Value::Null);
    assert_eq!(listed(&agent).await, Value::Null);
}
