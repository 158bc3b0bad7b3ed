//! The endpoints as programs and strangers meet them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use serde_json::Value;

use super::Exchange;
use crate::call::Hash;
use crate::clock::World;
use crate::identity::facade::{CLI, DEVICE_GRANT, Facade, FacadeSpec, KnownClient};
use crate::identity::sessions::tests::bench::*;
use crate::identity::{HttpFetch, OwnTokens};

const URL: &str = "https://gate.example.com";
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

struct Desk {
    bench: Bench,
    exchange: Exchange,
}

impl Desk {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let spec = FacadeSpec {
            url: URL.to_owned(),
            resource: RESOURCE.to_owned(),
            scopes: [
                ("read".to_owned(), set(&["sql_query"])),
                ("write".to_owned(), set(&["sql_execute"])),
            ]
            .into(),
            times: TIMES,
            registration: false,
            documents: None,
            clients: vec![KnownClient {
                id: CLIENT.to_owned(),
                name: "Agent <1>".to_owned(),
                redirect_uris: vec![REDIRECT.parse().unwrap()],
            }],
        };
        let world: Arc<dyn World> = bench.clock.clone();
        let fetch = Arc::new(HttpFetch::new());
        let facade = Facade::new(
            spec,
            bench.rows.clone(),
            vec![bench.corp.clone()],
            seal("k"),
            fetch,
            world,
        );
        let exchange = Exchange::new(facade, bench.sessions.clone());
        Self { bench, exchange }
    }

    async fn send(&self, request: Request<Vec<u8>>, from: IpAddr) -> Response<Vec<u8>> {
        assert!(self.exchange.serves(request.uri().path()));
        self.exchange.answer(request, from).await
    }

    /// Posts a form; gives the status and the JSON.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let answer = self.send(form(path, fields), HOME).await;
        assert_eq!(answer.headers()["cache-control"], "no-store");
        (
            answer.status().as_u16(),
            serde_json::from_slice(answer.body()).unwrap(),
        )
    }

    /// The error of an exchange that is refused.
    async fn refused(&self, fields: &[(&str, &str)]) -> String {
        let (status, body) = self.post("/oauth/token", fields).await;
        assert!((400..504).contains(&status), "{body}");
        assert!(body.get("access_token").is_none());
        body["error"].as_str().unwrap().to_owned()
    }

    async fn begin_device(&self) -> (String, String) {
        let (status, body) = self
            .post("/oauth/device_authorization", &[("client_id", CLI)])
            .await;
        assert_eq!(status, 200, "{body}");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        assert_eq!(text("verification_uri"), format!("{URL}/device"));
        let complete = format!("{URL}/device?user_code={}", text("user_code"));
        assert_eq!(text("verification_uri_complete"), complete);
        assert_eq!((&body["expires_in"], &body["interval"]), (&600.into(), &5.into()));
        (text("device_code"), text("user_code"))
    }

    async fn poll(&self, device: &str) -> (u16, Value) {
        let fields = [
            ("grant_type", DEVICE_GRANT),
            ("client_id", CLI),
            ("device_code", device),
        ];
        self.post("/oauth/token", &fields).await
    }

    async fn poll_error(&self, device: &str) -> String {
        self.poll(device).await.1["error"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    }

    async fn type_code(&self, code: &str, from: IpAddr) -> Response<Vec<u8>> {
        self.send(browser(form("/device", &[("user_code", code)]), URL), from)
            .await
    }

    /// What the provider's answer leaves for a device.
    async fn sign_in_for(&self, device: &str) {
        let upstream = self.bench.corp.sign_in("alice");
        let device = Hash::of(device.as_bytes());
        let now = self.bench.clock.now().0;
        let code = self.bench.code_with("alice", &upstream, |row| {
            (row.challenge, row.redirect_uri) = (None, None);
            row.client_id = CLI.to_owned();
            row.expires_at = now + 600_000;
        });
        let code = Hash::of(code.await.as_bytes());
        let mut tx = self.bench.rows.write().await.unwrap();
        assert!(
            tx.leave_for_device(&device.0, &code.0, now)
                .await
                .unwrap()
                .is_some()
        );
        tx.commit().await.unwrap();
    }
}

