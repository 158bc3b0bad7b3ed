//! A channel of Microsoft Teams: an Adaptive Card (1.4) to a Workflows webhook. Buttons there cannot answer, so the card
//! has a link and nothing else. All text is in runs of rich text, which are shown and not read as markup.

use reqwest::Client;
use serde_json::{Value, json};
use url::Url;

use super::told::Told;
use super::{ChannelError, Failure};
use crate::secret::Secret;

/// One channel. Its address is a secret.
pub(super) struct Teams {
    url: Url,
    client: Client,
}

impl Teams {
    pub(super) fn new(address: &Secret, allow_private: bool) -> Result<Self, ChannelError> {
        let url = Url::parse(address.expose()).ok();
        let here = |url: &Url| {
            url.host_str()
                .is_some_and(|host| matches!(host, "localhost" | "127.0.0.1"))
        };
        let fits = |url: &Url| url.scheme() == "https" || url.scheme() == "http" && here(url);
        let url = url.filter(fits).ok_or(ChannelError::Address)?;
        Ok(Self {
            client: super::client(&url, allow_private)?,
            url,
        })
    }

    pub(super) async fn send(&self, told: &Told) -> Result<(), Failure> {
        let sent = self
            .client
            .post(self.url.clone())
            .json(&message(told))
            .send()
            .await;
        super::outcome(sent)
    }
}

/// The message, as Workflows take it.
pub(super) fn message(told: &Told) -> Value {
    json!({"type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": null,
        "content": card(told),
    }]})
}

fn card(told: &Told) -> Value {
    let mut body = vec![text(&[run(&told.title, true)])];
    for (name, value) in &told.facts {
        body.push(text(&[run(&format!("{name}: "), true), run(value, false)]));
    }
    if !told.changes.is_empty() {
        body.push(text(&[run("What would change", true)]));
        body.extend(told.changes.iter().map(|line| text(&[run(line, false)])));
    }
    if !told.because.is_empty() {
        body.push(text(&[run("Why you are asked", true)]));
        body.extend(told.because.iter().map(|line| text(&[run(line, false)])));
    }
    if !told.claimed.is_empty() {
        let quoted = told
            .claimed
            .iter()
            .map(|line| text(&[run(&format!("\u{201c}{line}\u{201d}"), false)]));
        let title = text(&[run("Claimed by the program, checked by nobody:", true)]);
        let items: Vec<Value> = std::iter::once(title).chain(quoted).collect();
        body.push(json!({"type": "Container", "style": "emphasis", "separator": true, "items": items}));
    }
    let link = told
        .page
        .as_ref()
        .map(|page| json!({"type": "Action.OpenUrl", "title": "Open its page to decide", "url": page}));
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": told.title,
        "body": body,
        "actions": link.into_iter().collect::<Vec<_>>(),
    })
}

fn text(inlines: &[Value]) -> Value {
    json!({"type": "RichTextBlock", "inlines": inlines})
}

fn run(words: &str, bold: bool) -> Value {
    let weight = if bold { "Bolder" } else { "Default" };
    json!({"type": "TextRun", "text": words, "weight": weight})
}
