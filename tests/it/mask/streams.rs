//! A text in pieces gives what the whole text gives; hostile texts cost no more than their length.

#![expect(clippy::indexing_slicing, reason = "helpers of tests fail loudly")]

use proptest::prelude::*;
use tollgate::mask::Mask;

use super::recall::cases;
use super::samples::{Random, key_block, key_body};

/// Feeds a text in pieces of the given lengths (in bytes, again and again).
fn streamed(mask: &Mask, text: &str, lengths: &[usize]) -> String {
    let mut stream = mask.stream();
    let mut out = String::new();
    let mut rest = text.as_bytes();
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*length).clamp(1, rest.len()));
        out += &stream.push_bytes(piece);
        rest = after;
    }
    out + &stream.finish().0
}

/// Pieces may stand right beside each other (`glue` is empty) or apart. A text of lines, secrets, keys, halves of keys, certificates and noise.
fn text(seed: u64, pieces: usize, glue: &str) -> String {
    let mut random = Random::new(seed);
    let secrets = cases(&mut random);
    let mut text = String::new();
    for _ in 0..pieces {
        let piece = match random.below(12) {
            0 => key_block(&mut random, "PRIVATE", 3),
            1 => key_body(&mut random, 2).join("\n"),
            2 => format!("-----END {} KEY-----", "PRIVATE"),
            3 => format!("-----BEGIN {} KEY-----", "RSA PRIVATE"),
            4 => format!(
                "-----BEGIN CERTIFICATE-----\n{}\n",
                key_body(&mut random, 2).join("\n")
            ),
            5 => "é ü 漢字 🙂 ".to_owned(),
            6 => random.url(30),
            7 => String::new(),
            _ => secrets[random.below(secrets.len())].text.clone(),
        };
        text += &piece;
        text += ["\n", "\n", "\n", " ", "\r\n", glue][random.below(6)];
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_give_what_the_whole_gives(
        seed in any::<u64>(),
        pieces in 1..40_usize,
        lengths in prop::collection::vec(1..200_usize, 1..6),
    ) {
        let mask = Mask::new();
        let text = text(seed, pieces, "");
        prop_assert_eq!(streamed(&mask, &text, &lengths), mask.text(&text));
    }

    #[test]
    fn masking_twice_is_masking_once(seed in any::<u64>(), pieces in 1..40_usize) {
        let mask = Mask::new();
        // A mask between two secrets that touched makes a border that was not there before.
        let once = mask.text(&text(seed, pieces, " ")).into_owned();
        let twice = mask.text(&once).into_owned();
        for (left, right) in twice.lines().zip(once.lines()) {
            prop_assert_eq!(left, right);
        }
        prop_assert_eq!(twice, once);
    }
}

/// Where a certificate was cut off, what comes behind it is not one.
#[test]
fn the_end_of_a_key_is_hidden_behind_a_certificate_that_has_none() {
    let mask = Mask::new();
    let mut random = Random::new(11);
    let lines = |random: &mut Random| key_body(random, 3).join("\n");
    let (certificate, key) = (lines(&mut random), lines(&mut random));
    for between in ["\n", "\n\n", "\nASIAHUUY6RYWBLISPINL\n", "\nsubject: x\n"] {
        let begin = "-----BEGIN CERTIFICATE-----";
        let text = format!(
            "{begin}\n{certificate}{between}{key}\n-----END {} KEY-----\n",
            "PRIVATE"
        );
        let masked = mask.text(&text);
        for line in key.lines() {
            assert!(!masked.contains(line), "{between:?}: {masked}");
        }
        assert_eq!(streamed(&mask, &text, &[7]), masked);
        let whole = format!("{begin}\n{certificate}\n-----END CERTIFICATE-----\n");
        assert_eq!(mask.text(&whole), whole, "nobody's secret");
    }
}

#[test]
fn pieces_of_one_byte_give_what_the_whole_gives() {
    let mask = Mask::new();
    for seed in 0..6 {
        let text = text(seed, 30, "");
        assert_eq!(streamed(&mask, &text, &[1]), mask.text(&text), "seed {seed}");
    }
}

#[test]
fn long_lines_and_their_edges() {
    let mask = Mask::new();
    let mut random = Random::new(8);
    // The longer ones: they reach across.
    let mut secrets = cases(&mut random);
    secrets.retain(|case| case.secret.len() >= 80);
    // Secrets right across every place where a window of a long line begins or ends.
    for edge in [
        48 * 1024,
        64 * 1024,
        80 * 1024,
        112 * 1024,
        128 * 1024,
        144 * 1024,
    ] {
        for shift in [0, 1, 20, 40, 70] {
            let case = &secrets[random.below(secrets.len())];
            let secret = case.text.replace('\n', " ");
            let mut line = "word ".repeat(60_000);
            line.truncate(edge - shift);
            line = format!("{line} {secret} {}", "tail ".repeat(10_000));
            for text in [line.clone(), format!("a\n{line}\nb jane@example.com\n")] {
                let whole = mask.text(&text);
                assert!(!whole.contains(&case.secret), "{edge} {shift} {secret}");
                assert_eq!(
                    streamed(&mask, &text, &[5000, 1, 70_000]),
                    whole,
                    "{edge} {shift} {secret}"
                );
            }
        }
    }
}

#[test]
fn a_candidate_longer_than_any_secret_is_hidden_to_the_end_of_its_line() {
    let mask = Mask::new();
    let mut random = Random::new(2);
    let header = format!("ey{}", "JhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9");
    let token = format!("{header}.{}.{}", random.url(200_000), random.url(86));
    let text = format!("before {token} after\nnext jane@example.com\n");
    let whole = mask.text(&text).into_owned();
    assert!(whole.starts_with("before [masked:jwt]"), "{} bytes", whole.len());
    assert!(whole.len() < 200, "{} bytes left", whole.len());
    assert!(whole.ends_with("next [masked:email]\n"));
    assert_eq!(streamed(&mask, &text, &[9000]), whole);
}

#[test]
fn no_more_is_held_back_than_needed() {
    let mask = Mask::new();
    let mut stream = mask.stream();
    assert_eq!(stream.push("one line\nand a ha"), "one line\n");
    assert_eq!(stream.held(), "and a ha".len());
    assert_eq!(stream.push("lf\n"), "and a half\n");
    // Lines of base64 may be the end of a key.
    let mut random = Random::new(1);
    let body = random.base64(64) + "\n";
    assert_eq!(stream.push(&body), "");
    assert_eq!(stream.push("plain text\n"), format!("{body}plain text\n"));
    // Bounded, whatever comes.
    let mut most = 0;
    for _ in 0..5000 {
        stream.push(&(random.base64(64) + "\n"));
        most = most.max(stream.held());
    }
    for _ in 0..500 {
        stream.push(&random.base64(1000));
        most = most.max(stream.held());
    }
    assert!(most <= 200 * 1024, "{most} bytes held back");
}

#[test]
fn bytes_that_are_not_text_and_characters_that_are_cut() {
    let mask = Mask::new();
    let bytes = b"a \xff jane@example.com \xe6\xbc\xa2 \xe6\xbc\n\xf0\x9f\x99";
    let whole = mask.text(&String::from_utf8_lossy(bytes)).into_owned();
    for length in 1..12 {
        let mut stream = mask.stream();
        let mut out = String::new();
        for piece in bytes.chunks(length) {
            out += &stream.push_bytes(piece);
        }
        assert_eq!(out + &stream.finish().0, whole, "{length}");
    }
}

#[test]
fn hostile_texts_cost_no_more_than_their_length() {
    let mask = Mask::new();
    let begin = format!("-----BEGIN {} KEY-----", "PRIVATE");
    let shapes = [
        "a".to_owned(),
        "@".to_owned(),
        "a@a.".to_owned(),
        "1".to_owned(),
        "1 ".to_owned(),
        "4-".to_owned(),
        "password=".to_owned(),
        "password=\"".to_owned(),
        "x password=$".to_owned(),
        "token:a.b".to_owned(),
        "password=\\\"".to_owned(),
        "secret:'a".to_owned(),
        "ghp_".to_owned(),
        "eyJ".to_owned(),
        "eyJhbGciOiJFUzI1NiJ9.".to_owned(),
        "://:".to_owned(),
        "a://b:c".to_owned(),
        "DE89".to_owned(),
        "GB29 ".to_owned(),
        "authorization: ".to_owned(),
        "sk-ant-".to_owned(),
        "aws_secret".to_owned(),
        begin.clone(),
        format!("{begin}\n"),
        "A".repeat(64) + "\n",
        "Aa0+".repeat(16) + "\n",
        "=".to_owned(),
        "\\".to_owned(),
        "\n".to_owned(),
        "é".to_owned(),
    ];
    for shape in shapes {
        let cost = |length: usize| {
            let text = shape.repeat(length / shape.len());
            let mut stream = mask.stream();
            let mut work = 0_u64;
            for piece in text.as_bytes().chunks(4096).chain([&b"\n"[..]]) {
                stream.push_bytes(piece);
                work = stream.work();
            }
            assert!(work > 0);
            (work, text.len() as u64)
        };
        let (small, _) = cost(100_000);
        let (large, bytes) = cost(400_000);
        // Four times the text, at most some six times the work; and never more than a few looks at a byte per row.
        assert!(large <= small.max(200_000) * 6, "{shape:?}: {small} then {large}");
        assert!(large <= bytes * 60, "{shape:?}: {large} for {bytes} bytes");
    }
}

#[test]
fn a_secret_across_two_windows_is_found_whole() {
    let mask = Mask::new();
    let mut cases = cases(&mut Random::new(8));
    cases.retain(|case| (60..400).contains(&case.secret.len()) && !case.text.contains('\n'));
    assert!(cases.len() > 40);
    for case in cases {
        for shift in [20, 40] {
            let mut line = "word ".repeat(14_000);
            line.truncate(64 * 1024 - shift);
            line = format!("{line} {} {}", case.text, "tail ".repeat(4_000));
            let whole = mask.text(&line);
            assert!(!whole.contains(&case.secret), "{} {shift}", case.text);
            assert!(
                whole.ends_with("tail "),
                "{} {shift}: the rest of the line is gone",
                case.text
            );
        }
    }
}

#[test]
fn a_closing_tag_or_a_marker_is_no_password() {
    let mask = Mask::new();
    let begin = format!("-----BEGIN {} KEY-----", "RSA PRIVATE");
    let text = format!("{begin} <password>NW9GK!4krQME</password> -----BEGIN CERTIFICATE-----\nabc\n");
    let once = mask.text(&text).into_owned();
    assert!(once.contains("</password> -----BEGIN CERTIFICATE-----"), "{once}");
    assert!(!once.contains("NW9GK"), "{once}");
    assert_eq!(mask.text(&once), once);
}
