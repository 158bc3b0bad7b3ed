//! Changes: what is measured is what happens, what is made is made once, and nothing else stays.

use std::sync::Mutex;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::call::request::{Parameters, SqlExecute};
use tollgate::call::{
    ApprovalId, Approved, Approver, Bound, Effect, Evidence, Facts, Hash, LastLook, Probe, Refusal, Request,
};

use super::{Stand, asked, code, told};
use crate::policy::permit;

/// What the role needs beside reading.
const WRITING: &str = "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reader;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO reader;";

/// A last look that remembers what it was shown, and says what it is told to.
#[derive(Default)]
pub(super) struct Looks {
    pub(super) seen: Mutex<Vec<Effect>>,
    pub(super) refuses: bool,
}

impl LastLook for Looks {
    fn look<'a>(&'a self, effect: Option<&'a Effect>) -> BoxFuture<'a, Result<(), Refusal>> {
        self.seen.lock().unwrap().extend(effect.cloned());
        let said = match self.refuses {
            true => Err(Refusal::unknown_resource("the last look")),
            false => Ok(()),
        };
        Box::pin(std::future::ready(said))
    }

    fn progress<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

pub(super) fn execute(statement: &str, parameters: Option<Value>) -> Request {
    Request::SqlExecute(SqlExecute {
        resource: "shop".to_owned(),
        statement: statement.to_owned(),
        parameters: parameters.map(|parameters| match parameters {
            Value::Array(values) => Parameters::Positional(values),
            Value::Object(values) => Parameters::Named(values),
            other => panic!("{other}"),
        }),
        reason: None,
    })
}

impl Stand {
    /// For changes, too.
    pub(super) async fn changing(script: &str, change: impl FnOnce(&mut super::Spec)) -> Self {
        Self::with(&format!("{script};{WRITING}"), change).await
    }

    pub(super) async fn inspect(&self, statement: &str) -> Result<Facts, Refusal> {
        let never = CancellationToken::new();
        let (invocation, _) = asked(&["analyst"], execute(statement, None), &never);
        self.resources.inspect(&invocation, &never).await
    }

    /// What people would be shown.
    pub(super) async fn measure(&self, statement: &str) -> Result<Effect, Refusal> {
        let never = CancellationToken::new();
        let (invocation, arrival) = asked(&["analyst"], execute(statement, None), &never);
        let facts = self.resources.inspect(&invocation, &never).await?;
        let permit = permit(
            self.policies
                .current()
                .decide_measure(&arrival, &invocation, &facts),
        );
        self.resources.measure(permit, &invocation, &facts, &never).await
    }

    /// Makes a change, approved with this effect or (`None`) by nobody.
    pub(super) async fn make(
        &self,
        request: Request,
        approved: Option<Option<Effect>>,
        (looks, cancel): (&dyn LastLook, &CancellationToken),
    ) -> Value {
        let (invocation, arrival) = asked(&["analyst"], request, cancel);
        let made = async {
            let facts = self.resources.inspect(&invocation, cancel).await?;
            let approver = Approver {
                issuer: "test".to_owned(),
                subject: "somebody".to_owned(),
                groups: crate::policy::words(&["dba"]),
            };
            let approved = approved.map(|effect| Approved {
                id: ApprovalId("0".repeat(32)),
                action_sha256: Hash([0; 32]),
                approvers: vec![approver],
                effect,
                bound: Bound::Keys,
                grant: None,
                break_glass: None,
            });
            let evidence = Evidence {
                approved,
                ..Evidence::default()
            };
            let rules = self.policies.current();
            let permit = permit(rules.decide(&arrival, &invocation, &facts, &evidence));
            let run = self
                .resources
                .run(permit, &invocation, &facts, evidence.effect(), looks, cancel);
            run.await
        };
        told(&arrival.call_id, made.await)
    }

    pub(super) async fn change(&self, statement: &str) -> Value {
        self.change_with(statement, None).await
    }

