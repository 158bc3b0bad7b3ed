use super::*;
use crate::approval::{Event, Ledger as _};
use crate::audit::hindsight::{Beyond, Hindsight, look_back};
use crate::call::{ApprovalId, Approved, Approver, Bound, Evidence};
use crate::policy::exempt::tests::{orders, policies};
use crate::policy::exempt::{Exemption, Touches};
use crate::policy::{Policies, Verdict};

const POLICIES: &str = r#"
@id("all")
permit (principal, action, resource);
@id("reviewed")
@approval("1 dba")
forbid (principal, action == Tollgate::Action::"sql_write", resource)
unless { context.satisfied.contains("reviewed") };
@id("customers")
@approval("1 dba")
forbid (principal, action == Tollgate::Action::"sql_write", resource)
when { context.sql.tables.contains("customers") }
unless { context.satisfied.contains("customers") };
"#;

struct Past {
    _folder: tempfile::TempDir,
    bench: Bench,
    policies: Policies,
}

async fn past() -> Past {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("policies");
    std::fs::create_dir(&dir).unwrap();
    Past {
        policies: policies(&dir, POLICIES),
        bench: bench(folder.path(), Options::default()).await,
        _folder: folder,
    }
}

impl Past {
    /// A change as it went, with what people said of it: an event's word, or nothing where nobody was asked.
    async fn change(&self, id: &str, table: &str, word: Option<&str>, effect: Value) {
        let arguments = json!({"resource": "shop", "statement": "UPDATE"});
        let arrival = self.bench.arrival("sql_execute", &arguments);
        let (mut invocation, mut facts) = invocation(&arrival, Action::SqlWrite);
        invocation.resource = Some("shop".to_owned());
        let mut sql = orders();
        sql.tables = [table.to_owned()].into();
        facts.sql = Some(sql);
        let mut entry = self.bench.audit.open(&arrival);
        entry.intent(&invocation, &facts).await.unwrap();
        let rules = self.policies.current();
        let decided = rules.decide(&arrival, &invocation, &facts, &Evidence::default());
        let Verdict::Ask(ask) = decided else {
            panic!("{decided:?}")
        };
        entry.asked(&ask);
        if let Some(word) = word {
            let approved = Approved {
                id: ApprovalId(id.to_owned()),
                action_sha256: Hash::of(b"x"),
                approvers: Vec::<Approver>::new(),
                effect: None,
                bound: Bound::default(),
                grant: None,
                break_glass: None,
            };
            entry.approved(&Evidence {
                approved: Some(approved),
                ..Evidence::default()
            });
            self.said(id, word, &arrival, effect).await;
        }
        let told = answer(&arrival, "done");
        entry.settle(&OneWord, told).await;
    }

    async fn said(&self, id: &str, word: &str, arrival: &Arrival, effect: Value) {
        let event = Event {
            seq: 1,
            approval: ApprovalId(id.to_owned()),
            at: "2026-11-23T00:00:00Z".to_owned(),
            event: word.to_owned(),
            by: None,
            words: None,
            method: None,
            call_id: Some(arrival.call_id.to_string()),
            requester: "corp#u-17".to_owned(),
            agent: "agent-1".to_owned(),
            session: "session-1".to_owned(),
            tool: "sql_execute".to_owned(),
            resource: Some("shop".to_owned()),
            rules: vec!["reviewed".to_owned()],
            waited: None,
            action_sha256: "00".to_owned(),
            effect: Some(effect),
        };
        self.bench.audit.record(&event).await.unwrap();
    }

    async fn looked_back(&self, tables: &[&str]) -> Hindsight {
        self.bench.audit.flush().await.unwrap();
        let mut sql = orders();
        sql.tables = tables.iter().map(|one| (*one).to_owned()).collect();
        let exemption = Exemption {
            tool: "sql_execute".to_owned(),
            resource: "shop".to_owned(),
            people: ["corp#u-17".to_owned()].into(),
            agents: ["agent-1".to_owned()].into(),
            touches: Touches::Sql(Action::SqlWrite, sql),
        };
        let rules = self.policies.current();
        let changed = rules.exempting("reviewed", &exemption).unwrap();
        let told = look_back(&self.bench.store, &rules, ("reviewed", &changed), "shop", &|_| {
            None
        });
        told.await.unwrap()
    }
}

#[tokio::test]
async fn calls_on_record_are_judged_again_and_counted_by_what_became_of_them() {
    let past = past().await;
    for number in 0..3 {
        past.change(
            &format!("yes{number}"),
            "orders",
            Some("granted"),
            json!({"irreversible": false}),
        )
        .await;
    }
    past.change("late", "orders", Some("expired"), json!({})).await;
    past.change("both", "customers", Some("granted"), json!({})).await;
    past.change("else", "stock", Some("refused"), json!({})).await;
    let told = past.looked_back(&["orders", "customers"]).await;
    assert_eq!((told.replayed, told.still_asked), (6, 1), "{told:?}");
    assert_eq!((told.not_asked.calls, told.not_asked.approved), (4, 3));
    assert_eq!((told.not_asked.undecided, told.not_asked.people), (1, 1));
    assert!(told.is_as_said() && told.not_replayed.is_empty() && !told.cut);
    let narrow = past.looked_back(&["nothing"]).await;
    assert!(!narrow.is_as_said(), "it frees nothing");
}

#[tokio::test]
async fn a_clause_that_would_let_go_what_somebody_refused_is_wider_than_said() {
    for (word, effect, beyond) in [
        (
            "refused",
            json!({}),
            Beyond {
                refused: 1,
                ..Beyond::default()
            },
        ),
        (
            "break_glass",
            json!({}),
            Beyond {
                broke_glass: 1,
                ..Beyond::default()
            },
        ),
        (
            "granted",
            json!({"irreversible": true}),
            Beyond {
                irreversible: 1,
                ..Beyond::default()
            },
        ),
    ] {
        let past = past().await;
        past.change("yes", "orders", Some("granted"), json!({"irreversible": false}))
            .await;
        past.change("no", "orders", Some(word), effect).await;
        let told = past.looked_back(&["orders"]).await;
        assert_eq!(told.beyond, beyond);
        assert!(!told.is_as_said());
    }
}

#[tokio::test]
async fn what_cannot_be_replayed_is_counted_and_not_guessed() {
    let past = past().await;
    // On record as carried out unasked under the very policies that ask about it: something is not on record.
    past.change("", "orders", None, json!({})).await;
    let arguments = json!({"resource": "shop", "lookup": {"column": "customers.email", "value": "hmac:0"}});
    let arrival = past.bench.arrival("sql_query", &arguments);
    let (mut invocation, facts) = invocation(&arrival, Action::SqlRead);
    invocation.resource = Some("shop".to_owned());
    let mut entry = past.bench.audit.open(&arrival);
    entry.intent(&invocation, &facts).await.unwrap();
    let told = answer(&arrival, "rows");
    entry.settle(&OneWord, told).await;
    let arrival = past.bench.arrival("sql_query", &arguments);
    let mut early = past.bench.audit.open(&arrival);
    early.concerns(&invocation);
    let told = answer(&arrival, "refused");
    early.settle(&OneWord, told).await;
    let told = past.looked_back(&["orders"]).await;
    assert_eq!((told.replayed, told.not_asked.calls), (0, 0));
    assert_eq!(told.not_replayed.values().sum::<u64>(), 3, "{told:?}");
    assert_eq!(told.not_replayed.len(), 3, "{told:?}");
}
