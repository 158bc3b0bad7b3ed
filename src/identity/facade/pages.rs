//! Every answer of the facade that is not a redirect: pages for people, without script and without anything from
//! elsewhere, and JSON for programs.
//!
//! A form here never redirects: browsers hold the whole chain of redirects after a form against its page's
//! `form-action`, and where a provider sends people is its own business. So a form is answered by a page that
//! leads on by itself ([`onward`]), and `form-action` stays at `'self'`.

use std::fmt::Write;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::Answer;
use crate::call::{Hash, is_unseen};

/// The look of the console, as far as these few pages need it.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5d6670;--line:#d6dbe0;--paper:#fff;--ground:#f4f6f8;\
--no:#b3261e;--care:#8a5300;--care-ground:#fff4e0;--link:#0b57a8}\
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#a3adb6;--line:#3a424a;--paper:#1b2025;\
--ground:#14181c;--no:#d9534a;--care:#ffca7a;--care-ground:#3a2c12;--link:#7fb8f5}}\
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
header,main{max-width:40rem;margin:0 auto;padding:.75rem 1rem}header{font-weight:700}\
h1{font-size:1.4rem;line-height:1.25;margin:.25rem 0 .75rem;overflow-wrap:anywhere}\
section{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:1rem;margin:0 0 1rem}\
p{margin:0 0 .5rem;overflow-wrap:anywhere}a{color:var(--link)}ul{margin:0;padding-left:1.2rem}\
dl{display:grid;grid-template-columns:minmax(7rem,10rem) 1fr;gap:.25rem 1rem;margin:0}dt{color:var(--soft)}\
dd{margin:0;overflow-wrap:anywhere;min-width:0}.faint{color:var(--soft);font-size:.875rem}\
.care{background:var(--care-ground);border-color:var(--care)}.care strong{color:var(--care)}\
form{display:flex;flex-wrap:wrap;gap:.75rem;margin:0}\
input{font:inherit;padding:.5rem;border:1px solid var(--soft);border-radius:6px;color:inherit;background:var(--paper)}\
button{font:inherit;font-weight:600;min-height:2.75rem;padding:.4rem 1.1rem;border-radius:6px;\
border:1px solid var(--line);background:var(--paper);color:var(--ink);cursor:pointer}\
button.yes{background:#14713d;border-color:#14713d;color:#fff}button.no{border-color:var(--no);color:var(--no)}\
:focus-visible{outline:3px solid var(--link);outline-offset:2px}\
@media (max-width:30rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}button{width:100%}}";

/// Text in an element or a quoted attribute: nothing in it is markup, and what would act on the screen instead
/// of showing on it shows as its code point.
pub(super) fn text(words: &str) -> String {
    let mut out = String::with_capacity(words.len() + words.len() / 8);
    for character in words.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ if is_unseen(character) => {
                let _ = write!(out, "\u{27e8}U+{:04X}\u{27e9}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

/// A whole page around `body`, which is HTML.
pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Answer {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · Tollgate</title><style>{STYLE}</style></head><body>\
         <header>Tollgate</header><main><h1>{title}</h1>{body}</main></body></html>\n",
        title = text(title)
    );
    let mut answer = whole(status, "text/html; charset=utf-8", html.into_bytes());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy());
    for (name, value) in [
        (header::X_FRAME_OPTIONS, "DENY"),
        // `same-origin`, not `no-referrer`: with that, browsers send `Origin: null` with our own form. To
        // other sites both say nothing.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The one style of these pages is allowed by its hash.
fn policy() -> HeaderValue {
    static POLICY: OnceLock<HeaderValue> = OnceLock::new();
    let made = POLICY.get_or_init(|| {
        let hash = STANDARD.encode(Hash::of(STYLE.as_bytes()).0);
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        );
        let strict = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        HeaderValue::from_str(&policy).unwrap_or(strict)
    });
    made.clone()
}

/// A page that says what went wrong and what to do. Both are ours, never a stranger's markup.
pub(super) fn problem(status: StatusCode, what: &str, then: &str) -> Answer {
    page(status, what, &format!("<section><p>{}</p></section>", text(then)))
}

pub(super) fn not_found() -> Answer {
    problem(
        StatusCode::NOT_FOUND,
        "There is nothing here",
        "Begin in the program that wants to sign you in.",
    )
}

pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "This is not how it is asked",
        "Begin in the program that wants to sign you in.",
    );
    answer
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// The store did not answer: nothing happened, or nobody knows whether it did.
pub(super) fn store_away(error: &crate::store::StoreError) -> Answer {
    tracing::error!(%error, "a sign-in met a store that cannot be used");
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "This server cannot sign anybody in now",
        "Nothing was decided. Try again in a minute, in the program you came from.",
    )
}

