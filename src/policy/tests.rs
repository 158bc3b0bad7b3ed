//! What can only be seen from inside: that slices mean what the whole set means, and that the
//! vocabulary is the one the call types have.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use cedar_policy::{Authorizer, Decision, PolicyId, PolicySet, Schema};
use proptest::prelude::*;

use super::request::{self, Asking, Parties, Verbs, What, Who};
use super::rules::Rules;
use super::schema::{self, Detail, Presence};
use super::*;
use crate::call::{
    Action, Agent, ClassifiedColumn, FileFacts, ResourceKind, Scope, Session, ShellFacts, SqlFacts,
    Transport, User, UserKind,
};

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn scene() -> Scene {
    let card = |name: &str, labels: &[&str]| ResourceCard {
        name: name.to_owned(),
        kind: ResourceKind::Sqlite,
        description: String::new(),
        labels: words(labels),
    };
    Scene {
        resources: vec![card("r0", &[]), card("r1", &["l0"]), card("r2", &["l0", "l1"])],
        groups: words(&["g0", "g1", "g2"]),
        classes: words(&["email"]),
        tools: words(&["sql_query"]),
        limits: Limits {
            rows: 100,
            bytes: 1000,
            seconds: 10,
        },
    }
}

fn user(subject: &str, groups: &[&str]) -> User {
    User {
        issuer: "corp".to_owned(),
        subject: subject.to_owned(),
        kind: UserKind::Person,
        groups: words(groups),
    }
}

fn agent() -> Agent {
    Agent {
        client_id: "a".to_owned(),
        verified: true,
        claimed_name: "a".to_owned(),
        claimed_version: "1".to_owned(),
    }
}

fn session() -> Session {
    Session {
        id: "s".to_owned(),
        labels: BTreeSet::new(),
    }
}

fn folder(policies: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("all.cedar"), policies).unwrap();
    dir
}

#[test]
fn schema_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(schema::SCHEMA_FILE);
    let text = schema::schema_text();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "{} is stale: run this test with UPDATE_SCHEMA=1",
        schema::SCHEMA_FILE
    );
}

#[test]
fn the_schema_names_the_fields_the_call_types_have() {
    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(&schema::schema_text()).unwrap();
    let json = fragment.to_json_value().unwrap();
    let fields = |name: &str| -> BTreeSet<String> {
        let record = &json["Tollgate"]["commonTypes"][name]["attributes"];
        record.as_object().unwrap().keys().cloned().collect()
    };
    let keys = |value: serde_json::Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(
        fields("Sql"),
        keys(serde_json::to_value(SqlFacts::default()).unwrap())
    );
    assert_eq!(
        fields("File"),
        keys(serde_json::to_value(FileFacts::default()).unwrap())
    );
    assert_eq!(fields("Session"), keys(serde_json::to_value(session()).unwrap()));
    let mut of_agent = keys(serde_json::to_value(agent()).unwrap());
    assert!(
        of_agent.remove("claimed_version"),
        "a version is nothing to decide by"
    );
    assert_eq!(fields("Agent"), of_agent);
    let actions = json["Tollgate"]["actions"].as_object().unwrap();
    for action in Action::ALL {
        assert!(actions.contains_key(action.as_str()), "{action:?}");
    }
    assert_eq!(actions.len(), Action::ALL.len() + 2, "and the two groups");
}

