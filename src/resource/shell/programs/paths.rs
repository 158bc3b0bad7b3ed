//! Arguments that name files.

use crate::call::Refusal;

use super::{refused, shown};

/// Takes a path that stays below the work folder by its letters, `-` (the input) and `/dev/null`.
/// Where a link leads is the sandbox's matter: it shows nothing else than the work folder.
///
/// # Errors
/// `program_refused`.
pub(super) fn check(path: &str) -> Result<(), Refusal> {
    const BELOW: &str = "Give a path below the work folder, such as src/main.rs or . for all of it.";
    if path == "/dev/null" {
        return Ok(());
    }
    if path.is_empty() {
        return Err(refused("A file name is empty.", BELOW));
    }
    if path.starts_with('/') {
        return Err(refused(format!("`{}` is an absolute path.", shown(path)), BELOW));
    }
    if path.starts_with('~') {
        return Err(refused(
            format!("`{}`: there is no home folder here.", shown(path)),
            BELOW,
        ));
    }
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => {
                return Err(refused(
                    format!("`{}` leads out of the work folder.", shown(path)),
                    BELOW,
                ));
            }
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    Ok(())
}
