//! `file_list`: the entries of a folder, or of everything below it.

use super::cursor::Cursor;
use super::objects::{Kind, Objects};
use super::path::show;
use super::walk::Found;
use super::{Scene, invalid};
use crate::call::answer::{FileEntry, FileListing};
use crate::call::request::FileList;
use crate::call::{Fragment, RawOutput, Refusal, Request};

/// Longest symlink target that is shown, in bytes.
pub(super) const MAX_TARGET: u64 = 4096;
/// What an entry costs besides its texts, in bytes of the answer.
const ENTRY_BYTES: u64 = 64;

/// Lists.
///
/// # Errors
/// `not_found`, `invalid_arguments` for what is not a folder or a cursor that does not fit, and what
/// reading objects can say.
pub(super) fn answer(scene: &Scene<'_>, list: &FileList) -> Result<RawOutput, Refusal> {
    let folder = scene.found()?;
    if folder.kind != Kind::Folder {
        return Err(invalid(
            format!("`{}` is a {}, not a folder", scene.shown, folder.kind.as_str()),
            "Use file_read for it, or list the folder it is in.",
        ));
    }
    let request = Request::FileList(list.clone());
    let mut walk = scene.view.walk(&folder, list.recursive.unwrap_or(false))?;
    if let Some(cursor) = &list.cursor {
        walk.resume_after(Cursor::read(cursor, &request, scene.commit)?.path.bytes())?;
    }
    let most = scene.most(list.limit)?;
    let mut listing = FileListing {
        commit: scene.commit.to_owned(),
        reference: scene.reference.to_owned(),
        entries: Vec::new(),
    };
    let (mut fragments, mut bytes, mut last) = (Vec::new(), 0_u64, None);
    let mut more = false;
    while let Some(found) = walk.next()? {
        scene.view.objects.stop.check_cancelled()?;
        let full = listing.entries.len() >= most || bytes >= scene.limits.bytes;
        if full || (scene.view.objects.stop.out_of_time() && last.is_some()) {
            more = true;
            break;
        }
        let (entry, fragment) = entry(scene, &found, listing.entries.len());
        let texts = entry.path.len() + entry.target.as_ref().map_or(0, String::len);
        bytes = bytes.saturating_add(ENTRY_BYTES + u64::try_from(texts).unwrap_or(u64::MAX));
        last = Some(entry.path.clone());
        listing.entries.push(entry);
        fragments.extend(fragment);
    }
    scene.output(
        listing,
        fragments,
        last.filter(|_| more)
            .map(|path| Cursor::at(&request, scene.commit, path, None)),
    )
}

fn entry(scene: &Scene<'_>, found: &Found, position: usize) -> (FileEntry, Option<Fragment>) {
    let mut entry = FileEntry {
        path: show(&found.path),
        kind: found.kind.as_str().to_owned(),
        size: None,
        target: None,
    };
    let mut fragment = None;
    match found.kind {
        Kind::Folder => {}
        // An object that a partial clone lacks still has a name; its size is not known.
        Kind::File => entry.size = scene.view.objects.blob_size(found.id).ok(),
        Kind::Submodule => entry.target = Some(found.id.to_string()),
        Kind::Symlink => {
            entry.target = target(scene.view.objects, found);
            fragment = entry.target.as_ref().map(|target| Fragment {
                commit: scene.commit.to_owned(),
                path: entry.path.clone(),
                blob: found.id.to_string(),
                bytes: (0, u64::try_from(target.len()).unwrap_or(u64::MAX)),
                lines: (1, 1),
                pointer: format!("/entries/{position}/target"),
            });
        }
    }
    (entry, fragment)
}

/// Where a symlink points, as text; nothing is looked up there. `None` when it is no plain text.
pub(super) fn target(objects: &Objects<'_>, found: &Found) -> Option<String> {
    let blob = objects.blob(found.id, MAX_TARGET).ok()?;
    let text = std::str::from_utf8(blob.data()).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}
