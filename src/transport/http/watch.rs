//! A listener for those who watch the server: metrics, and whether it lives and takes calls.
//!
//! Nobody is authenticated here and nothing can be changed; what is told carries no word of a caller's. It is
//! to be bound where only the monitoring reaches it. A name in `Host` is refused unless it is `localhost`, so
//! that no page of a browser can read it through a name of its own (DNS rebinding).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::fault::Answer;
use super::headers::{Headers, NOTHING};
use super::listen::{self, Bounds, Site};

/// Connections of all who watch.
const CONNECTIONS: usize = 32;
const WITHIN: Duration = Duration::from_secs(10);

/// Who knows how the server is.
pub(crate) trait Watched: Send + Sync + 'static {
    /// Media type and text of the metrics.
    fn metrics(&self) -> BoxFuture<'_, (&'static str, String)>;
    /// Why calls are not taken now, in words of ours.
    fn unready(&self) -> BoxFuture<'_, Vec<String>>;
}

struct Watch {
    watched: Arc<dyn Watched>,
    headers: Headers,
}

/// Serves until `shutdown` fires.
///
/// # Errors
/// The address has no URL.
pub(crate) async fn serve(
    watched: Arc<dyn Watched>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let url = url::Url::parse(&format!("http://{}/", listener.local_addr()?));
    let url = url.map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
    let headers = Headers::new(&url, NOTHING);
    let watch = Arc::new(Watch { watched, headers });
    let mut open = listen::accept(&watch, listener, &shutdown).await;
    open.shutdown().await;
    Ok(())
}

impl Watch {
    async fn answered(&self, request: &Request<Incoming>) -> Answer {
        let plain = |status, text: String| said(status, "text/plain; charset=utf-8", text);
        if !is_address(request) {
            return plain(
                StatusCode::MISDIRECTED_REQUEST,
                "ask by address, or as localhost\n".to_owned(),
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "GET\n".to_owned());
            let allow = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(header::ALLOW, allow);
            return answer;
        }
        match request.uri().path() {
            "/metrics" => {
                let (kind, text) = self.watched.metrics().await;
                said(StatusCode::OK, kind, text)
            }
            "/livez" => plain(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => match self.watched.unready().await {
                why if why.is_empty() => plain(StatusCode::OK, "ok\n".to_owned()),
                why => plain(StatusCode::SERVICE_UNAVAILABLE, why.join("\n") + "\n"),
            },
            _ => plain(
                StatusCode::NOT_FOUND,
                "there are /metrics, /livez and /readyz\n".to_owned(),
            ),
        }
    }
}

/// Whether the request names an address, or `localhost`.
fn is_address<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let named = host
        .to_str()
        .ok()
        .and_then(|host| url::Url::parse(&format!("http://{host}/")).ok());
    match named.as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        None => false,
    }
}

fn said(status: StatusCode, kind: &'static str, text: String) -> Answer {
    let mut answer = Answer::new(Body::from(text));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

impl Site for Watch {
    type Ledger = ();

    fn bounds(&self) -> Bounds {
        Bounds {
            connections: CONNECTIONS,
            per_address: CONNECTIONS,
            head_within: WITHIN,
            write_within: WITHIN,
            leave_within: Duration::ZERO, // that it answers no more says that this server is not ready
        }
    }

    fn ledger(&self) {}

    async fn answer(&self, request: Request<Incoming>, _: IpAddr, _: &Arc<()>) -> Answer {
        self.headers.on(self.answered(&request).await)
    }

    fn is_proxy(&self, _: IpAddr) -> bool {
        false
    }

    fn turn_away(&self) -> Answer {
        let words = "too many connections\n".to_owned();
        self.headers.on(said(
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain; charset=utf-8",
            words,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_somebody_elses_reads_nothing() {
        let asks = |hosts: &[&str]| {
            let mut request = Request::new(());
            for host in hosts {
                request.headers_mut().append(header::HOST, host.parse().unwrap());
            }
            is_address(&request)
        };
        for host in [
            "127.0.0.1:9464",
            "10.1.2.3",
            "[::1]:9464",
            "localhost:9464",
            "LOCALHOST",
        ] {
            assert!(asks(&[host]), "{host}");
        }
        for hosts in [
            &["evil.example"][..],
            &["localhost.evil.example"],
            &["127.0.0.1", "evil.example"],
            &[""],
            &[],
        ] {
            assert!(!asks(hosts), "{hosts:?}");
        }
    }
}