/// Goes on to `url`, which is checked: the answer to a GET.
pub(super) fn away(url: &str) -> Answer {
    let Ok(place) = HeaderValue::from_str(url) else {
        return problem(
            StatusCode::BAD_GATEWAY,
            "There is no way on from here",
            "Tell whoever runs this server that an address of a sign-in cannot be sent.",
        );
    };
    let mut answer = whole(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Vec::new());
    let headers = answer.headers_mut();
    headers.insert(header::LOCATION, place);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

/// Goes on to `url`, which is checked: the answer to a form (see the head of this module). `where_to` is for people.
pub(super) fn onward(url: &str, where_to: &str) -> Answer {
    let Ok(refresh) = HeaderValue::from_str(&format!("0;url={url}")) else {
        return away(url);
    };
    let link = text(url);
    let body = format!(
        "<section><p>You are being taken to <bdi>{}</bdi>. <a rel=\"noreferrer\" href=\"{link}\">Go there now</a></p></section>",
        text(where_to)
    );
    let mut answer = page(StatusCode::OK, "One moment", &body);
    answer
        .headers_mut()
        .insert(HeaderName::from_static("refresh"), refresh);
    answer
}

/// A problem, and a link back to a program at `host` that we do not send anybody to by ourselves.
pub(super) fn way_back(what: &str, why: &str, url: &str, host: &str) -> Answer {
    let body = format!(
        "<section><p>{}</p><p><a rel=\"noreferrer\" href=\"{}\">Back to <bdi>{}</bdi></a></p></section>",
        text(why),
        text(url),
        text(host)
    );
    page(StatusCode::BAD_REQUEST, what, &body)
}

/// JSON for a program.
pub(super) fn json(status: StatusCode, value: &Value) -> Answer {
    whole(status, "application/json", value.to_string().into_bytes())
}

/// A document of SAML 2.0 metadata (appendix A there registers its type).
pub(super) fn saml_metadata(document: String) -> Answer {
    whole(
        StatusCode::OK,
        "application/samlmetadata+xml",
        document.into_bytes(),
    )
}

/// An OAuth error for a program (RFC 6749 5.2, RFC 7591 3.2.2).
pub(super) fn error(status: StatusCode, code: &str, words: &str) -> Answer {
    json(status, &json!({"error": code, "error_description": words}))
}

fn whole(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A cookie for one sign-in.
pub(super) struct Cookie<'a> {
    pub(super) name: &'a str,
    /// Empty takes the cookie away.
    pub(super) value: &'a str,
    pub(super) seconds: u64,
    pub(super) secure: bool,
    pub(super) same_site: &'static str,
}

impl Cookie<'_> {
    /// Adds it to an answer.
    pub(super) fn set(&self, answer: &mut Answer) {
        let secure = if self.secure { "; Secure" } else { "" };
        let line = format!(
            "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite={}{secure}",
            self.name, self.value, self.seconds, self.same_site
        );
        if let Ok(mut line) = HeaderValue::from_str(&line) {
            line.set_sensitive(true);
            answer.headers_mut().append(header::SET_COOKIE, line);
        }
    }
}
