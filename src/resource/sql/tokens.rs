//! Keyed tokens: what stands for a value where equal values must stay equal.
//!
//! A token is `tok_` and 32 hexadecimal digits: the first 128 bits of HMAC-SHA256 (RFC 2104) over the scope, the
//! class and the value, with NUL between them. Nothing but the value decides it, so joins, grouping and DISTINCT
//! work on it; nobody without the key can make it, so a guess cannot be tried.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::call::hex;
use crate::clock::World;

/// What every token begins with.
pub(crate) const PREFIX: &str = "tok_";
/// Hexadecimal digits that follow.
const DIGITS: usize = 32;
/// Bytes of a key.
const KEY: usize = 32;
/// Values of more bytes have no token but `***`: what a mask costs is bounded.
pub(crate) const LONGEST: usize = 1 << 20;

/// Within what equal values have equal tokens.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// Everywhere under one key: a database can keep them in an index.
    #[default]
    Deployment,
    /// Within one session of an agent: what two sessions saw cannot be put together.
    Session,
}

/// The key of tokens that are made in this process. Cheap to clone; wiped from memory with the last of its clones.
#[derive(Clone)]
pub struct TokenKey(Arc<Zeroizing<[u8; KEY]>>);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The file system.
    #[error("token key {path}: {error}")]
    Io {
        /// Which file.
        path: String,
        /// What happened.
        error: std::io::Error,
    },
    /// Somebody else could read or write it.
    #[error(
        "token key {0}: other users may read or write it; `chmod 600` it, and make a new key if they have"
    )]
    Exposed(String),
    /// Cut off, or something else.
    #[error("token key {0}: this is not a key; put the right file back, or remove it and all tokens change")]
    Content(String),
}

impl TokenKey {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; KEY]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// Reads the key of a file, making it (mode 0600, never overwritten) when it is missing.
    ///
    /// # Errors
    /// See [`TokenKeyError`].
    pub fn load_or_create(path: &Path, world: &dyn World) -> Result<Self, TokenKeyError> {
        let shown = || path.display().to_string();
        let io = |error| TokenKeyError::Io { path: shown(), error };
        let mut fresh = std::fs::OpenOptions::new();
        match fresh.write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                let mut bytes = Zeroizing::new([0; KEY]);
                world.random(&mut *bytes);
                let line = Zeroizing::new(hex(&*bytes) + "\n");
                file.write_all(line.as_bytes()).map_err(io)?;
                file.sync_all().map_err(io)?;
                Ok(Self(Arc::new(bytes)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                if path.metadata().map_err(io)?.mode() & 0o077 != 0 {
                    return Err(TokenKeyError::Exposed(shown()));
                }
                let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
                let bytes = unhex(text.trim_end()).ok_or_else(|| TokenKeyError::Content(shown()))?;
                Ok(Self(Arc::new(bytes)))
            }
            Err(error) => Err(io(error)),
        }
    }

    /// The token of a value; `session` is empty in a deployment's scope.
    #[must_use]
    pub fn token(&self, session: &str, class: &str, value: &[u8]) -> String {
        if value.len() > LONGEST {
            return "***".to_owned();
        }
        let digits = self.digits(&[session.as_bytes(), class.as_bytes(), value]);
        format!("{PREFIX}{digits}")
    }

    /// What may be kept of a value that was looked up in a column: equal for equal ones, and nobody's token.
    #[must_use]
    pub fn digest(&self, column: &str, value: &str) -> String {
        format!(
            "hmac:{}",
            self.digits(&[b"lookup", b"", column.as_bytes(), value.as_bytes()])
        )
    }

    fn digits(&self, parts: &[&[u8]]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0[..]) else {
            return String::new(); // a key of any length is one
        };
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                mac.update(&[0]);
            }
            mac.update(part);
        }
        let whole = hex(&mac.finalize().into_bytes());
        whole.get(..DIGITS).unwrap_or_default().to_owned()
    }
}

fn unhex(text: &str) -> Option<Zeroizing<[u8; KEY]>> {
    let mut bytes = Zeroizing::new([0; KEY]);
    if text.len() != 2 * KEY || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Whether a text has something in it that looks like a token: it must never be written, for the value that it
/// stands for would be lost.
#[must_use]
pub(crate) fn holds_token(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(PREFIX) {
        let digits = after.bytes().take(DIGITS);
        if digits.filter(u8::is_ascii_hexdigit).count() == DIGITS {
            return true;
        }
        rest = after;
    }
    false
}

/// Words of names whose values are few, or can be counted up: a token of theirs tells them to whoever can have one
/// value compared.
const FEW: &[&str] = &[
    "age",
    "birth",
    "birthday",
    "birthdate",
    "bday",
    "born",
    "bool",
    "boolean",
    "card",
    "cardno",
    "cell",
    "city",
    "country",
    "creditcard",
    "currency",
    "cvc",
    "cvv",
    "date",
    "dob",
    "enum",
    "fax",
    "flag",
    "gender",
    "grade",
    "iban",
    "income",
    "ip",
    "ipv4",
    "language",
    "lang",
    "level",
    "marital",
    "mobile",
    "msisdn",
    "nationality",
    "nino",
    "pan",
    "passport",
    "pesel",
    "phone",
    "pin",
    "plz",
    "postal",
    "postcode",
    "race",
    "rating",
    "religion",
    "salary",
    "sex",
    "sin",
    "ssn",
    "state",
    "status",
    "surname",
    "tel",
    "telephone",
    "year",
    "zip",
    "zipcode",
];
/// Words that say that the value is made of much randomness after all.
const MUCH: &[&str] = &["digest", "guid", "hash", "hmac", "key", "sha256", "token", "uuid"];

/// The word of a class's or a column's name that says that its values can be counted up.
#[must_use]
pub(crate) fn countable(name: &str) -> Option<&'static str> {
    let spread: String = name
        .chars()
        .flat_map(|c| {
            [
                c.is_ascii_uppercase().then_some('_'),
                Some(c.to_ascii_lowercase()),
            ]
        })
        .flatten()
        .collect();
    let whole = name.to_ascii_lowercase();
    let words: Vec<&str> = spread
        .split(|c: char| !c.is_ascii_alphanumeric())
        .chain(whole.split(|c: char| !c.is_ascii_alphanumeric()))
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()))
        .collect();
    if words.iter().any(|word| MUCH.contains(word)) {
        return None;
    }
    let singular = |word: &str| word.strip_suffix('s').unwrap_or(word).to_owned();
    FEW.iter()
        .find(|few| words.iter().any(|word| word == *few || singular(word) == **few))
        .copied()
}

