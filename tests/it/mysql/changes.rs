//! Changes: what is measured is what happens, what is made is made once, and nothing else stays.

use std::sync::Mutex;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::call::request::{Parameters, SqlExecute};
use tollgate::call::{
    Action, ApprovalId, Approved, Approver, Arrival, Bound, CallId, Effect, Evidence, Facts, Hash,
    Invocation, LastLook, Probe, Refusal, Request, Transport,
};
use tollgate::mask::Mask;
use tollgate::policy::Policies;
use tollgate::resource::Resources;
use tollgate::resource::sql::mysql::{Spec, Writer};
use tollgate::secret::Secret;

use super::{Stand, code, database};
use crate::policy::{permit, principal};

/// What the account that makes changes says.
pub(super) const WRITES: (&str, &str) = ("writer", "writer-of-the-tests");

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

fn asked(request: Request, cancel: &CancellationToken) -> (Invocation, Arrival) {
    let user = principal(&["analyst"]);
    let invocation = Invocation {
        call_id: CallId::new(1, &[7; 10]),
        user: user.user.id(),
        session: String::new(),
        tool: "sql_execute".to_owned(),
        action: Action::SqlWrite,
        resource: Some("shop".to_owned()),
        arguments: json!({}),
        request_key: Hash::of(format!("{request:?}").as_bytes()),
        request,
    };
    let arrival = Arrival {
        hold: None,
        call_id: CallId::new(1, &[7; 10]),
        principal: user,
        transport: Transport::Http,
        tool: "sql_execute".to_owned(),
        arguments: serde_json::Map::new(),
        cancel: cancel.clone(),
    };
    (invocation, arrival)
}

/// Makes a change.
pub(super) async fn make(
    (resources, policies): (&Resources, &Policies),
    request: Request,
    approved: Option<Option<Effect>>,
    (looks, cancel): (&dyn LastLook, &CancellationToken),
) -> Value {
    let (invocation, arrival) = asked(request, cancel);
    let made = async {
        let facts = resources.inspect(&invocation, cancel).await?;
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
        let rules = policies.current();
        let permit = permit(rules.decide(&arrival, &invocation, &facts, &evidence));
        let run = resources.run(permit, &invocation, &facts, evidence.effect(), looks, cancel);
        run.await
    };
    match made.await {
        Ok(raw) => Mask::new().output(&arrival.call_id, raw).envelope().clone(),
        Err(refusal) => {
            let mut envelope = Mask::new().refusal(&arrival.call_id, &refusal).envelope().clone();
            envelope["detail"] = json!(refusal.detail); // for the operator; no agent sees it
            envelope
        }
    }
}

impl Stand {
    /// For changes, too.
    pub(super) async fn changing(scripts: &[&str], change: impl FnOnce(&mut Spec)) -> Self {
        let stand = Self::made(scripts, |spec| {
            spec.writer = Some(Writer {
                account: WRITES.0.to_owned(),
                password: Some(Secret::new(WRITES.1.to_owned())),
            });
            change(spec);
        })
        .await;
        let (account, password) = WRITES;
        stand.server.sql(
            "mysql",
            &format!("CREATE USER {account} IDENTIFIED BY '{password}'"),
        );
        stand.grant().await;
        stand
    }

    /// Gives the account what it needs for every table.
    pub(super) async fn grant(&self) {
        let tables = "SELECT GROUP_CONCAT(TABLE_NAME) FROM information_schema.TABLES
            WHERE TABLE_SCHEMA = 'shop' AND TABLE_TYPE = 'BASE TABLE'";
        let tables = self.sql(tables);
        let tables: Vec<String> = tables.split(',').map(str::to_owned).collect();
        let grants = database(&self.spec).write_grants(&tables).await;
        let grants = grants.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        self.server.sql("mysql", &grants);
    }

    pub(super) async fn inspect(&self, statement: &str) -> Result<Facts, Refusal> {
        let never = CancellationToken::new();
        let (invocation, _) = asked(execute(statement, None), &never);
        self.resources.inspect(&invocation, &never).await
    }

    /// What people would be shown.
    pub(super) async fn measure(&self, statement: &str) -> Result<Effect, Refusal> {
        self.measure_with(statement, None).await
    }

