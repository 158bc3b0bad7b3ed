//! What has to be the same for another call to fall under a grant: everything but what a reviewer freed by name.
//!
//! Two calls with the same digest do the same to the same target, apart from the freed values, and those are of the
//! same kind. Nothing here reads a statement: what stands at which place says the adapter that runs it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Subject;
use super::terms::Asked;
use crate::call::request::Parameters;
use crate::call::{Facts, Hash, Probe, Request};

/// The longest word of a command that can be free, in bytes.
const WORD: usize = 256;

/// Programs that are not understood and start what their arguments name, wherever it stands: other programs, tasks,
/// packages. An interpreter is none of them: what it runs comes first, and the first word is free for nobody.
const STARTERS: &[&str] = &[
    "ant", "bazel", "bun", "bundle", "bunx", "busybox", "cargo", "chroot", "chrt", "composer", "corepack",
    "deno", "docker", "doas", "dotnet", "env", "flock", "gdb", "go", "gradle", "gradlew", "ionice", "java",
    "jest", "just", "make", "mix", "mocha", "mvn", "mvnw", "nice", "ninja", "nohup", "npm", "npx", "numactl",
    "nx", "parallel", "phpunit", "pipenv", "pipx", "pnpm", "podman", "poetry", "pytest", "rake", "rspec",
    "setpriv", "setsid", "ssh", "stdbuf", "strace", "su", "sudo", "swift", "task", "taskset", "tclsh",
    "time", "timeout", "tox", "turbo", "unshare", "uv", "uvx", "valgrind", "vitest", "watch", "xargs",
    "yarn",
];

/// One call, taken apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// What cannot be freed.
    pub(super) fixed: Value,
    /// What can be, by name, as it is in this call.
    pub(super) open: BTreeMap<String, Value>,
}

impl Shape {
    /// `None` for a call that no grant covers: one that asks for nothing of a target, one that looks a value up, and
    /// one whose mere attempt could tell something.
    pub(super) fn of(subject: Subject<'_>, asks: &[Asked]) -> Option<Self> {
        let (invocation, facts) = (subject.invocation, subject.facts);
        if facts.probe == Probe::Oracle
            || invocation.resource.is_none()
            || invocation.request.lookup().is_some()
        {
            return None;
        }
        let mut open = BTreeMap::new();
        let request = request(&invocation.request, facts, &mut open)?;
        let asks: Vec<_> = asks
            .iter()
            .map(|one| json!([one.id, one.seats, one.bound, one.unattended]))
            .collect();
        let shell = facts.shell.as_ref();
        let shell = shell.map(|shell| json!([shell.kind, shell.programs, shell.network, shell.change]));
        let fixed = json!({
            "tool": invocation.tool,
            "resource": invocation.resource,
            "actions": [invocation.action, facts.action],
            "request": request,
            "target": facts.target,
            "sql": facts.sql,
            "file": facts.file,
            "shell": shell,
            "classified": facts.classified,
            "probe": facts.probe,
            "asks": asks,
        });
        Some(Self { fixed, open })
    }

    /// What a call must come to. `None` when one of the names is of nothing in it.
    pub(super) fn digest(&self, free: &BTreeSet<String>) -> Option<Hash> {
        if free.iter().any(|name| !self.open.contains_key(name)) {
            return None;
        }
        let held = |(name, value): (&String, &Value)| {
            let held = if free.contains(name) {
                json!({"free": kind(value)})
            } else {
                json!({"is": value})
            };
            (name.clone(), held)
        };
        let open: BTreeMap<String, Value> = self.open.iter().map(held).collect();
        Some(Hash::of_json(&json!({"fixed": self.fixed, "open": open})))
    }

    /// Equal for requests that differ in nothing but values: people look at them together.
    pub(super) fn similar(&self) -> Option<String> {
        let digest = self.digest(&self.open.keys().cloned().collect())?;
        Some(digest.hex().chars().take(16).collect())
    }
}

