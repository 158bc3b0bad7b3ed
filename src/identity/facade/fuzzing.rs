//! For `crate::fuzzing`.

use http::Method;
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue};
use url::Url;

use super::authorize::challenge;
use super::device::canonical;
use super::documents::{self, NAME};
use super::redirect::Redirect;
use super::{Asked, Fields, path, register, token};
use crate::identity::fuzzing::lines;
use crate::identity::spec::is_loopback;

const DOCUMENT: &str = "https://agent.example.net/oauth/client.json";

/// A redirect URI that is registered, and one that is asked for: a line each.
pub(crate) fn redirect(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (registered, asked) = text.split_once('\n').unwrap_or((&text, &text));
    let Some(redirect) = Redirect::parse(registered) else {
        return;
    };
    assert!(redirect.allows(registered) && redirect.as_str() == registered);
    let _ = redirect.leads();
    if !redirect.allows(asked) || asked == registered {
        return;
    }
    // By another reader: at most the port of a loopback address differs.
    let (Ok(mut one), Ok(mut other)) = (Url::parse(registered), Url::parse(asked)) else {
        unreachable!("{asked} is allowed and is no address");
    };
    assert!(is_loopback(&other), "{asked}");
    let _ = (one.set_port(None), other.set_port(None));
    assert_eq!(one, other, "{registered} allows {asked}");
    let answered = redirect.with(&[("code", "a&b#c")]);
    assert!(answered.starts_with(registered) && !answered.contains('#'));
}

/// A client's document, the line before it being how long it may be kept.
pub(crate) fn document(data: &[u8]) {
    let (cached, body) = lines(data);
    let fresh = documents::fresh_for(std::str::from_utf8(cached).ok());
    assert!((1..=86_400).contains(&fresh), "{fresh}");
    if let Ok(url) = documents::address(&String::from_utf8_lossy(cached), false) {
        assert_eq!(url.scheme(), "https");
    }
    let Ok(url) = Url::parse(DOCUMENT) else { return };
    if let Ok(document) = documents::read(DOCUMENT, &url, body) {
        assert!(document.name.chars().count() <= NAME && !document.redirects.is_empty());
        for redirect in &document.redirects {
            assert!(redirect.allows(redirect.as_str()));
        }
    }
}

/// The body of a registration.
pub(crate) fn registration(data: &[u8]) {
    if let Ok((name, redirects)) = register::wanted(data) {
        assert!(!name.is_empty() && name.chars().count() <= NAME && !redirects.is_empty());
    }
}

/// The query of an authorization request, and the form of a token, device or revocation request: one reader.
pub(crate) fn form(data: &[u8]) {
    let (fields, repeated) = Fields::parse(data);
    if let Ok(challenge) = challenge(&fields) {
        assert_eq!(challenge.len(), 43);
    }
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, kind);
    let asked = Asked {
        method: &Method::POST,
        path: path::TOKEN,
        query: "",
        headers: &headers,
        body: data,
    };
    match token::client_form(&asked) {
        Ok(form) => {
            assert!(repeated.is_none() && form.get("client_assertion").is_none());
            assert!(token::client_id(&form).is_err() || fields.get("client_id").is_some());
        }
        Err(_) => assert!(
            repeated.is_some()
                || fields
                    .0
                    .iter()
                    .any(|(name, _)| name.starts_with("client_assertion"))
        ),
    }
    if let Some(code) = fields.get("user_code").and_then(canonical) {
        assert_eq!(canonical(&code).as_ref(), Some(&code));
    }
}

/// Cookie headers, a line each.
pub(crate) fn cookies(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(COOKIE, value);
        }
    }
    if let Some(value) = super::cookie(&headers, "__Host-tollgate") {
        let all = String::from_utf8_lossy(data);
        assert!(!value.contains(';') && all.contains("__Host-tollgate="));
        crate::identity::people::browser::fuzz(value);
    }
}
