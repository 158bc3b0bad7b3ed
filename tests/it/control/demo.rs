//! `tollgate demo --serve`: somebody clicks in the page, and the agent that waits in the terminal goes on.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use crate::facade::chromium::Driver;
use crate::support::{BINARY, until};

struct Demo {
    child: Child,
    shown: Arc<Mutex<String>>,
    _folder: tempfile::TempDir,
}

impl Demo {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test is the one process started"
    )]
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(BINARY)
            .args(["demo", "--serve"])
            .current_dir(folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let shown: Arc<Mutex<String>> = Arc::default();
        let (out, all) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                *all.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self {
            child,
            shown,
            _folder: folder,
        }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until it says so, and gives all it has said.
    async fn says(&mut self, words: &str) -> String {
        until(words, async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", self.shown());
            Some(self.shown()).filter(|shown| shown.contains(words))
        })
        .await
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line after the one that begins like this, as it is copied.
fn after<'a>(shown: &'a str, heading: &str) -> &'a str {
    let mut lines = shown
        .lines()
        .skip_while(|line| !line.trim_start().starts_with(heading));
    lines.next().unwrap_or_else(|| panic!("{heading}: {shown}"));
    lines.find(|line| !line.trim().is_empty()).unwrap().trim()
}

/// Signs in and decides in a real browser, and gives what the terminal shows from then on.
async fn decided_in_the_page(form: &str, reason: Option<&str>) -> String {
    let mut demo = Demo::start();
    let shown = demo.says("the agent's call goes on here").await;
    let (_, scene) = shown.split_once("An agent is waiting for you").unwrap();
    let page = after(scene, "It waits for somebody else's yes or no");
    let secret = after(scene, "Sign in as lead");

    let driver = Driver::start();
    let browser = driver.browser().await;
    browser.open(page).await;
    browser.write("input[name=username]", "lead").await;
    browser.write("input[name=password]", secret).await;
    browser.click("button").await;
    browser.at(page).await;
    let sheet = browser.says("Refunds of ticket 4712").await;
    assert!(sheet.contains("UPDATE orders SET status"), "{sheet}");
    assert!(!demo.shown().contains("You have decided"), "it waits");
    if let Some(folder) = std::env::var_os("TOLLGATE_SCREENSHOTS") {
        let path = std::path::Path::new(&folder).join("demo-waiting.png");
        std::fs::write(path, browser.picture().await).unwrap();
    }
    if let Some(reason) = reason {
        browser.write("[name=reason]", reason).await;
    }
    browser.click(form).await;
    let shown = demo.says("The demo goes on until you stop it").await;
    kill_process(Pid::from_child(&demo.child), Signal::TERM).unwrap();
    until("the end of the demo", async || demo.child.try_wait().unwrap()).await;
    until("the last lines", async || {
        demo.shown().contains("verified: ").then_some(())
    })
    .await;
    shown.split_once("You have decided").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_in_the_page_lets_the_waiting_agent_go_on() {
    let after = decided_in_the_page("form[action$=\"/approve\"] button.yes", None).await;
    assert!(after.contains("update: 2 rows changed"), "{after}");
    assert!(after.contains("it happened once"), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_the_page_stops_the_waiting_agent() {
    let button = "form[action$=\"/refuse\"] button";
    let after = decided_in_the_page(button, Some("not without the customer")).await;
    assert!(after.contains("not without the customer"), "{after}");
    assert!(
        after.contains("nothing has changed") && !after.contains("rows changed"),
        "{after}"
    );
}