/// The typed arguments as JSON, without what says nothing to a target (a reason), and with `open` in the places of
/// what can be free.
fn request(request: &Request, facts: &Facts, open: &mut BTreeMap<String, Value>) -> Option<Value> {
    let template = facts.sql.as_ref().and_then(|sql| sql.template.as_ref());
    let inspected = facts
        .shell
        .as_ref()
        .is_some_and(|shell| shell.kind == "inspection");
    let mut whole = match request {
        Request::SqlQuery(query) => {
            parameters(query.parameters.as_ref(), open);
            json!(query)
        }
        Request::SqlExecute(change) => {
            parameters(change.parameters.as_ref(), open);
            json!(change)
        }
        Request::ShellRun(run) => {
            let mut whole = json!(run);
            if let (Some(argv), Some(members)) = (&run.argv, whole.as_object_mut()) {
                members.insert("argv".to_owned(), words(argv, inspected, open));
            }
            whole
        }
        Request::FileList(list) => json!(list),
        Request::FileRead(read) => json!(read),
        Request::FileSearch(search) => json!(search),
        Request::SqlSchema(schema) => json!(schema),
        Request::ListResources(_)
        | Request::ApprovalWait(_)
        | Request::AccessRequest(_)
        | Request::Steps(_) => return None,
    };
    let members = whole.as_object_mut()?;
    members.remove("reason");
    if matches!(request, Request::SqlQuery(_) | Request::SqlExecute(_)) {
        members.remove("parameters");
        if let Some(template) = template {
            members.insert("statement".to_owned(), json!({"template": template.text}));
            for (number, literal) in (1..).zip(&template.literals) {
                open.insert(
                    format!("literal {number}"),
                    json!({literal.kind.as_str(): literal.text}),
                );
            }
        }
    }
    Some(whole)
}

fn parameters(given: Option<&Parameters>, open: &mut BTreeMap<String, Value>) {
    match given {
        None => {}
        Some(Parameters::Positional(values)) => {
            for (number, value) in (1..).zip(values) {
                open.insert(format!("parameter {number}"), value.clone());
            }
        }
        Some(Parameters::Named(values)) => {
            for (name, value) in values {
                open.insert(format!("parameter :{name}"), value.clone());
            }
        }
    }
}

/// An argument vector, in which plain words can be free: never the program, nothing that could be the name of what it is
/// to do, nothing that looks like an option or could be one's value, nothing with a path upwards. Of a program of which
/// nothing is known (not `inspected`) also nothing that it could run: the agent may have written the file.
pub(super) fn words(argv: &[String], inspected: bool, open: &mut BTreeMap<String, Value>) -> Value {
    let mut before: Option<&String> = None;
    let mut out = Vec::with_capacity(argv.len());
    let starts = !inspected && starts_others(argv);
    for (place, word) in argv.iter().enumerate() {
        let after_word = before.is_some_and(|before| !before.starts_with('-'));
        let harmless = inspected || !starts && place > 1 && !is_file(word);
        if place > 0 && after_word && harmless && is_plain(word) {
            let name = format!("argv {place}");
            out.push(json!({ "open": name }));
            open.insert(name, json!(word));
        } else {
            out.push(json!(word));
        }
        before = Some(word);
    }
    Value::Array(out)
}

/// Whether a program may start what any of its words names: one that is there for that, and one whose first word is an
/// option, which can make any word behind it the script (`python3 -W x1 y1`).
fn starts_others(argv: &[String]) -> bool {
    let mut words = argv.iter();
    let name = words.next().and_then(|program| program.rsplit('/').next());
    words.next().is_some_and(|word| word.starts_with('-')) || name.is_none_or(|name| STARTERS.contains(&name))
}

/// Whether a word could be the name of a file to run: everything with a slash or a point, but for numbers (`1.2`, `v3.0`).
fn is_file(word: &str) -> bool {
    let number = word.strip_prefix('v').unwrap_or(word);
    word.contains('/')
        || word.contains('.') && number.bytes().any(|byte| !byte.is_ascii_digit() && byte != b'.')
}

fn is_plain(word: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._/:@,-".contains(&byte);
    let first = word.bytes().next();
    (1..=WORD).contains(&word.len())
        && first.is_some_and(|first| first.is_ascii_alphanumeric())
        && word.bytes().all(fits)
        && word.split('/').all(|part| part != "..")
        && !may_command(word)
}

/// Whether a word can be a subcommand or the name of a task, wherever it stands (`get`, `force-unlock`, `db:drop`): with
/// another one in its place, the same program does something else. What has a digit, a point or a slash names a thing.
fn may_command(word: &str) -> bool {
    !word
        .bytes()
        .any(|byte| byte.is_ascii_digit() || b"./@".contains(&byte))
}

/// Of which kind a value is: a free one stays of it.
fn kind(value: &Value) -> &str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(members) => members.keys().next().map_or("object", String::as_str),
    }
}
