//! Two databases that differ only in classified values, each behind a Tollgate of its own: what an agent is told, what
//! it hears meanwhile, what the server logs and what the journal keeps, without what no two runs have in common.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tollgate::config::Config;
use tollgate::resource::sql::MaskStyle;
use tollgate::store::{Store, Tuning};

use super::agent::{Agent, Events};
use super::process::{Process, verify};
use super::site::{ANALYSTS, Site, envelope};
use crate::policy::write;

/// One of the twins, as a configuration says it.
pub(crate) struct Database<'a> {
    pub(crate) kind: &'a str,
    pub(crate) url: String,
    pub(crate) password: &'a str,
    pub(crate) columns: &'a BTreeMap<String, String>,
    pub(crate) classes: &'a BTreeMap<String, MaskStyle>,
    /// Further lines of the resource.
    pub(crate) more: &'a str,
}

/// What is left of a list of statements, asked one after the other.
pub(crate) struct Left {
    /// The answers, with the text that a model reads.
    pub(crate) answers: Vec<Value>,
    /// What came before each answer.
    heard: Vec<Vec<Value>>,
    /// The records of each call.
    pub(crate) records: Vec<Vec<Value>>,
    log: Vec<String>,
}

/// The characters that a line of a set spells.
pub(crate) fn spelled(line: &str) -> String {
    let mut text = line.replace("\\\\", "\u{1}").replace("\\n", "\n");
    for c in ['\u{200b}', '\u{202e}', '\u{feff}', '\u{a0}'] {
        text = text.replace(&format!("\\u{:04x}", u32::from(c)), &c.to_string());
    }
    text.replace('\u{1}', "\\")
}

/// The site's configuration with the database and the classes of both.
fn configure(site: &Site, database: &Database<'_>) {
    let folder = site.dir.path();
    write(folder, "twin", database.password);
    let text = std::fs::read_to_string(site.config()).unwrap();
    let (before, own) = text.split_once("[classes]\n").unwrap();
    let mut text = format!("{before}[classes]\n");
    for (class, mask) in database.classes {
        writeln!(text, "{class} = \"{}\"", mask.as_str()).unwrap();
    }
    let own = own.lines().filter(|line| {
        let class = line.split(' ').next().unwrap_or_default();
        !database.classes.contains_key(class)
    });
    own.for_each(|line| writeln!(text, "{line}").unwrap());
    write!(
        text,
        "\n[[resource]]\nname = \"twin\"\nkind = \"{}\"\nurl = \"{}\"\npassword = \"file:{}\"\nlabels = [\"shop\"]\n{}\n\
         [resource.columns]\n",
        database.kind,
        database.url,
        folder.join("twin").display(),
        database.more
    )
    .unwrap();
    for (column, class) in database.columns {
        writeln!(text, "'{column}' = \"{class}\"").unwrap();
    }
    std::fs::write(site.config(), text).unwrap();
}

/// One call whose caller wants to hear of its progress: what came before the answer, and the answer.
async fn call(agent: &Agent, statement: &str) -> (Vec<Value>, Value) {
    let params = json!({
        "name": "sql_query", "arguments": { "resource": "twin", "statement": statement },
        "_meta": { "progressToken": "p" },
    });
    let response = agent
        .modern("tools/call", params, &json!({}))
        .send()
        .await
        .unwrap();
    let mut events = Events::new(response);
    let (mut heard, mut answer) = (Vec::new(), Value::Null);
    while let Some(message) = events.next().await {
        match message.get("method") {
            // A sign of life says how long it took, which is the machine's business.
            Some(_) => heard.extend(Some(message).filter(|said| !said.to_string().contains("still running"))),
            None => answer = message["result"].clone(),
        }
    }
    (heard, answer)
}

/// All records of the site's journal, in order.
async fn journal(site: &Site) -> Vec<Value> {
    let config = Config::load(&site.config()).unwrap();
    let store = Store::open_existing_at(&config.store.address, &Tuning::default())
        .await
        .unwrap();
    let mut reader = store.reader().await.unwrap();
    let rows = reader.range(0, 100_000).await.unwrap();
    let rows = rows.iter();
    rows.map(|(row, _)| serde_json::from_slice(&row.record).unwrap())
        .collect()
}