fn form(path: &str, fields: &[(&str, &str)]) -> Request<Vec<u8>> {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    raw(path, "application/x-www-form-urlencoded", &body)
}

fn raw(path: &str, kind: &str, body: &str) -> Request<Vec<u8>> {
    let request = Request::post(path).header("content-type", kind);
    request.body(body.as_bytes().to_vec()).unwrap()
}

fn browser(mut request: Request<Vec<u8>>, origin: &str) -> Request<Vec<u8>> {
    request.headers_mut().insert("origin", origin.parse().unwrap());
    request
}

fn get(path: &str) -> Request<Vec<u8>> {
    Request::get(path).body(Vec::new()).unwrap()
}

fn code_fields(code: &str) -> [(&str, &str); 6] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", REDIRECT),
        ("resource", RESOURCE),
    ]
}

#[tokio::test]
async fn a_code_becomes_tokens_that_are_refreshed_and_taken_back() {
    let desk = Desk::new().await;
    let code = desk.bench.code("alice").await;
    let (status, first) = desk.post("/oauth/token", &code_fields(&code)).await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(first["token_type"], "Bearer");
    assert_eq!(
        (&first["expires_in"], &first["scope"]),
        (&900.into(), &"read write".into())
    );
    let text = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();
    desk.bench.admit(&text(&first, "access_token")).await.unwrap();
    let held = text(&first, "refresh_token");
    let refresh = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT),
        ("refresh_token", &held),
        ("scope", "read"),
    ];
    let (_, second) = desk.post("/oauth/token", &refresh).await;
    assert_eq!(second["scope"], "read");
    for unknown in ["nonsense", "tgr_0", &text(&second, "access_token")] {
        assert_eq!(desk.post("/oauth/revoke", &[("token", unknown)]).await.0, 200);
    }
    desk.bench
        .admit(&text(&second, "access_token"))
        .await
        .unwrap_err();
    desk.bench.admit(&text(&first, "access_token")).await.unwrap();
    let last = text(&second, "refresh_token");
    assert_eq!(
        desk.post("/oauth/revoke", &[("token", &last), ("client_id", CLIENT)])
            .await
            .0,
        200
    );
    desk.bench.admit(&text(&first, "access_token")).await.unwrap_err();
    assert_eq!(desk.refused(&refresh).await, "invalid_grant");
}

