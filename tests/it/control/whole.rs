//! The whole thing: an agent asks, a person decides over the API, the call runs once, everybody is told.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use super::place::http;
use crate::support::agent::Agent;
use crate::support::site::Site;
use crate::support::until;

pub(super) const CLIENT: &str = "tollgate-control";
/// Analysts read the shop when a `dba` agrees.
pub(super) const POLICY: &str = r#"
@id("analysts") permit (principal in Tollgate::Group::"analyst",
  action in [Tollgate::Action::"describe", Tollgate::Action::"sql_read"],
  resource in Tollgate::Label::"shop");
@id("dba-decides") permit (principal in Tollgate::Group::"dba",
  action == Tollgate::Action::"approve", resource in Tollgate::Label::"shop");
@id("people-agree") @approval("1 dba") @explain("Reading the shop needs a second person.")
forbid (principal, action == Tollgate::Action::"sql_read", resource)
unless { context.satisfied.contains("people-agree") };
"#;

/// What a receiver got: headers and body, as they came.
pub(crate) type Received = Arc<Mutex<Vec<(Vec<(String, String)>, String)>>>;

/// Takes every notice and keeps it.
pub(crate) async fn receiver() -> (String, Received) {
    let received = Received::default();
    let kept = received.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route(
        "/hook",
        post(move |headers: HeaderMap, body: Bytes| async move {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect();
            let mut kept = kept.lock().unwrap();
            kept.push((headers, String::from_utf8(body.to_vec()).unwrap()));
            StatusCode::NO_CONTENT
        }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, received)
}

pub(crate) fn secret() -> String {
    ["whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"].concat()
}

pub(super) struct Whole {
    pub(super) site: Site,
    pub(super) control: String,
    pub(super) received: Received,
    stop: tokio_util::sync::CancellationToken,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// A file of the site with a secret that nobody else reads; as configuration refers to it.
pub(crate) fn secret_file(site: &Site, name: &str, secret: &str) -> String {
    let file = site.dir.path().join(name);
    std::fs::write(&file, secret).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    format!("file:{}", file.display())
}

impl Whole {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With more keys of `[approval]`.
    async fn with(approval: &str) -> Self {
        Self::dressed(approval, POLICY, |_| String::new()).await
    }

    /// With these policies, and more keys of the channel.
    pub(super) async fn dressed(approval: &str, policy: &str, channel: impl Fn(&Site) -> String) -> Self {
        let mut site = Site::new().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let control = format!("http://localhost:{port}");
        let (hook, received) = receiver().await;
        let told = secret_file(&site, "hook.secret", &secret());
        let channel = channel(&site);
        let text = std::fs::read_to_string(site.config()).unwrap();
        let text = text
            .replacen(
                "[server]\n",
                &format!("[server]\ncontrol_listen = \"127.0.0.1:{port}\"\ncontrol_url = \"{control}\"\n"),
                1,
            )
            .replacen(
                "[[issuer]]\n",
                &format!("[[issuer]]\ncontrol_audience = \"{CLIENT}\"\n"),
                1,
            );
        std::fs::write(site.config(), text).unwrap();
        site.configure(&format!(
            "[approval]\nhold_seconds = 90\n{approval}[[approval.channel]]\nkind = \"webhook\"\nurl = \"{hook}\"\nsecret = \"{told}\"\n{channel}"
        ));
        site.set_policies(policy);
        let config = tollgate::config::Config::load(&site.config()).unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let app = tollgate::app::App::build(config, tollgate::app::Purpose::Serve)
            .await
            .unwrap();
        let agents = site.listener.take().unwrap();
        let serving = tokio::spawn(app.serve_both(agents, Some(listener), stop.clone()));
        Self {
            site,
            control,
            received,
            stop,
            serving,
        }
    }

    pub(super) async fn api(&self, token: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.control);
        let request = match body {
            Some(body) => http().post(url).json(body),
            None => http().get(url),
        };
        let answer = request.bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap().unwrap();
    }

    fn told(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received
            .iter()
            .map(|(_, body)| {
                serde_json::from_str::<Value>(body).unwrap()["type"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_a_person_decides_it_runs_once_and_everybody_is_told() {
    let whole = Whole::start().await;
    let agent = Agent::new(&whole.site, "asker", &["analyst", "dba"]);
    let statement = "SELECT count(*) FROM orders";
    let waiting = {
        let agent = agent.clone();
        tokio::spawn(async move {
            let arguments = json!({"resource": "shop", "statement": statement});
            agent.call("sql_query", arguments).await
        })
    };
    let person = |subject: &str, groups: &[&str]| whole.site.issuer.id_token(CLIENT, subject, groups);
    let second = person("second", &["dba"]);
    let card = until("a request", async || {
        let (status, list) = whole.api(&second, "/api/approvals", None).await;
        assert_eq!(status, 200, "{list}");
        assert!(!waiting.is_finished(), "it did not wait for people");
        list["approvals"].get(0).cloned()
    })
    .await;
    let path = format!("/api/approvals/{}", card["id"].as_str().unwrap());
    let (_, sheet) = whole.api(&second, &path, None).await;
    assert_eq!(sheet["arguments"]["statement"], statement, "{sheet}");
    let action = json!({"action_sha256": sheet["action_sha256"]});
    // H3: the requester, in the right group; H8: somebody in none; and an agent's own token.
    let (status, problem) = whole
        .api(
            &person("asker", &["dba"]),
            &format!("{path}/approve"),
            Some(&action),
        )
        .await;
    assert_eq!(status, 403, "{problem}");
    assert_eq!(whole.api(&person("stranger", &[]), &path, None).await.0, 404);
    assert_eq!(
        whole
            .api(agent.token(), &format!("{path}/approve"), Some(&action))
            .await
            .0,
        401
    );
    let (status, card) = whole
        .api(&second, &format!("{path}/approve"), Some(&action))
        .await;
    assert_eq!(status, 200, "{card}");
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    let (status, again) = whole
        .api(&second, &format!("{path}/approve"), Some(&action))
        .await;
    assert_eq!(status, 409, "{again}");
    until("a notice of every transition", async || {
        let told = whole.told();
        ["requested", "approved", "granted", "spent", "answered"]
            .iter()
            .all(|word| told.contains(&format!("approval.{word}")))
            .then_some(())
    })
    .await;
    verified(&whole).await;
    whole.stop.cancel();
    whole.serving.await.unwrap().unwrap();
}

/// With `webauthn = "required"` no token approves, whatever its owner may; to refuse it is enough.
#[tokio::test(flavor = "multi_thread")]
async fn with_security_keys_required_a_token_refuses_and_approves_nothing() {
    let whole = Whole::with("webauthn = \"required\"\n").await;
    let agent = Agent::new(&whole.site, "asker", &["analyst"]);
    let waiting = tokio::spawn(async move {
        let arguments = json!({"resource": "shop", "statement": "SELECT count(*) FROM orders"});
        agent.call("sql_query", arguments).await
    });
    let second = whole.site.issuer.id_token(CLIENT, "second", &["dba"]);
    let card = until("a request", async || {
        let (_, list) = whole.api(&second, "/api/approvals", None).await;
        list["approvals"].get(0).cloned()
    })
    .await;
    let path = format!("/api/approvals/{}", card["id"].as_str().unwrap());
    let (_, sheet) = whole.api(&second, &path, None).await;
    let action = &sheet["action_sha256"];
    let approve = format!("{path}/approve");
    let (status, problem) = whole
        .api(&second, &approve, Some(&json!({"action_sha256": action})))
        .await;
    assert_eq!(status, 403, "{problem}");
    assert_eq!(problem["type"], "urn:tollgate:problem:security-key");
    let page = format!("{}{}", whole.control, path.trim_start_matches("/api"));
    assert!(problem["detail"].as_str().unwrap().contains(&page), "{problem}");
    let refusal = json!({"action_sha256": action, "reason": "not today"});
    let (status, card) = whole
        .api(&second, &format!("{path}/refuse"), Some(&refusal))
        .await;
    assert_eq!((status, &card["state"]), (200, &json!("refused")), "{card}");
    let answer = waiting.await.unwrap();
    assert_eq!(answer["isError"], true, "{answer}");
    whole.stop.cancel();
    whole.serving.await.unwrap().unwrap();
}

/// H2: what decides is no tool, and no tool decides.
#[tokio::test(flavor = "multi_thread")]
async fn h2_the_agents_surface_has_no_control() {
    let whole = Whole::start().await;
    let agent = Agent::new(&whole.site, "second", &["analyst", "dba"]);
    let listed = agent
        .modern("tools/list", json!({}), &json!({}))
        .send()
        .await
        .unwrap();
    let text = listed.text().await.unwrap();
    for word in ["approve", "refuse", "decide", "cancel", "policy"] {
        let named = regex::Regex::new(&format!(r#""name":"[a-z_]*{word}[a-z_]*""#)).unwrap();
        assert!(!named.is_match(&text), "{word}: {text}");
    }
    for path in ["/approvals", "/api/approvals", "/sign-in", "/api/openapi.json"] {
        let answer = http()
            .get(format!("{}{path}", whole.site.url))
            .bearer_auth(agent.token())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    let mcp = http()
        .post(format!("{}/mcp", whole.control))
        .bearer_auth(agent.token())
        .send()
        .await
        .unwrap();
    assert_eq!(mcp.status(), 404);
    // A person's token calls no tool.
    let person = whole.site.issuer.id_token(CLIENT, "second", &["analyst", "dba"]);
    let call = http()
        .post(whole.site.endpoint())
        .bearer_auth(person)
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(call.status(), 401);
    whole.stop.cancel();
    whole.serving.await.unwrap().unwrap();
}

/// The makers' own library accepts every notice, and none that was changed; nothing raw is in any.
async fn verified(whole: &Whole) {
    let received = whole.received.lock().unwrap().clone();
    for (_, body) in &received {
        assert!(
            !body.contains("SELECT") && body.contains("\"url\":\"http://localhost"),
            "{body}"
        );
    }
    let spec = json!({"secret": secret(), "messages": received});
    let verdict = crate::peers::script("notices.py", spec).await;
    assert_eq!(
        verdict,
        json!({"accepted": received.len(), "forged": 0, "ids": received.len()})
    );
}

/// The description is what the validator of the OpenAPI community calls one.
#[tokio::test]
async fn the_description_is_valid_openapi() {
    let document = tollgate::console::openapi::document(&"https://approve.example.com".parse().unwrap());
    let verdict = crate::peers::script("openapi.py", document).await;
    assert_eq!(verdict, json!({"valid": true}));
}
