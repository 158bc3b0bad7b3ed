//! The demo issuer's authorization code flow (OpenID Connect Core 3.1 with PKCE), for people.
//!
//! It keeps no session: everybody types their secret every time, so `max_age` and `prompt=login` are kept
//! whatever they say, and `auth_time` is the moment of it. Its clients have no secret.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use url::{Host, Url};

use super::{DemoIssuer, TokenRefused};
use crate::call::Hash;

/// How long a code can be redeemed, and an ID token is good, in seconds.
const CODE: Duration = Duration::from_secs(60);
const ID_TOKEN_SECONDS: u64 = 600;
/// Half of the codes remembered.
pub(super) const CODES_HALF: usize = 256;
/// The longest state or nonce that is repeated, in bytes.
const WORD_BYTES: usize = 512;

/// A program that people are signed in for.
#[derive(Debug, Clone)]
pub struct DemoClient {
    /// Its client id: what ID tokens are for.
    pub id: String,
    /// Exact redirect URIs.
    pub redirect_uris: BTreeSet<String>,
    /// Whether `http://127.0.0.1:<any port>/callback` is accepted beside them (RFC 8252 section 7.3), for a
    /// person's terminal.
    pub terminal: bool,
}

/// What the authorization endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// A status and an HTML document.
    Html(u16, String),
    /// 303 to there.
    See(String),
}

/// A code that was given out.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    client: String,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    user: String,
    /// In seconds since the epoch.
    auth_time: u64,
    /// Monotonic.
    until: Duration,
}

/// One authorization request, checked.
struct Request<'a> {
    client: &'a str,
    redirect_uri: &'a str,
    state: Option<&'a str>,
    nonce: Option<&'a str>,
    challenge: &'a str,
}

type Fields = [(String, String)];

impl DemoIssuer {
    /// The authorization endpoint: a GET asks for the secret, a POST (`submitted`) brings it.
    #[must_use]
    pub fn authorize(&self, fields: &Fields, submitted: bool) -> Page {
        let Some((client, redirect_uri)) = self.way_back(fields) else {
            // Nobody is sent to an address that is not registered.
            return refused("This sign-in was begun by a program that is not registered here.");
        };
        let request = match request(fields, client, redirect_uri) {
            Ok(request) => request,
            Err(error) => return self.back(redirect_uri, one(fields, "state"), &[("error", error)]),
        };
        if !submitted {
            return Page::Html(200, login_form(fields, None));
        }
        let (user, secret) = (one(fields, "username"), one(fields, "password"));
        match self.authenticate(user.unwrap_or_default(), secret.unwrap_or_default()) {
            Ok(()) => {
                let code = self.issue(&request, user.unwrap_or_default());
                self.back(redirect_uri, request.state, &[("code", &code)])
            }
            Err(why @ TokenRefused::TooManyAttempts) => Page::Html(429, login_form(fields, Some(why))),
            Err(why) => Page::Html(403, login_form(fields, Some(why))),
        }
    }

    /// Redeems a code, once, for an ID token.
    ///
    /// # Errors
    /// [`TokenRefused::BadCredentials`] for a code that is unknown, used, too old, of another client or
    /// redirect URI, or not this verifier's.
    pub fn redeem(&self, fields: &Fields) -> Result<Value, TokenRefused> {
        let client = one(fields, "client_id").unwrap_or_default();
        if !self.spec.clients.iter().any(|known| known.id == client) {
            return Err(TokenRefused::BadClient);
        }
        let code = one(fields, "code").ok_or(TokenRefused::BadCredentials)?;
        let issued = {
            let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
            let hash = Hash::of(code.as_bytes());
            let issued = codes.get(&hash).cloned();
            codes.remove(&hash);
            issued.ok_or(TokenRefused::BadCredentials)?
        };
        let verifier = one(fields, "code_verifier").unwrap_or_default();
        let challenge = URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).0);
        let same = bool::from(challenge.as_bytes().ct_eq(issued.challenge.as_bytes()));
        let in_time = self.world.monotonic() < issued.until;
        if issued.client != client
            || !same
            || !in_time
            || one(fields, "redirect_uri") != Some(issued.redirect_uri.as_str())
        {
            return Err(TokenRefused::BadCredentials);
        }
        let mut opaque = [0; 24];
        self.world.random(&mut opaque);
        Ok(json!({
            "id_token": self.id_token(&issued),
            "access_token": URL_SAFE_NO_PAD.encode(opaque), // OAuth asks for one; it opens nothing
            "token_type": "Bearer",
            "expires_in": ID_TOKEN_SECONDS,
        }))
    }

    /// The client that asks and where it is answered.
    fn way_back<'a>(&self, fields: &'a Fields) -> Option<(&'a str, &'a str)> {
        let id = one(fields, "client_id")?;
        let client = self.spec.clients.iter().find(|client| client.id == id)?;
        let asked = one(fields, "redirect_uri")?;
        let known = client.redirect_uris.contains(asked) || (client.terminal && is_terminal(asked));
        known.then_some((id, asked))
    }

    fn issue(&self, request: &Request<'_>, user: &str) -> String {
        let mut random = [0; 24];
        self.world.random(&mut random);
        let code = URL_SAFE_NO_PAD.encode(random);
        let issued = Issued {
            client: request.client.to_owned(),
            redirect_uri: request.redirect_uri.to_owned(),
            challenge: request.challenge.to_owned(),
            nonce: request.nonce.map(str::to_owned),
            user: user.to_owned(),
            auth_time: self.world.now().seconds(),
            until: self.world.monotonic() + CODE,
        };
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.put(Hash::of(code.as_bytes()), issued);
        code
    }

    fn id_token(&self, issued: &Issued) -> String {
        let now = self.world.now().seconds();
        let mut claims = json!({
            "iss": self.spec.url,
            "aud": issued.client,
            "sub": issued.user,
            "groups": self.spec.users.get(&issued.user),
            "auth_time": issued.auth_time,
            "iat": now,
            "exp": now + ID_TOKEN_SECONDS,
        });
        if let (Some(nonce), Some(members)) = (&issued.nonce, claims.as_object_mut()) {
            members.insert("nonce".to_owned(), json!(nonce));
        }
        self.signed("JWT", &claims)
    }

    /// Back to the client, with `state` and with our name (RFC 9207).
    fn back(&self, redirect_uri: &str, state: Option<&str>, fields: &[(&str, &str)]) -> Page {
        let Ok(mut url) = Url::parse(redirect_uri) else {
            return refused("There is nowhere to go back to.");
        };
        url.query_pairs_mut()
            .extend_pairs(fields)
            .extend_pairs(state.map(|state| ("state", state)))
            .append_pair("iss", &self.spec.url);
        Page::See(url.into())
    }
}

