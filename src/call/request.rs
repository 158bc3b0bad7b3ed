//! The arguments of the built-in tools, typed. The JSON schemas agents see are made from these.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{CallId, ResourceKind};

/// What a call asks for, after its arguments were checked.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the tool of that name")]
pub enum Request {
    ListResources(ListResources),
    FileList(FileList),
    FileRead(FileRead),
    FileSearch(FileSearch),
    SqlSchema(SqlSchema),
    SqlQuery(SqlQuery),
    SqlExecute(SqlExecute),
    ShellRun(ShellRun),
    ApprovalWait(ApprovalWait),
    AccessRequest(AccessRequest),
    Steps(Steps),
}

impl Request {
    /// What a query looks up.
    #[must_use]
    pub fn lookup(&self) -> Option<&Lookup> {
        match self {
            Self::SqlQuery(query) => query.lookup.as_ref(),
            _ => None,
        }
    }

    /// What would run, exactly, as the executing adapter gets it: of a declared tool the statement or the
    /// argument vector its author wrote, with the values in their places. Null where the arguments say all
    /// of it. People sign it, so it holds nothing that does not act (no reason, no page).
    #[must_use]
    pub fn runs(&self) -> Value {
        let mut runs = match self {
            Self::SqlQuery(query) => json!({"statement": query.statement, "parameters": query.parameters}),
            Self::SqlExecute(change) => {
                json!({"statement": change.statement, "parameters": change.parameters})
            }
            Self::ShellRun(run) => json!({
                "argv": run.argv, "command": run.command, "change": run.change,
                "timeout_seconds": run.timeout_seconds,
            }),
            _ => Value::Null,
        };
        if let Some(members) = runs.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        runs
    }
}

/// A declared tool with steps: other calls, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    /// In the order in which they are made.
    pub steps: Vec<Step>,
    /// Whether one of them may change something.
    pub change: bool,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its own name, made from that of the whole call.
    pub call_id: CallId,
    /// The tool.
    pub tool: String,
    /// The arguments, as an agent would send them.
    pub arguments: serde_json::Map<String, Value>,
    /// Whether a refusal of this step is not the end.
    pub goes_on: bool,
}

/// `list_resources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListResources {
    /// Only this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ResourceKind>,
    /// From next_cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `file_list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileList {
    /// Resource name.
    pub resource: String,
    /// Folder; "" is the root.
    pub path: String,
    /// Branch or tag.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Include subfolders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recursive: Option<bool>,
    /// Most entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// From next_cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `file_read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRead {
    /// Resource name.
    pub resource: String,
    /// File path.
    pub path: String,
    /// Branch or tag.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// First line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_line: Option<u64>,
    /// Last line, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u64>,
}

/// `file_search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSearch {
    /// Resource name.
    pub resource: String,
    /// Text to find.
    pub pattern: String,
    /// Pattern is a regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<bool>,
    /// Only paths matching, e.g. src/**/*.rs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// Branch or tag.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Most matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// From next_cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `sql_schema`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlSchema {
    /// Resource name.
    pub resource: String,
    /// Only this table or view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// `sql_query`, and every declared query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlQuery {
    /// Resource name.
    pub resource: String,
    /// One SELECT.
    pub statement: String,
    /// Bound to ?1, ?2 … or, as an object, to :name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// Most rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// From next_cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// {column, value}, for column = :lookup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    pub lookup: Option<Lookup>,
}

/// A value somebody knows, whose rows are asked for. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Lookup {
    /// `table.column`, as `sql_schema` names it.
    pub column: String,
    /// What is looked for.
    pub value: String,
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup")
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}

/// `sql_execute`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlExecute {
    /// Resource name.
    pub resource: String,
    /// One INSERT, UPDATE, DELETE or DDL statement.
    pub statement: String,
    /// Bound to ?1, ?2 … or, as an object, to :name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `shell_run`. Exactly one of `argv` and `command`; the tool stage checks that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShellRun {
    /// Resource name.
    pub resource: String,
    /// Program and arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// Or one line: plain words, | && || ;
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Changes files of the work folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<bool>,
    /// Stop it after this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `approval_wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalWait {
    /// From approval.id.
    pub approval_id: String,
    /// At most 45.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u64>,
}

/// `access_request`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRequest {
    /// Tool you will call.
    pub tool: String,
    /// Its arguments.
    pub arguments: serde_json::Map<String, Value>,
    /// Why, for the reviewer.
    pub reason: String,
    /// For at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
}

impl std::fmt::Debug for AccessRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessRequest")
            .field("tool", &self.tool)
            .finish_non_exhaustive() // a value that is looked up may be among the arguments
    }
}

/// Values bound to a statement's placeholders; scalars only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Parameters {
    /// `?1`, `?2` …
    Positional(Vec<Value>),
    /// `:name`.
    Named(serde_json::Map<String, Value>),
}
