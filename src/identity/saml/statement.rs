//! What an assertion says, and whether it says it to us, now, in answer to our question.
//!
//! SAML 2.0 profiles 4.1.4.2 and 4.1.4.3, stricter where they leave a choice. Everything is read from the
//! tree whose shape was checked, and is worth nothing until the signature over the same text verifies.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::groups;
use super::super::provider::SignInError;
use super::super::rejection::Reason;
use super::super::spec::IssuerSpec;
use super::shape::{Shape, refused};
use super::tree::{Element, ns};

/// How far clocks may differ, in seconds.
pub(super) const LEEWAY: u64 = 60;

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const STATUS: &str = "urn:oasis:names:tc:SAML:2.0:status:";
pub(super) const PERSISTENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
const UNSPECIFIED: [&str; 2] = [
    "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
    "urn:oasis:names:tc:SAML:2.0:nameid-format:unspecified", // of no standard, and sent all the same
];
const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";
/// Entra's sign that it left the groups out (more than 150).
const ENTRA_OVERAGE: &str = "http://schemas.microsoft.com/claims/groups.link";
/// The longest subject, session index and class, in bytes.
const TEXT: usize = 256;

/// What the answer is measured by.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// The provider's entity id.
    pub(super) provider: &'a str,
    /// Ours.
    pub(super) audience: &'a str,
    /// Where responses are posted.
    pub(super) recipient: &'a str,
    /// The id of our request.
    pub(super) request: &'a str,
    /// How old the person's proof may be, in seconds.
    pub(super) max_age: Option<u64>,
    /// Seconds since the epoch.
    pub(super) now: u64,
    /// The longest an assertion may be valid from now, in seconds.
    pub(super) lifetime: u64,
    /// The attribute that holds the groups.
    pub(super) groups: Option<&'a str>,
    /// See [`IssuerSpec::groups_cut_at`].
    pub(super) cut_at: Option<usize>,
}

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) subject: String,
    pub(super) groups: BTreeSet<String>,
    pub(super) auth_time: u64,
    pub(super) class: Option<String>,
    pub(super) session: Option<String>,
    /// From when on it could not be used again, in seconds since the epoch.
    pub(super) until: u64,
}

/// Reads what is said to us.
///
/// # Errors
/// Whatever makes it somebody else's, too old, too young, or unclear.
pub(super) fn read(shape: &Shape<'_>, expected: &Expected<'_>) -> Result<Statement, SignInError> {
    envelope(shape.response, expected)?;
    let assertion = shape.assertion;
    version(assertion)?;
    not_in_the_future(assertion, "IssueInstant", expected.now)?;
    issuer(assertion, expected)?.ok_or(SignInError::OtherIssuer)?;
    let subject = assertion
        .one(ns::ASSERTION, "Subject")
        .ok_or(SignInError::Token(Reason::Claim("Subject")))?;
    let until = confirmation(subject, expected)?;
    conditions(assertion, expected)?;
    let name = name(subject, expected)?;
    let (auth_time, class, session) = authenticated(assertion, expected)?;
    Ok(Statement {
        subject: name,
        groups: groups(assertion, expected)?,
        auth_time,
        class,
        session,
        until,
    })
}

/// What a provider says when it signed nobody in. Not signed, and worth no more than an end.
///
/// # Errors
/// The status, by its standard name alone.
pub(super) fn status(response: &Element) -> Result<(), SignInError> {
    let status = response.one(ns::PROTOCOL, "Status");
    let code = status.and_then(|status| status.one(ns::PROTOCOL, "StatusCode"));
    let code = code.ok_or(SignInError::Token(Reason::Malformed))?;
    if code.attribute("Value") == Some(SUCCESS) {
        return Ok(());
    }
    const KNOWN: [&str; 10] = [
        "AuthnFailed",
        "InvalidNameIDPolicy",
        "NoAuthnContext",
        "NoAvailableIDP",
        "NoPassive",
        "RequestDenied",
        "RequestUnsupported",
        "Requester",
        "Responder",
        "UnknownPrincipal",
    ];
    let word = |code: &Element| {
        let word = code.attribute("Value")?.strip_prefix(STATUS)?;
        KNOWN.into_iter().find(|known| *known == word)
    };
    let inner = code.one(ns::PROTOCOL, "StatusCode").and_then(word);
    let word = inner.or_else(|| word(code)).unwrap_or("another status");
    Err(SignInError::Refused(word.to_owned()))
}

