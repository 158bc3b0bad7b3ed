use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::identity::facade::tests::place::{Clock, DOCUMENT, Network, SITE, document};

struct Shelves {
    library: Arc<Library>,
    clock: Arc<Clock>,
    network: Arc<Network>,
}

fn shelves(hosts: Option<&[&str]>, allow_private: bool) -> Shelves {
    let (clock, network) = (Arc::<Clock>::default(), Arc::<Network>::default());
    network.serve(DOCUMENT, 200, document(), Some("public, max-age=600"));
    let which = Documents {
        hosts: hosts.map(|hosts| {
            hosts
                .iter()
                .map(|host| (*host).to_owned())
                .collect::<BTreeSet<_>>()
        }),
        allow_private,
    };
    Shelves {
        library: Arc::new(Library::new(which, network.clone(), clock.clone())),
        clock,
        network,
    }
}

fn with(name: &str, value: serde_json::Value) -> serde_json::Value {
    let mut changed = document();
    changed[name] = value;
    changed
}

#[tokio::test]
async fn a_document_is_read_once_and_again_when_its_server_says_so() {
    let shelves = shelves(None, false);
    let document = shelves.library.get(DOCUMENT).await.unwrap();
    assert_eq!(
        (document.name.as_str(), document.host.as_str()),
        ("An agent", "agent.example.net")
    );
    assert_eq!(document.redirects.len(), 2);
    shelves.clock.by(599);
    shelves.library.get(DOCUMENT).await.unwrap();
    assert_eq!(shelves.network.count(), 1);
    shelves.clock.by(1);
    // A server that takes its document back is believed.
    shelves.network.serve(DOCUMENT, 404, "", None);
    assert_eq!(
        shelves.library.get(DOCUMENT).await.unwrap_err(),
        DocumentFault::Fetch
    );
    assert_eq!(shelves.network.count(), 2);
    // A failure is remembered for half a minute, so that nobody can make us knock for ever.
    shelves.network.serve(
        DOCUMENT,
        200,
        crate::identity::facade::tests::place::document(),
        None,
    );
    shelves.clock.by(29);
    assert_eq!(
        shelves.library.get(DOCUMENT).await.unwrap_err(),
        DocumentFault::Fetch
    );
    assert_eq!(shelves.network.count(), 2);
    shelves.clock.by(1);
    shelves.library.get(DOCUMENT).await.unwrap();
    for (said, seconds) in [
        (None, 300),
        (Some("max-age=0"), 60),
        (Some("no-store, max-age=9999"), 60),
        (Some("max-age=99999999999"), 24 * 3600),
        (Some("max-age=99999999999999999999999"), 60),
        (Some("Max-Age=\"120\""), 120),
        (Some("private"), 300),
    ] {
        assert_eq!(fresh_for(said), seconds, "{said:?}");
    }
}

#[tokio::test]
async fn many_who_ask_at_once_make_one_fetch() {
    let shelves = shelves(None, false);
    let wire = shelves.network.wire.lock().await;
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let library = Arc::clone(&shelves.library);
            tokio::spawn(async move { library.get(DOCUMENT).await.is_ok() })
        })
        .collect();
    while shelves.network.count() == 0 {
        tokio::task::yield_now().await;
    }
    drop(wire);
    for one in asking {
        assert!(one.await.unwrap());
    }
    assert_eq!(shelves.network.count(), 1);
}

#[tokio::test]
async fn slow_servers_do_not_pile_up() {
    let shelves = shelves(None, false);
    let wire = shelves.network.wire.lock().await;
    let asking: Vec<_> = (0..AT_ONCE)
        .map(|n| {
            let library = Arc::clone(&shelves.library);
            tokio::spawn(async move { library.get(&format!("https://slow.example/{n}")).await })
        })
        .collect();
    while shelves.network.asked.load(Ordering::SeqCst) < AT_ONCE as u64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        shelves.library.get(DOCUMENT).await.unwrap_err(),
        DocumentFault::Busy
    );
    drop(wire);
    for one in asking {
        assert_eq!(one.await.unwrap().unwrap_err(), DocumentFault::Fetch);
    }
    assert!(
        shelves.library.get(DOCUMENT).await.is_ok(),
        "being busy is not remembered"
    );
}

