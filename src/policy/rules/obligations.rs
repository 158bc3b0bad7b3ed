//! What of a set of policies is an obligation, and which.

use super::Rules;
use crate::call::Limits;
use crate::policy::{Obligation, ObligationKind};

impl Rules {
    pub(super) fn is_obligation(&self, id: &str) -> bool {
        self.loaded
            .rules
            .get(id)
            .is_some_and(|rule| rule.obligation.is_some())
    }

    pub(super) fn is_limit(&self, id: &str) -> bool {
        self.loaded.rules.get(id).is_some_and(|rule| {
            matches!(
                rule.obligation,
                Some(ObligationKind::LimitRows(_) | ObligationKind::LimitSeconds(_))
            )
        })
    }

    pub(super) fn lowered(&self, mut limits: Limits, id: &str) -> Limits {
        match self
            .loaded
            .rules
            .get(id)
            .and_then(|rule| rule.obligation.as_ref())
        {
            Some(ObligationKind::LimitRows(most)) => limits.rows = limits.rows.min(*most),
            Some(ObligationKind::LimitSeconds(most)) => limits.seconds = limits.seconds.min(*most),
            _ => {}
        }
        limits
    }

    pub(super) fn obligation(&self, id: &str) -> Option<Obligation> {
        let rule = self.loaded.rules.get(id)?;
        Some(Obligation {
            id: id.to_owned(),
            kind: rule.obligation.clone()?,
            bound: rule.choices.bound,
            unattended: rule.choices.unattended,
            grantable: rule.choices.grantable,
            escalate: rule.choices.escalate.clone(),
            break_glass: rule.choices.break_glass.clone(),
            high_risk: rule.choices.high_risk,
            explain: rule.explain.clone(),
        })
    }
}
