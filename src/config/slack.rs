//! `[[approval.channel]]` of kind `slack`: an app of the organisation's own workspace.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::check::{Check, is_private_enough};
use super::raw::{self, Text};
use crate::approval::Settings;
use crate::console::slack::{Escalation, Route};
use crate::secret::SecretRef;

/// How the kind is written.
pub(super) const KIND: &str = "slack";
/// Slack's Web API.
const API: &str = "https://slack.com/api/";
const DAY: u64 = 24 * 3600;
/// The most steps that requests of one name go from channel to channel.
const STEPS: usize = 5;

/// The Slack app that shows requests, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slack {
    /// The Web API, with a `/` at its end.
    pub url: Url,
    /// Where requests go that no route names.
    pub channel: String,
    /// Group or policy → where its requests go.
    pub routes: BTreeMap<String, Route>,
    /// The app's token in the workspace (`xoxb-`).
    pub bot_token: SecretRef,
    /// How what people press comes back.
    pub delivery: SlackDelivery,
    /// Where requests go that nobody decides.
    pub escalation: Option<Escalation>,
    /// How long an account stays linked to the person who signed in for it.
    pub link: Duration,
}

/// How what people press comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlackDelivery {
    /// Over a connection that we open, with an app-level token (`xapp-`).
    Socket(SecretRef),
    /// Slack calls `<control_url>/slack/interactivity` and signs what it sends with this secret.
    Http(SecretRef),
}

/// The settings of approvals with what Slack says of them.
pub(super) fn linked(mut settings: Settings, slack: Option<&Slack>) -> Settings {
    if let Some(slack) = slack {
        settings.link = slack.link;
    }
    settings
}

/// The one Slack channel entry, if there is one.
pub(super) fn slack(file: &raw::File, check: &mut Check<'_>) -> Option<Slack> {
    let mut entries = file
        .approval
        .channel
        .iter()
        .filter(|one| one.kind.get_ref() == KIND);
    let raw = entries.next()?;
    for more in entries {
        check.problem(
            more.kind.span(),
            "a second channel of kind slack",
            "write one, and name further channels in its routes: an installation is one app",
        );
    }
    if file.server.control_url.is_none() {
        check.problem(
            raw.kind.span(),
            "a channel of kind slack without a side for people",
            "add control_listen and control_url to [server]: people link their accounts and read the whole evidence there",
        );
    }
    none_of_others(raw, check);
    super::mail::none_of_mail(raw, check);
    let bot_token = required(raw, raw.bot_token.as_ref(), "bot_token", check)
        .and_then(|text| check.secret(text, "bot_token"));
    let delivery = delivery(raw, check);
    let channel = required(raw, raw.channel.as_ref(), "channel", check).and_then(|text| place(text, check));
    let own = raw.channel.as_ref().map(|text| text.get_ref().as_str());
    let own = own.unwrap_or_default();
    let routes = routes(raw, own, check);
    let escalation = escalation(raw, own, check);
    let url = url(raw, check);
    let days = check.number(raw.link_days.as_ref(), "link_days", 1..=30, 7);
    Some(Slack {
        url: url?,
        channel: channel?,
        routes,
        bot_token: bot_token?,
        delivery: delivery?,
        escalation: escalation?,
        link: Duration::from_secs(days?.saturating_mul(DAY)),
    })
}

/// Slack has none of a webhook's keys.
fn none_of_others(raw: &raw::Channel, check: &mut Check<'_>) {
    for (key, is_there, span) in [
        (
            "secret",
            raw.secret.is_some(),
            raw.secret.as_ref().map(Text::span),
        ),
        ("allow_private", raw.allow_private, None),
        (
            "callback",
            raw.callback.is_some(),
            raw.callback.as_ref().map(Text::span),
        ),
        ("callback_secrets", raw.callback_secrets.is_some(), None),
        ("callback_groups", raw.callback_groups.is_some(), None),
    ] {
        if is_there {
            check.problem(
                span.unwrap_or(raw.kind.span()),
                format!("{key} is for webhooks, not for Slack"),
                "leave it out; Slack's own are bot_token and app_token, or signing_secret",
            );
        }
    }
}

/// A webhook has none of Slack's keys.
pub(super) fn none_of_slack(raw: &raw::Channel, check: &mut Check<'_>) {
    let texts = [
        ("channel", raw.channel.as_ref()),
        ("bot_token", raw.bot_token.as_ref()),
        ("app_token", raw.app_token.as_ref()),
        ("signing_secret", raw.signing_secret.as_ref()),
        ("escalate_to", raw.escalate_to.as_ref()),
    ];
    let mut found: Vec<(&str, std::ops::Range<usize>)> = texts
        .into_iter()
        .filter_map(|(key, text)| Some((key, text?.span())))
        .collect();
    found.extend(raw.routes.as_ref().map(|one| ("routes", one.span())));
    let steps = raw.escalate_routes.as_ref();
    found.extend(steps.map(|one| ("escalate_routes", one.span())));
    let number = raw.escalate_after_seconds.as_ref();
    found.extend(number.map(|one| ("escalate_after_seconds", one.span())));
    found.extend(raw.link_days.as_ref().map(|one| ("link_days", one.span())));
    for (key, span) in found {
        check.problem(
            span,
            format!("{key} is for Slack, not for this kind of channel"),
            "leave it out, or write kind = \"slack\"",
        );
    }
}

