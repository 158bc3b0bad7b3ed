//! What the demo's issuer answers over HTTP.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::identity::issuer::{DemoIssuer, Page, TokenRefused};
use crate::transport::http::{FormAnswer, HttpSpec, PageAnswer, PageContent};

/// The demo issuer's documents, pages and token endpoint: loopback only, and gone with the demo.
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
    let issuer = issuer.clone();
    let page: PageAnswer = Arc::new(
        move |fields, submitted| match issuer.authorize(&fields, submitted) {
            Page::Html(status, html) => PageContent::Html(status, html),
            Page::See(place) => PageContent::See(place),
        },
    );
    spec.pages.push((paths.authorize, page));
}

fn token(issuer: &DemoIssuer, fields: &[(String, String)]) -> (u16, Value) {
    let answered = match fields.iter().find(|(key, _)| key == "grant_type") {
        Some((_, grant)) if grant == "authorization_code" => issuer.redeem(fields),
        _ => Err(TokenRefused::BadCredentials),
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
