//! Programs without a browser (RFC 8628): the program shows a short code, a person types it here and then
//! signs in and consents as for every other client.
//!
//! A short code can be guessed, and whoever guesses one signs somebody else's program in as themselves:
//! 34 bits, ten minutes, and a bound on wrong codes, per address and for all.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::authorize::{self, Wanted};
use super::clients::Unknown;
use super::token::{Exchange, Fault, client_form, client_id};
use super::{Answer, Asked, Fields, pages, path, prefix};
use crate::call::Hash;
use crate::clock::World;
use crate::identity::recent::Recent;
use crate::identity::sessions::{Issued, Proof, Redeem, Refused, fresh, is_well_formed};
use crate::store::StoreError;
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
    pub(super) async fn authorize_device(&self, asked: &Asked<'_>) -> Result<Value, Fault> {
        let fields = client_form(asked)?;
        let client_id = client_id(&fields)?;
        self.resource(&fields)?;
        let scope = self.facade.scope_of(fields.get("scope"));
        let scope = scope.map_err(|error| Fault::new(error.0, error.1))?;
        let client = self
            .facade
            .client(client_id)
            .await
            .map_err(|unknown| match unknown {
                Unknown::Store(error) => Fault::from(error),
                _ => Fault::client("There is no such client."),
            })?;
        let world = self.facade.world.as_ref();
        let now = world.now().0;
        let secret = fresh(prefix::DEVICE, world);
        let row = DeviceRow {
            hash: Hash::of(secret.as_bytes()).0,
            user_code: String::new(),
            client_id: client_id.to_owned(),
            verified: client.is_verified(),
            client_name: client.name,
            resource: self.facade.spec.resource.clone(),
            scope,
            created_at: now,
            expires_at: now.saturating_add(WITHIN),
            polled_at: None,
            pause: PAUSE,
            denied: false,
            code: None,
        };
        let user_code = self.waiting(row).await?.ok_or(Fault::UNAVAILABLE)?;
        let page = self.facade.at(path::DEVICE);
        Ok(json!({
            "device_code": secret.as_str(),
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": WITHIN / 1000,
            "interval": PAUSE / 1000,
        }))
    }

    /// Lets a device wait. Gives its user code; `None` when too many wait.
    async fn waiting(&self, mut row: DeviceRow) -> Result<Option<String>, StoreError> {
        let mut tx = self.facade.rows.write().await?;
        let mut waits = false;
        for _ in 0..ATTEMPTS {
            row.user_code = user_code(self.facade.world.as_ref());
            waits = tx.insert_device(&row, WAITING).await?;
            if waits {
                break;
            }
        }
        tx.commit().await?;
        Ok(waits.then_some(row.user_code))
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
        let mut tx = self.facade.rows.write().await?;
        let now = self.facade.world.now().0;
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
    pub(super) async fn device_page(&self, asked: &Asked<'_>, from: IpAddr) -> Answer {
        match *asked.method {
            Method::GET => {
                let (fields, _) = Fields::parse(asked.query.as_bytes());
                let typed = fields.get("user_code").and_then(canonical);
                form(StatusCode::OK, typed.as_deref(), None)
            }
            Method::POST if !self.facade.is_from_here(asked.headers) || !authorize::is_form(asked) => form(
                StatusCode::FORBIDDEN,
                None,
                Some("That did not come from this page. Type the code here."),
            ),
            Method::POST => self.typed(asked, from).await,
            _ => pages::wrong_method("GET, POST"),
        }
    }

    async fn typed(&self, asked: &Asked<'_>, from: IpAddr) -> Answer {
        let (fields, None) = Fields::parse(asked.body) else {
            return form(StatusCode::BAD_REQUEST, None, Some("The form cannot be read."));
        };
        let guess = match self.guesses.guess(from) {
            Ok(guess) => guess,
            Err(wait) => return too_many(wait),
        };
        let device = match fields.get("user_code").and_then(canonical) {
            Some(code) => self.who_shows(&code).await,
            None => Ok(None),
        };
        match device {
            Err(error) => pages::store_away(&error),
            Ok(None) => form(
                StatusCode::NOT_FOUND,
                None,
                Some(
                    "That code is not known. A code lasts ten minutes and works once: compare it, or begin again.",
                ),
            ),
            Ok(Some(device)) => {
                guess.was_right();
                self.ask_for(device).await
            }
        }
    }

    async fn who_shows(&self, user_code: &str) -> Result<Option<DeviceRow>, StoreError> {
        let mut tx = self.facade.rows.read().await?;
        let device = tx.waiting_device(user_code, self.facade.world.now().0).await?;
        tx.commit().await?;
        Ok(device)
    }

    /// From here on it is a sign-in like every other, with its own question to the person.
    async fn ask_for(&self, device: DeviceRow) -> Answer {
        match self.facade.client(&device.client_id).await {
            Ok(client) => {
                let wanted = Wanted {
                    client,
                    redirect: None,
                    state: None,
                    challenge: None,
                    scope: device.scope,
                    device: Some(device.hash),
                };
                self.facade.ask(&wanted).await
            }
            Err(Unknown::Store(error)) => pages::store_away(&error),
            Err(_) => form(
                StatusCode::FORBIDDEN,
                None,
                Some("The program that shows this code is not known here any more."),
            ),
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
pub(super) fn canonical(typed: &str) -> Option<String> {
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
pub(super) struct Guesses {
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

/// `code` and `fault` are ours: a code in its canonical form, and a sentence.
fn form(status: StatusCode, code: Option<&str>, fault: Option<&str>) -> Answer {
    let code = code.unwrap_or_default();
    let fault = fault.map_or_else(String::new, |fault| {
        format!("<section class=\"care\" role=\"alert\"><p><strong>{fault}</strong></p></section>")
    });
    let body = format!(
        "{fault}<section><form method=\"post\" action=\"{}\"><p><label for=\"c\">The code your terminal shows</label></p>\
         <input id=\"c\" name=\"user_code\" value=\"{code}\" autocomplete=\"off\" autocapitalize=\"characters\" \
         spellcheck=\"false\" maxlength=\"16\" required><button class=\"yes\">Continue</button></form></section>\
         <section class=\"care\"><p><strong>Go on only if you started that program yourself, just now.</strong></p>\
         <p>Nobody has a reason to send you a code: whoever does wants to work in your name.</p></section>",
        path::DEVICE,
    );
    pages::page(status, "Sign a program in", &body)
}

fn too_many(wait: Duration) -> Answer {
    let fault = "There were too many wrong codes. Wait ten minutes.";
    let mut answer = form(StatusCode::TOO_MANY_REQUESTS, None, Some(fault));
    let seconds = HeaderValue::from(wait.as_secs().max(1));
    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    answer
}
