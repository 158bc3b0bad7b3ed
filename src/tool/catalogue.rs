//! The built-in tools. Their words are few: every agent pays for them in every session.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{ToolCard, schema};
use crate::call::answer::{FileListing, FileMatches, FileText, ResourceList, Rows, Schema};
use crate::call::request::{FileList, FileRead, FileSearch, ListResources, SqlQuery, SqlSchema};
use crate::call::{Action, Code, Refusal, Request, ResourceKind};

/// One built-in tool.
pub(super) struct BuiltIn {
    pub name: &'static str,
    title: &'static str,
    description: &'static str,
    pub kind: Option<ResourceKind>,
    action: Action,
    input: fn() -> Map<String, Value>,
    data: fn() -> Value,
}

/// In the order of the contracts.
pub(super) static BUILT_IN: [BuiltIn; 6] = [
    BuiltIn {
        name: "list_resources",
        title: "List resources",
        description: "What you can reach: names for `resource`, with kinds.",
        kind: None,
        action: Action::Describe,
        input: schema::input::<ListResources>,
        data: schema::data::<ResourceList>,
    },
    BuiltIn {
        name: "file_list",
        title: "List files",
        description: "Files in a folder of a git repository.",
        kind: Some(ResourceKind::Git),
        action: Action::FileRead,
        input: schema::input::<FileList>,
        data: schema::data::<FileListing>,
    },
    BuiltIn {
        name: "file_read",
        title: "Read a file",
        description: "A file, or some of its lines, from a git repository. Secrets show as [masked:rule].",
        kind: Some(ResourceKind::Git),
        action: Action::FileRead,
        input: schema::input::<FileRead>,
        data: schema::data::<FileText>,
    },
    BuiltIn {
        name: "file_search",
        title: "Search files",
        description: "Lines that contain a text, in a git repository.",
        kind: Some(ResourceKind::Git),
        action: Action::FileSearch,
        input: schema::input::<FileSearch>,
        data: schema::data::<FileMatches>,
    },
    BuiltIn {
        name: "sql_schema",
        title: "Show tables",
        description: "Tables, columns and which columns are masked. Call before sql_query.",
        kind: Some(ResourceKind::Sqlite),
        action: Action::Describe,
        input: schema::input::<SqlSchema>,
        data: schema::data::<Schema>,
    },
    BuiltIn {
        name: "sql_query",
        title: "Query a database",
        description: "Runs one SELECT. Masked columns compare as their masks. Pass values as parameters.",
        kind: Some(ResourceKind::Sqlite),
        action: Action::SqlRead,
        input: schema::input::<SqlQuery>,
        data: schema::data::<Rows>,
    },
];

impl BuiltIn {
    pub(super) fn card(&self) -> ToolCard {
        ToolCard {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            description: self.description.to_owned(),
            input_schema: Arc::new((self.input)()),
            output_schema: Arc::new(schema::envelope((self.data)())),
            action: self.action,
        }
    }
}

/// The output schema of every query that answers with rows.
pub(super) fn rows_envelope() -> Map<String, Value> {
    schema::envelope(schema::data::<Rows>())
}

/// Types checked arguments, and gives their canonical form: absent optionals are absent, defaults are not
/// filled in.
pub(super) fn request(tool: &str, given: Map<String, Value>) -> Result<(Request, Value), Refusal> {
    match tool {
        "list_resources" => typed(given, Request::ListResources),
        "file_list" => typed(given, Request::FileList),
        "file_read" => typed(given, Request::FileRead),
        "file_search" => typed(given, Request::FileSearch),
        "sql_schema" => typed(given, Request::SqlSchema),
        "sql_query" => typed(given, Request::SqlQuery),
        other => Err(Refusal::internal(format!("built-in tool {other} has no request"))),
    }
    .and_then(lines_in_order)
}

fn lines_in_order(typed: (Request, Value)) -> Result<(Request, Value), Refusal> {
    if let Request::FileRead(FileRead {
        start_line: Some(start),
        end_line: Some(end),
        ..
    }) = &typed.0
        && end < start
    {
        return Err(Refusal::new(
            Code::InvalidArguments,
            format!("`end_line` ({end}) is before `start_line` ({start})."),
            "Give the first line in `start_line` and the last line in `end_line`.",
        ));
    }
    Ok(typed)
}

fn typed<T>(given: Map<String, Value>, request: fn(T) -> Request) -> Result<(Request, Value), Refusal>
where
    T: DeserializeOwned + Serialize + JsonSchema,
{
    // The schema was checked before, so a failure here is a disagreement between the two.
    let arguments: T = serde_json::from_value(Value::Object(given)).map_err(|error| {
        Refusal::new(
            Code::InvalidArguments,
            "The arguments do not fit the tool's input schema.",
            "Compare them with the schema in tools/list.",
        )
        .detail(error.to_string())
    })?;
    let canonical =
        serde_json::to_value(&arguments).map_err(|error| Refusal::internal(format!("arguments: {error}")))?;
    Ok((request(arguments), canonical))
}
