//! Schema changes: foreseen without being tried, made once by a role of their own, and never a way to a masked value.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::call::{Action, Effect, Probe};
use tollgate::resource::sql::ColumnsDefault;
use tollgate::resource::sql::postgres::Definer;

use super::changes::{Looks, execute};
use super::{PASSWORD, SHOP, Spec, Stand, asked, code, told};
use crate::effects::{dan, pending, ran};
use crate::policy::{permit, write};
use crate::support::governed::Governed;
use crate::support::postgres::Postgres;
use crate::support::process::verify;
use crate::support::site::envelope;

/// A role that owns the shop, beside the one that reads it.
const OWNED: &str = "
CREATE ROLE definer LOGIN PASSWORD 'reader-of-the-tests';
GRANT USAGE, CREATE ON SCHEMA public TO definer;
ALTER TABLE customers OWNER TO definer; ALTER TABLE orders OWNER TO definer;
ALTER DEFAULT PRIVILEGES FOR ROLE definer IN SCHEMA public GRANT SELECT ON TABLES TO reader;
";

/// Everything that is defined, in one text.
const DEFINED: &str = "
SELECT md5(string_agg(line, '|' ORDER BY line)) FROM (
  SELECT c.oid::text || c.relname::text || c.relkind::text || c.relfilenode::text AS line FROM pg_class c WHERE c.oid >= 16384
  UNION ALL SELECT attrelid::text || attname::text || atttypid::text || attnotnull::text || attisdropped::text FROM pg_attribute WHERE attrelid >= 16384
  UNION ALL SELECT oid::text || conname::text || convalidated::text FROM pg_constraint WHERE oid >= 16384
  UNION ALL SELECT oid::text || adbin::text FROM pg_attrdef
  UNION ALL SELECT objoid::text || objsubid || description FROM pg_description WHERE objoid >= 16384) AS lines";

fn owned(spec: &mut Spec) {
    spec.definer = Some(Definer {
        account: "definer".to_owned(),
        password: Some(tollgate::secret::Secret::new(PASSWORD.to_owned())),
    });
}

impl Stand {
    /// With a role that changes schemas; everything that `script` makes is its own.
    pub(super) async fn defining(script: &str, change: impl FnOnce(&mut Spec)) -> Self {
        let script = format!("{OWNED} SET ROLE definer; {script}; RESET ROLE;");
        Self::with(&script, |spec| {
            owned(spec);
            change(spec);
        })
        .await
    }

    /// A statement that must be refused, with its code and words; nothing may be defined otherwise afterwards.
    pub(super) async fn undefined(&self, statement: &str) -> Value {
        let before = self.sql(DEFINED);
        let answer = self.change(statement).await;
        assert_ne!(answer["status"], "ok", "{statement}: {answer}");
        assert_eq!(before, self.sql(DEFINED), "{statement}");
        answer
    }

    pub(super) async fn defined(&self, statement: &str) -> Value {
        let answer = self.change(statement).await;
        assert_eq!(answer["status"], "ok", "{statement}: {answer}");
        answer
    }
}

