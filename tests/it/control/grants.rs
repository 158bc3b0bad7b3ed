//! What lasts, in a browser: approvals for a while, stand-ins, broken glass; and a request in each of its states.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, ready};
use serde_json::{Value, json};
use tollgate::approval::break_glass::BrokenGlass;
use tollgate::approval::delegation::{Delegate, DelegationCard};
use tollgate::approval::grants::GrantCard;
use tollgate::approval::review::{Card, Choice, NotDecided, Offer, Reviewer, State, Wish};
use tollgate::approval::stats::Stats;
use tollgate::call::{ApprovalId, Approver};
use tollgate::console::grants::GrantDesk;

use super::desk::{ENTER, faults, keep, scheme, sign_in, tab_to, usual_with, width};
use super::place::{Browser, HOSTILE, ID, Place, form, place as leads_to};
use crate::facade::chromium::{self, Driver};

const GRANT: &str = "gggggggggggggggggggggggggggggggg";

/// One of each; what is done to them is noted.
#[derive(Debug, Default)]
struct Lasting {
    done: Mutex<Vec<String>>,
}

impl Lasting {
    fn note<T: Send + 'static>(&self, what: String, gives: T) -> BoxFuture<'static, Result<T, NotDecided>> {
        self.done.lock().unwrap().push(what);
        Box::pin(ready(Ok(gives)))
    }
}

fn approver(subject: &str) -> Approver {
    Approver {
        issuer: "demo".to_owned(),
        subject: subject.to_owned(),
        groups: BTreeSet::new(),
    }
}

fn grant() -> GrantCard {
    GrantCard {
        id: GRANT.to_owned(),
        approval: ID.to_owned(),
        requester: "demo#asker".to_owned(),
        agent: HOSTILE.to_owned(),
        session: Some("s".to_owned()),
        tool: "sql_execute".to_owned(),
        resource: Some("shop".to_owned()),
        free: ["literal 2".to_owned()].into(),
        rows: Some(5),
        call: Some(json!({"runs": {"statement": "UPDATE orders SET note = 'x' WHERE id = 5"}})),
        uses: 20,
        uses_left: 19,
        created_at: "2026-11-22T09:30:00.000Z".to_owned(),
        ends_at: "2026-11-22T10:00:00.000Z".to_owned(),
        state: "stands".to_owned(),
        ended_by: None,
        approved_by: vec![approver("second")],
        may_revoke: true,
    }
}

fn delegation() -> DelegationCard {
    DelegationCard {
        id: "d".repeat(32),
        by: "demo#second".to_owned(),
        to: "demo#third".to_owned(),
        group: "dba".to_owned(),
        from: "2026-11-22T09:30:00.000Z".to_owned(),
        until: "2026-11-23T09:30:00.000Z".to_owned(),
        state: "counts",
        may_end: true,
    }
}

fn broken(reviewed: bool) -> BrokenGlass {
    BrokenGlass {
        approval: if reviewed { "r".repeat(32) } else { ID.to_owned() },
        by: "demo#asker".to_owned(),
        reason: HOSTILE.to_owned(),
        at: "2026-11-22T03:00:00.000Z".to_owned(),
        tool: "sql_execute".to_owned(),
        resource: Some("shop".to_owned()),
        action_sha256: "0".repeat(64),
        reviewed_by: reviewed.then(|| "demo#second".to_owned()),
        reviewed_at: reviewed.then(|| "2026-11-22T09:00:00.000Z".to_owned()),
        review: reviewed.then(|| "as agreed".to_owned()),
        may_review: !reviewed,
    }
}

