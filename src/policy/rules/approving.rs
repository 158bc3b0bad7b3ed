//! What people may do on the control side: the same policies, asked without an agent and a session.

use std::collections::BTreeSet;

use super::{Finding, Judged, Question, Rules, denied, with_room};
use crate::call::{Action, Agent, Evidence, Hash, Refusal, Scope, Session, Transport, User, UserKind};
use crate::identity::CALLBACK;
use crate::policy::refusing;
use crate::policy::request::{Asking, Who};

impl Rules {
    /// Whether `approve` on a resource is permitted to a person.
    pub(in crate::policy) fn may_approve(&self, user: &User, resource: &str, acr: Option<&str>) -> bool {
        matches!(
            self.judge_approve(user, resource, acr).finding,
            Finding::Permit { .. }
        )
    }

    /// Whether `administer` on a resource is permitted to a person.
    pub(in crate::policy) fn may_administer(&self, user: &User, resource: &str) -> bool {
        matches!(
            self.judge_administer(user, resource).finding,
            Finding::Permit { .. }
        )
    }

    /// Whether `audit_read` on a resource is permitted to a person.
    pub(in crate::policy) fn may_audit(&self, user: &User, resource: &str) -> bool {
        matches!(
            self.judge_control(user, Action::AuditRead, resource, None)
                .finding,
            Finding::Permit { .. }
        )
    }

    /// The names of all resources.
    pub(in crate::policy) fn resource_names(&self) -> impl Iterator<Item = &str> {
        self.resources.keys().map(String::as_str)
    }

    /// Judges `approve`.
    pub(in crate::policy) fn judge_approve(&self, user: &User, resource: &str, acr: Option<&str>) -> Judged {
        self.judge_control(user, Action::Approve, resource, acr)
    }

    /// Judges `administer`.
    pub(in crate::policy) fn judge_administer(&self, user: &User, resource: &str) -> Judged {
        self.judge_control(user, Action::Administer, resource, None)
    }

    /// There is no agent and no session on the control side: both are called `control`. And no service has
    /// business there, whatever policies say, but that an integration may approve.
    fn judge_control(&self, user: &User, action: Action, resource: &str, acr: Option<&str>) -> Judged {
        with_room(|| self.judge_control_here(user, action, resource, acr))
    }

    fn judge_control_here(&self, user: &User, action: Action, resource: &str, acr: Option<&str>) -> Judged {
        let integration = user.issuer == CALLBACK && action == Action::Approve;
        if user.kind != UserKind::Person && !integration {
            return denied(refusing::people_only(action), BTreeSet::new());
        }
        let who = match Who::new(user, self.types) {
            Ok(who) => who,
            Err(why) => return denied(refusing::not_evaluated(why), BTreeSet::new()),
        };
        let Some(what) = self.resources.get(resource) else {
            return denied(Refusal::unknown_resource(resource), BTreeSet::new());
        };
        let control = "control".to_owned();
        let agent = Agent {
            client_id: control.clone(),
            verified: true,
            claimed_name: control.clone(),
            claimed_version: String::new(),
        };
        let session = Session {
            id: control.clone(),
            labels: BTreeSet::new(),
        };
        let question = Question {
            asking: Asking {
                user,
                agent: &agent,
                session: &session,
                scope: &Scope::default(),
                transport: Transport::Http,
                tool: &control,
                sql: None,
                file: None,
                shell: None,
                acr: Some(acr.unwrap_or_default()), // no word of the issuer is no class
            },
            actions: BTreeSet::from([action]),
            resource: Some(resource),
            classified: &BTreeSet::new(),
            lookup: None,
            evidence: &Evidence::default(),
            action_sha256: Hash([0; 32]),
        };
        let parties = match self.parties(&question, &who, what) {
            Ok(parties) => parties,
            Err(why) => return denied(refusing::not_evaluated(why), BTreeSet::new()),
        };
        let tally = self.evaluate(&question, &parties, &BTreeSet::new());
        if tally.allows() {
            return self.permit(&question, &parties, tally, BTreeSet::new());
        }
        denied(self.refusal(&question, resource, &tally), tally.forbids)
    }
}
