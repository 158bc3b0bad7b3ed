//! The demo's script: two people, one agent each, and what the journal says afterwards.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::client::Client;
use super::repo::{ENV, SETTINGS};
use crate::app::report::counted;
use crate::audit::list::{Kept, Page};
use crate::audit::replay::{Step, render};
use crate::audit::verify::Report;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

/// Where the story is told; in colour only if asked.
pub struct Stage<'a> {
    out: &'a mut dyn Write,
    colour: bool,
    /// Every answer as the clients got it, to be compared with the journal.
    heard: Vec<Value>,
}

impl<'a> Stage<'a> {
    /// Tells it to `out`.
    pub fn new(out: &'a mut dyn Write, colour: bool) -> Self {
        Self {
            out,
            colour,
            heard: Vec::new(),
        }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour {
            format!("{style}{text}{RESET}")
        } else {
            text.to_owned()
        }
    }

    /// A heading.
    pub fn scene(&mut self, title: &str) -> Result<()> {
        let line = self.paint(BOLD, title);
        Ok(writeln!(self.out, "\n{line}")?)
    }

    /// A remark to the reader.
    pub fn say(&mut self, text: &str) -> Result<()> {
        Ok(writeln!(self.out, "  {text}")?)
    }

    /// A command under its label, alone on its line: it is there to be copied.
    pub fn command(&mut self, label: &str, command: &str) -> Result<()> {
        let label = self.paint(CYAN, label);
        Ok(writeln!(self.out, "\n  {label}:\n{command}")?)
    }

