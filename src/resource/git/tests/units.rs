//! Small parts by themselves: spelling, folding, patterns.

use proptest::prelude::*;

use super::super::hidden::{Rules, fold};
use super::super::objects::Kind;
use super::super::path::{TreePath, addressable, show};
use super::support::Fixture;

proptest! {
    #[test]
    fn a_shown_path_names_the_same_bytes(names in prop::collection::vec(prop::collection::vec(1_u8..=255, 1..12), 1..4)) {
        prop_assume!(names.iter().all(|name| addressable(name)));
        let raw = names.join(&b'/');
        let parsed = TreePath::parse(&show(&raw)).unwrap();
        prop_assert_eq!(parsed.bytes(), raw.as_slice());
    }

    #[test]
    fn percent_signs_and_digits_are_unambiguous(name in "[%0-9A-Fa-f\\u{ff}\\n]{1,12}") {
        let parsed = TreePath::parse(&show(name.as_bytes())).unwrap();
        prop_assert_eq!(parsed.bytes(), name.as_bytes());
    }

    #[test]
    fn two_paths_never_look_the_same(a in prop::collection::vec(1_u8..=255, 1..6), b in prop::collection::vec(1_u8..=255, 1..6)) {
        prop_assert_eq!(a == b, show(&a) == show(&b));
    }
}

#[test]
fn one_spelling_per_path() {
    for (text, shown) in [
        ("100%", "100%"),
        ("a%25FF", "a%25FF"),
        ("a%FFb", "a%FFb"),
        ("%0A", "%0A"),
    ] {
        assert_eq!(TreePath::parse(text).unwrap().shown(), shown);
    }
    for other in [
        "%61",
        "a%ffb",
        "%2Eenv",
        "a%2Fb",
        "%00",
        "a\nb",
        "a\u{202e}b",
        "caf%C3%A9",
    ] {
        assert!(TreePath::parse(other).is_err(), "{other:?}");
    }
    for bad in [
        "/a", "a/", "a//b", "./a", "a/./b", "../a", "a/..", ".", "/", "a\0b", "%2E%2E/a", "a/%2E%2E",
    ] {
        assert!(TreePath::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(TreePath::parse("a\\..\\b").unwrap().components().count(), 1);
}

#[test]
fn folding_ignores_case_composition_and_what_nobody_sees() {
    for (a, b) in [
        (".ENV", ".env"),
        ("SÉCRETS", "se\u{301}crets"),
        ("ſecrets", "secrets"),
        ("STRASSE", "straße"),
        (".e\u{200b}nv", ".env"),
        ("\u{212a}ey", "key"),
    ] {
        assert_eq!(fold(a.as_bytes()), fold(b.as_bytes()), "{a} {b}");
    }
    assert_eq!(fold(b"A\xff.PEM"), b"A\xff.PEM".to_ascii_lowercase());
}

fn hidden(rules: &Rules, path: &str, kind: Kind) -> bool {
    let mut seen = String::new();
    let names: Vec<&str> = path.split('/').collect();
    names.iter().enumerate().any(|(at, name)| {
        if at > 0 {
            seen.push('/');
        }
        seen.push_str(name);
        let kind = if at + 1 == names.len() { kind } else { Kind::Folder };
        rules.hides(&fold(seen.as_bytes()), &fold(name.as_bytes()), kind)
    })
}

const PATTERN_SETS: &[&[&str]] = &[
    &["secrets/"],
    &["*.pem", "!public.pem"],
    &["/top.txt", "a/b.txt"],
    &["**/deep/x", "docs/**", "a/**/z"],
    &["foo*bar", "?x", "[ab]c", "[!ab]d", "[[:digit:]]e", "[a-c]f"],
    &["trail ", "keep\\ ", "\\!bang", "\\#hash"],
    &["id_rsa*", "x.", "*.", "{a,b}.txt"],
    &["*", "!*/", "!*.rs"],
    &["/*", "!/src", "/src/*", "!/src/main"],
    &["a/", "!a/keep"],
    &["**/", "!keep"],
    &["***/q", "w/***", "e**f"],
    &["dir/*/leaf", "/anch/"],
];

const PATHS: &[&str] = &[
    "secrets/a",
    "x/secrets/b",
    "secrets",
    "a.pem",
    "public.pem",
    "d/public.pem",
    "top.txt",
    "d/top.txt",
    "a/b.txt",
    "d/a/b.txt",
    "deep/x",
    "p/deep/x",
    "docs/a",
    "docs/a/b",
    "a/z",
    "a/m/z",
    "a/m/n/z",
    "fooxbar",
    "foobar",
    "foo/bar",
    "qx",
    "ac",
    "cd",
    "ad",
    "5e",
    "bf",
    "df",
    "trail",
    "trail ",
    "keep ",
    "!bang",
    "#hash",
    "id_rsa",
    "id_rsa.",
    "x.",
    "y/x.",
    "a.txt",
    "{a,b}.txt",
    "main.rs",
    "m.c",
    "src/main",
    "src/lib",
    "src/main/deep",
    "a/keep",
    "keep",
    "z/q",
    "w/1/2",
    "eef",
    "exxf",
    "dir/1/leaf",
    "dir/1/2/leaf",
    "anch/a",
    "b/anch/a",
];

/// `git check-ignore` is the judge of what gitignore(5) means.
#[test]
fn patterns_mean_what_git_says() {
    let fixture = Fixture::bare();
    for set in PATTERN_SETS {
        let owned: Vec<String> = set.iter().map(|pattern| (*pattern).to_owned()).collect();
        let rules = Rules::new(&owned).unwrap();
        let tree = tempfile::tempdir_in(fixture.folder.path()).unwrap();
        let at = tree.path().to_str().unwrap();
        fixture.git(&["init", "-q", at]);
        std::fs::write(tree.path().join(".gitignore"), format!("{}\n", set.join("\n"))).unwrap();
        let arguments: Vec<&str> = ["-C", at, "check-ignore", "--no-index", "-v", "-n"]
            .iter()
            .copied()
            .chain(PATHS.iter().copied())
            .collect();
        let report = fixture.git_lenient(&arguments);
        for (line, path) in report.lines().zip(PATHS) {
            let (rule, _) = line.split_once('\t').unwrap();
            let pattern = rule.splitn(3, ':').nth(2).unwrap();
            let expected = !pattern.is_empty() && !pattern.starts_with('!');
            assert_eq!(
                hidden(&rules, path, Kind::File),
                expected,
                "{set:?} on {path}: git says {line}"
            );
        }
        assert_eq!(report.lines().count(), PATHS.len());
    }
}

#[test]
fn a_pattern_that_cannot_be_meant_is_refused() {
    for bad in ["", "/", "!", "a[", "a\\", "[[:nope:]]", "[z-a]", "a\nb", "!/"] {
        assert!(Rules::new(&[bad.to_owned()]).is_err(), "{bad:?}");
    }
    assert!(Rules::new(&["# a comment".to_owned()]).unwrap().is_empty());
}
