//! A repository made to hurt: nothing runs, nothing outside is read, nothing is inflated for free.

use std::io::Write;

use flate2::{Compress, Compression, FlushCompress};
use git2::{ObjectType, Oid};
use serde_json::json;

use super::support::*;
use crate::call::{Code, Limits, Request};

/// Configuration that makes git run a program.
const EXECUTING_KEYS: [&str; 19] = [
    "core.fsmonitor",
    "core.editor",
    "core.pager",
    "core.sshCommand",
    "core.askPass",
    "core.alternateRefsCommand",
    "diff.external",
    "diff.d.command",
    "diff.d.textconv",
    "merge.m.driver",
    "filter.f.smudge",
    "filter.f.clean",
    "filter.f.process",
    "gpg.program",
    "credential.helper",
    "uploadpack.packObjectsHook",
    "pager.log",
    "alias.show",
    "sequence.editor",
];

const HOOKS: [&str; 6] = [
    "post-checkout",
    "pre-commit",
    "reference-transaction",
    "post-index-change",
    "fsmonitor-watchman",
    "update",
];

/// A work tree whose configuration, hooks and attributes would each leave a mark if anything ran.
fn armed() -> (Fixture, std::path::PathBuf) {
    let folder = kept_folder();
    let fixture = Fixture {
        git_dir: folder.path().join("work/.git"),
        folder,
    };
    fixture.git(&["init", "-q", "-b", "main", "work"]);
    let canary = fixture.folder.path().join("canary");
    let script = fixture.folder.path().join("mark.sh");
    std::fs::write(&script, format!("#!/bin/sh\ntouch {}\ncat\n", canary.display())).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    fixture.commit_files(
        "refs/heads/main",
        &[
            (
                ".gitattributes",
                b"* filter=f diff=d merge=m text eol=crlf ident export-subst\n",
            ),
            (
                ".gitmodules",
                b"[submodule \"s\"]\n\tpath = s\n\turl = ext::sh -c mark\n",
            ),
            (".lfsconfig", b"[lfs]\n\turl = file:///\n"),
            ("a.txt", b"plain $Id$\n"),
            ("--output=x", b"option\n"),
            ("-rf", b"flag\n"),
        ],
    );
    let mark = script.to_str().unwrap();
    for key in EXECUTING_KEYS {
        fixture.in_repo(&["config", key, mark]);
    }
    fixture.in_repo(&[
        "config",
        "core.hooksPath",
        fixture.folder.path().to_str().unwrap(),
    ]);
    for hook in HOOKS {
        std::fs::create_dir_all(fixture.git_dir.join("hooks")).unwrap();
        std::fs::copy(&script, fixture.git_dir.join("hooks").join(hook)).unwrap();
    }
    fixture.git_lenient(&["-C", "work", "status"]);
    assert!(canary.exists(), "the fixture must be able to bite");
    std::fs::remove_file(&canary).unwrap();
    // From here on real git refuses, or reads elsewhere.
    fixture.in_repo(&["config", "core.worktree", "/etc"]);
    fixture.in_repo(&["config", "include.path", "/proc/self/environ"]);
    fixture.in_repo_lenient(&["config", "extensions.nonsense", "1"]);
    (fixture, canary)
}

#[test]
fn nothing_in_a_repository_runs() {
    let (fixture, canary) = armed();
    let spec = super::super::Spec {
        path: fixture.folder.path().join("work"),
        ..fixture.spec()
    };
    let repository = super::super::Repository::open(spec).unwrap();
    assert_eq!(
        read(&repository, "a.txt").unwrap().text(),
        "plain $Id$\n",
        "as committed: no filter, eol or ident"
    );
    assert_eq!(read(&repository, "--output=x").unwrap().text(), "option\n");
    assert_eq!(list_all(&repository).paths().len(), 6);
    assert_eq!(
        search(&repository, "flag").unwrap().texts("/matches", "path"),
        ["-rf"]
    );
    assert!(!canary.exists());
    assert!(!fixture.folder.path().join("x").exists());
}