#[tokio::test]
async fn what_the_token_endpoint_refuses() {
    let desk = Desk::new().await;
    let code = desk.bench.code("alice").await;
    let good = code_fields(&code);
    let without = |name: &str| {
        good.iter()
            .copied()
            .filter(|(one, _)| *one != name)
            .collect::<Vec<_>>()
    };
    let with = |name: &'static str, value: &'static str| {
        let mut fields = without(name);
        fields.push((name, value));
        fields
    };
    for (fields, error) in [
        (without("grant_type"), "invalid_request"),
        (without("code"), "invalid_request"),
        (without("code_verifier"), "invalid_request"),
        (without("redirect_uri"), "invalid_request"),
        (without("client_id"), "invalid_client"),
        (with("grant_type", "password"), "unsupported_grant_type"),
        (with("grant_type", "client_credentials"), "unsupported_grant_type"),
        (
            with("resource", "https://other.example.com/mcp"),
            "invalid_target",
        ),
        (with("code", "tgc_short"), "invalid_grant"),
        (with("client_assertion", "x"), "invalid_client"),
        ([&good[..], &[("code", "twice")]].concat(), "invalid_request"),
        ([&good[..], &[("client_id", CLIENT)]].concat(), "invalid_request"),
    ] {
        assert_eq!(desk.refused(&fields).await, error, "{fields:?}");
    }
    let mut basic = form("/oauth/token", &good);
    basic
        .headers_mut()
        .insert("authorization", "Basic YWdlbnQtMTo=".parse().unwrap());
    let answer = desk.send(basic, HOME).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().contains_key("www-authenticate"));
    for other in [get("/oauth/token"), raw("/oauth/token", "application/json", "{}")] {
        let answer = desk.send(other, HOME).await;
        assert!(answer.status().is_client_error());
    }
    // None of that was this client's code being used; what comes with a wrong verifier is.
    assert_eq!(
        desk.refused(&with("code_verifier", RESOURCE)).await,
        "invalid_grant"
    );
    assert_eq!(desk.refused(&good).await, "invalid_grant");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_503_and_costs_nobody_their_tokens() {
    let desk = Desk::new().await;
    let issued = desk.bench.open("alice").await;
    let mut tx = desk.bench.rows.write().await.unwrap();
    tx.break_sessions().await;
    tx.commit().await.unwrap();
    let refresh = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT),
        ("refresh_token", &*issued.refresh),
    ];
    let (status, body) = desk.post("/oauth/token", &refresh).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (503, Some("temporarily_unavailable"))
    );
    assert_eq!(
        desk.post("/oauth/revoke", &[("token", &issued.refresh)]).await.0,
        503
    );
}

#[tokio::test]
async fn a_device_waits_for_a_person_and_then_has_tokens_once() {
    let desk = Desk::new().await;
    let (device, user_code) = desk.begin_device().await;
    assert_eq!(desk.poll_error(&device).await, "authorization_pending");
    desk.bench.clock.advance(5);
    assert_eq!(desk.poll_error(&device).await, "authorization_pending");
    desk.bench.clock.advance(4);
    assert_eq!(desk.poll_error(&device).await, "slow_down");
    desk.bench.clock.advance(9);
    assert_eq!(
        desk.poll_error(&device).await,
        "slow_down",
        "ten seconds from now on"
    );
    desk.bench.clock.advance(15);
    assert_eq!(desk.poll_error(&device).await, "authorization_pending");
    // As people type it; then they are asked, and the device's code is nowhere in what they see.
    let typed = user_code.replace('-', " ").to_lowercase();
    let asked = desk.type_code(&typed, HOME).await;
    let page = String::from_utf8(asked.body().clone()).unwrap();
    assert_eq!(asked.status(), StatusCode::OK);
    assert!(
        page.contains("Tollgate command line") && !page.contains(&device),
        "{page}"
    );
    desk.sign_in_for(&device).await;
    desk.bench.clock.advance(120); // longer than a code lives elsewhere
    let (status, tokens) = desk.poll(&device).await;
    assert_eq!(status, 200, "{tokens}");
    let access = tokens["access_token"].as_str().unwrap();
    let principal = desk.bench.sessions.admit(access).await.unwrap();
    assert_eq!(
        (principal.user.id(), principal.agent.client_id.as_str()),
        ("corp#alice".to_owned(), CLI)
    );
    desk.bench.clock.advance(15);
    assert_eq!(desk.poll_error(&device).await, "invalid_grant");
    desk.bench.admit(access).await.unwrap_err(); // somebody else holds the device's code
}

