//! Databases of PostgreSQL servers, read behind masks.
//!
//! An agent's statement is read by the server's own grammar, walked node by node, and written anew: each
//! reference to a relation with classified columns becomes a subquery in which these columns are masks, so
//! no predicate, join, function, ordering or error sees what the mask does not give. What is written is
//! read again, and must differ in nothing else. Only that text reaches the server, alone, in a transaction
//! of its own, as a role that cannot do more.

mod catalog;
mod guard;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::{ColumnsDefault, MaskStyle};
use crate::call::{Effect, Facts, Invocation, LastLook, Limits, RawOutput, Refusal};
use crate::clock::World;
use crate::policy::Permit;
use crate::secret::Secret;

/// A configured database.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Resource name.
    pub name: String,
    /// `postgres://role@host:port/database`; no password, no parameters.
    pub url: Url,
    /// The role's password.
    pub password: Option<Secret>,
    /// A PEM file with the certificates that may vouch for the server; without it the machine's own.
    pub ca: Option<PathBuf>,
    /// What agents see, in the order in which plain names are looked up.
    pub schemas: Vec<String>,
    /// `table.column` or `schema.table.column` = class; `public` shows it.
    pub columns: BTreeMap<String, String>,
    /// What an unlisted column is.
    pub columns_default: ColumnsDefault,
    /// How each class looks when masked.
    pub classes: BTreeMap<String, MaskStyle>,
    /// `schema.name` of functions of the database's own that statements may call.
    pub functions: BTreeSet<String>,
    /// A session variable that holds the person, for row-level security.
    pub session: Option<String>,
    /// Whether the role may be a superuser, bypass row security or own what it reads.
    pub privileged: bool,
    /// Server-wide bounds.
    pub limits: Limits,
}

/// A database, and the connections to it.
#[derive(Debug)]
pub struct Database {
    spec: Arc<Spec>,
    world: Arc<dyn World>,
}

impl Database {
    /// Connects to nothing yet: a server that is away refuses calls, not the start.
    ///
    /// # Errors
    /// For the operator: what in `spec` cannot be used.
    pub fn new(spec: Spec, world: Arc<dyn World>) -> Result<Self, String> {
        Ok(Self {
            spec: Arc::new(spec),
            world,
        })
    }

    /// What a request would touch.
    ///
    /// # Errors
    /// `statement_refused`, `wrong_tool`, `limit_exceeded`, `cancelled`, `target_failed`.
    pub async fn inspect(
        &self,
        invocation: &Invocation,
        cancel: &CancellationToken,
    ) -> Result<Facts, Refusal> {
        let _ = (invocation, cancel, &self.spec, &self.world);
        Err(Refusal::internal("postgres: inspect"))
    }

    /// Does what the permit is for, once.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    pub async fn run(
        &self,
        permit: Permit,
        invocation: &Invocation,
        facts: &Facts,
        approved: Option<&Effect>,
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        let _ = (permit, invocation, facts, approved, last, cancel);
        Err(Refusal::internal("postgres: run"))
    }

    /// What a change would do.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    pub async fn measure(
        &self,
        permit: Permit,
        invocation: &Invocation,
        facts: &Facts,
        cancel: &CancellationToken,
    ) -> Result<Effect, Refusal> {
        let _ = (permit, invocation, facts, cancel);
        Err(Refusal::internal("postgres: measure"))
    }
}
