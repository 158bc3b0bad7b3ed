//! Refs: which exist for the agent, and the commit each names. Read from the files themselves
//! (gitrepository-layout(5)), without following a link and without libgit2's reference database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use git2::Oid;

use super::layout::{Layout, Version};
use super::objects::{Fault, Objects};
use crate::call::{Code, Refusal};

/// Symbolic refs that point to symbolic refs.
const MAX_HOPS: usize = 5;
/// A loose ref is one line.
const MAX_LOOSE: u64 = 4096;
/// `packed-refs` of about half a million refs.
const MAX_PACKED: u64 = 64 << 20;

/// The configured refs: full names, or prefixes ending in `/*`.
#[derive(Debug)]
pub(super) struct AllowList(Vec<String>);

impl AllowList {
    /// Checks the configured names.
    ///
    /// # Errors
    /// Which one is wrong, and what to write instead.
    pub(super) fn new(refs: &[String]) -> Result<Self, String> {
        for name in refs {
            let plain = name.strip_suffix("/*").unwrap_or(name);
            if !plain.starts_with("refs/") && plain != "refs" || !well_formed(plain) {
                return Err(format!(
                    "refs: `{name}` is not a full ref name; write refs/heads/main, or refs/tags/* for all below"
                ));
            }
        }
        Ok(Self(refs.to_vec()))
    }

    /// Whether a full name is allow-listed.
    pub(super) fn allows(&self, name: &str) -> bool {
        self.0.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
            None => allowed == name,
        })
    }
}

/// Whether a name keeps the rules of git-check-ref-format(1); none of git's revision syntax does.
fn well_formed(name: &str) -> bool {
    let bad = |character: char| character.is_control() || " ~^:?*[\\".contains(character);
    !name.is_empty()
        && name.len() <= 1024
        && name != "@"
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.chars().any(bad)
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

/// The allow-listed part of `packed-refs`.
type Packed = BTreeMap<String, Oid>;

/// The refs of one repository, as far as they are allow-listed.
#[derive(Debug)]
pub(super) struct Refs {
    layout: Layout,
    allowed: AllowList,
    packed: Mutex<Option<(Version, Arc<Packed>)>>,
}

/// A ref and the commit it names now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) name: String,
    pub(super) commit: Oid,
}

enum Value {
    Id(Oid),
    Symbolic(String),
}

impl Refs {
    pub(super) fn new(layout: Layout, allowed: AllowList) -> Self {
        Self {
            layout,
            allowed,
            packed: Mutex::default(),
        }
    }

