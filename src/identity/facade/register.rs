//! `/oauth/register`: clients that register themselves (RFC 7591), where that is switched on. Anybody may, so nothing
//! they say is verified, there is a bound on their number, and who is not used within a day is forgotten.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::clients::REGISTERED;
use super::redirect::Redirect;
use super::{Answer, Asked, Facade, documents, pages};
use crate::identity::jose::strict_json;
use crate::store::StoreError;
use crate::store::sign_ins::ClientRow;

/// The largest registration, in bytes.
const BODY_BYTES: usize = 16 * 1024;
/// Registered clients.
const MOST: u32 = 1_000;

impl Facade {
    pub(super) async fn register(&self, asked: &Asked<'_>) -> Answer {
        if *asked.method != Method::POST {
            return pages::wrong_method("POST");
        }
        let kind = asked.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let invalid = |code, words| pages::error(StatusCode::BAD_REQUEST, code, words);
        if !kind.eq_ignore_ascii_case("application/json") || asked.body.len() > BODY_BYTES {
            return invalid("invalid_client_metadata", "Send a JSON object of at most 16 KiB.");
        }
        let (name, redirects) = match wanted(asked.body) {
            Ok(wanted) => wanted,
            Err((code, words)) => return invalid(code, words),
        };
        match self.registration(name, &redirects).await {
            Ok(row) => pages::json(StatusCode::CREATED, &described(&row, &redirects)),
            Err(error) => {
                tracing::error!(%error, "a client could not be registered");
                pages::error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    "The store cannot be used now.",
                )
            }
        }
    }

    async fn registration(&self, name: String, redirects: &[Redirect]) -> Result<ClientRow, StoreError> {
        let uris: Vec<&str> = redirects.iter().map(Redirect::as_str).collect();
        let row = ClientRow {
            id: self.fresh(REGISTERED).to_string(),
            name,
            redirect_uris: json!(uris).to_string(),
            created_at: self.world.now().0,
        };
        let mut tx = self.rows.write().await?;
        tx.add_client(&row, MOST).await?;
        tx.commit().await?;
        Ok(row)
    }
}

/// What was registered, which may differ from what was asked (RFC 7591 3.2.1): a public client of the code grant.
/// Name and redirect URIs from a registration (RFC 7591 section 2); the error is its section 3.2.2.
pub(super) fn wanted(body: &[u8]) -> Result<(String, Vec<Redirect>), (&'static str, &'static str)> {
    let Ok(Value::Object(fields)) = strict_json(body) else {
        return Err((
            "invalid_client_metadata",
            "The body is not a JSON object without repeated names.",
        ));
    };
    let redirects = documents::redirects(fields.get("redirect_uris"));
    let redirects = redirects.map_err(|why| ("invalid_redirect_uri", why))?;
    let name = documents::name(fields.get("client_name"));
    Ok((
        name.unwrap_or_else(|| "a program without a name".to_owned()),
        redirects,
    ))
}

fn described(row: &ClientRow, redirects: &[Redirect]) -> Value {
    let uris: Vec<&str> = redirects.iter().map(Redirect::as_str).collect();
    json!({
        "client_id": row.id,
        "client_id_issued_at": row.created_at / 1000,
        "client_name": row.name,
        "redirect_uris": uris,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}
