//! Who may do what to what.

use tollgate::call::request::Lookup;
use tollgate::call::{Action, Code, Evidence, Request, Target, UserKind};
use tollgate::policy::Policies;

use super::{Call, denial, folder, loaded, permit, permitted, scene, words};

const ANALYSTS: &str = "@id(\"analysts\") permit (principal in Tollgate::Group::\"analyst\", action in Tollgate::Action::\"read\", resource in Tollgate::Label::\"shop\");\n";

#[test]
fn incidents_5_and_43_no_policies_deny_everything_and_say_so() {
    for text in ["", "// nothing here\n"] {
        let loaded = loaded(text);
        let call = Call::query(&["analyst", "dba"], &[]);
        let denial = denial(call.unasked(&loaded.policies));
        assert_eq!(denial.refusal.code, Code::UnknownResource);
        assert!(
            loaded
                .policies
                .current()
                .visible(&call.arrival.principal)
                .resources
                .is_empty()
        );
        let report = loaded.policies.current().report().clone();
        assert!(report.warnings[0].contains("every call is refused"), "{report:?}");
    }
    let empty = tempfile::tempdir().unwrap();
    let policies = Policies::load(empty.path(), scene(), None).unwrap();
    denial(Call::list(&["analyst"]).unasked(&policies));
    assert_eq!(policies.current().report().files, 0);
}

#[test]
fn a_permit_is_for_its_group_action_and_resource_alone() {
    let loaded = loaded(ANALYSTS);
    let call = Call::query(&["analyst"], &["orders"]);
    let granted = permit(call.unasked(&loaded.policies));
    assert_eq!(granted.decision().ids, ["analysts"]);
    assert_eq!(granted.decision().digest, loaded.policies.current().digest());
    assert_eq!(granted.limits(), scene().limits);
    assert_eq!(
        granted.action_sha256(),
        call.facts.action_sha256(&call.invocation, None)
    );
    assert!(granted.decision().candidate.is_none());

    denial(Call::query(&["developer"], &["orders"]).unasked(&loaded.policies));
    denial(Call::query(&[], &["orders"]).unasked(&loaded.policies));
    denial(
        Call::query(&["analyst"], &[])
            .doing(Action::SqlWrite, "shop")
            .unasked(&loaded.policies),
    );
    denial(
        Call::query(&["analyst"], &[])
            .doing(Action::FileRead, "code")
            .unasked(&loaded.policies),
    );
}

#[test]
fn invisible_and_invented_resources_read_the_same() {
    let loaded = loaded(ANALYSTS);
    let refusal = |resource: &str| {
        let call = Call::describe(&["developer"], resource);
        let refusal = denial(call.unasked(&loaded.policies)).refusal;
        (
            refusal.code,
            refusal.message.replace(resource, "…"),
            refusal.suggestion,
            refusal.retry,
        )
    };
    assert_eq!(refusal("shop"), refusal("invented"));
    assert_eq!(refusal("shop").0, Code::UnknownResource);
}

#[test]
fn a_denial_explains_without_naming_policies() {
    let loaded = loaded(&format!(
        "{ANALYSTS}@id(\"no-audit-table\") @explain(\"The audit table is closed; use the view v_audit.\") forbid (principal, action == Tollgate::Action::\"sql_read\", resource) when {{ context.sql.tables.contains(\"audit\") }};"
    ));
    let denial = denial(Call::query(&["analyst"], &["audit"]).unasked(&loaded.policies));
    assert_eq!(denial.refusal.code, Code::NotPermitted);
    assert!(
        denial.refusal.message.contains("use the view v_audit"),
        "{:?}",
        denial.refusal
    );
    for words in [&denial.refusal.message, &denial.refusal.suggestion] {
        assert!(!words.contains("no-audit-table"), "{words}");
    }
    assert_eq!(denial.refusal.policies, ["no-audit-table"]);
    assert_eq!(denial.decision.ids, ["no-audit-table"]);
}

