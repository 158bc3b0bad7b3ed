//! What a person's own machine does with their login.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::clock::{System, World};
use crate::identity::login::{
    Access, Cache, Credential, Ending, Key, Login, LoginError, Plan, Prompt, Site, credential,
};
use crate::identity::{Fetch, HttpFetch};
use crate::secret::Secret;
use crate::transport::bridge;

/// Where the server says who a token's bearer is.
const WHOAMI: &str = "/whoami";

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What a command about a login needs.
pub struct Desk {
    /// The server.
    pub site: Site,
    cache: Cache,
    fetch: Arc<dyn Fetch>,
    world: Arc<dyn World>,
}

/// How to log in.
#[derive(Debug, Default)]
pub struct How {
    /// By a code typed elsewhere, even if there is a browser.
    pub device: bool,
    /// In a browser on this machine, even if there seems to be none.
    pub browser: bool,
    /// The client to be.
    pub client_id: Option<String>,
    /// The issuer, where the server has several.
    pub issuer: Option<String>,
}

/// What the person is shown.
#[derive(Debug)]
pub enum Shown<'a> {
    /// An address for a browser on this machine.
    Address(&'a url::Url),
    /// An address and a code for a browser anywhere.
    Code(&'a Prompt),
}

/// Who somebody is, by what is kept here and by what the server says.
#[derive(Debug)]
pub struct Identified {
    /// The login; `None`: the environment gives the credential.
    pub login: Option<Login>,
    /// What the server says.
    pub said: Value,
}

impl Desk {
    /// For this server, else for that of the last login.
    ///
    /// # Errors
    /// The address cannot be one, or there is none.
    pub async fn at(server: Option<&str>) -> Result<Self> {
        let cache = Cache::at(Cache::folder(variable)?);
        #[cfg(feature = "keyring")]
        let cache = cache.with_keyring();
        let site = match server {
            Some(server) => Site::parse(server)?,
            None => cache
                .last()
                .context("which server? Say it with --server URL or TOLLGATE_SERVER")?,
        };
        Ok(Self {
            site,
            cache,
            fetch: Arc::new(HttpFetch::new()),
            world: Arc::new(System::new()),
        })
    }

    fn access(&self) -> Access {
        let (fetch, world) = (Arc::clone(&self.fetch), Arc::clone(&self.world));
        Access::new(self.site.clone(), self.cache.clone(), fetch, world)
    }

    fn credential(&self) -> Result<Arc<dyn Credential>, LoginError> {
        let (fetch, world) = (Arc::clone(&self.fetch), Arc::clone(&self.world));
        credential(self.site.clone(), self.cache.clone(), fetch, world, variable)
    }

    /// Logs a person in; gives what the login is for.
    ///
    /// # Errors
    /// Why not.
    pub async fn login(&self, how: &How, mut show: impl FnMut(Shown<'_>)) -> Result<Key> {
        let (fetch, world) = (self.fetch.as_ref(), self.world.as_ref());
        let plan = Plan::find(fetch, &self.site, how.issuer.as_deref(), how.client_id.as_deref()).await?;
        let remote = !how.browser && !has_browser(&variable);
        let login = if how.device || (remote && plan.has_device()) {
            plan.by_device(fetch, world, |prompt| show(Shown::Code(prompt)))
                .await?
        } else {
            plan.by_browser(fetch, world, |url| show(Shown::Address(url)))
                .await?
        };
        self.access().keep(&login).await?;
        Ok(login.key)
    }

    /// Logs out.
    ///
    /// # Errors
    /// The login cannot be forgotten here.
    pub async fn logout(&self) -> Result<Ending> {
        Ok(self.access().end().await?)
    }

    /// An access token for agents.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn token(&self) -> Result<Secret> {
        Ok(self.credential()?.token().await?)
    }

    /// Asks the server.
    ///
    /// # Errors
    /// Nobody is logged in, or the server does not answer.
    pub async fn whoami(&self) -> Result<Identified> {
        let credential = self.credential()?;
        let url = url::Url::parse(&format!("{}{WHOAMI}", self.site.server()))?;
        let mut token = credential.token().await?;
        let mut renewed = false;
        loop {
            let bearer = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
            let answer = self.fetch.get_as(&url, &bearer).await?;
            match answer.status {
                200 => {
                    return Ok(Identified {
                        login: self.access().login().await.ok(),
                        said: serde_json::from_slice(&answer.body)
                            .context("the server does not say who you are in JSON")?,
                    });
                }
                401 if !renewed => {
                    token = credential.instead(&token).await?;
                    renewed = true;
                }
                401 => bail!(
                    "the server does not take this login: run `tollgate login --server {}`",
                    self.site.server()
                ),
                status => bail!("{url} answered HTTP {status}"),
            }
        }
    }
}

/// Whether a browser can be opened where this runs: not at the far end of an SSH session, and not without
/// a desktop.
fn has_browser(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let desktop = !cfg!(target_os = "linux") || set("DISPLAY") || set("WAYLAND_DISPLAY");
    desktop && !set("SSH_CONNECTION") && !set("SSH_TTY")
}

/// Carries MCP between standard input and output and a server, with the person's login or the job's
/// identity, until the input ends.
///
/// # Errors
/// What keeps it from starting. Being logged out does not: agents are told.
pub async fn bridge(server: &str) -> Result<()> {
    let desk = Desk::at(Some(server)).await?;
    let spec = bridge::BridgeSpec::new(
        desk.site.server().to_owned(),
        desk.site.resource().clone(),
        desk.credential()?,
        Arc::clone(&desk.world),
    );
    bridge::serve(spec, crate::transport::stdio::process(), super::on_signals()?).await?;
    Ok(())
}
