//! What does not load, and what the operator reads then.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tollgate::policy::{LoadError, Policies};

use super::{folder, scene, write};

fn fails(text: &str) -> LoadError {
    let dir = folder(text);
    match Policies::load(dir.path(), scene(), None) {
        Ok(_) => panic!("this loads:\n{text}"),
        Err(error) => error,
    }
}

/// The first fault says what is wrong, on which line, and what to write instead.
#[track_caller]
fn fails_with(line: usize, message: &str, help: &str, text: &str) {
    let error = fails(text);
    let found = error.faults.iter().find(|fault| fault.message.contains(message));
    let fault = found.unwrap_or_else(|| panic!("no fault has {message:?}:\n{error}"));
    assert_eq!(fault.line, line, "{error}");
    assert!(fault.help.contains(help), "no help has {help:?}:\n{error}");
    assert!(fault.file.ends_with("all.cedar"), "{error}");
}

const OBLIGED: &str = "forbid (principal, action, resource)";

#[test]
fn a_policy_needs_an_id_of_its_own() {
    fails_with(2, "has no @id", "@id(", "\npermit (principal, action, resource);");
    for bad in ["Upper", "with space", "dot.ted", "", "naïve", "new\\nline"] {
        let text = format!("// first\n@id(\"{bad}\")\npermit (principal, action, resource);");
        fails_with(2, "cannot be an @id", "a-z, 0-9 and -", &text);
    }
    let long = "x".repeat(65);
    fails_with(
        1,
        "cannot be an @id",
        "64",
        &format!("@id(\"{long}\") permit (principal, action, resource);"),
    );
    fails_with(
        3,
        "is taken by",
        "of its own",
        "@id(\"one\")\npermit (principal, action, resource);\n@id(\"one\") forbid (principal, action, resource);",
    );
}

#[test]
fn an_id_is_unique_across_files() {
    let dir = folder("@id(\"one\") permit (principal, action, resource);");
    write(
        dir.path(),
        "second.cedar",
        "\n@id(\"one\") permit (principal, action, resource);",
    );
    let error = Policies::load(dir.path(), scene(), None).unwrap_err();
    assert_eq!(error.faults.len(), 1, "{error}");
    assert!(error.to_string().contains("second.cedar:2"), "{error}");
    assert!(error.to_string().contains("all.cedar:1"), "{error}");
}

#[test]
fn incident_17_an_unknown_annotation_is_refused() {
    fails_with(
        2,
        "unknown annotation @limit_row",
        "limit_rows",
        "@id(\"a\")\n@limit_row(\"5\")\npermit (principal, action, resource);",
    );
}

#[test]
fn syntax_is_refused_with_its_line() {
    fails_with(
        2,
        "unexpected",
        "",
        "@id(\"a\") permit (principal, action, resource)\nwhen { context. };",
    );
    fails_with(
        2,
        "is a template",
        "one policy for each",
        "\n@id(\"a\") permit (principal in ?principal, action, resource);",
    );
}

#[test]
fn an_obligation_on_a_permit_is_refused() {
    for kind in [
        "@limit_rows(\"5\")",
        "@limit_seconds(\"5\")",
        "@confirm",
        "@approval(\"1 dba\")",
    ] {
        let text = format!("@id(\"a\") {kind} permit (principal, action, resource);");
        fails_with(1, "is on a permit", "forbid (…) when", &text);
        let text = format!(
            "@id(\"a\") {kind} permit (principal, action, resource) unless {{ context.satisfied.contains(\"a\") }};"
        );
        fails_with(1, "is on a permit", "forbid (…) when", &text);
    }
}

