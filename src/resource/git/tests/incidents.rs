//! One test per incident of the ledger that reading a repository touches; each fails when its
//! defence is taken out. Rows 23, 26 and 31 need writing or a remote interface: not here yet. Row 28
//! and 29 are held by there being no process at all, which `tests/it/tidy.rs` checks too. Row 30 is
//! a matter of labels and policy. Row 34 is row 32 by another name.

use super::super::{Repository, Spec};
use super::support::*;
use crate::call::{Code, Request};

/// CVE-2025-68144: `git_diff`/`git_checkout` passed a ref named like an option to git.
#[test]
fn incident_24_argument_injection() {
    let fixture = Fixture::with(&[("a", b"main")]);
    fixture.commit_files("refs/heads/--output=pwned", &[("a", b"odd")]);
    let repository = fixture.open_refs(&["refs/heads/*"]);
    assert_eq!(
        read_at(&repository, "a", "--output=pwned").unwrap_err().code,
        Code::InvalidArguments
    );
    assert_eq!(
        read_at(&repository, "a", "refs/heads/--output=pwned")
            .unwrap()
            .text(),
        "odd",
        "only a name"
    );
    for path in ["--output=pwned", "-o", "--upload-pack=x"] {
        assert_eq!(read(&repository, path).unwrap_err().code, Code::NotFound);
    }
    assert!(!fixture.folder.path().join("pwned").exists());
}

/// CVE-2025-68145: the allowed repository was not enforced, or not set and then everything was.
#[test]
fn incident_25_no_unset_mode() {
    let fixture = Fixture::with(&[("a", b"x")]);
    let nothing = fixture.open_refs(&[]);
    for reference in [None, Some("main"), Some("HEAD"), Some("refs/heads/main")] {
        let mut request = read_request("a");
        request.reference = reference.map(str::to_owned);
        assert_eq!(
            call(&nothing, Request::FileRead(request)).unwrap_err().code,
            Code::NotFound
        );
    }
    assert!(
        Repository::open(Spec {
            path: std::path::PathBuf::new(),
            ..fixture.spec()
        })
        .is_err()
    );
}

/// The worktree, submodule and `.git` file escapes: the directory git really uses lies elsewhere.
#[test]
fn incident_27_git_dir_redirection() {
    let (fixture, other) = (
        Fixture::with(&[("a", b"x")]),
        Fixture::with(&[("outside", b"OUTSIDE")]),
    );
    let repository = fixture.open();
    std::fs::write(fixture.git_dir.join("commondir"), other.git_dir.to_str().unwrap()).unwrap();
    assert_eq!(
        fixture.in_repo(&["show", "main:outside"]),
        "OUTSIDE",
        "the fixture must be able to bite"
    );
    assert_eq!(read(&repository, "outside").unwrap_err().code, Code::TargetFailed);
    assert!(Repository::open(fixture.spec()).is_err());
}

/// CVE-2025-53107 and CVE-2026-7812: a string reached a shell.
#[test]
fn incident_28_29_no_shell() {
    let fixture = Fixture::with(&[("a; touch pwned", b"x"), ("$(touch pwned)", b"y"), ("a", b"z")]);
    let repository = fixture.open();
    for path in ["a; touch pwned", "$(touch pwned)"] {
        read(&repository, path).unwrap();
    }
    for reference in [
        "main; touch pwned",
        "$(touch pwned)",
        "`touch pwned`",
        "main\ntouch pwned",
    ] {
        read_at(&repository, "a", reference).unwrap_err();
    }
    search(&repository, "$(touch pwned)").unwrap();
    assert!(!fixture.folder.path().join("pwned").exists());
    assert!(!std::path::Path::new("pwned").exists());
}

/// Issue 4492 (`../` in a path left the repository's scope) and the traversal families.
#[test]
fn incident_31_dot_dot_in_paths() {
    let fixture = Fixture::with(&[("src/a", b"x"), ("top", b"y")]);
    std::fs::write(fixture.folder.path().join("beside"), "OUTSIDE").unwrap();
    let repository = fixture.open();
    for path in [
        "../beside",
        "src/../top",
        "src/../../beside",
        "/etc/passwd",
        "..",
        "src/..",
        "%2e%2e/beside",
        "%2E%2E/beside",
        "..%2Fbeside",
        "src/%2E%2E/top",
        "..\\beside",
        "\u{2024}\u{2024}/beside",
        "src/.../top",
        "/proc/self/root/etc/passwd",
        "top\0.txt",
        "config",
        "HEAD",
        "objects",
        "refs/heads/main",
    ] {
        assert_absent(&repository, path);
    }
}

/// CVE-2025-53110: `startsWith` let `/allowed-evil` pass for `/allowed`.
#[test]
fn incident_32_prefix_confusion() {
    let fixture = Fixture::with(&[("secrets/a", b"hidden"), ("secrets-public/a", b"shown")]);
    fixture.commit_files("refs/heads/main-evil", &[("a", b"evil")]);
    fixture.commit_files("refs/heads/release", &[("a", b"bare prefix")]);
    fixture.commit_files("refs/heads/releases/1", &[("a", b"other prefix")]);
    let hiding = fixture.open_hiding(&["/secrets/"]);
    assert_absent(&hiding, "secrets/a");
    assert_eq!(read(&hiding, "secrets-public/a").unwrap().text(), "shown");
    assert_eq!(
        read_at(&hiding, "a", "main-evil").unwrap_err().code,
        Code::NotFound
    );
    let below = fixture.open_refs(&["refs/heads/release/*"]);
    for name in ["release", "releases/1", "main"] {
        assert_eq!(
            read_at(&below, "a", name).unwrap_err().code,
            Code::NotFound,
            "{name}"
        );
    }
    // A listing below one folder does not run over into its longer-named neighbour.
    assert_eq!(
        list(&hiding, "secrets-public").unwrap().paths(),
        ["secrets-public/a"]
    );
}

/// CVE-2025-53109: a symlink led out of the allowed folder.
#[test]
fn incident_33_symlink_escape() {
    let fixture = Fixture::bare();
    let secret = fixture.folder.path().join("outside-secret");
    std::fs::write(&secret, "OUTSIDE-CONTENT").unwrap();
    let targets = [
        secret.to_str().unwrap(),
        "/etc/passwd",
        "../outside-secret",
        "src",
        ".",
    ];
    let inner = fixture.tree(&[(FILE, b"f", fixture.blob(b"inner"))]);
    let blobs: Vec<_> = targets
        .iter()
        .map(|target| fixture.blob(target.as_bytes()))
        .collect();
    let names: Vec<String> = (0..targets.len()).map(|n| format!("link{n}")).collect();
    let mut entries: Vec<_> = names
        .iter()
        .zip(&blobs)
        .map(|(name, blob)| (LINK, name.as_bytes(), *blob))
        .collect();
    entries.push((FOLDER, b"src", inner));
    fixture.commit("refs/heads/main", fixture.tree(&entries));
    let repository = fixture.open();
    for (name, target) in names.iter().zip(targets) {
        assert_eq!(
            read(&repository, name).unwrap().text(),
            target,
            "the link itself, as text"
        );
        for below in ["/f", "/src/f", "/passwd"] {
            assert_eq!(
                read(&repository, &format!("{name}{below}")).unwrap_err().code,
                Code::NotFound
            );
        }
        assert_eq!(list(&repository, name).unwrap_err().code, Code::InvalidArguments);
    }
    assert_silent(&repository, "OUTSIDE-CONTENT");
    assert_silent(&repository, "root:x:0");
    assert_eq!(
        search(&repository, "passwd").unwrap().data["matches"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}
