//! What may stand beside `@approval`: what loads, what is asked with it, and what breaking the glass meets.

use tollgate::call::{Approved, Approver, Bound, Evidence, UserKind};
use tollgate::policy::{Escalation, Grantable, Policies, Verdict};

use super::{Call, asked, folder, loaded, permitted, scene, words};

const READ: &str = "@id(\"read\") permit (principal in Tollgate::Group::\"analyst\", action == Tollgate::Action::\"sql_read\", resource);\n";

fn beside(annotations: &str) -> String {
    format!(
        "{READ}@id(\"asked\") @approval(\"1 dba\") {annotations} forbid (principal, action, resource) \
         unless {{ context.satisfied.contains(\"asked\") }};\n"
    )
}

#[test]
fn what_is_chosen_is_asked_with_the_obligation() {
    let text = "@grantable(\"1h, 20 uses, 100 rows\") @escalate(\"developer after 30m, dba after 90s\") \
                @break_glass(\"developer\")";
    let loaded = loaded(&beside(text));
    let Verdict::Ask(ask) = Call::query(&["analyst"], &[]).unasked(&loaded.policies) else {
        panic!("nothing is asked");
    };
    let one = &ask.obligations[0];
    let grantable = Grantable {
        seconds: 3_600,
        uses: 20,
        rows: Some(100),
    };
    assert_eq!(one.grantable, Some(grantable));
    let later = |group: &str, seconds| Escalation {
        group: group.to_owned(),
        seconds,
    };
    assert_eq!(
        one.escalate,
        [later("dba", 90), later("developer", 1_800)],
        "in the order of time"
    );
    assert_eq!(one.break_glass.as_deref(), Some("developer"));
}

#[test]
fn what_is_malformed_or_means_nothing_does_not_load() {
    for annotations in [
        "@grantable(\"\")",
        "@grantable(\"30m\")",
        "@grantable(\"30, 20 uses\")",
        "@grantable(\"25h, 20 uses\")",
        "@grantable(\"30m, 0 uses\")",
        "@grantable(\"30m, 1001 uses\")",
        "@grantable(\"30m, 20 uses, 5 rows, 6\")",
        "@grantable(\"30m, 20 rows\")",
        "@grantable(\"-1m, 20 uses\")",
        "@escalate(\"\")",
        "@escalate(\"dba\")",
        "@escalate(\"dba after\")",
        "@escalate(\"dba after 0m\")",
        "@escalate(\"nobody after 10m\")",
        "@escalate(\"dba after 1m, dba after 2m\")",
        "@break_glass",
        "@break_glass(\"nobody\")",
        "@break_glass(\"dba, developer\")",
    ] {
        let dir = folder(&beside(annotations));
        assert!(
            Policies::load(dir.path(), scene(), None).is_err(),
            "{annotations}"
        );
    }
    for annotation in [
        "grantable(\"30m, 2 uses\")",
        "escalate(\"dba after 1m\")",
        "break_glass(\"dba\")",
    ] {
        let text = format!(
            "{READ}@id(\"rows\") @limit_rows(\"5\") @{annotation} forbid (principal, action, resource) \
             unless {{ context.satisfied.contains(\"rows\") }};\n"
        );
        let dir = folder(&text);
        let error = Policies::load(dir.path(), scene(), None).unwrap_err().to_string();
        assert!(error.contains("there is no @approval"), "{error}");
    }
}

fn broken(call: &Call, subject: &str, groups: &[&str]) -> Evidence {
    let by = Approver {
        issuer: "corp".to_owned(),
        subject: subject.to_owned(),
        groups: words(groups),
    };
    Evidence {
        satisfied: words(&["asked"]),
        approved: Some(Approved {
            id: tollgate::call::ApprovalId("0".repeat(32)),
            action_sha256: call.facts.action_sha256(&call.invocation, None),
            approvers: Vec::new(),
            effect: None,
            bound: Bound::Keys,
            grant: None,
            break_glass: Some(by),
        }),
        ..Evidence::default()
    }
}

#[test]
fn broken_glass_counts_for_the_requester_in_the_named_group_and_this_action_alone() {
    let may = loaded(&beside("@break_glass(\"developer\")"));
    let call = Call::query(&["analyst"], &[]);
    permitted(call.decide(&may.policies, &broken(&call, "u-1", &["developer"])));
    let still_asked = |policies, call: &Call, evidence: &Evidence| {
        assert_eq!(asked(call.decide(policies, evidence)), ["asked"]);
    };
    still_asked(&may.policies, &call, &broken(&call, "u-2", &["developer"]));
    still_asked(&may.policies, &call, &broken(&call, "u-1", &["dba"]));
    let other = Call::query(&["analyst"], &["orders"]);
    still_asked(&may.policies, &other, &broken(&call, "u-1", &["developer"]));
    let plain = loaded(&beside(""));
    still_asked(&plain.policies, &call, &broken(&call, "u-1", &["developer"]));
    let mut service = Call::query(&["analyst"], &[]);
    service.arrival.principal.user.kind = UserKind::Service;
    still_asked(&may.policies, &service, &broken(&service, "u-1", &["developer"]));
}
