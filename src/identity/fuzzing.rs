//! For `crate::fuzzing`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use url::Url;

use super::discovery::Metadata;
use super::jose::Compact;
use super::jwks::KeySet;
use super::{
    Bearer, Fetch, FetchError, Fetched, Form, GroupMap, IssuerSpec, claims, introspection, services,
};
use crate::attempts::Proxies;
use crate::clock::{self, Timestamp};

#[cfg(feature = "saml")]
pub(crate) use super::saml::fuzzing as saml;
pub(crate) use super::{facade::fuzzing as facade, login::fuzzing as login, provider::fuzzing as provider};

/// Seconds since the epoch, as in the seeds.
pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const ISSUER: &str = "https://login.example.com/realm";
pub(super) const CLIENT: &str = "tollgate";
const RESOURCE: &str = "https://gate.example.com/mcp";

pub(super) fn issuer() -> IssuerSpec {
    IssuerSpec::new("corp", ISSUER, RESOURCE)
}

/// The first line, and what follows it.
pub(super) fn lines(data: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// A network that says the same to everybody.
#[derive(Debug)]
pub(super) struct Says(pub(super) Vec<u8>);

impl Says {
    fn answer(&self) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        Box::pin(std::future::ready(Ok(Fetched {
            status: 200,
            cache_control: None,
            body: self.0.clone(),
        })))
    }
}

impl Fetch for Says {
    fn get<'a>(&'a self, _: &'a Url) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.answer()
    }

    fn get_as<'a>(&'a self, _: &'a Url, _: &'a str) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.answer()
    }

    fn post<'a>(&'a self, _: &'a Url, _: Form<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.answer()
    }
}

/// A world in which no time passes.
#[derive(Debug)]
pub(super) struct World;

impl clock::World for World {
    fn now(&self) -> Timestamp {
        Timestamp(NOW * 1000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// An `Authorization` header, to the token in it.
pub(crate) fn bearer(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    if let Some(token) = Bearer::from_authorization(Some(&header)).0 {
        assert!(!token.is_empty() && token.trim() == token);
        let _ = Compact::parse(token);
        key(token.as_bytes());
    }
}

/// Header and claims of a token whose signature is right, a line and the rest: as an access token, an ID token and a
/// logout token.
pub(crate) fn token(data: &[u8]) {
    let (header, payload) = lines(data);
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let text = format!("{}.{}.{}", part(header), part(payload), part(b"signature"));
    let Ok(token) = Compact::parse(&text) else {
        return;
    };
    let map = GroupMap::default();
    if let Ok(admitted) = claims::signed(&token.header, &token.claims, &issuer(), &map, NOW) {
        assert!(admitted.expires + claims::LEEWAY > NOW && !admitted.user.subject.is_empty());
        assert!(admitted.user.groups.is_empty(), "nobody mapped any");
    }
    provider::token(&token);
}

/// What an issuer answers about an opaque token.
pub(crate) fn introspection(data: &[u8]) {
    let issuer = issuer();
    if let Ok(answer) = introspection::read(data, &issuer) {
        assert_eq!(answer.get("active"), Some(&true.into()));
        let _ = claims::check(&answer, &issuer, &GroupMap::default(), NOW);
    }
}

/// An issuer's metadata.
pub(crate) fn discovery(data: &[u8]) {
    let Ok(base) = Url::parse(ISSUER) else { return };
    if let Ok(metadata) = Metadata::of(ISSUER, base, data) {
        if let Ok(url) = metadata.own("jwks_uri", "jwks_uri") {
            assert_eq!(
                (url.scheme(), url.host_str()),
                ("https", Some("login.example.com"))
            );
        }
        let _ = metadata.lists("scopes_supported", "openid");
    }
    provider::discovery(data);
}

/// An issuer's keys.
pub(crate) fn keys(data: &[u8]) {
    let _ = KeySet::parse(data);
}

/// The text of an API key.
pub(crate) fn key(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if services::has_form(&text) {
        assert!(text.starts_with("tgk_") && text.is_ascii());
    }
}

/// `X-Forwarded-For`, a header a line.
pub(crate) fn forwarded(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let proxies = Proxies::new(&[peer, IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    let client = proxies.client(peer, text.lines());
    assert!(client == peer || !proxies.trusts(client), "{client}");
    assert_eq!(client, client.to_canonical());
}
