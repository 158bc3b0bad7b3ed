//! PostgreSQL through its public face, against real servers: inspection, a decision by policies, the run, the
//! mask stage. What needs the inside is tested beside the adapter.

mod called;
mod bypass;
mod catalogue;
mod changes;
mod classify;
mod ddl;
mod ddl_code;
mod ends;
mod errors;
mod governed;
mod lookup;
mod lost;
mod operator;
mod oracles;
mod people;
mod plans;
mod reached;
mod restarts;
mod rights;
mod served;
mod standing;
mod tls;
mod tokens;
pub(crate) mod twins;
mod unlike;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::call::request::{Parameters, SqlQuery, SqlSchema};
use tollgate::call::{
    Action, Arrival, CallId, Effect, Evidence, Hash, Invocation, LastLook, Limits, RawOutput, Refusal,
    Request, ResourceCard, ResourceKind, Transport,
};
use tollgate::clock::System;
use tollgate::mask::Mask;
use tollgate::policy::{Policies, Scene};
use tollgate::resource::sql::postgres::{Database, Spec};
use tollgate::resource::sql::{ColumnsDefault, MaskStyle};
use tollgate::resource::{Resource, Resources};

use crate::policy::{permit, principal, words, write};
use crate::support::postgres::Postgres;

/// What the role of the tests says.
const PASSWORD: &str = "reader-of-the-tests";
const LIMITS: Limits = Limits {
    rows: 1000,
    bytes: 1_000_000,
    seconds: 30,
};

/// The database most tests ask, before grants.
const SHOP: &str = "
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, city text, born date);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, cents int NOT NULL);
INSERT INTO customers VALUES
  (1, 'Customer One', 'one@shop.example', 'Oslo', '1990-01-01'),
  (2, 'Customer Two', 'two@shop.example', 'Bergen', '1980-02-02'),
  (3, 'Customer Three', 'three@shop.example', NULL, '1970-03-03');
INSERT INTO orders VALUES (10, 1, 500), (11, 1, 700), (12, 2, 900);
";

/// What is public of it; the e-mail address has the class `email`, name and birthday are unlisted.
const PUBLIC: &[&str] = &[
    "customers.id",
    "customers.city",
    "orders.id",
    "orders.customer_id",
    "orders.cents",
];

/// A server with a database `shop`, which the resource `shop` reads as the role `reader`.
struct Stand {
    server: Postgres,
    resources: Resources,
    policies: Policies,
    /// In which session calls are made.
    session: String,
    _folder: tempfile::TempDir,
}

struct Nothing;

impl LastLook for Nothing {
    fn look<'a>(&'a self, _: Option<&'a Effect>) -> futures::future::BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn progress<'a>(&'a self, _: &'a str) -> futures::future::BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A call as it arrives.
fn asked(groups: &[&str], request: Request, cancel: &CancellationToken) -> (Invocation, Arrival) {
    let (tool, action) = match &request {
        Request::SqlQuery(_) => ("sql_query", Action::SqlRead),
        Request::SqlSchema(_) => ("sql_schema", Action::Describe),
        _ => ("sql_execute", Action::SqlWrite),
    };
    let user = principal(groups);
    let invocation = Invocation {
        call_id: CallId::new(1, &[7; 10]),
        user: user.user.id(),
        session: String::new(),
        tool: tool.to_owned(),
        action,
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
        tool: tool.to_owned(),
        arguments: serde_json::Map::new(),
        cancel: cancel.clone(),
    };
    (invocation, arrival)
}

/// What an agent is told, with what its operator is told besides.
fn told(id: &CallId, answered: Result<RawOutput, Refusal>) -> Value {
    match answered {
        Ok(raw) => Mask::new().output(id, raw).envelope().clone(),
        Err(refusal) => {
            let detail = refusal.detail.clone();
            let mut envelope = Mask::new().refusal(id, &refusal).envelope().clone();
            envelope["detail"] = json!(detail); // for the operator; no agent sees it
            envelope
        }
    }
}

fn card() -> ResourceCard {
    ResourceCard {
        name: "shop".to_owned(),
        kind: ResourceKind::Postgres,
        description: "the shop".to_owned(),
        labels: words(&["shop"]),
    }
}

fn spec(server: &Postgres) -> Spec {
    let columns = PUBLIC
        .iter()
        .map(|column| ((*column).to_owned(), "public".to_owned()));
    let email = ("customers.email".to_owned(), "email".to_owned());
    Spec {
        name: "shop".to_owned(),
        url: server.url("reader", "shop").parse().unwrap(),
        password: Some(tollgate::secret::Secret::new(PASSWORD.to_owned())),
        ca: None,
        schemas: vec!["public".to_owned()],
        columns: columns.chain([email]).collect(),
        columns_default: ColumnsDefault::Mask,
        classes: BTreeMap::from([
            ("email".to_owned(), MaskStyle::Constant),
            ("tail".to_owned(), MaskStyle::Last4),
        ]),
        functions: BTreeSet::new(),
        session: None,
        privileged: false,
        definer: None,
        limits: LIMITS,
    }
}

impl Stand {
    /// A server in which `script` has run after that of the shop.
    async fn new(script: &str) -> Self {
        Self::with(script, |_| {}).await
    }

