//! Approvals for a while, stand-ins and broken glass, for the control side: under the policies that decide now.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::approval::break_glass::BrokenGlass;
use crate::approval::delegation::{Delegate, DelegationCard};
use crate::approval::grants::GrantCard;
use crate::approval::review::{Card, NotDecided, Reviewer};
use crate::approval::stats::Stats;
use crate::call::ApprovalId;
use crate::console::grants::GrantDesk;
use crate::gate::Gate;
use crate::store::Store;

/// Those of one gate.
pub(super) struct Lasting(pub(super) Arc<Gate>, pub(super) Store);

impl std::fmt::Debug for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lasting").finish_non_exhaustive()
    }
}

impl GrantDesk for Lasting {
    fn grants<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Vec<GrantCard>, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.grants(reviewer, &rules).await
        })
    }

    fn revoke<'a>(&'a self, reviewer: &'a Reviewer, id: &'a str) -> BoxFuture<'a, Result<(), NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.revoke(reviewer, &rules, id).await
        })
    }

    fn delegations<'a>(
        &'a self,
        reviewer: &'a Reviewer,
    ) -> BoxFuture<'a, Result<Vec<DelegationCard>, NotDecided>> {
        Box::pin(self.0.approvals.delegations(reviewer))
    }

    fn delegate<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        wish: &'a Delegate,
    ) -> BoxFuture<'a, Result<DelegationCard, NotDecided>> {
        Box::pin(self.0.approvals.delegate(reviewer, wish))
    }

    fn delegation_days(&self) -> u32 {
        self.0.approvals.delegation_days()
    }

    fn end_delegation<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a str,
    ) -> BoxFuture<'a, Result<(), NotDecided>> {
        Box::pin(self.0.approvals.end_delegation(reviewer, id))
    }

    fn broken_glass<'a>(
        &'a self,
        reviewer: &'a Reviewer,
    ) -> BoxFuture<'a, Result<Vec<BrokenGlass>, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.broken_glass(reviewer, &rules).await
        })
    }

    fn break_glass<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
        reason: &'a str,
        seen: &'a str,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0
                .approvals
                .break_glass(reviewer, &rules, id, reason, seen)
                .await
        })
    }

    fn review_broken_glass<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
        words: &'a str,
    ) -> BoxFuture<'a, Result<(), NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0
                .approvals
                .review_broken_glass(reviewer, &rules, id, words)
                .await
        })
    }

    fn stats<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Stats, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            let mut stats = self.0.approvals.stats(reviewer, &rules).await?;
            for rule in &mut stats.rules {
                super::proposals::add(&self.1, &rules, &reviewer.user, rule).await;
            }
            Ok(stats)
        })
    }
}
