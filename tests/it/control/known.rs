//! What people look up beyond requests, with one person who may: `third`.

use std::sync::Mutex;

use futures::future::BoxFuture;
use serde_json::json;
use tollgate::approval::review::Reviewer;
use tollgate::audit::list::{Kept, Page};
use tollgate::audit::payload::Offered;
use tollgate::audit::replay::Step;
use tollgate::call::{Hash, User};
use tollgate::console::insight::{Choices, Insight, Question, Right, SessionSeen, Unreadable};
use tollgate::policy::ObligationKind;
use tollgate::policy::explain::{Explanation, PolicyNote};

/// The one session of the journal.
pub(super) const SESSION: &str = "the-one-session";

/// One session, one policy, one right, all in these words.
#[derive(Debug)]
pub(super) struct Known {
    words: String,
    /// Who replayed what.
    pub(super) replayed: Mutex<Vec<(String, String, u64)>>,
}

impl Known {
    pub(super) fn new(words: &str) -> Self {
        Self {
            words: words.to_owned(),
            replayed: Mutex::default(),
        }
    }

    fn note(&self) -> PolicyNote {
        PolicyNote {
            id: self.words.clone(),
            effect: "obligation",
            file: format!("policies/{}", self.words.replace('/', "")).into(),
            line: 7,
            explain: Some(self.words.clone()),
            asks: Some(ObligationKind::Approval(vec![(2, self.words.clone())])),
        }
    }

    fn step(&self) -> Step {
        let words = &self.words;
        Step {
            outcome: json!({
                "at": "2026-11-22T09:30:00.000Z", "tool": words, "resource": words, "call_id": words,
                "principal": {"id": words}, "agent": {"client_id": words}, "session": {"id": words},
                "outcome": {"status": "refused", "code": words},
                "masks": [{"rule": words, "where": words, "count": 3}],
            }),
            intent: Some(json!({"args_masked": {"statement": words, words: [words]}})),
            kept: Some(Kept::Held {
                offered: Offered {
                    structured: json!({}),
                    text: words.clone(),
                    recording: None,
                },
            }),
        }
    }
}

fn knows(user: &User) -> bool {
    user.subject == "third"
}

impl Insight for Known {
    fn rights(&self, who: &Reviewer) -> Vec<Right> {
        let right = Right {
            resource: self.words.clone(),
            approve: false,
            approve_with: Some(self.words.clone()),
            audit_read: true,
            administer: false,
        };
        knows(&who.user).then_some(right).into_iter().collect()
    }

    fn audits(&self, user: &User) -> bool {
        knows(user)
    }

    fn sessions<'a>(
        &'a self,
        user: &'a User,
        before: Option<u64>,
    ) -> BoxFuture<'a, Result<Page<SessionSeen>, Unreadable>> {
        assert!(knows(user));
        let words = &self.words;
        let seen = SessionSeen {
            session: SESSION.to_owned(),
            user: words.clone(),
            first: "2026-11-22T09:30:00.000Z".to_owned(),
            last: "2026-11-22T09:31:00.000Z".to_owned(),
            calls: 2,
            refused: 1,
            resources: vec![words.clone()],
        };
        let page = Page {
            items: vec![seen],
            next: before.is_none().then_some(40),
        };
        Box::pin(std::future::ready(Ok(page)))
    }

    fn replay<'a>(
        &'a self,
        user: &'a User,
        session: &'a str,
        from: u64,
    ) -> BoxFuture<'a, Result<Option<Page<Step>>, Unreadable>> {
        let found = knows(user) && session == SESSION;
        if found {
            let mut replayed = self.replayed.lock().unwrap();
            replayed.push((user.id(), session.to_owned(), from));
        }
        let page = found.then(|| Page {
            items: vec![self.step()],
            next: Some(9),
        });
        Box::pin(std::future::ready(Ok(page)))
    }

    fn choices(&self, user: &User) -> Choices {
        if !knows(user) {
            return Choices::default();
        }
        Choices {
            resources: vec![self.words.clone(), "shop".to_owned()],
            groups: vec!["dba".to_owned(), self.words.clone()],
            actions: vec!["sql_read".to_owned()],
        }
    }

    fn policies(&self, user: &User) -> Option<Vec<PolicyNote>> {
        knows(user).then(|| vec![self.note()])
    }

    fn explain(&self, user: &User, question: &Question) -> Result<Explanation, String> {
        assert!(knows(user));
        if question.resource == "wrong" {
            return Err(self.words.clone());
        }
        let words = &self.words;
        Ok(Explanation {
            question: format!("{words} {}", question.person),
            verdict: "ask",
            decided_by: vec![self.note()],
            did_not_apply: vec![self.note()],
            satisfied: [words.clone()].into(),
            limits: None,
            revealed: [words.clone()].into(),
            masked: [(words.clone(), [words.clone()].into())].into(),
            resources: [words.clone()].into(),
            agent_reads: Some(words.clone()),
            detail: Some(words.clone()),
            assumed: vec![words.clone()],
            candidate: None,
            digest: Hash::of(b"the set"),
        })
    }
}
