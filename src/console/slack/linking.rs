//! Slack's end of a link: the account's own word, after the person's. Who signed in and confirmed on our page is named to
//! the account, alone, and nothing is linked before it says yes there. So a link takes both: somebody who signed in and was
//! told whose account it is, and whoever uses that account and was told who signed in. A link is told in the channel and to
//! its person's other accounts, each of which can end it; and it says when it is about to end by itself.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::acts::{About, Interaction, Not, fit};
use super::api::Fault;
use super::link::{MOST, digest, record};
use super::posts::{more, next};
use super::words::shown;
use super::{Slack, card};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::slack::{LinkRow, OfferRow};

/// How long before its end a link says so, in milliseconds; half its life where that is shorter.
const BEFORE: u64 = 24 * 3_600_000;

fn person(issuer: &str, subject: &str) -> String {
    format!("{}#{}", shown(issuer, false), shown(subject, false))
}

/// What a button says back.
pub(super) fn new_code(slack: &Slack) -> String {
    let mut random = [0; 16];
    slack.world.random(&mut random);
    let mut code = String::new();
    for byte in random {
        let _ = write!(code, "{byte:02x}");
    }
    code
}

/// Asks an account whether it is the person's who just said so on our page.
pub(super) async fn ask(slack: &Slack, row: &OfferRow, code: &str) -> Result<(), Fault> {
    let who = person(&row.issuer, &row.subject);
    let words = format!(
        "Somebody signed in as {who}, and says that this Slack account is theirs.\n\
         Are you {who}? If you say yes, whoever uses this account decides as {who} for {} days. If you are not, somebody \
         tries to decide through you, or you typed a code for somebody: say no, and tell whoever looks after security.\n\
         It counts for ten minutes.",
        slack.spec.link.as_secs() / 86_400
    );
    let buttons = [
        card::answer_button(card::LINK, "Yes, that is me", "primary", &format!("yes {code}")),
        card::answer_button(card::UNLINK, "No", "danger", &format!("no {code}")),
    ];
    let body = card::said(&row.account, &words, &buttons);
    slack.api.post(&row.account, &body).await.map(|_| ())
}

/// Somebody pressed one of these buttons: `links` is whether it was the one that links.
pub(super) async fn pressed(
    slack: &Slack,
    said: &Interaction,
    about: &About,
    links: bool,
) -> Result<(), Not> {
    let words = card::answered(&about.value).unwrap_or_default();
    match (links, words.split_once(' ')) {
        (true, Some(("yes", code))) => linked(slack, said, about, code).await,
        (false, Some(("no", code))) => refused(slack, said, about, code).await,
        (false, Some(("end", account))) => ended(slack, said, about, account).await,
        _ => Err(Not::Silent("it says nothing that a button of ours says")),
    }
}

/// What waits for this account's word, used up.
async fn taken(slack: &Slack, team: &str, account: &str, code: &str) -> Result<OfferRow, Not> {
    let now = slack.world.now().0;
    let mut tx = slack.parts.rows.write().await?;
    let row = tx.take_slack_offer(&digest(code), (team, account), now).await?;
    tx.commit().await?;
    row.ok_or_else(|| {
        let words = "This question is over, or was answered. To link this account, begin again at the page.";
        Not::Told(words.to_owned(), Some(format!("{}slack", slack.spec.control)))
    })
}

async fn linked(slack: &Slack, said: &Interaction, about: &About, code: &str) -> Result<(), Not> {
    let account = fit(slack, said).await?;
    let team = account.team_id.unwrap_or_default();
    let offer = taken(slack, &team, &said.user.id, code).await?;
    let row = LinkRow {
        team,
        account: offer.account,
        name: offer.name,
        issuer: offer.issuer,
        subject: offer.subject,
        groups: offer.groups,
        signed_in_at: offer.signed_in_at,
        linked_at: slack.world.now().0,
    };
    let mut tx = slack.parts.rows.read().await?;
    let mine = tx.slack_links(&row.issuer, &row.subject).await?;
    tx.commit().await?;
    let others: Vec<LinkRow> = mine
        .into_iter()
        .filter(|one| one.account != row.account)
        .collect();
    if others.len() >= MOST {
        let words =
            "Not linked: that person has linked as many accounts as one may. Remove one on the page first.";
        return Err(Not::Told(
            words.to_owned(),
            Some(format!("{}slack", slack.spec.control)),
        ));
    }
    on_record(slack, "linked", &row).await?;
    let mut tx = slack.parts.rows.write().await?;
    tx.link_slack(&row).await?;
    tx.commit().await?;
    let who = person(&row.issuer, &row.subject);
    let words = format!("This account now decides as {who}. The link can be ended at any time.");
    replace(slack, about, &words, Some(&row.account)).await;
    tell(slack, &row, &others).await;
    Ok(())
}

async fn refused(slack: &Slack, said: &Interaction, about: &About, code: &str) -> Result<(), Not> {
    let team = slack
        .team()
        .await
        .map_err(|_| Not::Silent("Slack did not say which workspace it is"))?;
    let offer = taken(slack, team, &said.user.id, code).await?;
    let who = person(&offer.issuer, &offer.subject);
    let row = LinkRow {
        team: offer.team,
        account: offer.account,
        name: offer.name,
        issuer: offer.issuer,
        subject: offer.subject,
        groups: offer.groups,
        signed_in_at: offer.signed_in_at,
        linked_at: 0,
    };
    tracing::warn!("a Slack account said that it is not {who}");
    replace(
        slack,
        about,
        &format!("Not linked: you said that you are not {who}."),
        None,
    )
    .await;
    on_record(slack, "link refused", &row).await
}

