//! What targets answer: the shapes of `data`, and the one wrapper in which they travel to the mask.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Fragment, MaskCounts, Table};

/// What a target gave, before masking. It can be neither serialised nor displayed; only the mask
/// stage opens it.
pub struct RawOutput {
    data: Value,
    /// What belongs where `data` has null for its `rows`.
    table: Option<Table>,
    /// Whether a limit cut the answer.
    pub truncated: bool,
    /// Where to go on, if there is more.
    pub next_cursor: Option<String>,
    /// Which pieces of which files are inside.
    pub fragments: Vec<Fragment>,
    /// What the adapter already masked at the source.
    pub source_masks: MaskCounts,
    /// What a change did, as it was measured while it happened.
    pub effect: Option<super::Effect>,
    /// The recording of a command (asciicast), already masked; kept with the record, not offered.
    pub recording: Option<String>,
    /// Classes that policy shows in this answer. A cell that is nothing but what the rule of that name
    /// looks for stays; what stands inside other text is still masked.
    pub shown: BTreeSet<String>,
}

impl RawOutput {
    /// Wraps what a target gave.
    pub fn new(data: impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self {
            data: serde_json::to_value(data)?,
            ..Self::nothing()
        })
    }

    /// Wraps rows as they are: there may be a great many of them.
    #[must_use]
    pub fn of_rows(found: Rows) -> Self {
        let head = (found.columns, found.types);
        let width = head.0.len();
        if found.rows.iter().any(|cells| cells.len() != width) {
            return Self::of(head, found.rows.into(), found.row_count); // not a cell for each column
        }
        let mut table = Table::new(width);
        for cells in found.rows {
            let mut row = table.row();
            cells.iter().for_each(|cell| row.value(cell));
            let _kept = row.keep(); // it has its width
        }
        Self::of_table(head, table)
    }

    /// Wraps rows that are written already, under the names and the types of their columns.
    #[must_use]
    pub fn of_table(head: (Vec<String>, Vec<String>), table: Table) -> Self {
        let count = table.row_count();
        Self {
            table: Some(table),
            ..Self::of(head, Value::Null, count)
        }
    }

    fn of((columns, types): (Vec<String>, Vec<String>), rows: Value, row_count: u64) -> Self {
        let mut data = Map::new();
        data.insert("columns".to_owned(), columns.into());
        if !unnamed(&types) {
            data.insert("types".to_owned(), types.into());
        }
        data.insert("rows".to_owned(), rows);
        data.insert("row_count".to_owned(), row_count.into());
        Self {
            data: data.into(),
            ..Self::nothing()
        }
    }

    fn nothing() -> Self {
        Self {
            data: Value::Null,
            table: None,
            truncated: false,
            next_cursor: None,
            fragments: Vec::new(),
            source_masks: MaskCounts::default(),
            effect: None,
            recording: None,
            shown: BTreeSet::new(),
        }
    }

    /// The raw data. Called by the mask stage alone; `tests/it/tidy.rs` checks that.
    #[must_use]
    pub(crate) fn take_data(&mut self) -> Value {
        self.data.take()
    }

    /// The rows that belong into it. As [`Self::take_data`].
    #[must_use]
    pub(crate) fn take_table(&mut self) -> Option<Table> {
        self.table.take()
    }
}

impl fmt::Debug for RawOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawOutput")
            .field("bytes", &self.data.to_string().len())
            .field("table", &self.table)
            .field("truncated", &self.truncated)
            .field("fragments", &self.fragments.len())
            .finish_non_exhaustive()
    }
}

/// `list_resources`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResourceList {
    /// What the caller may use.
    pub resources: Vec<ResourceEntry>,
}

/// One resource.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResourceEntry {
    /// Pass this as `resource`.
    pub name: String,
    /// `git`, `sqlite` …
    pub kind: String,
    /// What it is.
    pub description: String,
    /// Configured labels.
    pub labels: Vec<String>,
    /// Why every call to it is refused, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

/// `file_list`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileListing {
    /// Commit that was read.
    pub commit: String,
    /// Full ref name.
    #[serde(rename = "ref")]
    pub reference: String,
    /// In path order.
    pub entries: Vec<FileEntry>,
}

