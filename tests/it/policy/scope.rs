//! What a credential is good for at most, whatever policies permit.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use tollgate::call::{Action, Approved, Approver, Bound, Code, Evidence, Scope, UserKind};
use tollgate::policy::Verdict;

use super::{Call, Loaded, denial, loaded, permitted, words};

/// Everything is permitted to everybody, or after being asked for.
const ALL: &str = "@id(\"all\") permit (principal, action, resource);\n";
const ASKED: &str = "@id(\"all\") permit (principal, action, resource);\n\
    @id(\"dba\") @approval(\"1 dba\") forbid (principal, action, resource) unless { context.satisfied.contains(\"dba\") };\n";

static PERMISSIVE: LazyLock<Loaded> = LazyLock::new(|| loaded(ALL));
static ASKING: LazyLock<Loaded> = LazyLock::new(|| loaded(ASKED));

const TOOLS: [&str; 4] = ["list_resources", "sql_schema", "sql_query", "file_read"];
const RESOURCES: [&str; 4] = ["shop", "code", "work", "elsewhere"];

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Option<BTreeSet<String>>> {
    proptest::option::of(proptest::sample::subsequence(of, 0..=of.len()).prop_map(|names| words(&names)))
}

fn scope() -> impl Strategy<Value = Scope> {
    (some(&TOOLS), some(&RESOURCES)).prop_map(|(tools, resources)| Scope { tools, resources })
}

fn call(kind: u8, resource: usize) -> Call {
    match kind {
        0 => Call::list(&["analyst"]),
        1 => Call::describe(&["analyst"], RESOURCES[resource]),
        2 => Call::query(&["analyst"], &["orders"]).doing(Action::SqlRead, RESOURCES[resource]),
        _ => Call::query(&["analyst"], &["orders"]).doing(Action::SqlWrite, RESOURCES[resource]),
    }
}

/// A `dba` approved this very call.
fn approved(call: &Call) -> Evidence {
    let dba = Approver {
        issuer: "corp".to_owned(),
        subject: "dba-1".to_owned(),
        groups: words(&["dba"]),
    };
    Evidence {
        satisfied: words(&["dba"]),
        approved: Some(Approved {
            id: tollgate::call::ApprovalId("0".repeat(32)),
            action_sha256: call.facts.action_sha256(&call.invocation, None),
            approvers: vec![dba],
            effect: None,
            bound: Bound::Keys,
            grant: None,
            break_glass: None,
        }),
        ..Evidence::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    /// Not by a permit, not after an approval, not for a measurement, not in a list.
    #[test]
    fn nothing_outside_its_scope_is_ever_permitted_or_asked_for(
        scope in scope(), kind in 0_u8..4, resource in 0_usize..4, service in any::<bool>(),
    ) {
        let mut call = call(kind, resource);
        call.arrival.principal.scope = scope.clone();
        if service {
            call.arrival.principal.user.kind = UserKind::Service;
            call.arrival.principal.user.issuer = "service".to_owned();
        }
        let named = call.invocation.resource.clone();
        let inside = scope.has_tool(&call.invocation.tool)
            && named.as_deref().is_none_or(|name| scope.has_resource(name));
        for set in [&*PERMISSIVE, &*ASKING] {
            let rules = set.policies.current();
            for verdict in [
                call.unasked(&set.policies),
                call.decide(&set.policies, &approved(&call)),
                rules.decide_measure(&call.arrival, &call.invocation, &call.facts),
            ] {
                match verdict {
                    Verdict::Permit(permit) => {
                        prop_assert!(inside);
                        prop_assert!(permit.resources().iter().all(|name| scope.has_resource(name)));
                    }
                    Verdict::Ask(_) => prop_assert!(inside),
                    Verdict::Deny(denial) => if named.as_deref().is_some_and(|name| !scope.has_resource(name)) {
                        prop_assert_eq!(denial.refusal.code, Code::UnknownResource);
                    }
                }
            }
            let visible = rules.visible(&call.arrival.principal);
            prop_assert!(visible.resources.keys().all(|name| scope.has_resource(name)));
            prop_assert!(TOOLS.iter().all(|tool| visible.admits(tool) == scope.has_tool(tool)));
        }
    }
}

#[test]
fn outside_and_invented_read_the_same() {
    let refusal = |resource: &str| {
        let mut call = Call::describe(&["analyst"], resource);
        call.arrival.principal.scope.resources = Some(words(&["code"]));
        let refusal = denial(call.unasked(&PERMISSIVE.policies)).refusal;
        (
            refusal.code,
            refusal.message.replace(resource, "…"),
            refusal.suggestion,
            refusal.retry,
        )
    };
    assert_eq!(refusal("shop"), refusal("invented"));
    let mut inside = Call::describe(&["analyst"], "code");
    inside.arrival.principal.scope.resources = Some(words(&["code"]));
    permitted(inside.unasked(&PERMISSIVE.policies));
}

#[test]
fn policies_can_tell_a_service_from_a_person_and_none_lets_it_decide_for_people() {
    let text = "@id(\"people\") permit (principal is Tollgate::User, action, resource) when { principal.kind == \"person\" };\n\
        @id(\"one-service\") permit (principal == Tollgate::User::\"service#nightly\", action, resource);\n";
    let loaded = loaded(text);
    let mut call = Call::describe(&["analyst"], "shop");
    permitted(call.unasked(&loaded.policies));
    call.arrival.principal.user.kind = UserKind::Service;
    denial(call.unasked(&loaded.policies));
    call.arrival.principal.user.issuer = "service".to_owned();
    call.arrival.principal.user.subject = "nightly".to_owned();
    permitted(call.unasked(&loaded.policies));
    let (rules, service) = (loaded.policies.current(), &call.arrival.principal.user);
    assert!(!rules.may_approve(service, "shop", None) && !rules.may_administer(service, "shop"));
    let person = super::principal(&["analyst"]).user;
    assert!(rules.may_approve(&person, "shop", None) && rules.may_administer(&person, "shop"));
    assert!(!rules.may_administer(&person, "elsewhere"));
}

/// A confirmation is a person's own; a program's word for it is none.
#[test]
fn nobody_confirms_for_a_service() {
    let text = format!(
        "{ALL}@id(\"sure\") @confirm forbid (principal, action, resource) unless {{ context.satisfied.contains(\"sure\") }};\n"
    );
    let loaded = loaded(&text);
    let evidence = Evidence {
        satisfied: words(&["sure"]),
        self_confirmed: true,
        ..Evidence::default()
    };
    let mut call = Call::describe(&["analyst"], "shop");
    permitted(call.decide(&loaded.policies, &evidence));
    call.arrival.principal.user.kind = UserKind::Service;
    assert!(!matches!(
        call.decide(&loaded.policies, &evidence),
        Verdict::Permit(_)
    ));
}
