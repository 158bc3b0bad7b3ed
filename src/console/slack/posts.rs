//! What becomes of requests, as messages: one per request and channel, updated in place, with what happened in its
//! thread. What is owed is in the store (`Events`), so a restart forgets nothing; of several processes the one that
//! leased a message writes it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::api::Fault;
use super::words::{head, shown};
use super::{Slack, card};
use crate::approval::Event;
use crate::approval::review::{Posting, State};
use crate::call::ApprovalId;
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::approvals::Delivery;
use crate::store::slack::CardRow;

/// How often there is a look for something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Notices of one look at one channel.
const AT_ONCE: u32 = 20;
/// How long one process has a message to itself, in milliseconds: longer than all its requests may take.
const LEASE: u64 = 40_000;
/// How long one process has a notice to itself: as long.
const CLAIM: Duration = Duration::from_millis(LEASE);
/// Attempts after which what Slack refuses is given up. What it was too busy for, or away, never is.
const ATTEMPTS: u32 = 8;
/// The first wait after a failure, and the longest, in milliseconds.
const FIRST_WAIT: u64 = 2_000;
const LONGEST_WAIT: u64 = 120_000;
/// What Slack says of a message that has more in it than it takes: less of it is tried at once.
const TOO_LONG: &[&str] = &[
    "msg_blocks_too_long",
    "msg_too_long",
    "invalid_blocks",
    "invalid_blocks_format",
];
/// What every channel hears of.
const LOUD: &str = "break_glass";

