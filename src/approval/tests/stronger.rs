//! Policy can want a stronger sign-in of whoever decides, and then says which.

use super::bench::*;
use crate::approval::review::{Choice, NotDecided, Reviewer, State};

const POLICIES: &str = r#"
@id("reviewers-approve")
permit (principal in Tollgate::Group::"dba", action == Tollgate::Action::"approve", resource);
@id("with-two-factors")
forbid (principal, action == Tollgate::Action::"approve", resource)
unless { context.acr == "urn:example:mfa" };
"#;

async fn strict(folder: &std::path::Path) -> Bench {
    let dir = folder.join("policies");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("all.cedar"), POLICIES).unwrap();
    bench(folder, 1).await
}

fn signed_in(bench: &Bench, acr: Option<&str>, may_reach: &[&str]) -> Reviewer {
    Reviewer {
        acr: acr.map(str::to_owned),
        may_reach: may_reach.iter().map(|class| (*class).to_owned()).collect(),
        ..bench.reviewer("dan", &["dba"])
    }
}

#[tokio::test]
async fn a_weak_sign_in_is_told_which_one_would_do_and_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bench = strict(folder.path()).await;
    let id = bench.opened("UPDATE 1").await;
    let seen = bench.signed(&id).await;
    let rules = bench.rules();
    let offered = ["urn:example:pwd", "urn:example:mfa"];
    for acr in [None, Some(""), Some("urn:example:pwd"), Some("urn:example:mfa ")] {
        let weak = signed_in(&bench, acr, &offered);
        let wanted = NotDecided::StrongerSignIn("urn:example:mfa".to_owned());
        let shown = bench.approvals.show(&weak, &rules, &id).await;
        assert_eq!(shown.unwrap_err(), wanted, "{acr:?}");
        for choice in [Choice::Approve, Choice::Refuse("no".to_owned())] {
            let decided = bench.approvals.decide(&weak, &rules, &id, choice, &seen).await;
            assert_eq!(decided.unwrap_err(), wanted);
        }
        let cancelled = bench.approvals.cancel(&weak, &rules, &id).await;
        assert_eq!(cancelled.unwrap_err(), wanted);
        let listed = bench.listed(&weak).await;
        assert!(listed.len() == 1 && !listed[0].may_decide && !listed[0].may_withdraw);
    }
    assert_eq!(bench.row(&id).await.state, "pending");
    let strong = signed_in(&bench, Some("urn:example:mfa"), &offered);
    let card = bench
        .approvals
        .decide(&strong, &rules, &id, Choice::Approve, &seen)
        .await;
    assert_eq!(card.unwrap().state, State::Granted);
}

#[tokio::test]
async fn where_no_class_would_do_nothing_is_promised() {
    let folder = tempfile::tempdir().unwrap();
    let bench = strict(folder.path()).await;
    let id = bench.opened("UPDATE 1").await;
    let rules = bench.rules();
    for offered in [&[][..], &["urn:example:pwd"]] {
        let weak = signed_in(&bench, None, offered);
        let shown = bench.approvals.show(&weak, &rules, &id).await;
        assert_eq!(shown.unwrap_err(), NotDecided::Unknown);
        assert!(bench.listed(&weak).await.is_empty());
    }
    let outsider = Reviewer {
        may_reach: vec!["urn:example:mfa".to_owned()],
        ..bench.reviewer("eve", &["ops"])
    };
    let shown = bench.approvals.show(&outsider, &rules, &id).await;
    assert_eq!(shown.unwrap_err(), NotDecided::Unknown, "not one of those asked");
}
