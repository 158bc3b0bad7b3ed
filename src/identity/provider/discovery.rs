//! Where an issuer is asked, and how (OpenID Connect Discovery 1.0 section 4).
//!
//! Read member by member, not by the typed document of `openidconnect`: that one refuses issuers for
//! members nobody here uses.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use subtle::ConstantTimeEq;
use url::Url;
use zeroize::Zeroizing;

use super::{Question, SignInError};
use crate::clock::World;
use crate::identity::fetch::Fetch;
use crate::identity::jose::strict_json;
use crate::identity::spec::secure;

/// Endpoints are looked up again after this long.
const FRESH: Duration = Duration::from_mins(10);
/// The least time between two attempts that fail, whatever strangers send.
const RETRY: Duration = Duration::from_secs(10);
/// The longest code or error word an issuer may send back.
const WORD_BYTES: usize = 4096;

/// An issuer's endpoints, as last looked up (monotonic), or that it failed then.
#[derive(Debug, Default)]
pub(super) struct Known {
    last: Option<(Duration, Result<Arc<Endpoints>, SignInError>)>,
}

impl Known {
    /// The endpoints, looked up if need be.
    pub(super) async fn get(
        &mut self,
        fetch: &dyn Fetch,
        issuer: &str,
        world: &dyn World,
    ) -> Result<Arc<Endpoints>, SignInError> {
        if let Some((at, known)) = &self.last {
            let good = if known.is_ok() { FRESH } else { RETRY };
            if world.monotonic().saturating_sub(*at) < good {
                return known.clone();
            }
        }
        let found = Endpoints::discover(fetch, issuer).await.map(Arc::new);
        // Counted from the end: those who waited for a slow failure must not each repeat it.
        self.last = Some((world.monotonic(), found.clone()));
        found
    }
}

/// Where an issuer is asked.
#[derive(Debug)]
pub(in crate::identity) struct Endpoints {
    pub(super) issuer: String,
    pub(super) authorization: Url,
    pub(super) token: Url,
    pub(super) userinfo: Option<Url>,
    pub(super) revocation: Option<Url>,
    /// It takes a secret in the form alone.
    pub(super) posts_secret: bool,
    /// It says who it is in its answers (RFC 9207).
    names_itself: bool,
}

impl Endpoints {
    /// Reads the metadata, which must be of this very issuer.
    pub(in crate::identity) async fn discover(fetch: &dyn Fetch, issuer: &str) -> Result<Self, SignInError> {
        let mut address = secure(issuer).map_err(wrong)?;
        let path = address.path().trim_end_matches('/').to_owned();
        address.set_path(&format!("{path}/.well-known/openid-configuration"));
        let answer = fetch.get(&address).await;
        let answer = answer.map_err(|error| wrong(&error.to_string()))?;
        if answer.status != 200 {
            return Err(wrong(&format!("{address} answered HTTP {}", answer.status)));
        }
        Self::read(&answer.body, issuer)
    }

    pub(super) fn read(document: &[u8], issuer: &str) -> Result<Self, SignInError> {
        let document = strict_json(document).map_err(|_| wrong("the discovery document is not JSON"))?;
        let text = |name| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(issuer) {
            return Err(wrong("the discovery document names another issuer"));
        }
        let endpoint = |name: &str| {
            let url = document.get(name).map(|url| url.as_str().unwrap_or_default());
            url.map(|url| secure(url).map_err(|why| wrong(&format!("{name} {why}"))))
                .transpose()
        };
        let needed =
            |name: &str| endpoint(name)?.ok_or_else(|| wrong(&format!("its metadata has no {name}")));
        let lists = |name, word: &str| {
            let list = document.get(name).and_then(Value::as_array);
            list.map(|list| list.iter().any(|one| one == word))
        };
        if lists("code_challenge_methods_supported", "S256") == Some(false) {
            return Err(wrong("it does not support PKCE with S256"));
        }
        let methods = "token_endpoint_auth_methods_supported";
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization: needed("authorization_endpoint")?,
            token: needed("token_endpoint")?,
            userinfo: endpoint("userinfo_endpoint")?,
            revocation: endpoint("revocation_endpoint")?,
            posts_secret: lists(methods, "client_secret_basic") == Some(false)
                && lists(methods, "client_secret_post") == Some(true),
            names_itself: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
        })
    }

    /// Reads what the person's browser brought back: the code, if it answers this question.
    pub(in crate::identity) fn code(
        &self,
        fields: &[(String, String)],
        question: &Question,
    ) -> Result<Zeroizing<String>, SignInError> {
        let one = |name: &str| {
            let mut found = fields
                .iter()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value);
            match (found.next(), found.next()) {
                (Some(value), None) if value.len() <= WORD_BYTES => Some(value.as_str()),
                _ => None,
            }
        };
        let state = question.state.as_bytes();
        let same = one("state").is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(state)));
        if !same || state.is_empty() {
            return Err(SignInError::NotBegunHere);
        }
        let named = fields.iter().any(|(key, _)| key == "iss");
        match one("iss") {
            Some(issuer) if issuer == self.issuer => {}
            None if !named && !self.names_itself => {}
            _ => return Err(SignInError::OtherIssuer), // also: twice, or of absurd length
        }
        if let Some(error) = one("error") {
            return Err(SignInError::Refused(plain(error)));
        }
        let code = one("code").filter(|code| !code.is_empty());
        let code = code.ok_or(SignInError::NotBegunHere)?;
        Ok(Zeroizing::new(code.to_owned()))
    }
}

/// An OAuth error code, as far as it may be shown (RFC 6749 appendix A.7 allows more).
pub(super) fn plain(error: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "_-.".contains(*c);
    error.chars().filter(plain).take(64).collect()
}

pub(super) fn wrong(what: &str) -> SignInError {
    SignInError::Provider(what.to_owned())
}
