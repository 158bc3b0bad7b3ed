//! From "always approved" to a diff that a person may adopt: only after the calls on record were judged again with it.

use serde_json::{Value, json};

use crate::approval::stats::RuleStats;
use crate::approval::stats::candidate::{Candidate, ENOUGH};
use crate::audit::hindsight::{Hindsight, look_back};
use crate::call::User;
use crate::policy::RuleSet;
use crate::policy::exempt::Exempted;
use crate::store::Store;
use crate::tool;

/// Puts a proposal into the statistics of a rule, or why there is none. Only who may read the journal of the resource
/// is told what is in it.
pub(super) async fn add(store: &Store, rules: &RuleSet, user: &User, rule: &mut RuleStats) {
    let Some(candidate) = rule.candidate.take() else {
        return;
    };
    match replayed(store, rules, user, &rule.id, &candidate).await {
        Ok(proposal) => rule.proposal = Some(proposal),
        Err(why) => rule.not_proposed = Some(why),
    }
}

async fn replayed(
    store: &Store,
    rules: &RuleSet,
    user: &User,
    id: &str,
    candidate: &Candidate,
) -> Result<Value, String> {
    let resource = &candidate.exemption.resource;
    if !rules.may_audit(user, resource) {
        return Err(format!(
            "it needs the journal, and you may not read what was done to `{resource}` (action `audit_read`)"
        ));
    }
    let exempted = rules.exempting(id, &candidate.exemption)?;
    let promised = |tool: &str| {
        let known = tool::built_in().into_iter().find(|card| card.name == tool);
        known.map(|card| card.action)
    };
    let replay = look_back(store, rules, (id, &exempted), resource, &promised).await;
    let replay = replay.map_err(|error| {
        tracing::error!("the journal for a proposal: {error}");
        "the journal cannot be read now".to_owned()
    })?;
    told(candidate, &exempted, &replay)
}

/// The proposal; none where it would do anything beyond what it is for.
fn told(candidate: &Candidate, exempted: &Exempted, replay: &Hindsight) -> Result<Value, String> {
    let beyond = &replay.beyond;
    let wider = [
        (beyond.refused, "that somebody refused"),
        (
            beyond.broke_glass,
            "that went on without the people who were asked",
        ),
        (beyond.irreversible, "that cannot be taken back"),
        (beyond.other_verdict, "that it should have nothing to do with"),
    ];
    if let Some((count, which)) = wider.into_iter().find(|(count, _)| *count > 0) {
        return Err(format!(
            "the clause for it would also have let go or changed {count} calls {which}"
        ));
    }
    let approved = replay.not_asked.approved;
    if !replay.is_as_said() || approved < ENOUGH {
        return Err(format!(
            "of the approved calls on record only {approved} could be replayed and would have gone without asking; \
             {ENOUGH} are needed"
        ));
    }
    let tests = exempted.rules.run_tests();
    let failing: Vec<String> = tests
        .failures()
        .map(|row| format!("{} ({})", row.name, row.subject))
        .collect();
    Ok(json!({
        "diff": exempted.diff,
        "approved": candidate.approved,
        "reviewers": candidate.reviewers,
        "days": candidate.days,
        "most_rows": candidate.most_rows,
        "replay": replay,
        "failing_tests": failing,
    }))
}
