//! What is right and wrong with an issuer, found by asking it: for `tollgate doctor identity`.
//!
//! Nothing is changed anywhere. What is shown is of the issuer's public documents, the names of claims, and
//! the groups of the person who signed in to look; never a token, a secret or the value of another claim.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use super::discovery::Metadata;
use super::fetch::{Fetch, Form};
use super::groups::{self, GroupMap};
use super::introspection::{Introspector, basic};
use super::jose::{Compact, strict_json};
use super::keys::KeyRing;
use super::saml::{self, SamlSpec};
use super::spec::{IssuerSpec, secure};
use crate::clock::{Timestamp, World};
use crate::secret::Secret;

/// How far the clocks may be apart before a token of one is early or late for the other, in seconds.
const SKEW: u64 = 25;
/// The most groups, and the longest text of an issuer, that is shown.
const SHOWN: usize = 60;

/// How a finding turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// For the reader to know, or probably not as meant.
    Note,
    /// Nobody can sign in this way.
    Bad,
}

/// One thing found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it turned out.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do; empty when nothing.
    pub remedy: String,
}

/// What is found, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    fn ok(&mut self, text: impl Into<String>) {
        self.add(Level::Ok, text, "");
    }

    fn note(&mut self, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Note, text, remedy);
    }

    fn bad(&mut self, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Bad, text, remedy);
    }

    fn add(&mut self, level: Level, text: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding {
            level,
            text: text.into(),
            remedy: remedy.into(),
        });
    }

    /// Whether nothing keeps people out.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.0.iter().all(|finding| finding.level != Level::Bad)
    }
}

/// A client of ours at the issuer.
#[derive(Debug, Clone)]
pub struct ClientSpec {
    /// What it is for, in a few words.
    pub purpose: &'static str,
    /// Its id.
    pub id: String,
    /// Its secret; `None` for a public client.
    pub secret: Option<Secret>,
    /// What must be registered there, exactly.
    pub redirect_uri: String,
    /// The scopes that are asked for.
    pub scopes: Vec<String>,
}

/// Reads what is configured of a provider that speaks SAML. Nobody is asked: there is nothing to ask without a
/// person. `unchecked` is how long a session may last that cannot be asked about again.
#[must_use]
pub fn examine_saml(world: &Arc<dyn World>, spec: &SamlSpec, unchecked: Duration) -> Findings {
    let mut found = Findings::default();
    let read = saml::provider(spec.clone(), Arc::clone(world)).and_then(|_| saml::about(spec));
    let about = match read {
        Ok(about) => about,
        Err(error) => {
            found.bad(error.to_string(), "mend its metadata file or the [[issuer]]");
            return found;
        }
    };
    found.ok(format!(
        "its metadata is understood: {} signs people in at {}, certificates that may sign: {}",
        about.entity, about.sign_on, about.certificates
    ));
    let now = world.now().seconds();
    match about.until {
        Some(until) if until <= now => found.bad(
            format!(
                "its metadata ended {} (validUntil): nobody signs in",
                Timestamp(until * 1000).rfc3339()
            ),
            "download it again and restart",
        ),
        Some(until) => found.note(
            format!(
                "its metadata ends {} (validUntil)",
                Timestamp(until * 1000).rfc3339()
            ),
            "download it again before that, and restart",
        ),
        None => {}
    }
    if spec.groups_claim.is_none() {
        found.note(
            "groups_claim is not set: nobody of this issuer has groups",
            "set it to a slash and the name of the attribute",
        );
    }
    let ours = spec.address();
    found.note(
        format!("what the provider must know of us is at {ours}/metadata: entity id and ACS are both {ours}"),
        "",
    );
    found.note(
        format!(
            "SAML gives nothing to ask again with: whoever is locked out there may go on here for {} seconds (unchecked_seconds)",
            unchecked.as_secs()
        ),
        "",
    );
    found
}

