//! Policy files → rules: everything that can be wrong with a policy is found here, before it decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use cedar_policy::{Effect, ParseErrors, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use serde::Serialize;
use serde_json::Value;

use super::choices::{self, Choices};
use super::files::{self, Source};
use super::names::{Known, Mentions, Unknown};
use super::slice::{ActionMask, Index, Scope};
use super::{ObligationKind, Scene, obligation, schema};
use crate::call::{Action, Hash};

/// The longest policy id, in characters.
const ID_MAX: usize = 64;

/// One thing that is wrong with a file, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, or the folder.
    pub file: PathBuf,
    /// The line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Fault {
    pub(super) fn new(file: &Path, line: usize, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            message: message.into(),
            help: help.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.help.is_empty() {
            write!(f, "\n    instead: {}", self.help)?;
        }
        Ok(())
    }
}

/// Why a set of policies was not loaded: every fault that was found, in file order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadError {
    /// At least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// What is kept of one policy beside its Cedar form.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) effect: Effect,
    pub(super) obligation: Option<ObligationKind>,
    pub(super) choices: Choices,
    pub(super) explain: Option<String>,
    pub(super) principal: Scope,
    pub(super) resource: Scope,
    pub(super) actions: ActionMask,
    /// Whether it has a `when` or `unless`.
    pub(super) conditional: bool,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// A set of policies that passed every check.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) digest: Hash,
    pub(super) files: usize,
    pub(super) schema: Schema,
    pub(super) rules: BTreeMap<String, Rule>,
    pub(super) index: Index,
}

/// Reads, checks and indexes the policies of a folder.
pub(super) fn load(dir: &Path, scene: &Scene) -> Result<Loaded, LoadError> {
    let sources = files::read_folder(dir, "cedar").map_err(|faults| LoadError { faults })?;
    load_sources(dir, &sources, scene)
}

/// Checks and indexes the policies of these files, which stand in `dir` or would.
pub(super) fn load_sources(dir: &Path, sources: &[Source], scene: &Scene) -> Result<Loaded, LoadError> {
    let (schema, types) = vocabulary(dir)?;
    let mut reader = Reader {
        known: Known::new(scene),
        types,
        rules: BTreeMap::new(),
        policies: Vec::new(),
        faults: Vec::new(),
    };
    for source in sources {
        reader.file(source);
    }
    reader.validate(&schema, sources);
    reader.faults.extend(forgotten(dir));
    if !reader.faults.is_empty() {
        let mut faults = reader.faults;
        faults.sort_by(|a, b| (&a.file, a.line, &a.message).cmp(&(&b.file, b.line, &b.message)));
        faults.dedup();
        return Err(LoadError { faults });
    }
    let index = Index::new(&reader.rules, &reader.policies)
        .map_err(|message| fault(dir, format!("the policies cannot be indexed: {message}")))?;
    Ok(Loaded {
        digest: digest(sources),
        files: sources.len(),
        schema,
        rules: reader.rules,
        index,
    })
}

fn vocabulary(dir: &Path) -> Result<(Schema, &'static schema::Types), LoadError> {
    let (schema, _warnings) = Schema::from_cedarschema_str(&schema::schema_text())
        .map_err(|error| fault(dir, format!("the built-in schema does not parse: {error}")))?;
    let types = schema::types().ok_or_else(|| fault(dir, "the built-in types do not parse".to_owned()))?;
    Ok((schema, types))
}

fn fault(dir: &Path, message: String) -> LoadError {
    LoadError {
        faults: vec![Fault::new(
            dir,
            0,
            message,
            "Report this as a defect of Tollgate.",
        )],
    }
}

/// SHA-256 over every file's name and bytes, each preceded by its length, in name order.
pub(super) fn digest(sources: &[Source]) -> Hash {
    let mut bytes = Vec::new();
    for part in sources.iter().flat_map(|source| [&source.name, &source.text]) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Hash::of(&bytes)
}

/// Policies one folder down are not read; a `forbid` that is believed to be in force and is not
/// would fail open, so they are a fault. `tests` holds decision tests only.
fn forgotten(dir: &Path) -> Vec<Fault> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .filter(|path| {
            std::fs::read_dir(path).is_ok_and(|inner| {
                inner
                    .flatten()
                    .any(|file| file.path().extension().is_some_and(|found| found == "cedar"))
            })
        })
        .map(|path| {
            Fault::new(
                &path,
                0,
                "holds policies, but policies in a subfolder are not read",
                "Move them up, or keep this folder somewhere else.",
            )
        })
        .collect()
}

