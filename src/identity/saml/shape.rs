//! The one shape of response that goes any further.
//!
//! Signature wrapping (XSW) works by a second assertion, response or signature in a place that one reader
//! looks at and another does not. So every such place is closed before a signature is even looked at: one
//! response, one assertion directly in it, a signature directly in either, which refers to its own parent,
//! and ids that cannot be confused.

use super::super::provider::SignInError;
use super::super::rejection::Reason;
use super::tree::{Element, ns};

/// The elements that this much is known of.
#[derive(Debug)]
pub(super) struct Shape<'a> {
    pub(super) response: &'a Element,
    pub(super) assertion: &'a Element,
    /// All of these must verify.
    pub(super) signatures: usize,
}

/// SHA-2 with RSA alone (RFC 9231).
const SIGNATURES: [&str; 3] = [
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
];
const DIGESTS: [&str; 3] = [
    "http://www.w3.org/2001/04/xmlenc#sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512",
];
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// What SAML 2.0 core allows beside it, without comments.
const EXCLUSIVE: &str = ns::EXCLUSIVE;
/// Names that may occur once in a message, wherever they are and in whatever namespace.
const ONCE: [&str; 5] = ["Response", "Assertion", "Status", "Subject", "Conditions"];

/// What is wrong with a response, for the operator at the provider.
pub(super) fn refused(what: &str) -> SignInError {
    SignInError::Provider(format!("its SAML response {what}"))
}

/// Checks the shape of a response.
///
/// # Errors
/// Anything that is not exactly it.
pub(super) fn check(response: &Element) -> Result<Shape<'_>, SignInError> {
    if !response.is(ns::PROTOCOL, "Response") {
        return Err(refused("is not a SAML 2.0 Response"));
    }
    let everything = response.all();
    if everything.iter().any(|one| one.name.starts_with("Encrypted")) {
        return Err(refused(
            "is encrypted: switch off the encryption of assertions there (the channel is TLS already)",
        ));
    }
    let many = |name: &str| everything.iter().filter(|one| one.name == name).count();
    if many("Assertion") == 0 {
        return Err(refused("has no assertion"));
    }
    if ONCE.iter().any(|name| many(name) > 1) {
        return Err(SignInError::Token(Reason::Signature));
    }
    only(
        response,
        &[
            (ns::ASSERTION, "Issuer", 1),
            (ns::SIGNATURE, "Signature", 1),
            (ns::PROTOCOL, "Status", 1),
            (ns::ASSERTION, "Assertion", 1),
        ],
    )?;
    let assertion = response
        .one(ns::ASSERTION, "Assertion")
        .ok_or(SignInError::Token(Reason::Signature))?;
    only(
        assertion,
        &[
            (ns::ASSERTION, "Issuer", 1),
            (ns::SIGNATURE, "Signature", 1),
            (ns::ASSERTION, "Subject", 1),
            (ns::ASSERTION, "Conditions", 1),
            (ns::ASSERTION, "AuthnStatement", 1),
            (ns::ASSERTION, "AttributeStatement", 16),
        ],
    )?;
    ids(response, assertion, &everything)?;
    let signatures = signatures(response, assertion)?;
    if many("Signature") != signatures || many("SignedInfo") != signatures || many("Object") != 0 {
        return Err(SignInError::Token(Reason::Signature));
    }
    Ok(Shape {
        response,
        assertion,
        signatures,
    })
}

/// How many signatures there are in the two places for them.
fn signatures(response: &Element, assertion: &Element) -> Result<usize, SignInError> {
    let mut signatures = 0;
    for parent in [response, assertion] {
        if let Some(signature) = parent.one(ns::SIGNATURE, "Signature") {
            signed(signature, parent)?;
            signatures += 1;
        }
    }
    if assertion.one(ns::SIGNATURE, "Signature").is_none() {
        return Err(refused(
            "has an assertion that is not signed itself: switch on signed assertions there",
        ));
    }
    Ok(signatures)
}

/// No child but these, each at most so often.
fn only(parent: &Element, allowed: &[(&str, &str, usize)]) -> Result<(), SignInError> {
    for child in &parent.children {
        let known = allowed
            .iter()
            .find(|(namespace, name, _)| child.is(namespace, name));
        let Some((namespace, name, most)) = known else {
            return Err(refused("has an element that is not understood"));
        };
        if parent.named(namespace, name).count() > *most {
            return Err(SignInError::Token(Reason::Signature));
        }
    }
    Ok(())
}

