//! What an ID token must be (OpenID Connect Core 3.1.3.7), stricter where that leaves a choice.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::identity::claims::{LEEWAY, audiences, name, required, seconds, subject, times};
use crate::identity::jose::{Algorithm, Compact, Header, TOKEN_BYTES};
use crate::identity::keys::KeyRing;
use crate::identity::rejection::Reason;
use crate::identity::spec::IssuerSpec;

/// What a good one says.
pub(in crate::identity) struct Vouched {
    /// By the claim that the issuer is configured with, as in access tokens: whoever is one person there must not
    /// be two here.
    pub(in crate::identity) subject: String,
    /// `sub` itself, which userinfo repeats whatever claim is chosen.
    pub(super) sub: String,
    /// In seconds since the epoch, never in the future.
    pub(in crate::identity) auth_time: Option<u64>,
    pub(in crate::identity) acr: Option<String>,
    pub(super) sid: Option<String>,
    /// All of it.
    pub(in crate::identity) claims: Map<String, Value>,
}

impl Vouched {
    /// Whether one of these classes was met; none asks for none.
    pub(in crate::identity) fn meets(&self, classes: &[String]) -> Result<(), Reason> {
        let met = self.acr.as_ref().is_some_and(|acr| classes.contains(acr));
        (classes.is_empty() || met).then_some(()).ok_or(Reason::Weak)
    }

    /// Whether it answers this sign-in.
    pub(super) fn repeats(&self, nonce: &str) -> Result<(), Reason> {
        let said = self.claims.get("nonce").and_then(Value::as_str);
        let same = said.is_some_and(|said| bool::from(said.as_bytes().ct_eq(nonce.as_bytes())));
        (same && !nonce.is_empty())
            .then_some(())
            .ok_or(Reason::Claim("nonce"))
    }
}

/// Checks an ID token that must be of this issuer and for this client alone. `access` is the access
/// token it came with, if it did; `now` is in seconds since the epoch.
pub(in crate::identity) async fn check(
    ring: &Arc<KeyRing>,
    client: &str,
    token: &str,
    access: Option<&str>,
    now: u64,
) -> Result<Vouched, Reason> {
    if token.len() > TOKEN_BYTES {
        return Err(Reason::Oversized);
    }
    let token = Compact::parse(token)?;
    issued_by(ring.issuer(), &token.claims)?;
    ring.check(&token).await?;
    if let Some(access) = access {
        access_hash(&token, access)?;
    }
    let vouched = claims(&token.header, token.claims, ring.issuer(), client, now)?;
    Ok(vouched)
}

/// `iss`, character for character.
pub(super) fn issued_by(issuer: &IssuerSpec, claims: &Map<String, Value>) -> Result<(), Reason> {
    match claims.get("iss") {
        Some(Value::String(named)) if *named == issuer.url => Ok(()),
        Some(Value::String(_)) => Err(Reason::Issuer),
        _ => Err(Reason::Claim("iss")),
    }
}

/// Once the signature and `iss` are known to be right.
pub(super) fn claims(
    header: &Header,
    claims: Map<String, Value>,
    issuer: &IssuerSpec,
    client: &str,
    now: u64,
) -> Result<Vouched, Reason> {
    let lower = header.media_type.as_deref().map(str::to_ascii_lowercase);
    match lower.as_deref() {
        None | Some("jwt" | "application/jwt") => {}
        _ => return Err(Reason::NotAnIdToken), // at+jwt, logout+jwt and whatever else says what it is
    }
    times(&claims, issuer, now)?;
    only_for(&claims, client)?;
    required(&claims, issuer)?;
    id_token_only(&claims)?;
    let sub = name(&claims, "sub")?.ok_or(Reason::Claim("sub"))?.to_owned();
    let subject = subject(&claims, issuer)?.to_owned();
    if sub == client || subject == client {
        return Err(Reason::Claim("sub")); // the client itself is no person
    }
    seconds(&claims, "iat")?.ok_or(Reason::Claim("iat"))?;
    let auth_time = seconds(&claims, "auth_time")?;
    if auth_time.is_some_and(|at| at > now.saturating_add(LEEWAY)) {
        return Err(Reason::NotYetValid);
    }
    Ok(Vouched {
        subject,
        sub,
        auth_time: auth_time.map(|at| at.min(now)),
        acr: name(&claims, "acr")?.map(str::to_owned),
        sid: name(&claims, "sid")?.map(str::to_owned),
        claims,
    })
}

/// Items 3 to 5: nobody else is trusted with it.
pub(super) fn only_for(claims: &Map<String, Value>, client: &str) -> Result<(), Reason> {
    let audiences = audiences(claims)?;
    if audiences.len() != 1 || !audiences.contains(client) {
        return Err(Reason::Audience);
    }
    if name(claims, "azp")?.is_some_and(|party| party != client) {
        return Err(Reason::Client);
    }
    Ok(())
}

/// Refuses what the same issuer signs for other ends: access tokens name scopes or a client of their own
/// kind (RFC 9068), logout tokens have `events`, and some issuers say in the claims what a token is.
fn id_token_only(claims: &Map<String, Value>) -> Result<(), Reason> {
    let says = |claim, allowed: &str| claims.get(claim).is_none_or(|kind| kind == allowed);
    let foreign = ["scope", "scp", "client_id", "events", "cnf"];
    if foreign.iter().any(|claim| claims.contains_key(*claim))
        || !says("typ", "ID")
        || !says("token_use", "id")
    {
        return Err(Reason::NotAnIdToken);
    }
    Ok(())
}

/// OpenID Connect Core 3.1.3.8: whoever swaps the access token is found out.
fn access_hash(token: &Compact<'_>, access: &str) -> Result<(), Reason> {
    let said = match token.claims.get("at_hash") {
        None => return Ok(()),
        Some(Value::String(said)) => said,
        Some(_) => return Err(Reason::Claim("at_hash")),
    };
    use Algorithm as A;
    let bytes = access.as_bytes();
    let mut hash = match token.header.algorithm {
        A::RS256 | A::PS256 | A::ES256 => Sha256::digest(bytes).to_vec(),
        A::RS384 | A::PS384 | A::ES384 => Sha384::digest(bytes).to_vec(),
        A::RS512 | A::PS512 | A::EdDSA => Sha512::digest(bytes).to_vec(), // Ed25519 hashes with SHA-512
    };
    hash.truncate(hash.len() / 2);
    let expected = URL_SAFE_NO_PAD.encode(hash);
    let same = bool::from(said.as_bytes().ct_eq(expected.as_bytes()));
    same.then_some(()).ok_or(Reason::Claim("at_hash"))
}