/// Whatever the table promises for an action is what the request builder delivers.
#[test]
fn every_action_can_be_asked_with_its_details_and_not_without() {
    let types = schema::types().unwrap();
    let (schema, _) = Schema::from_cedarschema_str(&schema::schema_text()).unwrap();
    let (user, agent, session) = (user("u", &["g0"]), agent(), session());
    let who = Who::new(&user, types).unwrap();
    let what = What::new(&scene().resources[2], types).unwrap();
    let verbs = Verbs::new(types);
    let (sql, file) = (SqlFacts::default(), FileFacts::default());
    let shell = ShellFacts::default();
    let column = ClassifiedColumn {
        class: "email".to_owned(),
        column: "t.c".to_owned(),
    };
    let parties = Parties::new(&who, &what, &verbs, &BTreeSet::new()).unwrap();
    for action in Action::ALL {
        let full = Asking {
            user: &user,
            agent: &agent,
            session: &session,
            scope: &Scope::default(),
            transport: Transport::Http,
            tool: "t",
            sql: Some(&sql),
            file: Some(&file),
            shell: Some(&shell),
            acr: Some("urn:mfa"),
        };
        let bare = Asking {
            sql: None,
            file: None,
            shell: None,
            acr: None,
            ..full
        };
        let build = |asking: &Asking<'_>, column| {
            request::request(
                asking,
                &parties,
                &verbs,
                (action, column),
                &BTreeSet::new(),
                &schema,
            )
            .is_ok()
        };
        let needs = |detail| schema::presence(action, detail) == Presence::Required;
        assert!(build(&full, Some(&column)), "{action:?} with all");
        let needs_any = Detail::ALL.into_iter().any(needs);
        assert_eq!(build(&bare, None), !needs_any, "{action:?} without");
    }
}

#[derive(Debug, Clone)]
struct Drawn {
    effect: &'static str,
    principal: &'static str,
    action: &'static str,
    resource: &'static str,
    condition: &'static str,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let principals = prop::sample::select(vec![
        "principal",
        "principal is Tollgate::User",
        "principal in Tollgate::Group::\"g0\"",
        "principal in Tollgate::Group::\"g1\"",
        "principal is Tollgate::User in Tollgate::Group::\"g2\"",
        "principal == Tollgate::User::\"corp#u1\"",
        "principal in Tollgate::User::\"corp#u1\"",
    ]);
    let actions = prop::sample::select(vec![
        "action",
        "action in Tollgate::Action::\"read\"",
        "action in [Tollgate::Action::\"change\", Tollgate::Action::\"describe\"]",
        "action == Tollgate::Action::\"describe\"",
        "action == Tollgate::Action::\"http_send\"",
        "action in [Tollgate::Action::\"measure\"]",
    ]);
    let resources = prop::sample::select(vec![
        "resource",
        "resource is Tollgate::Resource",
        "resource == Tollgate::Resource::\"r1\"",
        "resource in Tollgate::Resource::\"r2\"",
        "resource in Tollgate::Label::\"l0\"",
        "resource is Tollgate::Resource in Tollgate::Label::\"l1\"",
    ]);
    let conditions = prop::sample::select(vec![
        "",
        "when { context.agent.verified }",
        "unless { context.agent.verified }",
        "when { principal in Tollgate::Group::\"g1\" }",
        "when { context.tool == \"sql_query\" && resource in Tollgate::Label::\"l1\" }",
        // Errs when it is reached: the sum does not fit.
        "when { context.transport == \"stdio\" && 9223372036854775807 + 1 > 0 }",
    ]);
    let effects = prop::sample::select(vec!["permit", "permit", "forbid"]);
    (effects, principals, actions, resources, conditions).prop_map(
        |(effect, principal, action, resource, condition)| Drawn {
            effect,
            principal,
            action,
            resource,
            condition,
        },
    )
}

fn written(policies: &[Drawn]) -> String {
    policies
        .iter()
        .enumerate()
        .map(|(n, p)| {
            format!(
                "@id(\"p{n}\") {} ({}, {}, {}) {};\n",
                p.effect, p.principal, p.action, p.resource, p.condition
            )
        })
        .collect()
}

