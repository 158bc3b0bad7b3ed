//! What the demo's issuer answers over HTTP.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::identity::issuer::{DemoIssuer, Page, TokenRefused};
use crate::transport::http::{FormAnswer, HttpSpec, PageAnswer, PageContent};

/// The demo issuer's documents and token endpoint (OAuth 2.0 password grant, RFC 6749 §4.3: loopback
/// only, and gone with the demo).
pub(super) fn mount(spec: &mut HttpSpec, issuer: &Arc<DemoIssuer>) {
    let paths = issuer.paths();
    spec.documents.extend(
        paths
            .metadata
            .iter()
            .map(|path| (path.clone(), issuer.metadata())),
    );
    spec.documents.push((paths.jwks.clone(), issuer.jwks()));
    let form: FormAnswer = {
        let issuer = issuer.clone();
        Arc::new(move |fields| token(&issuer, &fields))
    };
    spec.forms.push((paths.token, form));
    if let Some(path) = paths.authorize {
        let issuer = issuer.clone();
        let page: PageAnswer =
            Arc::new(
                move |fields, submitted| match issuer.authorize(&fields, submitted) {
                    Page::Html(status, html) => PageContent::Html(status, html),
                    Page::See(place) => PageContent::See(place),
                },
            );
        spec.pages.push((path, page));
    }
}

fn token(issuer: &DemoIssuer, fields: &[(String, String)]) -> (u16, Value) {
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    };
    let answered = if field("grant_type") == "authorization_code" {
        issuer.redeem(fields)
    } else {
        issuer
            .token(field("username"), field("password"), field("client_id"))
            .map(|token| json!({ "access_token": token, "token_type": "Bearer" }))
    };
    match answered {
        Ok(answer) => (200, answer),
        Err(refused) => {
            let (status, error) = match refused {
                TokenRefused::BadCredentials => (400, "invalid_grant"),
                TokenRefused::TooManyAttempts => (429, "slow_down"),
                TokenRefused::BadClient => (400, "invalid_client"),
            };
            (
                status,
                json!({ "error": error, "error_description": refused.to_string() }),
            )
        }
    }
}