struct Reader<'a> {
    known: Known<'a>,
    types: &'a schema::Types,
    rules: BTreeMap<String, Rule>,
    policies: Vec<Policy>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn file(&mut self, source: &Source) {
        let lines = Lines::new(&source.text);
        let set = match PolicySet::from_str(&source.text) {
            Ok(set) => set,
            Err(errors) => return self.faults.extend(syntax(source, &lines, &errors)),
        };
        for template in set.templates() {
            let line = template
                .to_cedar()
                .lines()
                .next()
                .and_then(|first| source.text.find(first))
                .map_or(0, |at| lines.at(at));
            self.faults.push(Fault::new(
                &source.path,
                line,
                "is a template (?principal or ?resource), and templates are not supported",
                "Write one policy for each group or resource.",
            ));
        }
        let mut policies: Vec<&Policy> = set.policies().collect();
        policies.sort_by_key(|policy| position(policy.id()));
        let mut from = 0;
        for policy in policies {
            let text = policy.to_cedar().unwrap_or_default();
            let start = source
                .text
                .get(from..)
                .and_then(|rest| rest.find(&text))
                .map_or(from, |at| from + at);
            from = start + text.len();
            let place = Place {
                source,
                line: lines.at(start),
                text: &text,
            };
            if let Err(mut faults) = self.policy(policy, &place) {
                self.faults.append(&mut faults);
            }
        }
    }

    fn policy(&mut self, policy: &Policy, place: &Place<'_>) -> Result<(), Vec<Fault>> {
        let id = self.id(policy, place).map_err(|fault| vec![fault])?;
        let mut faults = Vec::new();
        for (key, _) in policy.annotations() {
            if !obligation::ANNOTATIONS.contains(&key) {
                faults.push(place.fault(
                    format!("policy `{id}` has an unknown annotation @{key}"),
                    format!("Known are @{}.", obligation::ANNOTATIONS.join(", @")),
                    &format!("@{key}"),
                ));
            }
        }
        let conditions = conditions(policy).map_err(|message| vec![place.fault(message, "", "")])?;
        let mentions = Mentions::of(&conditions);
        if mentions.bare_context {
            faults.push(place.fault(
                format!("policy `{id}` uses `context` as a whole"),
                "Name the field you mean, for example context.tool.",
                "context",
            ));
        }
        self.names(policy, &id, &mentions, place, &mut faults);
        let mut wrong = |(message, help): obligation::Wrong| {
            faults.push(place.fault(format!("policy `{id}`: {message}"), help, ""));
        };
        let explain = obligation::explain(policy).unwrap_or_else(|error| {
            wrong(error);
            None
        });
        let obligation =
            obligation::read(policy, &id, &conditions, mentions.satisfied).unwrap_or_else(|error| {
                wrong(error);
                None
            });
        let choices = choices::read(policy, obligation.as_ref()).unwrap_or_else(|error| {
            wrong(error);
            Choices::default()
        });
        let actions = ActionMask::of(&policy.action_constraint());
        if obligation.is_some() && actions.only(Action::Reveal) {
            wrong((
                "an obligation on `reveal` is never asked for; the column would just stay masked".to_owned(),
                "Put the obligation on the action that reads, for example sql_read.".to_owned(),
            ));
        }
        if let Some(ObligationKind::Approval(asked)) = &obligation {
            let groups = asked
                .iter()
                .map(|(_, group)| group.as_str())
                .chain(choices.groups());
            for unknown in groups.filter_map(|group| self.known.group(group)) {
                faults.push(place.unknown(&id, &unknown));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.keep(id, policy, (obligation, choices), explain, actions, place);
        Ok(())
    }

    fn keep(
        &mut self,
        id: String,
        policy: &Policy,
        (obligation, choices): (Option<ObligationKind>, Choices),
        explain: Option<String>,
        actions: ActionMask,
        place: &Place<'_>,
    ) {
        let rule = Rule {
            effect: policy.effect(),
            obligation,
            choices,
            explain,
            principal: Scope::principal(&policy.principal_constraint(), &self.types.user),
            resource: Scope::resource(&policy.resource_constraint(), &self.types.resource),
            actions,
            conditional: policy.has_non_scope_constraint(),
            file: place.source.path.clone(),
            line: place.line,
        };
        self.policies.push(policy.new_id(PolicyId::new(&id)));
        self.rules.insert(id, rule);
    }

    fn id(&self, policy: &Policy, place: &Place<'_>) -> Result<String, Fault> {
        let Some(id) = policy.annotation("id") else {
            return Err(place.fault(
                "this policy has no @id",
                "Write @id(\"what-it-says\") before it.",
                "",
            ));
        };
        let plain = id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if id.is_empty() || id.len() > ID_MAX || !plain {
            return Err(place.fault(
                format!("`{}` cannot be an @id", id.escape_debug()),
                format!("Use 1 to {ID_MAX} characters out of a-z, 0-9 and -."),
                "@id",
            ));
        }
        if let Some(first) = self.rules.get(id) {
            return Err(place.fault(
                format!(
                    "@id(\"{id}\") is taken by {}:{}",
                    first.file.display(),
                    first.line
                ),
                "Give each policy an id of its own.",
                "@id",
            ));
        }
        Ok(id.to_owned())
    }

    fn names(
        &self,
        policy: &Policy,
        id: &str,
        mentions: &Mentions,
        place: &Place<'_>,
        faults: &mut Vec<Fault>,
    ) {
        let entities = policy
            .entity_literals()
            .into_iter()
            .filter_map(|uid| self.known.entity(&uid, self.types));
        let words = mentions
            .compared
            .iter()
            .filter_map(|(path, literal)| self.known.word(path, literal));
        faults.extend(entities.chain(words).map(|unknown| place.unknown(id, &unknown)));
    }

    /// Strict validation. A warning is a fault too: what Cedar warns of (a policy that can never
    /// apply, look-alike or bidirectional characters) is a mistake or an attack, never a wish.
    fn validate(&mut self, schema: &Schema, sources: &[Source]) {
        let set = match PolicySet::from_policies(self.policies.iter().cloned()) {
            Ok(set) => set,
            Err(error) => {
                let file = sources
                    .first()
                    .map(|source| source.path.clone())
                    .unwrap_or_default();
                self.faults.push(Fault::new(&file, 0, error.to_string(), ""));
                return;
            }
        };
        let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
        let mut erring = BTreeSet::new();
        for error in result.validation_errors() {
            erring.insert(error.policy_id());
            self.invalid(error.policy_id(), error, sources);
        }
        // What follows from an error (a misspelt action makes the policy impossible) is not repeated.
        for warning in result.validation_warnings() {
            if !erring.contains(warning.policy_id()) {
                self.invalid(warning.policy_id(), warning, sources);
            }
        }
    }

    fn invalid(&mut self, id: &PolicyId, finding: &dyn Diagnostic, sources: &[Source]) {
        let id: &str = id.as_ref();
        let Some(rule) = self.rules.get(id) else {
            return;
        };
        let line = sources
            .iter()
            .find(|source| source.path == rule.file)
            .and_then(|source| Some(Lines::new(&source.text).at(offset(finding)?)))
            .unwrap_or(rule.line);
        let help = finding.help().map_or_else(
            || format!("{SCHEMA_HINT}."),
            |help| format!("{help} ({SCHEMA_HINT})."),
        );
        self.faults
            .push(Fault::new(&rule.file, line, finding.to_string(), help));
    }
}

const SCHEMA_HINT: &str = "what a policy may speak of is in tollgate.cedarschema";

/// Where a policy stands.
struct Place<'a> {
    source: &'a Source,
    line: usize,
    text: &'a str,
}