    pub(super) async fn change_with(&self, statement: &str, parameters: Option<Value>) -> Value {
        let never = CancellationToken::new();
        self.make(execute(statement, parameters), None, (&Looks::default(), &never))
            .await
    }
}

fn counts(effect: &Effect) -> Value {
    effect.counts()["rows"].clone()
}

#[tokio::test]
async fn what_is_measured_is_what_happens_and_measuring_leaves_nothing() {
    let stand = Stand::changing(
        "CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE, n int);
         INSERT INTO lines SELECT n, 10 + n % 3, n FROM generate_series(1, 9) n;
         CREATE TABLE plain (a int, b text); INSERT INTO plain SELECT n, 'b' || n FROM generate_series(1, 4) n;
         CREATE TABLE numbered (id serial PRIMARY KEY, word text, at timestamptz DEFAULT now());
         CREATE TABLE part (id int, k int, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
         CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
         CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
         INSERT INTO part SELECT n, n FROM generate_series(1, 15) n;
         CREATE TABLE base (a int, b int); CREATE TABLE child () INHERITS (base); INSERT INTO base VALUES (1, 1); INSERT INTO child VALUES (1, 2)",
        |spec| spec.columns_default = super::ColumnsDefault::Show,
    )
    .await;
    for (statement, expected) in [
        (
            "UPDATE orders SET cents = cents + 1 WHERE id IN (10, 11)",
            json!({"orders": {"updated": 2}}),
        ),
        (
            "DELETE FROM orders WHERE id = 10",
            json!({"orders": {"deleted": 1}, "lines": {"deleted": 3}}),
        ),
        (
            "INSERT INTO orders VALUES (20, 1, 5), (21, 2, 6)",
            json!({"orders": {"inserted": 2}}),
        ),
        (
            "UPDATE plain SET b = 'x' WHERE a > 2",
            json!({"plain": {"updated": 2}}),
        ),
        ("DELETE FROM plain WHERE a = 1", json!({"plain": {"deleted": 1}})),
        (
            "INSERT INTO numbered (word) VALUES ('one'), ('two')",
            json!({"numbered": {"inserted": 2}}),
        ),
        (
            "INSERT INTO orders VALUES (11, 1, 5), (30, 2, 6) ON CONFLICT (id) DO UPDATE SET cents = 0",
            json!({"orders": {"inserted": 1, "updated": 1}}),
        ),
        (
            "UPDATE part SET k = k + 10 WHERE k = 3",
            json!({"part": {"deleted": 1, "inserted": 1}}),
        ),
        (
            "UPDATE part SET id = id + 100 WHERE k = 15",
            json!({"part": {"deleted": 1, "inserted": 1}}),
        ),
        (
            "UPDATE base SET b = 9 WHERE a = 1",
            json!({"base": {"updated": 1}, "child": {"updated": 1}}),
        ),
        ("UPDATE orders SET cents = 1 WHERE id = 4444", json!({})),
    ] {
        let all = "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (SELECT o::text FROM orders o UNION ALL
            SELECT l::text FROM lines l UNION ALL SELECT p::text FROM plain p UNION ALL SELECT n.word FROM numbered n
            UNION ALL SELECT p::text FROM part p UNION ALL SELECT b::text FROM base b) t (t)";
        let before = stand.sql(all);
        let effect = stand
            .measure(statement)
            .await
            .unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        assert_eq!(counts(&effect), expected, "{statement}");
        assert_eq!(stand.sql(all), before, "{statement}: it was only measured");
        let (looks, never) = (Looks::default(), CancellationToken::new());
        let made = stand
            .make(
                execute(statement, None),
                Some(Some(effect.clone())),
                (&looks, &never),
            )
            .await;
        assert_eq!(made["status"], "ok", "{statement}: {made}");
        let seen = looks.seen.into_inner().unwrap();
        assert_eq!(seen.len(), 1, "{statement}");
        assert!(
            seen[0].is_within(&effect, Bound::Keys),
            "{statement}: {seen:?} {effect:?}"
        );
        assert_eq!(
            stand.sql(all) == before,
            expected == json!({}),
            "{statement}: it stayed"
        );
    }
    let connections =
        stand.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state <> 'idle'");
    assert_eq!(connections, "0", "nothing is left open");
}

#[tokio::test]
async fn reviewers_see_rows_before_and_after_behind_masks() {
    let stand = Stand::changing("", |_| {}).await;
    let effect = stand
        .measure("UPDATE customers SET city = 'Bodø' WHERE id = 1")
        .await
        .unwrap();
    assert_eq!(counts(&effect), json!({"customers": {"updated": 1}}));
    let sample = serde_json::to_value(&effect.sample).unwrap();
    let row = |city: &str| json!({"id": 1, "name": "***", "email": "***", "city": city, "born": null});
    assert_eq!(
        sample,
        json!([{"table": "customers", "key": {"id": 1}, "before": row("Oslo"), "after": row("Bodø")}])
    );
    let effect = stand.measure("DELETE FROM orders WHERE id = 12").await.unwrap();
    let sample = serde_json::to_value(&effect.sample).unwrap();
    assert_eq!(
        sample[0]["before"],
        json!({"id": 12, "customer_id": 2, "cents": 900})
    );
    assert_eq!(sample[0].get("after"), None);
    assert!(!effect.irreversible);
    assert!(stand.measure("DELETE FROM orders").await.unwrap().irreversible);
}

#[tokio::test]
async fn other_rows_and_other_values_are_outside_of_what_was_approved() {
    let stand = Stand::changing(
        "CREATE TABLE rates (id int PRIMARY KEY, rate int); INSERT INTO rates VALUES (1, 2)",
        |spec| {
            spec.columns
                .extend(["id", "rate"].map(|name| (format!("rates.{name}"), "public".to_owned())));
        },
    )
    .await;
    let statement = "UPDATE orders SET cents = cents * (SELECT rate FROM rates) WHERE customer_id = 1";
    let approved = stand.measure(statement).await.unwrap();
    for (script, within) in [
        ("SELECT 1", true),
        ("UPDATE rates SET rate = 3", false),
        (
            "UPDATE rates SET rate = 2; UPDATE orders SET customer_id = 1 WHERE id = 12; UPDATE orders SET customer_id = 2 WHERE id = 11",
            false,
        ),
        ("UPDATE orders SET customer_id = 2", true),
        ("UPDATE orders SET customer_id = 1 WHERE id = 11", true),
    ] {
        stand.sql(script);
        assert_eq!(
            stand
                .measure(statement)
                .await
                .unwrap()
                .is_within(&approved, Bound::Keys),
            within,
            "{script}"
        );
    }
}

#[tokio::test]
async fn nothing_stays_of_a_change_that_the_last_look_refuses_or_that_is_cancelled() {
    let stand = Stand::changing("", |_| {}).await;
    let statement = "UPDATE orders SET cents = 1 WHERE id = 10";
    let never = CancellationToken::new();
    let looks = Looks {
        refuses: true,
        ..Looks::default()
    };
    let refused = stand.make(execute(statement, None), None, (&looks, &never)).await;
    assert_ne!(code(&refused), "none", "{refused}");
    assert_eq!(stand.sql("SELECT cents FROM orders WHERE id = 10"), "500");
    let made = stand.change(statement).await;
    assert_eq!(
        made["data"],
        json!({"kind": "update", "rows_affected": 1}),
        "{made}"
    );
    assert_eq!(stand.sql("SELECT cents FROM orders WHERE id = 10"), "1");
}

#[tokio::test]
async fn returning_gives_the_servers_own_values_behind_masks_and_in_no_order_that_tells() {
    let stand = Stand::changing("", |_| {}).await;
    let made = stand
        .change("UPDATE customers SET city = 'Moss' WHERE id < 3 RETURNING id, email, city, born AS b")
        .await;
    assert_eq!(made["data"]["rows_affected"], json!(2), "{made}");
    assert_eq!(
        made["data"]["returned"],
        json!({"columns": ["id", "email", "city", "b"], "types": ["int4", "text", "text", "date"], "row_count": 2,
            "rows": [[1, "***", "Moss", null], [2, "***", "Moss", null]]})
    );
    let made = stand
        .change_with(
            "INSERT INTO customers (id, name, email, city) VALUES ($1, $2, $3, $4) RETURNING *",
            Some(json!([9, "Customer Nine", "nine@shop.example", null])),
        )
        .await;
    assert_eq!(
        made["data"]["returned"]["rows"],
        json!([[9, "***", "***", null, null]]),
        "{made}"
    );
    assert_eq!(
        stand.sql("SELECT email FROM customers WHERE id = 9"),
        "nine@shop.example"
    );
}

/// What a clock chooses is another effect than the one that was seen; the time itself is the same one.
#[tokio::test]
async fn a_clock_does_not_change_what_was_approved() {
    let stand = Stand::changing(
        "CREATE TABLE timed (id int PRIMARY KEY, n bigint, at timestamptz, day date); INSERT INTO timed VALUES (1, 0, NULL, NULL)",
        |spec| spec.columns_default = super::ColumnsDefault::Show,
    )
    .await;
    for (given, same) in [
        ("at = clock_timestamp(), day = current_date", true),
        ("at = now(), n = 7", true),
        (
            "n = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            false,
        ),
        (
            "at = now(), n = (extract(epoch FROM now()) * 1000000)::bigint",
            false,
        ),
    ] {
        let statement = format!("UPDATE timed SET {given} WHERE id = 1");
        let first = stand.measure(&statement).await.unwrap();
        let second = stand.measure(&statement).await.unwrap();
        assert_eq!(second.is_within(&first, Bound::Keys), same, "{statement}");
    }
}

#[tokio::test]
async fn masks_are_not_written_back() {
    let stand = Stand::changing("", |_| {}).await;
    for (statement, parameters) in [
        ("UPDATE customers SET email = '***' WHERE id = 1", None),
        (
            "UPDATE customers SET email = $1 WHERE id = 1",
            Some(json!(["***"])),
        ),
        (
            "UPDATE customers SET email = :mail WHERE id = :id",
            Some(json!({"mail": "***e.example", "id": 1})),
        ),
        (
            "UPDATE customers SET city = $1 WHERE id = 1",
            Some(json!(["a [masked: email]"])),
        ),
    ] {
        let answer = stand.change_with(statement, parameters).await;
        assert_eq!(code(&answer), "statement_refused", "{statement}: {answer}");
        assert!(answer.to_string().contains("mask"), "{answer}");
    }
    let fine = stand
        .change_with(
            "UPDATE customers SET city = $1 WHERE id = 1",
            Some(json!(["*** Oslo"])),
        )
        .await;
    assert_eq!(fine["status"], "ok", "{fine}");
    assert_eq!(
        stand.sql("SELECT email FROM customers WHERE id = 1"),
        "one@shop.example"
    );
}

#[tokio::test]
async fn what_nobody_listed_is_not_run_and_what_the_role_lacks_is_said_to_the_operator() {
    let stand = Stand::changing(
        "CREATE TABLE log (id serial PRIMARY KEY, word text);
         CREATE TABLE watched (id int PRIMARY KEY, word text); INSERT INTO watched VALUES (1, 'a'), (2, 'b');
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN INSERT INTO log (word) VALUES (NEW.word); RETURN NEW; END';
         CREATE TRIGGER noted BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION note();
         CREATE FUNCTION odd(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 % 2 = 1; END';
         CREATE TABLE checked (id int CHECK (odd(id)));
         CREATE TABLE ruled (id int); CREATE RULE also AS ON INSERT TO ruled DO ALSO DELETE FROM orders;
         CREATE TABLE locked (id int PRIMARY KEY)",
        |spec| {
            spec.columns_default = super::ColumnsDefault::Show;
            spec.functions.insert("public.note2".to_owned());
        },
    )
    .await;
    stand.sql("REVOKE ALL ON locked FROM reader; GRANT SELECT (id), INSERT ON locked TO reader");
    for (statement, refusal, detail) in [
        (
            "UPDATE watched SET word = 'c' WHERE id = 1",
            "statement_refused",
            "public.note",
        ),
        (
            "INSERT INTO checked VALUES (1)",
            "statement_refused",
            "public.odd",
        ),
        ("INSERT INTO ruled VALUES (1)", "statement_refused", "rules"),
        (
            "DELETE FROM locked WHERE id = 1",
            "target_failed",
            "DELETE on public.locked",
        ),
        ("INSERT INTO locked VALUES (1)", "target_failed", "xmin"),
    ] {
        let answer = stand.change(statement).await;
        assert_eq!(code(&answer), refusal, "{statement}: {answer}");
        let said = answer["detail"].as_str().unwrap();
        assert!(said.contains(detail), "{statement}: {said}");
        assert_eq!(stand.sql("SELECT count(*) FROM orders"), "3");
    }
    let other = stand.change("DELETE FROM watched WHERE id = 2").await;
    assert_eq!(other["status"], "ok", "the trigger is not for this: {other}");
    let listed = Stand::changing(
        "CREATE TABLE log (id serial PRIMARY KEY, word text);
         CREATE TABLE watched (id int PRIMARY KEY, word text); INSERT INTO watched VALUES (1, 'a'), (2, 'b');
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN INSERT INTO log (word) VALUES (NEW.word); RETURN NEW; END';
         CREATE TRIGGER noted BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION note()",
        |spec| {
            spec.columns.extend(
                ["log.id", "log.word", "watched.id", "watched.word"]
                    .map(|name| (name.to_owned(), "public".to_owned())),
            );
            spec.functions.insert("public.note".to_owned());
        },
    )
    .await;
    let effect = listed.measure("UPDATE watched SET word = 'c'").await.unwrap();
    assert_eq!(
        counts(&effect),
        json!({"watched": {"updated": 2}, "log": {"inserted": 2}})
    );
    assert_eq!(
        effect.schema.keys().collect::<Vec<_>>(),
        ["public.log_id_seq"],
        "numbers are used up"
    );
    let made = listed.change("UPDATE watched SET word = 'c'").await;
    assert_eq!(made["data"]["rows_affected"], json!(2), "{made}");
    assert_eq!(listed.sql("SELECT count(*) FROM log"), "2");
}

#[tokio::test]
async fn a_refused_change_says_the_same_whatever_was_in_its_way() {
    let stand = Stand::changing("ALTER TABLE orders ADD CHECK (cents < 100000)", |_| {}).await;
    let mut words = std::collections::BTreeSet::new();
    for statement in [
        "INSERT INTO orders VALUES (10, 1, 5)",
        "INSERT INTO orders VALUES (90, 99, 5)",
        "INSERT INTO orders VALUES (91, 1, NULL)",
        "UPDATE orders SET cents = 200000 WHERE id = 10",
        "UPDATE orders SET cents = cents / (cents - 500) WHERE id = 10",
    ] {
        let measured = stand.measure(statement).await.unwrap_err();
        let made = stand.change(statement).await;
        assert_eq!(code(&made), "statement_refused", "{statement}: {made}");
        words.insert(format!("{} {}", measured.message, made["refusal"]["message"]));
    }
    assert_eq!(words.len(), 1, "{words:?}");
    let unread = stand
        .measure("UPDATE orders SET cents = 'a word' WHERE id = 10")
        .await
        .unwrap_err();
    assert!(
        unread.message.contains("line 1"),
        "a mistake in the text is told: {unread:?}"
    );
    for statement in [
        "TRUNCATE orders",
        "MERGE INTO orders o USING customers c ON o.customer_id = c.id WHEN MATCHED THEN DELETE",
        "DROP TABLE orders",
        "CREATE TABLE t (a int)",
        "UPDATE orders SET cents = 1; DELETE FROM orders",
        "WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d",
    ] {
        let refusal = stand.inspect(statement).await.unwrap_err();
        assert!(!refusal.suggestion.is_empty(), "{statement}: {refusal:?}");
    }
    assert_eq!(stand.sql("SELECT count(*) FROM orders"), "3");
}

#[tokio::test]
async fn a_change_whose_success_tells_is_not_tried_before_people_agreed() {
    let stand = Stand::changing("CREATE UNIQUE INDEX ON customers (email)", |_| {}).await;
    let insert = "INSERT INTO customers VALUES (8, 'x', 'one@shop.example', NULL, NULL)";
    let facts = stand.inspect(insert).await.unwrap();
    assert_eq!(facts.probe, Probe::Oracle);
    assert_eq!(code(&stand.change(insert).await), "not_permitted");
    assert_eq!(stand.measure(insert).await.unwrap_err().code.as_str(), "internal");
    let never = CancellationToken::new();
    let made = stand
        .make(execute(insert, None), Some(None), (&Looks::default(), &never))
        .await;
    assert_eq!(code(&made), "statement_refused", "{made}");
    let other = insert.replace("one@", "eight@");
    let made = stand
        .make(execute(&other, None), Some(None), (&Looks::default(), &never))
        .await;
    assert_eq!(made["status"], "ok", "{made}");
}
