//! API keys on the people's side: who may, with what, and what never does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tollgate::approval::review::Reviewer;
use tollgate::clock::{System, World};
use tollgate::console::keys::{KeyDesk, KeyNames, KeyProblem};
use tollgate::identity::services::{Key, KeyText, Services, Terms};
use tollgate::store::rows::Rows;
use tollgate::store::{Store, Tuning};

use super::place::{Browser, Place, form, sheet};

/// Real keys in a store of its own; people of the `dba` may administer, others may not.
#[derive(Debug)]
struct Keys {
    services: Services,
    _folder: tempfile::TempDir,
}

fn permitted(who: &Reviewer) -> Result<(), KeyProblem> {
    let may = who.user.groups.contains("dba");
    may.then_some(())
        .ok_or_else(|| KeyProblem::NotPermitted("`shop`".to_owned()))
}

fn wrong(why: impl std::fmt::Display) -> KeyProblem {
    KeyProblem::Wrong(why.to_string())
}

impl KeyDesk for Keys {
    fn list<'a>(&'a self, who: &'a Reviewer) -> BoxFuture<'a, Result<Vec<Key>, KeyProblem>> {
        Box::pin(async move {
            permitted(who)?;
            self.services.list().await.map_err(wrong)
        })
    }

    fn create<'a>(
        &'a self,
        who: &'a Reviewer,
        terms: Terms,
    ) -> BoxFuture<'a, Result<(Key, KeyText), KeyProblem>> {
        Box::pin(async move {
            permitted(who)?;
            let draft = self.services.draft(terms, &who.user.id()).await.map_err(wrong)?;
            self.services.keep(draft).await.map_err(wrong)
        })
    }

    fn rotate<'a>(
        &'a self,
        who: &'a Reviewer,
        id: &'a str,
        overlap: Duration,
        life: Option<Duration>,
    ) -> BoxFuture<'a, Result<(Key, KeyText), KeyProblem>> {
        Box::pin(async move {
            permitted(who)?;
            let draft = self
                .services
                .draft_rotation(id, overlap, life, &who.user.id())
                .await;
            self.services.keep(draft.map_err(wrong)?).await.map_err(wrong)
        })
    }

    fn revoke<'a>(&'a self, who: &'a Reviewer, id: &'a str) -> BoxFuture<'a, Result<Key, KeyProblem>> {
        Box::pin(async move {
            permitted(who)?;
            self.services.revoke(id, &who.user.id()).await.map_err(wrong)
        })
    }

    fn names(&self) -> KeyNames {
        let one = |name: &str| BTreeSet::from([name.to_owned()]);
        KeyNames {
            groups: one("analyst"),
            tools: one("sql_query"),
            resources: one("shop"),
        }
    }

    fn opens_to(&self, who: &Reviewer) -> bool {
        permitted(who).is_ok()
    }
}

/// A control side that looks after keys.
pub(super) async fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("t.db").display());
    let store = Store::open(&url, &Tuning::default()).await.unwrap();
    let world: Arc<dyn World> = Arc::new(System::new());
    let keys = Keys {
        services: Services::new(Rows::new(store), world),
        _folder: folder,
    };
    Place::with(sheet("SELECT 1"), |spec| spec.keys = Some(Arc::new(keys))).await
}

fn new_key(service: &str) -> Value {
    json!({"service": service, "tools": ["sql_query"], "resources": ["shop"], "groups": ["analyst"],
        "life_seconds": 86_400})
}

