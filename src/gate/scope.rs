//! What a token with more scopes would open: for listing, and for the transport to say so.

use std::borrow::Cow;

use super::Gate;
use crate::call::Principal;
use crate::identity::Rejection;

impl Gate {
    /// Why a call of this tool needs a token with more scopes, where the tool exists for the principal.
    /// Said by the transport, before the call; policy keeps to the token's scopes in any case.
    #[must_use]
    pub fn step_up(&self, principal: &Principal, tool: &str) -> Option<Rejection> {
        if !self.identity.can_step_up(principal) {
            return None;
        }
        let visible = self.policies.current().visible(&self.stepped_up(principal));
        let tools = self.tools.taken_by(tool, &visible)?;
        self.identity.step_up(principal, tools)
    }

    /// The principal with a token of all scopes, if they could get one; else as they are.
    pub(super) fn stepped_up<'a>(&self, principal: &'a Principal) -> Cow<'a, Principal> {
        if !self.identity.can_step_up(principal) {
            return Cow::Borrowed(principal);
        }
        let mut stepped_up = principal.clone();
        stepped_up.scope.tools = None;
        Cow::Owned(stepped_up)
    }
}
