//! `tollgate login` at the facade of the real server: in a browser, and by a code typed elsewhere.

use serde_json::{Value, json};

use super::{Machine, refusal, text};
use crate::facade::served::{Served, person, signs_in};
use crate::peers::python;
use crate::support::BINARY;
use crate::support::agent::Agent;

async fn whoami(machine: &Machine) -> Value {
    serde_json::from_str(&text(&machine.run(&["whoami", "--json"]).await)).unwrap()
}

/// Everything a login is good for, until it is over.
async fn use_up(served: &Served, machine: &Machine) {
    let who = whoami(machine).await;
    assert_eq!(who["principal"]["user"]["id"], "corp#alice");
    assert_eq!(who["principal"]["user"]["groups"], json!(["analyst"]));
    assert_eq!(who["issuer"], json!(served.site.url));
    assert_eq!(who["renewable"], true);
    let before = text(&machine.run(&["token"]).await).trim().to_owned();
    machine.age();
    let token = text(&machine.run(&["token"]).await).trim().to_owned();
    assert!(token.starts_with("tga_") && token != before);

    for (mode, protocol) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let told = python(json!({
            "command": BINARY, "args": ["stdio", "--server", served.site.url],
            "env": {"HOME": machine.home.path()}, "mode": mode, "calls": [
                ["sql_query", { "resource": "shop", "statement": "SELECT email FROM customers ORDER BY id LIMIT 2" }],
            ],
        }))
        .await;
        assert_eq!(told["protocol"], protocol, "{told}");
        let tools = told["tools"].as_array().unwrap();
        assert!(
            tools.contains(&json!("sql_query")) && !tools.contains(&json!("file_read")),
            "{told}"
        );
        assert_eq!(told["results"][0]["structured"]["status"], "ok", "{told}");
    }

    let kept = machine.kept();
    let agent = Agent::with(&served.site, token);
    let listing = || agent.modern("tools/list", json!({}), &json!({})).send();
    assert_eq!(listing().await.unwrap().status(), 200);
    assert!(text(&machine.run(&["logout"]).await).contains("logged out"));
    assert_eq!(listing().await.unwrap().status(), 401, "the token is dead");
    assert!(refusal(&machine.run(&["token"]).await).contains("tollgate login"));
    let log = served.server.log();
    for name in ["access", "refresh"] {
        assert!(!log.contains(kept["tokens"][name].as_str().unwrap()), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_in_a_browser_is_good_until_it_is_over() {
    let served = Served::with("").await;
    let machine = Machine::new();
    let arguments = ["login", "--server", &served.site.url, "--browser"];
    let (login, shown) = machine.begin(&arguments, &["http"]).await;
    let page = signs_in(&shown[0], "alice", None).await;
    assert!(page["text"].as_str().unwrap().contains("Logged in"), "{page}");
    let (done, said) = login.end().await;
    assert!(done, "{said}");
    use_up(&served, &machine).await;

    let (login, shown) = machine.begin(&arguments, &["http"]).await;
    person(json!({"url": shown[0], "user": "alice", "says": "no"})).await;
    let (done, said) = login.end().await;
    assert!(!done && said.contains("access_denied"), "{said}");
    assert!(!machine.file_exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_by_a_code_typed_elsewhere_is_good_until_it_is_over() {
    let served = Served::with("").await;
    let machine = Machine::new();
    let arguments = ["login", "--server", &served.site.url, "--device"];
    let (login, shown) = machine.begin(&arguments, &["http", ""]).await;
    assert!(!shown[0].contains("user_code"), "pre-filled: {}", shown[0]);
    let page = signs_in(&shown[0], "alice", Some(&shown[1])).await;
    assert_eq!(page["status"], 200, "{page}");
    let (done, said) = login.end().await;
    assert!(done, "{said}\n{page}");
    use_up(&served, &machine).await;

    let (login, shown) = machine.begin(&arguments, &["http", ""]).await;
    let spec = json!({"url": shown[0], "user": "alice", "code": shown[1], "says": "no"});
    let page = person(spec).await;
    assert!(page["text"].as_str().unwrap().contains("You said no"), "{page}");
    let (done, said) = login.end().await;
    assert!(!done && said.contains("access_denied"), "{said}");
    assert!(!machine.file_exists());
}
