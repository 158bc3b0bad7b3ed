//! Requests as people look through them: one shelf of them, within what a person may see, a page at a time.
//!
//! An id begins with the time it was made at, so that its order is theirs, and the last id of a page is where the next
//! one begins: however many are put in front meanwhile, none is shown twice and none left out.

use super::super::StoreError;
use super::super::db::{Value, query, query_scalar};
use super::super::journal::{to_i64, to_u64};
use super::super::rows::Tx;
use super::{ALL, ApprovalRow, approval};

/// Which requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// Those this person is asked about, that nobody has ended and they have not decided.
    Waiting,
    /// Those they asked for.
    Own,
    /// Those they are asked about and that wait for them no more.
    Decided,
    /// All of these.
    All,
}

/// Whose eyes it is seen with.
#[derive(Debug, Clone)]
pub struct Sight<'a> {
    /// Configured issuer name.
    pub issuer: &'a str,
    /// The subject there.
    pub subject: &'a str,
    /// The groups in which they may be asked.
    pub groups: Vec<&'a str>,
    /// The resources about which policy lets them decide.
    pub resources: Vec<&'a str>,
    /// Unix milliseconds: what is overdue then waits for nobody.
    pub now: u64,
}

/// Which of these; every part that is set must match.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// State word.
    pub state: Option<&'a str>,
    /// Id of a policy that asks.
    pub rule: Option<&'a str>,
    /// Resource name.
    pub resource: Option<&'a str>,
    /// Tool name.
    pub tool: Option<&'a str>,
    /// Who asks: configured issuer name, subject.
    pub requester: Option<(&'a str, &'a str)>,
    /// Only those made before the request of this id.
    pub before: Option<&'a str>,
}

/// A condition and its values.
struct Where {
    sql: String,
    values: Vec<Value>,
}

impl Where {
    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// `column IN (…)`; nothing is in nothing.
    fn among(&mut self, column: &str, names: &[&str]) {
        if names.is_empty() {
            return self.and("1 = 0", []);
        }
        let places = vec!["?"; names.len()].join(",");
        let values = names.iter().map(|name| Value::from(*name));
        self.and(&format!("{column} IN ({places})"), values);
    }

    /// One of their groups is asked, by now.
    fn asked(&mut self, sight: &Sight<'_>) {
        let places = vec!["?"; sight.groups.len()].join(",");
        if places.is_empty() {
            return self.and("1 = 0", []);
        }
        // A seat is open to those who are asked later when every policy that asks for it asks them by now. Most requests
        // ask nobody later: that is looked at first.
        let sql = format!(
            "(EXISTS (SELECT 1 FROM approval_asked a WHERE a.approval = approval.id AND a.later = 0 \
             AND a.of_group IN ({places})) \
             OR EXISTS (SELECT 1 FROM approval_asked l WHERE l.approval = approval.id AND l.later > 0 \
             AND approval.created_at + l.later <= ? AND l.of_group IN ({places})) \
             AND EXISTS (SELECT 1 FROM approval_asked s WHERE s.approval = approval.id AND s.later = 0 AND NOT EXISTS \
             (SELECT 1 FROM approval_asked t WHERE t.approval = s.approval AND t.of_group = s.of_group AND t.later = 0 \
             AND NOT EXISTS (SELECT 1 FROM approval_asked e WHERE e.approval = t.approval AND e.rule = t.rule \
             AND e.later > 0 AND approval.created_at + e.later <= ? AND e.of_group IN ({places})))))"
        );
        let groups = || sight.groups.iter().map(|name| Value::from(*name));
        let now = || std::iter::once(Value::from(to_i64(sight.now)));
        let values = groups().chain(now()).chain(groups()).chain(now()).chain(groups());
        self.and(&sql, values);
    }

    fn of(sight: &Sight<'_>, shelf: Shelf, filter: &Filter<'_>) -> Self {
        let mut found = Self {
            sql: String::new(),
            values: Vec::new(),
        };
        let person = || [Value::from(sight.issuer), Value::from(sight.subject)];
        match shelf {
            Shelf::Own => found.and("issuer = ? AND subject = ?", person()),
            Shelf::All => {
                let mut theirs = Self {
                    sql: String::new(),
                    values: Vec::new(),
                };
                theirs.among("resource", &sight.resources);
                theirs.asked(sight);
                let sql = format!("(issuer = ? AND subject = ? OR {})", theirs.sql);
                found.and(&sql, person().into_iter().chain(theirs.values));
            }
            Shelf::Waiting => {
                // With a sign before it, no index is for it: the one by state and id is, which is in order.
                found.and("state = 'pending' AND +decide_by > ?", [to_i64(sight.now).into()]);
                found.and(
                    "NOT EXISTS (SELECT 1 FROM approval_decision d WHERE d.approval = approval.id \
                     AND d.issuer = ? AND d.subject = ?)",
                    person(),
                );
            }
            Shelf::Decided => found.and(
                "(state <> 'pending' OR decide_by <= ? OR id IN \
                 (SELECT d.approval FROM approval_decision d WHERE d.issuer = ? AND d.subject = ?))",
                [Value::from(to_i64(sight.now))].into_iter().chain(person()),
            ),
        }
        if matches!(shelf, Shelf::Waiting | Shelf::Decided) {
            found.and("NOT (issuer = ? AND subject = ?)", person());
            found.among("resource", &sight.resources);
            found.asked(sight);
        }
        found.narrow(filter);
        found
    }

