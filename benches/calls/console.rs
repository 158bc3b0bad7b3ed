//! What a reviewer's browser waits for: pages and lists of the control side, over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate::app::{App, http_client};
use tollgate::clock::{System, World};
use tollgate::demo::CONTROL;
use url::Url;

use crate::site::Site;
use crate::table::{Times, micros};

/// What a list may take, however many requests wait.
pub(crate) const AIM: Duration = Duration::from_millis(50);

/// Both sides of a server in this process.
pub(crate) struct Serving {
    control: Url,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

/// One signed-in reviewer's browser, and their ID token for programs.
pub(crate) struct Reader {
    http: reqwest::Client,
    control: Url,
    cookies: BTreeMap<String, String>,
    token: String,
}

impl Serving {
    pub(crate) async fn start(
        app: App,
        agents: SocketAddr,
        (listen, url): (SocketAddr, Url),
    ) -> Result<Self> {
        let agents = tokio::net::TcpListener::bind(agents).await?;
        let people = tokio::net::TcpListener::bind(listen).await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(app.serve_both(agents, Some(people), stop.clone()));
        let control = url;
        Ok(Self { control, stop, task })
    }

    /// The second person of the site's group signs in as in a browser.
    pub(crate) async fn reader(&self, site: &Site) -> Result<Reader> {
        let mut reader = Reader {
            http: http_client()?,
            control: self.control.clone(),
            cookies: BTreeMap::new(),
            token: site.reviewer(CONTROL),
        };
        let page = reader.open("/sign-in?back=/approvals").await?;
        ensure!(page.contains("<h1>Requests</h1>"), "not signed in: {page}");
        Ok(reader)
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.stop.cancel();
        self.task.await?
    }
}

impl Reader {
    /// Follows redirects; gives the page.
    async fn open(&mut self, path: &str) -> Result<String> {
        let mut url = self.control.join(path)?;
        for _ in 0..10 {
            let ours = url.origin() == self.control.origin();
            let mut request = self.http.get(url.clone());
            if ours {
                request = request.header(COOKIE, self.cookies());
            }
            let answer = request.send().await?;
            for cookie in answer.headers().get_all(SET_COOKIE).iter().filter(|_| ours) {
                let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
                let (name, value) = pair.split_once('=').context("a cookie")?;
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
            let Some(next) = answer.headers().get(LOCATION) else {
                return Ok(answer.text().await?);
            };
            url = url.join(next.to_str()?)?;
        }
        anyhow::bail!("round and round at {url}")
    }

    fn cookies(&self) -> String {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    /// So many times each: the pages and the list of the API, read whole. Gives the slowest at p95, too.
    pub(crate) async fn times(&self, world: &System, count: u32) -> Result<(Vec<Vec<String>>, Duration)> {
        let cookies = (COOKIE, self.cookies());
        let bearer = (AUTHORIZATION, format!("Bearer {}", self.token));
        let (mut rows, mut slowest) = (Vec::new(), Duration::ZERO);
        for (name, path, credential) in [
            ("GET /approvals", "/approvals", &cookies),
            ("GET /approvals?show=waiting", "/approvals?show=waiting", &cookies),
            (
                "GET /api/approvals?show=waiting",
                "/api/approvals?show=waiting",
                &bearer,
            ),
        ] {
            let mut times = Times::default();
            for _ in 0..count {
                let request = self.http.get(self.control.join(path)?);
                let start = world.monotonic();
                let answer = request.header(credential.0.clone(), &credential.1).send().await?;
                let status = answer.status();
                let text = answer.text().await?;
                times.add(world.monotonic() - start);
                ensure!(
                    status.is_success() && text.contains("crowd-"),
                    "{path}: {status}: {text}"
                );
            }
            let p95 = times.percentile(95);
            slowest = slowest.max(p95);
            rows.push(vec![name.to_owned(), micros(times.percentile(50)), micros(p95)]);
        }
        Ok((rows, slowest))
    }
}
