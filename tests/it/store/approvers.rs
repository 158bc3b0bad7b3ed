//! People who decide at two replicas at the same moment, on one PostgreSQL: everybody counts once, what is left is taken
//! once, and what somebody takes back at one is gone at the other.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tollgate::clock::{System, World};

use super::Two;
use crate::effects::{change, changed, pending, prices, wait};
use crate::support::agent::Agent;
use crate::support::governed::Person;
use crate::support::process::verify;
use crate::support::site::envelope;

/// Changes of the shop need so many of the dba, and may be approved for a while.
fn policy(people: u32) -> String {
    format!(
        r#"
@id("dbas") permit (principal in Tollgate::Group::"dba",
  action in [Tollgate::Action::"describe", Tollgate::Action::"measure", Tollgate::Action::"sql_write"], resource in Tollgate::Label::"shop");
@id("dba-decides") permit (principal in Tollgate::Group::"dba",
  action == Tollgate::Action::"approve", resource in Tollgate::Label::"shop");
@id("people-agree") @approval("{people} dba") @grantable("30m, 5 uses") @explain("Others look first.")
forbid (principal, action == Tollgate::Action::"sql_write", resource)
unless {{ context.satisfied.contains("people-agree") }};
"#
    )
}

async fn two(people: u32, approval: &str) -> Two {
    let two = Two::new(0).await;
    two.site().set_policies(&policy(people));
    two.configure(|text| text.replacen("[approval]\n", &format!("[approval]\n{approval}"), 1));
    two
}

fn agent(two: &Two) -> [Agent; 2] {
    let here = Agent::new(two.site(), "dan", &["dba"]);
    let there = two.there(&here);
    [here, there]
}

fn raise(by: u32, id: u32) -> Value {
    change(&format!(
        "UPDATE products SET price_cents = price_cents + {by} WHERE id = {id}"
    ))
}

fn count(statuses: &[(u16, Value)], status: u16) -> usize {
    statuses.iter().filter(|(one, _)| *one == status).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_at_two_replicas_at_once_are_the_quorum_and_each_counts_once() {
    let mut two = two(2, "").await;
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let [lea, lea_there] = two.person("lea", &["dba"]);
    let [kim, kim_there] = two.person("kim", &["dba"]);
    let [agent, agent_there] = agent(&two);
    for round in 1..=4 {
        let before = prices(two.site());
        let id = pending(&agent.call("sql_execute", raise(100 + round, 1)).await);
        let sheet = kim_there.asked().await;
        assert_eq!(sheet["id"], json!(id));
        // The same person, at both, twice at each: once.
        let of_lea = [&lea, &lea_there, &lea, &lea_there].map(|one| one.try_approve(&sheet));
        let of_kim = [&kim_there, &kim].map(|one| one.try_approve(&sheet));
        let (of_lea, of_kim) = tokio::join!(join_all(of_lea), join_all(of_kim));
        for of_one in [&of_lea, &of_kim] {
            assert_eq!(count(of_one, 200), 1, "{of_one:?}");
            assert_eq!(count(of_one, 409), of_one.len() - 1, "{of_one:?}");
        }
        let decisions = format!("SELECT count(*) FROM tollgate.approval_decision WHERE approval = '{id}'");
        assert_eq!(two.sql(&decisions), "2");
        let granted = format!(
            "SELECT count(*) FROM tollgate.approval_event WHERE word = 'granted' AND approval = '{id}'"
        );
        assert_eq!(two.sql(&granted), "1");
        let answers = join_all([&agent, &agent_there].map(|one| one.call("approval_wait", wait(&id)))).await;
        assert!(
            answers.iter().any(|answer| envelope(answer)["status"] == "ok"),
            "{answers:?}"
        );
        assert_eq!(prices(two.site()), before + 100 + i64::from(round), "once");
    }
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
}

/// One says yes at one replica while another says no at the other: whoever came first, it never runs after the no was
/// taken, and both are told the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_one_replica_ends_it_at_both() {
    let mut two = two(1, "").await;
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let [lea, _] = two.person("lea", &["dba"]);
    let [_, kim_there] = two.person("kim", &["dba"]);
    let [agent, agent_there] = agent(&two);
    for round in 1..=4 {
        let before = prices(two.site());
        let id = pending(&agent.call("sql_execute", raise(200 + round, 1)).await);
        let sheet = kim_there.asked().await;
        let no = json!({"action_sha256": sheet["action_sha256"], "reason": "not today"});
        let path = format!("/{id}/refuse");
        let ((yes, _), (refused, why)) = tokio::join!(
            lea.try_approve(&sheet),
            kim_there.api(Method::POST, &path, Some(&no))
        );
        // Until it has run, anybody who is asked may still say no.
        assert_eq!(refused, 200, "{why}");
        assert!(yes == 200 || yes == 409, "{yes}");
        for one in [&agent, &agent_there] {
            let answer = one.call("approval_wait", wait(&id)).await;
            assert_eq!(
                envelope(&answer)["refusal"]["code"],
                json!("approval_denied"),
                "{answer}"
            );
        }
        assert_eq!(prices(two.site()), before, "nothing ran");
    }
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
}

