//! What programs read first: the authorization server's metadata (RFC 8414, with the additions of RFC 9207, RFC 8628
//! and the Client ID Metadata Document draft), at the OpenID address as well, where some clients look alone.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, Asked, Facade, pages, path};

impl Facade {
    pub(super) fn metadata(&self, asked: &Asked<'_>) -> Answer {
        match *asked.method {
            Method::GET | Method::HEAD => pages::json(StatusCode::OK, &self.document()),
            _ => pages::wrong_method("GET, HEAD"),
        }
    }

    /// The metadata document.
    fn document(&self) -> Value {
        let mut document = json!({
            "issuer": self.spec.url,
            "authorization_endpoint": self.at(path::AUTHORIZE),
            "token_endpoint": self.at(path::TOKEN),
            "revocation_endpoint": self.at(path::REVOKE),
            "device_authorization_endpoint": self.at(path::DEVICE_AUTHORIZATION),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": self.documents.is_some(),
            "protected_resources": [self.spec.resource],
        });
        if let Some(fields) = document.as_object_mut() {
            if self.spec.registration {
                fields.insert("registration_endpoint".to_owned(), self.at(path::REGISTER).into());
            }
            if !self.spec.scopes.is_empty() {
                let scopes: Vec<&String> = self.spec.scopes.keys().collect();
                fields.insert("scopes_supported".to_owned(), json!(scopes));
            }
        }
        document
    }
}
