//! What is served beside the MCP endpoint: sign-in pages, token endpoints, an issuer's documents.
//!
//! Whoever stands behind it takes a whole request and gives a whole answer; connections, the `Host` header,
//! sizes and time are this module's business, as for every other path.

use std::net::IpAddr;

use futures::future::BoxFuture;
use http::{Request, Response};

/// The largest body of a form, in bytes; a signed SAML response with many groups fits.
pub(super) const BODY_BYTES: usize = 256 * 1024;

/// Serves some paths.
pub trait Annex: Send + Sync {
    /// Whether this path is served here. Cheap: it is asked before anything is read.
    fn serves(&self, path: &str) -> bool;

    /// One request to one answer. The `Host` was checked, the body is whole and at most 256 KiB, and `from`
    /// is the address the request came from. The answer has every header it needs beside `Cache-Control:
    /// no-store` and `X-Content-Type-Options`.
    fn answer<'a>(&'a self, request: Request<Vec<u8>>, from: IpAddr) -> BoxFuture<'a, Response<Vec<u8>>>;
}
