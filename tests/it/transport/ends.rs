//! A session ends while something is held for it, on the whole path.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::approval::review::State;
use tollgate::call::Principal;
use tollgate::identity::Bearer;

use crate::support::agent::Agent;
use crate::support::people::{People, holding, runs};
use crate::support::process::{phase, verify, wait_for};
use crate::support::until;

const HOUR: Duration = Duration::from_secs(3600);

fn count() -> Value {
    json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" })
}

async fn principal(people: &People, agent: &Agent) -> Principal {
    people.gate.admit(Bearer(Some(agent.token()))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_people_is_refused_on_record_and_its_request_withdrawn() {
    let (mut site, people) = People::site(holding(HOUR)).await;
    let (ana, bo) = (
        Agent::new(&site, "ana", &["analyst"]),
        Agent::new(&site, "bo", &["analyst"]),
    );
    let ask = |agent: &Agent| {
        let params = json!({ "name": "sql_query", "arguments": count() });
        tokio::spawn(agent.modern("tools/call", params, &json!({})).send())
    };
    let held = ask(&ana);
    let withdrawn = people.asked(1).await;
    let others = ask(&bo);
    people.asked(2).await;
    let session = principal(&people, &ana).await.session.id;
    people.gate.identity.ends().tell(&session);
    let answer = held.await.unwrap().unwrap();
    assert_eq!(answer.status(), 401);
    assert!(
        answer.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .contains("invalid_token")
    );
    until("withdrawn", async || {
        (people.state(&withdrawn).await == State::Cancelled).then_some(())
    })
    .await;
    let refused = wait_for(&site, "refusal", 1).await;
    let code = refused[0].code.as_deref().unwrap();
    assert!(["cancelled", "approval_denied"].contains(&code), "{code}");
    // What is somebody else's goes on as if nothing had happened.
    let open: Vec<_> = people.cards().await;
    let open = open.iter().find(|card| card.state == State::Pending).unwrap();
    people.approve(&open.id).await;
    assert_eq!(others.await.unwrap().unwrap().status(), 200);
    assert_eq!(runs(&site).await.len(), 1);
    assert_eq!(phase(&site, "refusal").await.len(), 1);
    people.stop(&mut site).await;
    let report = verify(&site, &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_has_read_from_is_forgotten_once_nothing_is_decided_in_it() {
    let (mut site, people) = People::site(holding(HOUR)).await;
    let ana = Agent::new(&site, "ana", &["analyst"]);
    let params = json!({ "name": "sql_query", "arguments": count() });
    let call = tokio::spawn(ana.modern("tools/call", params, &json!({})).send());
    let id = people.asked(1).await;
    people.approve(&id).await;
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    let mut known = principal(&people, &ana).await;
    people.gate.identity.recall(&mut known);
    assert!(
        known.session.labels.contains("shop"),
        "{:?}",
        known.session.labels
    );
    people.gate.identity.ends().tell(&known.session.id);
    until("forgotten", async || {
        let mut again = known.clone();
        again.session.labels.clear();
        people.gate.identity.recall(&mut again);
        again.session.labels.is_empty().then_some(())
    })
    .await;
    people.stop(&mut site).await;
}
