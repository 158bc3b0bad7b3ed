//! Where a client may take its answers: compared as text, so that no two readers of a URL can differ.
//!
//! RFC 9700 4.1.3: exactly what was registered. Of a loopback address alone the port may vary (RFC 8252 7.3),
//! and then everything around the port is compared as text too.

use url::{Host, Url};

/// The longest redirect URI, in bytes.
const BYTES: usize = 2048;
/// The most of one client.
pub(super) const MOST: usize = 32;
/// How a loopback redirect begins. Other addresses of 127.0.0.0/8 are not written in practice.
const LOOPBACK: [&str; 3] = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
/// Schemes a browser answers itself, or that carry what they lead to: never a program's own.
const BROWSERS: [&str; 19] = [
    "about",
    "blob",
    "chrome",
    "content",
    "data",
    "edge",
    "feed",
    "file",
    "filesystem",
    "ftp",
    "http",
    "intent",
    "jar",
    "javascript",
    "mailto",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// Schemes by which an operating system opens something of its own, with what the address says: a page that takes
/// people there, be it because they said no, is an attack. Windows alone has dozens that begin with `ms-`.
const SYSTEMS: [&str; 17] = [
    "facetime",
    "hcp",
    "ldap",
    "ldaps",
    "mhtml",
    "mk",
    "res",
    "rlogin",
    "search",
    "search-ms",
    "sftp",
    "shell",
    "smb",
    "sms",
    "ssh",
    "tel",
    "telnet",
];
const WINDOWS: &str = "ms-";

/// A redirect URI that may be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect(String);

/// Where a redirect leads, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leads {
    /// A web site: its host, with the port where it is not the usual one.
    Site(String),
    /// A program on the person's own machine: whoever listens there.
    Loopback(String),
    /// A program that claims this scheme on the person's own machine.
    Program(String),
}

impl Redirect {
    /// Reads one. `None` for what must not be registered: not plain text, a fragment, a user name, plain HTTP
    /// to elsewhere, a scheme of the browser itself.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !br##"\"<>^`{|}#"##.contains(&byte);
        if text.len() > BYTES || !text.bytes().all(plain) {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let fits = url.username().is_empty() && url.password().is_none();
        let scheme = match url.scheme() {
            // The host stands where every reader looks for it, written as every reader writes it.
            "https" => {
                let rest = text.strip_prefix("https://");
                rest.is_some_and(|rest| url.host_str().is_some_and(|host| rest.starts_with(host)))
            }
            "http" => after_host(text).is_some(),
            scheme => text.starts_with(&format!("{scheme}:")) && is_programs(scheme),
        };
        (fits && scheme).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an answer may go to `asked`, this being registered.
    pub(super) fn allows(&self, asked: &str) -> bool {
        if asked == self.0 {
            return true;
        }
        match (after_host(&self.0), after_host(asked)) {
            (Some(registered), Some(asked)) => registered == asked,
            _ => false,
        }
    }

    /// Where it leads.
    pub(super) fn leads(&self) -> Leads {
        let Ok(url) = Url::parse(&self.0) else {
            return Leads::Program(self.0.clone()); // was parsed before
        };
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        match (url.scheme(), url.host()) {
            ("http", Some(host)) => Leads::Loopback(format!("{host}{port}")),
            ("https", Some(Host::Domain("localhost"))) => Leads::Loopback(format!("localhost{port}")),
            ("https", Some(host)) => Leads::Site(format!("{host}{port}")),
            (scheme, _) => Leads::Program(format!("{scheme}:")),
        }
    }

    /// The address with the fields of an answer added (RFC 6749 4.1.2: what it has of its own stays).
    pub(super) fn with(&self, fields: &[(&str, &str)]) -> String {
        let joint = if self.0.contains('?') { '&' } else { '?' };
        let encoded = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        format!("{}{joint}{encoded}", self.0)
    }
}

/// Whether a scheme may be a program's own (RFC 8252 7.1).
fn is_programs(scheme: &str) -> bool {
    !BROWSERS.contains(&scheme) && !SYSTEMS.contains(&scheme) && !scheme.starts_with(WINDOWS)
}

/// Host and rest of a loopback redirect without its port: two that agree here differ at most in the port.
/// `None` when it is no loopback redirect, however much it looks like one.
fn after_host(text: &str) -> Option<(&'static str, &str)> {
    let begins = |host: &&&str| text.starts_with(**host);
    let host = LOOPBACK.iter().find(begins)?;
    let rest = text.strip_prefix(host)?;
    let rest = match rest.strip_prefix(':') {
        None => rest,
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (port, rest) = rest.split_at_checked(digits)?;
            port.parse::<u16>().ok().filter(|port| *port != 0)?;
            rest
        }
    };
    let ends = rest.is_empty() || rest.starts_with('/') || rest.starts_with('?');
    let plain = rest
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#');
    (ends && plain).then_some((*host, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allows(registered: &str, asked: &str) -> bool {
        Redirect::parse(registered).unwrap().allows(asked)
    }

    #[test]
    fn exactly_what_was_registered() {
        let site = "https://agent.example.com/back";
        assert!(allows(site, site));
        for other in [
            "https://agent.example.com/back/",
            "https://agent.example.com/back?x=1",
            "https://agent.example.com/back#x",
            "https://agent.example.com/back/../evil",
            "https://agent.example.com/%62ack",
            "https://agent.example.com:443/back",
            "https://agent.example.com:8443/back",
            "https://AGENT.example.com/back",
            "https://agent.example.com.evil.example/back",
            "https://agent.example.com@evil.example/back",
            "https://evil.example\\@agent.example.com/back",
            "https://evil.example/agent.example.com/back",
            "http://agent.example.com/back",
            "//agent.example.com/back",
            "https://agent.example.com/back ",
            "https://agent.example.com/back\n",
            "javascript://agent.example.com/back",
            "",
        ] {
            assert!(!allows(site, other), "{other:?}");
        }
    }

    #[test]
    fn of_a_loopback_address_the_port_alone_may_vary() {
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            for registered in [format!("http://{host}/cb"), format!("http://{host}:80/cb")] {
                assert!(allows(&registered, &format!("http://{host}:49152/cb")));
                assert!(allows(&registered, &format!("http://{host}/cb")));
                for other in [
                    format!("https://{host}:49152/cb"),
                    format!("http://{host}:49152/cb/"),
                    format!("http://{host}:49152/cb?x"),
                    format!("http://{host}:49152/cb#x"),
                    format!("http://{host}:0/cb"),
                    format!("http://{host}:65536/cb"),
                    format!("http://{host}:/cb"),
                    format!("http://{host}:1@evil.example/cb"),
                    format!("http://{host}@evil.example/cb"),
                    format!("http://{host}.evil.example/cb"),
                    format!("http://{host}:49152\\@evil.example/cb"),
                    format!("http://user@{host}:49152/cb"),
                    format!("http://{host}:49152/x/../cb"),
                    "http://127.0.0.2/cb".to_owned(),
                    "http://0x7f000001/cb".to_owned(),
                ] {
                    assert!(!allows(&registered, &other), "{registered} {other}");
                }
            }
        }
        assert!(!allows("http://127.0.0.1/cb", "http://localhost/cb"));
        assert!(!allows("http://localhost/cb", "http://[::1]/cb"));
        assert!(allows("http://127.0.0.1", "http://127.0.0.1:5"));
    }

    #[test]
    fn what_must_not_be_registered() {
        for bad in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vbscript:x",
            "blob:https://a.example/x",
            "view-source:https://a.example",
            "about:blank",
            "ms-msdt:/id%20PCWDiagnostic",
            "MS-Officecmd:x",
            "search-ms:query=x",
            "ssh://agent.example.com/",
            "smb://agent.example.com/share",
            "http://agent.example.com/cb",
            "http://192.168.1.1/cb",
            "https://user@agent.example.com/cb",
            "https://user:pass@agent.example.com/cb",
            "https://agent.example.com/cb#part",
            "https://agent.example.com/c b",
            "https://agent.example.com\\cb",
            "https:agent.example.com/cb",
            "https:///cb",
            "https://0x7f000001/cb",
            "https://AGENT.example.com/cb",
            "/cb",
            "agent.example.com/cb",
            "https://agént.example/cb",
            "",
        ] {
            assert_eq!(Redirect::parse(bad), None, "{bad}");
        }
        assert_eq!(
            Redirect::parse(&format!("https://a.example/{}", "x".repeat(BYTES))),
            None
        );
        assert!(Redirect::parse("cursor://anysphere.cursor-mcp/oauth/callback").is_some());
        assert!(Redirect::parse("com.example.agent:/cb").is_some());
    }

