//! Addresses of database servers, read the same way for every kind.

use std::net::Ipv4Addr;

use url::{Host, Url};

/// Whom to call, and whether that is this machine.
pub(super) fn host(url: &Url) -> Option<(String, bool)> {
    Some(match url.host()? {
        Host::Domain(name) => {
            // Of a scheme that it does not know, the parser takes an IPv4 address for a name.
            let name = decoded(name);
            let address = name
                .parse::<Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback());
            let near = address || name.eq_ignore_ascii_case("localhost");
            (name, near)
        }
        Host::Ipv4(address) => (address.to_string(), address.is_loopback()),
        Host::Ipv6(address) => (address.to_string(), address.is_loopback()),
    })
}

/// What is percent-encoded in an address.
pub(super) fn decoded(part: &str) -> String {
    let pair = format!("={part}").replace('+', "%2B").replace('&', "%26");
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// Where the database is, without whom it knows us as: `host:port/database`; `port` is that of a server that says none.
pub(super) fn address(url: &Url, port: u16) -> String {
    let host = url.host_str().unwrap_or_default();
    let database = decoded(url.path().trim_start_matches('/'));
    format!("{host}:{}/{database}", url.port().unwrap_or(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_address_are_decoded_once() {
        for (part, whole) in [
            ("app", "app"),
            ("a%40b", "a@b"),
            ("a+b", "a+b"),
            ("a%26b=c", "a&b=c"),
            ("", ""),
            ("a%2525", "a%25"),
        ] {
            assert_eq!(decoded(part), whole);
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for (url, near) in [
            ("postgres://a@localhost/d", true),
            ("postgres://a@127.0.0.1/d", true),
            ("postgres://a@127.9.9.9:1/d", true),
            ("postgres://a@[::1]/d", true),
            ("postgres://a@10.0.0.1/d", false),
            ("postgres://a@localhost.example.com/d", false),
            ("postgres://a@[::ffff:10.0.0.1]/d", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(host(&url).map(|(_, near)| near), Some(near), "{url}");
        }
    }
}
