//! Opening a request, joining one, and waiting for people.

use std::time::Duration;

use super::Subject;
use super::ahead::{self, Ahead};
use super::people::{People, failed, is_over, millis};
use super::review::State;
use super::shape::Shape;
use super::terms::{Asked, Sealed, Terms, approved, state};
use super::words;
use crate::call::request::ApprovalWait;
use crate::call::{ApprovalId, Approved, Arrival, Bound, Effect, Hash, Principal, Refusal, Unmet};
use crate::policy::Ask;
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Change};
use crate::store::rows::Tx;

/// How often a waiter looks at the row: decisions of other processes wake nobody here.
const LOOK: Duration = Duration::from_millis(500);
/// The longest that `approval_wait` may ask for.
const LONGEST: u64 = 45;
/// Milliseconds in which one person's requests are counted.
const HOUR: u64 = 3_600_000;
/// Attempts to give a measured effect a form that reading and writing do not change.
const FORMS: usize = 4;

impl People {
    /// See [`super::Approvals::resume`].
    pub(super) async fn resume(
        &self,
        arrival: &mut Arrival,
        wait: &ApprovalWait,
    ) -> Result<Option<Hash>, Unmet> {
        let longest = Duration::from_secs(LONGEST);
        let hold = wait.wait_seconds.map_or(self.settings.hold, Duration::from_secs);
        let hold = hold.min(longest);
        arrival.hold = Some(arrival.hold.map_or(hold, |most| most.min(hold))); // a poll does not wait
        let unknown = || Unmet::from(Refusal::not_found(&wait.approval_id));
        let row = self.fresh(&wait.approval_id).await.map_err(failed)?;
        let row = row
            .filter(|row| is_owner(row, &arrival.principal))
            .ok_or_else(unknown)?;
        self.record(Some(&row.id))
            .await
            .map_err(|_| words::unrecorded())?;
        match state(&row).map_err(failed)? {
            State::Pending | State::Granted => {}
            // What a session has read is noted when it reads; another one must not get it unnoted.
            State::Spent if row.session != arrival.principal.session.id => {
                return Err(words::elsewhere().into());
            }
            _ => return Err(self.ended(row, arrival).await),
        }
        let sealed = Sealed::read(&row).map_err(failed)?.ok_or_else(unknown)?;
        arrival.tool.clone_from(&row.tool);
        arrival.arguments = sealed.arguments;
        if let Some(asked) = &sealed.ahead {
            let whole = ahead::again(&row.tool, std::mem::take(&mut arrival.arguments), asked);
            arrival.tool = "access_request".to_owned();
            arrival.arguments = whole.as_object().cloned().unwrap_or_default();
        }
        self.resumed().insert(arrival.call_id.clone(), ApprovalId(row.id));
        Ok(Some(Hash(row.request_key)))
    }

    /// See [`super::Approvals::attach`]. Gives the effect that was measured for the open request.
    pub(super) async fn attach(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
    ) -> Result<Option<Option<Effect>>, Unmet> {
        let asked = subject.facts.action_sha256(subject.invocation, None);
        let mut tx = self.rows.read().await.map_err(failed)?;
        let newest = tx
            .newest(&subject.invocation.request_key.0)
            .await
            .map_err(failed)?;
        let user = &subject.arrival.principal.user;
        let waiting = tx.pending_of(&user.issuer, &user.subject, self.now()).await;
        let often = self.often(&mut tx, (&user.issuer, &user.subject)).await;
        tx.commit().await.map_err(failed)?;
        let mut replaces = false;
        if let Some(row) = newest.filter(|row| is_owner(row, &subject.arrival.principal)) {
            let row = self.fresh(&row.id).await.map_err(failed)?.unwrap_or(row);
            let open = matches!(state(&row).map_err(failed)?, State::Pending | State::Granted);
            if !open && self.is_resumed(subject.arrival) {
                return Err(self.ended(row, subject.arrival).await);
            }
            if is_same(&row, ask, &asked).map_err(failed)? {
                if open {
                    let sealed = Sealed::read(&row).map_err(failed)?;
                    return Ok(Some(sealed.and_then(|sealed| sealed.effect)));
                }
                let again = row.answered == Some(true) && !self.is_resumed(subject.arrival);
                let again = again && self.has_grant(ask, subject).await.map_err(failed)?;
                if self.is_lasting(&row) && !again {
                    return Err(self.ended(row, subject.arrival).await);
                }
            }
            replaces = open && row.state == State::Pending.as_str();
        }
        let room = u64::from(self.settings.pending_per_person) + u64::from(replaces);
        if waiting.map_err(failed)? >= room {
            return Err(words::too_many(self.settings.pending_per_person).into());
        }
        often.map(|()| None)
    }

