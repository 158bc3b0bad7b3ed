//! Scopes over the whole path: what is listed, what is challenged, and what keeps looking invented.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::site::{ANALYSTS, Site};

const SCOPES: &str = "[scopes]\nmcp = [\"list_resources\"]\n\"mcp:sql\" = [\"sql_query\"]\n\"mcp:files\" = [\"file_read\"]\n\"mcp:all\" = [\"sql_query\", \"file_read\", \"sql_execute\"]\n";

fn challenge(response: &reqwest::Response) -> Option<String> {
    let value = response.headers().get("www-authenticate")?;
    Some(value.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_steps_up_for_what_policy_shows_and_for_nothing_else() {
    let mut site = Site::new().await;
    site.set_policies(ANALYSTS);
    site.configure(SCOPES);
    let server = site.serve().await;
    let ana = Agent::new(&site, "ana", &["analyst"]); // whose tokens have the scope `mcp`
    let listed = ana
        .modern("tools/list", json!({}), &json!({}))
        .send()
        .await
        .unwrap();
    let listed = crate::support::agent::last(listed).await["result"]["tools"].to_string();
    assert!(listed.contains("\"sql_query\""), "it can be asked for: {listed}");
    assert!(
        !listed.contains("\"file_read\""),
        "policy does not show it: {listed}"
    );

    let session = ana.open(&json!({})).await;
    let query = json!({ "resource": "shop", "statement": "SELECT 1" });
    let called = |tool: &str| {
        let params = json!({ "name": tool, "arguments": query.clone() });
        ana.modern("tools/call", params, &json!({}))
    };
    let expected = format!(
        "Bearer resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\", scope=\"mcp mcp:sql\", \
         error=\"insufficient_scope\", error_description=\"The token lacks a required scope.\"",
        site.url
    );
    for request in [
        called("sql_query"),
        ana.older_call(&session, 3, "sql_query", &query),
    ] {
        let refused = request.send().await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), challenge(&refused).as_deref()),
            (403, Some(expected.as_str()))
        );
    }
    // Within its scopes, or in none: as ever.
    let within = called("list_resources").send().await.unwrap();
    assert_eq!(within.status(), 200);
    assert_eq!(called("sql_schema").send().await.unwrap().status(), 200);
    // A tool in [scopes] that policy hides looks like one that nobody has.
    let mut answers = Vec::new();
    for hidden in ["file_read", "invented"] {
        let answer = called(hidden).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), challenge(&answer)),
            (200, None),
            "{hidden}"
        );
        answers.push(answer.text().await.unwrap().replace(hidden, "it"));
    }
    assert_eq!(answers[0], answers[1]);
    // The first challenge names all there are; the metadata too.
    let http = tollgate::app::http_client().unwrap();
    let stranger = http.post(site.endpoint()).body("{}").send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let asked = challenge(&stranger).unwrap();
    assert!(
        asked.contains("scope=\"mcp mcp:all mcp:files mcp:sql\""),
        "{asked}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_of_a_tool_that_does_not_exist_keeps_the_server_from_starting() {
    let site = Site::new().await;
    site.configure("[scopes]\nmcp = [\"sql_qurey\"]\n");
    let config = tollgate::config::Config::load(&site.config()).unwrap();
    let report = tollgate::app::check(&config).await;
    assert!(!report.passed());
    let Err(error) = tollgate::app::App::build(config, tollgate::app::Purpose::Serve).await else {
        panic!("it starts")
    };
    assert!(
        format!("{error:#}").contains("there is no tool `sql_qurey`"),
        "{error:#}"
    );
}
