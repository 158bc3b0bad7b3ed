//! Too big, too deep, too slow, too many, malformed: refused, in our own words.

use std::time::Duration;

use serde_json::json;

use super::client::{Request, Server};

fn with_body(body: &str) -> Request {
    let mut request = Request::call("ann", "echo", &json!({}));
    request.body = Some(body.to_owned());
    request
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_however_it_is_sent() {
    let mut server = Server::start_with(|spec| spec.max_body_bytes = 4096).await;
    let small = Request::call("ann", "echo", &json!({"a": "x".repeat(3000)}));
    assert_eq!(server.send(&small).await.status, 200);
    server.entered().await;
    let big = Request::call("ann", "echo", &json!({"a": "x".repeat(5000)}));
    let reply = server.send(&big).await;
    assert_eq!((reply.status, reply.error_code()), (413, -32600));

    let mut chunked = big.with("Transfer-Encoding", "chunked");
    let body = chunked.body.take().unwrap();
    let mut client = server.connect().await;
    client.send(&chunked).await;
    for piece in body.as_bytes().chunks(1000) {
        client.write(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        client.write(piece).await;
        client.write(b"\r\n").await;
    }
    assert_eq!(client.head().await.status, 413);
}

#[tokio::test]
async fn nesting_is_refused_before_anything_is_built_from_it() {
    let server = Server::start().await;
    let call = |arguments: String| {
        let body = Request::call("ann", "echo", &json!({"a": "HERE"})).body.unwrap();
        with_body(&body.replace("\"HERE\"", &arguments))
    };
    let nested = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        // three levels are around the arguments' members
        let reply = server.send(&call(nested(open, close, 61))).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        for levels in [62, 127, 100_000] {
            let reply = server.send(&call(nested(open, close, levels))).await;
            assert_eq!(
                (reply.status, reply.error_code()),
                (400, -32600),
                "{levels} of {open}"
            );
            assert!(reply.body.contains("64 levels"));
        }
    }
    let wide = format!("[{}1]", "1,".repeat(60_000));
    assert!(server.send(&call(wide)).await.body.contains("50000 elements"));
}

#[tokio::test]
async fn what_is_malformed_is_refused_without_repeating_it() {
    let mut server = Server::start().await;
    let valid = Request::call("ann", "echo", &json!({})).body.unwrap();
    for (body, code) in [
        ("", -32700),
        ("{\"hunter2\"", -32700),
        ("\"hunter2\"", -32700),
        ("{}", -32700),
        ("{\"jsonrpc\":\"hunter2\",\"id\":1,\"method\":\"ping\"}", -32700),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":{\"hunter2\":1},\"method\":\"tools/call\"}",
            -32700,
        ),
        ("[]", -32700),
        (&format!("[{valid}]"), -32700),
        (&format!("{valid}{valid}"), -32700),
        ("\u{feff}hunter2", -32700),
    ] {
        let reply = server.send(&with_body(body)).await;
        assert_eq!(
            (reply.status, reply.error_code()),
            (400, code),
            "{body}: {}",
            reply.body
        );
        assert!(!reply.body.contains("hunter2"), "{}", reply.body);
    }
    let call = || Request::call("ann", "echo", &json!({}));
    let plain = call()
        .without("Content-Type")
        .with("Content-Type", "text/plain; x=hunter2");
    let picky = call().without("Accept").with("Accept", "text/html; x=hunter2");
    for (request, status) in [(plain, 415), (picky, 406)] {
        let reply = server.send(&request).await;
        assert_eq!((reply.status, reply.error_code()), (status, -32600));
        assert!(!reply.body.contains("hunter2"));
    }
    let wrong = call()
        .body
        .unwrap()
        .replace("\"arguments\":{}", "\"arguments\":[1]");
    let reply = server.send(&with_body(&wrong)).await;
    assert!(
        reply.status >= 400 || reply.message().get("error").is_some(),
        "{}",
        reply.body
    );
    assert!(server.events.try_recv().is_err(), "nothing of this was a call");
}

