//! Signed checkpoints: C2SP `tlog-checkpoint` (v1) inside a C2SP `signed-note`, Ed25519.
//!
//! <https://c2sp.org/tlog-checkpoint>, <https://c2sp.org/signed-note>

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::merkle::Node;
use crate::clock::World;

/// Signature algorithm byte of a plain Ed25519 note signature.
const ED25519: u8 = 1;

/// What is wrong with a key or a note.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// The key's name (the log's origin) cannot be used.
    #[error("`{0}` cannot be a log's origin: no white space, no `+`, not empty")]
    Name(String),
    /// Not in the form `name+hash+base64`.
    #[error("not a key in note form (name+hash+base64)")]
    Key,
    /// Not a checkpoint in a signed note.
    #[error("not a signed checkpoint")]
    Form,
    /// It is of another log.
    #[error("the checkpoint is of the log `{0}`")]
    Origin(String),
    /// No signature of this key, or a wrong one.
    #[error("the checkpoint is not signed by this key")]
    Signature,
}

/// The key that signs checkpoints. Whoever has it can write a history of their own.
pub struct LogKey {
    name: String,
    signing: SigningKey,
}

impl std::fmt::Debug for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogKey")
            .field("public", &self.public().to_string())
            .finish()
    }
}

/// The public half: what a verifier needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPublicKey {
    name: String,
    key: VerifyingKey,
}

/// A tree head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Records covered.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Node,
}

fn check_name(name: &str) -> Result<(), NoteError> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
        return Err(NoteError::Name(name.to_owned()));
    }
    Ok(())
}

impl LogKey {
    /// Makes a key for the log `origin`.
    ///
    /// # Errors
    /// When `origin` cannot be a key name.
    pub fn generate(origin: &str, world: &dyn World) -> Result<Self, NoteError> {
        check_name(origin)?;
        let mut seed = Zeroizing::new([0_u8; 32]);
        world.random(&mut *seed);
        Ok(Self {
            name: origin.to_owned(),
            signing: SigningKey::from_bytes(&seed),
        })
    }

    /// Reads the key file's one line, `PRIVATE+KEY+<name>+<hash>+<base64>`.
    ///
    /// # Errors
    /// [`NoteError::Key`] when it is anything else.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let rest = text
            .trim_end()
            .strip_prefix("PRIVATE+KEY+")
            .ok_or(NoteError::Key)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(hash), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        check_name(name)?;
        let data = Zeroizing::new(STANDARD.decode(data).map_err(|_| NoteError::Key)?);
        let Some((&ED25519, seed)) = data.split_first() else {
            return Err(NoteError::Key);
        };
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).map_err(|_| NoteError::Key)?);
        let key = Self {
            name: name.to_owned(),
            signing: SigningKey::from_bytes(&seed),
        };
        if crate::call::hex(&key.public().id()) != hash {
            return Err(NoteError::Key);
        }
        Ok(key)
    }

    /// The line that [`LogKey::parse`] reads.
    fn line(&self) -> Zeroizing<String> {
        let mut data = Zeroizing::new(vec![ED25519]);
        data.extend_from_slice(self.signing.as_bytes());
        let hash = crate::call::hex(&self.public().id());
        Zeroizing::new(format!(
            "PRIVATE+KEY+{}+{hash}+{}\n",
            self.name,
            STANDARD.encode(&*data)
        ))
    }

    /// The log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> LogPublicKey {
        LogPublicKey {
            name: self.name.clone(),
            key: self.signing.verifying_key(),
        }
    }

    /// Signs a tree head.
    #[must_use]
    pub fn sign(&self, size: u64, root: &Node) -> String {
        let text = format!("{}\n{size}\n{}\n", self.name, STANDARD.encode(root));
        let mut signature = self.public().id().to_vec();
        signature.extend_from_slice(&self.signing.sign(text.as_bytes()).to_bytes());
        format!("{text}\n— {} {}\n", self.name, STANDARD.encode(signature))
    }
}

impl std::fmt::Display for LogPublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hash = crate::call::hex(&self.id());
        let mut data = vec![ED25519];
        data.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{hash}+{}", self.name, STANDARD.encode(data))
    }
}

impl std::str::FromStr for LogPublicKey {
    type Err = NoteError;

