//! The console: lists, evidence, live pages, and what may be looked up; in a real browser where it matters.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tollgate::approval::listing::Program;
use tollgate::approval::review::{Choice, Sheet, State};
use tollgate::console::{Around, EarlierCall, Spec};

use super::known::{Known, SESSION};
use super::place::{Browser, HOSTILE, ID, Place, form, http, sheet};
use crate::facade::chromium::{self, Driver};
use crate::support::site::root;
use crate::support::until;

const TAB: char = '\u{e004}';
pub(super) const ENTER: &str = "\u{e007}";

fn request() -> String {
    format!("/approvals/{ID}")
}

/// Every page of the console that this person can open.
fn pages() -> Vec<String> {
    vec![
        "/approvals".to_owned(),
        "/approvals?show=waiting".to_owned(),
        "/approvals?show=decided&state=refused".to_owned(),
        request(),
        "/me".to_owned(),
        "/journal".to_owned(),
        format!("/journal/replay?session={SESSION}&from=3"),
        "/policies".to_owned(),
        "/policies?person=corp%23alice&action=sql_read&resource=shop&group=dba".to_owned(),
    ]
}

fn around(words: &str) -> Around {
    let call = EarlierCall {
        at: "2026-11-22T09:20:00.000Z".to_owned(),
        tool: words.to_owned(),
        resource: Some(words.to_owned()),
        outcome: format!("ok {words}"),
        arguments: Some(json!({"statement": words})),
        is_hidden: false,
    };
    let hidden = EarlierCall {
        resource: None,
        arguments: None,
        is_hidden: true,
        ..call.clone()
    };
    Around {
        program: Some(Program {
            verified: false,
            claimed_name: words.to_owned(),
            claimed_version: words.to_owned(),
        }),
        calls: Some(vec![call, hidden]),
    }
}

async fn place_of(sheet: Sheet, words: &str) -> (Place, Arc<Known>) {
    place_with(sheet, words, |_| {}).await
}

async fn place_with(sheet: Sheet, words: &str, change: impl FnOnce(&mut Spec)) -> (Place, Arc<Known>) {
    let known = Arc::new(Known::new(words));
    let shown = known.clone();
    let place = Place::with(sheet, |spec| {
        spec.insight = Some(shown);
        change(spec);
    })
    .await;
    *place.desk.around.lock().unwrap() = Some(around(words));
    (place, known)
}

/// With words as people write them.
async fn usual() -> (Place, Arc<Known>) {
    usual_with(|_| {}).await
}

/// The same of a side that has more.
pub(super) async fn usual_with(change: impl FnOnce(&mut Spec)) -> (Place, Arc<Known>) {
    let mut sheet = sheet("UPDATE orders SET status = 'closed' WHERE id IN (17, 18)");
    sheet.facts = json!({
        "probe": "measurable", "sql": {"kind": "update", "tables": ["orders"], "columns": ["orders.status", "orders.id"],
        "functions": []}, "classified": [{"class": "contact", "column": "orders.note"}],
        "target": {"kind": "postgres", "database": "db.example.com:5432/shop", "role": "tollgate"},
    });
    let now = tollgate::clock::World::now(&tollgate::clock::System::new()).0;
    let at = |moment: u64| tollgate::clock::Timestamp(moment).rfc3339();
    sheet.card.created_at = at(now - 125_000);
    sheet.card.decide_by = at(now + 1_680_000);
    sheet.history[0].0 = at(now - 65_000);
    for row in ["before", "after"] {
        sheet.effect.as_mut().unwrap()["sample"][0][row]["note"] = json!("[contact]");
    }
    sheet.claimed_reason = Some("Both orders were paid twice; support asked for it.".to_owned());
    let (place, known) = place_with(sheet, "orders_by_day", change).await;
    let mut around = around("claude-code");
    for call in around.calls.iter_mut().flatten() {
        call.at = at(now - 185_000);
        call.tool = "sql_query".to_owned();
        call.outcome = "ok".to_owned();
        if !call.is_hidden {
            call.resource = Some("shop".to_owned());
            call.arguments = Some(json!({"statement": "SELECT id, status FROM orders WHERE id IN (17, 18)"}));
        }
    }
    *place.desk.around.lock().unwrap() = Some(around);
    (place, known)
}

