//! Programs without a browser (RFC 8628): the program shows a short code, a person types it here and then
//! signs in and consents as for every other client.
//!
//! A short code can be guessed, and whoever guesses one signs somebody else's program in as themselves:
//! 34 bits, ten minutes, and a bound on wrong codes, per address and for all.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use super::fields::Fields;
use super::token::{Exchange, Fault, client_form, client_id, only};
use super::{path, prefix};
use crate::call::Hash;
use crate::clock::World;
use crate::identity::recent::Recent;
use crate::identity::sessions::{Issued, Proof, Redeem, Refused, fresh, is_well_formed};
use crate::store::sessions::DeviceRow;

/// How long a person has, in milliseconds.
const WITHIN: u64 = 600_000;
/// Between two questions of a device, in milliseconds; and how much longer after each hasty one.
const PAUSE: u64 = 5_000;
const SLOWER: u64 = 5_000;
/// What the network may take off a pause, in milliseconds.
const JITTER: u64 = 500;
/// Letters of user codes: no vowels, so no words (RFC 8628 section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of one code.
const LENGTH: usize = 8;
/// Devices that may wait at once.
const WAITING: u32 = 10_000;
/// Attempts to find a user code that is not taken.
const ATTEMPTS: u32 = 4;
/// Wrong codes within [`WINDOW`]: of one address, and of all.
const WRONG: u32 = 10;
const WRONG_IN_ALL: u32 = 1_000;
const WINDOW: Duration = Duration::from_mins(10);
/// Half of the addresses remembered.
const ADDRESSES_HALF: usize = 8_192;

