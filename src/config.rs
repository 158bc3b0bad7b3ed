//! `tollgate.toml`: read, checked as a whole, and turned into plain data. Nothing is opened here.
//!
//! [`Config::load`] either gives a configuration in which every value is checked, or a
//! [`ConfigError`] with every problem found: file, line, column, what was wrong, what to write. An
//! unknown key, kind or class, a literal secret, or a file somebody else could change is a refusal
//! to start, never a warning (incident rows 17 and 19). Keys: `docs/configuration.md`.

mod channels;
mod check;
mod error;
mod facade;
pub mod gaps;
pub mod guard;
mod issuers;
mod mail;
mod masking;
mod names;
mod mysql;
mod postgres;
mod raw;
mod resources;
mod slack;
pub mod telemetry;
mod vouching;
mod webauthn;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::call::{Limits as CallLimits, ResourceKind};
use crate::resource::sql::{ColumnsDefault, MaskStyle};
use crate::secret::SecretRef;
use crate::store::Address;

pub use error::{ConfigError, Problem};
pub use mail::{Mail, MailTls};
pub(crate) use names::suggest;
pub use slack::{Slack, SlackDelivery};

/// Everything the configuration file says, checked, with relative paths made absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// `[server]`.
    pub server: Server,
    /// `[store]`.
    pub store: Store,
    /// `[[issuer]]`, in order; names and URLs are distinct.
    pub issuers: Vec<Issuer>,
    /// `[facade]`: there whenever an issuer's mode needs it.
    pub facade: Option<Facade>,
    /// `[scopes]`: OAuth scope = tools that need it. Empty: no tool needs one.
    pub scopes: BTreeMap<String, BTreeSet<String>>,
    /// `[groups]`: local name = claims that put a user into it.
    pub groups: BTreeMap<String, Vec<Claim>>,
    /// `[policies]`.
    pub policies: Policies,
    /// `[tools]`; `None` means no declared tools.
    pub tools: Option<PathBuf>,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[resource]]`, in order; names are distinct.
    pub resources: Vec<Resource>,
    /// `[classes]`: how each class of column looks when masked.
    pub classes: BTreeMap<String, MaskStyle>,
    /// The file of the key of tokens that are made here; made when it is needed first.
    pub token_key_file: PathBuf,
    /// `[approval]`, without its channels.
    pub approval: crate::approval::Settings,
    /// `[[approval.channel]]` of kind `webhook`: told of every transition; they decide nothing but by callback.
    pub webhooks: Vec<Webhook>,
    /// `[[approval.channel]]` of kind `teams`: people are told of what waits for them, with a link.
    pub teams: Vec<Teams>,
    /// `[[approval.channel]]` of kind `mail`: at most one. The same by e-mail.
    pub mail: Option<Mail>,
    /// `[[approval.channel]]` of kind `slack`: at most one, since an installation is one app.
    pub slack: Option<Slack>,
    /// `[audit]`.
    pub audit: Audit,
    /// `[telemetry]`: where traces and log lines go, if anywhere.
    pub telemetry: Option<telemetry::Telemetry>,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where MCP over HTTP listens.
    pub listen: SocketAddr,
    /// What clients call it: scheme and host, `/` as path. `https` unless the host is loopback.
    pub public_url: Url,
    /// The people's side (approvals): listener, host name, and nothing an agent's token opens.
    pub control: Option<Control>,
    /// Where metrics and probes are answered, to anybody who reaches it.
    pub metrics_listen: Option<SocketAddr>,
    /// Whose `X-Forwarded-For` is believed when attempts are counted by address.
    pub trusted_proxies: Vec<IpAddr>,
    /// How long requests are still taken after it was told to stop.
    pub leave: Duration,
}

impl Server {
    /// Whether something in front of us speaks TLS (we do not) and is not in `trusted_proxies`: every
    /// connection then comes from its address.
    #[must_use]
    pub fn has_unnamed_proxy(&self) -> bool {
        self.public_url.scheme() == "https" && self.trusted_proxies.is_empty()
    }

    /// The canonical URI of the MCP endpoint, `<public_url>/mcp`: also the default token audience
    /// (RFC 8707, RFC 9728 `resource`).
    #[must_use]
    pub fn mcp_url(&self) -> String {
        format!("{}mcp", self.public_url)
    }
}

/// `control_listen` and `control_url`: always both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Where it listens; never the address of `listen`.
    pub listen: SocketAddr,
    /// Its own host name, so that cookies of one side never reach the other.
    pub url: Url,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The SQLite file, or the PostgreSQL server, of the server's own store.
    pub address: Address,
    /// The password at the server.
    pub password: Option<SecretRef>,
}

/// `[[issuer]]`: somebody whose access tokens are accepted over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The name used in user ids and `[groups]`: `[a-z0-9_-]`, at most 63.
    pub name: String,
    /// Exactly what `iss` must be; not normalised, because the comparison is by character.
    pub url: String,
    /// How people and agents come in through it.
    pub mode: Mode,
    /// What `aud` must contain.
    pub audience: String,
    /// The audience of the people's side, which is an OpenID Connect client of this issuer; never the
    /// same as `audience`. `None`: nobody of this issuer decides anything.
    pub control_audience: Option<String>,
    /// That client's secret, where it has one.
    pub control_client_secret: Option<SecretRef>,
    /// Authentication context classes (`acr_values`) asked for when people sign in to decide.
    pub control_acr: Vec<String>,
    /// JSON pointer (RFC 6901) to the groups. `None`: this issuer gives no groups, and no group names it.
    pub groups_claim: Option<String>,
    /// A groups claim with exactly this many entries counts as cut off; `None` for an issuer known not to.
    pub groups_cut_at: Option<usize>,
    /// Accepted signature algorithms (JWA names), all asymmetric.
    pub algorithms: Vec<String>,
    /// Accept `typ: JWT` or no `typ`, from an issuer that cannot set `at+jwt`.
    pub accept_typ_jwt: bool,
    /// Accept tokens without any `aud` from the clients of `client_ids`, which then are there.
    pub accept_missing_aud: bool,
    /// The claim that names the person; `sub` unless the issuer gives each client another one.
    pub subject_claim: String,
    /// Where tokens that are no JWT are asked about, for an issuer that does not say.
    pub introspection_endpoint: Option<String>,
    /// The clients whose tokens are accepted; `None` is any, never empty.
    pub client_ids: Option<BTreeSet<String>>,
    /// Scopes every token must carry.
    pub required_scopes: Vec<String>,
    /// Claims every token must carry, and the texts each may be; no list is empty.
    pub required_claims: BTreeMap<String, BTreeSet<String>>,
    /// Whoever it vouches for is a service.
    pub services: bool,
    /// Where the keys are, for an issuer without a discovery document or with keys on another host.
    pub jwks_uri: Option<String>,
    /// Tokens valid for longer than this many seconds from now are refused.
    pub max_lifetime_seconds: u64,
}

/// How people and agents come in through an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Agents bring access tokens that the issuer signed, or can be asked about.
    Bearer {
        /// As whom we ask about opaque tokens (RFC 7662); `None`: they are refused.
        opaque: Option<Client>,
        /// The public client `tollgate login` uses there.
        login_client: Option<String>,
    },
    /// People sign in there; agents get tokens of ours.
    Facade(Client),
    /// The same, by SAML 2.0.
    Saml {
        /// The identity provider's metadata, a file.
        metadata: PathBuf,
    },
}

impl Mode {
    /// Whether agents get tokens of ours.
    #[must_use]
    pub fn is_facade(&self) -> bool {
        !matches!(self, Self::Bearer { .. })
    }
}

/// A client of ours at an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The client id the issuer gave us.
    pub id: String,
    /// Its secret; `None` for a public client.
    pub secret: Option<SecretRef>,
    /// The scopes asked for; always with `openid`.
    pub scopes: Vec<String>,
    /// Authentication context classes asked for (`acr_values`).
    pub acr: Vec<String>,
}

/// `[facade]`: the authorization server that agents' programs talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facade {
    /// Seals what providers give us for asking again: the first; the others still open.
    pub keys: Vec<SecretRef>,
    /// How long an access token lives.
    pub access: Duration,
    /// How long a session may be unused.
    pub idle: Duration,
    /// How long a session may last.
    pub session: Duration,
    /// The provider has said within this time that the person is still there, or no token works.
    pub recheck: Duration,
    /// How long a session may last where the provider cannot be asked.
    pub unchecked: Duration,
    /// Whether clients may register themselves (RFC 7591).
    pub registration: bool,
    /// Clients that are known by a document at their id; `None`: not accepted.
    pub documents: Option<ClientDocuments>,
    /// Clients that are configured.
    pub clients: Vec<FacadeClient>,
}

/// Client-ID metadata documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDocuments {
    /// Hosts they may be on, in lower case; `None` is any public one, an empty set none.
    pub hosts: Option<BTreeSet<String>>,
    /// Whether they may be at private addresses.
    pub allow_private: bool,
}

/// `[[facade.client]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacadeClient {
    /// What the program sends as `client_id`.
    pub id: String,
    /// What people are shown.
    pub name: String,
    /// Exact redirect URIs; of a loopback one the port may vary.
    pub redirect_uris: Vec<Url>,
}

/// One entry of a group: a claim of a named issuer, or a local user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// A configured issuer, or `local`.
    pub issuer: String,
    /// The group as the issuer writes it; for `local` a user name of the operating system.
    pub value: String,
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.issuer, self.value)
    }
}

