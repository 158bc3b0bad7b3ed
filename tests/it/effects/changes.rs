//! A change of a database that another person decides.

use std::time::Duration;

use serde_json::json;
use tollgate::approval::review::State;

use super::{RAISE, change, changed, code, dan, number, pending, prices, ran, shop, transitions, wait};
use crate::support::governed::Governed;
use crate::support::people::{People, holding};
use crate::support::process::{Process, verify, wait_for};
use crate::support::site::{Site, envelope};

pub(crate) async fn end(site: &Site, server: Process) {
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
    let report = verify(site, &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_person_sees_the_effect_approves_it_and_it_happens_once() {
    let mut all = Governed::new(0).await;
    let server = all.serve().await;
    let site = &all.site;
    let before = prices(site);
    let agent = dan(site);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    assert_eq!(prices(site), before, "it was only measured");

    let (dan_person, lea) = (all.person("dan", &["dba"]), all.person("lea", &["dba"]));
    let sheet = lea.asked().await;
    assert_eq!(sheet["id"], json!(id));
    assert_eq!(sheet["arguments"]["statement"], json!(RAISE));
    assert_eq!(
        sheet["effect"]["rows"],
        json!({ "products": { "updated": 3 } }),
        "{sheet}"
    );
    let sample = sheet["effect"]["sample"].as_array().unwrap();
    assert_eq!(sample.len(), 3, "{sheet}");
    for row in sample {
        let price = |side: &str| row[side]["price_cents"].as_i64().unwrap();
        assert_eq!(price("after"), price("before") + 100, "{row}");
    }
    assert_eq!(dan_person.try_approve(&sheet).await.0, 403, "their own request");
    let outsider = all.person("eve", &["analyst"]);
    assert_eq!(outsider.try_approve(&sheet).await.0, 404, "not for them to see");
    assert_eq!(prices(site), before);
    lea.approve(&sheet).await;
    assert_eq!(prices(site), before, "approved, and nobody came for it yet");

    let first = agent.call("sql_execute", change(RAISE)).await;
    changed(&first, 3);
    assert_eq!(prices(site), before + 300);
    for again in [
        agent.call("sql_execute", change(RAISE)).await,
        agent.call("approval_wait", wait(&id)).await,
    ] {
        changed(&again, 3);
        assert_eq!(
            envelope(&again)["repeats"],
            envelope(&first)["call_id"],
            "{again}"
        );
    }
    assert_eq!(prices(site), before + 300, "once");
    let ran = ran(site, "sql_execute").await;
    assert_eq!(ran.len(), 1);
    assert_eq!(ran[0]["approval"]["approvers"], json!(["test#lea"]), "{}", ran[0]);
    assert_eq!(ran[0]["effect"]["rows"], json!({ "products": { "updated": 3 } }));
    assert_eq!(
        transitions(site, &id).await,
        ["requested", "approved", "granted", "spent", "answered"]
    );
    assert_eq!(lea.try_approve(&sheet).await.0, 409, "it is decided");
    end(site, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_between_measurement_and_execution_is_asked_anew() {
    let mut all = Governed::new(0).await;
    let server = all.serve().await;
    let site = &all.site;
    let agent = dan(site);
    let lea = all.person("lea", &["dba"]);
    shop(site)
        .execute_batch("UPDATE products SET category = 'seasonal' WHERE id IN (4, 5)")
        .unwrap();
    let raise = "UPDATE products SET price_cents = price_cents + 100 WHERE category = 'seasonal'";
    let before = prices(site);
    let id = pending(&agent.call("sql_execute", change(raise)).await);
    lea.approve(&lea.asked().await).await;
    // As many rows as before, but other ones.
    shop(site)
        .execute_batch("UPDATE products SET category = 'plain' WHERE id = 5; UPDATE products SET category = 'seasonal' WHERE id = 6")
        .unwrap();
    let new = pending(&agent.call("sql_execute", change(raise)).await);
    assert_ne!(new, id);
    assert_eq!(prices(site), before, "nothing stayed");
    assert_eq!(lea.show(&id).await["state"], json!("cancelled"));
    let sheet = lea.asked().await;
    assert_eq!(sheet["id"], json!(new));
    assert_eq!(
        sheet["effect"]["rows"],
        json!({ "products": { "updated": 2 } }),
        "{sheet}"
    );
    let sample = sheet["effect"]["sample"].as_array().unwrap();
    let keys: Vec<&serde_json::Value> = sample.iter().map(|row| &row["key"]).collect();
    assert_eq!(json!(keys), json!([{ "id": 4 }, { "id": 6 }]), "{sheet}");
    for row in sample {
        let price = |side: &str| row[side]["price_cents"].as_i64().unwrap();
        assert_eq!(price("after"), price("before") + 100, "{row}");
    }
    lea.approve(&sheet).await;
    // Fewer of the approved rows are within what was approved.
    shop(site)
        .execute_batch("UPDATE products SET category = 'plain' WHERE id = 4")
        .unwrap();
    changed(&agent.call("approval_wait", wait(&new)).await, 1);
    assert_eq!(prices(site), before + 100);
    assert_eq!(ran(site, "sql_execute").await.len(), 1);
    assert!(!transitions(site, &id).await.contains(&"spent".to_owned()));
    end(site, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_gives_the_reason_and_nothing_happens() {
    let mut all = Governed::new(0).await;
    let server = all.serve().await;
    let site = &all.site;
    let before = prices(site);
    let agent = dan(site);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let lea = all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    lea.refuse(&sheet, "Prices change on Mondays only.").await;
    for answer in [
        agent.call("approval_wait", wait(&id)).await,
        agent.call("sql_execute", change(RAISE)).await,
    ] {
        assert_eq!(code(&answer), "approval_denied", "{answer}");
        assert!(answer.to_string().contains("Prices change on Mondays only."));
    }
    assert_eq!(lea.try_approve(&sheet).await.0, 409);
    assert_eq!(prices(site), before);
    assert!(ran(site, "sql_execute").await.is_empty());
    assert_eq!(transitions(site, &id).await, ["requested", "refused"]);
    end(site, server).await;
}

/// Row 22: what cannot be taken back takes two people, and neither of them asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn incident_22_what_cannot_be_undone_takes_two_other_people() {
    let mut all = Governed::new(0).await;
    let server = all.serve().await;
    let site = &all.site;
    let agent = dan(site);
    let all_rows = "DELETE FROM reviews";
    let before = number(site, "SELECT count(*) FROM reviews");
    let id = pending(&agent.call("sql_execute", change(all_rows)).await);
    let sheet = all.person("lea", &["dba"]).asked().await;
    assert_eq!(sheet["effect"]["irreversible"], json!(true), "{sheet}");
    assert_eq!(sheet["effect"]["rows"]["reviews"]["deleted"], json!(before));
    assert_eq!(all.person("dan", &["dba"]).try_approve(&sheet).await.0, 403);
    let lea = all.person("lea", &["dba"]);
    lea.approve(&sheet).await;
    assert_eq!(lea.try_approve(&sheet).await.0, 409, "one person, one seat");
    assert_eq!(pending(&agent.call("sql_execute", change(all_rows)).await), id);
    assert_eq!(number(site, "SELECT count(*) FROM reviews"), before);
    all.person("kim", &["dba"]).approve(&sheet).await;
    let done = agent.call("approval_wait", wait(&id)).await;
    changed(&done, u64::try_from(before).unwrap());
    assert_eq!(number(site, "SELECT count(*) FROM reviews"), 0);
    assert_eq!(ran(site, "sql_execute").await.len(), 1);
    end(site, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_refusal_of_a_change_before_and_after_it_was_granted() {
    let mut site = Site::new().await;
    let people = People::serve(&mut site, holding(Duration::ZERO)).await;
    let before = prices(&site);
    let agent = dan(&site);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    people.world.advance(Duration::from_secs(1_801));
    let late = agent.call("approval_wait", wait(&id)).await;
    assert_eq!(code(&late), "approval_expired", "{late}");

    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let granted = people.asked(1).await;
    assert_eq!(granted.0, id, "a new request");
    people.approve(&granted).await;
    assert_eq!(people.state(&granted).await, State::Granted);
    people.world.advance(Duration::from_secs(601));
    let late = agent.call("approval_wait", wait(&id)).await;
    assert_eq!(code(&late), "approval_expired", "{late}");
    assert_eq!(prices(&site), before);
    assert!(ran(&site, "sql_execute").await.is_empty());
    people.stop(&mut site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_left_leaves_nothing_running_and_finds_its_request_again() {
    let mut all = Governed::new(3_600).await;
    let server = all.serve().await;
    let site = &all.site;
    let before = prices(site);
    let agent = dan(site);
    let held = {
        let agent = agent.clone();
        tokio::spawn(async move { agent.call("sql_execute", change(RAISE)).await })
    };
    let lea = all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    let left = wait_for(site, "refusal", 1).await;
    assert_eq!(left[0].code.as_deref(), Some("cancelled"), "{left:?}");
    lea.approve(&sheet).await;
    assert_eq!(prices(site), before, "nothing runs unattended");
    assert_eq!(lea.show(sheet["id"].as_str().unwrap()).await["state"], "granted");
    let several = (0..4).map(|_| agent.call("sql_execute", change(RAISE)));
    for answer in futures::future::join_all(several).await {
        changed(&answer, 3);
    }
    assert_eq!(prices(site), before + 300, "retried, four at once, and made once");
    assert_eq!(ran(site, "sql_execute").await.len(), 1);
    end(site, server).await;
}

/// A change an operator declares, after a look at what it concerns.
const LOOK_AND_RAISE: &str = r#"name = "look_and_raise"
title = "Look at a product and raise its price"
description = "Shows a product, then raises its price by one."
[parameters.product]
type = "integer"
description = "products.id"
[[step]]
tool = "sql_query"
[step.arguments]
resource = "shop"
statement = "SELECT id, name FROM products WHERE id = :id"
parameters = { id = "{product}" }
[[step]]
tool = "sql_execute"
[step.arguments]
resource = "shop"
statement = "UPDATE products SET price_cents = price_cents + 100 WHERE id = :id"
parameters = { id = "{product}" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_waits_is_approved_and_taken_once_by_the_identical_call() {
    let mut all = Governed::new(0).await;
    std::fs::write(
        all.site.dir.path().join("tools/look_and_raise.toml"),
        LOOK_AND_RAISE,
    )
    .unwrap();
    let server = all.serve().await;
    let site = &all.site;
    let before = prices(site);
    let agent = dan(site);
    let arguments = json!({ "product": 9 });
    let first = agent.call("look_and_raise", arguments.clone()).await;
    let id = pending(&first);
    let steps = envelope(&first)["data"]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2, "{first}");
    assert_eq!(steps[0]["data"]["rows"][0][0], json!(9));
    let lea = all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    assert_eq!(
        (&sheet["id"], &sheet["tool"]),
        (&json!(id), &json!("sql_execute")),
        "{sheet}"
    );
    lea.approve(&sheet).await;
    let second = agent.call("look_and_raise", arguments.clone()).await;
    assert_eq!(envelope(&second)["status"], "ok", "{second}");
    let made = envelope(&second)["data"]["steps"][1].clone();
    assert_eq!(made["data"]["rows_affected"], json!(1), "{second}");
    assert_eq!(prices(site), before + 100);
    let third = agent.call("look_and_raise", arguments).await;
    let again = &envelope(&third)["data"]["steps"][1];
    assert_eq!(again["repeats"], made["call_id"], "{third}");
    assert_eq!(again["data"], made["data"]);
    assert_eq!(prices(site), before + 100, "changed once");
    assert_eq!(ran(site, "sql_execute").await.len(), 1);
    end(site, server).await;
}
