//! What is said beside the messages of requests: in their threads, in every channel when the glass was broken, and to
//! whoever asked, by themselves.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::api::Fault;
use super::posts::{CLAIM, after, more, next, unread};
use super::words::{head, inert, shown};
use super::{Slack, card};
use crate::approval::review::Posting;
use crate::approval::{Event, Events};
use crate::store::StoreError;
use crate::store::approvals::Delivery;

/// What every channel hears of.
pub(super) const LOUD: &str = "break_glass";
/// What whoever asked is told of.
const TOLD: &[&str] = &[
    "granted",
    "refused",
    "expired",
    "cancelled",
    "answered",
    "failed",
    "unknown",
];
/// What they are as a channel, in the store.
const REQUESTERS: &str = "slack requesters";
/// Transitions of one look.
const AT_ONCE: u32 = 20;

/// What is said in the thread of what happened.
pub(super) fn line(slack: &Slack, event: &Event) -> Option<String> {
    let by = event.by.as_deref().unwrap_or("nobody");
    let by = shown(&(slack.parts.mask)(by), false);
    let words = event
        .words
        .as_deref()
        .map(|words| inert(&shown(&(slack.parts.mask)(words), false)));
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
            "{by} broke the glass, and goes on without the people who are asked: “{said}”. Until it has run, any of \
             them can refuse it; afterwards one of them has to review it."
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
pub(super) async fn thread(
    slack: &Slack,
    channel: &str,
    ts: &str,
    (line, loud): (&str, bool),
) -> Result<(), Fault> {
    let mut body = card::said(channel, line, &[]);
    if let Some(body) = body.as_object_mut() {
        body.insert("thread_ts".to_owned(), json!(ts));
        if loud {
            body.insert("reply_broadcast".to_owned(), json!(true));
        }
    }
    slack.api.post(channel, &body).await.map(|_| ())
}

/// Says in a channel that does not show the request what everybody has to hear: nothing of what would run.
pub(super) async fn alarm(
    slack: &Slack,
    channel: &str,
    event: &Event,
    posting: &Posting,
) -> Result<(), Fault> {
    let Some(line) = line(slack, event) else {
        return Ok(());
    };
    let what = posting.resource.as_deref().map_or_else(
        || posting.tool.clone(),
        |resource| format!("{} on {resource}", posting.tool),
    );
    let line = head(&format!("{}: {line}", shown(&what, false)), 1_200);
    let page = page(posting);
    let body = card::said(channel, &line, page.as_slice());
    slack.api.post(channel, &body).await.map(|_| ())
}

fn page(posting: &Posting) -> Option<serde_json::Value> {
    let page = posting.page.as_deref()?;
    Some(card::link_button("Open its page", page))
}

/// Tells whoever asked what became of it, where they have linked an account: a channel of its own, so that what Slack did
/// not take is tried again like everything else, and keeps nothing else back.
pub(super) async fn tell_requesters(slack: &Slack, stop: &CancellationToken) {
    let Some(events) = slack.parts.approvals.events() else {
        return;
    };
    let mut is_open = false;
    loop {
        let more = tokio::select! {
            () = stop.cancelled() => return,
            looked = look(slack, events, &mut is_open) => more(looked),
        };
        if !more && !next(slack, stop).await {
            return;
        }
    }
}

async fn look(slack: &Slack, events: Events<'_>, is_open: &mut bool) -> Result<bool, StoreError> {
    if !*is_open {
        events.open(REQUESTERS).await?;
        *is_open = true;
    }
    let mut done = 0;
    for (event, before) in events.undelivered(REQUESTERS, AT_ONCE).await? {
        let posting = match events.posting(&event.approval).await {
            Ok(Some(posting)) => Some(posting),
            Ok(None) => continue,                      // not on record yet
            Err(error) if error.is_of_a_row() => None, // every channel says so
            Err(error) => return Err(error),
        };
        if !events.claim(REQUESTERS, event.seq, CLAIM).await? {
            continue;
        }
        let told = match &posting {
            Some(posting) => tell_requester(slack, &event, posting).await?,
            None => Some(Err(unread())),
        };
        let how = match told {
            None => Delivery::Passed,
            Some(fared) => after(slack, fared.as_ref().err(), before + 1, false),
        };
        if let Delivery::Failed { error, .. } | Delivery::Dead { error } = &how {
            tracing::info!("the person who asked was not told: {error}");
        }
        events.mark(REQUESTERS, event.seq, &how).await?;
        done += 1;
    }
    Ok(done == AT_ONCE)
}

/// The person who asked, on each account that they linked. `None` where there is nothing to tell, or nobody. Who was told on
/// one account is told: that another did not take it is no reason to tell them again.
async fn tell_requester(
    slack: &Slack,
    event: &Event,
    posting: &Posting,
) -> Result<Option<Result<(), Fault>>, StoreError> {
    let line = line(slack, event).filter(|_| TOLD.contains(&event.event.as_str()));
    let Some(line) = line else {
        return Ok(None);
    };
    let asker = &posting.requester;
    let mut tx = slack.parts.rows.read().await?;
    let links = tx.slack_links(&asker.issuer, &asker.subject).await?;
    tx.commit().await?;
    let line = format!("Your request for {}: {line}", shown(&posting.tool, false));
    let page = page(posting);
    let mut fared: Option<Result<(), Fault>> = None;
    for link in links {
        let body = card::said(&link.account, &line, page.as_slice());
        let said = slack.api.post(&link.account, &body).await.map(|_| ());
        if fared != Some(Ok(())) {
            fared = Some(said);
        }
    }
    Ok(fared)
}
