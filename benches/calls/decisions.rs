//! From a person's decision to the answer of the call that waited for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tollgate::app::{App, Purpose};
use tollgate::approval::review::{Card, Choice, Reviewer};
use tollgate::call::{ApprovalId, User, UserKind};
use tollgate::clock::{System, World};
use tollgate::config::Config;
use tollgate::gate::Gate;

use crate::Plan;
use crate::inside::{Nobody, arrival};
use crate::site::Site;
use crate::table::{Times, micros, say, table};

/// Longer than anything here waits.
const HOLD: Duration = Duration::from_secs(30);
/// How often the reviewer looks for the request; not part of what is measured.
const LOOK: Duration = Duration::from_millis(1);

/// What one decision led to.
struct Seen {
    deciding: Times,
    answer: Times,
}

pub(crate) async fn print(site: &Site, plan: Plan) -> Result<()> {
    let world = Arc::new(System::new());
    let app = App::build(Config::load(&site.path("decisions.toml"))?, Purpose::Serve).await?;
    let bench = Bench {
        gate: app.gate,
        world,
        token: site.token(1).into(),
    };
    let count = (plan.calls / 10).max(10);
    let mut rows = Vec::new();
    for (name, waits) in [("the call was held", false), ("through approval_wait", true)] {
        let mut seen = Seen {
            deciding: Times::default(),
            answer: Times::default(),
        };
        for n in 0..count {
            bench.one(n, waits, &mut seen).await?;
        }
        rows.push(row(name, &mut seen));
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
    bench.gate.audit.close().await?;
    table(
        "From a person's decision to the answer of the call that waits, in this process, µs",
        &["", "decide() p50", "then the answer p50", "p95"],
        &rows,
    )?;
    say(&format!(
        "  the same change without anybody to ask: {} µs at the median",
        micros(alone.percentile(50))
    ))
}

fn row(name: &str, seen: &mut Seen) -> Vec<String> {
    vec![
        name.to_owned(),
        micros(seen.deciding.percentile(50)),
        micros(seen.answer.percentile(50)),
        micros(seen.answer.percentile(95)),
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
        seen.answer.add(self.world.monotonic().saturating_sub(decided));
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
        }
    }

    async fn waiting(&self, reviewer: &Reviewer) -> Result<Card> {
        let until = self.world.monotonic() + HOLD;
        while self.world.monotonic() < until {
            let rules = self.gate.policies.current();
            let cards = self.gate.approvals.list(reviewer, &rules).await?;
            if let Some(card) = cards.into_iter().find(|card| card.may_decide) {
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

fn answered(answer: &Value) -> Result<()> {
    ensure!(
        answer.pointer("/data/rows_affected") == Some(&json!(1)),
        "the call was not carried out: {answer}"
    );
    Ok(())
}
