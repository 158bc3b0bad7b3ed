//! Backups of either engine, put back into either.

use serde_json::{Value, json};

use super::{SECRET, Two, private, server};
use crate::effects::{RAISE, change, changed, dan, pending, prices, wait};
use crate::support::governed::Governed;
use crate::support::process::{tollgate, verify};
use crate::support::site::{Site, envelope, on_server};

fn run(site: &Site, arguments: &[&str]) -> (bool, String) {
    let output = tollgate(site, arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn records(site: &Site) -> u64 {
    let report = verify(site, &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
    report["records"].as_u64().unwrap()
}

/// The site's store is another one from here on.
fn with_store(site: &Site, url: &str, password: Option<&str>) {
    let text = std::fs::read_to_string(site.config()).unwrap();
    let mut text: Vec<&str> = text.lines().collect();
    let at = text.iter().position(|line| *line == "[store]").unwrap();
    text.retain(|line| {
        !line.starts_with("password = \"file:")
            && !line.starts_with("url = \"postgres:")
            && !line.starts_with("url = \"sqlite:")
    });
    let url = format!("url = \"{url}\"");
    text.insert(at + 1, &url);
    let password = password.map(|file| format!("password = \"file:{file}\""));
    if let Some(password) = &password {
        text.insert(at + 2, password);
    }
    std::fs::write(site.config(), text.join("\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_from_a_file_to_a_server_and_work_goes_on() {
    let mut all = Governed::new(0).await;
    let before = prices(&all.site);
    let here = all.serve().await;
    let agent = dan(&all.site);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let lea = all.person("lea", &["dba"]);
    lea.approve(&lea.asked().await).await;
    here.terminate();
    here.exit().await;
    let kept = records(&all.site);
    let backup = all.site.dir.path().join("store.backup");
    let backup = backup.to_str().unwrap();
    let (done, said) = run(&all.site, &["store", "backup", backup]);
    assert!(done, "{said}");
    assert!(
        !run(&all.site, &["store", "backup", backup]).0,
        "not over another file"
    );

    let pg = server().await;
    let secret = all.site.dir.path().join("store-password");
    std::fs::write(&secret, SECRET).unwrap();
    private(&secret);
    // The key lies where it lay: the configuration of a file derives its name from the file's.
    all.site.configure("[audit]\nkey_file = \"journal.key\"\n");
    with_store(&all.site, &pg.url("tollgate", "gate"), secret.to_str());
    let (done, said) = run(&all.site, &["store", "restore", "--moved", backup]);
    assert!(done && said.contains("intact"), "{said}");
    assert_eq!(records(&all.site), kept);
    let (done, said) = run(&all.site, &["store", "restore", "--moved", backup]);
    assert!(!done && said.contains("not empty"), "{said}");

    let here = all.serve().await;
    let agent = dan(&all.site);
    changed(&agent.call("approval_wait", wait(&id)).await, 3);
    assert_eq!(prices(&all.site), before + 300, "once");
    // What numbers itself goes on where it was.
    let next = pending(&agent.call("sql_execute", change(RAISE)).await);
    assert_ne!(next, id);
    drop(here);
    assert!(records(&all.site) > kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_backup_is_one_moment_of_it_and_nothing_granted_comes_back() {
    let mut two = Two::new(0).await;
    let here = two.serve_here().await;
    let agent = dan(two.site());
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let lea = two.all.person("lea", &["dba"]);
    lea.approve(&lea.asked().await).await;
    let backup = two.site().dir.path().join("store.backup");
    let backup = backup.to_str().unwrap().to_owned();
    // While calls go on.
    let going = async {
        for number in 0..20 {
            let asked = json!({ "resource": "shop", "statement": format!("SELECT {number}") });
            assert_eq!(envelope(&agent.call("sql_query", asked).await)["status"], "ok");
        }
    };
    let saved = async { run(two.site(), &["store", "backup", &backup]) };
    let ((), (done, said)) = tokio::join!(going, saved);
    assert!(done, "{said}");
    let before = prices(two.site());
    changed(&agent.call("approval_wait", wait(&id)).await, 3);
    here.terminate();
    here.exit().await;

    // Back into a file of its own: approved then, and not to be had a second time.
    two.site().configure("[audit]\nkey_file = \"tollgate.key\"\n");
    with_store(two.site(), "sqlite:restored.db", None);
    let (done, said) = run(two.site(), &["store", "restore", &backup]);
    assert!(done, "{said}");
    records(two.site());
    let _here = two.serve_here().await;
    let agent = dan(two.site());
    let answer = agent.call("approval_wait", wait(&id)).await;
    assert_ne!(envelope(&answer)["status"], "ok", "{answer}");
    assert_eq!(prices(two.site()), before + 300, "once, before");
    let told: Value = envelope(&answer).clone();
    assert_eq!(told["status"], "refused", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_backup_changes_nothing() {
    let mut two = Two::new(0).await;
    let folder = two.site().dir.path().to_owned();
    std::fs::write(
        folder.join("text"),
        "no backup at all, and more than a hundred bytes of it. ".repeat(9),
    )
    .unwrap();
    private(&folder.join("text"));
    for file in ["text", "missing", "shop.db"] {
        let file = folder.join(file);
        let (done, said) = run(two.site(), &["store", "restore", file.to_str().unwrap()]);
        assert!(!done, "{said}");
    }
    let here = two.serve_here().await; // as new
    drop(here);
    let (done, said) = run(two.site(), &["store", "migrate"]);
    assert!(done && said.contains("journal: there"), "{said}");
    let text = std::fs::read_to_string(two.site().config()).unwrap();
    let fresh = on_server(
        "url = \"sqlite:tollgate.db\"",
        &format!("{}?schema=fresh", two.pg.url("tollgate", "gate")),
    );
    let old = text
        .lines()
        .find(|line| line.starts_with("url = \"postgres:"))
        .unwrap();
    std::fs::write(two.site().config(), text.replacen(old, &fresh, 1)).unwrap();
    let (done, said) = run(two.site(), &["store", "migrate", "--dry-run"]);
    assert!(done && said.contains("journal: missing"), "{said}");
    let (done, said) = run(two.site(), &["store", "migrate"]);
    assert!(done && said.contains("journal: made"), "{said}");
}
