//! A stronger sign-in than the reviewer's, where policy wants one for deciding (`context.acr`).

use super::review::{NotDecided, Reviewer};
use crate::policy::RuleSet;
use crate::store::approvals::ApprovalRow;

/// The best class of sign-in that their issuer can be asked for and with which policy lets them decide.
pub(super) fn would_do<'a>(reviewer: &'a Reviewer, rules: &RuleSet, row: &ApprovalRow) -> Option<&'a str> {
    let resource = row.resource.as_deref().unwrap_or_default();
    let mut classes = reviewer.may_reach.iter().map(String::as_str);
    classes.find(|class| rules.may_approve(&reviewer.user, resource, Some(class)))
}

/// Why they do not decide with their sign-in.
pub(super) fn stronger(reviewer: &Reviewer, rules: &RuleSet, row: &ApprovalRow) -> NotDecided {
    let class = would_do(reviewer, rules, row);
    class.map_or(NotDecided::NotAsked, |class| {
        NotDecided::StrongerSignIn(class.to_owned())
    })
}
