//! A key in software, and everything that can be wrong with what it signs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::*;
use crate::call::UserKind;
use crate::store::{Store, Tuning};

const ORIGIN: &str = "https://approve.example.com";

/// A clock that only tests move.
#[derive(Debug)]
struct Clock(AtomicU64);

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000 + self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn random(&self, buffer: &mut [u8]) {
        crate::clock::System::new().random(buffer);
    }
}

#[derive(Default)]
struct Book {
    full: AtomicBool,
    lines: Mutex<Vec<Value>>,
}

impl KeyLedger for Book {
    fn record(&self, what: Value) -> BoxFuture<'_, bool> {
        let takes = !self.full.load(Ordering::SeqCst);
        if takes {
            self.lines.lock().unwrap().push(what);
        }
        Box::pin(async move { takes })
    }
}

struct Bench {
    keys: SecurityKeys,
    clock: Arc<Clock>,
    book: Arc<Book>,
    _folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("t.db").display());
    let store = Store::open(&url, &Tuning::default()).await.unwrap();
    let (clock, book) = (Arc::new(Clock(AtomicU64::new(0))), Arc::new(Book::default()));
    let control = url::Url::parse(&format!("{ORIGIN}/")).unwrap();
    let keys = SecurityKeys::new(Rows::new(store), book.clone(), clock.clone(), &control).unwrap();
    Bench {
        keys,
        clock,
        book,
        _folder: folder,
    }
}

fn user(subject: &str) -> User {
    User {
        issuer: "corp".to_owned(),
        subject: subject.to_owned(),
        kind: UserKind::Person,
        groups: BTreeSet::new(),
    }
}

fn approve(approval: &str, action: &str) -> About {
    About::Approve {
        approval: approval.to_owned(),
        action_sha256: action.to_owned(),
    }
}

/// What an authenticator and a browser say; each member can be made wrong.
struct Soft {
    key: SigningKey,
    id: Vec<u8>,
    count: u32,
    origin: &'static str,
    rp: &'static str,
    flags: u8,
}

/// User present and verified (section 6.1).
const UP_UV: u8 = 0x05;

impl Soft {
    fn new(seed: u8) -> Self {
        Self {
            key: SigningKey::from_bytes(&[seed; 32]),
            id: vec![seed; 32],
            count: 1,
            origin: ORIGIN,
            rp: "approve.example.com",
            flags: UP_UV,
        }
    }

    fn client_data(&self, kind: &str, options: &str) -> Vec<u8> {
        let options: Value = serde_json::from_str(options).unwrap();
        let challenge = options["challenge"].as_str().unwrap();
        format!(
            "{{\"type\":\"webauthn.{kind}\",\"challenge\":\"{challenge}\",\"origin\":\"{}\",\"crossOrigin\":false}}",
            self.origin
        )
        .into_bytes()
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let mut data = Hash::of(self.rp.as_bytes()).0.to_vec();
        data.push(flags);
        data.extend(self.count.to_be_bytes());
        data
    }

    /// `RegistrationResponseJSON` with attestation "none" (section 8.7) and an Ed25519 key (RFC 9053, 2.2).
    fn make(&self, options: &str) -> String {
        let mut data = self.data(self.flags | 0x40);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        data.extend([0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20]);
        data.extend(self.key.verifying_key().to_bytes());
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(&data);
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "id": b64(&self.id), "rawId": b64(&self.id), "type": "public-key", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64(&self.client_data("create", options)),
                "attestationObject": b64(&object),
                "transports": ["internal"],
            },
        })
        .to_string()
    }

    /// `AuthenticationResponseJSON`; counts on.
    fn sign(&mut self, options: &str) -> String {
        self.count += 1;
        let client = self.client_data("get", options);
        let data = self.data(self.flags);
        let mut signed = data.clone();
        signed.extend(Hash::of(&client).0);
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "id": b64(&self.id), "rawId": b64(&self.id), "type": "public-key", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64(&client),
                "authenticatorData": b64(&data),
                "signature": b64(&self.key.sign(&signed).to_bytes()),
            },
        })
        .to_string()
    }
}

impl Bench {
    async fn registered(&self, who: &User, seed: u8) -> Soft {
        let soft = Soft::new(seed);
        let options = self.keys.ask_new(who).await.unwrap();
        let made = soft.make(&options);
        self.keys.register(who, "desk", &made, None).await.unwrap();
        soft
    }

