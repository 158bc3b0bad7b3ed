//! Changes asked for by a client nobody here wrote, the official Python SDK in both eras of the protocol:
//! decided while it waits, decided later, refused, sent again. Rows are counted.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::approval::review::Choice;

use super::{RAISE, change, prices, ran};
use crate::peers::script;
use crate::support::people::{People, holding};
use crate::support::process::phase;
use crate::support::site::Site;
use crate::support::until;

const LONG: Duration = Duration::from_secs(40);
const SHORT: Duration = Duration::from_millis(300);

/// A site with the shipped policies, and people.
async fn site(hold: Duration) -> (Site, People) {
    let mut site = Site::new().await;
    let people = People::serve(&mut site, holding(hold)).await;
    (site, people)
}

async fn python(site: &Site, mode: &str, times: usize) -> Value {
    let call = json!(["sql_execute", change(RAISE)]);
    let spec = json!({ "url": site.endpoint(), "token": site.token("dan", &["dba"]), "mode": mode,
        "calls": vec![call; times], "follow": true });
    script("session.py", spec).await
}

async fn told_pending(site: &Site) {
    until("a pending answer", async || {
        let results = phase(site, "result").await;
        let told = |status: &Option<String>| status.as_deref() == Some("approval_pending");
        results.iter().any(|result| told(&result.status)).then_some(())
    })
    .await;
}

fn made(result: &Value) {
    assert_eq!(
        result["structured"]["data"]["rows_affected"],
        json!(3),
        "{result}"
    );
    assert_eq!(result["is_error"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_waits_while_a_change_is_decided_and_it_is_made_once() {
    for mode in ["auto", "legacy"] {
        let (site, people) = site(LONG).await;
        let before = prices(&site);
        let decide = async {
            let id = people.asked(1).await;
            assert_eq!(prices(&site), before);
            people.approve(&id).await;
        };
        let (told, ()) = tokio::join!(python(&site, mode, 2), decide);
        told["results"].as_array().unwrap().iter().for_each(made);
        assert_eq!(told["results"][0]["waits"], json!(0), "{told}");
        assert_eq!(prices(&site), before + 300, "{mode}: sent twice, made once");
        assert_eq!(ran(&site, "sql_execute").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_asks_again_until_a_change_is_decided_and_it_is_made_once() {
    for mode in ["auto", "legacy"] {
        let (site, people) = site(SHORT).await;
        let before = prices(&site);
        let decide = async {
            let id = people.asked(1).await;
            told_pending(&site).await;
            people.approve(&id).await;
        };
        let (told, ()) = tokio::join!(python(&site, mode, 3), decide);
        told["results"].as_array().unwrap().iter().for_each(made);
        assert!(told["results"][0]["waits"].as_u64().unwrap() > 0, "{told}");
        assert_eq!(prices(&site), before + 300, "{mode}");
        assert_eq!(ran(&site, "sql_execute").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_why_a_change_was_refused_and_nothing_is_made() {
    for mode in ["auto", "legacy"] {
        let (site, people) = site(SHORT).await;
        let before = prices(&site);
        let refuse = async {
            let id = people.asked(1).await;
            told_pending(&site).await;
            let why = Choice::Refuse("Prices change on Mondays only.".to_owned());
            people.decide(&id, why).await.unwrap();
        };
        let (told, ()) = tokio::join!(python(&site, mode, 2), refuse);
        for result in told["results"].as_array().unwrap() {
            assert_eq!(
                result["structured"]["refusal"]["code"], "approval_denied",
                "{told}"
            );
            assert!(result.to_string().contains("Prices change on Mondays only."));
        }
        assert_eq!(prices(&site), before, "{mode}");
        assert!(ran(&site, "sql_execute").await.is_empty());
    }
}
