//! `/oauth/authorize`: what a program asks for (RFC 6749 4.1.1, RFC 7636, RFC 8707), checked before a person sees it.

use http::{Method, StatusCode, header};
use std::collections::BTreeSet;
use url::Url;

use super::clients::{Known, Voucher};
use super::redirect::{Leads, Redirect};
use super::{Answer, Asked, Facade, Fields, Repeated, pages};

/// The longest client_id and state, in bytes.
const ID_BYTES: usize = 2048;
const STATE_BYTES: usize = 4096;
/// A SHA-256 in base64url (RFC 7636 4.2).
const CHALLENGE: usize = 43;

/// A sign-in somebody asks for, checked.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) client: Known,
    /// Where the answer goes; `None` for a device, which asks for it.
    pub(super) redirect: Option<Redirect>,
    pub(super) state: Option<String>,
    pub(super) challenge: Option<String>,
    /// See [`Facade::scope_of`].
    pub(super) scope: String,
    /// SHA-256 of the device code that waits.
    pub(super) device: Option<[u8; 32]>,
}

/// An error for a program (RFC 6749 4.1.2.1): its code, and words for whoever maintains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error(pub(super) &'static str, pub(super) &'static str);

impl Facade {
    pub(super) async fn authorize(&self, asked: &Asked<'_>) -> Answer {
        let (fields, repeated) = match *asked.method {
            Method::GET => Fields::parse(asked.query.as_bytes()),
            Method::POST if is_form(asked) => Fields::parse(asked.body),
            _ => return pages::wrong_method("GET, POST"),
        };
        let (client, redirect) = match self.asker(&fields).await {
            Ok(asker) => asker,
            Err(answer) => return answer,
        };
        let state = fields.get("state");
        match self.wanted(&fields, repeated) {
            Ok((challenge, scope)) => {
                let wanted = Wanted {
                    client,
                    redirect: Some(redirect),
                    state: state.map(str::to_owned),
                    challenge: Some(challenge),
                    scope,
                    device: None,
                };
                self.ask(&wanted).await
            }
            Err(error) => self.turned_down(&client, &redirect, state, &error),
        }
    }

    /// Who asks, and where the answer goes. Until both are known nobody is sent anywhere.
    async fn asker(&self, fields: &Fields) -> Result<(Known, Redirect), Answer> {
        let wrong = |what: &str, then: &str| pages::problem(StatusCode::BAD_REQUEST, what, then);
        let id = fields.get("client_id").filter(|id| id.len() <= ID_BYTES);
        let Some(id) = id else {
            return Err(wrong(
                "A program sent you here without saying which it is",
                "There must be one client_id. Tell whoever maintains the program.",
            ));
        };
        let client = self.client(id).await.map_err(|unknown| match unknown {
            super::clients::Unknown::Store(error) => pages::store_away(&error),
            why => wrong(
                "The program that sent you here is not known",
                &format!(
                    "Of {}: {why}. Nobody was signed in. Whoever runs this server can configure the program, \
                     under [[facade.client]].",
                    shown(id)
                ),
            ),
        })?;
        let redirect = fields
            .get("redirect_uri")
            .and_then(|asked| client.redirect(asked));
        let redirect = redirect.ok_or_else(|| {
            wrong(
                "The program wants its answer sent to an address that is not its own",
                "The redirect_uri is not, character for character, one that the program registered (of a loopback \
                 address the port may differ). Nobody was signed in, and nobody is sent there.",
            )
        })?;
        Ok((client, redirect))
    }

