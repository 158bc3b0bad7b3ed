//! The two ceremonies, in the words of the library.

use webauthn_rp::bin::{Decode, Encode};
use webauthn_rp::request::auth::{
    AllowedCredentials, AuthenticationVerificationOptions, AuthenticatorAttachmentEnforcement,
};
use webauthn_rp::request::register::{
    PublicKeyCredentialUserEntity, RegistrationVerificationOptions, UserHandle64, Username,
};
use webauthn_rp::request::{Credentials, PublicKeyCredentialDescriptor, RpId, UserVerificationRequirement};
use webauthn_rp::response::auth::error::AuthCeremonyErr;
use webauthn_rp::response::register::{CompressedPubKey, DynamicState, StaticState};
use webauthn_rp::response::{AuthTransports, CredentialId, SentChallenge};
use webauthn_rp::{
    AuthenticatedCredential, NonDiscoverableAuthentication64, NonDiscoverableAuthenticationServerState,
    NonDiscoverableCredentialRequestOptions, PublicKeyCredentialCreationOptions, Registration,
    RegistrationServerState,
};

use super::Fault;
use crate::call::User;
use crate::clock::World;
use crate::store::security_keys::SecurityKeyRow;

/// Bytes of a user handle: the longest there may be (section 5.4.3).
const HANDLE: usize = 64;

type Public = StaticState<CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>>;

/// What is remembered of a challenge.
pub(super) enum Ceremony {
    Use(NonDiscoverableAuthenticationServerState),
    Make(RegistrationServerState<HANDLE>),
}

impl Ceremony {
    /// The word for it in the store.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Use(_) => "use",
            Self::Make(_) => "make",
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Use(asked) => asked.encode().map_err(|_| Fault::Failed),
            Self::Make(asked) => asked.encode().map_err(|_| Fault::Failed),
        }
    }

    /// From the store.
    pub(super) fn decode(kind: &str, kept: &[u8]) -> Result<Self, Fault> {
        match kind {
            "use" => NonDiscoverableAuthenticationServerState::decode(kept)
                .map(Self::Use)
                .map_err(|_| Fault::Failed),
            "make" => RegistrationServerState::decode(kept)
                .map(Self::Make)
                .map_err(|_| Fault::Failed),
            _ => Err(Fault::Failed),
        }
    }
}

/// A key as it is kept.
pub(super) struct Made {
    pub(super) credential: Vec<u8>,
    pub(super) handle: Vec<u8>,
    pub(super) public: Vec<u8>,
    pub(super) state: Vec<u8>,
    pub(super) transports: u8,
}

type Begun = (SentChallenge, Ceremony, String);

/// Asks for one of these keys, with the person verified by it.
pub(super) fn ask(rp: &RpId, rows: Vec<SecurityKeyRow>) -> Result<Begun, Fault> {
    let mut allowed = AllowedCredentials::with_capacity(rows.len());
    for descriptor in descriptors(rows)? {
        allowed.push(descriptor.into());
    }
    let mut options =
        NonDiscoverableCredentialRequestOptions::second_factor(rp, allowed).map_err(|_| Fault::Failed)?;
    options.options().user_verification = UserVerificationRequirement::Required;
    let (server, client) = options.start_ceremony().map_err(|_| Fault::Failed)?;
    let options = serde_json::to_string(&client).map_err(|_| Fault::Failed)?;
    Ok((sent(&options)?, Ceremony::Use(server), options))
}

/// Asks for a key that is none of these, of the person these belong to.
pub(super) fn ask_new(
    rp: &RpId,
    user: &User,
    rows: Vec<SecurityKeyRow>,
    world: &dyn World,
) -> Result<Begun, Fault> {
    let mut handle = [0; HANDLE];
    match rows.first() {
        Some(row) => handle.copy_from_slice(row.handle.get(..HANDLE).ok_or(Fault::Failed)?),
        None => world.random(&mut handle),
    }
    let Ok(handle) = UserHandle64::decode(handle);
    let entity = PublicKeyCredentialUserEntity {
        name: name(&user.id()),
        id: &handle,
        display_name: None,
    };
    let mut options = PublicKeyCredentialCreationOptions::second_factor(rp, entity, descriptors(rows)?);
    options.authenticator_selection.user_verification = UserVerificationRequirement::Required;
    let (server, client) = options.start_ceremony().map_err(|_| Fault::Failed)?;
    let options = serde_json::to_string(&client).map_err(|_| Fault::Failed)?;
    Ok((sent(&options)?, Ceremony::Make(server), options))
}

/// What the authenticator shows: the person, if their name is one that can be shown.
fn name(id: &str) -> Username<'static> {
    let plain = Username::try_from(id.to_owned());
    plain.unwrap_or_else(|_| PublicKeyCredentialUserEntity::from(&UserHandle64::new()).name)
}

