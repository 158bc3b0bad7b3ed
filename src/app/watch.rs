//! What those who watch the server are told: metrics, and whether it takes calls.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::clock::World;
use crate::gate::Gate;
use crate::meter::{DECIDED_WITHIN, Pairs, Waits};
use crate::telemetry::Seen;
use crate::telemetry::exposition::{Kind, Page, TYPE};
use crate::transport::http::watch::Watched;

/// One server, as it is watched.
pub(super) struct Watching {
    pub(super) gate: Arc<Gate>,
    pub(super) seen: Seen,
    pub(super) world: Arc<dyn World>,
}

impl Watched for Watching {
    fn metrics(&self) -> BoxFuture<'_, (&'static str, String)> {
        Box::pin(async move {
            let mut page = Page::default();
            page.family("tollgate_build_info", Kind::Gauge, "The version that runs.")
                .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
            self.calls(&mut page);
            self.stages(&mut page);
            self.approvals(&mut page).await;
            self.journal(&mut page).await;
            #[cfg(feature = "otlp")]
            self.exported(&mut page);
            process(&mut page);
            (TYPE, page.into_text())
        })
    }

    fn unready(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let health = self.gate.audit.health();
            let mut why = Vec::new();
            if !health.takes_calls {
                why.push("the journal takes no records".to_owned());
                why.extend(health.warnings);
            }
            if self.gate.audit.signed().await.is_err() {
                why.push("the store does not answer".to_owned());
            }
            why
        })
    }
}

impl Watching {
    fn calls(&self, page: &mut Page) {
        let meter = &self.gate.meter;
        page.family(
            "tollgate_calls_total",
            Kind::Counter,
            "Calls answered, by tool and outcome: ok, approval_pending, or the code of the refusal.",
        );
        pairs(page, ["tool", "outcome"], &meter.calls());
        page.family(
            "tollgate_credentials_rejected_total",
            Kind::Counter,
            "Credentials of agents that were not accepted.",
        )
        .sample(&[], meter.rejected() as f64);
        page.family(
            "tollgate_resource_refused",
            Kind::Gauge,
            "1 while every call to a resource is refused, because its database is not as the configuration says or away.",
        );
        for (resource, is_refused) in self.gate.resources.refused() {
            page.sample(&[("resource", resource)], f64::from(u8::from(is_refused)));
        }
        let (taken, seats) = self.gate.seats.taken();
        page.family("tollgate_seats_taken", Kind::Gauge, "Calls under way.")
            .sample(&[], taken as f64);
        page.family("tollgate_seats", Kind::Gauge, "Calls that may be under way.")
            .sample(&[], seats as f64);
    }

    fn stages(&self, page: &mut Page) {
        page.family(
            "tollgate_stage_seconds",
            Kind::Histogram,
            "How long each stage of a call takes; `call` is all of it, waiting for people included.",
        );
        if let Some(stages) = &self.seen.stages {
            stages.tell(|stage, buckets, sum| {
                page.histogram(&[("stage", stage)], buckets, sum);
            });
        }
    }

    #[cfg(feature = "otlp")]
    fn exported(&self, page: &mut Page) {
        use crate::telemetry::otlp::{REASONS, SIGNALS};

        let Some(otlp) = self.seen.otlp.as_ref().filter(|otlp| otlp.is_live()) else {
            return;
        };
        page.family(
            "tollgate_otlp_sent_total",
            Kind::Counter,
            "Records that a collector took.",
        );
        for (signal, word) in SIGNALS {
            page.sample(&[("signal", word)], otlp.sent(signal) as f64);
        }
        page.family(
            "tollgate_otlp_dropped_total",
            Kind::Counter,
            "Records that no collector got, by why not.",
        );
        for (signal, word) in SIGNALS {
            for (why, reason) in REASONS {
                let labels = [("signal", word), ("reason", reason)];
                page.sample(&labels, otlp.dropped(signal, why) as f64);
            }
        }
    }

