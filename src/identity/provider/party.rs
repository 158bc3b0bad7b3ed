//! One client of ours at one issuer's endpoints: what it asks there, in the types of `openidconnect`.
//!
//! Its ID token type is not used: that one reads every standard claim and fails on the ones providers
//! get wrong. Here the token stays text until [`super::id_token`] reads it, more strictly.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreResponseType, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
};
use openidconnect::{
    AccessToken, AuthType, AuthUrl, AuthenticationContextClass, AuthenticationFlow, AuthorizationCode,
    Client, ClientId, ClientSecret, CsrfToken, EmptyAdditionalClaims, EndpointNotSet, EndpointSet, IdToken,
    IssuerUrl, JsonWebKeySet, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, StandardErrorResponse, TokenResponse, TokenType, TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::discovery::{Endpoints, plain, wrong};
use super::wire::{Wire, WireError};
use super::{Question, SignInError};
use crate::identity::fetch::{Fetch, Form};
use crate::identity::introspection::basic;
use crate::secret::Secret;

type OidcClient = Client<
    EmptyAdditionalClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Answer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointNotSet,
>;
type Fault = RequestTokenError<WireError, StandardErrorResponse<CoreErrorResponseType>>;

/// The lengths of a PKCE verifier (RFC 7636 section 4.1).
const VERIFIER: std::ops::RangeInclusive<usize> = 43..=128;

/// Google knows no `offline_access`: it has a parameter of its own, and gives a refresh token only when
/// consent is asked for.
const GOOGLE: &str = "https://accounts.google.com";

/// Who we are at an issuer.
#[derive(Clone, Copy)]
pub(in crate::identity) struct Party<'a> {
    pub(in crate::identity) place: &'a Endpoints,
    pub(in crate::identity) id: &'a str,
    pub(in crate::identity) secret: Option<&'a Secret>,
    /// Beside `openid`.
    pub(in crate::identity) scopes: &'a [String],
}

/// What a token endpoint gave.
pub(in crate::identity) struct Tokens {
    pub(in crate::identity) id: Option<Zeroizing<String>>,
    /// Only a bearer token: another would be of no use at userinfo.
    pub(super) access: Option<Zeroizing<String>>,
    /// In seconds.
    pub(super) expires_in: Option<u64>,
    pub(super) refresh: Option<Zeroizing<String>>,
}

/// Why a token endpoint gave nothing.
pub(super) enum Denied {
    /// What was sent there counts no more (RFC 6749 section 5.2), or only with the person present
    /// (OpenID Connect Core 3.1.2.6).
    Gone,
    /// Everything else.
    Error(SignInError),
}

impl Party<'_> {
    /// Where the person goes to sign in.
    pub(in crate::identity) fn ask(&self, question: &Question) -> Result<Url, SignInError> {
        let client = self.client()?;
        let (state, nonce) = (question.state.to_string(), question.nonce.to_string());
        let redirect = redirect(question)?;
        let at_google = self.place.issuer == GOOGLE;
        let (offline, scopes): (Vec<&String>, _) = self
            .scopes
            .iter()
            .filter(|scope| *scope != "openid")
            .partition(|scope| at_google && *scope == "offline_access");
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .set_redirect_uri(Cow::Owned(redirect))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier(question)?))
            .add_scopes(scopes.into_iter().cloned().map(Scope::new));
        if !offline.is_empty() {
            request = request
                .add_extra_param("access_type", "offline")
                .add_prompt(CoreAuthPrompt::Consent);
        }
        if let Some(max_age) = question.max_age {
            request = request.set_max_age(Duration::from_secs(max_age));
        }
        if question.max_age == Some(0) {
            request = request.add_prompt(CoreAuthPrompt::Login);
        }
        for class in &question.acr_values {
            request = request.add_auth_context_value(AuthenticationContextClass::new(class.clone()));
        }
        Ok(request.url().0)
    }

    /// Exchanges the code.
    pub(in crate::identity) async fn redeem(
        &self,
        fetch: &dyn Fetch,
        question: &Question,
        code: &str,
    ) -> Result<Tokens, SignInError> {
        let client = self.client()?;
        let wire = self.wire(fetch);
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(verifier(question)?)
            .set_redirect_uri(Cow::Owned(redirect(question)?))
            .request_async(&wire)
            .await;
        answer.map(Tokens::from).map_err(|fault| error(&fault))
    }

    /// Uses a refresh token.
    pub(super) async fn refresh(&self, fetch: &dyn Fetch, token: &str) -> Result<Tokens, Denied> {
        let client = self.client().map_err(Denied::Error)?;
        let wire = self.wire(fetch);
        let token = RefreshToken::new(token.to_owned());
        let answer = client.exchange_refresh_token(&token).request_async(&wire).await;
        answer.map(Tokens::from).map_err(|fault| match &fault {
            RequestTokenError::ServerResponse(said) if is_gone(said.error()) => Denied::Gone,
            fault => Denied::Error(error(fault)),
        })
    }

    /// Takes a token back (RFC 7009 section 2.1); best effort. Not by `openidconnect`, which knows no
    /// provider on loopback here.
    pub(super) async fn revoke(&self, fetch: &dyn Fetch, hint: &str, token: &str) {
        let Some(address) = &self.place.revocation else {
            return;
        };
        let mut fields = vec![("token", token), ("token_type_hint", hint)];
        let basic = match self.secret {
            Some(secret) if !self.place.posts_secret => Some(basic(self.id, secret)),
            Some(secret) => {
                fields.extend([("client_id", self.id), ("client_secret", secret.expose())]);
                None
            }
            None => {
                fields.push(("client_id", self.id));
                None
            }
        };
        let form = Form {
            fields: &fields,
            authorization: basic.as_ref().map(|value| value.as_str()),
        };
        match fetch.post(address, form).await {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => tracing::info!(status = answer.status, "an upstream token was not taken back"),
            Err(error) => tracing::info!(%error, "an upstream token was not taken back"),
        }
    }

    fn wire<'w>(&self, fetch: &'w dyn Fetch) -> Wire<'w> {
        let basic = self.secret.map(|secret| basic(self.id, secret));
        Wire { fetch, basic }
    }

    /// Made for each use, which costs microseconds: what it holds is not wiped when dropped.
    fn client(&self) -> Result<OidcClient, SignInError> {
        let issuer = IssuerUrl::new(self.place.issuer.clone()).map_err(|_| wrong("it has no address"))?;
        let client = Client::new(
            ClientId::new(self.id.to_owned()),
            issuer,
            JsonWebKeySet::default(),
        )
        .set_auth_uri(AuthUrl::from_url(self.place.authorization.clone()))
        .set_token_uri(TokenUrl::from_url(self.place.token.clone()))
        .set_auth_type(if self.place.posts_secret {
            AuthType::RequestBody
        } else {
            AuthType::BasicAuth
        });
        Ok(match self.secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
            None => client,
        })
    }
}

