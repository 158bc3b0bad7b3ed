//! Responses, and the headers every one of them carries.

use axum::body::Body;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

/// A response, whatever it says.
pub(super) type Answer = Response<Body>;

/// No script at all, nothing from elsewhere, nobody's frame. `form-action` keeps forms here.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// A page that asks the browser for a security key, by the script of ours.
pub(super) fn with_keys(mut answer: Answer) -> Answer {
    for (name, value) in crate::transport::http::headers::SECURITY_KEYS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A page that renews itself, by the script of ours.
pub(super) fn with_events(mut answer: Answer) -> Answer {
    let policy = HeaderValue::from_static(crate::transport::http::headers::SCRIPTED);
    answer
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    answer
}

/// A body of one type, status 200.
pub(super) fn of(media_type: &'static str, body: impl Into<Body>) -> Answer {
    let mut answer = Response::new(body.into());
    let value = HeaderValue::from_static(media_type);
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    answer
}

/// JSON, status 200.
pub(super) fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => of("application/json", body),
        Err(_) => {
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        }
    }
}

/// A page.
pub(super) fn page(html: String) -> Answer {
    of("text/html; charset=utf-8", html)
}

/// 303: get that instead. Where the address is ours or an issuer's own.
pub(super) fn see(place: &str) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(place) = HeaderValue::from_str(place) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    answer
}

/// Adds a cookie that only this host sets and gets, over TLS, out of reach of scripts; with 0 seconds it
/// is taken back. `Lax`: people come here by links in messages.
pub(super) fn with_cookie(mut answer: Answer, name: &str, value: &str, seconds: u64) -> Answer {
    let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}
