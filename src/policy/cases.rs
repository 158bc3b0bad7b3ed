//! Decision tests: what a set of policies must say, kept beside it in `tests/*.toml`.
//!
//! A row speaks of named users and says what they try and what must come of it. The rows run
//! through the very code that decides calls. The format is described in docs/policy.md.

mod differences;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use differences::differences;

use super::RuleSet;
use super::explain::{Supposed, meet};
use super::files::{self, Source};
use super::load::{Fault, Lines};
use super::names::{Known, Unknown};
use crate::call::{
    Action, Agent, ClassifiedColumn, Evidence, FileFacts, ShellFacts, SqlFacts, Transport, User, UserKind,
};

/// The folder of decision tests, inside the folder of policies.
const FOLDER: &str = "tests";

/// How one row went, for one user, action and resource of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestRow {
    /// The file.
    pub file: PathBuf,
    /// Where the row begins.
    pub line: usize,
    /// The row's name.
    pub name: String,
    /// Which user, action and resource.
    pub subject: String,
    /// Empty when it passed; else one line for each difference.
    pub differences: Vec<String>,
}

/// How the decision tests went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// Every row that ran.
    pub rows: Vec<TestRow>,
    /// What is wrong with the test files themselves.
    pub invalid: Vec<Fault>,
    /// Policies that decided no row: nothing would notice if they were taken out.
    pub untested: BTreeSet<String>,
}

impl TestReport {
    /// Whether every file could be read and every row came out as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.invalid.is_empty() && self.failures().next().is_none()
    }

    /// The rows that did not come out as expected.
    pub fn failures(&self) -> impl Iterator<Item = &TestRow> {
        self.rows.iter().filter(|row| !row.differences.is_empty())
    }

    /// What to report of a set that did not pass.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let failed = self.failures().map(|row| {
            Fault::new(
                &row.file,
                row.line,
                format!(
                    "decision test \"{}\" ({}): {}",
                    row.name,
                    row.subject,
                    row.differences.join("; ")
                ),
                "Correct the policy, or the test if the new decision is meant.",
            )
        });
        self.invalid.iter().cloned().chain(failed).collect()
    }
}

