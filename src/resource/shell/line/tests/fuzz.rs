//! The reader against readers nobody here wrote: bash itself and tree-sitter's grammar.
//!
//! Every line made of bash's own fragments that [`read`] takes is run by a real bash in which the programs
//! are recorders: it has to start what we would start, with the same words, in the same order, also after
//! bash has printed the line again (`declare -f`). So our runner never runs what the reader did not see.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Programs of the fuzz: `p0` and `p1` end with 0, `f0` and `f1` with 1.
const RECORDERS: &[&str] = &["p0", "p1", "f0", "f1"];

/// What lines are made of, joined with nothing between.
const FRAGMENTS: &[&str] = &[
    "p0",
    "p1 ",
    "f0 ",
    " f1 ",
    "p0 ",
    "p1",
    " ",
    " ",
    "\t",
    "a",
    "b",
    "-x",
    "--long=v",
    "a.b/c",
    "é",
    "=",
    ":",
    "%",
    "@",
    "+",
    "^",
    ",",
    "]",
    "a#b",
    "#",
    "~",
    "!",
    " ! ",
    "a=b",
    " a=b ",
    "'",
    "\"",
    "\\",
    "''",
    "\"\"",
    "'a b'",
    "\"a b\"",
    "'$x'",
    "\"$x\"",
    "\"\\$x\"",
    "\"a\\b\"",
    "'a\\'",
    "\"a'b\"",
    "'a\"b'",
    "\\ ",
    "\\'",
    "\\\"",
    "\\\\",
    "\\;",
    "\\|",
    "\\$x",
    "'|'",
    "\"&&\"",
    "';'",
    "$x",
    "${x}",
    "$(p0)",
    "`p0`",
    "$((1))",
    "$'a'",
    "$\"a\"",
    "*",
    "?",
    "[a]",
    "{a,b}",
    "{1..2}",
    "{",
    "}",
    "(",
    ")",
    " | ",
    " && ",
    " || ",
    "; ",
    "|",
    "&&",
    "||",
    ";",
    "&",
    " & ",
    "|&",
    ";;",
    ">o",
    "<i",
    "2>&1",
    "<<E",
    "<<<a",
    "<(p0)",
    "\n",
    "\r",
    "if ",
    "then ",
    "fi",
    "time ",
    "coproc ",
    "function ",
    "[[ a ]]",
    "do ",
    "done",
    "in",
    "1",
    "2",
    "\u{a0}",
    "\u{200b}",
    "~+",
    "a:~",
];

/// Fragments a line can hold and still be taken; without them nearly every longer line would be refused.
const PLAIN: &[&str] = &[
    "p0 ", "p1 ", "f0 ", "f1 ", " ", "a", "b", "-x", "--long=v", "é", "=", ":", "%", "@", "+", "^", ",", "]",
    "a#b", " a=b ", "''", "\"\"", "'a b'", "\"a b\"", "'$x'", "\"\\$x\"", "\"a\\b\"", "'a\\'", "\"a'b\"",
    "'a\"b'", "\\ ", "\\'", "\\\"", "\\\\", "\\;", "\\|", "\\$x", "'|'", "\"&&\"", "';'", " | p0 ",
    " && p1 ", " || p0 ", "; f1 ", "|f0 ", "&&f1 ", "||p1 ", ";p0 ", " ! ", "'~'", "b~", "\\*", "'{a,b}'",
    "\"*\"", "\"!\"", "\t",
];

fn lines(count: usize) -> Vec<String> {
    let mixed = proptest::collection::vec(prop::sample::select(FRAGMENTS), 1..9);
    let plain = proptest::collection::vec(prop::sample::select(PLAIN), 1..14);
    let spiced = (plain.clone(), prop::sample::select(FRAGMENTS), plain.clone());
    let spiced = spiced.prop_map(|(before, one, after)| [before, vec![one], after].concat());
    let any = prop_oneof![mixed, plain, spiced].prop_map(|parts| parts.concat());
    let line = (prop::sample::select(&["", "p0 ", "f0 "][..]), any)
        .prop_map(|(start, rest)| format!("{start}{rest}"));
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    (0..count)
        .map(|_| line.new_tree(&mut runner).unwrap().current())
        .collect()
}

