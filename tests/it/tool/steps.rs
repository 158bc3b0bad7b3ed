//! Tools with steps: what loads, and how the steps walk the path.

use serde_json::{Value, json};
use tollgate::call::{Action, Request, Visible};
use tollgate::tool::{Misfit, Tools};

use super::{arrival, cards, visible};
use crate::support::process::{assert_on_record, history, records, verify};
use crate::support::site::{ANALYSTS, Site, envelope};

const HEAD: &str = "name = \"t\"\ntitle = \"T\"\ndescription = \"D\"\n";

const ORDERS: &str = "name = \"ship\"\ntitle = \"T\"\ndescription = \"D\"\nkind = \"sqlite\"\nresource = \"shop\"\n\
    execute = \"UPDATE orders SET status = 'shipped' WHERE id = :id\"\n[parameters.id]\ntype = \"integer\"\ndescription = \"I\"\n";

const LISTING: &str = "name = \"listing\"\ntitle = \"T\"\ndescription = \"D\"\nkind = \"shell\"\nresource = \"work\"\n\
    command = [\"ls\", \"--\", \"{folders...}\"]\n[parameters.folders]\ntype = \"list\"\ndescription = \"F\"\npattern = '[a-z]+'\n";

/// Loads a tool with steps beside `ship`, which changes, and `listing`, which does not.
fn load(rest: &str) -> Result<Tools, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("t", format!("{HEAD}{rest}")),
        ("ship", ORDERS.to_owned()),
        ("listing", LISTING.to_owned()),
        ("other", format!("{}{QUERY}", HEAD.replace("\"t\"", "\"other\""))),
    ] {
        std::fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
    }
    Tools::load(Some(dir.path()), &cards())
        .map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "tools"))
}

const QUERY: &str =
    "[[step]]\ntool = \"sql_query\"\n[step.arguments]\nresource = \"shop\"\nstatement = \"SELECT 1\"\n";
const SHIP: &str = "[[step]]\ntool = \"ship\"\narguments = { id = 1 }\n";

fn parameter(name: &str, kind: &str) -> String {
    format!("[parameters.{name}]\ntype = \"{kind}\"\ndescription = \"A\"\n")
}

#[test]
fn values_keep_their_types_and_fill_whole_arguments() {
    let tools = load(&format!(
        "{}{}{}{}[[step]]\ntool = \"sql_query\"\n[step.arguments]\nresource = \"shop\"\n\
         statement = \"SELECT :id, :text, '{{literal}}'\"\nparameters = {{ id = \"{{id}}\", text = \"{{text}}\", fixed = 3, none = \"{{maybe}}\" }}\nlimit = \"{{maybe}}\"\n\
         [[step]]\ntool = \"listing\"\non_error = \"continue\"\narguments = {{ folders = \"{{folders}}\" }}\n{}",
        parameter("id", "integer"),
        parameter("text", "string"),
        parameter("maybe", "integer") + "required = false\n",
        parameter("folders", "list"),
        SHIP.replace("1", "\"{id}\"")
    ))
    .unwrap();
    let hostile = "{id} '; DROP TABLE orders; --";
    let arrival = arrival(
        "t",
        json!({"id": 7, "text": hostile, "folders": ["a", "b"], "reason": "because"}),
    );
    let made = tools.invocation(&arrival, &visible()).unwrap();
    assert_eq!((made.action, &made.resource), (Action::Describe, &None));
    let Request::Steps(steps) = made.request else {
        panic!()
    };
    assert!(steps.change);
    let [query, listing, ship] = &steps.steps[..] else {
        panic!()
    };
    assert_eq!(
        Value::Object(query.arguments.clone()),
        json!({"resource": "shop", "statement": "SELECT :id, :text, '{literal}'",
               "parameters": {"id": 7, "text": hostile, "fixed": 3, "none": null}})
    );
    assert_eq!(
        Value::Object(listing.arguments.clone()),
        json!({"folders": ["a", "b"]})
    );
    assert_eq!(
        Value::Object(ship.arguments.clone()),
        json!({"id": 7, "reason": "because"}),
        "the reason goes to the step that changes"
    );
    assert_eq!(
        (query.goes_on, listing.goes_on, ship.goes_on),
        (false, true, false)
    );
    let ids = [&arrival.call_id, &query.call_id, &listing.call_id, &ship.call_id];
    assert_eq!(
        ids.iter().collect::<std::collections::BTreeSet<_>>().len(),
        4,
        "{ids:?}"
    );
    assert!(ids.iter().all(|id| id.as_str().len() == 32));
    // Every step is checked before the first is taken.
    for wrong in [
        json!({"id": 7, "text": "x", "folders": ["A"]}),
        json!({"id": 7, "text": "x".repeat(70_000), "folders": []}),
        json!({"id": 7, "folders": []}),
        json!({"id": 7, "text": "x", "folders": [], "statement": "SELECT 2"}),
    ] {
        let misfit = tools.invocation(&super::arrival("t", wrong.clone()), &visible());
        assert!(matches!(misfit, Err(Misfit::Refused(_))), "{wrong}");
    }
}

