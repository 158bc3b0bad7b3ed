//! git repositories, read as objects.
//!
//! Only what allow-listed refs reach, only by path, never by object id. No libgit2 repository is
//! opened: its object database alone is used, so nothing in a repository, and no configuration of
//! the machine, can make anything run or be read from elsewhere. `docs/git.md` says what is promised.

mod cursor;
mod glob;
mod hidden;
mod layout;
mod list;
mod memory;
mod objects;
mod path;
mod read;
mod refs;
mod search;
mod walk;
mod work;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use git2::Oid;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::call::{
    Code, Conceal, Facts, FileFacts, Fragment, Invocation, Limits, Probe, RawOutput, Refusal, Request, Target,
};
use crate::policy::Permit;

use cursor::Cursor;
use hidden::{DeniedCache, Rules};
use layout::Layout;
use objects::{Fault, Objects, Store};
use path::TreePath;
use refs::{AllowList, Refs, Resolved};
use walk::{Found, View};
use work::Stop;

/// What is hidden when the configuration names nothing (gitignore(5) patterns, case-folded): where
/// credentials usually are.
pub const DEFAULT_HIDDEN: &[&str] = &[
    ".env*",
    "*.env",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.ppk",
    "*.gpg",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "*.tfstate",
    "*.tfstate.*",
    "*.tfvars",
    "*.tfvars.json",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    ".htpasswd",
    ".git-credentials",
    ".dockercfg",
    ".docker/config.json",
    "*.kubeconfig",
    ".kube/",
    ".aws/",
    ".azure/",
    ".gnupg/",
    ".ssh/",
    "secrets/",
    "secrets.json",
    "secrets.toml",
    "secrets.yaml",
    "secrets.yml",
    "credentials.json",
    "credentials.toml",
    "credentials.yaml",
    "credentials.yml",
    "service-account*.json",
];

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
    /// What a search must neither match nor cut open.
    pub conceal: Arc<dyn Conceal>,
}

/// An opened repository. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    refs: Refs,
    rules: Rules,
    denied: DeniedCache,
    limits: Limits,
    conceal: Arc<dyn Conceal>,
}

impl Repository {
    /// Opens and checks a repository. Nothing of it is executed, and no configuration is read.
    ///
    /// # Errors
    /// In words for the operator: a path that is not a self-contained repository (gitrepository-layout(5)),
    /// a ref or hidden pattern that cannot be meant, and what to write instead.
    pub fn open(spec: Spec) -> Result<Self, String> {
        let inside = |why: String| format!("resource `{}`: {why}", spec.name);
        memory::bound();
        let layout = Layout::find(&spec.path).map_err(inside)?;
        let allowed = AllowList::new(&spec.refs).map_err(inside)?;
        let rules = Rules::new(&spec.hidden).map_err(inside)?;
        let store = Store::new(layout.clone());
        store
            .lease(&Stop::default())
            .map_err(|fault| inside(fault.for_operator()))?;
        Ok(Self(Arc::new(Inner {
            store,
            refs: Refs::new(layout, allowed),
            rules,
            denied: DeniedCache::default(),
            limits: spec.limits,
            conceal: spec.conceal,
        })))
    }

    /// What a request would touch: the ref, the commit it names now, and the one spelling of the path.
    ///
    /// # Errors
    /// `not_found` for what does not exist or is hidden, in the same words; `invalid_arguments` for
    /// what cannot be a ref or path; `target_failed` when the repository cannot be read.
    pub async fn inspect(
        &self,
        invocation: &Invocation,
        cancel: &CancellationToken,
    ) -> Result<Facts, Refusal> {
        let inner = Arc::clone(&self.0);
        let (request, action) = (invocation.request.clone(), invocation.action);
        work::run(cancel, self.0.limits.seconds, move |stop| {
            let asked = Asked::of(&request)?;
            let path = TreePath::parse(asked.path)?;
            let objects = inner.store.lease(stop)?;
            let Resolved { name, commit } = inner.refs.resolve(asked.reference, &objects)?;
            let view = inner.view(&objects, commit)?;
            if view.find(&path)?.is_none() {
                return Err(Refusal::not_found(&path.shown()));
            }
            let commit = commit.to_string();
            if let Some(cursor) = asked.cursor {
                Cursor::read(cursor, &request, &commit)?;
            }
            Ok(Facts {
                shell: None,
                probe: Probe::None,
                action,
                target: Target::Git {
                    reference: name.clone(),
                    commit,
                },
                sql: None,
                file: Some(FileFacts {
                    path: path.shown(),
                    reference: name,
                }),
                classified: Default::default(),
            })
        })
        .await
    }

