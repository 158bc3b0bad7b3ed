//! Rows as they are written: masked, rendered, kept and sent as a tree of the same values is.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate::call::answer::Rows;
use tollgate::call::{CallId, RawOutput, Table};
use tollgate::mask::{Mask, Masked};

fn answer(mut raw: RawOutput, shown: &BTreeSet<String>) -> Masked {
    raw.shown.clone_from(shown);
    Mask::new().output(&CallId::new(7, &[7; 10]), raw)
}

fn canonical(masked: &Masked) -> String {
    let mut bytes = Vec::new();
    masked.write_canonical(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Rows as a tree and rows as JSON are masked, rendered, kept and sent the same way.
fn agree(columns: &[&str], rows: Vec<Vec<Value>>, shown: &BTreeSet<String>) {
    let rows = || Rows {
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        types: vec!["text".to_owned(); columns.len()],
        row_count: rows.len() as u64,
        rows: rows.clone(),
    };
    let tree = || answer(RawOutput::new(rows()).unwrap(), shown);
    same(tree(), answer(RawOutput::of_rows(rows()), shown));
    same(tree(), answer(foreseen(rows()), shown));
}

fn same(tree: Masked, table: Masked) {
    assert!(table.has_rows() && !tree.has_rows());
    assert_eq!(tree.text(), table.text());
    assert_eq!(tree.quoted_text(), table.quoted_text());
    assert_eq!(tree.envelope(), table.envelope());
    assert_eq!(canonical(&tree), canonical(&table));
    assert_eq!(
        tree.into_written().structured.concat(),
        table.into_written().structured.concat()
    );
}

/// Rows that are looked at while they come, some of which are not kept.
fn foreseen(rows: Rows) -> RawOutput {
    let mut table = Table::looked_at_by(rows.columns.len(), Some(Mask::new().lookahead()));
    for cells in &rows.rows {
        let mut row = table.row();
        cells.iter().for_each(|cell| row.value(cell));
        assert!(row.keep());
        cells.iter().for_each(|cell| table.row().value(cell));
    }
    RawOutput::of_table((rows.columns, rows.types), table)
}

fn cell() -> impl Strategy<Value = Value> {
    let hidden = prop::sample::select(vec![
        "a@b.example",
        "mail a@b.example\nand c@d.example",
        "4111111111111111",
        "4111 1111 1111 1111",
        "YUBiLmNvbQ==",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
        "{\"password\": \"hunter2hunter2\"}",
        "\u{1}a@b.example\\",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_000_000_i64..1_000_000, 0_i32..9).prop_map(|(n, p)| (n as f64 / 10_f64.powi(p)).into()),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![4_111_111_111_111_111_u64, 378_282_246_310_005]).prop_map(Value::from),
        prop::sample::select(vec![4_111_111_111_111_111.0, 4e18, 0.0, -0.0, 1e16, 1e21])
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[ -~\\x00-\\x1f\u{7f}\u{e9}\u{2028}\u{1f600}]{0,20}".prop_map(Value::from),
        "(NULL|[0-9.-]{0,4}|\"[a-z]\"| x|x )".prop_map(Value::from),
        (hidden.clone(), "[a-z\" ]{0,4}").prop_map(|(text, more)| format!("{more}{text}").into()),
        (hidden.clone(), "[a-z\" ]{0,4}").prop_map(|(text, more)| format!("{text}{more}").into()),
    ];
    prop_oneof![
        6 => leaf.clone(),
        1 => prop::collection::vec(leaf, 0..3).prop_map(Value::from),
        1 => hidden.prop_map(|text| json!({"base64": "YUBiLmNv", "bytes": 6, text: text})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_that_are_json_answer_as_rows_that_are_a_tree(
        rows in prop::collection::vec(prop::collection::vec(cell(), 3), 0..8),
        shown in any::<bool>(),
    ) {
        let shown = shown.then(|| "email".to_owned()).into_iter().collect();
        agree(&["id", "a@b.example", "note\t"], rows, &shown);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 12, ..ProptestConfig::default() })]

    /// Several parts of them, looked at here and beside.
    #[test]
    fn a_great_many_rows_do_too(
        rows in prop::collection::vec(prop::collection::vec(cell(), 3), 1..8),
        clean in prop::collection::vec("[a-z ]{0,30}", 3),
        masked in 0..40_usize,
        helped in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = helped.then(|| runtime.enter());
        let clean: Vec<Value> = clean.into_iter().map(Value::from).collect();
        let mut all: Vec<_> = (0..9_000).map(|_| clean.clone()).collect();
        for (at, row) in rows.into_iter().enumerate() {
            all.insert(masked * 200 + at, row);
        }
        agree(&["id", "city", "note"], all, &BTreeSet::new());
    }
}

#[test]
fn rows_larger_than_a_part_do_too() {
    let (none, large) = (BTreeSet::new(), "words and words ".repeat(9_000));
    for more in ["", "\n", " a@b.example", "\u{1}"] {
        let row = vec![json!(large.clone() + more), json!(1.0)];
        agree(&["text", "n"], vec![row.clone(), row.clone(), row], &none);
    }
}

#[test]
fn rows_without_columns_do_too() {
    let none = BTreeSet::new();
    agree(&[], vec![vec![], vec![]], &none);
    agree(&[], vec![vec![]; 60_000], &none);
    agree(&[], vec![], &none);
    agree(&["n"], vec![], &none);
}
