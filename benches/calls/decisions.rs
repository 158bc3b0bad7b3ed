//! From a person's decision to the answer of the call that waited for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tollgate::app::{App, Purpose};
use tollgate::approval::listing::{COUNTED, PAGE, Shelf, Wanted};
use tollgate::approval::review::{Card, Choice, Reviewer};
use tollgate::call::{ApprovalId, Hash, User, UserKind};
use tollgate::clock::{System, World};
use tollgate::config::Config;
use tollgate::gate::Gate;
use tollgate::store::approvals::ApprovalRow;
use tollgate::store::rows::Rows;
use tollgate::store::{Store, Tuning};

use crate::Plan;
use crate::console::{AIM, Serving};
use crate::inside::{Nobody, arrival};
use crate::site::Site;
use crate::table::{Times, micros, say, table};

/// Longer than anything here waits.
const HOLD: Duration = Duration::from_secs(30);
/// Requests that wait while they are listed.
const CROWD: u32 = 10_000;
/// How often the reviewer looks for the request; not part of what is measured.
const LOOK: Duration = Duration::from_millis(1);

/// What one decision led to.
struct Seen {
    deciding: Times,
    answer: Times,
    both: Times,
}

pub(crate) async fn print(site: &Site, plan: Plan) -> Result<()> {
    let world = Arc::new(System::new());
    let config = Config::load(&site.path("decisions.toml"))?;
    let store = Store::open_at(&config.store.address, &Tuning::default()).await?;
    let control = config.server.control.as_ref().context("no side for people")?;
    let control = (control.listen, control.url.clone());
    let app = App::build(config, Purpose::Serve).await?;
    let bench = Bench {
        gate: Arc::clone(&app.gate),
        world,
        token: site.token(1).into(),
    };
    let serving = Serving::start(app, site.address, control).await?;
    let count = (plan.calls / 10).max(10);
    let (mut rows, mut slowest) = (Vec::new(), Duration::ZERO);
    for (name, waits) in [("the call was held", false), ("through approval_wait", true)] {
        let mut seen = Seen {
            deciding: Times::default(),
            answer: Times::default(),
            both: Times::default(),
        };
        for n in 0..count {
            bench.one(n, waits, &mut seen).await?;
        }
        rows.push(row(name, &mut seen));
        slowest = slowest.max(seen.both.percentile(99));
    }
    let mut alone = Times::default();
    for n in 0..count {
        let start = bench.world.monotonic();
        let answer = bench
            .call("sql_execute", update("small", "alone", n), HOLD)
            .await?;
        answered(&answer.await??)?;
        alone.add(bench.world.monotonic() - start);
    }
    let listed = bench.listed(&store, count).await?;
    let reader = serving.reader(site).await?;
    let (pages, slowest_page) = reader.times(&bench.world, count).await?;
    drop(reader);
    drop(bench.gate);
    serving.end().await?;
    tell(&rows, &listed, &pages)?;
    say(&format!(
        "  the same change without anybody to ask: {} µs at the median",
        micros(alone.percentile(50))
    ))?;
    aims("from the decision to the answer at p99", slowest)?;
    aims("a page of the people's side at p95", slowest_page)
}

type Table<'a> = &'a [Vec<String>];

fn tell(rows: Table<'_>, listed: Table<'_>, pages: Table<'_>) -> Result<()> {
    table(
        "From a person's decision to the answer of the call that waits, in this process, µs",
        &[
            "",
            "decide() p50",
            "then the answer p50",
            "p95",
            "p99",
            "both p99",
        ],
        rows,
    )?;
    table(
        &format!("With {CROWD} requests pending, what the start page asks for, µs"),
        &["", "p50", "p95"],
        listed,
    )?;
    table(
        &format!(
            "The same over HTTP on the people's side (aim: {} µs at p95), µs",
            micros(AIM)
        ),
        &["", "p50", "p95"],
        pages,
    )
}