/// Tells everything there is and will be, until `stop` fires.
pub(super) async fn run(slack: &Slack, stop: &CancellationToken) {
    let mut known = false;
    // Until when a channel is left alone, because Slack was away or says it is too much.
    let mut quiet: BTreeMap<&str, u64> = BTreeMap::new();
    loop {
        let look = async {
            if !known {
                open(slack).await?;
                known = catch_up(slack).await?;
            }
            for channel in slack.channels() {
                let until = quiet.get(channel).copied().unwrap_or(0);
                if slack.world.now().0 < until {
                    continue;
                }
                quiet.insert(channel, tell(slack, channel).await?);
            }
            escalate(slack).await
        };
        tokio::select! {
            () = stop.cancelled() => return,
            told = look => if let Err(error) = told {
                tracing::error!("Slack: {error}");
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = slack.nudge.notified() => {}
        }
    }
}

/// What a channel is called in the store.
fn name(channel: &str) -> String {
    format!("slack {channel}")
}

async fn open(slack: &Slack) -> Result<(), StoreError> {
    let Some(events) = slack.parts.approvals.events() else {
        return Ok(());
    };
    for channel in slack.channels() {
        events.open(&name(channel)).await?;
    }
    Ok(())
}

/// Shows what waited before its channel was known: a new channel hears only of what comes. Gives whether all of it is
/// there.
async fn catch_up(slack: &Slack) -> Result<bool, StoreError> {
    let Some(events) = slack.parts.approvals.events() else {
        return Ok(true);
    };
    let mut whole = true;
    for id in events.waiting_since(slack.world.now()).await? {
        let Some(posting) = events.posting(&id).await? else {
            whole = false; // not on record yet
            continue;
        };
        for channel in slack.places(&posting) {
            whole &= put(slack, channel, &posting).await?;
        }
    }
    Ok(whole)
}

/// Shows a request that waits in a channel that does not show it. Gives whether it is there.
async fn put(slack: &Slack, channel: &str, posting: &Posting) -> Result<bool, StoreError> {
    let mut tx = slack.parts.rows.read().await?;
    let has = tx.has_card(&posting.id.0, channel).await?;
    tx.commit().await?;
    if has || posting.state != State::Pending {
        return Ok(true);
    }
    let Some(mut row) = lease(slack, &posting.id, channel).await? else {
        return Ok(false);
    };
    // Where it fails, the lease is the wait before the next attempt.
    match show(slack, &mut row, posting).await {
        Ok(()) => keep(slack, &row).await.map(|()| true),
        Err(fault) => {
            tracing::warn!(channel, "a request is not shown yet: {fault}");
            Ok(false)
        }
    }
}

/// One look at one channel. Ends early when Slack does not take more, and gives until when to leave it alone.
async fn tell(slack: &Slack, channel: &str) -> Result<u64, StoreError> {
    let Some(events) = slack.parts.approvals.events() else {
        return Ok(0);
    };
    let name = name(channel);
    for (event, before) in events.undelivered(&name, AT_ONCE).await? {
        let Some(posting) = events.posting(&event.approval).await? else {
            continue; // not on record yet; or gone, and its events with it
        };
        if !events.claim(&name, event.seq, CLAIM).await? {
            continue; // another process tells of it: twice is one alarm too many
        }
        let fared = match deliver(slack, channel, &event, &posting).await? {
            Some(fared) => fared,
            None => {
                events.unclaim(&name, event.seq).await?;
                continue; // another process is at its message
            }
        };
        let how = after(slack, fared.as_ref().err(), before + 1);
        if let Delivery::Dead { error } = &how {
            tracing::warn!(channel, seq = event.seq, error, "a message is given up");
        }
        events.mark(&name, event.seq, &how).await?;
        if let (Err(Fault::Later { .. }), Delivery::Failed { next_at, .. }) = (&fared, &how) {
            return Ok(*next_at);
        }
    }
    Ok(0)
}

/// What becomes of a notice.
fn after(slack: &Slack, fault: Option<&Fault>, attempts: u32) -> Delivery {
    let (error, wait) = match fault {
        None => return Delivery::Delivered,
        Some(Fault::No(_)) if attempts >= ATTEMPTS => {
            return Delivery::Dead {
                error: fault.map(Fault::to_string).unwrap_or_default(),
            };
        }
        Some(fault @ Fault::Later { wait, .. }) => (fault.to_string(), *wait),
        Some(fault) => (fault.to_string(), None),
    };
    let doubled = FIRST_WAIT.saturating_mul(1_u64 << attempts.saturating_sub(1).min(16));
    let whole = doubled.min(LONGEST_WAIT);
    let own = whole / 2 + whole / 2 * u64::from(slack.dice()) / u64::from(u16::MAX);
    let asked = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    Delivery::Failed {
        next_at: slack.world.now().0.saturating_add(own.max(asked)),
        error,
    }
}

/// Shows a request as it is now, and tells in its thread what happened. `None` when somebody else is at it.
async fn deliver(
    slack: &Slack,
    channel: &str,
    event: &Event,
    posting: &Posting,
) -> Result<Option<Result<(), Fault>>, StoreError> {
    let is_open = matches!(posting.state, State::Pending | State::Granted);
    let mut tx = slack.parts.rows.read().await?;
    let has = tx.has_card(&event.approval.0, channel).await?;
    tx.commit().await?;
    // Elsewhere, or over before anybody could be told: nothing to show.
    let belongs = is_open && slack.places(posting).contains(channel);
    if !has && !belongs {
        let told = if event.event == LOUD {
            alarm(slack, channel, event, posting).await
        } else {
            Ok(())
        };
        return Ok(Some(told));
    }
    let Some(mut row) = lease(slack, &posting.id, channel).await? else {
        return Ok(None);
    };
    let shown = show(slack, &mut row, posting).await;
    keep(slack, &row).await?;
    if shown.is_ok()
        && let (Some(ts), Some(line)) = (&row.ts, line(slack, event))
        && let Err(fault) = thread(slack, channel, ts, (&line, event.event == LOUD)).await
    {
        return Ok(Some(Err(fault)));
    }
    if shown.is_ok() && slack.places(posting).first() == Some(&channel) {
        tell_requester(slack, event, posting).await?;
    }
    Ok(Some(shown))
}

async fn lease(slack: &Slack, id: &ApprovalId, channel: &str) -> Result<Option<CardRow>, StoreError> {
    let now = slack.world.now().0;
    let mut tx = slack.parts.rows.write().await?;
    let row = tx
        .lease_card((&id.0, channel), (now, now.saturating_add(LEASE)))
        .await?;
    tx.commit().await?;
    Ok(row)
}

async fn keep(slack: &Slack, row: &CardRow) -> Result<(), StoreError> {
    let mut tx = slack.parts.rows.write().await?;
    tx.keep_card(row).await?;
    tx.commit().await
}

/// The message itself: made, or made to show what is now.
async fn show(slack: &Slack, row: &mut CardRow, posting: &Posting) -> Result<(), Fault> {
    if row.ts.is_some() && row.shown >= posting.latest {
        return Ok(());
    }
    let mask = |words: &str| (slack.parts.mask)(words);
    let mut message = card::message(posting, &mask);
    let mut said = send(slack, row, &message).await;
    if let Err(Fault::No(word)) = &said
        && TOO_LONG.contains(&word.as_str())
    {
        tracing::warn!(
            channel = row.channel,
            "Slack says {word}: less of a request is shown"
        );
        message = card::narrow(posting, &mask);
        said = send(slack, row, &message).await;
    }
    if said == Err(Fault::No("message_not_found".to_owned())) {
        row.ts = None; // somebody deleted it: the next attempt makes another
        return Err(Fault::Later {
            why: "the message is gone".to_owned(),
            wait: None,
        });
    }
    let said = said?;
    if row.ts.is_none() {
        let ts = said.get("ts").and_then(Value::as_str).filter(|ts| is_ts(ts));
        let ts = ts.ok_or_else(|| Fault::Later {
            why: "an answer that is none".to_owned(),
            wait: None,
        })?;
        row.ts = Some(ts.to_owned());
    }
    row.decides = message.decides;
    row.shown = posting.latest;
    Ok(())
}

/// Makes or changes the message.
async fn send(slack: &Slack, row: &CardRow, message: &card::Message) -> Result<Value, Fault> {
    let mut body = json!({
        "channel": row.channel, "blocks": message.blocks, "text": message.text,
        "parse": "none", "link_names": false,
    });
    let (method, more) = match &row.ts {
        Some(ts) => ("chat.update", json!({"ts": ts})),
        None => (
            "chat.postMessage",
            json!({"unfurl_links": false, "unfurl_media": false}),
        ),
    };
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    slack.api.call(method, &body).await
}

/// What Slack calls a message: digits and a point.
pub(super) fn is_ts(text: &str) -> bool {
    (3..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// What is said in the thread of what happened.
fn line(slack: &Slack, event: &Event) -> Option<String> {
    let by = event.by.as_deref().unwrap_or("nobody");
    let by = shown(&(slack.parts.mask)(by), false);
    let words = event
        .words
        .as_deref()
        .map(|words| shown(&(slack.parts.mask)(words), false));
    let said = words.clone().unwrap_or_default();
    let line = match event.event.as_str() {
        "approved" if words.is_some() => format!("Approved by {by}, {said}"),
        "approved" => format!("Approved by {by}"),
        "granted" if words.is_some() => format!("It can run now, {said}."),
        "granted" => "Enough people approved: it runs when the program that asked takes it up.".to_owned(),
        "refused" => format!("Refused by {by}: “{said}”"),
        "cancelled" if event.by.is_none() => format!("Withdrawn: {said}"),
        "cancelled" => format!("Withdrawn by {by}"),
        LOUD => format!(
            "{by} broke the glass, and goes on without the people who are asked: “{said}”. Until it has run, any of              them can refuse it; afterwards one of them has to review it."
        ),
        "reviewed" => format!("Reviewed by {by}: “{said}”"),
        "escalated" => format!("Nobody decided in time: so may {said}."),
        "grant_made" | "grant_revoked" | "grant_ended" => format!("For a while: {said}"),
        "expired" => "Expired: it is refused.".to_owned(),
        "answered" => "Carried out.".to_owned(),
        "failed" => "It ran and failed.".to_owned(),
        "unknown" => "Nobody knows what became of it: look at the target.".to_owned(),
        _ => return None,
    };
    Some(head(&line, 1_000))
}

/// In the thread; what is `loud`, in the channel as well.
async fn thread(slack: &Slack, channel: &str, ts: &str, (line, loud): (&str, bool)) -> Result<(), Fault> {
    let mut body = json!({
        "channel": channel, "thread_ts": ts, "blocks": card::note(line, None), "text": card::fallback(line),
        "parse": "none", "link_names": false, "unfurl_links": false, "unfurl_media": false,
    });
    if let Some(body) = body.as_object_mut().filter(|_| loud) {
        body.insert("reply_broadcast".to_owned(), json!(true));
    }
    slack.api.call("chat.postMessage", &body).await.map(|_| ())
}

/// Says in a channel that does not show the request what everybody has to hear: nothing of what would run.
async fn alarm(slack: &Slack, channel: &str, event: &Event, posting: &Posting) -> Result<(), Fault> {
    let Some(line) = line(slack, event) else {
        return Ok(());
    };
    let what = posting.resource.as_deref().map_or_else(
        || posting.tool.clone(),
        |resource| format!("{} on {resource}", posting.tool),
    );
    let line = head(&format!("{}: {line}", shown(&what, false)), 1_200);
    let page = posting.page.as_deref().map(|page| ("Open its page", page));
    let body = json!({
        "channel": channel, "blocks": card::note(&line, page), "text": card::fallback(&line),
        "parse": "none", "link_names": false, "unfurl_links": false, "unfurl_media": false,
    });
    slack.api.call("chat.postMessage", &body).await.map(|_| ())
}

/// The person who asked, where they have linked an account: once, by whoever writes the first message. Not tried
/// again: their agent is told as well.
async fn tell_requester(slack: &Slack, event: &Event, posting: &Posting) -> Result<(), StoreError> {
    if !matches!(
        event.event.as_str(),
        "granted" | "refused" | "expired" | "cancelled" | "answered" | "failed" | "unknown"
    ) {
        return Ok(());
    }
    let asker = &posting.requester;
    let mut tx = slack.parts.rows.read().await?;
    let links = tx.slack_links(&asker.issuer, &asker.subject).await?;
    tx.commit().await?;
    let Some(line) = line(slack, event) else {
        return Ok(());
    };
    let line = format!("Your request for {}: {line}", shown(&posting.tool, false));
    let page = posting.page.as_deref().map(|page| ("Open its page", page));
    for link in links {
        let body = json!({
            "channel": link.account, "blocks": card::note(&line, page), "text": card::fallback(&line),
            "parse": "none", "link_names": false, "unfurl_links": false, "unfurl_media": false,
        });
        if let Err(fault) = slack.api.call("chat.postMessage", &body).await {
            tracing::info!("the person who asked was not told: {fault}");
        }
    }
    Ok(())
}

/// Shows what nobody has decided for a while in the channel for that.
async fn escalate(slack: &Slack) -> Result<(), StoreError> {
    let (Some((after, channel)), Some(events)) = (&slack.spec.escalation, slack.parts.approvals.events())
    else {
        return Ok(());
    };
    let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    let since = Timestamp(slack.world.now().0.saturating_sub(after));
    for id in events.waiting_since(since).await? {
        if let Some(posting) = events.posting(&id).await?
            && !put(slack, channel, &posting).await?
        {
            break;
        }
    }
    Ok(())
}
