//! The question to the person: may this program act for you? Asked for every sign-in, whoever the program is,
//! before anybody is sent to a provider.
//!
//! What keeps a stranger out of it (CVE-2026-27124 and what the MCP security guide calls the confused deputy):
//!
//! - the form counts only with a token sealed by this server for this sign-in and this browser's cookie, and only
//!   from our own origin, which also a page on another port of the same host is not (cookies ignore ports);
//! - the cookie that the provider's answer needs is made when the person says yes, in that very answer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, StatusCode, header};
use zeroize::Zeroizing;

use super::authorize::{self, Error, Wanted};
use super::clients::{Known, Voucher};
use super::pages::{self, Cookie, text};
use super::redirect::{Leads, Redirect};
use super::{Answer, Asked, Facade, Fields, cookie, path};
use crate::call::{Hash, hex};
use crate::identity::provider::{Provider, Question};
use crate::store::StoreError;
use crate::store::sign_ins::{Approved, SignInRow};

/// How long a person has, from the first page to the provider's answer.
const SECONDS: u64 = 600;
/// Sign-ins under way.
const MOST: u32 = 10_000;
/// The length of an id and of a cookie's value.
const SECRET: usize = 43;

/// `SameSite` of the cookie that our own form needs.
const ASKED: &str = "Strict";
/// `SameSite` of a cookie that comes with a form of another site. Browsers take it only with `Secure`; on
/// loopback Chromium does so although there is no TLS.
const CROSS_SITE: &str = "None";

/// `SameSite` of the cookie that an answer of this provider needs. A form that another site posts brings no Lax
/// cookie, and that is how some providers answer.
pub(super) fn bound_for(provider: &dyn Provider) -> &'static str {
    if provider.posts() { CROSS_SITE } else { "Lax" }
}

/// A cookie of one sign-in, so that two at once do not meet.
#[derive(Clone, Copy)]
pub(super) enum Jar {
    /// Of the browser that sees the question.
    Asked,
    /// Of the browser whose person said yes.
    Bound,
}

impl Facade {
    /// Begins a sign-in and asks the person. The answer is a whole page.
    pub(super) async fn ask(&self, wanted: &Wanted) -> Answer {
        match self.begin(wanted).await {
            Ok(id) => self.question(wanted, &id),
            Err(error) => pages::store_away(&error),
        }
    }

    /// Keeps what is wanted. Gives the id that pages and the provider's `state` carry.
    async fn begin(&self, wanted: &Wanted) -> Result<Zeroizing<String>, StoreError> {
        let id = self.fresh("");
        let now = self.world.now().0;
        let row = SignInRow {
            hash: Hash::of(id.as_bytes()).0,
            client_id: wanted.client.id.clone(),
            client_name: wanted.client.name.clone(),
            verified: wanted.client.is_verified(),
            redirect_uri: wanted.redirect.as_ref().map(|uri| uri.as_str().to_owned()),
            state: wanted.state.clone(),
            challenge: wanted.challenge.clone(),
            resource: self.spec.resource.clone(),
            scope: wanted.scope.clone(),
            device: wanted.device,
            created_at: now,
            expires_at: now + SECONDS * 1000,
        };
        let mut tx = self.rows.write().await?;
        tx.begin_sign_in(&row, MOST).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The question, for the browser that gets this page and its cookie, and no other.
    fn question(&self, wanted: &Wanted, id: &str) -> Answer {
        let hash = Hash::of(id.as_bytes());
        let secret = self.fresh("");
        let about = form_about(&hash, &secret);
        let Some(token) = self.seal.seal(&about, b"", self.world.as_ref()) else {
            return broken();
        };
        let token = URL_SAFE_NO_PAD.encode(token);
        let mut answer = self.question_page(wanted, id, &token);
        self.set_cookie(&mut answer, Jar::Asked, &hash, &secret, ASKED);
        answer
    }

    /// What was asked, and what the person says to it.
    pub(super) async fn consent(&self, asked: &Asked<'_>) -> Answer {
        match *asked.method {
            Method::POST => self.decided(asked).await,
            _ => pages::wrong_method("POST"),
        }
    }

    /// The person's answer.
    async fn decided(&self, asked: &Asked<'_>) -> Answer {
        if !self.is_from_here(asked.headers) || !authorize::is_form(asked) {
            return pages::problem(
                StatusCode::FORBIDDEN,
                "That did not come from this page",
                "Another page sent this form. Nothing was decided. Begin again in the program.",
            );
        }
        let (fields, None) = Fields::parse(asked.body) else {
            return unclear();
        };
        let id = fields
            .get("id")
            .filter(|id| id.len() == SECRET)
            .unwrap_or_default();
        let hash = Hash::of(id.as_bytes());
        if !self.is_our_form(asked.headers, &fields, &hash) {
            return over();
        }
        match (fields.get("deny"), fields.get("at")) {
            (Some(_), None) => self.denied(&hash).await,
            (None, Some(at)) => match self.provider(at) {
                Some(provider) => self.approved(provider.as_ref(), id, &hash).await,
                None => Ok(unclear()),
            },
            _ => Ok(unclear()),
        }
        .unwrap_or_else(|error| pages::store_away(&error))
    }

    /// Whether the form was made by us for this sign-in and this browser.
    fn is_our_form(&self, headers: &HeaderMap, fields: &Fields, hash: &Hash) -> bool {
        let secret = cookie(headers, &self.cookie_name(Jar::Asked, hash));
        let token = fields
            .get("token")
            .and_then(|token| URL_SAFE_NO_PAD.decode(token).ok());
        match (secret, token) {
            (Some(secret), Some(token)) => self.seal.open(&form_about(hash, secret), &token).is_some(),
            _ => false,
        }
    }

    /// Browsers say where a form comes from: `Origin` always, `Sec-Fetch-Site` the newer ones. Both must say: here.
    pub(super) fn is_from_here(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN);
        let site = headers.get("sec-fetch-site");
        origin.is_some_and(|origin| origin.as_bytes() == self.spec.url.as_bytes())
            && site.is_none_or(|site| site == "same-origin")
    }

