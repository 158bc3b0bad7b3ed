//! `jq` (1.6 and later): options, a filter, files. It writes nothing and starts nothing; what is refused
//! reads programs from files or looks at the environment.

use crate::call::Refusal;

use super::{paths, refused, shown};

const LETTERS: &str = "nrjacCMSsReh";

const ALONE: &[&str] = &[
    "--null-input",
    "--raw-output",
    "--join-output",
    "--raw-output0",
    "--ascii-output",
    "--compact-output",
    "--color-output",
    "--monochrome-output",
    "--sort-keys",
    "--slurp",
    "--raw-input",
    "--exit-status",
    "--tab",
    "--stream",
    "--stream-errors",
    "--seq",
    "--unbuffered",
    "--help",
    "--version",
];

/// What a filter could say that looks outside of its input; `$ENV` may be written with a blank inside.
const OUTSIDE: &[&str] = &["env", "ENV", "import", "include", "modulemeta", "get_search_list"];

/// The arguments, understood.
///
/// # Errors
/// `program_refused`, naming the first word that is not taken.
pub(super) fn inspect(args: &[String]) -> Result<Vec<String>, Refusal> {
    let mut words = args.iter();
    let (mut has_filter, mut are_files) = (false, true);
    while let Some(word) = words.next() {
        let mut value = || {
            words.next().ok_or_else(|| {
                refused(
                    format!("`{}` of `jq` needs a value.", shown(word)),
                    "Put the value after it.",
                )
            })
        };
        match word.as_str() {
            "--args" | "--jsonargs" => are_files = false,
            "--indent" => drop(value()?),
            "--arg" | "--argjson" => {
                value()?;
                value()?;
            }
            "--slurpfile" | "--rawfile" => {
                value()?;
                paths::check(value()?)?;
            }
            option if ALONE.contains(&option) || is_cluster(option) => {}
            option if option.starts_with('-') => return Err(unknown(option)),
            filter if !has_filter => {
                inside(filter)?;
                has_filter = true;
            }
            file if are_files => paths::check(file)?,
            _ => {}
        }
    }
    Ok(args.to_vec())
}

fn is_cluster(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    !letters.is_empty() && letters.chars().all(|letter| LETTERS.contains(letter))
}

fn unknown(option: &str) -> Refusal {
    refused(
        format!("`{}` of `jq` is not taken here.", shown(option)),
        "Write the filter as an argument. Options that are: -n -r -j -a -c -C -M -S -s -R -e --arg --argjson \
         --slurpfile --rawfile --args --tab --indent.",
    )
}

/// Refuses a filter that names something outside of its input. A name after a dot is a field, and one in
/// quotes a text.
fn inside(filter: &str) -> Result<(), Refusal> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut before = ' ';
    for part in filter.split_inclusive(|c| !is_name(c)) {
        let name = part.trim_end_matches(|c| !is_name(c));
        if OUTSIDE.contains(&name) && !matches!(before, '.' | '"') {
            return Err(refused(
                format!("`{name}` in a filter of `jq` looks outside of its input."),
                "Leave it out; pass values with --arg.",
            ));
        }
        before = part.chars().last().filter(|c| !is_name(*c)).unwrap_or(' ');
    }
    Ok(())
}