    async fn with(script: &str, change: impl FnOnce(&mut Spec)) -> Self {
        Self::made(Postgres::start().await, &[SHOP, script], change).await
    }

    /// With nothing in it but what the scripts make.
    async fn made(server: Postgres, scripts: &[&str], change: impl FnOnce(&mut Spec)) -> Self {
        server.sql("postgres", "CREATE DATABASE shop");
        server.sql("shop", &format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'"));
        for script in scripts {
            server.sql("shop", script);
        }
        server.sql("shop", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
        let mut spec = spec(&server);
        change(&mut spec);
        let limits = spec.limits;
        let folder = tempfile::tempdir().unwrap();
        let everything = "@id(\"all\") permit (principal, action in [Tollgate::Action::\"read\", Tollgate::Action::\"change\", Tollgate::Action::\"measure\"], resource);\n\
             @id(\"see\") permit (principal in Tollgate::Group::\"dba\", action == Tollgate::Action::\"reveal\", resource) when { context.class == \"email\" };\n\
             @id(\"look\") permit (principal, action == Tollgate::Action::\"lookup\", resource) when { context.class == \"email\" };\n";
        write(folder.path(), "all.cedar", everything);
        let scene = Scene {
            resources: vec![card()],
            groups: words(&["analyst", "dba"]),
            classes: words(&["email"]),
            tools: words(&["sql_schema", "sql_query", "sql_execute"]),
            limits,
        };
        let policies = Policies::load(folder.path(), scene, None).unwrap_or_else(|error| panic!("{error}"));
        let database = Database::new(spec, Arc::new(System::new())).unwrap();
        let database = database.looked_at_by(Mask::new().lookahead());
        Self {
            server,
            resources: Resources::new([(card(), Resource::Postgres(Box::new(database)))]),
            policies,
            session: "s-1".to_owned(),
            _folder: folder,
        }
    }

    /// The whole of a call: the envelope that the agent sees.
    async fn call(&self, groups: &[&str], request: Request, cancel: &CancellationToken) -> Value {
        self.call_with(groups, request, cancel, || {}).await
    }

    /// The same, with something that happens between the inspection and the run.
    async fn call_with(
        &self,
        groups: &[&str],
        request: Request,
        cancel: &CancellationToken,
        between: impl FnOnce(),
    ) -> Value {
        let (mut invocation, arrival) = asked(groups, request, cancel);
        invocation.session = self.session.clone();
        let id = arrival.call_id.clone();
        let answered = async {
            let facts = self.resources.inspect(&invocation, cancel).await?;
            let rules = self.policies.current();
            between();
            let permit = permit(rules.decide(&arrival, &invocation, &facts, &Evidence::default()));
            self.resources
                .run(permit, &invocation, &facts, None, &Nothing, cancel)
                .await
        };
        told(&id, answered.await)
    }

    async fn ask(&self, query: SqlQuery) -> Value {
        self.call(&["analyst"], Request::SqlQuery(query), &CancellationToken::new())
            .await
    }

    async fn query(&self, statement: &str) -> Value {
        self.ask(query(statement)).await
    }

    async fn schema(&self, table: Option<&str>) -> Value {
        let request = SqlSchema {
            resource: "shop".to_owned(),
            table: table.map(str::to_owned),
        };
        self.call(
            &["analyst"],
            Request::SqlSchema(request),
            &CancellationToken::new(),
        )
        .await
    }

    /// The rows of an answer that must be one.
    async fn rows(&self, statement: &str) -> Value {
        let answer = self.query(statement).await;
        assert_eq!(answer["status"], "ok", "{statement}: {answer}");
        answer["data"]["rows"].clone()
    }

    /// Code and all words of a refusal that must be one.
    async fn refused(&self, statement: &str) -> (String, String) {
        let answer = self.query(statement).await;
        (code(&answer), answer["refusal"].to_string())
    }

    fn sql(&self, script: &str) -> String {
        self.server.sql("shop", script)
    }
}

fn query(statement: &str) -> SqlQuery {
    SqlQuery {
        lookup: None,
        resource: "shop".to_owned(),
        statement: statement.to_owned(),
        parameters: None,
        limit: None,
        cursor: None,
    }
}

fn with(statement: &str, parameters: Value) -> SqlQuery {
    let parameters = match parameters {
        Value::Array(values) => Parameters::Positional(values),
        Value::Object(values) => Parameters::Named(values),
        other => panic!("{other}"),
    };
    SqlQuery {
        lookup: None,
        parameters: Some(parameters),
        ..query(statement)
    }
}

fn code(answer: &Value) -> String {
    answer["refusal"]["code"].as_str().unwrap_or("none").to_owned()
}