fn recorded(line: &str) -> Result<Line, Refusal> {
    let allowed = RECORDERS.iter().map(|name| (*name).to_owned()).collect();
    read(&run(None, Some(line.to_owned())), &allowed)
}

/// What our runner would start, pipeline by pipeline, by the recorders' statuses.
fn started(line: &Line) -> Vec<Vec<Vec<String>>> {
    let mut status = 0;
    let mut found = Vec::new();
    for step in &line.steps {
        let runs = match step.when {
            When::Always => true,
            When::OnSuccess => status == 0,
            When::OnFailure => status != 0,
        };
        if !runs {
            continue;
        }
        status = i32::from(step.pipeline.last().unwrap().program.starts_with('f'));
        let argvs = step.pipeline.iter();
        found.push(
            argvs
                .map(|argv| [vec![argv.program.clone()], argv.args.clone()].concat())
                .collect(),
        );
    }
    found
}

/// Runs every line of its input (each ended by NUL) as it is and once more as bash prints it, in a folder in
/// which patterns would match. Writes per run the records, then `end`; a record is the count of words and
/// the words, all ended by NUL. The recorders ignore the pipe's signal, so that none is cut short.
const DRIVER: &str = r#"
set -f; shopt -u expand_aliases; trap '' PIPE
record() { printf '%s\0' "$#" "$@" >> "$out"; }
for name in p0 p1 f0 f1; do eval "$name() { record $name \"\$@\"; [[ $name = p* ]]; }"; done
out=$PWD/records x='from $x'
mkdir work; cd work; : > a; : > b; : > ab
set +f
while IFS= read -r -d '' line; do
    ( bash() { :; }; eval "$line" ) < /dev/null > /dev/null 2>&1
    printf 'end\0' >> "$out"
    ( eval "again() { $line
}"; text=$(declare -f again); unset -f again; eval "$text"; again ) < /dev/null > /dev/null 2>&1
    printf 'end\0' >> "$out"
done
"#;

#[expect(
    clippy::disallowed_methods,
    reason = "bash is what the reader is compared with"
)]
fn bash() -> Command {
    Command::new("bash")
}

/// What bash starts for each line: as given, and as printed again.
fn bash_started(lines: &[&str]) -> Vec<Vec<Vec<String>>> {
    let folder = tempfile::tempdir().unwrap();
    let mut bash = bash();
    bash.args(["--norc", "--noprofile", "-c", DRIVER])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped());
    let mut child = bash.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in lines {
        input.write_all(line.as_bytes()).unwrap();
        input.write_all(b"\0").unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    let records = std::fs::read(folder.path().join("records")).unwrap();
    let mut words = records
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8(word.to_vec()).unwrap());
    let mut runs = Vec::new();
    let mut open = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "end" => runs.push(std::mem::take(&mut open)),
            "" => break,
            count => open.push(words.by_ref().take(count.parse().unwrap()).collect()),
        }
    }
    assert_eq!(runs.len(), lines.len() * 2, "a run of bash is missing");
    runs
}

/// The programs of a pipeline record themselves in any order.
fn same(expected: &[Vec<Vec<String>>], found: &[Vec<String>]) -> bool {
    let mut left = found;
    for pipeline in expected {
        let Some((these, rest)) = left.split_at_checked(pipeline.len()) else {
            return false;
        };
        let (mut these, mut pipeline) = (these.to_vec(), pipeline.clone());
        these.sort();
        pipeline.sort();
        if these != pipeline {
            return false;
        }
        left = rest;
    }
    left.is_empty()
}

/// How many commands tree-sitter's grammar sees; `None` where it sees an error.
fn commands(line: &str) -> Option<usize> {
    let mut parser = tree_sitter::Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).unwrap();
    let tree = parser.parse(line, None).unwrap();
    let mut open = vec![tree.root_node()];
    let mut count = 0;
    while let Some(node) = open.pop() {
        count += usize::from(node.kind() == "command");
        open.extend((0..node.child_count()).filter_map(|index| node.child(index)));
    }
    (!tree.root_node().has_error()).then_some(count)
}

