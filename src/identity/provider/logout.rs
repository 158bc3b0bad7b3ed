//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.6). That one counts once is the
//! caller's to see: they keep what has been.

use std::sync::Arc;

use serde_json::Value;

use super::LoggedOut;
use super::id_token::{issued_by, only_for};
use crate::identity::claims::{LEEWAY, name, seconds, times};
use crate::identity::jose::Compact;
use crate::identity::keys::KeyRing;
use crate::identity::rejection::Reason;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Checks one that must be of this issuer and for this client alone; `now` is in seconds since the epoch.
pub(super) async fn check(
    ring: &Arc<KeyRing>,
    client: &str,
    token: &str,
    now: u64,
) -> Result<LoggedOut, Reason> {
    let token = Compact::parse(token)?;
    issued_by(ring, &token.claims)?;
    ring.check(&token).await?;
    let claims = &token.claims;
    let lower = token.header.media_type.as_deref().map(str::to_ascii_lowercase);
    let typed = match lower.as_deref() {
        None | Some("jwt" | "logout+jwt" | "application/logout+jwt") => true,
        _ => false,
    };
    // Item 6: the event says what it is. Item 7: with a nonce it could be an ID token in disguise.
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !typed || !event.is_some_and(Value::is_object) || claims.contains_key("nonce") {
        return Err(Reason::NotALogoutToken);
    }
    let expires = times(claims, ring.issuer(), now)?;
    only_for(claims, client)?;
    seconds(claims, "iat")?.ok_or(Reason::Claim("iat"))?;
    let text = |claim| Ok::<_, Reason>(name(claims, claim)?.map(str::to_owned));
    let (subject, sid) = (text("sub")?, text("sid")?);
    if subject.is_none() && sid.is_none() {
        return Err(Reason::Claim("sub"));
    }
    Ok(LoggedOut {
        subject,
        sid,
        jti: text("jti")?.ok_or(Reason::Claim("jti"))?,
        until: expires.saturating_add(LEEWAY),
    })
}