#[test]
fn an_obligation_of_another_shape_is_refused() {
    let shapes = [
        "",
        "when { context.satisfied.contains(\"a\") }",
        "when { !context.satisfied.contains(\"a\") }",
        "unless { context.satisfied.contains(\"b\") }",
        "unless { context.satisfied.contains(\"a\") || context.agent.verified }",
        "unless { context.satisfied.contains(\"a\") && context.agent.verified }",
        "unless { context.satisfied.containsAny([\"a\"]) }",
        "unless { context.satisfied.contains(\"a\") } unless { context.agent.verified }",
        "unless { context.satisfied.contains(\"a\") } unless { context.satisfied.contains(\"a\") }",
        "when { context.satisfied.contains(\"b\") } unless { context.satisfied.contains(\"a\") }",
        "when { context.satisfied.isEmpty() } unless { context.satisfied.contains(\"a\") }",
        "when { context[\"satisfied\"].contains(\"b\") } unless { context.satisfied.contains(\"a\") }",
        "unless { context.agent.verified }",
        "unless { [\"a\"].containsAll(context.satisfied) }",
    ];
    for shape in shapes {
        let text = format!("@id(\"a\") @limit_rows(\"5\") {OBLIGED} {shape};");
        fails_with(
            1,
            "not on an obligation of the one shape",
            "contains(\"a\")",
            &text,
        );
    }
}

/// Only an obligation may look at what is satisfied: a permit that does would be granted by it.
#[test]
fn nothing_but_an_obligation_speaks_of_satisfied() {
    for policy in [
        "permit (principal, action, resource) when { context.satisfied.contains(\"b\") }",
        "forbid (principal, action, resource) unless { context.satisfied.contains(\"a\") }",
        "permit (principal, action, resource) when { context has satisfied }",
    ] {
        fails_with(
            1,
            "speaks of `context.satisfied`",
            "Only an obligation may",
            &format!("@id(\"a\") {policy};"),
        );
    }
    fails_with(
        2,
        "uses `context` as a whole",
        "Name the field",
        "@id(\"a\") permit (principal, action == Tollgate::Action::\"http_send\", resource)\nwhen { (if true then context else context).satisfied.contains(\"x\") };",
    );
}

#[test]
fn an_obligation_has_one_well_formed_annotation() {
    let with = |annotation: &str| {
        format!("@id(\"a\") {annotation} {OBLIGED} unless {{ context.satisfied.contains(\"a\") }};")
    };
    fails_with(
        1,
        "several obligations: @confirm, @limit_rows",
        "one policy for each",
        &with("@confirm @limit_rows(\"5\")"),
    );
    for bad in [
        "",
        "0",
        "-1",
        "+5",
        "5.0",
        "1e3",
        "05",
        " 5",
        "5 ",
        "many",
        "99999999999999999999",
    ] {
        fails_with(
            1,
            "not a whole number",
            "@limit_rows(\"1000\")",
            &with(&format!("@limit_rows(\"{bad}\")")),
        );
        fails_with(
            1,
            "not a whole number",
            "@limit_seconds",
            &with(&format!("@limit_seconds(\"{bad}\")")),
        );
    }
    fails_with(
        1,
        "@confirm takes no value",
        "@confirm alone",
        &with("@confirm(\"sure?\")"),
    );
    for bad in [
        "",
        "dba",
        "2",
        "0 dba",
        "2 dba,",
        "-1 dba",
        "2 dba 1 analyst",
        "1 dba, 2 dba",
        "x dba",
    ] {
        fails_with(
            1,
            "@approval",
            "2 dba, 1 security",
            &with(&format!("@approval(\"{bad}\")")),
        );
    }
    fails_with(
        1,
        "group `security`, which nothing knows",
        "analyst, dba, developer",
        &with("@approval(\"1 dba, 1 security\")"),
    );
}

#[test]
fn a_risk_is_high_or_not_written_and_stands_beside_an_approval() {
    let with = |annotation: &str| {
        format!("@id(\"a\") {annotation} {OBLIGED} unless {{ context.satisfied.contains(\"a\") }};")
    };
    fails_with(
        1,
        "@risk(\"low\") is not known",
        "@risk(\"high\")",
        &with("@approval(\"1 dba\") @risk(\"low\")"),
    );
    fails_with(
        1,
        "there is no @approval",
        "beside @approval",
        &with("@confirm @risk(\"high\")"),
    );
}

