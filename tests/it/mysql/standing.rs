//! Without its masking views a resource is refused from the start, before anybody asks: also when its server comes later.

use serde_json::{Value, json};

use super::{PASSWORD, SHOP, database, root, server, spec};
use crate::effects::dan;
use crate::policy::write;
use crate::support::agent::Agent;
use crate::support::governed::Governed;
use crate::support::mysql::Mysql;
use crate::support::site::envelope;
use tollgate::call::Code;

async fn stand(server: &Mysql) -> Governed {
    let all = Governed::new(0).await;
    let folder = all.site.dir.path().to_owned();
    std::fs::remove_dir_all(folder.join("policies/tests")).unwrap(); // they know of no second database
    write(&folder, "password", PASSWORD);
    all.site.configure(&format!(
        "[[resource]]\nname = \"records\"\nkind = \"mysql\"\ndescription = \"the records\"\nlabels = [\"shop\"]\nurl = \"{}\"\n\
         password = \"file:{}/password\"\nviews = \"shop_tollgate\"\n[resource.columns]\n\"orders.id\" = \"public\"\n",
        server.url("reader", "shop"),
        folder.display(),
    ));
    all
}

/// What `list_resources` says of it, and the code of a query.
async fn told(agent: &Agent) -> (Value, Value) {
    let list = agent.call("list_resources", json!({})).await;
    let all = envelope(&list)["data"]["resources"].as_array().unwrap().clone();
    let found = all.iter().find(|one| one["name"] == "records").unwrap();
    let others = all.iter().filter(|one| one["name"] != "records");
    assert!(
        others.into_iter().all(|one| one["unavailable"].is_null()),
        "{list}"
    );
    let read = json!({"resource": "records", "statement": "SELECT count(*) FROM orders WHERE id = 10"});
    let answer = agent.call("sql_query", read).await;
    (
        found["unavailable"].clone(),
        envelope(&answer)["refusal"]["code"].clone(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn without_views_it_is_refused_at_the_start_and_said_to_be() {
    let maria = server(&[SHOP], &[]).await;
    let mut all = stand(&maria).await;
    let served = all.serve().await;
    let agent = dan(&all.site);
    let list = agent.call("list_resources", json!({})).await; // answered when every resource was looked at
    let said = served.log();
    assert!(
        said.contains("refused at start")
            && said.contains("records")
            && said.contains("tollgate db views records --apply"),
        "{said}"
    );
    assert!(
        list.to_string().contains("does not fit its database"),
        "before any call has looked: {list}"
    );
    let (unavailable, code) = told(&agent).await;
    assert!(unavailable.is_string());
    assert_eq!(code, "target_failed");
    let mut own = spec(&maria);
    own.name = "records".to_owned();
    own.columns = [("orders.id".to_owned(), "public".to_owned())].into();
    own.classes.clear();
    database(&own).make_views(&root()).await.unwrap();
    let (_, code) = told(&agent).await;
    assert_eq!(code, Value::Null, "it opens by itself");
    assert_eq!(told(&agent).await, (Value::Null, Value::Null));
    drop(served);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_later_is_looked_at_by_the_first_call_that_reaches_it() {
    let mut maria = server(&[SHOP], &[]).await;
    let mut all = stand(&maria).await;
    maria.stop(false);
    let served = all.serve().await;
    let agent = dan(&all.site);
    let (away, code) = told(&agent).await;
    assert!(served.log().contains("refused at start"), "{}", served.log());
    assert!(away.is_string() && code == "target_failed", "{away}");
    maria.again().await;
    let (_, code) = told(&agent).await;
    assert_eq!(code, "target_failed", "it is there, without views");
    let (unavailable, _) = told(&agent).await;
    let unavailable = unavailable.as_str().unwrap();
    assert!(unavailable.contains("does not fit its database"), "{unavailable}");
    drop(served);
}

#[tokio::test]
async fn what_is_seen_is_why_and_is_forgotten_when_it_is_over() {
    let maria = server(&[SHOP], &[]).await;
    let own = database(&spec(&maria));
    assert!(own.refused().is_none(), "nobody has looked");
    let refusal = own.look().await.unwrap_err();
    assert_eq!(refusal.code, Code::TargetFailed);
    assert!(refusal.detail.unwrap().contains("tollgate db views shop --apply"));
    assert!(own.refused().is_some());
    own.make_views(&root()).await.unwrap();
    own.look().await.unwrap();
    assert!(own.refused().is_none());
    maria.sql("mysql", "GRANT SELECT ON shop.* TO reader");
    own.look().await.unwrap_err();
    assert!(
        own.refused().is_some(),
        "an account that needs no views is refused, too"
    );
}
