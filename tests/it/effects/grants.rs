//! A change that a second person approves for a while.

use reqwest::Method;
use serde_json::{Value, json};

use super::{change, changed, code, dan, number, pending, ran, wait};
use crate::support::agent::Agent;
use crate::support::governed::Governed;
use crate::support::site::envelope;

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

/// Policy may offer it as it likes: what stays cannot be approved unread.
#[tokio::test(flavor = "multi_thread")]
async fn what_writes_and_what_changes_a_schema_is_approved_one_by_one() {
    let mut all = Governed::new(0).await;
    let folder = all.site.dir.path().join("policies");
    std::fs::remove_dir_all(folder.join("tests")).unwrap();
    let more = r#"@id("dba-changes-structure") permit (principal in Tollgate::Group::"dba",
        action == Tollgate::Action::"sql_ddl", resource in Tollgate::Label::"shop");"#;
    std::fs::write(folder.join("90-here.cedar"), more).unwrap();
    for (file, asks) in [
        ("10-everyone.cedar", "@approval(\"1 dba\")"),
        ("30-developer.cedar", "@approval(\"1 developer\")"),
    ] {
        let file = folder.join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        let marked = text.replace(asks, &format!("{asks}\n@grantable(\"30m, 5 uses\")"));
        assert_ne!(marked, text);
        std::fs::write(&file, marked).unwrap();
    }
    let server = all.serve().await;
    let script = |change: bool| {
        let text = "echo more >> more.txt; wc -l < more.txt";
        json!({"resource": "work", "argv": ["bash", "-c", text], "change": change})
    };
    let index = change("CREATE INDEX by_price ON products (price_cents)");
    let dev = Agent::new(&all.site, "dev", &["developer"]);
    let dba = dan(&all.site);
    let (kim, lea) = (all.person("kim", &["developer"]), all.person("lea", &["dba"]));
    let wish = json!({"minutes": 10, "uses": 2});
    for (agent, reviewer, tool, arguments) in [
        (&dev, &kim, "shell_run", script(true)),
        (&dba, &lea, "sql_execute", index),
    ] {
        let ahead = json!({"tool": tool, "arguments": arguments, "reason": "often"});
        let ahead = agent.call("access_request", ahead).await;
        assert_eq!(code(&ahead), "approval_unavailable", "{ahead}");
        let id = pending(&agent.call(tool, arguments.clone()).await);
        let sheet = reviewer.asked().await;
        assert!(sheet.get("offer").is_none(), "{sheet}");
        let body = json!({"action_sha256": sheet["action_sha256"], "for": wish});
        let (status, said) = reviewer
            .api(Method::POST, &format!("/{id}/approve"), Some(&body))
            .await;
        assert_eq!(status, 422, "{said}");
        assert!(said.to_string().contains("only be approved once"), "{said}");
        reviewer.approve(&sheet).await;
        let done = agent.call("approval_wait", wait(&id)).await;
        assert_eq!(envelope(&done)["status"], "ok", "{done}");
        let (_, grants) = reviewer.api(Method::GET, "/../grants", None).await;
        assert_eq!(grants["grants"], json!([]), "{grants}");
    }
    // In a sandbox in which it can write nothing, the same script leaves nothing: people may.
    pending(&dev.call("shell_run", script(false)).await);
    let sheet = kim.asked().await;
    assert_eq!(sheet["offer"]["uses"], json!(5), "{sheet}");
    super::changes::end(&all.site, server).await;
}
