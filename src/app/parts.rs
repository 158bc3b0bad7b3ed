//! The parts of one Tollgate, put together once: configuration in, a gate and its surroundings out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::approval::Approvals;
use crate::attempts::Attempts;
use crate::audit::{Audit, AuditSpec, DiskRule, StartReport, load_or_create_key};
use crate::call::{Caller, Confirmation, Hash, ResourceCard};
use crate::clock::{System, World};
use crate::config::{self, Config, Kind};
use crate::gate::Gate;
use crate::identity::issuer::DemoIssuer;
use crate::identity::security_keys::SecurityKeys;
use crate::identity::services::Services;
use crate::identity::{DEMO, install_tls_provider};
use crate::mask::Mask;
use crate::meter::{Meter, Metered};
use crate::policy::{Policies, Scene};
use crate::resource::{Resource, Resources, git, shell, sql::sqlite};
use crate::seats::Seats;
use crate::store::Store;
use crate::tool::Tools;
use crate::transport::http::HttpSpec;

/// How long a delivery note or a cancellation may wait to be written.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Every so many of them the head is signed as well: once a minute.
const CHECKPOINT_TICKS: u64 = 60;
/// Every so many of them old approvals go: once an hour.
const PRUNE_TICKS: u64 = 3600;

/// What the parts are for; decides what is refused at the start.
#[derive(Debug)]
pub enum Purpose {
    /// MCP over HTTP for an organisation.
    Serve,
    /// MCP over standard input and output for the local user.
    Stdio,
    /// The demo, with its own issuer.
    Demo(Arc<DemoIssuer>),
}

impl Purpose {
    fn issuer(self) -> Option<Arc<DemoIssuer>> {
        match self {
            Self::Demo(issuer) => Some(issuer),
            Self::Stdio | Self::Serve => None,
        }
    }
}

/// A Tollgate, ready to serve.
pub struct App {
    /// The path of a call.
    pub gate: Arc<Gate>,
    /// What it was made from.
    pub config: Config,
    pub(super) world: Arc<dyn World>,
    demo: Option<Arc<DemoIssuer>>,
    pub(super) services: Arc<Services>,
    pub(super) facade: Option<Arc<super::facade::Server>>,
    pub(super) store: Store,
    /// What each address tries, on every listener.
    pub(super) attempts: Arc<Attempts>,
    /// People's security keys, where approving needs one.
    pub(super) security_keys: Option<Arc<SecurityKeys>>,
}

