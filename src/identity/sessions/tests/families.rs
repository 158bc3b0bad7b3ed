//! Codes and refresh tokens that come back: replay, injection, theft, and honest races.

use super::bench::*;
use crate::call::Hash;
use crate::identity::Reason;
use crate::identity::sessions::*;

#[tokio::test]
async fn a_replayed_code_ends_the_session_it_was_redeemed_for() {
    let bench = Bench::new().await;
    let code = bench.code("alice").await;
    let issued = bench.redeem(&code).await.unwrap();
    bench.clock.advance(120); // also after its time
    assert_eq!(bench.redeem(&code).await.unwrap_err(), Refused::Grant);
    assert_eq!(bench.admit(&issued.access).await.unwrap_err(), Reason::Ended);
    assert_eq!(bench.refresh(&issued.refresh).await.unwrap_err(), Refused::Grant);
    assert_eq!(bench.told(), std::slice::from_ref(&issued.session));
    let row = bench.session(&issued.session).await;
    assert_eq!(row.ended_why.as_deref(), Some("code_replayed"));
}

#[tokio::test]
async fn a_code_is_worth_something_only_to_who_began() {
    let bench = Bench::new().await;
    let wrong_verifier = "w0123456789012345678901234567890123456789012";
    let began = |verifier, redirect_uri| Proof::Began {
        verifier,
        redirect_uri,
    };
    let cases = [
        (
            "injected: another's verifier",
            CLIENT,
            began(wrong_verifier, REDIRECT),
            Some(RESOURCE),
        ),
        (
            "downgraded: the challenge itself",
            CLIENT,
            began("", REDIRECT),
            Some(RESOURCE),
        ),
        (
            "another client",
            "agent-2",
            began(VERIFIER, REDIRECT),
            Some(RESOURCE),
        ),
        (
            "another redirect",
            CLIENT,
            began(VERIFIER, "http://127.0.0.1:4712/callback"),
            Some(RESOURCE),
        ),
        (
            "another resource",
            CLIENT,
            began(VERIFIER, REDIRECT),
            Some("https://other.example.com/mcp"),
        ),
        ("as a device", CLIENT, Proof::Device, Some(RESOURCE)),
    ];
    for (what, client_id, proof, resource) in cases {
        let code = bench.code("alice").await;
        let hash = Hash::of(code.as_bytes());
        let redeem = Redeem {
            code: hash,
            client_id,
            proof,
            resource,
        };
        let refused = bench.sessions.redeem(&redeem).await.unwrap_err();
        assert!(matches!(refused, Refused::Grant | Refused::Target), "{what}");
        assert_eq!(
            bench.redeem(&code).await.unwrap_err(),
            Refused::Grant,
            "{what}: burnt"
        );
    }
    assert_eq!(bench.sessions.list(None).await.unwrap(), []);
    let late = bench.code("alice").await;
    bench.clock.advance(60);
    assert_eq!(bench.redeem(&late).await.unwrap_err(), Refused::Grant);
}

#[tokio::test]
async fn a_code_without_a_challenge_is_for_devices_alone() {
    let bench = Bench::new().await;
    let upstream = bench.corp.sign_in("alice");
    let code = bench
        .code_with("alice", &upstream, |row| {
            (row.challenge, row.redirect_uri) = (None, None)
        })
        .await;
    assert_eq!(bench.redeem(&code).await.unwrap_err(), Refused::Grant);
}

