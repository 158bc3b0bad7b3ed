//! Whole answers: the envelope, what it says was masked, the digests of what was offered, the text form.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use serde_json::{Value, json};
use tollgate::call::answer::{
    ColumnSchema, FileEntry, FileListing, FileMatch, FileMatches, FileText, ResourceEntry, ResourceList,
    Rows, Schema, TableSchema,
};
use tollgate::call::{CallId, Code, Fragment, Hash, MaskCounts, RawOutput, Refusal};
use tollgate::mask::{Mask, Masked};

use super::samples::{Random, key_body};

fn call_id() -> CallId {
    CallId::new(1_700_000_000_000, &[7; 10])
}

fn answer(data: impl serde::Serialize) -> Masked {
    Mask::new().output(&call_id(), RawOutput::new(data).unwrap())
}

fn rows(columns: &[&str], rows: Vec<Vec<Value>>) -> Rows {
    Rows {
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        types: Vec::new(),
        row_count: rows.len() as u64,
        rows,
    }
}

fn file(text: &str, lines: (u64, u64), total: u64) -> FileText {
    FileText {
        path: "config/app.env".into(),
        reference: "refs/heads/main".into(),
        commit: "1f0c2d".repeat(6) + "abcd",
        blob: "b".repeat(40),
        kind: "text".into(),
        text: Some(text.into()),
        size: 1234,
        lines,
        total_lines: Some(total),
        bytes: (0, text.len() as u64),
        note: None,
    }
}

#[test]
fn an_answer_without_masks_has_no_optional_fields() {
    let masked = answer(rows(&["n"], vec![vec![json!(1)]]));
    assert_eq!(
        *masked.envelope(),
        json!({"status": "ok", "call_id": call_id().as_str(), "data": {"columns": ["n"], "rows": [[1]], "row_count": 1}})
    );
    assert!(!masked.is_error() && masked.fragments().is_empty());
}