#[test]
fn steps_that_are_wrong_say_where_and_what_to_write() {
    let said = |rest: &str| load(rest).map(drop).unwrap_err();
    let id = parameter("id", "integer");
    let text = parameter("text", "string");
    let errors = [
        said(""),
        said("kind = \"sqlite\"\n[[step]]\ntool = \"sql_query\"\n"),
        said(&format!("resource = \"shop\"\n{QUERY}")),
        said(&format!("change = true\n{QUERY}")),
        said("[[step]]\n"),
        said("[[step]]\ntool = \"nothing\"\n"),
        said("[[step]]\ntool = \"sql_query\"\n"),
        said("[[step]]\ntool = \"sql_query\"\nretries = 1\n"),
        said("[[step]]\ntool = \"sql_query\"\non_error = \"retry\"\n"),
        said(&format!("{QUERY}extra = 1\n")),
        said(&QUERY.replace("shop", "nowhere")),
        said(&QUERY.replace("shop", "web")),
        said(&QUERY.replace("\"SELECT 1\"", "1")),
        said(&format!("{QUERY}limit = 0\n")),
        said(&format!("{QUERY}parameters = {{ id = \"{{id}}\" }}\n")),
        said(&format!("{id}{QUERY}")),
        said(&format!("{id}{}", QUERY.replace("SELECT 1", "SELECT {id}"))),
        said(&format!("{text}{}", QUERY.replace("SELECT 1", "{text}"))),
        said(&format!(
            "{text}[[step]]\ntool = \"shell_run\"\narguments = {{ resource = \"work\", command = \"{{text}}\" }}\n"
        )),
        said(&format!(
            "{text}[[step]]\ntool = \"shell_run\"\narguments = {{ resource = \"work\", argv = [\"ls\", \"{{text}}\"] }}\n"
        )),
        said(&format!("{QUERY}parameters = {{ day = 2026-01-31 }}\n")),
        said("[[step]]\ntool = \"t\"\n"),
        said(&format!("{QUERY}[[step]]\ntool = \"other\"\n")),
        said("[[step]]\ntool = \"approval_wait\"\narguments = { approval_id = \"x\" }\n"),
        said(&format!("{SHIP}{QUERY}")),
        said(&format!("{SHIP}{SHIP}")),
        said(&format!(
            "[[step]]\ntool = \"sql_execute\"\narguments = {{ resource = \"shop\", statement = \"DELETE FROM orders\" }}\n{QUERY}"
        )),
        said(&format!(
            "[[step]]\ntool = \"shell_run\"\narguments = {{ resource = \"work\", argv = [\"ls\"], change = true }}\n{QUERY}"
        )),
        said(&format!(
            "{}{QUERY}",
            "[[step]]\ntool = \"listing\"\narguments = { folders = [\"A\"] }\n"
        )),
        said(&format!("{}{SHIP}", parameter("reason", "string"))),
        said(&QUERY.repeat(11)),
    ];
    insta::assert_snapshot!(errors.join("\n"));
    assert!(load(&QUERY.repeat(10)).is_ok());
    assert!(load(&format!("{QUERY}{SHIP}")).is_ok());
}

