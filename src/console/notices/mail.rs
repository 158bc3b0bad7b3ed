//! E-mail: people are told of what waits for them by a mail with a link, and by one more how it ended. Each recipient is
//! a channel of its own, so that nobody reads who else was told, and one who cannot be reached holds up nobody.

mod letter;
mod smtp;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::told::Told;
use super::{Carrier, Channel, ChannelError, Failure};
use crate::approval::Event;
use crate::approval::review::Posting;
pub(super) use letter::Which;
use letter::letter;
use smtp::Server;
pub use smtp::{Place, Protection};

/// How long an examination may take.
const WHOLE: Duration = Duration::from_secs(20);

/// Who is told by mail, and through which server.
#[derive(Debug)]
pub struct Spec<'a> {
    /// The server.
    pub place: Place<'a>,
    /// Whom mail is from: a plain address.
    pub from: String,
    /// Where requests go that no route names.
    pub to: String,
    /// Group that is asked, or policy that asks → address.
    pub routes: BTreeMap<String, String>,
}

/// One recipient.
pub(super) struct Mail {
    server: Arc<Server>,
    from: String,
    to: String,
    /// What is routed to anybody, and to whom.
    routes: Arc<BTreeMap<String, String>>,
    is_default: bool,
}

/// What becomes of a transition by mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nobody needs to hear of it.
    Nothing,
    /// What came before it is still under way.
    Later,
    /// This one, if the recipient is asked.
    One(Which),
}

/// A channel for each recipient.
pub(super) fn channels(spec: Spec<'_>) -> Result<Vec<Channel>, ChannelError> {
    let server = Arc::new(Server::new(spec.place)?);
    let routes = Arc::new(spec.routes);
    let all: BTreeSet<&String> = std::iter::once(&spec.to).chain(routes.values()).collect();
    let channel = |to: &String| Channel {
        name: format!("mail {to}"),
        carrier: Carrier::Mail(Mail {
            server: Arc::clone(&server),
            from: spec.from.clone(),
            to: to.clone(),
            routes: Arc::clone(&routes),
            is_default: *to == spec.to,
        }),
    };
    Ok(all.into_iter().map(channel).collect())
}

/// Goes to a mail server as far as one can without sending anything. Gives what was seen.
///
/// # Errors
/// How far one gets, in words.
pub async fn examine(place: Place<'_>) -> Result<Vec<String>, String> {
    let server = Server::new(place).map_err(|error| error.to_string())?;
    match tokio::time::timeout(WHOLE, server.examine()).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(Failure::Unsent("no answer in time").to_string()),
    }
}

impl Mail {
    /// Whether this recipient is asked: where a route leads here, or none leads anywhere.
    pub(super) fn is_for(&self, posting: &Posting) -> bool {
        let groups = |ask: &'_ crate::approval::review::PostedAsk| {
            let groups = ask.seats.iter().map(|(_, group)| group.clone());
            std::iter::once(ask.policy.clone())
                .chain(groups)
                .collect::<Vec<_>>()
        };
        let names: Vec<String> = posting.asks.iter().flat_map(groups).collect();
        let led = |name: &String| self.routes.get(name);
        let mut led_first = names.iter().filter_map(led).peekable();
        let is_led = led_first.peek().is_some();
        let mut later = posting.escalated_to.iter().filter_map(led);
        led_first.any(|to| *to == self.to) || later.any(|to| *to == self.to) || !is_led && self.is_default
    }

    /// Which mail a transition calls for, after what this recipient was told: (word, whether it was taken, whether it is
    /// still open).
    pub(super) fn due(word: &str, before: &[(String, bool, bool)]) -> Due {
        let of = |words: &'static [&str]| {
            before
                .iter()
                .filter(move |(word, ..)| words.contains(&word.as_str()))
        };
        let taken = |words| of(words).any(|(_, taken, _)| *taken);
        let open = |words| of(words).any(|(.., open)| *open);
        match word {
            "requested" | "escalated" if taken(OPENS) => Due::Nothing,
            "requested" | "escalated" if open(OPENS) => Due::Later,
            "requested" | "escalated" => Due::One(Which::First),
            "break_glass" => Due::One(Which::Glass),
            _ if !ENDS.contains(&word) || taken(ENDS) || taken(GLASS) => Due::Nothing,
            _ if open(OPENS) || open(ENDS) || open(GLASS) => Due::Later,
            _ if taken(OPENS) => Due::One(Which::End),
            _ => Due::Nothing,
        }
    }

    pub(super) async fn send(&self, told: &Told, which: Which, event: &Event) -> Result<(), Failure> {
        let ends = (self.from.as_str(), self.to.as_str());
        let mail = letter(ends, told, which, (&event.approval.0, &event.at));
        self.server.send(&self.from, &self.to, &mail).await
    }
}

/// What opens a thread, and what ends it.
const OPENS: &[&str] = &["requested", "escalated"];
const ENDS: &[&str] = &["granted", "refused", "expired", "cancelled"];
const GLASS: &[&str] = &["break_glass"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipient_hears_once_that_something_waits_and_once_how_it_ended() {
        let before = |told: &[(&str, bool, bool)]| -> Vec<(String, bool, bool)> {
            told.iter()
                .map(|(word, taken, open)| ((*word).to_owned(), *taken, *open))
                .collect()
        };
        let (taken, passed, open) = ((true, false), (false, false), (false, true));
        let due = |word: &str, told: &[(&str, (bool, bool))]| {
            let told: Vec<_> = told
                .iter()
                .map(|(word, (taken, open))| (*word, *taken, *open))
                .collect();
            Mail::due(word, &before(&told))
        };
        assert_eq!(due("requested", &[]), Due::One(Which::First));
        assert_eq!(due("escalated", &[("requested", taken)]), Due::Nothing);
        assert_eq!(due("escalated", &[("requested", passed)]), Due::One(Which::First));
        assert_eq!(due("escalated", &[("requested", open)]), Due::Later);
        assert_eq!(due("approved", &[("requested", taken)]), Due::Nothing);
        assert_eq!(
            due("granted", &[("requested", taken), ("approved", passed)]),
            Due::One(Which::End)
        );
        assert_eq!(due("granted", &[("requested", passed)]), Due::Nothing);
        assert_eq!(due("granted", &[("requested", open)]), Due::Later);
        let granted = [("requested", taken), ("granted", taken)];
        for word in ["spent", "answered", "failed", "refused", "expired", "reviewed"] {
            assert_eq!(due(word, &granted), Due::Nothing, "{word}");
        }
        assert_eq!(
            due("break_glass", &[("requested", taken)]),
            Due::One(Which::Glass)
        );
        assert_eq!(
            due("granted", &[("requested", taken), ("break_glass", taken)]),
            Due::Nothing
        );
        assert_eq!(
            due("cancelled", &[("requested", taken), ("granted", open)]),
            Due::Later
        );
    }
}