/// Response and assertion have an id each; nothing else has anything a verifier might take for one.
fn ids(response: &Element, assertion: &Element, everything: &[&Element]) -> Result<(), SignInError> {
    for element in everything {
        let may = std::ptr::eq(*element, response) || std::ptr::eq(*element, assertion);
        for attribute in &element.attributes {
            let like = attribute.name.to_ascii_lowercase();
            let exact = attribute.name == "ID" && attribute.namespace.is_empty();
            let is_id = matches!(like.as_str(), "id" | "assertionid" | "responseid" | "requestid");
            if is_id && !(may && exact) {
                return Err(SignInError::Token(Reason::Signature));
            }
        }
    }
    match (id(response), id(assertion)) {
        (Some(one), Some(other)) if one != other => Ok(()),
        _ => Err(SignInError::Token(Reason::Malformed)),
    }
}

/// The id of a response or an assertion: an NCName of ASCII, of which nothing needs escaping in a reference.
pub(super) fn id(element: &Element) -> Option<&str> {
    let id = element.attribute("ID")?;
    let first = |char: char| char.is_ascii_alphabetic() || char == '_';
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    (id.len() <= 256 && id.starts_with(first) && id.chars().all(fits)).then_some(id)
}

/// A signature that covers its parent and nothing else (SAML 2.0 core 5.4), by algorithms that are sound.
fn signed(signature: &Element, parent: &Element) -> Result<(), SignInError> {
    let broken = || SignInError::Token(Reason::Signature);
    let algorithm = |element: &Element| element.attribute("Algorithm").map(str::to_owned);
    only(
        signature,
        &[
            (ns::SIGNATURE, "SignedInfo", 1),
            (ns::SIGNATURE, "SignatureValue", 1),
            (ns::SIGNATURE, "KeyInfo", 1),
        ],
    )?;
    let value = signature.one(ns::SIGNATURE, "SignatureValue");
    value.and_then(Element::plain).ok_or_else(broken)?;
    if let Some(key) = signature.one(ns::SIGNATURE, "KeyInfo") {
        // It chooses no key here; but nothing in it may be fetched or be taken for something else.
        let foreign = |one: &&Element| one.namespace != ns::SIGNATURE || one.name == "RetrievalMethod";
        if key.all().iter().any(foreign) {
            return Err(refused("names its key in a way that is not understood"));
        }
    }
    let info = signature.one(ns::SIGNATURE, "SignedInfo").ok_or_else(broken)?;
    only(
        info,
        &[
            (ns::SIGNATURE, "CanonicalizationMethod", 1),
            (ns::SIGNATURE, "SignatureMethod", 1),
            (ns::SIGNATURE, "Reference", 1),
        ],
    )?;
    let method = |of: &Element, name: &str| of.one(ns::SIGNATURE, name).and_then(algorithm);
    if method(info, "CanonicalizationMethod").as_deref() != Some(EXCLUSIVE) {
        return Err(SignInError::Token(Reason::Algorithm));
    }
    one_of(method(info, "SignatureMethod"), &SIGNATURES)?;
    let reference = info.one(ns::SIGNATURE, "Reference").ok_or_else(broken)?;
    let target = reference.attribute("URI").and_then(|uri| uri.strip_prefix('#'));
    if target.is_none() || target != id(parent) {
        return Err(broken());
    }
    only(
        reference,
        &[
            (ns::SIGNATURE, "Transforms", 1),
            (ns::SIGNATURE, "DigestMethod", 1),
            (ns::SIGNATURE, "DigestValue", 1),
        ],
    )?;
    one_of(method(reference, "DigestMethod"), &DIGESTS)?;
    let transforms = reference.one(ns::SIGNATURE, "Transforms").ok_or_else(broken)?;
    only(transforms, &[(ns::SIGNATURE, "Transform", 2)])?;
    for transform in &transforms.children {
        only(transform, &[(ns::EXCLUSIVE, "InclusiveNamespaces", 1)])?;
    }
    let mut found: Vec<_> = transforms.children.iter().filter_map(algorithm).collect();
    found.sort();
    (found == [ENVELOPED, EXCLUSIVE])
        .then_some(())
        .ok_or(SignInError::Token(Reason::Algorithm))
}

fn one_of(found: Option<String>, allowed: &[&str]) -> Result<(), SignInError> {
    let known = found.is_some_and(|found| allowed.contains(&found.as_str()));
    known.then_some(()).ok_or_else(|| {
        SignInError::Provider(
            "its SAML response is signed in a way that is not accepted: set RSA with SHA-256 there"
                .to_owned(),
        )
    })
}
