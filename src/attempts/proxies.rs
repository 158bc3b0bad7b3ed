//! Whose attempt it is, when a proxy of ours stands in front.

use std::net::{IpAddr, SocketAddr};

/// The proxies that are believed. Nobody else's `X-Forwarded-For` is.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpAddr>);

impl Proxies {
    /// These addresses; none believes nobody.
    #[must_use]
    pub fn new(trusted: &[IpAddr]) -> Self {
        Self(trusted.iter().map(IpAddr::to_canonical).collect())
    }

    /// Whether connections from there are a proxy's.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.0.contains(&peer.to_canonical())
    }

    /// The address an attempt counts for: the peer's, or what our proxy says. `forwarded` are the values of
    /// `X-Forwarded-For` in their order. Every proxy adds the address it saw at the end, so the last one that
    /// is not a proxy of ours is the last one that is true; what stands before it is the sender's own words. A
    /// list that cannot be read up to there says nothing.
    #[must_use]
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        if !self.trusts(peer) {
            return peer.to_canonical();
        }
        let mut hops = forwarded.rev().flat_map(|value| value.rsplit(','));
        let last = hops.find_map(|hop| match address(hop.trim()) {
            Some(hop) if self.trusts(hop) => None,
            other => Some(other),
        });
        last.flatten().unwrap_or(peer).to_canonical()
    }
}

/// An address, alone or with the port that some proxies add.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|at| at.ip());
    text.parse().ok().or_else(bracketed).or_else(with_port)
}
