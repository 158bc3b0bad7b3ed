//! What an issuer publishes about itself (OpenID Connect Discovery §4, RFC 8414 §3).

use serde_json::Value;
use url::Url;

use super::fetch::Fetch;
use super::jose::strict_json;
use super::spec::secure;

/// An issuer's metadata. It is of this very issuer, and nothing in it is believed beyond that.
#[derive(Debug)]
pub(super) struct Metadata {
    issuer: Url,
    document: Value,
}

impl Metadata {
    /// Reads it: OpenID Connect Discovery first, else RFC 8414. It must name this very issuer (OpenID
    /// Connect Discovery §4.3), character for character. The error is for the operator.
    pub(super) async fn read(fetch: &dyn Fetch, issuer: &str) -> Result<Self, String> {
        let base = secure(issuer).map_err(str::to_owned)?;
        let mut refused = Vec::new();
        for place in places(&base) {
            let answer = fetch.get(&place).await.map_err(|error| error.to_string())?;
            if answer.status == 200 {
                return Self::of(issuer, base, &answer.body);
            }
            refused.push(format!("{place} answered HTTP {}", answer.status));
        }
        Err(refused.join("; "))
    }

    pub(super) fn of(issuer: &str, base: Url, document: &[u8]) -> Result<Self, String> {
        let document =
            strict_json(document).map_err(|error| format!("the discovery document is not JSON: {error}"))?;
        let metadata = Self {
            issuer: base,
            document,
        };
        match metadata.text("issuer") {
            Some(named) if named == issuer => Ok(metadata),
            named => {
                let named = named.unwrap_or_default().chars().take(120);
                let named: String = named.flat_map(char::escape_debug).collect();
                Err(format!("the discovery document names another issuer: `{named}`"))
            }
        }
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.document.get(name).and_then(Value::as_str)
    }

    /// A yes; `false` where nothing is said.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.document.get(name) == Some(&Value::Bool(true))
    }

    /// Whether a list has a word; `None` where there is no such list.
    pub(super) fn lists(&self, name: &str, word: &str) -> Option<bool> {
        let list = self.document.get(name)?.as_array()?;
        Some(list.iter().any(|one| one == word))
    }

    /// An address that must be on the issuer's own origin: a document cannot send us elsewhere. `key` is
    /// what to configure when it rightly is elsewhere.
    pub(super) fn own(&self, name: &str, key: &str) -> Result<Url, String> {
        let uri = self
            .text(name)
            .ok_or_else(|| format!("the discovery document has no {name}"))?;
        let uri = secure(uri).map_err(|why| format!("the discovery document's {name} {why}"))?;
        if uri.origin() != self.issuer.origin() {
            return Err(format!(
                "its {name} is at {}, not at the issuer's own address: if that is right, set {key} for this issuer",
                uri.origin().ascii_serialization()
            ));
        }
        Ok(uri)
    }
}

/// Where it may be.
fn places(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let at = |place: String| {
        let mut address = issuer.clone();
        address.set_path(&place);
        address
    };
    [
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ]
}