impl App {
    /// Opens and checks every part.
    ///
    /// # Errors
    /// The first part that refuses to start, with what to do about it.
    pub async fn build(config: Config, purpose: Purpose) -> Result<Self> {
        let world: Arc<dyn World> = Arc::new(System::new());
        let mask = super::mask();
        let serves = !matches!(purpose, Purpose::Stdio);
        let people = serves && config.server.control.is_some();
        if matches!(purpose, Purpose::Serve) {
            refuse_demo_issuer(&config)?;
        }
        let cards = cards(&config);
        let tools = super::databases::tools(&config, &cards, &world)?;
        let policies = policies(&config, cards, &tools)?;
        if !policies.current().run_tests().passed() {
            bail!("the decision tests of the policies fail; run `tollgate policy test`");
        }
        let resources = resources(&config, &world)?;
        let (identity, services, facade) = super::facade::identity(&config, &tools, serves, &world).await?;
        let file = std::fs::read(&config.file).with_context(|| format!("read {}", config.file.display()))?;
        let start = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "policies": policies.current().digest(),
            "config": Hash::of(&file),
        });
        // Last, so that a start that is refused is not on record as one.
        let (audit, store, journal) = audit(&config, &mask, &world, start).await?;
        interrupted(&journal);
        let meter = Meter::default();
        let approvals = match people {
            true => approvals(&config, &store, (&audit, &meter), &world).await?,
            false => Approvals::new(),
        };
        let security_keys = super::security_keys::security_keys(&config, &store, &audit, &world)?;
        let gate = Gate {
            identity,
            tools,
            policies,
            approvals,
            resources,
            mask,
            audit,
            seats: Seats::new(seats(config.limits.calls), seats(config.limits.calls_per_person)),
            lookups: super::databases::lookups(&config, &store, &world),
            meter,
        };
        Ok(Self {
            gate: Arc::new(gate),
            config,
            attempts: Arc::new(Attempts::new(world.clone())),
            world,
            demo: purpose.issuer(),
            services,
            security_keys,
            facade,
            store,
        })
    }

    /// Serves MCP over HTTP on `listener` until `shutdown` fires, drains, and closes the journal.
    ///
    /// # Errors
    /// What the listener or the journal says.
    pub async fn serve(self, listener: tokio::net::TcpListener, shutdown: CancellationToken) -> Result<()> {
        self.serve_both(listener, None, shutdown).await
    }

    /// The same, with the people's side on a listener of its own.
    ///
    /// # Errors
    /// What a listener or the journal says.
    pub async fn serve_both(
        self,
        listener: tokio::net::TcpListener,
        control: Option<tokio::net::TcpListener>,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let mut spec = HttpSpec::new(self.config.server.public_url.clone(), self.world.clone());
        spec.max_body_bytes = usize::try_from(self.config.limits.body_bytes).unwrap_or(usize::MAX);
        spec.attempts = self.attempts.clone();
        spec.trusted_proxies
            .clone_from(&self.config.server.trusted_proxies);
        spec.leave_within = self.config.server.leave;
        if self.config.server.has_unnamed_proxy() {
            spec.max_connections_per_address = spec.max_connections; // they are all the proxy's
        }
        if let Some(issuer) = &self.demo {
            let annex = super::demo::Pages::new(issuer.clone(), self.attempts.clone());
            spec.annexes.push(Arc::new(annex));
        }
        if let Some(facade) = &self.facade {
            spec.annexes.push(facade.clone());
        }
        self.gate.resources.look().await;
        let keeper = self.keep_journal();
        let stop = CancellationToken::new();
        let mut tellers = self.tell(stop.clone())?;
        let slack = super::slack::slack(&self.config, &self.gate, &self.store, &self.world)?;
        tellers.extend(slack.clone().map(|slack| tokio::spawn(slack.run(stop.clone()))));
        let (approvals, stops) = (self.gate.approvals.clone(), shutdown.clone());
        let leaving = tokio::spawn(async move {
            stops.cancelled().await;
            approvals.leave();
        });
        let people = self.control_side(control, slack, shutdown.clone());
        let agents = crate::transport::http::serve(self.gate.clone(), spec, listener, shutdown);
        let (served, decided) = tokio::join!(agents, people);
        leaving.abort();
        stop.cancel();
        for teller in tellers {
            teller.await?;
        }
        self.close(keeper).await?;
        served?;
        Ok(decided?)
    }

    /// Serves MCP over standard input and output until it ends or `shutdown` fires.
    ///
    /// # Errors
    /// What the transport or the journal says.
    pub async fn stdio(self, shutdown: CancellationToken) -> Result<()> {
        use crate::transport::stdio;
        self.gate.resources.look().await;
        let keeper = self.keep_journal();
        let principal = self.gate.identity.local();
        let spec = stdio::StdioSpec::new(self.world.clone());
        let served = stdio::serve(self.gate.clone(), principal, spec, stdio::process(), shutdown).await;
        self.close(keeper).await?;
        Ok(served?)
    }

    /// Signs the journal's head and closes it, after whatever its keeper is at.
    async fn close(self, keeper: Keeper) -> Result<()> {
        keeper.stop.cancel();
        keeper.task.await?;
        self.gate.audit.close().await.context("the last checkpoint")?;
        Ok(())
    }

    /// What the journal needs now and then, also when nobody calls: what waits for company is
    /// written, and a quiet journal is signed too.
    fn keep_journal(&self) -> Keeper {
        let audit = self.gate.audit.clone();
        let gate = self.gate.clone();
        let facade = self.facade.clone();
        let attempts = self.attempts.clone();
        let changes = self.store.changes();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut second = tokio::time::interval(FLUSH_EVERY);
            second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut ticks = 0_u64;
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return,
                    _ = second.tick() => ticks += 1,
                    () = changes.next() => {
                        gate.approvals.wake();
                        if let Some(facade) = &facade {
                            keep_sessions(facade, false).await;
                        }
                        continue;
                    }
                }
                let pruning = ticks.is_multiple_of(PRUNE_TICKS);
                keep_approvals(&gate, pruning).await;
                if let Some(facade) = &facade {
                    keep_sessions(facade, pruning).await;
                }
                let signing = ticks.is_multiple_of(CHECKPOINT_TICKS);
                let kept = if signing {
                    audit.checkpoint().await
                } else {
                    audit.flush().await
                };
                if let Err(error) = kept {
                    tracing::error!("the journal: {error}");
                }
                share(&audit, &gate, &attempts);
            }
        });
        Keeper { stop, task }
    }
}

