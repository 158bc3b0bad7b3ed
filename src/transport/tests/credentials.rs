//! Who may come as far as the protocol: hosts, origins, tokens, and what is public.

use std::sync::Arc;

use serde_json::json;

use super::client::{Request, Server};
use super::door::{CHALLENGE, STEP_UP};

fn call() -> Request {
    Request::call("ann", "echo", &json!({}))
}

#[tokio::test]
async fn incident_13_without_a_good_token_there_is_a_401_with_the_exact_challenge() {
    let server = Server::start().await;
    let anonymous = call().without("Authorization");
    let mut in_query = anonymous.clone();
    in_query.path = "/mcp?access_token=ann".to_owned();
    for (request, shown) in [
        (anonymous.clone(), None),
        (in_query, None),
        (
            anonymous.clone().with("Cookie", "access_token=ann; token=ann"),
            None,
        ),
        (
            anonymous.clone().with("Authorization", "Basic YW5uOmFubg=="),
            None,
        ),
        (anonymous.clone().with("Authorization", "ann"), None),
        (anonymous.clone().with("Authorization", "Bearer "), None),
        (anonymous.clone().with("X-Forwarded-User", "ann"), None),
        (
            anonymous.clone().with("Authorization", "Bearer 0wrong"),
            Some("0wrong"),
        ),
    ] {
        let reply = server.send(&request).await;
        assert_eq!(reply.status, 401, "{request:?}");
        assert_eq!(reply.header("www-authenticate"), Some(CHALLENGE));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert!(!reply.body.contains("wrong"), "a token is not repeated");
        let token = server.door.shown.lock().unwrap().pop().unwrap();
        assert_eq!(token.as_deref(), shown);
    }
    let twice = call().with("Authorization", "Bearer bob");
    assert_eq!(server.send(&twice).await.status, 400);
}

#[tokio::test]
async fn a_token_that_cannot_be_checked_now_is_worth_keeping() {
    let server = Server::start().await;
    let reply = server
        .send(
            &call()
                .without("Authorization")
                .with("Authorization", "Bearer 0later"),
        )
        .await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    assert_eq!(
        reply.header("www-authenticate"),
        None,
        "another token would not help"
    );
}

