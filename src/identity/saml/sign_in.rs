//! The provider: from a question to an address, from a response to somebody who signed in.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use futures::future::BoxFuture;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use url::Url;

use super::super::provider::{Again, Provider, Question, SignInError, SignedIn, Upstream};
use super::super::rejection::Reason;
use super::super::spec::SpecError;
use super::metadata::{self, Peer};
use super::replay::Replays;
use super::shape::{self, refused};
use super::statement::{self, Expected, Statement};
use super::tree::{self, Allow};
use super::verify::{Read, Verifier};
use super::{RESPONSE_BYTES, SamlSpec, request};
use crate::clock::World;

/// How many responses are looked at at once: each costs some milliseconds of a processor.
const AT_ONCE: usize = 2;
/// How many more may wait for that.
const WAITING: usize = 32;

/// One identity provider that speaks SAML.
#[derive(Debug)]
pub(super) struct Saml {
    inner: Arc<Inner>,
    busy: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

#[derive(Debug)]
struct Inner {
    spec: SamlSpec,
    /// Our entity id and where responses go: one address is both.
    address: String,
    /// The attribute that holds the groups.
    groups: Option<String>,
    peer: Peer,
    verifier: Verifier,
    replays: Mutex<Replays>,
    world: Arc<dyn World>,
}

impl Saml {
    pub(super) fn new(spec: SamlSpec, world: Arc<dyn World>) -> Result<Self, SpecError> {
        let about = |error: SpecError| SpecError(format!("issuer `{}`: {error}", spec.name));
        let peer = Peer::read(&spec.metadata).map_err(about)?;
        let address = spec.address();
        let verifier = Verifier::new(&peer, &address, &address).map_err(about)?;
        let attribute = |pointer: &String| {
            let name = pointer.strip_prefix('/').unwrap_or(pointer);
            name.replace("~1", "/").replace("~0", "~")
        };
        let inner = Inner {
            address,
            groups: spec.groups_claim.as_ref().map(attribute),
            peer,
            verifier,
            replays: Mutex::default(),
            world,
            spec,
        };
        Ok(Self {
            inner: Arc::new(inner),
            busy: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        })
    }

    async fn finished(
        &self,
        question: &Question,
        fields: &[(String, String)],
    ) -> Result<SignedIn, SignInError> {
        let relayed = one(fields, "RelayState")?.ok_or(SignInError::NotBegunHere)?;
        if !bool::from(relayed.as_bytes().ct_eq(question.state.as_bytes())) {
            return Err(SignInError::NotBegunHere);
        }
        let response = one(fields, "SAMLResponse")?.ok_or(SignInError::Token(Reason::Missing))?;
        if response.len() > RESPONSE_BYTES * 3 / 2 {
            return Err(SignInError::Token(Reason::Oversized)); // before anything else is done with it
        }
        let overrun = SignInError::Token(Reason::Unavailable);
        let queued = Arc::clone(&self.queue).try_acquire_owned();
        let queued = queued.map_err(|_| overrun.clone())?;
        let turn = Arc::clone(&self.busy)
            .acquire_owned()
            .await
            .map_err(|_| overrun)?;
        let inner = Arc::clone(&self.inner);
        let (question, response) = (question.clone(), response.to_owned());
        // Away from the threads that serve others; and should the verifier panic, only this sign-in ends.
        let done = tokio::task::spawn_blocking(move || {
            let _until_done = (queued, turn); // also when the browser does not wait for it
            inner.finish(&question, &response)
        });
        done.await.unwrap_or(Err(SignInError::Token(Reason::Malformed)))
    }
}

impl Inner {
    fn finish(&self, question: &Question, response: &str) -> Result<SignedIn, SignInError> {
        let now = self.world.now().seconds();
        self.current(now)?;
        let text = decoded(response)?;
        let root = tree::read(&text, Allow::Data).map_err(|fault| refused(fault.0))?;
        statement::status(&root)?;
        let shape = shape::check(&root)?;
        let request = request::id(question)?;
        let statement = statement::read(
            &shape,
            &Expected {
                provider: &self.peer.entity,
                audience: &self.address,
                recipient: &self.address,
                request: &request,
                max_age: question.max_age,
                now,
                lifetime: self.spec.max_lifetime_seconds,
                groups: self.groups.as_deref(),
                cut_at: self.spec.groups_cut_at,
            },
        )?;
        // A provider that ignores what class was asked for has not met it.
        if !question.acr_values.is_empty()
            && !statement
                .class
                .as_ref()
                .is_some_and(|met| question.acr_values.contains(met))
        {
            return Err(SignInError::Refused("NoAuthnContext".to_owned()));
        }
        let (Some(outer), Some(id)) = (shape::id(shape.response), shape::id(shape.assertion)) else {
            return Err(SignInError::Token(Reason::Malformed));
        };
        let read = Read {
            statement: &statement,
            response: outer,
            assertion: id,
            request: &request,
            signatures: shape.signatures,
        };
        self.verifier.verify(&text, &read, now)?;
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        replays.first(id, statement.until, now)?;
        drop(replays);
        Ok(self.signed_in(statement))
    }

    fn signed_in(&self, statement: Statement) -> SignedIn {
        SignedIn {
            issuer: self.spec.name.clone(),
            subject: statement.subject,
            claimed: statement.groups,
            auth_time: Some(statement.auth_time),
            acr: statement.class,
            sid: statement.session,
            upstream: Upstream::default(), // SAML gives nothing to ask with
        }
    }

    /// Metadata says until when it may be used.
    fn current(&self, now: u64) -> Result<(), SignInError> {
        match self.peer.until {
            Some(until) if until <= now => Err(SignInError::Provider(
                "its metadata file has expired (validUntil); download it again".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

impl Provider for Saml {
    fn name(&self) -> &str {
        &self.inner.spec.name
    }

    fn posts(&self) -> bool {
        true
    }

    fn begin<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Url, SignInError>> {
        let inner = &self.inner;
        let now = inner.world.now();
        let address = inner.current(now.seconds()).and_then(|()| {
            let (place, ours) = (&inner.peer.sign_on, &inner.address);
            request::address(question, place, ours, ours, now)
        });
        Box::pin(std::future::ready(address))
    }

    fn finish<'a>(
        &'a self,
        question: &'a Question,
        fields: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<SignedIn, SignInError>> {
        Box::pin(self.finished(question, fields))
    }

    fn again<'a>(
        &'a self,
        _subject: &'a str,
        _upstream: &'a Upstream,
    ) -> BoxFuture<'a, Result<Again, SignInError>> {
        Box::pin(std::future::ready(Ok(Again::CannotAsk)))
    }

    fn metadata(&self) -> Option<String> {
        let ours = &self.inner.address;
        Some(metadata::ours(ours, ours))
    }
}

/// The one field of this name, if there is one; two are an attempt to show two readers different things.
fn one<'a>(fields: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, SignInError> {
    let mut found = fields.iter().filter(|(key, _)| key == name);
    let first = found.next().map(|(_, value)| value.as_str());
    match found.next() {
        None => Ok(first),
        Some(_) => Err(SignInError::Token(Reason::Malformed)),
    }
}

/// The text of a response: base64 (with or without line ends), UTF-8, and the line ends of XML 1.0 2.11.
fn decoded(response: &str) -> Result<String, SignInError> {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let dense: String = response.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(dense).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| refused("is not base64 of UTF-8"))?;
    if text.len() > RESPONSE_BYTES {
        return Err(SignInError::Token(Reason::Oversized));
    }
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}
