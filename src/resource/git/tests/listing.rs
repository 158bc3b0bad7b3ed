//! `file_list`.

use serde_json::json;

use super::support::*;
use crate::call::request::FileList;
use crate::call::{Code, Limits, Request};

#[test]
fn entries_say_what_they_are() {
    let fixture = Fixture::bare();
    let file = fixture.blob(b"12345");
    let link = fixture.blob(b"../../etc/passwd");
    let folder = fixture.tree(&[(FILE, b"inner", file)]);
    let tree = fixture.tree(&[
        ("100755", b"run.sh", file),
        (FOLDER, b"src", folder),
        (LINK, b"link", link),
        (MODULE, b"sub", file),
    ]);
    fixture.commit("refs/heads/main", tree);
    let answer = list(&fixture.open(), "").unwrap();
    assert_eq!(
        answer.data["entries"],
        json!([
            {"path": "link", "kind": "symlink", "target": "../../etc/passwd"},
            {"path": "run.sh", "kind": "file", "size": 5},
            {"path": "src", "kind": "folder"},
            {"path": "sub", "kind": "submodule", "target": file.to_string()},
        ])
    );
    assert_eq!(answer.data["ref"], "refs/heads/main");
    assert_eq!(answer.raw.fragments.len(), 1, "a symlink's target is content");
    assert!(!answer.raw.truncated);
    let below = list(&fixture.open(), "src").unwrap();
    assert_eq!(below.paths(), ["src/inner"]);
    assert_eq!(
        list(&fixture.open(), "run.sh").unwrap_err().code,
        Code::InvalidArguments
    );
    assert_eq!(list(&fixture.open(), "link/x").unwrap_err().code, Code::NotFound);
    assert_eq!(list(&fixture.open(), "sub/x").unwrap_err().code, Code::NotFound);
}

#[test]
fn pages_join_to_the_whole_in_order() {
    let fixture = Fixture::with(&[
        ("a", b""),
        ("a.txt", b""),
        ("a-b/x", b""),
        ("dir/1", b""),
        ("dir/2/deep", b""),
        ("dir.txt", b""),
        ("z/y/x", b""),
    ]);
    let repository = fixture.open();
    for recursive in [true, false] {
        let whole = call(&repository, Request::FileList(list_request("", recursive)))
            .unwrap()
            .paths();
        for limit in 1..=whole.len() as u64 {
            let (mut cursor, mut joined) = (None, Vec::new());
            loop {
                let request = FileList {
                    limit: Some(limit),
                    cursor,
                    ..list_request("", recursive)
                };
                let page = call(&repository, Request::FileList(request)).unwrap();
                assert!(page.paths().len() as u64 <= limit);
                joined.extend(page.paths());
                assert_eq!(page.raw.truncated, page.raw.next_cursor.is_some());
                cursor = page.raw.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(joined, whole, "limit {limit}");
        }
    }
    let inside = call(
        &repository,
        Request::FileList(FileList {
            limit: Some(1),
            ..list_request("dir", true)
        }),
    )
    .unwrap();
    let rest = FileList {
        cursor: inside.raw.next_cursor,
        ..list_request("dir", true)
    };
    assert_eq!(
        call(&repository, Request::FileList(rest)).unwrap().paths(),
        ["dir/2", "dir/2/deep"]
    );
}

#[test]
fn a_cursor_is_for_its_request_and_its_commit() {
    let fixture = Fixture::with(&[("a", b""), ("b", b""), ("d/c", b"")]);
    let repository = fixture.open();
    let first = |request: FileList| {
        call(
            &repository,
            Request::FileList(FileList {
                limit: Some(1),
                ..request
            }),
        )
    };
    let cursor = first(list_request("", true)).unwrap().raw.next_cursor;
    let refused = |request: FileList| first(request).unwrap_err();
    assert_eq!(
        refused(FileList {
            cursor: cursor.clone(),
            ..list_request("d", true)
        })
        .code,
        Code::InvalidArguments
    );
    assert_eq!(
        refused(FileList {
            cursor: cursor.clone(),
            ..list_request("", false)
        })
        .code,
        Code::InvalidArguments
    );
    for text in ["", "x", "AAAA", &"A".repeat(100_000)] {
        let request = FileList {
            cursor: Some(text.to_owned()),
            ..list_request("", true)
        };
        assert_eq!(refused(request).code, Code::InvalidArguments);
    }
    fixture.commit_files("refs/heads/main", &[("a", b"new"), ("b", b"")]);
    let moved = refused(FileList {
        cursor,
        ..list_request("", true)
    });
    assert_eq!(moved.code, Code::InvalidArguments);
    assert!(moved.message.contains("the branch moved"), "{}", moved.message);
}

#[test]
fn limits_bound_the_answer() {
    let names: Vec<String> = (0..500).map(|n| format!("file-{n:04}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    let repository = Fixture::with(&files).open();
    let all = || Request::FileList(list_request("", true));
    assert_eq!(
        call_with(&repository, all(), Limits { rows: 7, ..LIMITS })
            .unwrap()
            .paths()
            .len(),
        7
    );
    let small = call_with(
        &repository,
        all(),
        Limits {
            bytes: 1000,
            ..LIMITS
        },
    )
    .unwrap();
    assert!(small.raw.truncated && small.paths().len() < 20 && !small.paths().is_empty());
    let zero = FileList {
        limit: Some(0),
        ..list_request("", true)
    };
    assert_eq!(
        call(&repository, Request::FileList(zero)).unwrap_err().code,
        Code::InvalidArguments
    );
}

#[test]
fn case_and_composition_collisions_are_distinct_entries() {
    let files: &[(&str, &[u8])] = &[
        ("README", b"1"),
        ("readme", b"2"),
        ("caf\u{e9}", b"3"),
        ("cafe\u{301}", b"4"),
        ("K", b"5"),
        ("\u{212a}", b"6"),
    ];
    let repository = Fixture::with(files).open();
    assert_eq!(list_all(&repository).paths().len(), 6);
    for (path, content) in files {
        assert_eq!(read(&repository, path).unwrap().text().as_bytes(), *content);
    }
}

#[test]
fn odd_names_are_listed_losslessly_and_accepted_back() {
    let fixture = Fixture::bare();
    let names: [&[u8]; 9] = [
        b"caf\xe9",
        b"caf%E9",
        b"100%",
        b"new\nline",
        b"cr\rsub",
        b"\x1b[31mred",
        b"back\\slash",
        b"--output=x",
        "rtl\u{202e}x".as_bytes(),
    ];
    let blobs: Vec<_> = names.iter().map(|name| fixture.blob(name)).collect();
    let entries: Vec<_> = names
        .iter()
        .zip(&blobs)
        .map(|(name, blob)| (FILE, *name, *blob))
        .collect();
    fixture.commit("refs/heads/main", fixture.tree(&entries));
    let repository = fixture.open();
    let shown = list_all(&repository).paths();
    assert_eq!(shown.len(), names.len());
    for path in &shown {
        assert!(!path.chars().any(char::is_control), "{path:?}");
        let answer = read(&repository, path).unwrap();
        let blob = answer.data["blob"].as_str().unwrap();
        assert!(blobs.iter().any(|id| id.to_string() == blob));
    }
    for path in [
        "caf%E9",
        "caf%25E9",
        "100%",
        "new%0Aline",
        "cr%0Dsub",
        "back\\slash",
        "--output=x",
    ] {
        assert!(shown.iter().any(|listed| listed == path), "{path} in {shown:?}");
    }
}
