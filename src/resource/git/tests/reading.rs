//! `file_read`.

use serde_json::json;

use super::super::read::MAX_FILE;
use super::support::*;
use crate::call::request::FileRead;
use crate::call::{Code, Limits, Request};

#[test]
fn lines_and_bytes_are_exact() {
    let fixture = Fixture::with(&[("f", b"one\ntw\xc3\xb6\r\n\nlast"), ("g", b"x\n"), ("empty", b"")]);
    let repository = fixture.open();
    let whole = read(&repository, "f").unwrap();
    assert_eq!(whole.text(), "one\ntw\u{f6}\r\n\nlast");
    assert_eq!(whole.data["lines"], json!([1, 4]));
    assert_eq!(whole.data["total_lines"], 4);
    assert_eq!(whole.data["bytes"], json!([0, 15]));
    assert_eq!(whole.data["blob"], fixture.in_repo(&["rev-parse", "main:f"]));
    assert_eq!(whole.data["commit"], fixture.in_repo(&["rev-parse", "main"]));
    let fragment = &whole.raw.fragments[0];
    assert_eq!(
        (fragment.bytes, fragment.lines, fragment.pointer.as_str()),
        ((0, 15), (1, 4), "/text")
    );
    let middle = read_lines(&repository, "f", 2, 3).unwrap();
    assert_eq!(middle.text(), "tw\u{f6}\r\n\n");
    assert_eq!(
        (middle.raw.fragments[0].bytes, middle.raw.fragments[0].lines),
        ((4, 11), (2, 3))
    );
    assert!(!middle.raw.truncated, "what was asked for is all there");
    assert_eq!(read_lines(&repository, "f", 4, 999).unwrap().text(), "last");
    assert_eq!(read(&repository, "g").unwrap().data["total_lines"], 1);
    let empty = read(&repository, "empty").unwrap();
    assert_eq!(
        (empty.text(), &empty.data["lines"], &empty.data["total_lines"]),
        ("", &json!([0, 0]), &json!(0))
    );
}

#[test]
fn ranges_that_do_not_fit_are_refused_with_what_would() {
    let repository = Fixture::with(&[("f", b"1\n2\n3\n"), ("empty", b"")]).open();
    for (start, end, says) in [
        (0, 1, "count from 1"),
        (1, 0, "count from 1"),
        (3, 2, "before"),
        (4, 9, "has 3 lines"),
    ] {
        let refusal = read_lines(&repository, "f", start, end).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidArguments);
        assert!(refusal.message.contains(says), "{}", refusal.message);
    }
    assert_eq!(read_lines(&repository, "empty", 1, 5).unwrap().text(), "");
    assert_eq!(
        read_lines(&repository, "empty", 2, 5).unwrap_err().code,
        Code::InvalidArguments
    );
}

#[test]
fn a_long_file_is_cut_at_a_line_and_says_where_to_go_on() {
    let text: String = (1..=1000).map(|n| format!("line {n}\n")).collect();
    let repository = Fixture::with(&[("f", text.as_bytes())]).open();
    let limits = Limits { bytes: 500, ..LIMITS };
    let (mut next, mut joined) = (1, String::new());
    loop {
        let request = FileRead {
            start_line: Some(next),
            ..read_request("f")
        };
        let page = call_with(&repository, Request::FileRead(request), limits).unwrap();
        assert!(page.text().len() <= 500 && page.text().ends_with('\n'));
        joined.push_str(page.text());
        next = page.data["lines"][1].as_u64().unwrap() + 1;
        let note = page.data["note"].as_str().unwrap_or_default();
        if !page.raw.truncated {
            assert_eq!(note, "");
            break;
        }
        assert!(note.contains(&format!("start_line {next}")), "{note}");
    }
    assert_eq!(joined, text);
}

#[test]
fn a_line_longer_than_the_limit_is_cut_between_characters() {
    let text = format!("{}\nnext\n", "\u{20ac}".repeat(1000));
    let repository = Fixture::with(&[("f", text.as_bytes())]).open();
    let page = call_with(
        &repository,
        Request::FileRead(read_request("f")),
        Limits { bytes: 100, ..LIMITS },
    )
    .unwrap();
    assert_eq!(page.text().len(), 99);
    assert_eq!(page.data["lines"], json!([1, 1]));
    assert!(page.raw.truncated && page.data["note"].as_str().unwrap().contains("start_line 2"));
}

