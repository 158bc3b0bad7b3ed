//! Queries: what is sent for them.

use std::collections::BTreeMap;

use super::world::{cases, query, wrong};
use crate::call::Code;

fn sent(statement: &str) -> String {
    query(statement)
        .unwrap_or_else(|refusal| panic!("{statement}\n{refusal:?}"))
        .sql
}

const READS: &str = include_str!("../../../../../../tests/it/postgres/data/reads.sql");

#[test]
fn what_analysts_ask_is_taken() {
    let mut found = BTreeMap::new();
    for (expected, statement) in cases(READS) {
        match query(statement) {
            Ok(checked) if checked.classified.is_empty() == (expected == "masked") => {
                found.insert(statement, checked.sql);
            }
            Ok(_) => {}
            Err(refusal) => {
                found.insert(statement, format!("{refusal:?}"));
            }
        }
    }
    wrong(&found);
}

#[test]
fn a_masked_relation_is_a_subquery_and_a_public_one_has_its_full_name() {
    assert_eq!(
        sent("SELECT o.note, d.name FROM crm.orders o, ONLY (departments) JOIN departments AS d USING (id)"),
        "SELECT o.note, d.name FROM (SELECT \"id\", '***'::pg_catalog.text AS \"note\" FROM \"crm\".\"orders\") o, \
         ONLY (\"public\".\"departments\") JOIN \"public\".\"departments\" AS d USING (id)"
    );
}

const LEAKS: &str = include_str!("../../../../../../tests/it/postgres/data/leaks.sql");

#[test]
fn what_could_tell_of_a_classified_value_sees_masks_or_is_refused() {
    let mut found = BTreeMap::new();
    for (expected, statement) in cases(LEAKS) {
        let (is, said) = match query(statement) {
            Ok(checked) if checked.classified.is_empty() => ("public", checked.sql),
            Ok(checked) => ("masked", checked.sql),
            Err(refusal) if refusal.code == Code::Internal => ("internal", format!("{refusal:?}")),
            Err(refusal) => ("refused", refusal.message),
        };
        if is != expected {
            found.insert(statement, format!("{expected} {is} {said}"));
        }
    }
    wrong(&found);
}

const BYPASS: &str = include_str!("../../../../../../tests/it/postgres/data/bypass.sql");

/// The characters that a line spells.
pub(super) fn spelled(line: &str) -> String {
    let hidden = ['\u{200b}', '\u{202e}', '\u{feff}', '\u{a0}'];
    let mut text = line.replace("\\\\", "\u{1}").replace("\\n", "\n");
    for c in hidden {
        text = text.replace(&format!("\\u{:04x}", u32::from(c)), &c.to_string());
    }
    text.replace('\u{1}', "\\")
}

#[test]
fn nothing_but_a_read_is_a_query() {
    let mut found = BTreeMap::new();
    for (_, statement) in cases(BYPASS) {
        match query(&spelled(statement)) {
            Ok(checked) => found.insert(statement, checked.sql),
            Err(refusal) if refusal.code == Code::Internal => found.insert(statement, format!("{refusal:?}")),
            Err(refusal) if refusal.message.is_empty() || refusal.suggestion.is_empty() => {
                found.insert(statement, "no way out".to_owned())
            }
            Err(_) => None,
        };
    }
    wrong(&found);
}
