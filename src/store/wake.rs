//! Wake-ups: a replica hears at once that another one has changed rows, by LISTEN and NOTIFY of PostgreSQL. Whoever
//! waits looks by itself now and then all the same: a wake-up may be lost, and of a file there are none.

use std::sync::Arc;

use tokio::sync::Notify;

use super::Store;

/// Tells of changes by any process. Nothing is listened to any more when it is dropped.
#[derive(Debug)]
pub struct Changes {
    heard: Arc<Notify>,
    listening: Option<tokio::task::JoinHandle<()>>,
}

impl Changes {
    /// Waits for the next change; of a file, for ever. Several may come as one.
    pub async fn next(&self) {
        self.heard.notified().await;
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

impl Store {
    /// Begins to listen.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let heard = Arc::new(Notify::new());
        #[cfg(feature = "postgres")]
        let listening = match &self.engine {
            super::Engine::File(_) => None,
            super::Engine::Server(server) => {
                Some(tokio::spawn(listen(Arc::clone(server), Arc::clone(&heard))))
            }
        };
        #[cfg(not(feature = "postgres"))]
        let listening = None;
        Changes { heard, listening }
    }
}

/// Listens, and begins again whenever the connection is lost. What came meanwhile is one wake-up.
#[cfg(feature = "postgres")]
async fn listen(server: Arc<super::postgres::Server>, heard: Arc<Notify>) {
    loop {
        if let Ok(mut listener) = server.listener().await {
            heard.notify_one();
            while server.heard(&mut listener).await {
                heard.notify_one();
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Between two attempts to listen.
#[cfg(feature = "postgres")]
const AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(1);