    async fn denied(&self, hash: &Hash) -> Result<Answer, StoreError> {
        let now = self.world.now().0;
        let mut tx = self.rows.write().await?;
        let row = tx.undecided_sign_in(&hash.0, now).await?;
        let denied = tx.deny_sign_in(&hash.0, now).await?;
        let (Some(row), true) = (row, denied) else {
            return Ok(over());
        };
        if let Some(device) = &row.device {
            tx.refuse_device(device).await?;
        }
        tx.commit().await?;
        let mut answer = match row.redirect_uri.as_deref().and_then(Redirect::parse) {
            None => pages::problem(
                StatusCode::OK,
                "You said no",
                "Nobody was signed in, and the device has been told. You can close this page.",
            ),
            Some(redirect) => {
                let error = Error("access_denied", "The person said no.");
                let back = self.refusal(&redirect, row.state.as_deref(), &error);
                pages::onward(&back, &place(&redirect.leads()))
            }
        };
        self.take_cookie(&mut answer, Jar::Asked, hash, ASKED);
        Ok(answer)
    }

    async fn approved(&self, provider: &dyn Provider, id: &str, hash: &Hash) -> Result<Answer, StoreError> {
        let question = Question {
            redirect_uri: self.return_uri(provider),
            state: Zeroizing::new(id.to_owned()),
            nonce: self.fresh(""),
            verifier: self.fresh(""),
            max_age: None,
            acr_values: Vec::new(),
        };
        let bound = self.fresh("");
        // Asked before anything is decided: while a provider is away, the page can be sent again.
        let place = match provider.begin(&question).await {
            Ok(place) => place,
            Err(error) => {
                tracing::warn!(issuer = provider.name(), %error, "nobody can sign in at this provider");
                return Ok(pages::problem(
                    StatusCode::BAD_GATEWAY,
                    "The identity provider cannot be reached",
                    "Nothing was decided. Go back and try again in a minute.",
                ));
            }
        };
        let verifier = question.verifier.as_bytes();
        let Some(sealed) = self
            .seal
            .seal(&verifier_about(hash), verifier, self.world.as_ref())
        else {
            return Ok(broken());
        };
        let approved = Approved {
            issuer: provider.name().to_owned(),
            nonce: question.nonce.to_string(),
            sealed,
            bound: Hash::of(bound.as_bytes()).0,
        };
        let mut tx = self.rows.write().await?;
        if !tx.approve_sign_in(&hash.0, &approved, self.world.now().0).await? {
            return Ok(over());
        }
        tx.commit().await?;
        let mut answer = pages::onward(
            place.as_str(),
            place.host_str().unwrap_or("your identity provider"),
        );
        self.take_cookie(&mut answer, Jar::Asked, hash, ASKED);
        self.set_cookie(&mut answer, Jar::Bound, hash, &bound, bound_for(provider));
        Ok(answer)
    }

