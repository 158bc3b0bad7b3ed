//! The question: an `AuthnRequest` in the address the browser is sent to (SAML 2.0 bindings 3.4).

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use url::Url;

use super::super::provider::{Question, SignInError};
use super::metadata::escaped;
use super::tree::ns;
use crate::clock::Timestamp;

const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

/// The id of the request of a question, which the answer repeats. An id begins with a letter or `_`.
///
/// # Errors
/// A nonce that cannot be part of an id, which is none of ours.
pub(super) fn id(question: &Question) -> Result<String, SignInError> {
    let nonce = question.nonce.as_str();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(16..=128).contains(&nonce.len()) || !nonce.bytes().all(fits) {
        return Err(SignInError::NotBegunHere);
    }
    Ok(format!("_{nonce}"))
}

/// The address that asks. Not signed: nothing in it helps whoever changes it, because what comes back is
/// compared with what was asked, and goes to the address the provider knows.
///
/// # Errors
/// As [`id`].
pub(super) fn address(
    question: &Question,
    sign_on: &Url,
    entity: &str,
    recipient: &str,
    now: Timestamp,
) -> Result<Url, SignInError> {
    let text = text(question, sign_on, entity, recipient, now)?;
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    let written = deflated
        .write_all(text.as_bytes())
        .and_then(|()| deflated.finish());
    let written = written.map_err(|_| SignInError::Provider("the request cannot be written".to_owned()))?;
    let mut address = sign_on.clone();
    address
        .query_pairs_mut()
        .append_pair("SAMLRequest", &STANDARD.encode(written))
        .append_pair("RelayState", &question.state);
    Ok(address)
}

fn text(
    question: &Question,
    sign_on: &Url,
    entity: &str,
    recipient: &str,
    now: Timestamp,
) -> Result<String, SignInError> {
    // SAML knows no max_age. Asking again whenever one is wanted keeps the promise; the answer's
    // AuthnInstant is compared all the same.
    let again = question.max_age.map_or("", |_| " ForceAuthn=\"true\"");
    let classes: String = question
        .acr_values
        .iter()
        .map(|class| {
            let class = escaped(class);
            format!("<saml:AuthnContextClassRef>{class}</saml:AuthnContextClassRef>")
        })
        .collect();
    let context = if classes.is_empty() {
        String::new()
    } else {
        format!("<samlp:RequestedAuthnContext Comparison=\"exact\">{classes}</samlp:RequestedAuthnContext>")
    };
    Ok(format!(
        "<samlp:AuthnRequest xmlns:samlp=\"{}\" xmlns:saml=\"{}\" ID=\"{}\" Version=\"2.0\" \
         IssueInstant=\"{}\" Destination=\"{}\" ProtocolBinding=\"{POST}\" \
         AssertionConsumerServiceURL=\"{}\"{again}><saml:Issuer>{}</saml:Issuer>\
         <samlp:NameIDPolicy AllowCreate=\"true\"/>{context}</samlp:AuthnRequest>",
        ns::PROTOCOL,
        ns::ASSERTION,
        id(question)?,
        now.rfc3339(),
        escaped(sign_on.as_str()),
        escaped(recipient),
        escaped(entity),
    ))
}
