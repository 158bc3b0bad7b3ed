//! A way to a server that can go silent: nothing is refused, nothing is reset, nothing comes any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Ends with the test.
pub(crate) struct Proxy {
    address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Connections of an earlier number are silent for ever.
    silenced: AtomicU64,
    /// New ones are silent too.
    away: AtomicBool,
    /// After the next COMMIT has gone through everything is silent.
    no_answer_to_commit: AtomicBool,
    /// That has happened.
    swallowed: AtomicBool,
    connections: AtomicU64,
}

impl State {
    fn silence(&self) {
        self.silenced
            .store(self.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

impl Proxy {
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                if shared.away.load(Ordering::SeqCst) {
                    shared.silence();
                }
                let Ok(server) = TcpStream::connect(&server).await else {
                    continue;
                };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(pass(from_client, to_server, (Arc::clone(&shared), number), true));
                tokio::spawn(pass(from_server, to_client, (Arc::clone(&shared), number), false));
            }
        });
        Self { address, state }
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From here on nothing comes through, on any connection.
    pub(crate) fn vanish(&self) {
        self.state.away.store(true, Ordering::SeqCst);
        self.state.silence();
    }

    /// New connections come through; the old ones stay silent.
    pub(crate) fn come_back(&self) {
        self.state.away.store(false, Ordering::SeqCst);
    }

    /// The next COMMIT reaches the server, and nothing comes back any more on any connection there is.
    pub(crate) fn swallow_the_next_commit(&self) {
        self.state.swallowed.store(false, Ordering::SeqCst);
        self.state.no_answer_to_commit.store(true, Ordering::SeqCst);
    }

    /// Whether that COMMIT has been sent.
    pub(crate) fn has_swallowed(&self) -> bool {
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (state, number): (Arc<State>, u64),
    to_server: bool,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let read = from.read(&mut buffer).await;
        let part = match read {
            Ok(0) | Err(_) => break,
            Ok(length) => &buffer[..length],
        };
        if state.silenced.load(Ordering::SeqCst) >= number {
            std::future::pending::<()>().await;
        }
        // A simple query (`Q`, its length, its text) of nothing else, as the journal's is.
        let commits = to_server && part.windows(12).any(|seen| seen == b"Q\0\0\0\x0bCOMMIT\0");
        if commits && state.no_answer_to_commit.swap(false, Ordering::SeqCst) {
            state.silence();
            state.swallowed.store(true, Ordering::SeqCst);
        }
        if to.write_all(part).await.is_err() {
            break;
        }
    }
}
