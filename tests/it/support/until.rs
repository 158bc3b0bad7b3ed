//! Waiting for what will be there.

use std::time::Duration;

/// Looks again and again until there is something to see. The bound only ends a test that would
/// otherwise hang; no outcome depends on it.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(100), looking).await {
        Ok(found) => found,
        Err(_) => panic!("in vain: {what}"),
    }
}
