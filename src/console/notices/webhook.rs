//! A webhook: every transition as JSON, signed (Standard Webhooks 1.0).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use reqwest::Client;
use sha2::Sha256;
use url::Url;
use zeroize::Zeroizing;

use super::{Answers, ChannelError, Failure};
use crate::secret::Secret;

/// A secret of Standard Webhooks: 24 to 64 bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// One of them.
pub(super) struct Webhook {
    url: Url,
    key: Zeroizing<Vec<u8>>,
    client: Client,
    pub(super) answers: Option<Answers>,
}

impl Webhook {
    pub(super) fn new(url: Url, secret: &Secret, allow_private: bool) -> Result<Self, ChannelError> {
        Ok(Self {
            key: key(secret).ok_or(ChannelError::Secret)?,
            client: super::client(&url, allow_private)?,
            url,
            answers: None,
        })
    }

    /// Sends one notice. `Ok` when it was taken (2xx).
    pub(super) async fn send(&self, id: &str, at: u64, body: String) -> Result<(), Failure> {
        let signature = self
            .signature(id, at, &body)
            .ok_or(Failure::Unsent("not signed"))?;
        let sent = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", signature)
            .body(body)
            .send()
            .await;
        super::outcome(sent)
    }

    /// `v1,` and the HMAC-SHA256 of `id.timestamp.body`.
    pub(super) fn signature(&self, id: &str, at: u64, body: &str) -> Option<String> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        code.update(format!("{id}.{at}.").as_bytes());
        code.update(body.as_bytes());
        Some(format!("v1,{}", STANDARD.encode(code.finalize().into_bytes())))
    }
}

/// The key that a secret of Standard Webhooks is.
pub(in crate::console) fn key(secret: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    let encoded = secret.expose().strip_prefix("whsec_")?;
    let key = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    SECRET_BYTES.contains(&key.len()).then_some(key)
}
