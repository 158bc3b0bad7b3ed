//! What is known of a provider (a file the operator put here), and what it is told of us.

use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::super::spec::{SpecError, secure};
use super::METADATA_BYTES;
use super::statement::{PERSISTENT, moment};
use super::tree::{self, Allow, Element, ns};

const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";
/// An old and a new key, and a few more; each costs a verification.
const KEYS: usize = 6;
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// Bits of an RSA key.
const BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A provider.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) entity: String,
    /// Where the browser goes with a request.
    pub(super) sign_on: Url,
    /// The keys it signs with: certificates in DER, base64. Nothing but their keys is used, as SAML 2.0
    /// metadata means it: neither names nor dates nor chains.
    pub(super) certificates: Vec<String>,
    /// When the file's word ends, in seconds since the epoch.
    pub(super) until: Option<u64>,
}

impl Peer {
    /// Reads the metadata of one identity provider.
    ///
    /// # Errors
    /// What is wrong with it and what to do.
    pub(super) fn read(text: &str) -> Result<Self, SpecError> {
        if text.len() > METADATA_BYTES {
            return Err(wrong(
                "is larger than 1 MiB; ask for the metadata of this one provider",
            ));
        }
        let text = text
            .strip_prefix('\u{feff}')
            .unwrap_or(text)
            .replace("\r\n", "\n");
        let root = tree::read(&text, Allow::Comments)
            .map_err(|fault| wrong(&format!("{}; download it again", fault.0)))?;
        if root.is(ns::METADATA, "EntitiesDescriptor") {
            return Err(wrong(
                "describes a federation; ask for the metadata of this one provider",
            ));
        }
        let entity = root
            .attribute("entityID")
            .filter(|id| (1..=1024).contains(&id.len()));
        let (true, Some(entity)) = (root.is(ns::METADATA, "EntityDescriptor"), entity) else {
            return Err(wrong(
                "is no SAML 2.0 metadata (an EntityDescriptor with an entityID)",
            ));
        };
        let role = root
            .one(ns::METADATA, "IDPSSODescriptor")
            .ok_or_else(|| wrong("does not describe one identity provider (IDPSSODescriptor)"))?;
        let supports = role.attribute("protocolSupportEnumeration").unwrap_or_default();
        if !supports.split_ascii_whitespace().any(|one| one == ns::PROTOCOL) {
            return Err(wrong("is of a provider that does not speak SAML 2.0"));
        }
        if matches!(role.attribute("WantAuthnRequestsSigned"), Some("true" | "1")) {
            return Err(wrong(
                "wants signed requests (WantAuthnRequestsSigned), which Tollgate does not send: switch that off for this client there",
            ));
        }
        Ok(Self {
            entity: entity.to_owned(),
            sign_on: sign_on(role)?,
            certificates: certificates(role)?,
            until: until(&[&root, role])?,
        })
    }

    /// The same, as the verifier is told it: nothing that was not checked here.
    pub(super) fn reduced(&self) -> String {
        let keys: String = self
            .certificates
            .iter()
            .map(|one| {
                format!(
                    "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{one}\
                     </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
                )
            })
            .collect();
        format!(
            "<md:EntityDescriptor xmlns:md=\"{}\" xmlns:ds=\"{}\" entityID=\"{}\">\
             <md:IDPSSODescriptor protocolSupportEnumeration=\"{}\">{keys}\
             <md:SingleSignOnService Binding=\"{REDIRECT}\" Location=\"{}\"/>\
             </md:IDPSSODescriptor></md:EntityDescriptor>",
            ns::METADATA,
            ns::SIGNATURE,
            escaped(&self.entity),
            ns::PROTOCOL,
            escaped(self.sign_on.as_str()),
        )
    }
}

