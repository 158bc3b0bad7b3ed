//! Refusals: problem documents (RFC 9457) for programs, pages for people, one source for both.

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use serde_json::json;

use super::answer::{self, Answer};
use super::html;
use crate::approval::review::NotDecided;
use crate::attempts::TooMany;
use crate::identity::Reason;
use crate::identity::people::SignInError;

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    /// A stable word: the last part of `type`.
    pub(super) kind: &'static str,
    title: &'static str,
    detail: String,
    /// The value of a header the status requires.
    header: Option<(header::HeaderName, String)>,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            title,
            detail: detail.into(),
            header: None,
        }
    }

    fn with(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            "There is nothing here, or nothing that you may see.",
        )
    }

    pub(super) fn method(allowed: &[Method]) -> Self {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            "Method not allowed",
            format!("This address takes {} only.", names.join(", ")),
        )
        .with(header::ALLOW, names.join(", "))
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "Malformed request", detail)
    }

    /// RFC 9110 section 7.4.
    pub(super) fn misdirected() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host",
            "Not served under this name",
            "Use the address that the operator configured as control_url.",
        )
    }

    pub(super) fn foreign() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "origin",
            "Not from here",
            "This request was sent by a page of another origin, or by no page of ours. Open the request and decide there.",
        )
    }

    pub(super) fn forged() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "form",
            "Form not accepted",
            "The form was not made for you, or you have signed in again since. Open the request and decide there.",
        )
    }

    /// One answer for everybody without a key: what they named may be there or not.
    pub(super) fn unsigned() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "signature",
            "Not signed",
            "The message is not signed by an integration of that name a moment ago (Standard Webhooks).",
        )
    }

    pub(super) fn overloaded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "Overloaded",
            "Try again in a few seconds.",
        )
        .with(header::RETRY_AFTER, "2")
    }

    /// RFC 6585 section 4.
    pub(super) fn too_many(TooMany(seconds): TooMany) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many",
            "Too many attempts",
            format!("There were too many attempts from your address. Try again in {seconds} seconds."),
        )
        .with(header::RETRY_AFTER, seconds.to_string())
    }

    /// RFC 6750 section 3. What a stranger learns is what to send, not what was wrong with what they sent.
    pub(super) fn unauthenticated(reason: Reason) -> Self {
        let (challenge, detail) = match reason {
            Reason::Missing => (
                "Bearer",
                "Sign in: send a fresh ID token of the people's side as bearer token.",
            ),
            Reason::Expired => (
                "Bearer error=\"invalid_token\"",
                "The token has expired. Sign in again.",
            ),
            Reason::KeysUnavailable => (
                "Bearer error=\"invalid_token\"",
                "The token cannot be checked at the moment. Try again later.",
            ),
            Reason::Claim("auth_time") => (
                "Bearer error=\"invalid_token\"",
                "The token does not say when you signed in (auth_time); tell the operator.",
            ),
            Reason::Groups(_) => (
                "Bearer error=\"invalid_token\"",
                "Your groups cannot be read from the token; tell the operator, whose log has the cause.",
            ),
            _ => (
                "Bearer error=\"invalid_token\"",
                "The token does not open this side. It takes an ID token of the client for the people's side; an agent's access token is never accepted.",
            ),
        };
        Self::new(StatusCode::UNAUTHORIZED, "sign-in", "Sign in", detail)
            .with(header::WWW_AUTHENTICATE, challenge)
    }

    /// RFC 9470 section 3.
    pub(super) fn stale(max_age: u64) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "stale-sign-in",
            "Sign in again",
            format!("A decision needs an interactive sign-in within the last {max_age} seconds."),
        )
        .with(
            header::WWW_AUTHENTICATE,
            format!("Bearer error=\"insufficient_user_authentication\", max_age=\"{max_age}\""),
        )
    }

    /// An error's words as a sentence.
    pub(super) fn sentence(words: &str) -> String {
        let mut detail = words.to_owned();
        if !detail.ends_with(['.', '?']) {
            detail.push('.');
        }
        if let Some(first) = detail.get_mut(0..1) {
            first.make_ascii_uppercase();
        }
        detail
    }

    /// RFC 9470 section 3: with which class the sign-in would do.
    fn weak(acr: &str) -> Self {
        let plain = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        let acr: String = acr.chars().filter(plain).collect();
        Self::new(
            StatusCode::UNAUTHORIZED,
            "weak-sign-in",
            "Sign in more strongly",
            format!("Policy wants a stronger sign-in of whoever decides this: acr `{acr}`."),
        )
        .with(
            header::WWW_AUTHENTICATE,
            format!("Bearer error=\"insufficient_user_authentication\", acr_values=\"{acr}\""),
        )
    }

    /// The problem document.
    pub(super) fn document(self) -> Answer {
        let body = json!({
            "type": format!("urn:tollgate:problem:{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let answer = answer::of("application/problem+json", body.to_string());
        self.dress(answer)
    }

    /// The same for somebody with a browser.
    pub(super) fn page(self) -> Answer {
        let body = format!(
            "<h1>{}</h1><p>{}</p><p><a href=\"/approvals\">All requests</a></p>",
            html::text(self.title),
            html::text(&self.detail)
        );
        let answer = answer::page(html::layout(self.title, None, &body));
        self.dress(answer)
    }

    fn dress(self, mut answer: Answer) -> Answer {
        *answer.status_mut() = self.status;
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

impl From<NotDecided> for Problem {
    fn from(why: NotDecided) -> Self {
        let detail = Self::sentence(&why.to_string());
        let (status, kind, title) = match why {
            NotDecided::Unknown => return Self::not_found(),
            NotDecided::SignInAgain(seconds) => return Self::stale(seconds),
            NotDecided::StrongerSignIn(acr) => return Self::weak(&acr),
            NotDecided::OwnRequest => (StatusCode::FORBIDDEN, "own-request", "Your own request"),
            NotDecided::OtherIssuer => (StatusCode::FORBIDDEN, "other-issuer", "Would not count"),
            NotDecided::NotAsked => (StatusCode::FORBIDDEN, "not-asked", "Not yours to decide"),
            NotDecided::Twice => (StatusCode::CONFLICT, "decided", "Decided already"),
            NotDecided::Final(_) => (StatusCode::CONFLICT, "final", "No longer open"),
            NotDecided::Changed => (StatusCode::CONFLICT, "changed", "Not what you saw"),
            NotDecided::SecurityKey(_) => (StatusCode::FORBIDDEN, "security-key", "Security key needed"),
            NotDecided::NotOffered(_) => (StatusCode::UNPROCESSABLE_ENTITY, "not-offered", "Not to be had"),
            NotDecided::OnItsPage(..) => (StatusCode::FORBIDDEN, "on-its-page", "Decided on its page"),
            NotDecided::BadReason(_) => (StatusCode::UNPROCESSABLE_ENTITY, "reason", "Reason needed"),
            NotDecided::Unrecorded => (StatusCode::SERVICE_UNAVAILABLE, "unrecorded", "Not recorded"),
        };
        Self::new(status, kind, title, detail)
    }
}

impl From<SignInError> for Problem {
    fn from(why: SignInError) -> Self {
        let status = match why {
            SignInError::NoWay => StatusCode::NOT_FOUND,
            SignInError::Provider(_) => {
                return Self::new(
                    StatusCode::BAD_GATEWAY,
                    "provider",
                    "Not signed in",
                    "The identity provider cannot be used at the moment; the operator's log has the cause.",
                );
            }
            _ => StatusCode::BAD_REQUEST,
        };
        let detail = Self::sentence(&why.to_string());
        Self::new(status, "not-signed-in", "Not signed in", detail)
    }
}
