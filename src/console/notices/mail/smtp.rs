//! A mail server, as one who hands in mail speaks with it (RFC 5321, RFC 6409): TLS first, then who we are, then one
//! message to one person. Nothing that it says is kept but its codes, and nothing that it says is long.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;
use zeroize::Zeroizing;

use super::super::{CONNECT, ChannelError, Failure};
use crate::identity::reach::Reach;
use crate::secret::Secret;

/// The longest line of an answer, and the most lines of one (RFC 5321 has 512 octets; servers write longer ones).
const LINE: usize = 2_048;
const LINES: usize = 64;

/// How long handing in one mail may take, and then the goodbye: together shorter than a notice is one process's own.
const WHOLE: Duration = Duration::from_secs(20);
const GOODBYE: Duration = Duration::from_secs(3);

/// How the way to the server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first byte.
    Implicit,
    /// TLS before anything else is said; a server that offers none gets nothing.
    StartTls,
    /// None.
    ClearText,
}

/// Where mail is handed in.
pub(super) struct Server {
    host: Host,
    port: u16,
    reach: Reach,
    /// Whether TLS comes first or is asked for; without a connector there is none.
    protection: Protection,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    login: Option<(String, Secret)>,
}

/// Where a server is, and what is said to it, as configured.
#[derive(Debug)]
pub struct Place<'a> {
    /// Its name or address, as its certificate has it.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// How the way there is protected.
    pub protection: Protection,
    /// Whether the address may be a private one.
    pub allow_private: bool,
    /// A PEM file with certificates that may vouch for it, besides the machine's own.
    pub ca: Option<&'a Path>,
    /// User name and password.
    pub login: Option<(String, Secret)>,
}

impl Server {
    pub(super) fn new(place: Place<'_>) -> Result<Self, ChannelError> {
        let reach = Reach::of_host(&place.host, place.allow_private).ok_or(ChannelError::PrivateServer)?;
        let tls = match place.protection {
            Protection::ClearText => None,
            _ => Some((connector(place.ca)?, server_name(&place.host)?)),
        };
        Ok(Self {
            host: place.host,
            port: place.port,
            reach,
            protection: place.protection,
            tls,
            login: place.login,
        })
    }

    /// Hands one message in. `Ok` when the server took it on itself to deliver it: whatever becomes of the conversation
    /// afterwards, that message is not sent again.
    pub(super) async fn send(&self, from: &str, to: &str, message: &str) -> Result<(), Failure> {
        let handing_in = async {
            let mut session = self.open().await?;
            session.message(from, to, message).await?;
            Ok(session)
        };
        let session = match tokio::time::timeout(WHOLE, handing_in).await {
            Ok(handed_in) => handed_in?,
            Err(_) => return Err(Failure::Unsent("no answer in time")),
        };
        let _ = tokio::time::timeout(GOODBYE, session.leave()).await;
        Ok(())
    }

    /// Goes as far as one can without sending anything. Gives what was seen, step by step.
    pub(super) async fn examine(&self) -> Result<Vec<String>, Failure> {
        let mut session = self.open().await?;
        session.command("NOOP", 250).await?;
        session.leave().await;
        let mut seen = vec![format!("{}:{} answers", self.host, self.port)];
        seen.push(match self.protection {
            Protection::ClearText => "it is spoken to in clear text".to_owned(),
            Protection::Implicit => "TLS, and its certificate is vouched for".to_owned(),
            Protection::StartTls => "STARTTLS, and its certificate is vouched for".to_owned(),
        });
        seen.push(match self.login {
            Some(_) => "it knows us by user and secret".to_owned(),
            None => "it was not told who we are: there is no user".to_owned(),
        });
        Ok(seen)
    }

