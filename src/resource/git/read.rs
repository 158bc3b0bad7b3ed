//! `file_read`: a file, or some lines of it, exactly as committed.

use git2::Oid;

use super::list::{MAX_TARGET, target};
use super::objects::Kind;
use super::{Scene, invalid};
use crate::call::answer::FileText;
use crate::call::request::FileRead;
use crate::call::{Code, Fragment, RawOutput, Refusal};

/// Largest file that is opened at all, in bytes. Known from the object's header: a blob that would
/// inflate to more costs nothing.
pub(super) const MAX_FILE: u64 = 16 << 20;
/// git looks for a NUL in this many bytes to call a file binary (buffer_is_binary).
const BINARY_WINDOW: usize = 8 << 10;
/// A git-lfs pointer file is smaller than this (git-lfs specification).
const MAX_POINTER: usize = 1024;

/// Reads.
///
/// # Errors
/// `not_found`, `invalid_arguments` for a folder or a line range that does not fit, `limit_exceeded`
/// for a file above [`MAX_FILE`], and what reading objects can say.
pub(super) fn answer(scene: &Scene<'_>, read: &FileRead) -> Result<RawOutput, Refusal> {
    let found = scene.found()?;
    let wants_lines = read.start_line.is_some() || read.end_line.is_some();
    let no_lines = |what: &str| match wants_lines {
        true => Err(invalid(
            format!("`{}` is {what} and has no lines", scene.shown),
            "Leave start_line and end_line out.",
        )),
        false => Ok(()),
    };
    let blank = FileText {
        path: scene.shown.clone(),
        reference: scene.reference.to_owned(),
        commit: scene.commit.to_owned(),
        blob: found.id.to_string(),
        kind: String::new(),
        text: None,
        size: 0,
        lines: (0, 0),
        total_lines: None,
        bytes: (0, 0),
        note: None,
    };
    match found.kind {
        Kind::Folder => Err(invalid(
            format!("`{}` is a folder", scene.shown),
            "Use file_list to see what is in it.",
        )),
        Kind::Submodule => {
            no_lines("a submodule")?;
            let note = format!(
                "A submodule at commit {}; its files are in another repository.",
                found.id
            );
            scene.output(
                FileText {
                    kind: "submodule".to_owned(),
                    note: Some(note),
                    ..blank
                },
                Vec::new(),
                None,
            )
        }
        Kind::Symlink => {
            no_lines("a symlink")?;
            symlink(scene, &found, blank)
        }
        Kind::File => file(scene, read, found.id, blank),
    }
}

fn symlink(scene: &Scene<'_>, found: &super::walk::Found, blank: FileText) -> Result<RawOutput, Refusal> {
    let size = scene.view.objects.blob_size(found.id)?;
    let text = target(scene.view.objects, found);
    let note = match &text {
        Some(_) => "A symlink; it is not followed. To read its target, name that path.".to_owned(),
        None => format!("A symlink whose target is not plain text of at most {MAX_TARGET} bytes."),
    };
    let answer = FileText {
        kind: "symlink".to_owned(),
        size,
        note: Some(note),
        ..blank
    };
    match text {
        Some(text) => give(
            scene,
            FileText {
                total_lines: Some(1),
                ..answer
            },
            text,
            (0, size),
            (1, 1),
            false,
        ),
        None => scene.output(answer, Vec::new(), None),
    }
}

fn file(scene: &Scene<'_>, read: &FileRead, id: Oid, blank: FileText) -> Result<RawOutput, Refusal> {
    let size = scene.view.objects.blob_size(id)?;
    if size > MAX_FILE {
        return Err(Refusal::new(
            Code::LimitExceeded,
            format!(
                "`{}` has {size} bytes; files above {MAX_FILE} are not opened",
                scene.shown
            ),
            "Read another file; file_list shows sizes.",
        ));
    }
    let blob = scene.view.objects.blob(id, MAX_FILE)?;
    let answer = FileText { size, ..blank };
    let text = match content(blob.data()) {
        Content::Text(text) => text,
        Content::Binary(note) => {
            let answer = FileText {
                kind: "binary".to_owned(),
                note: Some(note),
                ..answer
            };
            return scene.output(answer, Vec::new(), None);
        }
    };
    let mut notes = Vec::new();
    if text.starts_with('\u{feff}') {
        notes.push("Begins with a UTF-8 byte order mark.".to_owned());
    }
    let kind = match lfs_pointer(text) {
        Some(pointer) => {
            notes.push(format!(
                "A Git LFS pointer: the content (sha256 {}, {} bytes) is not in the repository.",
                pointer.sha256, pointer.size
            ));
            "lfs"
        }
        None => "text",
    };
    let total = count_lines(text);
    let wanted = range(read, total)?;
    let slice = Slice::of(text, wanted, scene.limits.bytes);
    notes.extend(slice.note(total));
    let answer = FileText {
        kind: kind.to_owned(),
        total_lines: Some(total),
        note: (!notes.is_empty()).then(|| notes.join(" ")),
        ..answer
    };
    give(
        scene,
        answer,
        slice.text.to_owned(),
        slice.bytes,
        slice.lines,
        slice.cut,
    )
}