#[tokio::test]
async fn it_is_foreseen_without_being_tried_and_made_when_it_is_let() {
    let stand = Stand::defining(
        "CREATE VIEW totals AS SELECT customer_id, sum(cents) FROM orders GROUP BY 1",
        |_| {},
    )
    .await;
    let statements = [
        ("DROP VIEW totals", json!({"totals": "drop view"})),
        (
            "CREATE TABLE notes (id serial PRIMARY KEY, order_id int NOT NULL REFERENCES orders ON DELETE CASCADE, \
          word text DEFAULT 'none' CHECK (length(word) < 80), at timestamptz DEFAULT now(), n bigint GENERATED ALWAYS AS IDENTITY, \
          UNIQUE (order_id, word), CONSTRAINT early CHECK (at < '2100-01-01' AND n > 0))",
            json!({"notes": "create table"}),
        ),
        (
            "ALTER TABLE orders ADD COLUMN note varchar(20) NOT NULL DEFAULT 'x', ADD COLUMN paid bool",
            json!({"orders": "add column note; add column paid"}),
        ),
        (
            "alter table public.orders alter cents set default 0, alter cents drop not null",
            json!({"orders": "alter the default of column cents; let be empty: column cents"}),
        ),
        (
            "ALTER TABLE orders ALTER cents TYPE bigint",
            json!({"orders": "alter the type of column cents"}),
        ),
        (
            "ALTER TABLE orders ALTER COLUMN cents SET NOT NULL",
            json!({"orders": "require a value in column cents"}),
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT positive CHECK (orders.cents >= 0)",
            json!({"orders": "add constraint positive"}),
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT again FOREIGN KEY (customer_id) REFERENCES customers (id) NOT VALID",
            json!({"orders": "add constraint again"}),
        ),
        (
            "ALTER TABLE orders DROP CONSTRAINT positive",
            json!({"orders": "drop constraint positive"}),
        ),
        (
            "ALTER TABLE orders DROP COLUMN note",
            json!({"orders": "drop column note"}),
        ),
        (
            "CREATE INDEX by_customer ON orders USING btree (customer_id DESC, (cents + 1)) INCLUDE (id) WHERE cents > 10",
            json!({"orders": "create index by_customer"}),
        ),
        (
            "CREATE UNIQUE INDEX ON customers (id, city)",
            json!({"customers": "create unique index"}),
        ),
        (
            "ALTER INDEX by_customer RENAME TO by_buyer",
            json!({"orders": "rename index by_customer to by_buyer"}),
        ),
        ("DROP INDEX by_buyer", json!({"orders": "drop index by_buyer"})),
        (
            "COMMENT ON COLUMN orders.cents IS 'in cents; it''s a price'",
            json!({"orders": "comment on column cents"}),
        ),
        (
            "COMMENT ON TABLE orders IS 'what was bought'",
            json!({"orders": "comment"}),
        ),
        (
            "CREATE TABLE ids (id int, at timestamptz(0), price numeric(10, 2), flags bit(3)[], span interval day to second(3))",
            json!({"ids": "create table"}),
        ),
        (
            "ALTER TABLE ids RENAME COLUMN id TO number",
            json!({"ids": "rename column id to number"}),
        ),
        (
            "ALTER TABLE ids RENAME TO numbers",
            json!({"ids": "rename to numbers"}),
        ),
        ("DROP TABLE numbers", json!({"numbers": "drop table"})),
    ];
    for (statement, schema) in statements {
        let before = stand.sql(DEFINED);
        let facts = stand
            .inspect(statement)
            .await
            .unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        assert_eq!(
            (facts.action, facts.probe),
            (Action::SqlDdl, Probe::Measurable),
            "{statement}"
        );
        let effect = stand
            .measure(statement)
            .await
            .unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        assert_eq!(before, stand.sql(DEFINED), "{statement}: it was only foreseen");
        assert_eq!(json!(effect.schema), schema, "{statement}");
        assert!(effect.unmeasured["runs exactly"].contains("public"), "{effect:?}");
        let looks = Looks::default();
        let never = CancellationToken::new();
        let answer = stand
            .make(
                execute(statement, None),
                Some(Some(effect.clone())),
                (&looks, &never),
            )
            .await;
        assert_eq!(answer["status"], "ok", "{statement}: {answer}");
        assert_ne!(before, stand.sql(DEFINED), "{statement}");
        let seen: Vec<Effect> = looks.seen.into_inner().unwrap();
        assert_eq!(seen.len(), 1);
        assert!(
            seen[0].is_within(&effect, tollgate::call::Bound::Keys),
            "{statement}: {seen:?}"
        );
        assert_eq!(effect.counts()["measured"], json!(false));
    }
}

#[tokio::test]
async fn what_is_estimated_and_what_it_costs_others_is_said() {
    let stand = Stand::defining(
        "CREATE VIEW totals AS SELECT customer_id, sum(cents) AS cents FROM orders GROUP BY 1;
         CREATE VIEW most AS SELECT max(cents) FROM totals;
         CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders);
         CREATE TABLE scratch (id int PRIMARY KEY, word text); INSERT INTO scratch SELECT n, 'w' FROM generate_series(1, 40) n;
         CREATE TABLE child (id int REFERENCES scratch); ANALYZE scratch",
        |_| {},
    )
    .await;
    let effect = stand
        .measure("ALTER TABLE orders ALTER cents TYPE numeric")
        .await
        .unwrap();
    let said = &effect.unmeasured["orders"];
    assert!(
        said.contains("ACCESS EXCLUSIVE") && said.contains("every row anew"),
        "{said}"
    );
    let effect = stand.measure("DROP TABLE scratch CASCADE").await.unwrap();
    assert_eq!(
        json!(effect.schema),
        json!({"scratch": "drop table", "child": "drop constraint child_id_fkey, because it depends on what is dropped"})
    );
    assert!(effect.irreversible);
    assert!(
        effect.unmeasured["scratch"].contains("about 40 rows, less than 1 MiB"),
        "{:?}",
        effect.unmeasured
    );
    let refused = stand.undefined("DROP TABLE scratch").await;
    assert!(
        refused["refusal"]["try"].as_str().unwrap().contains("CASCADE"),
        "{refused}"
    );
    stand.defined("DROP TABLE scratch CASCADE").await;
    assert_eq!(stand.sql("SELECT count(*) FROM child"), "0");
    // Views that depend on a view.
    let effect = stand.measure("DROP VIEW totals CASCADE").await.unwrap();
    assert_eq!(
        json!(effect.schema),
        json!({"totals": "drop view", "most": "dropped, because it depends on what is dropped"})
    );
    stand.defined("DROP VIEW totals CASCADE").await;
}