#[tokio::test]
async fn devices_that_get_nothing() {
    let desk = Desk::new().await;
    let unknown = desk
        .post("/oauth/device_authorization", &[("client_id", "nobody")])
        .await;
    assert_eq!(
        (unknown.0, unknown.1["error"].as_str()),
        (401, Some("invalid_client"))
    );
    let scope = desk
        .post(
            "/oauth/device_authorization",
            &[("client_id", CLI), ("scope", "admin")],
        )
        .await;
    assert_eq!(scope.1["error"], "invalid_scope");
    let (denied, _) = desk.begin_device().await;
    let mut tx = desk.bench.rows.write().await.unwrap();
    tx.refuse_device(&Hash::of(denied.as_bytes()).0).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(desk.poll_error(&denied).await, "access_denied");
    let (late, user_code) = desk.begin_device().await;
    let stolen = [
        ("grant_type", DEVICE_GRANT),
        ("client_id", CLIENT),
        ("device_code", &late),
    ];
    assert_eq!(desk.refused(&stolen).await, "invalid_grant", "another client's");
    desk.bench.clock.advance(600);
    assert_eq!(desk.poll_error(&late).await, "expired_token");
    assert_eq!(
        desk.type_code(&user_code, HOME).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(desk.poll_error("tgd_").await, "invalid_grant");
}

#[tokio::test]
async fn user_codes_cannot_be_guessed() {
    let desk = Desk::new().await;
    let (_, user_code) = desk.begin_device().await;
    let thief = |nth: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, nth, 0, 0, nth));
    for nth in 0..10 {
        // Twenty letters, but no device shows this.
        assert_eq!(
            desk.type_code("BBBB-BBBB", thief(nth)).await.status(),
            StatusCode::NOT_FOUND
        );
    }
    let answer = desk.type_code(&user_code, thief(99)).await;
    assert_eq!(
        answer.status(),
        StatusCode::TOO_MANY_REQUESTS,
        "one network, and a right code"
    );
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(
        desk.type_code(&user_code, HOME).await.status(),
        StatusCode::OK,
        "others go on"
    );
    for right in 0..20 {
        assert_eq!(
            desk.type_code(&user_code, HOME).await.status(),
            StatusCode::OK,
            "{right}: no guesses"
        );
    }
    desk.bench.clock.advance(599);
    assert_eq!(
        desk.type_code("BBBB-BBBB", thief(1)).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    desk.bench.clock.advance(1);
    assert_eq!(
        desk.type_code("BBBB-BBBB", thief(1)).await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn many_networks_together_guess_no_more_than_a_thousand_times() {
    let desk = Desk::new().await;
    let mut refused = 0;
    for nth in 0..1_005_u16 {
        let from = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, nth, 0, 0, 0, 0, 1));
        refused +=
            usize::from(desk.type_code("not a code", from).await.status() == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(refused, 5);
}

#[tokio::test]
async fn the_page_for_codes_repeats_nothing_and_takes_forms_of_its_own_alone() {
    let desk = Desk::new().await;
    let (_, user_code) = desk.begin_device().await;
    let planted = desk.send(get("/device?user_code=%22%3E%3Cscript%3E"), HOME).await;
    let page = String::from_utf8(planted.body().clone()).unwrap();
    assert!(!page.contains("script"), "{page}");
    let policy = planted.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    let filled = desk
        .send(get(&format!("/device?user_code={user_code}")), HOME)
        .await;
    assert!(
        String::from_utf8(filled.body().clone())
            .unwrap()
            .contains(&user_code)
    );
    let typed = || form("/device", &[("user_code", &user_code)]);
    for other in [
        typed(),
        browser(typed(), "https://evil.example"),
        browser(typed(), "null"),
    ] {
        assert_eq!(desk.send(other, HOME).await.status(), StatusCode::FORBIDDEN);
    }
    let mut other = browser(typed(), URL);
    other
        .headers_mut()
        .insert("sec-fetch-site", "same-site".parse().unwrap());
    assert_eq!(
        desk.send(other, HOME).await.status(),
        StatusCode::FORBIDDEN,
        "another port of the same host"
    );
}

#[tokio::test]
async fn user_codes_are_of_letters_that_make_no_words() {
    let desk = Desk::new().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let (_, code) = desk.begin_device().await;
        let (one, two) = code.split_once('-').unwrap();
        assert!(one.len() == 4 && two.len() == 4);
        assert!(
            code.bytes()
                .all(|letter| b"BCDFGHJKLMNPQRSTVWXZ-".contains(&letter)),
            "{code}"
        );
        assert!(seen.insert(code));
    }
}
