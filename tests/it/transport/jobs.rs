//! Jobs of CI runners over HTTP, with tokens shaped as GitHub's and GitLab's: ours, and everybody else's.

use serde_json::{Value, json};
use tollgate::demo::client::Client;

use crate::support::site::{Site, envelope};

/// One job may read the shop, by name; nobody else may anything.
const POLICY: &str = r#"
@id("job") permit (principal == Tollgate::User::"test#repo:acme/shop:ref:refs/heads/main",
  action in [Tollgate::Action::"describe", Tollgate::Action::"sql_read"],
  resource in Tollgate::Label::"shop") when { principal.kind == "service" };
@id("pipeline") permit (principal == Tollgate::User::"test#project_path:acme/shop:ref_type:branch:ref:main",
  action in [Tollgate::Action::"describe", Tollgate::Action::"sql_read"],
  resource in Tollgate::Label::"shop") when { principal.kind == "service" };
"#;

/// A site whose one issuer is a runner's: no groups, plain JWTs.
async fn site(required: &str) -> Site {
    let site = Site::new().await;
    site.set_policies(POLICY);
    let text = std::fs::read_to_string(site.config()).unwrap();
    let issuer =
        format!("[[issuer]]\nkind = \"service\"\naccept_typ_jwt = true\nrequired_claims = {required}\n");
    let mut kept = String::new();
    let mut in_groups = false;
    for line in text.replacen("[[issuer]]\n", &issuer, 1).lines() {
        in_groups = line.trim() == "[groups]" || (in_groups && !line.starts_with('['));
        if !in_groups && !line.starts_with("groups_claim") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    std::fs::write(site.config(), kept).unwrap();
    site
}

/// A token of the issuer for this site, with these claims.
fn token(site: &Site, typ: Option<&str>, claims: &Value, changes: &Value) -> String {
    let now = tollgate::clock::World::now(&tollgate::clock::System::new()).seconds();
    let mut all = json!({
        "iss": site.issuer.url, "aud": site.endpoint(), "iat": now, "nbf": now - 5, "exp": now + 300, "jti": "1",
    });
    for more in [claims, changes] {
        for (name, value) in more.as_object().unwrap() {
            let fields = all.as_object_mut().unwrap();
            match value {
                Value::Null => fields.remove(name),
                value => fields.insert(name.clone(), value.clone()),
            };
        }
    }
    site.issuer.sign_as(typ, &all)
}

/// What becomes of a query of the shop.
async fn rows(site: &Site, token: String) -> String {
    let http = tollgate::app::http_client().unwrap();
    let client = Client::new(http, &site.endpoint(), token, "job");
    let query = json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" });
    match client.call("sql_query", query).await {
        Ok(answer) => envelope(&answer)["status"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

/// The token is not let in, and what is said gives nothing away.
async fn refused(site: &Site, token: String, why: &Value) {
    let http = tollgate::app::http_client().unwrap();
    let answer = http
        .post(site.endpoint())
        .bearer_auth(token)
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401, "{why}");
    let challenge = answer
        .headers()
        .get("www-authenticate")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        challenge.contains("not of anybody who is accepted here"),
        "{why}: {challenge}"
    );
    assert!(
        !challenge.contains("47110815") && !challenge.contains("7200172"),
        "{challenge}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_github_is_let_in_when_it_is_ours() {
    let mut site = site(r#"{ repository_owner_id = "47110815", event_name = ["push", "schedule"] }"#).await;
    let server = site.serve().await;
    let job = json!({
        "sub": "repo:acme/shop:ref:refs/heads/main", "repository": "acme/shop", "repository_owner": "acme",
        "repository_owner_id": "47110815", "repository_id": "1", "event_name": "push", "ref": "refs/heads/main",
        "ref_type": "branch", "ref_protected": "true", "actor": "alice", "actor_id": "9", "run_id": "7",
        "workflow": "release", "job_workflow_ref": "acme/shop/.github/workflows/release.yml@refs/heads/main",
        "runner_environment": "github-hosted",
    });
    let with = |changes: &Value| token(&site, Some("JWT"), &job, changes);
    for changes in [json!({}), json!({"event_name": "schedule"})] {
        assert_eq!(rows(&site, with(&changes)).await, "ok", "{changes}");
    }
    for changes in [
        // Anybody can have a repository with any name, and a subject that looks alike.
        json!({"repository_owner_id": "666"}),
        json!({"repository_owner_id": null}),
        json!({"repository_owner_id": ["47110815"]}),
        json!({"event_name": "pull_request"}),
    ] {
        refused(&site, with(&changes), &changes).await;
    }
    // Ours, but no policy names it.
    let other = with(&json!({"sub": "repo:acme/other:ref:refs/heads/main"}));
    assert_ne!(rows(&site, other).await, "ok");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_gitlab_is_let_in_when_it_is_ours() {
    let mut site = site(r#"{ namespace_id = "7200172", ref_protected = "true" }"#).await;
    let server = site.serve().await;
    let job = json!({
        "sub": "project_path:acme/shop:ref_type:branch:ref:main", "namespace_id": "7200172", "namespace_path": "acme",
        "project_id": "20", "project_path": "acme/shop", "user_id": "1", "user_login": "alice", "pipeline_id": "574",
        "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch", "ref_protected": "true",
        "runner_environment": "gitlab-hosted", "groups_direct": ["acme"],
    });
    for typ in [Some("JWT"), None] {
        assert_eq!(
            rows(&site, token(&site, typ, &job, &json!({}))).await,
            "ok",
            "{typ:?}"
        );
    }
    for changes in [
        json!({"namespace_id": "7200173"}),
        json!({"namespace_id": 7200172}),
        json!({"ref_protected": "false"}),
        json!({"ref_protected": true}),
        json!({"namespace_id": null, "namespace_path": "7200172"}),
    ] {
        refused(&site, token(&site, Some("JWT"), &job, &changes), &changes).await;
    }
    server.stop().await;
}