#[tokio::test]
async fn emptying_a_table_counts_what_goes_and_binds_to_it() {
    let stand = Stand::defining(
        "CREATE TABLE jobs (id int PRIMARY KEY); INSERT INTO jobs SELECT generate_series(1, 7);
         CREATE TABLE runs (job int REFERENCES jobs); INSERT INTO runs SELECT 1 + n % 7 FROM generate_series(1, 20) n",
        |_| {},
    )
    .await;
    let facts = stand.inspect("TRUNCATE jobs CASCADE").await.unwrap();
    let sql = facts.sql.unwrap();
    assert_eq!((sql.kind.as_str(), sql.irreversible), ("truncate", true));
    let effect = stand.measure("TRUNCATE jobs CASCADE").await.unwrap();
    assert_eq!(
        effect.counts()["rows"],
        json!({"jobs": {"deleted": 7}, "runs": {"deleted": 20}})
    );
    assert_eq!(stand.sql("SELECT count(*) FROM runs"), "20");
    stand.sql("INSERT INTO runs VALUES (1)");
    let looks = Looks::default();
    let never = CancellationToken::new();
    stand
        .make(
            execute("TRUNCATE jobs CASCADE", None),
            Some(Some(effect.clone())),
            (&looks, &never),
        )
        .await;
    let seen = looks.seen.into_inner().unwrap();
    assert!(
        !seen[0].is_within(&effect, tollgate::call::Bound::Count),
        "one row more: {seen:?}"
    );
    assert_eq!(stand.sql("SELECT count(*) FROM runs"), "0");
    // A trigger that nobody listed would run.
    stand.sql(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''x''; RETURN NULL; END';
         CREATE TRIGGER shouts BEFORE TRUNCATE ON jobs EXECUTE FUNCTION shout()",
    );
    let refused = stand.undefined("TRUNCATE jobs, runs").await;
    assert!(
        refused["detail"].as_str().unwrap().contains("public.shout"),
        "{refused}"
    );
}

