//! Calls of one session at the same time, and stages that fall over: straight through the gate.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::app::{App, Purpose};
use tollgate::audit::{Audit, AuditSpec, DiskRule, Masking, load_or_create_key};
use tollgate::call::{Arrival, CallId, Caller, Confirmation, MaskCounts, Refusal, Transport};
use tollgate::clock::{System, World};
use tollgate::config::Config;
use tollgate::gate::Gate;
use tollgate::mask::{Mask, Masked};
use tollgate::store::{Store, Tuning};

use super::support::site::Site;

fn arrival(gate: &Gate, tool: &str, arguments: Value) -> Arrival {
    let mut random = [0; 10];
    System::new().random(&mut random);
    Arrival {
        hold: None,
        call_id: CallId::new(1_795_000_000_000, &random),
        principal: gate.identity.local(),
        transport: Transport::Stdio,
        tool: tool.to_owned(),
        arguments: arguments.as_object().unwrap().clone(),
        cancel: CancellationToken::new(),
    }
}

fn outcome(answer: &Masked) -> &str {
    let code = answer.envelope().pointer("/refusal/code");
    code.or_else(|| answer.envelope().get("status"))
        .unwrap()
        .as_str()
        .unwrap()
}

async fn site(policies: &str) -> (Site, App) {
    let site = Site::new().await;
    std::fs::remove_dir_all(site.dir.path().join("policies/tests")).unwrap();
    std::fs::write(site.dir.path().join("policies/90-here.cedar"), policies).unwrap();
    let config = Config::load(&site.config()).unwrap();
    let app = App::build(config, Purpose::Stdio).await.unwrap();
    (site, app)
}

/// Says yes, after its agent has used the time for another call.
struct Meanwhile<'a> {
    gate: &'a Gate,
    other: Mutex<Option<Arrival>>,
    came_to: Mutex<String>,
}

struct Nobody;

impl Caller for Nobody {
    fn confirm<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Confirmation> {
        Box::pin(std::future::ready(Confirmation::Unavailable))
    }
}

impl Caller for Meanwhile<'_> {
    fn confirm<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Confirmation> {
        Box::pin(async move {
            let other = self.other.lock().unwrap().take();
            if let Some(other) = other {
                let answer = self.gate.call(other, &Nobody).await.unwrap();
                outcome(&answer).clone_into(&mut self.came_to.lock().unwrap());
            }
            Confirmation::Yes
        })
    }
}

const APART: &str = r#"
@id("code-is-confirmed")
@confirm
forbid (principal, action == Tollgate::Action::"file_read", resource in Tollgate::Label::"code")
unless { context.satisfied.contains("code-is-confirmed") };

@id("code-apart-from-people")
forbid (principal, action == Tollgate::Action::"file_read", resource in Tollgate::Label::"code")
when { context.session.labels.contains("pii") };
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_calls_at_once_are_not_each_decided_without_the_other() {
    for meanwhile in [false, true] {
        let (_site, app) = site(APART).await;
        let gate = &app.gate;
        let people = arrival(
            gate,
            "sql_query",
            json!({"resource": "shop", "statement": "SELECT count(*) FROM customers"}),
        );
        let caller = Meanwhile {
            gate,
            other: Mutex::new(meanwhile.then_some(people)),
            came_to: Mutex::default(),
        };
        let code = arrival(
            gate,
            "file_read",
            json!({"resource": "code", "path": "README.md"}),
        );
        let answer = gate.call(code, &caller).await.unwrap();
        if meanwhile {
            assert_eq!(*caller.came_to.lock().unwrap(), "ok");
            assert_eq!(outcome(&answer), "not_permitted", "{}", answer.text());
        } else {
            assert_eq!(outcome(&answer), "ok", "{}", answer.text());
        }
    }
}

/// Falls over at one word.
struct Trips;

impl Masking for Trips {
    fn value(&self, value: &mut Value, _: &mut MaskCounts) {
        assert!(!value.to_string().contains("trip-wire"), "as planned");
    }
    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(text)
    }
    fn refusal(&self, call_id: &CallId, refusal: &Refusal) -> Masked {
        Mask::new().refusal(call_id, refusal)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_recording_is_an_answer_and_takes_nothing_along() {
    let (site, app) = site("").await;
    let App { gate, .. } = app;
    let mut gate = Arc::try_unwrap(gate).unwrap_or_else(|_| panic!("the only one"));
    let world: Arc<dyn World> = Arc::new(System::new());
    let url = format!("sqlite:{}", site.dir.path().join("second.db").display());
    let store = Store::open(&url, &Tuning::default()).await.unwrap();
    let spec = AuditSpec {
        key: load_or_create_key(&site.dir.path().join("second.key"), "example.org/second", &*world).unwrap(),
        checkpoint_every: 1_000,
        publish: None,
        disk: DiskRule {
            free: Arc::new(|| Ok(u64::MAX)),
            ..DiskRule::of(&store)
        },
        start: json!({}),
    };
    let (audit, _) = Audit::start(store.clone(), spec, Arc::new(Trips), world)
        .await
        .unwrap();
    gate.audit = audit;
    let read = |path: &str| arrival(&gate, "file_read", json!({"resource": "code", "path": path}));
    for _ in 0..20 {
        let answer = gate.call(read("trip-wire"), &Nobody).await.unwrap();
        assert!(
            ["outcome_unknown", "not_found"].contains(&outcome(&answer)),
            "{}",
            answer.text()
        );
    }
    let answer = gate.call(read("README.md"), &Nobody).await.unwrap();
    assert_eq!(
        outcome(&answer),
        "ok",
        "a seat, a lock or the writer was lost: {}",
        answer.text()
    );
    gate.audit.close().await.unwrap();
    let report = tollgate::audit::verify_store(&store, &tollgate::audit::verify::Trust::default())
        .await
        .unwrap();
    assert!(report.intact && report.unfinished.is_empty(), "{report:?}");
}
