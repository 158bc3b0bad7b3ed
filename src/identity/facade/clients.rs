//! Who asks for a sign-in: a configured program, `tollgate login`, one known by its document, or one that
//! registered itself.

use serde_json::Value;

use super::documents::{self, DocumentFault};
use super::redirect::Redirect;
use super::{CLI, Facade};
use crate::store::StoreError;

/// Where `tollgate login` takes its answer, on a port of its choice.
const CLI_REDIRECT: &str = "http://127.0.0.1/callback";
/// How ids of clients that registered themselves begin: no configured one and no address does.
pub(super) const REGISTERED: &str = "reg_";

/// A client, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: String,
    /// What people are shown; what it is worth, `by` says.
    pub(super) name: String,
    pub(super) redirects: Vec<Redirect>,
    pub(super) by: Voucher,
}

/// Who vouches for a client's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Voucher {
    /// Whoever configured this server.
    Operator,
    /// The host its document lies on.
    Host(String),
    /// Nobody.
    Nobody,
}

/// Why there is no such client.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    #[error("nobody here knows it")]
    Id,
    #[error("{0}")]
    Document(#[from] DocumentFault),
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
}

impl Known {
    /// Whether somebody other than the client vouches for its id. Who listens at a loopback redirect is
    /// another matter: people are warned of that.
    pub(super) fn is_verified(&self) -> bool {
        self.by != Voucher::Nobody
    }

    /// The redirect URI as asked for, if an answer may go there.
    pub(super) fn redirect(&self, asked: &str) -> Option<Redirect> {
        let allowed = self.redirects.iter().any(|registered| registered.allows(asked));
        allowed.then(|| Redirect::parse(asked)).flatten()
    }
}

impl Facade {
    /// The client of this id. What is configured comes first, so that no document can take its place.
    pub(super) async fn client(&self, id: &str) -> Result<Known, Unknown> {
        if let Some(known) = self.spec.clients.iter().find(|known| known.id == id) {
            let uris = known.redirect_uris.iter();
            return Ok(Known {
                id: known.id.clone(),
                name: known.name.clone(),
                redirects: uris.filter_map(|uri| Redirect::parse(uri.as_str())).collect(),
                by: Voucher::Operator,
            });
        }
        if id == CLI {
            return Ok(Known {
                id: CLI.to_owned(),
                name: "Tollgate command line".to_owned(),
                redirects: Redirect::parse(CLI_REDIRECT).into_iter().collect(),
                by: Voucher::Operator,
            });
        }
        if let (Some(library), true) = (&self.documents, id.contains("://")) {
            let document = library.get(id).await?;
            return Ok(Known {
                id: id.to_owned(),
                name: document.name.clone(),
                redirects: document.redirects.clone(),
                by: Voucher::Host(document.host.clone()),
            });
        }
        if self.spec.registration && id.starts_with(REGISTERED) {
            return self.registered(id).await;
        }
        Err(Unknown::Id)
    }

    async fn registered(&self, id: &str) -> Result<Known, Unknown> {
        let mut tx = self.rows.read().await?;
        let row = tx.registered_client(id).await?;
        tx.commit().await?;
        let row = row.ok_or(Unknown::Id)?;
        let redirects = serde_json::from_str::<Value>(&row.redirect_uris).unwrap_or_default();
        Ok(Known {
            id: row.id,
            name: row.name,
            redirects: documents::redirects(Some(&redirects)).unwrap_or_default(),
            by: Voucher::Nobody,
        })
    }
}