    /// The session as the journal tells it: a line for each call, one of them in full, and whether
    /// what was kept is what the clients above were given.
    pub fn replayed(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            self.replayed_line(step)?;
        }
        let answered = |step: &&Step| step.outcome.pointer("/outcome/status") == Some(&json!("ok"));
        if let Some(first) = steps.iter().find(answered) {
            self.say("")?;
            self.say("the first of them, replayed:")?;
            let mut text = Vec::new();
            let page = Page {
                items: vec![first.clone()],
                next: None,
            };
            render(&page, self.colour, &mut text)?;
            for line in String::from_utf8_lossy(&text).trim_end().lines() {
                writeln!(self.out, "    {line}")?;
            }
        }
        let same = self.compared(steps)?;
        let line = format!("all {same} answers above are kept as the client got them, byte for byte");
        let line = self.paint(GREEN, &line);
        self.say("")?;
        self.say(&line)
    }

    /// How many answers there were. Fails unless each is kept as it was received.
    fn compared(&self, steps: &[Step]) -> Result<usize> {
        for answer in &self.heard {
            let structured = answer.get("structuredContent");
            let call = structured.and_then(|envelope| envelope.get("call_id"));
            let kept = steps
                .iter()
                .find(|step| call.is_some() && step.outcome.get("call_id") == call)
                .and_then(|step| step.kept.as_ref());
            let same = matches!(kept, Some(Kept::Held { offered })
                if Some(&offered.structured) == structured
                && answer.pointer("/content/0/text").and_then(Value::as_str) == Some(offered.text.as_str()));
            anyhow::ensure!(same, "the journal does not hold what the client got: {answer}");
        }
        anyhow::ensure!(!self.heard.is_empty(), "nothing was answered");
        Ok(self.heard.len())
    }

    fn replayed_line(&mut self, step: &Step) -> Result<()> {
        let said = |pointer: &str| {
            step.outcome
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (refused, status) = match said("/outcome/code") {
            "" => (false, said("/outcome/status")),
            code => (true, code),
        };
        let offered = match (said("/repeats"), &step.kept) {
            ("", Some(Kept::Held { offered })) => counted(offered.text.chars().count() as u64, "character"),
            ("", _) => "nothing offered".to_owned(),
            (earlier, _) => format!("the answer of {earlier} again"),
        };
        let who = self.paint(CYAN, &format!("{:<14}", said("/principal/id")));
        let status = self.paint(if refused { YELLOW } else { GREEN }, &format!("{status:<12}"));
        let line = format!(
            "{who} {:<9} {:<4} {status} {offered}",
            said("/tool"),
            said("/resource")
        );
        self.say(&line)
    }

    /// What verification says.
    pub fn verified(&mut self, report: &Report) -> Result<()> {
        let records = counted(report.records, "record");
        let checkpoints = counted(report.checkpoints, "signed checkpoint");
        let line = match report.problems.first() {
            None => self.paint(
                GREEN,
                &format!("verified: {records}, {checkpoints}, nothing changed, added or taken out"),
            ),
            Some(problem) => self.paint(RED, &format!("NOT verified: {}", problem.what)),
        };
        self.say(&line)?;
        anyhow::ensure!(report.intact, "the journal does not verify");
        Ok(())
    }

    pub(super) fn asked(&mut self, who: &str, what: &str) -> Result<()> {
        let who = self.paint(CYAN, who);
        writeln!(
            self.out,
            "\n  {who} calls {}",
            what.lines().next().unwrap_or_default()
        )?;
        for line in what.lines().skip(1) {
            writeln!(self.out, "    {line}")?;
        }
        Ok(())
    }

    /// A tool that is not in the caller's catalogue: a protocol error, as for one that nobody has.
    fn unknown(&mut self, error: &anyhow::Error) -> Result<()> {
        let line = self.paint(YELLOW, &format!("{error}"));
        let why = self.paint(DIM, "(a protocol error: the words for a tool that nobody has)");
        Ok(writeln!(self.out, "    {line}  {why}")?)
    }

    /// Somebody else's turn.
    pub(super) fn turns(&mut self, what: &str) -> Result<()> {
        let what = self.paint(CYAN, what);
        Ok(writeln!(self.out, "\n  {what}")?)
    }

    /// Something that must be so, and is.
    pub(super) fn good(&mut self, what: &str) -> Result<()> {
        let what = self.paint(GREEN, what);
        self.say(&format!("  {what}"))
    }

    /// A no to a person.
    pub(super) fn no(&mut self, what: &str) -> Result<()> {
        let what = self.paint(YELLOW, what);
        self.say(&format!("  {what}"))
    }

    /// An answer, to be found in the journal again.
    pub(super) fn answered(&mut self, result: &Value) -> Result<()> {
        self.heard.push(result.clone());
        self.shown(result)
    }

    /// An answer.
    pub(super) fn shown(&mut self, result: &Value) -> Result<()> {
        let envelope = result.get("structuredContent").unwrap_or(&Value::Null);
        let refused = envelope.get("status").and_then(Value::as_str) == Some("refused");
        let text = result
            .pointer("/content/0/text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let style = if refused { YELLOW } else { GREEN };
        for line in text.lines().take(16) {
            let line = self.paint(style, line);
            writeln!(self.out, "    {line}")?;
        }
        let rest = text.lines().count().saturating_sub(16);
        if rest > 0 {
            let line = self.paint(DIM, &format!("… {rest} more lines"));
            writeln!(self.out, "    {line}")?;
        }
        Ok(())
    }
}

/// Plays the session. Fails when something that must be hidden can be seen, so that a demo that
/// finishes has shown what it says.
///
/// # Errors
/// When the server does not answer as it should, or `planted` (the key) shows anywhere.
pub async fn session(
    stage: &mut Stage<'_>,
    analyst: &Client,
    developer: &Client,
    planted: &str,
) -> Result<()> {
    catalogues(stage, analyst, developer).await?;
    database(stage, analyst).await?;
    repository(stage, developer, planted).await
}

async fn catalogues(stage: &mut Stage<'_>, analyst: &Client, developer: &Client) -> Result<()> {
    stage.scene("1. Who you are decides what exists")?;
    for (who, client) in [("analyst", analyst), ("developer", developer)] {
        let tools = client.tools().await?;
        let names: Vec<&str> = tools
            .iter()
            .filter_map(|tool| tool.get("name")?.as_str())
            .collect();
        for (number, some) in names.chunks(4).enumerate() {
            let who = if number == 0 {
                format!("{who:<9} sees ")
            } else {
                " ".repeat(15)
            };
            let who = stage.paint(CYAN, &who);
            stage.say(&format!("{who}{}", some.join("  ")))?;
        }
    }
    Ok(())
}

async fn database(stage: &mut Stage<'_>, analyst: &Client) -> Result<()> {
    stage.scene("2. Free SQL, masked at the source")?;
    stage.say("The statement tries four ways round the mask:")?;
    stage.say("an alias, a function, a filter, a view.")?;
    let statement = "SELECT c.id, c.name, c.email AS who, substr(p.card_number, 1, 6) AS bin,\n\
                     \x20      v.contact, c.city, p.amount_cents\n\
                     FROM customers c JOIN orders o ON o.customer_id = c.id\n\
                     JOIN payments p ON p.order_id = o.id JOIN customer_contacts v ON v.id = c.id\n\
                     WHERE c.email LIKE '%' OR hex(p.card_number) > '34'\n\
                     ORDER BY p.amount_cents DESC LIMIT 5";
    stage.asked("analyst", &format!("sql_query\n{statement}"))?;
    let result = analyst
        .call("sql_query", json!({ "resource": "shop", "statement": statement }))
        .await?;
    stage.answered(&result)?;
    anyhow::ensure!(
        !result.to_string().contains("@example."),
        "an e-mail address got through"
    );

    stage.asked("analyst", "sql_query\nDELETE FROM customers WHERE country = 'PT'")?;
    let statement = "DELETE FROM customers WHERE country = 'PT'";
    let result = analyst
        .call("sql_query", json!({ "resource": "shop", "statement": statement }))
        .await?;
    stage.answered(&result)?;
    anyhow::ensure!(
        result.get("isError") == Some(&Value::Bool(true)),
        "a DELETE was not refused"
    );

    stage.asked("analyst", "file_read  (a developer's tool)")?;
    match analyst
        .call("file_read", json!({ "resource": "code", "path": SETTINGS }))
        .await
    {
        Ok(_) => anyhow::bail!("a tool outside the catalogue answered"),
        Err(error) => stage.unknown(&error),
    }
}

async fn repository(stage: &mut Stage<'_>, developer: &Client, planted: &str) -> Result<()> {
    stage.scene("3. Files: what is secret is masked, what is hidden does not exist")?;
    for (tool, path) in [
        ("file_list", "deploy"),
        ("file_read", SETTINGS),
        ("file_read", ENV),
    ] {
        stage.asked("developer", &format!("{tool} {path}"))?;
        let result = developer
            .call(tool, json!({ "resource": "code", "path": path }))
            .await?;
        stage.answered(&result)?;
        anyhow::ensure!(
            !result.to_string().contains(planted),
            "the planted key got through"
        );
        anyhow::ensure!(
            path == ENV || !result.to_string().contains(".env"),
            "a hidden file shows"
        );
    }
    stage.asked("developer", "sql_query  (an analyst's tool)")?;
    match developer
        .call(
            "sql_query",
            json!({ "resource": "shop", "statement": "SELECT 1" }),
        )
        .await
    {
        Ok(_) => anyhow::bail!("a tool outside the catalogue answered"),
        Err(error) => stage.unknown(&error),
    }
}
