//! What a change does to a target, as measured by the adapter that makes it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A measured effect. Two of them can be compared: what is executed must be inside what was approved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Per relation (the name an agent sees), what happens to its rows; cascades and triggers included.
    pub rows: BTreeMap<String, RowChanges>,
    /// Per schema object, what becomes of it: `drop table`, `create index` …
    pub schema: BTreeMap<String, String>,
    /// A few rows before and after, masked. For the reviewer alone.
    pub sample: Vec<RowSample>,
    /// What is known of a change that was not tried, and so not measured but for `rows`: per object, estimates and what it
    /// costs others, in words. Binds nobody, since estimates change by themselves. For the reviewer alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unmeasured: BTreeMap<String, String>,
    /// Whether the target cannot be brought back to what it was from what is on record.
    pub irreversible: bool,
}

/// What happens to the rows of one relation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChanges {
    /// New rows.
    pub inserted: Affected,
    /// Rows with other values than before.
    pub updated: Affected,
    /// Rows that are gone.
    pub deleted: Affected,
}

/// Which rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// How many.
    pub count: u64,
    /// Their keys, as digests, of changed rows with what they become: equal digests are equal keys (and
    /// values) of the same relation. As many as `count`, unless two new rows are alike.
    pub keys: BTreeSet<String>,
}

/// One row, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSample {
    /// The relation.
    pub table: String,
    /// Its key as the reviewer may see it.
    pub key: Value,
    /// Column = value before; absent for a new row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<BTreeMap<String, Value>>,
    /// Column = value after; absent for a row that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<BTreeMap<String, Value>>,
}

/// How closely the executed effect must be inside the approved one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The affected keys are a subset of the approved ones.
    #[default]
    Keys,
    /// Not more rows per relation and kind of change; a policy's choice (`@bound("count")`).
    Count,
}

impl Effect {
    /// Whether this effect does nothing that `approved` does not. The sample is no part of it.
    #[must_use]
    pub fn is_within(&self, approved: &Self, bound: Bound) -> bool {
        let none = RowChanges::default();
        let rows = self.rows.iter().all(|(table, changes)| {
            let allowed = approved.rows.get(table).unwrap_or(&none);
            changes.inserted.is_within(&allowed.inserted, bound)
                && changes.updated.is_within(&allowed.updated, bound)
                && changes.deleted.is_within(&allowed.deleted, bound)
        });
        let schema = self
            .schema
            .iter()
            .all(|(object, change)| approved.schema.get(object) == Some(change));
        rows && schema && (approved.irreversible || !self.irreversible)
    }

    /// Relation → how many rows are inserted, updated, deleted; without keys and samples, so that it
    /// may be told and kept.
    #[must_use]
    pub fn counts(&self) -> Value {
        let rows: BTreeMap<&str, BTreeMap<&str, u64>> = self
            .rows
            .iter()
            .map(|(table, changes)| (table.as_str(), changes.counts()))
            .collect();
        let mut counts =
            serde_json::json!({"rows": rows, "schema": self.schema, "irreversible": self.irreversible});
        if let (false, Some(counts)) = (self.unmeasured.is_empty(), counts.as_object_mut()) {
            counts.insert("measured".to_owned(), Value::Bool(false));
        }
        counts
    }
}

impl RowChanges {
    fn counts(&self) -> BTreeMap<&'static str, u64> {
        [
            ("inserted", &self.inserted),
            ("updated", &self.updated),
            ("deleted", &self.deleted),
        ]
        .into_iter()
        .filter(|(_, affected)| affected.count > 0)
        .map(|(word, affected)| (word, affected.count))
        .collect()
    }
}

impl Affected {
    fn is_within(&self, approved: &Self, bound: Bound) -> bool {
        self.count <= approved.count
            && match bound {
                Bound::Keys => self.keys.is_subset(&approved.keys),
                Bound::Count => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updated(keys: &[&str]) -> Effect {
        let affected = Affected {
            count: keys.len() as u64,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        let changes = RowChanges {
            updated: affected,
            ..RowChanges::default()
        };
        Effect {
            rows: BTreeMap::from([("orders".to_owned(), changes)]),
            ..Effect::default()
        }
    }

    #[test]
    fn the_same_number_of_other_rows_is_within_only_for_a_count() {
        let (approved, other) = (updated(&["a", "b"]), updated(&["a", "c"]));
        assert!(updated(&["b"]).is_within(&approved, Bound::Keys));
        assert!(!other.is_within(&approved, Bound::Keys));
        assert!(other.is_within(&approved, Bound::Count));
        assert!(!updated(&["a", "b", "c"]).is_within(&approved, Bound::Count));
    }

    #[test]
    fn another_table_another_change_and_what_cannot_be_undone_are_outside() {
        let approved = updated(&["a"]);
        let mut deleted = Effect::default();
        let changes = RowChanges {
            deleted: approved.rows["orders"].updated.clone(),
            ..RowChanges::default()
        };
        deleted.rows.insert("orders".to_owned(), changes);
        assert!(!deleted.is_within(&approved, Bound::Count));
        let mut elsewhere = Effect::default();
        elsewhere
            .rows
            .insert("people".to_owned(), approved.rows["orders"].clone());
        assert!(!elsewhere.is_within(&approved, Bound::Count));
        let dropped = Effect {
            schema: BTreeMap::from([("orders".to_owned(), "drop table".to_owned())]),
            ..Effect::default()
        };
        assert!(!dropped.is_within(&approved, Bound::Count));
        let wild = Effect {
            irreversible: true,
            ..approved.clone()
        };
        assert!(!wild.is_within(&approved, Bound::Keys));
        assert!(approved.is_within(&wild, Bound::Keys));
        assert_eq!(
            approved.counts(),
            serde_json::json!({"rows": {"orders": {"updated": 1}}, "schema": {}, "irreversible": false})
        );
    }
}
