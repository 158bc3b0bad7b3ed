//! The API: an ID token of the people's client, fresh when it decides, and nothing else.

use serde_json::{Value, json};
use tollgate::approval::review::Choice;
use tollgate::identity::{Bearer, Reason};

use super::place::{HOSTILE, ID, Place, SHA, http, sheet};

async fn problem(answer: reqwest::Response, status: u16, kind: &str) -> Value {
    assert_eq!(answer.status().as_u16(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let text = answer.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["type"], format!("urn:tollgate:problem:{kind}"), "{body}");
    assert_eq!(body["status"], status);
    assert!(
        body["title"].is_string() && body["detail"].as_str().unwrap().ends_with('.'),
        "{body}"
    );
    body
}

fn approve() -> String {
    format!("/api/approvals/{ID}/approve")
}

#[tokio::test]
async fn an_agents_token_opens_nothing_here_and_a_persons_opens_nothing_there() {
    let place = Place::new().await;
    let (agent, person) = (place.other_side("second"), place.id_token("second"));
    for path in ["/api/approvals".to_owned(), format!("/api/approvals/{ID}")] {
        problem(place.get(&path, None).await, 401, "sign-in").await;
        let refused = place.get(&path, Some(&agent)).await;
        assert_eq!(
            refused.headers()["www-authenticate"],
            "Bearer error=\"invalid_token\""
        );
        problem(refused, 401, "sign-in").await;
        assert_eq!(place.get(&path, Some(&person)).await.status(), 200);
    }
    let body = json!({"action_sha256": SHA});
    problem(place.post(&approve(), &agent, &body).await, 401, "sign-in").await;
    assert!(place.decided().is_empty());
    // The very same token that decides here is no credential of an agent.
    let rejection = place.identity.admit(Bearer(Some(&person))).await.unwrap_err();
    assert!(matches!(
        rejection.reason(),
        Reason::Type | Reason::Audience | Reason::NotAnAccessToken
    ));
    assert_eq!(place.post(&approve(), &person, &body).await.status(), 200);
    assert_eq!(place.decided(), [("demo#second".to_owned(), Choice::Approve)]);
}

#[tokio::test]
async fn an_old_sign_in_reads_and_does_not_decide() {
    let place = Place::new().await;
    let token = place.id_token("second");
    place.world.by(301);
    let path = format!("/api/approvals/{ID}");
    assert_eq!(place.get(&path, Some(&token)).await.status(), 200);
    for (verb, body) in [
        ("approve", json!({"action_sha256": SHA})),
        ("refuse", json!({"action_sha256": SHA, "reason": "no"})),
        ("cancel", json!({})),
    ] {
        let refused = place.post(&format!("{path}/{verb}"), &token, &body).await;
        let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert_eq!(
            challenge,
            "Bearer error=\"insufficient_user_authentication\", max_age=\"300\""
        );
        problem(refused, 401, "stale-sign-in").await;
    }
    assert!(place.decided().is_empty() && place.desk.cancelled.lock().unwrap().is_empty());
    let fresh = place.id_token("second");
    let refused = place
        .post(
            &format!("{path}/refuse"),
            &fresh,
            &json!({"action_sha256": SHA, "reason": "not today"}),
        )
        .await;
    assert_eq!(refused.status(), 200);
    assert_eq!(
        place.decided(),
        [("demo#second".to_owned(), Choice::Refuse("not today".to_owned()))]
    );
    place.world.by(700);
    problem(place.get(&path, Some(&fresh)).await, 401, "sign-in").await; // expired altogether
}

#[tokio::test]
async fn h3_h8_the_requester_does_not_decide_and_others_do_not_see() {
    let place = Place::new().await;
    let body = json!({"action_sha256": SHA});
    let asker = place.id_token("asker");
    problem(place.post(&approve(), &asker, &body).await, 403, "own-request").await;
    let stranger = place.id_token("stranger");
    let list: Value = place
        .get("/api/approvals", Some(&stranger))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(list, json!({"approvals": []}));
    let known = place.get(&format!("/api/approvals/{ID}"), Some(&stranger)).await;
    let known = problem(known, 404, "not-found").await;
    let invented = place
        .get(&format!("/api/approvals/{}", "z".repeat(32)), Some(&stranger))
        .await;
    assert_eq!(
        known,
        problem(invented, 404, "not-found").await,
        "the same for what exists and what does not"
    );
    problem(place.post(&approve(), &stranger, &body).await, 404, "not-found").await;
    assert!(place.decided().is_empty());
}

#[tokio::test]
async fn what_is_decided_is_what_was_seen_and_a_body_is_exactly_what_is_asked() {
    let place = Place::new().await;
    let token = place.id_token("second");
    let other = json!({"action_sha256": "0".repeat(64)});
    problem(place.post(&approve(), &token, &other).await, 409, "changed").await;
    for body in [
        json!({}),
        json!({"action_sha256": SHA, "also": 1}),
        json!({"action_sha256": 1}),
        json!([]),
        json!(SHA),
    ] {
        problem(place.post(&approve(), &token, &body).await, 400, "malformed").await;
    }
    let refuse = format!("/api/approvals/{ID}/refuse");
    let silent = json!({"action_sha256": SHA, "reason": ""});
    problem(place.post(&refuse, &token, &silent).await, 422, "reason").await;
    let request = || {
        http()
            .post(format!("{}{}", place.url, approve()))
            .bearer_auth(&token)
    };
    let text = request()
        .header("content-type", "text/plain")
        .body(format!("{{\"action_sha256\":\"{SHA}\"}}"));
    problem(text.send().await.unwrap(), 415, "media-type").await;
    let huge = request()
        .header("content-type", "application/json")
        .body("x".repeat(70_000));
    problem(huge.send().await.unwrap(), 413, "too-large").await;
    assert!(place.decided().is_empty());
    problem(place.get(&approve(), Some(&token)).await, 405, "method").await;
    assert!(place.decided().is_empty(), "a GET decides nothing");
    assert_eq!(
        place
            .post(&approve(), &token, &json!({"action_sha256": SHA}))
            .await
            .status(),
        200
    );
    problem(
        place
            .post(&approve(), &token, &json!({"action_sha256": SHA}))
            .await,
        409,
        "final",
    )
    .await;
    assert_eq!(place.decided().len(), 1);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let place = Place::with(sheet("x"), |spec| {
        spec.body_within = std::time::Duration::from_millis(50);
    })
    .await;
    let (token, at) = (place.id_token("second"), place.url.trim_start_matches("http://"));
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {at}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        approve()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn row_42_only_its_own_name_is_served_and_only_its_own_pages_may_ask() {
    let place = Place::new().await;
    let token = place.id_token("second");
    let port = place.url.rsplit(':').next().unwrap();
    let request = |path: &str| http().get(format!("{}{path}", place.url)).bearer_auth(&token);
    for host in ["127.0.0.1", "evil.example", "localhost.evil.example", "localhost"] {
        let named = if host == "localhost" {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        for path in ["/api/approvals", "/approvals", "/sign-in", "/style.css"] {
            let answer = request(path).header("host", named.as_str()).send().await.unwrap();
            problem(answer, 421, "host").await;
        }
    }
    for origin in [
        "null",
        "https://evil.example",
        &format!("http://127.0.0.1:{port}"),
    ] {
        let answer = request("/api/approvals")
            .header("origin", origin)
            .send()
            .await
            .unwrap();
        assert!(answer.headers().get("access-control-allow-origin").is_none());
        problem(answer, 403, "origin").await;
    }
    let ours = request("/api/approvals")
        .header("origin", &place.url)
        .send()
        .await
        .unwrap();
    assert_eq!(ours.status(), 200);
    let preflight = http().request(reqwest::Method::OPTIONS, format!("{}/api/approvals", place.url));
    let preflight = preflight
        .header("origin", "https://evil.example")
        .send()
        .await
        .unwrap();
    assert!(
        preflight
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );
}

#[tokio::test]
async fn every_answer_carries_what_keeps_it_in_its_place() {
    let place = Place::new().await;
    for path in [
        "/",
        "/approvals",
        "/api/approvals",
        "/nothing",
        "/style.css",
        "/sign-in",
        "/healthz",
    ] {
        let answer = place.get(path, None).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(
            !policy.contains("unsafe") && !policy.contains("script-src"),
            "{path}"
        );
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
    }
}

#[tokio::test]
async fn a_list_is_asked_for_by_name_and_a_page_at_a_time() {
    let place = Place::new().await;
    let (second, asker) = (place.id_token("second"), place.id_token("asker"));
    let ids = async |token: &str, query: &str| {
        let answer = place.get(&format!("/api/approvals?{query}"), Some(token)).await;
        assert_eq!(answer.status(), 200, "{query}");
        let page: Value = answer.json().await.unwrap();
        assert!(page.get("next").is_none(), "{page}");
        let all = page["approvals"].as_array().unwrap().clone();
        all.iter()
            .map(|one| (one["id"] == ID, one["rules"][0].clone()))
            .collect::<Vec<_>>()
    };
    let one = [(true, json!("dba-approves"))];
    assert_eq!(ids(&second, "show=waiting").await, one);
    assert_eq!(ids(&second, "show=own").await, []);
    assert_eq!(ids(&asker, "show=own&state=pending").await, one);
    assert_eq!(ids(&asker, "show=own&state=spent").await, []);
    for (query, status) in [
        ("show=all", 404),
        ("show=own&state=x", 400),
        ("show=own&before=x", 400),
    ] {
        let answer = place.get(&format!("/api/approvals?{query}"), Some(&second)).await;
        assert_eq!(answer.status(), status, "{query}");
    }
}

#[tokio::test]
async fn hostile_words_stay_words_in_json() {
    let place = Place::with(sheet(HOSTILE), |_| {}).await;
    let token = place.id_token("second");
    let answer = place.get(&format!("/api/approvals/{ID}"), Some(&token)).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["claimed_reason"], HOSTILE);
    assert_eq!(body["may_decide"], true);
}

/// Every operation of the document exists, and every address that exists is in the document.
#[tokio::test]
async fn the_description_is_of_these_very_addresses() {
    let place = Place::new().await;
    let described: Value = place.get("/api/openapi.json", None).await.json().await.unwrap();
    assert_eq!(described["openapi"], "3.1.0");
    assert_eq!(described["servers"][0]["url"], place.url);
    let token = place.id_token("second");
    let mut operations = Vec::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "delete", "patch"] {
            let address = format!("{}{}", place.url, path.replace("{id}", &"z".repeat(32)));
            let address = address
                .replace("{key}", &"z".repeat(12))
                .replace("{integration}", "none");
            let verb = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let mut request = http().request(verb, address).bearer_auth(&token);
            if method != "get" {
                request = request.json(&json!({"action_sha256": SHA, "reason": "r"}));
            }
            let status = request.send().await.unwrap().status().as_u16();
            if item.get(method).is_some() {
                operations.push(format!("{method} {path}"));
                assert!(status != 405 && status < 500, "{method} {path}: {status}");
            } else {
                assert_eq!(status, 405, "{method} {path}");
            }
        }
    }
    operations.sort();
    assert_eq!(
        operations,
        [
            "get /api/approvals",
            "get /api/approvals/{id}",
            "get /api/break-glass",
            "get /api/delegations",
            "get /api/grants",
            "get /api/keys",
            "get /api/openapi.json",
            "get /api/sessions",
            "get /api/sign-in",
            "get /api/stats",
            "post /api/approvals/{id}/approve",
            "post /api/approvals/{id}/break-glass",
            "post /api/approvals/{id}/cancel",
            "post /api/approvals/{id}/refuse",
            "post /api/break-glass/{id}/review",
            "post /api/callbacks/{integration}",
            "post /api/delegations",
            "post /api/delegations/{id}/end",
            "post /api/grants/{id}/revoke",
            "post /api/keys",
            "post /api/keys/{key}/revoke",
            "post /api/keys/{key}/rotate",
            "post /api/sessions/{id}/end",
        ]
    );
}
