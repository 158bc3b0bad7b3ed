//! `[masking]`, and where tokens cannot stand for a value.

use std::path::PathBuf;

use super::check::Check;
use super::error::Problems;
use super::guard::Role;
use super::names;
use super::raw::{self, Text};
use crate::resource::sql::TokenScope;
use crate::resource::sql::tokens::countable;

const SCOPES: [&str; 2] = ["deployment", "session"];

/// `tokens`: within what equal values have equal tokens.
pub(super) fn scope(raw: &raw::Masking, problems: &mut Problems<'_>) -> TokenScope {
    match raw.tokens.as_ref().map(|text| (text, text.get_ref().as_str())) {
        None | Some((_, "deployment")) => TokenScope::Deployment,
        Some((_, "session")) => TokenScope::Session,
        Some((text, other)) => {
            let remedy = names::suggest(other, &SCOPES, "scopes of tokens");
            problems.at(
                text.span(),
                format!("unknown scope of tokens `{}`", other.escape_debug()),
                remedy,
            );
            TokenScope::Session
        }
    }
}

/// `key_file`: by default beside the store, or beside the configuration where the store is a server's.
pub(super) fn key_file(
    raw: &raw::Masking,
    beside: Option<PathBuf>,
    check: &mut Check<'_>,
) -> Option<PathBuf> {
    match &raw.key_file {
        Some(key) => check.file(key, Role::Key),
        None => {
            let key = beside?.with_extension("tokens.key");
            check.need(key.clone(), Role::Key);
            Some(key)
        }
    }
}

/// Refuses a class or a column whose values are few: `name` is what it is called, as in "the class `phone`".
pub(super) fn many(written: &Text, name: &str, what: &str, problems: &mut Problems<'_>) {
    if let Some(word) = countable(name) {
        problems.at(
            written.span(),
            format!(
                "{what} `{}` cannot have tokens: of `{word}` there are too few values",
                name.escape_debug()
            ),
            "a token tells which values are equal, and who can have guesses compared finds them all; write \
             \"constant\", or \"last4\" or \"domain\" if that much may show",
        );
    }
}