impl Exchange {
    /// Section 3.1: a device begins.
    pub(super) async fn authorize_device(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, Fault> {
        let fields = client_form(headers, body)?;
        let client_id = client_id(&fields)?;
        let resource = fields.get("resource").unwrap_or(&self.spec.resource);
        if resource != self.spec.resource {
            return Err(Refused::Target.into());
        }
        let scope = self.scope(fields.get("scope"))?;
        let client = self.front.named(client_id).await;
        let client = client.ok_or(Fault::client("There is no such client."))?;
        let now = self.world.now().0;
        let secret = fresh(prefix::DEVICE, self.world.as_ref());
        let mut row = DeviceRow {
            hash: Hash::of(secret.as_bytes()).0,
            user_code: String::new(),
            client_id: client_id.to_owned(),
            client_name: client.name,
            verified: client.verified,
            resource: resource.to_owned(),
            scope,
            created_at: now,
            expires_at: now.saturating_add(WITHIN),
            polled_at: None,
            pause: PAUSE,
            denied: false,
            code: None,
        };
        let mut tx = self.rows.write().await?;
        let mut waits = false;
        for _ in 0..ATTEMPTS {
            row.user_code = user_code(self.world.as_ref());
            waits = tx.insert_device(&row, WAITING).await?;
            if waits {
                break;
            }
        }
        tx.commit().await?;
        if !waits {
            return Err(Fault::UNAVAILABLE);
        }
        let page = format!("{}{}", self.spec.url, path::DEVICE);
        Ok(json!({
            "device_code": secret.as_str(),
            "user_code": row.user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={}", row.user_code),
            "expires_in": WITHIN / 1000,
            "interval": PAUSE / 1000,
        }))
    }

    /// The scopes asked for, sorted; all there are when none is named.
    fn scope(&self, asked: Option<&str>) -> Result<String, Fault> {
        let known = &self.spec.scopes;
        let mut scopes: Vec<&str> = match asked {
            Some(asked) => asked.split(' ').filter(|scope| !scope.is_empty()).collect(),
            None => known.keys().map(String::as_str).collect(),
        };
        if scopes.iter().any(|scope| !known.contains_key(*scope)) {
            return Err(Fault::new("invalid_scope", "There is no such scope."));
        }
        scopes.sort_unstable();
        scopes.dedup();
        Ok(scopes.join(" "))
    }

    /// Section 3.4: a device asks whether somebody has signed in for it.
    pub(super) async fn poll(
        &self,
        secret: &str,
        client_id: &str,
        resource: Option<&str>,
    ) -> Result<Issued, Fault> {
        if !is_well_formed(secret, prefix::DEVICE) {
            return Err(Refused::Grant.into());
        }
        let hash = Hash::of(secret.as_bytes());
        let mut tx = self.rows.write().await?;
        let now = self.world.now().0;
        let device = tx.device(&hash.0).await?;
        let Some(device) = device.filter(|device| device.client_id == client_id) else {
            tx.commit().await?;
            return Err(Refused::Grant.into());
        };
        let hasty = |polled: u64| now.saturating_add(JITTER) < polled.saturating_add(device.pause);
        let answer = if now >= device.expires_at {
            Err(Fault::new("expired_token", "The code has expired; begin again."))
        } else if device.denied {
            Err(Fault::new("access_denied", "The person refused."))
        } else if device.polled_at.is_some_and(hasty) {
            let slower = device.pause.saturating_add(SLOWER);
            tx.device_polled(&hash.0, now, slower).await?;
            Err(Fault::new(
                "slow_down",
                "Ask less often: five seconds more between two questions.",
            ))
        } else {
            tx.device_polled(&hash.0, now, device.pause).await?;
            let waits = Fault::new("authorization_pending", "Nobody has signed in yet.");
            device.code.ok_or(waits)
        };
        tx.commit().await?;
        let redeem = Redeem {
            code: Hash(answer?),
            client_id,
            proof: Proof::Device,
            resource,
        };
        Ok(self.sessions.redeem(&redeem).await?)
    }

    /// Where people type the code.
    pub(super) async fn device_page(&self, request: &Request<Vec<u8>>, from: IpAddr) -> Response<Vec<u8>> {
        match *request.method() {
            Method::GET => {
                let query = request.uri().query().unwrap_or_default();
                let fields = Fields::of(query.as_bytes()).ok();
                let typed = fields.as_ref().and_then(|fields| fields.get("user_code"));
                page(StatusCode::OK, typed.and_then(canonical).as_deref(), None)
            }
            Method::POST if !self.is_from_here(request.headers()) => page(
                StatusCode::FORBIDDEN,
                None,
                Some("This form was sent from another page. Type the code here."),
            ),
            Method::POST => self.typed(request, from).await,
            _ => only("GET, POST"),
        }
    }

    async fn typed(&self, request: &Request<Vec<u8>>, from: IpAddr) -> Response<Vec<u8>> {
        let Ok(fields) = Fields::of_body(request.headers(), request.body()) else {
            return page(StatusCode::BAD_REQUEST, None, Some("The form cannot be read."));
        };
        let code = fields.get("user_code").and_then(canonical);
        let guess = match self.guesses.guess(from) {
            Ok(guess) => guess,
            Err(wait) => return too_many(wait),
        };
        let wrong =
            "That code is not known. Codes last ten minutes and work once: compare it, or begin again.";
        let Some(code) = code else {
            return page(StatusCode::NOT_FOUND, None, Some(wrong));
        };
        let begun = async {
            let mut tx = self.rows.read().await?;
            let device = tx.waiting_device(&code, self.world.now().0).await?;
            tx.commit().await?;
            match device {
                Some(device) => self.front.begin_for(&device).await,
                None => Ok(None),
            }
        };
        match begun.await {
            Ok(Some(location)) => {
                guess.was_right();
                see(&location)
            }
            Ok(None) => page(StatusCode::NOT_FOUND, None, Some(wrong)),
            Err(error) => {
                tracing::error!(%error, "no sign-in could be begun for a device");
                let later = "This is not possible at the moment. Try again in a minute.";
                page(StatusCode::SERVICE_UNAVAILABLE, Some(&code), Some(later))
            }
        }
    }

    /// Whether a form was sent by a page of ours. Browsers say so (Fetch Metadata; else `Origin`); what says
    /// nothing is no browser and has nobody's cookies.
    fn is_from_here(&self, headers: &HeaderMap) -> bool {
        if let Some(site) = headers.get("sec-fetch-site") {
            return site == "same-origin" || site == "none";
        }
        let ours = Url::parse(&self.spec.url).map(|url| url.origin().ascii_serialization());
        match headers.get(header::ORIGIN) {
            Some(origin) => ours.is_ok_and(|ours| origin == ours.as_str()),
            None => true,
        }
    }
}

/// Eight letters, evenly, as `XXXX-XXXX`.
fn user_code(world: &dyn World) -> String {
    let mut letters = Vec::with_capacity(LENGTH);
    let even = u8::MAX - u8::MAX % 20; // above it, some letters would come more often
    while letters.len() < LENGTH {
        let mut random = [0; 32];
        world.random(&mut random);
        let fits = random.into_iter().filter(|byte| *byte < even);
        letters.extend(fits.filter_map(|byte| LETTERS.get(usize::from(byte % 20))));
    }
    let mut code: String = letters
        .into_iter()
        .take(LENGTH)
        .map(|letter: &u8| char::from(*letter))
        .collect();
    code.insert(LENGTH / 2, '-');
    code
}

/// A code as people type it, with or without its dash, in either case; `None` when it cannot be one.
fn canonical(typed: &str) -> Option<String> {
    if typed.len() > 64 {
        return None;
    }
    let letters = typed
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != '-');
    let mut code: String = letters.map(|letter| letter.to_ascii_uppercase()).collect();
    let fits = code.len() == LENGTH && code.bytes().all(|letter| LETTERS.contains(&letter));
    fits.then(|| {
        code.insert(LENGTH / 2, '-');
        code
    })
}