/// `[policies]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// The folder of the deciding policies.
    pub dir: PathBuf,
    /// A folder whose decisions are only compared and journalled.
    pub candidate: Option<PathBuf>,
}

/// `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The upper bounds of one call.
    pub call: CallLimits,
    /// Calls under way at once, in all.
    pub calls: u32,
    /// Calls under way at once, per person.
    pub calls_per_person: u32,
    /// Values one person may look up in an hour.
    pub lookups_per_hour: u64,
    /// Bytes of one HTTP request body.
    pub body_bytes: u64,
}

/// `[[resource]]`.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The name agents pass as `resource`.
    pub name: String,
    /// What it is, for people and models.
    pub description: String,
    /// Words policies can speak of.
    pub labels: Vec<String>,
    /// The rest, which depends on the kind.
    pub kind: Kind,
}

impl Resource {
    /// The kind as one word.
    #[must_use]
    pub fn resource_kind(&self) -> ResourceKind {
        match self.kind {
            Kind::Git(_) => ResourceKind::Git,
            Kind::Sqlite(_) => ResourceKind::Sqlite,
            Kind::Postgres(_) => ResourceKind::Postgres,
            Kind::Mysql(_) => ResourceKind::Mysql,
            Kind::Shell(_) => ResourceKind::Shell,
        }
    }
}

