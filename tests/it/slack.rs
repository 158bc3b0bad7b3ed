//! Slack: requests as messages, decisions by linked accounts. On the other side a stand-in that Slack's own clients
//! accept (`tests/peers/slack`, installed by `tests/peers/setup-slack`). Missing ones fail.

mod backlog;
pub(crate) mod fake;
mod faults;
mod official;
mod rare;
mod signed;
mod states;
mod whole;

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tollgate::approval::listing::{Counts, Listing, Wanted};
use tollgate::approval::review::{Card, Choice, NotDecided, Reviewer, Sheet};
use tollgate::call::ApprovalId;
use tollgate::clock::{System, World};
use tollgate::console::slack::{Delivery, Escalation, LinkLedger, Parts, Route, Slack, Spec};
use tollgate::console::{Around, Desk};
use tollgate::gate::Gate;
use tollgate::secret::Secret;
use tollgate::store::rows::Rows;
use tollgate::store::slack::LinkRow;
use tollgate::store::{Store, Tuning};

use crate::support::agent::Agent;
use crate::support::site::Site;
use fake::{Fake, TEAM};

const CLIENT: &str = "tollgate-control";
const CHANNEL: &str = "C0000000001";
/// Analysts read the shop when a `dba` agrees.
const POLICY: &str = r#"
@id("analysts") permit (principal in Tollgate::Group::"analyst",
  action in [Tollgate::Action::"describe", Tollgate::Action::"sql_read"],
  resource in Tollgate::Label::"shop");
@id("dba-decides") permit (principal in Tollgate::Group::"dba",
  action == Tollgate::Action::"approve", resource in Tollgate::Label::"shop");
@id("people-agree") @approval("1 dba") @explain("Reading the shop needs a second person.")
forbid (principal, action == Tollgate::Action::"sql_read", resource)
unless { context.satisfied.contains("people-agree") };
"#;

/// A Tollgate with a Slack app.
struct Bench {
    site: Site,
    control: String,
    fake: Fake,
    gate: Arc<Gate>,
    rows: Rows,
    store: Store,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// A file with a secret that nobody else reads; as configuration refers to it.
fn secret_file(site: &Site, name: &str, secret: &str) -> String {
    let file = site.dir.path().join(name);
    std::fs::write(&file, secret).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    format!("file:{}", file.display())
}

impl Bench {
    async fn start() -> Self {
        Self::with(POLICY, "", "").await
    }

    /// With these policies, more of `[approval]`, and more of the channel; `signing_secret` there takes the place of
    /// Socket Mode.
    async fn with(policy: &str, approval: &str, channel: &str) -> Self {
        Self::dressed(policy, approval, channel, |_| {}).await
    }

    /// And on a site that is made ready before.
    async fn dressed(policy: &str, approval: &str, channel: &str, dress: impl FnOnce(&Site)) -> Self {
        let fake = Fake::start().await;
        let mut site = Site::new().await;
        dress(&site);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let control = format!("http://localhost:{port}");
        let text = std::fs::read_to_string(site.config()).unwrap();
        let text = text
            .replacen(
                "[server]\n",
                &format!("[server]\ncontrol_listen = \"127.0.0.1:{port}\"\ncontrol_url = \"{control}\"\n"),
                1,
            )
            .replacen(
                "[[issuer]]\n",
                &format!("[[issuer]]\ncontrol_audience = \"{CLIENT}\"\n"),
                1,
            );
        std::fs::write(site.config(), text).unwrap();
        let bot = secret_file(&site, "bot", "xoxb-test");
        let back = if channel.contains("signing_secret") {
            let signing = secret_file(&site, "signing", signed::SECRET);
            channel.replace("SIGNING", &signing)
        } else {
            format!(
                "app_token = \"{}\"\n{channel}",
                secret_file(&site, "app", "xapp-test")
            )
        };
        site.configure(&format!(
            "[approval]\nhold_seconds = 90\n{approval}[[approval.channel]]\nkind = \"slack\"\nurl = \"{}api/\"\n\
             channel = \"{CHANNEL}\"\nbot_token = \"{bot}\"\n{back}",
            fake.url
        ));
        site.set_policies(policy);
        let config = tollgate::config::Config::load(&site.config()).unwrap();
        let address = config.store.address.clone();
        let stop = CancellationToken::new();
        let app = tollgate::app::App::build(config, tollgate::app::Purpose::Serve)
            .await
            .unwrap();
        let gate = app.gate.clone();
        let store = Store::open_at(&address, &Tuning::default()).await.unwrap();
        let agents = site.listener.take().unwrap();
        let serving = tokio::spawn(app.serve_both(agents, Some(listener), stop.clone()));
        Self {
            site,
            control,
            fake,
            gate,
            rows: Rows::new(store.clone()),
            store,
            stop,
            serving,
        }
    }

