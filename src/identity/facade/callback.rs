//! The provider's answer. It counts once, in time, in the browser whose person said yes, at the path of the
//! provider that was asked; then it becomes a code for the program.

use http::{Method, StatusCode};
use zeroize::Zeroizing;

use super::authorize::{self, Error};
use super::consent::{Jar, bound_for, broken, over, verifier_about};
use super::redirect::{Leads, Redirect};
use super::{Answer, Asked, Facade, Fields, cookie, pages, path, prefix};
use crate::call::{Hash, hex};
use crate::identity::provider::{Provider, Question, SignInError, SignedIn};
use crate::store::StoreError;
use crate::store::sign_ins::{Approved, CodeRow, SignInRow};

/// How long a code may be exchanged; a device, which asks every few seconds, has until it stops waiting.
const CODE: u64 = 60_000;
/// The longest state that can be ours.
const STATE: usize = 64;

impl Facade {
    /// An answer in a query (OpenID Connect).
    pub(super) async fn callback(&self, asked: &Asked<'_>, issuer: &str) -> Answer {
        if *asked.method != Method::GET {
            return pages::wrong_method("GET");
        }
        match self.provider(issuer).filter(|provider| !provider.posts()) {
            Some(provider) => {
                self.answered(provider.as_ref(), asked, asked.query.as_bytes(), "state")
                    .await
            }
            None => pages::not_found(),
        }
    }

    /// An answer in a form (SAML 2.0 bindings 3.5), or what the provider is told of us.
    pub(super) async fn saml(&self, asked: &Asked<'_>, issuer: &str) -> Answer {
        if let Some(issuer) = issuer.strip_suffix(path::ABOUT_US) {
            return self.about_us(asked, issuer);
        }
        if *asked.method != Method::POST || !authorize::is_form(asked) {
            return pages::wrong_method("POST");
        }
        match self.provider(issuer).filter(|provider| provider.posts()) {
            Some(provider) => {
                self.answered(provider.as_ref(), asked, asked.body, "RelayState")
                    .await
            }
            None => pages::not_found(),
        }
    }

    /// Our metadata (SAML 2.0 metadata 2.4.4): whoever sets the provider up gives it this. Nothing in it is secret.
    fn about_us(&self, asked: &Asked<'_>, issuer: &str) -> Answer {
        if !matches!(*asked.method, Method::GET | Method::HEAD) {
            return pages::wrong_method("GET, HEAD");
        }
        let document = self.provider(issuer).and_then(|provider| provider.metadata());
        document.map_or_else(pages::not_found, pages::saml_metadata)
    }

    async fn answered(
        &self,
        provider: &dyn Provider,
        asked: &Asked<'_>,
        fields: &[u8],
        state: &str,
    ) -> Answer {
        let (fields, None) = Fields::parse(fields) else {
            return over();
        };
        let state = fields
            .get(state)
            .filter(|state| state.len() <= STATE)
            .unwrap_or_default();
        let hash = Hash::of(state.as_bytes());
        let Some(bound) = cookie(asked.headers, &self.cookie_name(Jar::Bound, &hash)) else {
            return over();
        };
        let mut answer = match self.take(provider.name(), &hash, bound).await {
            Err(error) => return pages::store_away(&error),
            Ok(None) => return over(),
            Ok(Some((row, approved))) => {
                let signed = self.finish(provider, state, &hash, &approved, &fields).await;
                match signed {
                    Err(error) => self.failed(asked, &row, &error),
                    Ok(signed) => match self.code(asked, &row, signed).await {
                        Ok(answer) => answer,
                        Err(error) => return pages::store_away(&error),
                    },
                }
            }
        };
        self.take_cookie(&mut answer, Jar::Bound, &hash, bound_for(provider));
        answer
    }

    async fn take(
        &self,
        issuer: &str,
        hash: &Hash,
        bound: &str,
    ) -> Result<Option<(SignInRow, Approved)>, StoreError> {
        let bound = Hash::of(bound.as_bytes());
        let mut tx = self.rows.write().await?;
        let taken = tx
            .take_sign_in(&hash.0, issuer, &bound.0, self.world.now().0)
            .await?;
        tx.commit().await?;
        Ok(taken)
    }

    async fn finish(
        &self,
        provider: &dyn Provider,
        state: &str,
        hash: &Hash,
        approved: &Approved,
        fields: &Fields,
    ) -> Result<SignedIn, Error> {
        let opened = self.seal.open(&verifier_about(hash), &approved.sealed);
        let verifier =
            opened.and_then(|bytes| Some(Zeroizing::new(std::str::from_utf8(&bytes).ok()?.to_owned())));
        let Some(verifier) = verifier else {
            tracing::error!(
                "a sign-in cannot be opened: was the key of [facade] replaced without former_key?"
            );
            return Err(Error("server_error", "This server could not finish the sign-in."));
        };
        let question = Question {
            redirect_uri: self.return_uri(provider),
            state: Zeroizing::new(state.to_owned()),
            nonce: Zeroizing::new(approved.nonce.clone()),
            verifier,
            max_age: None,
            acr_values: Vec::new(),
        };
        let issuer = provider.name();
        let signed = provider.finish(&question, &fields.0).await;
        let signed = signed.inspect_err(|error| tracing::warn!(issuer, %error, "nobody was signed in"));
        let signed = signed.map_err(|error| for_program(&error))?;
        if signed.issuer != issuer {
            tracing::error!(issuer, "a provider answered in the name of another");
            return Err(Error("server_error", "This server could not finish the sign-in."));
        }
        Ok(signed)
    }

