//! A channel of Teams: told once of what waits, by a card that the makers' own library reads (`tests/peers/teams`,
//! installed by `tests/peers/setup-teams`), and deciding nothing: neither there nor by opening its link.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::post;
use serde_json::{Value, json};

use super::place::http;
use super::whole::{CLIENT, POLICY, Whole, secret_file};
use crate::support::agent::Agent;
use crate::support::site::root;
use crate::support::until;

/// What came, and how the next ones are answered.
#[derive(Clone, Default)]
struct Workflow {
    came: Arc<Mutex<Vec<(String, Value)>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Workflow {
    /// Answers with these, then takes everything. Gives its address.
    async fn start(answers: &[u16]) -> (Self, String) {
        let workflow = Self::default();
        workflow.answers.lock().unwrap().extend(answers.iter().rev());
        let kept = workflow.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!(
            "http://{}/workflows/1/triggers?sig=SIGNATURE",
            listener.local_addr().unwrap()
        );
        let take = move |uri: Uri, _: HeaderMap, body: Bytes| async move {
            let next = kept.answers.lock().unwrap().pop();
            if let Some(status) = next {
                let status = StatusCode::from_u16(status).unwrap();
                return (status, [("retry-after", "1")], "SIGNATURE").into_response();
            }
            let body = serde_json::from_slice(&body).unwrap();
            kept.came.lock().unwrap().push((uri.to_string(), body));
            StatusCode::ACCEPTED.into_response()
        };
        let router = Router::new().route("/workflows/1/triggers", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (workflow, address)
    }

    async fn nth(&self, nth: usize) -> Value {
        until("a message in Teams", async || {
            let came = self.came.lock().unwrap();
            came.get(nth).map(|(uri, body)| {
                assert_eq!(uri, "/workflows/1/triggers?sig=SIGNATURE");
                body.clone()
            })
        })
        .await
    }
}

/// What the makers' library makes of these cards.
async fn read(cards: &[&Value]) -> Value {
    let folder = root().join("tests/peers/teams");
    let arguments = vec![
        folder.join("card.mjs").display().to_string(),
        json!(cards).to_string(),
    ];
    let output = crate::peers::run("node".into(), arguments, vec![]).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors} (tests/peers/setup-teams)");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(super) fn asks(whole: &Whole, statement: &str) -> tokio::task::JoinHandle<Value> {
    let agent = Agent::new(&whole.site, "asker", &["analyst"]);
    let arguments = json!({"resource": "shop", "statement": statement});
    tokio::spawn(async move { agent.call("sql_query", arguments).await })
}

async fn with_teams(address: &str) -> Whole {
    Whole::dressed("", POLICY, |site| {
        let secret = secret_file(site, "workflow", address);
        format!("[[approval.channel]]\nkind = \"teams\"\nsecret = \"{secret}\"\n")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_is_told_of_what_waits_by_a_card_that_its_library_reads_and_of_nothing_else() {
    let (workflow, address) = Workflow::start(&[429, 500]).await;
    let whole = with_teams(&address).await;
    let statement = "SELECT count(*) FROM orders WHERE status = 'a value of a row'";
    let waiting = asks(&whole, statement);
    let message = workflow.nth(0).await; // after it was told to wait, and after it failed
    let content = &message["attachments"][0]["content"];
    let text = message.to_string();
    for never in ["SELECT", "a value of a row", "\"TextBlock\"", "SIGNATURE"] {
        assert!(!text.contains(never), "{never}: {text}");
    }
    let verdict = read(&[content]).await;
    let card = &verdict[0];
    assert_eq!(card["complaints"], json!([]), "{card}");
    assert_eq!(card["kinds"], json!(["Container", "RichTextBlock"]), "{card}");
    let texts: Vec<&str> = card["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert_eq!(texts[0], "Waits for a decision: sql_query on shop", "{texts:?}");
    assert!(
        texts.contains(&"Who decides: 1 of dba") && texts.contains(&"Asked by: test#asker"),
        "{texts:?}"
    );
    assert_eq!(
        texts.last(),
        Some(&"\u{201c}It calls itself: raw\u{201d}"),
        "last, quoted: {texts:?}"
    );
    let page = card["links"][0].as_str().unwrap().to_owned();
    let second = whole.site.issuer.id_token(CLIENT, "second", &["dba"]);
    opened(&whole, &page, &second).await;
    // Decided: Teams hears nothing more of it, only of the next one.
    let path = page.replace(&whole.control, "/api");
    let (_, sheet) = whole.api(&second, &path, None).await;
    let seen = json!({"action_sha256": sheet["action_sha256"]});
    let (status, _) = whole.api(&second, &format!("{path}/approve"), Some(&seen)).await;
    assert_eq!(status, 200);
    waiting.await.unwrap();
    let next = asks(&whole, "SELECT 1 FROM orders");
    let other = workflow.nth(1).await;
    assert!(!other.to_string().contains(&page), "{other}");
    next.abort();
    whole.end().await;
}

/// What looks at links before people do (mail scanners, previews, prefetching) decides nothing.
pub(super) async fn opened(whole: &Whole, page: &str, token: &str) {
    for method in ["HEAD", "GET"] {
        for purpose in ["", "prefetch", "preview"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = http().request(method, page).header("sec-purpose", purpose);
            let answer = request
                .header("user-agent", "SkypeUriPreview")
                .send()
                .await
                .unwrap();
            assert!(answer.status().as_u16() < 500, "{}", answer.status());
        }
        for verb in ["approve", "refuse", "cancel"] {
            let answer = http()
                .get(format!("{page}/{verb}"))
                .bearer_auth(token)
                .send()
                .await
                .unwrap();
            assert!(
                answer.status().is_client_error() || answer.status().is_redirection(),
                "{}",
                answer.status()
            );
        }
    }
    let path = page.replace(&whole.control, "/api");
    let (_, sheet) = whole.api(token, &path, None).await;
    assert_eq!(sheet["state"], "pending", "{sheet}");
}

/// The address is a secret: of no error, no state and no check of ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_gone_is_given_up_and_its_address_is_nowhere() {
    let (_workflow, address) = Workflow::start(&[410]).await;
    let whole = with_teams(&address).await;
    let config = tollgate::config::Config::load(&whole.site.config()).unwrap();
    let waiting = asks(&whole, "SELECT count(*) FROM orders");
    let dead = until("a notice that is given up", async || {
        let dead = tollgate::app::dead_letters(&config, 10).await.unwrap();
        (!dead.is_empty()).then_some(dead)
    })
    .await;
    let text = format!("{dead:?}");
    assert!(
        dead[0].0.starts_with("teams ") && dead[0].2.contains("410"),
        "{text}"
    );
    let report = format!("{:?} {config:?}", tollgate::app::check(&config).await);
    for shown in [&text, &report] {
        assert!(
            !shown.contains("SIGNATURE") && !shown.contains("workflows/1"),
            "{shown}"
        );
    }
    waiting.abort();
    whole.end().await;
}