/// The rest of an authorization request, or the error its client is told.
fn request<'a>(
    fields: &'a Fields,
    client: &'a str,
    redirect_uri: &'a str,
) -> Result<Request<'a>, &'static str> {
    let word = |name| one(fields, name).filter(|word| word.len() <= WORD_BYTES);
    if one(fields, "response_type") != Some("code") {
        return Err("unsupported_response_type");
    }
    if !one(fields, "scope").is_some_and(|scope| scope.split(' ').any(|one| one == "openid")) {
        return Err("invalid_scope");
    }
    if one(fields, "prompt").is_some_and(|prompt| prompt.split(' ').any(|one| one == "none")) {
        return Err("login_required"); // there is no session to use silently
    }
    let challenge = one(fields, "code_challenge").filter(|challenge| challenge.len() == 43);
    match (challenge, one(fields, "code_challenge_method")) {
        (Some(challenge), Some("S256")) => Ok(Request {
            client,
            redirect_uri,
            state: word("state"),
            nonce: word("nonce"),
            challenge,
        }),
        _ => Err("invalid_request"),
    }
}

/// `http://127.0.0.1:<port>/callback`, exactly.
fn is_terminal(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| {
        let here =
            matches!(url.host(), Some(Host::Ipv4(address)) if address == std::net::Ipv4Addr::LOCALHOST);
        let port = url.port().unwrap_or(80);
        here && uri == format!("http://127.0.0.1:{port}/callback")
    })
}

/// A field that is there once (RFC 6749 section 3.1).
fn one<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let mut found = fields.iter().filter(|(key, _)| key == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

fn refused(words: &str) -> Page {
    Page::Html(400, document(&format!("<p>{words}</p>")))
}

/// The form repeats what was asked; nothing of it is trusted when it comes back.
fn login_form(fields: &Fields, wrong: Option<TokenRefused>) -> String {
    let mut form = String::from("<form method=\"post\">");
    for (name, value) in fields
        .iter()
        .filter(|(name, _)| name != "username" && name != "password")
    {
        let _ = write!(
            form,
            "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
            escaped(name),
            escaped(value)
        );
    }
    let wrong = wrong.map_or_else(String::new, |why| {
        format!("<p role=\"alert\">Not signed in: {why}.</p>")
    });
    let user = one(fields, "username").map(escaped).unwrap_or_default();
    let (first, second) = if user.is_empty() {
        (" autofocus", "")
    } else {
        ("", " autofocus")
    };
    let _ = write!(
        form,
        "{wrong}<p><label>User<input name=\"username\" value=\"{user}\" autocomplete=\"username\" required{first}></label></p>\
         <p><label>Secret<input name=\"password\" type=\"password\" autocomplete=\"current-password\" required{second}></label></p>\
         <p class=\"faint\">The demo printed users and secrets in its terminal.</p>\
         <p><button>Sign in</button></p></form>"
    );
    document(&form)
}

/// The look of the server's other pages, as far as a form needs it.
const STYLE: &str = ":root{color-scheme:light dark}*{box-sizing:border-box}body{margin:0;font:16px/1.5 system-ui,sans-serif}\
main{max-width:24rem;margin:0 auto;padding:.75rem 1rem}h1{font-size:1.4rem;margin:.25rem 0 .75rem}p{margin:0 0 1rem}\
form{border:1px solid #8888;border-radius:8px;padding:1rem 1rem 0}input{display:block;width:100%;font:inherit;padding:.5rem;\
border:1px solid #888;border-radius:6px}button{font:inherit;font-weight:600;min-height:2.75rem;padding:.4rem 1.1rem;\
border:0;border-radius:6px;background:#14713d;color:#fff;cursor:pointer}[role=alert]{color:#d9534a;font-weight:600}\
.faint{opacity:.75;font-size:.875rem}:focus-visible{outline:3px solid #0b57a8;outline-offset:2px}";

/// The Content-Security-Policy of the pages: their one style, by its hash. No `form-action`: browsers hold
/// the way back to the client against it.
#[must_use]
pub fn page_policy() -> String {
    let hash = STANDARD.encode(Hash::of(STYLE.as_bytes()).0);
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'")
}

fn document(body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Sign in to the demo</title><style>{STYLE}</style></head><body><main>\
         <h1>The demo's identity provider</h1>{body}</main></body></html>\n"
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(character),
        }
    }
    out
}
