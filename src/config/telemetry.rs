//! `[telemetry]`: where traces and logs go by OTLP.

use std::collections::BTreeMap;

use http::HeaderName;
use url::Url;

use super::check::{Check, is_loopback};
use super::raw;
use crate::secret::SecretRef;

/// Most resource attributes, and most headers.
const MOST: usize = 32;
/// The longest value of a resource attribute, in bytes.
const VALUE_MAX: usize = 256;

/// `[telemetry]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// The collector; requests go to `v1/traces` and `v1/logs` below it.
    pub endpoint: Url,
    /// Header = where its value is.
    pub headers: BTreeMap<String, SecretRef>,
    /// What every record says of this server beside `service.version`.
    pub attributes: BTreeMap<String, String>,
    /// Of 100 requests, how many are traced.
    pub sample_percent: u8,
    /// What a client's own trace is to ours.
    pub traceparent: Incoming,
    /// Whether traces are sent.
    pub traces: bool,
    /// Whether log lines are sent.
    pub logs: bool,
}

/// What a client's `traceparent` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// Our trace has an id of its own and names theirs.
    Link,
    /// Our span is a part of their trace.
    Parent,
    /// Nothing.
    Ignore,
}

impl Telemetry {
    /// An address below the endpoint.
    #[must_use]
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.endpoint.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }
}

pub(super) fn telemetry(raw: Option<&raw::Telemetry>, check: &mut Check<'_>) -> Option<Telemetry> {
    let raw = raw?;
    if !cfg!(feature = "otlp") {
        check.problem(
            raw.endpoint.span(),
            "this build cannot send traces and logs",
            "use a build with the feature `otlp`, or take [telemetry] out",
        );
    }
    let endpoint = endpoint(raw, check);
    let headers = headers(raw, check);
    let mut attributes = BTreeMap::new();
    for (key, value) in &raw.attributes {
        let fits =
            |text: &str| !text.is_empty() && text.len() <= VALUE_MAX && !text.chars().any(char::is_control);
        if attributes.len() < MOST && fits(key.get_ref()) && fits(value.get_ref()) {
            attributes.insert(key.get_ref().clone(), value.get_ref().clone());
        } else {
            check.problem(
                value.span(),
                "an attribute that cannot be sent",
                format!("write at most {MOST}, each of 1 to {VALUE_MAX} bytes on one line"),
            );
        }
    }
    let sample = check.number(raw.sample_percent.as_ref(), "sample_percent", 0..=100, 100);
    let traceparent = match raw.traceparent.as_ref().map(|text| text.get_ref().as_str()) {
        None | Some("link") => Incoming::Link,
        Some("parent") => Incoming::Parent,
        Some("ignore") => Incoming::Ignore,
        Some(_) => {
            let span = raw.traceparent.as_ref().map_or(0..0, toml::Spanned::span);
            check.problem(
                span,
                "traceparent is not known",
                "write \"link\", \"parent\" or \"ignore\"",
            );
            return None;
        }
    };
    Some(Telemetry {
        endpoint: endpoint?,
        headers: headers?,
        attributes,
        sample_percent: u8::try_from(sample?).ok()?,
        traceparent,
        traces: raw.traces.unwrap_or(true),
        logs: raw.logs.unwrap_or(true),
    })
}

fn endpoint(raw: &raw::Telemetry, check: &mut Check<'_>) -> Option<Url> {
    let url = Url::parse(raw.endpoint.get_ref()).ok().filter(|url| {
        let bare = url.query().is_none() && url.fragment().is_none();
        let known = matches!(url.scheme(), "http" | "https") && url.host().is_some();
        known && bare && url.username().is_empty() && url.password().is_none()
    });
    let Some(url) = url else {
        check.problem(
            raw.endpoint.span(),
            "endpoint is not the address of a collector",
            "write its base, for example https://otel.example.com:4318; credentials go into [telemetry.headers]",
        );
        return None;
    };
    if url.scheme() == "http" && !is_loopback(&url) && !raw.headers.is_empty() {
        check.problem(
            raw.endpoint.span(),
            "headers would travel unencrypted",
            "write https://, or a collector on this machine, or take the headers out",
        );
        return None;
    }
    Some(url)
}

fn headers(raw: &raw::Telemetry, check: &mut Check<'_>) -> Option<BTreeMap<String, SecretRef>> {
    let mut headers = BTreeMap::new();
    let mut whole = true;
    for (name, value) in &raw.headers {
        let reserved = [
            "content-type",
            "content-length",
            "host",
            "transfer-encoding",
            "connection",
        ];
        let lower = name.get_ref().to_ascii_lowercase();
        let known = HeaderName::from_bytes(lower.as_bytes()).is_ok() && !reserved.contains(&lower.as_str());
        if !known || headers.len() >= MOST {
            check.problem(
                name.span(),
                "a header that cannot be sent",
                "name one of the collector's own, for example authorization",
            );
            whole = false;
            continue;
        }
        match check.secret(value, &lower) {
            Some(secret) => {
                headers.insert(lower, secret);
            }
            None => whole = false,
        }
    }
    whole.then_some(headers)
}