#[test]
fn an_obligation_on_reveal_alone_is_refused() {
    fails_with(
        1,
        "never asked for",
        "sql_read",
        "@id(\"a\") @confirm forbid (principal, action == Tollgate::Action::\"reveal\", resource) unless { context.satisfied.contains(\"a\") };",
    );
}

#[test]
fn an_explanation_is_one_visible_line() {
    for bad in ["", " ", "two\\nlines", "bell\\u{7}"] {
        fails_with(
            1,
            "must be one line",
            "300 characters",
            &format!("@id(\"a\") @explain(\"{bad}\") permit (principal, action, resource);"),
        );
    }
}

/// A typing mistake in a `forbid` would fail open.
#[test]
fn names_that_configuration_does_not_know_are_refused() {
    let cases = [
        (
            "principal in Tollgate::Group::\"analysts\", action, resource",
            "",
            "group `analysts`",
            "analyst, dba, developer",
        ),
        (
            "principal, action, resource in Tollgate::Label::\"production\"",
            "",
            "label `production`",
            "code, pii, prod, shop",
        ),
        (
            "principal, action, resource == Tollgate::Resource::\"shopp\"",
            "",
            "resource `shopp`",
            "code, shop",
        ),
        (
            "principal == Tollgate::User::\"ana\", action, resource",
            "",
            "user `ana`",
            "<issuer name>#<subject>",
        ),
        (
            "principal, action, resource",
            "when { principal in Tollgate::Group::\"dbas\" }",
            "group `dbas`",
            "dba",
        ),
        (
            "principal, action, resource",
            "when { principal.kind == \"robot\" }",
            "value of principal.kind `robot`",
            "person, service",
        ),
        (
            "principal, action, resource",
            "when { \"robot\" != principal.kind }",
            "value of principal.kind `robot`",
            "person, service",
        ),
        (
            "principal, action, resource",
            "when { [\"git\", \"sqllite\"].contains(resource.kind) }",
            "resource.kind `sqllite`",
            "git, mysql, postgres, shell, sqlite",
        ),
        (
            "principal, action, resource",
            "when { context.transport == \"https\" }",
            "context.transport `https`",
            "http, stdio",
        ),
        (
            "principal, action, resource",
            "when { context.tool == \"sql_qeury\" }",
            "tool `sql_qeury`",
            "sql_query",
        ),
        (
            "principal, action, resource",
            "when { context.session.labels.contains(\"pi\") }",
            "label `pi`",
            "pii",
        ),
        (
            "principal, action, resource",
            "when { context.session.labels.containsAny([\"pii\", \"pi\"]) }",
            "label `pi`",
            "pii",
        ),
        (
            "principal, action == Tollgate::Action::\"reveal\", resource",
            "when { context.class == \"emial\" }",
            "class `emial`",
            "card, email, unlisted",
        ),
    ];
    for (scope, condition, message, help) in cases {
        let text = format!("@id(\"a\")\nforbid (\n{scope}\n)\n{condition};");
        let line = if condition.is_empty() { 3 } else { 5 };
        fails_with(line, message, help, &text);
    }
}

#[test]
fn validation_is_strict_and_its_warnings_count() {
    // An attribute nobody has, a detail that may be missing, an action that does not exist.
    fails_with(
        2,
        "attribute",
        "tollgate.cedarschema",
        "@id(\"a\") permit (principal, action, resource)\nwhen { principal.email == \"x\" };",
    );
    fails_with(
        2,
        "sql",
        "tollgate.cedarschema",
        "@id(\"a\") forbid (principal, action == Tollgate::Action::\"describe\", resource)\nwhen { context.sql.has_where };",
    );
    fails_with(
        1,
        "sql_raed",
        "did you mean",
        "@id(\"a\") forbid (principal, action == Tollgate::Action::\"sql_raed\", resource);",
    );
    // Legal Cedar that can never apply.
    fails_with(
        1,
        "impossible",
        "",
        "@id(\"a\") forbid (principal is Tollgate::Resource, action, resource);",
    );
    fails_with(
        1,
        "",
        "",
        "@id(\"a\") forbid (principal, action == Tollgate::Action::\"read\", resource);",
    );
    // Look-alike characters.
    fails_with(
        1,
        "mixed scripts",
        "",
        "@id(\"a\") forbid (principal, action, resource) when { context.agent.client_id == \"сlaude\" };",
    );
}