#[tokio::test]
async fn ssrf_addresses_inside_are_not_asked() {
    let shelves = shelves(None, false);
    for id in [
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/client.json",
        "https://localhost/client.json",
        "https://10.0.0.1/client.json",
        "https://[::1]/client.json",
        "https://[fd00::1]/client.json",
        "https://[::ffff:10.0.0.1]/client.json",
        "https://0x7f000001/client.json",
        "https://2130706433/client.json",
        "https://127.1/client.json",
        "http://127.0.0.1/client.json",
        "http://agent.example.net/client.json",
        "https://agent.example.net",
        "https://agent.example.net/",
        "https://agent.example.net/a/../client.json",
        "https://agent.example.net/./client.json",
        "https://agent.example.net:443/client.json",
        "https://AGENT.example.net/client.json",
        "https://user@agent.example.net/client.json",
        "https://agent.example.net/client.json#x",
        "https://agent.example.net\\client.json",
        " https://agent.example.net/client.json",
        "ftp://agent.example.net/client.json",
        "file:///etc/passwd",
    ] {
        let fault = shelves.library.get(id).await.unwrap_err();
        assert!(
            matches!(fault, DocumentFault::Id(_) | DocumentFault::Reach),
            "{id}: {fault}"
        );
    }
    let long = format!("https://agent.example.net/{}", "x".repeat(ID_BYTES));
    assert!(shelves.library.get(&long).await.is_err());
    assert_eq!(shelves.network.count(), 0);
}

#[tokio::test]
async fn where_hosts_are_listed_no_other_is_asked() {
    let none = shelves(Some(&[]), false);
    assert_eq!(none.library.get(DOCUMENT).await.unwrap_err(), DocumentFault::Host);
    let some = shelves(Some(&["agent.example.net"]), false);
    some.library.get(DOCUMENT).await.unwrap();
    for id in [
        "https://evil.example/client.json",
        "https://x.agent.example.net/client.json",
    ] {
        assert_eq!(some.library.get(id).await.unwrap_err(), DocumentFault::Host);
    }
    assert_eq!((none.network.count(), some.network.count()), (0, 1));
}

#[tokio::test]
async fn a_document_that_is_not_about_its_own_address_is_nobodys() {
    for (body, why) in [
        (
            with("client_id", json!("https://agent.example.net/oauth/other.json")),
            "client_id is not",
        ),
        (with("client_id", json!(null)), "client_id is not"),
        (with("client_secret", json!("x")), "client_secret"),
        (
            with("token_endpoint_auth_method", json!("client_secret_basic")),
            "none",
        ),
        (
            with("token_endpoint_auth_method", json!("private_key_jwt")),
            "none",
        ),
        (with("grant_types", json!(["client_credentials"])), "code grant"),
        (with("response_types", json!(["token"])), "code grant"),
        (with("redirect_uris", json!([])), "redirect_uris"),
        (with("redirect_uris", json!(SITE)), "redirect_uris"),
        (with("redirect_uris", json!([7])), "redirect URI"),
        (
            with(
                "redirect_uris",
                json!(["javascript:alert(1)", "http://evil.example/"]),
            ),
            "redirect_uris",
        ),
        (with("redirect_uris", json!(vec![SITE; 33])), "too many"),
        (json!([document()]), "JSON object"),
    ] {
        let shelves = shelves(None, false);
        shelves.network.serve(DOCUMENT, 200, &body, None);
        let fault = shelves.library.get(DOCUMENT).await.unwrap_err();
        assert!(fault.to_string().contains(why), "{body}: {fault}");
    }
    let shelves = shelves(None, false);
    let twice = document()
        .to_string()
        .replacen('{', "{\"client_id\":\"https://evil.example/x\",", 1);
    shelves.network.serve(DOCUMENT, 200, twice, None);
    assert!(matches!(
        shelves.library.get(DOCUMENT).await,
        Err(DocumentFault::Document(_))
    ));
}

