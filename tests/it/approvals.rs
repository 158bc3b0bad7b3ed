//! Approvals on the whole path: gate, policies, journal, store, and the adapter that executes.

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::app::{App, Purpose};
use tollgate::approval::review::{Choice, NotDecided, Reviewer, State, Via};
use tollgate::call::{ApprovalId, Arrival, CallId, Caller, Confirmation, Transport, User, UserKind};
use tollgate::clock::{System, World};
use tollgate::config::Config;
use tollgate::mask::Masked;
use tollgate::store::{Store, Tuning};

use super::support::site::Site;

const REVIEWED: &str = r#"
@id("code-is-reviewed")
@approval("1 analyst")
@explain("Reading this code is reviewed.")
forbid (principal, action == Tollgate::Action::"file_read", resource in Tollgate::Label::"code")
unless { context.satisfied.contains("code-is-reviewed") };

@id("analysts-review")
permit (principal in Tollgate::Group::"analyst", action == Tollgate::Action::"approve", resource);
"#;

struct Nobody;

impl Caller for Nobody {
    fn confirm<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Confirmation> {
        Box::pin(std::future::ready(Confirmation::Unavailable))
    }
}

async fn site() -> (Site, App) {
    let site = Site::new().await;
    std::fs::remove_dir_all(site.dir.path().join("policies/tests")).unwrap();
    std::fs::write(site.dir.path().join("policies/90-here.cedar"), REVIEWED).unwrap();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let control = "[server]\ncontrol_listen = \"127.0.0.1:1\"\ncontrol_url = \"http://localhost:1\"";
    let mut text = text.replacen("[server]", control, 1);
    if !text.contains("[approval]") {
        text.push_str("\n[approval]\nhold_seconds = 0\n");
    }
    std::fs::write(site.config(), text).unwrap();
    let app = build(&site).await;
    (site, app)
}

async fn build(site: &Site) -> App {
    let config = Config::load(&site.config()).unwrap();
    App::build(config, Purpose::Serve).await.unwrap()
}

async fn call(app: &App, tool: &str, arguments: Value) -> Masked {
    let mut random = [0; 10];
    let world = System::new();
    world.random(&mut random);
    let arrival = Arrival {
        hold: Some(std::time::Duration::ZERO),
        call_id: CallId::new(world.now().0, &random),
        principal: app.gate.identity.local(),
        transport: Transport::Stdio,
        tool: tool.to_owned(),
        arguments: arguments.as_object().unwrap().clone(),
        cancel: CancellationToken::new(),
    };
    app.gate.call(arrival, &Nobody).await.unwrap()
}

async fn read(app: &App) -> Masked {
    call(app, "file_read", json!({"resource": "code", "path": "README.md"})).await
}

async fn wait(app: &App, id: &str) -> Masked {
    call(app, "approval_wait", json!({"approval_id": id})).await
}

fn reviewer() -> Reviewer {
    Reviewer {
        user: User {
            issuer: "corp".to_owned(),
            subject: "u-2".to_owned(),
            kind: UserKind::Person,
            groups: ["analyst".to_owned()].into(),
        },
        signed_in_at: System::new().now(),
        acr: None,
        may_reach: Vec::new(),
        key: None,
        via: Via::Control,
    }
}

async fn decide(app: &App, id: &str, choice: Choice) -> Result<State, NotDecided> {
    let (gate, id) = (&app.gate, ApprovalId(id.to_owned()));
    let rules = gate.policies.current();
    let sheet = gate.approvals.show(&reviewer(), &rules, &id).await?;
    assert_eq!(sheet.because[0].0, "code-is-reviewed");
    let decided = gate
        .approvals
        .decide(&reviewer(), &rules, &id, choice, &sheet.action_sha256)
        .await;
    decided.map(|card| card.state)
}