/// Cedar skips a policy that errs; here an erring `forbid` refuses.
#[test]
fn an_erring_forbid_denies() {
    let loaded = loaded(&format!(
        "{ANALYSTS}@id(\"errs\") forbid (principal, action, resource) when {{ context.tool == \"sql_query\" && 9223372036854775807 + 1 > 0 }};"
    ));
    let denied = denial(Call::query(&["analyst"], &[]).unasked(&loaded.policies));
    assert_eq!(denied.refusal.code, Code::NotPermitted);
    assert!(
        denied.refusal.detail.as_deref().unwrap().contains("errs"),
        "{:?}",
        denied.refusal
    );
    assert!(!denied.refusal.message.contains("errs"));
    permitted(Call::describe(&["analyst"], "shop").unasked(&loaded.policies));
}

#[test]
fn an_attribute_of_somebody_else_cannot_be_read_and_denies() {
    let loaded = loaded(&format!(
        "{ANALYSTS}@id(\"other\") forbid (principal, action, resource) when {{ Tollgate::User::\"corp#boss\".kind == \"service\" }};"
    ));
    denial(Call::query(&["analyst"], &[]).unasked(&loaded.policies));
}

#[test]
fn a_detail_the_action_must_carry_and_does_not_denies() {
    let loaded = loaded(ANALYSTS);
    let mut call = Call::query(&["analyst"], &[]);
    call.facts.sql = None;
    let denied = denial(call.unasked(&loaded.policies));
    assert!(denied.refusal.detail.is_some(), "{:?}", denied.refusal);
}

/// The adapter says what a call really is; the tool's promise does not widen it, nor it the tool's.
#[test]
fn incident_20_what_the_tool_promises_and_what_the_adapter_found_must_both_be_allowed() {
    let loaded = loaded(
        "@id(\"r\") permit (principal, action == Tollgate::Action::\"sql_read\", resource);\n@id(\"w\") permit (principal in Tollgate::Group::\"dba\", action == Tollgate::Action::\"sql_write\", resource);",
    );
    let mut hidden_write = Call::query(&["analyst"], &[]);
    hidden_write.facts.action = Action::SqlWrite;
    denial(hidden_write.unasked(&loaded.policies));
    let mut only_read = Call::query(&["analyst"], &[]);
    only_read.invocation.action = Action::SqlWrite;
    denial(only_read.unasked(&loaded.policies));
    let mut both = Call::query(&["dba"], &[]);
    both.facts.action = Action::SqlWrite;
    assert_eq!(permit(both.unasked(&loaded.policies)).decision().ids, ["r", "w"]);
}

#[test]
fn the_control_side_is_not_reachable_by_a_call() {
    let loaded = loaded("@id(\"all\") permit (principal, action, resource);");
    for action in [
        Action::Reveal,
        Action::Lookup,
        Action::Approve,
        Action::AuditRead,
        Action::Administer,
    ] {
        let call = Call::describe(&["dba"], "shop").doing(action, "shop");
        denial(call.unasked(&loaded.policies));
        let mut found = Call::describe(&["dba"], "shop");
        found.facts.action = action;
        denial(found.unasked(&loaded.policies));
        assert!(
            !loaded
                .policies
                .current()
                .visible(&call.arrival.principal)
                .may(action, "shop")
        );
    }
}

