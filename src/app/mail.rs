//! Notices by e-mail, as configured: the channels, and whether the server takes our mail.

use anyhow::{Context, Result};

use super::Examined;
use crate::config::{Config, Mail, MailTls};
use crate::console::notices::Channel;
use crate::console::notices::mail::{Place, Protection, Spec, examine};
use crate::identity::doctor::{Finding, Findings, Level};

const PLACE: &str = "[[approval.channel]] of kind mail";

/// A channel for each recipient; none where no mail is configured.
///
/// # Errors
/// A secret or file that cannot be read, or a server out of reach.
pub(super) fn channels(config: &Config) -> Result<Vec<Channel>> {
    let Some(mail) = &config.mail else {
        return Ok(Vec::new());
    };
    let spec = Spec {
        place: place(mail)?,
        from: mail.from.clone(),
        to: mail.to.clone(),
        routes: mail.routes.clone(),
    };
    Channel::mail(spec).context(PLACE)
}

/// Asks the mail server how far we get with it. No mail is sent.
///
/// # Errors
/// There is no channel of kind mail, or what it needs cannot be read here.
pub async fn doctor_mail(config: &Config) -> Result<Examined> {
    let mail = config
        .mail
        .as_ref()
        .context("there is no [[approval.channel]] of kind mail")?;
    let mut findings = Findings::default();
    let mut found = |level, text: String, remedy: &str| {
        findings.0.push(Finding {
            level,
            text,
            remedy: remedy.to_owned(),
        });
    };
    match examine(place(mail)?).await {
        Ok(seen) => {
            for text in seen {
                found(Level::Ok, text, "");
            }
        }
        Err(why) => found(
            Level::Bad,
            format!("{}:{}: {why}", mail.host, mail.port),
            "mend url, ca, user or secret; meanwhile nobody hears of requests by mail",
        ),
    }
    if mail.is_readable_underway() {
        found(
            Level::Note,
            "its mail can be read and changed on the way".to_owned(),
            "take clear_text out where the server knows TLS",
        );
    }
    let recipients = mail.recipients().join(", ");
    found(
        Level::Note,
        format!("whoever is asked is told at: {recipients}"),
        "",
    );
    Ok(Examined {
        issuer: format!("mail from {}", mail.from),
        findings,
    })
}

fn place(mail: &Mail) -> Result<Place<'_>> {
    let login = match &mail.login {
        None => None,
        Some((user, secret)) => {
            let secret = secret.resolve(|name| std::env::var(name).ok());
            let secret = secret
                .map_err(|error| anyhow::anyhow!("secret {error}; {}", error.remedy()))
                .context(PLACE)?;
            Some((user.clone(), secret))
        }
    };
    Ok(Place {
        host: mail.host.clone(),
        port: mail.port,
        protection: match mail.tls {
            MailTls::Implicit => Protection::Implicit,
            MailTls::StartTls => Protection::StartTls,
            MailTls::ClearText => Protection::ClearText,
        },
        allow_private: mail.allow_private,
        ca: mail.ca.as_deref(),
        login,
    })
}
