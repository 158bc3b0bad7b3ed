//! MySQL and MariaDB through their public face, against real servers: inspection, a decision by policies, the run, the
//! mask stage. What needs the inside is tested beside the adapter.

mod analyst;
mod attack;
mod called;
mod catalogue;
mod changed_twins;
mod changes;
mod classify;
mod ends;
mod errors;
mod governed;
mod lookup;
mod lost;
mod operator;
mod people;
mod reached;
mod standing;
mod restarts;
mod reuse;
mod rights;
mod served;
mod tls;
mod tokens;
mod twins;
mod values;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::call::request::{Parameters, SqlExecute, SqlQuery, SqlSchema};
use tollgate::call::{
    Action, Arrival, CallId, Effect, Evidence, Hash, Invocation, LastLook, Limits, Refusal, Request,
    ResourceCard, ResourceKind, Transport,
};
use tollgate::clock::System;
use tollgate::mask::Mask;
use tollgate::policy::{Policies, Scene};
use tollgate::resource::sql::mysql::{Administrator, Database, Spec};
use tollgate::resource::sql::{ColumnsDefault, MaskStyle};
use tollgate::resource::{Resource, Resources};
use tollgate::secret::Secret;

use crate::policy::{permit, principal, words, write};
use crate::support::mysql::{self, Mysql};

/// What the account of the tests says.
const PASSWORD: &str = "reader-of-the-tests";
const LIMITS: Limits = Limits {
    rows: 1000,
    bytes: 1_000_000,
    seconds: 30,
};

/// The database most tests ask.
const SHOP: &str = "
CREATE TABLE customers (id int PRIMARY KEY, name varchar(100) NOT NULL, email varchar(100) NOT NULL, city varchar(50), born date);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, cents int NOT NULL, FOREIGN KEY (customer_id) REFERENCES customers (id));
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

/// A server with a database `shop`, which the resource `shop` reads as the account `reader`.
struct Stand {
    server: Mysql,
    spec: Spec,
    resources: Resources,
    policies: Policies,
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
fn asked(
    id: &CallId,
    groups: &[&str],
    request: Request,
    cancel: &CancellationToken,
) -> (Invocation, Arrival) {
    let (tool, action) = match &request {
        Request::SqlQuery(_) => ("sql_query", Action::SqlRead),
        Request::SqlSchema(_) => ("sql_schema", Action::Describe),
        _ => ("sql_execute", Action::SqlWrite),
    };
    let user = principal(groups);
    let invocation = Invocation {
        call_id: id.clone(),
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
        call_id: id.clone(),
        principal: user,
        transport: Transport::Http,
        tool: tool.to_owned(),
        arguments: serde_json::Map::new(),
        cancel: cancel.clone(),
    };
    (invocation, arrival)
}

fn card() -> ResourceCard {
    ResourceCard {
        name: "shop".to_owned(),
        kind: ResourceKind::Mysql,
        description: "the shop".to_owned(),
        labels: words(&["shop"]),
    }
}

fn spec(server: &Mysql) -> Spec {
    let columns = PUBLIC
        .iter()
        .map(|column| ((*column).to_owned(), "public".to_owned()));
    let email = ("customers.email".to_owned(), "email".to_owned());
    Spec {
        name: "shop".to_owned(),
        url: server.url("reader", "shop").parse().unwrap(),
        password: Some(Secret::new(PASSWORD.to_owned())),
        ca: None,
        views: "shop_tollgate".to_owned(),
        columns: columns.chain([email]).collect(),
        columns_default: ColumnsDefault::Mask,
        classes: BTreeMap::from([
            ("email".to_owned(), MaskStyle::Constant),
            ("tail".to_owned(), MaskStyle::Last4),
            ("domain".to_owned(), MaskStyle::Domain),
            ("none".to_owned(), MaskStyle::Null),
        ]),
        session: None,
        privileged: false,
        writer: None,
        limits: LIMITS,
    }
}

fn root() -> Administrator {
    Administrator {
        name: "root".to_owned(),
        password: Some(Secret::new(mysql::PASSWORD.to_owned())),
    }
}

fn database(spec: &Spec) -> Database {
    let database = Database::new(spec.clone(), Arc::new(System::new())).unwrap();
    database.looked_at_by(Mask::new().lookahead())
}

/// A server with an account `reader` that may do nothing, and a database `shop` made by the scripts.
async fn server(scripts: &[&str], settings: &[&str]) -> Mysql {
    let server = Mysql::start_with(settings).await;
    let first =
        format!("CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE USER reader IDENTIFIED BY '{PASSWORD}'");
    server.sql("mysql", &first);
    for script in scripts {
        server.sql("shop", script);
    }
    server
}

impl Stand {
    /// A server in which `script` has run after that of the shop, with its masking views.
    async fn new(script: &str) -> Self {
        Self::with(script, |_| {}).await
    }