    /// Where a provider sends people back to.
    pub(super) fn return_uri(&self, provider: &dyn Provider) -> String {
        let path = if provider.posts() {
            path::SAML
        } else {
            path::CALLBACK
        };
        format!("{}{}", self.at(path), provider.name())
    }

    /// Over TLS `__Host-`: no other host, also not a sibling, can set it. Browsers refuse that prefix on plain
    /// HTTP, which is loopback alone: there the name goes without, and that any page on another loopback port
    /// may set or read it in the browser's stead is why the form needs more than a cookie.
    pub(super) fn cookie_name(&self, jar: Jar, hash: &Hash) -> String {
        let prefix = if self.is_secure() { "__Host-" } else { "" };
        let jar = match jar {
            Jar::Asked => "asked",
            Jar::Bound => "bound",
        };
        let which: String = hash.hex().chars().take(16).collect();
        format!("{prefix}tollgate-{jar}-{which}")
    }

    fn set_cookie(&self, answer: &mut Answer, jar: Jar, hash: &Hash, value: &str, same_site: &'static str) {
        let name = self.cookie_name(jar, hash);
        let cookie = Cookie {
            name: &name,
            value,
            seconds: SECONDS,
            secure: self.is_secure() || same_site == CROSS_SITE,
            same_site,
        };
        cookie.set(answer);
    }

    /// As it was set: browsers let nothing less secure end a `Secure` cookie (RFC 6265bis 5.7).
    pub(super) fn take_cookie(&self, answer: &mut Answer, jar: Jar, hash: &Hash, same_site: &'static str) {
        let name = self.cookie_name(jar, hash);
        let cookie = Cookie {
            name: &name,
            value: "",
            seconds: 0,
            secure: self.is_secure() || same_site == CROSS_SITE,
            same_site,
        };
        cookie.set(answer);
    }

    /// The page with the question.
    fn question_page(&self, wanted: &Wanted, id: &str, token: &str) -> Answer {
        let client = &wanted.client;
        let leads = wanted.redirect.as_ref().map(Redirect::leads);
        let mut body = format!(
            "<section><p>If you say yes, it can call the tools of <bdi>{}</bdi> as you.</p><dl>{}{}{}</dl></section>",
            text(&self.spec.url),
            who(client),
            whither(wanted.redirect.as_ref(), leads.as_ref()),
            self.what(&wanted.scope),
        );
        for warning in warnings(client, leads.as_ref()) {
            body.push_str("<section class=\"care\"><p><strong>Take care.</strong> ");
            body.push_str(&text(&warning));
            body.push_str("</p></section>");
        }
        body.push_str(&self.form(id, token));
        pages::page(StatusCode::OK, "A program asks to act for you", &body)
    }

    /// In words what a scope lets a program call. Policy decides every call all the same.
    fn what(&self, scope: &str) -> String {
        let granted: Vec<&str> = scope.split(' ').filter(|scope| !scope.is_empty()).collect();
        if self.spec.scopes.is_empty() {
            return "<dt>It may</dt><dd>use every tool that you may use</dd>".to_owned();
        }
        if granted.is_empty() {
            return "<dt>It may</dt><dd>sign you in, and use only tools that need no scope</dd>".to_owned();
        }
        let line = |scope: &&str| {
            let tools = self.spec.scopes.get(*scope);
            let tools = tools.map(|tools| tools.iter().map(|tool| text(tool)).collect::<Vec<_>>().join(", "));
            format!(
                "<li><code>{}</code>: {}</li>",
                text(scope),
                tools
                    .filter(|tools| !tools.is_empty())
                    .unwrap_or_else(|| "no tool".to_owned())
            )
        };
        let lines: String = granted.iter().map(line).collect();
        format!("<dt>It may use, as far as you may</dt><dd><ul>{lines}</ul></dd>")
    }

