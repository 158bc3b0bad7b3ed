//! Incidents with changes, through the whole path.

use serde_json::{Value, json};

use super::{change, code, dan, number, pending, prices, ran};
use crate::support::agent::Agent;
use crate::support::governed::Governed;
use crate::support::process::wait_for;
use crate::support::site::{Site, envelope};

/// What hid a change, or more than one, in something else.
const HIDDEN: &[&str] = &[
    "EXEC('DELETE FROM reviews')",
    "SELECT 'x'; DELETE FROM reviews",
    "UPDATE reviews SET rating = 1 WHERE id = 1; DELETE FROM reviews",
    "UPDATE reviews SET rating = 1 WHERE id = 1;;DELETE FROM reviews",
    "BEGIN; DELETE FROM reviews; COMMIT",
    "/*! DELETE FROM reviews */",
    "PRAGMA writable_schema = 1",
    "ATTACH 'x.db' AS x",
    "VACUUM INTO 'x.db'",
    "CREATE TRIGGER t AFTER UPDATE ON products BEGIN DELETE FROM reviews; END",
    "CREATE TEMP TABLE x AS SELECT 1",
    "INSERT INTO reviews SELECT 9999, 1, 1, 1, load_extension('x')",
    "UPDATE reviews SET body = readfile('/etc/passwd') WHERE id = 1",
    "INSERT INTO sqlite_schema VALUES ('table','x','x',0,'')",
    "EXPLAIN DELETE FROM reviews",
    "REINDEX",
];

/// Rows 7 and 20: whichever tool carries it, a change is a change, and one place decides about it.
#[tokio::test(flavor = "multi_thread")]
async fn incidents_07_20_a_change_is_one_whatever_carries_it() {
    let mut site = Site::new().await;
    site.add_control(1, "people");
    site.configure("[approval]\nhold_seconds = 0\npending_per_person = 100\n");
    for (name, text) in [
        (
            "clean",
            "kind = \"sqlite\"\nresource = \"shop\"\nexecute = \"DELETE FROM reviews WHERE id = 1\"\n",
        ),
        (
            "look_and_clean",
            "[[step]]\ntool = \"sql_query\"\n[step.arguments]\nresource = \"shop\"\nstatement = \"SELECT 1\"\n\
             [[step]]\ntool = \"clean\"\narguments = {}\n",
        ),
    ] {
        let head = format!("name = \"{name}\"\ntitle = \"T\"\ndescription = \"D\"\n{text}");
        std::fs::write(site.dir.path().join(format!("tools/{name}.toml")), head).unwrap();
    }
    let count = "SELECT count(*) FROM reviews";
    let before = number(&site, count);
    let server = site.serve().await;
    let agent = dan(&site);
    for hidden in HIDDEN {
        for tool in ["sql_execute", "sql_query"] {
            let answer = agent.call(tool, change(hidden)).await;
            let refused = [
                "statement_refused",
                "wrong_tool",
                "invalid_arguments",
                "not_permitted",
            ];
            assert!(refused.contains(&code(&answer)), "{tool} {hidden}: {answer}");
        }
    }
    let delete = "DELETE FROM reviews WHERE id = 1";
    let spellings = [
        agent.call("sql_execute", change(delete)).await,
        agent
            .call(
                "sql_execute",
                change("WITH x AS (SELECT 1) DELETE FROM reviews WHERE id = 1"),
            )
            .await,
        agent
            .call("sql_execute", change("delete/**/from \"reviews\" where id=1"))
            .await,
        agent.call("clean", json!({})).await,
        agent.call("look_and_clean", json!({})).await,
    ];
    spellings.iter().for_each(|answer| drop(pending(answer)));
    // And whoever may not change does not by any of these names.
    let ana = Agent::new(&site, "ana", &["analyst"]);
    let invented = ana.call("no_such_tool", json!({})).await;
    for (tool, arguments) in [
        ("sql_execute", change(delete)),
        ("clean", json!({})),
        ("look_and_clean", json!({})),
    ] {
        assert_eq!(ana.call(tool, arguments).await, invented, "{tool}");
    }
    assert_eq!(code(&ana.call("sql_query", change(delete)).await), "wrong_tool");
    server.stop().await;
    assert_eq!(number(&site, count), before);
    assert!(ran(&site, "sql_execute").await.is_empty());
}

