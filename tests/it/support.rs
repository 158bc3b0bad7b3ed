//! The world a test acts in: a site with real resources, an issuer whose tokens differ from the
//! organisation's in nothing but the name, and a running Tollgate.

pub(crate) mod agent;
pub(crate) mod governed;
pub(crate) mod issuer;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
pub(crate) mod people;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod site;

use std::time::Duration;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");

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
