//! Signing in from a terminal: a native app with a loopback address (RFC 8252) and PKCE. What comes of it
//! is an ID token, kept in memory alone.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::SignInError;
use crate::clock::World;
use crate::identity::fetch::Fetch;
use crate::identity::jose::Compact;
use crate::identity::login::loopback::{Fields, Loopback, Verdict};
use crate::identity::provider::{Endpoints, Party, Question};
use crate::secret::Secret;

/// How long a person has.
const WITHIN: Duration = Duration::from_mins(5);

/// Where to sign in.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The issuer's URL.
    pub issuer: &'a str,
    /// Its client for the people's side, which has no secret.
    pub client_id: &'a str,
    /// The authentication context classes of which the server wants one met.
    pub acr_values: &'a [String],
}

/// Signs a person in at an issuer. `show` gets the address they open in a browser. The issuer asks them
/// again in any case (`max_age=0`).
///
/// The token's signature is not checked here: it comes from the token endpoint over TLS (OpenID Connect
/// Core 3.1.3.7 item 6), and the server it is for checks all of it. The nonce is, because only we know it.
///
/// # Errors
/// Why nobody is signed in.
pub async fn sign_in(
    fetch: &dyn Fetch,
    world: &dyn World,
    at: At<'_>,
    show: impl FnOnce(&Url),
) -> Result<Secret, SignInError> {
    let wrong = |what: String| SignInError::Provider(what);
    let endpoints = Endpoints::discover(fetch, at.issuer).await?;
    let loopback = Loopback::open().await;
    let loopback = loopback.map_err(|error| wrong(format!("no port for the answer: {error}")))?;
    let word = || {
        let mut bytes = Zeroizing::new([0; 32]);
        world.random(bytes.as_mut_slice());
        Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    };
    let question = Question {
        redirect_uri: loopback.redirect_uri().to_owned(),
        state: word(),
        nonce: word(),
        verifier: word(),
        max_age: Some(0),
        acr_values: at.acr_values.to_vec(),
    };
    let party = Party {
        place: &endpoints,
        id: at.client_id,
        secret: None,
        scopes: &[],
    };
    show(&party.ask(&question)?);
    let answer = loopback.answer(|fields| judge(&endpoints, &question, fields));
    let answered = tokio::time::timeout(WITHIN, answer).await;
    let code = answered.map_err(|_| wrong("nobody signed in within five minutes".to_owned()))??;
    let token = party.redeem(fetch, &question, &code).await?.id;
    let token = token.ok_or_else(|| wrong("its token endpoint sent no ID token".to_owned()))?;
    let parsed = Compact::parse(&token).map_err(SignInError::Token)?;
    if parsed.claims.get("nonce").and_then(Value::as_str) != Some(question.nonce.as_str()) {
        return Err(SignInError::NotBegunHere);
    }
    Ok(Secret::new(token.to_string()))
}

/// Whether a query answers this sign-in, and what it brings.
fn judge(
    endpoints: &Endpoints,
    question: &Question,
    fields: &Fields,
) -> Verdict<Result<Zeroizing<String>, SignInError>> {
    match endpoints.code(fields, question) {
        Err(SignInError::NotBegunHere) => Verdict::Stranger,
        Err(error) => Verdict::Answer(
            Err(error),
            "Not signed in; the terminal says why. You can close this page.",
        ),
        Ok(code) => Verdict::Answer(
            Ok(code),
            "Signed in. You can close this page and go back to the terminal.",
        ),
    }
}