    /// A second process's part on the same store, with the same app.
    fn second(&self, escalation: Option<(std::time::Duration, String)>) -> CancellationToken {
        let escalation = escalation.map(|(after, channel)| Escalation {
            after,
            steps: vec![Route { channel, group: None }],
            routes: std::collections::BTreeMap::new(),
        });
        let stop = CancellationToken::new();
        let spec = Spec {
            url: format!("{}api/", self.fake.url).parse().unwrap(),
            bot_token: Secret::new("xoxb-test".to_owned()),
            delivery: Delivery::Socket(Secret::new("xapp-test".to_owned())),
            channel: CHANNEL.to_owned(),
            routes: std::collections::BTreeMap::new(),
            escalation,
            link: std::time::Duration::from_secs(3600),
            control: format!("{}/", self.control).parse().unwrap(),
            acr: std::collections::BTreeMap::new(),
        };
        let parts = Parts {
            approvals: self.gate.approvals.clone(),
            desk: Arc::new(OfGate(self.gate.clone())),
            rows: Rows::new(self.store.clone()),
            mask: Arc::new(str::to_owned),
            ledger: Arc::new(Nowhere),
            world: Arc::new(System::new()),
        };
        let slack = Slack::new(spec, parts).unwrap();
        tokio::spawn(slack.run(stop.clone()));
        stop
    }

    /// An agent of `subject` asks, and waits.
    fn asks(&self, subject: &str, arguments: Value) -> tokio::task::JoinHandle<Value> {
        self.calls(subject, "sql_query", arguments)
    }

    /// The same with another tool.
    fn calls(&self, subject: &str, tool: &str, arguments: Value) -> tokio::task::JoinHandle<Value> {
        let agent = Agent::new(&self.site, subject, &["analyst", "dba"]);
        let tool = tool.to_owned();
        tokio::spawn(async move { agent.call(&tool, arguments).await })
    }

    fn reads(&self, subject: &str, statement: &str) -> tokio::task::JoinHandle<Value> {
        self.asks(subject, json!({"resource": "shop", "statement": statement}))
    }

    /// As the page for it does, once a person has signed in and confirmed.
    async fn link(&self, account: &str, subject: &str) {
        self.link_since(account, subject, System::new().now().0).await;
    }

    async fn link_since(&self, account: &str, subject: &str, at: u64) {
        let row = LinkRow {
            team: TEAM.to_owned(),
            account: account.to_owned(),
            name: account.to_owned(),
            issuer: "test".to_owned(),
            subject: subject.to_owned(),
            groups: json!(["dba"]).to_string(),
            signed_in_at: at,
            linked_at: at,
        };
        let mut tx = self.rows.write().await.unwrap();
        tx.link_slack(&row).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The requests, as the API lists them for somebody of the dba.
    async fn request(&self, id: &str) -> Value {
        let token = self.site.issuer.id_token(CLIENT, "second", &["dba"]);
        let url = format!("{}/api/approvals/{id}", self.control);
        let http = tollgate::app::http_client().unwrap();
        let answer = http.get(url).bearer_auth(token).send().await.unwrap();
        answer.json().await.unwrap()
    }

    async fn state_of(&self, id: &str) -> String {
        self.request(id).await["state"].as_str().unwrap().to_owned()
    }

    /// The server stops and starts again, on the same store and addresses.
    async fn restart(&mut self) {
        self.stop.cancel();
        (&mut self.serving).await.unwrap().unwrap();
        let bound = |url: &str| {
            let url: url::Url = url.parse().unwrap();
            let port = url.port().unwrap();
            async move { tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap() }
        };
        let (agents, control) = (bound(&self.site.endpoint()).await, bound(&self.control).await);
        let config = tollgate::config::Config::load(&self.site.config()).unwrap();
        self.stop = CancellationToken::new();
        let app = tollgate::app::App::build(config, tollgate::app::Purpose::Serve)
            .await
            .unwrap();
        self.gate = app.gate.clone();
        self.serving = tokio::spawn(app.serve_both(agents, Some(control), self.stop.clone()));
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

/// What a process's own desk does.
struct OfGate(Arc<Gate>);

impl Desk for OfGate {
    fn page<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Listing, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.page(reviewer, &rules, wanted).await
        })
    }

    fn counts<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Counts, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.counts(reviewer, &rules).await
        })
    }

    fn around<'a>(
        &'a self,
        _: &'a Reviewer,
        _: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Around>, NotDecided>> {
        Box::pin(async { Ok(None) })
    }

    fn changes(&self) -> Option<watch::Receiver<()>> {
        self.0.approvals.changes()
    }

    fn show<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Sheet, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.show(reviewer, &rules, id).await
        })
    }

    fn decide<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
        choice: Choice,
        seen: &'a str,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.decide(reviewer, &rules, id, choice, seen).await
        })
    }

    fn cancel<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.cancel(reviewer, &rules, id).await
        })
    }
}

struct Nowhere;

impl LinkLedger for Nowhere {
    fn record(&self, _: Value) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
}