#[test]
fn what_is_not_text_is_said_and_not_dumped() {
    let late_nul = [vec![b'a'; 9000], vec![0], b"tail".to_vec()].concat();
    let fixture = Fixture::with(&[
        ("nul", b"ab\0cd"),
        ("latin1", b"caf\xe9"),
        ("utf16", b"\xff\xfea\0b\0"),
        ("utf16be", b"\xfe\xff\0a\0b"),
        ("utf32", b"\xff\xfe\0\0a\0\0\0"),
        ("late", &late_nul),
        ("bom", b"\xef\xbb\xbftext"),
    ]);
    let repository = fixture.open();
    for (path, says) in [
        ("nul", "Binary"),
        ("latin1", "from byte 3"),
        ("utf16", "UTF-16"),
        ("utf16be", "UTF-16"),
        ("utf32", "UTF-32"),
    ] {
        let answer = read(&repository, path).unwrap();
        assert_eq!(answer.data["kind"], "binary");
        assert_eq!(answer.data.get("text"), None);
        assert!(answer.raw.fragments.is_empty());
        assert!(
            answer.data["note"].as_str().unwrap().contains(says),
            "{}",
            answer.data
        );
    }
    assert_eq!(
        read(&repository, "late").unwrap().data["kind"],
        "text",
        "as git decides"
    );
    let bom = read(&repository, "bom").unwrap();
    assert_eq!(bom.text(), "\u{feff}text");
    assert!(bom.data["note"].as_str().unwrap().contains("byte order mark"));
}

#[test]
fn lfs_pointers_symlinks_submodules_and_folders() {
    let fixture = Fixture::bare();
    let oid = "ab".repeat(32);
    let pointer = fixture.blob(
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n").as_bytes(),
    );
    let almost = fixture.blob(b"version https://git-lfs.github.com/spec/v1\noid sha256:zz\nsize x\n");
    let link = fixture.blob(b"/etc/passwd");
    let tree = fixture.tree(&[
        (FILE, b"big", pointer),
        (FILE, b"almost", almost),
        (LINK, b"link", link),
        (MODULE, b"sub", pointer),
    ]);
    fixture.commit("refs/heads/main", tree);
    let repository = fixture.open();
    let lfs = read(&repository, "big").unwrap();
    assert_eq!(lfs.data["kind"], "lfs");
    let note = lfs.data["note"].as_str().unwrap();
    assert!(note.contains(&oid) && note.contains("12345"), "{note}");
    assert_eq!(read(&repository, "almost").unwrap().data["kind"], "text");
    let link = read(&repository, "link").unwrap();
    assert_eq!(
        (link.data["kind"].as_str(), link.text()),
        (Some("symlink"), "/etc/passwd")
    );
    let sub = read(&repository, "sub").unwrap();
    assert_eq!(
        (sub.data["kind"].as_str(), sub.data.get("text")),
        (Some("submodule"), None)
    );
    assert!(sub.data["note"].as_str().unwrap().contains(&pointer.to_string()));
    assert_eq!(
        read_lines(&repository, "link", 1, 1).unwrap_err().code,
        Code::InvalidArguments
    );
    let root = read(&repository, "").unwrap_err();
    assert!(root.code == Code::InvalidArguments && root.suggestion.contains("file_list"));
}

#[test]
fn size_limit_is_taken_from_the_header() {
    let fixture = Fixture::bare();
    let exact = fixture.blob(&vec![b'a'; usize::try_from(MAX_FILE).unwrap()]);
    let above = fixture.blob(&vec![b'a'; usize::try_from(MAX_FILE).unwrap() + 1]);
    fixture.commit(
        "refs/heads/main",
        fixture.tree(&[(FILE, b"above", above), (FILE, b"exact", exact)]),
    );
    let repository = fixture.open();
    assert_eq!(read(&repository, "exact").unwrap().data["size"], MAX_FILE);
    assert_eq!(read(&repository, "above").unwrap_err().code, Code::LimitExceeded);
}

#[test]
fn packed_and_delta_objects_read_the_same() {
    let text: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    let changed = format!("{text}more\n");
    let fixture = Fixture::with(&[
        ("a", text.as_bytes()),
        ("b", changed.as_bytes()),
        ("d/e", b"deep"),
    ]);
    let repository = fixture.open();
    let before = list_all(&repository).data;
    fixture.in_repo(&["repack", "-adq"]);
    assert_eq!(list_all(&repository).data, before, "a handle that was open");
    let fresh = fixture.open();
    assert_eq!(list_all(&fresh).data, before);
    assert_eq!(read(&fresh, "b").unwrap().data["size"], changed.len());
    assert_eq!(read_lines(&fresh, "b", 20_001, 20_001).unwrap().text(), "more\n");
}

#[test]
fn other_tools_are_refused() {
    use crate::call::request::SqlSchema;
    let repository = Fixture::with(&[("f", b"1")]).open();
    let request = Request::SqlSchema(SqlSchema {
        resource: "web".to_owned(),
        table: None,
    });
    assert_eq!(inspect(&repository, request).unwrap_err().code, Code::WrongTool);
}