#[tokio::test]
async fn beyond_the_limit_of_requests_there_is_503_and_room_again_afterwards() {
    let mut server = Server::start_with(|spec| spec.max_exchanges = 1).await;
    let mut first = server.connect().await;
    first.send(&Request::call("ann", "hold", &json!({}))).await;
    server.entered().await;
    let mut second = server.connect().await;
    let reply = second.exchange(&Request::call("bob", "echo", &json!({}))).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("2")));
    assert!(reply.body.contains("overloaded"));
    let metadata = Request::get("/.well-known/oauth-protected-resource");
    assert_eq!(
        server.send(&metadata).await.status,
        200,
        "a client can still find out where to log in"
    );
    server.door.let_go.add_permits(1);
    assert_eq!(first.reply().await.status, 200);
    server.accepted().await;
    assert_eq!(
        second
            .exchange(&Request::call("bob", "echo", &json!({})))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn one_person_cannot_take_everybodys_room() {
    let mut server = Server::start_with(|spec| spec.max_exchanges_per_person = 1).await;
    let mut first = server.connect().await;
    first.send(&Request::call("ann", "hold", &json!({}))).await;
    server.entered().await;
    for (token, status) in [("ann", 503), ("ann@editor", 503), ("bob", 200)] {
        let reply = server.send(&Request::call(token, "echo", &json!({}))).await;
        assert_eq!(reply.status, status, "{token}");
    }
    server.door.let_go.add_permits(1);
    assert_eq!(first.reply().await.status, 200);
    let again = server
        .connect()
        .await
        .exchange(&Request::call("ann", "echo", &json!({})))
        .await;
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn beyond_the_limit_of_connections_there_is_503_and_the_connection_closes() {
    let server = Server::start_with(|spec| spec.max_connections = 1).await;
    let mut first = server.connect().await;
    assert_eq!(first.exchange(&Request::get("/healthz")).await.status, 200);
    let mut second = server.connect().await;
    let reply = second.exchange(&Request::call("ann", "echo", &json!({}))).await;
    assert_eq!(reply.status, 503);
    assert!(second.closed().await);
    assert_eq!(
        first
            .exchange(&Request::call("ann", "echo", &json!({})))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn open_streams_are_counted_apart_from_requests() {
    let server = Server::start_with(|spec| spec.max_streams = 1).await;
    let session = server.session("ann", &json!({})).await;
    let stream = Request::get("/mcp")
        .with("Authorization", "Bearer ann")
        .with("Accept", "text/event-stream")
        .with("Mcp-Session-Id", &session);
    let mut first = server.connect().await;
    first.send(&stream).await;
    assert_eq!(first.head().await.status, 200);
    assert_eq!(server.send(&stream).await.status, 503);
    assert_eq!(
        server
            .send(&Request::call("ann", "echo", &json!({})))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_head_or_a_body_that_does_not_come_ends_the_wait() {
    let server = Server::start_with(|spec| spec.head_within = Duration::from_millis(20)).await;
    let mut silent = server.connect().await;
    assert!(silent.closed().await);
    let mut slow = server.connect().await;
    slow.write(b"POST /mcp HTTP/1.1\r\nHost: 127.0").await;
    assert!(slow.closed().await);

    let server = Server::start_with(|spec| spec.body_within = Duration::from_millis(20)).await;
    let mut slow = server.connect().await;
    let mut request = Request::call("ann", "echo", &json!({})).with("Content-Length", "1000");
    request.body = None;
    assert_eq!(slow.exchange(&request).await.status, 408);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let large = Request::call("ann", "echo", &json!({})).with("X-Large", &"x".repeat(100_000));
    let mut client = server.connect().await;
    client.send(&large).await;
    assert_eq!(client.head().await.status, 431);
    let mut many = Request::call("ann", "echo", &json!({}));
    for n in 0..200 {
        many = many.with(&format!("X-{n}"), "x");
    }
    let mut client = server.connect().await;
    client.send(&many).await;
    assert_eq!(client.head().await.status, 431);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up_and_its_call_was_not_accepted() {
    let mut server = Server::start_with(|spec| {
        spec.write_within = Duration::from_millis(20);
        spec.max_exchanges = 1;
    })
    .await;
    let mut deaf = server.connect().await;
    deaf.send(&Request::call("ann", "large", &json!({}))).await;
    let call = server.entered().await.call_id;
    let echo = Request::call("bob", "echo", &json!({}));
    while server.send(&echo).await.status == 503 {} // until the one place is free again
    let echoed = server.entered().await.call_id;
    assert_eq!(server.accepted().await, echoed);
    assert_ne!(echoed, call);
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    assert!(
        server.events.try_recv().is_err(),
        "the deaf one's was never accepted"
    );
}
