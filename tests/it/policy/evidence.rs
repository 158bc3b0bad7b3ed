//! Obligations: what is asked, of whom, and what counts as met.

use tollgate::call::{Code, Evidence};
use tollgate::policy::{ObligationKind, Verdict};

use super::{Call, asked, denial, loaded, permit, words};

const READ: &str = "@id(\"read\") permit (principal in Tollgate::Group::\"analyst\", action == Tollgate::Action::\"sql_read\", resource);\n";

fn obligation(id: &str, annotation: &str, scope: &str, when: &str) -> String {
    format!(
        "@id(\"{id}\") @{annotation} forbid ({scope}) {when} unless {{ context.satisfied.contains(\"{id}\") }};\n"
    )
}

const EVERYTHING: &str = "principal, action, resource";

fn met(ids: &[&str]) -> Evidence {
    Evidence {
        satisfied: words(ids),
        ..Evidence::default()
    }
}

#[test]
fn an_obligation_asks_and_then_permits() {
    let loaded = loaded(&format!(
        "{READ}{}",
        obligation(
            "rows",
            "limit_rows(\"50\") @explain(\"Few rows.\")",
            EVERYTHING,
            ""
        )
    ));
    let call = Call::query(&["analyst"], &[]);
    let Verdict::Ask(ask) = call.unasked(&loaded.policies) else {
        panic!("nothing asked");
    };
    assert_eq!(ask.obligations[0].id, "rows");
    assert_eq!(ask.obligations[0].kind, ObligationKind::LimitRows(50));
    assert_eq!(ask.obligations[0].explain.as_deref(), Some("Few rows."));
    assert_eq!(ask.decision.ids, ["rows"]);

    let granted = permit(call.decide(
        &loaded.policies,
        &Evidence {
            rows: Some(50),
            ..met(&["rows"])
        },
    ));
    assert_eq!(granted.limits().rows, 50);
    assert_eq!(granted.decision().ids, ["read"]);
    assert_eq!(granted.decision().satisfied, words(&["rows"]));
}

/// The trap of the extra permit: asking for something must not grant anything.
#[test]
fn an_obligation_grants_nothing() {
    let text = format!(
        "{READ}{}",
        obligation("rows", "limit_rows(\"50\")", EVERYTHING, "")
    );
    let loaded = loaded(&text);
    let stranger = Call::query(&["developer"], &[]);
    let denied = denial(stranger.unasked(&loaded.policies));
    assert_eq!(denied.refusal.code, Code::UnknownResource);
    let evidence = Evidence {
        rows: Some(1),
        self_confirmed: true,
        ..met(&["rows", "read"])
    };
    denial(stranger.decide(&loaded.policies, &evidence));
}

/// Nobody is asked for what would be denied anyway.
#[test]
fn a_final_denial_is_not_asked_about() {
    let loaded = loaded(&format!(
        "{READ}{}@id(\"no\") forbid (principal, action, resource) when {{ context.tool == \"sql_query\" && context.session.labels.contains(\"prod\") }};",
        obligation("sure", "confirm", EVERYTHING, "")
    ));
    let mut call = Call::query(&["analyst"], &[]);
    assert_eq!(asked(call.unasked(&loaded.policies)), ["sure"]);
    call.arrival.principal.session.labels = words(&["prod"]);
    let denied = denial(call.unasked(&loaded.policies));
    assert_eq!(denied.decision.ids, ["no"]);
    // Nor where nothing permits in the first place.
    let denied = denial(Call::query(&["developer"], &[]).unasked(&loaded.policies));
    assert!(denied.decision.ids.is_empty());
}

#[test]
fn everything_that_stands_in_the_way_is_asked_at_once() {
    let loaded = loaded(&format!(
        "{READ}{}{}{}",
        obligation("a-rows", "limit_rows(\"50\")", EVERYTHING, ""),
        obligation(
            "b-time",
            "limit_seconds(\"5\")",
            "principal, action == Tollgate::Action::\"sql_read\", resource in Tollgate::Label::\"prod\"",
            ""
        ),
        obligation(
            "c-sure",
            "confirm",
            EVERYTHING,
            "when { context.sql.tables.contains(\"customers\") }"
        )
        .replace(
            "principal, action,",
            "principal, action == Tollgate::Action::\"sql_read\","
        ),
    ));
    let plain = Call::query(&["analyst"], &["orders"]);
    assert_eq!(asked(plain.unasked(&loaded.policies)), ["a-rows", "b-time"]);
    let customers = Call::query(&["analyst"], &["customers"]);
    assert_eq!(
        asked(customers.unasked(&loaded.policies)),
        ["a-rows", "b-time", "c-sure"]
    );
    // Half an answer leaves the rest.
    let half = Evidence {
        rows: Some(50),
        ..met(&["a-rows", "b-time", "c-sure"])
    };
    assert_eq!(
        asked(customers.decide(&loaded.policies, &half)),
        ["b-time", "c-sure"]
    );
    let full = Evidence {
        seconds: Some(5),
        self_confirmed: true,
        ..half
    };
    let granted = permit(customers.decide(&loaded.policies, &full));
    assert_eq!((granted.limits().rows, granted.limits().seconds), (50, 5));
    assert_eq!(
        granted.decision().satisfied,
        words(&["a-rows", "b-time", "c-sure"])
    );
    // What was met but not needed is not recorded as met.
    let granted = permit(plain.decide(&loaded.policies, &full));
    assert_eq!(granted.decision().satisfied, words(&["a-rows", "b-time"]));
}