#[tokio::test]
async fn a_call_beyond_the_tokens_scopes_is_a_403_with_all_of_them_in_both_eras() {
    let mut server = Server::start().await;
    let session = server.session("scarce", &json!({})).await;
    let arguments = json!({"pad": "x"});
    for refused in [
        Request::call("scarce", "change", &arguments),
        Request::older_call("scarce", &session, 4, "change"),
        // The header is only a copy of what the body says.
        Request::call("scarce", "change", &arguments)
            .without("Mcp-Name")
            .with("Mcp-Name", "echo"),
    ] {
        let reply = server.send(&refused).await;
        assert_eq!(reply.status, 403, "{}", reply.body);
        assert_eq!(reply.header("www-authenticate"), Some(STEP_UP));
        assert!(reply.body.contains("lacks a scope"), "{}", reply.body);
    }
    let differs = Request::call("scarce", "echo", &arguments)
        .without("Mcp-Name")
        .with("Mcp-Name", "change");
    assert_eq!(
        server.send(&differs).await.status,
        400,
        "not by what the header says"
    );
    for within in [
        Request::call("scarce", "echo", &arguments),
        Request::older_call("scarce", &session, 5, "echo"),
    ] {
        assert_eq!(server.send(&within).await.status, 200);
        assert_eq!(server.entered().await.principal.scope.tools.unwrap().len(), 1);
        server.accepted().await;
    }
    let invented = server
        .send(&Request::call("scarce", "invented", &arguments))
        .await;
    assert_eq!(
        (invented.status, invented.header("www-authenticate")),
        (400, None)
    );
    assert!(invented.body.contains("-32602"), "{}", invented.body);
    assert_eq!(
        server
            .send(&Request::call("ann", "change", &arguments))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_token_is_needed_for_every_method_and_every_request_on_a_connection() {
    let server = Server::start().await;
    for method in ["GET", "DELETE"] {
        let mut request = Request::get("/mcp").with("Mcp-Session-Id", "x");
        request.method = method;
        assert_eq!(server.send(&request).await.status, 401, "{method}");
    }
    let mut client = server.connect().await;
    assert_eq!(client.exchange(&call()).await.status, 200);
    assert_eq!(
        client.exchange(&call().without("Authorization")).await.status,
        401
    );
}

#[tokio::test]
async fn the_principal_is_that_of_each_request_also_within_a_session() {
    let mut server = Server::start().await;
    let session = server.session("ann", &json!({})).await;
    let expired = Request::older_call("0expired", &session, 1, "echo");
    assert_eq!(server.send(&expired).await.status, 401);
    assert_eq!(
        server
            .send(&Request::older_call("ann", &session, 2, "echo"))
            .await
            .status,
        200
    );
    assert_eq!(server.entered().await.principal.session.id, "s-ann");
}

#[tokio::test]
async fn incident_42_a_foreign_host_or_origin_reaches_nothing() {
    let server = Server::start().await;
    let port = server.addr.port();
    for host in [
        "evil.example.com".to_owned(),
        format!("evil.example.com:{port}"),
        format!("127.0.0.1.evil.example.com:{port}"),
        format!("localhost.:{port}"),
        format!("user@127.0.0.1:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port ^ 1),
        format!("0.0.0.0:{port}"),
        format!("2130706433:{port}"),
    ] {
        for mut request in [call(), Request::get("/.well-known/oauth-protected-resource")] {
            request.host = Some(host.clone());
            assert_eq!(server.send(&request).await.status, 403, "{host}");
        }
    }
    let mut without = call();
    without.host = Some(String::new());
    assert_eq!(server.send(&without).await.status, 400);
    let twice = call().with("Host", &format!("127.0.0.1:{port}"));
    assert_eq!(server.send(&twice).await.status, 400);
    let mut elsewhere = call();
    elsewhere.path = format!("http://evil.example.com:{port}/mcp");
    assert_eq!(server.send(&elsewhere).await.status, 403);

    for origin in [
        "https://evil.example.com".to_owned(),
        "null".to_owned(),
        String::new(),
        format!("https://127.0.0.1:{port}"),
        "http://127.0.0.1".to_owned(),
        format!("http://127.0.0.1:{port}.evil.example.com"),
        format!("http://127.0.0.1:{port}/"),
    ] {
        assert_eq!(
            server.send(&call().with("Origin", &origin)).await.status,
            403,
            "{origin}"
        );
    }
    let ours = format!("http://127.0.0.1:{port}");
    assert_eq!(
        server
            .send(&call().with("Origin", &ours).with("Origin", &ours))
            .await
            .status,
        403
    );
    assert!(
        server.door.shown.lock().unwrap().is_empty(),
        "no token was even looked at"
    );

    for host in ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"] {
        let mut request = call().with("Origin", &format!("http://{host}:{port}"));
        request.host = Some(format!("{host}:{port}"));
        assert_eq!(server.send(&request).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn an_empty_list_of_hosts_or_origins_allows_none() {
    let server = Server::start_with(|spec| spec.allowed_hosts.clear()).await;
    assert_eq!(server.send(&call()).await.status, 403);
    let server = Server::start_with(|spec| spec.allowed_origins.clear()).await;
    let ours = format!("http://{}", server.addr);
    assert_eq!(server.send(&call().with("Origin", &ours)).await.status, 403);
    assert_eq!(server.send(&call()).await.status, 200);
}

#[tokio::test]
async fn a_host_list_that_cannot_be_understood_does_not_start() {
    let server = Server::start_with(|spec| spec.allowed_hosts.push("http://oops".to_owned())).await;
    let error = server.served.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("`http://oops`"), "{error}");
}

#[tokio::test]
async fn metadata_and_published_documents_are_public_and_nothing_else_is() {
    let server = Server::start_with(|spec| {
        spec.documents = vec![(
            "/issuer/.well-known/openid-configuration".to_owned(),
            json!({"issuer": "i"}),
        )];
        spec.forms = vec![(
            "/issuer/token".to_owned(),
            Arc::new(|fields: Vec<(String, String)>| match fields.as_slice() {
                [(name, value)] if name == "code" && value == "a b" => (200, json!({"access_token": "t"})),
                _ => (400, json!({"error": "invalid_request"})),
            }),
        )];
    })
    .await;
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        let reply = server.send(&Request::get(path)).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.message()["resource"], json!("http://x/mcp"));
        let mut post = Request::get(path);
        post.method = "POST";
        let reply = server.send(&post).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    }
    let published = server
        .send(&Request::get("/issuer/.well-known/openid-configuration"))
        .await;
    assert_eq!(published.message(), json!({"issuer": "i"}));
    for (body, status) in [("code=a+b", 200), ("code=other", 400), ("", 400)] {
        let mut form = Request::get("/issuer/token");
        form.method = "POST";
        form.body = Some(body.to_owned());
        assert_eq!(server.send(&form).await.status, status, "{body}");
    }
    assert_eq!(server.send(&Request::get("/issuer/token")).await.status, 405);
    for path in [
        "/",
        "/mcp/",
        "/mcp/x",
        "//mcp",
        "/MCP",
        "/metrics",
        "/../mcp",
        "/.well-known/openid-configuration",
    ] {
        let reply = server.send(&Request::get(path)).await;
        assert_eq!(
            (reply.status, reply.message()["error"]["message"].as_str()),
            (404, Some("Not found")),
            "{path}"
        );
    }
    let mut probe = Request::get("/healthz");
    probe.host = Some("10.0.0.7:80".to_owned());
    assert_eq!(server.send(&probe).await.body, r#"{"status":"ok"}"#);
    let mut put = call();
    put.method = "PUT";
    assert_eq!(server.send(&put).await.header("allow"), Some("POST, GET, DELETE"));
}