fn compare(count: usize) {
    let lines = lines(count);
    let taken: Vec<(&str, Line)> = lines
        .iter()
        .filter_map(|line| Some((line.as_str(), recorded(line).ok()?)))
        .collect();
    let texts: Vec<&str> = taken.iter().map(|(line, _)| *line).collect();
    let bash = bash_started(&texts);
    let mut wrong = Vec::new();
    let mut unread = 0;
    for ((text, line), runs) in taken.iter().zip(bash.chunks(2)) {
        let expected = started(line);
        for run in runs {
            if !same(&expected, run) {
                wrong.push(format!("{text:?}: we {expected:?}, bash {run:?}"));
            }
        }
        let programs: usize = line.steps.iter().map(|step| step.pipeline.len()).sum();
        match commands(text) {
            Some(seen) if seen != programs => {
                wrong.push(format!("{text:?}: we {programs} programs, tree-sitter {seen}"));
            }
            Some(_) => {}
            None => unread += 1,
        }
    }
    let figures = format!(
        "{} of {} lines taken, {unread} of them an error to tree-sitter, {} read differently\n{}",
        taken.len(),
        lines.len(),
        wrong.len(),
        wrong.join("\n")
    );
    println!("{figures}");
    assert!(wrong.is_empty(), "{figures}");
    assert!(
        taken.len() * 10 >= lines.len() && unread * 20 <= taken.len(),
        "too few to tell: {figures}"
    );
}

#[test]
fn bash_starts_what_we_would_start_and_nothing_else() {
    compare(4_000);
}

#[test]
#[ignore = "minutes long; for whoever changes the reader or updates the parser"]
fn bash_starts_what_we_would_start_and_nothing_else_at_length() {
    compare(40_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is sent, there is an answer; the same text twice gets the same one.
    #[test]
    fn any_text_gets_an_answer(text in "(?s).{0,3000}", words in proptest::collection::vec("(?s).{0,40}", 0..20)) {
        prop_assert_eq!(verdict(&command(&text)), verdict(&command(&text)));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let _ = argv(&words);
        for program in INSPECTION {
            let _ = argv(&[&[*program], &words[..]].concat());
        }
    }

    /// Plain lines up to their bounds go through the grammar; both readers have to end, and to agree.
    #[test]
    fn a_long_plain_line_gets_an_answer(parts in proptest::collection::vec(prop::sample::select(PLAIN), 0..900)) {
        let text = parts.concat();
        let words = text.replace(['|', '&', ';'], "");
        for line in [format!("p0 {text}"), format!("p0 {words}")] {
            let _ = recorded(&line);
            if let Ok(split) = super::super::words::split(&line) {
                prop_assert_eq!(super::super::parse::parse(&line), Some(split));
            }
        }
    }

    /// The arguments of every known program, made of what options look like.
    #[test]
    fn any_option_gets_an_answer(words in proptest::collection::vec("-{0,3}[a-zA-Z0-9=+.,/ ~-]{0,6}", 0..8)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for program in INSPECTION {
            let _ = argv(&[&[*program], &words[..]].concat());
        }
    }
}

/// Deep nesting never reaches a parser that would recurse.
#[test]
fn deep_nesting_is_refused_before_it_is_parsed() {
    for opening in [
        "(", "{ ", "$(", "${x:-", "`", "\"$(", "[[ ", "if ", "! ", "<(", "$((", "{a,", "\\\"", "a|", "a&&",
    ] {
        for count in [100, 1000, 5000] {
            assert_eq!(
                verdict(&command(&opening.repeat(count))),
                "refused",
                "{opening:?} × {count}"
            );
        }
    }
    for words in ["! ", "if ", "a=b ", "\\\"", "'' ", "~x", "a=", "time "] {
        let line = format!("echo {}", words.repeat(16 * 1024 / words.len() - 1));
        let _ = command(&line);
        // Also if an operator allows what the grammar takes for its own words.
        let time = BTreeSet::from(["time".to_owned(), "echo".to_owned()]);
        assert!(read(&run(None, Some(format!("time {line}"))), &time).is_err());
    }
    let all: String = ["ls|", "ls&&", "ls||", "ls;"]
        .iter()
        .map(|one| one.repeat(8))
        .collect();
    let _ = command(&all);
}
