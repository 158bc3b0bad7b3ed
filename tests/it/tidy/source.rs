//! Reading Rust by its lines: rustfmt has been over every file, so this is enough.

use std::collections::BTreeSet;

use regex::Regex;

/// The text without comments and without its test module.
pub(super) fn production(text: &str) -> String {
    let mut lines = Vec::new();
    let mut rest = text.lines().peekable();
    while let Some(line) = rest.next() {
        let in_tests =
            line == "#[cfg(test)]" && rest.peek().is_some_and(|next| next.starts_with("mod tests"));
        if in_tests {
            // A test module is closed by the first brace in the first column.
            if !rest.next().is_some_and(|head| head.ends_with(';')) {
                rest.by_ref().find(|line| *line == "}");
            }
        } else if !line.trim_start().starts_with("//") {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// Name and length in lines of every function that has a body of its own lines.
pub(super) fn functions(text: &str) -> Vec<(String, usize)> {
    let head = Regex::new(
        r"^(\s*)(?:pub(?:\([\w: ]+\))? )?(?:const )?(?:async )?(?:unsafe )?(?:extern \S+ )?fn (\w+)",
    )
    .unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(parts) = head.captures(line) else {
            continue;
        };
        if line.ends_with(['}', ';']) {
            continue; // all on one line, or only declared
        }
        let close = format!("{}}}", &parts[1]);
        let signature = format!("{})", &parts[1]);
        let declared = |line: &str| line.starts_with(&signature) && line.ends_with(';');
        let end = lines[start..]
            .iter()
            .position(|line| *line == close || declared(line));
        if let Some(end) = end.filter(|end| lines[start + end] == close) {
            found.push((parts[2].to_owned(), end + 1));
        }
    }
    found
}

/// The top-level module a file belongs to: `src/policy/load.rs` is in `policy`.
pub(super) fn module(name: &str) -> &str {
    let path = name.trim_start_matches("src/");
    path.split(['/', '.']).next().unwrap_or_default()
}

/// The modules of this crate that a text names, in `use` or in a path.
pub(super) fn used_modules(text: &str) -> BTreeSet<String> {
    let plain = Regex::new(r"\bcrate::(\w+)").unwrap();
    let group = Regex::new(r"\bcrate::\{").unwrap();
    let mut used: BTreeSet<String> = plain
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect();
    for found in group.find_iter(text) {
        used.extend(first_words(text.split_at(found.end()).1));
    }
    used
}

/// The first word of each item in a brace group whose opening brace is behind us.
fn first_words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut depth = 1;
    let mut word = String::new();
    let mut taken = false;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && (c.is_alphanumeric() || c == '_') && !taken {
            word.push(c);
        } else if !word.is_empty() {
            words.insert(std::mem::take(&mut word));
            taken = true;
        }
        if depth == 1 && c == ',' {
            taken = false;
        }
        if depth == 0 {
            break;
        }
    }
    words
}

#[test]
fn the_reader_reads() {
    let text = "use crate::{audit::{Audit, Entry}, gate, tool::Tools};\nuse crate::policy::Permit;\n";
    let used: Vec<String> = used_modules(text).into_iter().collect();
    assert_eq!(used, ["audit", "gate", "policy", "tool"]);
    assert_eq!(module("src/policy/load.rs"), "policy");
    assert_eq!(module("src/gate.rs"), "gate");

    let text = "fn one() {}\nfn two(\n    a: u8,\n) -> u8 {\n    a\n}\ntrait T {\n    fn three(&self);\n    fn four(\n        &self,\n    );\n    fn five() {\n    }\n}\n";
    assert_eq!(functions(text), [("two".to_owned(), 5), ("five".to_owned(), 2)]);

    let text =
        "//! crate::gate\nfn a() {}\n#[cfg(test)]\nmod tests {\n    use crate::gate;\n}\nuse crate::call;\n";
    let used: Vec<String> = used_modules(&production(text)).into_iter().collect();
    assert_eq!(used, ["call"]);
}
