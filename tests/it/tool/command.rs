//! Declared commands and changes: what loads, what an agent's values can become, and what they cannot.

use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate::call::request::{Parameters, ShellRun};
use tollgate::call::{Action, Hash, Request};
use tollgate::tool::{Misfit, Tools};

use super::{arrival, cards, visible};

const HEAD: &str = "name = \"t\"\ntitle = \"T\"\ndescription = \"D\"\n";

/// Loads one file; an error as the operator reads it.
fn load(text: &str) -> Result<Tools, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t.toml"), text).unwrap();
    Tools::load(Some(dir.path()), &cards())
        .map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "tools"))
}

fn command(rest: &str) -> Result<Tools, String> {
    load(&format!("{HEAD}kind = \"shell\"\nresource = \"work\"\n{rest}"))
}

fn word(name: &str, pattern: &str) -> String {
    format!("[parameters.{name}]\ntype = \"string\"\ndescription = \"A\"\npattern = '{pattern}'\n")
}

fn run(tools: &Tools, arguments: Value) -> Result<ShellRun, String> {
    match tools.invocation(&arrival("t", arguments), &visible()) {
        Ok(made) => {
            assert_eq!(
                (made.action, made.resource.as_deref()),
                (Action::ShellRun, Some("work"))
            );
            let Request::ShellRun(run) = made.request else {
                panic!("{:?}", made.request)
            };
            Ok(run)
        }
        Err(Misfit::Refused(refusal)) => {
            assert_eq!(refusal.code.as_str(), "invalid_arguments", "{refusal:?}");
            let said = format!("{} {}", refusal.message, refusal.suggestion);
            assert!(
                said.chars().all(|c| !tollgate::call::is_unseen(c)) && said.len() < 400,
                "{said}"
            );
            Err(said)
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn argv(tools: &Tools, arguments: Value) -> Vec<String> {
    run(tools, arguments).unwrap().argv.unwrap()
}

#[test]
fn every_value_fills_its_place_and_nothing_else() {
    let tools = command(&format!(
        "command = [\"grep\", \"-r\", \"--max-count={{most}}\", \"--include=*.{{kind}}\", \"{{{{}}}}\", \"--\", \"{{text}}\", \"{{files...}}\"]\n\
         change = true\ntimeout_seconds = 7\n{}[parameters.most]\ntype = \"integer\"\ndescription = \"M\"\nmin = 0\ndefault = 5\n\
         [parameters.kind]\ntype = \"enum\"\ndescription = \"K\"\nvalues = [\"rs\", \"toml\"]\n\
         [parameters.files]\ntype = \"list\"\ndescription = \"F\"\npattern = '[a-z./{{}}-]+'\nmax_items = 3\n",
        word("text", ".*")
    ))
    .unwrap();
    let made = run(&tools, json!({"text": "-e {kind} $(id) `id` ; rm \\ * \"'", "kind": "rs", "files": ["a.rs", "-b", "{text}"], "reason": "why"})).unwrap();
    assert_eq!(
        made.argv.unwrap(),
        [
            "grep",
            "-r",
            "--max-count=5",
            "--include=*.rs",
            "{}",
            "--",
            "-e {kind} $(id) `id` ; rm \\ * \"'",
            "a.rs",
            "-b",
            "{text}"
        ]
    );
    assert_eq!(
        (
            made.change,
            made.timeout_seconds,
            made.reason.as_deref(),
            made.command
        ),
        (Some(true), Some(7), Some("why"), None)
    );
    // No items, no arguments.
    let few = argv(&tools, json!({"text": "x", "kind": "toml", "most": 0}));
    assert_eq!(few.len(), 7);
    for (key, value) in [
        ("files", json!(["a", "b", "c", "d"])),
        ("files", json!(["A"])),
        ("files", json!([1])),
        ("files", json!("a")),
        ("files", json!([["a"]])),
        ("most", json!(-1)),
        ("most", json!("1")),
        ("kind", json!("md")),
        ("text", json!("")),
        ("text", json!("x".repeat(5000))),
        ("folder", json!("x")),
        ("argv", json!(["id"])),
        ("timeout_seconds", json!(100)),
        ("change", json!(true)),
    ] {
        let mut arguments = json!({"text": "x", "kind": "rs", "files": ["a"]});
        arguments[key] = value.clone();
        assert!(run(&tools, arguments).is_err(), "{key} = {value}");
    }
}

#[test]
fn incident_12_every_place_in_a_command_has_a_grammar() {
    let tools = command(&format!(
        "command = [\"ls\", \"--\", \"{{folder}}\"]\n{}",
        word("folder", "[a-z]+(/[a-z]+)*")
    ))
    .unwrap();
    assert_eq!(argv(&tools, json!({"folder": "a/b"})), ["ls", "--", "a/b"]);
    for value in [
        "",
        "a/",
        "/a",
        "a/../b",
        "A",
        "a b",
        "a\n",
        "\na",
        "a\u{0}",
        "a\r\nb",
        "a\u{2028}",
        "ａ",
        "a\u{301}",
    ] {
        assert!(run(&tools, json!({"folder": value})).is_err(), "{value:?}");
    }
    for value in [
        json!(null),
        json!(1),
        json!(["a"]),
        json!({"a": "b"}),
        json!(true),
    ] {
        assert!(run(&tools, json!({"folder": value})).is_err(), "{value}");
    }
    // Whatever a pattern lets through: what acts on a screen is no value.
    let any = command(&format!(
        "command = [\"ls\", \"--\", \"{{a}}\"]\n{}",
        word("a", "(?s).*")
    ))
    .unwrap();
    for value in [
        "a\nb",
        "a\tb",
        "a\u{0}b",
        "\u{1b}[2J",
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{feff}",
        "a\u{a0}b",
        "a\u{2003}b",
        "a\u{85}b",
        "\u{e0041}",
    ] {
        assert!(run(&any, json!({"a": value})).is_err(), "{value:?}");
    }
    assert_eq!(argv(&any, json!({"a": "Zoë 中 🙂"}))[2], "Zoë 中 🙂");
}

/// Incident 24: what was meant as a ref was read as an option.
#[test]
fn incident_24_a_value_in_a_command_is_no_option() {
    let open = command(&format!("command = [\"wc\", \"{{a}}\"]\n{}", word("a", ".*"))).unwrap();
    assert_eq!(argv(&open, json!({"a": "output=x"})), ["wc", "output=x"]);
    for value in [
        "-",
        "--",
        "-l",
        "--output=x",
        "--files0-from=x",
        "\u{2010}x",
        "\u{2013}x",
        "\u{2014}x",
        "\u{2212}l",
        "\u{ff0d}l",
        "\u{fe63}l",
    ] {
        let said = run(&open, json!({"a": value})).unwrap_err();
        assert!(said.contains("begins with a dash"), "{value:?}: {said}");
    }
    // After `--` nothing is an option, and the author has said so.
    let guarded = command(&format!(
        "command = [\"wc\", \"--\", \"{{a}}\"]\n{}",
        word("a", ".*")
    ))
    .unwrap();
    assert_eq!(
        argv(&guarded, json!({"a": "--output=x"})),
        ["wc", "--", "--output=x"]
    );
    // A value that is `--` ends nothing: the next place is still an option's.
    let two = command(&format!(
        "command = [\"wc\", \"{{a}}\", \"{{b}}\"]\n{}{}",
        word("a", ".*"),
        word("b", ".*")
    ))
    .unwrap();
    assert!(run(&two, json!({"a": "--", "b": "-x"})).is_err());
    assert!(run(&two, json!({"a": "x", "b": "-x"})).is_err());
}

/// Incident 39: `name="--server=https://evil"`.
#[test]
fn incident_39_the_author_chooses_every_option() {
    for (element, better) in [
        ("-{a}", "a value must not choose an option"),
        ("--{a}", "a value must not choose an option"),
        ("-n{a}", "a value must not choose an option"),
        ("-n={a}", "a value must not choose an option"),
        ("--{a}=x", "a value must not choose an option"),
        ("--x{a}=", "a value must not choose an option"),
        ("--=x{a}", "a value must not choose an option"),
    ] {
        let error = command(&format!(
            "command = [\"ls\", \"{element}\"]\n{}",
            word("a", "[a-z]+")
        ))
        .map(drop);
        assert!(
            error.as_ref().is_err_and(|said| said.contains(better)),
            "{element}: {error:?}"
        );
    }
    let named = command(&format!(
        "command = [\"ls\", \"--sort={{a}}\"]\n{}",
        word("a", ".*")
    ))
    .unwrap();
    let value = "time --server=https://evil.example";
    assert_eq!(
        argv(&named, json!({"a": value}))[1],
        format!("--sort={value}"),
        "one argument"
    );
    assert!(run(&named, json!({"a": "--server=https://evil.example"})).is_err());
}

/// Incident 37: the first word was checked, and then a shell read the line.
#[test]
fn incident_37_a_command_has_one_program_and_no_shell() {
    let a = word("a", ".*");
    for (written, better) in [
        ("[\"{a}\"]", "neither a path nor a placeholder"),
        ("[\"{a}\", \"x\"]", "neither a path nor a placeholder"),
        ("[\"/bin/ls\", \"{a}\"]", "neither a path nor a placeholder"),
        ("[\"../ls\", \"{a}\"]", "neither a path nor a placeholder"),
        ("[\"ls -l\", \"{a}\"]", "neither a path nor a placeholder"),
        ("[\"l{a}\"]", "neither a path nor a placeholder"),
        ("[\"ls\", \"{a}\", \"|\", \"wc\"]", "no shell reads it"),
        ("[\"ls\", \"&&\", \"{a}\"]", "no shell reads it"),
        ("[\"ls\", \">\", \"{a}\"]", "no shell reads it"),
        ("[\"sh\", \"-c\", \"{a}\"]", "a value would be code"),
        ("[\"bash\", \"-c\", \"ls {a}\"]", "a value would be code"),
        ("[\"python3.11\", \"x.py\", \"{a}\"]", "a value would be code"),
        ("[\"env\", \"ls\", \"{a}\"]", "a value would be code"),
        ("[\"xargs\", \"ls\", \"--\", \"{a}\"]", "a value would be code"),
    ] {
        let error = command(&format!("command = {written}\n{a}")).map(drop);
        assert!(
            error.as_ref().is_err_and(|said| said.contains(better)),
            "{written}: {error:?}"
        );
    }
}

#[test]
fn commands_that_are_wrong_say_where_and_what_to_write() {
    let said = |rest: &str| command(rest).map(drop).unwrap_err();
    let a = word("a", "[a-z]+");
    let shell = |rest: &str| load(&format!("{HEAD}{rest}")).map(drop).unwrap_err();
    let long = format!("command = [{}]\n", vec!["\"ls\""; 65].join(", "));
    let errors = [
        said("command = []\n"),
        said("command = \"ls\"\n"),
        said("command = [\"ls\", 5]\n"),
        said(&long),
        said("command = [\"ls\", \"\"]\n"),
        said("command = [\n  \"ls\",\n  \"a\\nb\",\n]\n"),
        said("command = [\n  \"ls\",\n  \"{a}\",\n]\n"),
        said(&format!("command = [\"ls\", \"{{a\"]\n{a}")),
        said(&format!("command = [\"ls\", \"a}}\"]\n{a}")),
        said(&format!("command = [\"ls\", \"{{a b}}\"]\n{a}")),
        said(&format!("command = [\"ls\", \"{{}}\"]\n{a}")),
        said(&format!("command = [\"ls\"]\n{a}")),
        said(&format!("command = [\"ls\", \"--\", \"{{a...}}\"]\n{a}")),
        said("command = [\"ls\", \"{a}\"]\n[parameters.a]\ntype = \"string\"\ndescription = \"A\"\n"),
        said("command = [\"ls\", \"{a}\"]\n[parameters.a]\ntype = \"boolean\"\ndescription = \"A\"\n"),
        said("command = [\"ls\", \"{a}\"]\n[parameters.a]\ntype = \"integer\"\ndescription = \"A\"\n"),
        said(
            "command = [\"ls\", \"{a}\"]\n[parameters.a]\ntype = \"integer\"\ndescription = \"A\"\nmin = 0\nrequired = false\n",
        ),
        said(
            "command = [\"ls\", \"{a}\"]\n[parameters.a]\ntype = \"enum\"\ndescription = \"A\"\nvalues = [\"x\", \"-l\"]\n",
        ),
        said(
            "command = [\"ls\", \"{a}\"]\n[parameters.a]\ntype = \"string\"\ndescription = \"A\"\npattern = '-?x'\ndefault = \"-x\"\n",
        ),
        said(
            "command = [\"ls\", \"--\", \"{a}\"]\n[parameters.a]\ntype = \"list\"\ndescription = \"A\"\npattern = 'x'\n",
        ),
        said(
            "command = [\"ls\", \"{a...}\"]\n[parameters.a]\ntype = \"list\"\ndescription = \"A\"\npattern = 'x'\n",
        ),
        said(
            "command = [\"ls\", \"--\", \"x{a...}\"]\n[parameters.a]\ntype = \"list\"\ndescription = \"A\"\npattern = 'x'\n",
        ),
        said(
            "command = [\"ls\", \"--\", \"{a...}\"]\n[parameters.a]\ntype = \"list\"\ndescription = \"A\"\n",
        ),
        said(
            "command = [\"ls\", \"--\", \"{a...}\"]\n[parameters.a]\ntype = \"list\"\ndescription = \"A\"\npattern = 'x'\nmax_items = 500\n",
        ),
        said("command = [\"ls\"]\ntimeout_seconds = 0\n"),
        said("command = [\"ls\"]\ntimeout_seconds = 100000\n"),
        said("command = [\"ls\"]\nchange = \"yes\"\n"),
        said("command = [\"ls\"]\nstatement = \"SELECT 1\"\n"),
        said("statement = \"SELECT 1\"\n"),
        said(
            "command = [\"ls\", \"{reason}\"]\n[parameters.reason]\ntype = \"string\"\ndescription = \"A\"\npattern = 'x'\n",
        ),
        shell("command = [\"ls\"]\n"),
        shell("kind = \"sqlite\"\ncommand = [\"ls\"]\n"),
        shell("kind = \"shell\"\nresource = \"shop\"\ncommand = [\"ls\"]\n"),
        shell("kind = \"shell\"\nresource = \"nowhere\"\ncommand = [\"ls\"]\n"),
        shell("kind = \"shell\"\nexecute = \"UPDATE t SET a = 1\"\n"),
        shell("kind = \"sqlite\"\nexecute = \"\"\n"),
        shell("kind = \"sqlite\"\nexecute = \"UPDATE t SET a = :b\"\n"),
        shell("kind = \"sqlite\"\nexecute = \"UPDATE t SET a = 1\"\nchange = true\n"),
        shell(
            "kind = \"sqlite\"\nstatement = \"SELECT :a\"\n[parameters.a]\ntype = \"list\"\ndescription = \"A\"\npattern = 'x'\n",
        ),
        shell("kind = \"sqlite\"\n"),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn a_declared_change_binds_its_values_and_takes_a_reason() {
    let tools = load(&format!(
        "{HEAD}kind = \"sqlite\"\nresource = \"shop\"\nexecute = \"UPDATE orders SET status = :status WHERE id = :id\"\n\
         {}[parameters.id]\ntype = \"integer\"\ndescription = \"I\"\nmin = 1\n",
        word("status", "[a-z]+")
    ))
    .unwrap();
    let card = tools.listed(&visible()).pop().unwrap();
    assert_eq!((card.name.as_str(), card.action), ("t", Action::SqlWrite));
    assert_eq!(card.input_schema["required"], json!(["id", "status"]));
    let call = |arguments: Value| tools.invocation(&arrival("t", arguments), &visible());
    let made = call(json!({"id": 7, "status": "paid", "reason": "customer asked"})).unwrap();
    let Request::SqlExecute(change) = made.request else {
        panic!()
    };
    assert_eq!(
        change.statement,
        "UPDATE orders SET status = :status WHERE id = :id"
    );
    assert_eq!(change.reason.as_deref(), Some("customer asked"));
    let Some(Parameters::Named(values)) = change.parameters else {
        panic!()
    };
    assert_eq!(Value::Object(values), json!({"id": 7, "status": "paid"}));
    for wrong in [
        json!({"id": 7, "status": "paid'; --"}),
        json!({"id": 7, "status": "paid", "limit": 1}),
        json!({"id": 7, "status": "paid", "statement": "DELETE FROM orders"}),
    ] {
        assert!(matches!(call(wrong), Err(Misfit::Refused(_))));
    }
    // Who may only read has no such tool.
    assert!(matches!(
        tools.invocation(
            &arrival("t", json!({"id": 7, "status": "paid"})),
            &super::only("shop", &[Action::SqlRead])
        ),
        Err(Misfit::Tool(_))
    ));
}

#[test]
fn a_yes_to_one_definition_is_none_to_another() {
    let key = |text: &str| -> Hash {
        let tools = load(text).unwrap();
        let arrival = arrival("t", json!({"a": "x"}));
        tools.invocation(&arrival, &visible()).unwrap().request_key
    };
    let base = format!(
        "{HEAD}kind = \"shell\"\nresource = \"work\"\ncommand = [\"ls\", \"{{a}}\"]\n{}",
        word("a", "[a-z]+")
    );
    let change = |from: &str, to: &str| {
        assert!(base.contains(from));
        key(&base.replace(from, to))
    };
    let keys = [
        key(&base),
        change("\"ls\"", "\"cat\""),
        change("\"{a}\"", "\"--\", \"{a}\""),
        change("[a-z]+", "[a-z]*"),
        change("resource = \"work\"\n", "resource = \"work\"\nchange = true\n"),
        change(
            "resource = \"work\"\n",
            "resource = \"work\"\ntimeout_seconds = 5\n",
        ),
    ];
    let distinct: std::collections::BTreeSet<Hash> = keys.into_iter().collect();
    assert_eq!(distinct.len(), keys.len());
    assert_eq!(key(&base), key(&base));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever an agent sends, it gets the author's arguments with its values in their places, or nothing.
    #[test]
    fn whatever_is_sent_the_shape_of_a_command_is_its_authors(
        a in r"[-a-z{}$`|;&'\\ \n\t\u{0}\u{2010}\u{2212}\u{202e}\u{a0}é=/.]{0,6}",
        b in "\\PC{0,8}|-.*|--|\\{a\\}",
        items in prop::collection::vec("[-a-z{}. \\n]{0,4}", 0..5),
    ) {
        let tools = command(&format!(
            "command = [\"ls\", \"x{{a}}\", \"{{a}}\", \"--sort={{b}}\", \"--\", \"{{b}}\", \"{{items...}}\", \"end\"]\n{}{}\
             [parameters.items]\ntype = \"list\"\ndescription = \"I\"\npattern = '(?s).*'\nmax_items = 4\n",
            word("a", "(?s).*"),
            word("b", "(?s).*")
        ))
        .unwrap();
        let Ok(made) = run(&tools, json!({"a": a, "b": b, "items": items})) else {
            return Ok(());
        };
        let mut expected = vec![
            "ls".to_owned(), format!("x{a}"), a.clone(), format!("--sort={b}"), "--".to_owned(), b.clone(),
        ];
        expected.extend(items.iter().cloned());
        expected.push("end".to_owned());
        prop_assert_eq!(made.argv.unwrap(), expected);
        let dashed = a.starts_with(['-', '\u{2010}', '\u{2212}']) || b.starts_with('-');
        prop_assert!(!dashed);
        let all = format!("{a}{b}{}", items.concat());
        prop_assert!(all.chars().all(|c| !tollgate::call::is_unseen(c) && (c == ' ' || !c.is_whitespace())));
        prop_assert!(items.len() <= 4 && items.iter().all(|item| !item.is_empty()) && !a.is_empty() && !b.is_empty());
    }
}
