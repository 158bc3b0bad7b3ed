//! git repositories, read as objects.
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use crate::call::{Facts, Invocation, Limits, RawOutput, Refusal};
use crate::policy::Permit;

/// A configured repository.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Resource name.
    pub name: String,
    /// The repository: a bare one, or a work tree whose `.git` is a folder.
    pub path: PathBuf,
    /// Allow-listed refs: full names, or a prefix ending in `/*`. Empty allows nothing.
    pub refs: Vec<String>,
    /// Hidden paths, gitignore semantics, case-folded.
    pub hidden: Vec<String>,
    /// Server-wide bounds.
    pub limits: Limits,
}

/// An opened repository.
#[derive(Debug)]
pub struct Repository;

impl Repository {
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
