//! `[[approval.channel]]` of kind `mail`: people are told by e-mail of what waits for them, with a link.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Host;

use super::check::Check;
use super::guard::Role;
use super::raw::{self, Text};
use crate::secret::SecretRef;

/// How the kind is written.
pub(super) const KIND: &str = "mail";
/// The most recipients: each is asked about by itself.
const RECIPIENTS: usize = 64;
/// Ports where a url names none: submission over TLS, and submission (RFC 8314, RFC 6409).
const SMTPS: u16 = 465;
const SUBMISSION: u16 = 587;

/// A server that takes our mail, and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The server's name or address, as its certificate has it.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// How the way there is protected.
    pub tls: MailTls,
    /// Whether the address may be a private one.
    pub allow_private: bool,
    /// A PEM file with certificates that may vouch for it, besides the machine's own.
    pub ca: Option<PathBuf>,
    /// Who we are there: user name and password.
    pub login: Option<(String, SecretRef)>,
    /// Whom our mail is from.
    pub from: String,
    /// Where requests go that no route names.
    pub to: String,
    /// Group or policy → address.
    pub routes: BTreeMap<String, String>,
}

/// How the way to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// TLS from the first byte (`smtps://`).
    Implicit,
    /// TLS before anything is said (`smtp://`); a server that offers none gets nothing.
    StartTls,
    /// None: to this machine, or because the operator said so.
    ClearText,
}