fn envelope(response: &Element, expected: &Expected<'_>) -> Result<(), SignInError> {
    version(response)?;
    issuer(response, expected)?;
    if response.attribute("InResponseTo") != Some(expected.request) {
        return Err(SignInError::NotBegunHere);
    }
    not_in_the_future(response, "IssueInstant", expected.now)?;
    if response.attribute("Destination") != Some(expected.recipient) {
        return Err(SignInError::Token(Reason::Audience));
    }
    Ok(())
}

fn version(element: &Element) -> Result<(), SignInError> {
    let fits = element.attribute("Version") == Some("2.0");
    fits.then_some(()).ok_or_else(|| refused("is not of SAML 2.0"))
}

/// Compares the issuer, where there is one.
fn issuer(element: &Element, expected: &Expected<'_>) -> Result<Option<()>, SignInError> {
    let Some(issuer) = element.one(ns::ASSERTION, "Issuer") else {
        return Ok(None);
    };
    let is_entity = issuer.attribute("Format").is_none_or(|format| format == ENTITY);
    let same = is_entity && issuer.plain() == Some(expected.provider);
    same.then_some(Some(())).ok_or(SignInError::OtherIssuer)
}

/// `NameID` to a subject: what stays the same for this person, and for nobody else.
fn name(subject: &Element, expected: &Expected<'_>) -> Result<String, SignInError> {
    let known =
        |child: &Element| child.is(ns::ASSERTION, "NameID") || child.is(ns::ASSERTION, "SubjectConfirmation");
    if !subject.children.iter().all(known) {
        return Err(refused("has a subject that is not understood"));
    }
    let name = subject
        .one(ns::ASSERTION, "NameID")
        .ok_or(SignInError::Token(Reason::Claim("NameID")))?;
    match name.attribute("Format") {
        None => {}
        Some(format) if format == PERSISTENT || UNSPECIFIED.contains(&format) => {}
        Some(TRANSIENT) => {
            return Err(refused(
                "has a transient NameID, another one at every sign-in: set the NameID format persistent there",
            ));
        }
        Some(_) => {
            return Err(refused(
                "has a NameID of a kind that can pass to somebody else (an e-mail address, a login name): set the NameID format persistent there",
            ));
        }
    }
    let qualified = |attribute, whole: &str| name.attribute(attribute).is_none_or(|one| one == whole);
    if !qualified("NameQualifier", expected.provider) || !qualified("SPNameQualifier", expected.audience) {
        return Err(refused(
            "has a NameID that somebody else gave (NameQualifier), which could be the same for two people",
        ));
    }
    text(name.plain()).ok_or(SignInError::Token(Reason::Claim("NameID")))
}

