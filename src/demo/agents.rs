//! Agents of the demo: each gets its token as agents do, by its person signing in.

use anyhow::{Context, Result};
use url::Url;

use super::browser::Browser;
use crate::clock::System;
use crate::identity::HttpFetch;
use crate::identity::login::{Plan, Site};

/// The access token of an agent at `endpoint`, after `user` has signed in for it with `secret` and agreed.
///
/// # Errors
/// When the facade or the identity provider does not let them in.
pub async fn token(endpoint: &str, user: &str, secret: &str) -> Result<String> {
    let (fetch, world) = (HttpFetch::new(), System::new());
    let plan = Plan::find(&fetch, &Site::parse(endpoint)?, None, None).await?;
    let mut browser = Browser::new()?;
    let (user, secret) = (user.to_owned(), secret.to_owned());
    let (told, opened) = tokio::sync::oneshot::channel::<Url>();
    let person = async move {
        let page = opened.await.context("there is no page to sign in at")?;
        browser.sign_in(&page, &user, &secret).await
    };
    let login = plan.by_browser(&fetch, &world, |page| {
        let _ = told.send(page.clone());
    });
    let (login, person) = tokio::join!(login, person);
    person.context("signing in")?;
    Ok(login?.access().expose().to_owned())
}
