//! Tools declared by `tools/*.toml`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use serde_json::{Value, json};
use tollgate::call::request::Parameters;
use tollgate::call::{Action, Request};
use tollgate::tool::{LoadError, Misfit, Tools};

use super::{arrival, call, cards, only, refused, visible};

#[test]
fn declared_values_are_bound_and_never_part_of_the_statement() {
    let made = call(
        "orders_of_customer",
        json!({"resource": "shop", "customer_id": 7}),
    )
    .unwrap();
    assert_eq!(
        (made.tool.as_str(), made.action),
        ("orders_of_customer", Action::SqlRead)
    );
    assert_eq!(made.arguments, json!({"resource": "shop", "customer_id": 7}));
    let Request::SqlQuery(query) = made.request else {
        panic!()
    };
    assert!(query.statement.contains(":customer_id") && !query.statement.contains('7'));
    let Some(Parameters::Named(values)) = query.parameters else {
        panic!()
    };
    assert_eq!(Value::Object(values), json!({"customer_id": 7, "status": null}));
    assert!(
        matches!(call("orders_of_customer", json!({"resource": "vault", "customer_id": 7})), Err(Misfit::Refused(refusal)) if refusal.code.as_str() == "unknown_resource")
    );
}

/// Incident 2: a value an agent gives was formatted into SQL text.
#[test]
fn incident_02_a_value_never_becomes_sql_text() {
    let hostile = "x'; DROP TABLE customers; --";
    let (_dir, tools) = declare(
        "statement = \"SELECT id FROM customers WHERE city = :city\"\n[parameters.city]\ntype = \"string\"\ndescription = \"City\"\n",
    );
    let made = tools
        .unwrap()
        .invocation(
            &arrival("t", json!({"resource": "shop", "city": hostile})),
            &visible(),
        )
        .unwrap();
    let Request::SqlQuery(query) = made.request else {
        panic!()
    };
    assert_eq!(query.statement, "SELECT id FROM customers WHERE city = :city");
    assert_eq!(
        query.parameters,
        Some(Parameters::Named(
            [("city".to_owned(), json!(hostile))].into_iter().collect()
        ))
    );
}

/// Incident 12: a database name was taken as it came.
#[test]
fn incident_12_every_parameter_is_typed_and_checked() {
    for (arguments, word) in [
        (
            json!({"resource": "shop; ATTACH 'x'", "table": "customers"}),
            "unknown_resource",
        ),
        (json!({"resource": "shop", "table": 5}), "invalid_arguments"),
        (
            json!({"resource": "shop", "table": {"name": "customers"}}),
            "invalid_arguments",
        ),
        (
            json!({"resource": "shop", "db_name": "main"}),
            "invalid_arguments",
        ),
        (
            json!({"resource": "shop", "table": "x\u{0}"}),
            "invalid_arguments",
        ),
        (json!({"resource": ["shop"]}), "invalid_arguments"),
    ] {
        assert_eq!(
            refused("sql_schema", arguments.clone()).code.as_str(),
            word,
            "{arguments}"
        );
    }
    for value in [
        json!("1"),
        json!(0),
        json!(1.5),
        json!([1]),
        json!(true),
        json!("1 OR 1=1"),
    ] {
        let refusal = refused(
            "orders_of_customer",
            json!({"resource": "shop", "customer_id": value}),
        );
        assert_eq!(refusal.code.as_str(), "invalid_arguments");
        assert!(
            refusal
                .message
                .starts_with("`customer_id` must be an integer of at least 1"),
            "{refusal:?}"
        );
    }
    // Anchored: a match somewhere inside is not enough, a final line feed is too much.
    for value in ["paid x", "paid\n", "Paid", ""] {
        assert_eq!(
            refused(
                "orders_of_customer",
                json!({"resource": "shop", "customer_id": 1, "status": value})
            )
            .code
            .as_str(),
            "invalid_arguments"
        );
    }
}

fn declare(rest: &str) -> (tempfile::TempDir, Result<Tools, LoadError>) {
    let head = "name = \"t\"\ntitle = \"T\"\ndescription = \"D\"\nkind = \"sqlite\"\n";
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t.toml"), format!("{head}{rest}")).unwrap();
    let tools = Tools::load(Some(dir.path()), &cards());
    (dir, tools)
}