fn required<'a>(
    raw: &raw::Channel,
    text: Option<&'a Text>,
    key: &str,
    check: &mut Check<'_>,
) -> Option<&'a Text> {
    if text.is_none() {
        let remedy = match key {
            "channel" => "add channel = \"C…\": the id of the channel, at the end of its \"About\" in Slack",
            _ => "add bot_token = \"env:NAME\" with the app's token in your workspace (xoxb-…)",
        };
        check.problem(raw.kind.span(), format!("Slack has no {key}"), remedy);
    }
    text
}

fn delivery(raw: &raw::Channel, check: &mut Check<'_>) -> Option<SlackDelivery> {
    match (&raw.app_token, &raw.signing_secret) {
        (Some(token), None) => Some(SlackDelivery::Socket(check.secret(token, "app_token")?)),
        (None, Some(secret)) => Some(SlackDelivery::Http(check.secret(secret, "signing_secret")?)),
        _ => {
            check.problem(
                raw.kind.span(),
                "Slack needs app_token or signing_secret, and not both",
                "write app_token = \"env:NAME\" (xapp-…, Socket Mode: no public address), or signing_secret if Slack can reach control_url",
            );
            None
        }
    }
}

/// An id of Slack's: one of these letters, and capitals and digits.
fn is_id(id: &str, first: &[char]) -> bool {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    (9..=20).contains(&id.len()) && id.starts_with(first) && id.bytes().all(plain)
}

/// The id of a conversation: `C` or `G` and capitals and digits. Never a name, which can become another's.
fn place(text: &Text, check: &mut Check<'_>) -> Option<String> {
    let id = text.get_ref();
    if !is_id(id, &['C', 'G']) {
        check.problem(
            text.span(),
            "this is not the id of a channel",
            "write it as \"C0123456789\": the id at the end of the channel's \"About\" in Slack, not its name",
        );
        return None;
    }
    Some(id.clone())
}

/// A route: a channel, a user group, or both; a user group alone is called in the channel of the app itself.
fn route(text: &Text, own: &str, check: &mut Check<'_>) -> Option<Route> {
    let (channel, group) = match text.get_ref().split_once(' ') {
        Some((channel, group)) => (channel, Some(group)),
        None if text.get_ref().starts_with('S') => (own, Some(text.get_ref().as_str())),
        None => (text.get_ref().as_str(), None),
    };
    if is_id(channel, &['C', 'G']) && group.is_none_or(|group| is_id(group, &['S'])) {
        return Some(Route {
            channel: channel.to_owned(),
            group: group.map(str::to_owned),
        });
    }
    check.problem(
        text.span(),
        "this is not the id of a channel, nor of a user group",
        "write \"C0123456789\" (the end of the channel's \"About\"), \"S0123456789\" (a user group, called in `channel`), or both: \
         \"C0123456789 S0123456789\"; names can become another's, and nobody calls everybody",
    );
    None
}

fn routes(raw: &raw::Channel, own: &str, check: &mut Check<'_>) -> BTreeMap<String, Route> {
    let mut routes = BTreeMap::new();
    for (who, to) in raw.routes.iter().flat_map(|one| one.get_ref()) {
        if let Some(route) = route(to, own, check) {
            routes.insert(who.get_ref().clone(), route);
        }
    }
    routes
}

/// Outside: something is wrong with it.
fn escalation(raw: &raw::Channel, own: &str, check: &mut Check<'_>) -> Option<Option<Escalation>> {
    let routed = raw.escalate_routes.as_ref();
    let leads = raw.escalate_to.is_some() || routed.is_some();
    if raw.escalate_after_seconds.is_some() != leads {
        check.problem(
            raw.kind.span(),
            "escalate_after_seconds and escalate_to or escalate_routes belong together",
            "write after how long, and where to; or neither",
        );
        return None;
    }
    if !leads {
        return Some(None);
    }
    let after = raw.escalate_after_seconds.as_ref();
    let seconds = check.number(after, "escalate_after_seconds", 30..=DAY, 600)?;
    let steps = match &raw.escalate_to {
        None => Vec::new(),
        Some(to) => vec![route(to, own, check)?],
    };
    let mut routes = BTreeMap::new();
    for (who, steps) in routed.iter().flat_map(|one| one.get_ref()) {
        if steps.is_empty() || steps.len() > STEPS {
            check.problem(
                who.span(),
                format!("escalate_routes needs 1 to {STEPS} steps for each name"),
                "write where a request goes next, and next after that: [\"C0123456789\", \"S0123456789\"]",
            );
            return None;
        }
        let steps: Option<Vec<Route>> = steps.iter().map(|to| route(to, own, check)).collect();
        routes.insert(who.get_ref().clone(), steps?);
    }
    Some(Some(Escalation {
        after: Duration::from_secs(seconds),
        steps,
        routes,
    }))
}

fn url(raw: &raw::Channel, check: &mut Check<'_>) -> Option<Url> {
    let Some(text) = &raw.url else {
        return Url::parse(API).ok();
    };
    let fits = |url: &Url| {
        is_private_enough(url)
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.path().ends_with('/')
    };
    let url = Url::parse(text.get_ref()).ok().filter(fits);
    if url.is_none() {
        check.problem(
            text.span(),
            "the url of Slack's API is not an https URL that ends in /",
            "leave it out for https://slack.com/api/; http is for loopback hosts only",
        );
    }
    url
}