    /// The ref an agent names, or the default one.
    ///
    /// # Errors
    /// `invalid_arguments` for what cannot be a ref's name or is ambiguous; `not_found`, in the same
    /// words, for what does not exist, is not allow-listed, or names no commit.
    pub(super) fn resolve(&self, wanted: Option<&str>, objects: &Objects<'_>) -> Result<Resolved, Refusal> {
        let Some(wanted) = wanted else {
            return self.default_ref(objects)?.ok_or_else(|| {
                Refusal::new(
                    Code::NotFound,
                    "This repository has no default branch for you.",
                    "Give `ref`: the name of a branch or tag.",
                )
            });
        };
        if wanted == "HEAD" {
            return self.head(objects)?.ok_or_else(|| unknown(wanted));
        }
        if !well_formed(wanted) || wanted.starts_with('-') {
            return Err(Refusal::new(
                Code::InvalidArguments,
                format!("`ref` takes the name of a branch or tag, not `{wanted}`"),
                "Write main, v1.0 or refs/heads/main; object ids and expressions such as HEAD~1 are not taken. Leave `ref` out for the default branch.",
            ));
        }
        let candidates = match wanted.starts_with("refs/") {
            true => vec![wanted.to_owned()],
            false => vec![
                format!("refs/heads/{wanted}"),
                format!("refs/tags/{wanted}"),
                format!("refs/remotes/{wanted}"),
                format!("refs/{wanted}"),
            ],
        };
        let mut found = Vec::new();
        for name in candidates {
            found.extend(self.named(&name, objects)?);
        }
        found.dedup_by(|a, b| a == b);
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(unknown(wanted)),
            (Some(one), Some(other)) => Err(Refusal::new(
                Code::InvalidArguments,
                format!("`{wanted}` is both {} and {}", one.name, other.name),
                format!("Write `{}` or `{}`.", one.name, other.name),
            )),
        }
    }

    /// Whether a name found by [`Refs::resolve`] may still be read, and still exists.
    pub(super) fn still_there(&self, name: &str, objects: &Objects<'_>) -> Result<bool, Fault> {
        Ok(self.named(name, objects)?.is_some_and(|found| found.name == name))
    }

    fn default_ref(&self, objects: &Objects<'_>) -> Result<Option<Resolved>, Fault> {
        if let Some(head) = self.head(objects)? {
            return Ok(Some(head));
        }
        for allowed in &self.allowed.0 {
            let names = match allowed.strip_suffix('*') {
                Some(prefix) => self.branches(prefix)?,
                None if allowed.starts_with("refs/heads/") => BTreeSet::from([allowed.clone()]),
                None => BTreeSet::new(),
            };
            for name in names {
                if let Some(found) = self.named(&name, objects)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The branches below an allow-listed prefix, sorted.
    fn branches(&self, prefix: &str) -> Result<BTreeSet<String>, Fault> {
        let io = |error: std::io::Error| Fault::Broken(format!("refs/heads: {error}"));
        let mut names: BTreeSet<String> = self.layout.names("refs/heads").map_err(io)?.into_iter().collect();
        names.extend(
            self.packed()?
                .keys()
                .filter(|name| name.starts_with("refs/heads/"))
                .cloned(),
        );
        names.retain(|name| name.starts_with(prefix) && well_formed(name));
        Ok(names)
    }

    fn head(&self, objects: &Objects<'_>) -> Result<Option<Resolved>, Fault> {
        match self.value("HEAD")? {
            Some(Value::Symbolic(name)) => self.named(&name, objects),
            _ => Ok(None), // detached: an id, which no allow-listed ref vouches for
        }
    }

    /// Follows an allow-listed name to a commit; every name on the way must be allow-listed.
    fn named(&self, name: &str, objects: &Objects<'_>) -> Result<Option<Resolved>, Fault> {
        let mut name = name.to_owned();
        for _ in 0..MAX_HOPS {
            if !self.allowed.allows(&name) || !well_formed(&name) {
                return Ok(None);
            }
            match self.value(&name)? {
                None => return Ok(None),
                Some(Value::Symbolic(next)) => name = next,
                Some(Value::Id(id)) => {
                    return Ok(objects.peel(id)?.map(|commit| Resolved { name, commit }));
                }
            }
        }
        Ok(None)
    }

    fn value(&self, name: &str) -> Result<Option<Value>, Fault> {
        // What cannot be read as a plain file (a link, a pipe) names nothing, and does not fall back
        // to the packed value that it covers.
        let Ok(loose) = self.layout.read(name, MAX_LOOSE) else {
            tracing::warn!(name, "a ref file is not a plain file and is ignored");
            return Ok(None);
        };
        match loose {
            Some(text) => Ok(value(&text)),
            None => Ok(self.packed()?.get(name).copied().map(Value::Id)),
        }
    }

    fn packed(&self) -> Result<Arc<Packed>, Fault> {
        let Some(version) = self.layout.version("packed-refs") else {
            return Ok(Arc::default());
        };
        let mut cached = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, refs)) = cached.as_ref().filter(|(of, _)| *of == version) {
            return Ok(Arc::clone(refs));
        }
        let text = self
            .layout
            .read("packed-refs", MAX_PACKED)
            .map_err(|error| Fault::Broken(format!("packed-refs: {error}")))?
            .unwrap_or_default();
        let refs: Packed = text
            .split(|byte| *byte == b'\n')
            .filter_map(|line| {
                let (id, name) = std::str::from_utf8(line).ok()?.split_once(' ')?;
                self.allowed
                    .allows(name)
                    .then(|| Some((name.to_owned(), object_id(id)?)))?
            })
            .collect();
        let refs = Arc::new(refs);
        *cached = Some((version, Arc::clone(&refs)));
        Ok(refs)
    }
}

/// The content of a loose ref. What is neither an id nor a symbolic ref names nothing.
fn value(text: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?.trim_end();
    match text.strip_prefix("ref:") {
        Some(name) => Some(Value::Symbolic(name.trim().to_owned())),
        None => object_id(text).map(Value::Id),
    }
}

/// Forty hexadecimal digits; libgit2 would also take fewer.
fn object_id(text: &str) -> Option<Oid> {
    (text.len() == 40).then(|| Oid::from_str(text).ok())?
}

fn unknown(wanted: &str) -> Refusal {
    Refusal::new(
        Code::NotFound,
        format!("There is no branch or tag `{wanted}` for you."),
        "Leave `ref` out to read the default branch.",
    )
}