    async fn with(script: &str, change: impl FnOnce(&mut Spec)) -> Self {
        Self::made(&[SHOP, script], change).await
    }

    /// With nothing in it but what the scripts make.
    async fn made(scripts: &[&str], change: impl FnOnce(&mut Spec)) -> Self {
        let stand = Self::bare(server(scripts, &[]).await, change);
        stand.make_views().await;
        stand
    }

    /// Over a server as it is.
    fn bare(server: Mysql, change: impl FnOnce(&mut Spec)) -> Self {
        let mut spec = spec(&server);
        change(&mut spec);
        let folder = tempfile::tempdir().unwrap();
        let everything = "@id(\"all\") permit (principal, action in [Tollgate::Action::\"read\", Tollgate::Action::\"change\", Tollgate::Action::\"measure\"], resource);\n\
             @id(\"look\") permit (principal, action == Tollgate::Action::\"lookup\", resource) when { context.class == \"email\" };\n\
             @id(\"see\") permit (principal in Tollgate::Group::\"dba\", action == Tollgate::Action::\"reveal\", resource) when { context.class == \"email\" };\n";
        write(folder.path(), "all.cedar", everything);
        let scene = Scene {
            resources: vec![card()],
            groups: words(&["analyst", "dba"]),
            classes: words(&["email"]),
            tools: words(&["sql_schema", "sql_query", "sql_execute"]),
            limits: spec.limits,
        };
        let policies = Policies::load(folder.path(), scene, None).unwrap_or_else(|error| panic!("{error}"));
        let resource = Resource::Mysql(Box::new(database(&spec)));
        Self {
            server,
            spec,
            resources: Resources::new([(card(), resource)]),
            policies,
            _folder: folder,
        }
    }

    async fn make_views(&self) {
        let made = database(&self.spec).make_views(&root()).await;
        made.unwrap_or_else(|refusal| panic!("{refusal:?}"));
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
        let id = CallId::new(1, &[7; 10]);
        let (invocation, arrival) = asked(&id, groups, request, cancel);
        let answered = async {
            let facts = self.resources.inspect(&invocation, cancel).await?;
            let rules = self.policies.current();
            between();
            let permit = permit(rules.decide(&arrival, &invocation, &facts, &Evidence::default()));
            self.resources
                .run(permit, &invocation, &facts, None, &Nothing, cancel)
                .await
        };
        match answered.await {
            Ok(raw) => Mask::new().output(&id, raw).envelope().clone(),
            Err(refusal) => {
                let detail = refusal.detail.clone();
                let mut envelope = Mask::new().refusal(&id, &refusal).envelope().clone();
                envelope["detail"] = json!(detail); // for the operator; no agent sees it
                envelope
            }
        }
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
        let never = CancellationToken::new();
        self.call(&["analyst"], Request::SqlSchema(request), &never).await
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

    /// That every call is refused, and what the operator is told of it.
    async fn closed(&self) -> String {
        let answer = self.query("SELECT id FROM orders").await;
        assert_eq!(code(&answer), "target_failed", "{answer}");
        answer["detail"].as_str().unwrap_or_default().to_owned()
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

#[tokio::test]
async fn without_an_account_for_them_changes_are_refused_with_a_way_out() {
    let stand = Stand::new("").await;
    let change = SqlExecute {
        resource: "shop".to_owned(),
        statement: "DELETE FROM orders".to_owned(),
        parameters: None,
        reason: None,
    };
    let never = CancellationToken::new();
    let answer = stand
        .call(&["analyst"], Request::SqlExecute(change), &never)
        .await;
    assert_eq!(code(&answer), "statement_refused", "{answer}");
    assert!(answer["refusal"].to_string().contains("only read"), "{answer}");
    assert_eq!(stand.sql("SELECT count(*) FROM orders"), "3");
}
