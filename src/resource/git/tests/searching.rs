//! `file_search`.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::search::MAX_SEARCHED_FILE;
use super::super::work::Stop;
use super::support::*;
use crate::call::request::FileSearch;
use crate::call::{Code, Limits, Request};

fn found(answer: &Answer) -> Vec<String> {
    let matches = answer.data["matches"].as_array().unwrap();
    matches
        .iter()
        .map(|hit| {
            format!(
                "{}:{}:{}",
                hit["path"].as_str().unwrap(),
                hit["line"],
                hit["text"].as_str().unwrap()
            )
        })
        .collect()
}

fn sample() -> Fixture {
    Fixture::with(&[
        ("a.rs", b"fn main() {}\r\nlet x = 1;\n"),
        ("b/c.rs", b"// main\nfn other() {}\n"),
        ("b/d.ts", b"main\nmain main"),
        ("bin", b"main\0"),
        ("latin", b"main \xe9"),
    ])
}

#[test]
fn literal_and_regular_expression() {
    let repository = sample().open();
    let literal = search(&repository, "main").unwrap();
    assert_eq!(
        found(&literal),
        [
            "a.rs:1:fn main() {}",
            "b/c.rs:1:// main",
            "b/d.ts:1:main",
            "b/d.ts:2:main main"
        ]
    );
    assert_eq!(
        (&literal.data["files_searched"], &literal.data["files_skipped"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(literal.raw.fragments.len(), 4);
    assert_eq!(
        (literal.raw.fragments[3].bytes, literal.raw.fragments[3].lines),
        ((5, 14), (2, 2))
    );
    assert_eq!(
        found(&search(&repository, "main()").unwrap()),
        ["a.rs:1:fn main() {}"]
    );
    for (pattern, count) in [
        ("^fn", 2),
        ("\\{\\}$", 2),
        ("(?i)MAIN", 4),
        ("\\Afn", 2),
        ("^main$", 1),
        ("x\\s=", 1),
        ("n[^z]*l", 0),
        ("\\S\\z", 7 - 1),
    ] {
        assert_eq!(
            found(&search_regex(&repository, pattern).unwrap()).len(),
            count,
            "{pattern}"
        );
    }
}

#[test]
fn globs_choose_files() {
    let repository = sample().open();
    for (glob, count) in [
        ("*.rs", 2),
        ("b/*", 3),
        ("**/*.ts", 2),
        ("*.{rs,ts}", 4),
        ("/a.rs", 1),
        ("nothing", 0),
        ("b/**", 3),
        ("?.rs", 2),
        ("B/*", 0),
    ] {
        let request = FileSearch {
            glob: Some(glob.to_owned()),
            ..search_request("main")
        };
        assert_eq!(
            found(&call(&repository, Request::FileSearch(request)).unwrap()).len(),
            count,
            "{glob}"
        );
    }
    for glob in ["", "[", "{a", "\\"] {
        let request = FileSearch {
            glob: Some(glob.to_owned()),
            ..search_request("main")
        };
        assert_eq!(
            call(&repository, Request::FileSearch(request)).unwrap_err().code,
            Code::InvalidArguments,
            "{glob:?}"
        );
    }
}

#[test]
fn patterns_that_cannot_be_used_are_refused() {
    let repository = sample().open();
    for (pattern, regex) in [
        ("", false),
        ("a\nb", false),
        ("(", true),
        ("(a{1000}){1000}", true),
        (&"a".repeat(2000), false),
        ("\\1", true),
    ] {
        let request = FileSearch {
            regex: Some(regex),
            ..search_request(pattern)
        };
        let refusal = call(&repository, Request::FileSearch(request)).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidArguments, "{pattern}");
    }
}

#[test]
fn pages_join_to_the_whole() {
    let many: String = (0..50).map(|n| format!("hit {n}\nother\n")).collect();
    let fixture = Fixture::with(&[
        ("a", many.as_bytes()),
        ("b", b"no"),
        ("c/d", many.as_bytes()),
        ("e", b"hit"),
        ("f", b"none"),
    ]);
    let repository = fixture.open();
    let whole = found(&search(&repository, "hit").unwrap());
    assert_eq!(whole.len(), 101);
    for limit in [1, 7, 50, 51, 100, 101, 200] {
        let (mut cursor, mut joined) = (None, Vec::new());
        loop {
            let request = FileSearch {
                limit: Some(limit),
                cursor,
                ..search_request("hit")
            };
            let page = call(&repository, Request::FileSearch(request)).unwrap();
            assert!(found(&page).len() as u64 <= limit);
            joined.extend(found(&page));
            cursor = page.raw.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(joined, whole, "limit {limit}");
    }
    let first = call(
        &repository,
        Request::FileSearch(FileSearch {
            limit: Some(1),
            ..search_request("hit")
        }),
    )
    .unwrap();
    let other = FileSearch {
        cursor: first.raw.next_cursor,
        ..search_request("other")
    };
    assert_eq!(
        call(&repository, Request::FileSearch(other)).unwrap_err().code,
        Code::InvalidArguments
    );
    let small = call_with(
        &repository,
        Request::FileSearch(search_request("hit")),
        Limits {
            bytes: 1000,
            ..LIMITS
        },
    )
    .unwrap();
    assert!(small.raw.truncated && !found(&small).is_empty() && found(&small).len() < 12);
    let few = call_with(
        &repository,
        Request::FileSearch(search_request("hit")),
        Limits { rows: 3, ..LIMITS },
    )
    .unwrap();
    assert_eq!(found(&few).len(), 3);
}

#[test]
fn long_lines_are_cut_around_the_match() {
    let line = format!("{}needle{}", "\u{e4}".repeat(5000), "\u{f6}".repeat(5000));
    let repository = Fixture::with(&[("f", line.as_bytes())]).open();
    let answer = search(&repository, "needle").unwrap();
    let text = answer.data["matches"][0]["text"].as_str().unwrap();
    assert!(text.len() <= 1000 && text.contains("needle"));
    let (from, to) = answer.raw.fragments[0].bytes;
    assert_eq!(
        line.get(usize::try_from(from).unwrap()..usize::try_from(to).unwrap())
            .unwrap(),
        text
    );
}

#[test]
fn too_large_files_are_skipped_by_their_header() {
    let fixture = Fixture::bare();
    let large = fixture.blob(&vec![b'a'; usize::try_from(MAX_SEARCHED_FILE).unwrap() + 1]);
    let link = fixture.blob(b"aaa");
    fixture.commit(
        "refs/heads/main",
        fixture.tree(&[(FILE, b"large", large), (LINK, b"link", link)]),
    );
    let answer = search(&fixture.open(), "aaa").unwrap();
    assert_eq!(answer.data["matches"], json!([]));
    assert_eq!(
        (&answer.data["files_searched"], &answer.data["files_skipped"]),
        (&json!(0), &json!(1))
    );
}

#[test]
fn a_cancelled_call_ends() {
    let fixture = sample();
    let repository = fixture.open();
    let request = Request::FileSearch(search_request("main"));
    let facts = inspect(&repository, request.clone()).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let refusal = on_runtime(repository.answer(&request, &facts, LIMITS, &cancel)).unwrap_err();
    assert_eq!(refusal.code, Code::Cancelled);
    // Work whose future was dropped sees the same flag.
    for request in [request, Request::FileList(list_request("", true))] {
        let refusal = repository
            .0
            .answer(&request, &facts, LIMITS, &Stop::cancelled())
            .unwrap_err();
        assert_eq!(refusal.code, Code::Cancelled);
    }
}

#[test]
fn work_out_of_time_gives_what_it_has_and_where_to_go_on() {
    let repository = sample().open();
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let request = Request::FileSearch(FileSearch {
            cursor,
            ..search_request("main")
        });
        let facts = inspect(&repository, request.clone()).unwrap();
        let mut raw = repository
            .0
            .answer(&request, &facts, LIMITS, &Stop::timed_out())
            .unwrap();
        let data = raw.take_data();
        seen.extend(data["matches"].as_array().unwrap().clone());
        cursor = raw.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 4, "each call goes on by one file at least");
}

#[test]
fn a_long_file_out_of_time_is_finished_in_pages() {
    let text: String = (1..=20_000).map(|n| format!("line {n}\n")).collect();
    let repository = Fixture::with(&[("long", text.as_bytes())]).open();
    let (mut cursor, mut count) = (None, 0);
    for _page in 0..10 {
        let request = Request::FileSearch(FileSearch {
            cursor,
            ..search_request("line")
        });
        let facts = inspect(&repository, request.clone()).unwrap();
        let roomy = Limits {
            bytes: 1 << 20,
            ..LIMITS
        };
        let mut raw = repository
            .0
            .answer(&request, &facts, roomy, &Stop::timed_out())
            .unwrap();
        count += raw.take_data()["matches"].as_array().unwrap().len();
        cursor = raw.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((count, cursor), (20_000, None));
}

#[tokio::test]
async fn dropping_the_future_stops_the_work() {
    use super::super::work;
    let (started, at_start) = std::sync::mpsc::channel();
    let (ended, at_end) = std::sync::mpsc::channel();
    let cancel = CancellationToken::new();
    let call = work::run(&cancel, 600, move |stop| {
        started.send(()).unwrap();
        while stop.check_cancelled().is_ok() {
            std::thread::yield_now();
        }
        ended.send(()).unwrap();
        Ok(())
    });
    let mut call = Box::pin(call);
    assert!(futures::poll!(&mut call).is_pending());
    at_start.recv().unwrap();
    drop(call);
    at_end.recv().unwrap();
}
