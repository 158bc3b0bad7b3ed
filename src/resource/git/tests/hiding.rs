//! What is hidden does not exist: in no tool, by no spelling, under no other path.

use serde_json::json;

use super::super::DEFAULT_HIDDEN;
use super::support::*;
use crate::call::{Code, Request};

const SECRET: &str = "S3CRET-VALUE-42";

#[test]
fn default_list_hides_where_credentials_are() {
    let hidden = [
        ".env",
        ".env.production",
        "config/.ENV.local",
        "prod.env",
        "tls/server.pem",
        "tls/SERVER.KEY",
        "id_rsa",
        "id_rsa.",
        "home/.ssh/config",
        "id_ed25519",
        "cert.p12",
        "infra/prod.tfstate",
        "infra/prod.tfstate.backup",
        ".npmrc",
        ".netrc",
        ".git-credentials",
        "secrets/a/b.txt",
        "Secrets/x",
        "deep/SECRETS/y",
        "credentials.json",
        ".aws/anything",
        ".docker/config.json",
    ];
    let shown = [
        "README.md",
        "src/environment.rs",
        "src/keys.rs",
        "docs/secrets.md",
        "src/credentials.rs",
        "secretsauce/x",
        ".docker/x",
    ];
    // Each its own content, or one pattern would hide them all as copies.
    let contents = hidden.map(|path| format!("{SECRET} {path}"));
    let mut files: Vec<(&str, &[u8])> = hidden
        .into_iter()
        .zip(contents.iter().map(String::as_bytes))
        .collect();
    files.extend(shown.iter().map(|path| (*path, path.as_bytes())));
    let repository = Fixture::with(&files).open_hiding(DEFAULT_HIDDEN);
    for path in hidden {
        assert_absent(&repository, path);
    }
    for path in &shown {
        assert_eq!(read(&repository, path).unwrap().text(), *path);
    }
    assert_silent(&repository, SECRET);
}

#[test]
fn every_spelling_of_a_hidden_path_is_absent() {
    let fixture = Fixture::with(&[
        (".env", b"S3CRET-VALUE-42 a"),
        ("Conf/\u{c9}tat.KEY", b"S3CRET-VALUE-42 b"),
        ("s\u{e9}crets/a", b"S3CRET-VALUE-42 c"),
        ("Se\u{301}CRETS/b", b"S3CRET-VALUE-42 d"),
        (".E\u{200b}nv", b"S3CRET-VALUE-42 e"),
        ("e\u{301}tat/x", b"shown"),
    ]);
    let repository = fixture.open_hiding(&[".env*", "*.key", "se\u{301}crets/"]);
    for path in [
        ".env",
        ".ENV",
        "./.env",
        ".//.env",
        "/.env",
        ".env/",
        "%2Eenv",
        "%2eenv",
        ".%65nv",
        "x/../.env",
        ".env.",
        ".env ",
        ".e\u{200b}nv",
        "\u{ff0e}env",
        ".env\u{0}",
        ".\\.env",
        "Conf/\u{c9}tat.KEY",
        "conf/\u{e9}tat.key",
        "Conf/E\u{301}tat.KEY",
        "Conf//\u{c9}tat.KEY",
        "Conf/./\u{c9}tat.KEY",
        "Conf/%C3%89tat.KEY",
        "s\u{e9}crets",
        "s\u{e9}crets/a",
        "se\u{301}crets/a",
        "S\u{c9}CRETS/a",
        "s%C3%A9crets/a",
    ] {
        assert_absent(&repository, path);
    }
    assert_silent(&repository, SECRET);
    assert_eq!(read(&repository, "e\u{301}tat/x").unwrap().text(), "shown");
}

#[test]
fn a_copy_of_a_hidden_file_is_hidden_and_an_empty_file_is_not() {
    let fixture = Fixture::with(&[
        ("secrets/prod.txt", SECRET.as_bytes()),
        ("secrets/.gitkeep", b""),
        ("backup/notes.txt", SECRET.as_bytes()),
        ("empty", b""),
    ]);
    let repository = fixture.open_hiding(&["secrets/"]);
    assert_absent(&repository, "backup/notes.txt");
    assert_silent(&repository, SECRET);
    assert_eq!(list_all(&repository).paths(), ["backup", "empty"]);
    // A folder that is itself a copy of a hidden one.
    let id = fixture.in_repo(&["rev-parse", "main:secrets"]);
    let copied = fixture.tree(&[
        (FOLDER, b"other", git2::Oid::from_str(&id).unwrap()),
        (FOLDER, b"secrets", git2::Oid::from_str(&id).unwrap()),
    ]);
    fixture.commit("refs/heads/main", copied);
    assert_silent(&repository, SECRET);
    // Anchored patterns take the other walk.
    let anchored = fixture.open_hiding(&["/secrets/prod.txt"]);
    assert_silent(&anchored, SECRET);
}

#[test]
fn negation_and_anchors_work_as_in_gitignore() {
    let fixture = Fixture::with(&[
        ("a.pem", b"1"),
        ("public.pem", b"2"),
        ("top/only.txt", b"3"),
        ("deep/top/only.txt", b"4"),
        ("closed/keep.pem", b"5"),
    ]);
    let repository = fixture.open_hiding(&[
        "*.pem",
        "!public.pem",
        "/top/only.txt",
        "closed/",
        "!closed/keep.pem",
    ]);
    let shown = list_all(&repository).paths();
    assert_eq!(
        shown,
        ["deep", "deep/top", "deep/top/only.txt", "public.pem", "top"]
    );
}

