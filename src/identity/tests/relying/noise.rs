//! Whatever an issuer, or somebody in its place, sends: nobody is signed in, and nothing falls over.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::bench::{Bench, DISCOVERY, TOKEN, USERINFO, fields, question};
use crate::identity::provider::{Again, Provider, Upstream};

/// Any JSON, in names and values that mean something here, and others.
fn anything() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("alice".to_owned()),
        Just("tollgate:gate".to_owned()),
        Just("https://login.example.com/realm".to_owned()),
        Just("Bearer".to_owned()),
        "\\PC{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("issuer"),
        Just("authorization_endpoint"),
        Just("token_endpoint"),
        Just("userinfo_endpoint"),
        Just("access_token"),
        Just("token_type"),
        Just("id_token"),
        Just("refresh_token"),
        Just("expires_in"),
        Just("sub"),
        Just("aud"),
        Just("iss"),
        Just("exp"),
        Just("iat"),
        Just("nonce"),
        Just("groups"),
        Just("error"),
        Just("events"),
        Just("alg"),
        Just("kid"),
        Just("at_hash"),
        Just("auth_time"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 24, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        anything().prop_map(|value| value.to_string().into_bytes()),
    ]
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_token_answer_but_a_signed_one_signs_anybody_in(status in 0u16..600, said in bytes()) {
        let bench = Bench::new();
        bench.net.posts(TOKEN, status, said);
        prop_assert!(wait(bench.oidc.finish(&question(), &fields(&[]))).is_err());
        let upstream = Upstream { refresh: Some("r".to_owned()), access: None, access_until: None };
        // Without an ID token and userinfo a refresh can only say that the token still counts.
        bench.net.page(USERINFO, 500, Vec::new());
        if let Ok(Again::Stands { claimed, .. }) = wait(bench.oidc.again("alice", &upstream)) {
            prop_assert!(claimed.is_none());
        }
    }

    #[test]
    fn no_id_token_but_the_issuers_is_one(header in anything(), claims in anything(), raw in "\\PC{0,60}") {
        let bench = Bench::new();
        // Signed by the issuer's own key, with everything else as it comes.
        let token = bench.key.sign(&header, &claims);
        let answered = wait(bench.answer(json!({"id_token": token})));
        prop_assert!(answered.is_err());
        prop_assert!(wait(bench.oidc.logged_out(&token)).is_err());
        let good = json!({"alg": "EdDSA", "kid": "k1"});
        let token = bench.key.sign(&good, &claims);
        let answered = wait(bench.answer(json!({"id_token": token})));
        prop_assert!(answered.is_err());
        prop_assert!(wait(bench.oidc.logged_out(&token)).is_err());
        let answered = wait(bench.answer(json!({"id_token": raw})));
        prop_assert!(answered.is_err());
        prop_assert!(wait(bench.oidc.logged_out(&raw)).is_err());
    }

    #[test]
    fn no_userinfo_but_of_this_person_gives_groups(status in 100u16..600, said in bytes()) {
        let bench = Bench::new();
        let is_alice = serde_json::from_slice::<Value>(&said).is_ok_and(|said| said["sub"] == "alice");
        bench.net.page(USERINFO, status, said);
        let got = wait(bench.sign_in(json!({"groups": null})));
        prop_assert!(got.is_err() || (status == 200 && is_alice));
    }

    #[test]
    fn no_metadata_falls_over(status in 0u16..600, said in bytes()) {
        let bench = Bench::new();
        bench.net.page(DISCOVERY, status, said);
        prop_assert!(wait(bench.oidc.begin(&question())).is_err());
        prop_assert!(wait(bench.oidc.finish(&question(), &fields(&[]))).is_err());
    }

    #[test]
    fn no_answer_of_a_browser_but_the_right_one_reaches_the_token_endpoint(
        sent in prop::collection::vec((prop_oneof![Just("state"), Just("code"), Just("iss"), Just("error")], "\\PC{0,20}"), 0..6),
    ) {
        let bench = Bench::new();
        let sent: Vec<_> = sent.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        prop_assert!(wait(bench.oidc.finish(&question(), &sent)).is_err());
        prop_assert_eq!(bench.net.count(TOKEN), 0);
    }
}