impl Place<'_> {
    /// A fault at the first line of the policy that holds `near`.
    fn fault(&self, message: impl Into<String>, help: impl Into<String>, near: &str) -> Fault {
        let inside = self
            .text
            .find(near)
            .map_or(0, |at| Lines::new(self.text).at(at).saturating_sub(1));
        Fault::new(&self.source.path, self.line + inside, message, help)
    }

    fn unknown(&self, id: &str, unknown: &Unknown) -> Fault {
        let name = unknown.name.escape_debug();
        let quoted = format!("\"{}\"", unknown.name);
        self.fault(
            format!(
                "policy `{id}` names {} `{name}`, which nothing knows",
                unknown.what
            ),
            unknown.help.clone(),
            if self.text.contains(&quoted) { &quoted } else { "" },
        )
    }
}

fn syntax(source: &Source, lines: &Lines, errors: &ParseErrors) -> Vec<Fault> {
    errors
        .iter()
        .map(|error| {
            let line = offset(error).map_or(0, |at| lines.at(at));
            let help = error.help().map(|help| help.to_string()).unwrap_or_default();
            Fault::new(&source.path, line, error.to_string(), help)
        })
        .collect()
}

/// Where a finding points, in bytes from the start of its file.
fn offset(finding: &dyn Diagnostic) -> Option<usize> {
    finding.labels()?.map(|label| label.offset()).next()
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(ends.map(|(at, _)| at + 1).collect())
    }

    /// The line of an offset, from 1.
    pub(super) fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset) + 1
    }
}

/// Cedar numbers the policies of a text `policy0`, `policy1` …
fn position(id: &PolicyId) -> usize {
    let id: &str = id.as_ref();
    id.trim_start_matches("policy").parse().unwrap_or(usize::MAX)
}

fn conditions(policy: &Policy) -> Result<Vec<Value>, String> {
    let mut json = policy
        .to_json()
        .map_err(|error| format!("this policy cannot be read back: {error}"))?;
    match json.get_mut("conditions").map(Value::take) {
        Some(Value::Array(conditions)) => Ok(conditions),
        None => Ok(Vec::new()),
        Some(_) => Err("this policy's conditions cannot be read back".to_owned()),
    }
}
