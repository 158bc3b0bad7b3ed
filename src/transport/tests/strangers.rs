//! What strangers get: so many attempts per address, so many connections, and the same headers everywhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::annex::Issuer;
use super::client::{Request, Server};

const PROXY: &str = "127.0.0.1";

async fn behind_proxy() -> Server {
    Server::start_with(|spec| {
        spec.annexes.push(Arc::new(Issuer));
        spec.trusted_proxies = vec![PROXY.parse::<IpAddr>().unwrap()];
    })
    .await
}

fn call(token: &str) -> Request {
    Request::call(token, "echo", &json!({}))
}

fn form(path: &str, body: &str) -> Request {
    let mut request = Request::get(path);
    request.method = "POST";
    request.body = Some(body.to_owned());
    request
}

/// Sends it `times` on one connection; gives how often each status came, in order of first coming.
async fn statuses(server: &Server, request: &Request, times: usize) -> Vec<(u16, usize)> {
    let mut counted: Vec<(u16, usize)> = Vec::new();
    let mut client = server.connect().await;
    for _ in 0..times {
        let status = client.exchange(request).await.status;
        match counted.iter_mut().find(|(one, _)| *one == status) {
            Some((_, count)) => *count += 1,
            None => counted.push((status, 1)),
        }
    }
    counted
}

#[tokio::test]
async fn guessed_tokens_are_few_and_good_ones_are_not_counted() {
    let server = Server::start().await;
    assert_eq!(statuses(&server, &call("ann"), 150).await, [(200, 150)]);
    assert_eq!(
        statuses(&server, &call("9guess"), 150).await,
        [(401, 100), (429, 50)]
    );
    assert_eq!(
        server.door.shown.lock().unwrap().len(),
        250,
        "what was turned away was not looked at"
    );
    let turned_away = server.send(&call("9guess")).await;
    assert_eq!(turned_away.header("retry-after"), Some("1"));
    assert_eq!(server.send(&call("known")).await.status, 200, "known to be good");
    assert_eq!(
        server.send(&call("ann")).await.status,
        429,
        "not known: after the wait"
    );
    let without = call("x").without("Authorization");
    assert_eq!(
        statuses(&server, &without, 150).await,
        [(401, 150)],
        "no guess: it costs nothing"
    );
    server.world.advance(Duration::from_secs(1));
    assert_eq!(server.send(&call("ann")).await.status, 200);
}

