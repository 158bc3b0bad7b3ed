//! Sign-in by SAML, against SimpleSAMLphp: real responses, and what attackers make of them.

mod attacks;
mod idp;
mod metadata;
mod properties;
mod whole;

use std::collections::BTreeSet;

use idp::{GATE, Idp, question};
use tollgate::identity::provider::{Again, SignInError, Upstream};
use tollgate::identity::{GroupsFault, Reason};

fn words(error: &SignInError) -> String {
    let SignInError::Provider(words) = error else {
        panic!("{error:?}");
    };
    words.clone()
}

#[tokio::test]
async fn somebody_signs_in() {
    let idp = Idp::start();
    let client = idp.client("corp").await;
    let answer = client.asked(&idp, "alice").await;
    let signed_in = client.post(&answer).await.unwrap();
    assert_eq!(signed_in.issuer, "corp");
    assert_eq!(signed_in.subject, "u-alice");
    let groups = ["analysts", "engineers"].map(str::to_owned);
    assert_eq!(signed_in.claimed, BTreeSet::from(groups));
    assert!(signed_in.auth_time.is_some() && signed_in.sid.is_some());
    assert_eq!(
        signed_in.acr.as_deref(),
        Some("urn:oasis:names:tc:SAML:2.0:ac:classes:Password")
    );
    assert!(signed_in.upstream.is_empty());
    let again = client
        .provider
        .again("u-alice", &Upstream::default())
        .await
        .unwrap();
    assert!(matches!(again, Again::CannotAsk));

    // A second person is somebody else, with another session there.
    let other = client.asked(&idp, "bob").await;
    let other = client.post(&other).await.unwrap();
    assert_eq!(other.subject, "u-bob");
    assert_ne!(other.sid, signed_in.sid);
}

#[tokio::test]
async fn other_signatures_and_names_that_are_sound() {
    let idp = Idp::start();
    for name in ["both", "sha512", "unspecified"] {
        let client = idp.client(name).await;
        let answer = client.asked(&idp, "alice").await;
        assert_eq!(client.post(&answer).await.unwrap().subject, "u-alice", "{name}");
    }
}

#[tokio::test]
async fn what_the_provider_can_get_wrong_is_said_in_words() {
    let idp = Idp::start();
    for (name, part) in [
        ("bare", "switch on signed assertions"),
        ("outer", "switch on signed assertions"),
        ("transient", "another one at every sign-in"),
        ("mail", "set the NameID format persistent"),
        ("sha1", "set RSA with SHA-256"),
        ("sealed", "is encrypted"),
        ("nameless", "is encrypted"),
    ] {
        let client = idp.client(name).await;
        let answer = client.asked(&idp, "alice").await;
        let refused = client.post(&answer).await.unwrap_err();
        assert!(words(&refused).contains(part), "{name}: {refused}");
    }
}

#[tokio::test]
async fn groups_are_complete_or_nobody_signs_in() {
    let idp = Idp::start();
    let client = idp.client("corp").await;
    for (who, fault) in [
        ("none", GroupsFault::Missing),
        ("hundred", GroupsFault::CutOff(100)),
        ("overage", GroupsFault::Overage),
    ] {
        let answer = client.asked(&idp, who).await;
        let refused = client.post(&answer).await.unwrap_err();
        assert_eq!(refused, SignInError::Groups(fault), "{who}");
    }
    let answer = client.asked(&idp, "many").await;
    assert_eq!(client.post(&answer).await.unwrap().claimed.len(), 101);
    let answer = client.asked(&idp, "spaced").await;
    let refused = client.post(&answer).await.unwrap_err();
    assert_eq!(refused, SignInError::Token(Reason::Claim("NameID")));
}

#[tokio::test]
async fn what_we_say_of_ourselves_is_what_we_accept() {
    let idp = Idp::start();
    let client = idp.client("corp").await;
    let ours = client.provider.metadata().unwrap();
    assert!(ours.contains(&format!("entityID=\"{GATE}/oauth/saml/corp\"")));
    assert!(ours.contains(&format!("Location=\"{GATE}/oauth/saml/corp\"")));
    assert!(ours.contains("WantAssertionsSigned=\"true\""));
    // The provider's form goes there.
    let begin = client.provider.begin(&question(None)).await.unwrap();
    let (action, _) = idp.sign_in(begin.as_str(), "alice").await;
    assert_eq!(action, format!("{GATE}/oauth/saml/corp"));
}

#[tokio::test]
async fn a_fresh_proof_is_asked_for_and_insisted_on() {
    let idp = Idp::start();
    let client = idp.client("corp").await;
    let answer = client.asked_with(&idp, "alice", question(Some(0))).await;
    client.clock.advance(61);
    assert_eq!(client.post(&answer).await.unwrap_err(), SignInError::NotFresh);
    client.clock.advance(-30);
    client.post(&answer).await.unwrap();
}

/// SimpleSAMLphp answers with the class it has, whatever class was asked for.
#[tokio::test]
async fn a_class_that_was_asked_for_is_insisted_on() {
    let idp = Idp::start();
    let client = idp.client("corp").await;
    let class = |name: &str| format!("urn:oasis:names:tc:SAML:2.0:ac:classes:{name}");
    let mut asked = question(None);
    asked.acr_values = vec![class("Smartcard")];
    let answer = client.asked_with(&idp, "alice", asked.clone()).await;
    let refused = SignInError::Refused("NoAuthnContext".to_owned());
    assert_eq!(client.post(&answer).await.unwrap_err(), refused);
    asked.acr_values = vec![class("Smartcard"), class("Password")];
    let answer = client.asked_with(&idp, "alice", asked).await;
    client.post(&answer).await.unwrap();
}

/// A status other than success says its standard name, and nothing that it was made of.
#[tokio::test]
async fn a_refusal_there_is_a_refusal_here() {
    let idp = Idp::start();
    let client = idp.client("corp").await;
    let answer = client.asked(&idp, "alice").await;
    let success = "urn:oasis:names:tc:SAML:2.0:status:Success";
    for (status, said) in [
        ("urn:oasis:names:tc:SAML:2.0:status:AuthnFailed", "AuthnFailed"),
        ("urn:oasis:names:tc:SAML:2.0:status:Injected", "another status"),
        ("urn:example:anything", "another status"),
    ] {
        let changed = answer.xml.replace(success, status);
        let refused = client.post_changed(&answer, &changed).await;
        assert_eq!(refused, SignInError::Refused(said.to_owned()));
    }
}