/// What must not run, whoever permits it: it takes a value, a name or a right somewhere, or runs code.
const NEVER: &[&str] = &[
    // What is no whole number behind a type.
    "CREATE TABLE t (a numeric(x))",
    "CREATE TABLE t (a numeric(1 + 1, 2))",
    "CREATE TABLE t (a varchar('20'))",
    "CREATE TABLE t (a pg_catalog.\"interval\"('x'))",
    "ALTER TABLE orders ADD COLUMN a serial(x), ADD CHECK (cents::numeric(id) > 1)",
    // Names of which the configuration speaks, and those that somebody else stands behind.
    "ALTER TABLE customers DROP COLUMN city",
    "ALTER TABLE customers DROP COLUMN city, ADD COLUMN city text",
    "ALTER TABLE customers RENAME COLUMN city TO town",
    "ALTER TABLE customers RENAME COLUMN name TO city",
    "ALTER TABLE customers RENAME COLUMN email TO mail",
    "ALTER TABLE customers RENAME TO people",
    "ALTER TABLE spare RENAME TO customers",
    "ALTER TABLE spare RENAME TO orders",
    "DROP TABLE customers",
    "DROP TABLE customers CASCADE",
    "DROP TABLE orders",
    "CREATE TABLE customers (id int, city text)",
    "CREATE TABLE IF NOT EXISTS orders (id int)",
    "CREATE VIEW customers AS SELECT 1 AS id",
    "CREATE TABLE tollgate.keys (id int)",
    "CREATE TABLE pg_catalog.pg_mine (id int)",
    "CREATE TABLE nowhere.mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE UNLOGGED TABLE mine (id int)",
    "ALTER TABLE customers SET SCHEMA other",
    "ALTER SCHEMA public RENAME TO old",
    // Copies and lineage.
    "CREATE TABLE copy AS SELECT * FROM customers",
    "SELECT * INTO copy FROM customers",
    "CREATE MATERIALIZED VIEW copy AS SELECT id FROM orders",
    "CREATE VIEW copy AS SELECT id, email FROM customers",
    "CREATE VIEW copy AS SELECT id, city FROM customers",
    "CREATE VIEW copy AS SELECT o.id FROM orders o WHERE EXISTS (SELECT FROM customers c WHERE c.email LIKE 'a%')",
    "CREATE OR REPLACE VIEW totals AS SELECT 1 AS customer_id, 2::bigint AS sum",
    "CREATE VIEW copy AS SELECT * FROM pg_catalog.pg_stats",
    "CREATE VIEW copy AS SELECT * FROM hidden",
    "CREATE TABLE copy (LIKE customers INCLUDING ALL)",
    "CREATE TABLE copy (note text) INHERITS (customers)",
    "CREATE TABLE copy PARTITION OF customers FOR VALUES IN (1)",
    "ALTER TABLE spare INHERIT customers",
    "ALTER TABLE customers ATTACH PARTITION spare DEFAULT",
    "ALTER TABLE customers ADD COLUMN twin text GENERATED ALWAYS AS (email) STORED",
    "ALTER TABLE customers ADD COLUMN twin text DEFAULT (SELECT email FROM customers LIMIT 1)",
    "ALTER TABLE customers ALTER city TYPE text USING email",
    "ALTER TABLE customers ALTER id TYPE int USING length(email)",
    // What succeeds, or not, because of a value.
    "CREATE UNIQUE INDEX ON customers (email)",
    "CREATE INDEX ON customers (email)",
    "CREATE INDEX ON customers (lower(name))",
    "CREATE INDEX ON customers ((1 / (length(email) - 16)))",
    "CREATE INDEX ON customers (id) WHERE email = 'one@shop.example'",
    "CREATE INDEX ON customers (id) INCLUDE (name)",
    "ALTER TABLE customers ADD CONSTRAINT u UNIQUE (email)",
    "ALTER TABLE customers ADD PRIMARY KEY (email)",
    "ALTER TABLE customers ADD CONSTRAINT c CHECK (email LIKE '%@%')",
    "ALTER TABLE customers ADD CONSTRAINT c CHECK (customers IS NOT NULL)",
    "ALTER TABLE customers ADD CONSTRAINT c CHECK (email LIKE 'o%') NOT VALID",
    "ALTER TABLE customers VALIDATE CONSTRAINT c",
    "ALTER TABLE customers ALTER born SET NOT NULL",
    "ALTER TABLE customers ALTER name TYPE int",
    "ALTER TABLE customers ALTER email TYPE varchar(12)",
    "ALTER TABLE customers ALTER email TYPE int USING email::int",
    "ALTER TABLE customers ALTER email SET DEFAULT 'one@shop.example'",
    "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES customers (name)",
    "ALTER TABLE customers ADD CONSTRAINT f FOREIGN KEY (email) REFERENCES spare (word)",
    "CREATE TABLE probe (mail text REFERENCES customers (email))",
    "CREATE TABLE probe (x int CHECK (x > (SELECT count(*) FROM customers WHERE email LIKE 'o%')))",
    "ALTER TABLE customers ADD CONSTRAINT e EXCLUDE (email WITH =)",
    // Who may do what, and code that runs by itself.
    "ALTER TABLE orders OWNER TO reader",
    "ALTER TABLE orders DISABLE TRIGGER ALL",
    "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE orders SET TABLESPACE pg_default",
    "ALTER TABLE orders SET (fillfactor = 10)",
    "ALTER TABLE orders REPLICA IDENTITY FULL",
    "ALTER TABLE orders CLUSTER ON orders_pkey",
    "ALTER VIEW totals SET (security_barrier = true)",
    "GRANT SELECT ON customers TO PUBLIC",
    "REVOKE ALL ON customers FROM reader",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TRIGGER t AFTER INSERT ON orders EXECUTE FUNCTION f()",
    "CREATE RULE r AS ON INSERT TO orders DO INSTEAD NOTHING",
    "CREATE POLICY p ON orders USING (true)",
    "CREATE EXTENSION dblink",
    "CREATE SCHEMA other",
    "CREATE ROLE other",
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
    "CREATE CAST (int AS text) WITH INOUT",
    "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
    "CREATE SERVER s FOREIGN DATA WRAPPER w",
    "CREATE DOMAIN d AS text CHECK (value <> '')",
    "CREATE TYPE t AS ENUM ('a')",
    "CREATE SEQUENCE s",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "CREATE STATISTICS s ON id, cents FROM orders",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "DROP SCHEMA public CASCADE",
    "DROP OWNED BY definer",
    "DROP FUNCTION lower(text)",
    "CREATE TABLE probe (x int DEFAULT pg_sleep(1))",
    "CREATE TABLE probe (x text DEFAULT pg_read_file('/etc/passwd'))",
    "CREATE TABLE probe (x regclass)",
    "CREATE TABLE probe (x int) WITH (fillfactor = 10)",
    "CREATE TABLE probe (x int) TABLESPACE pg_default",
    "CREATE TABLE probe (x int) USING heap2",
    "CREATE TABLE probe OF thing",
    "CREATE INDEX CONCURRENTLY i ON orders (cents)",
    "REINDEX TABLE orders",
    "TRUNCATE customers, hidden",
    "COMMENT ON ROLE reader IS 'x'",
    "COMMENT ON DATABASE shop IS 'x'",
    "CREATE TABLE one (id int); CREATE TABLE two (id int)",
    "MERGE INTO orders USING spare ON spare.id = orders.id WHEN MATCHED THEN DELETE",
    "DROP TABLE hidden",
    "ALTER TABLE hidden ADD COLUMN x int",
    "DROP INDEX hidden_pkey",
    "DROP INDEX orders_pkey",
    "DROP TABLE spare, customers",
];

