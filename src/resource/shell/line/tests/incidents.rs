//! Rows of the incident list: what got past others has to be refused or be a script here.

use super::*;

fn never_an_inspection(lines: &[&str]) {
    for line in lines {
        assert_ne!(verdict(&command(line)), "inspection", "{line:?}");
    }
}

/// Row 35 (CVE-2025-11491): a substitution or a line break past a list of blocked commands.
#[test]
fn incident_35_no_substitution_and_no_second_line() {
    let lines = [
        "echo $(id)",
        "echo `id`",
        "echo \"$(id)\"",
        "echo \"`id`\"",
        "ls\nid",
        "ls\r\nid",
        "ls\rid",
        "ls \\\nid",
        "cat <(id)",
        "echo ${x:-$(id)}",
    ];
    for line in lines {
        assert_eq!(verdict(&command(line)), "refused", "{line:?}");
    }
    // As an argv the same letters are data.
    let data = argv(&["echo", "$(id)"]).unwrap();
    assert_eq!(words(&data), [["echo", "$(id)"]]);
}

/// Row 36: only the first word was looked at, and it may run the rest.
#[test]
fn incident_36_every_program_of_a_line_is_looked_at() {
    never_an_inspection(&[
        "sh -c id",
        "ls; sh -c id",
        "ls && bash -c 'rm -rf .'",
        "ls || python3 -c 'import os'",
        "ls | sh",
        "cat x | xargs rm",
        "env ls",
        "timeout 1 sh",
    ]);
    assert_eq!(verdict(&command("ls; zsh -c id")), "refused");
    assert_eq!(verdict(&command("ls | /bin/sh")), "refused");
}

/// Row 37 (CVE-2025-59377, CVE-2025-59376): `shell=True`, only the first token checked.
#[test]
fn incident_37_what_follows_the_first_word_has_no_shell_to_act_in() {
    for line in [
        "ls;id",
        "ls|id",
        "ls&&id",
        "ls||id",
        "ls&id",
        "ls|&id",
        "ls>x",
        "ls $IFS",
        "ls -la;curl x",
    ] {
        assert_eq!(verdict(&command(line)), "refused", "{line:?}");
    }
    let data = argv(&["ls", "--", ";id", "|id", "$(id)"]).unwrap();
    assert_eq!(data.steps.len(), 1, "one program, whatever its words hold");
}

/// Row 39: `name="--server=https://evil"`: a value that is read as an option.
#[test]
fn incident_39_a_value_cannot_become_an_option() {
    for words in [
        &["cat", "--server=https://evil.example"][..],
        &["sort", "--compress-program=sh"],
        &["find", "-exec"],
        &["rg", "x", "--pre=sh"],
        &["grep", "x", "--file=/etc/passwd"],
    ] {
        assert_eq!(verdict(&argv(words)), "refused", "{words:?}");
    }
    // After `--` it is a file's name.
    let named = argv(&["cat", "--", "--server=x"]).unwrap();
    assert_eq!(words(&named), [["cat", "--", "--server=x"]]);
}

/// Row 40 (CVE-2025-53355): free text put into a command line.
#[test]
fn incident_40_text_stays_one_word() {
    for text in ["x; id", "x' ; id '", "x\" && id \"", "x\nid", "$(id)", "--", "-"] {
        let line = argv(&["grep", "-F", "-e", text, "log"]).unwrap();
        assert_eq!(words(&line), [["grep", "-F", "-e", text, "log"]]);
    }
}

/// Row 22: `terraform destroy` and its like are nothing an inspection can be.
#[test]
fn incident_22_what_destroys_is_no_inspection() {
    never_an_inspection(&[
        "terraform destroy -auto-approve",
        "rm -rf .",
        "find . -delete",
        "find . -type f -exec rm {} ;",
        "git push --force",
        "make clean",
        "truncate -s 0 x",
        "dd if=/dev/zero of=x",
    ]);
}

/// H7: arguments and environment went around what was looked at. There is one text, all of it is in the
/// facts, and a variable cannot be set.
#[test]
fn h7_every_argument_is_in_the_facts_and_no_variable_can_be_set() {
    let line = argv(&["python3", "-c", "print(1)", "--", "rm -rf /"]).unwrap();
    let facts = facts(&line, false);
    assert_eq!(facts.kind, "script");
    assert_eq!(facts.commands, [["python3", "-c", "print(1)", "--", "rm -rf /"]]);
    for line in [
        "LD_PRELOAD=x ls",
        "PATH=. ls",
        "GIT_DIR=x git log",
        "A=1 B=2 ls",
        "A+=1 ls",
        "PATH=.",
    ] {
        assert_eq!(verdict(&command(line)), "refused", "{line}");
    }
}
