//! `tollgate doctor identity`: every configured issuer, asked.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use url::Url;

use super::identity::{facade_url, resolved, saml_spec, spec};
use crate::clock::{System, World};
use crate::config::{self, Config, Mode};
use crate::identity::doctor::{self, ClientSpec, Findings};
use crate::identity::people::terminal;
use crate::identity::{DEMO, Fetch, HttpFetch, IssuerSpec};
use crate::secret::{Secret, SecretRef};

/// Where terminals take their answers; of a loopback address the port varies.
const LOOPBACK: &str = "http://127.0.0.1/callback";

/// What was found out about one issuer.
#[derive(Debug, Serialize)]
pub struct Examined {
    /// Its configured name.
    pub issuer: String,
    /// What was found, in order.
    pub findings: Findings,
}

/// Examines every issuer, or the one of that name.
///
/// # Errors
/// A configuration that identity does not understand, or a name that is no issuer's.
pub async fn doctor_identity(config: &Config, only: Option<&str>) -> Result<Vec<Examined>> {
    let specs = spec(config)?.issuers;
    let (fetch, world) = surroundings();
    let mut all = Vec::new();
    for (issuer, spec) in config.issuers.iter().zip(&specs) {
        if issuer.name == DEMO || only.is_some_and(|only| only != issuer.name) {
            continue;
        }
        if let Mode::Saml { metadata } = &issuer.mode {
            let unchecked = config
                .facade
                .as_ref()
                .map_or(Duration::ZERO, |facade| facade.unchecked);
            let spec = saml_spec(config, issuer, metadata)?;
            all.push(Examined {
                issuer: issuer.name.clone(),
                findings: doctor::examine_saml(&world, &spec, unchecked),
            });
            continue;
        }
        let clients = clients(config, issuer)?;
        all.push(Examined {
            issuer: issuer.name.clone(),
            findings: doctor::examine((&fetch, &world), spec, &clients).await,
        });
    }
    if all.is_empty() {
        bail!("there is no such [[issuer]]");
    }
    Ok(all)
}

/// Signs the person at this terminal in at one issuer, with their own browser, and reads what it says.
///
/// # Errors
/// No such issuer, no client that a terminal can use, or why nobody was signed in.
pub async fn doctor_login(
    config: &Config,
    issuer: Option<&str>,
    client: Option<&str>,
    show: impl FnOnce(&Url),
) -> Result<Examined> {
    let whole = spec(config)?;
    let fits = |one: &&IssuerSpec| match issuer {
        Some(name) => one.name == name,
        None => one.name != DEMO,
    };
    let found: Vec<&IssuerSpec> = whole.issuers.iter().filter(fits).collect();
    let [issuer] = found.as_slice() else {
        bail!("say with --issuer where to sign in: there is none of that name, or several issuers");
    };
    let configured = config.issuers.iter().find(|one| one.name == issuer.name);
    let configured = configured.context("there is no such [[issuer]]")?;
    if matches!(configured.mode, Mode::Saml { .. }) {
        bail!(
            "issuer `{}` signs people in by SAML, which has no sign-in for a terminal: try it by `tollgate login --server {}`",
            issuer.name,
            facade_url(config)
        );
    }
    let client = client.map(str::to_owned).or_else(|| public_client(configured));
    let client = client.with_context(|| {
        format!(
            "the client of `{}` has a secret, which no terminal should have: register a public client with redirect URI {LOOPBACK} there and name it with --client",
            issuer.name
        )
    })?;
    let (fetch, world) = surroundings();
    let at = terminal::At {
        issuer: &issuer.url,
        client_id: &client,
        acr_values: &issuer.control_acr,
    };
    let token = terminal::sign_in(fetch.as_ref(), world.as_ref(), at, show).await;
    let token = token.with_context(|| {
        format!("signing in with client `{client}` (its redirect URI must be {LOOPBACK}, any port)")
    })?;
    Ok(Examined {
        issuer: issuer.name.clone(),
        findings: doctor::read_login((&fetch, &world), issuer, &whole.groups, &token).await,
    })
}

fn surroundings() -> (Arc<dyn Fetch>, Arc<dyn World>) {
    (Arc::new(HttpFetch::new()), Arc::new(System::new()))
}

/// A client without secret, which a terminal can be.
fn public_client(issuer: &config::Issuer) -> Option<String> {
    match &issuer.mode {
        Mode::Bearer {
            login_client: Some(client),
            ..
        } => Some(client.clone()),
        Mode::Facade(client) if client.secret.is_none() => Some(client.id.clone()),
        _ if issuer.control_client_secret.is_none() => issuer.control_audience.clone(),
        _ => None,
    }
}

/// Every client that we are at an issuer.
fn clients(config: &Config, issuer: &config::Issuer) -> Result<Vec<ClientSpec>> {
    let secret = |reference: &Option<SecretRef>| reference.as_ref().map(resolved).transpose();
    let about = |error: anyhow::Error| anyhow::anyhow!("issuer `{}`: a client secret {error}", issuer.name);
    let mut clients = Vec::new();
    let mut add = |purpose, id: &str, secret: Option<Secret>, redirect_uri: String, scopes: &[String]| {
        clients.push(ClientSpec {
            purpose,
            id: id.to_owned(),
            secret,
            redirect_uri,
            scopes: scopes.to_vec(),
        });
    };
    let openid = ["openid".to_owned()];
    match &issuer.mode {
        Mode::Facade(client) => {
            let place = format!(
                "{}{}{}",
                facade_url(config),
                crate::identity::facade::path::CALLBACK,
                issuer.name
            );
            add(
                "agents",
                &client.id,
                secret(&client.secret).map_err(about)?,
                place,
                &client.scopes,
            );
        }
        Mode::Bearer {
            login_client: Some(client),
            ..
        } => add("tollgate login", client, None, LOOPBACK.to_owned(), &openid),
        Mode::Bearer { .. } | Mode::Saml { .. } => {}
    }
    if let (Some(client), Some(control)) = (&issuer.control_audience, &config.server.control) {
        let place = format!("{}signed-in/{}", control.url, issuer.name);
        let secret = secret(&issuer.control_client_secret).map_err(about)?;
        add("people who decide", client, secret, place, &openid);
    }
    Ok(clients)
}