    #[test]
    fn people_see_where_it_leads() {
        let leads = |text: &str| Redirect::parse(text).unwrap().leads();
        assert_eq!(leads("https://a.example/x"), Leads::Site("a.example".to_owned()));
        assert_eq!(
            leads("https://a.example:8443/x"),
            Leads::Site("a.example:8443".to_owned())
        );
        assert_eq!(leads("http://[::1]:9/x"), Leads::Loopback("[::1]:9".to_owned()));
        assert_eq!(leads("cursor://x/y"), Leads::Program("cursor:".to_owned()));
        let answer = Redirect::parse("https://a.example/x?y=1").unwrap();
        assert_eq!(
            answer.with(&[("code", "c"), ("state", "a b&c=d")]),
            "https://a.example/x?y=1&code=c&state=a+b%26c%3Dd"
        );
    }

    /// Pieces an attacker would put together.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("http://"),
            Just("https://"),
            Just("127.0.0.1"),
            Just("localhost"),
            Just("[::1]"),
            Just(":"),
            Just("80"),
            Just("@"),
            Just("/"),
            Just("\\"),
            Just("#"),
            Just("?"),
            Just(".."),
            Just("/cb"),
            Just("."),
            Just("evil.example"),
            Just("agent.example.com"),
            Just("%2f"),
            Just("\t"),
            Just("\u{e9}"),
            Just("//"),
        ];
        prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn never_to_another_host(asked in pieces(), any in ".{0,64}") {
            for registered in ["http://127.0.0.1/cb", "http://localhost", "http://[::1]:7/cb", "https://agent.example.com/cb"] {
                let redirect = Redirect::parse(registered).unwrap();
                for asked in [&asked, &any] {
                    let _ = Redirect::parse(asked);
                    if redirect.allows(asked) {
                        let (here, there) = (Url::parse(registered).unwrap(), Url::parse(asked).unwrap());
                        prop_assert_eq!(here.host(), there.host());
                        prop_assert_eq!(here.scheme(), there.scheme());
                        prop_assert_eq!(here.path(), there.path());
                        prop_assert_eq!(here.query(), there.query());
                        prop_assert!(there.username().is_empty() && there.password().is_none());
                        prop_assert!(there.fragment().is_none());
                    }
                }
            }
        }
    }
}