#[test]
fn replace_refs_and_grafts_and_shallow_are_not_honoured() {
    let fixture = Fixture::with(&[("a", b"original")]);
    let fake_blob = fixture.blob(b"replaced");
    let fake_tree = fixture.tree(&[(FILE, b"a", fake_blob)]);
    let commit = fixture.in_repo(&["rev-parse", "main"]);
    let tree = fixture.in_repo(&["rev-parse", "main^{tree}"]);
    let blob = fixture.in_repo(&["rev-parse", "main:a"]);
    let fake_commit = fixture.commit("refs/heads/fake", fake_tree);
    for (from, to) in [(&commit, fake_commit), (&tree, fake_tree), (&blob, fake_blob)] {
        fixture.set_ref(&format!("refs/replace/{from}"), &format!("{to}\n"));
    }
    std::fs::create_dir_all(fixture.git_dir.join("info")).unwrap();
    std::fs::write(
        fixture.git_dir.join("info/grafts"),
        format!("{commit} {fake_commit}\n"),
    )
    .unwrap();
    std::fs::write(fixture.git_dir.join("shallow"), format!("{commit}\n")).unwrap();
    assert_eq!(
        fixture.in_repo(&["cat-file", "-p", &format!("{commit}:a")]),
        "replaced",
        "real git honours it"
    );
    assert_eq!(read(&fixture.open(), "a").unwrap().text(), "original");
}

/// A loose blob that inflates to 2 GiB of zeros, made without compressing 2 GiB: after the first
/// chunk, each equal chunk compresses to the same bytes.
fn bomb(fixture: &Fixture) -> Oid {
    const SIZE: usize = 2 << 30;
    const CHUNK: usize = 1 << 20;
    let zeros = vec![0_u8; CHUNK];
    let mut stored = Vec::new();
    let mut compress = Compress::new(Compression::best(), true);
    let mut add = |input: &[u8]| {
        let before = stored.len();
        stored.reserve(64 << 10);
        compress
            .compress_vec(input, &mut stored, FlushCompress::Sync)
            .unwrap();
        before..stored.len()
    };
    add(format!("blob {SIZE}\0").as_bytes());
    add(&zeros);
    let repeated = add(&zeros);
    let repeated = stored[repeated].to_vec();
    for _ in 2..SIZE / CHUNK {
        stored.extend_from_slice(&repeated);
    }
    let id = Oid::from_str(&"b0".repeat(20)).unwrap();
    fixture.loose(id, &stored);
    id
}