    /// Reads `name+hash+base64`; the hash must fit.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(hash), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        check_name(name)?;
        let data = STANDARD.decode(data).map_err(|_| NoteError::Key)?;
        let Some((&ED25519, key)) = data.split_first() else {
            return Err(NoteError::Key);
        };
        let key = <[u8; 32]>::try_from(key).map_err(|_| NoteError::Key)?;
        let public = Self {
            name: name.to_owned(),
            key: VerifyingKey::from_bytes(&key).map_err(|_| NoteError::Key)?,
        };
        if crate::call::hex(&public.id()) != hash {
            return Err(NoteError::Key);
        }
        Ok(public)
    }
}

impl LogPublicKey {
    /// The log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Key id: the first four bytes of SHA-256(name ‖ newline ‖ algorithm ‖ key).
    fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update(b"\n");
        hash.update([ED25519]);
        hash.update(self.key.as_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, ..] = digest;
        [a, b, c, d]
    }

    /// Checks a signed checkpoint of this log. Signatures of other keys (witnesses) are passed over.
    ///
    /// # Errors
    /// See [`NoteError`].
    pub fn open(&self, note: &str) -> Result<Checkpoint, NoteError> {
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let text = format!("{text}\n");
        let checkpoint = parse_text(&text)?;
        if checkpoint.origin != self.name {
            return Err(NoteError::Origin(checkpoint.origin));
        }
        if !signatures.ends_with('\n') {
            return Err(NoteError::Form);
        }
        let mut ours = false;
        for line in signatures.lines() {
            let rest = line.strip_prefix("— ").ok_or(NoteError::Form)?;
            let (name, signature) = rest.split_once(' ').ok_or(NoteError::Form)?;
            let bytes = STANDARD.decode(signature).map_err(|_| NoteError::Form)?;
            let (id, signature) = bytes.split_at_checked(4).ok_or(NoteError::Form)?;
            if name != self.name || id != self.id() {
                continue;
            }
            let signature = Signature::from_slice(signature).map_err(|_| NoteError::Signature)?;
            self.key
                .verify_strict(text.as_bytes(), &signature)
                .map_err(|_| NoteError::Signature)?;
            ours = true;
        }
        if ours {
            Ok(checkpoint)
        } else {
            Err(NoteError::Signature)
        }
    }
}

/// Three lines: origin, size in decimal, root in base64. Extension lines are not ours.
fn parse_text(text: &str) -> Result<Checkpoint, NoteError> {
    let body = text.strip_suffix('\n').ok_or(NoteError::Form)?;
    let mut lines = body.split('\n');
    let (Some(origin), Some(size), Some(root), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(NoteError::Form);
    };
    let number: u64 = size.parse().map_err(|_| NoteError::Form)?;
    if number.to_string() != size {
        return Err(NoteError::Form);
    }
    Ok(Checkpoint {
        origin: origin.to_owned(),
        size: number,
        root: STANDARD
            .decode(root)
            .ok()
            .and_then(|root| root.try_into().ok())
            .ok_or(NoteError::Form)?,
    })
}

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system.
    #[error("key file {path}: {error}")]
    Io {
        /// Which file.
        path: String,
        /// What happened.
        error: std::io::Error,
    },
    /// Somebody else could read or write it.
    #[error(
        "key file {0}: other users may read or write it; `chmod 600` it, and make a new key if they have"
    )]
    Exposed(String),
    /// Not a key, or of another log.
    #[error("key file {path}: {error}")]
    Content {
        /// Which file.
        path: String,
        /// What is wrong.
        error: NoteError,
    },
}

/// Reads the signing key of the log `origin`, making the file (mode 0600, never overwritten) when it
/// is missing. Keep it apart from the store: on another disk, or under another user.
///
/// # Errors
/// See [`KeyFileError`].
pub fn load_or_create_key(path: &Path, origin: &str, world: &dyn World) -> Result<LogKey, KeyFileError> {
    let shown = || path.display().to_string();
    let io = |error| KeyFileError::Io { path: shown(), error };
    let content = |error| KeyFileError::Content { path: shown(), error };
    let mut fresh = std::fs::OpenOptions::new();
    match fresh.write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let key = LogKey::generate(origin, world).map_err(content)?;
            file.write_all(key.line().as_bytes()).map_err(io)?;
            file.sync_all().map_err(io)?;
            Ok(key)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            if path.metadata().map_err(io)?.mode() & 0o077 != 0 {
                return Err(KeyFileError::Exposed(shown()));
            }
            let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
            let key = LogKey::parse(&text).map_err(content)?;
            if key.name != origin {
                return Err(content(NoteError::Origin(key.name)));
            }
            Ok(key)
        }
        Err(error) => Err(io(error)),
    }
}