#[test]
fn it_exists_for_whoever_every_step_exists_for() {
    let tools = load(&format!("{QUERY}[[step]]\ntool = \"listing\"\n{SHIP}")).unwrap();
    let all: &[(&str, Action)] = &[
        ("shop", Action::SqlRead),
        ("shop", Action::SqlWrite),
        ("work", Action::ShellRun),
    ];
    let of = |rights: &[(&str, Action)]| {
        let mut visible = Visible::default();
        for (resource, action) in rights {
            visible
                .resources
                .entry((*resource).to_owned())
                .or_default()
                .insert(*action);
        }
        visible
    };
    let sees = |visible: &Visible| {
        let listed = tools.listed(visible).iter().any(|card| card.name == "t");
        let called = !matches!(
            tools.invocation(&arrival("t", json!({})), visible),
            Err(Misfit::Tool(_))
        );
        assert_eq!(listed, called);
        listed
    };
    assert!(sees(&of(all)));
    for missing in 0..all.len() {
        let mut rights = all.to_vec();
        let (_, action) = rights.remove(missing);
        assert!(!sees(&of(&rights)), "{action:?}");
        // The right on another resource is not the right on this one.
        rights.push(("vault", action));
        assert!(!sees(&of(&rights)), "{action:?} on another resource");
    }
    assert!(tools.names().any(|name| name == "t"));
    assert!(
        !tools.decided().any(|name| name == "t"),
        "a policy that names it would decide nothing"
    );
    assert!(tools.decided().any(|name| name == "ship"));
}

/// A site with one tool with steps, for analysts, who may read the shop and nothing else.
async fn site(steps: &str) -> Site {
    let site = Site::new().await;
    site.set_policies(ANALYSTS);
    std::fs::write(site.dir.path().join("tools/t.toml"), format!("{HEAD}{steps}")).unwrap();
    site
}

const COUNT: &str = "[[step]]\ntool = \"sql_query\"\n[step.arguments]\nresource = \"shop\"\nstatement = \"SELECT COUNT(*) AS n FROM orders\"\n";
const MAIL: &str = "[[step]]\ntool = \"sql_query\"\n[step.arguments]\nresource = \"shop\"\nstatement = \"SELECT email FROM customers LIMIT 2\"\n";
const WRONG: &str = "[[step]]\ntool = \"sql_query\"\n[step.arguments]\nresource = \"shop\"\nstatement = \"SELECT nothing FROM orders\"\n";

fn going_on(step: &str) -> String {
    step.replace("tool =", "on_error = \"continue\"\ntool =")
}

