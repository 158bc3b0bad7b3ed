//! What does not exist for anybody: hidden paths (gitignore(5) semantics), and the content found there.
//!
//! Names are compared after Unicode normalisation (NFC) and case folding, without characters nobody
//! sees, so that `.ENV`, a decomposed `sécrets` and `.e<zero-width>nv` are as hidden as what the
//! pattern spells. A hidden folder hides all below it. The blobs at hidden paths of a commit are
//! hidden under every other path of that commit too: a secret that was copied is still that secret.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use git2::Oid;
use regex::bytes::RegexSet;
use unicode_normalization::UnicodeNormalization;

use super::glob;
use super::objects::{Fault, Kind, Objects};
use super::path::{MAX_PATH, invisible};

/// The rules of a resource, compiled.
#[derive(Debug)]
pub(super) struct Rules {
    names: Patterns,
    paths: Patterns,
}

/// Patterns that are tested on the same text, with their place among all patterns.
#[derive(Debug)]
struct Patterns {
    set: RegexSet,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    order: usize,
    negated: bool,
    folders_only: bool,
}

/// Whether a pattern for folders can apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folder {
    Yes,
    No,
    /// A symlink or submodule may stand for one: hidden if it would be hidden as either.
    Either,
}

impl Rules {
    /// Compiles patterns, in order.
    ///
    /// # Errors
    /// Which pattern is wrong and why, for the operator.
    pub(super) fn new(patterns: &[String]) -> Result<Self, String> {
        let mut names = (Vec::new(), Vec::new());
        let mut paths = (Vec::new(), Vec::new());
        for (order, line) in patterns.iter().enumerate() {
            let parsed = parse(line).map_err(|why| format!("hidden pattern `{line}` {why}"))?;
            let Some(Parsed {
                expression,
                negated,
                folders_only,
                anchored,
            }) = parsed
            else {
                continue;
            };
            let target = if anchored { &mut paths } else { &mut names };
            target.0.push(expression);
            target.1.push(Rule {
                order,
                negated,
                folders_only,
            });
        }
        let compile = |(expressions, rules): (Vec<String>, Vec<Rule>)| {
            let set = glob::set(&expressions).map_err(|why| format!("hidden patterns: {why}"))?;
            Ok::<_, String>(Patterns { set, rules })
        };
        Ok(Self {
            names: compile(names)?,
            paths: compile(paths)?,
        })
    }

    /// Whether nothing is configured to be hidden.
    pub(super) fn is_empty(&self) -> bool {
        self.names.rules.is_empty() && self.paths.rules.is_empty()
    }

    /// Whether what is hidden depends on names alone, not on where in the tree they are.
    fn by_name_only(&self) -> bool {
        self.paths.rules.is_empty()
    }

    /// Whether an entry is hidden whose parent folder is not. `path` and `name` are folded.
    pub(super) fn hides(&self, path: &[u8], name: &[u8], kind: Kind) -> bool {
        if is_git_folder(name) {
            return true;
        }
        match kind {
            Kind::Folder => self.last_word(path, name, Folder::Yes),
            Kind::File => self.last_word(path, name, Folder::No),
            Kind::Symlink | Kind::Submodule => self.last_word(path, name, Folder::Either),
        }
    }

    fn last_word(&self, path: &[u8], name: &[u8], folder: Folder) -> bool {
        if folder == Folder::Either {
            return self.last_word(path, name, Folder::Yes) || self.last_word(path, name, Folder::No);
        }
        let by_name = self.names.last(name, folder);
        // A path too long to be offered is walked only to learn what lies at hidden names.
        let by_path = Some(path)
            .filter(|path| path.len() <= MAX_PATH)
            .and_then(|path| self.paths.last(path, folder));
        let last = match (by_name, by_path) {
            (Some(name), Some(path)) => Some(if name.order > path.order { name } else { path }),
            (one, other) => one.or(other),
        };
        last.is_some_and(|rule| !rule.negated)
    }
}

impl Patterns {
    fn last(&self, text: &[u8], folder: Folder) -> Option<Rule> {
        if self.rules.is_empty() {
            return None;
        }
        self.set
            .matches(text)
            .iter()
            .filter_map(|index| self.rules.get(index).copied())
            .rfind(|rule| !rule.folders_only || folder == Folder::Yes)
    }
}

struct Parsed {
    expression: String,
    negated: bool,
    folders_only: bool,
    anchored: bool,
}

/// One line of gitignore(5); `None` for a comment.
fn parse(line: &str) -> Result<Option<Parsed>, String> {
    if line.contains(['\n', '\r', '\0']) {
        return Err("has a line break or NUL".to_owned());
    }
    if line.starts_with('#') {
        return Ok(None);
    }
    let mut pattern = line;
    while let Some(shorter) = pattern.strip_suffix(' ') {
        if shorter.ends_with('\\') {
            break;
        }
        pattern = shorter;
    }
    let (negated, pattern) = pattern
        .strip_prefix('!')
        .map_or((false, pattern), |rest| (true, rest));
    let (folders_only, pattern) = pattern
        .strip_suffix('/')
        .map_or((false, pattern), |rest| (true, rest));
    let anchored = pattern.contains('/');
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    if pattern.is_empty() {
        return Err("names nothing".to_owned());
    }
    let pattern = fold_text(pattern);
    // `**/name` says no more than `name`, and can be tested without the path.
    let (anchored, pattern) = match pattern.strip_prefix("**/") {
        Some(rest) if anchored && !rest.contains('/') && !rest.is_empty() => (false, rest),
        _ => (anchored, pattern.as_str()),
    };
    let expression = format!("^(?:{})$", glob::body(pattern, false)?);
    Ok(Some(Parsed {
        expression,
        negated,
        folders_only,
        anchored,
    }))
}

