//! Credential → [`Principal`].
use crate::call::Principal;

/// What a request carried as its credential.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a>(pub Option<&'a str>);

/// Why a credential was not accepted; becomes HTTP 401.
#[derive(Debug)]
pub struct Rejection;

impl Rejection {
    /// The value of `WWW-Authenticate` (RFC 6750 section 3, RFC 9728 section 5.1).
    #[must_use]
    pub fn challenge(&self) -> String {
        unimplemented!()
    }
}

/// Verifies credentials.
pub struct Identity;

impl Identity {
    /// Verifies a bearer token.
    pub async fn admit(&self, _bearer: Bearer<'_>) -> Result<Principal, Rejection> {
        unimplemented!()
    }

    /// What clients learn about where to get a token (RFC 9728 section 3.2).
    #[must_use]
    pub fn protected_resource_metadata(&self) -> serde_json::Value {
        unimplemented!()
    }
}