/// Whether values of a declared type can have tokens. Of texts with a length of fewer than eight characters, of
/// numbers below 64 bits, of dates, booleans and enumerations there are too few.
#[must_use]
pub(crate) fn fits(declared: &str) -> bool {
    let lower = declared.to_ascii_lowercase();
    let bare = lower.rsplit('.').next().unwrap_or_default();
    let (name, length) = match bare.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim().parse::<u32>().ok()),
        None => (bare.trim(), None),
    };
    let long = length.is_none_or(|length| length >= 8);
    match name {
        "text" | "citext" | "uuid" | "bigint" | "int8" | "clob" => true,
        "character varying" | "varchar" | "nvarchar" => long,
        "character" | "char" | "bpchar" | "nchar" => length.is_some_and(|length| length >= 8),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::System;

    #[test]
    fn a_token_is_a_function_of_scope_class_and_value_alone() {
        let (key, other) = (TokenKey::new([7; 32]), TokenKey::new([8; 32]));
        let token = key.token("", "email", b"ann@shop.example");
        assert!(token.starts_with(PREFIX) && token.len() == PREFIX.len() + DIGITS && holds_token(&token));
        assert_eq!(token, key.clone().token("", "email", b"ann@shop.example"));
        for different in [
            other.token("", "email", b"ann@shop.example"),
            key.token("s", "email", b"ann@shop.example"),
            key.token("", "mail", b"ann@shop.example"),
            key.token("", "email", b"ann@shop.example "),
            key.token("", "e", b"mail\0ann@shop.example"),
        ] {
            assert_ne!(token, different);
        }
        assert_eq!(key.token("", "email", &vec![b'a'; LONGEST + 1]), "***");
        assert!(holds_token(&key.token("", "email", &vec![b'a'; LONGEST])));
        assert_eq!(format!("{key:?}"), "TokenKey(…)");
    }

    /// RFC 4231, test case 2, by way of the parts: the same construction as everybody's.
    #[test]
    fn it_is_hmac_sha256() {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(b"Jefe"); // a shorter key is padded with zeros: the same key
        let digits = TokenKey::new(bytes).digits(&[b"what do ya want for nothing?"]);
        assert_eq!(digits, "5bdcc146bf60754e6a042426089575c7");
    }

    #[test]
    fn what_looks_like_a_token_is_found_anywhere() {
        let token = TokenKey::new([1; 32]).token("", "a", b"b");
        for (text, holds) in [
            (token.clone(), true),
            (format!("see tok_ and {token}!"), true),
            (token.to_uppercase().replace("TOK_", "tok_"), true),
            ("tok_".to_owned(), false),
            ("tok_customer_reference_of_2026_aaaaaa".to_owned(), false),
            (token.chars().take(35).collect(), false),
        ] {
            assert_eq!(holds_token(&text), holds, "{text}");
        }
    }

    #[test]
    fn names_and_types_with_few_values_are_known() {
        for name in [
            "ssn",
            "customers_phone",
            "PhoneNumber",
            "card_no",
            "dateOfBirth",
            "dob",
            "zip",
            "cards",
            "phone2",
        ] {
            assert!(countable(name).is_some(), "{name}");
        }
        for name in [
            "email",
            "account",
            "card_token",
            "ssn_hash",
            "discard",
            "external_id",
            "shipping",
            "statement",
        ] {
            assert_eq!(countable(name), None, "{name}");
        }
        for declared in [
            "text",
            "uuid",
            "character varying(40)",
            "character varying",
            "public.citext",
            "bigint",
            "VARCHAR(64)",
            "TEXT",
        ] {
            assert!(fits(declared), "{declared}");
        }
        for declared in [
            "boolean",
            "date",
            "integer",
            "smallint",
            "character(2)",
            "character varying(7)",
            "numeric(10,2)",
            "mood",
            "\"char\"",
            "jsonb",
            "text[]",
            "",
            "INTEGER",
        ] {
            assert!(!fits(declared), "{declared}");
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_guarded() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.key");
        let world = System::new();
        let first = TokenKey::load_or_create(&path, &world).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = TokenKey::load_or_create(&path, &world).unwrap();
        assert_eq!(first.token("", "a", b"b"), again.token("", "a", b"b"));
        std::fs::write(&path, "half a key").unwrap();
        assert!(matches!(
            TokenKey::load_or_create(&path, &world),
            Err(TokenKeyError::Content(_))
        ));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            TokenKey::load_or_create(&path, &world),
            Err(TokenKeyError::Exposed(_))
        ));
    }
}
