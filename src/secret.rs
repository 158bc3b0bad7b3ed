//! Secrets in configuration are references (`env:NAME`, `file:/path`); a literal is an error.
//!
//! A [`Secret`] is wiped from memory when dropped, shows nothing in `Debug`, has neither `Display` nor
//! `Serialize`, and compares in constant time.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::ownership;

/// The longest secret read from a file, in bytes: a PEM key chain fits, a log file does not.
const LONGEST: u64 = 64 * 1024;

/// Where a secret is kept. Holds no secret itself, so it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// `env:NAME`.
    Env(String),
    /// `file:/path`; absolute, so that it means the same wherever Tollgate is started.
    File(PathBuf),
}

/// Why there is no secret. Never contains what was written in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing where a reference should be.
    #[error("is empty")]
    EmptyReference,
    /// Something that is no reference: perhaps the secret itself.
    #[error("is not a reference; a secret must never be written into configuration")]
    Literal,
    /// A scheme that does not exist (yet).
    #[error("has an unknown scheme `{0}:`")]
    UnknownScheme(String),
    /// `env:` with something that cannot name a variable.
    #[error("does not name an environment variable after `env:`")]
    BadVariable,
    /// `file:` with a relative path.
    #[error("does not give an absolute path after `file:`")]
    BadPath,
    /// The variable is not set, or is not UTF-8.
    #[error("refers to the environment variable {0}, which is not set")]
    Unset(String),
    /// The secret itself is empty.
    #[error("refers to {0}, which is empty")]
    Empty(String),
    /// The file cannot be read.
    #[error("refers to {path}, which cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// The operating system's words.
        cause: String,
    },
    /// The file is open to others.
    #[error("refers to {path}, which other users can read or change")]
    Exposed {
        /// The file.
        path: String,
    },
}

impl SecretError {
    /// What to write or run instead.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::EmptyReference
            | Self::Literal
            | Self::UnknownScheme(_)
            | Self::BadVariable
            | Self::BadPath => {
                "write \"env:NAME\" for an environment variable or \"file:/absolute/path\" for a file"
                    .to_owned()
            }
            Self::Unset(name) => format!("set {name} in the environment of the server"),
            Self::Empty(place) => format!("put the secret into {place}"),
            Self::Unreadable { path, .. } => format!("let the user that runs tollgate read {path}"),
            Self::Exposed { path } => format!("chmod 600 {path} and let the user that runs tollgate own it"),
        }
    }
}

impl SecretRef {
    /// Reads a reference. The text is not repeated in the error: it may be a secret.
    ///
    /// # Errors
    /// [`SecretError`] for anything that is not a complete reference.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.trim().is_empty() {
            return Err(SecretError::EmptyReference);
        }
        match text.split_once(':') {
            Some(("env", name)) if is_variable(name) => Ok(Self::Env(name.to_owned())),
            Some(("env", _)) => Err(SecretError::BadVariable),
            Some(("file", path)) if path.starts_with('/') && path.len() > 1 && !path.contains('\0') => {
                Ok(Self::File(PathBuf::from(path)))
            }
            Some(("file", _)) => Err(SecretError::BadPath),
            // Only names we plan are repeated; anything else before a colon may be half a password.
            Some((scheme @ ("vault" | "aws" | "gcp" | "azure" | "op"), _)) => {
                Err(SecretError::UnknownScheme(scheme.to_owned()))
            }
            _ => Err(SecretError::Literal),
        }
    }

    /// Fetches the secret. `variable` reads the environment (`|name| std::env::var(name).ok()`).
    ///
    /// One trailing line break is cut from a file, because editors and `echo` add it.
    ///
    /// # Errors
    /// [`SecretError`] when there is none, it is empty, or its file is open to other users.
    pub fn resolve(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Env(name) => {
                Zeroizing::new(variable(name).ok_or_else(|| SecretError::Unset(name.clone()))?)
            }
            Self::File(path) => read(path)?,
        };
        if text.trim().is_empty() {
            return Err(SecretError::Empty(self.to_string()));
        }
        Ok(Secret(text))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads a file through one handle, so that what was checked is what is read.