/// A miss is loud.
fn aims(what: &str, took: Duration) -> Result<()> {
    ensure!(
        took < AIM,
        "{what}: {} µs, and the aim is {} µs",
        micros(took),
        micros(AIM)
    );
    Ok(())
}

fn row(name: &str, seen: &mut Seen) -> Vec<String> {
    vec![
        name.to_owned(),
        micros(seen.deciding.percentile(50)),
        micros(seen.answer.percentile(50)),
        micros(seen.answer.percentile(95)),
        micros(seen.answer.percentile(99)),
        micros(seen.both.percentile(99)),
    ]
}

/// Never the same change twice: the identical call would get the earlier answer.
fn update(resource: &str, way: &str, n: u32) -> Value {
    let statement = format!("UPDATE customers SET name = '{way} {n}' WHERE id = {}", n + 1);
    json!({"resource": resource, "statement": statement})
}

struct Bench {
    gate: Arc<Gate>,
    world: Arc<System>,
    token: Arc<str>,
}

type Answer = JoinHandle<Result<Value>>;

impl Bench {
    /// Asks, decides, and times what comes of it.
    async fn one(&self, n: u32, waits: bool, seen: &mut Seen) -> Result<()> {
        let way = if waits { "waited" } else { "held" };
        let hold = if waits { Duration::ZERO } else { HOLD };
        let mut answer = self
            .call("sql_execute", update("small-asks", way, n), hold)
            .await?;
        let reviewer = self.reviewer();
        let card = self.waiting(&reviewer).await?;
        if waits {
            let pending = answer.await??;
            ensure!(
                pending.pointer("/status") == Some(&json!("approval_pending")),
                "{pending}"
            );
            let arguments = json!({"approval_id": card.id, "wait_seconds": 30});
            answer = self.call("approval_wait", arguments, HOLD).await?;
            tokio::time::sleep(Duration::from_millis(20)).await; // it comes to be waiting
        }
        let rules = self.gate.policies.current();
        let sheet = self.gate.approvals.show(&reviewer, &rules, &card.id).await?;
        let start = self.world.monotonic();
        self.decide(&reviewer, &card.id, &sheet.action_sha256).await?;
        let decided = self.world.monotonic();
        answered(&answer.await??)?;
        seen.deciding.add(decided - start);
        let answered = self.world.monotonic();
        seen.answer.add(answered.saturating_sub(decided));
        seen.both.add(answered.saturating_sub(start));
        Ok(())
    }

    async fn call(&self, tool: &str, arguments: Value, hold: Duration) -> Result<Answer> {
        let mut arrival = arrival(&self.gate, &*self.world, &self.token, tool, &arguments).await?;
        arrival.hold = Some(hold);
        let gate = Arc::clone(&self.gate);
        Ok(tokio::spawn(async move {
            let answer = gate.call(arrival, &Nobody).await.ok().context("no such tool")?;
            Ok(answer.envelope().clone())
        }))
    }

    /// Another person of the same group, who has just signed in.
    fn reviewer(&self) -> Reviewer {
        Reviewer {
            user: User {
                issuer: "bench".to_owned(),
                subject: "person-2".to_owned(),
                kind: UserKind::Person,
                groups: ["surveyor".to_owned()].into(),
            },
            signed_in_at: self.world.now(),
            acr: None,
            may_reach: Vec::new(),
            key: None,
            via: tollgate::approval::review::Via::Control,
        }
    }

