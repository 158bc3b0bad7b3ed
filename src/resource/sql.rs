//! SQL databases.

#[cfg(any(feature = "mysql", feature = "postgres"))]
mod address;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod bounds;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod deep;
mod lookup;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod pages;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod servers;
pub mod sqlite;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod streams;
pub(crate) mod tokens;
mod unmade;
pub(crate) mod unlisted;

pub use tokens::{TokenKey, TokenKeyError, TokenScope};
pub use unlisted::{Samples, Unlisted};

/// How a class looks when masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskStyle {
    /// The same text for every value: answers do not depend on it.
    Constant,
    /// NULL: answers do not depend on it.
    Null,
    /// The last four characters: reveals exactly those.
    Last4,
    /// What follows the last `@`: reveals exactly that.
    Domain,
    /// The same for equal values of a class, and nothing else: reveals which values are equal.
    Token(TokenScope),
}

impl MaskStyle {
    /// The word in configuration and `sql_schema`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Null => "null",
            Self::Last4 => "last4",
            Self::Domain => "domain",
            Self::Token(_) => "token",
        }
    }
}

/// What an unlisted column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColumnsDefault {
    /// Masked (class `unlisted`, constant).
    #[default]
    Mask,
    /// Shown.
    Show,
}
