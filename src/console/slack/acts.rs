//! What people press. Who pressed is what Slack says; who that is, is what a sign-in of theirs said; whether it counts
//! is decided where every decision is.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::Fault;
use super::posts::is_ts;
use super::words::shown;
use super::{STORE, Slack, card, link, linking};
use crate::approval::review::{Choice, NotDecided, Reviewer, Via};
use crate::call::{ApprovalId, User, UserKind};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::slack::{CardRow, LinkRow};

/// How often, and how far apart, it is looked for a message that is not known yet.
const LOOKS: u32 = 6;
const BETWEEN: Duration = Duration::from_millis(250);

/// How long a decision may take; longer than the store itself waits for its server.
const DECIDING: Duration = Duration::from_secs(30);
/// What is said when nothing could be looked up or put on record.
const UNTAKEN: &str =
    "Not taken: the store cannot be used just now, so nothing was decided. Try again in a minute.";

/// What comes back, as far as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Interaction {
    #[serde(rename = "type")]
    kind: String,
    pub(super) user: Account,
    team: Option<Named>,
    trigger_id: Option<String>,
    container: Option<Container>,
    #[serde(default)]
    actions: Vec<Action>,
    view: Option<View>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Account {
    pub(super) id: String,
    team_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Container {
    channel_id: Option<String>,
    message_ts: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Action {
    action_id: String,
    action_ts: Option<String>,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
struct View {
    id: String,
    callback_id: Option<String>,
    private_metadata: Option<String>,
    state: Option<Value>,
}

impl View {
    fn is_ours(&self) -> bool {
        self.callback_id.as_deref() == Some(card::REFUSE)
    }
}

/// Which message was acted on, and what its button said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) channel: String,
    pub(super) ts: String,
    pub(super) value: String,
}

/// Why nothing came of it, to be told to whoever pressed.
#[derive(Debug)]
pub(super) enum Not {
    /// Words, and a page of ours to open.
    Told(String, Option<String>),
    /// Nobody is to be told: it is not of this workspace, or none of our doing.
    Silent(&'static str),
}

impl From<StoreError> for Not {
    fn from(error: StoreError) -> Self {
        tracing::error!("Slack: {error}");
        Self::Told(UNTAKEN.to_owned(), None)
    }
}

/// One interaction, acknowledged and new.
pub(super) async fn interaction(slack: &Slack, payload: Value) {
    let Some((said, about)) = read(payload) else {
        return;
    };
    let done = match said.kind.as_str() {
        "block_actions" => pressed(slack, &said, about.clone()).await,
        _ => submitted(slack, &said, about.clone()).await,
    };
    match done {
        Ok(()) => slack.nudge.notify_waiters(),
        Err(Not::Silent(why)) => tracing::warn!("an interaction in Slack was not taken: {why}"),
        Err(Not::Told(words, page)) => {
            let Some(about) = about else { return };
            tell(slack, &about, &said.user.id, (&words, page.as_deref())).await;
        }
    }
}

/// Tells whoever pressed, and nobody else, that theirs was not taken: nothing could even be looked up.
pub(super) async fn untaken(slack: &Slack, payload: Value) {
    let Some((said, Some(about))) = read(payload) else {
        return;
    };
    let ours = match said.kind.as_str() {
        "block_actions" => said
            .actions
            .first()
            .is_some_and(|one| one.action_id != card::PAGE),
        _ => said.view.as_ref().is_some_and(View::is_ours),
    };
    if ours && at_home(slack, &said).await.is_ok() {
        tell(slack, &about, &said.user.id, (UNTAKEN, None)).await;
    }
}

async fn tell(slack: &Slack, about: &About, user: &str, (words, page): (&str, Option<&str>)) {
    let link = page.map(|page| card::link_button("Open its page", page));
    let blocks = card::note(words, link.as_slice());
    let told = slack
        .api
        .whisper(&about.channel, user, &blocks, &card::fallback(words))
        .await;
    if let Err(fault) = told {
        tracing::warn!("whoever pressed in Slack was not told: {fault}");
    }
}

/// What came, and which message of ours it is about.
fn read(payload: Value) -> Option<(Interaction, Option<About>)> {
    let Ok(said) = serde_json::from_value::<Interaction>(payload) else {
        tracing::warn!("Slack sent an interaction that cannot be read");
        return None;
    };
    let about = match said.kind.as_str() {
        "block_actions" => about(&said),
        "view_submission" => {
            let view = said.view.as_ref();
            let text = view.and_then(|view| view.private_metadata.as_deref());
            text.and_then(|text| serde_json::from_str(text).ok())
        }
        _ => return None,
    };
    Some((said, about))
}

/// What the store says, or that it does not answer.
async fn looked_up<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, Not> {
    match tokio::time::timeout(STORE, asked).await {
        Ok(said) => Ok(said?),
        Err(_) => Err(StoreError::Busy.into()),
    }
}

/// The message and the button of an action of ours.
fn about(said: &Interaction) -> Option<About> {
    let container = said.container.as_ref()?;
    let value = said.actions.first()?.value.clone()?;
    Some(About {
        channel: container.channel_id.clone()?,
        ts: container.message_ts.clone()?,
        value,
    })
}

async fn pressed(slack: &Slack, said: &Interaction, about: Option<About>) -> Result<(), Not> {
    let Some(action) = said.actions.first() else {
        return Ok(());
    };
    let which = action.action_id.as_str();
    if !matches!(which, card::APPROVE | card::REFUSE | card::LINK | card::UNLINK) {
        return Ok(()); // a link to a page
    }
    let about = about.ok_or(Not::Silent("it names no message"))?;
    let at = action.action_ts.as_deref().unwrap_or_default();
    at_home(slack, said).await?;
    let parts = [
        "action",
        &said.user.id,
        at,
        &action.action_id,
        &about.channel,
        &about.ts,
    ];
    if !looked_up(slack.is_new(&parts)).await? {
        return Ok(());
    }
    if matches!(which, card::LINK | card::UNLINK) {
        return linking::pressed(slack, said, &about, which == card::LINK).await;
    }
    shows(slack, &about).await?;
    let linked = linked(slack, said, &about).await?;
    if which == card::APPROVE {
        fit(slack, said).await?;
        return decide(slack, &linked, &about, Choice::Approve).await;
    }
    // The form first: Slack's permission to open one lasts three seconds.
    let trigger = said.trigger_id.as_deref().unwrap_or_default();
    let text = serde_json::to_string(&about).unwrap_or_default();
    let body = json!({"trigger_id": trigger, "view": card::reason_form(&text)});
    let opened = slack.api.call("views.open", &body).await;
    opened.map(|_| ()).map_err(|fault| {
        tracing::warn!("the form for a reason was not opened: {fault}");
        Not::Told(
            "Slack did not open the form for your reason. Press again.".to_owned(),
            None,
        )
    })
}

async fn submitted(slack: &Slack, said: &Interaction, about: Option<About>) -> Result<(), Not> {
    let view = said.view.as_ref().ok_or(Not::Silent("it names no form"))?;
    if !view.is_ours() {
        return Ok(());
    }
    let about = about.ok_or(Not::Silent("it names no message"))?;
    at_home(slack, said).await?;
    if !looked_up(slack.is_new(&["form", &said.user.id, &view.id])).await? {
        return Ok(());
    }
    let reason = view.state.as_ref();
    let reason = reason.and_then(|state| state.pointer("/values/reason/reason/value")?.as_str());
    let reason = reason.unwrap_or_default().to_owned();
    shows(slack, &about).await?;
    let linked = linked(slack, said, &about).await?;
    fit(slack, said).await?;
    decide(slack, &linked, &about, Choice::Refuse(reason)).await
}

/// Only people of the workspace that the app is installed in, whatever else shares a channel with it.
async fn at_home(slack: &Slack, said: &Interaction) -> Result<(), Not> {
    let team = slack.team().await.map_err(away)?;
    let theirs = said.user.team_id.as_deref();
    let here = said.team.as_ref().map(|team| team.id.as_str());
    if here != Some(team) || theirs.is_some_and(|theirs| theirs != team) {
        return Err(Not::Silent("it is of another workspace"));
    }
    Ok(())
}

/// The message is one of ours, and one that decides: an older one of the same request is not.
async fn shows(slack: &Slack, about: &About) -> Result<(), Not> {
    let old = || {
        Not::Told(
            "This message is out of date, and decides nothing. Look for the newer one.".to_owned(),
            None,
        )
    };
    if !is_ts(&about.ts) || about.channel.len() > 40 {
        return Err(Not::Silent("it names no message"));
    }
    let row = looked_up(row_of(slack, about)).await?;
    let (approval, _) = card::read_value(&about.value).ok_or_else(old)?;
    let row = row.filter(|row| row.approval == approval).ok_or_else(old)?;
    if !row.decides {
        return Err(Not::Told(
            "This is decided on its page alone: open it and sign in.".to_owned(),
            Some(page(slack, approval)),
        ));
    }
    Ok(())
}

/// The row of a message. It can be pressed a moment before its name, which Slack gives, is in the store.
async fn row_of(slack: &Slack, about: &About) -> Result<Option<CardRow>, StoreError> {
    for _ in 0..LOOKS {
        let mut tx = slack.parts.rows.read().await?;
        let row = tx.card_at(&about.channel, &about.ts).await?;
        tx.commit().await?;
        if row.is_some() {
            return Ok(row);
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(None)
}

fn page(slack: &Slack, approval: &str) -> String {
    format!("{}approvals/{approval}", slack.spec.control)
}

/// Who linked this account, as long as that lasts; otherwise they are told how to.
async fn linked(slack: &Slack, said: &Interaction, about: &About) -> Result<LinkRow, Not> {
    let team = slack.team().await.map_err(away)?;
    let row = looked_up(async {
        let mut tx = slack.parts.rows.read().await?;
        let row = tx.slack_link(team, &said.user.id).await?;
        tx.commit().await.map(|()| row)
    })
    .await?;
    let now = slack.world.now().0;
    if let Some(row) = row.filter(|row| link::stands(slack, row, now)) {
        return Ok(row);
    }
    let account = fit(slack, said).await?;
    link::offer(slack, &account, &about.channel).await?;
    Err(Not::Silent("the account is not linked; its person was told how"))
}

/// The account as the workspace knows it now.
pub(super) async fn fit(slack: &Slack, said: &Interaction) -> Result<super::api::Account, Not> {
    let team = slack.team().await.map_err(away)?;
    let account = slack.api.account(&said.user.id).await.map_err(away)?;
    match account.unfit(team) {
        None => Ok(account),
        Some(why) => Err(Not::Told(
            format!("Nobody decides with this account: {why}."),
            None,
        )),
    }
}

fn away(fault: Fault) -> Not {
    tracing::warn!("Slack: {fault}");
    Not::Told(
        "Slack could not say who you are just now, so nothing was decided. Press again, or use the page."
            .to_owned(),
        None,
    )
}

async fn decide(slack: &Slack, row: &LinkRow, about: &About, choice: Choice) -> Result<(), Not> {
    let (approval, seen) = card::read_value(&about.value).ok_or(Not::Silent("it names no request"))?;
    let groups: BTreeSet<String> =
        serde_json::from_str(&row.groups).map_err(|error| StoreError::Damaged(format!("a link: {error}")))?;
    let reviewer = Reviewer {
        may_reach: slack.spec.acr.get(&row.issuer).cloned().unwrap_or_default(),
        user: User {
            issuer: row.issuer.clone(),
            subject: row.subject.clone(),
            kind: UserKind::Person,
            groups,
        },
        signed_in_at: Timestamp(row.signed_in_at),
        acr: None, // what was met when the account was linked says nothing about who presses now
        key: None,
        via: Via::Message {
            account: format!("slack {}/{}", row.team, row.account),
            message: format!("{}/{}", about.channel, about.ts),
        },
    };
    let id = ApprovalId(approval.to_owned());
    let deciding = slack.parts.desk.decide(&reviewer, &id, choice, seen);
    let Ok(decided) = tokio::time::timeout(DECIDING, deciding).await else {
        let words = "The store does not answer, so it is not known whether this counts. Look at its page before you press again.";
        return Err(Not::Told(words.to_owned(), Some(page(slack, approval))));
    };
    decided.map(|_| ()).map_err(|why| not(slack, approval, &why))
}

fn not(slack: &Slack, approval: &str, why: &NotDecided) -> Not {
    let words = match why {
        NotDecided::OnItsPage(why, _) => format!("{why}: it is decided on its page alone, signed in"),
        NotDecided::SecurityKey(_) => "approving needs your security key: approve on its page".to_owned(),
        NotDecided::StrongerSignIn(_) => {
            "policy wants a stronger sign-in for this than a message: decide on its page".to_owned()
        }
        other => other.to_string(),
    };
    let page = !matches!(why, NotDecided::Unknown | NotDecided::NotAsked);
    let words = format!("Not taken: {}.", shown(&words, false));
    Not::Told(words, page.then(|| self::page(slack, approval)))
}