    pub(super) async fn measure_with(
        &self,
        statement: &str,
        parameters: Option<Value>,
    ) -> Result<Effect, Refusal> {
        let never = CancellationToken::new();
        let (invocation, arrival) = asked(execute(statement, parameters), &never);
        let facts = self.resources.inspect(&invocation, &never).await?;
        let rules = self.policies.current();
        let permit = permit(rules.decide_measure(&arrival, &invocation, &facts));
        self.resources.measure(permit, &invocation, &facts, &never).await
    }

    /// Makes a change, approved with this effect or (`None`) by nobody.
    pub(super) async fn make(
        &self,
        request: Request,
        approved: Option<Option<Effect>>,
        (looks, cancel): (&dyn LastLook, &CancellationToken),
    ) -> Value {
        make(
            (&self.resources, &self.policies),
            request,
            approved,
            (looks, cancel),
        )
        .await
    }

    pub(super) async fn change(&self, statement: &str) -> Value {
        self.change_with(statement, None).await
    }

    pub(super) async fn change_with(&self, statement: &str, parameters: Option<Value>) -> Value {
        let never = CancellationToken::new();
        self.make(execute(statement, parameters), None, (&Looks::default(), &never))
            .await
    }

    /// Statements and transactions of the account that makes changes.
    pub(super) fn open(&self) -> String {
        // The server gives what it found earlier to whoever looks again within a tenth of a second, however often.
        self.sql(
            "DO SLEEP(0.2); SELECT (SELECT COUNT(*) FROM information_schema.innodb_trx) +
               (SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'writer' AND command IN ('Query', 'Execute'))",
        )
    }
}

pub(super) fn counts(effect: &Effect) -> Value {
    effect.counts()["rows"].clone()
}