/// Beside the shop, what the statements of [`NEVER`] name.
async fn around(values: &str) -> Stand {
    let stand = Stand::defining(
        "CREATE TABLE spare (id int PRIMARY KEY, word text UNIQUE);
        CREATE VIEW totals AS SELECT customer_id, sum(cents) FROM orders GROUP BY 1;
        CREATE TABLE hidden (id int PRIMARY KEY, word text)",
        |_| {},
    )
    .await;
    stand.sql("REVOKE ALL ON hidden FROM reader");
    stand.sql(values);
    stand
}

#[tokio::test]
async fn what_would_take_a_value_a_name_or_a_right_is_refused_and_tells_nothing() {
    // Twins that differ in classified values alone: lengths, duplicates, NULLs, forms.
    let one = around("UPDATE customers SET name = id::text, email = id || '@x'").await;
    let other = around("UPDATE customers SET name = 'same', email = repeat('e', 3000), born = NULL").await;
    let mut refused = 0;
    for statement in NEVER {
        let (first, second) = (one.undefined(statement).await, other.undefined(statement).await);
        assert_eq!(first, second, "{statement}");
        let said = first["refusal"]["try"].as_str().unwrap_or_default();
        assert!(said.len() > 5, "{statement} without a way out: {first}");
        refused += 1;
    }
    assert!(refused > 100, "{refused}");
    // And what may run is the same on both.
    for statement in [
        "ALTER TABLE customers ADD COLUMN note text DEFAULT 'x'",
        "ALTER TABLE customers DROP COLUMN born",
        "ALTER TABLE customers ALTER name DROP NOT NULL",
        "ALTER TABLE customers ALTER id TYPE bigint",
        "CREATE INDEX ON customers (city)",
        "ALTER TABLE customers ADD CONSTRAINT c CHECK (id > 0)",
        "ALTER TABLE customers ADD CONSTRAINT c2 CHECK (id > 1)",
        "COMMENT ON COLUMN customers.email IS 'x'",
        "TRUNCATE orders",
        "TRUNCATE customers CASCADE",
    ] {
        let told = |answer: Value| {
            let mut answer = answer;
            answer.as_object_mut().unwrap().remove("call_id");
            answer
        };
        let (first, second) = (
            told(one.change(statement).await),
            told(other.change(statement).await),
        );
        assert_eq!(first, second, "{statement}");
    }
}

#[tokio::test]
async fn a_shown_by_default_database_gives_no_classified_column_another_name() {
    let stand = Stand::defining(
        "CREATE TABLE base (id int, secret text, note text) ; CREATE TABLE part () INHERITS (base);
         INSERT INTO part VALUES (1, 'kept-secret', 'note'); CREATE TABLE plain (id int, word text);
         CREATE VIEW seen AS SELECT id, word FROM plain",
        |spec| {
            spec.columns_default = ColumnsDefault::Show;
            spec.columns.insert("base.secret".to_owned(), "email".to_owned());
            spec.columns.insert("seen.word".to_owned(), "public".to_owned());
        },
    )
    .await;
    for statement in [
        "ALTER TABLE base RENAME COLUMN secret TO open",
        "ALTER TABLE base RENAME TO old",
        "ALTER TABLE base DROP COLUMN secret",
        "DROP TABLE base CASCADE",
        "ALTER TABLE part NO INHERIT base",
        "ALTER TABLE part RENAME COLUMN secret TO open",
        "ALTER TABLE part RENAME TO plain",
        "CREATE VIEW copy AS SELECT secret FROM part",
        "CREATE VIEW copy AS SELECT id FROM part",
        "CREATE UNIQUE INDEX ON part (secret)",
        "ALTER TABLE part ALTER secret SET NOT NULL",
        "DROP VIEW seen",
        "DROP TABLE plain CASCADE",
        "ALTER VIEW seen RENAME TO unseen",
        "ALTER VIEW seen RENAME COLUMN word TO other",
    ] {
        stand.undefined(statement).await;
    }
    let rows = stand.rows("SELECT secret FROM part").await;
    assert!(!rows.to_string().contains("kept"), "{rows}");
    // A child under another name is a child still.
    stand.defined("ALTER TABLE part RENAME TO piece").await;
    let rows = stand.rows("SELECT secret, note FROM piece").await;
    assert!(
        !rows.to_string().contains("kept") && rows.to_string().contains("note"),
        "{rows}"
    );
    stand
        .defined("CREATE VIEW words AS SELECT p.word FROM plain p")
        .await;
}

