//! The built-in tools. Their words are few: every agent pays for them in every session.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::declared::Does;
use super::{ToolCard, schema};
use crate::call::answer::{
    Changed, CommandOutput, FileListing, FileMatches, FileText, ResourceList, Rows, Schema, StepAnswers,
};
use crate::call::request::{
    AccessRequest, ApprovalWait, FileList, FileRead, FileSearch, ListResources, ShellRun, SqlExecute,
    SqlQuery, SqlSchema,
};
use crate::call::{Action, Code, Refusal, Request, ResourceKind};

/// One built-in tool.
pub(super) struct BuiltIn {
    pub name: &'static str,
    title: &'static str,
    description: &'static str,
    pub kinds: &'static [ResourceKind],
    action: Action,
    input: fn() -> Map<String, Value>,
    data: fn() -> Value,
}

/// It exists where people may approve for a while.
pub(super) const ACCESS_REQUEST: &str = "access_request";

/// In the order of the contracts.
pub(super) static BUILT_IN: [BuiltIn; 10] = [
    BuiltIn {
        name: "list_resources",
        title: "List resources",
        description: "Names for `resource`, with kinds.",
        kinds: &[],
        action: Action::Describe,
        input: schema::input::<ListResources>,
        data: schema::data::<ResourceList>,
    },
    BuiltIn {
        name: "file_list",
        title: "List files",
        description: "Files in a folder of a git repository.",
        kinds: &[ResourceKind::Git],
        action: Action::FileRead,
        input: schema::input::<FileList>,
        data: schema::data::<FileListing>,
    },
    BuiltIn {
        name: "file_read",
        title: "Read a file",
        description: "A file, or some of its lines, from a git repository. Secrets show as [masked:rule].",
        kinds: &[ResourceKind::Git],
        action: Action::FileRead,
        input: schema::input::<FileRead>,
        data: schema::data::<FileText>,
    },
    BuiltIn {
        name: "file_search",
        title: "Search files",
        description: "Lines that contain a text, in a git repository.",
        kinds: &[ResourceKind::Git],
        action: Action::FileSearch,
        input: schema::input::<FileSearch>,
        data: schema::data::<FileMatches>,
    },
    BuiltIn {
        name: "sql_schema",
        title: "Show tables",
        description: "Tables, columns and which columns are masked. Call before sql_query.",
        kinds: &ResourceKind::DATABASES,
        action: Action::Describe,
        input: schema::input::<SqlSchema>,
        data: schema::data::<Schema>,
    },
    BuiltIn {
        name: "sql_query",
        title: "Query a database",
        description: "Runs one SELECT. Masked columns compare as their masks. Pass values as parameters.",
        kinds: &ResourceKind::DATABASES,
        action: Action::SqlRead,
        input: schema::input::<SqlQuery>,
        data: schema::data::<Rows>,
    },
    BuiltIn {
        name: "sql_execute",
        title: "Change a database",
        description: "Runs one INSERT, UPDATE, DELETE or DDL statement. People may have to approve it first.",
        kinds: &ResourceKind::DATABASES,
        action: Action::SqlWrite,
        input: schema::input::<SqlExecute>,
        data: schema::data::<Changed>,
    },
    BuiltIn {
        name: "shell_run",
        title: "Run a command",
        description: "Runs programs in a sandbox without network; there is no shell.",
        kinds: &[ResourceKind::Shell],
        action: Action::ShellRun,
        input: schema::input::<ShellRun>,
        data: schema::data::<CommandOutput>,
    },
    BuiltIn {
        name: "approval_wait",
        title: "Wait for approval",
        description: "After approval_pending: waits for the decision, then gives that call's result.",
        kinds: &[],
        action: Action::Describe,
        input: schema::input::<ApprovalWait>,
        data: schema::any,
    },
    BuiltIn {
        name: ACCESS_REQUEST,
        title: "Ask ahead",
        description: "Gets such calls approved ahead; runs none.",
        kinds: &[],
        action: Action::Describe,
        input: schema::unexplained::<AccessRequest>,
        data: schema::any,
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

/// The output schema of a declared tool.
pub(super) fn declared_envelope(does: &Does) -> Map<String, Value> {
    schema::envelope(match does {
        Does::Query(_) => schema::data::<Rows>(),
        Does::Change(_) => schema::data::<Changed>(),
        Does::Command { .. } => schema::data::<CommandOutput>(),
        Does::Steps { .. } => schema::data::<StepAnswers>(),
    })
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
        "sql_execute" => typed(given, Request::SqlExecute),
        "shell_run" => typed(given, Request::ShellRun),
        "approval_wait" => typed(given, Request::ApprovalWait),
        ACCESS_REQUEST => typed(given, Request::AccessRequest),
        other => Err(Refusal::internal(format!("built-in tool {other} has no request"))),
    }
    .and_then(lines_in_order)
    .and_then(one_command)
}

/// `argv` or `command`, and only one of them.
fn one_command(typed: (Request, Value)) -> Result<(Request, Value), Refusal> {
    if let Request::ShellRun(run) = &typed.0
        && run.argv.as_ref().is_some_and(|argv| !argv.is_empty()) == run.command.is_some()
    {
        return Err(Refusal::new(
            Code::InvalidArguments,
            "Exactly one of `argv` and `command` is needed.",
            "Send `argv` as a list: the program, then its arguments. Or send `command` as one line.",
        ));
    }
    Ok(typed)
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