fn give(
    scene: &Scene<'_>,
    answer: FileText,
    text: String,
    bytes: (u64, u64),
    lines: (u64, u64),
    cut: bool,
) -> Result<RawOutput, Refusal> {
    let fragment = Fragment {
        commit: answer.commit.clone(),
        path: answer.path.clone(),
        blob: answer.blob.clone(),
        bytes,
        lines,
        pointer: "/text".to_owned(),
    };
    let mut raw = scene.output(
        FileText {
            text: Some(text),
            bytes,
            lines,
            ..answer
        },
        vec![fragment],
        None,
    )?;
    raw.truncated = cut;
    Ok(raw)
}

/// What a blob holds.
pub(super) enum Content<'a> {
    Text(&'a str),
    /// Not shown; why.
    Binary(String),
}

/// Tells text from what is not shown: a NUL near the start, a UTF-16 or UTF-32 mark, invalid UTF-8.
pub(super) fn content(bytes: &[u8]) -> Content<'_> {
    let wide = [
        (&b"\xff\xfe\x00\x00"[..], "UTF-32"),
        (&b"\x00\x00\xfe\xff"[..], "UTF-32"),
        (&b"\xff\xfe"[..], "UTF-16"),
        (&b"\xfe\xff"[..], "UTF-16"),
    ];
    if let Some((_, name)) = wide.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Content::Binary(format!("{name} text; only UTF-8 is shown."));
    }
    if bytes.iter().take(BINARY_WINDOW).any(|byte| *byte == 0) {
        return Content::Binary("Binary; not shown.".to_owned());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Content::Text(text),
        Err(error) => Content::Binary(format!(
            "Not UTF-8 from byte {} on; not shown.",
            error.valid_up_to()
        )),
    }
}

struct Pointer<'a> {
    sha256: &'a str,
    size: u64,
}

/// A git-lfs pointer (git-lfs specification, docs/spec.md).
fn lfs_pointer(text: &str) -> Option<Pointer<'_>> {
    if text.len() >= MAX_POINTER {
        return None;
    }
    let mut lines = text.lines();
    lines
        .next()?
        .strip_prefix("version https://git-lfs.github.com/spec/")
        .or_else(|| {
            text.lines()
                .next()?
                .strip_prefix("version https://hawser.github.com/spec/")
        })?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let sha256 = value("oid sha256:")?;
    let hexadecimal = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    let size = value("size ")?.parse().ok()?;
    hexadecimal.then_some(Pointer { sha256, size })
}

fn count_lines(text: &str) -> u64 {
    let ends = text.bytes().filter(|byte| *byte == b'\n').count();
    let open = !text.is_empty() && !text.ends_with('\n');
    u64::try_from(ends + usize::from(open)).unwrap_or(u64::MAX)
}

/// First and last line wanted, 1-based; (0, 0) of an empty file.
fn range(read: &FileRead, total: u64) -> Result<(u64, u64), Refusal> {
    let (first, last) = (read.start_line.unwrap_or(1), read.end_line.unwrap_or(u64::MAX));
    if first == 0 || last == 0 {
        return Err(invalid(
            "start_line and end_line count from 1",
            "Write 1 for the first line.",
        ));
    }
    if last < first {
        return Err(invalid(
            format!("end_line {last} is before start_line {first}"),
            "Give the smaller one as start_line.",
        ));
    }
    if total == 0 && read.start_line.is_none_or(|first| first == 1) {
        return Ok((0, 0));
    }
    if first > total {
        return Err(invalid(
            format!("start_line {first} is behind the end: the file has {total} lines"),
            format!("Ask for lines between 1 and {total}."),
        ));
    }
    Ok((first, last.min(total)))
}

/// Whole lines of a text, as many as fit.
struct Slice<'a> {
    text: &'a str,
    bytes: (u64, u64),
    lines: (u64, u64),
    /// Whether lines that were wanted are missing.
    cut: bool,
    /// Whether the last line given is itself cut.
    inside_line: bool,
}

impl<'a> Slice<'a> {
    fn of(text: &'a str, (first, last): (u64, u64), most: u64) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (mut start, mut end, mut line, mut given) = (0, 0, 0_u64, 0_u64);
        let (mut cut, mut inside_line) = (false, false);
        for piece in text.split_inclusive('\n') {
            line += 1;
            if line < first {
                start += piece.len();
                end = start;
                continue;
            }
            if line > last {
                break;
            }
            if end - start + piece.len() > most {
                cut = true;
                if given == 0 {
                    end = text.floor_char_boundary(start + most);
                    given = line;
                    inside_line = true;
                }
                break;
            }
            end += piece.len();
            given = line;
        }
        let offset = |at: usize| u64::try_from(at).unwrap_or(u64::MAX);
        Self {
            text: text.get(start..end).unwrap_or_default(),
            bytes: (offset(start), offset(end)),
            lines: if given == 0 { (0, 0) } else { (first, given) },
            cut,
            inside_line,
        }
    }

    fn note(&self, total: u64) -> Option<String> {
        let next = self.lines.1 + 1;
        let go_on = match next <= total {
            true => format!("go on with start_line {next}"),
            false => "that was the last line".to_owned(),
        };
        match (self.cut, self.inside_line) {
            (false, _) => None,
            (true, false) => Some(format!("Cut at the size limit: {go_on}.")),
            (true, true) => Some(format!(
                "Line {} is longer than the size limit and is cut: {go_on}.",
                self.lines.1
            )),
        }
    }
}