/// Ends a link, of this account or of another one of the same person.
async fn ended(slack: &Slack, said: &Interaction, about: &About, account: &str) -> Result<(), Not> {
    let team = slack
        .team()
        .await
        .map_err(|_| Not::Silent("Slack did not say which workspace it is"))?;
    let mut tx = slack.parts.rows.write().await?;
    let row = tx.slack_link(team, account).await?;
    let own = tx.slack_link(team, &said.user.id).await?;
    let same = |row: &LinkRow| {
        own.as_ref()
            .is_some_and(|own| own.issuer == row.issuer && own.subject == row.subject)
    };
    let Some(row) = row.filter(|row| account == said.user.id || same(row)) else {
        tx.commit().await?;
        return Err(Not::Told("There is no such link any more.".to_owned(), None));
    };
    tx.unlink_slack((&row.issuer, &row.subject), (team, account))
        .await?;
    tx.commit().await?;
    let who = person(&row.issuer, &row.subject);
    replace(
        slack,
        about,
        &format!("{} no longer decides as {who}.", row.name),
        None,
    )
    .await;
    on_record(slack, "unlinked", &row).await
}

async fn on_record(slack: &Slack, what: &str, row: &LinkRow) -> Result<(), Not> {
    let recorded = record(slack, what, row).await;
    recorded.map_err(|_| {
        let words = "The journal cannot be written, and without a record nothing is linked.";
        Not::Told(words.to_owned(), None)
    })
}

fn end_button(account: &str) -> Value {
    card::answer_button(card::UNLINK, "End the link", "danger", &format!("end {account}"))
}

/// Puts an answer in the place of a question. `ends`: the account whose link can be ended there.
async fn replace(slack: &Slack, about: &About, words: &str, ends: Option<&str>) {
    let button = ends.map(end_button);
    let mut body = card::said(&about.channel, words, button.as_slice());
    if let Some(body) = body.as_object_mut() {
        body.insert("ts".to_owned(), json!(about.ts));
    }
    if let Err(fault) = slack.api.call("chat.update", &body).await {
        tracing::warn!("what became of a link was not told: {fault}");
    }
}

/// Says in the channel, and to the person's other accounts, whose account decides as whom: who reads of a link that is not
/// theirs can say so, or end it there.
async fn tell(slack: &Slack, row: &LinkRow, others: &[LinkRow]) {
    let words = format!(
        "The account {} ({}) now decides as {}. If that is not right, tell whoever looks after security.",
        row.name,
        row.account,
        person(&row.issuer, &row.subject)
    );
    let channel = &slack.spec.channel;
    let told = slack.api.post(channel, &card::said(channel, &words, &[])).await;
    if let Err(fault) = told {
        tracing::warn!("a link was not told in the channel: {fault}");
    }
    for other in others {
        let body = card::said(&other.account, &words, &[end_button(&row.account)]);
        if let Err(fault) = slack.api.post(&other.account, &body).await {
            tracing::warn!("a link was not told to another account of its person: {fault}");
        }
    }
}

/// Tells people that a link of theirs is about to end, once each, until `stop` fires.
pub(super) async fn remind(slack: &Slack, stop: &CancellationToken) {
    loop {
        let more = tokio::select! {
            () = stop.cancelled() => return,
            looked = remind_some(slack) => more(looked),
        };
        if !more && !next(slack, stop).await {
            return;
        }
    }
}

async fn remind_some(slack: &Slack) -> Result<bool, StoreError> {
    let now = slack.world.now().0;
    let life = u64::try_from(slack.spec.link.as_millis()).unwrap_or(u64::MAX);
    let before = BEFORE.min(life / 2);
    let (over, until) = (now.saturating_sub(life), now.saturating_sub(life - before));
    let mut tx = slack.parts.rows.read().await?;
    let rows = tx.slack_links_to_end(over, until).await?;
    tx.commit().await?;
    for row in &rows {
        let mut tx = slack.parts.rows.write().await?;
        let ours = tx.warn_slack_link(row, true).await?;
        tx.commit().await?;
        if !ours {
            continue; // another process tells it
        }
        let end = Timestamp(row.signed_in_at.saturating_add(life)).rfc3339();
        let words = format!(
            "Your link ends: from {end} on this account decides nothing, until you link it again. Press a button of a request \
             for a new code."
        );
        let page = format!("{}slack", slack.spec.control);
        let body = card::said(&row.account, &words, &[card::link_button("Open the page", &page)]);
        if let Err(fault) = slack.api.post(&row.account, &body).await {
            tracing::info!("nobody was told that a link ends: {fault}");
            if matches!(fault, Fault::Later { .. }) {
                let mut tx = slack.parts.rows.write().await?;
                tx.warn_slack_link(row, false).await?;
                tx.commit().await?;
                return Ok(false);
            }
        }
    }
    Ok(false)
}
