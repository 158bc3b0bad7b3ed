//! The policies we ship, the tests they ship with, and what explaining looks like.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tollgate::call::{Action, ClassifiedColumn, SqlFacts, User, UserKind};
use tollgate::policy::Policies;
use tollgate::policy::explain::Supposed;

use super::{folder, loaded, scene, words, write};

/// A copy of the shipped folder that only its owner may write, whatever the checkout's umask was.
fn starter() -> (TempDir, Policies) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let dir = tempfile::tempdir().unwrap();
    for sub in ["", "tests"] {
        for entry in fs::read_dir(from.join(sub)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = Path::new(sub).join(path.file_name().unwrap());
                write(
                    dir.path(),
                    name.to_str().unwrap(),
                    &fs::read_to_string(&path).unwrap(),
                );
            }
        }
    }
    let policies = Policies::load(dir.path(), scene(), None).unwrap_or_else(|error| panic!("{error}"));
    (dir, policies)
}

#[test]
fn the_starter_policies_load_pass_their_tests_and_are_all_tested() {
    let (_dir, policies) = starter();
    let report = policies.current().run_tests();
    assert!(report.passed(), "{report}");
    assert!(report.rows.len() > 60, "{report}");
    assert!(report.untested.is_empty(), "{report}");
    assert!(policies.current().report().warnings.is_empty());
    policies.reload().unwrap();
}

/// A test that cannot fail protects nothing: take any one policy out, and a row fails.
#[test]
fn no_starter_policy_can_be_taken_out_unnoticed() {
    let (dir, policies) = starter();
    for id in policies.current().ids() {
        let mark = format!("@id(\"{id}\")");
        let file = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let file = file.filter(|path| path.extension().is_some_and(|found| found == "cedar"));
        let (path, text) = file
            .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
            .find(|(_, text)| text.contains(&mark))
            .unwrap();
        let start = text.find(&mark).unwrap();
        let end = start + text[start..].find(";\n").unwrap() + 2;
        let without = format!("{}{}", &text[..start], &text[end..]);
        fs::write(&path, without).unwrap();
        let report = Policies::load(dir.path(), scene(), None)
            .unwrap()
            .current()
            .run_tests();
        assert!(!report.passed(), "nothing notices that {id} is gone");
        fs::write(&path, text).unwrap();
    }
}

fn case(policies: &str, test: &str) -> String {
    let dir = folder(policies);
    write(
        dir.path(),
        "tests/t.toml",
        &format!("[users.ana]\ngroups = [\"analyst\"]\n\n{test}"),
    );
    let report = Policies::load(dir.path(), scene(), None)
        .unwrap()
        .current()
        .run_tests();
    assert!(!report.passed(), "{report}");
    report.to_string()
}

const READ: &str = "@id(\"read\") permit (principal in Tollgate::Group::\"analyst\", action == Tollgate::Action::\"sql_read\", resource);";

#[test]
fn a_decision_test_that_could_pass_for_the_wrong_reason_is_a_fault() {
    let row = "[[test]]\nname = \"n\"\nuser = \"ana\"\naction = \"sql_read\"\nresource = \"shop\"\nexpect = \"permit\"\n";
    let cases = [
        (row.replace("\"ana\"", "\"anna\""), "there is no [users.anna]"),
        (row.replace("sql_read", "sql_raed"), "`sql_raed` is not an action"),
        (
            row.replace("\"shop\"", "\"shopp\""),
            "resource `shopp`, which nothing knows",
        ),
        (row.replace("\"ana\"", "[]"), "it tests nothing"),
        (row.replace("\"ana\"", "7"), "a name or a list of names"),
        (row.replace("\"permit\"", "\"allow\""), "allow"),
        (format!("{row}expects = 1\n"), "expects"),
        (
            format!("{row}expect_ids = [\"raed\"]\n"),
            "`raed`, and there is no such policy",
        ),
        (
            format!("{row}satisfied = [\"read\"]\n"),
            "`read`, and there is no such obligation",
        ),
        (format!("{row}session_labels = [\"pi\"]\n"), "label `pi`"),
        (
            format!("{row}classified = {{ \"c.e\" = \"emial\" }}\n"),
            "class `emial`",
        ),
        (format!("{row}tool = \"sql_qeury\"\n"), "tool `sql_qeury`"),
        (format!("{row}agent = \"x\"\n"), "there is no [agents.x]"),
        ("[[test]\n".to_owned(), "t.toml:4"),
        (
            format!(
                "[users.x]\ngroups = [\"xs\"]\n{}",
                row.replace("\"ana\"", "\"x\"")
            ),
            "group `xs`",
        ),
    ];
    for (test, wanted) in cases {
        let report = case(READ, &test);
        assert!(report.contains(wanted), "{wanted}:\n{report}");
        assert!(report.contains("t.toml:"), "{report}");
    }
}

