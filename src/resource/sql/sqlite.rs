//! SQLite targets.
use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::{ColumnsDefault, MaskStyle};
use crate::call::{Facts, Invocation, Limits, RawOutput, Refusal};
use crate::policy::Permit;

/// A configured database.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Resource name.
    pub name: String,
    /// The database file.
    pub path: PathBuf,
    /// `table.column` = class; `public` shows it.
    pub columns: BTreeMap<String, String>,
    /// What an unlisted column is.
    pub columns_default: ColumnsDefault,
    /// How each class looks when masked.
    pub classes: BTreeMap<String, MaskStyle>,
    /// Server-wide bounds.
    pub limits: Limits,
}

/// An opened database.
#[derive(Debug)]
pub struct Database;

impl Database {
    /// Opens and checks it.
    pub fn open(_spec: Spec) -> Result<Self, String> {
        unimplemented!()
    }
    /// What a request would touch.
    pub async fn inspect(
        &self,
        _invocation: &Invocation,
        _cancel: &CancellationToken,
    ) -> Result<Facts, Refusal> {
        unimplemented!()
    }
    /// Does it, once.
    pub async fn run(
        &self,
        _permit: Permit,
        _invocation: &Invocation,
        _facts: &Facts,
        _cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        unimplemented!()
    }
}
