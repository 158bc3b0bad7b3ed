//! Programs that are signed in: who sees them and who ends them; what strangers get; headers everywhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tollgate::attempts::Attempts;
use tollgate::call::User;
use tollgate::clock::{Timestamp, World};
use tollgate::console::agents::{SessionCard, SessionDesk, Unavailable};

use super::place::{Browser, HOSTILE, ID, Place, form, http, sheet};

const MINE: &str = "0000000000000000000000000000mine";
const OTHERS: &str = "0000000000000000000000000others0";

/// Two sessions; `third` administers.
#[derive(Debug)]
pub(super) struct Two {
    open: Mutex<Vec<SessionCard>>,
    ended: Mutex<Vec<(String, String)>>,
}

fn card(id: &str, subject: &str, name: &str) -> SessionCard {
    SessionCard {
        id: id.to_owned(),
        issuer: "demo".to_owned(),
        subject: subject.to_owned(),
        client_name: name.to_owned(),
        client_id: "https://agent.example/client.json".to_owned(),
        verified: true,
        created_at: "2026-11-22T09:00:00.000Z".to_owned(),
        used_at: "2026-11-22T09:30:00.000Z".to_owned(),
        ends_at: "2026-12-22T09:00:00.000Z".to_owned(),
    }
}

impl SessionDesk for Two {
    fn administers(&self, user: &User) -> bool {
        user.subject == "third"
    }

    fn list<'a>(&'a self, of: Option<&'a User>) -> BoxFuture<'a, Result<Vec<SessionCard>, Unavailable>> {
        let open = self.open.lock().unwrap().clone();
        let mine = |card: &SessionCard| of.is_none_or(|user| user.subject == card.subject);
        Box::pin(std::future::ready(Ok(open.into_iter().filter(mine).collect())))
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<SessionCard>, Unavailable>> {
        let open = self.open.lock().unwrap();
        let found = open.iter().find(|card| card.id == id).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn end<'a>(&'a self, id: &'a str, by: &'a User) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.open.lock().unwrap().retain(|card| card.id != id);
        self.ended.lock().unwrap().push((id.to_owned(), by.id()));
        Box::pin(std::future::ready(Ok(())))
    }
}

pub(super) async fn place() -> (Place, Arc<Two>) {
    let desk = Arc::new(Two {
        open: Mutex::new(vec![
            card(MINE, "second", HOSTILE),
            card(OTHERS, "asker", "Editor"),
        ]),
        ended: Mutex::default(),
    });
    let sessions = desk.clone();
    let place = Place::with(sheet("UPDATE"), move |spec| spec.sessions = Some(sessions)).await;
    (place, desk)
}

fn ended(desk: &Two) -> Vec<(String, String)> {
    desk.ended.lock().unwrap().clone()
}

fn end(id: &str) -> String {
    format!("/sessions/{id}/end")
}

#[tokio::test]
async fn a_person_sees_and_ends_their_own_and_nobody_elses() {
    let (place, desk) = place().await;
    let mut browser = Browser::default();
    let (url, html) = browser.sign_in(&place, "/sessions", "second").await;
    assert_eq!(url, format!("{}/sessions", place.url));
    assert!(html.contains("agent.example") && !html.contains("Editor") && !html.contains("<script"));
    place.world.by(600); // an old sign-in is enough for one's own
    let fields = form(&html, &end(MINE));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let ours = Some(place.url.as_str());
    let at = |id: &str| format!("{}{}", place.url, end(id));
    for origin in [None, Some("https://evil.example"), Some("null")] {
        assert_eq!(browser.submit(&at(MINE), &fields, origin).await.status(), 403);
    }
    assert_eq!(
        browser.submit(&at(OTHERS), &fields, ours).await.status(),
        403,
        "a form is for one session"
    );
    assert_eq!(
        browser.submit(&at(MINE), &[("token", "x")], ours).await.status(),
        403
    );
    assert_eq!(browser.get(&at(MINE)).await.status(), 405, "a link ends nothing");
    let stranger = Browser::default().submit(&at(MINE), &fields, ours).await;
    assert_eq!(stranger.status(), 303, "a form without its session");
    assert!(ended(&desk).is_empty());
    assert_eq!(browser.submit(&at(MINE), &fields, ours).await.status(), 303);
    assert_eq!(ended(&desk), [(MINE.to_owned(), "demo#second".to_owned())]);
    assert_eq!(
        browser.submit(&at(MINE), &fields, ours).await.status(),
        404,
        "it has ended"
    );
}