#[test]
fn cells_are_masked_and_counted_by_column() {
    let card = Random::new(1).card("4", 16);
    let number: u64 = card.parse().unwrap();
    let mut raw = RawOutput::new(rows(
        &["id", "note", "n", "blob", "jane@example.com"],
        vec![
            vec![
                json!(1),
                json!("mail a@b.example and c@d.example"),
                json!(number),
                json!({"base64": "YUBiLmNv", "bytes": 6}),
                Value::Null,
            ],
            vec![
                json!(2),
                json!("x"),
                json!(number as f64),
                json!({"base64": "AAEC", "bytes": 3}),
                json!(""),
            ],
            vec![json!(3), json!(card), json!(-5), json!(1.5), json!("NULL")],
        ],
    ))
    .unwrap();
    raw.source_masks.add("rows.email", "constant", 3);
    let masked = Mask::new().output(&call_id(), raw);
    assert_eq!(
        masked.envelope()["data"],
        json!({
            "columns": ["id", "note", "n", "blob", "[masked:email]"],
            "rows": [
                [1, "mail [masked:email] and [masked:email]", "[masked:payment-card]", {"base64": "[masked:email]", "bytes": 6}, null],
                [2, "x", "[masked:payment-card]", {"base64": "AAEC", "bytes": 3}, ""],
                [3, "[masked:payment-card]", -5, 1.5, "NULL"],
            ],
            "row_count": 3,
        })
    );
    assert_eq!(
        masked.envelope()["masked"],
        json!([
            {"where": "columns", "rule": "email", "count": 1},
            {"where": "rows.blob", "rule": "email", "count": 1},
            {"where": "rows.email", "rule": "constant", "count": 3},
            {"where": "rows.n", "rule": "payment-card", "count": 2},
            {"where": "rows.note", "rule": "email", "count": 2},
            {"where": "rows.note", "rule": "payment-card", "count": 1},
        ])
    );
    insta::assert_snapshot!(masked.text(), @r#"
    id	note	n	blob	[masked:email]
    1	mail [masked:email] and [masked:email]	[masked:payment-card]	blob(6 bytes, base64 [masked:email])	NULL
    2	x	[masked:payment-card]	blob(3 bytes, base64 AAEC)	""
    3	[masked:payment-card]	-5	1.5	"NULL"
    -- 3 rows
    -- masked: columns email x1, rows.blob email x1, rows.email constant x3, rows.n payment-card x2, rows.note email x2, rows.note payment-card x1
    -- call 018bcfe5680077078707070707070707
    "#);
}

#[test]
fn keys_that_come_from_a_target_are_masked_and_no_value_is_lost() {
    let masked =
        answer(json!({"headers": {"a@b.example": 1, "c@d.example": 2, "plain": {"x": ["e@f.example"]}}}));
    assert_eq!(
        masked.envelope()["data"],
        json!({"headers": {"[masked:email]": 1, "[masked:email]#2": 2, "plain": {"x": ["[masked:email]"]}}})
    );
    assert_eq!(
        masked.envelope()["masked"],
        json!([{"where": "headers", "rule": "email", "count": 2}, {"where": "headers.plain.x", "rule": "email", "count": 1}])
    );
}

#[test]
fn the_digest_of_a_fragment_is_that_of_the_masked_text() {
    let fragment = |pointer: &str| Fragment {
        commit: "c".repeat(40),
        path: "config/app.env".into(),
        blob: "b".repeat(40),
        bytes: (0, 30),
        lines: (1, 1),
        pointer: pointer.into(),
    };
    let mut raw = RawOutput::new(file("DB_PASSWORD=hunter2hunter2\n", (1, 1), 1)).unwrap();
    raw.fragments = vec![fragment("/text"), fragment("/nothing")];
    raw.truncated = true;
    raw.next_cursor = Some("17".into());
    let masked = Mask::new().output(&call_id(), raw);
    let text = masked.envelope()["data"]["text"].as_str().unwrap();
    assert_eq!(text, "DB_PASSWORD=[masked:password]\n");
    assert_eq!(masked.fragments()[0].sha256, Hash::of(text.as_bytes()));
    assert_eq!(masked.fragments()[1].sha256, Hash::of(b""));
    assert_eq!(
        (&masked.envelope()["truncated"], &masked.envelope()["next_cursor"]),
        (&json!(true), &json!("17"))
    );
    insta::assert_snapshot!(masked.text(), @r"
    config/app.env at refs/heads/main (1f0c2d1f0c2d), lines 1-1 of 1, 1234 bytes
    DB_PASSWORD=[masked:password]
    -- masked: text password x1
    -- cut: there is more than this
    -- go on with cursor: 17
    -- call 018bcfe5680077078707070707070707
    ");
}

#[test]
fn a_part_of_a_key_is_hidden_where_the_file_was_cut() {
    let body = key_body(&mut Random::new(6), 6).join("\n");
    let text = |lines, total| {
        answer(file(&body, lines, total)).envelope()["data"]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(text((2, 8), 9), "[masked:private-key]\n");
    assert_eq!(text((1, 7), 9), "[masked:private-key]\n");
    assert_eq!(text((2, 8), 8), "[masked:private-key]\n");
    // The whole file is there: it is base64 and not a part of a key.
    assert_eq!(text((1, 7), 7), body);
    // Cut from the end of a certificate: the END says what it was.
    let end = format!("{body}\n-----END CERTIFICATE-----\n");
    assert_eq!(
        answer(file(&end, (2, 9), 9)).envelope()["data"]["text"],
        json!(end)
    );
    // A search hit is one line out of its file.
    let line = Random::new(7).base64(64);
    let hit = |text: &str| FileMatches {
        commit: "c".repeat(40),
        reference: "refs/heads/main".into(),
        matches: vec![FileMatch {
            path: "id_rsa".into(),
            line: 3,
            text: text.into(),
            blob: "b".repeat(40),
        }],
        files_searched: 1,
        files_skipped: 0,
    };
    assert_eq!(
        answer(hit(&line)).envelope()["data"]["matches"][0]["text"],
        json!("[masked:private-key]")
    );
    assert_eq!(
        answer(hit("let x = 1;")).envelope()["data"]["matches"][0]["text"],
        json!("let x = 1;")
    );
    let hash = Random::new(7).hex(64);
    assert_eq!(
        answer(hit(&hash)).envelope()["data"]["matches"][0]["text"],
        json!(hash)
    );
}

#[test]
fn half_a_token_is_hidden_where_the_line_was_cut() {
    let mut random = Random::new(3);
    let half = format!("{}gh{}{}", "x".repeat(970) + " ", "p_", random.alnum(25));
    let hit = |text: &str| {
        answer(FileMatches {
            commit: "c".repeat(40),
            reference: "refs/heads/main".into(),
            matches: vec![FileMatch {
                path: "a".into(),
                line: 1,
                text: text.into(),
                blob: "b".repeat(40),
            }],
            files_searched: 1,
            files_skipped: 0,
        })
    };
    assert!(half.len() >= 999, "{}", half.len());
    let masked = hit(&half);
    let text = masked.envelope()["data"]["matches"][0]["text"].as_str().unwrap();
    assert_eq!(text, "x".repeat(970) + " [masked:github-token]");
    // A file that was cut in the middle of a line, and one that was not.
    let end = format!("TOKEN gl{}{}", "pat-", random.alnum(9));
    let masked = answer(file(&end, (1, 1), 9));
    assert_eq!(
        masked.envelope()["data"]["text"],
        json!("TOKEN [masked:gitlab-token]")
    );
    assert_eq!(
        answer(file(&end, (1, 1), 1)).envelope()["data"]["text"],
        json!(end)
    );
}

#[test]
fn a_cursor_that_would_tell_what_is_hidden_is_withheld() {
    let mut raw = RawOutput::new(ResourceList { resources: vec![] }).unwrap();
    raw.next_cursor = Some("after jane@example.com".into());
    let masked = Mask::new().output(&call_id(), raw);
    assert!(masked.envelope().get("next_cursor").is_none());
    assert_eq!(masked.envelope()["truncated"], json!(true));
    assert!(!masked.text().contains("jane"));
}

#[test]
fn a_refusal_is_masked_and_keeps_the_operators_detail_to_itself() {
    let refusal = Refusal::new(
        Code::StatementRefused,
        "no such column: jane@example.com\u{1b}[2J",
        "Ask jane@example.com.",
    )
    .retry()
    .detail("raw detail");
    let masked = Mask::new().refusal(&call_id(), &refusal);
    assert!(masked.is_error());
    assert_eq!(
        *masked.envelope(),
        json!({
            "status": "refused",
            "call_id": call_id().as_str(),
            "refusal": {
                "code": "statement_refused",
                "message": "no such column: [masked:email]\u{1b}[2J",
                "try": "Ask [masked:email].",
                "retry": true,
            },
        })
    );
    insta::assert_snapshot!(masked.text(), @r"
    Refused (statement_refused): no such column: [masked:email]\u{1b}[2J
    Try: Ask [masked:email].
    The same call may succeed later.
    -- call 018bcfe5680077078707070707070707
    ");
}

#[test]
fn what_a_terminal_would_obey_is_written_out() {
    let masked = answer(rows(
        &["a\tb"],
        vec![
            vec![json!("x\n\u{202e}y\u{200b}\u{9b}1m\u{e0041}\r")],
            vec![json!("12")],
            vec![json!(" z")],
        ],
    ));
    insta::assert_snapshot!(masked.text(), @r#"
    a\tb
    "x\n\u{202e}y\u{200b}\u{9b}1m\u{e0041}\r"
    "12"
    " z"
    -- 3 rows
    -- call 018bcfe5680077078707070707070707
    "#);
    let masked = answer(file("a\tb\n\u{1b}]0;x\u{7}\n", (1, 2), 2));
    assert!(masked.text().contains("a\tb\n\\u{1b}]0;x\\u{7}\n"));
    // The structured form is faithful.
    assert_eq!(
        masked.envelope()["data"]["text"],
        json!("a\tb\n\u{1b}]0;x\u{7}\n")
    );
}

#[test]
fn every_shape_has_its_text_form() {
    let commit = "c".repeat(40);
    let shapes = [
        answer(ResourceList {
            resources: vec![ResourceEntry {
                name: "shop".into(),
                kind: "sqlite".into(),
                description: "orders".into(),
                labels: vec!["pii".into(), "prod".into()],
                unavailable: None,
            }],
        }),
        answer(FileListing {
            commit: commit.clone(),
            reference: "refs/heads/main".into(),
            entries: vec![
                FileEntry {
                    path: "src".into(),
                    kind: "folder".into(),
                    size: None,
                    target: None,
                },
                FileEntry {
                    path: "a.txt".into(),
                    kind: "file".into(),
                    size: Some(12),
                    target: None,
                },
                FileEntry {
                    path: "l".into(),
                    kind: "symlink".into(),
                    size: None,
                    target: Some("../x".into()),
                },
            ],
        }),
        answer(FileMatches {
            commit: commit.clone(),
            reference: "refs/heads/main".into(),
            matches: vec![FileMatch {
                path: "a.rs".into(),
                line: 3,
                text: "let x;".into(),
                blob: "b".into(),
            }],
            files_searched: 9,
            files_skipped: 1,
        }),
        answer(Schema {
            tables: vec![TableSchema {
                name: "customers".into(),
                kind: "table".into(),
                columns: vec![
                    ColumnSchema {
                        name: "id".into(),
                        declared_type: "INTEGER".into(),
                        primary_key: true,
                        masked: None,
                        references: None,
                    },
                    ColumnSchema {
                        name: "email".into(),
                        declared_type: "TEXT".into(),
                        primary_key: false,
                        masked: Some("constant".into()),
                        references: Some("mails.id".into()),
                    },
                ],
            }],
        }),
        answer(FileText {
            kind: "binary".into(),
            text: None,
            note: Some("binary file".into()),
            total_lines: None,
            lines: (0, 0),
            ..file("", (0, 0), 0)
        }),
        answer(json!({"other": [1, "x"]})),
    ];
    let text: Vec<&str> = shapes.iter().map(Masked::text).collect();
    insta::assert_snapshot!(text.join("\n\n"));
}

#[test]
fn a_large_answer_without_secrets_comes_back_as_it_was() {
    let cells: Vec<Vec<Value>> = (0..20_000)
        .map(|row| {
            vec![
                json!(row),
                json!(format!("name {row}")),
                json!("a plain remark of some length"),
            ]
        })
        .collect();
    let raw = rows(&["id", "name", "remark"], cells);
    let before = serde_json::to_value(&raw).unwrap();
    assert_eq!(answer(raw).envelope()["data"], before);
}

#[test]
fn source_masks_alone_are_reported() {
    let mut raw = RawOutput::new(rows(&["email"], vec![vec![json!("***")]])).unwrap();
    let mut counts = MaskCounts::default();
    counts.add("rows.email", "email", 1);
    raw.source_masks = counts;
    let masked = Mask::new().output(&call_id(), raw);
    assert_eq!(
        masked.envelope()["masked"],
        json!([{"where": "rows.email", "rule": "email", "count": 1}])
    );
}
