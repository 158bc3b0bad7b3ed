//! `find` (GNU findutils 4): starting points, then an expression whose words have no abbreviations. Only
//! tests and what prints are taken.

use crate::call::Refusal;

use super::{paths, refused, shown};

/// Words of an expression that stand alone.
pub(super) const ALONE: &[&str] = &[
    "(",
    ")",
    "!",
    ",",
    "-not",
    "-a",
    "-and",
    "-o",
    "-or",
    "-true",
    "-false",
    "-daystart",
    "-depth",
    "-d",
    "-mount",
    "-xdev",
    "-noleaf",
    "-ignore_readdir_race",
    "-noignore_readdir_race",
    "-warn",
    "-nowarn",
    "-empty",
    "-executable",
    "-readable",
    "-writable",
    "-nouser",
    "-nogroup",
    "-print",
    "-print0",
    "-ls",
    "-prune",
    "-quit",
    "-help",
    "--help",
    "-version",
    "--version",
];

/// Words that take the next one as data.
pub(super) const WITH_TEXT: &[&str] = &[
    "-name",
    "-iname",
    "-path",
    "-ipath",
    "-wholename",
    "-iwholename",
    "-regex",
    "-iregex",
    "-regextype",
    "-lname",
    "-ilname",
    "-type",
    "-xtype",
    "-size",
    "-mtime",
    "-atime",
    "-ctime",
    "-mmin",
    "-amin",
    "-cmin",
    "-maxdepth",
    "-mindepth",
    "-perm",
    "-user",
    "-group",
    "-uid",
    "-gid",
    "-links",
    "-inum",
    "-used",
    "-fstype",
    "-printf",
];

/// Words that take the next one as a file to compare with.
pub(super) const WITH_FILE: &[&str] = &["-newer", "-anewer", "-cnewer", "-samefile"];

/// Words that are not taken, and why.
const REFUSED: &[(&[&str], &str)] = &[
    (&["-exec", "-execdir", "-ok", "-okdir"], "starts another program"),
    (&["-delete"], "deletes files"),
    (&["-fprint", "-fprint0", "-fprintf", "-fls"], "writes a file"),
    (&["-files0-from"], "takes where to begin from a file"),
    (&["-L", "-H", "-follow"], "follows links"),
];

/// The arguments, understood.
///
/// # Errors
/// `program_refused`, naming the first word that is not taken.
pub(super) fn inspect(args: &[String]) -> Result<Vec<String>, Refusal> {
    let mut words = args.iter().peekable();
    // Before the starting points; there is no other place for them.
    while words.next_if(|word| is_leading(word)).is_some() {}
    while let Some(start) = words.next_if(|word| !begins_expression(word)) {
        paths::check(start)?;
    }
    while let Some(word) = words.next() {
        let name = word.as_str();
        if let Some((_, why)) = REFUSED.iter().find(|(names, _)| names.contains(&name)) {
            return Err(refused(
                format!("`{name}` of `find` {why}."),
                "Leave it out: find prints what it finds, and the next program of a | can look at it.",
            ));
        }
        if ALONE.contains(&name) {
            continue;
        }
        let is_file = WITH_FILE.contains(&name) || newer_than_a_file(name) == Some(true);
        if !is_file && !WITH_TEXT.contains(&name) && newer_than_a_file(name).is_none() {
            return Err(refused(
                format!("`{}` of `find` is not taken here.", shown(name)),
                "Put the folders first, then tests such as -name -type -size -mtime -maxdepth, and -print.",
            ));
        }
        let Some(value) = words.next() else {
            return Err(refused(
                format!("`{name}` of `find` needs a value."),
                "Put the value after it.",
            ));
        };
        if is_file {
            paths::check(value)?;
        }
    }
    Ok(args.to_vec())
}

/// `-P` (links are not followed, as by default) and the optimiser's levels.
fn is_leading(word: &str) -> bool {
    matches!(word, "-P" | "-O0" | "-O1" | "-O2" | "-O3")
}

fn begins_expression(word: &str) -> bool {
    (word.starts_with('-') && word != "-") || matches!(word, "(" | ")" | "!" | ",")
}

/// Of `-newerXY`: whether Y names a file; `None` for other words.
fn newer_than_a_file(word: &str) -> Option<bool> {
    let mut letters = word.strip_prefix("-newer")?.chars();
    let (of, than, rest) = (letters.next()?, letters.next()?, letters.next());
    match rest.is_none() && "aBcm".contains(of) {
        true if than == 't' => Some(false),
        true if "aBcm".contains(than) => Some(true),
        _ => None,
    }
}
