//! A Tollgate whose calls wait for people, and the people: they decide through the very code that the
//! control side calls.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tollgate::app::{App, Purpose};
use tollgate::approval::listing::{Shelf, Wanted};
use tollgate::approval::review::{Card, Choice, NotDecided, Reviewer, State, Via};
use tollgate::approval::{Approvals, Settings};
use tollgate::call::{ApprovalId, User, UserKind};
use tollgate::clock::{System, Timestamp, World};
use tollgate::gate::Gate;
use tollgate::store::{Store, Tuning};

use super::process::{history, phase};
use super::site::{ANALYSTS, Server, Site};
use super::until;

/// Every read of the shop needs one of the dba.
const TWO_PERSONS: &str = r#"
@id("dba-decide") permit (principal in Tollgate::Group::"dba",
  action == Tollgate::Action::"approve", resource in Tollgate::Label::"shop");
@id("second-person") @approval("1 dba")
@explain("Reads of the shop are decided by a second person.")
forbid (principal, action == Tollgate::Action::"sql_read", resource)
unless { context.satisfied.contains("second-person") };
"#;

/// A clock that can be put forward.
#[derive(Debug)]
pub(crate) struct Ahead {
    system: System,
    millis: AtomicU64,
}

impl Ahead {
    pub(crate) fn advance(&self, by: Duration) {
        self.millis
            .fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl World for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp(self.system.now().0 + self.millis.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }

    fn random(&self, buffer: &mut [u8]) {
        self.system.random(buffer);
    }
}

/// A server and the people who decide.
pub(crate) struct People {
    pub(crate) gate: Arc<Gate>,
    pub(crate) world: Arc<Ahead>,
    server: Server,
}

/// As the defaults are, but for the hold.
pub(crate) fn holding(hold: Duration) -> Settings {
    Settings {
        hold,
        ..Settings::default()
    }
}

impl People {
    /// A new site whose reads need a second person.
    pub(crate) async fn site(settings: Settings) -> (Site, Self) {
        let mut site = Site::new().await;
        site.set_policies(&format!("{ANALYSTS}{TWO_PERSONS}"));
        let people = Self::serve(&mut site, settings).await;
        (site, people)
    }

    /// Starts Tollgate on the site.
    pub(crate) async fn serve(site: &mut Site, settings: Settings) -> Self {
        let config = tollgate::config::Config::load(&site.config()).unwrap();
        let address = config.store.address.clone();
        let mut app = App::build(config, Purpose::Serve).await.unwrap();
        let store = Store::open_at(&address, &Tuning::default()).await.unwrap();
        let world = Arc::new(Ahead {
            system: System::new(),
            millis: AtomicU64::new(0),
        });
        let gate = Arc::get_mut(&mut app.gate).expect("not shared yet");
        let ledger = Arc::new(gate.audit.clone());
        let page = "http://control.example/".parse().unwrap();
        gate.approvals =
            Approvals::with_people(&store, ledger, Arc::clone(&world) as _, settings, Some(page));
        let gate = Arc::clone(&app.gate);
        let shutdown = CancellationToken::new();
        let listener = site.listener.take().expect("served twice");
        let task = tokio::spawn(app.serve(listener, shutdown.clone()));
        Self {
            gate,
            world,
            server: Server { shutdown, task },
        }
    }

    /// Stops it, so that another can be started on the same site and address.
    pub(crate) async fn stop(self, site: &mut Site) {
        drop(self.gate);
        self.server.stop().await;
        let address = site.url.trim_start_matches("http://").to_owned();
        let listener = until("the address is free", async || {
            tokio::net::TcpListener::bind(&address).await.ok()
        });
        site.listener = Some(listener.await);
    }

    fn reviewer(&self, subject: &str) -> Reviewer {
        Reviewer {
            user: User {
                issuer: "test".to_owned(),
                subject: subject.to_owned(),
                kind: UserKind::Person,
                groups: BTreeSet::from(["dba".to_owned()]),
            },
            signed_in_at: self.world.now(),
            acr: None,
            may_reach: Vec::new(),
            key: None,
            via: Via::Control,
        }
    }

    /// What dora, of the dba, sees.
    pub(crate) async fn cards(&self) -> Vec<Card> {
        let rules = self.gate.policies.current();
        let (dora, all) = (self.reviewer("dora"), Wanted::on(Shelf::All));
        let page = self.gate.approvals.page(&dora, &rules, &all).await.unwrap();
        page.items.into_iter().map(|one| one.card).collect()
    }

    /// Waits until `count` requests wait, and gives the newest.
    pub(crate) async fn asked(&self, count: usize) -> ApprovalId {
        until("a request", async || {
            let mut open = self.cards().await;
            open.retain(|card| card.state == State::Pending);
            (open.len() >= count).then(|| open[0].id.clone())
        })
        .await
    }

    /// Where a request is.
    pub(crate) async fn state(&self, id: &ApprovalId) -> State {
        let cards = self.cards().await;
        cards.iter().find(|card| card.id == *id).unwrap().state
    }

    /// Dora decides.
    pub(crate) async fn decide(&self, id: &ApprovalId, choice: Choice) -> Result<Card, NotDecided> {
        let (dora, rules) = (self.reviewer("dora"), self.gate.policies.current());
        let sheet = self.gate.approvals.show(&dora, &rules, id).await?;
        let seen = &sheet.action_sha256;
        self.gate.approvals.decide(&dora, &rules, id, choice, seen).await
    }

    /// Dora approves.
    pub(crate) async fn approve(&self, id: &ApprovalId) {
        self.decide(id, Choice::Approve).await.unwrap();
    }
}

/// The calls that reached the target: each has a result of its own on record.
pub(crate) async fn runs(site: &Site) -> Vec<Value> {
    let mut runs = Vec::new();
    for listed in phase(site, "result").await {
        if listed.status.as_deref() != Some("ok") {
            continue;
        }
        let call = listed.call_id.unwrap();
        let records = history(site, &call).await["records"].clone();
        let records = records.as_array().unwrap();
        let result = records.iter().find(|record| record["phase"] == "result").unwrap();
        if result.get("repeats").is_none() {
            runs.push(result.clone());
        }
    }
    runs
}
