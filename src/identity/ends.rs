//! The end of sessions, told to whoever holds something for one of them.

use std::sync::Arc;

use tokio::sync::broadcast;

/// Ends that a listener may be behind before it is told that it missed some.
const BEHIND: usize = 1_024;

/// Where the end of a session is told, by whoever ended it in this process, and heard. Cheap to clone.
///
/// It is a matter of promptness, not of safety: a session that has ended admits nobody and stands for nothing
/// ([`super::Identity::stands`]) whether or not anybody listens here.
#[derive(Debug, Clone)]
pub struct Ends(broadcast::Sender<Arc<str>>);

impl Default for Ends {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl Ends {
    /// This session has ended: the store says so, durably, before it is told.
    pub fn tell(&self, session: &str) {
        let _ = self.0.send(Arc::from(session)); // nobody listens: nothing is held
    }

    /// The ids of sessions that end from now on. `Lagged`: some were missed, and whoever holds something has
    /// to ask for each session whether it stands.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.subscribe()
    }
}