/// A text to remember somebody by: nothing in it can look like something else.
fn text(text: Option<&str>) -> Option<String> {
    let text = text?;
    let fits = (1..=TEXT).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// One bearer confirmation, made for us and this request. Gives until when it can be used.
fn confirmation(subject: &Element, expected: &Expected<'_>) -> Result<u64, SignInError> {
    let confirmation = subject
        .one(ns::ASSERTION, "SubjectConfirmation")
        .filter(|one| one.attribute("Method") == Some(BEARER) && one.children.len() == 1)
        .and_then(|one| one.one(ns::ASSERTION, "SubjectConfirmationData"))
        .filter(|data| data.children.is_empty())
        .ok_or(SignInError::Token(Reason::Claim("SubjectConfirmation")))?;
    if confirmation.attribute("Recipient") != Some(expected.recipient) {
        return Err(SignInError::Token(Reason::Audience));
    }
    if confirmation.attribute("InResponseTo") != Some(expected.request) {
        return Err(SignInError::NotBegunHere);
    }
    let end =
        instant(confirmation, "NotOnOrAfter")?.ok_or(SignInError::Token(Reason::Claim("NotOnOrAfter")))?;
    if confirmation.attribute("NotBefore").is_some() {
        return Err(SignInError::Token(Reason::Claim("NotBefore"))); // profiles 4.1.4.2: it must not be there
    }
    ends(end, expected)?;
    Ok(end.saturating_add(LEEWAY))
}

fn conditions(assertion: &Element, expected: &Expected<'_>) -> Result<(), SignInError> {
    let conditions = assertion
        .one(ns::ASSERTION, "Conditions")
        .ok_or(SignInError::Token(Reason::Claim("Conditions")))?;
    not_in_the_future(conditions, "NotBefore", expected.now)?;
    if let Some(end) = instant(conditions, "NotOnOrAfter")? {
        ends(end, expected)?;
    }
    let mut restricted = false;
    for condition in &conditions.children {
        let known = |name| condition.is(ns::ASSERTION, name);
        if known("OneTimeUse") || known("ProxyRestriction") {
            continue; // it is used once, and passed on to nobody
        }
        if !known("AudienceRestriction") {
            return Err(refused("has a condition that is not understood"));
        }
        let ours =
            |one: &Element| one.is(ns::ASSERTION, "Audience") && one.plain() == Some(expected.audience);
        if !condition.children.iter().any(ours) {
            return Err(SignInError::Token(Reason::Audience));
        }
        restricted = true;
    }
    restricted
        .then_some(())
        .ok_or(SignInError::Token(Reason::Audience))
}

type Authenticated = (u64, Option<String>, Option<String>);

fn authenticated(assertion: &Element, expected: &Expected<'_>) -> Result<Authenticated, SignInError> {
    let statement = assertion
        .one(ns::ASSERTION, "AuthnStatement")
        .ok_or(SignInError::Token(Reason::Claim("AuthnStatement")))?;
    let at = instant(statement, "AuthnInstant")?.ok_or(SignInError::Token(Reason::Claim("AuthnInstant")))?;
    not_in_the_future(statement, "AuthnInstant", expected.now)?;
    if let Some(end) = instant(statement, "SessionNotOnOrAfter")?
        && end.saturating_add(LEEWAY) <= expected.now
    {
        return Err(SignInError::Token(Reason::Expired));
    }
    if let Some(max_age) = expected.max_age
        && at.saturating_add(max_age).saturating_add(LEEWAY) < expected.now
    {
        return Err(SignInError::NotFresh);
    }
    let class = statement
        .one(ns::ASSERTION, "AuthnContext")
        .and_then(|context| context.one(ns::ASSERTION, "AuthnContextClassRef"))
        .and_then(|class| text(class.plain().map(str::trim)));
    let session = match statement.attribute("SessionIndex") {
        None => None,
        found => Some(text(found).ok_or(SignInError::Token(Reason::Claim("SessionIndex")))?),
    };
    Ok((at.min(expected.now), class, session))
}

/// The groups, by the rules of [`groups`]: complete, or nobody is signed in.
fn groups(assertion: &Element, expected: &Expected<'_>) -> Result<BTreeSet<String>, SignInError> {
    let Some(wanted) = expected.groups else {
        return Ok(BTreeSet::new());
    };
    let mut claims = Map::new();
    let mut values = Vec::new();
    let mut found = false;
    let statements = assertion.named(ns::ASSERTION, "AttributeStatement");
    for attribute in statements.flat_map(|one| one.named(ns::ASSERTION, "Attribute")) {
        let name = attribute.attribute("Name");
        if name == Some(ENTRA_OVERAGE) {
            claims.insert("hasgroups".to_owned(), Value::Bool(true));
        }
        if name == Some(wanted) {
            found = true;
            // What is no plain text, such as a NameID, becomes null, which is no group.
            let value = |one: &Element| {
                one.plain()
                    .map_or(Value::Null, |text| Value::String(text.to_owned()))
            };
            values.extend(attribute.children.iter().map(value));
        }
    }
    if found {
        claims.insert("groups".to_owned(), Value::Array(values));
    }
    let mut rules = IssuerSpec::new("", "", "");
    rules.groups_cut_at = expected.cut_at;
    let complete = groups::claimed(&claims, &rules).map_err(SignInError::Groups)?;
    Ok(complete.into_iter().map(str::to_owned).collect())
}

/// Not over, and not for longer than is allowed.
fn ends(end: u64, expected: &Expected<'_>) -> Result<(), SignInError> {
    if end.saturating_add(LEEWAY) <= expected.now {
        return Err(SignInError::Token(Reason::Expired));
    }
    if end > expected.now.saturating_add(expected.lifetime) {
        return Err(SignInError::Token(Reason::Lifetime));
    }
    Ok(())
}

fn not_in_the_future(element: &Element, name: &'static str, now: u64) -> Result<(), SignInError> {
    match instant(element, name)? {
        Some(at) if at > now.saturating_add(LEEWAY) => Err(SignInError::Token(Reason::NotYetValid)),
        _ => Ok(()),
    }
}

/// A time in UTC (SAML 2.0 core 1.3.3), in whole seconds since the epoch.
fn instant(element: &Element, name: &'static str) -> Result<Option<u64>, SignInError> {
    let Some(written) = element.attribute(name) else {
        return Ok(None);
    };
    let parsed = moment(written).ok_or(SignInError::Token(Reason::Claim(name)))?;
    Ok(Some(parsed))
}

/// As [`instant`], of a text.
pub(super) fn moment(written: &str) -> Option<u64> {
    if !written.ends_with('Z') {
        return None;
    }
    let parsed = OffsetDateTime::parse(written, &Rfc3339).ok()?;
    u64::try_from(parsed.unix_timestamp()).ok()
}
