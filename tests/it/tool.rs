//! The catalogue, what agents may send, and what they are told when it does not fit.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod command;
mod declared;
mod steps;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tollgate::call::{
    Action, Agent, Arrival, CallId, Invocation, Principal, Refusal, Request, ResourceCard, ResourceKind,
    Scope, Session, Transport, User, UserKind, Visible,
};
use tollgate::tool::{Misfit, ToolCard, Tools};

fn card(name: &str, kind: ResourceKind) -> ResourceCard {
    ResourceCard {
        name: name.to_owned(),
        kind,
        description: String::new(),
        labels: BTreeSet::new(),
    }
}

fn cards() -> Vec<ResourceCard> {
    vec![
        card("shop", ResourceKind::Sqlite),
        card("vault", ResourceKind::Sqlite),
        card("web", ResourceKind::Git),
        card("work", ResourceKind::Shell),
    ]
}

fn shipped() -> Tools {
    Tools::load(
        Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")),
        &cards(),
    )
    .unwrap()
}

/// Everything about `shop`, `web` and `work`; nothing about `vault`.
fn visible() -> Visible {
    Visible::of(
        [
            ("shop", vec![Action::Describe, Action::SqlRead, Action::SqlWrite]),
            ("work", vec![Action::ShellRun]),
            (
                "web",
                vec![Action::Describe, Action::FileRead, Action::FileSearch],
            ),
        ]
        .into_iter()
        .map(|(name, actions)| (name.to_owned(), actions.into_iter().collect()))
        .collect(),
    )
}

fn arrival(tool: &str, arguments: Value) -> Arrival {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    Arrival {
        hold: None,
        call_id: CallId::new(1, &[7; 10]),
        principal: Principal {
            user: User {
                issuer: "corp".into(),
                subject: "u1".into(),
                kind: UserKind::Person,
                groups: BTreeSet::new(),
            },
            agent: Agent {
                client_id: "agent-1".into(),
                verified: true,
                claimed_name: "agent".into(),
                claimed_version: "1".into(),
            },
            session: Session {
                id: "s1".into(),
                labels: BTreeSet::new(),
            },
            scope: Scope::default(),
        },
        transport: Transport::Http,
        tool: tool.to_owned(),
        arguments,
        cancel: Default::default(),
    }
}

fn call(tool: &str, arguments: Value) -> Result<Invocation, Misfit> {
    shipped().invocation(&arrival(tool, arguments), &visible())
}

