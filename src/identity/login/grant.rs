//! The token endpoint, as a public client (RFC 6749 sections 4.1.3, 5 and 6).

use serde_json::Value;
use url::Url;

use super::{TOKEN_BYTES, Tokens};
use crate::clock::World;
use crate::identity::fetch::{Fetch, Fetched, Form};
use crate::identity::jose::strict_json;
use crate::secret::Secret;

/// How long an access token lasts whose server does not say (RFC 6749 section 5.1 only recommends it), in
/// seconds.
const UNSAID: u64 = 300;
/// No token is believed to last longer than this many seconds.
const LONGEST: u64 = 365 * 24 * 3600;

/// Why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server's own word, such as `invalid_grant`.
    Word(String),
    /// It cannot be reached, or does not speak OAuth now.
    Away(String),
}

/// Asks for tokens.
pub(super) async fn ask(
    fetch: &dyn Fetch,
    world: &dyn World,
    endpoint: &Url,
    fields: &[(&str, &str)],
) -> Result<Tokens, Fault> {
    let now = world.now().seconds(); // before the answer, so that a slow one is not thought to last longer
    let answer = post(fetch, endpoint, fields).await?;
    read(&answer, now).ok_or_else(|| Fault::Away("the token endpoint sent no bearer token".to_owned()))
}

/// Posts a form; the JSON of a good answer.
pub(super) async fn post(fetch: &dyn Fetch, endpoint: &Url, fields: &[(&str, &str)]) -> Result<Value, Fault> {
    let form = Form {
        fields,
        authorization: None,
    };
    let answer = fetch.post(endpoint, form).await;
    let answer = answer.map_err(|error| Fault::Away(error.to_string()))?;
    if answer.status != 200 {
        return Err(refusal(&answer, endpoint));
    }
    strict_json(&answer.body).map_err(|_| Fault::Away(format!("{endpoint} did not answer in JSON")))
}

/// Section 5.2: 400 or 401, with a word. Anything else says nothing about the grant.
fn refusal(answer: &Fetched, endpoint: &Url) -> Fault {
    let body = strict_json(&answer.body).ok();
    let word = body
        .as_ref()
        .and_then(|body| body.get("error"))
        .and_then(Value::as_str)
        .map(plain)
        .filter(|word| !word.is_empty());
    match (answer.status, word) {
        (400 | 401 | 403, Some(word)) => Fault::Word(word),
        (status, _) => Fault::Away(format!("{endpoint} answered HTTP {status}")),
    }
}

/// An error code as it may be shown.
pub(super) fn plain(word: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || "_-.".contains(*c);
    word.chars().filter(fits).take(64).collect()
}

fn read(answer: &Value, now: u64) -> Option<Tokens> {
    let kind = answer.get("token_type")?.as_str()?;
    if !kind.eq_ignore_ascii_case("bearer") {
        return None; // a DPoP token is worth nothing without proofs
    }
    let token = |name: &str| answer.get(name).and_then(Value::as_str);
    let refresh = match token("refresh_token") {
        Some(text) => Some(sendable(text)?),
        None => None,
    };
    let lasts = match answer.get("expires_in") {
        None | Some(Value::Null) => UNSAID,
        Some(Value::Number(seconds)) => seconds.as_u64()?,
        Some(Value::String(seconds)) => seconds.parse().ok()?, // Entra v1
        Some(_) => return None,
    };
    Some(Tokens {
        access: sendable(token("access_token")?)?,
        refresh,
        expires_at: now.saturating_add(lasts.min(LONGEST)),
    })
}

/// A token that can stand in a header (RFC 6750 section 2.1) or a form, and is not absurdly long.
pub(super) fn sendable(text: &str) -> Option<Secret> {
    let fits =
        !text.is_empty() && text.len() <= TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret::new(text.to_owned()))
}
