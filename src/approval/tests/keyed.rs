//! With `webauthn = "required"` nobody approves without a key used for this very decision.

use super::bench::*;
use crate::approval::Settings;
use crate::approval::review::{Choice, NotDecided, Reviewer, State};
use crate::identity::security_keys::{About, Proof};

async fn strict(folder: &std::path::Path) -> Bench {
    let settings = Settings {
        security_key: true,
        ..Settings::default()
    };
    let bench = bench_with(folder, 1, settings).await;
    super::standing::registered(&bench, "dan", "k1").await;
    bench
}

#[tokio::test]
async fn only_a_proof_for_this_person_request_and_action_counts() {
    let folder = tempfile::tempdir().unwrap();
    let bench = strict(folder.path()).await;
    let id = bench.opened("UPDATE 1").await;
    let other = bench.opened("UPDATE 2").await;
    let (seen, rules) = (bench.signed(&id).await, bench.rules());
    let dan = bench.reviewer("dan", &["dba"]);
    let about = |approval: &str, action: &str| About::Approve {
        approval: approval.to_owned(),
        action_sha256: action.to_owned(),
    };
    let wrong = [
        None,
        Some(Proof::of("k", &user("eve", &[]), about(&id.0, &seen))),
        Some(Proof::of("k", &dan.user, about(&other.0, &seen))),
        Some(Proof::of(
            "k",
            &dan.user,
            about(&id.0, &bench.signed(&other).await),
        )),
        Some(Proof::of("k", &dan.user, About::Register)),
        Some(Proof::of("k", &dan.user, About::Remove("k".to_owned()))),
    ];
    for key in wrong {
        let dan = Reviewer { key, ..dan.clone() };
        let decided = bench
            .approvals
            .decide(&dan, &rules, &id, Choice::Approve, &seen)
            .await;
        let page = format!("http://localhost:7331/approvals/{id}");
        assert_eq!(
            decided.unwrap_err(),
            NotDecided::SecurityKey(page),
            "{:?}",
            dan.key
        );
    }
    assert_eq!(bench.row(&id).await.state, "pending");
    let proven = Reviewer {
        key: Some(Proof::of("k1", &dan.user, about(&id.0, &seen))),
        ..dan.clone()
    };
    let card = bench
        .approvals
        .decide(&proven, &rules, &id, Choice::Approve, &seen)
        .await;
    assert_eq!(card.unwrap().state, State::Granted);
    let sheet = bench.approvals.show(&dan, &rules, &id).await.unwrap();
    assert!(
        sheet
            .history
            .iter()
            .any(|(_, word, ..)| word == "approved, with a security key"),
        "{:?}",
        sheet.history
    );
    let told = bench.book.events.lock().unwrap().clone();
    let approved = told.iter().find(|event| event.event == "approved").unwrap();
    assert_eq!(approved.method.as_deref(), Some("security-key k1"));
    assert!(
        told.iter()
            .filter(|event| event.event != "approved")
            .all(|event| event.method.is_none())
    );
    // Taking rights away needs no key.
    let signed = bench.signed(&other).await;
    let no = Choice::Refuse("no".to_owned());
    let refused = bench.approvals.decide(&dan, &rules, &other, no, &signed);
    assert_eq!(refused.await.unwrap().state, State::Refused);
    let third = bench.opened("UPDATE 3").await;
    assert_eq!(
        bench.approvals.cancel(&dan, &rules, &third).await.unwrap().state,
        State::Cancelled
    );
}

#[tokio::test]
async fn where_none_is_needed_a_wrong_one_is_refused_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    let (seen, rules) = (bench.signed(&id).await, bench.rules());
    let dan = bench.reviewer("dan", &["dba"]);
    let wrong = Reviewer {
        key: Some(Proof::of("k", &dan.user, About::Register)),
        ..dan.clone()
    };
    let decided = bench
        .approvals
        .decide(&wrong, &rules, &id, Choice::Approve, &seen)
        .await;
    assert!(matches!(decided, Err(NotDecided::SecurityKey(_))));
    let decided = bench
        .approvals
        .decide(&dan, &rules, &id, Choice::Approve, &seen)
        .await;
    assert_eq!(decided.unwrap().state, State::Granted);
}

/// Who approved before it was required, or at a process that does not ask for it, is not counted where it is.
#[tokio::test]
async fn an_approval_without_a_key_does_not_count_where_one_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let lax = bench(folder.path(), 1).await;
    let id = lax.opened("UPDATE 1").await;
    let (seen, rules) = (lax.signed(&id).await, lax.rules());
    let dan = lax.reviewer("dan", &["dba"]);
    let card = lax
        .approvals
        .decide(&dan, &rules, &id, Choice::Approve, &seen)
        .await;
    assert_eq!(card.unwrap().state, State::Granted);
    let call = lax.call("UPDATE 1");
    let evidence = lax.evidence(&call).await;
    let bench = strict(folder.path()).await;
    let again = bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"])).await;
    let spent = bench
        .approvals
        .spend(
            call.subject(),
            &evidence,
            Some(&effect(&["1", "2"])),
            &bench.rules(),
        )
        .await;
    for refusal in [refused(again), refused(spent)] {
        assert!(refusal.message.contains("without a security key"), "{refusal:?}");
    }
    assert_eq!(bench.row(&id).await.state, "granted", "nothing has taken it");
    // Of two, the one with a key counts, and the other's is not made up for.
    let call = lax.call("UPDATE 2");
    let two = pending(lax.walk(&call, asks(&[(2, "dba")]), &effect(&["1"])).await).id;
    lax.approve("eve", &["dba"], &two).await;
    let seen = bench.signed(&two).await;
    let about = About::Approve {
        approval: two.0.clone(),
        action_sha256: seen.clone(),
    };
    let proven = Reviewer {
        key: Some(Proof::of("k1", &dan.user, about)),
        ..dan.clone()
    };
    let card = bench
        .approvals
        .decide(&proven, &rules, &two, Choice::Approve, &seen)
        .await;
    assert_eq!(card.unwrap().state, State::Pending);
}