/// Approves what waits, and so many calls like it with another row.
async fn approve_for(person: &Person, uses: u32) {
    let sheet = person.asked().await;
    let wish = json!({"minutes": 10, "uses": uses, "free": ["literal 2"]});
    let body = json!({"action_sha256": sheet["action_sha256"], "for": wish});
    let path = format!("/{}/approve", sheet["id"].as_str().unwrap());
    let (status, card) = person.api(Method::POST, &path, Some(&body)).await;
    assert_eq!((status, &card["state"]), (200, &json!("granted")), "{card}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_of_a_grant_is_taken_at_one_of_two_replicas() {
    let mut two = two(1, "").await;
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let [lea, lea_there] = two.person("lea", &["dba"]);
    let [agent, agent_there] = agent(&two);
    for round in 1..=3 {
        let by = 300 + round;
        let before = prices(two.site());
        let id = pending(&agent.call("sql_execute", raise(by, 1)).await);
        approve_for(&lea_there, 1).await;
        changed(&agent_there.call("approval_wait", wait(&id)).await, 1);
        let racing = [(&agent, 2), (&agent_there, 3), (&agent, 4), (&agent_there, 5)];
        let racing = racing.map(|(agent, row)| agent.call("sql_execute", raise(by, row)));
        let answers = join_all(racing).await;
        let ran = answers
            .iter()
            .filter(|answer| envelope(answer)["status"] == "ok")
            .count();
        assert_eq!(ran, 1, "{answers:#?}");
        assert_eq!(
            prices(two.site()),
            before + 2 * i64::from(by),
            "the call, and one use"
        );
        // The others are put to people.
        for answer in answers.iter().filter(|answer| envelope(answer)["status"] != "ok") {
            let id = pending(answer);
            let (status, _) = agent_withdraws(&two, &id).await;
            assert_eq!(status, 200);
        }
        let (_, grants) = lea.api(Method::GET, "/../grants", None).await;
        let used = grants["grants"].as_array().unwrap().iter();
        assert!(
            used.clone().all(|grant| grant["uses_left"] == json!(0)),
            "{grants}"
        );
        assert_eq!(used.count(), usize::try_from(round).unwrap());
    }
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
}

/// Their person withdraws a request.
async fn agent_withdraws(two: &Two, id: &str) -> (u16, Value) {
    let [_, dan_there] = two.person("dan", &["dba"]);
    dan_there
        .api(Method::POST, &format!("/{id}/cancel"), Some(&json!({})))
        .await
}

/// Revoked at one replica, a grant covers nothing at the other from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_revoked_at_one_replica_is_over_at_the_other() {
    let mut two = two(1, "").await;
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let [lea, lea_there] = two.person("lea", &["dba"]);
    let [agent, agent_there] = agent(&two);
    pending(&agent.call("sql_execute", raise(7, 1)).await);
    approve_for(&lea, 5).await;
    changed(&agent.call("sql_execute", raise(7, 1)).await, 1);
    changed(&agent_there.call("sql_execute", raise(7, 2)).await, 1);
    let (_, grants) = lea_there.api(Method::GET, "/../grants", None).await;
    let id = grants["grants"][0]["id"].as_str().unwrap();
    let (status, said) = lea_there
        .api(Method::POST, &format!("/../grants/{id}/revoke"), Some(&json!({})))
        .await;
    assert_eq!(status, 200, "{said}");
    let before = prices(two.site());
    for (agent, row) in [(&agent, 3), (&agent_there, 4)] {
        pending(&agent.call("sql_execute", raise(7, row)).await);
    }
    assert_eq!(prices(two.site()), before);
}

/// Who stands in, by a word given at one replica, decides at the other; taken back there, what was approved so does not
/// run here.
#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_counts_and_ends_at_both_replicas() {
    let mut two = two(1, "delegation_days = 7\n").await;
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let [lea, lea_there] = two.person("lea", &["dba"]);
    let [sam, sam_there] = two.person("sam", &[]);
    let [agent, agent_there] = agent(&two);
    let id = pending(&agent.call("sql_execute", raise(11, 1)).await);
    let sheet = lea.asked().await;
    assert!(matches!(sam_there.try_approve(&sheet).await.0, 403 | 404));
    let until = System::new().now().seconds() + 3_600;
    let wish = json!({"to": "test#sam", "group": "dba", "until": until});
    let (status, card) = lea.api(Method::POST, "/../delegations", Some(&wish)).await;
    assert_eq!(status, 200, "{card}");
    let sheet = sam_there.asked().await;
    sam_there.approve(&sheet).await;
    changed(&agent.call("approval_wait", wait(&id)).await, 1);
    // Approved by who stands in here; ended there, before it ran.
    let before = prices(two.site());
    let id = pending(&agent_there.call("sql_execute", raise(12, 1)).await);
    sam.approve(&sam.asked().await).await;
    let path = format!("/../delegations/{}/end", card["id"].as_str().unwrap());
    let (status, said) = lea_there.api(Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(status, 200, "{said}");
    for agent in [&agent, &agent_there] {
        let answer = agent.call("approval_wait", wait(&id)).await;
        assert_ne!(envelope(&answer)["status"], "ok", "{answer}");
    }
    assert_eq!(prices(two.site()), before, "it did not run");
    pending(&agent.call("sql_execute", raise(13, 1)).await);
    assert!(sam.waiting().await.is_empty() && sam_there.waiting().await.is_empty());
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
}