/// A provider that is away locks nobody out: not by what could not be checked, nor by what was tried meanwhile.
#[tokio::test]
async fn where_nobody_can_say_an_attempt_costs_nothing() {
    let server = Server::start_with(|spec| spec.annexes.push(Arc::new(Issuer))).await;
    assert_eq!(statuses(&server, &call("0later"), 150).await, [(503, 150)]);
    assert_eq!(
        statuses(&server, &call("9guess"), 101).await,
        [(401, 100), (429, 1)]
    );
    let later = form("/issuer/token", "code=later");
    assert_eq!(statuses(&server, &later, 350).await, [(503, 350)]);
    let good = form("/issuer/token", "code=a+b");
    assert_eq!(statuses(&server, &good, 301).await, [(200, 300), (429, 1)]);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_address_pays_for_itself() {
    let server = behind_proxy().await;
    let guess = |from: &str| call("9guess").with("X-Forwarded-For", from);
    assert_eq!(
        statuses(&server, &guess("198.51.100.1"), 120).await,
        [(401, 100), (429, 20)]
    );
    let lied = guess("203.0.113.7, 198.51.100.1");
    assert_eq!(server.send(&lied).await.status, 429, "the last hop counts");
    assert_eq!(server.send(&guess("198.51.100.2")).await.status, 401);
    let ann = call("ann").with("X-Forwarded-For", "198.51.100.2");
    assert_eq!(server.send(&ann).await.status, 200);
    let page = Request::get("/issuer/page").with("X-Forwarded-For", "1.1.1.1, 198.51.100.3");
    assert_eq!(server.send(&page).await.body, "<p>198.51.100.3</p>");
    let broken = Request::get("/issuer/page").with("X-Forwarded-For", "198.51.100.3, nobody");
    assert_eq!(server.send(&broken).await.body, format!("<p>{PROXY}</p>"));
}

#[tokio::test]
async fn without_a_trusted_proxy_nobody_says_who_they_are() {
    let server = Server::start_with(|spec| spec.annexes.push(Arc::new(Issuer))).await;
    let page = Request::get("/issuer/page").with("X-Forwarded-For", "198.51.100.3");
    assert_eq!(server.send(&page).await.body, "<p>127.0.0.1</p>");
    let mut last = 0;
    for host in 0..=120 {
        let guess = call("9guess").with("X-Forwarded-For", &format!("198.51.100.{host}"));
        last = server.send(&guess).await.status;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn an_address_has_so_many_forms_and_refused_ones_cost_more() {
    let server = Server::start_with(|spec| spec.annexes.push(Arc::new(Issuer))).await;
    let good = form("/issuer/token", "code=a+b");
    assert_eq!(statuses(&server, &good, 350).await, [(200, 300), (429, 50)]);
    let told = server.send(&good).await;
    assert_eq!(told.message()["error"], json!("slow_down"));
    assert_eq!(told.header("retry-after"), Some("1"));
    server.world.advance(Duration::from_mins(1));
    let wrong = form("/issuer/token", "code=guess");
    assert_eq!(statuses(&server, &wrong, 100).await, [(400, 60), (429, 40)]);
    server.world.advance(Duration::from_mins(1));
    let waiting = form("/issuer/token", "device");
    assert_eq!(
        statuses(&server, &waiting, 300).await,
        [(400, 300)],
        "not a failure"
    );
    let pages = statuses(&server, &Request::get("/issuer/page"), 130).await;
    assert_eq!(pages, [(200, 120), (429, 10)], "an allowance of its own");
    assert_eq!(server.send(&call("ann")).await.status, 200);
}

#[tokio::test]
async fn a_form_of_our_own_page_is_not_taken_from_another_origin() {
    let server = Server::start_with(|spec| spec.annexes.push(Arc::new(Issuer))).await;
    let page = form("/issuer/page", "name=ann");
    assert_eq!(server.send(&page).await.status, 200, "not a browser");
    let ours = format!("http://{}", server.addr);
    for (origin, status) in [(ours.as_str(), 200), ("https://evil.example", 403), ("null", 403)] {
        let sent = page.clone().with("Origin", origin);
        assert_eq!(server.send(&sent).await.status, status, "{origin}");
    }
    let api = form("/issuer/token", "code=a+b").with("Origin", "https://app.example");
    assert_eq!(server.send(&api).await.status, 200, "carries its own credential");
}

#[tokio::test]
async fn one_address_cannot_hold_every_connection_and_a_proxy_can() {
    let few = |trusted: Vec<IpAddr>| {
        Server::start_with(move |spec| {
            spec.max_connections_per_address = 2;
            spec.trusted_proxies = trusted;
        })
    };
    let server = few(Vec::new()).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        assert_eq!(client.exchange(&Request::get("/healthz")).await.status, 200);
        open.push(client);
    }
    let beyond = server.send(&Request::get("/healthz")).await;
    assert_eq!((beyond.status, beyond.header("retry-after")), (503, Some("2")));
    drop(open.pop());
    let mut again = None;
    for _ in 0..1000 {
        let reply = server.send(&Request::get("/healthz")).await; // until the closed one has been noticed
        if reply.status == 200 {
            again = Some(reply);
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(again.is_some());
    let server = few(vec![PROXY.parse().unwrap()]).await;
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut client = server.connect().await;
        assert_eq!(client.exchange(&Request::get("/healthz")).await.status, 200);
        open.push(client);
    }
}

/// Every path there is, in every way it answers.
fn every_path() -> Vec<(Request, u16)> {
    let mut put = call("ann");
    put.method = "PUT";
    let mut foreign = Request::get("/mcp");
    foreign.host = Some("evil.example".to_owned());
    let large = form("/issuer/token", &"x".repeat(300_000));
    vec![
        (Request::get("/healthz"), 200),
        (call("ann"), 200),
        (call("9guess"), 401),
        (put, 405),
        (foreign, 403),
        (call("ann").with("Origin", "https://evil.example"), 403),
        (Request::initialize("ann", &json!({})), 200),
        (Request::get("/.well-known/oauth-protected-resource"), 200),
        (Request::get("/.well-known/oauth-protected-resource/mcp"), 200),
        (Request::get("/issuer/.well-known/openid-configuration"), 200),
        (Request::get("/issuer/page"), 200),
        (form("/issuer/page", "").with("Origin", "null"), 403),
        (form("/issuer/token", "code=a+b"), 200),
        (form("/issuer/token", "wrong"), 400),
        (large, 413),
        (Request::get("/issuer/token"), 405),
        (Request::get("/nothing"), 404),
        (Request::get("/"), 404),
        (Request::get("/favicon.ico"), 404),
    ]
}

#[tokio::test]
async fn every_answer_carries_the_same_headers() {
    for scheme in ["http", "https"] {
        let server = Server::start_with(|spec| {
            spec.annexes.push(Arc::new(Issuer));
            spec.public_url.set_scheme(scheme).unwrap();
        })
        .await;
        for (request, status) in every_path() {
            let reply = server.send(&request).await;
            assert_eq!(reply.status, status, "{request:?}");
            let brings_its_own = reply.body.starts_with("<p>");
            for (name, value) in [
                ("cache-control", "no-store"),
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("x-robots-tag", "noindex"),
            ] {
                assert_eq!(reply.header(name), Some(value), "{name}: {request:?}");
            }
            let policies = reply.headers_named("content-security-policy");
            let last = policies.last().copied().unwrap_or_default();
            assert!(
                last.contains("frame-ancestors 'none'"),
                "{request:?}: {policies:?}"
            );
            assert!(last.contains("base-uri 'none'"), "{request:?}: {policies:?}");
            assert_eq!(policies.len(), if brings_its_own { 2 } else { 1 });
            let referrer = if brings_its_own {
                "no-referrer"
            } else {
                "same-origin"
            };
            assert_eq!(reply.header("referrer-policy"), Some(referrer));
            assert!(
                reply
                    .header("permissions-policy")
                    .is_some_and(|list| list.contains("camera=()"))
            );
            let promised = reply.header("strict-transport-security");
            assert_eq!(promised.is_some(), scheme == "https", "{request:?}");
        }
    }
}

#[tokio::test]
async fn the_answer_that_turns_away_carries_them_too() {
    let server = Server::start_with(|spec| spec.max_connections = 0).await;
    let reply = server.send(&Request::get("/mcp")).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.headers_named("content-security-policy").len(), 1);
    assert_ne!(reply.message(), Value::Null);
}