fn descriptors(rows: Vec<SecurityKeyRow>) -> Result<Vec<PublicKeyCredentialDescriptor<Vec<u8>>>, Fault> {
    let descriptor = |row: SecurityKeyRow| {
        let id = CredentialId::<Vec<u8>>::decode(row.credential).map_err(|_| Fault::Failed)?;
        Ok(PublicKeyCredentialDescriptor {
            id,
            transports: AuthTransports::decode(row.transports).map_err(|_| Fault::Failed)?,
        })
    };
    rows.into_iter().map(descriptor).collect()
}

/// The challenge in what is sent to a browser.
fn sent(options: &str) -> Result<SentChallenge, Fault> {
    #[derive(serde::Deserialize)]
    struct Sent {
        challenge: SentChallenge,
    }
    let sent: Sent = serde_json::from_str(options).map_err(|_| Fault::Failed)?;
    Ok(sent.challenge)
}

pub(super) fn used(answer: &[u8]) -> Result<NonDiscoverableAuthentication64, Fault> {
    NonDiscoverableAuthentication64::from_json_relaxed(answer).map_err(|_| Fault::Malformed)
}

pub(super) fn made(answer: &[u8]) -> Result<Registration, Fault> {
    Registration::from_json_relaxed(answer).map_err(|_| Fault::Malformed)
}

pub(super) fn challenge_of_use(answer: &NonDiscoverableAuthentication64) -> Result<SentChallenge, Fault> {
    answer.challenge_relaxed().map_err(|_| Fault::Malformed)
}

pub(super) fn challenge_of_new(answer: &Registration) -> Result<SentChallenge, Fault> {
    answer.challenge_relaxed().map_err(|_| Fault::Malformed)
}

/// Whether a row is the key that was used.
pub(super) fn is_of(row: &SecurityKeyRow, answer: &NonDiscoverableAuthentication64) -> bool {
    row.credential == answer.raw_id().as_ref()
}

/// Checks a use (section 7.2); gives what the key's row says of it from now on.
pub(super) fn verify(
    ceremony: Ceremony,
    rp: &RpId,
    origin: &str,
    answer: &NonDiscoverableAuthentication64,
    row: &SecurityKeyRow,
) -> Result<Vec<u8>, Fault> {
    let Ceremony::Use(server) = ceremony else {
        return Err(Fault::Other);
    };
    let handle: [u8; HANDLE] = row.handle.as_slice().try_into().map_err(|_| Fault::Failed)?;
    let Ok(handle) = UserHandle64::decode(handle);
    let state: [u8; 7] = row.state.as_slice().try_into().map_err(|_| Fault::Failed)?;
    let state = DynamicState::decode(state).map_err(|_| Fault::Failed)?;
    let public = Public::decode(&row.public).map_err(|_| Fault::Failed)?;
    let id = CredentialId::<&[u8]>::decode(row.credential.as_slice()).map_err(|_| Fault::Failed)?;
    let mut known = AuthenticatedCredential::new(id, &handle, public, state).map_err(|_| Fault::Failed)?;
    let origins = [origin];
    let options = AuthenticationVerificationOptions::<&str, &str> {
        allowed_origins: &origins,
        error_on_unsolicited_extensions: false, // they are to be ignored (section 7.2, step 23)
        auth_attachment_enforcement: AuthenticatorAttachmentEnforcement::Ignore(false),
        ..AuthenticationVerificationOptions::default()
    };
    match server.verify(rp, answer, &mut known, &options) {
        Ok(_) => {}
        Err(AuthCeremonyErr::SignatureCounter) => return Err(Fault::WentBack),
        Err(AuthCeremonyErr::Timeout) => return Err(Fault::Stale),
        Err(why) => {
            tracing::info!(%why, "the use of a security key does not hold");
            return Err(Fault::Refused);
        }
    }
    let Ok(state) = known.dynamic_state().encode();
    Ok(state.to_vec())
}

/// Checks a registration (section 7.1). No attestation is asked for: which make of key people have is theirs.
pub(super) fn verify_new(
    ceremony: Ceremony,
    rp: &RpId,
    origin: &str,
    answer: &Registration,
) -> Result<Made, Fault> {
    let Ceremony::Make(server) = ceremony else {
        return Err(Fault::Other);
    };
    let origins = [origin];
    let options = RegistrationVerificationOptions::<&str, &str> {
        allowed_origins: &origins,
        error_on_unsolicited_extensions: false,
        ..RegistrationVerificationOptions::default()
    };
    let known = server.verify(rp, answer, &options).map_err(|why| {
        tracing::info!(%why, "the registration of a security key does not hold");
        Fault::Refused
    })?;
    let Ok(public) = known.static_state().encode();
    let Ok(state) = known.dynamic_state().encode();
    let Ok(transports) = known.transports().encode();
    Ok(Made {
        credential: known.id().as_ref().to_vec(),
        handle: known.user_id().as_ref().to_vec(),
        public,
        state: state.to_vec(),
        transports,
    })
}
