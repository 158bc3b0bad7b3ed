//! Where we may go on a stranger's word: looked up by us, so that a name cannot lead into the inside (SSRF, DNS
//! rebinding). The address that was checked is the one that is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Which addresses are within reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public ones.
    Public,
    /// This machine: the url says so itself.
    Loopback,
    /// All, because the operator said so.
    Any,
}

impl Reach {
    /// For this url; `None` when it names an address out of reach itself.
    pub(crate) fn of(url: &Url, allow_private: bool) -> Option<Self> {
        if allow_private {
            return Some(Self::Any);
        }
        Self::of_host(&url.host()?, false)
    }

    /// For this host.
    pub(crate) fn of_host<S: AsRef<str>>(host: &Host<S>, allow_private: bool) -> Option<Self> {
        if allow_private {
            return Some(Self::Any);
        }
        let address = match host {
            Host::Domain(name) if name.as_ref() == "localhost" => return Some(Self::Loopback),
            Host::Domain(_) => return Some(Self::Public),
            Host::Ipv4(address) => IpAddr::V4(*address),
            Host::Ipv6(address) => IpAddr::V6(*address),
        };
        if address.is_loopback() {
            return Some(Self::Loopback);
        }
        Self::Public.holds(address).then_some(Self::Public)
    }

    /// The addresses of a host that are within reach; none, when it has none there.
    ///
    /// # Errors
    /// Its name cannot be looked up.
    pub(crate) async fn addresses<S: AsRef<str>>(
        self,
        host: &Host<S>,
        port: u16,
    ) -> std::io::Result<Vec<SocketAddr>> {
        let found = match host {
            Host::Domain(name) => tokio::net::lookup_host((name.as_ref(), port)).await?.collect(),
            Host::Ipv4(address) => vec![SocketAddr::from((*address, port))],
            Host::Ipv6(address) => vec![SocketAddr::from((*address, port))],
        };
        let within = found.into_iter().filter(|address| self.holds(address.ip()));
        Ok(within.collect())
    }

    fn holds(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Any, _) => true,
            (Self::Loopback, address) => address.is_loopback(),
            (Self::Public, IpAddr::V4(address)) => is_public_v4(address),
            (Self::Public, IpAddr::V6(address)) => is_public_v6(address),
        }
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let within: Vec<SocketAddr> = found.filter(|address| reach.holds(address.ip())).collect();
            if within.is_empty() {
                return Err("no address within reach".into());
            }
            Ok(Box::new(within.into_iter()) as Addrs)
        })
    }
}

/// IANA's special-purpose registry, without what is reachable from everywhere.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..=127).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..=31).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113))
}

/// Global unicast alone (2000::/3), and of what carries an IPv4 address only where that is public.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [a, b, c, ..] = address.segments();
    let inside = |high: u16, low: u16| {
        let [w, x] = high.to_be_bytes();
        let [y, z] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(w, x, y, z))
    };
    match (a, b) {
        (0x64, 0xff9b) => {
            let [.., high, low] = address.segments();
            c == 0 && inside(high, low)
        }
        (0x2002, high) => inside(high, c),
        (0x2001, 0 | 0xdb8) => false, // Teredo, documentation
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_is_out_of_reach_however_it_is_written() {
        for inside in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "ff02::1",
            "::10.0.0.1",
        ] {
            assert!(!Reach::Public.holds(inside.parse().unwrap()), "{inside}");
            assert!(Reach::Any.holds(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(Reach::Public.holds(outside.parse().unwrap()), "{outside}");
            assert!(!Reach::Loopback.holds(outside.parse().unwrap()), "{outside}");
        }
        let of = |url: &str| Reach::of(&Url::parse(url).unwrap(), false);
        assert_eq!(of("https://hook.example.com"), Some(Reach::Public));
        assert_eq!(of("https://192.168.1.1/x"), None);
        assert_eq!(of("https://0x0a000001/x"), None);
        assert_eq!(of("https://[fd00::1]/x"), None);
        assert_eq!(of("http://127.0.0.1:9/x"), Some(Reach::Loopback));
        assert_eq!(of("http://localhost:9/x"), Some(Reach::Loopback));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_leads_nowhere() {
        let name = || "localhost".parse::<Name>().unwrap();
        assert!(Reach::Public.resolve(name()).await.is_err());
        assert!(Reach::Loopback.resolve(name()).await.is_ok());
    }
}
