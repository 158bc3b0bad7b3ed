//! Who may decide about other people's requests.

use std::collections::BTreeSet;

use super::{Question, Rules};
use crate::call::{Action, Agent, Evidence, Hash, Session, Transport, User};
use crate::policy::request::{Asking, Who};

impl Rules {
    /// Whether `approve` on a resource is permitted to a person. There is no agent and no session on
    /// the control side: both are called `control`.
    pub(in crate::policy) fn may_approve(&self, user: &User, resource: &str) -> bool {
        let (Ok(who), Some(what)) = (Who::new(user, self.types), self.resources.get(resource)) else {
            return false;
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
                transport: Transport::Http,
                tool: &control,
                sql: None,
                file: None,
                shell: None,
            },
            actions: BTreeSet::from([Action::Approve]),
            resource: Some(resource),
            classified: &BTreeSet::new(),
            evidence: &Evidence::default(),
            action_sha256: Hash([0; 32]),
        };
        self.parties(&question, &who, what).is_ok_and(|parties| {
            self.evaluate_one(&question, &parties, (Action::Approve, None), &BTreeSet::new())
                .allows()
        })
    }
}
