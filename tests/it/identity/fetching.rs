//! The fetching end against a hostile server on loopback.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tollgate::identity::{Fetch, FetchError, Fetched, HttpFetch};
use url::Url;

/// Answers every connection with `answer` and returns the address. Ends with the test's runtime.
async fn server(answer: Vec<u8>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    Url::parse(&format!("http://{address}/keys")).unwrap()
}

async fn get(url: &Url) -> Result<Fetched, FetchError> {
    HttpFetch::new().get(url).await
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn redirects_are_answers_and_not_followed() {
    let target = server(answer("200 OK", b"secret")).await;
    let url = server(answer(&format!("302 Found\r\nlocation: {target}"), b"")).await;
    let fetched = get(&url).await.unwrap();
    assert_eq!((fetched.status, fetched.body.as_slice()), (302, b"".as_slice()));
}

#[tokio::test]
async fn answers_are_bounded_whatever_they_announce() {
    let largest = vec![b' '; 512 * 1024];
    let fetched = get(&server(answer("200 OK\r\ncache-control: max-age=5", &largest)).await)
        .await
        .unwrap();
    assert_eq!(
        (fetched.body.len(), fetched.cache_control.as_deref()),
        (largest.len(), Some("max-age=5"))
    );
    let larger = vec![b' '; 512 * 1024 + 1];
    let error = get(&server(answer("200 OK", &larger)).await).await.unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
    let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    endless.extend(vec![b' '; 2 * 1024 * 1024]);
    let error = get(&server(endless).await).await.unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[tokio::test]
async fn an_answer_cut_off_is_an_error() {
    let mut cut = answer("200 OK", b"{\"keys\": []}");
    cut.truncate(cut.len() - 3);
    get(&server(cut).await).await.unwrap_err();
    get(&server(b"garbage\r\n\r\n".to_vec()).await).await.unwrap_err();
}

#[tokio::test]
async fn plain_http_goes_to_loopback_alone() {
    for url in [
        "http://192.0.2.1/keys",
        "http://169.254.169.254/latest/meta-data",
        "http://example.com/keys",
        "http://0.0.0.0:1/keys",
        "http://localhost.example.com/keys",
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys",
        "data:application/json,{}",
    ] {
        let error = get(&Url::parse(url).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("only https"), "{url}: {error}");
    }
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_an_error() {
    let mut url = server(answer("200 OK", b"{}")).await;
    url.set_scheme("https").unwrap();
    get(&url).await.unwrap_err();
}

/// Keeps the head of the one request it answers.
async fn listening(answer: Vec<u8>) -> (Url, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/me", listener.local_addr().unwrap())).unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut part = [0; 1024];
            let read = stream.read(&mut part).await.unwrap();
            assert!(read > 0, "it ended before its head did");
            head.extend_from_slice(&part[..read]);
        }
        stream.write_all(&answer).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    (url, heard)
}

#[tokio::test]
async fn a_credential_goes_where_it_is_sent_and_nowhere_else() {
    let (url, heard) = listening(answer("200 OK", b"{}")).await;
    let fetched = HttpFetch::new().get_as(&url, "Bearer sesame").await.unwrap();
    assert_eq!(fetched.status, 200);
    let head = heard.await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /me http/1.1") && head.contains("authorization: bearer sesame\r\n"));
    let (elsewhere, untouched) = listening(Vec::new()).await;
    let (url, _heard) = listening(answer(&format!("307 Moved\r\nlocation: {elsewhere}"), b"")).await;
    let moved = HttpFetch::new().get_as(&url, "Bearer sesame").await.unwrap();
    assert_eq!(moved.status, 307, "an answer, not followed");
    assert!(!untouched.is_finished());
    untouched.abort();
    let unsendable = HttpFetch::new()
        .get_as(&url, "Bearer ses\name")
        .await
        .unwrap_err();
    assert!(!unsendable.to_string().contains("ses"), "{unsendable}");
    let plain = Url::parse("http://192.0.2.1/me").unwrap();
    let refused = HttpFetch::new()
        .get_as(&plain, "Bearer sesame")
        .await
        .unwrap_err();
    assert!(!refused.to_string().contains("sesame"), "{refused}");
}