#[tokio::test]
async fn an_administrator_sees_all_and_ends_others_after_a_fresh_sign_in() {
    let (place, desk) = place().await;
    let (second, third) = (place.id_token("second"), place.id_token("third"));
    let list = async |token: &str| -> Value {
        place
            .get("/api/sessions", Some(token))
            .await
            .json()
            .await
            .unwrap()
    };
    let names = |listed: &Value| listed["sessions"].as_array().unwrap().len();
    assert_eq!((names(&list(&second).await), names(&list(&third).await)), (1, 2));
    let api = |id: &str| format!("/api{}", end(id));
    let agent = place.other_side("second");
    assert_eq!(place.post(&api(MINE), &agent, &json!({})).await.status(), 401);
    let hidden = place.post(&api(OTHERS), &second, &json!({})).await;
    let none = place.post(&api(&"z".repeat(32)), &second, &json!({})).await;
    assert_eq!((hidden.status(), none.status()), (none.status(), hidden.status()));
    assert_eq!(hidden.text().await.unwrap(), none.text().await.unwrap());
    place.world.by(301);
    let stale = place.post(&api(OTHERS), &third, &json!({})).await;
    assert_eq!(stale.status(), 401);
    assert!(
        stale.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .contains("insufficient_user_authentication")
    );
    assert!(ended(&desk).is_empty());
    let fresh = place.id_token("third");
    assert_eq!(place.post(&api(OTHERS), &fresh, &json!({})).await.status(), 200);
    assert_eq!(ended(&desk), [(OTHERS.to_owned(), "demo#third".to_owned())]);
    assert_eq!(
        place.post(&api(MINE), &second, &json!({})).await.status(),
        200,
        "one's own"
    );
}

#[tokio::test]
async fn without_sessions_there_is_nothing_there() {
    let place = Place::new().await;
    assert_eq!(place.get("/sessions", None).await.status(), 404);
    let token = place.id_token("second");
    assert_eq!(place.get("/api/sessions", Some(&token)).await.status(), 404);
}

/// A clock that moves only when told to, in seconds.
#[derive(Debug, Default)]
struct Still(AtomicU64);

impl World for Still {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

#[tokio::test]
async fn strangers_have_an_allowance_and_people_do_not_pay_for_it() {
    let clock = Arc::new(Still::default());
    let attempts = Arc::new(Attempts::new(clock.clone()));
    let place = Place::with(sheet("UPDATE"), move |spec| spec.attempts = attempts).await;
    let agent = place.other_side("second");
    let mut statuses = Vec::new();
    for _ in 0..110 {
        statuses.push(place.get("/api/approvals", Some(&agent)).await.status().as_u16());
    }
    assert_eq!((statuses[0], statuses[109]), (401, 429));
    let told = place.get("/api/approvals", Some(&agent)).await;
    assert!(told.headers().contains_key("retry-after"));
    clock.0.fetch_add(1, Ordering::Relaxed);
    let token = place.id_token("second");
    for _ in 0..150 {
        assert_eq!(place.get("/api/approvals", Some(&token)).await.status(), 200);
    }
    let mut sign_ins = Vec::new();
    for _ in 0..130 {
        let status = place.get("/signed-in/demo?code=x&state=y", None).await.status();
        sign_ins.push(status.as_u16());
    }
    assert!(sign_ins.starts_with(&[400]) && sign_ins.ends_with(&[429]));
}

#[tokio::test]
async fn every_answer_carries_the_same_headers() {
    let (place, _) = place().await;
    let token = place.id_token("second");
    let mut answers = Vec::new();
    for path in [
        "/",
        "/healthz",
        "/style.css",
        "/approvals",
        "/sessions",
        "/sign-in",
        "/sign-out",
        "/signed-in/demo",
        "/nothing",
        "/api/nothing",
        "/api/openapi.json",
        "/api/sign-in",
        "/api/approvals",
        "/api/sessions",
        &format!("/approvals/{ID}"),
        &format!("/api/approvals/{ID}"),
    ] {
        answers.push((path.to_owned(), place.get(path, None).await));
        answers.push((path.to_owned(), place.get(path, Some(&token)).await));
        answers.push((path.to_owned(), place.post(path, &token, &json!({})).await));
    }
    let foreign = http()
        .get(format!("{}/approvals", place.url))
        .header("host", "evil.example");
    answers.push(("host".to_owned(), foreign.send().await.unwrap()));
    for (path, answer) in answers {
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-robots-tag", "noindex"),
        ] {
            assert_eq!(header(name), Some(value), "{name} {path}");
        }
        let policy = header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(
            !policy.contains("script-src") && policy.contains("form-action 'self'"),
            "{path}"
        );
        assert!(header("permissions-policy").unwrap().contains("camera=()"));
        assert_eq!(header("strict-transport-security"), None, "this is http");
    }
}
