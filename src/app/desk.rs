//! The people's side meets the approval stage: under the policies that decide now.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::approval::review::{Card, Choice, NotDecided, Reviewer, Sheet};
use crate::call::ApprovalId;
use crate::console::Desk;
use crate::gate::Gate;

/// The approvals of one gate.
pub(super) struct Reviews(pub(super) Arc<Gate>);

impl Desk for Reviews {
    fn list<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Vec<Card>, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.list(reviewer, &rules).await
        })
    }

    fn show<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Sheet, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.show(reviewer, &rules, id).await
        })
    }

    fn decide<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
        choice: Choice,
        seen: &'a str,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.decide(reviewer, &rules, id, choice, seen).await
        })
    }

    fn cancel<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.cancel(reviewer, &rules, id).await
        })
    }
}