impl GrantDesk for Lasting {
    fn grants<'a>(&'a self, _: &'a Reviewer) -> BoxFuture<'a, Result<Vec<GrantCard>, NotDecided>> {
        Box::pin(ready(Ok(vec![grant()])))
    }
    fn revoke<'a>(&'a self, by: &'a Reviewer, id: &'a str) -> BoxFuture<'a, Result<(), NotDecided>> {
        self.note(format!("{} revoked {id}", by.user.id()), ())
    }
    fn delegations<'a>(&'a self, _: &'a Reviewer) -> BoxFuture<'a, Result<Vec<DelegationCard>, NotDecided>> {
        Box::pin(ready(Ok(vec![delegation()])))
    }
    fn delegate<'a>(
        &'a self,
        by: &'a Reviewer,
        wish: &'a Delegate,
    ) -> BoxFuture<'a, Result<DelegationCard, NotDecided>> {
        if wish.to == by.user.id() {
            let why = "you cannot stand in for yourself".to_owned();
            return Box::pin(ready(Err(NotDecided::NotOffered(why))));
        }
        let long = wish.until - wish.from.unwrap_or(wish.until - 3 * 86_400);
        let (by, Delegate { to, group, .. }) = (by.user.id(), wish);
        self.note(format!("{by} named {to} in {group} for {long} s"), delegation())
    }
    fn delegation_days(&self) -> u32 {
        7
    }
    fn end_delegation<'a>(&'a self, _: &'a Reviewer, id: &'a str) -> BoxFuture<'a, Result<(), NotDecided>> {
        self.note(format!("ended {id}"), ())
    }
    fn broken_glass<'a>(&'a self, _: &'a Reviewer) -> BoxFuture<'a, Result<Vec<BrokenGlass>, NotDecided>> {
        Box::pin(ready(Ok(vec![broken(false), broken(true)])))
    }
    fn break_glass<'a>(
        &'a self,
        _: &'a Reviewer,
        _: &'a ApprovalId,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(ready(Err(NotDecided::Unknown)))
    }
    fn review_broken_glass<'a>(
        &'a self,
        _: &'a Reviewer,
        id: &'a ApprovalId,
        words: &'a str,
    ) -> BoxFuture<'a, Result<(), NotDecided>> {
        self.note(format!("reviewed {id}: {words}"), ())
    }
    fn stats<'a>(&'a self, _: &'a Reviewer) -> BoxFuture<'a, Result<Stats, NotDecided>> {
        Box::pin(ready(Err(NotDecided::Unknown)))
    }
}

async fn place() -> (Place, Arc<Lasting>) {
    let lasting = Arc::new(Lasting::default());
    let shown = lasting.clone();
    let (place, _) = usual_with(move |spec| spec.grants = Some(shown)).await;
    place.desk.change(|sheet| {
        sheet.may_break_glass = true;
        sheet.offer = Some(Offer {
            minutes: 30,
            uses: 20,
            rows: Some(5),
            needs_rows: false,
            free: [("literal 2".to_owned(), json!({"integer": "17"}))].into(),
        });
    });
    (place, lasting)
}

