//! Layouts that reach outside the repository: refused at the start, not honoured when they appear.

use super::super::{Repository, Spec};
use super::support::*;
use crate::call::Code;

fn refused(fixture: &Fixture, says: &str) {
    let why = Repository::open(fixture.spec()).unwrap_err();
    assert!(why.contains("resource `web`") && why.contains(says), "{why}");
}

fn other() -> Fixture {
    Fixture::with(&[("outside", b"OUTSIDE")])
}

#[test]
fn what_is_no_repository_is_refused() {
    let fixture = Fixture::bare();
    for path in ["nothing", ".", "repo.git/objects", "repo.git/HEAD"] {
        let path = fixture.folder.path().join(path);
        assert!(
            Repository::open(Spec {
                path,
                ..fixture.spec()
            })
            .is_err()
        );
    }
    std::fs::remove_file(fixture.git_dir.join("HEAD")).unwrap();
    refused(&fixture, "not a git repository");
    symlink("/etc/hostname", fixture.git_dir.join("HEAD"));
    refused(&fixture, "HEAD");
}

#[test]
fn a_git_file_or_link_is_refused() {
    let (fixture, other) = (Fixture::bare(), other());
    let work = fixture.folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let spec = Spec {
        path: work.clone(),
        ..fixture.spec()
    };
    std::fs::write(
        work.join(".git"),
        format!("gitdir: {}\n", other.git_dir.display()),
    )
    .unwrap();
    let why = Repository::open(spec.clone()).unwrap_err();
    assert!(why.contains("points elsewhere"), "{why}");
    std::fs::remove_file(work.join(".git")).unwrap();
    symlink(&other.git_dir, work.join(".git"));
    let why = Repository::open(spec).unwrap_err();
    assert!(why.contains("symbolic link"), "{why}");
}

#[test]
fn a_linked_worktree_is_refused() {
    let fixture = Fixture::with(&[("a", b"x")]);
    fixture.in_repo(&[
        "worktree",
        "add",
        "-q",
        "--no-checkout",
        fixture.folder.path().join("linked").to_str().unwrap(),
        "main",
    ]);
    let spec = Spec {
        path: fixture.folder.path().join("linked"),
        ..fixture.spec()
    };
    assert!(Repository::open(spec).unwrap_err().contains("linked worktree"));
    let admin = fixture.git_dir.join("worktrees/linked");
    assert!(
        Repository::open(Spec {
            path: admin,
            ..fixture.spec()
        })
        .is_err()
    );
    std::fs::write(fixture.git_dir.join("commondir"), "/tmp\n").unwrap();
    refused(&fixture, "linked worktree");
}

#[test]
fn alternates_are_refused_and_never_honoured() {
    let (fixture, other) = (Fixture::with(&[("a", b"x")]), other());
    let repository = fixture.open();
    assert_eq!(read(&repository, "a").unwrap().text(), "x");
    // A commit of ours whose tree only the other repository has.
    let outside = other.in_repo(&["rev-parse", "main^{tree}"]);
    fixture.commit("refs/heads/main", git2::Oid::from_str(&outside).unwrap());
    let info = fixture.git_dir.join("objects/info");
    std::fs::create_dir_all(&info).unwrap();
    for name in ["alternates", "http-alternates"] {
        let line = format!("{}\n", other.git_dir.join("objects").display());
        std::fs::write(info.join(name), line).unwrap();
        if name == "alternates" {
            assert_eq!(
                fixture.in_repo(&["show", "main:outside"]),
                "OUTSIDE",
                "the fixture must be able to bite"
            );
        }
        refused(&fixture, name);
        assert_eq!(read(&repository, "outside").unwrap_err().code, Code::TargetFailed);
        std::fs::remove_file(info.join(name)).unwrap();
    }
    assert_eq!(read(&repository, "outside").unwrap_err().code, Code::TargetFailed);
}

