//! Signing in with a browser. Nothing is kept between the two halves: the browser carries what the answer
//! is checked against in a cookie, and `state`, `nonce` and the PKCE verifier are derived from it with a
//! key of this process. An answer counts only in the browser that asked, for ten minutes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use url::Url;
use zeroize::Zeroizing;

use super::{People, Person, SignInError};
use crate::identity::claims::LEEWAY;
use crate::identity::provider::{Oidc, Provider, Question};

/// How long a person has, in seconds.
const WITHIN: u64 = 600;
/// The longest cookie that is read, in bytes.
const COOKIE_BYTES: usize = 2048;

/// The first half: where to send the browser, and what it must keep meanwhile.
#[derive(Debug)]
pub struct Begun {
    /// The identity provider's page.
    pub url: Url,
    /// The value of a cookie that no script reads and no other host sets.
    pub cookie: String,
}

/// What the cookie says. Nobody but us can make one that fits a `state`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticket {
    issuer: String,
    /// Where the person wanted to go: a path of ours.
    back: String,
    /// In seconds since the epoch.
    at: u64,
    max_age: u64,
    random: String,
}

impl People {
    /// Begins a sign-in at `issuer` (configured name). `redirect_uri` is where the answer comes back;
    /// `max_age` 0 makes the person prove themselves again whatever session they have there. `class` is an
    /// authentication context class to ask for before the client's own: asked for, not demanded, since anybody
    /// can write a link that says one. What it is worth is decided where the class that was met counts; that the
    /// client's own are met, [`People::finish`] demands whatever was asked for.
    ///
    /// # Errors
    /// [`SignInError::NoWay`], or that the provider cannot be used.
    pub async fn begin(
        &self,
        issuer: &str,
        redirect_uri: &str,
        back: &str,
        max_age: u64,
        class: Option<&str>,
    ) -> Result<Begun, SignInError> {
        let client = self.client(issuer)?;
        let mut random = [0; 24];
        self.world.random(&mut random);
        let ticket = Ticket {
            issuer: issuer.to_owned(),
            back: back.to_owned(),
            at: self.world.now().seconds(),
            max_age,
            random: URL_SAFE_NO_PAD.encode(random),
        };
        let text = serde_json::to_string(&ticket).map_err(|_| SignInError::NotBegunHere)?;
        let cookie = URL_SAFE_NO_PAD.encode(text);
        let mut question = self.question(&cookie, redirect_uri, max_age);
        if let Some(class) = class {
            let own = client.client().acr_values.iter().map(String::as_str);
            let others = own.filter(|own| *own != class);
            question.acr_values = std::iter::once(class).chain(others).map(str::to_owned).collect();
        }
        let url = client.begin(&question).await?;
        Ok(Begun { url, cookie })
    }

    /// The second half: the person, and where they wanted to go. `fields` is the query that came back to
    /// `redirect_uri`, which belongs to `issuer` alone.
    ///
    /// # Errors
    /// Why nobody is signed in.
    pub async fn finish(
        &self,
        issuer: &str,
        redirect_uri: &str,
        cookie: &str,
        fields: &[(String, String)],
    ) -> Result<(Person, String), SignInError> {
        let client = self.client(issuer)?;
        let ticket = ticket(cookie).ok_or(SignInError::NotBegunHere)?;
        let now = self.world.now().seconds();
        if ticket.issuer != issuer || now > ticket.at.saturating_add(WITHIN) || ticket.at > now {
            return Err(SignInError::NotBegunHere);
        }
        let question = self.question(cookie, redirect_uri, ticket.max_age);
        let signed_in = client.finish(&question, fields).await?;
        let person = self.signed_in(&signed_in).map_err(SignInError::Token)?;
        // OpenID Connect Core 3.1.3.7 item 13: what was asked for is checked, not hoped for.
        let oldest = ticket.at.saturating_sub(ticket.max_age).saturating_sub(LEEWAY);
        if person.signed_in_at.seconds() < oldest {
            return Err(SignInError::NotFresh);
        }
        Ok((person, ticket.back))
    }

    /// Looks up where people of each issuer sign in, for `tollgate check`: (issuer name, or why they cannot).
    pub async fn probe(&self) -> Vec<(String, Result<(), SignInError>)> {
        let mut found = Vec::new();
        for client in &self.clients {
            found.push((client.name().to_owned(), client.probe().await));
        }
        found
    }

    fn client(&self, issuer: &str) -> Result<&Oidc, SignInError> {
        let named = |client: &&Oidc| client.name() == issuer;
        self.clients.iter().find(named).ok_or(SignInError::NoWay)
    }

    fn question(&self, cookie: &str, redirect_uri: &str, max_age: u64) -> Question {
        let word = |purpose: &str| {
            let mut code = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
            code.update(purpose.as_bytes());
            code.update(cookie.as_bytes());
            Some(URL_SAFE_NO_PAD.encode(code.finalize().into_bytes()))
        };
        let word = |purpose| Zeroizing::new(word(purpose).unwrap_or_default());
        Question {
            redirect_uri: redirect_uri.to_owned(),
            state: word("state\0"),
            nonce: word("nonce\0"),
            verifier: word("verifier\0"),
            max_age: Some(max_age),
            acr_values: Vec::new(), // the client's own
        }
    }
}

fn ticket(cookie: &str) -> Option<Ticket> {
    if cookie.len() > COOKIE_BYTES {
        return None;
    }
    let text = URL_SAFE_NO_PAD.decode(cookie).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Reads what a browser sends as its cookie.
#[cfg(any(test, fuzzing))]
pub(in crate::identity) fn fuzz(cookie: &str) {
    let _ = ticket(cookie);
}
