//! A change of PostgreSQL as an organisation has it: the real binary and the shipped policies, an agent that asks, a
//! person who sees the effect and decides. It happens once, whatever ends in between.

use serde_json::{Value, json};

use super::{PASSWORD, SHOP};
use crate::effects::{changed, dan, pending, ran, wait};
use crate::policy::write;
use crate::support::governed::Governed;
use crate::support::postgres::Postgres;
use crate::support::process::verify;
use crate::support::site::envelope;
use crate::support::until;

const RAISE: &str = "UPDATE orders SET cents = cents + 100 WHERE customer_id = 1";

fn change(statement: &str) -> Value {
    json!({ "resource": "records", "statement": statement })
}

/// A server with the shop, and a Tollgate whose resource `records` it is.
pub(super) async fn stand() -> (Postgres, Governed) {
    let server = Postgres::start().await;
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", SHOP);
    server.sql(
        "shop",
        &format!(
            "CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON orders TO reader; GRANT UPDATE (cents) ON orders TO reader"
        ),
    );
    let all = Governed::new(0).await;
    let folder = all.site.dir.path().to_owned();
    std::fs::remove_dir_all(folder.join("policies/tests")).unwrap(); // they know of no second database
    write(&folder, "password", PASSWORD);
    all.site.configure(&format!(
        "[[resource]]\nname = \"records\"\nkind = \"postgres\"\ndescription = \"the records\"\nlabels = [\"shop\", \"prod\"]\nurl = \"{}\"\n\
         password = \"file:{}\"\ncolumns_default = \"show\"\n",
        server.url("reader", "shop"),
        folder.join("password").display(),
    ));
    (server, all)
}

fn cents(server: &Postgres) -> String {
    server.sql(
        "shop",
        "SELECT string_agg(cents::text, ' ' ORDER BY id) FROM orders",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_person_sees_the_effect_approves_it_and_it_happens_once() {
    let (database, mut all) = stand().await;
    let server = all.serve().await;
    let agent = dan(&all.site);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    assert_eq!(cents(&database), "500 700 900", "it was only measured");
    let (dan_person, lea) = (all.person("dan", &["dba"]), all.person("lea", &["dba"]));
    let sheet = lea.asked().await;
    assert_eq!(
        sheet["effect"]["rows"],
        json!({"orders": {"updated": 2}}),
        "{sheet}"
    );
    let sample = sheet["effect"]["sample"].as_array().unwrap();
    assert_eq!(sample.len(), 2, "{sheet}");
    for row in sample {
        let cents = |side: &str| row[side]["cents"].as_i64().unwrap();
        assert_eq!(cents("after"), cents("before") + 100, "{row}");
    }
    assert_eq!(dan_person.try_approve(&sheet).await.0, 403, "their own request");
    lea.approve(&sheet).await;
    // Another row of the same kind appears: more than was approved is asked anew, with what it would be now.
    database.sql("shop", "UPDATE orders SET customer_id = 1 WHERE id = 12");
    let new = pending(&agent.call("sql_execute", change(RAISE)).await);
    assert_ne!(new, id);
    assert_eq!(cents(&database), "500 700 900", "nothing stayed");
    let sheet = lea.asked().await;
    assert_eq!(
        sheet["effect"]["rows"],
        json!({"orders": {"updated": 3}}),
        "{sheet}"
    );
    assert_eq!(sheet["effect"]["sample"].as_array().unwrap().len(), 3, "{sheet}");
    lea.approve(&sheet).await;
    let several = (0..4).map(|_| agent.call("sql_execute", change(RAISE)));
    for answer in futures::future::join_all(several).await {
        // Who comes while another one is at it is told to come again.
        let waits = envelope(&answer)["status"] == "approval_pending";
        if !waits && envelope(&answer)["refusal"]["code"] != json!("target_failed") {
            changed(&answer, 3);
        }
    }
    let again = agent.call("approval_wait", wait(&new)).await;
    assert!(envelope(&again)["repeats"].is_string(), "{again}");
    assert_eq!(cents(&database), "600 800 1000", "once");
    let ran = ran(&all.site, "sql_execute").await;
    assert_eq!(ran.len(), 1);
    assert_eq!(ran[0]["approval"]["approvers"], json!(["test#lea"]), "{}", ran[0]);
    assert_eq!(ran[0]["effect"]["rows"], json!({"orders": {"updated": 3}}));
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
    assert_eq!(verify(&all.site, &[])["problem_count"], json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_its_commit_a_change_is_unknown_and_never_made_again() {
    let (database, mut all) = stand().await;
    let server = all.serve().await;
    let agent = dan(&all.site);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let lea = all.person("lea", &["dba"]);
    lea.approve(&lea.asked().await).await;
    // A COMMIT that waits for a standby which never comes: the place to be killed at.
    database.sql(
        "postgres",
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
    );
    database.sql("postgres", "SELECT pg_reload_conf()");
    let running = {
        let (agent, id) = (agent.clone(), id.clone());
        tokio::spawn(async move { agent.call("approval_wait", wait(&id)).await })
    };
    until("a COMMIT that waits", async || {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND wait_event = 'SyncRep'";
        (database.sql("postgres", waits) != "0").then_some(())
    })
    .await;
    server.kill();
    running.abort();
    database.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    database.sql("postgres", "SELECT pg_reload_conf()");
    let server = all.serve().await;
    let agent = dan(&all.site);
    for _ in 0..2 {
        let answer = agent.call("approval_wait", wait(&id)).await;
        assert_eq!(
            envelope(&answer)["refusal"]["code"],
            json!("outcome_unknown"),
            "{answer}"
        );
    }
    let after = cents(&database);
    assert!(
        ["500 700 900", "600 800 900"].contains(&after.as_str()),
        "at most once: {after}"
    );
    assert_eq!(lea.show(&id).await["state"], json!("unknown"));
    server.terminate();
    server.exit().await;
    assert_eq!(verify(&all.site, &[])["problem_count"], json!(0));
}