#[test]
fn names_that_are_not_utf8_are_hidden_too() {
    let fixture = Fixture::bare();
    let [a, b, c] = ["a", "b", "c"].map(|content| fixture.blob(content.as_bytes()));
    let tree = fixture.tree(&[
        (FILE, b"caf\xe9.PEM", a),
        (FILE, b"\xff\xfe.env", b),
        (FILE, b"id_rsa\xff", c),
    ]);
    fixture.commit("refs/heads/main", tree);
    let repository = fixture.open_hiding(DEFAULT_HIDDEN);
    assert_eq!(list_all(&repository).paths(), [""; 0]);
    for path in ["caf%E9.PEM", "%FF%FE.env", "id_rsa%FF"] {
        assert_absent(&repository, path);
    }
}

#[test]
fn names_that_end_in_a_dot_are_hidden_too() {
    let fixture = Fixture::with(&[("id_rsa.", b"1"), ("x.", b"2"), ("d/x.", b"3"), ("y", b"4")]);
    let repository = fixture.open_hiding(&["id_rsa*", "x."]);
    assert_eq!(list_all(&repository).paths(), ["d", "y"]);
}

#[test]
fn hidden_files_are_counted_nowhere() {
    let files: &[(&str, &[u8])] = &[
        (".env", b"needle, hidden"),
        ("bin.env", b"\0needle"),
        ("a", b"needle"),
        ("b", b"\0"),
    ];
    let repository = Fixture::with(files).open_hiding(&[".env*", "*.env"]);
    let without = Fixture::with(&[("a", b"needle"), ("b", b"\0")]).open();
    let (one, other) = (
        search(&repository, "needle").unwrap(),
        search(&without, "needle").unwrap(),
    );
    for key in ["matches", "files_searched", "files_skipped"] {
        assert_eq!(one.data[key], other.data[key]);
    }
    assert_eq!(one.data["files_searched"], json!(1));
    assert_eq!(one.data["files_skipped"], json!(1));
}

#[test]
fn a_cursor_tells_nothing_of_hidden_names() {
    use super::super::cursor::Cursor;
    let fixture = Fixture::with(&[("a", b"x"), ("m/secret.pem", b"x1"), ("m/z", b"x"), ("q", b"x")]);
    let repository = fixture.open_hiding(&["*.pem"]);
    let commit = fixture.in_repo(&["rev-parse", "main"]);
    let page = |path: &str| {
        let request = list_request("", true);
        let cursor = Cursor::at(
            &Request::FileList(request.clone()),
            &commit,
            path.to_owned(),
            None,
        );
        let request = crate::call::request::FileList {
            cursor: Some(cursor),
            ..request
        };
        call(&repository, Request::FileList(request)).unwrap().paths()
    };
    assert_eq!(page("m/secret.pem"), page("m/secret.never"));
    assert_eq!(page("m/secret.pem"), ["m/z", "q"]);
    assert_eq!(page("m"), ["m/z", "q"]);
    assert_eq!(page("nothing/here"), ["q"]);
    // Inside a hidden file by line: as if there were no such file.
    let request = search_request("x");
    let cursor = Cursor::at(
        &Request::FileSearch(request.clone()),
        &commit,
        "m/secret.pem".to_owned(),
        Some(0),
    );
    let request = crate::call::request::FileSearch {
        cursor: Some(cursor),
        ..request
    };
    let found = call(&repository, Request::FileSearch(request)).unwrap();
    assert_eq!(found.texts("/matches", "path"), ["m/z", "q"]);
}

#[test]
fn git_folders_in_a_tree_are_hidden_whatever_they_are_called() {
    let fixture = Fixture::bare();
    let config = fixture.blob(SECRET.as_bytes());
    let inner = fixture.tree(&[(FILE, b"config", config)]);
    let names: [&[u8]; 9] = [
        b".git",
        b".GIT",
        b".Git",
        b".git.",
        b".git ",
        b"GIT~1",
        b".g\xe2\x80\x8cit",
        b".git::$INDEX_ALLOCATION",
        b"..",
    ];
    for name in names {
        let tree = fixture.tree(&[(FOLDER, name, inner)]);
        fixture.commit("refs/heads/main", tree);
        for repository in [fixture.open(), fixture.open_hiding(&["*.pem"])] {
            assert_eq!(list_all(&repository).paths(), [""; 0], "{name:?}");
            assert_silent(&repository, SECRET);
        }
    }
}

#[test]
fn refusals_do_not_say_whether_a_hidden_thing_exists() {
    let repository = Fixture::with(&[("secrets/a", b"1"), ("b", b"2")]).open_hiding(&["secrets/"]);
    for (hidden, never) in [
        ("secrets", "secretz"),
        ("secrets/a", "secretz/a"),
        ("secrets/nope", "secretz/nope"),
    ] {
        let (one, other) = (
            read(&repository, hidden).unwrap_err(),
            read(&repository, never).unwrap_err(),
        );
        assert_eq!(one.code, Code::NotFound);
        assert_eq!(one.message.replace(hidden, never), other.message);
        assert_eq!(
            (one.code, one.suggestion, one.detail),
            (other.code, other.suggestion, other.detail)
        );
    }
}
