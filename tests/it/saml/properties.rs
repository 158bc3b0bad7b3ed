//! Whatever is done to a real response, it signs in the person it was made for, or nobody.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use regex::Regex;
use tollgate::identity::provider::SignedIn;

use super::idp::{Answer, Client, Idp, spec};

struct Lab {
    runtime: tokio::runtime::Runtime,
    metadata: String,
    answer: Answer,
    signed_in: SignedIn,
}

impl Lab {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let idp = Idp::start();
        let (metadata, answer, signed_in) = runtime.block_on(async {
            let client = idp.client("corp").await;
            let answer = client.asked(&idp, "alice").await;
            let signed_in = client.post(&answer).await.unwrap();
            (idp.metadata().await, answer, signed_in)
        });
        let lab = Self {
            runtime,
            metadata,
            answer,
            signed_in,
        };
        assert!(lab.holds(&lab.answer.xml).unwrap());
        lab
    }

    /// A server that has seen nothing yet reads this text. Whether it signed anybody in.
    fn holds(&self, text: &str) -> Result<bool, TestCaseError> {
        let client = Client::new(spec("corp", self.metadata.clone()));
        client.clock.set(&self.answer);
        let posted = self
            .runtime
            .block_on(client.post_text(&self.answer.question, text));
        let Ok(found) = posted else { return Ok(false) };
        let same = |one: &SignedIn| {
            let SignedIn {
                issuer,
                subject,
                claimed,
                auth_time,
                acr,
                sid,
                ..
            } = one.clone();
            (issuer, subject, claimed, auth_time, acr, sid)
        };
        prop_assert_eq!(same(&found), same(&self.signed_in), "{}", text);
        Ok(true)
    }
}

fn runner() -> TestRunner {
    TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn changed_bytes_change_nobody() {
    let lab = Lab::new();
    let xml = lab.answer.xml.clone().into_bytes();
    let change = (
        any::<prop::sample::Index>(),
        0..3,
        prop::sample::select(b"<>&\"'/ =aA0_-\n\r!?#".to_vec()),
    );
    let changes = prop::collection::vec(change, 1..4);
    let result = runner().run(&changes, |changes| {
        let mut text = xml.clone();
        for (at, how, byte) in changes {
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        lab.holds(&String::from_utf8_lossy(&text)).map(drop)
    });
    result.unwrap();
}

/// Elements of the response are copied, moved and removed, with other people's names in the copies.
#[test]
fn moved_elements_change_nobody() {
    let lab = Lab::new();
    let xml = lab.answer.xml.clone();
    let names = Regex::new("</([A-Za-z]+:[A-Za-z]+)>").unwrap();
    let mut elements: Vec<String> = names
        .captures_iter(&xml)
        .filter_map(|found| {
            let whole = Regex::new(&format!("(?s)<{0}[ >].*?</{0}>", &found[1])).unwrap();
            Some(whole.find(&xml)?.as_str().to_owned())
        })
        .collect();
    elements.sort();
    elements.dedup();
    assert!(elements.len() > 15, "{}", elements.len());
    let tags = Regex::new("<[^>]*>").unwrap();
    let index = any::<prop::sample::Index>;
    let step = (0..4, index(), index(), any::<bool>());
    let steps = prop::collection::vec(step, 1..4);
    let result = runner().run(&steps, |steps| {
        let mut text = xml.clone();
        for (how, which, place, evil) in steps {
            let element = which.get(&elements);
            let mut copy = element.clone();
            if evil {
                copy = copy.replace("u-alice", "u-bob").replace("analysts", "admins");
            }
            let places: Vec<usize> = tags.find_iter(&text).map(|tag| tag.end()).collect();
            let Some(at) = (!places.is_empty()).then(|| *place.get(&places)) else {
                continue;
            };
            match how {
                0 => text.insert_str(at, &copy),
                1 => text = text.replacen(element.as_str(), &copy, 1),
                2 => text = text.replacen(element.as_str(), "", 1),
                _ => {
                    text.insert_str(at, element);
                    text = text.replacen(element.as_str(), &copy, 1);
                }
            }
        }
        lab.holds(&text).map(drop)
    });
    result.unwrap();
}

#[test]
fn nothing_made_up_signs_anybody_in() {
    let lab = Lab::new();
    let leaf = prop::sample::select(vec![
        "u-alice".to_owned(),
        "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/>".to_owned(),
        "&amp;&#65;".to_owned(),
        "<saml:NameID>u-alice</saml:NameID>".to_owned(),
        "<!-- c -->".to_owned(),
    ]);
    let tree = leaf.prop_recursive(6, 40, 5, |inner| {
        let name = prop::sample::select(vec![
            "samlp:Response", "saml:Assertion", "saml:Subject", "saml:Conditions", "samlp:Status", "ds:Signature", "a",
        ]);
        (name, prop::collection::vec(inner, 0..5), any::<bool>()).prop_map(|(name, inside, declared)| {
            let spaces = if declared {
                " xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" \
                 xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" ID=\"_a\" Version=\"2.0\""
            } else {
                ""
            };
            format!("<{name}{spaces}>{}</{name}>", inside.concat())
        })
    });
    let text = prop_oneof![2 => tree, 1 => any::<String>()];
    let result = runner().run(&text, |text| {
        prop_assert!(!lab.holds(&text)?, "{}", text);
        Ok(())
    });
    result.unwrap();
}
