//! Approvals for a while, stand-ins, broken glass and statistics, from a terminal.

use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Server, client};
use crate::cli::out::{Out, Tone};
use crate::clock::moment::Moment;
use crate::clock::{System, World};

/// What lasts longer than one decision.
#[derive(Debug, Subcommand)]
pub(crate) enum Lasting {
    /// List what is approved for a while
    Grants(Shown),
    /// Revoke an approval for a while, at once
    Revoke(Named),
    /// List who stands in for whom
    Delegations(Shown),
    /// Name somebody to stand in for you in a group of yours
    Delegate(Delegate),
    /// End a delegation, at once
    EndDelegation(Named),
    /// Go on with your own request without the people who are asked (emergencies; everybody is told)
    BreakGlass(Break),
    /// List what went on without approval, and what nobody has reviewed of it
    Broken(Shown),
    /// Close the review of one of them
    Review(Review),
    /// Which rule asks most, who decides how fast, and what is always approved
    Stats(Shown),
}

#[derive(Debug, Args)]
pub(crate) struct Shown {
    #[command(flatten)]
    server: Server,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    server: Server,
    /// Which one
    id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Delegate {
    #[command(flatten)]
    server: Server,
    /// Who stands in: <issuer>#<subject>
    to: String,
    /// In which group of yours
    #[arg(long)]
    group: String,
    /// From when on: as --until (without it: now)
    #[arg(long, value_name = "WHEN", value_parser = Moment::from_str)]
    from: Option<Moment>,
    /// Until when: so long from now (8h, 3d), a moment (2026-12-01T09:00Z), or seconds since 1970
    #[arg(long, value_name = "WHEN", value_parser = Moment::from_str)]
    until: Moment,
}

#[derive(Debug, Args)]
pub(crate) struct Break {
    #[command(flatten)]
    server: Server,
    /// The request
    id: String,
    /// The action you have seen, by its whole hash
    #[arg(long, value_name = "SHA256")]
    action: String,
    /// Why it cannot wait; everybody reads it
    #[arg(long, value_name = "WORDS")]
    reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct Review {
    #[command(flatten)]
    server: Server,
    /// The request
    id: String,
    /// What you found
    #[arg(long, value_name = "WORDS")]
    words: String,
}

/// What a person may wish beside an approval.
#[derive(Debug, Args)]
pub(super) struct Wish {
    /// Approve calls like it for so many minutes, too (needs --uses)
    #[arg(long, requires = "uses", value_name = "N")]
    minutes: Option<u32>,
    /// So many of them
    #[arg(long, requires = "minutes", value_name = "N")]
    uses: Option<u32>,
    /// Each touching at most so many rows
    #[arg(long, requires = "minutes", value_name = "N")]
    rows: Option<u64>,
    /// Only in the session that asked
    #[arg(long, requires = "minutes")]
    session: bool,
    /// What may have another value, by the name the request shows; may be repeated
    #[arg(long, requires = "minutes", value_name = "NAME")]
    free: Vec<String>,
}

impl Wish {
    /// As the API takes it.
    pub(super) fn json(&self) -> Option<Value> {
        let (minutes, uses) = (self.minutes?, self.uses?);
        let mut wish = json!({"minutes": minutes, "uses": uses, "session": self.session, "free": self.free});
        if let (Some(rows), Some(members)) = (self.rows, wish.as_object_mut()) {
            members.insert("rows".to_owned(), json!(rows));
        }
        Some(wish)
    }
}

impl Lasting {
    pub(super) async fn run(self, config: &Path, out: &mut Out, notes: &mut Out) -> Result<ExitCode> {
        match self {
            Self::Grants(shown) => shown.run(config, out, notes, "/api/grants", grants).await?,
            Self::Delegations(shown) => {
                shown
                    .run(config, out, notes, "/api/delegations", delegations)
                    .await?
            }
            Self::Broken(shown) => shown.run(config, out, notes, "/api/break-glass", broken).await?,
            Self::Stats(shown) => shown.run(config, out, notes, "/api/stats", stats).await?,
            Self::Revoke(named) => named.end(config, out, notes, ("grants", "revoke")).await?,
            Self::EndDelegation(named) => named.end(config, out, notes, ("delegations", "end")).await?,
            Self::Delegate(wish) => {
                let now = System::new().now();
                let (from, until) = (wish.from.map(|from| from.seconds(now)), wish.until.seconds(now));
                let body = json!({"to": wish.to, "group": wish.group, "from": from, "until": until});
                let client = wish.server.client(config, notes).await?;
                let card = client.post("/api/delegations", &body).await?;
                delegation(out, &card)?;
            }
            Self::BreakGlass(told) => {
                let path = format!("{}/break-glass", client::path(&told.id)?);
                let body = json!({"action_sha256": told.action, "reason": told.reason});
                let card = told
                    .server
                    .client(config, notes)
                    .await?
                    .post(&path, &body)
                    .await?;
                super::print::state(out, &card)?;
            }
            Self::Review(told) => {
                let path = format!("/api/break-glass/{}/review", plain(&told.id)?);
                let body = json!({"words": told.words});
                told.server
                    .client(config, notes)
                    .await?
                    .post(&path, &body)
                    .await?;
                out.line("The review is closed.")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    async fn end(
        self,
        config: &Path,
        out: &mut Out,
        notes: &mut Out,
        (what, verb): (&str, &str),
    ) -> Result<()> {
        let path = format!("/api/{what}/{}/{verb}", plain(&self.id)?);
        let client = self.server.client(config, notes).await?;
        client.post(&path, &json!({})).await?;
        out.line("It has ended.")?;
        Ok(())
    }
}

impl Shown {
    async fn run(
        self,
        config: &Path,
        out: &mut Out,
        notes: &mut Out,
        path: &str,
        print: fn(&mut Out, &Value) -> Result<()>,
    ) -> Result<()> {
        let answer = self.server.client(config, notes).await?.get(path).await?;
        if self.json {
            out.json(&answer)?;
            return Ok(());
        }
        print(out, &answer)
    }
}

/// An id is letters and digits: nothing else gets into an address.
pub(super) fn plain(id: &str) -> Result<&str> {
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        bail!("that is no id");
    }
    Ok(id)
}

fn all<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let found = answer.get(name).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn grants(out: &mut Out, answer: &Value) -> Result<()> {
    let cards = all(answer, "grants");
    if cards.is_empty() {
        out.line("Nothing that you may see is approved for a while.")?;
    }
    for card in cards {
        let stands = text(card, "state") == "stands";
        out.item(
            if stands { Tone::Careful } else { Tone::Plain },
            &text(card, "id"),
            &format!(
                "{} · {} on {} for {} through {} · {} of {} uses left · until {}{} · {}",
                text(card, "state"),
                text(card, "tool"),
                text(card, "resource"),
                text(card, "requester"),
                text(card, "agent"),
                text(card, "uses_left"),
                text(card, "uses"),
                text(card, "ends_at"),
                match card.get("rows").and_then(Value::as_u64) {
                    Some(rows) => format!(" · at most {rows} rows each"),
                    None => String::new(),
                },
                freed(card),
            ),
        )?;
    }
    Ok(())
}

fn delegations(out: &mut Out, answer: &Value) -> Result<()> {
    let cards = all(answer, "delegations");
    if cards.is_empty() {
        out.line("Nobody stands in for anybody in a group of yours.")?;
    }
    cards.iter().try_for_each(|card| delegation(out, card))
}

fn delegation(out: &mut Out, card: &Value) -> Result<()> {
    let words = format!(
        "{} · {} for {} in {} · from {} until {}",
        text(card, "state"),
        text(card, "to"),
        text(card, "by"),
        text(card, "group"),
        text(card, "from"),
        text(card, "until"),
    );
    out.item(Tone::Plain, &text(card, "id"), &words)?;
    Ok(())
}

fn broken(out: &mut Out, answer: &Value) -> Result<()> {
    let cards = all(answer, "break_glass");
    if cards.is_empty() {
        out.line("Nothing went on without approval.")?;
    }
    for card in cards {
        let open = card.get("reviewed_by").is_none_or(Value::is_null);
        let review = if open {
            "nobody has reviewed it".to_owned()
        } else {
            format!(
                "reviewed by {}: {}",
                text(card, "reviewed_by"),
                text(card, "review")
            )
        };
        out.item(
            if open { Tone::Careful } else { Tone::Plain },
            &text(card, "approval"),
            &format!(
                "{} · {} on {} by {}: {} · {review}",
                text(card, "at"),
                text(card, "tool"),
                text(card, "resource"),
                text(card, "by"),
                text(card, "reason"),
            ),
        )?;
    }
    Ok(())
}

/// A change of a policy for a person to adopt, and what it would have changed.
fn proposal(out: &mut Out, proposal: &Value) -> Result<()> {
    let nothing = Value::Null;
    let replay = proposal.get("replay").unwrap_or(&nothing);
    let freed = replay.get("not_asked").unwrap_or(&nothing);
    let words = format!(
        "approved {} times by {} people on {} days, never refused; to adopt if you agree:",
        text(proposal, "approved"),
        text(proposal, "reviewers"),
        text(proposal, "days"),
    );
    out.line(&out.paint(Tone::Careful, &words))?;
    for line in text(proposal, "diff").lines() {
        out.line(&format!("    {line}"))?;
    }
    out.line(&format!(
        "  {} calls on record since {} judged again: {} would have gone without asking ({} approved, {} under a grant, \
         {} undecided, {} never put to people; sent by {} people), {} would still be asked about, no other differs.",
        text(replay, "replayed"),
        text(replay, "since"),
        text(freed, "calls"),
        text(freed, "approved"),
        text(freed, "under_grant"),
        text(freed, "undecided"),
        text(freed, "not_requested"),
        text(freed, "people"),
        text(replay, "still_asked"),
    ))?;
    if replay.get("cut") == Some(&Value::Bool(true)) {
        out.line("  Older calls are on record and were not looked at.")?;
    }
    for (why, count) in replay
        .get("not_replayed")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        out.line(&format!("  {count} calls could not be replayed: {why}."))?;
    }
    if let Some(most) = proposal.get("most_rows").and_then(Value::as_u64) {
        out.line(&format!(
            "  The approved ones changed at most {most} rows each; a policy does not bound how many rows a change has."
        ))?;
    }
    for test in all(proposal, "failing_tests") {
        let test = test.as_str().unwrap_or_default();
        out.line(&out.paint(Tone::Careful, &format!("  decision test that would fail: {test}")))?;
    }
    Ok(())
}

/// What a reviewer freed, by name.
fn freed(card: &Value) -> String {
    let names = card.get("free").and_then(Value::as_array);
    let names: Vec<&str> = names.into_iter().flatten().filter_map(Value::as_str).collect();
    match names.is_empty() {
        true => "nothing is free".to_owned(),
        false => format!("free: {}", names.join(", ")),
    }
}

fn stats(out: &mut Out, answer: &Value) -> Result<()> {
    out.heading(&format!("Since {}", text(answer, "since")))?;
    for rule in all(answer, "rules") {
        out.item(
            Tone::Plain,
            &text(rule, "id"),
            &format!(
                "asked {} · approved {} · refused {} · expired {} · waiting {} · under a grant {} · median {} s · \
                 p90 {} s · under 2 s {}",
                text(rule, "asked"),
                text(rule, "approved"),
                text(rule, "refused"),
                text(rule, "expired"),
                text(rule, "pending"),
                text(rule, "under_grant"),
                text(rule, "median_seconds"),
                text(rule, "p90_seconds"),
                text(rule, "hasty"),
            ),
        )?;
        if let Some(why) = rule.get("not_proposed") {
            out.line(&format!(
                "    nothing proposed: {}",
                why.as_str().unwrap_or_default()
            ))?;
        }
        if let Some(proposal) = rule.get("proposal") {
            self::proposal(out, proposal)?;
        }
    }
    for person in all(answer, "people") {
        out.item(
            Tone::Plain,
            &text(person, "person"),
            &format!(
                "decided {} · approved {} · median {} s · p90 {} s · under 2 s {}",
                text(person, "decided"),
                text(person, "approved"),
                text(person, "median_seconds"),
                text(person, "p90_seconds"),
                text(person, "hasty"),
            ),
        )?;
    }
    let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    let words = match count("break_glass") {
        0 => "None of these requests went on without approval.".to_owned(),
        1 => format!(
            "1 request went on without approval; to review: {}.",
            count("break_glass_unreviewed")
        ),
        many => format!(
            "{many} requests went on without approval; to review: {}.",
            count("break_glass_unreviewed")
        ),
    };
    out.line(&words)?;
    Ok(())
}