impl Mail {
    /// Everybody who may be told, each once, in order.
    #[must_use]
    pub fn recipients(&self) -> Vec<&str> {
        let all = std::iter::once(&self.to).chain(self.routes.values());
        let mut all: Vec<&str> = all.map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether clear text leaves this machine.
    #[must_use]
    pub fn is_readable_underway(&self) -> bool {
        self.tls == MailTls::ClearText && !is_loopback(&self.host)
    }
}

/// The one mail channel entry, if there is one.
pub(super) fn mail(file: &raw::File, check: &mut Check<'_>) -> Option<Mail> {
    let mut entries = file.approval.channel.iter();
    let raw = entries.find(|one| one.kind.get_ref() == KIND)?;
    for more in entries.filter(|one| one.kind.get_ref() == KIND) {
        check.problem(
            more.kind.span(),
            "a second channel of kind mail",
            "write one, and name further recipients in its routes: each of them gets one mail per request",
        );
    }
    if file.server.control_url.is_none() {
        check.problem(
            raw.kind.span(),
            "a channel of kind mail without a side for people",
            "add control_listen and control_url to [server]: the link of each mail leads there",
        );
    }
    none_of_others(raw, check);
    let server = server(raw, check);
    let from = address(raw, raw.from.as_ref(), "from", check);
    let to = address(raw, raw.to.as_ref(), "to", check);
    let routes = routes(raw, check);
    let login = login(raw, check);
    let ca = raw.ca.as_ref().map(|ca| check.file(ca, Role::Metadata));
    let (tls, host, port) = server?;
    let tls = protection(raw, (tls, &host), check)?;
    let mail = Mail {
        host,
        port,
        tls,
        allow_private: raw.allow_private,
        ca: match ca {
            Some(ca) => Some(ca?),
            None => None,
        },
        login: login?,
        from: from?,
        to: to?,
        routes: routes?,
    };
    if mail.is_readable_underway() && mail.login.is_some() {
        check.problem(
            raw.kind.span(),
            "a password would go to the mail server in clear text",
            "take clear_text out: TLS is spoken before the password is",
        );
        return None;
    }
    if mail.recipients().len() > RECIPIENTS {
        check.problem(
            raw.kind.span(),
            format!("mail goes to at most {RECIPIENTS} addresses"),
            "route to the address of an on-call list instead of to each of its people",
        );
        return None;
    }
    Some(mail)
}

/// Mail has none of the other kinds' keys.
fn none_of_others(raw: &raw::Channel, check: &mut Check<'_>) {
    let texts = [
        ("channel", &raw.channel),
        ("bot_token", &raw.bot_token),
        ("app_token", &raw.app_token),
        ("signing_secret", &raw.signing_secret),
        ("escalate_to", &raw.escalate_to),
        ("callback", &raw.callback),
    ];
    let mut stray: Vec<(&str, std::ops::Range<usize>)> = texts
        .into_iter()
        .filter_map(|(key, text)| Some((key, text.as_ref()?.span())))
        .collect();
    let steps = raw.escalate_routes.as_ref();
    stray.extend(steps.map(|one| ("escalate_routes", one.span())));
    let number = raw.escalate_after_seconds.as_ref();
    stray.extend(number.map(|one| ("escalate_after_seconds", one.span())));
    stray.extend(raw.link_days.as_ref().map(|one| ("link_days", one.span())));
    let secrets = raw.callback_secrets.as_ref();
    stray.extend(secrets.map(|one| ("callback_secrets", one.span())));
    let groups = raw.callback_groups.as_ref();
    stray.extend(groups.map(|one| ("callback_groups", one.span())));
    for (key, span) in stray {
        check.problem(
            span,
            format!("{key} is not for mail"),
            "leave it out; nobody decides by mail, and what policy escalates goes where its group is routed",
        );
    }
}

/// The other kinds have none of mail's.
pub(super) fn none_of_mail(raw: &raw::Channel, check: &mut Check<'_>) {
    let texts = [
        ("from", &raw.from),
        ("to", &raw.to),
        ("user", &raw.user),
        ("ca", &raw.ca),
    ];
    let stray = texts
        .into_iter()
        .filter_map(|(key, text)| Some((key, text.as_ref()?.span())));
    let clear = raw.clear_text.then(|| ("clear_text", raw.kind.span()));
    for (key, span) in stray.chain(clear) {
        check.problem(
            span,
            format!("{key} is for mail, not for this kind of channel"),
            "leave it out, or write kind = \"mail\"",
        );
    }
}

/// What `url` says: TLS from the first byte or later, where.
fn server(raw: &raw::Channel, check: &mut Check<'_>) -> Option<(MailTls, Host, u16)> {
    let Some(text) = &raw.url else {
        check.problem(
            raw.kind.span(),
            "mail has no url",
            "add url = \"smtps://mail.example.com\" (TLS, port 465) or \"smtp://mail.example.com\" (STARTTLS, port 587)",
        );
        return None;
    };
    let read = read_server(text.get_ref());
    if read.is_none() {
        check.problem(
            text.span(),
            "the url of the mail server is not one",
            "write smtps://host or smtp://host, with :port where it is not 465 or 587, and nothing else; user and secret have keys of their own",
        );
    }
    read
}

fn read_server(url: &str) -> Option<(MailTls, Host, u16)> {
    let (tls, rest, usual) = match url.split_once("://")? {
        ("smtps", rest) => (MailTls::Implicit, rest, SMTPS),
        ("smtp", rest) => (MailTls::StartTls, rest, SUBMISSION),
        _ => return None,
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port != 0)?),
        _ => (rest, usual),
    };
    Some((tls, Host::parse(host).ok()?, port))
}

fn protection(raw: &raw::Channel, (tls, host): (MailTls, &Host), check: &mut Check<'_>) -> Option<MailTls> {
    if tls == MailTls::Implicit {
        if raw.clear_text {
            check.problem(
                raw.kind.span(),
                "smtps is TLS, and clear_text is none",
                "take clear_text out, or write smtp:// where the server knows no TLS",
            );
            return None;
        }
        return Some(tls);
    }
    // As with databases: to this machine without TLS, unless there is somebody to vouch for the server.
    let here = is_loopback(host) && raw.ca.is_none();
    Some(if raw.clear_text || here {
        MailTls::ClearText
    } else {
        tls
    })
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Outside: something is wrong with it.
fn login(raw: &raw::Channel, check: &mut Check<'_>) -> Option<Option<(String, SecretRef)>> {
    match (&raw.user, &raw.secret) {
        (None, None) => Some(None),
        (Some(user), Some(secret)) => {
            let text = user.get_ref();
            if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
                check.problem(
                    user.span(),
                    "this is not a user name",
                    "write what the mail server calls us",
                );
                return None;
            }
            Some(Some((text.clone(), check.secret(secret, "secret")?)))
        }
        _ => {
            check.problem(
                raw.kind.span(),
                "user and secret belong together",
                "write both, or neither where the mail server asks for none",
            );
            None
        }
    }
}

