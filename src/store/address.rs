//! Where the store is, as configuration says it: a file, or a PostgreSQL server. Holds no secret.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::Url;

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `sqlite:path`.
    File(PathBuf),
    /// `postgres://user@host:port/database`.
    Server(ServerAddress),
}

/// A database on a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A host name, an address, or the folder of a Unix socket (begins with `/`).
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The schema that is Tollgate's own.
    pub schema: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// Who signs the server's certificate (PEM); `None` are the roots of the operating system.
    pub ca: Option<PathBuf>,
}

/// How a connection is protected, `sslmode` in PostgreSQL's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// `disable`: only to this machine.
    Off,
    /// `verify-ca`: the certificate is signed by `sslrootcert`.
    Signed,
    /// `verify-full`: and is for this host.
    Full,
}

/// What is wrong with a url, and what to write. Repeats nothing of the url: there may be a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {instead}")]
pub struct AddressProblem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub instead: String,
}

fn problem<T>(what: impl Into<String>, instead: impl Into<String>) -> Result<T, AddressProblem> {
    Err(AddressProblem {
        what: what.into(),
        instead: instead.into(),
    })
}

impl Address {
    /// Reads `sqlite:path` or `postgres://user@host:port/database`, with `sslmode`, `sslrootcert`, `schema`, and
    /// `host` and `user` for a Unix socket as parameters.
    ///
    /// # Errors
    /// [`AddressProblem`] for everything else; also for a password.
    pub fn parse(url: &str) -> Result<Self, AddressProblem> {
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.starts_with(":memory:") || path.contains(['?', '#', '\0']) {
                return problem(
                    "the store must be one file: the journal has to outlive the process",
                    "write `sqlite:` and a path without ? or #",
                );
            }
            return Ok(Self::File(PathBuf::from(path)));
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return ServerAddress::parse(url).map(Self::Server);
        }
        problem(
            "the store's url is none Tollgate knows",
            "write `sqlite:tollgate.db`, or `postgres://user@host/database`",
        )
    }

    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }
}

impl ServerAddress {
    fn parse(text: &str) -> Result<Self, AddressProblem> {
        const FORM: &str = "write `postgres://user@host:port/database`";
        let Ok(url) = Url::parse(text) else {
            return problem("the store's url cannot be read", FORM);
        };
        if url.password().is_some() {
            return problem(
                "the store's url holds a password",
                "take it out and write password = \"env:NAME\" or \"file:/path\" under [store]",
            );
        }
        let mut found = Self {
            host: decoded(url.host_str().unwrap_or_default())?,
            port: url.port().unwrap_or(5432),
            user: decoded(url.username())?,
            database: decoded(url.path().trim_start_matches('/'))?,
            schema: "tollgate".to_owned(),
            tls: Tls::Full,
            ca: None,
        };
        let mut mode = None;
        for (key, value) in url.query_pairs() {
            match &*key {
                "host" if found.host.is_empty() => found.host = value.into_owned(),
                "user" if found.user.is_empty() => found.user = value.into_owned(),
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => found.ca = Some(PathBuf::from(&*value)),
                "schema" => found.schema = value.into_owned(),
                "password" => {
                    return problem(
                        "the store's url holds a password",
                        "take it out and write password = \"env:NAME\" or \"file:/path\" under [store]",
                    );
                }
                _ => {
                    return problem(
                        "the store's url has a parameter Tollgate does not know",
                        "sslmode, sslrootcert, schema, host and user are known",
                    );
                }
            }
        }
        if [&found.host, &found.user, &found.database]
            .into_iter()
            .any(|part| part.is_empty() || part.contains('\0'))
        {
            return problem("the store's url names no user, host or database", FORM);
        }
        if !is_plain(&found.schema) {
            return problem(
                "the schema's name is not plain",
                "use a-z, 0-9 and _, beginning with a letter, at most 63, not pg_…",
            );
        }
        found.tls = found.protection(mode.as_deref())?;
        Ok(found)
    }

