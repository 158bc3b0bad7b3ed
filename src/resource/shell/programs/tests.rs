//! The table itself: well formed, and in agreement with the programs of this machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use super::options::Takes;
use super::table;
use super::{SHELL_WORDS, find, known};

#[test]
fn every_entry_is_well_formed_and_every_name_is_there_once() {
    let why = ["writes", "runs", "names", "waits", "follows", "devices", "sets"];
    let mut programs = BTreeSet::new();
    for program in table::programs() {
        assert!(programs.insert(program.name), "{} twice", program.name);
        assert!(known(program.name) && !SHELL_WORDS.contains(&program.name));
        let mut names = BTreeSet::new();
        for option in program.options() {
            if let Takes::Refused(reason) = option.takes {
                assert!(why.contains(&reason), "{}: !{reason}", program.name);
            }
            for name in option.names() {
                let is_letter = name.len() == 2 && name.starts_with('-') && name != "--";
                let is_long = name.len() > 3 && name.starts_with("--");
                assert!(is_letter || is_long, "{}: {name}", program.name);
                assert!(names.insert(name), "{}: {name} twice", program.name);
            }
        }
    }
    assert!(known("find") && known("jq") && !known("bash") && !known("xargs") && !known("git"));
}

/// What a program complains of when it is started with one argument and nothing to read.
#[expect(
    clippy::disallowed_methods,
    reason = "the programs say themselves what they take"
)]
fn complaint(folder: &Path, program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(argument)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// An option that takes a value where the table says it takes none, or the other way round, would make the next
/// word be read as something else than it is. So every option that is taken is tried on the program itself.
#[test]
fn the_table_takes_values_where_the_programs_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let (mut agreed, mut missing) = (0, Vec::new());
    let read_by_getopt = table::programs().iter().filter(|program| program.abbreviates);
    for (program, option) in
        read_by_getopt.flat_map(|program| program.options().map(move |option| (program, option)))
    {
        if matches!(option.takes, Takes::Refused(_)) {
            continue;
        }
        let wants = matches!(option.takes, Takes::Text | Takes::File);
        for name in option.names() {
            let Some(said) = complaint(folder.path(), program.name, name) else {
                continue;
            };
            if said.contains("unrecognized option") || said.contains("invalid option") {
                missing.push(format!("{} {name}", program.name));
                continue;
            }
            let nothing = option.takes == Takes::Nothing && name.starts_with("--");
            let with = if nothing {
                complaint(folder.path(), program.name, &format!("{name}=x"))
            } else {
                None
            };
            if said.contains("requires an argument") != wants
                || with.is_some_and(|said| !said.contains("doesn't allow an argument"))
            {
                wrong.push(format!(
                    "{} {name}: {:?}, it says {said}",
                    program.name, option.takes
                ));
            }
            agreed += 1;
        }
    }
    let figures = format!(
        "{agreed} options tried, unknown here: {missing:?}\n{}",
        wrong.join("\n")
    );
    println!("{figures}");
    assert!(wrong.is_empty() && agreed >= 300, "{figures}");
}

/// Whether `find` itself wants a value after a word.
#[expect(clippy::disallowed_methods, reason = "the program says itself what it takes")]
fn find_wants_a_value(folder: &Path, word: &str) -> bool {
    let output = Command::new("find")
        .args([".", word])
        .current_dir(folder)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let wants = [
        "missing argument",
        "invalid argument",
        "Arguments to",
        "needs an argument",
    ]
    .iter()
    .any(|one| error.contains(one));
    assert!(wants || output.status.success(), "{word}: {error}");
    wants
}

/// A word that takes no value where the list says it does would make what follows part of the expression.
#[test]
fn the_words_of_find_take_values_where_find_does() {
    let folder = tempfile::tempdir().unwrap();
    let tests = |word: &&&str| word.starts_with('-') && word.len() > 2;
    let joins = ["-not", "-and", "-or"];
    for word in find::ALONE
        .iter()
        .filter(tests)
        .filter(|word| !joins.contains(word))
    {
        assert!(!find_wants_a_value(folder.path(), word), "{word}");
    }
    let newer = ["-newermt", "-neweram", "-newercc"];
    for word in find::WITH_TEXT.iter().chain(find::WITH_FILE).chain(&newer) {
        assert!(find_wants_a_value(folder.path(), word), "{word}");
    }
}