/// Each replica has its part of what strangers may try and of a person's seats.
fn share(audit: &Audit, gate: &Gate, attempts: &Attempts) {
    attempts.shared_by(audit.replicas());
    gate.seats.shared_by(audit.replicas());
}

/// Says what an earlier stop cut off.
fn interrupted(journal: &StartReport) {
    for call in &journal.interrupted {
        tracing::warn!(
            call_id = call.call_id,
            tool = call.tool,
            user = call.user,
            "interrupted by an earlier stop"
        );
    }
}

/// What approvals need now and then: deadlines, what other processes left, calls nobody waits for.
async fn keep_approvals(gate: &Arc<Gate>, pruning: bool) {
    let kept = async {
        gate.approvals.tick().await?;
        if pruning {
            gate.approvals.prune().await?;
        }
        gate.approvals.unattended_due().await
    };
    let due = match kept.await {
        Ok(due) => due,
        Err(error) => return tracing::error!("approvals: {error}"),
    };
    for arrival in due {
        let gate = gate.clone();
        tokio::spawn(async move {
            let call_id = arrival.call_id.clone();
            if gate.call(arrival, &Nobody).await.is_err() {
                tracing::warn!(%call_id, "an approved call names a tool that is gone");
            }
        });
    }
}

/// What sessions need now and then: to hear of ends elsewhere, and that what is over goes.
async fn keep_sessions(facade: &super::facade::Server, pruning: bool) {
    let kept = async {
        facade.watch().await?;
        if pruning {
            facade.prune().await?;
        }
        Ok::<_, crate::store::StoreError>(())
    };
    if let Err(error) = kept.await {
        tracing::error!("sessions: {error}");
    }
}

/// Who is at the other end of a call that the server carries out by itself.
struct Nobody;

impl Caller for Nobody {
    fn confirm<'a>(&'a self, _prompt: &'a str) -> BoxFuture<'a, Confirmation> {
        Box::pin(std::future::ready(Confirmation::Unavailable))
    }
}