#[tokio::test]
async fn the_sealed_text_of_another_code_is_not_used() {
    let bench = Bench::new().await;
    let upstream = bench.corp.sign_in("alice");
    let seal = seal("k");
    let moved = seal_upstream(&seal, "another row", &upstream, bench.clock.as_ref());
    let code = bench
        .code_with("alice", &upstream, |row| row.sealed = moved)
        .await;
    let issued = bench.redeem(&code).await.unwrap();
    let row = bench.session(&issued.session).await;
    assert_eq!(
        (row.sealed, row.ends_at),
        (None, START + TIMES.unchecked.as_millis() as u64)
    );
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_session_whoever_comes_second() {
    let bench = Bench::new().await;
    for thief_first in [true, false] {
        let issued = bench.open("alice").await;
        let stolen = issued.refresh.as_str();
        // One of them, then that one again, then the other with the token that was in both hands.
        let first = bench.refresh(stolen).await.unwrap();
        let second = bench.refresh(&first.refresh).await.unwrap();
        assert_eq!(
            bench.refresh(stolen).await.unwrap_err(),
            Refused::Grant,
            "{thief_first}"
        );
        for token in [&issued.access, &first.access, &second.access] {
            assert_eq!(bench.admit(token).await.unwrap_err(), Reason::Ended);
        }
        assert_eq!(bench.refresh(&second.refresh).await.unwrap_err(), Refused::Grant);
        let row = bench.session(&issued.session).await;
        assert_eq!(row.ended_why.as_deref(), Some("token_reused"));
    }
}

#[tokio::test]
async fn after_the_grace_a_replaced_token_is_theft() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let next = bench.refresh(&issued.refresh).await.unwrap();
    bench.clock.advance(60);
    assert_eq!(bench.refresh(&issued.refresh).await.unwrap_err(), Refused::Grant);
    bench.admit(&next.access).await.unwrap_err();
}

#[tokio::test]
async fn programs_that_race_go_on_together() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let mut held = vec![issued.refresh.to_string(); 8];
    // Each refreshes within the grace of the first, round after round, with what it got itself.
    for round in 0..5 {
        for (nth, token) in held.iter_mut().enumerate() {
            let next = bench.refresh(token).await;
            let next = next.unwrap_or_else(|refused| panic!("{round}/{nth}: {refused:?}"));
            bench.admit(&next.access).await.unwrap();
            *token = next.refresh.to_string();
            bench.clock.advance(7);
        }
        bench.clock.advance(840);
    }
}

#[tokio::test]
async fn one_token_has_no_more_than_so_many_successors() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    for _ in 0..32 {
        bench.refresh(&issued.refresh).await.unwrap();
    }
    assert_eq!(bench.refresh(&issued.refresh).await.unwrap_err(), Refused::Grant);
    assert_eq!(bench.sessions.list(None).await.unwrap(), []);
}

#[tokio::test]
async fn another_client_cannot_use_or_burn_a_refresh_token() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let refresh = Refresh {
        token: &issued.refresh,
        client_id: "agent-2",
        scope: None,
        resource: None,
    };
    assert_eq!(
        bench.sessions.refresh(&refresh).await.unwrap_err(),
        Refused::Grant
    );
    bench
        .sessions
        .revoke(&issued.refresh, Some("agent-2"))
        .await
        .unwrap();
    bench.refresh(&issued.refresh).await.unwrap();
}

#[tokio::test]
async fn revocation() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    bench.admit(&issued.access).await.unwrap();
    for unknown in ["", "tga_", "nonsense", &issued.access.replacen("tga_", "tgr_", 1)] {
        bench.sessions.revoke(unknown, Some(CLIENT)).await.unwrap();
    }
    bench.admit(&issued.access).await.unwrap();
    bench.sessions.revoke(&issued.access, Some(CLIENT)).await.unwrap();
    assert_eq!(bench.admit(&issued.access).await.unwrap_err(), Reason::Ended);
    let next = bench.refresh(&issued.refresh).await.unwrap();
    bench.admit(&next.access).await.unwrap();
    // One that was replaced too: whoever signs out holds what they hold.
    bench
        .sessions
        .revoke(&issued.refresh, Some(CLIENT))
        .await
        .unwrap();
    assert_eq!(bench.admit(&next.access).await.unwrap_err(), Reason::Ended);
    assert_eq!(bench.told(), [issued.session]);
}

#[tokio::test]
async fn a_session_id_is_made_when_the_session_is() {
    let bench = Bench::new().await;
    let code = bench.code("alice").await;
    let upstream = bench.corp.sign_in("mallory");
    let (one, two) = (bench.redeem(&code).await.unwrap(), bench.open("alice").await);
    assert_ne!(one.session, two.session);
    assert!(one.session.len() == 32 && one.session.bytes().all(|byte| byte.is_ascii_hexdigit()));
    // A code that names a session already is one that was exchanged: nobody is put into it.
    let planted = bench
        .code_with("mallory", &upstream, |row| row.expires_at = u64::MAX / 4)
        .await;
    let mut tx = bench.rows.write().await.unwrap();
    tx.exchange_code(&Hash::of(planted.as_bytes()).0, &one.session)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(bench.redeem(&planted).await.unwrap_err(), Refused::Grant);
}
