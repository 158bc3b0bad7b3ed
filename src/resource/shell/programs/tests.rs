//! The table itself: well formed, and in agreement with the programs of this machine.

use std::collections::BTreeSet;

use super::options::Takes;
use super::table;
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