/// Asks an issuer everything that can be asked without a person.
pub async fn examine(
    (fetch, world): (&Arc<dyn Fetch>, &Arc<dyn World>),
    issuer: &IssuerSpec,
    clients: &[ClientSpec],
) -> Findings {
    let mut found = Findings::default();
    let metadata = match Metadata::read(fetch.as_ref(), &issuer.url).await {
        Ok(metadata) => {
            found.ok(format!("discovery: it is {}, as configured", issuer.url));
            Some(metadata)
        }
        Err(error) => {
            found.bad(
                format!("discovery: {error}"),
                "url must be, character for character, what the issuer calls itself (mind a slash at the end); \
                 from here it must be reachable over https",
            );
            None
        }
    };
    let ring = KeyRing::new(issuer.clone(), Arc::clone(fetch), Arc::clone(world));
    match ring.probe().await {
        Ok(0) => found.bad(
            "keys: it publishes none that can be used",
            "it must publish RSA keys of at least 2048 bits, P-256, P-384 or Ed25519 keys for signatures",
        ),
        Ok(count) => found.ok(format!("keys: {count} can be used")),
        Err(error) => found.bad(
            format!("keys: {error}"),
            "without its keys no token can be checked; if they are rightly elsewhere, set jwks_uri",
        ),
    }
    clock(fetch.as_ref(), world.as_ref(), issuer, &mut found).await;
    if let Some(metadata) = &metadata {
        algorithms(metadata, issuer, &mut found);
        for client in clients {
            relying(fetch.as_ref(), metadata, client, &mut found).await;
        }
        if !clients.is_empty() {
            again(metadata, clients, &mut found);
        }
    }
    if let Some(introspector) = Introspector::new(issuer, fetch, world) {
        match introspector.probe().await {
            Ok(endpoint) => found.ok(format!("opaque tokens: it can be asked at {endpoint}")),
            Err(error) => found.bad(
                format!("opaque tokens: {error}"),
                "the client must be confidential and allowed to introspect; or set introspection_endpoint",
            ),
        }
    }
    found
}

/// Our clock against the one that stamps its tokens.
async fn clock(fetch: &dyn Fetch, world: &dyn World, issuer: &IssuerSpec, found: &mut Findings) {
    let Ok(place) = secure(&issuer.url) else {
        return;
    };
    match fetch.date(&place).await {
        Ok(Some(theirs)) => {
            let ours = world.now().seconds();
            let apart = ours.abs_diff(theirs);
            if apart <= SKEW {
                found.ok(format!("clock: {apart} s apart"));
            } else {
                let which = if ours > theirs { "ahead of" } else { "behind" };
                found.bad(
                    format!("clock: this machine is {apart} s {which} the issuer"),
                    "synchronise this machine's clock (NTP): tokens count as expired or not yet valid, 30 s are allowed for",
                );
            }
        }
        Ok(None) | Err(_) => found.note("clock: the issuer does not say what time it is", ""),
    }
}

fn algorithms(metadata: &Metadata, issuer: &IssuerSpec, found: &mut Findings) {
    let signs = |algorithm: &super::Algorithm| {
        metadata.lists("id_token_signing_alg_values_supported", algorithm.as_str())
    };
    let named: Vec<_> = issuer.algorithms.iter().filter_map(signs).collect();
    if named.is_empty() {
        found.note("algorithms: it does not say what it signs with", "");
    } else if named.contains(&true) {
        found.ok("algorithms: it signs with one that is accepted");
    } else {
        found.bad(
            "algorithms: it signs with none that is accepted",
            "let it sign with RS256 or ES256, or correct `algorithms`",
        );
    }
}

