//! Changing policies while calls are running, and observing a set before it decides.

use std::fs;

use tollgate::policy::{CandidateReport, Policies};

use super::{Call, denial, folder, loaded, permit, permitted, scene, words, write};

const OPEN: &str = "@id(\"open\") permit (principal, action == Tollgate::Action::\"sql_read\", resource);\n";
const CLOSED: &str = "@id(\"closed\") permit (principal in Tollgate::Group::\"dba\", action == Tollgate::Action::\"sql_read\", resource);\n";

#[test]
fn a_reload_swaps_the_whole_set() {
    let loaded = loaded(OPEN);
    let call = Call::query(&["analyst"], &[]);
    let held = loaded.policies.current();
    permitted(call.unasked(&loaded.policies));
    write(loaded.dir.path(), "all.cedar", CLOSED);
    permitted(call.unasked(&loaded.policies));
    let report = loaded.policies.reload().unwrap();
    assert_eq!(report.before, held.digest());
    assert_eq!(report.load.digest, loaded.policies.current().digest());
    assert_ne!(report.before, report.load.digest);
    denial(call.unasked(&loaded.policies));
    // A call that is under way keeps the set it began with.
    assert_eq!(held.ids().collect::<Vec<_>>(), ["open"]);
}

#[test]
fn a_bad_set_keeps_the_old_one() {
    let loaded = loaded(OPEN);
    let before = loaded.policies.current().digest();
    for bad in [
        "@id(\"open\") permit (principal, action",
        "permit (principal, action, resource);",
    ] {
        write(loaded.dir.path(), "all.cedar", bad);
        let error = loaded.policies.reload().unwrap_err();
        assert!(error.to_string().contains("all.cedar:1"), "{error}");
        assert_eq!(loaded.policies.current().digest(), before);
        permitted(Call::query(&["analyst"], &[]).unasked(&loaded.policies));
    }
    fs::remove_dir_all(loaded.dir.path()).unwrap();
    assert!(loaded.policies.reload().is_err());
    permitted(Call::query(&["analyst"], &[]).unasked(&loaded.policies));
}

#[test]
fn a_set_that_fails_its_tests_keeps_the_old_one() {
    let loaded = loaded(OPEN);
    let before = loaded.policies.current().digest();
    let test = "[users.ana]\ngroups = [\"analyst\"]\n\n[[test]]\nname = \"analysts read\"\nuser = \"ana\"\naction = \"sql_read\"\nresource = \"shop\"\nexpect = \"permit\"\n";
    write(loaded.dir.path(), "tests/reading.toml", test);
    assert!(loaded.policies.reload().unwrap().tests.passed());
    write(loaded.dir.path(), "all.cedar", CLOSED);
    let error = loaded.policies.reload().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("reading.toml:5"), "{text}");
    assert!(
        text.contains("\"analysts read\" (ana · sql_read · shop): expected permit, got deny"),
        "{text}"
    );
    assert_eq!(loaded.policies.current().digest(), before);
    permitted(Call::query(&["analyst"], &[]).unasked(&loaded.policies));
}

#[test]
fn a_candidate_is_compared_and_never_enforced() {
    let (active, candidate) = (folder(OPEN), folder(CLOSED));
    let policies = Policies::load(active.path(), scene(), Some(candidate.path())).unwrap();
    let granted = permit(Call::query(&["analyst"], &[]).unasked(&policies));
    let difference = granted.decision().candidate.clone().unwrap();
    assert_eq!((difference.verdict.as_str(), difference.ids.len()), ("deny", 0));
    assert_ne!(difference.digest, granted.decision().digest);
    let same = permit(Call::query(&["dba"], &[]).unasked(&policies));
    assert!(
        same.decision().candidate.is_none(),
        "another id, the same decision"
    );
    assert!(
        matches!(policies.current().report().candidate, Some(CandidateReport::Observing(digest)) if digest == difference.digest)
    );

    // The other way round it would loosen, and still does not decide.
    let policies = Policies::load(candidate.path(), scene(), Some(active.path())).unwrap();
    let denied = denial(Call::query(&["analyst"], &[]).unasked(&policies));
    let difference = denied.decision.candidate.unwrap();
    assert_eq!(
        (difference.verdict.as_str(), difference.ids.as_slice()),
        ("permit", &["open".to_owned()][..])
    );
    assert!(
        policies
            .current()
            .visible(&Call::query(&["analyst"], &[]).arrival.principal)
            .resources
            .is_empty()
    );
}

#[test]
fn a_candidate_differs_in_what_it_shows_asks_and_bounds() {
    let reveal =
        format!("{OPEN}@id(\"show\") permit (principal, action == Tollgate::Action::\"reveal\", resource);");
    let ask = format!(
        "{OPEN}@id(\"rows\") @limit_rows(\"5\") forbid (principal, action, resource) unless {{ context.satisfied.contains(\"rows\") }};"
    );
    for (other, verdict) in [(&reveal, "permit"), (&ask, "ask")] {
        let (active, candidate) = (folder(OPEN), folder(other));
        let policies = Policies::load(active.path(), scene(), Some(candidate.path())).unwrap();
        let call = Call::query(&["analyst"], &[]).touching(&[("c.email", "email")]);
        let granted = permit(call.unasked(&policies));
        assert_eq!(granted.decision().candidate.as_ref().unwrap().verdict, verdict);
        assert_eq!(*granted.reveal(), words(&[]), "the candidate reveals nothing");
    }
}

#[test]
fn a_faulty_candidate_is_reported_and_changes_nothing() {
    let (active, candidate) = (folder(OPEN), folder("permit (principal"));
    let policies = Policies::load(active.path(), scene(), Some(candidate.path())).unwrap();
    let report = policies.current().report().clone();
    assert!(
        matches!(&report.candidate, Some(CandidateReport::Faulty(error)) if error.to_string().contains("all.cedar:1"))
    );
    assert!(
        report
            .warnings
            .iter()
            .any(|warning| warning.contains("candidate")),
        "{report:?}"
    );
    let granted = permit(Call::query(&["analyst"], &[]).unasked(&policies));
    assert!(granted.decision().candidate.is_none());
    // Once it is put right, a reload observes it.
    write(candidate.path(), "all.cedar", CLOSED);
    assert!(matches!(
        policies.reload().unwrap().load.candidate,
        Some(CandidateReport::Observing(_))
    ));
}
