//! Signing in from a terminal: a native app with a loopback address (RFC 8252) and PKCE. What comes of it
//! is an ID token, kept in memory alone.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use zeroize::Zeroizing;

use super::SignInError;
use crate::clock::World;
use crate::identity::fetch::Fetch;
use crate::identity::jose::Compact;
use crate::identity::last_page;
use crate::identity::provider::{Endpoints, Party, Question};
use crate::secret::Secret;

/// How long a person has.
const WITHIN: Duration = Duration::from_mins(5);
/// How long one connection may take to say what it wants.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// The longest request head that is read, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

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
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|error| wrong(format!("no port for the answer: {error}")))?;
    let port = listener
        .local_addr()
        .map_err(|error| wrong(error.to_string()))?
        .port();
    let redirect_uri = format!("http://127.0.0.1:{port}/callback");
    let word = || {
        let mut bytes = Zeroizing::new([0; 32]);
        world.random(bytes.as_mut_slice());
        Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    };
    let question = Question {
        redirect_uri,
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
    let answered = tokio::time::timeout(WITHIN, answer(&listener, &endpoints, &question)).await;
    let code = answered.map_err(|_| wrong("nobody signed in within five minutes".to_owned()))??;
    let token = party.redeem(fetch, &question, &code).await?.id;
    let token = token.ok_or_else(|| wrong("its token endpoint sent no ID token".to_owned()))?;
    let parsed = Compact::parse(&token).map_err(SignInError::Token)?;
    if parsed.claims.get("nonce").and_then(Value::as_str) != Some(question.nonce.as_str()) {
        return Err(SignInError::NotBegunHere);
    }
    Ok(Secret::new(token.to_string()))
}

/// Waits for the browser. Connections that bring something else, as any program on this machine can,
/// are told so and do not end the wait.
async fn answer(
    listener: &TcpListener,
    endpoints: &Endpoints,
    question: &Question,
) -> Result<Zeroizing<String>, SignInError> {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let fields = match tokio::time::timeout(HEAD_WITHIN, fields(&mut stream)).await {
            Ok(Some(fields)) => fields,
            _ => {
                say(
                    &mut stream,
                    "404 Not Found",
                    "This is not what Tollgate waits for.",
                )
                .await;
                continue;
            }
        };
        match endpoints.code(&fields, question) {
            Err(SignInError::NotBegunHere) => {
                say(
                    &mut stream,
                    "400 Bad Request",
                    "This answers no sign-in of this terminal.",
                )
                .await;
            }
            Err(error) => {
                say(
                    &mut stream,
                    "200 OK",
                    "Not signed in; the terminal says why. You can close this page.",
                )
                .await;
                return Err(error);
            }
            Ok(code) => {
                say(
                    &mut stream,
                    "200 OK",
                    "Signed in. You can close this page and go back to the terminal.",
                )
                .await;
                return Ok(code);
            }
        }
    }
}

/// The query of one GET of the callback.
async fn fields(stream: &mut TcpStream) -> Option<Vec<(String, String)>> {
    let mut head = Zeroizing::new(Vec::new());
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 2048];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(part.get(..read)?);
        if head.len() > HEAD_BYTES {
            return None;
        }
    }
    let line = head.split(|byte| *byte == b'\r').next()?;
    let target = std::str::from_utf8(line)
        .ok()?
        .strip_prefix("GET ")?
        .strip_suffix(" HTTP/1.1")?;
    let query = target.strip_prefix("/callback?")?;
    Some(
        url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
    )
}

/// Nothing that was sent is repeated.
async fn say(stream: &mut TcpStream, status: &str, words: &str) {
    let answer = last_page::answer(status, words);
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
