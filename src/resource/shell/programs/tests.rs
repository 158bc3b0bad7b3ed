//! The table itself: well formed, and in agreement with the programs of this machine.

use std::collections::BTreeSet;

use super::options::Takes;
use super::table::{self, Program};
use super::{SHELL_WORDS, known};

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

/// What `--help` says of an option: its name and what it takes. `None` for what is no plain option.
fn said(part: &str) -> Option<(String, Takes)> {
    let is_name = |name: &str| {
        name.len() > 1
            && !name
                .chars()
                .any(|c| c.is_ascii_uppercase() && name.starts_with("--"))
    };
    let (name, takes) = if let Some((name, _)) = part.split_once("[=") {
        (name, Takes::Maybe)
    } else if let Some((name, _)) = part.split_once('=') {
        (name, Takes::Text)
    } else {
        (part, Takes::Nothing)
    };
    let is_option = name.starts_with("--") && is_name(name) && !name.contains([' ', '[', '<']);
    is_option.then(|| (name.to_owned(), takes))
}

/// The options that a `--help` lists, one column on the left of each line.
fn listed(help: &str) -> Vec<(String, Takes)> {
    let mut found: Vec<(String, Takes)> = Vec::new();
    for line in help
        .lines()
        .filter(|line| line.starts_with(' ') && line.trim_start().starts_with('-'))
    {
        let column = line.trim_start().split("  ").next().unwrap();
        for (name, takes) in column.split(", ").filter_map(said) {
            match found.iter_mut().find(|(one, _)| *one == name) {
                // `--check, --check=quiet`
                Some((_, before)) if *before != takes => *before = Takes::Maybe,
                Some(_) => {}
                None => found.push((name, takes)),
            }
        }
    }
    found
}

#[expect(
    clippy::disallowed_methods,
    reason = "the programs say themselves what they take"
)]
fn help(program: &Program) -> Option<String> {
    let output = std::process::Command::new(program.name)
        .arg("--help")
        .output()
        .ok()?;
    let help = String::from_utf8(output.stdout).ok()?;
    help.contains("GNU").then_some(help)
}

/// An option that takes a value where the table says it takes none, or the other way round, would make the next
/// word be read as something else than it is.
#[test]
fn the_table_takes_values_where_the_programs_do() {
    let mut wrong = Vec::new();
    let (mut programs, mut options) = (0, 0);
    for program in table::programs() {
        let Some(help) = help(program) else { continue };
        let listed = listed(&help);
        programs += usize::from(!listed.is_empty());
        for (name, says) in listed {
            let Some(option) = program
                .options()
                .find(|option| option.names().any(|one| one == name))
            else {
                continue; // refused as unknown
            };
            options += 1;
            let takes = match option.takes {
                Takes::Refused(_) => continue,
                Takes::File => Takes::Text,
                takes => takes,
            };
            if takes != says {
                wrong.push(format!("{} {name}: {takes:?}, it says {says:?}", program.name));
            }
        }
    }
    let figures = format!("{options} options of {programs} programs\n{}", wrong.join("\n"));
    println!("{figures}");
    assert!(wrong.is_empty() && programs >= 10 && options >= 100, "{figures}");
}