/// What a resource is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `kind = "git"`.
    Git(Git),
    /// `kind = "sqlite"`.
    Sqlite(Sqlite),
    /// `kind = "postgres"`.
    Postgres(Postgres),
    /// `kind = "mysql"`.
    Mysql(Mysql),
    /// `kind = "shell"`.
    Shell(Shell),
}

/// A git repository on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Git {
    /// A bare repository, or a work tree with a `.git` folder.
    pub path: PathBuf,
    /// Full ref names or prefixes ending in `/*`. Empty allows nothing.
    pub refs: Vec<String>,
    /// Hidden paths, gitignore semantics, case-folded.
    pub hidden: Vec<String>,
}

/// A SQLite database on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sqlite {
    /// The database file.
    pub path: PathBuf,
    /// `table.column` = a configured class, or `public`.
    pub columns: BTreeMap<String, String>,
    /// What an unlisted column is.
    pub columns_default: ColumnsDefault,
}

/// A database of a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// `postgres://role@host:port/database`, without a password and without parameters.
    pub url: Url,
    /// The role's password; without it the server must not ask for one.
    pub password: Option<SecretRef>,
    /// A PEM file with the certificates that may vouch for the server; without it the machine's own.
    pub ca: Option<PathBuf>,
    /// What agents see, in the order in which plain names are looked up. `pg_catalog` always comes first.
    pub schemas: Vec<String>,
    /// `table.column` or `schema.table.column` = a configured class, or `public`.
    pub columns: BTreeMap<String, String>,
    /// What an unlisted column is.
    pub columns_default: ColumnsDefault,
    /// `schema.name` of functions of the database's own that statements may call.
    pub functions: BTreeSet<String>,
    /// A session variable (`app.user`) that holds the person for row-level security.
    pub session: Option<String>,
    /// Whether the role may be a superuser, bypass row security or own what it reads.
    pub privileged: bool,
    /// The role that changes schemas: it owns tables; without one, nobody does.
    pub ddl: Option<String>,
    /// Its password; without it the server must not ask for one.
    pub ddl_password: Option<SecretRef>,
}

