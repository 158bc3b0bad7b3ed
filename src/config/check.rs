//! From the file as written to checked values; every problem is collected, none stops the others.

use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use url::{Host, Url};

use super::error::Problems;
use super::guard::{Need, Role};
use super::raw::{self, Number, Text};
use super::{Audit, Config, ConfigError, Control, Limits, Policies, Server, Store};
use super::{channels, facade, issuers, mail, masking, resources, slack, telemetry};
use crate::approval::Settings;
use crate::call::Limits as CallLimits;
use crate::secret::SecretRef;
use crate::store::Address;

const MIB: u64 = 1024 * 1024;
/// Seconds.
const DAY: u64 = 24 * 3600;

/// Checks a text; gives the configuration and the files it relies on.
pub(super) fn parse(text: &str, file: &Path) -> Result<(Config, Vec<Need>), ConfigError> {
    let mut problems = Problems::new(file, text);
    let raw: raw::File = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            problems.toml(&error);
            return Err(problems.into_error());
        }
    };
    let mut check = Check {
        problems,
        needs: Vec::new(),
        base: file.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let config = check.config(raw, file);
    let Check { problems, needs, .. } = check;
    match config {
        Some(config) => problems.into_result((config, needs)),
        None => Err(problems.into_error()),
    }
}

/// Seconds for which a server that stops still takes requests.
const LEAVE: u64 = 1;

/// What a check of one file carries along.
pub(super) struct Check<'a> {
    pub(super) problems: Problems<'a>,
    /// Files the configuration relies on, to be looked at afterwards.
    needs: Vec<Need>,
    /// The folder relative paths are relative to.
    base: PathBuf,
}