#[tokio::test]
async fn what_was_known_before_a_schema_change_is_not_known_after_it() {
    let stand = Stand::defining("", |_| {}).await;
    assert_eq!(
        stand.rows("SELECT * FROM orders WHERE id = 10").await,
        json!([[10, 1, 500]])
    );
    assert_eq!(
        stand.rows("SELECT * FROM orders WHERE id = 10").await,
        json!([[10, 1, 500]]),
        "from memory"
    );
    let before = stand
        .inspect("ALTER TABLE orders ADD COLUMN other int")
        .await
        .unwrap();
    stand
        .defined("ALTER TABLE orders ADD COLUMN note text DEFAULT 'nobody classified it'")
        .await;
    assert_eq!(
        stand.rows("SELECT * FROM orders WHERE id = 10").await,
        json!([[10, 1, 500, "***"]]),
        "a new column is unlisted"
    );
    // An approval is of the catalogue as it was.
    let after = stand
        .inspect("ALTER TABLE orders ADD COLUMN other int")
        .await
        .unwrap();
    assert_ne!(before.target, after.target);
    let never = CancellationToken::new();
    let (invocation, arrival) = asked(
        &["analyst"],
        execute("ALTER TABLE orders ADD COLUMN other int", None),
        &never,
    );
    let permit = permit(
        stand
            .policies
            .current()
            .decide(&arrival, &invocation, &before, &Default::default()),
    );
    let looks = Looks::default();
    let answer = stand
        .resources
        .run(permit, &invocation, &before, None, &looks, &never)
        .await;
    let answer = told(&arrival.call_id, answer);
    assert_eq!(code(&answer), "target_failed", "{answer}");
    assert!(looks.seen.into_inner().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_stays_without_the_last_look_the_account_or_its_rights() {
    let stand = Stand::defining("CREATE TABLE foreign_land (id int)", |_| {}).await;
    let before = stand.sql(DEFINED);
    let never = CancellationToken::new();
    let looks = Looks {
        refuses: true,
        ..Looks::default()
    };
    let add = "ALTER TABLE orders ADD COLUMN note text";
    let answer = stand.make(execute(add, None), Some(None), (&looks, &never)).await;
    assert_ne!(code(&answer), "none", "{answer}");
    assert_eq!(before, stand.sql(DEFINED));
    stand.sql("ALTER TABLE foreign_land OWNER TO postgres");
    let answer = stand
        .undefined("ALTER TABLE foreign_land ADD COLUMN note text")
        .await;
    assert!(
        answer["detail"]
            .as_str()
            .unwrap()
            .contains("definer needs to own public.foreign_land"),
        "{answer}"
    );
    stand.sql("REVOKE CREATE ON SCHEMA public FROM definer");
    let answer = stand.undefined("CREATE TABLE mine (id int)").await;
    assert!(
        answer["detail"]
            .as_str()
            .unwrap()
            .contains("CREATE on the schema public"),
        "{answer}"
    );
    // One that could do more than it should changes nothing at all.
    stand.sql("ALTER ROLE definer CREATEROLE");
    let answer = stand.undefined(add).await;
    assert!(
        answer["detail"].as_str().unwrap().contains("CREATEROLE"),
        "{answer}"
    );
    stand.sql("ALTER ROLE definer NOCREATEROLE");
    // Somebody holds the table: nobody waits for long, and nobody behind them.
    let answer = stand.change_with(add, Some(json!([1]))).await;
    assert_eq!(code(&answer), "invalid_arguments", "{answer}");
    stand.sql(
        "CREATE FUNCTION log_it() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''x''; END';
         CREATE EVENT TRIGGER logs ON ddl_command_end EXECUTE FUNCTION log_it()",
    );
    let answer = stand.undefined(add).await;
    assert!(
        answer["detail"].as_str().unwrap().contains("public.log_it"),
        "{answer}"
    );
    stand.sql("DROP EVENT TRIGGER logs");
    stand.sql(
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON orders TO reader USING (id < 11)",
    );
    for statement in [
        "ALTER TABLE orders ALTER cents SET NOT NULL",
        "TRUNCATE orders",
        "CREATE VIEW v AS SELECT id FROM orders",
    ] {
        let answer = stand.undefined(statement).await;
        assert!(
            answer["refusal"]["message"]
                .as_str()
                .unwrap()
                .contains("Row-level security"),
            "{answer}"
        );
    }
    stand.defined(add).await;
}

#[tokio::test]
async fn without_an_account_of_its_own_there_are_no_schema_changes() {
    let stand = Stand::new("").await;
    let answer = stand.undefined("ALTER TABLE orders ADD COLUMN note text").await;
    assert_eq!(code(&answer), "statement_refused");
    assert!(
        answer["detail"]
            .as_str()
            .unwrap()
            .contains("db grants shop --ddl"),
        "{answer}"
    );
}

/// What a server does with a new column: it becomes one with that of a child, it widens each row, its constraint counts
/// rows, its default runs as the owner.
#[tokio::test]
async fn a_new_column_is_no_way_to_values_of_others_nor_to_how_many_there_are() {
    let columns = (0..98)
        .map(|n| format!("c{n} name"))
        .collect::<Vec<_>>()
        .join(", ");
    let stand = Stand::defining(
        &format!(
            "CREATE TABLE base (id int); CREATE TABLE part (secret text) INHERITS (base); INSERT INTO part VALUES (1, 'kept');
             CREATE TABLE wide (id int, secret text, {columns});
             CREATE TABLE ruled (id int); INSERT INTO ruled VALUES (1);
             CREATE FUNCTION kept() RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT secret FROM public.part'"
        ),
        |spec| {
            spec.columns_default = ColumnsDefault::Show;
            spec.columns.insert("part.secret".to_owned(), "email".to_owned());
            spec.columns.insert("wide.secret".to_owned(), "email".to_owned());
            spec.functions.insert("public.kept".to_owned());
        },
    )
    .await;
    stand.sql(
        "ALTER TABLE ruled ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON ruled TO reader USING (id > 1)",
    );
    for (statement, word) in [
        (
            "ALTER TABLE base ADD COLUMN secret text CHECK (secret LIKE 'k%')",
            "inherits",
        ),
        ("ALTER TABLE base ADD COLUMN secret text", "inherits"),
        ("ALTER TABLE wide ADD COLUMN n serial", "more than 100"),
        ("ALTER TABLE wide ADD COLUMN n name DEFAULT 'x'", "more than 100"),
        ("ALTER TABLE wide ADD COLUMN q tsquery", "no place"),
        ("ALTER TABLE base ADD COLUMN q oidvector", "no place"),
        ("ALTER TABLE ruled ADD COLUMN n serial CHECK (n < 3)", "Row-level"),
        ("ALTER TABLE ruled ADD COLUMN n int NOT NULL", "Row-level"),
        ("ALTER TABLE ruled ADD COLUMN n int DEFAULT 1 UNIQUE", "Row-level"),
        (
            "ALTER TABLE orders ADD COLUMN t text DEFAULT public.kept()",
            "public.kept",
        ),
        (
            "ALTER TABLE orders ADD COLUMN t text DEFAULT kept()",
            "public.kept",
        ),
        ("CREATE TABLE mine (t text DEFAULT public.kept())", "public.kept"),
        (
            "CREATE TABLE mine (t text CHECK (t = public.kept()))",
            "public.kept",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT c CHECK (public.kept() LIKE 'k%')",
            "public.kept",
        ),
        ("CREATE INDEX ON orders ((public.kept()))", "public.kept"),
        (
            "ALTER TABLE orders ALTER cents TYPE text, ADD CONSTRAINT c CHECK (cents IS NOT NULL)",
            "one statement",
        ),
    ] {
        let refused = stand.undefined(statement).await;
        let said = refused["refusal"]["message"].as_str().unwrap();
        assert!(said.contains(word), "{statement}: {refused}");
    }
    for statement in [
        "ALTER TABLE base ADD COLUMN note text NOT NULL DEFAULT 'x'",
        "ALTER TABLE ruled ADD COLUMN note text DEFAULT 'x'",
    ] {
        stand.defined(statement).await;
    }
}

#[tokio::test]
async fn a_default_that_goes_with_the_sequence_of_another_table_is_said() {
    let stand = Stand::defining(
        "CREATE TABLE first (id serial); CREATE TABLE second (id int DEFAULT nextval('first_id_seq'), word text DEFAULT 'x')",
        |_| {},
    )
    .await;
    let effect = stand.measure("DROP TABLE first CASCADE").await.unwrap();
    assert_eq!(
        effect.schema["second"],
        "drop the default of column id, because it depends on what is dropped"
    );
    assert!(!effect.schema.contains_key("orders"), "{effect:?}");
    stand.defined("DROP TABLE first CASCADE").await;
    stand.defined("ALTER TABLE second DROP COLUMN word").await;
}

/// Who may define, and that somebody else reads it first: policies that an organisation writes.
const POLICY: &str = "@id(\"dba-defines\")
permit (principal in Tollgate::Group::\"dba\",
  action in [Tollgate::Action::\"sql_ddl\", Tollgate::Action::\"sql_write\", Tollgate::Action::\"measure\"],
  resource in Tollgate::Label::\"shop\");
";

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_change_is_asked_about_read_by_a_second_person_and_made_once() {
    let database = Postgres::start().await;
    database.sql("postgres", "CREATE DATABASE shop");
    database.sql("shop", SHOP);
    database.sql(
        "shop",
        &format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON orders TO reader; {OWNED}"),
    );
    let mut all = Governed::new(0).await;
    let folder = all.site.dir.path().to_owned();
    std::fs::remove_dir_all(folder.join("policies/tests")).unwrap(); // they know of no second database
    write(&folder, "password", PASSWORD);
    all.site.configure(&format!(
        "[[resource]]\nname = \"records\"\nkind = \"postgres\"\ndescription = \"the records\"\nlabels = [\"shop\", \"prod\"]\nurl = \"{}\"\n\
         password = \"file:{file}\"\nddl = \"definer\"\nddl_password = \"file:{file}\"\ncolumns_default = \"show\"\n",
        database.url("reader", "shop"),
        file = folder.join("password").display(),
    ));
    let add = json!({ "resource": "records", "statement": "ALTER TABLE orders ADD COLUMN note text DEFAULT 'none'" });
    let server = all.serve().await;
    let agent = dan(&all.site);
    let before = database.sql("shop", DEFINED);
    let answer = agent.call("sql_execute", add.clone()).await;
    assert_eq!(
        envelope(&answer)["refusal"]["code"],
        json!("not_permitted"),
        "no policy permits it: {answer}"
    );
    server.terminate();
    server.exit().await;
    write(&folder.join("policies"), "60-definitions.cedar", POLICY);
    let server = all.serve().await;
    let agent = dan(&all.site);
    let id = pending(&agent.call("sql_execute", add.clone()).await);
    assert_eq!(before, database.sql("shop", DEFINED), "nothing was tried");
    let (dan_person, lea) = (all.person("dan", &["dba"]), all.person("lea", &["dba"]));
    let sheet = lea.asked().await;
    assert_eq!(
        sheet["effect"]["schema"],
        json!({"orders": "add column note"}),
        "{sheet}"
    );
    let known = &sheet["effect"]["unmeasured"];
    assert_eq!(
        known["runs exactly"],
        json!("ALTER TABLE public.orders ADD COLUMN note text DEFAULT 'none'"),
        "{sheet}"
    );
    assert!(
        known["orders"].as_str().unwrap().contains("ACCESS EXCLUSIVE"),
        "{known}"
    );
    assert_eq!(dan_person.try_approve(&sheet).await.0, 403, "their own request");
    lea.approve(&sheet).await;
    // Somebody else alters something meanwhile: what was approved is not what would be made.
    database.sql("shop", "ALTER TABLE customers ADD COLUMN note text");
    let new = pending(&agent.call("sql_execute", add.clone()).await);
    assert_ne!(new, id);
    let sheet = lea.asked().await;
    lea.approve(&sheet).await;
    let several = (0..4).map(|_| agent.call("sql_execute", add.clone()));
    let answers = futures::future::join_all(several).await;
    assert!(
        answers.iter().any(|answer| envelope(answer)["status"] == "ok"),
        "{answers:?}"
    );
    let there = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'note'";
    assert_eq!(database.sql("shop", there), "1");
    let ran = ran(&all.site, "sql_execute").await;
    assert_eq!(ran.len(), 1);
    assert_eq!(ran[0]["approval"]["approvers"], json!(["test#lea"]), "{}", ran[0]);
    assert_eq!(
        ran[0]["effect"]["schema"],
        json!({"orders": "add column note"}),
        "{}",
        ran[0]
    );
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
    assert_eq!(verify(&all.site, &[])["problem_count"], json!(0));
}

#[tokio::test]
async fn the_operator_gets_the_grants_of_the_role_and_a_look_at_it() {
    let stand = Stand::with("CREATE ROLE definer LOGIN PASSWORD 'reader-of-the-tests'", owned).await;
    let mut spec = super::spec(&stand.server);
    owned(&mut spec);
    let database = tollgate::resource::sql::postgres::Database::new(
        spec,
        std::sync::Arc::new(tollgate::clock::System::new()),
    )
    .unwrap();
    let definer = database.report().await.unwrap().definer.unwrap();
    assert_eq!((definer.problem, definer.owns.len()), (None, 0));
    stand.undefined("ALTER TABLE orders ADD COLUMN note text").await;
    stand.sql(&database.ddl_grants(&["orders".to_owned()]).await.unwrap());
    let definer = database.report().await.unwrap().definer.unwrap();
    assert_eq!(definer.owns, ["public.orders"]);
    stand.defined("ALTER TABLE orders ADD COLUMN note text").await;
    stand
        .defined("CREATE TABLE mine (id int REFERENCES orders)")
        .await;
    assert!(database.ddl_grants(&["nothing".to_owned()]).await.is_err());
}
