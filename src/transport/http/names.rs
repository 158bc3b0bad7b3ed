//! Under which names a listener is ours: `Host` and `Origin` against lists.

use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use http::header::{self, HeaderMap};

/// A host and the port that was named, if one was.
type Authority = (String, Option<u16>);

/// Why a `Host` is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// None, or more than one.
    Several,
    /// Not one of ours.
    Other,
}

/// The names of one listener.
#[derive(Debug)]
pub(crate) struct Names {
    hosts: Vec<Authority>,
    origins: Vec<(String, Authority)>,
    scheme: String,
}

impl Names {
    /// `name[:port]` each, and `scheme://name[:port]` each; `scheme` is the one we are reached by.
    ///
    /// # Errors
    /// Which entry cannot be understood.
    pub(crate) fn new(hosts: &[String], origins: &[String], scheme: &str) -> Result<Self, String> {
        Ok(Self {
            hosts: each(hosts, "allowed host", authority)?,
            origins: each(origins, "allowed origin", origin)?,
            scheme: scheme.to_owned(),
        })
    }

    /// RFC 9112 section 3.2: exactly one `Host`, and it agrees with an absolute request target. Names
    /// that are not ours are how a page reaches a local server through its own DNS name.
    pub(crate) fn check_host<B>(&self, request: &Request<B>) -> Result<(), Foreign> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Foreign::Several);
        };
        let host = host.to_str().ok().and_then(authority).ok_or(Foreign::Other)?;
        if let Some(target) = request.uri().authority()
            && authority(target.as_str()).as_ref() != Some(&host)
        {
            return Err(Foreign::Other);
        }
        let default = default_port(&self.scheme);
        let ours = self.hosts.iter().any(|allowed| same(allowed, &host, default));
        ours.then_some(()).ok_or(Foreign::Other)
    }

    /// Whether the `Origin` is one of ours, or there is none: such a request is not a browser's.
    pub(crate) fn owns_origin(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(first) = origins.next() else {
            return true;
        };
        let named = first
            .to_str()
            .ok()
            .and_then(origin)
            .filter(|_| origins.next().is_none());
        named.is_some_and(|(scheme, authority)| {
            let default = default_port(&scheme);
            self.origins
                .iter()
                .any(|(s, allowed)| *s == scheme && same(allowed, &authority, default))
        })
    }
}

/// Host and Origin values under which a server at this address is its own.
pub(crate) fn own(url: &url::Url) -> (Vec<String>, Vec<String>) {
    let Some(host) = url.host_str() else {
        return (Vec::new(), Vec::new());
    };
    let mut names = vec![host];
    let loopback = ["localhost", "127.0.0.1", "[::1]"];
    if loopback.contains(&host) {
        names.extend(loopback.iter().filter(|name| **name != host));
    }
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let hosts: Vec<String> = names.iter().map(|name| format!("{name}{port}")).collect();
    let origins = hosts
        .iter()
        .map(|host| format!("{}://{host}", url.scheme()))
        .collect();
    (hosts, origins)
}

/// What strangers can do any number of times, worth a word at the 1st, 2nd, 4th, 8th … time: a log that
/// strangers can fill is an outage.
#[derive(Debug, Default)]
pub(crate) struct Seldom(AtomicU64);

impl Seldom {
    /// How often it has happened, when that is worth a word.
    pub(crate) fn count(&self) -> Option<u64> {
        let times = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        times.is_power_of_two().then_some(times)
    }
}

fn each<T>(entries: &[String], what: &str, parse: fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    entries
        .iter()
        .map(|entry| {
            parse(entry).ok_or_else(|| format!("{what} `{entry}` is not a name with an optional port"))
        })
        .collect()
}

fn authority(text: &str) -> Option<Authority> {
    if text.contains('@') {
        return None;
    }
    let authority = http::uri::Authority::try_from(text).ok()?;
    let named = text.strip_prefix(authority.host())?;
    let port = match named.strip_prefix(':') {
        Some(_) => Some(authority.port_u16()?),
        None => None,
    };
    Some((authority.host().to_ascii_lowercase(), port))
}

/// RFC 6454 section 6.2: `scheme://host[:port]` and nothing after it. `null` is nobody's.
fn origin(text: &str) -> Option<(String, Authority)> {
    let (scheme, rest) = text.split_once("://")?;
    Some((scheme.to_ascii_lowercase(), authority(rest)?))
}

fn default_port(scheme: &str) -> Option<u16> {
    Some(if scheme == "https" { 443 } else { 80 })
}

/// Equal, where no port means the scheme's own.
fn same(allowed: &Authority, named: &Authority, default: Option<u16>) -> bool {
    allowed.0 == named.0 && allowed.1.or(default) == named.1.or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_name_and_perhaps_a_port() {
        assert_eq!(authority("Example.COM"), Some(("example.com".to_owned(), None)));
        assert_eq!(authority("[::1]:80"), Some(("[::1]".to_owned(), Some(80))));
        for hostile in ["", "a@b", "a:99999", "a:", "a/b", "a b", "a:80:90", "[::1"] {
            assert_eq!(authority(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn an_origin_has_a_scheme_and_no_path() {
        assert!(origin("https://example.com").is_some());
        for hostile in [
            "null",
            "",
            "example.com",
            "https://",
            "https://a/b",
            "https://a@b",
            "https://a?b",
        ] {
            assert_eq!(origin(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn no_port_means_the_schemes_own_and_a_suffix_is_another_host() {
        let ours = authority("gate.example.com").unwrap();
        let same = |text: &str| same(&ours, &authority(text).unwrap(), Some(443));
        assert!(same("gate.example.com") && same("gate.example.com:443"));
        for foreign in [
            "gate.example.com:444",
            "xgate.example.com",
            "gate.example.com.evil.org",
            "gate.example.com.",
        ] {
            assert!(!same(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_stranger_cannot_fill_the_log() {
        let seldom = Seldom::default();
        let said: Vec<u64> = (0..1_000_000).filter_map(|_| seldom.count()).collect();
        assert_eq!((said.first(), said.len()), (Some(&1), 20));
    }
}
