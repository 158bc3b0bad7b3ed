//! A stronger sign-in than the reviewer's, where policy wants one for deciding (`context.acr`).

use super::review::{NotDecided, Reviewer};
use super::stand::Acting;
use super::terms::Terms;
use crate::call::User;
use crate::policy::RuleSet;
use crate::store::approvals::ApprovalRow;

/// The best class of sign-in that their issuer can be asked for and with which policy lets them (with the groups they
/// stand in for) decide.
pub(super) fn would_do<'a>(
    reviewer: &'a Reviewer,
    user: &User,
    rules: &RuleSet,
    resource: &str,
) -> Option<&'a str> {
    let mut classes = reviewer.may_reach.iter().map(String::as_str);
    classes.find(|class| rules.may_approve(user, resource, Some(class)))
}

/// Why they do not decide with their sign-in.
pub(super) fn stronger(acting: &Acting<'_>, rules: &RuleSet, row: &ApprovalRow, terms: &Terms) -> NotDecided {
    let user = acting.before(row, terms).user;
    let resource = row.resource.as_deref().unwrap_or_default();
    let class = would_do(acting.reviewer, &user, rules, resource);
    class.map_or(NotDecided::NotAsked, |class| {
        NotDecided::StrongerSignIn(class.to_owned())
    })
}