#[test]
fn every_fault_is_reported_at_once_in_order() {
    let error = fails(
        "permit (principal, action, resource);\n@id(\"b\") @nope permit (principal, action, resource);\n@id(\"c\") permit (principal in Tollgate::Group::\"x\", action, resource);",
    );
    let lines: Vec<usize> = error.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 2, 3], "{error}");
}

#[test]
fn a_required_detail_needs_no_has() {
    let text = "@id(\"a\") forbid (principal, action == Tollgate::Action::\"sql_read\", resource) when { !context.sql.has_where };";
    let dir = folder(text);
    assert!(Policies::load(dir.path(), scene(), None).is_ok());
}

#[test]
fn incident_19_files_that_others_could_change_are_refused() {
    // Group-writable files of a user's own private group are ours: ownership.rs has the cases.
    for mode in [0o602, 0o666] {
        let dir = folder("@id(\"a\") permit (principal, action, resource);");
        fs::set_permissions(dir.path().join("all.cedar"), fs::Permissions::from_mode(mode)).unwrap();
        let error = Policies::load(dir.path(), scene(), None).unwrap_err();
        assert!(
            error.to_string().contains("can be changed by everybody"),
            "{error}"
        );
        assert!(error.to_string().contains("chmod go-w"), "{error}");
    }
    let dir = folder("@id(\"a\") permit (principal, action, resource);");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = Policies::load(dir.path(), scene(), None).unwrap_err();
    assert!(
        error.to_string().contains("can be changed by everybody"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Policies::load(&dir.path().join("none"), scene(), None).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    fs::write(dir.path().join("a.cedar"), [0xff, 0xfe]).unwrap();
    fs::set_permissions(dir.path().join("a.cedar"), fs::Permissions::from_mode(0o600)).unwrap();
    let binary = Policies::load(dir.path(), scene(), None).unwrap_err();
    assert!(binary.to_string().contains("UTF-8"), "{binary}");
    fs::remove_file(dir.path().join("a.cedar")).unwrap();
    fs::create_dir(dir.path().join("a.cedar")).unwrap();
    assert!(Policies::load(dir.path(), scene(), None).is_err());
    fs::remove_dir(dir.path().join("a.cedar")).unwrap();
    // Opening a pipe would wait for its writer.
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("a.cedar"), pipe, mode, 0).unwrap();
    let error = Policies::load(dir.path(), scene(), None).unwrap_err();
    assert!(error.to_string().contains("is not a file"), "{error}");
}

#[test]
fn policies_in_a_subfolder_are_not_silently_left_out() {
    let dir = folder("@id(\"a\") permit (principal, action, resource);");
    write(
        dir.path(),
        "team/b.cedar",
        "@id(\"b\") forbid (principal, action, resource);",
    );
    let error = Policies::load(dir.path(), scene(), None).unwrap_err();
    assert!(error.to_string().contains("subfolder"), "{error}");
}

#[test]
fn the_digest_covers_names_and_bytes() {
    let digest = |files: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(dir.path(), name, text);
        }
        Policies::load(dir.path(), scene(), None)
            .unwrap()
            .current()
            .digest()
    };
    let (a, b) = ("@id(\"a\") permit (principal, action, resource);", "// nothing\n");
    let one = digest(&[("a.cedar", a), ("b.cedar", b)]);
    assert_eq!(one, digest(&[("b.cedar", b), ("a.cedar", a)]));
    assert_ne!(one, digest(&[("a.cedar", a)]));
    assert_ne!(one, digest(&[("a.cedar", b), ("b.cedar", a)]));
    assert_ne!(one, digest(&[("a.cedar", a), ("c.cedar", b)]));
    assert_ne!(one, digest(&[("a.cedar", &format!("{a} ")), ("b.cedar", b)]));
}