fn routes(raw: &raw::Channel, check: &mut Check<'_>) -> Option<BTreeMap<String, String>> {
    let written = raw.routes.iter().flat_map(|one| one.get_ref());
    let read: Vec<Option<(String, String)>> = written
        .map(|(who, to)| Some((who.get_ref().clone(), checked(to, check)?)))
        .collect();
    read.into_iter().collect()
}

fn address(raw: &raw::Channel, text: Option<&Text>, key: &str, check: &mut Check<'_>) -> Option<String> {
    if text.is_none() {
        let remedy = match key {
            "from" => {
                "add from = \"tollgate@example.com\": an address that the mail server lets us send from"
            }
            _ => "add to = \"oncall@example.com\": where requests go that no route names",
        };
        check.problem(raw.kind.span(), format!("mail has no {key}"), remedy);
    }
    checked(text?, check)
}

fn checked(text: &Text, check: &mut Check<'_>) -> Option<String> {
    if !is_address(text.get_ref()) {
        check.problem(
            text.span(),
            "this is not an e-mail address",
            "write one address, name@example.com: letters, digits and . _ + - = before the @, and no display name",
        );
        return None;
    }
    Some(text.get_ref().clone())
}

/// A plain address: nothing in it has a meaning in a header or a command (RFC 5321, a Dot-string of some characters).
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-=".contains(&byte);
    let label = |label: &str| {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(name)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (1..=64).contains(&local.len())
        && domain.len() <= 189
        && local
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(atom))
        && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_name_and_a_host_and_nothing_that_a_header_or_command_reads() {
        for good in [
            "dba@example.com",
            "on-call+db.eu@mail.example.com",
            "root@localhost",
            "x=y_z@a.b",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "dba",
            "@example.com",
            "dba@",
            "dba@example.com, ceo@example.com",
            "Dba <dba@example.com>",
            "dba@example.com\r\nBcc: x@evil.example",
            "dba>@example.com",
            "\"a b\"@example.com",
            "a..b@example.com",
            ".a@example.com",
            "a@-b.example",
            "a@b..example",
            "a@b@c",
            "dbä@example.com",
            "a@[127.0.0.1]",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn a_server_is_a_scheme_a_host_and_maybe_a_port() {
        let read = |url: &str| read_server(url).map(|(tls, host, port)| (tls, host.to_string(), port));
        let is = |tls, host: &str, port| Some((tls, host.to_owned(), port));
        assert_eq!(
            read("smtps://Mail.example.com"),
            is(MailTls::Implicit, "mail.example.com", 465)
        );
        assert_eq!(
            read("smtp://mail.example.com"),
            is(MailTls::StartTls, "mail.example.com", 587)
        );
        assert_eq!(read("smtp://10.0.0.1:25"), is(MailTls::StartTls, "10.0.0.1", 25));
        assert_eq!(read("smtp://[::1]:25"), is(MailTls::StartTls, "[::1]", 25));
        assert_eq!(read("smtps://[::1]"), is(MailTls::Implicit, "[::1]", 465));
        for bad in [
            "",
            "mail.example.com",
            "https://mail.example.com",
            "smtp://",
            "smtp://user:pass@mail.example.com",
            "smtp://mail.example.com/",
            "smtp://mail.example.com:0",
            "smtp://mail.example.com:70000",
            "smtp://mail.example.com?x",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
