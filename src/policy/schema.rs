//! The policy language's vocabulary: one description, from which the Cedar schema is generated and
//! by which requests are built.
//!
//! What a policy may rely on is typed here, per action: a detail that an action always carries is
//! required, so that a `forbid` about it can neither be skipped by `has` nor be missed because an
//! adapter left it out (the request is then refused as a whole).

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

use crate::call::{Action, ResourceKind, Transport, UserKind};

/// The name space of every type and action.
pub(super) const NAMESPACE: &str = "Tollgate";

/// Where the generated schema is checked in, below the repository's root.
pub const SCHEMA_FILE: &str = "policies/tollgate.cedarschema";

/// A type of the policy language, as far as Tollgate needs it.
#[derive(Debug, Clone, Copy)]
enum Type {
    Text,
    Flag,
    Words,
    Record(&'static str),
}

impl Type {
    fn cedar(self) -> &'static str {
        match self {
            Self::Text => "String",
            Self::Flag => "Bool",
            Self::Words => "Set<String>",
            Self::Record(name) => name,
        }
    }
}

/// A record of the context.
struct Record {
    name: &'static str,
    about: &'static str,
    fields: &'static [(&'static str, Type)],
}

const RECORDS: [Record; 5] = [
    Record {
        name: "Agent",
        about: "The program that speaks for the user. `claimed_name` is its own word: let it narrow a right, never widen one.",
        fields: &[
            ("client_id", Type::Text),
            ("verified", Type::Flag),
            ("claimed_name", Type::Text),
        ],
    },
    Record {
        name: "Session",
        about: "The stretch of work; `labels` are those of the resources it has read from so far.",
        fields: &[("id", Type::Text), ("labels", Type::Words)],
    },
    Record {
        name: "Sql",
        about: "What the executing engine's own parser found in a statement.",
        fields: &[
            ("kind", Type::Text),
            ("tables", Type::Words),
            ("columns", Type::Words),
            ("functions", Type::Words),
            ("has_where", Type::Flag),
            ("irreversible", Type::Flag),
        ],
    },
    Record {
        name: "File",
        about: "A path inside a repository (no leading slash; empty for the root) and the full name of its ref.",
        fields: &[("path", Type::Text), ("ref", Type::Text)],
    },
    Record {
        name: "Shell",
        about: "What a command would start. kind: \"inspection\" (known programs, every flag allowed) or \"script\" (only the sandbox bounds it); change: whether its work folder is writable.",
        fields: &[
            ("kind", Type::Text),
            ("programs", Type::Words),
            ("network", Type::Flag),
            ("change", Type::Flag),
        ],
    },
];

/// What every request carries.
const ALWAYS: [(&str, Type); 5] = [
    ("tool", Type::Text),
    ("agent", Type::Record("Agent")),
    ("session", Type::Record("Session")),
    ("transport", Type::Text),
    ("satisfied", Type::Words),
];

/// What only some actions carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Sql,
    File,
    Shell,
    Class,
    Column,
    /// The authentication context class of a person's sign-in (`acr`); empty when their issuer says none.
    Acr,
}

impl Detail {
    pub(super) const ALL: [Self; 6] = [
        Self::Sql,
        Self::File,
        Self::Shell,
        Self::Class,
        Self::Column,
        Self::Acr,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::File => "file",
            Self::Shell => "shell",
            Self::Class => "class",
            Self::Column => "column",
            Self::Acr => "acr",
        }
    }

    fn cedar(self) -> Type {
        match self {
            Self::Sql => Type::Record("Sql"),
            Self::File => Type::Record("File"),
            Self::Shell => Type::Record("Shell"),
            Self::Class | Self::Column | Self::Acr => Type::Text,
        }
    }
}

/// Whether an action's context carries a detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
    Absent,
}

/// The one table of what goes with what.
pub(super) fn presence(action: Action, detail: Detail) -> Presence {
    use Presence::{Absent, Optional, Required};
    match (action, detail) {
        (Action::SqlRead | Action::SqlWrite | Action::SqlDdl, Detail::Sql)
        | (Action::FileRead | Action::FileSearch | Action::GitHistory | Action::GitCommit, Detail::File)
        | (Action::ShellRun, Detail::Shell)
        | (Action::Reveal | Action::Lookup, Detail::Class | Detail::Column)
        | (Action::Approve, Detail::Acr) => Required,
        (Action::Lookup, Detail::Sql)
        | (Action::Describe | Action::Reveal, Detail::Sql | Detail::File)
        | (Action::Measure | Action::Approve, Detail::Sql | Detail::File | Detail::Shell) => Optional,
        _ => Absent,
    }
}

/// The group an action is in: a policy may say `action in Tollgate::Action::"read"`.
pub(super) fn action_group(action: Action) -> Option<&'static str> {
    match action {
        Action::Describe | Action::FileRead | Action::FileSearch | Action::GitHistory | Action::SqlRead => {
            Some("read")
        }
        Action::SqlWrite | Action::SqlDdl | Action::ShellRun | Action::GitCommit | Action::HttpSend => {
            Some("change")
        }
        Action::Measure
        | Action::Reveal
        | Action::Lookup
        | Action::Approve
        | Action::AuditRead
        | Action::Administer => None,
    }
}