#[test]
fn a_failing_row_says_what_differs() {
    let row = "[[test]]\nname = \"n\"\nuser = \"ana\"\naction = \"sql_read\"\nresource = \"shop\"\nclassified = { \"c.email\" = \"email\" }\n";
    let cases = [
        ("expect = \"deny\"", "expected deny, got permit (decided by read)"),
        (
            "expect = \"permit\"\nexpect_ids = []",
            "deciding policies: missing nothing, not expected read",
        ),
        (
            "expect = \"permit\"\nexpect_reveal = [\"c.email\"]",
            "revealed columns: missing c.email, not expected nothing",
        ),
        (
            "expect = \"permit\"\nexpect_masked = {}",
            "masked columns: expected nothing, got c.email by nothing",
        ),
        (
            "expect = \"permit\"\nexpect_rows = 7",
            "row bound: expected 7, got 1000",
        ),
        (
            "expect = \"permit\"\nexpect_seconds = 7",
            "seconds bound: expected 7, got 30",
        ),
        (
            "expect = \"permit\"\nexpect_resources = [\"shop\"]",
            "named resources: missing shop, not expected nothing",
        ),
    ];
    for (expect, wanted) in cases {
        let report = case(READ, &format!("{row}{expect}\n"));
        assert!(report.contains(wanted), "{wanted}:\n{report}");
    }
}

#[test]
fn a_test_file_that_others_could_change_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, policies) = starter();
    let file = dir.path().join("tests/starter.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(policies.reload().is_err());
}

fn supposed(groups: &[&str], action: Action, resource: &str) -> Supposed {
    let user = User {
        issuer: "corp".to_owned(),
        subject: "u-1".to_owned(),
        kind: UserKind::Person,
        groups: words(groups),
    };
    Supposed::new(user, action, Some(resource.to_owned()))
}

#[test]
fn explaining_shows_who_decides_what_is_asked_and_what_is_shown() {
    let (_dir, policies) = starter();
    let mut question = supposed(&["dba"], Action::SqlRead, "shop");
    question.sql = Some(SqlFacts {
        kind: "select".to_owned(),
        tables: words(&["customers"]),
        ..SqlFacts::default()
    });
    question.classified = ["email", "card"]
        .map(|class| ClassifiedColumn {
            class: class.to_owned(),
            column: format!("customers.{class}"),
        })
        .into();
    let explanation = policies.current().explain(question);
    assert_eq!(explanation.verdict, "ask");
    let ids: Vec<&str> = explanation
        .decided_by
        .iter()
        .map(|note| note.id.as_str())
        .collect();
    assert_eq!(ids, ["dba-confirms-customers", "production-queries-are-short"]);
    assert_eq!(explanation.limits.unwrap().seconds, 10);
    assert_eq!(explanation.revealed, words(&["customers.email"]));
    assert_eq!(
        explanation.masked["customers.card"],
        words(&["cards-stay-masked"])
    );
    let text = explanation.to_string();
    for wanted in [
        "corp#u-1 (person; groups: dba) through some-agent (verified): sql_read with sql_query on shop",
        "ASK",
        "asks for a confirmation by the same person",
        "once that is met, bounds: 1000 rows, 1048576 bytes, 10 seconds",
        "shown although classified: customers.email",
        "masked: customers.card (cards-stay-masked)",
        "40-dba.cedar:",
    ] {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["decided_by"][0]["effect"], "obligation");
    assert_eq!(json["verdict"], "ask");
}

#[test]
fn explaining_a_denial_shows_what_the_agent_reads_and_what_did_not_apply() {
    let (_dir, policies) = starter();
    let explanation = policies
        .current()
        .explain(supposed(&["analyst"], Action::SqlWrite, "shop"));
    let text = explanation.to_string();
    assert_eq!(explanation.verdict, "deny");
    assert!(text.contains("no policy permits it"), "{text}");
    assert!(
        text.contains("the agent reads: You may not change data in `shop`"),
        "{text}"
    );
    assert!(text.contains("nothing-leaves-after-personal-data"), "{text}");
    assert!(text.contains("assumed: a statement of kind `update`"), "{text}");
}

#[test]
fn explaining_cannot_write_to_the_terminal() {
    let loaded = loaded(READ);
    let mut question = supposed(&["analyst"], Action::SqlRead, "shop");
    question.user.subject = "\u{1b}[31mred\r\n\u{202e}".to_owned();
    let text = loaded.policies.current().explain(question).to_string();
    for bad in ['\u{1b}', '\r', '\u{202e}'] {
        assert!(!text.contains(bad), "{text:?}");
    }
}
