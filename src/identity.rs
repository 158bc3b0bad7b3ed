//! Credential → [`Principal`].
use crate::call::Principal;

/// What a request carried as its credential.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a>(pub Option<&'a str>);

/// Why a credential was not accepted; becomes HTTP 401.
#[derive(Debug)]
pub struct Rejection;

/// Verifies credentials.
pub struct Identity;

impl Identity {
    /// Verifies a bearer token.
    pub async fn admit(&self, _bearer: Bearer<'_>) -> Result<Principal, Rejection> {
        unimplemented!()
    }
}