/// Opens a page in four looks; what is wrong with it in any.
async fn looked_at(browser: &chromium::Browser<'_>, url: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (look, wide) in [("light", 960), ("dark", 960), ("light", 320), ("dark", 320)] {
        scheme(browser, look).await;
        width(browser, wide, 1150).await;
        browser.open(url).await;
        browser
            .run("for (const one of document.querySelectorAll('details')) one.open = true")
            .await;
        let wrong: Vec<Value> = faults(browser).await;
        found.extend(wrong.iter().map(|fault| format!("{name} {look} {wide}: {fault}")));
        let over = browser
            .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            .await;
        if over != 0 {
            found.push(format!("{name} {look} {wide}: scrolls sideways by {over}"));
        }
        keep(browser, &format!("{look}-{wide}-{name}")).await;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious_on_what_lasts_and_on_a_request_in_each_state() {
    let (place, _) = place().await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in(&browser, &place, "/approvals", "third").await;
    let mut found = looked_at(&browser, &format!("{}/grants", place.url), "grants").await;
    for state in State::ALL {
        place.desk.change(|sheet| sheet.card.state = state);
        let url = format!("{}/approvals/{ID}", place.url);
        found.extend(looked_at(&browser, &url, state.as_str()).await);
        let html = browser.html().await;
        let open = matches!(state, State::Pending | State::Granted);
        assert_eq!(html.contains("Your decision"), open, "{state:?}");
        let offered = html.contains("approve it for a while");
        assert_eq!(offered, state == State::Pending, "{state:?}");
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    browser.close().await;
}

/// By keyboard: what lasts is ended, what was broken is reviewed, and a request is approved for a while with a value freed.
#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_is_ended_and_given_by_the_forms_of_its_pages() {
    let (place, lasting) = place().await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in(&browser, &place, "/grants", "third").await;
    let html = browser.html().await;
    assert!(
        html.contains("at most 5 rows each") && html.contains(&format!("/approvals/{ID}")),
        "{html}"
    );
    browser
        .follow(&format!("form[action='/grants/{GRANT}/revoke'] button"))
        .await;
    browser.at(&format!("{}/grants", place.url)).await;
    browser
        .follow(&format!(
            "form[action='/delegations/{}/end'] button",
            "d".repeat(32)
        ))
        .await;
    browser.at(&format!("{}/grants", place.url)).await;
    browser.write(&format!("#review-{ID}"), "agreed by phone").await;
    browser
        .follow(&format!("form[action='/break-glass/{ID}/review'] button"))
        .await;
    browser.at(&format!("{}/grants", place.url)).await;
    crate::support::until("all three are noted", async || {
        (lasting.done.lock().unwrap().len() == 3).then_some(())
    })
    .await;
    assert_eq!(
        *lasting.done.lock().unwrap(),
        [
            format!("demo#third revoked {GRANT}"),
            format!("ended {}", "d".repeat(32)),
            format!("reviewed {ID}: agreed by phone"),
        ]
    );
    browser.open(&format!("{}/approvals/{ID}", place.url)).await;
    browser.click("input[name=free]").await;
    browser
        .click("input[name=uses] ~ button, form:has(input[name=uses]) > button")
        .await;
    browser.says("approved, not yet carried out").await;
    let wish = Wish {
        minutes: 30,
        uses: 1,
        rows: Some(5),
        session: false,
        free: ["literal 2".to_owned()].into(),
    };
    assert_eq!(
        place.decided(),
        [("demo#third".to_owned(), Choice::ApproveFor(wish))]
    );
    browser.close().await;
}

/// By keyboard alone, with scripts switched off: who, in which group, until when.
#[tokio::test(flavor = "multi_thread")]
async fn by_keyboard_alone_a_person_names_somebody_to_stand_in() {
    let (place, lasting) = place().await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    sign_in(&browser, &place, "/grants", "third").await;
    tab_to(&browser, "<a class=\"skip\"").await;
    tab_to(&browser, "<input id=\"to\"").await;
    browser.press("demo#second").await;
    tab_to(&browser, "<input type=\"checkbox\" name=\"group\" value=\"dba\"").await;
    let chosen = browser.run("return document.activeElement.checked").await;
    assert_eq!(chosen, true, "the one group there is");
    tab_to(&browser, "<input id=\"until\"").await;
    let said = "const one = document.activeElement; \
                return one.labels[0].textContent + '; ' + document.getElementById(one.getAttribute('aria-describedby')).textContent";
    let said = browser.run(said).await.to_string();
    assert!(
        said.contains("Until when") && said.contains("3d") && said.contains("at most 7 days"),
        "{said}"
    );
    browser.press("3d").await;
    tab_to(&browser, "<button>Name them").await;
    browser.press(ENTER).await;
    let done = crate::support::until("somebody is named", async || {
        lasting.done.lock().unwrap().first().cloned()
    })
    .await;
    browser.at(&format!("{}/grants", place.url)).await;
    assert!(
        done.starts_with("demo#third named demo#second in dba for"),
        "{done}"
    );
    browser.close().await;
}

/// Without a browser's help: the form counts for its session and its purpose alone, and only after a fresh sign-in; what it says
/// wrongly is said back.
#[tokio::test(flavor = "multi_thread")]
async fn a_stand_in_is_named_by_a_form_of_ours_after_a_fresh_sign_in_alone() {
    let (place, lasting) = place().await;
    let (mut browser, mut other) = (Browser::default(), Browser::default());
    let (_, html) = browser.sign_in(&place, "/grants", "third").await;
    let (_, theirs) = other.sign_in(&place, "/grants", "second").await;
    let (address, ours) = (format!("{}/delegations", place.url), Some(place.url.as_str()));
    let token = |html: &str, form_of: &str| {
        let fields = form(html, form_of);
        fields.into_iter().find(|(name, _)| name == "token").unwrap().1
    };
    let end = format!("/delegations/{}/end", "d".repeat(32));
    let mine = token(&html, "/delegations");
    let with = |token: &str, more: &[(&'static str, &'static str)]| {
        let mut fields = vec![("token".to_owned(), token.to_owned())];
        fields.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        fields
    };
    let right: &[(&str, &str)] = &[
        ("to", " demo#second "),
        ("group", "dba"),
        ("from", "2099-12-01T09:00Z"),
        ("until", "2099-12-03T09:00Z"),
    ];
    let mut send = async |fields: Vec<(String, String)>, origin: Option<&str>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let answer = browser.submit(&address, &fields, origin).await;
        let leads = leads_to(&answer, &address);
        (answer.status().as_u16(), leads, answer.text().await.unwrap())
    };
    for token in ["", &token(&theirs, "/delegations"), &token(&html, &end)] {
        assert_eq!(send(with(token, right), ours).await.0, 403, "{token}");
    }
    for origin in [None, Some("null"), Some("https://evil.example")] {
        assert_eq!(send(with(&mine, right), origin).await.0, 403, "{origin:?}");
    }
    type Wrong<'a> = (&'a [(&'static str, &'static str)], u16, &'static str);
    let said: &[Wrong<'_>] = &[
        (
            &[("to", "demo#second"), ("from", ""), ("until", "3d")],
            400,
            "at least one of your groups",
        ),
        (
            &[
                ("to", "demo#second"),
                ("group", "dba"),
                ("from", ""),
                ("until", ""),
            ],
            400,
            "It has to end",
        ),
        (
            &[
                ("to", "demo#second"),
                ("group", "dba"),
                ("from", "soon"),
                ("until", "3d"),
            ],
            400,
            "From when on: give a time",
        ),
        (
            &[
                ("to", "demo#third"),
                ("group", "dba"),
                ("from", ""),
                ("until", "3d"),
            ],
            422,
            "stand in for yourself",
        ),
    ];
    for (fields, status, words) in said {
        let (answered, _, text) = send(with(&mine, fields), ours).await;
        assert!(answered == *status && text.contains(words), "{answered}: {text}");
    }
    assert!(lasting.done.lock().unwrap().is_empty());
    let mut both = right.to_vec();
    both.push(("group", "security"));
    let (status, leads, _) = send(with(&mine, &both), ours).await;
    assert_eq!((status, leads), (303, Some(format!("{}/grants", place.url))));
    let named = |group: &str| format!("demo#third named demo#second in {group} for 172800 s");
    assert_eq!(*lasting.done.lock().unwrap(), [named("dba"), named("security")]);
    // The sign-in grows old: nothing is named, and the page says how to go on.
    place.world.by(301);
    let (status, leads, _) = send(with(&mine, right), ours).await;
    assert_eq!((status, leads), (303, Some(format!("{}/grants", place.url))));
    assert_eq!(lasting.done.lock().unwrap().len(), 2);
    let (_, html) = browser.open(&format!("{}/grants", place.url)).await;
    assert!(
        html.contains("Sign in again to name somebody") && html.contains("Sign in again to close a review"),
        "{html}"
    );
    assert!(
        !html.contains("action=\"/delegations\"") && !html.contains("/review\"") && html.contains(&end),
        "what takes a right away needs no fresh sign-in: {html}"
    );
    assert_eq!(browser.get(&address).await.status(), 405);
}