    async fn approvals(&self, page: &mut Page) {
        let Some(events) = self.gate.approvals.events() else {
            return;
        };
        let meter = &self.gate.meter;
        page.family(
            "tollgate_approval_transitions_total",
            Kind::Counter,
            "Transitions of requests, by the policy that asks and what happened.",
        );
        pairs(page, ["rule", "event"], &meter.transitions());
        page.family(
            "tollgate_approval_decision_seconds",
            Kind::Histogram,
            "From asking people to granted or refused, by the policy that asks.",
        );
        for (rule, waits) in meter.decided() {
            let Waits { within, total } = waits;
            let bounds = DECIDED_WITHIN.iter().map(|bound| *bound as f64);
            let buckets = bounds.chain([f64::INFINITY]).zip(within);
            page.histogram(&[("rule", &rule)], buckets, total as f64 / 1e3);
        }
        // Of a store that does not answer nothing is told, rather than that nobody waits.
        let Ok(waiting) = events.standing().await else {
            return;
        };
        page.family(
            "tollgate_approvals",
            Kind::Gauge,
            "Requests that are open, by state.",
        )
        .sample(&[("state", "pending")], waiting.pending as f64)
        .sample(&[("state", "granted")], waiting.granted as f64);
        let oldest = match waiting.oldest {
            0 => 0,
            since => self.world.now().0.saturating_sub(since),
        };
        page.family(
            "tollgate_approval_oldest_seconds",
            Kind::Gauge,
            "How long the oldest pending request has waited.",
        )
        .sample(&[], oldest as f64 / 1e3);
        page.family(
            "tollgate_notices",
            Kind::Gauge,
            "Notices and messages that a channel has not taken: failed (tried again) and dead (given up).",
        );
        for (channel, failed, dead) in &waiting.notices {
            let kind = channel.split(' ').next().unwrap_or_default();
            for (state, count) in [("failed", *failed), ("dead", *dead)] {
                let labels = [("channel", channel.as_str()), ("kind", kind), ("state", state)];
                page.sample(&labels, count as f64);
            }
        }
    }

    async fn journal(&self, page: &mut Page) {
        let health = self.gate.audit.health();
        page.family(
            "tollgate_journal_takes_calls",
            Kind::Gauge,
            "1 while the journal can be written, and calls are taken.",
        )
        .sample(&[], f64::from(u8::from(health.takes_calls)));
        page.family(
            "tollgate_journal_free_bytes",
            Kind::Gauge,
            "Free bytes on the file system of the store.",
        )
        .sample(&[], health.free_bytes as f64);
        let stats = self.gate.audit.stats();
        page.family(
            "tollgate_journal_commits_total",
            Kind::Counter,
            "Transactions of the journal by this process; each waits for the disk once.",
        )
        .sample(&[], stats.commits as f64);
        page.family(
            "tollgate_journal_written_total",
            Kind::Counter,
            "Records written by this process.",
        )
        .sample(&[], stats.records as f64);
        let Ok((records, signed)) = self.gate.audit.signed().await else {
            return;
        };
        page.family("tollgate_journal_records", Kind::Gauge, "Records of the journal.")
            .sample(&[], records as f64);
        page.family(
            "tollgate_journal_unsigned_records",
            Kind::Gauge,
            "Records that no signed checkpoint covers yet.",
        )
        .sample(&[], records.saturating_sub(signed) as f64);
    }
}

fn pairs(page: &mut Page, labels: [&str; 2], pairs: &Pairs) {
    let [first, second] = labels;
    for ((one, other), count) in pairs {
        page.sample(&[(first, one), (second, other)], *count as f64);
    }
}

/// What the operating system says of this process (proc(5)); what it does not say is left out.
fn process(page: &mut Page) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    if let Some(kibibytes) = resident {
        page.family(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Resident memory in bytes.",
        )
        .sample(&[], kibibytes as f64 * 1024.0);
    }
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    page.family(
        "process_cpu_seconds_total",
        Kind::Counter,
        "User and system CPU time in seconds.",
    )
    .sample(&[], spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9);
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.family("process_open_fds", Kind::Gauge, "Open file descriptors.")
            .sample(&[], open.count().saturating_sub(1) as f64); // without the one that counts
    }
}
