use super::*;

fn step(when: When, pipeline: &[&[&str]]) -> Step {
    let argv = |words: &&[&str]| Argv {
        program: words[0].to_owned(),
        args: words[1..].iter().map(|word| (*word).to_owned()).collect(),
        kind: ProgramKind::Inspection,
    };
    Step {
        when,
        pipeline: pipeline.iter().map(argv).collect(),
    }
}

#[test]
fn a_line_is_pipelines_joined_by_how_the_one_before_ended() {
    let line = command("cat a | sort -u && ls||echo 'no; $HOME' ; wc -l \"b c\";").unwrap();
    let expected = vec![
        step(When::Always, &[&["cat", "a"], &["sort", "-u"]]),
        step(When::OnSuccess, &[&["ls"]]),
        step(When::OnFailure, &[&["echo", "no; $HOME"]]),
        step(When::Always, &[&["wc", "-l", "b c"]]),
    ];
    assert_eq!(line.steps, expected);
}

#[test]
fn quotes_and_backslashes_are_taken_away_as_a_shell_does() {
    for (line, expected) in [
        (r#"echo 'a'"b"c"#, "abc"),
        (r#"echo "a\"b\\c\d""#, r#"a"b\c\d"#),
        (r#"echo "it's""#, "it's"),
        (r"echo 'a\b'", r"a\b"),
        (r"echo a\ b\;c\\", r"a b;c\"),
        (r#"echo """#, ""),
        (r#"echo "\$x \`y""#, "$x `y"),
        (r"echo a#b", "a#b"),
        (r"echo a=b", "a=b"),
        ("echo\ta", "a"),
        ("echo größe", "größe"),
    ] {
        let line = command(line).unwrap_or_else(|refusal| panic!("{line}: {}", refusal.message));
        assert_eq!(words(&line), [["echo", expected]]);
    }
}

#[test]
fn an_argv_has_no_shell_meaning() {
    let hostile = "$(id) `id` > x | y && z; * ? ~ {a,b} # \\ \" ' \n\t!";
    let line = argv(&["echo", hostile]).unwrap();
    assert_eq!(words(&line), [["echo", hostile]]);
    assert_eq!(verdict(&argv(&["bash", "-c", "id\nls"])), "script");
}

#[test]
fn an_argv_without_a_program_or_with_letters_nobody_sees_is_refused() {
    for words in [
        &[][..],
        &[""],
        &["ls", "a\0b"],
        &["ls", "a\u{202e}b"],
        &["ls\n"],
        &["ls", "a\rb"],
        &["/bin/ls"],
        &["./ls"],
        &["-ls"],
        &["[", "-f", "x", "]"],
    ] {
        let refusal = argv(words).unwrap_err();
        assert!(
            matches!(refusal.code, Code::InvalidArguments | Code::ProgramRefused),
            "{words:?}: {:?}",
            refusal.code
        );
    }
}

#[test]
fn exactly_one_of_argv_and_command_is_needed() {
    for (argv, command) in [(None, None), (Some(vec!["ls".to_owned()]), Some("ls".to_owned()))] {
        let refusal = read(&run(argv, command), &allowed()).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidArguments);
    }
}

#[test]
fn a_refusal_names_what_was_wrong_and_programs_that_fit() {
    let refusal = command("grop x").unwrap_err();
    assert_eq!(refusal.code, Code::ProgramRefused);
    assert!(refusal.message.contains("`grop`"), "{}", refusal.message);
    assert!(
        refusal.suggestion.starts_with("Use one of: grep, "),
        "{}",
        refusal.suggestion
    );
    let refusal = command("sort -uo out in").unwrap_err();
    assert_eq!(refusal.message, "`-o` of `sort` writes a file.");
    let refusal = command("ls *.rs").unwrap_err();
    assert!(
        refusal.suggestion.contains("find -name '*.rs'"),
        "{}",
        refusal.suggestion
    );
    let nothing = read(&run(Some(vec!["ls".to_owned()]), None), &BTreeSet::new()).unwrap_err();
    assert_eq!(nothing.code, Code::ProgramRefused);
}

#[test]
fn a_name_that_is_allowed_but_no_plain_name_is_refused_all_the_same() {
    for name in [
        "/bin/ls", "-x", "eval", "exec", ".", "../x", "a b", "coproc", "", "[", ".sh",
    ] {
        let allowed = BTreeSet::from([name.to_owned()]);
        let read = read(&run(Some(vec![name.to_owned()]), None), &allowed);
        assert_eq!(read.unwrap_err().code, Code::ProgramRefused, "{name}");
    }
}

#[test]
fn abbreviations_are_written_out_and_ambiguous_ones_refused() {
    let line = command("ls --rec --si --time-s=iso src").unwrap();
    assert_eq!(
        words(&line),
        [["ls", "--recursive", "--si", "--time-style=iso", "src"]]
    );
    for line in [
        "ls --ti",
        "sort --comp=sh",
        "sort --outp=x",
        "ls --nonesuch",
        "rg --rec x",
        "ls --",
    ] {
        let taken = verdict(&command(line));
        assert_eq!(
            taken,
            if line == "ls --" { "inspection" } else { "refused" },
            "{line}"
        );
    }
}

#[test]
fn facts_tell_a_script_from_an_inspection_and_name_every_program() {
    let line = command("ls | xargs cat && wc -l a").unwrap();
    let facts = facts(&line, true);
    assert_eq!(facts.kind, "script");
    assert!(facts.change && !facts.network);
    assert_eq!(
        facts.programs.into_iter().collect::<Vec<_>>(),
        ["ls", "wc", "xargs"]
    );
    assert_eq!(
        facts.commands,
        [vec!["ls"], vec!["xargs", "cat"], vec!["wc", "-l", "a"]]
    );
    let kinds: Vec<ProgramKind> = line.steps[0].pipeline.iter().map(|argv| argv.kind).collect();
    assert_eq!(kinds, [ProgramKind::Inspection, ProgramKind::Script]);
}

#[test]
fn a_line_has_bounds() {
    let many = |count: usize| vec!["ls"; count].join(";");
    assert!(command(&many(32)).is_ok());
    assert!(command(&many(33)).is_err());
    assert!(command(&format!("echo {}", "a ".repeat(511))).is_ok());
    assert!(command(&format!("echo {}", "a ".repeat(512))).is_err());
    assert!(command(&format!("echo {}", "a".repeat(16 * 1024))).is_err());
    assert!(argv(&["echo", &"a".repeat(60 * 1024)]).is_ok());
    assert!(argv(&["echo", &"a".repeat(64 * 1024)]).is_err());
}

#[test]
fn a_long_name_is_shown_short_and_without_letters_that_act() {
    let refusal = argv(&["ls", &format!("--{}", "x\n".repeat(5000))]).unwrap_err();
    assert!(
        refusal.message.len() < 200 && !refusal.message.contains('\n'),
        "{}",
        refusal.message
    );
}