pub(super) async fn sign_in(browser: &chromium::Browser<'_>, place: &Place, path: &str, user: &str) {
    browser.open(&format!("{}{path}", place.url)).await;
    browser.write("input[name=username]", user).await;
    browser.write("input[name=password]", place.secret(user)).await;
    browser.click("button").await;
    browser.at(&format!("{}{path}", place.url)).await;
}

/// Keeps a picture of the page for who wants to look at it.
pub(super) async fn keep(browser: &chromium::Browser<'_>, name: &str) {
    if let Some(folder) = std::env::var_os("TOLLGATE_SCREENSHOTS") {
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(path, browser.picture().await).unwrap();
    }
}

pub(super) async fn scheme(browser: &chromium::Browser<'_>, scheme: &str) {
    let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    browser.devtools("Emulation.setEmulatedMedia", &media).await;
}

pub(super) async fn width(browser: &chromium::Browser<'_>, width: u32, height: u32) {
    let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
    browser
        .devtools("Emulation.setDeviceMetricsOverride", &screen)
        .await;
}

/// What axe-core calls serious or critical on the page as it is.
pub(super) async fn faults(browser: &chromium::Browser<'_>) -> Vec<Value> {
    let path = root().join("tests/peers/axe/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(path).expect("axe-core is not installed: run tests/peers/setup-axe");
    browser.run(&axe).await;
    let found = browser
        .run_async(
            "const done = arguments[arguments.length - 1]; axe.run(document, {preload: false}).then((found) => done({\
             violations: found.violations.map((one) => ({id: one.id, impact: one.impact, nodes: one.nodes.map((node) => node.html + node.failureSummary)})),\
             passes: found.passes.length}), (error) => done({error: String(error)}));",
        )
        .await;
    assert!(
        found["passes"].as_u64().is_some_and(|passes| passes > 10),
        "it has looked: {found}"
    );
    let violations = found["violations"].as_array().unwrap().iter();
    let grave = |one: &&Value| matches!(one["impact"].as_str(), Some("serious" | "critical"));
    violations.filter(grave).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious_on_any_page_light_or_dark_wide_or_narrow() {
    let (place, _) = usual().await;
    place.desk.more.store(2, Ordering::SeqCst);
    let driver = Driver::start();
    let browser = driver.browser().await;
    width(&browser, 960, 1150).await;
    sign_in(&browser, &place, "/approvals", "third").await;
    let mut found = Vec::new();
    for (look, wide) in [("light", 960), ("dark", 960), ("light", 320), ("dark", 320)] {
        scheme(&browser, look).await;
        width(&browser, wide, 1150).await;
        for (number, page) in pages().iter().enumerate() {
            browser.open(&format!("{}{page}", place.url)).await;
            browser
                .run("for (const one of document.querySelectorAll('details')) one.open = true")
                .await;
            for fault in faults(&browser).await {
                found.push(format!("{look} {wide} {page}: {fault}"));
            }
            let over = browser
                .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
                .await;
            if over != 0 {
                found.push(format!("{look} {wide} {page}: scrolls sideways by {over}"));
            }
            keep(&browser, &format!("{look}-{wide}-{number}")).await;
            browser
                .run("window.scrollTo(0, document.body.scrollHeight)")
                .await;
            keep(&browser, &format!("{look}-{wide}-{number}-end")).await;
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    browser.close().await;
}

/// The pages that stand beside the requests, each on a side that has them.
#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious_on_the_pages_of_keys_and_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let sides = [
        (super::keys::place().await, "/keys", "API keys"),
        (
            super::security_keys::place(folder.path()).await,
            "/security-keys",
            "ecurity key",
        ),
        (super::agents::place().await.0, "/sessions", "Signed-in programs"),
    ];
    let driver = Driver::start();
    let mut found = Vec::new();
    for (place, page, title) in sides {
        let browser = driver.browser().await;
        sign_in(&browser, &place, page, "second").await;
        for (look, wide) in [("light", 960), ("dark", 320)] {
            scheme(&browser, look).await;
            width(&browser, wide, 1150).await;
            browser.open(&format!("{}{page}", place.url)).await;
            let heading = browser.run("return document.querySelector('h1').innerText").await;
            assert!(
                heading.as_str().is_some_and(|words| words.contains(title)),
                "{page}: {heading}"
            );
            for fault in faults(&browser).await {
                found.push(format!("{look} {wide} {page}: {fault}"));
            }
        }
        browser.close().await;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What stands before a sign-in, after it, and where there is nothing; and where Slack accounts are linked.
#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious_where_people_sign_in_and_out_and_where_nothing_is() {
    let place = Place::beside(&["another"], sheet("SELECT 1"), |_| {}).await;
    let linking = super::slack_links::Bench::new().await;
    let driver = Driver::start();
    let (outside, inside) = (driver.browser().await, driver.browser().await);
    let way = "/sign-in?issuer=demo&back=%2Fapprovals";
    inside.open(&format!("{}{way}", place.url)).await;
    inside.write("input[name=username]", "second").await;
    inside.write("input[name=password]", place.secret("second")).await;
    inside.click("button").await;
    inside.at(&format!("{}/approvals", place.url)).await;
    let other = driver.browser().await;
    sign_in(&other, &linking.place, "/slack", "second").await;
    let mut found = Vec::new();
    for (look, wide) in [("light", 960), ("dark", 320)] {
        for (browser, place, page, says) in [
            (&outside, &place, "/sign-in", "Sign in at another"),
            (&outside, &place, "/sign-in?again=1&back=%2Fme", "Sign in at demo"),
            (&outside, &place, "/signed-in/demo?code=x&state=y", "<h1"),
            (&inside, &place, "/nothing-here", "<h1"),
            (
                &inside,
                &place,
                "/approvals/ffffffffffffffffffffffffffffffff",
                "<h1",
            ),
            (&other, &linking.place, "/slack", "Slack"),
        ] {
            scheme(browser, look).await;
            width(browser, wide, 1150).await;
            browser.open(&format!("{}{page}", place.url)).await;
            browser.says(says).await;
            for fault in faults(browser).await {
                found.push(format!("{look} {wide} {page}: {fault}"));
            }
        }
    }
    inside.open(&format!("{}/approvals", place.url)).await;
    inside.click("form[action='/sign-out'] button").await;
    inside.at(&format!("{}/sign-out", place.url)).await;
    for fault in faults(&inside).await {
        found.push(format!("signed out: {fault}"));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    for browser in [outside, inside, other] {
        browser.close().await;
    }
}

/// Tabs on until the focus is on something whose HTML begins so.
pub(super) async fn tab_to(browser: &chromium::Browser<'_>, begins: &str) {
    let mut seen = Vec::new();
    for _ in 0..80 {
        browser.press(&TAB.to_string()).await;
        let on = browser.run("return document.activeElement.outerHTML").await;
        let on = on.as_str().unwrap().to_owned();
        if on.starts_with(begins) {
            let outline = browser
                .run("return getComputedStyle(document.activeElement).outlineStyle")
                .await;
            assert_ne!(outline, "none", "the focus is seen on {on}");
            return;
        }
        seen.push(on);
    }
    panic!("no way to {begins}: {seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_keyboard_alone_a_person_finds_the_request_and_refuses_it_with_a_reason() {
    let (place, _) = usual().await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in(&browser, &place, "/approvals", "second").await;
    tab_to(&browser, "<a class=\"skip\"").await;
    browser.press(ENTER).await;
    tab_to(&browser, &format!("<a href=\"{}\"", request())).await;
    browser.press(ENTER).await;
    browser.at(&format!("{}{}", place.url, request())).await;
    browser.says("Your decision").await;
    tab_to(&browser, "<textarea").await;
    browser.press("not on a Friday").await;
    tab_to(&browser, "<button class=\"no\"").await;
    browser.press(ENTER).await;
    browser.says("<span class=\"state refused\">refused</span>").await;
    let choice = Choice::Refuse("not on a Friday".to_owned());
    assert_eq!(place.decided(), [("demo#second".to_owned(), choice)]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_renews_itself_and_leaves_alone_what_somebody_writes() {
    let (place, _) = usual().await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in(&browser, &place, "/approvals", "second").await;
    browser.says("<strong>waits for you").await;
    browser.run("window.untouched = true").await;
    place.desk.change(|sheet| sheet.card.state = State::Cancelled);
    let html = browser.says("<span class=\"state cancelled\">").await;
    assert!(!html.contains("<strong>waits for you"), "{html}");
    assert_eq!(
        browser.run("return window.untouched").await,
        true,
        "it was not loaded anew"
    );

    place.desk.change(|sheet| sheet.card.state = State::Pending);
    browser.says("<strong>waits for you").await;
    browser.open(&format!("{}{}", place.url, request())).await;
    browser.write("textarea", "half a sen").await;
    browser.run("window.untouched = true").await;
    place.desk.change(|sheet| sheet.card.state = State::Granted);
    let html = browser.says("Something has changed about this.").await;
    assert!(
        html.contains("approved, not yet carried out"),
        "what is above is renewed: {html}"
    );
    assert_eq!(
        browser
            .run("return document.querySelector('textarea').value")
            .await,
        "half a sen"
    );
    assert_eq!(browser.run("return window.untouched").await, true);
    keep(&browser, "changed").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_everything_can_be_done() {
    let (place, _) = usual().await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    browser
        .devtools("Emulation.setScriptExecutionDisabled", &json!({"value": true}))
        .await;
    sign_in(&browser, &place, "/approvals", "second").await;
    browser.says("Without scripts this page does not").await;
    browser.click(&format!("a[href='{}']", request())).await;
    browser.at(&format!("{}{}", place.url, request())).await;
    browser.click("button.yes").await;
    browser.says("approved, not yet carried out").await;
    assert_eq!(place.decided(), [("demo#second".to_owned(), Choice::Approve)]);
    browser.close().await;
}

#[tokio::test]
async fn the_evidence_says_what_it_touches_what_it_is_not_and_what_went_before() {
    let (place, _) = usual().await;
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&place, &request(), "second").await;
    for shown in [
        "What could not be measured",
        "Values of classified columns",
        "What it touches",
        "<code>orders.status</code>, <code>orders.id</code>",
        "db.example.com:5432/shop",
        "<code>orders.note</code> (contact)",
        "claimed: nobody vouches for this name",
        "It calls itself <q><bdi>claude-code</bdi></q>",
        "What this session did before",
        "On something that you neither decide about nor audit.",
        " ago)",
    ] {
        assert!(html.contains(shown), "{shown}: {html}");
    }
    *place.desk.around.lock().unwrap() = Some(Around {
        program: None,
        calls: None,
    });
    let (_, html) = browser.open(&format!("{}{}", place.url, request())).await;
    assert!(html.contains("The journal cannot be read now."), "{html}");
}

#[tokio::test]
async fn hostile_words_stay_words_on_every_page() {
    let mut hostile = sheet(HOSTILE);
    hostile.card.agent = HOSTILE.to_owned();
    hostile.card.tool = HOSTILE.to_owned();
    hostile.card.resource = Some(HOSTILE.to_owned());
    hostile.because[0] = (HOSTILE.to_owned(), Some(HOSTILE.to_owned()));
    hostile.facts = json!({
        "sql": {"kind": HOSTILE, "tables": [HOSTILE], "columns": [HOSTILE], "functions": [HOSTILE]},
        "shell": {"programs": [HOSTILE], "kind": HOSTILE}, "target": {"workdir": HOSTILE, "sandbox": [HOSTILE]},
        "classified": [{"class": HOSTILE, "column": HOSTILE}], "probe": HOSTILE,
    });
    let (place, _) = place_of(hostile, HOSTILE).await;
    place.desk.more.store(1, Ordering::SeqCst);
    let mut browser = Browser::default();
    browser.sign_in(&place, "/approvals", "third").await;
    let mut all = pages();
    all.push("/policies?person=corp%23alice&action=sql_read&resource=wrong".to_owned());
    let words: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    all.push(format!(
        "/approvals?show=own&rule={words}&tool={words}&person={words}&resource={words}"
    ));
    all.push(format!(
        "/policies?person={words}&action={words}&agent={words}&columns={words}&resource=shop"
    ));
    let known: BTreeSet<&str> = "a bdi blockquote body br button code dd del details div dl dt fieldset form h1 h2 h3 head header html input ins label legend li link main meta nav noscript ol option p pre q script section select span strong summary table tbody td textarea th thead time title tr ul".split(' ').collect();
    let elements = regex::Regex::new(r"<([a-z0-9]+)").unwrap();
    let ours = regex::Regex::new(r#"<script src="/events\.js" defer></script>"#).unwrap();
    for page in all {
        let (url, html) = browser.open(&format!("{}{page}", place.url)).await;
        assert_eq!(url, format!("{}{page}", place.url));
        assert!(
            html.contains("⟨U+202E⟩evil⟨U+200B⟩") || page == "/approvals?show=decided&state=refused",
            "{page}: {html}"
        );
        assert_eq!(
            html.matches("<script").count(),
            ours.find_iter(&html).count(),
            "{page}"
        );
        assert!(!html.contains('\u{202e}') && !html.contains('\u{200b}'), "{page}");
        for element in elements.captures_iter(&html) {
            assert!(known.contains(&element[1]), "{page}: <{}>", &element[1]);
        }
    }
}

#[tokio::test]
async fn what_is_not_theirs_does_not_exist_for_them_and_a_replay_is_told_of() {
    let (place, known) = usual().await;
    let mut stranger = Browser::default();
    stranger.sign_in(&place, "/me", "stranger").await;
    let nothing = stranger.get(&format!("{}/nothing-here", place.url)).await;
    assert_eq!(nothing.status(), 404);
    let replay = format!("/journal/replay?session={SESSION}");
    for path in [
        "/journal",
        &replay,
        "/policies",
        "/policies?person=a%23b&resource=shop",
    ] {
        let answer = stranger.get(&format!("{}{path}", place.url)).await;
        assert_eq!(answer.status(), 404, "{path}");
        let html = answer.text().await.unwrap();
        assert!(!html.contains("orders_by_day"), "{path}: {html}");
    }
    let (_, html) = stranger.open(&format!("{}/me", place.url)).await;
    assert!(
        !html.contains("href=\"/journal\"") && !html.contains("href=\"/policies\""),
        "{html}"
    );
    assert!(html.contains("<bdi>stranger</bdi>") && html.contains("Policies give you nothing else"));
    assert!(known.replayed.lock().unwrap().is_empty());

    let mut third = Browser::default();
    let (_, html) = third.sign_in(&place, "/journal", "third").await;
    let link = format!("href=\"/journal/replay?session={SESSION}\"");
    assert!(html.contains(&link), "{html}");
    let (_, html) = third.open(&format!("{}{replay}", place.url)).await;
    assert!(
        html.contains("Your reading this is on record.") && html.contains("from=9"),
        "{html}"
    );
    let told = known.replayed.lock().unwrap().clone();
    assert_eq!(told, [("demo#third".to_owned(), SESSION.to_owned(), 0)]);
    for (path, status) in [
        ("/journal/replay?session=another", 404),
        ("/journal/replay", 404),
        ("/journal/replay?session=the-one-session&from=-1", 400),
        ("/journal?before=x", 400),
    ] {
        let answer = third.get(&format!("{}{path}", place.url)).await;
        assert_eq!(answer.status(), status, "{path}");
    }
    // Nobody signed in: to the sign-in, whatever it is.
    for page in pages() {
        let answer = Browser::default().get(&format!("{}{page}", place.url)).await;
        assert_eq!(answer.status(), 303, "{page}");
    }
}

#[tokio::test]
async fn lists_are_filtered_and_similar_requests_stand_together() {
    let (place, _) = usual().await;
    place.desk.more.store(3, Ordering::SeqCst);
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&place, "/approvals", "second").await;
    assert!(html.contains("3 more like this"), "{html}");
    let list = |query: &str| format!("{}/approvals?{query}", place.url);
    for (query, there) in [
        ("show=waiting", true),
        ("show=own", false),
        ("show=waiting&tool=sql_execute&resource=shop", true),
        ("show=waiting&tool=another", false),
        ("show=decided&state=spent", false),
    ] {
        let (_, html) = browser.open(&list(query)).await;
        assert_eq!(html.contains(ID), there, "{query}: {html}");
    }
    for (query, status) in [
        ("show=everything", 404),
        ("show=own&state=gone", 400),
        ("show=own&before=..%2F", 400),
    ] {
        assert_eq!(browser.get(&list(query)).await.status(), status, "{query}");
    }
}

/// The cookie of a browser that has signed in, as a header.
async fn cookie(place: &Place, user: &str) -> String {
    let mut browser = Browser::default();
    browser.sign_in(place, "/approvals", user).await;
    browser.cookies(&place.url)
}

async fn stream(place: &Place, cookie: &str, more: &[(&str, &str)]) -> reqwest::Response {
    let mut request = http()
        .get(format!("{}/events?seen=nothing", place.url))
        .header("cookie", cookie);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_of_one_session_says_nothing_but_that_and_ends_with_it() {
    let (place, _) = usual().await;
    assert_eq!(stream(&place, "", &[]).await.status(), 401);
    let cookie = cookie(&place, "second").await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
    ] {
        let answer = stream(&place, &cookie, &[(name, value)]).await;
        assert_eq!(answer.status(), 403, "{name}: {value}");
    }
    let mut open = Vec::new();
    for _ in 0..6 {
        let answer = stream(&place, &cookie, &[("sec-fetch-site", "same-origin")]).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert!(answer.headers().get("access-control-allow-origin").is_none());
        open.push(answer);
    }
    assert_eq!(stream(&place, &cookie, &[]).await.status(), 503, "one too many");
    open.truncate(1);
    until("room", async || {
        (stream(&place, &cookie, &[]).await.status() == 200).then_some(())
    })
    .await;
    let mut one = open.pop().unwrap();
    let mut said = String::new();
    place.world.by(15 * 60);
    place.desk.change(|sheet| sheet.card.state = State::Refused);
    while let Some(part) = one.chunk().await.unwrap() {
        said.push_str(std::str::from_utf8(&part).unwrap());
    }
    assert!(said.ends_with("event: over\ndata: over\n\n"), "{said:?}");
    let only = [
        "retry: 5000",
        "event: changed",
        "data: changed",
        "event: over",
        "data: over",
        ":",
        "",
    ];
    for line in said.lines() {
        assert!(only.contains(&line), "{said:?}");
    }
}

#[tokio::test]
async fn pages_with_a_script_say_where_it_is_from_and_the_others_have_none() {
    let (place, _) = usual().await;
    let mut browser = Browser::default();
    browser.sign_in(&place, "/approvals", "third").await;
    for page in pages() {
        let answer = browser.get(&format!("{}{page}", place.url)).await;
        let policies = answer.headers().get_all("content-security-policy").iter();
        let policy: Vec<&str> = policies.map(|policy| policy.to_str().unwrap()).collect();
        let policy = policy.join(" | ");
        for always in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(always), "{page}: {policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{page}: {policy}"
        );
        let renews = page.starts_with("/approvals");
        assert_eq!(policy.contains("script-src 'self'"), renews, "{page}: {policy}");
        assert_eq!(policy.contains("connect-src 'self'"), renews, "{page}: {policy}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{page}");
        let html = answer.text().await.unwrap();
        assert_eq!(html.contains("<script"), renews, "{page}");
        assert!(
            html.contains("<html lang=\"en\">") && html.matches("<h1").count() == 1,
            "{page}"
        );
    }
    let script = browser.get(&format!("{}/events.js", place.url)).await;
    assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");
    // A form made for another session decides nothing, on the new pages as on the old.
    let (_, html) = browser.open(&format!("{}{}", place.url, request())).await;
    assert!(!form(&html, &format!("{}/approve", request())).is_empty());
}
