//! Who stands in for whom, and broken glass that is reviewed late, where the store is a file: the journal is in the same one.

use reqwest::Method;
use serde_json::{Value, json};
use tollgate::clock::{System, World};

use super::{change, changed, dan, pending, wait};
use crate::support::governed::Governed;
use crate::support::process::{records, signed_in, verify};
use crate::support::site::envelope;

fn raise(by: u32) -> Value {
    change(&format!(
        "UPDATE products SET price_cents = price_cents + {by} WHERE id = 1"
    ))
}

async fn governed(approval: &str) -> Governed {
    let all = Governed::new(0).await;
    let (config, policies) = (
        all.site.config(),
        all.site.dir.path().join("policies/10-everyone.cedar"),
    );
    let text = std::fs::read_to_string(&config).unwrap();
    let more = text.replacen("[approval]\n", &format!("[approval]\n{approval}"), 1);
    std::fs::write(&config, more).unwrap();
    let text = std::fs::read_to_string(&policies).unwrap();
    let marked = text.replace(
        "@approval(\"1 dba\")",
        "@approval(\"1 dba\")\n@break_glass(\"dba\")\n@grantable(\"30m, 5 uses\")",
    );
    assert_ne!(marked, text);
    std::fs::write(&policies, marked).unwrap();
    all
}

/// How often each of these events is on record.
async fn on_record<const N: usize>(all: &Governed, events: [&str; N]) -> [usize; N] {
    let records = records(&all.site, tollgate::store::read::RecordFilter::default()).await;
    let text: Vec<String> = records.iter().map(|one| format!("{one:?}")).collect();
    events.map(|event| text.iter().filter(|one| one.contains(event)).count())
}

/// Somebody named by a person of the group decides for them, on record before it counts; taken back, they decide nothing more, and
/// what they approved does not run.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_stands_in_until_it_is_taken_back() {
    let mut all = governed("delegation_days = 7\n").await;
    let server = all.serve().await;
    let agent = dan(&all.site);
    let (lea, sam) = (all.person("lea", &["dba"]), all.person("sam", &[]));
    let id = pending(&agent.call("sql_execute", raise(1)).await);
    assert!(sam.waiting().await.is_empty());
    let until = System::new().now().seconds() + 3_600;
    let wish = json!({"to": "test#sam", "group": "dba", "until": until});
    let (status, card) = lea.api(Method::POST, "/../delegations", Some(&wish)).await;
    assert_eq!((status, &card["state"]), (200, &json!("counts")), "{card}");
    sam.approve(&sam.asked().await).await;
    changed(&agent.call("approval_wait", wait(&id)).await, 1);

    let id = pending(&agent.call("sql_execute", raise(2)).await);
    sam.approve(&sam.asked().await).await;
    let path = format!("/../delegations/{}/end", card["id"].as_str().unwrap());
    let (status, said) = sam.api(Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(status, 200, "{said}");
    let answer = agent.call("approval_wait", wait(&id)).await;
    assert_ne!(envelope(&answer)["status"], "ok", "{answer}");
    pending(&agent.call("sql_execute", raise(3)).await);
    assert!(sam.waiting().await.is_empty());
    let (status, said) = lea.api(Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(status, 409, "it is over: {said}");
    assert!(
        !server.log().contains("the journal cannot be written"),
        "nobody's call was held up: {}",
        server.log()
    );
    drop(server);
    let told = on_record(&all, ["\"delegated\"", "\"delegation_ended\""]).await;
    assert_eq!(told, [1, 1]);
    assert_eq!(verify(&all.site, &[])["problem_count"], json!(0));
}

/// At a terminal: what may be freed has the names that `approve` takes, and what was approved for a while says what is free.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_says_what_may_be_approved_for_a_while_and_how() {
    let mut all = governed("").await;
    all.site.issuer.at_the_browser("lea", &["dba"]);
    let _server = all.serve().await;
    let agent = dan(&all.site);
    let id = pending(&agent.call("sql_execute", raise(7)).await);
    let (code, shown, notes) = signed_in(&all.site, &["approvals", "show", &id]).await;
    assert_eq!(code, 0, "{notes}");
    for words in [
        "You may approve it for a while",
        "--minutes 30 at most, --uses 5 at most, --rows 1 at most",
        "--free \"literal 1\" frees {\"integer\":\"7\"}",
        "--free \"literal 2\" frees {\"integer\":\"1\"}",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let lea = all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    let action = sheet["action_sha256"].as_str().unwrap();
    let wish = [
        "--minutes",
        "10",
        "--uses",
        "2",
        "--rows",
        "1",
        "--free",
        "literal 2",
    ];
    let asked = [&["approvals", "approve", &id, "--action", action], &wish[..]].concat();
    let (code, said, notes) = signed_in(&all.site, &asked).await;
    assert!(code == 0 && said.contains("granted"), "{said}{notes}");
    changed(&agent.call("approval_wait", wait(&id)).await, 1);
    let (_, listed, _) = signed_in(&all.site, &["approvals", "grants"]).await;
    let listed = listed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        listed.contains("2 of 2 uses left") && listed.contains("at most 1 rows each · free: literal 2"),
        "{listed}"
    );
}

