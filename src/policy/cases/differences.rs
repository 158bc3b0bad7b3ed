//! What a decision test expected and what was decided, side by side.

use std::collections::{BTreeMap, BTreeSet};

use super::Row;
use crate::policy::explain::Explanation;

/// What came out otherwise than the row expects, one line each.
pub(super) fn differences(row: &Row, found: &Explanation) -> Vec<String> {
    let mut all = Vec::new();
    let ids: BTreeSet<String> = found.decided_by.iter().map(|note| note.id.clone()).collect();
    if row.expect.word() != found.verdict {
        let by = if ids.is_empty() {
            "no policy applies".to_owned()
        } else {
            format!("decided by {}", join(&ids))
        };
        let why = found
            .detail
            .as_ref()
            .map(|why| format!(": {why}"))
            .unwrap_or_default();
        all.push(format!(
            "expected {}, got {} ({by}{why})",
            row.expect.word(),
            found.verdict
        ));
    }
    let mut sets = |what: &str, expected: &Option<BTreeSet<String>>, got: &BTreeSet<String>| {
        if let Some(expected) = expected.as_ref().filter(|expected| *expected != got) {
            let missing = expected.difference(got).cloned().collect();
            let surplus = got.difference(expected).cloned().collect();
            all.push(format!(
                "{what}: missing {}, not expected {}",
                join(&missing),
                join(&surplus)
            ));
        }
    };
    sets("deciding policies", &row.expect_ids, &ids);
    sets("revealed columns", &row.expect_reveal, &found.revealed);
    sets("named resources", &row.expect_resources, &found.resources);
    all.extend(masked(row, found));
    all.extend(bounds(row, found));
    all
}

fn masked(row: &Row, found: &Explanation) -> Option<String> {
    let expected = row
        .expect_masked
        .as_ref()
        .filter(|expected| **expected != found.masked)?;
    let shown = |masked: &BTreeMap<String, BTreeSet<String>>| {
        let each: Vec<String> = masked
            .iter()
            .map(|(column, ids)| format!("{column} by {}", join(ids)))
            .collect();
        if each.is_empty() {
            "nothing".to_owned()
        } else {
            each.join(", ")
        }
    };
    Some(format!(
        "masked columns: expected {}, got {}",
        shown(expected),
        shown(&found.masked)
    ))
}

fn bounds(row: &Row, found: &Explanation) -> impl Iterator<Item = String> {
    let rows = (
        "row bound",
        row.expect_rows,
        found.limits.map(|limits| limits.rows),
    );
    let seconds = (
        "seconds bound",
        row.expect_seconds,
        found.limits.map(|limits| limits.seconds),
    );
    [rows, seconds]
        .into_iter()
        .filter(|(_, expected, got)| expected.is_some() && expected != got)
        .map(|(what, expected, got)| {
            let shown = |bound: Option<u64>| bound.map_or("none".to_owned(), |bound| bound.to_string());
            format!("{what}: expected {}, got {}", shown(expected), shown(got))
        })
}

fn join(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
