//! Lines, statuses, output, news and the recording.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::support::*;
use crate::resource::shell::line::When;

#[tokio::test]
async fn statuses_and_conditions_are_those_of_a_shell() {
    let site = site();
    let (yes, no) = (|| argv(&["true"]), || argv(&["false"]));
    let echo = |word: &'static str| argv(&["echo", word]);
    let cases = [
        (
            vec![
                (When::Always, vec![no()]),
                (When::OnSuccess, vec![echo("a")]),
                (When::OnFailure, vec![echo("b")]),
            ],
            "b\n",
            0,
        ),
        (
            vec![
                (When::Always, vec![yes()]),
                (When::OnFailure, vec![echo("a")]),
                (When::OnSuccess, vec![echo("b")]),
            ],
            "b\n",
            0,
        ),
        (
            vec![(When::Always, vec![no()]), (When::Always, vec![echo("a")])],
            "a\n",
            0,
        ),
        (vec![(When::Always, vec![yes(), no()])], "", 1),
        (vec![(When::Always, vec![no(), yes()])], "", 0),
        (
            vec![(
                When::Always,
                vec![
                    argv(&["seq", "100000"]),
                    argv(&["sort", "-rn"]),
                    argv(&["head", "-n", "1"]),
                ],
            )],
            "100000\n",
            0,
        ),
        (
            vec![(When::Always, vec![argv(&["yes"]), argv(&["head", "-n", "1"])])],
            "y\n",
            0,
        ),
        (vec![(When::Always, vec![argv(&["cat"])])], "", 0),
        (vec![(When::Always, vec![argv(&["sh", "-c", "exit 7"])])], "", 7),
        (
            vec![(When::Always, vec![argv(&["sh", "-c", "kill -TERM $$"])])],
            "",
            143,
        ),
        (vec![(When::Always, vec![argv(&["no-such-program"])])], "", 127),
        (
            vec![(
                When::Always,
                vec![argv(&["no-such-program"]), argv(&["wc", "-c"])],
            )],
            "0\n",
            0,
        ),
    ];
    for (steps, out, code) in cases {
        let line = line(steps);
        let given = site.run(&line, false).await;
        assert_eq!(
            (given.out(), given.code()),
            (out, code),
            "{line:?} {}",
            given.err()
        );
    }
    let given = site.run(&one(&["no-such-program"]), false).await;
    assert!(
        given.err().contains("no-such-program: there is no such program"),
        "{}",
        given.err()
    );
}

#[tokio::test]
async fn arguments_arrive_as_they_are_and_names_lead_nowhere_else() {
    let site = site();
    let hostile = [
        "",
        "a b",
        "$(id)",
        "`id`",
        "a\nb",
        "*",
        "--",
        "-n",
        "\u{1b}]0;x\u{7}",
        "__sandbox",
        "ü",
        "%s",
    ];
    let mut words = vec![
        "perl",
        "-e",
        "print join('|', map { unpack('H*', $_) } @ARGV)",
        "--",
    ];
    words.extend(hostile);
    let given = site.run(&one(&words), false).await;
    let hex: Vec<String> = hostile
        .iter()
        .map(|word| crate::call::hex(word.as_bytes()))
        .collect();
    assert_eq!(given.out(), hex.join("|"));
    site.run(
        &script("printf '#!/bin/sh\\necho mine\\n' > ./ls; chmod +x ./ls; cp ./ls ./own"),
        true,
    )
    .await;
    for name in [
        "",
        ".",
        "..",
        "/bin/ls",
        "./ls",
        "../bin/ls",
        "./own",
        "own",
        "-c",
        "a/../ls",
        "/proc/self/exe",
    ] {
        let given = site.run(&one(&[name]), true).await;
        assert_eq!((given.code(), given.out()), (127, ""), "{name}");
    }
    assert!(!site.run(&one(&["ls"]), true).await.out().contains("mine"));
    let given = site.run(&one(&["echo", "a\0b"]), false).await;
    assert_eq!((given.code(), given.out()), (126, ""));
}

#[tokio::test]
async fn the_last_look_is_taken_once_and_its_refusal_starts_nothing() {
    let site = site();
    let (yes, cancel) = (Yes::default(), Default::default());
    site.try_run(&script("echo ran > ./mark"), true, LONG, &yes, &cancel)
        .await
        .unwrap();
    assert_eq!(yes.looks.load(Ordering::SeqCst), 1);
    let mark = site.folder.place.of(USER).join("mark");
    assert!(mark.exists());
    std::fs::remove_file(&mark).unwrap();
    let no = Yes {
        refuses: true,
        ..Yes::default()
    };
    let refused = site
        .try_run(&script("echo ran > ./mark"), true, LONG, &no, &cancel)
        .await;
    assert!(refused.is_err() && !mark.exists());
    assert_eq!(no.looks.load(Ordering::SeqCst), 1);
    assert_eq!(crate::resource::shell::tests::life::settled().await, 0);
}

/// Written in two pieces, with a long time between them, and again across the cut of a long output.
#[tokio::test]
async fn no_secret_survives_a_piece_a_cut_or_the_news() {
    let site = site();
    let secret = format!("ghp_{}", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8");
    let (first, second) = secret.split_at(17);
    let text = format!(
        "$| = 1; print 'token {first}'; select(undef, undef, undef, 0.6); print \"{second}\\n\"; select(undef, undef, undef, 0.6); \
         print 'x' x 32720, ' {secret} ', 'y' x 200000, ' {secret} ', 'z' x 32720, \"\\n\"; print STDERR \"{first}\"; print STDERR \"{second}\""
    );
    let yes = Yes::default();
    let given = site
        .try_run(
            &one(&["perl", "-e", &text]),
            false,
            LONG,
            &yes,
            &Default::default(),
        )
        .await
        .unwrap();
    let recording = given.raw.recording.clone().unwrap();
    let news = yes.news.lock().unwrap().concat();
    for (place, shown) in [
        ("stdout", given.out()),
        ("stderr", given.err()),
        ("recording", &recording),
        ("news", &news),
    ] {
        for piece in [secret.get(..12), secret.get(8..20), secret.get(20..)].map(Option::unwrap) {
            assert!(!shown.contains(piece), "{place}: {piece}");
        }
    }
    assert!(
        given.out().contains("token [masked:") && given.err().contains("[masked:"),
        "{}",
        given.err()
    );
    assert!(news.contains("[masked:"), "{news}");
    assert!(!given.raw.source_masks.notes().is_empty());
}

#[tokio::test]
async fn the_recording_is_an_asciicast_of_what_was_seen() {
    let site = site();
    let given = site.sh("echo one; echo two >&2; printf '\\033[31mred\\n'").await;
    let recording = given.raw.recording.clone().unwrap();
    let lines: Vec<Value> = recording
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["version"], 2);
    assert!(lines[0]["width"].is_u64() && lines[0]["height"].is_u64());
    let mut last = 0.0;
    let mut text = String::new();
    for event in &lines[1..] {
        let at = event[0].as_f64().unwrap();
        assert!(
            at >= last && event[1] == "o" && event.as_array().unwrap().len() == 3,
            "{event}"
        );
        last = at;
        text.push_str(event[2].as_str().unwrap());
    }
    for part in ["one\r\n", "two\r\n", "␛[31mred\r\n"] {
        assert!(text.contains(part), "{text:?}");
    }
}