/// Counts wrong user codes.
#[derive(Debug)]
pub struct Guesses {
    counted: Mutex<Counted>,
    world: Arc<dyn World>,
}

#[derive(Debug)]
struct Counted {
    all: Window,
    by_address: Recent<IpAddr, Window>,
}

/// Wrong codes since a (monotonic) time.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    wrong: u32,
    since: Duration,
}

impl Window {
    fn at(self, now: Duration) -> Self {
        if now.saturating_sub(self.since) < WINDOW {
            return self;
        }
        Self { wrong: 0, since: now }
    }
}

/// One attempt, counted as wrong until it is known to be right: many at once count as many.
struct Guess<'a> {
    guesses: &'a Guesses,
    address: IpAddr,
}

impl Guesses {
    pub(super) fn new(world: Arc<dyn World>) -> Self {
        let counted = Counted {
            all: Window::default(),
            by_address: Recent::new(ADDRESSES_HALF),
        };
        Self {
            counted: Mutex::new(counted),
            world,
        }
    }

    /// How long to wait, when there were too many.
    fn guess(&self, from: IpAddr) -> Result<Guess<'_>, Duration> {
        let address = neighbourhood(from);
        let now = self.world.monotonic();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = counted.all.at(now);
        let mut own = counted
            .by_address
            .get(&address)
            .copied()
            .unwrap_or_default()
            .at(now);
        let full = [(own, WRONG), (all, WRONG_IN_ALL)];
        if let Some((window, _)) = full.into_iter().find(|(window, most)| window.wrong >= *most) {
            return Err((window.since + WINDOW).saturating_sub(now));
        }
        all.wrong += 1;
        own.wrong += 1;
        counted.all = all;
        counted.by_address.put(address, own);
        Ok(Guess {
            guesses: self,
            address,
        })
    }
}

impl Guess<'_> {
    fn was_right(self) {
        let mut counted = self
            .guesses
            .counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counted.all.wrong = counted.all.wrong.saturating_sub(1);
        if let Some(own) = counted.by_address.get(&self.address) {
            own.wrong = own.wrong.saturating_sub(1);
        }
    }
}

/// What one subscriber of a network has: of IPv6, a /64.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}\
input{font:1.5rem ui-monospace,monospace;width:12rem;padding:.3rem;text-transform:uppercase}\
button{font:inherit;padding:.5rem 1rem}.fault{border-left:4px solid #b00020;padding-left:.75rem}";

/// `code` and `fault` are ours: a code in its canonical form, and a sentence.
fn page(status: StatusCode, code: Option<&str>, fault: Option<&str>) -> Response<Vec<u8>> {
    let code = code.unwrap_or_default();
    let fault = fault.map_or_else(String::new, |fault| {
        format!("<p class=\"fault\" role=\"alert\">{fault}</p>")
    });
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Sign a program in - Tollgate</title>\
         <style>{STYLE}</style></head><body><h1>Sign a program in</h1>{fault}\
         <form method=\"post\" action=\"{}\"><p><label for=\"c\">The code your terminal shows</label></p>\
         <p><input id=\"c\" name=\"user_code\" value=\"{code}\" autocomplete=\"off\" autocapitalize=\"characters\" \
         spellcheck=\"false\" maxlength=\"16\" required></p>\
         <p>Go on only if you started that program yourself, just now. Nobody has a reason to send you a code: \
         whoever does wants to work in your name.</p>\
         <p><button>Continue</button></p></form></body></html>",
        path::DEVICE,
    );
    let mut response = Response::new(body.into_bytes());
    *response.status_mut() = status;
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        STANDARD.encode(Hash::of(STYLE.as_bytes()).0)
    );
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: with that, browsers say `Origin: null` of our own form.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn too_many(wait: Duration) -> Response<Vec<u8>> {
    let fault = "There were too many wrong codes. Wait ten minutes.";
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, None, Some(fault));
    let seconds = HeaderValue::from(wait.as_secs().max(1));
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

fn see(location: &str) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    let Ok(location) = HeaderValue::from_str(location) else {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