/// Our own metadata, to be given to the provider.
pub(super) fn ours(entity: &str, recipient: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <md:EntityDescriptor xmlns:md=\"{}\" entityID=\"{}\">\n  \
         <md:SPSSODescriptor protocolSupportEnumeration=\"{}\" AuthnRequestsSigned=\"false\" WantAssertionsSigned=\"true\">\n    \
         <md:NameIDFormat>{PERSISTENT}</md:NameIDFormat>\n    \
         <md:AssertionConsumerService index=\"0\" isDefault=\"true\" Binding=\"{POST}\" Location=\"{}\"/>\n  \
         </md:SPSSODescriptor>\n</md:EntityDescriptor>\n",
        ns::METADATA,
        escaped(entity),
        ns::PROTOCOL,
        escaped(recipient),
    )
}

/// A text inside an element or an attribute in double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(' '),
            char => out.push(char),
        }
    }
    out
}

fn wrong(what: &str) -> SpecError {
    SpecError(format!("the SAML metadata {what}"))
}

fn sign_on(role: &Element) -> Result<Url, SpecError> {
    let service = role
        .named(ns::METADATA, "SingleSignOnService")
        .find(|service| service.attribute("Binding") == Some(REDIRECT))
        .ok_or_else(|| {
            wrong("names no SingleSignOnService for HTTP-Redirect: switch that binding on there")
        })?;
    let place = service.attribute("Location").unwrap_or_default();
    secure(place).map_err(|why| wrong(&format!("names a SingleSignOnService whose Location {why}")))
}

fn certificates(role: &Element) -> Result<Vec<String>, SpecError> {
    let mut found: Vec<String> = Vec::new();
    for key in role.named(ns::METADATA, "KeyDescriptor") {
        if key.attribute("use").is_some_and(|usage| usage != "signing") {
            continue;
        }
        let everything = key.all();
        let mut written = everything
            .iter()
            .filter(|one| one.is(ns::SIGNATURE, "X509Certificate"));
        let (Some(one), None) = (written.next(), written.next()) else {
            return Err(wrong(
                "has a signing key that is not exactly one certificate: whether an authority's key may sign cannot be known",
            ));
        };
        let certificate = certificate(&one.text)?;
        if !found.contains(&certificate) {
            found.push(certificate);
        }
    }
    match found.len() {
        0 => Err(wrong("has no signing certificate")),
        1..=KEYS => Ok(found),
        _ => Err(wrong("has more signing certificates than anybody needs (6)")),
    }
}

/// A certificate with a key that is worth something, in one line of base64.
fn certificate(written: &str) -> Result<String, SpecError> {
    let dense: String = written.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(dense).ok();
    let parsed = bytes.and_then(|bytes| Certificate::from_der(&bytes).ok());
    let parsed = parsed.ok_or_else(|| wrong("has a certificate that is none"))?;
    let key = &parsed.tbs_certificate.subject_public_key_info;
    let bits = (key.algorithm.oid == RSA).then(|| key.subject_public_key.as_bytes().and_then(modulus_bits));
    match bits {
        None => Err(wrong(
            "has a signing key that is not RSA; have it sign with an RSA key",
        )),
        Some(Some(bits)) if BITS.contains(&bits) => {
            let der = parsed
                .to_der()
                .map_err(|_| wrong("has a certificate that is none"))?;
            Ok(STANDARD.encode(der))
        }
        Some(_) => Err(wrong(
            "has an RSA signing key of fewer than 2048 or more than 8192 bits: have it make a new one",
        )),
    }
}

/// Bits of the modulus of an RSAPublicKey (RFC 8017 A.1.1).
fn modulus_bits(key: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(key).ok()?;
    let modulus = reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?;
        UintRef::decode(inner)?;
        Ok(modulus)
    });
    let bytes = modulus.ok()?.as_bytes();
    let first = bytes.first()?;
    Some(bytes.len() * 8 - first.leading_zeros() as usize)
}

fn until(elements: &[&Element]) -> Result<Option<u64>, SpecError> {
    let mut earliest = None;
    for written in elements
        .iter()
        .filter_map(|element| element.attribute("validUntil"))
    {
        let end = moment(written).ok_or_else(|| wrong("has a validUntil that is no time in UTC"))?;
        earliest = Some(earliest.map_or(end, |other: u64| other.min(end)));
    }
    Ok(earliest)
}