    async fn asked(&self, who: &User, about: &About) -> String {
        self.keys.ask(who, about.clone()).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_key_is_registered_and_proves_one_approval_once() {
    let bench = bench().await;
    let ann = user("ann");
    assert_eq!(bench.keys.ask(&ann, approve("a", "1")).await.unwrap(), None);
    let mut soft = bench.registered(&ann, 1).await;
    let about = approve("a", "1");
    let options = bench.asked(&ann, &about).await;
    let sent: Value = serde_json::from_str(&options).unwrap();
    assert_eq!(sent["userVerification"], "required");
    assert_eq!(sent["rpId"], "approve.example.com");
    let answer = soft.sign(&options);
    let proof = bench.keys.prove(&ann, &about, &answer).await.unwrap();
    assert!(proof.is_for(&ann, &about));
    for (who, other) in [
        (user("ben"), about.clone()),
        (user("ann"), approve("b", "1")),
        (user("ann"), approve("a", "2")),
        (user("ann"), About::Register),
    ] {
        assert!(!proof.is_for(&who, &other), "{other:?}");
    }
    let again = bench.keys.prove(&ann, &about, &answer).await;
    assert_eq!(again, Err(Fault::Stale), "a replay");
    let held = bench.keys.list(&ann).await.unwrap();
    assert!(held[0].used_at.is_some() && held[0].name == "desk");
    let lines = bench.book.lines.lock().unwrap();
    assert_eq!(lines[0]["event"], "security_key_register");
}

#[tokio::test]
async fn a_challenge_is_for_one_person_one_thing_and_five_minutes() {
    let bench = bench().await;
    let (ann, ben) = (user("ann"), user("ben"));
    let mut anns = bench.registered(&ann, 1).await;
    let mut bens = bench.registered(&ben, 2).await;
    let about = approve("a", "1");
    for other in [
        approve("b", "1"),
        approve("a", "2"),
        About::Register,
        About::Remove("x".to_owned()),
    ] {
        let options = bench.asked(&ann, &about).await;
        let answer = anns.sign(&options);
        let refused = bench.keys.prove(&ann, &other, &answer).await;
        assert_eq!(refused, Err(Fault::Other), "{other:?}");
        let late = bench.keys.prove(&ann, &about, &answer).await;
        assert_eq!(late, Err(Fault::Stale), "a wrong answer takes it away");
    }
    let options = bench.asked(&ann, &about).await;
    let refused = bench.keys.prove(&ben, &about, &bens.sign(&options)).await;
    assert_eq!(refused, Err(Fault::Other), "somebody else's challenge");
    let options = bench.asked(&ann, &about).await;
    let refused = bench.keys.prove(&ann, &about, &bens.sign(&options)).await;
    assert_eq!(refused, Err(Fault::NotYours), "somebody else's key");
    let options = bench.asked(&ann, &about).await;
    let answer = anns.sign(&options);
    bench.clock.0.fetch_add(300_000, Ordering::SeqCst);
    assert_eq!(bench.keys.prove(&ann, &about, &answer).await, Err(Fault::Stale));
    // A challenge of a use makes no key, and one of a registration proves nothing.
    let options = bench.asked(&ann, &About::Register).await;
    let made = bench
        .keys
        .register(&ann, "x", &Soft::new(3).make(&options), None)
        .await;
    assert_eq!(made.unwrap_err(), Fault::Other);
    let options = bench.keys.ask_new(&ann).await.unwrap();
    let used = bench
        .keys
        .prove(&ann, &About::Register, &anns.sign(&options))
        .await;
    assert_eq!(used, Err(Fault::Other));
}

#[tokio::test]
async fn what_does_not_hold_is_refused() {
    let bench = bench().await;
    let ann = user("ann");
    let mut soft = bench.registered(&ann, 1).await;
    let about = approve("a", "1");
    let wrongs: [(&str, fn(&mut Soft)); 5] = [
        ("origin", |soft| {
            soft.origin = "https://approve.example.com.evil.example"
        }),
        ("a port", |soft| soft.origin = "https://approve.example.com:8443"),
        ("relying party", |soft| soft.rp = "example.com"),
        ("nobody verified", |soft| soft.flags = 0x01),
        ("another private key", |soft| {
            soft.key = SigningKey::from_bytes(&[9; 32])
        }),
    ];
    for (what, wrong) in wrongs {
        let mut bad = Soft {
            count: soft.count,
            ..Soft::new(1)
        };
        wrong(&mut bad);
        let options = bench.asked(&ann, &about).await;
        let refused = bench.keys.prove(&ann, &about, &bad.sign(&options)).await;
        assert_eq!(refused, Err(Fault::Refused), "{what}");
    }
    for (what, wrong) in &wrongs[..4] {
        let mut bad = Soft::new(7);
        wrong(&mut bad);
        let ben = user("ben");
        let options = bench.keys.ask_new(&ben).await.unwrap();
        let refused = bench.keys.register(&ben, "x", &bad.make(&options), None).await;
        assert_eq!(refused.unwrap_err(), Fault::Refused, "{what}");
    }
    for text in ["", "{}", "null", "[]", &"x".repeat(LONGEST + 1)] {
        assert_eq!(bench.keys.prove(&ann, &about, text).await, Err(Fault::Malformed));
        let made = bench.keys.register(&ann, "x", text, None).await;
        assert_eq!(made.unwrap_err(), Fault::Malformed);
    }
    let options = bench.asked(&ann, &about).await;
    bench
        .keys
        .prove(&ann, &about, &soft.sign(&options))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_count_that_goes_back_is_a_copy() {
    let bench = bench().await;
    let ann = user("ann");
    let mut soft = bench.registered(&ann, 1).await;
    let about = approve("a", "1");
    soft.count = 10;
    let options = bench.asked(&ann, &about).await;
    bench
        .keys
        .prove(&ann, &about, &soft.sign(&options))
        .await
        .unwrap();
    for count in [10, 3] {
        soft.count = count; // signs with one more
        let options = bench.asked(&ann, &about).await;
        let refused = bench.keys.prove(&ann, &about, &soft.sign(&options)).await;
        assert_eq!(refused, Err(Fault::WentBack), "{count}");
    }
    soft.count = 11;
    let options = bench.asked(&ann, &about).await;
    bench
        .keys
        .prove(&ann, &about, &soft.sign(&options))
        .await
        .unwrap();
}

#[tokio::test]
async fn whoever_has_a_key_needs_it_for_another_and_for_removing() {
    let bench = bench().await;
    let ann = user("ann");
    // Two first keys at once: the second finds one there.
    let (one, two) = (
        bench.keys.ask_new(&ann).await.unwrap(),
        bench.keys.ask_new(&ann).await.unwrap(),
    );
    let mut soft = Soft::new(1);
    bench
        .keys
        .register(&ann, "first", &soft.make(&one), None)
        .await
        .unwrap();
    let second = bench
        .keys
        .register(&ann, "second", &Soft::new(2).make(&two), None)
        .await;
    assert_eq!(second.unwrap_err(), Fault::KeyNeeded);
    let proof = async |soft: &mut Soft, about: &About| {
        let options = bench.asked(&ann, about).await;
        bench.keys.prove(&ann, about, &soft.sign(&options)).await.unwrap()
    };
    let wrong = proof(&mut soft, &approve("a", "1")).await;
    let right = proof(&mut soft, &About::Register).await;
    for (given, wanted) in [(&wrong, Err(Fault::KeyNeeded)), (&right, Ok(2))] {
        let options = bench.keys.ask_new(&ann).await.unwrap();
        let made = bench
            .keys
            .register(&ann, "second", &Soft::new(2).make(&options), Some(given))
            .await;
        assert_eq!(made.map(|_| 2), wanted);
    }
    let held = bench.keys.list(&ann).await.unwrap();
    let (first, second) = (held[0].id.clone(), held[1].id.clone());
    assert_eq!(
        bench.keys.remove(&ann, &first, &right).await,
        Err(Fault::KeyNeeded)
    );
    let removal = proof(&mut soft, &About::Remove(first.clone())).await;
    assert_eq!(
        bench.keys.remove(&ann, &second, &removal).await,
        Err(Fault::KeyNeeded)
    );
    bench.keys.remove(&ann, &first, &removal).await.unwrap();
    assert_eq!(bench.keys.list(&ann).await.unwrap().len(), 1);
    // The key of one person is nobody else's.
    let ben = user("ben");
    let options = bench.keys.ask_new(&ben).await.unwrap();
    let known = bench
        .keys
        .register(&ben, "x", &Soft::new(2).make(&options), None)
        .await;
    assert_eq!(known.unwrap_err(), Fault::Known);
}

#[tokio::test]
async fn no_record_no_key() {
    let bench = bench().await;
    bench.book.full.store(true, Ordering::SeqCst);
    let ann = user("ann");
    let options = bench.keys.ask_new(&ann).await.unwrap();
    let made = bench
        .keys
        .register(&ann, "x", &Soft::new(1).make(&options), None)
        .await;
    assert_eq!(made.unwrap_err(), Fault::Unrecorded);
    assert!(bench.keys.list(&ann).await.unwrap().is_empty());
    for name in ["", "  ", "\u{200b}", &"n".repeat(65)] {
        let made = bench.keys.register(&ann, name, "{}", None).await;
        assert_eq!(made.unwrap_err(), Fault::Name, "{name:?}");
    }
}

#[tokio::test]
async fn challenges_are_bounded_and_nobody_pushes_out_somebody_elses() {
    let bench = bench().await;
    let (ann, ben) = (user("ann"), user("ben"));
    let mut anns = bench.registered(&ann, 1).await;
    let _ = bench.registered(&ben, 2).await;
    let about = approve("a", "1");
    let options = bench.asked(&ann, &about).await;
    for _ in 0..2 * MOST_EACH {
        bench.clock.0.fetch_add(1, Ordering::SeqCst);
        bench.asked(&ben, &about).await;
    }
    assert_eq!(bench.keys.open.lock().unwrap().len(), MOST_EACH + 1);
    bench
        .keys
        .prove(&ann, &about, &anns.sign(&options))
        .await
        .unwrap();
}