fn field<'a>(answer: &'a Masked, pointer: &str) -> &'a str {
    answer
        .envelope()
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What the journal says of a request: the records of its transitions.
async fn decisions(site: &Site, id: &str) -> Vec<Value> {
    let config = Config::load(&site.config()).unwrap();
    let store = Store::open_existing_at(&config.store.address, &Tuning::default())
        .await
        .unwrap();
    let mut reader = store.reader().await.unwrap();
    let rows = reader.range(0, 1_000).await.unwrap();
    rows.iter()
        .map(|(row, _)| serde_json::from_slice::<Value>(&row.record).unwrap())
        .filter(|record| record["phase"] == "decision" && record["approval"]["id"] == id)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_is_approved_runs_once_and_is_answered_again_also_after_a_restart() {
    let (site, app) = site().await;
    let asked = read(&app).await;
    assert_eq!(field(&asked, "/status"), "approval_pending", "{}", asked.text());
    assert!(!asked.is_error());
    let id = field(&asked, "/approval/id").to_owned();
    assert_eq!(
        field(&asked, "/approval/url"),
        format!("http://localhost:1/approvals/{id}")
    );
    assert_eq!(field(&wait(&app, &id).await, "/approval/id"), id);
    assert_eq!(
        field(&read(&app).await, "/approval/id"),
        id,
        "the identical call is the same request"
    );

    assert_eq!(decide(&app, &id, Choice::Approve).await, Ok(State::Granted));
    let answer = wait(&app, &id).await;
    assert_eq!(field(&answer, "/status"), "ok", "{}", answer.text());
    let text = field(&answer, "/data/text").to_owned();
    assert!(!text.is_empty());
    let first = field(&answer, "/call_id").to_owned();
    for again in [wait(&app, &id).await, read(&app).await] {
        assert_eq!(
            (field(&again, "/status"), field(&again, "/repeats")),
            ("ok", first.as_str())
        );
        assert_eq!(field(&again, "/data/text"), text);
        assert_ne!(field(&again, "/call_id"), first);
        assert!(again.text().contains("nothing ran now"));
    }
    let told = decisions(&site, &id).await;
    let words: Vec<&str> = told
        .iter()
        .map(|record| record["outcome"]["status"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["requested", "approved", "granted", "spent", "answered"]);
    assert_eq!(told[1]["approval"]["by"], "corp#u-2");
    assert_eq!(told[3]["call_id"], first.as_str());
    app.gate.audit.close().await.unwrap();
    drop(app);

    let app = build(&site).await; // a new process: a new session of the same person
    let elsewhere = wait(&app, &id).await;
    assert_eq!(
        field(&elsewhere, "/refusal/code"),
        "not_found",
        "its answer stays with the session that read it"
    );
    assert_eq!(
        field(&read(&app).await, "/status"),
        "approval_pending",
        "another session asks for itself"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_the_agent_and_a_policy_that_has_changed_decides_again() {
    let (site, app) = site().await;
    let id = field(&read(&app).await, "/approval/id").to_owned();
    assert_eq!(
        decide(&app, &id, Choice::Refuse("ask the owner first".to_owned())).await,
        Ok(State::Refused)
    );
    for answer in [wait(&app, &id).await, read(&app).await] {
        assert_eq!(field(&answer, "/refusal/code"), "approval_denied");
        assert!(field(&answer, "/refusal/message").ends_with("Their words: \"ask the owner first\""));
    }
    let other = json!({"resource": "code", "path": "README.md", "start_line": 1});
    let id = field(&call(&app, "file_read", other).await, "/approval/id").to_owned();
    assert_eq!(decide(&app, &id, Choice::Approve).await, Ok(State::Granted));
    let closed = "\n@id(\"closed\") forbid (principal, action == Tollgate::Action::\"file_read\", resource) \
                  when { context.transport == \"stdio\" };";
    let policies = site.dir.path().join("policies/90-here.cedar");
    std::fs::write(&policies, format!("{REVIEWED}{closed}")).unwrap();
    app.gate.policies.reload().unwrap();
    assert_eq!(field(&wait(&app, &id).await, "/refusal/code"), "not_permitted");
    std::fs::write(&policies, REVIEWED.replace("1 analyst", "2 analyst")).unwrap();
    app.gate.policies.reload().unwrap();
    let more = wait(&app, &id).await;
    assert_eq!(
        field(&more, "/status"),
        "approval_pending",
        "more is asked since: {}",
        more.text()
    );
    assert_ne!(field(&more, "/approval/id"), id);
}
