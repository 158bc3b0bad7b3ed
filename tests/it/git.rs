//! The git resource as `app` uses it: opened from a `Spec`, inspected through its public door. What
//! it answers needs a permit, which only policy can make; `src/resource/git/tests` covers that part.

use std::path::Path;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::request::FileRead;
use tollgate::call::{Action, CallId, Code, Hash, Invocation, Limits, Request, Target};
use tollgate::resource::git::{DEFAULT_HIDDEN, Repository, Spec};

#[expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "fixtures are made by git itself, or the test ends here"
)]
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(folder)
        .args([
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.com",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn spec(path: &Path) -> Spec {
    Spec {
        name: "web".to_owned(),
        path: path.to_owned(),
        refs: vec!["refs/heads/main".to_owned()],
        hidden: DEFAULT_HIDDEN
            .iter()
            .map(|pattern| (*pattern).to_owned())
            .collect(),
        conceal: std::sync::Arc::new(tollgate::mask::Mask::new()),
        limits: Limits {
            rows: 1000,
            bytes: 1 << 20,
            seconds: 30,
        },
    }
}

fn read(path: &str) -> Invocation {
    Invocation {
        call_id: CallId::new(1, &[7; 10]),
        user: "local#1@host".to_owned(),
        session: "one".to_owned(),
        tool: "file_read".to_owned(),
        action: Action::FileRead,
        resource: Some("web".to_owned()),
        request: Request::FileRead(FileRead {
            resource: "web".to_owned(),
            path: path.to_owned(),
            reference: None,
            start_line: None,
            end_line: None,
        }),
        arguments: json!({}),
        request_key: Hash::of(b"key"),
    }
}

#[tokio::test]
async fn inspecting_a_work_tree_names_ref_commit_and_path() {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q", "-b", "main"]);
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("src/main.rs"), "fn main() {}\n").unwrap();
    std::fs::write(folder.path().join(".env"), "KEY=1\n").unwrap();
    git(folder.path(), &["add", "-f", "."]);
    git(folder.path(), &["commit", "-q", "-m", "first"]);
    std::fs::write(folder.path().join("uncommitted"), "x").unwrap();
    let repository = Repository::open(spec(folder.path())).unwrap();
    let cancel = CancellationToken::new();
    let facts = repository.inspect(&read("src/main.rs"), &cancel).await.unwrap();
    assert_eq!(
        facts.target,
        Target::Git {
            reference: "refs/heads/main".to_owned(),
            commit: git(folder.path(), &["rev-parse", "HEAD"]),
        }
    );
    let file = facts.file.unwrap();
    assert_eq!(
        (file.path.as_str(), file.reference.as_str()),
        ("src/main.rs", "refs/heads/main")
    );
    assert_eq!(facts.action, Action::FileRead);
    for absent in [".env", "uncommitted", "nothing", "src/main.rs/x"] {
        let refusal = repository.inspect(&read(absent), &cancel).await.unwrap_err();
        assert_eq!(refusal.code, Code::NotFound, "{absent}");
    }
}

#[test]
fn a_repository_that_cannot_be_meant_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let why = Repository::open(spec(folder.path())).unwrap_err();
    assert!(why.starts_with("resource `web`: "), "{why}");
    git(folder.path(), &["init", "-q", "--bare", "-b", "main"]);
    assert!(
        Repository::open(spec(folder.path())).is_ok(),
        "an empty repository may be filled later"
    );
    let bad = Spec {
        hidden: vec!["a[".to_owned()],
        ..spec(folder.path())
    };
    let why = Repository::open(bad).unwrap_err();
    assert!(why.contains("`a[`"), "{why}");
}
