//! Socket Mode: a connection that we open, over which Slack sends what people press. Nothing outside can reach us,
//! and what comes is Slack's because TLS says that the other end is the one the Web API named.
//!
//! Every envelope is acknowledged at once, before any work, so that Slack does not send it again; the same one, on
//! whatever connection of whatever process, is taken once ([`super::Slack::is_new`]).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use reqwest::StatusCode;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Slack;

/// The first wait after a connection that did not last, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long the connection may take to open.
const OPEN: Duration = Duration::from_secs(10);
/// Slack pings every few seconds: after this long without a word it is asked, and after twice this it is gone.
const SILENCE: Duration = Duration::from_secs(20);
/// The largest message that is read, in bytes: a card of ours comes back with what was pressed on it.
const MESSAGE: usize = 2 * 1024 * 1024;
/// What a server adds to the key it accepts (RFC 6455, section 1.3).
const ACCEPT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

type Socket = WebSocketStream<reqwest::Upgraded>;

/// What comes over the connection.
#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    envelope_id: Option<String>,
    payload: Option<Value>,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Slack asked for it: there is another one at once.
    Refresh,
    /// It broke, or was never there.
    Broke(&'static str),
}

/// Keeps a connection until `stop` fires.
pub(super) async fn run(slack: Arc<Slack>, stop: CancellationToken) {
    let mut failures = 0_u32;
    loop {
        let end = tokio::select! {
            () = stop.cancelled() => return,
            end = once(&slack, &mut failures) => end,
        };
        match end {
            End::Refresh => failures = failures.min(1),
            End::Broke(why) => tracing::warn!(failures, "the connection to Slack: {why}"),
        }
        let wait = wait(failures, slack.dice());
        failures = failures.saturating_add(1);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Twice as long each time, between half of it and all of it.
fn wait(failures: u32, dice: u16) -> Duration {
    let whole = match failures.checked_sub(1) {
        None => FIRST_WAIT / 4, // never none: a server that greets and leaves would be a loop
        Some(more) => FIRST_WAIT
            .saturating_mul(2_u32.saturating_pow(more))
            .min(LONGEST_WAIT),
    };
    whole.mul_f64(0.5 + f64::from(dice) / f64::from(u16::MAX) / 2.0)
}

async fn once(slack: &Arc<Slack>, failures: &mut u32) -> End {
    let place = match slack.api.socket().await {
        Ok(place) => place,
        Err(fault) => {
            tracing::warn!("apps.connections.open: {fault}");
            if let super::api::Fault::Later { wait: Some(wait), .. } = fault {
                tokio::time::sleep(wait).await; // the token of the whole is looked at outside
            }
            return End::Broke("it was not opened");
        }
    };
    let opened = timeout(OPEN, open(slack, &place)).await;
    let mut socket = match opened {
        Ok(Ok(socket)) => socket,
        Ok(Err(why)) => return End::Broke(why),
        Err(_) => return End::Broke("it did not open in time"),
    };
    let mut asked = false;
    loop {
        match timeout(SILENCE, socket.next()).await {
            Err(_) if asked => return End::Broke("it went silent"),
            Err(_) => {
                asked = true;
                if say(&mut socket, Message::Ping(Vec::new().into())).await.is_err() {
                    return End::Broke("it broke");
                }
            }
            Ok(Some(Ok(Message::Text(text)))) => {
                asked = false;
                match heard(slack, &mut socket, text.as_str()).await {
                    Ok(true) => *failures = 0,
                    Ok(false) => {}
                    Err(end) => return end,
                }
            }
            Ok(Some(Ok(Message::Close(_)))) | Ok(None) => return End::Refresh,
            Ok(Some(Ok(_))) => asked = false, // pings are answered by the library
            Ok(Some(Err(_))) => return End::Broke("it broke"),
        }
    }
}

/// One message. Gives whether it was the greeting.
async fn heard(slack: &Arc<Slack>, socket: &mut Socket, text: &str) -> Result<bool, End> {
    let Ok(envelope) = serde_json::from_str::<Envelope>(text) else {
        tracing::warn!("Slack sent something that is no envelope");
        return Ok(false);
    };
    match envelope.kind.as_str() {
        "hello" => return Ok(true),
        "disconnect" => return Err(End::Refresh),
        _ => {}
    }
    let Some(id) = envelope
        .envelope_id
        .filter(|id| !id.is_empty() && id.len() <= 256)
    else {
        return Ok(false);
    };
    let acknowledged = json!({"envelope_id": id}).to_string();
    if say(socket, Message::text(acknowledged)).await.is_err() {
        return Err(End::Broke("it broke"));
    }
    if let Some(payload) = envelope.payload.filter(|_| envelope.kind == "interactive") {
        slack.take(format!("envelope {id}"), payload);
    }
    Ok(false)
}

async fn say(socket: &mut Socket, message: Message) -> Result<(), ()> {
    match timeout(OPEN, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

/// Opens the WebSocket (RFC 6455, section 4.1) over the same client, roots and resolver as everything else.
async fn open(slack: &Slack, place: &str) -> Result<Socket, &'static str> {
    let url = address(place, slack.api.is_local()).ok_or("Slack named an address that is no wss address")?;
    let mut random = [0; 16];
    slack.world.random(&mut random);
    let key = STANDARD.encode(random);
    let answer = slack
        .api
        .open
        .get(url)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", &key)
        .send()
        .await
        .map_err(|_| "it cannot be reached")?;
    let wanted = STANDARD.encode(digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}{ACCEPT}").as_bytes(),
    ));
    let accepted = answer.headers().get("sec-websocket-accept");
    let accepted = accepted.is_some_and(|accepted| accepted.as_bytes() == wanted.as_bytes());
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS || !accepted {
        return Err("it was refused");
    }
    let upgraded = answer.upgrade().await.map_err(|_| "it was not upgraded")?;
    let bounds = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(bounds)).await)
}

/// `wss://…` as the HTTP client calls it; `ws://` on this machine alone.
fn address(place: &str, local: bool) -> Option<Url> {
    let rest = match (place.strip_prefix("wss://"), place.strip_prefix("ws://")) {
        (Some(rest), _) => format!("https://{rest}"),
        (None, Some(rest)) if local => format!("http://{rest}"),
        _ => return None,
    };
    Url::parse(&rest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_differ() {
        assert!(wait(0, 0) > Duration::ZERO);
        assert_eq!(wait(1, u16::MAX), FIRST_WAIT);
        for failures in 0..80 {
            assert!(wait(failures, u16::MAX) <= LONGEST_WAIT);
            assert!(wait(failures, 0) < wait(failures, u16::MAX));
        }
    }

    #[test]
    fn only_wss_is_opened_but_on_this_machine() {
        assert_eq!(
            address("wss://wss.slack.example/link?t=1", false)
                .unwrap()
                .as_str(),
            "https://wss.slack.example/link?t=1"
        );
        assert_eq!(address("ws://127.0.0.1:1/x", false), None);
        assert!(address("ws://127.0.0.1:1/x", true).is_some());
        for other in ["https://slack.example/", "file:///etc/passwd", "", "wss:/x"] {
            assert_eq!(address(other, true), None, "{other}");
        }
    }
}
