//! The one way to reach anything in a commit: by path, past the hiding rules, entry by entry.
//!
//! Both the look-up of one path and the walk over many go through [`View::visible`]. Nothing
//! recurses, so a deep tree costs memory for its names, not stack.

use std::sync::Arc;

use git2::Oid;

use super::hidden::{Denied, Rules, fold};
use super::objects::{Entry, Fault, Kind, Objects, Tree};
use super::path::{MAX_PATH, TreePath, addressable};

/// One commit as the agent may see it.
pub(super) struct View<'a> {
    pub(super) objects: &'a Objects<'a>,
    pub(super) rules: &'a Rules,
    pub(super) denied: Arc<Denied>,
    /// The commit's root tree.
    pub(super) root: Oid,
}

/// Something that exists for the agent.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) id: Oid,
}

/// A path with its folded form beside it, grown and cut together.
#[derive(Debug, Default, Clone)]
struct Trail {
    path: Vec<u8>,
    folded: Vec<u8>,
}

impl Trail {
    fn lengths(&self) -> (usize, usize) {
        (self.path.len(), self.folded.len())
    }

    fn cut(&mut self, lengths: (usize, usize)) {
        self.path.truncate(lengths.0);
        self.folded.truncate(lengths.1);
    }

    fn push(&mut self, name: &[u8], folded: &[u8]) {
        for (path, part) in [(&mut self.path, name), (&mut self.folded, folded)] {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
        }
    }
}

impl View<'_> {
    /// What is at a path; `None` when nothing is, or nothing for the agent.
    pub(super) fn find(&self, path: &TreePath) -> Result<Option<Found>, Fault> {
        let mut found = Found {
            path: Vec::new(),
            kind: Kind::Folder,
            id: self.root,
        };
        let mut trail = Trail::default();
        for name in path.components() {
            if found.kind != Kind::Folder {
                return Ok(None);
            }
            let tree = self.objects.tree(found.id)?;
            let entry = tree.get(tree.position(name)).filter(|entry| entry.name == name);
            let Some(entry) = entry.filter(|entry| self.visible(&mut trail, entry)) else {
                return Ok(None);
            };
            found = Found {
                path: trail.path.clone(),
                kind: entry.kind,
                id: entry.id,
            };
        }
        Ok(Some(found))
    }

    /// Steps the trail onto an entry of the folder it is at, and says whether the entry exists for
    /// the agent. The folder itself must.
    fn visible(&self, trail: &mut Trail, entry: &Entry<'_>) -> bool {
        let folded = fold(entry.name);
        trail.push(entry.name, &folded);
        addressable(entry.name)
            && trail.path.len() <= MAX_PATH
            && !self.rules.hides(&trail.folded, &folded, entry.kind)
            && !self.denied.has(entry.id)
    }

    /// Walks below a folder given by [`View::find`], in order of names.
    pub(super) fn walk(&self, folder: &Found, recursive: bool) -> Result<Walk<'_>, Fault> {
        let mut trail = Trail::default();
        for name in folder
            .path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
        {
            trail.push(name, &fold(name));
        }
        let frame = Frame {
            tree: self.objects.tree(folder.id)?,
            next: 0,
            lengths: trail.lengths(),
        };
        Ok(Walk {
            view: self,
            frames: vec![frame],
            trail,
            recursive,
            pending: None,
        })
    }
}

struct Frame {
    tree: Tree,
    next: usize,
    lengths: (usize, usize),
}

/// A walk in progress.
pub(super) struct Walk<'a> {
    view: &'a View<'a>,
    frames: Vec<Frame>,
    trail: Trail,
    recursive: bool,
    /// The folder given last: its entries come next.
    pending: Option<Oid>,
}

impl Walk<'_> {
    /// Goes on behind `path` as an earlier walk would have. A path that does not exist, or not for
    /// the agent, is only a place in the order: nothing can be learned from it.
    pub(super) fn resume_after(&mut self, path: &[u8]) -> Result<(), Fault> {
        let inside = path.get(self.trail.path.len()..).unwrap_or_default();
        for name in inside.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            self.descend()?;
            let Some(frame) = self.frames.last_mut() else {
                return Ok(());
            };
            frame.next = frame.tree.position(name);
            let Some(entry) = frame.tree.get(frame.next).filter(|entry| entry.name == name) else {
                return Ok(());
            };
            frame.next += 1;
            self.trail.cut(frame.lengths);
            if !self.view.visible(&mut self.trail, &entry) || entry.kind != Kind::Folder || !self.recursive {
                return Ok(());
            }
            self.pending = Some(entry.id);
        }
        Ok(())
    }

    /// The next entry that exists for the agent.
    pub(super) fn next(&mut self) -> Result<Option<Found>, Fault> {
        self.descend()?;
        loop {
            let Some(frame) = self.frames.last_mut() else {
                return Ok(None);
            };
            self.trail.cut(frame.lengths);
            let Some(entry) = frame.tree.get(frame.next) else {
                self.frames.pop();
                continue;
            };
            frame.next += 1;
            if !self.view.visible(&mut self.trail, &entry) {
                continue;
            }
            if entry.kind == Kind::Folder && self.recursive {
                self.pending = Some(entry.id);
            }
            return Ok(Some(Found {
                path: self.trail.path.clone(),
                kind: entry.kind,
                id: entry.id,
            }));
        }
    }

    fn descend(&mut self) -> Result<(), Fault> {
        if let Some(folder) = self.pending.take() {
            self.view.objects.stop.check_cancelled()?;
            let tree = self.view.objects.tree(folder)?;
            self.frames.push(Frame {
                tree,
                next: 0,
                lengths: self.trail.lengths(),
            });
        }
        Ok(())
    }
}