#[test]
fn a_blob_that_inflates_to_two_gigabytes_costs_nothing() {
    let fixture = Fixture::bare();
    let bomb = bomb(&fixture);
    assert!(std::fs::metadata(fixture.loose_path(bomb)).unwrap().len() < 8 << 20);
    let small = fixture.blob(b"needle");
    let tree = fixture.tree(&[
        (FILE, b"bomb", bomb),
        (LINK, b"link", bomb),
        (FILE, b"small", small),
    ]);
    fixture.commit("refs/heads/main", tree);
    let repository = fixture.open_hiding(&["*.pem"]);
    let listed = list(&repository, "").unwrap();
    assert_eq!(listed.data["entries"][0]["size"], json!(2_u64 << 30));
    let refusal = read(&repository, "bomb").unwrap_err();
    assert_eq!(refusal.code, Code::LimitExceeded);
    assert!(refusal.message.contains("2147483648"), "{}", refusal.message);
    assert_eq!(
        read_lines(&repository, "bomb", 1, 1).unwrap_err().code,
        Code::LimitExceeded
    );
    let link = read(&repository, "link").unwrap();
    assert_eq!(link.data.get("text"), None);
    let found = search(&repository, "needle").unwrap();
    assert_eq!(
        (&found.data["files_searched"], &found.data["files_skipped"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn a_small_delta_against_a_huge_base_is_not_inflated() {
    let fixture = Fixture::bare();
    let base: Vec<u8> = (0..66_u32 << 20).map(|n| (n >> 14).to_le_bytes()[0]).collect();
    let small = base[..6 << 20].to_vec();
    let (base, small) = (fixture.blob(&base), fixture.blob(&small));
    // git compares blobs of like names, larger ones first.
    let name = b"the-same-long-file-name";
    let (older, newer) = (
        fixture.tree(&[(FILE, name, base)]),
        fixture.tree(&[(FILE, name, small)]),
    );
    fixture.commit(
        "refs/heads/main",
        fixture.tree(&[(FOLDER, b"base", older), (FOLDER, b"small", newer)]),
    );
    fixture.in_repo(&[
        "-c",
        "core.bigFileThreshold=1g",
        "repack",
        "-adq",
        "--depth=5",
        "--window=5",
    ]);
    assert!(!fixture.loose_path(small).exists());
    let packs: Vec<_> = std::fs::read_dir(fixture.git_dir.join("objects/pack"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let index = packs
        .iter()
        .find(|path| path.extension().is_some_and(|ending| ending == "idx"))
        .unwrap();
    let report = fixture.git(&["verify-pack", "-v", index.to_str().unwrap()]);
    let line = report
        .lines()
        .find(|line| line.starts_with(&small.to_string()))
        .unwrap();
    assert!(
        line.contains(&base.to_string()),
        "the fixture must be a delta: {line}"
    );
    let refusal = read(&fixture.open(), "small/the-same-long-file-name").unwrap_err();
    assert_eq!(refusal.code, Code::TargetFailed, "{refusal:?}");
}

#[test]
fn a_lying_header_is_an_error_not_a_crash() {
    let fixture = Fixture::bare();
    let mut entries = Vec::new();
    let cases: [(&str, &[u8]); 5] = [
        ("blob 5\0", b"1234567890"), // claims less than it holds
        ("blob 99999\0", b"short"),  // claims more
        ("blob -1\0", b"x"),
        ("tree 1\0", b"x"),
        ("nonsense", b""),
    ];
    for (number, (header, body)) in cases.iter().enumerate() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(header.as_bytes()).unwrap();
        encoder.write_all(body).unwrap();
        let id = Oid::from_str(&format!("{:02x}", number + 16).repeat(20)).unwrap();
        fixture.loose(id, &encoder.finish().unwrap());
        entries.push((format!("f{number}"), id));
    }
    let missing = Oid::from_str(&"77".repeat(20)).unwrap();
    entries.push(("missing".to_owned(), missing));
    // The right form, the wrong name: somebody changed the file.
    let swapped = fixture.blob(b"honest");
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"blob 6\0forged").unwrap();
    fixture.loose(swapped, &encoder.finish().unwrap());
    entries.push(("swapped".to_owned(), swapped));
    let list: Vec<_> = entries
        .iter()
        .map(|(name, id)| (FILE, name.as_bytes(), *id))
        .collect();
    fixture.commit("refs/heads/main", fixture.tree(&list));
    let repository = fixture.open();
    for (name, _) in &entries {
        let refusal = read(&repository, name).unwrap_err();
        assert_eq!(refusal.code, Code::TargetFailed, "{name}");
        assert!(
            !refusal.message.contains("object"),
            "operator words stay with the operator"
        );
    }
    assert_eq!(list_all(&repository).paths().len(), entries.len());
    let found = search(&repository, "honest").unwrap();
    assert_eq!(
        (&found.data["files_searched"], &found.data["files_skipped"]),
        (&json!(0), &json!(entries.len()))
    );
}

#[test]
fn entries_that_name_the_wrong_kind_of_object_are_not_read() {
    let fixture = Fixture::with(&[("a", b"x")]);
    let commit = Oid::from_str(&fixture.in_repo(&["rev-parse", "main"])).unwrap();
    let tree = Oid::from_str(&fixture.in_repo(&["rev-parse", "main^{tree}"])).unwrap();
    let blob = fixture.blob(b"x");
    let odd = fixture.tree(&[
        (FILE, b"commit-as-file", commit),
        (FILE, b"tree-as-file", tree),
        (FOLDER, b"x-blob-as-folder", blob),
        (FOLDER, b"y-commit-as-folder", commit),
        (LINK, b"z-tree-as-link", tree),
        ("777", b"zz-odd-mode", blob),
    ]);
    fixture.commit("refs/heads/main", odd);
    let repository = fixture.open();
    for path in ["commit-as-file", "tree-as-file"] {
        assert_eq!(
            read(&repository, path).unwrap_err().code,
            Code::TargetFailed,
            "{path}"
        );
    }
    for path in ["x-blob-as-folder", "y-commit-as-folder"] {
        assert_eq!(
            list(&repository, path).unwrap_err().code,
            Code::TargetFailed,
            "{path}"
        );
    }
    assert!(
        matches!(read(&repository, "z-tree-as-link"), Err(refusal) if refusal.code == Code::TargetFailed)
    );
    assert!(
        !list(&repository, "")
            .unwrap()
            .paths()
            .contains(&"zz-odd-mode".to_owned())
    );
}

#[test]
fn ten_thousand_folders_deep() {
    let fixture = Fixture::bare();
    let secret = fixture.blob(b"deep secret");
    let mut id = fixture.tree(&[(FILE, b"leaf", fixture.blob(b"bottom")), (FILE, b"x.pem", secret)]);
    for _ in 0..10_000 {
        id = fixture.tree(&[(FOLDER, b"d", id)]);
    }
    let top = fixture.blob(b"top");
    fixture.commit(
        "refs/heads/main",
        fixture.tree(&[(FOLDER, b"d", id), (FILE, b"copy", secret), (FILE, b"z", top)]),
    );
    for hidden in [&["*.pem"][..], &["*.pem", "/never/this"]] {
        let roomy = Limits {
            bytes: 1 << 26,
            ..LIMITS
        };
        let hidden = hidden.iter().map(|pattern| (*pattern).to_owned()).collect();
        let spec = super::super::Spec {
            hidden,
            limits: roomy,
            ..fixture.spec()
        };
        let repository = super::super::Repository::open(spec).unwrap();
        let listed = list_all(&repository).paths();
        assert_eq!(listed.last().unwrap(), "z");
        assert_eq!(
            listed.iter().map(String::len).max(),
            Some(4095),
            "down to the longest path an operating system takes"
        );
        assert!(
            !listed.contains(&"copy".to_owned()),
            "hidden by what lies at the very bottom"
        );
        assert_eq!(
            search(&repository, "top").unwrap().texts("/matches", "path"),
            ["z"]
        );
        let deep = ["d"; 9_000].join("/");
        assert_eq!(list(&repository, &deep).unwrap_err().code, Code::InvalidArguments);
    }
}

#[test]
fn a_tree_of_ten_to_the_tenth_paths_is_bounded() {
    let fixture = Fixture::bare();
    let blob = fixture.blob(b"boom");
    let names: Vec<Vec<u8>> = (0..10).map(|n| vec![b'a' + n]).collect();
    let mut id = blob;
    for level in 0..10 {
        let mode = if level == 0 { FILE } else { FOLDER };
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_slice(), id)).collect();
        id = fixture.tree(&entries);
    }
    fixture.commit("refs/heads/main", id);
    let repository = fixture.open_hiding(&["*.pem"]);
    let request = crate::call::request::FileList {
        limit: Some(1000),
        ..list_request("", true)
    };
    let page = call(&repository, Request::FileList(request)).unwrap();
    assert!(page.raw.truncated && page.paths().len() == 1000);
    let request = crate::call::request::FileSearch {
        limit: Some(100),
        ..search_request("boom")
    };
    assert_eq!(
        call(&repository, Request::FileSearch(request)).unwrap().data["matches"]
            .as_array()
            .unwrap()
            .len(),
        100
    );
}

#[test]
fn malformed_trees_show_each_name_once_or_nothing() {
    let fixture = Fixture::bare();
    let (one, two) = (fixture.blob(b"one"), fixture.blob(b"two"));
    let folder = fixture.tree(&[(FILE, b"x", two)]);
    let tree = fixture.tree(&[
        (FILE, b"z", one),
        (FILE, b"dup", one),
        (FILE, b"a", one),
        (FILE, b"dup", two),
        (FOLDER, b"a", folder),
        (FILE, b"", one),
        (FILE, b".", one),
        (FILE, b"..", one),
        (FILE, b"../../etc/passwd", one),
        (FILE, b"/etc/passwd", one),
        (FILE, b"sub/slash", one),
        (MODULE, b"cr\rsub", one),
    ]);
    fixture.commit("refs/heads/main", tree);
    let repository = fixture.open();
    assert_eq!(list_all(&repository).paths(), ["a", "cr%0Dsub", "dup", "z"]);
    assert_eq!(read(&repository, "dup").unwrap().text(), "one");
    assert_eq!(read(&repository, "cr%0Dsub").unwrap().data["kind"], "submodule");
    assert_absent(&repository, "sub/slash");
    for cut in [
        &b"100644"[..],
        b"100644 a",
        b"100644 a\0short",
        b"x a\0",
        b"99999999 a\0aaaaaaaaaaaaaaaaaaaa",
    ] {
        let broken = fixture.object(ObjectType::Tree, cut);
        fixture.commit("refs/heads/main", broken);
        assert_eq!(
            list(&repository, "").unwrap_err().code,
            Code::TargetFailed,
            "{cut:?}"
        );
    }
}
