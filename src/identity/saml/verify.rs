//! The signature: the crate `saml-rs`, told as little as possible and asked for as much as it can check.
//!
//! What reaches it has the one shape ([`super::shape`]). It gets the configured certificates alone, and all
//! it checks besides the signature (issuer, audience, times, confirmation) has been checked by us as well:
//! two readings, by two parsers, which must agree.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use saml_rs::model::VerifiedXmlSignatureCoverage as Coverage;
use saml_rs::xml::XmlLimits;
use saml_rs::{
    AcsEndpoint, AssertionSignaturePolicy, AudienceValidationPolicy, BrowserInput, ClockSkew, EntityId,
    FormField, IdpDescriptor, MessageId, MetadataTrustPolicy, PendingAuthnRequest, RelayStateParam,
    ReplayPolicy, Saml, SamlError, SamlValidationContext, Sp, SpConfig, SpValidationPolicy, SsoResponse,
    SsoResponseBinding, SsoSession, XmlPolicy, XmlSignatureProfile,
};

use super::super::provider::SignInError;
use super::super::rejection::Reason;
use super::super::spec::SpecError;
use super::RESPONSE_BYTES;
use super::metadata::Peer;
use super::statement::{LEEWAY, Statement};

/// Verifies responses of one provider to one of our addresses.
pub(super) struct Verifier {
    local: Saml<Sp>,
    peer: IdpDescriptor,
    recipient: AcsEndpoint,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// What our own reading found; the crate's must say the same.
#[derive(Debug)]
pub(super) struct Read<'a> {
    pub(super) statement: &'a Statement,
    pub(super) response: &'a str,
    pub(super) assertion: &'a str,
    pub(super) request: &'a str,
    pub(super) signatures: usize,
}

impl Verifier {
    /// For responses of `peer` to `recipient`, meant for `audience`.
    pub(super) fn new(peer: &Peer, audience: &str, recipient: &str) -> Result<Self, SpecError> {
        let about = |error: SamlError| SpecError(format!("the SAML metadata cannot be used: {error}"));
        let recipient = AcsEndpoint::post(recipient).map_err(about)?;
        let limits = XmlLimits {
            max_bytes: RESPONSE_BYTES,
            max_depth: 64,
            max_nodes: 10_000,
            max_attributes_per_element: 128,
            max_attribute_value_bytes: 16 * 1024,
            max_text_bytes: RESPONSE_BYTES,
        };
        let config = SpConfig::builder(EntityId::try_new(audience).map_err(about)?)
            .acs_endpoint(recipient.clone())
            .validation(SpValidationPolicy {
                assertions: AssertionSignaturePolicy::RequireSigned,
                xml_signatures: XmlSignatureProfile::StrictRsaSha2,
                audience: AudienceValidationPolicy::Validate,
                ..SpValidationPolicy::recommended()
            })
            .xml(XmlPolicy {
                limits,
                ..XmlPolicy::default()
            })
            .build()
            .map_err(about)?;
        let entity = EntityId::try_new(peer.entity.as_str()).map_err(about)?;
        // Not signed: it is our own reading of a file that only the operator can write.
        let trust = MetadataTrustPolicy::UnsignedForCompatibility;
        Ok(Self {
            local: Saml::sp(config).map_err(about)?,
            peer: IdpDescriptor::from_metadata_xml_for(entity, &peer.reduced(), trust).map_err(about)?,
            recipient,
        })
    }

    /// Whether this text is signed as it must be, and says what we read. `now` is in seconds since the epoch.
    pub(super) fn verify(&self, text: &str, read: &Read<'_>, now: u64) -> Result<(), SignInError> {
        let session = self.session(text, read.request, now).map_err(meaning)?;
        agrees(&session, read)
            .then_some(())
            .ok_or(SignInError::Token(Reason::Signature))
    }

    fn session(&self, text: &str, request: &str, now: u64) -> Result<SsoSession, SamlError> {
        let pending = PendingAuthnRequest::try_new(
            MessageId::try_new(request)?,
            RelayStateParam::absent(), // compared before, in constant time
            self.recipient.clone(),
            SsoResponseBinding::Post,
            self.peer.entity_id().clone(),
        )?;
        let fields = vec![FormField::new("SAMLResponse", STANDARD.encode(text))];
        let skew = i64::try_from(LEEWAY * 1000).unwrap_or(0);
        // Replays are refused by our own memory, which is bounded.
        let replay = ReplayPolicy::DisabledForCompatibility;
        let context = SamlValidationContext::new(UNIX_EPOCH + Duration::from_secs(now), replay)
            .with_clock_skew(ClockSkew::from_millis(-skew, skew));
        let input = BrowserInput::<SsoResponse>::post(fields);
        self.local.finish_sso(&self.peer, &pending, input, context)
    }
}

fn agrees(session: &SsoSession, read: &Read<'_>) -> bool {
    let verified = session.verified_xml_signatures();
    let covers = |one: &saml_rs::VerifiedXmlSignature| {
        matches!(
            one.coverage(),
            Coverage::ConsumedAssertion | Coverage::ResponseRootAndConsumedAssertion
        )
    };
    verified.len() == read.signatures
        && verified.iter().any(covers)
        && session.response_id().as_str() == read.response
        && session.assertion_id().as_str() == read.assertion
        && session.in_response_to().map(MessageId::as_str) == Some(read.request)
        && session.name_id().value() == read.statement.subject
        && session.authn_sessions().len() == 1
        && session
            .authn_session()
            .session_index()
            .map(|index| index.as_str())
            == read.statement.session.as_deref()
}

/// What we checked ourselves as well should not fail there; if it does, the two readings differ.
fn meaning(error: SamlError) -> SignInError {
    match error {
        SamlError::IssuerMismatch { .. } => SignInError::OtherIssuer,
        SamlError::AlgorithmUnsupported => SignInError::Token(Reason::Algorithm),
        SamlError::Xml(_) | SamlError::Invalid(_) | SamlError::ProtocolProfile(_) => {
            SignInError::Token(Reason::Malformed)
        }
        _ => SignInError::Token(Reason::Signature),
    }
}