fn statuses(envelope: &Value) -> Vec<(&str, &str)> {
    let steps = envelope["data"]["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| (step["tool"].as_str().unwrap(), step["status"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_is_a_call_of_its_own_on_record() {
    let mut site = site(&format!("{COUNT}{MAIL}[[step]]\ntool = \"revenue_by_month\"\narguments = {{ resource = \"shop\", year = 2025 }}\n")).await;
    let server = site.serve().await;
    let client = site.client_in("ana", &["analyst"]);
    let answer = client.call("t", json!({})).await.unwrap();
    let whole = envelope(&answer);
    assert_eq!(whole["status"], json!("ok"), "{answer}");
    assert_eq!(
        statuses(whole),
        [
            ("sql_query", "ok"),
            ("sql_query", "ok"),
            ("revenue_by_month", "ok")
        ]
    );
    let steps = whole["data"]["steps"].as_array().unwrap();
    assert_eq!(steps[0]["data"]["rows"], json!([[8000]]));
    assert_eq!(steps[1]["masked"][0]["rule"], json!("email"), "{answer}");
    let text = answer["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("== step 1 of 3: sql_query\n") && !text.contains('@'),
        "{text}"
    );
    assert_on_record(&site, &answer).await;
    let whole_id = whole["call_id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = steps
        .iter()
        .map(|step| step["call_id"].as_str().unwrap().to_owned())
        .collect();
    server.stop().await;
    // The whole names its parts from its intent on; each part has an intent and a result of its own.
    let kept = history(&site, &whole_id).await;
    let of_whole = kept["records"].as_array().unwrap();
    assert_eq!(of_whole[0]["phase"], json!("intent"));
    assert!(
        of_whole[..2].iter().all(|record| record["steps"] == json!(ids)),
        "{kept}"
    );
    for (id, tool) in ids.iter().zip(["sql_query", "sql_query", "revenue_by_month"]) {
        let kept = history(&site, id).await;
        let records = kept["records"].as_array().unwrap();
        let phases: Vec<&str> = records
            .iter()
            .map(|record| record["phase"].as_str().unwrap())
            .collect();
        assert_eq!(phases, ["intent", "result"], "{kept}");
        assert_eq!(records[1]["tool"], json!(tool));
        assert_eq!(
            records[1]["policy"]["ids"],
            json!(["analysts"]),
            "decided by itself"
        );
        let step = steps.iter().find(|step| step["call_id"] == json!(id)).unwrap();
        assert_eq!(kept["kept"]["offered"]["structured"]["data"], step["data"]);
    }
    assert_eq!(verify(&site, &[])["intact"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_refusal_is_the_end_unless_its_step_says_otherwise() {
    for (steps, status, expected) in [
        (
            format!("{COUNT}{WRONG}{COUNT}"),
            "refused",
            vec![("sql_query", "ok"), ("sql_query", "refused")],
        ),
        (
            format!("{COUNT}{}{COUNT}", going_on(WRONG)),
            "ok",
            vec![("sql_query", "ok"), ("sql_query", "refused"), ("sql_query", "ok")],
        ),
        (
            format!("{COUNT}{}", going_on(WRONG)),
            "ok",
            vec![("sql_query", "ok"), ("sql_query", "refused")],
        ),
    ] {
        let mut site = site(&steps).await;
        let server = site.serve().await;
        let client = site.client_in("ana", &["analyst"]);
        let answer = client.call("t", json!({})).await.unwrap();
        let whole = envelope(&answer);
        assert_eq!(statuses(whole), expected, "{answer}");
        assert_eq!(whole["status"], json!(status));
        assert_eq!(answer["isError"] == json!(true), status == "refused");
        assert_eq!(
            whole["data"]["not_reached"],
            json!(u64::from(status == "refused"))
        );
        assert_on_record(&site, &answer).await;
        server.stop().await;
        let of_t: Vec<_> = records(&site, Default::default()).await;
        let last = of_t
            .iter()
            .rfind(|record| record.tool.as_deref() == Some("t"))
            .unwrap();
        assert_eq!(last.phase == "refusal", status == "refused");
        if status == "refused" {
            assert_eq!(whole["refusal"], whole["data"]["steps"][1]["refusal"]);
            assert_eq!(last.code.as_deref(), whole["refusal"]["code"].as_str());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_grants_nothing_and_an_obligation_of_one_step_is_met_by_that_step() {
    // Everybody sees the tool, but the second step's table is forbidden.
    let forbid = r#"@id("no-reviews") forbid (principal, action == Tollgate::Action::"sql_read", resource)
      when { context.sql.tables.contains("reviews") };
    @id("approved") @approval("1 dba")
    forbid (principal, action == Tollgate::Action::"sql_read", resource)
      when { context.sql.tables.contains("payments") } unless { context.satisfied.contains("approved") };"#;
    for (table, code) in [("reviews", "not_permitted"), ("payments", "approval_unavailable")] {
        let mut site = site(&format!("{COUNT}{}{COUNT}", COUNT.replace("orders", table))).await;
        site.set_policies(&format!("{ANALYSTS}\n{forbid}"));
        let server = site.serve().await;
        let client = site.client_in("ana", &["analyst"]);
        let answer = client.call("t", json!({})).await.unwrap();
        let whole = envelope(&answer);
        assert_eq!(whole["refusal"]["code"], json!(code), "{answer}");
        assert_eq!(statuses(whole), [("sql_query", "ok"), ("sql_query", "refused")]);
        let error = site
            .client_in("eve", &["dba"])
            .call("t", json!({}))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "Unknown tool");
        server.stop().await;
    }
}
