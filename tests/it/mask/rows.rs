//! Rows as they are written: masked, rendered, kept and sent as a tree of the same values is.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate::call::answer::Rows;
use tollgate::call::{CallId, RawOutput};
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
    let tree = answer(RawOutput::new(rows()).unwrap(), shown);
    let table = answer(RawOutput::of_rows(rows()), shown);
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

#[test]
fn rows_without_columns_do_too() {
    let none = BTreeSet::new();
    agree(&[], vec![vec![], vec![]], &none);
    agree(&[], vec![], &none);
    agree(&["n"], vec![], &none);
}