    fn narrow(&mut self, filter: &Filter<'_>) {
        let plain = [
            ("state = ?", filter.state),
            ("resource = ?", filter.resource),
            ("tool = ?", filter.tool),
            ("id < ?", filter.before),
            (
                "EXISTS (SELECT 1 FROM approval_asked r WHERE r.approval = approval.id AND r.rule = ?)",
                filter.rule,
            ),
        ];
        for (sql, value) in plain {
            if let Some(value) = value {
                self.and(sql, [value.into()]);
            }
        }
        if let Some((issuer, subject)) = filter.requester {
            self.and("issuer = ? AND subject = ?", [issuer.into(), subject.into()]);
        }
    }
}

impl Tx {
    /// Up to `limit` of the requests of a shelf, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn shelf(
        &mut self,
        sight: &Sight<'_>,
        shelf: Shelf,
        filter: &Filter<'_>,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        let found = Where::of(sight, shelf, filter);
        let sql = format!("{ALL}WHERE {} ORDER BY id DESC LIMIT ?", found.sql);
        let mut asked = query(sql);
        for value in found.values {
            asked = asked.bind(value);
        }
        let rows = asked.bind(limit).fetch_all(&mut self.conn).await?;
        rows.iter().map(approval).collect()
    }

    /// How many there are on a shelf, up to `most`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn on_shelf(
        &mut self,
        sight: &Sight<'_>,
        shelf: Shelf,
        filter: &Filter<'_>,
        most: u32,
    ) -> Result<u64, StoreError> {
        let found = Where::of(sight, shelf, filter);
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM approval WHERE {} LIMIT ?) AS one",
            found.sql
        );
        let mut asked = query_scalar::<i64>(sql);
        for value in found.values {
            asked = asked.bind(value);
        }
        Ok(to_u64(asked.bind(most).fetch_one(&mut self.conn).await?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::rows::Rows;
    use crate::store::testing;

    /// A request of `subject` on a resource, which people of a group are asked about by a policy.
    fn row(number: u8, subject: &str, resource: &str, rule: &str, group: &str) -> ApprovalRow {
        let terms =
            json!({"asks": [{"id": rule, "seats": [[1, group]]}, {"id": "all", "seats": [[2, group]]}]});
        ApprovalRow {
            id: format!("{number:032}"),
            state: "pending".to_owned(),
            request_key: [number; 32],
            asked_sha256: [number; 32],
            action_sha256: [number; 32],
            issuer: "corp".to_owned(),
            subject: subject.to_owned(),
            client_id: "agent".to_owned(),
            session: "session".to_owned(),
            tool: "sql_execute".to_owned(),
            resource: Some(resource.to_owned()),
            unattended: false,
            terms: terms.to_string(),
            sealed: None,
            created_at: u64::from(number),
            decide_by: 1_000,
            granted_at: None,
            execute_by: None,
            left_at: None,
            settled_at: None,
            call_id: None,
            answered: None,
            escalate_at: None,
        }
    }

    fn sight<'a>(subject: &'a str, groups: &[&'a str], resources: &[&'a str]) -> Sight<'a> {
        Sight {
            issuer: "corp",
            subject,
            groups: groups.to_vec(),
            resources: resources.to_vec(),
            now: 500,
        }
    }

    async fn numbers(tx: &mut Tx, sight: &Sight<'_>, shelf: Shelf, filter: &Filter<'_>) -> Vec<u64> {
        let rows = tx.shelf(sight, shelf, filter, 100).await.expect("a shelf");
        let counted = tx.on_shelf(sight, shelf, filter, 100).await.expect("a count");
        assert_eq!(counted, rows.len() as u64);
        rows.iter().map(|row| row.id.parse().expect("a number")).collect()
    }

    async fn filled(rows: &Rows) {
        let mut tx = rows.write().await.expect("write");
        for row in [
            row(1, "alice", "shop", "care", "dba"),
            row(2, "alice", "shop", "care", "security"),
            row(3, "bob", "shop", "care", "dba"),
            row(4, "alice", "pay", "money", "dba"),
            row(5, "alice", "shop", "other", "dba"),
            ApprovalRow {
                decide_by: 400,
                ..row(6, "alice", "shop", "care", "dba")
            },
            ApprovalRow {
                terms: "no terms".to_owned(),
                ..row(7, "alice", "shop", "care", "dba")
            },
        ] {
            tx.insert(&row).await.expect("insert");
        }
        let decision = super::super::DecisionRow {
            issuer: "corp".to_owned(),
            subject: "bob".to_owned(),
            groups: "[]".to_owned(),
            approves: true,
            at: 9,
            method: None,
            acr: None,
            standing_for: None,
            on_behalf: None,
            standing: None,
            wish: None,
        };
        assert!(tx.decide(&format!("{:032}", 5), &decision).await.expect("decide"));
        tx.commit().await.expect("commit");
    }

    #[tokio::test]
    async fn a_shelf_holds_what_its_person_may_see_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = Rows::new(testing::open(&folder.path().join("a.db")).await);
        filled(&rows).await;
        let mut tx = rows.read().await.expect("read");
        let all = Filter::default();
        let bob = sight("bob", &["dba"], &["shop"]);
        assert_eq!(numbers(&mut tx, &bob, Shelf::Waiting, &all).await, [1]);
        assert_eq!(numbers(&mut tx, &bob, Shelf::Own, &all).await, [3]);
        // What is overdue, and what bob has decided himself.
        assert_eq!(numbers(&mut tx, &bob, Shelf::Decided, &all).await, [6, 5]);
        let carol = sight("carol", &["dba", "security"], &["shop", "pay"]);
        assert_eq!(
            numbers(&mut tx, &carol, Shelf::Waiting, &all).await,
            [5, 4, 3, 2, 1]
        );
        for nobody in [
            sight("carol", &[], &["shop"]),
            sight("carol", &["dba"], &[]),
            sight("carol", &["sales"], &["shop"]),
        ] {
            for shelf in [Shelf::Waiting, Shelf::Own, Shelf::Decided] {
                assert_eq!(numbers(&mut tx, &nobody, shelf, &all).await, [0; 0], "{nobody:?}");
            }
        }
        tx.commit().await.expect("commit");
    }

    #[tokio::test]
    async fn further_groups_are_asked_once_their_time_has_come_and_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = Rows::new(testing::open(&folder.path().join("a.db")).await);
        let later = json!([
            {"group": "oncall", "seconds": 60},
            {"group": "leads", "seconds": 3_600},
            {"group": "dba", "seconds": 60}
        ]);
        let asked = json!({"asks": [{"id": "care", "seats": [[1, "dba"]], "escalate": later}]});
        let mut tx = rows.write().await.expect("write");
        tx.insert(&ApprovalRow {
            terms: asked.to_string(),
            decide_by: 10_000_000,
            ..row(1, "alice", "shop", "care", "dba")
        })
        .await
        .expect("insert");
        tx.commit().await.expect("commit");
        let mut tx = rows.read().await.expect("read");
        let all = Filter::default();
        // It was made at 1: the time itself has come, the millisecond before it has not.
        for (group, now, seen) in [
            ("dba", 2, true),
            ("oncall", 60_000, false),
            ("oncall", 60_001, true),
            ("leads", 60_001, false),
            ("leads", 3_600_001, true),
        ] {
            let looks = Sight {
                now,
                ..sight("carol", &[group], &["shop"])
            };
            let found = numbers(&mut tx, &looks, Shelf::Waiting, &all).await;
            assert_eq!(found.len(), usize::from(seen), "{group} at {now}");
        }
        tx.commit().await.expect("commit");
    }

    #[tokio::test]
    async fn filters_narrow_and_a_page_goes_on_where_the_last_one_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = Rows::new(testing::open(&folder.path().join("a.db")).await);
        filled(&rows).await;
        let mut tx = rows.read().await.expect("read");
        let carol = sight("carol", &["dba", "security"], &["shop", "pay"]);
        let narrow = |filter: Filter<'static>| filter;
        for (filter, expected) in [
            (
                narrow(Filter {
                    rule: Some("care"),
                    ..Filter::default()
                }),
                vec![3, 2, 1],
            ),
            (
                narrow(Filter {
                    rule: Some("all"),
                    resource: Some("pay"),
                    ..Filter::default()
                }),
                vec![4],
            ),
            (
                narrow(Filter {
                    requester: Some(("corp", "bob")),
                    ..Filter::default()
                }),
                vec![3],
            ),
            (
                narrow(Filter {
                    tool: Some("sql_query"),
                    ..Filter::default()
                }),
                vec![],
            ),
            (
                narrow(Filter {
                    state: Some("granted"),
                    ..Filter::default()
                }),
                vec![],
            ),
            (
                narrow(Filter {
                    rule: Some("care' OR '1'='1"),
                    ..Filter::default()
                }),
                vec![],
            ),
            (
                narrow(Filter {
                    before: Some("00000000000000000000000000000003"),
                    ..Filter::default()
                }),
                vec![2, 1],
            ),
        ] {
            assert_eq!(
                numbers(&mut tx, &carol, Shelf::Waiting, &filter).await,
                expected,
                "{filter:?}"
            );
        }
        let first = tx
            .shelf(&carol, Shelf::Waiting, &Filter::default(), 2)
            .await
            .expect("a page");
        assert_eq!(first.len(), 2);
        assert_eq!(
            tx.on_shelf(&carol, Shelf::Waiting, &Filter::default(), 2)
                .await
                .expect("a count"),
            2
        );
        tx.commit().await.expect("commit");
    }
}