    /// A session in which mail may be handed in.
    async fn open(&self) -> Result<Session, Failure> {
        let (socket, own) = self.connect().await?;
        let hello = match own {
            IpAddr::V4(address) => format!("EHLO [{address}]"),
            IpAddr::V6(address) => format!("EHLO [IPv6:{address}]"),
        };
        let mut session = match (&self.tls, self.protection) {
            (Some(tls), Protection::Implicit) => Session::over(encrypted(tls, socket).await?),
            _ => Session::over(socket),
        };
        session.expect(220).await.map_err(Failure::of_session)?;
        session.hello(&hello).await?;
        if let (Some(tls), Protection::StartTls) = (&self.tls, self.protection) {
            session = session.secured(tls).await?;
            session.hello(&hello).await?;
        }
        if let Some((user, secret)) = &self.login {
            session.login(user, secret).await?;
        }
        Ok(session)
    }

    /// The first of its addresses within reach that answers, and our own on the way there.
    async fn connect(&self) -> Result<(Box<dyn Stream>, IpAddr), Failure> {
        let found = self.reach.addresses(&self.host, self.port).await;
        let found: Vec<SocketAddr> = found.unwrap_or_default();
        if found.is_empty() {
            return Err(Failure::Unsent("its name has no address within reach"));
        }
        for address in found {
            let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(address));
            if let Ok(Ok(socket)) = connecting.await
                && let Ok(own) = socket.local_addr()
            {
                return Ok((Box::new(socket), own.ip()));
            }
        }
        Err(Failure::Unsent("cannot be reached"))
    }
}

/// Something that bytes go over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One conversation.
struct Session {
    stream: Box<dyn Stream>,
    /// What came and was not read yet.
    rest: Vec<u8>,
    /// What the server says it can, a line each, in capitals.
    offers: Vec<String>,
}