    fn protection(&self, mode: Option<&str>) -> Result<Tls, AddressProblem> {
        match mode {
            None if self.is_local() => Ok(Tls::Off),
            None | Some("verify-full") => Ok(Tls::Full),
            Some("verify-ca") if self.ca.is_some() => Ok(Tls::Signed),
            Some("verify-ca") => problem(
                "sslmode=verify-ca without sslrootcert accepts everybody's certificate",
                "name who signs it with sslrootcert=/path, or use verify-full",
            ),
            Some("disable") if self.is_local() => Ok(Tls::Off),
            Some(_) => problem(
                "with this sslmode somebody on the way could read and change what is on record",
                "use sslmode=verify-full (the default), with sslrootcert=/path where the server has a CA of its own",
            ),
        }
    }

    fn is_local(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host.starts_with('/')
            || self.host == "localhost"
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Percent-encoding undone, as in libpq: a socket's folder may be written `%2Frun%2Fpostgresql`.
fn decoded(text: &str) -> Result<String, AddressProblem> {
    let plus = text.replace('+', "%2B");
    let pairs: Vec<_> = url::form_urlencoded::parse(plus.as_bytes()).collect();
    match pairs.as_slice() {
        [] => Ok(String::new()),
        [(name, value)] if value.is_empty() && !text.contains(['&', '=']) => Ok(name.clone().into_owned()),
        _ => problem("the store's url has & or = in a name", "write them %26 and %3D"),
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 63
        && !name.starts_with("pg_")
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// For people: enough to find it again.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => server.fmt(f),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            database,
            schema,
            ..
        } = self;
        write!(f, "{database} at {host}:{port} (schema {schema})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> ServerAddress {
        match Address::parse(url) {
            Ok(Address::Server(server)) => server,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_server_is_reached_in_the_ways_of_libpq() {
        let far = server("postgres://tollgate@db.example.com/gate");
        assert_eq!(
            (far.port, far.tls, far.schema.as_str()),
            (5432, Tls::Full, "tollgate")
        );
        let near = server("postgresql://tollgate@127.0.0.1:5433/gate?schema=other");
        assert_eq!(
            (near.port, near.tls, near.schema.as_str()),
            (5433, Tls::Off, "other")
        );
        assert_eq!(server("postgres://t@[::1]/gate").tls, Tls::Off);
        assert_eq!(
            server("postgres://t@%2Frun%2Fpostgresql/gate").host,
            "/run/postgresql"
        );
        let socket = server("postgres:///gate?host=/run/postgresql&user=a%2Bb%26c");
        assert_eq!(
            (socket.host.as_str(), socket.user.as_str()),
            ("/run/postgresql", "a+b&c")
        );
        assert_eq!(server("postgres://a%26b%3Dc@localhost/x").user, "a&b=c");
        let signed = server("postgres://t@db/x?sslmode=verify-ca&sslrootcert=/etc/ca.pem");
        assert_eq!(signed.tls, Tls::Signed);
    }

    #[test]
    fn what_would_not_be_safe_is_refused_and_a_password_is_not_repeated() {
        for (url, word) in [
            ("postgres://t:hunter2@db/x", "password"),
            ("postgres://t@db/x?password=hunter2", "password"),
            ("postgres://t:hunter2@/x", "read"),
            ("postgres://t@db/x?sslmode=require", "on the way"),
            ("postgres://t@db/x?sslmode=prefer", "on the way"),
            ("postgres://t@db/x?sslmode=disable", "on the way"),
            ("postgres://t@db/x?sslmode=verify-ca", "everybody"),
            ("postgres://t@db/x?options=hunter2", "parameter"),
            ("postgres://t@db/x?schema=pg_catalog", "plain"),
            ("postgres://t@db/x?schema=a%22b", "plain"),
            ("postgres://db/x", "names no user"),
            ("postgres://t@db", "names no user"),
            ("mysql://t:hunter2@db/x", "none Tollgate knows"),
            ("sqlite::memory:", "one file"),
            ("sqlite:a?hunter2", "one file"),
        ] {
            let error = Address::parse(url).expect_err(url).to_string();
            assert!(error.contains(word), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
    }
}
