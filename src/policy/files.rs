//! Reading what decides over others: only files that nobody else could have changed.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::load::Fault;
use crate::ownership::{Exposure, unwritable};

/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// One file as it was read, once: what is checked is what is used.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Folder and file name, for messages.
    pub(super) path: PathBuf,
    /// The file's name alone.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
}

/// The files of a folder whose name ends in `.<extension>`, by name. Hidden files are skipped.
///
/// # Errors
/// One [`Fault`] per file (or for the folder) that cannot be read or that another user could change.
pub(super) fn read_folder(dir: &Path, extension: &str) -> Result<Vec<Source>, Vec<Fault>> {
    let unreadable = |error: &std::io::Error| {
        vec![Fault::new(
            dir,
            0,
            format!("this folder cannot be read: {error}"),
            "Create it, or correct [policies] in the configuration.",
        )]
    };
    let metadata = fs::metadata(dir).map_err(|error| unreadable(&error))?;
    unwritable(dir, &metadata).map_err(|wrong| vec![exposed(dir, wrong)])?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| unreadable(&error))? {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    let mut sources = Vec::new();
    let mut faults = Vec::new();
    for path in paths {
        match read(&path) {
            Ok(source) => sources.push(source),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(sources)
    } else {
        Err(faults)
    }
}

fn read(path: &Path) -> Result<Source, Fault> {
    let unreadable = |error: &std::io::Error| {
        Fault::new(
            path,
            0,
            format!("cannot be read: {error}"),
            "Make it a readable UTF-8 text file.",
        )
    };
    // Looked at before it is opened, because opening a named pipe would wait for its writer.
    if !fs::metadata(path).map_err(|error| unreadable(&error))?.is_file() {
        return Err(Fault::new(
            path,
            0,
            "is not a file",
            "Rename it, or replace it by a file.",
        ));
    }
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    // Asked of the open file, so that it cannot be exchanged between the look and the reading.
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    unwritable(path, &metadata).map_err(|wrong| exposed(path, wrong))?;
    let mut text = String::new();
    file.take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(&error))?;
    if text.len() as u64 > FILE_MAX {
        return Err(Fault::new(
            path,
            0,
            format!("is larger than {FILE_MAX} bytes"),
            "Split it into several files.",
        ));
    }
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(Source {
        path: path.to_owned(),
        name,
        text,
    })
}

/// Refuses what another user of this machine could have written.
fn exposed(path: &Path, wrong: Exposure) -> Fault {
    Fault::new(path, 0, format!("it {}", wrong.what), wrong.remedy)
}