impl Session {
    fn over(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            offers: Vec::new(),
        }
    }

    async fn hello(&mut self, hello: &str) -> Result<(), Failure> {
        let lines = self.command(hello, 250).await.map_err(Failure::of_session)?;
        self.offers = lines
            .iter()
            .skip(1)
            .map(|line| line.to_ascii_uppercase())
            .collect();
        Ok(())
    }

    /// TLS from here on. What was said before it was said by anybody: none of it counts afterwards.
    async fn secured(mut self, tls: &(TlsConnector, ServerName<'static>)) -> Result<Self, Failure> {
        if !self.offers.iter().any(|offer| offer == "STARTTLS") {
            return Err(Failure::Unsent("it offers no STARTTLS"));
        }
        self.command("STARTTLS", 220).await.map_err(Failure::of_session)?;
        if !self.rest.is_empty() {
            return Err(Failure::Unsent("somebody on the way put words before the TLS"));
        }
        Ok(Self::over(encrypted(tls, self.stream).await?))
    }

    async fn login(&mut self, user: &str, secret: &Secret) -> Result<(), Failure> {
        let offers = |mechanism: &str| {
            let lists = self.offers.iter().filter_map(|offer| offer.strip_prefix("AUTH "));
            lists.flat_map(str::split_whitespace).any(|one| one == mechanism)
        };
        let encoded = |text: &[u8]| Zeroizing::new(STANDARD.encode(text));
        let done = if offers("PLAIN") {
            let plain = Zeroizing::new(format!("\0{user}\0{}", secret.expose()));
            let line = Zeroizing::new(format!("AUTH PLAIN {}", encoded(plain.as_bytes()).as_str()));
            self.command(&line, 235).await
        } else if offers("LOGIN") {
            let asked = self.command("AUTH LOGIN", 334).await;
            let asked = match asked {
                Ok(_) => self.command(&encoded(user.as_bytes()), 334).await,
                failed => failed,
            };
            match asked {
                Ok(_) => self.command(&encoded(secret.expose().as_bytes()), 235).await,
                failed => failed,
            }
        } else {
            return Err(Failure::Unsent("it offers neither AUTH PLAIN nor AUTH LOGIN"));
        };
        done.map(|_| ()).map_err(Failure::of_session)
    }

    async fn message(&mut self, from: &str, to: &str, message: &str) -> Result<(), Failure> {
        let begun = self.command(&format!("MAIL FROM:<{from}>"), 250).await;
        begun.map_err(Failure::of_standing)?;
        self.command(&format!("RCPT TO:<{to}>"), 250).await?;
        self.command("DATA", 354).await?;
        let mut text = String::with_capacity(message.len() + 64);
        for line in message.lines() {
            if line.starts_with('.') {
                text.push('.'); // a line of one point would end it (RFC 5321 4.5.2)
            }
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push('.');
        self.command(&text, 250).await.map(|_| ())
    }

    /// Says goodbye, as far as that goes: what had to be done is done.
    async fn leave(mut self) {
        let _ = self.command("QUIT", 221).await;
        let _ = self.stream.shutdown().await;
    }

    /// Says a line and gives the lines of the answer, if that is the one wanted.
    async fn command(&mut self, line: &str, wanted: u16) -> Result<Vec<String>, Failure> {
        let line = Zeroizing::new(format!("{line}\r\n"));
        let sent = self.stream.write_all(line.as_bytes()).await;
        if sent.is_err() || self.stream.flush().await.is_err() {
            return Err(Failure::Unsent("it hung up"));
        }
        self.expect(wanted).await
    }

    async fn expect(&mut self, wanted: u16) -> Result<Vec<String>, Failure> {
        let (code, lines) = self.answer().await?;
        // 251 instead of 250: it takes it, for an address that it knows of.
        if code == wanted || wanted == 250 && code == 251 {
            return Ok(lines);
        }
        Err(match code {
            400..=499 => Failure::Busy(code),
            500..=599 => Failure::Refused(code),
            _ => Failure::Unsent("it answered what was not asked"),
        })
    }

    /// One answer: its code, and its lines without it.
    async fn answer(&mut self) -> Result<(u16, Vec<String>), Failure> {
        let mut lines = Vec::new();
        let mut code = None;
        while lines.len() < LINES {
            let line = self.line().await?;
            let (digits, rest) = line.split_at_checked(3).unwrap_or(("", ""));
            let digits = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits);
            let read: Option<u16> = digits.and_then(|digits| digits.parse().ok());
            let (Some(read), true) = (read, code.is_none_or(|code| Some(code) == read)) else {
                return Err(Failure::Unsent("it does not speak SMTP"));
            };
            code = Some(read);
            let goes_on = rest.starts_with('-');
            if !goes_on && !rest.is_empty() && !rest.starts_with(' ') {
                return Err(Failure::Unsent("it does not speak SMTP"));
            }
            lines.push(rest.get(1..).unwrap_or_default().trim().to_owned());
            if !goes_on {
                return Ok((read, lines));
            }
        }
        Err(Failure::Unsent("its answer does not end"))
    }

    async fn line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.rest.len() > LINE {
                return Err(Failure::Unsent("its answer does not end"));
            }
            let mut more = [0; 1_024];
            let read = self.stream.read(&mut more).await;
            match read {
                Ok(count) if count > 0 => self.rest.extend(more.iter().take(count)),
                _ => return Err(Failure::Unsent("it hung up")),
            }
        }
    }
}

async fn encrypted(
    (connector, name): &(TlsConnector, ServerName<'static>),
    stream: Box<dyn Stream>,
) -> Result<Box<dyn Stream>, Failure> {
    match connector.connect(name.clone(), stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(Failure::Unsent(untrusted(&error))),
    }
}

/// Why there is no TLS, in words of ours.
fn untrusted(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired"
            }
            _ => "nobody that we trust vouches for its certificate",
        },
        _ => "it does not speak TLS as we do",
    }
}

/// With the machine's own authorities and those of this file.
fn connector(ca: Option<&Path>) -> Result<TlsConnector, ChannelError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca {
        let pem = std::fs::read(file).map_err(|_| ChannelError::Authorities)?;
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|_| ChannelError::Authorities)?;
            roots.add(certificate).map_err(|_| ChannelError::Authorities)?;
        }
        if roots.len() == before {
            return Err(ChannelError::Authorities);
        }
    }
    if roots.is_empty() {
        return Err(ChannelError::NoAuthorities);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ChannelError::Client(error.to_string()))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn server_name(host: &Host) -> Result<ServerName<'static>, ChannelError> {
    Ok(match host {
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|_| ChannelError::Client("the mail server's name is not one".to_owned()))?,
        Host::Ipv4(address) => ServerName::from(IpAddr::V4(*address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::V6(*address)),
    })
}
