//! What a resource server must check of an access token's claims (RFC 9068 §4, RFC 8725 §3,
//! RFC 7519 §4.1), once its signature is known to be right.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::groups::{self, GroupMap};
use super::jose::Header;
use super::rejection::Reason;
use super::spec::IssuerSpec;
use crate::call::{Agent, User, UserKind};

/// How far the issuer's clock may be from ours, in seconds.
pub(super) const LEEWAY: u64 = 30;
/// The longest subject and client id, in bytes (OpenID Connect Core §2).
const NAME_BYTES: usize = 255;
/// Claims only an ID token or a logout token has.
const NOT_OF_ACCESS_TOKENS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
/// Claims that name the client: RFC 9068; OpenID Connect, Keycloak, Entra v2; Okta; Entra v1.
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];

/// What a good token says.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) user: User,
    pub(super) agent: Agent,
    /// The issuer's session, where it names one.
    pub(super) sid: Option<String>,
    /// The scopes the token carries.
    pub(super) scopes: BTreeSet<String>,
    /// Seconds since the epoch.
    pub(super) expires: u64,
    /// Only its issuer knows what it is, and was asked.
    pub(super) opaque: bool,
}

/// Checks a token whose signature is right and whose `iss` is `issuer.url`. `now` is in seconds since the
/// epoch.
pub(super) fn signed(
    header: &Header,
    claims: &Map<String, Value>,
    issuer: &IssuerSpec,
    map: &GroupMap,
    now: u64,
) -> Result<Admitted, Reason> {
    media_type(header, issuer)?;
    check(claims, issuer, map, now)
}

/// Checks what `issuer` says of a token, by its signature or when asked.
pub(super) fn check(
    claims: &Map<String, Value>,
    issuer: &IssuerSpec,
    map: &GroupMap,
    now: u64,
) -> Result<Admitted, Reason> {
    let expires = times(claims, issuer, now)?;
    let audiences = for_us(claims, issuer)?;
    let subject = subject(claims, issuer)?;
    let client = client(claims, issuer)?;
    required(claims, issuer)?;
    access_token_only(claims, &audiences, client)?;
    let scopes = scopes(claims)?;
    if !issuer.required_scopes.iter().all(|scope| scopes.contains(scope)) {
        return Err(Reason::Scope);
    }
    let values = groups::claimed(claims, issuer).map_err(Reason::Groups)?;
    let kind = if issuer.services || is_service(claims, client) {
        UserKind::Service
    } else {
        UserKind::Person
    };
    Ok(Admitted {
        user: User {
            issuer: issuer.name.clone(),
            subject: subject.to_owned(),
            kind,
            groups: map.local(&issuer.name, values),
        },
        agent: Agent {
            client_id: client.unwrap_or("unknown").to_owned(),
            verified: client.is_some(),
            claimed_name: String::new(),
            claimed_version: String::new(),
        },
        sid: name(claims, "sid")?.map(str::to_owned),
        scopes,
        expires,
        opaque: false,
    })
}

/// The audiences of a token that is for us: `aud` names us, or there is none and the issuer is known to
/// write none (then `client` below decides, by the list that must be there).
fn for_us<'a>(claims: &'a Map<String, Value>, issuer: &IssuerSpec) -> Result<BTreeSet<&'a str>, Reason> {
    if issuer.accept_missing_aud && issuer.client_ids.is_some() && !claims.contains_key("aud") {
        return Ok(BTreeSet::new());
    }
    let audiences = audiences(claims)?;
    if audiences.contains(issuer.audience.as_str()) {
        Ok(audiences)
    } else {
        Err(Reason::Audience)
    }
}

/// Whom the token speaks of. `sub` must be there in any case: a token without it is of no user.
pub(super) fn subject<'a>(claims: &'a Map<String, Value>, issuer: &IssuerSpec) -> Result<&'a str, Reason> {
    let subject = name(claims, "sub")?.ok_or(Reason::Claim("sub"))?;
    match issuer.subject_claim.as_str() {
        "sub" => Ok(subject),
        other => claims.get(other).and_then(named).ok_or(Reason::Subject),
    }
}

/// Whether nobody is behind it but the client itself: RFC 9068 §2.2 (`sub` is the client), and what Entra
/// (`idtyp`) and Auth0 (`gty`) write instead.
fn is_service(claims: &Map<String, Value>, client: Option<&str>) -> bool {
    let sub = claims.get("sub").and_then(Value::as_str);
    let says = |claim, word: &str| claims.get(claim).is_some_and(|value| value == word);
    (client.is_some() && client == sub) || says("idtyp", "app") || says("gty", "client-credentials")
}

/// What tells the organisation's own from those of everybody else whom the issuer vouches for. Text alone
/// is compared, character for character: a list that holds the right one too says nothing certain.
pub(super) fn required(claims: &Map<String, Value>, issuer: &IssuerSpec) -> Result<(), Reason> {
    let holds = |(claim, allowed): (&String, &BTreeSet<String>)| {
        let said = claims.get(claim).and_then(Value::as_str);
        said.is_some_and(|said| allowed.contains(said))
    };
    let all = issuer.required_claims.iter().all(holds);
    all.then_some(()).ok_or(Reason::Required)
}

