//! `tollgate approvals stats` on a journal of real calls: what is always approved is proposed as a change of a policy, to
//! whoever may read that journal.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use super::Two;
use crate::effects::{change, changed, dan, pending, wait};
use crate::support::process::signed_in;
use crate::support::site::Site;

/// What a proposal needs: approvals, people who gave them, days.
const ENOUGH: u32 = 51;
const DAYS: u32 = 7;

fn raise(by: u32, id: u32) -> serde_json::Value {
    change(&format!(
        "UPDATE products SET price_cents = price_cents + {by} WHERE id = {id}"
    ))
}

/// Applies a diff as people do.
#[expect(clippy::disallowed_methods, reason = "a program that people apply diffs with")]
fn patch(folder: &Path, diff: &str) {
    let file = folder.join("proposed.diff");
    std::fs::write(&file, diff).unwrap();
    let mut git = std::process::Command::new("git");
    git.current_dir(folder).args(["apply", "-p1", "proposed.diff"]);
    let output = git.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}: {diff}");
    std::fs::remove_file(file).unwrap();
}

async fn stats(site: &Site, subject: &str, groups: &[&str], more: &[&str]) -> String {
    site.issuer.at_the_browser(subject, groups);
    let (code, printed, notes) = signed_in(site, &[&["approvals", "stats"], more].concat()).await;
    assert_eq!(code, 0, "{notes}");
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_always_approved_is_proposed_at_the_terminal_as_a_diff_that_applies() {
    let mut two = Two::new(0).await;
    let more = r#"@id("leads-read-the-journal") permit (principal == Tollgate::User::"test#lea",
        action == Tollgate::Action::"audit_read", resource in Tollgate::Label::"shop");"#;
    std::fs::write(two.site().dir.path().join("policies/90-here.cedar"), more).unwrap();
    let here = two.serve_here().await;
    let agent = dan(two.site());
    let reviewers = ["lea", "kim", "pat"].map(|one| two.all.person(one, &["dba"]));
    for by in 1..=ENOUGH {
        let id = pending(&agent.call("sql_execute", raise(by, 1 + by % 3)).await);
        let reviewer = &reviewers[(by % 3) as usize];
        reviewer.approve(&reviewer.show(&id).await).await;
        changed(&agent.call("approval_wait", wait(&id)).await, 1);
    }
    // All within a minute, each decided at once: nobody can have read them, and nothing is proposed.
    let said = stats(two.site(), "lea", &["dba"], &[]).await;
    assert!(said.contains("production-changes-are-approved"), "{said}");
    assert!(!said.contains("to adopt if you agree"), "{said}");
    // The same, asked about on seven days, a minute before each decision.
    two.sql(&format!(
        "UPDATE tollgate.approval a SET created_at = a.created_at - 60000 - 86400000::bigint * (n.at % {DAYS}) FROM (SELECT id, \
         row_number() OVER (ORDER BY id) AS at FROM tollgate.approval) n WHERE n.id = a.id"
    ));
    let said = stats(two.site(), "lea", &["dba"], &[]).await;
    assert!(said.contains("to adopt if you agree"), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let diff: String = lines
        .iter()
        .skip_while(|line| !line.starts_with("    --- "))
        .take_while(|line| line.starts_with("    "))
        .map(|line| format!("{}\n", line.get(4..).unwrap_or_default()))
        .collect();
    assert!(diff.contains("+  [Tollgate::User::\"test#dan\"]"), "{said}");
    assert!(
        said.contains(&format!("{ENOUGH} approved")) && said.contains("sent by 1 people"),
        "{said}"
    );
    // As JSON, the same; and only for who may read what is on record.
    let all: serde_json::Value =
        serde_json::from_str(&stats(two.site(), "lea", &["dba"], &["--json"]).await).unwrap();
    let mut rules = all["rules"].as_array().unwrap().iter();
    let rule = rules
        .find(|rule| rule["id"] == "production-changes-are-approved")
        .unwrap();
    assert_eq!(
        rule["proposal"]["diff"].as_str().unwrap().trim_end(),
        diff.trim_end()
    );
    assert_eq!(
        rule["proposal"]["replay"]["beyond"]["refused"],
        json!(0),
        "{rule}"
    );
    let other = stats(two.site(), "kim", &["dba"], &[]).await;
    assert!(
        other.contains("you may not read what was done to `shop`") && !other.contains("Tollgate::User"),
        "{other}"
    );
    let stranger = stats(two.site(), "eve", &["analyst"], &[]).await;
    assert!(
        !stranger.contains("Tollgate::User") && !stranger.contains("test#dan"),
        "{stranger}"
    );
    // Whoever agrees adopts it with the program for that.
    patch(&two.site().dir.path().join("policies"), &diff);
    here.terminate();
    assert!(here.exit().await.success());
}
