//! `[[approval.channel]]`: who is told of requests and decisions.

use std::collections::BTreeSet;

use url::Url;

use super::check::{Check, is_private_enough};
use super::raw::{self, Text};
use super::{Callback, Teams, Webhook, names};

/// How the kind is written.
const TEAMS: &str = "teams";

/// Every channel of Teams.
pub(super) fn teams(file: &raw::File, check: &mut Check<'_>) -> Vec<Teams> {
    let all = file.approval.channel.iter();
    let all = all.filter(|one| one.kind.get_ref() == TEAMS);
    all.filter_map(|raw| team(raw, file, check)).collect()
}

fn team(raw: &raw::Channel, file: &raw::File, check: &mut Check<'_>) -> Option<Teams> {
    super::slack::none_of_slack(raw, check);
    super::mail::none_of_mail(raw, check);
    let stray = [("url", &raw.url), ("callback", &raw.callback)];
    for (key, text) in stray
        .into_iter()
        .filter_map(|(key, text)| Some((key, text.as_ref()?)))
    {
        check.problem(
            text.span(),
            format!("{key} is not for Teams"),
            "leave it out: the address is a secret, and nobody answers from there",
        );
    }
    for span in [&raw.callback_secrets, &raw.callback_groups]
        .into_iter()
        .flatten()
        .map(toml::Spanned::span)
    {
        check.problem(span, "Teams decides nothing", "leave it out");
    }
    if file.server.control_url.is_none() {
        check.problem(
            raw.kind.span(),
            "a channel of kind teams without a side for people",
            "add control_listen and control_url to [server]: the link of each message leads there",
        );
    }
    let Some(secret) = &raw.secret else {
        check.problem(
            raw.kind.span(),
            "Teams has no secret",
            "add secret = \"env:NAME\" with the address of the channel's Workflows webhook (https://…)",
        );
        return None;
    };
    Some(Teams {
        address: check.secret(secret, "secret")?,
        allow_private: raw.allow_private,
    })
}

/// Every webhook.
pub(super) fn channels(file: &raw::File, check: &mut Check<'_>) -> Vec<Webhook> {
    let others = file.approval.channel.iter().filter(|one| {
        !matches!(
            one.kind.get_ref().as_str(),
            super::slack::KIND | super::mail::KIND | TEAMS
        )
    });
    let channels: Vec<Webhook> = others.filter_map(|one| channel(one, file, check)).collect();
    let mut known = BTreeSet::new();
    for raw in file
        .approval
        .channel
        .iter()
        .filter_map(|one| one.callback.as_ref())
    {
        if !known.insert(raw.get_ref()) {
            check.problem(
                raw.span(),
                format!("a second integration `{}`", raw.get_ref().escape_debug()),
                "give each its own name: who decided is on record by it",
            );
        }
    }
    channels
}

fn channel(raw: &raw::Channel, file: &raw::File, check: &mut Check<'_>) -> Option<Webhook> {
    let secret = raw.secret.as_ref().and_then(|text| check.secret(text, "secret"));
    let kind = raw.kind.get_ref().as_str();
    if kind != "webhook" {
        let remedy = names::suggest(
            kind,
            &["webhook", TEAMS, super::mail::KIND, super::slack::KIND],
            "kinds of channel in this version",
        );
        check.problem(
            raw.kind.span(),
            format!("unknown kind of channel `{}`", kind.escape_debug()),
            remedy,
        );
        return None;
    }
    super::slack::none_of_slack(raw, check);
    super::mail::none_of_mail(raw, check);
    let url = match &raw.url {
        Some(url) => address(url, check),
        None => {
            check.problem(
                raw.kind.span(),
                "the webhook has no url",
                "add url = \"https://…\": where notices are sent",
            );
            None
        }
    };
    if raw.secret.is_none() {
        check.problem(
            raw.kind.span(),
            "the webhook has no secret, so nobody could tell our notices from forged ones",
            "add secret = \"env:NAME\" with a Standard Webhooks secret (whsec_…)",
        );
    }
    let callback = callback(raw, file, check);
    Some(Webhook {
        url: url?,
        secret: secret?,
        allow_private: raw.allow_private,
        callback: callback?,
    })
}

/// The integration that may decide, if it may. Outside: something is wrong with it.
fn callback(raw: &raw::Channel, file: &raw::File, check: &mut Check<'_>) -> Option<Option<Callback>> {
    let (secrets, groups) = (raw.callback_secrets.as_ref(), raw.callback_groups.as_ref());
    let Some(name) = &raw.callback else {
        let stray = secrets.map(|one| ("callback_secrets", one.span()));
        let stray = stray.or(groups.map(|one| ("callback_groups", one.span())));
        let (key, span) = match stray {
            None => return Some(None),
            Some(stray) => stray,
        };
        check.problem(
            span,
            format!("{key} is for an integration that may decide, and callback names none"),
            "add callback = \"name\", or leave it out: without it the receiver is told and decides nothing",
        );
        return None;
    };
    if file.server.control_url.is_none() {
        check.problem(
            name.span(),
            "an integration that may decide, without a side for people",
            "add control_listen and control_url to [server]: it sends its decisions there",
        );
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let text = name.get_ref();
    if !(1..=32).contains(&text.len()) || text.starts_with('-') || !text.bytes().all(plain) {
        check.problem(
            name.span(),
            "this is not the name of an integration",
            "write 1 to 32 characters of a-z, 0-9 and -, and no - first",
        );
        return None;
    }
    let written: Vec<&Text> = secrets.iter().flat_map(|all| all.get_ref()).collect();
    if written.is_empty() || written.len() > 4 {
        check.problem(
            secrets.map_or(name.span(), toml::Spanned::span),
            "an integration signs its decisions with callback_secrets of its own: 1 to 4",
            "add callback_secrets = [\"env:NAME\"] with a Standard Webhooks secret (whsec_…) that is not `secret`",
        );
        return None;
    }
    let secrets: Vec<_> = written
        .into_iter()
        .map(|text| check.secret(text, "callback_secrets"))
        .collect();
    let groups = callback_groups(groups.map(|all| all.get_ref().as_slice()), file, check);
    Some(Some(Callback {
        name: text.clone(),
        secrets: secrets.into_iter().collect::<Option<_>>()?,
        groups,
    }))
}

fn callback_groups(raw: Option<&[Text]>, file: &raw::File, check: &mut Check<'_>) -> BTreeSet<String> {
    let known: Vec<&str> = file.groups.keys().map(|name| name.get_ref().as_str()).collect();
    let mut groups = BTreeSet::new();
    for name in raw.unwrap_or_default() {
        let group = name.get_ref().as_str();
        if known.contains(&group) {
            groups.insert(group.to_owned());
        } else {
            let remedy = names::suggest(group, &known, "groups");
            check.problem(
                name.span(),
                format!("there is no group `{}`", group.escape_debug()),
                remedy,
            );
        }
    }
    groups
}

fn address(raw: &Text, check: &mut Check<'_>) -> Option<Url> {
    let fits = |url: &Url| {
        is_private_enough(url)
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    let url = Url::parse(raw.get_ref()).ok().filter(fits);
    if url.is_none() {
        check.problem(
            raw.span(),
            "the webhook's url is not an https URL",
            "write https://… without user name and fragment; http is for loopback hosts only",
        );
    }
    url
}
