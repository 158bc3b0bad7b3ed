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
use crate::store::security_keys::ChallengeRow;
use crate::store::testing;

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
    /// Another process on the same store.
    other: SecurityKeys,
    rows: Rows,
    clock: Arc<Clock>,
    book: Arc<Book>,
    _folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.db");
    let store = testing::open(&file).await;
    let (clock, book) = (Arc::new(Clock(AtomicU64::new(0))), Arc::new(Book::default()));
    let control = url::Url::parse(&format!("{ORIGIN}/")).unwrap();
    let keys = |store| SecurityKeys::new(Rows::new(store), book.clone(), clock.clone(), &control).unwrap();
    let second = testing::open(&file).await;
    Bench {
        keys: keys(store.clone()),
        other: keys(second),
        rows: Rows::new(store),
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

/// Under the sign-in that keys are registered under.
fn first(user: &User) -> SignedIn<'_> {
    SignedIn {
        user,
        at: Timestamp(500_000),
    }
}

/// Under a later one.
fn later(user: &User) -> SignedIn<'_> {
    SignedIn {
        user,
        at: Timestamp(501_000),
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
    /// In a frame of somebody else's page.
    framed: bool,
    /// Signs the other ceremony's kind of data.
    crossed: bool,
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
            framed: false,
            crossed: false,
        }
    }

    fn client_data(&self, kind: &str, options: &str) -> Vec<u8> {
        let options: Value = serde_json::from_str(options).unwrap();
        let challenge = options["challenge"].as_str().unwrap();
        let kind = match (self.crossed, kind) {
            (false, kind) => kind,
            (true, "get") => "create",
            (true, _) => "get",
        };
        format!(
            "{{\"type\":\"webauthn.{kind}\",\"challenge\":\"{challenge}\",\"origin\":\"{}\",\"crossOrigin\":{}}}",
            self.origin, self.framed
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
        self.keys.register(first(who), "desk", &made, None).await.unwrap();
        soft
    }

    async fn asked(&self, who: &User, about: &About) -> String {
        match self.keys.ask(later(who), about).await.unwrap() {
            Asking::Options(options) => options,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_key_is_registered_and_proves_one_approval_once() {
    let bench = bench().await;
    let ann = user("ann");
    let none = bench.keys.ask(later(&ann), &approve("a", "1")).await;
    assert_eq!(none, Ok(Asking::NoKey));
    let mut soft = bench.registered(&ann, 1).await;
    let about = approve("a", "1");
    let options = bench.asked(&ann, &about).await;
    let sent: Value = serde_json::from_str(&options).unwrap();
    assert_eq!(sent["userVerification"], "required");
    assert_eq!(sent["rpId"], "approve.example.com");
    let answer = soft.sign(&options);
    let proof = bench.keys.prove(later(&ann), &about, &answer).await.unwrap();
    assert!(proof.is_for(&ann, &about));
    for (who, other) in [
        (user("ben"), about.clone()),
        (user("ann"), approve("b", "1")),
        (user("ann"), approve("a", "2")),
        (user("ann"), About::Register),
    ] {
        assert!(!proof.is_for(&who, &other), "{other:?}");
    }
    let again = bench.keys.prove(later(&ann), &about, &answer).await;
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
        let refused = bench.keys.prove(later(&ann), &other, &answer).await;
        assert_eq!(refused, Err(Fault::Other), "{other:?}");
        let late = bench.keys.prove(later(&ann), &about, &answer).await;
        assert_eq!(late, Err(Fault::Stale), "a wrong answer takes it away");
    }
    let options = bench.asked(&ann, &about).await;
    let refused = bench.keys.prove(later(&ben), &about, &bens.sign(&options)).await;
    assert_eq!(refused, Err(Fault::Other), "somebody else's challenge");
    let options = bench.asked(&ann, &about).await;
    let refused = bench.keys.prove(later(&ann), &about, &bens.sign(&options)).await;
    assert_eq!(refused, Err(Fault::NotYours), "somebody else's key");
    let options = bench.asked(&ann, &about).await;
    let answer = anns.sign(&options);
    bench.clock.0.fetch_add(300_000, Ordering::SeqCst);
    assert_eq!(
        bench.keys.prove(later(&ann), &about, &answer).await,
        Err(Fault::Stale)
    );
    // A challenge of a use makes no key, and one of a registration proves nothing.
    let options = bench.asked(&ann, &About::Register).await;
    let made = bench
        .keys
        .register(first(&ann), "x", &Soft::new(3).make(&options), None)
        .await;
    assert_eq!(made.unwrap_err(), Fault::Other);
    let options = bench.keys.ask_new(&ann).await.unwrap();
    let used = bench
        .keys
        .prove(later(&ann), &About::Register, &anns.sign(&options))
        .await;
    assert_eq!(used, Err(Fault::Other));
}

#[tokio::test]
async fn what_does_not_hold_is_refused() {
    let bench = bench().await;
    let ann = user("ann");
    let mut soft = bench.registered(&ann, 1).await;
    let about = approve("a", "1");
    type Wrong = (&'static str, fn(&mut Soft));
    let wrongs: [Wrong; 9] = [
        ("origin", |soft| {
            soft.origin = "https://approve.example.com.evil.example"
        }),
        ("a port", |soft| soft.origin = "https://approve.example.com:8443"),
        ("relying party", |soft| soft.rp = "example.com"),
        ("nobody verified", |soft| soft.flags = 0x01),
        ("nobody there", |soft| soft.flags = 0x04),
        ("in clear text", |soft| soft.origin = "http://approve.example.com"),
        ("in a frame", |soft| soft.framed = true),
        ("another private key", |soft| {
            soft.key = SigningKey::from_bytes(&[9; 32])
        }),
        ("another ceremony", |soft| soft.crossed = true),
    ];
    for (what, wrong) in wrongs {
        let mut bad = Soft {
            count: soft.count,
            ..Soft::new(1)
        };
        wrong(&mut bad);
        let options = bench.asked(&ann, &about).await;
        let refused = bench.keys.prove(later(&ann), &about, &bad.sign(&options)).await;
        assert_eq!(refused, Err(Fault::Refused), "{what}");
    }
    for (what, wrong) in &wrongs[..7] {
        let mut bad = Soft::new(7);
        wrong(&mut bad);
        let ben = user("ben");
        let options = bench.keys.ask_new(&ben).await.unwrap();
        let refused = bench
            .keys
            .register(first(&ben), "x", &bad.make(&options), None)
            .await;
        assert_eq!(refused.unwrap_err(), Fault::Refused, "{what}");
    }
    for text in ["", "{}", "null", "[]", &"x".repeat(LONGEST + 1)] {
        assert_eq!(
            bench.keys.prove(later(&ann), &about, text).await,
            Err(Fault::Malformed)
        );
        let made = bench.keys.register(first(&ann), "x", text, None).await;
        assert_eq!(made.unwrap_err(), Fault::Malformed);
    }
    let options = bench.asked(&ann, &about).await;
    bench
        .keys
        .prove(later(&ann), &about, &soft.sign(&options))
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
        .prove(later(&ann), &about, &soft.sign(&options))
        .await
        .unwrap();
    for count in [10, 3] {
        soft.count = count; // signs with one more
        let options = bench.asked(&ann, &about).await;
        let refused = bench.keys.prove(later(&ann), &about, &soft.sign(&options)).await;
        assert_eq!(refused, Err(Fault::WentBack), "{count}");
    }
    let said = bench.book.lines.lock().unwrap()[1..].to_vec();
    let key = bench.keys.list(&ann).await.unwrap()[0].id.clone();
    let one = json!({"event": "security_key_went_back", "key": key, "by": "corp#ann"});
    assert_eq!(said, [one.clone(), one], "and on record");
    soft.count = 11;
    let options = bench.asked(&ann, &about).await;
    bench
        .keys
        .prove(later(&ann), &about, &soft.sign(&options))
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
        .register(first(&ann), "first", &soft.make(&one), None)
        .await
        .unwrap();
    let second = bench
        .keys
        .register(first(&ann), "second", &Soft::new(2).make(&two), None)
        .await;
    assert_eq!(second.unwrap_err(), Fault::KeyNeeded);
    let proof = async |soft: &mut Soft, about: &About| {
        let options = bench.asked(&ann, about).await;
        bench
            .keys
            .prove(later(&ann), about, &soft.sign(&options))
            .await
            .unwrap()
    };
    let wrong = proof(&mut soft, &approve("a", "1")).await;
    let right = proof(&mut soft, &About::Register).await;
    for (given, wanted) in [(&wrong, Err(Fault::KeyNeeded)), (&right, Ok(2))] {
        let options = bench.keys.ask_new(&ann).await.unwrap();
        let made = bench
            .keys
            .register(first(&ann), "second", &Soft::new(2).make(&options), Some(given))
            .await;
        assert_eq!(made.map(|_| 2), wanted);
    }
    let held = bench.keys.list(&ann).await.unwrap();
    let (one, second) = (held[0].id.clone(), held[1].id.clone());
    assert_eq!(bench.keys.remove(&ann, &one, &right).await, Err(Fault::KeyNeeded));
    let removal = proof(&mut soft, &About::Remove(one.clone())).await;
    assert_eq!(
        bench.keys.remove(&ann, &second, &removal).await,
        Err(Fault::KeyNeeded)
    );
    bench.keys.remove(&ann, &one, &removal).await.unwrap();
    assert_eq!(bench.keys.list(&ann).await.unwrap().len(), 1);
    // The key of one person is nobody else's.
    let ben = user("ben");
    let options = bench.keys.ask_new(&ben).await.unwrap();
    let known = bench
        .keys
        .register(first(&ben), "x", &Soft::new(2).make(&options), None)
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
        .register(first(&ann), "x", &Soft::new(1).make(&options), None)
        .await;
    assert_eq!(made.unwrap_err(), Fault::Unrecorded);
    assert!(bench.keys.list(&ann).await.unwrap().is_empty());
    for name in ["", "  ", "\u{200b}", &"n".repeat(65)] {
        let made = bench.keys.register(first(&ann), name, "{}", None).await;
        assert_eq!(made.unwrap_err(), Fault::Name, "{name:?}");
    }
}

#[tokio::test]
async fn challenges_are_bounded_and_nobody_pushes_out_somebody_elses() {
    let bench = bench().await;
    let (ann, ben) = (user("ann"), user("ben"));
    let mut anns = bench.registered(&ann, 1).await;
    let mut bens = bench.registered(&ben, 2).await;
    let about = approve("a", "1");
    let options = bench.asked(&ann, &about).await;
    let oldest = bench.asked(&ben, &about).await;
    for _ in 0..MOST_EACH {
        bench.clock.0.fetch_add(1, Ordering::SeqCst);
        bench.asked(&ben, &about).await;
    }
    let gone = bench.keys.prove(later(&ben), &about, &bens.sign(&oldest)).await;
    assert_eq!(gone, Err(Fault::Stale), "their own oldest goes");
    bench
        .keys
        .prove(later(&ann), &about, &anns.sign(&options))
        .await
        .unwrap();
    // Of everybody together there is a bound, too, and what is over does not count.
    let row = |number: u8, expires_at: u64| ChallengeRow {
        challenge: [number; 16],
        issuer: "corp".to_owned(),
        subject: format!("p{number}"),
        about: "[]".to_owned(),
        kind: "use".to_owned(),
        ceremony: Vec::new(),
        expires_at,
    };
    let mut tx = bench.rows.write().await.unwrap();
    for number in 0..4 {
        tx.keep_challenge(&row(number, u64::MAX >> 1), 5_000_000, 9, 3)
            .await
            .unwrap();
    }
    let mut left = 0;
    for number in 0..4 {
        left += u8::from(tx.take_challenge([number; 16]).await.unwrap().is_some());
        assert_eq!(tx.take_challenge([number; 16]).await.unwrap(), None, "taken once");
    }
    assert_eq!(left, 3);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn of_two_processes_on_one_store_one_takes_the_answer() {
    let bench = bench().await;
    let ann = user("ann");
    let about = approve("a", "1");
    // Asked at one, registered and used at the other.
    let mut soft = Soft::new(1);
    let options = bench.keys.ask_new(&ann).await.unwrap();
    let made = bench
        .other
        .register(first(&ann), "desk", &soft.make(&options), None)
        .await;
    made.unwrap();
    let options = bench.asked(&ann, &about).await;
    let answer = soft.sign(&options);
    bench.other.prove(later(&ann), &about, &answer).await.unwrap();
    for keys in [&bench.keys, &bench.other] {
        let again = keys.prove(later(&ann), &about, &answer).await;
        assert_eq!(again, Err(Fault::Stale), "a replay");
    }
    // At once: never both, and nobody is told anything but that it is used.
    for _ in 0..8 {
        let options = bench.asked(&ann, &about).await;
        let answer = soft.sign(&options);
        let (one, two) = tokio::join!(
            bench.keys.prove(later(&ann), &about, &answer),
            bench.other.prove(later(&ann), &about, &answer),
        );
        let lost = if one.is_ok() { two } else { one.clone() };
        assert_eq!(lost, Err(Fault::Stale));
    }
}

/// What a stolen session is worth that is fresh enough to change something.
#[tokio::test]
async fn a_key_does_not_count_under_the_sign_in_it_was_registered_under() {
    let bench = bench().await;
    let ann = user("ann");
    let mut soft = bench.registered(&ann, 1).await;
    for about in [
        approve("a", "1"),
        About::Register,
        About::Remove(bench.keys.list(&ann).await.unwrap()[0].id.clone()),
    ] {
        for at in [0, 499_999, 500_000] {
            let who = SignedIn {
                user: &ann,
                at: Timestamp(at),
            };
            assert_eq!(bench.keys.ask(who, &about).await, Ok(Asking::Later), "{at}");
            // Also with a challenge of the owner's own later sign-in.
            let options = bench.asked(&ann, &about).await;
            let used = bench.keys.prove(who, &about, &soft.sign(&options)).await;
            assert_eq!(used, Err(Fault::TooNew), "{at}");
        }
    }
    let about = approve("a", "1");
    let options = bench.asked(&ann, &about).await;
    bench
        .keys
        .prove(later(&ann), &about, &soft.sign(&options))
        .await
        .unwrap();
    // Of two, only the one that counts is asked for.
    let proof = {
        let options = bench.asked(&ann, &About::Register).await;
        let answer = soft.sign(&options);
        let proof = bench.keys.prove(later(&ann), &About::Register, &answer).await;
        proof.unwrap()
    };
    let options = bench.keys.ask_new(&ann).await.unwrap();
    let mut second = Soft::new(2);
    let made = second.make(&options);
    bench
        .keys
        .register(later(&ann), "second", &made, Some(&proof))
        .await
        .unwrap();
    let options = bench.asked(&ann, &about).await;
    let asked: Value = serde_json::from_str(&options).unwrap();
    assert_eq!(asked["allowCredentials"].as_array().unwrap().len(), 1, "{asked}");
    let refused = bench
        .keys
        .prove(later(&ann), &about, &second.sign(&options))
        .await;
    assert_eq!(refused, Err(Fault::TooNew));
}
