//! For `crate::fuzzing`.

use super::statement::{Expected, read, status};
use super::tree::{self, Allow};
use super::{metadata, shape};
use crate::identity::fuzzing::{ISSUER, NOW};

const ADDRESS: &str = "https://gate.example.com/oauth/saml/corp";

/// The text of a response, as far as it is read before its signature is looked at.
pub(crate) fn response(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(root) = tree::read(&text, Allow::Data) else {
        return;
    };
    let _ = status(&root);
    let Ok(shape) = shape::check(&root) else { return };
    let expected = Expected {
        provider: ISSUER,
        audience: ADDRESS,
        recipient: ADDRESS,
        request: "_0123456789abcdef",
        max_age: Some(3600),
        now: NOW,
        lifetime: 86_400,
        groups: Some("groups"),
        cut_at: Some(100),
    };
    if let Ok(statement) = read(&shape, &expected) {
        assert!(!statement.subject.is_empty() && statement.until > NOW);
    }
}

/// The metadata of a provider.
pub(crate) fn provider(data: &[u8]) {
    if let Ok(peer) = metadata::Peer::read(&String::from_utf8_lossy(data)) {
        assert!(!peer.certificates.is_empty());
        let reduced = peer.reduced();
        assert!(metadata::Peer::read(&reduced).is_ok(), "{reduced}");
    }
}