#[test]
fn masked_is_the_default_and_reveal_is_a_permission() {
    let loaded = loaded(&format!(
        "{ANALYSTS}
        @id(\"sees-email\") permit (principal in Tollgate::Group::\"dba\", action == Tollgate::Action::\"reveal\", resource) when {{ context.class == \"email\" }};
        @id(\"not-this-one\") forbid (principal, action == Tollgate::Action::\"reveal\", resource) when {{ context.column == \"staff.email\" }};"
    ));
    let columns = [
        ("customers.email", "email"),
        ("staff.email", "email"),
        ("customers.card", "card"),
        ("t.x", "unlisted"),
    ];
    let masked = permit(
        Call::query(&["analyst"], &[])
            .touching(&columns)
            .unasked(&loaded.policies),
    );
    assert!(masked.reveal().is_empty());
    let shown = permit(
        Call::query(&["analyst", "dba"], &[])
            .touching(&columns)
            .unasked(&loaded.policies),
    );
    assert_eq!(*shown.reveal(), words(&["customers.email"]));
    assert_eq!(shown.decision().ids, ["analysts", "sees-email"]);
    // Seeing a class is not reading a database.
    denial(
        Call::query(&["dba"], &[])
            .touching(&columns)
            .unasked(&loaded.policies),
    );
}

/// A column can be given the name of another, and of one class one value has one token.
#[test]
fn a_value_is_looked_up_only_where_every_column_of_its_class_permits_it() {
    let loaded = loaded(&format!(
        "{ANALYSTS}
        @id(\"looks\") permit (principal, action == Tollgate::Action::\"lookup\", resource) when {{ context.column == \"customers.email\" }};"
    ));
    let looking = |columns: &[(&str, &str)]| {
        let mut call = Call::query(&["analyst"], &[]).touching(columns);
        if let Request::SqlQuery(query) = &mut call.invocation.request {
            query.lookup = Some(Lookup {
                column: "customers.email".to_owned(),
                value: "one@shop.example".to_owned(),
            });
        }
        call.unasked(&loaded.policies)
    };
    let own = ("customers.email", "email");
    permitted(looking(&[own]));
    permitted(looking(&[own, ("staff.card", "card")]));
    denial(looking(&[own, ("staff.email", "email")]));
    denial(looking(&[("staff.email", "email"), own]));
    denial(looking(&[("staff.email", "email")]));
}

#[test]
fn a_reveal_that_errs_stays_masked() {
    let loaded = loaded(&format!(
        "{ANALYSTS}
        @id(\"sees\") permit (principal, action == Tollgate::Action::\"reveal\", resource);
        @id(\"errs\") forbid (principal, action == Tollgate::Action::\"reveal\", resource) when {{ context.class == \"card\" && 9223372036854775807 + 1 > 0 }};"
    ));
    let columns = [("c.email", "email"), ("c.card", "card")];
    let granted = permit(
        Call::query(&["analyst"], &[])
            .touching(&columns)
            .unasked(&loaded.policies),
    );
    assert_eq!(*granted.reveal(), words(&["c.email"]));
}

#[test]
fn the_catalogue_names_what_may_be_described() {
    let loaded = loaded(&format!(
        "{ANALYSTS}
        @id(\"code\") permit (principal in Tollgate::Group::\"developer\", action in Tollgate::Action::\"read\", resource == Tollgate::Resource::\"code\");
        @id(\"not-by-night\") forbid (principal, action == Tollgate::Action::\"describe\", resource == Tollgate::Resource::\"code\") when {{ !context.agent.verified }};"
    ));
    let listed = |groups: &[&str], verified: bool| {
        let mut call = Call::list(groups);
        call.arrival.principal.agent.verified = verified;
        permit(call.unasked(&loaded.policies)).resources().clone()
    };
    assert_eq!(listed(&["analyst"], true), words(&["shop"]));
    assert_eq!(listed(&["developer"], true), words(&["code"]));
    assert_eq!(listed(&["analyst", "developer"], true), words(&["code", "shop"]));
    assert_eq!(listed(&["analyst", "developer"], false), words(&["shop"]));
    assert_eq!(
        listed(&["developer"], false),
        words(&[]),
        "visible, but not to be described"
    );
    denial(Call::list(&[]).unasked(&loaded.policies));
    // Nothing else goes without a resource.
    let mut write = Call::list(&["analyst"]);
    write.facts.action = Action::HttpSend;
    denial(write.unasked(&loaded.policies));
}

/// A row limit on all reading must not hide the catalogue: it is applied to it.
#[test]
fn a_limit_on_reading_bounds_the_catalogue_and_a_question_hides_the_entry() {
    let limit = "@id(\"few\") @limit_rows(\"7\") forbid (principal, action in Tollgate::Action::\"read\", resource) unless { context.satisfied.contains(\"few\") };\n";
    let with_limit = loaded(&format!("{ANALYSTS}{limit}"));
    let granted = permit(Call::list(&["analyst"]).unasked(&with_limit.policies));
    assert_eq!(*granted.resources(), words(&["shop"]));
    assert_eq!(granted.limits().rows, 7);
    assert_eq!(granted.decision().satisfied, words(&["few"]));

    let question = "@id(\"sure\") @confirm forbid (principal, action in Tollgate::Action::\"read\", resource) unless { context.satisfied.contains(\"sure\") };";
    let with_question = loaded(&format!("{ANALYSTS}{limit}{question}"));
    assert!(
        permit(Call::list(&["analyst"]).unasked(&with_question.policies))
            .resources()
            .is_empty()
    );
}

#[test]
fn incident_38_visible_is_what_some_permit_might_allow() {
    let loaded = loaded(&format!(
        "{ANALYSTS}
        @id(\"maybe\") permit (principal in Tollgate::Group::\"analyst\", action == Tollgate::Action::\"sql_write\", resource == Tollgate::Resource::\"shop\") when {{ context.agent.claimed_name == \"never\" }};
        @id(\"never\") forbid (principal in Tollgate::Group::\"analyst\", action == Tollgate::Action::\"git_history\", resource);
        @id(\"rarely\") forbid (principal, action == Tollgate::Action::\"file_read\", resource) when {{ context.agent.verified }};
        @id(\"one-person\") permit (principal == Tollgate::User::\"corp#u-2\", action == Tollgate::Action::\"describe\", resource == Tollgate::Resource::\"code\");"
    ));
    let mut call = Call::query(&["analyst"], &[]);
    let visible = loaded.policies.current().visible(&call.arrival.principal);
    for action in [
        Action::Describe,
        Action::FileRead,
        Action::SqlRead,
        Action::SqlWrite,
    ] {
        assert!(visible.may(action, "shop"), "{action:?}");
    }
    assert!(!visible.may(Action::GitHistory, "shop"));
    assert!(!visible.may(Action::SqlDdl, "shop"));
    assert!(!visible.has("code"));
    // What is not listed is refused when it is called all the same.
    for (action, resource) in [(Action::GitHistory, "shop"), (Action::Describe, "code")] {
        denial(
            Call::query(&["analyst"], &[])
                .doing(action, resource)
                .unasked(&loaded.policies),
        );
    }
    call.arrival.principal.user.subject = "u-2".to_owned();
    assert!(
        loaded
            .policies
            .current()
            .visible(&call.arrival.principal)
            .has("code"),
        "remembered per person"
    );
    call.arrival.principal.user.groups.clear();
    assert!(
        !loaded
            .policies
            .current()
            .visible(&call.arrival.principal)
            .has("shop"),
        "and per groups"
    );
}

/// Names come from outside; none may become another entity, another group or another user.
#[test]
fn hostile_names_are_only_names() {
    let loaded = loaded(
        "@id(\"analysts\") permit (principal in Tollgate::Group::\"analyst\", action == Tollgate::Action::\"describe\", resource);\n@id(\"boss\") permit (principal == Tollgate::User::\"corp#boss\", action == Tollgate::Action::\"describe\", resource);",
    );
    let hostile = [
        "analyst\"",
        "\"analyst",
        "x\", Tollgate::Group::\"analyst",
        "analyst\0",
        "analyst\n",
        " analyst",
        "analyst ",
        "Analyst",
        "ａnalyst",
        "an\u{200b}alyst",
        "Tollgate::Group::\"analyst\"",
        "corp#boss\" || true || \"",
        "*",
        "",
    ];
    for name in hostile {
        let call = Call::describe(&[name], "shop");
        denial(call.unasked(&loaded.policies));
        let mut call = Call::describe(&[], "shop");
        call.arrival.principal.user.subject = format!("{name}boss");
        if name.is_empty() {
            permitted(call.unasked(&loaded.policies));
        } else {
            denial(call.unasked(&loaded.policies));
        }
        let mut call = Call::describe(&["analyst"], "shop");
        call.invocation.resource = Some(format!("shop{name}x"));
        denial(call.unasked(&loaded.policies));
    }
    // An issuer's name that could be cut elsewhere is nobody.
    for (issuer, subject) in [("corp#boss", ""), ("", "corp#boss"), ("corp#", "boss"), ("", "")] {
        let mut call = Call::describe(&["analyst"], "shop");
        call.arrival.principal.user.issuer = issuer.to_owned();
        call.arrival.principal.user.subject = subject.to_owned();
        denial(call.unasked(&loaded.policies));
        assert!(
            loaded
                .policies
                .current()
                .visible(&call.arrival.principal)
                .resources
                .is_empty()
        );
    }
    // A subject may hold anything, and a dull one is allowed.
    let mut call = Call::describe(&["analyst"], "shop");
    call.arrival.principal.user.subject = "a#b\"c\n".to_owned();
    permitted(call.unasked(&loaded.policies));
}

#[test]
fn what_a_client_says_of_itself_reaches_policy_as_claimed_text() {
    let loaded = loaded(&format!(
        "{ANALYSTS}@id(\"not-this-client\") forbid (principal, action, resource) when {{ context.agent.claimed_name like \"*bot*\" }};"
    ));
    let mut call = Call::query(&["analyst"], &[]);
    permitted(call.unasked(&loaded.policies));
    call.arrival.principal.agent.claimed_name = "a bot\" || true".to_owned();
    denial(call.unasked(&loaded.policies));
}

#[test]
fn every_fact_reaches_policy() {
    let conditions = [
        "context.sql.kind == \"select\"",
        "context.sql.tables.contains(\"orders\")",
        "context.sql.columns.contains(\"orders.id\")",
        "context.sql.functions.contains(\"count\")",
        "context.sql.has_where",
        "context.session.id == \"s-1\" && context.session.labels.contains(\"pii\")",
        "context.transport == \"http\"",
        "context.tool == \"sql_query\"",
        "context.agent.client_id == \"agent\"",
        "principal.kind == \"service\"",
        "resource.kind == \"sqlite\"",
        "resource in Tollgate::Label::\"pii\"",
        "principal == Tollgate::User::\"corp#u-1\"",
    ];
    for condition in conditions {
        let loaded = loaded(&format!(
            "@id(\"p\") permit (principal, action == Tollgate::Action::\"sql_read\", resource) when {{ {condition} }};"
        ));
        let mut call = Call::query(&["analyst"], &["orders"]);
        let sql = call.facts.sql.as_mut().unwrap();
        sql.columns = words(&["orders.id"]);
        sql.functions = words(&["count"]);
        sql.has_where = true;
        call.facts.target = Target::Tollgate;
        call.arrival.principal.session.labels = words(&["pii"]);
        call.arrival.principal.user.kind = UserKind::Service;
        permitted(call.decide(&loaded.policies, &Evidence::default()));
    }
}

#[test]
fn ten_thousand_policies_decide_as_one_would() {
    let mut text = String::from(ANALYSTS);
    for n in 0..10_000 {
        text.push_str(&format!(
            "@id(\"n{n}\") forbid (principal == Tollgate::User::\"corp#other-{n}\", action, resource);\n"
        ));
    }
    let dir = folder(&text);
    let policies = Policies::load(dir.path(), scene(), None).unwrap();
    assert_eq!(
        permit(Call::query(&["analyst"], &[]).unasked(&policies))
            .decision()
            .ids,
        ["analysts"]
    );
    let mut other = Call::query(&["analyst"], &[]);
    other.arrival.principal.user.subject = "other-4711".to_owned();
    assert_eq!(denial(other.unasked(&policies)).decision.ids, ["n4711"]);
}