/// Whether an agent's call can be this action. The others are decided inside a call (`reveal`, `lookup`) or
/// belong to people on the control side; a call that claims to be one of them is refused.
pub(super) fn is_agents(action: Action) -> bool {
    match action {
        Action::Describe
        | Action::FileRead
        | Action::FileSearch
        | Action::GitHistory
        | Action::SqlRead
        | Action::SqlWrite
        | Action::SqlDdl
        | Action::ShellRun
        | Action::GitCommit
        | Action::HttpSend
        | Action::Measure => true,
        Action::Reveal | Action::Lookup | Action::Approve | Action::AuditRead | Action::Administer => false,
    }
}

/// The closed set of words behind a text field of the request, by its path in a policy; `None` for
/// a field that may hold any text or whose words come from configuration. A literal outside the set
/// is a typing mistake, and in a `forbid` it would fail open.
pub(super) fn words(path: &str) -> Option<Vec<&'static str>> {
    match path {
        "principal.kind" => Some(vec![user_kind(UserKind::Person), user_kind(UserKind::Service)]),
        "resource.kind" => Some(ResourceKind::ALL.map(ResourceKind::as_str).to_vec()),
        "context.shell.kind" => Some(vec!["inspection", "script"]),
        "context.transport" => Some(vec![Transport::Http.as_str(), Transport::Stdio.as_str()]),
        _ => None,
    }
}

/// The word for a user's kind.
pub(super) fn user_kind(kind: UserKind) -> &'static str {
    match kind {
        UserKind::Person => "person",
        UserKind::Service => "service",
    }
}

/// The schema's text, in Cedar's own syntax.
///
/// [`SCHEMA_FILE`] is this text; a test fails when they differ.
#[must_use]
pub fn schema_text() -> String {
    let mut text = String::from(
        "// What a policy may speak of. Generated from src/policy/schema.rs; do not edit:\n\
         // UPDATE_SCHEMA=1 cargo nextest run --locked -E 'test(schema_is_current)'\n",
    );
    let _ = writeln!(text, "namespace {NAMESPACE} {{");
    text.push_str(
        "  // Local group names, from [groups] in tollgate.toml.\n  entity Group;\n\
         \n  // Words from `labels` of [[resource]].\n  entity Label;\n\
         \n  // `<issuer>#<subject>`; on stdio `local#<uid>@<host>`. kind: \"person\" or \"service\".\n\
         \x20 entity User in [Group] {\n    kind: String,\n  };\n\
         \n  // A configured name. kind: \"git\", \"sqlite\" ...\n\
         \x20 entity Resource in [Label] {\n    kind: String,\n  };\n",
    );
    for Record { name, about, fields } in RECORDS {
        let _ = writeln!(text, "\n  // {about}\n  type {name} = {{");
        for (field, kind) in fields {
            let _ = writeln!(text, "    {field}: {},", kind.cedar());
        }
        text.push_str("  };\n");
    }
    text.push_str("\n  action read, change;\n");
    for action in Action::ALL {
        write_action(&mut text, action);
    }
    text.push_str("}\n");
    text
}

fn write_action(text: &mut String, action: Action) {
    let within = action_group(action)
        .map(|group| format!(" in [{group}]"))
        .unwrap_or_default();
    let _ = writeln!(
        text,
        "\n  action {}{within} appliesTo {{\n    principal: [User],\n    resource: [Resource],\n    context: {{",
        action.as_str()
    );
    for (name, kind) in ALWAYS {
        let _ = writeln!(text, "      {name}: {},", kind.cedar());
    }
    for detail in Detail::ALL {
        let mark = match presence(action, detail) {
            Presence::Required => "",
            Presence::Optional => "?",
            Presence::Absent => continue,
        };
        let _ = writeln!(
            text,
            "      {}{mark}: {},",
            detail.as_str(),
            detail.cedar().cedar()
        );
    }
    text.push_str("    },\n  };\n");
}

/// The entity types of the schema.
#[derive(Debug)]
pub(super) struct Types {
    pub(super) user: EntityTypeName,
    pub(super) group: EntityTypeName,
    pub(super) resource: EntityTypeName,
    pub(super) label: EntityTypeName,
    pub(super) action: EntityTypeName,
}

static TYPES: LazyLock<Option<Types>> = LazyLock::new(|| {
    let named = |name: &str| EntityTypeName::from_str(&format!("{NAMESPACE}::{name}")).ok();
    Some(Types {
        user: named("User")?,
        group: named("Group")?,
        resource: named("Resource")?,
        label: named("Label")?,
        action: named("Action")?,
    })
});

/// The entity types, parsed once. `None` cannot happen while the names above are identifiers; a
/// rule set without them does not load.
pub(super) fn types() -> Option<&'static Types> {
    TYPES.as_ref()
}

/// An entity id from raw text. The text is never parsed, so nothing in it can change the type or
/// reach another entity.
pub(super) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}