impl Check<'_> {
    fn config(&mut self, raw: raw::File, file: &Path) -> Option<Config> {
        let server = self.server(&raw.server);
        let store = self.store(raw.store.as_ref());
        let issuers = issuers::issuers(&raw.issuer, server.as_ref(), self);
        let facade = facade::facade(raw.facade.as_ref(), &issuers, self);
        let scopes = facade::scopes(&raw.scopes, self);
        let groups = issuers::groups(&raw.groups, &raw.issuer, self);
        let policies = self.policies(&raw.policies);
        let tools = raw.tools.as_ref().map(|tools| self.file(&tools.dir, Role::Tools));
        let limits = self.limits(&raw.limits);
        let scope = masking::scope(&raw.masking, &mut self.problems);
        let classes = resources::classes(&raw.classes, scope, &mut self.problems);
        let resources = resources::resources(&raw.resource, &raw.classes, self);
        let webhooks = channels::channels(&raw, self);
        let teams = channels::teams(&raw, self);
        let mail = mail::mail(&raw, self);
        let slack = slack::slack(&raw, self);
        let approval = self.approval(&raw, server.as_ref());
        let approval = approval.map(|approval| slack::linked(approval, slack.as_ref()));
        let audit = self.audit(&raw.audit, server.as_ref(), store.as_ref());
        let telemetry = telemetry::telemetry(raw.telemetry.as_ref(), self);
        let beside = store.as_ref().map(|store| self.beside(store));
        let token_key_file = masking::key_file(&raw.masking, beside, self);
        Some(Config {
            file: file.to_owned(),
            server: server?,
            store: store?,
            issuers,
            facade,
            scopes,
            groups,
            policies: policies?,
            tools: match tools {
                Some(dir) => Some(dir?),
                None => None,
            },
            limits: limits?,
            resources,
            classes,
            token_key_file: token_key_file?,
            approval: approval?,
            webhooks,
            teams,
            mail,
            slack,
            audit: audit?,
            telemetry,
        })
    }

    fn server(&mut self, raw: &raw::Server) -> Option<Server> {
        let listen = match &raw.listen {
            Some(listen) => self.address(listen),
            None => Some(SocketAddr::from(([127, 0, 0, 1], 7330))),
        };
        let public_url = match (&raw.public_url, listen) {
            (Some(url), _) => self.origin(url, "public_url"),
            (None, Some(listen)) if listen.ip().is_loopback() => Url::parse(&format!("http://{listen}")).ok(),
            (None, Some(_)) => {
                let span = raw.listen.as_ref().map_or(0..0, Text::span);
                self.problems.at(
                    span,
                    "public_url is missing although listen is not a loopback address",
                    "add the address clients use, e.g. public_url = \"https://tollgate.example.com\"",
                );
                None
            }
            (None, None) => None,
        };
        let control = self.control(raw, listen, public_url.as_ref());
        let taken = [listen, control.as_ref().map(|control| control.listen)];
        let metrics_listen = raw.metrics_listen.as_ref().and_then(|raw| {
            let address = self.address(raw)?;
            if taken.contains(&Some(address)) {
                self.problems.at(
                    raw.span(),
                    "metrics_listen is the address of another listener",
                    "give metrics a port of their own, e.g. \"127.0.0.1:9464\"",
                );
            }
            Some(address)
        });
        let leave = self.number(raw.leave_seconds.as_ref(), "leave_seconds", 0..=300, LEAVE);
        Some(Server {
            listen: listen?,
            public_url: public_url?,
            control,
            metrics_listen,
            trusted_proxies: self.proxies(raw.trusted_proxies.as_ref()),
            leave: Duration::from_secs(leave?),
        })
    }

    fn proxies(&mut self, raw: Option<&Spanned<Vec<Text>>>) -> Vec<IpAddr> {
        let entries = raw.map_or(&[][..], |list| list.get_ref());
        let address = |entry: &Text| {
            let parsed = entry.get_ref().parse().ok();
            if parsed.is_none() {
                self.problems.at(
                    entry.span(),
                    "trusted_proxies names something that is not an address",
                    "write the address your TLS proxy connects from, e.g. \"127.0.0.1\"",
                );
            }
            parsed
        };
        entries.iter().filter_map(address).collect()
    }

    fn control(
        &mut self,
        raw: &raw::Server,
        listen: Option<SocketAddr>,
        public: Option<&Url>,
    ) -> Option<Control> {
        let (address, url) = match (&raw.control_listen, &raw.control_url) {
            (None, None) => return None,
            (Some(address), Some(url)) => (address, url),
            (Some(one), None) | (None, Some(one)) => {
                self.problems.at(
                    one.span(),
                    "control_listen and control_url belong together",
                    "write both, or neither",
                );
                return None;
            }
        };
        let control = Control {
            listen: self.address(address)?,
            url: self.origin(url, "control_url")?,
        };
        if Some(control.listen) == listen {
            self.problems.at(
                address.span(),
                "control_listen is the same address as listen",
                "give the people's side its own port, e.g. \"127.0.0.1:7331\"",
            );
        }
        if public.is_some_and(|public| public.host() == control.url.host()) {
            self.problems.at(
                url.span(),
                "control_url has the same host name as public_url, so cookies of one would reach the other",
                "give the people's side its own host name; on one machine use localhost for one, 127.0.0.1 for the other",
            );
        }
        Some(control)
    }

    fn store(&mut self, raw: Option<&raw::Store>) -> Option<Store> {
        let Some(raw) = raw else {
            self.problems.whole(
                "[store] is missing: without it nothing could be recorded",
                "add [store] with url = \"sqlite:tollgate.db\"",
            );
            return None;
        };
        let address = match Address::parse(raw.url.get_ref()) {
            Ok(Address::File(path)) => Address::File(self.base.join(path)),
            Ok(Address::Server(mut server)) => {
                server.ca = server.ca.map(|ca| self.base.join(ca));
                Address::Server(server)
            }
            Err(problem) => {
                self.problems.at(raw.url.span(), problem.what, problem.instead);
                return None;
            }
        };
        if address.file().is_none() && cfg!(not(feature = "postgres")) {
            self.problems.at(
                raw.url.span(),
                "this build of Tollgate has no PostgreSQL",
                "take a release build, or build with `--features postgres`",
            );
            return None;
        }
        if let Some(path) = address.file() {
            self.needs
                .push(Need::new(path.to_owned(), Role::Store, raw.url.span()));
        }
        let password = match &raw.password {
            Some(password) if address.file().is_some() => {
                self.problems.at(
                    password.span(),
                    "a file has no password",
                    "take password out; it is for a postgres:// url",
                );
                return None;
            }
            Some(password) => Some(self.secret(password, "password")?),
            None => None,
        };
        Some(Store { address, password })
    }

    fn policies(&mut self, raw: &raw::Policies) -> Option<Policies> {
        let dir = match &raw.dir {
            Some(dir) => self.file(dir, Role::Policies)?,
            None => {
                let dir = self.base.join("policies");
                self.needs.push(Need::new(dir.clone(), Role::Policies, 0..0));
                dir
            }
        };
        let candidate = match &raw.candidate {
            Some(candidate) => Some(self.file(candidate, Role::Policies)?),
            None => None,
        };
        if let (Some(written), true) = (&raw.candidate, candidate.as_ref() == Some(&dir)) {
            self.problems.at(
                written.span(),
                "candidate is the folder that decides already",
                "copy the policies to another folder and change them there",
            );
        }
        Some(Policies { dir, candidate })
    }

    fn limits(&mut self, raw: &raw::Limits) -> Option<Limits> {
        let rows = self.number(raw.rows.as_ref(), "rows", 1..=1_000_000, 1000);
        let bytes = self.number(raw.bytes.as_ref(), "bytes", 1024..=256 * MIB, MIB);
        let seconds = self.number(raw.seconds.as_ref(), "seconds", 1..=3600, 30);
        let calls = self.number(raw.calls.as_ref(), "calls", 1..=65_536, 256)?;
        let default = calls.min(64);
        let per_person = self.number(
            raw.calls_per_person.as_ref(),
            "calls_per_person",
            1..=calls,
            default,
        );
        let lookups = self.number(raw.lookups_per_hour.as_ref(), "lookups_per_hour", 0..=100_000, 20);
        let body_bytes = self.number(raw.body_bytes.as_ref(), "body_bytes", 1024..=64 * MIB, MIB);
        Some(Limits {
            call: CallLimits {
                rows: rows?,
                bytes: bytes?,
                seconds: seconds?,
            },
            calls: u32::try_from(calls).ok()?,
            calls_per_person: u32::try_from(per_person?).ok()?,
            lookups_per_hour: lookups?,
            body_bytes: body_bytes?,
        })
    }

    fn approval(&mut self, file: &raw::File, server: Option<&Server>) -> Option<Settings> {
        let (default, raw) = (Settings::default(), &file.approval);
        let has_control = file.server.control_listen.is_some() || file.server.control_url.is_some();
        let security_key = self.webauthn(raw.webauthn.as_ref(), server, has_control);
        let mut seconds = |raw: Option<&Number>, key, range, default: Duration| {
            self.number(raw, key, range, default.as_secs())
                .map(Duration::from_secs)
        };
        let hold = seconds(raw.hold_seconds.as_ref(), "hold_seconds", 0..=3600, default.hold);
        let decide_within = seconds(
            raw.decide_within_seconds.as_ref(),
            "decide_within_seconds",
            60..=7 * DAY,
            default.decide_within,
        );
        let execute_within = seconds(
            raw.execute_within_seconds.as_ref(),
            "execute_within_seconds",
            10..=DAY,
            default.execute_within,
        );
        let result = seconds(
            raw.result_seconds.as_ref(),
            "result_seconds",
            60..=DAY,
            default.result,
        );
        let max_age = seconds(
            raw.max_age_seconds.as_ref(),
            "max_age_seconds",
            30..=3600,
            default.max_age,
        );
        let pending = self.number(
            raw.pending_per_person.as_ref(),
            "pending_per_person",
            1..=1000,
            u64::from(default.pending_per_person),
        );
        let hourly = self.hourly(raw.requests_per_hour.as_ref(), pending.unwrap_or_default());
        let grant = self.number(raw.grant_minutes.as_ref(), "grant_minutes", 0..=1440, 60);
        let delegation = self.number(raw.delegation_days.as_ref(), "delegation_days", 0..=92, 0);
        Some(Settings {
            hold: hold?,
            decide_within: decide_within?,
            execute_within: execute_within?,
            result: result?,
            pending_per_person: u32::try_from(pending?).ok()?,
            requests_per_hour: u32::try_from(hourly?).ok()?,
            max_age: max_age?,
            security_key: security_key?,
            grant_minutes: u32::try_from(grant?).ok()?,
            delegation_days: u32::try_from(delegation?).ok()?,
            disjoint_issuers: raw.disjoint_issuers.unwrap_or(default.disjoint_issuers),
            link: default.link,
        })
    }

    /// Requests of one person in an hour: unless it says otherwise twelve rounds of as many as may be open at once.
    fn hourly(&mut self, raw: Option<&raw::Number>, pending: u64) -> Option<u64> {
        self.number(raw, "requests_per_hour", 1..=100_000, pending.saturating_mul(12))
    }

    /// A reference to a secret.
    pub(super) fn secret(&mut self, raw: &Text, key: &str) -> Option<SecretRef> {
        SecretRef::parse(raw.get_ref())
            .map_err(|error| {
                self.problems
                    .at(raw.span(), format!("{key}: {error}"), error.remedy());
            })
            .ok()
    }

    /// What files of ours lie beside: the store's file, or in its place one beside the configuration.
    fn beside(&self, store: &Store) -> PathBuf {
        let file = store.address.file();
        file.map_or_else(|| self.base.join("tollgate.db"), Path::to_owned)
    }

    /// A file that nobody wrote down.
    pub(super) fn need(&mut self, path: PathBuf, role: Role) {
        self.needs.push(Need::new(path, role, 0..0));
    }

    fn audit(&mut self, raw: &raw::Audit, server: Option<&Server>, store: Option<&Store>) -> Option<Audit> {
        let key_file = match &raw.key_file {
            Some(key) => self.file(key, Role::Key),
            None => store.map(|store| {
                let key = self.beside(store).with_extension("key");
                self.need(key.clone(), Role::Key);
                key
            }),
        };
        let checkpoint_file = match &raw.checkpoint_file {
            Some(file) => Some(self.file(file, Role::Checkpoint)?),
            None => None,
        };
        let origin = match &raw.origin {
            Some(origin) => self.origin_line(origin),
            None => server.map(|server| {
                let host = server.public_url.host_str().unwrap_or("tollgate");
                format!("{host}/tollgate")
            }),
        };
        let every = self.number(
            raw.checkpoint_every.as_ref(),
            "checkpoint_every",
            1..=1_000_000,
            1000,
        );
        let floor = self.number(
            raw.disk_floor.as_ref(),
            "disk_floor",
            MIB..=1024 * 1024 * MIB,
            64 * MIB,
        )?;
        let warn = self.number(
            raw.disk_warn.as_ref(),
            "disk_warn",
            floor..=u64::MAX,
            floor.max(1024 * MIB),
        );
        Some(Audit {
            key_file: key_file?,
            checkpoint_file,
            origin: origin?,
            checkpoint_every: every?,
            disk_floor: floor,
            disk_warn: warn?,
        })
    }

    /// A path, absolute; it will be looked at in its role.
    pub(super) fn file(&mut self, raw: &Text, role: Role) -> Option<PathBuf> {
        let path = raw.get_ref();
        if path.is_empty() || path.contains('\0') {
            self.problems.at(
                raw.span(),
                "a path is empty",
                "write the path of a file or folder",
            );
            return None;
        }
        let path = self.base.join(path);
        self.needs.push(Need::new(path.clone(), role, raw.span()));
        Some(path)
    }

    fn address(&mut self, raw: &Text) -> Option<SocketAddr> {
        let address = raw.get_ref().parse().ok();
        if address.is_none() {
            self.problems.at(
                raw.span(),
                format!("`{}` is not an IP address and port", raw.get_ref().escape_debug()),
                "write \"127.0.0.1:7330\", or \"[::1]:7330\" for IPv6",
            );
        }
        address
    }

    /// A URL of ours: scheme and host alone, https unless the host is loopback.
    fn origin(&mut self, raw: &Text, key: &str) -> Option<Url> {
        let example = "write e.g. \"https://tollgate.example.com\"";
        let (message, remedy) = match Url::parse(raw.get_ref()) {
            Err(error) => (format!("{key} is not a URL ({error})"), example),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                (format!("{key} carries a user name or password"), example)
            }
            Ok(url) if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => (
                format!("{key} has more than scheme, host and port"),
                "leave out everything after the port; MCP is served at /mcp below it",
            ),
            Ok(url) if is_unspecified(&url) => (
                format!("{key} names no host a client could reach"),
                "write the host name clients use; 0.0.0.0 and [::] only make sense in listen",
            ),
            Ok(url) if !is_private_enough(&url) => (
                format!("{key} is not https, so tokens would cross the network in the clear"),
                "write https:// and put a TLS proxy in front; http is for loopback hosts only",
            ),
            Ok(url) => return Some(url),
        };
        self.problems.at(raw.span(), message, remedy);
        None
    }

    fn origin_line(&mut self, raw: &Text) -> Option<String> {
        let line = raw.get_ref();
        let fits =
            !line.is_empty() && line.len() <= 128 && line.chars().all(|c| c.is_ascii_graphic() && c != '+');
        if !fits {
            self.problems.at(
                raw.span(),
                "origin cannot name a log",
                "write something like a URL without its scheme, without spaces or +, e.g. \"tollgate.example.com/journal\"",
            );
        }
        fits.then(|| line.clone())
    }

    pub(super) fn filled(&mut self, raw: &Text, key: &str) -> Option<String> {
        if raw.get_ref().trim().is_empty() {
            self.problems.at(
                raw.span(),
                format!("{key} is empty"),
                "write a value, or leave the key out",
            );
            return None;
        }
        Some(raw.get_ref().clone())
    }

    pub(super) fn number(
        &mut self,
        raw: Option<&Number>,
        key: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Option<u64> {
        let Some(raw) = raw else { return Some(default) };
        let value = u64::try_from(*raw.get_ref())
            .ok()
            .filter(|value| range.contains(value));
        if value.is_none() {
            let remedy = match *range.end() {
                u64::MAX => format!("write at least {}", range.start()),
                end => format!("write a number from {} to {end}", range.start()),
            };
            self.problems.at(
                raw.span(),
                format!("{key} = {} is out of range", raw.get_ref()),
                remedy,
            );
        }
        value
    }

    /// A problem of the file as a whole: something is not there.
    pub(super) fn whole(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.whole(message, remedy);
    }

    pub(super) fn problem(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.at(span, message, remedy);
    }
}

/// `https`, or `http` to this very machine.
pub(super) fn is_private_enough(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether a URL's host is this machine by name or address.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_unspecified(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.is_unspecified(),
        Some(Host::Domain(_)) => false,
        None => true,
    }
}