    /// Thousands of requests of other people wait: the first page of them, a page in their middle, and the counts.
    async fn listed(&self, store: &Store, count: u32) -> Result<Vec<Vec<String>>> {
        let now = self.world.now().0;
        let mut tx = Rows::new(store.clone()).write().await?;
        for number in 0..CROWD {
            tx.insert(&pending(number, now)).await?;
        }
        tx.commit().await?;
        let reviewer = self.reviewer();
        let rules = self.gate.policies.current();
        let approvals = &self.gate.approvals;
        let first = Wanted::on(Shelf::Waiting);
        let (mut pages, mut middle, mut counts) = (Times::default(), Times::default(), Times::default());
        for _ in 0..count {
            let start = self.world.monotonic();
            let page = approvals.page(&reviewer, &rules, &first).await?;
            pages.add(self.world.monotonic() - start);
            ensure!(
                page.items.len() == PAGE as usize && page.next.is_some(),
                "a full page"
            );
            let start = self.world.monotonic();
            let counted = approvals.counts(&reviewer, &rules).await?;
            counts.add(self.world.monotonic() - start);
            ensure!(counted.waiting == u64::from(COUNTED), "{counted:?}");
            let after = Wanted {
                before: Some(ApprovalId(pending(CROWD / 2, now).id)),
                ..first.clone()
            };
            let start = self.world.monotonic();
            let page = approvals.page(&reviewer, &rules, &after).await?;
            middle.add(self.world.monotonic() - start);
            ensure!(page.items.len() == PAGE as usize, "a full page");
        }
        let row = |name: &str, times: &mut Times| {
            vec![
                name.to_owned(),
                micros(times.percentile(50)),
                micros(times.percentile(95)),
            ]
        };
        Ok(vec![
            row("the first page of 50", &mut pages),
            row("a page in the middle", &mut middle),
            row("the counts", &mut counts),
        ])
    }

    async fn waiting(&self, reviewer: &Reviewer) -> Result<Card> {
        let until = self.world.monotonic() + HOLD;
        while self.world.monotonic() < until {
            let rules = self.gate.policies.current();
            let waiting = Wanted::on(Shelf::Waiting);
            let page = self.gate.approvals.page(reviewer, &rules, &waiting).await?;
            let mut cards = page.items.into_iter().map(|one| one.card);
            if let Some(card) = cards.find(|card| card.may_decide) {
                return Ok(card);
            }
            tokio::time::sleep(LOOK).await;
        }
        anyhow::bail!("nobody was asked")
    }

    async fn decide(&self, reviewer: &Reviewer, id: &ApprovalId, seen: &str) -> Result<()> {
        let rules = self.gate.policies.current();
        let decided = self
            .gate
            .approvals
            .decide(reviewer, &rules, id, Choice::Approve, seen);
        decided.await?;
        Ok(())
    }
}

/// One request of many, as the approval stage writes them.
fn pending(number: u32, now: u64) -> ApprovalRow {
    let digest = Hash::of(&number.to_be_bytes()).0;
    let statement = json!({"kind": "update", "tables": ["customers"], "columns": ["customers.name", "customers.id"],
        "functions": [], "has_where": true, "irreversible": false});
    let terms = json!({
        "asks": [{"id": "asks", "seats": [[1, "surveyor"]], "explain": "Somebody else looks at it.", "bound": "keys",
            "unattended": false}],
        "self_confirmed": false,
        "facts": {"action": "sql_write", "sql": statement, "classified": [], "probe": "measurable"},
        "counts": {"rows": {"customers": {"updated": 1}}},
    });
    ApprovalRow {
        id: format!("{number:032x}"),
        state: "pending".to_owned(),
        request_key: digest,
        asked_sha256: digest,
        action_sha256: digest,
        issuer: "bench".to_owned(),
        subject: format!("crowd-{}", number % 100),
        client_id: "bench".to_owned(),
        session: format!("session-{}", number % 100),
        tool: "sql_execute".to_owned(),
        resource: Some("small-asks".to_owned()),
        unattended: false,
        terms: terms.to_string(),
        sealed: Some(json!({"arguments": {"statement": "UPDATE customers"}}).to_string()),
        created_at: now,
        decide_by: now + 3_600_000,
        granted_at: None,
        execute_by: None,
        left_at: None,
        settled_at: None,
        call_id: None,
        answered: None,
        escalate_at: None,
    }
}

fn answered(answer: &Value) -> Result<()> {
    ensure!(
        answer.pointer("/data/rows_affected") == Some(&json!(1)),
        "the call was not carried out: {answer}"
    );
    Ok(())
}
