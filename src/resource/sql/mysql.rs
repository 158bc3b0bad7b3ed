//! Databases of MySQL and MariaDB servers, read behind masks.

mod catalog;
mod guard;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::{ColumnsDefault, MaskStyle};
use crate::call::{Effect, Facts, Invocation, LastLook, Limits, RawOutput, Refusal};
use crate::clock::World;
use crate::policy::Permit;
use crate::secret::Secret;

/// For `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    guard::fuzzing::statement(data);
}

/// A configured database.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Resource name.
    pub name: String,
    /// `mysql://account@host:port/database`; no password, no parameters.
    pub url: Url,
    /// The account's password.
    pub password: Option<Secret>,
    /// A PEM file with the certificates that may vouch for the server; without it the machine's own.
    pub ca: Option<PathBuf>,
    /// The database with the masking views.
    pub views: String,
    /// `table.column` = class; `public` shows it.
    pub columns: BTreeMap<String, String>,
    /// What an unlisted column is.
    pub columns_default: ColumnsDefault,
    /// How each class looks when masked.
    pub classes: BTreeMap<String, MaskStyle>,
    /// A user variable that holds the person.
    pub session: Option<String>,
    /// Whether the account may have rights that reading behind masks never needs.
    pub privileged: bool,
    /// Server-wide bounds.
    pub limits: Limits,
}

/// A database, and the connections to it.
#[derive(Debug)]
pub struct Database {
    spec: Spec,
}

impl Database {
    /// Connects to nothing yet: a server that is away refuses calls, not the start.
    ///
    /// # Errors
    /// For the operator: what in `spec` cannot be used.
    pub fn new(spec: Spec, _world: Arc<dyn World>) -> Result<Self, String> {
        Ok(Self { spec })
    }

    /// What a request would touch.
    ///
    /// # Errors
    /// `statement_refused`, `wrong_tool`, `limit_exceeded`, `cancelled`, `target_failed`.
    pub async fn inspect(
        &self,
        _invocation: &Invocation,
        _cancel: &CancellationToken,
    ) -> Result<Facts, Refusal> {
        Err(Refusal::internal(format!("{}: not there", self.spec.name)))
    }

    /// Does what the permit is for, once.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    pub async fn run(
        &self,
        _permit: Permit,
        _invocation: &Invocation,
        _facts: &Facts,
        _approved: Option<&Effect>,
        _last: &dyn LastLook,
        _cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        Err(Refusal::internal("not there"))
    }

    /// What a change would do.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    pub async fn measure(
        &self,
        _permit: Permit,
        _invocation: &Invocation,
        _facts: &Facts,
        _cancel: &CancellationToken,
    ) -> Result<Effect, Refusal> {
        Err(Refusal::internal("not there"))
    }
}