    /// The PKCE challenge and the scope, when everything else fits.
    fn wanted(&self, fields: &Fields, repeated: Option<Repeated>) -> Result<(String, String), Error> {
        if repeated.is_some() {
            return Err(Error(
                "invalid_request",
                "A parameter is there twice, or there are too many.",
            ));
        }
        if fields.get("request").is_some() {
            return Err(Error("request_not_supported", "Send the parameters themselves."));
        }
        if fields.get("request_uri").is_some() {
            return Err(Error(
                "request_uri_not_supported",
                "Send the parameters themselves.",
            ));
        }
        match fields.get("response_type") {
            Some("code") => {}
            None => return Err(Error("invalid_request", "response_type is missing.")),
            Some(_) => return Err(Error("unsupported_response_type", "response_type must be code.")),
        }
        if fields.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(Error("invalid_request", "response_mode must be query."));
        }
        let plain =
            |state: &str| state.len() <= STATE_BYTES && state.bytes().all(|b| (0x20..0x7f).contains(&b));
        if !fields.get("state").is_none_or(plain) {
            return Err(Error(
                "invalid_request",
                "state must be at most 4096 characters of printable ASCII.",
            ));
        }
        let challenge = challenge(fields)?;
        if !fields.get("resource").is_none_or(|asked| self.is_ours(asked)) {
            return Err(Error(
                "invalid_target",
                "resource must be the one of this server, as its protected resource metadata names it.",
            ));
        }
        let scope = self.scope_of(fields.get("scope"))?;
        if fields.get("prompt").is_some_and(|prompt| prompt == "none") {
            return Err(Error("consent_required", "People are always asked here."));
        }
        Ok((challenge, scope))
    }

    /// Whether a `resource` (RFC 8707) is the one we issue for.
    pub(super) fn is_ours(&self, asked: &str) -> bool {
        let same = || Some(Url::parse(asked).ok()? == Url::parse(&self.spec.resource).ok()?);
        asked == self.spec.resource || same() == Some(true)
    }

    /// The scopes asked for, sorted, each once; without any, all there are.
    ///
    /// # Errors
    /// One that is not ours.
    pub(super) fn scope_of(&self, asked: Option<&str>) -> Result<String, Error> {
        let asked: BTreeSet<&str> = match asked {
            Some(asked) => asked.split(' ').filter(|scope| !scope.is_empty()).collect(),
            None => self.spec.scopes.keys().map(String::as_str).collect(),
        };
        if asked.iter().any(|scope| !self.spec.scopes.contains_key(*scope)) {
            return Err(Error(
                "invalid_scope",
                "Ask only for scopes that this server's metadata lists.",
            ));
        }
        Ok(asked.into_iter().collect::<Vec<_>>().join(" "))
    }

    /// An error before anybody was asked. Anyone can be a client by a document or a registration, so such a client's
    /// address is not one we send people to unasked (RFC 9700 4.11.2): they see where it leads and choose.
    fn turned_down(&self, client: &Known, redirect: &Redirect, state: Option<&str>, error: &Error) -> Answer {
        let back = self.refusal(redirect, state, error);
        match (&client.by, redirect.leads()) {
            (Voucher::Operator, _) | (_, Leads::Loopback(_)) => pages::away(&back),
            (_, Leads::Site(host) | Leads::Program(host)) => pages::way_back(
                "The program asked for something this server does not do",
                error.1,
                &back,
                &host,
            ),
        }
    }

    /// The address that tells a program of an error (RFC 6749 4.1.2.1, RFC 9207).
    pub(super) fn refusal(&self, redirect: &Redirect, state: Option<&str>, error: &Error) -> String {
        let mut fields = vec![("error", error.0), ("error_description", error.1)];
        fields.extend(state.map(|state| ("state", state)));
        fields.push(("iss", &self.spec.url));
        redirect.with(&fields)
    }
}

/// PKCE by SHA-256. Without a method it would be `plain` (RFC 7636 4.3), which protects nothing.
pub(super) fn challenge(fields: &Fields) -> Result<String, Error> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let challenge = fields.get("code_challenge");
    let challenge = challenge.filter(|text| text.len() == CHALLENGE && text.bytes().all(known));
    match (challenge, fields.get("code_challenge_method")) {
        (Some(challenge), Some("S256")) => Ok(challenge.to_owned()),
        _ => Err(Error(
            "invalid_request",
            "PKCE is required: code_challenge with code_challenge_method=S256.",
        )),
    }
}

/// Whether the body is a form.
pub(super) fn is_form(asked: &Asked<'_>) -> bool {
    let kind = asked.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// A stranger's id, cut to what fits in a sentence.
fn shown(id: &str) -> String {
    let mut short: String = id.chars().take(120).collect();
    if short.len() < id.len() {
        short.push('…');
    }
    short
}
