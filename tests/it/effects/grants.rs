//! A change that a second person approves for a while.

use reqwest::Method;
use serde_json::{Value, json};

use super::{change, changed, dan, number, pending, ran};
use crate::support::governed::Governed;

fn raise(by: u32, id: u32) -> Value {
    change(&format!(
        "UPDATE products SET price_cents = price_cents + {by} WHERE id = {id}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_like_an_approved_one_run_until_the_uses_are_gone_and_every_other_is_asked_about() {
    let mut all = Governed::new(0).await;
    let file = all.site.dir.path().join("policies/10-everyone.cedar");
    let text = std::fs::read_to_string(&file).unwrap();
    let marked = text.replace(
        "@approval(\"1 dba\")",
        "@approval(\"1 dba\")\n@grantable(\"30m, 5 uses\")",
    );
    assert_ne!(marked, text);
    std::fs::write(&file, marked).unwrap();
    let server = all.serve().await;
    let agent = dan(&all.site);
    let price = |id: u32| {
        number(
            &all.site,
            &format!("SELECT price_cents FROM products WHERE id = {id}"),
        )
    };
    let (first, second) = (price(1), price(2));
    let id = pending(&agent.call("sql_execute", raise(100, 1)).await);
    let lea = all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    assert_eq!(
        sheet["offer"]["free"]["literal 2"],
        json!({"integer": "1"}),
        "{sheet}"
    );
    assert_eq!(sheet["offer"]["rows"], json!(1));
    let wish = json!({"minutes": 10, "uses": 2, "free": ["literal 2"]});
    let body = json!({"action_sha256": sheet["action_sha256"], "for": wish});
    let (status, card) = lea
        .api(Method::POST, &format!("/{id}/approve"), Some(&body))
        .await;
    assert_eq!((status, &card["state"]), (200, &json!("granted")), "{card}");
    changed(&agent.call("sql_execute", raise(100, 1)).await, 1);
    changed(&agent.call("sql_execute", raise(100, 2)).await, 1);
    pending(&agent.call("sql_execute", raise(999, 2)).await);
    changed(&agent.call("sql_execute", raise(100, 2)).await, 1);
    assert_eq!((price(1), price(2)), (first + 100, second + 200));
    pending(&agent.call("sql_execute", raise(100, 3)).await);

    let ran = ran(&all.site, "sql_execute").await;
    let under: Vec<&Value> = ran.iter().map(|one| &one["approval"]["grant"]).collect();
    assert_eq!(
        under.iter().filter(|grant| grant.is_string()).count(),
        2,
        "{ran:?}"
    );
    assert!(
        ran.iter()
            .all(|one| one["approval"]["approvers"] == json!(["test#lea"]))
    );
    let (status, grants) = all
        .person("dan", &["dba"])
        .api(Method::GET, "/../grants", None)
        .await;
    assert_eq!(status, 200, "{grants}");
    let grant = &grants["grants"][0];
    assert_eq!(
        (&grant["state"], &grant["uses_left"]),
        (&json!("used up"), &json!(0)),
        "{grant}"
    );
    let (status, stats) = lea.api(Method::GET, "/../stats", None).await;
    assert_eq!(
        (status, &stats["rules"][0]["under_grant"]),
        (200, &json!(2)),
        "{stats}"
    );
    let (status, none) = all
        .person("eve", &["analyst"])
        .api(Method::GET, "/../grants", None)
        .await;
    assert_eq!(
        (status, &none["grants"]),
        (200, &json!([])),
        "not for them to see"
    );
    super::changes::end(&all.site, server).await;
}