fn read(path: &std::path::Path) -> Result<Zeroizing<String>, SecretError> {
    let shown = path.display().to_string();
    let unreadable = |cause: String| SecretError::Unreadable {
        path: shown.clone(),
        cause,
    };
    let mut file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    if ownership::private(path, &metadata).is_err() {
        return Err(SecretError::Exposed { path: shown });
    }
    if metadata.len() > LONGEST {
        return Err(unreadable(format!("it is longer than {LONGEST} bytes")));
    }
    let mut text = Zeroizing::new(String::with_capacity(
        usize::try_from(metadata.len()).unwrap_or(0) + 1,
    ));
    file.by_ref()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// A secret in memory.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret that was made here (a generated token), not read from anywhere.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself; the name is long so that each use is seen in review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is this secret; the time taken depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.expose())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn only_complete_references_are_references() {
        assert_eq!(
            SecretRef::parse("env:HOOK"),
            Ok(SecretRef::Env("HOOK".to_owned()))
        );
        assert_eq!(
            SecretRef::parse("file:/run/secrets/hook"),
            Ok(SecretRef::File("/run/secrets/hook".into()))
        );
        assert_eq!(SecretRef::parse(""), Err(SecretError::EmptyReference));
        assert_eq!(SecretRef::parse("  "), Err(SecretError::EmptyReference));
        assert_eq!(SecretRef::parse("env:"), Err(SecretError::BadVariable));
        assert_eq!(SecretRef::parse("env:1X"), Err(SecretError::BadVariable));
        assert_eq!(SecretRef::parse("file:"), Err(SecretError::BadPath));
        assert_eq!(SecretRef::parse("file:relative"), Err(SecretError::BadPath));
        assert_eq!(
            SecretRef::parse("vault:kv/hook"),
            Err(SecretError::UnknownScheme("vault".to_owned()))
        );
    }

    #[test]
    fn a_literal_is_refused_and_never_repeated() {
        for literal in ["hunter2", "ENV:HOOK", "pass:word", "hunter2:env"] {
            let error = SecretRef::parse(literal).unwrap_err();
            assert_eq!(error, SecretError::Literal);
            let said = format!("{error} {error:?} {}", error.remedy());
            assert!(!said.contains(literal), "{said}");
        }
    }

    #[test]
    fn an_unset_or_empty_variable_is_an_error() {
        let reference = SecretRef::parse("env:HOOK").unwrap();
        assert_eq!(
            reference.resolve(none).unwrap_err(),
            SecretError::Unset("HOOK".to_owned())
        );
        assert_eq!(
            reference.resolve(|_| Some(" ".to_owned())).unwrap_err(),
            SecretError::Empty("env:HOOK".to_owned())
        );
        let secret = reference
            .resolve(|name| (name == "HOOK").then(|| "s3cret".to_owned()))
            .unwrap();
        assert_eq!(secret.expose(), "s3cret");
    }

    #[test]
    fn a_secret_file_must_be_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook");
        std::fs::write(&path, "s3cret\n").unwrap();
        let reference = SecretRef::File(path.clone());
        for (mode, closed) in [
            (0o644, false),
            (0o640, false),
            (0o602, false),
            (0o600, true),
            (0o400, true),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(reference.resolve(none).is_ok(), closed, "{mode:o}");
        }
        assert_eq!(reference.resolve(none).unwrap().expose(), "s3cret");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(reference.resolve(none), Err(SecretError::Empty(_))));
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(matches!(
            reference.resolve(none),
            Err(SecretError::Unreadable { .. })
        ));
    }

    #[test]
    fn a_secret_shows_nothing_and_compares_whole() {
        let secret = Secret::new("s3cret".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(secret.matches("s3cret"));
        assert!(!secret.matches("s3cre"));
        assert!(!secret.matches("s3cret "));
        assert_eq!(secret, Secret::new("s3cret".to_owned()));
    }
}
