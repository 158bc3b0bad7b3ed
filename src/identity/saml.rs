//! Sign-in by SAML 2.0 (Web Browser SSO profile), for organisations without OpenID Connect.
//!
//! ```text
//! browser ──AuthnRequest (HTTP-Redirect)──▶ provider ──signed assertion (HTTP-POST)──▶ /oauth/saml/<issuer>
//! ```
//!
//! A response is read strictly ([`tree`]), must have one shape ([`shape`]), must say what we asked
//! ([`statement`]), must be signed by a configured key ([`verify`]), and works once ([`replay`]): each
//! stands alone, and any of them refuses. Nothing here talks to the network. `docs/saml.md` has the rules.
//!
//! The cargo feature `saml` brings the verifier; without it, configured SAML is refused at the start.

#[cfg(all(feature = "saml", any(test, fuzzing)))]
pub(crate) mod fuzzing;
#[cfg(feature = "saml")]
mod metadata;
#[cfg(feature = "saml")]
mod replay;
#[cfg(feature = "saml")]
mod request;
#[cfg(feature = "saml")]
mod shape;
#[cfg(feature = "saml")]
mod sign_in;
#[cfg(feature = "saml")]
mod statement;
#[cfg(feature = "saml")]
mod tree;
#[cfg(feature = "saml")]
mod verify;

use std::sync::Arc;

use super::facade::path;
use super::provider::Provider;
use super::spec::SpecError;
use crate::clock::World;

/// The largest response, decoded, in bytes. With many groups Entra's have some 20,000.
pub const RESPONSE_BYTES: usize = 192 * 1024;
/// The largest metadata file, in bytes.
pub const METADATA_BYTES: usize = 1024 * 1024;

/// Whether this build can sign people in by SAML.
#[must_use]
pub const fn available() -> bool {
    cfg!(feature = "saml")
}

/// One identity provider that speaks SAML.
#[derive(Debug, Clone)]
pub struct SamlSpec {
    /// The issuer's configured name.
    pub name: String,
    /// Our public address, without a slash at its end.
    pub public_url: String,
    /// The provider's metadata, XML, from a file that only the operator can write: the root of all trust here.
    pub metadata: String,
    /// As [`super::IssuerSpec::groups_claim`]: a slash, then the attribute's `Name` (`~1` may stand for `/`).
    pub groups_claim: Option<String>,
    /// As [`super::IssuerSpec::groups_cut_at`].
    pub groups_cut_at: Option<usize>,
    /// Assertions valid for longer than this many seconds from now are refused.
    pub max_lifetime_seconds: u64,
}

impl SamlSpec {
    /// Our entity id, and the address responses are posted to; one for each provider, so that an answer of
    /// one is never an answer of another.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}{}{}", self.public_url, path::SAML, self.name)
    }
}

/// What a provider's metadata says, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its entity id, which its messages are compared with.
    pub entity: String,
    /// Where people are sent.
    pub sign_on: String,
    /// How many certificates may sign.
    pub certificates: usize,
    /// When the file's word ends (`validUntil`), in seconds since the epoch.
    pub until: Option<u64>,
}

/// Reads the metadata of a provider.
///
/// # Errors
/// As [`provider`].
#[cfg(feature = "saml")]
pub fn about(spec: &SamlSpec) -> Result<About, SpecError> {
    let peer = metadata::Peer::read(&spec.metadata)?;
    Ok(About {
        entity: peer.entity,
        sign_on: peer.sign_on.into(),
        certificates: peer.certificates.len(),
        until: peer.until,
    })
}

/// As in a build that has it; here it always refuses.
///
/// # Errors
/// This build has no SAML.
#[cfg(not(feature = "saml"))]
pub fn about(spec: &SamlSpec) -> Result<About, SpecError> {
    Err(missing(&spec.name))
}

/// A provider that speaks SAML.
///
/// # Errors
/// What is wrong with its metadata, in words for the operator; or that this build has no SAML.
#[cfg(feature = "saml")]
pub fn provider(spec: SamlSpec, world: Arc<dyn World>) -> Result<Arc<dyn Provider>, SpecError> {
    Ok(Arc::new(sign_in::Saml::new(spec, world)?))
}

/// As in a build that has it; here it always refuses.
///
/// # Errors
/// This build has no SAML.
#[cfg(not(feature = "saml"))]
pub fn provider(spec: SamlSpec, _world: Arc<dyn World>) -> Result<Arc<dyn Provider>, SpecError> {
    Err(missing(&spec.name))
}

#[cfg(not(feature = "saml"))]
fn missing(name: &str) -> SpecError {
    SpecError(format!(
        "issuer `{name}` has mode \"saml\", and this build of Tollgate has no SAML: take a release build, or build \
         it with `cargo build --features saml`"
    ))
}

#[cfg(all(test, not(feature = "saml")))]
mod tests {
    use super::*;
    use crate::clock::System;

    #[test]
    fn a_build_without_it_says_so() {
        let spec = SamlSpec {
            name: "corp".to_owned(),
            public_url: "https://gate.example.com".to_owned(),
            metadata: String::new(),
            groups_claim: None,
            groups_cut_at: None,
            max_lifetime_seconds: 1,
        };
        let refused = provider(spec, Arc::new(System::new())).unwrap_err().to_string();
        assert!(refused.contains("issuer `corp`") && refused.contains("--features saml"));
        assert!(!available());
    }
}
