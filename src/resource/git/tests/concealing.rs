//! What an answer masks, a search must neither match nor cut open.

use super::support::*;
use crate::call::{CallId, Code, RawOutput};
use crate::mask::Mask;

/// Made up, in the shape of a token. The checks of the mask want it to look random.
const TOKEN: &str = "ghp_R7tK2mXq9LwZ4vNc8PbY3sHd6JfG1aUeQk50";
const PASSWORD: &str = "vK9#tq2LxP";

fn offered(answer: Answer) -> String {
    Mask::new()
        .output(&CallId::new(0, &[7; 10]), RawOutput::new(answer.data).unwrap())
        .envelope()
        .to_string()
}

fn minified() -> Vec<u8> {
    let filler = "var a=1;".repeat(60);
    let mut line = format!("{filler}x={{token:\"{TOKEN}\",password:\"{PASSWORD}\"}};");
    // Places to match at, one for each character.
    for n in 0..900 {
        line.push_str(&format!("~{n:03}"));
    }
    line.push('\n');
    line.into_bytes()
}

#[test]
fn no_cut_of_a_long_line_shows_a_secret_without_what_made_it_one() {
    let line = minified();
    let repository = Fixture::with(&[("app.min.js", &line)]).open();
    for shift in 0..4 {
        for n in 0..80 {
            let pattern = format!("{n:03}~").get(shift..).unwrap().to_owned() + &format!("{:03}", n + 1);
            let shown = offered(search(&repository, &pattern).unwrap());
            for secret in [TOKEN, PASSWORD] {
                for piece in secret.as_bytes().windows(6) {
                    let piece = std::str::from_utf8(piece).unwrap();
                    assert!(!shown.contains(piece), "{pattern}: {piece}");
                }
            }
        }
    }
}

#[test]
fn a_search_does_not_tell_what_is_in_a_secret() {
    let text = format!("// settings\ntoken = \"{TOKEN}\"\npassword: {PASSWORD}\n");
    let repository = Fixture::with(&[("settings", text.as_bytes())]).open();
    let hits = |pattern: &str| {
        let answer = search_regex(&repository, pattern).unwrap();
        answer.data["matches"].as_array().unwrap().len()
    };
    for guess in [
        "ghp_R",
        "ghp_Z",
        "R7tK",
        "vK9#",
        "xx9#",
        "e(?:R7|XX)",
        "[0-9]tK",
        "50\"",
        "51\"",
    ] {
        assert_eq!(hits(guess), 0, "{guess}");
    }
    // Whatever else a pattern offers, the answer is the same for a right guess and a wrong one.
    for (right, wrong) in [
        ("ghp_R|settings", "ghp_Z|settings"),
        ("token.*ghp_R|token", "token.*ghp_Z|token"),
        ("token = \"(?:\\B|ghp_R)", "token = \"(?:\\B|ghp_Z)"),
        ("token = \"(?:\\b|ghp_R)", "token = \"(?:\\b|ghp_Z)"),
        ("token = \"(?:$|ghp_R)", "token = \"(?:$|ghp_Z)"),
        ("^(?:token = \"ghp_R)?", "^(?:token = \"ghp_Z)?"),
        (".{30}", "[^\\n]{30}"),
    ] {
        let told = |pattern: &str| search_regex(&repository, pattern).unwrap().data["matches"].clone();
        assert_eq!(told(right), told(wrong), "{right}");
    }
    // What surrounds it is found, and the mask is in its place.
    let around = offered(search(&repository, "token = ").unwrap());
    assert!(around.contains("[masked:"), "{around}");
    assert_eq!(hits("masked"), 0);
}

#[test]
fn patterns_on_bytes_are_refused_because_they_could_match_a_mask() {
    let repository = Fixture::with(&[("a", b"text")]).open();
    for pattern in ["(?-u:\\xFF)", "(?s-u:.)", "(?-u)[^a]"] {
        let refusal = search_regex(&repository, pattern).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidArguments, "{pattern}");
    }
    assert!(search_regex(&repository, "(?-u:\\w)+").is_ok());
}