/// The glass was broken, and its request is long gone when somebody reviews it: that is on record all the same.
#[tokio::test(flavor = "multi_thread")]
async fn broken_glass_is_reviewed_also_when_its_request_is_gone() {
    let mut all = governed("").await;
    let server = all.serve().await;
    let agent = dan(&all.site);
    let id = pending(&agent.call("sql_execute", raise(1)).await);
    let (person, lea) = (all.person("dan", &["dba"]), all.person("lea", &["dba"]));
    let (_, sheet) = person.api(Method::GET, &format!("/{id}"), None).await;
    let said = json!({"action_sha256": sheet["action_sha256"], "reason": "the shop is on fire"});
    let (status, card) = person
        .api(Method::POST, &format!("/{id}/break-glass"), Some(&said))
        .await;
    assert_eq!(status, 200, "{card}");
    changed(&agent.call("approval_wait", wait(&id)).await, 1);
    let broken = async |who: &str| -> (Value, Value) {
        let (status, stats) = all
            .person(who, &["dba"])
            .api(Method::GET, "/../stats", None)
            .await;
        assert_eq!(status, 200, "{stats}");
        (
            stats["break_glass"].clone(),
            stats["break_glass_unreviewed"].clone(),
        )
    };
    assert_eq!(broken("lea").await, (json!(1), json!(1)), "she is asked about it");
    // What was settled long ago goes, in time; its broken glass stays.
    let store = rusqlite::Connection::open(all.site.dir.path().join("journal.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    store.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    assert_eq!(
        store
            .execute("DELETE FROM approval WHERE id = ?1", [&id])
            .unwrap(),
        1
    );
    let (path, words) = (
        format!("/../break-glass/{id}/review"),
        json!({"words": "agreed by phone"}),
    );
    let (status, said) = person.api(Method::POST, &path, Some(&words)).await;
    assert_eq!(status, 403, "never one's own: {said}");
    let (status, said) = lea.api(Method::POST, &path, Some(&words)).await;
    assert_eq!(status, 200, "{said}");
    let (status, said) = lea.api(Method::POST, &path, Some(&words)).await;
    assert_eq!(status, 409, "{said}");
    let (_, listed) = lea.api(Method::GET, "/../break-glass", None).await;
    assert_eq!(listed["break_glass"][0]["review"], "agreed by phone", "{listed}");
    assert_eq!(broken("lea").await, (json!(1), json!(0)));
    assert!(
        !server.log().contains("the journal cannot be written"),
        "{}",
        server.log()
    );
    drop(server);
    assert_eq!(on_record(&all, ["\"reviewed\""]).await, [1]);
    assert_eq!(verify(&all.site, &[])["problem_count"], json!(0));
}