fn refused(tool: &str, arguments: Value) -> Refusal {
    match call(tool, arguments) {
        Err(Misfit::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn said(tool: &str, arguments: Value) -> String {
    let refusal = refused(tool, arguments);
    format!(
        "{}: {} => {}",
        refusal.code.as_str(),
        refusal.message,
        refusal.suggestion
    )
}

#[test]
fn a_query_is_typed_and_canonical() {
    let made = call(
        "sql_query",
        json!({"resource": "shop", "statement": "SELECT 1", "limit": 5.0, "cursor": null}),
    )
    .unwrap();
    assert_eq!(
        made.arguments,
        json!({"resource": "shop", "statement": "SELECT 1", "limit": 5})
    );
    assert_eq!(made.action, Action::SqlRead);
    assert_eq!(made.resource.as_deref(), Some("shop"));
    assert!(matches!(made.request, Request::SqlQuery(_)));
}

#[test]
fn the_catalogue_is_as_it_was() {
    let lines: Vec<String> = shipped()
        .listed(&visible())
        .iter()
        .map(|card| {
            format!(
                "{} [{}] {}\n  {}\n  in  {}\n  out {}",
                card.name,
                card.action.as_str(),
                card.title,
                card.description,
                json!(*card.input_schema),
                json!(*card.output_schema)
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// As `tools/list` sends it.
fn on_the_wire(card: &ToolCard) -> Value {
    json!({
        "name": card.name,
        "title": card.title,
        "description": card.description,
        "inputSchema": *card.input_schema,
        "outputSchema": *card.output_schema,
        "annotations": {
            "readOnlyHint": card.action.is_pure_read(),
            "destructiveHint": !card.action.is_pure_read(),
            "idempotentHint": card.action.is_pure_read(),
            "openWorldHint": false,
        },
    })
}

#[test]
fn the_built_in_catalogue_stays_under_two_thousand_tokens() {
    let visible = Visible {
        ahead: true,
        ..visible()
    };
    let tools = Tools::load(None, &cards()).unwrap();
    assert_eq!(tools.listed(&visible).len(), 9, "nobody could be asked ahead");
    let cards = tools.asking_ahead().listed(&visible);
    assert_eq!(cards.len(), 10);
    let text = json!({"tools": cards.iter().map(on_the_wire).collect::<Vec<_>>()}).to_string();
    let tokens = tokens(&text);
    println!("the built-in catalogue is {tokens} tokens, {} bytes", text.len());
    assert!(tokens > 500, "{tokens} tokens cannot be right");
    assert!(tokens < 2000, "the built-in catalogue is {tokens} tokens");
}

/// Counts with a real tokenizer (`tests/peers/setup-tokens` installs it).
#[expect(
    clippy::disallowed_methods,
    reason = "the tokenizer is a program of another language"
)]
fn tokens(text: &str) -> usize {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/tokens");
    let mut child = Command::new("node")
        .arg("count.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs (see tests/peers/setup-tokens)");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "run tests/peers/setup-tokens first");
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn names(visible: &Visible) -> Vec<String> {
    shipped()
        .listed(visible)
        .into_iter()
        .map(|card| card.name)
        .collect()
}

fn only(resource: &str, actions: &[Action]) -> Visible {
    Visible::of(
        [(resource.to_owned(), actions.iter().copied().collect())]
            .into_iter()
            .collect(),
    )
}

#[test]
fn a_tool_exists_only_where_a_visible_resource_of_its_kind_admits_it() {
    assert!(names(&Visible::default()).is_empty());
    assert_eq!(
        names(&only("web", &[Action::FileRead])),
        ["list_resources", "file_list", "file_read", "approval_wait"]
    );
    assert_eq!(
        names(&only("shop", &[Action::Describe])),
        ["list_resources", "sql_schema", "approval_wait"]
    );
    // The action alone is not enough: `web` is not a database.
    for nothing_fits in ["web", "nothing"] {
        assert_eq!(
            names(&only(nothing_fits, &[Action::SqlRead])),
            ["list_resources", "approval_wait"]
        );
    }
    assert_eq!(
        names(&only("work", &[Action::ShellRun])),
        ["list_resources", "shell_run", "approval_wait", "find_text"]
    );
    assert_eq!(
        names(&only("shop", &[Action::SqlWrite])),
        ["list_resources", "sql_execute", "approval_wait"]
    );
    assert_eq!(
        names(&only("shop", &[Action::SqlRead])),
        [
            "list_resources",
            "sql_query",
            "approval_wait",
            "customer_overview",
            "orders_of_customer",
            "revenue_by_month",
            "top_products"
        ]
    );
}

#[test]
fn an_invisible_tool_and_an_invented_one_look_the_same() {
    let visible = only("web", &[Action::FileRead]);
    for name in ["sql_query", "invented", "SQL_QUERY", "file_read ", ""] {
        let misfit = shipped()
            .invocation(&arrival(name, json!({"resource": "shop"})), &visible)
            .unwrap_err();
        assert!(matches!(misfit, Misfit::Tool(unknown) if unknown.name == name));
    }
    let long = "x".repeat(10_000);
    let misfit = shipped()
        .invocation(&arrival(&long, json!({})), &visible)
        .unwrap_err();
    assert!(matches!(misfit, Misfit::Tool(unknown) if unknown.name.len() == 128));
}

#[test]
fn an_invisible_resource_and_an_invented_one_look_the_same() {
    let ask = |resource: &str| {
        said(
            "sql_query",
            json!({"resource": resource, "statement": "SELECT 1"}),
        )
    };
    assert_eq!(
        ask("vault").replace("vault", "X"),
        ask("vaults").replace("vaults", "X")
    );
    assert_eq!(ask("SHOP").replace("SHOP", "X"), ask("none").replace("none", "X"));
    assert!(ask("vault").starts_with("unknown_resource: "));
    // Also for a tool of another kind.
    assert!(said("file_read", json!({"resource": "vault", "path": "a"})).starts_with("unknown_resource: "));
}

#[test]
fn what_agents_are_told() {
    let shop = |more: Value| {
        let mut arguments = json!({"resource": "shop", "statement": "SELECT 1"});
        arguments
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        said("sql_query", arguments)
    };
    let messages = [
        said("file_read", json!({})),
        said(
            "file_read",
            json!({"resource": "web", "path": "a", "startline": 3}),
        ),
        said("file_read", json!({"resource": "web", "file": "a"})),
        said(
            "file_read",
            json!({"resource": "web", "path": "a", "start_line": "ten"}),
        ),
        said(
            "file_read",
            json!({"resource": "web", "path": "a", "start_line": 0}),
        ),
        said(
            "file_read",
            json!({"resource": "web", "path": "a", "start_line": 9, "end_line": 3}),
        ),
        said("file_read", json!({"resource": "web", "path": null})),
        said("file_read", json!({"resource": "web", "path": "a\u{0}b"})),
        said("file_read", json!({"resource": "shop", "path": "a"})),
        said(
            "file_search",
            json!({"resource": "web", "pattern": "x", "regex": "yes", "branch": "main"}),
        ),
        said("file_search", json!({"resource": "web", "pattern": ""})),
        said("list_resources", json!({"kind": "oracle"})),
        said("list_resources", json!({"zzzzzzzzzz": 1})),
        said("sql_query", json!({"resource": "web", "statement": "SELECT 1"})),
        said("sql_query", json!({"resource": "shop", "query": "SELECT 1"})),
        shop(json!({"limit": 1.5})),
        shop(json!({"limit": -1})),
        shop(json!({"limit": 9_007_199_254_740_993_u64})),
        shop(json!({"parameters": "x"})),
        shop(json!({"parameters": [[1]]})),
        shop(json!({"parameters": {":id": 1}})),
        shop(json!({"parameters": {"id": {"a": 1}}})),
        shop(json!({"parameters": {"id": 9_007_199_254_740_993_u64}})),
        shop(json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5})),
        said(
            "top_products",
            json!({"resource": "shop", "from": "2026-02-30", "to": "2026-03-01"}),
        ),
        said(
            "top_products",
            json!({"resource": "shop", "from": "1999-12-31", "to": "2026-03-01"}),
        ),
        said("revenue_by_month", json!({"resource": "shop", "year": 1900})),
        said(
            "orders_of_customer",
            json!({"resource": "shop", "customer_id": "1 OR 1=1"}),
        ),
        said(
            "orders_of_customer",
            json!({"resource": "shop", "customer_id": 1, "status": "paid' --"}),
        ),
        said("orders_of_customer", json!({"resource": "web", "customer_id": 1})),
    ];
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn hostile_arguments_are_refused_without_an_echo() {
    let deep = (0..500).fold(json!(1), |inner, _| json!([inner]));
    let huge = "a".repeat(5_000_000);
    let query = |more: Value| {
        let mut arguments = json!({"resource": "shop", "statement": "SELECT 1"});
        arguments
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        refused("sql_query", arguments)
    };
    let many: Value = (0..100_000)
        .map(|number| (format!("p{number}"), json!(number)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let refusals = [
        query(json!({"parameters": deep})),
        query(json!({"statement": huge})),
        query(json!({"resource": huge})),
        query(json!({"parameters": many})),
        query(json!({huge.as_str(): 1})),
        query(json!({"cursor": huge})),
        query(json!({"parameters": [huge]})),
        query(json!({"parameters": vec!["x".repeat(60_000); 10]})),
        query(json!({"statement": ["SELECT 1"]})),
        query(json!({"Resource": "vault"})),
        query(json!({"resource ": "vault"})),
        query(json!({"r\u{435}source": "vault"})), // a Cyrillic letter
        query(json!({"statement\u{0}": "x"})),
        query(json!({"limit": "5"})),
        query(json!({"limit": 1e300})),
        query(json!({"limit": true})),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code.as_str(), "invalid_arguments", "{refusal:?}");
        assert!(
            refusal.message.len() + refusal.suggestion.len() < 700,
            "{refusal:?}"
        );
        assert!(!refusal.message.contains("vault"), "{refusal:?}");
        assert!(!refusal.message.chars().any(char::is_control), "{refusal:?}");
    }
}

#[test]
fn the_key_of_a_request_is_that_of_the_identical_call_only() {
    let base = || {
        arrival(
            "sql_query",
            json!({"resource": "shop", "statement": "SELECT :a", "parameters": {"a": 1}}),
        )
    };
    let key = |arrival: &Arrival| shipped().invocation(arrival, &visible()).unwrap().request_key;
    let same = arrival(
        "sql_query",
        json!({"parameters": {"a": 1}, "cursor": null, "statement": "SELECT :a", "resource": "shop"}),
    );
    assert_eq!(key(&base()), key(&same));
    let mut others: Vec<Arrival> = Vec::new();
    let mut change = |with: fn(&mut Arrival)| {
        let mut changed = base();
        with(&mut changed);
        others.push(changed);
    };
    change(|arrival| arrival.principal.user.subject = "u2".into());
    change(|arrival| arrival.principal.user.issuer = "other".into());
    change(|arrival| arrival.principal.agent.client_id = "agent-2".into());
    change(|arrival| arrival.principal.session.id = "s2".into());
    change(|arrival| drop(arrival.arguments.insert("limit".into(), json!(1))));
    change(|arrival| drop(arrival.arguments.insert("parameters".into(), json!({"a": "1"}))));
    change(|arrival| drop(arrival.arguments.insert("parameters".into(), json!([1]))));
    change(|arrival| drop(arrival.arguments.insert("statement".into(), json!("SELECT :a "))));
    let keys: BTreeSet<_> = others.iter().map(key).chain([key(&base())]).collect();
    assert_eq!(keys.len(), others.len() + 1);
}