    /// Does it, once: reads the very commit that was inspected.
    ///
    /// # Errors
    /// As [`Repository::inspect`], and `limit_exceeded`, `cancelled`.
    pub async fn run(
        &self,
        permit: Permit,
        invocation: &Invocation,
        facts: &Facts,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        self.answer(&invocation.request, facts, permit.limits(), cancel)
            .await
    }

    /// [`Repository::run`] without the permit, which only `policy` can make.
    async fn answer(
        &self,
        request: &Request,
        facts: &Facts,
        limits: Limits,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        let inner = Arc::clone(&self.0);
        let (request, facts) = (request.clone(), facts.clone());
        let limits = smaller(limits, self.0.limits);
        work::run(cancel, limits.seconds, move |stop| {
            inner.answer(&request, &facts, limits, stop)
        })
        .await
    }
}

impl Inner {
    fn view<'a>(&'a self, objects: &'a Objects<'a>, commit: Oid) -> Result<View<'a>, Fault> {
        let root = objects.root_of(commit)?;
        let denied = self.denied.of(root, &self.rules, objects)?;
        Ok(View {
            objects,
            rules: &self.rules,
            denied,
            root,
        })
    }

    fn answer(
        &self,
        request: &Request,
        facts: &Facts,
        limits: Limits,
        stop: &Stop,
    ) -> Result<RawOutput, Refusal> {
        let (Target::Git { reference, commit }, Some(file)) = (&facts.target, &facts.file) else {
            return Err(Refusal::internal("facts of another kind of resource"));
        };
        let path = TreePath::parse(&file.path)?;
        if TreePath::parse(Asked::of(request)?.path)? != path {
            return Err(Refusal::internal("facts of another path"));
        }
        let objects = self.store.lease(stop)?;
        if !self.refs.still_there(reference, &objects)? {
            return Err(Refusal::not_found(&path.shown()));
        }
        let id = Oid::from_str(commit).map_err(|_| Refusal::internal("facts without a commit"))?;
        let scene = Scene {
            view: self.view(&objects, id)?,
            reference,
            commit,
            shown: path.shown(),
            path,
            limits,
        };
        match request {
            Request::FileList(list) => list::answer(&scene, list),
            Request::FileRead(read) => read::answer(&scene, read),
            Request::FileSearch(search) => search::answer(&scene, search, self.conceal.as_ref()),
            _ => Err(wrong_tool()),
        }
    }
}

/// What the three requests have in common.
struct Asked<'a> {
    path: &'a str,
    reference: Option<&'a str>,
    cursor: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(request: &'a Request) -> Result<Self, Refusal> {
        let (path, reference, cursor) = match request {
            Request::FileList(list) => (list.path.as_str(), &list.reference, &list.cursor),
            Request::FileRead(read) => (read.path.as_str(), &read.reference, &None),
            Request::FileSearch(search) => ("", &search.reference, &search.cursor),
            _ => return Err(wrong_tool()),
        };
        Ok(Self {
            path,
            reference: reference.as_deref(),
            cursor: cursor.as_deref(),
        })
    }
}

/// One answer in the making: the commit as the agent may see it, what is asked of it, the bounds.
struct Scene<'a> {
    view: View<'a>,
    reference: &'a str,
    commit: &'a str,
    path: TreePath,
    shown: String,
    limits: Limits,
}

impl Scene<'_> {
    fn found(&self) -> Result<Found, Refusal> {
        self.view
            .find(&self.path)?
            .ok_or_else(|| Refusal::not_found(&self.shown))
    }

    /// How many entries or matches to give.
    fn most(&self, asked: Option<u64>) -> Result<usize, Refusal> {
        if asked == Some(0) {
            return Err(invalid("`limit` is 0", "Ask for at least 1, or leave it out."));
        }
        let most = asked.unwrap_or(u64::MAX).min(self.limits.rows);
        Ok(usize::try_from(most).unwrap_or(usize::MAX))
    }

    fn output(
        &self,
        data: impl Serialize,
        fragments: Vec<Fragment>,
        next: Option<String>,
    ) -> Result<RawOutput, Refusal> {
        let mut raw = RawOutput::new(data).map_err(|error| Refusal::internal(format!("answer: {error}")))?;
        raw.truncated = next.is_some();
        raw.next_cursor = next;
        raw.fragments = fragments;
        Ok(raw)
    }
}

fn smaller(a: Limits, b: Limits) -> Limits {
    Limits {
        rows: a.rows.min(b.rows),
        bytes: a.bytes.min(b.bytes),
        seconds: a.seconds.min(b.seconds),
    }
}

fn invalid(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidArguments, message, suggestion)
}

fn wrong_tool() -> Refusal {
    Refusal::new(
        Code::WrongTool,
        "This resource is a git repository.",
        "Use file_list, file_read or file_search with it.",
    )
}