#[test]
fn linked_object_folders_and_files_are_not_followed() {
    let (fixture, other) = (Fixture::with(&[("a", b"x")]), other());
    let outside = git2::Oid::from_str(&other.in_repo(&["rev-parse", "main:outside"])).unwrap();
    fixture.commit("refs/heads/main", fixture.tree(&[(FILE, b"outside", outside)]));
    let repository = fixture.open();
    let path = fixture.loose_path(outside);
    let folder = path.parent().unwrap();
    std::fs::remove_dir_all(folder).ok();
    symlink(other.loose_path(outside).parent().unwrap(), folder);
    assert_eq!(
        read(&repository, "outside").unwrap_err().code,
        Code::TargetFailed,
        "a linked folder"
    );
    std::fs::remove_file(folder).unwrap();
    std::fs::create_dir(folder).unwrap();
    symlink(other.loose_path(outside), &path);
    assert_eq!(
        read(&repository, "outside").unwrap_err().code,
        Code::TargetFailed,
        "a linked object"
    );
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(
        read(&repository, "outside").unwrap_err().code,
        Code::TargetFailed,
        "a pipe does not block"
    );
    std::fs::remove_file(&path).unwrap();
    std::fs::copy(other.loose_path(outside), &path).unwrap();
    assert_eq!(
        read(&repository, "outside").unwrap().text(),
        "OUTSIDE",
        "as a plain file it is ours"
    );
}

#[test]
fn linked_packs_are_not_followed() {
    let (fixture, other) = (Fixture::with(&[("a", b"x")]), other());
    let outside = git2::Oid::from_str(&other.in_repo(&["rev-parse", "main:outside"])).unwrap();
    other.in_repo(&["repack", "-adq"]);
    fixture.commit("refs/heads/main", fixture.tree(&[(FILE, b"outside", outside)]));
    let repository = fixture.open();
    let packs = fixture.git_dir.join("objects/pack");
    for entry in std::fs::read_dir(other.git_dir.join("objects/pack")).unwrap() {
        let entry = entry.unwrap();
        symlink(entry.path(), packs.join(entry.file_name()));
    }
    assert_eq!(
        fixture.in_repo(&["show", "main:outside"]),
        "OUTSIDE",
        "the fixture must be able to bite"
    );
    assert_eq!(read(&repository, "outside").unwrap_err().code, Code::TargetFailed);
    refused(&fixture, "not a plain file");
    std::fs::remove_dir_all(&packs).unwrap();
    symlink(other.git_dir.join("objects/pack"), &packs);
    assert_eq!(read(&repository, "outside").unwrap_err().code, Code::TargetFailed);
    refused(&fixture, "objects/pack");
}

#[test]
fn linked_objects_and_refs_folders_are_refused() {
    for name in ["objects", "refs"] {
        let (fixture, other) = (Fixture::bare(), other());
        std::fs::remove_dir_all(fixture.git_dir.join(name)).unwrap();
        symlink(other.git_dir.join(name), fixture.git_dir.join(name));
        refused(&fixture, "symbolic link");
    }
}

#[test]
fn ref_files_that_are_links_name_nothing() {
    let fixture = Fixture::with(&[("a", b"main")]);
    let hidden = fixture.commit_files("refs/heads/hidden", &[("a", b"hidden")]);
    fixture.set_ref("refs/tags/real", &format!("{hidden}\n"));
    let outside = fixture.folder.path().join("id");
    std::fs::write(&outside, format!("{hidden}\n")).unwrap();
    symlink(&outside, fixture.git_dir.join("refs/tags/file"));
    symlink("../heads/hidden", fixture.git_dir.join("refs/tags/inside"));
    symlink("../heads", fixture.git_dir.join("refs/tags/folder"));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        fixture.git_dir.join("refs/tags/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let repository = fixture.open();
    assert_eq!(read_at(&repository, "a", "real").unwrap().text(), "hidden");
    for name in ["file", "inside", "folder/hidden", "pipe"] {
        assert_eq!(
            read_at(&repository, "a", name).unwrap_err().code,
            Code::NotFound,
            "{name}"
        );
    }
    // A link in place of an allowed branch does not fall back to the packed value either.
    fixture.in_repo(&["pack-refs", "--all"]);
    symlink(&outside, fixture.git_dir.join("refs/heads/main"));
    assert_eq!(
        read_at(&repository, "a", "main").unwrap_err().code,
        Code::NotFound
    );
}

#[test]
fn formats_that_are_not_read_say_so() {
    let fixture = Fixture::bare();
    std::fs::create_dir(fixture.git_dir.join("reftable")).unwrap();
    refused(&fixture, "reftable");
    let folder = kept_folder();
    let wide = Fixture {
        git_dir: folder.path().join("wide"),
        folder,
    };
    wide.git(&["init", "-q", "--bare", "--object-format=sha256", "wide"]);
    refused(&wide, "SHA-256");
}
