//! The conformance suite cannot show a token, and Tollgate has no unauthenticated mode: this loopback
//! proxy adds the token and changes nothing else, Host and Origin included.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;

/// Starts the proxy; gives its base URL.
pub(super) async fn start(upstream: &str, token: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = (
        tollgate::app::http_client().unwrap(),
        upstream.to_owned(),
        token.to_owned(),
        address.to_string(),
    );
    let router = Router::new().fallback(forward).with_state(state);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn forward(
    State((http, upstream, token, own)): State<(reqwest::Client, String, String, String)>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let url = format!(
        "{upstream}{}",
        parts.uri.path_and_query().map_or("/", |path| path.as_str())
    );
    let host = upstream.trim_start_matches("http://").to_owned();
    // A client that talks to the proxy by its own name means the server by the server's.
    for name in [header::HOST, header::ORIGIN] {
        if let Some(value) = parts.headers.get(&name).and_then(|value| value.to_str().ok()) {
            let value = value.replace(&own, &host);
            parts.headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
    }
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    parts.headers.insert(header::AUTHORIZATION, bearer);
    parts.headers.remove(header::CONNECTION);
    let body = to_bytes(body, 1 << 24).await.unwrap();
    let answer = http
        .request(parts.method, url)
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != header::TRANSFER_ENCODING && name != header::CONNECTION {
            response = response.header(name, value);
        }
    }
    // Streams are passed on as they come: some scenarios listen on one while they post on another.
    let stream = futures::stream::unfold(answer, |mut answer| async move {
        let chunk = answer.chunk().await.ok().flatten()?;
        Some((Ok::<_, std::io::Error>(chunk), answer))
    });
    response.body(Body::from_stream(stream)).unwrap()
}