/// One client: its redirect URI, PKCE, scopes, and whether its secret is right.
async fn relying(fetch: &dyn Fetch, metadata: &Metadata, client: &ClientSpec, found: &mut Findings) {
    let purpose = client.purpose;
    found.note(
        format!(
            "{purpose}: redirect URI to register there: {}",
            client.redirect_uri
        ),
        "",
    );
    if metadata.lists("code_challenge_methods_supported", "S256") == Some(false) {
        found.bad(
            format!("{purpose}: it does not support PKCE with S256"),
            "allow PKCE (S256) for the client at the issuer",
        );
    }
    let unknown = |scope: &&String| metadata.lists("scopes_supported", scope) == Some(false);
    let unknown: Vec<&str> = client.scopes.iter().filter(unknown).map(String::as_str).collect();
    if !unknown.is_empty() {
        found.note(
            format!(
                "{purpose}: the issuer does not list the scopes {}",
                unknown.join(", ")
            ),
            "issuers need not list all; correct `scopes` if signing in fails with invalid_scope",
        );
    }
    match token_error(fetch, metadata, client).await {
        Ok(word) if word == "invalid_grant" => {
            found.ok(format!("{purpose}: the issuer accepts our client credentials"));
        }
        Ok(word) if word == "invalid_client" || word == "unauthorized_client" => found.bad(
            format!("{purpose}: the issuer refuses our client ({word})"),
            "compare client_id and client_secret with the registration: a secret may have expired, or the client is public there and confidential here, or the other way round",
        ),
        Ok(word) => found.note(
            format!("{purpose}: asked with a made-up code the issuer says {word}, not invalid_grant"),
            "it may still work: try with --login",
        ),
        Err(error) => found.bad(format!("{purpose}: {error}"), "its token endpoint must be reachable from here"),
    }
}

/// What the token endpoint says of a code nobody has: the error word (RFC 6749 §5.2).
async fn token_error(fetch: &dyn Fetch, metadata: &Metadata, client: &ClientSpec) -> Result<String, String> {
    let endpoint = metadata
        .text("token_endpoint")
        .ok_or("its discovery document has no token_endpoint")?;
    let endpoint: Url = secure(endpoint).map_err(|why| format!("its token_endpoint {why}"))?;
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", "tollgate-doctor-has-no-code"),
        ("redirect_uri", client.redirect_uri.as_str()),
        (
            "code_verifier",
            "tollgate-doctor-has-no-verifier-either-0000000000",
        ),
    ];
    let methods = "token_endpoint_auth_methods_supported";
    let posts = metadata.lists(methods, "client_secret_basic") == Some(false)
        && metadata.lists(methods, "client_secret_post") == Some(true);
    let authorization = match &client.secret {
        Some(secret) if posts => {
            fields.extend([
                ("client_id", client.id.as_str()),
                ("client_secret", secret.expose()),
            ]);
            None
        }
        Some(secret) => Some(basic(&client.id, secret)),
        None => {
            fields.push(("client_id", client.id.as_str()));
            None
        }
    };
    let form = Form {
        fields: &fields,
        authorization: authorization.as_ref().map(|value| value.as_str()),
    };
    let answer = fetch
        .post(&endpoint, form)
        .await
        .map_err(|error| error.to_string())?;
    let body = strict_json(&answer.body).unwrap_or_default();
    match body.get("error").and_then(Value::as_str) {
        Some(word) => Ok(plain(word)),
        None if answer.status == 401 => Ok("invalid_client".to_owned()),
        None => Err(format!(
            "its token endpoint answered HTTP {} without an error word",
            answer.status
        )),
    }
}

/// How it will be known later that a person is still there.
fn again(metadata: &Metadata, clients: &[ClientSpec], found: &mut Findings) {
    let refreshes = metadata.lists("grant_types_supported", "refresh_token") != Some(false);
    let asks = clients
        .iter()
        .any(|client| client.scopes.iter().any(|scope| scope == "offline_access"));
    let offered = metadata.lists("scopes_supported", "offline_access") == Some(true);
    if refreshes && (asks || !offered) {
        found.ok("standing: asked again by refresh token, where it gives one");
    } else if metadata.text("userinfo_endpoint").is_some() {
        found.note(
            "standing: asked again at the userinfo endpoint, while its access token lasts",
            "add \"offline_access\" to `scopes` for refresh tokens, which last longer",
        );
    } else {
        found.note(
            "standing: cannot be asked again; sessions end after unchecked_seconds",
            "add \"offline_access\" to `scopes` if the issuer gives refresh tokens for it",
        );
    }
    if metadata.text("userinfo_endpoint").is_none() {
        found.note("userinfo: it has no such endpoint", "");
    }
    let tells = metadata.flag("backchannel_logout_supported");
    found.note(
        if tells {
            "logout: it can tell us when it ends a session"
        } else {
            "logout: it does not tell us when it ends a session"
        },
        if tells {
            "register <public_url>/oauth/logged-out/<issuer name> as back-channel logout URI"
        } else {
            ""
        },
    );
}