/// Row 16: an agent that read what customers wrote, and then does as it says.
#[tokio::test(flavor = "multi_thread")]
async fn incident_16_after_personal_data_nothing_can_be_carried_out_elsewhere() {
    let mut site = Site::new().await;
    site.add_control(1, "people");
    site.configure("[approval]\nhold_seconds = 0\n");
    let server = site.serve().await;
    let agent = Agent::new(&site, "all", &["analyst", "developer", "dba"]);
    let listing = json!({ "resource": "work", "argv": ["ls"] });
    let before = agent.call("shell_run", listing.clone()).await;
    assert_eq!(envelope(&before)["status"], "ok", "{before}");
    let read = json!({ "resource": "shop", "statement": "SELECT body FROM reviews LIMIT 1" });
    assert_eq!(envelope(&agent.call("sql_query", read).await)["status"], "ok");
    for arguments in [
        listing.clone(),
        json!({ "resource": "work", "argv": ["bash", "-c", "true"] }),
        json!({ "resource": "work", "command": "ls", "change": true }),
    ] {
        let after = agent.call("shell_run", arguments).await;
        assert_eq!(code(&after), "not_permitted", "{after}");
    }
    // Where the data is at home it may be changed, when somebody else agrees.
    let back = "UPDATE reviews SET body = (SELECT group_concat(email) FROM customers) WHERE id = 1";
    let masked = agent.call("sql_execute", change(back)).await;
    assert_ne!(
        envelope(&masked)["status"],
        "ok",
        "a mask is not written back: {masked}"
    );
    pending(&agent.call("sql_execute", change(super::RAISE)).await);
    let other = Agent::new(&site, "another", &["developer"]);
    let fresh = other.call("shell_run", listing).await;
    assert_eq!(envelope(&fresh)["status"], "ok", "who has read nothing: {fresh}");
    server.stop().await;
}

/// Rows H3, H4, H8 and 44 on the served side for people: who decides is decided there, and nothing that an
/// agent holds opens it.
#[tokio::test(flavor = "multi_thread")]
async fn incidents_44_h3_h8_nothing_an_agent_holds_decides() {
    let mut all = Governed::new(0).await;
    let server = all.serve().await;
    let site = &all.site;
    let before = prices(site);
    let id = pending(&dan(site).call("sql_execute", change(super::RAISE)).await);
    let lea = all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    let url = format!("{}/{id}/approve", lea.url());
    let agents_token = site.token("lea", &["dba"]);
    let persons_token = lea.token().to_owned();
    let http = tollgate::app::http_client().unwrap();
    for (name, value) in [
        ("x-none", String::new()),
        ("authorization", format!("Bearer {agents_token}")),
        ("authorization", "Bearer default".to_owned()),
        ("authorization", format!("Basic {persons_token}")),
        ("x-api-key", persons_token.clone()),
        ("x-forwarded-user", "test#lea".to_owned()),
        ("cookie", format!("access_token={persons_token}")),
    ] {
        let seen = json!({ "action_sha256": sheet["action_sha256"] });
        let answer = http
            .post(&url)
            .header(name, &value)
            .json(&seen)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 401, "{name}: {value}");
    }
    let groups: &[&[&str]] = &[&[], &["analyst"], &["developer"]];
    for theirs in groups {
        let stranger = all.person("eve", theirs);
        assert_eq!(stranger.waiting().await, Vec::<Value>::new());
        assert_eq!(stranger.try_approve(&sheet).await.0, 404, "{theirs:?}");
    }
    let mut other = sheet.clone();
    other["action_sha256"] = json!("0".repeat(64));
    assert_eq!(lea.try_approve(&other).await.0, 409, "not what was seen");
    assert_eq!(all.person("dan", &["dba"]).try_approve(&sheet).await.0, 403);
    assert_eq!(lea.show(&id).await["state"], json!("pending"));
    assert_eq!(prices(site), before);
    assert!(
        wait_for(site, "decision", 1).await.len() < 3,
        "refused decisions are not transitions"
    );
    server.terminate();
    server.exit().await;
}