/// Folds a name for comparison: NFC, then upper and lower case (which also folds `ſ` and `ẞ`), then
/// NFC again; what nobody sees is dropped. Bytes that are not UTF-8 stay as they are.
pub(super) fn fold(name: &[u8]) -> Vec<u8> {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let mut out = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        out.extend_from_slice(fold_text(chunk.valid()).as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    out
}

fn fold_text(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars()
        .filter(|character| !invisible(*character))
        .nfc()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfc()
        .collect()
}

/// Whether some file system would take a folded name for `.git`: HFS+ ignores what nobody sees
/// (already dropped), NTFS ignores trailing dots and spaces, has `git~1`, and streams after a colon.
fn is_git_folder(folded: &[u8]) -> bool {
    let name = folded.split(|byte| *byte == b':').next().unwrap_or_default();
    let end = name
        .iter()
        .rposition(|byte| !matches!(byte, b'.' | b' '))
        .map_or(0, |last| last + 1);
    matches!(name.get(..end), Some(b".git" | b"git~1"))
}

/// The blobs at hidden paths of one commit.
#[derive(Debug, Default)]
pub(super) struct Denied(HashSet<Oid>);

impl Denied {
    /// Whether this blob is at a hidden path.
    pub(super) fn has(&self, blob: Oid) -> bool {
        self.0.contains(&blob)
    }
}

/// [`Denied`] of the commits read lately.
#[derive(Debug, Default)]
pub(super) struct DeniedCache(Mutex<VecDeque<(Oid, Arc<Denied>)>>);

/// Commits remembered: a repository is mostly read at the tips of a few branches.
const REMEMBERED: usize = 16;
/// Entries visited to learn what a commit hides; more is refused, because the answer would be a guess.
const MAX_VISITS: usize = 4_000_000;
/// The empty blob is nobody's secret, and `.gitkeep` files are everywhere.
const EMPTY_BLOB: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

impl DeniedCache {
    /// What is hidden by content in the commit with this root tree.
    ///
    /// # Errors
    /// When the trees cannot be read or there are too many of them: then nothing may be shown.
    pub(super) fn of(&self, root: Oid, rules: &Rules, objects: &Objects<'_>) -> Result<Arc<Denied>, Fault> {
        if rules.is_empty() {
            return Ok(Arc::default());
        }
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, denied)) = lock().iter().find(|(of, _)| *of == root) {
            return Ok(Arc::clone(denied));
        }
        let denied = Arc::new(collect(root, rules, objects)?);
        let mut cache = lock();
        if !cache.iter().any(|(of, _)| *of == root) {
            cache.push_front((root, Arc::clone(&denied)));
            cache.truncate(REMEMBERED);
        }
        Ok(denied)
    }
}

/// A folder still to be visited, by its folded path.
struct Pending {
    tree: Oid,
    path: Vec<u8>,
    hidden: bool,
}

fn collect(root: Oid, rules: &Rules, objects: &Objects<'_>) -> Result<Denied, Fault> {
    let mut blobs = HashSet::new();
    let mut seen = HashSet::new();
    let mut visits = 0_usize;
    let mut pending = vec![Pending {
        tree: root,
        path: Vec::new(),
        hidden: false,
    }];
    while let Some(folder) = pending.pop() {
        // Where the path does not matter, one visit per tree is enough: a tree that contains the
        // same subtree ten times ten times … is small again.
        if (folder.hidden || rules.by_name_only()) && !seen.insert((folder.tree, folder.hidden)) {
            continue;
        }
        for entry in objects.tree(folder.tree)?.every_entry() {
            visits += 1;
            if visits > MAX_VISITS {
                return Err(Fault::TooMuch(
                    "the commit has too many entries to tell what is hidden",
                ));
            }
            let name = fold(entry.name);
            let path = if rules.by_name_only() {
                Vec::new()
            } else {
                join(&folder.path, &name)
            };
            let hidden = folder.hidden || rules.hides(&path, &name, entry.kind);
            match entry.kind {
                Kind::Folder => pending.push(Pending {
                    tree: entry.id,
                    path,
                    hidden,
                }),
                Kind::File | Kind::Symlink if hidden => {
                    blobs.insert(entry.id);
                }
                _ => {}
            }
        }
        objects.stop.check()?;
    }
    if let Ok(empty) = Oid::from_str(EMPTY_BLOB) {
        blobs.remove(&empty);
    }
    Ok(Denied(blobs))
}

/// A path one level down; it stops growing where no path is offered any more.
fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.len() > MAX_PATH {
        return folder.to_vec();
    }
    let mut path = Vec::with_capacity(folder.len() + name.len() + 1);
    path.extend_from_slice(folder);
    if !folder.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
