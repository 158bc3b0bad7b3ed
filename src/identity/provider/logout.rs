//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.6). That one counts once is the
//! caller's to see: they keep what has been.

use std::sync::Arc;

use serde_json::Value;

use super::LoggedOut;
use super::id_token::{issued_by, only_for};
use crate::identity::claims::{LEEWAY, name, seconds, subject, times};
use crate::identity::jose::{Compact, TOKEN_BYTES};
use crate::identity::keys::KeyRing;
use crate::identity::rejection::Reason;
use crate::identity::spec::IssuerSpec;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Checks one that must be of this issuer and for this client alone; `now` is in seconds since the epoch.
pub(super) async fn check(
    ring: &Arc<KeyRing>,
    client: &str,
    token: &str,
    now: u64,
) -> Result<LoggedOut, Reason> {
    if token.len() > TOKEN_BYTES {
        return Err(Reason::Oversized);
    }
    let token = Compact::parse(token)?;
    issued_by(ring.issuer(), &token.claims)?;
    ring.check(&token).await?;
    told(&token, ring.issuer(), client, now)
}

/// What it says, once its signature and `iss` are known to be right.
pub(super) fn told(
    token: &Compact<'_>,
    issuer: &IssuerSpec,
    client: &str,
    now: u64,
) -> Result<LoggedOut, Reason> {
    let claims = &token.claims;
    let lower = token.header.media_type.as_deref().map(str::to_ascii_lowercase);
    let typed = matches!(
        lower.as_deref(),
        None | Some("jwt" | "logout+jwt" | "application/logout+jwt")
    );
    // Item 6: the event says what it is. Item 7: with a nonce it could be an ID token in disguise.
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !typed || !event.is_some_and(Value::is_object) || claims.contains_key("nonce") {
        return Err(Reason::NotALogoutToken);
    }
    let expires = times(claims, issuer, now)?;
    only_for(claims, client)?;
    seconds(claims, "iat")?.ok_or(Reason::Claim("iat"))?;
    let text = |claim| Ok::<_, Reason>(name(claims, claim)?.map(str::to_owned));
    let (sub, sid) = (text("sub")?, text("sid")?);
    if sub.is_none() && sid.is_none() {
        return Err(Reason::Claim("sub"));
    }
    // Sessions are kept by the subject that the issuer is configured with. Where that is not `sub`, a `sub` alone
    // names none of them, and to say that they have ended would be untrue.
    let subject = match sub {
        Some(_) => subject(claims, issuer).map(str::to_owned).ok(),
        None => None,
    };
    if subject.is_none() && sid.is_none() {
        return Err(Reason::Subject);
    }
    Ok(LoggedOut {
        subject,
        sid,
        jti: text("jti")?.ok_or(Reason::Claim("jti"))?,
        until: expires.saturating_add(LEEWAY),
    })
}