/// A database of a MySQL or MariaDB server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mysql {
    /// `mysql://account@host:port/database`, without a password and without parameters.
    pub url: Url,
    /// The account's password; without it the server must not ask for one.
    pub password: Option<SecretRef>,
    /// A PEM file with the certificates that may vouch for the server; without it the machine's own.
    pub ca: Option<PathBuf>,
    /// The database with the masking views of `tollgate db views`; without it `<database>_tollgate`.
    pub views: String,
    /// `table.column` = a configured class, or `public`.
    pub columns: BTreeMap<String, String>,
    /// What an unlisted column is.
    pub columns_default: ColumnsDefault,
    /// A user variable (`app_user`) that holds the person, for views and triggers of the database's own.
    pub session: Option<String>,
    /// Whether the account may have rights that reading behind masks never needs.
    pub privileged: bool,
    /// The account that makes changes; without one, agents only read.
    pub write: Option<String>,
    /// Its password.
    pub write_password: Option<SecretRef>,
}

/// `kind = "webhook"`: where signed notices go (Standard Webhooks).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `https`, or `http` to loopback.
    pub url: Url,
    /// `whsec_…` (Standard Webhooks, symmetric).
    pub secret: SecretRef,
    /// Whether the address may be a private one.
    pub allow_private: bool,
    /// The integration behind it, where that may decide.
    pub callback: Option<Callback>,
}

/// `kind = "teams"`: a channel of Microsoft Teams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Teams {
    /// The address of its Workflows webhook: whoever knows it can write there.
    pub address: SecretRef,
    /// Whether the address may be a private one.
    pub allow_private: bool,
}

/// An integration that may decide by signed callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// What it is called: `callback#<name>` decides.
    pub name: String,
    /// What it signs with: at least one, none of which signs anything else (`whsec_…`).
    pub secrets: Vec<SecretRef>,
    /// The groups in which it is, of `[groups]`.
    pub groups: BTreeSet<String>,
}

/// A work folder on this machine, and the programs that run in it, sandboxed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    /// The folder below which each user has one; made when it is not there.
    pub workdir: PathBuf,
    /// Names of the programs that may run. Empty allows nothing.
    pub programs: BTreeSet<String>,
}

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The Ed25519 key that signs checkpoints; made at first start when absent.
    pub key_file: PathBuf,
    /// Where each signed checkpoint is also written, so that somebody else can hold it.
    pub checkpoint_file: Option<PathBuf>,
    /// The log's name in its checkpoints (C2SP tlog-checkpoint, first line).
    pub origin: String,
    /// Records between two checkpoints.
    pub checkpoint_every: u64,
    /// Free bytes at the store below which calls are refused.
    pub disk_floor: u64,
    /// Free bytes at the store below which the log warns; above the floor.
    pub disk_warn: u64,
}

impl Config {
    /// Beside what the lock of the one server lies: of a file, the file; of a server's store, which has many servers,
    /// a name in the key's folder that this one alone has on this machine.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        match &self.store.address {
            Address::File(path) => path.clone(),
            Address::Server(_) => {
                let port = self.server.listen.port();
                self.audit.key_file.with_file_name(format!("tollgate-{port}"))
            }
        }
    }

    /// Reads and checks a configuration file, and that nobody else can change what it relies on.
    ///
    /// # Errors
    /// [`ConfigError`]: every problem found, in the order of the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = std::path::absolute(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let text = std::fs::read_to_string(&file).map_err(|error| ConfigError::unreadable(&file, &error))?;
        let (config, needs) = check::parse(&text, &file)?;
        let mut problems = error::Problems::new(&file, &text);
        guard::check(&file, &needs, &mut problems);
        problems.into_result(config)
    }

    /// Checks a configuration that is not in a file yet; touches no file.
    ///
    /// `file` names it in errors, and its folder is what relative paths are relative to.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        check::parse(text, file).map(|(config, _)| config)
    }

    /// The resource of that name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }
}