/// Serves `answer` on loopback to whoever connects; the address, and how many came.
async fn serve(answer: Option<String>) -> (Url, Arc<std::sync::atomic::AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/client.json", listener.local_addr().unwrap());
    let came = Arc::<std::sync::atomic::AtomicU64>::default();
    let count = Arc::clone(&came);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            if let Some(answer) = &answer {
                let _ = stream.write_all(answer.as_bytes()).await;
            } else {
                open.push(stream); // and says nothing
            }
        }
    });
    (Url::parse(&url).unwrap(), came)
}

fn http(status: &str, headers: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    ))
}

#[tokio::test]
async fn the_real_fetch_follows_no_redirect_and_reads_no_more_than_it_must() {
    let fetch = DocumentFetch::new(true);
    let (good, _) = serve(http("200 OK", "cache-control: max-age=90\r\n", "{}")).await;
    let answer = fetch.get(&good).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
    assert_eq!(answer.cache_control.as_deref(), Some("max-age=90"));
    let (redirect, _) = serve(http("302 Found", &format!("location: {good}\r\n"), "")).await;
    assert_eq!(fetch.get(&redirect).await.unwrap().status, 302);
    let (fits, _) = serve(http("200 OK", "", &"x".repeat(BODY_BYTES))).await;
    assert_eq!(fetch.get(&fits).await.unwrap().body.len(), BODY_BYTES);
    let (big, _) = serve(http("200 OK", "", &"x".repeat(BODY_BYTES + 1))).await;
    assert!(fetch.get(&big).await.unwrap_err().0.contains("longer"));
    let (silent, _) = serve(None).await;
    let hurried = DocumentFetch {
        whole: Duration::from_millis(50),
        ..DocumentFetch::new(true)
    };
    assert!(hurried.get(&silent).await.is_err());
}

#[tokio::test]
async fn the_real_fetch_does_not_go_inside() {
    let (url, came) = serve(http("200 OK", "", "{}")).await;
    let port = url.port().unwrap();
    let fetch = DocumentFetch::new(false);
    for inside in [
        format!("https://127.0.0.1:{port}/x"),
        format!("http://127.0.0.1:{port}/x"),
        format!("https://[::ffff:127.0.0.1]:{port}/x"),
        format!("https://localhost:{port}/x"),
        // A name that leads inside: looked up, and not followed.
        format!("https://localhost.:{port}/x"),
    ] {
        let error = fetch.get(&Url::parse(&inside).unwrap()).await.unwrap_err();
        assert!(!error.0.contains("HTTP/"), "{error}");
    }
    assert_eq!(came.load(Ordering::SeqCst), 0, "nobody connected");
    // Also where private addresses are allowed, plain HTTP is for loopback.
    let plain = Url::parse(&format!("http://10.0.0.1:{port}/x")).unwrap();
    assert!(DocumentFetch::new(true).get(&plain).await.is_err());
}

proptest! {
    #[test]
    fn no_document_is_read_in_a_way_of_its_own(body in prop::collection::vec(any::<u8>(), 0..200), id in ".{0,80}") {
        let url = Url::parse(DOCUMENT).unwrap();
        prop_assert!(read(DOCUMENT, &url, &body).is_err());
        if let Ok(url) = address(&id, false) {
            prop_assert_eq!(url.as_str(), id.as_str());
            prop_assert_eq!(url.scheme(), "https");
        }
    }

    #[test]
    fn whatever_a_document_says_its_redirects_are_ones_we_allow(
        uris in prop::collection::vec("(https|http|javascript|data|x)://[a-z@.:\\\\#/]{0,20}", 0..6),
        name in ".{0,200}",
    ) {
        let mut said = document();
        said["redirect_uris"] = json!(uris);
        said["client_name"] = json!(name);
        let url = Url::parse(DOCUMENT).unwrap();
        if let Ok(document) = read(DOCUMENT, &url, said.to_string().as_bytes()) {
            prop_assert!(document.name.chars().count() <= NAME && !document.name.is_empty());
            for redirect in &document.redirects {
                prop_assert!(uris.iter().any(|uri| uri == redirect.as_str()));
                let url = Url::parse(redirect.as_str()).unwrap();
                prop_assert!(!matches!(url.scheme(), "javascript" | "data"));
                prop_assert!(url.username().is_empty() && url.fragment().is_none());
            }
        }
    }
}
