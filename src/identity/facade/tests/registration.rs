use http::StatusCode;
use serde_json::{Value, json};

use super::place::*;

async fn register(place: &Place, body: &Value) -> (StatusCode, Value) {
    let kind = [("content-type", "application/json")];
    let mut browser = Browser::default();
    let answer = browser
        .send(&place.facade, "POST", "/oauth/register", &kind, &body.to_string())
        .await;
    (answer.status(), serde_json::from_slice(answer.body()).unwrap())
}

#[tokio::test]
async fn a_client_that_registers_itself_is_believed_nothing() {
    let place = Place::new().await;
    let hostile = "Tollgate</dd><script>\u{202e}";
    let (status, client) = register(
        &place,
        &json!({"client_name": hostile, "redirect_uris": [SITE, "javascript:alert(1)"], "scope": "admin",
                "token_endpoint_auth_method": "client_secret_post", "client_uri": "https://evil.example"}),
    )
    .await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(
        client["redirect_uris"],
        json!([SITE]),
        "the rest is never an address of ours"
    );
    assert_eq!(client["token_endpoint_auth_method"], "none");
    assert!(client.get("client_secret").is_none());
    let id = client["client_id"].as_str().unwrap();
    let query = request(&[("client_id", Some(id))]);
    let mut browser = Browser::default();
    let page = html(&browser.authorize(&place.twin, &query).await);
    assert!(page.contains("unknown: it registered itself") && page.contains("Nobody vouches"));
    assert!(!page.contains("<script") && !page.contains('\u{202e}'));
    let back = browser.signed_in(&place.facade, &query).await;
    assert!(back.as_str().starts_with(SITE));
    assert!(!place.column::<bool>("SELECT verified FROM code"));
    // Used, it stays; unused, it goes after a day.
    let (_, idle) = register(&place, &json!({"redirect_uris": [SITE]})).await;
    place.clock.by(24 * 3600);
    place.facade.prune().await.unwrap();
    let of = |id: &str| request(&[("client_id", Some(id))]);
    let idle = idle["client_id"].as_str().unwrap();
    assert_stays(
        &Browser::default().authorize(&place.facade, &of(idle)).await,
        "gone",
    );
    Browser::default().asked(&place.facade, &of(id)).await;
}

#[tokio::test]
async fn a_registration_that_cannot_be_used_is_refused() {
    let place = Place::new().await;
    for (body, code) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({"redirect_uris": []}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": "https://a.example/cb"}),
            "invalid_redirect_uri",
        ),
        (json!({"redirect_uris": [1]}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": ["http://evil.example/cb"]}),
            "invalid_redirect_uri",
        ),
        (
            json!({"redirect_uris": ["data:text/html,x", "file:///x"]}),
            "invalid_redirect_uri",
        ),
        (json!({"redirect_uris": vec![SITE; 33]}), "invalid_redirect_uri"),
        (json!([SITE]), "invalid_client_metadata"),
        (
            json!({"redirect_uris": [SITE], "x": "y".repeat(16 * 1024)}),
            "invalid_client_metadata",
        ),
    ] {
        let (status, error) = register(&place, &body).await;
        assert_eq!(
            (status, error["error"].as_str()),
            (StatusCode::BAD_REQUEST, Some(code)),
            "{body}"
        );
    }
    assert_eq!(place.column::<i64>("SELECT count(*) FROM client"), 0);
    let mut quiet = spec();
    quiet.registration = false;
    let place = Place::with(quiet).await;
    let request = http::Request::post("/oauth/register").body(Vec::new()).unwrap();
    let answer = place.facade.answer(request, [127, 0, 0, 1].into()).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn their_number_is_bounded_and_the_unused_make_room() {
    let place = Place::new().await;
    let row = |n: u64| crate::store::sign_ins::ClientRow {
        id: format!("reg_{n:02}"),
        name: "x".to_owned(),
        redirect_uris: "[]".to_owned(),
        created_at: NOW + n,
    };
    let mut tx = place.rows.write().await.unwrap();
    for n in 0..6 {
        tx.add_client(&row(n), 3).await.unwrap();
    }
    for (n, used) in [(3, 30), (4, 10), (5, 20)] {
        tx.client_used(&row(n).id, NOW + used).await.unwrap();
    }
    // All of them are in use: for the first of a flood the one used longest ago goes, for the others what the
    // flood brought.
    for n in 6..60 {
        tx.add_client(&row(n), 3).await.unwrap();
    }
    tx.commit().await.unwrap();
    let left = "SELECT group_concat(id, ' ') FROM (SELECT id FROM client ORDER BY id) AS c";
    assert_eq!(place.column::<String>(left), "reg_03 reg_05 reg_59");
}
