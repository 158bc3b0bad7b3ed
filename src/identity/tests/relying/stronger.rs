//! A sign-in on the people's side by a stronger method than their issuer asks of everybody.

use std::sync::Arc;

use serde_json::json;

use super::super::desk::{NOW, corp, spec, with};
use super::bench::{Bench, REDIRECT, TOKEN};
use crate::identity::people::SignInError;
use crate::identity::{Identity, Reason};

const PEOPLE: &str = "people";

fn identity(bench: &Bench, own: &[&str]) -> Identity {
    let mut issuer = corp();
    issuer.control_audience = Some(PEOPLE.to_owned());
    issuer.control_acr = own.iter().map(|class| (*class).to_owned()).collect();
    let spec = spec(vec![issuer]);
    Identity::new(spec, bench.net.clone(), Arc::clone(&bench.clock) as _).unwrap()
}

/// What is asked for, and the class that a sign-in which meets `met` comes back with.
async fn signed_in(
    own: &[&str],
    asked: Option<&str>,
    met: &str,
) -> (Option<String>, Result<Option<String>, SignInError>) {
    let bench = Bench::new();
    let people = identity(&bench, own).people();
    let begun = people.begin("corp", REDIRECT, "/back", 0, asked).await.unwrap();
    let said = |name: &str| {
        let mut found = begun.url.query_pairs().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.into_owned())
    };
    let claims =
        json!({"aud": PEOPLE, "nonce": said("nonce"), "acr": met, "auth_time": NOW, "at_hash": null});
    let header = json!({"alg": "EdDSA", "kid": "k1", "typ": "JWT"});
    let id_token = bench.key.sign(&header, &with(bench.claims(), claims));
    let answer = bench.whole(json!({ "id_token": id_token }));
    bench.net.posts(TOKEN, 200, answer.to_string().into_bytes());
    let fields = [
        ("state".to_owned(), said("state").unwrap()),
        ("code".to_owned(), "c".to_owned()),
    ];
    let finished = people.finish("corp", REDIRECT, &begun.cookie, &fields).await;
    (said("acr_values"), finished.map(|(person, _)| person.acr))
}

#[tokio::test]
async fn the_class_that_policy_wants_is_asked_for_before_the_issuers_own() {
    for (own, asked, values) in [
        (&[][..], None, None),
        (&[], Some("phr"), Some("phr")),
        (&["mfa"], None, Some("mfa")),
        (&["mfa"], Some("phr"), Some("phr mfa")),
        (&["mfa", "phr"], Some("phr"), Some("phr mfa")),
    ] {
        let (said, _) = signed_in(own, asked, "mfa").await;
        assert_eq!(said.as_deref(), values, "{own:?} {asked:?}");
    }
}

#[tokio::test]
async fn a_link_that_asks_for_a_weak_class_does_not_make_it_enough() {
    let (_, person) = signed_in(&["mfa"], Some("pwd"), "pwd").await;
    assert_eq!(person, Err(SignInError::Token(Reason::Weak)));
    let (_, person) = signed_in(&["mfa"], Some("pwd"), "mfa").await;
    assert_eq!(person, Ok(Some("mfa".to_owned())));
    // Nothing is demanded here: what was met is said, and policy decides what it is worth.
    let (_, person) = signed_in(&[], Some("phr"), "pwd").await;
    assert_eq!(person, Ok(Some("pwd".to_owned())));
}