fn whole(text: &str) -> PolicySet {
    let parsed = PolicySet::from_str(text).unwrap();
    let keyed = parsed
        .policies()
        .map(|policy| policy.new_id(PolicyId::new(policy.annotation("id").unwrap())));
    PolicySet::from_policies(keyed).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Evaluating the slices is evaluating the whole set: same decision, same reasons, errors seen
    /// in one are seen in the other; and whatever is permitted is visible.
    #[test]
    fn slices_mean_what_the_whole_set_means(
        policies in prop::collection::vec(drawn(), 0..14),
        subject in prop::sample::select(vec!["u0", "u1"]),
        groups in prop::sample::subsequence(vec!["g0", "g1", "g2"], 0..=3),
        verified in any::<bool>(),
        stdio in any::<bool>(),
    ) {
        let text = written(&policies);
        let dir = folder(&text);
        let scene = Arc::new(scene());
        let rules = Rules::load(dir.path(), &scene).unwrap();
        let all = whole(&text);
        let types = schema::types().unwrap();
        let (user, session) = (user(subject, &groups), session());
        let agent = Agent { verified, ..agent() };
        let who = Who::new(&user, types).unwrap();
        let verbs = Verbs::new(types);
        let visible = rules.visible(&user);
        let (classified, evidence) = (BTreeSet::new(), Evidence::default());
        for action in [Action::Describe, Action::HttpSend, Action::Measure] {
            for card in &scene.resources {
                let question = Question {
                    asking: Asking {
                        user: &user,
                        agent: &agent,
                        session: &session,
                        scope: &Scope::default(),
                        transport: if stdio { Transport::Stdio } else { Transport::Http },
                        tool: "sql_query",
                        sql: None,
                        file: None,
                        shell: None,
                        acr: None,
                    },
                    actions: BTreeSet::from([action]),
                    resource: Some(&card.name),
                    classified: &classified,
                    lookup: None,
                    evidence: &evidence,
                    action_sha256: Hash([0; 32]),
                };
                let what = What::new(card, types).unwrap();
                let parties = Parties::new(&who, &what, &verbs, &question.actions).unwrap();
                let request = request::request(
                    &question.asking, &parties, &verbs, (action, None), &BTreeSet::new(), &rules.loaded.schema,
                ).unwrap();
                let response = Authorizer::new().is_authorized(&request, &all, &parties.entities);
                let reasons: BTreeSet<String> = response.diagnostics().reason()
                    .map(|id| AsRef::<str>::as_ref(id).to_owned()).collect();
                let erring = response.diagnostics().errors().next().is_some();
                let judged = rules.judge(&question);
                let permitted = matches!(judged.finding, Finding::Permit { .. });
                prop_assert_eq!(permitted, response.decision() == Decision::Allow && !erring);
                if permitted || !erring {
                    prop_assert_eq!(&judged.ids, &reasons);
                }
                prop_assert!(!permitted || visible.may(action, &card.name));
            }
        }
    }
}

/// However many policies there are, a decision evaluates the few whose scope matches.
#[test]
fn ten_thousand_policies_leave_a_slice_of_a_few() {
    let mut scene = scene();
    let mut text = String::from(
        "@id(\"for-all\") permit (principal, action == Tollgate::Action::\"describe\", resource);\n",
    );
    for n in 0..10_000 {
        let group = format!("team-{n}");
        text.push_str(&format!(
            "@id(\"t{n}\") permit (principal in Tollgate::Group::\"{group}\", action == Tollgate::Action::\"http_send\", resource in Tollgate::Label::\"l0\");\n"
        ));
        scene.groups.insert(group);
    }
    let dir = folder(&text);
    let rules = Rules::load(dir.path(), &Arc::new(scene)).unwrap();
    assert_eq!(rules.loaded.rules.len(), 10_001);
    let user = user("u", &["team-77", "team-78"]);
    let in_scope = rules.in_scope(&user, Action::HttpSend, "r1");
    assert_eq!(in_scope, words(&["t77", "t78"]));
    assert!(rules.in_scope(&user, Action::HttpSend, "r0").is_empty());
    let visible = rules.visible(&user);
    assert!(visible.may(Action::HttpSend, "r2") && !visible.may(Action::HttpSend, "r0"));
}