/// What looks after the journal while the server runs.
struct Keeper {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// The one client for outgoing HTTP, with limits.
///
/// # Errors
/// When the TLS provider cannot be set up.
pub fn http_client() -> Result<reqwest::Client> {
    install_tls_provider();
    Ok(reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .no_proxy()
        .build()?)
}

pub(super) fn refuse_demo_issuer(config: &Config) -> Result<()> {
    if config.issuers.iter().any(|issuer| issuer.name == DEMO) {
        bail!(
            "{}: the issuer `demo` exists only inside `tollgate demo`; name your identity provider in [[issuer]]",
            config.file.display()
        );
    }
    Ok(())
}

/// What may be said of each configured resource.
#[must_use]
pub(super) fn cards(config: &Config) -> Vec<ResourceCard> {
    config
        .resources
        .iter()
        .map(|resource| ResourceCard {
            name: resource.name.clone(),
            kind: resource.resource_kind(),
            description: resource.description.clone(),
            labels: resource.labels.iter().cloned().collect(),
        })
        .collect()
}

/// Loads the policies for this configuration.
///
/// # Errors
/// Every fault in the folder, with file and line.
fn policies(config: &Config, resources: Vec<ResourceCard>, tools: &Tools) -> Result<Policies> {
    Ok(Policies::load(
        &config.policies.dir,
        scene(config, resources, tools),
        config.policies.candidate.as_deref(),
    )?)
}

/// What policies may speak of under this configuration.
#[must_use]
pub(super) fn scene(config: &Config, resources: Vec<ResourceCard>, tools: &Tools) -> Scene {
    Scene {
        resources,
        groups: config.groups.keys().cloned().collect(),
        classes: config
            .classes
            .keys()
            .cloned()
            .chain(["unlisted".to_owned()])
            .collect(),
        tools: tools.decided().map(str::to_owned).collect::<BTreeSet<_>>(),
        limits: config.limits.call,
    }
}

/// Opens one configured resource.
///
/// # Errors
/// What is wrong with it.
pub(super) fn open(config: &Config, resource: &config::Resource, world: &Arc<dyn World>) -> Result<Resource> {
    let opened = match &resource.kind {
        Kind::Git(git) => Resource::Git(
            git::Repository::open(git::Spec {
                name: resource.name.clone(),
                path: git.path.clone(),
                refs: git.refs.clone(),
                hidden: git.hidden.clone(),
                limits: config.limits.call,
                conceal: super::mask(),
            })
            .map_err(|error| anyhow::anyhow!("{error}"))?,
        ),
        Kind::Sqlite(sqlite) => Resource::Sqlite(
            sqlite::Database::open(
                sqlite::Spec {
                    name: resource.name.clone(),
                    path: sqlite.path.clone(),
                    columns: sqlite.columns.clone(),
                    columns_default: sqlite.columns_default,
                    classes: config.classes.clone(),
                    tokens: super::databases::token_key(config, &sqlite.columns, world)?,
                    limits: config.limits.call,
                },
                world.clone(),
            )
            .map_err(|error| anyhow::anyhow!("{error}"))?,
        ),
        Kind::Postgres(postgres) => super::databases::postgres(config, &resource.name, postgres, world)?,
        Kind::Mysql(mysql) => super::databases::mysql(config, &resource.name, mysql, world)?,
        Kind::Shell(shell) => Resource::Shell(Box::new(
            shell::Folder::open(
                shell::Spec {
                    name: resource.name.clone(),
                    workdir: shell.workdir.clone(),
                    programs: shell.programs.clone(),
                    bounds: shell::Bounds::default(),
                    helper: helper()?,
                    screen: super::mask(),
                },
                world.clone(),
            )
            .with_context(|| format!("{}", shell.workdir.display()))?,
        )),
    };
    if let Resource::Shell(folder) = &opened
        && let Err(fault) = folder.layers()
    {
        tracing::warn!(resource = resource.name, "commands are refused: {fault}");
    }
    Ok(opened)
}

/// The program that is started again inside sandboxes: this one. What only links the library (a test, a
/// benchmark) is not it, but is built into a folder below or beside it.
fn helper() -> Result<std::path::PathBuf> {
    let this = std::env::current_exe().context("this program's own file")?;
    let beside = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("tollgate"));
    Ok(beside.into_iter().find(|path| path.is_file()).unwrap_or(this))
}

/// Opens every configured resource.
///
/// # Errors
/// The first one that does not open, with what is wrong with it.
fn resources(config: &Config, world: &Arc<dyn World>) -> Result<Resources> {
    let mut opened = Vec::new();
    for (resource, card) in config.resources.iter().zip(cards(config)) {
        let open = open(config, resource, world).with_context(|| format!("resource `{}`", resource.name))?;
        opened.push((card, open));
    }
    Ok(Resources::new(opened))
}

fn seats(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Opens the store and the journal in it.
pub(super) async fn audit(
    config: &Config,
    mask: &Arc<Mask>,
    world: &Arc<dyn World>,
    start: Value,
) -> Result<(Audit, Store, StartReport)> {
    let store = super::store::open(config).await?;
    let key = load_or_create_key(&config.audit.key_file, &config.audit.origin, world.as_ref())?;
    let mut disk = DiskRule::of(&store);
    (disk.warn_below, disk.refuse_below) = (config.audit.disk_warn, config.audit.disk_floor);
    let spec = AuditSpec {
        key,
        checkpoint_every: config.audit.checkpoint_every,
        publish: config.audit.checkpoint_file.clone(),
        disk,
        start,
    };
    let (audit, report) = Audit::start(store.clone(), spec, mask.clone(), world.clone()).await?;
    Ok((audit, store, report))
}

/// People's approvals, with what earlier processes left of them settled.
async fn approvals(
    config: &Config,
    store: &Store,
    (audit, meter): (&Audit, &Meter),
    world: &Arc<dyn World>,
) -> Result<Approvals> {
    super::desk::channels(config)?; // a secret that is none refuses the start
    let url = config.server.control.as_ref().map(|control| control.url.clone());
    let ledger = Arc::new(Metered {
        ledger: Arc::new(audit.clone()),
        meter: meter.clone(),
    });
    let approvals = Approvals::with_people(store, ledger, world.clone(), config.approval, url);
    for id in approvals.tick().await.context("approvals")? {
        tracing::warn!(
            approval = %id,
            "an approved call was cut off by an earlier stop: nobody knows what became of it"
        );
    }
    approvals.prune().await.context("approvals")?;
    Ok(approvals)
}
