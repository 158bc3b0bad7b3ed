//! The catalogue, what agents may send, and what they are told when it does not fit.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use tollgate::call::request::Parameters;
use tollgate::call::{
    Action, Agent, Arrival, CallId, Invocation, Principal, Refusal, Request, ResourceCard, ResourceKind, Session,
    Transport, User, UserKind, Visible,
};
use tollgate::tool::{LoadError, Misfit, Tools};

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
    ]
}

fn shipped() -> Tools {
    Tools::load(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")), &cards()).unwrap()
}

/// Everything about `shop` and `web`; nothing about `vault`.
fn visible() -> Visible {
    Visible(
        [
            ("shop", vec![Action::Describe, Action::SqlRead]),
            ("web", vec![Action::Describe, Action::FileRead, Action::FileSearch]),
        ]
        .into_iter()
        .map(|(name, actions)| (name.to_owned(), actions.into_iter().collect()))
        .collect(),
    )
}

fn arrival(tool: &str, arguments: Value) -> Arrival {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    Arrival {
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
    format!("{}: {} => {}", refusal.code.as_str(), refusal.message, refusal.suggestion)
}

#[test]
fn a_query_is_typed_and_canonical() {
    let made = call("sql_query", json!({"resource": "shop", "statement": "SELECT 1", "limit": 5.0, "cursor": null})).unwrap();
    assert_eq!(made.arguments, json!({"resource": "shop", "statement": "SELECT 1", "limit": 5}));
    assert_eq!(made.action, Action::SqlRead);
    assert_eq!(made.resource.as_deref(), Some("shop"));
    assert!(matches!(made.request, Request::SqlQuery(_)));
}

#[test]
fn print() {
    for card in shipped().listed(&visible()) {
        println!("{} {} {}", card.name, json!(*card.input_schema), json!(*card.output_schema));
    }
    let _: Option<(Map<String, Value>, Parameters, LoadError)> = None;
    println!("{}", said("sql_query", json!({"resource": "web", "sql": 1, "limit": 0})));
    println!("{}", said("sql_query", json!({"resource": "web", "statement": "x"})));
}