fn media_type(header: &Header, issuer: &IssuerSpec) -> Result<(), Reason> {
    let lower = header.media_type.as_deref().map(str::to_ascii_lowercase);
    match lower.as_deref() {
        Some("at+jwt" | "application/at+jwt") => Ok(()),
        None | Some("jwt" | "application/jwt") if issuer.accept_typ_jwt => Ok(()),
        _ => Err(Reason::Type),
    }
}

/// `exp`, and `nbf` and `iat` where they are, against our own clock.
pub(super) fn times(claims: &Map<String, Value>, issuer: &IssuerSpec, now: u64) -> Result<u64, Reason> {
    let expires = seconds(claims, "exp")?.ok_or(Reason::Claim("exp"))?;
    if now >= expires.saturating_add(LEEWAY) {
        return Err(Reason::Expired);
    }
    for claim in ["nbf", "iat"] {
        if seconds(claims, claim)?.is_some_and(|from| from > now.saturating_add(LEEWAY)) {
            return Err(Reason::NotYetValid);
        }
    }
    if expires
        > now
            .saturating_add(issuer.max_lifetime_seconds)
            .saturating_add(LEEWAY)
    {
        return Err(Reason::Lifetime);
    }
    Ok(expires)
}

/// A NumericDate (RFC 7519 §2): a JSON number, possibly with a fraction, which is dropped.
pub(super) fn seconds(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<u64>, Reason> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    if let Some(whole) = value.as_u64() {
        return Ok(Some(whole));
    }
    match value.as_f64() {
        // The bound keeps the cast exact; 2^53 seconds is beyond any date.
        Some(real) if (0.0..9_007_199_254_740_992.0).contains(&real) =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bounded just above"
            )]
            Ok(Some(real as u64))
        }
        _ => Err(Reason::Claim(claim)),
    }
}

/// `aud`: one string, or a list of strings (RFC 7519 §4.1.3).
pub(super) fn audiences(claims: &Map<String, Value>) -> Result<BTreeSet<&str>, Reason> {
    match claims.get("aud") {
        Some(Value::String(one)) => Ok(BTreeSet::from([one.as_str()])),
        Some(Value::Array(list)) => {
            let texts = list
                .iter()
                .map(|entry| entry.as_str().ok_or(Reason::Claim("aud")));
            texts.collect()
        }
        _ => Err(Reason::Claim("aud")),
    }
}

/// A name from a claim: text of at most 255 bytes without control characters.
pub(super) fn name<'a>(
    claims: &'a Map<String, Value>,
    claim: &'static str,
) -> Result<Option<&'a str>, Reason> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    named(value).map(Some).ok_or(Reason::Claim(claim))
}

fn named(value: &Value) -> Option<&str> {
    let fits = |text: &&str| (1..=NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    value.as_str().filter(fits)
}

/// The client the token was issued to. Claims that contradict each other name nobody we can trust.
fn client<'a>(claims: &'a Map<String, Value>, issuer: &IssuerSpec) -> Result<Option<&'a str>, Reason> {
    let mut client = None;
    for claim in CLIENT_CLAIMS {
        let named = name(claims, claim)?;
        if client.is_some() && named.is_some() && client != named {
            return Err(Reason::Client);
        }
        client = client.or(named);
    }
    let allowed = |list: &BTreeSet<String>| client.is_some_and(|id| list.contains(id));
    match &issuer.client_ids {
        Some(list) if !allowed(list) => Err(Reason::Client),
        _ => Ok(client),
    }
}

/// Refuses what the same issuer signs for other ends: ID tokens (their audience is the client),
/// logout and refresh tokens, and tokens that are worth nothing without a proof we do not check.
fn access_token_only(
    claims: &Map<String, Value>,
    audiences: &BTreeSet<&str>,
    client: Option<&str>,
) -> Result<(), Reason> {
    if NOT_OF_ACCESS_TOKENS
        .iter()
        .any(|claim| claims.contains_key(*claim))
    {
        return Err(Reason::NotAnAccessToken);
    }
    // Keycloak and Cognito say in the claims what a token is.
    let says = |claim, allowed: &str| claims.get(claim).is_none_or(|kind| kind == allowed);
    if !says("typ", "Bearer") || !says("token_use", "access") {
        return Err(Reason::NotAnAccessToken);
    }
    if client.is_some_and(|id| audiences.contains(id)) {
        return Err(Reason::NotAnAccessToken);
    }
    if claims.contains_key("cnf") {
        return Err(Reason::SenderConstrained); // RFC 9449 §7.1, RFC 8705 §3
    }
    Ok(())
}

/// `scope` is space-separated text (RFC 9068 §2.2.3); `scp` is the same at Entra and a list at Okta.
pub(super) fn scopes(claims: &Map<String, Value>) -> Result<BTreeSet<String>, Reason> {
    let mut granted: BTreeSet<&str> = BTreeSet::new();
    for claim in ["scope", "scp"] {
        match claims.get(claim) {
            None => {}
            Some(Value::String(text)) => granted.extend(text.split(' ')),
            Some(Value::Array(list)) => granted.extend(list.iter().filter_map(Value::as_str)),
            Some(_) => return Err(Reason::Claim("scope")),
        }
    }
    Ok(granted
        .into_iter()
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect())
}