#[test]
fn declared_tools_that_are_wrong_say_where_and_what_to_write() {
    let parameter =
        |keys: &str| format!("statement = \"SELECT :a\"\n[parameters.a]\ndescription = \"A\"\n{keys}\n");
    let whole = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t.toml"), text).unwrap();
        let error = Tools::load(Some(dir.path()), &cards()).unwrap_err();
        error.to_string().replace(dir.path().to_str().unwrap(), "tools")
    };
    let rest = |text: &str| {
        let (dir, tools) = declare(text);
        tools
            .unwrap_err()
            .to_string()
            .replace(dir.path().to_str().unwrap(), "tools")
    };
    let named = |name: &str| {
        format!(
            "name = \"{name}\"\ntitle = \"T\"\ndescription = \"D\"\nkind = \"sqlite\"\nstatement = \"SELECT 1\"\n"
        )
    };
    let errors = [
        whole(""),
        whole("name = 5"),
        whole(&named("Sql")),
        whole(&named("sql_query")),
        whole(&named("a-b")),
        whole(&named(&"a".repeat(41))),
        whole(&named("")),
        whole(
            "name = \"t\"\ntitle = \"\"\ndescription = \"D\"\nkind = \"sqlite\"\nstatement = \"SELECT 1\"\n",
        ),
        whole(
            "name = \"t\"\ntitle = \"T\"\ndescription = \"D\"\nkind = \"oracle\"\nstatement = \"SELECT 1\"\n",
        ),
        whole("name = \"t\"\ntitle = \"T\"\ndescription = \"D\"\nkind = \"git\"\nstatement = \"SELECT 1\"\n"),
        rest(&parameter("type = \"string\"\npattern = \"a)|(b\"")),
        rest("statement = \"SELECT 1\"\nretries = 3\n"),
        rest("statement = \"\"\n"),
        rest("statement = \"SELECT 1\"\nresource = \"nowhere\"\n"),
        rest("statement = \"SELECT 1\"\nresource = \"web\"\n"),
        rest("statement = \"\"\"\nSELECT id\nFROM customers\nWHERE id = :id\n\"\"\"\n"),
        rest("statement = \"SELECT ?1\"\n"),
        rest("statement = \"SELECT @a\"\n"),
        rest("statement = \"SELECT $a\"\n"),
        rest(
            "statement = \"SELECT ':a', \\\":a\\\", [:a] -- :a\\n /* :a */\"\n[parameters.a]\ntype = \"string\"\ndescription = \"A\"\n",
        ),
        rest(&parameter("type = \"text\"")),
        rest(&parameter("type = \"string\"\nmin = 1")),
        rest(&parameter("type = \"integer\"\npattern = \"x\"")),
        rest(&parameter("type = \"integer\"\nmin = \"x\"")),
        rest(&parameter("type = \"integer\"\ndefault = \"x\"")),
        rest(&parameter("type = \"integer\"\ndefault = 1\nrequired = true")),
        rest(&parameter("type = \"string\"\npattern = \"(\"")),
        rest(&parameter(
            "type = \"string\"\npattern = \"[0-9]+\"\ndefault = \"x\"",
        )),
        rest(&parameter("type = \"enum\"")),
        rest(&parameter("type = \"string\"\nvalues = [\"a\"]")),
        rest(&parameter("type = \"date\"\nmin = \"2026-02-30\"")),
        rest(&parameter("type = \"string\"\nsize = 3")),
        rest("statement = \"SELECT :limit\"\n[parameters.limit]\ntype = \"integer\"\ndescription = \"A\"\n"),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn two_files_cannot_declare_one_name_and_a_missing_folder_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        "name = \"t\"\ntitle = \"T\"\ndescription = \"D\"\nkind = \"sqlite\"\nstatement = \"SELECT 1\"\n";
    std::fs::write(dir.path().join("a.toml"), text).unwrap();
    std::fs::write(dir.path().join("b.toml"), text).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "not a tool").unwrap();
    let error = Tools::load(Some(dir.path()), &cards()).unwrap_err();
    assert!(
        error.file.ends_with("b.toml") && error.message.contains("already declared in"),
        "{error}"
    );
    assert!(Tools::load(Some(&dir.path().join("none")), &cards()).is_err());
}

#[test]
fn declared_tools_that_are_right() {
    let (_dir, tools) = declare(
        "resource = \"shop\"\nstatement = \"SELECT :s, :i, :n, :b, :d, :e, ':no', 1 AS a$b -- :no\"\n\
         [parameters.s]\ntype = \"string\"\ndescription = \"S\"\ndefault = \"x\"\n\
         [parameters.i]\ntype = \"integer\"\ndescription = \"I\"\nmin = 1\nmax = 3\n\
         [parameters.n]\ntype = \"number\"\ndescription = \"N\"\nmax = 2.5\n\
         [parameters.b]\ntype = \"boolean\"\ndescription = \"B\"\nrequired = false\n\
         [parameters.d]\ntype = \"date\"\ndescription = \"D\"\n\
         [parameters.e]\ntype = \"enum\"\ndescription = \"E\"\nvalues = [\"a\", \"b\"]\n",
    );
    let tools = tools.unwrap();
    let shop = only("shop", &[Action::SqlRead]);
    let good = json!({"i": 3, "n": 2.5, "d": "2026-02-28", "e": "a"});
    let made = tools.invocation(&arrival("t", good.clone()), &shop).unwrap();
    assert_eq!((made.resource.as_deref(), &made.arguments), (Some("shop"), &good));
    let Request::SqlQuery(query) = made.request else {
        panic!()
    };
    let Some(Parameters::Named(values)) = query.parameters else {
        panic!()
    };
    assert_eq!(
        Value::Object(values),
        json!({"s": "x", "i": 3, "n": 2.5, "b": null, "d": "2026-02-28", "e": "a"})
    );
    for (key, value) in [
        ("i", json!(4)),
        ("n", json!(2.6)),
        ("d", json!("28.02.2026")),
        ("e", json!("c")),
        ("b", json!("true")),
        ("resource", json!("vault")),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(
            matches!(
                tools.invocation(&arrival("t", bad), &shop),
                Err(Misfit::Refused(_))
            ),
            "{key}"
        );
    }
    // A fixed resource that is invisible hides the tool.
    assert!(matches!(
        tools.invocation(&arrival("t", good), &only("vault", &[Action::SqlRead])),
        Err(Misfit::Tool(_))
    ));
}