/// `openidconnect` ends the process over a verifier of another length.
fn verifier(question: &Question) -> Result<PkceCodeVerifier, SignInError> {
    if !VERIFIER.contains(&question.verifier.len()) {
        return Err(SignInError::NotBegunHere);
    }
    Ok(PkceCodeVerifier::new(question.verifier.to_string()))
}

fn redirect(question: &Question) -> Result<RedirectUrl, SignInError> {
    let url = RedirectUrl::new(question.redirect_uri.clone());
    url.map_err(|_| wrong("our address for its answer is none"))
}

fn is_gone(error: &CoreErrorResponseType) -> bool {
    match error {
        CoreErrorResponseType::InvalidGrant => true,
        CoreErrorResponseType::Extension(word) => [
            "interaction_required",
            "login_required",
            "consent_required",
            "account_selection_required",
        ]
        .contains(&word.as_str()),
        _ => false,
    }
}

/// Of what the provider says, its error code alone: descriptions and bodies may hold anything.
fn error(fault: &Fault) -> SignInError {
    match fault {
        RequestTokenError::ServerResponse(said) => SignInError::Refused(plain(said.error().as_ref())),
        RequestTokenError::Request(error) => wrong(&error.to_string()),
        RequestTokenError::Parse(..) => wrong("its token endpoint's answer is not one (RFC 6749 section 5)"),
        RequestTokenError::Other(_) => wrong("its token endpoint cannot be asked, or did not answer"),
    }
}

/// A successful token answer (RFC 6749 5.1, OpenID Connect Core 3.1.3.3).
#[derive(Deserialize, Serialize)]
struct Answer {
    access_token: AccessToken,
    token_type: Kind,
    /// A number; text with a number at some providers.
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    refresh_token: Option<RefreshToken>,
    #[serde(default)]
    id_token: Option<String>,
}

/// Shows nothing.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
struct Kind(String);

impl TokenType for Kind {}

impl OAuth2TokenResponse for Answer {
    type TokenType = Kind;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &Kind {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        let seconds = match self.expires_in.as_ref()? {
            Value::String(text) => text.parse().ok()?,
            number => number.as_u64()?,
        };
        Some(Duration::from_secs(seconds))
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

type CoreIdToken = IdToken<
    EmptyAdditionalClaims,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

impl
    TokenResponse<
        EmptyAdditionalClaims,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    > for Answer
{
    /// Never read in this form.
    fn id_token(&self) -> Option<&CoreIdToken> {
        None
    }
}

impl From<Answer> for Tokens {
    fn from(answer: Answer) -> Self {
        let is_bearer = answer.token_type.0.eq_ignore_ascii_case("bearer");
        let kept = |text: &String| (!text.is_empty()).then(|| Zeroizing::new(text.clone()));
        Self {
            access: kept(answer.access_token.secret()).filter(|_| is_bearer),
            expires_in: answer.expires_in().map(|time| time.as_secs()),
            refresh: answer
                .refresh_token
                .as_ref()
                .and_then(|token| kept(token.secret())),
            id: answer.id_token.map(Zeroizing::new),
        }
    }
}