async fn listed(place: &Place) -> Vec<Value> {
    let token = place.id_token("second");
    let answer = place.get("/api/keys", Some(&token)).await;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    body["keys"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_administrator_makes_rotates_and_takes_back_by_the_api() {
    let place = place().await;
    let token = place.id_token("second");
    let answer = place.post("/api/keys", &token, &new_key("nightly")).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let made: Value = answer.json().await.unwrap();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(key.starts_with(&format!("tgk_{id}_")), "{made}");
    assert_eq!(made["made_by"], "demo#second");
    let path = format!("/api/keys/{id}/rotate");
    let answer = place.post(&path, &token, &json!({"overlap_seconds": 3600})).await;
    let second: Value = answer.json().await.unwrap();
    assert_ne!(second["key"], made["key"]);
    let all = listed(&place).await;
    assert_eq!(all.len(), 2);
    assert!(!json!(all).to_string().contains("tgk_"), "never again");
    let path = format!("/api/keys/{id}/revoke");
    let gone: Value = place.post(&path, &token, &json!({})).await.json().await.unwrap();
    assert_eq!(
        (&gone["state"], &gone["revoked_by"]),
        (&json!("revoked"), &json!("demo#second"))
    );
    // Whatever is asked in another form is no change.
    for body in [
        json!({}),
        json!({"service": "x"}),
        json!({"service": "x", "life_seconds": -1}),
        json!({"service": "x", "life_seconds": 86_400, "kind": "person"}),
        json!({"service": ["x"], "life_seconds": 86_400}),
    ] {
        assert_eq!(
            place.post("/api/keys", &token, &body).await.status(),
            400,
            "{body}"
        );
    }
    let wrong = json!({"service": "UPPER", "life_seconds": 86_400});
    assert_eq!(place.post("/api/keys", &token, &wrong).await.status(), 422);
    for nowhere in [
        "/api/keys/x/revoke",
        "/api/keys/aaaaaaaaaaaa/delete",
        "/api/keys/aaaaaaaaaaaa",
    ] {
        assert_eq!(
            place.post(nowhere, &token, &json!({})).await.status(),
            404,
            "{nowhere}"
        );
    }
    assert_eq!(listed(&place).await.len(), 2);
}

#[tokio::test]
async fn an_agents_token_a_key_a_stranger_and_an_old_sign_in_make_nothing() {
    let place = place().await;
    let admin = place.id_token("second");
    let made: Value = place
        .post("/api/keys", &admin, &new_key("one"))
        .await
        .json()
        .await
        .unwrap();
    let key = made["key"].as_str().unwrap();
    let revoke = format!("/api/keys/{}/revoke", made["id"].as_str().unwrap());
    let agent = place.other_side("second");
    for (token, status) in [
        (agent.as_str(), 401),
        (key, 401),
        (&place.id_token("stranger"), 403),
    ] {
        assert_eq!(place.get("/api/keys", Some(token)).await.status(), status);
        assert_eq!(
            place.post("/api/keys", token, &new_key("two")).await.status(),
            status
        );
        assert_eq!(place.post(&revoke, token, &json!({})).await.status(), status);
    }
    assert_eq!(place.get("/api/keys", None).await.status(), 401);
    place.world.by(301);
    for (path, body) in [("/api/keys", new_key("two")), (revoke.as_str(), json!({}))] {
        let refused = place.post(path, &admin, &body).await;
        assert_eq!(refused.status(), 401);
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["type"], "urn:tollgate:problem:stale-sign-in");
    }
    let all = listed(&place).await;
    assert_eq!((all.len(), &all[0]["state"]), (1, &json!("live")));
}

#[tokio::test]
async fn on_the_page_a_key_is_shown_once_and_only_a_fresh_form_of_ours_makes_one() {
    let place = place().await;
    let (mut one, mut other) = (Browser::default(), Browser::default());
    let (url, html) = one.sign_in(&place, "/keys", "second").await;
    assert_eq!(url, format!("{}/keys", place.url));
    let (_, theirs) = other.sign_in(&place, "/keys", "third").await;
    let ours = Some(place.url.as_str());
    let filled = |html: &str| {
        let mut fields = form(html, "/keys");
        for (name, value) in [
            ("service", "nightly"),
            ("tool", "sql_query"),
            ("resource", "shop"),
            ("group", "analyst"),
            ("days", "30"),
        ] {
            fields.push((name.to_owned(), value.to_owned()));
        }
        fields
    };
    let mut send = async |fields: &[(String, String)], path: &str, origin: Option<&str>| {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = one.submit(&format!("{}{path}", place.url), &fields, origin).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let good = filled(&html);
    // The cookie alone, a form of another session, a page of elsewhere: nothing.
    assert_eq!(
        send(&good[1..], "/keys", ours).await.0,
        400,
        "without the form's token"
    );
    assert_eq!(send(&filled(&theirs), "/keys", ours).await.0, 403);
    for origin in [
        None,
        Some("null"),
        Some("https://evil.example"),
        Some("http://127.0.0.1:1"),
    ] {
        assert_eq!(send(&good, "/keys", origin).await.0, 403, "{origin:?}");
    }
    assert!(listed(&place).await.is_empty());
    let (status, page) = send(&good, "/keys", ours).await;
    assert_eq!(status, 200);
    let made = listed(&place).await;
    let id = made[0]["id"].as_str().unwrap().to_owned();
    assert!(page.contains(&format!("<pre>tgk_{id}_")), "{page}");
    assert_eq!(made[0]["made_by"], "demo#second");
    assert_eq!(made[0]["tools"], json!(["sql_query"]));
    let (revoke, rotate) = (format!("/keys/{id}/revoke"), format!("/keys/{id}/rotate"));
    // A form is for its key and its verb.
    assert_eq!(send(&good, &revoke, ours).await.0, 403);
    let (_, all) = one.open(&format!("{}/keys", place.url)).await;
    assert!(!all.contains("tgk_"), "shown once");
    let mut send = async |fields: &[(String, String)], path: &str| {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = one.submit(&format!("{}{path}", place.url), &fields, ours).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(send(&form(&all, &revoke), &rotate).await.0, 403);
    let mut rotating = form(&all, &rotate);
    rotating.push(("hours".to_owned(), "24".to_owned()));
    let (status, page) = send(&rotating, &rotate).await;
    assert!(status == 200 && page.contains("<pre>tgk_"), "{page}");
    // A sign-in that is too old sees, and changes nothing.
    place.world.by(301);
    assert_eq!(send(&form(&all, &revoke), &revoke).await.0, 303);
    assert!(listed(&place).await.iter().all(|key| key["state"] == "live"));
    let (_, old) = one.open(&format!("{}/keys", place.url)).await;
    assert!(
        old.contains("Sign in again") && !old.contains("<button class=\"yes\">"),
        "{old}"
    );
}

#[tokio::test]
async fn where_no_keys_are_looked_after_there_is_nothing() {
    let place = Place::new().await;
    let token = place.id_token("second");
    assert_eq!(place.get("/api/keys", Some(&token)).await.status(), 404);
    assert_eq!(place.get("/keys", None).await.status(), 404);
}
