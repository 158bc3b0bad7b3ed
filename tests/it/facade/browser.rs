use url::Url;

use super::chromium::{Browser, Driver};
use super::gate::Gate;

const ALLOW: &str = "button.yes";
const DENY: &str = "button.no";

fn field(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(one, _)| one == name)
        .map(|(_, value)| value.into_owned())
}

/// Signs in at the provider under a name, and says yes there too.
async fn sign_in(browser: &Browser<'_>, gate: &Gate, name: &str) {
    browser.at(&gate.people.issuer).await;
    browser.write("input[name=login]", name).await;
    browser.write("input[name=password]", "any").await;
    browser.click("button[type=submit]").await;
    browser.says("Continue").await;
    browser.click("button[type=submit]").await;
}

#[tokio::test]
async fn a_person_in_a_real_browser_consents_signs_in_and_is_asked_again_by_a_second_program() {
    let gate = Gate::open().await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    browser.open(&gate.asks("first", "/first")).await;
    let html = browser.says("A program asks to act for you").await;
    assert!(html.contains("The program first") && html.contains("Any program on this computer"));
    assert!(html.contains("127.0.0.1") && !html.contains("<script"));
    let cookies = browser.cookies().await;
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!(cookies[0]["httpOnly"], true);
    assert_eq!(cookies[0]["sameSite"], "Strict");

    browser.click(ALLOW).await;
    sign_in(&browser, &gate, "alice").await;
    let back = browser.at(&format!("{}/first?", gate.program)).await;
    assert!(field(&back, "code").unwrap().starts_with("tgc_"));
    assert_eq!(field(&back, "state").as_deref(), Some("s 1"));
    assert_eq!(field(&back, "iss").as_deref(), Some(gate.url.as_str()));

    // The provider knows them now and sends them straight back, by redirects alone: a second program asks all the same.
    browser.open(&gate.asks("second", "/second")).await;
    browser.says("The program second").await;
    browser.click(ALLOW).await;
    let back = browser.at(&format!("{}/second?", gate.program)).await;
    assert!(field(&back, "code").is_some());
    // And so does the first one, each time.
    browser.open(&gate.asks("first", "/first")).await;
    browser.says("The program first").await;
    browser.click(DENY).await;
    let back = browser.at(&format!("{}/first?", gate.program)).await;
    assert_eq!(field(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(field(&back, "code"), None);
    browser.close().await;
}

#[tokio::test]
async fn whoever_aborts_at_the_provider_is_signed_in_nowhere() {
    let gate = Gate::open().await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    browser.open(&gate.asks("first", "/first")).await;
    browser.click(ALLOW).await;
    browser.at(&gate.people.issuer).await;
    browser.click("a[href*=abort]").await;
    let back = browser.at(&format!("{}/first?", gate.program)).await;
    assert_eq!(field(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(field(&back, "iss").as_deref(), Some(gate.url.as_str()));
    browser.close().await;
}

/// What an attacker's program gets from the facade as anybody does: a question, with all that its form needs.
struct Captured {
    cookie: String,
    id: String,
    token: String,
}

async fn capture(gate: &Gate) -> Captured {
    let page = http().get(gate.asks("first", "/first")).send().await.unwrap();
    let cookie = page.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let html = page.text().await.unwrap();
    let value = |name: &str| {
        let pattern = format!(r#"name="{name}" value="([^"]*)""#);
        regex::Regex::new(&pattern).unwrap().captures(&html).unwrap()[1].to_owned()
    };
    Captured {
        cookie,
        id: value("id"),
        token: value("token"),
    }
}

impl Captured {
    /// The attacker says yes in their own browser. Where the provider is.
    async fn approve(&self, gate: &Gate) -> String {
        let form = [("id", self.id.as_str()), ("token", &self.token), ("at", "corp")];
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let answer = http()
            .post(format!("{}/oauth/consent", gate.url))
            .header("origin", &gate.url)
            .header("cookie", &self.cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap();
        let refresh = answer.headers()["refresh"].to_str().unwrap();
        refresh.strip_prefix("0;url=").unwrap().to_owned()
    }
}

fn http() -> reqwest::Client {
    tollgate::identity::install_tls_provider();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap()
}

#[tokio::test]
async fn cve_2026_27124_a_second_browser_cannot_ride_on_the_firsts_consent() {
    let gate = Gate::open().await;
    let driver = Driver::start();
    let victim = driver.browser().await;
    let captured = capture(&gate).await.approve(&gate).await;
    victim.open(&captured).await;
    sign_in(&victim, &gate, "bob").await;
    let page = victim.says("This sign-in is over").await;
    assert!(!page.contains("tgc_"));
    let ends = victim.url().await;
    assert!(
        ends.as_str()
            .starts_with(&format!("{}/oauth/callback/corp", gate.url)),
        "{ends}"
    );
    victim.close().await;
}

#[tokio::test]
async fn csrf_a_page_on_another_port_plants_the_cookie_and_sends_the_form_in_vain() {
    let gate = Gate::open().await;
    let driver = Driver::start();
    let victim = driver.browser().await;
    let known = capture(&gate).await;
    let evil = super::gate::page(format!(
        "<form method=post action=\"{}/oauth/consent\"><input name=id value=\"{}\"><input name=token \
         value=\"{}\"><input name=at value=corp></form><script>document.cookie='{}; path=/';\
         document.forms[0].submit()</script>",
        gate.url, known.id, known.token, known.cookie
    ))
    .await;
    victim.open(&evil).await;
    victim.says("That did not come from this page").await;
    let (name, value) = known.cookie.split_once('=').unwrap();
    let cookies = victim.cookies().await;
    let planted = cookies
        .iter()
        .any(|cookie| cookie["name"] == name && cookie["value"] == value);
    assert!(planted, "the cookie was there: {cookies:?}");
    assert_eq!(cookies.len(), 1, "and no other came: {cookies:?}");
    // It was all that the form needs, but for where it came from.
    assert!(known.approve(&gate).await.starts_with(&gate.people.issuer));
    victim.close().await;
}
