//! What a provider gave us, into the store and out of it.

use zeroize::Zeroizing;

use crate::clock::World;
use crate::identity::provider::Upstream;
use crate::identity::seal::Seal;

/// Seals it for the row it belongs to (a code: the hexadecimal SHA-256 of the code; a session: see
/// `about`). `None` when there is nothing in it. Outer `None` when it cannot be sealed.
#[must_use]
pub fn seal_upstream(seal: &Seal, about: &str, upstream: &Upstream, world: &dyn World) -> Option<Vec<u8>> {
    let text = Zeroizing::new(serde_json::to_vec(upstream).ok()?);
    seal.seal(about, &text, world)
}

/// The way back; `None` for anything that was not sealed for this row with a key we have.
#[must_use]
pub fn open_upstream(seal: &Seal, about: &str, sealed: &[u8]) -> Option<Upstream> {
    let text = seal.open(about, sealed)?;
    serde_json::from_slice(&text).ok()
}

/// What a session's row is called when something is sealed for it.
pub(super) fn about(session: &str) -> String {
    format!("session/{session}")
}