    /// People's attention is bounded too: what one person asks for in an hour counts, whatever became of it, and whichever
    /// session or program it was.
    async fn often(&self, tx: &mut Tx, (issuer, subject): (&str, &str)) -> Result<(), Unmet> {
        let since = self.now().saturating_sub(HOUR);
        let asked = tx.asked_since(issuer, subject, since).await.map_err(failed)?;
        if asked >= u64::from(self.settings.requests_per_hour) {
            return Err(words::too_often(self.settings.requests_per_hour).into());
        }
        Ok(())
    }

    /// Whether the identical call, sent again, gets what became of this request instead of a new one: an
    /// answer, a refusal, or that nobody knows, each for as long as results are kept. Silence and a
    /// withdrawal are no answer of anybody's.
    fn is_lasting(&self, row: &ApprovalRow) -> bool {
        let recent = row
            .settled_at
            .is_none_or(|at| self.now() < at.saturating_add(millis(self.settings.result)));
        let kind = matches!(
            State::parse(&row.state),
            Some(State::Spent | State::Refused | State::Unknown)
        );
        kind && recent && row.answered != Some(false) // what failed may be asked for again
    }

    /// Whether this call asks for an earlier request by its id. It learns what became of that one, also when
    /// it ended a moment ago: it never opens another.
    fn is_resumed(&self, arrival: &Arrival) -> bool {
        self.resumed().contains_key(&arrival.call_id)
    }

    /// What became of a request that is not open. One that is being carried out is waited for.
    async fn ended(&self, row: ApprovalRow, arrival: &Arrival) -> Unmet {
        match self.await_end(row, arrival).await {
            Ok(unmet) => unmet,
            Err(error) => failed(error),
        }
    }

