//! What every answer of every listener carries: the one place that says so.
//!
//! An answer may bring stricter or other words of its own (a page whose form leads to an identity provider,
//! a page with a script); what never changes is added to them, because several policies hold together
//! (Content Security Policy Level 3, section 8.1).

use http::HeaderValue;
use http::header::{self, HeaderName};

use super::fault::Answer;

/// Nothing runs, nothing is loaded, nobody's frame.
pub(crate) const NOTHING: &str = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";
/// What no page may loosen.
const FLOOR: &str = "object-src 'none'; base-uri 'none'; frame-ancestors 'none'";
/// A year, for this host alone: others below it are not ours to promise for (RFC 6797 section 6.1).
const HTTPS: &str = "max-age=31536000";

/// Always exactly so.
const FIXED: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
    (
        HeaderName::from_static("x-permitted-cross-domain-policies"),
        "none",
    ),
];

/// So, unless the answer says otherwise. `same-origin`, not `no-referrer`: with that, browsers send
/// `Origin: null` with our own forms.
const USUAL: [(HeaderName, &str); 4] = [
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), \
         identity-credentials-get=(), publickey-credentials-get=(), publickey-credentials-create=()",
    ),
];

/// On pages of the people's side that renew themselves or ask for a security key: the scripts that do, from here,
/// and they ask here alone.
pub(crate) const SCRIPTED: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                                   form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// On pages of the people's side that ask for a security key: the script that does, from here, and leave to.
pub(crate) const SECURITY_KEYS: [(HeaderName, &str); 2] = [
    (header::CONTENT_SECURITY_POLICY, SCRIPTED),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), \
         identity-credentials-get=(), publickey-credentials-get=(self), publickey-credentials-create=(self)",
    ),
];

/// The headers of one listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Headers {
    policy: &'static str,
    is_https: bool,
}

impl Headers {
    /// For the listener that people's programs reach at `url`; `policy` is what holds where an answer has no
    /// Content-Security-Policy.
    pub(crate) fn new(url: &url::Url, policy: &'static str) -> Self {
        Self {
            policy,
            is_https: url.scheme() == "https",
        }
    }

    /// Adds them to an answer.
    pub(crate) fn on(self, mut answer: Answer) -> Answer {
        let headers = answer.headers_mut();
        for (name, value) in FIXED {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in USUAL {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        let own = headers.contains_key(header::CONTENT_SECURITY_POLICY);
        let policy = if own { FLOOR } else { self.policy };
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        if self.is_https {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HTTPS));
        }
        answer
    }
}
