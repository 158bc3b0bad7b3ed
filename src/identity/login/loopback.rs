//! The browser's answer, on a port of this machine (RFC 8252 section 7.3).
//!
//! Any program here, and any page through the browser, can connect as well. What they bring is told so and
//! does not end the wait; whoever says nothing holds up nobody.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zeroize::Zeroizing;

use crate::identity::last_page;

/// How long one connection may take to say what it wants.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long it may take to take our words.
const WORDS_WITHIN: Duration = Duration::from_secs(2);
/// The longest request head that is read, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// Connections that may be silent at once; more wait in the queue.
const SILENT: usize = 64;

/// The names and values of a query.
pub(in crate::identity) type Fields = Vec<(String, String)>;

/// A port that waits for one answer.
#[derive(Debug)]
pub(in crate::identity) struct Loopback {
    listener: TcpListener,
    redirect_uri: String,
}

/// What to do with what a connection brought.
pub(in crate::identity) enum Verdict<T> {
    /// Not ours: wait on.
    Stranger,
    /// The answer, with the words for the person's browser.
    Answer(T, &'static str),
}

impl Loopback {
    /// Takes a free port of the IPv4 loopback address: never a name, which can lead elsewhere (section 8.3).
    pub(in crate::identity) async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        Ok(Self {
            listener,
            redirect_uri: format!("http://127.0.0.1:{port}/callback"),
        })
    }

    /// Where the browser is to be sent.
    pub(in crate::identity) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Waits until `judge` takes a query for the answer. Dropping this closes the port.
    pub(in crate::identity) async fn answer<T>(&self, judge: impl Fn(&Fields) -> Verdict<T>) -> T {
        let mut heads = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if heads.len() < SILENT => match accepted {
                    Ok((stream, _)) => heads.push(head(stream)),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await, // no file descriptor left
                },
                Some((mut stream, fields)) = heads.next() => match fields {
                    None => say(&mut stream, "404 Not Found", "This is not what Tollgate waits for.").await,
                    Some(fields) => match judge(&fields) {
                        Verdict::Stranger => {
                            let words = "This answers no login of this terminal.";
                            say(&mut stream, "400 Bad Request", words).await;
                        }
                        Verdict::Answer(answer, words) => {
                            say(&mut stream, "200 OK", words).await;
                            return answer;
                        }
                    },
                },
            }
        }
    }
}

async fn head(mut stream: TcpStream) -> (TcpStream, Option<Fields>) {
    let fields = tokio::time::timeout(HEAD_WITHIN, fields(&mut stream)).await;
    (stream, fields.ok().flatten())
}

/// The query of one GET of the callback.
async fn fields(stream: &mut TcpStream) -> Option<Fields> {
    let mut head = Zeroizing::new(Vec::new());
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = Zeroizing::new([0; 2048]);
        let read = stream
            .read(part.as_mut_slice())
            .await
            .ok()
            .filter(|read| *read > 0)?;
        head.extend_from_slice(part.get(..read)?);
        if head.len() > HEAD_BYTES {
            return None;
        }
    }
    query(&head)
}

/// The query of a GET of the callback, from the head of a request.
pub(super) fn query(head: &[u8]) -> Option<Fields> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let target = std::str::from_utf8(line)
        .ok()?
        .strip_prefix("GET ")?
        .strip_suffix(" HTTP/1.1")?;
    let query = target.strip_prefix("/callback?")?;
    let fields = url::form_urlencoded::parse(query.as_bytes());
    Some(fields.into_owned().collect())
}

/// Nothing that was sent is repeated.
async fn say(stream: &mut TcpStream, status: &str, words: &str) {
    let answer = last_page::answer(status, words);
    let said = async {
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    };
    let _ = tokio::time::timeout(WORDS_WITHIN, said).await;
}