const TABLES: &str = "
    CREATE TABLE line_items (id int PRIMARY KEY, order_id int, n int, FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE);
    INSERT INTO line_items SELECT seq, 10 + seq % 3, seq FROM seq_1_to_9;
    CREATE TABLE notes (code varchar(20) PRIMARY KEY, line int, FOREIGN KEY (line) REFERENCES line_items (id) ON DELETE SET NULL);
    INSERT INTO notes VALUES ('it''s \\\\ å', 1), ('b', 3), ('c', 4);
    CREATE TABLE numbered (id int AUTO_INCREMENT PRIMARY KEY, word varchar(20), at timestamp DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE two (a varbinary(16), b date, r float, PRIMARY KEY (a, b)); INSERT INTO two VALUES (X'00ff27', '2026-01-02', 1.5), (X'', '0001-01-01', 2);
    CREATE TABLE tree (id bigint unsigned PRIMARY KEY, up bigint unsigned, FOREIGN KEY (up) REFERENCES tree (id) ON DELETE CASCADE);
    INSERT INTO tree VALUES (18446744073709551615, NULL), (2, 18446744073709551615), (3, 2), (4, NULL);
    CREATE TABLE cities (id int PRIMARY KEY, code varchar(5) UNIQUE); INSERT INTO cities VALUES (1, 'a'), (2, 'b');
    CREATE TABLE streets (id int PRIMARY KEY, city varchar(5), FOREIGN KEY (city) REFERENCES cities (code) ON UPDATE CASCADE);
    INSERT INTO streets VALUES (1, 'a'), (2, 'a'), (3, 'b');";

#[tokio::test]
async fn what_is_measured_is_what_happens_and_measuring_leaves_nothing() {
    let stand = Stand::changing(&[super::SHOP, TABLES], |spec| {
        spec.columns_default = super::ColumnsDefault::Show;
    })
    .await;
    for (statement, expected) in [
        (
            "UPDATE orders SET cents = cents + 1 WHERE id IN (10, 11)",
            json!({"orders": {"updated": 2}}),
        ),
        (
            "DELETE FROM orders WHERE id = 10",
            json!({"orders": {"deleted": 1}, "line_items": {"deleted": 3}, "notes": {"updated": 1}}),
        ),
        (
            "INSERT INTO orders VALUES (20, 1, 5), (21, 2, 6)",
            json!({"orders": {"inserted": 2}}),
        ),
        (
            "INSERT INTO orders (id, customer_id, cents) SELECT id + 100, id, 1 FROM customers WHERE id < 3",
            json!({"orders": {"inserted": 2}}),
        ),
        (
            "INSERT INTO numbered (word) VALUES ('one'), ('two')",
            json!({"numbered": {"inserted": 2}}),
        ),
        (
            "INSERT INTO numbered (id, word, at) VALUES (NULL, 'three', NOW())",
            json!({"numbered": {"inserted": 1}}),
        ),
        (
            "INSERT INTO numbered SET word = 'four'",
            json!({"numbered": {"inserted": 1}}),
        ),
        (
            "UPDATE numbered SET at = NOW() - INTERVAL 1 DAY WHERE at <= NOW() AND word = 'one'",
            json!({"numbered": {"updated": 1}}),
        ),
        ("UPDATE two SET r = r * 2", json!({"two": {"updated": 2}})),
        (
            "DELETE FROM two WHERE b = '2026-01-02'",
            json!({"two": {"deleted": 1}}),
        ),
        (
            "UPDATE notes SET line = NULL WHERE code LIKE 'it%'",
            json!({"notes": {"updated": 1}}),
        ),
        (
            "DELETE FROM tree WHERE id > 1000 OR id = 2",
            json!({"tree": {"deleted": 3}}),
        ),
        (
            "UPDATE cities SET code = CONCAT(code, 'x') WHERE id = 1",
            json!({"cities": {"updated": 1}, "streets": {"updated": 2}}),
        ),
        (
            "UPDATE line_items l SET l.n = 0 WHERE l.order_id IN (SELECT id FROM orders WHERE cents > 600)",
            json!({"line_items": {"updated": 6}}),
        ),
        (
            "UPDATE orders SET cents = 700 WHERE id = 11 AND cents = 701",
            json!({"orders": {"updated": 1}}),
        ),
        ("UPDATE orders SET cents = 1 WHERE id = 4444", json!({})),
        ("DELETE FROM notes", json!({"notes": {"deleted": 3}})),
    ] {
        let all = "CHECKSUM TABLE customers, orders, line_items, notes, numbered, two, tree, cities, streets";
        let before = stand.sql(all);
        let effect = stand
            .measure(statement)
            .await
            .unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        assert_eq!(counts(&effect), expected, "{statement}");
        assert_eq!(stand.sql(all), before, "{statement}: it was only measured");
        let (looks, never) = (Looks::default(), CancellationToken::new());
        let approved = Some(Some(effect.clone()));
        let made = stand
            .make(execute(statement, None), approved, (&looks, &never))
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
    assert_eq!(stand.open(), "0", "nothing is left open");
    assert_eq!(
        stand.sql("SELECT COUNT(*) FROM shop_tollgate.tollgate_ledger"),
        "0",
        "what is known to be final has no note"
    );
}

#[tokio::test]
async fn reviewers_see_rows_before_and_after_behind_masks() {
    let stand = Stand::changing(&[super::SHOP], |_| {}).await;
    let effect = stand
        .measure("UPDATE customers SET city = 'Bodø', email = 'new@shop.example' WHERE id = 1")
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
    let made = stand
        .change_with(
            "UPDATE customers SET email = :mail WHERE id = :id",
            Some(json!({"id": 2, "mail": "other@shop.example"})),
        )
        .await;
    assert_eq!(
        made["data"],
        json!({"kind": "update", "rows_affected": 1}),
        "{made}"
    );
    assert_eq!(
        stand.sql("SELECT email FROM customers WHERE id = 2"),
        "other@shop.example"
    );
    let mask = stand
        .change_with(
            "UPDATE customers SET email = ? WHERE id = 2",
            Some(json!(["***@x"])),
        )
        .await;
    assert_eq!(code(&mask), "statement_refused", "{mask}");
    // New rows with masked columns, which the account may write and not read.
    let insert = "INSERT INTO customers (id, name, email, city, born) VALUES (?, ?, 'five@shop.example', 'Moss', '2001-01-01')";
    let values = Some(json!([5, "Customer Five"]));
    let effect = stand.measure_with(insert, values.clone()).await.unwrap();
    assert_eq!(counts(&effect), json!({"customers": {"inserted": 1}}));
    let made = stand.change_with(insert, values).await;
    assert_eq!(made["data"]["rows_affected"], json!(1), "{made}");
    assert_eq!(
        stand.sql("SELECT name FROM customers WHERE id = 5"),
        "Customer Five"
    );
    let beside = "INSERT INTO customers (id, name, email) VALUES ((SELECT MAX(id) FROM orders), 'x', 'y')";
    assert_eq!(code(&stand.change(beside).await), "statement_refused");
}

#[tokio::test]
async fn other_rows_and_other_values_are_outside_of_what_was_approved() {
    let stand = Stand::changing(
        &[
            super::SHOP,
            "CREATE TABLE rates (id int PRIMARY KEY, rate int); INSERT INTO rates VALUES (1, 2)",
        ],
        |spec| {
            let public = ["id", "rate"].map(|name| (format!("rates.{name}"), "public".to_owned()));
            spec.columns.extend(public);
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
        ("UPDATE orders SET cents = 701 WHERE id = 11", false),
    ] {
        stand.sql(script);
        let now = stand.measure(statement).await.unwrap();
        assert_eq!(now.is_within(&approved, Bound::Keys), within, "{script}");
    }
    let insert = "INSERT INTO orders (id, customer_id, cents) SELECT 50, 1, rate FROM rates";
    let approved = stand.measure(insert).await.unwrap();
    stand.sql("UPDATE rates SET rate = 9");
    assert!(
        !stand
            .measure(insert)
            .await
            .unwrap()
            .is_within(&approved, Bound::Keys)
    );
}

#[tokio::test]
async fn nothing_stays_of_a_change_that_the_last_look_refuses_or_that_fails() {
    let stand = Stand::changing(&[super::SHOP], |_| {}).await;
    let statement = "UPDATE orders SET cents = 1 WHERE id = 10";
    let never = CancellationToken::new();
    let looks = Looks {
        refuses: true,
        ..Looks::default()
    };
    let refused = stand.make(execute(statement, None), None, (&looks, &never)).await;
    assert_ne!(code(&refused), "none", "{refused}");
    assert_eq!(stand.sql("SELECT cents FROM orders WHERE id = 10"), "500");
    assert_eq!(stand.open(), "0");
    let failing = [
        "INSERT INTO orders VALUES (90, 1, 5), (10, 1, 5)",
        "INSERT INTO orders VALUES (90, 77, 5)",
        "DELETE FROM customers WHERE id = 1",
        "INSERT INTO orders VALUES (91, 1, 99999999999)",
        "UPDATE orders SET cents = NULL WHERE id = 10",
    ];
    for statement in failing {
        let made = stand.change(statement).await;
        assert_eq!(code(&made), "statement_refused", "{statement}: {made}");
        let message = made["refusal"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("The database does not allow this change"),
            "{made}"
        );
        let measured = stand.measure(statement).await.unwrap_err();
        assert!(
            measured.message.starts_with("What this change would do"),
            "{measured:?}"
        );
        for value in ["'10'", "77", "Duplicate", "fk_", "ibfk", "999999"] {
            let said = made["refusal"].to_string();
            assert!(!said.contains(value), "{statement}: {made}");
        }
    }
    assert_eq!(stand.sql("SELECT COUNT(*) FROM orders"), "3");
    assert_eq!(stand.change(statement).await["status"], "ok");
    let mistake = stand
        .change("UPDATE orders SET cents = IF(1) WHERE id = 10")
        .await;
    assert_eq!(code(&mistake), "statement_refused", "{mistake}");
    assert_eq!(stand.open(), "0");
}

/// Each with what the operator is told.
const OUT_OF_REACH: &[(&str, &str)] = &[
    ("UPDATE loose SET n = 1 WHERE id = 1", "cannot be undone"),
    ("INSERT INTO aria VALUES (2, 2)", "cannot be undone"),
    ("DELETE FROM memory WHERE id = 1", "cannot be undone"),
    ("UPDATE versioned SET n = 1 WHERE id = 1", "cannot be undone"),
    ("INSERT INTO triggered VALUES (2, 2)", "trigger"),
    ("UPDATE known_abroad SET n = 1 WHERE id = 1", "another database"),
    ("DELETE FROM up WHERE id = 1", "cannot be told apart"),
    ("UPDATE keyless SET n = 1 WHERE id = 1", ""),
    ("UPDATE floating SET n = 1", ""),
    ("UPDATE orders SET id = 99 WHERE id = 10", ""),
    ("UPDATE orders SET cents = RAND() WHERE id = 10", ""),
    (
        "UPDATE orders SET cents = 1 WHERE id = (SELECT MAX(id) FROM orders)",
        "",
    ),
    ("DELETE FROM orders WHERE id IN (SELECT id FROM loose)", ""),
    ("DELETE FROM orders WHERE id IN (SELECT id FROM some)", ""),
    (
        "INSERT INTO orders VALUES (10, 1, 1) ON DUPLICATE KEY UPDATE cents = 2",
        "",
    ),
    ("REPLACE INTO orders VALUES (10, 1, 1)", ""),
    ("TRUNCATE orders", ""),
    (
        "UPDATE orders o JOIN customers c ON c.id = o.customer_id SET o.cents = 1",
        "",
    ),
];

#[tokio::test]
async fn what_cannot_be_undone_or_looked_at_is_refused() {
    let script = "
        CREATE TABLE loose (id int PRIMARY KEY, n int) ENGINE = MyISAM; INSERT INTO loose VALUES (1, 0);
        CREATE TABLE aria (id int PRIMARY KEY, n int) ENGINE = Aria; CREATE TABLE memory (id int PRIMARY KEY, n int) ENGINE = MEMORY;
        CREATE TABLE versioned (id int PRIMARY KEY, n int) WITH SYSTEM VERSIONING; INSERT INTO versioned VALUES (1, 0);
        CREATE TABLE triggered (id int PRIMARY KEY, n int); INSERT INTO triggered VALUES (1, 0);
        CREATE TRIGGER writes BEFORE INSERT ON triggered FOR EACH ROW UPDATE orders SET cents = 0;
        CREATE TABLE known_abroad (id int PRIMARY KEY, n int); INSERT INTO known_abroad VALUES (1, 0);
        CREATE DATABASE other; CREATE TABLE other.refers (id int PRIMARY KEY, n int REFERENCES shop.known_abroad (id) ON DELETE CASCADE);
        CREATE TABLE up (id int PRIMARY KEY); INSERT INTO up VALUES (1);
        CREATE TABLE down (up int, FOREIGN KEY (up) REFERENCES up (id) ON DELETE CASCADE); INSERT INTO down VALUES (1);
        CREATE TABLE keyless (id int, n int); INSERT INTO keyless VALUES (1, 0);
        CREATE TABLE floating (id double PRIMARY KEY, n int); INSERT INTO floating VALUES (1, 0);
        CREATE VIEW some AS SELECT id FROM orders";
    let stand = Stand::changing(&[super::SHOP, script], |spec| {
        spec.columns_default = super::ColumnsDefault::Show;
        spec.columns.insert("some.id".to_owned(), "public".to_owned());
    })
    .await;
    let tables = "CHECKSUM TABLE orders, loose, aria, memory, versioned, triggered, known_abroad, up, down, keyless, floating";
    let before = stand.sql(tables);
    for (statement, detail) in OUT_OF_REACH {
        for answer in [
            stand.change(statement).await,
            match stand.measure(statement).await {
                Ok(effect) => panic!("{statement}: {effect:?}"),
                Err(refusal) => {
                    json!({"refusal": {"code": refusal.code, "suggestion": refusal.suggestion}, "detail": refusal.detail})
                }
            },
        ] {
            assert_eq!(code(&answer), "statement_refused", "{statement}: {answer}");
            assert_ne!(answer["refusal"]["suggestion"], json!(""), "{answer}");
            let said = answer["detail"].as_str().unwrap_or_default();
            assert!(said.contains(detail), "{statement}: {answer}");
        }
    }
    assert_eq!(stand.sql(tables), before);
    // A trigger runs for its own event alone.
    let made = stand.change("UPDATE triggered SET n = 5 WHERE id = 1").await;
    assert_eq!(made["data"]["rows_affected"], json!(1), "{made}");
    let query = stand.change("SELECT id FROM orders").await;
    assert_eq!(code(&query), "wrong_tool", "{query}");
}

#[tokio::test]
async fn the_account_that_makes_changes_reads_nothing_that_is_masked_and_can_do_nothing_else() {
    let stand = Stand::changing(&[super::SHOP], |_| {}).await;
    for statement in [
        "SELECT email FROM customers",
        "SELECT * FROM customers",
        "UPDATE customers SET city = email",
        "DELETE FROM customers WHERE email LIKE 'one%'",
        "INSERT INTO customers (id, name, email) VALUES (9, 'x', 'y') RETURNING email",
        "UPDATE shop_tollgate.tollgate_plan SET plan = ''",
        "UPDATE shop_tollgate.customers SET city = 'x'",
        "DROP TABLE orders",
        "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.cents = 0",
    ] {
        let said = stand.server.sql_as(WRITES, "shop", statement).unwrap_err();
        assert!(said.contains("denied"), "{statement}: {said}");
    }
    let statement = "UPDATE orders SET cents = 1 WHERE id = 10";
    // More than it needs, each on its own: refused, and reading goes on.
    for (right, object, told) in [
        ("SELECT", "shop.customers", "masked"),
        ("SELECT", "shop.*", "SELECT on `shop`.*"),
        ("INSERT", "shop_tollgate.*", "INSERT"),
        ("PROCESS", "*.*", "PROCESS"),
        ("SELECT", "mysql.*", "mysql"),
    ] {
        stand.sql(&format!("GRANT {right} ON {object} TO writer"));
        let made = stand.change(statement).await;
        assert_eq!(code(&made), "target_failed", "{right} {object}: {made}");
        assert!(made["detail"].as_str().unwrap().contains(told), "{made}");
        assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
        stand.sql(&format!("REVOKE {right} ON {object} FROM writer"));
        stand.grant().await;
    }
    // Less than it needs.
    stand.sql("REVOKE UPDATE ON shop.orders FROM writer");
    let made = stand.change(statement).await;
    assert_eq!(code(&made), "target_failed", "{made}");
    stand.sql(
        "GRANT UPDATE ON shop.orders TO writer; REVOKE TRIGGER ON `shop`.* FROM tollgate_views@localhost",
    );
    let made = stand.change(statement).await;
    assert!(made["detail"].as_str().unwrap().contains("lacks"), "{made}");
    stand.grant().await;
    assert_eq!(stand.change(statement).await["status"], "ok");
    // The views are made again, and what changes need stays.
    stand.make_views().await;
    assert_eq!(stand.change(statement).await["status"], "ok");
    stand.sql("DROP VIEW shop_tollgate.tollgate_ground");
    let made = stand.change(statement).await;
    assert!(made["detail"].as_str().unwrap().contains("db grants"), "{made}");
}

#[tokio::test]
async fn facts_tell_policies_what_a_change_is_of() {
    let stand = Stand::changing(&[super::SHOP], |_| {}).await;
    let facts = stand
        .inspect("UPDATE customers SET city = 'x', email = 'y' WHERE id IN (SELECT customer_id FROM orders)")
        .await
        .unwrap();
    let sql = serde_json::to_value(facts.sql.as_ref().unwrap()).unwrap();
    assert_eq!(
        (&sql["kind"], &sql["has_where"]),
        (&json!("update"), &json!(true)),
        "{sql}"
    );
    assert_eq!(sql["tables"], json!(["customers", "orders"]), "{sql}");
    assert!(
        sql["columns"]
            .as_array()
            .unwrap()
            .contains(&json!("customers.email")),
        "{sql}"
    );
    assert_eq!(facts.action, Action::SqlWrite);
    assert_eq!(facts.probe, Probe::Measurable);
    assert!(!facts.classified.is_empty());
    let target = serde_json::to_value(&facts.target).unwrap();
    assert!(target.to_string().contains("writer"), "{target}");
}

/// A right that everybody has is in no line about the account; what it can read shows it.
#[tokio::test]
async fn what_everybody_may_read_of_masked_columns_refuses_changes() {
    let stand = Stand::changing(&[super::SHOP, "CREATE ROLE boss"], |_| {}).await;
    let statement = "UPDATE orders SET cents = cents + 1 WHERE id = 10";
    assert_eq!(stand.change(statement).await["status"], "ok");
    for (give, take) in [
        (
            "INSERT INTO mysql.db (Host, Db, User, Select_priv) VALUES ('%', 'shop', '', 'Y'); FLUSH PRIVILEGES",
            "DELETE FROM mysql.db WHERE User = ''; FLUSH PRIVILEGES",
        ),
        (
            "INSERT INTO mysql.db (Host, Db, User, Select_priv) VALUES ('%', 'sh%', '', 'Y'); FLUSH PRIVILEGES",
            "DELETE FROM mysql.db WHERE User = ''; FLUSH PRIVILEGES",
        ),
        (
            "GRANT SELECT ON `sh%`.* TO writer",
            "REVOKE SELECT ON `sh%`.* FROM writer",
        ),
        (
            "GRANT SELECT ON `sho_`.* TO PUBLIC",
            "REVOKE SELECT ON `sho_`.* FROM PUBLIC",
        ),
        (
            "GRANT SELECT (email) ON shop.customers TO PUBLIC",
            "REVOKE SELECT (email) ON shop.customers FROM PUBLIC",
        ),
        ("GRANT boss TO writer", "REVOKE boss FROM writer"),
    ] {
        stand.sql(give);
        let made = stand.change(statement).await;
        assert_eq!(code(&made), "target_failed", "{give}: {made}");
        stand.sql(take);
        assert_eq!(stand.change(statement).await["status"], "ok", "{take}");
    }
}

/// What is chosen and what is changed are the same rows, however the server comes to them.
#[tokio::test]
async fn a_change_is_of_the_rows_that_were_chosen() {
    let tables = "CREATE TABLE picks (id int PRIMARY KEY, n int, KEY (n)); INSERT INTO picks SELECT seq, 100 - seq FROM seq_1_to_50;
        CREATE TABLE rows_of (id int PRIMARY KEY, word varchar(20)); INSERT INTO rows_of SELECT seq, 'x' FROM seq_1_to_50;";
    let stand = Stand::changing(&[super::SHOP, TABLES, tables], |spec| {
        spec.columns_default = super::ColumnsDefault::Show;
    })
    .await;
    for (statement, changed) in [
        (
            "UPDATE rows_of SET word = 'y' WHERE id IN (SELECT q.id FROM (SELECT id FROM picks LIMIT 3) q)",
            Some(3),
        ),
        (
            "UPDATE rows_of r SET r.word = 'y' WHERE r.id = 1 OR r.id IN (SELECT id FROM picks WHERE n < 60)",
            Some(11),
        ),
        ("UPDATE rows_of SET word = 'z' WHERE word = 'nothing'", Some(0)),
        (
            "DELETE FROM rows_of WHERE (SELECT COUNT(*) FROM picks p WHERE p.id <= rows_of.id) = 7 OR id = 9",
            Some(2),
        ),
        (
            "DELETE FROM rows_of WHERE id = 10 -- OR 1 = 1\n OR id = 11",
            Some(2),
        ),
        ("UPDATE rows_of SET word = 'where'", Some(46)),
        // What a key makes of other rows would say which are next.
        (
            "DELETE FROM orders WHERE (SELECT COUNT(*) FROM line_items l WHERE l.order_id <= orders.id) > 3",
            None,
        ),
        (
            "UPDATE cities SET code = CONCAT(code, 'x') WHERE id IN (SELECT id FROM streets WHERE city = 'a')",
            None,
        ),
    ] {
        let made = stand.change(statement).await;
        match changed {
            Some(many) => assert_eq!(made["data"]["rows_affected"], json!(many), "{statement}: {made}"),
            None => assert_eq!(code(&made), "statement_refused", "{statement}: {made}"),
        }
    }
    assert_eq!(
        stand.sql("SELECT COUNT(*) FROM rows_of WHERE word = 'where'"),
        "46"
    );
}