/// One entry of a folder.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileEntry {
    /// Path from the repository's root.
    pub path: String,
    /// `file`, `folder`, `symlink` or `submodule`.
    pub kind: String,
    /// Bytes, for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where a symlink points or which commit a submodule names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// `file_read`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileText {
    /// Path from the repository's root.
    pub path: String,
    /// Full ref name.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Commit that was read.
    pub commit: String,
    /// Blob id.
    pub blob: String,
    /// `text`, `binary`, `lfs`, `symlink` or `submodule`.
    pub kind: String,
    /// The lines asked for; absent when `kind` is `binary` or `submodule`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Size of the whole file in bytes.
    pub size: u64,
    /// First and last line given, 1-based, inclusive.
    pub lines: (u64, u64),
    /// Lines in the whole file, when it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_lines: Option<u64>,
    /// First byte given and one past the last.
    pub bytes: (u64, u64),
    /// What to know of a file that is not shown as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `file_search`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileMatches {
    /// Commit that was read.
    pub commit: String,
    /// Full ref name.
    #[serde(rename = "ref")]
    pub reference: String,
    /// In path, then line order.
    pub matches: Vec<FileMatch>,
    /// Files looked into.
    pub files_searched: u64,
    /// Files passed over because they are binary or too large.
    pub files_skipped: u64,
}

/// One matching line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileMatch {
    /// Path from the repository's root.
    pub path: String,
    /// 1-based.
    pub line: u64,
    /// The line, cut at 1,000 bytes.
    pub text: String,
    /// Blob id.
    pub blob: String,
}

/// `sql_schema`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Schema {
    /// Tables and views, by name.
    pub tables: Vec<TableSchema>,
}

/// One table or view.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TableSchema {
    /// Name.
    pub name: String,
    /// `table` or `view`.
    pub kind: String,
    /// In declared order.
    pub columns: Vec<ColumnSchema>,
}

/// One column.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ColumnSchema {
    /// Name.
    pub name: String,
    /// Declared type.
    #[serde(rename = "type")]
    pub declared_type: String,
    /// Part of the primary key.
    pub primary_key: bool,
    /// How it looks when masked (`constant`, `null` …); absent when the caller sees the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked: Option<String>,
    /// `table.column` it refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
}

/// `sql_query` and declared queries.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rows {
    /// Column names, in order.
    pub columns: Vec<String>,
    /// The database's own name of each column's type, in order; empty where it has none, as SQLite's expressions.
    #[serde(skip_serializing_if = "unnamed")]
    pub types: Vec<String>,
    /// Values in column order. Integers beyond 2^53 and non-finite numbers are strings; blobs are
    /// {"base64": …, "bytes": n}.
    pub rows: Vec<Vec<Value>>,
    /// Rows in this answer.
    pub row_count: u64,
}

fn unnamed(types: &[String]) -> bool {
    types.iter().all(String::is_empty)
}

/// `sql_execute`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Changed {
    /// Rows the statement itself inserted, updated or deleted; cascades and triggers are not counted.
    pub rows_affected: u64,
    /// What it was: `insert`, `update`, `delete`, `create table` …
    pub kind: String,
    /// RETURNING columns, when there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned: Option<Rows>,
}

/// `shell_run`, and declared commands.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommandOutput {
    /// Of the last program that ran; 128 + signal when one ended it, as a shell would say.
    pub exit_code: i32,
    /// Head and tail of standard output; what was left out is said where it is missing.
    pub stdout: String,
    /// Head and tail of standard error.
    pub stderr: String,
    /// Bytes of standard output in all.
    pub stdout_bytes: u64,
    /// Bytes of standard error in all.
    pub stderr_bytes: u64,
    /// What ended it early: `timeout`, `cpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
}

/// A tool with steps.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepAnswers {
    /// What each step that was reached answered: its tool's name and its own envelope.
    pub steps: Vec<Value>,
    /// Steps that were not reached.
    pub not_reached: u64,
}
