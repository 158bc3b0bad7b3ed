//! Logging in where there is no browser: the device authorization grant (RFC 8628).

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::code::failed;
use super::grant::{self, Fault, sendable};
use super::{Login, LoginError, Plan};
use crate::clock::World;
use crate::identity::fetch::Fetch;
use crate::identity::spec::{is_loopback, secure};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Seconds between two questions where the server says nothing (section 3.2).
const INTERVAL: u64 = 5;
/// The longest and the shortest a person has, in seconds, whatever the server says.
const WITHIN: (u64, u64) = (30, 1800);
/// Faults of the network in a row before we give up.
const FAULTS: u32 = 5;

/// What a person is shown. The server's pre-filled address is left out on purpose: whoever is sent one
/// signs in somebody else's terminal with a single click (section 5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The address to open, in any browser.
    pub address: Url,
    /// The code to type there.
    pub code: String,
}

impl Plan {
    /// Logs in by a code that the person types into a browser elsewhere.
    ///
    /// # Errors
    /// Why nobody is logged in.
    pub async fn by_device(
        self,
        fetch: &dyn Fetch,
        world: &dyn World,
        show: impl FnOnce(&Prompt),
    ) -> Result<Login, LoginError> {
        let endpoint = self.device.clone().ok_or_else(|| {
            LoginError::Metadata(format!(
                "{} does not offer logging in without a browser (device authorization)",
                self.key.issuer
            ))
        })?;
        let mut fields = vec![
            ("client_id", self.key.client_id.as_str()),
            ("resource", self.key.resource.as_str()),
        ];
        if !self.scope.is_empty() {
            fields.push(("scope", self.scope.as_str()));
        }
        let answer = grant::post(fetch, &endpoint, &fields).await.map_err(failed)?;
        let begun = Begun::read(&answer, is_loopback(&self.token))
            .ok_or_else(|| LoginError::Metadata("the device authorization makes no sense".to_owned()))?;
        show(&begun.prompt);
        let waited = tokio::time::timeout(begun.within, self.poll(fetch, world, &begun)).await;
        let tokens = waited.map_err(|_| LoginError::TooLate)??;
        Ok(self.login(tokens))
    }

    /// Section 3.5.
    async fn poll(
        &self,
        fetch: &dyn Fetch,
        world: &dyn World,
        begun: &Begun,
    ) -> Result<super::Tokens, LoginError> {
        let fields = [
            ("grant_type", GRANT),
            ("client_id", self.key.client_id.as_str()),
            ("device_code", begun.device_code.expose()),
            ("resource", self.key.resource.as_str()),
        ];
        let (mut every, mut faults) = (begun.interval, 0);
        loop {
            tokio::time::sleep(every).await;
            match grant::ask(fetch, world, &self.token, &fields).await {
                Ok(tokens) => return Ok(tokens),
                Err(Fault::Word(word)) if word == "authorization_pending" => faults = 0,
                Err(Fault::Word(word)) if word == "slow_down" => every += Duration::from_secs(5),
                Err(Fault::Word(word)) if word == "expired_token" => return Err(LoginError::TooLate),
                Err(Fault::Away(_)) if faults < FAULTS => {
                    faults += 1;
                    every = every.saturating_mul(2);
                }
                Err(fault) => return Err(failed(fault)),
            }
        }
    }
}

struct Begun {
    prompt: Prompt,
    device_code: crate::secret::Secret,
    interval: Duration,
    within: Duration,
}

impl Begun {
    fn read(answer: &Value, local: bool) -> Option<Self> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let number = |name: &str| answer.get(name).and_then(Value::as_u64);
        let address = secure(text("verification_uri")?).ok()?;
        if !local && is_loopback(&address) {
            return None;
        }
        let code = text("user_code")?;
        let fits = (1..=64).contains(&code.len()) && code.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        fits.then_some(())?;
        let (shortest, longest) = WITHIN;
        Some(Self {
            prompt: Prompt {
                address,
                code: code.to_owned(),
            },
            device_code: sendable(text("device_code")?)?,
            interval: Duration::from_secs(number("interval").unwrap_or(INTERVAL).clamp(1, 60)),
            within: Duration::from_secs(number("expires_in")?.clamp(shortest, longest)),
        })
    }
}