/// An id in the evidence is a claim; it counts only with what it claims.
#[test]
fn evidence_counts_only_when_it_covers_the_obligation() {
    let cases = [
        (
            "limit_rows(\"50\")",
            Evidence {
                rows: Some(51),
                ..met(&["it"])
            },
            false,
        ),
        (
            "limit_rows(\"50\")",
            Evidence {
                rows: None,
                ..met(&["it"])
            },
            false,
        ),
        (
            "limit_rows(\"50\")",
            Evidence {
                seconds: Some(1),
                ..met(&["it"])
            },
            false,
        ),
        (
            "limit_rows(\"50\")",
            Evidence {
                rows: Some(49),
                ..met(&["it"])
            },
            true,
        ),
        (
            "limit_rows(\"50\")",
            Evidence {
                rows: Some(50),
                ..met(&["other"])
            },
            false,
        ),
        (
            "limit_rows(\"50\")",
            Evidence {
                rows: Some(50),
                ..met(&[])
            },
            false,
        ),
        (
            "limit_seconds(\"5\")",
            Evidence {
                seconds: Some(6),
                ..met(&["it"])
            },
            false,
        ),
        (
            "limit_seconds(\"5\")",
            Evidence {
                rows: Some(1),
                ..met(&["it"])
            },
            false,
        ),
        (
            "limit_seconds(\"5\")",
            Evidence {
                seconds: Some(5),
                ..met(&["it"])
            },
            true,
        ),
        ("confirm", met(&["it"]), false),
        (
            "confirm",
            Evidence {
                self_confirmed: true,
                ..met(&[])
            },
            false,
        ),
        (
            "confirm",
            Evidence {
                self_confirmed: true,
                ..met(&["it"])
            },
            true,
        ),
        // Nothing proves yet that other people approved.
        (
            "approval(\"1 dba\")",
            Evidence {
                self_confirmed: true,
                rows: Some(0),
                seconds: Some(0),
                ..met(&["it"])
            },
            false,
        ),
    ];
    for (annotation, evidence, covered) in cases {
        let loaded = loaded(&format!("{READ}{}", obligation("it", annotation, EVERYTHING, "")));
        match Call::query(&["analyst"], &[]).decide(&loaded.policies, &evidence) {
            Verdict::Permit(_) => assert!(covered, "{annotation} {evidence:?}"),
            Verdict::Ask(_) => assert!(!covered, "{annotation} {evidence:?}"),
            Verdict::Deny(denial) => panic!("{annotation} {evidence:?}: {denial:?}"),
        }
    }
}

#[test]
fn a_permit_is_never_wider_than_the_server_or_the_evidence() {
    let loaded = loaded(READ);
    let call = Call::query(&["analyst"], &[]);
    let wide = Evidence {
        rows: Some(1_000_000),
        seconds: Some(1_000_000),
        ..met(&[])
    };
    let granted = permit(call.decide(&loaded.policies, &wide));
    assert_eq!((granted.limits().rows, granted.limits().seconds), (1000, 30));
    let tight = Evidence {
        rows: Some(0),
        seconds: Some(1),
        ..met(&[])
    };
    let granted = permit(call.decide(&loaded.policies, &tight));
    assert_eq!(
        (
            granted.limits().rows,
            granted.limits().seconds,
            granted.limits().bytes
        ),
        (0, 1, 1_048_576)
    );
}

#[test]
fn approvals_are_asked_with_their_quorum() {
    let loaded = loaded(&format!(
        "{READ}{}",
        obligation("two", "approval(\"2 dba, 1 analyst\")", EVERYTHING, "")
    ));
    let Verdict::Ask(ask) = Call::query(&["analyst"], &[]).unasked(&loaded.policies) else {
        panic!("nothing asked");
    };
    let wanted = vec![(2, "dba".to_owned()), (1, "analyst".to_owned())];
    assert_eq!(ask.obligations[0].kind, ObligationKind::Approval(wanted));
}

/// The second decision is the one that counts: what is still asked then is a denial.
#[test]
fn an_ask_at_the_end_is_a_denial() {
    let loaded = loaded(&format!(
        "{READ}{}",
        obligation("sure", "confirm", EVERYTHING, "")
    ));
    let verdict = Call::query(&["analyst"], &[]).decide(&loaded.policies, &met(&["sure"]));
    let denied = verdict.permit().unwrap_err();
    assert_eq!(denied.refusal.code, Code::NotPermitted);
    assert_eq!(denied.refusal.policies, ["sure"]);
    assert!(
        !denied.refusal.message.contains("sure"),
        "no ids for agents: {:?}",
        denied.refusal
    );
    assert!(
        Call::query(&["developer"], &[])
            .unasked(&loaded.policies)
            .permit()
            .is_err()
    );
}
