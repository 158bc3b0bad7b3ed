//! Logging in with a browser on this machine: authorization code with PKCE (RFC 8252, RFC 7636, RFC 9700).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use url::Url;
use zeroize::Zeroizing;

use super::grant::{self, Fault, plain};
use super::loopback::{Fields, Loopback, Verdict};
use super::{Login, LoginError, Plan};
use crate::call::Hash;
use crate::clock::World;
use crate::identity::fetch::Fetch;

/// How long a person has.
const WITHIN: Duration = Duration::from_mins(5);
/// The longest value an answer may carry, in bytes.
const VALUE_BYTES: usize = 4096;

impl Plan {
    /// Logs in with a browser. `show` gets the address to open in it, once the port for the answer is open.
    ///
    /// # Errors
    /// Why nobody is logged in.
    pub async fn by_browser(
        self,
        fetch: &dyn Fetch,
        world: &dyn World,
        show: impl FnOnce(&Url),
    ) -> Result<Login, LoginError> {
        let authorization = self.authorization.clone().ok_or_else(|| {
            LoginError::Metadata(format!("{} names no authorization_endpoint", self.key.issuer))
        })?;
        let loopback = Loopback::open().await;
        let loopback = loopback
            .map_err(|error| LoginError::Metadata(format!("no port for the browser's answer: {error}")))?;
        let (state, verifier) = (word(world), word(world));
        show(&self.question(authorization, loopback.redirect_uri(), &state, &verifier));
        let answered = loopback.answer(|fields| self.judge(fields, &state));
        let answered = tokio::time::timeout(WITHIN, answered).await;
        let code = answered.map_err(|_| LoginError::TooLate)??;
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", self.key.client_id.as_str()),
            ("code", code.as_str()),
            ("redirect_uri", loopback.redirect_uri()),
            ("code_verifier", verifier.as_str()),
            ("resource", self.key.resource.as_str()),
        ];
        let tokens = grant::ask(fetch, world, &self.token, &fields).await;
        Ok(self.login(tokens.map_err(failed)?))
    }

    fn question(&self, mut url: Url, redirect_uri: &str, state: &str, verifier: &str) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).0);
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.key.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("state", state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", &self.key.resource);
        if !self.scope.is_empty() {
            query.append_pair("scope", &self.scope);
        }
        if self.asks_offline() {
            query.append_pair("prompt", "consent"); // OpenID Connect Core 11: no refresh token without it
        }
        drop(query);
        url
    }

    /// Reads what came to the port. Only what repeats the state is an answer, whoever brought it; and only
    /// one that says it is by the issuer we asked may hold a code for it (RFC 9207 section 2.4).
    fn judge(&self, fields: &Fields, state: &str) -> Verdict<Result<Zeroizing<String>, LoginError>> {
        const FAILED: &str = "Not logged in; the terminal says why. You can close this page.";
        let one = |name: &str| {
            let mut found = fields
                .iter()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value);
            match (found.next(), found.next()) {
                (Some(value), None) if value.len() <= VALUE_BYTES => Some(value.as_str()),
                _ => None,
            }
        };
        let same = one("state").is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(state.as_bytes())));
        if !same {
            return Verdict::Stranger;
        }
        let said = fields.iter().any(|(key, _)| key == "iss");
        if (said || self.names_itself) && one("iss") != Some(self.key.issuer.as_str()) {
            return Verdict::Answer(Err(LoginError::OtherIssuer), FAILED);
        }
        match (one("error"), one("code")) {
            (Some(error), _) => Verdict::Answer(Err(LoginError::Refused(plain(error))), FAILED),
            (None, Some(code)) => Verdict::Answer(
                Ok(Zeroizing::new(code.to_owned())),
                "Logged in. You can close this page and go back to the terminal.",
            ),
            (None, None) => Verdict::Answer(Err(LoginError::NotBegunHere), FAILED),
        }
    }

    pub(super) fn login(self, tokens: super::Tokens) -> Login {
        Login {
            key: self.key,
            token_endpoint: self.token,
            revocation_endpoint: self.revocation,
            tokens,
        }
    }
}

pub(super) fn failed(fault: Fault) -> LoginError {
    match fault {
        Fault::Word(word) => LoginError::Refused(word),
        Fault::Away(why) => LoginError::Metadata(format!("the authorization server cannot be used: {why}")),
    }
}

/// 256 bits nobody can guess, as 43 characters: a state, or a verifier (RFC 7636 section 4.1).
fn word(world: &dyn World) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    world.random(bytes.as_mut_slice());
    Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}