impl fmt::Display for TestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.faults() {
            writeln!(f, "{fault}")?;
        }
        let failed = self.failures().count();
        writeln!(
            f,
            "{} decision tests passed, {failed} failed, {} faults in test files",
            self.rows.len() - failed,
            self.invalid.len()
        )?;
        if !self.untested.is_empty() {
            let ids: Vec<&str> = self.untested.iter().map(String::as_str).collect();
            writeln!(f, "decided by no test: {}", ids.join(", "))?;
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFile {
    #[serde(default)]
    users: BTreeMap<String, TestUser>,
    #[serde(default)]
    agents: BTreeMap<String, TestAgent>,
    #[serde(default)]
    test: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestUser {
    groups: BTreeSet<String>,
    #[serde(default)]
    kind: Kind,
    /// `<issuer>#<subject>`; made from the row's name otherwise.
    id: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Person,
    Service,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestAgent {
    client_id: String,
    verified: bool,
    #[serde(default)]
    claimed_name: String,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    #[default]
    Http,
    Stdio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Permit,
    Ask,
    Deny,
}

impl Expect {
    fn word(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a name or a list of names")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::More(names) => names,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowSql {
    kind: Option<String>,
    #[serde(default)]
    tables: BTreeSet<String>,
    #[serde(default)]
    columns: BTreeSet<String>,
    #[serde(default)]
    functions: BTreeSet<String>,
    #[serde(default)]
    has_where: bool,
    #[serde(default)]
    irreversible: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowShell {
    #[serde(default = "inspection")]
    kind: String,
    #[serde(default)]
    programs: BTreeSet<String>,
    #[serde(default)]
    network: bool,
    #[serde(default)]
    change: bool,
}

fn inspection() -> String {
    "inspection".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowFile {
    path: String,
    #[serde(rename = "ref", default = "main_ref")]
    reference: String,
}

fn main_ref() -> String {
    "refs/heads/main".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: Spanned<String>,
    user: OneOrMore,
    agent: Option<String>,
    #[serde(default)]
    transport: Way,
    action: OneOrMore,
    resource: Option<OneOrMore>,
    tool: Option<String>,
    #[serde(default)]
    session_labels: BTreeSet<String>,
    sql: Option<RowSql>,
    file: Option<RowFile>,
    shell: Option<RowShell>,
    /// Column = class.
    #[serde(default)]
    classified: BTreeMap<String, String>,
    /// One of them, in which a value is looked up.
    lookup: Option<String>,
    #[serde(default)]
    satisfied: BTreeSet<String>,
    rows: Option<u64>,
    seconds: Option<u64>,
    confirmed: Option<bool>,
    expect: Expect,
    expect_ids: Option<BTreeSet<String>>,
    expect_reveal: Option<BTreeSet<String>>,
    /// Column = the policies that forbid showing it.
    expect_masked: Option<BTreeMap<String, BTreeSet<String>>>,
    expect_resources: Option<BTreeSet<String>>,
    expect_rows: Option<u64>,
    expect_seconds: Option<u64>,
}

impl RuleSet {
    /// Runs the decision tests beside the policies: every row of `tests/*.toml`, in file order. A
    /// folder without tests passes, and says which policies nothing tests.
    #[must_use]
    pub fn run_tests(&self) -> TestReport {
        let folder = self.dir.join(FOLDER);
        let mut report = TestReport {
            untested: self.ids().map(str::to_owned).collect(),
            ..TestReport::default()
        };
        if !folder.exists() {
            return report;
        }
        match files::read_folder(&folder, "toml") {
            Err(faults) => report.invalid = faults,
            Ok(sources) => sources
                .iter()
                .for_each(|source| self.run_file(source, &mut report)),
        }
        report
    }

    fn run_file(&self, source: &Source, report: &mut TestReport) {
        let lines = Lines::new(&source.text);
        let file: TestFile = match toml::from_str(&source.text) {
            Ok(file) => file,
            Err(error) => {
                let line = error.span().map_or(0, |span| lines.at(span.start));
                let help = "The keys of a decision test are listed in docs/policy.md.";
                report
                    .invalid
                    .push(Fault::new(&source.path, line, error.message().to_owned(), help));
                return;
            }
        };
        for row in &file.test {
            let line = lines.at(row.name.span().start);
            match self.suppose(&file, row) {
                Err((message, help)) => {
                    let message = format!("decision test \"{}\": {message}", row.name.get_ref());
                    report.invalid.push(Fault::new(&source.path, line, message, help));
                }
                Ok(supposed) => {
                    for (subject, one) in supposed {
                        let explanation = self.explain(one);
                        let deciding = explanation.decided_by.iter().map(|note| &note.id);
                        for id in deciding.chain(explanation.masked.values().flatten()) {
                            report.untested.remove(id);
                        }
                        report.rows.push(TestRow {
                            file: source.path.clone(),
                            line,
                            name: row.name.get_ref().clone(),
                            subject,
                            differences: differences(row, &explanation),
                        });
                    }
                }
            }
        }
    }

    /// Spells a row out: one supposed call for each user × action × resource of it.
    fn suppose(&self, file: &TestFile, row: &Row) -> Result<Vec<(String, Supposed)>, (String, String)> {
        self.check_words(row)?;
        let evidence = self.evidence(row)?;
        let resources: Vec<Option<String>> = match &row.resource {
            None => vec![None],
            Some(names) => names.names().iter().cloned().map(Some).collect(),
        };
        let mut all = Vec::new();
        for user_name in row.user.names() {
            let user = self.user(file, user_name)?;
            for action_name in row.action.names() {
                let action = action(action_name)?;
                for resource in &resources {
                    let mut supposed = Supposed::new(user.clone(), action, resource.clone());
                    fill(&mut supposed, row, action);
                    supposed.evidence = evidence.clone();
                    if let Some(name) = &row.agent {
                        supposed.agent = agent(file, name)?;
                    }
                    let on = resource.as_deref().unwrap_or("everything");
                    all.push((format!("{user_name} · {action_name} · {on}"), supposed));
                }
            }
        }
        if all.is_empty() {
            return Err((
                "it tests nothing".to_owned(),
                "Name at least one user, action and resource.".to_owned(),
            ));
        }
        Ok(all)
    }

    /// A word that nothing knows would make a test that passes for the wrong reason.
    fn check_words(&self, row: &Row) -> Result<(), (String, String)> {
        let names = Known::new(self.active.scene());
        let resources = row.resource.iter().flat_map(|names| names.names());
        for name in resources.chain(row.expect_resources.iter().flatten()) {
            known(names.resource(name))?;
        }
        for label in &row.session_labels {
            known(names.label(label))?;
        }
        for class in row.classified.values() {
            known(names.class(class))?;
        }
        if let Some(column) = row
            .lookup
            .as_ref()
            .filter(|name| !row.classified.contains_key(*name))
        {
            return Err((
                format!("it looks a value up in `{column}`, which is not in `classified`"),
                format!("Write classified = {{ \"{column}\" = \"…\" }}."),
            ));
        }
        if let Some(tool) = &row.tool {
            known(names.tool(tool))?;
        }
        let forbidding = row.expect_masked.iter().flat_map(BTreeMap::values).flatten();
        for id in row.expect_ids.iter().flatten().chain(forbidding) {
            if !self.active.loaded.rules.contains_key(id) {
                return Err((
                    format!("it names `{id}`, and there is no such policy"),
                    "Write the @id of a policy in the folder above.".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn user(&self, file: &TestFile, name: &str) -> Result<User, (String, String)> {
        let user = file.users.get(name).ok_or_else(|| {
            (
                format!("there is no [users.{name}] in this file"),
                format!("Write [users.{name}] with groups = [\"…\"]."),
            )
        })?;
        let names = Known::new(self.active.scene());
        for group in &user.groups {
            known(names.group(group))?;
        }
        let id = user.id.clone().unwrap_or_else(|| format!("test#{name}"));
        let (issuer, subject) = id.split_once('#').ok_or_else(|| {
            (
                format!("`{id}` is not the id of a user"),
                "Write <issuer name>#<subject>.".to_owned(),
            )
        })?;
        Ok(User {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            kind: match user.kind {
                Kind::Person => UserKind::Person,
                Kind::Service => UserKind::Service,
            },
            groups: user.groups.clone(),
        })
    }

    /// What the row says has been done. Bounds that are not given are exactly as tight as the
    /// obligations that are said to be satisfied.
    fn evidence(&self, row: &Row) -> Result<Evidence, (String, String)> {
        let mut evidence = Evidence::default();
        for id in &row.satisfied {
            let rule = self.active.loaded.rules.get(id);
            let Some(kind) = rule.and_then(|rule| rule.obligation.as_ref()) else {
                return Err((
                    format!("satisfied names `{id}`, and there is no such obligation"),
                    "Write the @id of an obligation in the folder above.".to_owned(),
                ));
            };
            meet(&mut evidence, id, kind);
        }
        evidence.rows = row.rows.or(evidence.rows);
        evidence.seconds = row.seconds.or(evidence.seconds);
        evidence.self_confirmed = row.confirmed.unwrap_or(evidence.self_confirmed);
        Ok(evidence)
    }
}

fn fill(supposed: &mut Supposed, row: &Row, action: Action) {
    if let Some(tool) = &row.tool {
        supposed.tool.clone_from(tool);
    }
    supposed.transport = match row.transport {
        Way::Http => Transport::Http,
        Way::Stdio => Transport::Stdio,
    };
    supposed.session.labels.clone_from(&row.session_labels);
    supposed.sql = row.sql.as_ref().map(|sql| SqlFacts {
        kind: sql.kind.clone().unwrap_or_else(|| {
            match action {
                Action::SqlWrite => "update",
                Action::SqlDdl => "ddl",
                _ => "select",
            }
            .to_owned()
        }),
        tables: sql.tables.clone(),
        columns: sql.columns.clone(),
        functions: sql.functions.clone(),
        has_where: sql.has_where,
        irreversible: sql.irreversible,
        template: None,
    });
    supposed.shell = row.shell.as_ref().map(|shell| ShellFacts {
        kind: shell.kind.clone(),
        programs: shell.programs.clone(),
        network: shell.network,
        change: shell.change,
        commands: Vec::new(),
    });
    supposed.file = row.file.as_ref().map(|file| FileFacts {
        path: file.path.clone(),
        reference: file.reference.clone(),
    });
    supposed.classified = row
        .classified
        .iter()
        .map(|(column, class)| ClassifiedColumn {
            class: class.clone(),
            column: column.clone(),
        })
        .collect();
    let mut classified = supposed.classified.iter();
    let lookup = row.lookup.as_ref();
    supposed.lookup = lookup.and_then(|name| classified.find(|column| column.column == *name).cloned());
}

fn action(name: &str) -> Result<Action, (String, String)> {
    Action::ALL
        .into_iter()
        .find(|action| action.as_str() == name)
        .ok_or_else(|| {
            let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
            (
                format!("`{name}` is not an action"),
                format!("Known are {}.", known.join(", ")),
            )
        })
}

fn agent(file: &TestFile, name: &str) -> Result<Agent, (String, String)> {
    let agent = file.agents.get(name).ok_or_else(|| {
        (
            format!("there is no [agents.{name}] in this file"),
            format!("Write [agents.{name}] with client_id and verified."),
        )
    })?;
    Ok(Agent {
        client_id: agent.client_id.clone(),
        verified: agent.verified,
        claimed_name: agent.claimed_name.clone(),
        claimed_version: String::new(),
    })
}

fn known(unknown: Option<Unknown>) -> Result<(), (String, String)> {
    match unknown {
        None => Ok(()),
        Some(unknown) => Err((
            format!(
                "it names {} `{}`, which nothing knows",
                unknown.what, unknown.name
            ),
            unknown.help,
        )),
    }
}