/// Asks every statement of a Tollgate over this database.
pub(crate) async fn ask(database: &Database<'_>, statements: &[&str]) -> Left {
    let mut site = Site::for_process().await;
    site.set_policies(ANALYSTS);
    configure(&site, database);
    let server = Process::serve(&mut site, &["--log", "debug"]).await;
    let agent = Agent::new(&site, "alice", &["analyst"]);
    let (mut answers, mut heard) = (Vec::new(), Vec::new());
    for statement in statements {
        let (before, answer) = call(&agent, statement).await;
        assert!(envelope(&answer)["call_id"].is_string(), "{statement}: {answer}");
        answers.push(answer);
        heard.push(before);
    }
    server.terminate();
    let log = server.log_at_end().await;
    assert_eq!(verify(&site, &[])["problem_count"], json!(0));
    let mut records = vec![Vec::new(); statements.len()];
    let ids = answers
        .iter()
        .map(|answer| envelope(answer)["call_id"].to_string());
    let place: BTreeMap<String, usize> = ids.zip(0..).collect();
    for record in journal(&site).await {
        if let Some(place) = place.get(&record["call_id"].to_string()) {
            records[*place].push(record);
        }
    }
    let plain = Plain::new(&site);
    // At its end it says how long each stage took.
    let lines = log.lines().filter(|line| !line.contains("microseconds stage="));
    let all = |list: Vec<Vec<Value>>| -> Vec<Vec<Value>> {
        let one = |list: Vec<Value>| list.iter().map(|value| plain.value(value)).collect();
        list.into_iter().map(one).collect()
    };
    Left {
        answers: answers.iter().map(|answer| plain.value(answer)).collect(),
        heard: all(heard),
        records: all(records),
        log: lines.map(|line| plain.text(line)).collect(),
    }
}

/// Takes away what is another thing in every run: moments, how long something took, names made of chance or of it.
struct Plain {
    patterns: Vec<(regex::Regex, &'static str)>,
    folder: String,
}

/// Members of records that say how long something took.
const TIMES: &[&str] = &["duration_ms", "duration", "took_ms", "ms", "seq", "prev", "boot"];

impl Plain {
    fn new(site: &Site) -> Self {
        let patterns = [
            ("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "moment"),
            ("[0-9a-f]{64}", "hash"),
            ("\\b[0-9a-f]{32}\\b", "hash"),
            ("\\b[0-9a-z]{26}\\b", "call"),
            ("(127\\.0\\.0\\.1|localhost):[0-9]+", "address"),
        ];
        Self {
            patterns: patterns
                .map(|(pattern, name)| (regex::Regex::new(pattern).unwrap(), name))
                .into(),
            folder: site.dir.path().display().to_string(),
        }
    }

    fn text(&self, text: &str) -> String {
        let text = text.replace(&self.folder, "folder");
        let replace = |text: String, (pattern, name): &(regex::Regex, &'static str)| {
            pattern.replace_all(&text, *name).into_owned()
        };
        self.patterns.iter().fold(text, replace)
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .filter(|(name, _)| !TIMES.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), self.value(value)))
                .collect(),
            other => other.clone(),
        }
    }
}

/// Everything in which two are not the same, and everything in which `shows` finds a value of either.
pub(crate) fn differences(
    (one, other): (&Left, &Left),
    statements: &[&str],
    shows: impl Fn(&str, &str) -> bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut differ = |what: &str, statement: &str, one: &Value, other: &Value| {
        if one != other {
            wrong.push(format!("{what} {statement}\n    {one}\n    {other}"));
        }
        if shows(statement, &format!("{one}{other}")) {
            wrong.push(format!("SHOWN in {what} {statement}\n    {one}\n    {other}"));
        }
    };
    for (at, statement) in statements.iter().enumerate() {
        differ("ANSWER", statement, &one.answers[at], &other.answers[at]);
        differ(
            "PROGRESS",
            statement,
            &json!(one.heard[at]),
            &json!(other.heard[at]),
        );
        differ(
            "RECORDS",
            statement,
            &json!(one.records[at]),
            &json!(other.records[at]),
        );
    }
    differ("LOG", "", &json!(one.log), &json!(other.log));
    wrong
}