/// What an ID token of a real sign-in says, and what it makes here.
pub async fn read_login(
    (fetch, world): (&Arc<dyn Fetch>, &Arc<dyn World>),
    issuer: &IssuerSpec,
    map: &GroupMap,
    token: &Secret,
) -> Findings {
    let mut found = Findings::default();
    let ring = KeyRing::new(issuer.clone(), Arc::clone(fetch), Arc::clone(world));
    let parsed = match Compact::parse(token.expose()) {
        Ok(parsed) => parsed,
        Err(reason) => {
            found.bad(
                format!("sign-in: {reason}"),
                "the issuer must give signed ID tokens",
            );
            return found;
        }
    };
    match Arc::new(ring).check(&parsed).await {
        Ok(()) => found.ok("sign-in: the ID token's signature is right"),
        Err(reason) => {
            found.bad(
                format!("sign-in: {reason}"),
                "compare `algorithms` and jwks_uri with the issuer",
            );
            return found;
        }
    }
    said(&parsed.claims, issuer, map, &mut found);
    found
}

fn said(claims: &Map<String, Value>, issuer: &IssuerSpec, map: &GroupMap, found: &mut Findings) {
    let mut names: Vec<String> = claims.keys().take(SHOWN).map(|name| plain(name)).collect();
    names.sort();
    found.note(format!("claims: {}", names.join(", ")), "");
    if claims.get("iss").and_then(Value::as_str) != Some(issuer.url.as_str()) {
        found.bad(
            "claims: iss is not the configured url",
            "url must be exactly what `iss` says",
        );
    }
    if super::claims::subject(claims, issuer).is_err() {
        found.bad(
            format!("claims: there is no usable {}", plain(&issuer.subject_claim)),
            "correct subject_claim, or let the issuer put it into ID tokens",
        );
    }
    match groups::claimed(claims, issuer) {
        Err(fault) => found.bad(
            format!("groups: {fault}"),
            "every sign-in is refused until that is mended",
        ),
        Ok(values) if issuer.groups_claim.is_some() => {
            let shown: Vec<String> = values.iter().take(SHOWN).map(|value| plain(value)).collect();
            found.ok(format!("groups: {} there: {}", values.len(), shown.join(", ")));
            let local = map.local(&issuer.name, values);
            if local.is_empty() {
                found.note("groups: they make no local group", "map them in [groups]");
            } else {
                let local: Vec<&str> = local.iter().map(String::as_str).collect();
                found.ok(format!("groups: here these make {}", local.join(", ")));
            }
        }
        Ok(_) => found.note("groups: this issuer gives none (no groups_claim)", ""),
    }
    if claims.contains_key("auth_time") {
        found.ok("auth_time: said, so a fresh sign-in can be asked for");
    } else {
        found.note(
            "auth_time: not said; deciding requests needs it",
            "let the issuer put auth_time into ID tokens (Okta, Entra: an optional claim)",
        );
    }
    match claims.get("acr").and_then(Value::as_str) {
        Some(acr) => found.note(format!("acr: {}", plain(acr)), ""),
        None => found.note("acr: not said; `acr` and `control_acr` cannot be required", ""),
    }
}

/// Words of an issuer, for a terminal: short, and nothing that moves a cursor.
fn plain(text: &str) -> String {
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