    /// Keeps the sign-in as a code and takes it to whoever waits for it.
    async fn code(&self, asked: &Asked<'_>, row: &SignInRow, signed: SignedIn) -> Result<Answer, StoreError> {
        let code = self.fresh(prefix::CODE);
        let hash = Hash::of(code.as_bytes());
        let Ok(sealed) = self.sealed(&hash, &signed) else {
            return Ok(broken());
        };
        let now = self.world.now().0;
        let mut tx = self.rows.write().await?;
        let expires_at = match &row.device {
            None => now + CODE,
            Some(device) => match tx.leave_for_device(device, &hash.0, now).await? {
                Some(until) => until,
                None => return Ok(over()),
            },
        };
        tx.add_code(&CodeRow {
            hash: hash.0,
            client_id: row.client_id.clone(),
            client_name: row.client_name.clone(),
            verified: row.verified,
            redirect_uri: row.redirect_uri.clone(),
            challenge: row.challenge.clone(),
            resource: row.resource.clone(),
            scope: row.scope.clone(),
            issuer: signed.issuer.clone(),
            subject: signed.subject.clone(),
            claimed: serde_json::json!(signed.claimed).to_string(),
            auth_time: signed.auth_time,
            provider_sid: signed.sid.clone(),
            sealed,
            created_at: now,
            expires_at,
        })
        .await?;
        tx.client_used(&row.client_id, now).await?;
        tx.commit().await?;
        let Some(redirect) = row.redirect_uri.as_deref().and_then(Redirect::parse) else {
            return Ok(pages::problem(
                StatusCode::OK,
                "You are signed in",
                "The device goes on by itself. You can close this page.",
            ));
        };
        let mut fields = vec![("code", code.as_str())];
        fields.extend(row.state.as_deref().map(|state| ("state", state)));
        fields.push(("iss", &self.spec.url));
        let back = Zeroizing::new(redirect.with(&fields));
        Ok(leave(asked, &back, &redirect))
    }

    /// What the provider gave for asking again, sealed for this code.
    fn sealed(&self, hash: &Hash, signed: &SignedIn) -> Result<Option<Vec<u8>>, ()> {
        if signed.upstream.is_empty() {
            return Ok(None);
        }
        let text = Zeroizing::new(serde_json::to_vec(&signed.upstream).map_err(|_| ())?);
        let sealed = self.seal.seal(&hex(&hash.0), &text, self.world.as_ref());
        sealed.map(Some).ok_or(())
    }

    /// Tells the program, or whoever sits before the device, that nobody was signed in.
    fn failed(&self, asked: &Asked<'_>, row: &SignInRow, error: &Error) -> Answer {
        match row.redirect_uri.as_deref().and_then(Redirect::parse) {
            Some(redirect) => {
                let back = self.refusal(&redirect, row.state.as_deref(), error);
                leave(asked, &back, &redirect)
            }
            None => pages::problem(StatusCode::BAD_GATEWAY, "Nobody was signed in", error.1),
        }
    }
}

/// Takes the browser to the program: by a redirect, or after a form by a page.
fn leave(asked: &Asked<'_>, back: &str, redirect: &Redirect) -> Answer {
    if *asked.method == Method::GET {
        return pages::away(back);
    }
    let (Leads::Site(host) | Leads::Loopback(host) | Leads::Program(host)) = redirect.leads();
    pages::onward(back, &host)
}

/// What a program is told of a provider's refusal: never the provider's own words.
fn for_program(error: &SignInError) -> Error {
    match error {
        SignInError::Refused(code) if code == "temporarily_unavailable" => Error(
            "temporarily_unavailable",
            "The identity provider is not available now.",
        ),
        SignInError::Refused(code)
            if matches!(
                code.as_str(),
                "access_denied"
                    | "login_required"
                    | "consent_required"
                    | "interaction_required"
                    | "account_selection_required"
            ) =>
        {
            Error(
                "access_denied",
                "The identity provider did not sign the person in.",
            )
        }
        SignInError::Groups(_) => Error(
            "access_denied",
            "The person's groups cannot be known; the log of this server says why.",
        ),
        _ => Error(
            "server_error",
            "The identity provider's answer was not accepted; the log of this server says why.",
        ),
    }
}