    async fn await_end(&self, mut row: ApprovalRow, arrival: &Arrival) -> Result<Unmet, StoreError> {
        let mut woken = self.woken();
        let hold = tokio::time::sleep(arrival.hold.unwrap_or(self.settings.hold));
        tokio::pin!(hold);
        loop {
            woken.borrow_and_update();
            if self.record(Some(&row.id)).await.is_err() {
                return Ok(words::unrecorded().into());
            }
            if let Some(unmet) = self.ending(&row).await? {
                return Ok(unmet);
            }
            tokio::select! {
                biased;
                () = arrival.cancel.cancelled() => return Ok(Refusal::cancelled().into()),
                () = &mut hold => return Ok(self.runs_now(&row)),
                () = self.leaving.cancelled() => return Ok(self.runs_now(&row)),
                _ = woken.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Some(now) = self.fresh(&row.id).await? {
                row = now;
            }
        }
    }

    /// The open request of this call, if there is one that asks the same.
    pub(super) async fn open_one(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
    ) -> Result<Option<ApprovalRow>, Unmet> {
        let asked = subject.facts.action_sha256(subject.invocation, None);
        let mut tx = self.rows.read().await.map_err(failed)?;
        let newest = tx
            .newest(&subject.invocation.request_key.0)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let Some(row) = newest else { return Ok(None) };
        let is_open = matches!(row.state.as_str(), "pending" | "granted") && !is_over(&row, self.now());
        Ok(Some(row).filter(|row| is_open && is_same(row, ask, &asked).unwrap_or(false)))
    }

    /// Opens a request, or joins the one that another call of the same opened meanwhile.
    pub(super) async fn ask(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
        effect: Option<Effect>,
        self_confirmed: bool,
    ) -> Result<ApprovalRow, Unmet> {
        let effect = match effect.map(steady) {
            None => None,
            Some(Some(effect)) => Some(effect),
            Some(None) => return Err(Refusal::internal("the effect has no steady form").into()),
        };
        let mut terms = Terms::of(ask, self_confirmed, subject.facts, effect.as_ref());
        let row = self.row_of(&mut terms, subject, effect).map_err(failed)?;
        let mut tx = self.rows.write().await.map_err(failed)?;
        let row = self.insert(&mut tx, ask, row, subject.arrival).await?;
        tx.commit().await.map_err(failed)?;
        self.wake();
        if !matches!(row.state.as_str(), "pending" | "granted") {
            return Err(self.ended(row, subject.arrival).await);
        }
        self.record(Some(&row.id))
            .await
            .map_err(|_| words::unrecorded())?;
        Ok(row)
    }

    pub(super) fn row_of(
        &self,
        terms: &mut Terms,
        subject: Subject<'_>,
        effect: Option<Effect>,
    ) -> Result<ApprovalRow, StoreError> {
        let Subject {
            arrival,
            invocation,
            facts,
            ahead,
        } = subject;
        let now = self.now();
        let json = |error: serde_json::Error| StoreError::Damaged(error.to_string());
        let shape = Shape::of(subject, &terms.asks);
        terms.similar = shape.as_ref().and_then(Shape::similar);
        terms.ahead = ahead.is_some();
        let mut sealed = Sealed::of(arrival, invocation, effect.clone(), shape);
        sealed.ahead = ahead.map(|access| Ahead {
            reason: access.reason.clone(),
            minutes: access.minutes,
        });
        Ok(ApprovalRow {
            id: self.new_id(),
            state: State::Pending.as_str().to_owned(),
            request_key: invocation.request_key.0,
            asked_sha256: facts.action_sha256(invocation, None).0,
            action_sha256: facts.action_sha256(invocation, effect.as_ref()).0,
            issuer: arrival.principal.user.issuer.clone(),
            subject: arrival.principal.user.subject.clone(),
            client_id: arrival.principal.agent.client_id.clone(),
            session: arrival.principal.session.id.clone(),
            tool: arrival.tool.clone(),
            resource: invocation.resource.clone(),
            unattended: terms.unattended() && !terms.ahead, // nobody made the call
            terms: serde_json::to_string(terms).map_err(json)?,
            sealed: Some(serde_json::to_string(&sealed).map_err(json)?),
            created_at: now,
            decide_by: now.saturating_add(millis(self.settings.decide_within)),
            granted_at: None,
            execute_by: None,
            left_at: None,
            settled_at: None,
            call_id: None,
            answered: None,
            escalate_at: terms.next_escalation(now, now),
        })
    }

    /// Puts the new row in, or gives the one that stands for this very call already.
    async fn insert(
        &self,
        tx: &mut Tx,
        ask: &Ask,
        row: ApprovalRow,
        arrival: &Arrival,
    ) -> Result<ApprovalRow, Unmet> {
        if let Some(open) = tx.newest(&row.request_key).await.map_err(failed)? {
            let open = self.taken(tx, &open.id).await.map_err(failed)?.unwrap_or(open);
            let same = is_same(&open, ask, &Hash(row.asked_sha256)).map_err(failed)?;
            let is_open = matches!(open.state.as_str(), "pending" | "granted");
            if same && (is_open || self.is_lasting(&open)) || !is_open && self.is_resumed(arrival) {
                return Ok(open); // opened, or even carried out, since this call looked
            }
            if is_open {
                let why = "replaced: the same call now means something else";
                self.overtake(tx, &open, why).await.map_err(failed)?;
            }
        }
        let waiting = tx
            .pending_of(&row.issuer, &row.subject, row.created_at)
            .await
            .map_err(failed)?;
        if waiting >= u64::from(self.settings.pending_per_person) {
            return Err(words::too_many(self.settings.pending_per_person).into());
        }
        self.often(tx, (&row.issuer, &row.subject)).await?;
        self.put(tx, &row, arrival).await.map_err(failed)?;
        Ok(row)
    }

    /// A new row, and the event that tells of it.
    pub(super) async fn put(
        &self,
        tx: &mut Tx,
        row: &ApprovalRow,
        arrival: &Arrival,
    ) -> Result<(), StoreError> {
        tx.insert(row).await?;
        let call = Some(arrival.call_id.as_str());
        tx.event(&row.id, row.created_at, "requested", None, None, call)
            .await
    }

    /// An open request gives way to a new one.
    pub(super) async fn overtake(&self, tx: &mut Tx, row: &ApprovalRow, why: &str) -> Result<(), StoreError> {
        let now = self.now();
        let over = Change {
            settled_at: Some(now),
            ..Change::default()
        };
        let word = State::Cancelled.as_str();
        if tx.shift(&row.id, &row.state, word, &over).await? {
            tx.event(&row.id, now, word, None, Some(why), None).await?;
        }
        Ok(())
    }

    /// Waits for people, at most as long as the call may.
    pub(super) async fn wait(&self, row: ApprovalRow, arrival: &Arrival) -> Result<(Approved, Terms), Unmet> {
        let terms = Terms::read(&row).map_err(failed)?;
        let mut woken = self.woken();
        let hold = tokio::time::sleep(arrival.hold.unwrap_or(self.settings.hold));
        tokio::pin!(hold);
        let mut row = row;
        loop {
            woken.borrow_and_update();
            row = self.fresh(&row.id).await.map_err(failed)?.unwrap_or(row);
            match state(&row).map_err(failed)? {
                State::Pending => {}
                State::Granted => {
                    self.record(Some(&row.id))
                        .await
                        .map_err(|_| words::unrecorded())?;
                    return Ok((self.granted(&row, &terms).await?, terms));
                }
                _ => return Err(self.ended(row, arrival).await),
            }
            tokio::select! {
                biased;
                () = arrival.cancel.cancelled() => {
                    self.note_left(&row.id).await;
                    return Err(Refusal::cancelled().into());
                }
                () = &mut hold => return Err(Unmet::Pending(self.pending(&row, note(&terms)))),
                () = self.leaving.cancelled() => {
                    return Err(Unmet::Pending(self.pending(&row, note(&terms))));
                }
                _ = woken.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// The evidence a granted row is, counted again.
    async fn granted(&self, row: &ApprovalRow, terms: &Terms) -> Result<Approved, Unmet> {
        let mut tx = self.rows.read().await.map_err(failed)?;
        let people = self.met(&mut tx, row, terms, None).await?;
        tx.commit().await.map_err(failed)?;
        let Some(people) = people else {
            return Err(self.void(&row.id).await?);
        };
        let sealed = Sealed::read(row).map_err(failed)?;
        Ok(approved(
            row,
            terms,
            sealed.and_then(|sealed| sealed.effect),
            people,
        ))
    }

    /// The caller is gone; the request stays, and nothing runs without it.
    async fn note_left(&self, id: &str) {
        let noted = async {
            let mut tx = self.rows.write().await?;
            tx.left(id, Some(self.now())).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!("approvals: {error}");
        }
    }
}

/// The same user through the same program, in whatever session: after a new sign-in too.
pub(super) fn is_owner(row: &ApprovalRow, principal: &Principal) -> bool {
    row.issuer == principal.user.issuer
        && row.subject == principal.user.subject
        && row.client_id == principal.agent.client_id
}

/// Whether the request is about the very same action, and asks the same of the same people. One that is open must not
/// be decided, broken or used in a way that policy has taken away since.
fn is_same(row: &ApprovalRow, ask: &Ask, asked: &Hash) -> Result<bool, StoreError> {
    let key = |asks: &[Asked]| -> Vec<_> {
        asks.iter()
            .map(|one| (one.id.clone(), one.seats.clone(), one.bound, one.unattended))
            .collect()
    };
    let (then, now) = (Terms::read(row)?, Terms::asks_of_ask(ask));
    let same = row.asked_sha256 == asked.0 && key(&then.asks) == key(&now);
    let is_open = matches!(row.state.as_str(), "pending" | "granted");
    let mut both = then.asks.iter().zip(&now);
    Ok(same && !(is_open && both.any(|(then, now)| is_stricter(then, now))))
}

/// Whether policy asks more by now than these say, or lets people do less.
pub(super) fn ask_more(then: &[Asked], now: &[Asked]) -> bool {
    let more = |one: &Asked| {
        let before = then.iter().find(|before| before.id == one.id);
        before.is_none_or(|before| {
            let rows = before.bound == Bound::Count && one.bound == Bound::Keys;
            rows || before.unattended && !one.unattended || is_stricter(before, one)
        })
    };
    now.iter().any(more)
}

/// Whether policy lets people do less about a request by now than when it was made.
fn is_stricter(then: &Asked, now: &Asked) -> bool {
    let risk = now.high_risk && !then.high_risk;
    let glass = then.break_glass.is_some() && then.break_glass != now.break_glass;
    let lasting = then.grantable.is_some() && then.grantable != now.grantable;
    let others = then.escalate.iter().any(|one| !now.escalate.contains(one));
    risk || glass || lasting || others
}

fn note(terms: &Terms) -> String {
    let mut note = "Other people have been asked to decide; nothing has run yet.".to_owned();
    for explain in terms.asks.iter().filter_map(|asked| asked.explain.as_deref()) {
        note.push(' ');
        note.push_str(explain);
    }
    note
}

/// A form of the effect that survives being written as JSON and read again: its hash is what people sign.
pub(super) fn steady(effect: Effect) -> Option<Effect> {
    let mut effect = effect;
    for _ in 0..FORMS {
        let again: Effect = serde_json::from_str(&serde_json::to_string(&effect).ok()?).ok()?;
        if again == effect {
            return Some(effect);
        }
        effect = again;
    }
    None
}