    fn form(&self, id: &str, token: &str) -> String {
        let several = self.providers.len() > 1;
        let buttons = self.providers.iter().map(|provider| {
            let name = text(provider.name());
            let label = if several {
                format!("Allow, sign in with {name}")
            } else {
                "Allow and sign in".to_owned()
            };
            format!("<button class=\"yes\" name=\"at\" value=\"{name}\">{label}</button>")
        });
        let buttons: String = buttons.collect();
        format!(
            "<section><form method=\"post\" action=\"{}\">\
             <input type=\"hidden\" name=\"id\" value=\"{id}\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\
             <button class=\"no\" name=\"deny\" value=\"1\">Deny</button>{buttons}</form></section>",
            path::CONSENT
        )
    }
}

/// Who asks, and who says so.
fn who(client: &Known) -> String {
    let name = text(&client.name);
    match &client.by {
        Voucher::Operator => format!(
            "<dt>Program</dt><dd><bdi>{name}</bdi></dd>\
             <dt>Known from</dt><dd>this server's configuration</dd>"
        ),
        Voucher::Host(host) => format!(
            "<dt>Program</dt><dd><bdi>{}</bdi></dd>\
             <dt>It calls itself</dt><dd>“<bdi>{name}</bdi>”</dd>",
            text(host)
        ),
        Voucher::Nobody => format!(
            "<dt>Program</dt><dd>unknown: it registered itself</dd>\
             <dt>It calls itself</dt><dd>“<bdi>{name}</bdi>”</dd>"
        ),
    }
}

/// Where the answer goes.
fn whither(redirect: Option<&Redirect>, leads: Option<&Leads>) -> String {
    match (redirect, leads) {
        (Some(redirect), Some(leads)) => format!(
            "<dt>The answer goes to</dt><dd><bdi>{}</bdi><br><code class=\"faint\">{}</code></dd>",
            text(&place(leads)),
            text(redirect.as_str())
        ),
        _ => "<dt>The answer goes to</dt><dd>the device that showed you the code</dd>".to_owned(),
    }
}

fn place(leads: &Leads) -> String {
    match leads {
        Leads::Site(host) => host.clone(),
        Leads::Loopback(host) => format!("a program on this computer ({host})"),
        Leads::Program(scheme) => format!("whatever program opens {scheme} on this computer"),
    }
}

fn warnings(client: &Known, leads: Option<&Leads>) -> Vec<String> {
    let mut warnings = Vec::new();
    if client.by == Voucher::Nobody {
        warnings.push("Nobody vouches for this program: its name is what it says itself.".to_owned());
    }
    match (leads, &client.by) {
        (None, _) => warnings.push(
            "Say yes only if you began this yourself, on a device that is in front of you. Nobody else may send \
             you such a code."
                .to_owned(),
        ),
        (Some(Leads::Loopback(_) | Leads::Program(_)), _) => warnings.push(
            "Any program on this computer can receive the answer. Say yes only if you have just begun this sign-in \
             yourself."
                .to_owned(),
        ),
        (Some(Leads::Site(site)), Voucher::Host(host)) if site != host => warnings.push(format!(
            "The program is known from {host}, but its answer goes to {site}."
        )),
        (Some(Leads::Site(_)), _) => {}
    }
    warnings
}

/// What a form's token is sealed for.
fn form_about(hash: &Hash, secret: &str) -> String {
    format!("consent/{}/{}", hash.hex(), Hash::of(secret.as_bytes()).hex())
}

/// What the verifier towards the provider is sealed for.
pub(super) fn verifier_about(hash: &Hash) -> String {
    format!("sign-in/{}", hex(&hash.0))
}

fn unclear() -> Answer {
    pages::problem(
        StatusCode::BAD_REQUEST,
        "That answer is not clear",
        "Nothing was decided. Go back and press one of the buttons.",
    )
}

/// One answer for everything that does not fit: a stranger learns nothing from it.
pub(super) fn over() -> Answer {
    pages::problem(
        StatusCode::BAD_REQUEST,
        "This sign-in is over",
        "It was not begun in this browser, is more than ten minutes old, or has had its answer. \
         Begin again in the program.",
    )
}

pub(super) fn broken() -> Answer {
    tracing::error!("a sign-in could not be sealed: the facade's key does not work");
    pages::problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "This server cannot sign anybody in",
        "Tell whoever runs it: the key of [facade] does not work.",
    )
}
