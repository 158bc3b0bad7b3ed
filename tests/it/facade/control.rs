//! The people's side in a real browser: somebody sees the program that acts for them, and ends it.

use super::chromium::Driver;
use super::stand::Stand;
use crate::support::site::ANALYSTS;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_in_a_real_browser_sees_the_session_of_their_program_and_ends_it() {
    let mut stand = Stand::new(ANALYSTS, "").await;
    let _server = stand.serve(&[]).await;
    let alice = stand.agent(&stand.sign_in("alice").await);
    let gina = stand.agent(&stand.sign_in("gina").await);
    assert_eq!((alice.status().await, gina.status().await), (200, 200));
    let driver = Driver::start();
    let browser = driver.browser().await;
    browser.open(&stand.control).await;
    let asked = browser
        .at(&format!("{}/test/interaction/", stand.idp.issuer))
        .await;
    browser.open(&format!("{asked}?user=alice")).await;
    browser.at(&format!("{}/approvals", stand.control)).await;
    browser.click("nav a[href='/sessions']").await;
    let html = browser.says("Signed-in programs").await;
    assert!(html.contains("The editor") && html.contains("alice"), "{html}");
    assert!(!html.contains("gina"), "nobody else's: {html}");
    assert!(!html.contains("href=\"/keys\""), "who may make no keys: {html}");
    assert!(!html.contains("<script"));
    if let Some(folder) = std::env::var_os("TOLLGATE_SCREENSHOTS") {
        let picture = browser.picture().await;
        std::fs::write(std::path::Path::new(&folder).join("sessions.png"), picture).unwrap();
    }
    browser.click("form[action$='/end'] button.no").await;
    browser.says("No program is signed in for you").await;
    assert_eq!((alice.status().await, gina.status().await), (401, 200));
    browser.close().await;
}
