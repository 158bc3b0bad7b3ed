//! `[[approval.channel]]`: who is told of requests and decisions.

use url::Url;

use super::check::{Check, is_private_enough};
use super::raw::{self, Text};
use super::{Webhook, names};

/// Every channel.
pub(super) fn channels(raw: &raw::Approval, check: &mut Check<'_>) -> Vec<Webhook> {
    raw.channel.iter().filter_map(|one| channel(one, check)).collect()
}

fn channel(raw: &raw::Channel, check: &mut Check<'_>) -> Option<Webhook> {
    let secret = raw.secret.as_ref().and_then(|text| check.secret(text, "secret"));
    let kind = raw.kind.get_ref().as_str();
    if kind != "webhook" {
        let remedy = names::suggest(kind, &["webhook"], "kinds of channel in this version");
        check.problem(
            raw.kind.span(),
            format!("unknown kind of channel `{}`", kind.escape_debug()),
            remedy,
        );
        return None;
    }
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
    Some(Webhook {
        url: url?,
        secret: secret?,
        allow_private: raw.allow_private,
    })
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
